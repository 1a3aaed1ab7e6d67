//! An agent in this process on a folder of files, with a next hop in memory that can refuse, wait, or lose its answers.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flate2::write::GzEncoder;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_agent::{Config, Deps, SourceConfig, Start};
use weir_disk::{Disk, RealDisk};
use weir_model::otlp::log_refs;
use weir_model::{Incarnation, Signal, identity};
use weir_runtime::{Health, Metrics, Period};
use weir_transport::memory::MemoryLog;
use weir_transport::{Batch, Event, Lane, Position, Receiver, SendError, SendErrorKind, Sender, Senders};

/// Generous: only reached when something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at something that can't be waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The file whose lines only show that time passes.
const CLOCK: &str = "app-clock.log";

/// How the next hop treats what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Takes,
    /// Answers only when the mood changes.
    Waits,
    /// Asks to come again.
    Refuses,
    /// Takes everything, but every second answer is lost, so that it comes again.
    LosesAnswers,
    Gone,
}

#[derive(Clone)]
struct Sink {
    log: MemoryLog,
    mood: watch::Receiver<Mood>,
    sends: Arc<AtomicU64>,
}

#[async_trait]
impl Sender for Sink {
    async fn send(&self, batch: Batch) -> Result<Position, SendError> {
        let mut mood = self.mood.clone();
        let now = *mood.wait_for(|mood| *mood != Mood::Waits).await.expect("the rig lives longer");
        let refuse =
            |kind, batch| Err(SendError { kind, message: format!("{now:?}"), batch: Box::new(batch) });
        let again = SendErrorKind::Retry { after: Duration::from_millis(1) };
        match now {
            Mood::Gone => refuse(SendErrorKind::Closed, batch),
            Mood::Refuses => refuse(again, batch),
            Mood::LosesAnswers if self.sends.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) => {
                self.log.send(batch.clone()).await?;
                refuse(again, batch)
            }
            _ => self.log.send(batch).await,
        }
    }
}

/// A record as a store would keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) incarnation: Incarnation,
    pub(crate) offset: u64,
    pub(crate) body: String,
    pub(crate) truncated: bool,
    pub(crate) path: String,
}

