//! How fast files become records: the agent's tail to a null sink, beside bare loops and `wc -l` and `grep -c` over the same files.
//!
//! All figures are bytes of the files per CPU-second (user and system) with the files in the page cache.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use async_trait::async_trait;
use clap::Parser;
use memchr::{memchr, memchr_iter};
use tokio_util::sync::CancellationToken;
use weir_agent::{Config, Deps, SourceConfig};
use weir_bench::{cpu, nginx, table};
use weir_disk::RealDisk;
use weir_model::otlp::Groups;
use weir_runtime::Metrics;
use weir_transport::{Batch, Position, SendError, Sender, Senders};

/// Size of a read, as the agent's.
const READ: usize = 256 * 1024;

#[derive(Debug, Parser)]
struct Args {
    /// Megabytes of each generated file.
    #[arg(long, default_value_t = 1000)]
    megabytes: u64,
    /// Folder with the `logs` of Train Ticket, unpacked; left out where there is none.
    #[arg(long)]
    trainticket: Option<PathBuf>,
}

/// Counts what it takes and forgets it.
#[derive(Default)]
struct NullSink {
    records: AtomicU64,
    bytes: AtomicU64,
}

#[async_trait]
impl Sender for NullSink {
    async fn send(&self, batch: Batch) -> Result<Position, SendError> {
        let records: usize = Groups::new(&batch.body).map(|group| group.records().count()).sum();
        self.bytes.fetch_add(batch.body.len() as u64, Ordering::Relaxed);
        let before = self.records.fetch_add(records as u64, Ordering::Relaxed);
        Ok(Position(before))
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let generate = |name: &str, write: fn(&mut BufWriter<File>, u64, u64) -> std::io::Result<u64>| {
        let path = folder.path().join(name);
        let mut out = BufWriter::new(File::create(&path)?);
        write(&mut out, args.megabytes * 1_000_000, 1)?;
        out.flush()?;
        anyhow::Ok(path)
    };
    let plain = generate("plain.log", nginx::write_plain)?;
    let access = generate("access.log", nginx::write)?;

    table::heading("plain lines of 416 bytes");
    peers(std::slice::from_ref(&plain))?;
    let read = bare("bare loop: read", &plain, |_, _| {})?;
    let newline = bare("bare loop: read, newline", &plain, |block, out| {
        out.extend_from_slice(&(memchr_iter(b'\n', block).count() as u64).to_le_bytes());
    })?;
    let otlp = bare("bare loop: read, newline, OTLP record", &plain, records)?;
    black_box((read, newline));
    let plain_tail = tail("agent's tail to a null sink", std::slice::from_ref(&plain))?;
    table::ratio("tail / bare OTLP loop", plain_tail / otlp, 0.25);

    table::heading("nginx access lines of 416 bytes");
    peers(std::slice::from_ref(&access))?;
    let fields = bare("bare loop: read, newline, twelve fields", &access, fields)?;
    let tail_fields =
        tail("agent's tail to a null sink, fields as attributes", std::slice::from_ref(&access))?;
    table::ratio("tail / bare field loop", tail_fields / fields, 0.11);

    if let Some(dir) = args.trainticket {
        let mut files: Vec<PathBuf> =
            fs::read_dir(dir)?.map(|e| Ok(e?.path())).collect::<anyhow::Result<_>>()?;
        files.sort();
        table::heading("Train Ticket's 54 files of Docker json");
        peers(&files)?;
        tail("agent's tail to a null sink", &files)?;
    }
    Ok(())
}

/// What everybody has at hand.
fn peers(files: &[PathBuf]) -> anyhow::Result<()> {
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
        table::row(&args.join(" "), table::mb_per_second(bytes, used), "MB/s");
    }
    Ok(())
}

fn size(files: &[PathBuf]) -> anyhow::Result<u64> {
    files.iter().map(|file| Ok(fs::metadata(file).with_context(|| file.display().to_string())?.len())).sum()
}

