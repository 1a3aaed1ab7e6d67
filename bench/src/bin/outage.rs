//! What an outage costs: Kafka, or the search engine behind it, is away for half an hour while 5 MB of log lines a second are written.
//!
//! The agent follows files that rotate, and its memory must stay flat; when all is back, each line must be found once. Both outages may happen at
//! a time, each to a fleet of its own: an agent, a broker, a collector.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use weir_bench::process;
use weir_bench::report::Report;
use weir_model::Signal;
use weir_testkit::kafka::Broker;
use weir_testkit::search::{Engine, SearchServer};
use weir_tests::client::Client;
use weir_tests::http::Http;
use weir_tests::server::Server;
use weir_tests::verify::counted;

/// Files that are written at a time, the size at which one is rotated, and how often some lines are written.
const FILES: u64 = 4;
const ROTATED_AT: u64 = 64_000_000;
const EVERY: Duration = Duration::from_millis(50);
/// Bytes of a line with its newline.
const LINE: usize = 416;
/// Rotated files of each kind that are kept where the agent keeps up with them.
const KEPT: u64 = 2;
/// Seconds of writing before the outage and after it, and of the outage until memory counts as settled.
const AROUND: u64 = 20;
const SETTLED: u64 = 60;
/// Megabytes by which an agent or collector may grow during the outage after it has settled.
const GROWTH: f64 = 16.0;
/// Seconds of lines that one query counts: few enough for its time limit, also where millions are written.
const SLICE: i64 = 60;

#[derive(Debug, Parser)]
struct Args {
    /// How long the outage lasts.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Megabytes of log lines a second, for each fleet.
    #[arg(long, default_value_t = 5)]
    rate: u64,
    /// What is away.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Away::Broker, Away::Store])]
    away: Vec<Away>,
}

/// What is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Away {
    /// The broker; the store is tantivy.
    Broker,
    /// OpenSearch as the store.
    Store,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Arc::new(Args::parse());
    let fleets: Vec<_> = args.away.iter().map(|away| tokio::spawn(outage(*away, args.clone()))).collect();
    let mut report = Report::default();
    for (away, fleet) in args.away.iter().zip(fleets) {
        let seen = fleet.await??;
        let what = match away {
            Away::Broker => "Kafka",
            Away::Store => "OpenSearch",
        };
        report.heading(&format!(
            "{what} is away for {} min while {} MB/s are written",
            args.minutes, args.rate
        ));
        seen.tell(&mut report);
    }
    Ok(report.end())
}

/// Resident memory of a process in megabytes: before the outage, at its highest while it settles, and from then on.
#[derive(Debug, Default)]
struct Memory {
    before: f64,
    settled: f64,
    highest: f64,
    /// While what has waited is taken.
    after: f64,
}

impl Memory {
    fn look(&mut self, pid: u32, settling: bool) -> anyhow::Result<()> {
        let now = process::memory(pid)?.0 as f64 / 1e6;
        if settling {
            self.settled = self.settled.max(now);
        }
        self.highest = self.highest.max(now);
        Ok(())
    }

    fn tell(&self, report: &mut Report, role: &str) {
        report.row(&format!("resident memory of the {role} before"), self.before, "MB");
        report.row(&format!("the same in the first {SETTLED} s of the outage"), self.settled, "MB");
        report.row("the same until its end", self.highest, "MB");
        report.limit("growth after the first seconds", self.highest - self.settled, GROWTH, "MB");
        report.row("the same until all is stored", self.after, "MB");
    }
}

#[derive(Debug)]
struct Seen {
    lines: u64,
    found: u64,
    sources: Vec<(String, u64, u64)>,
    holes: usize,
    lost_batches: u64,
    agent: Memory,
    collector: Memory,
    drained: Duration,
}

impl Seen {
    fn tell(&self, report: &mut Report) {
        self.agent.tell(report, "agent");
        self.collector.tell(report, "collector");
        report.row("from its end until all is stored", self.drained.as_secs_f64(), "s");
        report.row("lines written", self.lines as f64, "");
        report.row("lines found", self.found as f64, "");
        let differ = self.sources.iter().filter(|(_, written, found)| written != found).count();
        report.limit("sources of which more or fewer lines are found than written", differ as f64, 0.0, "");
        report.limit("holes in what is stored of the files", self.holes as f64, 0.0, "");
        report.limit("batches that the collector counts as lost", self.lost_batches as f64, 0.0, "");
    }
}

