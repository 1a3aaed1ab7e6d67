//! From the bytes of a log file to records: wrappers, formats, stack traces, times and the spans that a single line yields.
//!
//! Everything in here is a pure function of its arguments: no I/O, no clock, no randomness. Parsing never fails; what no format
//! recognises is a plain text record, and every record gives its raw line back.
//!
//! Invariant: what a [`Stream`] emits depends only on the bytes from its resume offset on and on the [`Decision`]s it was given or
//! has announced. A caller that stores each announced decision durably before it sends a record that follows it, and hands them
//! back when it reads again, gets the same records again.
//!
//! - [`stream`]: the whole path for one file, which is what an agent uses
//! - [`format`]: one matcher per known format; [`parsed`]: what they fill in
//! - [`charset`]: text that is no UTF-8
//! - [`wrapper`]: Docker's json-file and CRI around any format
//! - [`detect`]: which format a file has; [`decision`]: the durable form of what was decided
//! - [`trace`]: which lines continue a stack trace, and the exception in it
//! - [`settle`]: times that lack a date or a zone; [`zone`]: zones with seasons
//! - [`derive`](mod@derive): the spans that a single record yields
//! - [`pattern`]: a format that the user describes
//! - [`explain`](mod@explain): what is decided about a source, and why

pub mod attr;
pub mod charset;
pub mod context;
pub mod decision;
pub mod derive;
pub mod detect;
pub mod explain;
pub mod format;
pub mod parsed;
pub mod pattern;
mod scan;
pub mod settle;
pub mod severity;
pub mod stream;
pub mod time;
pub mod trace;
pub mod wrapper;
pub mod zone;

pub use charset::Charset;
pub use decision::{Decision, Locked};
pub use derive::{Derived, derive};
pub use explain::{Explanation, explain};
pub use format::Format;
pub use parsed::{Issues, Parsed, Text, Value};
pub use pattern::{Pattern, PatternConfig, PatternError};
pub use stream::{Options, Record, Stream};
pub use wrapper::Wrapper;
pub use zone::{Zone, ZoneName};
