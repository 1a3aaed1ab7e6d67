//! What can go wrong between Weir and a search engine.

use std::time::Duration;

use weir_store::{PutError, StoreError, StoreErrorKind, WriteError};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What was sent may have been done all the same.
    #[error("no node of the search engine answers: {0}")]
    Away(String),
    #[error("the search engine refuses with {status}, {kind}: {reason}")]
    Refused { status: u16, kind: String, reason: String },
    #[error(
        "{0}; a collector makes it when it starts, so none has run with this `store.elastic.prefix` yet, or the index was deleted"
    )]
    Missing(String),
    #[error(
        "the search engine has not shown for {0:?} what was written last: it is very busy, or an index has a shard that no node has"
    )]
    Unready(Duration),
    #[error("{0}")]
    Strange(String),
    #[error("{0}")]
    Config(String),
}

impl Error {
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Missing(_) => Some(404),
            _ => None,
        }
    }

    /// Everything may pass: an engine that was set up wrongly is set up again, and until then the log keeps what comes.
    pub(crate) fn on_write(self) -> WriteError {
        match self {
            Self::Config(message) => WriteError::Fatal(message),
            other => WriteError::Retry(other.to_string()),
        }
    }

    pub(crate) fn on_read(self) -> StoreError {
        let kind = match &self {
            // The point in time of a snapshot ends when nobody has used it for a while, and with the node.
            Self::Refused { status: 404, .. } => {
                return StoreError {
                    kind: StoreErrorKind::Query,
                    message: "the state that was asked is no longer kept; ask anew".into(),
                };
            }
            Self::Away(_) => StoreErrorKind::Away,
            Self::Missing(_) | Self::Unready(_) | Self::Refused { status: 429 | 500..=599, .. } => {
                StoreErrorKind::Retry
            }
            _ => StoreErrorKind::Broken,
        };
        StoreError { kind, message: self.to_string() }
    }

    pub(crate) fn on_put(self) -> PutError {
        PutError::Retry(self.to_string())
    }
}
