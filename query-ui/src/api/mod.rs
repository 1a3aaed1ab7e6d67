//! The endpoints, a file for each group of them.

pub(crate) mod fields;
pub(crate) mod groups;
pub(crate) mod histogram;
pub(crate) mod hosts;
pub(crate) mod ledger;
pub(crate) mod logs;
pub(crate) mod scatter;
pub(crate) mod services;
pub(crate) mod status;
pub(crate) mod tail;
pub(crate) mod trace;
pub(crate) mod traces;

use std::sync::Arc;

use axum::extract::State;

use crate::app::App;
use crate::error::ApiError;

type Shared = State<Arc<App>>;

/// Runs what would keep a thread busy where that does no harm.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "an answer could not be made");
        ApiError::broken("the answer could not be made; the server's log says why")
    })
}

/// The engine answered another question than it was asked.
fn unexpected() -> ApiError {
    tracing::error!("the store answered with a table of another kind");
    ApiError::broken("the store gave an answer of the wrong kind; please report this")
}
