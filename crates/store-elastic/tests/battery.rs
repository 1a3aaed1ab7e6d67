//! The store's battery on real engines, and every filter against the store in memory.

#[path = "store/config.rs"]
mod config;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use config::config;
use weir_model::Signal;
use weir_model::filter::Filter;
use weir_store::conformance::{self, Engine, LOG_FILTERS, SPAN_FILTERS, Store, agree, sample};
use weir_store::memory::MemoryStore;
use weir_store::{Reader, TimeRange};
use weir_store_elastic::ElasticStore;
use weir_testkit::search::{Engine as Server, SearchServer};
use weir_transport::{Batch, Epoch, Lane, Position};

/// Stores in one engine, each under a prefix of its own.
struct Stores {
    url: String,
    next: AtomicU64,
    /// Prefixes of the stores that were made, by their addresses.
    prefixes: Mutex<HashMap<usize, String>>,
}

fn address(store: &Arc<dyn Store>) -> usize {
    Arc::as_ptr(store).cast::<()>() as usize
}

impl Stores {
    fn new(server: &SearchServer) -> Self {
        Self { url: server.url(), next: AtomicU64::new(0), prefixes: Mutex::default() }
    }

    async fn open(&self, prefix: String) -> Arc<dyn Store> {
        let store = ElasticStore::open(&config(&self.url, &prefix)).await;
        let store: Arc<dyn Store> = Arc::new(store.unwrap_or_else(|error| panic!("{error}")));
        self.prefixes.lock().unwrap().insert(address(&store), prefix);
        store
    }
}

#[async_trait]
impl Engine for Stores {
    async fn create(&self) -> Arc<dyn Store> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        self.open(format!("store{n}")).await
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        let prefix = self.prefixes.lock().unwrap().remove(&address(&store)).expect("one of these");
        drop(store);
        self.open(prefix).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_engine_passes_the_battery() {
    for engine in Server::all() {
        println!("{}", engine.name());
        let server = SearchServer::start(&engine, &[]);
        let stores = Stores::new(&server);
        conformance::run(&stores).await;
        every_filter_agrees_with_the_store_in_memory(&stores).await;
    }
}

/// Writes the same to both.
async fn write(stores: [&dyn Store; 2], position: u64, batch: &Batch) {
    let lane = Lane { signal: batch.signal, partition: 0 };
    let mut reports = Vec::new();
    for store in stores {
        let report = store.write(lane, Epoch(1), &[(Position(position), batch.clone())]).await.unwrap();
        reports.push((report.stored, report.duplicate, report.refused));
    }
    assert_eq!(reports[0], reports[1]);
}

async fn every_filter_agrees_with_the_store_in_memory(stores: &Stores) {
    let (memory, mut store) = (MemoryStore::new(), stores.create().await);
    let logs = LOG_FILTERS.iter().map(|text| (Signal::Logs, *text));
    let spans = SPAN_FILTERS.iter().map(|text| (Signal::Spans, *text));
    let filters: Vec<_> =
        logs.chain(spans).map(|(signal, text)| (signal, Filter::parse(text).unwrap())).collect();
    let ranges =
        [TimeRange::ALL, TimeRange { from: 1_030, to: 1_100 }, TimeRange { from: 1_003_000, to: 1_009_500 }];
    let mut batches = Vec::new();
    for n in 0..4 {
        for batch in [sample::logs(n * 25, n * 25 + 25), sample::spans(n * 5, n * 5 + 5)] {
            write([&memory, store.as_ref()], n, &batch).await;
            batches.push(batch);
        }
        if n == 1 {
            store.sync(Signal::Logs).await.unwrap();
            store.sync(Signal::Spans).await.unwrap();
            store = stores.reopen(store).await;
        }
    }
    let (expect, found) = (memory.snapshot().await.unwrap(), store.snapshot().await.unwrap());
    agree(expect.as_ref(), found.as_ref(), &batches, &filters, &ranges, "on a search engine").await;
}
