//! Reading what other processes write: nothing is created, written or deleted, and no right but that to read is needed.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use weir_model::filter::Filter;
use weir_store::{Cursor, PutError, Reader, Revision, Snapshot, State, StoreError, TailEvent};

use crate::OpenError;
use crate::client::Client;
use crate::engine::Family;
use crate::error::Error;
use crate::follow::Follow;
use crate::nodes::Nodes;
use crate::reading::Reading;
use crate::settings::Config;
use crate::snapshot::matcher;
use crate::state;
use crate::template::Names;

/// The store as it is read by a process that does not write. Cloning shares it.
#[derive(Clone)]
pub struct ElasticReader {
    reading: Arc<Reading>,
    follow: Arc<Follow>,
}

impl ElasticReader {
    /// Asks who is there. The indices may be missing yet.
    ///
    /// # Errors
    /// When no node answers, the engine is too old, or refuses.
    pub async fn open(config: &Config) -> Result<Self, OpenError> {
        let open = async {
            let client = Arc::new(Client::new(config)?);
            Ok(Arc::new(Reading::new(client, Names::new(&config.prefix)).await?))
        };
        let reading = open.await.map_err(|error: Error| OpenError::from(error))?;
        let follow = Follow::new(reading.clone(), config.refresh.0);
        Ok(Self { reading, follow: Arc::new(follow) })
    }

    /// Which engine it is.
    pub fn family(&self) -> Family {
        self.reading.family
    }

    /// Whether its nodes answer.
    pub fn nodes(&self) -> Nodes {
        self.reading.nodes()
    }
}

#[async_trait]
impl Reader for ElasticReader {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        let view = self.reading.view(Vec::new(), None).await.map_err(Error::on_read)?;
        Ok(self.reading.snapshot(view))
    }

    async fn snapshot_at(&self, cursor: &Cursor) -> Result<Arc<dyn Snapshot>, StoreError> {
        let view = match self.reading.kept(cursor)? {
            (Some(view), _) => view,
            (None, taken) => self.reading.view(Vec::new(), Some(taken)).await.map_err(Error::on_read)?,
        };
        Ok(self.reading.snapshot(view))
    }

    fn tail(&self, filter: &Filter) -> Result<BoxStream<'static, TailEvent>, StoreError> {
        // Refused before anything is asked.
        let matcher = matcher(filter)?;
        Ok(self.follow.clone().tail(filter.clone(), matcher))
    }
}

#[async_trait]
impl State for ElasticReader {
    async fn get(&self, key: &str) -> Result<Option<(Revision, Vec<u8>)>, PutError> {
        state::get(&self.reading.client, &self.reading.names.meta(), key).await
    }

    async fn put_if(&self, _key: &str, _revision: Revision, _value: &[u8]) -> Result<Revision, PutError> {
        Err(PutError::ReadOnly)
    }
}
