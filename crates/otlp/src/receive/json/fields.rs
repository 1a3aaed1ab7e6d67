//! The messages of OTLP as tables: names as in JSON, numbers and types as in opentelemetry-proto 1.10.

use weir_model::Signal;

/// One field of a message.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
}

/// The type of a field. Repeated numbers are written one by one, which every reader of protobuf takes as well as packed.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// Bytes, written as hexadecimal digits.
    Id,
    Base64,
    Bool,
    Double,
    Enum,
    Uint32,
    Uint64,
    Int64,
    Sint32,
    Fixed32,
    Fixed64,
    Sfixed64,
    Message(&'static [Field]),
}

use Kind::*;

const fn one(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind, repeated: false }
}

const fn many(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind, repeated: true }
}

/// The fields of a signal's export request.
pub(super) fn request(signal: Signal) -> &'static [Field] {
    match signal {
        Signal::Logs => &LOGS,
        Signal::Spans => &SPANS,
        Signal::Metrics => &METRICS,
    }
}

/// An export request: groups by resource, in them groups by scope, in them records.
macro_rules! request {
    ($request:ident, $resource:ident, $scope:ident, $groups:literal, $scopes:literal, $records:literal, $record:ident) => {
        static $request: [Field; 1] = [many($groups, 1, Message(&$resource))];
        static $resource: [Field; 3] = [
            one("resource", 1, Message(&RESOURCE)),
            many($scopes, 2, Message(&$scope)),
            one("schemaUrl", 3, Text),
        ];
        static $scope: [Field; 3] = [
            one("scope", 1, Message(&SCOPE)),
            many($records, 2, Message(&$record)),
            one("schemaUrl", 3, Text),
        ];
    };
}

request!(LOGS, RESOURCE_LOGS, SCOPE_LOGS, "resourceLogs", "scopeLogs", "logRecords", LOG);
request!(SPANS, RESOURCE_SPANS, SCOPE_SPANS, "resourceSpans", "scopeSpans", "spans", SPAN);
request!(METRICS, RESOURCE_METRICS, SCOPE_METRICS, "resourceMetrics", "scopeMetrics", "metrics", METRIC);

static ANY_VALUE: [Field; 7] = [
    one("stringValue", 1, Text),
    one("boolValue", 2, Bool),
    one("intValue", 3, Int64),
    one("doubleValue", 4, Double),
    one("arrayValue", 5, Message(&ARRAY)),
    one("kvlistValue", 6, Message(&KEY_VALUES)),
    one("bytesValue", 7, Base64),
];
static ARRAY: [Field; 1] = [many("values", 1, Message(&ANY_VALUE))];
static KEY_VALUES: [Field; 1] = [many("values", 1, Message(&KEY_VALUE))];
static KEY_VALUE: [Field; 2] = [one("key", 1, Text), one("value", 2, Message(&ANY_VALUE))];

static RESOURCE: [Field; 3] = [
    many("attributes", 1, Message(&KEY_VALUE)),
    one("droppedAttributesCount", 2, Uint32),
    many("entityRefs", 3, Message(&ENTITY_REF)),
];
static ENTITY_REF: [Field; 4] = [
    one("schemaUrl", 1, Text),
    one("type", 2, Text),
    many("idKeys", 3, Text),
    many("descriptionKeys", 4, Text),
];
static SCOPE: [Field; 4] = [
    one("name", 1, Text),
    one("version", 2, Text),
    many("attributes", 3, Message(&KEY_VALUE)),
    one("droppedAttributesCount", 4, Uint32),
];

static LOG: [Field; 11] = [
    one("timeUnixNano", 1, Fixed64),
    one("severityNumber", 2, Enum),
    one("severityText", 3, Text),
    one("body", 5, Message(&ANY_VALUE)),
    many("attributes", 6, Message(&KEY_VALUE)),
    one("droppedAttributesCount", 7, Uint32),
    one("flags", 8, Fixed32),
    one("traceId", 9, Id),
    one("spanId", 10, Id),
    one("observedTimeUnixNano", 11, Fixed64),
    one("eventName", 12, Text),
];

