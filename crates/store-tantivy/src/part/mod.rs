//! One signal's part of the store: sealed shards, one open shard, and the uncommitted tail.
//!
//! `write` adds batches to the tail, in memory; they are searchable at once and can be delivered again. `sync` commits the tail as it is then,
//! and where the shard is full rolls to the next one. A thread beside the writing one then seals what is full.
//!
//! The order of writes, and what a crash in each step leaves, is `docs/adr/0002-store-commit-and-recovery.md`. Sealed shards are not read at start.

mod commit;
mod manifest;
mod write;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{broadcast, watch};
use weir_disk::{Disk, Replaced};
use weir_model::otlp::Span;
use weir_model::{Signal, TraceId};
use weir_store::{LedgerRow, WriteError};
use weir_transport::{Epoch, Lane, Position};

use crate::Settings;
use crate::error::Error;
use crate::identities::{self, Identities};
use crate::ledger::{Ledger, LedgerMark};
use crate::sealed::{Caches, Sealed};
use crate::shard::{Shard, ShardView};
use crate::table::{Operations, Row, TraceTable};
use crate::tail::TailBatch;
use manifest::{Manifest, ShardMeta, shard_dir};

#[derive(Debug, Clone, Copy, Default)]
struct LaneState {
    epoch: Epoch,
    /// The next position to be written.
    next: u64,
    /// Everything below is committed.
    durable: u64,
    known: bool,
}

/// Everything that readers need; held for moments only.
struct State {
    lanes: HashMap<u32, LaneState>,
    ledger: Ledger,
    tail: VecDeque<Arc<TailBatch>>,
    tail_bytes: u64,
    next_seq: u64,
    /// Sealed shards and full ones.
    closed: Vec<ShardView>,
    open: ShardView,
}

/// What is needed to decide what is new; held while a batch is read. Locked before [`State`].
#[derive(Default)]
struct Intake {
    identities: Identities,
    operations: Operations,
}

/// Held while shards change; only one thread does that. Locked before [`Intake`].
struct Shards {
    open: Shard,
    /// Full shards that wait to be sealed, with their numbers.
    full: VecDeque<(u64, Shard)>,
    /// A thread seals.
    sealing: bool,
    manifest: Manifest,
    file: Replaced,
    /// A commit that readers do not see yet.
    unshown: Option<Committed>,
}

/// What a commit made durable.
struct Committed {
    /// Batches at the beginning of the tail.
    batches: usize,
    lanes: Vec<(u32, u64)>,
    mark: LedgerMark,
}

/// What readers see: one consistent state.
pub(crate) struct PartView {
    pub(crate) signal: Signal,
    pub(crate) shards: Vec<ShardView>,
    pub(crate) tail: Vec<Arc<TailBatch>>,
    /// Records stored later have this number or a higher one.
    pub(crate) next_seq: u64,
    /// The tables of the tail's batches in one, made when first asked.
    tail_table: OnceLock<TraceTable>,
}

impl PartView {
    fn tail_table(&self) -> &TraceTable {
        self.tail_table.get_or_init(|| {
            let mut all = TraceTable::default();
            self.tail.iter().for_each(|batch| all.merge(&batch.table));
            all
        })
    }

    /// What it knows of a trace, added to what is known already.
    pub(crate) fn row(&self, trace: TraceId, merged: &mut Option<Row>) -> Result<(), Error> {
        self.shards.iter().try_for_each(|shard| shard.row(trace, merged))?;
        if let Some(row) = self.tail_table().get(trace) {
            merged.get_or_insert_default().merge(row);
        }
        Ok(())
    }
}

pub(crate) struct Part {
    signal: Signal,
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    settings: Settings,
    caches: Arc<Caches>,
    shards: Mutex<Shards>,
    /// Told when nothing is left to be sealed.
    sealed: Condvar,
    intake: Mutex<Intake>,
    state: Mutex<State>,
    /// The thread that seals, or did so last.
    sealer: Mutex<Option<JoinHandle<()>>>,
    /// True once it is to end.
    stop: watch::Sender<bool>,
    /// Newly written batches, for live tail.
    fresh: broadcast::Sender<Arc<TailBatch>>,
}

