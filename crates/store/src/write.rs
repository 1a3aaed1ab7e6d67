//! Writing.

use async_trait::async_trait;
use weir_model::Signal;
use weir_transport::{Batch, Epoch, Lane, Position};

use crate::refusals::Refusal;

/// What became of the records of a write. Their sum is the number of records in the batches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    pub stored: u64,
    /// Already stored, recognised by origin or identity.
    pub duplicate: u64,
    /// Can't be stored.
    pub refused: u64,
    /// The refused records. Points of metrics of kinds that no engine stores are counted above only.
    pub refusals: Vec<Refusal>,
    /// Bytes written since the last [`Writer::sync`].
    pub pending_bytes: u64,
}

/// A failed write.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The lane belongs to a later epoch.
    #[error("lane {0} was taken over by a later assignment")]
    Fenced(Lane),
    /// Passing trouble such as a full disk; nothing of this call counts, call again.
    #[error("{0}")]
    Retry(String),
    /// Nothing will be stored until a person acts.
    #[error("{0}")]
    Fatal(String),
}

/// Stores batches.
///
/// # Contract
/// - `begin` names the position from which the lane is to be delivered (`None`: from its oldest) and fences every older epoch.
/// - `write` takes positions in order. A position below the lane's is skipped as a duplicate. After `Ok` the records show in new
///   snapshots, but are durable only after `sync`. After an error the same call may be repeated.
/// - `sync` makes durable all that was written of a signal and returns for each lane the position from which it would have to be delivered again.
///   Positions, records, and ranges become durable in one atomic step. For metrics an engine may answer positions that lie further back, and
///   make durable what is behind them with a later call.
/// - A record that is refused leaves a hole in the stored ranges: when it comes again, and can be stored then, it is new.
/// - Points of metrics are unique by series and time: one that comes again replaces the one before, and is counted as stored or as duplicate.
/// - What an engine must do is asked by [`conformance`](crate::conformance).
#[async_trait]
pub trait Writer: Send + Sync {
    async fn begin(&self, lane: Lane, epoch: Epoch) -> Result<Option<Position>, WriteError>;
    async fn write(
        &self,
        lane: Lane,
        epoch: Epoch,
        batches: &[(Position, Batch)],
    ) -> Result<Report, WriteError>;
    async fn sync(&self, signal: Signal) -> Result<Vec<(Lane, Position)>, WriteError>;
}

/// A revision of a value in [`State`]; 0 means that there is none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Revision(pub u64);

/// Why a [`State::put_if`] was not done.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// Somebody else wrote meanwhile; the revision that stands there now.
    #[error("the value has changed meanwhile")]
    Conflict(Revision),
    /// This process reads what others write.
    #[error("this process only reads")]
    ReadOnly,
    #[error("{0}")]
    Retry(String),
}

/// Small durable values with one owner a key: service colours, rule state.
#[async_trait]
pub trait State: Send + Sync {
    async fn get(&self, key: &str) -> Result<Option<(Revision, Vec<u8>)>, PutError>;
    /// Writes durably if the value's revision is still the given one. After [`PutError::Retry`] it is open whether it was written: read it again.
    async fn put_if(&self, key: &str, revision: Revision, value: &[u8]) -> Result<Revision, PutError>;
}
