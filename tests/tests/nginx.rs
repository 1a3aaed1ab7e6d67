//! The access log of the real nginx becomes spans: a request with its upstream tries, several hops in one trace, and one row with what an SDK reports.

use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;
use weir_model::otlp::{BodyWriter, SpanKind, SpanWriter};
use weir_model::{SpanId, TraceId};
use weir_tests::client::{Client, LOOK_EVERY, encode};
use weir_tests::nginx::{Nginx, refusing, upstream};
use weir_tests::server::{PATIENCE, Server};

const DERIVED: u64 = 1;
const JOINED: u64 = 32;
const SERVER: i64 = 2;
const CLIENT: i64 = 3;
const ERROR: i64 = 2;

struct Rig {
    dir: tempfile::TempDir,
    nginx: Nginx,
}

impl Rig {
    async fn new(upstreams: [std::net::SocketAddr; 2]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let nginx = Nginx::start(dir.path(), upstreams).await;
        Self { dir, nginx }
    }

    /// Starts Weir on nginx's logs; again on the same data folder.
    fn weir(&self) -> Client {
        let config = format!(
            "agent:\n  host_metrics: 0s\n  sources:\n    - include: [\"{}/logs/*.log\"]\ncollector:\n  commit_every: 200ms\n",
            self.dir.path().display()
        );
        Client::new(Server::start(self.dir.path(), &config).unwrap())
    }
}

/// The columns of the only trace that a search finds, once it has so many spans.
async fn trace(client: &Client, q: &str, spans: u64) -> Value {
    let begun = Instant::now();
    loop {
        let page = client.get(&format!("/api/v1/traces?q={}", encode(q))).await;
        let found = page["traces"].as_array().unwrap();
        if let [only] = &found[..]
            && only["spans"].as_u64() >= Some(spans)
        {
            return client.get(&format!("/api/v1/traces/{}", only["traceId"].as_str().unwrap())).await;
        }
        assert!(begun.elapsed() < PATIENCE, "{page}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn numbers(columns: &Value, name: &str) -> Vec<i64> {
    columns["spans"][name].as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect()
}

/// Service, operation, parent row and tag of each row.
fn rows(columns: &Value) -> Vec<(String, String, i64, String)> {
    let named = |list: &str, at: i64| match &columns[list][at as usize] {
        Value::String(name) => name.clone(),
        service => service["name"].as_str().unwrap().to_owned(),
    };
    let (services, operations) = (numbers(columns, "service"), numbers(columns, "operation"));
    let tags = columns["spans"]["tag"].as_array().unwrap();
    (0..services.len())
        .map(|at| {
            let tag = tags[at].as_str().unwrap().to_owned();
            let parent = numbers(columns, "parent")[at];
            (named("services", services[at]), named("operations", operations[at]), parent, tag)
        })
        .collect()
}

fn row(service: &str, operation: &str, parent: i64, tag: &str) -> (String, String, i64, String) {
    (service.into(), operation.into(), parent, tag.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hops_and_two_tries() {
    let rig = Rig::new([upstream(502).await, upstream(200).await]).await;
    let client = rig.weir();
    assert_eq!(rig.nginx.get("/orders/17?full=1").await, "HTTP/1.1 200 X");
    // Both hops write the same request id, and neither knows of tracing.
    let columns = trace(&client, "service = gateway", 5).await;
    let operation = "GET /orders/{id}";
    assert_eq!(
        rows(&columns),
        [
            row("edge", operation, -1, "GET /orders/{id} 200"),
            row("edge", operation, 0, "GET /orders/17 200"),
            row("gateway", operation, 1, "GET /orders/{id} 200"),
            row("gateway", operation, 2, "GET /orders/17 502"),
            row("gateway", operation, 2, "GET /orders/17 200"),
        ]
    );
    let gateway = 2;
    assert_eq!(numbers(&columns, "kind")[gateway..gateway + 3], [SERVER, CLIENT, CLIENT]);
    assert_eq!(numbers(&columns, "status")[gateway..gateway + 3], [0, ERROR, 0]);
    assert!(numbers(&columns, "flags").iter().all(|flags| *flags as u64 & DERIVED != 0), "{columns}");
    // The line stands on its span, and the span tells where the line is.
    assert_eq!(numbers(&columns, "logs")[gateway], 1);
    let id = columns["traceId"].as_str().unwrap();
    let span = client.get(&format!("/api/v1/traces/{id}/spans/{gateway}")).await;
    assert_eq!(span["origin"], "derived");
    assert!(span["source"]["name"].as_str().unwrap().ends_with("/logs/gateway.log"), "{span}");
    client.server.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_with_the_span_of_an_sdk() {
    let rig = Rig::new([refusing(), upstream(200).await]).await;
    let client = rig.weir();
    let (trace_id, span_id) = (TraceId::from_low(77).unwrap(), SpanId::new([7; 8]).unwrap());
    let now =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let start = now();
    let header = format!("traceparent: 00-{trace_id}-{span_id}-01\r\n");
    assert_eq!(rig.nginx.get_gateway("/cart", &header).await, "HTTP/1.1 200 X");
    let end = now();
    trace(&client, "service = gateway", 3).await;
    // What a tracer inside of nginx sends: it passes its own span on in the header.
    let mut body = BodyWriter::default();
    body.resource(|attrs| attrs.str("service.name", "gateway"));
    body.scope("sdk", "");
    body.record(|out| {
        let mut span = SpanWriter::new(out, trace_id, span_id);
        span.name("cart of the SDK");
        span.kind(SpanKind::SERVER);
        span.times(start, end);
    });
    assert!(client.export(&Bytes::from(body.finish())).await);
    let begun = Instant::now();
    let columns = loop {
        // Of one call there are two records, and one row.
        let columns = trace(&client, "service = gateway", 3).await;
        if numbers(&columns, "flags")[0] as u64 & JOINED != 0 {
            break columns;
        }
        assert!(begun.elapsed() < PATIENCE, "{columns}");
        tokio::time::sleep(LOOK_EVERY).await;
    };
    assert_eq!(
        rows(&columns),
        [
            row("gateway", "cart of the SDK", -1, ""),
            row("gateway", "GET /cart", 0, "GET /cart 502"),
            row("gateway", "GET /cart", 0, "GET /cart 200"),
        ]
    );
    let flags = numbers(&columns, "flags");
    assert_eq!(flags[0] as u64 & (JOINED | DERIVED), JOINED);
    assert_eq!(
        (numbers(&columns, "logs")[0], columns["spans"]["id"][0].as_str().unwrap()),
        (1, "0707070707070707")
    );
    client.server.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_span_once_whatever_is_killed() {
    const REQUESTS: u64 = 60;
    let rig = Rig::new([upstream(502).await, upstream(200).await]).await;
    for kill in 0..4 {
        let client = rig.weir();
        for n in 0..REQUESTS / 4 {
            assert_eq!(rig.nginx.get_gateway(&format!("/orders/{n}"), "").await, "HTTP/1.1 200 X");
        }
        // Paced by progress: some of what was just written has come, perhaps not all.
        let begun = Instant::now();
        while client.total("spans", "").await <= 3 * kill * REQUESTS / 4 {
            assert!(begun.elapsed() < PATIENCE, "no span comes");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        client.server.kill();
    }
    let client = rig.weir();
    client.wait_for_totals(REQUESTS, 3 * REQUESTS).await;
    client.server.stop().unwrap();
}
