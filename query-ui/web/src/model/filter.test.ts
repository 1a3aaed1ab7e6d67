import { describe, expect, it } from 'vitest';
import { add, byteToIndex, equals, fromChips, place, remove, toChips } from './filter';

describe('chips', () => {
  it.each([
    ['', []],
    ['service = x', ['service = x']],
    ['service=x AND duration>60ms', ['service = x', 'duration > 60ms']],
    ['service = "a b" error', ['service = "a b"', 'error']],
    ['"No instances" wor* http.route *', ['"No instances"', 'wor*', 'http.route *']],
    ['a = 1 OR b = 2', ['a = 1 OR b = 2']],
    ['a NOT service = x b', ['a', 'NOT service = x', 'b']],
    ['NOT (a = 1 b)', ['NOT (a = 1 b)']],
    ['a NOT', ['a NOT']],
    ['操作 = 下单 中文', ['操作 = 下单', '中文']],
    ['service == x y', ['service == x', 'y']],
    ['duration > 5 min x', ['duration > 5min', 'x']],
    ['NOT trace.duration > 1.5 s', ['NOT trace.duration > 1.5s']],
    ['duration > 5ms min', ['duration > 5ms', 'min']],
    ['n > 5 min', ['n > 5', 'min']],
  ])('%s', (q, chips) => expect(toChips(q).map(c => c.text)).toEqual(chips));
  it('reads its own text', () => {
    const q = 'service = x duration > 60ms "a b"';
    expect(fromChips(toChips(q))).toBe(q);
  });
  it('removes one', () =>
    expect(remove('service = x error duration > 1s', 1)).toBe('service = x duration > 1s'));
});
describe('add', () => {
  it.each([
    ['', 'a = 1', 'a = 1'],
    ['b', 'a = 1', 'b a = 1'],
    ['a = 1', 'a = 1', 'a = 1'],
    ['a = 1 OR b = 2', 'c', '(a = 1 OR b = 2) c'],
    ['a = 1 b', 'NOT a = 1', 'NOT a = 1 b'],
    ['b NOT a = 1', 'a = 1', 'b a = 1'],
    ['service = x', 'NOT trace.service = x', 'NOT trace.service = x'],
    ['NOT trace.service = x', 'service = x', 'service = x'],
    ['a = 1', 'NOT a = 2', 'a = 1 NOT a = 2'],
  ])('%s + %s', (q, c, expected) => expect(add(q, c)).toBe(expected));
});
it('quotes what is not a word', () =>
  expect([
    equals('service', 'ts-a'),
    equals('k', 'a b'),
    equals('k', 'x"y'),
    equals('route', '/a/{id}'),
  ]).toEqual(['service = ts-a', 'k = "a b"', 'k = "x\\"y"', 'route = "/a/{id}"']));
describe('place', () => {
  it.each([
    ['', 'key', '', 0],
    ['ser', 'key', 'ser', 0],
    ['service = ts', 'value', 'ts', 10],
    ['service ', 'op', '', 8],
    ['a = 1 du', 'key', 'du', 6],
    ['service=', 'value', '', 8],
  ])('of “%s”', (text, kind, prefix, from) =>
    expect(place(text, text.length)).toMatchObject({ kind, prefix, from }),
  );
});
it('turns byte offsets into indices', () =>
  expect([byteToIndex('中文 = x', 7), byteToIndex('abc', 2)]).toEqual([3, 2]));
