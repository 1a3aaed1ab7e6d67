//! Answering queries on one consistent state.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use weir_model::filter::{Filter, Matcher, TraceFacts};
use weir_model::{Signal, TraceId};
use weir_store::{
    Agg, Cursor, FieldKey, LedgerRow, Matchers, Page, RecordQuery, Series, ServiceRow, Snapshot, StoreError,
    StoreErrorKind, StoredLog, StoredSpan, Table, TimeRange, Total, TraceHit, TraceQuery, TraceRow, Values,
};

use crate::aggregate;
use crate::error::Error;
use crate::part::PartView;
use crate::scan::{Search, stored_log, stored_span};
use crate::table::Row;
use crate::values;

/// Snapshots that are kept for the next page of a list.
const KEPT_SNAPSHOTS: usize = 32;
/// Lists of traces that a snapshot keeps for the next page.
const KEPT_LISTS: usize = 4;

/// One state of the store.
pub(crate) struct View {
    pub(crate) id: u64,
    pub(crate) spans: PartView,
    pub(crate) logs: PartView,
    pub(crate) ledger: Vec<LedgerRow>,
    pub(crate) points: crate::points::PointsView,
    /// Traces that satisfied a query, in order, for its next page.
    lists: Mutex<VecDeque<(String, Arc<Vec<Listed>>)>>,
}

/// A trace in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listed {
    newest: Reverse<u64>,
    trace: TraceId,
    matched: u64,
}

/// States that a cursor may come back to.
#[derive(Default)]
pub(crate) struct Kept(Mutex<VecDeque<Arc<View>>>);

impl Kept {
    fn keep(&self, view: &Arc<View>) {
        let mut kept = self.0.lock();
        if kept.iter().any(|other| other.id == view.id) {
            return;
        }
        if kept.len() == KEPT_SNAPSHOTS {
            kept.pop_front();
        }
        kept.push_back(view.clone());
    }

    pub(crate) fn find(&self, id: u64) -> Option<Arc<View>> {
        self.0.lock().iter().find(|view| view.id == id).cloned()
    }
}

/// Where a list goes on: the state it was made on, up to which records it may use, and the last entry that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) view: u64,
    pub(crate) below_seq: u64,
    time: u64,
    /// Number of a record, or of an entry in a list of traces.
    tie: u64,
}

impl Mark {
    pub(crate) fn parse(cursor: &Cursor) -> Result<Self, StoreError> {
        let mut parts = cursor.0.split('.').map(|part| u64::from_str_radix(part, 16).ok());
        let mut next = || parts.next().flatten();
        match (next(), next(), next(), next()) {
            (Some(view), Some(below_seq), Some(time), Some(tie)) => Ok(Self { view, below_seq, time, tie }),
            _ => Err(StoreError {
                kind: StoreErrorKind::Query,
                message: "the cursor is not one that this server gave".into(),
            }),
        }
    }

    fn cursor(self) -> Cursor {
        Cursor(format!("{:x}.{:x}.{:x}.{:x}", self.view, self.below_seq, self.time, self.tie))
    }
}

fn refused(error: weir_model::filter::ParseError) -> StoreError {
    StoreError { kind: StoreErrorKind::Query, message: error.message }
}

impl View {
    pub(crate) fn new(
        id: u64,
        spans: PartView,
        logs: PartView,
        ledger: Vec<LedgerRow>,
        points: crate::points::PointsView,
    ) -> Self {
        Self { id, spans, logs, ledger, points, lists: Mutex::default() }
    }

    pub(crate) fn part(&self, signal: Signal) -> &PartView {
        match signal {
            Signal::Logs => &self.logs,
            _ => &self.spans,
        }
    }

