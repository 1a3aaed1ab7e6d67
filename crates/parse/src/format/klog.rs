//! klog and glog: `I0102 15:04:05.000000   12345 file.go:67] message`, also klog's structured `"message" key="value"`.

use super::fields::set_time;
use super::logfmt;
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
    // klog for Go writes the process id where glog for C++ has the thread's.
    let pid = cursor.number()?;
    cursor.eat(b' ')?;
    let file = cursor.until(b':')?;
    let number = cursor.number()?;
    cursor.eat(b']')?;
    cursor.spaces();
    set_time(out, when, Text::Line(Span::new(1, 1 + len)));
    out.severity = severity;
    out.severity_text = Text::Line(Span::new(0, 1));
    out.push_int(attr::PID, pid as i64);
    out.push_str(attr::CODE_FILE, file);
    out.push_int(attr::CODE_LINE, number as i64);
    out.body = Text::Line(cursor.tail());
    structured(&cursor, out);
    Some(())
}

/// `InfoS("message", "key", value)` prints `"message" key="value"`; the message is then the quoted part.
fn structured(cursor: &Cursor<'_>, out: &mut Parsed) {
    let mut ahead = *cursor;
    if ahead.eat(b'"').is_none() {
        return;
    }
    let Some((message, escaped)) = logfmt::quoted(&mut ahead) else { return };
    ahead.spaces();
    if ahead.at_end() || logfmt::trailing(cursor.line, ahead.pos, out) == Some(ahead.pos) {
        out.body = logfmt::text(cursor.line, message, escaped, out);
    }
}
