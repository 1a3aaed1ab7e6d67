//! The loop that finds files, reads them in turns, makes batches and keeps the checkpoint.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use weir_disk::Disk;
use weir_model::Signal;
use weir_transport::{Batch, Origin, Senders};
use xxhash_rust::xxh3::xxh3_64;

use super::bodies::{Bodies, Written};
use super::deliver::{Delivered, Part, Sealed, deliver};
use super::discover::Source;
use super::file::{Followed, Life, Turn};
use super::identity;
use super::{LINE_BYTES, TURN_BYTES};
use crate::checkpoint::{Checkpoints, Saved};
use crate::config::{Config, Start};
use crate::stats::TailStats;

/// How often new files are looked for.
const SCAN_EVERY: Duration = Duration::from_secs(1);
/// How long a batch waits for more.
const BATCH_AGE: Duration = Duration::from_millis(200);
/// How long a record waits for lines that belong to it.
const RECORD_AGE: Duration = Duration::from_millis(300);
/// How often the checkpoint is written.
const SAVE_EVERY: Duration = Duration::from_millis(500);
/// Shortest pause when no file has anything; a sweep over all files may take a twentieth of the time at the most.
const PAUSE: Duration = Duration::from_millis(50);
/// Batches that wait for delivery.
const QUEUE: usize = 4;
/// How long a shutdown waits for what is under way.
const DRAIN: Duration = Duration::from_secs(5);
/// Lives of files that are gone and may come back under another name, compressed or not.
const ORPHANS: usize = 10_000;

/// The tail, ready to run.
pub(crate) struct Tail {
    sources: Vec<Source>,
    checkpoints: Checkpoints,
    saved: Vec<Saved>,
    /// The data folder is new: files that exist now were there before it.
    fresh: bool,
    host: String,
    stats: Arc<TailStats>,
}

impl Tail {
    /// # Errors
    /// When the checkpoint can't be read, or a glob or pattern is wrong.
    pub(crate) fn new(
        config: &Config,
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        host: String,
        stats: Arc<TailStats>,
    ) -> anyhow::Result<Self> {
        let sources = config.sources.iter().map(Source::new).collect::<anyhow::Result<Vec<_>>>()?;
        let (checkpoints, saved) = Checkpoints::open(disk, dir)?;
        Ok(Self {
            sources,
            checkpoints,
            fresh: saved.is_none(),
            saved: saved.unwrap_or_default(),
            host,
            stats,
        })
    }

    /// Follows the files until the token is cancelled.
    pub(crate) async fn run(self, senders: Senders, shutdown: CancellationToken) -> anyhow::Result<()> {
        let (queue, sealed) = mpsc::channel(QUEUE);
        let (done, delivered) = blocking::channel();
        let delivery = tokio::spawn(deliver(sealed, senders, done));
        let stop = shutdown.clone();
        let thread = std::thread::Builder::new().name("tail".into()).spawn(move || {
            Tailer {
                tail: self,
                files: HashMap::new(),
                next_id: 0,
                known: HashMap::new(),
                leaving: HashSet::new(),
                bodies: Bodies::new(),
                queue: Some(queue),
                delivered,
                unsaved: false,
            }
            .run(&stop)
        })?;
        shutdown.cancelled().await;
        let _ = tokio::time::timeout(DRAIN, delivery).await;
        tokio::task::spawn_blocking(move || thread.join())
            .await?
            .map_err(|_| anyhow::anyhow!("the tail's thread panicked"))
    }
}

pub(crate) struct Tailer {
    tail: Tail,
    files: HashMap<u64, Followed>,
    next_id: u64,
    /// File of each device and inode.
    known: HashMap<(u64, u64), u64>,
    /// Files that are read no more, and wait for the acknowledgement of what was sent.
    leaving: HashSet<u64>,
    bodies: Bodies,
    queue: Option<mpsc::Sender<Sealed>>,
    delivered: blocking::Receiver<Delivered>,
    /// A life began or something was decided that the checkpoint does not know: nothing may be sent before it does.
    unsaved: bool,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

impl Tailer {
    fn run(mut self, stop: &CancellationToken) {
        let mut buf = vec![0; LINE_BYTES + TURN_BYTES];
        let (mut scanned, mut saved): (Option<Instant>, Instant) = (None, Instant::now());
        while !stop.is_cancelled() {
            self.acknowledge();
            if scanned.is_none_or(|at| at.elapsed() >= SCAN_EVERY) {
                self.discover();
                scanned = Some(Instant::now());
            }
            let sweep = Instant::now();
            let read = self.read_all(&mut buf);
            let sweep = sweep.elapsed();
            self.cut_waiting();
            if self.bodies.age() >= BATCH_AGE {
                self.seal();
            }
            if saved.elapsed() >= SAVE_EVERY {
                self.save();
                saved = Instant::now();
            }
            if !read {
                std::thread::sleep(PAUSE.max(20 * sweep));
            }
        }
        self.seal();
        self.queue = None;
        let deadline = Instant::now() + DRAIN;
        while let Ok(delivered) =
            self.delivered.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            self.take(delivered);
        }
        self.save();
    }

