//! What is told about Kafka, and what librdkafka is told of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_model::{Signal, limits};
use weir_runtime::config::Validate;
use weir_runtime::{ByteSize, Period, Secret};

/// Longest message that librdkafka handles, bytes: the largest batch with its envelope. What a topic takes is its own limit.
const CLIENT_BYTES_MAX: usize = limits::BATCH_BYTES_MAX + (1 << 20);
/// How long a message waits for others to share its request.
pub(crate) const LINGER: Duration = Duration::from_millis(5);
/// Uncompressed size of what one produce request holds for a partition, bytes; a single larger message goes alone. Below the limit of 1 MiB that
/// brokers have by default, so that small messages are never refused for those beside them.
pub(crate) const REQUEST_BYTES: u64 = 1_000_000;
/// What a receiver may hold that its owner has not taken, KiB; librdkafka's own default is 64 MiB.
const PREFETCH_KIB: usize = 16 << 10;
/// After how long without a sign of life a collector's partitions go to others. librdkafka's own default is 45 s, for which nobody would read them.
const SESSION: Duration = Duration::from_secs(10);
/// librdkafka's own.
const POLL_INTERVAL: (&str, Duration) = ("max.poll.interval.ms", Duration::from_secs(300));
/// zstd's level. librdkafka's own is 3, which takes a quarter more time, and for log lines between 4 % less and 17 % more room.
const ZSTD_LEVEL: &str = "1";
/// Longest wait for the answer to a question about topics.
const ANSWER: Duration = Duration::from_secs(10);

/// A Kafka cluster, where one carries the data. Nothing of it counts while `brokers` is empty.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Brokers to ask first, each as `host:port`.
    pub brokers: Vec<String>,
    pub topics: Topics,
    /// Whether topics that are not there are created.
    pub create_topics: bool,
    /// Partitions of a topic that is created. Logs keep their order by file, and a trace its spans in one partition.
    pub partitions: u32,
    /// Copies of a topic that is created; `null` for the cluster's default.
    pub replication: Option<u32>,
    /// How long a topic that is created keeps data; `null` for the cluster's default.
    pub retention: Option<Period>,
    /// The same for the topic of dead letters: long enough for a person to look at them.
    pub dead_letter_retention: Option<Period>,
    /// Largest message of a topic that is created (`max.message.bytes`). Larger OTLP requests are split.
    pub message_bytes: ByteSize,
    /// How messages are compressed. `zstd` at its level 1; `librdkafka: {compression.level: '3'}` sets another.
    pub compression: Compression,
    /// Largest size of what waits for the brokers in memory.
    pub queue_bytes: ByteSize,
    /// How long a batch may wait for the brokers before it counts as not sent; it is then sent again.
    pub send_timeout: Period,
    /// Name of the collectors' group. Those with a search engine as their store share the partitions among them; how far each is the store knows by itself.
    pub group: String,
    /// How often new partitions are looked for.
    pub refresh: Period,
    pub tls: Tls,
    pub sasl: Sasl,
    /// Further settings of librdkafka, by their names. Those that would break a promise are refused.
    pub librdkafka: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            brokers: Vec::new(),
            topics: Topics::default(),
            create_topics: true,
            partitions: 4,
            replication: None,
            retention: Some(Period::secs(3 * 86_400)),
            dead_letter_retention: Some(Period::secs(30 * 86_400)),
            message_bytes: ByteSize::mib(8),
            compression: Compression::Lz4,
            queue_bytes: ByteSize::mib(32),
            send_timeout: Period::secs(30),
            group: "weir-collector".into(),
            refresh: Period::secs(30),
            tls: Tls::default(),
            sasl: Sasl::default(),
            librdkafka: BTreeMap::new(),
        }
    }
}

/// Names of the topics, those of the OpenTelemetry Collector by default.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Topics {
    /// Topic of log records.
    pub logs: String,
    /// Topic of spans.
    pub spans: String,
    /// Topic of metric points.
    pub metrics: String,
    /// Topic of what can't be stored; `weir dlq` shows it and sends it again.
    pub dead_letters: String,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            logs: "otlp_logs".into(),
            spans: "otlp_spans".into(),
            metrics: "otlp_metrics".into(),
            dead_letters: "weir_dead_letter".into(),
        }
    }
}

