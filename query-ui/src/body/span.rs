//! One span, whole.

use serde::Serialize;
use utoipa::ToSchema;
use weir_analysis::{Flags, Origin, Row, Trace};
use weir_model::identity;
use weir_model::otlp::{Attrs, LogRef, SpanRef, Value};

use super::attr::{AttrBody, attrs};
use super::log::ScopeBody;

/// One span with everything that was reported of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Span)]
pub(crate) struct SpanBody {
    trace_id: String,
    span_id: String,
    /// Empty where it has none.
    parent_span_id: String,
    service: String,
    operation: String,
    /// 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    kind: i32,
    status: StatusBody,
    start: String,
    end: String,
    duration_ns: u64,
    attributes: Vec<AttrBody>,
    resource: Vec<AttrBody>,
    scope: ScopeBody,
    events: Vec<EventBody>,
    links: Vec<LinkBody>,
    /// `reported` by an SDK, `derived` from one log line, `joined` of both, or `observed` from the lines that name it.
    origin: &'static str,
    /// The log line that it was derived from, if that is where it comes from.
    source: Option<SourceBody>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SpanStatus)]
struct StatusBody {
    /// 0 unset, 1 ok, 2 error.
    code: i32,
    message: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SpanEvent)]
struct EventBody {
    time: String,
    name: String,
    attributes: Vec<AttrBody>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SpanLink)]
struct LinkBody {
    trace_id: String,
    span_id: String,
    attributes: Vec<AttrBody>,
}

/// Where a line stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Source)]
struct SourceBody {
    /// Such as a file's path.
    name: String,
    /// In bytes; `null` where that is not known.
    offset: Option<i64>,
    /// Id of the line itself; `null` where it is not among those that were read with the trace.
    log: Option<String>,
}

/// The span in a row, from the records that the trace was assembled from; log lines with their ids.
pub(crate) fn span(
    trace_id: String,
    trace: &Trace<'_>,
    row: &Row,
    spans: &[SpanRef<'_>],
    logs: &[(&str, LogRef<'_>)],
) -> SpanBody {
    let mut body = SpanBody {
        trace_id,
        span_id: row.id.map(|id| id.to_string()).unwrap_or_default(),
        parent_span_id: String::new(),
        service: trace.services[row.service].to_owned(),
        operation: trace.operations[row.operation].to_owned(),
        kind: row.kind.0,
        status: StatusBody { code: row.status.0, message: String::new() },
        start: row.start.to_string(),
        end: row.end.to_string(),
        duration_ns: row.duration(),
        attributes: Vec::new(),
        resource: Vec::new(),
        scope: ScopeBody { name: String::new(), version: String::new(), attributes: Vec::new() },
        events: Vec::new(),
        links: Vec::new(),
        origin: origin(row.flags),
        source: None,
    };
    match row.origin {
        Origin::Observed { line } => body.resource = attrs(logs[line].1.resource.attrs()),
        Origin::Span { span, derived } => {
            reported(&mut body, &spans[span]);
            let line = derived.or(row.flags.has(Flags::DERIVED).then_some(span));
            body.source = line.and_then(|line| source(&spans[line], logs));
        }
    }
    body
}

fn origin(flags: Flags) -> &'static str {
    if flags.has(Flags::JOINED) {
        "joined"
    } else if flags.has(Flags::DERIVED) {
        "derived"
    } else if flags.has(Flags::OBSERVED) {
        "observed"
    } else {
        "reported"
    }
}

fn reported(body: &mut SpanBody, record: &SpanRef<'_>) {
    let span = &record.span;
    body.parent_span_id = span.parent_span_id.map(|id| id.to_string()).unwrap_or_default();
    body.status.message = span.status.message.to_owned();
    body.end = span.end.to_string();
    body.attributes = attrs(span.attrs());
    body.resource = attrs(record.resource.attrs());
    body.scope.name = record.scope.name().to_owned();
    body.scope.version = record.scope.version().to_owned();
    body.scope.attributes = attrs(record.scope.attrs());
    body.events = span
        .events()
        .map(|event| EventBody {
            time: event.time.to_string(),
            name: event.name.to_owned(),
            attributes: attrs(event.attrs),
        })
        .collect();
    body.links = span
        .links()
        .map(|link| LinkBody {
            trace_id: link.trace_id.map(|id| id.to_string()).unwrap_or_default(),
            span_id: link.span_id.map(|id| id.to_string()).unwrap_or_default(),
            attributes: attrs(link.attrs),
        })
        .collect();
}

fn source(record: &SpanRef<'_>, logs: &[(&str, LogRef<'_>)]) -> Option<SourceBody> {
    let name = record.resource.attrs().get(identity::SOURCE)?.as_str()?.to_owned();
    let place = |resource: Attrs<'_>, record: Attrs<'_>| {
        let number = |key| record.get(key).and_then(|value: Value<'_>| value.as_int());
        let incarnation = resource.get(identity::INCARNATION)?.as_str()?.to_owned();
        Some((incarnation, number(identity::OFFSET)?, number(identity::ORDINAL).unwrap_or(0)))
    };
    let of_span = place(record.resource.attrs(), record.span.attrs());
    let line = of_span.as_ref().and_then(|of_span| {
        logs.iter().find(|(_, line)| place(line.resource.attrs(), line.log.attrs()).as_ref() == Some(of_span))
    });
    Some(SourceBody {
        name,
        offset: of_span.as_ref().map(|(_, offset, _)| *offset),
        log: line.map(|(id, _)| (*id).to_owned()),
    })
}
