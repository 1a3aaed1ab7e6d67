import { useEffect, useRef, type ReactNode } from 'react';

/** A modal float: focus stays inside and returns to where it was. */
export function Dialog({
  label,
  className,
  close,
  children,
}: {
  label: string;
  className: string;
  close: () => void;
  children: ReactNode;
}) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    if (!box.current?.contains(before)) box.current?.focus();
    return () => before?.focus();
  }, []);
  const trap = (e: React.KeyboardEvent) => {
    if (e.key === 'Escape') {
      e.stopPropagation();
      e.preventDefault();
      close();
    }
    if (e.key !== 'Tab') return;
    const all = [...box.current!.querySelectorAll<HTMLElement>('input,button,a[href]')],
      at = all.indexOf(document.activeElement as HTMLElement);
    e.preventDefault();
    all[(at + (e.shiftKey ? all.length - 1 : 1)) % all.length]?.focus();
  };
  return (
    <div
      className="veil"
      onMouseDown={e => {
        if (e.target === e.currentTarget) close();
      }}
    >
      <div
        className={className}
        role="dialog"
        aria-modal="true"
        aria-label={label}
        tabIndex={-1}
        ref={box}
        onKeyDown={trap}
      >
        {children}
      </div>
    </div>
  );
}
