//! Access logs of nginx, Apache and Traefik: common, combined, and what configurations add after them. Envoy's line begins otherwise.
//!
//! What follows the user agent has no fixed order in the wild, so each item is known by its shape: seconds (the first is the request's,
//! the second the upstream's), addresses with a port, 32 hexadecimal digits, a `traceparent`; or by a name before `=`. nginx separates
//! tries of one upstream group by a comma and groups after an internal redirect by a colon; such a list is one item.
//!
//! nginx writes the line at the end of the request, Apache and Traefik write the time of its start: which one it is is known by how the duration is
//! named.

use super::envoy;
use super::fields::set_time;
use crate::attr;
use crate::context;
use crate::parsed::{Parsed, Span, Text, Value};
use crate::scan::{Cursor, seconds, str_of};
use crate::severity;
use crate::time;
use memchr::memchr;
use weir_model::TraceId;

/// How far nginx's `$msec` may be from the second in the same line, in nanoseconds.
const CACHED_TIME: u64 = 2_000_000_000;

pub(super) fn parse(line: &[u8], out: &mut Parsed) -> Option<()> {
    if line.first() == Some(&b'[') {
        return envoy::parse(line, out);
    }
    let mut cursor = Cursor::new(line);
    let client = cursor.until(b' ').filter(|client| !client.is_empty())?;
    let _ident = cursor.until(b' ')?;
    // A user name may hold spaces, so it goes up to the bracket of the time.
    let user = cursor.until(b'[')?;
    let user = Span { end: user.end.checked_sub(1).filter(|end| *end >= user.start)?, ..user };
    let (when, len) = time::clf(cursor.rest())?;
    set_time(out, when, Text::Line(Span::new(cursor.pos, cursor.pos + len)));
    cursor.pos += len;
    cursor.eat_all(b"] \"")?;
    let request = quoted(&mut cursor)?;
    cursor.eat(b' ')?;
    let status = status(&mut cursor)?;
    cursor.eat(b' ')?;
    out.push_str(attr::CLIENT_ADDRESS, client);
    if user.of(line) != b"-" {
        out.push_str(attr::USER_NAME, user);
    }
    self::request(line, request, out);
    out.severity = severity::from_status(status.unwrap_or(0));
    for (key, number) in [(attr::STATUS, status), (attr::RESPONSE_BODY_BYTES, count(&mut cursor)?)] {
        if let Some(number) = number {
            out.push_int(key, number);
        }
    }
    out.body = Text::Line(Span::new(0, line.len()));
    if cursor.at_end() {
        return Some(());
    }
    cursor.eat(b' ')?;
    if cursor.peek() == Some(b'"') {
        cursor.pos += 1;
        let referer = quoted(&mut cursor)?;
        cursor.eat_all(b" \"")?;
        let agent = quoted(&mut cursor)?;
        for (key, span) in [(attr::REFERER, referer), (attr::USER_AGENT, agent)] {
            if span.of(line) != b"-" {
                out.push_str(key, span);
            }
        }
        if cursor.at_end() {
            return Some(());
        }
        cursor.eat(b' ')?;
        if traefik(cursor, out).is_some() {
            return Some(());
        }
    }
    extras(&mut cursor, out);
    Some(())
}

/// A status, or `-` where there is none.
pub(super) fn status(cursor: &mut Cursor<'_>) -> Option<Option<i64>> {
    count(cursor).filter(|status| status.is_none_or(|n| (100..=999).contains(&n) || n == 0))
}

/// A number, or `-` for none.
pub(super) fn count(cursor: &mut Cursor<'_>) -> Option<Option<i64>> {
    match cursor.eat(b'-') {
        Some(()) => Some(None),
        None => cursor.number().and_then(|n| i64::try_from(n).ok()).map(Some),
    }
}

