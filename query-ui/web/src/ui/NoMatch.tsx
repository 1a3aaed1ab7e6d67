import { useQueries, useQuery } from '@tanstack/react-query';
import { api } from '../api/client';
import type { Status } from '../api/types';
import { ask, useScatter, useStatus } from '../api/queries';
import { useT } from '../i18n';
import { builtIn, fromChips, toChips, without } from '../model/filter';
import { meant } from '../model/meant';
import { DEFAULT_FROM, isRelative, type Range } from '../model/time';
import { beginning, better, shownTotal } from '../model/total';

interface Props {
  signal: 'spans' | 'logs';
  q: string;
  range: Range;
  setQ: (q: string) => void;
  widen: (from: string) => void;
}
/** Keys that a filter of both signals knows beside those that are proposed. */
const ALSO_KNOWN = ['kind', 'event', 'trace.id', 'span.id', 'trace.service', 'severity'];
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
  // The picture above counts all traces to the end, and its answer is here already.
  const exact = useScatter('', range, signal === 'spans' && q !== '').data?.total,
    counted = useQuery({ ...total(''), enabled: q !== '' }).data,
    searched = counted && better(counted, exact),
    tried = useQueries({ queries: parts.map(p => total(p.rest)) });
  const nothing = { value: 0, exact: true },
    best = parts
      .map((p, i) => ({ ...p, total: better(tried[i]?.data ?? nothing, p.rest ? undefined : exact) }))
      .sort((a, b) => b.total.value - a.total.value)[0],
    helps = best && best.total.value > 0;
  // A list that is cut does not tell which keys there are.
  const seen = useQuery({
      queryKey: ['keys', signal, ''],
      queryFn: c => api.keys({ signal, prefix: '' }, c.signal),
      enabled: q !== '',
    }).data,
    known = [...builtIn(signal).map(f => f.key), ...ALSO_KNOWN, ...(seen?.keys.map(k => k.key) ?? [])],
    slips = seen?.complete ? meant(q, known) : [],
    mend = (of: string, instead: string) =>
      setQ(fromChips(toChips(q).map(c => (c.text === of ? { text: instead } : c))));
  if (status?.newestNs === null && status.untold === null)
    return <NothingYet receivers={status.receivers} globs={status.globs} />;
  return (
    <div className="empty">
      <h2>{signal === 'spans' ? t.noTrace(name) : t.noLog(name)}</h2>
      {q && searched && (
        <p>
          {signal === 'spans' ? t.noTraceBody(beginning(searched, t)) : t.noLogBody(beginning(searched, t))}{' '}
          {helps && <With text={c => t.excludes(c, shownTotal(best.total, t))} codes={[best.chip.text]} />}
        </p>
      )}
      {slips.map(s => (
        <p key={s.chip.text}>
          {s.unknown !== undefined && <With text={t.unknownKey} codes={[s.unknown]} />}{' '}
          {s.instead && <With text={t.meant} codes={[s.instead]} />}
        </p>
      ))}
      <p className="btns">
        {slips.map(
          s =>
            s.instead && (
              <button className="ctl pri" key={s.chip.text} onClick={() => mend(s.chip.text, s.instead!)}>
                {t.didYouMean(s.instead)}
              </button>
            ),
        )}
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
function NothingYet({ receivers, globs }: Pick<Status, 'receivers' | 'globs'>) {
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
      {globs.length > 0 ? (
        <>
          <p>{t.nothingYetGlobs}</p>
          <dl className="addr">
            {globs.map(g => (
              <div key={g.glob}>
                <dt>{t.nFiles(g.files)}</dt>
                <dd>
                  <code>{g.glob}</code>
                </dd>
              </div>
            ))}
          </dl>
        </>
      ) : (
        <p className="dim">
          <With text={t.nothingYetFiles} codes={['weir up', '/var/log']} />
        </p>
      )}
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
