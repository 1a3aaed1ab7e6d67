/** Drawing helpers. Colours are the tokens, read once per theme. */

let theme = '';
const colours = new Map<string, string>();

export function color(name: string, now: string): string {
  if (now !== theme) {
    colours.clear();
    theme = now;
  }
  let c = colours.get(name);
  if (c === undefined) {
    c = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    colours.set(name, c);
  }
  return c;
}
export const token = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export class Pen {
  readonly g: CanvasRenderingContext2D;
  readonly w: number;
  readonly h: number;
  constructor(
    canvas: HTMLCanvasElement,
    private readonly theme: string,
    width = canvas.clientWidth,
    height = canvas.clientHeight,
  ) {
    const r = devicePixelRatio || 1,
      pw = Math.max(1, Math.round(width * r)),
      ph = Math.max(1, Math.round(height * r));
    this.w = width;
    this.h = height;
    this.g = canvas.getContext('2d')!;
    if (canvas.width !== pw || canvas.height !== ph) {
      canvas.width = pw;
      canvas.height = ph;
    }
    this.g.setTransform(r, 0, 0, r, 0, 0);
    this.g.clearRect(0, 0, width, height);
    this.g.font = `11px ${color('font-ui', theme)}`;
    this.g.textBaseline = 'middle';
  }
  c(name: string, alpha = 1): string {
    const hex = color(name, this.theme);
    return alpha >= 1
      ? hex
      : hex.slice(0, 7) +
          Math.round(alpha * 255)
            .toString(16)
            .padStart(2, '0');
  }
  rect(fill: string, x: number, y: number, w: number, h: number, r = 0): void {
    const { g } = this;
    g.fillStyle = fill;
    if (!r || w < 3) {
      g.fillRect(x, y, w, h);
      return;
    }
    g.beginPath();
    g.roundRect(x, y, w, h, Math.min(r, w / 2, h / 2));
    g.fill();
  }
  line(stroke: string, x1: number, y1: number, x2: number, y2: number, width = 1, dash: number[] = []): void {
    const { g } = this;
    g.strokeStyle = stroke;
    g.lineWidth = width;
    g.setLineDash(dash);
    g.beginPath();
    g.moveTo(x1, y1);
    g.lineTo(x2, y2);
    g.stroke();
    if (dash.length) g.setLineDash([]);
  }
  box(stroke: string, x: number, y: number, w: number, h: number, dash: number[] = []): void {
    this.g.strokeStyle = stroke;
    this.g.lineWidth = 1;
    this.g.setLineDash(dash);
    this.g.strokeRect(x + 0.5, y + 0.5, Math.max(1, w - 1), h - 1);
    this.g.setLineDash([]);
  }
  text(fill: string, s: string, x: number, y: number, align: CanvasTextAlign = 'left'): void {
    this.g.fillStyle = fill;
    this.g.textAlign = align;
    this.g.fillText(s, x, y);
  }
  width(s: string): number {
    return this.g.measureText(s).width;
  }
  /** A hole in the data: hatched, and named where there is room. */
  hole(x: number, y: number, w: number, h: number, label: string): void {
    const { g } = this;
    this.rect(this.c('nodata'), x, y, w, h);
    g.save();
    g.beginPath();
    g.rect(x, y, w, h);
    g.clip();
    g.strokeStyle = this.c('line-2', 0.45);
    g.lineWidth = 1;
    g.beginPath();
    for (let k = x - h; k < x + w; k += 6) {
      g.moveTo(k, y + h);
      g.lineTo(k + h, y);
    }
    g.stroke();
    g.restore();
    if (w > 76) {
      const m = x + w / 2,
        half = this.width(label) / 2 + 8;
      this.rect(this.c('nodata'), m - half, y + h / 2 - 8, half * 2, 16);
      this.text(this.c('text-3'), label, m, y + h / 2, 'center');
    }
  }
}
