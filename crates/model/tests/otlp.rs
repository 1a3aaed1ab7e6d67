//! OTLP in and out: the views see what prost wrote, and prost sees what the writers wrote.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use proptest::prelude::*;
use prost::Message;
use weir_model::Signal;
use weir_model::otlp::{BodyWriter, Refs, Value, log_refs, span_refs, validate};

fn any_value(depth: u32) -> BoxedStrategy<Option<AnyValue>> {
    let leaf = prop_oneof![
        ".{0,12}".prop_map(any_value::Value::StringValue),
        any::<bool>().prop_map(any_value::Value::BoolValue),
        any::<i64>().prop_map(any_value::Value::IntValue),
        any::<i32>().prop_map(|n| any_value::Value::DoubleValue(n as f64 / 3.0)),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(any_value::Value::BytesValue),
    ];
    let value = if depth == 0 {
        leaf.boxed()
    } else {
        let inner = prop::collection::vec(any_value(depth - 1), 0..3);
        let list = inner.prop_map(|values| {
            let values = values.into_iter().map(Option::unwrap_or_default).collect();
            any_value::Value::ArrayValue(ArrayValue { values })
        });
        let map = attrs(depth - 1).prop_map(|values| any_value::Value::KvlistValue(KeyValueList { values }));
        prop_oneof![4 => leaf, 1 => list, 1 => map].boxed()
    };
    prop::option::weighted(0.9, value.prop_map(|value| AnyValue { value: Some(value) })).boxed()
}

fn attrs(depth: u32) -> BoxedStrategy<Vec<KeyValue>> {
    let attr = ("[a-z.]{0,8}", any_value(depth)).prop_map(|(key, value)| KeyValue {
        key,
        value,
        ..Default::default()
    });
    prop::collection::vec(attr, 0..4).boxed()
}

fn id<const N: usize>() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        any::<[u8; N]>().prop_map(|mut id| {
            id[0] |= 1;
            id.to_vec()
        })
    ]
}

prop_compose! {
    fn log()(time: u64, observed: u64, severity in 0i32..25, text in ".{0,6}", body in any_value(2), attributes in attrs(2),
             trace_id in id::<16>(), span_id in id::<8>(), flags: u32, dropped: u32, event_name in ".{0,5}") -> LogRecord {
        LogRecord { time_unix_nano: time, observed_time_unix_nano: observed, severity_number: severity, severity_text: text, body,
            attributes, dropped_attributes_count: dropped, flags, trace_id, span_id, event_name }
    }
}

prop_compose! {
    fn span()(ids in (id::<16>(), id::<8>(), id::<8>()), name in ".{0,8}", kind in 0i32..6, start: u64, end: u64, attributes in attrs(1),
              status in prop::option::of(("[a-z]{0,5}", 0i32..3)), state in "[a-z]{0,4}", flags: u32,
              events in prop::collection::vec((any::<u64>(), ".{0,4}", attrs(1)), 0..3)) -> Span {
        let events = events.into_iter().map(|(time_unix_nano, name, attributes)| span::Event { time_unix_nano, name, attributes, dropped_attributes_count: 0 });
        Span { trace_id: ids.0, span_id: ids.1, parent_span_id: ids.2, name, kind, start_time_unix_nano: start, end_time_unix_nano: end,
            attributes, events: events.collect(), trace_state: state, flags,
            status: status.map(|(message, code)| Status { message, code }), ..Default::default() }
    }
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    prop::option::of(attrs(1).prop_map(|attributes| Resource { attributes, ..Default::default() }))
}

fn scope() -> impl Strategy<Value = Option<InstrumentationScope>> {
    let scope = ("[a-z]{0,4}", attrs(1));
    prop::option::of(scope.prop_map(|(name, attributes)| InstrumentationScope {
        name,
        attributes,
        ..Default::default()
    }))
}

fn logs() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let scopes = prop::collection::vec((scope(), prop::collection::vec(log(), 0..3)), 0..3);
    let groups = prop::collection::vec((resource(), scopes), 0..3);
    groups.prop_map(|groups| ExportLogsServiceRequest {
        resource_logs: groups
            .into_iter()
            .map(|(resource, scopes)| ResourceLogs {
                resource,
                scope_logs: scopes
                    .into_iter()
                    .map(|(scope, log_records)| ScopeLogs { scope, log_records, ..Default::default() })
                    .collect(),
                ..Default::default()
            })
            .collect(),
    })
}

fn spans() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let groups = prop::collection::vec((resource(), scope(), prop::collection::vec(span(), 0..3)), 0..3);
    groups.prop_map(|groups| ExportTraceServiceRequest {
        resource_spans: groups
            .into_iter()
            .map(|(resource, scope, spans)| ResourceSpans {
                resource,
                scope_spans: vec![ScopeSpans { scope, spans, ..Default::default() }],
                ..Default::default()
            })
            .collect(),
    })
}

fn same(view: Value<'_>, value: &Option<AnyValue>) -> bool {
    match (view, value.as_ref().and_then(|v| v.value.as_ref())) {
        (Value::Empty, None) => true,
        (Value::Str(a), Some(any_value::Value::StringValue(b))) => a == b,
        (Value::Bool(a), Some(any_value::Value::BoolValue(b))) => a == *b,
        (Value::Int(a), Some(any_value::Value::IntValue(b))) => a == *b,
        (Value::Double(a), Some(any_value::Value::DoubleValue(b))) => a.to_bits() == b.to_bits(),
        (Value::Bytes(a), Some(any_value::Value::BytesValue(b))) => a == b,
        (Value::Array(a), Some(any_value::Value::ArrayValue(b))) => {
            let a: Vec<_> = a.iter().collect();
            a.len() == b.values.len() && a.iter().zip(&b.values).all(|(a, b)| same(*a, &Some(b.clone())))
        }
        (Value::Map(a), Some(any_value::Value::KvlistValue(b))) => same_attrs(a, &b.values),
        _ => false,
    }
}

