//! The collector's loop between a log and a store that both fail: nothing is lost, nothing is there twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_collector::{Policy, build};
use weir_model::Signal;
use weir_model::filter::Filter;
use weir_runtime::{Health, Metrics};
use weir_store::conformance::sample;
use weir_store::faulty::FaultyStore;
use weir_store::memory::MemoryStore;
use weir_store::{Agg, Reader, RecordQuery, Table, TimeRange, Total};
use weir_transport::conformance::NoLetters;
use weir_transport::faulty::{Faults, FaultyReceiver, FaultySender, Rates};
use weir_transport::memory::MemoryLog;
use weir_transport::{Batch, Lane, Receiver, Sender};

/// How long a test waits for what must come. Generous: it is only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);
const BATCHES: u64 = 40;

/// Sends until it is told that the batch is durable.
async fn send(sender: &dyn Sender, mut batch: Batch) {
    while let Err(error) = sender.send(batch).await {
        batch = *error.batch;
    }
}

async fn count(store: &MemoryStore, signal: Signal) -> u64 {
    let query = RecordQuery { filter: Filter::All, range: TimeRange::ALL };
    let snapshot = store.snapshot().await.expect("a snapshot");
    match snapshot.aggregate(signal, &query, &Agg::Count).await.expect("a count") {
        Table::Count(Total { value, .. }) => value,
        other => panic!("expected a count, got {other:?}"),
    }
}

async fn survives(seed: u64) {
    let store = MemoryStore::new();
    let faults = |n: u64| Faults::new(Rates::ALL, seed * 100 + n);
    let writer = Arc::new(FaultyStore::new(store.clone(), faults(0)));
    let mut receivers: Vec<(Signal, Box<dyn Receiver>)> = Vec::new();
    let mut senders = Vec::new();
    for (n, signal) in (1..).zip([Signal::Logs, Signal::Spans]) {
        let log = MemoryLog::new(Lane { signal, partition: 0 });
        receivers.push((signal, Box::new(FaultyReceiver::new(log.receiver(), faults(n * 10)))));
        senders.push(FaultySender::new(log, faults(n * 10 + 1)));
    }
    let policy = Policy { commit_every: Duration::from_millis(20), commit_bytes: 10_000 };
    let collector =
        build(receivers, writer, Arc::new(NoLetters), policy, &Metrics::default(), Health::default());
    let stats = collector.stats();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(collector.run(shutdown.clone()));
    for n in 0..BATCHES {
        send(&senders[0], sample::logs(n * 5, n * 5 + 5)).await;
        send(&senders[1], sample::spans(n * 2, n * 2 + 2)).await;
    }
    let spans: u64 = (0..BATCHES * 2).map(sample::spans_of).sum();
    let complete = async {
        while count(&store, Signal::Logs).await < BATCHES * 5 || count(&store, Signal::Spans).await < spans {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, complete).await.expect("everything comes");
    shutdown.cancel();
    running.await.expect("no panic").expect("no error");
    assert_eq!(count(&store, Signal::Logs).await, BATCHES * 5, "seed {seed}: nothing is there twice");
    assert_eq!(count(&store, Signal::Spans).await, spans, "seed {seed}: nothing is there twice");
    let all = RecordQuery { filter: Filter::All, range: TimeRange::ALL };
    let snapshot = store.snapshot().await.expect("a snapshot");
    let page = snapshot.logs(&all, 10_000, None).await.expect("a page");
    let numbers: BTreeSet<u64> = page.items.iter().map(sample::number).collect();
    assert_eq!(numbers, (0..BATCHES * 5).collect(), "seed {seed}: each line is there");
    assert_eq!(stats.counts(Signal::Logs).lost_batches, 0);
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_is_there_twice() {
    let seeds: Vec<_> = (0..8).map(|seed| tokio::spawn(survives(seed))).collect();
    for seed in seeds {
        seed.await.expect("survived");
    }
}
