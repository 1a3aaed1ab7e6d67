//! The meaning of a search, case by case, in every state: what [`Matcher`](weir_model::filter::Matcher) says of one record an engine must find.

use weir_model::otlp::{BodyWriter, LogWriter, SpanKind, SpanWriter, StatusCode};
use weir_model::{Severity, Signal, SpanId};
use weir_transport::Batch;

use super::{Engine, STAGES, ask, count, query, sample, snapshot, store_with};
use crate::Snapshot;

pub(super) async fn run(engine: &dyn Engine) {
    for stage in STAGES {
        let logs = store_with(engine, stage, &[odd_log(), sample::logs(0, 5), sample::log_at(7)]).await;
        let spans = store_with(engine, stage, &[odd_span(), sample::spans(0, 3)]).await;
        let (logs, spans) = (snapshot(logs.as_ref()).await, snapshot(spans.as_ref()).await);
        for (filter, on_span, on_log) in cases() {
            let when = format!("`{filter}` {stage:?}");
            check(spans.as_ref(), Signal::Spans, &filter, on_span, &when).await;
            check(logs.as_ref(), Signal::Logs, &filter, on_log, &when).await;
        }
    }
}

/// Whether the odd record is among those that are found.
async fn check(found: &dyn Snapshot, signal: Signal, filter: &str, expect: bool, when: &str) {
    let odd = format!("({filter}) odd = 1");
    let odd = if filter.is_empty() { query("odd = 1") } else { query(&odd) };
    assert_eq!(count(found, signal, &odd).await, u64::from(expect), "{when} on {signal}");
    let not = query(&format!("NOT ({}) odd = 1", if filter.is_empty() { "odd = 1" } else { filter }));
    assert_eq!(count(found, signal, &not).await, u64::from(!expect), "NOT {when} on {signal}");
    if signal == Signal::Logs {
        // Alone, so that no other condition narrows the search.
        let page = ask!(found.logs(&query(filter), 100, None));
        let hit = page.items.iter().any(|log| log.view().log.attrs().get("odd").is_some());
        assert_eq!(hit, expect, "{when} alone on {signal}");
    }
}

fn odd_attrs(a: &mut weir_model::otlp::AttrWriter<'_>) {
    a.int("odd", 1);
    a.int("code", 502);
    a.str("text.code", "502");
    a.double("ratio", 0.5);
    a.double("whole", 3.0);
    a.bool("retried", true);
    a.str("empty", "");
    a.with("nothing", |_| {});
    a.double("nan", f64::NAN);
    a.double("minus", -0.0);
    a.int("big", 9_007_199_254_740_993);
    a.int("low", -9_007_199_254_740_993);
    a.int("level", 2);
    a.with("tags", |v| {
        v.list(|list| {
            list.item(|v| v.str("red"));
            list.item(|v| v.int(7));
        });
    });
    a.with("none", |v| v.list(|_| {}));
    a.str("lines", "one\ntwo");
    a.str("城市", "上海");
    a.str("long", &"a".repeat(1_024));
    a.str("longer", &format!("{}b", "a".repeat(2_000)));
    a.str("cut", &format!("{}é{}", "a".repeat(1_023), "z".repeat(50)));
}

fn odd_span() -> Batch {
    let mut body = BodyWriter::default();
    body.resource(|a| {
        a.str("service.name", "payment");
        a.int("level", 1);
    });
    body.scope("http-lib", "1.2");
    body.record(|out| {
        let mut span = SpanWriter::new(out, sample::trace(0xaba), SpanId::new([1; 8]).expect("not zero"));
        span.name("POST /pay");
        span.kind(SpanKind::SERVER);
        span.times(1_000_000_000, 1_060_000_000);
        span.status(StatusCode::ERROR, "card declined: 支付失败");
        odd_attrs(&mut span.attrs());
        span.event(1_010_000_000, "exception", |a| {
            a.str("exception.type", "java.io.IOException");
            a.str("exception.message", "Connection reset by peer");
        });
    });
    sample::batch(Signal::Spans, Vec::new(), body.finish())
}

fn odd_log() -> Batch {
    let mut body = BodyWriter::default();
    body.resource(|a| {
        a.str("service.name", "payment");
        a.int("level", 1);
    });
    body.scope("", "");
    body.record(|out| {
        let mut log = LogWriter::new(out);
        log.time(5);
        log.severity(Severity(14), "WARN");
        log.body("Order 42 failed, retrying order-service: ticket_id=9 订单失败 Straße");
        log.trace_id(sample::trace(0xaba));
        log.span_id(SpanId::new([1; 8]).expect("not zero"));
        odd_attrs(&mut log.attrs());
    });
    sample::batch(Signal::Logs, Vec::new(), body.finish())
}

