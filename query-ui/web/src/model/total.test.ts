import { expect, it } from 'vitest';
import { en } from '../i18n/en';
import { zh } from '../i18n/zh';
import { beginning, better, shownTotal } from './total';

const exact = (value: number) => ({ value, exact: true }),
  least = (value: number) => ({ value, exact: false });

it.each([
  [least(323), undefined, least(323)],
  [least(323), exact(1200), exact(1200)],
  [exact(3), exact(4), exact(3)],
  [exact(3), least(4), exact(3)],
  [least(3), least(4), least(4)],
])('the better of %j and %j', (a, b, expected) => expect(better(a, b)).toEqual(expected));
it('says where a count is not exact', () => {
  expect([shownTotal(exact(1200), en), shownTotal(least(1200), en)]).toEqual(['1,200', 'at least 1,200']);
  expect(en.noTraceBody(beginning(least(323), en))).toBe('At least 323 traces of this range were searched.');
  expect(en.noTraceBody(beginning(exact(1), en))).toBe('1 trace of this range was searched.');
  expect(zh.noTraceBody(beginning(least(323), zh))).toBe('已搜索此范围内的至少 323 条调用链。');
  expect(zh.noTraceBody(beginning(exact(323), zh))).toBe('已搜索此范围内的 323 条调用链。');
});
