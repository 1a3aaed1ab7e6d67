//! `weir up` as newcomers start it: with the sample shop.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Instant;

use weir_tests::client::{Client, LOOK_EVERY};
use weir_tests::server::{PATIENCE, Server, binary, command};

#[tokio::test]
async fn the_sample_shop_comes_beside_what_is_configured() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own.log");
    fs::write(&own, "a line of my own\n").unwrap();
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
