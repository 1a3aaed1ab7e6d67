import { useT } from '../../i18n';
import { bytes, percent } from '../../model/format';
import type { Disk } from '../../model/host';

/** From here on a file system is worth a look. */
const NEARLY_FULL = 0.75;

export function Disks({ disks, loading }: { disks: Disk[]; loading: boolean }) {
  const t = useT();
  return (
    <section className="cell">
      <h2>{t.diskSpace}</h2>
      {disks.length === 0 && !loading && <p className="dim">{t.noMetric}</p>}
      <div className="disks">
        {disks.map(d => (
          <div key={d.mount}>
            <span className="mono">{d.mount}</span>
            <span className="grow" />
            <b className="num">{percent(d.used)}</b>
            {d.size !== null && <span className="dim num">{t.of(bytes(d.size))}</span>}
            <i className={d.used > NEARLY_FULL ? 'w' : undefined}>
              <i style={{ width: `${d.used * 100}%` }} />
            </i>
          </div>
        ))}
      </div>
    </section>
  );
}
