//! `weir up` as newcomers start it: without a configuration, and with the sample shop.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use bytes::Bytes;
use http::{Method, StatusCode};
use weir_tests::client::{Client, LOOK_EVERY};
use weir_tests::http::Http;
use weir_tests::server::{PATIENCE, Server, binary, command};

/// Runs a program with the folder `$LOGS` in the place of the host's logs, which it alone sees there.
const OTHER_LOGS: [&str; 5] =
    ["unshare", "--mount", "sh", "-c", "mount --bind \"$LOGS\" /var/log && exec \"$0\" \"$@\""];

fn append(file: &Path, lines: &str) {
    OpenOptions::new().create(true).append(true).open(file).unwrap().write_all(lines.as_bytes()).unwrap();
}

/// Starts it without a configuration over a folder of logs, and waits until it has looked for files.
async fn start(dir: &Path, logs: &Path) -> Client {
    let logs = logs.to_str().unwrap();
    let started = command(&OTHER_LOGS, "up", dir, None, &[("LOGS", logs)]).unwrap();
    let server = Server::spawn(started).unwrap();
    let ready = server.health().replace("/health", "/ready");
    let begun = Instant::now();
    loop {
        let answer = Http::default().request(Method::GET, &ready, "", Bytes::new()).await.unwrap();
        if answer.0 == StatusCode::OK {
            return Client::new(server);
        }
        assert!(begun.elapsed() < PATIENCE, "{ready} still answers {}", answer.0);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The bodies of all records, sorted.
async fn bodies(client: &Client) -> Vec<String> {
    let records = client.list("/api/v1/logs?q=", "logs").await;
    let mut bodies: Vec<_> =
        records.iter().map(|record| record["body"].as_str().unwrap().to_owned()).collect();
    bodies.sort();
    bodies
}

#[tokio::test]
async fn without_a_configuration_the_hosts_logs_are_followed_from_their_end() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    fs::create_dir_all(logs.join("shop/old")).unwrap();
    let old = ["app.log", "shop/old/app.log", "syslog", "messages"];
    for name in old {
        append(&logs.join(name), "written before the first start\n");
    }

    let client = start(dir.path(), &logs).await;
    for name in old {
        append(&logs.join(name), &format!("{name} goes on\n"));
    }
    append(&logs.join("new.log"), "a file that is new\n");
    append(&logs.join("new.txt"), "no log by its name\n");
    let mut expect = vec![
        "a file that is new",
        "app.log goes on",
        "messages goes on",
        "shop/old/app.log goes on",
        "syslog goes on",
    ];
    client.wait_for_totals(5, 0).await;
    assert_eq!(bodies(&client).await, expect);
    assert_eq!(client.wait_for_health(None).await, [""; 0]);
    client.server.stop().unwrap();

    // The folder is not new any more.
    append(&logs.join("app.log"), "written while it was away\n");
    append(&logs.join("other.log"), "a file of that time\n");
    let client = start(dir.path(), &logs).await;
    client.wait_for_totals(7, 0).await;
    expect.extend(["a file of that time", "written while it was away"]);
    expect.sort_unstable();
    assert_eq!(bodies(&client).await, expect);
    client.server.stop().unwrap();
}

#[tokio::test]
async fn the_sample_shop_comes_beside_what_is_configured() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own.log");
    append(&own, "a line of my own\n");
    let config = format!(
        "agent: {{host_metrics: 0s, sources: [{{include: ['{}'], attributes: {{service.name: mine}}}}]}}",
        own.display()
    );
    let called = dir.path().join("my-weir");
    std::os::unix::fs::symlink(binary(), &called).unwrap();
    let mut started = command(&[], "up", dir.path(), Some(&config), &[]).unwrap();
    started.arg("--demo").arg0(&called);
    let client = Client::new(Server::spawn(started).unwrap());

    let begun = Instant::now();
    loop {
        let (_, services) = client.groups("logs", "", "service").await;
        if services.get("mine") == Some(&1) && services.contains_key("payment") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{services:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }

    // What it proposes works as it stands there.
    let (_, proposed) = client.server.said("demo").split_once("try: ").unwrap();
    assert!(proposed.starts_with(&format!("{} demo ", called.display())), "{proposed}");
    let tried = Command::new("sh").args(["-c", proposed]).output().unwrap();
    assert!(tried.status.success(), "{proposed}: {}", String::from_utf8_lossy(&tried.stderr));
    client.server.stop().unwrap();
}
