//! Handing batches on, in order, until each is durable.

use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::Duration;

use tokio::sync::mpsc;
use weir_model::Signal;
use weir_runtime::Health;
use weir_transport::{Batch, SendErrorKind, Sender, Senders};

use super::watch::Wake;

/// Longest wait between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How often a standing refusal is logged.
const LOG_EVERY: u32 = 20;

/// A batch and the number of records in it.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) batch: Batch,
    pub(super) records: u64,
}

/// Log records with the spans that they yield, and up to where they take each of their files.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) logs: Part,
    pub(super) spans: Option<Part>,
    /// File and end of the range.
    pub(super) files: Vec<(u64, u64)>,
}

/// Both parts of what was sealed are durable, or refused.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) files: Vec<(u64, u64)>,
    /// Records that will never be taken.
    pub(super) refused: [(Signal, u64); 2],
}

/// Sends until the queue is closed. Ends early, with what is left undelivered, when nothing more will ever be taken.
pub(super) async fn deliver(
    mut queue: mpsc::Receiver<Sealed>,
    senders: Senders,
    done: blocking::Sender<Delivered>,
    health: Health,
    wake: Arc<Wake>,
) {
    while let Some(Sealed { logs, spans, files }) = queue.recv().await {
        let spans = async {
            match spans {
                Some(spans) => hand_on(senders.spans.as_ref(), spans, &health).await,
                None => Some(0),
            }
        };
        let (Some(logs), Some(spans)) = tokio::join!(hand_on(senders.logs.as_ref(), logs, &health), spans)
        else {
            return;
        };
        if done.send(Delivered { files, refused: [(Signal::Logs, logs), (Signal::Spans, spans)] }).is_err() {
            return;
        }
        wake.wake();
    }
}

/// Sends a batch until it is durable. Returns how many records were refused; `None` when nothing more will ever be taken.
async fn hand_on(sender: &dyn Sender, Part { mut batch, records }: Part, health: &Health) -> Option<u64> {
    let signal = batch.signal;
    let part = if signal == Signal::Logs { "logs of files" } else { "spans of files" };
    let mut attempts = 0;
    loop {
        let error = match sender.send(batch).await {
            Ok(_) => {
                health.good(part);
                return Some(0);
            }
            Err(error) => error,
        };
        match error.kind {
            SendErrorKind::Retry { after } => {
                if attempts % LOG_EVERY == 0 {
                    tracing::warn!(%signal, error = %error.message, "records are not taken; reading waits and the files keep them");
                }
                health.bad(part, format!("not taken: {}", error.message));
                attempts += 1;
                tokio::time::sleep(after.saturating_mul(attempts.min(20)).min(RETRY_MAX)).await;
                batch = *error.batch;
            }
            SendErrorKind::Refused => {
                tracing::error!(%signal, records, error = %error.message, "records are refused and dropped");
                return Some(records);
            }
            SendErrorKind::Fatal => {
                health.bad(part, format!("can't be sent until a person acts: {}", error.message));
                tracing::error!(%signal, error = %error.message, "records can't be sent until a person acts; reading stops");
                return None;
            }
            SendErrorKind::Closed => return None,
        }
    }
}
