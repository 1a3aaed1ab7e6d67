//! The store seam: where records are kept, and how they are found again.
//!
//! [`Writer`] takes batches from the positioned log, lane by lane, and says up to where they are durable. [`Reader`] answers queries on
//! a [`Snapshot`]: one consistent state, in which every record stored so far stands exactly once. What a search means is
//! [`weir_model::filter`]; an engine finds candidates any way it likes and verifies with it.

pub mod conformance;
pub mod faulty;
pub mod memory;
mod query;
mod ranges;
mod read;
mod refusals;
mod text;
mod write;

/// Why spans without a trace id or span id can't be stored.
pub const WITHOUT_IDS: &str = "a span without trace id or span id";

pub use query::{
    Agg, Cursor, GroupKey, OperationRow, Page, RecordQuery, Table, TimeRange, Total, TraceQuery,
};
pub use ranges::RangeSet;
pub use read::{
    FieldKey, LedgerRow, Matchers, Operation, Reader, Series, ServiceRow, Snapshot, StoreError,
    StoreErrorKind, StoredLog, StoredSpan, TailEvent, TraceHit, TraceRow, Values,
};
pub use refusals::{Refusal, Refusals};
pub use text::{listed_values, value_text};
pub use write::{PutError, Report, Revision, State, WriteError, Writer};
