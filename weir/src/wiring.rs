//! What the subcommands that run roles share: opening what lies on disk, and ending in order.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus_client::collector::Collector as Figures;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weir_collector::{Collector, Policy};
use weir_disk::{Disk, Lock, RealDisk, read, write_atomic};
use weir_model::Signal;
use weir_query_ui::{QueryUi, ReceiverStatus, Source};
use weir_runtime::{Health, Metrics};
use weir_transport::disk_log::{self, DiskDeadLetters, DiskLog, DiskLogReceiver, DiskLogSender};
use weir_transport::{DeadLetters, Position, Receiver, Sender, Senders};
use weir_transport_kafka::Kafka;

use crate::config::Config;
use crate::control::Control;
use crate::status::{Status, WatchedLogs};
use crate::store::{Store, disk_log as disk_log_of};

/// How long the parts may take to end once they were told to.
const DRAIN: Duration = Duration::from_secs(8);

/// A line of progress for the person who started it.
pub(crate) fn say(stage: &str, what: std::fmt::Arguments<'_>) {
    println!("{stage:>10}  {what}");
}

/// Says that all of it runs, and where.
pub(crate) fn ready(url: &str) {
    say("ui", format_args!("{url}"));
    say("ready", format_args!("open {url} in a browser; Ctrl-C ends it"));
}

pub(crate) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_else(|_| "localhost".into())
}

/// Where telemetry is taken, for the page that has none yet.
pub(crate) fn receiver(protocol: &str, url: String) -> ReceiverStatus {
    ReceiverStatus { protocol: protocol.to_owned(), url }
}

/// The folder that holds everything that must survive a restart. It is this process's alone.
pub(crate) struct DataFolder {
    pub(crate) path: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    _lock: Box<dyn Lock>,
}

impl DataFolder {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path)
            .with_context(|| format!("can't create the data folder {}", path.display()))?;
        let path = path.canonicalize()?;
        let disk = Arc::new(RealDisk);
        let lock = disk.lock(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => anyhow::anyhow!(
                "the data folder {} is in use by another weir; stop that one, or give this one another --data-dir",
                path.display()
            ),
            _ => anyhow::Error::from(error).context(format!("can't take the data folder {}", path.display())),
        })?;
        Ok(Self { path, disk, _lock: lock })
    }
}

/// One log for each signal, with the senders that append to them.
pub(crate) struct Logs {
    pub(crate) logs: Vec<(Signal, Arc<DiskLog>)>,
    pub(crate) senders: Senders,
}

impl Logs {
    /// Opens the logs in a folder; a new one begins at the position that `first` says.
    pub(crate) fn open(
        folder: &DataFolder,
        name: &str,
        limits: disk_log::Settings,
        first: impl Fn(Signal) -> Position,
    ) -> anyhow::Result<Self> {
        let mut logs = Vec::new();
        let mut open = |signal: Signal| -> anyhow::Result<Arc<dyn Sender>> {
            let settings = disk_log::Settings { first: first(signal), ..limits.clone() };
            let dir = folder.path.join(name).join(signal.name());
            let log = DiskLog::open(folder.disk.clone(), &dir, signal, settings)?;
            let sender = DiskLogSender::start(log.clone())?;
            logs.push((signal, log));
            Ok(Arc::new(sender))
        };
        let senders = Senders {
            logs: open(Signal::Logs)?,
            spans: open(Signal::Spans)?,
            metrics: open(Signal::Metrics)?,
        };
        Ok(Self { logs, senders })
    }

    /// Adds the figures of these logs to the metrics, with names that begin with `prefix`.
    pub(crate) fn count(&self, metrics: &Metrics, prefix: &'static str) {
        let figures = LogFigures { prefix, logs: self.logs.clone() };
        metrics.with_registry(|registry| registry.register_collector(Box::new(figures)));
    }

    pub(crate) fn receivers(&self) -> Vec<(Signal, Box<dyn Receiver>)> {
        let receiver = |log: &Arc<DiskLog>| Box::new(DiskLogReceiver::new(log.clone())) as Box<dyn Receiver>;
        self.logs.iter().map(|(signal, log)| (*signal, receiver(log))).collect()
    }
}

/// Reads the figures of disk logs when it is asked.
#[derive(Debug)]
struct LogFigures {
    prefix: &'static str,
    logs: Vec<(Signal, Arc<DiskLog>)>,
}

