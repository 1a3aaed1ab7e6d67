//! What the fields of a line say about a call, under the names that servers and proxies give them.

use std::borrow::Cow;

use weir_model::otlp::SpanKind;

use super::route;
use crate::attr;
use crate::parsed::Value;
use crate::scan;
use crate::stream::Record;

/// The part that a field plays in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Method,
    Path,
    Route,
    /// `GET /path HTTP/1.1`
    RequestLine,
    Status,
    RequestId,
    Kind,
    Operation,
    /// Milliseconds without a unit, as Envoy writes them.
    Millis,
    /// How long the request took, as nginx writes it; the parser has it.
    RequestTime,
    Address,
    ResponseTime,
    /// Envoy's milliseconds of the only try that its line tells of.
    ResponseMillis,
    /// The same in Traefik's nanoseconds.
    ResponseNanos,
    ConnectTime,
    HeaderTime,
    UpstreamStatus,
}

impl Part {
    fn names_span(self) -> bool {
        matches!(self, Self::Kind | Self::Operation)
    }
}

/// nginx's variables are the keys that its JSON formats use, Envoy's and Istio's are those of their default JSON format, Traefik's those of its only one.
fn part(key: &str) -> Option<Part> {
    Some(match key {
        attr::METHOD | "http.method" | "request_method" | "method" => Part::Method,
        attr::PATH | "http.target" | "path" | "uri" | "request_uri" => Part::Path,
        "http.route" | "route" => Part::Route,
        "request" => Part::RequestLine,
        attr::STATUS | "http.status_code" | "status" | "response_code" | "status_code" => Part::Status,
        attr::REQUEST_ID | "request_id" | "requestId" | "x_request_id" | "x-request-id" | "req_id" => {
            Part::RequestId
        }
        "span.kind" | "span_kind" => Part::Kind,
        "operation" | "span.name" | "span_name" | "operation_name" => Part::Operation,
        "duration" => Part::Millis,
        attr::REQUEST_TIME | "request_time" => Part::RequestTime,
        attr::UPSTREAM_ADDRESS | "upstream_addr" | "upstream_host" | "ServiceAddr" | "ServiceURL" => {
            Part::Address
        }
        attr::UPSTREAM_TIME | "upstream_response_time" => Part::ResponseTime,
        "upstream_service_time" => Part::ResponseMillis,
        "OriginDuration" => Part::ResponseNanos,
        attr::UPSTREAM_CONNECT_TIME | "upstream_connect_time" => Part::ConnectTime,
        attr::UPSTREAM_HEADER_TIME | "upstream_header_time" => Part::HeaderTime,
        attr::UPSTREAM_STATUS | "upstream_status" | "OriginStatus" => Part::UpstreamStatus,
        _ => return None,
    })
}

/// What a record says about a call. Texts lie in the record.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Call<'a> {
    pub(super) method: Option<&'a str>,
    pub(super) path: Option<&'a str>,
    given_route: Option<&'a str>,
    pub(super) status: Option<i64>,
    pub(super) request_id: Option<&'a str>,
    pub(super) kind: SpanKind,
    pub(super) operation: Option<&'a str>,
    /// Nanoseconds, where only the other fields tell the unit.
    pub(super) duration: Option<u64>,
    /// Nanoseconds of the only try.
    pub(super) response_time: Option<u64>,
    /// Lists of one item for each try.
    pub(super) addresses: Option<&'a str>,
    pub(super) response_times: Option<Cow<'a, str>>,
    pub(super) connect_times: Option<Cow<'a, str>>,
    pub(super) header_times: Option<Cow<'a, str>>,
    pub(super) upstream_statuses: Option<Cow<'a, str>>,
    /// Which of the first attributes of the record name the span, and which say something about an HTTP call, as bits.
    names: u128,
    http: u128,
}

