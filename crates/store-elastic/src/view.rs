//! One state of the store: a point in time over all its indices, with what its writer knows beside them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use elasticsearch::http::Method;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_model::TraceId;
use weir_store::LedgerRow;

use crate::client::Client;
use crate::document::Source;
use crate::engine::{Family, KEEP_ALIVE, KEPT};
use crate::error::Error;
use crate::listing::List;
use crate::query::Candidates;
use crate::template::unordered;
use crate::write::now;

/// Records of a page of a scan, by whether their bodies are read: some megabytes.
pub(crate) const BODIES: usize = 2_000;
pub(crate) const ROWS: usize = 10_000;

/// A state of the store. Dropping it gives back what the engine keeps for it.
pub(crate) struct View {
    pub(crate) id: u64,
    pub(crate) client: Arc<Client>,
    pub(crate) family: Family,
    pub(crate) pit: String,
    /// Ranges that stand in no document yet.
    pub(crate) fresh: Vec<LedgerRow>,
    /// Records written later do not count, in milliseconds since the Unix epoch; for a state that is no longer kept as it was.
    pub(crate) written_before: Option<u64>,
    /// When it was taken, in milliseconds since the Unix epoch.
    pub(crate) taken: u64,
    /// When it was asked last, in milliseconds since the Unix epoch.
    pub(crate) used: AtomicU64,
    /// Traces that satisfied a query, in order, for its next page.
    pub(crate) lists: Mutex<VecDeque<(String, Arc<List>)>>,
}

impl Drop for View {
    fn drop(&mut self) {
        let (client, family, pit) = (self.client.clone(), self.family, std::mem::take(&mut self.pit));
        if pit.is_empty() {
            return;
        }
        // Without a runtime the process ends, and the engine gives it back by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = family.close_pit(&client, &pit).await {
                    tracing::debug!(%error, "a point in time was not given back; it ends by itself");
                }
            });
        }
    }
}

/// The order of a list: by time, and ties always in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Newest,
    Oldest,
}

/// By what a record is told apart from all others in a list: time, position, number in the batch, lane.
pub(crate) type SortKey = [i64; 4];

/// Values that an engine has in columns.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Columns {
    trace: Vec<String>,
}

/// A record that was found.
#[derive(Debug, Deserialize)]
pub(crate) struct Hit {
    /// Empty where nothing that is stored was asked for.
    #[serde(rename = "_id", default)]
    pub(crate) id: String,
    #[serde(rename = "_source", default)]
    source: Value,
    #[serde(default)]
    fields: Columns,
    #[serde(default)]
    sort: Vec<Value>,
}

impl Hit {
    pub(crate) fn source(&mut self) -> Result<Source, Error> {
        self.parse()
    }

    pub(crate) fn parse<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, Error> {
        serde_json::from_value(self.source.take())
            .map_err(|error| Error::Strange(format!("a stored record is damaged: {error}")))
    }

    pub(crate) fn key(&self) -> Result<SortKey, Error> {
        let key: Option<Vec<i64>> = self.sort.iter().take(4).map(Value::as_i64).collect();
        key.and_then(|key| key.try_into().ok())
            .ok_or_else(|| Error::Strange("a record that was found has no place in the list".into()))
    }
}

impl Hit {
    /// Its trace, where that was asked for by [`Fields::Trace`].
    pub(crate) fn trace_id(&self) -> Option<TraceId> {
        self.fields.trace.first().and_then(|id| id.parse().ok())
    }

    /// When it began.
    pub(crate) fn time(&self) -> Result<u64, Error> {
        Ok(unordered(self.key()?[0]))
    }

    /// Place in a list that is sorted by one field.
    pub(crate) fn first_key(&self) -> Result<Value, Error> {
        let key = self.sort.first().cloned();
        key.ok_or_else(|| Error::Strange("a document that was found has no place in the list".into()))
    }
}

/// What a search answers.
#[derive(Debug, Deserialize)]
pub(crate) struct Found {
    hits: Hits,
    #[serde(default)]
    pub(crate) aggregations: Value,
}

#[derive(Debug, Deserialize)]
struct Hits {
    total: Option<Total>,
    hits: Vec<Hit>,
}

#[derive(Debug, Deserialize)]
struct Total {
    value: u64,
}

/// What is read of the records that are found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fields<'a> {
    /// Fields of what is stored. An engine unpacks blocks of many records for it.
    Stored(&'a [&'a str]),
    /// No more than its trace, which an engine has in a column: many times as fast.
    Trace,
}

