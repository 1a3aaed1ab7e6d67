/** Page b: one trace. */
import { useNavigate, useParams } from '@tanstack/react-router';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { ApiError } from '../../api/client';
import { useServices, useTrace, useTraceLogs } from '../../api/queries';
import type { Log, TraceLogs } from '../../api/types';
import { useT } from '../../i18n';
import { equals, excludes } from '../../model/filter';
import { count } from '../../model/format';
import { buildRows, flip, reveal } from '../../model/rows';
import { build, endOf, logsBySpan, quietStretches, type Trace } from '../../model/trace';
import { Failure } from '../../ui/Failure';
import { focusedValue, type FocusedValue } from '../../ui/focused';
import { shownKey, useKeys, type Action } from '../../ui/keys';
import { setPref } from '../../ui/prefs';
import { useStatusSlot } from '../../ui/StatusBar';
import { carry, useUrl } from '../../ui/url';
import { MiniMap } from './MiniMap';
import { SpanPanel } from './SpanPanel';
import { TraceHead } from './TraceHead';
import { useTraceView } from './useTraceView';
import { Splitter, Waterfall, type WaterfallHandle } from './Waterfall';
import './trace.css';

const NO_LOGS = new Map<number, Log[]>(),
  NO_CUTS: [number, number][] = [];
const ZOOM_STEP = 0.5,
  PAN_STEP = 0.25,
  LEAST_ZOOM_NS = 50,
  PANEL_LEAST = 280,
  PANEL_MOST = 900;

export default function TracePage() {
  const id = (useParams({ strict: false }).id ?? '').toLowerCase();
  return <TraceById key={id} id={id} />;
}

function TraceById({ id }: { id: string }) {
  const m = useT(),
    trace = useTrace(id),
    logs = useTraceLogs(id, trace.data !== undefined),
    t = useMemo(() => (trace.data ? build(trace.data) : null), [trace.data]);
  if (t)
    return (
      <Loaded t={t} logs={logs.data} failure={trace.error ?? logs.error} loadedAt={trace.dataUpdatedAt} />
    );
  if (trace.error instanceof ApiError && trace.error.status === 404)
    return (
      <div className="empty">
        <h1 className="h2">{m.noTraceFound}</h1>
        <p>
          <code>{id}</code>
        </p>
        <p>{m.noTraceFoundBody}</p>
      </div>
    );
  if (trace.error)
    return (
      <div className="tp-err">
        <Failure error={trace.error} loadedAt={0} />
      </div>
    );
  return (
    <div className="tp" aria-busy="true">
      <div className="tp-skel">
        {Array.from({ length: 14 }, (_, i) => (
          <i key={i} style={{ width: `${70 - ((i * 13) % 45)}%`, marginLeft: `${(i * 7) % 22}%` }} />
        ))}
      </div>
    </div>
  );
}

