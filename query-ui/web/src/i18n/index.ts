/** Messages in the viewer's language. Only the catalogue that is needed is loaded. */
import { en, type Messages } from './en';
import { pref, setPref, usePref } from '../ui/prefs';

export type Lang = 'en' | 'zh';
export type { Messages };

const catalogues: Partial<Record<Lang, Messages>> = { en };

const chosen = (stored: string | null): Lang =>
  stored === 'zh' || stored === 'en' ? stored : navigator.language.startsWith('zh') ? 'zh' : 'en';

/** Loads what the first page needs. */
export const loadMessages = (): Promise<void> => load(chosen(pref('lang')));

async function load(lang: Lang): Promise<void> {
  if (lang === 'zh') catalogues.zh ??= (await import('./zh')).zh;
}

export function useLang(): Lang {
  return chosen(usePref('lang'));
}
export function useT(): Messages {
  return catalogues[useLang()] ?? en;
}
export async function switchLanguage(to: Lang): Promise<void> {
  await load(to);
  setPref('lang', to);
}
