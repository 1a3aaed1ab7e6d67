//! The index of a shard: it only finds; what a search reads of a record stands in [`crate::bodies`].

use tantivy::schema::{BytesOptions, Field, NumericOptions, Schema};

/// Name of the only column: row in the bodies.
pub(crate) const ROW: &str = "row";

#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    /// All tokens, see [`crate::tokens`].
    pub(crate) tokens: Field,
    /// The lower half of the trace id; to be verified.
    pub(crate) trace_low: Field,
    pub(crate) row: Field,
}

pub(crate) fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let fields = Fields {
        tokens: builder.add_bytes_field("tokens", BytesOptions::default().set_indexed()),
        trace_low: builder.add_u64_field("trace_low", NumericOptions::default().set_indexed()),
        row: builder.add_u64_field(ROW, NumericOptions::default().set_fast()),
    };
    (builder.build(), fields)
}
