//! How fast files become records: the agent's tail to a null sink, beside bare loops and `wc -l` and `grep -c` over the same files.
//!
//! All figures are bytes of the files per CPU-second (user and system) with the files in the page cache.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};
use async_trait::async_trait;
use clap::Parser;
use weir_bench::follow::follow;
use weir_bench::report::{Report, mb_per_second};
use weir_bench::{bare, cpu, nginx, traces};
use weir_tests::trainticket::TrainTicket;
use weir_transport::{Batch, Position, SendError, Sender};

#[derive(Debug, Parser)]
struct Args {
    /// Megabytes of each generated file.
    #[arg(long, default_value_t = 1000)]
    megabytes: u64,
}

/// Forgets what it takes.
#[derive(Default)]
struct NullSink(AtomicU64);

#[async_trait]
impl Sender for NullSink {
    async fn send(&self, _: Batch) -> Result<Position, SendError> {
        Ok(Position(self.0.fetch_add(1, Ordering::Relaxed)))
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let mut report = Report::default();
    let generate = |name: &str, write: fn(&mut BufWriter<File>, u64, u64) -> std::io::Result<u64>| {
        let path = folder.path().join(name);
        let mut out = BufWriter::new(File::create(&path)?);
        let bytes = write(&mut out, args.megabytes * 1_000_000, 1)?;
        out.flush()?;
        anyhow::Ok((path, bytes / nginx::LINE as u64))
    };

    report.heading("plain lines of 416 bytes");
    let (plain, lines) = generate("plain.log", nginx::write_plain)?;
    peers(&report, std::slice::from_ref(&plain))?;
    report.row("bare loop: read", bare::run(&plain, bare::read)?, "MB/s");
    report.row("bare loop: read, newline", bare::run(&plain, bare::newlines)?, "MB/s");
    let otlp = bare::run(&plain, bare::records)?;
    report.row("bare loop: read, newline, OTLP record", otlp, "MB/s");
    let tailed = tail(&report, std::slice::from_ref(&plain), Some(lines))?;
    report.floor("tail of plain lines / bare OTLP loop", tailed, otlp, 0.25);
    fs::remove_file(plain)?;

    report.heading("nginx access lines of 416 bytes, combined format: twelve fields");
    let (access, lines) = generate("access.log", nginx::write_combined)?;
    peers(&report, std::slice::from_ref(&access))?;
    let fields = bare::run(&access, bare::fields)?;
    report.row("bare loop: read, newline, twelve fields", fields, "MB/s");
    let tailed = tail(&report, std::slice::from_ref(&access), Some(lines))?;
    report.floor("tail of nginx lines / bare field loop", tailed, fields, 0.11);
    fs::remove_file(access)?;

    report.heading("nginx access lines of 416 bytes with a proxy's fields; each yields two spans");
    let (proxy, lines) = generate("proxy.log", nginx::write_proxy)?;
    tail(&report, std::slice::from_ref(&proxy), Some(lines))?;
    fs::remove_file(proxy)?;

    report.heading("Java stack traces, records of six lines");
    let (java, _) = generate("java.log", traces::write)?;
    peers(&report, std::slice::from_ref(&java))?;
    tail(&report, std::slice::from_ref(&java), None)?;
    fs::remove_file(java)?;

    if let Some(set) = TrainTicket::load(folder.path()) {
        report.heading("Train Ticket's 54 files of Docker json");
        let mut files: Vec<PathBuf> =
            fs::read_dir(&set.logs_dir)?.map(|e| Ok(e?.path())).collect::<anyhow::Result<_>>()?;
        files.sort();
        drop(set);
        peers(&report, &files)?;
        tail(&report, &files, None)?;
    }
    Ok(report.end())
}

/// What everybody has at hand.
fn peers(report: &Report, files: &[PathBuf]) -> anyhow::Result<()> {
    let bytes = size(files)?;
    for args in [&["wc", "-l"][..], &["grep", "-c", "zzzz-not-there"]] {
        // grep ends with 1 where nothing matches.
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg("\"$@\" > /dev/null || [ $? -eq 1 ]")
            .arg("peer")
            .arg(args[0])
            .args(&args[1..])
            .args(files);
        let used = cpu::of_command(&mut shell)?;
        report.row(&args.join(" "), mb_per_second(bytes, used), "MB/s");
    }
    Ok(())
}

fn size(files: &[PathBuf]) -> anyhow::Result<u64> {
    files.iter().map(|file| Ok(fs::metadata(file).with_context(|| file.display().to_string())?.len())).sum()
}

/// Returns MB a CPU-second.
fn tail(report: &Report, files: &[PathBuf], lines: Option<u64>) -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let followed = runtime.block_on(follow(files, Arc::new(NullSink::default())))?;
    let records = followed.records;
    ensure!(lines.is_none_or(|lines| lines == records), "{records} records of {lines:?} lines");
    let speed = mb_per_second(size(files)?, followed.used);
    report.row(&format!("agent's tail to a null sink, {records} records"), speed, "MB/s");
    Ok(speed)
}
