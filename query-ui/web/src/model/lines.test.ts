import { expect, test } from 'vitest';
import type { Log } from '../api/types';
import { firstLine, merge } from './lines';

const line = (id: string, time: string): Log => ({
  id,
  time,
  observed: time,
  severity: 9,
  severityText: '',
  service: 'order',
  body: id,
  traceId: '',
  spanId: '',
  flags: [],
  attributes: [],
});
const T = '179553726158039900';

test.each([
  [['2', '1'], [], '21'],
  [['3'], ['2', '1'], '321'],
  [['3', '2'], ['2', '1'], '321'],
  [['1'], ['3', '2'], '321'],
])('%j and %j become one list, newest first', (a, b, expected) => {
  const lines = (ids: string[]) => ids.map(id => line(id, T + id));
  expect(
    merge(lines(a), lines(b))
      .map(l => l.id)
      .join(''),
  ).toBe(expected);
});

test('of lines with one time the later stored comes first', () => {
  expect(merge([line('9', T)], [line('10', T)]).map(l => l.id)).toEqual(['10', '9']);
});

test.each([
  ['one', 'one'],
  ['one\ntwo', 'one ⏎'],
])('%j shows %j', (body, expected) => expect(firstLine(body)).toBe(expected));
