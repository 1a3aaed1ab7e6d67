//! What a list says of a trace.

use weir_model::otlp::{LogRef, SpanRef, StatusCode};

use super::assemble;

/// How much a trace is, and where its time went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// As [`Trace::start`](super::Trace::start).
    pub start: u64,
    /// As [`Trace::duration`](super::Trace::duration).
    pub duration: u64,
    /// Rows that the trace shows: a line's span that joins a reported one is counted once.
    pub spans: u64,
    /// Those of them with status error.
    pub errors: u64,
    /// Nanoseconds of the critical path by service, largest first; their sum is `duration`.
    pub shares: Vec<(String, u64)>,
}

/// Sums up a trace. Its log lines matter only where it has no spans.
pub fn summary(spans: &[SpanRef<'_>], logs: &[LogRef<'_>]) -> Summary {
    let trace = assemble(spans, logs);
    let shares =
        trace.shares.iter().map(|share| (trace.services[share.service].to_owned(), share.ns)).collect();
    let errors = trace.rows.iter().filter(|row| row.status == StatusCode::ERROR).count() as u64;
    let spans = trace.rows.len() as u64;
    Summary { start: trace.start, duration: trace.duration, spans, errors, shares }
}
