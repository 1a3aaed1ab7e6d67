//! `weir agent`: an agent in a process of its own, with a spool on disk between it and the collector or Kafka.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;
use weir_agent::{Agent, Cursor, Relay, RelayStats};
use weir_model::Signal;
use weir_otlp::{GrpcSender, HttpSender};
use weir_query_ui::ReceiverStatus;
use weir_runtime::{Health, Metrics};
use weir_transport::{Sender, disk_log};
use weir_transport_kafka::Kafka;

use crate::config::{Config, Forward, Protocol};
use crate::ports;
use crate::wiring::{DataFolder, Logs, Parts, host_name, receiver, say};

/// What the allocator of the GNU C library is told. Batches pass through many threads, and left to itself it keeps some megabytes for each of them: so there
/// are two areas for all. Freed memory up to so many bytes stays there, and blocks up to that size come from there: were each batch and each copy
/// of it new memory of the system's, its page faults would cost as much as compressing it.
#[cfg(target_env = "gnu")]
const ALLOCATOR: [(libc::c_int, libc::c_int); 3] =
    [(libc::M_ARENA_MAX, 2), (libc::M_TRIM_THRESHOLD, 8 << 20), (libc::M_MMAP_THRESHOLD, 8 << 20)];

/// What each signal's spool keeps in memory for a next hop that keeps up, bytes.
const RECENT_BYTES: usize = 4 << 20;

#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// Configuration file; without one the defaults count.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Folder that holds the spool and the checkpoint.
    #[arg(long, default_value = "weir-agent-data")]
    data_dir: PathBuf,
}

pub(crate) async fn run(args: AgentArgs, config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    #[cfg(target_env = "gnu")]
    for (setting, value) in ALLOCATOR {
        // SAFETY: sets a number in the allocator; a value that it does not take changes nothing.
        unsafe { libc::mallopt(setting, value) };
    }
    ports::are_free(&ports(&config))?;
    let folder = DataFolder::open(&args.data_dir)?;
    let (metrics, health) = (Metrics::new(), Health::default());
    let cursor = |signal: Signal| {
        Cursor::open(folder.disk.clone(), &folder.path.join(format!("sent-{}", signal.name())))
    };
    // A spool that was removed begins behind what was sent, so that positions never repeat.
    let [logs, spans, points] = [cursor(Signal::Logs)?, cursor(Signal::Spans)?, cursor(Signal::Metrics)?];
    let limits = disk_log::Settings {
        max_bytes: config.forward.spool_bytes.0,
        recent_bytes: RECENT_BYTES,
        ..disk_log::Settings::default()
    };
    let spool = Logs::open(&folder, "spool", limits, |signal| match signal {
        Signal::Logs => logs.position(),
        Signal::Spans => spans.position(),
        Signal::Metrics => points.position(),
    })?;
    spool.count(&metrics, "weir_agent_spool");
    let deps = weir_agent::Deps {
        senders: spool.senders.clone(),
        disk: folder.disk.clone(),
        data_dir: folder.path.join("agent"),
        metrics: metrics.clone(),
        health: health.clone(),
        host: host_name(),
    };
    let agent = weir_agent::build(&config.agent, deps).await?;
    announce(&agent, &config)?;

    let kafka = config.forward.to_kafka().then(|| Kafka::new(config.kafka.clone())).transpose()?;
    let stats = Arc::new(RelayStats::register(&metrics));
    let mut parts = Parts::default();
    parts.spawn(|stop| agent.run(stop));
    for ((signal, receiver), cursor) in spool.receivers().into_iter().zip([logs, spans, points]) {
        let sender = match &kafka {
            Some(kafka) => Arc::new(kafka.sender(signal)),
            None => intake(&config.forward, signal)?,
        };
        let relay = Relay::new(signal, receiver, sender, cursor, stats.clone(), health.clone());
        parts.spawn(|stop| relay.run(stop));
    }
    match kafka {
        Some(_) => say("ready", format_args!("sends to Kafka at {}", config.kafka.brokers.join(" "))),
        None => {
            if config.kafka.is_used() {
                tracing::warn!(
                    to = config.forward.to,
                    "`kafka.brokers` is set, and nothing is sent there without `forward.to: kafka`"
                );
            }
            say("ready", format_args!("sends to {} over {}", config.forward.to, config.forward.protocol));
        }
    }
    parts.run_until(shutdown, || async {}).await
}

/// The addresses that an agent listens on, by their keys.
pub(crate) fn ports(config: &Config) -> Vec<(&'static str, SocketAddr)> {
    let agent = &config.agent;
    let always = [("agent.otlp_http", agent.otlp_http), ("agent.otlp_grpc", agent.otlp_grpc)];
    let perhaps = [("agent.zipkin", agent.zipkin), ("agent.admin", agent.admin)];
    always.into_iter().chain(perhaps.into_iter().filter_map(|(key, at)| Some((key, at?)))).collect()
}

/// A sender to the collector's intake.
fn intake(forward: &Forward, signal: Signal) -> anyhow::Result<Arc<dyn Sender>> {
    Ok(match forward.protocol {
        Protocol::Http => Arc::new(HttpSender::new(&forward.to, signal)?),
        Protocol::Grpc => Arc::new(GrpcSender::new(&forward.to, signal)?),
    })
}

/// Where the agent takes telemetry.
pub(crate) fn receivers(agent: &Agent) -> anyhow::Result<Vec<ReceiverStatus>> {
    let mut receivers = vec![
        receiver("OTLP/HTTP", format!("http://{}", agent.otlp_http()?)),
        receiver("OTLP/gRPC", format!("http://{}", agent.otlp_grpc()?)),
    ];
    receivers.extend(agent.zipkin()?.map(|at| receiver("Zipkin", format!("http://{at}/api/v2/spans"))));
    Ok(receivers)
}

/// Says what the agent follows and where it listens.
pub(crate) fn announce(agent: &Agent, config: &Config) -> anyhow::Result<()> {
    let globs: Vec<&str> =
        config.agent.sources.iter().flat_map(|s| s.include.iter().map(String::as_str)).collect();
    say("agent", format_args!("follows {}", globs.join(" ")));
    say("otlp", format_args!("http://{} and grpc://{}", agent.otlp_http()?, agent.otlp_grpc()?));
    if let Some(zipkin) = agent.zipkin()? {
        say("zipkin", format_args!("http://{zipkin}/api/v2/spans"));
    }
    if let Some(admin) = agent.admin()? {
        say("admin", format_args!("http://{admin}/metrics http://{admin}/health http://{admin}/ready"));
    }
    Ok(())
}
