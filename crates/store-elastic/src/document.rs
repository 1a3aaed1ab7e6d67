//! A record as a document, and back.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_model::filter::{Matcher, Record};
use weir_model::otlp::{Group, Log, LogRef, Resource, Scope, Span, SpanRef};
use weir_model::{Incarnation, Signal, TraceId, identity};
use weir_store::{StoredLog, StoredSpan, value_text};
use weir_transport::{Lane, Position};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::Error;
use crate::template::ordered;
use crate::tokens::Tokens;

/// Last time that `date_nanos` can hold.
const DATE_NANOS_MAX: u64 = i64::MAX as u64;

/// Where a record stands in its lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) lane: Lane,
    pub(crate) position: Position,
    /// Its number in the batch.
    pub(crate) n: u32,
}

/// A record of a batch that is to be stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fresh<'a> {
    pub(crate) group: Group<'a>,
    pub(crate) record: &'a [u8],
    pub(crate) place: Place,
    /// Source and offset, where it has both and its batch covers ranges.
    pub(crate) source: Option<(Incarnation, u64)>,
}

impl<'a> Fresh<'a> {
    pub(crate) fn log(&self) -> LogRef<'a> {
        LogRef { resource: self.group.resource, scope: self.group.scope, log: Log::decode(self.record) }
    }

    pub(crate) fn span(&self) -> SpanRef<'a> {
        SpanRef { resource: self.group.resource, scope: self.group.scope, span: Span::decode(self.record) }
    }

    /// A span's start, or a log's time.
    pub(crate) fn time(&self) -> u64 {
        match self.place.lane.signal {
            Signal::Spans => self.span().span.start,
            _ => self.log().log.effective_time(),
        }
    }

    /// What makes it the same record when it comes again; at most 128 bytes of `[a-z0-9.]`. `None` for a span without ids.
    pub(crate) fn id(&self) -> Option<String> {
        let Place { lane, position, n } = self.place;
        let span = (lane.signal == Signal::Spans).then(|| self.span().span);
        let ids = match span {
            Some(span) => Some((span, span.trace_id?, span.span_id?)),
            None => None,
        };
        if let Some((incarnation, offset)) = self.source {
            let attrs = span.map_or_else(|| self.log().log.attrs(), |span| span.attrs());
            let ordinal = attrs.get(identity::ORDINAL).and_then(|value| value.as_int()).unwrap_or(0);
            // One line may be several spans.
            let span = ids.map_or_else(String::new, |(_, _, id)| format!(".{id}"));
            return Some(format!("{incarnation}.{offset:x}.{ordinal:x}{span}"));
        }
        Some(match ids {
            Some((span, trace, id)) => {
                let hash =
                    identity::span_identity(trace.as_bytes(), id.as_bytes(), span.kind.0, span.message());
                format!("{trace}.{id}.{hash:x}")
            }
            None => format!("{}.{position}.{n}.{:x}", lane.partition, xxh3_64(self.record)),
        })
    }

    /// The document in JSON. `at` is when it is written, in milliseconds since the Unix epoch.
    pub(crate) fn document(&self, at: u64) -> Vec<u8> {
        let Place { lane, position, n } = self.place;
        let time = self.time();
        let mut document = Document {
            signal: lane.signal.name(),
            timestamp: (time <= DATE_NANOS_MAX)
                .then(|| jiff::Timestamp::from_nanosecond(i128::from(time)).ok())
                .flatten()
                .map(|time| format!("{time:.9}")),
            time: ordered(time),
            pos: ordered(position.0),
            n,
            lane: lane.partition,
            at,
            service: self.group.resource.attrs().get("service.name").and_then(value_text),
            resource: STANDARD.encode(self.group.resource.message()),
            scope: STANDARD.encode(self.group.scope.message()),
            record: STANDARD.encode(self.record),
            ..Document::default()
        };
        match lane.signal {
            Signal::Spans => {
                let span = self.span();
                document.tokens = Tokens::of_span(&span);
                let span = span.span;
                document.trace = span.trace_id.map(|id| id.to_string());
                document.span = span.span_id.map(|id| id.to_string());
                document.name = Some(span.name);
                document.end = Some(ordered(span.end));
                document.kind = Some(span.kind.0);
                document.status = Some(span.status.code.0);
                document.duration = Some(i64::try_from(span.duration()).unwrap_or(i64::MAX));
                document.root = span.parent_span_id.is_none().then_some(true);
            }
            _ => {
                let log = self.log();
                document.tokens = Tokens::of_log(&log);
                document.trace = log.log.trace_id.map(|id| id.to_string());
                document.span = log.log.span_id.map(|id| id.to_string());
                document.severity = Some(log.log.severity.0);
            }
        }
        serde_json::to_vec(&document).expect("it is JSON")
    }
}

#[derive(Debug, Default, Serialize)]
struct Document<'a> {
    signal: &'static str,
    #[serde(rename = "@timestamp", skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    time: i64,
    pos: i64,
    n: u32,
    lane: u32,
    at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<bool>,
    #[serde(flatten)]
    tokens: Tokens,
    resource: String,
    scope: String,
    record: String,
}

/// Fields of a document that make up the whole record.
pub(crate) const BODY: &[&str] = &["signal", "time", "resource", "scope", "record"];
/// Fields of a document that tell what a record is, without its attributes.
pub(crate) const COLUMNS: &[&str] =
    &["signal", "time", "trace", "service", "name", "end", "kind", "status", "severity", "duration", "root"];

/// What of a document was asked for.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Source {
    pub(crate) time: i64,
    pub(crate) trace: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) end: i64,
    pub(crate) kind: i32,
    pub(crate) status: i32,
    pub(crate) severity: i32,
    pub(crate) duration: i64,
    pub(crate) root: bool,
    resource: String,
    scope: String,
    record: String,
}

/// A record as it was received.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) signal: Signal,
    resource: Bytes,
    scope: Bytes,
    record: Bytes,
}

impl Source {
    /// The trace, of which the id was written by [`Fresh::document`].
    pub(crate) fn trace_id(&self) -> Option<TraceId> {
        self.trace.as_ref().and_then(|id| id.parse().ok())
    }

    pub(crate) fn body(&self, signal: Signal) -> Result<Body, Error> {
        let part = |text: &str| {
            STANDARD
                .decode(text)
                .map(Bytes::from)
                .map_err(|error| Error::Strange(format!("a stored record is damaged: {error}")))
        };
        Ok(Body {
            signal,
            resource: part(&self.resource)?,
            scope: part(&self.scope)?,
            record: part(&self.record)?,
        })
    }
}

impl Body {
    pub(crate) fn log(&self) -> LogRef<'_> {
        LogRef {
            resource: Resource::decode(&self.resource),
            scope: Scope::decode(&self.scope),
            log: Log::decode(&self.record),
        }
    }

    pub(crate) fn span(&self) -> SpanRef<'_> {
        SpanRef {
            resource: Resource::decode(&self.resource),
            scope: Scope::decode(&self.scope),
            span: Span::decode(&self.record),
        }
    }

    pub(crate) fn matches(&self, matcher: &Matcher) -> bool {
        match self.signal {
            Signal::Spans => matcher.matches(Record::Span(&self.span())),
            _ => matcher.matches(Record::Log(&self.log())),
        }
    }

    pub(crate) fn into_log(self, id: String) -> StoredLog {
        StoredLog { id, resource: self.resource, scope: self.scope, log: self.record }
    }

    pub(crate) fn into_span(self) -> StoredSpan {
        StoredSpan { resource: self.resource, scope: self.scope, span: self.record }
    }
}
