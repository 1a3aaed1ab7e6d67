//! Agent and collector with a real Kafka broker between them: each of the three is away, comes back and is killed.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tokio::task::JoinHandle;
use weir_model::Signal;
use weir_testkit::kafka::{Admin, Broker, Cluster};
use weir_testkit::search::{Engine, SearchServer};
use weir_testkit::secured::{PASSWORD, SecuredBroker, USER};
use weir_tests::client::{Client, LOOK_EVERY, wait_for_health};
use weir_tests::feed::Feed;
use weir_tests::http::Http;
use weir_tests::server::{Server, command, refused};

struct Fleet {
    dir: tempfile::TempDir,
    brokers: Vec<String>,
    /// Further lines of the section about Kafka.
    kafka: String,
    /// Lines of the section about the store.
    store: String,
    feed: Feed,
}

impl Fleet {
    fn new(brokers: Vec<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["agent", "collector", "second", "logs"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        // Four files, which are in different partitions.
        let feed = Feed::new(dir.path().join("logs"), &["a.log", "b.log", "c.log", "d.log"]);
        Self { dir, brokers, kafka: String::new(), store: "  shard_records: 3000".into(), feed }
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
  brokers: {:?}
  partitions: 3
  send_timeout: 2s
  refresh: 500ms
{}
collector:
  commit_every: 200ms
store:
{}
",
            self.path("logs").display(),
            self.brokers,
            self.kafka,
            self.store,
        )
    }

    fn collector(&self) -> Client {
        self.collector_in("collector")
    }

    fn collector_in(&self, folder: &str) -> Client {
        Client::new(Server::role("collector", &self.path(folder), &self.config(), &[]).unwrap())
    }

    fn agent(&self) -> Server {
        Server::role("agent", &self.path("agent"), &self.config(), &[]).unwrap()
    }

    /// Feeds the agent until it is told to stop, and gives the feed back then.
    fn keep_feeding(&mut self, agent: &Server) -> (Arc<AtomicBool>, JoinHandle<Feed>) {
        let stop = Arc::new(AtomicBool::new(false));
        let feed = std::mem::replace(&mut self.feed, Feed::new(PathBuf::new(), &[]));
        (stop.clone(), tokio::spawn(feed.keep_feeding(agent.otlp().to_owned(), stop)))
    }

