//! Log lines to fields. A parser is given bytes and returns what it understood; it never fails and the line itself is kept.
//!
//! Everything is a function of the bytes of one entry, so reading a file again gives the same records:
//! - [`wrapper`]: what a container engine puts around a line (Docker json-file, CRI)
//! - [`line`]: time, severity, logger and trace context in a line, structured ([`json`], [`logfmt`], [`access`]) or not
//! - [`time`]: timestamps as loggers write them
//! - [`continuation`]: which lines belong to the one before them, as in stack traces

pub mod access;
mod context;
pub mod continuation;
pub mod json;
pub mod line;
pub mod logfmt;
pub mod time;
pub mod wrapper;

pub use line::{Field, Line, parse_line};
pub use time::Stamp;
pub use wrapper::{Entry, Wrapper, unwrap_entry};
