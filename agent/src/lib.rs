//! The node agent: follows log files and receives telemetry, and hands both on in batches.
//!
//! It knows the transport by its seam only: in one process with the collector the senders append to the collector's logs.

mod checkpoint;
pub mod config;
mod stats;
mod tail;

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use weir_disk::Disk;
use weir_runtime::Metrics;
use weir_transport::Sender;

pub use config::{Config, SourceConfig, Start};
pub use stats::AgentStats;

/// Where batches go.
#[derive(Clone)]
pub struct Senders {
    pub logs: Arc<dyn Sender>,
    pub spans: Arc<dyn Sender>,
    pub metrics: Arc<dyn Sender>,
}

/// What the agent needs from its surroundings.
pub struct Deps {
    pub senders: Senders,
    pub disk: Arc<dyn Disk>,
    /// Folder of its own, for the checkpoint.
    pub data_dir: PathBuf,
    pub metrics: Metrics,
    /// Name of this host, the resource attribute `host.name`.
    pub host: String,
}

/// An agent that is ready to run.
pub struct Agent {
    tail: tail::Tail,
    senders: Senders,
    stats: Arc<stats::TailStats>,
}

/// Reads the checkpoint and checks the configuration.
///
/// # Errors
/// When either is wrong.
pub fn build(config: &Config, deps: Deps) -> anyhow::Result<Agent> {
    let stats = Arc::new(stats::TailStats::register(&deps.metrics));
    let tail = tail::Tail::new(config, deps.disk, deps.data_dir, deps.host, stats.clone())?;
    Ok(Agent { tail, senders: deps.senders, stats })
}

impl Agent {
    /// A view of what the agent does, also after it runs.
    pub fn stats(&self) -> impl Fn() -> AgentStats + Send + Sync + 'static {
        let stats = self.stats.clone();
        move || AgentStats::from(stats.as_ref())
    }

    /// Runs until the token is cancelled, then drains.
    ///
    /// # Errors
    /// If a part fails in a way that it can't recover from.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        self.tail.run(self.senders.logs, shutdown).await
    }
}
