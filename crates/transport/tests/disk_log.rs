//! The disk log: the battery, and what a crash at any step leaves.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use proptest::prelude::*;
use weir_disk::sim::SimDisk;
use weir_disk::{Disk, RealDisk};
use weir_model::Signal;
use weir_transport::conformance::{numbered, run, take};
use weir_transport::disk_log::{DiskLog, DiskLogReceiver, DiskLogSender, OpenError, Settings, check};
use weir_transport::faulty::{Faults, FaultyReceiver, FaultySender, Rates};
use weir_transport::memory::MemoryLog;
use weir_transport::{Batch, Cause, Event, Lane, Position, Receiver, SendError, SendErrorKind, Sender};

const LANE: Lane = Lane { signal: Signal::Spans, partition: 0 };

fn open(disk: &Arc<dyn Disk>, dir: &Path, settings: Settings) -> Arc<DiskLog> {
    DiskLog::open(disk.clone(), dir, Signal::Spans, settings).unwrap()
}

fn small() -> Settings {
    Settings { segment_bytes: 600, ..Settings::default() }
}

#[tokio::test]
async fn the_disk_log_passes_the_battery() {
    // Also where readers find the last few batches in memory, or all of them.
    for recent_bytes in [0, 200, 1 << 20] {
        let folder = tempfile::tempdir().unwrap();
        let real: Arc<dyn Disk> = Arc::new(RealDisk);
        let log = open(&real, &folder.path().join("log"), Settings { recent_bytes, ..small() });
        let sender = DiskLogSender::start(log.clone()).unwrap();
        run(Signal::Spans, &sender, || DiskLogReceiver::new(log.clone())).await;
        assert!(log.stats().segments > 2, "the battery rolls: {:?}", log.stats());
    }
}

#[tokio::test]
async fn the_log_in_memory_passes_the_battery() {
    let log = MemoryLog::new(LANE);
    run(Signal::Spans, &log, || log.receiver()).await;
}

#[tokio::test]
async fn the_battery_passes_through_faults() {
    for seed in 0..20 {
        let faults = |n: u64| Faults::new(Rates::PASSING, seed * 100 + n);
        let memory = MemoryLog::new(LANE);
        let sender = FaultySender::new(memory.clone(), faults(0));
        run(Signal::Spans, &sender, || FaultyReceiver::new(memory.receiver(), faults(1))).await;
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(seed));
        let recent_bytes = [0, 200, 1 << 20][seed as usize % 3];
        let log = open(&disk, Path::new("/log"), Settings { recent_bytes, ..small() });
        let sender = FaultySender::new(DiskLogSender::start(log.clone()).unwrap(), faults(2));
        run(Signal::Spans, &sender, || FaultyReceiver::new(DiskLogReceiver::new(log.clone()), faults(3)))
            .await;
    }
}

async fn read_all(log: &Arc<DiskLog>) -> Vec<(Position, Batch)> {
    let stats = log.stats();
    let mut receiver = DiskLogReceiver::new(log.clone());
    assert!(matches!(receiver.next().await, Ok(Event::Assigned(..))));
    receiver.seek(LANE, Position(stats.oldest)).await.unwrap();
    take(&mut receiver, (stats.next - stats.oldest) as usize).await
}

/// A reader that has read all there is.
async fn at_the_end(log: &Arc<DiskLog>) -> DiskLogReceiver {
    let mut receiver = DiskLogReceiver::new(log.clone());
    receiver.next().await.unwrap();
    receiver.seek(LANE, Position(log.stats().next)).await.unwrap();
    assert_eq!(receiver.next().now_or_never().map(Result::unwrap), None);
    receiver
}

fn numbers(range: Range<u64>) -> Vec<(Position, Batch)> {
    range.map(|n| (Position(n), numbered(Signal::Spans, n))).collect()
}

/// Bytes that they count for in memory.
fn memory(range: Range<u64>) -> usize {
    numbers(range).iter().map(|(_, batch)| batch.body.len() + 48 * batch.origins.len()).sum()
}

async fn send(sender: &DiskLogSender, range: Range<u64>) {
    for n in range {
        sender.send(numbered(Signal::Spans, n)).await.unwrap();
    }
}

/// Makes what is on disk unreadable.
fn destroy(folder: &Path) {
    for segment in check(&RealDisk, folder).unwrap() {
        let path = folder.join(format!("{:020}.seg", segment.first.0));
        let len = std::fs::metadata(&path).unwrap().len() as usize;
        std::fs::write(&path, vec![0; len]).unwrap();
    }
}