impl Topics {
    pub fn of(&self, signal: Signal) -> &str {
        match signal {
            Signal::Logs => &self.logs,
            Signal::Spans => &self.spans,
            Signal::Metrics => &self.metrics,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    Lz4,
    Zstd,
}

/// TLS to the brokers.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Whether connections are encrypted.
    pub enabled: bool,
    /// Certificates (PEM) that vouch for the brokers, where they are not among the system's.
    pub ca_file: Option<PathBuf>,
    /// Certificate (PEM) by which brokers know this client; `key_file` belongs to it.
    pub certificate_file: Option<PathBuf>,
    /// Its private key (PEM).
    pub key_file: Option<PathBuf>,
}

/// Name and password by which the brokers know this client.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sasl {
    /// How the password is proved; `null` for no password.
    pub mechanism: Option<Mechanism>,
    /// Name of this client.
    pub username: String,
    /// Better given as `WEIR_KAFKA__SASL__PASSWORD`.
    pub password: Secret,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mechanism {
    #[serde(rename = "plain")]
    Plain,
    #[serde(rename = "scram-sha-256")]
    Scram256,
    #[serde(rename = "scram-sha-512")]
    Scram512,
}

/// Settings of librdkafka that are not the user's, each with the reason.
const OURS: [(&str, &str); 33] = {
    const DURABLE: &str = "it decides when a batch counts as durable";
    const ORDER: &str = "order and uniqueness depend on it";
    const POSITION: &str = "positions are the store's";
    const PARTITION: &str = "partitions are chosen by Weir";
    const KEY: &str = "it has a key of its own in this section";
    [
        ("acks", DURABLE),
        ("request.required.acks", DURABLE),
        ("delivery.report.only.error", DURABLE),
        ("produce.offset.report", DURABLE),
        ("enable.idempotence", ORDER),
        ("enable.gapless.guarantee", ORDER),
        ("transactional.id", ORDER),
        ("max.in.flight", ORDER),
        ("max.in.flight.requests.per.connection", ORDER),
        ("retries", ORDER),
        ("message.send.max.retries", ORDER),
        ("queuing.strategy", ORDER),
        ("auto.offset.reset", POSITION),
        ("enable.auto.commit", POSITION),
        ("enable.auto.offset.store", POSITION),
        ("enable.partition.eof", POSITION),
        ("partitioner", PARTITION),
        ("group.protocol", PARTITION),
        ("group.instance.id", PARTITION),
        ("partition.assignment.strategy", PARTITION),
        ("bootstrap.servers", KEY),
        ("metadata.broker.list", KEY),
        ("compression.codec", KEY),
        ("compression.type", KEY),
        ("message.max.bytes", KEY),
        ("batch.size", KEY),
        ("message.timeout.ms", KEY),
        ("delivery.timeout.ms", KEY),
        ("queue.buffering.max.kbytes", KEY),
        ("queue.buffering.max.messages", KEY),
        ("group.id", KEY),
        ("sasl.password", KEY),
        ("security.protocol", KEY),
    ]
};

impl Config {
    /// Whether there is a cluster.
    pub fn is_used(&self) -> bool {
        !self.brokers.is_empty()
    }

    /// The brokers as a message names them.
    pub(crate) fn names(&self) -> String {
        self.brokers.join(", ")
    }

    /// How long a question about topics may take.
    pub(crate) fn answer_timeout(&self) -> Duration {
        self.send_timeout.0.min(ANSWER)
    }

