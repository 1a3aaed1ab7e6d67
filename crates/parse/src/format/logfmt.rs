//! logfmt: `key=value key="quoted value"`, as logrus, Go kit, slog's text handler and Heroku write it.

use super::fields::{self, Role};
use super::json::unescape;
use crate::parsed::{Parsed, Span, Text, Value};
use crate::scan::{Cursor, str_of};
use memchr::memchr2;

pub(super) fn parse(line: &[u8], out: &mut Parsed) -> Option<()> {
    let text = str_of(line);
    let mut cursor = Cursor::new(line);
    let (mut pairs, mut known) = (0, 0);
    cursor.spaces();
    while !cursor.at_end() {
        let start = cursor.pos;
        while matches!(cursor.peek(), Some(b) if b > b' ' && !matches!(b, b'=' | b'"' | b'{' | b'[' | b'(' | b','))
        {
            cursor.pos += 1;
        }
        if cursor.pos == start {
            return None;
        }
        let key = Span::new(start, cursor.pos);
        let role = fields::role(key.of(line));
        if cursor.eat(b'=').is_none() {
            // A bare key is true in logfmt; two of them are prose.
            if !matches!(cursor.peek(), None | Some(b' ')) || pairs == 0 {
                return None;
            }
            out.push(Text::Line(key), Value::Bool(true));
            cursor.spaces();
            continue;
        }
        pairs += 1;
        known += usize::from(matches!(role, Role::Time | Role::Level | Role::Message));
        value(&mut cursor, key, role, text, out)?;
        if !matches!(cursor.peek(), None | Some(b' ' | b'\t')) {
            return None;
        }
        cursor.spaces();
    }
    out.structured = true;
    (pairs >= 2 && known >= 1).then_some(())
}

fn value(cursor: &mut Cursor<'_>, key: Span, role: Role, line: &str, out: &mut Parsed) -> Option<()> {
    let key = Text::Line(key);
    if cursor.eat(b'"').is_some() {
        let (span, escaped) = quoted(cursor)?;
        let text = if escaped {
            let start = out.scratch.len();
            unescape(span.of(cursor.line), &mut out.scratch);
            Text::Scratch(Span::new(start, out.scratch.len()))
        } else {
            Text::Line(span)
        };
        fields::take_text(role, key, text, line, out);
        return Some(());
    }
    let span = cursor.upto(b' ');
    let bytes = span.of(cursor.line);
    let numeric = bytes.first().is_some_and(|b| b.is_ascii_digit() || *b == b'-')
        && bytes.len() < 20
        && str_of(bytes).parse::<f64>().is_ok();
    match bytes {
        b"true" => out.push(key, Value::Bool(true)),
        b"false" => out.push(key, Value::Bool(false)),
        b"" => {}
        _ if numeric && !matches!(role, Role::Context(_)) => fields::take_number(role, key, span, line, out),
        _ => fields::take_text(role, key, Text::Line(span), line, out),
    }
    Some(())
}

/// The inside of a quoted value whose opening quote was passed, and whether it has escapes.
fn quoted(cursor: &mut Cursor<'_>) -> Option<(Span, bool)> {
    let start = cursor.pos;
    let mut escaped = false;
    loop {
        let at = cursor.pos + memchr2(b'"', b'\\', cursor.rest())?;
        if cursor.line[at] == b'"' {
            cursor.pos = at + 1;
            return Some((Span::new(start, at), escaped));
        }
        escaped = true;
        cursor.pos = at + 2;
    }
}
