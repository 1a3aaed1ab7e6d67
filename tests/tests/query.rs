//! `weir query` in a process of its own: by asking a collector, and over a search engine; whoever has the data is missing yet, dies and comes back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::net::TcpListener;
use weir_testkit::search::{Engine, SearchServer};
use weir_tests::client::{Client, LOOK_EVERY};
use weir_tests::feed::Feed;
use weir_tests::http::Http;
use weir_tests::input::append_lines;
use weir_tests::nginx::refusing;
use weir_tests::server::{PATIENCE, Server, command, refused};

const COLLECTOR: &str = "collector:\n  commit_every: 200ms\n";

fn folder(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir(&path).unwrap();
    path
}

/// `weir query` that asks a collector.
fn asking(dir: &Path, collector: &str) -> Client {
    let config = format!("query: {{ collector: \"{collector}\", query_timeout: 20s }}\n");
    Client::new(Server::role("query", dir, &config, &[]).unwrap())
}

/// Status and body of an answer.
async fn ask(client: &Client, path: &str) -> (StatusCode, Value) {
    let url = format!("{}{path}", client.server.api());
    let asked = Http::default().request(Method::GET, &url, "application/json", Bytes::new()).await;
    let (status, body) = asked.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Holds a query to refusing everything with a status, a code and some words.
async fn answers_nothing(client: &Client, status: StatusCode, code: &str, words: &[&str]) {
    for path in ["/api/v1/status", "/api/v1/logs?limit=1", "/api/openapi.json", "/api/v1/logs/tail"] {
        let (found, body) = ask(client, path).await;
        let message = body["error"]["message"].as_str().unwrap();
        assert_eq!((found, &body["error"]["code"]), (status, &code.into()), "{path}: {message}");
        assert!(words.iter().all(|word| message.contains(word)), "{path}: {message}");
    }
    let app = Http::default().get(client.server.api()).await.unwrap();
    assert!(String::from_utf8_lossy(&app).contains("<html"), "the web app is there all the same");
}

/// Waits until health names a part, or is well.
async fn health(client: &Client, part: Option<&str>) {
    client
        .wait("/health", |health| match part {
            None => health["status"] == "ok",
            Some(part) => health["reasons"].as_array().into_iter().flatten().any(|why| why["part"] == part),
        })
        .await;
}

/// A live tail, and what of it is no whole event yet.
struct Tail {
    body: Incoming,
    rest: String,
}

impl Tail {
    async fn open(client: &Client, q: &str) -> Self {
        let url = format!("{}/api/v1/logs/tail?q={q}", client.server.api());
        let http = HttpClient::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let answer = http.get(url.parse().unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        Self { body: answer.into_body(), rest: String::new() }
    }

    /// The bodies of the lines that come next; `None` at its end.
    async fn next(&mut self) -> Option<Vec<String>> {
        let begun = Instant::now();
        loop {
            while let Some((event, rest)) = self.rest.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                self.rest = rest.to_owned();
                let Some(data) = data else { continue };
                let data: Value = serde_json::from_str(&data).unwrap();
                let logs =
                    data["logs"].as_array().unwrap_or_else(|| panic!("only lines are expected: {data}"));
                return Some(logs.iter().map(|log| log["body"].as_str().unwrap().to_owned()).collect());
            }
            // Signs of life count as nothing.
            assert!(begun.elapsed() < PATIENCE, "nothing comes");
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("something comes");
            let bytes = frame?.ok()?.into_data().unwrap_or_default();
            self.rest += std::str::from_utf8(&bytes).expect("lines of letters and digits");
        }
    }

    /// Waits until it has shown that it is open, with lines that are written for that alone. What comes then is what is written then.
    async fn is_live(&mut self, file: &Path) {
        let begun = Instant::now();
        for n in 0.. {
            append_lines(file, n..n + 1);
            let next = tokio::time::timeout(LOOK_EVERY * 25, self.next());
            if let Ok(lines) = next.await {
                assert!(lines.is_some(), "it is open");
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "nothing comes");
        }
    }

    /// Holds it to bringing each of the lines of a file once, in any order.
    async fn brings(&mut self, file: &Path, lines: u64) {
        let name = file.file_name().unwrap().to_str().unwrap();
        append_lines(file, 0..lines);
        let mut expect: Vec<String> = (0..lines).map(|n| format!("{name} line {n}")).collect();
        let mut found = Vec::new();
        while found.len() < expect.len() {
            let next = self.next().await.expect("it goes on");
            found.extend(next.into_iter().filter(|line| line.starts_with(name)));
        }
        found.sort();
        expect.sort();
        assert_eq!(found, expect);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_asks_the_collector() {
    let dir = tempfile::tempdir().unwrap();
    let address = refusing().to_string();
    let [query, data, agent, logs] = ["query", "data", "agent", "logs"].map(|name| folder(dir.path(), name));
    let client = asking(&query, &format!("http://{address}"));

    // It is there before the collector is.
    answers_nothing(&client, StatusCode::SERVICE_UNAVAILABLE, "away", &[&address, "does not answer"]).await;
    health(&client, Some("collector")).await;
    let intake = refusing().to_string();
    let start = || {
        let ports = [("WEIR_QUERY__LISTEN", &*address), ("WEIR_COLLECTOR__INTAKE_HTTP", &*intake)];
        Server::role("collector", &data, COLLECTOR, &ports).unwrap()
    };
    let collector = Client::new(start());
    let config = format!(
        "agent:\n  host_metrics: 0s\n  sources:\n    - include: [\"{}/*.log\"]\nforward:\n  to: {}\n",
        logs.display(),
        collector.server.intake_http()
    );
    let agent = Server::role("agent", &agent, &config, &[]).unwrap();
    let mut feed = Feed::new(logs.clone(), &["a.log"]);
    feed.write(1_000);
    feed.export(&agent, 100).await;
    feed.all_is_found(&client).await;
    health(&client, None).await;
    let stages = client.get("/api/v1/status").await["stages"].take();
    let (last, others) = stages.as_array().unwrap().split_last().unwrap();
    assert!(last["name"] == "query" && last["detail"].as_str().unwrap().contains(&address), "{stages}");
    let theirs = collector.get("/api/v1/status").await["stages"].take();
    let names = |stages: &[Value]| stages.iter().map(|stage| stage["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(others), names(theirs.as_array().unwrap()));
    let (status, body) = ask(&client, "/api/v1/logs?q=service%20%3E").await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::BAD_REQUEST, &"filter".into()),
        "as it is told"
    );
    let url = format!("{}/api/v1/status", client.server.api());
    let posted = Http::default().request(Method::POST, &url, "application/json", Bytes::new()).await;
    assert_eq!(posted.unwrap().0, StatusCode::METHOD_NOT_ALLOWED);

    // A tail is live, and ends with the collector.
    let mut tail = Tail::open(&client, "").await;
    tail.is_live(&logs.join("live.log")).await;
    tail.brings(&logs.join("b.log"), 300).await;
    collector.server.kill();
    while tail.next().await.is_some() {}
    answers_nothing(&client, StatusCode::SERVICE_UNAVAILABLE, "away", &[&address]).await;
    health(&client, Some("collector")).await;

    let server = start();
    health(&client, None).await;
    client.wait("/api/v1/logs/groups?q=a.log&by=service", |found| found["total"]["value"] == 1_000).await;

    // It ends with a tail that is open, and ends it.
    let mut tail = Tail::open(&client, "").await;
    tail.is_live(&logs.join("live.log")).await;
    client.server.stop().unwrap();
    while tail.next().await.is_some() {}
    agent.stop().unwrap();
    server.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_else_answers_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = folder(dir.path(), "data");
    let foreign = |client: Client, words: &'static [&'static str]| async move {
        answers_nothing(&client, StatusCode::BAD_GATEWAY, "foreign", words).await;
        health(&client, Some("collector")).await;
        client.server.stop().unwrap();
    };
    // The collector, under the address that agents have.
    let collector = Server::role("collector", &data, COLLECTOR, &[]).unwrap();
    let intake = collector.intake_http().to_owned();
    foreign(asking(&folder(dir.path(), "intake"), &intake), &["is no collector", "query.collector"]).await;
    // Another query, which would go in a circle.
    let first = asking(&folder(dir.path(), "first"), &intake);
    let address = first.server.api().to_owned();
    let second = asking(&folder(dir.path(), "second"), &address);
    foreign(second, &["no data of its own", "query.collector"]).await;
    // A collector that does not know the name that it is called by.
    let named = "query:\n  allowed_hosts: [weir.example]\n";
    let host = refusing();
    let listen = host.to_string();
    let strict =
        Server::role("collector", &folder(dir.path(), "strict"), named, &[("WEIR_QUERY__LISTEN", &listen)]);
    let strict = strict.unwrap();
    // A way to write the loopback's address.
    let called = format!("http://127.1:{}", host.port());
    foreign(asking(&folder(dir.path(), "called"), &called), &["refuses", "`127.1:", "allowed_hosts"]).await;
    // One that takes the question and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let config = format!("query: {{ collector: \"{url}\", query_timeout: 1ms }}\n");
    let client = Client::new(Server::role("query", &folder(dir.path(), "silent"), &config, &[]).unwrap());
    let (status, body) = ask(&client, "/api/v1/logs?limit=1").await;
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        status == StatusCode::SERVICE_UNAVAILABLE && message.contains("has not answered for"),
        "{message}"
    );
    for server in [strict, collector] {
        server.stop().unwrap();
    }
}

#[test]
fn where_the_data_is_must_be_said() {
    let dir = tempfile::tempdir().unwrap();
    for (config, said) in [
        ("query: {}\n", "store.elastic.urls"),
        ("query: { collector: \"collector:7070\" }\n", "http://collector:7070"),
        (
            "query: { collector: \"http://127.0.0.1:7070\" }\nstore: { elastic: { urls: [\"http://127.0.0.1:9200\"] } }\n",
            "leave one of both out",
        ),
    ] {
        let refused = refused(command(&[], "query", dir.path(), Some(config), &[]).unwrap()).unwrap();
        assert!(refused.code == Some(1) && refused.said.contains(said), "{config}: {}", refused.said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_reads_a_search_engine() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = SearchServer::start(&Engine::opensearch(), &[]);
    let [query, data, logs] = ["query", "data", "logs"].map(|name| folder(dir.path(), name));
    let elastic = format!("store: {{ elastic: {{ urls: [\"{}\"], replicas: 0 }} }}\n", engine.url());
    let client = Client::new(Server::role("query", &query, &elastic, &[]).unwrap());

    // Nothing was stored yet, nor its indices made.
    let (status, body) = ask(&client, "/api/v1/logs?limit=1").await;
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        status == StatusCode::SERVICE_UNAVAILABLE && message.contains("store.elastic.prefix"),
        "{message}"
    );
    let (status, body) = ask(&client, "/api/v1/status").await;
    let untold = body["untold"].as_str().unwrap();
    assert!(status == StatusCode::OK && untold.contains("store.elastic.prefix"), "{untold}");
    health(&client, Some("search engine")).await;
    let config = format!(
        "agent:\n  host_metrics: 0s\n  sources:\n    - include: [\"{}/*.log\"]\n{COLLECTOR}{elastic}",
        logs.display()
    );
    let up = Server::start(&data, &config).unwrap();
    health(&client, None).await;
    let mut tail = Tail::open(&client, "").await;
    tail.is_live(&logs.join("live.log")).await;
    tail.brings(&logs.join("b.log"), 300).await;
    let mut some = Tail::open(&client, "%22line%20299%22").await;
    some.is_live(&logs.join("line 299.log")).await;
    client.wait("/api/v1/logs/groups?q=b.log&by=service", |found| found["total"]["value"] == 300).await;
    let stages = client.get("/api/v1/status").await["stages"].take();
    let detail = stages[0]["detail"].as_str().unwrap();
    assert!(
        stages[0]["name"] == "query" && detail.contains("OpenSearch") && detail.contains("weir-*"),
        "{stages}"
    );

    engine.kill();
    health(&client, Some("search engine")).await;
    let (status, _) = ask(&client, "/api/v1/logs?limit=1").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    engine.resume();
    health(&client, None).await;
    tail.brings(&logs.join("c.log"), 300).await;
    client.server.stop().unwrap();
    up.stop().unwrap();
}