/// What Traefik puts behind the user agent: how many requests there were, the router, the server's URL, and the duration in milliseconds. The
/// attributes have the names of Traefik's JSON.
fn traefik(mut cursor: Cursor<'_>, out: &mut Parsed) -> Option<()> {
    let requests = count(&mut cursor)?;
    cursor.eat_all(b" \"")?;
    let router = quoted(&mut cursor)?;
    cursor.eat_all(b" \"")?;
    let server = quoted(&mut cursor)?;
    cursor.eat(b' ')?;
    let nanos = cursor.number()?.checked_mul(1_000_000)?;
    cursor.eat_all(b"ms").filter(|()| cursor.at_end())?;
    if let Some(requests) = requests {
        out.push_int("RequestCount", requests);
    }
    for (key, span) in [("RouterName", router), ("ServiceURL", server)] {
        if span.of(cursor.line) != b"-" {
            out.push_str(key, span);
        }
    }
    out.push_int("Duration", i64::try_from(nanos).ok()?);
    out.duration = Some(nanos);
    out.time_is_start = true;
    Some(())
}

/// The inside of a quoted field. nginx writes a quote as `\x22`, Apache as `\"`.
#[inline]
pub(super) fn quoted(cursor: &mut Cursor<'_>) -> Option<Span> {
    let start = cursor.pos;
    loop {
        let at = cursor.pos + memchr(b'"', cursor.rest())?;
        cursor.pos = at + 1;
        let slashes = cursor.line[start..at].iter().rev().take_while(|b| **b == b'\\').count();
        if slashes % 2 == 0 {
            return Some(Span::new(start, at));
        }
    }
}

/// `GET /path?query HTTP/1.1`; anything else (a TLS handshake on a plain port) has no parts.
#[inline]
pub(super) fn request(line: &[u8], span: Span, out: &mut Parsed) {
    let text = span.of(line);
    let Some(method) = memchr(b' ', text).filter(|len| text[..*len].iter().all(u8::is_ascii_uppercase))
    else {
        return;
    };
    let base = span.start as usize;
    let target = method + 1;
    let (end, protocol) = match memchr::memrchr(b' ', &text[target..]) {
        Some(len) if text[target + len + 1..].starts_with(b"HTTP/") => (target + len, Some(target + len + 1)),
        _ => (text.len(), None),
    };
    out.push_str(attr::METHOD, Span::new(base, base + method));
    match memchr(b'?', &text[target..end]) {
        Some(len) => {
            out.push_str(attr::PATH, Span::new(base + target, base + target + len));
            out.push_str(attr::QUERY, Span::new(base + target + len + 1, base + end));
        }
        None => out.push_str(attr::PATH, Span::new(base + target, base + end)),
    }
    if let Some(at) = protocol {
        out.push(Text::Static(attr::PROTOCOL_NAME), Value::Str(Text::Static("http")));
        out.push_str(attr::PROTOCOL_VERSION, Span::new(base + at + 5, base + text.len()));
    }
}

/// Which of the items that have the same shape was seen already.
#[derive(Default)]
struct Seen {
    request_time: bool,
    upstream_time: bool,
    upstream: bool,
}

fn extras(cursor: &mut Cursor<'_>, out: &mut Parsed) {
    let mut seen = Seen::default();
    while !cursor.at_end() {
        cursor.spaces();
        let name = name(cursor);
        let item = if cursor.eat(b'"').is_some() {
            match quoted(cursor) {
                Some(span) => span,
                None => return,
            }
        } else {
            list(cursor)
        };
        match name {
            Some(name) => named(cursor.line, name, item, out),
            None => shaped(cursor.line, item, &mut seen, out),
        }
    }
}

/// A `name=` before an item.
fn name(cursor: &mut Cursor<'_>) -> Option<Span> {
    let rest = cursor.rest();
    let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    if len == 0 || rest.get(len) != Some(&b'=') {
        return None;
    }
    let span = Span::new(cursor.pos, cursor.pos + len);
    cursor.pos += len + 1;
    Some(span)
}

