//! OTLP on the wire: receiving it from whoever speaks it, and sending it from an agent to a collector where no broker stands between them.
//!
//! A batch travels as the OTLP request that it is, with an [envelope](weir_transport::envelope) that any other OTLP receiver skips. The peer answers when the batch
//! is durable there, so the sender's spool may forget it.

mod receive;
mod send;

pub use receive::{
    GrpcReceiver, HttpReceiver, Intake, IntakeStats, Protocol, REQUEST_BYTES, Refusal, unpack,
};
pub use send::{AddressError, GrpcSender, HttpSender};