function Loaded({
  t,
  logs,
  failure,
  loadedAt,
}: {
  t: Trace;
  logs: TraceLogs | undefined;
  failure: unknown;
  loadedAt: number;
}) {
  const m = useT(),
    book = useServices(),
    navigate = useNavigate(),
    [url] = useUrl(),
    [shown, change] = useTraceView(t),
    { view } = shown,
    handle = useRef<WaterfallHandle>(null),
    [inView, setInView] = useState<[number, number]>([0, 0]);
  const lines = useMemo(() => (logs ? logsBySpan(logs.logs) : NO_LOGS), [logs]),
    quiets = useMemo(() => quietStretches(t), [t]),
    quiet = shown.quiet ? quiets : NO_CUTS;
  const opened = useRef(view.selected);
  // The linked span decides what starts unfolded; a later selection must not fold rows under the pointer.
  const rows = useMemo(() => buildRows(t, { ...view, selected: opened.current }, lines), [t, view, lines]);
  const onView = useCallback(
    (a: number, b: number) => setInView(v => (v[0] === a && v[1] === b ? v : [a, b])),
    [],
  );
  const select = (row: number | null) => change({ selected: row });
  const show = (row: number) => {
    const known = rows.indexOf.get(row);
    if (known === undefined || rows.rows[known].kind === 'fold')
      change({ toggled: reveal(t, rows, { ...view, selected: opened.current }, row), selected: row });
    else change({ selected: row });
    toSee.current = row;
  };
  const toSee = useRef<number | null>(view.selected);
  useEffect(() => {
    const at = toSee.current === null ? undefined : rows.indexOf.get(toSee.current);
    if (at !== undefined) {
      handle.current?.reveal(at);
      toSee.current = null;
    }
  }, [rows, view.selected]);
  const toggle = (i: number) => {
    const r = rows.rows[i],
      toggled = new Set(view.toggled);
    if (r.kind === 'fold') for (const k of r.rows) toggled.add(k);
    else flip(toggled, r.row);
    change({ toggled });
  };
  const toggleLogs = (row: number) => {
    const open = new Set(view.logs);
    flip(open, row);
    change({ logs: open });
  };
  const setOpen = (want: boolean) => {
    const at = view.selected === null ? undefined : rows.indexOf.get(view.selected),
      r = at === undefined ? undefined : rows.rows[at];
    if (at === undefined || !r || r.kind === 'log') return false;
    if (r.kind === 'span' && t.childCount[r.row] > 0 && r.open !== want) {
      toggle(at);
      return true;
    }
    if (r.kind === 'fold' && want) {
      toggle(at);
      return true;
    }
    if (!want && t.spans.parent[r.row] >= 0) show(t.spans.parent[r.row]);
    else if (want && r.kind === 'span' && r.open) show(r.row + 1);
    return true;
  };
  const move = (d: number) => {
    let i = view.selected === null ? (d > 0 ? -1 : 0) : (rows.indexOf.get(view.selected) ?? -1);
    for (i += d; i >= 0 && i < rows.rows.length; i += d)
      if (rows.rows[i].kind !== 'log') {
        select(rows.rows[i].row);
        handle.current?.reveal(i);
        return;
      }
  };
  const next = (test: (row: number) => boolean) => {
    const from = (view.selected ?? -1) + 1;
    for (let k = 0; k < t.n; k++) {
      const row = (from + k) % t.n;
      if (test(row)) return show(row);
    }
  };
  const zoom = (from: number, to: number) => {
    const a = Math.max(0, Math.min(from, t.durationNs - LEAST_ZOOM_NS)),
      b = Math.min(t.durationNs, Math.max(to, a + LEAST_ZOOM_NS));
    change({ zoom: [a, b] });
  };
  const [z0, z1] = shown.zoom,
    half = (z1 - z0) / 2,
    mid = z0 + half;
  const pan = (d: number) => {
    const by = Math.max(-z0, Math.min(t.durationNs - z1, (z1 - z0) * d));
    zoom(z0 + by, z1 + by);
  };
  const search = ({ key, value }: FocusedValue, not: boolean) =>
    void navigate({
      to: '/traces',
      search: { ...carry(url), q: not ? excludes(key, value) : equals(key, value) } as never,
    });
  useKeys({
    next: () => move(1),
    prev: () => move(-1),
    left: () => setOpen(false),
    right: () => setOpen(true),
    open: () => (view.selected === null ? false : toggleLogs(view.selected)),
    collapseAll: () => change({ depth: 1 }),
    expandAll: () => change({ fold: false }),
    depth: k => change({ depth: Number(k) }),
    critical: () => change({ critical: !shown.critical }),
    logs: () => change({ allLogs: !view.allLogs }),
    error: () => next(r => t.marked[r] === 1),
    parent: () =>
      view.selected !== null && t.spans.parent[view.selected] >= 0
        ? show(t.spans.parent[view.selected])
        : false,
    zoomIn: () => zoom(mid - half * ZOOM_STEP, mid + half * ZOOM_STEP),
    zoomOut: () => zoom(mid - half / ZOOM_STEP, mid + half / ZOOM_STEP),
    panLeft: () => pan(-PAN_STEP),
    panRight: () => pan(PAN_STEP),
    whole: () => change({ zoom: null }),
    zoomSpan: () => {
      const r = view.selected ?? 0,
        ns = t.spans.durationNs[r];
      zoom(t.spans.startNs[r] - ns * 0.1, endOf(t, r) + ns * 0.3);
    },
    filter: () => {
      const value = focusedValue();
      if (value) return search(value, false);
      if (view.selected === null) return false;
      const own = t.spans.service[view.selected];
      return change({ only: view.only === own ? null : own });
    },
    exclude: () => {
      const value = focusedValue();
      return value ? search(value, true) : false;
    },
    escape: () =>
      view.selected !== null
        ? select(null)
        : view.find
          ? change({ find: '' })
          : view.only !== null
            ? change({ only: null })
            : void navigate({
                to: '/traces',
                search: { ...carry(url), ...(url.q && { q: url.q }) } as never,
              }),
  });
  useStatusSlot([
    [['next', 'prev'], m.move],
    [['left', 'right'], m.collapse],
    [['critical'], m.criticalKey],
    [['logs'], m.logsKey],
    [['error'], m.nextError],
  ]);
  const tog = (label: string, pressed: boolean, press: () => void, key?: Action, disabled?: string) => (
    <button
      className="tog"
      aria-pressed={pressed}
      onClick={press}
      title={disabled ?? (key && `${m.key[key]}  ${shownKey(key)}`)}
      disabled={disabled !== undefined}
    >
      {label}
    </button>
  );
  const cutLogs =
    logs && logs.logs.length < logs.total.value
      ? m.linesCut(count(logs.logs.length), count(logs.total.value))
      : null;
  return (
    <div className="tp">
      <section className="tp-head">
        {failure ? <Failure error={failure} loadedAt={loadedAt} /> : null}
        <TraceHead
          t={t}
          find={view.find}
          hits={rows.hits}
          setFind={find => change({ find })}
          nextHit={() =>
            next(r => {
              const i = rows.indexOf.get(r),
                x = i === undefined ? undefined : rows.rows[i];
              return x?.kind === 'span' && x.hit;
            })
          }
          only={view.only}
          setOnly={only => change({ only })}
          short={book.short}
        />
        <MiniMap t={t} zoom={shown.zoom} quiet={quiet} view={inView} setZoom={z => change({ zoom: z })} />
      </section>
      <section className="tp-body">
        <div className="tp-wf">
          <Waterfall
            t={t}
            rows={rows}
            zoom={shown.zoom}
            quiet={quiet}
            critical={shown.critical}
            selected={view.selected}
            short={book.short}
            logsOpen={r => view.allLogs !== view.logs.has(r)}
            onSelect={select}
            onToggle={toggle}
            onLogs={toggleLogs}
            onView={onView}
            handle={handle}
            head={
              <>
                {tog(m.critical, shown.critical, () => change({ critical: !shown.critical }), 'critical')}
                {tog(
                  m.logLines,
                  view.allLogs || view.logs.size > 0,
                  () =>
                    change(
                      view.allLogs || view.logs.size > 0
                        ? { allLogs: false, logs: new Set() }
                        : { allLogs: true },
                    ),
                  'logs',
                )}
                {tog(m.foldSmall, view.fold && view.depth === null, () =>
                  change({ fold: !(view.fold && view.depth === null) }),
                )}
                {tog(
                  m.quiet,
                  shown.quiet,
                  () => change({ quiet: !shown.quiet }),
                  undefined,
                  quiets.length ? undefined : m.quietNone,
                )}
                {cutLogs && <span className="warn">{cutLogs}</span>}
              </>
            }
          />
        </div>
        {view.selected !== null && (
          <>
            <Splitter
              side={-1}
              label={m.resource}
              get={() => document.querySelector('.sp')?.clientWidth ?? 0}
              set={w => setPref('panel', String(Math.round(Math.max(PANEL_LEAST, Math.min(PANEL_MOST, w)))))}
            />
            <aside className="sp" aria-label="Span">
              <SpanPanel
                t={t}
                row={view.selected}
                logs={lines.get(view.selected) ?? []}
                close={() => select(null)}
                go={show}
                filter={search}
              />
            </aside>
          </>
        )}
      </section>
    </div>
  );
}
