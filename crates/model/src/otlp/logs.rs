//! Log records.

use super::group::Refs;
use super::resource::{Resource, Scope};
use super::value::{Attrs, Value, text};
use crate::ids::{SpanId, TraceId};
use crate::severity::Severity;
use crate::wire::Fields;

/// A `LogRecord`, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Log<'a> {
    /// Nanoseconds since the Unix epoch; 0 is unknown.
    pub time: u64,
    /// When it was seen by a collector, in nanoseconds since the Unix epoch.
    pub observed: u64,
    pub severity: Severity,
    pub severity_text: &'a str,
    pub body: Value<'a>,
    pub trace_id: Option<TraceId>,
    pub span_id: Option<SpanId>,
    pub trace_flags: u32,
    pub event_name: &'a str,
    pub dropped_attributes: u32,
    message: &'a [u8],
}

impl<'a> Log<'a> {
    pub fn decode(message: &'a [u8]) -> Self {
        let mut log = Log {
            time: 0,
            observed: 0,
            severity: Severity::UNSET,
            severity_text: "",
            body: Value::Empty,
            trace_id: None,
            span_id: None,
            trace_flags: 0,
            event_name: "",
            dropped_attributes: 0,
            message,
        };
        for field in Fields::new(message).map_while(Result::ok) {
            match field.number {
                1 => log.time = field.number_value(),
                2 => log.severity = Severity(field.number_value() as i32),
                3 => log.severity_text = text(field.bytes()),
                5 => log.body = Value::decode(field.bytes()),
                7 => log.dropped_attributes = field.number_value() as u32,
                8 => log.trace_flags = field.number_value() as u32,
                9 => log.trace_id = TraceId::from_slice(field.bytes()),
                10 => log.span_id = SpanId::from_slice(field.bytes()),
                11 => log.observed = field.number_value(),
                12 => log.event_name = text(field.bytes()),
                _ => {}
            }
        }
        log
    }

    /// The encoded message.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }

    pub fn attrs(&self) -> Attrs<'a> {
        Attrs::new(self.message, 6)
    }

    /// The record's own time, or where it has none the time at which it was seen.
    pub fn effective_time(&self) -> u64 {
        if self.time != 0 { self.time } else { self.observed }
    }
}

/// A log record with its resource and scope.
#[derive(Debug, Clone, Copy)]
pub struct LogRef<'a> {
    pub resource: Resource<'a>,
    pub scope: Scope<'a>,
    pub log: Log<'a>,
}

/// The log records of an encoded `ExportLogsServiceRequest`, in order.
pub fn log_refs(body: &[u8]) -> impl Iterator<Item = LogRef<'_>> {
    Refs::new(body).map(|(group, record)| LogRef {
        resource: group.resource,
        scope: group.scope,
        log: Log::decode(record),
    })
}