#[tokio::test]
async fn a_reader_that_keeps_up_is_handed_what_was_written_from_memory() {
    for (segment_bytes, rolls) in [(600, true), (64 << 20, false)] {
        let folder = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let settings = Settings { segment_bytes, recent_bytes: 1 << 20, ..Settings::default() };
        let log = open(&disk, folder.path(), settings);
        let sender = DiskLogSender::start(log.clone()).unwrap();
        let mut receiver = at_the_end(&log).await;
        send(&sender, 0..20).await;
        assert_eq!(log.stats().segments > 1, rolls);
        destroy(folder.path());
        assert_eq!(take(&mut receiver, 20).await, numbers(0..20));
        // What comes next, and was handed to another, is found on disk right behind it.
        let mut reader = at_the_end(&log).await;
        send(&sender, 20..30).await;
        assert_eq!(take(&mut reader, 10).await, numbers(20..30));
        assert_eq!(take(&mut receiver, 10).await, numbers(20..30));
        // Whoever wants it again reads it from disk, where it is checked.
        reader.seek(LANE, Position(0)).await.unwrap();
        let gap = reader.next().await.unwrap();
        assert!(matches!(gap, Event::Gap(_, _, Cause::Corrupt)), "{gap:?}");
    }
}

#[tokio::test]
async fn a_reader_that_falls_behind_reads_from_disk_until_it_keeps_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let recent_bytes = memory(20..22);
    let log = open(&disk, folder.path(), Settings { recent_bytes, ..small() });
    let sender = DiskLogSender::start(log.clone()).unwrap();
    let mut receiver = at_the_end(&log).await;
    // More than is kept for it: writing goes on without it.
    send(&sender, 0..20).await;
    assert_eq!(take(&mut receiver, 20).await, numbers(0..20));
    assert_eq!(receiver.next().now_or_never().map(Result::unwrap), None);
    send(&sender, 20..22).await;
    destroy(folder.path());
    assert_eq!(take(&mut receiver, 2).await, numbers(20..22));
}

#[tokio::test]
async fn nothing_is_kept_in_memory_for_a_reader_that_is_behind() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let recent_bytes = memory(20..22);
    let log = open(&disk, folder.path(), Settings { recent_bytes, ..Settings::default() });
    let sender = DiskLogSender::start(log.clone()).unwrap();
    let mut receiver = at_the_end(&log).await;
    send(&sender, 0..20).await;
    destroy(folder.path());
    receiver.seek(LANE, Position(19)).await.unwrap();
    let gap = receiver.next().await.unwrap();
    assert!(matches!(gap, Event::Gap(_, _, Cause::Corrupt)), "{gap:?}");
}

/// Files are removed whole, while what waits goes down with every record that the reader is done with.
#[tokio::test]
async fn what_waits_is_what_the_reader_is_not_done_with() {
    for (segment_bytes, recent_bytes) in [(600, 0), (64 << 20, 0), (600, 1 << 20), (64 << 20, 1 << 20)] {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
        let settings = Settings { segment_bytes, recent_bytes, ..Settings::default() };
        let mut log = open(&disk, Path::new("/log"), settings.clone());
        let sender = DiskLogSender::start(log.clone()).unwrap();
        let mut receiver = at_the_end(&log).await;
        let mut ends = vec![0];
        for n in 0..20 {
            send(&sender, n..n + 1).await;
            ends.push(log.stats().bytes);
        }
        drop(sender);
        let waits = |log: &DiskLog, from: u64| {
            let stats = log.stats();
            let bytes = ends[20] - ends[from as usize];
            assert_eq!((stats.waiting, stats.waiting_bytes), (20 - from, bytes), "{from} {segment_bytes}");
            stats.bytes
        };
        assert_eq!(take(&mut receiver, 20).await.len(), 20);
        let mut on_disk = waits(&log, 0);
        for done in [1, 1, 2, 7, 12] {
            receiver.done(LANE, weir_transport::Epoch(1), Position(done)).await.unwrap();
            on_disk = waits(&log, done);
        }
        assert!(on_disk > ends[20] - ends[12], "there is more on disk");
        // Also for a reader that resumes, before it has read anything.
        drop((receiver, log));
        log = loop {
            let settings = Settings { first: Position(12), ..settings.clone() };
            match DiskLog::open(disk.clone(), Path::new("/log"), Signal::Spans, settings) {
                Ok(log) => break log,
                // The writing thread ends.
                Err(_) => tokio::task::yield_now().await,
            }
        };
        assert_eq!(log.stats().waiting, 8);
        let mut receiver = DiskLogReceiver::new(log.clone());
        receiver.next().await.unwrap();
        for from in [15, 12, 20] {
            receiver.seek(LANE, Position(from)).await.unwrap();
            waits(&log, from);
        }
    }
}

