//! Reading.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use weir_model::filter::Filter;
use weir_model::otlp::{Log, LogRef, Resource, Scope, Span, SpanRef};
use weir_model::{Incarnation, Signal, TraceId};
use weir_transport::Lane;

use crate::query::{Agg, Cursor, Page, RecordQuery, Table, TimeRange, Total, TraceQuery};
use crate::ranges::RangeSet;

/// What a caller can do about a failed query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The query can't be answered as it is (a bad cursor, a condition that can't be asked here).
    Query,
    /// Passing trouble; ask again.
    Retry,
    /// Whoever has the data does not answer; ask again.
    Away,
    /// Stored data is damaged, or a part of the store is broken.
    Broken,
}

/// A failed query.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    pub kind: StoreErrorKind,
    /// What failed and what to do about it, for a person.
    pub message: String,
}

/// A span as it was received, with what Weir knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSpan {
    /// Encoded `Resource`, `InstrumentationScope` and `Span`.
    pub resource: Bytes,
    pub scope: Bytes,
    pub span: Bytes,
}

impl StoredSpan {
    pub fn view(&self) -> SpanRef<'_> {
        SpanRef {
            resource: Resource::decode(&self.resource),
            scope: Scope::decode(&self.scope),
            span: Span::decode(&self.span),
        }
    }
}

/// A log record as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLog {
    /// Opaque; finds the record again through [`Snapshot::log`] as long as it is kept. At most 128 bytes of `[A-Za-z0-9._-]`.
    pub id: String,
    /// Encoded `Resource`, `InstrumentationScope` and `LogRecord`.
    pub resource: Bytes,
    pub scope: Bytes,
    pub log: Bytes,
}

impl StoredLog {
    pub fn view(&self) -> LogRef<'_> {
        LogRef {
            resource: Resource::decode(&self.resource),
            scope: Scope::decode(&self.scope),
            log: Log::decode(&self.log),
        }
    }
}

/// Service and name of a span.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Operation {
    pub service: String,
    pub name: String,
}

/// What the trace table says of one trace, merged over all shards. Times in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceRow {
    pub trace_id: TraceId,
    /// First start of a span, or time of the first line where there are only logs.
    pub start: u64,
    /// Root start (first start where no root came) to last end, in nanoseconds.
    pub duration: u64,
    pub root: Option<Operation>,
    /// The root, or where the root's name has no path of its own the first span below it in another service.
    pub entry: Option<Operation>,
    pub spans: u64,
    /// Spans with status error.
    pub errors: u64,
    pub logs: u64,
    /// Lines of severity ERROR or above.
    pub error_logs: u64,
}

/// A trace that satisfies a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceHit {
    pub row: TraceRow,
    /// Start of its newest matching span: the trace's place in the list.
    pub newest: u64,
    /// How many of its spans satisfy the span conditions; 0 where the query has none.
    pub matched: u64,
}

/// Distinct values of a key, most frequent first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    pub values: Vec<(String, u64)>,
    /// False when the engine stopped counting or listing early.
    pub complete: bool,
}

/// A key that records have.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldKey {
    pub key: String,
    /// `resource`, `scope`, `span` or `log`.
    pub level: &'static str,
}

/// Which metric series are wanted: name equal, and every attribute (of point or resource) equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matchers {
    /// All names where `None`.
    pub name: Option<String>,
    pub attributes: Vec<(String, String)>,
}

/// Points of one metric series in order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub name: String,
    pub unit: String,
    /// Attributes of the resource and the point as text, sorted by key.
    pub attributes: Vec<(String, String)>,
    /// Nanoseconds since the Unix epoch, value.
    pub points: Vec<(u64, f64)>,
}

/// What a service has done in a time range.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceRow {
    pub name: String,
    pub spans: u64,
    pub errors: u64,
    pub logs: u64,
    pub error_logs: u64,
    /// Newest event time, in nanoseconds since the Unix epoch.
    pub last_seen: u64,
}

