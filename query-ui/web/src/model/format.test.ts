import { describe, expect, it } from 'vitest';
import { axisDuration, bytes, count, duration, perMinute, percent, seconds } from './format';

describe('duration', () => {
  it.each([
    [0, '0 ns'],
    [812_000, '812 µs'],
    [999_600, '1.00 ms'],
    [12_340_000, '12.3 ms'],
    [2_580_000_000, '2.58 s'],
    [72_000_000_000, '1 min 12 s'],
    [59_960_000_000, '1 min 0 s'],
    [1_500, '1.50 µs'],
    [12_340, '12.3 µs'],
    [12_000, '12 µs'],
    [99_960_000, '100 ms'],
    [7_500_000_000_000, '2 h 5 min'],
  ])('%d ns is %s', (ns, text) => expect(duration(ns)).toBe(text));
});
describe('axis', () => {
  it.each([
    [0, '0'],
    [200_000_000, '200 ms'],
    [1_000_000_000, '1 s'],
    [2_500_000, '2.5 ms'],
    [20_000_000, '20 ms'],
    [900e9, '15 min'],
    [910e9, '15 min 10 s'],
    [7200e9, '2 h'],
  ])('%d ns is %s', (ns, text) => expect(axisDuration(ns)).toBe(text));
});
it('writes bytes in decimal units', () =>
  expect([bytes(999), bytes(1e3), bytes(38.2e9)]).toEqual(['999 B', '1.00 kB', '38.2 GB']));
it('writes percents', () =>
  expect([0, 0.0004, 0.045, 0.28, 1].map(percent)).toEqual(['0 %', '<0.1 %', '4.5 %', '28 %', '100 %']));
it('writes rates', () =>
  expect([perMinute(21, 30e3), perMinute(226, 1800e3)]).toEqual(['42.0/min', '7.53/min']));
it('counts whole seconds', () =>
  expect([0, 5_910, 59_400, 72_000].map(seconds)).toEqual(['0 s', '6 s', '59 s', '1 min 12 s']));
it('groups thousands', () => expect(count(48213)).toBe('48,213'));
