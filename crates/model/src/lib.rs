//! The data model: OpenTelemetry's logs, spans and metrics as they lie on the wire, their ids, and what a search means.
//!
//! Everything in here is a pure function of its arguments: no I/O, no clock, no async.
//!
//! - [`filter`]: what a search means
//! - [`ids`]: trace, span and incarnation ids; [`identity`]: what makes a record the same record when it comes again
//! - [`wire`]: protobuf reading and writing, as far as OTLP needs it
//! - [`otlp`]: borrowed views of encoded batches, and writers that append records to a buffer
//! - [`limits`]: every bound on what is taken in, with its unit

pub mod filter;
pub mod identity;
pub mod ids;
pub mod limits;
pub mod otlp;
pub mod severity;
pub mod signal;
pub mod wire;

pub use ids::{Incarnation, SpanId, TraceId};
pub use severity::Severity;
pub use signal::Signal;
