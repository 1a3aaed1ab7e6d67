//! Real input: what went in is found again, exactly, whatever happens in between.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use flate2::write::GzEncoder;
use weir_tests::client::{Client, encode};
use weir_tests::server::Server;
use weir_tests::trainticket::{TrainTicket, service};

/// Small limits, so that commits, rolls, merges and seals all happen many times.
fn config(data: &TrainTicket) -> String {
    format!(
        "agent:\n  host_metrics: 0s\n  sources:\n{}collector:\n  commit_every: 300ms\n  commit_bytes: 4MiB\nstore:\n  shard_records: 60000\n",
        data.source()
    )
}

fn start(dir: &Path, config: &str) -> Client {
    Client::new(Server::start(dir, config).unwrap())
}

fn count_by<T>(items: &[T], key: impl Fn(&T) -> String) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    items.iter().for_each(|item| *counts.entry(key(item)).or_default() += 1);
    counts
}

/// Counts by pod and service, fragments, words, attributes and durations: each as a scan of the raw files gives it.
async fn check_counts(client: &Client, data: &TrainTicket) {
    let (entries, spans) = (&data.entries, &data.spans);
    assert_eq!(client.groups("logs", "", "k8s.pod.name").await.1, count_by(entries, |e| e.pod.clone()));
    assert_eq!(
        client.groups("logs", "", "service").await.1,
        count_by(entries, |e| service(&e.pod).to_owned())
    );
    assert_eq!(client.groups("spans", "", "k8s.pod.name").await.1, count_by(spans, |s| s.pod.clone()));
    assert_eq!(
        client.groups("spans", "", "service").await.1,
        count_by(spans, |s| service(&s.pod).to_owned())
    );
    let operations = count_by(spans, |s| s.operation.clone());
    assert_eq!(client.groups("spans", "", "operation").await.1, operations);
    let fragments = entries.iter().filter(|e| !e.has_newline).count() as u64;
    assert_eq!((client.total("logs", "weir.truncated = true").await, fragments), (fragments, 1_408));

    let tokens: Vec<HashSet<String>> = entries
        .iter()
        .map(|e| {
            e.text
                .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .filter(|w| !w.is_empty())
                .map(str::to_lowercase)
                .collect()
        })
        .collect();
    for word in ["ticket", "order", "success", "orderid", "error", "typeindex"] {
        let expect = tokens.iter().filter(|words| words.contains(word)).count() as u64;
        assert_eq!(client.total("logs", word).await, expect, "{word}");
    }
    let both =
        tokens.iter().filter(|words| words.contains("order") && words.contains("success")).count() as u64;
    assert_eq!(client.total("logs", "order success").await, both);
    let prefixed = tokens.iter().filter(|words| words.iter().any(|w| w.starts_with("tick"))).count() as u64;
    assert_eq!(client.total("logs", "tick*").await, prefixed);

    for (logger, count) in count_by(entries, |e| e.logger.clone()).into_iter().take(10) {
        assert_eq!(client.total("logs", &format!("logger = \"{logger}\"")).await, count, "{logger}");
    }
    let pod = &entries[0].pod;
    let expect = entries.iter().filter(|e| e.pod == *pod).count() as u64;
    assert_eq!(client.total("logs", &format!("resource.k8s.pod.name = {pod}")).await, expect);

    for millis in [0, 5, 60, 1_000] {
        let long: Vec<_> = spans.iter().filter(|s| s.end - s.start >= millis * 1_000_000).collect();
        let q = format!("duration >= {millis}ms");
        assert_eq!(client.total("spans", &q).await, long.len() as u64, "{q}");
        let traces: HashSet<_> = long.iter().map(|s| &s.trace).collect();
        let answer = client.get(&format!("/api/v1/traces?q={}&limit=1", encode(&q))).await;
        assert_eq!(answer["total"]["value"], traces.len() as u64, "traces {q}");
    }
    let mut durations: HashMap<&str, (u64, u64)> = HashMap::new();
    for span in spans {
        let entry = durations.entry(&span.trace).or_insert((u64::MAX, 0));
        // Root start to last end.
        entry.0 = if span.parent.is_none() { span.start } else { entry.0 };
        entry.1 = entry.1.max(span.end);
    }
    let expect = durations.values().filter(|(start, end)| end - start >= 2_000_000_000).count();
    let answer = client.get(&format!("/api/v1/traces?q={}&limit=1", encode("trace.duration >= 2s"))).await;
    assert_eq!(answer["total"]["value"], expect as u64);
}

