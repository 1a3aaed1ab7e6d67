//! Handing batches on, in order, until each is durable.

use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use weir_model::Signal;
use weir_runtime::Health;
use weir_transport::{Batch, SendErrorKind, Sender, Senders};

use super::watch::Wake;

/// Longest wait between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How long a batch may be under way before health tells of it.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// How often is looked how long it has been.
const LOOK_EVERY: Duration = Duration::from_secs(1);
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
                Some(spans) => hand_on(senders.spans.as_ref(), spans, &health, UNACKNOWLEDGED).await,
                None => Some(0),
            }
        };
        let (Some(logs), Some(spans)) =
            tokio::join!(hand_on(senders.logs.as_ref(), logs, &health, UNACKNOWLEDGED), spans)
        else {
            return;
        };
        if done.send(Delivered { files, refused: [(Signal::Logs, logs), (Signal::Spans, spans)] }).is_err() {
            return;
        }
        wake.wake();
    }
}

/// Sends a batch until it is durable. Returns how many records were refused; `None` when nothing more will ever be taken. Health tells of it where it
/// takes longer than `late_after`.
async fn hand_on(
    sender: &dyn Sender,
    Part { mut batch, records }: Part,
    health: &Health,
    late_after: Duration,
) -> Option<u64> {
    let signal = batch.signal;
    let part = if signal == Signal::Logs { "logs of files" } else { "spans of files" };
    let begun = Instant::now();
    let late = || match begun.elapsed() {
        late if late >= late_after => Some(format!("unacknowledged for {} s", late.as_secs())),
        _ => None,
    };
    let mut attempts = 0;
    loop {
        let mut answer = sender.send(batch);
        let answer = loop {
            match tokio::time::timeout(LOOK_EVERY.min(late_after), &mut answer).await {
                Ok(answer) => break answer,
                Err(_) => late().into_iter().for_each(|late| health.bad(part, late)),
            }
        };
        let error = match answer {
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
                let late = late().map_or(String::new(), |late| format!("{late}, "));
                health.bad(part, format!("{late}not taken: {}", error.message));
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

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use bytes::Bytes;
    use tokio::sync::oneshot;
    use weir_transport::{Position, SendError};

    /// Answers when it is told to.
    struct Slow(std::sync::Mutex<Option<oneshot::Receiver<()>>>);

    #[async_trait]
    impl Sender for Slow {
        async fn send(&self, _: Batch) -> Result<Position, SendError> {
            let told = self.0.lock().unwrap().take().expect("one batch");
            told.await.unwrap();
            Ok(Position(0))
        }
    }

    #[tokio::test]
    async fn health_tells_of_what_is_under_way_for_long() {
        for (late_after, expect) in
            [(Duration::from_millis(20), Some("unacknowledged for 0 s")), (UNACKNOWLEDGED, None)]
        {
            let (tell, told) = oneshot::channel();
            let sender = Slow(std::sync::Mutex::new(Some(told)));
            let health = Health::default();
            let trouble = || health.trouble("logs of files");
            let batch =
                Batch { signal: Signal::Logs, origins: Vec::new(), route: 0, arrived: 0, body: Bytes::new() };
            let sent = hand_on(&sender, Part { batch, records: 1 }, &health, late_after);
            let watched = async {
                while trouble().as_deref() != expect {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                tell.send(()).unwrap();
            };
            assert_eq!(tokio::join!(sent, watched).0, Some(0));
            assert_eq!(trouble(), None);
        }
    }
}
