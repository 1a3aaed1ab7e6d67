//! Traces: their spans, their lines, their row in the trace table, conditions on the whole, and lists of them.

use weir_model::filter::Filter;
use weir_model::otlp::{BodyWriter, LogWriter, SpanKind, SpanWriter, StatusCode};
use weir_model::{Severity, Signal, SpanId, TraceId};
use weir_transport::Batch;

use super::{Engine, STAGES, Stage, ask, sample, snapshot, store_with, sync, write};
use crate::{Operation, StoreErrorKind, TimeRange, TraceQuery, TraceRow};

pub(super) async fn run(engine: &dyn Engine) {
    for stage in STAGES {
        rows(engine, stage).await;
        conditions(engine, stage).await;
        only_logs(engine, stage).await;
        all_conditions_hold_on_one_span(engine, stage).await;
    }
    late_spans_change_the_row(engine).await;
    a_line_does_not_move_its_trace(engine).await;
    lists_are_exact_while_more_arrives(engine).await;
}

fn operation(service: &str, name: &str) -> Option<Operation> {
    Some(Operation { service: service.into(), name: name.into() })
}

fn traces(filter: &str) -> TraceQuery {
    let filter = Filter::parse(filter).unwrap_or_else(|error| panic!("`{filter}`: {error}"));
    TraceQuery { filter, range: TimeRange::ALL }
}

async fn rows(engine: &dyn Engine, stage: Stage) {
    let batches: Vec<_> = (0..5).map(|n| sample::spans(n * 2, n * 2 + 2)).collect();
    let store = store_with(engine, stage, &batches).await;
    write(store.as_ref(), 0, &sample::logs(0, 60)).await;
    let found = snapshot(store.as_ref()).await;
    for n in 0..10 {
        let row = ask!(found.trace_row(sample::trace(n))).expect("a row");
        let spans = ask!(found.trace(sample::trace(n)));
        let views: Vec<_> = spans.iter().map(|span| span.view().span).collect();
        assert!(views.windows(2).all(|pair| pair[0].start <= pair[1].start), "oldest first");
        let lines: Vec<u64> = (0..60).filter(|line| line % 2 == 0 && line % 11 == n).collect();
        let expect = TraceRow {
            trace_id: sample::trace(n),
            start: 1_000_000 + n * 1_000,
            duration: views.iter().map(|span| span.end).max().expect("spans") - (1_000_000 + n * 1_000),
            root: operation("gateway", "/*"),
            entry: operation("cart", "GET /item"),
            spans: sample::spans_of(n),
            errors: views.iter().filter(|span| span.status.code == StatusCode::ERROR).count() as u64,
            logs: lines.len() as u64,
            error_logs: lines.iter().filter(|line| **line % 4 >= 2).count() as u64,
        };
        assert_eq!(row, expect, "{stage:?}");
        assert_eq!(spans.len() as u64, expect.spans);
        let (some, total) = ask!(found.trace_logs(sample::trace(n), 2));
        assert_eq!((some.len(), total.value), (lines.len().min(2), lines.len() as u64), "{stage:?}");
        let (all, _) = ask!(found.trace_logs(sample::trace(n), 100));
        let times: Vec<u64> = all.iter().map(|log| log.view().log.time).collect();
        assert!(times.is_sorted() && all.starts_with(&some), "oldest first");
    }
    assert_eq!(ask!(found.trace_row(sample::trace(500))), None);
    assert!(ask!(found.trace(sample::trace(500))).is_empty());
}