/// Which ranges of a source are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    pub incarnation: Incarnation,
    pub lane: Lane,
    pub ranges: RangeSet,
}

/// One consistent state of the store. Records that arrive later do not show in it.
///
/// # Contract
/// - Every record stored before the snapshot was taken is in it exactly once, whether it is committed, being committed, or in the
///   uncommitted tail.
/// - Lists are newest first and exact; ties are broken the same way each time, so pages neither overlap nor leave a hole.
/// - A snapshot may be held for minutes; engines bound how many.
#[async_trait]
pub trait Snapshot: Send + Sync {
    /// All spans of a trace, oldest start first. Empty when there are none.
    async fn trace(&self, trace: TraceId) -> Result<Vec<StoredSpan>, StoreError>;
    /// The first `limit` log records of a trace, oldest first, and how many there are.
    async fn trace_logs(&self, trace: TraceId, limit: usize) -> Result<(Vec<StoredLog>, Total), StoreError>;
    /// The trace table's row.
    async fn trace_row(&self, trace: TraceId) -> Result<Option<TraceRow>, StoreError>;
    async fn logs(
        &self,
        query: &RecordQuery,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<StoredLog>, StoreError>;
    async fn log(&self, id: &str) -> Result<Option<StoredLog>, StoreError>;
    /// Traces by their newest matching span, and how many there are. The total is exact where it is cheap to count; beyond that there are at
    /// least so many.
    async fn traces(
        &self,
        query: &TraceQuery,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<(Page<TraceHit>, Total), StoreError>;
    /// The rows of up to `limit` newest traces that satisfy the query, and how many do, counted as for a list.
    async fn trace_table(
        &self,
        query: &TraceQuery,
        limit: usize,
    ) -> Result<(Vec<TraceRow>, Total), StoreError>;
    /// How many traces satisfy the query, exactly, however long that takes.
    async fn trace_count(&self, query: &TraceQuery) -> Result<u64, StoreError>;
    async fn aggregate(&self, signal: Signal, query: &RecordQuery, agg: &Agg) -> Result<Table, StoreError>;
    async fn services(&self, range: TimeRange) -> Result<Vec<ServiceRow>, StoreError>;
    async fn keys(&self, signal: Signal, prefix: &str) -> Result<Vec<FieldKey>, StoreError>;
    /// Values of a key that begin with `prefix`, and how many records have each. The key is `service`, `operation`, `event` or an attribute, at the
    /// level that `resource.`, `scope.`, `span.` or `log.` before it names or at all three, of which each counts. Listed are the elements of lists,
    /// texts below 1,024 bytes, numbers as the double next to them, and `true` and `false`; offsets and
    /// ordinals need not be.
    async fn values(
        &self,
        signal: Signal,
        key: &str,
        prefix: &str,
        limit: usize,
    ) -> Result<Values, StoreError>;
    /// Series by name, unit and attributes, each with its points in the range.
    async fn select(&self, matchers: &Matchers, range: TimeRange) -> Result<Vec<Series>, StoreError>;
    async fn ledger(&self) -> Result<Vec<LedgerRow>, StoreError>;
}

/// What a live tail delivers.
#[derive(Debug, Clone)]
pub enum TailEvent {
    /// Newly stored log records that satisfy the filter, in the order of storing, each once.
    Logs(Vec<StoredLog>),
    /// The reader was too slow: so many matching or unexamined records were left out.
    Dropped(u64),
}

/// Answers queries.
#[async_trait]
pub trait Reader: Send + Sync {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError>;
    /// The snapshot that a cursor was made on, or a new one restricted to what was stored by then.
    async fn snapshot_at(&self, cursor: &Cursor) -> Result<Arc<dyn Snapshot>, StoreError>;
    /// Log records as they are stored from now on.
    fn tail(&self, filter: &Filter) -> Result<BoxStream<'static, TailEvent>, StoreError>;
}
