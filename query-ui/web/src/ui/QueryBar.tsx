/** The filter: chips for the conditions that stand, a field for the next one, and completions from what is stored. */
import { useRef, useState, type ReactNode } from 'react';
import { useT } from '../i18n';
import { add, fromChips, place, remove, toChips } from '../model/filter';
import { Icon, Kbd } from './Icon';
import { pref, setPref } from './prefs';
import { Suggestions, useSuggestions, type Suggestion } from './Suggestions';

const RECENT = 6;
export function recent(signal: 'spans' | 'logs'): string[] {
  try {
    const list: unknown = JSON.parse(pref(`recent.${signal}`) ?? '[]');
    return Array.isArray(list) ? list.filter(x => typeof x === 'string') : [];
  } catch {
    return [];
  }
}
function remember(signal: 'spans' | 'logs', q: string): void {
  if (q)
    setPref(`recent.${signal}`, JSON.stringify([q, ...recent(signal).filter(r => r !== q)].slice(0, RECENT)));
}

interface Props {
  signal: 'spans' | 'logs';
  q: string;
  onChange: (q: string) => void;
  placeholder: string;
  children?: ReactNode;
  submit?: boolean;
}

export function QueryBar({ signal, q, onChange, placeholder, children, submit }: Props) {
  const t = useT(),
    [text, setText] = useState(''),
    [caret, setCaret] = useState(0),
    [open, setOpen] = useState(false),
    [at, setAt] = useState(-1),
    input = useRef<HTMLInputElement>(null);
  const chips = toChips(q),
    where = place(text, caret),
    items = useSuggestions(signal, where, text, open),
    shown = open && items.length > 0;
  const change = (next: string) => {
    onChange(next);
    remember(signal, next);
  };
  const commit = () => {
    const next = text.trim() ? add(q, fromChips(toChips(text))) : q;
    setText('');
    setOpen(false);
    setAt(-1);
    change(next);
  };
  const accept = (s: Suggestion) => {
    if (s.whole !== undefined) {
      setText('');
      setOpen(false);
      change(s.whole);
      return;
    }
    const next = text.slice(0, where.from) + s.insert;
    setText(next);
    setAt(-1);
    requestAnimationFrame(() => {
      input.current?.focus();
      input.current?.setSelectionRange(next.length, next.length);
      setCaret(next.length);
    });
  };
  const key = (e: React.KeyboardEvent<HTMLInputElement>) => {
    if (e.nativeEvent.isComposing) return;
    // The key that comes here was pressed once more; as a first character it means nothing in a filter.
    if (e.key === '/' && !text) {
      e.preventDefault();
      return;
    }
    if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
      e.preventDefault();
      setOpen(true);
      const n = Math.max(1, items.length);
      setAt(at < 0 ? (e.key === 'ArrowDown' ? 0 : n - 1) : (at + (e.key === 'ArrowDown' ? 1 : n - 1)) % n);
    } else if (e.key === 'Tab' && !e.shiftKey && shown && (text || at >= 0)) {
      e.preventDefault();
      accept(items[Math.max(0, at)]);
    } else if (e.key === 'Enter') {
      e.preventDefault();
      if (shown && at >= 0) accept(items[at]);
      else commit();
    } else if (e.key === 'Backspace' && !text && chips.length) {
      e.preventDefault();
      setText(chips.at(-1)!.text);
      setCaret(chips.at(-1)!.text.length);
      onChange(remove(q, chips.length - 1));
    } else if (e.key === 'Escape') {
      e.preventDefault();
      e.stopPropagation();
      if (open) setOpen(false);
      else if (text) setText('');
      else e.currentTarget.blur();
    }
  };
  const track = (e: React.SyntheticEvent<HTMLInputElement>) => setCaret(e.currentTarget.selectionStart ?? 0);
  return (
    <section className="qbar" role="search" aria-label={t.filter}>
      <div
        className="field q"
        onMouseDown={e => {
          if (e.target === e.currentTarget) {
            e.preventDefault();
            input.current?.focus();
          }
        }}
      >
        <Icon name="search" />
        {chips.map((c, i) => (
          <span className="chip" key={`${c.text}${i}`}>
            <span className="chip-t" title={c.text}>
              {c.key ? (
                <>
                  <i>{c.key}</i> <em>{c.op}</em> {c.op === '*' ? '' : c.value}
                </>
              ) : (
                c.text
              )}
            </span>
            <button className="bare" onClick={() => change(remove(q, i))} aria-label={t.removeFilter(c.text)}>
              <Icon name="x" />
            </button>
          </span>
        ))}
        <input
          ref={input}
          data-search
          value={text}
          placeholder={chips.length ? '' : placeholder}
          aria-label={t.filter}
          spellCheck={false}
          autoComplete="off"
          autoCapitalize="off"
          role="combobox"
          aria-expanded={shown}
          aria-controls="q-list"
          aria-autocomplete="list"
          aria-activedescendant={shown && at >= 0 ? `q-${at}` : undefined}
          onChange={e => {
            setText(e.target.value);
            setCaret(e.target.selectionStart ?? e.target.value.length);
            setOpen(true);
            setAt(-1);
          }}
          onKeyDown={key}
          onSelect={track}
          onFocus={() => setOpen(true)}
          onBlur={() => {
            setOpen(false);
            setAt(-1);
          }}
        />
        <Kbd keys="/" />
      </div>
      {submit && (
        <button className="ctl pri" onClick={commit}>
          {t.search}
        </button>
      )}
      {children}
      {shown && <Suggestions items={items} at={at} accept={accept} />}
    </section>
  );
}
