//! Metric points, as chunks: runs of points of one series, compressed, in files of their own beside the shards.
//!
//! A point goes into its series' open chunk, in memory. A chunk is closed at [`CHUNK_POINTS`] points or when it has been open for
//! [`Settings::points_chunk_age`], and waits until the next checkpoint writes it into the last file of chunks.
//!
//! # Order of writes
//! `sync` makes a *checkpoint* when one is due:
//! 1. closed chunks are appended to the last file of chunks, which is synced;
//! 2. all open chunks are written to a new head file, which is synced, then its folder;
//! 3. the manifest is replaced: it names the files of chunks and their lengths, the head, and the positions of the lanes;
//! 4. the old head file is removed.
//!
//! A lane's position is therefore that of the oldest point in neither a sealed chunk nor the head. Between two checkpoints `sync` gives the
//! positions of the last one: writing all open chunks at every commit would write each point many times over, so a checkpoint is due when
//! the points that came since are a good part of those in the head, or after [`CHECKPOINT_AGE`].
//!
//! # Recovery
//! Files are cut to the lengths in the manifest, files that it does not name are removed, the head is read.
//!
//! # Bounds
//! [`SERIES`] series; points of further ones are refused and counted. A file of chunks is closed at
//! [`Settings::points_file_bytes`] or [`Settings::points_file_age`]; closed ones are removed whole by the store's retention of age and bytes, and take their series' names with them.
//!
//! Gauges and sums are kept. Points of histograms, exponential histograms and summaries, and points that say "no recorded value", are refused
//! and counted: nothing shows them yet, and an SDK can send the same as sums. A point with the time of one that is stored replaces it.

mod chunk;
mod file;
mod head;
mod view;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use weir_disk::{Disk, Replaced};
use weir_model::Signal;
use weir_model::otlp::{Attrs, metric_refs};
use weir_store::{Report, WriteError, value_text};
use weir_transport::{Batch, Epoch, Lane, Position};

use crate::Settings;
use crate::error::Error;
use file::ChunkFile;
use head::Head;
pub(crate) use view::PointsView;

/// Points at which a chunk is closed: 20 minutes of one every 10 s.
const CHUNK_POINTS: usize = 120;
/// Series at the most, in the head and in the files together.
const SERIES: usize = 100_000;
/// A checkpoint is due when this part of the head is new, when the head is smaller than this, or after so many seconds.
const CHECKPOINT_PART: u64 = 4;
const CHECKPOINT_POINTS: u64 = 50_000;
const CHECKPOINT_AGE: u64 = 30;

const MANIFEST: &str = "manifest.json";

/// What makes a series that series.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) unit: String,
    /// Attributes of the resource and the point as text, sorted by key.
    pub(crate) attributes: Vec<(String, String)>,
}

/// Every name once.
#[derive(Debug, Default)]
pub(crate) struct Names(HashSet<Arc<Name>>);

impl Names {
    fn shared(&mut self, name: Name) -> Arc<Name> {
        if let Some(known) = self.0.get(&name) {
            return known.clone();
        }
        let name = Arc::new(name);
        self.0.insert(name.clone());
        name
    }

    /// As [`shared`](Self::shared), but `None` for a new one when there are too many.
    fn bounded(&mut self, name: Name) -> Option<Arc<Name>> {
        if self.0.len() >= SERIES && !self.0.contains(&name) {
            self.0.retain(|name| Arc::strong_count(name) > 1);
            if self.0.len() >= SERIES {
                return None;
            }
        }
        Some(self.shared(name))
    }
}

/// A file of chunks in the manifest.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
struct FileMeta {
    id: u64,
    len: u64,
    points: u64,
    /// When its first and last chunks were written, seconds since the Unix epoch.
    opened: u64,
    last_arrival: u64,
}

