//! What prost makes and an independent encoder writes as JSON is read as the same request.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use prost::Message;
use weir_model::Signal;
use weir_model::otlp::validate;

use super::transcode;

/// JSON has no word for the others.
fn double() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("finite", |x| x.is_finite())
}

fn id<const N: usize>() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(Vec::new()), any::<[u8; N]>().prop_map(|id| id.to_vec())]
}

fn value(depth: u32) -> BoxedStrategy<AnyValue> {
    let leaf = prop_oneof![
        ".{0,12}".prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        double().prop_map(Value::DoubleValue),
        vec(any::<u8>(), 0..9).prop_map(Value::BytesValue),
    ];
    let value = if depth == 0 {
        leaf.boxed()
    } else {
        let list = vec(value(depth - 1), 0..3).prop_map(|values| Value::ArrayValue(ArrayValue { values }));
        let map = attrs(depth - 1).prop_map(|values| Value::KvlistValue(KeyValueList { values }));
        prop_oneof![4 => leaf, 1 => list, 1 => map].boxed()
    };
    of(value).prop_map(|value| AnyValue { value }).boxed()
}

fn attrs(depth: u32) -> BoxedStrategy<Vec<KeyValue>> {
    let attr = ("[a-z.]{0,8}", of(value(depth)));
    vec(attr.prop_map(|(key, value)| KeyValue { key, value, ..Default::default() }), 0..3).boxed()
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    let entity =
        ("[a-z]{0,3}", "[a-z]{0,3}", vec("[a-z]{0,3}", 0..2)).prop_map(|(schema_url, r#type, id_keys)| {
            EntityRef { schema_url, r#type, id_keys, ..Default::default() }
        });
    let resource = (attrs(1), any::<u32>(), vec(entity, 0..2));
    of(resource.prop_map(|(attributes, dropped_attributes_count, entity_refs)| Resource {
        attributes,
        dropped_attributes_count,
        entity_refs,
    }))
}

fn scope() -> impl Strategy<Value = Option<InstrumentationScope>> {
    let scope = ("[a-z]{0,4}", "[0-9.]{0,4}", attrs(1), any::<u32>());
    of(scope.prop_map(|(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
        name,
        version,
        attributes,
        dropped_attributes_count,
    }))
}

prop_compose! {
    fn log()(times: (u64, u64), severity_number in 0i32..25, severity_text in ".{0,6}", body in of(value(2)), attributes in attrs(2),
             trace_id in id::<16>(), span_id in id::<8>(), flags: u32, dropped_attributes_count: u32, event_name in ".{0,5}") -> LogRecord {
        LogRecord { time_unix_nano: times.0, observed_time_unix_nano: times.1, severity_number, severity_text, body, attributes,
            dropped_attributes_count, flags, trace_id, span_id, event_name }
    }
}

prop_compose! {
    fn event()(time_unix_nano: u64, name in ".{0,4}", attributes in attrs(1), dropped_attributes_count: u32) -> span::Event {
        span::Event { time_unix_nano, name, attributes, dropped_attributes_count }
    }
}

prop_compose! {
    fn link()(trace_id in id::<16>(), span_id in id::<8>(), trace_state in "[a-z]{0,4}", attributes in attrs(1),
              dropped_attributes_count: u32, flags: u32) -> span::Link {
        span::Link { trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags }
    }
}

prop_compose! {
    fn span()(ids in (id::<16>(), id::<8>(), id::<8>()), name in ".{0,8}", kind in 0i32..6, times: (u64, u64), attributes in attrs(1),
              status in of((".{0,5}", 0i32..3)), trace_state in "[a-z=,]{0,4}", flags: u32, dropped: (u32, u32, u32),
              events in vec(event(), 0..3), links in vec(link(), 0..3)) -> Span {
        Span { trace_id: ids.0, span_id: ids.1, parent_span_id: ids.2, name, kind, start_time_unix_nano: times.0,
            end_time_unix_nano: times.1, attributes, events, links, trace_state, flags, dropped_attributes_count: dropped.0,
            dropped_events_count: dropped.1, dropped_links_count: dropped.2,
            status: status.map(|(message, code)| Status { message, code }) }
    }
}

prop_compose! {
    fn exemplar()(time_unix_nano: u64, span_id in id::<8>(), trace_id in id::<16>(), filtered_attributes in attrs(0),
                  value in of(prop_oneof![double().prop_map(exemplar::Value::AsDouble), any::<i64>().prop_map(exemplar::Value::AsInt)])) -> Exemplar {
        Exemplar { time_unix_nano, span_id, trace_id, filtered_attributes, value }
    }
}

prop_compose! {
    fn number_point()(times: (u64, u64), attributes in attrs(1), flags: u32, exemplars in vec(exemplar(), 0..2),
                      value in of(prop_oneof![double().prop_map(number_data_point::Value::AsDouble),
                                              any::<i64>().prop_map(number_data_point::Value::AsInt)])) -> NumberDataPoint {
        NumberDataPoint { start_time_unix_nano: times.0, time_unix_nano: times.1, attributes, flags, exemplars, value }
    }
}

prop_compose! {
    fn histogram_point()(times: (u64, u64), attributes in attrs(1), flags: u32, exemplars in vec(exemplar(), 0..2), count: u64,
                         sums in (of(double()), of(double()), of(double())), bucket_counts in vec(any::<u64>(), 0..4),
                         explicit_bounds in vec(double(), 0..4)) -> HistogramDataPoint {
        HistogramDataPoint { start_time_unix_nano: times.0, time_unix_nano: times.1, attributes, flags, exemplars, count, sum: sums.0,
            min: sums.1, max: sums.2, bucket_counts, explicit_bounds }
    }
}

fn buckets() -> impl Strategy<Value = Option<Buckets>> {
    let buckets = (any::<i32>(), vec(any::<u64>(), 0..4));
    of(buckets.prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts }))
}

