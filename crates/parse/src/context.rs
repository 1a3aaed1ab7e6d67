//! Trace context as it stands in log lines.

use weir_model::{SpanId, TraceId};

use crate::line::Line;

/// Reads a value under a key that loggers use for a trace or span id. Keys are compared without case, `_`, `-` and `.`.
pub(crate) fn take_field(line: &mut Line<'_>, key: &str, value: &str) -> bool {
    let key: String =
        key.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect();
    match key.as_str() {
        "traceid" | "xb3traceid" | "otelhtraceid" | "oteltraceid" | "tr" => take_trace(line, value),
        "spanid" | "xb3spanid" | "otelspanid" | "sp" => take_span(line, value),
        "traceparent" => traceparent(line, value),
        _ => false,
    }
}

fn take_trace(line: &mut Line<'_>, text: &str) -> bool {
    let id = TraceId::from_hex_any(text.as_bytes()).ok();
    line.trace_id = line.trace_id.or(id);
    id.is_some()
}

fn take_span(line: &mut Line<'_>, text: &str) -> bool {
    let id = SpanId::from_hex(text.as_bytes()).ok();
    line.span_id = line.span_id.or(id);
    id.is_some()
}

/// `00-<32 digits>-<16 digits>-<2 digits>`. Source: W3C Trace Context, section 3.2.2.
fn traceparent(line: &mut Line<'_>, text: &str) -> bool {
    let mut parts = text.split('-');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(version), Some(trace), Some(span), Some(_)) if version.len() == 2 => {
            take_trace(line, trace) && take_span(line, span)
        }
        _ => false,
    }
}

/// Finds ids in free text: `TraceID: x SpanID: y`, `trace_id=x`, `[service,trace,span]`.
pub(crate) fn find(line: &mut Line<'_>, text: &str) {
    for (at, _) in text.match_indices(['=', ':', ',']) {
        let digits = text[at + 1..].trim_start_matches([' ', '"']);
        let len = digits.bytes().take_while(u8::is_ascii_hexdigit).count();
        if len != 16 && len != 32 {
            continue;
        }
        let value = &digits[..len];
        if text.as_bytes()[at] == b',' {
            spring(line, text, at, value);
            continue;
        }
        let start = text[..at]
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)))
            .map_or(0, |i| i + 1);
        take_field(line, &text[start..at], value);
    }
}

/// Spring Cloud Sleuth and Boot write `[service,trace,span]`.
fn spring(line: &mut Line<'_>, text: &str, at: usize, value: &str) {
    let Some(open) = text[..at].rfind('[') else { return };
    match text[open + 1..at].matches(',').count() {
        0 => drop(take_trace(line, value)),
        1 => drop(take_span(line, value)),
        _ => {}
    }
}
