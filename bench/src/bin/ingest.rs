//! How fast spans and log lines get from the door into the store, what they take on disk, and how fast they are found.
//!
//! The peer is the index alone, fed from memory in this process. All rates are per CPU-second (user and system) of the weir processes; the
//! generator does not count.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use clap::{Parser, ValueEnum};
use weir_bench::follow::follow;
use weir_bench::report::{Report, Rounds, mb_per_second};
use weir_bench::spans::{Generator, KEYS, SPANS, VALUES};
use weir_bench::{cpu, index, load, process};
use weir_disk::RealDisk;
use weir_model::Signal;
use weir_model::otlp::Groups;
use weir_store::Writer;
use weir_store_tantivy::{Settings, TantivyStore};
use weir_tests::client::Client;
use weir_tests::server::Server;
use weir_tests::trainticket::TrainTicket;
use weir_transport::{Batch, Epoch, Lane, Position, SendError, Sender};

/// Traces in a request: what a busy SDK's exporter sends at a time.
const TRACES: u64 = 50;
/// Spans in a request of Train Ticket's.
const TICKET_SPANS: usize = 500;
/// Bytes after which the store commits, as the collector's default.
const COMMIT_BYTES: u64 = 64 << 20;
/// Seconds between commits, as the collector's default, and seconds of a shard: spans that come slowly are committed a few at a time.
const COMMIT_EVERY: u64 = 2;
const SHARD_AGE: u64 = 3600;
/// Where a server's store lies in its folder, and for how long nothing of it may have changed when everything is committed.
const STORE: &str = "data/store";
const QUIET: Duration = Duration::from_secs(2 * COMMIT_EVERY);
/// Copies of Train Ticket's files that are followed: once is too little to measure beside starting.
const COPIES: u64 = 4;
/// How many times the peer and the whole way take turns, for log lines and, below [`FULL`], for spans.
const LOG_ROUNDS: usize = 5;
const SPAN_ROUNDS: usize = 3;
/// Everything, for as long as the generated data reaches.
const ALL: &str = "from=0&to=4000000000000000000";
/// Spans from which on the times of queries have limits.
const FULL: u64 = 10_000_000;

#[derive(Debug, Parser)]
struct Args {
    /// Thousands of spans.
    #[arg(long, default_value_t = 1000)]
    thousands: u64,
    /// Queries of each kind.
    #[arg(long, default_value_t = 1000)]
    queries: u64,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Spans from the door into the store.
    Spans,
    /// The same of log lines in files.
    Logs,
    /// Bytes on disk of spans that come slowly.
    Slow,
    /// Queries over HTTP.
    Queries,
}

impl Args {
    fn does(&self, parts: &[Part]) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| parts.contains(part))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut report = Report::default();
    if args.does(&[Part::Spans, Part::Slow, Part::Queries]) {
        generated(&mut report, &args).await?;
    }
    let folder = tempfile::tempdir()?;
    if let Some(set) = TrainTicket::load(folder.path()) {
        if args.does(&[Part::Spans, Part::Slow]) {
            ticket_spans(&mut report, &set, &args).await?;
        }
        if args.does(&[Part::Logs, Part::Queries]) {
            ticket_logs(&mut report, &set, &args).await?;
        }
    }
    Ok(report.end())
}

