//! A record as it was received, and what is asked of one.

use bytes::Bytes;
use weir_model::filter::{Matcher, Record};
use weir_model::otlp::{Attrs, Log, LogRef, Resource, Scope, Span, SpanRef};
use weir_model::{Signal, TraceId};

use crate::{StoredLog, StoredSpan};

/// A span or a log record.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) signal: Signal,
    /// Its number in the order of storing.
    pub(super) seq: u64,
    pub(super) resource: Bytes,
    pub(super) scope: Bytes,
    pub(super) record: Bytes,
}

impl Stored {
    pub(super) fn log(&self) -> LogRef<'_> {
        LogRef { resource: self.resource(), scope: self.scope(), log: Log::decode(&self.record) }
    }

    pub(super) fn span(&self) -> SpanRef<'_> {
        SpanRef { resource: self.resource(), scope: self.scope(), span: Span::decode(&self.record) }
    }

    pub(super) fn resource(&self) -> Resource<'_> {
        Resource::decode(&self.resource)
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        Scope::decode(&self.scope)
    }

    pub(super) fn attrs(&self) -> Attrs<'_> {
        match self.signal {
            Signal::Spans => self.span().span.attrs(),
            _ => self.log().log.attrs(),
        }
    }

    /// A span's start, or a log's time.
    pub(super) fn time(&self) -> u64 {
        match self.signal {
            Signal::Spans => self.span().span.start,
            _ => self.log().log.effective_time(),
        }
    }

    pub(super) fn trace(&self) -> Option<TraceId> {
        match self.signal {
            Signal::Spans => self.span().span.trace_id,
            _ => self.log().log.trace_id,
        }
    }

    pub(super) fn is_error(&self) -> bool {
        match self.signal {
            Signal::Spans => self.span().span.status.code == weir_model::otlp::StatusCode::ERROR,
            _ => self.log().log.severity.is_error(),
        }
    }

    pub(super) fn matches(&self, matcher: &Matcher) -> bool {
        match self.signal {
            Signal::Spans => matcher.matches(Record::Span(&self.span())),
            _ => matcher.matches(Record::Log(&self.log())),
        }
    }

    pub(super) fn stored_log(&self) -> StoredLog {
        StoredLog {
            id: self.seq.to_string(),
            resource: self.resource.clone(),
            scope: self.scope.clone(),
            log: self.record.clone(),
        }
    }

    pub(super) fn stored_span(&self) -> StoredSpan {
        StoredSpan { resource: self.resource.clone(), scope: self.scope.clone(), span: self.record.clone() }
    }
}
