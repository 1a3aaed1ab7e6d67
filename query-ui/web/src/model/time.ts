/** Moments and ranges. A moment is a bigint of Unix nanoseconds; a range in the URL is relative (`-30m`), RFC 3339 or nanoseconds. */

export const MS = 1_000_000n;
const UNITS: Record<string, number> = { s: 1e3, m: 60e3, h: 3600e3, d: 86400e3 };

export interface Range {
  from?: string;
  to?: string;
}
/** Milliseconds since the epoch, for scales. */
export interface Window {
  from: number;
  to: number;
}

export const RELATIVE = ['-5m', '-15m', '-30m', '-1h', '-6h', '-24h', '-7d'] as const;
export const DEFAULT_FROM = '-30m';

export const ms = (ns: string | bigint): number => Number(BigInt(ns) / MS);

export function parseMoment(text: string | undefined, now: number): number | null {
  if (!text) return null;
  if (text === 'now') return now;
  const rel = /^-(\d+)([smhd])$/.exec(text);
  if (rel) return now - Number(rel[1]) * UNITS[rel[2]];
  if (/^\d{16,}$/.test(text)) return ms(text);
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : at;
}

export const isRelative = (r: Range): boolean =>
  /^-\d+[smhd]$/.test(r.from ?? DEFAULT_FROM) && (r.to ?? 'now') === 'now';

export function toWindow(r: Range, now: number): Window {
  const to = parseMoment(r.to, now) ?? now;
  return { from: parseMoment(r.from ?? DEFAULT_FROM, now) ?? to - 1800e3, to };
}

/** The same range that still shows the same records tomorrow. */
export function absolute(r: Range, now: number): Range {
  const w = toWindow(r, now);
  return { from: new Date(w.from).toISOString(), to: new Date(w.to).toISOString() };
}

export interface Zone {
  utc: boolean;
}

function parts(at: number, zone: Zone): { y: number; mo: number; d: number; time: string } {
  // Shifting by the zone's offset lets one ISO string serve both zones.
  const iso = new Date(zone.utc ? at : at - new Date(at).getTimezoneOffset() * 60e3).toISOString();
  return { y: +iso.slice(0, 4), mo: +iso.slice(5, 7), d: +iso.slice(8, 10), time: iso.slice(11, 23) };
}
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

export const clock = (at: number, zone: Zone): string => parts(at, zone).time;
export const hourMinute = (at: number, zone: Zone): string => parts(at, zone).time.slice(0, 5);
export const hourMinuteSecond = (at: number, zone: Zone): string => parts(at, zone).time.slice(0, 8);
export function day(at: number, zone: Zone, lang: string): string {
  const p = parts(at, zone);
  return lang === 'zh' ? `${p.y} 年 ${p.mo} 月 ${p.d} 日` : `${p.d} ${MONTHS[p.mo - 1]} ${p.y}`;
}
/** The time of an entry in a list whose head names one day: an entry of another day says which. */
export function clockBeside(at: number, head: number, zone: Zone): string {
  const p = parts(at, zone),
    h = parts(head, zone);
  if (p.y === h.y && p.mo === h.mo && p.d === h.d) return p.time;
  return `${String(p.mo).padStart(2, '0')}-${String(p.d).padStart(2, '0')} ${p.time.slice(0, 8)}`;
}
export function zoneName(zone: Zone, at: number): string {
  const minutes = -new Date(at).getTimezoneOffset();
  if (zone.utc || minutes === 0) return 'UTC';
  const a = Math.abs(minutes);
  return `UTC${minutes > 0 ? '+' : '−'}${Math.floor(a / 60)}${a % 60 ? `:${String(a % 60).padStart(2, '0')}` : ''}`;
}
/** To the nanosecond, in both zones: the tooltip of every time. */
export function exact(ns: string | bigint): string {
  const n = BigInt(ns),
    at = ms(n),
    tail = String(n % MS).padStart(6, '0');
  const line = (zone: Zone) => {
    const p = parts(at, zone);
    return `${p.y}-${String(p.mo).padStart(2, '0')}-${String(p.d).padStart(2, '0')} ${p.time}${tail} ${zoneName(zone, at)}`;
  };
  const utc = line({ utc: true }),
    local = line({ utc: false });
  return utc === local ? utc : `${local}\n${utc}`;
}

/** Steps of a time axis in milliseconds, about `n` of them. */
export function timeTicks(w: Window, n: number, zone: Zone): number[] {
  const steps = [
    1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3, 7200e3, 10800e3,
    21600e3, 43200e3, 86400e3, 172800e3, 604800e3,
  ];
  const want = (w.to - w.from) / Math.max(1, n),
    step = steps.find(s => s >= want) ?? steps.at(-1)!;
  const shift = zone.utc ? 0 : -new Date(w.to).getTimezoneOffset() * 60e3,
    out: number[] = [];
  for (let t = Math.ceil((w.from + shift) / step) * step - shift; t < w.to; t += step) out.push(t);
  return out;
}
export function tickLabel(at: number, w: Window, zone: Zone): string {
  const span = w.to - w.from;
  if (span <= 5 * 60e3) return hourMinuteSecond(at, zone);
  if (span <= 36 * 3600e3) return hourMinute(at, zone);
  const p = parts(at, zone);
  return `${String(p.mo).padStart(2, '0')}-${String(p.d).padStart(2, '0')} ${p.time.slice(0, 5)}`;
}

/** Stretches in which nothing arrived, out of all proportion to the usual distance of two records. Both edges count. */
export function holes(times: number[], w: Window): [number, number][] {
  const MIN_SHARE = 0.035,
    MIN_FACTOR = 12;
  const t = times.filter(x => x >= w.from && x <= w.to).sort((a, b) => a - b);
  if (t.length < 2) return [];
  const gaps = t
      .slice(1)
      .map((x, i) => x - t[i])
      .sort((a, b) => a - b),
    usual = gaps[gaps.length >> 1],
    out: [number, number][] = [];
  const least = Math.max((w.to - w.from) * MIN_SHARE, usual * MIN_FACTOR);
  [w.from, ...t, w.to].forEach((x, i, all) => {
    if (i && x - all[i - 1] > least) out.push([all[i - 1], x]);
  });
  return out;
}
