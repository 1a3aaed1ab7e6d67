import { useEffect, useLayoutEffect, useRef, useState } from 'react';
import { useT } from '../../i18n';
import type { Window } from '../../model/time';
import { Pen } from '../canvas';
import { useTheme } from '../prefs';
import { useZone } from '../url';
import { useSize } from '../useSize';
import { drawChart, drawCursor, drawSelection, onPlot, toTime, toX, type Box, type Data } from './plot';
import './chart.css';

/** A drag that is shorter is a click. */
const LEAST_DRAG_PX = 4;

interface Props {
  data: Data;
  window: Window;
  label: string;
  /** Milliseconds; shared by the charts of a page. */
  cursor: number | null;
  onCursor: (at: number | null) => void;
  onSelect: (from: number, to: number) => void;
  onReset: () => void;
}

/** Values over time: drag to narrow the range, double click to go back. */
export function Chart({ data, window, label, cursor, onCursor, onSelect, onReset }: Props) {
  const t = useT(),
    theme = useTheme(),
    zone = useZone(),
    box = useRef<HTMLDivElement>(null),
    canvas = useRef<HTMLCanvasElement>(null),
    from = useRef<number | null>(null),
    [width, height] = useSize(box),
    [drag, setDrag] = useState<[number, number] | null>(null),
    [fonts, setFonts] = useState(0);
  const b: Box = { width, height, window, zone };
  useEffect(() => {
    void document.fonts.ready.then(() => setFonts(1));
  }, []);
  useLayoutEffect(() => {
    if (!canvas.current || width < 80) return;
    const pen = new Pen(canvas.current, theme, width, height);
    drawChart(pen, data, b, t.noData);
    if (drag) drawSelection(pen, b, drag);
    else if (cursor !== null) drawCursor(pen, data, b, cursor);
    // `b` follows from these.
  }, [data, window.from, window.to, zone, width, height, cursor, drag, theme, fonts, t]);
  const px = (e: React.PointerEvent) => e.clientX - canvas.current!.getBoundingClientRect().left,
    at = (e: React.PointerEvent) => toTime(b, px(e));
  return (
    <div className="chart" ref={box}>
      <canvas
        ref={canvas}
        role="img"
        aria-label={label}
        onPointerDown={e => {
          from.current = at(e);
          e.currentTarget.setPointerCapture(e.pointerId);
        }}
        onPointerMove={e => {
          const to = at(e),
            start = from.current;
          onCursor(onPlot(b, px(e)) ? to : null);
          if (start !== null && Math.abs(toX(b, to) - toX(b, start)) > LEAST_DRAG_PX)
            setDrag([Math.min(start, to), Math.max(start, to)]);
        }}
        onPointerUp={() => {
          from.current = null;
          if (drag) {
            onSelect(...drag);
            setDrag(null);
          }
        }}
        onPointerLeave={() => onCursor(null)}
        onDoubleClick={onReset}
      />
    </div>
  );
}