    fn acknowledge(&mut self) {
        while let Ok(delivered) = self.delivered.try_recv() {
            self.take(delivered);
        }
    }

    fn take(&mut self, delivered: Delivered) {
        for (id, end) in delivered.files {
            if let Some(file) = self.files.get_mut(&id) {
                file.acknowledge(end);
            }
        }
        self.tail.stats.dropped.inc_by(delivered.dropped);
    }

    /// Gives each file a turn. Returns whether any had something.
    fn read_all(&mut self, buf: &mut [u8]) -> bool {
        let mut ids: Vec<u64> = self.files.keys().copied().collect();
        ids.sort_unstable();
        let mut any = false;
        for id in ids {
            // A batch that can't be sent is not added to.
            if self.bodies.is_full() {
                self.seal();
                break;
            }
            any |= self.read(id, buf);
        }
        self.tail.stats.files.set(self.files.len() as i64);
        let waiting: u64 = self.files.values().map(Followed::unacknowledged).sum();
        self.tail.stats.unacknowledged_bytes.set(waiting as i64);
        any
    }

    fn read(&mut self, id: u64, buf: &mut [u8]) -> bool {
        let Some(mut file) = self.files.remove(&id) else { return false };
        if self.leaving.contains(&id) {
            if file.is_acknowledged() {
                self.leaving.remove(&id);
                self.remember(file.saved());
            } else {
                self.files.insert(id, file);
            }
            return false;
        }
        if !file.is_over() && file.is_idle().unwrap_or(false) {
            self.files.insert(id, file);
            return false;
        }
        self.open_resource(id, &file);
        let before = file.counts();
        let turn = file.turn(buf, now(), &mut self.bodies);
        match turn {
            Ok(Turn::AtEnd) if file.is_over() => file.finish(now(), &mut self.bodies),
            Ok(Turn::Cut) => {
                tracing::info!(path = %file.path.display(), "the file was cut and begins anew");
                file.finish(now(), &mut self.bodies);
            }
            _ => {}
        }
        self.unsaved |= std::mem::take(&mut file.unsaved);
        self.tail.stats.count(&before, &file.counts());
        let keep = match turn {
            Ok(Turn::Read) => true,
            Ok(Turn::AtEnd) => !(file.is_over() && file.is_done()),
            Ok(Turn::Cut) => false,
            Err(ref error) => {
                self.tail.stats.errors.inc();
                tracing::warn!(path = %file.path.display(), %error, "can't read the file; it is tried again");
                true
            }
        };
        let read = matches!(turn, Ok(Turn::Read | Turn::Cut)) || file.counts().lines > before.lines;
        if keep {
            self.files.insert(id, file);
        } else {
            // What it leaves in the body must be sent while the file is still known.
            let key = file.key;
            self.files.insert(id, file);
            self.seal();
            self.known.remove(&key);
            self.leaving.insert(id);
        }
        if self.bodies.is_full() {
            self.seal();
        }
        read
    }

    /// Makes the file's resource the one that records are written under.
    fn open_resource(&mut self, id: u64, file: &Followed) {
        let host = &self.tail.host;
        self.bodies.open(id, |attrs| file.resource(attrs, host));
    }

    /// Ends records that have been waiting long enough for lines that belong to them.
    fn cut_waiting(&mut self) {
        let Some(since) = Instant::now().checked_sub(RECORD_AGE) else { return };
        let waiting: Vec<u64> =
            self.files.iter().filter(|(_, file)| file.waits_since(since)).map(|(id, _)| *id).collect();
        for id in waiting {
            let Some(mut file) = self.files.remove(&id) else { continue };
            self.open_resource(id, &file);
            let before = file.counts();
            file.cut(now(), &mut self.bodies);
            self.unsaved |= std::mem::take(&mut file.unsaved);
            self.tail.stats.count(&before, &file.counts());
            self.files.insert(id, file);
        }
    }

    /// Hands the body over as a batch. Waits while the queue is full: so back-pressure reaches the files.
    fn seal(&mut self) {
        if self.bodies.is_empty() {
            return;
        }
        if self.unsaved && !self.save() {
            return;
        }
        let (logs, spans) = self.bodies.finish();
        let mut origins = Vec::new();
        for id in &logs.files {
            let Some(file) = self.files.get_mut(id) else { continue };
            let range = file.take_range();
            if !range.is_empty() {
                origins.push((*id, Origin { incarnation: file.incarnation, range, acked_below: file.acked }));
            }
        }
        if origins.is_empty() {
            return;
        }
        self.tail.stats.derived_spans.inc_by(spans.as_ref().map_or(0, |spans| spans.records));
        let files = origins.iter().map(|(id, origin)| (*id, origin.range.end)).collect();
        let part = |signal, Written { body, records, files }: Written| {
            let of_files = origins.iter().filter(|(id, _)| files.contains(id));
            let origins: Vec<Origin> = of_files.map(|(_, origin)| origin.clone()).collect();
            let route = origins.first().map_or(0, |first| xxh3_64(&first.incarnation.to_bytes()));
            Part { batch: Batch { signal, origins, route, arrived: now(), body }, records }
        };
        let spans = spans.map(|spans| part(Signal::Spans, spans));
        let sealed = Sealed { logs: part(Signal::Logs, logs), spans, files };
        if let Some(queue) = &self.queue
            && queue.blocking_send(sealed).is_err()
        {
            // Delivery has ended for good; the files keep what was not taken.
            self.queue = None;
        }
    }

