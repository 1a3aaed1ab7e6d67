//! Two stores that were given the same answer the same: an engine and the one in memory.

use weir_model::filter::Filter;
use weir_model::otlp::{log_refs, span_refs};
use weir_model::{Signal, identity};
use weir_transport::Batch;

use super::ask;
use crate::{Agg, GroupKey, Matchers, RecordQuery, Snapshot, Table, TimeRange, TraceQuery};

/// Filters that divide [`sample`](super::sample) lines in many ways.
pub const LOG_FILTERS: [&str; 34] = [
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
];

/// Filters that divide [`sample`](super::sample) spans in many ways.
pub const SPAN_FILTERS: [&str; 14] = [
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

/// Asks both about everything in many ways.
///
/// # Panics
/// At the first answer that differs; `when` says when it was asked.
pub async fn agree(
    expect: &dyn Snapshot,
    found: &dyn Snapshot,
    batches: &[Batch],
    filters: &[(Signal, Filter)],
    ranges: &[TimeRange],
    when: &str,
) {
    for (signal, filter) in filters {
        for range in ranges {
            let query = RecordQuery { filter: filter.clone(), range: *range };
            let when = format!("`{filter}` on {signal} in {range:?} {when}");
            counts(expect, found, *signal, &query, &when).await;
            match signal {
                Signal::Spans => {
                    lists(expect, found, &TraceQuery { filter: filter.clone(), range: *range }, &when).await
                }
                _ => lines(expect, found, &query, &when).await,
            }
        }
    }
    let mut ids = std::collections::BTreeSet::new();
    for batch in batches {
        match batch.signal {
            Signal::Logs => ids.extend(log_refs(&batch.body).filter_map(|log| log.log.trace_id)),
            _ => ids.extend(span_refs(&batch.body).filter_map(|span| span.span.trace_id)),
        }
    }
    for id in ids {
        assert_eq!(ask!(found.trace_row(id)), ask!(expect.trace_row(id)), "the row of {id} {when}");
        assert_eq!(ask!(found.trace(id)), ask!(expect.trace(id)), "the spans of {id} {when}");
        let messages = |logs: &[crate::StoredLog]| logs.iter().map(|log| log.log.clone()).collect::<Vec<_>>();
        let ((a, total), (b, other)) = (ask!(found.trace_logs(id, 100)), ask!(expect.trace_logs(id, 100)));
        assert_eq!((messages(&a), total), (messages(&b), other), "the lines of {id} {when}");
    }
    for range in ranges {
        assert_eq!(
            ask!(found.services(*range)),
            ask!(expect.services(*range)),
            "services in {range:?} {when}"
        );
        let matchers = Matchers { name: None, attributes: Vec::new() };
        let (a, b) = (ask!(found.select(&matchers, *range)), ask!(expect.select(&matchers, *range)));
        assert_eq!(a, b, "series in {range:?} {when}");
    }
    for signal in [Signal::Logs, Signal::Spans] {
        let keys = ask!(expect.keys(signal, ""));
        assert_eq!(ask!(found.keys(signal, "")), keys, "keys of {signal} {when}");
        let listed = keys.iter().map(|key| key.key.as_str());
        let listed = listed.filter(|key| ![identity::OFFSET, identity::ORDINAL].contains(key));
        for key in listed.chain(["service", "operation", "event"]) {
            let (a, b) = (ask!(found.values(signal, key, "", 50)), ask!(expect.values(signal, key, "", 50)));
            assert_eq!(a, b, "values of {key} on {signal} {when}");
        }
    }
    let ledger = |mut rows: Vec<crate::LedgerRow>| {
        rows.sort_by_key(|row| (row.incarnation, row.lane));
        rows
    };
    assert_eq!(ledger(ask!(found.ledger())), ledger(ask!(expect.ledger())), "the ledger {when}");
}

async fn counts(
    expect: &dyn Snapshot,
    found: &dyn Snapshot,
    signal: Signal,
    query: &RecordQuery,
    when: &str,
) {
    let by = [GroupKey::Service, GroupKey::Operation, GroupKey::Kind, GroupKey::Status, GroupKey::Severity];
    let by = by.into_iter().chain(["mixed", "resource.k", "k"].map(|key| GroupKey::Attribute(key.into())));
    let aggs = by.map(|by| Agg::Groups { by, limit: 3 }).chain([
        Agg::Count,
        Agg::Histogram { start: 1_000, width: 30, buckets: 9 },
        Agg::Operations { limit: 4 },
    ]);
    for agg in aggs {
        let answer: Table = ask!(found.aggregate(signal, query, &agg));
        assert_eq!(answer, ask!(expect.aggregate(signal, query, &agg)), "{agg:?} {when}");
    }
}

async fn lines(expect: &dyn Snapshot, found: &dyn Snapshot, query: &RecordQuery, when: &str) {
    let whole: Vec<_> = ask!(expect.logs(query, 10_000, None)).items.into_iter().map(|log| log.log).collect();
    let mut cursor = None;
    let mut all = Vec::new();
    loop {
        let page = ask!(found.logs(query, 17, cursor.as_ref()));
        all.extend(page.items.into_iter().map(|log| log.log));
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(all, whole, "{when}");
}

async fn lists(expect: &dyn Snapshot, found: &dyn Snapshot, query: &TraceQuery, when: &str) {
    let (a, b) = (ask!(found.traces(query, 10_000, None)), ask!(expect.traces(query, 10_000, None)));
    assert_eq!(a.0.items, b.0.items, "{when}");
    let (a, b) = (ask!(found.trace_table(query, 5)), ask!(expect.trace_table(query, 5)));
    assert_eq!(a, b, "the table of {when}");
    let (a, b) = (ask!(found.trace_count(query)), ask!(expect.trace_count(query)));
    assert_eq!(a, b, "the number of {when}");
}
