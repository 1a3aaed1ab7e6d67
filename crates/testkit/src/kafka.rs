//! A real Kafka broker, one node that is its own controller.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::engine::{self, JAVA};
use crate::process::{Process, free_port};

/// Any id will do; a folder keeps the one that it was formatted with.
const CLUSTER: &str = "V2VpclRlc3RDbHVzdGVyMQ";
/// How long a start may take. Idle machines take 4 s.
const PATIENCE: Duration = Duration::from_secs(120);
const MEMORY: &str = "-Xmx256m";

/// A broker with a folder of its own. Dropping it kills it and removes what it holds.
#[derive(Debug)]
pub struct Broker {
    engine: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
    process: Option<Process>,
}

impl Broker {
    /// Starts a broker with settings beside those for a single small node.
    ///
    /// # Panics
    /// When Kafka was not fetched, or does not start.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let engine = engine::folder("kafka");
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (port, controller) = (free_port(), free_port());
        let file = dir.path().join("server.properties");
        std::fs::write(&file, properties(&dir.path().join("data"), port, controller, settings))
            .expect("a temporary folder can be written");
        let mut broker = Self { engine, dir, port, process: None };
        let formatted = broker
            .java(&["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER, "--config"])
            .arg(&file)
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

    fn java(&self, arguments: &[&str]) -> Command {
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

/// Short sessions make a start after kill -9 take 3 s instead of 14.
fn properties(data: &Path, port: u16, controller: u16, settings: &[(&str, &str)]) -> String {
    let mut text = format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
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
        data.display()
    );
    settings.iter().for_each(|(key, value)| text += &format!("{key}={value}\n"));
    text
}
