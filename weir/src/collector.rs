//! `weir collector`: collector, store, query API and web app in one process, fed by agents over OTLP or from Kafka.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;
use weir_otlp::{GrpcReceiver, HttpReceiver, Intake};
use weir_runtime::{Health, Metrics};

use crate::config::Config;
use crate::ports;
use crate::wiring::{Collecting, DataFolder, Parts, ready, receiver, say};

#[derive(Debug, Args)]
pub(crate) struct CollectorArgs {
    /// Configuration file; without one the defaults count.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Folder that holds everything that must survive a restart.
    #[arg(long, default_value = "weir-data")]
    data_dir: PathBuf,
}

pub(crate) async fn run(
    args: CollectorArgs,
    config: Config,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    ports::are_free(&[
        ("collector.intake_http", config.collector.intake_http),
        ("collector.intake_grpc", config.collector.intake_grpc),
        ("query.listen", config.query.listen),
    ])?;
    let folder = DataFolder::open(&args.data_dir)?;
    let (metrics, health) = (Metrics::new(), Health::default());
    let collecting = Collecting::open(&folder, &config, &metrics, &health).await?;
    let taken = |key, address| {
        format!(
            "can't listen for agents on {address}; is another collector running there? Choose another address with `collector.{key}`"
        )
    };
    let (http, grpc) = (config.collector.intake_http, config.collector.intake_grpc);
    let intake = Intake::from_agents(collecting.senders.clone());
    let http = HttpReceiver::bind(http, intake.clone()).await.with_context(|| taken("intake_http", http))?;
    let grpc = GrpcReceiver::bind(grpc, intake).await.with_context(|| taken("intake_grpc", grpc))?;
    say("intake", format_args!("http://{} and grpc://{}", http.local_addr()?, grpc.local_addr()?));
    let receivers = vec![
        receiver("OTLP/HTTP", format!("http://{}", http.local_addr()?)),
        receiver("OTLP/gRPC", format!("http://{}", grpc.local_addr()?)),
    ];
    let ui = collecting.ui(&config, None, receivers, metrics).await?;

    let mut parts = Parts::default();
    parts.spawn(|stop| async { http.run(stop).await.context("taking batches over HTTP failed") });
    parts.spawn(|stop| async { grpc.run(stop).await.context("taking batches over gRPC failed") });
    parts.spawn(|stop| Collecting::answer(collecting.control, stop));
    parts.spawn(|stop| collecting.collector.run(stop));
    parts.spawn(|stop| collecting.watched.watch(health, stop));
    let url = parts.serve(ui);
    ready(&url);
    parts.run_until(shutdown, || async {}).await
}
