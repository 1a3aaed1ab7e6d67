//! Reading: snapshots, pages, counts, keys and values.

use weir_model::Signal;
use weir_model::filter::Filter;
use weir_model::otlp::{BodyWriter, LogWriter};
use weir_transport::Batch;

use super::{Engine, STAGES, Stage, Store, ask, count, query, sample, snapshot, store_with, sync, write};
use crate::{Agg, Cursor, GroupKey, RecordQuery, StoreErrorKind, StoredLog, Table, TimeRange, TraceQuery};

pub(super) async fn run(engine: &dyn Engine) {
    a_snapshot_does_not_change(engine).await;
    pages_are_exact_while_more_arrives(engine).await;
    a_bad_cursor_is_refused(engine).await;
    for stage in STAGES {
        counts_and_groups(engine, stage).await;
        keys_and_values(engine, stage).await;
        keys_that_begin_like_levels(engine, stage).await;
        absurd_times(engine, stage).await;
    }
}

async fn a_snapshot_does_not_change(engine: &dyn Engine) {
    let store = engine.create().await;
    let mut snapshots = Vec::new();
    for n in 0..6 {
        write(store.as_ref(), n, &sample::logs(n * 10, n * 10 + 10)).await;
        write(store.as_ref(), n, &sample::spans(n * 3, n * 3 + 3)).await;
        snapshots.push(snapshot(store.as_ref()).await);
        if n % 2 == 1 {
            sync(store.as_ref(), Signal::Logs).await;
            sync(store.as_ref(), Signal::Spans).await;
        }
    }
    for (n, snapshot) in (1..).zip(&snapshots) {
        assert_eq!(count(snapshot.as_ref(), Signal::Logs, &query("")).await, n * 10);
        let page = ask!(snapshot.logs(&query(""), 1_000, None));
        assert_eq!(page.items.len() as u64, n * 10);
        let spans: u64 = (0..n * 3).map(sample::spans_of).sum();
        assert_eq!(count(snapshot.as_ref(), Signal::Spans, &query("")).await, spans);
    }
}

async fn all_pages(
    store: &dyn Store,
    query: &RecordQuery,
    size: usize,
    mut between: impl AsyncFnMut(),
) -> Vec<StoredLog> {
    let mut found = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let snapshot = match &cursor {
            None => snapshot(store).await,
            Some(cursor) => ask!(store.snapshot_at(cursor)),
        };
        let page = ask!(snapshot.logs(query, size, cursor.as_ref()));
        assert!(page.items.len() == size || page.next.is_none(), "only the last page is short");
        found.extend(page.items);
        between().await;
        match page.next {
            Some(next) => cursor = Some(next),
            None => return found,
        }
    }
}

async fn pages_are_exact_while_more_arrives(engine: &dyn Engine) {
    let store = engine.create().await;
    for n in 0..10 {
        write(store.as_ref(), n, &sample::logs(n * 10, n * 10 + 10)).await;
        if n == 4 {
            sync(store.as_ref(), Signal::Logs).await;
        }
    }
    for (filter, expect) in [("", 100), ("severity >= error", 50), ("ticket_3", 14), ("n < 30", 30)] {
        let query = query(filter);
        let whole = ask!(snapshot(store.as_ref()).await.logs(&query, 1_000, None));
        assert_eq!((whole.items.len(), whole.next.is_none()), (expect, true), "`{filter}`");
        let times: Vec<u64> = whole.items.iter().map(|log| log.view().log.time).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "newest first: {times:?}");
        for log in whole.items.iter().step_by(9) {
            let found = ask!(snapshot(store.as_ref()).await.log(&log.id));
            assert_eq!(found.as_ref(), Some(log), "a line is found again by its id");
        }
        let range = TimeRange { from: times[times.len() - 1], to: times[0] };
        let inside =
            ask!(snapshot(store.as_ref()).await.logs(&RecordQuery { range, ..query.clone() }, 1_000, None));
        assert_eq!(inside.items.len(), times.iter().filter(|time| range.contains(**time)).count());
        for size in [1, 7, expect, expect + 1] {
            assert_eq!(all_pages(store.as_ref(), &query, size, async || {}).await, whole.items, "`{filter}`");
        }
    }
    let whole = ask!(snapshot(store.as_ref()).await.logs(&query(""), 1_000, None)).items;
    let mut next = 10;
    let all = query("");
    let found = all_pages(store.as_ref(), &all, 9, async || {
        write(store.as_ref(), next, &sample::logs(next * 10, next * 10 + 10)).await;
        sync(store.as_ref(), Signal::Logs).await;
        next += 1;
    });
    assert_eq!(found.await, whole, "what arrives later neither shifts nor doubles a page");
}

async fn a_bad_cursor_is_refused(engine: &dyn Engine) {
    let store = engine.create().await;
    write(store.as_ref(), 0, &sample::logs(0, 10)).await;
    let cursor = Cursor("no cursor".into());
    let found = snapshot(store.as_ref()).await;
    let error = found.logs(&query(""), 5, Some(&cursor)).await.expect_err("refused");
    assert_eq!(error.kind, StoreErrorKind::Query);
    assert_eq!(ask!(found.log("nothing")), None);
    assert_eq!(ask!(found.log("12345678")), None);
}

