import { useSyncExternalStore } from 'react';

const SHOWN_MS = 1800;
let message = '';
let timer = 0;
const listeners = new Set<() => void>();
const emit = () => {
  for (const f of listeners) f();
};

export function toast(text: string): void {
  message = text;
  clearTimeout(timer);
  timer = window.setTimeout(() => {
    message = '';
    emit();
  }, SHOWN_MS);
  emit();
}
export const useToast = (): string =>
  useSyncExternalStore(
    f => {
      listeners.add(f);
      return () => listeners.delete(f);
    },
    () => message,
  );

export async function copy(text: string, done: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure context there is no clipboard API; the old command still works.
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  toast(done);
}
