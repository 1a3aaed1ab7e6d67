//! Weir's own metrics: one registry a process, read as Prometheus text (format 0.0.4, which every scraper reads).
//!
//! Names are `weir_<role>_<noun>_<unit>[_total]`; label values are bounded.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Metric, Registry};

/// The content type of [`Metrics::text`].
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

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

    /// Registers a gauge of how long something waits, by signal, in seconds at the time of the scrape. `since` tells of each signal when that began, in
    /// nanoseconds since the Unix epoch; 0 where nothing waits.
    pub fn register_waits<S, const N: usize>(&self, name: &'static str, help: &'static str, since: S)
    where
        S: Fn() -> [(&'static str, u64); N] + Send + Sync + 'static,
    {
        self.with_registry(|registry| registry.register_collector(Box::new(Waits { name, help, since })));
    }

    /// Gives access to the registry, for collectors that compute their values when asked.
    pub fn with_registry<R>(&self, f: impl FnOnce(&mut Registry) -> R) -> R {
        f(&mut self.registry.lock().expect("no one panics while registering"))
    }

    /// All metrics as Prometheus text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        {
            let registry = self.registry.lock().expect("no one panics while registering");
            prometheus_client::encoding::text::encode(&mut text, &registry).expect("a String takes all");
        }
        classic(&text)
    }

    /// [`Self::text`] as the answer to a scrape.
    pub fn response(&self) -> http::Response<String> {
        let response = http::Response::builder().header(http::header::CONTENT_TYPE, CONTENT_TYPE);
        response.body(self.text()).expect("the header is right")
    }
}

/// See [`Metrics::register_waits`].
struct Waits<S> {
    name: &'static str,
    help: &'static str,
    since: S,
}

impl<S> fmt::Debug for Waits<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl<S, const N: usize> Collector for Waits<S>
where
    S: Fn() -> [(&'static str, u64); N] + Send + Sync + 'static,
{
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let mut family = out.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?;
        for (signal, since) in (self.since)() {
            let seconds = if since > 0 { now.saturating_sub(since) as f64 / 1e9 } else { 0.0 };
            ConstGauge::new(seconds).encode(family.encode_family(&[("signal", signal)])?)?;
        }
        Ok(())
    }
}

/// OpenMetrics says a counter's name without the suffix that its samples have, and ends with a mark of its own; the older format knows neither.
fn classic(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 1024);
    let mut help = "";
    for line in open_metrics.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        // The help comes before the type, which says whether both need the suffix.
        if line.starts_with("# HELP ") {
            help = line;
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let suffix = if kind.ends_with(" counter") { "_total" } else { "" };
            for comment in [help, line].iter().filter(|comment| !comment.is_empty()) {
                let name_end = comment[7..].find(' ').map_or(comment.len(), |at| 7 + at);
                text.push_str(&comment[..name_end]);
                text.push_str(suffix);
                text.push_str(&comment[name_end..]);
                text.push('\n');
            }
            help = "";
            continue;
        }
        text.push_str(line);
        text.push('\n');
    }
    text
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
        metrics.register(
            "weir_agent_open_files",
            "Files",
            prometheus_client::metrics::gauge::Gauge::<i64>::default(),
        );
        assert_eq!(
            metrics.text(),
            "# HELP weir_agent_lines_total Lines read.\n\
             # TYPE weir_agent_lines_total counter\n\
             weir_agent_lines_total 3\n\
             # HELP weir_agent_open_files Files.\n\
             # TYPE weir_agent_open_files gauge\n\
             weir_agent_open_files 0\n"
        );
    }
}
