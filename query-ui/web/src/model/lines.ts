/** Log lines as lists show them. */
import type { Log } from '../api/types';

/** Both lists as one, newest first, each line once. Times are decimal strings of equal length. */
export function merge(a: Log[], b: Log[]): Log[] {
  const seen = new Set(a.map(l => l.id)),
    all = [...a, ...b.filter(l => !seen.has(l.id))];
  return all.sort((x, y) => (x.time < y.time ? 1 : x.time > y.time ? -1 : Number(y.id) - Number(x.id)));
}

/** What a list shows of a line; a mark tells that more follows. */
export const firstLine = (body: string): string => {
  const end = body.indexOf('\n');
  return end < 0 ? body : `${body.slice(0, end)} ⏎`;
};
