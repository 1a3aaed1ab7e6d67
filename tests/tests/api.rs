//! The query API is what `/api/openapi.json` says, and `docs/reference/api.md` knows every part of it.
//!
//! Every endpoint is called with every documented parameter, alone and together, at the ends of its range and beyond them. Every answer
//! is validated against its schema, in which fields that are not documented count as wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, StatusCode};
use jsonschema::Validator;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use weir_tests::client::{LOOK_EVERY, encode};
use weir_tests::http::Http;
use weir_tests::server::{PATIENCE, Server};

const TRACE: &str = "5b8efff798038103d269b633813fc60c";
const SPAN: &str = "eee19b7ec3c1b174";
const HOST: &str = "node-7";
/// The live tail never ends; its own test reads the beginning.
const TAIL: &str = "/api/v1/logs/tail";

/// Values that a parameter takes, and values that it refuses. Limits are tried at both ends of the range that is documented.
fn samples(parameter: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match parameter {
        "q" => (
            &["", "service = shop", "host.name = node-7 NOT severity = WARN", r#""no such thing""#],
            &["service >", "(service = shop", r#"service ~ "(""#, "duration > soon"],
        ),
        "from" => (&["0", "-1h", "2023-01-29T08:42:09.479Z"], &["yesterday", "-", "-3parsecs"]),
        "to" => (&["now", "18446744073709551615", "2099-01-01T00:00:00+01:00"], &["", "tomorrow"]),
        "by" => (
            &["service", "severity", "operation", "kind", "status", "host.name", "resource.host.name"],
            &[""],
        ),
        "signal" => (&["spans", "logs"], &["metrics", ""]),
        "key" => (&["service", "host.name", "nosuch"], &[]),
        "prefix" => (&["", "s", "none such"], &[]),
        "cursor" => (&[], &["x", "1~2~3"]),
        "limit" | "skip" | "buckets" | "points" => (&[], &["x", "-1", "1.5"]),
        other => panic!("`{other}` has no samples: add some to this test"),
    }
}

/// What a path's parameter names that is there.
fn existing(parameter: &str, log: &str) -> String {
    match parameter {
        "traceId" => TRACE.to_owned(),
        "index" => "0".to_owned(),
        "id" => log.to_owned(),
        "service" => "shop".to_owned(),
        "host" => HOST.to_owned(),
        other => panic!("`{other}` has no sample: add one to this test"),
    }
}

struct Api {
    http: Http,
    base: String,
    description: Value,
    /// By method and path; `error` is the schema of every answer beside 200.
    schemas: BTreeMap<(String, &'static str), Validator>,
    calls: usize,
}

impl Api {
    async fn new(base: &str) -> Self {
        let http = Http::default();
        let description = http.get_json(&format!("{base}/api/openapi.json")).await.unwrap();
        let mut components = description["components"].clone();
        closed(&mut components);
        let mut schemas = BTreeMap::new();
        for (path, item) in description["paths"].as_object().unwrap() {
            assert_eq!(item.as_object().unwrap().keys().collect::<Vec<_>>(), ["get"], "{path} is only read");
            let answers = &item["get"]["responses"];
            for (status, name) in [("200", "ok"), ("default", "error")] {
                let (media, body) = answers[status]["content"].as_object().unwrap().iter().next().unwrap();
                assert_eq!(media == "text/event-stream", path == TAIL && name == "ok", "{path} {media}");
                let mut schema = body["schema"].clone();
                schema["components"] = components.clone();
                let validator = jsonschema::draft202012::new(&schema);
                schemas.insert((path.clone(), name), validator.unwrap_or_else(|e| panic!("{path}: {e}")));
            }
        }
        Self { http, base: base.to_owned(), description, schemas, calls: 0 }
    }

    async fn raw(&self, path_and_query: &str) -> (StatusCode, Bytes) {
        let url = format!("{}{path_and_query}", self.base);
        self.http.request(Method::GET, &url, "application/json", Bytes::new()).await.unwrap()
    }

    /// Calls a documented path and holds the answer to its schema.
    async fn call(&mut self, path: &str, address: &str, query: &[(&str, &str)], expect: u16) -> Value {
        let query: Vec<_> = query.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect();
        let asked = format!("{address}?{}", query.join("&"));
        let (status, body) = self.raw(&asked).await;
        let text = String::from_utf8_lossy(&body);
        assert_eq!(status.as_u16(), expect, "{asked}: {text}");
        let answer: Value = serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{asked}: {e}: {text}"));
        let schema = &self.schemas[&(path.to_owned(), if expect == 200 { "ok" } else { "error" })];
        let wrong: Vec<_> =
            schema.iter_errors(&answer).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{asked}: {wrong:#?}\n{answer:#}");
        self.calls += 1;
        answer
    }
}

/// Objects with known properties may have no others.
fn closed(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") && !object.contains_key("additionalProperties") {
                object.insert("additionalProperties".to_owned(), false.into());
            }
            object.values_mut().for_each(closed);
        }
        Value::Array(items) => items.iter_mut().for_each(closed),
        _ => {}
    }
}

#[tokio::test]
async fn the_description_is_true() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "agent: {sources: [], host_metrics: 0s}").unwrap();
    let mut api = Api::new(server.api()).await;
    let log = feed(&api, server.otlp()).await;
    let paths = api.description["paths"].as_object().unwrap().clone();
    for (path, item) in paths.iter().filter(|(path, _)| *path != TAIL) {
        let parameters = item["get"]["parameters"].as_array().cloned().unwrap_or_default();
        try_endpoint(&mut api, path, &parameters, &log).await;
    }
    the_reference_agrees(&api.description);
    println!("{} endpoints, {} calls", paths.len(), api.calls);
    server.stop().unwrap();
}

