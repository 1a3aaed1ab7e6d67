/** Names where space is short: an affix that 80 % of the services share is dropped. The full name stands in the tooltip. */

const SHARE = 0.8,
  LEAST = 4;

export function shortener(names: string[]): (name: string) => string {
  const prefix = names.length >= LEAST ? shared(names.map(n => /^[^-_.]+[-_.]/.exec(n)?.[0] ?? '')) : '';
  const suffix = names.length >= LEAST ? shared(names.map(n => /[-_.][^-_.]+$/.exec(n)?.[0] ?? '')) : '';
  return name => {
    let s = name;
    if (prefix && s.startsWith(prefix) && s.length > prefix.length) s = s.slice(prefix.length);
    if (suffix && s.endsWith(suffix) && s.length > suffix.length) s = s.slice(0, -suffix.length);
    return s;
  };
}

function shared(affixes: string[]): string {
  const counts = new Map<string, number>();
  for (const a of affixes) if (a) counts.set(a, (counts.get(a) ?? 0) + 1);
  const [best, n] = [...counts].reduce((m, c) => (c[1] > m[1] ? c : m), ['', 0] as [string, number]);
  return n >= affixes.length * SHARE ? best : '';
}

/** Until the collector's colour is known: the hash that its probe starts from. */
export function fallbackColor(name: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
  return (h >>> 0) % 12;
}

/** What the tag says beyond the operation's name: `GET /cart 200` beside `GET /cart` is `200`. */
export function beside(tag: string, op: string): string {
  if (!tag || op.includes(tag)) return '';
  return tag.startsWith(`${op} `) ? tag.slice(op.length + 1) : tag;
}
