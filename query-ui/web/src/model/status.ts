/** How the server says it is doing: its stages, and which of them are in trouble. */
import type { Stage } from '../api/types';

/** States that are none of `ok`, the worst first; one that is not known here stands before them all. */
const WORST = ['stopped', 'failing', 'slow'] as const;
export type Trouble = (typeof WORST)[number];

export interface Health {
  /** Of the dot: red where data waits or is refused, amber where it only takes longer. */
  tone: 'ok' | 'warn' | 'err';
  /** The stages that are not well, the worst first; as data passes them where they are alike. */
  troubled: Stage[];
}

export function health(stages: Stage[]): Health {
  const rank = (s: Stage) => WORST.indexOf(s.state as Trouble),
    troubled = stages.filter(s => s.state !== 'ok').sort((a, b) => rank(a) - rank(b)),
    worst = troubled[0];
  return { tone: !worst ? 'ok' : worst.state === 'slow' ? 'warn' : 'err', troubled };
}
