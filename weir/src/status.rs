//! How the parts of this process are doing, for the status page.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use weir_agent::AgentStats;
use weir_collector::Stats;
use weir_model::Signal;
use weir_query_ui::{ReceiverStatus, StageStatus, StatusReport, StatusSource};
use weir_transport::disk_log::DiskLog;

/// Share of a log's largest size beyond which its reader counts as slow.
const LOG_IS_BEHIND: f64 = 0.5;

/// Reads the agent's counters.
pub(crate) type AgentView = Box<dyn Fn() -> AgentStats + Send + Sync>;

/// Reads the counters of all parts when asked.
pub(crate) struct Status {
    started_at: u64,
    /// `None` where agents run in processes of their own.
    agent: Option<AgentView>,
    receivers: Vec<ReceiverStatus>,
    collector: Stats,
    logs: Vec<(Signal, Arc<DiskLog>)>,
    log_bytes: u64,
}

impl StatusSource for Status {
    fn report(&self) -> StatusReport {
        let mut stages: Vec<_> = self.agent.iter().map(|view| agent(view())).collect();
        stages.extend(self.logs.iter().map(|(signal, log)| self.log(*signal, log)));
        stages.extend(Signal::ALL.map(|signal| self.collector(signal)));
        StatusReport {
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: self.started_at,
            behind_ms: None,
            stages,
            receivers: self.receivers.clone(),
        }
    }
}

impl Status {
    pub(crate) fn new(
        agent: Option<AgentView>,
        receivers: Vec<ReceiverStatus>,
        collector: Stats,
        logs: Vec<(Signal, Arc<DiskLog>)>,
        log_bytes: u64,
    ) -> Self {
        let started_at =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        Self { started_at, agent, receivers, collector, logs, log_bytes }
    }

    fn log(&self, signal: Signal, log: &DiskLog) -> StageStatus {
        let stats = log.stats();
        let behind = stats.bytes as f64 > self.log_bytes as f64 * LOG_IS_BEHIND;
        StageStatus {
            name: format!("log {signal}"),
            state: if behind { "slow" } else { "ok" }.into(),
            records: stats.next,
            bytes: stats.bytes,
            lost: stats.corrupt_positions,
            detail: format!("{} segments, {} failed writes", stats.segments, stats.failures),
        }
    }

    fn collector(&self, signal: Signal) -> StageStatus {
        let counts = self.collector.counts(signal);
        StageStatus {
            name: format!("collector {signal}"),
            state: "ok".into(),
            records: counts.stored + counts.duplicate + counts.refused,
            bytes: 0,
            lost: counts.refused + counts.lost_batches,
            detail: format!(
                "{} stored, {} came again, {} refused",
                counts.stored, counts.duplicate, counts.refused
            ),
        }
    }
}

fn agent(stats: AgentStats) -> StageStatus {
    StageStatus {
        name: "agent".into(),
        state: "ok".into(),
        records: stats.records,
        bytes: stats.unacknowledged_bytes,
        lost: stats.dropped,
        detail: format!("follows {} files", stats.files),
    }
}
