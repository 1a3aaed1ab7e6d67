//! Receiving: a request is unpacked, checked, handed on, and acknowledged when the next hop has made it durable, never before.

mod grpc;
mod http;
mod json;
mod stats;
mod unpack;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::http::StatusCode;
use bytes::Bytes;
use weir_model::Signal;
use weir_model::otlp::validate;
use weir_transport::{Batch, SendErrorKind, Senders, envelope};
use xxhash_rust::xxh3::xxh3_64;

pub use grpc::GrpcReceiver;
pub use http::HttpReceiver;
pub use stats::{IntakeStats, Protocol};
pub use unpack::unpack;

/// Largest request, as it is sent and after decompression, in bytes.
pub const REQUEST_BYTES: usize = 32 << 20;

/// Why a request is not taken. Its text is for the person who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The sender's fault; sending it again would not help.
    #[error("{0}")]
    Malformed(String),
    /// A content type or encoding that nobody reads here.
    #[error("{0}")]
    Unsupported(String),
    #[error("the request has more than {} MiB, the most that is taken; send smaller batches", REQUEST_BYTES >> 20)]
    TooLarge,
    /// Nobody takes it now; the same request may come again.
    #[error("what was sent can't be stored now, send it again: {why}")]
    Busy { after: Duration, why: String },
    /// Nobody will take it until a person acts.
    #[error("{0}")]
    Broken(String),
}

impl Refusal {
    /// What it means in HTTP.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Seconds after which to send again, where that helps: the header `Retry-After`.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Busy { after, .. } => Some(after.as_secs().max(1)),
            _ => None,
        }
    }
}

/// Where received requests go, and what is counted of them. Cloning shares both.
#[derive(Clone)]
pub struct Intake {
    senders: Senders,
    envelopes: bool,
    stats: IntakeStats,
}

impl Intake {
    /// Takes plain OTLP, as SDKs and collectors send it.
    pub fn plain(senders: Senders) -> Self {
        Self { senders, envelopes: false, stats: IntakeStats::default() }
    }

    /// Takes what agents send, too: their requests say which ranges of which files they hold.
    pub fn from_agents(senders: Senders) -> Self {
        Self { envelopes: true, ..Self::plain(senders) }
    }

    /// Counts into `stats`.
    pub fn counted(self, stats: IntakeStats) -> Self {
        Self { stats, ..self }
    }

    /// Hands an encoded request on, waits until it is durable, and counts what became of it.
    ///
    /// # Errors
    /// Also where the body itself was refused before it came here.
    pub async fn take(
        &self,
        protocol: Protocol,
        signal: Signal,
        request: Result<Bytes, Refusal>,
    ) -> Result<(), Refusal> {
        let taken = match request {
            Ok(request) => self.hand_on(signal, request).await,
            Err(refusal) => Err(refusal),
        };
        match &taken {
            Ok(records) => self.stats.taken(protocol, signal, *records),
            Err(refusal) => self.count_refusal(protocol, refusal),
        }
        taken.map(|_| ())
    }

    fn count_refusal(&self, protocol: Protocol, refusal: &Refusal) {
        self.stats.refused(protocol, refusal);
    }

    /// Returns the number of records.
    async fn hand_on(&self, signal: Signal, request: Bytes) -> Result<u64, Refusal> {
        let bad = |error: &dyn std::fmt::Display| {
            Refusal::Malformed(format!("the body is not an OTLP request for {signal}: {error}"))
        };
        let enveloped = match self.envelopes {
            true => envelope::open(signal, &request).map_err(|error| bad(&error))?,
            false => None,
        };
        let batch = enveloped.unwrap_or_else(|| plain(signal, request));
        let counts = validate(signal, &batch.body).map_err(|error| bad(&error))?;
        if counts.records == 0 && batch.origins.is_empty() {
            return Ok(0);
        }
        let error = match self.senders.of(signal).send(batch).await {
            Ok(_) => return Ok(counts.records),
            Err(error) => error,
        };
        Err(match error.kind {
            SendErrorKind::Retry { after } => Refusal::Busy { after, why: error.message },
            SendErrorKind::Closed => Refusal::Busy { after: Duration::from_secs(1), why: error.message },
            SendErrorKind::Refused => Refusal::Malformed(error.message),
            SendErrorKind::Fatal => Refusal::Broken(error.message),
        })
    }
}

/// A request from outside Weir: it has no offsets in a source.
fn plain(signal: Signal, body: Bytes) -> Batch {
    let arrived = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    Batch { signal, origins: Vec::new(), route: xxh3_64(&body), arrived, body }
}
