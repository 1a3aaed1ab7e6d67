import { useQuery } from '@tanstack/react-query';
import { useDeferredValue } from 'react';
import { api } from '../api/client';
import { useServices } from '../api/queries';
import { useT } from '../i18n';
import { builtIn, operators, quote, type Place } from '../model/filter';
import { count } from '../model/format';
import { Kbd } from './Icon';
import { recent } from './QueryBar';

export interface Suggestion {
  group: string;
  label: string;
  detail?: string;
  right?: string;
  insert: string;
  whole?: string;
}
const KEYS_SHOWN = 12,
  VALUES_SHOWN = 12;
const FIXED: Record<string, string[]> = {
  status: ['error', 'ok', 'unset'],
  severity: ['ERROR', 'WARN', 'INFO', 'DEBUG', 'TRACE', 'FATAL'],
  duration: ['10ms', '100ms', '1s'],
  'trace.duration': ['100ms', '1s', '10s'],
};

/** What could stand at the cursor: keys, operators, or values that are stored, the most frequent first. */
export function useSuggestions(
  signal: 'spans' | 'logs',
  where: Place,
  text: string,
  open: boolean,
): Suggestion[] {
  const t = useT(),
    book = useServices(),
    prefix = useDeferredValue(where.prefix),
    fixed = FIXED[where.key];
  const keys = useQuery({
    queryKey: ['keys', signal, where.kind === 'key' ? prefix : ''],
    queryFn: c => api.keys({ signal, prefix }, c.signal),
    enabled: open && where.kind === 'key',
    staleTime: 30e3,
    retry: false,
  });
  const values = useQuery({
    queryKey: ['values', signal, where.key, prefix],
    queryFn: c => api.values({ signal, key: where.key, prefix }, c.signal),
    enabled: open && where.kind === 'value' && !fixed,
    staleTime: 10e3,
    retry: false,
  });
  if (!open) return [];
  if (where.kind === 'value') {
    const list = fixed
      ? fixed
          .filter(v => v.toLowerCase().startsWith(where.prefix.toLowerCase()))
          .map(value => ({ value, count: 0 }))
      : (values.data?.values ?? []);
    return list
      .slice(0, VALUES_SHOWN)
      .map(v => ({
        group: t.values,
        label: v.value,
        right: v.count ? count(v.count) : undefined,
        insert: `${/=\s*$/.test(text) && !/\s$/.test(text) ? ' ' : ''}${quote(v.value)} `,
      }));
  }
  if (where.kind === 'op')
    return operators(where.key, signal).map(o => ({ group: t.operators, label: o, insert: `${o} ` }));
  const hints = {
    duration: t.hintDuration,
    status: t.hintStatus,
    severity: t.hintSeverity,
    trace: t.hintTrace,
    entry: t.hintEntry,
    services: t.nValues(book.names.length),
    '': '',
  };
  const fields = builtIn(signal).map(f => ({ key: f.key, ops: f.ops, detail: hints[f.hint] }));
  for (const k of keys.data?.keys ?? [])
    if (!fields.some(f => f.key === k.key))
      fields.push({ key: k.key, ops: ['=', '!=', '~'], detail: k.level });
  const found = fields
    .filter(f => f.key.toLowerCase().includes(where.prefix.toLowerCase()))
    .slice(0, KEYS_SHOWN)
    .map(f => ({
      group: t.fields,
      label: f.key,
      detail: f.detail,
      right: f.ops.join(' '),
      insert: `${f.key} `,
    }));
  const past = text
    ? []
    : recent(signal)
        .slice(0, 4)
        .map(r => ({ group: t.recent, label: r, insert: '', whole: r }));
  return [...found, ...past];
}

export function Suggestions({
  items,
  at,
  accept,
}: {
  items: Suggestion[];
  at: number;
  accept: (s: Suggestion) => void;
}) {
  const t = useT();
  return (
    <div className="ac">
      <div id="q-list" role="listbox" aria-label={t.fields}>
        {items.map((s, i) => (
          <div key={`${s.group}${s.label}${i}`} role="presentation">
            {(i === 0 || items[i - 1].group !== s.group) && (
              <div className="h6" role="presentation">
                {s.group}
              </div>
            )}
            <div
              className="ac-i"
              id={`q-${i}`}
              role="option"
              aria-selected={i === at}
              onMouseDown={e => {
                e.preventDefault();
                accept(s);
              }}
            >
              <b className="mono">{s.label}</b>
              <span className="dim">{s.detail}</span>
              <span className="grow" />
              <span className="dim mono num">{s.right}</span>
            </div>
          </div>
        ))}
      </div>
      <p>
        <Kbd keys="↑ ↓" /> {t.choose} <Kbd keys="Tab" /> {t.complete} <Kbd keys="Enter" /> {t.searchKey}{' '}
        <span className="grow" />
        <span>{t.wordHint}</span>
      </p>
    </div>
  );
}
