//! What real SDKs send is found again, field by field. The programs stand in `tests/sdks`; `scripts/sdks.sh install` fetches the SDKs.

use serde_json::{Value, json};
use weir_tests::client::{Client, encode};
use weir_tests::sdk;
use weir_tests::server::Server;

/// When the programs' story begins, in nanoseconds since the Unix epoch.
const START: u64 = 1_700_000_000_000_000_000;

const CONFIG: &str = "agent: {sources: [], host_metrics: 0s}";

/// A time so many milliseconds after the beginning, as the API has it.
fn at(millis: i64) -> String {
    START.saturating_add_signed(millis * 1_000_000).to_string()
}

/// Attributes as pairs of key and value, sorted; an `int` keeps its decimal text, with its type told by a prefix.
fn attributes(of: &Value) -> Value {
    let all = of.as_array().unwrap_or_else(|| panic!("{of} is no list of attributes"));
    let mut pairs: Vec<_> = all
        .iter()
        .map(|attr| {
            let (key, value) = (attr["key"].as_str().unwrap(), &attr["value"]);
            match attr["type"].as_str().unwrap() {
                "int" => json!([key, format!("int {}", value.as_str().unwrap())]),
                _ => json!([key, value]),
            }
        })
        .collect();
    pairs.sort_by_key(|pair| pair[0].as_str().unwrap().to_owned());
    pairs.into()
}

fn has(of: &Value, key: &str, value: Value) {
    let all = attributes(of);
    let found: Vec<_> = all.as_array().unwrap().iter().filter(|pair| pair[0] == key).collect();
    assert_eq!(found, [&json!([key, value])], "in {all}");
}

/// A trace in columns, once it has so many spans.
async fn trace(client: &Client, id: &str, spans: usize) -> Value {
    let path = format!("/api/v1/traces?q={}", encode(&format!("trace.id = {id}")));
    client.wait(&path, |page| page["traces"][0]["spans"] == spans).await;
    client.get(&format!("/api/v1/traces/{id}")).await
}

/// The span of an id and kind, whole.
async fn span(client: &Client, trace: &Value, id: &str, kind: u64) -> Value {
    let (ids, kinds) = (trace["spans"]["id"].as_array().unwrap(), &trace["spans"]["kind"]);
    let row = (0..ids.len()).find(|row| ids[*row] == id && kinds[row] == kind);
    let row = row.unwrap_or_else(|| panic!("no span {id} of kind {kind} in {trace}"));
    client.get(&format!("/api/v1/traces/{}/spans/{row}", trace["traceId"].as_str().unwrap())).await
}

fn is(span: &Value, expect: Value) {
    for (key, value) in expect.as_object().unwrap() {
        assert_eq!(span[key], *value, "{key} of {span}");
    }
}

/// Everything that OpenTelemetry's SDK of a language sent over a protocol is found again.
async fn check(language: &str, protocol: &str) {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(Server::start(folder.path(), CONFIG).unwrap());
    let endpoint = match protocol {
        "grpc" => client.server.otlp_grpc(),
        _ => client.server.otlp().to_owned(),
    };
    let ids = sdk::run(language, &[protocol, &endpoint]).unwrap();
    let ids = |name: &str| ids[name].as_str().unwrap().to_owned();
    let service = format!("{language}-{}", protocol.replace('/', "-"));

    spans(&client, &service, &ids).await;
    logs(&client, &ids).await;
    metrics(&client, &format!("{service}-host")).await;
    let totals = (client.total("spans", "").await, client.total("logs", "").await);
    assert_eq!(totals, (4, 2), "nothing but what was sent");
    client.server.stop().unwrap();
}