prop_compose! {
    fn exponential_point()(times: (u64, u64), attributes in attrs(1), flags: u32, exemplars in vec(exemplar(), 0..2), counts: (u64, u64),
                           sums in (of(double()), of(double()), of(double())), scale: i32, positive in buckets(), negative in buckets(),
                           zero_threshold in double()) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint { start_time_unix_nano: times.0, time_unix_nano: times.1, attributes, flags, exemplars,
            count: counts.0, zero_count: counts.1, sum: sums.0, min: sums.1, max: sums.2, scale, positive, negative, zero_threshold }
    }
}

prop_compose! {
    fn summary_point()(times: (u64, u64), attributes in attrs(1), flags: u32, count: u64, sum in double(),
                       quantiles in vec((double(), double()), 0..3)) -> SummaryDataPoint {
        let quantile_values = quantiles.into_iter().map(|(quantile, value)| ValueAtQuantile { quantile, value }).collect();
        SummaryDataPoint { start_time_unix_nano: times.0, time_unix_nano: times.1, attributes, flags, count, sum, quantile_values }
    }
}

fn data() -> impl Strategy<Value = Data> {
    let temporality = 0i32..3;
    prop_oneof![
        vec(number_point(), 0..3).prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        (vec(number_point(), 0..3), temporality.clone(), any::<bool>()).prop_map(
            |(data_points, aggregation_temporality, is_monotonic)| {
                Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic })
            }
        ),
        (vec(histogram_point(), 0..3), temporality.clone()).prop_map(
            |(data_points, aggregation_temporality)| {
                Data::Histogram(Histogram { data_points, aggregation_temporality })
            }
        ),
        (vec(exponential_point(), 0..3), temporality).prop_map(|(data_points, aggregation_temporality)| {
            Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality })
        }),
        vec(summary_point(), 0..3).prop_map(|data_points| Data::Summary(Summary { data_points })),
    ]
}

prop_compose! {
    fn metric()(name in "[a-z.]{0,9}", description in ".{0,9}", unit in "[a-z{}/]{0,4}", data in of(data()), metadata in attrs(1)) -> Metric {
        Metric { name, description, unit, data, metadata }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn logs(resource in resource(), scope in scope(), log_records in vec(log(), 0..3), schema_url in "[a-z]{0,3}") {
        let scope_logs = vec![ScopeLogs { scope, log_records, schema_url: schema_url.clone() }];
        let resource_logs = vec![ResourceLogs { resource, scope_logs, schema_url }];
        let request = ExportLogsServiceRequest { resource_logs };
        let body = transcode(Signal::Logs, &serde_json::to_vec(&request).unwrap()).unwrap();
        prop_assert!(validate(Signal::Logs, &body).is_ok());
        prop_assert_eq!(ExportLogsServiceRequest::decode(&*body).unwrap(), request);
    }

    #[test]
    fn spans(resource in resource(), scope in scope(), spans in vec(span(), 0..3), schema_url in "[a-z]{0,3}") {
        let scope_spans = vec![ScopeSpans { scope, spans, schema_url: schema_url.clone() }];
        let resource_spans = vec![ResourceSpans { resource, scope_spans, schema_url }];
        let request = ExportTraceServiceRequest { resource_spans };
        let body = transcode(Signal::Spans, &serde_json::to_vec(&request).unwrap()).unwrap();
        prop_assert!(validate(Signal::Spans, &body).is_ok());
        prop_assert_eq!(ExportTraceServiceRequest::decode(&*body).unwrap(), request);
    }

    #[test]
    fn metrics(resource in resource(), scope in scope(), metrics in vec(metric(), 0..3), schema_url in "[a-z]{0,3}") {
        let scope_metrics = vec![ScopeMetrics { scope, metrics, schema_url: schema_url.clone() }];
        let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, schema_url }];
        let request = ExportMetricsServiceRequest { resource_metrics };
        let body = transcode(Signal::Metrics, &serde_json::to_vec(&request).unwrap()).unwrap();
        prop_assert!(validate(Signal::Metrics, &body).is_ok());
        prop_assert_eq!(ExportMetricsServiceRequest::decode(&*body).unwrap(), request);
    }

    #[test]
    fn arbitrary_text_never_panics(text in ".{0,64}") {
        for signal in Signal::ALL {
            let _ = transcode(signal, text.as_bytes());
        }
    }
}