/// Reads a file in blocks that end with a whole line, and gives each to the loop.
fn bare(name: &str, path: &Path, mut each: impl FnMut(&[u8], &mut Vec<u8>)) -> anyhow::Result<f64> {
    let bytes = fs::metadata(path)?.len();
    let before = cpu::used();
    let mut file = File::open(path)?;
    let (mut block, mut kept) = (vec![0; READ + 64 * 1024], 0);
    let mut out = Vec::with_capacity(2 << 20);
    loop {
        let read = file.read(&mut block[kept..kept + READ])?;
        if read == 0 {
            break;
        }
        let filled = kept + read;
        let whole = memchr::memrchr(b'\n', &block[..filled]).map_or(0, |at| at + 1);
        each(&block[..whole], &mut out);
        if out.len() > 1 << 20 {
            black_box(&out);
            out.clear();
        }
        block.copy_within(whole..filled, 0);
        kept = filled - whole;
    }
    let speed = table::mb_per_second(bytes, cpu::used() - before);
    table::row(name, speed, "MB/s");
    Ok(speed)
}

/// One OTLP log record per line: a time and the body, lengths as they come.
fn records(block: &[u8], out: &mut Vec<u8>) {
    let mut start = 0;
    for end in memchr_iter(b'\n', block) {
        let line = &block[start..end];
        start = end + 1;
        // Field 5 (body) holds an AnyValue whose field 1 is the text.
        let text = 1 + varint_len(line.len()) + line.len();
        let record = 9 + 1 + varint_len(text) + text;
        out.push(0x12);
        varint(record, out);
        out.push(0x09);
        out.extend_from_slice(&1_764_000_000_000_000_000_u64.to_le_bytes());
        out.push(0x2a);
        varint(text, out);
        out.push(0x0a);
        varint(line.len(), out);
        out.extend_from_slice(line);
    }
}

fn varint_len(n: usize) -> usize {
    1 + (n >= 1 << 7) as usize + (n >= 1 << 14) as usize
}

fn varint(mut n: usize, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Finds twelve fields of an access line by their delimiters and adds up their lengths.
fn fields(block: &[u8], out: &mut Vec<u8>) {
    let mut start = 0;
    let mut sum = 0_u64;
    for end in memchr_iter(b'\n', block) {
        let mut rest = &block[start..end];
        start = end + 1;
        for delimiter in [b' ', b' ', b'[', b']', b'"', b' ', b' ', b'"', b' ', b' ', b'"', b'"'] {
            let Some(at) = memchr(delimiter, rest) else { break };
            sum += at as u64;
            rest = &rest[at + 1..];
        }
    }
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Follows files with the default configuration, detection on, until every byte was taken.
fn tail(name: &str, files: &[PathBuf]) -> anyhow::Result<f64> {
    let bytes = size(files)?;
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let before = cpu::used();
    let sink = Arc::new(NullSink::default());
    runtime.block_on(async {
        let include = files.iter().map(|file| file.to_string_lossy().into_owned()).collect();
        let source = SourceConfig { include, ..SourceConfig::default() };
        let config = Config { sources: vec![source], ..quiet() };
        let deps = Deps {
            senders: Senders { logs: sink.clone(), spans: sink.clone(), metrics: sink.clone() },
            disk: Arc::new(RealDisk),
            data_dir: folder.path().to_owned(),
            metrics: Metrics::new(),
            host: "bench".into(),
        };
        let agent = weir_agent::build(&config, deps).await?;
        let stats = agent.stats();
        let stop = CancellationToken::new();
        let running = tokio::spawn(agent.run(stop.clone()));
        let mut last = (0, 0);
        // Over when all is acknowledged and nothing has come for a while.
        let mut quiet = 0;
        while quiet < 10 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = (sink.records.load(Ordering::Relaxed), stats().unacknowledged_bytes);
            quiet = if now == last && now.0 > 0 && now.1 == 0 { quiet + 1 } else { 0 };
            last = now;
        }
        stop.cancel();
        running.await?
    })?;
    let speed = table::mb_per_second(bytes, cpu::used() - before);
    let records = sink.records.load(Ordering::Relaxed);
    ensure!(records > 0, "no records came");
    table::row(&format!("{name} ({records} records)"), speed, "MB/s");
    Ok(speed)
}

/// The defaults, with ports that are free and without what is not measured.
fn quiet() -> Config {
    let loopback = "127.0.0.1:0".parse().expect("an address");
    Config {
        otlp_http: loopback,
        otlp_grpc: loopback,
        host_metrics: weir_runtime::Period::secs(0),
        ..Config::default()
    }
}
