//! klog and glog: `I0102 15:04:05.000000   12345 file.go:67] message`, also klog's structured `"message" key="value"`.

use super::fields::set_time;
use crate::attr;
use crate::parsed::{Parsed, Span, Text};
use crate::scan::Cursor;
use crate::{severity, time};

pub(super) fn parse(line: &[u8], out: &mut Parsed) -> Option<()> {
    let mut cursor = Cursor::new(line);
    let severity = severity::from_letter(cursor.peek()?)?;
    let (when, len) = time::klog(&line[1..])?;
    cursor.pos = 1 + len;
    cursor.spaces();
    let pid = cursor.number()?;
    cursor.eat(b' ')?;
    let file = cursor.until(b':')?;
    let number = cursor.number()?;
    cursor.eat(b']')?;
    cursor.spaces();
    set_time(out, when, Text::Line(Span::new(1, 1 + len)));
    out.severity = severity;
    out.severity_text = Text::Line(Span::new(0, 1));
    out.push_int(attr::THREAD_ID, pid as i64);
    out.push_str(attr::CODE_FILE, file);
    out.push_int(attr::CODE_LINE, number as i64);
    out.body = Text::Line(cursor.tail());
    structured(&mut cursor, out);
    Some(())
}

/// `InfoS("message", "key", value)` prints `"message" key="value"`; the message is then the quoted part.
fn structured(cursor: &mut Cursor<'_>, out: &mut Parsed) {
    let mut ahead = *cursor;
    if ahead.eat(b'"').is_none() {
        return;
    }
    let Some(message) = ahead.until(b'"') else { return };
    if !(ahead.at_end() || ahead.peek() == Some(b' ')) || message.of(cursor.line).ends_with(b"\\") {
        return;
    }
    out.body = Text::Line(message);
    loop {
        ahead.spaces();
        let Some(key) = ahead.until(b'=') else { return };
        let value = match ahead.eat(b'"') {
            Some(()) => match ahead.until(b'"') {
                Some(span) => span,
                None => return,
            },
            None => ahead.upto(b' '),
        };
        let role = super::fields::role(key.of(cursor.line));
        let line = crate::scan::str_of(cursor.line);
        super::fields::take_text(role, Text::Line(key), Text::Line(value), line, out);
    }
}
