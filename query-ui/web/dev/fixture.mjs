// A development server that answers the query API (docs/reference/api.md) from real data: see README.md.
import { createServer } from 'node:http';
import { load, synthetic } from './trainticket.mjs';

const PORT = Number(process.env.FIXTURE_PORT ?? 7071);
const folder = process.env.WEIR_TRAINTICKET;
if (!folder) {
  console.error(
    'Set WEIR_TRAINTICKET to the folder that holds spans.csv.zst and logs.tar.zst of Train Ticket.',
  );
  process.exit(1);
}
const D = load(folder);
D.traces.unshift(synthetic(10000, D.to - 9000000000n));

const SEVERITY = { TRACE: 1, DEBUG: 5, INFO: 9, WARN: 13, ERROR: 17, FATAL: 21, UNSET: 0 };
const byId = new Map(D.traces.map(t => [t.id, t]));
const exact = value => ({ value, exact: true });

class BadFilter extends Error {
  constructor(message, start, end, suggestion) {
    super(message);
    Object.assign(this, { start, end, suggestion });
  }
}
const NS = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };
function number(v) {
  const m = /^([\d.]+)\s*(ns|us|µs|ms|s|m|h)?$/.exec(v);
  return m ? Number(m[1]) * (m[2] ? NS[m[2]] : 1) : NaN;
}
function parse(q) {
  const re =
      /\s*(?:AND\s+)?(?:([\w.\-]+)\s*(!=|>=|<=|!~|=|>|<|~)\s*("(?:[^"\\]|\\.)*"|\S+)|([\w.\-]+)\s+\*|("[^"]*"|\S+))/gy,
    out = [];
  while (re.lastIndex < q.length && q.slice(re.lastIndex).trim()) {
    const at = re.lastIndex,
      m = re.exec(q);
    if (!m) throw new BadFilter('this part of the filter is not understood', at, q.length);
    const unquote = v => (v?.startsWith('"') ? v.slice(1, -1).replace(/\\(.)/g, '$1') : v);
    if (m[1] === 'serivce')
      throw new BadFilter(
        'there is no key “serivce”',
        q.indexOf(m[1], at),
        q.indexOf(m[1], at) + 7,
        'service',
      );
    out.push(
      m[1]
        ? { key: m[1], op: m[2], value: unquote(m[3]) }
        : m[4]
          ? { key: m[4], op: '*' }
          : { word: unquote(m[5]).toLowerCase() },
    );
  }
  return out;
}
function test(conds, get, text) {
  return conds.every(c => {
    if (c.word) return text().toLowerCase().includes(c.word);
    const have = get(c.key);
    if (have == null) return false;
    if (c.op === '*') return true;
    if (c.op === '~' || c.op === '!~')
      return new RegExp(`^(?:${c.value})$`, 's').test(have) === (c.op === '~');
    const a = typeof have === 'number' ? have : Number(have),
      b = c.key === 'severity' ? SEVERITY[c.value.toUpperCase()] : number(c.value);
    const eq = Number.isNaN(b) || Number.isNaN(a) ? String(have) === c.value : a === b;
    return { '=': eq, '!=': !eq, '<': a < b, '<=': a <= b, '>': a > b, '>=': a >= b }[c.op];
  });
}
const spanGet = (t, s) => k =>
  ({
    service: s.service,
    operation: s.operation,
    duration: s.dur,
    status: 'unset',
    'k8s.pod.name': s.pod,
    'trace.id': t.id,
    'span.id': s.id,
    'trace.duration': t.duration,
    'trace.spans': t.spans.length,
    'trace.errors': 0,
    'trace.service': t.spans.map(x => x.service).includes(s.service) ? s.service : '',
    entry: t.entry.operation,
  })[k];
const logGet = l => k =>
  ({
    service: l.service,
    severity: SEVERITY[l.severity],
    'k8s.pod.name': l.pod,
    logger: l.logger,
    'trace.id': l.traceId,
    'span.id': l.spanId,
  })[k];
