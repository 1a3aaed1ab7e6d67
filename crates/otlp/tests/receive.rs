//! What clients are answered, in their own encoding, and what is counted of it.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio_util::sync::CancellationToken;
use weir_model::Signal;
use weir_model::otlp::span_refs;
use weir_model::wire::{Fields, Kind};
use weir_otlp::{GrpcReceiver, GrpcSender, HttpReceiver, Intake, IntakeStats, REQUEST_BYTES};
use weir_runtime::Metrics;
use weir_transport::memory::MemoryLog;
use weir_transport::{Batch, Lane, Position, SendError, SendErrorKind, Sender, Senders};

const JSON: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",
    "spanId":"eee19b7ec3c1b174","name":"checkout"}]}]}]}"#;

/// A receiver over a log in memory, with counters.
struct Rig {
    url: String,
    log: MemoryLog,
    metrics: Metrics,
    _stop: tokio_util::sync::DropGuard,
}

/// Takes nothing.
struct NoRoom;

#[async_trait]
impl Sender for NoRoom {
    async fn send(&self, batch: Batch) -> Result<Position, SendError> {
        let kind = SendErrorKind::Retry { after: Duration::from_secs(5) };
        Err(SendError { kind, message: "no room".into(), batch: Box::new(batch) })
    }
}

fn senders(sender: Arc<dyn Sender>) -> Senders {
    Senders { logs: sender.clone(), spans: sender.clone(), metrics: sender }
}

