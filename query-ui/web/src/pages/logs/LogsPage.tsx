/** Page c: the log explorer. Counts first, then the picture, then the lines; a line opens in place. */
import { Suspense, lazy, useCallback, useMemo, useRef, useState } from 'react';
import { useNavigate } from '@tanstack/react-router';
import { useHistogram, useLogs, useServices } from '../../api/queries';
import type { Log } from '../../api/types';
import { useT } from '../../i18n';
import { add, equals, excludes } from '../../model/filter';
import { count } from '../../model/format';
import { merge } from '../../model/lines';
import { isRelative, ms } from '../../model/time';
import { shownTotal } from '../../model/total';
import { Failure } from '../../ui/Failure';
import { focusedValue } from '../../ui/focused';
import { Icon } from '../../ui/Icon';
import { useKeys } from '../../ui/keys';
import { QueryBar } from '../../ui/QueryBar';
import { useStatusSlot } from '../../ui/StatusBar';
import { carry, useRange, useUrl } from '../../ui/url';
import { Facets } from './Facets';
import { LogHistogram } from './LogHistogram';
import { LogList, type LogListHandle } from './LogList';
import { LIVE_KEPT, useLiveTail } from './useLiveTail';
import './logs.css';

/** How far “lines around it” looks to either side. */
const AROUND_MS = 10e3;
/** Bars of the histogram, at most. */
const BARS = 120;

const NoMatch = lazy(() => import('../../ui/NoMatch'));

export default function LogsPage() {
  const t = useT(),
    [url, set] = useUrl(),
    range = useRange(),
    navigate = useNavigate(),
    book = useServices(),
    q = url.q ?? '',
    live = url.live === '1',
    [facets, showFacets] = useState(false),
    [selected, select] = useState<string | null>(null),
    [atTop, setAtTop] = useState(true),
    handle = useRef<LogListHandle>(null);
  const open = url.open ?? null,
    follow = atTop && open === null,
    list = useLogs(q, range, !live, follow),
    histogram = useHistogram(q, range, BARS),
    tail = useLiveTail(q, live, !follow, () => void list.refetch());
  const stored = useMemo(() => list.data?.pages.flatMap(p => p.logs) ?? [], [list.data]),
    all = useMemo(() => (live ? merge(tail.lines, stored) : stored), [live, tail.lines, stored]),
    total = histogram.data?.total;
  const setQ = useCallback((next: string) => set({ q: next, open: null }, true), [set]);
  const toggleLive = () =>
    set(
      live ? { live: null } : { live: '1', open: null, ...(!isRelative(range) && { from: null, to: null }) },
    );
  const toggle = (id: string) => {
    select(id);
    set({ open: open === id ? null : id });
  };
  const at = selected === null ? -1 : all.findIndex(l => l.id === selected);
  const move = (d: number) => {
    const next = all[Math.max(0, Math.min(all.length - 1, at + d))];
    if (!next) return false;
    select(next.id);
    handle.current?.reveal(next.id);
    return true;
  };
  const newest = () => {
    if (open !== null) set({ open: null });
    handle.current?.top();
    select(all[0]?.id ?? null);
    return all.length > 0;
  };
  const filter = (key: string, value: string, not: boolean) =>
    setQ(add(q, not ? excludes(key, value) : equals(key, value)));
  /** By the value under focus, or by the service of the chosen line. */
  const byFocus = (not: boolean) => {
    const v = focusedValue() ?? (all[at] ? { key: 'service', value: all[at].service } : null);
    return v ? filter(v.key, v.value, not) : false;
  };
  const around = (l: Log) =>
    set(
      {
        q: equals('service', l.service),
        from: new Date(ms(l.time) - AROUND_MS).toISOString(),
        to: new Date(ms(l.time) + AROUND_MS).toISOString(),
        live: null,
        open: l.id,
      },
      true,
    );
  const openTrace = (l: Log) =>
    void navigate({
      to: '/traces/$id',
      params: { id: l.traceId },
      search: { ...carry(url), ...(l.spanId && { span: l.spanId }) } as never,
    });
  useKeys({
    next: () => move(1),
    prev: () => move(at < 0 ? 1 : -1),
    newest,
    open: () => (at >= 0 ? toggle(all[at].id) : false),
    filter: () => byFocus(false),
    exclude: () => byFocus(true),
    escape: () =>
      open !== null ? set({ open: null }) : selected !== null ? select(null) : q ? setQ('') : false,
  });
  useStatusSlot(
    [
      [['search'], t.filterKey],
      [['next', 'prev'], t.move],
      [['open'], t.expand],
      [['filter'], t.filterToKey],
      [['newest'], t.newest],
    ],
    live ? t.liveKept(count(LIVE_KEPT)) : null,
  );
  const error = list.error ?? histogram.error,
    loaded = list.data !== undefined && !list.isPlaceholderData,
    empty = all.length === 0 && (live ? tail.state === 'open' : loaded);
  return (
    <>
      <h1 className="sr">{t.logs}</h1>
      <QueryBar signal="logs" q={q} onChange={setQ} placeholder={t.filterLogs}>
        <button className="ctl facets-b" aria-expanded={facets} onClick={() => showFacets(!facets)}>
          <Icon name="side" />
          {t.facets}
        </button>
        <button className={`ctl${live ? ' on' : ''}`} aria-pressed={live} onClick={toggleLive}>
          <Icon name={live ? 'pause' : 'play'} />
          {t.live}
        </button>
      </QueryBar>
      {error && <Failure error={error} loadedAt={list.dataUpdatedAt} q={q} onFix={setQ} />}
      {tail.state === 'closed' && (
        <div className="ban err" role="alert" aria-live="polite">
          <Icon name="warn" />
          <span>{t.liveStopped}</span>
          <button className="ctl" onClick={tail.again}>
            {t.tryNow}
          </button>
        </div>
      )}
      <section className="lg">
        <Facets q={q} range={range} book={book} shown={facets} filter={filter} />
        <div className="lgm">
          <LogHistogram
            data={histogram.data}
            q={q}
            range={range}
            bars={BARS}
            setQ={setQ}
            setRange={(from, to) => set({ from, to, live: null, open: null }, true)}
          />
          {empty && !live ? (
            <Suspense fallback={null}>
              <NoMatch
                signal="logs"
                q={q}
                range={range}
                setQ={setQ}
                widen={from => set({ from, to: null }, true)}
              />
            </Suspense>
          ) : (
            <LogList
              list={all}
              total={live ? undefined : total}
              waiting={empty}
              loading={list.isPending && !live}
              book={book}
              selected={selected}
              open={open}
              toggle={toggle}
              openTrace={openTrace}
              around={around}
              filter={filter}
              more={!live && list.hasNextPage ? () => void list.fetchNextPage() : undefined}
              onTop={setAtTop}
              handle={handle}
            />
          )}
          {live && tail.waiting > 0 && (
            <button className="pill" onClick={newest}>
              <Icon name="up" />
              {t.paused(count(tail.waiting))}
            </button>
          )}
          {tail.dropped > 0 && <p className="skipped warn">{t.dropped(count(tail.dropped))}</p>}
        </div>
      </section>
      <div className="sr" role="status" aria-live="polite">
        {!live && loaded && total && t.showing(count(all.length), shownTotal(total, t), t.newestFirst)}
      </div>
    </>
  );
}