#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
struct Manifest {
    lanes: BTreeMap<u32, u64>,
    /// Oldest first; the last one grows.
    files: Vec<FileMeta>,
    /// Number and length of the head file.
    head: Option<(u64, u64)>,
    /// When it was written, seconds since the Unix epoch.
    at: u64,
    /// Points removed by retention.
    expired: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct LaneState {
    epoch: Epoch,
    next: Option<u64>,
}

struct State {
    lanes: BTreeMap<u32, LaneState>,
    names: Names,
    head: Head,
    /// Points since the last checkpoint.
    fresh: u64,
    stored: u64,
    files: Vec<ChunkFile>,
    warned: bool,
}

/// Held while a checkpoint is written; only one thread does that.
struct Checkpoints {
    manifest: Manifest,
    file: Replaced,
    /// Numbers of the names in the last file.
    numbers: HashMap<Arc<Name>, u64>,
}

pub(crate) struct Points {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    settings: Settings,
    state: Mutex<State>,
    checkpoints: Mutex<Checkpoints>,
}

fn chunk_file(id: u64) -> String {
    format!("chunks-{id}")
}

fn head_file(id: u64) -> String {
    format!("head-{id}")
}

impl Points {
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: PathBuf, settings: Settings) -> Result<Self, Error> {
        disk.create_dir_all(&dir)?;
        let file = Replaced::open(disk.clone(), dir.join(MANIFEST))?;
        let manifest: Manifest = match file.content() {
            Some(bytes) => serde_json::from_slice(bytes).map_err(Error::damaged)?,
            None => Manifest::default(),
        };
        let named: HashSet<String> = (manifest.files.iter().map(|meta| chunk_file(meta.id)))
            .chain(manifest.head.map(|(id, _)| head_file(id)))
            .collect();
        for name in disk.list(&dir)? {
            if name != MANIFEST && !named.contains(&name) {
                disk.remove(&dir.join(name))?;
            }
        }
        let mut names = Names::default();
        let mut files = Vec::new();
        for meta in &manifest.files {
            files.push(ChunkFile::open(disk.as_ref(), &dir.join(chunk_file(meta.id)), meta.len, &mut names)?);
        }
        let mut head = Head::default();
        if let Some((id, len)) = manifest.head {
            let stored = ChunkFile::open(disk.as_ref(), &dir.join(head_file(id)), len, &mut names)?;
            stored.read(0, u64::MAX, &|_| true, &mut |chunk| head.restore(chunk))?;
        }
        let numbers = files.last().map(ChunkFile::numbers).unwrap_or_default();
        let lane = |(&partition, &next): (&u32, &u64)| {
            (partition, LaneState { next: Some(next), ..LaneState::default() })
        };
        let lanes = manifest.lanes.iter().map(lane).collect();
        let state = State { lanes, names, head, fresh: 0, stored: 0, files, warned: false };
        let checkpoints = Checkpoints { manifest, file, numbers };
        Ok(Self { disk, dir, settings, state: Mutex::new(state), checkpoints: Mutex::new(checkpoints) })
    }

    pub(crate) fn begin(&self, lane: Lane, epoch: Epoch) -> Result<Option<Position>, WriteError> {
        let mut state = self.state.lock();
        let known = state.lanes.entry(lane.partition).or_default();
        if epoch < known.epoch {
            return Err(WriteError::Fenced(lane));
        }
        known.epoch = epoch;
        Ok(known.next.map(Position))
    }

