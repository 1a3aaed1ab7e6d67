//! The configuration: one section per role. `weir up` reads all, each role of its own those that concern it.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use weir_runtime::config::Validate;
use weir_runtime::{ByteSize, Period};

/// Environment variables that override begin with this.
pub(crate) const PREFIX: &str = "WEIR";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) agent: weir_agent::Config,
    pub(crate) forward: Forward,
    pub(crate) collector: Collector,
    pub(crate) store: Store,
    pub(crate) query: weir_query_ui::Config,
}

/// Where `weir agent` sends what it has, and what it keeps until that is taken. `weir up` needs neither.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Forward {
    /// The collector's intake.
    pub(crate) to: String,
    pub(crate) protocol: Protocol,
    /// Largest size of each signal's spool on disk. When it is full, files wait and OTLP is answered with 503.
    pub(crate) spool_bytes: ByteSize,
}

impl Default for Forward {
    fn default() -> Self {
        Self { to: "http://127.0.0.1:7072".into(), protocol: Protocol::Http, spool_bytes: ByteSize::gib(1) }
    }
}

/// How batches travel from an agent to a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Http,
    Grpc,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Grpc => "gRPC",
        })
    }
}

/// When the collector commits, and where agents reach it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Collector {
    /// Longest time between writing and committing.
    pub(crate) commit_every: Period,
    /// Bytes after which a commit is due at once.
    pub(crate) commit_bytes: ByteSize,
    /// Largest size of a signal's log on disk.
    pub(crate) log_bytes: ByteSize,
    /// Size at which a log goes on in a new file. Whole files are removed once what they hold is committed.
    pub(crate) log_segment_bytes: ByteSize,
    /// Where `weir collector` takes what agents send: OTLP over HTTP, and over gRPC.
    pub(crate) intake_http: SocketAddr,
    pub(crate) intake_grpc: SocketAddr,
}

impl Default for Collector {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            commit_every: Period::secs(2),
            commit_bytes: ByteSize::mib(64),
            log_bytes: ByteSize::gib(4),
            log_segment_bytes: ByteSize::mib(64),
            intake_http: loopback(7072),
            intake_grpc: loopback(7073),
        }
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
    /// How long after its arrival a span by OTLP or Zipkin that is sent again is recognised.
    pub(crate) unique_spans: Period,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            shard_records: 10_000_000,
            shard_bytes: ByteSize::gib(2),
            shard_age: Period::secs(3600),
            retain_age: Period::secs(7 * 86_400),
            retain_bytes: ByteSize::gib(50),
            unique_spans: Period::secs(86_400),
        }
    }
}

impl Validate for Config {
    fn validate(&self, problems: &mut Vec<String>) {
        self.agent.validate(problems);
        self.query.validate(problems);
        if !self.forward.to.starts_with("http://") {
            problems.push(format!("forward.to: `{}` must begin with http://", self.forward.to));
        }
        if self.store.shard_records == 0 {
            problems.push("store.shard_records: must be at least 1".into());
        }
        if self.collector.commit_every.0.is_zero() {
            problems.push("collector.commit_every: must be longer than 0s".into());
        }
    }
}
