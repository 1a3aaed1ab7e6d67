//! From Kafka into the store: a `weir collector` that finds topics full of spans or of log lines, until all of them are found by a query.
//!
//! The peer of the embedded store is its index alone, fed from memory in this process; that of the search engine is the engine alone, given the same
//! requests. Rates per core are of the collector's process from its start on; what the search engine takes is told beside them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use bytes::Bytes;
use tokio::task::JoinSet;
use weir_bench::bulk::{self, Recorder};
use weir_bench::follow::follow;
use weir_bench::report::{Report, Rounds, median};
use weir_bench::spans::{Generator, SPANS};
use weir_bench::topic::Topic;
use weir_bench::{index, nginx, process};
use weir_model::Signal;
use weir_testkit::kafka::Broker;
use weir_testkit::search::{Engine, SearchServer};
use weir_tests::client::Client;
use weir_tests::server::Server;
use weir_transport::{Batch, Sender};
use weir_transport_kafka::{Config, Kafka, Topics};

/// Traces in a request: what a busy SDK's exporter sends at a time.
const TRACES: u64 = 50;
/// Requests that are sent to Kafka at a time.
const UNDER_WAY: usize = 16;
/// Twice what a collector waits between commits: for so long nothing may have changed in its store.
const QUIET: Duration = Duration::from_secs(4);
/// How many times the peer and the collector take turns.
const ROUNDS: usize = 3;

/// Topics that hold records of one signal.
struct Full {
    signal: Signal,
    name: &'static str,
    records: u64,
    /// Bytes of the lines' texts; 0 of spans.
    text_bytes: u64,
}

impl Full {
    fn topics(&self) -> Topics {
        let topic = |signal: &str| format!("{}-{signal}", self.name);
        Topics {
            logs: topic("logs"),
            spans: topic("spans"),
            metrics: topic("metrics"),
            dead_letters: topic("dead-letters"),
        }
    }

    fn kafka(&self, broker: &Broker) -> anyhow::Result<Kafka> {
        let config = Config { brokers: vec![broker.address()], topics: self.topics(), ..Config::default() };
        Ok(Kafka::new(config)?)
    }

    /// The collector's configuration.
    fn section(&self, broker: &Broker) -> String {
        let Topics { logs, spans, metrics, dead_letters } = self.topics();
        format!(
            "kafka: {{brokers: [\"{}\"], topics: {{logs: {logs}, spans: {spans}, metrics: {metrics}, dead_letters: {dead_letters}}}}}\n",
            broker.address()
        )
    }

    async fn spans(broker: &Broker, name: &'static str, count: u64) -> anyhow::Result<Self> {
        let full = Self { signal: Signal::Spans, name, records: count, text_bytes: 0 };
        let sender = Arc::new(full.kafka(broker)?.sender(Signal::Spans));
        let mut under_way = JoinSet::new();
        for body in full.requests() {
            if under_way.len() == UNDER_WAY {
                under_way.join_next().await.transpose()?;
            }
            let arrived = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
            let batch = Batch { signal: Signal::Spans, origins: Vec::new(), route: 0, arrived, body };
            let sender = sender.clone();
            under_way.spawn(async move { sender.send(batch).await.expect("the broker takes it") });
        }
        under_way.join_all().await;
        Ok(full)
    }

    /// The spans as they were sent.
    fn requests(&self) -> impl Iterator<Item = Bytes> + use<> {
        let mut generator = Generator::new(self.records / SPANS, 1);
        std::iter::from_fn(move || generator.request(TRACES))
    }

    /// Access lines, as the agent reads and parses them.
    async fn logs(broker: &Broker, name: &'static str, megabytes: u64) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let files: Vec<PathBuf> = (0..FILES).map(|n| folder.path().join(format!("access-{n}.log"))).collect();
        let mut lines = 0;
        for (seed, file) in files.iter().enumerate() {
            let mut out = BufWriter::new(File::create(file)?);
            let written = nginx::write_combined(&mut out, megabytes * 1_000_000 / FILES, seed as u64)?;
            out.flush()?;
            lines += written / nginx::LINE as u64;
        }
        let text_bytes = lines * (nginx::LINE as u64 - 1);
        let full = Self { signal: Signal::Logs, name, records: lines, text_bytes };
        let followed = follow(&files, Arc::new(full.kafka(broker)?.sender(Signal::Logs))).await?;
        ensure!(followed.records == lines, "{} of {lines} lines were sent", followed.records);
        Ok(full)
    }

    /// What a rate counts, a second: spans, or megabytes of lines.
    fn per_second(&self, time: Duration) -> f64 {
        let amount = if self.text_bytes > 0 { self.text_bytes as f64 / 1e6 } else { self.records as f64 };
        amount / time.as_secs_f64()
    }

    fn unit(&self) -> &'static str {
        if self.text_bytes > 0 { "MB/s" } else { "spans/s" }
    }

    fn heading(&self, store: &str) -> String {
        match self.text_bytes {
            0 => format!("{} spans from Kafka to {store}", self.records),
            bytes => format!(
                "{} access lines, {:.0} MB of text, from Kafka to {store}",
                self.records,
                bytes as f64 / 1e6
            ),
        }
    }

    /// Lets a collector store everything.
    async fn collect(&self, config: &str) -> anyhow::Result<Collected> {
        let folder = tempfile::tempdir()?;
        let begun = Instant::now();
        let client = Client::new(Server::role("collector", folder.path(), config, &[])?);
        ensure!(client.wait_for_received(self.signal, self.records).await, "the collector went away");
        let embedded = folder.path().join("data/store");
        let ended = if embedded.exists() { process::settled(&embedded, QUIET).await } else { Instant::now() };
        let expected = if self.signal == Signal::Logs { (self.records, 0) } else { (0, self.records) };
        client.wait_for_totals(expected.0, expected.1).await;
        let ended = if embedded.exists() { ended } else { Instant::now() };
        let used = process::cpu(client.server.pid())?;
        let memory = process::memory(client.server.pid())?.1 as f64 / 1e6;
        client.server.stop()?;
        Ok(Collected { used, took: ended - begun, memory })
    }
}

