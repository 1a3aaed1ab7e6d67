import type { ServiceBook } from '../../api/queries';
import { useLogGroups } from '../../api/queries';
import { useT } from '../../i18n';
import { count } from '../../model/format';
import { nameRank } from '../../model/severity';
import type { Range } from '../../model/time';
import { filterable } from '../../ui/focused';
import { Icon, Mark } from '../../ui/Icon';

interface Props {
  q: string;
  range: Range;
  book: ServiceBook;
  /** In a narrow window the facets stand behind a button. */
  shown: boolean;
  filter: (key: string, value: string, not: boolean) => void;
}
const VALUES = 9;

/** What the lines have in common, with counts. A facet whose key no line has is left out. */
export function Facets({ q, range, book, shown, filter }: Props) {
  const t = useT();
  const facets = [
    ['severity', t.severity],
    ['service', t.service],
    ['logger', t.logger],
    ['k8s.pod.name', t.pod],
    ['host.name', t.host],
  ] as const;
  return (
    <aside className={`facets${shown ? ' on' : ''}`} aria-label={t.facets}>
      {facets.map(([key, label]) => (
        <Facet key={key} by={key} label={label} q={q} range={range} book={book} filter={filter} />
      ))}
    </aside>
  );
}

function Facet({ by, label, q, range, book, filter }: Omit<Props, 'shown'> & { by: string; label: string }) {
  const t = useT(),
    { data } = useLogGroups(q, range, by, VALUES),
    groups = (data?.groups ?? []).filter(g => g.value !== '');
  if (groups.length === 0) return null;
  const most = Math.max(1, ...groups.map(g => g.count));
  return (
    <details open>
      <summary>
        <Icon name="chev" />
        {label}
      </summary>
      {groups.map(g => {
        const value = by === 'severity' ? g.value.toUpperCase() : g.value;
        return (
          <div className="fv" key={g.value} {...filterable(by, value)}>
            <button className="fl" title={value} onClick={() => filter(by, value, false)}>
              {by === 'severity' && <i className={`lm s${nameRank(value)}`} />}
              {by === 'service' && <Mark color={book.color(value)} />}
              <span>{value}</span>
            </button>
            <button
              className="bare act"
              title={t.exclude}
              aria-label={`${t.exclude}: ${value}`}
              onClick={() => filter(by, value, true)}
            >
              <Icon name="minus" />
            </button>
            <span className="num">{count(g.count)}</span>
            <i className="fb" style={{ width: `${(g.count / most) * 100}%` }} />
          </div>
        );
      })}
      {(data?.other ?? 0) > 0 && <p className="dim">{t.other(count(data!.other))}</p>}
    </details>
  );
}