impl Figures for LogFigures {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> std::fmt::Result {
        let stats: Vec<_> = self.logs.iter().map(|(signal, log)| (signal.name(), log.stats())).collect();
        let mut family = |name: &str, help: &str, kind: MetricType, value: fn(&disk_log::Stats) -> u64| {
            let name = format!("{}_{name}", self.prefix);
            let mut family = out.encode_descriptor(&name, help, None, kind)?;
            for (signal, stats) in &stats {
                let labels = [("signal", *signal)];
                let mut metric = family.encode_family(&labels)?;
                match kind {
                    MetricType::Counter => {
                        metric.encode_counter::<NoLabelSet, _, u64>(&value(stats), None)?
                    }
                    _ => metric.encode_gauge(&(value(stats) as i64))?,
                }
            }
            Ok(())
        };
        let (gauge, counter) = (MetricType::Gauge, MetricType::Counter);
        family("bytes", "Bytes that wait for the next hop: not acknowledged by it", gauge, |s| {
            s.waiting_bytes
        })?;
        family("batches", "Batches that wait for the next hop: not acknowledged by it", gauge, |s| {
            s.waiting
        })?;
        let help = "Bytes on disk, with those that the next hop has acknowledged: files are removed whole";
        family("disk_bytes", help, gauge, |s| s.bytes)?;
        family("appended_batches", "Batches appended", counter, |s| s.appended)?;
        family("failed_writes", "Writes of the disk log that failed", counter, |s| s.failures)?;
        family("corrupt_batches", "Batches that could not be read back", counter, |s| s.corrupt_positions)
    }
}

/// What the store's positions belong to is written down here, in the data folder.
const LOG_KIND: &str = "log-kind";

/// Sees to it that a data folder is fed by one kind of log all its life: positions of another would mean other data.
fn claim(folder: &DataFolder, kind: &str) -> anyhow::Result<()> {
    let path = folder.path.join(LOG_KIND);
    let before = if folder.disk.exists(&path)? {
        String::from_utf8(read(folder.disk.as_ref(), &path)?)?.trim().to_owned()
    } else if folder.disk.exists(&folder.path.join("log"))? {
        // From before this was written down.
        DISK_LOG.to_owned()
    } else {
        write_atomic(folder.disk.as_ref(), &path, kind.as_bytes())?;
        return Ok(());
    };
    anyhow::ensure!(
        before == kind,
        "the data folder {} was filled from {before}, and can't go on with {kind}: what is stored would be taken for something else; \
         choose another --data-dir, or go back to the configuration that it had",
        folder.path.display()
    );
    Ok(())
}

const DISK_LOG: &str = "its own disk log";

/// The logs by which data enters.
struct Entry {
    senders: Senders,
    receivers: Vec<(Signal, Box<dyn Receiver>)>,
    dead_letters: Arc<dyn DeadLetters>,
    /// By which what is in the data folder can be asked for.
    control: Option<Control>,
    watched: WatchedLogs,
}

/// The folder of dead letters in a data folder.
pub(crate) const DEAD_LETTERS: &str = "dead-letters";

/// The dead letters in a data folder.
pub(crate) fn open_letters(folder: &DataFolder, config: &Config) -> anyhow::Result<Arc<DiskDeadLetters>> {
    let (disk, path) = (folder.disk.clone(), folder.path.join(DEAD_LETTERS));
    let max_bytes = config.collector.dead_letter_bytes.0;
    Ok(Arc::new(DiskDeadLetters::open(disk, &path, max_bytes, rand::random())?))
}

/// Reads the figures of dead letters in a data folder when it is asked.
#[derive(Debug)]
struct LetterFigures(Arc<DiskDeadLetters>);

impl Figures for LetterFigures {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> std::fmt::Result {
        let help = "Bytes of dead letters that are kept in the data folder";
        let mut bytes =
            out.encode_descriptor("weir_collector_dead_letter_bytes", help, None, MetricType::Gauge)?;
        bytes.encode_gauge(&(self.0.bytes() as i64))?;
        let help = "Dead letters that were removed for want of room and had not been sent again";
        let name = "weir_collector_dropped_dead_letters";
        let mut dropped = out.encode_descriptor(name, help, None, MetricType::Counter)?;
        dropped.encode_counter::<NoLabelSet, _, u64>(&self.0.dropped(), None)
    }
}

/// The collecting half: the logs that data enters by, the collector that reads them, and the store.
pub(crate) struct Collecting {
    store: Store,
    /// Append to the logs.
    pub(crate) senders: Senders,
    pub(crate) collector: Collector,
    pub(crate) watched: Arc<WatchedLogs>,
    pub(crate) control: Option<Control>,
    health: Health,
}

impl Collecting {
    pub(crate) async fn open(
        folder: &DataFolder,
        config: &Config,
        metrics: &Metrics,
        health: &Health,
    ) -> anyhow::Result<Self> {
        let store = Store::open(folder, config, health).await?;
        let Entry { senders, receivers, dead_letters, control, watched } = match config.kafka.is_used() {
            true => from_kafka(folder, config, &store).await?,
            false => from_disk(folder, config, &store, metrics).await?,
        };
        let policy = Policy {
            commit_every: config.collector.commit_every.0,
            commit_bytes: config.collector.commit_bytes.0,
        };
        let collector =
            weir_collector::build(receivers, store.writer(), dead_letters, policy, metrics, health.clone());
        say("collector", format_args!("commits every {}", config.collector.commit_every));
        Ok(Self { store, senders, collector, watched: Arc::new(watched), control, health: health.clone() })
    }

