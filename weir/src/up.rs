//! `weir up`: agent, collector and UI in one process. The agent's senders append to the collector's logs; nothing is passed by a shorter way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Args;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weir_agent::SourceConfig;
use weir_collector::Policy;
use weir_demo::{Settings as ShopSettings, Shop, ShopConfig};
use weir_disk::{Disk, RealDisk};
use weir_model::Signal;
use weir_runtime::Metrics;
use weir_store_tantivy::{Settings, TantivyStore};
use weir_transport::disk_log::{self, DiskLog, DiskLogReceiver, DiskLogSender};
use weir_transport::{Receiver, Sender, Senders};

use crate::config::Config;
use crate::status::Status;

/// How long the parts may take to end once they were told to.
const DRAIN: Duration = Duration::from_secs(8);

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Configuration file; without one the defaults count.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Folder that holds everything that must survive a restart.
    #[arg(long, default_value = "weir-data")]
    data_dir: PathBuf,
    /// Run the sample shop too, and follow its logs.
    #[arg(long)]
    demo: bool,
}

/// One signal's log, with the sender that appends to it.
struct Log {
    log: Arc<DiskLog>,
    sender: Arc<dyn Sender>,
}

pub(crate) async fn run(args: UpArgs, mut config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.data_dir)
        .with_context(|| format!("can't create the data folder {}", args.data_dir.display()))?;
    let data_dir = args.data_dir.canonicalize()?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let metrics = Metrics::new();

    let store = open_store(&disk, &data_dir, &config).await?;
    let (logs, spans) = (store.stats(Signal::Logs).records, store.stats(Signal::Spans).records);
    say("store", format_args!("{} holds {logs} log records and {spans} spans", data_dir.display()));

    let log = |signal| open_log(&disk, &data_dir, signal, &config, &store);
    let (logs, spans, points) = (log(Signal::Logs)?, log(Signal::Spans)?, log(Signal::Metrics)?);
    let receivers: Vec<(Signal, Box<dyn Receiver>)> =
        [(Signal::Logs, &logs), (Signal::Spans, &spans), (Signal::Metrics, &points)]
            .into_iter()
            .map(|(signal, log)| {
                (signal, Box::new(DiskLogReceiver::new(log.log.clone())) as Box<dyn Receiver>)
            })
            .collect();
    let policy = Policy {
        commit_every: config.collector.commit_every.0,
        commit_bytes: config.collector.commit_bytes.0,
    };
    let collector = weir_collector::build(receivers, Arc::new(store.clone()), policy, &metrics);
    say("collector", format_args!("commits every {}", config.collector.commit_every));

    let demo_dir = data_dir.join("demo");
    if args.demo {
        config.agent.sources = vec![demo_source(&demo_dir)];
    }
    let deps = weir_agent::Deps {
        senders: Senders {
            logs: logs.sender.clone(),
            spans: spans.sender.clone(),
            metrics: points.sender.clone(),
        },
        disk,
        data_dir: data_dir.join("agent"),
        metrics,
        host: host_name(),
    };
    let agent = weir_agent::build(&config.agent, deps).await?;
    let globs: Vec<&str> =
        config.agent.sources.iter().flat_map(|s| s.include.iter().map(String::as_str)).collect();
    say("agent", format_args!("follows {}", globs.join(" ")));

    say("otlp", format_args!("http://{} and grpc://{}", agent.otlp_http()?, agent.otlp_grpc()?));

    let status = Status {
        started_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64),
        agent: Box::new(agent.stats()),
        collector: collector.stats(),
        logs: vec![(Signal::Logs, logs.log), (Signal::Spans, spans.log), (Signal::Metrics, points.log)],
        log_bytes: config.collector.log_bytes.0,
    };
    let ui_deps = weir_query_ui::Deps::new(Arc::new(store.clone()), Arc::new(store), Arc::new(status));
    let ui = weir_query_ui::build(config.query.clone(), ui_deps).await?;
    let url = format!("http://{}", ui.address());

    // The collector ends after the agent, so that what the agent still sends is taken.
    let (agent_stop, collector_stop) = (CancellationToken::new(), CancellationToken::new());
    let mut parts = JoinSet::new();
    parts.spawn(agent.run(agent_stop.clone()));
    parts.spawn(collector.run(collector_stop.clone()));
    let ui_stop = shutdown.clone();
    let ui = tokio::spawn(async move { ui.run(ui_stop).await });

    let shop = match args.demo {
        true => Some(start_shop(&demo_dir, &config)?),
        false => None,
    };
    say("ui", format_args!("{url}"));
    say("ready", format_args!("open {url} in a browser; Ctrl-C ends it"));

    let mut result = Ok(());
    tokio::select! {
        () = shutdown.cancelled() => {}
        Some(ended) = parts.join_next() => result = ended?.context("a part has failed"),
    }
    if let Some(shop) = shop {
        shop.stop().await;
    }
    // Also where a part has failed.
    shutdown.cancel();
    agent_stop.cancel();
    let drained = tokio::time::timeout(DRAIN, async {
        // Whichever ends first is the agent, unless one has failed.
        let first = parts.join_next().await;
        collector_stop.cancel();
        let second = parts.join_next().await;
        [first, second]
    });
    let _ = tokio::time::timeout(DRAIN, ui).await;
    match drained.await {
        Ok(ends) => {
            for end in ends.into_iter().flatten() {
                if result.is_ok() {
                    result = end?;
                }
            }
        }
        Err(_) => tracing::warn!(
            "draining took longer than {DRAIN:?}; what is not committed is read again at the next start"
        ),
    }
    result
}

