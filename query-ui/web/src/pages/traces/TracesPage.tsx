/** Page a: search of traces. The picture first, then the rows; a filtered scatter keeps the others faint. */
import { useNavigate } from '@tanstack/react-router';
import { Suspense, lazy, useCallback, useMemo, useState } from 'react';
import { useScatter, useServices, useTraces } from '../../api/queries';
import { useT } from '../../i18n';
import { add, equals, excludes } from '../../model/filter';
import { count } from '../../model/format';
import { toWindow } from '../../model/time';
import { better, shownTotal } from '../../model/total';
import { Failure } from '../../ui/Failure';
import { focusedValue } from '../../ui/focused';
import { useKeys } from '../../ui/keys';
import { QueryBar } from '../../ui/QueryBar';
import { useStatusSlot } from '../../ui/StatusBar';
import { carry, useRange, useUrl } from '../../ui/url';
import { ByOperation } from './ByOperation';
import { Scatter, type Brush } from './Scatter';
import { TraceList } from './TraceList';
import './traces.css';

const NoMatch = lazy(() => import('../../ui/NoMatch'));

export function TracesPage() {
  const t = useT(),
    [url, set] = useUrl(),
    range = useRange(),
    navigate = useNavigate(),
    q = url.q ?? '',
    book = useServices();
  const list = useTraces(q, range),
    scatter = useScatter(q, range),
    rest = useScatter('', range, q !== '');
  const [selected, select] = useState(-1),
    [hover, setHover] = useState<string | null>(null);
  const all = useMemo(() => list.data?.pages.flatMap(p => p.traces) ?? [], [list.data]),
    first = list.data?.pages[0],
    error = list.error ?? scatter.error,
    // The picture counts to the end, the list may not.
    total =
      first &&
      (list.isPlaceholderData || scatter.isPlaceholderData
        ? first.total
        : better(first.total, scatter.data?.total));
  const setQ = useCallback(
    (next: string) => {
      set({ q: next, brush: null }, true);
      select(-1);
    },
    [set],
  );
  const open = useCallback(
    (id: string) =>
      void navigate({
        to: '/traces/$id',
        params: { id },
        search: { ...carry(url), ...(q && { q }) } as never,
      }),
    [navigate, url, q],
  );
  const brush = url.brush ? parseBrush(url.brush) : null;
  const applyBrush = () => {
    if (!brush) return false;
    const [from, to, lo, hi] = brush;
    set(
      {
        q: add(add(q, `trace.duration >= ${Math.floor(lo)}ns`), `trace.duration <= ${Math.ceil(hi)}ns`),
        from: new Date(Math.floor(from)).toISOString(),
        to: new Date(Math.ceil(to)).toISOString(),
        brush: null,
      },
      true,
    );
    return true;
  };
  const move = (d: number) => {
    if (!all.length) return false;
    const next = Math.max(0, Math.min(all.length - 1, selected + d));
    select(next);
    setHover(all[next].traceId);
    return true;
  };
  /** By the value under focus, or by the service of the chosen trace. */
  const byFocus = (not: boolean) => {
    const service = all[selected]?.entry?.service ?? all[selected]?.root?.service,
      own = service ? { key: not ? 'trace.service' : 'service', value: service } : null,
      v = focusedValue() ?? own;
    return v ? setQ(add(q, not ? excludes(v.key, v.value) : equals(v.key, v.value))) : false;
  };
  useKeys({
    next: () => move(1),
    prev: () => move(selected < 0 ? 1 : -1),
    newest: () => {
      select(0);
      return all.length > 0;
    },
    open: () => (applyBrush() ? true : all[selected] ? open(all[selected].traceId) : false),
    filter: () => byFocus(false),
    exclude: () => byFocus(true),
    escape: () => (brush ? set({ brush: null }) : selected >= 0 ? select(-1) : q ? setQ('') : false),
  });
  useStatusSlot([
    [['search'], t.filterKey],
    [['next', 'prev'], t.move],
    [['open'], t.open],
  ]);
  const empty = first !== undefined && all.length === 0 && !list.isPlaceholderData;
  // The scale follows the answer, not the clock, so that points and axis belong together.
  const now = scatter.data?.at ?? Date.now(),
    everything = scatter.data ? scatter.data.start : [];
  const window = range.from === '0' ? span(everything) : toWindow(range, now);
  return (
    <>
      <h1 className="sr">{t.traces}</h1>
      <QueryBar signal="spans" q={q} onChange={setQ} placeholder={t.filterTraces} submit />
      {error && <Failure error={error} loadedAt={list.dataUpdatedAt} q={q} onFix={setQ} />}
      <section className="over">
        <Scatter
          data={scatter.data}
          faint={q ? rest.data : undefined}
          window={window}
          brush={brush}
          setBrush={b => set({ brush: b ? b.map(v => Math.round(v)).join('_') : null })}
          hover={hover}
          open={open}
        />
        <ByOperation data={scatter.data} book={book} q={q} setQ={setQ} />
      </section>
      <section className="list" aria-label={t.traces} aria-busy={list.isPending}>
        {empty ? (
          <Suspense fallback={null}>
            <NoMatch
              signal="spans"
              q={q}
              range={range}
              setQ={setQ}
              widen={from => set({ from, to: null }, true)}
            />
          </Suspense>
        ) : (
          <TraceList
            list={all}
            total={total}
            book={book}
            selected={selected}
            hover={setHover}
            open={open}
            more={list.hasNextPage ? () => void list.fetchNextPage() : undefined}
            loading={list.isPending}
          />
        )}
      </section>
      <div className="sr" role="status" aria-live="polite">
        {total && t.showing(count(all.length), shownTotal(total, t), t.newestFirst)}
      </div>
    </>
  );
}

/** Time in milliseconds and duration in nanoseconds: from_to_lo_hi. */
function parseBrush(text: string): Brush | null {
  const v = text.split('_').map(Number);
  return v.length === 4 && v.every(Number.isFinite) ? (v as Brush) : null;
}
function span(starts: string[]) {
  let from = Infinity,
    to = -Infinity;
  for (const s of starts) {
    const at = Number(BigInt(s) / 1000000n);
    from = Math.min(from, at);
    to = Math.max(to, at);
  }
  return from <= to ? { from: from - 1000, to: to + 1000 } : { from: Date.now() - 1800e3, to: Date.now() };
}
