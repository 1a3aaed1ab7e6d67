//! Access logs: nginx combined and Apache common or combined, and what nginx users append: `$request_time`, `$upstream_response_time`,
//! `$upstream_addr`, `$request_id` and `traceparent`, as `key=value` or in this order.

use std::borrow::Cow;

use weir_model::Severity;

use crate::context;
use crate::line::{Field, Line};
use crate::time::{self, Stamp};

/// `None` where the line is no access log.
pub fn parse(text: &str) -> Option<Line<'_>> {
    let (client, rest) = text.split_once(' ')?;
    let (_, rest) = rest.split_once(' ')?;
    let (user, rest) = rest.split_once(" [")?;
    let (stamp, rest) = rest.split_once("] \"")?;
    let stamp = time::parse_common_log(stamp)?;
    let (request, rest) = rest.split_once("\" ")?;
    let mut words = rest.split(' ');
    let status: i64 = words.next()?.parse().ok()?;
    let size = words.next()?;
    let rest = rest.splitn(3, ' ').nth(2).unwrap_or("");
    let mut line = Line {
        format: "access",
        body: Cow::Borrowed(text),
        stamp: Some(Stamp::Instant(stamp)),
        ..Line::default()
    };
    line.text("client.address", client);
    if user != "-" {
        line.text("user.name", user);
    }
    let mut parts = request.splitn(3, ' ');
    if let (Some(method), Some(target), Some(protocol)) = (parts.next(), parts.next(), parts.next()) {
        line.text("http.request.method", method);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        line.text("url.path", path);
        if !query.is_empty() {
            line.text("url.query", query);
        }
        if let Some(version) = protocol.strip_prefix("HTTP/") {
            line.text("network.protocol.version", version);
        }
    }
    line.int("http.response.status_code", status);
    if let Ok(size) = size.parse() {
        line.int("http.response.body.size", size);
    }
    line.severity = match status {
        500.. => Severity::ERROR,
        400..=499 => Severity::WARN,
        _ => Severity::INFO,
    };
    extras(&mut line, rest);
    Some(line)
}

/// The quoted referrer and user agent, then what users append.
fn extras<'a>(line: &mut Line<'a>, mut rest: &'a str) {
    let mut quoted = 0;
    while let Some(after) = rest.trim_start().strip_prefix('"') {
        let Some((value, after)) = after.split_once('"') else { return };
        rest = after;
        quoted += 1;
        if value == "-" {
            continue;
        }
        match quoted {
            1 => line.text("http.request.header.referer", value),
            2 => line.text("user_agent.original", value),
            _ => {}
        }
    }
    for (i, word) in rest.split_whitespace().enumerate() {
        let (key, value) = word.split_once('=').unwrap_or((
            ["request_time", "upstream_response_time", "upstream_addr", "request_id", "traceparent"]
                .get(i)
                .copied()
                .unwrap_or(""),
            word,
        ));
        let value = value.trim_matches('"');
        if value == "-" || context::take_field(line, key, value) {
            continue;
        }
        match key {
            "request_time" | "rt" => {
                if let Ok(seconds) = value.parse() {
                    line.attributes
                        .push((Cow::Borrowed("http.server.request.duration"), Field::Double(seconds)));
                }
            }
            "upstream_response_time" | "urt" => line.text("nginx.upstream_response_time", value),
            "upstream_addr" | "uaddr" => line.text("nginx.upstream_addr", value),
            "request_id" | "rid" => line.text("http.request.id", value),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = parse(
            r#"10.0.0.7 - bob [29/Jan/2023:16:42:10 +0800] "GET /cart?id=3 HTTP/1.1" 502 157 "-" "curl/7.88" request_time=0.123 upstream_response_time=0.100 traceparent=00-93bead877ae15b6d9cdf1c1569881314-0b3fba9c4ba54a89-01"#,
        )
        .unwrap();
        assert_eq!(line.stamp, Some(Stamp::Instant(1_674_981_730_000_000_000)));
        assert_eq!(
            (line.severity, line.span_id.unwrap().to_string().as_str()),
            (Severity::ERROR, "0b3fba9c4ba54a89")
        );
        let found: Vec<_> = line.attributes.iter().map(|(k, v)| (k.as_ref(), v.clone())).collect();
        let text = |s: &'static str| Field::Text(s.into());
        let expect = [
            ("client.address", text("10.0.0.7")),
            ("user.name", text("bob")),
            ("http.request.method", text("GET")),
            ("url.path", text("/cart")),
            ("url.query", text("id=3")),
            ("network.protocol.version", text("1.1")),
            ("http.response.status_code", Field::Int(502)),
            ("http.response.body.size", Field::Int(157)),
            ("user_agent.original", text("curl/7.88")),
            ("http.server.request.duration", Field::Double(0.123)),
            ("nginx.upstream_response_time", text("0.100")),
        ];
        assert_eq!(found, expect);
        let common = parse(r#"::1 - - [01/May/2024:10:00:00 +0000] "-" 400 0"#).unwrap();
        assert_eq!(common.severity, Severity::WARN);
        assert!(parse("a b c [x] \"y\" 200 1").is_none());
    }
}
