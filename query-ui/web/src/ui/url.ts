/** The URL is the state: all that changes what is seen is a search parameter, all of them plain text. */
import { useCallback, useMemo } from 'react';
import { useNavigate, useRouter, useSearch } from '@tanstack/react-router';
import type { Range, Zone } from '../model/time';
import { DEFAULT_FROM, absolute, isRelative } from '../model/time';

export type Search = Record<string, string | undefined>;
type Change = Record<string, string | null | undefined>;

export function useUrl(): [Search, (change: Change, push?: boolean) => void] {
  const search = useSearch({ strict: false }) as Search,
    navigate = useNavigate();
  const set = useCallback(
    (change: Change, push = false) => {
      void navigate({
        to: '.',
        replace: !push,
        resetScroll: false,
        search: ((old: Search) => {
          const next: Search = { ...old };
          for (const [k, v] of Object.entries(change)) {
            if (v === null || v === undefined || v === '') delete next[k];
            else next[k] = v;
          }
          return next;
        }) as never,
      });
    },
    [navigate],
  );
  return [search, set];
}

export function useRange(): Range {
  const { from, to } = useSearch({ strict: false }) as Search;
  return useMemo(() => ({ from: from ?? DEFAULT_FROM, to: to === 'now' ? undefined : to }), [from, to]);
}
/** `from=0` means everything. */
export const ALL_TIME: Range = { from: '0' };

export function useZone(): Zone {
  const { tz } = useSearch({ strict: false }) as Search;
  return useMemo(() => ({ utc: tz === 'utc' }), [tz]);
}

/** Parameters that a link to another page takes along. */
export function carry(search: Search): Search {
  const { from, to, tz } = search;
  return { ...(from && { from }), ...(to && { to }), ...(tz && { tz }) };
}

/** The address of what is seen, with a relative time made absolute. */
export function useShareLink(): () => string {
  const router = useRouter();
  return () => {
    const url = new URL(location.href),
      search = router.state.location.search as Search,
      range: Range = { from: search.from, to: search.to };
    if (isRelative(range) && range.from !== '0')
      for (const [k, v] of Object.entries(absolute(range, Date.now()))) url.searchParams.set(k, v as string);
    return url.href;
  };
}
