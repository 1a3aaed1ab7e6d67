import { useEffect, useState, useSyncExternalStore, type ReactNode } from 'react';
import { useStatus } from '../api/queries';
import { useT } from '../i18n';
import { count, seconds } from '../model/format';
import { ms as toMs } from '../model/time';
import { Kbd } from './Icon';
import { shownKey, type Action } from './keys';

/** Shorter waits are those of any write. */
const BEHIND_MS = 3000;

/** What the open page puts in the bar: hints by action, and a sentence of its own. */
interface Slot {
  hints: [Action[], string][];
  left: ReactNode;
}
let slot: Slot = { hints: [], left: null };
const listeners = new Set<() => void>();
const set = (next: Slot) => {
  slot = next;
  for (const f of listeners) f();
};

export function useStatusSlot(hints: [Action[], string][], left: ReactNode = null): void {
  const key = JSON.stringify([hints, typeof left === 'string' ? left : null]);
  useEffect(() => {
    set({ hints, left });
    return () => set({ hints: [], left: null });
    // The texts stand for the arrays, which are new in every render.
  }, [key]);
}

export function StatusBar({ onHelp }: { onHelp: () => void }) {
  const t = useT(),
    { hints, left } = useSyncExternalStore(
      f => {
        listeners.add(f);
        return () => listeners.delete(f);
      },
      () => slot,
    );
  const { data, error, dataUpdatedAt } = useStatus(),
    [now, tick] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => tick(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const lost = data?.stages.reduce((s, x) => s + x.lost, 0) ?? 0;
  return (
    <footer id="status">
      {error ? (
        <span className="fresh err" role="status">
          <i className="dot err" />
          {t.noAnswer(seconds(now - dataUpdatedAt > 1e12 ? 0 : now - dataUpdatedAt))}
        </span>
      ) : !data ? (
        <span className="fresh">
          <i className="dot" />
          {t.connecting}
        </span>
      ) : (
        <span className="fresh">
          <i className="dot ok" />
          {data.newestNs === null
            ? t.noDataYet
            : data.behindMs !== null && data.behindMs >= BEHIND_MS
              ? t.behind(seconds(data.behindMs))
              : t.newestAgo(seconds(now - toMs(data.newestNs)))}
        </span>
      )}
      {lost > 0 && <span className="warn">{t.lost(count(lost))}</span>}
      {left && <span>{left}</span>}
      <span className="grow" />
      {hints.map(([actions, label]) => (
        <span className="hint" key={label}>
          {actions.map(a => (
            <Kbd key={a} keys={shownKey(a)} />
          ))}
          {label}
        </span>
      ))}
      <button className="hint q" onClick={onHelp}>
        <Kbd keys="?" />
        {t.keys}
      </button>
    </footer>
  );
}
