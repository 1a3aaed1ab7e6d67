//! What operators scrape: metrics that Prometheus' own tool accepts, health that tells what is wrong, and readiness.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;
use weir_testkit::kafka::Broker;
use weir_tests::client::{Client, LOOK_EVERY};
use weir_tests::http::Http;
use weir_tests::server::{PATIENCE, Server};

async fn get(url: &str) -> (StatusCode, String) {
    let answer = Http::default().request(Method::GET, url, "", Bytes::new()).await.unwrap();
    (answer.0, String::from_utf8(answer.1.to_vec()).unwrap())
}

/// Lets Prometheus' tool read and lint it.
fn check(metrics: &str) {
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is missing: run scripts/servers.sh");
    tool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{metrics}");
}

/// The value of a sample, written as in the text.
fn sample(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// Asks until the answer satisfies.
async fn until(url: &str, satisfies: impl Fn(&str) -> bool) -> String {
    let begun = Instant::now();
    loop {
        let (_, text) = get(url).await;
        if satisfies(&text) {
            return text;
        }
        assert!(begun.elapsed() < PATIENCE, "{text}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[tokio::test]
async fn figures_of_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.log");
    fs::write(&file, "one\ntwo\n").unwrap();
    let glob = format!("{}/*.log", folder.path().display());
    let client = Client::new(
        Server::start(
            folder.path(),
            &format!("agent: {{host_metrics: 0s, sources: [{{include: ['{glob}']}}]}}"),
        )
        .unwrap(),
    );
    let of_source = |name: &str| format!("{name}{{source=\"{glob}\"}}");
    let acknowledged = of_source("weir_agent_acknowledged_bytes_total");
    let metrics = until(&client.server.metrics(), |text| {
        sample(text, &acknowledged) == Some(8.0)
            && sample(text, &of_source("weir_agent_open_files")) == Some(1.0)
    })
    .await;
    check(&metrics);
    for (name, value) in [
        ("weir_agent_read_bytes_total", 8.0),
        ("weir_agent_queued_bytes_total", 8.0),
        ("weir_agent_lines_total", 2.0),
        ("weir_agent_records_total", 2.0),
        ("weir_agent_derived_spans_total", 0.0),
    ] {
        assert_eq!(sample(&metrics, &of_source(name)), Some(value), "{name}: {metrics}");
    }
    let waiting = of_source("weir_agent_unacknowledged_bytes");
    until(&client.server.metrics(), |text| sample(text, &waiting) == Some(0.0)).await;
    let (status, _) = get(&client.server.health().replace("/health", "/ready")).await;
    assert_eq!(status, StatusCode::OK);
    let health: Value = serde_json::from_str(&get(client.server.health()).await.1).unwrap();
    assert_eq!((&health["status"], &health["reasons"]), (&"ok".into(), &Value::Array(vec![])));
    // In one process the web app's address has the same figures, the collector's among them.
    let same = until(&format!("{}/metrics", client.server.api()), |text| {
        sample(text, "weir_collector_stored_records_total{signal=\"logs\"}") == Some(2.0)
    })
    .await;
    assert!(sample(&same, &acknowledged).is_some(), "{same}");
    check(&same);
    client.server.stop().unwrap();
}

#[tokio::test]
async fn an_agent_whose_collector_is_away() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("app.log"), "one\n").unwrap();
    // Nothing listens at the collector's address; an agent does not need it to be ready.
    let config = format!(
        "agent: {{host_metrics: 0s, sources: [{{include: ['{}/*.log']}}]}}\nforward: {{to: 'http://127.0.0.1:9'}}",
        folder.path().display()
    );
    let agent = Server::role("agent", folder.path(), &config, &[]).unwrap();
    let told = until(agent.health(), |text| text.contains("degraded")).await;
    let health: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(health["reasons"][0]["part"], "forwarding of logs", "{health}");
    until(&agent.health().replace("/health", "/ready"), |text| text == "ready\n").await;
    let metrics = until(&agent.metrics(), |text| {
        sample(text, "weir_agent_spool_batches{signal=\"logs\"}") == Some(1.0)
            && sample(text, "weir_agent_spool_bytes{signal=\"logs\"}").is_some_and(|bytes| bytes > 0.0)
            && sample(text, "weir_agent_forwarding_lag_seconds{signal=\"logs\"}").is_some_and(|lag| lag > 0.0)
    })
    .await;
    check(&metrics);
    agent.stop().unwrap();
}

#[tokio::test]
async fn a_collectors_figures() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Server::role("collector", folder.path(), "{}", &[]).unwrap();
    let (status, metrics) = get(&format!("{}/metrics", collector.api())).await;
    assert_eq!(status, StatusCode::OK);
    assert!(sample(&metrics, "weir_collector_log_bytes{signal=\"spans\"}").is_some(), "{metrics}");
    check(&metrics);
    collector.stop().unwrap();
}

#[tokio::test]
async fn the_whole_way_through_kafka_is_timed() {
    let mut broker = Broker::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    for name in ["agent", "collector"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("app.log"), "one\n").unwrap();
    let config = format!(
        "agent: {{host_metrics: 0s, sources: [{{include: ['{}/*.log']}}]}}\nforward: {{to: kafka}}\nkafka: {{brokers: ['{}']}}\n",
        folder.path().display(),
        broker.address()
    );
    let agent = Server::role("agent", &folder.path().join("agent"), &config, &[]).unwrap();
    let sent = |text: &str| sample(text, "weir_agent_sent_batches_total");
    let lag = "weir_agent_forwarding_lag_seconds{signal=\"logs\"}";
    let spool = |text: &str, what: &str| sample(text, &format!("weir_agent_spool_{what}{{signal=\"logs\"}}"));
    let in_kafka = |text: &str| {
        let all = [sample(text, lag), spool(text, "batches"), spool(text, "bytes")];
        sent(text) == Some(1.0) && all == [Some(0.0); 3]
    };
    let metrics = until(&agent.metrics(), in_kafka).await;
    // Nothing waits, and its file is still there.
    assert!(spool(&metrics, "disk_bytes").is_some_and(|bytes| bytes > 0.0), "{metrics}");
    check(&metrics);
    let arrived = Instant::now();
    broker.kill();
    broker.resume();
    let waited = arrived.elapsed().as_secs_f64();
    let collector = Server::role("collector", &folder.path().join("collector"), &config, &[]).unwrap();
    let of = |what: &str| format!("weir_collector_end_to_end_seconds_{what}{{signal=\"logs\"}}");
    let metrics = until(&collector.metrics(), |text| sample(text, &of("count")) == Some(1.0)).await;
    let seconds = sample(&metrics, &of("sum")).unwrap();
    assert!(seconds >= waited, "{seconds} s after it has waited for {waited} s alone");
    check(&metrics);
    let lag = "weir_collector_storing_lag_seconds{signal=\"logs\"}";
    until(&collector.metrics(), |text| sample(text, lag) == Some(0.0)).await;
    agent.stop().unwrap();
    collector.stop().unwrap();
}

/// The rules that the guide shows are such.
#[test]
fn rules_of_the_guide() {
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/scale.md")).unwrap();
    let rules = guide.split("```yaml\n").find(|part| part.starts_with("groups:")).expect("there are some");
    let rules = rules.split("```").next().expect("it ends");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yaml");
    fs::write(&file, rules).unwrap();
    let output = Command::new("promtool").args(["check", "rules"]).arg(&file).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}
