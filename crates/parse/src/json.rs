//! Lines that are one JSON object, by the field names that loggers use: zap, logrus, zerolog, slog, pino, bunyan, winston, logback, ECS, CLEF.

use std::borrow::Cow;

use serde_json::{Map, Value};
use weir_model::Severity;

use crate::context;
use crate::line::{Field, Line};
use crate::time::{self, Stamp};

/// Nesting down to which an object's members become attributes of their own; what is deeper stays JSON text.
const DEPTH: usize = 4;

/// `None` where the line is no JSON object.
pub fn parse(text: &str) -> Option<Line<'_>> {
    if !text.starts_with('{') {
        return None;
    }
    let members: Map<String, Value> = serde_json::from_str(text).ok()?;
    let mut line = Line { format: "json", body: Cow::Borrowed(text), ..Line::default() };
    flatten(&mut line, String::new(), members, 0);
    Some(line)
}

fn flatten(line: &mut Line<'_>, prefix: String, members: Map<String, Value>, depth: usize) {
    for (key, value) in members {
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            Value::Object(inner) if depth < DEPTH => flatten(line, key, inner, depth + 1),
            value => member(line, key, value),
        }
    }
}

fn member(line: &mut Line<'_>, key: String, value: Value) {
    if let Value::String(text) = &value
        && context::take_field(line, &key, text)
    {
        return;
    }
    let taken = match key.as_str() {
        "time" | "ts" | "timestamp" | "@timestamp" | "@t" | "datetime" | "asctime" => stamp(line, &value),
        "level" | "severity" | "lvl" | "log.level" | "levelname" | "@l" | "level_name" => level(line, &value),
        "msg" | "message" | "@m" | "@mt" | "event" | "short_message" => body(line, &value),
        _ => false,
    };
    if taken {
        return;
    }
    let name: Cow<'static, str> = match key.as_str() {
        "logger" | "logger_name" | "log.logger" | "SourceContext" | "name" => "logger".into(),
        "caller" | "source" => "code.file.path".into(),
        "thread" | "thread_name" | "process.thread.name" => "thread.name".into(),
        "stack" | "stacktrace" | "stack_trace" | "err.stack" | "error.stack_trace" | "@x" | "exc_info" => {
            "exception.stacktrace".into()
        }
        "error.message" | "err.message" | "error" => "exception.message".into(),
        "error.type" | "err.type" => "exception.type".into(),
        _ => key.into(),
    };
    let field = match value {
        Value::String(text) => Field::Text(text.into()),
        Value::Bool(b) => Field::Bool(b),
        Value::Number(n) => {
            n.as_i64().map_or_else(|| Field::Double(n.as_f64().unwrap_or(f64::NAN)), Field::Int)
        }
        Value::Null => return,
        other => Field::Text(other.to_string().into()),
    };
    line.attributes.push((name, field));
}

fn stamp(line: &mut Line<'_>, value: &Value) -> bool {
    let stamp = match value {
        Value::String(text) => time::parse_all(text),
        Value::Number(n) => n.as_f64().and_then(time::epoch).map(Stamp::Instant),
        _ => None,
    };
    line.stamp = line.stamp.or(stamp);
    stamp.is_some()
}

fn level(line: &mut Line<'_>, value: &Value) -> bool {
    match value {
        Value::String(text) => line.level(text),
        // pino and bunyan: 10 trace to 60 fatal.
        Value::Number(n) => match n.as_u64() {
            Some(n @ 10..=69) => {
                line.severity = Severity(((n / 10 - 1) * 4 + 1) as i32);
                line.severity_text = n.to_string().into();
                true
            }
            _ => false,
        },
        _ => false,
    }
}

fn body(line: &mut Line<'_>, value: &Value) -> bool {
    match value {
        Value::String(text) => {
            line.body = text.clone().into();
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        text: &str,
        severity: Severity,
        body: &str,
        stamp: Option<u64>,
        attributes: &[(&str, Field<'_>)],
    ) {
        let line = parse(text).unwrap();
        assert_eq!((line.severity, line.body.as_ref()), (severity, body), "{text}");
        assert_eq!(line.stamp.and_then(Stamp::instant), stamp, "{text}");
        let found: Vec<_> = line.attributes.iter().map(|(k, v)| (k.as_ref(), v.clone())).collect();
        assert_eq!(found, attributes, "{text}");
    }

    #[test]
    fn loggers() {
        const T: u64 = 1_714_557_600_123_000_000;
        let text = |s: &'static str| Field::Text(s.into());
        check(
            r#"{"level":"info","ts":1714557600.123,"caller":"a/b.go:7","msg":"hi","n":3}"#,
            Severity::INFO,
            "hi",
            Some(T),
            &[("code.file.path", text("a/b.go:7")), ("n", Field::Int(3))],
        );
        check(
            r#"{"level":50,"time":1714557600123,"pid":9,"msg":"no"}"#,
            Severity::ERROR,
            "no",
            Some(T),
            &[("pid", Field::Int(9))],
        );
        check(
            r#"{"time":"2024-05-01T10:00:00.123Z","level":"WARN","msg":"m","ok":true}"#,
            Severity::WARN,
            "m",
            Some(T),
            &[("ok", Field::Bool(true))],
        );
        check(
            r#"{"@timestamp":"2024-05-01T10:00:00.123Z","log.level":"ERROR","message":"m","error":{"type":"E","message":"x"}}"#,
            Severity::ERROR,
            "m",
            Some(T),
            &[("exception.message", text("x")), ("exception.type", text("E"))],
        );
        check(
            r#"{"@t":"2024-05-01T10:00:00.1230000Z","@mt":"Hello {N}","N":1.5}"#,
            Severity::UNSET,
            "Hello {N}",
            Some(T),
            &[("N", Field::Double(1.5))],
        );
        assert!(parse("{not json}").is_none());
    }

    #[test]
    fn ids() {
        let line =
            parse(r#"{"msg":"m","trace_id":"93bead877ae15b6d9cdf1c1569881314","spanId":"0b3fba9c4ba54a89"}"#)
                .unwrap();
        assert_eq!(line.trace_id.unwrap().to_string(), "93bead877ae15b6d9cdf1c1569881314");
        assert_eq!(line.span_id.unwrap().to_string(), "0b3fba9c4ba54a89");
        assert!(line.attributes.is_empty());
    }
}