    fn logs(
        &self,
        query: &RecordQuery,
        limit: usize,
        after: Option<Mark>,
    ) -> Result<(Vec<StoredLog>, Option<Mark>), StoreError> {
        let below_seq = after.map_or(self.logs.next_seq, |mark| mark.below_seq);
        let matcher = Matcher::new(&query.filter).map_err(refused)?;
        let search = Search { filter: &query.filter, matcher, range: query.range, below_seq };
        // The smallest of the newest stands on top, to be thrown out by a newer one.
        let mut newest: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
        let scanned = self.logs.scan(&search, &mut |candidate| {
            let key = (candidate.time, candidate.seq);
            let wanted = after.is_none_or(|mark| key < (mark.time, mark.tie))
                && (newest.len() <= limit || newest.peek().is_some_and(|Reverse(least)| key > *least));
            if wanted && candidate.matches()? {
                newest.push(Reverse(key));
                if newest.len() > limit + 1 {
                    newest.pop();
                }
            }
            Ok(())
        });
        scanned.map_err(Error::on_read)?;
        let mut keys: Vec<_> = newest.into_iter().map(|Reverse(key)| key).collect();
        keys.sort_unstable_by_key(|key| Reverse(*key));
        let more = keys.len() > limit;
        keys.truncate(limit);
        let mark =
            keys.last().filter(|_| more).map(|&(time, tie)| Mark { view: self.id, below_seq, time, tie });
        let load = |(_, seq): (u64, u64)| match self.logs.by_seq(seq) {
            Ok(Some(parts)) => Ok(stored_log(seq, parts)),
            Ok(None) => Err(Error::damaged("a record that was found can't be read").on_read()),
            Err(error) => Err(error.on_read()),
        };
        Ok((keys.into_iter().map(load).collect::<Result<_, _>>()?, mark))
    }

    /// What all shards know of a trace.
    fn row(&self, trace: TraceId) -> Result<Option<Row>, StoreError> {
        let mut merged: Option<Row> = None;
        for part in [&self.spans, &self.logs] {
            part.row(trace, &mut merged).map_err(Error::on_read)?;
        }
        Ok(merged)
    }

    /// Traces that satisfy a query, newest first.
    fn list(&self, query: &TraceQuery) -> Result<Arc<Vec<Listed>>, StoreError> {
        let key = format!("{}|{:?}", query.filter, query.range);
        if let Some((_, list)) = self.lists.lock().iter().find(|(k, _)| *k == key) {
            return Ok(list.clone());
        }
        let list = Arc::new(self.make_list(query)?);
        let mut lists = self.lists.lock();
        if lists.len() == KEPT_LISTS {
            lists.pop_front();
        }
        lists.push_back((key, list.clone()));
        Ok(list)
    }

    fn make_list(&self, query: &TraceQuery) -> Result<Vec<Listed>, StoreError> {
        let (spans, traces) = query.filter.clone().split_trace().map_err(refused)?;
        // Newest match and number of matches of each trace.
        let mut found: HashMap<TraceId, (u64, u64)> = HashMap::new();
        if spans == Filter::All && query.range == TimeRange::ALL {
            let newest = |found: &mut HashMap<TraceId, (u64, u64)>, trace, time: u64| {
                let entry = found.entry(trace).or_default();
                entry.0 = entry.0.max(time);
            };
            self.spans
                .each_row(&mut |trace, row| newest(&mut found, trace, row.newest))
                .map_err(Error::on_read)?;
            // A line does not move the trace of a span.
            let mut lines = HashMap::new();
            self.logs
                .each_row(&mut |trace, row| {
                    if !found.contains_key(&trace) {
                        newest(&mut lines, trace, row.newest);
                    }
                })
                .map_err(Error::on_read)?;
            found.extend(lines);
        } else {
            self.matching(&self.spans, &spans, query.range, &mut found)?;
            if spans == Filter::All {
                let mut lines = HashMap::new();
                self.matching(&self.logs, &spans, query.range, &mut lines)?;
                for (trace, (newest, _)) in lines {
                    if found.contains_key(&trace) {
                        continue;
                    }
                    let mut spans = None;
                    self.spans.row(trace, &mut spans).map_err(Error::on_read)?;
                    if spans.is_none() {
                        found.insert(trace, (newest, 0));
                    }
                }
                found.values_mut().for_each(|entry| entry.1 = 0);
            }
        }
        let mut list = Vec::with_capacity(found.len());
        let matcher = Matcher::new(&traces).map_err(refused)?;
        for (trace, (newest, matched)) in found {
            if traces == Filter::All || self.satisfies(trace, &matcher, &traces)? {
                list.push(Listed { newest: Reverse(newest), trace, matched });
            }
        }
        list.sort_unstable();
        Ok(list)
    }

