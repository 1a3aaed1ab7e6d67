import type { LedgerSource } from '../api/types';

export type HoleCause = 'missing' | 'refused' | 'skipped-at-start';

/** What became of a file, in bytes. */
export interface Account {
  stored: number;
  records: number;
  holes: Partial<Record<HoleCause, number>>;
  /** Read, and neither stored nor a hole. */
  pending: number;
}

/** Lines are log records; the spans that some of them yield repeat their ranges. */
export function account(source: LedgerSource): Account {
  const logs = source.stored.filter(s => s.signal === 'logs'),
    sum = (of: (s: { bytes: number; records: number }) => number) => logs.reduce((n, s) => n + of(s), 0),
    holes: Account['holes'] = {};
  for (const h of source.holes) {
    const cause = h.cause as HoleCause;
    holes[cause] = (holes[cause] ?? 0) + h.end - h.start;
  }
  return { stored: sum(s => s.bytes), records: sum(s => s.records), holes, pending: source.pending ?? 0 };
}

/** Files with something missing first, then those with something on its way, then by path. */
export function byConcern(a: LedgerSource, b: LedgerSource): number {
  const concern = (s: LedgerSource) => {
    const { holes, pending } = account(s);
    return holes.missing ? 0 : holes.refused ? 1 : pending ? 2 : 3;
  };
  return (
    concern(a) - concern(b) || a.path.localeCompare(b.path) || a.incarnation.localeCompare(b.incarnation)
  );
}
