//! One signal's loop: receive, write, commit, give positions back.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_model::Signal;
use weir_runtime::{Health, Trouble};
use weir_store::{Refusal, WriteError, Writer};
use weir_transport::{
    Batch, Cause, DeadLetters, Epoch, Event, Lane, Letter, Position, ReceiveError, Receiver, envelope,
};

use crate::{Labels, Stats};

/// First and longest wait before a failed write is tried again.
const RETRY: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How often the store is asked to commit where nothing was written: shards are sealed by age and removed by retention then, too.
const IDLE: Duration = Duration::from_secs(5);

/// When what was written is committed.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    pub commit_every: Duration,
    /// Bytes written since the last commit.
    pub commit_bytes: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { commit_every: Duration::from_secs(2), commit_bytes: 64 << 20 }
    }
}

pub(crate) struct SignalLoop {
    signal: Signal,
    receiver: Box<dyn Receiver>,
    writer: Arc<dyn Writer>,
    dead_letters: Arc<dyn DeadLetters>,
    policy: Policy,
    stats: Stats,
    health: Health,
    labels: Labels,
    epochs: HashMap<Lane, Epoch>,
    /// Something is written that is not committed.
    uncommitted: bool,
    /// Something was refused and is not among the dead letters, and the process is to end: nothing may be committed.
    unkept: bool,
    /// When the next commit is due.
    due: Instant,
    reading: Trouble,
}

