//! How long a line takes from being written to a file until a query finds it: through `weir agent`, Kafka and `weir collector`.
//!
//! Access lines are written at a steady rate, and every so often one that is known by its path. One client asks for those, again and again; when it
//! is answered with a line that line counts as found.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::ensure;
use weir_bench::nginx;
use weir_bench::report::{Report, quantile};
use weir_testkit::kafka::Broker;
use weir_testkit::search::{Engine, SearchServer};
use weir_tests::client::Client;
use weir_tests::server::{PATIENCE, Server};

/// How often lines are written, and after how many times a line that is looked for.
const EVERY: Duration = Duration::from_millis(20);
const PROBE_EVERY: usize = 5;
/// Pause between an answer and the next question: short beside what is measured, long enough to leave the cores to the others.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// What is written before the first line that counts: by then formats are detected and connections are open.
const WARM_UP: Duration = Duration::from_secs(3);
const WORD: &str = "latencyprobe";

/// A line that is looked for: when it was written, in seconds since the Unix epoch and by the clock that measures.
#[derive(Debug, Clone, Copy)]
struct Probe {
    second: i64,
    written: Instant,
}

type Outstanding = Arc<Mutex<BTreeMap<usize, Probe>>>;

/// Writes for so long, and tells what is to be found before it can be.
fn write(log: &Path, rate: u64, lasting: Duration, outstanding: &Outstanding) -> anyhow::Result<()> {
    let mut out = BufWriter::new(File::create(log)?);
    let begun = Instant::now();
    let (mut written, mut step) = (0, 0);
    while begun.elapsed() < WARM_UP + lasting {
        let now = jiff::Timestamp::now();
        let time = now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        written += nginx::write_combined_at(&mut out, due.saturating_sub(written), step as u64, &time)?;
        if step % PROBE_EVERY == 0 && begun.elapsed() >= WARM_UP {
            written += nginx::write_probe(&mut out, WORD, step, &time)?;
            let probe = Probe { second: now.as_second(), written: Instant::now() };
            outstanding.lock().expect("no panic while locked").insert(step, probe);
        }
        out.flush()?;
        step += 1;
        let next = begun + EVERY * step as u32;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// Asks until the writer has ended and everything is found. Returns how long each took.
async fn ask(
    client: &Client,
    outstanding: &Outstanding,
    writing: &tokio::task::JoinHandle<anyhow::Result<()>>,
) -> anyhow::Result<Vec<Duration>> {
    let mut took = Vec::new();
    let mut last = Instant::now();
    loop {
        let ended = writing.is_finished();
        let oldest = outstanding.lock().expect("no panic while locked").values().next().copied();
        match oldest {
            None if ended => return Ok(took),
            None => last = Instant::now(),
            Some(Probe { second, .. }) => {
                let path = format!("/api/v1/logs?q={WORD}&from={second}000000000&limit=1000");
                let answer = client.get(&path).await;
                let now = Instant::now();
                let mut outstanding = outstanding.lock().expect("no panic while locked");
                for log in answer["logs"].as_array().into_iter().flatten() {
                    let body = log["body"].as_str().unwrap_or_default();
                    let number = body.split_once(WORD).and_then(|(_, rest)| rest[1..].split_once(' '));
                    let number = number.and_then(|(number, _)| number.parse::<usize>().ok());
                    if let Some(probe) = number.and_then(|number| outstanding.remove(&number)) {
                        took.push(now - probe.written);
                        last = now;
                    }
                }
            }
        }
        ensure!(last.elapsed() < PATIENCE, "lines are not found");
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// One store at one rate. `store` is the collector's section for it.
async fn run(
    report: &Report,
    broker: &Broker,
    (name, store): (&str, &str),
    megabytes: u64,
    lasting: Duration,
) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let topic = |signal: &str| format!("latency-{}-{megabytes}-{signal}", name.replace(' ', "-"));
    let kafka = format!(
        "kafka: {{brokers: [\"{}\"], topics: {{logs: {}, spans: {}, metrics: {}, dead_letters: {}}}}}\n",
        broker.address(),
        topic("logs"),
        topic("spans"),
        topic("metrics"),
        topic("dead-letters")
    );
    let [collector, agent] = ["collector", "agent"].map(|role| folder.path().join(role));
    [&collector, &agent].into_iter().try_for_each(std::fs::create_dir)?;
    let client = Client::new(Server::role("collector", &collector, &format!("{kafka}{store}"), &[])?);
    let log = folder.path().join("access.log");
    let config = format!(
        "{kafka}agent: {{host_metrics: 0s, sources: [{{include: [\"{}\"]}}]}}\nforward: {{to: kafka}}\n",
        log.display()
    );
    let agent = Server::role("agent", &agent, &config, &[])?;
    let outstanding = Outstanding::default();
    let writing = tokio::task::spawn_blocking({
        let (log, outstanding) = (log.clone(), outstanding.clone());
        move || write(&log, megabytes * 1_000_000, lasting, &outstanding)
    });
    let mut took = ask(&client, &outstanding, &writing).await?;
    writing.await??;
    agent.stop()?;
    client.server.stop()?;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    report.heading(&format!("from written to found, {name}, {megabytes} MB a second, {} lines", took.len()));
    report.row("median", ms(quantile(&mut took, 0.5)), "ms");
    report.row("99th percentile", ms(quantile(&mut took, 0.99)), "ms");
    Ok(())
}

/// Both stores; the search engine at the lower rate.
pub(crate) async fn measure(report: &Report, broker: &Broker, lasting: Duration) -> anyhow::Result<()> {
    for megabytes in [1, 10] {
        run(report, broker, ("embedded store", ""), megabytes, lasting).await?;
    }
    let engine = SearchServer::start_for_load(&Engine::opensearch());
    let store = format!("store: {{elastic: {{urls: [\"{}\"], replicas: 0}}}}\n", engine.url());
    run(report, broker, ("OpenSearch", &store), 1, lasting).await
}
