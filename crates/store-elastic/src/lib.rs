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
mod follow;
mod groups;
mod lane;
mod listing;
mod live;
mod meta;
mod nodes;
mod patterns;
mod points;
mod query;
mod reader;
mod reading;
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

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use elasticsearch::http::Method;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use weir_model::Signal;
use weir_model::filter::Filter;
use weir_runtime::Trouble;
use weir_store::{Cursor, LedgerRow, Reader, Snapshot, StoreError, TailEvent};
use weir_transport::{Lane, Position};

use crate::bulk::{Bulk, create_index};
use crate::client::Client;
use crate::error::Error;
use crate::lane::{Held, Place};
use crate::live::Live;
use crate::reading::Reading;
use crate::template::Names;
use crate::view::View;

pub use engine::Family;
pub use nodes::Nodes;
pub use reader::ElasticReader;
pub use retention::Retention;
pub use settings::Config;

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct OpenError {
    /// It may work later.
    pub is_passing: bool,
    pub message: String,
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        let is_passing = match &error {
            // Whoever writes makes it.
            Error::Missing(_) => true,
            error => !matches!(error, Error::Config(_) | Error::Refused { status: 400..=428, .. }),
        };
        Self { is_passing, message: error.to_string() }
    }
}

/// A lane, where this process holds it.
type Slot = Arc<tokio::sync::Mutex<Option<Held>>>;

struct Inner {
    reading: Reading,
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
            create_index(&client, &names.meta()).await?;
            Reading::new(client, names).await
        };
        let reading = open.await.map_err(|error: Error| OpenError::from(error))?;
        let inner = Inner {
            meta: reading.names.meta(),
            reading,
            bulk: Bulk::new(),
            lanes: Mutex::default(),
            fresh: Mutex::default(),
            live: Live::new(),
            seen: tokio::sync::Mutex::new(0),
            // An earlier process may have written as well.
            written: AtomicU64::new(1),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Which engine it is.
    pub fn family(&self) -> Family {
        self.inner.reading.family
    }

    /// Whether its nodes answer.
    pub fn nodes(&self) -> Nodes {
        self.inner.reading.nodes()
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
        let (mut every, retaining) = (tokio::time::interval(retention::EVERY), Trouble::default());
        loop {
            every.tick().await;
            match self.retain(retention).await {
                Ok(_) => {
                    if let Some(lasted) = retaining.good() {
                        tracing::info!(seconds = lasted.as_secs(), "retention can delete old indices again");
                    }
                }
                Err(error) => {
                    if let Some(lasted) = retaining.bad() {
                        tracing::warn!(seconds = lasted.as_secs(), %error, "retention can't delete old indices; it is tried again");
                    }
                }
            }
        }
    }

    async fn view(&self, written_before: Option<u64>) -> Result<Arc<View>, StoreError> {
        let inner = &self.inner;
        let fresh = inner.fresh_rows();
        inner.refresh().await.map_err(Error::on_read)?;
        inner.reading.view(fresh, written_before).await.map_err(Error::on_read)
    }
}

impl Inner {
    fn place(&self) -> Place<'_> {
        Place { client: &self.reading.client, index: &self.meta, bulk: &self.bulk }
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

    /// Makes searches see what this process has written.
    async fn refresh(&self) -> Result<(), Error> {
        // Whoever comes while another refreshes waits until that is done.
        let mut seen = self.seen.lock().await;
        let written = self.written.load(Ordering::SeqCst);
        if *seen < written {
            self.reading.refresh().await?;
            *seen = written;
        }
        Ok(())
    }
}

#[async_trait]
impl Reader for ElasticStore {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        Ok(self.inner.reading.snapshot(self.view(None).await?))
    }

    async fn snapshot_at(&self, cursor: &Cursor) -> Result<Arc<dyn Snapshot>, StoreError> {
        let view = match self.inner.reading.kept(cursor)? {
            (Some(view), _) => view,
            (None, taken) => self.view(Some(taken)).await?,
        };
        Ok(self.inner.reading.snapshot(view))
    }

    fn tail(&self, filter: &Filter) -> Result<BoxStream<'static, TailEvent>, StoreError> {
        Ok(self.inner.live.subscribe(snapshot::matcher(filter)?))
    }
}
