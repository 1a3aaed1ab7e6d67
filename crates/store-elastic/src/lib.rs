//! The store in Elasticsearch (7.17, 8, 9) or OpenSearch (2, 3).
//!
//! A record is a document: encoded as it came, beside the tokens by which it is found. Its id is its identity, so that what is written again is
//! recognised, and its index follows from its own time, so that it meets itself there. What the engine finds too much [`weir_model::filter`]
//! takes out. How writing keeps its promise without transactions: `lane.rs`.

mod aggregate;
mod bulk;
mod client;
mod document;
mod engine;
mod error;
mod groups;
mod lane;
mod listing;
mod live;
mod meta;
mod patterns;
mod points;
mod query;
mod retention;
mod rows;
mod settings;
mod snapshot;
mod state;
mod template;
mod tokens;
mod values;
mod view;
mod write;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use elasticsearch::http::Method;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use weir_model::Signal;
use weir_model::filter::Filter;
use weir_store::{Cursor, LedgerRow, Reader, Snapshot, StoreError, TailEvent};
use weir_transport::{Lane, Position};

use crate::bulk::{Bulk, create_index};
use crate::client::Client;
use crate::error::Error;
use crate::lane::{Held, Place};
use crate::live::Live;
use crate::snapshot::{ElasticSnapshot, Kept, Mark};
use crate::template::Names;
use crate::view::View;

pub use engine::Family;
pub use retention::Retention;
pub use settings::Config;

/// How long a query waits until the engine has room for one more point in time, and how long from try to try.
const OPENING: Duration = Duration::from_secs(10);
const OPENING_PAUSE: Duration = Duration::from_millis(50);
/// How long a query waits for shards that are not there: those of an index that is being made, or of a node that has just started, come within moments.
const SETTLING: Duration = Duration::from_secs(5);

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct OpenError {
    /// It may work later.
    pub is_passing: bool,
    pub message: String,
}

/// A lane, where this process holds it.
type Slot = Arc<tokio::sync::Mutex<Option<Held>>>;

struct Inner {
    client: Arc<Client>,
    family: Family,
    names: Names,
    /// Index of lanes, ledger and small values.
    meta: String,
    bulk: Bulk,
    lanes: Mutex<BTreeMap<Lane, Slot>>,
    /// Ranges by lane that stand in no document yet.
    fresh: Mutex<HashMap<Lane, Vec<LedgerRow>>>,
    live: Live,
    /// How many of the writes searches see.
    seen: tokio::sync::Mutex<u64>,
    written: AtomicU64,
    kept: Arc<Kept>,
    views: AtomicU64,
}

/// The store. Cloning shares it.
#[derive(Clone)]
pub struct ElasticStore {
    inner: Arc<Inner>,
}

