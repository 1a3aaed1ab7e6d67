//! Records with what the Train Ticket data lacks: errors, several types of values, Chinese, Japanese and Korean text, long values, events,
//! links, traces without a root, metric points, and times of several days.

use serde_json::{Value, json};

/// Nanoseconds.
const DAY: u64 = 86_400_000_000_000;
const HOUR: u64 = DAY / 24;
const MS: u64 = 1_000_000;

/// A trace with two services, errors, an event, a link and a span whose parent is missing.
pub(crate) const BOUGHT: &str = "5b8efff798038103d269b633813fc60c";
/// A trace of one span.
pub(crate) const ALONE: &str = "00000000000000000000000000000abc";
/// A trace whose root has no name of its own, over midnight.
pub(crate) const WILD: &str = "ffffffffffffffffffffffffffffff01";
/// A trace without a root.
pub(crate) const HEADLESS: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const HOST: &str = "node-7";

/// Export requests of OTLP/JSON, and how many records they hold.
pub(crate) struct Made {
    /// By the last word of their address.
    pub requests: Vec<(&'static str, Value)>,
    pub lines: u64,
    pub spans: u64,
    pub points: u64,
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn int(key: &str, value: i64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

fn double(key: &str, value: f64) -> Value {
    json!({"key": key, "value": {"doubleValue": value}})
}

fn service(name: &str) -> Value {
    json!({"attributes": [text("service.name", name), text("host.name", HOST), text("os.type", "linux")]})
}

/// A value so long that indexes hold its beginning only.
pub(crate) fn long(end: &str) -> String {
    format!("{}{end}", "x".repeat(1_500))
}

struct Span<'a> {
    trace: &'a str,
    id: u64,
    parent: u64,
    name: &'a str,
    kind: u8,
    /// 1 ok, 2 error.
    status: u8,
    start: u64,
    duration: u64,
    attributes: Vec<Value>,
}

impl Span<'_> {
    fn json(&self) -> Value {
        let id = |id: u64| if id == 0 { String::new() } else { format!("{id:016x}") };
        let message = if self.status == 2 { "付款失败: told" } else { "" };
        let failed = json!([{"timeUnixNano": (self.start + 1).to_string(), "name": "exception", "attributes": [
            text("exception.type", "java.lang.IllegalStateException"), text("exception.message", "余额不足 on account 17")]}]);
        json!({"traceId": self.trace, "spanId": id(self.id), "parentSpanId": id(self.parent), "name": self.name,
            "kind": self.kind, "startTimeUnixNano": self.start.to_string(),
            "endTimeUnixNano": (self.start + self.duration).to_string(),
            "status": {"code": self.status, "message": message}, "attributes": self.attributes,
            "events": if self.status == 2 { failed } else { json!([]) },
            "links": if self.id == 2 { json!([{"traceId": ALONE, "spanId": id(9), "attributes": [text("of", "link")]}]) } else { json!([]) }})
    }
}

/// Values of every type under one key, and some under keys of their own.
fn kinds() -> Vec<Value> {
    vec![
        text("mixed", "7"),
        int("http.response.status_code", 500),
        int("big", 9_007_199_254_740_993),
        double("ratio", 0.5),
        json!({"key": "sampled", "value": {"boolValue": true}}),
        json!({"key": "raw", "value": {"bytesValue": "AAEC"}}),
        json!({"key": "tags", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "b"}]}}}),
        json!({"key": "map", "value": {"kvlistValue": {"values": [text("inner", "c")]}}}),
        json!({"key": "none", "value": {}}),
        text("empty", ""),
        text("long", &long("one")),
        text("city", "北京"),
    ]
}

