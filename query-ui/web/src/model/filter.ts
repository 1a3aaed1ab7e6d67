/**
 * The filter's text and its chips. The text is the truth (the server parses it); chips are a view of a text that is a plain
 * conjunction. A text with OR or brackets stays one chip, so nothing that was written is lost or reordered.
 */

export interface Chip {
  text: string;
  key?: string;
  op?: string;
  value?: string;
}

/** A run of operator characters is one operator: the server says so where it is none, such as `==`. */
const PART =
  /\s*(?:("(?:[^"\\]|\\.)*"\*?)|([()])|([^\s"()=<>!~]+)(?:\s*([=<>!~]+)\s*("(?:[^"\\]|\\.)*"|[^\s()]+))?|(\S+))/gy;
const DURATION = /^(NOT )*(trace\.)?duration$/,
  UNIT = /^(ns|us|µs|μs|ms|s|m|min|h)$/;

export function toChips(q: string): Chip[] {
  const chips: Chip[] = [];
  let not = '';
  PART.lastIndex = 0;
  while (PART.lastIndex < q.length) {
    const m = PART.exec(q);
    if (!m || !m[0].trim()) break;
    if (m[2] || m[6] || m[3] === 'OR') return [{ text: q.trim() }];
    if (m[3] === 'NOT' && !m[4]) {
      not += 'NOT ';
      continue;
    }
    if (m[3] === 'AND' && !m[4]) continue;
    const last = chips.at(-1);
    if (last?.key && DURATION.test(last.key) && !m[4] && UNIT.test(m[3]) && /^[\d.]+$/.test(last.value!)) {
      // The unit stood apart from its number.
      chips[chips.length - 1] = { ...last, text: last.text + m[3], value: last.value + m[3] };
      continue;
    }
    if (m[3] === '*' && last && !last.op) {
      chips[chips.length - 1] = { text: `${last.text} *`, key: last.text, op: '*' };
      continue;
    }
    chips.push(
      m[4]
        ? { text: `${not}${m[3]} ${m[4]} ${m[5]}`, key: not + m[3], op: m[4], value: m[5]! }
        : { text: not + (m[1] ?? m[3]) },
    );
    not = '';
  }
  return not ? [{ text: q.trim() }] : chips;
}

export const fromChips = (chips: Chip[]): string => chips.map(c => c.text).join(' ');

/** What a condition asks for, without saying whether it is asked for or excluded. */
const asked = (condition: string): string =>
  condition.replace(/^(NOT )+/, '').replace(/^trace\.service /, 'service ');

/**
 * Adds a condition; brackets keep the meaning of a text that is more than a conjunction. What excludes a value takes the place of
 * what asks for it, and the other way round: nothing would satisfy both.
 */
export function add(q: string, condition: string): string {
  const text = q.trim();
  if (!text) return condition;
  const chips = toChips(text);
  if (chips.some(c => c.text === condition)) return text;
  const excludes = (c: string) => c.startsWith('NOT '),
    opposite = chips.findIndex(
      c => excludes(c.text) !== excludes(condition) && asked(c.text) === asked(condition),
    );
  if (opposite >= 0) return fromChips(chips.map((c, i) => (i === opposite ? { text: condition } : c)));
  return chips.length === 1 && /\bOR\b/.test(text) ? `(${text}) ${condition}` : `${text} ${condition}`;
}

export function remove(q: string, index: number): string {
  return fromChips(toChips(q).filter((_, i) => i !== index));
}

/** A value as the filter reads it: quoted unless it is a plain word or number. */
export function quote(value: string): string {
  return /^[\p{L}\p{N}_.\-:/]+$/u.test(value) && !/^(AND|OR|NOT)$/.test(value)
    ? value
    : `"${value.replace(/(["\\])/g, '\\$1')}"`;
}
export const equals = (key: string, value: string): string => `${key} = ${quote(value)}`;
export const excludes = (key: string, value: string): string => `NOT ${key} = ${quote(value)}`;

/** Where the cursor stands: in a key, or in the value of a key. `from` is where a completion starts. */
export interface Place {
  kind: 'key' | 'op' | 'value';
  key: string;
  prefix: string;
  from: number;
}

export function place(text: string, at: number): Place {
  const before = text.slice(0, at);
  const value = /([^\s"()=<>!~]+)\s*[=<>!~]+\s*("?[^\s"]*)$/.exec(before);
  if (value)
    return { kind: 'value', key: value[1], prefix: value[2].replace(/^"/, ''), from: at - value[2].length };
  const key = /([^\s"()=<>!~]*)$/.exec(before)!;
  const op = /([^\s"()=<>!~]+)\s+$/.exec(before);
  if (op && !/^(AND|OR|NOT)$/.test(op[1])) return { kind: 'op', key: op[1], prefix: '', from: at };
  return { kind: 'key', key: key[1], prefix: key[1], from: at - key[1].length };
}

export interface Field {
  key: string;
  ops: string[];
  hint: 'duration' | 'status' | 'severity' | 'trace' | 'entry' | 'services' | '';
}
const TEXT = ['=', '!=', '~'],
  NUMBER = ['=', '!=', '<', '>', '<=', '>='];
const SPAN_FIELDS: Field[] = [
  { key: 'service', ops: TEXT, hint: 'services' },
  { key: 'operation', ops: TEXT, hint: '' },
  { key: 'duration', ops: NUMBER, hint: 'duration' },
  { key: 'status', ops: ['=', '!='], hint: 'status' },
  { key: 'entry', ops: TEXT, hint: 'entry' },
  { key: 'trace.duration', ops: NUMBER, hint: 'trace' },
  { key: 'trace.spans', ops: NUMBER, hint: 'trace' },
  { key: 'trace.errors', ops: NUMBER, hint: 'trace' },
];
const LOG_FIELDS: Field[] = [
  { key: 'service', ops: TEXT, hint: 'services' },
  { key: 'severity', ops: NUMBER, hint: 'severity' },
  { key: 'trace.id', ops: ['='], hint: '' },
  { key: 'span.id', ops: ['='], hint: '' },
];
export const builtIn = (signal: 'spans' | 'logs'): Field[] => (signal === 'spans' ? SPAN_FIELDS : LOG_FIELDS);
export const operators = (key: string, signal: 'spans' | 'logs'): string[] =>
  builtIn(signal).find(f => f.key === key)?.ops ?? ['=', '!=', '~', '<', '>'];

/** The condition of a text that excludes most cannot be known here; candidates are the texts without one chip each. */
export function without(q: string): { chip: Chip; rest: string }[] {
  const chips = toChips(q);
  return chips.map((chip, i) => ({ chip, rest: fromChips(chips.filter((_, k) => k !== i)) }));
}

/** The server counts bytes of UTF-8; a string is indexed in UTF-16. */
export function byteToIndex(text: string, byte: number): number {
  let seen = 0,
    i = 0;
  for (const ch of text) {
    if (seen >= byte) break;
    seen += new TextEncoder().encode(ch).length;
    i += ch.length;
  }
  return i;
}
