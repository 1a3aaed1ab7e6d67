//! What an agent costs that follows many files in which nothing happens, and how soon it has a new line: from the write until the spool's file has grown.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weir_bench::process;

/// Files in one folder.
const IN_FOLDER: usize = 100;
/// Longest that a line may take; the agent is broken beyond it.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Parser)]
struct Args {
    #[arg(long, default_value_t = 10_000)]
    files: usize,
    /// How long nothing happens.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Lines that are written, each when the one before it has come.
    #[arg(long, default_value_t = 200)]
    lines: usize,
    /// Another build of weir, which need not know the port for metrics.
    #[arg(long)]
    weir: Option<PathBuf>,
}

/// An agent of its own; dropping it ends it.
struct Agent(Child);

impl Agent {
    fn start(args: &Args, folder: &Path) -> anyhow::Result<Self> {
        let config = folder.join("weir.yaml");
        let globs = format!("{}/logs/*/*.log", folder.display());
        fs::write(
            &config,
            format!("agent: {{host_metrics: 0s, zipkin: null, sources: [{{include: ['{globs}']}}]}}"),
        )?;
        let mut command = Command::new(args.weir.clone().unwrap_or_else(weir_tests::server::binary));
        command
            .args(["agent", "--config"])
            .arg(&config)
            .arg("--data-dir")
            .arg(folder.join("data"))
            .env("WEIR_LOG", "error")
            .env("WEIR_AGENT__OTLP_HTTP", "127.0.0.1:0")
            .env("WEIR_AGENT__OTLP_GRPC", "127.0.0.1:0")
            .stdout(Stdio::piped());
        if args.weir.is_none() {
            command.env("WEIR_AGENT__ADMIN", "null");
        }
        let mut agent = Self(command.spawn().context("starting weir")?);
        let output = BufReader::new(agent.0.stdout.take().expect("piped"));
        let ready = output.lines().map_while(Result::ok).any(|line| line.trim_start().starts_with("ready"));
        ensure!(ready, "the agent ended before it was ready");
        Ok(agent)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let paths: Vec<PathBuf> =
        (0..args.files).map(|n| folder.path().join(format!("logs/{}/app-{n}.log", n / IN_FOLDER))).collect();
    for path in &paths {
        fs::create_dir_all(path.parent().expect("a folder"))?;
        write(path)?;
    }
    let agent = Agent::start(&args, folder.path())?;
    let pid = agent.0.id();
    let spool = folder.path().join("data/spool/logs");
    // Until it has read what is there.
    let mut last = 0;
    loop {
        std::thread::sleep(Duration::from_secs(2));
        let now = process::folder_bytes(&spool)?;
        if now == last && now > 0 {
            break;
        }
        last = now;
    }
    let before = process::cpu(pid)?;
    std::thread::sleep(Duration::from_secs(args.seconds));
    let share = (process::cpu(pid)? - before).as_secs_f64() / args.seconds as f64;
    println!(
        "  {} quiet files: {:.2} % of a core, {} MB",
        args.files,
        100.0 * share,
        process::memory(pid)?.0 / 1_000_000
    );

    let mut random = StdRng::seed_from_u64(1);
    let mut took = Vec::new();
    for _ in 0..args.lines {
        std::thread::sleep(Duration::from_millis(random.random_range(200..400)));
        let before = process::folder_bytes(&spool)?;
        let begun = Instant::now();
        write(&paths[random.random_range(0..paths.len())])?;
        while process::folder_bytes(&spool)? == before {
            ensure!(begun.elapsed() < PATIENCE, "a line did not come");
            std::thread::sleep(Duration::from_micros(100));
        }
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "  a line of them is in the spool after: {:.1} ms p50, {:.1} ms p99, {:.1} ms at most",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

fn write(path: &Path) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    Ok(file.write_all(b"{\"time\":\"2026-11-25T12:00:00Z\",\"level\":\"info\",\"msg\":\"hello\"}\n")?)
}
