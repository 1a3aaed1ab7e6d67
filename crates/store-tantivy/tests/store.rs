//! The store against an oracle that scans: before a commit, after it, after a roll, after a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use weir_disk::RealDisk;
use weir_model::filter::{Filter, Matcher, Record};
use weir_model::otlp::{BodyWriter, SpanWriter, log_refs, span_refs};
use weir_model::{Signal, SpanId};
use weir_store::conformance::sample::{logs, spans, trace};
use weir_store::{
    Agg, GroupKey, Page, Reader, RecordQuery, Snapshot, Table, TimeRange, Total, TraceQuery, Writer,
};
use weir_store_tantivy::{OpenError, Settings, TantivyStore};
use weir_transport::{Batch, Epoch, Lane, Position};

const LOGS: Lane = Lane { signal: Signal::Logs, partition: 0 };
const SPANS: Lane = Lane { signal: Signal::Spans, partition: 0 };
const EPOCH: Epoch = Epoch(1);

fn open(dir: &Path, settings: Settings) -> TantivyStore {
    TantivyStore::open(Arc::new(RealDisk), dir, settings).unwrap()
}

fn all(filter: &str) -> RecordQuery {
    RecordQuery { filter: Filter::parse(filter).unwrap(), range: TimeRange::ALL }
}

async fn count(snapshot: &dyn Snapshot, signal: Signal, query: &RecordQuery) -> u64 {
    match snapshot.aggregate(signal, query, &Agg::Count).await.unwrap() {
        Table::Count(total) => total.value,
        other => panic!("{other:?}"),
    }
}

const LOG_FILTERS: [&str; 37] = [
    "",
    "service = cart",
    "service != cart",
    "k8s.pod.name = pod-1",
    "k8s.pod.name ~ pod-[12]",
    "mixed = 7",
    "mixed = \"7\"",
    "mixed != 7",
    "mixed >= 7",
    "mixed > 7",
    "mixed = true",
    "mixed *",
    "NOT mixed = 7",
    "mixed ~ long.*",
    "mixed ~ [7]",
    "missing *",
    "n < 20",
    "n <= 20",
    "n > 35 severity >= error",
    "severity = error",
    "severity = info OR severity = warn",
    "order",
    "ticket",
    "ticket_3",
    "tick*",
    "\"order 12\"",
    "支付",
    "\"failed 支付\"",
    "xx",
    "NOT order",
    "ticket_3 n < 20",
    "trace.id = 00000000000000000000000000000003",
    "resource.n = 3",
    "log.n = 3",
    "weir.offset = 12",
    "weir.offset < 30 ticket",
    "NOT weir.offset >= 9",
];

const SPAN_FILTERS: [&str; 14] = [
    "",
    "service = order",
    "operation = \"GET /item\"",
    "kind = server",
    "kind != server",
    "status = error",
    "status = error OR duration > 1200ns",
    "duration <= 1500ns",
    "http.response.status_code >= 400",
    "broke",
    "item",
    "NOT service = gateway",
    "scope.missing *",
    "operation ~ GET.*",
];

/// Every filter gives what a scan with the matcher gives.
async fn agrees(store: &TantivyStore, logs: &[Batch], spans: &[Batch], when: &str) {
    let snapshot = store.snapshot().await.unwrap();
    for text in LOG_FILTERS {
        for range in [TimeRange::ALL, TimeRange { from: 1_030, to: 1_100 }] {
            let query = RecordQuery { range, ..all(text) };
            let matcher = Matcher::new(&query.filter).unwrap();
            let expect: u64 = logs
                .iter()
                .map(|b| {
                    log_refs(&b.body)
                        .filter(|l| range.contains(l.log.time) && matcher.matches(Record::Log(l)))
                        .count() as u64
                })
                .sum();
            assert_eq!(
                count(snapshot.as_ref(), Signal::Logs, &query).await,
                expect,
                "logs `{text}` {range:?} {when}"
            );
        }
    }
    for text in SPAN_FILTERS {
        let query = all(text);
        let matcher = Matcher::new(&query.filter).unwrap();
        let matching: Vec<_> = spans
            .iter()
            .flat_map(|b| span_refs(&b.body))
            .filter(|s| matcher.matches(Record::Span(s)))
            .collect();
        assert_eq!(
            count(snapshot.as_ref(), Signal::Spans, &query).await,
            matching.len() as u64,
            "spans `{text}` {when}"
        );
        let mut ids: Vec<_> = matching.iter().map(|s| s.span.trace_id.unwrap()).collect();
        ids.sort_unstable();
        ids.dedup();
        let query = TraceQuery { filter: query.filter, range: TimeRange::ALL };
        let (rows, total) = snapshot.trace_table(&query, 10_000).await.unwrap();
        if !text.is_empty() {
            assert_eq!(total.value, ids.len() as u64, "traces `{text}` {when}");
            let mut found: Vec<_> = rows.iter().map(|row| row.trace_id).collect();
            found.sort_unstable();
            assert_eq!(found, ids);
        }
    }
}