/// An item with all its tries: `a, b : c`.
fn list(cursor: &mut Cursor<'_>) -> Span {
    let start = cursor.pos;
    loop {
        let end = cursor.upto(b' ').end as usize;
        if cursor.line[start..end].ends_with(b",") {
            cursor.pos = (end + 1).min(cursor.line.len());
        } else if cursor.rest().starts_with(b" : ") {
            cursor.pos += 3;
        } else {
            return Span::new(start, end);
        }
        if cursor.at_end() {
            return Span::new(start, cursor.line.len());
        }
    }
}

fn named(line: &[u8], name: Span, item: Span, out: &mut Parsed) {
    let value = item.of(line);
    if value == b"-" || value.is_empty() {
        return;
    }
    match name.of(line) {
        b"rt" | b"request_time" => request_time(line, item, out),
        b"msec" => precise_time(item, value, out),
        b"duration_us" | b"time_us" if apache_time(value, out) => {
            out.push(Text::Line(name), Value::Str(Text::Line(item)))
        }
        b"urt" | b"upstream_response_time" => out.push_str(attr::UPSTREAM_TIME, item),
        b"uct" | b"upstream_connect_time" => out.push_str(attr::UPSTREAM_CONNECT_TIME, item),
        b"uht" | b"upstream_header_time" => out.push_str(attr::UPSTREAM_HEADER_TIME, item),
        b"ust" | b"upstream_status" => out.push_str(attr::UPSTREAM_STATUS, item),
        b"ua" | b"upstream" | b"upstream_addr" => out.push_str(attr::UPSTREAM_ADDRESS, item),
        b"request_id" | b"rid" | b"req_id" => out.push_str(attr::REQUEST_ID, item),
        b"host" => out.push_str(attr::HOST_HEADER, item),
        key => {
            let taken = context::field(key).is_some_and(|field| field.take(value, out));
            if !taken {
                out.push(Text::Line(name), Value::Str(Text::Line(item)));
            }
        }
    }
}

fn shaped(line: &[u8], item: Span, seen: &mut Seen, out: &mut Parsed) {
    let value = item.of(line);
    // Ids are told from everything else by their length alone, so they are not tried as something else first.
    match value.len() {
        32 if TraceId::from_hex(value).is_ok() => return out.push_str(attr::REQUEST_ID, item),
        55.. if context::traceparent(value, out) => return,
        _ => {}
    }
    let first = value.split(|b| matches!(b, b',' | b' ')).next().unwrap_or_default();
    let is_time = first.contains(&b'.') && seconds(first).is_some();
    match value {
        b"" => {}
        b"-" => {
            // Nothing passed the request on: the place of the upstream's time is empty.
            seen.upstream_time |= seen.request_time;
        }
        _ if is_time && is_epoch(value) => precise_time(item, value, out),
        _ if is_time && !seen.request_time && first.len() == value.len() => {
            seen.request_time = true;
            request_time(line, item, out);
        }
        _ if is_time && !seen.upstream_time => {
            seen.upstream_time = true;
            out.push_str(attr::UPSTREAM_TIME, item);
        }
        _ if is_upstream(first) => {
            seen.upstream = true;
            out.push_str(attr::UPSTREAM_ADDRESS, item);
        }
        _ if seen.upstream && is_statuses(value) => out.push_str(attr::UPSTREAM_STATUS, item),
        _ if str_of(first).parse::<std::net::IpAddr>().is_ok() => out.push_str(attr::FORWARDED_FOR, item),
        _ => out.push(Text::Static("nginx.extra"), Value::Str(Text::Line(item))),
    }
}

fn request_time(line: &[u8], item: Span, out: &mut Parsed) {
    let Some(nanos) = seconds(item.of(line)) else { return };
    out.duration = Some(nanos);
    out.push(Text::Static(attr::REQUEST_TIME), Value::Double(nanos as f64 / 1e9));
}

