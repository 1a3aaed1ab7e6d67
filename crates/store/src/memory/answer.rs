//! Answers by looking at every record.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use weir_model::filter::{Filter, Level, Matcher, ParseError, TraceFacts, places};
use weir_model::otlp::Attrs;
use weir_model::{Signal, TraceId};

use super::Data;
use super::record::Stored;
use crate::{
    Agg, Cursor, FieldKey, GroupKey, LedgerRow, Matchers, Operation, OperationRow, Page, RecordQuery, Series,
    ServiceRow, Snapshot, StoreError, StoreErrorKind, StoredLog, StoredSpan, Table, TimeRange, Total,
    TraceHit, TraceQuery, TraceRow, Values, listed_values, value_text,
};

/// One state of the store.
#[derive(Debug)]
pub(super) struct MemorySnapshot {
    pub(super) id: usize,
    pub(super) data: Data,
}

/// Snapshot and number of the next entry.
pub(super) fn parse(cursor: &Cursor) -> Result<(usize, usize), StoreError> {
    let parts = cursor.0.split_once('.');
    parts.and_then(|(id, at)| Some((id.parse().ok()?, at.parse().ok()?))).ok_or_else(bad_cursor)
}

pub(super) fn bad_cursor() -> StoreError {
    StoreError { kind: StoreErrorKind::Query, message: "the cursor is not one that this server gave".into() }
}

fn refused(error: ParseError) -> StoreError {
    StoreError { kind: StoreErrorKind::Query, message: error.message }
}

fn exact(value: usize) -> Total {
    Total { value: value as u64, exact: true }
}

impl MemorySnapshot {
    fn all(&self, signal: Signal) -> &[Arc<Stored>] {
        match signal {
            Signal::Spans => &self.data.spans,
            _ => &self.data.logs,
        }
    }

    /// Records that satisfy a query, in the order of storing.
    fn matching(
        &self,
        signal: Signal,
        filter: &Filter,
        range: TimeRange,
    ) -> Result<Vec<&Stored>, StoreError> {
        let matcher = Matcher::new(filter).map_err(refused)?;
        let all = self.all(signal).iter().map(AsRef::as_ref);
        Ok(all.filter(|record| range.contains(record.time()) && record.matches(&matcher)).collect())
    }

    fn of_trace(&self, signal: Signal, trace: TraceId) -> Vec<&Stored> {
        let all = self.all(signal).iter().map(AsRef::as_ref);
        let mut records: Vec<&Stored> = all.filter(|record| record.trace() == Some(trace)).collect();
        records.sort_by_key(|record| (record.time(), record.seq));
        records
    }

    fn page<T>(&self, all: Vec<T>, limit: usize, after: Option<&Cursor>) -> Result<Page<T>, StoreError> {
        let from = after.map(parse).transpose()?.map_or(0, |(_, at)| at);
        let end = from + limit;
        let next = (end < all.len()).then(|| Cursor(format!("{}.{end}", self.id)));
        Ok(Page { items: all.into_iter().skip(from).take(limit).collect(), next })
    }

    fn row(&self, trace: TraceId) -> Option<TraceRow> {
        let (spans, logs) = (self.of_trace(Signal::Spans, trace), self.of_trace(Signal::Logs, trace));
        if spans.is_empty() && logs.is_empty() {
            return None;
        }
        let begin = |record: &&Stored| {
            let span = record.span();
            (span.span.start, span.resource.service().to_owned(), span.span.name.to_owned())
        };
        let roots = spans.iter().filter(|record| record.span().span.parent_span_id.is_none());
        let root = roots.map(begin).min();
        let first = spans.iter().chain(&logs).map(|record| record.time()).next();
        let start = root.as_ref().map(|root| root.0).or(first).unwrap_or(0);
        let end = match spans.is_empty() {
            true => logs.iter().map(|record| record.time()).max(),
            false => spans.iter().map(|record| record.span().span.end).max(),
        };
        let entry = root.as_ref().map(|root| {
            let has_path = !root.2.bytes().all(|b| matches!(b, b'/' | b'*' | b' '));
            let below = || spans.iter().map(begin).filter(|span| span.1 != root.1).min();
            if has_path { root.clone() } else { below().unwrap_or_else(|| root.clone()) }
        });
        let operation = |(_, service, name)| Operation { service, name };
        let errors = |records: &[&Stored]| records.iter().filter(|record| record.is_error()).count() as u64;
        Some(TraceRow {
            trace_id: trace,
            start,
            duration: end.unwrap_or(0).saturating_sub(start),
            root: root.map(operation),
            entry: entry.map(operation),
            spans: spans.len() as u64,
            errors: errors(&spans),
            logs: logs.len() as u64,
            error_logs: errors(&logs),
        })
    }

