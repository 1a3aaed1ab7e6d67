//! Retention by age and by bytes, of whole shards and files, for all three signals.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir_disk::Disk;
use weir_disk::sim::SimDisk;
use weir_model::Signal;
use weir_model::filter::Filter;
use weir_store::conformance::sample;
use weir_store::{Agg, Matchers, Reader, RecordQuery, Table, TimeRange, Writer};
use weir_store_tantivy::{Clock, Settings, TantivyStore};
use weir_transport::{Batch, Epoch, Lane, Position};

const NOW: u64 = 1_700_000_000;
const HOUR: u64 = 3_600;

struct World {
    disk: SimDisk,
    now: Arc<AtomicU64>,
    settings: Settings,
    store: TantivyStore,
    next: u64,
}

impl World {
    fn new(settings: Settings) -> Self {
        let disk = SimDisk::new(1);
        let now = Arc::new(AtomicU64::new(NOW));
        let settings = Settings { clock: Clock::Manual(now.clone()), ..settings };
        let store = open(&disk, &settings);
        Self { disk, now, settings, store, next: 0 }
    }

    fn reopen(self) -> Self {
        let Self { disk, now, settings, store, next } = self;
        drop(store);
        let store = open(&disk, &settings);
        Self { disk, now, settings, store, next }
    }

    fn later(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Stores the next ten records, or points of each series.
    async fn store(&mut self, signal: Signal) {
        let (from, to) = (self.next * 10, self.next * 10 + 10);
        let batch: Batch = match signal {
            Signal::Logs => sample::logs(from, to),
            Signal::Spans => sample::spans(from, to),
            Signal::Metrics => sample::points(from, to),
        };
        let lane = Lane { signal, partition: 0 };
        self.store.write(lane, Epoch(1), &[(Position(self.next), batch)]).await.unwrap();
        self.store.sync(signal).await.unwrap();
        // What is sealed now may be removed with the next commit.
        self.store.wait_until_sealed(signal).await;
        self.store.sync(signal).await.unwrap();
        self.next += 1;
    }

    /// Numbers of the lines, traces or points that are there.
    async fn found(&self, signal: Signal) -> Vec<u64> {
        let snapshot = self.store.snapshot().await.unwrap();
        let all = RecordQuery { filter: Filter::All, range: TimeRange::ALL };
        let mut found = Vec::new();
        match signal {
            Signal::Logs => {
                let page = snapshot.logs(&all, 10_000, None).await.unwrap();
                found.extend(page.items.iter().map(sample::number));
                found.sort_unstable();
                let count = snapshot.aggregate(signal, &all, &Agg::Count).await.unwrap();
                assert!(matches!(count, Table::Count(total) if total.value == found.len() as u64));
            }
            Signal::Spans => {
                for n in 0..self.next * 10 {
                    let spans = snapshot.trace(sample::trace(n)).await.unwrap().len() as u64;
                    let row = snapshot.trace_row(sample::trace(n)).await.unwrap();
                    assert_eq!(row.map_or(0, |row| row.spans), spans, "the trace table forgets too");
                    found.extend((spans > 0).then_some(n));
                }
            }
            Signal::Metrics => {
                let matchers = Matchers { name: None, attributes: Vec::new() };
                let series = snapshot.select(&matchers, TimeRange::ALL).await.unwrap();
                assert!(series.windows(2).all(|pair| pair[0].points == pair[1].points));
                found.extend(
                    series
                        .first()
                        .into_iter()
                        .flat_map(|series| series.points.iter().map(|(_, n)| *n as u64)),
                );
            }
        }
        found
    }
}

fn open(disk: &SimDisk, settings: &Settings) -> TantivyStore {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    TantivyStore::open(disk, Path::new("/store"), settings.clone()).unwrap()
}

/// Bytes of all files below a folder.
fn bytes_below(disk: &SimDisk, dir: &Path) -> u64 {
    let names = disk.list(dir).unwrap();
    let of = |name: &String| {
        let path = dir.join(name);
        match disk.list(&path) {
            Ok(_) => bytes_below(disk, &path),
            Err(_) => disk.open_read(&path).unwrap().len().unwrap(),
        }
    };
    names.iter().map(of).sum()
}

/// A shard goes when its last record arrived too long ago, and not before; the newest stays whatever its age.
#[tokio::test]
async fn shards_and_files_go_when_they_are_old() {
    for signal in Signal::ALL {
        let settings = Settings {
            shard_age: Duration::from_secs(HOUR),
            retain_age: Duration::from_secs(24 * HOUR),
            points_file_age: Duration::from_secs(HOUR),
            points_chunk_age: Duration::from_secs(HOUR / 2),
            ..Settings::default()
        };
        let mut world = World::new(settings);
        // One batch every half hour for two days: each shard holds two or three.
        for n in 0..96 {
            world.store(signal).await;
            world.later(HOUR / 2);
            if n % 20 == 7 {
                world = world.reopen();
            }
        }
        for when in ["as it is", "opened again"] {
            let found = world.found(signal).await;
            let oldest = found[0] / 10;
            let gone: u64 = match signal {
                Signal::Logs => oldest * 10,
                Signal::Spans => (0..oldest * 10).map(sample::spans_of).sum(),
                Signal::Metrics => oldest * 10 * sample::SERIES,
            };
            assert_eq!(world.store.stats(signal).expired, gone, "{signal} {when}: what is gone is counted");
            assert_eq!(found, (oldest * 10..960).collect::<Vec<_>>(), "{signal} {when}: a row without holes");
            // What is younger than a day is there; what is older by more than a shard's span is gone.
            assert!(
                (96 - 48 - 5..=96 - 48).contains(&oldest),
                "{signal} {when}: the oldest is batch {oldest}"
            );
            world = world.reopen();
        }
        world.later(30 * 24 * HOUR);
        world.store(signal).await;
        world.store(signal).await;
        let found = world.found(signal).await;
        assert!(found.len() <= 50 && found.ends_with(&(960..980).collect::<Vec<_>>()), "{signal}: {found:?}");
    }
}

/// Beyond the bound on bytes the oldest shards go, index included; what is on the disk stays near the bound.
#[tokio::test]
async fn the_oldest_go_when_there_are_too_many_bytes() {
    for signal in Signal::ALL {
        const BOUND: u64 = 40_000;
        let settings = Settings {
            shard_records: 60,
            retain_bytes: BOUND,
            points_file_bytes: 400,
            points_chunk_age: Duration::from_secs(60),
            ..Settings::default()
        };
        let mut world = World::new(settings);
        let rounds = if signal == Signal::Metrics { 400 } else { 80 };
        if signal == Signal::Metrics {
            world.settings.retain_bytes = 3_000;
            world = world.reopen();
        }
        for _ in 0..rounds {
            world.store(signal).await;
            world.later(60);
        }
        let bound = world.settings.retain_bytes;
        for when in ["as it is", "opened again"] {
            let found = world.found(signal).await;
            let oldest = found[0];
            assert!(oldest > 0, "{signal} {when}: something is gone");
            assert_eq!(
                found,
                (oldest..rounds * 10).collect::<Vec<_>>(),
                "{signal} {when}: the newest are there"
            );
            let bytes = bytes_below(&world.disk, &Path::new("/store").join(signal.name()));
            assert!(bytes < bound * 2, "{signal} {when}: {bytes} bytes on the disk");
            world = world.reopen();
        }
    }
}
