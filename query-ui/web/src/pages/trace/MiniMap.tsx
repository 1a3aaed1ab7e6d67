import { useLayoutEffect, useRef, useState } from 'react';
import { useT } from '../../i18n';
import { timeScale } from '../../model/scale';
import { rank } from '../../model/severity';
import { endOf, ownTime, serviceOf, type Trace } from '../../model/trace';
import { Pen } from '../../ui/canvas';
import { useTheme } from '../../ui/prefs';
import { useSize } from '../../ui/useSize';

const HEIGHT = 52,
  EDGE = 4,
  LEAST_DRAG = 4;
/** More spans than this are thinned: the map has only so many lines. */
const LINES = 1500;

interface Props {
  t: Trace;
  zoom: [number, number];
  quiet: [number, number][];
  view: [number, number];
  setZoom: (z: [number, number] | null) => void;
}

/** One line a span, drawn once; the window only moves. */
export function MiniMap({ t, zoom, quiet, view, setZoom }: Props) {
  const m = useT(),
    theme = useTheme(),
    box = useRef<HTMLDivElement>(null),
    canvas = useRef<HTMLCanvasElement>(null),
    [width] = useSize(box),
    from = useRef<number | null>(null),
    [drag, setDrag] = useState<[number, number] | null>(null);
  const x = timeScale(0, t.durationNs, Math.max(1, width - 2 * EDGE), quiet);
  useLayoutEffect(() => {
    if (!canvas.current || width < 10) return;
    const pen = new Pen(canvas.current, theme, width, HEIGHT),
      step = Math.max(1, Math.ceil(t.n / LINES));
    for (let i = 0; i < t.n; i += step) {
      const y = 3 + (i / t.n) * (HEIGHT - 8),
        c = `svc-${serviceOf(t, i).color}`,
        own = ownTime(t, i);
      pen.rect(
        pen.c(c, 0.35),
        EDGE + x(t.spans.startNs[i]),
        y,
        Math.max(1, x(endOf(t, i)) - x(t.spans.startNs[i])),
        1.5,
      );
      for (let k = 0; k < own.length; k += 2)
        pen.rect(pen.c(c), EDGE + x(own[k]), y, Math.max(1, x(own[k + 1]) - x(own[k])), 2);
    }
    for (const list of t.ticks.values())
      for (const k of list)
        if (rank(k.severity) === 2) pen.rect(pen.c('err-fill'), EDGE + x(k.atNs) - 1, 0, 2, HEIGHT);
    for (let i = 0; i < t.n; i++)
      if (t.spans.status[i] === 2) pen.rect(pen.c('err-fill'), EDGE + x(endOf(t, i)) - 1, 0, 2, HEIGHT);
    // `x` follows from these.
  }, [t, quiet, width, theme]);
  const shown = drag ?? zoom,
    left = EDGE + x(shown[0]),
    right = width - EDGE - x(shown[1]),
    at = (e: React.PointerEvent) =>
      Math.max(
        0,
        Math.min(t.durationNs, x.invert(e.clientX - box.current!.getBoundingClientRect().left - EDGE)),
      );
  return (
    <div className="mm" ref={box}>
      <canvas
        ref={canvas}
        role="img"
        aria-label={m.minimap}
        onPointerDown={e => {
          from.current = at(e);
          e.currentTarget.setPointerCapture(e.pointerId);
        }}
        onPointerMove={e => {
          if (from.current === null) return;
          const to = at(e);
          if (Math.abs(x(to) - x(from.current)) > LEAST_DRAG)
            setDrag([Math.min(from.current, to), Math.max(from.current, to)]);
        }}
        onPointerUp={() => {
          from.current = null;
          if (drag) {
            setZoom(drag);
            setDrag(null);
          }
        }}
        onDoubleClick={() => setZoom(null)}
      />
      <u
        className="mm-v"
        style={{
          top: 2 + (view[0] / t.n) * (HEIGHT - 8),
          height: Math.max(4, ((view[1] - view[0] + 1) / t.n) * (HEIGHT - 8)),
        }}
      />
      <i className="mm-l" style={{ width: Math.max(0, left) }} />
      <i className="mm-r" style={{ width: Math.max(0, right) }} />
    </div>
  );
}
