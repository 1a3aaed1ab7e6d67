//! Syslog: RFC 5424 (`<165>1 time host app pid msgid [data] message`) and the BSD form of RFC 3164 with or without its priority, as
//! files under `/var/log` have it. RFC 3164's time has neither year nor zone; newer daemons write RFC 3339 in its place.

use super::fields::set_time;
use crate::attr;
use crate::context;
use crate::parsed::{Parsed, Span, Text, Value};
use crate::scan::Cursor;
use crate::{severity, time};

/// Largest priority: facility 23, severity 7.
const MAX_PRIORITY: u64 = 191;

fn priority(cursor: &mut Cursor<'_>, out: &mut Parsed) -> Option<()> {
    cursor.eat(b'<')?;
    let priority = cursor.number().filter(|n| *n <= MAX_PRIORITY)?;
    cursor.eat(b'>')?;
    out.severity = severity::from_syslog((priority % 8) as u8);
    out.push_int(attr::SYSLOG_FACILITY, (priority / 8) as i64);
    Some(())
}

pub(super) fn parse_5424(line: &[u8], out: &mut Parsed) -> Option<()> {
    let mut cursor = Cursor::new(line);
    priority(&mut cursor, out)?;
    cursor.eat_all(b"1 ")?;
    let stamp = cursor.until(b' ')?;
    match stamp.of(line) {
        b"-" => {}
        text => {
            let (when, len) = time::iso(text)?;
            if len != text.len() {
                return None;
            }
            set_time(out, when, Text::Line(stamp));
        }
    }
    let field = |key, span: Span, out: &mut Parsed| {
        if span.of(line) != b"-" {
            out.push_str(key, span);
        }
    };
    let host = cursor.until(b' ')?;
    field(attr::HOST, host, out);
    let app = cursor.until(b' ')?;
    field(attr::PROCESS, app, out);
    let pid = cursor.until(b' ')?;
    match std::str::from_utf8(pid.of(line)).ok().and_then(|p| p.parse().ok()) {
        Some(pid) => out.push_int(attr::PID, pid),
        None => field(attr::PID, pid, out),
    }
    let msgid = cursor.until(b' ')?;
    field(attr::SYSLOG_MSGID, msgid, out);
    let data = cursor.pos;
    if cursor.eat(b'-').is_none() {
        while cursor.peek() == Some(b'[') {
            element(&mut cursor, out)?;
        }
        if cursor.pos == data {
            return None;
        }
        out.push_str(attr::SYSLOG_DATA, Span::new(data, cursor.pos));
    }
    if cursor.eat(b' ').is_some() {
        // RFC 5424 lets a message in UTF-8 begin with a byte order mark.
        let _ = cursor.eat_all("\u{feff}".as_bytes());
    } else if !cursor.at_end() {
        return None;
    }
    out.body = Text::Line(cursor.tail());
    Some(())
}

/// `[id name="value" …]`: trace context is taken out of it.
fn element(cursor: &mut Cursor<'_>, out: &mut Parsed) -> Option<()> {
    cursor.eat(b'[')?;
    while !matches!(cursor.peek()?, b' ' | b']') {
        cursor.pos += 1;
    }
    loop {
        cursor.spaces();
        if cursor.eat(b']').is_some() {
            return Some(());
        }
        let name = cursor.until(b'=')?;
        cursor.eat(b'"')?;
        let start = cursor.pos;
        let mut escaped = false;
        while cursor.peek()? != b'"' {
            let slash = cursor.peek() == Some(b'\\');
            escaped |= slash;
            cursor.pos += 1 + usize::from(slash);
        }
        let value = Span::new(start, cursor.pos);
        cursor.pos += 1;
        let line = cursor.line;
        let taken = context::field(name.of(line)).is_some_and(|f| f.take(value.of(line), out));
        if !taken {
            let text = if escaped {
                let from = out.scratch.len();
                unescape(crate::scan::str_of(value.of(line)), &mut out.scratch);
                Text::Scratch(Span::new(from, out.scratch.len()))
            } else {
                Text::Line(value)
            };
            out.push(Text::Line(name), Value::Str(text));
        }
    }
}

/// Only a quote, a backslash and a bracket are escaped; a backslash before anything else is itself (RFC 5424, section 6.3.3).
fn unescape(value: &str, out: &mut String) {
    let mut rest = value;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.as_bytes().first() {
            Some(b'"' | b'\\' | b']') => {
                out.push_str(&rest[..1]);
                rest = &rest[1..];
            }
            _ => out.push('\\'),
        }
    }
    out.push_str(rest);
}

pub(super) fn parse_3164(line: &[u8], out: &mut Parsed) -> Option<()> {
    let mut cursor = Cursor::new(line);
    if cursor.peek()? == b'<' {
        priority(&mut cursor, out)?;
    }
    let (when, len) = time::bsd(cursor.rest()).or_else(|| {
        let stamp = time::iso(cursor.rest())?;
        (stamp.0.zone.is_some()).then_some(stamp)
    })?;
    set_time(out, when, Text::Line(Span::new(cursor.pos, cursor.pos + len)));
    cursor.pos += len;
    cursor.eat(b' ')?;
    let host = cursor.until(b' ')?;
    if !is_host(host.of(line)) {
        return None;
    }
    let start = cursor.pos;
    while matches!(cursor.peek(), Some(b) if b > b' ' && !matches!(b, b'[' | b':')) {
        cursor.pos += 1;
    }
    // A tag has parentheses in PAM's and slashes in Postfix's lines.
    let tag = Span::new(start, cursor.pos);
    if tag.is_empty() {
        return None;
    }
    let pid = match cursor.eat(b'[') {
        Some(()) => Some(cursor.until(b']')?),
        None => None,
    };
    out.push_str(attr::HOST, host);
    if cursor.eat(b':').is_none() {
        // rsyslog leaves the colon out where a message came as RFC 5424; without a process id it might be a part of the message.
        match (pid, cursor.peek()) {
            (Some(_), Some(b' ')) => {}
            (None, Some(b' ')) => {
                out.body = Text::Line(Span::new(start, line.len()));
                return Some(());
            }
            _ => return None,
        }
    }
    cursor.spaces();
    out.push_str(attr::PROCESS, tag);
    if let Some(pid) = pid {
        match crate::scan::str_of(pid.of(line)).parse() {
            Ok(pid) => out.push_int(attr::PID, pid),
            Err(_) => out.push_str(attr::PID, pid),
        }
    }
    out.body = Text::Line(cursor.tail());
    Some(())
}

fn is_host(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':'))
}