/// Files that lines are in: some for each partition.
const FILES: u64 = 16;

/// What a collector has done.
struct Collected {
    used: Duration,
    took: Duration,
    /// Resident memory at its highest, MB.
    memory: f64,
}

/// Into the embedded store.
pub(crate) async fn tantivy(
    report: &mut Report,
    broker: &Broker,
    thousands: u64,
    megabytes: u64,
) -> anyhow::Result<()> {
    let spans = Full::spans(broker, "tantivy-spans", thousands * 1000).await?;
    let logs = Full::logs(broker, "tantivy-logs", megabytes).await?;
    for (full, floor) in [(spans, 0.35), (logs, 0.35)] {
        let bodies = match full.signal {
            Signal::Spans => full.requests().collect(),
            _ => payloads(broker, &full.topics().logs)?,
        };
        let mut rounds = Rounds::default();
        let (mut clock, mut memory) = (Vec::new(), 0.0_f64);
        while rounds.count() < ROUNDS {
            let alone = tokio::task::block_in_place(|| index::run(full.signal, bodies.iter().cloned()))?;
            ensure!(alone.records == full.records, "{} of {} records", alone.records, full.records);
            let done = full.collect(&full.section(broker)).await?;
            rounds.push(full.per_second(done.used), full.per_second(alone.used));
            clock.push(full.per_second(done.took));
            memory = memory.max(done.memory);
        }
        let unit = full.unit();
        report.heading(&full.heading("the embedded store"));
        report.row("index alone, fed from memory", rounds.peer(), &format!("{unit} per core"));
        report.row("collector, from the topic to committed", rounds.ours(), &format!("{unit} per core"));
        report.floor_of(
            &format!("{} from Kafka / index alone, of {ROUNDS} rounds", full.signal),
            &rounds,
            floor,
        );
        report.row("by the clock until committed", median(clock), unit);
        report.row("resident memory at its highest", memory, "MB");
    }
    Ok(())
}

/// All messages of a topic.
fn payloads(broker: &Broker, topic: &str) -> anyhow::Result<Vec<Bytes>> {
    let mut all = Vec::new();
    Topic::open(broker, topic)?.read(|payload| all.push(Bytes::copy_from_slice(payload)))?;
    Ok(all)
}

/// Into OpenSearch.
pub(crate) async fn opensearch(
    report: &mut Report,
    broker: &Broker,
    thousands: u64,
    megabytes: u64,
) -> anyhow::Result<()> {
    let spans = Full::spans(broker, "search-spans", thousands * 1000).await?;
    let logs = Full::logs(broker, "search-logs", megabytes).await?;
    let engine = SearchServer::start_for_load(&Engine::opensearch());
    for full in [spans, logs] {
        let (signal, unit) = (full.signal, full.unit());
        let config = |url: &str, round: usize| {
            let store =
                format!("store: {{elastic: {{urls: [\"{url}\"], prefix: {signal}{round}, replicas: 0}}}}\n");
            full.section(broker) + &store
        };
        let indices = |round: usize| format!("{signal}{round}-{signal}-*");
        // Its indices and its template are those of all replays.
        let recorder = Recorder::start(&engine.url()).await?;
        full.collect(&config(recorder.url(), 0)).await?;
        let requests = recorder.finish();

        let mut rounds = Rounds::default();
        let (mut per_core, mut engine_used, mut alone_used, mut memory) =
            (Vec::new(), Vec::new(), Vec::new(), 0.0_f64);
        while rounds.count() < ROUNDS {
            let round = rounds.count() + 1;
            bulk::remove(&engine.url(), &indices(0)).await?;
            let before = process::cpu(engine.pid())?;
            let alone = bulk::replay(&engine.url(), &requests, &indices(0), full.records).await?;
            alone_used.push((process::cpu(engine.pid())? - before).as_secs_f64());
            let before = process::cpu(engine.pid())?;
            let done = full.collect(&config(&engine.url(), round)).await?;
            engine_used.push((process::cpu(engine.pid())? - before).as_secs_f64() / done.used.as_secs_f64());
            rounds.push(full.per_second(done.took), full.per_second(alone));
            per_core.push(full.per_second(done.used));
            memory = memory.max(done.memory);
            bulk::remove(&engine.url(), &indices(round)).await?;
        }
        report.heading(&full.heading("OpenSearch"));
        report.row("collector, from the topic to found", median(per_core), &format!("{unit} per core"));
        report.row("processor time of OpenSearch to the collector's", median(engine_used), "times");
        report.row(
            "OpenSearch alone, its processor time",
            full.per_second(Duration::from_secs_f64(median(alone_used))),
            &format!("{unit} per core"),
        );
        report.row("OpenSearch alone, the same `_bulk` requests, by the clock", rounds.peer(), unit);
        report.row("by the clock until found", rounds.ours(), unit);
        report.floor_of(
            &format!("{signal} until found / OpenSearch alone, of {ROUNDS} rounds"),
            &rounds,
            0.25,
        );
        report.row("resident memory of the collector at its highest", memory, "MB");
    }
    Ok(())
}
