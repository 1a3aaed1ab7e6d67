//! What engines refuse, and what becomes of it: nothing is lost without a word, nothing is doubled.

#[path = "store/config.rs"]
mod config;
#[path = "store/web.rs"]
mod web;

use std::time::{Duration, Instant};

use config::config;
use serde_json::json;
use weir_model::Signal;
use weir_model::filter::Filter;
use weir_model::otlp::{BodyWriter, LogWriter};
use weir_store::conformance::sample;
use weir_store::{Agg, Reader, RecordQuery, Report, StoreErrorKind, Table, TimeRange, WriteError, Writer};
use weir_store_elastic::{Config, ElasticStore};
use weir_testkit::search::{Engine, SearchServer};
use weir_transport::{Batch, Epoch, Lane, Position};

/// How long a test waits for what must come. Generous: it is only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(120);
/// Nanoseconds.
const DAY: u64 = 86_400_000_000_000;

async fn open(config: &Config) -> ElasticStore {
    ElasticStore::open(config).await.unwrap_or_else(|error| panic!("{error}"))
}

fn lane(signal: Signal) -> Lane {
    Lane { signal, partition: 0 }
}

async fn write(store: &ElasticStore, position: u64, batch: &Batch) -> Result<Report, WriteError> {
    store.write(lane(batch.signal), Epoch(1), &[(Position(position), batch.clone())]).await
}

/// Writes as a collector does: again, until it is taken. Returns the report and how often it was refused.
async fn write_at_last(store: &ElasticStore, position: u64, batch: &Batch) -> (Report, usize) {
    let begun = Instant::now();
    for refused in 0.. {
        match write(store, position, batch).await {
            Ok(report) => return (report, refused),
            Err(WriteError::Retry(_)) if begun.elapsed() < PATIENCE => {}
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("the loop has no end")
}

/// How many records a new snapshot has; a node that begins may need a while.
async fn count(store: &ElasticStore, signal: Signal) -> u64 {
    let (begun, query) = (Instant::now(), RecordQuery { filter: Filter::All, range: TimeRange::ALL });
    loop {
        let counted = async { store.snapshot().await?.aggregate(signal, &query, &Agg::Count).await };
        match counted.await {
            Ok(Table::Count(total)) => return total.value,
            Err(error) if error.kind == StoreErrorKind::Retry && begun.elapsed() < PATIENCE => {}
            other => panic!("expected a count, got {other:?}"),
        }
    }
}

/// A line whose body has so many bytes that do not compress.
fn large_line(n: u64, bytes: usize) -> Batch {
    let mut body = BodyWriter::default();
    body.resource(|a| a.str("service.name", "large"));
    body.scope("", "");
    body.record(|out| {
        let mut log = LogWriter::new(out);
        log.time(5 + n);
        let mut state = n + 1;
        let text: String = (0..bytes)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b'a' + ((state >> 33) % 26) as u8)
            })
            .collect();
        log.body(&text);
    });
    sample::batch(Signal::Logs, Vec::new(), body.finish())
}

