import { useEffect, useRef, useState, useSyncExternalStore, type ReactNode } from 'react';
import { useStatus } from '../api/queries';
import { useT } from '../i18n';
import { count, seconds } from '../model/format';
import { health } from '../model/status';
import { ms as toMs } from '../model/time';
import { Icon, Kbd } from './Icon';
import { shownKey, type Action } from './keys';
import { Stages } from './Stages';

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
    [now, tick] = useState(Date.now()),
    [open, setOpen] = useState(false),
    root = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const timer = setInterval(() => tick(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  useEffect(() => {
    if (!open) return;
    const away = (e: MouseEvent) => {
      if (!root.current?.contains(e.target as Node)) setOpen(false);
    };
    addEventListener('mousedown', away);
    return () => removeEventListener('mousedown', away);
  }, [open]);
  const { tone, troubled } = health(data?.stages ?? []),
    trouble = troubled.map(s => `${s.name} ${t.stateOf[s.state] ?? s.state}`).join(', ');
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
        <div
          className="health"
          ref={root}
          onKeyDown={e => {
            if (e.key !== 'Escape' || !open) return;
            e.stopPropagation();
            setOpen(false);
          }}
        >
          <button
            className={`fresh ${tone}`}
            onClick={() => setOpen(!open)}
            aria-expanded={open}
            aria-haspopup="dialog"
            aria-controls={open ? 'stages' : undefined}
            title={
              troubled.map(s => `${s.name}: ${s.detail || (t.stateOf[s.state] ?? s.state)}`).join('\n') ||
              (data.untold ?? t.stages)
            }
          >
            {trouble ? (
              <b>
                <Icon name="warn" />
                {trouble}
              </b>
            ) : (
              <i className="dot ok" />
            )}
            <span>
              {data.newestNs === null && data.untold === null
                ? t.noDataYet
                : data.behindMs !== null && data.behindMs >= BEHIND_MS
                  ? t.behind(seconds(data.behindMs))
                  : data.newestNs !== null && t.newestAgo(seconds(now - toMs(data.newestNs)))}
            </span>
            {lost > 0 && <span className="warn">{t.lost(count(lost))}</span>}
          </button>
          {open && <Stages stages={data.stages} />}
        </div>
      )}
      <span className="sr" role="status">
        {!error && trouble}
      </span>
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
