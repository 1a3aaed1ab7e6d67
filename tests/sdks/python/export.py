"""Sends the order that tests/tests/sdks.rs knows through OpenTelemetry's Python SDK: spans, logs and metrics.

Usage: export.py PROTOCOL ENDPOINT, where PROTOCOL is grpc or http/protobuf. Prints the ids that the SDK has chosen, as JSON.
"""

import json
import sys

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

# Nanoseconds since the Unix epoch; the test knows it too.
START = 1_700_000_000_000_000_000
MS = 1_000_000


def exporters(protocol, endpoint):
    """The exporters of spans, logs and metrics."""
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        kinds = (OTLPSpanExporter, OTLPLogExporter, OTLPMetricExporter)
        return [kind(endpoint=endpoint, insecure=True) for kind in kinds]
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    kinds = ((OTLPSpanExporter, "traces"), (OTLPLogExporter, "logs"), (OTLPMetricExporter, "metrics"))
    return [kind(endpoint=f"{endpoint}/v1/{path}") for kind, path in kinds]


def send_spans(tracer):
    """A trace of a server, a client that fails and a producer, and the root of another trace that is linked."""
    batch = tracer.start_span("import batch", start_time=START - 1000 * MS)
    batch.end(end_time=START - 990 * MS)
    root = tracer.start_span(
        "GET /orders/{id}",
        kind=SpanKind.SERVER,
        start_time=START,
        attributes={
            "http.request.method": "GET",
            "http.response.status_code": 500,
            "shop.ratio": 0.25,
            "shop.cached": False,
            "shop.tags": ["a", "b"],
            "shop.city": "上海",
        },
    )
    root.add_event("cache miss", {"shop.key": "order:7"}, timestamp=START + 5 * MS)
    below_root = trace.set_span_in_context(root)
    client = tracer.start_span(
        "SELECT orders",
        context=below_root,
        kind=SpanKind.CLIENT,
        start_time=START + 10 * MS,
        links=[Link(batch.get_span_context(), {"shop.reason": "imported"})],
    )
    try:
        raise ConnectionError("connection refused")
    except ConnectionError as error:
        client.record_exception(error, timestamp=START + 15 * MS)
        client.set_status(Status(StatusCode.ERROR, "no database"))
    producer = tracer.start_span(
        "publish", context=below_root, kind=SpanKind.PRODUCER, start_time=START + 60 * MS
    )
    producer.set_status(Status(StatusCode.OK))
    producer.end(end_time=START + 70 * MS)
    client.end(end_time=START + 50 * MS)
    root.end(end_time=START + 100 * MS)
    return {"root": root, "client": client, "producer": producer, "batch": batch}


def send_logs(logger, client):
    logger.emit(
        LogRecord(
            timestamp=START + 16 * MS,
            observed_timestamp=START + 17 * MS,
            context=trace.set_span_in_context(client),
            severity_number=SeverityNumber.ERROR,
            severity_text="ERROR",
            body="order 7 failed",
            attributes={"order.id": 7},
        )
    )
    logger.emit(
        LogRecord(
            timestamp=START + 1 * MS,
            observed_timestamp=START + 1 * MS,
            severity_number=SeverityNumber.INFO,
            severity_text="INFO",
            body={"event": "started", "port": 8080},
        )
    )


def send_metrics(meter):
    orders = meter.create_counter("shop.orders", unit="{order}")
    orders.add(2, {"channel": "web"})
    orders.add(3, {"channel": "web"})
    stock = meter.create_up_down_counter("shop.stock", unit="{item}")
    stock.add(10)
    stock.add(-4)
    meter.create_observable_gauge("shop.queue", callbacks=[lambda _: [Observation(7.5)]], unit="{order}")
    latency = meter.create_histogram("shop.latency", unit="ms")
    for millis in (5, 50, 500):
        latency.record(millis)


def main():
    protocol, endpoint = sys.argv[1:]
    span_exporter, log_exporter, metric_exporter = exporters(protocol, endpoint)
    service = f"python-{protocol.replace('/', '-')}"
    resource = Resource.create({"service.name": service, "host.name": f"{service}-host", "shop.zone": 3})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(span_exporter))
    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BatchLogRecordProcessor(log_exporter))
    buckets = View(
        instrument_name="shop.latency", aggregation=ExplicitBucketHistogramAggregation(boundaries=[10, 100])
    )
    reader = PeriodicExportingMetricReader(metric_exporter, export_interval_millis=3_600_000)
    meters = MeterProvider(resource=resource, metric_readers=[reader], views=[buckets])

    spans = send_spans(tracers.get_tracer("shop.sdk", "1.2.3"))
    send_logs(loggers.get_logger("shop.sdk", "1.2.3"), spans["client"])
    send_metrics(meters.get_meter("shop.sdk", "1.2.3"))
    for provider in (tracers, loggers, meters):
        if not provider.force_flush():
            sys.exit(f"{provider} could not send everything")
        provider.shutdown()
    ids = {name: format(span.get_span_context().span_id, "016x") for name, span in spans.items()}
    for trace_of in ("root", "batch"):
        ids[f"{trace_of}Trace"] = format(spans[trace_of].get_span_context().trace_id, "032x")
    print(json.dumps(ids))


main()
