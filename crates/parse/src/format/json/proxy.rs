//! Access lines that proxies write as JSON, with the attributes that those of other servers have.
//!
//! Caddy has the request in an object of its own; what is known of it and of the answer gets the name of the conventions, the rest keeps its own.
//! Traefik has flat fields in no order, so they are renamed when all of them are there.

use super::scan::Scan;
use super::{dotted, find};
use crate::attr;
use crate::context;
use crate::format::fields;
use crate::parsed::{Parsed, Span, Text, Value};

/// Longest time that a line may say it took, in seconds: more is no duration.
const SECONDS_MAX: f64 = 1e9;

/// Caddy's fields beside the request, and what they are called here.
const CADDY: [(&str, &str); 4] = [
    ("status", attr::STATUS),
    ("size", attr::RESPONSE_BODY_BYTES),
    ("bytes_read", attr::REQUEST_BODY_BYTES),
    ("user_id", attr::USER_NAME),
];

const TRAEFIK: [(&str, &str); 10] = [
    ("RequestMethod", attr::METHOD),
    ("RequestHost", attr::HOST_HEADER),
    ("RequestContentSize", attr::REQUEST_BODY_BYTES),
    ("DownstreamStatus", attr::STATUS),
    ("DownstreamContentSize", attr::RESPONSE_BODY_BYTES),
    ("ClientHost", attr::CLIENT_ADDRESS),
    ("ClientUsername", attr::USER_NAME),
    ("request_User-Agent", attr::USER_AGENT),
    ("request_Referer", attr::REFERER),
    ("request_X-Request-Id", attr::REQUEST_ID),
];

/// Takes the object under `request`, in which `scan` stands. False for one that is not Caddy's.
pub(super) fn request(scan: Scan<'_>, line: &str, out: &mut Parsed) -> bool {
    if ["method", "uri", "proto"].iter().any(|name| find(scan, name.as_bytes()).is_none()) {
        return false;
    }
    let mut remote = None;
    let whole = each(scan, |scan, name| {
        let from = scan.pos;
        let value = value(scan, out)?;
        match (name.of(line.as_bytes()), value) {
            (b"method", Value::Str(text)) => out.push(Text::Static(attr::METHOD), Value::Str(text)),
            (b"uri", Value::Str(text)) => target(text, line, out),
            (b"proto", Value::Str(text)) => protocol(text, line, out),
            (b"host", Value::Str(text)) => out.push(Text::Static(attr::HOST_HEADER), Value::Str(text)),
            (b"client_ip", address) => out.push(Text::Static(attr::CLIENT_ADDRESS), address),
            (b"remote_ip", address) => remote = Some(address),
            (b"remote_port", Value::Str(text)) => {
                let port = out.text(line, text).parse().map_or(Value::Str(text), Value::Int);
                out.push(Text::Static(attr::PEER_PORT), port);
            }
            (key, value) => {
                if key == b"headers" && matches!(value, Value::Json(_)) {
                    headers(Scan { pos: from + 1, ..*scan }, line, out);
                }
                let key = dotted(Text::Static("request"), name, line, out);
                out.push(key, value);
            }
        }
        Some(())
    });
    if let Some(address) = remote {
        // Who sent it may be a proxy that Caddy trusts. Before Caddy 2.7 there was no other address.
        out.push(Text::Static(attr::PEER_ADDRESS), address);
        out.set_default(attr::CLIENT_ADDRESS, address);
    }
    whole.is_some()
}