async fn conditions(engine: &dyn Engine, stage: Stage) {
    let batches: Vec<_> = (0..4).map(|n| sample::spans(n * 3, n * 3 + 3)).collect();
    let store = store_with(engine, stage, &batches).await;
    let found = snapshot(store.as_ref()).await;
    let check = async |filter: &str, expect: &[u64]| {
        let (rows, total) = ask!(found.trace_table(&traces(filter), 100));
        let mut ids: Vec<TraceId> = rows.iter().map(|row| row.trace_id).collect();
        assert_eq!(total.value, ids.len() as u64);
        ids.sort_unstable();
        let expect: Vec<TraceId> = expect.iter().map(|n| sample::trace(*n)).collect();
        assert_eq!(ids, expect, "`{filter}` {stage:?}");
    };
    let every: Vec<u64> = (0..12).collect();
    check("", &every).await;
    check("trace.spans > 6", &[2, 5, 8, 11]).await;
    check("trace.spans = 3", &[0, 3, 6, 9]).await;
    check("trace.spans != 3", &[1, 2, 4, 5, 7, 8, 10, 11]).await;
    check("trace.errors = 0", &[1, 3, 6, 7, 9]).await;
    check("trace.errors >= 3 trace.spans = 3", &[0]).await;
    check("trace.service = cart", &every).await;
    check("trace.service = nobody", &[]).await;
    check("entry = \"GET /item\"", &every).await;
    check("entry = \"/*\"", &[]).await;
    check("trace.duration > 1507ns", &[8, 9, 10, 11]).await;
    check("NOT trace.duration > 1507ns", &[0, 1, 2, 3, 4, 5, 6, 7]).await;
    check("trace.spans > 6 http.response.status_code = 200", &[8]).await;
    check("service = order status = error trace.spans = 3", &[0]).await;
    let mixed = Filter::parse("trace.spans > 6 OR service = cart")
        .map(|filter| TraceQuery { filter, range: TimeRange::ALL });
    if let Ok(mixed) = mixed {
        let error = found.traces(&mixed, 5, None).await.expect_err("no single span could be asked");
        assert_eq!(error.kind, StoreErrorKind::Query);
    }
    // In a range is a trace of which a matching span starts in it.
    let range = TimeRange { from: 1_003_000, to: 1_004_001 };
    let (rows, _) = ask!(found.trace_table(&TraceQuery { range, ..traces("") }, 100));
    assert_eq!(rows.iter().map(|row| row.trace_id).collect::<Vec<_>>(), [sample::trace(4), sample::trace(3)]);
    assert!(rows.iter().all(|row| row.spans > 1), "the row is of the whole trace");
    let (rows, _) = ask!(found.trace_table(&TraceQuery { range, ..traces("service = cart") }, 100));
    assert_eq!(rows.iter().map(|row| row.trace_id).collect::<Vec<_>>(), [sample::trace(3)]);
}

fn line(trace: TraceId, time: u64, severity: Severity) -> Batch {
    let mut body = BodyWriter::default();
    body.resource(|a| a.str("service.name", "lonely"));
    body.scope("", "");
    body.record(|out| {
        let mut log = LogWriter::new(out);
        log.time(time);
        log.severity(severity, "");
        log.body("a line");
        log.trace_id(trace);
    });
    sample::batch(Signal::Logs, Vec::new(), body.finish())
}

/// A trace of which only lines came is known all the same.
async fn only_logs(engine: &dyn Engine, stage: Stage) {
    let trace = sample::trace(77);
    let batches = [
        line(trace, 500, Severity::INFO),
        line(trace, 900, Severity::ERROR),
        line(trace, 700, Severity::INFO),
    ];
    let store = store_with(engine, stage, &batches).await;
    let found = snapshot(store.as_ref()).await;
    let row = ask!(found.trace_row(trace)).expect("a row");
    assert_eq!((row.start, row.duration, row.logs, row.error_logs), (500, 400, 3, 1), "{stage:?}");
    assert_eq!((row.spans, &row.root, &row.entry), (0, &None, &None));
    for range in [TimeRange::ALL, TimeRange { from: 600, to: 1_000 }] {
        let (page, _) = ask!(found.traces(&TraceQuery { range, ..traces("") }, 10, None));
        let hits: Vec<_> = page.items.iter().map(|hit| (hit.row.trace_id, hit.newest, hit.matched)).collect();
        assert_eq!(hits, [(trace, 900, 0)], "{range:?} {stage:?}");
    }
    assert!(ask!(found.traces(&traces("service = lonely"), 10, None)).0.items.is_empty(), "it has no span");
}

/// One span of the trace is in error, another is of the service: no span is both.
async fn all_conditions_hold_on_one_span(engine: &dyn Engine, stage: Stage) {
    let store = store_with(engine, stage, &[sample::spans(5, 6)]).await;
    let found = snapshot(store.as_ref()).await;
    for (filter, expect) in [
        ("service = gateway", 1),
        ("operation = \"GET /item\"", 8),
        ("service = gateway operation = \"GET /item\"", 0),
        ("service = gateway OR operation = \"GET /item\"", 9),
    ] {
        let (page, _) = ask!(found.traces(&traces(filter), 10, None));
        let matched: u64 = page.items.iter().map(|hit| hit.matched).sum();
        assert_eq!(matched, expect, "`{filter}` {stage:?}");
    }
}