    fn list(&self, query: &TraceQuery) -> Result<Vec<TraceHit>, StoreError> {
        let (spans, traces) = query.filter.clone().split_trace().map_err(refused)?;
        let matcher = Matcher::new(&traces).map_err(refused)?;
        let mut found: BTreeMap<TraceId, (u64, u64)> = BTreeMap::new();
        for record in self.matching(Signal::Spans, &spans, query.range)? {
            let entry = found.entry(record.trace().expect("checked at intake")).or_default();
            *entry = (entry.0.max(record.time()), entry.1 + u64::from(spans != Filter::All));
        }
        if spans == Filter::All {
            for record in self.matching(Signal::Logs, &spans, query.range)? {
                if let Some(trace) = record.trace()
                    && self.of_trace(Signal::Spans, trace).is_empty()
                {
                    let entry = found.entry(trace).or_default();
                    entry.0 = entry.0.max(record.time());
                }
            }
        }
        let mut hits = Vec::new();
        for (trace, (newest, matched)) in found {
            let row = self.row(trace).expect("it has a record");
            let spans = self.of_trace(Signal::Spans, trace);
            let services: BTreeSet<&str> =
                spans.iter().map(|record| record.span().resource.service()).collect();
            let services: Vec<&str> = services.into_iter().collect();
            let facts = TraceFacts {
                duration: row.duration,
                spans: row.spans,
                errors: row.errors,
                services: &services,
                entry: row.entry.as_ref().map(|entry| entry.name.as_str()),
            };
            if traces == Filter::All || matcher.matches_trace(&facts) {
                hits.push(TraceHit { row, newest, matched });
            }
        }
        hits.sort_by_key(|hit| (Reverse(hit.newest), hit.row.trace_id));
        Ok(hits)
    }
}

/// The value by which a record is grouped: of its resource, else of its scope, else its own.
fn group_value(record: &Stored, by: &GroupKey) -> Option<String> {
    let span = (record.signal == Signal::Spans).then(|| record.span().span);
    match by {
        GroupKey::Service => record.resource().attrs().get("service.name").and_then(value_text),
        GroupKey::Operation => span.map(|span| span.name.to_owned()),
        GroupKey::Kind => span.map(|span| span.kind.name().to_owned()),
        GroupKey::Status => span.map(|span| span.status.code.name().to_owned()),
        GroupKey::Severity => span.is_none().then(|| record.log().log.severity.level().to_owned()),
        GroupKey::Attribute(key) => {
            places(key).find_map(|(level, name)| attrs_of(record, level).get(name).and_then(value_text))
        }
    }
}

fn attrs_of<'a>(record: &'a Stored, level: Level) -> Attrs<'a> {
    match level {
        Level::Resource => record.resource().attrs(),
        Level::Scope => record.scope().attrs(),
        Level::Record => record.attrs(),
    }
}

fn most_frequent(counts: BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    counts
}