    fn matching(
        &self,
        part: &PartView,
        filter: &Filter,
        range: TimeRange,
        found: &mut HashMap<TraceId, (u64, u64)>,
    ) -> Result<(), StoreError> {
        let matcher = Matcher::new(filter).map_err(refused)?;
        let search = Search { filter, matcher, range, below_seq: part.next_seq };
        let scanned = part.scan(&search, &mut |candidate| {
            if let Some(trace) = candidate.trace()
                && candidate.matches()?
            {
                let entry = found.entry(trace).or_default();
                *entry = (entry.0.max(candidate.time), entry.1 + 1);
            }
            Ok(())
        });
        scanned.map_err(Error::on_read)
    }

    fn satisfies(&self, trace: TraceId, matcher: &Matcher, filter: &Filter) -> Result<bool, StoreError> {
        let Some(row) = self.row(trace)?.map(|row| row.finish(trace)) else { return Ok(false) };
        let mut services = Vec::new();
        if filter.asks_services() {
            let mut names = std::collections::BTreeSet::new();
            self.spans
                .of_trace(trace, &mut |_, parts| {
                    names.insert(parts.span().resource.service().to_owned());
                })
                .map_err(Error::on_read)?;
            services = names.into_iter().collect();
        }
        let services: Vec<&str> = services.iter().map(String::as_str).collect();
        let entry = row.entry.as_ref().map(|entry| entry.name.as_str());
        let facts = TraceFacts {
            duration: row.duration,
            spans: row.spans,
            errors: row.errors,
            services: &services,
            entry,
        };
        Ok(matcher.matches_trace(&facts))
    }

    fn traces(
        &self,
        query: &TraceQuery,
        limit: usize,
        after: Option<Mark>,
    ) -> Result<(Vec<TraceHit>, Option<Mark>), StoreError> {
        let list = self.list(query)?;
        let from = after.map_or(0, |mark| mark.tie as usize).min(list.len());
        let to = (from + limit).min(list.len());
        let hit = |listed: &Listed| {
            let row = self.row(listed.trace)?.unwrap_or_default().finish(listed.trace);
            Ok(TraceHit { row, newest: listed.newest.0, matched: listed.matched })
        };
        let mark = Mark { view: self.id, below_seq: self.spans.next_seq, time: 0, tie: to as u64 };
        let hits = list[from..to].iter().map(hit).collect::<Result<_, StoreError>>()?;
        Ok((hits, (to < list.len()).then_some(mark)))
    }

    fn services(&self, range: TimeRange) -> Result<Vec<ServiceRow>, StoreError> {
        let mut rows: BTreeMap<String, ServiceRow> = BTreeMap::new();
        for signal in [Signal::Spans, Signal::Logs] {
            let counts = aggregate::by_resource(self.part(signal), range).map_err(Error::on_read)?;
            for (service, count) in counts {
                let row = rows.entry(service).or_default();
                row.last_seen = row.last_seen.max(count.newest);
                match signal {
                    Signal::Spans => {
                        (row.spans, row.errors) = (row.spans + count.records, row.errors + count.errors)
                    }
                    _ => {
                        (row.logs, row.error_logs) = (row.logs + count.records, row.error_logs + count.errors)
                    }
                }
            }
        }
        Ok(rows.into_iter().map(|(name, row)| ServiceRow { name, ..row }).collect())
    }
}

/// A [`View`] behind the seam: queries run on threads that may block.
pub(crate) struct TantivySnapshot {
    pub(crate) view: Arc<View>,
    pub(crate) kept: Arc<Kept>,
}

impl TantivySnapshot {
    async fn ask<R: Send + 'static>(
        &self,
        query: impl FnOnce(&View) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let view = self.view.clone();
        tokio::task::spawn_blocking(move || query(&view)).await.unwrap_or_else(|error| {
            Err(StoreError { kind: StoreErrorKind::Broken, message: format!("the query failed: {error}") })
        })
    }

    fn page<T>(&self, items: Vec<T>, mark: Option<Mark>) -> Page<T> {
        if mark.is_some() {
            self.kept.keep(&self.view);
        }
        Page { items, next: mark.map(Mark::cursor) }
    }
}

#[async_trait]
impl Snapshot for TantivySnapshot {
    async fn trace(&self, trace: TraceId) -> Result<Vec<StoredSpan>, StoreError> {
        self.ask(move |view| {
            let mut spans = Vec::new();
            view.spans
                .of_trace(trace, &mut |seq, parts| {
                    spans.push((parts.span().span.start, seq, stored_span(parts)))
                })
                .map_err(Error::on_read)?;
            spans.sort_by_key(|(start, seq, _)| (*start, *seq));
            Ok(spans.into_iter().map(|(_, _, span)| span).collect())
        })
        .await
    }