fn span(trace: TraceId, id: u8, parent: Option<u8>, service: &str, start: u64) -> Batch {
    let span_id = |id: u8| SpanId::new([id; 8]).expect("not zero");
    let mut body = BodyWriter::default();
    body.resource(|a| a.str("service.name", service));
    body.scope("", "");
    body.record(|out| {
        let mut span = SpanWriter::new(out, trace, span_id(id));
        parent.map(span_id).into_iter().for_each(|parent| span.parent(parent));
        span.name(&format!("GET /{service}"));
        span.kind(SpanKind::SERVER);
        span.times(start, start + 100);
    });
    sample::batch(Signal::Spans, Vec::new(), body.finish())
}

/// The root comes last, hours and shards after its children.
async fn late_spans_change_the_row(engine: &dyn Engine) {
    let trace = TraceId::new([7; 16]).expect("not zero");
    let mut store = engine.create().await;
    write(store.as_ref(), 0, &span(trace, 3, Some(2), "stock", 3_000)).await;
    let row = ask!(snapshot(store.as_ref()).await.trace_row(trace)).expect("a row");
    assert_eq!((row.start, row.duration, row.root, row.entry), (3_000, 100, None, None));
    sync(store.as_ref(), Signal::Spans).await;
    for n in 0..20 {
        write(store.as_ref(), n + 1, &sample::spans(n * 10, n * 10 + 10)).await;
        sync(store.as_ref(), Signal::Spans).await;
    }
    write(store.as_ref(), 21, &span(trace, 2, Some(1), "order", 2_000)).await;
    sync(store.as_ref(), Signal::Spans).await;
    write(store.as_ref(), 22, &span(trace, 1, None, "front", 1_000)).await;
    for _ in 0..2 {
        let found = snapshot(store.as_ref()).await;
        let row = ask!(found.trace_row(trace)).expect("a row");
        assert_eq!((row.start, row.duration, row.spans), (1_000, 2_100, 3));
        assert_eq!(
            (row.root, row.entry),
            (operation("front", "GET /front"), operation("front", "GET /front"))
        );
        let services: Vec<_> =
            ask!(found.trace(trace)).iter().map(|span| span.view().resource.service().to_owned()).collect();
        assert_eq!(services, ["front", "order", "stock"]);
        let (page, _) = ask!(found.traces(&traces("service = stock trace.duration > 2us"), 10, None));
        assert_eq!(page.items.iter().map(|hit| hit.newest).collect::<Vec<_>>(), [3_000]);
        sync(store.as_ref(), Signal::Spans).await;
        store = engine.reopen(store).await;
    }
}

/// A trace stands at its newest matching span, whatever lines say.
async fn a_line_does_not_move_its_trace(engine: &dyn Engine) {
    let store = engine.create().await;
    write(store.as_ref(), 0, &sample::spans(0, 3)).await;
    write(store.as_ref(), 0, &line(sample::trace(0), 9_000_000, Severity::INFO)).await;
    for _ in 0..2 {
        let (page, _) = ask!(snapshot(store.as_ref()).await.traces(&traces(""), 10, None));
        let ids: Vec<_> = page.items.iter().map(|hit| hit.row.trace_id).collect();
        assert_eq!(ids, [sample::trace(2), sample::trace(1), sample::trace(0)]);
        assert_eq!(page.items[2].newest, 1_000_020);
        sync(store.as_ref(), Signal::Logs).await;
        sync(store.as_ref(), Signal::Spans).await;
    }
}

async fn lists_are_exact_while_more_arrives(engine: &dyn Engine) {
    let store = engine.create().await;
    write(store.as_ref(), 0, &sample::spans(0, 15)).await;
    sync(store.as_ref(), Signal::Spans).await;
    write(store.as_ref(), 1, &sample::spans(15, 30)).await;
    let mut next = 30;
    for filter in ["", "status = error", "trace.spans > 3"] {
        let query = traces(filter);
        let whole = ask!(snapshot(store.as_ref()).await.traces(&query, 1_000, None)).0.items;
        let order: Vec<_> =
            whole.iter().map(|hit| (std::cmp::Reverse(hit.newest), hit.row.trace_id)).collect();
        assert!(order.is_sorted(), "newest first, ties by id");
        let mut found = Vec::new();
        let mut cursor: Option<crate::Cursor> = None;
        loop {
            let snapshot = match &cursor {
                None => snapshot(store.as_ref()).await,
                Some(cursor) => ask!(store.snapshot_at(cursor)),
            };
            let (page, _) = ask!(snapshot.traces(&query, 4, cursor.as_ref()));
            found.extend(page.items);
            write(store.as_ref(), next, &sample::spans(next, next + 1)).await;
            next += 1;
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(found, whole, "`{filter}`");
    }
}
