/** What was probably meant by a condition that nothing has ever satisfied. */
import { equals, toChips, type Chip } from './filter';

/** Wrong, missing, added or exchanged letters that still are a slip; in a short word fewer. */
const slips = (word: string): number => (word.length < 4 ? 1 : 2);

/** The least number of letters to change, add, remove or exchange with their neighbour. */
export function distance(a: string, b: string): number {
  let before: number[] = [],
    row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        next[j] = Math.min(next[j], before[j - 2] + 1);
    }
    before = row;
    row = next;
  }
  return row[b.length];
}

const LEVEL = /^(resource|scope|span|log)\./,
  NOT = /^(NOT )*/;

export interface Meant {
  /** What was written, as its chip says it. */
  chip: Chip;
  /** The key that nothing has, where that is what is wrong. */
  unknown?: string;
  /** The condition that was probably meant. */
  instead?: string;
}

/** Chips whose key is in nothing that is stored, or that are words where a condition was meant. `known`: all keys there are. */
export function meant(q: string, known: string[]): Meant[] {
  const keys = new Set(known);
  return toChips(q).flatMap((chip): Meant[] => {
    const not = NOT.exec(chip.text)![0];
    if (chip.key) {
      const key = chip.key.slice(not.length);
      if (keys.has(key) || keys.has(key.replace(LEVEL, ''))) return [];
      const near = known
        .map(k => ({ k, d: distance(key.toLowerCase(), k.toLowerCase()) }))
        .filter(x => x.d <= slips(key))
        .sort((a, b) => a.d - b.d)[0];
      return [
        {
          chip,
          unknown: key,
          ...(near && { instead: `${not}${near.k} ${chip.op}${chip.op === '*' ? '' : ` ${chip.value}`}` }),
        },
      ];
    }
    const pair = /^([^\s":]+):([^\s"]+)$/.exec(chip.text.slice(not.length));
    return pair && keys.has(pair[1]) ? [{ chip, instead: not + equals(pair[1], pair[2]) }] : [];
  });
}
