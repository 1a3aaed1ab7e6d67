//! From the spool to the next hop: every batch is sent until it is taken, in the order of the spool, several at a time.
//!
//! What was taken is written down as one position, at most once a second. After a crash the batches since then are sent again, and the
//! store recognises them by their origins or identities.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use weir_disk::{Disk, read, write_atomic};
use weir_model::Signal;
use weir_runtime::health::GRACE;
use weir_runtime::{Health, Trouble};
use weir_transport::{Batch, Cause, Event, Lane, Position, ReceiveError, Receiver, SendErrorKind, Sender};

use crate::stats::RelayStats;

/// Bytes of batches under way at a time.
const UNDER_WAY: usize = 16 << 20;
/// Longest wait between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How often is looked whether anything is taken.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the position is written down.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Sends one signal's spool on.
pub struct Relay {
    signal: Signal,
    receiver: Box<dyn Receiver>,
    sender: Arc<dyn Sender>,
    cursor: Cursor,
    stats: Arc<RelayStats>,
    progress: Arc<Progress>,
    reading: Trouble,
    saving: Trouble,
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
        let (progress, reading, saving) =
            (Progress::new(signal, health), Trouble::default(), Trouble::default());
        Self { signal, receiver, sender, cursor, stats, progress: Arc::new(progress), reading, saving }
    }

    /// Sends until the token is cancelled.
    ///
    /// # Errors
    /// When the spool or the position can't be read.
    pub async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut under_way = FuturesOrdered::new();
        // When those were made, and their bytes, in their order.
        let (mut made, mut bytes) = (VecDeque::new(), 0);
        let mut waiting: std::vec::IntoIter<(Position, Batch)> = Vec::new().into_iter();
        let mut lane = None;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if under_way.is_empty() {
                self.progress.idle();
            }
            while under_way.len() < self.sender.depth()
                && bytes < UNDER_WAY
                && let Some((position, batch)) = waiting.next()
            {
                let (sender, stats) = (self.sender.clone(), self.stats.clone());
                let progress = self.progress.clone();
                made.push_back((batch.arrived, batch.body.len()));
                bytes += batch.body.len();
                under_way.push_back(async move {
                    send(sender.as_ref(), batch, &stats, &progress).await;
                    position
                });
            }
            self.stats.waits(self.signal, made.front().map(|(arrived, _)| *arrived));
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(position) = under_way.next() => {
                    bytes -= made.pop_front().map_or(0, |(_, bytes)| bytes);
                    self.cursor.position = position.next();
                    self.cursor.unsaved = true;
                }
                // Also when nothing more comes, since it has no room.
                () = tokio::time::sleep_until((self.cursor.saved + SAVE_EVERY).into()), if self.cursor.unsaved => {
                    self.settle(lane).await;
                }
                _ = looks.tick(), if !under_way.is_empty() => self.progress.look(self.sender.as_ref()),
                event = self.receiver.next(), if waiting.len() == 0 => match event {
                    Ok(Event::Assigned(assigned, epoch)) => {
                        lane = Some((assigned, epoch));
                        let from = self.cursor.position;
                        self.receiver.seek(assigned, from).await.with_context(|| format!("can't resume the spool at {from}"))?;
                    }
                    Ok(Event::Data(_, _, batches)) => {
                        if let Some(lasted) = self.reading.good() {
                            tracing::info!(signal = %self.signal, seconds = lasted.as_secs(), "reading the spool works again");
                        }
                        waiting = batches.into_iter();
                    }
                    Ok(Event::Gap(_, range, cause)) => self.gap(range.end.0 - range.start.0, cause),
                    Ok(Event::Poison(..)) => self.gap(1, Cause::Corrupt),
                    Ok(Event::Revoked(..)) => bail!("the spool was taken by another process"),
                    Err(ReceiveError::Retry(message)) => {
                        if let Some(lasted) = self.reading.bad() {
                            tracing::warn!(signal = %self.signal, seconds = lasted.as_secs(), error = message, "reading the spool fails; it is tried again until that works");
                        }
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
            if let Some(lasted) = self.saving.bad() {
                tracing::warn!(signal = %self.signal, seconds = lasted.as_secs(), %error, "can't write down what was sent; the spool keeps it until that works");
            }
            return;
        }
        if let Some(lasted) = self.saving.good() {
            tracing::info!(signal = %self.signal, seconds = lasted.as_secs(), "what was sent can be written down again");
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
async fn send(sender: &dyn Sender, mut batch: Batch, stats: &RelayStats, progress: &Progress) {
    let mut attempts = 0_u32;
    loop {
        let bytes = batch.body.len() as u64;
        let error = match sender.send(batch).await {
            Ok(_) => {
                stats.sent.inc();
                stats.sent_bytes.inc_by(bytes);
                progress.answered();
                return;
            }
            Err(error) => error,
        };
        let wait = match error.kind {
            SendErrorKind::Refused => {
                stats.refused.inc();
                tracing::error!(signal = %progress.signal, bytes, error = error.message, "a batch is refused and dropped");
                progress.answered();
                return;
            }
            SendErrorKind::Retry { after } => after.saturating_mul(1 << attempts.min(5)).min(RETRY_MAX),
            // A person has to act, and may do so while we run.
            SendErrorKind::Fatal | SendErrorKind::Closed => RETRY_MAX,
        };
        stats.retries.inc();
        progress.failed(&error.message);
        attempts += 1;
        tokio::time::sleep(wait).await;
        batch = *error.batch;
    }
}

/// How the batches under way fare together. A send that fails says so late, after all that the sender tries by itself, so it is also looked whether any is
/// answered at all.
struct Progress {
    signal: Signal,
    health: Health,
    trouble: Trouble,
    state: Mutex<State>,
}

struct State {
    /// When a batch was answered last, or the first of those under way was sent.
    since: Instant,
    /// What the last attempt met, if none was answered since.
    error: Option<String>,
}

impl Progress {
    fn new(signal: Signal, health: Health) -> Self {
        let state = State { since: Instant::now(), error: None };
        Self { signal, health, trouble: Trouble::default(), state: Mutex::new(state) }
    }

    fn part(&self) -> &'static str {
        match self.signal {
            Signal::Logs => "forwarding of logs",
            Signal::Spans => "forwarding of spans",
            Signal::Metrics => "forwarding of metrics",
        }
    }

    /// Nothing is under way.
    fn idle(&self) {
        self.state().since = Instant::now();
    }

    /// A batch was taken, or refused for good: the next hop is there.
    fn answered(&self) {
        let mut state = self.state();
        if self.trouble.good().is_some() {
            let seconds = state.since.elapsed().as_secs();
            tracing::info!(signal = %self.signal, seconds, "what the spool kept is taken again");
        }
        (state.since, state.error) = (Instant::now(), None);
        self.health.good(self.part());
    }

    /// An attempt failed, and is made again.
    fn failed(&self, error: &str) {
        let mut state = self.state();
        state.error = Some(error.to_owned());
        self.tell(&state, error);
    }

    /// Looks whether anything was answered lately of what is under way.
    fn look(&self, sender: &dyn Sender) {
        let state = self.state();
        let waited = state.since.elapsed();
        if waited >= LOOK_EVERY {
            let cause = state.error.clone().or_else(|| sender.trouble());
            let cause = cause.unwrap_or_else(|| format!("no answer for {} s", waited.as_secs()));
            self.tell(&state, &cause);
        }
    }

    /// Says that nothing is taken; in the log not of what takes a moment.
    fn tell(&self, state: &State, error: &str) {
        let what = format!("nothing is taken, the spool keeps it: {error}");
        self.health.bad_since(self.part(), state.since, what);
        let lasted = state.since.elapsed();
        if (state.error.is_some() || lasted >= GRACE) && self.trouble.bad().is_some() {
            let seconds = lasted.as_secs();
            tracing::warn!(error, signal = %self.signal, seconds, "nothing is taken from the spool, which keeps it until that works");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use bytes::Bytes;
    use tokio::sync::Semaphore;
    use tokio::task::JoinHandle;
    use weir_disk::RealDisk;
    use weir_runtime::Metrics;
    use weir_transport::SendError;
    use weir_transport::disk_log::{self, DiskLog, DiskLogReceiver, DiskLogSender};

    use super::*;
    use crate::log_lines::log_lines;

    const PART: &str = "forwarding of logs";
    /// Longest wait for what a test expects.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A next hop that takes as many batches as there are permits, and answers nothing before that.
    struct Held {
        asked: AtomicUsize,
        taken: Semaphore,
        trouble: Option<&'static str>,
    }

    impl Held {
        fn new(trouble: Option<&'static str>) -> Self {
            Self { asked: AtomicUsize::new(0), taken: Semaphore::new(0), trouble }
        }
    }

    const DEPTH: usize = 4;

    #[async_trait]
    impl Sender for Held {
        async fn send(&self, _: Batch) -> Result<Position, SendError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.taken.acquire().await.expect("it is never closed").forget();
            Ok(Position(0))
        }

        fn trouble(&self) -> Option<String> {
            self.trouble.map(str::to_owned)
        }

        fn depth(&self) -> usize {
            DEPTH
        }
    }

    /// A relay of a spool of its own, to a next hop.
    struct Rig {
        spool: DiskLogSender,
        health: Health,
        stats: Arc<RelayStats>,
        stop: CancellationToken,
        running: JoinHandle<anyhow::Result<()>>,
        _folder: tempfile::TempDir,
    }

    impl Rig {
        fn start(next: Arc<dyn Sender>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let disk = Arc::new(RealDisk);
            let settings = disk_log::Settings::default();
            let log = DiskLog::open(disk.clone(), folder.path(), Signal::Logs, settings).unwrap();
            let spool = DiskLogSender::start(log.clone()).unwrap();
            let (health, stats) = (Health::default(), Arc::new(RelayStats::register(&Metrics::new())));
            let cursor = Cursor::open(disk, &folder.path().join("sent")).unwrap();
            let receiver = Box::new(DiskLogReceiver::new(log));
            let relay = Relay::new(Signal::Logs, receiver, next, cursor, stats.clone(), health.clone());
            let stop = CancellationToken::new();
            let running = tokio::spawn(relay.run(stop.clone()));
            Self { spool, health, stats, stop, running, _folder: folder }
        }

        async fn put(&self, body: Bytes) {
            let signal = Signal::Logs;
            let batch = Batch { signal, origins: Vec::new(), route: 0, arrived: 1, body };
            self.spool.send(batch).await.unwrap();
        }

        async fn end(self) {
            self.stop.cancel();
            self.running.await.unwrap().unwrap();
        }
    }

    async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("it never came about: {what}"));
    }

    /// No attempt has failed yet, and there may be none that does for as long as a sender tries by itself.
    #[tokio::test]
    async fn health_tells_of_a_next_hop_that_does_not_answer() {
        for (trouble, told) in [
            (
                Some("Kafka at a:1 can't be reached: refused"),
                "the spool keeps it: Kafka at a:1 can't be reached: refused",
            ),
            (None, "the spool keeps it: no answer for "),
        ] {
            let next = Arc::new(Held::new(trouble));
            let rig = Rig::start(next.clone());
            for _ in 0..2 {
                rig.put(Bytes::new()).await;
                until(told, || rig.health.trouble(PART).is_some_and(|what| what.contains(told))).await;
                assert_eq!(rig.stats.retries.get(), 0, "it was told before any attempt failed");
                next.taken.add_permits(1);
                until("it is well", || rig.health.trouble(PART).is_none()).await;
            }
            rig.end().await;
        }
    }

    #[tokio::test]
    async fn so_many_batches_are_under_way_and_so_many_bytes() {
        for (bytes, expect) in [(1, DEPTH), (UNDER_WAY / 2, 2), (UNDER_WAY + 1, 1)] {
            let next = Arc::new(Held::new(None));
            let rig = Rig::start(next.clone());
            let (body, batches) = (Bytes::from(vec![0; bytes]), 3 * expect);
            for _ in 0..batches {
                rig.put(body.clone()).await;
            }
            for taken in 0..=batches {
                let under_way = (taken + expect).min(batches);
                let asked = || next.asked.load(Ordering::Relaxed);
                until("the next is sent", || rig.stats.sent.get() == taken as u64 && asked() >= under_way)
                    .await;
                assert_eq!(asked(), under_way, "of {bytes} bytes");
                next.taken.add_permits(1);
            }
            rig.end().await;
        }
    }

    /// A next hop that takes the attempts that it is told to, and refuses the others for a moment.
    struct Told(Mutex<VecDeque<bool>>);

    #[async_trait]
    impl Sender for Told {
        async fn send(&self, batch: Batch) -> Result<Position, SendError> {
            match self.0.lock().unwrap().pop_front().expect("no more attempts than that") {
                true => Ok(Position(0)),
                false => Err(SendError {
                    kind: SendErrorKind::Retry { after: Duration::from_millis(1) },
                    message: "away".into(),
                    batch: Box::new(batch),
                }),
            }
        }
    }

    /// Of several batches under way one may fail when another has been taken already.
    #[tokio::test]
    async fn the_log_tells_once_that_nothing_is_taken_and_once_that_it_is_again() {
        let (lines, _guard) = log_lines();
        let rig =
            Rig::start(Arc::new(Told(Mutex::new([true, false, false, false, true, false, true].into()))));
        for _ in 0..3 {
            rig.put(Bytes::new()).await;
        }
        until("all is sent", || rig.stats.sent.get() == 3).await;
        rig.end().await;
        let expect = [
            " WARN nothing is taken from the spool, which keeps it until that works error=\"away\" signal=logs",
            " INFO what the spool kept is taken again signal=logs",
        ];
        assert_eq!(lines.get(), expect);
    }
}
