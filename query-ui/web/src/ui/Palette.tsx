import { useQueries } from '@tanstack/react-query';
import { useNavigate, useRouter } from '@tanstack/react-router';
import { useEffect, useMemo, useRef, useState } from 'react';
import { api } from '../api/client';
import { RATE_MS, useServiceRates, useServices } from '../api/queries';
import { switchLanguage, useLang, useT } from '../i18n';
import { equals } from '../model/filter';
import { perMinute } from '../model/format';
import { Dialog } from './Dialog';
import { Icon, Kbd, Mark } from './Icon';
import { pref, setPref, toggleTheme, useTheme } from './prefs';
import { carry, useUrl, type Search } from './url';

interface Item {
  group: string;
  text: string;
  hint?: string;
  /** What is known of it, at the right. */
  right?: string;
  color?: number;
  run: () => void;
}
const SHOWN = 10,
  SPAN_ID = /^[0-9a-f]{16}$/;
/** Operations are asked for only of so many services at once. */
const OPERATION_SERVICES = 12;

export function Palette({ close }: { close: () => void }) {
  const t = useT(),
    lang = useLang(),
    theme = useTheme(),
    book = useServices(),
    rates = useServiceRates().data,
    navigate = useNavigate(),
    router = useRouter(),
    [url, set] = useUrl();
  const [text, setText] = useState(''),
    [at, setAt] = useState(0),
    list = useRef<HTMLDivElement>(null);
  const go = (to: string, more: Search = {}) =>
    void navigate({ to, search: { ...carry(router.state.location.search as Search), ...more } as never });
  const operations = useQueries({
    queries: book.names
      .slice(0, text ? OPERATION_SERVICES : 0)
      .map(name => ({
        queryKey: ['operations', name],
        queryFn: (c: { signal: AbortSignal }) => api.operations(name, c.signal),
        staleTime: 60e3,
      })),
    combine: all =>
      all.flatMap((o, i) => (o.data?.operations ?? []).map(p => ({ service: book.names[i], name: p.name }))),
  });
  const items = useMemo(() => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean),
      hit = (s: string) => words.every(w => s.toLowerCase().includes(w));
    const all: Item[] = [
      { group: t.goTo, text: t.traces, hint: 'g t', run: () => go('/traces') },
      { group: t.goTo, text: t.logs, hint: 'g l', run: () => go('/logs') },
      { group: t.goTo, text: t.hosts, hint: 'g h', run: () => go('/hosts') },
      { group: t.goTo, text: t.ledger, hint: 'g d', run: () => go('/ledger') },
      ...(words.length
        ? book.names.map(n => ({
            group: t.services,
            text: n,
            color: book.color(n),
            right: rates?.has(n) ? t.spanRate(perMinute(rates.get(n)!, RATE_MS)) : undefined,
            run: () => go('/traces', { q: equals('service', n) }),
          }))
        : []),
      ...(words.length
        ? operations.map(o => ({
            group: t.operations,
            text: o.name,
            color: book.color(o.service),
            run: () => go('/traces', { q: `${equals('service', o.service)} ${equals('operation', o.name)}` }),
          }))
        : []),
      { group: t.settings, text: theme === 'dark' ? t.toLight : t.toDark, hint: 'Shift T', run: toggleTheme },
      {
        group: t.settings,
        text: t.otherLanguage,
        run: () => void switchLanguage(lang === 'zh' ? 'en' : 'zh'),
      },
      {
        group: t.settings,
        text: pref('density') === 'compact' ? t.comfortable : t.compact,
        run: () => setPref('density', pref('density') === 'compact' ? 'normal' : 'compact'),
      },
      {
        group: t.settings,
        text: url.tz === 'utc' ? t.showLocal : t.showUtc,
        run: () => set({ tz: url.tz === 'utc' ? null : 'utc' }),
      },
    ];
    const found = all.filter(i => hit(i.text)).slice(0, SHOWN),
      id = text.trim().toLowerCase();
    if (/^[0-9a-f]{16,32}$/.test(id))
      found.unshift({ group: t.traces, text: `${t.openTraceId} ${id}`, run: () => go(`/traces/${id}`) });
    if (SPAN_ID.test(id))
      found.unshift({
        group: t.traces,
        text: t.spanWithId(id),
        run: () => go('/traces', { q: equals('span.id', id), from: '0' }),
      });
    if (words.length)
      found.push(
        { group: t.search, text: t.tracesWith(text), run: () => go('/traces', { q: text }) },
        { group: t.search, text: t.logsWith(text), run: () => go('/logs', { q: text }) },
      );
    return found;
    // `go` and `set` only read the router when they run.
  }, [text, book, rates, operations, t, theme, lang, url.tz]);
  useEffect(() => setAt(0), [text]);
  useEffect(() => {
    list.current?.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
  }, [at]);
  const run = (i: number) => {
    const item = items[i];
    if (item) {
      close();
      item.run();
    }
  };
  const key = (e: React.KeyboardEvent) => {
    if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
      e.preventDefault();
      setAt((at + (e.key === 'ArrowDown' ? 1 : items.length - 1)) % Math.max(1, items.length));
    }
    if (e.key === 'Enter') {
      e.preventDefault();
      run(at);
    }
  };
  return (
    <Dialog label={t.commands} className="pal" close={close}>
      <div className="pal-in">
        <Icon name="search" />
        <input
          autoFocus
          value={text}
          onChange={e => setText(e.target.value)}
          onKeyDown={key}
          placeholder={t.jumpHint}
          aria-label={t.key.palette}
          role="combobox"
          aria-expanded="true"
          aria-controls="pal-list"
          aria-activedescendant={`pal-${at}`}
          spellCheck={false}
        />
      </div>
      <div className="pal-list" id="pal-list" role="listbox" aria-label={t.commands} ref={list}>
        {text && items.length === 2 && <p className="none">{t.nothingNamed(text)}</p>}
        {items.map((item, i) => (
          <div key={`${item.group}${item.text}${i}`} role="presentation">
            {(i === 0 || items[i - 1].group !== item.group) && (
              <div className="h6" role="presentation">
                {item.group}
              </div>
            )}
            <div
              className="pi"
              id={`pal-${i}`}
              role="option"
              aria-selected={i === at}
              onClick={() => run(i)}
              onMouseMove={() => i !== at && setAt(i)}
            >
              {item.color !== undefined && <Mark color={item.color} />}
              <span>{item.text}</span>
              <span className="grow" />
              {item.right && <span className="dim num">{item.right}</span>}
              {item.hint && (
                <span className="dim">
                  <Kbd keys={item.hint} />
                </span>
              )}
            </div>
          </div>
        ))}
      </div>
      <div className="pal-foot">
        <Kbd keys="↑ ↓" /> {t.move} <Kbd keys="Enter" /> {t.open} <Kbd keys="Esc" /> {t.closeKey}
      </div>
    </Dialog>
  );
}
