import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useMemo, useRef } from 'react';
import type { ServiceBook } from '../../api/queries';
import type { Summary, Total } from '../../api/types';
import { useLang, useT } from '../../i18n';
import { count, duration, percent } from '../../model/format';
import { clockBeside, day, exact, ms } from '../../model/time';
import { shownTotal } from '../../model/total';
import { token } from '../../ui/canvas';
import { Mark } from '../../ui/Icon';
import { usePref } from '../../ui/prefs';
import { useZone } from '../../ui/url';

interface Props {
  list: Summary[];
  total: Total | undefined;
  book: ServiceBook;
  selected: number;
  hover: (id: string | null) => void;
  open: (id: string) => void;
  more: (() => void) | undefined;
  loading: boolean;
}
const SKELETON = 12,
  /** Columns that a narrow window shows; a wider cell would add empty ones there. */
  COLUMNS = 6;

export function TraceList({ list, total, book, selected, hover, open, more, loading }: Props) {
  const t = useT(),
    lang = useLang(),
    zone = useZone(),
    density = usePref('density'),
    scroller = useRef<HTMLDivElement>(null);
  const rowHeight = useMemo(() => parseFloat(token('h-row')) || 32, [density]);
  const rows = useVirtualizer({
    count: list.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 12,
  });
  useEffect(() => {
    if (selected >= 0) rows.scrollToIndex(selected, { align: 'auto' });
  }, [selected, rows]);
  useEffect(() => rows.measure(), [rowHeight, rows]);
  // The longest few would make all other bars dots: the scale ends at the 95th percentile.
  const scale = useMemo(() => {
    const d = list
      .filter(s => !s.arriving)
      .map(s => s.durationNs)
      .sort((a, b) => a - b);
    return Math.max(1, d[Math.floor(d.length * 0.95)] ?? 1);
  }, [list]);
  const items = rows.getVirtualItems(),
    before = items[0]?.start ?? 0,
    after = rows.getTotalSize() - (items.at(-1)?.end ?? 0),
    newest = list[0];
  return (
    <div className="list-s" ref={scroller} data-rows tabIndex={0} aria-label={t.traces} role="region">
      <table className="tt" aria-rowcount={list.length + 1}>
        <thead>
          <tr>
            <th className="c-start">
              {t.start} <span className="dim">{newest && day(ms(newest.start), zone, lang)}</span>
            </th>
            <th>{t.root}</th>
            <th className="c-dur r">{t.duration}</th>
            <th className="c-bar">
              <span className="sr">{t.duration}</span>
            </th>
            <th className="c-where">{t.where}</th>
            <th className="c-n r">{t.spans}</th>
            <th className="c-n c-logs r">{t.logs}</th>
            <th className="c-n r">{t.errors}</th>
          </tr>
        </thead>
        <tbody>
          {before > 0 && <tr aria-hidden="true" style={{ height: before }} />}
          {items.map(v => {
            const s = list[v.index],
              e = s.entry ?? s.root;
            return (
              <tr
                key={s.traceId}
                aria-rowindex={v.index + 2}
                className={`${v.index === selected ? 'sel' : ''}${s.arriving ? ' arriving' : ''}`}
                onMouseEnter={() => hover(s.traceId)}
                onMouseLeave={() => hover(null)}
                onClick={() => open(s.traceId)}
              >
                <td className="num" title={exact(s.start)}>
                  {clockBeside(ms(s.start), ms(newest!.start), zone)}
                </td>
                <td className="rt">
                  {e ? (
                    <a
                      href={`/traces/${s.traceId}`}
                      onClick={ev => {
                        if (ev.ctrlKey || ev.metaKey || ev.shiftKey) ev.stopPropagation();
                        else ev.preventDefault();
                      }}
                      title={`${e.service}  ${e.operation}`}
                    >
                      <Mark color={book.color(e.service)} />
                      <b>{e.service}</b>
                      <span className="mono">{e.operation}</span>
                    </a>
                  ) : (
                    <a
                      href={`/traces/${s.traceId}`}
                      onClick={ev => ev.preventDefault()}
                      className="mono dim"
                      title={s.arriving ? t.arrivingHint : t.noRoot}
                    >
                      {s.arriving && <span className="wait">{t.arriving}</span>}
                      {s.traceId}
                    </a>
                  )}
                </td>
                <td className="r num">{duration(s.durationNs)}</td>
                <td className="db">
                  <i style={{ width: `${Math.min(100, Math.max(1.5, (s.durationNs / scale) * 100))}%` }} />
                </td>
                <td
                  className="wt2"
                  title={s.where
                    .slice(0, 5)
                    .map(w => `${w.service}  ${percent(w.ns / Math.max(1, s.durationNs))}`)
                    .join('\n')}
                >
                  <span className="cmp">
                    {s.where.map(w => (
                      <i
                        key={w.service}
                        style={{
                          width: `${(w.ns / Math.max(1, s.durationNs)) * 100}%`,
                          ['--c' as string]: `var(--svc-${book.color(w.service)})`,
                        }}
                      />
                    ))}
                  </span>
                  <span className="num dim">{s.where.length}</span>
                </td>
                <td className="r num">{count(s.spans)}</td>
                <td className="r num dim c-logs">
                  {s.logs ? count(s.logs) : <span className="nil">·</span>}
                  {s.errorLogs > 0 && <i className="lm s2" title={t.errorLines(count(s.errorLogs))} />}
                </td>
                <td className="r num">
                  {s.errors ? <span className="ec">{count(s.errors)}</span> : <span className="nil">·</span>}
                </td>
              </tr>
            );
          })}
          {after > 0 && <tr aria-hidden="true" style={{ height: after }} />}
          {loading &&
            list.length === 0 &&
            Array.from({ length: SKELETON }, (_, i) => (
              <tr key={i} className="skel" aria-hidden="true">
                <td colSpan={COLUMNS}>
                  <i style={{ width: `${88 - ((i * 17) % 40)}%` }} />
                </td>
              </tr>
            ))}
        </tbody>
      </table>
      {total && (
        <p className="foot">
          {t.showing(count(list.length), shownTotal(total, t), t.newestFirst)}{' '}
          {more && (
            <button className="ctl" onClick={more}>
              {t.loadMore}
            </button>
          )}
        </p>
      )}
    </div>
  );
}
