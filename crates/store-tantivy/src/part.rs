//! One signal's part of the store: sealed shards, one open shard, and the uncommitted tail.
//!
//! # Order of writes
//! `write` adds batches to the tail, in memory; they are searchable at once and can be delivered again. `sync` takes the tail as it is then:
//! 1. *bodies*, *pairs* and *ranges* are appended and synced;
//! 2. *commit*: the index's meta file is replaced, naming positions and the lengths of the three files;
//! 3. readers get the new index and lose the committed part of the tail in one step.
//!
//! A *roll* follows a commit when the shard is full: its segments are merged, then the manifest is replaced, which names it as sealed, hands its
//! positions on, and names the next shard. A shard's folder that the manifest does not name is removed at start.
//!
//! # Recovery
//! The open shard's last commit says how much of each file counts; what lies behind is cut off. The receiver delivers from the committed
//! positions again, in the same order, so every record gets the same number as before.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::broadcast;
use weir_disk::{Disk, Replaced};
use weir_model::identity;
use weir_model::otlp::{Groups, Log, Span};
use weir_model::{Incarnation, Signal};
use weir_store::{LedgerRow, Report, WriteError};
use weir_transport::{Batch, Epoch, Lane, Position};

use crate::Settings;
use crate::error::Error;
use crate::ledger::{Ledger, LedgerMark};
use crate::shard::{Commit, Shard, ShardView, lane_of};
use crate::tail::TailBatch;

const MANIFEST: &str = "manifest.json";

/// A shard in the manifest.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct ShardMeta {
    id: u64,
    /// Number of its first record in the order of storing.
    base: u64,
    /// When its last record arrived, seconds since the Unix epoch; 0 while it is open.
    last_arrival: u64,
    bytes: u64,
}

/// The shards, the last of them open, and where they were left when it was opened.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
struct Manifest {
    shards: Vec<ShardMeta>,
    /// What the commit of a shard without one would say.
    start: Commit,
}

#[derive(Debug, Clone, Copy, Default)]
struct LaneState {
    epoch: Epoch,
    /// The next position to be written.
    next: u64,
    /// Everything below is committed.
    durable: u64,
    known: bool,
}

/// Everything that `write` touches; held for moments only.
struct State {
    lanes: HashMap<u32, LaneState>,
    ledger: Ledger,
    tail: VecDeque<Arc<TailBatch>>,
    tail_bytes: u64,
    next_seq: u64,
    /// Identities of spans that have no range.
    identities: HashSet<u64>,
    sealed: Vec<ShardView>,
    open: ShardView,
}

/// What readers see: one consistent state.
#[derive(Clone)]
pub(crate) struct PartView {
    pub(crate) signal: Signal,
    pub(crate) shards: Vec<ShardView>,
    pub(crate) tail: Vec<Arc<TailBatch>>,
    /// Records stored later have this number or a higher one.
    pub(crate) next_seq: u64,
}

/// Held while shards change; only one thread does that.
struct Shards {
    open: Shard,
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

pub(crate) struct Part {
    signal: Signal,
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    settings: Settings,
    state: Mutex<State>,
    shards: Mutex<Shards>,
    /// Newly written batches, for live tail.
    pub(crate) fresh: broadcast::Sender<Arc<TailBatch>>,
}

fn shard_dir(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("shard-{id}"))
}

