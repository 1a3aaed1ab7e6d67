//! Weir's own metrics: one registry a process, read as Prometheus text.
//!
//! Names are `weir_<role>_<noun>_<unit>[_total]`; label values are bounded.

use std::sync::{Arc, Mutex};

use prometheus_client::registry::{Metric, Registry};

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A registry that all roles of a process share. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a metric and hands it back. `name` is without the suffix `_total`, which is added for counters.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.registry.lock().expect("no one panics while registering").register(name, help, metric.clone());
        metric
    }

    /// Gives access to the registry, for collectors that compute their values when asked.
    pub fn with_registry<R>(&self, f: impl FnOnce(&mut Registry) -> R) -> R {
        f(&mut self.registry.lock().expect("no one panics while registering"))
    }

    /// All metrics in the OpenMetrics text format, which Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().expect("no one panics while registering");
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a String takes all");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    #[test]
    fn text_has_what_was_registered() {
        let metrics = Metrics::new();
        let lines: Counter = metrics.register("weir_agent_lines", "Lines read", Counter::default());
        lines.inc_by(3);
        let text = metrics.text();
        assert!(text.contains("weir_agent_lines_total 3\n"), "{text}");
    }
}
