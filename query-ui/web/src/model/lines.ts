/** Log lines as lists show them. */
import type { Log } from '../api/types';

/** Both lists as one, newest first, each line once. Times are decimal strings of equal length. */
export function merge(a: Log[], b: Log[]): Log[] {
  const seen = new Set(a.map(l => l.id)),
    all = [...a, ...b.filter(l => !seen.has(l.id))];
  return all.sort((x, y) => (x.time < y.time ? 1 : x.time > y.time ? -1 : Number(y.id) - Number(x.id)));
}

/** The first of several lines; a mark tells that more follow. */
export const firstLine = (body: string): string => {
  const end = body.indexOf('\n');
  return end < 0 ? body : `${body.slice(0, end)} ⏎`;
};

const TIME = /^\[?(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?\s+/,
  SEPARATOR = /^(?:-{1,3}|:|\|)\s+/,
  ID_LABEL = /^(?:trace|span)_?id\s*[:=]\s*/i,
  BRACKETS = /^\[([^\]]*)\]\s*/,
  WORD = /^(\S+)\s+/,
  /** Parts before the message in any pattern that is in use. */
  PARTS = 12;

/**
 * What a list shows of a line: its message, without what the columns beside it and the line's attributes say already. Only a line that
 * begins with a time has such a head; the whole line stands in its detail.
 */
export function message(l: Log): string {
  const body = firstLine(l.body),
    time = TIME.exec(body);
  if (!time) return body;
  const known = new Set(
    [l.severityText, l.service, l.traceId, l.spanId, ...l.attributes.map(a => String(a.value))].map(v =>
      v.toLowerCase(),
    ),
  );
  const said = (text: string) => text === '' || known.has(text.trim().toLowerCase());
  let rest = body.slice(time[0].length);
  for (let part = 0; part < PARTS; part++) {
    const separator = SEPARATOR.exec(rest) ?? ID_LABEL.exec(rest),
      brackets = BRACKETS.exec(rest),
      word = WORD.exec(rest);
    const head = separator
      ? separator[0]
      : brackets && brackets[1].split(',').every(said)
        ? brackets[0]
        : word && said(word[1].replace(/:$/, ''))
          ? word[0]
          : '';
    if (!head) break;
    rest = rest.slice(head.length);
  }
  return rest.trim() ? rest : body;
}
