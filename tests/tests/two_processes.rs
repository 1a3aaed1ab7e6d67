//! Agent and collector in processes of their own: the collector goes away, comes back, is killed, and so is the agent.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use weir_tests::client::{Client, LOOK_EVERY};
use weir_tests::feed::Feed;
use weir_tests::server::{Server, binary};

const COLLECTOR: &str = "collector:\n  commit_every: 200ms\nstore:\n  shard_records: 3000\n";

/// An agent's and a collector's folder, the files that the agent follows, and the fixed address of the collector.
struct Fleet {
    dir: tempfile::TempDir,
    protocol: &'static str,
    intake: String,
    feed: Feed,
}

impl Fleet {
    fn new(protocol: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["agent", "collector", "logs"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let feed = Feed::new(dir.path().join("logs"), &["a.log", "b.log"]);
        Self { dir, protocol, intake: String::new(), feed }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the collector; after the first time at the same address.
    fn collector(&mut self) -> Client {
        let key = format!("WEIR_COLLECTOR__INTAKE_{}", self.protocol.to_uppercase());
        let address = self.intake.trim_start_matches("http://").to_owned();
        let env: Vec<(&str, &str)> =
            if address.is_empty() { vec![] } else { vec![(key.as_str(), address.as_str())] };
        let server = Server::role("collector", &self.path("collector"), COLLECTOR, &env).unwrap();
        self.intake = match self.protocol {
            "http" => server.intake_http().to_owned(),
            _ => server.intake_grpc(),
        };
        Client::new(server)
    }

    fn agent(&self) -> Server {
        let logs = self.path("logs");
        let config = format!(
            "agent:\n  host_metrics: 0s\n  sources:\n    - include: [\"{}/*.log\"]\nforward:\n  to: {}\n  protocol: {}\n",
            logs.display(),
            self.intake,
            self.protocol
        );
        Server::role("agent", &self.path("agent"), &config, &[]).unwrap()
    }
}

/// Whatever is away or killed: what was written or acknowledged is found once.
async fn nothing_is_lost_or_doubled(protocol: &'static str) {
    let mut fleet = Fleet::new(protocol);
    let client = fleet.collector();
    let mut agent = fleet.agent();
    fleet.feed.write(1_000);
    fleet.feed.export(&agent, 700).await;
    fleet.feed.all_is_found(&client).await;

    // The collector is away: the agent takes everything, also after a crash of its own.
    client.server.stop().unwrap();
    fleet.feed.write(1_500);
    fleet.feed.export(&agent, 300).await;
    agent.kill();
    agent = fleet.agent();
    fleet.feed.write(500);
    fleet.feed.export(&agent, 200).await;

    // It comes back, and is killed in the middle of it again and again.
    for _ in 0..5 {
        let client = fleet.collector();
        fleet.feed.write(400);
        fleet.feed.export(&agent, 100).await;
        while client.total("logs", "").await < 2 * (fleet.feed.lines - 200) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        client.server.kill();
    }
    let client = fleet.collector();
    fleet.feed.all_is_found(&client).await;
    agent.stop().unwrap();
    client.server.stop().unwrap();
}

/// `weir audit` without patience: its exit code, and what it says.
fn audit(client: &Client, agent: &Server) -> (Option<i32>, String) {
    let metrics = agent.metrics();
    let agent = metrics.strip_suffix("/metrics").expect("its address");
    let mut command = Command::new(binary());
    command.args(["audit", "--wait", "0s", "--all", "--collector", client.server.api(), "--agent", agent]);
    let output = command.env("WEIR_LOG", "warn").output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_finds_what_is_missing() {
    let mut fleet = Fleet::new("http");
    let client = fleet.collector();
    let agent = fleet.agent();
    fleet.feed.write(1_000);
    fleet.feed.all_is_found(&client).await;
    // The agent tells what was acknowledged with its next checkpoint.
    let said = loop {
        let (code, said) = audit(&client, &agent);
        assert_eq!(code, Some(0), "{said}");
        if said.contains("2 of 2 sources are complete") {
            break said;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    assert!(said.contains("a.log: complete") && said.contains("logs: 2000 stored"), "{said}");

    // Somebody removes what the collector had.
    client.server.stop().unwrap();
    fs::rename(fleet.path("collector").join("data"), fleet.path("collector").join("gone")).unwrap();
    let client = fleet.collector();
    // It may be on its way still, for all that the two can tell.
    let (code, said) = audit(&client, &agent);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("0 of 2 sources are complete, 2 with something on its way"), "{said}");
    assert!(said.contains("something is on its way still after 0ms"), "{said}");
    fleet.feed.write(500);
    client.wait_for_totals(1_000, 0).await;
    let (code, said) = audit(&client, &agent);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("a.log: MISSING 0..") && said.contains("b.log: MISSING 0.."), "{said}");
    assert!(said.contains("0 of 2 sources are complete, 2 with something missing"), "{said}");
    assert!(said.contains("bytes of files are missing"), "{said}");
    agent.stop().unwrap();
    client.server.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http() {
    nothing_is_lost_or_doubled("http").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc() {
    nothing_is_lost_or_doubled("grpc").await;
}
