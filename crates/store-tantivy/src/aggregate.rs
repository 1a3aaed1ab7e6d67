//! Counting records: totals, over time, by value, by operation.

use std::collections::HashMap;

use weir_model::Severity;
use weir_model::Signal;
use weir_model::filter::{Filter, Level, places};
use weir_model::otlp::{Attrs, Value};
use weir_store::{Agg, GroupKey, OperationRow, Table, TimeRange, Total, value_text};

use crate::error::Error;
use crate::part::PartView;
use crate::scan::{Candidate, Search};

/// Records of one service.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) records: u64,
    pub(crate) errors: u64,
    /// Nanoseconds since the Unix epoch.
    pub(crate) newest: u64,
}

impl Count {
    fn add(&mut self, other: Count) {
        self.records += other.records;
        self.errors += other.errors;
        self.newest = self.newest.max(other.newest);
    }
}

/// Counts by service.
pub(crate) fn by_resource(part: &PartView, range: TimeRange) -> Result<HashMap<String, Count>, Error> {
    let search = Search::new(part, &Filter::All, range).expect("nothing to refuse");
    // Names are looked up once per pair, not per record.
    let mut pairs: HashMap<(usize, u32), (Count, String)> = HashMap::new();
    let mut services: HashMap<String, Count> = HashMap::new();
    search.each(|candidate| {
        let one = Count { records: 1, errors: candidate.is_error() as u64, newest: candidate.time };
        let name = || candidate.with_resource(|resource, _| resource.service().to_owned());
        match candidate.pair_key() {
            Some(key) => pairs.entry(key).or_insert_with(|| (Count::default(), name())).0.add(one),
            None => services.entry(name()).or_default().add(one),
        }
        Ok(())
    })?;
    for (count, name) in pairs.into_values() {
        services.entry(name).or_default().add(count);
    }
    Ok(services)
}

pub(crate) fn table(search: Search<'_>, agg: &Agg) -> Result<Table, Error> {
    match agg {
        Agg::Count => {
            let mut count = 0;
            each(search, |_| {
                count += 1;
                Ok(())
            })?;
            Ok(Table::Count(exact(count)))
        }
        Agg::Histogram { start, width, buckets } => histogram(search, *start, (*width).max(1), *buckets),
        Agg::Groups { by, limit } => groups(search, by, *limit),
        Agg::Operations { limit } => operations(search, *limit),
    }
}

fn exact(value: u64) -> Total {
    Total { value, exact: true }
}

fn each(search: Search<'_>, mut visit: impl FnMut(&Candidate<'_>) -> Result<(), Error>) -> Result<(), Error> {
    search.each(|candidate| if candidate.matches()? { visit(candidate) } else { Ok(()) })
}

fn histogram(search: Search<'_>, start: u64, width: u64, buckets: usize) -> Result<Table, Error> {
    let signal = search.part.signal;
    let mut counts = vec![[0; 7]; buckets];
    let mut total = 0;
    each(search, |candidate| {
        total += 1;
        let level = match (signal, candidate.measure() as i32) {
            (Signal::Logs, 0) => 0,
            (Signal::Logs, n) => 1 + ((n.min(24) - 1) / 4) as usize,
            _ => 0,
        };
        if let Some(bucket) =
            candidate.time.checked_sub(start).and_then(|at| counts.get_mut((at / width) as usize))
        {
            bucket[level] += 1;
        }
        Ok(())
    })?;
    Ok(Table::Histogram { total: exact(total), counts })
}