/// Several batches in one.
fn together(batches: &[Batch]) -> Batch {
    let body = batches.iter().flat_map(|batch| batch.body.to_vec()).collect();
    sample::batch(batches[0].signal, Vec::new(), body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_refuse() {
    for engine in Engine::all() {
        println!("{}", engine.name());
        refuses(&engine).await;
    }
}

/// One server for what it can be told while it runs.
async fn refuses(engine: &Engine) {
    let mut server = SearchServer::start(engine, &[("http.max_content_length", "300kb")]);
    let url = server.url();
    a_full_disk_is_waited_for(&url).await;
    a_closed_index_is_waited_for(&url).await;
    what_does_not_fit_the_mapping_is_refused(&url).await;
    what_is_too_large_is_refused_alone(&url).await;
    an_expired_state_is_told(&url).await;
    if engine.is_opensearch() {
        lists_give_way_before_there_are_too_many(&url).await;
    }
    shards_that_come_are_waited_for(&url).await;
    indices_that_come_are_waited_for(&url).await;
    old_indices_are_deleted(&url).await;
    a_killed_server_loses_and_doubles_nothing(&mut server).await;
}

async fn a_full_disk_is_waited_for(url: &str) {
    let store = open(&config(url, "full")).await;
    write(&store, 0, &sample::logs(0, 10)).await.unwrap();
    let block = |on: bool| json!({ "index.blocks.read_only_allow_delete": on });
    web::put(url, "full-logs-*/_settings", &block(true)).await;
    let error = write(&store, 1, &sample::logs(10, 20)).await.expect_err("refused");
    assert!(
        matches!(&error, WriteError::Retry(message) if message.contains("read-only-allow-delete")),
        "{error}"
    );
    assert_eq!(count(&store, Signal::Logs).await, 10);
    web::put(url, "full-logs-*/_settings", &block(false)).await;
    let (report, _) = write_at_last(&store, 1, &sample::logs(10, 20)).await;
    assert_eq!((report.stored, report.duplicate, report.refused), (10, 0, 0));
    assert_eq!(count(&store, Signal::Logs).await, 20);
}

/// And what was stored beside it is known when the call comes again.
async fn a_closed_index_is_waited_for(url: &str) {
    let store = open(&config(url, "closed")).await;
    let both = together(&[sample::log_at(5), sample::log_at(DAY + 5)]);
    write(&store, 0, &sample::log_at(DAY + 1)).await.unwrap();
    web::post(url, "closed-logs-1970.01.02/_close").await;
    let error = write(&store, 1, &both).await.expect_err("refused");
    assert!(matches!(error, WriteError::Retry(_)), "{error}");
    web::post(url, "closed-logs-1970.01.02/_open").await;
    let (report, _) = write_at_last(&store, 1, &both).await;
    assert_eq!(
        (report.stored, report.duplicate, report.refused),
        (2, 0, 0),
        "the first one counts as stored"
    );
    assert_eq!(count(&store, Signal::Logs).await, 3);
}

async fn what_does_not_fit_the_mapping_is_refused(url: &str) {
    let store = open(&config(url, "mapping")).await;
    // Somebody has made the index by hand.
    let mappings = json!({ "mappings": { "properties": { "service": { "type": "date" } } } });
    web::put(url, "mapping-spans-1970.01.01", &mappings).await;
    let batch = sample::spans(0, 3);
    let report = write(&store, 0, &batch).await.unwrap();
    assert_eq!((report.stored, report.duplicate, report.refused), (0, 0, 3 + 6 + 9));
    let refused = store.refused();
    assert_eq!(refused.values().sum::<u64>(), 18, "{refused:?}");
    assert!(refused.keys().all(|cause| cause.ends_with("_parsing_exception")), "{refused:?}");
    assert_eq!(store.sync(Signal::Spans).await.unwrap(), [(lane(Signal::Spans), Position(1))]);
}

async fn what_is_too_large_is_refused_alone(url: &str) {
    let store = open(&config(url, "large")).await;
    let small = (0..8).map(|n| large_line(n, 60_000));
    let batches: Vec<_> = small.chain([large_line(9, 400_000)]).collect();
    let report = write(&store, 0, &together(&batches)).await.unwrap();
    assert_eq!((report.stored, report.duplicate, report.refused), (8, 0, 1));
    assert_eq!(count(&store, Signal::Logs).await, 8);
}

async fn an_expired_state_is_told(url: &str) {
    let store = open(&config(url, "expired")).await;
    write(&store, 0, &sample::logs(0, 10)).await.unwrap();
    let query = RecordQuery { filter: Filter::All, range: TimeRange::ALL };
    let page = store.snapshot().await.unwrap().logs(&query, 4, None).await.unwrap();
    let cursor = page.next.unwrap();
    write(&store, 1, &sample::logs(10, 20)).await.unwrap();
    // Another process has only the cursor.
    let other = open(&config(url, "expired")).await;
    let rest = other.snapshot_at(&cursor).await.unwrap().logs(&query, 100, Some(&cursor)).await.unwrap();
    let mut found: Vec<_> = page.items.iter().chain(&rest.items).map(sample::number).collect();
    found.sort_unstable();
    assert_eq!(found, (0..10).collect::<Vec<_>>(), "what came later does not show");
}

/// OpenSearch has a limit of how many points in time are open, counted by shards.
async fn lists_give_way_before_there_are_too_many(url: &str) {
    let store = open(&config(url, "many")).await;
    write(&store, 0, &sample::logs(0, 10)).await.unwrap();
    // Room for one: an index of lines, and that of small values.
    let limit = |n: Option<u64>| json!({ "transient": { "search.max_open_pit_context": n } });
    web::put(url, "_cluster/settings", &limit(Some(3))).await;
    let query = RecordQuery { filter: Filter::All, range: TimeRange::ALL };
    let mut cursors = Vec::new();
    for _ in 0..3 {
        let page = store.snapshot().await.unwrap().logs(&query, 4, None).await.unwrap();
        cursors.push(page.next.unwrap());
    }
    for cursor in cursors {
        let rest = store.snapshot_at(&cursor).await.unwrap().logs(&query, 100, Some(&cursor)).await.unwrap();
        assert_eq!(rest.items.iter().map(sample::number).collect::<Vec<_>>(), [5, 4, 3, 2, 1, 0]);
    }
    web::put(url, "_cluster/settings", &limit(None)).await;
}

/// An index whose shard has no node yet, as one has that is being made: a query waits for it rather than fail, or answer without it.
async fn shards_that_come_are_waited_for(url: &str) {
    let store = open(&config(url, "coming")).await;
    write(&store, 0, &sample::logs(0, 10)).await.unwrap();
    let needs = |node: Option<&str>| json!({ "index.routing.allocation.require._name": node });
    let index = json!({ "settings": needs(Some("nobody")) });
    web::put(url, "coming-logs-2020.01.01?wait_for_active_shards=0", &index).await;
    let query = RecordQuery { filter: Filter::All, range: TimeRange::ALL };
    let refused = store.snapshot().await.map(|_| ()).expect_err("it does not come");
    assert_eq!(refused.kind, StoreErrorKind::Retry, "{refused}");
    assert!(refused.message.contains("a shard that no node has"), "{refused}");
    let needs_none = needs(None);
    let (asked, ()) =
        tokio::join!(store.snapshot(), web::put(url, "coming-logs-2020.01.01/_settings", &needs_none));
    let counted = asked.unwrap().aggregate(Signal::Logs, &query, &Agg::Count).await.unwrap();
    assert!(matches!(counted, Table::Count(total) if total.value == 10), "{counted:?}");
}

/// An index that is not there yet, as on an engine that has just started.
async fn indices_that_come_are_waited_for(url: &str) {
    let store = open(&config(url, "absent")).await;
    write(&store, 0, &sample::logs(0, 10)).await.unwrap();
    web::delete(url, "absent-meta").await;
    let refused = store.snapshot().await.map(|_| ()).expect_err("it does not come");
    assert!(refused.message.contains("no such index [absent-meta]"), "{refused}");
    let index = json!({});
    let (asked, ()) = tokio::join!(store.snapshot(), web::put(url, "absent-meta", &index));
    asked.unwrap();
}

async fn old_indices_are_deleted(url: &str) {
    let store = open(&config(url, "old")).await;
    let day = |n: u64| n * DAY;
    for n in 0..3 {
        let batch = Batch { arrived: day(19_000), ..sample::log_at(day(19_000 - n)) };
        write(&store, n, &batch).await.unwrap();
    }
    write(&store, 3, &sample::log_at(day(19_000))).await.unwrap();
    // Its time is absurd, but it came just now.
    let some = weir_store_elastic::Retention { age: Some(Duration::from_secs(3_600)), bytes: None };
    count(&store, Signal::Logs).await;
    let mut deleted = store.retain(some).await.unwrap();
    deleted.sort();
    assert_eq!(deleted, ["old-logs-2022.01.06", "old-logs-2022.01.07", "old-logs-2022.01.08"]);
    assert_eq!(count(&store, Signal::Logs).await, 1);
    // What comes late makes its index anew.
    let late = Batch { arrived: day(19_000), ..sample::log_at(day(19_000) + 1) };
    write_at_last(&store, 4, &late).await;
    assert_eq!(count(&store, Signal::Logs).await, 2);
}

async fn a_killed_server_loses_and_doubles_nothing(server: &mut SearchServer) {
    const BATCHES: u64 = 60;
    const LINES: u64 = 100;
    let (url, mut store) = (server.url(), open(&config(&server.url(), "killed")).await);
    let batch = |n: u64| sample::logs(n * LINES, (n + 1) * LINES);
    let mut accepted = 0;
    for at in [20, 40] {
        let writer = store.clone();
        let writing = tokio::spawn(async move {
            let mut refused = 0;
            for n in accepted..BATCHES {
                refused += write_at_last(&writer, n, &batch(n)).await.1;
                if n % 7 == 6 {
                    let _ = writer.sync(Signal::Logs).await;
                }
                if refused > 0 && n > at {
                    break;
                }
            }
        });
        // Once so many batches show, in the middle of the next ones.
        while count(&store, Signal::Logs).await < at * LINES {
            tokio::task::yield_now().await;
        }
        server.kill();
        server.resume();
        writing.await.unwrap();
        // The process that wrote ends as well: what it did not commit is delivered again.
        store = open(&config(&url, "killed")).await;
        let position = store.begin(lane(Signal::Logs), Epoch(1)).await.unwrap();
        accepted = position.map_or(0, |position| position.0);
        assert!(accepted < BATCHES, "something is left to be written");
    }
    for n in accepted..BATCHES {
        write_at_last(&store, n, &batch(n)).await;
    }
    while store.sync(Signal::Logs).await.is_err() {}
    let snapshot = store.snapshot().await.unwrap();
    let query = RecordQuery { filter: Filter::All, range: TimeRange::ALL };
    let page = snapshot.logs(&query, 100_000, None).await.unwrap();
    let mut found: Vec<_> = page.items.iter().map(sample::number).collect();
    found.sort_unstable();
    assert_eq!(found, (0..BATCHES * LINES).collect::<Vec<_>>(), "each line once");
    let ledger = snapshot.ledger().await.unwrap();
    assert_eq!(ledger.len(), 1);
    assert!(ledger[0].ranges.covers(&(0..BATCHES * LINES)), "{ledger:?}");
}

/// Writes that are too many at a time are tried again, whether the answer refuses some items or all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_writes_are_tried_again() {
    for engine in Engine::all() {
        let settings = [("thread_pool.write.size", "1"), ("thread_pool.write.queue_size", "1")];
        let server = SearchServer::start(&engine, &settings);
        let store = open(&config(&server.url(), "busy")).await;
        // A request for eight indices is eight writes at a time.
        let lines: Vec<_> = (0..8).map(|n| sample::log_at(n * DAY)).collect();
        let batch = Batch { arrived: 8 * DAY, ..together(&lines) };
        let mut stored = 0;
        for n in 0..10 {
            let (report, _) = write_at_last(&store, n, &batch).await;
            assert_eq!((report.duplicate, report.refused), (0, 0), "{engine:?}");
            stored += report.stored;
        }
        assert_eq!(stored, 80, "{engine:?}");
        assert_eq!(count(&store, Signal::Logs).await, 80, "{engine:?}");
    }
}
