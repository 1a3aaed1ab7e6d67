/** Where a chart's values stand, and how they are drawn. A hole in the data is drawn as a hole, never bridged by a line. */
import { ticks } from '../../model/scale';
import { tickLabel, timeTicks, type Window, type Zone } from '../../model/time';
import type { Pen } from '../canvas';

export interface Series {
  name: string;
  /** A token of the palette. */
  color: string;
  /** One value a step; null where nothing was measured. */
  values: (number | null)[];
  /** Opacity of the area below a line. */
  fill?: number;
}
export interface Data {
  /** Milliseconds at which the first step begins, and the length of a step. */
  start: number;
  step: number;
  series: Series[];
  kind: 'bars' | 'lines';
  stacked: boolean;
  /** Top of the scale where it does not follow from the values. */
  max?: number;
  format: (v: number) => string;
  /** How the axis writes a value, where that is shorter. */
  axis?: (v: number) => string;
  holes: [number, number][];
}
export interface Box {
  width: number;
  height: number;
  window: Window;
  zone: Zone;
}

const LEFT = 52,
  RIGHT = 2,
  TOP = 6,
  BOTTOM = 18;
/** Room above the highest value, so that a line does not touch the edge. */
const HEADROOM = 1.12,
  TICK_PX = 44,
  TIME_PX = 90,
  GAP_PX = 1;

export const toX = (b: Box, at: number): number =>
  LEFT + ((at - b.window.from) / (b.window.to - b.window.from)) * (b.width - LEFT - RIGHT);
/** Whether a place is on the plot and not beside it. */
export const onPlot = (b: Box, px: number): boolean => px >= LEFT && px <= b.width - RIGHT;
export const toTime = (b: Box, px: number): number => {
  const share = (px - LEFT) / Math.max(1, b.width - LEFT - RIGHT);
  return b.window.from + Math.max(0, Math.min(1, share)) * (b.window.to - b.window.from);
};

/** The top of the scale: of the sums where series stand on each other. */
export function highest(d: Data): number {
  if (d.max !== undefined) return d.max;
  const n = Math.max(0, ...d.series.map(s => s.values.length));
  let most = 0;
  for (let i = 0; i < n; i++) {
    const values = d.series.map(s => s.values[i] ?? 0);
    most = Math.max(most, d.stacked ? values.reduce((a, b) => a + b, 0) : Math.max(...values));
  }
  return most > 0 ? most * HEADROOM : 1;
}

export function drawChart(pen: Pen, d: Data, b: Box, noData: string): void {
  const bottom = b.height - BOTTOM,
    top = highest(d),
    y = (v: number) => bottom - (v / top) * (bottom - TOP);
  for (const v of ticks(0, top, Math.max(1, Math.round((bottom - TOP) / TICK_PX)))) {
    // There is no half a line.
    if (d.kind === 'bars' && !Number.isInteger(v)) continue;
    pen.line(pen.c('grid'), LEFT, Math.round(y(v)) + 0.5, b.width, Math.round(y(v)) + 0.5);
    pen.text(pen.c('axis'), trimmed((d.axis ?? d.format)(v)), LEFT - 8, y(v), 'right');
  }
  for (const [from, to] of d.holes) {
    const x1 = Math.max(LEFT, toX(b, from)),
      x2 = Math.min(b.width - RIGHT, toX(b, to));
    if (x2 - x1 > 4) pen.hole(x1 + 1, TOP, x2 - x1 - 2, bottom - TOP, noData);
  }
  for (const at of timeTicks(b.window, b.width / TIME_PX, b.zone)) {
    const x = toX(b, at);
    if (x > LEFT + 12 && x < b.width - 18)
      pen.text(pen.c('axis'), tickLabel(at, b.window, b.zone), x, b.height - 7, 'center');
  }
  const { g } = pen;
  g.save();
  g.beginPath();
  g.rect(LEFT, 0, b.width - LEFT - RIGHT, b.height);
  g.clip();
  const base = new Float64Array(Math.max(0, ...d.series.map(s => s.values.length)));
  for (const s of d.series) {
    if (d.kind === 'bars') bars(pen, d, b, s, base, y);
    else lines(pen, d, b, s, base, y);
    if (d.stacked) s.values.forEach((v, i) => (base[i] += v ?? 0));
  }
  g.restore();
}

