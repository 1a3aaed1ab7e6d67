/** 16 px icons of one stroke. */
const PATHS = {
  chev: 'M4 6l4 4 4-4',
  right: 'M6 4l4 4-4 4',
  left: 'M10 4L6 8l4 4',
  x: 'M4 4l8 8M12 4l-8 8',
  search: 'M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.5 10.5L14 14',
  clock: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.8V8l2.2 1.6',
  moon: 'M13.4 9.6A5.8 5.8 0 0 1 6.4 2.6a5.8 5.8 0 1 0 7 7z',
  sun: 'M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6zM8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3 3l1.1 1.1M11.9 11.9L13 13M13 3l-1.1 1.1M4.1 11.9L3 13',
  link: 'M6.5 9.5l3-3M7 4.5l1.2-1.2a2.7 2.7 0 0 1 3.9 0l.6.6a2.7 2.7 0 0 1 0 3.9L11.5 9M9 11.5l-1.2 1.2a2.7 2.7 0 0 1-3.9 0l-.6-.6a2.7 2.7 0 0 1 0-3.9L4.5 7',
  copy: 'M5.5 5.5h7v7h-7zM3.5 10.5v-7h7',
  play: 'M5 3.5v9l7-4.5z',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  up: 'M8 12.5v-9M4.5 7L8 3.5 11.5 7',
  plus: 'M8 3.5v9M3.5 8h9',
  minus: 'M3.5 8h9',
  warn: 'M8 2.5l6 11H2zM8 6.5v3.2M8 11.6v.2',
  side: 'M2.5 3h11v10h-11zM6.5 3v10',
} as const;
export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="ic" viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
export function Kbd({ keys }: { keys: string }) {
  return (
    <>
      {keys.split(' ').map(k => (
        <kbd key={k}>{k}</kbd>
      ))}
    </>
  );
}
export function Mark({ color }: { color: number }) {
  return <i className="mk" style={{ ['--c' as string]: `var(--svc-${color})` }} />;
}
