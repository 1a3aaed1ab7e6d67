//! How services write their lines. Each format tells beside the bytes what must be found of them: for a set of fields its message, for
//! anything else the lines as they were written.

use std::fmt::Write;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::text;
use crate::raw::{Attrs, Line, Value};

/// What Docker and Kubernetes put into one entry at the most, bytes.
const ENTRY_BYTES: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// slog's or zap's JSON.
    Json,
    /// Spring Boot's pattern, with Java's stack traces.
    Spring,
    /// slog's text, with Go's panics.
    Logfmt,
    /// Python's logging, with tracebacks.
    Python,
    /// pino's JSON in Docker's, with Node's uncaught errors and messages over several entries.
    Docker,
    /// Logback's pattern in Kubernetes' lines, with messages over several.
    Cri,
}

/// The span that a line belongs to.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    pub(super) trace: String,
    pub(super) span: String,
}

/// What is to be logged.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) key: String,
    /// Nanoseconds since the Unix epoch; what is written is cut to milliseconds where the format does.
    time: u64,
    trace: Option<Trace>,
    level: &'static str,
    message: String,
    /// The message is longer than one entry of a container's log.
    long: bool,
    /// A stack trace follows.
    fails: bool,
}

impl Event {
    pub(super) fn random(rng: &mut StdRng, key: String, time: u64, trace: Option<Trace>) -> Self {
        let what = [
            "stock checked",
            "order accepted",
            "payment refused",
            "库存不足",
            "用户登录成功",
            "retry after timeout",
            "ﬁne naïve café",
        ];
        let what = what.choose(rng).expect("not empty");
        let fails = rng.random_ratio(1, 12);
        let level = if fails {
            "ERROR"
        } else {
            ["INFO", "INFO", "INFO", "WARN", "ERROR"].choose(rng).expect("not empty")
        };
        let long = rng.random_ratio(1, 40);
        let tail = if long {
            format!(" {}", "lorem ipsum ".repeat(rng.random_range(1_400..4_000)))
        } else {
            String::new()
        };
        let message = format!("{key} {what} item {}{}", rng.random_range(0..50), tail.trim_end());
        Self { key, time, trace, level, message, long, fails }
    }
}

