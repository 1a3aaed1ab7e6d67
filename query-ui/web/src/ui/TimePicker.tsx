import { useEffect, useRef, useState } from 'react';
import { useT } from '../i18n';
import { RELATIVE, clock, day, hourMinute, isRelative, parseMoment, toWindow, zoneName } from '../model/time';
import { useLang } from '../i18n';
import { Icon } from './Icon';
import { useKeys } from './keys';
import { useRange, useUrl, useZone } from './url';

export function TimePicker() {
  const t = useT(),
    lang = useLang(),
    range = useRange(),
    zone = useZone(),
    [, set] = useUrl(),
    [open, setOpen] = useState(false),
    [now, setNow] = useState(Date.now());
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 10000);
    return () => clearInterval(timer);
  }, []);
  useEffect(() => {
    if (!open) return;
    const away = (e: MouseEvent) => {
      if (!root.current?.contains(e.target as Node)) setOpen(false);
    };
    addEventListener('mousedown', away);
    return () => removeEventListener('mousedown', away);
  }, [open]);
  useKeys({ escape: () => (open ? setOpen(false) : false) });
  const w = toWindow(range, now),
    all = range.from === '0',
    relative = isRelative(range) && !all,
    name = all
      ? t.allTime
      : relative
        ? (t.range[range.from!] ?? t.lastN(range.from!.slice(1).replace(/\D/, ' $&').replace(/m$/, 'min')))
        : `${day(w.from, zone, lang)} ${hourMinute(w.from, zone)}`;
  const detail = all
    ? ''
    : relative
      ? `${hourMinute(w.from, zone)}–${hourMinute(w.to, zone)} ${zoneName(zone, w.to)}`
      : `– ${w.to - w.from > 864e5 ? day(w.to, zone, lang) + ' ' : ''}${hourMinute(w.to, zone)} ${zoneName(zone, w.to)}`;
  const choose = (from: string, to?: string) => {
    set({ from: from === '-30m' && !to ? null : from, to: to ?? null, brush: null }, true);
    setOpen(false);
  };
  const title = all
    ? undefined
    : [{ utc: false }, { utc: true }]
        .map(z => `${day(w.from, z, lang)} ${clock(w.from, z)} – ${clock(w.to, z)} ${zoneName(z, w.to)}`)
        .join('\n');
  return (
    <div className="time" ref={root}>
      <button
        className="ctl"
        onClick={() => setOpen(!open)}
        aria-expanded={open}
        aria-haspopup="dialog"
        title={title}
        aria-label={`${t.timeRange}: ${name} ${detail}`}
      >
        <Icon name="clock" />
        <span>{name}</span>
        {detail && <span className="dim num hide-n">{detail}</span>}
        <Icon name="chev" />
      </button>
      {open && (
        <Panel
          choose={choose}
          current={all ? '0' : relative ? range.from! : ''}
          utc={zone.utc}
          setUtc={utc => set({ tz: utc ? 'utc' : null })}
          from={w.from}
          to={w.to}
        />
      )}
    </div>
  );
}

function Panel({
  choose,
  current,
  utc,
  setUtc,
  from,
  to,
}: {
  choose: (from: string, to?: string) => void;
  current: string;
  utc: boolean;
  setUtc: (utc: boolean) => void;
  from: number;
  to: number;
}) {
  const t = useT(),
    iso = (at: number) =>
      new Date(utc ? at : at - new Date(at).getTimezoneOffset() * 60e3)
        .toISOString()
        .slice(0, 19)
        .replace('T', ' ');
  const [a, setA] = useState(iso(from)),
    [b, setB] = useState(iso(to)),
    [bad, setBad] = useState(false);
  const read = (text: string): string | null => {
    const s = text.trim();
    if (/^-\d+[smhd]$/.test(s) || s === 'now') return s;
    const at = parseMoment(
      utc && /^\d{4}-/.test(s) && !/[zZ+]/.test(s) ? `${s.replace(' ', 'T')}Z` : s,
      Date.now(),
    );
    return at === null ? null : new Date(at).toISOString();
  };
  const submit = () => {
    const x = read(a),
      y = read(b);
    if (!x || !y) {
      setBad(true);
      return;
    }
    choose(x, y === 'now' ? undefined : y);
  };
  return (
    <div className="pop" role="dialog" aria-label={t.timeRange}>
      <div className="pop-l">
        {[...RELATIVE, '0'].map(r => (
          <button key={r} className="pi" aria-current={r === current || undefined} onClick={() => choose(r)}>
            {r === '0' ? t.allTime : t.range[r]}
          </button>
        ))}
      </div>
      <form
        className="pop-r"
        onSubmit={e => {
          e.preventDefault();
          submit();
        }}
      >
        <label>
          {t.from}
          <span className="field">
            <input value={a} onChange={e => setA(e.target.value)} spellCheck={false} />
          </span>
        </label>
        <label>
          {t.to}
          <span className="field">
            <input value={b} onChange={e => setB(e.target.value)} spellCheck={false} />
          </span>
        </label>
        {bad && (
          <p className="err" role="alert">
            {t.badTime}
          </p>
        )}
        <button className="ctl pri">{t.apply}</button>
        <fieldset>
          <legend>{t.zone}</legend>
          <button type="button" className="tog" aria-pressed={!utc} onClick={() => setUtc(false)}>
            {t.localZone} ({zoneName({ utc: false }, to)})
          </button>
          <button type="button" className="tog" aria-pressed={utc} onClick={() => setUtc(true)}>
            UTC
          </button>
        </fieldset>
      </form>
    </div>
  );
}
