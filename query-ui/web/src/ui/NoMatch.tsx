import { useQueries, useQuery } from '@tanstack/react-query';
import { api } from '../api/client';
import { ask, useStatus } from '../api/queries';
import { useT } from '../i18n';
import { without } from '../model/filter';
import { count } from '../model/format';
import { DEFAULT_FROM, isRelative, type Range } from '../model/time';

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
    name = (isRelative(range) && t.rangeIn[range.from ?? DEFAULT_FROM]) || t.thisRange,
    status = useStatus().data;
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
  const all = (total: { value: number; exact: boolean }) =>
    total.exact ? count(total.value) : t.atLeast(count(total.value));
  const nothing = { value: 0, exact: true },
    best = parts
      .map((p, i) => ({ ...p, total: tried[i]?.data ?? nothing }))
      .sort((a, b) => b.total.value - a.total.value)[0],
    helps = best && best.total.value > 0;
  if (status?.newestNs === null) return <NothingYet receivers={status.receivers} />;
  return (
    <div className="empty">
      <h2>{signal === 'spans' ? t.noTrace(name) : t.noLog(name)}</h2>
      {q && searched && (
        <p>
          {signal === 'spans' ? t.noTraceBody(all(searched)) : t.noLogBody(all(searched))}{' '}
          {helps && <With text={c => t.excludes(c, all(best.total))} codes={[best.chip.text]} />}
        </p>
      )}
      <p className="btns">
        {q && helps && (
          <button className="ctl pri" onClick={() => setQ(best.rest)}>
            {t.remove(best.chip.text)}
          </button>
        )}
        {q && !helps && (
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
    </div>
  );
}

/** Nothing was ever received: where to send it. */
function NothingYet({ receivers }: { receivers: { protocol: string; url: string }[] }) {
  const t = useT();
  return (
    <div className="empty">
      <h2>{t.nothingYet}</h2>
      {receivers.length > 0 && (
        <>
          <p>{t.nothingYetBody}</p>
          <dl className="addr">
            {receivers.map(r => (
              <div key={r.protocol}>
                <dt>{r.protocol}</dt>
                <dd>
                  <code>{r.url}</code>
                </dd>
              </div>
            ))}
          </dl>
        </>
      )}
      <p className="dim">
        <With text={t.nothingYetFiles} codes={['weir up', '/var/log']} />
      </p>
    </div>
  );
}

/** A sentence with parts in code type, wherever the language has them. */
function With({ text, codes }: { text: (...codes: string[]) => string; codes: string[] }) {
  // Private-use characters stand for the parts while the sentence is built.
  const at = codes.map((_, i) => String.fromCharCode(0xe000 + i)),
    parts = text(...at).split(new RegExp(`(${at.join('|')})`));
  return parts.map((part, i) => {
    const code = at.indexOf(part);
    return code < 0 ? part : <code key={i}>{codes[code]}</code>;
  });
}
