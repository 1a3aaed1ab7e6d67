//! Handing batches on, in order, until each is durable.

use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use weir_model::Signal;
use weir_runtime::{Health, Trouble};
use weir_transport::{Batch, SendErrorKind, Sender, Senders};

use super::watch::Wake;

/// Longest wait between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How long a batch may be under way before health tells of it.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// How often is looked how long it has been.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
    let hop =
        |sender| Hop { sender, health: &health, trouble: Trouble::default(), late_after: UNACKNOWLEDGED };
    let (of_logs, of_spans) = (hop(senders.logs.as_ref()), hop(senders.spans.as_ref()));
    while let Some(Sealed { logs, spans, files }) = queue.recv().await {
        let spans = async {
            match spans {
                Some(spans) => of_spans.hand_on(spans).await,
                None => Some(0),
            }
        };
        let (Some(logs), Some(spans)) = tokio::join!(of_logs.hand_on(logs), spans) else {
            return;
        };
        if done.send(Delivered { files, refused: [(Signal::Logs, logs), (Signal::Spans, spans)] }).is_err() {
            return;
        }
        wake.wake();
    }
}

/// Where one signal's batches go.
struct Hop<'a> {
    sender: &'a dyn Sender,
    health: &'a Health,
    trouble: Trouble,
    /// How long a batch may be under way before health tells of it.
    late_after: Duration,
}

impl Hop<'_> {
    /// Sends a batch until it is durable. Returns how many records were refused; `None` when nothing more will ever be taken.
    async fn hand_on(&self, Part { mut batch, records }: Part) -> Option<u64> {
        let signal = batch.signal;
        let part = if signal == Signal::Logs { "logs of files" } else { "spans of files" };
        let begun = Instant::now();
        let late = || match begun.elapsed() {
            late if late >= self.late_after => Some(format!("unacknowledged for {} s", late.as_secs())),
            _ => None,
        };
        let mut attempts = 0;
        loop {
            let mut answer = self.sender.send(batch);
            let answer = loop {
                match tokio::time::timeout(LOOK_EVERY.min(self.late_after), &mut answer).await {
                    Ok(answer) => break answer,
                    Err(_) => late().into_iter().for_each(|late| self.health.bad(part, late)),
                }
            };
            let error = match answer {
                Ok(_) => {
                    self.health.good(part);
                    if let Some(lasted) = self.trouble.good() {
                        tracing::info!(%signal, seconds = lasted.as_secs(), "records are taken again");
                    }
                    return Some(0);
                }
                Err(error) => error,
            };
            match error.kind {
                SendErrorKind::Retry { after } => {
                    if let Some(lasted) = self.trouble.bad() {
                        let (error, seconds) = (&error.message, lasted.as_secs());
                        tracing::warn!(error, %signal, seconds, "records are not taken; reading waits and the files keep them");
                    }
                    let late = late().map_or(String::new(), |late| format!("{late}, "));
                    self.health.bad(part, format!("{late}not taken: {}", error.message));
                    attempts += 1;
                    tokio::time::sleep(after.saturating_mul(attempts.min(20)).min(RETRY_MAX)).await;
                    batch = *error.batch;
                }
                SendErrorKind::Refused => {
                    tracing::error!(%signal, records, error = %error.message, "records are refused and dropped");
                    return Some(records);
                }
                SendErrorKind::Fatal => {
                    self.health.bad(part, format!("can't be sent until a person acts: {}", error.message));
                    tracing::error!(%signal, error = %error.message, "records can't be sent until a person acts; reading stops");
                    return None;
                }
                SendErrorKind::Closed => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::log_lines::log_lines;
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

    fn part() -> Part {
        let signal = Signal::Logs;
        let batch = Batch { signal, origins: Vec::new(), route: 0, arrived: 0, body: Bytes::new() };
        Part { batch, records: 1 }
    }

    /// Has no room at the first attempt of each batch, as a full log that drains.
    #[derive(Default)]
    struct Full(AtomicU64);

    #[async_trait]
    impl Sender for Full {
        async fn send(&self, batch: Batch) -> Result<Position, SendError> {
            match self.0.fetch_add(1, Ordering::Relaxed) % 2 {
                0 => Err(SendError {
                    kind: SendErrorKind::Retry { after: Duration::from_millis(1) },
                    message: "full".into(),
                    batch: Box::new(batch),
                }),
                _ => Ok(Position(0)),
            }
        }
    }

    #[tokio::test]
    async fn a_full_log_that_drains_is_not_told_with_every_batch() {
        let (lines, _guard) = log_lines();
        let (sender, health) = (Full::default(), Health::default());
        let trouble = Trouble::default();
        let hop = Hop { sender: &sender, health: &health, trouble, late_after: UNACKNOWLEDGED };
        for _ in 0..20 {
            assert_eq!(hop.hand_on(part()).await, Some(0));
        }
        let expect = [
            " WARN records are not taken; reading waits and the files keep them error=\"full\" signal=logs",
            " INFO records are taken again signal=logs",
        ];
        assert_eq!(lines.get(), expect);
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
            let hop = Hop { sender: &sender, health: &health, trouble: Trouble::default(), late_after };
            let sent = hop.hand_on(part());
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
