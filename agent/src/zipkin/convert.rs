//! What Zipkin's spans become in OpenTelemetry's terms.
//!
//! - `localEndpoint.serviceName` is the resource's `service.name`; its address, and the other end's, are the attributes
//!   `network.local.*`, `peer.service` and `network.peer.*`.
//! - A span without a kind is internal. A server that shares its client's span id keeps it: trace assembly knows such pairs by their kinds.
//! - Tags are attributes, annotations events. A tag `error`, whatever its value, means a failure; so Zipkin defines it.
//! - What OpenTelemetry's own exporter turns into tags (`otel.…`) becomes again what it was, and so do numbers whose type the conventions fix.
//! - A span without a timestamp starts at its first annotation, or has no time: it must not depend on when it arrived, or sending it again
//!   would make another span of it.
//!
//! Source of the `otel.…` tags: OpenTelemetry specification, "OpenTelemetry to Zipkin Transformation".

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use weir_model::otlp::{AttrWriter, BodyWriter, SpanKind, SpanWriter, StatusCode};
use weir_model::wire::Writer;

use super::span::{Endpoint, Kind, Span};

const STATUS_CODE: &str = "otel.status_code";
const STATUS_DESCRIPTION: &str = "otel.status_description";
/// Name and version of the scope; the `library` names are those of older exporters.
const SCOPE: [[&str; 2]; 2] =
    [["otel.scope.name", "otel.library.name"], ["otel.scope.version", "otel.library.version"]];
const ERROR: &str = "error";
/// Attributes that are integers by OpenTelemetry's conventions, and whose values searches compare as numbers.
const INTEGERS: [&str; 5] =
    ["http.status_code", "http.response.status_code", "server.port", "client.port", "rpc.grpc.status_code"];

/// Encodes spans as an export request.
pub(super) fn to_otlp(spans: &[Span]) -> Vec<u8> {
    let mut groups: BTreeMap<(&str, [Cow<'_, str>; 2]), Vec<&Span>> = BTreeMap::new();
    for span in spans {
        let service = span.local_endpoint.as_ref().and_then(|end| end.service_name.as_deref()).unwrap_or("");
        let scope = SCOPE.map(|names| names.iter().find_map(|name| tag(span, name)).unwrap_or_default());
        groups.entry((service, scope)).or_default().push(span);
    }
    let mut body = BodyWriter::default();
    for ((service, [name, version]), spans) in groups {
        body.resource(|attrs| {
            if !service.is_empty() {
                attrs.str("service.name", service);
            }
        });
        body.scope(&name, &version);
        spans.into_iter().for_each(|span| body.record(|out| write(span, out)));
    }
    body.finish()
}

fn write(span: &Span, out: &mut Writer) {
    let mut to = SpanWriter::new(out, span.trace_id, span.id);
    if let Some(parent) = span.parent_id {
        to.parent(parent);
    }
    to.name(span.name.as_deref().unwrap_or(""));
    to.kind(match span.kind {
        None => SpanKind::INTERNAL,
        Some(Kind::Client) => SpanKind::CLIENT,
        Some(Kind::Server) => SpanKind::SERVER,
        Some(Kind::Producer) => SpanKind::PRODUCER,
        Some(Kind::Consumer) => SpanKind::CONSUMER,
    });
    let annotations = span.annotations.as_deref().unwrap_or(&[]);
    let first = annotations.iter().map(|annotation| annotation.timestamp).min();
    let start = nanos(span.timestamp.filter(|time| *time > 0).or(first).unwrap_or(0));
    to.times(start, start.saturating_add(nanos(span.duration.unwrap_or(0))));
    if let Some((code, message)) = status(span) {
        to.status(code, &message);
    }
    attributes(span, &mut to.attrs());
    for annotation in annotations {
        to.event(nanos(annotation.timestamp), &annotation.value, |_| {});
    }
}

fn nanos(micros: u64) -> u64 {
    micros.saturating_mul(1_000)
}

fn tag<'s>(span: &'s Span, name: &str) -> Option<Cow<'s, str>> {
    span.tags.as_ref()?.get(name).map(text)
}

fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

