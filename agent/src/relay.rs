//! From the spool to the next hop: every batch is sent until it is taken, in the order of the spool, several at a time.
//!
//! What was taken is written down as one position, at most once a second. After a crash the batches since then are sent again, and the
//! store recognises them by their origins or identities.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use tokio_util::sync::CancellationToken;
use weir_disk::{Disk, read, write_atomic};
use weir_model::Signal;
use weir_runtime::Health;
use weir_transport::{Batch, Cause, Event, Lane, Position, ReceiveError, Receiver, SendErrorKind, Sender};

use crate::stats::RelayStats;

/// Batches under way at a time: enough that small ones do not wait for each other's disk sync.
const UNDER_WAY: usize = 16;
/// Longest wait between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How often a standing failure is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// How often the position is written down.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Sends one signal's spool on.
pub struct Relay {
    signal: Signal,
    receiver: Box<dyn Receiver>,
    sender: Arc<dyn Sender>,
    cursor: Cursor,
    stats: Arc<RelayStats>,
    health: Health,
    complaint: Arc<Mutex<Option<Instant>>>,
}

impl Relay {
    pub fn new(
        signal: Signal,
        receiver: Box<dyn Receiver>,
        sender: Arc<dyn Sender>,
        cursor: Cursor,
        stats: Arc<RelayStats>,
        health: Health,
    ) -> Self {
        Self { signal, receiver, sender, cursor, stats, health, complaint: Arc::default() }
    }

    /// Sends until the token is cancelled.
    ///
    /// # Errors
    /// When the spool or the position can't be read.
    pub async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut under_way = FuturesOrdered::new();
        // When those were made, in their order.
        let mut made = VecDeque::new();
        let mut waiting: std::vec::IntoIter<(Position, Batch)> = Vec::new().into_iter();
        let mut lane = None;
        loop {
            while under_way.len() < UNDER_WAY
                && let Some((position, batch)) = waiting.next()
            {
                let (sender, stats, signal) = (self.sender.clone(), self.stats.clone(), self.signal);
                let (health, complaint) = (self.health.clone(), self.complaint.clone());
                made.push_back(batch.arrived);
                under_way.push_back(async move {
                    send(signal, sender.as_ref(), batch, &stats, &health, &complaint).await;
                    position
                });
            }
            self.stats.waits(self.signal, made.front().copied());
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(position) = under_way.next() => {
                    made.pop_front();
                    self.cursor.position = position.next();
                    self.cursor.unsaved = true;
                }
                // Also when nothing more comes, since it has no room.
                () = tokio::time::sleep_until((self.cursor.saved + SAVE_EVERY).into()), if self.cursor.unsaved => {
                    self.settle(lane).await;
                }
                event = self.receiver.next(), if waiting.len() == 0 => match event {
                    Ok(Event::Assigned(assigned, epoch)) => {
                        lane = Some((assigned, epoch));
                        let from = self.cursor.position;
                        self.receiver.seek(assigned, from).await.with_context(|| format!("can't resume the spool at {from}"))?;
                    }
                    Ok(Event::Data(_, _, batches)) => waiting = batches.into_iter(),
                    Ok(Event::Gap(_, range, cause)) => self.gap(range.end.0 - range.start.0, cause),
                    Ok(Event::Poison(..)) => self.gap(1, Cause::Corrupt),
                    Ok(Event::Revoked(..)) => bail!("the spool was taken by another process"),
                    Err(ReceiveError::Retry(message)) => {
                        tracing::warn!(signal = %self.signal, error = message, "reading the spool failed; it is tried again");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    Err(ReceiveError::Fatal(message)) => bail!(message),
                    Err(ReceiveError::Closed) => break,
                },
            }
        }
        self.cursor.save().context("can't write down what was sent; it is sent again at the next start")
    }

    /// Writes down what was sent, and lets the spool forget it.
    async fn settle(&mut self, lane: Option<(Lane, weir_transport::Epoch)>) {
        if let Err(error) = self.cursor.save() {
            tracing::warn!(%error, "can't write down what was sent; the spool keeps it");
            return;
        }
        // Only what was written down may be removed: the position must never point before the spool's beginning.
        if let Some((lane, epoch)) = lane
            && let Err(fenced) = self.receiver.done(lane, epoch, self.cursor.position).await
        {
            tracing::warn!(%fenced, "the spool was taken by another process");
        }
    }

    fn gap(&self, batches: u64, cause: Cause) {
        self.stats.lost.inc_by(batches);
        tracing::error!(signal = %self.signal, batches, ?cause, "a part of the spool is gone and can't be sent");
    }
}

/// Sends a batch until it is taken, or refused for good.
async fn send(
    signal: Signal,
    sender: &dyn Sender,
    mut batch: Batch,
    stats: &RelayStats,
    health: &Health,
    complaint: &Mutex<Option<Instant>>,
) {
    let part = match signal {
        Signal::Logs => "forwarding of logs",
        Signal::Spans => "forwarding of spans",
        Signal::Metrics => "forwarding of metrics",
    };
    let mut attempts = 0_u32;
    loop {
        let bytes = batch.body.len() as u64;
        let error = match sender.send(batch).await {
            Ok(_) => {
                stats.sent.inc();
                stats.sent_bytes.inc_by(bytes);
                health.good(part);
                return;
            }
            Err(error) => error,
        };
        let wait = match error.kind {
            SendErrorKind::Refused => {
                stats.refused.inc();
                tracing::error!(%signal, bytes, error = error.message, "a batch is refused and dropped");
                return;
            }
            SendErrorKind::Retry { after } => after.saturating_mul(1 << attempts.min(5)).min(RETRY_MAX),
            // A person has to act, and may do so while we run.
            SendErrorKind::Fatal | SendErrorKind::Closed => RETRY_MAX,
        };
        stats.retries.inc();
        health.bad(part, format!("nothing is taken, the spool keeps it: {}", error.message));
        complain(signal, &error.message, complaint);
        attempts += 1;
        tokio::time::sleep(wait).await;
        batch = *error.batch;
    }
}

/// Says that sending fails, now and then only: all batches under way meet the same.
fn complain(signal: Signal, error: &str, last: &Mutex<Option<Instant>>) {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
        tracing::warn!(%signal, error, "nothing is taken from the spool, which keeps it until that works");
        *last = Some(Instant::now());
    }
}

/// Up to where the spool was sent, in a file.
pub struct Cursor {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    position: Position,
    unsaved: bool,
    saved: Instant,
}

impl Cursor {
    /// Reads the position; 0 where there is none yet.
    ///
    /// # Errors
    /// When the file can't be read or holds no number.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> anyhow::Result<Self> {
        let position = match disk.exists(path)? {
            false => Position(0),
            true => {
                let text = String::from_utf8(read(disk.as_ref(), path)?)?;
                let number = text.trim().parse();
                Position(number.with_context(|| format!("{} holds no position", path.display()))?)
            }
        };
        Ok(Self { disk, path: path.into(), position, unsaved: false, saved: Instant::now() })
    }

    pub fn position(&self) -> Position {
        self.position
    }

    fn save(&mut self) -> io::Result<()> {
        self.saved = Instant::now();
        write_atomic(self.disk.as_ref(), &self.path, self.position.0.to_string().as_bytes())?;
        self.unsaved = false;
        Ok(())
    }
}
