import { describe, expect, it } from 'vitest';
import type { Log, TraceColumns } from '../api/types';
import { buildRows, flip, reveal, shownRow, type View } from './rows';
import { build, callee, entryRow, ownTime, quietStretches } from './trace';

type S = [parent: number, service: number, from: number, to: number, errorLogs?: number];
function columns(spans: S[], operations = spans.map((_, i) => `op ${i}`)): TraceColumns {
  const col = <T>(f: (s: S, i: number) => T): T[] => spans.map(f),
    zero = () => 0;
  return {
    traceId: 'aa',
    start: '1674981729479000000',
    durationNs: Math.max(...spans.map(s => s[3])),
    root: 0,
    services: [
      { name: 'gateway', color: 0 },
      { name: 'order', color: 1 },
    ],
    operations,
    spans: {
      id: col((_, i) => `s${i}`),
      parent: col(s => s[0]),
      service: col(s => s[1]),
      operation: col((_, i) => i),
      kind: col(zero),
      status: col(zero),
      startNs: col(s => s[2]),
      durationNs: col(s => s[3] - s[2]),
      selfNs: col(zero),
      flags: col(zero),
      logs: col(s => s[4] ?? 0),
      errorLogs: col(s => s[4] ?? 0),
      worstLog: col(zero),
      tag: col(() => ''),
    },
    critical: [{ row: 0, fromNs: 0, toNs: 10 }],
    where: [],
    logTicks: { row: [], atNs: [], severity: [] },
    notes: [],
    cut: null,
  };
}
const view = (v: Partial<View> = {}): View => ({
  fold: true,
  depth: null,
  toggled: new Set(),
  logs: new Set(),
  allLogs: false,
  find: '',
  only: null,
  selected: null,
  ...v,
});
const none = new Map<number, Log[]>();
const shape = (spans: S[], v?: Partial<View>, logs = none) =>
  buildRows(build(columns(spans)), view(v), logs).rows.map(r =>
    r.kind === 'span' ? r.row : r.kind === 'log' ? 'log' : r.rows,
  );

describe('own time', () => {
  it.each<[string, S[], number[]]>([
    ['a leaf', [[-1, 0, 0, 100]], [0, 100]],
    [
      'gaps around children',
      [
        [-1, 0, 0, 100],
        [0, 0, 10, 20],
        [0, 0, 40, 100],
      ],
      [0, 10, 20, 40],
    ],
    [
      'overlapping children',
      [
        [-1, 0, 0, 100],
        [0, 0, 10, 50],
        [0, 0, 30, 60],
      ],
      [0, 10, 60, 100],
    ],
    [
      'a child past the end',
      [
        [-1, 0, 0, 100],
        [0, 0, 90, 150],
      ],
      [0, 90],
    ],
    [
      'a child that starts before',
      [
        [-1, 0, 10, 100],
        [0, 0, 5, 20],
      ],
      [20, 100],
    ],
  ])('%s', (_, spans, own) => expect(ownTime(build(columns(spans)), 0)).toEqual(own));
});

describe('rows', () => {
  const tree: S[] = [
    [-1, 0, 0, 1000],
    [0, 0, 0, 10],
    [1, 0, 0, 5],
    [0, 0, 100, 900],
    [3, 0, 100, 105],
    [3, 0, 110, 115],
    [3, 0, 120, 125],
  ];
  it('folds small subtrees', () => expect(shape(tree)).not.toContain(2));
  it('keeps leaves of different names apart', () => expect(shape(tree)).toEqual([0, 1, 3, [4, 5], 6]));
  it('shows all without folding', () => expect(shape(tree, { fold: false })).toEqual([0, 1, 2, 3, 4, 5, 6]));
  it('keeps the way to the selected span', () => expect(shape(tree, { selected: 2 })).toContain(2));
  it('keeps the way to an error', () =>
    expect(shape(tree.map((s, i) => (i === 2 ? [1, 0, 0, 5, 1] : s) as S))).toContain(2));
  it('expands to a depth', () => expect(shape(tree, { depth: 1, fold: false })).toEqual([0, 1, 3]));
  it('opens what was toggled', () => expect(shape(tree, { toggled: new Set([1]) })).toContain(2));
  it('joins runs of at most two names', () => {
    const c = columns(tree, ['r', 'a', 'b', 'w', 'SELECT', 'SELECT', 'SELECT']);
    c.spans.operation = [0, 1, 2, 3, 4, 4, 4];
    const rows = buildRows(build(c), view(), none).rows;
    expect(rows.at(-1)).toMatchObject({ kind: 'fold', rows: [4, 5, 6], names: ['SELECT'] });
  });
  it('puts log lines under their span', () =>
    expect(shape([[-1, 0, 0, 10, 1]], { allLogs: true }, new Map([[0, [{ body: 'x' } as Log]]]))).toEqual([
      0,
      'log',
    ]));
  it('finds in names and lines', () => {
    const r = buildRows(build(columns(tree)), view({ find: 'OP 3', fold: false }), none);
    expect([r.hits, r.rows.filter(x => x.kind === 'span' && x.hit).length]).toEqual([1, 1]);
  });
  it('reveals a folded span', () => {
    const t = build(columns(tree)),
      v = view(),
      r = buildRows(t, v, none);
    expect(shownRow(t, r, 2)).toBe(1);
    expect(buildRows(t, view({ toggled: reveal(t, r, v, 2) }), none).indexOf.has(2)).toBe(true);
  });
});

it('names the callee', () =>
  expect(
    [0, 1].map(i =>
      callee(
        build(
          columns([
            [-1, 0, 0, 9],
            [0, 1, 1, 8],
          ]),
        ),
        i,
      ),
    ),
  ).toEqual(['order', null]));
it('looks below a wildcard root for the entry', () => {
  const spans: S[] = [
    [-1, 0, 0, 9],
    [0, 0, 1, 8],
    [1, 1, 2, 7],
  ];
  expect(entryRow(build(columns(spans, ['/*', 'handle', '/orders'])))).toBe(2);
  expect(entryRow(build(columns(spans, ['/orders', 'handle', '/x'])))).toBe(0);
});
it('finds quiet stretches', () =>
  expect(
    quietStretches(
      build(
        columns([
          [-1, 0, 0, 100],
          [0, 0, 5, 10],
          [0, 0, 60, 95],
        ]),
      ),
    ),
  ).toEqual([
    [10, 60],
    [60, 95],
  ]));
it('flips', () => {
  const s = new Set([1]);
  flip(s, 1);
  flip(s, 2);
  expect([...s]).toEqual([2]);
});
it('is linear enough for 10,000 spans', () => {
  const spans: S[] = Array.from({ length: 10000 }, (_, i) => [
    i === 0 ? -1 : i - 1 - (i % 2),
    0,
    i,
    30000 - i,
  ]);
  const rows = buildRows(build(columns(spans)), view({ fold: false }), none);
  expect(rows.rows.length).toBe(10000);
});
