//! Errors inside the engine, and what callers of the seam get to see of them.

use std::fmt::Display;
use std::io;
use std::path::Path;

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

    /// A file that names what counts can't be understood.
    pub(crate) fn damaged_file(path: &Path, error: impl Display) -> Self {
        let advice = "put it back from a backup, or move the data folder away to begin anew";
        Error::Damaged(format!("{}: {error}; {advice}", path.display()))
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
