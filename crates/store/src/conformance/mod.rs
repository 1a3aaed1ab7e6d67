//! What every store must do: one battery that each engine's tests run, and a comparison of two stores.
//!
//! Each part writes to a store of its own, mostly [`sample`] records, and asks in every state that records pass through: in the tail, committed, partly
//! both, and after the store was closed and opened again.

mod agree;
mod live;
mod meaning;
mod reading;
pub mod sample;
mod traces;
mod writing;

use std::sync::Arc;

use async_trait::async_trait;
use weir_model::Signal;
use weir_model::filter::Filter;
use weir_transport::{Batch, Epoch, Lane, Position};

pub use agree::{LOG_FILTERS, SPAN_FILTERS, agree};

use crate::{Agg, Reader, RecordQuery, Report, Snapshot, State, Table, TimeRange, WriteError, Writer};

/// All of a store's seams.
pub trait Store: Reader + Writer + State {}

impl<T: Reader + Writer + State> Store for T {}

/// Makes stores to be tested.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Opens an empty store. Several may be open at a time.
    async fn create(&self) -> Arc<dyn Store>;
    /// Closes a store, of which the caller gives up all it has, and opens it again.
    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store>;
}

/// Runs the battery.
pub async fn run(engine: &dyn Engine) {
    writing::run(engine).await;
    reading::run(engine).await;
    meaning::run(engine).await;
    traces::run(engine).await;
    live::run(engine).await;
}

/// Attempts of a call that may fail for passing reasons, as behind a fault decorator.
const ATTEMPTS: usize = 1_000;
const EPOCH: Epoch = Epoch(1);

fn lane(signal: Signal) -> Lane {
    Lane { signal, partition: 0 }
}

/// What became of a write.
#[derive(Debug)]
struct Written {
    report: Report,
    /// A failed attempt may have stored everything before the one that was answered.
    repeated: bool,
}

impl Written {
    /// Compares stored, duplicate and refused records. Of a write that was repeated only their sum is known.
    #[track_caller]
    fn assert(&self, stored: u64, duplicate: u64, refused: u64) {
        let Report { stored: s, duplicate: d, refused: r, .. } = self.report;
        match self.repeated {
            false => assert_eq!((s, d, r), (stored, duplicate, refused), "stored, duplicate, refused"),
            true => assert_eq!(s + d + r, stored + duplicate + refused, "records of a repeated write"),
        }
    }
}

/// Writes as a caller does: what fails for passing reasons is tried again.
async fn write(store: &dyn Store, position: u64, batch: &Batch) -> Written {
    write_at(store, EPOCH, position, batch).await.expect("nobody else has the lane")
}

async fn write_at(
    store: &dyn Store,
    epoch: Epoch,
    position: u64,
    batch: &Batch,
) -> Result<Written, WriteError> {
    write_in(store, lane(batch.signal), epoch, position, batch).await
}

async fn write_in(
    store: &dyn Store,
    lane: Lane,
    epoch: Epoch,
    position: u64,
    batch: &Batch,
) -> Result<Written, WriteError> {
    let batches = [(Position(position), batch.clone())];
    for attempt in 0..ATTEMPTS {
        match store.write(lane, epoch, &batches).await {
            Err(WriteError::Retry(_)) => {}
            Ok(report) => return Ok(Written { report, repeated: attempt > 0 }),
            Err(error) => return Err(error),
        }
    }
    panic!("writing fails for ever");
}

async fn begin(store: &dyn Store, signal: Signal, epoch: Epoch) -> Result<Option<Position>, WriteError> {
    for _ in 0..ATTEMPTS {
        match store.begin(lane(signal), epoch).await {
            Err(WriteError::Retry(_)) => {}
            other => return other,
        }
    }
    panic!("beginning fails for ever");
}

async fn sync(store: &dyn Store, signal: Signal) -> Vec<(Lane, Position)> {
    for _ in 0..ATTEMPTS {
        match store.sync(signal).await {
            Err(WriteError::Retry(_)) => {}
            other => return other.expect("a commit"),
        }
    }
    panic!("committing fails for ever");
}

async fn snapshot(store: &dyn Store) -> Arc<dyn Snapshot> {
    for _ in 0..ATTEMPTS {
        if let Ok(snapshot) = store.snapshot().await {
            return snapshot;
        }
    }
    panic!("taking a snapshot fails for ever");
}

/// Repeats a query that may fail for passing reasons.
macro_rules! ask {
    ($query:expr) => {{
        let mut attempts = 0;
        loop {
            match $query.await {
                Err(error) if error.kind == $crate::StoreErrorKind::Retry && attempts < 1_000 => {
                    attempts += 1
                }
                other => break other.expect("an answer"),
            }
        }
    }};
}
pub(crate) use ask;

fn query(filter: &str) -> RecordQuery {
    let filter = Filter::parse(filter).unwrap_or_else(|error| panic!("`{filter}`: {error}"));
    RecordQuery { filter, range: TimeRange::ALL }
}

async fn count(snapshot: &dyn Snapshot, signal: Signal, query: &RecordQuery) -> u64 {
    match ask!(snapshot.aggregate(signal, query, &Agg::Count)) {
        Table::Count(total) => total.value,
        other => panic!("expected a count, got {other:?}"),
    }
}

/// The states through which records pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Tail,
    /// The first half is committed.
    Half,
    Committed,
    Reopened,
}

const STAGES: [Stage; 4] = [Stage::Tail, Stage::Half, Stage::Committed, Stage::Reopened];

/// A store that holds batches of one signal in the given state.
async fn store_with(engine: &dyn Engine, stage: Stage, batches: &[Batch]) -> Arc<dyn Store> {
    let store = engine.create().await;
    for (n, batch) in batches.iter().enumerate() {
        write(store.as_ref(), n as u64, batch).await;
        if stage == Stage::Half && n + 1 == batches.len().div_ceil(2) {
            sync(store.as_ref(), batch.signal).await;
        }
    }
    if matches!(stage, Stage::Committed | Stage::Reopened) {
        for signal in Signal::ALL {
            sync(store.as_ref(), signal).await;
        }
    }
    match stage {
        Stage::Reopened => engine.reopen(store).await,
        _ => store,
    }
}
