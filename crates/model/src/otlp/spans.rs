//! Spans.

use super::group::Refs;
use super::resource::{Resource, Scope};
use super::value::{Attrs, text};
use crate::ids::{SpanId, TraceId};
use crate::wire::Fields;

/// The role of a span in a call. Unknown numbers are kept as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SpanKind(pub i32);

impl SpanKind {
    pub const UNSPECIFIED: SpanKind = SpanKind(0);
    pub const INTERNAL: SpanKind = SpanKind(1);
    pub const SERVER: SpanKind = SpanKind(2);
    pub const CLIENT: SpanKind = SpanKind(3);
    pub const PRODUCER: SpanKind = SpanKind(4);
    pub const CONSUMER: SpanKind = SpanKind(5);

    /// Lower-case name as searches use it; `unspecified` also for unknown numbers.
    pub fn name(self) -> &'static str {
        match self {
            Self::INTERNAL => "internal",
            Self::SERVER => "server",
            Self::CLIENT => "client",
            Self::PRODUCER => "producer",
            Self::CONSUMER => "consumer",
            _ => "unspecified",
        }
    }
}

/// How a span ended. Unknown numbers are kept as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct StatusCode(pub i32);

impl StatusCode {
    pub const UNSET: StatusCode = StatusCode(0);
    pub const OK: StatusCode = StatusCode(1);
    pub const ERROR: StatusCode = StatusCode(2);

    /// Lower-case name as searches use it; `unset` also for unknown numbers.
    pub fn name(self) -> &'static str {
        match self {
            Self::OK => "ok",
            Self::ERROR => "error",
            _ => "unset",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status<'a> {
    pub code: StatusCode,
    pub message: &'a str,
}

impl<'a> Status<'a> {
    fn decode(message: &'a [u8]) -> Self {
        let mut status = Status::default();
        for field in Fields::new(message).map_while(Result::ok) {
            match field.number {
                2 => status.message = text(field.bytes()),
                3 => status.code = StatusCode(field.number_value() as i32),
                _ => {}
            }
        }
        status
    }
}

/// Something that happened during a span.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event<'a> {
    /// Nanoseconds since the Unix epoch.
    pub time: u64,
    pub name: &'a str,
    pub attrs: Attrs<'a>,
}

/// A reference to a span, of this or another trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link<'a> {
    pub trace_id: Option<TraceId>,
    pub span_id: Option<SpanId>,
    pub trace_state: &'a str,
    pub attrs: Attrs<'a>,
}

/// A `Span`, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span<'a> {
    /// `None` in what is malformed: such a span is refused at intake.
    pub trace_id: Option<TraceId>,
    /// `None` in what is malformed: such a span is refused at intake.
    pub span_id: Option<SpanId>,
    pub parent_span_id: Option<SpanId>,
    pub trace_state: &'a str,
    pub flags: u32,
    pub name: &'a str,
    pub kind: SpanKind,
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    /// Nanoseconds since the Unix epoch; may lie before the start when a clock jumped.
    pub end: u64,
    pub status: Status<'a>,
    pub dropped_attributes: u32,
    pub dropped_events: u32,
    pub dropped_links: u32,
    message: &'a [u8],
}

impl<'a> Span<'a> {
    pub fn decode(message: &'a [u8]) -> Self {
        let mut span = Span {
            trace_id: None,
            span_id: None,
            parent_span_id: None,
            trace_state: "",
            flags: 0,
            name: "",
            kind: SpanKind::UNSPECIFIED,
            start: 0,
            end: 0,
            status: Status::default(),
            dropped_attributes: 0,
            dropped_events: 0,
            dropped_links: 0,
            message,
        };
        for field in Fields::new(message).map_while(Result::ok) {
            match field.number {
                1 => span.trace_id = TraceId::from_slice(field.bytes()),
                2 => span.span_id = SpanId::from_slice(field.bytes()),
                3 => span.trace_state = text(field.bytes()),
                4 => span.parent_span_id = SpanId::from_slice(field.bytes()),
                5 => span.name = text(field.bytes()),
                6 => span.kind = SpanKind(field.number_value() as i32),
                7 => span.start = field.number_value(),
                8 => span.end = field.number_value(),
                10 => span.dropped_attributes = field.number_value() as u32,
                12 => span.dropped_events = field.number_value() as u32,
                14 => span.dropped_links = field.number_value() as u32,
                15 => span.status = Status::decode(field.bytes()),
                16 => span.flags = field.number_value() as u32,
                _ => {}
            }
        }
        span
    }

    /// The encoded message.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }

    /// End minus start in nanoseconds; 0 where the end lies before the start.
    pub fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    pub fn attrs(&self) -> Attrs<'a> {
        Attrs::new(self.message, 9)
    }

    pub fn events(&self) -> impl Iterator<Item = Event<'a>> + use<'a> {
        Fields::new(self.message).map_while(Result::ok).filter(|f| f.number == 11).map(|f| {
            let mut event = Event { time: 0, name: "", attrs: Attrs::new(f.bytes(), 3) };
            for field in Fields::new(f.bytes()).map_while(Result::ok) {
                match field.number {
                    1 => event.time = field.number_value(),
                    2 => event.name = text(field.bytes()),
                    _ => {}
                }
            }
            event
        })
    }

    pub fn links(&self) -> impl Iterator<Item = Link<'a>> + use<'a> {
        Fields::new(self.message).map_while(Result::ok).filter(|f| f.number == 13).map(|f| {
            let attrs = Attrs::new(f.bytes(), 4);
            let mut link = Link { trace_id: None, span_id: None, trace_state: "", attrs };
            for field in Fields::new(f.bytes()).map_while(Result::ok) {
                match field.number {
                    1 => link.trace_id = TraceId::from_slice(field.bytes()),
                    2 => link.span_id = SpanId::from_slice(field.bytes()),
                    3 => link.trace_state = text(field.bytes()),
                    _ => {}
                }
            }
            link
        })
    }
}

/// A span with its resource and scope.
#[derive(Debug, Clone, Copy)]
pub struct SpanRef<'a> {
    pub resource: Resource<'a>,
    pub scope: Scope<'a>,
    pub span: Span<'a>,
}

/// The spans of an encoded `ExportTraceServiceRequest`, in order.
pub fn span_refs(body: &[u8]) -> impl Iterator<Item = SpanRef<'_>> {
    Refs::new(body).map(|(group, record)| SpanRef {
        resource: group.resource,
        scope: group.scope,
        span: Span::decode(record),
    })
}