/// Spans in the shape of Jaeger's ClickHouse benchmark.
async fn generated(report: &mut Report, args: &Args) -> anyhow::Result<()> {
    let (spans, queries) = (args.thousands * 1000, args.queries);
    let traces = spans / SPANS;
    let requests = |size: u64, seed| {
        let mut generator = Generator::new(traces, seed);
        std::iter::from_fn(move || generator.request(size))
    };
    report.heading(&format!("{spans} spans in the shape of Jaeger's ClickHouse benchmark"));
    if args.does(&[Part::Spans, Part::Slow]) {
        let (used, bulk) = store(spans, requests(TRACES, 1), |pending, _| pending >= COMMIT_BYTES).await?;
        report.row("store alone, fed from memory", spans as f64 / used.as_secs_f64(), "spans/s per core");
        report.limit("on disk, in bulk, sealed", bulk, 95.0, "bytes a span");
        if args.does(&[Part::Slow]) {
            for rate in [10, 100] {
                slow(report, rate, traces, bulk, 95.0, requests(1, 1)).await?;
            }
        }
    }
    if !args.does(&[Part::Spans, Part::Queries]) {
        return Ok(());
    }

    let mut rounds = Rounds::default();
    let count = if spans < FULL { SPAN_ROUNDS } else { 1 };
    let (folder, client, acknowledged, full) = loop {
        let alone = tokio::task::block_in_place(|| index::run(Signal::Spans, requests(TRACES, 1)))?;
        let folder = tempfile::tempdir()?;
        let client = up(folder.path(), "")?;
        let before = process::cpu(client.server.pid())?;
        let begun = Instant::now();
        let acknowledged = load::send(client.server.otlp(), requests(TRACES, 1)).await?;
        assert!(client.wait_for_received(Signal::Spans, spans).await, "the server runs");
        let taken = process::settled(&folder.path().join(STORE), QUIET).await - begun;
        let used = process::cpu(client.server.pid())? - before;
        rounds.push(spans as f64 / used.as_secs_f64(), spans as f64 / alone.used.as_secs_f64());
        if rounds.count() == count {
            break (folder, client, acknowledged, spans as f64 / taken.as_secs_f64());
        }
        client.server.stop()?;
    };
    report.row("index alone, fed from memory", rounds.peer(), "spans/s per core");
    report.row("end to end, OTLP/HTTP to committed", rounds.ours(), "spans/s per core");
    report.floor_of(&format!("spans end to end / index alone, of {count} rounds"), &rounds, 0.4);
    report.row(
        "end to end, by the clock until acknowledged",
        spans as f64 / acknowledged.as_secs_f64(),
        "spans/s",
    );
    report.row("end to end, by the clock until committed", full, "spans/s");
    let bytes = process::folder_bytes(&folder.path().join("data/store/spans"))?;
    report.row("on disk, open shard", bytes as f64 / spans as f64, "bytes a span");
    report.row("resident memory at its highest", process::memory(client.server.pid())?.1 as f64 / 1e6, "MB");
    if !args.does(&[Part::Queries]) {
        return client.server.stop();
    }

    let limited = spans >= FULL;
    report.heading(&format!("queries over HTTP at rest, {queries} of each kind"));
    span_queries(report, &client, traces, queries, limited.then_some([5.0, 20.0])).await;
    let pause = Duration::from_secs_f64((TRACES * SPANS) as f64 / (full / 2.0));
    // Half of full ingest, with traces of their own.
    let mut more = Generator::new(u64::MAX, 2).beginning_at(traces);
    let more = std::iter::from_fn(move || more.request(TRACES));
    let busy = tokio::spawn(load::pace(client.server.otlp().to_owned(), more, pause));
    report.heading(&format!("queries while {:.0} spans/s come in", full / 2.0));
    span_queries(report, &client, traces, queries, limited.then_some([15.0, 60.0])).await;
    busy.abort();
    client.server.stop()
}

/// Train Ticket's spans by OTLP.
async fn ticket_spans(report: &mut Report, set: &TrainTicket, args: &Args) -> anyhow::Result<()> {
    let spans = set.spans.len() as u64;
    let requests = set.requests(TICKET_SPANS, 1);
    report.heading(&format!("Train Ticket's {spans} spans"));
    let bulk = store(spans, requests.iter().cloned(), |pending, _| pending >= COMMIT_BYTES).await?.1;
    report.limit("on disk, in bulk, sealed", bulk, 35.0, "bytes a span");
    if args.does(&[Part::Slow]) {
        for rate in [10, 100] {
            slow(report, rate, spans / SPANS, bulk, 35.0, set.requests(SPANS as usize, 1).into_iter())
                .await?;
        }
    }
    if !args.does(&[Part::Spans]) {
        return Ok(());
    }
    let alone = tokio::task::block_in_place(|| index::run(Signal::Spans, requests.iter().cloned()))?;
    let alone = spans as f64 / alone.used.as_secs_f64();
    report.row("index alone, fed from memory", alone, "spans/s per core");
    let folder = tempfile::tempdir()?;
    let client = up(folder.path(), "")?;
    let before = process::cpu(client.server.pid())?;
    load::send(client.server.otlp(), requests.into_iter()).await?;
    assert!(client.wait_for_received(Signal::Spans, spans).await, "the server runs");
    process::settled(&folder.path().join(STORE), QUIET).await;
    let used = process::cpu(client.server.pid())? - before;
    report.row("end to end, OTLP/HTTP to committed", spans as f64 / used.as_secs_f64(), "spans/s per core");
    client.server.stop()
}

