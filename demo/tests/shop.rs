//! The whole shop as real processes, against a server that captures its spans.
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::{Router, body::Bytes, extract::State, routing::post};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use weir_demo::{Settings, Shop, ShopConfig};

const BOUND: Duration = Duration::from_secs(20);
const LOGS: [&str; 6] =
    ["storefront.access.log", "storefront.log", "order.log", "product.log", "inventory.log", "payment.log"];

/// Span id (hex) to its service, trace id and parent id.
type Spans = Arc<Mutex<HashMap<String, (String, String, String)>>>;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn capture(State(spans): State<Spans>, body: Bytes) {
    for resource in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
        let attributes = resource.resource.unwrap().attributes;
        let name = attributes.into_iter().find(|a| a.key == "service.name").unwrap().value.unwrap().value;
        let Some(Value::StringValue(service)) = name else { panic!("no service name") };
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let entry = (service.clone(), hex(&span.trace_id), hex(&span.parent_span_id));
            spans.lock().unwrap().insert(hex(&span.span_id), entry);
        }
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        while !holds() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(BOUND, wait).await.unwrap_or_else(|_| panic!("never seen: {what}"));
}

fn carries_a_trace(file: &Path, spans: &Spans) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    spans.lock().unwrap().values().any(|(_, trace, _)| text.contains(trace))
}

#[tokio::test(flavor = "multi_thread")]
async fn shop_logs_traces_rotates_and_restarts() {
    let spans = Spans::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let otlp = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let app = Router::new().route("/v1/traces", post(capture)).with_state(spans.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let dir = tempfile::tempdir().unwrap();
    let (log_dir, run_dir) = (dir.path().join("logs"), dir.path().join("run"));
    let program = std::env::current_exe().unwrap().parent().unwrap().with_file_name("examples").join("shop");
    let settings = Settings { log_dir, run_dir, otlp, rate: 20.0, rotate_bytes: 20_000 };
    let (logs, run) = (settings.log_dir.clone(), settings.run_dir.clone());
    let shop = Shop::start(ShopConfig { program: program.clone(), settings }).unwrap();

    for log in LOGS {
        until(log, || carries_a_trace(&logs.join(log), &spans)).await;
    }
    until("a trace over five services whose parents join", || {
        let spans = spans.lock().unwrap();
        let mut traces: HashMap<&str, HashSet<&str>> = HashMap::new();
        for (service, trace, _) in spans.values().filter(|(_, _, p)| p.is_empty() || spans.contains_key(p)) {
            traces.entry(trace).or_default().insert(service);
        }
        traces.values().any(|services| services.len() == 5)
    })
    .await;
    until("a rotated log", || logs.join("product.log.1").exists()).await;

    let fault = |args: &[&str]| {
        let run = run.to_str().unwrap();
        let status = std::process::Command::new(&program)
            .args(["demo", "--run-dir", run, "fault"])
            .args(args)
            .status();
        assert!(status.unwrap().success(), "{args:?}");
    };
    fault(&["order", "exception", "--for", "2m"]);
    until("a stack trace", || {
        std::fs::read_to_string(logs.join("order.log"))
            .unwrap_or_default()
            .contains("\tat c.w.shop.Controller")
    })
    .await;
    fault(&["--clear"]);
    let port = || std::fs::read_to_string(run.join("payment.port")).unwrap_or_default();
    let before = port();
    fault(&["payment", "crash"]);
    until("a restart on another port", || !port().is_empty() && port() != before).await;
    let stopped = tokio::time::timeout(Duration::from_secs(3), shop.stop()).await;
    assert!(stopped.is_ok(), "the shop did not stop within 3 s");
}
