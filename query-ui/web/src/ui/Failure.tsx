/** The error state: who failed, how, since when, next try. A wrong filter shows its token; content stays below. */
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { ApiError, currentOutage } from '../api/client';
import { useT } from '../i18n';
import { byteToIndex } from '../model/filter';
import { seconds } from '../model/format';
import { hourMinuteSecond } from '../model/time';
import { Icon } from './Icon';
import { useZone } from './url';

const RETRY_MS = 5000;

export function Failure({
  error,
  loadedAt,
  q = '',
  onFix,
}: {
  error: unknown;
  loadedAt: number;
  q?: string;
  onFix?: (q: string) => void;
}) {
  const t = useT(),
    client = useQueryClient(),
    zone = useZone(),
    [now, setNow] = useState(Date.now()),
    [since] = useState(Date.now());
  const e = error instanceof ApiError ? error : null,
    waits = !e?.final;
  useEffect(() => {
    if (!waits) return;
    const tick = setInterval(() => setNow(Date.now()), 1000),
      retry = setInterval(
        () =>
          void client.refetchQueries({
            predicate: x => x.state.status === 'error' || x.state.fetchFailureCount > 0,
          }),
        RETRY_MS,
      );
    return () => {
      clearInterval(tick);
      clearInterval(retry);
    };
  }, [waits, client]);
  if (e && e.final && e.start !== undefined) {
    const a = byteToIndex(q, e.start),
      b = Math.max(a + 1, byteToIndex(q, e.end ?? e.start + 1));
    return (
      <div className="ban err" role="alert" aria-live="polite">
        <Icon name="warn" />
        <span>
          <b>{t.badFilter}:</b> {t.filterError(e.reason, e.params, e.message)}
          <code className="wrong">
            {q.slice(0, a)}
            <u>{q.slice(a, b) || ' '}</u>
            {q.slice(b)}
          </code>
        </span>
        {e.suggestion && onFix && (e.end ?? 0) > e.start && (
          <button className="ctl" onClick={() => onFix(q.slice(0, a) + e.suggestion + q.slice(b))}>
            {t.didYouMean(e.suggestion)}
          </button>
        )}
      </div>
    );
  }
  if (e?.final)
    return (
      <div className="ban err" role="alert" aria-live="polite">
        <Icon name="warn" />
        <span>
          <b>{t.failed}:</b> {e.message}
        </span>
      </div>
    );
  const outage = currentOutage(),
    why = (e?.message ?? String(error)) + (outage ? t.tries(outage.tries, seconds(now - outage.since)) : '');
  const left = Math.ceil((RETRY_MS - ((now - since) % RETRY_MS)) / 1000);
  return (
    <div className="ban err" role="alert" aria-live="polite">
      <Icon name="warn" />
      <span>
        <b>{e?.status ? t.failed : t.unreachable(location.host)}</b>{' '}
        {loadedAt > 0
          ? t.unreachableBody(why, seconds(now - loadedAt), hourMinuteSecond(loadedAt, zone))
          : `(${why}).`}{' '}
        {t.nextTry(`${left} s`)}
      </span>
      <button className="ctl" onClick={() => void client.refetchQueries()}>
        {t.tryNow}
      </button>
    </div>
  );
}
