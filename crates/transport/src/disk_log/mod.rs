//! The embedded transport: a log on disk, one per signal, that is also the agent's spool.
//!
//! # On disk
//! A folder with segments, files named by the position of their first record. Positions are dense. Only the last segment grows.
//!
//! # Order of writes
//! `append` takes what is queued, writes it to the last segment, syncs the file, then answers every sender (group commit: one sync for all
//! that came while the one before it ran). `roll` creates the next segment and syncs the folder before its first record is acknowledged.
//! `trim` removes whole segments, oldest first, that the reader is done with.
//!
//! # Recovery
//! `open` reads the last segment from its beginning and cuts it behind the last sound record; what it cut was never acknowledged, since the
//! sync covers all before it. Segments before the last were synced whole, so they are checked only when read: damage there is delivered as
//! a [`Event::Gap`](crate::Event::Gap) up to the next segment, counted, and never stops the log.
//! After a failed write or sync the segment is cut to its last durable length and never appended to again: the same records go to a new one.
//! A segment's records end where the next segment's begin, so what such a cut may leave behind is never read.
//!
//! # Reading
//! A reader that keeps up is handed what was just written from memory ([`Settings::recent_bytes`]), any other reads it from disk, where it is checked. In
//! either case it is durable before it is read.
//!
//! # Bounds
//! The log holds at most [`Settings::max_bytes`]; beyond it senders are told to retry. The queue in memory is bounded by bytes as well.

mod append;
mod letters;
mod receive;
mod recent;
mod record;
mod segment;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use tokio::sync::watch;
use weir_disk::{Disk, File, Lock};
use weir_model::Signal;

pub use append::DiskLogSender;
pub use letters::{DiskDeadLetters, KeptLetter};
pub use receive::DiskLogReceiver;

use crate::{Lane, Position};
use receive::Cursor;
use recent::Recent;
use segment::Segment;

/// How large a log and its parts may become.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A segment is closed when it has reached this size, bytes. At most a quarter of `max_bytes` counts: whole segments are removed, and a full
    /// log must have some that can be.
    pub segment_bytes: u64,
    /// The log takes nothing more beyond this size, bytes.
    pub max_bytes: u64,
    /// Batches that wait for the disk, bytes.
    pub queue_bytes: usize,
    /// What was written last and is kept in memory for a reader that keeps up, bytes; 0 for one that reads all from disk. While so much waits for the reader,
    /// writing waits for it as well, but never so long that less than 50 MB/s are written.
    pub recent_bytes: usize,
    /// Position of the first record in a new log: where the store that reads it wants to resume, so that positions never repeat.
    pub first: Position,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            max_bytes: 4 << 30,
            queue_bytes: 32 << 20,
            recent_bytes: 0,
            first: Position(0),
        }
    }
}

/// Opening a log failed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the log {} is in use by another process; only one may have it", .0.display())]
    InUse(PathBuf),
    #[error("can't open the log {}", dir.display())]
    Io { dir: PathBuf, source: io::Error },
}

/// What a log has done and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Records appended durably since the start.
    pub appended: u64,
    pub syncs: u64,
    /// Bytes in the files.
    pub bytes: u64,
    pub segments: u64,
    pub oldest: u64,
    /// Position of the next record.
    pub next: u64,
    /// Records that the reader is not done with, and their bytes in the files. Files are removed whole, so these are often fewer than those on disk.
    pub waiting: u64,
    pub waiting_bytes: u64,
    /// Bytes cut from the end at the start: written, but never acknowledged.
    pub torn_bytes: u64,
    /// Positions lost to damage that were met since the start.
    pub corrupt_positions: u64,
    /// Writes or syncs that failed since the start.
    pub failures: u64,
    /// The last write failed: nothing is taken until one succeeds.
    pub failing: bool,
}

#[derive(Debug)]
struct State {
    segments: Vec<Segment>,
    /// The reader is done with everything below.
    done: Position,
    /// Where what waits for the reader begins: what it was done with, or where it resumed.
    waits: Cursor,
    recent: Recent,
    stats: Stats,
}

impl State {
    /// Bytes of what waits for the reader; of a segment of which it is not known where that begins, all of them.
    fn waiting_bytes(&self) -> u64 {
        let Cursor { position, place } = &self.waits;
        let at = self.segments.partition_point(|segment| segment.first <= *position).saturating_sub(1);
        let of = |segment: &Segment| match place {
            Some((first, offset)) if *first == segment.first => segment.len.saturating_sub(*offset),
            _ => segment.len,
        };
        self.segments[at..].iter().map(of).sum()
    }
}

/// An open log. Cheap to share; the files are closed and the folder is free when the last sender and receiver are gone.
#[derive(Debug)]
pub struct DiskLog {
    signal: Signal,
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    settings: Settings,
    state: Mutex<State>,
    /// The reader took something of what is kept in memory.
    taken: Condvar,
    /// Position of the next record; everything below is durable.
    durable: watch::Sender<Position>,
    _lock: Box<dyn Lock>,
}