impl ElasticStore {
    /// Sees to it that the engine has what the store needs.
    ///
    /// # Errors
    /// When no node answers, the engine is too old, or refuses.
    pub async fn open(config: &Config) -> Result<Self, OpenError> {
        let open = async {
            let client = Arc::new(Client::new(config)?);
            let names = Names::new(&config.prefix);
            let template = template::template(&names, config);
            let path = format!("/_index_template/{}", names.template());
            client.json(Method::Put, &path, &template).await?.success()?;
            let meta = names.meta();
            create_index(&client, &meta).await?;
            let family = Family::detect(&client, &meta).await?;
            Ok((client, names, meta, family))
        };
        let (client, names, meta, family) = open.await.map_err(|error: Error| OpenError {
            is_passing: !matches!(error, Error::Config(_) | Error::Refused { status: 400..=428, .. }),
            message: error.to_string(),
        })?;
        let inner = Inner {
            client,
            family,
            names,
            meta,
            bulk: Bulk::new(),
            lanes: Mutex::default(),
            fresh: Mutex::default(),
            live: Live::new(),
            seen: tokio::sync::Mutex::new(0),
            // An earlier process may have written as well.
            written: AtomicU64::new(1),
            kept: Arc::default(),
            // Cursors of an earlier process name no view of this one.
            views: AtomicU64::new(u64::from(rand::random::<u32>()) << 24),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Which engine it is.
    pub fn family(&self) -> Family {
        self.inner.family
    }

    /// Records that the engine refused and that are lost, by cause, since the store was opened.
    pub fn refused(&self) -> BTreeMap<String, u64> {
        self.inner.bulk.refused()
    }

    /// From where the first lane of a signal is to be delivered: the position at which a new log in its place begins.
    ///
    /// # Errors
    /// When the engine can't tell now.
    pub async fn resume(&self, signal: Signal) -> Result<Position, StoreError> {
        self.inner.resume(signal).await.map_err(Error::on_read)
    }

    /// Deletes what is too old or too much, once; returns the names of the indices.
    ///
    /// # Errors
    /// When the engine can't do it now.
    pub async fn retain(&self, retention: Retention) -> Result<Vec<String>, StoreError> {
        self.inner.retain(retention).await.map_err(Error::on_read)
    }

    /// Deletes what is too old or too much, again and again.
    pub async fn keep_retaining(self, retention: Retention) {
        let mut every = tokio::time::interval(retention::EVERY);
        loop {
            every.tick().await;
            if let Err(error) = self.retain(retention).await {
                tracing::warn!(%error, "retention can't delete old indices; it is tried again");
            }
        }
    }

    async fn view(&self, written_before: Option<u64>) -> Result<View, StoreError> {
        let inner = &self.inner;
        // Before the point in time: what gets into a document meanwhile is then in both.
        let fresh = inner.fresh_rows();
        inner.refresh().await.map_err(Error::on_read)?;
        let pit = inner.open_pit().await.map_err(Error::on_read)?;
        let now = write::now();
        Ok(View {
            id: inner.views.fetch_add(1, Ordering::Relaxed),
            client: inner.client.clone(),
            family: inner.family,
            pit,
            fresh,
            written_before,
            taken: now + 1,
            used: AtomicU64::new(now),
            lists: Mutex::new(VecDeque::new()),
        })
    }

    fn snapshot_of(&self, view: Arc<View>) -> Arc<dyn Snapshot> {
        Arc::new(ElasticSnapshot { view, kept: self.inner.kept.clone() })
    }
}

/// Jittered, so that those who wait do not come again together.
fn pause() -> Duration {
    OPENING_PAUSE.mul_f64(rand::random_range(0.5..1.5))
}

impl Inner {
    fn place(&self) -> Place<'_> {
        Place { client: &self.client, index: &self.meta, bulk: &self.bulk }
    }

    fn slot(&self, lane: Lane) -> Slot {
        self.lanes.lock().entry(lane).or_default().clone()
    }

    fn lanes_of(&self, signal: Signal) -> Vec<Lane> {
        self.lanes.lock().keys().filter(|lane| lane.signal == signal).copied().collect()
    }

    /// Something was written.
    fn wrote(&self) {
        self.written.fetch_add(1, Ordering::SeqCst);
    }

    /// Opens a point in time over all indices. Where the engine has too many, states that are kept for a next page give way; then others must
    /// end first.
    async fn open_pit(&self) -> Result<String, Error> {
        let begun = Instant::now();
        loop {
            match self.family.open_pit(&self.client, &self.names.all()).await {
                Err(Error::Refused { status: 429, .. }) if begun.elapsed() < OPENING => {}
                Err(Error::Refused { status: 503, .. }) if begun.elapsed() < SETTLING => {
                    tokio::time::sleep(pause()).await;
                    continue;
                }
                done => return done,
            }
            match self.kept.oldest() {
                // One that a query uses ends with it.
                Some(view) => {
                    if let Some(view) = Arc::into_inner(view) {
                        view.give_back().await?;
                    }
                }
                None => tokio::time::sleep(pause()).await,
            }
        }
    }

    /// Makes searches see what this process has written.
    async fn refresh(&self) -> Result<(), Error> {
        // Whoever comes while another refreshes waits until that is done.
        let mut seen = self.seen.lock().await;
        let written = self.written.load(Ordering::SeqCst);
        if *seen < written {
            let path = format!("/{}/_refresh?allow_no_indices=true", self.names.all());
            self.client.ask(Method::Post, &path).await?.success()?;
            *seen = written;
        }
        Ok(())
    }
}

#[async_trait]
impl Reader for ElasticStore {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        Ok(self.snapshot_of(Arc::new(self.view(None).await?)))
    }

    async fn snapshot_at(&self, cursor: &Cursor) -> Result<Arc<dyn Snapshot>, StoreError> {
        let mark = Mark::parse(cursor)?;
        let view = match self.inner.kept.find(mark.view) {
            Some(view) => view,
            None => Arc::new(self.view(Some(mark.taken)).await?),
        };
        Ok(self.snapshot_of(view))
    }

    fn tail(&self, filter: &Filter) -> Result<BoxStream<'static, TailEvent>, StoreError> {
        Ok(self.inner.live.subscribe(snapshot::matcher(filter)?))
    }
}
