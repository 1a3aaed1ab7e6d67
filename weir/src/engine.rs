//! Whether the search engine that is the store can be asked, as health and the status page tell.

use std::time::Duration;

use weir_query_ui::StageStatus;
use weir_runtime::{Health, Trouble};
use weir_store_elastic::Nodes;

/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The search engine, as health names it.
const ENGINE: &str = "search engine";

/// Tells health again and again.
pub(crate) async fn watch(nodes: Nodes, health: Health) {
    let (mut looks, asking) = (tokio::time::interval(LOOK_EVERY), Trouble::default());
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        match nodes.look().await {
            Ok(()) => {
                if let Some(lasted) = asking.good() {
                    tracing::info!(seconds = lasted.as_secs(), "the search engine can be asked again");
                }
                health.good(ENGINE);
            }
            Err(error) => {
                if let Some(lasted) = asking.bad() {
                    tracing::warn!(seconds = lasted.as_secs(), %error, "the search engine can't be asked");
                }
                match nodes.away_since() {
                    Some(since) => health.bad_since(ENGINE, since, error.to_string()),
                    // It answers that it may not be asked.
                    None => health.bad(ENGINE, error.to_string()),
                }
            }
        }
    }
}

/// A stage with what is wrong with the engine, and with nodes that do not answer where others do.
pub(crate) fn stage(name: &str, detail: String, nodes: &Nodes, health: &Health) -> StageStatus {
    let trouble = nodes.away().or_else(|| health.trouble(ENGINE));
    let silent = if trouble.is_none() { nodes.silent() } else { Vec::new() };
    let detail = [vec![detail], silent].concat().join("; ");
    crate::status::stage(name.into(), detail, trouble)
}
