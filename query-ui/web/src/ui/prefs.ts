/** What belongs to the viewer and not to the link: theme, language, density, widths. Kept in this browser. */
import { useSyncExternalStore } from 'react';

type Key = 'theme' | 'lang' | 'density' | 'tree' | 'panel' | 'recent.spans' | 'recent.logs';
const PREFIX = 'weir.';
const memory = new Map<Key, string | null>();
const listeners = new Set<() => void>();

export function pref(key: Key): string | null {
  if (!memory.has(key)) {
    let stored: string | null = null;
    try {
      stored = localStorage.getItem(PREFIX + key);
    } catch {
      // A private window may refuse storage: the choice then lasts as long as the page.
    }
    memory.set(key, stored);
  }
  return memory.get(key) ?? null;
}

export function setPref(key: Key, value: string): void {
  memory.set(key, value);
  try {
    localStorage.setItem(PREFIX + key, value);
  } catch {
    // As above.
  }
  for (const f of listeners) f();
}

export function usePref(key: Key): string | null {
  return useSyncExternalStore(
    f => {
      listeners.add(f);
      return () => listeners.delete(f);
    },
    () => pref(key),
  );
}

const systemDark = matchMedia('(prefers-color-scheme: dark)');
systemDark.addEventListener('change', () => {
  for (const f of listeners) f();
});
const dark = (): boolean => (pref('theme') ? pref('theme') === 'dark' : systemDark.matches);

/** 'dark' or 'light', whoever decided. Changes re-render, so that canvases read their colours again. */
export function useTheme(): 'dark' | 'light' {
  return useSyncExternalStore(
    f => {
      listeners.add(f);
      return () => listeners.delete(f);
    },
    () => (dark() ? 'dark' : 'light'),
  );
}
export function toggleTheme(): void {
  setPref('theme', dark() ? 'light' : 'dark');
}

/** Puts the preferences on the root element, where the style sheets look. */
export function applyPrefs(): void {
  const root = document.documentElement,
    apply = () => {
      const theme = pref('theme'),
        density = pref('density'),
        lang = pref('lang') ?? (navigator.language.startsWith('zh') ? 'zh' : 'en');
      if (theme) root.dataset.theme = theme;
      else delete root.dataset.theme;
      if (density) root.dataset.density = density;
      root.lang = lang === 'zh' ? 'zh-CN' : 'en';
      for (const [key, variable] of [
        ['tree', '--w-tree'],
        ['panel', '--w-panel'],
      ] as const) {
        const width = pref(key);
        if (width) root.style.setProperty(variable, `${width}px`);
      }
    };
  apply();
  listeners.add(apply);
}
