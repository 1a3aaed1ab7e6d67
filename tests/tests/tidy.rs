//! The layering rules of ARCHITECTURE.md, checked over what Cargo knows of the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Direct dependencies of each package of the workspace, without those for tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps"])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let package = |package: &Value| {
        let all = package["dependencies"].as_array().into_iter().flatten();
        (text(&package["name"]), all.filter(|d| d["kind"].is_null()).map(|d| text(&d["name"])).collect())
    };
    metadata["packages"].as_array().into_iter().flatten().map(package).collect()
}

#[test]
fn layers() {
    let all = dependencies();
    let of = |name: &str| all.get(name).unwrap_or_else(|| panic!("{name} is in the workspace"));
    let never = |name: &str, forbidden: &[&str]| {
        for other in forbidden {
            assert!(!of(name).contains(*other), "{name} must not depend on {other}");
        }
    };
    let effects = [
        "tokio",
        "axum",
        "hyper",
        "tonic",
        "rand",
        "weir-disk",
        "weir-transport",
        "weir-store",
        "weir-runtime",
    ];
    for pure in ["weir-model", "weir-parse", "weir-analysis"] {
        never(pure, &effects);
    }
    let roles = ["weir-agent", "weir-collector", "weir-query-ui"];
    let stores = ["weir-store-tantivy", "tantivy", "weir-store-elastic", "elasticsearch"];
    let transports = ["weir-transport-kafka", "rdkafka"];
    let engines = [&stores[..], &transports].concat();
    for role in roles {
        never(role, &roles);
        never(role, &engines);
    }
    never("weir-query-ui", &["weir-disk"]);
    never("weir-store", &engines);
    never("weir-store-tantivy", &stores[2..]);
    never("weir-store-elastic", &stores[..2]);
    for store in ["weir-store-tantivy", "weir-store-elastic"] {
        never(store, &transports);
    }
    never("weir-transport", &["weir-store"]);
    never("weir-transport", &engines);
    never("weir-transport-kafka", &["weir-store"]);
    never("weir-transport-kafka", &stores);
    for role in roles {
        never("weir-transport-kafka", &[role]);
        never("weir-store-elastic", &[role]);
    }
    let weir: Vec<_> = of("weir-demo").iter().filter(|name| name.starts_with("weir")).collect();
    assert!(weir.is_empty(), "the demo is a stranger to Weir, but depends on {weir:?}");
    for (name, dependencies) in &all {
        let may = ["weir", "weir-bench", "weir-tests"].contains(&name.as_str());
        for engine in ["weir-store-tantivy", "weir-store-elastic", "weir-transport-kafka"] {
            assert!(may || name == engine || !dependencies.contains(engine), "{name} names an engine");
        }
        let starts_servers = ["weir-tests", "weir-bench"].contains(&name.as_str());
        assert!(!dependencies.contains("weir-testkit") || starts_servers, "{name} is more than tests");
    }
}