fn table(signal: Signal, records: &[&Stored], agg: &Agg) -> Table {
    let total = exact(records.len());
    match agg {
        Agg::Count => Table::Count(total),
        Agg::Histogram { start, width, buckets } => {
            let mut counts = vec![[0; 7]; *buckets];
            for record in records {
                let level = match signal {
                    Signal::Logs => match record.log().log.severity.0 {
                        n if n <= 0 => 0,
                        n => 1 + (n.min(24) as usize - 1) / 4,
                    },
                    _ => 0,
                };
                let bucket = record.time().checked_sub(*start).map(|at| at / (*width).max(1));
                if let Some(count) = bucket.and_then(|at| counts.get_mut(usize::try_from(at).ok()?)) {
                    count[level] += 1;
                }
            }
            Table::Histogram { total, counts }
        }
        Agg::Groups { by, limit } => {
            let (mut counts, mut missing) = (BTreeMap::new(), 0);
            for record in records {
                match group_value(record, by) {
                    Some(value) => *counts.entry(value).or_default() += 1,
                    None => missing += 1,
                }
            }
            let mut groups = most_frequent(counts);
            let other = groups.iter().skip(*limit).map(|(_, count)| count).sum();
            groups.truncate(*limit);
            Table::Groups { total, groups, other, missing }
        }
        Agg::Operations { limit } if signal == Signal::Spans => {
            let mut calls: BTreeMap<(String, String, i32), (Vec<u64>, u64)> = BTreeMap::new();
            for record in records {
                let span = record.span();
                let key = (span.resource.service().to_owned(), span.span.name.to_owned(), span.span.kind.0);
                let (durations, errors) = calls.entry(key).or_default();
                durations.push(span.span.duration());
                *errors += u64::from(record.is_error());
            }
            let row = |((service, operation, kind), (mut durations, errors)): (_, (Vec<u64>, u64))| {
                durations.sort_unstable();
                // Nearest rank.
                let rank = |percent: usize| durations[(durations.len() * percent).div_ceil(100).max(1) - 1];
                let (spans, p50, p95, max) = (durations.len() as u64, rank(50), rank(95), rank(100));
                OperationRow { service, operation, kind, spans, errors, p50, p95, max }
            };
            let mut rows: Vec<OperationRow> = calls.into_iter().map(row).collect();
            rows.sort_by_key(|row| Reverse(row.spans));
            rows.truncate(*limit);
            Table::Operations(rows)
        }
        Agg::Operations { .. } => Table::Operations(Vec::new()),
    }
}

#[async_trait]
impl Snapshot for MemorySnapshot {
    async fn trace(&self, trace: TraceId) -> Result<Vec<StoredSpan>, StoreError> {
        Ok(self.of_trace(Signal::Spans, trace).into_iter().map(Stored::stored_span).collect())
    }

    async fn trace_logs(&self, trace: TraceId, limit: usize) -> Result<(Vec<StoredLog>, Total), StoreError> {
        let logs = self.of_trace(Signal::Logs, trace);
        Ok((logs.iter().take(limit).map(|log| log.stored_log()).collect(), exact(logs.len())))
    }

    async fn trace_row(&self, trace: TraceId) -> Result<Option<TraceRow>, StoreError> {
        Ok(self.row(trace))
    }

