//! What a list says of a trace.

use weir_model::otlp::{LogRef, SpanRef};

use super::assemble;

/// Where the time of a trace went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// As [`Trace::start`](super::Trace::start).
    pub start: u64,
    /// As [`Trace::duration`](super::Trace::duration).
    pub duration: u64,
    /// Nanoseconds of the critical path by service, largest first; their sum is `duration`.
    pub shares: Vec<(String, u64)>,
}

/// Sums up a trace. Its log lines matter only where it has no spans.
pub fn summary(spans: &[SpanRef<'_>], logs: &[LogRef<'_>]) -> Summary {
    let trace = assemble(spans, logs);
    let shares =
        trace.shares.iter().map(|share| (trace.services[share.service].to_owned(), share.ns)).collect();
    Summary { start: trace.start, duration: trace.duration, shares }
}
