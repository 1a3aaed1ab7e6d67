/** What the pages ask, as TanStack queries. Stale data stays until the new data is complete. */
import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { fallbackColor, shortener } from '../model/names';
import { isRelative, type Range } from '../model/time';
import { api, type Params } from './client';

const STATUS_MS = 2000,
  REFRESH_MS = 5000,
  HOST_MS = 10000,
  PAGE = 64,
  LOG_PAGE = 200;
export const RATE_MS = 30 * 60e3;
/** Spans and lines of an open trace may still arrive in its first minutes. */
const TRACE_LATE_MS = 5000;

/** A range as the API takes it; relative ends are resolved by the server. */
export const ask = (r: Range): Params => (r.from === '0' ? { to: r.to } : { from: r.from, to: r.to });
const refresh = (r: Range) => (isRelative(r) ? REFRESH_MS : false);

export const useStatus = () =>
  useQuery({
    queryKey: ['status'],
    queryFn: c => api.status(c.signal),
    refetchInterval: STATUS_MS,
    retry: false,
    staleTime: 0,
  });

/** Spans of each service in the last [`RATE_MS`]. */
export const useServiceRates = () =>
  useQuery({
    queryKey: ['services', 'rates'],
    queryFn: async c =>
      new Map(
        (await api.services({ from: `-${RATE_MS / 60e3}m` }, c.signal)).services.map(s => [s.name, s.spans]),
      ),
  });
export interface ServiceBook {
  names: string[];
  color: (name: string) => number;
  short: (name: string) => string;
}
export function useServices(): ServiceBook {
  const { data } = useQuery({
    queryKey: ['services'],
    queryFn: c => api.services({}, c.signal),
    refetchInterval: 15000,
  });
  return useMemo(() => {
    const list = data?.services ?? [],
      colors = new Map(list.map(s => [s.name, s.color])),
      names = list.map(s => s.name);
    return { names, color: n => colors.get(n) ?? fallbackColor(n), short: shortener(names) };
  }, [data]);
}

export const useScatter = (q: string, r: Range, enabled = true) =>
  useQuery({
    queryKey: ['scatter', q, r],
    queryFn: async c => ({ at: Date.now(), ...(await api.scatter({ q, ...ask(r), limit: 5000 }, c.signal)) }),
    placeholderData: keepPreviousData,
    refetchInterval: refresh(r),
    enabled,
  });

export const useTraces = (q: string, r: Range) =>
  useInfiniteQuery({
    queryKey: ['traces', q, r],
    queryFn: c => api.traces({ q, ...ask(r), limit: PAGE, cursor: c.pageParam }, c.signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: p => p.cursor ?? undefined,
    placeholderData: keepPreviousData,
    // A list that was paged is a snapshot; only the first page keeps up by itself.
    refetchInterval: s => ((s.state.data?.pages.length ?? 0) > 1 ? false : refresh(r)),
  });

export const useTrace = (id: string) =>
  useQuery({
    queryKey: ['trace', id],
    queryFn: c => api.trace(id, c.signal),
    refetchInterval: s =>
      s.state.error
        ? TRACE_LATE_MS
        : s.state.data && Date.now() - Number(BigInt(s.state.data.start) / 1000000n) < 60e3
          ? TRACE_LATE_MS
          : false,
  });
export const useTraceLogs = (id: string, enabled: boolean) =>
  useQuery({ queryKey: ['trace-logs', id], queryFn: c => api.traceLogs(id, c.signal), enabled });
/** The lines of one span, where those of its trace were too many to be loaded at once. */
export const useSpanLogs = (id: string, row: number, enabled: boolean) =>
  useQuery({ queryKey: ['span-logs', id, row], queryFn: c => api.spanLogs(id, row, c.signal), enabled });
export const useSpan = (id: string, row: number) =>
  useQuery({
    queryKey: ['span', id, row],
    queryFn: c => api.span(id, row, c.signal),
    placeholderData: keepPreviousData,
  });

/** `follow`: the list keeps up with what arrives; not while a reader looks at a line, which would move away. */
export const useLogs = (q: string, r: Range, enabled: boolean, follow: boolean) =>
  useInfiniteQuery({
    queryKey: ['logs', q, r],
    queryFn: c => api.logs({ q, ...ask(r), limit: LOG_PAGE, cursor: c.pageParam }, c.signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: p => p.cursor ?? undefined,
    placeholderData: keepPreviousData,
    refetchInterval: s => (!follow || (s.state.data?.pages.length ?? 0) > 1 ? false : refresh(r)),
    enabled,
  });
export const useLog = (id: string) =>
  useQuery({ queryKey: ['log', id], queryFn: c => api.log(id, c.signal), staleTime: Infinity });
export const useHistogram = (q: string, r: Range, buckets: number, enabled = true) =>
  useQuery({
    queryKey: ['histogram', q, r, buckets],
    queryFn: async c => ({ at: Date.now(), ...(await api.histogram({ q, ...ask(r), buckets }, c.signal)) }),
    placeholderData: keepPreviousData,
    refetchInterval: refresh(r),
    enabled,
  });
export const useLogGroups = (q: string, r: Range, by: string, limit: number) =>
  useQuery({
    queryKey: ['log-groups', q, r, by],
    queryFn: c => api.logGroups({ q, ...ask(r), by, limit }, c.signal),
    placeholderData: keepPreviousData,
    refetchInterval: refresh(r),
  });

export const useLedger = () =>
  useQuery({ queryKey: ['ledger'], queryFn: c => api.ledger(c.signal), refetchInterval: REFRESH_MS });

export const useHosts = () =>
  useQuery({ queryKey: ['hosts'], queryFn: c => api.hosts(c.signal), refetchInterval: HOST_MS });
export const useHostMetrics = (host: string, r: Range, points: number) =>
  useQuery({
    queryKey: ['host', host, r, points],
    queryFn: async c => ({
      at: Date.now(),
      ...(await api.hostMetrics(host, { ...ask(r), points }, c.signal)),
    }),
    placeholderData: keepPreviousData,
    refetchInterval: isRelative(r) ? HOST_MS : false,
  });
