//! Receiving OTLP. A request is acknowledged when the next hop has made it durable, never before.

mod grpc;
mod http;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use weir_model::Signal;
use weir_model::otlp::validate;
use weir_transport::{Batch, SendErrorKind, Senders};
use xxhash_rust::xxh3::xxh3_64;

pub use grpc::GrpcReceiver;
pub use http::HttpReceiver;

use crate::envelope;

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

/// Where received requests go.
#[derive(Clone)]
pub struct Intake {
    senders: Senders,
    envelopes: bool,
}

impl Intake {
    /// Takes plain OTLP, as SDKs and collectors send it.
    pub fn plain(senders: Senders) -> Self {
        Self { senders, envelopes: false }
    }

    /// Takes what agents send, too: their requests say which ranges of which files they hold.
    pub fn from_agents(senders: Senders) -> Self {
        Self { senders, envelopes: true }
    }

    /// Hands an encoded request on and waits until it is durable.
    pub(crate) async fn take(&self, signal: Signal, request: Bytes) -> Result<(), Refusal> {
        let bad = |error: &dyn std::fmt::Display| {
            Refusal::Bad(format!("the body is not an OTLP request for {signal}: {error}"))
        };
        let enveloped = match self.envelopes {
            true => envelope::open(signal, &request).map_err(|error| bad(&error))?,
            false => None,
        };
        let batch = enveloped.unwrap_or_else(|| plain(signal, request));
        let counts = validate(signal, &batch.body).map_err(|error| bad(&error))?;
        if counts.records == 0 && batch.origins.is_empty() {
            return Ok(());
        }
        let error = match self.senders.of(signal).send(batch).await {
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
}

/// A request from outside Weir: it has no offsets in a source.
fn plain(signal: Signal, body: Bytes) -> Batch {
    let arrived = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    Batch { signal, origins: Vec::new(), route: xxh3_64(&body), arrived, body }
}
