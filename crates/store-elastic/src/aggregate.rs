//! Counting records: totals, over time, by value, by operation.
//!
//! Where the query needs no verifying and the columns have what is asked, the engine counts. Else records are read and counted here.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use weir_model::filter::{Level, Matcher, places};
use weir_model::otlp::{Attrs, SpanKind, StatusCode};
use weir_model::{Severity, Signal};
use weir_store::{Agg, GroupKey, OperationRow, ServiceRow, Table, TimeRange, Total, value_text};

use crate::document::{BODY, Body, COLUMNS, Source};
use crate::error::Error;
use crate::query::{Candidates, in_range};
use crate::template::{ordered, unordered};
use crate::view::{BODIES, Fields, Order, ROWS, Scan, Search, View};

/// Distinct values that an engine lists in one answer; where there are more they are counted here.
const VALUES: usize = 10_000;
/// Spans of time that an engine counts in one answer.
const BUCKETS: usize = 500;
/// Severities are few, but nothing keeps them so.
const SEVERITIES: usize = 1_000;

fn exact(value: u64) -> Total {
    Total { value, exact: true }
}

/// Reads a bucket of an aggregation: its key and number of records.
fn counts(buckets: &Value) -> impl Iterator<Item = (&Value, u64)> {
    let buckets = buckets.as_array().map(Vec::as_slice).unwrap_or_default();
    buckets.iter().map(|bucket| (&bucket["key"], bucket["doc_count"].as_u64().unwrap_or(0)))
}

/// Column of histograms that a severity belongs to.
fn column(severity: i64) -> usize {
    if severity <= 0 { 0 } else { 1 + (severity.min(24) as usize - 1) / 4 }
}

impl View {
    pub(crate) async fn table(
        &self,
        signal: Signal,
        query: &Candidates,
        matcher: &Matcher,
        agg: &Agg,
    ) -> Result<Table, Error> {
        if query.exact {
            match agg {
                Agg::Count => return Ok(Table::Count(exact(self.count(query).await?))),
                Agg::Histogram { start, width, buckets } if *buckets <= BUCKETS => {
                    return self.histogram(signal, query, *start, (*width).max(1), *buckets).await;
                }
                Agg::Groups { by: GroupKey::Attribute(key), limit } => {
                    if let Some(table) = self.attribute_groups(query, key, *limit).await? {
                        return Ok(table);
                    }
                }
                Agg::Groups { by, limit } => {
                    if let Some(table) = self.groups(signal, query, by, *limit).await? {
                        return Ok(table);
                    }
                }
                _ => {}
            }
        }
        let mut tally = Tally::new(signal, agg);
        let bodies = !query.exact || tally.wants_attributes();
        let (fields, size) = if bodies { (BODY, BODIES) } else { (COLUMNS, ROWS) };
        let fields = Fields::Stored(fields);
        let search = Search { query, order: Order::Newest, fields, size, after: None };
        let mut scan = Scan::new(self, search);
        while let Some(hits) = scan.next().await? {
            for mut hit in hits {
                let source = hit.source()?;
                if !bodies {
                    tally.row(&Row::of_columns(source));
                    continue;
                }
                let body = source.body(signal)?;
                if query.exact || body.matches(matcher) {
                    tally.row(&Row::of_body(unordered(source.time), body));
                }
            }
        }
        Ok(tally.finish())
    }