async fn try_endpoint(api: &mut Api, path: &str, parameters: &[Value], log: &str) {
    let name = |parameter: &Value| parameter["name"].as_str().unwrap().to_owned();
    let (named, asked): (Vec<_>, Vec<_>) = parameters.iter().partition(|parameter| parameter["in"] == "path");
    let mut address = path.to_owned();
    for parameter in &named {
        let name = name(parameter);
        address = address.replace(&format!("{{{name}}}"), &encode(&existing(&name, log)));
    }
    assert!(!address.contains('{'), "{path} names a parameter that is not documented");

    let names: Vec<String> = asked.iter().map(|parameter| name(parameter)).collect();
    let required: Vec<(&str, &str)> = (asked.iter().zip(&names))
        .filter(|(parameter, _)| parameter["required"] == true)
        .map(|(_, name)| (name.as_str(), samples(name).0[0]))
        .collect();
    let with = |name: &'_ str, value: &'_ str| {
        let others = required.iter().filter(|(key, _)| *key != name);
        others
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .chain([(name.to_owned(), value.to_owned())])
            .collect()
    };
    api.call(path, &address, &required, 200).await;
    for (missing, _) in &required {
        let others: Vec<_> = required.iter().filter(|(key, _)| key != missing).copied().collect();
        api.call(path, &address, &others, 400).await;
    }
    let mut all: Vec<(String, String)> = Vec::new();
    for (parameter, name) in asked.iter().zip(&names) {
        let (good, bad) = samples(name);
        let (mut good, mut bad): (Vec<String>, Vec<String>) =
            (good.iter().map(|v| v.to_string()).collect(), bad.iter().map(|v| v.to_string()).collect());
        if let Some(most) = parameter["schema"]["maximum"].as_u64() {
            let least = parameter["schema"]["minimum"].as_u64().unwrap();
            good.extend([least, most].map(|n| n.to_string()));
            bad.extend([least - 1, most + 1].map(|n| n.to_string()));
        } else {
            assert!(
                !parameter["schema"]["type"].to_string().contains("integer"),
                "{path}: `{name}` has no bound"
            );
        }
        for (values, status) in [(&good, 200), (&bad, 400)] {
            for value in values {
                let query: Vec<(String, String)> = with(name, value);
                let query: Vec<_> = query.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                let answer = api.call(path, &address, &query, status).await;
                if status == 400 && name == "q" {
                    let error = &answer["error"];
                    let at =
                        error["start"].as_u64().unwrap() as usize..error["end"].as_u64().unwrap() as usize;
                    assert!(value.get(at.clone()).is_some(), "{path}: `{value}` has no place {at:?}");
                }
            }
        }
        all.extend(good.first().map(|value| (name.clone(), value.clone())));
    }
    let all: Vec<_> = all.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    api.call(path, &address, &all, 200).await;
    api.call(
        path,
        &address,
        &[required.as_slice(), &[("nosuch", "1")]].concat(),
        if asked.is_empty() { 200 } else { 400 },
    )
    .await;
    if names.iter().any(|name| name == "cursor") {
        pages(api, path, &address).await;
    }
    for parameter in named {
        let name = name(parameter);
        let elsewhere = |value: &str| address.replace(&encode(&existing(&name, log)), &encode(value));
        match name.as_str() {
            "traceId" => {
                api.call(path, &elsewhere("0af7651916cd43dd8448eb211c80319c"), &required, 404).await;
                api.call(path, &elsewhere("no hex"), &required, 400).await;
            }
            "index" => {
                let last = |value: &str| address.replace("/spans/0", &format!("/spans/{value}"));
                api.call(path, &last("4000"), &required, 404).await;
                api.call(path, &last("first"), &required, 400).await;
            }
            "id" => drop(api.call(path, &elsewhere("none-such"), &required, 404).await),
            // A service or host of which nothing is known is an empty answer.
            _ => drop(api.call(path, &elsewhere("none such"), &required, 200).await),
        }
    }
}