async fn counts_and_groups(engine: &dyn Engine, stage: Stage) {
    let batches: Vec<_> = (0..6).map(|n| sample::logs(n * 10, n * 10 + 10)).collect();
    let store = store_with(engine, stage, &batches).await;
    let found = snapshot(store.as_ref()).await;
    let groups = async |filter: &str, by: GroupKey, limit: usize| match ask!(found.aggregate(
        Signal::Logs,
        &query(filter),
        &Agg::Groups { by: by.clone(), limit }
    )) {
        Table::Groups { total, groups, other, missing } => {
            assert!(total.exact);
            let sum: u64 = groups.iter().map(|(_, count)| count).sum();
            assert_eq!(total.value, sum + other + missing, "{stage:?}");
            (groups, other, missing)
        }
        other => panic!("{other:?}"),
    };
    let pairs =
        |pairs: &[(&str, u64)]| pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<Vec<_>>();
    let pod = || GroupKey::Attribute("k8s.pod.name".into());
    assert_eq!(groups("", pod(), 2).await, (pairs(&[("pod-0", 20), ("pod-1", 20)]), 20, 0), "{stage:?}");
    assert_eq!(groups("n < 4", pod(), 9).await, (pairs(&[("pod-0", 2), ("pod-1", 1), ("pod-2", 1)]), 0, 0));
    assert_eq!(groups("", GroupKey::Service, 1).await, (pairs(&[("cart", 20)]), 40, 0), "{stage:?}");
    let level = groups("", GroupKey::Severity, 9).await;
    assert_eq!(level, (pairs(&[("error", 30), ("info", 15), ("warn", 15)]), 0, 0), "{stage:?}");
    let mixed = groups("n < 20", GroupKey::Attribute("log.mixed".into()), 9).await;
    let long = ["long".repeat(400), "long".repeat(401)];
    let expect = [("7", 8), ("7.5", 4), (long[0].as_str(), 2), (long[1].as_str(), 2), ("true", 4)];
    let mut expect = pairs(&expect);
    expect.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    assert_eq!(mixed, (expect, 0, 0), "{stage:?}");
    assert_eq!(groups("", GroupKey::Attribute("resource.n".into()), 9).await, (vec![], 0, 60), "{stage:?}");
    let agg = Agg::Histogram { start: 1_000, width: 50, buckets: 3 };
    let Table::Histogram { total, counts } = ask!(found.aggregate(Signal::Logs, &query(""), &agg)) else {
        panic!("expected a histogram")
    };
    let inside = (0..60u64).filter(|n| n * 10 % 170 < 150).count() as u64;
    assert_eq!((total.value, counts.iter().flatten().sum::<u64>()), (60, inside), "{stage:?}");
    let services = ask!(found.services(TimeRange::ALL));
    let rows: Vec<_> = services.iter().map(|s| (s.name.as_str(), s.logs, s.error_logs, s.spans)).collect();
    assert_eq!(rows, [("cart", 20, 10, 0), ("order", 20, 10, 0), ("pay", 20, 10, 0)], "{stage:?}");
    assert!(services.iter().all(|service| (1_140..1_170).contains(&service.last_seen)), "{services:?}");
    assert!(ask!(found.services(TimeRange { from: 0, to: 1_000 })).is_empty());
}

async fn keys_and_values(engine: &dyn Engine, stage: Stage) {
    let batches: Vec<_> = (0..4).map(|n| sample::logs(n * 10, n * 10 + 10)).collect();
    let store = store_with(engine, stage, &batches).await;
    for (position, n) in (0..).zip(0..3) {
        write(store.as_ref(), position, &sample::spans(n * 3, n * 3 + 3)).await;
        sync(store.as_ref(), Signal::Spans).await;
    }
    let found = snapshot(store.as_ref()).await;
    let keys = async |prefix: &str| {
        let keys = ask!(found.keys(Signal::Logs, prefix));
        keys.iter().map(|key| format!("{}.{}", key.level, key.key)).collect::<Vec<_>>()
    };
    let expect = [
        "resource.k8s.pod.name",
        "log.mixed",
        "log.n",
        "resource.service.name",
        "resource.weir.incarnation",
        "log.weir.offset",
    ];
    assert_eq!(keys("").await, expect, "{stage:?}");
    assert_eq!(keys("weir.").await, expect[4..], "{stage:?}");
    assert!(keys("x").await.is_empty());
    let values = async |signal: Signal, key: &str, prefix: &str, limit: usize| {
        let values = ask!(found.values(signal, key, prefix, limit));
        let list: Vec<_> = values.values.iter().map(|(value, n)| format!("{value} {n}")).collect();
        (list.join(", "), values.complete)
    };
    let check = |found: (String, bool), list: &str, complete: bool| {
        assert_eq!(found, (list.to_owned(), complete), "{stage:?}");
    };
    check(values(Signal::Logs, "k8s.pod.name", "", 9).await, "pod-0 14, pod-1 13, pod-2 13", true);
    check(values(Signal::Logs, "k8s.pod.name", "pod-1", 9).await, "pod-1 13", true);
    check(values(Signal::Logs, "k8s.pod.name", "", 2).await, "pod-0 14, pod-1 13", false);
    check(values(Signal::Logs, "service", "p", 9).await, "pay 13", true);
    check(values(Signal::Logs, "mixed", "", 9).await, "7 16, 7.5 8, true 8", true);
    check(values(Signal::Logs, "mixed", "7", 9).await, "7 16, 7.5 8", true);
    check(values(Signal::Logs, "resource.mixed", "", 9).await, "", true);
    check(values(Signal::Logs, "n", "3", 2).await, "3 1, 30 1", false);
    check(values(Signal::Spans, "operation", "G", 9).await, "GET /item 45", true);
    check(values(Signal::Spans, "http.response.status_code", "4", 9).await, "400 12", true);
}

