//! The whole system in a storm: a generated fleet whose files are rotated all the while is followed by an agent, carried by a real Kafka and
//! stored by a collector, in tantivy or in a real OpenSearch. Under load, at moments that a seed draws, each of them is killed, while proxies in
//! front of the servers harm what passes. In the end everything heals: what went in is found again, exactly, and both ends' ledgers say so.
//!
//! Among what goes in is what can't be stored, ever or for now: it is among the dead letters, and nothing else is. Sent again twice, what can be
//! stored by then is there once. And stack traces are written in two goes with a kill of the agent in between: each is whole, or cut there.
//!
//! The seed is printed; `WEIR_TEST_SEED` takes it again. It decides what is made and what happens, while the machine decides how far each part has
//! come by then. `WEIR_TEST_BLOWS` is how often something is killed, `WEIR_TEST_BROKERS` how many brokers there are.

mod letters;
mod pauses;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::task::{JoinHandle, block_in_place};
use weir_testkit::free_port;
use weir_testkit::kafka::{Admin, Cluster};
use weir_testkit::proxy::{Fault, Proxy};
use weir_testkit::search::{Engine, SearchServer};
use weir_tests::client::{Client, LOOK_EVERY};
use weir_tests::found;
use weir_tests::generator::{Fleet, agent_section};
use weir_tests::http::Http;
use weir_tests::letters::dlq;
use weir_tests::server::{Server, binary};

use letters::{Expected, Strays};
use pauses::Pauses;

/// The storm where none is asked for.
const SEED: u64 = 12;
/// Partitions of each topic in the beginning, and how many more it gets in the middle.
const PARTITIONS: usize = 3;
const MORE_PARTITIONS: usize = 2;
/// Memory that neither agent nor collector may have in the end, bytes.
const MEMORY_BYTES: u64 = 512 << 20;
/// Calls before the agent starts.
const BEFORE: usize = 60;
/// Pause between two calls of the fleet.
const PACE: Duration = Duration::from_millis(30);
/// Calls that the fleet makes by itself, however long something takes to start.
const AHEAD: u64 = 40;
/// Calls for each of which a file is rotated once.
const ROTATE: u32 = 12;
/// Calls for each of which someone puts a stray into Kafka.
const STRAY: u64 = 15;