/// What is asked of a search.
#[derive(Debug, Clone)]
pub(crate) struct Search<'a> {
    pub(crate) query: &'a Candidates,
    pub(crate) order: Order,
    pub(crate) fields: Fields<'a>,
    /// Records of a page.
    pub(crate) size: usize,
    pub(crate) after: Option<SortKey>,
}

impl View {
    /// Gives back what the engine keeps for it, and waits until that is done.
    pub(crate) async fn give_back(mut self) -> Result<(), Error> {
        let pit = std::mem::take(&mut self.pit);
        self.family.close_pit(&self.client, &pit).await
    }

    /// Asks for one page. The query is as it is: what was written after the state is left out here.
    pub(crate) async fn page(&self, search: &Search<'_>) -> Result<Vec<Hit>, Error> {
        let direction = if search.order == Order::Newest { "desc" } else { "asc" };
        let sort: Vec<Value> =
            ["time", "pos", "n", "lane"].iter().map(|field| json!({ *field: direction })).collect();
        let mut body = json!({
            "size": search.size.min(ROWS),
            "query": self.bounded(search.query),
            "sort": sort,
            "track_total_hits": false,
        });
        match search.fields {
            Fields::Stored(names) => body["_source"] = json!(names),
            Fields::Trace => {
                body["stored_fields"] = json!("_none_");
                body["docvalue_fields"] = json!(["trace"]);
            }
        }
        if let Some(after) = search.after {
            body["search_after"] = json!(after);
        }
        Ok(self.search(body).await?.hits.hits)
    }

    /// How many records a query finds.
    pub(crate) async fn count(&self, query: &Candidates) -> Result<u64, Error> {
        let body = json!({ "size": 0, "query": self.bounded(query), "track_total_hits": true });
        let total = self.search(body).await?.hits.total;
        total
            .map(|total| total.value)
            .ok_or_else(|| Error::Strange("the search engine counts nothing".into()))
    }

    /// Aggregations over what a query finds.
    pub(crate) async fn aggregate(&self, query: &Candidates, aggregations: Value) -> Result<Value, Error> {
        let body = json!({
            "size": 0, "query": self.bounded(query), "track_total_hits": true, "aggs": aggregations
        });
        let found = self.search(body).await?;
        let mut answer = found.aggregations;
        answer["total"] = json!(found.hits.total.map(|total| total.value));
        Ok(answer)
    }

    /// Small documents in the order of their names, behind one.
    pub(crate) async fn small(
        &self,
        query: &Candidates,
        fields: &[&str],
        after: Option<Value>,
    ) -> Result<Vec<Hit>, Error> {
        let mut body = json!({
            "size": BODIES, "query": query.query, "sort": [{ "key": "asc" }], "_source": fields
        });
        if let Some(after) = after {
            body["search_after"] = json!([after]);
        }
        Ok(self.search(body).await?.hits.hits)
    }

    /// Whether the engine still keeps it.
    pub(crate) fn is_usable(&self) -> bool {
        now().saturating_sub(self.used.load(Ordering::Relaxed)) < KEPT.as_millis() as u64
    }

    fn bounded(&self, query: &Candidates) -> Value {
        match self.written_before {
            None => query.query.clone(),
            Some(at) => json!({ "bool": { "filter": [query.query, { "range": { "at": { "lt": at } } }] } }),
        }
    }

    async fn search(&self, mut body: Value) -> Result<Found, Error> {
        self.used.store(now(), Ordering::Relaxed);
        body["pit"] = json!({ "id": self.pit, "keep_alive": KEEP_ALIVE });
        // An answer from a part of the shards would be wrong without a word.
        let path = "/_search?allow_partial_search_results=false";
        self.client.json(Method::Post, path, &body).await?.success()?.json()
    }
}

/// Reads all that a search finds, page by page.
pub(crate) struct Scan<'a> {
    view: &'a View,
    search: Search<'a>,
    done: bool,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(view: &'a View, search: Search<'a>) -> Self {
        Self { view, search, done: false }
    }

    /// The next page; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Hit>>, Error> {
        if self.done {
            return Ok(None);
        }
        let hits = self.view.page(&self.search).await?;
        self.done = hits.len() < self.search.size;
        match hits.last() {
            None => return Ok(None),
            Some(last) => self.search.after = Some(last.key()?),
        }
        Ok(Some(hits))
    }
}
