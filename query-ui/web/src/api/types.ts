/** The shapes of docs/reference/api.md, version 1. Times are decimal strings of Unix nanoseconds. */

export interface Total {
  value: number;
  exact: boolean;
}
export interface Attr {
  key: string;
  value: unknown;
  type: string;
}

export interface Stage {
  name: string;
  state: string;
  records: number;
  bytes: number;
  lost: number;
  detail?: string;
}
export interface Status {
  version: string;
  startedAt: string;
  /** `null` also where it can't be told. */
  newestNs: string | null;
  behindMs: number | null;
  stages: Stage[];
  /** Where this server takes telemetry. */
  receivers: { protocol: string; url: string }[];
  /** The files that an agent in the server looks for, and how many there are. */
  globs: { glob: string; files: number }[];
  services: number | null;
  hosts: number | null;
  /** Why figures can't be told. */
  untold: string | null;
}

export interface Service {
  name: string;
  color: number;
  spans: number;
  errors: number;
  logs: number;
  errorLogs: number;
  lastSeen: string;
}
export interface Operation {
  name: string;
  kind: number;
  spans: number;
  errors: number;
  p50Ns: number;
  p95Ns: number;
  maxNs: number;
}

export interface Where {
  service: string;
  ns: number;
}
export interface Entry {
  service: string;
  operation: string;
}
export interface Summary {
  traceId: string;
  start: string;
  durationNs: number;
  root: Entry | null;
  entry: Entry | null;
  spans: number;
  errors: number;
  logs: number;
  errorLogs: number;
  matched: number;
  /** Its root has not come yet, and it ended just now: what is said of it changes within seconds. */
  arriving: boolean;
  where: Where[];
}
export interface SummaryPage {
  traces: Summary[];
  total: Total;
  cursor: string | null;
  snapshot: string;
}

export interface ScatterEntry {
  service: string;
  operation: string;
  calls: number;
  errors: number;
  p50Ns: number;
  p95Ns: number;
}
export interface Scatter {
  total: Total;
  shown: number;
  sortedBy: string;
  entries: ScatterEntry[];
  traceId: string[];
  start: string[];
  durationNs: number[];
  spans: number[];
  errors: number[];
  errorLogs: number[];
  entry: number[];
  arriving: boolean[];
}

export interface SpanColumns {
  id: string[];
  parent: number[];
  service: number[];
  operation: number[];
  kind: number[];
  status: number[];
  startNs: number[];
  durationNs: number[];
  selfNs: number[];
  flags: number[];
  logs: number[];
  errorLogs: number[];
  worstLog: number[];
  tag: string[];
}
export interface Critical {
  row: number;
  fromNs: number;
  toNs: number;
}
export interface Note {
  row: number;
  kind: string;
  ns: number;
}
export interface Cut {
  shown: number;
  total: number;
  sortedBy: string;
}
export interface TraceColumns {
  traceId: string;
  start: string;
  durationNs: number;
  root: number;
  services: { name: string; color: number }[];
  operations: string[];
  spans: SpanColumns;
  critical: Critical[];
  where: Where[];
  logTicks: { row: number[]; atNs: number[]; severity: number[] };
  notes: Note[];
  cut: Cut | null;
}

export interface SpanEvent {
  time: string;
  name: string;
  attributes: Attr[];
}
export interface SpanLink {
  traceId: string;
  spanId: string;
  attributes: Attr[];
}
export interface SpanDetail {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  service: string;
  operation: string;
  kind: number | string;
  status: { code: number | string; message: string };
  start: string;
  end: string;
  durationNs: number;
  attributes: Attr[];
  resource: Attr[];
  scope: { name: string; version: string; attributes: Attr[] };
  events: SpanEvent[];
  links: SpanLink[];
  origin: string;
  /** The line that it was derived from. */
  source: { name: string; offset: number | null; log: string | null } | null;
}

export interface Log {
  id: string;
  time: string;
  observed: string;
  severity: number;
  severityText: string;
  service: string;
  body: string;
  traceId: string;
  spanId: string;
  flags: string[];
  attributes: Attr[];
  resource?: Attr[];
  /** Row of its span in the trace's columns, -1 without one; only in a trace's logs. */
  span?: number;
}
export interface LogPage {
  logs: Log[];
  cursor: string | null;
}
export interface TraceLogs {
  logs: Log[];
  total: Total;
}
export interface Histogram {
  total: Total;
  start: string;
  bucketNs: number;
  series: { severity: string; counts: number[] }[];
}
export interface Groups {
  total: Total;
  groups: { value: string; count: number }[];
  other: number;
  missing: number;
}

export interface KeyInfo {
  key: string;
  level: string;
}
export interface ValueInfo {
  value: string;
  count: number;
}

export interface Host {
  name: string;
  lastSeen: string;
  os: string;
  services: string[];
}
export interface MetricSeries {
  name: string;
  unit: string;
  attributes: Record<string, string>;
  values: (number | null)[];
}
export interface Process {
  pid: number;
  name: string;
  cpu: number;
  memory: number;
}
export interface HostMetrics {
  start: string;
  stepNs: number;
  series: MetricSeries[];
  processes: Process[];
}

/** A part of a source, in bytes, half open. */
export interface LedgerHole {
  start: number;
  end: number;
  cause: string;
}
/** One life of a file. `null` where its agent is another process. */
export interface LedgerSource {
  path: string;
  incarnation: string;
  read: number | null;
  acknowledged: number | null;
  pending: number | null;
  stored: { signal: string; bytes: number; records: number }[];
  holes: LedgerHole[];
}
export interface Ledger {
  sources: LedgerSource[];
  total: number;
  records: { signal: string; stored: number; duplicate: number; refused: number; lostBatches: number }[];
}
