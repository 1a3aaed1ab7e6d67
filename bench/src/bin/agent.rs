//! What `weir agent` takes of its host while 10 MB of access lines a second are written: memory and processor time of its process.
//!
//! It follows a file, keeps its spool on disk and sends to an intake in this process that forgets what it takes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use async_trait::async_trait;
use clap::Parser;
use tokio_util::sync::CancellationToken;
use weir_bench::report::Report;
use weir_bench::{nginx, process};
use weir_model::otlp::Groups;
use weir_otlp::{HttpReceiver, Intake};
use weir_tests::server::{PATIENCE, Server};
use weir_transport::{Batch, Position, SendError, Sender, Senders};

/// Bytes a second, and how often some are written.
const RATE: u64 = 10_000_000;
const EVERY: Duration = Duration::from_millis(20);

#[derive(Debug, Parser)]
struct Args {
    /// Seconds of writing.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

/// Counts records and forgets them.
#[derive(Default)]
struct NullSink(AtomicU64);

#[async_trait]
impl Sender for NullSink {
    async fn send(&self, batch: Batch) -> Result<Position, SendError> {
        let records: usize = Groups::new(&batch.body).map(|group| group.records().count()).sum();
        Ok(Position(self.0.fetch_add(records as u64, Ordering::Relaxed)))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut report = Report::default();
    let folder = tempfile::tempdir()?;
    let sink = Arc::new(NullSink::default());
    let senders = Senders { logs: sink.clone(), spans: sink.clone(), metrics: sink.clone() };
    let intake = HttpReceiver::bind("127.0.0.1:0".parse()?, Intake::from_agents(senders)).await?;
    let to = format!("http://{}", intake.local_addr()?);
    let stop = CancellationToken::new();
    let receiving = tokio::spawn(intake.run(stop.clone()));

    let log = folder.path().join("access.log");
    let mut out = BufWriter::new(File::create(&log)?);
    let config = format!(
        "agent:\n  host_metrics: 0s\n  sources:\n    - include: [\"{}\"]\nforward: {{ to: \"{to}\" }}\n",
        log.display()
    );
    let agent = Server::role("agent", folder.path(), &config, &[])?;
    report.heading(&format!("`weir agent` with 10 MB a second of access lines, for {} s", args.seconds));
    report.row("resident memory at rest", process::memory(agent.pid())?.0 as f64 / 1e6, "MB");
    let (begun, before) = (Instant::now(), process::cpu(agent.pid())?);
    let mut ticks = tokio::time::interval(EVERY);
    let (mut written, mut step) = (0, 0);
    while begun.elapsed() < Duration::from_secs(args.seconds) {
        ticks.tick().await;
        let due = (begun.elapsed().as_secs_f64() * RATE as f64) as u64;
        step += 1;
        written += nginx::write_combined(&mut out, due.saturating_sub(written), step)?;
        out.flush()?;
    }
    let lines = written / nginx::LINE as u64;
    while sink.0.load(Ordering::Relaxed) < lines {
        ensure!(begun.elapsed() < PATIENCE, "only {} of {lines} lines came", sink.0.load(Ordering::Relaxed));
        tokio::time::sleep(EVERY).await;
    }
    let (elapsed, used) = (begun.elapsed(), process::cpu(agent.pid())? - before);
    let (now, peak) = process::memory(agent.pid())?;
    report.row("lines that came", sink.0.load(Ordering::Relaxed) as f64, "");
    report.row("processor time", used.as_secs_f64() / elapsed.as_secs_f64() * 100.0, "% of a core");
    report.row("resident memory at the end", now as f64 / 1e6, "MB");
    report.limit("resident memory at its highest", peak as f64 / 1e6, 40.0, "MB");
    agent.stop()?;
    stop.cancel();
    receiving.await??;
    Ok(report.end())
}
