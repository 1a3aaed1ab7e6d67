//! Answering queries on one state.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde::Deserialize;
use weir_model::filter::Matcher;
use weir_model::{Signal, TraceId};
use weir_store::{
    Agg, Cursor, FieldKey, LedgerRow, Matchers, Page, RangeSet, RecordQuery, Series, ServiceRow, Snapshot,
    StoreError, StoreErrorKind, StoredLog, StoredSpan, Table, TimeRange, Total, TraceHit, TraceQuery,
    TraceRow, Values,
};

use crate::document::BODY;
use crate::error::Error;
use crate::lane::Ranges;
use crate::points::{Chunk, Joined};
use crate::query::{Candidates, ids, of_kind, of_trace, overlapping, with_text};
use crate::tokens::{LABEL, METRIC};
use crate::view::{BODIES, Fields, Order, Scan, Search, SortKey, View};

/// States that are kept for the next page of a list. Few: each holds a context in every shard, of which an engine has 300 a node by default, and other
/// processes that ask the same engine can't have them back. A list whose state is gone goes on without what was written since.
const KEPT_VIEWS: usize = 8;
/// Documents of points of a page of a scan: some megabytes.
const CHUNKS: usize = 500;

/// States that a cursor may come back to.
#[derive(Default)]
pub(crate) struct Kept(Mutex<VecDeque<Arc<View>>>);

impl Kept {
    fn keep(&self, view: &Arc<View>) {
        let mut kept = self.0.lock();
        if kept.iter().any(|other| other.id == view.id) {
            return;
        }
        kept.retain(|other| other.is_usable());
        if kept.len() == KEPT_VIEWS {
            kept.pop_front();
        }
        kept.push_back(view.clone());
    }

    /// The one that is kept for longest, to be given back before its time.
    pub(crate) fn oldest(&self) -> Option<Arc<View>> {
        self.0.lock().pop_front()
    }

    pub(crate) fn find(&self, id: u64) -> Option<Arc<View>> {
        self.0.lock().iter().find(|view| view.id == id && view.is_usable()).cloned()
    }
}

/// Where a list goes on: the state it was made on, when that was taken, and the last entry that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) view: u64,
    pub(crate) taken: u64,
    /// A record's place; of a list of traces only the first is used, for the number of the next one.
    key: SortKey,
}

impl Mark {
    pub(crate) fn parse(cursor: &Cursor) -> Result<Self, StoreError> {
        let parts: Option<Vec<u64>> =
            cursor.0.split('.').map(|part| u64::from_str_radix(part, 16).ok()).collect();
        match parts.as_deref() {
            Some(&[view, taken, a, b, c, d]) => {
                Ok(Self { view, taken, key: [a, b, c, d].map(|part| part as i64) })
            }
            _ => Err(StoreError {
                kind: StoreErrorKind::Query,
                message: "the cursor is not one that this server gave".into(),
            }),
        }
    }

    fn cursor(self) -> Cursor {
        let [a, b, c, d] = self.key;
        Cursor(format!("{:x}.{:x}.{a:x}.{b:x}.{c:x}.{d:x}", self.view, self.taken))
    }
}

/// A [`View`] behind the seam.
pub(crate) struct ElasticSnapshot {
    pub(crate) view: Arc<View>,
    pub(crate) kept: Arc<Kept>,
}

pub(crate) fn matcher(filter: &weir_model::filter::Filter) -> Result<Matcher, StoreError> {
    Matcher::new(filter).map_err(|error| StoreError { kind: StoreErrorKind::Query, message: error.message })
}

impl ElasticSnapshot {
    fn page<T>(&self, items: Vec<T>, next: Option<SortKey>) -> Page<T> {
        if next.is_some() {
            self.kept.keep(&self.view);
        }
        let view = &self.view;
        let taken = view.written_before.unwrap_or(view.taken);
        Page { items, next: next.map(|key| Mark { view: view.id, taken, key }.cursor()) }
    }
}

