//! The loop that finds files, reads them in turns, makes batches and keeps the checkpoint.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use weir_disk::Disk;
use weir_runtime::Health;
use weir_transport::Senders;

use super::bodies::Bodies;
use super::deliver::{Delivered, Sealed, deliver};
use super::discover::Source;
use super::file::{Followed, Turn};
use super::turns::Turns;
use super::watch::{FOLDERS, Wake, Watch};
use super::{LINE_BYTES, TURN_BYTES};
use crate::checkpoint::{Checkpoints, Saved};
use crate::config::Config;
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
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// Batches that wait for delivery.
const QUEUE: usize = 4;
/// How long a shutdown waits for what is under way.
pub(super) const DRAIN: Duration = Duration::from_secs(5);
/// Lives of files that are gone and may come back under another name, compressed or not.
const ORPHANS: usize = 10_000;

/// The checkpoint as health names it.
const CHECKPOINT: &str = "checkpoint";

/// The tail, ready to run.
pub(crate) struct Tail {
    pub(super) sources: Vec<Source>,
    pub(super) checkpoints: Checkpoints,
    pub(super) saved: Vec<Saved>,
    /// The data folder is new: files that exist now were there before it.
    pub(super) fresh: bool,
    pub(super) host: String,
    pub(super) stats: Arc<TailStats>,
    pub(super) health: Health,
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
                unacknowledged: VecDeque::new(),
                delivered,
                unsaved: false,
                closed: HashSet::new(),
                changed: false,
                touched: HashSet::new(),
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

pub(super) struct Tailer {
    pub(super) tail: Tail,
    pub(super) files: HashMap<u64, Followed>,
    pub(super) next_id: u64,
    /// File of each device and inode.
    pub(super) known: HashMap<(u64, u64), u64>,
    /// The files under each path, also those that have lost it, as of the last look.
    pub(super) met: HashMap<PathBuf, Vec<u64>>,
    /// Saved files that were seen, but were under another name when they should have been opened: the next look will find them.
    pub(super) elsewhere: HashSet<(u64, u64)>,
    pub(super) stop: CancellationToken,
    /// Files that are read no more, and wait for the acknowledgement of what was sent.
    pub(super) leaving: HashSet<u64>,
    pub(super) bodies: Bodies,
    /// When a batch was handed over last.
    pub(super) sealed: Instant,
    pub(super) queue: Option<mpsc::Sender<Sealed>>,
    /// When each batch was made that was handed over and is not acknowledged, oldest first.
    pub(super) unacknowledged: VecDeque<u64>,
    pub(super) delivered: blocking::Receiver<Delivered>,
    /// A life began, or something was decided or read by which a file is recognised, that the checkpoint does not know: nothing may be sent
    /// before it does.
    pub(super) unsaved: bool,
    /// Files and folders that can't be read.
    pub(super) closed: HashSet<PathBuf>,
    /// Something happened since the checkpoint was written.
    pub(super) changed: bool,
    /// Files of which the checkpoint may not know everything.
    pub(super) touched: HashSet<u64>,
    pub(super) wake: Arc<Wake>,
    pub(super) watch: Watch,
    /// Files by the paths of which something may be heard.
    pub(super) by_path: HashMap<PathBuf, u64>,
    pub(super) turns: Turns,
    /// Files whose name is gone or that are read no more: they are looked at every [`PAUSE`].
    pub(super) going: HashSet<u64>,
    /// Files with a record that waits for further lines.
    pub(super) holding: HashSet<u64>,
    pub(super) due: Due,
}

/// When what is done now and then is to be done next.
pub(super) struct Due {
    pub(super) scan: Instant,
    /// Names have changed, so that new files are looked for before the next scan, but not before `may_look`.
    pub(super) look: bool,
    pub(super) may_look: Instant,
    pub(super) sweep: Instant,
    /// Files that are going have a turn.
    pub(super) poll: Instant,
    pub(super) save: Instant,
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

impl Tailer {
    fn run(mut self) {
        let mut buf = vec![0; LINE_BYTES + TURN_BYTES];
        self.tail.saved.iter().filter_map(gone).for_each(|gone| self.tail.stats.ledger.put(gone));
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
    pub(super) fn look(&mut self) {
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
            Ok(Turn::Cut) => {
                tracing::info!(path = %file.path.display(), incarnation = %file.incarnation, "the file was cut and begins anew");
            }
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
                self.touched.insert(id);
                self.files.insert(id, file);
                return;
            }
        }
        tracing::debug!(path = %file.path.display(), incarnation = %file.incarnation, acknowledged = file.acked, "a file is let go");
        self.leaving.remove(&id);
        self.going.remove(&id);
        self.holding.remove(&id);
        // A copy of it goes on where it was left.
        self.due.look = true;
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
        self.touched.insert(id);
        self.files.insert(id, file);
    }

    /// Writes the checkpoint. False if that failed.
    pub(super) fn save(&mut self) -> bool {
        for file in self.touched.drain().filter_map(|id| self.files.get(&id)) {
            self.tail.stats.ledger.put(file.ledger());
            self.tail.checkpoints.put(file.saved());
        }
        match self.tail.checkpoints.save() {
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
            let oldest = self.tail.saved.remove(0);
            self.tail.checkpoints.forget(&oldest.incarnation);
            if let Some(oldest) = gone(&oldest) {
                self.tail.stats.ledger.forget(oldest.incarnation);
            }
        }
        if let Some(gone) = gone(&saved) {
            self.tail.stats.ledger.put(gone);
        }
        self.tail.checkpoints.put(saved.clone());
        self.tail.saved.push(saved);
    }
}

/// What the ledger says of a file that is followed no more.
fn gone(saved: &Saved) -> Option<SourceLedger> {
    Some(SourceLedger {
        path: saved.path.clone(),
        incarnation: saved.incarnation.parse().ok()?,
        read: saved.acked,
        acknowledged: saved.acked,
        holes: saved.holes.clone(),
    })
}
