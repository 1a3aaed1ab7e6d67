/** Page d: one host. Six pictures under one cursor, then its watched processes. */
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useMemo, useState } from 'react';
import { useHostMetrics, useHosts } from '../../api/queries';
import type { HostMetrics } from '../../api/types';
import { useT } from '../../i18n';
import { equals } from '../../model/filter';
import { axisCount, bytes, decimal, percent, seconds } from '../../model/format';
import { hostView, last, type Line } from '../../model/host';
import { holes, isRelative, ms, toWindow, type Window } from '../../model/time';
import { Failure } from '../../ui/Failure';
import { useKeys } from '../../ui/keys';
import { useStatusSlot } from '../../ui/StatusBar';
import { carry, useRange, useUrl } from '../../ui/url';
import { Cell, type Frame } from './Cell';
import { Disks } from './Disks';
import './hosts.css';
import { Processes } from './Processes';

/** One point in ten seconds of half an hour, as agents measure. */
const POINTS = 180;
/** The scale of memory ends a little above all of it, so that the line of a full one is seen. */
const ABOVE_LIMIT = 1.02;
const NOTHING: HostMetrics = { start: '0', stepNs: 1, series: [], processes: [] };

const newest = (line: Line | undefined): number => last(line?.values) ?? 0;
const perSecond = (v: number): string => `${bytes(v)}/s`;

export default function HostPage() {
  const name = useParams({ strict: false }).name ?? '',
    t = useT(),
    [url, set] = useUrl(),
    navigate = useNavigate(),
    range = useRange(),
    { data, error, dataUpdatedAt, isPending } = useHostMetrics(name, range, POINTS),
    os = useHosts().data?.hosts.find(h => h.name === name)?.os,
    [cursor, setCursor] = useState<number | null>(null);
  const host = useMemo(() => hostView(data ?? NOTHING), [data]),
    window = useMemo(
      () =>
        range.from === '0' && data
          ? { from: ms(data.start), to: ms(data.start) + (POINTS * data.stepNs) / 1e6 }
          : toWindow(range, data?.at ?? Date.now()),
      [range, data],
    ),
    gaps = useMemo(() => (data ? unmeasured(data, window) : []), [data, window]);
  const reset = () => (isRelative(range) ? false : set({ from: null, to: null }, true));
  useKeys({ whole: reset, escape: () => void navigate({ to: '/hosts', search: carry(url) as never }) });
  useStatusSlot([
    [['drag'], t.zoomAll],
    [['whole'], t.reset],
  ]);
  const frame: Frame = {
    start: data ? ms(data.start) : window.from,
    step: data ? data.stepNs / 1e6 : 1,
    holes: gaps,
    window,
    loading: isPending,
    cursor,
    onCursor: setCursor,
    onSelect: (from, to) => set({ from: new Date(from).toISOString(), to: new Date(to).toISOString() }, true),
    onReset: reset,
  };
  if (data && data.series.length === 0 && data.processes.length === 0)
    return (
      <div className="empty">
        <h1 className="h2">{t.noHost(name)}</h1>
        <p>{t.noHostsBody}</p>
        <p className="btns">
          {range.from !== '-24h' && (
            <button className="ctl" onClick={() => set({ from: '-24h', to: null }, true)}>
              {t.widen}
            </button>
          )}
          <Link className="ctl" to="/hosts" search={carry(url) as never}>
            {t.hosts}
          </Link>
        </p>
      </div>
    );
  const cores = host.cores === null ? '' : axisCount(host.cores),
    limit = host.limit === null ? '' : bytes(host.limit),
    up = host.uptime === null ? '' : seconds(host.uptime * 1e3),
    busy = host.cpu.reduce((sum, line) => sum + newest(line), 0);
  return (
    <div className="pg" aria-busy={isPending}>
      {error && <Failure error={error} loadedAt={dataUpdatedAt} />}
      <div className="ph">
        <h1>{name}</h1>
        <span className="dim">
          {[os, cores && t.cores(cores), limit, up && t.up(up)].filter(Boolean).join(', ')}
        </span>
        <span className="grow" />
        {(['traces', 'logs'] as const).map(page => (
          <Link
            key={page}
            className="ctl"
            to={`/${page}`}
            search={{ ...carry(url), q: equals('host.name', name) } as never}
          >
            {t[page]}
          </Link>
        ))}
      </div>
      <div className="grid3">
        <Cell
          frame={frame}
          title={t.cpu}
          lines={host.cpu}
          now={percent(busy)}
          note={cores && t.cores(cores)}
          colors={['chart-1', 'chart-2', 'chart-4', 'chart-3']}
          format={percent}
          stacked
          max={1}
        />
        <Cell
          frame={frame}
          title={t.load}
          lines={host.load}
          now={decimal(newest(host.load[0]))}
          note={cores ? t.ofCores(cores) : undefined}
          colors={['chart-1']}
          format={decimal}
        />
        <Cell
          frame={frame}
          title={t.memory}
          lines={host.memory}
          now={bytes(newest(host.memory[0]))}
          note={limit ? t.of(limit) : undefined}
          colors={['chart-1', 'chart-4']}
          format={bytes}
          stacked
          max={host.limit === null ? undefined : host.limit * ABOVE_LIMIT}
        />
        <Cell
          frame={frame}
          title={t.diskIo}
          lines={host.disk}
          now={perSecond(newest(host.disk[0]))}
          colors={['chart-2', 'chart-1']}
          format={perSecond}
          axis={bytes}
        />
        <Cell
          frame={frame}
          title={t.network}
          lines={host.network}
          now={perSecond(newest(host.network[0]))}
          colors={['chart-1', 'chart-3']}
          format={perSecond}
          axis={bytes}
        />
        <Disks disks={host.disks} loading={isPending} />
      </div>
      <Processes list={data?.processes ?? []} loading={isPending} />
    </div>
  );
}

/** Stretches in which the host measured nothing at all. */
function unmeasured(data: HostMetrics, window: Window): [number, number][] {
  const steps = Math.max(0, ...data.series.map(s => s.values.length)),
    measured: number[] = [];
  for (let i = 0; i < steps; i++)
    if (data.series.some(s => s.values[i] != null))
      measured.push(ms(data.start) + ((i + 0.5) * data.stepNs) / 1e6);
  return holes(measured, window);
}
