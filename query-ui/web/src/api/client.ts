/** Calls of the query API. Every failure is an ApiError that says who failed and, for a filter, where. */
import type * as T from './types';

const BASE = '/api/v1',
  STATUS = '/status';

export class ApiError extends Error {
  constructor(
    message: string,
    /** HTTP status, 0 when the server did not answer. */
    readonly status: number,
    readonly code: string,
    /** Byte offsets of the offending token in `q`. */
    readonly start?: number,
    readonly end?: number,
    readonly suggestion?: string,
    /** What is wrong with a filter, and what the message has filled in: so that it can be said in another language. */
    readonly reason: string = '',
    readonly params: string[] = [],
  ) {
    super(message);
  }
  /** The question is wrong, so asking again does not help. */
  get final(): boolean {
    return this.status >= 400 && this.status < 500;
  }
}

export type Params = Record<string, string | number | undefined>;

export function address(path: string, params: Params = {}): string {
  const search = new URLSearchParams();
  for (const [k, v] of Object.entries(params)) if (v !== undefined && v !== '') search.set(k, String(v));
  const text = search.toString();
  return BASE + path + (text ? `?${text}` : '');
}

/** Since when and how often in a row the server has not answered. The status does not count: it is there where nothing else is answered. */
let outage: { since: number; tries: number } | null = null;
export const currentOutage = () => outage;
const failed = (path: string) => {
  if (path !== STATUS) outage = { since: outage?.since ?? Date.now(), tries: (outage?.tries ?? 0) + 1 };
};

async function get<R>(path: string, params: Params, signal?: AbortSignal): Promise<R> {
  let res: Response;
  try {
    res = await fetch(address(path, params), { signal: signal ?? null });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    failed(path);
    throw new ApiError('connection refused or lost', 0, 'unreachable');
  }
  if (res.status >= 500) failed(path);
  else if (path !== STATUS) outage = null;
  if (!res.ok) {
    const e = (await res.json().catch(() => null)) as {
      error?: {
        code: string;
        message: string;
        start?: number;
        end?: number;
        suggestion?: string;
        reason?: string;
        params?: string[];
      };
    } | null;
    const error = e?.error;
    throw new ApiError(
      error?.message ?? `HTTP ${res.status}`,
      error ? res.status : res.status >= 500 ? 0 : res.status,
      error?.code ?? 'unreachable',
      error?.start,
      error?.end,
      error?.suggestion,
      error?.reason,
      error?.params,
    );
  }
  return (await res.json()) as R;
}

const id = encodeURIComponent;
type S = AbortSignal;

export const api = {
  status: (s?: S) => get<T.Status>(STATUS, {}, s),
  services: (p: Params, s?: S) => get<{ services: T.Service[] }>('/services', p, s),
  operations: (service: string, s?: S) =>
    get<{ operations: T.Operation[] }>(`/services/${id(service)}/operations`, {}, s),
  traces: (p: Params, s?: S) => get<T.SummaryPage>('/traces', p, s),
  scatter: (p: Params, s?: S) => get<T.Scatter>('/traces/scatter', p, s),
  trace: (trace: string, s?: S) => get<T.TraceColumns>(`/traces/${id(trace)}`, {}, s),
  span: (trace: string, row: number, s?: S) => get<T.SpanDetail>(`/traces/${id(trace)}/spans/${row}`, {}, s),
  spanLogs: (trace: string, row: number, s?: S) =>
    get<T.TraceLogs>(`/traces/${id(trace)}/spans/${row}/logs`, { limit: 1000 }, s),
  traceLogs: (trace: string, s?: S) => get<T.TraceLogs>(`/traces/${id(trace)}/logs`, { limit: 1000 }, s),
  logs: (p: Params, s?: S) => get<T.LogPage>('/logs', p, s),
  log: (log: string, s?: S) => get<T.Log>(`/logs/${id(log)}`, {}, s),
  histogram: (p: Params, s?: S) => get<T.Histogram>('/logs/histogram', p, s),
  logGroups: (p: Params, s?: S) => get<T.Groups>('/logs/groups', p, s),
  keys: (p: Params, s?: S) => get<{ keys: T.KeyInfo[]; complete: boolean }>('/keys', p, s),
  values: (p: Params, s?: S) => get<{ values: T.ValueInfo[]; complete: boolean }>('/values', p, s),
  hosts: (s?: S) => get<{ hosts: T.Host[] }>('/hosts', {}, s),
  ledger: (s?: S) => get<T.Ledger>('/ledger', {}, s),
  hostMetrics: (host: string, p: Params, s?: S) => get<T.HostMetrics>(`/hosts/${id(host)}/metrics`, p, s),
  tail: (p: Params) => new EventSource(address('/logs/tail', p)),
};
