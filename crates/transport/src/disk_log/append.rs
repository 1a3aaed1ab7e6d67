//! Appending: one thread writes and syncs for all senders.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use weir_model::limits;

use super::recent::{self, Entry};
use super::segment::Segment;
use super::{DiskLog, record};
use crate::{Batch, Position, SendError, SendErrorKind, Sender};

/// When a sender should come again after the log was full or the disk failed.
const RETRY: Duration = Duration::from_millis(500);
/// Bytes that are written with one sync at the most.
const GROUP_BYTES: usize = 16 << 20;
/// How long is waited for a reader that keeps up: so long for each byte written, and not longer than this in one piece. A reader that needs longer reads
/// from disk.
const WAIT_NANOS_PER_BYTE: u32 = 20;
const WAIT_MAX: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct Request {
    batch: Batch,
    answer: oneshot::Sender<Result<Position, SendError>>,
    _room: OwnedSemaphorePermit,
}

/// Appends to a [`DiskLog`]. Cloning shares the writing thread, which ends with the last clone.
#[derive(Debug, Clone)]
pub struct DiskLogSender {
    queue: mpsc::UnboundedSender<Request>,
    /// Bounds the queue, in bytes.
    room: Arc<Semaphore>,
    room_bytes: usize,
}

impl DiskLogSender {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(log: Arc<DiskLog>) -> io::Result<Self> {
        let (queue, requests) = mpsc::unbounded_channel();
        let room_bytes = log.settings.queue_bytes;
        let name = format!("log-{}", log.signal);
        std::thread::Builder::new().name(name).spawn(move || Appender::new(log).run(requests))?;
        Ok(Self { queue, room: Arc::new(Semaphore::new(room_bytes)), room_bytes })
    }
}

fn refuse(batch: Batch, kind: SendErrorKind, message: String) -> SendError {
    SendError { kind, message, batch: Box::new(batch) }
}

#[async_trait]
impl Sender for DiskLogSender {
    async fn send(&self, batch: Batch) -> Result<Position, SendError> {
        if batch.body.len() > limits::BATCH_BYTES_MAX {
            let message = format!(
                "a batch of {} bytes is over the limit of {}",
                batch.body.len(),
                limits::BATCH_BYTES_MAX
            );
            return Err(refuse(batch, SendErrorKind::Refused, message));
        }
        let bytes = batch.body.len().clamp(1, self.room_bytes) as u32;
        let room = self.room.clone().acquire_many_owned(bytes).await.expect("never closed");
        let (answer, answered) = oneshot::channel();
        let closed = |batch| refuse(batch, SendErrorKind::Closed, "the log is closed".into());
        let kept = batch.clone();
        if let Err(request) = self.queue.send(Request { batch, answer, _room: room }) {
            return Err(closed(request.0.batch));
        }
        answered.await.unwrap_or_else(|_| Err(closed(kept)))
    }
}

/// Writes to a log. There is one for each.
#[derive(Debug)]
pub(super) struct Appender {
    log: Arc<DiskLog>,
    /// What stands before each body of a group.
    heads: Vec<u8>,
    /// How long may be waited for the reader.
    patience: Duration,
}

impl Appender {
    pub(super) fn new(log: Arc<DiskLog>) -> Self {
        Self { log, heads: Vec::new(), patience: WAIT_MAX }
    }

    fn run(mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        let mut group = Vec::new();
        while let Some(request) = requests.blocking_recv() {
            let mut bytes = request.batch.body.len();
            group.push(request);
            while bytes < GROUP_BYTES
                && let Ok(request) = requests.try_recv()
            {
                bytes += request.batch.body.len();
                group.push(request);
            }
            self.wait_for_reader(group.iter().map(|request| recent::bytes(&request.batch)).sum());
            self.append(std::mem::take(&mut group));
        }
    }

    /// Waits until there is room for so many bytes beside what the reader has not had, as long as there is patience.
    fn wait_for_reader(&mut self, bytes: usize) {
        let earned = Duration::from_nanos(bytes as u64 * u64::from(WAIT_NANOS_PER_BYTE));
        self.patience = (self.patience + earned).min(WAIT_MAX);
        let begun = Instant::now();
        let state = self.log.state();
        let full = |state: &mut super::State| !state.recent.has_room(bytes);
        let (mut state, wait) =
            self.log.taken.wait_timeout_while(state, self.patience, full).expect("no panic while locked");
        if wait.timed_out() {
            state.recent.give_up();
        }
        self.patience = self.patience.saturating_sub(begun.elapsed());
    }

    fn is_full(&self) -> bool {
        self.log.stats().bytes >= self.log.settings.max_bytes
    }

    /// Goes on in a new segment if the last one has grown to its size, and removes that one if its reader is done with it.
    fn close_grown(&self) -> io::Result<()> {
        let (last, done) = {
            let state = self.log.state();
            (state.segments.last().map(|segment| segment.len), state.done)
        };
        if last.is_some_and(|len| len >= self.log.settings.segment_bytes) {
            self.roll(*self.log.durable.borrow())?;
            self.log.trim(done)?;
        }
        Ok(())
    }

