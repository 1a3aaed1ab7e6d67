//! The embedded store: tantivy finds, files beside it hold.
//!
//! One instance owns a data folder. Each signal has a [`part`]: one open shard, sealed ones, and the tail that is not committed yet.
//! See `docs/adr/0002-store-commit-and-recovery.md` for the order of writes, and `docs/adr/0003-store-layout.md` for what stands where and why.

mod aggregate;
mod bits;
mod bodies;
mod cache;
mod candidates;
mod clock;
mod columns;
mod conditions;
mod directory;
mod docs;
mod document;
mod error;
mod identities;
mod ledger;
mod listing;
mod needle;
mod newest;
mod packed;
mod pairs;
mod part;
mod points;
mod records;
mod scan;
mod schema;
mod sealed;
mod shard;
mod snapshot;
mod state;
mod table;
mod tail;
mod tokens;
mod values;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::broadcast::error::RecvError;
use weir_disk::{Disk, Lock};
use weir_model::Signal;
use weir_model::filter::{Filter, Matcher, Record};
use weir_store::{
    Cursor, PutError, Reader, Report, Revision, Snapshot, State, StoreError, StoreErrorKind, TailEvent,
    WriteError, Writer,
};
use weir_transport::{Batch, Epoch, Lane, Position};

pub use clock::Clock;
use part::Part;
use snapshot::{Kept, Mark, TantivySnapshot, View};

/// Limits of the store.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Records after which a shard is sealed.
    pub shard_records: u64,
    /// Bytes of bodies after which a shard is sealed.
    pub shard_bytes: u64,
    /// Age at which a shard that has records is sealed.
    pub shard_age: Duration,
    /// Segments of the open shard at which the smaller half is merged into one.
    pub merge_segments: usize,
    /// Sealed shards, and closed files of metric points, whose last record arrived longer ago are removed.
    pub retain_age: Duration,
    /// Bytes of sealed shards of one signal, their indexes included, beyond which the oldest is removed.
    pub retain_bytes: u64,
    /// How long after its arrival a span that comes again is recognised.
    pub unique_spans: Duration,
    /// Age at which an open chunk of metric points is closed.
    pub points_chunk_age: Duration,
    /// Bytes and age at which a file of chunks is closed, so that retention can remove it whole.
    pub points_file_bytes: u64,
    pub points_file_age: Duration,
    /// Batches a live tail may lag behind before it loses some.
    pub live_batches: usize,
    /// What age is counted by.
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shard_records: 10_000_000,
            shard_bytes: 2 << 30,
            shard_age: Duration::from_secs(3600),
            merge_segments: 16,
            retain_age: Duration::from_secs(7 * 86_400),
            retain_bytes: 50 << 30,
            unique_spans: Duration::from_secs(86_400),
            points_chunk_age: Duration::from_secs(3_600),
            points_file_bytes: 64 << 20,
            points_file_age: Duration::from_secs(6 * 3_600),
            live_batches: 256,
            clock: Clock::System,
        }
    }
}

/// Opening the store failed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data folder {} is in use by another weir; stop that one, or give this one another --data-dir", .0.display())]
    InUse(PathBuf),
    #[error("can't open the store in {}: {message}", dir.display())]
    Failed { dir: PathBuf, message: String },
}

/// What one signal's part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartStats {
    /// Records stored since the folder was made, including those removed by retention. Of metrics the points stored since the start.
    pub records: u64,
    /// Records, or points of metrics, removed by retention since the folder was made.
    pub expired: u64,
    /// Of these in the tail.
    pub uncommitted: u64,
    pub shards: u64,
    /// Segments of the open shard.
    pub segments: u64,
}

struct Inner {
    logs: Arc<Part>,
    spans: Arc<Part>,
    points: points::Points,
    values: state::Values,
    views: AtomicU64,
    kept: Arc<Kept>,
    _lock: Box<dyn Lock>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Before the folder is free for another.
        self.logs.close();
        self.spans.close();
    }
}

/// The store. Cloning shares it.
#[derive(Clone)]
pub struct TantivyStore(Arc<Inner>);

