import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useImperativeHandle, useMemo, useRef, type Ref } from 'react';
import type { ServiceBook } from '../../api/queries';
import type { Log, Total } from '../../api/types';
import { useT } from '../../i18n';
import { count } from '../../model/format';
import { message } from '../../model/lines';
import { rank, severityName } from '../../model/severity';
import { clockBeside, exact, ms } from '../../model/time';
import { shownTotal } from '../../model/total';
import { token } from '../../ui/canvas';
import { Icon, Mark } from '../../ui/Icon';
import { usePref } from '../../ui/prefs';
import { useZone } from '../../ui/url';
import { LogDetail } from './LogDetail';

export interface LogListHandle {
  reveal: (id: string) => void;
  top: () => void;
}
interface Props {
  list: Log[];
  total: Total | undefined;
  /** A live tail that nothing has come from yet. */
  waiting: boolean;
  loading: boolean;
  book: ServiceBook;
  selected: string | null;
  open: string | null;
  toggle: (id: string) => void;
  openTrace: (l: Log) => void;
  around: (l: Log) => void;
  filter: (key: string, value: string, not: boolean) => void;
  more: (() => void) | undefined;
  onTop: (at: boolean) => void;
  handle: Ref<LogListHandle>;
}
const OVERSCAN = 20,
  SKELETON = 18,
  AT_TOP_PX = 4,
  TITLE_CHARS = 600;

/** Only the lines in view are in the document; an open one is measured. */
export function LogList(p: Props) {
  const t = useT(),
    zone = useZone(),
    density = usePref('density'),
    scroller = useRef<HTMLDivElement>(null),
    { list, more } = p;
  const height = useMemo(() => parseFloat(token('h-log')) || 22, [density]);
  const rows = useVirtualizer({
    count: list.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => height,
    getItemKey: i => list[i].id,
    overscan: OVERSCAN,
  });
  useEffect(() => rows.measure(), [height, rows]);
  useImperativeHandle(
    p.handle,
    () => ({
      reveal: id => {
        const i = list.findIndex(l => l.id === id);
        if (i >= 0) rows.scrollToIndex(i, { align: 'auto' });
      },
      top: () => scroller.current?.scrollTo({ top: 0 }),
    }),
    [list, rows],
  );
  const items = rows.getVirtualItems(),
    before = items[0]?.start ?? 0,
    after = rows.getTotalSize() - (items.at(-1)?.end ?? 0),
    atEnd = (items.at(-1)?.index ?? -1) >= list.length - 1 && list.length > 0;
  useEffect(() => {
    if (atEnd) more?.();
    // `more` is new in every render; reaching the end is what counts.
  }, [atEnd, list.length]);
  return (
    <div
      className="lrows"
      ref={scroller}
      data-rows
      tabIndex={0}
      role="region"
      aria-label={t.logs}
      aria-busy={p.loading}
      onScroll={e => p.onTop(e.currentTarget.scrollTop <= AT_TOP_PX)}
    >
      <div style={{ height: before }} />
      {items.map(v => {
        const l = list[v.index],
          open = l.id === p.open;
        return (
          <div key={l.id} data-index={v.index} ref={rows.measureElement}>
            <div
              className={`lr s${rank(l.severity)}${open ? ' open' : ''}${l.id === p.selected ? ' sel' : ''}`}
              aria-current={l.id === p.selected || undefined}
            >
              <i
                className={`lm s${rank(l.severity)}`}
                role="img"
                aria-label={severityName(l.severity, l.severityText)}
              />
              <span className="num" title={exact(l.time)}>
                {clockBeside(ms(l.time), ms(list[0].time), zone)}
              </span>
              <span className="sv" title={l.service}>
                <Mark color={p.book.color(l.service)} />
                {p.book.short(l.service)}
              </span>
              <button
                className="msg"
                tabIndex={-1}
                aria-expanded={open}
                title={open ? undefined : l.body.slice(0, TITLE_CHARS)}
                // The focus stays with the list, so that Enter means the selected line.
                onMouseDown={e => e.preventDefault()}
                onClick={() => p.toggle(l.id)}
              >
                {message(l)}
              </button>
              {l.traceId && (
                <button
                  className="tl bare"
                  tabIndex={-1}
                  title={t.openTrace}
                  aria-label={t.openTrace}
                  onClick={() => p.openTrace(l)}
                >
                  <Icon name="link" />
                </button>
              )}
            </div>
            {open && (
              <LogDetail
                line={l}
                filter={p.filter}
                openTrace={() => p.openTrace(l)}
                around={() => p.around(l)}
              />
            )}
          </div>
        );
      })}
      <div style={{ height: Math.max(0, after) }} />
      {p.loading &&
        Array.from({ length: SKELETON }, (_, i) => (
          <div key={i} className="lr skel" aria-hidden="true">
            <i style={{ width: `${88 - ((i * 17) % 40)}%`, gridColumn: '1 / -1' }} />
          </div>
        ))}
      {p.waiting && <p className="foot">{t.liveWaiting}</p>}
      {p.total && list.length > 0 && (
        <p className="foot">
          {t.showing(count(list.length), shownTotal(p.total, t), t.newestFirst)}
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
