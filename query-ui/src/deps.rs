//! What the role is given.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use weir_model::{Incarnation, Signal};
use weir_runtime::{Health, Metrics};
use weir_store::{Reader, State};

/// Everything that comes from outside.
#[derive(Clone)]
pub struct Deps {
    pub reader: Arc<dyn Reader>,
    pub state: Arc<dyn State>,
    pub status: Arc<dyn StatusSource>,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What `/health` shows.
    pub health: Health,
    /// Nanoseconds since the Unix epoch.
    pub now: fn() -> u64,
}

impl Deps {
    /// With the system's clock.
    pub fn new(
        reader: Arc<dyn Reader>,
        state: Arc<dyn State>,
        status: Arc<dyn StatusSource>,
        metrics: Metrics,
        health: Health,
    ) -> Self {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        Self { reader, state, status, metrics, health, now }
    }
}

/// Knows how the process is doing. Implemented by whoever wires the roles.
pub trait StatusSource: Send + Sync {
    fn report(&self) -> StatusReport;
    /// Why whoever has the data can't be asked, where that is known without asking; in words.
    fn away(&self) -> Option<String>;
    /// The files that an agent in this process follows or has followed.
    fn sources(&self) -> Vec<SourceStatus>;
    /// What the collector in this process has counted since it was started, by signal.
    fn counts(&self) -> Vec<SignalCounts>;
}

/// One life of a file, as the agent knows it. Offsets in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    pub path: String,
    pub incarnation: Incarnation,
    /// Everything below was read.
    pub read: u64,
    /// Everything below is durable or a hole.
    pub acknowledged: u64,
    pub holes: Vec<Hole>,
}

/// A part of a source that no record was made of. Offsets in bytes, half open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    pub start: u64,
    pub end: u64,
    /// A word for programs, such as `skipped-at-start`.
    pub cause: &'static str,
}

/// Records of one signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalCounts {
    pub signal: Signal,
    pub stored: u64,
    /// Came again and were recognised.
    pub duplicate: u64,
    /// Can't be stored.
    pub refused: u64,
    /// Batches that the log could not deliver.
    pub lost_batches: u64,
}

/// How the process is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusReport {
    pub version: String,
    /// Nanoseconds since the Unix epoch.
    pub started_at: u64,
    /// For how many milliseconds the oldest thing waits that was read or received and can't be searched yet; `None` where that is not known.
    pub behind_ms: Option<u64>,
    /// In the order in which data passes them.
    pub stages: Vec<StageStatus>,
    /// Where this process takes telemetry; a page without data names them.
    pub receivers: Vec<ReceiverStatus>,
    /// What an agent in this process looks for.
    pub globs: Vec<GlobStatus>,
}

/// Files that are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GlobStatus {
    pub glob: String,
    /// How many it named at the last look.
    pub files: u64,
}

/// Where telemetry is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiverStatus {
    /// Such as `OTLP/HTTP`.
    pub protocol: String,
    pub url: String,
}

/// How one stage is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StageStatus {
    /// Such as `agent`, `log`, `collector`.
    pub name: String,
    /// `ok`, `slow`, `failing` or `stopped`.
    pub state: String,
    pub records: u64,
    pub bytes: u64,
    /// Records that were lost, or refused and not kept as dead letters, and batches that were lost.
    pub lost: u64,
    /// For a person; may be empty.
    pub detail: String,
}