/// Reads one span of whose members the text is.
fn read(span: &str) -> Result<Span, String> {
    let text = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#);
    let body = transcode(Signal::Spans, text.as_bytes()).map_err(|error| error.to_string())?;
    let request = ExportTraceServiceRequest::decode(&*body).unwrap();
    Ok(request.resource_spans[0].scope_spans[0].spans[0].clone())
}

#[test]
fn what_the_encoder_does_not_write() {
    let check = |text: &str, expect: Span| assert_eq!(read(text), Ok(expect), "{text}");
    let value = |value| Span {
        attributes: vec![KeyValue {
            key: "k".into(),
            value: Some(AnyValue { value: Some(value) }),
            key_strindex: 0,
        }],
        ..Span::default()
    };
    check("{}", Span::default());
    check(r#"{"name":null,"events":null,"links":[],"status":null}"#, Span::default());
    check(r#"{"later":{"a":[1,{"b":null}]},"name":"n"}"#, Span { name: "n".into(), ..Span::default() });
    check(
        r#"{"spanId":"EEE19b7ec3c1b174"}"#,
        Span { span_id: vec![0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74], ..Span::default() },
    );
    check(
        r#"{"startTimeUnixNano":1544712660300000000,"endTimeUnixNano":"18446744073709551615"}"#,
        Span {
            start_time_unix_nano: 1_544_712_660_300_000_000,
            end_time_unix_nano: u64::MAX,
            ..Span::default()
        },
    );
    check(r#"{"startTimeUnixNano":1.5e9}"#, Span { start_time_unix_nano: 1_500_000_000, ..Span::default() });
    check(r#"{"attributes":[{"key":"k","value":{"intValue":-3}}]}"#, value(Value::IntValue(-3)));
    check(r#"{"attributes":[{"key":"k","value":{"doubleValue":3}}]}"#, value(Value::DoubleValue(3.0)));
    check(
        r#"{"attributes":[{"key":"k","value":{"doubleValue":"-Infinity"}}]}"#,
        value(Value::DoubleValue(f64::NEG_INFINITY)),
    );
    check(
        r#"{"attributes":[{"key":"k","value":{"bytesValue":"-_8"}}]}"#,
        value(Value::BytesValue(vec![0xfb, 0xff])),
    );
    check(
        r#"{"attributes":[{"key":"k","value":{"arrayValue":{"values":[null,{}]}}}]}"#,
        value(Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: None }; 2] })),
    );
}

#[test]
fn what_is_wrong_is_named() {
    let check = |text: &str, expect: &str| {
        let error = read(text).unwrap_err();
        assert!(error.starts_with(expect), "{text}: {error}");
    };
    check("nothing", "expected ident at line 1 column");
    check("[]", "invalid type: sequence, expected an object in `spans` at line 1 column");
    check(
        r#"{"traceId":"xyz"}"#,
        "invalid value: string \"xyz\", expected an id as hexadecimal digits in `traceId` at line 1",
    );
    check(r#"{"traceId":"abc"}"#, "invalid value: string \"abc\", expected an id");
    check(
        r#"{"kind":"SPAN_KIND_SERVER"}"#,
        "invalid type: string \"SPAN_KIND_SERVER\", expected the number of one of the values",
    );
    check(r#"{"flags":-1}"#, "invalid type: integer `-1`, expected an integer from 0 to 2^32 - 1 in `flags`");
    check(r#"{"startTimeUnixNano":"18446744073709551616"}"#, "invalid type: string");
    check(r#"{"startTimeUnixNano":0.5}"#, "invalid type: floating point `0.5`");
    check(r#"{"attributes":{"k":1}}"#, "invalid type: map, expected a list in `attributes`");
    check(r#"{"name":["n"]}"#, "invalid type: sequence, expected a text in `name`");
    check(r#"{"name":5}"#, "invalid type: integer `5`, expected a text in `name`");
    let deep = format!("{}{}", r#"{"arrayValue":{"values":["#.repeat(60), r#"]}}"#.repeat(60));
    check(&format!(r#"{{"attributes":[{{"key":"k","value":{deep}}}]}}"#), "recursion limit exceeded");
    let twice = transcode(Signal::Spans, b"{}{}").unwrap_err().to_string();
    assert_eq!(twice, "trailing characters at line 1 column 3");
}
