import { expect, test } from 'vitest';
import type { LedgerSource } from '../api/types';
import { account, byConcern } from './ledger';

const source = (path: string, more: Partial<LedgerSource> = {}): LedgerSource => ({
  path,
  incarnation: path,
  read: 100,
  acknowledged: 100,
  pending: 0,
  stored: [
    { signal: 'logs', bytes: 60, records: 6 },
    { signal: 'logs', bytes: 40, records: 6 },
    { signal: 'spans', bytes: 100, records: 9 },
  ],
  holes: [],
  ...more,
});

test('bytes are those of the lines, whatever spans they yield', () => {
  const holes = [
    { start: 0, end: 5, cause: 'missing' },
    { start: 9, end: 12, cause: 'missing' },
    { start: 20, end: 21, cause: 'refused' },
  ];
  expect(account(source('/a', { holes, pending: null }))).toEqual({
    stored: 100,
    records: 12,
    holes: { missing: 8, refused: 1 },
    pending: 0,
  });
});

test('what is missing stands first', () => {
  const missing = [{ start: 0, end: 5, cause: 'missing' }],
    list = [source('/b'), source('/c', { pending: 3 }), source('/d', { holes: missing }), source('/a')];
  expect(list.sort(byConcern).map(s => s.path)).toEqual(['/d', '/c', '/a', '/b']);
});
