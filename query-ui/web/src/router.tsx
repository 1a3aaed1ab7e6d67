import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from '@tanstack/react-router';
import { useT } from './i18n';
import { TracesPage } from './pages/traces/TracesPage';
import { Shell } from './ui/Shell';
import type { Search } from './ui/url';

const root = createRootRoute({
  component: Shell,
  notFoundComponent: NotFound,
  validateSearch: (s: Search): Search => s,
});
const index = createRoute({
  getParentRoute: () => root,
  path: '/',
  beforeLoad: ({ search }) => {
    throw redirect({ to: '/traces', search: search as never, replace: true });
  },
});
const traces = createRoute({ getParentRoute: () => root, path: '/traces', component: TracesPage });
const trace = createRoute({
  getParentRoute: () => root,
  path: '/traces/$id',
  component: lazyRouteComponent(() => import('./pages/trace/TracePage')),
});
const logs = createRoute({
  getParentRoute: () => root,
  path: '/logs',
  component: lazyRouteComponent(() => import('./pages/logs/LogsPage')),
});
const hosts = createRoute({
  getParentRoute: () => root,
  path: '/hosts',
  component: lazyRouteComponent(() => import('./pages/hosts/HostsPage')),
});
const host = createRoute({
  getParentRoute: () => root,
  path: '/hosts/$name',
  component: lazyRouteComponent(() => import('./pages/hosts/HostPage')),
});
const ledger = createRoute({
  getParentRoute: () => root,
  path: '/ledger',
  component: lazyRouteComponent(() => import('./pages/ledger/LedgerPage')),
});

function NotFound() {
  const t = useT();
  return (
    <div className="empty">
      <h1 className="h2">{t.notFound}</h1>
      <p>{t.notFoundBody}</p>
    </div>
  );
}

export const router = createRouter({
  routeTree: root.addChildren([index, traces, trace, logs, hosts, host, ledger]),
  // Plain text both ways, so that a link can be read and written by hand.
  parseSearch: text => Object.fromEntries(new URLSearchParams(text)),
  stringifySearch: search => {
    const s = new URLSearchParams(
      Object.entries(search).filter(([, v]) => v !== undefined && v !== '') as [string, string][],
    ).toString();
    return s ? `?${s}` : '';
  },
  scrollRestoration: false,
});
declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
