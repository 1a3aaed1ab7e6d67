//! What can be asked.

use weir_model::filter::Filter;

/// Times in nanoseconds since the Unix epoch, half open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    pub from: u64,
    pub to: u64,
}

impl TimeRange {
    pub const ALL: TimeRange = TimeRange { from: 0, to: u64::MAX };

    pub fn contains(self, time: u64) -> bool {
        self.from <= time && time < self.to
    }
}

/// A count; where it is not exact the true one is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    pub value: u64,
    pub exact: bool,
}

/// Logs or spans: those that satisfy the filter and whose own time lies in the range.
#[derive(Debug, Clone)]
pub struct RecordQuery {
    /// Without trace conditions.
    pub filter: Filter,
    pub range: TimeRange,
}

/// Traces: those with a span that satisfies all span conditions and starts in the range, and whose row in the trace table satisfies the
/// trace conditions. A filter without span conditions is satisfied by any span, or by a log line where a trace has only those.
#[derive(Debug, Clone)]
pub struct TraceQuery {
    pub filter: Filter,
    pub range: TimeRange,
}

/// Continues a list. Opaque to all but the engine that made it; it carries the snapshot, so that later arrivals do not shift a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// `None` at the end.
    pub next: Option<Cursor>,
}

/// By what records are grouped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupKey {
    Service,
    /// Span name; a log has none.
    Operation,
    Kind,
    Status,
    /// Level of severity.
    Severity,
    /// An attribute, at the level its prefix names (`resource.`, `scope.`, `span.`, `log.`); at any, the resource's counts before the scope's and
    /// that before the record's own.
    Attribute(String),
}

/// How records are counted.
#[derive(Debug, Clone)]
pub enum Agg {
    Count,
    /// Counts by time and level of severity. `buckets` of `width` nanoseconds from `start` on.
    Histogram {
        start: u64,
        width: u64,
        buckets: usize,
    },
    /// The `limit` most frequent values of a key.
    Groups {
        by: GroupKey,
        limit: usize,
    },
    /// Calls, errors and durations of spans by service, operation and kind.
    Operations {
        limit: usize,
    },
}

/// The answer to an [`Agg`].
#[derive(Debug, Clone, PartialEq)]
pub enum Table {
    Count(Total),
    /// Per bucket the counts of unset, trace, debug, info, warn, error and fatal, in this order.
    Histogram {
        total: Total,
        counts: Vec<[u64; 7]>,
    },
    /// Largest first, ties by value. `other` counts records of values beyond the limit, `missing` those without the key.
    Groups {
        total: Total,
        groups: Vec<(String, u64)>,
        other: u64,
        missing: u64,
    },
    Operations(Vec<OperationRow>),
}

/// Rate, errors and duration of one operation. Durations in nanoseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationRow {
    pub service: String,
    pub operation: String,
    pub kind: i32,
    pub spans: u64,
    pub errors: u64,
    pub p50: u64,
    pub p95: u64,
    pub max: u64,
}