impl Part {
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        signal: Signal,
        settings: Settings,
    ) -> Result<Self, Error> {
        disk.create_dir_all(&dir)?;
        let mut file = Replaced::open(disk.clone(), dir.join(MANIFEST))?;
        let manifest: Manifest = match file.content() {
            Some(bytes) => serde_json::from_slice(bytes).map_err(Error::damaged)?,
            None => {
                let first = ShardMeta { id: 1, base: 0, last_arrival: 0, bytes: 0 };
                let manifest = Manifest { shards: vec![first], start: Commit::default() };
                write_manifest(&mut file, &manifest)?;
                manifest
            }
        };
        remove_strangers(disk.as_ref(), &dir, &manifest)?;
        let mut identities = HashSet::new();
        let mut views = Vec::new();
        let mut open = None;
        for meta in &manifest.shards {
            let mut shard = Shard::open(&disk, &shard_dir(&dir, meta.id), signal, meta.base)?;
            shard.rebuild(|record| {
                if signal == Signal::Spans {
                    identities.insert(identity_of(record));
                }
            })?;
            views.push(shard.view());
            // The writer of a sealed shard is dropped here; its view lives on.
            open = Some((shard, meta.base));
        }
        let (open_shard, base) = open.expect("a manifest names a shard");
        let commit = open_shard.committed.clone().unwrap_or_else(|| manifest.start.clone());
        let ledger = Ledger::open(disk.as_ref(), &dir, signal, commit.ledger)?;
        let lanes = commit
            .lanes
            .iter()
            .map(|&(partition, next)| {
                (partition, LaneState { next, durable: next, known: true, ..LaneState::default() })
            })
            .collect();
        let open_view = views.pop().expect("the open shard's");
        let state = State {
            lanes,
            ledger,
            tail: VecDeque::new(),
            tail_bytes: 0,
            next_seq: base + open_shard.rows(),
            identities,
            sealed: views,
            open: open_view,
        };
        let shards = Shards { open: open_shard, manifest, file, unshown: None };
        let (fresh, _) = broadcast::channel(settings.live_batches);
        Ok(Self { signal, dir, disk, settings, state: Mutex::new(state), shards: Mutex::new(shards), fresh })
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

    pub(crate) fn write(
        &self,
        lane: Lane,
        epoch: Epoch,
        batches: &[(Position, Batch)],
    ) -> Result<Report, WriteError> {
        let mut report = Report::default();
        let mut state = self.state.lock();
        for (position, batch) in batches {
            let known = state.lanes.entry(lane.partition).or_default();
            if epoch < known.epoch {
                return Err(WriteError::Fenced(lane));
            }
            if position.0 < known.next {
                report.duplicate += Groups::new(&batch.body).map(|g| g.records().count() as u64).sum::<u64>();
                continue;
            }
            known.next = position.0 + 1;
            known.known = true;
            let tail = Arc::new(self.take(&mut state, lane, batch, &mut report));
            state.tail_bytes += tail.bytes();
            if !tail.rows.is_empty() {
                // Nobody may be listening.
                let _ = self.fresh.send(tail.clone());
            }
            state.tail.push_back(tail);
        }
        report.pending_bytes = state.tail_bytes;
        Ok(report)
    }

    /// Decides for each record of a batch whether it is new.
    fn take(&self, state: &mut State, lane: Lane, batch: &Batch, report: &mut Report) -> TailBatch {
        let mut tail = TailBatch::new(lane, batch.body.clone());
        let again = batch.origins.iter().any(|origin| {
            state
                .ledger
                .set(origin.incarnation, lane.partition)
                .is_some_and(|set| set.overlaps(&origin.range))
        });
        let table = state.open.table.clone();
        let mut table = table.write();
        for group in Groups::new(&batch.body) {
            let incarnation = match batch.origins.is_empty() {
                true => None,
                false => group
                    .resource
                    .attrs()
                    .get(identity::INCARNATION)
                    .and_then(|v| v.as_str()?.parse::<Incarnation>().ok()),
            };
            let service = group.resource.service();
            for record in group.records() {
                let (trace, offset, span) = match self.signal {
                    Signal::Spans => {
                        let span = Span::decode(record);
                        if span.trace_id.is_none() || span.span_id.is_none() {
                            report.refused += 1;
                            continue;
                        }
                        (span.trace_id, offset_of(again, span.attrs()), Some(span))
                    }
                    _ => {
                        let log = Log::decode(record);
                        (log.trace_id, offset_of(again, log.attrs()), None)
                    }
                };
                let duplicate = match (incarnation, &span) {
                    (Some(incarnation), _) => {
                        again
                            && offset.is_some_and(|offset| {
                                state
                                    .ledger
                                    .set(incarnation, lane.partition)
                                    .is_some_and(|set| set.contains(offset))
                            })
                    }
                    (None, Some(_)) => !state.identities.insert(identity_of(record)),
                    (None, None) => false,
                };
                if duplicate {
                    report.duplicate += 1;
                    continue;
                }
                if let Some(trace) = trace {
                    match &span {
                        Some(span) => table.span(trace, service, span),
                        None => table.log(trace, &Log::decode(record)),
                    }
                }
                tail.push(state.next_seq, trace, &group, record);
                state.next_seq += 1;
                report.stored += 1;
            }
        }
        for origin in &batch.origins {
            state.ledger.insert(lane.partition, origin);
        }
        tail
    }

    /// Commits the tail as it is now. Returns the durable position of each lane.
    pub(crate) fn sync(&self) -> Result<Vec<(Lane, Position)>, WriteError> {
        let mut shards = self.shards.lock();
        self.commit(&mut shards).map_err(Error::on_write)?;
        self.roll_if_full(&mut shards).map_err(Error::on_write)?;
        self.retain(&mut shards).map_err(Error::on_write)?;
        let state = self.state.lock();
        let lanes = state.lanes.iter().filter(|(_, lane)| lane.known);
        Ok(lanes
            .map(|(partition, lane)| (lane_of(self.signal, *partition), Position(lane.durable)))
            .collect())
    }

    fn commit(&self, shards: &mut Shards) -> Result<(), Error> {
        // A roll that failed may have sealed this shard on the disk; nothing may be added to it before that is taken back.
        shards.file.settle()?;
        self.show(shards)?;
        let (batches, lanes, fresh, mark, ledger_file) = {
            let mut state = self.state.lock();
            if state.tail.is_empty() {
                return Ok(());
            }
            let batches: Vec<_> = state.tail.iter().cloned().collect();
            let mut lanes: Vec<_> =
                state.lanes.iter().filter(|(_, l)| l.known).map(|(p, lane)| (*p, lane.next)).collect();
            lanes.sort_unstable();
            (batches, lanes, state.ledger.take_fresh(), state.ledger.mark, state.ledger.file())
        };
        let now = self.settings.clock.now();
        let mut durable = || -> Result<LedgerMark, Error> {
            let times = shards.open.index(&batches)?;
            let mark = Ledger::write(ledger_file.as_ref(), mark, &fresh)?;
            shards.open.commit(lanes.clone(), mark, times, now)?;
            Ok(mark)
        };
        match durable() {
            Ok(mark) => shards.unshown = Some(Committed { batches: batches.len(), lanes, mark }),
            Err(error) => {
                self.state.lock().ledger.restore_fresh(fresh);
                if let Err(error) = shards.open.rollback() {
                    tracing::warn!(%error, "taking back a failed commit failed; it is tried again before the next one");
                }
                return Err(error);
            }
        }
        self.show(shards)?;
        if let Err(error) = shards.open.merge_some(self.settings.merge_segments) {
            tracing::warn!(%error, "merging segments failed; it is tried again after the next commit");
        }
        self.state.lock().open = shards.open.view();
        Ok(())
    }

    /// Lets readers see a commit, and takes from the tail what it holds, in one step.
    fn show(&self, shards: &mut Shards) -> Result<(), Error> {
        if shards.unshown.is_none() {
            return Ok(());
        }
        shards.open.reload()?;
        let Some(Committed { batches, lanes, mark }) = shards.unshown.take() else { return Ok(()) };
        let view = shards.open.view();
        let mut state = self.state.lock();
        state.ledger.mark = mark;
        state.open = view;
        for batch in state.tail.drain(..batches).collect::<Vec<_>>() {
            state.tail_bytes -= batch.bytes();
        }
        for (partition, next) in lanes {
            state.lanes.entry(partition).or_default().durable = next;
        }
        Ok(())
    }

    /// Seals the open shard when it is full or old, and opens the next one.
    fn roll_if_full(&self, shards: &mut Shards) -> Result<(), Error> {
        let commit = shards.open.committed.clone().unwrap_or_default();
        let (first_arrival, last_arrival) = commit.arrivals.unwrap_or_default();
        let old = self.settings.clock.now() >= first_arrival + self.settings.shard_age.as_secs();
        let full = shards.open.rows() >= self.settings.shard_records
            || shards.open.bytes() >= self.settings.shard_bytes;
        if shards.open.rows() == 0 || !(full || old) {
            return Ok(());
        }
        // What has been written since the commit belongs to the next shard; nothing may be added to this one's table any more.
        shards.open.merge_all()?;
        let mut manifest = shards.manifest.clone();
        let last = manifest.shards.last_mut().expect("the open shard");
        last.last_arrival = last_arrival;
        last.bytes = shards.open.bytes();
        let next =
            ShardMeta { id: last.id + 1, base: last.base + shards.open.rows(), last_arrival: 0, bytes: 0 };
        let dir = shard_dir(&self.dir, next.id);
        if self.disk.exists(&dir)? {
            self.disk.remove_dir_all(&dir)?;
        }
        let open = Shard::open(&self.disk, &dir, self.signal, next.base)?;
        manifest.shards.push(next);
        manifest.start = Commit { bodies: 0, pairs: 0, times: None, arrivals: None, ..commit };
        let sealed = shards.open.view();
        let sealed = ShardView { table: sealed_table(&sealed, self.signal)?, ..sealed };
        // From here on nothing may fail: on the disk this shard is sealed.
        write_manifest(&mut shards.file, &manifest)?;
        let view = open.view();
        let mut state = self.state.lock();
        // The tail's records were counted in the sealed shard's table when they came; count them where they will be stored.
        let mut table = open.table.write();
        for batch in &state.tail {
            for row in &batch.rows {
                let Some(trace) = row.trace else { continue };
                match self.signal {
                    Signal::Spans => table.span(trace, batch.resource(row).service(), &batch.span(row).span),
                    _ => table.log(trace, &batch.log(row).log),
                }
            }
        }
        drop(table);
        state.sealed.push(sealed);
        state.open = view;
        drop(state);
        shards.open = open;
        shards.manifest = manifest;
        Ok(())
    }

    /// Removes whole sealed shards that are too old or too many.
    fn retain(&self, shards: &mut Shards) -> Result<(), Error> {
        let now = self.settings.clock.now();
        let sealed = shards.manifest.shards.len() - 1;
        let mut bytes: u64 = shards.manifest.shards.iter().map(|meta| meta.bytes).sum();
        let mut gone = 0;
        for meta in &shards.manifest.shards[..sealed] {
            let old = meta.last_arrival + self.settings.retain_age.as_secs() <= now;
            if !old && bytes <= self.settings.retain_bytes {
                break;
            }
            bytes -= meta.bytes;
            gone += 1;
        }
        if gone == 0 {
            return Ok(());
        }
        let mut manifest = shards.manifest.clone();
        let removed: Vec<_> = manifest.shards.drain(..gone).collect();
        write_manifest(&mut shards.file, &manifest)?;
        shards.manifest = manifest;
        self.state.lock().sealed.drain(..gone);
        for meta in removed {
            tracing::info!(signal = %self.signal, shard = meta.id, bytes = meta.bytes, "removed a shard that is past its retention");
            if let Err(error) = self.disk.remove_dir_all(&shard_dir(&self.dir, meta.id)) {
                tracing::warn!(%error, shard = meta.id, "removing a shard's folder failed; it is removed at the next start");
            }
        }
        Ok(())
    }

    pub(crate) fn view(&self) -> PartView {
        let state = self.state.lock();
        let mut shards = state.sealed.clone();
        shards.push(state.open.clone());
        PartView {
            signal: self.signal,
            shards,
            tail: state.tail.iter().cloned().collect(),
            next_seq: state.next_seq,
        }
    }

    pub(crate) fn ledger(&self) -> Vec<LedgerRow> {
        self.state.lock().ledger.rows()
    }

    pub(crate) fn stats(&self) -> crate::PartStats {
        let state = self.state.lock();
        let committed = state.open.bodies.rows + state.open.base;
        crate::PartStats {
            records: state.next_seq,
            uncommitted: state.next_seq - committed.min(state.next_seq),
            shards: state.sealed.len() as u64 + 1,
            segments: state.open.searcher.segment_readers().len() as u64,
        }
    }
}

