//! What the fields of structured loggers mean, by their keys; JSON and logfmt share it.

use crate::attr;
use crate::context::{self, Field};
use crate::parsed::{Parsed, Span, Text, Value};
use crate::scan::{duration, seconds, str_of};
use crate::severity;
use crate::time::{self, When};
use weir_model::Severity;

/// The part that a field plays in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Time,
    Level,
    Message,
    /// CLEF's message template, rendered when there is no message.
    Template,
    /// What CLEF's template renders to where it names a format, in order.
    Renderings,
    /// A logger's name, or with numeric levels (pino, bunyan) the service's.
    Name,
    Caller,
    /// A whole stack trace as text.
    Stack,
    /// An object that describes an error.
    Error,
    /// An object whose fields count as fields of the record (MDC).
    Nest,
    /// An object whose fields have its name and a dot before theirs (ECS).
    Dotted,
    /// [`Role::Dotted`], or the number of the process.
    Process,
    Context(Field),
    DurationMillis,
    /// As nginx writes it.
    DurationSeconds,
    Duration,
    /// When the operation began that the record tells of.
    StartTime,
    /// An object that describes an HTTP request (Caddy).
    Request,
    /// What only an access line of Traefik has.
    Traefik,
    /// Kept under the name that OpenTelemetry's conventions give it.
    Renamed(&'static str),
    Other,
}

pub(super) fn role(key: &[u8]) -> Role {
    match key {
        b"time" | b"ts" | b"@timestamp" | b"timestamp" | b"@t" | b"asctime" | b"datetime" | b"t" => {
            Role::Time
        }
        b"level" | b"lvl" | b"severity" | b"log.level" | b"@l" | b"levelname" | b"loglevel" => Role::Level,
        b"msg" | b"message" | b"@m" | b"event" | b"textPayload" => Role::Message,
        b"@mt" => Role::Template,
        b"@r" => Role::Renderings,
        b"name" => Role::Name,
        b"logger" | b"logger_name" | b"loggerName" | b"log.logger" | b"SourceContext" => {
            Role::Renamed(attr::LOGGER)
        }
        b"thread" | b"thread_name" | b"threadName" | b"process.thread.name" => Role::Renamed(attr::THREAD),
        b"process.thread.id" => Role::Renamed(attr::THREAD_ID),
        b"pid" | b"process.pid" => Role::Renamed(attr::PID),
        b"process.name" => Role::Renamed(attr::PROCESS),
        b"hostname" | b"host.name" => Role::Renamed(attr::HOST),
        b"service.name" | b"service" | b"resource.service.name" => Role::Renamed(attr::SERVICE),
        b"func" | b"funcName" | b"code.function" | b"log.origin.function" => {
            Role::Renamed(attr::CODE_FUNCTION)
        }
        b"lineno" | b"log.origin.file.line" => Role::Renamed(attr::CODE_LINE),
        b"pathname" | b"log.origin.file.name" => Role::Renamed(attr::CODE_FILE),
        // An object in ECS, a number in what Python's loggers call theirs.
        b"process" => Role::Process,
        b"caller" | b"source" | b"file" => Role::Caller,
        b"stacktrace" | b"stack_trace" | b"stack" | b"exc_info" | b"@x" | b"exception"
        | b"error.stack_trace" => Role::Stack,
        b"err" | b"error" => Role::Error,
        b"error.type" | b"error_type" => Role::Renamed(attr::EXCEPTION_TYPE),
        b"error.message" => Role::Renamed(attr::EXCEPTION_MESSAGE),
        b"mdc" | b"contextMap" => Role::Nest,
        b"log" | b"log.origin" | b"log.origin.file" | b"trace" | b"span" | b"process.thread" | b"host" => {
            Role::Dotted
        }
        b"duration_ms" | b"durationMs" | b"elapsed_ms" | b"elapsedMs" | b"took_ms" | b"latency_ms"
        | b"responseTime" | b"Elapsed" => Role::DurationMillis,
        b"request_time" => Role::DurationSeconds,
        b"start_time" | b"StartUTC" => Role::StartTime,
        b"request" => Role::Request,
        b"DownstreamStatus" => Role::Traefik,
        b"duration" | b"elapsed" | b"took" | b"latency" => Role::Duration,
        _ => match context::field(key) {
            Some(field) => Role::Context(field),
            None => Role::Other,
        },
    }
}

/// Takes a field whose value is a text; what is not understood stays an attribute under its own key.
pub(super) fn take_text(role: Role, key: Text, value: Text, line: &str, out: &mut Parsed) {
    // The text may lie in the scratch buffer of `out`, which the calls below write to.
    let owned;
    let text: &str = match value {
        Text::Scratch(_) => {
            owned = out.text(line, value).to_owned();
            &owned
        }
        Text::Line(span) => line.get(span.start as usize..span.end as usize).unwrap_or(""),
        Text::Static(text) => text,
    };
    match role {
        Role::Time if out.time.is_none() => match time::any(text.as_bytes()) {
            Some(when) => set_time(out, when, value),
            None => {
                out.issues.add(crate::Issues::BAD_TIME);
                out.push(key, Value::Str(value));
            }
        },
        Role::StartTime if out.time.is_none() => match time::any(text.as_bytes()) {
            Some(when) => {
                set_time(out, when, value);
                out.time_is_start = true;
            }
            None => out.push(key, Value::Str(value)),
        },
        Role::Level if out.severity_text == Text::EMPTY => match level(text.as_bytes()) {
            Some(severity) => {
                out.severity = severity;
                out.severity_text = value;
            }
            None => out.push(key, Value::Str(value)),
        },
        Role::Message if out.body == Text::EMPTY => out.body = value,
        Role::Name => out.push(Text::Static(attr::LOGGER), Value::Str(value)),
        Role::Caller => caller(key, value, text, out),
        Role::Stack => stack(key, value, text, out),
        Role::Error => out.set(attr::EXCEPTION_MESSAGE, Value::Str(value)),
        Role::Renamed(name) => {
            let number = matches!(name, attr::PID | attr::CODE_LINE).then(|| text.parse().ok()).flatten();
            out.set(name, number.map_or(Value::Str(value), Value::Int));
        }
        Role::Context(field) => {
            if !field.take(text.as_bytes(), out) {
                out.push(key, Value::Str(value));
            }
        }
        Role::Duration | Role::DurationMillis | Role::DurationSeconds => {
            let nanos = match role {
                Role::Duration => duration(text.as_bytes()),
                Role::DurationSeconds => seconds(text.as_bytes()),
                _ => text.parse().ok().and_then(millis),
            };
            out.duration = nanos.or(out.duration);
            out.push(key, Value::Str(value));
        }
        _ => out.push(key, Value::Str(value)),
    }
}

