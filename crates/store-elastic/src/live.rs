//! Live tail: log records as this process stores them.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use weir_model::filter::{Matcher, Record};
use weir_store::{StoredLog, TailEvent};

/// Batches that a reader may lag behind.
const LIVE_BATCHES: usize = 16;

/// Number of the first record, and the records.
type Fresh = (u64, Arc<Vec<StoredLog>>);

#[derive(Debug)]
pub(crate) struct Live {
    sender: broadcast::Sender<Fresh>,
    /// How many records there were.
    next: Mutex<u64>,
}

impl Live {
    pub(crate) fn new() -> Self {
        Self { sender: broadcast::channel(LIVE_BATCHES).0, next: Mutex::new(0) }
    }

    /// Hands `count` records on, which are made only where somebody listens.
    pub(crate) fn publish(&self, count: u64, records: impl FnOnce() -> Vec<StoredLog>) {
        if count == 0 {
            return;
        }
        let mut next = self.next.lock();
        if self.sender.receiver_count() > 0 {
            // The last one may have left meanwhile.
            let _ = self.sender.send((*next, Arc::new(records())));
        }
        *next += count;
    }

    pub(crate) fn subscribe(&self, matcher: Matcher) -> BoxStream<'static, TailEvent> {
        let next = self.next.lock();
        let begin = (self.sender.subscribe(), *next);
        let events = futures::stream::unfold(begin, |(mut fresh, next)| async move {
            loop {
                match fresh.recv().await {
                    Ok((first, logs)) => {
                        let end = first + logs.len() as u64;
                        return Some(((first.saturating_sub(next), logs), (fresh, end)));
                    }
                    // How many were left out shows with the next one that comes.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        let events = events.flat_map(move |(missed, logs)| {
            let hits = logs.iter().filter(|log| matcher.matches(Record::Log(&log.view())));
            let logs: Vec<StoredLog> = hits.cloned().collect();
            let missed = (missed > 0).then_some(TailEvent::Dropped(missed));
            let logs = (!logs.is_empty()).then_some(TailEvent::Logs(logs));
            futures::stream::iter(missed.into_iter().chain(logs))
        });
        events.boxed()
    }
}
