//! Real Kafka brokers in KRaft mode: a single node that is its own controller, or a cluster of several that are controllers as well.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use crate::engine::{self, JAVA};
use crate::process::{Process, free_port};
use crate::proxy::Proxy;

/// Any id will do; a folder keeps the one that it was formatted with.
const CLUSTER: &str = "V2VpclRlc3RDbHVzdGVyMQ";
/// How long anything may take. Idle machines start a broker in 4 s.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longest wait for the answer to one question.
const ANSWER: Duration = Duration::from_secs(10);
const MEMORY: &str = "-Xmx256m";

/// A broker with a folder of its own. Dropping it kills it and removes what it holds.
#[derive(Debug)]
pub struct Broker {
    engine: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
    process: Option<Process>,
}

/// Where a broker listens: for clients, as a controller, for clients that log in over TLS, and for clients that come through a proxy, with the
/// proxy's own port behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    clients: u16,
    controllers: u16,
    secured: Option<u16>,
    proxied: Option<(u16, u16)>,
}

impl Ports {
    fn free() -> Self {
        Self { clients: free_port(), controllers: free_port(), secured: None, proxied: None }
    }

    /// With a proxy, which runs from now on.
    fn with_proxy() -> (Self, Proxy) {
        let port = free_port();
        let proxy = Proxy::start(port);
        (Self { proxied: Some((port, proxy.port())), ..Self::free() }, proxy)
    }

    pub(crate) fn with_secured(port: u16) -> Self {
        Self { secured: Some(port), ..Self::free() }
    }
}

impl Broker {
    /// Starts a broker with settings beside those for a single small node.
    ///
    /// # Panics
    /// When Kafka was not fetched, or does not start.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::node(0, &[Ports::free()], settings, &[])
    }

    /// Starts one node of a cluster. `format` is what its folder is formatted with besides.
    pub(crate) fn node(at: usize, all: &[Ports], settings: &[(&str, &str)], format: &[&str]) -> Self {
        let engine = engine::folder("kafka");
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("server.properties");
        std::fs::write(&file, properties(&dir.path().join("data"), at, all, settings))
            .expect("a temporary folder can be written");
        let mut broker = Self { engine, dir, port: all[at].clients, process: None };
        let formatted = broker
            .java(&["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER, "--config"])
            .arg(&file)
            .args(format)
            .output()
            .expect("java runs");
        assert!(
            formatted.status.success(),
            "the broker's folder can't be formatted: {}{}",
            String::from_utf8_lossy(&formatted.stdout),
            String::from_utf8_lossy(&formatted.stderr)
        );
        broker.resume();
        broker
    }

    /// Where clients reach it, as `host:port`; the same after a restart.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The folder with what it holds: one for each partition, named `TOPIC-NUMBER`.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// kill -9, as a crash; what it holds stays.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Starts it again with what it holds.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn resume(&mut self) {
        let mut command = self.java(&["kafka.Kafka"]);
        command.arg(self.dir.path().join("server.properties"));
        let process = Process::start(command, "Kafka Server started", PATIENCE);
        self.process = Some(process.unwrap_or_else(|problem| panic!("{problem}")));
    }

    /// A program of Kafka's, with words for it.
    pub(crate) fn java(&self, arguments: &[&str]) -> Command {
        let logging =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/engines/kafka/log4j2.properties");
        let mut command = Command::new("java");
        command
            .args(JAVA)
            .arg(MEMORY)
            .arg(format!("-Dlog4j2.configurationFile={}", logging.display()))
            .arg("-cp")
            .arg(self.engine.join("lib/*"))
            .args(arguments)
            .current_dir(self.dir.path());
        command
    }
}

/// Several brokers that hold copies of each other's partitions, each of them a controller as well.
#[derive(Debug)]
pub struct Cluster {
    brokers: Vec<Broker>,
}

impl Cluster {
    /// Starts three brokers. A write counts when two of them have it, and a broker that comes back soon leads again what it led before.
    ///
    /// # Panics
    /// When Kafka was not fetched, or does not start.
    pub fn start() -> Self {
        Self::of(&[Ports::free(), Ports::free(), Ports::free()])
    }

    /// Starts so many brokers, each with a proxy in front of it, by whose ports alone clients know them that come through one. Past the proxies
    /// they are reached at [`Self::addresses`].
    ///
    /// # Panics
    /// When Kafka was not fetched, or does not start.
    pub fn start_behind_proxies(brokers: usize) -> (Self, Vec<Proxy>) {
        let (all, proxies): (Vec<Ports>, _) = (0..brokers).map(|_| Ports::with_proxy()).unzip();
        (Self::of(&all), proxies)
    }

