/** What became of every byte of every file, and of the records. */
import { useLedger } from '../../api/queries';
import type { LedgerSource } from '../../api/types';
import { useT } from '../../i18n';
import { bytes, count } from '../../model/format';
import { account, byConcern, type HoleCause } from '../../model/ledger';
import { Failure } from '../../ui/Failure';
import './ledger.css';

const CAUSES: HoleCause[] = ['missing', 'refused', 'skipped-at-start'];

export default function LedgerPage() {
  const t = useT(),
    { data, error, dataUpdatedAt, isPending } = useLedger();
  const sources = [...(data?.sources ?? [])].sort(byConcern);
  return (
    <div className="pg" aria-busy={isPending}>
      {error && <Failure error={error} loadedAt={dataUpdatedAt} />}
      <div className="ph">
        <h1>{t.ledger}</h1>
        {data && (
          <span className="dim num">
            {sources.length < data.total
              ? t.ledgerShown(count(sources.length), count(data.total))
              : count(data.total)}
          </span>
        )}
        <span className="dim">{t.ledgerLead}</span>
      </div>
      <table className="tt counts">
        <thead>
          <tr>
            <th>{t.ledgerSignal}</th>
            <th className="r">{t.came}</th>
            <th className="r">{t.again}</th>
            <th className="r">{t.refused}</th>
            <th className="r">{t.lostBatches}</th>
          </tr>
        </thead>
        <tbody>
          {data?.records.map(r => (
            <tr key={r.signal}>
              <td>{r.signal}</td>
              <td className="r num">{count(r.stored)}</td>
              <td className="r num">{count(r.duplicate)}</td>
              <td className={r.refused ? 'r num err' : 'r num'}>{count(r.refused)}</td>
              <td className={r.lostBatches ? 'r num err' : 'r num'}>{count(r.lostBatches)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {data && sources.length === 0 ? (
        <div className="empty">
          <h2>{t.noLedger}</h2>
          <p>{t.noLedgerBody}</p>
        </div>
      ) : (
        <table className="tt sources">
          <thead>
            <tr>
              <th>{t.ledgerFile}</th>
              <th className="r">{t.readBytes}</th>
              <th className="r">{t.acknowledged}</th>
              <th className="r">{t.storedBytes}</th>
              <th className="r">{t.records}</th>
              <th>{t.state}</th>
            </tr>
          </thead>
          <tbody>
            {sources.map(s => (
              <Row key={s.incarnation} source={s} />
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}

function Row({ source }: { source: LedgerSource }) {
  const t = useT(),
    a = account(source),
    size = (n: number | null) => (n === null ? '–' : bytes(n)),
    causes = CAUSES.filter(c => a.holes[c]);
  return (
    <tr>
      <td className="mono path" title={source.incarnation}>
        {source.path || source.incarnation}
      </td>
      <td className="r num">{size(source.read)}</td>
      <td className="r num">{size(source.acknowledged)}</td>
      <td className="r num">{size(a.stored)}</td>
      <td className="r num">{count(a.records)}</td>
      <td>
        {causes.map(c => (
          <span key={c} className={c === 'skipped-at-start' ? 'dim part' : 'err part'}>
            {t.hole[c](bytes(a.holes[c] ?? 0))}
          </span>
        ))}
        {a.pending > 0 && <span className="part">{t.onItsWay(bytes(a.pending))}</span>}
        {causes.length === 0 && a.pending === 0 && <span className="dim">{t.delivered}</span>}
      </td>
    </tr>
  );
}
