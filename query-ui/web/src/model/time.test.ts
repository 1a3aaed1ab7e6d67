import { describe, expect, it } from 'vitest';
import { absolute, clock, clockBeside, exact, holes, isRelative, timeTicks, toWindow } from './time';

const NOW = Date.parse('2026-11-24T12:00:00Z'),
  UTC = { utc: true };

describe('range', () => {
  it.each([
    [{}, 1800e3],
    [{ from: '-5m' }, 300e3],
    [{ from: '-2h', to: '-1h' }, 3600e3],
    [{ from: '2026-11-24T11:00:00Z', to: 'now' }, 3600e3],
    [{ from: '1795520400000000000', to: '1795521600000000000' }, 1200e3],
  ])('%j is %d ms long', (r, length) => {
    const w = toWindow(r, NOW);
    expect(w.to - w.from).toBe(length);
  });
  it('stays relative only when it ends now', () =>
    expect([
      isRelative({}),
      isRelative({ from: '-2h', to: '-1h' }),
      isRelative({ from: '2026-11-24' }),
    ]).toEqual([true, false, false]));
  it('becomes absolute for a link', () =>
    expect(absolute({ from: '-30m' }, NOW)).toEqual({
      from: '2026-11-24T11:30:00.000Z',
      to: '2026-11-24T12:00:00.000Z',
    }));
});
it('keeps nanoseconds', () =>
  expect(exact('1674981729479000123')).toContain('2023-01-29 08:42:09.479000123 UTC'));
it('writes the clock', () => expect(clock(1674981729479, UTC)).toBe('08:42:09.479'));
it('puts ticks on round times', () =>
  expect(timeTicks({ from: NOW - 1800e3, to: NOW }, 6, UTC).map(t => (t - NOW) / 60e3)).toEqual([
    -30, -25, -20, -15, -10, -5,
  ]));
describe('holes', () => {
  const steady = Array.from({ length: 100 }, (_, i) => i * 10);
  it('finds none in steady traffic', () => expect(holes(steady, { from: 0, to: 1000 })).toEqual([]));
  it('finds one in the middle and at the edges', () =>
    expect(
      holes([...steady.map(t => t + 1000), ...steady.map(t => t + 4000)], { from: 0, to: 6000 }),
    ).toEqual([
      [0, 1000],
      [1990, 4000],
      [4990, 6000],
    ]));
  it('says nothing about sparse data', () =>
    expect(holes([0, 300, 600, 1000], { from: 0, to: 1000 })).toEqual([]));
});

it('names the day of an entry that is not of the day in the head', () => {
  expect(clockBeside(NOW, NOW + 3600e3, UTC)).toBe('12:00:00.000');
  expect(clockBeside(NOW - 86400e3, NOW, UTC)).toBe('11-23 12:00:00');
});
