//! How the parts of this process are doing: for the status page, the ledger, and health.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;
use weir_agent::{GlobFiles, HoleCause, SourceLedger, View};
use weir_collector::Stats;
use weir_model::Signal;
use weir_query_ui::{
    GlobStatus, Hole, ReceiverStatus, SignalCounts, SourceStatus, StageStatus, StatusReport, StatusSource,
};
use weir_runtime::Health;
use weir_transport::disk_log::DiskLog;
use weir_transport_kafka::Kafka;

use crate::store::Store;

/// Share of a log's largest size beyond which its reader counts as slow.
const LOG_IS_BEHIND: f64 = 0.5;
/// How often health is told of the logs.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What health calls the parts of the agent that the status page tells of.
const AGENT_PARTS: [&str; 4] = ["checkpoint", "files", "logs of files", "spans of files"];

/// Reads the counters of all parts of a process when asked.
pub(crate) struct Status {
    started_at: u64,
    /// `None` where agents run in processes of their own.
    agent: Option<View>,
    /// Where data enters this process.
    receivers: Vec<ReceiverStatus>,
    collector: Stats,
    store: Store,
    logs: Arc<WatchedLogs>,
    health: Health,
}

/// The logs that data enters by, and the size at which they take nothing more, in bytes.
pub(crate) struct WatchedLogs {
    pub(crate) logs: Vec<(Signal, Arc<DiskLog>)>,
    pub(crate) max_bytes: u64,
    /// The cluster that carries the data instead of logs of our own.
    pub(crate) kafka: Option<Kafka>,
}

impl WatchedLogs {
    fn trouble(&self, log: &DiskLog) -> Option<String> {
        let stats = log.stats();
        if stats.failing {
            Some("can't be written; nothing is taken until that works, and senders come again".into())
        } else if stats.bytes >= self.max_bytes {
            Some(format!("is full at {} bytes; nothing is taken until its reader catches up", stats.bytes))
        } else {
            None
        }
    }

    /// Tells health how the logs are, until the token is cancelled.
    pub(crate) async fn watch(
        self: Arc<Self>,
        health: Health,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = looks.tick() => {}
            }
            if let Some(kafka) = &self.kafka {
                match kafka.trouble() {
                    Some(what) => {
                        health.bad(KAFKA, what);
                        kafka.look().await;
                    }
                    None => health.good(KAFKA),
                }
            }
            for (signal, log) in &self.logs {
                match self.trouble(log) {
                    Some(what) => health.bad(log_of(*signal), what),
                    None => health.good(log_of(*signal)),
                }
            }
        }
    }
}

/// The cluster, as health names it.
const KAFKA: &str = "kafka";

/// The log of a signal, as health names it.
fn log_of(signal: Signal) -> &'static str {
    match signal {
        Signal::Logs => "log of logs",
        Signal::Spans => "log of spans",
        Signal::Metrics => "log of metrics",
    }
}

impl StatusSource for Status {
    fn report(&self) -> StatusReport {
        let mut stages: Vec<_> = self.agent.iter().map(|view| self.agent(view)).collect();
        stages.extend(self.logs.logs.iter().map(|(signal, log)| self.log(*signal, log)));
        stages.extend(
            self.logs
                .kafka
                .as_ref()
                .map(|_| stage("kafka".into(), "carries what comes".into(), self.health.trouble(KAFKA))),
        );
        stages.extend(Signal::ALL.map(|signal| self.collector(signal)));
        stages.extend(self.store.stages(&self.health));
        StatusReport {
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: self.started_at,
            behind_ms: Some(self.behind().as_millis() as u64),
            stages,
            receivers: self.receivers.clone(),
            globs: self.agent.iter().flat_map(View::globs).map(glob).collect(),
        }
    }

    fn sources(&self) -> Vec<SourceStatus> {
        let sources = self.agent.as_ref().map(View::sources).unwrap_or_default();
        sources.iter().map(source).collect()
    }

    fn away(&self) -> Option<String> {
        self.store.away()
    }

    fn counts(&self) -> Vec<SignalCounts> {
        let counts = Signal::ALL.map(|signal| (signal, self.collector.counts(signal)));
        counts
            .map(|(signal, counts)| SignalCounts {
                signal,
                stored: counts.stored,
                duplicate: counts.duplicate,
                refused: counts.refused,
                lost_batches: counts.lost_batches,
            })
            .into()
    }
}

