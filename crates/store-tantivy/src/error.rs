//! Errors inside the engine, and what callers of the seam get to see of them.

use std::io;

use weir_store::{StoreError, StoreErrorKind, WriteError};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Index(#[from] tantivy::TantivyError),
    #[error("stored data is damaged: {0}")]
    Damaged(String),
}

impl Error {
    pub(crate) fn damaged(what: impl ToString) -> Self {
        Error::Damaged(what.to_string())
    }

    pub(crate) fn on_write(self) -> WriteError {
        match self {
            Error::Damaged(_) => WriteError::Fatal(self.to_string()),
            _ => WriteError::Retry(format!("can't store: {self}")),
        }
    }

    pub(crate) fn on_read(self) -> StoreError {
        let kind = match self {
            Error::Damaged(_) => StoreErrorKind::Broken,
            _ => StoreErrorKind::Retry,
        };
        StoreError { kind, message: format!("can't read the store: {self}") }
    }
}