function time(v, fallback) {
  if (!v) return fallback;
  if (v === 'now') return BigInt(Date.now()) * 1000000n;
  const m = /^-(\d+)([smhd])$/.exec(v);
  if (m)
    return (
      BigInt(Date.now()) * 1000000n -
      BigInt(m[1]) * BigInt({ s: 1, m: 60, h: 3600, d: 86400 }[m[2]]) * 1000000000n
    );
  return /^\d+$/.test(v) ? BigInt(v) : BigInt(Date.parse(v)) * 1000000n;
}
function found(p) {
  const conds = parse(p.get('q') ?? ''),
    from = time(p.get('from'), 0n),
    to = time(p.get('to'), 1n << 62n),
    out = [];
  for (const t of D.traces) {
    if (t.start < from || t.start >= to) continue;
    const matched = conds.length
      ? t.spans.filter(s => test(conds, spanGet(t, s), () => s.operation)).length
      : t.spans.length;
    if (matched) out.push({ t, matched });
  }
  return out;
}
function lines(p) {
  const conds = parse(p.get('q') ?? ''),
    from = time(p.get('from'), 0n),
    to = time(p.get('to'), 1n << 62n);
  return D.logs.filter(l => l.time >= from && l.time < to && test(conds, logGet(l), () => l.body));
}
const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
const attr = (key, value) => ({ key, value, type: 'string' });
const logOut = (l, whole) => ({
  id: l.id,
  time: String(l.time),
  observed: String(l.time),
  severity: SEVERITY[l.severity] ?? 0,
  severityText: l.severity,
  service: l.service,
  body: l.body,
  traceId: l.traceId,
  spanId: l.spanId,
  flags: [],
  attributes: [attr('logger', l.logger)],
  resource: whole ? [attr('service.name', l.service), attr('k8s.pod.name', l.pod)] : [],
  ...(l.row == null ? {} : { span: l.row }),
});
function groups(rows, get, limit) {
  const by = new Map();
  let missing = 0;
  for (const r of rows) {
    const v = get(r);
    if (v == null || v === '') missing++;
    else by.set(v, (by.get(v) ?? 0) + 1);
  }
  const all = [...by].sort((a, b) => b[1] - a[1]),
    shown = all.slice(0, limit);
  return {
    total: exact(rows.length),
    groups: shown.map(([value, count]) => ({ value: String(value), count })),
    other: all.slice(limit).reduce((s, g) => s + g[1], 0),
    missing,
  };
}
const severityName = l => l.severity;

