//! Go's `log` package: `2009/11/10 23:00:00 message`, with microseconds and `file.go:23: ` where the flags ask for them. `slog`'s
//! default handler writes a level before the message and pairs behind it.

use super::fields::{self, set_time};
use super::logfmt;
use crate::attr;
use crate::parsed::{Parsed, Span, Text};
use crate::scan::Cursor;
use crate::time;

pub(super) fn parse(line: &[u8], out: &mut Parsed) -> Option<()> {
    if line.get(4) != Some(&b'/') {
        return None;
    }
    let (when, len) = time::iso(line)?;
    let mut cursor = Cursor { line, pos: len };
    cursor.eat(b' ')?;
    set_time(out, when, Text::Line(Span::new(0, len)));
    code(&mut cursor, out);
    let mut ahead = cursor;
    let word = ahead.upto(b' ');
    let level = word.of(line);
    out.body = Text::Line(cursor.tail());
    if level.first().is_some_and(u8::is_ascii_uppercase)
        && !level.iter().any(u8::is_ascii_lowercase)
        && let Some(severity) = fields::level(level)
    {
        out.severity = severity;
        out.severity_text = Text::Line(word);
        ahead.spaces();
        let end = logfmt::trailing(line, ahead.pos, out).unwrap_or(line.len());
        out.body = Text::Line(Span::new(ahead.pos, ahead.pos + line[ahead.pos..end].trim_ascii_end().len()));
    }
    Some(())
}

/// `path/file.go:23: `.
fn code(cursor: &mut Cursor<'_>, out: &mut Parsed) {
    let mut ahead = *cursor;
    let Some(file) = ahead.until(b':') else { return };
    if !file.of(cursor.line).ends_with(b".go") {
        return;
    }
    let Some(number) = ahead.number() else { return };
    if ahead.eat_all(b": ").is_some() {
        out.push_str(attr::CODE_FILE, file);
        out.push_int(attr::CODE_LINE, number as i64);
        *cursor = ahead;
    }
}
