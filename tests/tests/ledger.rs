//! The ledger's sums equal what was written, whatever happens to the process; and retention takes whole shards and leaves the rest exact.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};
use weir_model::otlp::{BodyWriter, SpanWriter};
use weir_model::{SpanId, TraceId};
use weir_tests::client::Client;
use weir_tests::input::{append_lines, spans};
use weir_tests::server::Server;

/// What was written to a file.
#[derive(Debug, Default, Clone)]
struct Written {
    path: PathBuf,
    lines: u64,
    bytes: u64,
    /// Bytes that were there before and are not to be read.
    skipped: u64,
}

impl Written {
    fn new(path: PathBuf) -> Self {
        Self { path, ..Self::default() }
    }

    fn append(&mut self, count: u64) {
        self.bytes += append_lines(&self.path, self.lines..self.lines + count);
        self.lines += count;
    }
}

/// What the ledger must say of a file that is read to its end.
fn row(of: &Written) -> Value {
    let (from, size) = (of.skipped, of.skipped + of.bytes);
    let stored = json!([{
        "signal": "logs", "bytes": of.bytes, "records": of.lines, "ranges": [{"start": from, "end": size}],
    }]);
    let holes = match from {
        0 => json!([]),
        _ => json!([{"start": 0, "end": from, "cause": "skipped-at-start"}]),
    };
    json!({
        "path": of.path, "read": size, "acknowledged": size, "pending": 0,
        "stored": if of.bytes > 0 { stored } else { json!([]) }, "holes": holes,
    })
}

/// Waits until the ledger says exactly what was written. An incarnation is random and left out.
async fn wait_for_ledger(client: &Client, files: &[&Written]) -> Value {
    let mut expect: Vec<Value> = files.iter().map(|file| row(file)).collect();
    expect.sort_by_key(|row| (row["path"].to_string(), row["read"].as_u64()));
    let ledger = client
        .wait("/api/v1/ledger", |ledger| {
            let mut found = ledger["sources"].as_array().unwrap().clone();
            found.iter_mut().for_each(|row| drop(row.as_object_mut().unwrap().remove("incarnation")));
            found.sort_by_key(|row| (row["path"].to_string(), row["read"].as_u64()));
            found == expect
        })
        .await;
    let incarnations: BTreeSet<String> =
        ledger["sources"].as_array().unwrap().iter().map(|row| row["incarnation"].to_string()).collect();
    assert_eq!((incarnations.len(), &ledger["total"]), (files.len(), &json!(files.len())));
    ledger
}

fn config(logs: &Path) -> String {
    format!(
        "agent: {{host_metrics: 0s, sources: [{{include: ['{0}/*.log*']}}, {{include: ['{0}/late/*'], start: end}}]}}\n\
         collector: {{commit_every: 100ms}}\nstore: {{shard_records: 700}}\n",
        logs.display()
    )
}

#[tokio::test]
async fn sums_equal_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    fs::create_dir_all(logs.join("late")).unwrap();
    let config = config(&logs);
    let mut a = Written::new(logs.join("a.log"));
    let mut b = Written::new(logs.join("b.log"));
    let mut late = Written::new(logs.join("late/old"));
    a.append(1_000);
    b.append(10);
    late.skipped = append_lines(&late.path, 0..50);
    let client = Client::new(Server::start(folder.path(), &config).unwrap());
    wait_for_ledger(&client, &[&a, &b, &late]).await;

    // What grows, and what is met later, also where `start: end` is set.
    let mut met = Written::new(logs.join("late/new"));
    late.append(5);
    met.append(7);
    a.append(1_500);
    wait_for_ledger(&client, &[&a, &b, &late, &met]).await;

    // Renamed, it is the same source; what comes under its name is another.
    let rotated = Written { path: logs.join("b.log.1"), ..b.clone() };
    fs::rename(&b.path, &rotated.path).unwrap();
    b = Written::new(b.path);
    b.append(20);
    wait_for_ledger(&client, &[&a, &b, &late, &met, &rotated]).await;

    // A crash and a clean end change nothing, and nothing comes twice.
    client.server.kill();
    a.append(300);
    let client = Client::new(Server::start(folder.path(), &config).unwrap());
    wait_for_ledger(&client, &[&a, &b, &late, &met, &rotated]).await;
    client.server.stop().unwrap();
    met.append(1);
    let client = Client::new(Server::start(folder.path(), &config).unwrap());
    wait_for_ledger(&client, &[&a, &b, &late, &met, &rotated]).await;
    let lines = [&a, &b, &late, &met, &rotated].iter().map(|file| file.lines).sum();
    client.wait_for_totals(lines, 0).await;
    client.server.stop().unwrap();
}

