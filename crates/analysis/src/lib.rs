//! From the records of a trace to the picture of a call: who called whom, where the time went, which lines belong to which span.
//!
//! Everything in here is a pure function of its arguments, and linear in the number of records but for sorting. No recursion: a chain
//! of a hundred thousand calls is as good as any.

mod trace;

pub use trace::{Flags, Note, NoteKind, Origin, Row, Segment, Share, Summary, Trace, assemble, summary};