    pub(crate) fn write(
        &self,
        lane: Lane,
        epoch: Epoch,
        batches: &[(Position, Batch)],
    ) -> Result<Report, WriteError> {
        let mut report = Report::default();
        let now = self.settings.clock.now();
        let mut state = self.state.lock();
        let state = &mut *state;
        let known = state.lanes.entry(lane.partition).or_default();
        if epoch < known.epoch {
            return Err(WriteError::Fenced(lane));
        }
        for (position, batch) in batches {
            if known.next.is_some_and(|next| position.0 < next) {
                report.duplicate +=
                    metric_refs(&batch.body).map(|m| m.metric.point_count() as u64).sum::<u64>();
                continue;
            }
            known.next = Some(position.0 + 1);
            for metric in metric_refs(&batch.body) {
                let before = report.stored + report.duplicate;
                for point in metric.metric.number_points() {
                    let Some(value) = point.value else { continue };
                    let name = Name {
                        name: metric.metric.name.to_owned(),
                        unit: metric.metric.unit.to_owned(),
                        attributes: labels(metric.resource.attrs(), point.attrs),
                    };
                    let Some(name) = state.names.bounded(name) else {
                        if !std::mem::replace(&mut state.warned, true) {
                            tracing::error!(
                                limit = SERIES,
                                "there are too many metric series; points of new ones are refused until old ones are past their retention"
                            );
                        }
                        continue;
                    };
                    match state.head.add(&name, now, (point.time, value.as_f64())) {
                        true => report.stored += 1,
                        false => report.duplicate += 1,
                    }
                }
                let taken = report.stored + report.duplicate - before;
                report.refused += metric.metric.point_count() as u64 - taken;
            }
        }
        state.fresh += report.stored + report.duplicate;
        state.stored += report.stored;
        // About what a point takes in the log.
        report.pending_bytes = state.fresh * 64;
        Ok(report)
    }

    pub(crate) fn sync(&self) -> Result<Vec<(Lane, Position)>, WriteError> {
        let mut checkpoints = self.checkpoints.lock();
        self.checkpoint(&mut checkpoints).map_err(Error::on_write)?;
        self.retain(&mut checkpoints).map_err(Error::on_write)?;
        let lane =
            |(&partition, &next): (&u32, &u64)| (Lane { signal: Signal::Metrics, partition }, Position(next));
        Ok(checkpoints.manifest.lanes.iter().map(lane).collect())
    }

    fn checkpoint(&self, checkpoints: &mut Checkpoints) -> Result<(), Error> {
        // A manifest that failed half-way may name the files that are written now.
        checkpoints.file.settle()?;
        let done = self.write_checkpoint(checkpoints);
        if done.is_err() {
            checkpoints.numbers = self.state.lock().files.last().map(ChunkFile::numbers).unwrap_or_default();
        }
        done
    }

    fn write_checkpoint(&self, checkpoints: &mut Checkpoints) -> Result<(), Error> {
        let now = self.settings.clock.now();
        let (lanes, closed, open, fresh, mut files) = {
            let mut state = self.state.lock();
            let lanes: BTreeMap<u32, u64> =
                state.lanes.iter().filter_map(|(&partition, lane)| Some((partition, lane.next?))).collect();
            let points = state.head.points;
            let due = state.fresh * CHECKPOINT_PART >= points
                || points <= CHECKPOINT_POINTS
                || now >= checkpoints.manifest.at + CHECKPOINT_AGE;
            if lanes == checkpoints.manifest.lanes || !due {
                return Ok(());
            }
            state.head.close_old(now.saturating_sub(self.settings.points_chunk_age.as_secs()));
            (lanes, state.head.closed.clone(), state.head.open.clone(), state.fresh, state.files.clone())
        };
        let mut manifest = Manifest { lanes, at: now, ..checkpoints.manifest.clone() };
        if !closed.is_empty() {
            let full = manifest.files.last().is_none_or(|last| {
                last.len >= self.settings.points_file_bytes
                    || now >= last.opened + self.settings.points_file_age.as_secs()
            });
            if full {
                let id = manifest.files.last().map_or(1, |last| last.id + 1);
                let path = self.dir.join(chunk_file(id));
                // Left by a checkpoint that failed before the manifest named it.
                if self.disk.exists(&path)? {
                    self.disk.remove(&path)?;
                }
                files.push(ChunkFile::open(self.disk.as_ref(), &path, 0, &mut Names::default())?);
                manifest.files.push(FileMeta { id, len: 0, points: 0, opened: now, last_arrival: now });
                checkpoints.numbers.clear();
            }
            let (file, meta) =
                (files.last_mut().expect("pushed"), manifest.files.last_mut().expect("pushed"));
            file.append(&closed.iter().collect::<Vec<_>>(), &mut checkpoints.numbers)?;
            (meta.len, meta.last_arrival) = (file.len, now);
            meta.points += closed.iter().map(|chunk| chunk.points.len() as u64).sum::<u64>();
        }
        let old = manifest.head.map(|(id, _)| id);
        let id = old.map_or(1, |id| id + 1);
        let path = self.dir.join(head_file(id));
        if self.disk.exists(&path)? {
            self.disk.remove(&path)?;
        }
        let mut head = ChunkFile::open(self.disk.as_ref(), &path, 0, &mut Names::default())?;
        head.append(&open.iter().map(AsRef::as_ref).collect::<Vec<_>>(), &mut HashMap::new())?;
        self.disk.sync_dir(&self.dir)?;
        manifest.head = Some((id, head.len));
        checkpoints.file.replace(&serde_json::to_vec_pretty(&manifest).map_err(Error::damaged)?)?;
        checkpoints.manifest = manifest;
        if let Some(old) = old
            && let Err(error) = self.disk.remove(&self.dir.join(head_file(old)))
        {
            tracing::warn!(%error, "removing an old file of metric points failed; it is removed at the next start");
        }
        let mut state = self.state.lock();
        Arc::make_mut(&mut state.head.closed).drain(..closed.len());
        state.files = files;
        state.fresh -= fresh;
        Ok(())
    }

