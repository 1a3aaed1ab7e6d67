/** How each stage is doing, in the order in which data passes them, with the cause where one is in trouble. */
import type { Stage } from '../api/types';
import { useT } from '../i18n';
import { count } from '../model/format';

const TONE: Record<string, string> = { ok: 'ok', slow: 'warn' };

export function Stages({ stages }: { stages: Stage[] }) {
  const t = useT();
  return (
    <div className="stages" id="stages" role="dialog" aria-label={t.stages}>
      <table className="tt">
        <thead>
          <tr>
            <th>{t.stage}</th>
            <th>{t.state}</th>
            <th className="r">{t.records}</th>
            <th className="r">{t.lostRecords}</th>
            <th>{t.detail}</th>
          </tr>
        </thead>
        <tbody>
          {stages.map(s => (
            <tr key={s.name}>
              <td>{s.name}</td>
              <td className={TONE[s.state] ?? 'err'}>{t.stateOf[s.state] ?? s.state}</td>
              <td className="r num">{count(s.records)}</td>
              <td className="r num">
                {s.lost ? <span className="ec">{count(s.lost)}</span> : <span className="nil">·</span>}
              </td>
              <td>{s.detail}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
