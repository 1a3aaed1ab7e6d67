//! Answering queries on one consistent state.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use weir_model::{Signal, TraceId};
use weir_store::{
    Agg, Cursor, FieldKey, LedgerRow, Matchers, Page, RecordQuery, Series, ServiceRow, Snapshot, StoreError,
    StoreErrorKind, StoredLog, StoredSpan, Table, TimeRange, Total, TraceHit, TraceQuery, TraceRow, Values,
};

use crate::aggregate;
use crate::error::Error;
use crate::listing::{self, Listed};
use crate::newest::{Newest, Visitor};
use crate::part::PartView;
use crate::scan::{Candidate, Search, stored_log, stored_span};
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

/// The newest records so far.
struct LogList {
    /// One more is kept, which tells that there are more.
    limit: usize,
    /// Only records before this one in the list: time and number.
    below: Option<(u64, u64)>,
    /// The least one stands on top, to be thrown out by a newer one.
    newest: BinaryHeap<Reverse<(u64, u64)>>,
}

impl LogList {
    fn least(&self) -> Option<(u64, u64)> {
        self.newest.peek().filter(|_| self.newest.len() > self.limit).map(|Reverse(key)| *key)
    }
}

impl Visitor for LogList {
    fn visit(&mut self, _: usize, candidate: &Candidate<'_>) -> Result<(), Error> {
        let key = (candidate.time, candidate.seq);
        let wanted =
            self.below.is_none_or(|below| key < below) && self.least().is_none_or(|least| key > least);
        if wanted && candidate.matches()? {
            self.newest.push(Reverse(key));
            if self.newest.len() > self.limit + 1 {
                self.newest.pop();
            }
        }
        Ok(())
    }

    fn has_enough(&mut self, left: u64) -> Result<bool, Error> {
        Ok(self.least().is_some_and(|(time, _)| time > left))
    }
}

pub(crate) fn refused(error: weir_model::filter::ParseError) -> StoreError {
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
        let to = after.map_or(u64::MAX, |mark| mark.time.saturating_add(1));
        let range = TimeRange { from: query.range.from, to: query.range.to.min(to) };
        let search = Search { below_seq, ..Search::new(&self.logs, &query.filter, range).map_err(refused)? };
        let below = after.map(|mark| (mark.time, mark.tie));
        let mut list = LogList { limit, below, newest: BinaryHeap::new() };
        Newest::new([search]).run(&mut list).map_err(Error::on_read)?;
        let mut keys: Vec<_> = list.newest.into_iter().map(|Reverse(key)| key).collect();
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
    pub(crate) fn row(&self, trace: TraceId) -> Result<Option<Row>, Error> {
        let mut merged: Option<Row> = None;
        for part in [&self.spans, &self.logs] {
            part.row(trace, &mut merged)?;
        }
        Ok(merged)
    }

    /// All traces that satisfy a query, newest first.
    fn list(&self, query: &TraceQuery) -> Result<Arc<Vec<Listed>>, StoreError> {
        let key = format!("{}|{:?}", query.filter, query.range);
        if let Some((_, list)) = self.lists.lock().iter().find(|(k, _)| *k == key) {
            return Ok(list.clone());
        }
        let list = Arc::new(listing::traces(self, query, None)?.list);
        let mut lists = self.lists.lock();
        if lists.len() == KEPT_LISTS {
            lists.pop_front();
        }
        lists.push_back((key, list.clone()));
        Ok(list)
    }

    fn traces(
        &self,
        query: &TraceQuery,
        limit: usize,
        after: Option<Mark>,
    ) -> Result<(Vec<TraceHit>, Option<Mark>, Total), StoreError> {
        let hit = |listed: &Listed| {
            let row = self.row(listed.trace).map_err(Error::on_read)?.unwrap_or_default();
            Ok(TraceHit { row: row.finish(listed.trace), newest: listed.newest.0, matched: listed.matched })
        };
        let hits = |listed: &[Listed]| listed.iter().map(hit).collect::<Result<_, StoreError>>();
        let mark =
            |to: usize| Mark { view: self.id, below_seq: self.spans.next_seq, time: 0, tie: to as u64 };
        let Some(after) = after else {
            let found = listing::traces(self, query, Some(limit))?;
            let to = limit.min(found.list.len());
            let more = found.list.len() > limit;
            return Ok((hits(&found.list[..to])?, more.then(|| mark(to)), found.total));
        };
        let list = self.list(query)?;
        let from = (after.tie as usize).min(list.len());
        let to = (from + limit).min(list.len());
        let total = Total { value: list.len() as u64, exact: true };
        Ok((hits(&list[from..to])?, (to < list.len()).then(|| mark(to)), total))
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
        self.ask(move |view| Ok(view.row(trace).map_err(Error::on_read)?.map(|row| row.finish(trace)))).await
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
    ) -> Result<(Page<TraceHit>, Total), StoreError> {
        let mark = after.map(Mark::parse).transpose()?;
        let query = query.clone();
        let (items, mark, total) = self.ask(move |view| view.traces(&query, limit, mark)).await?;
        Ok((self.page(items, mark), total))
    }

    async fn trace_table(
        &self,
        query: &TraceQuery,
        limit: usize,
    ) -> Result<(Vec<TraceRow>, Total), StoreError> {
        let query = query.clone();
        self.ask(move |view| {
            let (hits, _, total) = view.traces(&query, limit, None)?;
            Ok((hits.into_iter().map(|hit| hit.row).collect(), total))
        })
        .await
    }

    async fn trace_count(&self, query: &TraceQuery) -> Result<u64, StoreError> {
        let query = query.clone();
        self.ask(move |view| Ok(view.list(&query)?.len() as u64)).await
    }

    async fn aggregate(&self, signal: Signal, query: &RecordQuery, agg: &Agg) -> Result<Table, StoreError> {
        let (query, agg) = (query.clone(), agg.clone());
        self.ask(move |view| {
            let search = Search::new(view.part(signal), &query.filter, query.range).map_err(refused)?;
            aggregate::table(search, &agg).map_err(Error::on_read)
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
