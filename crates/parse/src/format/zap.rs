//! zap's console encoder, a layout of [`super::app`].

use super::parts;
use crate::attr;
use crate::parsed::{Parsed, Span, Text};
use crate::scan::Cursor;
use crate::severity;

/// Reads what follows the time: level, logger, caller, message and a JSON object, with tabs between them; only the level is always there.
pub(super) fn columns(cursor: &mut Cursor<'_>, out: &mut Parsed) -> Option<()> {
    let line = cursor.line;
    cursor.eat(b'\t')?;
    let level = cursor.upto(b'\t');
    severity::from_name(level.of(line))?;
    out.set_level(line, level);
    let mut columns: [Span; 4] = [Span::default(); 4];
    let mut count = 0;
    while count < columns.len() && cursor.eat(b'\t').is_some() {
        columns[count] = cursor.upto(b'\t');
        count += 1;
    }
    // Further tabs are the message's own.
    let mut rest = &columns[..count];
    let last = rest.last()?;
    let mut end = line.len();
    if cursor.at_end() && last.of(line).starts_with(b"{") && super::json::fields_in(line, *last, out) {
        end = last.start as usize - 1;
        rest = &rest[..count - 1];
    }
    if rest.len() >= 2 && parts::is_name(rest[0].of(line)) && parts::place(rest[1].of(line)).is_some() {
        out.push_str(attr::LOGGER, rest[0]);
        rest = &rest[1..];
    }
    if rest.len() >= 2
        && let Some((file, number)) = parts::place(rest[0].of(line))
    {
        let start = rest[0].start as usize;
        out.push_str(attr::CODE_FILE, Span::new(start, start + file));
        out.push_int(attr::CODE_LINE, number);
        rest = &rest[1..];
    }
    let start = rest.first().map_or(end, |message| message.start as usize);
    out.body = Text::Line(Span::new(start, end.max(start)));
    Some(())
}