    /// Removes whole files that are too old or too many.
    fn retain(&self, checkpoints: &mut Checkpoints) -> Result<(), Error> {
        let now = self.settings.clock.now();
        let mut bytes: u64 = checkpoints.manifest.files.iter().map(|meta| meta.len).sum();
        let closed = checkpoints.manifest.files.len().saturating_sub(1);
        let past = |meta: &&FileMeta| {
            let old = meta.last_arrival + self.settings.retain_age.as_secs() <= now;
            let gone = old || bytes > self.settings.retain_bytes;
            bytes -= meta.len;
            gone
        };
        let gone = checkpoints.manifest.files[..closed].iter().take_while(past).count();
        if gone == 0 {
            return Ok(());
        }
        let mut manifest = checkpoints.manifest.clone();
        let removed: Vec<_> = manifest.files.drain(..gone).collect();
        manifest.expired += removed.iter().map(|meta| meta.points).sum::<u64>();
        checkpoints.file.replace(&serde_json::to_vec_pretty(&manifest).map_err(Error::damaged)?)?;
        checkpoints.manifest = manifest;
        self.state.lock().files.drain(..gone);
        for meta in removed {
            tracing::info!(signal = %Signal::Metrics, file = meta.id, bytes = meta.len, "removed metric points that are past their retention");
            if let Err(error) = self.disk.remove(&self.dir.join(chunk_file(meta.id))) {
                tracing::warn!(%error, "removing a file of metric points failed; it is removed at the next start");
            }
        }
        Ok(())
    }

    pub(crate) fn view(&self) -> PointsView {
        let state = self.state.lock();
        PointsView {
            open: state.head.open.clone(),
            closed: state.head.closed.clone(),
            files: state.files.clone(),
        }
    }

    pub(crate) fn stats(&self) -> crate::PartStats {
        let expired = self.checkpoints.lock().manifest.expired;
        let state = self.state.lock();
        crate::PartStats {
            records: state.stored,
            expired,
            uncommitted: state.fresh,
            shards: state.files.len() as u64,
            segments: state.head.open.len() as u64,
        }
    }
}

fn labels(resource: Attrs<'_>, point: Attrs<'_>) -> Vec<(String, String)> {
    let both = point.iter().chain(resource.iter());
    let mut labels: Vec<_> =
        both.filter_map(|attr| Some((attr.key.to_owned(), value_text(attr.value)?))).collect();
    labels.sort();
    labels
}
