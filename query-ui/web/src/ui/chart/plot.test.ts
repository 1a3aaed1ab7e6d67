import { expect, test } from 'vitest';
import { highest, toTime, toX, type Box, type Data } from './plot';

const box: Box = { width: 554, height: 100, window: { from: 1000, to: 2000 }, zone: { utc: true } };
const data = (values: (number | null)[][], more: Partial<Data> = {}): Data => ({
  start: 0,
  step: 1,
  series: values.map(v => ({ name: '', color: 'chart-1', values: v })),
  kind: 'lines',
  stacked: false,
  format: String,
  holes: [],
  ...more,
});

test.each([
  [
    'the greatest value',
    data([
      [1, 5, null],
      [2, 3, 4],
    ]),
    5 * 1.12,
  ],
  [
    'the greatest sum when stacked',
    data(
      [
        [1, 5, null],
        [2, 3, 4],
      ],
      { stacked: true },
    ),
    8 * 1.12,
  ],
  ['what the caller says', data([[1, 5]], { max: 100 }), 100],
  ['one, where nothing was measured', data([[null, null]]), 1],
  ['one, without a series', data([]), 1],
])('the scale ends at %s', (_, d, expected) => expect(highest(d)).toBeCloseTo(expected));

test('a place and its time are inverse inside the window, and outside its edges count', () => {
  for (const at of [1000, 1250, 2000]) expect(toTime(box, toX(box, at))).toBeCloseTo(at);
  expect(toTime(box, -50)).toBe(1000);
  expect(toTime(box, 5000)).toBe(2000);
});
