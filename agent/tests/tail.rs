//! Files of every fate, followed: each line comes once, whole, in order.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flate2::write::GzEncoder;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_agent::{Config, Deps, SourceConfig, Start};
use weir_disk::RealDisk;
use weir_model::otlp::log_refs;
use weir_model::{Incarnation, Signal, identity};
use weir_runtime::{Health, Metrics, Period};
use weir_transport::memory::MemoryLog;
use weir_transport::{Event, Lane, Position, Receiver, Senders};

/// Generous: only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

struct Rig {
    folder: tempfile::TempDir,
    log: MemoryLog,
    start: Start,
    running: Option<(CancellationToken, JoinHandle<anyhow::Result<()>>)>,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("logs")).unwrap();
        let log = MemoryLog::new(Lane { signal: Signal::Logs, partition: 0 });
        Self { folder, log, start: Start::Beginning, running: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("logs").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    async fn start(&mut self) {
        let include = vec![format!("{}/logs/app*", self.folder.path().display())];
        let sources = vec![SourceConfig { include, start: self.start, ..SourceConfig::default() }];
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
        let sender = Arc::new(self.log.clone());
        let deps = Deps {
            senders: Senders { logs: sender.clone(), spans: sender.clone(), metrics: sender },
            disk: Arc::new(RealDisk),
            data_dir: self.folder.path().join("data"),
            metrics: Metrics::new(),
            health: Health::default(),
            host: "here".into(),
        };
        let agent = weir_agent::build(&config, deps).await.unwrap();
        let shutdown = CancellationToken::new();
        self.running = Some((shutdown.clone(), tokio::spawn(agent.run(shutdown))));
    }

    async fn stop(&mut self) {
        let (shutdown, task) = self.running.take().unwrap();
        shutdown.cancel();
        task.await.unwrap().unwrap();
    }

    /// All records as a store would keep them: by incarnation and offset, first one wins.
    fn records(&self) -> Vec<String> {
        let mut kept: BTreeMap<(Incarnation, u64), String> = BTreeMap::new();
        let mut order = Vec::new();
        for batch in self.log.batches() {
            for log in log_refs(&batch.body) {
                let incarnation: Incarnation = log
                    .resource
                    .attrs()
                    .get(identity::INCARNATION)
                    .unwrap()
                    .as_str()
                    .unwrap()
                    .parse()
                    .unwrap();
                let offset = log.log.attrs().get(identity::OFFSET).unwrap().as_int().unwrap() as u64;
                let origin = batch.origins.iter().find(|o| o.incarnation == incarnation).expect("an origin");
                assert!(origin.range.contains(&offset), "{offset} in {:?}", origin.range);
                let body = log.log.body.as_str().unwrap().to_owned();
                match kept.insert((incarnation, offset), body.clone()) {
                    None => order.push(body),
                    Some(before) => assert_eq!(before, body, "read again it is the same"),
                }
            }
        }
        order
    }

    /// Waits until as many records have come, then compares.
    async fn expect(&self, lines: &[&str]) {
        let mut receiver = self.log.receiver();
        let Ok(Event::Assigned(lane, _)) = receiver.next().await else { panic!("no lane") };
        receiver.seek(lane, Position(0)).await.unwrap();
        while self.records().len() < lines.len() {
            let next = tokio::time::timeout(PATIENCE, receiver.next()).await;
            next.unwrap_or_else(|_| panic!("only {:?} came", self.records())).unwrap();
        }
        let mut found = self.records();
        let mut lines = lines.to_vec();
        // Between files there is no order.
        found.sort();
        lines.sort();
        assert_eq!(found, lines);
    }
}

