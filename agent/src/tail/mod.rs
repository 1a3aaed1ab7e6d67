//! Following log files.
//!
//! One thread reads all files in turns, makes records of their lines and batches of the records; a task hands the batches on, one after the
//! other, and reports what is durable. The spans that lines yield travel in batches of their own, with the ranges of the log records that they go with.
//! A file's checkpoint advances only over what was reported for both, so whatever is killed, reading goes on where the next hop has nothing yet. Back-pressure is the hand-over itself: while it waits, no file is read.
//!
//! The thread sleeps until it hears of a change (inotify), and looks at all files every few seconds for what it may not have heard.

mod bodies;
mod buffers;
mod deliver;
mod discover;
mod file;
mod identity;
mod look;
mod records;
mod run;
mod send;
mod turns;
mod watch;

pub use discover::{FileSettings, file_settings, host_zone};
pub(crate) use run::Tail;

/// Bytes read from one file before the next has its turn.
const TURN_BYTES: usize = 256 * 1024;
/// Bytes of an unfinished line that are kept. Enough above the limit of a body that the parser sees that it is over it.
const LINE_BYTES: usize = weir_model::limits::BODY_BYTES + 4;
/// First bytes by which a file is recognised.
const HEAD_BYTES: u64 = 1024;
/// Last bytes that were read, by which a file is recognised.
pub(crate) const MARKER_BYTES: u64 = 64;
