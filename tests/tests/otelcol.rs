//! A real OpenTelemetry Collector at either end of Kafka, and Weir at the other. Run by `make test-engines`, which builds the Collector.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use weir_testkit::free_port;
use weir_testkit::kafka::Broker;
use weir_testkit::otelcol::Collector;
use weir_tests::client::Client;
use weir_tests::http::Http;
use weir_tests::input::{append_lines, spans};
use weir_tests::server::{PATIENCE, Server};

const LINES: u64 = 3_000;
const SPANS: u64 = 2_000;
/// Pause between two readings of all that the Collector wrote.
const READ_EVERY: Duration = Duration::from_millis(250);

/// The Collector follows a file and takes OTLP, its exporter writes to Kafka, and Weir's collector reads it there.
#[tokio::test(flavor = "multi_thread")]
async fn a_collectors_exporter_feeds_weir() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(&[]);
    let config = format!("kafka: {{ brokers: [\"{}\"], partitions: 3 }}\n", broker.address());
    // Makes the topics.
    let client = Client::new(Server::role("collector", dir.path(), &config, &[]).unwrap());
    let (file, port) = (dir.path().join("a.log"), free_port());
    append_lines(&file, 0..LINES);
    let _collector = Collector::start(
        dir.path(),
        &format!(
            "receivers:
  file_log: {{include: [\"{}\"], start_at: beginning}}
  otlp: {{protocols: {{http: {{endpoint: \"127.0.0.1:{port}\"}}}}}}
processors:
  batch: {{send_batch_size: 500, timeout: 200ms}}
exporters:
  kafka: {{brokers: [\"{}\"], partition_traces_by_id: true}}
service:
  pipelines:
    logs: {{receivers: [file_log, otlp], processors: [batch], exporters: [kafka]}}
    traces: {{receivers: [otlp], processors: [batch], exporters: [kafka]}}
",
            file.display(),
            broker.address()
        ),
    );
    let otlp = format!("http://127.0.0.1:{port}");
    assert!(Http::default().export_spans(&otlp, &spans(0..SPANS)).await);
    client.wait_for_totals(LINES, SPANS).await;
    let (_, names) = client.groups("spans", "", "operation").await;
    assert_eq!(names.into_iter().collect::<Vec<_>>(), [("work".to_owned(), SPANS)]);
    // The attribute `log.file.name` of the log record.
    let (_, files) = client.groups("logs", "", "log.log.file.name").await;
    assert_eq!(files.into_iter().collect::<Vec<_>>(), [("a.log".to_owned(), LINES)]);
    for n in [0, 1, LINES - 1] {
        assert_eq!(client.total("logs", &format!("\"a.log line {n}\"")).await, 1, "line {n}");
    }
}

/// What the Collector's file exporter wrote: log bodies, and how many spans of each trace.
fn exported(file: &Path) -> (Vec<String>, BTreeMap<String, usize>) {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let (mut bodies, mut traces) = (Vec::new(), BTreeMap::new());
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    // Its last line may be under way.
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let request: Value = serde_json::from_str(line).expect("a request a line");
        for scope in list(&request, "resourceLogs").iter().flat_map(|resource| list(resource, "scopeLogs")) {
            let records = list(&scope, "logRecords");
            bodies.extend(records.iter().map(|log| log["body"]["stringValue"].as_str().unwrap().to_owned()));
        }
        for scope in list(&request, "resourceSpans").iter().flat_map(|resource| list(resource, "scopeSpans"))
        {
            for span in list(&scope, "spans") {
                *traces.entry(span["traceId"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    (bodies, traces)
}

/// Weir's agent follows files and takes OTLP, and the Collector reads from Kafka what it was: nothing is lost or there twice, and lines are in order.
#[tokio::test(flavor = "multi_thread")]
async fn weirs_agent_feeds_a_collector() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, out) = (dir.path().join("logs"), dir.path().join("out.json"));
    std::fs::create_dir(&logs).unwrap();
    let broker = Broker::start(&[]);
    let config = format!(
        "agent:
  host_metrics: 0s
  sources: [{{include: [\"{}/*.log\"]}}]
forward: {{to: kafka}}
kafka: {{brokers: [\"{}\"], partitions: 3}}
",
        logs.display(),
        broker.address()
    );
    let names = ["a.log", "b.log", "c.log"];
    for name in names {
        append_lines(&logs.join(name), 0..LINES);
    }
    let agent = Server::role("agent", dir.path(), &config, &[]).unwrap();
    assert!(Http::default().export_spans(agent.otlp(), &spans(0..SPANS)).await);
    let _collector = Collector::start(
        dir.path(),
        &format!(
            "receivers:
  kafka: {{brokers: [\"{}\"], initial_offset: earliest}}
exporters:
  file: {{path: \"{}\", flush_interval: 100ms}}
service:
  pipelines:
    logs: {{receivers: [kafka], exporters: [file]}}
    traces: {{receivers: [kafka], exporters: [file]}}
",
            broker.address(),
            out.display()
        ),
    );
    let all = names.len() as u64 * LINES;
    let waiting = async {
        loop {
            let (bodies, traces) = exported(&out);
            if bodies.len() as u64 >= all && traces.len() as u64 >= SPANS {
                return (bodies, traces);
            }
            tokio::time::sleep(READ_EVERY).await;
        }
    };
    let (bodies, traces) = tokio::time::timeout(PATIENCE, waiting).await.expect("everything comes");
    for name in names {
        let found: Vec<&String> = bodies.iter().filter(|body| body.starts_with(name)).collect();
        let written: Vec<String> = (0..LINES).map(|n| format!("{name} line {n}")).collect();
        assert!(found.iter().copied().eq(&written), "{name}: {} lines, or in another order", found.len());
    }
    assert_eq!(bodies.len() as u64, all);
    assert_eq!(traces.len() as u64, SPANS);
    assert!(traces.values().all(|count| *count == 1), "each span once");
    agent.stop().unwrap();
}