async fn outage(away: Away, args: Arc<Args>) -> anyhow::Result<Seen> {
    let dir = tempfile::tempdir()?;
    for name in ["agent", "collector", "logs"] {
        std::fs::create_dir(dir.path().join(name))?;
    }
    let mut broker = Broker::start(&[]);
    let mut engine = (away == Away::Store).then(|| SearchServer::start_for_load(&Engine::opensearch()));
    let store = match &engine {
        Some(engine) => format!("store:\n  elastic:\n    urls: [\"{}\"]\n    replicas: 0\n", engine.url()),
        None => String::new(),
    };
    let logs = dir.path().join("logs");
    let config = format!(
        "agent:\n  host_metrics: 0s\n  sources:\n    - include: [\"{}/*.log\"]\n      start: beginning\nforward: {{ to: kafka }}\nkafka:\n  brokers: [\"{}\"]\n{store}",
        logs.display(),
        broker.address(),
    );
    let collector = Client::new(Server::role("collector", &dir.path().join("collector"), &config, &[])?);
    let agent = Server::role("agent", &dir.path().join("agent"), &config, &[])?;
    let pids = [agent.pid(), collector.server.pid()];

    let stop = Arc::new(AtomicBool::new(false));
    let first = jiff::Timestamp::now();
    // Where Kafka takes all in time, a rotated file is soon done with.
    let kept = if away == Away::Broker { u64::MAX } else { KEPT };
    let writer = Writer::new(&logs, args.rate * 1_000_000, kept, stop.clone())?;
    let writing = std::thread::spawn(move || writer.run());
    tokio::time::sleep(Duration::from_secs(AROUND)).await;
    let mut memory = [Memory::default(), Memory::default()];
    for (memory, pid) in memory.iter_mut().zip(pids) {
        memory.before = process::memory(pid)?.0 as f64 / 1e6;
    }

    match &mut engine {
        Some(engine) => engine.kill(),
        None => broker.kill(),
    }
    let (begun, lasts) = (Instant::now(), Duration::from_secs(args.minutes * 60));
    while begun.elapsed() < lasts {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for (memory, pid) in memory.iter_mut().zip(pids) {
            memory.look(pid, begun.elapsed().as_secs() < SETTLED)?;
        }
        ensure!(!writing.is_finished(), "nothing is written any more");
    }
    match &mut engine {
        Some(engine) => engine.resume(),
        None => broker.resume(),
    }
    let back = Instant::now();
    tokio::time::sleep(Duration::from_secs(AROUND)).await;
    stop.store(true, Ordering::Relaxed);
    let written = writing.join().expect("the writer does not panic")?;
    let lines: u64 = written.iter().sum();
    // As long as the outage again and some minutes, for a machine that has other work.
    let patience = lasts * 2 + Duration::from_secs(600);
    while collector.received(Signal::Logs).await.context("the collector is gone")? < lines {
        ensure!(back.elapsed() < patience, "not all of {lines} lines came to the collector in {patience:?}");
        for (memory, pid) in memory.iter_mut().zip(pids) {
            memory.after = memory.after.max(process::memory(pid)?.0 as f64 / 1e6);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let drained = back.elapsed();
    agent.stop()?;
    let last = jiff::Timestamp::now();
    // A search engine that has just taken so much may be too busy at first, and shows what is new after a second.
    let (found, counts) = loop {
        match found(&collector, first, last).await {
            Ok(seen) if seen.0 >= lines => break seen,
            Ok(seen) if back.elapsed() > patience => break seen,
            Err(error) if back.elapsed() > patience => return Err(error),
            _ => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    };
    let ledger = collector.get("/api/v1/ledger").await;
    let list = |key: &str| ledger[key].as_array().cloned().unwrap_or_default();
    let holes = list("sources").iter().filter_map(|source| source["holes"].as_array().map(Vec::len)).sum();
    let lost_batches = list("records").iter().filter_map(|records| records["lostBatches"].as_u64()).sum();
    let sources = (0..FILES)
        .map(|n| (n.to_string(), written[n as usize], counts.get(&n.to_string()).copied().unwrap_or(0)))
        .collect();
    let [agent, seen] = memory;
    collector.server.stop()?;
    Ok(Seen { lines, found, sources, holes, lost_batches, agent, collector: seen, drained })
}

/// Lines of a time that are found, and those of each source.
async fn found(
    collector: &Client,
    first: jiff::Timestamp,
    last: jiff::Timestamp,
) -> anyhow::Result<(u64, BTreeMap<String, u64>)> {
    let (http, api) = (Http::default(), collector.server.api());
    let (mut total, mut sources) = (0, BTreeMap::new());
    for from in (first.as_second()..=last.as_second()).step_by(SLICE as usize) {
        let nanos = |seconds: i64| seconds * 1_000_000_000;
        let (from, to) = (nanos(from), nanos(from + SLICE));
        let url = format!("{api}/api/v1/logs/groups?q=&by=source&limit=100&from={from}&to={to}");
        let (lines, counts) = counted(&http.get_json(&url).await?);
        total += lines;
        counts.into_iter().for_each(|(source, lines)| *sources.entry(source).or_default() += lines);
    }
    Ok((total, sources))
}

/// Writes lines of logfmt at a steady rate into files that it rotates by renaming.
struct Writer {
    logs: PathBuf,
    rate: u64,
    kept: u64,
    stop: Arc<AtomicBool>,
    files: Vec<Rotating>,
}

struct Rotating {
    out: BufWriter<File>,
    bytes: u64,
    rotations: u64,
    lines: u64,
}

impl Writer {
    fn new(logs: &Path, rate: u64, kept: u64, stop: Arc<AtomicBool>) -> anyhow::Result<Self> {
        let open = |n| Rotating::open(&logs.join(format!("{n}.log")));
        let files = (0..FILES).map(open).collect::<Result<_, _>>()?;
        Ok(Self { logs: logs.to_owned(), rate, kept, stop, files })
    }

    /// Writes until it is told to stop; returns how many lines each file has got.
    fn run(mut self) -> anyhow::Result<Vec<u64>> {
        let (begun, mut written) = (Instant::now(), 0);
        let mut line = Vec::with_capacity(LINE);
        while !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(EVERY);
            let due = (begun.elapsed().as_secs_f64() * self.rate as f64) as u64;
            while written < due {
                for n in 0..FILES {
                    let file = &mut self.files[n as usize];
                    line.clear();
                    write_line(&mut line, n, file.lines);
                    file.out.write_all(&line)?;
                    file.lines += 1;
                    file.bytes += line.len() as u64;
                    written += line.len() as u64;
                }
            }
            for n in 0..FILES {
                self.files[n as usize].out.flush()?;
                if self.files[n as usize].bytes >= ROTATED_AT {
                    self.rotate(n).with_context(|| format!("rotating file {n}"))?;
                }
            }
        }
        Ok(self.files.iter().map(|file| file.lines).collect())
    }

    fn rotate(&mut self, n: u64) -> anyhow::Result<()> {
        let file = &mut self.files[n as usize];
        let name = |rotation: u64| self.logs.join(format!("{n}.log.{rotation}"));
        let path = self.logs.join(format!("{n}.log"));
        std::fs::rename(&path, name(file.rotations))?;
        if let Some(old) = file.rotations.checked_sub(self.kept) {
            std::fs::remove_file(name(old))?;
        }
        let (lines, rotations) = (file.lines, file.rotations + 1);
        *file = Rotating { lines, rotations, ..Rotating::open(&path)? };
        Ok(())
    }
}

impl Rotating {
    fn open(path: &Path) -> anyhow::Result<Self> {
        Ok(Self { out: BufWriter::new(File::create(path)?), bytes: 0, rotations: 0, lines: 0 })
    }
}

/// Appends a line that says where it stands, and has as many words as lines of its length have.
fn write_line(line: &mut Vec<u8>, source: u64, number: u64) {
    let now = jiff::Timestamp::now();
    // Writing into memory does not fail.
    let _ = write!(line, "time={now:.9} level=info source={source} number={number} msg=\"");
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ source;
    while line.len() < LINE - 12 {
        mixed = mixed.rotate_left(23).wrapping_mul(0xbb67_ae85_84ca_a73b);
        line.extend_from_slice(WORDS[mixed as usize % WORDS.len()].as_bytes());
        line.push(b' ');
    }
    line.extend_from_slice(b"end\"\n");
}

const WORDS: [&str; 16] = [
    "order", "payment", "accepted", "basket", "customer", "timeout", "retry", "shipped", "queue", "stock",
    "price", "checked", "invoice", "refund", "session", "gateway",
];
