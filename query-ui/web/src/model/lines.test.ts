import { expect, test } from 'vitest';
import type { Log } from '../api/types';
import { firstLine, merge, message } from './lines';

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

const HEX32 = '075efa0c46ea657b62e1a3d167640c66',
  HEX16 = '8226618ae1066c22';
const attribute = (key: string, value: string) => ({ key, value, type: 'string' });
test.each([
  ['GET / answered 200', 'GET / answered 200'],
  ['INFO is a level', 'INFO is a level'],
  [
    `2026-11-25T18:28:02.880Z DEBUG [order,${HEX32},${HEX16}] 3633 --- [nio-8080-exec-1] c.w.Controller : INSERT INTO orders`,
    'INSERT INTO orders',
  ],
  [
    `16:42:09.558 INFO  c.w.Controller TraceID: ${HEX32} SpanID: ${HEX16} [getSeat][Get seat]`,
    '[getSeat][Get seat]',
  ],
  ['2026-11-25 18:28:02,880 [nio-8080-exec-1] INFO  c.w.Controller - started\n\tat a.B', 'started ⏎'],
  ['2026-11-25 18:28:02 unknown words stay', 'unknown words stay'],
  ['2026-11-25 18:28:02 INFO ', '2026-11-25 18:28:02 INFO '],
])('%j', (body, expected) => {
  const of = {
    ...line('1', T),
    body,
    severityText: /DEBUG/.test(body) ? 'DEBUG' : 'INFO',
    traceId: HEX32,
    spanId: HEX16,
    attributes: [
      attribute('process.pid', '3633'),
      attribute('thread.name', 'nio-8080-exec-1'),
      attribute('logger', 'c.w.Controller'),
    ],
  };
  expect(message(of)).toBe(expected);
});