/// `HH:MM:SS.mmm`.
pub(super) fn clock(time: u64) -> String {
    let millis = time / 1_000_000;
    let (seconds, millis) = (millis / 1_000 % 86_400, millis % 1_000);
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn rfc3339(time: u64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(time)).expect("within a few years");
    time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

fn millis(time: u64) -> u64 {
    time / 1_000_000 * 1_000_000
}

type Written = (Vec<u8>, Line, Vec<&'static str>);

impl Format {
    /// The bytes of an event, what must be found of it, and what is special about it.
    pub(super) fn write(self, rng: &mut StdRng, event: Event) -> Written {
        let line = Line {
            body: event.message.clone(),
            time: Some(event.time),
            severity: event.level.to_owned(),
            trace: event.trace.as_ref().map(|t| t.trace.clone()).unwrap_or_default(),
            span: event.trace.as_ref().map(|t| t.span.clone()).unwrap_or_default(),
            ..Line::default()
        };
        match self {
            Self::Json => json(rng, &event, line),
            Self::Spring => spring(rng, &event, line),
            Self::Logfmt => logfmt(&event, line),
            Self::Python => python(&event, line),
            Self::Docker => docker(rng, &event, line),
            Self::Cri => cri(rng, &event, line),
        }
    }
}

fn json(rng: &mut StdRng, event: &Event, line: Line) -> Written {
    let amount = f64::from(rng.random_range(0..10_000)) / 4.0;
    let attrs = Attrs::from([
        ("amount".to_owned(), Value::Double(amount)),
        ("count".to_owned(), Value::Int(rng.random_range(0..20))),
        ("vip".to_owned(), Value::Bool(rng.random())),
        ("customer".to_owned(), text(rng, &["张三", "李四", "zoë"])),
        ("tags".to_owned(), Value::List(vec![text(rng, &["red", "blue"]), text(rng, &["new", "old"])])),
    ]);
    let mut object = serde_json::json!({
        "time": rfc3339(event.time), "level": event.level.to_lowercase(), "msg": event.message, "amount": amount,
    });
    for (key, value) in &attrs {
        object[key] = plain(value);
    }
    if let Some(trace) = &event.trace {
        object["trace_id"] = trace.trace.as_str().into();
        object["span_id"] = trace.span.as_str().into();
    }
    let severity = line.severity.to_lowercase();
    ((object.to_string() + "\n").into(), Line { attrs, severity, ..line }, vec![])
}

fn plain(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Int(n) => (*n).into(),
        Value::Double(x) => (*x).into(),
        Value::Bool(b) => (*b).into(),
        Value::List(values) => values.iter().map(plain).collect(),
        _ => serde_json::Value::Null,
    }
}

/// A record of several lines, or of one.
fn lines(head: String, trace: Option<(String, &'static str)>, line: Line) -> Written {
    let (body, troubles) = match trace {
        Some((trace, name)) => (format!("{head}\n{trace}"), vec![name]),
        None => (head, vec![]),
    };
    (format!("{body}\n").into(), Line { body, ..line }, troubles)
}

fn java(event: &Event) -> Option<(String, &'static str)> {
    event.fails.then(|| {
        let mut text = "java.lang.IllegalStateException: no stock".to_owned();
        for n in 0..event.key.len() * 3 {
            write!(text, "\n\tat org.shop.stock.Shelf.take(Shelf.java:{n})").expect("memory");
        }
        text.push_str("\nCaused by: java.io.IOException: Connection reset by peer\n\t... 12 more");
        (text, "a stack trace of Java")
    })
}

fn spring(rng: &mut StdRng, event: &Event, line: Line) -> Written {
    let ids = event.trace.as_ref().map_or(",".to_owned(), |t| format!("{},{}", t.trace, t.span));
    let time = &rfc3339(event.time)[..23];
    let head = format!(
        "{time}Z {:>5} [order,{ids}] 7 --- [nio-8080-exec-1] org.shop.order.OrderService : {}",
        event.level, event.message
    );
    let trace = java(event).map(|(trace, name)| match rng.random_ratio(1, 3) {
        true => (crashed(rng, &trace), "a stack trace cut by a crash"),
        false => (trace, name),
    });
    lines(head, trace, Line { time: Some(millis(event.time)), ..line })
}

/// A trace whose process died within one of its frames. What is started next goes on writing there.
fn crashed(rng: &mut StdRng, trace: &str) -> String {
    let frames: Vec<usize> = trace.match_indices("\n\tat ").map(|(at, _)| at).collect();
    let frame = *frames.choose(rng).expect("it has frames");
    let whole = trace[frame + 1..].find('\n').expect("a line follows");
    let cut = frame + 2 + rng.random_range(0..whole);
    format!("{}Starting OrderService using Java 17", &trace[..cut])
}

fn logfmt(event: &Event, line: Line) -> Written {
    if event.fails {
        let text = format!(
            "panic: {}\n\ngoroutine 17 [running]:\nmain.take(0x1)\n\t/src/main.go:12 +0x1d\nmain.main()\n\t/src/main.go:5 +0x2a",
            event.message
        );
        let line =
            Line { time: None, trace: String::new(), span: String::new(), severity: String::new(), ..line };
        return (format!("{text}\n").into(), Line { body: text, ..line }, vec!["a panic of Go"]);
    }
    let ids =
        event.trace.as_ref().map_or(String::new(), |t| format!(" trace_id={} span_id={}", t.trace, t.span));
    let text = format!("time={} level={} msg={:?}{ids}\n", rfc3339(event.time), event.level, event.message);
    (text.into(), line, vec![])
}

fn python(event: &Event, line: Line) -> Written {
    let time = rfc3339(event.time);
    let head = format!(
        "{} {},{} - shop.stock - {} - {}",
        &time[..10],
        &time[11..19],
        &time[20..23],
        event.level,
        event.message
    );
    let trace = event.fails.then(|| {
        let text = "Traceback (most recent call last):\n  File \"/app/stock.py\", line 7, in take\n    shelf[item]\nKeyError: 'tea'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"/app/stock.py\", line 9, in take\n    raise StockError('none left')\nshop.StockError: none left";
        (text.to_owned(), "a traceback of Python")
    });
    let line = Line { time: Some(millis(event.time)), trace: String::new(), span: String::new(), ..line };
    lines(head, trace, line)
}

/// An entry of Docker's json-file.
fn entry(out: &mut Vec<u8>, log: &str, stream: &str, time: u64) {
    let entry = serde_json::json!({ "log": log, "stream": stream, "time": rfc3339(time) });
    out.extend_from_slice(entry.to_string().as_bytes());
    out.push(b'\n');
}

fn docker(rng: &mut StdRng, event: &Event, line: Line) -> Written {
    let mut out = Vec::new();
    if event.fails {
        let text = format!(
            "TypeError: {}\n    at take (/app/shelf.js:3:14)\n    at Server.<anonymous> (/app/server.js:41:5)",
            event.message
        );
        text.lines().for_each(|line| entry(&mut out, &format!("{line}\n"), "stderr", event.time));
        let line = Line { trace: String::new(), span: String::new(), severity: String::new(), ..line };
        return (out, Line { body: text, ..line }, vec!["an uncaught error of Node"]);
    }
    let mut object = serde_json::json!({
        "level": match event.level { "ERROR" => 50, "WARN" => 40, _ => 30 }, "time": event.time / 1_000_000, "pid": 1, "msg": event.message,
    });
    if let Some(trace) = &event.trace {
        object["trace_id"] = trace.trace.as_str().into();
        object["span_id"] = trace.span.as_str().into();
    }
    let text = object.to_string() + "\n";
    let line = Line { time: Some(millis(event.time)), severity: String::new(), ..line };
    let parts = pieces(&text);
    let mut troubles =
        if parts.len() > 1 { vec!["a message over several entries of Docker"] } else { vec![] };
    if parts.len() > 1 && rng.random_ratio(1, 4) {
        // The process died: its end never came, and what follows is another record.
        entry(&mut out, parts[0], "stdout", event.time);
        let body = parts[0].to_owned();
        troubles = vec!["a part of Docker without its end"];
        let line = Line {
            body,
            time: Some(event.time),
            truncated: true,
            trace: String::new(),
            span: String::new(),
            ..line
        };
        return (out, line, troubles);
    }
    parts.iter().for_each(|part| entry(&mut out, part, "stdout", event.time));
    (out, line, troubles)
}

/// A text in pieces of an entry's size, at the borders of characters.
fn pieces(mut text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    while text.len() > ENTRY_BYTES {
        let (piece, rest) = text.split_at(text.floor_char_boundary(ENTRY_BYTES));
        pieces.push(piece);
        text = rest;
    }
    pieces.push(text);
    pieces
}

fn cri(rng: &mut StdRng, event: &Event, line: Line) -> Written {
    let ids =
        event.trace.as_ref().map_or(String::new(), |t| format!("TraceID: {} SpanID: {} ", t.trace, t.span));
    // The time of day is that of another zone: the runtime's counts.
    let clock = clock(event.time + 8 * 3_600_000_000_000);
    let head = format!("{clock} {:<5} o.s.Shipping#12 {ids}{}", event.level, event.message);
    let stream = ["stdout", "stderr"].choose(rng).expect("not empty");
    let (text, line, mut troubles) = lines(head, java(event), line);
    let mut out = Vec::new();
    for one in std::str::from_utf8(&text).expect("text").lines() {
        let parts = pieces(one);
        for (n, part) in parts.iter().enumerate() {
            let tag = if n + 1 < parts.len() { "P" } else { "F" };
            out.extend_from_slice(format!("{} {stream} {tag} {part}\n", rfc3339(event.time)).as_bytes());
        }
        if parts.len() > 1 {
            troubles.push("a message over several lines of Kubernetes");
        }
    }
    if event.long && event.fails {
        troubles.push("a long message with a stack trace");
    }
    (out, line, troubles)
}
