import { useT } from '../i18n';
import { Dialog } from './Dialog';
import { Kbd } from './Icon';
import { KEYS, PAIRS, shownKey } from './keys';

const second = new Set<string>(PAIRS.map(p => p[1]));

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
            {KEYS.filter(k => k.group === g && !second.has(k.action)).map(k => {
              const pair = PAIRS.find(p => p[0] === k.action);
              return (
                <div key={k.action}>
                  <span>{pair ? t.pair[pair[0]] : t.key[k.action]}</span>
                  <span className="grow" />
                  <Kbd keys={k.shown} />
                  {pair && <Kbd keys={shownKey(pair[1])} />}
                </div>
              );
            })}
          </section>
        ))}
      </div>
    </Dialog>
  );
}
