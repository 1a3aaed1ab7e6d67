import type { Process } from '../../api/types';
import { useT } from '../../i18n';
import { bytes } from '../../model/format';

/** Watched processes, the busiest first. */
export function Processes({ list, loading }: { list: Process[]; loading: boolean }) {
  const t = useT(),
    cpu = Math.max(1e-9, ...list.map(p => p.cpu)),
    memory = Math.max(1, ...list.map(p => p.memory));
  const bar = (share: number) => (
    <td className="db">
      <i style={{ width: `${Math.max(1, share * 100)}%` }} />
    </td>
  );
  return (
    <section className="cell wide">
      <h2>
        {t.processes} <span className="dim">{t.watchedByCpu}</span>
      </h2>
      {list.length === 0 && !loading && <p className="dim">{t.noProcess}</p>}
      {list.length > 0 && (
        <table className="tt">
          <thead>
            <tr>
              <th>{t.process}</th>
              <th className="r">{t.cpuOfCore}</th>
              <th />
              <th className="r">{t.memory}</th>
              <th />
            </tr>
          </thead>
          <tbody>
            {list.map(p => (
              <tr key={p.pid}>
                <td className="mono">
                  {p.name} <span className="dim num">{p.pid}</span>
                </td>
                <td className="r num">{Math.round(p.cpu * 100)}</td>
                {bar(p.cpu / cpu)}
                <td className="r num">{bytes(p.memory)}</td>
                {bar(p.memory / memory)}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
