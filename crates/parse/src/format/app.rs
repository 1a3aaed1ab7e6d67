//! Lines of applications: a time, a level, and around them what the pattern of logback, log4j, Spring Boot or Python's `logging` puts.
//!
//! These patterns are written by hand in every project, so the parts are known by their shape and not by their place: `[…]` is a
//! thread, a process id, an `app,trace,span` triple, a place in the code, an MDC or a level; `---` belongs to Spring Boot; `Name: value` pairs with a trace key
//! are MDC; a name before the separator is the logger. The message is what follows. A level must be there.

use super::fields::set_time;
use super::{parts, zap};
use crate::attr;
use crate::context::{self, Field};
use crate::parsed::{Parsed, Span, Text, Value};
use crate::scan::{Cursor, str_of};
use crate::severity;
use crate::time::{self, Date, When};
use memchr::memchr;

/// Parts between the time and the message; Spring Boot has the most, nine.
const MAX_PARTS: usize = 12;

pub(super) fn parse(line: &[u8], out: &mut Parsed) -> Option<()> {
    let mut cursor = Cursor::new(line);
    // `%-5level %d …` and `LEVEL time …` put the level first.
    let mut state = State::default();
    if !line.first()?.is_ascii_digit() && line[0] != b'[' {
        state.level(&mut cursor, out)?;
    }
    stamp(&mut cursor, out)?;
    if cursor.peek() == Some(b'\t') && !state.has_level {
        return zap::columns(&mut cursor, out);
    }
    for _ in 0..MAX_PARTS {
        cursor.spaces();
        match state.part(&mut cursor, out) {
            Next::Part => {}
            Next::Message => break,
            Next::Fail => return None,
        }
    }
    // Go's log with slog's level: a time of this form, a level and nothing else that this format is known by.
    let slashes = out.text(str_of(line), out.time_text).as_bytes().get(4) == Some(&b'/');
    if !state.has_level || (slashes && state.is_bare()) {
        return None;
    }
    if cursor.at_end() {
        cursor.pos = line.len();
    }
    state.finish(out);
    let message = cursor.tail();
    out.body = Text::Line(Span::new(message.start as usize, parts::trailing_map(line, message, out)));
    Some(())
}

/// The time, in brackets or not.
fn stamp(cursor: &mut Cursor<'_>, out: &mut Parsed) -> Option<()> {
    let bracket = cursor.eat(b'[').is_some();
    let rest = cursor.rest();
    let (when, len) = time::iso(rest).or_else(|| time::short_date(rest)).or_else(|| {
        let (time, len) = time::clock(rest)?;
        Some((When { date: Date::None, time, zone: None }, len))
    })?;
    set_time(out, when, Text::Line(Span::new(cursor.pos, cursor.pos + len)));
    cursor.pos += len;
    if bracket {
        cursor.eat(b']')?;
    }
    matches!(cursor.peek(), Some(b' ' | b'\t' | b'|' | b':' | b'[')).then_some(())
}

enum Next {
    Part,
    Message,
    Fail,
}

#[derive(Default)]
struct State {
    has_level: bool,
    has_logger: bool,
    has_ids: bool,
    has_place: bool,
    spring: bool,
    /// Brackets that may be a thread or, before another one, Spring Boot's application name.
    bracket: Option<Span>,
    second: Option<Span>,
}

impl State {
    /// Nothing was found but the level.
    fn is_bare(&self) -> bool {
        !(self.has_logger || self.has_ids || self.has_place || self.spring || self.bracket.is_some())
    }

    fn part(&mut self, cursor: &mut Cursor<'_>, out: &mut Parsed) -> Next {
        let Some(first) = cursor.peek() else { return Next::Message };
        match first {
            b'[' if !self.has_logger => self.bracket(cursor, out),
            b'[' if !self.has_ids => self.ids_in_bracket(cursor, out),
            b'(' if self.has_logger && !self.has_place => self.parentheses(cursor, out),
            b'i' if self.has_level && !self.has_logger && self.module(cursor, out) => Next::Message,
            b'-' | b':' | b'|' => self.separator(cursor),
            b'0'..=b'9' if self.has_level && !self.spring && !self.has_logger => self.pid(cursor, out),
            _ if !self.has_level => self.before_level(cursor, out),
            _ if self.ids(cursor, out) => Next::Part,
            _ if !self.has_logger && self.logger(cursor, out) => Next::Part,
            _ => Next::Message,
        }
    }