impl View {
    /// Log records of a query in an order, up to one more than `limit`, which tells that there are more.
    pub(crate) async fn logs(
        &self,
        query: &Candidates,
        matcher: Option<&Matcher>,
        order: Order,
        limit: usize,
        after: Option<SortKey>,
    ) -> Result<Vec<(SortKey, StoredLog)>, Error> {
        let exact = query.exact || matcher.is_none();
        let size = if exact { limit.saturating_add(1).min(BODIES) } else { BODIES };
        let search = Search { query, order, fields: Fields::Stored(BODY), size, after };
        let mut scan = Scan::new(self, search);
        let mut found = Vec::new();
        while found.len() <= limit
            && let Some(hits) = scan.next().await?
        {
            for mut hit in hits {
                let body = hit.source()?.body(Signal::Logs)?;
                if exact || matcher.is_none_or(|matcher| body.matches(matcher)) {
                    found.push((hit.key()?, body.into_log(hit.id)));
                }
            }
        }
        found.truncate(limit.saturating_add(1));
        Ok(found)
    }

    async fn trace(&self, trace: TraceId) -> Result<Vec<StoredSpan>, Error> {
        let query = of_trace(Signal::Spans, trace);
        let search = Search {
            query: &query,
            order: Order::Oldest,
            fields: Fields::Stored(BODY),
            size: BODIES,
            after: None,
        };
        let mut scan = Scan::new(self, search);
        let mut spans = Vec::new();
        while let Some(hits) = scan.next().await? {
            for mut hit in hits {
                spans.push(hit.source()?.body(Signal::Spans)?.into_span());
            }
        }
        Ok(spans)
    }

    async fn select(&self, matchers: &Matchers, range: TimeRange) -> Result<Vec<Series>, Error> {
        #[derive(Deserialize)]
        struct Holder {
            body: Chunk,
        }
        let name = matchers.name.iter().map(|name| with_text(METRIC, "", name));
        let labels = matchers.attributes.iter().map(|(label, value)| with_text(LABEL, label, value));
        let query =
            Candidates::and([overlapping(Signal::Metrics, range)].into_iter().chain(name).chain(labels));
        let search = Search {
            query: &query,
            order: Order::Oldest,
            fields: Fields::Stored(&["body"]),
            size: CHUNKS,
            after: None,
        };
        let mut scan = Scan::new(self, search);
        let mut joined = Joined::default();
        while let Some(hits) = scan.next().await? {
            for mut hit in hits {
                let chunk = hit.parse::<Holder>()?.body;
                let key = chunk.key();
                let wanted = matchers.name.as_ref().is_none_or(|name| *name == key.0)
                    && matchers.attributes.iter().all(|attribute| key.2.contains(attribute));
                if wanted {
                    let points = chunk.points()?.into_iter().filter(|(time, _)| range.contains(*time));
                    joined.add(key, points);
                }
            }
        }
        Ok(joined.series())
    }

    async fn ledger(&self) -> Result<Vec<LedgerRow>, Error> {
        #[derive(Deserialize)]
        struct Holder {
            body: Ranges,
        }
        let query = of_kind(crate::meta::Kind::Ledger);
        let mut rows: std::collections::BTreeMap<_, RangeSet> = std::collections::BTreeMap::new();
        let mut add = |row: LedgerRow| {
            let set = rows.entry((row.incarnation, row.lane)).or_default();
            row.ranges.iter().for_each(|range| set.insert(range));
        };
        self.fresh.iter().cloned().for_each(&mut add);
        let mut after = None;
        loop {
            let hits = self.small(&query, &["body"], after.take()).await?;
            let Some(last) = hits.last() else { break };
            after = Some(last.first_key()?);
            for mut hit in hits {
                if let Some(row) = hit.parse::<Holder>()?.body.row() {
                    add(row);
                }
            }
        }
        let row = |((incarnation, lane), ranges)| LedgerRow { incarnation, lane, ranges };
        Ok(rows.into_iter().map(row).collect())
    }
}

#[async_trait]
impl Snapshot for ElasticSnapshot {
    async fn trace(&self, trace: TraceId) -> Result<Vec<StoredSpan>, StoreError> {
        self.view.trace(trace).await.map_err(Error::on_read)
    }

