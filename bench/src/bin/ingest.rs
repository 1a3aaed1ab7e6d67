//! How fast spans and log lines get from the door into the store, what they take on disk, and how fast they are found.
//!
//! The peer is the store alone, fed from memory in this process. All rates are per CPU-second (user and system) of the weir processes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use bytes::Bytes;
use clap::Parser;
use weir_bench::spans::{Generator, KEYS, SPANS, VALUES};
use weir_bench::{cpu, process, table};
use weir_disk::RealDisk;
use weir_model::Signal;
use weir_store::Writer;
use weir_store_tantivy::{Settings, TantivyStore};
use weir_tests::client::Client;
use weir_tests::http::Http;
use weir_tests::server::Server;
use weir_transport::{Batch, Epoch, Lane, Position};

/// Traces in a request: what a busy SDK's exporter sends at a time.
const TRACES: u64 = 50;
/// Bytes after which the store commits, as the collector's default.
const COMMIT_BYTES: u64 = 64 << 20;
/// Everything, for as long as the generated data reaches.
const ALL: &str = "from=0&to=4000000000000000000";

#[derive(Debug, Parser)]
struct Args {
    /// Thousands of spans.
    #[arg(long, default_value_t = 1000)]
    thousands: u64,
    /// Queries of each kind.
    #[arg(long, default_value_t = 300)]
    queries: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let traces = args.thousands * 1000 / SPANS;
        table::heading(&format!(
            "{} thousand spans in the shape of Jaeger's ClickHouse benchmark",
            args.thousands
        ));
        let alone = store_alone(traces).await?;
        let folder = tempfile::tempdir()?;
        let (client, all) = end_to_end(folder.path(), traces).await?;
        table::ratio("end to end / store alone", all / alone, 0.4);
        table::heading(&format!("queries over HTTP at rest, {} of each kind", args.queries));
        queries(&client, traces, args.queries).await?;
        client.server.stop()
    })
}

/// The index and the files beside it, without HTTP, without the log.
async fn store_alone(traces: u64) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let store = TantivyStore::open(Arc::new(RealDisk), folder.path(), Settings::default())?;
    let mut generator = Generator::new(traces, 1);
    let requests: Vec<Bytes> = std::iter::from_fn(|| generator.request(TRACES)).collect();
    let lane = Lane { signal: Signal::Spans, partition: 0 };
    store.begin(lane, Epoch(1)).await?;
    let before = cpu::used();
    for (n, body) in requests.into_iter().enumerate() {
        let batch = Batch { signal: Signal::Spans, origins: Vec::new(), route: 0, arrived: now(), body };
        let report = store.write(lane, Epoch(1), &[(Position(n as u64), batch)]).await?;
        if report.pending_bytes >= COMMIT_BYTES {
            store.sync(Signal::Spans).await?;
        }
    }
    store.sync(Signal::Spans).await?;
    let rate = (traces * SPANS) as f64 / (cpu::used() - before).as_secs_f64();
    table::row("store alone, fed from memory", rate, "spans/s per core");
    Ok(rate)
}

/// From OTLP over HTTP through the log into the store of a `weir up`.
async fn end_to_end(dir: &Path, traces: u64) -> anyhow::Result<(Client, f64)> {
    let config = "agent:\n  host_metrics: 0s\n  sources: []\n";
    let client = Client::new(Server::start(dir, config)?);
    let before = process::cpu(client.server.pid())?;
    let begun = Instant::now();
    let mut generator = Generator::new(traces, 1);
    // Four at a time, as four exporters would.
    let http = Http::default();
    let mut under_way = tokio::task::JoinSet::new();
    while let Some(body) = generator.request(TRACES) {
        if under_way.len() == 4 {
            under_way.join_next().await.transpose()?;
        }
        let (http, otlp) = (http.clone(), client.server.otlp().to_owned());
        under_way.spawn(async move { assert!(http.export_spans(&otlp, &body).await, "the server takes it") });
    }
    under_way.join_all().await;
    let sent = begun.elapsed();
    client.wait_for_received(traces * SPANS).await;
    wait_for_commit(&dir.join("data/store")).await?;
    let used = process::cpu(client.server.pid())? - before;
    let spans = (traces * SPANS) as f64;
    let rate = spans / used.as_secs_f64();
    table::row("end to end, OTLP/HTTP to committed", rate, "spans/s per core");
    table::row("end to end, wall clock until all was acknowledged", spans / sent.as_secs_f64(), "spans/s");
    let bytes = process::folder_bytes(&dir.join("data/store/spans"))?;
    table::row("on disk, open shard", bytes as f64 / spans, "bytes a span");
    let (_, peak) = process::memory(client.server.pid())?;
    table::row("resident memory at its highest", peak as f64 / 1e6, "MB");
    Ok((client, rate))
}

/// Waits until the store's folder has not grown for longer than a commit takes to come.
async fn wait_for_commit(dir: &Path) -> anyhow::Result<()> {
    let (mut last, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_secs(4) {
        let bytes = process::folder_bytes(dir).unwrap_or(last);
        if bytes != last {
            (last, since) = (bytes, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

async fn queries(client: &Client, traces: u64, count: u64) -> anyhow::Result<()> {
    /// Makes the n-th query over so many traces.
    type Query = fn(u64, u64) -> String;
    let kinds: [(&str, Query); 4] = [
        ("a trace by id", |n, traces| format!("/api/v1/traces/{}", Generator::trace_id(n * 7919 % traces))),
        ("newest 20 with an attribute", |n, _| {
            let (key, value) = (n as usize % KEYS, n as u32 * 31 % VALUES);
            format!("/api/v1/traces?q=key-{key}%3Dvalue-{value}&limit=20&{ALL}")
        }),
        ("newest 20 of a service", |n, _| {
            format!("/api/v1/traces?q=service%3Dservice-{}&limit=20&{ALL}", n % 10)
        }),
        ("newest 20 longer than 700 ms", |_, _| format!("/api/v1/traces?q=duration%3E700ms&limit=20&{ALL}")),
    ];
    for (name, path) in kinds {
        let mut times = Vec::new();
        for n in 0..count {
            let begun = Instant::now();
            let answer = client.get(&path(n, traces)).await;
            times.push(begun.elapsed());
            ensure!(!answer.is_null(), "an answer");
        }
        times.sort_unstable();
        let rank = |q: f64| times[((times.len() as f64 * q).ceil() as usize).clamp(1, times.len()) - 1];
        table::row(&format!("{name}, p50"), rank(0.5).as_secs_f64() * 1e3, "ms");
        table::row(&format!("{name}, p99"), rank(0.99).as_secs_f64() * 1e3, "ms");
    }
    Ok(())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
