// Half an hour of the Train Ticket data in memory, its times moved so that the last record came two seconds ago.
// Development only: the product never reads this. Critical path and self time are computed here as the collector defines them.
import { execFileSync } from 'node:child_process';

const FROM_NS = 1674981832000000000n; // 2023-01-29T08:43:52Z
const TO_NS = 1674983632000000000n; // half an hour later, just after a fault began
const MAX_OUTPUT = 1 << 30;

const run = (cmd, args) => execFileSync(cmd, args, { maxBuffer: MAX_OUTPUT }).toString('utf8');
const serviceOf = pod => pod.split('-').slice(0, -2).join('-');
const hash = s => [...s].reduce((h, c) => Math.imul(h ^ c.charCodeAt(0), 0x01000193) >>> 0, 0x811c9dc5);

export function load(folder) {
  const shift = BigInt(Date.now()) * 1000000n - 2000000000n - TO_NS;
  const traces = new Map();
  for (const line of run('zstd', ['-dc', `${folder}/spans.csv.zst`])
    .split('\n')
    .slice(1)) {
    if (!line) continue;
    const [trace, id, parent, pod, operation, start, end] = line.split(',');
    const s = BigInt(start);
    if (s < FROM_NS || s >= TO_NS) continue;
    if (!traces.has(trace)) traces.set(trace, { id: trace, raw: [], logs: [] });
    traces
      .get(trace)
      .raw.push({
        id,
        parent,
        pod,
        service: serviceOf(pod),
        operation,
        start: s + shift,
        end: BigInt(end) + shift,
      });
  }
  const logs = [];
  const names = run('tar', ['--zstd', '-tf', `${folder}/logs.tar.zst`])
    .split('\n')
    .filter(n => n.endsWith('.log'));
  for (const name of names) {
    const pod = name.replace(/^.*\//, '').replace(/\.log$/, '');
    for (const line of run('tar', ['--zstd', '-xOf', `${folder}/logs.tar.zst`, name]).split('\n')) {
      const m = line && JSON.parse(line);
      if (!m) continue;
      const [sec, frac] = m.time.replace('Z', '').split('.');
      const time = BigInt(Date.parse(`${sec}Z`)) * 1000000n + BigInt((frac ?? '').padEnd(9, '0').slice(0, 9));
      if (time < FROM_NS || time >= TO_NS) continue;
      const p = /^\S+\s+(\w+)\s+(\S+)\s+TraceID: (\w+) SpanID: (\w+) ([\s\S]*)$/.exec(m.log.trimEnd());
      logs.push({
        time: time + shift,
        pod,
        service: serviceOf(pod),
        severity: p?.[1] ?? 'UNSET',
        logger: p?.[2] ?? '',
        traceId: p?.[3] ?? '',
        spanId: p?.[4] ?? '',
        body: p?.[5] ?? m.log.trimEnd(),
      });
    }
  }
  logs.sort((a, b) => (a.time < b.time ? -1 : 1));
  logs.forEach((l, i) => {
    l.id = `l${i}`;
    traces.get(l.traceId)?.logs.push(l);
  });
  const colors = new Map();
  for (const t of traces.values())
    for (const s of t.raw) if (!colors.has(s.service)) colors.set(s.service, pick(s.service, colors));
  for (const l of logs) if (!colors.has(l.service)) colors.set(l.service, pick(l.service, colors));
  const list = [...traces.values()]
    .map(t => shape(t))
    .filter(Boolean)
    .sort((a, b) => (a.start > b.start ? -1 : 1));
  return { traces: list, logs, colors, from: FROM_NS + shift, to: TO_NS + shift };
}

function pick(name, colors) {
  const used = Array(12).fill(0);
  for (const c of colors.values()) used[c]++;
  const least = Math.min(...used);
  let k = hash(name) % 12;
  while (used[k] > least) k = (k + 5) % 12;
  return k;
}

/** A tree of `size` spans for the budget of 10,000: eight services, fan-out 6, with log ticks. */
export function synthetic(size, start) {
  const raw = [],
    at = [0],
    len = [2_000_000_000];
  for (let i = 0; i < size; i++) {
    const p = i === 0 ? -1 : Math.floor((i - 1) / 6);
    if (i > 0) {
      const k = (i - 1) % 6;
      len[i] = Math.max(1000, len[p] / 6.5);
      at[i] = at[p] + len[p] * (0.04 + k * 0.16);
    }
    raw.push({
      id: (i + 1).toString(16).padStart(16, '0'),
      parent: p < 0 ? 'root' : (p + 1).toString(16).padStart(16, '0'),
      pod: `svc-${i % 8}-a-b`,
      service: `svc-${Math.floor(Math.log(i + 1)) % 8}`,
      operation: `operation ${i % 40}`,
      start: start + BigInt(Math.round(at[i])),
      end: start + BigInt(Math.round(at[i] + len[i])),
    });
  }
  return shape({ id: size.toString(16).padStart(32, 'f'), raw, logs: [] });
}

function shape(t) {
  const byId = new Map(t.raw.map(s => [s.id, s]));
  const root = t.raw.find(s => s.parent === 'root' || !byId.has(s.parent));
  if (!root) return null;
  for (const s of t.raw) s.kids = [];
  for (const s of t.raw) if (s !== root) (byId.get(s.parent) ?? root).kids.push(s);
  const spans = [];
  const visit = (s, parent) => {
    s.row = spans.length;
    s.up = parent;
    spans.push(s);
    s.kids.sort((a, b) => (a.start < b.start ? -1 : 1));
    for (const k of s.kids) visit(k, s.row);
  };
  visit(root, -1);
  const zero = root.start;
  for (const s of spans) {
    s.at = Number(s.start - zero);
    s.dur = Number(s.end - s.start);
    s.logs = [];
  }
  for (const s of spans) {
    let at = s.at,
      self = 0;
    const end = s.at + s.dur;
    for (const k of s.kids) {
      if (k.at > at) self += Math.min(k.at, end) - at;
      at = Math.max(at, k.at + k.dur);
      if (at >= end) break;
    }
    s.self = self + Math.max(0, end - at);
  }
  for (const l of t.logs) {
    l.row = byId.get(l.spanId)?.row ?? -1;
    if (l.row >= 0) spans[l.row].logs.push(l);
  }
  const duration = Math.max(...spans.map(s => s.at + s.dur)),
    critical = [];
  const path = (s, until) => {
    let end = Math.min(until, s.at + s.dur);
    for (const k of [...s.kids].sort((a, b) => b.at + b.dur - a.at - a.dur)) {
      if (k.at >= end || k.at + k.dur > end + 1) continue;
      if (k.at + k.dur < end) critical.push({ row: s.row, fromNs: k.at + k.dur, toNs: end });
      path(k, k.at + k.dur);
      end = k.at;
    }
    if (end > s.at) critical.push({ row: s.row, fromNs: s.at, toNs: end });
  };
  path(root, duration);
  critical.sort((a, b) => a.fromNs - b.fromNs);
  const by = new Map();
  for (const c of critical)
    by.set(spans[c.row].service, (by.get(spans[c.row].service) ?? 0) + c.toNs - c.fromNs);
  const where = [...by].map(([service, ns]) => ({ service, ns })).sort((a, b) => b.ns - a.ns);
  const entry = root.operation.startsWith('/*')
    ? (spans.find(s => s.service !== root.service) ?? root)
    : root;
  return {
    id: t.id,
    start: zero,
    duration,
    spans,
    logs: t.logs,
    root,
    entry,
    critical,
    where,
    errorLogs: t.logs.filter(l => l.severity === 'ERROR').length,
  };
}