/// A filter, and whether the odd span and the odd log satisfy it.
fn cases() -> Vec<(String, bool, bool)> {
    let long = "a".repeat(1_024);
    let longer = format!("{}b", "a".repeat(2_000));
    let other = format!("{}c", "a".repeat(2_000));
    let both = |filter: &str, hit: bool| (filter.to_owned(), hit, hit);
    let one = |filter: &str, span: bool, log: bool| (filter.to_owned(), span, log);
    vec![
        // Built-in keys.
        both("", true),
        both("service = payment", true),
        both("service != payment", false),
        both("service ~ pay.*", true),
        one("operation = \"POST /pay\"", true, false),
        one("operation ~ \"POST.*\"", true, false),
        one("kind = server", true, false),
        one("kind != client", true, false),
        one("status = error", true, false),
        one("status != ok", true, false),
        one("duration = 60ms", true, false),
        one("duration > 60ms", false, false),
        one("duration >= 0.06s", true, false),
        one("duration < 61ms", true, false),
        one("severity = warn", false, true),
        one("severity = 14", false, true),
        one("severity = 13", false, false),
        one("severity >= warn", false, true),
        one("severity < warn", false, false),
        one("severity != error", false, true),
        one("event = exception", true, false),
        both("trace.id = 00000000000000000000000000000abb", true),
        both("trace.id = 00000000000000000000000000000abc", false),
        both("span.id = 0101010101010101", true),
        // Equality by kind.
        both("code = 502", true),
        both("code = 502.0", true),
        both("code = \"502\"", false),
        both("text.code = 502", true),
        both("text.code = \"502\"", true),
        both("text.code = 502.0", false),
        both("whole = 3", true),
        both("ratio = 0.5", true),
        both("retried = true", true),
        both("retried = false", false),
        both("retried = \"true\"", false),
        both("minus = 0", true),
        both("big = 9007199254740993", true),
        both("big = 9007199254740992", false),
        both("big > 9007199254740992", true),
        both("big < 9007199254740994", true),
        both("big >= 9007199254740994", false),
        both("low < -9007199254740992", true),
        both("low = -9007199254740993", true),
        both("nan = NaN", false),
        both("nan != 1", true),
        both("nan > 0", false),
        both("nan *", true),
        both("empty = \"\"", true),
        both("城市 = 上海", true),
        // Order is of numbers only.
        both("code > 501", true),
        both("code >= 502", true),
        both("code < 502", false),
        both("code <= 502", true),
        both("text.code > 1", false),
        both("retried >= 0", false),
        // Missing keys.
        both("missing = 1", false),
        both("missing != 1", false),
        both("missing *", false),
        both("missing !~ x", false),
        both("nothing *", true),
        both("nothing != 1", true),
        both("empty *", true),
        // Levels and lists.
        both("level = 1", true),
        both("level = 2", true),
        both("level != 1", false),
        both("level != 3", true),
        both("resource.level = 1", true),
        both("resource.level = 2", false),
        both("span.level = 2", true),
        both("log.level = 1", false),
        both("scope.level *", false),
        both("tags = red", true),
        both("tags = 7", true),
        both("tags > 6", true),
        both("tags != 7", false),
        both("tags ~ r.d", true),
        both("tags *", true),
        both("none *", true),
        both("none = 1", false),
        both("none != 1", true),
        // Regular expressions see the whole value.
        both("text.code ~ 5..", true),
        both("text.code ~ 5", false),
        both("text.code ~ \"^50.$\"", true),
        both("text.code !~ 4..", true),
        both("text.code !~ 5..", false),
        both("code ~ 502", false),
        both("lines ~ one.two", true),
        both("lines ~ \"(?i)ONE.*\"", true),
        both("城市 ~ 上.", true),
        // Long values.
        both(&format!("long = {long}"), true),
        both(&format!("long = {long}a"), false),
        both(&format!("longer = {longer}"), true),
        both(&format!("longer = {other}"), false),
        both(&format!("longer != {other}"), true),
        both(&format!("longer != {longer}"), false),
        both("longer ~ \"a+b\"", true),
        both("longer ~ \"a+c\"", false),
        both("longer !~ \"a+c\"", true),
        both("longer *", true),
        both("cut ~ \"a+éz+\"", true),
        both(&format!("cut = \"{}é{}\"", "a".repeat(1_023), "z".repeat(50)), true),
        both(&format!("cut = \"{}é{}\"", "a".repeat(1_023), "z".repeat(49)), false),
        // Full text.
        one("pay", true, false),
        one("post", true, false),
        one("declined", true, false),
        one("ioexception", true, false),
        one("\"reset by peer\"", true, false),
        one("\"by reset\"", false, false),
        one("exception", true, false),
        one("order", false, true),
        one("ORDER", false, true),
        one("ord*", false, true),
        one("ord", false, false),
        one("order-service", false, true),
        one("\"retrying order\"", false, true),
        one("ticket_id", false, true),
        one("ticket", false, false),
        one("订单", false, true),
        one("单订", false, false),
        one("失败", true, true),
        one("支付", true, false),
        one("straße", false, true),
        one("red", false, false),
        one("order failed", false, true),
        one("order declined", false, false),
        // Together.
        both("code = 502 AND ratio = 0.5", true),
        both("code = 502 AND ratio = 0.6", false),
        both("code = 501 OR ratio = 0.5", true),
        both("NOT code = 501", true),
        both("NOT missing = 1", true),
        both("NOT (code = 502 ratio = 0.5)", false),
        one("(order OR pay) AND NOT nothing = 1", true, true),
    ]
}
