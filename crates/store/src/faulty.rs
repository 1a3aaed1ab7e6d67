//! A store that fails, for tests: a seeded wrapper that refuses calls, answers late, loses the answer after the work was done, and does work again.
//!
//! Whoever keeps to the contract of [`Writer`] and repeats what may be repeated must come to the same state as without it.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use weir_model::Signal;
use weir_model::filter::Filter;
use weir_transport::faulty::Faults;
use weir_transport::{Batch, Epoch, Lane, Position};

use crate::{
    Cursor, PutError, Reader, Report, Revision, Snapshot, State, StoreError, StoreErrorKind, TailEvent,
    WriteError, Writer,
};

/// Wraps a store.
#[derive(Debug, Clone)]
pub struct FaultyStore<S> {
    inner: S,
    faults: Arc<Faults>,
}

impl<S> FaultyStore<S> {
    pub fn new(inner: S, faults: Faults) -> Self {
        Self { inner, faults: Arc::new(faults) }
    }

    pub fn inner(&self) -> &S {
        &self.inner
    }
}

fn refused() -> WriteError {
    WriteError::Retry("a fault of the test".into())
}

fn unread() -> StoreError {
    StoreError { kind: StoreErrorKind::Retry, message: "a fault of the test".into() }
}

#[async_trait]
impl<S: Writer> Writer for FaultyStore<S> {
    async fn begin(&self, lane: Lane, epoch: Epoch) -> Result<Option<Position>, WriteError> {
        self.faults.before().await.map_err(|()| refused())?;
        let position = self.inner.begin(lane, epoch).await?;
        self.faults.after().await.map_err(|()| refused())?;
        Ok(position)
    }

    async fn write(
        &self,
        lane: Lane,
        epoch: Epoch,
        batches: &[(Position, Batch)],
    ) -> Result<Report, WriteError> {
        self.faults.before().await.map_err(|()| refused())?;
        let report = self.inner.write(lane, epoch, batches).await?;
        if self.faults.again() {
            self.inner.write(lane, epoch, batches).await?;
        }
        self.faults.after().await.map_err(|()| refused())?;
        Ok(report)
    }

    async fn sync(&self, signal: Signal) -> Result<Vec<(Lane, Position)>, WriteError> {
        self.faults.before().await.map_err(|()| refused())?;
        let lanes = self.inner.sync(signal).await?;
        self.faults.after().await.map_err(|()| refused())?;
        Ok(lanes)
    }
}

#[async_trait]
impl<S: Reader> Reader for FaultyStore<S> {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.faults.before().await.map_err(|()| unread())?;
        self.inner.snapshot().await
    }

    async fn snapshot_at(&self, cursor: &Cursor) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.faults.before().await.map_err(|()| unread())?;
        self.inner.snapshot_at(cursor).await
    }

    fn tail(&self, filter: &Filter) -> Result<BoxStream<'static, TailEvent>, StoreError> {
        self.inner.tail(filter)
    }
}

/// An answer that is lost can't be told from another's write here, so values only fail before anything is done.
#[async_trait]
impl<S: State> State for FaultyStore<S> {
    async fn get(&self, key: &str) -> Result<Option<(Revision, Vec<u8>)>, PutError> {
        self.faults.before().await.map_err(|()| PutError::Retry("a fault of the test".into()))?;
        self.inner.get(key).await
    }

    async fn put_if(&self, key: &str, revision: Revision, value: &[u8]) -> Result<Revision, PutError> {
        self.faults.before().await.map_err(|()| PutError::Retry("a fault of the test".into()))?;
        self.inner.put_if(key, revision, value).await
    }
}
