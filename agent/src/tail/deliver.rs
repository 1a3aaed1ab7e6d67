//! Handing batches on, in order, until each is durable.

use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::Duration;

use tokio::sync::mpsc;
use weir_transport::{Batch, SendErrorKind, Sender};

/// Longest wait between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How often a standing refusal is logged.
const LOG_EVERY: u32 = 20;

/// A batch, and up to where it takes each of its files.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) batch: Batch,
    pub(super) records: u64,
    /// File and end of the range.
    pub(super) files: Vec<(u64, u64)>,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) files: Vec<(u64, u64)>,
    /// Records that will never be taken, and why.
    pub(super) dropped: Option<(u64, String)>,
}

/// Sends until the queue is closed. Ends early, with what is left undelivered, when nothing more will ever be taken.
pub(super) async fn deliver(
    mut queue: mpsc::Receiver<Sealed>,
    sender: Arc<dyn Sender>,
    done: blocking::Sender<Delivered>,
) {
    while let Some(sealed) = queue.recv().await {
        let mut batch = sealed.batch;
        let mut attempts = 0;
        let dropped = loop {
            let error = match sender.send(batch).await {
                Ok(_) => break None,
                Err(error) => error,
            };
            match error.kind {
                SendErrorKind::Retry { after } => {
                    if attempts % LOG_EVERY == 0 {
                        tracing::warn!(error = %error.message, "logs are not taken; reading waits and the files keep them");
                    }
                    attempts += 1;
                    tokio::time::sleep(after.saturating_mul(attempts.min(20)).min(RETRY_MAX)).await;
                    batch = *error.batch;
                }
                SendErrorKind::Refused => {
                    tracing::error!(records = sealed.records, error = %error.message, "records are refused and dropped");
                    break Some((sealed.records, error.message));
                }
                SendErrorKind::Fatal | SendErrorKind::Closed => {
                    if error.kind == SendErrorKind::Fatal {
                        tracing::error!(error = %error.message, "logs can't be sent until a person acts; reading stops");
                    }
                    return;
                }
            }
        };
        if done.send(Delivered { files: sealed.files, dropped }).is_err() {
            return;
        }
    }
}
