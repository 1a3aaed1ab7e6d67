//! Lists of traces, newest first.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::json;
use weir_model::filter::{Filter, Matcher};
use weir_model::{Signal, TraceId};
use weir_store::{StoreError, StoreErrorKind, Total, TraceHit, TraceQuery};

use crate::document::BODY;
use crate::error::Error;
use crate::query::{Candidates, exists, in_range, of_traces};
use crate::rows::Row;
use crate::values::listed;
use crate::view::{BODIES, Fields, Hit, Order, ROWS, Scan, Search, View};

/// Records that are looked at to know how many traces there are, once a page is full.
const COUNTED: usize = 50_000;
/// Lists that a view keeps for the next page.
const KEPT_LISTS: usize = 4;

/// Traces in the order of a list: time of the newest matching record, and id.
pub(crate) type List = Vec<(u64, TraceId)>;

/// A query made ready.
struct Ready {
    /// Asks one span.
    spans: Matcher,
    candidates: Candidates,
    /// Whether any span will do.
    any: bool,
    /// Asks the whole trace.
    traces: Option<Matcher>,
    query: TraceQuery,
}

impl Ready {
    async fn new(view: &View, query: &TraceQuery) -> Result<Self, StoreError> {
        let refused = |error: weir_model::filter::ParseError| StoreError {
            kind: StoreErrorKind::Query,
            message: error.message,
        };
        let (spans, traces) = query.filter.clone().split_trace().map_err(refused)?;
        let matcher = Matcher::new(&traces).map_err(refused)?;
        Ok(Self {
            candidates: view.found(Signal::Spans, &spans, query.range).await.map_err(Error::on_read)?,
            any: spans == Filter::All,
            spans: Matcher::new(&spans).map_err(refused)?,
            traces: (traces != Filter::All).then_some(matcher),
            query: query.clone(),
        })
    }

    /// What is read of candidates, and how many of them at a time.
    fn fields(&self) -> (Fields<'static>, usize) {
        if self.candidates.exact { (Fields::Trace, ROWS) } else { (Fields::Stored(&SPAN_FIELDS), BODIES) }
    }

    /// The trace of a candidate, where it is `wanted` and the candidate satisfies the conditions on a span.
    fn trace_of(&self, hit: &mut Hit, wanted: impl Fn(&TraceId) -> bool) -> Result<Option<TraceId>, Error> {
        if self.candidates.exact {
            return Ok(hit.trace_id().filter(wanted));
        }
        let source = hit.source()?;
        let Some(trace) = source.trace_id().filter(wanted) else { return Ok(None) };
        Ok(source.body(Signal::Spans)?.matches(&self.spans).then_some(trace))
    }
}

/// Traces that satisfy a query, and whether these are all.
pub(crate) struct Listed {
    pub(crate) list: List,
    pub(crate) complete: bool,
}

impl View {
    /// The newest traces that satisfy a query: all of them, or at least so many that the first `enough` are right.
    async fn newest(&self, ready: &Ready, enough: Option<usize>) -> Result<Listed, Error> {
        let spans = self.of_spans(ready, enough).await?;
        if !ready.any {
            return Ok(spans);
        }
        // Traces of which only lines came.
        let bound = enough.and_then(|enough| spans.list.get(enough)).map(|(time, _)| *time);
        let lines = self.of_lines(ready, enough.is_some(), bound).await?;
        let mut list = spans.list;
        list.extend(lines.list);
        list.sort_by_key(|(time, trace)| (Reverse(*time), *trace));
        Ok(Listed { list, complete: spans.complete && lines.complete })
    }

    async fn of_spans(&self, ready: &Ready, enough: Option<usize>) -> Result<Listed, Error> {
        let (fields, size) = ready.fields();
        let search = Search { query: &ready.candidates, order: Order::Newest, fields, size, after: None };
        let mut scan = Scan::new(self, search);
        let (mut list, mut seen, mut looked) = (List::new(), HashSet::new(), 0);
        while let Some(hits) = scan.next().await? {
            looked += hits.len();
            let mut found = Vec::new();
            for mut hit in hits {
                let time = hit.time()?;
                if let Some(trace) = ready.trace_of(&mut hit, |trace| !seen.contains(trace))? {
                    seen.insert(trace);
                    found.push((time, trace));
                }
            }
            list.extend(self.satisfying(ready, found).await?);
            // Traces of the same time may still come, so a later one must be there.
            let full = enough.is_some_and(|enough| {
                list.len() > enough && list.last().is_some_and(|last| last.0 < list[enough].0)
            });
            if full && looked >= COUNTED {
                list.sort_by_key(|(time, trace)| (Reverse(*time), *trace));
                return Ok(Listed { list, complete: false });
            }
        }
        list.sort_by_key(|(time, trace)| (Reverse(*time), *trace));
        Ok(Listed { list, complete: true })
    }

    /// Of new traces those that satisfy the conditions on the whole.
    async fn satisfying(&self, ready: &Ready, found: List) -> Result<List, Error> {
        let Some(matcher) = &ready.traces else { return Ok(found) };
        let ids: Vec<TraceId> = found.iter().map(|(_, trace)| *trace).collect();
        let rows = self.rows(&ids).await?;
        let satisfies =
            |(_, trace): &(u64, TraceId)| rows.get(trace).is_some_and(|row| row.matches(*trace, matcher));
        Ok(found.into_iter().filter(satisfies).collect())
    }

