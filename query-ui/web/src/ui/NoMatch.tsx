import { useQueries, useQuery } from '@tanstack/react-query';
import { api } from '../api/client';
import { ask } from '../api/queries';
import { useT } from '../i18n';
import { without } from '../model/filter';
import { count } from '../model/format';
import { isRelative, type Range } from '../model/time';

interface Props {
  signal: 'spans' | 'logs';
  q: string;
  range: Range;
  setQ: (q: string) => void;
  widen: (from: string) => void;
}
/** Filters tried one by one; more would be more questions than the answer is worth. */
const TRIED = 5;

/** What was searched, the filter that excludes most and a button to remove it, one to widen the time; where to send data. */
export default function NoMatch({ signal, q, range, setQ, widen }: Props) {
  const t = useT(),
    parts = without(q).slice(0, TRIED),
    name = range.from && isRelative(range) && t.range[range.from] ? t.range[range.from] : t.thisRange;
  const total = (rest: string) => ({
    queryKey: ['total', signal, rest, range],
    queryFn: async (c: { signal: AbortSignal }) =>
      (signal === 'spans'
        ? await api.traces({ q: rest, ...ask(range), limit: 1 }, c.signal)
        : await api.logGroups({ q: rest, ...ask(range), by: 'severity', limit: 1 }, c.signal)
      ).total,
  });
  const searched = useQuery({ ...total(''), enabled: q !== '' }).data,
    tried = useQueries({ queries: parts.map(p => total(p.rest)) });
  const best = parts.map((p, i) => ({ ...p, n: tried[i]?.data?.value ?? 0 })).sort((a, b) => b.n - a.n)[0];
  return (
    <div className="empty">
      <h2>{signal === 'spans' ? t.noTrace(name) : t.noLog(name)}</h2>
      {q && searched && (
        <p>
          {signal === 'spans' ? t.noTraceBody(count(searched.value)) : t.noLogBody(count(searched.value))}{' '}
          {best && best.n > 0 && t.excludes(best.chip.text, count(best.n))}
        </p>
      )}
      <p className="btns">
        {q && best && best.n > 0 && (
          <button className="ctl pri" onClick={() => setQ(best.rest)}>
            {t.remove(best.chip.text)}
          </button>
        )}
        {q && (!best || best.n === 0) && (
          <button className="ctl" onClick={() => setQ('')}>
            {t.clearFilters}
          </button>
        )}
        {range.from !== '-24h' && range.from !== '0' && (
          <button className="ctl" onClick={() => widen('-24h')}>
            {t.widen}
          </button>
        )}
        {range.from === '-24h' && (
          <button className="ctl" onClick={() => widen('0')}>
            {t.widenAll}
          </button>
        )}
      </p>
      <p className="dim">
        {t.nothingYet} <code>http://127.0.0.1:4318</code> {t.nothingYet2} <code>weir up</code>
        {t.nothingYet3} <code>/var/log</code>.
      </p>
    </div>
  );
}