/// Train Ticket's log files, followed.
async fn ticket_logs(report: &mut Report, set: &TrainTicket, args: &Args) -> anyhow::Result<()> {
    let count = set.lines.len() as u64 * COPIES;
    let files = copies(set)?;
    report.heading(&format!("{COPIES} times Train Ticket's log lines, {count}; megabytes of their texts"));
    let bodies = Arc::new(Kept::default());
    follow(&files, bodies.clone()).await?;
    let bodies = std::mem::take(&mut *bodies.0.lock().expect("no panic while locked"));
    let mut rounds = Rounds::default();
    let (folder, client, text, taken) = loop {
        let alone = tokio::task::block_in_place(|| index::run(Signal::Logs, bodies.iter().cloned()))?;
        anyhow::ensure!(alone.records == count, "the agent took {} of {count} lines", alone.records);
        let text = alone.text_bytes;
        let folder = tempfile::tempdir()?;
        let begun = Instant::now();
        let client = up(folder.path(), &set.source())?;
        assert!(client.wait_for_received(Signal::Logs, count).await, "the server runs");
        let taken = process::settled(&folder.path().join(STORE), QUIET).await - begun;
        // Starting counts as well: the files are read from the first moment on.
        rounds.push(mb_per_second(text, process::cpu(client.server.pid())?), mb_per_second(text, alone.used));
        if rounds.count() == LOG_ROUNDS {
            break (folder, client, text, taken);
        }
        client.server.stop()?;
    };
    report.row("index alone, fed from memory", rounds.peer(), "MB/s per core");
    report.row("end to end, from the files to committed", rounds.ours(), "MB/s per core");
    report.floor_of(&format!("log lines end to end / index alone, of {LOG_ROUNDS} rounds"), &rounds, 0.55);
    report.row("by the clock until committed", text as f64 / 1e6 / taken.as_secs_f64(), "MB/s");
    let bytes = process::folder_bytes(&folder.path().join("data/store/logs"))?;
    report.row("on disk, open shard", bytes as f64 / text as f64 * 100.0, "bytes per 100 of text");
    report.row("resident memory at its highest", process::memory(client.server.pid())?.1 as f64 / 1e6, "MB");
    if !args.does(&[Part::Queries]) {
        return client.server.stop();
    }

    let queries = args.queries;
    report.heading(&format!("queries of log lines over HTTP at rest, {queries} of each kind"));
    let words = ["ticket", "order", "station", "price", "route", "seat", "token", "user"];
    let word = |n: u64| format!("/api/v1/logs?q={}&limit=20&{ALL}", words[n as usize % words.len()]);
    times(report, "newest 20 with a word", load::ask(&client, queries, word).await, None);
    let lines = &set.lines;
    let trace = |n: u64| format!("/api/v1/traces/{}", lines[n as usize * 7919 % lines.len()].trace);
    times(report, "a trace that has only lines, by id", load::ask(&client, queries, trace).await, None);
    client.server.stop()
}