    fn level(&mut self, cursor: &mut Cursor<'_>, out: &mut Parsed) -> Option<()> {
        cursor.spaces();
        let start = cursor.pos;
        while matches!(cursor.peek(), Some(b) if b.is_ascii_alphabetic()) {
            cursor.pos += 1;
        }
        let word = Span::new(start, cursor.pos);
        // In prose a level's name is not in capitals.
        let text = word.of(cursor.line);
        if !text.iter().all(u8::is_ascii_uppercase) || severity::from_name(text).is_none() {
            return None;
        }
        out.set_level(cursor.line, word);
        self.has_level = true;
        let _ = cursor.eat(b':');
        cursor.spaces();
        Some(())
    }

    fn before_level(&mut self, cursor: &mut Cursor<'_>, out: &mut Parsed) -> Next {
        let mut ahead = *cursor;
        if self.level(&mut ahead, out).is_some() {
            *cursor = ahead;
            return Next::Part;
        }
        // Python: `time - logger - LEVEL - message`, OpenStack: `time pid LEVEL logger …`.
        let start = cursor.pos;
        let word = cursor.upto(b' ');
        let text = word.of(cursor.line);
        if let Ok(pid) = str_of(text).parse::<i64>() {
            out.push_int(attr::PID, pid);
            return Next::Part;
        }
        let dashed = cursor.line[..start].ends_with(b"- ") || cursor.line[..start].ends_with(b"| ");
        if dashed && !self.has_logger && parts::is_name(text) {
            self.has_logger = true;
            out.push_str(attr::LOGGER, word);
            return Next::Part;
        }
        Next::Fail
    }

    fn bracket(&mut self, cursor: &mut Cursor<'_>, out: &mut Parsed) -> Next {
        let Some(span) = parts::balanced(cursor) else { return Next::Message };
        let inside = span.of(cursor.line).trim_ascii();
        let trimmed = {
            let lead = span.of(cursor.line).len() - span.of(cursor.line).trim_ascii_start().len();
            let start = span.start as usize + lead;
            Span::new(start, start + inside.len())
        };
        if !self.has_level && severity::from_name(inside).is_some() {
            out.set_level(cursor.line, trimmed);
            self.has_level = true;
        } else if parts::triple(cursor.line, trimmed, out) || self.pair(inside, out) {
            self.has_ids = true;
        } else if self.has_level && !self.has_place && self.place(cursor.line, trimmed, out) {
            // `[file.py:12]`
        } else if self.has_level && parts::mapped(cursor.line, trimmed, out) {
            self.has_ids = true;
        } else if let Ok(pid) = str_of(inside).parse::<i64>() {
            out.push_int(attr::PID, pid);
        } else if self.has_ids && self.bracket.is_some() && !self.spring {
            // After the ids and the thread a bracket is the message's own.
            cursor.pos = span.start as usize - 1;
            return Next::Message;
        } else if self.bracket.is_none() {
            self.bracket = Some(trimmed);
        } else if self.second.is_none() && self.spring {
            self.second = Some(trimmed);
        } else {
            cursor.pos = span.start as usize - 1;
            return Next::Message;
        }
        Next::Part
    }

