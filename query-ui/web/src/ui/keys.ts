/** The one table of keys. Help, hints and tooltips read it; pages say what an action does. */
import { useEffect, useRef } from 'react';
import { flushSync } from 'react-dom';
import type { Messages } from '../i18n';

export type Action = keyof Messages['key'];
type Group = keyof Messages['group'];
interface Binding {
  action: Action;
  shown: string;
  match: string[];
  group: Group;
}

const bind = (group: Group, action: Action, shown: string, ...match: string[]): Binding => ({
  group,
  action,
  shown,
  match,
});
export const KEYS: Binding[] = [
  bind('everywhere', 'palette', 'Ctrl K', 'Ctrl+k', 'Meta+k'),
  bind('everywhere', 'search', '/', '/'),
  bind('everywhere', 'help', '?', '?'),
  bind('everywhere', 'goTraces', 'g t', 'g t'),
  bind('everywhere', 'goLogs', 'g l', 'g l'),
  bind('everywhere', 'goHosts', 'g h', 'g h'),
  bind('everywhere', 'goLedger', 'g d', 'g d'),
  bind('everywhere', 'theme', 'Shift T', 'T'),
  bind('everywhere', 'link', 'y', 'y'),
  bind('everywhere', 'escape', 'Esc', 'Escape'),
  bind('lists', 'next', 'j', 'j', 'ArrowDown'),
  bind('lists', 'prev', 'k', 'k', 'ArrowUp'),
  bind('lists', 'open', 'Enter', 'Enter'),
  bind('lists', 'filter', 'f', 'f'),
  bind('lists', 'exclude', 'Shift F', 'F'),
  bind('lists', 'newest', 'n', 'n'),
  bind('charts', 'drag', 'drag'),
  bind('charts', 'dblclick', 'dblclick'),
  bind('trace', 'left', '←', 'ArrowLeft'),
  bind('trace', 'right', '→', 'ArrowRight'),
  bind('trace', 'collapseAll', '[', '['),
  bind('trace', 'expandAll', ']', ']'),
  bind('trace', 'depth', '1 … 9', '1', '2', '3', '4', '5', '6', '7', '8', '9'),
  bind('trace', 'critical', 'c', 'c'),
  bind('trace', 'logs', 'l', 'l'),
  bind('trace', 'error', 'e', 'e'),
  bind('trace', 'parent', 'p', 'p'),
  bind('trace', 'zoomIn', 'w', 'w'),
  bind('trace', 'zoomOut', 's', 's'),
  bind('trace', 'panLeft', 'a', 'a'),
  bind('trace', 'panRight', 'd', 'd'),
  bind('trace', 'zoomSpan', 'z', 'z'),
  bind('trace', 'whole', '0', '0'),
];
/** Keys that the list of keys shows in one line. */
export const PAIRS: [keyof Messages['pair'], Action][] = [
  ['next', 'prev'],
  ['left', 'right'],
  ['collapseAll', 'expandAll'],
  ['zoomIn', 'zoomOut'],
  ['panLeft', 'panRight'],
];
export const shownKey = (action: Action): string => KEYS.find(k => k.action === action)!.shown;

/** Returns false to say that the key meant nothing here. */
export type Handlers = Partial<Record<Action, (key: string) => unknown>>;
const stack: { current: Handlers }[] = [];
/** Time in which the second key of `g t` must come. */
const CHORD_MS = 1200;
let chord = 0;

export function useKeys(handlers: Handlers): void {
  const ref = useRef(handlers);
  ref.current = handlers;
  useEffect(() => {
    stack.push(ref);
    return () => {
      stack.splice(stack.indexOf(ref), 1);
    };
  }, []);
}

const inField = (el: Element | null): boolean =>
  !!el && (/^(INPUT|TEXTAREA|SELECT)$/.test(el.tagName) || (el as HTMLElement).isContentEditable);
const ACTIVATED = /^(BUTTON|A|SUMMARY)$/;

export function listen(): void {
  addEventListener('keydown', e => {
    if (e.defaultPrevented || e.isComposing) return;
    const mod = e.ctrlKey ? 'Ctrl+' : e.metaKey ? 'Meta+' : '',
      field = inField(document.activeElement);
    if (e.altKey || (field && !mod && e.key !== 'Escape')) return;
    if (e.key === 'Enter' && ACTIVATED.test(document.activeElement?.tagName ?? '')) return;
    let key = mod + e.key;
    if (!mod && Date.now() - chord < CHORD_MS) key = `g ${e.key}`;
    chord = 0;
    if (key === 'g') {
      chord = Date.now();
      return;
    }
    const binding = KEYS.find(k => k.match.includes(key));
    if (!binding) return;
    for (let i = stack.length - 1; i >= 0; i--) {
      const handler = stack[i].current[binding.action];
      // What a key changes is there before the next key asks for it.
      if (handler && flushSync(() => handler(e.key)) !== false) {
        e.preventDefault();
        // Else Enter would mean the button that was clicked last, and not the row that was moved to.
        if (binding.action === 'next' || binding.action === 'prev')
          document.querySelector<HTMLElement>('#main [data-rows]')?.focus({ preventScroll: true });
        return;
      }
    }
  });
}
