//! A span as Zipkin's clients write it. Unknown members are skipped, nulls are absent.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use weir_model::{SpanId, TraceId};

/// Times and durations in microseconds.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Span {
    #[serde(deserialize_with = "trace_id")]
    pub(super) trace_id: TraceId,
    #[serde(deserialize_with = "span_id")]
    pub(super) id: SpanId,
    #[serde(default, deserialize_with = "parent_id")]
    pub(super) parent_id: Option<SpanId>,
    pub(super) kind: Option<Kind>,
    pub(super) name: Option<String>,
    /// Since the Unix epoch.
    pub(super) timestamp: Option<u64>,
    pub(super) duration: Option<u64>,
    pub(super) local_endpoint: Option<Endpoint>,
    pub(super) remote_endpoint: Option<Endpoint>,
    pub(super) annotations: Option<Vec<Annotation>>,
    /// Texts by the description; numbers and booleans come from clients that take it less strictly.
    pub(super) tags: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Kind {
    Client,
    Server,
    Producer,
    Consumer,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Endpoint {
    pub(super) service_name: Option<String>,
    pub(super) ipv4: Option<String>,
    pub(super) ipv6: Option<String>,
    pub(super) port: Option<i64>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Annotation {
    pub(super) timestamp: u64,
    pub(super) value: String,
}

fn trace_id<'de, D: Deserializer<'de>>(json: D) -> Result<TraceId, D::Error> {
    let id = digits::<32, D>(json)?;
    TraceId::new(id.to_be_bytes()).ok_or_else(|| D::Error::custom("a `traceId` is missing or zero"))
}

fn span_id<'de, D: Deserializer<'de>>(json: D) -> Result<SpanId, D::Error> {
    parent_id(json)?.ok_or_else(|| D::Error::custom("an `id` is missing or zero"))
}

fn parent_id<'de, D: Deserializer<'de>>(json: D) -> Result<Option<SpanId>, D::Error> {
    let id = digits::<16, D>(json)?;
    Ok(SpanId::new((id as u64).to_be_bytes()))
}

/// An id of at most `MAX` digits: shorter ones lack zeros on their left. Nothing is zero.
fn digits<'de, const MAX: usize, D: Deserializer<'de>>(json: D) -> Result<u128, D::Error> {
    let text = Option::<String>::deserialize(json)?.unwrap_or_default();
    if text.is_empty() {
        return Ok(0);
    }
    let hexadecimal = text.len() <= MAX && text.bytes().all(|b| b.is_ascii_hexdigit());
    let id = hexadecimal.then(|| u128::from_str_radix(&text, 16).ok()).flatten();
    id.ok_or_else(|| D::Error::custom(format!("the id `{text}` is not 1 to {MAX} hexadecimal digits")))
}
