//! Error logs of nginx (`2024/01/02 15:04:05 [error] 12#12: *7 message, client: …, request: "…"`) and Apache
//! (`[Thu Jun 09 06:07:04 2005] [notice] message`, `[… 2024] [core:error] [pid 7:tid 9] [client …] message`).

use super::fields::set_time;
use crate::attr;
use crate::parsed::{Parsed, Span, Text};
use crate::scan::{Cursor, str_of};
use crate::{severity, time};
use memchr::memmem;

pub(super) fn parse(line: &[u8], out: &mut Parsed) -> Option<()> {
    let mut cursor = Cursor::new(line);
    match cursor.peek()? {
        b'[' => apache(&mut cursor, out),
        _ => nginx(&mut cursor, out),
    }
}

fn nginx(cursor: &mut Cursor<'_>, out: &mut Parsed) -> Option<()> {
    let line = cursor.line;
    let (when, len) = time::iso(line)?;
    set_time(out, when, Text::Line(Span::new(0, len)));
    cursor.pos = len;
    cursor.eat_all(b" [")?;
    let level = cursor.until(b']')?;
    severity::from_name(level.of(line))?;
    out.set_level(line, level);
    cursor.eat(b' ')?;
    let pid = cursor.number()?;
    cursor.eat(b'#')?;
    let tid = cursor.number()?;
    cursor.eat_all(b": ")?;
    out.push_int(attr::PID, pid as i64);
    out.push_int(attr::THREAD_ID, tid as i64);
    if cursor.eat(b'*').is_some() {
        let connection = cursor.number()?;
        out.push_int(attr::CONNECTION, connection as i64);
        cursor.eat(b' ')?;
    }
    let body = cursor.tail();
    // The context that nginx appends begins with the client.
    let message = memmem::find(body.of(line), b", client: ").unwrap_or(body.of(line).len());
    out.body = Text::Line(Span::new(cursor.pos, cursor.pos + message));
    context(line, cursor.pos + message, out);
    Some(())
}

/// `, client: 127.0.0.1, server: _, request: "GET / HTTP/1.1", upstream: "http://…", host: "…"`.
fn context(line: &[u8], from: usize, out: &mut Parsed) {
    let mut cursor = Cursor { line, pos: from };
    while cursor.eat_all(b", ").is_some() {
        let Some(name) = cursor.until(b':') else { return };
        cursor.spaces();
        let value = match cursor.eat(b'"') {
            Some(()) => match cursor.until(b'"') {
                Some(span) => span,
                None => return,
            },
            None => cursor.upto(b','),
        };
        match name.of(line) {
            b"client" => out.push_str(attr::CLIENT_ADDRESS, value),
            b"server" => server(line, value, out),
            b"host" => out.push_str(attr::HOST_HEADER, value),
            b"referrer" => out.push_str(attr::REFERER, value),
            b"upstream" => out.push_str("nginx.upstream", value),
            b"request" => request(line, value, out),
            _ => {}
        }
    }
}

/// A server's name, or the address and port it listens on.
fn server(line: &[u8], span: Span, out: &mut Parsed) {
    let port = memchr::memrchr(b':', span.of(line))
        .and_then(|at| Some((at, str_of(&span.of(line)[at + 1..]).parse::<u16>().ok()?)));
    let address = match port {
        Some((at, _)) => Span::new(span.start as usize, span.start as usize + at),
        None => span,
    };
    out.push_str(attr::SERVER_ADDRESS, address);
    if let Some((_, port)) = port {
        out.push_int(attr::SERVER_PORT, port.into());
    }
}

fn request(line: &[u8], span: Span, out: &mut Parsed) {
    let mut parts = Cursor { line: &line[..span.end as usize], pos: span.start as usize };
    if let Some(method) = parts.until(b' ') {
        let target = parts.upto(b' ');
        let query = memchr::memchr(b'?', target.of(line));
        let path_end = query.map_or(target.end as usize, |at| target.start as usize + at);
        out.push_str(attr::METHOD, method);
        out.push_str(attr::PATH, Span::new(target.start as usize, path_end));
        if query.is_some() {
            out.push_str(attr::QUERY, Span::new(path_end + 1, target.end as usize));
        }
    }
}

fn apache(cursor: &mut Cursor<'_>, out: &mut Parsed) -> Option<()> {
    let line = cursor.line;
    cursor.pos = 1;
    let (when, len) = time::ctime(cursor.rest())?;
    set_time(out, when, Text::Line(Span::new(1, 1 + len)));
    cursor.pos += len;
    cursor.eat_all(b"] [")?;
    let level = cursor.until(b']')?;
    let name = level.of(line);
    let colon = memchr::memchr(b':', name);
    let level = Span::new(level.start as usize + colon.map_or(0, |at| at + 1), level.end as usize);
    if let Some(at) = colon {
        out.push_str(attr::LOGGER, Span::new(level.start as usize - at - 1, level.start as usize - 1));
    }
    severity::from_name(level.of(line))?;
    out.set_level(line, level);
    loop {
        cursor.spaces();
        let mut ahead = *cursor;
        if ahead.eat_all(b"[pid ").is_some() {
            let pid = ahead.number()?;
            out.push_int(attr::PID, pid as i64);
        } else if ahead.eat_all(b"[client ").is_some() {
            let mut end = ahead;
            let client = end.until(b']')?;
            out.push_str(attr::CLIENT_ADDRESS, client);
        } else {
            break;
        }
        ahead.until(b']')?;
        cursor.pos = ahead.pos;
    }
    out.body = Text::Line(cursor.tail());
    Some(())
}
