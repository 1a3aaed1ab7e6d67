import type { ServiceBook } from '../../api/queries';
import type { Scatter } from '../../api/types';
import { useT } from '../../i18n';
import { add, equals } from '../../model/filter';
import { count, duration } from '../../model/format';
import { filterable } from '../../ui/focused';
import { Mark } from '../../ui/Icon';

const SHOWN = 8;

/** The table by entry operation: calls, errors, p95. A row filters to its service and operation. */
export function ByOperation({
  data,
  book,
  q,
  setQ,
}: {
  data: Scatter | undefined;
  book: ServiceBook;
  q: string;
  setQ: (q: string) => void;
}) {
  const t = useT(),
    rows = [...(data?.entries ?? [])].sort((a, b) => b.calls - a.calls),
    most = Math.max(1, ...rows.map(r => r.calls));
  return (
    <div className="byop">
      {rows.length > 0 && (
        <h2 className="h6">
          {t.byOperation}
          <span>{t.calls}</span>
          <span>{t.p95}</span>
        </h2>
      )}
      {rows.slice(0, SHOWN).map(r => (
        <button
          key={`${r.service}\n${r.operation}`}
          title={`${r.service}  ${r.operation}\n${count(r.calls)} ${t.calls}, ${count(r.errors)} ${t.errors}, p50 ${duration(r.p50Ns)}, p95 ${duration(r.p95Ns)}`}
          disabled={!r.operation}
          {...(r.operation && filterable('entry', r.operation))}
          onClick={() => setQ(add(q, equals('entry', r.operation)))}
        >
          {r.operation ? (
            <>
              <Mark color={book.color(r.service)} />
              <span className="mono path">
                <bdi>{r.operation}</bdi>
              </span>
            </>
          ) : (
            <span className="mono dim">{t.noRoot}</span>
          )}
          <i className="b">
            <i style={{ width: `${(r.calls / most) * 100}%` }} />
            <i className="e" style={{ width: `${(r.errors / most) * 100}%` }} />
          </i>
          <span className="num">{count(r.calls)}</span>
          <span className="num">{duration(r.p95Ns)}</span>
        </button>
      ))}
      {rows.length > SHOWN && <span className="dim">{t.moreOperations(count(rows.length - SHOWN))}</span>}
    </div>
  );
}