/// The first value of each header that says something about the record.
fn headers(scan: Scan<'_>, line: &str, out: &mut Parsed) {
    each(scan, |scan, name| {
        let mut values = Scan { pos: scan.pos + 1, ..*scan };
        scan.skip_value()?;
        let Some(inside) = values.element() else { return Some(()) };
        let escaped = inside.of(line.as_bytes()).contains(&b'\\');
        let mut take = |key: &'static str| {
            let text = values.text(inside, escaped, out);
            out.push(Text::Static(key), Value::Str(text));
        };
        match name.of(line.as_bytes()) {
            b"User-Agent" => take(attr::USER_AGENT),
            b"Referer" => take(attr::REFERER),
            b"X-Request-Id" => take(attr::REQUEST_ID),
            b"X-Forwarded-For" => take(attr::FORWARDED_FOR),
            key => {
                if let Some(field) = context::field(key) {
                    field.take(inside.of(line.as_bytes()), out);
                }
            }
        }
        Some(())
    });
}

/// Gives the fields of Caddy's line that lie beside the request their names. Its duration is seconds, or a text with a unit.
pub(super) fn caddy(line: &str, out: &mut Parsed) {
    rename(&CADDY, line, out);
    drop_if(attr::USER_NAME, "", line, out);
    if let Some(seconds) = out.attr_f64(line, "duration").filter(|s| (0.0..SECONDS_MAX).contains(s)) {
        out.duration = Some((seconds * 1e9).round() as u64);
    }
}

/// Gives the fields of Traefik's line their names. Its durations are nanoseconds.
pub(super) fn traefik(line: &str, out: &mut Parsed) {
    rename(&TRAEFIK, line, out);
    drop_if(attr::USER_NAME, "-", line, out);
    if let Some(Value::Int(nanos)) = out.attr(line, "Duration") {
        out.duration = u64::try_from(nanos).ok();
    }
    for (key, split) in
        [("RequestPath", target as fn(Text, &str, &mut Parsed)), ("RequestProtocol", protocol)]
    {
        let at = out.attrs.iter().position(|attr| out.text(line, attr.key) == key);
        if let Some(at) = at
            && let Value::Str(text) = out.attrs[at].value
        {
            out.attrs.remove(at);
            split(text, line, out);
        }
    }
}

