//! The index of a shard: it only finds; bodies stand beside it.

use tantivy::schema::{BytesOptions, Field, NumericOptions, Schema};

/// Names of the columns.
pub(crate) mod column {
    /// Row in the bodies.
    pub(crate) const ROW: &str = "row";
    /// Start of a span or time of a line, nanoseconds since the Unix epoch.
    pub(crate) const TIME: &str = "time";
    /// Number of the pair of resource and scope.
    pub(crate) const PAIR: &str = "pair";
    /// Number of the trace in the shard, 0 for none, else one more.
    pub(crate) const TRACE: &str = "trace";
    /// Duration of a span, nanoseconds; severity number of a line.
    pub(crate) const MEASURE: &str = "measure";
    /// Status code of a span.
    pub(crate) const STATUS: &str = "status";
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    /// All tokens, see [`crate::tokens`].
    pub(crate) tokens: Field,
    /// The lower half of the trace id; to be verified.
    pub(crate) trace_low: Field,
    pub(crate) row: Field,
    pub(crate) time: Field,
    pub(crate) pair: Field,
    pub(crate) trace: Field,
    pub(crate) measure: Field,
    pub(crate) status: Field,
}

pub(crate) fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let fast = || NumericOptions::default().set_fast();
    let fields = Fields {
        tokens: builder.add_bytes_field("tokens", BytesOptions::default().set_indexed()),
        trace_low: builder.add_u64_field("trace_low", NumericOptions::default().set_indexed()),
        row: builder.add_u64_field(column::ROW, fast()),
        time: builder.add_u64_field(column::TIME, fast()),
        pair: builder.add_u64_field(column::PAIR, fast()),
        trace: builder.add_u64_field(column::TRACE, fast()),
        measure: builder.add_u64_field(column::MEASURE, fast()),
        status: builder.add_u64_field(column::STATUS, fast()),
    };
    (builder.build(), fields)
}