/** On an axis trailing zeros say nothing. */
const trimmed = (text: string): string => text.replace(/\.0+(?=\D|$)/, '');

function bars(pen: Pen, d: Data, b: Box, s: Series, base: Float64Array, y: (v: number) => number): void {
  const color = pen.c(s.color);
  s.values.forEach((v, i) => {
    if (!v) return;
    const x1 = toX(b, d.start + i * d.step),
      x2 = toX(b, d.start + (i + 1) * d.step),
      foot = y(base[i]);
    // A single line among thousands must still be seen.
    const height = Math.max(1.5, foot - y(base[i] + v));
    pen.rect(color, x1, foot - height, Math.max(1, x2 - x1 - GAP_PX), height);
  });
}

function lines(pen: Pen, d: Data, b: Box, s: Series, base: Float64Array, y: (v: number) => number): void {
  const { g } = pen,
    runs: number[][] = [],
    x = (i: number) => toX(b, d.start + (i + 0.5) * d.step);
  // Steps without a point between two with one are only finer than the measurement, unless they make a hole.
  const inHole = (from: number, to: number) =>
    d.holes.some(([a, z]) => a < d.start + (to + 0.5) * d.step && z > d.start + (from + 0.5) * d.step);
  s.values.forEach((v, i) => {
    if (v === null) return;
    const run = runs.at(-1);
    if (run && !inHole(run.at(-1)!, i)) run.push(i);
    else runs.push([i]);
  });
  const value = (i: number) => y(base[i] + (s.values[i] ?? 0));
  for (const run of runs) {
    if (run.length === 1) {
      pen.rect(pen.c(s.color), x(run[0]) - 1, value(run[0]) - 1, 2.5, 2.5);
      continue;
    }
    g.beginPath();
    run.forEach((i, k) => (k ? g.lineTo(x(i), value(i)) : g.moveTo(x(i), value(i))));
    g.strokeStyle = pen.c(s.color);
    g.lineWidth = 1.5;
    g.lineJoin = 'round';
    g.stroke();
    if (!s.fill) continue;
    for (const i of [...run].reverse()) g.lineTo(x(i), y(base[i]));
    g.fillStyle = pen.c(s.color, s.fill);
    g.fill();
  }
}

/** The line under the pointer, with the values that stand there. */
export function drawCursor(pen: Pen, d: Data, b: Box, at: number): void {
  const i = Math.floor((at - d.start) / d.step),
    x = Math.round(toX(b, at)) + 0.5;
  pen.line(pen.c('text-3'), x, TOP, x, b.height - BOTTOM);
  const values = d.series
    .map(s => ({ name: s.name, v: nearest(s.values, i) }))
    .filter(s => s.v !== null && (d.kind === 'lines' || s.v > 0))
    .map(s => `${s.name ? `${s.name} ` : ''}${d.format(s.v!)}`)
    .join('   ');
  if (!values) return;
  const w = pen.width(values) + 16,
    left = x + w + 8 > b.width ? x - w - 6 : x + 6;
  pen.rect(pen.c('line-2'), left, TOP, w, 20, 5);
  pen.rect(pen.c('raised'), left + 1, TOP + 1, w - 2, 18, 4);
  pen.text(pen.c('text'), values, left + 8, TOP + 10);
}

/** The value of a step, or of a neighbour where the steps are finer than the measurement. */
function nearest(values: (number | null)[], i: number): number | null {
  const REACH = 2;
  for (let d = 0; d <= REACH; d++) for (const k of [i - d, i + d]) if (values[k] != null) return values[k];
  return null;
}

export function drawSelection(pen: Pen, b: Box, [from, to]: [number, number]): void {
  const x1 = toX(b, from),
    x2 = toX(b, to);
  pen.rect(pen.c('focus', 0.12), x1, TOP, x2 - x1, b.height - BOTTOM - TOP);
  pen.box(pen.c('focus'), x1, TOP, x2 - x1, b.height - BOTTOM - TOP);
}
