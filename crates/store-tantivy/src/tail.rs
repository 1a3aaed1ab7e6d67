//! The uncommitted tail: batches that are written but not yet in the index, kept as they came and searched by scanning.

use std::ops::Range;

use bytes::Bytes;
use weir_model::otlp::{Group, Log, LogRef, Resource, Scope, Span, SpanRef};
use weir_model::{Signal, TraceId};
use weir_store::StoredLog;
use weir_transport::Lane;

use crate::columns::Meta;
use crate::needle::Needle;
use crate::table::TraceTable;

/// A record in a batch.
#[derive(Debug, Clone)]
pub(crate) struct TailRow {
    /// Number of the record in the order of storing.
    pub(crate) seq: u64,
    pub(crate) trace: Option<TraceId>,
    /// As in [`Meta`].
    pub(crate) time: u64,
    pub(crate) measure: u64,
    pub(crate) class: u8,
    /// Number of its group in the batch.
    pub(crate) group: u32,
    /// Where it stands in the body.
    pub(crate) record: Range<u32>,
}

impl TailRow {
    /// What the shard's columns are to say of it, whose pair has the given number.
    pub(crate) fn meta(&self, pair: u32) -> Meta {
        Meta { trace: self.trace, time: self.time, measure: self.measure, pair, class: self.class }
    }
}

/// Where resource and scope of records stand in the body.
#[derive(Debug, Clone)]
struct TailGroup {
    resource: Range<u32>,
    scope: Range<u32>,
}

/// A batch with those of its records that count.
#[derive(Debug)]
pub(crate) struct TailBatch {
    pub(crate) lane: Lane,
    body: Bytes,
    groups: Vec<TailGroup>,
    pub(crate) rows: Vec<TailRow>,
    /// Largest time of a row.
    newest: Option<u64>,
    /// What the rows say of their traces.
    pub(crate) table: TraceTable,
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
        Self { lane, body, groups: Vec::new(), rows: Vec::new(), newest: None, table: TraceTable::default() }
    }

    /// Begins a group, which must be a part of the body. Records name it by the number that is returned.
    pub(crate) fn group(&mut self, group: &Group<'_>) -> u32 {
        let resource = place(&self.body, group.resource.message());
        let scope = place(&self.body, group.scope.message());
        self.groups.push(TailGroup { resource, scope });
        self.groups.len() as u32 - 1
    }

    /// Where a record stands, which must be a part of the body.
    pub(crate) fn place(&self, record: &[u8]) -> Range<u32> {
        place(&self.body, record)
    }

    pub(crate) fn add(&mut self, row: TailRow) {
        self.newest = self.newest.max(Some(row.time));
        self.rows.push(row);
    }

    /// Largest time of a row; `None` where there are none.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// The rows that may have a text in the record, its resource or its scope.
    pub(crate) fn rows_with(&self, needle: &Needle) -> impl Iterator<Item = &TailRow> {
        let places = needle.places(&self.body);
        let rows = if places.is_empty() { &[] } else { &self.rows[..] };
        let inside = move |range: &Range<u32>| {
            let next = places.partition_point(|place| *place < range.start);
            places.get(next).is_some_and(|place| *place < range.end)
        };
        let mut groups = Vec::new();
        if !rows.is_empty() {
            groups.extend(self.groups.iter().map(|group| inside(&group.resource) || inside(&group.scope)));
        }
        rows.iter().filter(move |row| groups[row.group as usize] || inside(&row.record))
    }

    /// The rows of a trace.
    pub(crate) fn rows_of(&self, trace: TraceId) -> impl Iterator<Item = &TailRow> {
        let rows = if self.table.get(trace).is_some() { &self.rows[..] } else { &[] };
        rows.iter().filter(move |row| row.trace == Some(trace))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.body.len() as u64
    }

    /// Number of groups.
    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    fn part(&self, range: &Range<u32>) -> &[u8] {
        &self.body[range.start as usize..range.end as usize]
    }

    fn shared(&self, range: &Range<u32>) -> Bytes {
        self.body.slice(range.start as usize..range.end as usize)
    }

    pub(crate) fn resource(&self, row: &TailRow) -> Resource<'_> {
        Resource::decode(self.part(&self.groups[row.group as usize].resource))
    }

    pub(crate) fn scope(&self, row: &TailRow) -> Scope<'_> {
        Scope::decode(self.part(&self.groups[row.group as usize].scope))
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
        let group = &self.groups[row.group as usize];
        StoredLog {
            id: row.seq.to_string(),
            resource: self.shared(&group.resource),
            scope: self.shared(&group.scope),
            log: self.shared(&row.record),
        }
    }
}
