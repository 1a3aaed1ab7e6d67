/** The selected span: facts, strip, notes, logs, attributes, links. */
import { Link } from '@tanstack/react-router';
import { useLayoutEffect, useRef, type ReactNode } from 'react';
import { useSpan, useSpanLogs } from '../../api/queries';
import type { Attr, Log, Note, SpanDetail } from '../../api/types';
import { useT, type Messages } from '../../i18n';
import { equals } from '../../model/filter';
import { count, duration, offset, percent } from '../../model/format';
import { message } from '../../model/lines';
import { level, rank } from '../../model/severity';
import {
  ERROR_STATUS,
  FLAG,
  KIND,
  children,
  endOf,
  operationOf,
  ownTime,
  serviceOf,
  type Trace,
} from '../../model/trace';
import { exact } from '../../model/time';
import { Attributes } from '../../ui/Attributes';
import { Pen } from '../../ui/canvas';
import type { FocusedValue } from '../../ui/focused';
import { Icon, Mark, type IconName } from '../../ui/Icon';
import { useTheme } from '../../ui/prefs';
import { useSize } from '../../ui/useSize';
import { carry, useUrl } from '../../ui/url';
import './panel.css';

const LINES = 50,
  CHILDREN = 6,
  PIECE_SHARE = 0.5;

