/** Rows in the DOM (only those in view), bars on one canvas that is redrawn whole. */
import {
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  type ReactNode,
  type Ref,
} from 'react';
import { useT } from '../../i18n';
import type { Rows } from '../../model/rows';
import { timeScale } from '../../model/scale';
import type { Trace } from '../../model/trace';
import { Pen, token } from '../../ui/canvas';
import { setPref, usePref, useTheme } from '../../ui/prefs';
import { useSize } from '../../ui/useSize';
import { LABEL_PX, drawAxis, drawBars, type Frame } from './draw';
import { SpanRow } from './SpanRow';

const OVERSCAN_PX = 200,
  FOOT_PX = 28,
  NARROW_PX = 900,
  TREE_LEAST = 160,
  TREE_MOST = 900;

export interface WaterfallHandle {
  reveal: (i: number) => void;
}
interface Props {
  t: Trace;
  rows: Rows;
  zoom: [number, number];
  quiet: [number, number][];
  critical: boolean;
  selected: number | null;
  logsOpen: (row: number) => boolean;
  short: (n: string) => string;
  head: ReactNode;
  onSelect: (row: number) => void;
  onToggle: (i: number) => void;
  onLogs: (row: number) => void;
  onView: (first: number, last: number) => void;
  handle: Ref<WaterfallHandle>;
}

export function Waterfall({
  t,
  rows,
  zoom,
  quiet,
  critical,
  selected,
  logsOpen,
  short,
  head,
  onSelect,
  onToggle,
  onLogs,
  onView,
  handle,
}: Props) {
  const m = useT(),
    theme = useTheme(),
    density = usePref('density'),
    body = useRef<HTMLDivElement>(null),
    canvas = useRef<HTMLCanvasElement>(null),
    axis = useRef<HTMLCanvasElement>(null),
    treeHead = useRef<HTMLDivElement>(null);
  const [width, height] = useSize(body),
    [treeW] = useSize(treeHead),
    [scroll, setScroll] = useState(0),
    [cursor, setCursor] = useState<number | null>(null),
    [fonts, setFonts] = useState(0);
  const ownCache = useMemo(() => new Map<number, number[]>(), [t]);
  const tops = useMemo(() => {
    const span = parseFloat(token('h-span')) || 24,
      log = parseFloat(token('h-log')) || 22,
      out = new Float64Array(rows.rows.length + 1);
    rows.rows.forEach((r, i) => {
      out[i + 1] = out[i] + (r.kind === 'log' ? log : span);
    });
    return out;
  }, [rows, density]);
  const siblings = useMemo(() => {
    const seen = new Map<number, number>(),
      pos = new Int32Array(t.n);
    for (let i = 0; i < t.n; i++) {
      const p = t.spans.parent[i],
        k = (seen.get(p) ?? 0) + 1;
      seen.set(p, k);
      pos[i] = k;
    }
    return { pos, size: seen };
  }, [t]);
  const total = tops[tops.length - 1],
    top = Math.min(scroll, Math.max(0, total + FOOT_PX - height));
  const first = find(tops, top - OVERSCAN_PX),
    last = Math.min(rows.rows.length, find(tops, top + height + OVERSCAN_PX) + 1),
    chartW = Math.max(0, width - treeW);
  const x = useMemo(
    () => timeScale(zoom[0], zoom[1], Math.max(1, chartW - LABEL_PX - 10), quiet),
    [zoom, chartW, quiet],
  );
  useEffect(() => {
    void document.fonts.ready.then(() => setFonts(1));
  }, []);
  useLayoutEffect(() => {
    if (!canvas.current || !axis.current || chartW < 1) return;
    const frame: Frame = {
      t,
      rows,
      tops,
      from: first,
      to: last,
      scroll: top,
      zoom,
      x,
      critical,
      selected,
      cursor,
      ownCache,
    };
    drawBars(new Pen(canvas.current, theme, chartW, height), frame);
    drawAxis(new Pen(axis.current, theme, chartW, axis.current.clientHeight), frame);
  }, [
    t,
    rows,
    tops,
    first,
    last,
    top,
    zoom,
    x,
    critical,
    selected,
    cursor,
    ownCache,
    theme,
    chartW,
    height,
    fonts,
  ]);
  useEffect(() => {
    if (rows.rows.length)
      onView(
        rows.rows[Math.min(rows.rows.length - 1, find(tops, top))].row,
        rows.rows[Math.min(rows.rows.length - 1, find(tops, top + height - 1))].row,
      );
  }, [rows, tops, top, height, onView]);
  useImperativeHandle(
    handle,
    () => ({
      reveal: i => {
        const el = body.current,
          y = tops[i];
        if (el && (y < el.scrollTop + 24 || y > el.scrollTop + el.clientHeight - 60))
          el.scrollTop = Math.max(0, y - el.clientHeight * 0.35);
      },
    }),
    [tops],
  );
  const indent = innerWidth <= NARROW_PX ? 6 : 10,
    active = selected === null ? undefined : rows.indexOf.get(selected);
  const click = (e: React.MouseEvent) => {
    const el = (e.target as Element).closest<HTMLElement>('.wr');
    if (!el) return;
    const i = Number(el.dataset.i),
      r = rows.rows[i];
    if (!r) return;
    if ((e.target as Element).closest('button.tw') || r.kind === 'fold') onToggle(i);
    else if ((e.target as Element).closest('.lc')) onLogs(r.row);
    else if (getSelection()?.isCollapsed !== false) onSelect(r.row);
  };
  const hover = (e: React.MouseEvent) => {
    const at = e.clientX - body.current!.getBoundingClientRect().left - treeW - 4;
    setCursor(at > 0 && at < chartW - LABEL_PX ? Math.max(zoom[0], Math.min(zoom[1], x.invert(at))) : null);
  };
  return (
    <div className="wf">
      <div className="wf-head">
        <div className="wf-th" ref={treeHead}>
          {head}
        </div>
        <Splitter
          get={() => treeW}
          set={w => setPref('tree', String(Math.round(Math.max(TREE_LEAST, Math.min(TREE_MOST, w)))))}
          label={m.spanTree}
        />
        <canvas className="wf-axis" ref={axis} aria-hidden="true" />
      </div>
      <div
        className="wf-body"
        ref={body}
        tabIndex={0}
        data-rows
        role="treegrid"
        aria-label={m.spanTree}
        aria-rowcount={rows.rows.length}
        aria-activedescendant={
          active !== undefined && active >= first && active < last ? `row-${active}` : undefined
        }
        onScroll={e => setScroll(e.currentTarget.scrollTop)}
        onClick={click}
        onMouseMove={hover}
        onMouseLeave={() => setCursor(null)}
      >
        <div className="wf-view" role="presentation">
          <canvas ref={canvas} aria-hidden="true" style={{ left: treeW, width: chartW, height }} />
        </div>
        <div className="wf-space" role="rowgroup" style={{ height: total + FOOT_PX }}>
          {rows.rows.slice(first, last).map((r, k) => {
            const i = first + k;
            return (
              <SpanRow
                key={r.kind === 'log' ? `l${r.log.id}` : `${r.kind[0]}${r.row}`}
                t={t}
                r={r}
                i={i}
                top={tops[i]}
                height={tops[i + 1] - tops[i]}
                indent={indent}
                selected={selected === r.row && r.kind === 'span'}
                focused={i === active}
                logsOpen={r.kind === 'span' && logsOpen(r.row)}
                short={short}
                posinset={siblings.pos[r.row]}
                setsize={siblings.size.get(t.spans.parent[r.row]) ?? 1}
              />
            );
          })}
        </div>
      </div>
    </div>
  );
}

