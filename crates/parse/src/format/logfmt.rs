//! logfmt: `key=value key="quoted value"`, as logrus, Go kit, slog's text handler and Heroku write it.

use super::fields::{self, Role};
use super::json::unescape;
use crate::context::Field;
use crate::parsed::{Parsed, Span, Text, Value};
use crate::scan::{Cursor, str_of};
use memchr::{memchr, memchr2, memrchr};

pub(super) fn parse(line: &[u8], out: &mut Parsed) -> Option<()> {
    // An indented line goes on with the one before.
    if line.first().is_none_or(|b| *b <= b' ') {
        return None;
    }
    let mut cursor = Cursor::new(line);
    let found = pairs(&mut cursor, out)?;
    out.structured = true;
    (found.pairs >= 2 && found.known >= 1).then_some(())
}

/// Takes the pairs that a line of another format ends with, and returns where they begin: at the first word from `from` on behind which
/// there is nothing but pairs.
pub(super) fn trailing(line: &[u8], from: usize, out: &mut Parsed) -> Option<usize> {
    let mut cursor = Cursor { line, pos: from };
    for _ in 0..TRAILING_TRIES {
        // The next word with `=` in it.
        let equals = cursor.pos + memchr(b'=', cursor.rest())?;
        let start = memrchr(b' ', &line[from..equals]).map_or(from, |at| from + at + 1);
        let mut ahead = Cursor { line, pos: start };
        let (attrs, scratch) = (out.attrs.len(), out.scratch.len());
        if pairs(&mut ahead, out).is_some_and(|found| found.bare == 0) {
            return Some(start);
        }
        out.attrs.truncate(attrs);
        out.scratch.truncate(scratch);
        cursor.pos = equals + 1;
    }
    None
}

/// Words with `=` in a message that are tried as the first of [`trailing`] pairs.
const TRAILING_TRIES: usize = 8;

#[derive(Default)]
struct Found {
    pairs: u32,
    /// Keys without a value.
    bare: u32,
    /// Pairs that say time, level or message.
    known: u32,
}

/// Takes pairs up to the end of the line; `None` for anything else.
fn pairs(cursor: &mut Cursor<'_>, out: &mut Parsed) -> Option<Found> {
    let text = str_of(cursor.line);
    let mut found = Found::default();
    cursor.spaces();
    while !cursor.at_end() {
        let (key, role) = key(cursor, out)?;
        if cursor.eat(b'=').is_none() {
            // A bare key is true in logfmt; two of them are prose.
            if !matches!(cursor.peek(), None | Some(b' ')) || found.pairs == 0 {
                return None;
            }
            found.bare += 1;
            out.push(key, Value::Bool(true));
            cursor.spaces();
            continue;
        }
        found.pairs += 1;
        found.known += u32::from(matches!(role, Role::Time | Role::Level | Role::Message));
        value(cursor, key, role, text, out)?;
        if !matches!(cursor.peek(), None | Some(b' ' | b'\t')) {
            return None;
        }
        cursor.spaces();
    }
    Some(found)
}

/// A key, which slog quotes where it is empty or has blanks in it.
fn key(cursor: &mut Cursor<'_>, out: &mut Parsed) -> Option<(Text, Role)> {
    if cursor.eat(b'"').is_some() {
        let (span, escaped) = quoted(cursor)?;
        return (cursor.peek() == Some(b'=')).then(|| (text(cursor.line, span, escaped, out), Role::Other));
    }
    let start = cursor.pos;
    while matches!(cursor.peek(), Some(b) if b > b' ' && !matches!(b, b'=' | b'"' | b'{' | b'[' | b'(' | b','))
    {
        cursor.pos += 1;
    }
    let key = Span::new(start, cursor.pos);
    (!key.is_empty()).then(|| (Text::Line(key), fields::role(key.of(cursor.line))))
}

/// The inside of quotes, with its escapes resolved.
pub(super) fn text(line: &[u8], span: Span, escaped: bool, out: &mut Parsed) -> Text {
    if !escaped {
        return Text::Line(span);
    }
    let start = out.scratch.len();
    unescape(span.of(line), &mut out.scratch);
    Text::Scratch(Span::new(start, out.scratch.len()))
}

fn value(cursor: &mut Cursor<'_>, key: Text, role: Role, line: &str, out: &mut Parsed) -> Option<()> {
    if cursor.eat(b'"').is_some() {
        let (span, escaped) = quoted(cursor)?;
        let text = text(cursor.line, span, escaped, out);
        fields::take_text(role, key, text, line, out);
        return Some(());
    }
    let span = cursor.upto(b' ');
    let bytes = span.of(cursor.line);
    let numeric = bytes.first().is_some_and(|b| b.is_ascii_digit() || *b == b'-')
        && bytes.len() < 20
        && str_of(bytes).parse::<f64>().is_ok();
    match bytes {
        b"true" if role != Role::Context(Field::Sampled) => out.push(key, Value::Bool(true)),
        b"false" if role != Role::Context(Field::Sampled) => out.push(key, Value::Bool(false)),
        b"" if role != Role::Other => {}
        // klog's form for text of several lines, which goes on below.
        b"<" if cursor.at_end() => {}
        _ if numeric && !matches!(role, Role::Context(_)) => fields::take_number(role, key, span, line, out),
        _ => fields::take_text(role, key, Text::Line(span), line, out),
    }
    Some(())
}

/// The inside of a quoted value whose opening quote was passed, and whether it has escapes.
pub(super) fn quoted(cursor: &mut Cursor<'_>) -> Option<(Span, bool)> {
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
