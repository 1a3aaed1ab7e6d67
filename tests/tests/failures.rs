//! What breaks around Weir: a full disk, a file that can't be read, a folder or port that is taken, damage, a wrong configuration, Ctrl-C
//! under load. Each time there is a clear message, health says so, and nothing is lost.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{Method, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use tonic::transport::Endpoint;
use weir_tests::client::{Client, LOOK_EVERY};
use weir_tests::disk::SmallDisk;
use weir_tests::http::Http;
use weir_tests::input::{append_lines, spans};
use weir_tests::server::{Server, command, refused};

/// Root without the right to read everybody's files.
const WITHOUT_OVERRIDE: [&str; 3] =
    ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"];

/// A folder for one `weir up`: its data, its configuration, and `logs`, which it follows.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn log(&self, name: &str) -> PathBuf {
        self.path().join("logs").join(name)
    }

    fn config(&self, source: &str) -> String {
        format!(
            "agent: {{host_metrics: 0s, sources: [{{include: ['{}/**/*.log'] {source}}}]}}\ncollector: {{commit_every: 200ms}}\n",
            self.path().join("logs").display()
        )
    }

    fn start(&self) -> Client {
        Client::new(Server::start(self.path(), &self.config("")).unwrap())
    }
}

/// Sends spans until they are refused because the disk is full. Returns the request that was not taken, and how many were.
async fn export_until_refused(server: &Server) -> (u64, Bytes) {
    let mut taken = 0;
    loop {
        let body = spans(taken * 10..taken * 10 + 10);
        let url = format!("{}/v1/traces", server.otlp());
        let answer =
            Http::default().call(Method::POST, &url, "application/x-protobuf", body.clone()).await.unwrap();
        if answer.status() == StatusCode::OK {
            taken += 1;
            assert!(taken < 100_000, "the disk does not fill");
            continue;
        }
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "1");
        let said = String::from_utf8_lossy(answer.body()).into_owned();
        assert!(said.contains("No space left on device"), "{said}");
        return (taken, body);
    }
}

/// The part of the data folder that is full, what health says then, and whether the log takes spans meanwhile.
async fn full_disk(part: &str, trouble: &str, takes: bool) {
    let place = Place::new();
    let disk = SmallDisk::mount(&place.path().join("data").join(part), "24m");
    append_lines(&place.log("a.log"), 0..100);
    let client = place.start();
    client.wait_for_totals(100, 0).await;
    client.wait_for_health(None).await;

    disk.fill();
    append_lines(&place.log("a.log"), 100..200);
    // As many as the checkpoint's last block has no room for.
    for n in 0..50 {
        append_lines(&place.log(&format!("b-{n}.log")), 2 * n..2 * n + 2);
    }
    let exported = match takes {
        true => {
            assert!(client.export(&spans(0..10)).await);
            10
        }
        false => {
            let (taken, refused) = export_until_refused(&client.server).await;
            disk.free();
            assert!(client.export(&refused).await, "the same request is taken when there is room");
            client.wait_for_health(None).await;
            disk.fill();
            append_lines(&place.log("a.log"), 200..1_200);
            (taken + 1) * 10
        }
    };
    let said = client.wait_for_health(Some(trouble)).await;
    assert!(!takes || said.iter().any(|said| said.contains("No space left on device")), "{said:?}");
    let status = client.get("/api/v1/status").await;
    let failing = |stage: &serde_json::Value| stage["state"] == "failing";
    assert!(status["stages"].as_array().unwrap().iter().any(failing), "{status}");
    client.wait("/api/v1/status", |status| status["behindMs"].as_u64() >= Some(1_500)).await;

    // By itself, when there is room again.
    disk.free();
    let lines = if takes { 300 } else { 1_300 };
    client.wait_for_totals(lines, exported).await;
    client.wait_for_health(None).await;
    client.wait("/api/v1/status", |status| status["behindMs"] == 0).await;
    client.server.kill();
    let client = place.start();
    client.wait_for_totals(lines, exported).await;
    client.server.stop().unwrap();
    let client = place.start();
    client.wait_for_totals(lines, exported).await;
    client.server.stop().unwrap();
}

