//! `weir up`: agent, collector and UI in one process. The agent's senders append to the collector's logs; nothing is passed by a shorter way.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use tokio_util::sync::CancellationToken;
use weir_agent::SourceConfig;
use weir_demo::{Settings as ShopSettings, Shop, ShopConfig};
use weir_runtime::{Health, Metrics};

use crate::config::Config;
use crate::ports;
use crate::wiring::{Collecting, DataFolder, Parts, host_name, ready, say};

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Configuration file; without one the defaults count.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Folder that holds everything that must survive a restart.
    #[arg(long, default_value = "weir-data")]
    data_dir: PathBuf,
    /// Run the sample shop too, and follow its logs beside the files that the configuration names.
    #[arg(long)]
    demo: bool,
}

pub(crate) async fn run(args: UpArgs, mut config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    anyhow::ensure!(
        !config.kafka.is_used(),
        "`weir up` carries its data in logs of its own; leave kafka.brokers out, or run `weir agent` and `weir collector`"
    );
    let mut ports = crate::agent::ports(&config);
    ports.push(("query.listen", config.query.listen));
    ports::are_free(&ports)?;
    let folder = DataFolder::open(&args.data_dir)?;
    let (metrics, health) = (Metrics::new(), Health::default());
    let collecting = Collecting::open(&folder, &config, &metrics, &health).await?;

    let demo_dir = folder.path.join("demo");
    if args.demo {
        // The host's own logs, which nobody asked for, would only get between the shop's.
        if config.agent.sources == weir_agent::Config::default().sources {
            config.agent.sources.clear();
        }
        config.agent.sources.push(demo_source(&demo_dir));
    }
    let deps = weir_agent::Deps {
        senders: collecting.senders.clone(),
        disk: folder.disk.clone(),
        data_dir: folder.path.join("agent"),
        metrics: metrics.clone(),
        health: health.clone(),
        host: host_name(),
    };
    let agent = weir_agent::build(&config.agent, deps).await?;
    crate::agent::announce(&agent, &config)?;
    let otlp = agent.otlp_http()?;
    let ui = collecting.ui(&config, Some(agent.view()), crate::agent::receivers(&agent)?, metrics).await?;

    let mut parts = Parts::default();
    parts.spawn(|stop| agent.run(stop));
    parts.spawn(|stop| Collecting::answer(collecting.control, stop));
    parts.spawn(|stop| collecting.collector.run(stop));
    parts.spawn(|stop| collecting.watched.watch(health, stop));
    let url = parts.serve(ui);
    let shop = match args.demo {
        true => Some(start_shop(&demo_dir, otlp)?),
        false => None,
    };
    ready(&url);
    let stop_shop = || async {
        if let Some(shop) = shop {
            shop.stop().await;
        }
    };
    parts.run_until(shutdown, stop_shop).await
}

fn demo_source(demo_dir: &Path) -> SourceConfig {
    SourceConfig {
        include: vec![format!("{}/logs/*.log*", demo_dir.display())],
        path_pattern: Some("/(?<service>[a-z]+)[^/]*$".into()),
        attributes: [("service.name".to_string(), "${service}".to_string())].into(),
        ..SourceConfig::default()
    }
}

fn start_shop(demo_dir: &Path, otlp: SocketAddr) -> anyhow::Result<Shop> {
    let settings = ShopSettings {
        log_dir: demo_dir.join("logs"),
        run_dir: demo_dir.to_owned(),
        otlp: format!("http://{otlp}/v1/traces"),
        rate: 4.0,
        rotate_bytes: 10_000_000,
    };
    let shop = Shop::start(ShopConfig { program: std::env::current_exe()?, settings })?;
    let (program, demo_dir) = (called(), demo_dir.display());
    say("demo", format_args!("the shop runs; try: {program} demo --run-dir {demo_dir} fault payment slow"));
    Ok(shop)
}

/// The running program as it was called, so that a command that is shown works when it is pasted.
fn called() -> String {
    std::env::args().next().unwrap_or_else(|| "weir".into())
}