fn compress(path: &Path) {
    let mut target = path.as_os_str().to_owned();
    target.push(".gz");
    let mut gzip = GzEncoder::new(fs::File::create(target).unwrap(), flate2::Compression::default());
    gzip.write_all(&fs::read(path).unwrap()).unwrap();
    gzip.finish().unwrap();
    fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn lines_come_as_they_are_written() {
    let mut rig = Rig::new();
    rig.write("app.log", "one\ntwo\nhal");
    rig.start().await;
    rig.expect(&["one", "two"]).await;
    rig.write("app.log", "f\n\nlast\n");
    rig.write("other.log", "not included\n");
    rig.expect(&["one", "two", "half", "last"]).await;
    rig.stop().await;
}

#[tokio::test]
async fn files_that_take_turns_keep_their_own_resource() {
    let mut rig = Rig::new();
    // Longer than a turn, and both turns together shorter than a batch: the files alternate within it.
    let lines: Vec<String> = ["app-a.log", "app-b.log"]
        .iter()
        .flat_map(|name| (0..1_500).map(move |n| format!("{name} {n} {}", "x".repeat(400))))
        .collect();
    for line in &lines {
        rig.write(&line[..9], &format!("{line}\n"));
    }
    rig.start().await;
    rig.expect(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
    rig.stop().await;
    for batch in rig.log.batches() {
        for log in log_refs(&batch.body) {
            let path = log.resource.attrs().get("log.file.path").unwrap().as_str().unwrap();
            let body = log.log.body.as_str().unwrap();
            assert!(path.ends_with(&body[..9]), "{body} in {path}");
        }
    }
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let mut rig = Rig::new();
    rig.write("app.log", "one\nhal");
    rig.start().await;
    rig.expect(&["one"]).await;
    rig.stop().await;
    rig.write("app.log", "f\nthree\n");
    rig.start().await;
    rig.expect(&["one", "half", "three"]).await;
    rig.stop().await;
    let sent: usize = rig.log.batches().iter().map(|b| log_refs(&b.body).count()).sum();
    assert_eq!(sent, 3, "nothing was sent again");
}

#[tokio::test]
async fn files_from_before_the_data_folder_may_start_at_their_end() {
    let mut rig = Rig::new();
    rig.start = Start::End;
    rig.write("app.log", "old\n");
    rig.start().await;
    // The checkpoint is there as soon as the first look is over.
    let checkpoint = rig.folder.path().join("data/checkpoints.json");
    let looked = async {
        while !checkpoint.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.unwrap();
    rig.write("app-2.log", "later file\n");
    rig.expect(&["later file"]).await;
    rig.write("app.log", "new\n");
    rig.expect(&["later file", "new"]).await;
    rig.stop().await;
}

#[tokio::test]
async fn rotation_by_rename_and_compression() {
    let mut rig = Rig::new();
    rig.write("app.log", "one\n");
    rig.start().await;
    rig.expect(&["one"]).await;
    rig.write("app.log", "two\n");
    fs::rename(rig.path("app.log"), rig.path("app.log.1")).unwrap();
    rig.write("app.log", "three\n");
    rig.expect(&["one", "two", "three"]).await;
    compress(&rig.path("app.log.1"));
    rig.write("app.log", "four\n");
    rig.expect(&["one", "two", "three", "four"]).await;
    rig.stop().await;
}

#[tokio::test]
async fn rotation_while_stopped() {
    let mut rig = Rig::new();
    rig.write("app.log", "one\n");
    rig.start().await;
    rig.expect(&["one"]).await;
    rig.stop().await;
    rig.write("app.log", "two\n");
    fs::rename(rig.path("app.log"), rig.path("app.log.1")).unwrap();
    compress(&rig.path("app.log.1"));
    rig.write("app.log", "three\n");
    rig.start().await;
    rig.expect(&["one", "two", "three"]).await;
    rig.stop().await;
    rig.start().await;
    rig.write("app.log", "four\n");
    rig.expect(&["one", "two", "three", "four"]).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_file_that_is_cut_begins_anew() {
    let mut rig = Rig::new();
    rig.write("app.log", "same first line\ntwo\n");
    rig.start().await;
    rig.expect(&["same first line", "two"]).await;
    // As copytruncate does it: a copy, then the file is cut in place; the new first line is the old one.
    fs::copy(rig.path("app.log"), rig.path("app.log.1")).unwrap();
    fs::write(rig.path("app.log"), "same first line\n").unwrap();
    rig.expect(&["same first line", "two", "same first line"]).await;
    // Cut and filled beyond the old place at once.
    fs::write(rig.path("app.log"), "quite another line, and longer\n").unwrap();
    rig.expect(&["same first line", "two", "same first line", "quite another line, and longer"]).await;
    rig.stop().await;
}

#[tokio::test]
async fn files_with_the_same_head_are_all_read() {
    let mut rig = Rig::new();
    let banner = format!("{}\n", "banner".repeat(700));
    let banner = banner.as_str();
    for n in 0..30 {
        rig.write(&format!("app{n:02}.log"), banner);
    }
    rig.start().await;
    let line = banner.trim_end();
    rig.expect(&vec![line; 30]).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_stack_trace_stays_with_its_line() {
    let mut rig = Rig::new();
    rig.start().await;
    rig.write("app.log", "10:00:00.000 ERROR x failed\njava.io.IOException: reset\n\tat a.B.c(B.java:1)\n10:00:01.000 INFO x next\n");
    rig.expect(&[
        "10:00:00.000 ERROR x failed\njava.io.IOException: reset\n\tat a.B.c(B.java:1)",
        "10:00:01.000 INFO x next",
    ])
    .await;
    rig.stop().await;
}

#[tokio::test]
async fn long_lines_are_cut_and_holes_are_skipped() {
    let mut rig = Rig::new();
    let long = "x".repeat(3 << 20);
    rig.write("app.log", &format!("one\n{long}\n\0\0\0\0two\n"));
    rig.start().await;
    let cut = "x".repeat(1 << 20);
    rig.expect(&["one", &cut, "two"]).await;
    rig.stop().await;
}
