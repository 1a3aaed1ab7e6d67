//! The loop that finds files, reads them in turns, makes batches and keeps the checkpoint.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;
use weir_disk::Disk;
use weir_model::Signal;
use weir_runtime::Health;
use weir_transport::{Batch, Origin, Senders};
use xxhash_rust::xxh3::xxh3_64;

use super::bodies::{Bodies, Written};
use super::deliver::{Delivered, Part, Sealed, deliver};
use super::discover::Source;
use super::file::{Followed, Life, Turn};
use super::identity;
use super::turns::Turns;
use super::watch::{FOLDERS, Wake, Watch};
use super::{LINE_BYTES, TURN_BYTES};
use crate::checkpoint::{Checkpoints, Saved};
use crate::config::{Config, Start};
use crate::ledger::SourceLedger;
use crate::stats::TailStats;

/// How often new files are looked for, and how often where changes of names are heard of at once.
const SCAN_EVERY: Duration = Duration::from_secs(1);
const SCAN_WATCHED: Duration = Duration::from_secs(10);
/// How often all files are looked at where changes are heard of.
const SWEEP_WATCHED: Duration = Duration::from_secs(5);
/// How long a batch waits for more, if one went before it in this time.
const BATCH_AGE: Duration = Duration::from_millis(200);
/// How long a record waits for lines that belong to it.
const RECORD_AGE: Duration = Duration::from_millis(300);
/// How often the checkpoint is written and the gauges are summed up, if something has happened.
const SAVE_EVERY: Duration = Duration::from_millis(500);
/// Shortest pause between two looks at files of which nothing is heard; a sweep over all files may take a twentieth of the time at the most.
const PAUSE: Duration = Duration::from_millis(50);
/// Batches that wait for delivery.
const QUEUE: usize = 4;
/// How long a shutdown waits for what is under way.
const DRAIN: Duration = Duration::from_secs(5);
/// Lives of files that are gone and may come back under another name, compressed or not.
const ORPHANS: usize = 10_000;

/// Files and folders that can't be read and are named; further ones are counted, and stand in the log.
const NAMED: usize = 5;
/// The checkpoint as health names it.
const CHECKPOINT: &str = "checkpoint";

/// The tail, ready to run.
pub(crate) struct Tail {
    sources: Vec<Source>,
    checkpoints: Checkpoints,
    saved: Vec<Saved>,
    /// The data folder is new: files that exist now were there before it.
    fresh: bool,
    host: String,
    stats: Arc<TailStats>,
    health: Health,
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
        health: Health,
    ) -> anyhow::Result<Self> {
        let sources = config
            .sources
            .iter()
            .map(|source| Source::new(source, &stats))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let (checkpoints, saved) = Checkpoints::open(disk, dir)?;
        Ok(Self {
            sources,
            checkpoints,
            fresh: saved.is_none(),
            saved: saved.unwrap_or_default(),
            host,
            stats,
            health,
        })
    }

    /// Follows the files until the token is cancelled.
    pub(crate) async fn run(self, senders: Senders, shutdown: CancellationToken) -> anyhow::Result<()> {
        let wake = Arc::new(Wake::default());
        let (queue, sealed) = mpsc::channel(QUEUE);
        let (done, delivered) = blocking::channel();
        let mut delivery = tokio::spawn(deliver(sealed, senders, done, self.health.clone(), wake.clone()));
        let (stop, begun) = (shutdown.clone(), Instant::now());
        let waker = wake.clone();
        let thread = std::thread::Builder::new().name("tail".into()).spawn(move || {
            Tailer {
                tail: self,
                files: HashMap::new(),
                next_id: 0,
                known: HashMap::new(),
                met: HashMap::new(),
                elsewhere: HashSet::new(),
                stop: stop.clone(),
                leaving: HashSet::new(),
                bodies: Bodies::new(),
                sealed: begun,
                queue: Some(queue),
                delivered,
                unsaved: false,
                closed: HashSet::new(),
                changed: false,
                watch: Watch::new(wake.clone(), FOLDERS),
                wake,
                by_path: HashMap::new(),
                turns: Turns::default(),
                going: HashSet::new(),
                holding: HashSet::new(),
                due: Due {
                    scan: begun,
                    look: false,
                    may_look: begun,
                    sweep: begun,
                    poll: begun,
                    save: begun,
                },
            }
            .run()
        })?;
        shutdown.cancelled().await;
        waker.wake();
        if tokio::time::timeout(DRAIN, &mut delivery).await.is_err() {
            // What it still has is read again at the next start.
            delivery.abort();
        }
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
    /// The files under each path, also those that have lost it, as of the last look.
    met: HashMap<PathBuf, Vec<u64>>,
    /// Saved files that were seen, but were under another name when they should have been opened: the next look will find them.
    elsewhere: HashSet<(u64, u64)>,
    stop: CancellationToken,
    /// Files that are read no more, and wait for the acknowledgement of what was sent.
    leaving: HashSet<u64>,
    bodies: Bodies,
    /// When a batch was handed over last.
    sealed: Instant,
    queue: Option<mpsc::Sender<Sealed>>,
    delivered: blocking::Receiver<Delivered>,
    /// A life began or something was decided that the checkpoint does not know: nothing may be sent before it does.
    unsaved: bool,
    /// Files and folders that can't be read.
    closed: HashSet<PathBuf>,
    /// Something happened since the checkpoint was written.
    changed: bool,
    wake: Arc<Wake>,
    watch: Watch,
    /// Files by the paths of which something may be heard.
    by_path: HashMap<PathBuf, u64>,
    turns: Turns,
    /// Files whose name is gone or that are read no more: they are looked at every [`PAUSE`].
    going: HashSet<u64>,
    /// Files with a record that waits for further lines.
    holding: HashSet<u64>,
    due: Due,
}

