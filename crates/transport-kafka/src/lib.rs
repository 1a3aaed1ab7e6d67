//! Kafka as the positioned log: an engine of the transport seam, on librdkafka.
//!
//! A batch is a message whose payload is the OTLP request that it is, in the topics and encoding of the OpenTelemetry Collector's `kafka`
//! exporter and receiver (`otlp_logs`, `otlp_spans`, `otlp_metrics`, `otlp_proto`), so either end can be swapped for it. What else a batch
//! carries stands in one header, [`ENVELOPE`]; a message without it is a stranger's, which has no origins and arrived at the message's time.
//!
//! # Promises
//! - A send is answered by the delivery report of an idempotent producer with `acks=all`, and by nothing earlier.
//! - Partitions are chosen here, never by librdkafka: see [`partition`].
//! - Partitions are assigned outright, or shared by the members of a group ([`Assignment`]), and read from where the owner says; the offsets that a
//!   group commits are information for people.
//! - A position is the message's offset, with the topic's *generation* in its upper bits: when a topic was recreated its offsets begin anew, and
//!   positions must not ([`generation`]).

mod client;
mod dead_letter;
mod generation;
mod group;
mod partition;
mod producer;
mod receive;
mod send;
mod settings;
mod topic_id;
mod topics;

pub use client::Kafka;
pub use dead_letter::{KafkaDeadLetters, LetterId, StoredLetter};
pub use generation::{Generation, Generations};
pub use group::{Assignment, Epochs};
pub use receive::KafkaReceiver;
pub use send::KafkaSender;
pub use settings::{Compression, Config, Mechanism, Sasl, Tls, Topics};

/// Header of a message that holds what [`weir_transport::envelope::write`] made.
pub const ENVELOPE: &str = "weir.envelope";