/** The last row that starts at or above `y`. */
function find(tops: Float64Array, y: number): number {
  let lo = 0,
    hi = tops.length - 1;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (tops[mid + 1] <= y) lo = mid + 1;
    else hi = mid;
  }
  return Math.max(0, Math.min(lo, tops.length - 2));
}

export function Splitter({
  get,
  set,
  label,
  side = 1,
}: {
  get: () => number;
  set: (w: number) => void;
  label: string;
  side?: 1 | -1;
}) {
  const start = useRef<[number, number] | null>(null),
    STEP = 16;
  return (
    <div
      className="split"
      role="separator"
      aria-orientation="vertical"
      aria-label={label}
      aria-valuenow={Math.round(get())}
      tabIndex={0}
      onKeyDown={e => {
        if (e.key === 'ArrowLeft' || e.key === 'ArrowRight') {
          e.preventDefault();
          e.stopPropagation();
          set(get() + side * (e.key === 'ArrowRight' ? STEP : -STEP));
        }
      }}
      onPointerDown={e => {
        e.currentTarget.setPointerCapture(e.pointerId);
        start.current = [e.clientX, get()];
      }}
      onPointerMove={e => {
        if (start.current) set(start.current[1] + side * (e.clientX - start.current[0]));
      }}
      onPointerUp={() => {
        start.current = null;
      }}
    />
  );
}