fn groups(search: Search<'_>, by: &GroupKey, limit: usize) -> Result<Table, Error> {
    let signal = search.part.signal;
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut of_pair: HashMap<(usize, u32), Option<String>> = HashMap::new();
    let (mut total, mut missing) = (0, 0);
    each(search, |candidate| {
        total += 1;
        let lookup =
            || candidate.with_resource(|resource, scope| pair_value(by, resource.attrs(), scope.attrs()));
        let shared = match candidate.pair_key() {
            Some(key) => of_pair.entry(key).or_insert_with(lookup).clone(),
            None => lookup(),
        };
        let value = match shared {
            Some(value) => Some(value),
            None => record_value(signal, by, candidate)?,
        };
        match value {
            Some(value) => *counts.entry(value).or_default() += 1,
            None => missing += 1,
        }
        Ok(())
    })?;
    let mut groups: Vec<_> = counts.into_iter().collect();
    groups.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let other = groups.iter().skip(limit).map(|(_, count)| count).sum();
    groups.truncate(limit);
    Ok(Table::Groups { total: exact(total), groups, other, missing })
}

/// The value of a key that stands in the resource or scope.
fn pair_value(by: &GroupKey, resource: Attrs<'_>, scope: Attrs<'_>) -> Option<String> {
    let text = |value: Option<Value<'_>>| value.and_then(value_text);
    match by {
        GroupKey::Service => text(resource.get("service.name")),
        GroupKey::Attribute(key) => places(key).find_map(|(level, name)| match level {
            Level::Resource => text(resource.get(name)),
            Level::Scope => text(scope.get(name)),
            Level::Record => None,
        }),
        _ => None,
    }
}

fn record_value(signal: Signal, by: &GroupKey, candidate: &Candidate<'_>) -> Result<Option<String>, Error> {
    if *by == GroupKey::Severity && signal == Signal::Logs {
        return Ok(Some(Severity(candidate.measure() as i32).level().to_owned()));
    }
    if *by == GroupKey::Service {
        return Ok(None);
    }
    let parts = candidate.parts()?;
    let attribute = |attrs: Attrs<'_>, key: &str| {
        let mut own = places(key).filter(|(level, _)| *level == Level::Record);
        own.find_map(|(_, name)| attrs.get(name).and_then(value_text))
    };
    Ok(match (signal, by) {
        (Signal::Logs, GroupKey::Attribute(key)) => attribute(parts.log().log.attrs(), key),
        (_, GroupKey::Attribute(key)) => attribute(parts.span().span.attrs(), key),
        (Signal::Spans, GroupKey::Operation) => Some(parts.span().span.name.to_owned()),
        (Signal::Spans, GroupKey::Kind) => Some(parts.span().span.kind.name().to_owned()),
        (Signal::Spans, GroupKey::Status) => Some(parts.span().span.status.code.name().to_owned()),
        _ => None,
    })
}

fn operations(search: Search<'_>, limit: usize) -> Result<Table, Error> {
    if search.part.signal != Signal::Spans {
        return Ok(Table::Operations(Vec::new()));
    }
    /// Durations and errors.
    type Calls = (Vec<u64>, u64);
    let mut all: HashMap<(String, String, i32), Calls> = HashMap::new();
    each(search, |candidate| {
        let parts = candidate.parts()?;
        let span = parts.span();
        let key = (span.resource.service().to_owned(), span.span.name.to_owned(), span.span.kind.0);
        let calls = all.entry(key).or_default();
        calls.0.push(span.span.duration());
        calls.1 += candidate.is_error() as u64;
        Ok(())
    })?;
    let row = |((service, operation, kind), (mut durations, errors)): ((String, String, i32), Calls)| {
        durations.sort_unstable();
        // Nearest rank.
        let rank = |percent: usize| durations[(durations.len() * percent).div_ceil(100).max(1) - 1];
        let (p50, p95, max) = (rank(50), rank(95), rank(100));
        OperationRow { service, operation, kind, spans: durations.len() as u64, errors, p50, p95, max }
    };
    let mut rows: Vec<_> = all.into_iter().map(row).collect();
    rows.sort_unstable_by(|a, b| {
        b.spans
            .cmp(&a.spans)
            .then_with(|| (&a.service, &a.operation, a.kind).cmp(&(&b.service, &b.operation, b.kind)))
    });
    rows.truncate(limit);
    Ok(Table::Operations(rows))
}
