import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import type { Scatter as Data } from '../../api/types';
import { useT } from '../../i18n';
import { axisDuration, count } from '../../model/format';
import { decades } from '../../model/scale';
import { holes, tickLabel, timeTicks, type Window } from '../../model/time';
import { Pen } from '../../ui/canvas';
import { useTheme } from '../../ui/prefs';
import { useSize } from '../../ui/useSize';
import { useZone } from '../../ui/url';

/** [from ms, to ms, least ns, most ns] */
export type Brush = [number, number, number, number];
interface Point {
  at: number;
  ns: number;
  bad: boolean;
  id: string;
}
const LEFT = 44,
  BOTTOM = 18,
  TOP = 12,
  RIGHT = 6,
  HIT_PX = 8,
  /** So many points overlap: each is drawn fainter, so that density shows. */
  MANY = 1500;

const points = (d: Data | undefined): Point[] =>
  d?.traceId.flatMap((id, i) =>
    // Of what is still arriving neither place nor length is known, and one of no length would stretch the axis.
    d.arriving[i]
      ? []
      : {
          at: Number(BigInt(d.start[i]) / 1000n) / 1000,
          ns: Math.max(1, d.durationNs[i]),
          bad: d.errors[i] > 0,
          id,
        },
  ) ?? [];

interface Props {
  data: Data | undefined;
  faint: Data | undefined;
  window: Window;
  brush: Brush | null;
  setBrush: (b: Brush | null) => void;
  hover: string | null;
  open: (id: string) => void;
}

