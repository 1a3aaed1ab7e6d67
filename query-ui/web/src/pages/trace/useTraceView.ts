/** The view of a trace, read from the URL and written back to it. Spans are named by their id: rows shift when late spans arrive. */
import { useMemo } from 'react';
import type { View } from '../../model/rows';
import type { Trace } from '../../model/trace';
import { useUrl, type Search } from '../../ui/url';

export interface Shown {
  view: View;
  critical: boolean;
  quiet: boolean;
  zoom: [number, number];
}

const ids = (text: string | undefined): string[] => text?.split('_').filter(Boolean) ?? [];

export function useTraceView(
  t: Trace,
): [
  Shown,
  (
    change: Partial<
      Omit<View, 'only'> & {
        only: number | null;
        critical: boolean;
        quiet: boolean;
        zoom: [number, number] | null;
      }
    >,
    push?: boolean,
  ) => void,
  Search,
] {
  const [url, set] = useUrl();
  const shown = useMemo<Shown>(() => {
    const rows = (text: string | undefined) =>
        new Set(
          ids(text)
            .map(i => t.rowOf.get(i))
            .filter(r => r !== undefined),
        ),
      selected = url.span ? (t.rowOf.get(url.span) ?? null) : null;
    const only = url.only ? t.services.findIndex(s => s.name === url.only) : -1,
      zoom = url.zoom?.split('_').map(Number);
    return {
      view: {
        fold: url.fold !== '0',
        depth: url.depth ? Number(url.depth) || null : null,
        toggled: rows(url.folds),
        allLogs: url.logs === 'all',
        logs: url.logs === 'all' ? rows(url.nologs) : rows(url.logs),
        find: url.find ?? '',
        only: only < 0 ? null : only,
        selected,
      },
      critical: url.crit !== '0',
      quiet: url.quiet === '1',
      zoom:
        zoom?.length === 2 && zoom.every(Number.isFinite) && zoom[0] < zoom[1]
          ? [zoom[0], zoom[1]]
          : [0, t.durationNs],
    };
  }, [
    url.span,
    url.folds,
    url.fold,
    url.depth,
    url.logs,
    url.nologs,
    url.find,
    url.only,
    url.crit,
    url.quiet,
    url.zoom,
    t,
  ]);
  const change = (c: Parameters<ReturnType<typeof useTraceView>[1]>[0], push = false) => {
    const names = (rows: Set<number>) => [...rows].map(r => t.spans.id[r]).join('_') || null,
      out: Record<string, string | null> = {};
    if ('selected' in c) out.span = c.selected == null ? null : t.spans.id[c.selected];
    if (c.fold !== undefined) {
      out.fold = c.fold ? null : '0';
      out.folds = null;
      out.depth = null;
    }
    if ('depth' in c) {
      out.depth = c.depth ? String(c.depth) : null;
      out.folds = null;
    }
    if (c.toggled) out.folds = names(c.toggled);
    if (c.allLogs !== undefined) {
      out.logs = c.allLogs ? 'all' : null;
      out.nologs = null;
    }
    if (c.logs) out[shown.view.allLogs ? 'nologs' : 'logs'] = names(c.logs);
    if (c.find !== undefined) out.find = c.find || null;
    if ('only' in c) out.only = c.only == null ? null : t.services[c.only].name;
    if (c.critical !== undefined) out.crit = c.critical ? null : '0';
    if (c.quiet !== undefined) out.quiet = c.quiet ? '1' : null;
    if (c.zoom !== undefined)
      out.zoom =
        !c.zoom || (c.zoom[0] <= 0 && c.zoom[1] >= t.durationNs)
          ? null
          : c.zoom.map(v => Math.round(v)).join('_');
    set(out, push);
  };
  return [shown, change, url];
}