/// Train Ticket's files and copies of them beside them, under other names of the same form.
fn copies(set: &TrainTicket) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(&set.logs_dir)?.collect::<Result<Vec<_>, _>>()? {
        let name = entry.file_name().into_string().expect("the set's names are ASCII");
        files.push(entry.path());
        for copy in 1..COPIES {
            let path = set.logs_dir.join(format!("copy{copy}.{name}"));
            fs::copy(entry.path(), &path)?;
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Puts requests into a store and lets it commit when `due` of the pending bytes and the spans since the last commit says so. Returns the
/// processor time and the bytes a span takes when the shard is sealed.
async fn store(
    spans: u64,
    requests: impl Iterator<Item = Bytes>,
    due: impl Fn(u64, u64) -> bool,
) -> anyhow::Result<(Duration, f64)> {
    let folder = tempfile::tempdir()?;
    // Full exactly with the last span: the commit that has it seals the shard.
    let settings = Settings { shard_records: spans, ..Settings::default() };
    let store = TantivyStore::open(Arc::new(RealDisk), folder.path(), settings)?;
    let lane = Lane { signal: Signal::Spans, partition: 0 };
    store.begin(lane, Epoch(1)).await?;
    let (mut used, mut waiting, mut position) = (Duration::ZERO, 0, 0);
    for body in requests {
        waiting += Groups::new(&body).map(|group| group.records().count() as u64).sum::<u64>();
        let before = cpu::used();
        let arrived = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
        let batch = Batch { signal: Signal::Spans, origins: Vec::new(), route: 0, arrived, body };
        let written = store.write(lane, Epoch(1), &[(Position(position), batch)]).await?;
        position += 1;
        if due(written.pending_bytes, waiting) {
            store.sync(Signal::Spans).await?;
            waiting = 0;
        }
        used += cpu::used() - before;
    }
    let before = cpu::used();
    store.sync(Signal::Spans).await?;
    store.wait_until_sealed(Signal::Spans).await;
    used += cpu::used() - before;
    anyhow::ensure!(store.stats(Signal::Spans).shards == 2, "the shard is sealed");
    Ok((used, process::folder_bytes(&folder.path().join("spans"))? as f64 / spans as f64))
}

/// An hour of spans that come slowly, one trace at a time, with the commits that the clock would have caused.
async fn slow(
    report: &mut Report,
    rate: u64,
    traces: u64,
    bulk: f64,
    limit: f64,
    requests: impl Iterator<Item = Bytes>,
) -> anyhow::Result<()> {
    let traces = traces.min(rate * SHARD_AGE / SPANS);
    let spans = traces * SPANS;
    let every = rate * COMMIT_EVERY;
    let bytes = store(spans, requests.take(traces as usize), |_, waiting| waiting >= every).await?.1;
    let name = format!("on disk, {spans} at {rate} a second, sealed; {:.2} of bulk", bytes / bulk);
    report.limit(&name, bytes, 1.3 * limit, "bytes a span");
    Ok(())
}

/// A `weir up` that follows only these sources.
fn up(dir: &Path, sources: &str) -> anyhow::Result<Client> {
    let sources = if sources.is_empty() { " []".to_owned() } else { format!("\n{sources}") };
    Ok(Client::new(Server::start(dir, &format!("agent:\n  host_metrics: 0s\n  sources:{sources}\n"))?))
}

/// `limits` are milliseconds for a trace by id and an attribute, 99th percentile.
async fn span_queries(
    report: &mut Report,
    client: &Client,
    traces: u64,
    count: u64,
    limits: Option<[f64; 2]>,
) {
    let by_id = |n: u64| format!("/api/v1/traces/{}", Generator::trace_id(n * 7919 % traces));
    let attribute = |n: u64| {
        let (key, value) = (n as usize % KEYS, n as u32 * 31 % VALUES);
        format!("/api/v1/traces?q=key-{key}%3Dvalue-{value}&limit=20&{ALL}")
    };
    let service = |n: u64| format!("/api/v1/traces?q=service%3Dservice-{}&limit=20&{ALL}", n % 10);
    let duration = |_: u64| format!("/api/v1/traces?q=duration%3E700ms&limit=20&{ALL}");
    let [first, second] = limits.map_or([None, None], |limits| limits.map(Some));
    times(report, "a trace by id", load::ask(client, count, by_id).await, first);
    times(report, "newest 20 with an attribute", load::ask(client, count, attribute).await, second);
    times(report, "newest 20 of a service", load::ask(client, count, service).await, None);
    times(report, "newest 20 longer than 700 ms", load::ask(client, count, duration).await, None);
}

fn times(report: &mut Report, name: &str, (p50, p99): (Duration, Duration), limit: Option<f64>) {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    report.row(&format!("{name}, p50"), ms(p50), "ms");
    match limit {
        Some(limit) => report.limit(&format!("{name}, p99"), ms(p99), limit, "ms"),
        None => report.row(&format!("{name}, p99"), ms(p99), "ms"),
    }
}

/// Keeps the bodies that it takes.
#[derive(Default)]
struct Kept(Mutex<Vec<Bytes>>);

#[async_trait]
impl Sender for Kept {
    async fn send(&self, batch: Batch) -> Result<Position, SendError> {
        let mut kept = self.0.lock().expect("no panic while locked");
        kept.push(batch.body);
        Ok(Position(kept.len() as u64))
    }
}
