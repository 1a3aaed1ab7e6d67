//! Spans as export requests, encoded by OpenTelemetry's own types.

use std::collections::BTreeMap;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{self as proto, ResourceSpans, ScopeSpans, Status};
use prost::Message;

use crate::raw::{Attrs, Span, Value};

/// One request with these spans, by resource.
pub fn request<'a>(spans: impl IntoIterator<Item = &'a Span>) -> Bytes {
    let mut by_resource: BTreeMap<(&str, String), (&Attrs, Vec<proto::Span>)> = BTreeMap::new();
    for span in spans {
        let key = (span.service.as_str(), format!("{:?}", span.resource));
        by_resource.entry(key).or_insert_with(|| (&span.resource, Vec::new())).1.push(encoded(span));
    }
    let resource_spans = by_resource.into_iter().map(|((service, _), (resource, spans))| {
        let service = KeyValue { value: any(&service.into()), ..key("service.name") };
        let attributes = std::iter::once(service).chain(attributes(resource)).collect();
        ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }.encode_to_vec().into()
}

fn encoded(span: &Span) -> proto::Span {
    proto::Span {
        trace_id: bytes(&span.trace),
        span_id: bytes(&span.span),
        parent_span_id: span.parent.as_deref().map(bytes).unwrap_or_default(),
        name: span.name.clone(),
        kind: span.kind,
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        attributes: attributes(&span.attrs).collect(),
        status: span
            .error
            .then(|| Status { code: proto::status::StatusCode::Error.into(), ..Status::default() }),
        ..proto::Span::default()
    }
}

/// The bytes of a text in hexadecimal.
fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
        .collect()
}

fn key(key: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), ..KeyValue::default() }
}

fn attributes(attrs: &Attrs) -> impl Iterator<Item = KeyValue> {
    attrs.iter().map(|(name, value)| KeyValue { value: any(value), ..key(name) })
}

fn any(value: &Value) -> Option<AnyValue> {
    let list = |values: &[Value]| values.iter().map(|value| any(value).unwrap_or_default()).collect();
    let value = match value {
        Value::Null => return Some(AnyValue::default()),
        Value::Text(text) => Any::StringValue(text.clone()),
        Value::Int(n) => Any::IntValue(*n),
        Value::Double(x) => Any::DoubleValue(*x),
        Value::Bool(b) => Any::BoolValue(*b),
        Value::Bytes(bytes) => Any::BytesValue(bytes.clone()),
        Value::List(values) => Any::ArrayValue(ArrayValue { values: list(values) }),
        Value::Map(entries) => {
            let values = entries.iter().map(|(name, value)| KeyValue { value: any(value), ..key(name) });
            Any::KvlistValue(KeyValueList { values: values.collect() })
        }
    };
    Some(AnyValue { value: Some(value) })
}
