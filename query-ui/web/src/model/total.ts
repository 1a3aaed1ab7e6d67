/** How many there are, where a count may have ended early. */
import type { Total } from '../api/types';
import { count } from './format';

/** Of two counts of the same: the exact one, else the one that got further. */
export const better = (a: Total, b: Total | undefined): Total =>
  b && !a.exact && (b.exact || b.value > a.value) ? b : a;

/** A count as it is shown, with the words of the language where it is not exact. */
export const shownTotal = (total: Total, t: { atLeast: (n: string) => string }): string =>
  total.exact ? count(total.value) : t.atLeast(count(total.value));

/** The same where a sentence begins with it. */
export function beginning(total: Total, t: { atLeast: (n: string) => string }): string {
  const text = shownTotal(total, t);
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