    /// Answers `weir dlq`, where this process has what it asks for.
    pub(crate) async fn answer(control: Option<Control>, stop: CancellationToken) -> anyhow::Result<()> {
        match control {
            Some(control) => control.run(stop).await.context("answering `weir dlq` failed"),
            None => {
                stop.cancelled().await;
                Ok(())
            }
        }
    }

    /// Query API and web app over the store. `receivers` is where data enters this process.
    pub(crate) async fn ui(
        &self,
        config: &Config,
        agent: Option<weir_agent::View>,
        receivers: Vec<ReceiverStatus>,
        metrics: Metrics,
    ) -> anyhow::Result<QueryUi> {
        let (collector, store) = (self.collector.stats(), self.store.clone());
        let (logs, health) = (self.watched.clone(), self.health.clone());
        let status = Status::new(agent, receivers, collector, store, logs, health.clone());
        let (reader, state) = (self.store.reader(), self.store.state());
        let deps = weir_query_ui::Deps::new(reader, state, Arc::new(status), metrics, health);
        Ok(weir_query_ui::build(config.query.clone(), Source::Store(Box::new(deps))).await?)
    }
}

/// The logs in the data folder.
async fn from_disk(
    folder: &DataFolder,
    config: &Config,
    store: &Store,
    metrics: &Metrics,
) -> anyhow::Result<Entry> {
    claim(folder, DISK_LOG)?;
    store.claim(&disk_log_of(folder)?).await?;
    let mut first = HashMap::new();
    for signal in Signal::ALL {
        first.insert(signal, store.resume(signal).await?);
    }
    let limits = disk_log::Settings {
        max_bytes: config.collector.log_bytes.0,
        segment_bytes: config.collector.log_segment_bytes.0,
        ..disk_log::Settings::default()
    };
    let logs = Logs::open(folder, "log", limits, |signal| first[&signal])?;
    logs.count(metrics, "weir_collector_log");
    let receivers = logs.receivers();
    let watched = WatchedLogs { logs: logs.logs, max_bytes: config.collector.log_bytes.0, kafka: None };
    let letters = open_letters(folder, config)?;
    metrics.with_registry(|registry| registry.register_collector(Box::new(LetterFigures(letters.clone()))));
    let control = Some(Control::bind(&folder.path, letters.clone(), logs.senders.clone())?);
    Ok(Entry { senders: logs.senders, receivers, dead_letters: letters, control, watched })
}

/// The topics in Kafka.
async fn from_kafka(folder: &DataFolder, config: &Config, store: &Store) -> anyhow::Result<Entry> {
    let topics = Signal::ALL.map(|signal| config.kafka.topics.of(signal));
    let log = format!("the Kafka topics {}", topics.join(", "));
    claim(folder, &log)?;
    store.claim(&log).await?;
    let kafka = Kafka::new(config.kafka.clone())?;
    let mut receivers = Vec::<(Signal, Box<dyn Receiver>)>::new();
    for signal in Signal::ALL {
        let receiver = kafka.receiver(signal, store.assignment(), store.generations())?;
        receivers.push((signal, Box::new(receiver)));
    }
    say("kafka", format_args!("reads {} at {}", topics.join(" "), config.kafka.brokers.join(" ")));
    Ok(Entry {
        senders: kafka.senders(),
        receivers,
        dead_letters: Arc::new(kafka.dead_letters()),
        control: None,
        watched: WatchedLogs { logs: Vec::new(), max_bytes: 0, kafka: Some(kafka) },
    })
}

/// Parts that run side by side and are stopped one after the other, the first one first: what it still hands on is taken by the next.
#[derive(Default)]
pub(crate) struct Parts {
    running: JoinSet<anyhow::Result<()>>,
    stops: Vec<CancellationToken>,
}

impl Parts {
    pub(crate) fn spawn<F>(&mut self, part: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        self.running.spawn(part(stop.clone()));
        self.stops.push(stop);
    }

    /// Serves the query API and the web app; returns where.
    pub(crate) fn serve(&mut self, ui: QueryUi) -> String {
        let url = format!("http://{}", ui.address());
        self.spawn(|stop| async {
            ui.run(stop).await;
            Ok(())
        });
        url
    }

    /// Waits until the process is told to end, or a part has failed, then stops `before` and the parts in their order.
    pub(crate) async fn run_until<F>(
        mut self,
        shutdown: CancellationToken,
        before: impl FnOnce() -> F,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = ()>,
    {
        let mut result = Ok(());
        tokio::select! {
            () = shutdown.cancelled() => {}
            Some(ended) = self.running.join_next() => result = ended?.context("a part has failed"),
        }
        // Also where a part has failed.
        shutdown.cancel();
        before().await;
        let drain = async {
            for stop in self.stops {
                stop.cancel();
                // Whichever ends is the one that was told to, unless one has failed.
                if let Some(ended) = self.running.join_next().await
                    && result.is_ok()
                {
                    result = ended.map_err(anyhow::Error::from).flatten();
                }
            }
        };
        if tokio::time::timeout(DRAIN, drain).await.is_err() {
            tracing::warn!(
                "draining took longer than {DRAIN:?}; what is not committed is read again at the next start"
            );
        }
        result
    }
}