    fn of(all: &[Ports]) -> Self {
        let copies = all.len().to_string();
        let settings = [
            ("default.replication.factor", copies.as_str()),
            ("min.insync.replicas", if all.len() > 1 { "2" } else { "1" }),
            ("offsets.topic.replication.factor", &copies),
            ("leader.imbalance.check.interval.seconds", "1"),
            ("leader.imbalance.per.broker.percentage", "0"),
        ];
        // None is ready before most of them are.
        let brokers = std::thread::scope(|scope| {
            let start = |at| scope.spawn(move || Broker::node(at, all, &settings, &[]));
            let starting: Vec<_> = (0..all.len()).map(start).collect();
            starting.into_iter().map(|one| one.join().expect("a broker starts")).collect()
        });
        Self { brokers }
    }

    /// Where clients reach the brokers.
    pub fn addresses(&self) -> Vec<String> {
        self.brokers.iter().map(Broker::address).collect()
    }

    /// kill -9 of one broker, from 0.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self, at: usize) {
        self.brokers[at].kill();
    }

    /// Starts one broker again.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn resume(&mut self, at: usize) {
        self.brokers[at].resume();
    }

    /// Waits until a broker leads a partition of a topic, and every partition has all of its copies in sync.
    ///
    /// # Panics
    /// When that does not come.
    pub fn wait_to_lead(&self, at: usize, topic: &str) {
        let admin = Admin::new(&self.addresses().join(","));
        let begun = Instant::now();
        loop {
            let partitions = admin.partitions(topic);
            let whole = partitions.iter().all(|partition| partition.in_sync == self.brokers.len());
            if whole && partitions.iter().any(|partition| partition.leader == Some(at)) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "broker {at} does not lead: {partitions:?}");
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// A partition as brokers tell of it.
#[derive(Debug)]
pub struct Partition {
    /// Which broker of the cluster leads it, from 0.
    pub leader: Option<usize>,
    /// Brokers that have all of it.
    pub in_sync: usize,
}

/// What people do to topics.
pub struct Admin {
    client: AdminClient<DefaultClientContext>,
}

impl Admin {
    /// Of a cluster that anybody may change.
    ///
    /// # Panics
    /// When there is no such client.
    pub fn new(addresses: &str) -> Self {
        Self::with(ClientConfig::new().set("bootstrap.servers", addresses))
    }

    /// With librdkafka's settings.
    ///
    /// # Panics
    /// When there is no such client.
    pub fn with(settings: &ClientConfig) -> Self {
        Self { client: settings.create().expect("a client") }
    }

    /// The partitions of a topic; none where there is no such topic or nobody answers.
    pub fn partitions(&self, topic: &str) -> Vec<Partition> {
        let Ok(metadata) = self.client.inner().fetch_metadata(Some(topic), ANSWER) else { return Vec::new() };
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        partitions
            .map(|found| Partition {
                leader: usize::try_from(found.leader() - 1).ok(),
                in_sync: found.isr().len(),
            })
            .collect()
    }

    /// Makes a topic with settings of its own.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn create(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut made = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        made.config = settings.to_vec();
        let answers = self.client.create_topics([&made], &AdminOptions::new()).await;
        assert!(matches!(answers.as_deref(), Ok([Ok(_)])), "{topic} can't be made: {answers:?}");
    }

    /// Gives a topic more partitions.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn grow(&self, topic: &str, partitions: usize) {
        let grown = NewPartitions::new(topic, partitions);
        let answers = self.client.create_partitions([&grown], &AdminOptions::new()).await;
        assert!(matches!(answers.as_deref(), Ok([Ok(_)])), "{topic} can't grow: {answers:?}");
    }

    /// Removes a topic with all that it holds.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn delete(&self, topic: &str) {
        let answers = self.client.delete_topics(&[topic], &AdminOptions::new()).await;
        assert!(matches!(answers.as_deref(), Ok([Ok(_)])), "{topic} can't be deleted: {answers:?}");
    }
}

/// Short sessions make a start after kill -9 take 3 s instead of 14.
fn properties(data: &Path, at: usize, all: &[Ports], settings: &[(&str, &str)]) -> String {
    let Ports { clients, controllers, secured, proxied } = all[at];
    let listener = |name: &str, port: Option<u16>| {
        port.map_or(String::new(), |port| format!(",{name}://127.0.0.1:{port}"))
    };
    let more = listener("SECURED", secured) + &listener("PROXIED", proxied.map(|(port, _)| port));
    let told = listener("SECURED", secured) + &listener("PROXIED", proxied.map(|(_, proxy)| proxy));
    let voter = |(at, ports): (usize, &Ports)| format!("{}@127.0.0.1:{}", at + 1, ports.controllers);
    let voters: Vec<String> = all.iter().enumerate().map(voter).collect();
    let mut text = format!(
        "process.roles=broker,controller
node.id={}
controller.quorum.voters={}
listeners=PLAINTEXT://127.0.0.1:{clients},CONTROLLER://127.0.0.1:{controllers}{more}
advertised.listeners=PLAINTEXT://127.0.0.1:{clients}{told}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL,PROXIED:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=250
",
        at + 1,
        voters.join(","),
        data.display()
    );
    settings.iter().for_each(|(key, value)| text += &format!("{key}={value}\n"));
    text
}
