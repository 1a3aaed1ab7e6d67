//! What it takes to read, whether this process writes as well or not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use elasticsearch::http::Method;
use parking_lot::Mutex;
use weir_store::{Cursor, LedgerRow, Snapshot, StoreError};

use crate::client::{Answer, Client};
use crate::engine::Family;
use crate::error::Error;
use crate::nodes::Nodes;
use crate::snapshot::{ElasticSnapshot, Kept, Mark};
use crate::template::Names;
use crate::view::View;
use crate::write;

/// How long a query waits until the engine has room for one more point in time, and how long from try to try.
const OPENING: Duration = Duration::from_secs(10);
const OPENING_PAUSE: Duration = Duration::from_millis(50);
/// How long a query waits for indices and shards that are not there: those that are being made, or of a node that has just started, come within moments.
const SETTLING: Duration = Duration::from_secs(5);
/// Longest wait for a refresh. An engine waits a minute for a shard that no node has.
const REFRESH: Duration = Duration::from_secs(15);

/// An engine, and the states of it that are kept for later pages.
pub(crate) struct Reading {
    pub(crate) client: Arc<Client>,
    pub(crate) family: Family,
    pub(crate) names: Names,
    kept: Arc<Kept>,
    views: AtomicU64,
}

/// Jittered, so that those who wait do not come again together.
fn pause() -> Duration {
    OPENING_PAUSE.mul_f64(rand::random_range(0.5..1.5))
}

/// Whether an engine says of itself that it has only just started, or of an index.
fn is_settling(error: &Error) -> bool {
    matches!(error, Error::Missing(_) | Error::Refused { status: 503, .. })
}

impl Reading {
    /// Asks who is there.
    pub(crate) async fn new(client: Arc<Client>, names: Names) -> Result<Self, Error> {
        let family = Family::detect(&client, &names.meta()).await?;
        // Cursors of an earlier process name no view of this one.
        let views = AtomicU64::new(u64::from(rand::random::<u32>()) << 24);
        Ok(Self { client, family, names, kept: Arc::default(), views })
    }

    pub(crate) fn nodes(&self) -> Nodes {
        Nodes::new(self.client.clone(), self.names.meta())
    }

    /// The state as searches see it now. `fresh` is what the process knows beside it, read before this is called: what gets into a document meanwhile
    /// is then in both.
    pub(crate) async fn view(
        &self,
        fresh: Vec<LedgerRow>,
        written_before: Option<u64>,
    ) -> Result<Arc<View>, Error> {
        let pit = self.open_pit().await?;
        let now = write::now();
        Ok(Arc::new(View {
            id: self.views.fetch_add(1, Ordering::Relaxed),
            client: self.client.clone(),
            family: self.family,
            pit,
            fresh,
            written_before,
            taken: now + 1,
            used: AtomicU64::new(now),
            lists: Mutex::new(VecDeque::new()),
        }))
    }

    pub(crate) fn snapshot(&self, view: Arc<View>) -> Arc<dyn Snapshot> {
        Arc::new(ElasticSnapshot { view, kept: self.kept.clone() })
    }

    /// Makes searches see what was written before this is called.
    pub(crate) async fn refresh(&self) -> Result<(), Error> {
        let path = format!("/{}/_refresh?allow_no_indices=true", self.names.all());
        let begun = Instant::now();
        let refresh = async {
            loop {
                let answer = self.client.ask(Method::Post, &path).await.and_then(Answer::success);
                match answer {
                    Err(error) if is_settling(&error) && begun.elapsed() < SETTLING => {
                        tokio::time::sleep(pause()).await;
                    }
                    answer => return answer.map(drop),
                }
            }
        };
        tokio::time::timeout(REFRESH, refresh).await.unwrap_or(Err(Error::Unready(REFRESH)))
    }

    /// The state that a cursor names, where it is kept still, and when it was taken.
    pub(crate) fn kept(&self, cursor: &Cursor) -> Result<(Option<Arc<View>>, u64), StoreError> {
        let mark = Mark::parse(cursor)?;
        Ok((self.kept.find(mark.view), mark.taken))
    }

    /// Opens a point in time over all indices. Where the engine has too many, states that are kept for a next page give way; then others must
    /// end first.
    async fn open_pit(&self) -> Result<String, Error> {
        let begun = Instant::now();
        loop {
            match self.family.open_pit(&self.client, &self.names.all()).await {
                Err(Error::Refused { status: 429, .. }) if begun.elapsed() < OPENING => {}
                Err(error) if is_settling(&error) && begun.elapsed() < SETTLING => {
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
}