    async fn logs(
        &self,
        query: &RecordQuery,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<StoredLog>, StoreError> {
        let mut logs = self.matching(Signal::Logs, &query.filter, query.range)?;
        logs.sort_by_key(|log| Reverse((log.time(), log.seq)));
        self.page(logs.into_iter().map(Stored::stored_log).collect(), limit, after)
    }

    async fn log(&self, id: &str) -> Result<Option<StoredLog>, StoreError> {
        let at = id.parse::<usize>().ok();
        Ok(at.and_then(|at| self.data.logs.get(at)).map(|log| log.stored_log()))
    }

    async fn traces(
        &self,
        query: &TraceQuery,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<(Page<TraceHit>, Total), StoreError> {
        let list = self.list(query)?;
        let total = exact(list.len());
        Ok((self.page(list, limit, after)?, total))
    }

    async fn trace_table(
        &self,
        query: &TraceQuery,
        limit: usize,
    ) -> Result<(Vec<TraceRow>, Total), StoreError> {
        let list = self.list(query)?;
        let total = exact(list.len());
        Ok((list.into_iter().take(limit).map(|hit| hit.row).collect(), total))
    }

    async fn trace_count(&self, query: &TraceQuery) -> Result<u64, StoreError> {
        Ok(self.list(query)?.len() as u64)
    }

    async fn aggregate(&self, signal: Signal, query: &RecordQuery, agg: &Agg) -> Result<Table, StoreError> {
        Ok(table(signal, &self.matching(signal, &query.filter, query.range)?, agg))
    }

    async fn services(&self, range: TimeRange) -> Result<Vec<ServiceRow>, StoreError> {
        let mut rows: BTreeMap<String, ServiceRow> = BTreeMap::new();
        for record in self.data.spans.iter().chain(&self.data.logs).filter(|r| range.contains(r.time())) {
            let row = rows.entry(record.resource().service().to_owned()).or_default();
            row.last_seen = row.last_seen.max(record.time());
            let error = u64::from(record.is_error());
            match record.signal {
                Signal::Spans => (row.spans, row.errors) = (row.spans + 1, row.errors + error),
                _ => (row.logs, row.error_logs) = (row.logs + 1, row.error_logs + error),
            }
        }
        Ok(rows.into_iter().map(|(name, row)| ServiceRow { name, ..row }).collect())
    }

    async fn keys(&self, signal: Signal, prefix: &str) -> Result<Vec<FieldKey>, StoreError> {
        let mut keys = BTreeSet::new();
        let own = if signal == Signal::Spans { "span" } else { "log" };
        for record in self.all(signal) {
            let levels = [
                ("resource", record.resource().attrs()),
                ("scope", record.scope().attrs()),
                (own, record.attrs()),
            ];
            for (level, attrs) in levels {
                let wanted = attrs.iter().filter(|attr| attr.key.starts_with(prefix));
                keys.extend(wanted.map(|attr| FieldKey { key: attr.key.to_owned(), level }));
            }
        }
        Ok(keys.into_iter().collect())
    }

    async fn values(
        &self,
        signal: Signal,
        key: &str,
        prefix: &str,
        limit: usize,
    ) -> Result<Values, StoreError> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let wanted: Vec<(Level, &str)> = match key {
            "service" => vec![(Level::Resource, "service.name")],
            key => places(key).collect(),
        };
        for record in self.all(signal) {
            let mut listed = Vec::new();
            match (key, signal) {
                ("operation", Signal::Spans) => listed.push(record.span().span.name.to_owned()),
                ("event", Signal::Spans) => {
                    let names: BTreeSet<&str> = record.span().span.events().map(|event| event.name).collect();
                    listed.extend(names.into_iter().map(str::to_owned));
                }
                ("event", _) if !record.log().log.event_name.is_empty() => {
                    listed.push(record.log().log.event_name.to_owned());
                }
                _ => {
                    for (level, name) in &wanted {
                        listed.extend(listed_values(attrs_of(record, *level), name));
                    }
                }
            }
            for value in listed.into_iter().filter(|value| value.starts_with(prefix)) {
                *counts.entry(value).or_default() += 1;
            }
        }
        let mut values = most_frequent(counts);
        let complete = values.len() <= limit;
        values.truncate(limit);
        Ok(Values { values, complete })
    }

    async fn select(&self, matchers: &Matchers, range: TimeRange) -> Result<Vec<Series>, StoreError> {
        let mut series = Vec::new();
        for ((name, unit, attributes), points) in &self.data.points {
            let wanted = matchers.name.as_ref().is_none_or(|wanted| wanted == name)
                && matchers.attributes.iter().all(|attr| attributes.contains(attr));
            let points: Vec<(u64, f64)> =
                points.iter().filter(|(time, _)| range.contains(**time)).map(|(t, v)| (*t, *v)).collect();
            if wanted && !points.is_empty() {
                series.push(Series {
                    name: name.clone(),
                    unit: unit.clone(),
                    attributes: attributes.clone(),
                    points,
                });
            }
        }
        Ok(series)
    }

    async fn ledger(&self) -> Result<Vec<LedgerRow>, StoreError> {
        let row = |(&(incarnation, lane), ranges): (&(_, _), &crate::RangeSet)| LedgerRow {
            incarnation,
            lane,
            ranges: ranges.clone(),
        };
        Ok(self.data.ranges.iter().map(row).collect())
    }
}
