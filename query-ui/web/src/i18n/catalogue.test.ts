import { expect, test } from 'vitest';
import { en } from './en';
import { zh } from './zh';

/** Technical names that Chinese text uses as they are. */
const ALIKE = ['cpu', 'line.iowait', 'p95', 'pod'];

/** Every key with the type of its message and the number of its parameters. */
function shape(messages: object, prefix = ''): string[] {
  return Object.entries(messages).flatMap(([key, value]) =>
    typeof value === 'object' && value !== null
      ? shape(value as object, `${prefix}${key}.`)
      : [`${prefix}${key}: ${typeof value}`],
  );
}

test('both catalogues have the same keys', () => {
  expect(shape(zh).sort()).toEqual(shape(en).sort());
});

test('what is not a name or a sign is translated', () => {
  const text = (messages: object, prefix = ''): [string, string][] =>
    Object.entries(messages).flatMap(([key, value]) =>
      typeof value === 'string'
        ? [[prefix + key, value] as [string, string]]
        : typeof value === 'object'
          ? text(value as object, `${prefix}${key}.`)
          : [],
    );
  const chinese = new Map(text(zh)),
    same = text(en).filter(([key, value]) => chinese.get(key) === value);
  expect(same.map(([key]) => key).sort()).toEqual(ALIKE);
});