export function Scatter({ data, faint, window: w, brush, setBrush, hover, open }: Props) {
  const t = useT(),
    theme = useTheme(),
    zone = useZone(),
    box = useRef<HTMLDivElement>(null),
    canvas = useRef<HTMLCanvasElement>(null),
    [width, height] = useSize(box);
  const [drag, setDrag] = useState<Brush | null>(null),
    from = useRef<[number, number] | null>(null),
    [near, setNear] = useState<string | null>(null),
    [fonts, setFonts] = useState(0);
  const pts = useMemo(() => points(data), [data]),
    others = useMemo(() => points(faint), [faint]),
    known = faint ? others : pts;
  const [lo, hi] = useMemo(() => {
    let a = Infinity,
      b = -Infinity;
    for (const p of known.length ? known : pts) {
      a = Math.min(a, p.ns);
      b = Math.max(b, p.ns);
    }
    return a <= b ? [Math.log10(a / 1.6), Math.log10(b * 2.2)] : [6, 9.5];
  }, [known, pts]);
  const gaps = useMemo(
    () =>
      holes(
        known.map(p => p.at),
        w,
      ),
    [known, w],
  );
  const x = (at: number) => LEFT + ((at - w.from) / (w.to - w.from)) * (width - LEFT - RIGHT),
    y = (ns: number) => height - BOTTOM - ((Math.log10(ns) - lo) / (hi - lo)) * (height - BOTTOM - TOP);
  const invX = (px: number) => w.from + ((px - LEFT) / (width - LEFT - RIGHT)) * (w.to - w.from),
    invY = (py: number) => 10 ** (lo + ((height - BOTTOM - py) / (height - BOTTOM - TOP)) * (hi - lo));
  useEffect(() => {
    void document.fonts.ready.then(() => setFonts(1));
  }, []);
  const shown = drag ?? brush;
  useLayoutEffect(() => {
    if (!canvas.current || width < LEFT) return;
    const pen = new Pen(canvas.current, theme, width, height),
      { g } = pen;
    for (const v of decades(10 ** lo, 10 ** hi)) {
      pen.line(pen.c('grid'), LEFT, Math.round(y(v)) + 0.5, width, Math.round(y(v)) + 0.5);
      pen.text(pen.c('axis'), axisDuration(v), LEFT - 8, y(v), 'right');
    }
    for (const [a, b] of gaps)
      pen.hole(x(a) + 2, TOP, Math.max(0, x(b) - x(a) - 4), height - BOTTOM - TOP, t.noData);
    for (const at of timeTicks(w, width / 110, zone))
      if (x(at) > LEFT + 12 && x(at) < width - 16)
        pen.text(pen.c('axis'), tickLabel(at, w, zone), x(at), height - 7, 'center');
    const dots = (list: Point[], fill: string, r: number, bad: boolean) => {
      g.fillStyle = fill;
      for (const p of list) {
        if (p.bad !== bad || p.at < w.from) continue;
        // A square, so that the colour is not alone.
        if (bad) g.fillRect(x(p.at) - 1.7, y(p.ns) - 1.7, 3.4, 3.4);
        else {
          g.beginPath();
          g.arc(x(p.at), y(p.ns), r, 0, 7);
          g.fill();
        }
      }
    };
    dots(others, pen.c('text-3', 0.22), 1.6, false);
    dots(
      others.map(p => ({ ...p, bad: !p.bad })),
      pen.c('text-3', 0.22),
      1.6,
      false,
    );
    dots(pts, pen.c('text-2', pts.length > MANY ? 0.3 : 0.5), 2.1, false);
    dots(pts, pen.c('err-fill', 0.7), 0, true);
    const mark = pts.find(p => p.id === (near ?? hover));
    if (mark) {
      g.strokeStyle = pen.c('focus');
      g.lineWidth = 2;
      g.beginPath();
      g.arc(x(mark.at), y(mark.ns), 6, 0, 7);
      g.stroke();
    }
    if (shown) {
      const [a, b, c, d] = shown,
        x1 = x(a),
        x2 = x(b),
        y1 = y(d),
        y2 = y(c),
        n = pts.filter(p => p.at >= a && p.at <= b && p.ns >= c && p.ns <= d).length;
      pen.rect(pen.c('focus', 0.12), x1, y1, x2 - x1, y2 - y1);
      pen.box(pen.c('focus'), x1, y1, x2 - x1, y2 - y1);
      pen.text(pen.c('text'), t.brushed(count(n)), Math.min(x1 + 6, width - 160), Math.max(TOP, y1 - 9));
    }
  });
  void fonts;
  const at = (e: React.PointerEvent): [number, number] => {
    const r = canvas.current!.getBoundingClientRect();
    return [
      Math.max(LEFT, Math.min(width - RIGHT, e.clientX - r.left)),
      Math.max(TOP, Math.min(height - BOTTOM, e.clientY - r.top)),
    ];
  };
  const nearest = (px: number, py: number) => {
    let best: Point | null = null,
      least = HIT_PX ** 2;
    for (const p of pts) {
      const d = (x(p.at) - px) ** 2 + (y(p.ns) - py) ** 2;
      if (d < least) {
        least = d;
        best = p;
      }
    }
    return best;
  };
  const box4 = ([ax, ay]: [number, number], [bx, by]: [number, number]): Brush => [
    invX(Math.min(ax, bx)),
    invX(Math.max(ax, bx)),
    invY(Math.max(ay, by)),
    invY(Math.min(ay, by)),
  ];
  const cut = data && data.shown < data.total.value;
  return (
    <div className="scat" ref={box}>
      <canvas
        ref={canvas}
        role="img"
        aria-label={t.scatterLabel}
        style={{ cursor: near ? 'pointer' : undefined }}
        onPointerDown={e => {
          from.current = at(e);
          e.currentTarget.setPointerCapture(e.pointerId);
        }}
        onPointerMove={e => {
          const p = at(e);
          if (from.current && Math.hypot(p[0] - from.current[0], p[1] - from.current[1]) > 4)
            setDrag(box4(from.current, p));
          else if (!from.current) setNear(nearest(...p)?.id ?? null);
        }}
        onPointerUp={e => {
          const start = from.current;
          from.current = null;
          if (drag) {
            setBrush(drag);
            setDrag(null);
          } else if (start) {
            const p = nearest(...at(e));
            if (p) open(p.id);
            else if (brush) setBrush(null);
          }
        }}
        onPointerLeave={() => setNear(null)}
        onDoubleClick={() => setBrush(null)}
      />
      {cut && <span className="cut">{t.scatterCut(count(data.shown), count(data.total.value))}</span>}
    </div>
  );
}