    /// Behind the logger a bracket is the message's own, unless there are ids in it.
    fn ids_in_bracket(&mut self, cursor: &mut Cursor<'_>, out: &mut Parsed) -> Next {
        let mut ahead = *cursor;
        let Some(span) = parts::balanced(&mut ahead) else { return Next::Message };
        let before = (out.trace_id, out.span_id);
        let text = span.of(cursor.line);
        let named =
            text.iter().position(|b| *b == b'=').is_some_and(|at| context::field(&text[..at]).is_some());
        if parts::triple(cursor.line, span, out)
            || self.pair(text, out)
            || (named && parts::mapped(cursor.line, span, out))
        {
            self.has_ids = true;
            *cursor = ahead;
            return Next::Part;
        }
        (out.trace_id, out.span_id) = before;
        Next::Message
    }

    /// `file.py:12` as file and line.
    fn place(&mut self, line: &[u8], span: Span, out: &mut Parsed) -> bool {
        let Some((file, number)) = parts::place(span.of(line)) else { return false };
        let start = span.start as usize;
        out.push_str(attr::CODE_FILE, Span::new(start, start + file));
        out.push_int(attr::CODE_LINE, number);
        self.has_place = true;
        true
    }

    /// Log4j's `(%F:%L)` behind the logger.
    fn parentheses(&mut self, cursor: &mut Cursor<'_>, out: &mut Parsed) -> Next {
        let mut ahead = *cursor;
        ahead.pos += 1;
        match ahead.until(b')') {
            Some(inside) if self.place(cursor.line, inside, out) => {
                *cursor = ahead;
                Next::Part
            }
            _ => Next::Message,
        }
    }

    /// Flask's `in module: message`.
    fn module(&mut self, cursor: &mut Cursor<'_>, out: &mut Parsed) -> bool {
        let mut ahead = *cursor;
        if ahead.eat_all(b"in ").is_none() {
            return false;
        }
        let Some(module) = ahead.until(b':').filter(|m| parts::is_name(m.of(cursor.line))) else {
            return false;
        };
        if ahead.eat(b' ').is_none() {
            return false;
        }
        out.push_str(attr::LOGGER, module);
        self.has_logger = true;
        *cursor = ahead;
        true
    }

    /// A pair of ids; without a trace Spring Boot pads their place with spaces.
    fn pair(&self, text: &[u8], out: &mut Parsed) -> bool {
        (self.spring && text.iter().all(|b| matches!(b, b' ' | b'-'))) || parts::pair(text, out)
    }

    fn separator(&mut self, cursor: &mut Cursor<'_>) -> Next {
        let rest = cursor.rest();
        let len = rest.iter().take_while(|b| matches!(b, b'-' | b':' | b'|')).count();
        if !matches!(rest.get(len), None | Some(b' ' | b'\t' | b'[')) {
            return if self.has_level { Next::Message } else { Next::Fail };
        }
        if rest.starts_with(b"---") && !self.spring {
            self.spring = true;
            cursor.pos += len;
            return Next::Part;
        }
        cursor.pos += len;
        let pipe = rest[0] == b'|';
        if self.has_level
            && (self.has_logger || self.bracket.is_none())
            && !pipe
            && !self.dash_before_logger(cursor)
        {
            cursor.spaces();
            return Next::Message;
        }
        Next::Part
    }

    /// `time - LEVEL  [thread:logger@12] - message` of ZooKeeper has a separator before the bracket, and Python's
    /// `time - LEVEL - logger - message` one before the logger.
    fn dash_before_logger(&self, cursor: &Cursor<'_>) -> bool {
        let mut ahead = *cursor;
        ahead.spaces();
        if self.has_logger {
            return false;
        }
        if ahead.peek() == Some(b'[') && self.bracket.is_none() {
            return parts::balanced(&mut ahead).is_some() && ahead.rest().starts_with(b" - ");
        }
        let word = ahead.upto(b' ');
        parts::is_name(word.of(cursor.line)) && ahead.rest().starts_with(b" - ")
    }

    fn pid(&mut self, cursor: &mut Cursor<'_>, out: &mut Parsed) -> Next {
        let start = cursor.pos;
        let pid = cursor.number();
        let mut ahead = *cursor;
        ahead.spaces();
        let ends = ahead.eat_all(b"---").is_some() || ahead.peek() == Some(b'[');
        match pid {
            Some(pid) if ends => {
                out.push_int(attr::PID, pid as i64);
                Next::Part
            }
            _ => {
                cursor.pos = start;
                Next::Message
            }
        }
    }

