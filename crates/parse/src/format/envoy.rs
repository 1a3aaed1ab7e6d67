//! Envoy's access log in its default text format:
//!
//! `[START_TIME] "METHOD PATH PROTOCOL" RESPONSE_CODE RESPONSE_FLAGS BYTES_RECEIVED BYTES_SENT DURATION X-ENVOY-UPSTREAM-SERVICE-TIME
//! "X-FORWARDED-FOR" "USER-AGENT" "X-REQUEST-ID" "AUTHORITY" "UPSTREAM_HOST"`
//!
//! Source: <https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage>, "Default Format String". `-` stands for what is
//! not there. Durations are milliseconds, the time is that of the request's start.

use super::access::{count, quoted, request, status};
use super::fields::set_time;
use crate::attr;
use crate::parsed::{Parsed, Span, Text};
use crate::scan::Cursor;
use crate::severity;
use crate::time;

pub(super) fn parse(line: &[u8], out: &mut Parsed) -> Option<()> {
    let mut cursor = Cursor::new(line);
    cursor.eat(b'[')?;
    let begun = cursor.until(b']')?;
    cursor.eat_all(b" \"")?;
    let when = time::any(begun.of(line))?;
    let target = quoted(&mut cursor)?;
    cursor.eat(b' ')?;
    let status = status(&mut cursor)?;
    cursor.eat(b' ')?;
    let flags = cursor.until(b' ')?;
    let mut number = || {
        let number = count(&mut cursor)?;
        cursor.eat(b' ').map(|()| number)
    };
    let (received, sent, millis) = (number()?, number()?, number()?);
    let service_time = cursor.until(b' ')?;
    let mut texts = [Span::default(); 5];
    for (at, text) in texts.iter_mut().enumerate() {
        if at > 0 {
            cursor.eat(b' ')?;
        }
        cursor.eat(b'"')?;
        *text = quoted(&mut cursor)?;
    }
    if !cursor.at_end() {
        return None;
    }

    set_time(out, when, Text::Line(begun));
    out.time_is_start = true;
    out.duration = millis.and_then(|millis| u64::try_from(millis).ok()?.checked_mul(1_000_000));
    out.severity = severity::from_status(status.unwrap_or(0));
    out.body = Text::Line(Span::new(0, line.len()));
    request(line, target, out);
    let numbers = [
        (attr::STATUS, status),
        (attr::REQUEST_BODY_BYTES, received),
        (attr::RESPONSE_BODY_BYTES, sent),
        ("duration", millis),
    ];
    for (key, number) in numbers.into_iter().filter_map(|(key, number)| Some((key, number?))) {
        out.push_int(key, number);
    }
    let [forwarded, agent, id, authority, upstream] = texts;
    // Names of Envoy's default JSON format, where no convention has one.
    for (key, span) in [
        ("response_flags", flags),
        ("upstream_service_time", service_time),
        (attr::FORWARDED_FOR, forwarded),
        (attr::USER_AGENT, agent),
        (attr::REQUEST_ID, id),
        (attr::HOST_HEADER, authority),
        ("upstream_host", upstream),
    ] {
        if span.of(line) != b"-" {
            out.push_str(key, span);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<String> {
        let mut out = Parsed::default();
        parse(line.as_bytes(), &mut out)?;
        Some(crate::format::shown(line, &out))
    }

    /// The first line is the documentation's example.
    #[test]
    fn default_format() {
        let line = r#"[2016-04-15T20:17:00.310Z] "POST /api/v1/locations HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "nsq2http" "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "locations" "tcp://10.0.2.1:80""#;
        assert_eq!(
            read(line).unwrap(),
            "http.request.method=POST url.path=/api/v1/locations network.protocol.name=http network.protocol.version=2 http.response.status_code=204 \
             http.request.body.size=154 http.response.body.size=0 duration=226 upstream_service_time=100 \
             http.request.header.x-forwarded-for=10.0.35.28 user_agent.original=nsq2http http.request.id=cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2 \
             http.request.header.host=locations upstream_host=tcp://10.0.2.1:80 | 1460751420310000 took 226 from its start, INFO"
        );
        // A connection that was no HTTP.
        let line = r#"[2026-11-25T12:00:01.250Z] "- - -" 0 NR 0 0 12 - "-" "-" "-" "-" "-""#;
        assert_eq!(
            read(line).unwrap(),
            "http.response.status_code=0 http.request.body.size=0 http.response.body.size=0 duration=12 response_flags=NR | 1795608001250000 took 12 \
             from its start, INFO"
        );
        for line in [
            "",
            "[",
            "[2026-11-25T12:00:01.250Z] \"GET / HTTP/1.1\" 200 - 0 0 12 -",
            "[main] \"a\" 200 - 0 0 12 - \"-\"",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
