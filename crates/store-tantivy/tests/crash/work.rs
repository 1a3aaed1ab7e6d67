//! The workload: a sender, the disk log, the collector's part and the store, all on one simulated disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir_disk::Disk;
use weir_disk::sim::SimDisk;
use weir_model::Signal;
use weir_store::conformance::sample;
use weir_store::{Agg, Matchers, Reader, RecordQuery, Table, TimeRange, Total, Writer};
use weir_store_tantivy::{Clock, Settings, TantivyStore};
use weir_transport::disk_log::{self, DiskLog, DiskLogReceiver, DiskLogSender};
use weir_transport::{Batch, Event, Lane, Position, Receiver, Sender};

/// Batches, and records of each: small, so that the workload has few steps and yet meets everything.
const BATCHES: u64 = 14;
const RECORDS: u64 = 4;
/// The batch from which on time is beyond the retention of all that came before.
const LATER: u64 = 11;
const RETAIN: u64 = 1_000;
/// When the work begins, seconds.
const NOW: u64 = 1_000;
/// How often a call is repeated that fails although there is power.
const ATTEMPTS: usize = 5;

/// What stays when the machine stops: what the sender has to send, and how far it was told that this is durable.
pub(crate) struct Work {
    signal: Signal,
    batches: Vec<Batch>,
    acknowledged: usize,
    now: Arc<AtomicU64>,
    /// The log may have forgotten everything below.
    forgotten: Position,
}

/// A call on a disk without power.
struct NoPower;

impl Work {
    pub(crate) fn new(signal: Signal) -> Self {
        let batches = (0..BATCHES)
            .map(|n| {
                // Each fifth batch brings again what the one before it brought in part.
                let from = if n % 5 == 4 { n * RECORDS - 2 } else { n * RECORDS };
                match signal {
                    Signal::Spans => sample::spans(from, (n + 1) * RECORDS),
                    Signal::Metrics => sample::points(from, (n + 1) * RECORDS),
                    _ => sample::logs(from, (n + 1) * RECORDS),
                }
            })
            .collect();
        Self { signal, batches, acknowledged: 0, now: Arc::new(AtomicU64::new(NOW)), forgotten: Position(0) }
    }

    fn open(&self, sim: &SimDisk) -> Result<TantivyStore, String> {
        let settings = Settings {
            shard_records: 26,
            merge_segments: 4,
            retain_age: Duration::from_secs(RETAIN),
            points_chunk_age: Duration::from_secs(2),
            points_file_bytes: 300,
            clock: Clock::Manual(self.now.clone()),
            ..Settings::default()
        };
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        TantivyStore::open(disk, Path::new("/data/store"), settings).map_err(|error| error.to_string())
    }

    fn open_log(&self, sim: &SimDisk, first: Position) -> Result<Arc<DiskLog>, String> {
        let settings = disk_log::Settings { segment_bytes: 1_500, first, ..disk_log::Settings::default() };
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        DiskLog::open(disk, Path::new("/data/log"), self.signal, settings).map_err(|error| error.to_string())
    }

    /// Sends and stores all that is left, with one restart in the middle. False when the power has failed.
    pub(crate) async fn go_on(&mut self, sim: &SimDisk) -> bool {
        let middle = self.batches.len() / 2;
        for until in [middle, self.batches.len()] {
            match self.session(sim, until).await {
                Ok(()) => {}
                Err(NoPower) => return false,
            }
        }
        !sim.crashed()
    }

    /// One life of the process.
    async fn session(&mut self, sim: &SimDisk, until: usize) -> Result<(), NoPower> {
        let store = again(sim, || self.open(sim))?;
        // What a life before left full is sealed first, for the same reason as in `commit`.
        store.wait_until_sealed(self.signal).await;
        let log = again(sim, || self.open_log(sim, store.resume(self.signal)))?;
        let sender = DiskLogSender::start(log.clone()).expect("a thread");
        let mut receiver = DiskLogReceiver::new(log.clone());
        let Ok(Event::Assigned(lane, epoch)) = receiver.next().await else {
            panic!("expected an assignment")
        };
        let from = store.begin(lane, epoch).await.expect("nobody else").unwrap_or_default();
        assert!(from >= self.forgotten, "the store resumes at {from}, but {} was trimmed", self.forgotten);
        receiver.seek(lane, from).await.expect("the log holds what the store wants");
        let mut stored = from;
        loop {
            while stored.0 < log.stats().next {
                let data = match receiver.next().await {
                    Ok(Event::Data(_, _, data)) => data,
                    Err(_) if sim.crashed() => return Err(NoPower),
                    other => panic!("expected data, got {other:?}"),
                };
                stored = data.last().expect("never empty").0.next();
                store.write(lane, epoch, &data).await.expect("writing goes to memory");
                for (lane, position) in self.commit(sim, &store).await? {
                    self.forgotten = self.forgotten.max(position);
                    receiver.done(lane, epoch, position).await.expect("nobody else");
                }
            }
            if self.acknowledged >= until {
                drop((sender, receiver));
                wait_until(|| Arc::strong_count(&log) == 1);
                return Ok(());
            }
            if self.acknowledged as u64 == LATER {
                if sim.crashed() {
                    return Err(NoPower);
                }
                if self.now.load(Ordering::Relaxed) < NOW + RETAIN {
                    let all: Vec<u64> = (0..LATER * RECORDS).collect();
                    assert_eq!(self.found(&store).await, all, "everything is there once");
                }
                self.now.store(NOW + 2 * RETAIN, Ordering::Relaxed);
            }
            self.send(sim, &sender).await?;
        }
    }

