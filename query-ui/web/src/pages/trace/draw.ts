/** What the waterfall's one canvas shows: grid, bars with their self time as ink, ticks, the critical path as a line. */
import { axisDuration, duration } from '../../model/format';
import type { Row, Rows } from '../../model/rows';
import { shownRow } from '../../model/rows';
import { niceStep, type Scale } from '../../model/scale';
import { rank } from '../../model/severity';
import { FLAG, endOf, ownTime, serviceOf, type Trace } from '../../model/trace';
import type { Pen } from '../../ui/canvas';

/** Room on the right for the duration of a bar that ends there. */
export const LABEL_PX = 68;
const EDGE_PX = 60,
  AXIS_STEP_PX = 120,
  AXIS_LEAST_PX = 52;

export interface Frame {
  t: Trace;
  rows: Rows;
  tops: Float64Array;
  from: number;
  to: number;
  scroll: number;
  zoom: [number, number];
  x: Scale;
  critical: boolean;
  selected: number | null;
  cursor: number | null;
  ownCache: Map<number, number[]>;
}
const own = (f: Frame, row: number): number[] => {
  let v = f.ownCache.get(row);
  if (!v) {
    v = ownTime(f.t, row);
    f.ownCache.set(row, v);
  }
  return v;
};
const height = (f: Frame, i: number): number => f.tops[i + 1] - f.tops[i];

export function gridSteps(zoom: [number, number], width: number, cuts: [number, number][]): number[] {
  const step = niceStep(zoom[1] - zoom[0], Math.max(3, (width - LABEL_PX) / AXIS_STEP_PX)),
    out: number[] = [];
  for (let v = Math.ceil(zoom[0] / step) * step; v <= zoom[1]; v += step)
    if (!cuts.some(([a, b]) => v > a && v < b)) out.push(v);
  return out;
}

export function drawBars(pen: Pen, f: Frame): void {
  const X = (ns: number) => 4 + f.x(ns),
    width = pen.w - LABEL_PX;
  for (const v of gridSteps(f.zoom, pen.w, f.x.cuts))
    pen.line(pen.c('grid'), Math.round(X(v)) + 0.5, 0, Math.round(X(v)) + 0.5, pen.h);
  for (const [a, b] of f.x.cuts) pen.rect(pen.c('surface'), X(a) + 1, 0, X(b) - X(a) - 2, pen.h);
  if (f.critical) thread(pen, f, X);
  for (let i = f.from; i < f.to; i++) drawRow(pen, f, i, X, width);
  for (const [a, b] of f.x.cuts)
    for (const e of [a, b])
      pen.line(pen.c('line-2'), Math.round(X(e)) + 0.5, 0, Math.round(X(e)) + 0.5, pen.h, 1, [2, 3]);
  if (f.cursor !== null)
    pen.line(pen.c('text-3', 0.7), Math.round(X(f.cursor)) + 0.5, 0, Math.round(X(f.cursor)) + 0.5, pen.h);
}

export function drawAxis(pen: Pen, f: Frame): void {
  const X = (ns: number) => 4 + f.x(ns);
  let last = -AXIS_LEAST_PX;
  for (const v of gridSteps(f.zoom, pen.w, f.x.cuts)) {
    const at = X(v);
    const named = f.x.cuts.some(([a, b]) => Math.abs((X(a) + X(b)) / 2 - at) < AXIS_LEAST_PX);
    if (at > pen.w - 40 || at - last < AXIS_LEAST_PX || named) continue;
    last = at;
    pen.line(pen.c('line-2'), Math.round(at) + 0.5, pen.h - 5, Math.round(at) + 0.5, pen.h);
    pen.text(pen.c('axis'), axisDuration(v), at, pen.h / 2, v === 0 ? 'left' : 'center');
  }
  for (const [a, b] of f.x.cuts) {
    const m = (X(a) + X(b)) / 2;
    pen.rect(pen.c('bg'), m - 30, 4, 60, pen.h - 10);
    pen.text(pen.c('text-2'), `≈ ${duration(b - a)}`, m, pen.h / 2, 'center');
  }
  if (f.cursor !== null) {
    const s = duration(f.cursor),
      w = pen.width(s) + 12,
      at = Math.min(pen.w - w, Math.max(0, X(f.cursor) - w / 2));
    pen.rect(pen.c('text'), at, pen.h - 22, w, 17, 4);
    pen.text(pen.c('bg'), s, at + 6, pen.h - 13);
  }
}

/** The critical path as one continuous line below the bars; a longer or denser jump is left to the eye. */
function thread(pen: Pen, f: Frame, X: (ns: number) => number): void {
  const JUMP_ROWS = 5,
    JUMP_PX = 4,
    ink = pen.c('ink'),
    faint = pen.c('ink', 0.34),
    y = (i: number) => f.tops[i + 1] - f.scroll - 4.5;
  let before = -1,
    lastX = -9;
  for (const { row, fromNs, toNs } of f.t.critical) {
    if (toNs < f.zoom[0] || fromNs > f.zoom[1]) continue;
    const i = shownRow(f.t, f.rows, row),
      a = X(Math.max(fromNs, f.zoom[0])),
      b = X(Math.min(toNs, f.zoom[1])),
      at = y(i);
    if (before >= 0 && before !== i && Math.abs(before - i) <= JUMP_ROWS && a - lastX > JUMP_PX) {
      const top = y(before);
      if (Math.max(top, at) > 0 && Math.min(top, at) < pen.h)
        pen.line(faint, Math.round(a) + 0.5, top, Math.round(a) + 0.5, at);
      lastX = a;
    }
    if (at > -4 && at < pen.h + 4) pen.rect(ink, a, at - 0.75, Math.max(1, b - a), 1.5);
    before = i;
  }
}