impl Rig {
    async fn with(sender: Option<Arc<dyn Sender>>) -> Self {
        let log = MemoryLog::new(Lane { signal: Signal::Spans, partition: 0 });
        let metrics = Metrics::new();
        let senders = senders(sender.unwrap_or_else(|| Arc::new(log.clone())));
        let intake = Intake::plain(senders).counted(IntakeStats::register(&metrics, "test"));
        let receiver = HttpReceiver::bind("127.0.0.1:0".parse().unwrap(), intake).await.unwrap();
        let url = format!("http://{}/v1/traces", receiver.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(receiver.run(stop.clone()));
        Self { url, log, metrics, _stop: stop.drop_guard() }
    }

    /// Status, `Retry-After`, content type and body of the answer.
    async fn post(
        &self,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> (StatusCode, String, String, Bytes) {
        let mut request = Request::post(&self.url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
        let header = |name| answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let (status, after, kind) = (answer.status(), header("retry-after"), header("content-type"));
        (status, after, kind, answer.into_body().collect().await.unwrap().to_bytes())
    }

    fn spans(&self) -> Vec<String> {
        let bodies = self.log.batches();
        bodies
            .iter()
            .flat_map(|batch| span_refs(&batch.body).map(|s| s.span.name.to_owned()).collect::<Vec<_>>())
            .collect()
    }

    fn counted(&self, line: &str) {
        let text = self.metrics.text();
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn protobuf() -> Vec<u8> {
    serde_json::from_str::<ExportTraceServiceRequest>(JSON).unwrap().encode_to_vec()
}

const AS_JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
const AS_PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

#[tokio::test]
async fn what_is_taken() {
    let rig = Rig::with(None).await;
    let check = async |headers: &[(&str, &str)], body: Vec<u8>, kind: &str, answer: &str| {
        let before = rig.spans().len();
        let expect = (StatusCode::OK, String::new(), kind.to_owned(), Bytes::from(answer.to_owned()));
        assert_eq!(rig.post(headers, body).await, expect, "{headers:?}");
        assert_eq!(rig.spans()[before..], ["checkout"], "{headers:?}");
    };
    check(&[AS_JSON], JSON.into(), "application/json", "{}").await;
    check(&[AS_JSON, GZIP], gzip(JSON.as_bytes()), "application/json", "{}").await;
    check(&[AS_PROTOBUF], protobuf(), "application/x-protobuf", "").await;
    check(&[AS_PROTOBUF, GZIP], gzip(&protobuf()), "application/x-protobuf", "").await;
    let zstd = ("content-encoding", "zstd");
    check(&[AS_PROTOBUF, zstd], zstd::encode_all(&*protobuf(), 1).unwrap(), "application/x-protobuf", "")
        .await;
    rig.counted("weir_test_received_requests_total{protocol=\"otlp_http\",signal=\"spans\"} 5");
    rig.counted("weir_test_received_records_total{protocol=\"otlp_http\",signal=\"spans\"} 5");
}

#[tokio::test]
async fn what_is_refused() {
    let rig = Rig::with(None).await;
    let large = vec![b' '; REQUEST_BYTES + 1];
    let check = async |headers: &[(&str, &str)], body: Vec<u8>, status: u16, code: u64, message: &str| {
        let (found, _, kind, answer) = rig.post(headers, body).await;
        assert_eq!(found.as_u16(), status, "{headers:?}");
        let (found_code, found) = match kind.as_str() {
            "application/json" => {
                let status: serde_json::Value = serde_json::from_slice(&answer).unwrap();
                (status["code"].as_u64().unwrap(), status["message"].as_str().unwrap().to_owned())
            }
            _ => {
                let fields: Vec<_> = Fields::new(&answer).map(|field| field.unwrap().kind).collect();
                let [Kind::Varint(code), Kind::Bytes(message)] = fields[..] else { panic!("{fields:?}") };
                (code, String::from_utf8(message.to_vec()).unwrap())
            }
        };
        assert_eq!(found_code, code, "{found}");
        assert!(found.contains(message), "{found}");
        assert_eq!(kind.ends_with("json"), !headers.contains(&AS_PROTOBUF), "{kind}");
    };
    check(
        &[AS_JSON],
        b"{\"resourceSpans\":1}".to_vec(),
        400,
        3,
        "expected a list in `resourceSpans` at line 1",
    )
    .await;
    check(&[AS_PROTOBUF], b"\x0a\x09".to_vec(), 400, 3, "not an OTLP request for spans").await;
    check(&[AS_PROTOBUF, GZIP], b"plain".to_vec(), 400, 3, "not gzip, as its header says").await;
    check(&[], JSON.into(), 415, 3, "send application/x-protobuf or application/json").await;
    check(&[AS_JSON, ("content-encoding", "br")], JSON.into(), 415, 3, "`br` is not taken; use gzip or zstd")
        .await;
    check(&[AS_JSON], large.clone(), 413, 11, "more than 32 MiB").await;
    check(&[AS_PROTOBUF, GZIP], gzip(&large), 413, 11, "send smaller batches").await;
    assert_eq!(rig.log.batches(), []);
    for (cause, count) in [("malformed", 3), ("unsupported", 2), ("too_large", 2)] {
        let labels = format!("protocol=\"otlp_http\",cause=\"{cause}\"");
        rig.counted(&format!("weir_test_refused_requests_total{{{labels}}} {count}"));
    }
}

#[tokio::test]
async fn what_must_come_again() {
    let rig = Rig::with(Some(Arc::new(NoRoom))).await;
    let (status, after, kind, body) = rig.post(&[AS_JSON], JSON).await;
    assert_eq!((status.as_u16(), after.as_str(), kind.as_str()), (503, "5", "application/json"));
    assert_eq!(
        &*body,
        br#"{"code":14,"message":"what was sent can't be stored now, send it again: no room"}"#
    );
    rig.counted("weir_test_refused_requests_total{protocol=\"otlp_http\",cause=\"busy\"} 1");
}

#[tokio::test]
async fn grpc_counts_what_is_too_large() {
    let log = MemoryLog::new(Lane { signal: Signal::Spans, partition: 0 });
    let metrics = Metrics::new();
    let intake =
        Intake::plain(senders(Arc::new(log.clone()))).counted(IntakeStats::register(&metrics, "test"));
    let receiver = GrpcReceiver::bind("127.0.0.1:0".parse().unwrap(), intake).await.unwrap();
    let url = format!("http://{}", receiver.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(receiver.run(stop.clone()));
    let sender = GrpcSender::new(&url, Signal::Spans).unwrap();
    let send = async |body: Vec<u8>| {
        let batch = Batch { signal: Signal::Spans, origins: vec![], route: 0, arrived: 0, body: body.into() };
        sender.send(batch).await
    };
    send(protobuf()).await.unwrap();
    assert_eq!(send(vec![0; REQUEST_BYTES + 1]).await.unwrap_err().kind, SendErrorKind::Refused);
    let text = metrics.text();
    for line in [
        "received_requests_total{protocol=\"otlp_grpc\",signal=\"spans\"} 1",
        "refused_requests_total{protocol=\"otlp_grpc\",cause=\"too_large\"} 1",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    stop.cancel();
}
