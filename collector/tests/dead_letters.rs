//! What can't be stored is among the dead letters before anything behind it is committed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use weir_collector::{Policy, build};
use weir_model::Signal;
use weir_model::otlp::{BodyWriter, Groups};
use weir_runtime::{Health, Metrics};
use weir_store::conformance::sample;
use weir_store::memory::MemoryStore;
use weir_store::{Report, WITHOUT_IDS, WriteError, Writer};
use weir_transport::memory::MemoryLog;
use weir_transport::{Batch, DeadLetters, Epoch, Lane, Letter, Position, Receiver, Sender};

const LANE: Lane = Lane { signal: Signal::Spans, partition: 0 };
/// How long a test waits for what must come. Generous: it is only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store that counts what it is asked, and remembers up to where it has committed.
#[derive(Default)]
struct Counted {
    store: MemoryStore,
    writes: AtomicU64,
    committed: AtomicU64,
}

#[async_trait]
impl Writer for Counted {
    async fn begin(&self, lane: Lane, epoch: Epoch) -> Result<Option<Position>, WriteError> {
        self.store.begin(lane, epoch).await
    }

    async fn write(
        &self,
        lane: Lane,
        epoch: Epoch,
        batches: &[(Position, Batch)],
    ) -> Result<Report, WriteError> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.store.write(lane, epoch, batches).await
    }

    async fn sync(&self, signal: Signal) -> Result<Vec<(Lane, Position)>, WriteError> {
        let lanes = self.store.sync(signal).await?;
        let position = lanes.iter().map(|(_, position)| position.0).max();
        self.committed.fetch_max(position.unwrap_or(0), Ordering::Relaxed);
        Ok(lanes)
    }
}

/// Takes letters while it works.
#[derive(Default)]
struct Shelf {
    works: AtomicBool,
    asked: AtomicU64,
    letters: Mutex<Vec<Letter>>,
}

#[async_trait]
impl DeadLetters for Shelf {
    async fn put(&self, letters: &[Letter]) -> Result<(), String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if !self.works.load(Ordering::Relaxed) {
            return Err("a fault of the test".into());
        }
        self.letters.lock().unwrap().extend_from_slice(letters);
        Ok(())
    }
}

fn batch() -> Batch {
    let mut body = BodyWriter::default();
    for group in Groups::new(&sample::spans(3, 5).body) {
        body.raw_resource(group.resource.message());
        body.raw_scope(group.scope.message());
        group.records().for_each(|record| body.raw_record(record));
        body.record(|out| out.bytes(5, b"no ids"));
    }
    sample::batch(Signal::Spans, Vec::new(), body.finish())
}

async fn wait_until(wanted: impl Fn() -> bool) {
    let waiting = async {
        while !wanted() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it comes");
}

/// A collector that reads a log anew, as after a crash, with its store and what stops it.
struct Run {
    store: Arc<Counted>,
    stats: weir_collector::Stats,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Run {
    fn start(log: &MemoryLog, shelf: &Arc<Shelf>, commit_every: Duration) -> Self {
        let store = Arc::new(Counted::default());
        let receivers: Vec<(Signal, Box<dyn Receiver>)> = vec![(Signal::Spans, Box::new(log.receiver()))];
        let policy = Policy { commit_every, commit_bytes: 1 << 20 };
        let (metrics, health) = (Metrics::default(), Health::default());
        let collector = build(receivers, store.clone(), shelf.clone(), policy, &metrics, health);
        let (stats, shutdown) = (collector.stats(), CancellationToken::new());
        Self { store, stats, running: tokio::spawn(collector.run(shutdown.clone())), shutdown }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.expect("no panic").expect("no error");
    }
}

#[tokio::test]
async fn nothing_is_committed_before_they_are_kept() {
    let log = MemoryLog::new(LANE);
    let refused = Groups::new(&batch().body).count() as u64;
    let shelf = Arc::new(Shelf::default());

    // A commit of what came before is due while the letters can't be kept, and when it is to end.
    let run = Run::start(&log, &shelf, Duration::from_millis(200));
    log.send(sample::batch(Signal::Spans, Vec::new(), sample::spans(0, 2).body.to_vec())).await.unwrap();
    wait_until(|| run.store.writes.load(Ordering::Relaxed) == 1).await;
    log.send(batch()).await.unwrap();
    wait_until(|| shelf.asked.load(Ordering::Relaxed) >= 3).await;
    let (store, stats) = (run.store.clone(), run.stats.clone());
    run.stop().await;
    assert!(store.committed.load(Ordering::Relaxed) <= 1, "the second batch is not committed");
    assert_eq!((stats.counts(Signal::Spans).dead_letters, stats.counts(Signal::Spans).refused), (0, refused));

    shelf.works.store(true, Ordering::Relaxed);
    let run = Run::start(&log, &shelf, Duration::from_millis(10));
    wait_until(|| run.store.committed.load(Ordering::Relaxed) == 2).await;
    let counts = run.stats.counts(Signal::Spans);
    assert_eq!((counts.dead_letters, counts.dead_letter_records), (1, counts.refused));
    run.stop().await;
    let letters = shelf.letters.lock().unwrap();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((letter.lane, letter.position, letter.records), (LANE, Position(1), refused));
    assert_eq!(letter.cause, WITHOUT_IDS);
    let records: Vec<_> =
        Groups::new(&letter.body).flat_map(|group| group.records().collect::<Vec<_>>()).collect();
    assert_eq!(records.len() as u64, refused);
    assert!(records.iter().all(|record| record.ends_with(b"no ids")), "the refused ones and no others");
}