    /// Makes a group durable with one sync, or refuses it whole.
    fn append(&mut self, group: Vec<Request>) {
        // A log that is smaller than the one before the restart may be full with its last segment alone.
        if self.is_full()
            && let Err(error) = self.close_grown()
        {
            tracing::warn!(log = %self.log.dir.display(), %error, "can't begin a new segment");
        }
        if self.is_full() {
            let message = format!(
                "the log {} has reached its limit of {} bytes; its reader is behind",
                self.log.dir.display(),
                self.log.settings.max_bytes
            );
            return answer_all(group, |batch| {
                Err(refuse(batch, SendErrorKind::Retry { after: RETRY }, message.clone()))
            });
        }
        match self.put(group.iter().map(|request| &request.batch)) {
            Ok(first) => {
                let mut position = first;
                answer_all(group, |_| {
                    let at = position;
                    position = position.next();
                    Ok(at)
                });
            }
            Err(error) => {
                let message = format!("can't write to the log {}: {error}", self.log.dir.display());
                let mut state = self.log.state();
                state.stats.failures += 1;
                // Senders come again soon: what stands is said once.
                if !std::mem::replace(&mut state.stats.failing, true) {
                    tracing::error!(
                        "{message}; nothing of it was acknowledged, senders try again until that works"
                    );
                }
                drop(state);
                answer_all(group, |batch| {
                    Err(refuse(batch, SendErrorKind::Retry { after: RETRY }, message.clone()))
                });
            }
        }
    }

    /// Makes batches durable with one sync; returns the position of the first.
    pub(super) fn put<'a>(&mut self, batches: impl Iterator<Item = &'a Batch>) -> io::Result<Position> {
        let first = *self.log.durable.borrow();
        let batches: Vec<&Batch> = batches.collect();
        let mut next = first;
        self.heads.clear();
        let mut head_ends = Vec::with_capacity(batches.len());
        for batch in &batches {
            record::encode_head(next, batch, &mut self.heads);
            head_ends.push(self.heads.len());
            next = next.next();
        }
        let mut parts: Vec<&[u8]> = Vec::with_capacity(2 * batches.len());
        let mut head_start = 0;
        for (batch, end) in batches.iter().zip(&head_ends) {
            parts.push(&self.heads[head_start..*end]);
            parts.push(&batch.body);
            head_start = *end;
        }
        let segment = self.write(first, &parts)?;
        {
            let mut state = self.log.state();
            let mut end = segment.len;
            for (i, (batch, parts)) in batches.iter().zip(parts.chunks(2)).enumerate() {
                end += parts.iter().map(|part| part.len() as u64).sum::<u64>();
                let (position, next) = (Position(first.0 + i as u64), (segment.first, end));
                state.recent.push(Entry { position, batch: (*batch).clone(), next });
            }
            if std::mem::take(&mut state.stats.failing) {
                tracing::info!(log = %self.log.dir.display(), "writing to the log works again");
            }
            state.stats.appended += next.0 - first.0;
            state.stats.syncs += 1;
            state.stats.next = next.0;
        }
        self.log.durable.send_replace(next);
        Ok(first)
    }

    /// Writes what begins at `first` to the last segment, or to a new one. Returns the segment as it was before.
    fn write(&self, first: Position, parts: &[&[u8]]) -> io::Result<Segment> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let _step = tracing::debug_span!("append", signal = %self.log.signal, bytes).entered();
        let last = self.log.state().segments.last().cloned();
        let segment = match last {
            Some(segment) if segment.len < self.log.settings.segment_bytes => segment,
            _ => self.roll(first)?,
        };
        let written = segment.file.append_parts(parts).and_then(|()| segment.file.sync());
        if let Err(error) = written {
            // Nothing is known about the file's end now: cut it if that is possible, and go on in a new file either way.
            if let Err(cut) = segment.file.truncate(segment.len) {
                tracing::warn!(%cut, "can't cut a segment after a failed write; what it holds beyond its end is not read");
            }
            if segment.first < first {
                self.roll(first)?;
            }
            return Err(error);
        }
        let mut state = self.log.state();
        state.segments.last_mut().expect("just written").len += bytes as u64;
        drop(state);
        Ok(segment)
    }

    fn roll(&self, first: Position) -> io::Result<Segment> {
        let _step = tracing::debug_span!("roll", signal = %self.log.signal, %first).entered();
        let file = self.log.create_segment(first)?;
        let segment = Segment { first, file, len: 0 };
        self.log.state().segments.push(segment.clone());
        Ok(segment)
    }
}

fn answer_all(group: Vec<Request>, mut answer: impl FnMut(Batch) -> Result<Position, SendError>) {
    for request in group {
        // A sender that stopped waiting does not mind.
        let _ = request.answer.send(answer(request.batch));
    }
}