/// Pages of one are the list, each entry once.
async fn pages(api: &mut Api, path: &str, address: &str) {
    let key = if path.ends_with("traces") { ("traces", "traceId") } else { ("logs", "id") };
    let ids = |answer: &Value| -> Vec<String> {
        let entries = answer[key.0].as_array().unwrap().iter();
        entries.map(|entry| entry[key.1].as_str().unwrap().to_owned()).collect()
    };
    let whole = ids(&api.call(path, address, &[("limit", "1000")], 200).await);
    assert!(whole.len() > 1, "{path} has nothing to page through");
    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("limit", "1")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = api.call(path, address, &query, 200).await;
        found.extend(ids(&page));
        let Some(next) = page["cursor"].as_str() else { break };
        cursor = Some(next.to_owned());
        assert!(found.len() <= whole.len(), "{path}: more pages than entries");
    }
    assert_eq!(found, whole, "{path}");
    // A cursor of one search is no cursor of another.
    if let Some(cursor) = cursor {
        api.call(path, address, &[("limit", "1"), ("q", "service = shop"), ("cursor", &cursor)], 400).await;
    }
}

#[tokio::test]
async fn what_is_asked_in_the_wrong_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "agent: {sources: [], host_metrics: 0s}").unwrap();
    let api = Api::new(server.api()).await;
    let refused = async |address: &str, expect: u16| -> Value {
        let (status, body) = api.raw(address).await;
        assert_eq!(status.as_u16(), expect, "{address}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    };
    // Conditions on whole traces have no meaning for one record.
    for path in
        ["logs?", "logs/histogram?", "logs/tail?", "logs/groups?by=service&", "spans/groups?by=service&"]
    {
        let address = format!("/api/v1/{path}q=service%3Da%20trace.spans%3E2");
        let error = &refused(&address, 400).await["error"];
        assert_eq!(
            (error["start"].as_u64(), error["end"].as_u64()),
            (Some(10), Some(21)),
            "{address}: {error}"
        );
    }
    refused("/api/v1/traces?q=service%3Da%20OR%20trace.spans%3E2", 400).await;
    refused("/api/v1/nosuch", 404).await;
    refused("/api/v1/logs/%FF", 400).await;
    let url = format!("{}/api/v1/services", server.api());
    let (status, body) =
        api.http.request(Method::POST, &url, "application/json", Bytes::new()).await.unwrap();
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["error"]["code"], "method");
    server.stop().unwrap();
}

#[tokio::test]
async fn a_live_tail_is_what_its_schema_says_and_has_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let config = "agent: {sources: [], host_metrics: 0s}\nquery: {tails: 1}";
    let server = Server::start(folder.path(), config).unwrap();
    let api = Api::new(server.api()).await;
    let host = server.api().trim_start_matches("http://").to_owned();
    let mut tail = tokio::net::TcpStream::connect(&host).await.unwrap();
    let request = format!("GET {TAIL}?q=service%3Dshop HTTP/1.1\r\nhost: {host}\r\n\r\n");
    tail.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(tail).lines();
    let mut next =
        async || tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(next().await.contains(" 200 "));

    let (status, body) = api.raw(TAIL).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let error = serde_json::from_slice(&body).unwrap();
    assert!(api.schemas[&(TAIL.to_owned(), "error")].is_valid(&error), "{error}");

    feed(&api, server.otlp()).await;
    let (mut event, mut seen) = (String::new(), 0);
    while seen < 3 {
        let line = next().await;
        if let Some(name) = line.strip_prefix("event: ") {
            event = name.to_owned();
        } else if let Some(data) = line.strip_prefix("data: ") {
            assert_eq!(event, "logs");
            let data: Value = serde_json::from_str(data).unwrap();
            assert!(api.schemas[&(TAIL.to_owned(), "ok")].is_valid(&data), "{data}");
            seen += data["logs"].as_array().unwrap().len();
        }
    }
    server.stop().unwrap();
}

