//! A search engine that takes connections and answers nothing, as one whose process is stopped or whose machine hangs: what a collector and `weir query` say of
//! it, and where they say nothing more.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;
use weir_testkit::search::{Engine, SearchServer};
use weir_tests::client::Client;
use weir_tests::http::Http;
use weir_tests::input::append_lines;
use weir_tests::server::{Server, binary, command};

/// Connections that are refused before the engine is there: a start that tries again so often says so once.
const REFUSED: usize = 3;

/// Stops a process or lets it go on.
fn signal(pid: u32, signal: libc::c_int) {
    // SAFETY: a signal to a process that the test has started and not waited for.
    assert_eq!(unsafe { libc::kill(pid as i32, signal) }, 0);
}

/// A role whose log is in `dir`.
fn start(role: &str, dir: &Path, config: &str) -> Server {
    let mut command = command(&[], role, dir, Some(config), &[("WEIR_LOG", "info")]).unwrap();
    command.stderr(File::create(dir.join("stderr")).unwrap());
    Server::spawn(command).unwrap()
}

/// The lines of a role's log that contain one of some words.
fn lines(dir: &Path, words: [&str; 2]) -> Vec<String> {
    let log = fs::read_to_string(dir.join("stderr")).unwrap();
    log.lines().filter(|line| words.iter().any(|word| line.contains(word))).map(str::to_owned).collect()
}

async fn ask(client: &Client, path: &str) -> (StatusCode, Value) {
    let url = format!("{}{path}", client.server.api());
    let asked = Http::default().request(Method::GET, &url, "application/json", Bytes::new()).await;
    let (status, body) = asked.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Where a part of the process that is not well says why, and since when.
fn reason<'h>(health: &'h Value, part: &str) -> Option<&'h Value> {
    health["reasons"].as_array()?.iter().find(|reason| reason["part"] == part)
}

/// Holds a process to telling, wherever it is asked, which node does not answer.
async fn tells(client: &Client, stage: &str, url: &str) {
    let health = client.wait("/health", |health| reason(health, "search engine").is_some()).await;
    let engine = reason(&health, "search engine").unwrap();
    assert!(
        engine["what"].as_str().unwrap().contains(url) && engine["seconds"].as_u64() >= Some(5),
        "{engine}"
    );

    let (status, body) = ask(client, "/api/v1/logs?limit=1").await;
    let error = &body["error"];
    assert_eq!((status, &error["code"]), (StatusCode::SERVICE_UNAVAILABLE, &"away".into()), "{body}");
    let says = format!("{url} has not answered for ");
    assert!(error["message"].as_str().unwrap().contains(&says), "{body}");

    // What the process knows itself it tells all the same.
    let (status, body) = ask(client, "/api/v1/status").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(body["untold"].as_str().unwrap().contains(&says), "{body}");
    for figure in ["newestNs", "services", "hosts"] {
        assert!(body[figure].is_null(), "{body}");
    }
    let stages = body["stages"].as_array().unwrap();
    let stage = stages.iter().find(|of| of["name"] == stage).expect("it has the stage");
    assert!(stage["state"] == "failing" && stage["detail"].as_str().unwrap().contains(&says), "{stage}");
}

/// `weir audit` with so much patience: its exit code, and what it says.
fn audit(api: &str, wait: &str) -> (Option<i32>, String) {
    let output = Command::new(binary()).args(["audit", "--collector", api, "--wait", wait]).output();
    let output = output.expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_search_engine_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let [up, query, late, logs] = ["up", "query", "late", "logs"].map(|name| {
        let path = dir.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    });
    let mut engine = SearchServer::start(&Engine::opensearch(), &[]);
    let url = engine.url();
    let elastic = format!("store: {{ elastic: {{ urls: [\"{url}\"], replicas: 0 }} }}\n");
    let agent = format!(
        "agent:\n  host_metrics: 0s\n  sources:\n    - include: [\"{}/*.log\"]\ncollector:\n  commit_every: 200ms\n",
        logs.display()
    );
    let collector = Client::new(start("up", &up, &(agent + &elastic)));
    append_lines(&logs.join("a.log"), 0..100);
    collector.wait_for_totals(100, 0).await;
    let reader = Client::new(start("query", &query, &elastic));
    for client in [&collector, &reader] {
        let told = |status: &Value| status["untold"].is_null() && status["services"] == 1;
        client.wait("/api/v1/status", told).await;
    }

    signal(engine.pid(), libc::SIGSTOP);
    append_lines(&logs.join("a.log"), 100..200);
    tells(&collector, "store", &url).await;
    tells(&reader, "query", &url).await;
    let api = reader.server.api().to_owned();
    let (code, said) = audit(&api, "0s");
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("can't answer now") && said.contains(&url) && !said.contains('{'), "{said}");
    let audited = tokio::task::spawn_blocking(move || audit(&api, "60s"));
    signal(engine.pid(), libc::SIGCONT);
    let (code, said) = audited.await.unwrap();
    assert_eq!(code, Some(0), "{said}");
    for (client, dir) in [(&collector, &up), (&reader, &query)] {
        client.wait("/health", |health| health["status"] == "ok").await;
        client
            .wait("/api/v1/status", |status| status["untold"].is_null() && !status["newestNs"].is_null())
            .await;
        client.wait("/api/v1/logs/groups?by=service", |found| found["total"]["value"] == 200).await;
        let said = lines(dir, ["can't be asked", "can be asked again"]);
        assert!(said[0].contains("WARN") && said[0].contains(&url), "{said:?}");
        let again = said.iter().position(|line| line.contains("can be asked again"));
        assert!(again == Some(said.len() - 1) && said.len() <= 3, "{said:?}");
    }
    reader.server.stop().unwrap();

    // The same where connections are refused, which is noticed sooner.
    engine.kill();
    let (_, body) = ask(&collector, "/api/v1/logs?limit=1").await;
    assert_eq!(body["error"]["code"], "away", "{body}");
    collector.server.stop().unwrap();
    let ends_each = TcpListener::bind(("127.0.0.1", engine.port())).unwrap();
    let (folder, config) = (late.clone(), elastic.clone());
    let starting = tokio::task::spawn_blocking(move || start("query", &folder, &config));
    for _ in 0..REFUSED {
        drop(ends_each.accept().unwrap());
    }
    drop(ends_each);
    engine.resume();
    let reader = Client::new(starting.await.unwrap());
    reader.wait("/api/v1/logs/groups?by=service", |found| found["total"]["value"] == 200).await;
    let said = lines(&late, ["can't be used yet", "can be used now"]);
    assert!(said.len() == 2 && said[1].contains("can be used now"), "{said:?}");
    reader.server.stop().unwrap();
}
