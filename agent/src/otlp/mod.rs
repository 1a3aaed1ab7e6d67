//! Receiving OTLP. A request is acknowledged when the next hop has made it durable, never before.

mod grpc;
mod http;

use bytes::Bytes;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use weir_model::Signal;
use weir_model::otlp::validate;
use weir_transport::{Batch, SendErrorKind};
use xxhash_rust::xxh3::xxh3_64;

pub use grpc::GrpcReceiver;
pub use http::HttpReceiver;

use crate::Senders;

/// Largest request, after decompression, in bytes.
pub(crate) const REQUEST_BYTES: usize = 32 << 20;

/// Why a request is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The sender's fault; sending it again would not help.
    Bad(String),
    /// Nobody takes it now; the same request may come again.
    Busy { after: Duration },
    /// Nobody will take it until a person acts.
    Broken(String),
}

/// Hands an encoded request on and waits until it is durable.
pub(crate) async fn take(senders: &Senders, signal: Signal, body: Bytes) -> Result<(), Refusal> {
    let counts = validate(signal, &body)
        .map_err(|error| Refusal::Bad(format!("the body is not an OTLP request for {signal}: {error}")))?;
    if counts.records == 0 {
        return Ok(());
    }
    let arrived = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let batch = Batch { signal, origins: Vec::new(), route: xxh3_64(&body), arrived, body };
    let error = match senders.of(signal).send(batch).await {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    Err(match error.kind {
        SendErrorKind::Retry { after } => Refusal::Busy { after },
        SendErrorKind::Closed => Refusal::Busy { after: Duration::from_secs(1) },
        SendErrorKind::Refused => Refusal::Bad(error.message),
        SendErrorKind::Fatal => Refusal::Broken(error.message),
    })
}
