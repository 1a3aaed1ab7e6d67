"""Writes the lines of one Python logger: `python loggers.py NAME`."""

import logging
import sys
import time

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"


def charge():
    raise ValueError('card declined: "no funds"')


def pay():
    try:
        charge()
    except ValueError as cause:
        raise RuntimeError("payment failed") from cause


def refund():
    try:
        pay()
    except RuntimeError:
        {}["refund"]


def tick():
    time.sleep(0.007)


def lines(log):
    log.info("listening")
    tick()
    log.info("order placed", extra={"trace_id": TRACE_ID, "span_id": SPAN_ID, "items": 3})
    tick()
    log.warning('slow "payment" 付款')
    tick()
    try:
        pay()
    except RuntimeError:
        log.exception("could not pay")
    tick()
    log.critical("first line\nsecond line")
    log.debug("deep")


def standard(**config):
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, **config)
    lines(logging.getLogger("shop.order"))


def json_logger():
    from pythonjsonlogger.json import JsonFormatter

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s %(funcName)s %(lineno)d %(process)d %(threadName)s",
            json_ensure_ascii=True,
        )
    )
    logging.basicConfig(level=logging.DEBUG, handlers=[handler])
    lines(logging.getLogger("shop.order"))


def struct_log():
    import structlog

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )
    log = structlog.get_logger()
    log.info("listening", addr=":8080")
    tick()
    with structlog.contextvars.bound_contextvars(trace_id=TRACE_ID, span_id=SPAN_ID):
        log.info("order placed", items=3, total=41.5)
        tick()
        log.warning('slow "payment" 付款')
        tick()
        try:
            pay()
        except RuntimeError:
            log.exception("could not pay")
    tick()
    log.debug("deep", tags={"vip": True})


def otel():
    from opentelemetry import trace
    from opentelemetry.instrumentation.logging import LoggingInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider(resource=Resource({"service.name": "shop"})))
    LoggingInstrumentor().instrument(set_logging_format=True, logging_format=None)
    log = logging.getLogger("shop.order")
    log.setLevel(logging.DEBUG)
    log.warning("outside")
    with trace.get_tracer("shop").start_as_current_span("order"):
        lines(log)


def ecs():
    import ecs_logging

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(ecs_logging.StdlibFormatter())
    logging.basicConfig(level=logging.DEBUG, handlers=[handler])
    lines(logging.getLogger("shop.order"))
    logging.getLogger("shop.order").info(
        "in a trace", extra={"trace": {"id": TRACE_ID}, "span": {"id": SPAN_ID}, "service": {"name": "shop"}}
    )


def headers():
    """One line for each propagator: the headers that it puts on a request, as a proxy or client would log them."""
    import structlog
    from opentelemetry import trace
    from opentelemetry.propagators.aws import AwsXRayPropagator
    from opentelemetry.propagators.b3 import B3MultiFormat, B3SingleFormat
    from opentelemetry.propagators.jaeger import JaegerPropagator
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    structlog.configure(processors=[structlog.processors.TimeStamper(fmt="iso"), structlog.processors.JSONRenderer()])
    span = trace.NonRecordingSpan(
        trace.SpanContext(int(TRACE_ID, 16), int(SPAN_ID, 16), is_remote=False, trace_flags=trace.TraceFlags(1))
    )
    context = trace.set_span_in_context(span)
    for propagator in (
        TraceContextTextMapPropagator(),
        B3SingleFormat(),
        B3MultiFormat(),
        JaegerPropagator(),
        AwsXRayPropagator(),
    ):
        carrier = {}
        propagator.inject(carrier, context)
        structlog.get_logger().info(type(propagator).__name__, **carrier)
    from skywalking.trace import ID
    from skywalking.trace.carrier import Carrier

    carrier = Carrier(str(ID(TRACE_ID)), str(ID()), "3", "shop", "shop-1", "/cart", "127.0.0.1:8080")
    structlog.get_logger().info("SkyWalking", **{carrier.key: carrier.val})


def uncaught():
    print("listening", file=sys.stderr)
    refund()


PRODUCERS = {
    "python-default": standard,
    "python-asctime": lambda: standard(format="%(asctime)s - %(name)s - %(levelname)s - %(message)s"),
    "python-asctime-level": lambda: standard(format="%(asctime)s %(levelname)s [%(threadName)s] %(name)s: %(message)s"),
    "python-asctime-bracket": lambda: standard(
        format="[%(asctime)s] %(levelname)s in %(module)s: %(message)s", datefmt="%Y-%m-%d %H:%M:%S"
    ),
    "python-json-logger": json_logger,
    "python-structlog": struct_log,
    "python-otel": otel,
    "python-ecs": ecs,
    "python-propagators": headers,
    "python-traceback": uncaught,
}

PRODUCERS[sys.argv[1]]()
