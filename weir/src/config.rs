//! The configuration: one section per role. `weir up` reads all, each role of its own those that concern it.

use std::fmt;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_runtime::config::Validate;
use weir_runtime::{ByteSize, Period};

/// Environment variables that override begin with this.
pub(crate) const PREFIX: &str = "WEIR";

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) agent: weir_agent::Config,
    pub(crate) forward: Forward,
    pub(crate) kafka: weir_transport_kafka::Config,
    pub(crate) collector: Collector,
    pub(crate) store: Store,
    pub(crate) query: weir_query_ui::Config,
}

/// Where `weir agent` sends what it has, and what it keeps until that is taken. `weir up` needs neither.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Forward {
    /// The collector's intake, an `http://` address; or `kafka` for the topics of the section of that name.
    pub(crate) to: String,
    /// How batches travel to an intake: OTLP over HTTP or over gRPC.
    pub(crate) protocol: Protocol,
    /// Largest size of each signal's spool on disk. When it is full, files wait and OTLP is answered with 503.
    pub(crate) spool_bytes: ByteSize,
}

impl Default for Forward {
    fn default() -> Self {
        Self { to: "http://127.0.0.1:7072".into(), protocol: Protocol::Http, spool_bytes: ByteSize::gib(1) }
    }
}

/// Least room for dead letters: one may hold all of a batch.
const DEAD_LETTER_BYTES_MIN: ByteSize = ByteSize::mib(1);

/// What `forward.to` says for Kafka.
const KAFKA: &str = "kafka";

impl Forward {
    /// Whether batches go to Kafka rather than to a collector's intake.
    pub(crate) fn to_kafka(&self) -> bool {
        self.to == KAFKA
    }
}

/// How batches travel from an agent to a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// When the collector commits, and where agents reach it. Where `kafka.brokers` are named, it reads their topics, and what it takes from agents goes there too.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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
    /// Bytes of dead letters that are kept in the data folder; beyond it the oldest are removed and counted. In Kafka `kafka.dead_letter_retention` says
    /// how long they are kept.
    pub(crate) dead_letter_bytes: ByteSize,
    /// Where `weir collector` takes what agents send by OTLP over HTTP.
    pub(crate) intake_http: SocketAddr,
    /// The same over gRPC.
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
            dead_letter_bytes: ByteSize::mib(256),
            intake_http: loopback(7072),
            intake_grpc: loopback(7073),
        }
    }
}

/// The store: in the data folder, or where `store.elastic.urls` are named, in a search engine. Shards and `unique_spans` are of the one in the data folder.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    /// Records at which a shard is sealed and a new one opened.
    pub(crate) shard_records: u64,
    /// Bytes of bodies at which a shard is sealed.
    pub(crate) shard_bytes: ByteSize,
    /// Age at which a shard is sealed.
    pub(crate) shard_age: Period,
    /// How long data is kept, counted from its arrival; in a search engine by whole days, counted from the records' own times.
    pub(crate) retain_age: Period,
    /// How many bytes of sealed shards are kept per signal; in a search engine of all indices with their copies.
    pub(crate) retain_bytes: ByteSize,
    /// How long after its arrival a span by OTLP or Zipkin that is sent again is recognised.
    pub(crate) unique_spans: Period,
    pub(crate) elastic: weir_store_elastic::Config,
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
            elastic: weir_store_elastic::Config::default(),
        }
    }
}

impl Validate for Config {
    fn validate(&self, problems: &mut Vec<String>) {
        self.agent.validate(problems);
        self.query.validate(problems);
        self.kafka.validate(problems);
        self.store.elastic.validate(problems);
        if self.forward.to_kafka() && !self.kafka.is_used() {
            problems.push("forward.to: for `kafka`, name at least one broker in kafka.brokers".into());
        } else if !self.forward.to_kafka() && !self.forward.to.starts_with("http://") {
            problems
                .push(format!("forward.to: `{}` must begin with http://, or be `kafka`", self.forward.to));
        }
        if self.store.elastic.is_used() && !self.query.collector.is_empty() {
            problems.push(
                "query.collector: `weir query` reads what is in store.elastic by itself; leave one of both out"
                    .into(),
            );
        }
        if self.store.shard_records == 0 {
            problems.push("store.shard_records: must be at least 1".into());
        }
        if self.collector.dead_letter_bytes.0 < DEAD_LETTER_BYTES_MIN.0 {
            problems.push(format!("collector.dead_letter_bytes: must be at least {DEAD_LETTER_BYTES_MIN}"));
        }
        if self.collector.commit_every.0.is_zero() {
            problems.push("collector.commit_every: must be longer than 0s".into());
        }
    }
}

/// The page that says of every key what it takes, is by default and means.
pub(crate) fn reference() -> String {
    format!(
        "# Configuration reference

Written by `weir config reference`. A configuration is one YAML file, given with `--config`; every key may be left out. `weir config check FILE` says what is wrong with one,
`weir config print [FILE]` shows what counts. `weir up` reads all sections but `kafka`, `weir agent` reads `agent`, `forward` and `kafka`, `weir collector` all but `agent` and `forward`, `weir query` `query` and `store.elastic`.

An environment variable overrides a key: `WEIR_` and its path with `__` between the parts, as in `WEIR_AGENT__OTLP_HTTP=0.0.0.0:4318`; its value is read as YAML.
One that misses an underscore is refused, and others that begin with `WEIR_` and set nothing are told in the log.

A *size* is a number of bytes with a unit: `512KiB`, `64MiB`, `2GiB`, or with powers of 1,000 `kB`, `MB`, `GB`. A *period* is a number with `ms`, `s`, `m`, `h` or `d`.
`a[].b` is the key `b` of every element of the list `a`.
{}",
        weir_runtime::reference::markdown::<Config>()
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_reference_names_every_group_of_a_pattern() {
        let page = super::reference();
        let row = page.lines().find(|line| line.starts_with("| `agent.sources[].format.regex` "));
        let row = row.expect("a pattern is described");
        let said: Vec<&str> = row.split('`').skip(1).step_by(2).flat_map(|code| code.split(' ')).collect();
        for name in weir_parse::pattern::group_names() {
            assert!(said.contains(&name), "`{name}` is not in {row}");
        }
    }

    #[test]
    fn the_reference_page_is_true() {
        let page = include_str!("../../docs/reference/configuration.md");
        assert!(
            page == super::reference(),
            "write it again: weir config reference > docs/reference/configuration.md"
        );
    }
}
