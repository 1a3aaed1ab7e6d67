//! `weir query`: query API and web app in a process of their own, which stores nothing: over a search engine that collectors fill, or by asking the
//! collector that owns a data folder.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use tokio_util::sync::CancellationToken;
use weir_query_ui::{Deps, Remote, SignalCounts, Source, SourceStatus, StatusReport, StatusSource};
use weir_runtime::{Health, Metrics};
use weir_store_elastic::Nodes;

use crate::config::Config;
use crate::engine;
use crate::ports;
use crate::status::now;
use crate::store::open_reader;
use crate::wiring::{Parts, ready, say};

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// Configuration file; it names the search engine (`store.elastic`) or the collector (`query.collector`).
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
}

pub(crate) async fn run(args: QueryArgs, config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let is_over_engine = config.store.elastic.is_used();
    if !is_over_engine && config.query.collector.is_empty() {
        let named = args.config.map_or("the configuration".into(), |file| file.display().to_string());
        bail!(
            "{named} does not say where the data is: name the nodes of a search engine in `store.elastic.urls`, or in \
             `query.collector` the address of the collector whose data folder has it, such as http://collector:7070"
        );
    }
    ports::are_free(&[("query.listen", config.query.listen)])?;
    let (metrics, health) = (Metrics::new(), Health::default());
    let mut parts = Parts::default();
    let source = if is_over_engine {
        let reader = open_reader(&config).await?;
        let elastic = &config.store.elastic;
        let what =
            format!("{:?} at {}, indices {}-*", reader.family(), elastic.urls.join(" "), elastic.prefix);
        say("store", format_args!("reads {what}"));
        let nodes = reader.nodes();
        let status = EngineStatus { started_at: now(), what, nodes: nodes.clone(), health: health.clone() };
        let deps =
            Deps::new(Arc::new(reader.clone()), Arc::new(reader), Arc::new(status), metrics, health.clone());
        parts.spawn(|stop| async move {
            stop.run_until_cancelled(engine::watch(nodes, health)).await;
            Ok(())
        });
        Source::Store(Box::new(deps))
    } else {
        say("store", format_args!("asks the collector at {}", config.query.collector));
        Source::Collector(Remote { metrics, health })
    };
    let ui = weir_query_ui::build(config.query, source).await?;
    let url = parts.serve(ui);
    ready(&url);
    parts.run_until(shutdown, || async {}).await
}

/// What a process knows that only reads.
struct EngineStatus {
    started_at: u64,
    what: String,
    nodes: Nodes,
    health: Health,
}

impl StatusSource for EngineStatus {
    fn report(&self) -> StatusReport {
        StatusReport {
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: self.started_at,
            stages: vec![engine::stage("query", format!("reads {}", self.what), &self.nodes, &self.health)],
            ..StatusReport::default()
        }
    }

    fn away(&self) -> Option<String> {
        self.nodes.away()
    }

    fn sources(&self) -> Vec<SourceStatus> {
        Vec::new()
    }

    fn counts(&self) -> Vec<SignalCounts> {
        Vec::new()
    }
}