    async fn trace_logs(&self, trace: TraceId, limit: usize) -> Result<(Vec<StoredLog>, Total), StoreError> {
        self.ask(move |view| {
            let mut logs = Vec::new();
            view.logs
                .of_trace(trace, &mut |seq, parts| logs.push((parts.log().log.effective_time(), seq, parts)))
                .map_err(Error::on_read)?;
            logs.sort_by_key(|(time, seq, _)| (*time, *seq));
            let total = Total { value: logs.len() as u64, exact: true };
            Ok((logs.into_iter().take(limit).map(|(_, seq, parts)| stored_log(seq, parts)).collect(), total))
        })
        .await
    }

    async fn trace_row(&self, trace: TraceId) -> Result<Option<TraceRow>, StoreError> {
        self.ask(move |view| Ok(view.row(trace)?.map(|row| row.finish(trace)))).await
    }

    async fn logs(
        &self,
        query: &RecordQuery,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<StoredLog>, StoreError> {
        let mark = after.map(Mark::parse).transpose()?;
        let query = query.clone();
        let (items, mark) = self.ask(move |view| view.logs(&query, limit, mark)).await?;
        Ok(self.page(items, mark))
    }

    async fn log(&self, id: &str) -> Result<Option<StoredLog>, StoreError> {
        let Ok(seq) = id.parse::<u64>() else { return Ok(None) };
        self.ask(move |view| {
            Ok(view.logs.by_seq(seq).map_err(Error::on_read)?.map(|parts| stored_log(seq, parts)))
        })
        .await
    }

    async fn traces(
        &self,
        query: &TraceQuery,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<TraceHit>, StoreError> {
        let mark = after.map(Mark::parse).transpose()?;
        let query = query.clone();
        let (items, mark) = self.ask(move |view| view.traces(&query, limit, mark)).await?;
        Ok(self.page(items, mark))
    }

    async fn trace_table(
        &self,
        query: &TraceQuery,
        limit: usize,
    ) -> Result<(Vec<TraceRow>, Total), StoreError> {
        let query = query.clone();
        self.ask(move |view| {
            let total = Total { value: view.list(&query)?.len() as u64, exact: true };
            let (hits, _) = view.traces(&query, limit, None)?;
            Ok((hits.into_iter().map(|hit| hit.row).collect(), total))
        })
        .await
    }

    async fn aggregate(&self, signal: Signal, query: &RecordQuery, agg: &Agg) -> Result<Table, StoreError> {
        let (query, agg) = (query.clone(), agg.clone());
        self.ask(move |view| {
            let part = view.part(signal);
            let matcher = Matcher::new(&query.filter).map_err(refused)?;
            let search =
                Search { filter: &query.filter, matcher, range: query.range, below_seq: part.next_seq };
            aggregate::table(part, &search, &agg).map_err(Error::on_read)
        })
        .await
    }

    async fn services(&self, range: TimeRange) -> Result<Vec<ServiceRow>, StoreError> {
        self.ask(move |view| view.services(range)).await
    }

    async fn keys(&self, signal: Signal, prefix: &str) -> Result<Vec<FieldKey>, StoreError> {
        let prefix = prefix.to_owned();
        self.ask(move |view| values::keys(view.part(signal), &prefix).map_err(Error::on_read)).await
    }

    async fn values(
        &self,
        signal: Signal,
        key: &str,
        prefix: &str,
        limit: usize,
    ) -> Result<Values, StoreError> {
        let (key, prefix) = (key.to_owned(), prefix.to_owned());
        self.ask(move |view| values::values(view.part(signal), &key, &prefix, limit).map_err(Error::on_read))
            .await
    }

    async fn select(&self, matchers: &Matchers, range: TimeRange) -> Result<Vec<Series>, StoreError> {
        let matchers = matchers.clone();
        self.ask(move |view| view.points.select(&matchers, range).map_err(Error::on_read)).await
    }

    async fn ledger(&self) -> Result<Vec<LedgerRow>, StoreError> {
        Ok(self.view.ledger.clone())
    }
}