/// When what is done now and then is to be done next.
struct Due {
    scan: Instant,
    /// Names have changed, so that new files are looked for before the next scan, but not before `may_look`.
    look: bool,
    may_look: Instant,
    sweep: Instant,
    /// Files that are going have a turn.
    poll: Instant,
    save: Instant,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

impl Tailer {
    fn run(mut self) {
        let mut buf = vec![0; LINE_BYTES + TURN_BYTES];
        while !self.stop.is_cancelled() {
            self.acknowledge();
            self.look();
            let now = Instant::now();
            let sweeps = now >= self.due.sweep;
            if sweeps {
                self.files.keys().for_each(|id| self.turns.push(*id));
            }
            if now >= self.due.poll {
                self.due.poll = now + PAUSE;
                self.going.iter().for_each(|id| self.turns.push(*id));
            }
            let begun = Instant::now();
            let read = self.read_all(&mut buf);
            if sweeps {
                let took = begun.elapsed();
                let every = if self.watch.unwatched() == 0 { SWEEP_WATCHED } else { PAUSE.max(20 * took) };
                self.due.sweep = begun + took + every;
            }
            self.cut_waiting();
            // What comes after a silence goes at once; in a flow more is waited for.
            let due = self.bodies.age() >= BATCH_AGE || (!read && self.sealed.elapsed() >= BATCH_AGE);
            if !self.bodies.is_empty() && due {
                self.seal();
            }
            if now >= self.due.save {
                self.due.save = now + SAVE_EVERY;
                if std::mem::take(&mut self.changed) || self.unsaved {
                    self.tail.stats.gauge(self.files.values().map(|file| (&file.stats, file.gauge())));
                    self.changed = !self.save();
                }
            }
            if !read {
                self.wake.wait(self.idle().saturating_duration_since(Instant::now()));
            }
        }
        self.tail.health.set_ready(false);
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
        self.changed = true;
        let stats = &self.tail.stats;
        stats.queued_batches.dec();
        stats.acknowledged_now();
        let refused =
            delivered.refused.iter().any(|(signal, records)| *signal == Signal::Logs && *records > 0);
        for (id, end) in delivered.files {
            if let Some(file) = self.files.get_mut(&id) {
                if refused {
                    file.refuse(end);
                }
                file.acknowledge(end);
            }
        }
        delivered.refused.into_iter().for_each(|(signal, records)| stats.refused(signal, records));
    }

