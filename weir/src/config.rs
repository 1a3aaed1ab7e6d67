//! The configuration of `weir up`: one section per role.

use serde::{Deserialize, Serialize};
use weir_runtime::config::Validate;
use weir_runtime::{ByteSize, Period};

/// Environment variables that override begin with this.
pub(crate) const PREFIX: &str = "WEIR";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) agent: weir_agent::Config,
    pub(crate) collector: Collector,
    pub(crate) store: Store,
    pub(crate) query: weir_query_ui::Config,
}

/// When the collector commits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Collector {
    /// Longest time between writing and committing.
    pub(crate) commit_every: Period,
    /// Bytes after which a commit is due at once.
    pub(crate) commit_bytes: ByteSize,
    /// Largest size of a signal's log on disk.
    pub(crate) log_bytes: ByteSize,
}

impl Default for Collector {
    fn default() -> Self {
        Self { commit_every: Period::secs(2), commit_bytes: ByteSize::mib(64), log_bytes: ByteSize::gib(4) }
    }
}

/// The embedded store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    /// Records, bytes of bodies, or age at which a shard is sealed.
    pub(crate) shard_records: u64,
    pub(crate) shard_bytes: ByteSize,
    pub(crate) shard_age: Period,
    /// How long data is kept, counted from its arrival.
    pub(crate) retain_age: Period,
    /// How many bytes of sealed shards are kept per signal.
    pub(crate) retain_bytes: ByteSize,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            shard_records: 10_000_000,
            shard_bytes: ByteSize::gib(2),
            shard_age: Period::secs(3600),
            retain_age: Period::secs(7 * 86_400),
            retain_bytes: ByteSize::gib(50),
        }
    }
}

impl Validate for Config {
    fn validate(&self, problems: &mut Vec<String>) {
        self.agent.validate(problems);
        self.query.validate(problems);
        if self.store.shard_records == 0 {
            problems.push("store.shard_records: must be at least 1".into());
        }
        if self.collector.commit_every.0.is_zero() {
            problems.push("collector.commit_every: must be longer than 0s".into());
        }
    }
}
