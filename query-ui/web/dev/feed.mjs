// Sends half an hour of the Train Ticket data to a running Weir by OTLP, its times moved so that the last record is two seconds old.
//   WEIR_TRAINTICKET=…/trainticket WEIR_OTLP=http://127.0.0.1:4318 npm run feed
// For a look at the web app with real call chains. Needs `zstd` and `tar`. The data is not part of the project.
import { execFileSync } from 'node:child_process';

const FROM_NS = 1674981832000000000n, // 2023-01-29T08:43:52Z
  TO_NS = 1674983632000000000n; // half an hour later, just after a fault began
const MAX_OUTPUT = 1 << 30,
  RECORDS_PER_REQUEST = 5_000;
const OTLP = process.env.WEIR_OTLP ?? 'http://127.0.0.1:4318',
  folder = process.env.WEIR_TRAINTICKET;
if (!folder) throw new Error('set WEIR_TRAINTICKET to the folder that holds spans.csv.zst and logs.tar.zst');

const run = (cmd, args) => execFileSync(cmd, args, { maxBuffer: MAX_OUTPUT }).toString('utf8');
const shift = BigInt(Date.now()) * 1000000n - 2000000000n - TO_NS,
  inRange = t => t >= FROM_NS && t < TO_NS,
  SEVERITY = { TRACE: 1, DEBUG: 5, INFO: 9, WARN: 13, ERROR: 17 };

/** Records by pod. */
const spans = new Map(),
  logs = new Map();
const put = (map, pod, record) => (map.get(pod) ?? map.set(pod, []).get(pod)).push(record);

for (const line of run('zstd', ['-dc', `${folder}/spans.csv.zst`])
  .split('\n')
  .slice(1)) {
  const [traceId, spanId, parent, pod, name, start, end] = line.split(',');
  if (!line || !inRange(BigInt(start))) continue;
  put(spans, pod, {
    traceId,
    spanId,
    ...(parent !== 'root' && { parentSpanId: parent }),
    name,
    startTimeUnixNano: String(BigInt(start) + shift),
    endTimeUnixNano: String(BigInt(end) + shift),
  });
}
const files = run('tar', ['--zstd', '-tf', `${folder}/logs.tar.zst`])
  .split('\n')
  .filter(n => n.endsWith('.log'));
for (const file of files) {
  const pod = file.replace(/^.*\//, '').replace(/\.log$/, '');
  for (const line of run('tar', ['--zstd', '-xOf', `${folder}/logs.tar.zst`, file]).split('\n')) {
    if (!line) continue;
    const { time, log } = JSON.parse(line),
      [seconds, fraction = ''] = time.replace('Z', '').split('.');
    const at = BigInt(Date.parse(`${seconds}Z`)) * 1000000n + BigInt(fraction.padEnd(9, '0').slice(0, 9));
    if (!inRange(at)) continue;
    const p = /^\S+\s+(\w+)\s+(\S+)\s+TraceID: (\w+) SpanID: (\w+) ([\s\S]*)$/.exec(log.trimEnd());
    put(logs, pod, {
      timeUnixNano: String(at + shift),
      severityNumber: SEVERITY[p?.[1]] ?? 0,
      severityText: p?.[1] ?? '',
      body: { stringValue: p?.[5] ?? log.trimEnd() },
      attributes: p ? [{ key: 'logger', value: { stringValue: p[2] } }] : [],
      ...(p && { traceId: p[3], spanId: p[4] }),
    });
  }
}

const resource = pod => ({
  attributes: Object.entries({
    'service.name': pod.split('-').slice(0, -2).join('-'),
    'k8s.pod.name': pod,
  }).map(([key, value]) => ({ key, value: { stringValue: value } })),
});
async function send(signal, body) {
  const answer = await fetch(`${OTLP}/v1/${signal}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${OTLP} answered ${answer.status}: ${await answer.text()}`);
}
const pieces = list =>
  Array.from({ length: Math.ceil(list.length / RECORDS_PER_REQUEST) }, (_, i) =>
    list.slice(i * RECORDS_PER_REQUEST, (i + 1) * RECORDS_PER_REQUEST),
  );
let sent = 0;
for (const [pod, list] of spans)
  for (const piece of pieces(list)) {
    await send('traces', { resourceSpans: [{ resource: resource(pod), scopeSpans: [{ spans: piece }] }] });
    sent += piece.length;
  }
for (const [pod, list] of logs)
  for (const piece of pieces(list)) {
    await send('logs', { resourceLogs: [{ resource: resource(pod), scopeLogs: [{ logRecords: piece }] }] });
    sent += piece.length;
  }
console.log(`${sent} records were sent to ${OTLP}`);