impl SignalLoop {
    pub(crate) fn new(
        signal: Signal,
        receiver: Box<dyn Receiver>,
        writer: Arc<dyn Writer>,
        dead_letters: Arc<dyn DeadLetters>,
        policy: Policy,
        stats: Stats,
        health: Health,
    ) -> Self {
        let labels = Labels { signal: signal.name() };
        let due = Instant::now() + IDLE;
        Self {
            signal,
            receiver,
            writer,
            dead_letters,
            policy,
            stats,
            health,
            labels,
            epochs: HashMap::new(),
            uncommitted: false,
            unkept: false,
            due,
            reading: Trouble::default(),
        }
    }

    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        while let Some(event) = self.next(&shutdown).await? {
            if let Some(event) = event {
                self.handle(event, &shutdown).await?;
            }
            if Instant::now() >= self.due && !self.unkept {
                self.commit(&shutdown).await?;
                self.stats.waits(self.signal, 0);
            }
        }
        if self.unkept {
            return Ok(());
        }
        // What is not committed now is delivered again at the next start: trying once is enough.
        match self.writer.sync(self.signal).await {
            Ok(lanes) => self.give_back(lanes).await,
            Err(error) => {
                tracing::warn!(signal = %self.signal, %error, "the last commit failed; what it would have held is read again at the next start")
            }
        }
        Ok(())
    }

    /// The next event; `Some(None)` when a commit is due, `None` at the end.
    async fn next(&mut self, shutdown: &CancellationToken) -> anyhow::Result<Option<Option<Event>>> {
        let event = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(None),
            event = self.receiver.next() => event,
            () = tokio::time::sleep_until(self.due) => return Ok(Some(None)),
        };
        match event {
            Ok(event) => {
                // A lane may be taken away because whoever has the log is.
                if !matches!(event, Event::Revoked(..))
                    && let Some(lasted) = self.reading.good()
                {
                    tracing::info!(signal = %self.signal, seconds = lasted.as_secs(), "reading the log works again");
                }
                Ok(Some(Some(event)))
            }
            Err(ReceiveError::Closed) => Ok(None),
            Err(ReceiveError::Fatal(message)) => bail!(message),
            Err(ReceiveError::Retry(message)) => {
                self.stats.retries.get_or_create(&self.labels).inc();
                if let Some(lasted) = self.reading.bad() {
                    tracing::warn!(signal = %self.signal, seconds = lasted.as_secs(), error = %message, "reading the log fails; it is tried again until that works");
                }
                tokio::time::sleep(RETRY).await;
                Ok(Some(None))
            }
        }
    }

    async fn handle(&mut self, event: Event, shutdown: &CancellationToken) -> anyhow::Result<()> {
        match event {
            Event::Assigned(lane, epoch) => {
                self.epochs.insert(lane, epoch);
                let Some(from) = self.begin(lane, epoch, shutdown).await?.filter(|_| self.has(lane, epoch))
                else {
                    return Ok(());
                };
                self.receiver
                    .seek(lane, from)
                    .await
                    .with_context(|| format!("can't resume {lane} at {from}"))?;
            }
            Event::Data(lane, epoch, batches) if self.has(lane, epoch) => {
                let oldest = batches.iter().map(|(_, batch)| batch.arrived).min();
                self.stats.waits(self.signal, oldest.unwrap_or(0));
                self.write(lane, epoch, &batches, shutdown).await?;
                self.stats.waits(self.signal, 0);
            }
            // Late data of an assignment that is over: another process stores it.
            Event::Data(..) => {}
            Event::Revoked(lane, epoch) => {
                if self.has(lane, epoch) {
                    self.hand_over().await;
                    self.epochs.remove(&lane);
                }
            }
            Event::Poison(lane, epoch, letter) if self.has(lane, epoch) => {
                let position = letter.position;
                tracing::error!(%lane, %position, cause = letter.cause, "what stands here is no batch; it goes to the dead letters (`weir dlq list`)");
                if self.keep(vec![letter], shutdown).await && self.has(lane, epoch) {
                    // So that the store's position is behind it.
                    let nothing = Batch {
                        signal: self.signal,
                        origins: Vec::new(),
                        route: 0,
                        arrived: now(),
                        body: Bytes::new(),
                    };
                    self.write(lane, epoch, &[(position, nothing)], shutdown).await?;
                }
            }
            Event::Poison(..) => {}
            Event::Gap(lane, range, cause) => {
                let count = match cause {
                    // How many there were nobody knows; that some were lost must show.
                    Cause::Recreated => 1,
                    Cause::Corrupt | Cause::Expired => range.end.0 - range.start.0,
                };
                self.stats.lost.get_or_create(&self.labels).inc_by(count);
                let why = match cause {
                    Cause::Corrupt => "damaged",
                    Cause::Expired => "removed before they were read",
                    Cause::Recreated => "gone with a log that was recreated",
                };
                tracing::error!(%lane, from = %range.start, to = %range.end, "batches are lost: {why}");
            }
        }
        Ok(())
    }

    /// Whether what comes of a lane under an epoch is this process's to store.
    fn has(&self, lane: Lane, epoch: Epoch) -> bool {
        self.epochs.get(&lane) == Some(&epoch)
    }

    /// Makes durable what was written, so that whoever has the lane next need not read it again. Where that fails it does, and nothing is doubled.
    async fn hand_over(&mut self) {
        if self.unkept {
            return;
        }
        match self.writer.sync(self.signal).await {
            Ok(lanes) => {
                self.uncommitted = false;
                self.give_back(lanes).await;
            }
            Err(error) => {
                tracing::warn!(signal = %self.signal, %error, "a lane goes to another process, which reads again what is not committed")
            }
        }
    }

    /// The store says that a lane is another's.
    async fn fenced(&mut self, lane: Lane, epoch: Epoch) {
        self.epochs.remove(&lane);
        self.receiver.fenced(lane, epoch).await;
    }

    /// From where a lane is to be delivered; `None` when it is another's already, or the process is to end.
    async fn begin(
        &mut self,
        lane: Lane,
        epoch: Epoch,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Option<Position>> {
        let (writer, mut wait) = (self.writer.clone(), RETRY);
        loop {
            match self.patiently(writer.begin(lane, epoch)).await {
                Ok(from) => return Ok(Some(from.unwrap_or_default())),
                Err(WriteError::Fenced(_)) => {
                    self.fenced(lane, epoch).await;
                    return Ok(None);
                }
                Err(WriteError::Fatal(message)) => bail!(message),
                Err(WriteError::Retry(message)) => {
                    if !self.again(&mut wait, &message, shutdown).await {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn write(
        &mut self,
        lane: Lane,
        epoch: Epoch,
        batches: &[(Position, Batch)],
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let (writer, mut wait) = (self.writer.clone(), RETRY);
        let report = loop {
            match self.patiently(writer.write(lane, epoch, batches)).await {
                Ok(report) => break report,
                Err(WriteError::Fenced(_)) => {
                    self.fenced(lane, epoch).await;
                    return Ok(());
                }
                Err(WriteError::Fatal(message)) => bail!(message),
                Err(WriteError::Retry(message)) => {
                    if !self.again(&mut wait, &message, shutdown).await || !self.has(lane, epoch) {
                        return Ok(());
                    }
                }
            }
        };
        self.stats.stored.get_or_create(&self.labels).inc_by(report.stored);
        self.stats.duplicate.get_or_create(&self.labels).inc_by(report.duplicate);
        self.stats.refused.get_or_create(&self.labels).inc_by(report.refused);
        let letters: Vec<_> = report.refusals.into_iter().map(|refusal| letter(lane, refusal)).collect();
        if let Some(first) = letters.first() {
            let (records, position) =
                (letters.iter().map(|letter| letter.records).sum::<u64>(), first.position);
            tracing::error!(%lane, %position, records, cause = first.cause, "records can't be stored and go to the dead letters");
        }
        if !self.keep(letters, shutdown).await {
            return Ok(());
        }
        if !std::mem::replace(&mut self.uncommitted, true) {
            self.due = self.due.min(Instant::now() + self.policy.commit_every);
        }
        if report.pending_bytes >= self.policy.commit_bytes {
            self.commit(shutdown).await?;
        }
        Ok(())
    }

    /// Puts letters among the dead ones, until that works. False when the process is to end before.
    async fn keep(&mut self, letters: Vec<Letter>, shutdown: &CancellationToken) -> bool {
        if letters.is_empty() {
            return true;
        }
        let dead_letters = self.dead_letters.clone();
        let mut wait = RETRY;
        while let Err(message) = self.patiently(dead_letters.put(&letters)).await {
            self.unkept = !self.again(&mut wait, &message, shutdown).await;
            if self.unkept {
                return false;
            }
        }
        self.stats.dead_letters.get_or_create(&self.labels).inc_by(letters.len() as u64);
        let records = letters.iter().map(|letter| letter.records).sum();
        self.stats.dead_letter_records.get_or_create(&self.labels).inc_by(records);
        true
    }

    async fn commit(&mut self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        self.stats.waits(self.signal, now());
        let (writer, mut wait) = (self.writer.clone(), RETRY);
        loop {
            match self.patiently(writer.sync(self.signal)).await {
                Ok(lanes) => {
                    self.uncommitted = false;
                    self.due = Instant::now() + IDLE;
                    self.well();
                    self.give_back(lanes).await;
                    return Ok(());
                }
                Err(WriteError::Fenced(_)) => return Ok(()),
                Err(WriteError::Fatal(message)) => bail!(message),
                Err(WriteError::Retry(message)) => {
                    if !self.again(&mut wait, &message, shutdown).await {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits, longer each time. False when the process is to end.
    async fn again(&mut self, wait: &mut Duration, message: &str, shutdown: &CancellationToken) -> bool {
        self.stats.retries.get_or_create(&self.labels).inc();
        let part = crate::storing(self.signal);
        let news = self.health.trouble(part).is_none();
        self.health.bad(part, format!("fails, the log keeps what comes: {message}"));
        if news {
            tracing::error!(signal = %self.signal, error = message, "storing fails; the log keeps what came, and it is tried again until that works");
        } else {
            tracing::debug!(signal = %self.signal, error = message, "storing fails still");
        }
        let waited = shutdown.run_until_cancelled(tokio::time::sleep(*wait));
        *wait = (*wait * 2).min(RETRY_MAX);
        self.patiently(waited).await.is_some()
    }

    /// Does what may take long, while the log keeps the lanes this process's. Those that are taken away meanwhile are let go as they are: whoever
    /// has them next reads again what is not committed.
    async fn patiently<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let (lane, epoch) = tokio::select! {
                biased;
                done = &mut work => return done,
                taken = self.receiver.hold() => taken,
            };
            if self.has(lane, epoch) {
                self.epochs.remove(&lane);
                tracing::warn!(signal = %self.signal, %lane, "a lane goes to another process while storing takes long, which reads again what is not committed");
            }
        }
    }

    /// Storing works, perhaps again.
    fn well(&self) {
        let part = crate::storing(self.signal);
        if self.health.trouble(part).is_some() {
            tracing::info!(signal = %self.signal, "storing works again");
        }
        self.health.good(part);
    }

    async fn give_back(&mut self, lanes: Vec<(Lane, Position)>) {
        for (lane, position) in lanes {
            if let Some(epoch) = self.epochs.get(&lane)
                && let Err(fenced) = self.receiver.done(lane, *epoch, position).await
            {
                tracing::info!(%fenced, "a lane went to another process");
            }
        }
    }
}

fn letter(lane: Lane, Refusal { position, cause, records, batch }: Refusal) -> Letter {
    let envelope = Some(envelope::write(&batch).into());
    Letter { lane, position, cause, records, body: batch.body, envelope }
}

/// Nanoseconds since the Unix epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