    /// Writes the checkpoint. False if that failed.
    fn save(&mut self) -> bool {
        let live = self.files.values().map(Followed::saved);
        let files: Vec<Saved> = live.chain(self.tail.saved.iter().cloned()).collect();
        let mut files: Vec<Saved> = files;
        files.sort_by(|a, b| (&a.path, &a.incarnation).cmp(&(&b.path, &b.incarnation)));
        files.dedup_by(|b, a| a.incarnation == b.incarnation);
        match self.tail.checkpoints.save(files) {
            Ok(()) => {
                self.unsaved = false;
                true
            }
            Err(error) => {
                self.tail.stats.errors.inc();
                tracing::error!(%error, "can't write the checkpoint; nothing new is sent until that works");
                false
            }
        }
    }

    /// Keeps what is known of a file that is gone, so that it is recognised under another name.
    fn remember(&mut self, saved: Saved) {
        self.tail.saved.retain(|other| other.incarnation != saved.incarnation);
        if self.tail.saved.len() >= ORPHANS {
            self.tail.saved.remove(0);
        }
        self.tail.saved.push(saved);
    }

    fn discover(&mut self) {
        let first = std::mem::take(&mut self.tail.fresh);
        let sources = std::mem::take(&mut self.tail.sources);
        let mut seen = Vec::new();
        for source in &sources {
            for path in source.find() {
                match self.meet(source, &path, first) {
                    Ok(Some(id)) => seen.push(id),
                    Ok(None) => {}
                    Err(error) => {
                        self.tail.stats.errors.inc();
                        tracing::warn!(path = %path.display(), %error, "can't open the file; it is tried again");
                    }
                }
            }
        }
        self.tail.sources = sources;
        for (id, file) in &mut self.files {
            file.gone = !seen.contains(id) && !still_there(file);
        }
        if self.unsaved || first {
            self.save();
        }
    }

    /// Begins to follow a file that is not followed yet.
    fn meet(&mut self, source: &Source, path: &Path, first: bool) -> io::Result<Option<u64>> {
        let metadata = fs::metadata(path)?;
        let key = identity::key(&metadata);
        if let Some(id) = self.known.get(&key) {
            if let Some(file) = self.files.get_mut(id)
                && file.path != path
            {
                file.path = path.to_owned();
            }
            return Ok(Some(*id));
        }
        let file = File::open(path)?;
        let life = match self.recognise(path, key, &file)? {
            Recognised::Another => return Ok(None),
            Recognised::Known(life) => life,
            Recognised::New => {
                self.unsaved = true;
                Life::new(if first && source.start == Start::End && !identity::is_gzip(path) {
                    metadata.len()
                } else {
                    0
                })
            }
        };
        let options = source.options(&metadata, life.from);
        let followed = Followed::open(
            path,
            &metadata,
            file,
            source.attributes(path),
            source.derive_spans,
            options,
            life,
        )?;
        self.next_id += 1;
        self.known.insert(key, self.next_id);
        self.files.insert(self.next_id, followed);
        Ok(Some(self.next_id))
    }

    fn recognise(&mut self, path: &Path, key: (u64, u64), file: &File) -> io::Result<Recognised> {
        let gzip = identity::is_gzip(path);
        let fits =
            |saved: &Saved| if gzip { identity::holds(saved, file) } else { identity::is_same(saved, file) };
        // A copy or compressed form of a file that is being followed: that one will be read to its end.
        for live in self.files.values().filter(|live| identity::is_rotated_name(path, &live.path)) {
            let saved = live.saved();
            if saved.acked > 0 && fits(&saved)? {
                return Ok(Recognised::Another);
            }
        }
        for at in 0..self.tail.saved.len() {
            let saved = &self.tail.saved[at];
            let same_file = (saved.device, saved.inode) == key;
            if !(same_file || saved.acked > 0) || !fits(saved)? {
                continue;
            }
            if let Some(life) = Life::of(saved) {
                self.tail.saved.remove(at);
                return Ok(Recognised::Known(life));
            }
        }
        Ok(Recognised::New)
    }
}

/// What a file that turned up is.
enum Recognised {
    New,
    /// A life that was known before.
    Known(Life),
    /// A copy of a file that is followed already.
    Another,
}

/// Whether the file's name still means this file.
fn still_there(file: &Followed) -> bool {
    fs::metadata(&file.path).is_ok_and(|metadata| identity::key(&metadata) == file.key)
}