/// A line of progress for the person who started it.
fn say(stage: &str, what: std::fmt::Arguments<'_>) {
    println!("{stage:>10}  {what}");
}

async fn open_store(disk: &Arc<dyn Disk>, data_dir: &Path, config: &Config) -> anyhow::Result<TantivyStore> {
    let settings = Settings {
        shard_records: config.store.shard_records,
        shard_bytes: config.store.shard_bytes.0,
        shard_age: config.store.shard_age.0,
        retain_age: config.store.retain_age.0,
        retain_bytes: config.store.retain_bytes.0,
        ..Settings::default()
    };
    let (disk, dir) = (disk.clone(), data_dir.join("store"));
    Ok(tokio::task::spawn_blocking(move || TantivyStore::open(disk, &dir, settings)).await??)
}

fn open_log(
    disk: &Arc<dyn Disk>,
    data_dir: &Path,
    signal: Signal,
    config: &Config,
    store: &TantivyStore,
) -> anyhow::Result<Log> {
    let settings = disk_log::Settings {
        max_bytes: config.collector.log_bytes.0,
        first: store.resume(signal),
        ..disk_log::Settings::default()
    };
    let log = DiskLog::open(disk.clone(), &data_dir.join("log").join(signal.name()), signal, settings)?;
    let sender = Arc::new(DiskLogSender::start(log.clone())?);
    Ok(Log { log, sender })
}

fn demo_source(demo_dir: &Path) -> SourceConfig {
    SourceConfig {
        include: vec![format!("{}/logs/*.log*", demo_dir.display())],
        path_pattern: Some("/(?<service>[a-z]+)[^/]*$".into()),
        attributes: [("service.name".to_string(), "${service}".to_string())].into(),
        ..SourceConfig::default()
    }
}

fn start_shop(demo_dir: &Path, config: &Config) -> anyhow::Result<Shop> {
    let settings = ShopSettings {
        log_dir: demo_dir.join("logs"),
        run_dir: demo_dir.to_owned(),
        otlp: format!("http://{}/v1/traces", config.agent.otlp_http),
        rate: 4.0,
        rotate_bytes: 10_000_000,
    };
    let shop = Shop::start(ShopConfig { program: std::env::current_exe()?, settings })?;
    say(
        "demo",
        format_args!("the shop runs; try: weir demo --run-dir {} fault payment slow", demo_dir.display()),
    );
    Ok(shop)
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_else(|_| "localhost".into())
}
