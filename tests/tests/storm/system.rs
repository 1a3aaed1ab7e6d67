//! Agent, Kafka, collector and search engine, and everything that happens to them.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::Value;
use tokio::task::block_in_place;
use weir_testkit::free_port;
use weir_testkit::kafka::{Admin, Cluster};
use weir_testkit::proxy::{Fault, Proxy};
use weir_testkit::search::{Engine, SearchServer};
use weir_tests::client::Client;
use weir_tests::server::{Server, binary};

use crate::load::{Feed, Load};
use crate::number;
use crate::pauses::Pauses;

/// Partitions of each topic in the beginning, and how many more it gets in the middle.
const PARTITIONS: usize = 3;
const MORE_PARTITIONS: usize = 2;
/// Memory that neither agent nor collector may have in the end, bytes.
const MEMORY_BYTES: u64 = 512 << 20;

/// What can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Agent,
    Collector,
    Broker,
    SearchEngine,
}

/// Everything that can happen to what passes a proxy.
pub(crate) fn faults(chance: &mut StdRng) -> Vec<Fault> {
    let mut faults = vec![
        Fault::None,
        Fault::Latency(Duration::from_millis(chance.random_range(1..300))),
        Fault::Slow(chance.random_range(2_000..50_000)),
        Fault::Reset,
        Fault::Blackhole,
        Fault::Cut(chance.random_range(1..20_000)),
        Fault::Refuse,
    ];
    faults.shuffle(chance);
    faults
}

/// A search engine, and the proxy in front of it.
pub(crate) struct Search {
    pub(crate) server: SearchServer,
    proxy: Proxy,
}

/// Everything that can be harmed.
pub(crate) struct System {
    folder: tempfile::TempDir,
    begun: Instant,
    pub(crate) kafka: Cluster,
    proxies: Vec<Proxy>,
    pub(crate) search: Option<Search>,
    /// Where the agent takes spans, and tells of itself.
    ports: [String; 2],
    agent: Option<Server>,
    collector: Option<Client>,
    /// What the agent reads, as its section of the configuration.
    sources: String,
    /// Who writes while the agent is killed, where somebody does.
    pub(crate) pauses: Option<Pauses>,
}