async fn write(store: &TantivyStore, lane: Lane, position: u64, batch: &Batch) -> weir_store::Report {
    store.write(lane, EPOCH, &[(Position(position), batch.clone())]).await.unwrap()
}

#[tokio::test]
async fn every_filter_agrees_with_a_scan_in_every_state() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { shard_records: 60, ..Settings::default() };
    let store = open(folder.path(), settings.clone());
    store.begin(LOGS, EPOCH).await.unwrap();
    let log_batches: Vec<_> = (0..6).map(|i| logs(i * 25, i * 25 + 25)).collect();
    let span_batches: Vec<_> = (0..6).map(|i| spans(i * 5, i * 5 + 5)).collect();
    for i in 0..6 {
        write(&store, LOGS, i as u64, &log_batches[i]).await;
        write(&store, SPANS, i as u64, &span_batches[i]).await;
        agrees(&store, &log_batches[..=i], &span_batches[..=i], "in the tail").await;
        if i % 2 == 1 {
            for signal in [Signal::Logs, Signal::Spans] {
                let lanes = store.sync(signal).await.unwrap();
                assert_eq!(lanes, [(Lane { signal, partition: 0 }, Position(i as u64 + 1))]);
            }
            agrees(&store, &log_batches[..=i], &span_batches[..=i], "committed").await;
        }
    }
    assert!(store.stats(Signal::Logs).shards > 1, "the store has rolled");
    drop(store);
    let store = open(folder.path(), settings);
    agrees(&store, &log_batches, &span_batches, "after a restart").await;
    assert_eq!(store.begin(LOGS, Epoch(2)).await.unwrap(), Some(Position(6)));
}

#[tokio::test]
async fn what_comes_again_is_a_duplicate() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { shard_records: 20, ..Settings::default() };
    let mut store = open(folder.path(), settings.clone());
    assert_eq!(write(&store, LOGS, 0, &logs(0, 30)).await.stored, 30);
    assert_eq!(write(&store, SPANS, 0, &spans(0, 4)).await.duplicate, 0);
    let spans_stored = store.stats(Signal::Spans).records;
    for position in 1..4 {
        // The same lines in other batches, overlapping in part; the same spans under another position.
        let report = write(&store, LOGS, position, &logs(10, 30 + position * 5)).await;
        assert_eq!((report.stored, report.duplicate), (5, 20 + (position - 1) * 5), "at {position}");
        assert_eq!(write(&store, SPANS, position, &spans(0, 4)).await.duplicate, spans_stored);
        for signal in [Signal::Logs, Signal::Spans] {
            store.sync(signal).await.unwrap();
        }
        drop(store);
        store = open(folder.path(), settings.clone());
    }
    // The same position again.
    assert_eq!(write(&store, LOGS, 3, &logs(500, 510)).await.stored, 0);
    let ledger = store.snapshot().await.unwrap().ledger().await.unwrap();
    assert!(ledger[0].ranges.covers(&(0..45)) && ledger[0].ranges.total() == 45);
}