pub(crate) struct Rig {
    folder: tempfile::TempDir,
    log: MemoryLog,
    mood: watch::Sender<Mood>,
    pub(crate) start: Start,
    pub(crate) encoding: &'static str,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) metrics: Metrics,
    running: Option<(CancellationToken, JoinHandle<anyhow::Result<()>>)>,
    ticks: u64,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("logs")).unwrap();
        Self {
            folder,
            log: MemoryLog::new(Lane { signal: Signal::Logs, partition: 0 }),
            mood: watch::Sender::new(Mood::Takes),
            start: Start::Beginning,
            encoding: "utf-8",
            disk: Arc::new(RealDisk),
            metrics: Metrics::new(),
            running: None,
            ticks: 0,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("logs").join(name)
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Replaces a file by its compressed form, as logrotate does.
    pub(crate) fn gzip(&self, name: &str) {
        let mut file = GzEncoder::new(
            fs::File::create(self.path(&format!("{name}.gz"))).unwrap(),
            flate2::Compression::default(),
        );
        file.write_all(&fs::read(self.path(name)).unwrap()).unwrap();
        file.finish().unwrap();
        fs::remove_file(self.path(name)).unwrap();
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    pub(crate) async fn start(&mut self) {
        let include = vec![format!("{}/logs/app*", self.folder.path().display())];
        let sources = vec![SourceConfig {
            include,
            start: self.start,
            encoding: self.encoding.into(),
            ..SourceConfig::default()
        }];
        let loopback = "127.0.0.1:0".parse().unwrap();
        let config = Config {
            sources,
            otlp_http: loopback,
            otlp_grpc: loopback,
            zipkin: None,
            admin: None,
            host_metrics: Period::secs(0),
            ..Config::default()
        };
        let sink = |log: MemoryLog| -> Arc<dyn Sender> {
            Arc::new(Sink { log, mood: self.mood.subscribe(), sends: Arc::default() })
        };
        let other = |signal| sink(MemoryLog::new(Lane { signal, partition: 0 }));
        self.metrics = Metrics::new();
        let deps = Deps {
            senders: Senders {
                logs: sink(self.log.clone()),
                spans: other(Signal::Spans),
                metrics: other(Signal::Metrics),
            },
            disk: self.disk.clone(),
            data_dir: self.folder.path().join("data"),
            metrics: self.metrics.clone(),
            health: Health::default(),
            host: "here".into(),
        };
        let agent = weir_agent::build(&config, deps).await.unwrap();
        let shutdown = CancellationToken::new();
        self.running = Some((shutdown.clone(), tokio::spawn(agent.run(shutdown))));
    }

    pub(crate) async fn stop(&mut self) {
        let (shutdown, task) = self.running.take().unwrap();
        shutdown.cancel();
        task.await.unwrap().unwrap();
    }

    /// kill -9: nothing that is not taken yet is taken any more, and the checkpoint stays as it is now.
    pub(crate) async fn crash(&mut self) {
        self.set_mood(Mood::Gone);
        let kept: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(self.data(""))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            // One that is being written is not there yet.
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .filter_map(|path| Some((path.clone(), fs::read(&path).ok()?)))
            .collect();
        self.stop().await;
        fs::remove_dir_all(self.data("")).unwrap();
        fs::create_dir(self.data("")).unwrap();
        kept.into_iter().for_each(|(path, content)| fs::write(path, content).unwrap());
        self.set_mood(Mood::Takes);
    }

    /// All records as a store would keep them: by incarnation and offset, the first one wins, in the order in which they came.
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut kept: BTreeMap<(Incarnation, u64), String> = BTreeMap::new();
        let mut last: HashMap<Incarnation, u64> = HashMap::new();
        let mut records = Vec::new();
        for batch in self.log.batches() {
            for log in log_refs(&batch.body) {
                let resource = |key| log.resource.attrs().get(key).unwrap().as_str().unwrap().to_owned();
                let incarnation: Incarnation = resource(identity::INCARNATION).parse().unwrap();
                let offset = log.log.attrs().get(identity::OFFSET).unwrap().as_int().unwrap() as u64;
                let origin = batch.origins.iter().find(|o| o.incarnation == incarnation).expect("an origin");
                assert!(origin.range.contains(&offset), "{offset} in {:?}", origin.range);
                let body = log.log.body.as_str().unwrap().to_owned();
                match kept.insert((incarnation, offset), body.clone()) {
                    None => {
                        let before = last.insert(incarnation, offset);
                        assert!(
                            before.is_none_or(|before| before < offset),
                            "in the order of the file: {body}"
                        );
                        records.push(Record {
                            incarnation,
                            offset,
                            body,
                            truncated: log.log.attrs().get(identity::TRUNCATED).is_some(),
                            path: resource("log.file.path"),
                        });
                    }
                    Some(before) => assert_eq!(before, body, "read again it is the same"),
                }
            }
        }
        records.retain(|record| !record.path.ends_with(CLOCK));
        records
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        self.records().into_iter().map(|record| record.body).collect()
    }

    /// Records that were sent, those that came again included.
    pub(crate) fn sent(&self) -> usize {
        self.log.batches().iter().map(|batch| log_refs(&batch.body).count()).sum()
    }

    /// Waits until as many records have come, then compares. Between files there is no order.
    pub(crate) async fn expect<S: AsRef<str>>(&self, lines: &[S]) {
        self.arrive(|found| found.len() >= lines.len()).await;
        let mut found = self.bodies();
        let mut lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
        found.sort();
        lines.sort_unstable();
        if found != lines {
            let missing: Vec<_> =
                lines.iter().filter(|line| !found.iter().any(|f| f == *line)).take(5).collect();
            let strange: Vec<_> =
                found.iter().filter(|line| !lines.contains(&line.as_str())).take(5).collect();
            panic!(
                "{} records instead of {}; missing {missing:.200?}, strange {strange:.200?}",
                found.len(),
                lines.len()
            );
        }
    }

    /// Waits until what has come is enough.
    pub(crate) async fn arrive(&self, enough: impl Fn(&[Record]) -> bool) {
        let mut receiver = self.log.receiver();
        let Ok(Event::Assigned(lane, _)) = receiver.next().await else { panic!("no lane") };
        receiver.seek(lane, Position(0)).await.unwrap();
        while !enough(&self.records()) {
            let next = tokio::time::timeout(PATIENCE, receiver.next()).await;
            next.unwrap_or_else(|_| {
                panic!("only {} records came: {:.2000?}", self.records().len(), self.bodies())
            })
            .unwrap();
        }
    }

    /// Lets time pass: until a line that is written now was found by a sweep and let out because nothing followed it.
    pub(crate) async fn tick(&mut self) {
        self.ticks += 1;
        let line = format!("tick {}", self.ticks);
        self.write(CLOCK, format!("{line}\n"));
        let log = self.log.clone();
        let has_come = move || {
            log.batches()
                .iter()
                .any(|batch| log_refs(&batch.body).any(|log| log.log.body.as_str() == Some(&line)))
        };
        until("a tick", has_come).await;
    }

    /// Waits until the agent holds a file open.
    pub(crate) async fn opened(&self, name: &str) {
        let path = fs::canonicalize(self.path(name)).unwrap();
        until(&format!("{name} is opened"), || open_files().contains(&path)).await;
    }

    /// Waits until the agent has let go of a file that was removed.
    pub(crate) async fn released(&self, name: &str) {
        let path = PathBuf::from(format!("{} (deleted)", self.path(name).display()));
        until(&format!("{name} is released"), || !open_files().contains(&path)).await;
    }

    /// A counter as the agent's metrics page has it, over all sources.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let page = self.metrics.text();
        let name = format!("{name}_total");
        let of_sources = page.lines().filter(|line| line.starts_with(&name));
        let values: Vec<u64> = of_sources.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        assert!(!values.is_empty(), "no {name} in {page}");
        values.iter().sum()
    }
}

/// What this process holds open.
fn open_files() -> Vec<PathBuf> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect()
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Sets a file's time of change.
pub(crate) fn set_modified(path: &Path, time: std::time::SystemTime) {
    OpenOptions::new().append(true).open(path).unwrap().set_modified(time).unwrap();
}
