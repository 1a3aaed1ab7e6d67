import { Link } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { useLang, useT } from '../../i18n';
import { count, duration, percent, seconds, shortId } from '../../model/format';
import { entryRow, operationOf, serviceOf, type Trace } from '../../model/trace';
import { clock, day, exact, zoneName } from '../../model/time';
import { Icon, Kbd, Mark } from '../../ui/Icon';
import { shownKey } from '../../ui/keys';
import { copy } from '../../ui/toast';
import { carry, useShareLink, useUrl, useZone } from '../../ui/url';

const LEGEND = 6;

interface Props {
  t: Trace;
  find: string;
  hits: number;
  setFind: (f: string) => void;
  nextHit: () => void;
  only: number | null;
  setOnly: (s: number | null) => void;
  short: (n: string) => string;
}

/** The answer first: how long, how much, and where the time went. */
export function TraceHead({ t, find, hits, setFind, nextHit, only, setOnly, short }: Props) {
  const m = useT(),
    lang = useLang(),
    zone = useZone(),
    share = useShareLink(),
    [url] = useUrl(),
    entry = entryRow(t),
    service = serviceOf(t, entry),
    at = Number(t.start / 1000000n),
    [now, setNow] = useState(Date.now()),
    used = t.services.length;
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 5000);
    return () => clearInterval(timer);
  }, []);
  const where = t.columns.where,
    total = Math.max(
      1,
      where.reduce((s, w) => s + w.ns, 0),
    ),
    color = (n: string) => t.services.find(s => s.name === n)?.color ?? 0;
  return (
    <>
      <div className="tp-t">
        <Link
          className="back"
          to="/traces"
          search={{ ...carry(url), ...(url.q && { q: url.q }) } as never}
          aria-label={m.back}
          title={`${m.back}  ${shownKey('escape')}`}
        >
          <Icon name="left" />
        </Link>
        <h1>
          <Mark color={service.color} />
          <span>{service.name}</span>
          <span className="mono">{operationOf(t, entry)}</span>
        </h1>
        <span className="grow" />
        <label className="field find">
          <Icon name="search" />
          <input
            data-search
            value={find}
            placeholder={m.find}
            aria-label={m.find}
            spellCheck={false}
            onChange={e => setFind(e.target.value)}
            onKeyDown={e => {
              if (e.key === 'Enter') nextHit();
              if (e.key === 'Escape') {
                e.stopPropagation();
                if (find) setFind('');
                else e.currentTarget.blur();
              }
            }}
          />
          {find ? (
            <span className="num dim" role="status">
              {m.found(count(hits), count(t.n))}
            </span>
          ) : (
            <Kbd keys="/" />
          )}
        </label>
        <button
          className="ctl"
          onClick={() => void copy(share(), m.copied)}
          title={`${m.key.link}  ${shownKey('link')}`}
        >
          <Icon name="link" />
          {m.copyLink}
        </button>
      </div>
      <div className="tp-f">
        <span className="big num">{duration(t.durationNs)}</span>
        <span>
          <b className="num">{count(t.n)}</b> {m.nSpans(t.n)}
        </span>
        <span>
          <b className="num">{used}</b> {m.nServices(used)}
        </span>
        <span>
          <b className="num">{count(t.logLines)}</b> {m.nLines(t.logLines)}
        </span>
        {t.errors > 0 ? (
          <span className="err">
            <b className="num">{count(t.errors)}</b> {m.nErrors(t.errors)}
          </span>
        ) : (
          t.errorLines === 0 && <span>{m.noErrors}</span>
        )}
        {t.errorLines > 0 && (
          <span className="err">
            <b className="num">{count(t.errorLines)}</b> {m.nErrorLines(t.errorLines)}
          </span>
        )}
        {t.columns.cut && (
          <span className="warn">{m.linesCut(count(t.columns.cut.shown), count(t.columns.cut.total))}</span>
        )}
        <span className="grow" />
        <span title={exact(t.start)}>
          {day(at, zone, lang)} <b className="num">{clock(at, zone)}</b> {zoneName(zone, at)}{' '}
          <span className="dim num">{m.ago(seconds(now - at))}</span>
        </span>
        <span className="mono dim" title={t.id}>
          {shortId(t.id)}{' '}
          <button className="bare" onClick={() => void copy(t.id, m.copiedValue)} aria-label={m.copyId}>
            <Icon name="copy" />
          </button>
        </span>
      </div>
      <div className="went">
        <div className="went-b" aria-hidden="true">
          {where.map(w => (
            <i
              key={w.service}
              title={`${w.service}  ${duration(w.ns)}  ${percent(w.ns / total)}`}
              style={{
                width: `${(w.ns / total) * 100}%`,
                ['--c' as string]: `var(--svc-${color(w.service)})`,
              }}
            />
          ))}
        </div>
        <div className="went-l">
          <span className="dim">{m.where}</span>
          {where.slice(0, LEGEND).map(w => {
            const i = t.services.findIndex(s => s.name === w.service);
            return (
              <button
                key={w.service}
                className={`leg${only === i ? ' on' : ''}`}
                aria-pressed={only === i}
                title={`${w.service}  ${duration(w.ns)}`}
                onClick={() => setOnly(only === i ? null : i)}
              >
                <Mark color={color(w.service)} />
                {short(w.service)} <b className="num">{percent(w.ns / total)}</b>
              </button>
            );
          })}
          {where.length > LEGEND && (
            <span
              className="dim"
              title={where
                .slice(LEGEND)
                .map(w => `${w.service}  ${percent(w.ns / total)}`)
                .join('\n')}
            >
              +{where.length - LEGEND}
            </span>
          )}
        </div>
      </div>
    </>
  );
}