    /// Until when nothing is to be done if nothing is heard.
    fn idle(&self) -> Instant {
        let soon = Instant::now() + PAUSE;
        let mut until = self.due.scan.min(self.due.sweep);
        if self.due.look {
            until = until.min(self.due.may_look);
        }
        if !self.going.is_empty() {
            until = until.min(self.due.poll);
        }
        if self.changed || self.unsaved {
            until = until.min(self.due.save);
        }
        // Waiting records and lines, and what could not be sent.
        if !self.holding.is_empty() || !self.turns.is_empty() || !self.bodies.is_empty() {
            until = until.min(soon);
        }
        until
    }

    /// Looks for files, if that is due.
    fn look(&mut self) {
        self.hear();
        let now = Instant::now();
        if now >= self.due.scan || (self.due.look && now >= self.due.may_look) {
            self.discover();
            let took = now.elapsed();
            let every = if self.watch.unwatched() == 0 { SCAN_WATCHED } else { SCAN_EVERY };
            self.due.scan = now + took + every;
            self.due.may_look = now + took + PAUSE.max(20 * took);
            self.tail.health.set_ready(true);
        }
    }

    /// Takes the news of what has changed.
    fn hear(&mut self) {
        let news = self.wake.take();
        if news.lost {
            self.due.sweep = Instant::now();
        }
        self.due.look |= news.names || news.lost;
        for path in &news.paths {
            match self.by_path.get(path) {
                Some(id) => self.turns.push(*id),
                None => self.due.look |= self.tail.sources.iter().any(|source| source.names(path)),
            }
        }
    }

    /// Gives each file that is to be looked at a turn. Returns whether any had something.
    fn read_all(&mut self, buf: &mut [u8]) -> bool {
        let mut any = false;
        for _ in 0..self.turns.len() {
            // A batch that can't be sent is not added to.
            if self.bodies.is_full() {
                self.seal();
                break;
            }
            let Some(id) = self.turns.pop() else { break };
            if self.read(id, buf) {
                any = true;
                self.turns.push(id);
            }
        }
        any
    }

    fn read(&mut self, id: u64, buf: &mut [u8]) -> bool {
        let Some(mut file) = self.files.remove(&id) else { return false };
        if self.leaving.contains(&id) {
            self.leave(id, file);
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
            Ok(Turn::Cut) => tracing::info!(path = %file.path.display(), "the file was cut and begins anew"),
            _ => {}
        }
        self.unsaved |= std::mem::take(&mut file.unsaved);
        file.stats.count(&before, &file.counts());
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
        self.changed |= read;
        let key = file.key;
        self.keep(id, file);
        if !keep {
            // What it leaves in the body must be sent while the file is still known.
            self.seal();
            self.known.remove(&key);
            self.leaving.insert(id);
            self.going.insert(id);
            // Under its name there may be another one, or the same in another life.
            self.due.look = true;
        }
        if self.bodies.is_full() {
            self.seal();
        }
        read
    }

    /// Lets go of a file that is read no more, once all that was sent of it is acknowledged. What it leaves unfinished is read from its copy,
    /// which whoever cuts a log makes before; without a copy it is finished as it is.
    fn leave(&mut self, id: u64, mut file: Followed) {
        if !file.is_acknowledged() || self.bodies.hold(id) {
            self.files.insert(id, file);
            return;
        }
        self.changed = true;
        self.remember(file.saved());
        if file.is_unfinished() {
            self.discover();
            let incarnation = file.incarnation.to_string();
            let before = self.tail.saved.len();
            self.tail.saved.retain(|saved| saved.incarnation != incarnation);
            if self.tail.saved.len() < before {
                self.open_resource(id, &file);
                let counts = file.counts();
                file.finish(now(), &mut self.bodies);
                file.stats.count(&counts, &file.counts());
                self.unsaved |= std::mem::take(&mut file.unsaved);
                self.files.insert(id, file);
                return;
            }
        }
        self.leaving.remove(&id);
        self.going.remove(&id);
        self.holding.remove(&id);
    }