    async fn trace_logs(&self, trace: TraceId, limit: usize) -> Result<(Vec<StoredLog>, Total), StoreError> {
        let query = of_trace(Signal::Logs, trace);
        let mut logs =
            self.view.logs(&query, None, Order::Oldest, limit, None).await.map_err(Error::on_read)?;
        let value = match logs.len() > limit {
            true => self.view.count(&query).await.map_err(Error::on_read)?,
            false => logs.len() as u64,
        };
        logs.truncate(limit);
        Ok((logs.into_iter().map(|(_, log)| log).collect(), Total { value, exact: true }))
    }

    async fn trace_row(&self, trace: TraceId) -> Result<Option<TraceRow>, StoreError> {
        let rows = self.view.rows(&[trace]).await.map_err(Error::on_read)?;
        Ok(rows.get(&trace).map(|row| row.finish(trace)))
    }

    async fn logs(
        &self,
        query: &RecordQuery,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<StoredLog>, StoreError> {
        let after = after.map(Mark::parse).transpose()?.map(|mark| mark.key);
        let matcher = matcher(&query.filter)?;
        let found =
            self.view.found(Signal::Logs, &query.filter, query.range).await.map_err(Error::on_read)?;
        let logs = self.view.logs(&found, Some(&matcher), Order::Newest, limit, after).await;
        let mut logs = logs.map_err(Error::on_read)?;
        let more = logs.len() > limit;
        logs.truncate(limit);
        let next = logs.last().filter(|_| more).map(|(key, _)| *key);
        Ok(self.page(logs.into_iter().map(|(_, log)| log).collect(), next))
    }

    async fn log(&self, id: &str) -> Result<Option<StoredLog>, StoreError> {
        let query = ids(Signal::Logs, id);
        let found = self.view.logs(&query, None, Order::Newest, 1, None).await.map_err(Error::on_read)?;
        Ok(found.into_iter().next().map(|(_, log)| log))
    }

    async fn traces(
        &self,
        query: &TraceQuery,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<(Page<TraceHit>, Total), StoreError> {
        let from = after.map(Mark::parse).transpose()?.map_or(0, |mark| mark.key[0] as u64 as usize);
        let (hits, more, total) = self.view.traces(query, from, limit).await?;
        let next = more.then(|| [from.saturating_add(limit) as i64, 0, 0, 0]);
        Ok((self.page(hits, next), total))
    }

    async fn trace_table(
        &self,
        query: &TraceQuery,
        limit: usize,
    ) -> Result<(Vec<TraceRow>, Total), StoreError> {
        let (hits, _, total) = self.view.traces(query, 0, limit).await?;
        Ok((hits.into_iter().map(|hit| hit.row).collect(), total))
    }

    async fn trace_count(&self, query: &TraceQuery) -> Result<u64, StoreError> {
        self.view.trace_count(query).await
    }

    async fn aggregate(&self, signal: Signal, query: &RecordQuery, agg: &Agg) -> Result<Table, StoreError> {
        let matcher = matcher(&query.filter)?;
        let found = self.view.found(signal, &query.filter, query.range).await.map_err(Error::on_read)?;
        self.view.table(signal, &found, &matcher, agg).await.map_err(Error::on_read)
    }

    async fn services(&self, range: TimeRange) -> Result<Vec<ServiceRow>, StoreError> {
        self.view.services(range).await.map_err(Error::on_read)
    }

    async fn keys(&self, signal: Signal, prefix: &str) -> Result<Vec<FieldKey>, StoreError> {
        self.view.keys(signal, prefix).await.map_err(Error::on_read)
    }

    async fn values(
        &self,
        signal: Signal,
        key: &str,
        prefix: &str,
        limit: usize,
    ) -> Result<Values, StoreError> {
        self.view.values(signal, key, prefix, limit).await.map_err(Error::on_read)
    }

    async fn select(&self, matchers: &Matchers, range: TimeRange) -> Result<Vec<Series>, StoreError> {
        self.view.select(matchers, range).await.map_err(Error::on_read)
    }

    async fn ledger(&self) -> Result<Vec<LedgerRow>, StoreError> {
        self.view.ledger().await.map_err(Error::on_read)
    }
}
