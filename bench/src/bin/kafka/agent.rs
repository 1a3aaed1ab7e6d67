//! Log files to Kafka: the agent beside the OpenTelemetry Collector and rsyslog.
//!
//! Each finds the same file when it is ready, and is followed until every line of it is acknowledged by all in-sync replicas. What counts is the
//! processor time of its process from then on. That nothing is missing or there twice is read off the topic.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use weir_bench::report::{Report, Rounds, mb_per_second};
use weir_bench::rsyslog::Rsyslog;
use weir_bench::topic::Topic;
use weir_bench::{nginx, process};
use weir_model::otlp::{Groups, Log};
use weir_testkit::kafka::Broker;
use weir_testkit::otelcol::Collector;
use weir_tests::server::{PATIENCE, Server};

/// How often it is looked whether more has come, and for how many looks nothing may have.
const LOOK: Duration = Duration::from_millis(50);
const QUIET_LOOKS: u32 = 20;

/// How messages are compressed, with the floor of what the agent does of what each peer does.
const CODECS: [(&str, f64); 2] = [("zstd", 2.0), ("lz4", 2.5)];

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Weir,
    Otelcol,
    Rsyslog,
}

impl Who {
    const ALL: [Self; 3] = [Self::Weir, Self::Otelcol, Self::Rsyslog];

    fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir agent",
            Self::Otelcol => "OpenTelemetry Collector",
            Self::Rsyslog => "rsyslog",
        }
    }

    /// Text of the lines in a message.
    fn lines(self, payload: &[u8]) -> (u64, u64) {
        if self == Self::Rsyslog {
            return (1, payload.len() as u64);
        }
        let groups = Groups::new(payload);
        let texts =
            groups.flat_map(|group| group.records().map(|log| Log::decode(log).body).collect::<Vec<_>>());
        texts.fold((0, 0), |(lines, bytes), body| {
            (lines + 1, bytes + body.as_str().map_or(0, str::len) as u64)
        })
    }
}

/// A process that sends; dropping it ends it.
enum Running {
    Weir(Server),
    Otelcol(Collector),
    Rsyslog(Rsyslog),
}

