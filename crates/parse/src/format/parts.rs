//! Parts that the layouts of many loggers have in common: places in the code, ids, an MDC, names, brackets.

use super::fields::{self, Role};
use crate::attr;
use crate::context::{self, Field};
use crate::parsed::{Parsed, Span, Text};
use crate::scan::{Cursor, str_of};
use memchr::memchr;
use weir_model::{SpanId, TraceId};

/// Endings of source files of the languages whose loggers print them.
const SOURCES: [&str; 16] = [
    "c", "cc", "clj", "cpp", "cs", "go", "groovy", "java", "js", "kt", "php", "py", "rb", "rs", "scala", "ts",
];

/// `dir/file.go:12`: how long the file's name is, and the line.
pub(super) fn place(text: &[u8]) -> Option<(usize, i64)> {
    let colon = memchr::memrchr(b':', text)?;
    let file = &text[..colon];
    let dot = memchr::memrchr(b'.', file)?;
    let number = str_of(&text[colon + 1..]).parse().ok().filter(|n: &i64| *n >= 0)?;
    // An address and its port look alike.
    (dot > 0 && SOURCES.contains(&str_of(&file[dot + 1..])) && !file.contains(&b' '))
        .then_some((colon, number))
}

/// Log4j's `%X` at the end of a line prints the whole MDC, `{trace_id=…, span_id=…}`. Returns where the message before it ends.
pub(super) fn trailing_map(line: &[u8], message: Span, out: &mut Parsed) -> usize {
    let (text, start) = (message.of(line), message.start as usize);
    let all = start + text.len();
    if !text.ends_with(b"}") {
        return all;
    }
    let Some(open) = memchr::memrchr(b'{', text).filter(|at| *at == 0 || text[at - 1] == b' ') else {
        return all;
    };
    let inside = Span::new(start + open + 1, all - 1);
    if !inside.is_empty() && !mapped(line, inside, out) {
        return all;
    }
    start + text[..open].trim_ascii_end().len()
}

/// Takes `key=value` pairs with blanks or commas between them, as an MDC is printed; false, with nothing taken, for anything else.
pub(super) fn mapped(line: &[u8], inside: Span, out: &mut Parsed) -> bool {
    let pairs = || {
        let mut at = inside.start as usize;
        inside.of(line).split(|b| matches!(b, b' ' | b',')).filter_map(move |pair| {
            let start = at;
            at += pair.len() + 1;
            let equals = memchr(b'=', pair);
            (!pair.is_empty()).then_some((start, equals, pair.len()))
        })
    };
    if pairs().next().is_none() || pairs().any(|(_, equals, _)| equals.is_none_or(|at| at == 0)) {
        return false;
    }
    for (start, equals, len) in pairs() {
        let equals = start + equals.unwrap_or_default();
        let (key, value) = (Span::new(start, equals), Span::new(equals + 1, start + len));
        let role = fields::role(key.of(line));
        let absent = matches!(value.of(line), b"" | b"0" | b"-")
            && matches!(role, Role::Context(Field::Trace | Field::Span));
        if !absent {
            fields::take_text(role, Text::Line(key), Text::Line(value), str_of(line), out);
        }
    }
    true
}

/// `app,trace,span[,exported]` of Spring Cloud Sleuth and Micrometer; without a trace the last parts are empty.
pub(super) fn triple(line: &[u8], span: Span, out: &mut Parsed) -> bool {
    let text = span.of(line);
    let mut parts = text.split(|b| *b == b',');
    let (Some(app), Some(trace), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
        return two(text, out);
    };
    let (trace, id) = (trace.trim_ascii(), id.trim_ascii());
    let ids = (TraceId::from_hex_any(trace), SpanId::from_hex(id));
    let empty = trace.is_empty() && id.is_empty();
    if !empty && ids.0.is_err() {
        return false;
    }
    out.trace_id = ids.0.ok();
    out.span_id = ids.1.ok();
    let start = span.start as usize;
    out.push_str(attr::SERVICE, Span::new(start, start + app.len()));
    true
}

/// `trace,span`, both of them or neither.
fn two(text: &[u8], out: &mut Parsed) -> bool {
    let Some(comma) = memchr(b',', text) else { return false };
    if text.len() == 1 {
        return true;
    }
    match (TraceId::from_hex_any(&text[..comma]), SpanId::from_hex(text[comma + 1..].trim_ascii())) {
        (Ok(trace), Ok(span)) => {
            out.trace_id = Some(trace);
            out.span_id = Some(span);
            true
        }
        _ => false,
    }
}

/// `trace-span` of Spring Boot 3, `TID:…` and `SW_CTX:[…]` of SkyWalking.
pub(super) fn pair(text: &[u8], out: &mut Parsed) -> bool {
    if let Some(id) = text.strip_prefix(b"TID:") {
        return context::skywalking(id.trim_ascii(), out) || id.trim_ascii() == b"N/A";
    }
    if let Some(inner) = text.strip_prefix(b"SW_CTX:") {
        let inner = inner.trim_ascii().strip_prefix(b"[").unwrap_or(inner);
        return inner.split(|b| *b == b',').nth(2).is_some_and(|id| context::skywalking(id, out));
    }
    let Some(dash) = memchr(b'-', text) else { return false };
    match (TraceId::from_hex_any(&text[..dash]), SpanId::from_hex(&text[dash + 1..])) {
        (Ok(trace), Ok(span)) => {
            out.trace_id = Some(trace);
            out.span_id = Some(span);
            true
        }
        _ => false,
    }
}

/// The inside of brackets that may hold brackets.
pub(super) fn balanced(cursor: &mut Cursor<'_>) -> Option<Span> {
    let start = cursor.pos + 1;
    let mut depth = 0usize;
    for (i, b) in cursor.rest().iter().enumerate() {
        match b {
            b'[' => depth += 1,
            b']' => {
                depth -= 1;
                if depth == 0 {
                    let span = Span::new(start, cursor.pos + i);
                    cursor.pos += i + 1;
                    return Some(span);
                }
            }
            _ => {}
        }
    }
    None
}

/// A class, module or logger name; Tomcat's containers have brackets in theirs.
pub(super) fn is_name(text: &[u8]) -> bool {
    !text.is_empty()
        && !text.ends_with(b".")
        && text[0].is_ascii_alphabetic() | (text[0] == b'_')
        && text.iter().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'$' | b'-' | b'/' | b'*' | b'[' | b']')
        })
}
