//! The agent in this process, following files until it has taken all of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_agent::{Config, Deps, SourceConfig};
use weir_disk::RealDisk;
use weir_runtime::{Health, Metrics, Period};
use weir_transport::{Sender, Senders};

use crate::cpu;

/// How often it is looked whether all was taken, and for how many looks nothing may have come.
const LOOK: Duration = Duration::from_millis(50);
const QUIET_LOOKS: u32 = 10;

/// What the agent has done.
#[derive(Debug, Clone, Copy)]
pub struct Followed {
    pub records: u64,
    /// Processor time of this process until the last record was acknowledged.
    pub used: Duration,
}

/// Follows files with the default configuration, detection on, until every byte is acknowledged.
///
/// # Errors
/// When the agent fails.
pub async fn follow(files: &[PathBuf], sink: Arc<dyn Sender>) -> anyhow::Result<Followed> {
    let folder = tempfile::tempdir()?;
    let before = cpu::used();
    let include = files.iter().map(|file| file.to_string_lossy().into_owned()).collect();
    let loopback = "127.0.0.1:0".parse()?;
    let config = Config {
        sources: vec![SourceConfig { include, ..SourceConfig::default() }],
        otlp_http: loopback,
        otlp_grpc: loopback,
        zipkin: None,
        admin: None,
        host_metrics: Period::secs(0),
        ..Config::default()
    };
    let deps = Deps {
        senders: Senders { logs: sink.clone(), spans: sink.clone(), metrics: sink },
        disk: Arc::new(RealDisk),
        data_dir: folder.path().to_owned(),
        metrics: Metrics::new(),
        health: Health::default(),
        host: "bench".into(),
    };
    let agent = weir_agent::build(&config, deps).await?;
    let view = agent.view();
    let stop = CancellationToken::new();
    let running = tokio::spawn(agent.run(stop.clone()));
    let (mut last, mut used, mut quiet) = ((0, 0), Duration::ZERO, 0);
    while quiet < QUIET_LOOKS {
        tokio::time::sleep(LOOK).await;
        let stats = view.stats();
        let now = (stats.records, stats.unacknowledged_bytes);
        if now != last {
            used = cpu::used() - before;
        }
        quiet = if now == last && now.0 > 0 && now.1 == 0 { quiet + 1 } else { 0 };
        last = now;
    }
    stop.cancel();
    running.await??;
    Ok(Followed { records: last.0, used })
}
