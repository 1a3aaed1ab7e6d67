/**
 * One trace as the waterfall needs it. Rows are depth-first, so a subtree is the half-open run of rows [i, end[i]).
 * Everything here is linear in the number of spans: 10,000 of them must open within 300 ms.
 */
import type { Critical, Log, Note, SpanColumns, TraceColumns } from '../api/types';

export const FLAG = {
  derived: 1,
  observed: 2,
  orphan: 4,
  async: 8,
  clock: 16,
  joined: 32,
  inferred: 64,
} as const;
export const ERROR_STATUS = 2;
/** OpenTelemetry span kinds. */
export const KIND = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'];
const CLIENT = 3,
  PRODUCER = 4;

export interface Tick {
  atNs: number;
  severity: number;
}
export interface Trace {
  id: string;
  start: bigint;
  durationNs: number;
  n: number;
  services: { name: string; color: number }[];
  operations: string[];
  spans: SpanColumns;
  depth: Int32Array;
  end: Int32Array;
  childCount: Int32Array;
  /** Error status of the span itself, or an ERROR line: what must not be folded away. */
  marked: Uint8Array;
  ticks: Map<number, Tick[]>;
  notes: Map<number, Note[]>;
  critical: Critical[];
  criticalNs: Map<number, number>;
  columns: TraceColumns;
  rowOf: Map<string, number>;
  logLines: number;
  errors: number;
  errorLines: number;
}

export function build(c: TraceColumns): Trace {
  const n = c.spans.id.length,
    { parent, status, errorLogs, logs } = c.spans;
  const depth = new Int32Array(n),
    end = new Int32Array(n),
    childCount = new Int32Array(n),
    marked = new Uint8Array(n),
    rowOf = new Map<string, number>();
  let logLines = 0,
    errors = 0,
    errorLines = 0;
  for (let i = 0; i < n; i++) {
    const p = parent[i];
    depth[i] = p < 0 ? 0 : depth[p] + 1;
    if (p >= 0) childCount[p]++;
    end[i] = i + 1;
    marked[i] = status[i] === ERROR_STATUS || errorLogs[i] > 0 ? 1 : 0;
    if (!rowOf.has(c.spans.id[i])) rowOf.set(c.spans.id[i], i);
    logLines += logs[i];
    errorLines += errorLogs[i];
    if (status[i] === ERROR_STATUS) errors++;
  }
  for (let i = n - 1; i > 0; i--) {
    const p = parent[i];
    if (p >= 0 && end[p] < end[i]) end[p] = end[i];
  }
  const ticks = new Map<number, Tick[]>(),
    notes = new Map<number, Note[]>(),
    criticalNs = new Map<number, number>();
  c.logTicks.row.forEach((row, i) =>
    push(ticks, row, { atNs: c.logTicks.atNs[i], severity: c.logTicks.severity[i] }),
  );
  for (const note of c.notes) push(notes, note.row, note);
  for (const p of c.critical) criticalNs.set(p.row, (criticalNs.get(p.row) ?? 0) + p.toNs - p.fromNs);
  return {
    id: c.traceId,
    start: BigInt(c.start),
    durationNs: Math.max(1, c.durationNs),
    n,
    services: c.services,
    operations: c.operations,
    spans: c.spans,
    depth,
    end,
    childCount,
    marked,
    ticks,
    notes,
    critical: c.critical,
    criticalNs,
    columns: c,
    rowOf,
    logLines,
    errors,
    errorLines,
  };
}

function push<K, V>(m: Map<K, V[]>, k: K, v: V): void {
  const list = m.get(k);
  if (list) list.push(v);
  else m.set(k, [v]);
}

export function* children(t: Trace, row: number): Generator<number> {
  for (let i = row + 1; i < t.end[row]; i = t.end[i]) yield i;
}

/** Where the span itself works: its time less what its children cover, as [from, to, …] offsets. */
export function ownTime(t: Trace, row: number): number[] {
  const { startNs, durationNs } = t.spans,
    from = startNs[row],
    to = from + durationNs[row],
    out: number[] = [];
  let at = from;
  for (const k of children(t, row)) {
    if (startNs[k] > at) out.push(at, Math.min(startNs[k], to));
    at = Math.max(at, startNs[k] + durationNs[k]);
    if (at >= to) return out;
  }
  out.push(at, to);
  return out;
}

export const serviceOf = (t: Trace, row: number): { name: string; color: number } =>
  t.services[t.spans.service[row]];
export const operationOf = (t: Trace, row: number): string => t.operations[t.spans.operation[row]];
export const endOf = (t: Trace, row: number): number => t.spans.startNs[row] + t.spans.durationNs[row];

/** A span that called another service names it. */
export function callee(t: Trace, row: number): string | null {
  const first = row + 1;
  if (first >= t.end[row] || t.spans.service[first] === t.spans.service[row]) return null;
  const kind = t.spans.kind[row];
  return kind === CLIENT || kind === PRODUCER || kind === 0 ? serviceOf(t, first).name : null;
}

/** The entry operation: the root's, or the first below it in another service where the root's name is a wildcard. */
export function entryRow(t: Trace): number {
  const root = Math.max(0, t.columns.root);
  const name = operationOf(t, root).replace(/^[A-Z]+\s+/, '');
  if (name !== '' && !/^\/?\*+$/.test(name)) return root;
  for (let i = root + 1; i < t.end[root]; i++) if (t.spans.service[i] !== t.spans.service[root]) return i;
  return root;
}

/** Stretches over 12 % of the trace in which nothing starts, ends or logs. */
export function quietStretches(t: Trace): [number, number][] {
  const SHARE = 0.12,
    at = [0, t.durationNs];
  for (let i = 0; i < t.n; i++) at.push(t.spans.startNs[i], endOf(t, i));
  for (const list of t.ticks.values()) for (const k of list) at.push(k.atNs);
  const events = Float64Array.from(at)
      .filter(v => v >= 0 && v <= t.durationNs)
      .sort(),
    out: [number, number][] = [];
  for (let i = 1; i < events.length; i++)
    if (events[i] - events[i - 1] > t.durationNs * SHARE) out.push([events[i - 1], events[i]]);
  return out;
}

export function logsBySpan(logs: Log[]): Map<number, Log[]> {
  const out = new Map<number, Log[]>();
  for (const l of logs) if (l.span !== undefined && l.span >= 0) push(out, l.span, l);
  return out;
}
