//! Go's `log` package: `2009/11/10 23:00:00 message`, with microseconds and `file.go:23: ` where the flags ask for them. `slog`'s
//! default handler writes a level before the message.

use super::fields::set_time;
use crate::attr;
use crate::parsed::{Parsed, Span, Text};
use crate::scan::Cursor;
use crate::{severity, time};

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
    if severity::from_name(word.of(line)).is_some() && word.of(line).iter().all(u8::is_ascii_uppercase) {
        out.set_level(line, word);
        cursor = ahead;
        cursor.spaces();
    }
    out.body = Text::Line(cursor.tail());
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
