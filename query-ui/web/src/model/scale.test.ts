import { describe, expect, it } from 'vitest';
import { decades, niceStep, ticks, timeScale } from './scale';

describe('time scale', () => {
  const plain = timeScale(0, 1000, 500),
    cut = timeScale(0, 1000, 500, [[200, 800]]);
  it('spans the width', () =>
    expect([plain(0), plain(1000), cut(0), Math.round(cut(1000))]).toEqual([0, 500, 0, 500]));
  it('draws a quiet stretch short', () => expect(cut(800) - cut(200)).toBeLessThan(60));
  it.each([0, 100, 200, 500, 800, 900, 1000])('inverts at %d', v => {
    expect(cut.invert(cut(v))).toBeCloseTo(v, 6);
    expect(plain.invert(plain(v))).toBeCloseTo(v, 6);
  });
});
it.each([
  [1000, 5, 200],
  [1000, 4, 500],
  [7, 3, 5],
  [0.3, 3, 0.1],
])('steps of %d in %d', (span, n, step) => expect(niceStep(span, n)).toBeCloseTo(step, 12));
it('puts ticks on multiples', () => expect(ticks(150, 1000, 4)).toEqual([500, 1000]));
it('finds decades', () => expect(decades(8, 9000)).toEqual([10, 100, 1000]));