export function SpanPanel({
  t,
  row,
  logs,
  close,
  go,
  filter: search,
}: {
  t: Trace;
  row: number;
  /** Its lines, as far as they were loaded with the trace. */
  logs: Log[];
  close: () => void;
  go: (row: number) => void;
  filter: (value: FocusedValue, not: boolean) => void;
}) {
  const m = useT(),
    { data, error } = useSpan(t.id, row),
    [url] = useUrl(),
    cut = logs.length < t.spans.logs[row],
    lines = useSpanLogs(t.id, row, cut).data?.logs ?? logs,
    service = serviceOf(t, row),
    parent = t.spans.parent[row],
    self = t.spans.selfNs[row],
    ns = t.spans.durationNs[row],
    critical = t.criticalNs.get(row) ?? 0;
  const detail = data?.spanId === t.spans.id[row] ? data : undefined,
    kids = [...children(t, row)];
  const filter = (key: string, value: string, not: boolean) => search({ key, value }, not);
  const kind = detail
      ? typeof detail.kind === 'number'
        ? KIND[detail.kind]
        : String(detail.kind).toLowerCase()
      : '',
    facts: Attr[] = [
      ...(kind && kind !== 'unspecified' ? [{ key: m.kind, value: kind, type: 'string' }] : []),
      {
        key: m.startsAt,
        value: exact(t.start + BigInt(Math.round(t.spans.startNs[row]))).split('\n')[0],
        type: 'string',
      },
      { key: m.spanId, value: t.spans.id[row], type: 'string' },
    ];
  return (
    <>
      <header>
        <div>
          <Mark color={service.color} />
          <b>{service.name}</b>
          <span className="grow" />
          <button className="bare close" onClick={close} aria-label={m.close} title="Esc">
            <Icon name="x" />
          </button>
        </div>
        <h2 className="mono">{operationOf(t, row)}</h2>
      </header>
      <div className="trio">
        <div>
          <span>{m.duration}</span>
          <b className="num">{duration(ns)}</b>
        </div>
        <div>
          <span>{m.self}</span>
          <b className="num">{duration(self)}</b>
          <em className="num">{percent(self / Math.max(1, ns))}</em>
        </div>
        <div>
          <span>{m.startsAt}</span>
          <b className="num">{offset(t.spans.startNs[row])}</b>
        </div>
        <div>
          <span>{m.onPath}</span>
          <b className="num">{critical ? duration(critical) : '–'}</b>
        </div>
      </div>
      <Strip t={t} row={row} />
      {t.spans.status[row] === ERROR_STATUS && (
        <NoteLine icon="warn" tone="bad">
          <b>{m.error}</b>
          {detail?.status.message ? `: ${detail.status.message}` : ''}
        </NoteLine>
      )}
      <Notes t={t} row={row} m={m} source={detail?.source} self={self} />
      {error && (
        <NoteLine icon="warn" tone="bad">
          {m.failed}: {error.message}
        </NoteLine>
      )}
      {lines.length > 0 && (
        <>
          <h3>
            {m.logs} <span className="num">{count(t.spans.logs[row])}</span>
          </h3>
          <div className="plogs">
            {lines.slice(0, LINES).map(l => (
              <div key={l.id} className={`s-${level(l.severity)}`}>
                <i className={`lm l-${level(l.severity)}`} />
                <span className="num">{offset(Number(BigInt(l.time) - t.start))}</span>
                <span className="msg" title={l.body.slice(0, 600)}>
                  {message(l)}
                </span>
              </div>
            ))}
          </div>
          {t.spans.logs[row] > LINES && (
            <p className="warn">
              {m.linesCut(count(Math.min(LINES, lines.length)), count(t.spans.logs[row]))}
            </p>
          )}
        </>
      )}
      {detail?.events.length ? (
        <>
          <h3>
            {m.events} <span className="num">{detail.events.length}</span>
          </h3>
          {detail.events.map((e, i) => (
            <div className="ev" key={i}>
              <span className="num dim">{offset(Number(BigInt(e.time) - t.start))}</span> <b>{e.name}</b>
              <Attributes list={e.attributes} filter={filter} />
            </div>
          ))}
        </>
      ) : null}
      {detail && detail.attributes.length > 0 && (
        <>
          <h3>
            {m.attributes} <span className="num">{detail.attributes.length}</span>
          </h3>
          <Attributes list={detail.attributes} filter={filter} />
        </>
      )}
      {detail && detail.resource.length > 0 && (
        <>
          <h3>
            {m.resource} <span className="num">{detail.resource.length}</span>
          </h3>
          <Attributes list={detail.resource} filter={filter} />
        </>
      )}
      {detail?.scope.name && (
        <>
          <h3>{m.scope}</h3>
          <Attributes
            list={[
              { key: 'name', value: `${detail.scope.name} ${detail.scope.version}`.trim(), type: 'string' },
              ...detail.scope.attributes,
            ]}
          />
        </>
      )}
      <h3>Span</h3>
      <Attributes list={facts} />
      <h3>{m.links}</h3>
      <div className="plinks">
        {parent >= 0 && <SpanLink t={t} row={parent} label={m.parent} go={go} />}
        {kids.slice(0, CHILDREN).map(k => (
          <SpanLink key={k} t={t} row={k} label={m.child} go={go} />
        ))}
        {kids.length > CHILDREN && <span className="dim">+{count(kids.length - CHILDREN)}</span>}
        {detail?.links.map((l, i) => (
          <Link
            key={i}
            to="/traces/$id"
            params={{ id: l.traceId }}
            search={{ ...carry(url), span: l.spanId } as never}
          >
            {m.linkedTo} {l.traceId.slice(0, 8)}… / {l.spanId}
          </Link>
        ))}
        <Link
          to="/logs"
          search={{ q: `trace.id = ${t.id} span.id = ${t.spans.id[row]}`, from: '0' } as never}
        >
          {m.allLogs}
        </Link>
        <Link
          to="/logs"
          search={{ q: equals('service', service.name), from: around(t, -60), to: around(t, 60) } as never}
        >
          {m.allLogsService}
        </Link>
      </div>
    </>
  );
}
const around = (t: Trace, seconds: number): string =>
  new Date(
    Number(t.start / 1000000n) + seconds * 1000 + (seconds > 0 ? t.durationNs / 1e6 : 0),
  ).toISOString();

function SpanLink({
  t,
  row,
  label,
  go,
}: {
  t: Trace;
  row: number;
  label: string;
  go: (row: number) => void;
}) {
  return (
    <button onClick={() => go(row)}>
      {label} <Mark color={serviceOf(t, row).color} />
      <span>{operationOf(t, row)}</span>
      <span className="num dim">{duration(t.spans.durationNs[row])}</span>
    </button>
  );
}
function NoteLine({ icon, tone = '', children }: { icon: IconName; tone?: string; children: ReactNode }) {
  return (
    <p className={`note ${tone}`}>
      <Icon name={icon} />
      <span>{children}</span>
    </p>
  );
}