fn rename(names: &[(&str, &'static str)], line: &str, out: &mut Parsed) {
    for at in 0..out.attrs.len() {
        let key = out.text(line, out.attrs[at].key);
        if let Some((_, name)) = names.iter().find(|(known, _)| *known == key) {
            out.attrs[at].key = Text::Static(name);
        }
    }
}

/// Takes out an attribute that has this value.
fn drop_if(key: &str, value: &str, line: &str, out: &mut Parsed) {
    let at = out.attrs.iter().position(|attr| {
        out.text(line, attr.key) == key
            && matches!(attr.value, Value::Str(text) if out.text(line, text) == value)
    });
    if let Some(at) = at {
        out.attrs.remove(at);
    }
}

/// `/path?query`
fn target(text: Text, line: &str, out: &mut Parsed) {
    let target = out.text(line, text);
    let (path, whole) = (target.find('?').unwrap_or(target.len()), target.len());
    out.push(Text::Static(attr::PATH), Value::Str(fields::part(text, 0, path)));
    if path < whole {
        out.push(Text::Static(attr::QUERY), Value::Str(fields::part(text, path + 1, whole - path - 1)));
    }
}

/// `HTTP/1.1`
fn protocol(text: Text, line: &str, out: &mut Parsed) {
    let protocol = out.text(line, text);
    if let Some(version) = protocol.strip_prefix("HTTP/") {
        let version = fields::part(text, protocol.len() - version.len(), version.len());
        out.push(Text::Static(attr::PROTOCOL_NAME), Value::Str(Text::Static("http")));
        out.push(Text::Static(attr::PROTOCOL_VERSION), Value::Str(version));
    }
}

/// Visits the fields of the object that `scan` stands in; `take` passes over the value. `None` for what is no object.
fn each(mut scan: Scan<'_>, mut take: impl FnMut(&mut Scan<'_>, Span) -> Option<()>) -> Option<()> {
    loop {
        scan.blank();
        match scan.next()? {
            b'"' => {}
            b',' => continue,
            b'}' => return Some(()),
            _ => return None,
        }
        let (key, _) = scan.string()?;
        scan.blank();
        if scan.next()? != b':' {
            return None;
        }
        scan.blank();
        take(&mut scan, key)?;
    }
}

fn value(scan: &mut Scan<'_>, out: &mut Parsed) -> Option<Value> {
    let start = scan.pos;
    Some(match scan.peek()? {
        b'"' => {
            scan.pos += 1;
            let (span, escaped) = scan.string()?;
            Value::Str(scan.text(span, escaped, out))
        }
        b'0'..=b'9' | b'-' => fields::number(scan.number()?.of(scan.line)),
        _ => {
            scan.skip_value()?;
            Value::Json(Text::Line(Span::new(start, scan.pos)))
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::format::{Format, shown};
    use crate::parsed::Parsed;

    fn check(line: &str, expect: &str) {
        let mut out = Parsed::default();
        assert!(Format::Json.parse(line, &mut out), "{line}");
        assert_eq!(shown(line, &out), expect);
    }

    /// Source of the format: <https://caddyserver.com/docs/logging>, whose example this is; `duration_format` is an option of its encoder.
    #[test]
    fn caddy() {
        check(
            r#"{"level":"info","ts":1646861401.5241024,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"127.0.0.1","remote_port":"41342","client_ip":"10.0.0.9","proto":"HTTP/2.0","method":"GET","host":"localhost","uri":"/a?b=1","headers":{"User-Agent":["curl/7.82.0"],"Accept":["*/*"]},"tls":{"resumed":false}},"bytes_read":0,"user_id":"","duration":0.000929675,"size":10900,"status":200,"resp_headers":{"Server":["Caddy"]}}"#,
            "logger=http.log.access network.peer.port=41342 client.address=10.0.0.9 network.protocol.name=http network.protocol.version=2.0 \
             http.request.method=GET http.request.header.host=localhost url.path=/a url.query=b=1 user_agent.original=curl/7.82.0 \
             request.headers={\"User-Agent\":[\"curl/7.82.0\"],\"Accept\":[\"*/*\"]} request.tls={\"resumed\":false} network.peer.address=127.0.0.1 \
             http.request.body.size=0 duration=0.000929675 http.response.body.size=10900 http.response.status_code=200 \
             resp_headers={\"Server\":[\"Caddy\"]} | 1646861401524102 took 0.929675, INFO",
        );
        // Another's `request`, and a duration whose unit is not known.
        check(
            r#"{"level":"info","ts":1646861401,"request":{"method":"GET","id":7},"duration":3,"status":200}"#,
            "request={\"method\":\"GET\",\"id\":7} duration=3 status=200 | 1646861401000000, INFO",
        );
    }

    /// Source of the format: <https://doc.traefik.io/traefik/observability/access-logs/>, "Available Fields".
    #[test]
    fn traefik() {
        check(
            r#"{"ClientHost":"10.0.0.9","ClientUsername":"-","DownstreamContentSize":5,"DownstreamStatus":200,"Duration":2500000,"OriginDuration":2000000,"OriginStatus":200,"RequestHost":"shop.test","RequestMethod":"GET","RequestPath":"/a/7?b=1","RequestProtocol":"HTTP/1.1","RouterName":"shop@docker","ServiceAddr":"172.18.0.3:80","StartUTC":"2026-11-25T12:00:01.25Z","level":"info","msg":"","request_User-Agent":"curl/8","time":"2026-11-25T12:00:01Z"}"#,
            "client.address=10.0.0.9 http.response.body.size=5 http.response.status_code=200 Duration=2500000 OriginDuration=2000000 OriginStatus=200 \
             http.request.header.host=shop.test http.request.method=GET RouterName=shop@docker ServiceAddr=172.18.0.3:80 user_agent.original=curl/8 \
             time=2026-11-25T12:00:01Z url.path=/a/7 url.query=b=1 network.protocol.name=http network.protocol.version=1.1 | 1795608001250000 took 2.5 \
             from its start, INFO",
        );
    }
}