fn status(span: &Span) -> Option<(StatusCode, Cow<'_, str>)> {
    let error = tag(span, ERROR);
    let code = match tag(span, STATUS_CODE).as_deref() {
        Some("OK") => StatusCode::OK,
        Some("ERROR") => StatusCode::ERROR,
        _ if error.is_some() => StatusCode::ERROR,
        _ => return None,
    };
    let said = tag(span, STATUS_DESCRIPTION).or(error.filter(|text| text != "true"));
    Some((code, said.filter(|_| code == StatusCode::ERROR).unwrap_or_default()))
}

fn attributes(span: &Span, to: &mut AttrWriter<'_>) {
    let consumed = |name: &str| {
        [STATUS_CODE, STATUS_DESCRIPTION].contains(&name) || SCOPE.as_flattened().contains(&name)
    };
    for (name, value) in span.tags.iter().flatten().filter(|(name, _)| !consumed(name)) {
        let value = text(value);
        match value.parse() {
            Ok(number) if INTEGERS.contains(&name.as_str()) => to.int(name, number),
            _ => to.str(name, &value),
        }
    }
    if let Some(end) = &span.local_endpoint {
        address(end, "network.local.address", "network.local.port", to);
    }
    if let Some(end) = &span.remote_endpoint {
        if let Some(name) = end.service_name.as_deref().filter(|name| !name.is_empty()) {
            to.str("peer.service", name);
        }
        address(end, "network.peer.address", "network.peer.port", to);
    }
}

fn address(end: &Endpoint, address: &str, port: &str, to: &mut AttrWriter<'_>) {
    let ip = [&end.ipv4, &end.ipv6].into_iter().flatten().find(|ip| !ip.is_empty());
    if let Some(ip) = ip {
        to.str(address, ip);
    }
    if let Some(number) = end.port.filter(|port| *port > 0) {
        to.int(port, number);
    }
}

#[cfg(test)]
mod tests {
    use weir_model::Signal;
    use weir_model::otlp::{span_refs, validate};

    use super::*;

