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

/// A store that counts its commits.
#[derive(Default)]
struct Counted {
    store: MemoryStore,
    commits: AtomicU64,
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
        self.store.write(lane, epoch, batches).await
    }

    async fn sync(&self, signal: Signal) -> Result<Vec<(Lane, Position)>, WriteError> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.store.sync(signal).await
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

#[tokio::test]
async fn nothing_is_committed_before_they_are_kept() {
    let log = MemoryLog::new(LANE);
    let refused = Groups::new(&batch().body).count() as u64;
    log.send(batch()).await.unwrap();
    let shelf = Arc::new(Shelf::default());
    for works in [false, true] {
        shelf.works.store(works, Ordering::Relaxed);
        shelf.asked.store(0, Ordering::Relaxed);
        // As after a crash, each time: what was not committed is delivered again.
        let store = Arc::new(Counted::default());
        let receivers: Vec<(Signal, Box<dyn Receiver>)> = vec![(Signal::Spans, Box::new(log.receiver()))];
        let policy = Policy { commit_every: Duration::from_millis(10), commit_bytes: 1 };
        let dead_letters: Option<Arc<dyn DeadLetters>> = Some(shelf.clone());
        let collector =
            build(receivers, store.clone(), dead_letters, policy, &Metrics::default(), Health::default());
        let stats = collector.stats();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(collector.run(shutdown.clone()));
        let wanted = || match works {
            false => shelf.asked.load(Ordering::Relaxed) >= 3,
            true => store.commits.load(Ordering::Relaxed) > 0,
        };
        let waiting = async {
            while !wanted() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it comes");
        shutdown.cancel();
        running.await.expect("no panic").expect("no error");
        let kept = shelf.letters.lock().unwrap().len() as u64;
        assert_eq!(stats.counts(Signal::Spans).dead_letters, kept);
        assert_eq!(stats.counts(Signal::Spans).refused, refused);
        match works {
            false => assert_eq!((store.commits.load(Ordering::Relaxed), kept), (0, 0)),
            true => assert_eq!(kept, 1),
        }
    }
    let letters = shelf.letters.lock().unwrap();
    let letter = &letters[0];
    assert_eq!((letter.lane, letter.position, letter.records), (LANE, Position(0), refused));
    assert_eq!(letter.cause, WITHOUT_IDS);
    let records: Vec<_> =
        Groups::new(&letter.body).flat_map(|group| group.records().collect::<Vec<_>>()).collect();
    assert_eq!(records.len() as u64, refused);
    assert!(records.iter().all(|record| record.ends_with(b"no ids")), "the refused ones and no others");
}