#[tokio::test]
async fn pages_are_exact_while_more_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Settings::default());
    write(&store, LOGS, 0, &logs(0, 100)).await;
    write(&store, SPANS, 0, &spans(0, 20)).await;
    let expect = store.snapshot().await.unwrap().logs(&all(""), 1_000, None).await.unwrap();
    assert_eq!((expect.items.len(), expect.next.is_none()), (100, true));
    let times: Vec<_> = expect.items.iter().map(|log| log.view().log.time).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "newest first");
    let mut pages = Vec::new();
    let mut cursor = None;
    let mut next = 100;
    loop {
        let snapshot = match &cursor {
            None => store.snapshot().await.unwrap(),
            Some(cursor) => store.snapshot_at(cursor).await.unwrap(),
        };
        let page: Page<_> = snapshot.logs(&all(""), 7, cursor.as_ref()).await.unwrap();
        pages.extend(page.items);
        write(&store, LOGS, next / 10, &logs(next, next + 10)).await;
        next += 10;
        store.sync(Signal::Logs).await.unwrap();
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(pages, expect.items);
    let query = TraceQuery { filter: Filter::All, range: TimeRange::ALL };
    let (first, total) = store.snapshot().await.unwrap().traces(&query, 8, None).await.unwrap();
    assert_eq!(total, Total { value: 20, exact: true });
    write(&store, SPANS, 1, &spans(20, 30)).await;
    let cursor = first.next.unwrap();
    let later = store.snapshot_at(&cursor).await.unwrap();
    let (rest, _) = later.traces(&query, 100, Some(&cursor)).await.unwrap();
    let ids: std::collections::BTreeSet<_> =
        first.items.iter().chain(&rest.items).map(|hit| hit.row.trace_id).collect();
    assert_eq!((first.items.len() + rest.items.len(), ids.len()), (20, 20));
}

#[tokio::test]
async fn traces_groups_and_lookups() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Settings::default());
    write(&store, LOGS, 0, &logs(0, 60)).await;
    write(&store, SPANS, 0, &spans(0, 10)).await;
    for committed in [false, true] {
        if committed {
            store.sync(Signal::Logs).await.unwrap();
            store.sync(Signal::Spans).await.unwrap();
        }
        let snapshot = store.snapshot().await.unwrap();
        let row = snapshot.trace_row(trace(2)).await.unwrap().unwrap();
        assert_eq!((row.spans, row.logs), (9, 3));
        assert_eq!(row.root.unwrap().name, "/*");
        let entry = row.entry.unwrap();
        assert_eq!((entry.service.as_str(), entry.name.as_str()), ("cart", "GET /item"));
        assert_eq!(snapshot.trace(trace(2)).await.unwrap().len(), 9);
        let (lines, total) = snapshot.trace_logs(trace(2), 2).await.unwrap();
        assert_eq!((lines.len(), total.value), (2, 3));
        assert_eq!(snapshot.log(&lines[0].id).await.unwrap().as_ref(), Some(&lines[0]));
        let by = GroupKey::Attribute("k8s.pod.name".into());
        let table = snapshot.aggregate(Signal::Logs, &all(""), &Agg::Groups { by, limit: 2 }).await.unwrap();
        let Table::Groups { groups, other, missing, .. } = table else { panic!() };
        assert_eq!((groups, other, missing), (vec![("pod-0".into(), 20), ("pod-1".into(), 20)], 20, 0));
        let query = TraceQuery {
            filter: Filter::parse("trace.spans > 6 trace.service = order").unwrap(),
            range: TimeRange::ALL,
        };
        assert_eq!(snapshot.traces(&query, 50, None).await.unwrap().0.items.len(), 3);
        let services = snapshot.services(TimeRange::ALL).await.unwrap();
        assert_eq!(services.iter().map(|s| s.logs).sum::<u64>(), 60);
        let keys = snapshot.keys(Signal::Logs, "").await.unwrap();
        let keys: Vec<_> = keys.iter().map(|k| format!("{}.{}", k.level, k.key)).collect();
        assert_eq!(
            keys,
            [
                "resource.k8s.pod.name",
                "log.mixed",
                "log.n",
                "resource.service.name",
                "resource.weir.incarnation",
                "log.weir.offset"
            ]
        );
        let values = snapshot.values(Signal::Spans, "operation", "G", 10).await.unwrap();
        assert_eq!(values.values[0].0, "GET /item");
    }
}

#[tokio::test]
async fn a_second_owner_is_refused_and_old_shards_go() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { shard_records: 10, retain_age: Duration::ZERO, ..Settings::default() };
    let store = open(folder.path(), settings.clone());
    let Err(error) = TantivyStore::open(Arc::new(RealDisk), folder.path(), settings) else {
        panic!("taken twice")
    };
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    for n in 0..4 {
        write(&store, LOGS, n, &logs(n * 20, n * 20 + 20)).await;
        store.sync(Signal::Logs).await.unwrap();
    }
    // Each commit fills a shard, which is past its age as soon as it is sealed.
    store.wait_until_sealed(Signal::Logs).await;
    store.sync(Signal::Logs).await.unwrap();
    assert_eq!(count(store.snapshot().await.unwrap().as_ref(), Signal::Logs, &all("")).await, 0);
    assert_eq!(store.stats(Signal::Logs).records, 80);
}

