//! The node agent: follows log files and receives telemetry, and hands both on in batches.
//!
//! It knows the transport by its seam only: in one process with the collector the senders append to the collector's logs.

mod admin;
mod checkpoint;
pub mod config;
mod host;
mod ledger;
#[cfg(test)]
mod log_lines;
mod relay;
mod stats;
mod tail;
mod zipkin;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use weir_disk::Disk;
use weir_otlp::{GrpcReceiver, HttpReceiver, Intake, IntakeStats};
use weir_runtime::{Health, Metrics};
use weir_transport::Senders;

pub use config::{Config, FormatConfig, SourceConfig, Start};
pub use ledger::{Hole, HoleCause, SourceLedger};
pub use relay::{Cursor, Relay};
pub use stats::{AgentStats, GlobFiles, RelayStats, View};
pub use tail::{FileSettings, file_settings, host_zone};

use admin::Admin;
use host::HostMetrics;
use zipkin::ZipkinReceiver;

/// What the agent needs from its surroundings.
pub struct Deps {
    pub senders: Senders,
    pub disk: Arc<dyn Disk>,
    /// Folder of its own, for the checkpoint.
    pub data_dir: PathBuf,
    pub metrics: Metrics,
    pub health: Health,
    /// Name of this host, the resource attribute `host.name`.
    pub host: String,
}

/// An agent that is ready to run.
pub struct Agent {
    tail: tail::Tail,
    http: HttpReceiver,
    grpc: GrpcReceiver,
    zipkin: Option<ZipkinReceiver>,
    admin: Option<Admin>,
    host: Option<HostMetrics>,
    senders: Senders,
    stats: Arc<stats::TailStats>,
}

/// Reads the checkpoint, checks the configuration and binds the listeners.
///
/// # Errors
/// When the checkpoint or configuration is wrong, or an address is taken.
pub async fn build(config: &Config, deps: Deps) -> anyhow::Result<Agent> {
    let stats = Arc::new(stats::TailStats::register(&deps.metrics));
    let host = HostMetrics::new(config, &deps.host, &deps.metrics)?;
    let tail =
        tail::Tail::new(config, deps.disk, deps.data_dir, deps.host, stats.clone(), deps.health.clone())?;
    let taken = |what, address, key| {
        format!(
            "can't listen for {what} on {address}; is another weir or collector running there? Choose another address with `agent.{key}`"
        )
    };
    let intake = Intake::plain(deps.senders.clone()).counted(IntakeStats::register(&deps.metrics, "agent"));
    let http = HttpReceiver::bind(config.otlp_http, intake.clone())
        .await
        .with_context(|| taken("OTLP over HTTP", config.otlp_http, "otlp_http"))?;
    let grpc = GrpcReceiver::bind(config.otlp_grpc, intake.clone())
        .await
        .with_context(|| taken("OTLP over gRPC", config.otlp_grpc, "otlp_grpc"))?;
    let zipkin =
        match config.zipkin {
            Some(address) => Some(ZipkinReceiver::bind(address, intake).await.with_context(|| {
                format!("{}, or null for none", taken("Zipkin's spans", address, "zipkin"))
            })?),
            None => None,
        };
    let admin = match config.admin {
        Some(address) => {
            Some(Admin::bind(address, deps.metrics, deps.health, stats.ledger.clone()).await.with_context(
                || {
                    format!(
                        "{}, or null for none",
                        taken("questions about metrics and health", address, "admin")
                    )
                },
            )?)
        }
        None => None,
    };
    Ok(Agent { tail, http, grpc, zipkin, admin, host, senders: deps.senders, stats })
}

impl Agent {
    /// A view of what the agent does, also after it runs.
    pub fn view(&self) -> View {
        View { stats: self.stats.clone() }
    }

    /// Where OTLP over HTTP is listened for.
    ///
    /// # Errors
    /// Never in practice; the system is asked for the address.
    pub fn otlp_http(&self) -> io::Result<SocketAddr> {
        self.http.local_addr()
    }

    /// Where OTLP over gRPC is listened for.
    ///
    /// # Errors
    /// Never in practice; the system is asked for the address.
    pub fn otlp_grpc(&self) -> io::Result<SocketAddr> {
        self.grpc.local_addr()
    }

    /// Where Zipkin's spans are listened for.
    ///
    /// # Errors
    /// Never in practice; the system is asked for the address.
    pub fn zipkin(&self) -> io::Result<Option<SocketAddr>> {
        self.zipkin.as_ref().map(ZipkinReceiver::local_addr).transpose()
    }

    /// Where metrics and health are served.
    ///
    /// # Errors
    /// Never in practice; the system is asked for the address.
    pub fn admin(&self) -> io::Result<Option<SocketAddr>> {
        self.admin.as_ref().map(Admin::local_addr).transpose()
    }

    /// Runs until the token is cancelled, then drains.
    ///
    /// # Errors
    /// If a part fails in a way that it can't recover from.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let tail = self.tail.run(self.senders.clone(), shutdown.clone());
        let host = async {
            match self.host {
                Some(host) => host.run(self.senders.metrics, shutdown.clone()).await,
                None => Ok(()),
            }
        };
        let http = async { self.http.run(shutdown.clone()).await.context("receiving OTLP over HTTP failed") };
        let grpc = async { self.grpc.run(shutdown.clone()).await.context("receiving OTLP over gRPC failed") };
        let zipkin = async {
            match self.zipkin {
                Some(zipkin) => {
                    zipkin.run(shutdown.clone()).await.context("receiving from Zipkin's clients failed")
                }
                None => Ok(()),
            }
        };
        let admin = async {
            match self.admin {
                Some(admin) => admin.run(shutdown.clone()).await.context("serving metrics and health failed"),
                None => Ok(()),
            }
        };
        tokio::try_join!(tail, http, grpc, zipkin, host, admin).map(|_| ())
    }
}