impl Status {
    pub(crate) fn new(
        agent: Option<View>,
        receivers: Vec<ReceiverStatus>,
        collector: Stats,
        store: Store,
        logs: Arc<WatchedLogs>,
        health: Health,
    ) -> Self {
        Self { started_at: now(), agent, receivers, collector, store, logs, health }
    }

    /// For how long the oldest thing waits that was read or received and can't be searched yet.
    fn behind(&self) -> Duration {
        let read = self.agent.as_ref().and_then(|view| view.stats().unacknowledged_since);
        let received = Signal::ALL.into_iter().filter_map(|signal| self.collector.waiting_since(signal));
        let oldest = received.chain(read).min().map(|since| UNIX_EPOCH + Duration::from_nanos(since));
        oldest.and_then(|since| SystemTime::now().duration_since(since).ok()).unwrap_or_default()
    }

    fn log(&self, signal: Signal, log: &DiskLog) -> StageStatus {
        let stats = log.stats();
        let behind = stats.bytes as f64 > self.logs.max_bytes as f64 * LOG_IS_BEHIND;
        let detail = [(stats.segments, "segment"), (stats.failures, "failed write")];
        let detail = detail.map(|(n, what)| counted(n, what)).join(", ");
        let stage = stage(format!("log {signal}"), detail, self.logs.trouble(log));
        StageStatus {
            state: if behind && stage.state == "ok" { "slow".into() } else { stage.state },
            records: stats.next,
            bytes: stats.bytes,
            lost: stats.corrupt_positions,
            ..stage
        }
    }

    fn collector(&self, signal: Signal) -> StageStatus {
        let counts = self.collector.counts(signal);
        let letters = match counts.dead_letters {
            0 => String::new(),
            letters => format!(", {letters} dead letters (weir dlq list)"),
        };
        let detail = format!(
            "{} stored, {} came again, {} refused{letters}",
            counts.stored, counts.duplicate, counts.refused
        );
        let trouble = self.health.trouble(weir_collector::storing(signal));
        StageStatus {
            records: counts.stored + counts.duplicate + counts.refused,
            // What is among the dead letters can be sent again.
            lost: counts.refused.saturating_sub(counts.dead_letter_records) + counts.lost_batches,
            ..stage(format!("collector {signal}"), detail, trouble)
        }
    }

    fn agent(&self, view: &View) -> StageStatus {
        let stats = view.stats();
        let part = |part: &str| Some(format!("{part}: {}", self.health.trouble(part)?));
        let troubles: Vec<_> = AGENT_PARTS.iter().filter_map(|name| part(name)).collect();
        let trouble = (!troubles.is_empty()).then(|| troubles.join("; "));
        StageStatus {
            records: stats.records,
            bytes: stats.unacknowledged_bytes,
            lost: stats.dropped,
            ..stage("agent".into(), format!("follows {}", counted(stats.files, "file")), trouble)
        }
    }
}

/// A number of things, for a person.
pub(crate) fn counted(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// A stage with what is wrong with it.
pub(crate) fn stage(name: String, detail: String, trouble: Option<String>) -> StageStatus {
    StageStatus {
        name,
        state: if trouble.is_some() { "failing" } else { "ok" }.into(),
        detail: [Some(detail), trouble].into_iter().flatten().collect::<Vec<_>>().join("; "),
        ..StageStatus::default()
    }
}

fn glob(GlobFiles { glob, files }: GlobFiles) -> GlobStatus {
    GlobStatus { glob, files }
}

fn source(of: &SourceLedger) -> SourceStatus {
    let hole = |hole: &weir_agent::Hole| Hole {
        start: hole.start,
        end: hole.end,
        cause: match hole.cause {
            HoleCause::SkippedAtStart => "skipped-at-start",
            HoleCause::Refused => "refused",
        },
    };
    SourceStatus {
        path: of.path.to_string_lossy().into_owned(),
        incarnation: of.incarnation,
        read: of.read,
        acknowledged: of.acknowledged,
        holes: of.holes.iter().map(hole).collect(),
    }
}