    /// Which of traces have a span.
    async fn with_spans(&self, traces: &List) -> Result<HashSet<TraceId>, Error> {
        let mut spanned = HashSet::new();
        let ids: Vec<TraceId> = traces.iter().map(|(_, trace)| *trace).collect();
        for some in ids.chunks(ROWS) {
            // Few of all that there are, so that tables over all of them cost more than they save.
            let list = json!({ "terms": { "field": "trace", "size": some.len(), "execution_hint": "map" } });
            let query = of_traces(Signal::Spans, some);
            let answer = self.aggregate(&query, json!({ "traces": list })).await?;
            let (found, _) = listed(&answer["traces"]);
            spanned.extend(found.iter().filter_map(|(id, _)| id.parse::<TraceId>().ok()));
        }
        Ok(spanned)
    }

    /// Traces without a span; where `counted`, those of lines below a time only as far as it is cheap.
    async fn of_lines(&self, ready: &Ready, counted: bool, bound: Option<u64>) -> Result<Listed, Error> {
        let query = Candidates::and([in_range(Signal::Logs, ready.query.range), exists("trace")]);
        let search =
            Search { query: &query, order: Order::Newest, fields: Fields::Trace, size: ROWS, after: None };
        let mut scan = Scan::new(self, search);
        let (mut list, mut seen, mut looked) = (List::new(), HashSet::new(), 0);
        while let Some(hits) = scan.next().await? {
            looked += hits.len();
            let mut found = Vec::new();
            let mut last = u64::MAX;
            for hit in hits {
                last = hit.time()?;
                if let Some(trace) = hit.trace_id()
                    && seen.insert(trace)
                {
                    found.push((last, trace));
                }
            }
            let spanned = self.with_spans(&found).await?;
            found.retain(|(_, trace)| !spanned.contains(trace));
            list.extend(self.satisfying(ready, found).await?);
            if counted && looked >= COUNTED && bound.is_some_and(|bound| last < bound) {
                return Ok(Listed { list, complete: false });
            }
        }
        Ok(Listed { list, complete: true })
    }

    /// Up to `limit` traces behind the first `from`, whether there are more, and how many there are.
    pub(crate) async fn traces(
        &self,
        query: &TraceQuery,
        from: usize,
        limit: usize,
    ) -> Result<(Vec<TraceHit>, bool, Total), StoreError> {
        let ready = Ready::new(self, query).await?;
        let (list, complete) = if from == 0 {
            let Listed { list, complete } = self.newest(&ready, Some(limit)).await.map_err(Error::on_read)?;
            (Arc::new(list), complete)
        } else {
            (self.whole(&ready).await?, true)
        };
        let page = &list[from.min(list.len())..from.saturating_add(limit).min(list.len())];
        let hits = self.hits(&ready, page).await.map_err(Error::on_read)?;
        let total = Total { value: list.len() as u64, exact: complete };
        Ok((hits, list.len() > from.saturating_add(limit), total))
    }

    pub(crate) async fn trace_count(&self, query: &TraceQuery) -> Result<u64, StoreError> {
        Ok(self.whole(&Ready::new(self, query).await?).await?.len() as u64)
    }

    /// All traces that satisfy a query.
    async fn whole(&self, ready: &Ready) -> Result<Arc<List>, StoreError> {
        let key = format!("{}|{:?}", ready.query.filter, ready.query.range);
        if let Some((_, list)) = self.lists.lock().iter().find(|(k, _)| *k == key) {
            return Ok(list.clone());
        }
        let list = Arc::new(self.newest(ready, None).await.map_err(Error::on_read)?.list);
        let mut lists = self.lists.lock();
        if lists.len() == KEPT_LISTS {
            lists.pop_front();
        }
        lists.push_back((key, list.clone()));
        Ok(list)
    }

    async fn hits(&self, ready: &Ready, page: &[(u64, TraceId)]) -> Result<Vec<TraceHit>, Error> {
        let ids: Vec<TraceId> = page.iter().map(|(_, trace)| *trace).collect();
        let rows = self.rows(&ids).await?;
        let matched = if ready.any { HashMap::new() } else { self.matched(ready, &ids).await? };
        let nothing = Row::default();
        let hit = |(newest, trace): &(u64, TraceId)| TraceHit {
            row: rows.get(trace).unwrap_or(&nothing).finish(*trace),
            newest: *newest,
            matched: matched.get(trace).copied().unwrap_or(0),
        };
        Ok(page.iter().map(hit).collect())
    }

    /// How many spans of traces satisfy the conditions on a span.
    async fn matched(&self, ready: &Ready, traces: &[TraceId]) -> Result<HashMap<TraceId, u64>, Error> {
        let mut counts = HashMap::new();
        for some in traces.chunks(ROWS) {
            let query = Candidates::and([ready.candidates.clone(), of_traces(Signal::Spans, some)]);
            let (fields, size) = ready.fields();
            let search = Search { query: &query, order: Order::Newest, fields, size, after: None };
            let mut scan = Scan::new(self, search);
            while let Some(hits) = scan.next().await? {
                for mut hit in hits {
                    if let Some(trace) = ready.trace_of(&mut hit, |_| true)? {
                        *counts.entry(trace).or_default() += 1;
                    }
                }
            }
        }
        Ok(counts)
    }
}

/// Fields of a span that is to be verified.
const SPAN_FIELDS: [&str; 4] = ["trace", BODY[2], BODY[3], BODY[4]];