    async fn histogram(
        &self,
        signal: Signal,
        query: &Candidates,
        start: u64,
        width: u64,
        buckets: usize,
    ) -> Result<Table, Error> {
        let mut table = vec![[0; 7]; buckets];
        // Doubles, with which engines divide time by themselves, are not exact to the nanosecond.
        let mut filters = Vec::new();
        for n in 0..buckets as u64 {
            let Some(from) = n.checked_mul(width).and_then(|at| start.checked_add(at)) else { break };
            let range = match from.checked_add(width) {
                Some(to) => json!({ "gte": ordered(from), "lt": ordered(to) }),
                None => json!({ "gte": ordered(from) }),
            };
            filters.push(json!({ "range": { "time": range } }));
        }
        if filters.is_empty() {
            return Ok(Table::Histogram { total: exact(self.count(query).await?), counts: table });
        }
        let mut times = json!({ "filters": { "filters": filters } });
        if signal == Signal::Logs {
            times["aggs"] = json!({ "levels": { "terms": { "field": "severity", "size": SEVERITIES } } });
        }
        let answer = self.aggregate(query, json!({ "times": times })).await?;
        let found = answer["times"]["buckets"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (counted, bucket) in table.iter_mut().zip(found) {
            if signal == Signal::Logs {
                for (severity, count) in counts(&bucket["levels"]["buckets"]) {
                    counted[column(severity.as_i64().unwrap_or(0))] += count;
                }
            } else {
                counted[0] = bucket["doc_count"].as_u64().unwrap_or(0);
            }
        }
        Ok(Table::Histogram { total: exact(answer["total"].as_u64().unwrap_or(0)), counts: table })
    }

    /// `None` where the engine can't tell.
    async fn groups(
        &self,
        signal: Signal,
        query: &Candidates,
        by: &GroupKey,
        limit: usize,
    ) -> Result<Option<Table>, Error> {
        let (field, name): (_, fn(&Value) -> String) = match (by, signal) {
            (GroupKey::Service, _) => ("service", |key| key.as_str().unwrap_or_default().to_owned()),
            (GroupKey::Operation, Signal::Spans) => {
                ("name", |key| key.as_str().unwrap_or_default().to_owned())
            }
            (GroupKey::Kind, Signal::Spans) => ("kind", |key| SpanKind(number(key)).name().to_owned()),
            (GroupKey::Status, Signal::Spans) => ("status", |key| StatusCode(number(key)).name().to_owned()),
            (GroupKey::Severity, Signal::Logs) => {
                ("severity", |key| Severity(number(key)).level().to_owned())
            }
            _ => return Ok(None),
        };
        let values = json!({ "terms": { "field": field, "size": VALUES } });
        let answer = self.aggregate(query, json!({ "values": values })).await?;
        if answer["values"]["sum_other_doc_count"] != 0 {
            return Ok(None);
        }
        let mut groups: BTreeMap<String, u64> = BTreeMap::new();
        for (key, count) in counts(&answer["values"]["buckets"]) {
            *groups.entry(name(key)).or_default() += count;
        }
        let total = answer["total"].as_u64().unwrap_or(0);
        let missing = total.saturating_sub(groups.values().sum());
        Ok(Some(groups_table(total, groups, limit, missing)))
    }

    pub(crate) async fn services(&self, range: TimeRange) -> Result<Vec<ServiceRow>, Error> {
        let mut rows: BTreeMap<String, ServiceRow> = BTreeMap::new();
        for signal in [Signal::Spans, Signal::Logs] {
            let errors = match signal {
                Signal::Spans => json!({ "term": { "status": StatusCode::ERROR.0 } }),
                _ => json!({ "range": { "severity": { "gte": Severity::ERROR.0 } } }),
            };
            // The greatest time as a double would not be exact to the nanosecond.
            let newest =
                json!({ "top_hits": { "size": 1, "sort": [{ "time": "desc" }], "_source": ["time"] } });
            let services = json!({
                "terms": { "field": "service", "size": VALUES, "missing": "" },
                "aggs": { "errors": { "filter": errors }, "newest": newest },
            });
            let answer = self.aggregate(&in_range(signal, range), json!({ "services": services })).await?;
            for bucket in answer["services"]["buckets"].as_array().into_iter().flatten() {
                let name = bucket["key"].as_str().unwrap_or_default();
                let count = bucket["doc_count"].as_u64().unwrap_or(0);
                let errors = bucket["errors"]["doc_count"].as_u64().unwrap_or(0);
                let time = bucket["newest"]["hits"]["hits"][0]["_source"]["time"].as_i64();
                let row = rows.entry(name.to_owned()).or_default();
                row.last_seen = row.last_seen.max(time.map_or(0, unordered));
                match signal {
                    Signal::Spans => (row.spans, row.errors) = (count, errors),
                    _ => (row.logs, row.error_logs) = (count, errors),
                }
            }
        }
        Ok(rows.into_iter().map(|(name, row)| ServiceRow { name, ..row }).collect())
    }
}

fn number(key: &Value) -> i32 {
    key.as_i64().and_then(|n| i32::try_from(n).ok()).unwrap_or(0)
}

/// What of a record is counted.
struct Row {
    time: u64,
    service: Option<String>,
    name: String,
    kind: i32,
    status: i32,
    severity: i32,
    duration: u64,
    body: Option<Body>,
}

impl Row {
    fn of_columns(source: Source) -> Self {
        Self {
            time: unordered(source.time),
            service: source.service,
            name: source.name.unwrap_or_default(),
            kind: source.kind,
            status: source.status,
            severity: source.severity,
            // Only what ends more than 292 years after it began is cut in the column.
            duration: unordered(source.end).saturating_sub(unordered(source.time)),
            body: None,
        }
    }

    fn of_body(time: u64, body: Body) -> Self {
        let mut row = Self {
            time,
            service: None,
            name: String::new(),
            kind: 0,
            status: 0,
            severity: 0,
            duration: 0,
            body: None,
        };
        let resource = match body.signal {
            Signal::Spans => {
                let span = body.span();
                row.name = span.span.name.to_owned();
                (row.kind, row.status) = (span.span.kind.0, span.span.status.code.0);
                row.duration = span.span.duration();
                span.resource
            }
            _ => {
                row.severity = body.log().log.severity.0;
                body.log().resource
            }
        };
        row.service = resource.attrs().get("service.name").and_then(value_text);
        row.body = Some(body);
        row
    }
}

/// Durations and errors of an operation.
type Calls = (Vec<u64>, u64);

/// Counts records.
struct Tally<'a> {
    signal: Signal,
    agg: &'a Agg,
    total: u64,
    columns: Vec<[u64; 7]>,
    groups: BTreeMap<String, u64>,
    missing: u64,
    operations: HashMap<(String, String, i32), Calls>,
}