    async fn send(&mut self, sim: &SimDisk, sender: &DiskLogSender) -> Result<(), NoPower> {
        self.now.fetch_add(1, Ordering::Relaxed);
        let batch = self.batches[self.acknowledged].clone();
        let mut attempts = 0;
        while let Err(error) = sender.send(batch.clone()).await {
            if sim.crashed() {
                return Err(NoPower);
            }
            attempts += 1;
            assert!(attempts < ATTEMPTS, "sending fails for ever: {error}");
        }
        self.acknowledged += 1;
        Ok(())
    }

    async fn commit(&self, sim: &SimDisk, store: &TantivyStore) -> Result<Vec<(Lane, Position)>, NoPower> {
        let mut attempts = 0;
        loop {
            match store.sync(self.signal).await {
                Ok(lanes) => {
                    // Sealing goes on beside; here one thing happens after the other, so that a step is the same in each run.
                    store.wait_until_sealed(self.signal).await;
                    return if sim.crashed() { Err(NoPower) } else { Ok(lanes) };
                }
                Err(_) if sim.crashed() => return Err(NoPower),
                Err(error) => {
                    attempts += 1;
                    assert!(attempts < ATTEMPTS, "committing fails for ever: {error}");
                }
            }
        }
    }

    /// What was acknowledged is there once, without being delivered again; what is past its retention may be gone.
    pub(crate) async fn check(&self, sim: &SimDisk) {
        let store = self.open(sim).expect("the store opens");
        let found = self.found(&store).await;
        let kept: Vec<u64> = (LATER * RECORDS..BATCHES * RECORDS).collect();
        assert!(found.ends_with(&kept), "everything new is there once: {found:?}");
        assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "nothing is there twice: {found:?}");
    }

    /// Numbers of the lines, or of the traces, that the store holds. Every way of asking gives the same.
    async fn found(&self, store: &TantivyStore) -> Vec<u64> {
        let snapshot = store.snapshot().await.expect("a snapshot");
        let all = RecordQuery { filter: weir_model::filter::Filter::All, range: TimeRange::ALL };
        let mut found = Vec::new();
        let mut records = 0;
        match self.signal {
            Signal::Spans => {
                for n in 0..BATCHES * RECORDS {
                    let spans = snapshot.trace(sample::trace(n)).await.expect("a trace").len() as u64;
                    let row = snapshot.trace_row(sample::trace(n)).await.expect("a row");
                    assert_eq!(row.map_or(0, |row| row.spans), spans, "trace {n}");
                    assert!([0, sample::spans_of(n)].contains(&spans), "{spans} spans of trace {n}");
                    found.extend((spans > 0).then_some(n));
                    records += spans;
                }
            }
            Signal::Metrics => {
                let matchers = Matchers { name: None, attributes: Vec::new() };
                let series = snapshot.select(&matchers, TimeRange::ALL).await.expect("series");
                for series in &series {
                    let numbers: Vec<u64> = series.points.iter().map(|(_, value)| *value as u64).collect();
                    assert!(found.is_empty() || found == numbers, "all series have the same points");
                    found = numbers;
                }
                assert_eq!(series.len() as u64, sample::SERIES);
                return found;
            }
            Signal::Logs => {
                let page = snapshot.logs(&all, 10_000, None).await.expect("a page");
                found.extend(page.items.iter().map(sample::number));
                found.sort_unstable();
                records = found.len() as u64;
            }
        }
        let count = snapshot.aggregate(self.signal, &all, &Agg::Count).await.expect("a count");
        assert_eq!(count, Table::Count(Total { value: records, exact: true }));
        found
    }
}

/// The log's thread ends by itself when its last sender is gone; until then it has the folder.
fn wait_until(done: impl Fn() -> bool) {
    for _ in 0..20_000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("the log's thread does not end");
}

/// Repeats what may fail once.
fn again<R>(sim: &SimDisk, mut call: impl FnMut() -> Result<R, String>) -> Result<R, NoPower> {
    let mut attempts = 0;
    loop {
        match call() {
            Ok(done) => return Ok(done),
            Err(_) if sim.crashed() => return Err(NoPower),
            Err(message) => {
                attempts += 1;
                assert!(attempts < ATTEMPTS, "opening fails for ever: {message}");
            }
        }
    }
}