fn number(variable: &str, default: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(default, |given| given.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// A fleet that goes on making calls until it is told to stop.
struct Load {
    /// Calls so far, and how many there may be.
    calls: Arc<AtomicU64>,
    allowed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    running: JoinHandle<(Fleet, Strays)>,
}

impl Load {
    fn start(mut fleet: Fleet, seed: u64, otlp: String, mut strays: Strays) -> Self {
        let (calls, allowed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(AHEAD)));
        let stop = Arc::new(AtomicBool::new(false));
        let (count, most, stopped) = (calls.clone(), allowed.clone(), stop.clone());
        let running = tokio::spawn(async move {
            let (http, mut chance) = (Http::default(), StdRng::seed_from_u64(seed));
            while !stopped.load(Ordering::Relaxed) {
                let call = count.load(Ordering::Relaxed);
                if call < most.load(Ordering::Relaxed) {
                    fleet.step();
                    if call.is_multiple_of(STRAY) {
                        strays.send(fleet.stray());
                    }
                    if chance.random_ratio(1, ROTATE) {
                        fleet.rotate();
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                }
                send(&mut fleet, &http, &otlp).await;
                tokio::time::sleep(PACE).await;
            }
            (fleet, strays)
        });
        Self { calls, allowed, stop, running }
    }

    /// Waits until so many more calls were made.
    async fn goes_on(&self, calls: u64) {
        let until = self.calls.load(Ordering::Relaxed) + calls;
        self.allowed.store(until + AHEAD, Ordering::Relaxed);
        while self.calls.load(Ordering::Relaxed) < until {
            assert!(!self.running.is_finished(), "the fleet has failed");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn stop(self) -> (Fleet, Strays) {
        self.stop.store(true, Ordering::Relaxed);
        self.running.await.unwrap()
    }
}

/// Sends what is ready. False when the agent is gone; what it did not acknowledge is sent again later.
async fn send(fleet: &mut Fleet, http: &Http, otlp: &str) -> bool {
    while let Some(request) = fleet.request() {
        if !http.export_spans(otlp, &request).await {
            fleet.again(request);
            return false;
        }
    }
    true
}

/// What can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Agent,
    Collector,
    Broker,
    SearchEngine,
}

/// Everything that can happen to what passes a proxy.
fn faults(chance: &mut StdRng) -> Vec<Fault> {
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
struct Search {
    server: SearchServer,
    proxy: Proxy,
}

/// Everything that can be harmed.
struct System {
    folder: tempfile::TempDir,
    begun: Instant,
    kafka: Cluster,
    proxies: Vec<Proxy>,
    search: Option<Search>,
    /// Where the agent takes spans, and tells of itself.
    ports: [String; 2],
    agent: Option<Server>,
    collector: Option<Client>,
    pauses: Pauses,
}

impl System {
    /// Without its agent.
    fn start(folder: tempfile::TempDir, brokers: usize, with_search: bool) -> Self {
        let (kafka, proxies) = Cluster::start_behind_proxies(brokers);
        let search = with_search.then(|| {
            let server = SearchServer::start(&Engine::opensearch(), &[]);
            let proxy = Proxy::start(server.port());
            Search { server, proxy }
        });
        let ports = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
        let mut system = Self {
            pauses: Pauses::create(&folder.path().join("logs")),
            folder,
            begun: Instant::now(),
            kafka,
            proxies,
            search,
            ports,
            agent: None,
            collector: None,
        };
        system.start_collector();
        system
    }

    fn brokers(&self) -> String {
        self.kafka.addresses().join(",")
    }

    fn path(&self, name: &str) -> PathBuf {
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
            r#"{}{}forward:
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
            agent_section(&self.path("logs")),
            self.pauses.sources()
        )
    }

    fn start_agent(&mut self) {
        let [otlp, admin] = &self.ports;
        let env = [("WEIR_AGENT__OTLP_HTTP", otlp.as_str()), ("WEIR_AGENT__ADMIN", admin)];
        self.agent = Some(Server::role("agent", &self.path("agent"), &self.config(), &env).unwrap());
    }

    fn start_collector(&mut self) {
        let server = Server::role("collector", &self.path("collector"), &self.config(), &[]).unwrap();
        self.collector = Some(Client::new(server));
    }

    fn client(&self) -> &Client {
        self.collector.as_ref().expect("it runs")
    }

    fn otlp(&self) -> String {
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

    fn mark(&self, what: &str) {
        println!("{:>6.1} s: {what}", self.begun.elapsed().as_secs_f64());
    }

    fn tell(&self, load: &Load, what: &str) {
        self.mark(&format!("{} calls, {what}", load.calls.load(Ordering::Relaxed)));
    }

    /// Something is killed while what passes is harmed, and all of it heals.
    async fn blow(&mut self, part: Part, fault: Fault, chance: &mut StdRng, load: &Load) {
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
    async fn grow(&self, load: &Load) {
        self.tell(load, "the topics grow");
        let admin = Admin::new(&self.brokers());
        for topic in ["otlp_logs", "otlp_spans"] {
            admin.grow(topic, PARTITIONS + MORE_PARTITIONS).await;
        }
    }

    /// kill -9 of a part, which comes back on what it left behind.
    async fn kill(&mut self, part: Part, chance: &mut StdRng, load: &Load) {
        self.tell(load, &format!("kill the {part:?}"));
        let away = chance.random_range(0..50);
        match part {
            Part::Agent => {
                let open = load.goes_on(chance.random_range(0..10));
                self.pauses.begin(&format!("http://{}", self.ports[1]), open).await;
                self.agent.take().expect("it runs").kill();
                self.pauses.agent_is_away();
                load.goes_on(away).await;
                self.pauses.end();
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

    /// Everything heals: it is found, or among the dead letters, and the ledgers of both ends agree.
    async fn heals(self, fleet: &Fleet, expected: Expected) {
        let (lines, spans) = (fleet.ledger.lines.len() as u64, fleet.ledger.spans.len() as u64);
        let later = expected.lines.len() as u64;
        self.client().wait_for_totals(lines - later, spans).await;
        self.mark("what can be found is found");
        let config = self.path("collector").join("collector.yaml");
        let letters = expected.wait(&config).await;
        let (strays, storable) = (letters.strays.len(), letters.storable.len());
        self.mark(&format!("{strays} letters of strays, {storable} that can be stored"));

        if let Some(search) = &self.search {
            letters::mend(&search.server.url()).await;
        }
        let before = self.counts().await;
        let said = dlq(&config, &["replay"]);
        let all = letters.strays.len() + letters.storable.len();
        assert!(said.contains(&format!("{all} dead letters were sent again")), "{said}");
        self.mark("the letters are sent again");
        found::everything(self.client(), &fleet.ledger).await;
        found::by_traces(self.client(), &fleet.ledger, 25).await;
        self.mark("everything is found");
        let back = letters::come_back(&config, &letters.strays).await;
        let refused: u64 = back.iter().map(|letter| letter.records).sum();
        self.client()
            .wait("/api/v1/ledger", |ledger| {
                let [logs, spans] = ["logs", "spans"].map(|signal| counts(ledger, signal));
                let [logs_before, spans_before] = ["logs", "spans"].map(|signal| counts(&before, signal));
                logs.0 == logs_before.0 + later
                    && (logs.2, spans.0) == (logs_before.2, spans_before.0)
                    && spans.2 == spans_before.2 + refused
            })
            .await;

        self.mark("strays have come back");

        // Twice more, by name: they are known.
        let before = counts(&self.counts().await, "logs");
        let ids = letters.storable.iter().flat_map(|letter| [letter.id.as_str(); 2]);
        dlq(&config, &["replay"].into_iter().chain(ids).collect::<Vec<_>>());
        let known = letters.storable.iter().map(|letter| 2 * letter.records).sum::<u64>();
        let ledger = self.client().wait("/api/v1/ledger?limit=1000", |ledger| {
            let holes = |source: &Value| source["holes"].as_array().is_some_and(Vec::is_empty);
            counts(ledger, "logs").1 >= before.1 + known
                && ledger["sources"].as_array().expect("a list").iter().all(holes)
        });
        for records in ledger.await["records"].as_array().expect("a list") {
            assert_eq!(records["lostBatches"], 0, "{records}");
        }
        self.client().wait_for_totals(lines, spans).await;
        assert_eq!(weir_tests::letters::letters(&config), back);

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

    async fn counts(&self) -> Value {
        self.client().get("/api/v1/ledger").await
    }
}

/// How many records of a signal a ledger says were stored, came again, and were refused.
fn counts(ledger: &Value, signal: &str) -> (u64, u64, u64) {
    let mut rows = ledger["records"].as_array().expect("a list").iter();
    let row = rows.find(|row| row["signal"] == signal).expect("each signal");
    let count = |name: &str| row[name].as_u64().expect("a count");
    (count("stored"), count("duplicate"), count("refused"))
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

async fn storm(with_search: bool) {
    let brokers = number("WEIR_TEST_BROKERS", 1) as usize;
    let seed = number("WEIR_TEST_SEED", SEED);
    println!("WEIR_TEST_SEED={seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    // What it fails on is kept.
    let mut folder = tempfile::tempdir().unwrap();
    folder.disable_cleanup(true);
    println!("in {}", folder.path().display());
    for name in ["agent", "collector", "logs"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let mut fleet = Fleet::new(seed, &folder.path().join("logs"));
    (0..BEFORE).for_each(|_| fleet.step());
    let gone = fleet.gone();
    let mut later = BTreeSet::from([found::key(&gone).expect("it has one")]);
    let mut system = block_in_place(|| System::start(folder, brokers, with_search));
    letters::put(system.kafka.addresses(), &gone).await;
    if let Some(search) = &system.search {
        letters::spoil(&search.server.url()).await;
        later.extend(fleet.archive(letters::archive_day()));
    }
    block_in_place(|| system.start_agent());
    let load = Load::start(fleet, !seed, system.otlp(), Strays::new(&system.brokers()));
    let mut parts = vec![Part::Agent, Part::Collector, Part::Broker];
    parts.extend(with_search.then_some(Part::SearchEngine));
    // Each part, and each fault, before one of them comes again.
    let (mut next, mut harm) = (Vec::new(), Vec::new());
    let blows = number("WEIR_TEST_BLOWS", parts.len() as u64);
    for blow in 0..blows {
        if blow == blows / 2 {
            system.grow(&load).await;
        }
        if next.is_empty() {
            parts.shuffle(&mut chance);
            next = parts.clone();
        }
        if harm.is_empty() {
            harm = faults(&mut chance);
        }
        let (part, fault) = (next.pop().expect("filled"), harm.pop().expect("filled"));
        system.blow(part, fault, &mut chance, &load).await;
    }
    let (mut fleet, strays) = load.stop().await;
    fleet.finish();
    assert!(send(&mut fleet, &Http::default(), &system.otlp()).await, "the agent runs");
    let broken: u64 = system.proxies.iter().map(Proxy::broken).sum();
    println!(
        "{} lines, {} spans, {broken} connections to brokers broken",
        fleet.ledger.lines.len(),
        fleet.ledger.spans.len()
    );
    let expected = Expected { strays: strays.places().await, lines: later };
    let client = system.collector.as_ref().expect("it runs");
    system.pauses.settle(client, &mut fleet.ledger).await;
    println!("{:#?}", fleet.ledger.troubles);
    system.heals(&fleet, expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_in_the_embedded_store() {
    storm(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_in_a_search_engine() {
    storm(true).await;
}
