import { en, type Messages } from './en';
import { zh } from './zh';
import { usePref } from '../ui/prefs';

export type Lang = 'en' | 'zh';
export type { Messages };

export const systemLang = (): Lang => (navigator.language.startsWith('zh') ? 'zh' : 'en');
export function useLang(): Lang {
  return (usePref('lang') as Lang | null) ?? systemLang();
}
export function useT(): Messages {
  return useLang() === 'zh' ? zh : en;
}