/// Lines that have `level` or `log.level` or both, and one whose resource has the latter.
fn named_like_levels() -> Batch {
    let mut body = BodyWriter::default();
    body.resource(|a| a.str("service.name", "shop"));
    body.scope("", "");
    for (n, attrs) in [
        &[("level", "own")][..],
        &[("log.level", "whole")],
        &[("level", "own"), ("log.level", "whole")],
        &[("other", "own")],
    ]
    .into_iter()
    .enumerate()
    {
        body.record(|out| {
            let mut log = LogWriter::new(out);
            log.time(1_000 + n as u64);
            attrs.iter().for_each(|(key, value)| log.attrs().str(key, value));
        });
    }
    body.resource(|a| a.str("log.level", "host"));
    body.scope("", "");
    body.record(|out| LogWriter::new(out).time(2_000));
    sample::batch(Signal::Logs, Vec::new(), body.finish())
}

async fn keys_that_begin_like_levels(engine: &dyn Engine, stage: Stage) {
    let store = store_with(engine, stage, &[named_like_levels()]).await;
    let found = snapshot(store.as_ref()).await;
    for (filter, expect) in [
        ("log.level *", 4),
        ("log.level = own", 2),
        ("log.level = whole", 2),
        ("log.level = \"host\"", 1),
        ("log.level != own", 2),
        ("NOT log.level = own", 3),
        ("log.level != none", 4),
        ("log.level ~ \"(own|host)\"", 3),
        ("log.level !~ \"w.*\"", 2),
        ("log.log.level = whole", 2),
        ("span.level = own", 2),
        ("level *", 2),
        ("resource.log.level *", 1),
        ("resource.level *", 0),
        ("log.level > 1", 0),
    ] {
        let count = count(found.as_ref(), Signal::Logs, &query(filter)).await;
        assert_eq!(count, expect, "{filter} {stage:?}");
    }
    // A record that has both is counted by its own one.
    let agg = Agg::Groups { by: GroupKey::Attribute("log.level".into()), limit: 9 };
    let groups = ask!(found.aggregate(Signal::Logs, &query(""), &agg));
    let Table::Groups { groups, missing, .. } = groups else { panic!("expected groups") };
    let pairs: Vec<_> = groups.iter().map(|(value, n)| format!("{value} {n}")).collect();
    assert_eq!((pairs.join(", ").as_str(), missing), ("own 2, host 1, whole 1", 1), "{stage:?}");
    let values = ask!(found.values(Signal::Logs, "log.level", "", 9));
    let values: Vec<_> = values.values.iter().map(|(value, n)| format!("{value} {n}")).collect();
    assert_eq!(values.join(", "), "own 2, whole 2, host 1", "{stage:?}");
}

/// Times before 1970 as some SDKs send them, 0, and the end of all time: kept, found, in order.
async fn absurd_times(engine: &dyn Engine, stage: Stage) {
    let times = [0, 1, 1 << 40, i64::MAX as u64, (-5i64) as u64, u64::MAX - 1];
    let batches: Vec<_> = times.iter().map(|time| sample::log_at(*time)).collect();
    let store = store_with(engine, stage, &batches).await;
    let found = snapshot(store.as_ref()).await;
    let page = ask!(found.logs(&query(""), 100, None));
    let found_times: Vec<u64> = page.items.iter().map(|log| log.view().log.time).collect();
    let mut expect = times;
    expect.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(found_times, expect, "{stage:?}");
    for (from, to) in [(0, 1), (1, 1 << 41), (1 << 41, u64::MAX), (5, 5), (9, 2)] {
        let range = TimeRange { from, to };
        let expect = times.iter().filter(|time| range.contains(**time)).count() as u64;
        let query = RecordQuery { filter: Filter::All, range };
        assert_eq!(count(found.as_ref(), Signal::Logs, &query).await, expect, "{range:?} {stage:?}");
    }
    let query = TraceQuery { filter: Filter::All, range: TimeRange::ALL };
    assert!(ask!(found.traces(&query, 10, None)).0.items.is_empty(), "lines without a trace make none");
}