    /// What a list of spans becomes, a line each: service, scope, ids, name, kind, times, status, attributes, events.
    fn lines(json: &str) -> Vec<String> {
        let spans: Vec<Span> = serde_json::from_str(json).unwrap();
        let body = to_otlp(&spans);
        assert_eq!(validate(Signal::Spans, &body).unwrap().records, spans.len() as u64);
        let line = |of: weir_model::otlp::SpanRef<'_>| {
            let span = &of.span;
            let parent = span.parent_span_id.map_or("-".into(), |id| id.to_string());
            let mut line = format!(
                "{}/{}{} {}:{}<{parent} {} {} {}..{} {}{}",
                of.resource.service(),
                of.scope.name(),
                of.scope.version(),
                span.trace_id.unwrap(),
                span.span_id.unwrap(),
                span.name,
                span.kind.name(),
                span.start,
                span.end,
                span.status.code.name(),
                span.status.message,
            );
            span.attrs().iter().for_each(|attr| line += &format!(" {}={:?}", attr.key, attr.value));
            span.events().for_each(|event| line += &format!(" @{} {}", event.time, event.name));
            line
        };
        span_refs(&body).map(line).collect()
    }

    const IDS: &str = r#""traceId":"463ac35c9f6413ad48485a3953bb6124","id":"a2fb4a1d1a96d312""#;
    const SHOWN: &str = "463ac35c9f6413ad48485a3953bb6124:a2fb4a1d1a96d312<-";

    /// A span with the ids and the members of `json` becomes `expect`, where `ID` stands for the ids.
    fn check(json: &str, expect: &str) {
        let separator = if json.is_empty() { "" } else { "," };
        assert_eq!(lines(&format!("[{{{IDS}{separator}{json}}}]")), [expect.replace("ID", SHOWN)], "{json}");
    }

    #[test]
    fn a_whole_span() {
        check(
            r#""kind":"SERVER","name":"get /","timestamp":1502787600000001,"duration":250,"debug":true,
               "localEndpoint":{"serviceName":"shop","ipv4":"10.0.0.1","port":8080},"remoteEndpoint":{"serviceName":"front","ipv6":"::1"},
               "annotations":[{"timestamp":1502787600000100,"value":"brake"}],"tags":{"http.method":"GET","http.status_code":"200"}"#,
            r#"shop/ ID get / server 1502787600000001000..1502787600000251000 unset http.method=Str("GET") http.status_code=Int(200) network.local.address=Str("10.0.0.1") network.local.port=Int(8080) peer.service=Str("front") network.peer.address=Str("::1") @1502787600000100000 brake"#,
        );
    }

    #[test]
    fn kinds_and_absence() {
        check("", "/ ID  internal 0..0 unset");
        check(
            r#""kind":null,"name":null,"timestamp":null,"tags":null,"annotations":null,"parentId":"""#,
            "/ ID  internal 0..0 unset",
        );
        for (kind, name) in [("CLIENT", "client"), ("PRODUCER", "producer"), ("CONSUMER", "consumer")] {
            check(&format!(r#""kind":"{kind}""#), &format!("/ ID  {name} 0..0 unset"));
        }
        check(
            r#""localEndpoint":{"serviceName":"","ipv4":"","port":0},"remoteEndpoint":{}"#,
            "/ ID  internal 0..0 unset",
        );
    }

    #[test]
    fn times() {
        check(r#""duration":7"#, "/ ID  internal 0..7000 unset");
        check(
            r#""annotations":[{"timestamp":9,"value":"b"},{"timestamp":5,"value":"a"}]"#,
            "/ ID  internal 5000..5000 unset @9000 b @5000 a",
        );
        check(
            r#""timestamp":18446744073709551615,"duration":1"#,
            "/ ID  internal 18446744073709551615..18446744073709551615 unset",
        );
    }

    #[test]
    fn errors() {
        check(r#""tags":{"error":"no stock"}"#, r#"/ ID  internal 0..0 errorno stock error=Str("no stock")"#);
        check(r#""tags":{"error":""}"#, r#"/ ID  internal 0..0 error error=Str("")"#);
        check(r#""tags":{"error":true}"#, r#"/ ID  internal 0..0 error error=Str("true")"#);
        check(
            r#""tags":{"otel.status_code":"ERROR","error":"gone"}"#,
            r#"/ ID  internal 0..0 errorgone error=Str("gone")"#,
        );
        check(r#""tags":{"otel.status_code":"OK","otel.status_description":"x"}"#, "/ ID  internal 0..0 ok");
    }

    #[test]
    fn what_an_exporter_made_tags_of() {
        check(
            r#""tags":{"otel.library.name":"lib","otel.library.version":"1","otel.scope.name":"lib","server.port":"x"}"#,
            r#"/lib1 ID  internal 0..0 unset server.port=Str("x")"#,
        );
    }

    #[test]
    fn ids() {
        let spans = r#"[{"traceId":"48485a3953bb6124","id":"1","parentId":"a2fb4a1d1a96d312","kind":"CLIENT","localEndpoint":{"serviceName":"a"}},
            {"traceId":"48485a3953bb6124","id":"1","parentId":"a2fb4a1d1a96d312","kind":"SERVER","shared":true,"localEndpoint":{"serviceName":"b"}}]"#;
        let ids = "000000000000000048485a3953bb6124:0000000000000001<a2fb4a1d1a96d312";
        assert_eq!(
            lines(spans),
            [format!("a/ {ids}  client 0..0 unset"), format!("b/ {ids}  server 0..0 unset")]
        );
    }

    #[test]
    fn what_is_no_span() {
        let check = |json: &str, expect: &str| {
            let error = serde_json::from_str::<Vec<Span>>(json).unwrap_err().to_string();
            assert!(error.starts_with(expect), "{error}");
        };
        check("{}", "invalid type: map, expected a sequence");
        check(r#"[{"id":"1"}]"#, "missing field `traceId`");
        check(r#"[{"traceId":"1","id":"0000"}]"#, "an `id` is missing or zero");
        check(r#"[{"traceId":"x","id":"1"}]"#, "the id `x` is not 1 to 32 hexadecimal digits");
        check(r#"[{"traceId":"1","id":"12345678901234567"}]"#, "the id `12345678901234567` is not 1 to 16");
        check(
            r#"[{"traceId":"1","id":"1","kind":"LOCAL"}]"#,
            "unknown variant `LOCAL`, expected one of `CLIENT`",
        );
    }
}
