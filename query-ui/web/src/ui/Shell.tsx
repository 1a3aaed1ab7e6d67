import { Link, Outlet, useNavigate, useRouter, useRouterState, useSearch } from '@tanstack/react-router';
import { useIsFetching } from '@tanstack/react-query';
import { Suspense, lazy, useEffect, useState } from 'react';
import { switchLanguage, useLang, useT } from '../i18n';
import { Icon, Kbd } from './Icon';
import { useKeys } from './keys';
import { toggleTheme, useTheme } from './prefs';
import { Palette } from './Palette';
import { StatusBar } from './StatusBar';
import { TimePicker } from './TimePicker';
import { copy, useToast } from './toast';
import { carry, useShareLink, type Search } from './url';

const Help = lazy(() => import('./Help'));
/** A load that is shorter than this shows nothing. */
const LOADING_MS = 150;

export function Shell() {
  const t = useT(),
    lang = useLang(),
    theme = useTheme(),
    navigate = useNavigate(),
    router = useRouter(),
    share = useShareLink(),
    message = useToast();
  const [float, setFloat] = useState<'palette' | 'help' | null>(null),
    search = useSearch({ strict: false }) as Search;
  const page = useRouterState({ select: s => s.location.pathname.split('/')[1] || 'traces' });
  const go = (to: string) => navigate({ to, search: carry(router.state.location.search as Search) as never });
  const switchLang = () => void switchLanguage(lang === 'zh' ? 'en' : 'zh');
  useKeys({
    palette: () => setFloat('palette'),
    help: () => setFloat('help'),
    goTraces: () => go('/traces'),
    goLogs: () => go('/logs'),
    goHosts: () => go('/hosts'),
    goLedger: () => go('/ledger'),
    theme: toggleTheme,
    link: () => copy(share(), t.copied),
    search: () => {
      const field = document.querySelector<HTMLElement>('#main [data-search]');
      field?.focus();
      return !!field;
    },
    escape: () => {
      if (float) return setFloat(null);
      const el = document.activeElement;
      if (el instanceof HTMLElement && /INPUT|TEXTAREA/.test(el.tagName)) return el.blur();
      return false;
    },
  });
  useEffect(() => setFloat(null), [page]);
  const nav = [
    ['traces', t.traces],
    ['logs', t.logs],
    ['hosts', t.hosts],
  ] as const;
  return (
    <>
      <a className="skip" href="#main">
        {t.skip}
      </a>
      <header id="top">
        <Link className="brand" to="/traces" search={carry(search) as never} aria-label="Weir">
          <svg viewBox="0 0 20 20" aria-hidden="true">
            <path d="M1 6.5h8.5c2.4 0 2 7 4.6 7H19" />
            <path d="M1 10.5h6.5M1 14.5h8.5" opacity=".45" />
          </svg>
          <span>weir</span>
        </Link>
        <nav aria-label={t.main}>
          {nav.map(([k, label]) => (
            <Link
              key={k}
              to={`/${k}`}
              search={carry(search) as never}
              aria-current={page === k ? 'page' : undefined}
            >
              {label}
            </Link>
          ))}
        </nav>
        <span className="grow" />
        <button className="jump" onClick={() => setFloat('palette')} aria-label={t.key.palette}>
          <Icon name="search" />
          <span>{t.jump}</span>
          <Kbd keys="Ctrl K" />
        </button>
        <TimePicker />
        <button
          className="ctl sq"
          onClick={switchLang}
          aria-label={`${t.language}: ${t.otherLanguage}`}
          title={t.otherLanguage}
        >
          {t.otherLanguageShort}
        </button>
        <button
          className="ctl sq"
          onClick={toggleTheme}
          aria-label={`${t.theme}: ${theme === 'dark' ? t.toLight : t.toDark}`}
          title={`${theme === 'dark' ? t.toLight : t.toDark}  Shift T`}
        >
          <Icon name={theme === 'dark' ? 'sun' : 'moon'} />
        </button>
        <LoadingLine />
      </header>
      <main id="main" tabIndex={-1} className={`p-${page}`}>
        <Outlet />
      </main>
      <StatusBar onHelp={() => setFloat('help')} />
      {/* Not loaded apart: who presses Ctrl K types on at once, and its field must be there by then. */}
      {float === 'palette' && <Palette close={() => setFloat(null)} />}
      <Suspense fallback={null}>{float === 'help' && <Help close={() => setFloat(null)} />}</Suspense>
      <div className="toast-live" role="status">
        {message && <div className="toast">{message}</div>}
      </div>
    </>
  );
}

function LoadingLine() {
  const busy =
      useIsFetching({ predicate: q => q.queryKey[0] !== 'status' && q.state.dataUpdatedAt === 0 }) > 0,
    [shown, show] = useState(false);
  useEffect(() => {
    if (!busy) {
      show(false);
      return;
    }
    const timer = setTimeout(() => show(true), LOADING_MS);
    return () => clearTimeout(timer);
  }, [busy]);
  return shown ? <i className="loading" /> : null;
}