impl Running {
    /// Starts one that follows the files of a folder.
    fn start(who: Who, dir: &Path, brokers: &str, topic: &str, codec: &str) -> anyhow::Result<Self> {
        let glob = format!("{}/logs/*.log", dir.display());
        Ok(match who {
            Who::Weir => {
                let config = format!(
                    "agent: {{host_metrics: 0s, sources: [{{include: [\"{glob}\"]}}]}}
forward: {{to: kafka}}
kafka: {{brokers: [\"{brokers}\"], topics: {{logs: {topic}}}, compression: {codec}}}
"
                );
                Self::Weir(Server::role("agent", dir, &config, &[])?)
            }
            // By default its exporter drops what comes while its queue is full.
            Who::Otelcol => {
                let config = format!(
                    "receivers:
  file_log: {{include: [\"{glob}\"], start_at: beginning}}
processors:
  batch: {{send_batch_size: 1000, send_batch_max_size: 1000}}
exporters:
  kafka:
    brokers: [\"{brokers}\"]
    logs: {{topic: {topic}}}
    sending_queue: {{block_on_overflow: true}}
    producer: {{required_acks: -1, compression: {codec}}}
service:
  pipelines:
    logs: {{receivers: [file_log], processors: [batch], exporters: [kafka]}}
"
                );
                Self::Otelcol(Collector::start(dir, &config))
            }
            Who::Rsyslog => Self::Rsyslog(Rsyslog::start(dir, &glob, brokers, topic, codec)?),
        })
    }

    fn pid(&self) -> u32 {
        match self {
            Self::Weir(server) => server.pid(),
            Self::Otelcol(collector) => collector.pid(),
            Self::Rsyslog(rsyslog) => rsyslog.pid(),
        }
    }
}

/// What a run has come to.
#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    /// MB of the file a CPU-second, and a second by the clock.
    speed: f64,
    by_the_clock: f64,
    /// Resident memory at its highest, MB.
    memory: f64,
    /// Bytes on the broker's disk per 100 of the file.
    kept: f64,
}

/// Lets one send a file of so many lines.
async fn run(
    who: Who,
    broker: &Broker,
    file: &Path,
    lines: u64,
    topic: &str,
    codec: &str,
) -> anyhow::Result<Sent> {
    let topic = Topic::create(broker, topic).await?;
    let folder = tempfile::tempdir_in(file.parent().expect("it is in a folder"))?;
    let logs = folder.path().join("logs");
    fs::create_dir(&logs)?;
    let running = Running::start(who, folder.path(), &broker.address(), topic.name(), codec)?;
    let before = process::cpu(running.pid())?;
    fs::hard_link(file, logs.join("bench.log"))?;
    let begun = Instant::now();
    let (mut messages, mut used, mut took, mut quiet) = (0, Duration::ZERO, Duration::ZERO, 0);
    let expected = (lines, lines * (nginx::LINE as u64 - 1));
    let bytes = fs::metadata(file)?.len();
    loop {
        std::thread::sleep(LOOK);
        let now = topic.messages()?;
        if now != messages {
            (messages, quiet) = (now, 0);
            (used, took) = (process::cpu(running.pid())? - before, begun.elapsed());
            continue;
        }
        quiet += 1;
        if messages == 0 || quiet % QUIET_LOOKS != 0 {
            ensure!(begun.elapsed() < PATIENCE, "{} sends nothing", who.name());
            continue;
        }
        let mut found = (0, 0);
        topic.read(|payload| {
            let (lines, bytes) = who.lines(payload);
            found = (found.0 + lines, found.1 + bytes);
        })?;
        if found == expected {
            break;
        }
        ensure!(found.0 < lines && begun.elapsed() < PATIENCE, "{}: {found:?} of {expected:?}", who.name());
    }
    let memory = process::memory(running.pid())?.1 as f64 / 1e6;
    let kept = topic.disk_bytes()? as f64 / bytes as f64 * 100.0;
    drop(running);
    topic.remove().await;
    let by_the_clock = bytes as f64 / 1e6 / took.as_secs_f64();
    Ok(Sent { speed: mb_per_second(bytes, used), by_the_clock, memory, kept })
}

/// All of them, in turns.
pub(crate) async fn measure(
    report: &mut Report,
    broker: &Broker,
    megabytes: u64,
    rounds: usize,
) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("plain.log");
    let mut out = BufWriter::new(File::create(&file)?);
    let lines = nginx::write_plain(&mut out, megabytes * 1_000_000, 1)? / nginx::LINE as u64;
    out.into_inner()?.flush()?;
    let mut topics = 0;
    for (codec, floor) in CODECS {
        report.heading(&format!("{megabytes} MB of plain lines of 416 bytes to Kafka, acks=all, {codec}"));
        let mut all = [const { Vec::new() }; Who::ALL.len()];
        for _ in 0..rounds {
            for (who, sent) in Who::ALL.into_iter().zip(&mut all) {
                topics += 1;
                sent.push(run(who, broker, &file, lines, &format!("agent-{topics}"), codec).await?);
            }
        }
        let [weir, otelcol, rsyslog] = &all;
        for (who, sent) in Who::ALL.into_iter().zip([weir, otelcol, rsyslog]) {
            let row = |what: &str, figure: fn(&Sent) -> f64, unit: &str| {
                report.row(&format!("{}, {what}", who.name()), median(sent.iter().map(figure)), unit);
            };
            row("processor time", |sent| sent.speed, "MB/s per core");
            row("by the clock", |sent| sent.by_the_clock, "MB/s");
            row("resident memory at its highest", |sent| sent.memory, "MB");
            row("on the broker's disk", |sent| sent.kept, "bytes per 100");
        }
        for (who, peer) in [(Who::Otelcol, otelcol), (Who::Rsyslog, rsyslog)] {
            let mut ratios = Rounds::default();
            weir.iter().zip(peer).for_each(|(weir, peer)| ratios.push(weir.speed, peer.speed));
            report.floor_of(&format!("weir agent / {}, {codec}", who.name()), &ratios, floor);
        }
    }
    Ok(())
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    weir_bench::report::median(figures.collect())
}
