//! Agent and collector with a real Kafka broker between them: each of the three is away, comes back and is killed.

use std::fs;
use std::path::PathBuf;

use weir_testkit::kafka::Broker;
use weir_tests::client::{Client, LOOK_EVERY};
use weir_tests::feed::Feed;
use weir_tests::server::{Server, command, refused};

struct Fleet {
    dir: tempfile::TempDir,
    broker: Broker,
    feed: Feed,
}

impl Fleet {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["agent", "collector", "logs"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        // Four files, which are in different partitions.
        let feed = Feed::new(dir.path().join("logs"), &["a.log", "b.log", "c.log", "d.log"]);
        Self { dir, broker: Broker::start(&[]), feed }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// One file for all roles, as a fleet has it.
    fn config(&self) -> String {
        format!(
            "agent:
  host_metrics: 0s
  sources:
    - include: [\"{}/*.log\"]
forward:
  to: kafka
kafka:
  brokers: [\"{}\"]
  partitions: 3
  send_timeout: 2s
  refresh: 500ms
collector:
  commit_every: 200ms
store:
  shard_records: 3000
",
            self.path("logs").display(),
            self.broker.address()
        )
    }

    fn collector(&self) -> Client {
        Client::new(Server::role("collector", &self.path("collector"), &self.config(), &[]).unwrap())
    }

    fn agent(&self) -> Server {
        Server::role("agent", &self.path("agent"), &self.config(), &[]).unwrap()
    }

    async fn all_is_found(&self, client: &Client) {
        self.feed.all_is_found(client).await;
        let ledger = client.get("/api/v1/ledger").await;
        let sources = ledger["sources"].as_array().expect("a list");
        assert_eq!(sources.len(), 4);
        for source in sources {
            assert_eq!(source["holes"].as_array().map(Vec::len), Some(0), "{source}");
        }
        for records in ledger["records"].as_array().expect("a list") {
            assert_eq!((&records["refused"], &records["lostBatches"]), (&0.into(), &0.into()), "{records}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled() {
    let mut fleet = Fleet::new();
    let mut client = fleet.collector();
    let mut agent = fleet.agent();
    fleet.feed.write(1_000);
    fleet.feed.export(&agent, 700).await;
    fleet.all_is_found(&client).await;

    // Without the broker the agent takes everything, also after a crash of its own; the collector starts, and says what is wrong.
    fleet.broker.kill();
    fleet.feed.write(1_000);
    fleet.feed.export(&agent, 300).await;
    agent.kill();
    client.server.kill();
    agent = fleet.agent();
    client = fleet.collector();
    fleet.feed.write(500);
    fleet.feed.export(&agent, 200).await;
    let address = fleet.broker.address();
    loop {
        let status = client.get("/api/v1/status").await;
        let stage = status["stages"].as_array().into_iter().flatten().find(|stage| stage["name"] == "kafka");
        let stage = stage.expect("Kafka is a stage");
        if stage["state"] == "failing" {
            assert!(stage["detail"].as_str().is_some_and(|detail| detail.contains(&address)), "{stage}");
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    fleet.broker.resume();
    fleet.all_is_found(&client).await;

    // Killed under load, in turn.
    for round in 0..6 {
        fleet.feed.write(400);
        fleet.feed.export(&agent, 100).await;
        while client.total("logs", "").await < 4 * (fleet.feed.lines - 300) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        match round % 3 {
            0 => {
                agent.kill();
                agent = fleet.agent();
            }
            1 => {
                client.server.kill();
                client = fleet.collector();
            }
            _ => {
                fleet.broker.kill();
                fleet.broker.resume();
            }
        }
    }
    fleet.all_is_found(&client).await;
    agent.stop().unwrap();
    client.server.stop().unwrap();

    // Positions of one log mean nothing in another.
    let disk = command(&[], "collector", &fleet.path("collector"), Some("{}"), &[]).unwrap();
    let refused = refused(disk).unwrap();
    assert_eq!(refused.code, Some(1));
    assert!(refused.said.contains("otlp_logs") && refused.said.contains("--data-dir"), "{}", refused.said);
}