async fn spans(client: &Client, service: &str, ids: &dyn Fn(&str) -> String) {
    let tree = trace(client, &ids("rootTrace"), 3).await;
    let root = span(client, &tree, &ids("root"), 2).await;
    is(
        &root,
        json!({
            "traceId": ids("rootTrace"), "parentSpanId": "", "service": service, "operation": "GET /orders/{id}",
            "status": {"code": 0, "message": ""}, "start": at(0), "end": at(100), "durationNs": 100_000_000,
            "links": [], "origin": "reported", "source": null,
        }),
    );
    let expect = json!([
        ["http.request.method", "GET"],
        ["http.response.status_code", "int 500"],
        ["shop.cached", false],
        ["shop.city", "上海"],
        ["shop.ratio", 0.25],
        ["shop.tags", ["a", "b"]]
    ]);
    assert_eq!(attributes(&root["attributes"]), expect);
    has(&root["resource"], "service.name", json!(service));
    has(&root["resource"], "shop.zone", json!("int 3"));
    assert_eq!(root["scope"], json!({"name": "shop.sdk", "version": "1.2.3", "attributes": []}));
    let event = &root["events"][0];
    is(event, json!({"time": at(5), "name": "cache miss"}));
    assert_eq!(attributes(&event["attributes"]), json!([["shop.key", "order:7"]]));

    let client_span = span(client, &tree, &ids("client"), 3).await;
    is(
        &client_span,
        json!({
            "parentSpanId": ids("root"), "operation": "SELECT orders", "status": {"code": 2, "message": "no database"},
            "start": at(10), "end": at(50),
        }),
    );
    let link = &client_span["links"][0];
    is(link, json!({"traceId": ids("batchTrace"), "spanId": ids("batch")}));
    assert_eq!(attributes(&link["attributes"]), json!([["shop.reason", "imported"]]));
    let exception = &client_span["events"][0];
    is(exception, json!({"time": at(15), "name": "exception"}));
    has(&exception["attributes"], "exception.type", json!("ConnectionError"));
    has(&exception["attributes"], "exception.message", json!("connection refused"));
    let stack = attributes(&exception["attributes"]).to_string();
    assert!(stack.contains("exception.stacktrace"), "{stack}");

    let producer = span(client, &tree, &ids("producer"), 4).await;
    is(
        &producer,
        json!({
            "parentSpanId": ids("root"), "operation": "publish", "status": {"code": 1, "message": ""},
            "start": at(60), "end": at(70), "attributes": [],
        }),
    );
    let batch = trace(client, &ids("batchTrace"), 1).await;
    let batch = span(client, &batch, &ids("batch"), 1).await;
    is(&batch, json!({"operation": "import batch", "start": at(-1000), "end": at(-990)}));
}

async fn logs(client: &Client, ids: &dyn Fn(&str) -> String) {
    let page = client.wait("/api/v1/logs", |page| page["logs"].as_array().unwrap().len() == 2).await;
    let whole = async |row: usize| {
        let id = page["logs"][row]["id"].as_str().unwrap().to_owned();
        client.get(&format!("/api/v1/logs/{id}")).await
    };
    let failed = whole(0).await;
    is(
        &failed,
        json!({
            "time": at(16), "observed": at(17), "severity": 17, "severityText": "ERROR", "body": "order 7 failed",
            "traceId": ids("rootTrace"), "spanId": ids("client"), "flags": [],
        }),
    );
    assert_eq!(attributes(&failed["attributes"]), json!([["order.id", "int 7"]]));
    has(&failed["resource"], "shop.zone", json!("int 3"));
    is(&failed["scope"], json!({"name": "shop.sdk", "version": "1.2.3"}));
    let started = whole(1).await;
    is(&started, json!({"time": at(1), "severity": 9, "severityText": "INFO", "traceId": "", "spanId": ""}));
    let body: Value = serde_json::from_str(started["body"].as_str().unwrap()).unwrap();
    assert_eq!(body, json!({"event": "started", "port": 8080}));

    let of_trace = client.get(&format!("/api/v1/traces/{}/logs", ids("rootTrace"))).await;
    assert_eq!(of_trace["total"]["value"], 1, "{of_trace}");
}

