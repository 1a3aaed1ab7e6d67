// Sends the order that tests/tests/sdks.rs knows through OpenTelemetry's SDK for Node: spans, logs and metrics.
//
// Usage: export.cjs PROTOCOL ENDPOINT, where PROTOCOL is grpc, http/protobuf or http/json. Prints the ids that the SDK has chosen, as JSON.

const { SpanKind, SpanStatusCode, context, diag, metrics, trace } = require("@opentelemetry/api");
const { SeverityNumber, logs } = require("@opentelemetry/api-logs");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BatchLogRecordProcessor } = require("@opentelemetry/sdk-logs");
const { AggregationType, PeriodicExportingMetricReader } = require("@opentelemetry/sdk-metrics");
const { NodeSDK } = require("@opentelemetry/sdk-node");
const { BatchSpanProcessor } = require("@opentelemetry/sdk-trace-base");

// Milliseconds since the Unix epoch; the test knows it too.
const START = 1_700_000_000_000;
const PACKAGES = { grpc: "grpc", "http/protobuf": "proto", "http/json": "http" };

/** The SDK's times are pairs of seconds and nanoseconds. */
function at(millis) {
  const time = START + millis;
  return [Math.floor(time / 1000), (time % 1000) * 1_000_000];
}

/** The exporters of spans, logs and metrics. */
function exporters(protocol, endpoint) {
  const load = (signal) => require(`@opentelemetry/exporter-${signal}-otlp-${PACKAGES[protocol]}`);
  const url = (path) => (protocol === "grpc" ? endpoint : `${endpoint}/v1/${path}`);
  return [
    new (load("trace").OTLPTraceExporter)({ url: url("traces") }),
    new (load("logs").OTLPLogExporter)({ url: url("logs") }),
    new (load("metrics").OTLPMetricExporter)({ url: url("metrics") }),
  ];
}

/** A trace of a server, a client that fails and a producer, and the root of another trace that is linked. */
function sendSpans(tracer) {
  const batch = tracer.startSpan("import batch", { startTime: at(-1000), root: true });
  batch.end(at(-990));
  const root = tracer.startSpan("GET /orders/{id}", {
    root: true,
    kind: SpanKind.SERVER,
    startTime: at(0),
    attributes: {
      "http.request.method": "GET",
      "http.response.status_code": 500,
      "shop.ratio": 0.25,
      "shop.cached": false,
      "shop.tags": ["a", "b"],
      "shop.city": "上海",
    },
  });
  root.addEvent("cache miss", { "shop.key": "order:7" }, at(5));
  const belowRoot = trace.setSpan(context.active(), root);
  const client = tracer.startSpan(
    "SELECT orders",
    {
      kind: SpanKind.CLIENT,
      startTime: at(10),
      links: [{ context: batch.spanContext(), attributes: { "shop.reason": "imported" } }],
    },
    belowRoot,
  );
  const error = new Error("connection refused");
  error.name = "ConnectionError";
  client.recordException(error, at(15));
  client.setStatus({ code: SpanStatusCode.ERROR, message: "no database" });
  const producer = tracer.startSpan("publish", { kind: SpanKind.PRODUCER, startTime: at(60) }, belowRoot);
  producer.setStatus({ code: SpanStatusCode.OK });
  producer.end(at(70));
  client.end(at(50));
  root.end(at(100));
  return { root, client, producer, batch };
}

function sendLogs(logger, client) {
  logger.emit({
    timestamp: at(16),
    observedTimestamp: at(17),
    context: trace.setSpan(context.active(), client),
    severityNumber: SeverityNumber.ERROR,
    severityText: "ERROR",
    body: "order 7 failed",
    attributes: { "order.id": 7 },
  });
  logger.emit({
    timestamp: at(1),
    observedTimestamp: at(1),
    severityNumber: SeverityNumber.INFO,
    severityText: "INFO",
    body: { event: "started", port: 8080 },
  });
}

function sendMetrics(meter) {
  const orders = meter.createCounter("shop.orders", { unit: "{order}" });
  orders.add(2, { channel: "web" });
  orders.add(3, { channel: "web" });
  const stock = meter.createUpDownCounter("shop.stock", { unit: "{item}" });
  stock.add(10);
  stock.add(-4);
  meter.createObservableGauge("shop.queue", { unit: "{order}" }).addCallback((result) => result.observe(7.5));
  const latency = meter.createHistogram("shop.latency", { unit: "ms" });
  [5, 50, 500].forEach((millis) => latency.record(millis));
}

async function main() {
  const [protocol, endpoint] = process.argv.slice(2);
  // What an exporter can't send is only said to the SDK's own log.
  const fail = (...words) => {
    console.error(...words);
    process.exit(1);
  };
  diag.setLogger({ error: fail, warn: fail, info() {}, debug() {}, verbose() {} });
  const [spanExporter, logExporter, metricExporter] = exporters(protocol, endpoint);
  const service = `node-${protocol.replace("/", "-")}`;
  const sdk = new NodeSDK({
    autoDetectResources: false,
    resource: resourceFromAttributes({
      "service.name": service,
      "host.name": `${service}-host`,
      "shop.zone": 3,
    }),
    spanProcessors: [new BatchSpanProcessor(spanExporter)],
    logRecordProcessors: [new BatchLogRecordProcessor({ exporter: logExporter })],
    metricReaders: [
      new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: 3_600_000 }),
    ],
    views: [
      {
        instrumentName: "shop.latency",
        aggregation: { type: AggregationType.EXPLICIT_BUCKET_HISTOGRAM, options: { boundaries: [10, 100] } },
      },
    ],
  });
  sdk.start();
  const spans = sendSpans(trace.getTracer("shop.sdk", "1.2.3"));
  sendLogs(logs.getLogger("shop.sdk", "1.2.3"), spans.client);
  sendMetrics(metrics.getMeter("shop.sdk", "1.2.3"));
  await sdk.shutdown();
  const ids = Object.fromEntries(Object.entries(spans).map(([name, span]) => [name, span.spanContext().spanId]));
  ids.rootTrace = spans.root.spanContext().traceId;
  ids.batchTrace = spans.batch.spanContext().traceId;
  console.log(JSON.stringify(ids));
}

main();
