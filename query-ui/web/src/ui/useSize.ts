import { useLayoutEffect, useState, type RefObject } from 'react';

/** Width and height of an element, kept up to date. */
export function useSize(ref: RefObject<HTMLElement | null>): [number, number] {
  const [size, set] = useState<[number, number]>([0, 0]);
  useLayoutEffect(() => {
    const el = ref.current;
    if (!el) return;
    const read = () =>
      set(s => (s[0] === el.clientWidth && s[1] === el.clientHeight ? s : [el.clientWidth, el.clientHeight]));
    read();
    const watch = new ResizeObserver(read);
    watch.observe(el);
    return () => watch.disconnect();
  }, [ref]);
  return size;
}