const routes = [
  [
    '/api/v1/status',
    () => ({
      version: '0.1.0-fixture',
      startedAt: String(D.to),
      newestNs: String(D.to),
      behindMs: Math.min(2000, Date.now() - Number(D.to / 1000000n)),
      stages: [],
      services: D.colors.size,
      hosts: 1,
    }),
  ],
  [
    '/api/v1/services',
    () => ({
      services: [...D.colors].map(([name, color]) => ({
        name,
        color,
        spans: 0,
        errors: 0,
        logs: 0,
        errorLogs: 0,
        lastSeen: String(D.to),
      })),
    }),
  ],
  [
    '/api/v1/services/([^/]+)/operations',
    (p, [service]) => {
      const by = new Map();
      for (const t of D.traces)
        for (const s of t.spans)
          if (s.service === service) by.set(s.operation, [...(by.get(s.operation) ?? []), s.dur]);
      return {
        operations: [...by].map(([name, d]) => {
          d.sort((a, b) => a - b);
          return {
            name,
            kind: 0,
            spans: d.length,
            errors: 0,
            p50Ns: quantile(d, 0.5),
            p95Ns: quantile(d, 0.95),
            maxNs: d.at(-1),
          };
        }),
      };
    },
  ],
  [
    '/api/v1/traces',
    p => {
      const all = found(p),
        at = Number(p.get('cursor') ?? 0),
        n = Number(p.get('limit') ?? 100);
      return {
        traces: all
          .slice(at, at + n)
          .map(({ t, matched }) => ({
            traceId: t.id,
            start: String(t.start),
            durationNs: t.duration,
            root: { service: t.root.service, operation: t.root.operation },
            entry: { service: t.entry.service, operation: t.entry.operation },
            spans: t.spans.length,
            errors: 0,
            logs: t.logs.length,
            errorLogs: t.errorLogs,
            matched,
            where: t.where,
          })),
        total: exact(all.length),
        cursor: at + n < all.length ? String(at + n) : null,
        snapshot: String(D.to),
      };
    },
  ],
  [
    '/api/v1/traces/scatter',
    p => {
      const all = found(p),
        entries = new Map(),
        index = [];
      for (const { t } of all) {
        const k = `${t.entry.service}\n${t.entry.operation}`;
        if (!entries.has(k))
          entries.set(k, {
            i: entries.size,
            d: [],
            e: 0,
            service: t.entry.service,
            operation: t.entry.operation,
          });
        const e = entries.get(k);
        e.d.push(t.duration);
        index.push(e.i);
      }
      return {
        total: exact(all.length),
        shown: all.length,
        sortedBy: 'time',
        entries: [...entries.values()].map(e => {
          e.d.sort((a, b) => a - b);
          return {
            service: e.service,
            operation: e.operation,
            calls: e.d.length,
            errors: e.e,
            p50Ns: quantile(e.d, 0.5),
            p95Ns: quantile(e.d, 0.95),
          };
        }),
        traceId: all.map(x => x.t.id),
        start: all.map(x => String(x.t.start)),
        durationNs: all.map(x => x.t.duration),
        spans: all.map(x => x.t.spans.length),
        errors: all.map(() => 0),
        errorLogs: all.map(x => x.t.errorLogs),
        entry: index,
      };
    },
  ],
  [
    '/api/v1/traces/(\\w+)',
    (p, [id]) => {
      const t = byId.get(id);
      if (!t) return null;
      const services = [...new Set(t.spans.map(s => s.service))],
        operations = [...new Set(t.spans.map(s => s.operation))],
        S = t.spans,
        ticks = S.flatMap(s => s.logs.map(l => [s.row, Number(l.time - t.start), SEVERITY[l.severity]]));
      const worst = s => s.logs.reduce((m, l) => Math.max(m, SEVERITY[l.severity]), 0);
      return {
        traceId: id,
        start: String(t.start),
        durationNs: t.duration,
        root: 0,
        services: services.map(name => ({ name, color: D.colors.get(name) })),
        operations,
        spans: {
          id: S.map(s => s.id),
          parent: S.map(s => s.up),
          service: S.map(s => services.indexOf(s.service)),
          operation: S.map(s => operations.indexOf(s.operation)),
          kind: S.map(() => 0),
          status: S.map(() => 0),
          startNs: S.map(s => s.at),
          durationNs: S.map(s => s.dur),
          selfNs: S.map(s => s.self),
          flags: S.map(s => (s.up >= 0 && s.at + s.dur > S[s.up].at + S[s.up].dur ? 8 : 0)),
          logs: S.map(s => s.logs.length),
          errorLogs: S.map(s => s.logs.filter(l => l.severity === 'ERROR').length),
          worstLog: S.map(worst),
          tag: S.map(() => ''),
        },
        critical: t.critical,
        where: t.where,
        logTicks: { row: ticks.map(x => x[0]), atNs: ticks.map(x => x[1]), severity: ticks.map(x => x[2]) },
        notes: S.filter(s => s.up >= 0 && s.at > S[s.up].at + S[s.up].dur).map(s => ({
          row: s.row,
          kind: 'starts-after-parent-end',
          ns: s.at - S[s.up].at - S[s.up].dur,
        })),
        cut: null,
      };
    },
  ],
  [
    '/api/v1/traces/(\\w+)/spans/(\\d+)',
    (p, [id, i]) => {
      const t = byId.get(id),
        s = t?.spans[Number(i)];
      return (
        s && {
          traceId: id,
          spanId: s.id,
          parentSpanId: s.up < 0 ? '' : t.spans[s.up].id,
          service: s.service,
          operation: s.operation,
          kind: 0,
          status: { code: 'unset', message: '' },
          start: String(s.start),
          end: String(s.end),
          durationNs: s.dur,
          attributes: s.operation.startsWith('/') ? [attr('http.route', s.operation)] : [],
          resource: [attr('service.name', s.service), attr('k8s.pod.name', s.pod)],
          scope: { name: '', version: '', attributes: [] },
          events: [],
          links: [],
          origin: 'otlp',
          source: '',
        }
      );
    },
  ],
  [
    '/api/v1/traces/(\\w+)/logs',
    (p, [id]) => {
      const t = byId.get(id);
      return t && { logs: t.logs.map(l => logOut(l)), total: exact(t.logs.length) };
    },
  ],
  [
    '/api/v1/logs',
    p => {
      const all = lines(p).reverse(),
        at = Number(p.get('cursor') ?? 0),
        n = Number(p.get('limit') ?? 100);
      return {
        logs: all.slice(at, at + n).map(l => logOut(l)),
        cursor: at + n < all.length ? String(at + n) : null,
      };
    },
  ],
  [
    '/api/v1/logs/histogram',
    p => {
      const all = lines(p),
        n = Number(p.get('buckets') ?? 60),
        from = time(p.get('from'), D.from),
        to = time(p.get('to'), D.to),
        w = (to - from) / BigInt(n) || 1n,
        rows = {};
      for (const l of all) {
        const i = Math.min(n - 1, Number((l.time - from) / w)),
          k = l.severity.toLowerCase();
        (rows[k] ??= Array(n).fill(0))[i]++;
      }
      return {
        total: exact(all.length),
        start: String(from),
        bucketNs: Number(w),
        series: Object.entries(rows).map(([severity, counts]) => ({ severity, counts })),
      };
    },
  ],
  [
    '/api/v1/logs/groups',
    p =>
      groups(
        lines(p),
        p.get('by') === 'severity' ? severityName : l => logGet(l)(p.get('by')),
        Number(p.get('limit') ?? 10),
      ),
  ],
  [
    '/api/v1/logs/(l\\d+)',
    (p, [id]) => {
      const l = D.logs[Number(id.slice(1))];
      return l && logOut(l, true);
    },
  ],
  [
    '/api/v1/keys',
    p => ({
      keys: (p.get('signal') === 'logs'
        ? ['logger', 'k8s.pod.name', 'service.name']
        : ['http.route', 'k8s.pod.name', 'service.name']
      )
        .filter(k => k.startsWith(p.get('prefix') ?? ''))
        .map(key => ({
          key,
          level: key === 'k8s.pod.name' || key === 'service.name' ? 'resource' : 'record',
        })),
    }),
  ],
  [
    '/api/v1/values',
    p => {
      const key = p.get('key'),
        pre = p.get('prefix') ?? '',
        rows =
          p.get('signal') === 'logs'
            ? D.logs.map(l => logGet(l)(key))
            : D.traces.flatMap(t => t.spans.map(s => spanGet(t, s)(key)));
      return {
        values: groups(
          rows.filter(v => String(v ?? '').startsWith(pre)),
          v => v,
          20,
        ).groups,
        complete: true,
      };
    },
  ],
  [
    '/api/v1/hosts',
    () => ({
      hosts: [
        {
          name: 'node-3',
          lastSeen: String(D.to),
          os: 'Linux 5.15 x86_64',
          services: [...D.colors.keys()].slice(0, 5),
        },
      ],
    }),
  ],
  ['/api/v1/hosts/([^/]+)/metrics', p => metrics(p)],
];
function metrics(p) {
  const n = Number(p.get('points') ?? 180),
    from = time(p.get('from'), D.from),
    to = time(p.get('to'), D.to),
    step = Number(to - from) / n;
  let seed = 7;
  const rnd = () => (seed = (seed * 1664525 + 1013904223) >>> 0) / 2 ** 32;
  const walk = (base, amp, lo) => {
    let v = base;
    return Array.from({ length: n }, (_, i) =>
      i < 12 ? null : (v = Math.max(lo, v + (base - v) * 0.08 + (rnd() - 0.5) * amp)),
    );
  };
  const one = (name, unit, attributes, values) => ({ name, unit, attributes, values });
  return {
    start: String(from),
    stepNs: step,
    series: [
      one('system.cpu.utilization', '1', { 'cpu.mode': 'user' }, walk(0.31, 0.07, 0.04)),
      one('system.cpu.utilization', '1', { 'cpu.mode': 'system' }, walk(0.08, 0.02, 0.02)),
      one('system.cpu.load_average.1m', '{thread}', {}, walk(6.2, 0.8, 0.4)),
      one('system.cpu.logical.count', '{cpu}', {}, walk(16, 0, 16)),
      one('system.memory.usage', 'By', { 'system.memory.state': 'used' }, walk(38e9, 4e8, 2e10)),
      one('system.memory.usage', 'By', { 'system.memory.state': 'cached' }, walk(19e9, 3e8, 8e9)),
      one('system.memory.limit', 'By', {}, walk(67.4e9, 0, 67.4e9)),
      one('system.disk.io', 'By/s', { 'disk.io.direction': 'read' }, walk(3.1e6, 2.2e6, 0)),
      one('system.disk.io', 'By/s', { 'disk.io.direction': 'write' }, walk(11e6, 5e6, 1e5)),
      one('system.network.io', 'By/s', { 'network.io.direction': 'receive' }, walk(21e6, 5e6, 1e5)),
      one('system.network.io', 'By/s', { 'network.io.direction': 'transmit' }, walk(17e6, 4e6, 1e5)),
      one('system.filesystem.utilization', '1', { 'system.filesystem.mountpoint': '/' }, walk(0.41, 0, 0.41)),
      one(
        'system.filesystem.utilization',
        '1',
        { 'system.filesystem.mountpoint': '/var/lib/containerd' },
        walk(0.78, 0, 0.78),
      ),
    ],
    processes: [
      { pid: 812, name: 'java ts-travel-service', cpu: 1.82, memory: 1.31e9 },
      { pid: 901, name: 'java ts-order-service', cpu: 0.96, memory: 1.18e9 },
      { pid: 77, name: 'weir', cpu: 0.03, memory: 3.6e7 },
    ],
  };
}
function tail(req, res, p) {
  const conds = parse(p.get('q') ?? '');
  res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  let at = D.logs.length - 4000;
  const timer = setInterval(() => {
    const batch = D.logs
      .slice(at, (at += 7))
      .map(l => ({ ...l, id: `${l.id}-${at}`, time: BigInt(Date.now()) * 1000000n }))
      .filter(l => test(conds, logGet(l), () => l.body))
      .map(l => logOut(l));
    if (batch.length) res.write(`event: logs\ndata: ${JSON.stringify({ logs: batch })}\n\n`);
  }, 250);
  req.on('close', () => clearInterval(timer));
}
const server = createServer((req, res) => {
  const url = new URL(req.url, 'http://localhost');
  const send = (status, body) => {
    res.writeHead(status, { 'content-type': 'application/json' });
    res.end(JSON.stringify(body));
  };
  try {
    if (url.pathname === '/api/v1/logs/tail') return tail(req, res, url.searchParams);
    for (const [pattern, answer] of routes) {
      const m = new RegExp(`^${pattern}$`).exec(url.pathname);
      if (!m) continue;
      const body = answer(url.searchParams, m.slice(1).map(decodeURIComponent));
      return body
        ? send(200, body)
        : send(404, { error: { code: 'not_found', message: 'no such record is stored' } });
    }
    send(404, { error: { code: 'not_found', message: `no call ${url.pathname}` } });
  } catch (e) {
    if (!(e instanceof BadFilter)) console.error(e);
    send(e instanceof BadFilter ? 400 : 500, {
      error: {
        code: e instanceof BadFilter ? 'bad_filter' : 'internal',
        message: e.message,
        start: e.start,
        end: e.end,
        suggestion: e.suggestion,
      },
    });
  }
});
server.listen(PORT, '127.0.0.1', () =>
  console.log(
    `fixture: ${D.traces.length} traces, ${D.logs.length} lines on http://127.0.0.1:${server.address().port}`,
  ),
);