/// Whatever is rolled, sealed and opened again, the trace table says the same.
#[tokio::test]
async fn trace_rows_are_the_same_in_one_shard_and_in_many() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(&folder.path().join("one"), Settings::default());
    let small = Settings { shard_records: 25, ..Settings::default() };
    let mut many = open(&folder.path().join("many"), small.clone());
    for n in 0..8 {
        // Each trace comes in three batches that may stand in three shards, its lines likewise.
        let batches = [(SPANS, spans(n * 4, n * 4 + 12)), (LOGS, logs(n * 20, n * 20 + 20))];
        for (lane, batch) in batches {
            let expect = write(&one, lane, n, &batch).await;
            let report = write(&many, lane, n, &batch).await;
            assert_eq!((report.stored, report.duplicate), (expect.stored, expect.duplicate));
            many.sync(lane.signal).await.unwrap();
        }
        if n % 3 == 2 {
            drop(many);
            many = open(&folder.path().join("many"), small.clone());
        }
    }
    for sealed in [false, true] {
        if sealed {
            many.wait_until_sealed(Signal::Spans).await;
            many.wait_until_sealed(Signal::Logs).await;
        }
        assert!(many.stats(Signal::Spans).shards > 3);
        let (one, many) = (one.snapshot().await.unwrap(), many.snapshot().await.unwrap());
        for text in ["", "service = order", "trace.errors > 1"] {
            let query = TraceQuery { filter: Filter::parse(text).unwrap(), range: TimeRange::ALL };
            let expect = one.trace_table(&query, 1_000).await.unwrap();
            assert_eq!(many.trace_table(&query, 1_000).await.unwrap(), expect, "`{text}` {sealed}");
        }
        for n in 0..45 {
            let (expect, found) = (one.trace(trace(n)).await.unwrap(), many.trace(trace(n)).await.unwrap());
            assert_eq!(found, expect, "trace {n}");
            assert_eq!(many.trace_row(trace(n)).await.unwrap(), one.trace_row(trace(n)).await.unwrap());
        }
    }
}

#[tokio::test]
async fn spans_that_come_again_are_known_within_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { shard_records: 30, ..Settings::default() };
    let mut store = open(folder.path(), settings.clone());
    let all = |report: weir_store::Report| (report.stored, report.duplicate);
    let (early, count) = (spans(0, 8), span_refs(&spans(0, 8).body).count() as u64);
    assert_eq!(all(write(&store, SPANS, 0, &early).await), (count, 0));
    // In the tail, committed and full, sealed, opened again: each time in other groups, after a late span of the same traces.
    let mut late = 0;
    for position in (1..).step_by(3).take(4) {
        let mut body = BodyWriter::default();
        body.resource(|a| a.str("service.name", "late"));
        body.scope("", "");
        for n in 0..8 {
            body.record(|out| {
                let id = SpanId::new([200 + position as u8; 8]).unwrap();
                SpanWriter::new(out, trace(n), id).times(1_000, 2_000);
            });
        }
        late += 8;
        let batch = Batch { body: body.finish().into(), ..early.clone() };
        assert_eq!(all(write(&store, SPANS, position, &batch).await), (8, 0));
        let first = write(&store, SPANS, position + 1, &spans(0, 3)).await;
        let rest = write(&store, SPANS, position + 2, &spans(3, 8)).await;
        assert_eq!((first.stored + rest.stored, first.duplicate + rest.duplicate), (0, count), "{position}");
        store.sync(Signal::Spans).await.unwrap();
        if position >= 4 {
            store.wait_until_sealed(Signal::Spans).await;
        }
        if position >= 7 {
            drop(store);
            store = open(folder.path(), settings.clone());
        }
    }
    assert!(store.stats(Signal::Spans).shards > 1);
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(self::count(snapshot.as_ref(), Signal::Spans, &self::all("")).await, count + late);
    drop(store);
    // The window is over.
    let store = open(folder.path(), Settings { unique_spans: Duration::ZERO, ..settings });
    assert!(write(&store, SPANS, 100, &early).await.stored > 0);
}