/// `docs/reference/api.md` names every endpoint with its parameters, and no other.
fn the_reference_agrees(description: &Value) {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/api.md")).unwrap();
    let documented: BTreeMap<&str, BTreeSet<&str>> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `GET ")?.split('`').next())
        .map(|call| {
            let (path, parameters) = call.split_once('?').unwrap_or((call, ""));
            let parameters = parameters.split('&').filter(|p| !p.is_empty());
            (path, parameters.map(|p| p.split('=').next().unwrap()).collect())
        })
        .collect();
    let described: BTreeMap<&str, BTreeSet<&str>> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, item)| {
            let parameters = item["get"]["parameters"].as_array().into_iter().flatten();
            let asked = parameters.filter(|p| p["in"] == "query").map(|p| p["name"].as_str().unwrap());
            (path.as_str(), asked.collect())
        })
        .collect();
    assert_eq!(documented, described);
}

/// Sends a little of everything, and returns the id of a line.
async fn feed(api: &Api, otlp: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let resource = json!({"attributes": [text("service.name", "shop"), text("host.name", HOST)]});
    let every_kind = json!([
        text("text", "value"),
        {"key": "int", "value": {"intValue": "9007199254740993"}},
        {"key": "double", "value": {"doubleValue": 0.5}},
        {"key": "bool", "value": {"boolValue": true}},
        {"key": "bytes", "value": {"bytesValue": "AAEC"}},
        {"key": "array", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "b"}]}}},
        {"key": "map", "value": {"kvlistValue": {"values": [text("inner", "c")]}}},
        {"key": "null", "value": {}},
    ]);
    let span = |trace: &str, span: &str, parent: &str, name: &str, at: u64, status: u64| {
        json!({"traceId": trace, "spanId": span, "parentSpanId": parent, "name": name, "kind": 2,
            "startTimeUnixNano": at.to_string(), "endTimeUnixNano": (at + 5_000_000).to_string(),
            "status": {"code": status, "message": "told"}, "attributes": every_kind,
            "events": [{"timeUnixNano": at.to_string(), "name": "exception", "attributes": every_kind}],
            "links": [{"traceId": trace, "spanId": span, "attributes": every_kind}]})
    };
    let other = "00000000000000000000000000000abc";
    let spans = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{
        "scope": {"name": "test", "version": "1", "attributes": [text("of", "scope")]},
        "spans": [span(TRACE, SPAN, "", "GET /", now - 9_000_000, 2),
            // Its parent is missing, and it begins before what stands in for it: notes are made.
            span(TRACE, "eee19b7ec3c1b175", "eee19b7ec3c1b1ff", "lost", now - 8_000_000, 0),
            span(other, "eee19b7ec3c1b176", "", "POST /", now - 7_000_000, 1)]}]}]});
    let line = |severity: u64, body: Value, at: u64| {
        json!({"timeUnixNano": at.to_string(), "severityNumber": severity, "severityText": "X", "body": body,
            "attributes": every_kind, "traceId": TRACE, "spanId": SPAN})
    };
    let logs = json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {"name": "test"}, "logRecords": [
        line(9, json!({"stringValue": "hello"}), now - 9_000_000),
        line(17, json!({"kvlistValue": {"values": [text("structured", "body")]}}), now - 8_000_000),
        line(0, json!({"stringValue": "no severity"}), now - 7_000_000)]}]}]});
    let point = |key: &str, value: &str, number: f64| json!({"attributes": [text(key, value)], "timeUnixNano": now.to_string(), "asDouble": number});
    let metrics = json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"scope": {"name": "test"}, "metrics": [
        {"name": "system.cpu.utilization", "unit": "1", "gauge": {"dataPoints": [point("cpu.mode", "user", 0.5)]}},
        {"name": "process.cpu.utilization", "unit": "1", "gauge": {"dataPoints": [point("process.pid", "7", 0.5)]}}]}]}]});
    for (signal, body) in [("traces", spans), ("logs", logs), ("metrics", metrics)] {
        let url = format!("{otlp}/v1/{signal}");
        let sent =
            api.http.request(Method::POST, &url, "application/json", body.to_string().into()).await.unwrap();
        assert_eq!(sent.0, StatusCode::OK, "{signal}: {}", String::from_utf8_lossy(&sent.1));
    }
    let begun = Instant::now();
    loop {
        let get = async |path: &str| api.http.get_json(&format!("{}{path}", api.base)).await.unwrap();
        let (traces, logs, hosts) =
            (get("/api/v1/traces").await, get("/api/v1/logs").await, get("/api/v1/hosts").await);
        let size = |answer: &Value, key: &str| answer[key].as_array().unwrap().len();
        let found = (size(&traces, "traces"), size(&logs, "logs"), size(&hosts, "hosts"));
        if found == (2, 3, 1) {
            return logs["logs"][0]["id"].as_str().unwrap().to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "only {found:?} of what was sent is found");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