function drawRow(pen: Pen, f: Frame, i: number, X: (ns: number) => number, width: number): void {
  const r = f.rows.rows[i],
    { t } = f,
    top = f.tops[i] - f.scroll,
    mid = top + height(f, i) / 2;
  if (r.kind === 'log') return;
  if (r.kind === 'fold') {
    const color = `svc-${serviceOf(t, r.row).color}`;
    for (const k of r.rows) bar(pen, f, k, X, width, color, 0.3, mid - 4, 6);
    const last = r.rows.at(-1)!;
    label(
      pen,
      X,
      width,
      t.spans.startNs[r.row],
      endOf(t, last),
      endOf(t, last) - t.spans.startNs[r.row],
      mid,
      false,
    );
    return;
  }
  const row = r.row,
    parent = t.spans.parent[row];
  pen.g.globalAlpha = r.dim ? 0.35 : 1;
  if (parent >= 0 && t.spans.startNs[row] > endOf(t, parent))
    pen.line(pen.c('text-3', 0.9), X(endOf(t, parent)), mid - 1, X(t.spans.startNs[row]), mid - 1, 1, [1, 2]);
  bar(pen, f, row, X, width, `svc-${serviceOf(t, row).color}`, 0.28, mid - 6, 9);
  if (!r.open && t.childCount[row] > 0) closedKids(pen, f, r, X, mid);
  const end = ticks(pen, f, row, X, width, mid);
  label(
    pen,
    X,
    width,
    t.spans.startNs[row],
    Math.max(endOf(t, row), end),
    t.spans.durationNs[row],
    mid,
    f.selected === row,
  );
  pen.g.globalAlpha = 1;
}

function closedKids(pen: Pen, f: Frame, r: Row, X: (ns: number) => number, mid: number): void {
  const veil = pen.c('bg', 0.5);
  for (let k = r.row + 1; k < f.t.end[r.row]; k = f.t.end[k])
    pen.rect(
      veil,
      X(f.t.spans.startNs[k]),
      mid - 3,
      Math.max(1, X(endOf(f.t, k)) - X(f.t.spans.startNs[k])),
      3,
    );
}

function bar(
  pen: Pen,
  f: Frame,
  row: number,
  X: (ns: number) => number,
  width: number,
  color: string,
  alpha: number,
  top: number,
  h: number,
): void {
  const { startNs, flags } = f.t.spans,
    a = Math.max(-4, X(startNs[row])),
    b = Math.min(width + EDGE_PX, X(endOf(f.t, row)));
  if (b < 0 || a > width + EDGE_PX) return;
  const w = Math.max(1.5, b - a),
    solid = pen.c(color),
    made = flags[row] & (FLAG.observed | FLAG.derived);
  if (made && !(flags[row] & FLAG.joined)) {
    pen.box(solid, a, top, w, h, flags[row] & FLAG.observed ? [3, 2] : [1, 2]);
    pen.rect(pen.c(color, alpha * 0.6), a, top, w, h, 2);
  } else pen.rect(pen.c(color, alpha), a, top, w, h, 2);
  const pieces = own(f, row);
  for (let k = 0; k < pieces.length; k += 2) {
    const p = Math.max(-4, X(pieces[k])),
      q = Math.min(width + EDGE_PX, X(pieces[k + 1]));
    if (q >= 0 && p <= width + EDGE_PX) pen.rect(solid, p, top, Math.max(1, q - p), h, 2);
  }
}

/** Log lines on the bar: ink, amber, and red with a triangle; returns where the last one stands. */
function ticks(
  pen: Pen,
  f: Frame,
  row: number,
  X: (ns: number) => number,
  width: number,
  mid: number,
): number {
  let end = 0;
  for (const tick of f.t.ticks.get(row) ?? []) {
    const x = X(tick.atNs),
      k = rank(tick.severity),
      c = pen.c(k === 2 ? 'err-fill' : k === 1 ? 'warn-fill' : 'ink');
    if (x < 0 || x > width + EDGE_PX) continue;
    end = Math.max(end, tick.atNs);
    pen.rect(pen.c('bg'), x - 1.75, mid - 8, 3.5, 13);
    pen.rect(c, x - 0.75, k ? mid - 10 : mid - 7, 1.5, k ? 17 : 11);
    if (k === 2) triangle(pen, c, x, mid - 12);
  }
  if (f.t.spans.status[row] === 2)
    triangle(
      pen,
      pen.c('err-fill'),
      Math.max(4, Math.min(width + EDGE_PX - 4, X(endOf(f.t, row)))),
      mid - 10,
    );
  return end;
}
function triangle({ g }: Pen, c: string, x: number, y: number): void {
  g.fillStyle = c;
  g.beginPath();
  g.moveTo(x - 4, y);
  g.lineTo(x + 4, y);
  g.lineTo(x, y + 6);
  g.fill();
}

function label(
  pen: Pen,
  X: (ns: number) => number,
  width: number,
  from: number,
  to: number,
  ns: number,
  mid: number,
  selected: boolean,
): void {
  const text = duration(ns),
    w = pen.width(text),
    end = X(to),
    start = X(from);
  if (end < 0 || start > width + EDGE_PX) return;
  let at = end + 6;
  if (at + w > width + LABEL_PX) at = Math.max(4, Math.min(start - 6 - w, width + LABEL_PX - w - 8));
  pen.rect(pen.c(selected ? 'selected' : 'bg'), at - 2, mid - 8, w + 4, 14);
  pen.text(pen.c('text-2'), text, at, mid - 1);
}
