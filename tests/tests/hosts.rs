//! This host measures itself, and the query API shows it.

use std::fs;
use std::time::Instant;

use serde_json::Value;
use weir_tests::client::{Client, LOOK_EVERY, encode};
use weir_tests::server::{PATIENCE, Server};

/// Every metric that a page about a host is made of.
const SHOWN: [(&str, &str); 9] = [
    ("system.cpu.utilization", "1"),
    ("system.cpu.load_average.1m", "{thread}"),
    ("system.cpu.logical.count", "{cpu}"),
    ("system.memory.usage", "By"),
    ("system.memory.limit", "By"),
    ("system.memory.utilization", "1"),
    ("system.network.io", "By/s"),
    ("system.network.packets", "{packet}/s"),
    ("system.uptime", "s"),
];

#[tokio::test]
async fn this_host_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let config = "agent: {sources: [], host_metrics: 200ms, watch_processes: ['^hosts-']}";
    let client = Client::new(Server::start(folder.path(), config).unwrap());
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let name = name.trim();
    let begun = Instant::now();
    let metrics = loop {
        let metrics = client.get(&format!("/api/v1/hosts/{}/metrics", encode(name))).await;
        if SHOWN.iter().all(|(name, unit)| is_shown(&metrics, name, unit)) {
            break metrics;
        }
        assert!(begun.elapsed() < PATIENCE, "{metrics}");
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let hosts = client.get("/api/v1/hosts").await;
    assert_eq!(hosts["hosts"][0]["name"], name);
    assert_ne!(hosts["hosts"][0]["os"], "");

    let processes: Vec<(&str, f64)> = metrics["processes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|process| (process["name"].as_str().unwrap(), process["memory"].as_f64().unwrap()))
        .collect();
    assert!(processes.iter().any(|(name, memory)| *name == "weir" && *memory > 1e6), "{processes:?}");
    // This test's own program matches the pattern.
    assert!(processes.iter().any(|(name, _)| name.starts_with("hosts-")), "{processes:?}");
    client.server.stop().unwrap();
}

fn is_shown(metrics: &Value, name: &str, unit: &str) -> bool {
    metrics["series"].as_array().unwrap().iter().any(|series| {
        let values = series["values"].as_array().unwrap();
        series["name"] == name && series["unit"] == unit && values.iter().any(Value::is_number)
    })
}
