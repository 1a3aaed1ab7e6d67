/** Numbers as the design page writes them: three significant digits, a space before the unit. Durations are nanoseconds. */

const sig = (v: number): string =>
  v >= 99.95 ? Math.round(v).toString() : v >= 9.995 ? v.toFixed(1) : v.toFixed(2);

export function duration(ns: number): string {
  const us = ns / 1e3;
  if (ns < 0) return `−${duration(-ns)}`;
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  // Clocks of microseconds have no digits below one.
  if (us < 999.5) return `${us % 1 > 0.005 ? sig(us) : Math.round(us)} µs`;
  if (us < 999.5e3) return `${sig(us / 1e3)} ms`;
  if (us < 59.95e6) return `${sig(us / 1e6)} s`;
  const s = Math.round(us / 1e6);
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** On an axis trailing zeros say nothing: `200 ms`, `1 s`. */
export const axisDuration = (ns: number): string =>
  ns === 0
    ? '0'
    : duration(ns)
        .replace(/\.0+(?=\s)/, '')
        .replace(/(\.\d*[1-9])0+(?=\s)/, '$1')
        .replace(/ 0 (s|min|h)$/, '');

export const count = (v: number): string => Math.round(v).toLocaleString('en-US');
export const axisCount = (v: number): string => (v >= 1e6 ? `${+(v / 1e6).toFixed(1)} M` : count(v));

export function bytes(v: number): string {
  for (const [unit, size] of [
    ['TB', 1e12],
    ['GB', 1e9],
    ['MB', 1e6],
    ['kB', 1e3],
  ] as const)
    if (v >= size) return `${sig(v / size)} ${unit}`;
  return `${Math.round(v)} B`;
}

export function percent(v: number): string {
  if (v <= 0) return '0 %';
  if (v < 0.001) return '<0.1 %';
  return `${(v * 100).toFixed(v < 0.0995 ? 1 : 0)} %`;
}

export const offset = (ns: number): string => (ns < 0 ? `−${duration(-ns)}` : `+${duration(ns)}`);
export const shortId = (id: string): string => (id.length > 10 ? `${id.slice(0, 4)}…${id.slice(-4)}` : id);
export const decimal = (v: number): string =>
  Math.abs(v) >= 100 ? Math.round(v).toString() : v.toFixed(Math.abs(v) < 10 ? 2 : 1);
/** Events in a time of so many milliseconds, as a rate: `42.0/min`. */
export const perMinute = (n: number, millis: number): string => `${sig((n * 60e3) / millis)}/min`;
/** A time that is counted in whole seconds: `21 s`, `1 min 12 s`. */
export const seconds = (millis: number): string =>
  millis < 59_500 ? `${Math.max(0, Math.round(millis / 1e3))} s` : duration(Math.round(millis / 1e3) * 1e9);
