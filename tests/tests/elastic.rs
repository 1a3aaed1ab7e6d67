//! `weir up` with a real OpenSearch as its store: either is killed, and everything is found once.

use std::path::Path;

use weir_testkit::search::{Engine, SearchServer};
use weir_tests::client::{Client, LOOK_EVERY};
use weir_tests::http::Http;
use weir_tests::input::{append_lines, spans};
use weir_tests::server::{Server, command, refused};

fn config(logs: &Path, url: &str) -> String {
    format!(
        "agent:
  host_metrics: 0s
  sources:
    - include: [\"{}/*.log\"]
collector:
  commit_every: 200ms
store:
  elastic:
    urls: [\"{url}\"]
    replicas: 0
",
        logs.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_engine_stores_what_was_sent() {
    let dir = tempfile::tempdir().unwrap();
    let (data, logs) = (dir.path().join("data"), dir.path().join("logs"));
    std::fs::create_dir(&data).unwrap();
    std::fs::create_dir(&logs).unwrap();
    let mut engine = SearchServer::start(&Engine::opensearch(), &[]);
    let config = config(&logs, &engine.url());
    let start = || Client::new(Server::start(&data, &config).unwrap());
    let file = logs.join("a.log");

    let mut client = start();
    append_lines(&file, 0..1_000);
    assert!(Http::default().export_spans(client.server.otlp(), &spans(0..500)).await);
    client.wait_for_totals(1_000, 500).await;
    let (_, names) = client.groups("spans", "", "operation").await;
    assert_eq!(names.into_iter().collect::<Vec<_>>(), [("work".to_owned(), 500)]);

    // Killed while it writes.
    append_lines(&file, 1_000..3_000);
    client.server.kill();
    append_lines(&file, 3_000..4_000);
    client = start();
    client.wait_for_totals(4_000, 500).await;

    // The engine is killed, and comes back.
    append_lines(&file, 4_000..6_000);
    engine.kill();
    append_lines(&file, 6_000..7_000);
    assert!(Http::default().export_spans(client.server.otlp(), &spans(500..600)).await, "the log takes them");
    client.wait_for_health(Some("storing of logs")).await;
    engine.resume();
    client.wait_for_health(None).await;
    while client.total("logs", "").await < 7_000 {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    client.wait_for_totals(7_000, 600).await;
    let ledger = client.get("/api/v1/ledger").await;
    let source = &ledger["sources"][0];
    assert_eq!(source["holes"].as_array().map(Vec::len), Some(0), "{source}");
    assert_eq!(client.total("logs", "5999").await, 1);
    client.server.stop().unwrap();

    // Positions of one log mean nothing in another.
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let refused = refused(command(&[], "up", &other, Some(&config), &[]).unwrap()).unwrap();
    assert_eq!(refused.code, Some(1));
    assert!(refused.said.contains("store.elastic.prefix"), "{}", refused.said);
}
