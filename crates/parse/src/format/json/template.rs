//! Serilog's message templates.

use super::scan::{Scan, unescape};
use crate::parsed::{Parsed, Span, Text, Value};

/// A message template of <https://messagetemplates.org> with the record's attributes in its holes, or the line's own renderings in those that
/// name a format.
pub(super) fn render(template: Text, renderings: Option<Span>, line: &str, out: &mut Parsed) -> Text {
    let template = out.text(line, template).to_owned();
    let mut renderings = renderings
        .map(|span| Scan { line: &line.as_bytes()[..span.end as usize], pos: span.start as usize + 1 });
    let mut text = String::with_capacity(template.len() * 2);
    let mut rest = template.as_str();
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let brace = &rest[at..at + 1];
        if rest[at + 1..].starts_with(brace) {
            text.push_str(brace);
            rest = &rest[at + 2..];
            continue;
        }
        let Some(end) = rest[at..].find('}').filter(|_| brace == "{") else {
            text.push_str(brace);
            rest = &rest[at + 1..];
            continue;
        };
        let hole = &rest[at + 1..at + end];
        let name = hole.trim_start_matches(['@', '$']).split([',', ':']).next().unwrap_or("");
        if let Some(span) = renderings.as_mut().filter(|_| hole.contains(':')).and_then(Scan::element) {
            unescape(span.of(line.as_bytes()), &mut text);
            rest = &rest[at + end + 1..];
            continue;
        }
        match out.attr(line, name) {
            Some(Value::Str(value) | Value::Json(value)) => text.push_str(out.text(line, value)),
            Some(Value::Int(n)) => text.push_str(&n.to_string()),
            Some(Value::Double(x)) => text.push_str(&x.to_string()),
            Some(Value::Bool(b)) => text.push_str(if b { "true" } else { "false" }),
            None => text.push_str(&rest[at..at + end + 1]),
        }
        rest = &rest[at + end + 1..];
    }
    text.push_str(rest);
    out.keep(&text)
}
