//! What a search means, case by case.

use weir_model::filter::{Filter, Matcher, Record};
use weir_model::otlp::{BodyWriter, LogWriter, SpanKind, SpanWriter, StatusCode, log_refs, span_refs};
use weir_model::{Severity, SpanId, TraceId};

/// A failed payment, as a span.
fn span() -> Vec<u8> {
    let mut body = BodyWriter::default();
    body.resource(|a| {
        a.str("service.name", "payment");
        a.str("k8s.pod.name", "payment-7f");
        a.int("level", 1);
    });
    body.scope("http-lib", "1.2");
    body.record(|out| {
        let mut span = SpanWriter::new(out, TraceId::from_low(0xabc).unwrap(), SpanId::new([1; 8]).unwrap());
        span.name("POST /pay");
        span.kind(SpanKind::SERVER);
        span.times(1_000_000_000, 1_060_000_000);
        span.status(StatusCode::ERROR, "card declined: 支付失败");
        let mut a = span.attrs();
        a.int("http.response.status_code", 502);
        a.str("http.route", "/pay");
        a.double("ratio", 0.5);
        a.bool("retried", true);
        a.str("code", "502");
        a.str("empty", "");
        a.with("nothing", |_| {});
        a.double("nan", f64::NAN);
        a.int("big", 9_007_199_254_740_993);
        a.int("level", 2);
        a.with("tags", |v| {
            v.list(|l| {
                l.item(|v| v.str("red"));
                l.item(|v| v.int(7));
            })
        });
        a.str("lines", "one\ntwo");
        span.event(1_010_000_000, "exception", |a| {
            a.str("exception.type", "java.io.IOException");
            a.str("exception.message", "Connection reset by peer");
        });
    });
    body.finish()
}

fn log() -> Vec<u8> {
    let mut body = BodyWriter::default();
    body.resource(|a| a.str("service.name", "order"));
    body.scope("", "");
    body.record(|out| {
        let mut log = LogWriter::new(out);
        log.time(5);
        log.severity(Severity(14), "WARN");
        log.body("Order 42 failed, retrying order-service: ticket_id=9 订单失败");
        log.trace_id(TraceId::from_low(0xabc).unwrap());
        log.attrs().str("thread.name", "exec-1");
    });
    body.finish()
}

fn check(filter: &str, on_span: bool, on_log: bool) {
    let matcher = Matcher::new(&Filter::parse(filter).unwrap_or_else(|e| panic!("{filter}: {e}"))).unwrap();
    let (span, log) = (span(), log());
    let found = span_refs(&span).map(|s| matcher.matches(Record::Span(&s))).next().unwrap();
    assert_eq!(found, on_span, "`{filter}` on the span");
    let found = log_refs(&log).map(|l| matcher.matches(Record::Log(&l))).next().unwrap();
    assert_eq!(found, on_log, "`{filter}` on the log");
}

#[test]
fn built_in_keys() {
    check("", true, true);
    check("service = payment", true, false);
    check("service = order", false, true);
    check("service != order", true, false);
    check("operation = \"POST /pay\"", true, false);
    check("operation ~ \"POST.*\"", true, false);
    check("kind = server", true, false);
    check("status = error", true, false);
    check("status != ok", true, false);
    check("duration = 60ms", true, false);
    check("duration > 60ms", false, false);
    check("duration >= 0.06s", true, false);
    check("severity = warn", false, true);
    check("severity = 14", false, true);
    check("severity = 13", false, false);
    check("severity >= warn", false, true);
    check("severity != error", false, true);
    check("trace.id = 00000000000000000000000000000abc", true, true);
    check("span.id = 0101010101010101", true, false);
    check("event = exception", true, false);
}

#[test]
fn equality_by_kind() {
    check("http.response.status_code = 502", true, false);
    check("http.response.status_code = 502.0", true, false);
    check("http.response.status_code = \"502\"", false, false);
    check("code = 502", true, false);
    check("code = \"502\"", true, false);
    check("code = 502.0", false, false);
    check("ratio = 0.5", true, false);
    check("retried = true", true, false);
    check("retried = false", false, false);
    check("retried = \"true\"", false, false);
    check("big = 9007199254740993", true, false);
    check("big = 9007199254740992", false, false);
    check("nan = NaN", false, false);
    check("nan > 0", false, false);
    check("empty = \"\"", true, false);
}

#[test]
fn missing_keys() {
    check("missing = 1", false, false);
    check("missing != 1", false, false);
    check("NOT missing = 1", true, true);
    check("missing *", false, false);
    check("nothing *", true, false);
    check("empty *", true, false);
    check("missing !~ x", false, false);
    check("code !~ 4..", true, false);
}

#[test]
fn levels_and_lists() {
    check("level = 1", true, false);
    check("level = 2", true, false);
    check("resource.level = 1", true, false);
    check("resource.level = 2", false, false);
    check("span.level = 2", true, false);
    check("span.level = 1", false, false);
    check("level != 1", false, false);
    check("tags = red", true, false);
    check("tags = 7", true, false);
    check("tags != 7", false, false);
    check("log.thread.name = exec-1", false, true);
}

#[test]
fn order_and_patterns() {
    check("http.response.status_code >= 500", true, false);
    check("http.response.status_code < 500", false, false);
    check("code >= 500", false, false);
    check("big > 9007199254740992", true, false);
    check("http.route ~ /p", false, false);
    check("http.route ~ /p.*", true, false);
    check("http.route ~ ^/p.*$", true, false);
    check("http.route ~ /.*?y", true, false);
    check("lines ~ one.two", true, false);
}

#[test]
fn full_text() {
    check("order", false, true);
    check("ORDER", false, true);
    check("orde", false, false);
    check("orde*", false, true);
    check("ticket", false, false);
    check("ticket_id", false, true);
    check("\"order 42\"", false, true);
    check("\"42 order\"", false, false);
    check("order-service", false, true);
    check("\"retrying order ser\"*", false, true);
    check("失败", true, true);
    check("支付", true, false);
    check("订失", false, false);
    check("declined", true, false);
    check("IOException", true, false);
    check("\"connection reset\"", true, false);
    check("payment", false, false);
    check("failed warn", false, false);
    check("failed severity = warn", false, true);
}

#[test]
fn combinations() {
    check("service = payment AND code = 502", true, false);
    check("service = payment OR service = order", true, true);
    check("(service = payment OR service = order) code = 502", true, false);
    check("NOT (service = payment OR declined)", false, true);
    check("service = payment NOT declined", false, false);
}
