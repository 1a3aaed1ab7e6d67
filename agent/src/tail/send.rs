//! Handing batches over for delivery, and what comes back of them.

use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::mpsc::error::TrySendError;
use weir_model::Signal;
use weir_transport::{Batch, Origin};
use xxhash_rust::xxh3::xxh3_64;

use super::bodies::Written;
use super::deliver::{Delivered, Part, Sealed};
use super::run::{DRAIN, PAUSE, Tailer, now};

impl Tailer {
    /// Takes what was delivered.
    pub(super) fn acknowledge(&mut self) {
        while let Ok(delivered) = self.delivered.try_recv() {
            self.take(delivered);
        }
    }

    pub(super) fn take(&mut self, delivered: Delivered) {
        self.changed = true;
        let stats = &self.tail.stats;
        stats.queued_batches.dec();
        self.unacknowledged.pop_front();
        let oldest = self.unacknowledged.front().copied().unwrap_or(0);
        stats.oldest_unacknowledged.store(oldest, Ordering::Relaxed);
        stats.acknowledged_now();
        let refused =
            delivered.refused.iter().any(|(signal, records)| *signal == Signal::Logs && *records > 0);
        for (id, end) in delivered.files {
            if let Some(file) = self.files.get_mut(&id) {
                self.touched.insert(id);
                if refused {
                    file.refuse(end);
                }
                file.acknowledge(end);
            }
        }
        delivered.refused.into_iter().for_each(|(signal, records)| stats.refused(signal, records));
    }

    /// Hands the body over as a batch. Waits while the queue is full: so back-pressure reaches the files. Those that come up meanwhile are
    /// opened, so that they can still be read when they have been renamed or removed.
    pub(super) fn seal(&mut self) {
        if self.bodies.is_empty() {
            return;
        }
        if self.unsaved && !self.save() {
            if self.unacknowledged.is_empty() {
                let since = now().saturating_sub(self.bodies.age().as_nanos() as u64);
                self.tail.stats.oldest_unacknowledged.store(since, Ordering::Relaxed);
            }
            return;
        }
        self.sealed = Instant::now();
        let (logs, spans) = self.bodies.finish();
        let mut origins = Vec::new();
        for id in &logs.files {
            let Some(file) = self.files.get_mut(id) else { continue };
            let range = file.take_range();
            if !range.is_empty() {
                origins.push((*id, Origin { incarnation: file.incarnation, range, acked_below: file.acked }));
            }
        }
        if origins.is_empty() {
            return;
        }
        let files = origins.iter().map(|(id, origin)| (*id, origin.range.end)).collect();
        let part = |signal, Written { body, records, files }: Written| {
            let of_files = origins.iter().filter(|(id, _)| files.contains(id));
            let origins: Vec<Origin> = of_files.map(|(_, origin)| origin.clone()).collect();
            let route = origins.first().map_or(0, |first| xxh3_64(&first.incarnation.to_bytes()));
            Part { batch: Batch { signal, origins, route, arrived: now(), body }, records }
        };
        let spans = spans.map(|spans| part(Signal::Spans, spans));
        let sealed = Sealed { logs: part(Signal::Logs, logs), spans, files };
        let stats = &self.tail.stats;
        stats.queued_batches.inc();
        self.unacknowledged.push_back(sealed.logs.batch.arrived);
        stats.oldest_unacknowledged.store(self.unacknowledged[0], Ordering::Relaxed);
        self.hand_over(sealed);
    }

    fn hand_over(&mut self, mut sealed: Sealed) {
        let mut stopping: Option<Instant> = None;
        while let Some(queue) = &self.queue {
            match queue.try_send(sealed) {
                Ok(()) => return,
                Err(TrySendError::Full(back)) => sealed = back,
                // Delivery has ended for good; the files keep what was not taken.
                Err(TrySendError::Closed(_)) => {
                    self.queue = None;
                    return;
                }
            }
            if self.stop.is_cancelled() && stopping.get_or_insert_with(Instant::now).elapsed() >= DRAIN {
                return;
            }
            if let Ok(delivered) = self.delivered.recv_timeout(PAUSE) {
                self.take(delivered);
            }
            self.look();
        }
    }
}