impl TantivyStore {
    /// Opens the store in a folder, or creates it. Blocks, longer when much is stored.
    ///
    /// # Errors
    /// When another process has the folder, the disk fails, or what is stored is damaged.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, settings: Settings) -> Result<Self, OpenError> {
        let failed = |message: String| OpenError::Failed { dir: dir.into(), message };
        disk.create_dir_all(dir).map_err(|e| failed(e.to_string()))?;
        let lock = disk.lock(dir).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::InUse(dir.into()),
            _ => failed(error.to_string()),
        })?;
        let part = |signal: Signal| {
            Part::open(disk.clone(), dir.join(signal.name()), signal, settings.clone())
                .map_err(|e| failed(e.to_string()))
        };
        Ok(Self(Arc::new(Inner {
            logs: part(Signal::Logs)?,
            spans: part(Signal::Spans)?,
            points: points::Points::open(disk.clone(), dir.join("metrics"), settings.clone())
                .map_err(|e| failed(e.to_string()))?,
            values: state::Values::open(disk.clone(), dir.join("state"))
                .map_err(|e| failed(e.to_string()))?,
            views: AtomicU64::new(0),
            kept: Arc::default(),
            _lock: lock,
        })))
    }

    fn part(&self, signal: Signal) -> &Arc<Part> {
        match signal {
            Signal::Logs => &self.0.logs,
            _ => &self.0.spans,
        }
    }

    /// Where the log of a signal must begin if it is new, so that positions never repeat.
    pub fn resume(&self, signal: Signal) -> Position {
        let lane = Lane { signal, partition: 0 };
        let known = match signal {
            Signal::Metrics => self.0.points.begin(lane, Epoch(0)),
            _ => self.part(signal).begin(lane, Epoch(0)),
        };
        known.ok().flatten().unwrap_or_default()
    }

    pub fn stats(&self, signal: Signal) -> PartStats {
        match signal {
            Signal::Metrics => self.0.points.stats(),
            _ => self.part(signal).stats(),
        }
    }

    /// Waits until every full shard of a signal is sealed. Only tests and benches need to know.
    pub async fn wait_until_sealed(&self, signal: Signal) {
        let part = self.part(signal).clone();
        let waited = tokio::task::spawn_blocking(move || part.wait_until_sealed()).await;
        waited.expect("waiting does not panic");
    }

    fn view(&self) -> Arc<View> {
        let id = self.0.views.fetch_add(1, Ordering::Relaxed);
        let (spans, logs) = (self.0.spans.view(), self.0.logs.view());
        let ledger = self.0.logs.ledger().into_iter().chain(self.0.spans.ledger()).collect();
        Arc::new(View::new(id, spans, logs, ledger, self.0.points.view()))
    }

    fn snapshot_of(&self, view: Arc<View>) -> Arc<dyn Snapshot> {
        Arc::new(TantivySnapshot { view, kept: self.0.kept.clone() })
    }
}

#[async_trait]
impl Writer for TantivyStore {
    async fn begin(&self, lane: Lane, epoch: Epoch) -> Result<Option<Position>, WriteError> {
        match lane.signal {
            Signal::Metrics => self.0.points.begin(lane, epoch),
            signal => self.part(signal).begin(lane, epoch),
        }
    }

    async fn write(
        &self,
        lane: Lane,
        epoch: Epoch,
        batches: &[(Position, Batch)],
    ) -> Result<Report, WriteError> {
        let (store, batches) = (self.clone(), batches.to_vec());
        blocking(move || match lane.signal {
            Signal::Metrics => store.0.points.write(lane, epoch, &batches),
            signal => store.part(signal).write(lane, epoch, &batches),
        })
        .await
    }

    async fn sync(&self, signal: Signal) -> Result<Vec<(Lane, Position)>, WriteError> {
        let store = self.clone();
        blocking(move || match signal {
            Signal::Metrics => store.0.points.sync(),
            signal => store.part(signal).sync(),
        })
        .await
    }
}

async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, WriteError> + Send + 'static,
) -> Result<R, WriteError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(WriteError::Fatal(format!("the store's thread failed: {error}"))))
}

#[async_trait]
impl Reader for TantivyStore {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        Ok(self.snapshot_of(self.view()))
    }

    async fn snapshot_at(&self, cursor: &Cursor) -> Result<Arc<dyn Snapshot>, StoreError> {
        let mark = Mark::parse(cursor)?;
        Ok(self.snapshot_of(self.0.kept.find(mark.view).unwrap_or_else(|| self.view())))
    }

    fn tail(&self, filter: &Filter) -> Result<BoxStream<'static, TailEvent>, StoreError> {
        let matcher = Matcher::new(filter)
            .map_err(|error| StoreError { kind: StoreErrorKind::Query, message: error.message })?;
        let batches = futures::stream::unfold(self.0.logs.subscribe(), |(mut fresh, next)| async move {
            loop {
                match fresh.recv().await {
                    Ok(batch) => {
                        let (first, last) = (batch.rows.first()?.seq, batch.rows.last()?.seq);
                        return Some(((first.saturating_sub(next), batch), (fresh, last + 1)));
                    }
                    // How many records were left out shows with the next batch.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        let events = batches.flat_map(move |(missed, batch)| {
            let hits = batch.rows.iter().filter(|row| matcher.matches(Record::Log(&batch.log(row))));
            let logs: Vec<_> = hits.map(|row| batch.stored_log(row)).collect();
            let missed = (missed > 0).then_some(TailEvent::Dropped(missed));
            let logs = (!logs.is_empty()).then_some(TailEvent::Logs(logs));
            futures::stream::iter(missed.into_iter().chain(logs))
        });
        Ok(events.boxed())
    }
}

#[async_trait]
impl State for TantivyStore {
    async fn get(&self, key: &str) -> Result<Option<(Revision, Vec<u8>)>, PutError> {
        self.0.values.get(key).await
    }

    async fn put_if(&self, key: &str, revision: Revision, value: &[u8]) -> Result<Revision, PutError> {
        self.0.values.put_if(key, revision, value).await
    }
}
