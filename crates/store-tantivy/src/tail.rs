//! The uncommitted tail: batches that are written but not yet in the index, kept as they came and searched by scanning.

use std::ops::Range;

use bytes::Bytes;
use weir_model::otlp::{Group, Log, LogRef, Resource, Scope, Span, SpanRef};
use weir_model::{Signal, TraceId};
use weir_store::StoredLog;
use weir_transport::Lane;

/// A record in a batch: where its parts stand in the body.
#[derive(Debug, Clone)]
pub(crate) struct TailRow {
    /// Number of the record in the order of storing.
    pub(crate) seq: u64,
    pub(crate) trace: Option<TraceId>,
    resource: Range<u32>,
    scope: Range<u32>,
    record: Range<u32>,
}

/// A batch with those of its records that count.
#[derive(Debug)]
pub(crate) struct TailBatch {
    pub(crate) lane: Lane,
    body: Bytes,
    pub(crate) rows: Vec<TailRow>,
}

/// Where a part of the body stands in it.
fn place(body: &[u8], part: &[u8]) -> Range<u32> {
    if part.is_empty() {
        return 0..0;
    }
    let start = part.as_ptr() as usize - body.as_ptr() as usize;
    start as u32..(start + part.len()) as u32
}

impl TailBatch {
    pub(crate) fn new(lane: Lane, body: Bytes) -> Self {
        Self { lane, body, rows: Vec::new() }
    }

    /// Adds a record, which must be a part of the body.
    pub(crate) fn push(&mut self, seq: u64, trace: Option<TraceId>, group: &Group<'_>, record: &[u8]) {
        let body = &self.body;
        let row = TailRow {
            seq,
            trace,
            resource: place(body, group.resource.message()),
            scope: place(body, group.scope.message()),
            record: place(body, record),
        };
        self.rows.push(row);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.body.len() as u64
    }

    fn part(&self, range: &Range<u32>) -> &[u8] {
        &self.body[range.start as usize..range.end as usize]
    }

    fn shared(&self, range: &Range<u32>) -> Bytes {
        self.body.slice(range.start as usize..range.end as usize)
    }

    pub(crate) fn resource(&self, row: &TailRow) -> Resource<'_> {
        Resource::decode(self.part(&row.resource))
    }

    pub(crate) fn scope(&self, row: &TailRow) -> Scope<'_> {
        Scope::decode(self.part(&row.scope))
    }

    pub(crate) fn record(&self, row: &TailRow) -> &[u8] {
        self.part(&row.record)
    }

    pub(crate) fn span(&self, row: &TailRow) -> SpanRef<'_> {
        debug_assert_eq!(self.lane.signal, Signal::Spans);
        SpanRef { resource: self.resource(row), scope: self.scope(row), span: Span::decode(self.record(row)) }
    }

    pub(crate) fn log(&self, row: &TailRow) -> LogRef<'_> {
        debug_assert_eq!(self.lane.signal, Signal::Logs);
        LogRef { resource: self.resource(row), scope: self.scope(row), log: Log::decode(self.record(row)) }
    }

    pub(crate) fn stored_log(&self, row: &TailRow) -> StoredLog {
        StoredLog {
            id: row.seq.to_string(),
            resource: self.shared(&row.resource),
            scope: self.shared(&row.scope),
            log: self.shared(&row.record),
        }
    }
}