#[tokio::test]
async fn a_second_owner_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let _log = open(&disk, folder.path(), small());
    let error = DiskLog::open(disk, folder.path(), Signal::Spans, small()).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
}

#[tokio::test]
async fn a_full_log_says_so_and_takes_again_when_trimmed() {
    // Also one that is smaller than a segment, and where all of it is in memory as well.
    for (segment_bytes, recent_bytes) in [(600, 0), (64 << 20, 0), (600, 1 << 20), (64 << 20, 1 << 20)] {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
        let settings = Settings { segment_bytes, max_bytes: 2_000, recent_bytes, ..Settings::default() };
        let log = open(&disk, Path::new("/log"), settings);
        let sender = DiskLogSender::start(log.clone()).unwrap();
        let mut receiver = at_the_end(&log).await;
        let (n, error) = fill(&sender).await;
        assert!(matches!(error.kind, SendErrorKind::Retry { .. }));
        assert!(error.message.contains("has reached its limit of 2000 bytes"), "{error}");
        receiver.done(LANE, weir_transport::Epoch(1), Position(n)).await.unwrap();
        sender.send(*error.batch).await.unwrap();
        // What was trimmed is reported to a reader that still wants it.
        receiver.seek(LANE, Position(0)).await.unwrap();
        let oldest = Position(log.stats().oldest);
        assert_eq!(receiver.next().await.unwrap(), Event::Gap(LANE, Position(0)..oldest, Cause::Expired));
        assert_eq!(take(&mut receiver, 1).await[0].0, oldest);
    }
}

/// Sends batches until one is not taken. Returns how many were, and why that one was not.
async fn fill(sender: &DiskLogSender) -> (u64, SendError) {
    for n in 0.. {
        if let Err(error) = sender.send(numbered(Signal::Spans, n)).await {
            return (n, error);
        }
    }
    unreachable!("the log is bounded")
}

#[tokio::test]
async fn a_log_with_a_smaller_limit_than_before_takes_again_when_it_was_read() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let reopen = |max_bytes| {
        let log = open(&disk, Path::new("/log"), Settings { max_bytes, ..Settings::default() });
        (log.clone(), DiskLogSender::start(log).unwrap())
    };
    let (log, sender) = reopen(1 << 20);
    for n in 0..100 {
        sender.send(numbered(Signal::Spans, n)).await.unwrap();
    }
    drop((log, sender));
    // The folder is free when the writing thread has ended.
    while DiskLog::open(disk.clone(), Path::new("/log"), Signal::Spans, small()).is_err() {
        tokio::task::yield_now().await;
    }
    let (log, sender) = reopen(1_000);
    assert!(log.stats().bytes > 1_000);
    let mut receiver = DiskLogReceiver::new(log.clone());
    receiver.next().await.unwrap();
    receiver.done(LANE, weir_transport::Epoch(1), Position(100)).await.unwrap();
    sender.send(numbered(Signal::Spans, 100)).await.unwrap();
}

#[tokio::test]
async fn damage_in_the_middle_is_a_counted_gap() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let log = open(&disk, folder.path(), small());
    let sender = DiskLogSender::start(log.clone()).unwrap();
    for n in 0..20 {
        sender.send(numbered(Signal::Spans, n)).await.unwrap();
    }
    let checks = check(&RealDisk, folder.path()).unwrap();
    let (damaged, next) = (checks[1], checks[2].first);
    let path = folder.path().join(format!("{:020}.seg", damaged.first.0));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut receiver = DiskLogReceiver::new(log.clone());
    receiver.next().await.unwrap();
    receiver.seek(LANE, Position(0)).await.unwrap();
    take(&mut receiver, damaged.first.0 as usize).await;
    assert_eq!(receiver.next().await.unwrap(), Event::Gap(LANE, damaged.first..next, Cause::Corrupt));
    assert_eq!(take(&mut receiver, 20 - next.0 as usize).await.len(), 20 - next.0 as usize);
    assert_eq!(log.stats().corrupt_positions, next.0 - damaged.first.0);
    assert!(check(&RealDisk, folder.path()).unwrap()[1].damaged_bytes > 0);
}

#[tokio::test]
async fn a_failing_disk_is_told_and_nothing_acknowledged_is_lost() {
    for step in 0..12 {
        let sim = SimDisk::new(step as u64);
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let log = open(&disk, Path::new("/log"), Settings { recent_bytes: 1 << 20, ..small() });
        let sender = DiskLogSender::start(log.clone()).unwrap();
        let mut follower = at_the_end(&log).await;
        sim.fail_at(sim.steps() + step, libc_enospc());
        let mut acknowledged = Vec::new();
        for n in 0..8 {
            let mut batch = numbered(Signal::Spans, n);
            loop {
                match sender.send(batch).await {
                    Ok(position) => break acknowledged.push((position, numbered(Signal::Spans, n))),
                    Err(error) => {
                        assert!(error.message.contains("can't write to the log /log"), "{error}");
                        batch = *error.batch;
                    }
                }
            }
        }
        assert_eq!(log.stats().failures, 1, "step {step} failed");
        assert_eq!(take(&mut follower, acknowledged.len()).await, acknowledged, "step {step}");
        assert_eq!(read_all(&log).await, acknowledged, "step {step}");
    }
}