impl<'a> Call<'a> {
    pub(super) fn read(record: &Record<'a>) -> Self {
        let parsed = record.parsed;
        let mut call = Call { kind: SpanKind::INTERNAL, ..Call::default() };
        let mut request_line = None;
        for (at, field) in parsed.attrs.iter().enumerate() {
            let Some(part) = part(parsed.text(record.text, field.key)) else { continue };
            let bit = 1_u128.checked_shl(at as u32).unwrap_or(0);
            match part.names_span() {
                true => call.names |= bit,
                false => call.http |= bit,
            }
            let text = || match field.value {
                Value::Str(text) => {
                    Some(parsed.text(record.text, text)).filter(|text| !text.is_empty() && *text != "-")
                }
                _ => None,
            };
            let list = || match field.value {
                Value::Int(n) => Some(Cow::Owned(n.to_string())),
                Value::Double(x) => Some(Cow::Owned(x.to_string())),
                _ => text().map(Cow::Borrowed),
            };
            match part {
                Part::Method => set(&mut call.method, text().filter(|text| is_method(text))),
                Part::Path => set(&mut call.path, text()),
                Part::Route => set(&mut call.given_route, text()),
                Part::RequestLine => set(&mut request_line, text()),
                Part::Status => {
                    let code = match field.value {
                        Value::Int(code) => Some(code),
                        _ => text().and_then(|text| text.parse().ok()),
                    };
                    set(&mut call.status, code.filter(|code| (100..=599).contains(code)));
                }
                Part::RequestId => set(&mut call.request_id, text()),
                Part::Kind => call.kind = text().map_or(call.kind, kind),
                Part::Operation => set(&mut call.operation, text()),
                // Only beside the time of the start a bare number has a known unit.
                Part::Millis if parsed.time_is_start => {
                    if let Value::Int(millis) = field.value {
                        set(
                            &mut call.duration,
                            u64::try_from(millis).ok().and_then(|n| n.checked_mul(1_000_000)),
                        );
                    }
                }
                Part::Millis | Part::RequestTime => {}
                Part::Address => set(&mut call.addresses, text().map(without_scheme)),
                Part::ResponseTime => set(&mut call.response_times, list()),
                Part::ResponseMillis => {
                    let millis = list().and_then(|text| text.parse::<u64>().ok());
                    set(&mut call.response_time, millis.and_then(|n| n.checked_mul(1_000_000)));
                }
                Part::ResponseNanos => {
                    set(&mut call.response_time, list().and_then(|text| text.parse().ok()));
                }
                Part::ConnectTime => set(&mut call.connect_times, list()),
                Part::HeaderTime => set(&mut call.header_times, list()),
                Part::UpstreamStatus => set(&mut call.upstream_statuses, list()),
            }
        }
        if let Some((method, rest)) = request_line.and_then(|line| line.split_once(' '))
            && is_method(method)
        {
            set(&mut call.method, Some(method));
            set(&mut call.path, rest.split(' ').next());
        }
        call
    }

    /// Whether the attribute at `at` of the record stands in the span by other means. `http` says that the span is one of an HTTP call.
    pub(super) fn uses(&self, at: usize, key: &str, http: bool) -> bool {
        match 1_u128.checked_shl(at as u32) {
            Some(bit) => self.names & bit != 0 || (http && self.http & bit != 0),
            None => part(key).is_some_and(|part| part.names_span() || http),
        }
    }

    /// The route of the request: the one that is given, else its path without what differs from call to call.
    pub(super) fn route(&self) -> Option<Cow<'a, str>> {
        self.given_route.map(Cow::Borrowed).or_else(|| self.path.map(route::of_path))
    }
}

fn set<T>(slot: &mut Option<T>, value: Option<T>) {
    if slot.is_none() {
        *slot = value;
    }
}

/// `http://10.0.0.1:80/base` and `tcp://10.0.0.1:80` as `10.0.0.1:80`.
fn without_scheme(address: &str) -> &str {
    let Some((_, rest)) = address.split_once("://") else { return address };
    rest.split('/').next().unwrap_or(rest)
}

/// A token in capitals, as all methods are.
fn is_method(text: &str) -> bool {
    (3..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || matches!(b, b'_' | b'-'))
}

fn kind(text: &str) -> SpanKind {
    match text.trim_start_matches("SPAN_KIND_").to_ascii_lowercase().as_str() {
        "server" => SpanKind::SERVER,
        "client" => SpanKind::CLIENT,
        "producer" => SpanKind::PRODUCER,
        "consumer" => SpanKind::CONSUMER,
        _ => SpanKind::INTERNAL,
    }
}

/// Seconds with a fraction, in nanoseconds; `None` for `-`.
pub(super) fn seconds(text: &str) -> Option<u64> {
    scan::seconds(text.as_bytes())
}
