//! Sending batches to a collector, over HTTP or gRPC.

mod grpc;
mod http;

use std::time::Duration;

use weir_transport::{Batch, SendError, SendErrorKind};

pub use grpc::GrpcSender;
pub use http::HttpSender;

/// How long one request may take. A collector that is slower than this is treated as away.
const TIMEOUT: Duration = Duration::from_secs(30);
/// When to come again where the peer does not say.
const RETRY: Duration = Duration::from_secs(1);

/// The address of the collector is not one.
#[derive(Debug, thiserror::Error)]
#[error("`{url}` is not the address of a collector: {problem}; write it like http://127.0.0.1:7072")]
pub struct AddressError {
    url: String,
    problem: String,
}

fn failed(kind: SendErrorKind, message: String, batch: Batch) -> SendError {
    SendError { kind, message, batch: Box::new(batch) }
}

/// The peer is away or slow: the same batch may go again.
fn away(message: String, batch: Batch) -> SendError {
    failed(SendErrorKind::Retry { after: RETRY }, message, batch)
}
