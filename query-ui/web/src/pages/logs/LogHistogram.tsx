import { useMemo, useState } from 'react';
import { useHistogram } from '../../api/queries';
import type { Histogram } from '../../api/types';
import { useLang, useT } from '../../i18n';
import { add } from '../../model/filter';
import { axisCount, axisDuration, count } from '../../model/format';
import { day, holes, isRelative, ms, toWindow, type Range, type Window } from '../../model/time';
import { shownTotal } from '../../model/total';
import { Chart } from '../../ui/chart/Chart';
import type { Data } from '../../ui/chart/plot';
import { useUrl, useZone } from '../../ui/url';

interface Props {
  data: (Histogram & { at: number }) | undefined;
  q: string;
  range: Range;
  bars: number;
  setQ: (q: string) => void;
  setRange: (from: string, to: string) => void;
}
const ERRORS = ['error', 'fatal'];

/** How many lines, how bad, and when. */
export function LogHistogram({ data, q, range, bars, setQ, setRange }: Props) {
  const t = useT(),
    lang = useLang(),
    zone = useZone(),
    [, set] = useUrl(),
    [cursor, setCursor] = useState<number | null>(null),
    // Where a filter finds nothing is no hole in the data.
    all = useHistogram('', range, bars, q !== '').data ?? data;
  const window = useMemo(() => windowOf(data, range), [data, range]);
  const plot = useMemo<Data>(() => {
    const series = data?.series ?? [],
      n = series[0]?.counts.length ?? 0;
    const sum = (test: (severity: string) => boolean) =>
      Array.from({ length: n }, (_, i) =>
        series.reduce((s, x) => s + (test(x.severity) ? x.counts[i] : 0), 0),
      );
    const bad = (s: string) => ERRORS.includes(s);
    return {
      start: data ? ms(data.start) : window.from,
      step: data ? data.bucketNs / 1e6 : 1,
      series: [
        { name: 'INFO', color: 'info-soft', values: sum(s => !bad(s) && s !== 'warn') },
        { name: 'WARN', color: 'warn-fill', values: sum(s => s === 'warn') },
        { name: 'ERROR', color: 'err-fill', values: sum(bad) },
      ],
      kind: 'bars',
      stacked: true,
      format: axisCount,
      holes: all ? holes(occupied(all), window) : [],
    };
  }, [data, all, window]);
  const total = (names: string[]) =>
    data?.series
      .filter(s => names.includes(s.severity))
      .reduce((sum, s) => sum + s.counts.reduce((a, b) => a + b, 0), 0) ?? 0;
  const errors = total(ERRORS),
    warnings = total(['warn']);
  return (
    <div className="lgh">
      <div className="row">
        {data && (
          <>
            <span>
              <b className="num">{shownTotal(data.total, t)}</b> {t.lines(data.total.value)}
            </span>
            {errors > 0 && (
              <button className="err num" onClick={() => setQ(add(q, 'severity >= ERROR'))}>
                {count(errors)} ERROR
              </button>
            )}
            {warnings > 0 && (
              <button className="warn num" onClick={() => setQ(add(q, 'severity = WARN'))}>
                {count(warnings)} WARN
              </button>
            )}
            <span className="grow" />
            <span className="dim">
              {day(window.to, zone, lang)}, {t.perBar(axisDuration(data.bucketNs))}
            </span>
          </>
        )}
      </div>
      <Chart
        data={plot}
        window={window}
        label={t.histogram}
        cursor={cursor}
        onCursor={setCursor}
        onSelect={(a, b) =>
          setRange(new Date(Math.floor(a)).toISOString(), new Date(Math.ceil(b)).toISOString())
        }
        onReset={() => (isRelative(range) ? undefined : set({ from: null, to: null }, true))}
      />
    </div>
  );
}

/** The range, or for all time what the server found occupied. */
function windowOf(data: Props['data'], range: Range): Window {
  if (range.from !== '0') return toWindow(range, data?.at ?? Date.now());
  const from = data ? ms(data.start) : Date.now() - 1800e3,
    n = data?.series[0]?.counts.length ?? 0;
  return { from, to: data && n ? from + (n * data.bucketNs) / 1e6 : from + 1800e3 };
}

/** The middle of every bar that holds a line. */
function occupied(h: Histogram): number[] {
  const out: number[] = [],
    n = h.series[0]?.counts.length ?? 0;
  for (let i = 0; i < n; i++)
    if (h.series.some(s => s.counts[i] > 0)) out.push(ms(h.start) + ((i + 0.5) * h.bucketNs) / 1e6);
  return out;
}