    /// What all clients are told.
    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        // What it says goes through our own log, which decides what is shown.
        let debugging = self.librdkafka.contains_key("debug");
        client.set_log_level(if debugging { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
        for (key, value) in &self.librdkafka {
            client.set(key, value);
        }
        client.set("bootstrap.servers", self.brokers.join(","));
        client.set("client.id", "weir");
        let secured = match (self.tls.enabled, self.sasl.mechanism.is_some()) {
            (false, false) => "plaintext",
            (true, false) => "ssl",
            (false, true) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        };
        client.set("security.protocol", secured);
        let files = [
            ("ssl.ca.location", &self.tls.ca_file),
            ("ssl.certificate.location", &self.tls.certificate_file),
            ("ssl.key.location", &self.tls.key_file),
        ];
        for (key, file) in files {
            if let Some(file) = file {
                client.set(key, file.to_string_lossy());
            }
        }
        if let Some(mechanism) = self.sasl.mechanism {
            let name = match mechanism {
                Mechanism::Plain => "PLAIN",
                Mechanism::Scram256 => "SCRAM-SHA-256",
                Mechanism::Scram512 => "SCRAM-SHA-512",
            };
            client.set("sasl.mechanism", name);
            client.set("sasl.username", &self.sasl.username);
            client.set("sasl.password", self.sasl.password.reveal());
        }
        client.set("message.max.bytes", CLIENT_BYTES_MAX.to_string());
        client
    }

    pub(crate) fn producer(&self) -> ClientConfig {
        let mut client = self.client();
        let millis = |time: Duration| time.as_millis().to_string();
        client.set("enable.idempotence", "true");
        client.set("acks", "all");
        client.set("message.timeout.ms", millis(self.send_timeout.0));
        client.set(
            "compression.codec",
            match self.compression {
                Compression::Lz4 => "lz4",
                Compression::Zstd => "zstd",
            },
        );
        if self.compression == Compression::Zstd {
            set_unless(&mut client, "compression.level", ZSTD_LEVEL);
        }
        set_unless(&mut client, "linger.ms", &millis(LINGER));
        client.set("batch.size", (self.message_bytes.0).min(REQUEST_BYTES).to_string());
        // The sender keeps to `queue_bytes`; this bounds what is left behind by callers who gave up.
        client.set(
            "queue.buffering.max.kbytes",
            (self.queue_bytes.0 / 512).max(CLIENT_BYTES_MAX as u64 >> 10).to_string(),
        );
        client
    }

    /// What a consumer is told which shares the partitions with others of its group.
    pub(crate) fn member(&self) -> ClientConfig {
        let mut client = self.consumer();
        client.set("partition.assignment.strategy", "cooperative-sticky");
        set_unless(&mut client, "session.timeout.ms", &SESSION.as_millis().to_string());
        // By this it sees that a topic has more partitions.
        set_unless(
            &mut client,
            "topic.metadata.refresh.interval.ms",
            &self.refresh.0.as_millis().to_string(),
        );
        client
    }

    /// After how long without being asked for messages a member of a group is taken for dead.
    pub(crate) fn poll_interval(&self) -> Duration {
        let (setting, default) = POLL_INTERVAL;
        let given = self.librdkafka.get(setting).and_then(|given| given.parse().ok());
        given.map_or(default, Duration::from_millis)
    }

    pub(crate) fn consumer(&self) -> ClientConfig {
        let mut client = self.client();
        client.set("group.id", &self.group);
        client.set("enable.auto.commit", "false");
        client.set("enable.auto.offset.store", "false");
        // An offset that is not there is an error to be told of, never a reason to begin elsewhere.
        client.set("auto.offset.reset", "error");
        client.set("allow.auto.create.topics", "false");
        set_unless(&mut client, "queued.max.messages.kbytes", &PREFETCH_KIB.to_string());
        set_unless(&mut client, "fetch.wait.max.ms", "100");
        client
    }
}

/// Sets what the user has not set.
fn set_unless(client: &mut ClientConfig, key: &str, value: &str) {
    if client.get(key).is_none() {
        client.set(key, value);
    }
}

impl Validate for Config {
    fn validate(&self, problems: &mut Vec<String>) {
        if !self.is_used() {
            return;
        }
        let mut wrong = |key: &str, what: String| problems.push(format!("kafka.{key}: {what}"));
        for broker in &self.brokers {
            let port = broker.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then_some(port));
            if port.is_none_or(|port| port.parse::<u16>().is_err()) {
                wrong("brokers", format!("`{broker}` is not an address; write it like 127.0.0.1:9092"));
            }
        }
        let Topics { logs, spans, metrics, dead_letters } = &self.topics;
        let topics = [logs, spans, metrics, dead_letters];
        for (i, topic) in topics.iter().enumerate() {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if topic.is_empty() || topic.len() > 249 || !topic.chars().all(allowed) {
                wrong("topics", format!("`{topic}` is no name of a topic; up to 249 of a-z A-Z 0-9 . _ -"));
            }
            if topics[..i].contains(topic) {
                wrong("topics", format!("two of them can't share the topic `{topic}`"));
            }
        }
        if self.partitions == 0 {
            wrong("partitions", "at least 1".into());
        }
        if self.replication == Some(0) {
            wrong("replication", "at least 1, or null for the cluster's default".into());
        }
        if self.group.is_empty() {
            wrong("group", "must not be empty".into());
        }
        if self.message_bytes.0 < 1024 || self.message_bytes.0 > limits::BATCH_BYTES_MAX as u64 {
            wrong("message_bytes", format!("between 1KiB and {}MiB", limits::BATCH_BYTES_MAX >> 20));
        }
        if self.queue_bytes.0 < 1 << 20 || self.queue_bytes.0 > 1 << 30 {
            wrong("queue_bytes", "between 1MiB and 1GiB".into());
        }
        if self.send_timeout.0 < Duration::from_secs(1) || self.send_timeout.0 > Duration::from_secs(900) {
            wrong("send_timeout", "between 1s and 15m".into());
        }
        if self.refresh.0 < Duration::from_millis(100) {
            wrong("refresh", "at least 100ms".into());
        }
        if self.tls.certificate_file.is_some() != self.tls.key_file.is_some() {
            wrong("tls", "certificate_file and key_file belong together".into());
        }
        if !self.tls.enabled && (self.tls.ca_file.is_some() || self.tls.certificate_file.is_some()) {
            wrong("tls.enabled", "files are named, but TLS is off; set it to true".into());
        }
        if self.sasl.mechanism.is_some() && (self.sasl.username.is_empty() || self.sasl.password.is_empty()) {
            wrong("sasl", "a mechanism needs username and password".into());
        }
        let refused = |key: &String| OURS.iter().find(|(ours, _)| ours == key);
        for (key, why) in self.librdkafka.keys().filter_map(refused) {
            wrong("librdkafka", format!("`{key}` can't be set: {why}"));
        }
        if self.librdkafka.keys().all(|key| refused(key).is_none()) {
            // Says which key or value librdkafka does not know.
            for client in [self.producer(), self.member()] {
                if let Err(rdkafka::error::KafkaError::ClientConfig(_, what, key, value)) =
                    client.create_native_config()
                {
                    let value = if key == "sasl.password" { "(hidden)" } else { &value };
                    wrong("librdkafka", format!("`{key}: {value}`: {what}"));
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str, expect: &[&str]) {
        let mut config: Config = serde_yaml_ng::from_str(yaml).unwrap();
        config.brokers.push("127.0.0.1:9092".into());
        let mut problems = Vec::new();
        config.validate(&mut problems);
        assert_eq!(problems.len(), expect.len(), "{yaml}: {problems:#?}");
        for (problem, part) in problems.iter().zip(expect) {
            assert!(problem.contains(part), "no `{part}` in `{problem}`");
        }
    }

    #[test]
    fn what_would_not_work_is_refused() {
        check("{}", &[]);
        check("{brokers: [here, ':9092', 'a:b', '[::1]:9092']}", &["`here`", "`:9092`", "`a:b`"]);
        check("{topics: {logs: a, spans: a, metrics: 'b c'}}", &["share the topic `a`", "`b c`"]);
        check("{partitions: 0, replication: 0, group: ''}", &["partitions", "replication", "group"]);
        check("{message_bytes: 1, queue_bytes: 1, send_timeout: 0s}", &["1KiB", "1MiB", "1s"]);
        check("{tls: {ca_file: /a}}", &["TLS is off"]);
        check("{tls: {enabled: true, key_file: /a}}", &["belong together"]);
        check("{sasl: {mechanism: plain, username: a}}", &["password"]);
        check("{sasl: {mechanism: scram-sha-512, username: a, password: b}}", &[]);
    }

    #[test]
    fn zstd_has_a_level_unless_another_is_set() {
        let check = |yaml: &str, expect: Option<&str>| {
            let config: Config = serde_yaml_ng::from_str(yaml).unwrap();
            assert_eq!(config.producer().get("compression.level"), expect, "{yaml}");
        };
        check("{compression: lz4}", None);
        check("{compression: zstd}", Some("1"));
        check("{compression: zstd, librdkafka: {compression.level: '6'}}", Some("6"));
    }

    #[test]
    fn settings_of_librdkafka_are_checked() {
        check("{librdkafka: {socket.keepalive.enable: 'true', linger.ms: '50'}}", &[]);
        check(
            "{librdkafka: {acks: '1', partitioner: random}}",
            &["`acks` can't be set", "partitions are chosen"],
        );
        check("{librdkafka: {no.such.key: '1'}}", &["`no.such.key: 1`"]);
        check("{librdkafka: {linger.ms: soon}}", &["`linger.ms: soon`"]);
    }
}