    /// `TraceID: <hex>`, `traceId=<hex>`, possibly after a comma.
    fn ids(&mut self, cursor: &mut Cursor<'_>, out: &mut Parsed) -> bool {
        let rest = cursor.rest();
        let len =
            rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')).count();
        let Some(field) =
            matches!(rest.get(len), Some(b':' | b'=')).then(|| context::field(&rest[..len])).flatten()
        else {
            return false;
        };
        let mut ahead = *cursor;
        ahead.pos += len + 1;
        // Without an id there are only the blanks before and behind its place, and what follows is another's.
        let empty = ahead.at_end() || ahead.rest().starts_with(b"  ");
        let place = ahead.pos + usize::from(ahead.peek() == Some(b' '));
        ahead.spaces();
        let start = ahead.pos;
        while matches!(ahead.peek(), Some(b) if b.is_ascii_alphanumeric() || b == b'-') {
            ahead.pos += 1;
        }
        let value = &cursor.line[start..ahead.pos];
        let absent = value.is_empty() && field != Field::Flags;
        if !(field.take(value, out) || absent) {
            if !empty {
                return false;
            }
            ahead.pos = place;
        }
        let _ = ahead.eat(b',');
        *cursor = ahead;
        self.has_ids = true;
        true
    }

    /// A logger's name: before a separator, before ids, or with a line number.
    fn logger(&mut self, cursor: &mut Cursor<'_>, out: &mut Parsed) -> bool {
        let mut ahead = *cursor;
        let word = ahead.upto(b' ');
        let mut text = word.of(cursor.line);
        let colon = text.ends_with(b":");
        text = text.strip_suffix(b":").unwrap_or(text);
        // Logback's %logger#%line, and %logger:%line.
        let mark = memchr(b'#', text).or_else(|| memchr(b':', text));
        let number = mark.and_then(|at| str_of(&text[at + 1..]).parse::<i64>().ok());
        let name = match (mark, number) {
            (Some(at), Some(_)) => &text[..at],
            _ => text,
        };
        if !parts::is_name(name) {
            return false;
        }
        let after = ahead;
        ahead.spaces();
        let separated = ahead.rest().starts_with(b"- ")
            || ahead.rest().starts_with(b"-- ")
            || ahead.rest().starts_with(b": ")
            || ahead.rest() == b":"
            || ahead.rest() == b"-"
            || ahead.rest().starts_with(b"| ");
        let dotted = memchr(b'.', name).is_some();
        let placed = ahead.peek() == Some(b'(')
            && memchr(b')', ahead.rest()).is_some_and(|end| parts::place(&ahead.rest()[1..end]).is_some());
        let ids = Self::default().ids(&mut ahead, &mut Parsed::default());
        if !(separated
            || placed
            || number.is_some()
            || ids
            || (colon && dotted)
            || (dotted && after.rest().starts_with(b" [")))
        {
            return false;
        }
        let start = word.start as usize;
        out.push_str(attr::LOGGER, Span::new(start, start + name.len()));
        if let Some(number) = number {
            out.push_int(attr::CODE_LINE, number);
        }
        self.has_logger = true;
        *cursor = after;
        if colon {
            cursor.spaces();
        }
        true
    }

    fn finish(&self, out: &mut Parsed) {
        match (self.bracket, self.second) {
            (Some(app), Some(thread)) => {
                out.push_str(attr::SERVICE, app);
                out.push_str(attr::THREAD, thread);
            }
            // Python's `[%(name)s] [%(filename)s:%(lineno)d]`, where no thread has a place in the code.
            (Some(name), None) if self.has_place && !self.has_logger => out.push_str(attr::LOGGER, name),
            (Some(thread), None) => out.push(Text::Static(attr::THREAD), Value::Str(Text::Line(thread))),
            _ => {}
        }
    }
}