#[tokio::test]
async fn the_logs_disk_is_full() {
    full_disk("log", "log of logs: can't be written", false).await;
}

#[tokio::test]
async fn the_stores_disk_is_full() {
    full_disk("store", "storing of logs: fails", true).await;
}

#[tokio::test]
async fn the_checkpoints_disk_is_full() {
    full_disk("agent", "checkpoint: can't be written", true).await;
}

/// A spool that is full, since the collector is away: OTLP is told to come again, files wait, and all arrives once there is a collector.
async fn full_spool(protocol: &str) {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let path = dir.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let (agent, collector, logs) = (folder("agent"), folder("collector"), folder("logs"));
    let role = |env: &[(&str, &str)]| {
        let config = "collector: {commit_every: 200ms}";
        Client::new(Server::role("collector", &collector, config, env).unwrap())
    };
    let client = role(&[]);
    let intake = match protocol {
        "http" => client.server.intake_http().to_owned(),
        _ => client.server.intake_grpc(),
    };
    client.server.stop().unwrap();
    let config = format!(
        "agent: {{host_metrics: 0s, sources: [{{include: ['{}/*.log']}}]}}\nforward: {{to: '{intake}', protocol: {protocol}, spool_bytes: 1MiB}}\n",
        logs.display()
    );
    let agent = Server::role("agent", &agent, &config, &[]).unwrap();
    append_lines(&logs.join("a.log"), 0..50_000);
    let mut taken = 0;
    let (answer, refused) = loop {
        let body = spans(taken * 100..taken * 100 + 100);
        let url = format!("{}/v1/traces", agent.otlp());
        let answer =
            Http::default().call(Method::POST, &url, "application/x-protobuf", body.clone()).await.unwrap();
        if answer.status() != StatusCode::OK {
            break (answer, body);
        }
        taken += 1;
        assert!(taken < 10_000, "the spool has no limit");
    };
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "1");
    let said = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(said.contains("has reached its limit of 1048576 bytes; its reader is behind"), "{said}");
    let channel = Endpoint::from_shared(agent.otlp_grpc()).unwrap().connect().await.unwrap();
    let request = ExportTraceServiceRequest::decode(refused.clone()).unwrap();
    let status = TraceServiceClient::new(channel).export(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");

    let (_, address) = intake.split_once("://").unwrap();
    let key = format!("WEIR_COLLECTOR__INTAKE_{}", protocol.to_uppercase());
    let client = role(&[(&key, address)]);
    let http = Http::default();
    let url = format!("{}/v1/traces", agent.otlp());
    let again = async || {
        let answer = http.call(Method::POST, &url, "application/x-protobuf", refused.clone()).await.unwrap();
        answer.status() == StatusCode::OK
    };
    while !again().await {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    client.wait_for_totals(50_000, (taken + 1) * 100).await;
    agent.stop().unwrap();
    client.server.stop().unwrap();
}

#[tokio::test]
async fn the_spool_is_full_over_http() {
    full_spool("http").await;
}

#[tokio::test]
async fn the_spool_is_full_over_grpc() {
    full_spool("grpc").await;
}

#[tokio::test]
async fn files_that_cannot_be_read() {
    let place = Place::new();
    let deny = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
    append_lines(&place.log("open.log"), 0..10);
    append_lines(&place.log("closed.log"), 0..7);
    fs::create_dir(place.log("folder")).unwrap();
    append_lines(&place.log("folder/inner.log"), 0..5);
    deny(&place.log("closed.log"));
    deny(&place.log("folder"));
    let command =
        command(&WITHOUT_OVERRIDE, "up", place.path(), Some(&place.config(", start: end")), &[]).unwrap();
    let client = Client::new(Server::spawn(command).unwrap());
    let said = client.wait_for_health(Some("2 files or folders can't be read")).await;
    // What the bar of the page shows.
    let status = client.get("/api/v1/status").await;
    let agent = status["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == "agent").unwrap();
    assert_eq!(agent["state"], "failing");
    assert!(agent["detail"].as_str().unwrap().contains("closed.log: Permission denied"), "{agent}");
    for name in ["closed.log", "folder"] {
        assert!(said[0].contains(&format!("/logs/{name}: Permission denied")), "{said:?}");
    }
    assert_eq!(said.len(), 1, "{said:?}");

    // Others are followed meanwhile, from their end as the configuration says.
    append_lines(&place.log("open.log"), 10..13);
    client.wait_for_totals(3, 0).await;
    // What could not be read at the start is read from its beginning: nobody has decided to skip it.
    fs::set_permissions(place.log("closed.log"), Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(place.log("folder"), Permissions::from_mode(0o755)).unwrap();
    client.wait_for_totals(3 + 7 + 5, 0).await;
    client.wait_for_health(None).await;
    client.server.stop().unwrap();
}

#[tokio::test]
async fn a_second_weir_on_the_same_folder() {
    let place = Place::new();
    append_lines(&place.log("a.log"), 0..100);
    let client = place.start();
    client.wait_for_totals(100, 0).await;
    for role in ["up", "collector"] {
        let second = command(&[], role, place.path(), Some(&place.config("")), &[]).unwrap();
        let second = refused(second).unwrap();
        assert_eq!(second.code, Some(1));
        let expect = format!(
            "weir: the data folder {}/data is in use by another weir; stop that one, or give this one another --data-dir\n",
            place.path().display()
        );
        assert_eq!(second.said, expect, "{role}");
    }
    // The first one is unharmed.
    append_lines(&place.log("a.log"), 100..200);
    assert!(client.export(&spans(0..10)).await);
    client.wait_for_totals(200, 10).await;
    client.server.stop().unwrap();

    let agent = format!("{}forward: {{to: 'http://127.0.0.1:1'}}\n", place.config(""));
    let dir = tempfile::tempdir().unwrap();
    let first = Server::role("agent", dir.path(), &agent, &[]).unwrap();
    let second = refused(command(&[], "agent", dir.path(), Some(&agent), &[]).unwrap()).unwrap();
    assert_eq!(second.code, Some(1));
    assert!(second.said.contains("/data is in use by another weir; stop that one"), "{}", second.said);
    first.stop().unwrap();
}

#[tokio::test]
async fn ports_that_are_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let check = |role: &str, key: &str| {
        let place = Place::new();
        let variable = format!("WEIR_{}", key.replace('.', "__").to_uppercase());
        let env = [(variable.as_str(), address.as_str())];
        let refused =
            refused(command(&[], role, place.path(), Some(&place.config("")), &env).unwrap()).unwrap();
        assert_eq!(refused.code, Some(1), "{key}");
        for part in [address.as_str(), &format!("`{key}`"), "Address already in use", "nother"] {
            assert!(refused.said.contains(part), "{key}: {}", refused.said);
        }
        assert_eq!(refused.said.lines().count(), 1, "{key}: {}", refused.said);
        assert!(!place.path().join("data").exists(), "{key}: nothing is left behind");
    };
    for key in ["agent.otlp_http", "agent.otlp_grpc", "agent.zipkin", "agent.admin", "query.listen"] {
        check("up", key);
    }
    for key in ["collector.intake_http", "collector.intake_grpc"] {
        check("collector", key);
    }
}

#[tokio::test]
async fn a_glob_that_names_no_file() {
    let place = Place::new();
    let client = place.start();
    let glob = place.path().join("logs/**/*.log").to_string_lossy().into_owned();
    let globs = |files: u64| serde_json::json!([{"glob": glob, "files": files}]);
    client.wait("/api/v1/status", |status| status["globs"] == globs(0)).await;
    append_lines(&place.log("a.log"), 0..10);
    client.wait("/api/v1/status", |status| status["globs"] == globs(1)).await;
    client.server.stop().unwrap();
}

#[tokio::test]
async fn damaged_files() {
    let place = Place::new();
    append_lines(&place.log("a.log"), 0..100);
    let client = place.start();
    client.wait_for_totals(100, 0).await;
    client.server.stop().unwrap();
    let check = |name: &str, parts: &[&str]| {
        let path = place.path().join("data").join(name);
        let sound = fs::read(&path).unwrap();
        fs::write(&path, "{\"half").unwrap();
        let refused =
            refused(command(&[], "up", place.path(), Some(&place.config("")), &[]).unwrap()).unwrap();
        assert_eq!(refused.code, Some(1), "{name}");
        for part in parts.iter().chain(&[path.to_str().unwrap()]) {
            assert!(refused.said.contains(part), "{name}: {}", refused.said);
        }
        fs::write(&path, sound).unwrap();
    };
    // A damaged checkpoint stops nothing: there is the one before it.
    check("store/logs/manifest.json", &["is damaged", "from a backup"]);
    check("store/spans/manifest.json", &["is damaged", "from a backup"]);
    // Sound again, all is there.
    let client = place.start();
    client.wait_for_totals(100, 0).await;
    client.server.stop().unwrap();
}

#[test]
fn a_wrong_configuration() {
    let place = Place::new();
    let config = "agent:\n  sources:\n    - inclde: ['/var/log/*']\n    - include: ['logs/*.log']\n      start: ending\n  host_metrics: 3x\n\
                  store:\n  shard_records: 0\nqurey:\n  listen: 127.0.0.1:7070\n";
    let refused = refused(command(&[], "up", place.path(), Some(config), &[]).unwrap()).unwrap();
    assert_eq!(refused.code, Some(1));
    let expect = [
        "6 errors",
        "unknown field `inclde`",
        "at line 3",
        "did you mean `include`?",
        "unknown variant `ending`",
        "at line 5",
        "`3x` is not a period",
        "at line 6",
        "unknown field `qurey`",
        "at line 9",
        "did you mean `query`?",
        "store.shard_records: must be at least 1",
        "the glob `logs/*.log` must begin with /",
    ];
    for part in expect {
        assert!(refused.said.contains(part), "no `{part}` in {}", refused.said);
    }
    assert!(!place.path().join("data").exists(), "nothing is made before the configuration is right");
}

/// Clients send and files grow until the last moment; what was acknowledged is there after the next start.
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_under_load() {
    let place = Place::new();
    let (mut lines, mut sent) = (0, 0);
    for _ in 0..3 {
        let client = place.start();
        // What the round before did not see acknowledged may or may not have been taken: it is sent again.
        if sent > 0 {
            assert!(client.export(&spans(sent * 100 - 100..sent * 100)).await);
            client.wait_for_totals(lines, sent * 100).await;
        }
        let enough = Arc::new(AtomicBool::new(false));
        let load = tokio::spawn(export_until_gone(client.server.otlp().to_owned(), sent, enough.clone()));
        while !enough.load(Ordering::Relaxed) {
            append_lines(&place.log("a.log"), lines..lines + 5_000);
            lines += 5_000;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        client.server.stop().unwrap();
        sent = load.await.unwrap();
    }
    let client = place.start();
    assert!(client.export(&spans(sent * 100 - 100..sent * 100)).await);
    client.wait_for_totals(lines, sent * 100).await;
    client.server.stop().unwrap();
}

/// Sends requests of a hundred spans, from the `sent`-th on, until nobody answers. Returns how many were sent, the last one perhaps in vain.
async fn export_until_gone(otlp: String, mut sent: u64, enough: Arc<AtomicBool>) -> u64 {
    let (http, first) = (Http::default(), sent);
    loop {
        let body = spans(sent * 100..sent * 100 + 100);
        sent += 1;
        if !http.export_spans(&otlp, &body).await {
            return sent;
        }
        enough.fetch_or(sent - first > 50, Ordering::Relaxed);
    }
}
