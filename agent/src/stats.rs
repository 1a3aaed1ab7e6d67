//! What the agent counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use weir_parse::stream::Counts;
use weir_runtime::Metrics;

/// Counters of the tail.
#[derive(Debug, Clone, Default)]
pub(crate) struct TailStats {
    pub(crate) lines: Counter,
    pub(crate) records: Counter,
    pub(crate) derived_spans: Counter,
    pub(crate) truncated: Counter,
    pub(crate) unparsed: Counter,
    pub(crate) invalid_utf8: Counter,
    pub(crate) dropped_bytes: Counter,
    pub(crate) dropped: Counter,
    pub(crate) errors: Counter,
    pub(crate) files: Gauge,
    pub(crate) unacknowledged_bytes: Gauge,
}

impl TailStats {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        Self {
            lines: metrics.register("weir_agent_lines", "Lines read from files", Counter::default()),
            records: metrics.register("weir_agent_records", "Log records made of lines", Counter::default()),
            derived_spans: metrics.register(
                "weir_agent_derived_spans",
                "Spans made of log lines",
                Counter::default(),
            ),
            truncated: metrics.register(
                "weir_agent_truncated_records",
                "Records cut at a limit or without their end",
                Counter::default(),
            ),
            unparsed: metrics.register(
                "weir_agent_unparsed_records",
                "Records that the format of their file does not match, kept as plain text",
                Counter::default(),
            ),
            invalid_utf8: metrics.register(
                "weir_agent_invalid_utf8_lines",
                "Lines with bytes that are no UTF-8, which were replaced",
                Counter::default(),
            ),
            dropped_bytes: metrics.register(
                "weir_agent_dropped_bytes",
                "Bytes of lines and records cut off at a limit",
                Counter::default(),
            ),
            dropped: metrics.register(
                "weir_agent_dropped_records",
                "Records that the next hop refused for good",
                Counter::default(),
            ),
            errors: metrics.register(
                "weir_agent_errors",
                "Failed reads of files and writes of the checkpoint",
                Counter::default(),
            ),
            files: metrics.register("weir_agent_open_files", "Files that are followed", Gauge::default()),
            unacknowledged_bytes: metrics.register(
                "weir_agent_unacknowledged_bytes",
                "Bytes read but not yet durable with the next hop",
                Gauge::default(),
            ),
        }
    }
}

impl TailStats {
    /// Adds what happened to one file between two looks at its parser.
    pub(crate) fn count(&self, before: &Counts, after: &Counts) {
        self.lines.inc_by(after.lines - before.lines);
        self.records.inc_by(after.records - before.records);
        self.truncated.inc_by(after.truncated - before.truncated);
        self.unparsed.inc_by(after.unparsed - before.unparsed);
        self.invalid_utf8.inc_by(after.invalid_utf8 - before.invalid_utf8);
        self.dropped_bytes.inc_by(after.dropped_bytes - before.dropped_bytes);
    }
}

/// Counters of what was sent to the next hop, over all signals.
#[derive(Debug, Clone, Default)]
pub struct RelayStats {
    pub(crate) sent: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) refused: Counter,
    pub(crate) retries: Counter,
    pub(crate) lost: Counter,
}

impl RelayStats {
    pub fn register(metrics: &Metrics) -> Self {
        let counter = |name, help| metrics.register(name, help, Counter::default());
        Self {
            sent: counter("weir_agent_sent_batches", "Batches that the collector has taken"),
            sent_bytes: counter("weir_agent_sent_bytes", "Bytes of these batches"),
            refused: counter("weir_agent_refused_batches", "Batches that the collector refused for good"),
            retries: counter("weir_agent_send_retries", "Attempts that failed and were made again"),
            lost: counter("weir_agent_lost_batches", "Batches that the spool could not give back"),
        }
    }
}

/// What the agent has done, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AgentStats {
    pub files: u64,
    pub records: u64,
    pub dropped: u64,
    /// Bytes read but not yet durable with the next hop.
    pub unacknowledged_bytes: u64,
}

impl From<&TailStats> for AgentStats {
    fn from(stats: &TailStats) -> Self {
        Self {
            files: stats.files.get() as u64,
            records: stats.records.get(),
            dropped: stats.dropped.get(),
            unacknowledged_bytes: stats.unacknowledged_bytes.get() as u64,
        }
    }
}