/// A span of a trace without an id, which can't be stored, beside one that can.
fn half_refused() -> Bytes {
    let mut body = BodyWriter::default();
    body.resource(|attrs| attrs.str("service.name", "shop"));
    body.scope("", "");
    let (trace, span) = (TraceId::new([1; 16]).unwrap(), SpanId::new([1; 8]).unwrap());
    body.record(|out| SpanWriter::new(out, trace, span).name("work"));
    body.raw_record(&[0x2a, 0x04, b'n', b'o', b'n', b'e']);
    body.finish().into()
}

#[tokio::test]
async fn records_that_came_are_counted_by_what_became_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    fs::create_dir_all(&logs).unwrap();
    let client = Client::new(Server::start(folder.path(), &config(&logs)).unwrap());
    assert!(client.export(&spans(0..100)).await);
    // Again, grouped otherwise.
    assert!(client.export(&spans(50..150)).await);
    assert!(client.export(&half_refused()).await);
    let row = |signal: &str, stored: u64, duplicate: u64, refused: u64| json!({"signal": signal, "stored": stored, "duplicate": duplicate, "refused": refused, "lostBatches": 0});
    let expect = json!([row("logs", 0, 0, 0), row("spans", 151, 50, 1), row("metrics", 0, 0, 0)]);
    let ledger = client.wait("/api/v1/ledger", |ledger| ledger["records"] == expect).await;
    assert_eq!(ledger["sources"], json!([]), "what has no offsets in a source is counted only");
    client.server.stop().unwrap();
}

/// All bodies that are found, newest last.
async fn bodies(client: &Client) -> Vec<String> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/api/v1/logs?limit=1000{cursor}")).await;
        let logs = page["logs"].as_array().unwrap();
        all.extend(logs.iter().map(|log| log["body"].as_str().unwrap().to_owned()));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", weir_tests::client::encode(next)),
            None => break,
        }
    }
    all.sort_by_key(|body| body.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    all
}

/// How many log records retention has removed so far, and how many are held.
fn removed(status: &Value) -> (u64, u64) {
    let stage =
        status["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == "store logs").unwrap();
    let words: Vec<&str> = stage["detail"].as_str().unwrap().split(' ').collect();
    (words[2].parse().unwrap(), stage["records"].as_u64().unwrap())
}

/// What is left of so many lines, once they are stored, are the newest, without a hole, and as many as the store says. Returns how many are
/// gone.
async fn the_rest_is_exact(client: &Client, lines: u64) -> u64 {
    let all = |status: &Value| removed(status).0 + removed(status).1 == lines;
    loop {
        let (gone, held) = removed(&client.wait("/api/v1/status", all).await);
        let found =
            (bodies(client).await, client.total("logs", "").await, client.total("logs", "line").await);
        // Another shard may go between two questions.
        if removed(&client.get("/api/v1/status").await).0 == gone {
            let expect: Vec<String> = (gone..lines).map(|n| format!("a.log line {n}")).collect();
            assert_eq!(found, (expect, held, held));
            return gone;
        }
    }
}

#[tokio::test]
async fn retention_by_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    fs::create_dir_all(&logs).unwrap();
    let config = format!(
        "{}  retain_bytes: 8KiB\n",
        config(&logs).replace("store: {shard_records: 700}", "store:\n  shard_records: 500")
    );
    let client = Client::new(Server::start(folder.path(), &config).unwrap());
    let path = logs.join("a.log");
    let mut lines = 0;
    let mut gone = 0;
    // Each round is more than a shard.
    for _ in 0..12 {
        append_lines(&path, lines..lines + 600);
        lines += 600;
        client
            .wait("/api/v1/status", |status| {
                let (gone, held) = removed(status);
                gone + held == lines
            })
            .await;
        gone = the_rest_is_exact(&client, lines).await.max(gone);
    }
    assert!(gone > 0, "nothing was removed");
    client.server.kill();
    let client = Client::new(Server::start(folder.path(), &config).unwrap());
    client.wait("/api/v1/status", |status| removed(status).0 >= gone).await;
    the_rest_is_exact(&client, lines).await;
    // The ledger still knows what was stored, so that nothing of it comes again.
    let ledger = client.get("/api/v1/ledger").await;
    assert_eq!(ledger["sources"][0]["stored"][0]["bytes"], fs::metadata(&path).unwrap().len());
    client.server.stop().unwrap();
}

#[tokio::test]
async fn retention_by_age() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    fs::create_dir_all(&logs).unwrap();
    let config = format!(
        "{}  shard_age: 1s\n  retain_age: 3s\n",
        config(&logs).replace("store: {shard_records: 700}", "store:\n  shard_records: 500")
    );
    let client = Client::new(Server::start(folder.path(), &config).unwrap());
    append_lines(&logs.join("a.log"), 0..1_200);
    // Also where nothing more comes.
    client.wait("/api/v1/status", |status| removed(status) == (1_200, 0)).await;
    client.wait_for_totals(0, 0).await;
    append_lines(&logs.join("a.log"), 1_200..1_300);
    assert!(the_rest_is_exact(&client, 1_300).await >= 1_200);
    client.server.stop().unwrap();
}