    /// Makes the file's resource the one that records are written under.
    fn open_resource(&mut self, id: u64, file: &Followed) {
        let host = &self.tail.host;
        self.bodies.open(id, |attrs| file.resource(attrs, host));
    }

    /// Ends records that have been waiting long enough for lines that belong to them.
    fn cut_waiting(&mut self) {
        let Some(since) = Instant::now().checked_sub(RECORD_AGE) else { return };
        let waits = |id: &&u64| {
            !self.leaving.contains(id) && self.files.get(id).is_some_and(|file| file.waits_since(since))
        };
        let waiting: Vec<u64> = self.holding.iter().filter(waits).copied().collect();
        for id in waiting {
            let Some(mut file) = self.files.remove(&id) else { continue };
            self.open_resource(id, &file);
            let before = file.counts();
            file.cut(now(), &mut self.bodies);
            self.unsaved |= std::mem::take(&mut file.unsaved);
            file.stats.count(&before, &file.counts());
            self.keep(id, file);
        }
    }

    /// Puts a file back after it was read.
    fn keep(&mut self, id: u64, file: Followed) {
        match file.is_holding() {
            true => self.holding.insert(id),
            false => self.holding.remove(&id),
        };
        self.files.insert(id, file);
    }

    /// Hands the body over as a batch. Waits while the queue is full: so back-pressure reaches the files. Those that come up meanwhile are
    /// opened, so that they can still be read when they have been renamed or removed.
    fn seal(&mut self) {
        if self.bodies.is_empty() {
            return;
        }
        if self.unsaved && !self.save() {
            return;
        }
        self.sealed = Instant::now();
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
        let files = origins.iter().map(|(id, origin)| (*id, origin.range.end)).collect();
        let part = |signal, Written { body, records, files }: Written| {
            let of_files = origins.iter().filter(|(id, _)| files.contains(id));
            let origins: Vec<Origin> = of_files.map(|(_, origin)| origin.clone()).collect();
            let route = origins.first().map_or(0, |first| xxh3_64(&first.incarnation.to_bytes()));
            Part { batch: Batch { signal, origins, route, arrived: now(), body }, records }
        };
        let spans = spans.map(|spans| part(Signal::Spans, spans));
        let sealed = Sealed { logs: part(Signal::Logs, logs), spans, files };
        self.tail.stats.queued_batches.inc();
        self.hand_over(sealed);
    }

    fn hand_over(&mut self, mut sealed: Sealed) {
        let mut stopping: Option<Instant> = None;
        while let Some(queue) = &self.queue {
            match queue.try_send(sealed) {
                Ok(()) => return,
                Err(TrySendError::Full(back)) => sealed = back,
                // Delivery has ended for good; the files keep what was not taken.
                Err(TrySendError::Closed(_)) => {
                    self.queue = None;
                    return;
                }
            }
            if self.stop.is_cancelled() && stopping.get_or_insert_with(Instant::now).elapsed() >= DRAIN {
                return;
            }
            if let Ok(delivered) = self.delivered.recv_timeout(PAUSE) {
                self.take(delivered);
            }
            self.look();
        }
    }

    /// What is known of the files that are followed, and of those that were.
    fn ledger(&self) -> Vec<SourceLedger> {
        let gone = self.tail.saved.iter().filter_map(|saved| {
            Some(SourceLedger {
                path: saved.path.clone(),
                incarnation: saved.incarnation.parse().ok()?,
                read: saved.acked,
                acknowledged: saved.acked,
                holes: saved.holes.clone(),
            })
        });
        self.files.values().map(Followed::ledger).chain(gone).collect()
    }

