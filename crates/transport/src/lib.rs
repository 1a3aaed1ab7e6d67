//! The transport seam: how encoded batches travel from where they are read to where they are stored.
//!
//! Data enters a collector only through a *positioned log*: Kafka, or the embedded disk log. [`Sender`] appends to it and answers when
//! the batch is durable, [`Receiver`] reads it lane by lane from any position. Nothing is acknowledged before it is durable.

pub mod conformance;
pub mod disk_log;
pub mod envelope;
pub mod faulty;
pub mod memory;
mod seam;

pub use seam::{
    Batch, Cause, DeadLetters, Epoch, Event, Fenced, Lane, Letter, Origin, Position, ReceiveError, Receiver,
    SendError, SendErrorKind, Sender, Senders,
};