#[tokio::test]
async fn small_commits_are_joined_when_a_shard_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { shard_records: 200, ..Settings::default() };
    let store = open(folder.path(), settings.clone());
    let (mut log_batches, mut span_batches) = (Vec::new(), Vec::new());
    for n in 0..60 {
        log_batches.push(logs(n * 4, n * 4 + 4));
        span_batches.push(spans(n, n + 1));
        write(&store, LOGS, n, &log_batches[n as usize]).await;
        write(&store, SPANS, n, &span_batches[n as usize]).await;
        for signal in [Signal::Logs, Signal::Spans] {
            store.sync(signal).await.unwrap();
        }
    }
    for signal in [Signal::Logs, Signal::Spans] {
        store.wait_until_sealed(signal).await;
        assert_eq!(store.stats(signal).shards, 2);
        let shard = folder.path().join(signal.name()).join("shard-1");
        assert!(shard.join("joined").exists() && !shard.join("bodies").exists());
    }
    agrees(&store, &log_batches, &span_batches, "joined").await;
    drop(store);
    let store = open(folder.path(), settings);
    agrees(&store, &log_batches, &span_batches, "joined, after a restart").await;
}

#[tokio::test]
async fn a_start_reads_no_sealed_shard() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { shard_records: 30, ..Settings::default() };
    let store = open(folder.path(), settings.clone());
    write(&store, SPANS, 0, &spans(0, 15)).await;
    store.sync(Signal::Spans).await.unwrap();
    write(&store, SPANS, 1, &spans(15, 20)).await;
    store.sync(Signal::Spans).await.unwrap();
    store.wait_until_sealed(Signal::Spans).await;
    drop(store);
    let shard = folder.path().join("spans/shard-1");
    for name in ["bodies", "traces", "pairs", "blocks"] {
        std::fs::write(shard.join(name), b"damaged").unwrap();
    }
    let store = open(folder.path(), settings);
    let snapshot = store.snapshot().await.unwrap();
    // The filter says that it is not there.
    assert_eq!(snapshot.trace(trace(17)).await.unwrap().len(), 9);
    assert!(snapshot.trace(trace(3)).await.is_err());
    let later = TimeRange { from: 1_015_000, to: u64::MAX };
    let query = RecordQuery { range: later, ..all("") };
    assert!(count(snapshot.as_ref(), Signal::Spans, &query).await > 0);
}

/// A span of a trace, alone in its batch.
fn span_at(n: u64, number: u64, start: u64) -> Batch {
    let mut body = BodyWriter::default();
    body.resource(|a| a.str("service.name", "shop"));
    body.scope("", "");
    body.record(|out| {
        let mut span = SpanWriter::new(out, trace(n), SpanId::new(number.to_be_bytes()).unwrap());
        span.name("work");
        span.times(start, start + 5);
    });
    let body = body.finish().into();
    Batch { signal: Signal::Spans, origins: Vec::new(), route: 0, arrived: 0, body }
}

#[tokio::test]
async fn a_page_that_is_full_ends_the_walk_and_is_right_all_the_same() {
    const TRACES: u64 = 700;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Settings::default());
    // Each trace has an early span and a late one: who comes from the newest has a page long before the early ones.
    for at in 0..2 * TRACES {
        write(&store, SPANS, at, &span_at(at % TRACES, at + 1, 1_000 + at * 10)).await;
    }
    let query = TraceQuery { filter: Filter::parse("service = shop").unwrap(), range: TimeRange::ALL };
    let snapshot = store.snapshot().await.unwrap();
    let (first, total) = snapshot.traces(&query, 3, None).await.unwrap();
    assert!(!total.exact && (4..TRACES).contains(&total.value), "{total:?}");
    assert_eq!(snapshot.trace_count(&query).await.unwrap(), TRACES);
    let cursor = first.next.unwrap();
    let later = store.snapshot_at(&cursor).await.unwrap();
    let (rest, total) = later.traces(&query, 1_000, Some(&cursor)).await.unwrap();
    assert_eq!((total, rest.next), (Total { value: TRACES, exact: true }, None));
    let hits: Vec<_> = first.items.iter().chain(&rest.items).collect();
    let found: Vec<_> = hits.iter().map(|hit| (hit.row.trace_id, hit.newest, hit.matched)).collect();
    let expect = (0..TRACES).rev().map(|n| (trace(n), 1_000 + (TRACES + n) * 10, 2));
    assert_eq!(found, expect.collect::<Vec<_>>());
}