impl System {
    /// Without its agent, whose section of the configuration is `sources`.
    pub(crate) fn start(folder: tempfile::TempDir, with_search: bool, sources: String) -> Self {
        for name in ["agent", "collector"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let brokers = number("WEIR_TEST_BROKERS", 1) as usize;
        let (kafka, proxies) = Cluster::start_behind_proxies(brokers);
        let search = with_search.then(|| {
            let server = SearchServer::start(&Engine::opensearch(), &[]);
            let proxy = Proxy::start(server.port());
            Search { server, proxy }
        });
        let ports = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
        let mut system = Self {
            folder,
            begun: Instant::now(),
            kafka,
            proxies,
            search,
            ports,
            agent: None,
            collector: None,
            sources,
            pauses: None,
        };
        system.start_collector();
        system
    }

    pub(crate) fn brokers(&self) -> String {
        self.kafka.addresses().join(",")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// One file for all roles.
    fn config(&self) -> String {
        let brokers: Vec<String> =
            self.proxies.iter().map(|proxy| format!("127.0.0.1:{}", proxy.port())).collect();
        let store = match &self.search {
            None => "shard_records: 4000".to_owned(),
            Some(search) => {
                format!(
                    "elastic: {{ urls: [\"http://127.0.0.1:{}\"], replicas: 0, refresh: 200ms }}",
                    search.proxy.port()
                )
            }
        };
        format!(
            r#"{}forward:
  to: kafka
kafka:
  brokers: {brokers:?}
  partitions: {PARTITIONS}
  send_timeout: 2s
  refresh: 500ms
  librdkafka: {{ session.timeout.ms: "6000", reconnect.backoff.max.ms: "1000" }}
collector:
  commit_every: 200ms
  commit_bytes: 128KiB
store:
  # The fleet's days are long past.
  retain_age: 36500d
  {store}
"#,
            self.sources
        )
    }

    pub(crate) fn start_agent(&mut self) {
        let [otlp, admin] = &self.ports;
        let env = [("WEIR_AGENT__OTLP_HTTP", otlp.as_str()), ("WEIR_AGENT__ADMIN", admin)];
        self.agent = Some(Server::role("agent", &self.path("agent"), &self.config(), &env).unwrap());
    }

    fn start_collector(&mut self) {
        let server = Server::role("collector", &self.path("collector"), &self.config(), &[]).unwrap();
        self.collector = Some(Client::new(server));
    }

    pub(crate) fn client(&self) -> &Client {
        self.collector.as_ref().expect("it runs")
    }

    pub(crate) fn otlp(&self) -> String {
        format!("http://{}", self.ports[0])
    }

    /// The proxies in front of one server: that of the search engine, or one of Kafka's or all.
    fn some_proxies(&self, chance: &mut StdRng) -> (&'static str, Vec<&Proxy>) {
        match &self.search {
            Some(search) if chance.random() => ("the search engine", vec![&search.proxy]),
            _ if chance.random() => ("all brokers", self.proxies.iter().collect()),
            _ => ("a broker", vec![&self.proxies[chance.random_range(0..self.proxies.len())]]),
        }
    }

    pub(crate) fn mark(&self, what: &str) {
        println!("{:>6.1} s: {what}", self.begun.elapsed().as_secs_f64());
    }

    fn tell<F: Feed>(&self, load: &Load<F>, what: &str) {
        self.mark(&format!("{} calls, {what}", load.calls()));
    }

    /// Something is killed while what passes is harmed, and all of it heals.
    async fn blow<F: Feed>(&mut self, part: Part, fault: Fault, chance: &mut StdRng, load: &Load<F>) {
        let (who, proxies) = self.some_proxies(chance);
        self.tell(load, &format!("{fault:?} for {who}"));
        block_in_place(|| proxies.iter().for_each(|proxy| proxy.set(fault)));
        load.goes_on(chance.random_range(0..40)).await;
        self.kill(part, chance, load).await;
        let proxies = self.proxies.iter().chain(self.search.as_ref().map(|search| &search.proxy));
        block_in_place(|| proxies.for_each(|proxy| proxy.set(Fault::None)));
        // It can't be started without a search engine.
        if self.collector.is_none() {
            block_in_place(|| self.start_collector());
        }
        self.tell(load, "all is well");
        load.goes_on(chance.random_range(1..60)).await;
    }

    /// The topics get more partitions. The agent uses them after its next start.
    async fn grow<F: Feed>(&self, load: &Load<F>) {
        self.tell(load, "the topics grow");
        let admin = Admin::new(&self.brokers());
        for topic in ["otlp_logs", "otlp_spans"] {
            admin.grow(topic, PARTITIONS + MORE_PARTITIONS).await;
        }
    }

    /// kill -9 of a part, which comes back on what it left behind.
    async fn kill<F: Feed>(&mut self, part: Part, chance: &mut StdRng, load: &Load<F>) {
        self.tell(load, &format!("kill the {part:?}"));
        let away = chance.random_range(0..50);
        match part {
            Part::Agent => {
                let open = load.goes_on(chance.random_range(0..10));
                match &mut self.pauses {
                    Some(pauses) => pauses.begin(&format!("http://{}", self.ports[1]), open).await,
                    None => open.await,
                }
                self.agent.take().expect("it runs").kill();
                self.pauses.iter_mut().for_each(Pauses::agent_is_away);
                load.goes_on(away).await;
                self.pauses.iter_mut().for_each(Pauses::end);
                block_in_place(|| self.start_agent());
            }
            Part::Collector => {
                self.collector.take().expect("it runs").server.kill();
                load.goes_on(away).await;
            }
            Part::Broker => {
                let at = chance.random_range(0..self.proxies.len());
                self.kafka.kill(at);
                load.goes_on(away).await;
                block_in_place(|| self.kafka.resume(at));
            }
            Part::SearchEngine => {
                let search = self.search.as_mut().expect("there is one");
                search.server.kill();
                load.goes_on(away).await;
                block_in_place(|| search.server.resume());
            }
        }
    }

    /// Each part is killed, and each fault happens, before one of them comes again; in the middle the topics grow.
    pub(crate) async fn rage<F: Feed>(&mut self, chance: &mut StdRng, load: &Load<F>) {
        let mut parts = vec![Part::Agent, Part::Collector, Part::Broker];
        parts.extend(self.search.as_ref().map(|_| Part::SearchEngine));
        let (mut next, mut harm) = (Vec::new(), Vec::new());
        let blows = number("WEIR_TEST_BLOWS", parts.len() as u64);
        for blow in 0..blows {
            if blow == blows / 2 {
                self.grow(load).await;
            }
            if next.is_empty() {
                parts.shuffle(chance);
                next = parts.clone();
            }
            if harm.is_empty() {
                harm = faults(chance);
            }
            let (part, fault) = (next.pop().expect("filled"), harm.pop().expect("filled"));
            self.blow(part, fault, chance, load).await;
        }
        let broken: u64 = self.proxies.iter().map(Proxy::broken).sum();
        self.tell(load, &format!("{broken} connections to brokers were broken"));
    }

    pub(crate) async fn counts(&self) -> Value {
        self.client().get("/api/v1/ledger").await
    }

    /// Both ledgers agree and nothing has grown, after all was found. Ends the processes, and removes what they hold.
    pub(crate) fn end(self) {
        for server in [self.agent.as_ref().expect("it runs"), &self.client().server] {
            let bytes = server.resident_bytes();
            assert!(bytes < MEMORY_BYTES, "a process has {bytes} bytes of memory");
        }
        let said = audit(self.client().server.api(), &self.ports[1]);
        println!("{}", said.lines().rev().take(4).collect::<Vec<_>>().join("\n"));
        self.mark("it is healed");
        self.agent.expect("it runs").stop().unwrap();
        self.collector.expect("it runs").server.stop().unwrap();
        let mut folder = self.folder;
        folder.disable_cleanup(false);
    }
}

/// `weir audit`, which must end well: what it prints.
fn audit(collector: &str, agent: &str) -> String {
    let mut command = Command::new(binary());
    command.args(["audit", "--collector", collector, "--agent", &format!("http://{agent}")]);
    let output = command.env("WEIR_LOG", "warn").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}
