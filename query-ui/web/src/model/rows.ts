/** The waterfall's rows: a flat list, rebuilt whole when something folds. */
import type { Log } from '../api/types';
import { operationOf, serviceOf, type Trace } from './trace';

/** A subtree, or a run of leaves, below this share of the trace starts folded. */
const SMALL = 0.02;
/** A run of at least this many like leaves becomes one row. */
const RUN = 2;
const RUN_NAMES = 2;

export type Row =
  | { kind: 'span'; row: number; depth: number; open: boolean; hit: boolean; dim: boolean }
  | { kind: 'log'; row: number; depth: number; log: Log }
  | { kind: 'fold'; row: number; depth: number; rows: number[]; names: string[] };

export interface View {
  fold: boolean;
  /** Everything deeper than this is closed; null: no limit. */
  depth: number | null;
  /** Rows whose state differs from what `fold` and `depth` say. */
  toggled: Set<number>;
  /** Rows whose log lines are open; all of them where `allLogs`. */
  logs: Set<number>;
  allLogs: boolean;
  find: string;
  /** Only this service stands out. */
  only: number | null;
  selected: number | null;
}

/** Rows on the way to an error or to the selected span: these never start folded. */
function kept(t: Trace, selected: number | null): Uint8Array {
  const keep = new Uint8Array(t.n);
  for (let i = t.n - 1; i >= 0; i--) {
    if (t.marked[i] || i === selected) keep[i] = 1;
    if (keep[i] && t.spans.parent[i] >= 0) keep[t.spans.parent[i]] = 1;
  }
  return keep;
}

export interface Rows {
  rows: Row[];
  indexOf: Map<number, number>;
  hits: number;
}

export function buildRows(t: Trace, v: View, logs: Map<number, Log[]>): Rows {
  const small = t.durationNs * SMALL,
    keep = kept(t, v.selected),
    rows: Row[] = [],
    indexOf = new Map<number, number>(),
    find = v.find.trim().toLowerCase();
  let hits = 0;
  const closed = (i: number): boolean => {
    const base =
      v.depth !== null ? t.depth[i] >= v.depth : v.fold && t.spans.durationNs[i] < small && !keep[i];
    return base !== v.toggled.has(i);
  };
  const leaf = (i: number): boolean =>
    t.childCount[i] === 0 && t.spans.logs[i] === 0 && t.spans.durationNs[i] < small && !keep[i];
  let i = 0;
  while (i < t.n) {
    const parent = t.spans.parent[i];
    if (v.fold && !find && parent >= 0 && leaf(i) && !v.toggled.has(i)) {
      const names = new Set<string>();
      let j = i;
      while (
        j < t.n &&
        t.spans.parent[j] === parent &&
        leaf(j) &&
        t.spans.service[j] === t.spans.service[i] &&
        !v.toggled.has(j)
      ) {
        names.add(operationOf(t, j));
        if (names.size > RUN_NAMES) {
          names.delete(operationOf(t, j));
          break;
        }
        j++;
      }
      if (j - i >= RUN) {
        const run = Array.from({ length: j - i }, (_, k) => i + k);
        for (const k of run) indexOf.set(k, rows.length);
        rows.push({ kind: 'fold', row: i, depth: t.depth[i], rows: run, names: [...names] });
        i = j;
        continue;
      }
    }
    const hit = find !== '' && matches(t, i, find, logs);
    if (hit) hits++;
    const open = t.childCount[i] > 0 && !closed(i);
    indexOf.set(i, rows.length);
    rows.push({
      kind: 'span',
      row: i,
      depth: t.depth[i],
      open,
      hit,
      dim: find !== '' ? !hit : v.only !== null && t.spans.service[i] !== v.only,
    });
    if (v.allLogs !== v.logs.has(i))
      for (const log of logs.get(i) ?? []) rows.push({ kind: 'log', row: i, depth: t.depth[i] + 1, log });
    i = open || t.childCount[i] === 0 ? i + 1 : t.end[i];
  }
  return { rows, indexOf, hits };
}

function matches(t: Trace, i: number, find: string, logs: Map<number, Log[]>): boolean {
  return (
    `${serviceOf(t, i).name} ${operationOf(t, i)} ${t.spans.tag[i] ?? ''} ${t.spans.id[i]}`
      .toLowerCase()
      .includes(find) || (logs.get(i) ?? []).some(l => l.body.toLowerCase().includes(find))
  );
}

/** The row in view that stands for a span: itself, the fold that holds it, or its nearest open ancestor. */
export function shownRow(t: Trace, r: Rows, row: number): number {
  for (let i = row; i >= 0; i = t.spans.parent[i]) {
    const at = r.indexOf.get(i);
    if (at !== undefined) return at;
  }
  return 0;
}

/** The toggles that make a span visible: every closed ancestor, and the run that it is folded into. */
export function reveal(t: Trace, r: Rows, v: View, row: number): Set<number> {
  const toggled = new Set(v.toggled);
  for (let i = t.spans.parent[row]; i >= 0; i = t.spans.parent[i]) {
    const at = r.indexOf.get(i),
      shown = at === undefined ? null : r.rows[at];
    if (shown?.kind === 'span' && !shown.open) flip(toggled, i);
    else if (at === undefined && t.childCount[i] > 0 && closedByDefault(t, v, i) !== toggled.has(i))
      flip(toggled, i);
  }
  const own = r.indexOf.get(row);
  if (own !== undefined && r.rows[own].kind === 'fold') for (const k of r.rows[own].rows) toggled.add(k);
  return toggled;
}
function closedByDefault(t: Trace, v: View, i: number): boolean {
  return v.depth !== null
    ? t.depth[i] >= v.depth
    : v.fold && t.spans.durationNs[i] < t.durationNs * SMALL && !kept(t, v.selected)[i];
}
export function flip<T>(set: Set<T>, v: T): void {
  if (!set.delete(v)) set.add(v);
}