static SPAN: [Field; 16] = [
    one("traceId", 1, Id),
    one("spanId", 2, Id),
    one("traceState", 3, Text),
    one("parentSpanId", 4, Id),
    one("name", 5, Text),
    one("kind", 6, Enum),
    one("startTimeUnixNano", 7, Fixed64),
    one("endTimeUnixNano", 8, Fixed64),
    many("attributes", 9, Message(&KEY_VALUE)),
    one("droppedAttributesCount", 10, Uint32),
    many("events", 11, Message(&EVENT)),
    one("droppedEventsCount", 12, Uint32),
    many("links", 13, Message(&LINK)),
    one("droppedLinksCount", 14, Uint32),
    one("status", 15, Message(&STATUS)),
    one("flags", 16, Fixed32),
];
static EVENT: [Field; 4] = [
    one("timeUnixNano", 1, Fixed64),
    one("name", 2, Text),
    many("attributes", 3, Message(&KEY_VALUE)),
    one("droppedAttributesCount", 4, Uint32),
];
static LINK: [Field; 6] = [
    one("traceId", 1, Id),
    one("spanId", 2, Id),
    one("traceState", 3, Text),
    many("attributes", 4, Message(&KEY_VALUE)),
    one("droppedAttributesCount", 5, Uint32),
    one("flags", 6, Fixed32),
];
static STATUS: [Field; 2] = [one("message", 2, Text), one("code", 3, Enum)];

static METRIC: [Field; 9] = [
    one("name", 1, Text),
    one("description", 2, Text),
    one("unit", 3, Text),
    one("gauge", 5, Message(&GAUGE)),
    one("sum", 7, Message(&SUM)),
    one("histogram", 9, Message(&HISTOGRAM)),
    one("exponentialHistogram", 10, Message(&EXPONENTIAL_HISTOGRAM)),
    one("summary", 11, Message(&SUMMARY)),
    many("metadata", 12, Message(&KEY_VALUE)),
];
static GAUGE: [Field; 1] = [many("dataPoints", 1, Message(&NUMBER_POINT))];
static SUM: [Field; 3] = [
    many("dataPoints", 1, Message(&NUMBER_POINT)),
    one("aggregationTemporality", 2, Enum),
    one("isMonotonic", 3, Bool),
];
static HISTOGRAM: [Field; 2] =
    [many("dataPoints", 1, Message(&HISTOGRAM_POINT)), one("aggregationTemporality", 2, Enum)];
static EXPONENTIAL_HISTOGRAM: [Field; 2] =
    [many("dataPoints", 1, Message(&EXPONENTIAL_POINT)), one("aggregationTemporality", 2, Enum)];
static SUMMARY: [Field; 1] = [many("dataPoints", 1, Message(&SUMMARY_POINT))];
static NUMBER_POINT: [Field; 7] = [
    one("startTimeUnixNano", 2, Fixed64),
    one("timeUnixNano", 3, Fixed64),
    one("asDouble", 4, Double),
    many("exemplars", 5, Message(&EXEMPLAR)),
    one("asInt", 6, Sfixed64),
    many("attributes", 7, Message(&KEY_VALUE)),
    one("flags", 8, Uint32),
];
static HISTOGRAM_POINT: [Field; 11] = [
    one("startTimeUnixNano", 2, Fixed64),
    one("timeUnixNano", 3, Fixed64),
    one("count", 4, Fixed64),
    one("sum", 5, Double),
    many("bucketCounts", 6, Fixed64),
    many("explicitBounds", 7, Double),
    many("exemplars", 8, Message(&EXEMPLAR)),
    many("attributes", 9, Message(&KEY_VALUE)),
    one("flags", 10, Uint32),
    one("min", 11, Double),
    one("max", 12, Double),
];
static EXPONENTIAL_POINT: [Field; 14] = [
    many("attributes", 1, Message(&KEY_VALUE)),
    one("startTimeUnixNano", 2, Fixed64),
    one("timeUnixNano", 3, Fixed64),
    one("count", 4, Fixed64),
    one("sum", 5, Double),
    one("scale", 6, Sint32),
    one("zeroCount", 7, Fixed64),
    one("positive", 8, Message(&BUCKETS)),
    one("negative", 9, Message(&BUCKETS)),
    one("flags", 10, Uint32),
    many("exemplars", 11, Message(&EXEMPLAR)),
    one("min", 12, Double),
    one("max", 13, Double),
    one("zeroThreshold", 14, Double),
];
static BUCKETS: [Field; 2] = [one("offset", 1, Sint32), many("bucketCounts", 2, Uint64)];
static SUMMARY_POINT: [Field; 7] = [
    one("startTimeUnixNano", 2, Fixed64),
    one("timeUnixNano", 3, Fixed64),
    one("count", 4, Fixed64),
    one("sum", 5, Double),
    many("quantileValues", 6, Message(&QUANTILE)),
    many("attributes", 7, Message(&KEY_VALUE)),
    one("flags", 8, Uint32),
];
static QUANTILE: [Field; 2] = [one("quantile", 1, Double), one("value", 2, Double)];
static EXEMPLAR: [Field; 6] = [
    one("timeUnixNano", 2, Fixed64),
    one("asDouble", 3, Double),
    one("spanId", 4, Id),
    one("traceId", 5, Id),
    one("asInt", 6, Sfixed64),
    many("filteredAttributes", 7, Message(&KEY_VALUE)),
];