async fn metrics(client: &Client, host: &str) {
    // Metric, unit, an attribute that it must have, value.
    let expect = [
        ("shop.orders", "{order}", ("channel", "web"), 5.0),
        ("shop.stock", "{item}", ("shop.zone", "3"), 6.0),
        ("shop.queue", "{order}", ("shop.zone", "3"), 7.5),
    ];
    let path = format!("/api/v1/hosts/{}/metrics", encode(host));
    let found = client.wait(&path, |page| page["series"].as_array().unwrap().len() >= expect.len()).await;
    let all = found["series"].as_array().unwrap();
    assert_eq!(all.len(), expect.len(), "{found}");
    // Nothing shows histograms yet: they are refused, and that is counted.
    let ledger = client.get("/api/v1/ledger").await;
    let counts = ledger["records"].as_array().unwrap().iter().find(|counts| counts["signal"] == "metrics");
    assert!(counts.is_some_and(|counts| counts["refused"].as_u64() >= Some(1)), "{ledger}");
    for (name, unit, (key, label), value) in expect {
        let is_it = |series: &&Value| series["name"] == name && series["attributes"][key] == label;
        let series = all.iter().find(is_it).unwrap_or_else(|| panic!("no {name} {key}={label} in {found}"));
        assert_eq!(series["unit"], unit, "{series}");
        let mut values = series["values"].as_array().unwrap().iter().filter_map(Value::as_f64);
        // The exporter may have sent it more than once.
        assert!(values.clone().count() > 0 && values.all(|v| v == value), "{series}");
    }
}

#[tokio::test]
async fn python_over_grpc() {
    check("python", "grpc").await;
}

#[tokio::test]
async fn python_over_http_protobuf() {
    check("python", "http/protobuf").await;
}

#[tokio::test]
async fn node_over_grpc() {
    check("node", "grpc").await;
}

#[tokio::test]
async fn node_over_http_protobuf() {
    check("node", "http/protobuf").await;
}

#[tokio::test]
async fn node_over_http_json() {
    check("node", "http/json").await;
}

/// Brave's client and server share a span id; the server stands below the client.
#[tokio::test]
async fn zipkin_from_brave() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(Server::start(folder.path(), CONFIG).unwrap());
    let ids = sdk::run("java", &[client.server.zipkin()]).unwrap();
    let id = |name: &str| ids[name].as_str().unwrap();
    assert_eq!(id("client"), id("server"), "Brave shares the id");
    let tree = trace(&client, id("trace"), 4).await;

    let root = span(&client, &tree, id("root"), 2).await;
    is(
        &root,
        json!({
            "parentSpanId": "", "service": "front", "operation": "get /orders", "start": at(0), "end": at(100),
            "status": {"code": 0, "message": ""},
        }),
    );
    let expect = json!([
        ["http.method", "GET"],
        ["http.status_code", "int 500"],
        ["network.local.address", "10.0.0.1"],
        ["network.local.port", "int 8080"],
        ["shop.city", "上海"]
    ]);
    assert_eq!(attributes(&root["attributes"]), expect);
    is(&root["events"][0], json!({"time": at(5), "name": "cache miss", "attributes": []}));

    let client_span = span(&client, &tree, id("client"), 3).await;
    is(
        &client_span,
        json!({"parentSpanId": id("root"), "service": "front", "operation": "get", "start": at(10), "end": at(50)}),
    );
    has(&client_span["attributes"], "peer.service", json!("back"));
    has(&client_span["attributes"], "network.peer.address", json!("10.0.0.2"));
    has(&client_span["attributes"], "network.peer.port", json!("int 8080"));

    let server = span(&client, &tree, id("server"), 2).await;
    is(&server, json!({"service": "back", "operation": "get /stock", "start": at(20), "end": at(40)}));
    assert_eq!(server["status"], json!({"code": 2, "message": "no stock"}));

    let producer = span(&client, &tree, id("producer"), 4).await;
    is(
        &producer,
        json!({"parentSpanId": id("root"), "operation": "publish", "start": at(60), "end": at(70)}),
    );

    // Rows by service and kind, and the parents' rows: the server is the client's child.
    let (spans, services) = (&tree["spans"], &tree["services"]);
    let shape: Vec<_> = (0..4)
        .map(|row| {
            let service = spans["service"][row].as_u64().unwrap() as usize;
            json!([services[service]["name"], spans["kind"][row], spans["parent"][row]])
        })
        .collect();
    let expect =
        [json!(["front", 2, -1]), json!(["front", 3, 0]), json!(["back", 2, 1]), json!(["front", 4, 0])];
    assert_eq!(shape, expect);
    assert_eq!(tree["notes"], json!([]), "sharing an id is no fault");
    client.server.stop().unwrap();
}