/// nginx's `$msec`: seconds since the Unix epoch with milliseconds.
fn is_epoch(item: &[u8]) -> bool {
    item.len() == 14
        && item[0] != b'0'
        && item.iter().enumerate().all(|(at, b)| if at == 10 { *b == b'.' } else { b.is_ascii_digit() })
}

/// Takes `$msec`, where it says the same second as the line's own time.
fn precise_time(item: Span, value: &[u8], out: &mut Parsed) {
    let Some(nanos) = seconds(value).filter(|_| is_epoch(value)) else { return };
    let differs = out.time.and_then(|when| when.unix()).is_none_or(|time| time.abs_diff(nanos) > CACHED_TIME);
    if !differs {
        set_time(out, time::When::from_unix(nanos as i64), Text::Line(item));
    }
}

/// Takes Apache's `%D`, microseconds since the time that the line begins with.
fn apache_time(value: &[u8], out: &mut Parsed) -> bool {
    let Some(micros) = str_of(value).parse::<u64>().ok().and_then(|n| n.checked_mul(1_000)) else {
        return false;
    };
    out.duration = Some(micros);
    out.time_is_start = true;
    true
}

/// The statuses of all tries, `502, 200`: behind the upstream's address such a number is not a length.
fn is_statuses(item: &[u8]) -> bool {
    let mut statuses = item.split(|b| matches!(b, b',' | b':' | b' ')).filter(|part| !part.is_empty());
    statuses.all(|part| {
        part == b"-"
            || (part.len() == 3 && part.iter().all(u8::is_ascii_digit) && (b'1'..=b'5').contains(&part[0]))
    })
}

/// `10.0.0.1:8080`, `[::1]:8080`, `unix:/run/app.sock`.
fn is_upstream(item: &[u8]) -> bool {
    if item.starts_with(b"unix:") {
        return true;
    }
    let Some(colon) = memchr::memrchr(b':', item) else { return false };
    let port = &item[colon + 1..];
    let host = &item[..colon];
    !port.is_empty()
        && port.iter().all(u8::is_ascii_digit)
        && (host.contains(&b'.') || host.ends_with(b"]") || host == b"localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attributes as `key=value`, then time, duration and whether the time is the start's.
    fn read(line: &str) -> Option<String> {
        let mut out = Parsed::default();
        parse(line.as_bytes(), &mut out)?;
        Some(crate::format::shown(line, &out))
    }

    /// Source of the format: <https://doc.traefik.io/traefik/observability/access-logs/>, "Common Log Format", and Traefik's formatter.
    #[test]
    fn traefik_common() {
        let line = r#"10.0.0.9 - alice [25/Nov/2026:12:00:01 +0000] "GET /orders/17?x=1 HTTP/2.0" 503 5 "-" "curl/8" 42 "shop@docker" "http://172.18.0.3:80" 250ms"#;
        assert_eq!(
            read(line).unwrap(),
            "client.address=10.0.0.9 user.name=alice http.request.method=GET url.path=/orders/17 url.query=x=1 network.protocol.name=http \
             network.protocol.version=2.0 http.response.status_code=503 http.response.body.size=5 user_agent.original=curl/8 RequestCount=42 \
             RouterName=shop@docker ServiceURL=http://172.18.0.3:80 Duration=250000000 | 1795608001000000 took 250 from its start, ERROR"
        );
        // No router took it, and nothing was answered.
        let line = r#"10.0.0.9 - - [25/Nov/2026:12:00:01 +0000] "GET / HTTP/1.1" - - "-" "-" 43 "-" "-" 0ms"#;
        assert_eq!(
            read(line).unwrap(),
            "client.address=10.0.0.9 http.request.method=GET url.path=/ network.protocol.name=http network.protocol.version=1.1 RequestCount=43 \
             Duration=0 | 1795608001000000 took 0 from its start, INFO"
        );
    }
}