/// `day(n)` is the midnight with which the day begins that is so many days ago.
pub(crate) fn made(day: impl Fn(u64) -> u64) -> Made {
    let spans = spans(&day);
    let lines = lines(&day);
    let (span_count, line_count) = (spans.iter().map(|(_, spans)| spans.len()).sum::<usize>(), lines.len());
    let resource_spans: Vec<_> = spans
        .into_iter()
        .map(|(name, spans)| {
            let scope = json!({"name": "made", "version": "1.2", "attributes": [text("of", "scope")]});
            json!({"resource": service(name), "scopeSpans": [{"scope": scope, "spans": spans}]})
        })
        .collect();
    let (known, unknown) = lines.split_at(line_count - 1);
    let resource_logs = json!([
        {"resource": service("支付"), "scopeLogs": [{"scope": {"name": "made"}, "logRecords": known}]},
        // Whose it is nobody says.
        {"resource": {}, "scopeLogs": [{"logRecords": unknown}]},
    ]);
    let (metrics, points) = metrics(&day);
    Made {
        requests: vec![
            ("traces", json!({"resourceSpans": resource_spans})),
            ("logs", json!({"resourceLogs": resource_logs})),
            ("metrics", metrics),
        ],
        lines: line_count as u64,
        spans: span_count as u64,
        points,
    }
}

fn spans(day: &impl Fn(u64) -> u64) -> Vec<(&'static str, Vec<Value>)> {
    let span = |trace, id, parent, name, start, duration| Span {
        trace,
        id,
        parent,
        name,
        kind: 2,
        status: 0,
        start,
        duration,
        attributes: Vec::new(),
    };
    let bought = day(3) + HOUR;
    let shop = [
        Span { status: 2, attributes: kinds(), ..span(BOUGHT, 1, 0, "GET /buy", bought, 50 * MS) },
        // After its parent's end.
        Span { kind: 5, ..span(BOUGHT, 4, 1, "later", bought + 60 * MS, 7) },
        Span { kind: 1, ..span(BOUGHT, 5, 0xff, "its parent is missing", bought + MS, MS) },
        Span {
            status: 1,
            attributes: vec![
                int("mixed", 7),
                int("big", 9_007_199_254_740_992),
                text("http.response.status_code", "500"),
                double("ratio", -0.25),
                text("span.kept", "a"),
            ],
            ..span(ALONE, 9, 0, "POST /", day(2) + 5 * HOUR, 3)
        },
        Span {
            attributes: vec![text("long", &long("two"))],
            ..span(HEADLESS, 20, 0xfe, "first", day(1) + HOUR, 2_000 * MS)
        },
        span(HEADLESS, 21, 20, "inside", day(1) + HOUR + MS, 10),
    ];
    let pay = [
        Span {
            kind: 3,
            status: 2,
            attributes: vec![
                double("mixed", 7.0),
                int("http.response.status_code", 404),
                text("rpc.system", "grpc"),
            ],
            ..span(BOUGHT, 2, 1, "支付订单", bought + 2 * MS, 20 * MS)
        },
        Span {
            kind: 3,
            attributes: vec![text("db.system", "mysql"), text("mixed", "seven")],
            ..span(BOUGHT, 3, 2, "SELECT 订单", bought + 3 * MS, 5 * MS)
        },
        span(WILD, 31, 30, "/api/cart/{id}", day(0) - 5, 40 * MS),
    ];
    let gateway = [
        span(WILD, 30, 0, "/*", day(0) - 10, 80 * MS),
        span(WILD, 32, 30, "filter", day(0) + 20 * MS, 9 * MS),
    ];
    [("shop", &shop[..]), ("支付", &pay), ("gateway", &gateway)]
        .map(|(name, spans)| (name, spans.iter().map(Span::json).collect()))
        .into()
}