/// Takes a field whose value is a number; `text` is how it is written.
pub(super) fn take_number(role: Role, key: Text, span: Span, line: &str, out: &mut Parsed) {
    let text = span.of(line.as_bytes());
    let value = number(text);
    match (role, value) {
        (Role::Time, _) if out.time.is_none() => {
            if let Some(when) = time::from_digits(text) {
                return set_time(out, when, Text::Line(span));
            }
            out.issues.add(crate::Issues::BAD_TIME);
        }
        (Role::Level, Value::Int(n)) if out.severity == Severity::UNSET => {
            if let Some(severity) = severity::from_tens(n) {
                out.severity = severity;
                out.severity_text = Text::Line(span);
                return;
            }
        }
        (Role::DurationSeconds, _) => out.duration = seconds(text).or(out.duration),
        (Role::DurationMillis, Value::Int(n)) => out.duration = millis(n as f64).or(out.duration),
        (Role::DurationMillis, Value::Double(x)) => out.duration = millis(x).or(out.duration),
        (Role::Renamed(name), _) => return out.set(name, value),
        (Role::Process, _) => return out.set(attr::PID, value),
        (
            Role::Context(field @ (Field::DecimalTrace | Field::DecimalSpan | Field::Flags | Field::Sampled)),
            _,
        ) if field.take(text, out) => {
            return;
        }
        _ => {}
    }
    out.push(key, value);
}

pub(super) fn set_time(out: &mut Parsed, when: When, text: Text) {
    out.time = Some(when);
    out.time_text = text;
}

/// A number as it is written: an integer if it has the form of one and fits.
pub(super) fn number(text: &[u8]) -> Value {
    let text = str_of(text);
    match text.parse::<i64>() {
        Ok(n) => Value::Int(n),
        Err(_) => Value::Double(text.parse().unwrap_or(f64::NAN)),
    }
}

fn millis(n: f64) -> Option<u64> {
    (0.0..1e12).contains(&n).then_some((n * 1e6) as u64)
}

/// A level's name, or slog's form with a distance (`INFO+2`).
pub(super) fn level(text: &[u8]) -> Option<Severity> {
    if let Some(severity) = severity::from_name(text) {
        return Some(severity);
    }
    let at = text.iter().position(|b| matches!(b, b'+' | b'-'))?;
    let base = severity::from_name(&text[..at])?;
    let distance: i32 = str_of(&text[at..]).parse().ok()?;
    Some(Severity(base.0.saturating_add(distance).clamp(1, 24)))
}

/// `dir/file.go:12` as file and line.
fn caller(key: Text, value: Text, text: &str, out: &mut Parsed) {
    let parts = text.rsplit_once(':').and_then(|(file, line)| Some((file.len(), line.parse::<i64>().ok()?)));
    match parts {
        Some((len, line)) => {
            out.push(Text::Static(attr::CODE_FILE), Value::Str(part(value, 0, len)));
            out.push_int(attr::CODE_LINE, line);
        }
        None => out.push(key, Value::Str(value)),
    }
}

/// A stack trace with the exception that it begins or ends with.
fn stack(key: Text, value: Text, text: &str, out: &mut Parsed) {
    if text.is_empty() {
        return;
    }
    let found = crate::trace::exception(text);
    if found.is_none() && !text.contains('\n') {
        return out.push(key, Value::Str(value));
    }
    if let Some(found) = found {
        if !found.kind.is_empty() {
            let kind = part_of(value, text, found.kind);
            out.set_default(attr::EXCEPTION_TYPE, Value::Str(kind));
        }
        if !found.message.is_empty() {
            let message = part_of(value, text, found.message);
            out.set_default(attr::EXCEPTION_MESSAGE, Value::Str(message));
        }
    }
    out.set(attr::EXCEPTION_STACK, Value::Str(value));
}

/// The part of `text` that `inner` is, as a part of the [`Text`] that `text` was read from.
fn part_of(whole: Text, text: &str, inner: &str) -> Text {
    let start = (inner.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    part(whole, start, inner.len())
}

pub(super) fn part(whole: Text, start: usize, len: usize) -> Text {
    let narrow = |span: Span| Span::new(span.start as usize + start, span.start as usize + start + len);
    match whole {
        Text::Line(span) => Text::Line(narrow(span)),
        Text::Scratch(span) => Text::Scratch(narrow(span)),
        Text::Static(text) => Text::Static(text.get(start..start + len).unwrap_or("")),
    }
}