impl<'a> Tally<'a> {
    fn new(signal: Signal, agg: &'a Agg) -> Self {
        let buckets = if let Agg::Histogram { buckets, .. } = agg { *buckets } else { 0 };
        Self {
            signal,
            agg,
            total: 0,
            columns: vec![[0; 7]; buckets],
            groups: BTreeMap::new(),
            missing: 0,
            operations: HashMap::new(),
        }
    }

    fn wants_attributes(&self) -> bool {
        matches!(self.agg, Agg::Groups { by: GroupKey::Attribute(_), .. })
    }

    fn row(&mut self, row: &Row) {
        self.total += 1;
        match self.agg {
            Agg::Count => {}
            Agg::Histogram { start, width, .. } => {
                let at = row.time.checked_sub(*start).map(|at| at / (*width).max(1));
                let column = if self.signal == Signal::Logs { column(row.severity.into()) } else { 0 };
                if let Some(counts) = at.and_then(|at| self.columns.get_mut(usize::try_from(at).ok()?)) {
                    counts[column] += 1;
                }
            }
            Agg::Groups { by, .. } => match self.value(by, row) {
                Some(value) => *self.groups.entry(value).or_default() += 1,
                None => self.missing += 1,
            },
            Agg::Operations { .. } => {
                let key = (row.service.clone().unwrap_or_default(), row.name.clone(), row.kind);
                let calls = self.operations.entry(key).or_default();
                calls.0.push(row.duration);
                calls.1 += u64::from(StatusCode(row.status) == StatusCode::ERROR);
            }
        }
    }

    fn value(&self, by: &GroupKey, row: &Row) -> Option<String> {
        let span = self.signal == Signal::Spans;
        match by {
            GroupKey::Service => row.service.clone(),
            GroupKey::Operation => span.then(|| row.name.clone()),
            GroupKey::Kind => span.then(|| SpanKind(row.kind).name().to_owned()),
            GroupKey::Status => span.then(|| StatusCode(row.status).name().to_owned()),
            GroupKey::Severity => (!span).then(|| Severity(row.severity).level().to_owned()),
            GroupKey::Attribute(key) => attribute(row.body.as_ref()?, key),
        }
    }

    fn finish(self) -> Table {
        match self.agg {
            Agg::Count => Table::Count(exact(self.total)),
            Agg::Histogram { .. } => Table::Histogram { total: exact(self.total), counts: self.columns },
            Agg::Groups { limit, .. } => groups_table(self.total, self.groups, *limit, self.missing),
            Agg::Operations { .. } if self.signal != Signal::Spans => Table::Operations(Vec::new()),
            Agg::Operations { limit } => operations_table(self.operations, *limit),
        }
    }
}

/// The value of an attribute: of the resource, else of the scope, else the record's own.
fn attribute(body: &Body, key: &str) -> Option<String> {
    let (resource, scope, own) = match body.signal {
        Signal::Spans => (body.span().resource, body.span().scope, body.span().span.attrs()),
        _ => (body.log().resource, body.log().scope, body.log().log.attrs()),
    };
    let text = |attrs: Attrs<'_>, key: &str| attrs.get(key).and_then(value_text);
    places(key).find_map(|(level, name)| match level {
        Level::Resource => text(resource.attrs(), name),
        Level::Scope => text(scope.attrs(), name),
        Level::Record => text(own, name),
    })
}

pub(crate) fn groups_table(total: u64, groups: BTreeMap<String, u64>, limit: usize, missing: u64) -> Table {
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let other = groups.iter().skip(limit).map(|(_, count)| count).sum();
    groups.truncate(limit);
    Table::Groups { total: exact(total), groups, other, missing }
}

fn operations_table(operations: HashMap<(String, String, i32), Calls>, limit: usize) -> Table {
    let row = |((service, operation, kind), (mut durations, errors)): ((String, String, i32), Calls)| {
        durations.sort_unstable();
        // Nearest rank.
        let rank = |percent: usize| durations[(durations.len() * percent).div_ceil(100).max(1) - 1];
        let (p50, p95, max) = (rank(50), rank(95), rank(100));
        OperationRow { service, operation, kind, spans: durations.len() as u64, errors, p50, p95, max }
    };
    let mut rows: Vec<_> = operations.into_iter().map(row).collect();
    rows.sort_unstable_by(|a, b| {
        let names = |row: &OperationRow| (row.service.clone(), row.operation.clone(), row.kind);
        b.spans.cmp(&a.spans).then_with(|| names(a).cmp(&names(b)))
    });
    rows.truncate(limit);
    Table::Operations(rows)
}