impl DiskLog {
    /// Opens the log in a folder, creating it where there is none, and repairs its end.
    ///
    /// # Errors
    /// When another process has the folder, or the disk fails.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        signal: Signal,
        settings: Settings,
    ) -> Result<Arc<Self>, OpenError> {
        let error = |source| OpenError::Io { dir: dir.into(), source };
        disk.create_dir_all(dir).map_err(error)?;
        let lock = disk.lock(dir).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => OpenError::InUse(dir.into()),
            _ => error(source),
        })?;
        let segment_bytes = settings.segment_bytes.min(settings.max_bytes / 4).max(1);
        let settings = Settings { segment_bytes, ..settings };
        let (segments, stats) = recover(disk.as_ref(), dir, settings.first).map_err(error)?;
        if stats.torn_bytes > 0 {
            tracing::warn!(log = %dir.display(), bytes = stats.torn_bytes, "cut an unfinished record from the end of the log; it was never acknowledged");
        }
        let durable = watch::Sender::new(Position(stats.next));
        let recent = Recent::new(settings.recent_bytes);
        let waits = Cursor::at(settings.first);
        let state = Mutex::new(State { segments, done: Position(0), waits, recent, stats });
        let taken = Condvar::new();
        Ok(Arc::new(Self { signal, dir: dir.into(), disk, settings, state, taken, durable, _lock: lock }))
    }

    pub fn lane(&self) -> Lane {
        Lane { signal: self.signal, partition: 0 }
    }

    pub fn stats(&self) -> Stats {
        let state = self.state();
        let bytes = state.segments.iter().map(|s| s.len).sum();
        let oldest = state.segments.first().map_or(state.stats.next, |s| s.first.0);
        let waiting = state.stats.next.saturating_sub(oldest.max(state.waits.position.0));
        let waiting_bytes = if waiting == 0 { 0 } else { state.waiting_bytes() };
        Stats { bytes, oldest, waiting, waiting_bytes, segments: state.segments.len() as u64, ..state.stats }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }

    fn create_segment(&self, first: Position) -> io::Result<Arc<dyn File>> {
        let path = segment::path(&self.dir, first);
        let file = self.disk.open(&path)?;
        // A segment of this name with content can only be left from a roll whose first write failed.
        file.truncate(0)?;
        self.disk.sync_dir(&self.dir)?;
        Ok(file)
    }

    /// Removes the segments whose records all lie below `position`. The last one stays.
    fn trim(&self, position: Position) -> io::Result<()> {
        let removed: Vec<Position> = {
            let mut state = self.state();
            state.done = state.done.max(position);
            let keep = state.segments.partition_point(|s| s.first <= position).saturating_sub(1);
            let removed = state.segments.drain(..keep).map(|s| s.first).collect();
            if let Some(oldest) = state.segments.first().map(|s| s.first) {
                state.recent.forget_below(oldest);
            }
            removed
        };
        if removed.is_empty() {
            return Ok(());
        }
        let _step = tracing::debug_span!("trim", signal = %self.signal, segments = removed.len()).entered();
        for first in &removed {
            self.disk.remove(&segment::path(&self.dir, *first))?;
        }
        self.disk.sync_dir(&self.dir)
    }
}

/// Lists the segments, cuts the last one behind its last sound record, and drops it where nothing is left.
fn recover(disk: &dyn Disk, dir: &Path, first: Position) -> io::Result<(Vec<Segment>, Stats)> {
    let mut stats = Stats { next: first.0, ..Stats::default() };
    let mut segments = Vec::new();
    let firsts = segment::list(disk, dir)?;
    for (i, &first) in firsts.iter().enumerate() {
        let file = disk.open(&segment::path(dir, first))?;
        let mut len = file.len()?;
        if i + 1 == firsts.len() {
            let scan = segment::scan(file.as_ref(), first)?;
            if scan.rest > 0 {
                file.truncate(scan.len)?;
                stats.torn_bytes = scan.rest;
            }
            // A process that was killed may have left sound records that are not synced. They are delivered from here on, so the store must
            // not be able to know more than the log after a loss of power.
            file.sync()?;
            len = scan.len;
            stats.next = first.0 + scan.records;
        }
        segments.push(Segment { first, file, len });
    }
    disk.sync_dir(dir)?;
    Ok((segments, stats))
}

/// What a read-only check of a log's folder found in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentCheck {
    pub first: Position,
    pub records: u64,
    /// Bytes of sound records.
    pub bytes: u64,
    /// Bytes behind the last sound record.
    pub damaged_bytes: u64,
}

/// Reads every record of a log without changing anything.
///
/// # Errors
/// When the disk fails.
pub fn check(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<SegmentCheck>> {
    let scan = |first| {
        let file = disk.open_read(&segment::path(dir, first))?;
        let scan = segment::scan(file.as_ref(), first)?;
        Ok(SegmentCheck { first, records: scan.records, bytes: scan.len, damaged_bytes: scan.rest })
    };
    segment::list(disk, dir)?.into_iter().map(scan).collect()
}