fn libc_enospc() -> i32 {
    28
}

/// Appends until the power goes; what was acknowledged, and what was tried.
async fn until_power_fails(log: &Arc<DiskLog>, sim: &SimDisk, from: u64) -> (Vec<(Position, Batch)>, u64) {
    let sender = DiskLogSender::start(log.clone()).unwrap();
    let mut acknowledged = Vec::new();
    let mut n = from;
    loop {
        let batch = numbered(Signal::Spans, n);
        match sender.send(batch.clone()).await {
            Ok(position) => acknowledged.push((position, batch)),
            Err(_) if sim.crashed() => return (acknowledged, n),
            Err(error) => panic!("{error}"),
        }
        n += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    /// Power fails at any step, several times over: every acknowledged record is there, in its order, once.
    #[test]
    fn what_was_acknowledged_survives_a_crash_at_any_step(seed: u64, crashes in prop::collection::vec(0usize..60, 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut sim = SimDisk::new(seed);
            let dir = PathBuf::from("/log");
            let mut expect: Vec<(Position, Batch)> = Vec::new();
            let mut n = 0;
            for steps in crashes {
                let disk: Arc<dyn Disk> = Arc::new(sim.clone());
                sim.crash_at(sim.steps() + steps);
                if let Ok(log) = DiskLog::open(disk, &dir, Signal::Spans, small()) {
                    let (acknowledged, tried) = until_power_fails(&log, &sim, n).await;
                    expect.extend(acknowledged);
                    n = tried;
                }
                sim = sim.restart();
                let disk: Arc<dyn Disk> = Arc::new(sim.clone());
                let log = open(&disk, &dir, small());
                let found = read_all(&log).await;
                prop_assert!(found.starts_with(&expect), "expected {:?}\nfound {:?}", positions(&expect), positions(&found));
                // What was not acknowledged is wholly there or not at all.
                for (position, batch) in &found[expect.len()..] {
                    prop_assert_eq!(batch, &numbered(Signal::Spans, n), "at {}", position);
                }
                n += (found.len() - expect.len()) as u64;
                expect = found;
            }
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    /// Power fails at any step while a reader follows: what it was handed is in the log afterwards, as it was handed.
    #[test]
    fn what_a_reader_was_handed_survives_a_crash(seed: u64, steps in 0usize..60) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let sim = SimDisk::new(seed);
            let disk: Arc<dyn Disk> = Arc::new(sim.clone());
            let log = open(&disk, Path::new("/log"), Settings { recent_bytes: 1 << 20, ..small() });
            let mut receiver = at_the_end(&log).await;
            sim.crash_at(sim.steps() + steps);
            let mut handed = Vec::new();
            let follow = async {
                while let Ok(Event::Data(_, _, batches)) = receiver.next().await {
                    handed.extend(batches);
                }
            };
            let acknowledged = tokio::select! {
                (acknowledged, _) = until_power_fails(&log, &sim, 0) => acknowledged,
                () = follow => unreachable!("the log stays open"),
            };
            let disk: Arc<dyn Disk> = Arc::new(sim.restart());
            let found = read_all(&open(&disk, Path::new("/log"), small())).await;
            prop_assert!(found.starts_with(&handed), "handed {:?}\nfound {:?}", positions(&handed), positions(&found));
            prop_assert!(found.starts_with(&acknowledged));
            Ok(())
        })?;
    }
}

fn positions(records: &[(Position, Batch)]) -> Vec<u64> {
    records.iter().map(|(position, _)| position.0).collect()
}

#[tokio::test]
async fn many_senders_share_a_sync() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let log = open(&disk, folder.path(), Settings::default());
    let sender = DiskLogSender::start(log.clone()).unwrap();
    let sends = (0..200).map(|n| {
        let sender = sender.clone();
        tokio::spawn(async move {
            sender.send(Batch { body: Bytes::from(vec![1; 100]), ..numbered(Signal::Spans, n) }).await
        })
    });
    let sends: Vec<_> = sends.collect();
    for send in sends {
        send.await.unwrap().unwrap();
    }
    let stats = log.stats();
    assert_eq!(stats.appended, 200);
    assert!(stats.syncs < 200, "{} syncs", stats.syncs);
}