/// The last of them has no resource.
fn lines(day: &impl Fn(u64) -> u64) -> Vec<Value> {
    let line = |severity: u8, body: &str, time: u64, attributes: Vec<Value>| {
        json!({"timeUnixNano": time.to_string(), "observedTimeUnixNano": (time + 1).to_string(), "severityNumber": severity,
            "severityText": format!("S{severity}"), "body": {"stringValue": body}, "attributes": attributes})
    };
    let of = |mut line: Value, trace: &str, span: u64| {
        line["traceId"] = trace.into();
        line["spanId"] = if span == 0 { String::new() } else { format!("{span:016x}") }.into();
        line
    };
    let bought = day(3) + HOUR;
    let mut structured = line(9, "", day(2), vec![]);
    structured["body"] = json!({"kvlistValue": {"values": [text("structured", "body"), int("n", 3)]}});
    let mut timeless = line(5, "without a time of its own", 0, vec![]);
    timeless["timeUnixNano"] = "0".into();
    timeless["observedTimeUnixNano"] = (day(2) + 9).to_string().into();
    vec![
        of(line(17, "支付失败: 余额不足", bought + 3 * MS, kinds()), BOUGHT, 2),
        of(
            line(13, "支付重试 attempt_2", bought + 4 * MS, vec![int("n", -5), text("mixed", "7")]),
            BOUGHT,
            2,
        ),
        of(line(9, "订单 A-17 created", bought + 5 * MS, vec![int("n", 7), int("mixed", 7)]), BOUGHT, 1),
        // Of a span that never came, and of none.
        of(line(21, "fatal: Straße GESPERRT", bought + 6 * MS, vec![double("n", 7.0)]), BOUGHT, 0xee),
        of(line(9, "on the trace alone", bought + 7 * MS, vec![double("n", 7.5)]), BOUGHT, 0),
        // A trace of which only lines came.
        of(
            line(17, "an orphan", day(2) + HOUR, vec![int("n", 20), text("log.kept", "a")]),
            "000000000000000000000000000000aa",
            0xa1,
        ),
        of(
            line(
                9,
                "another orphan",
                day(2) + HOUR + MS,
                vec![int("n", 100), text("kept", "a"), text("log.kept", "b")],
            ),
            "000000000000000000000000000000aa",
            0xa1,
        ),
        line(1, "エラーが発生しました 오류", day(2) + 2 * HOUR, vec![text("n", "7")]),
        line(0, &long("needle"), day(2) + 3 * HOUR, vec![text("long", &long("one"))]),
        line(
            0,
            "",
            day(1),
            vec![
                json!({"key": "n", "value": {"arrayValue": {"values": [{"intValue": "7"}, {"intValue": "8"}]}}}),
            ],
        ),
        line(9, "same time, first", day(1) + HOUR, vec![int("big", 9_007_199_254_740_993)]),
        line(9, "same time, second", day(1) + HOUR, vec![int("big", 9_007_199_254_740_992)]),
        structured,
        timeless,
        line(9, "whose is it", day(1) + 2 * HOUR, vec![json!({"key": "n", "value": {"boolValue": true}})]),
    ]
}

fn metrics(day: &impl Fn(u64) -> u64) -> (Value, u64) {
    let times: Vec<u64> = (0..20).map(|n| day(0) - 10 * 60_000 * MS + n * 60_000 * MS).collect();
    let points = |key: &str, value: &str, of: &dyn Fn(u64) -> f64| -> Vec<Value> {
        let point = |(n, time): (usize, &u64)| json!({"attributes": [text(key, value)], "timeUnixNano": time.to_string(), "asDouble": of(n as u64)});
        times.iter().enumerate().map(point).collect()
    };
    let cpu =
        [points("cpu.mode", "user", &|n| n as f64 / 40.0), points("cpu.mode", "system", &|_| 0.125)].concat();
    let process = points("process.pid", "17", &|n| n as f64);
    let memory = points("system.memory.state", "used", &|n| 1e9 + n as f64);
    let count = cpu.len() + process.len() + memory.len();
    let gauge = |name: &str, unit: &str, points: Vec<Value>| json!({"name": name, "unit": unit, "gauge": {"dataPoints": points}});
    let metrics = [
        gauge("system.cpu.utilization", "1", cpu),
        gauge("process.cpu.utilization", "1", process),
        gauge("system.memory.usage", "By", memory),
    ];
    (
        json!({"resourceMetrics": [{"resource": service("shop"), "scopeMetrics": [{"scope": {"name": "made"}, "metrics": metrics}]}]}),
        count as u64,
    )
}