    /// Writes the checkpoint. False if that failed.
    fn save(&mut self) -> bool {
        self.tail.stats.ledger.publish(self.ledger());
        let live = self.files.values().map(Followed::saved);
        let files: Vec<Saved> = live.chain(self.tail.saved.iter().cloned()).collect();
        let mut files: Vec<Saved> = files;
        files.sort_by(|a, b| (&a.path, &a.incarnation).cmp(&(&b.path, &b.incarnation)));
        files.dedup_by(|b, a| a.incarnation == b.incarnation);
        match self.tail.checkpoints.save(files) {
            Ok(()) => {
                self.unsaved = false;
                self.tail.health.good(CHECKPOINT);
                true
            }
            Err(error) => {
                self.tail.stats.errors.inc();
                // It is tried again soon: what stands is said once.
                if self.tail.health.trouble(CHECKPOINT).is_none() {
                    tracing::error!(%error, "can't write the checkpoint; no new file is read until that works");
                }
                self.tail.health.bad(CHECKPOINT, format!("can't be written: {error}"));
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
        self.due.look = false;
        let mut seen = HashSet::new();
        let mut folders = BTreeMap::new();
        let mut closed = Vec::new();
        self.met.clear();
        for (id, file) in &self.files {
            self.met.entry(file.path.clone()).or_default().push(*id);
        }
        let mut found: Vec<(&Source, PathBuf)> = Vec::new();
        for source in &sources {
            found.extend(source.find(&mut folders, &mut closed).into_iter().map(|path| (source, path)));
        }
        // A file that is still there comes first: a copy of it, or another one that begins alike, must not take its life.
        let saved: HashSet<_> = self.tail.saved.iter().map(|s| (s.device, s.inode)).collect();
        let key = |path: &Path| fs::metadata(path).ok().map(|metadata| identity::key(&metadata));
        let (own, other): (Vec<_>, Vec<_>) = match saved.is_empty() {
            true => (Vec::new(), found),
            false => {
                found.into_iter().partition(|(_, path)| key(path).is_some_and(|key| saved.contains(&key)))
            }
        };
        self.elsewhere =
            own.iter().filter_map(|(_, path)| key(path)).filter(|key| saved.contains(key)).collect();
        for (source, path) in own.into_iter().chain(other) {
            match self.meet(source, &path, first) {
                Ok(Some(id)) => _ = seen.insert(id),
                Ok(None) => {}
                // It was removed between the look into the folder and this one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    closed.push((path, error));
                }
            }
        }
        self.tail.sources = sources;
        self.complain(closed);
        self.by_path.clear();
        for (id, file) in &mut self.files {
            file.gone = !seen.contains(id) && !still_there(file);
            if file.gone {
                self.going.insert(*id);
                continue;
            }
            if self.leaving.contains(id) {
                continue;
            }
            self.going.remove(id);
            for path in [Some(&file.path), file.target.as_ref()].into_iter().flatten() {
                self.by_path.insert(path.clone(), *id);
            }
            if let Some(folder) = file.target.as_deref().and_then(Path::parent)
                && let Ok(metadata) = fs::metadata(folder)
            {
                folders.insert(folder.to_owned(), identity::key(&metadata));
            }
        }
        if self.watch.set(&folders) {
            // Before the watch stood something may have happened that nothing told.
            self.due.look = true;
            self.due.sweep = Instant::now();
        }
        self.tail.stats.unwatched_folders.set(self.watch.unwatched() as i64);
        if self.unsaved || first {
            self.save();
        }
    }

    /// Says which files and folders can't be read, each once in the log.
    fn complain(&mut self, closed: Vec<(PathBuf, io::Error)>) {
        match &closed[..] {
            [] => self.tail.health.good("files"),
            all => {
                let named =
                    all.iter().take(NAMED).map(|(path, error)| format!("{}: {error}", path.display()));
                let named = named.collect::<Vec<_>>().join("; ");
                let what = format!("{} files or folders can't be read: {named}", all.len());
                self.tail.health.bad("files", what);
            }
        }
        for (path, error) in &closed {
            self.tail.stats.errors.inc();
            if !self.closed.contains(path) {
                tracing::warn!(path = %path.display(), %error, "can't be read; it is tried again and again, and then read from its beginning");
            }
        }
        self.closed = closed.into_iter().map(|(path, _)| path).collect();
    }

    /// Begins to follow a file that is not followed yet.
    fn meet(&mut self, source: &Source, path: &Path, first: bool) -> io::Result<Option<u64>> {
        let metadata = fs::metadata(path)?;
        let key = identity::key(&metadata);
        self.elsewhere.remove(&key);
        if let Some(id) = self.known.get(&key) {
            if self.files.get_mut(id).is_some_and(|file| file.seen(path, &metadata)) {
                self.turns.push(*id);
            }
            return Ok(Some(*id));
        }
        let file = File::open(path)?;
        if let Some(id) = self.replaced(path, &file)?
            && let Some(live) = self.files.get_mut(&id)
        {
            self.known.remove(&live.key);
            live.move_to(file, &metadata);
            self.known.insert(key, id);
            self.turns.push(id);
            return Ok(Some(id));
        }
        let life = match self.recognise(path, key, &file)? {
            Recognised::Another => return Ok(None),
            Recognised::Known(life) => *life,
            Recognised::New => {
                self.unsaved = true;
                Life::new(if first && source.start == Start::End && !identity::is_gzip(path) {
                    metadata.len()
                } else {
                    0
                })
            }
        };
        let followed = Followed::open(source, path, &metadata, file, life)?;
        self.next_id += 1;
        self.known.insert(key, self.next_id);
        self.met.entry(path.to_owned()).or_default().push(self.next_id);
        self.files.insert(self.next_id, followed);
        self.turns.push(self.next_id);
        self.changed = true;
        Ok(Some(self.next_id))
    }

    /// The followed file whose name this one has taken, if it holds all that was read of it: an editor wrote it anew.
    fn replaced(&self, path: &Path, file: &File) -> io::Result<Option<u64>> {
        for id in self.met.get(path).into_iter().flatten().filter(|id| !self.leaving.contains(id)) {
            let Some(live) = self.files.get(id) else { continue };
            // A rotated file still has a name.
            if live.is_removed_and_read()? {
                let saved = live.saved();
                if saved.read > 0 && identity::is_same(&saved, file)? {
                    return Ok(Some(*id));
                }
            }
        }
        Ok(None)
    }

    fn recognise(&mut self, path: &Path, key: (u64, u64), file: &File) -> io::Result<Recognised> {
        let gzip = identity::is_gzip(path);
        let fits =
            |saved: &Saved| if gzip { identity::holds(saved, file) } else { identity::is_same(saved, file) };
        // A copy or compressed form of a file that is being followed: that one will be read to its end.
        let names = identity::names_before_rotation(path);
        let ids = names.iter().filter_map(|name| self.met.get(name)).flatten();
        for live in ids.filter_map(|id| self.files.get(id)) {
            let saved = live.saved();
            if saved.read > 0 && (fits(&saved)? || !gzip && live.is_copied_to(file)?) {
                return Ok(Recognised::Another);
            }
        }
        // Its own life before that of another file, which may begin alike. What is not compressed needs the name of a copy for that.
        let own = |saved: &Saved| (saved.device, saved.inode) == key;
        let saved = &self.tail.saved;
        let may_be =
            |saved: &Saved| saved.read > 0 && (gzip || saved.path == path || names.contains(&saved.path));
        let mut order: Vec<usize> = (0..saved.len()).filter(|at| own(&saved[*at])).collect();
        order.extend((0..saved.len()).filter(|at| !own(&saved[*at]) && may_be(&saved[*at])));
        for at in order {
            let saved = &self.tail.saved[at];
            if !fits(saved)? {
                continue;
            }
            if self.elsewhere.contains(&(saved.device, saved.inode)) {
                return Ok(Recognised::Another);
            }
            if let Some(life) = Life::of(saved) {
                self.tail.saved.remove(at);
                return Ok(Recognised::Known(Box::new(life)));
            }
        }
        Ok(Recognised::New)
    }
}

/// What a file that turned up is.
enum Recognised {
    New,
    /// A life that was known before.
    Known(Box<Life>),
    /// A copy of a file that is followed already.
    Another,
}

/// Whether the file's name still means this file.
fn still_there(file: &Followed) -> bool {
    fs::metadata(&file.path).is_ok_and(|metadata| identity::key(&metadata) == file.key)
}