fn same_attrs(view: weir_model::otlp::Attrs<'_>, values: &[KeyValue]) -> bool {
    let attrs: Vec<_> = view.iter().collect();
    attrs.len() == values.len()
        && attrs.iter().zip(values).all(|(a, b)| a.key == b.key && same(a.value, &b.value))
}

proptest! {
    #[test]
    fn views_see_what_is_encoded(request in logs()) {
        let body = request.encode_to_vec();
        let records: Vec<_> = request.resource_logs.iter()
            .flat_map(|r| r.scope_logs.iter().flat_map(move |s| s.log_records.iter().map(move |l| (r, s, l)))).collect();
        prop_assert_eq!(validate(Signal::Logs, &body).map(|c| c.records), Ok(records.len() as u64));
        let views: Vec<_> = log_refs(&body).collect();
        prop_assert_eq!(views.len(), records.len());
        for (view, (resource, scope, log)) in views.iter().zip(records) {
            prop_assert!(same_attrs(view.resource.attrs(), resource.resource.as_ref().map_or(&[], |r| &r.attributes)));
            prop_assert!(same_attrs(view.scope.attrs(), scope.scope.as_ref().map_or(&[], |s| &s.attributes)));
            prop_assert_eq!(view.scope.name(), scope.scope.as_ref().map_or("", |s| &s.name));
            let v = &view.log;
            prop_assert_eq!((v.time, v.observed, v.severity.0), (log.time_unix_nano, log.observed_time_unix_nano, log.severity_number));
            prop_assert_eq!((v.severity_text, v.event_name, v.trace_flags), (log.severity_text.as_str(), log.event_name.as_str(), log.flags));
            prop_assert_eq!(v.trace_id.map_or(vec![], |id| id.as_bytes().to_vec()), log.trace_id.clone());
            prop_assert_eq!(v.span_id.map_or(vec![], |id| id.as_bytes().to_vec()), log.span_id.clone());
            prop_assert!(same(v.body, &log.body));
            prop_assert!(same_attrs(v.attrs(), &log.attributes));
            prop_assert_eq!(v.dropped_attributes, log.dropped_attributes_count);
        }
    }

    #[test]
    fn span_views_see_what_is_encoded(request in spans()) {
        let body = request.encode_to_vec();
        let spans: Vec<_> = request.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans).collect();
        prop_assert_eq!(validate(Signal::Spans, &body).map(|c| c.records), Ok(spans.len() as u64));
        let views: Vec<_> = span_refs(&body).collect();
        prop_assert_eq!(views.len(), spans.len());
        for (view, span) in views.iter().zip(spans) {
            let v = &view.span;
            prop_assert_eq!(v.trace_id.map_or(vec![], |id| id.as_bytes().to_vec()), span.trace_id.clone());
            prop_assert_eq!(v.span_id.map_or(vec![], |id| id.as_bytes().to_vec()), span.span_id.clone());
            prop_assert_eq!(v.parent_span_id.map_or(vec![], |id| id.as_bytes().to_vec()), span.parent_span_id.clone());
            prop_assert_eq!((v.name, v.kind.0, v.start, v.end), (span.name.as_str(), span.kind, span.start_time_unix_nano, span.end_time_unix_nano));
            prop_assert_eq!((v.trace_state, v.flags), (span.trace_state.as_str(), span.flags));
            let status = span.status.clone().unwrap_or_default();
            prop_assert_eq!((v.status.message, v.status.code.0), (status.message.as_str(), status.code));
            prop_assert!(same_attrs(v.attrs(), &span.attributes));
            let events: Vec<_> = v.events().collect();
            prop_assert_eq!(events.len(), span.events.len());
            for (event, expect) in events.iter().zip(&span.events) {
                prop_assert_eq!((event.time, event.name), (expect.time_unix_nano, expect.name.as_str()));
                prop_assert!(same_attrs(event.attrs, &expect.attributes));
            }
        }
    }

    /// Regrouping raw records, and values copied through the writers, lose nothing.
    #[test]
    fn what_is_written_from_views_reads_back(request in logs()) {
        let body = request.encode_to_vec();
        let mut raw = BodyWriter::default();
        let mut copied = BodyWriter::default();
        for (group, record) in Refs::new(&body) {
            raw.raw_resource(group.resource.message());
            raw.raw_scope(group.scope.message());
            raw.raw_record(record);
            copied.resource(|w| group.resource.attrs().iter().for_each(|a| w.value(a.key, a.value)));
        }
        let expect: Vec<_> = request.resource_logs.iter().flat_map(|r| &r.scope_logs).flat_map(|s| s.log_records.clone()).collect();
        let found = ExportLogsServiceRequest::decode(raw.finish().as_slice()).unwrap();
        let found: Vec<_> = found.resource_logs.into_iter().flat_map(|r| r.scope_logs).flat_map(|s| s.log_records).collect();
        prop_assert_eq!(found, expect);
        let copied = ExportLogsServiceRequest::decode(copied.finish().as_slice()).unwrap();
        for (group, (view, _)) in copied.resource_logs.iter().zip(Refs::new(&body)) {
            prop_assert!(same_attrs(view.resource.attrs(), &group.resource.as_ref().unwrap().attributes));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        for signal in Signal::ALL {
            let _ = validate(signal, &bytes);
        }
        for log in log_refs(&bytes) {
            log.log.attrs().iter().for_each(drop);
        }
        span_refs(&bytes).for_each(|span| span.span.events().for_each(drop));
    }
}