    async fn all_is_found(&self, client: &Client) {
        self.feed.all_is_found(client).await;
        // What another collector stored it makes known at its next commit.
        let ledger = client.wait("/api/v1/ledger", |ledger| {
            let sources = ledger["sources"].as_array().expect("a list");
            sources.len() == 4
                && sources.iter().all(|source| source["holes"].as_array().is_some_and(Vec::is_empty))
        });
        let ledger = ledger.await;
        for records in ledger["records"].as_array().expect("a list") {
            assert_eq!((&records["refused"], &records["lostBatches"]), (&0.into(), &0.into()), "{records}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled() {
    let mut broker = Broker::start(&[]);
    let mut fleet = Fleet::new(vec![broker.address()]);
    let mut client = fleet.collector();
    let mut agent = fleet.agent();
    fleet.feed.write(1_000);
    fleet.feed.export(&agent, 700).await;
    fleet.all_is_found(&client).await;

    // Without the broker the agent takes everything, also after a crash of its own; the collector starts, and says what is wrong.
    broker.kill();
    fleet.feed.write(1_000);
    fleet.feed.export(&agent, 300).await;
    agent.kill();
    client.server.kill();
    agent = fleet.agent();
    client = fleet.collector();
    fleet.feed.write(500);
    fleet.feed.export(&agent, 200).await;
    let address = broker.address();
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
    broker.resume();
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
                broker.kill();
                broker.resume();
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

/// More than what is under way at any moment of [`Feed::keep_feeding`].
const BEHIND: u64 = 2_000;
/// What an agent may grow by while brokers come and go: its queues, several times over.
const GROWTH_BYTES: u64 = 128 << 20;

/// Each broker of three is killed while it leads, under load, and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn killed_leaders_lose_nothing() {
    let mut cluster = Cluster::start();
    let mut fleet = Fleet::new(cluster.addresses());
    let client = fleet.collector();
    let agent = fleet.agent();
    fleet.feed.write(500);
    fleet.feed.export(&agent, 500).await;
    fleet.all_is_found(&client).await;
    let at_first = agent.resident_bytes();

    let (stop, feeding) = fleet.keep_feeding(&agent);
    for broker in [0, 1, 2] {
        cluster.wait_to_lead(broker, "otlp_logs");
        let before = client.received(Signal::Logs).await.expect("it runs");
        cluster.kill(broker);
        // Two go on.
        assert!(client.wait_for_received(Signal::Logs, before + BEHIND).await);
        cluster.resume(broker);
        let now = agent.resident_bytes();
        assert!(now < at_first + GROWTH_BYTES, "the agent grew from {at_first} to {now} bytes");
    }
    stop.store(true, Ordering::Relaxed);
    fleet.feed = feeding.await.unwrap();
    fleet.all_is_found(&client).await;
    agent.stop().unwrap();
    client.server.stop().unwrap();
}

/// Over TLS with a password. While a right is missing the agent keeps everything, says which one, and goes on when it is granted; the collector
/// ends with the reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_stops_and_loses_nothing() {
    let broker = SecuredBroker::start();
    let mut fleet = Fleet::new(vec![broker.address()]);
    fleet.kafka = format!(
        "  tls: {{ enabled: true, ca_file: {} }}
  sasl: {{ mechanism: scram-sha-512, username: {USER}, password: {PASSWORD} }}",
        broker.ca().display()
    );
    let topics = ["--topic", "otlp_logs", "--topic", "otlp_spans", "--topic", "otlp_metrics"];
    broker.grant(&["Create", "Describe", "DescribeConfigs"], &topics);
    let agent = fleet.agent();
    fleet.feed.write(500);
    fleet.feed.export(&agent, 300).await;
    wait_for_health(&agent, Some("may not write to the topic `otlp_logs`")).await;
    let collector = command(&[], "collector", &fleet.path("collector"), Some(&fleet.config()), &[]).unwrap();
    let refused = refused(collector).unwrap();
    assert_eq!(refused.code, Some(1));
    assert!(refused.said.contains("grant Read on it"), "{}", refused.said);

    broker.grant(&["Read", "Write"], &topics);
    broker.grant(&["Read"], &["--group", "weir-collector"]);
    let client = fleet.collector();
    fleet.feed.write(500);
    fleet.all_is_found(&client).await;
    wait_for_health(&agent, None).await;
    agent.stop().unwrap();
    client.server.stop().unwrap();
}

/// Two collectors share the partitions and write to one search engine. Each is killed under load: the other goes on with all of them, and
/// gives some back when it is started again.
#[tokio::test(flavor = "multi_thread")]
async fn collectors_share_the_partitions() {
    let broker = Broker::start(&[]);
    let search = SearchServer::start(&Engine::opensearch(), &[]);
    let mut fleet = Fleet::new(vec![broker.address()]);
    // The shortest that brokers take, for the sake of the test.
    fleet.kafka = "  librdkafka: { session.timeout.ms: \"6000\" }".into();
    fleet.store = format!("  elastic:\n    urls: [\"{}\"]\n    replicas: 0", search.url());
    let mut clients = ["collector", "second"].map(|folder| fleet.collector_in(folder));
    let agent = fleet.agent();
    for folder in ["collector", "second"] {
        let (stop, feeding) = fleet.keep_feeding(&agent);
        for client in &clients {
            let before = client.received(Signal::Spans).await.expect("it runs");
            assert!(client.wait_for_received(Signal::Spans, before + 100).await, "each has a share");
        }
        let [killed, survivor] = clients;
        killed.server.kill();
        stop.store(true, Ordering::Relaxed);
        fleet.feed = feeding.await.unwrap();
        fleet.all_is_found(&survivor).await;
        // The survivor is killed next.
        clients = [survivor, fleet.collector_in(folder)];
    }
    agent.stop().unwrap();
    for client in clients {
        client.server.stop().unwrap();
    }
}

/// Waits until Kafka has all that an agent has taken since its start.
async fn wait_until_sent(agent: &Server) {
    loop {
        let metrics = Http::default().get(&agent.metrics()).await.unwrap();
        let metrics = std::str::from_utf8(&metrics).unwrap();
        let sum = |name: &str| -> u64 {
            let counts = metrics.lines().filter(|line| line.starts_with(name));
            counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
        };
        if sum("weir_agent_sent_batches_total") == sum("weir_agent_spool_appended_batches_total") {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What a topic that was deleted took with it is missing, and nothing else: the ledger and its counters say so. It comes back with fewer
/// partitions, under a collector that runs and after one that does not.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_deleted_topic_took_with_it_is_told() {
    let broker = Broker::start(&[]);
    let mut fleet = Fleet::new(vec![broker.address()]);
    let admin = Admin::new(&broker.address());
    let client = fleet.collector();
    let agent = fleet.agent();
    fleet.feed.write(300);
    fleet.feed.export(&agent, 300).await;
    fleet.all_is_found(&client).await;

    // What is stored is committed, and nobody reads what comes now.
    client.server.stop().unwrap();
    fleet.feed.write(200);
    let (read, all) = (fleet.path("logs").join("a.log"), fleet.feed.total());
    let size = fs::metadata(&read).unwrap().len();
    let ledger = format!("{}/ledger", agent.metrics().strip_suffix("/metrics").unwrap());
    let taken = |ledger: &Value| {
        let sources = ledger["sources"].as_array().unwrap();
        sources.len() == 4 && sources.iter().all(|source| source["acknowledged"] == size)
    };
    while !taken(&Http::default().get_json(&ledger).await.unwrap()) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    wait_until_sent(&agent).await;
    admin.delete("otlp_logs").await;
    // Whoever finds it missing makes it, as this configuration says.
    let config = fleet.config().replace("partitions: 3", "partitions: 2");
    let client = Client::new(Server::role("collector", &fleet.path("collector"), &config, &[]).unwrap());
    fleet.feed.write(400);
    client.wait_for_totals(all + 4 * 400 - 4 * 200, 300).await;
    let count = |ledger: &Value| {
        let logs = ledger["records"].as_array().unwrap().iter().find(|row| row["signal"] == "logs").unwrap();
        logs["lostBatches"].as_u64().unwrap()
    };
    let lost = |ledger: &Value| {
        let sources = ledger["sources"].as_array().unwrap();
        let told = sources.iter().filter(|source| {
            source["holes"].as_array().is_some_and(|holes| holes.len() == 1 && holes[0]["cause"] == "missing")
        });
        told.count() == 4 && count(ledger) > 0
    };
    let before = client.wait("/api/v1/ledger", lost).await;

    // Under a collector that has read everything: nothing more is missing, which nobody can know.
    admin.delete("otlp_logs").await;
    client.wait("/api/v1/ledger", |ledger| count(ledger) > count(&before)).await;
    fleet.feed.write(100);
    client.wait_for_totals(all + 4 * 500 - 4 * 200, 300).await;
    let now = client.wait("/api/v1/ledger", lost).await;
    let holes = |ledger: &Value| -> Vec<Value> {
        ledger["sources"].as_array().unwrap().iter().map(|source| source["holes"].clone()).collect()
    };
    assert_eq!(holes(&now), holes(&before));
    agent.stop().unwrap();
    client.server.stop().unwrap();
}

/// A topic gets more partitions while agent and collector run and across restarts of each, the agent's with lines under way.
#[tokio::test(flavor = "multi_thread")]
async fn grown_topics_lose_nothing() {
    let broker = Broker::start(&[]);
    let mut fleet = Fleet::new(vec![broker.address()]);
    let admin = Admin::new(&broker.address());
    let mut client = fleet.collector();
    let mut agent = fleet.agent();
    fleet.feed.write(300);
    fleet.feed.export(&agent, 300).await;
    fleet.all_is_found(&client).await;
    for partitions in [5, 7] {
        admin.grow("otlp_logs", partitions).await;
        admin.grow("otlp_spans", partitions).await;
        fleet.feed.write(300);
        fleet.feed.export(&agent, 300).await;
        fleet.all_is_found(&client).await;
        // It knows the new ones from now on; lines that were sent already go to others.
        fleet.feed.write(300);
        agent.kill();
        agent = fleet.agent();
        fleet.feed.export(&agent, 300).await;
        fleet.all_is_found(&client).await;
        client.server.kill();
        client = fleet.collector();
    }
    fleet.all_is_found(&client).await;
    agent.stop().unwrap();
    client.server.stop().unwrap();
}
