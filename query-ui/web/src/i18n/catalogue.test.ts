import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { en } from './en';
import { filterErrors } from './filterErrors.zh';
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

test('every reason that the server gives for refusing a filter is said in Chinese', () => {
  const rust = [
    'crates/model/src/filter/parse.rs',
    'crates/model/src/filter/mod.rs',
    'query-ui/src/params.rs',
  ]
    .map(file => readFileSync(new URL(`../../../../${file}`, import.meta.url), 'utf8'))
    .map(text => text.split('#[cfg(test)]')[0])
    .join('\n');
  const given = [
    /\.error\([^,]+,\s*"([a-z-]+)"/g,
    /\("(no-[a-z]+)"/g,
    /::whole\(\s*"([a-z-]+)"/g,
    /ApiError::filter\("([a-z-]+)"/g,
  ].flatMap(call => [...rust.matchAll(call)].map(m => m[1]!));
  expect([...new Set(given)].sort()).toEqual(Object.keys(filterErrors).sort());
});