/// Every tree is the CSV's, and every log line stands on its span.
async fn check_traces(client: &Client, data: &TrainTicket, every: usize) {
    let mut by_trace: BTreeMap<&str, BTreeMap<&str, Option<&str>>> = BTreeMap::new();
    for span in &data.spans {
        by_trace.entry(&span.trace).or_default().insert(&span.span, span.parent.as_deref());
    }
    assert_eq!(by_trace.len(), 3_152);
    let mut lines: HashMap<&str, BTreeMap<&str, u64>> = HashMap::new();
    for entry in &data.entries {
        *lines.entry(&entry.trace).or_default().entry(&entry.span).or_default() += 1;
    }
    for (trace, spans) in by_trace.iter().step_by(every) {
        let answer = client.get(&format!("/api/v1/traces/{trace}")).await;
        let ids: Vec<&str> =
            answer["spans"]["id"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        let parents = answer["spans"]["parent"].as_array().unwrap().iter().map(|p| p.as_i64().unwrap());
        let found: BTreeMap<&str, Option<&str>> = ids
            .iter()
            .zip(parents)
            .map(|(id, parent)| (*id, usize::try_from(parent).ok().map(|p| ids[p])))
            .collect();
        assert_eq!((ids.len(), &found), (spans.len(), spans), "the tree of {trace}");
        let expect = lines.get(trace).cloned().unwrap_or_default();
        let answer = client.get(&format!("/api/v1/traces/{trace}/logs?limit=1000")).await;
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for log in answer["logs"].as_array().unwrap() {
            let row = log["span"].as_i64().unwrap();
            assert_eq!(
                log["spanId"],
                ids[usize::try_from(row).unwrap()],
                "a line of {trace} stands on its span"
            );
            *counts.entry(ids[row as usize]).or_default() += 1;
        }
        assert_eq!(counts, expect, "lines of {trace}");
    }
}

async fn export_all(client: &Client, requests: &[Bytes]) {
    for request in requests {
        assert!(client.export(request).await, "the server takes it");
    }
}

#[tokio::test]
async fn everything_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(data) = TrainTicket::load(folder.path()) else { return };
    let (logs, spans) = (data.entries.len() as u64, data.spans.len() as u64);
    assert_eq!((logs, spans), (118_415, 225_250));
    let config = config(&data);
    let client = start(folder.path(), &config);
    export_all(&client, &data.requests(2_000, 1)).await;
    client.wait_for_totals(logs, spans).await;
    check_counts(&client, &data).await;
    check_traces(&client, &data, 1).await;
    client.server.stop().unwrap();

    // Files renamed and compressed, spans grouped in another way, over a restart and rolls: all of it is recognised.
    for (n, entry) in fs::read_dir(&data.logs_dir).unwrap().enumerate() {
        let path = entry.unwrap().path();
        let rotated = path.with_extension("log.1");
        fs::rename(&path, &rotated).unwrap();
        if n % 2 == 0 {
            let mut gzip = GzEncoder::new(
                fs::File::create(path.with_extension("log.1.gz")).unwrap(),
                flate2::Compression::fast(),
            );
            gzip.write_all(&fs::read(&rotated).unwrap()).unwrap();
            gzip.finish().unwrap();
            fs::remove_file(rotated).unwrap();
        }
    }
    let client = start(folder.path(), &config);
    export_all(&client, &data.requests(777, 5)).await;
    client.wait_for_received(spans).await;
    client.wait_for_totals(logs, spans).await;
    check_counts(&client, &data).await;
    check_traces(&client, &data, 50).await;
    client.server.stop().unwrap();
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_by_kill_9() {
    /// How often it is killed at least.
    const KILLS: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let Some(data) = TrainTicket::load(folder.path()) else { return };
    let (logs, spans) = (data.entries.len() as u64, data.spans.len() as u64);
    let config = config(&data);
    let requests = data.requests(500, 3);
    let (mut sent, mut kills) = (0, 0);
    let part = requests.len().div_ceil(KILLS);
    while sent < requests.len() || kills < KILLS {
        let client = start(folder.path(), &config);
        let until = (sent + part).min(requests.len());
        while sent < until {
            assert!(client.export(&requests[sent]).await);
            sent += 1;
        }
        // Paced by progress: each time after so much more has been acknowledged, in the middle of what that sets off.
        tokio::time::sleep(Duration::from_millis(37 * (kills as u64 % 9))).await;
        client.server.kill();
        kills += 1;
    }
    let client = start(folder.path(), &config);
    client.wait_for_totals(logs, spans).await;
    check_counts(&client, &data).await;
    check_traces(&client, &data, 20).await;
    client.server.stop().unwrap();
}

/// How much of what is there was found, and how much of what was found is there.
#[derive(Debug, Default)]
struct Score {
    right: u64,
    found: u64,
    expected: u64,
}

impl Score {
    fn precision(&self) -> f64 {
        self.right as f64 / self.found as f64
    }

    fn recall(&self) -> f64 {
        self.right as f64 / self.expected as f64
    }
}

/// What the log lines alone tell: spans that wrote lines are observed, and their parents are found from times.
#[tokio::test]
async fn logs_alone_give_observed_spans() {
    let folder = tempfile::tempdir().unwrap();
    let Some(data) = TrainTicket::load(folder.path()) else { return };
    let client = start(folder.path(), &config(&data));
    client.wait_for_totals(data.entries.len() as u64, 0).await;

    let rows: HashMap<(&str, &str), _> = data.spans.iter().map(|s| ((&*s.trace, &*s.span), s)).collect();
    let mut logged: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for entry in &data.entries {
        logged.entry(&entry.trace).or_default().insert(&entry.span);
    }
    // Of the spans that lines name, the nearest ancestor that lines name too.
    let parent_of = |trace: &str, span: &str| {
        std::iter::successors(rows[&(trace, span)].parent.as_deref(), |&id| {
            rows[&(trace, id)].parent.as_deref()
        })
        .find(|id| logged[trace].contains(id))
    };
    let (mut spans, mut services, mut edges) = (Score::default(), Score::default(), Score::default());
    for (trace, ids) in &logged {
        let answer = client.get(&format!("/api/v1/traces/{trace}")).await;
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let column = |name: &str| answer["spans"][name].as_array().unwrap().clone();
        let names: Vec<String> =
            answer["services"].as_array().unwrap().iter().map(|s| text(&s["name"])).collect();
        let found: Vec<String> = column("id").iter().map(text).collect();
        let truth: HashSet<&str> = ids.iter().map(|id| service(&rows[&(*trace, *id)].pod)).collect();
        spans.found += found.len() as u64;
        spans.expected += ids.len() as u64;
        spans.right += found.iter().filter(|id| ids.contains(id.as_str())).count() as u64;
        services.found += names.len() as u64;
        services.expected += truth.len() as u64;
        services.right += names.iter().filter(|name| truth.contains(name.as_str())).count() as u64;
        for (id, parent) in found.iter().zip(column("parent")) {
            let parent = usize::try_from(parent.as_i64().unwrap()).ok().map(|row| found[row].as_str());
            let truth = parent_of(trace, id);
            edges.found += u64::from(parent.is_some());
            edges.expected += u64::from(truth.is_some());
            edges.right += u64::from(truth.is_some() && parent == truth);
        }
        let observed = column("flags").iter().all(|flags| flags.as_u64().unwrap() & 2 == 2);
        assert!(observed, "{trace}: no span has come, so all are marked as observed");
    }
    for (what, score) in [("spans", &spans), ("services", &services), ("parents", &edges)] {
        println!(
            "from logs alone, {what}: precision {:.4}, recall {:.4} of {}",
            score.precision(),
            score.recall(),
            score.expected
        );
    }
    // Every span that wrote a line is found, with its service; a parent is a guess, right this often.
    assert_eq!((spans.right, spans.found), (35_709, 35_709));
    assert_eq!((services.precision(), services.recall()), (1.0, 1.0));
    assert!(edges.precision() > 0.99 && edges.recall() > 0.95, "{edges:?}");
    client.server.stop().unwrap();
}