/// Counts again what is in a shard, without what the tail had added to its table.
fn sealed_table(
    view: &ShardView,
    signal: Signal,
) -> Result<Arc<parking_lot::RwLock<crate::table::TraceTable>>, Error> {
    let mut table = crate::table::TraceTable::default();
    for row in 0..view.bodies.rows {
        let (pair, record) = view.bodies.row(row)?;
        match signal {
            Signal::Spans => {
                let span = Span::decode(&record);
                let service = view.pairs.get(pair as usize).map_or("", |pair| pair.resource().service());
                span.trace_id.into_iter().for_each(|trace| table.span(trace, service, &span));
            }
            _ => {
                let log = Log::decode(&record);
                log.trace_id.into_iter().for_each(|trace| table.log(trace, &log));
            }
        }
    }
    Ok(Arc::new(parking_lot::RwLock::new(table)))
}

fn offset_of(wanted: bool, attrs: weir_model::otlp::Attrs<'_>) -> Option<u64> {
    if !wanted {
        return None;
    }
    attrs.get(identity::OFFSET)?.as_int()?.try_into().ok()
}

fn identity_of(record: &[u8]) -> u64 {
    let span = Span::decode(record);
    identity::span_identity(
        span.trace_id.as_ref().map_or(&[], |id| id.as_bytes().as_slice()),
        span.span_id.as_ref().map_or(&[], |id| id.as_bytes().as_slice()),
        span.kind.0,
        record,
    )
}

fn write_manifest(file: &mut Replaced, manifest: &Manifest) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(manifest).map_err(Error::damaged)?;
    Ok(file.replace(&text)?)
}

/// Removes folders of shards that the manifest does not name: half-made by a roll, or half-removed by retention.
fn remove_strangers(disk: &dyn Disk, dir: &Path, manifest: &Manifest) -> Result<(), Error> {
    for name in disk.list(dir)? {
        let Some(id) = name.strip_prefix("shard-").and_then(|id| id.parse::<u64>().ok()) else { continue };
        if !manifest.shards.iter().any(|meta| meta.id == id) {
            disk.remove_dir_all(&dir.join(name))?;
        }
    }
    Ok(())
}
