import type { ReactNode } from 'react';
import { useT, type Messages } from '../../i18n';
import { last, type Line } from '../../model/host';
import type { Window } from '../../model/time';
import { Chart } from '../../ui/chart/Chart';

/** What the charts of a page share: the time axis, the cursor, and what a drag does. */
export interface Frame {
  start: number;
  step: number;
  holes: [number, number][];
  window: Window;
  loading: boolean;
  cursor: number | null;
  onCursor: (at: number | null) => void;
  onSelect: (from: number, to: number) => void;
  onReset: () => void;
}
interface Props {
  frame: Frame;
  title: string;
  lines: Line[];
  /** The newest value, and what it is of. */
  now: ReactNode;
  note?: string;
  colors: string[];
  format: (v: number) => string;
  axis?: (v: number) => string;
  stacked?: boolean;
  max?: number;
}
const AREA = 0.12,
  STACKED_AREA = 0.26;

const lineName = (t: Messages, name: string): string =>
  (t.line as Record<string, string | undefined>)[name] ?? name;

/** One picture with its title and the newest value. */
export function Cell({ frame, title, lines, now, note, colors, format, axis, stacked = false, max }: Props) {
  const t = useT(),
    values = lines.map(l => `${lineName(t, l.name)} ${format(last(l.values) ?? 0)}`).join(', ');
  return (
    <section className="cell">
      <h2>
        {title}
        <span className="grow" />
        {lines.length > 0 && <b className="num">{now}</b>}
        {lines.length > 0 && <span className="dim">{note ?? lineName(t, lines[0].name)}</span>}
      </h2>
      {lines.length === 0 && !frame.loading ? (
        <p className="dim">{t.noMetric}</p>
      ) : (
        <Chart
          data={{
            start: frame.start,
            step: frame.step,
            series: lines.map((l, i) => ({
              name: lineName(t, l.name),
              color: colors[i],
              values: l.values,
              fill: stacked ? STACKED_AREA : AREA,
            })),
            kind: 'lines',
            stacked,
            max,
            format,
            axis,
            holes: frame.holes,
          }}
          window={frame.window}
          label={`${title}: ${values}`}
          cursor={frame.cursor}
          onCursor={frame.onCursor}
          onSelect={frame.onSelect}
          onReset={frame.onReset}
        />
      )}
    </section>
  );
}