function Notes({
  t,
  row,
  m,
  source,
  self,
}: {
  t: Trace;
  row: number;
  m: Messages;
  source: SpanDetail['source'] | undefined;
  self: number;
}) {
  const flags = t.spans.flags[row],
    say = (n: Note): [string, boolean] => {
      const d = duration(Math.abs(n.ns));
      switch (n.kind) {
        case 'starts-before-parent':
          return [m.noteBefore(d), true];
        case 'ends-after-parent':
          return [m.noteEndsAfter(d), false];
        case 'starts-after-parent-end':
          return [m.noteAsync(d), false];
        case 'missing-parent':
          return [m.noteOrphan, true];
        case 'cycle':
          return [m.noteCycle, true];
        case 'duplicate-id':
          return [m.noteDuplicate, true];
        default:
          return [m.noteOther(n.kind), false];
      }
    };
  const own = ownTime(t, row);
  let a = 0,
    b = 0;
  for (let k = 0; k < own.length; k += 2) if (own[k + 1] - own[k] > b - a) [a, b] = [own[k], own[k + 1]];
  const quiet = !(t.ticks.get(row) ?? []).some(k => k.atNs > a + 2000 && k.atNs < b - 2000);
  return (
    <>
      {flags & FLAG.joined ? (
        <NoteLine icon="link">
          {m.noteJoined} <SourceLine t={t} m={m} source={source} />
        </NoteLine>
      ) : flags & FLAG.derived ? (
        <NoteLine icon="link">
          {m.noteDerived} <SourceLine t={t} m={m} source={source} />
        </NoteLine>
      ) : flags & FLAG.observed ? (
        <NoteLine icon="clock">
          {m.noteObserved} {flags & FLAG.inferred ? m.noteInferred : ''}
        </NoteLine>
      ) : null}
      {(t.notes.get(row) ?? []).map((n, i) => {
        const [text, warn] = say(n);
        return (
          <NoteLine key={i} icon={warn ? 'warn' : 'clock'} tone={warn ? 'warn' : ''}>
            {text}
          </NoteLine>
        );
      })}
      {t.childCount[row] > 0 && b - a > t.spans.durationNs[row] * PIECE_SHARE && self > 0 && (
        <NoteLine icon="clock">
          {m.onePiece(duration(b - a), offset(a), offset(b))} {quiet && m.noLineBetween}
        </NoteLine>
      )}
    </>
  );
}

/** The line that a span was derived from: a link to it, or where it stands. */
function SourceLine({ t, m, source }: { t: Trace; m: Messages; source: SpanDetail['source'] | undefined }) {
  if (!source) return null;
  if (source.log === null)
    return (
      <code>
        {source.name}
        {source.offset === null ? '' : ` +${source.offset}`}
      </code>
    );
  return (
    <Link to="/logs" search={{ q: `trace.id = ${t.id}`, from: '0', open: source.log } as never}>
      {m.showLine}
    </Link>
  );
}

/** The span alone: ink where it worked itself, faint where a child did; its children as lines below. */
function Strip({ t, row }: { t: Trace; row: number }) {
  const theme = useTheme(),
    box = useRef<HTMLDivElement>(null),
    canvas = useRef<HTMLCanvasElement>(null),
    [width] = useSize(box),
    HEIGHT = 34;
  useLayoutEffect(() => {
    if (!canvas.current || width < 10) return;
    const pen = new Pen(canvas.current, theme, width, HEIGHT),
      from = t.spans.startNs[row],
      ns = Math.max(1, t.spans.durationNs[row]),
      x = (v: number) => ((v - from) / ns) * width,
      c = `svc-${serviceOf(t, row).color}`,
      own = ownTime(t, row);
    pen.rect(pen.c(c, 0.22), 0, 8, width, 12, 3);
    for (let k = 0; k < own.length; k += 2)
      pen.rect(pen.c(c), x(own[k]), 8, Math.max(1, x(own[k + 1]) - x(own[k])), 12, 2);
    for (const k of children(t, row))
      pen.rect(
        pen.c(`svc-${serviceOf(t, k).color}`),
        x(t.spans.startNs[k]),
        23,
        Math.max(2, x(Math.min(endOf(t, k), from + ns)) - x(t.spans.startNs[k])),
        3,
        1.5,
      );
    for (const tick of t.ticks.get(row) ?? []) {
      const at = Math.min(width - 2, Math.max(1, x(tick.atNs))),
        k = rank(tick.severity);
      pen.rect(pen.c('bg'), at - 2, 3, 4, 20);
      pen.rect(pen.c(k === 2 ? 'err-fill' : k === 1 ? 'warn-fill' : 'ink'), at - 0.75, 4, 1.5, 18);
    }
  }, [t, row, width, theme]);
  return (
    <div className="strip" ref={box}>
      <canvas ref={canvas} aria-hidden="true" style={{ height: HEIGHT }} />
    </div>
  );
}
