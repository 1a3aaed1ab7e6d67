/** Time to pixels inside a trace, with quiet stretches drawn short, and the steps of its axis. */

/** Width of a shortened stretch, as a share of the window. */
const KEEP = 0.045;

export interface Scale {
  (ns: number): number;
  invert(px: number): number;
  cuts: [number, number][];
}

export function timeScale(from: number, to: number, width: number, quiet: [number, number][] = []): Scale {
  const full = Math.max(1, to - from),
    cuts = quiet.filter(([a, b]) => a >= from && b <= to),
    short = full * KEEP;
  const saved = cuts.reduce((s, [a, b]) => s + (b - a) - short, 0),
    k = width / (full - saved);
  const x = ((v: number): number => {
    let u = v - from;
    for (const [a, b] of cuts) {
      if (v >= b) u -= b - a - short;
      else if (v > a) u -= (v - a) * (1 - short / (b - a));
    }
    return u * k;
  }) as Scale;
  x.cuts = cuts;
  x.invert = px => {
    let u = px / k,
      at = from;
    for (const [a, b] of cuts) {
      const before = a - at;
      if (u <= before) return at + u;
      if (u <= before + short) return a + ((u - before) / short) * (b - a);
      u -= before + short;
      at = b;
    }
    return at + u;
  };
  return x;
}

/** The least step of 1, 2 or 5 times a power of ten that makes at most `n` parts. */
export function niceStep(span: number, n: number): number {
  const raw = span / Math.max(1, n),
    power = 10 ** Math.floor(Math.log10(raw));
  return ([1, 2, 5, 10].find(m => m * power >= raw * 0.999999) ?? 10) * power;
}

export function ticks(from: number, to: number, n: number): number[] {
  const step = niceStep(to - from, n),
    out: number[] = [];
  for (let i = Math.ceil(from / step); i * step <= to; i++) out.push(i * step);
  return out;
}

/** Powers of ten inside a range, for logarithmic axes. */
export function decades(lo: number, hi: number): number[] {
  const out: number[] = [];
  for (let p = Math.ceil(Math.log10(lo)); 10 ** p <= hi; p++) out.push(10 ** p);
  return out;
}