impl Part {
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        signal: Signal,
        settings: Settings,
    ) -> Result<Arc<Self>, Error> {
        disk.create_dir_all(&dir)?;
        let (manifest, file) = Manifest::open(&disk, &dir)?;
        let caches = Arc::<Caches>::default();
        let mut identities = Identities::default();
        let (mut closed, mut full) = (Vec::new(), VecDeque::new());
        let (open_meta, before) = manifest.shards.split_last().expect("a manifest names a shard");
        let open_shard = |meta: &ShardMeta| {
            let dir = shard_dir(&dir, meta.id);
            Shard::open(&disk, &dir, signal, meta.base, caches.blocks.clone())
        };
        for meta in before {
            if meta.sealed {
                let dir = shard_dir(&dir, meta.id);
                let sealed = Sealed::new(disk.clone(), dir, signal, meta.id, meta.joined, caches.clone());
                closed.push(sealed_view(meta, sealed));
                continue;
            }
            let mut shard = open_shard(meta)?;
            shard.rebuild(|_| ())?;
            closed.push(shard.view()?.closed(meta.last_arrival));
            full.push_back((meta.id, shard));
        }
        let mut open = open_shard(open_meta)?;
        open.rebuild(|record| {
            if signal == Signal::Spans
                && let Some(identity) = identities::of(&Span::decode(record))
            {
                identities.insert(identity);
            }
        })?;
        let commit = open.committed.clone().unwrap_or_else(|| manifest.start.clone());
        let ledger = Ledger::open(disk.as_ref(), &dir, signal, commit.ledger)?;
        let lanes = commit.lanes.iter().map(|&(partition, next)| {
            (partition, LaneState { next, durable: next, known: true, ..LaneState::default() })
        });
        let state = State {
            lanes: lanes.collect(),
            ledger,
            tail: VecDeque::new(),
            tail_bytes: 0,
            next_seq: open_meta.base + open.rows(),
            closed,
            open: open.view()?,
        };
        let (fresh, _) = broadcast::channel(settings.live_batches);
        let part = Arc::new(Self {
            signal,
            dir,
            disk,
            settings,
            caches,
            shards: Mutex::new(Shards { open, full, sealing: false, manifest, file, unshown: None }),
            sealed: Condvar::new(),
            intake: Mutex::new(Intake { identities, ..Intake::default() }),
            state: Mutex::new(state),
            sealer: Mutex::default(),
            stop: watch::Sender::new(false),
            fresh,
        });
        part.start_sealing(&mut part.shards.lock());
        Ok(part)
    }

    pub(crate) fn begin(&self, lane: Lane, epoch: Epoch) -> Result<Option<Position>, WriteError> {
        let mut state = self.state.lock();
        let known = state.lanes.entry(lane.partition).or_default();
        if epoch < known.epoch {
            return Err(WriteError::Fenced(lane));
        }
        known.epoch = epoch;
        Ok(known.known.then_some(Position(known.next)))
    }

    pub(crate) fn view(&self) -> PartView {
        let state = self.state.lock();
        let mut shards = state.closed.clone();
        shards.push(state.open.clone());
        PartView {
            signal: self.signal,
            shards,
            tail: state.tail.iter().cloned().collect(),
            next_seq: state.next_seq,
            tail_table: OnceLock::new(),
        }
    }

    /// Batches as they are written from now on, and the number of their first record.
    pub(crate) fn subscribe(&self) -> (broadcast::Receiver<Arc<TailBatch>>, u64) {
        let state = self.state.lock();
        (self.fresh.subscribe(), state.next_seq)
    }

    pub(crate) fn ledger(&self) -> Vec<LedgerRow> {
        self.state.lock().ledger.rows()
    }

    pub(crate) fn stats(&self) -> crate::PartStats {
        let state = self.state.lock();
        let committed = state.open.base + state.open.rows;
        crate::PartStats {
            records: state.next_seq,
            expired: state.closed.first().unwrap_or(&state.open).base,
            uncommitted: state.next_seq - committed.min(state.next_seq),
            shards: state.closed.len() as u64 + 1,
            segments: state.open.segments() as u64,
        }
    }

    /// Waits until all full shards are sealed.
    pub(crate) fn wait_until_sealed(&self) {
        let mut shards = self.shards.lock();
        self.sealed.wait_while(&mut shards, |shards| shards.sealing);
    }

    /// Ends the thread that seals; what it had begun is begun anew at the next start.
    pub(crate) fn close(&self) {
        self.stop.send_replace(true);
        let sealer = self.sealer.lock().take();
        if let Some(Err(_)) = sealer.map(JoinHandle::join) {
            tracing::error!(signal = %self.signal, "the thread that seals shards panicked");
        }
    }
}

fn sealed_view(meta: &ShardMeta, sealed: Sealed) -> ShardView {
    ShardView::sealed(meta.base, meta.rows, meta.times, meta.last_arrival, Arc::new(sealed))
}
