//! kill -9 at every step of making something durable, again and again, while data arrives.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use bytes::Bytes;
use weir_model::Signal;
use weir_tests::client::Client;
use weir_tests::server::{KillAt, Server};
use weir_tests::trainticket::TrainTicket;
use weir_tests::verify;

use crate::searches;

/// The steps, as the process names them in its log.
const STEPS: [&str; 8] = ["merge", "seal", "close", "roll", "trim", "commit", "append", "checkpoint"];
/// How often the process is to be killed within each of them, as long as there is data; once it must have been.
const HITS: usize = 3;
/// A kill can come after the step that it was meant for; then it does not count.
const KILLS_MAX: usize = 80;

/// Spans of a request, and requests that may be sent before the ones before them are stored.
const SPANS: usize = 100;
const AHEAD: usize = 2;

/// Limits so small that each step happens every few requests.
const LIMITS: &str = "collector:\n  commit_every: 200ms\n  commit_bytes: 32KiB\n  log_segment_bytes: 256KiB\nstore:\n  shard_records: 1200\n";

/// The data as it comes into being: files that grow, and requests that are sent until they are acknowledged.
struct Feed {
    files: Vec<(PathBuf, Vec<u8>)>,
    requests: Vec<Bytes>,
    /// How many requests were acknowledged. As many parts of each file have been written.
    done: usize,
    /// Of them by the server that runs.
    here: usize,
}

impl Feed {
    /// Takes the content of the files away, to write it again bit by bit.
    fn new(data: &TrainTicket) -> Self {
        let files = fs::read_dir(&data.logs_dir).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            let content = fs::read(&path).unwrap();
            fs::write(&path, "").unwrap();
            (path, content)
        });
        Self { files: files.collect(), requests: data.requests(SPANS, 3), done: 0, here: 0 }
    }

    /// Writes a part of each file, wherever in a line that ends, and sends a request. False when the server is gone.
    async fn step(&mut self, client: &Client) -> bool {
        let count = self.requests.len();
        // What was sent before comes again when all is written, and must be recognised.
        if !client.export(&self.requests[self.done % count]).await {
            return false;
        }
        if self.done < count {
            for (path, content) in &self.files {
                let part = content.len() * self.done / count..content.len() * (self.done + 1) / count;
                let mut file = OpenOptions::new().append(true).open(path).unwrap();
                file.write_all(&content[part]).unwrap();
            }
        }
        self.done += 1;
        self.here += 1;
        // No faster than it is stored, so that the data lasts for all kills.
        client.wait_for_received(Signal::Spans, (self.here.saturating_sub(AHEAD) * SPANS) as u64).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_by_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let Some(data) = TrainTicket::load(folder.path()) else { return };
    let config = format!("agent:\n  host_metrics: 0s\n  sources:\n{}{LIMITS}", data.source());
    let mut feed = Feed::new(&data);
    let mut hits: BTreeMap<&str, usize> = STEPS.iter().map(|step| (*step, 0)).collect();
    let mut kills = 0;
    // What was sent before is recognised and stored no more: without new data no step comes.
    while feed.done < feed.requests.len()
        && let Some((step, _)) =
            STEPS.iter().map(|s| (*s, hits[s])).filter(|(_, n)| *n < HITS).min_by_key(|(_, n)| *n)
    {
        assert!(kills < KILLS_MAX, "killed {kills} times, but within the steps only so often: {hits:?}");
        let at = KillAt { step, nth: 1 + kills % 2 };
        let client = Client::new(Server::start_to_kill(folder.path(), &config, at).unwrap());
        feed.here = 0;
        let mut runs = true;
        while runs && feed.done < feed.requests.len() {
            runs = feed.step(&client).await;
        }
        if runs {
            client.server.kill();
            break;
        }
        *hits.get_mut(step).unwrap() += usize::from(client.server.killed());
        kills += 1;
    }
    println!(
        "killed {kills} times; within a step: {hits:?}; {} of {} requests were sent",
        feed.done,
        feed.requests.len()
    );
    assert!(kills >= 20 && hits.values().all(|n| *n > 0), "killed {kills} times; within a step: {hits:?}");

    let client = crate::start(folder.path(), &config);
    feed.here = 0;
    while feed.done < feed.requests.len() {
        assert!(feed.step(&client).await);
    }
    client.wait_for_totals(data.lines.len() as u64, data.spans.len() as u64).await;
    searches::all(&client, &data).await;
    verify::trees(&client, &data.spans, &data.lines, 20).await;
    client.server.stop().unwrap();
}
