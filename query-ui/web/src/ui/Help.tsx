import { useT } from '../i18n';
import { Dialog } from './Dialog';
import { Kbd } from './Icon';
import { KEYS } from './keys';

export default function Help({ close }: { close: () => void }) {
  const t = useT(),
    groups = [...new Set(KEYS.map(k => k.group))];
  return (
    <Dialog label={t.keys} className="help" close={close}>
      <h2>{t.keys}</h2>
      <div className="help-g">
        {groups.map(g => (
          <section key={g}>
            <h3 className="h6">{t.group[g]}</h3>
            {KEYS.filter(k => k.group === g).map(k => (
              <div key={k.action}>
                <span>{t.key[k.action]}</span>
                <span className="grow" />
                <Kbd keys={k.shown === '1 … 9' ? '1 … 9' : k.shown} />
              </div>
            ))}
          </section>
        ))}
      </div>
    </Dialog>
  );
}
