/** The value that a key means: the one under the focus, else the one under the pointer. */
export interface FocusedValue {
  key: string;
  value: string;
}

/** Attributes that mark an element as a value that can be filtered by. */
export const filterable = (key: string, value: string) => ({
  'data-filter-key': key,
  'data-filter-value': value,
});

export function focusedValue(): FocusedValue | null {
  const MARKED = '[data-filter-key]',
    el =
      document.activeElement?.closest<HTMLElement>(MARKED) ??
      [...document.querySelectorAll<HTMLElement>(`${MARKED}:hover`)].at(-1);
  return el ? { key: el.dataset.filterKey!, value: el.dataset.filterValue! } : null;
}
