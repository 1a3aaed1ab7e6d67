//! Spans of one process, batched and sent by OTLP over HTTP. A full queue drops spans and counts them.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::Full;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Wire, Status, span};
use prost::Message;
use tokio::sync::mpsc;

use crate::call::Http;

/// Finished spans that wait to be sent.
const QUEUE_SPANS: usize = 4096;
/// Most spans of one request.
const BATCH_SPANS: usize = 256;
const SEND_EVERY: Duration = Duration::from_millis(500);
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) const SERVER: i32 = 2;
pub(crate) const CLIENT: i32 = 3;
pub(crate) const INTERNAL: i32 = 1;

#[derive(Clone)]
pub(crate) struct Tracer {
    queue: mpsc::Sender<Wire>,
    dropped: Arc<AtomicU64>,
}

impl Tracer {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Wire>) {
        let (queue, spans) = mpsc::channel(QUEUE_SPANS);
        (Self { queue, dropped: Arc::default() }, spans)
    }

    /// Spans lost since the last call.
    pub(crate) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    /// Starts a span, below the caller's where a valid traceparent (W3C Trace Context §3.2) came with it.
    pub(crate) fn start(&self, name: String, kind: i32, traceparent: Option<&str>) -> Span {
        let parent = traceparent.and_then(parse);
        let (trace_id, parent_span_id) =
            parent.unwrap_or_else(|| (rand::random::<[u8; 16]>().to_vec(), Vec::new()));
        self.span(name, kind, trace_id, parent_span_id)
    }

    fn span(&self, name: String, kind: i32, trace_id: Vec<u8>, parent_span_id: Vec<u8>) -> Span {
        let span_id = rand::random::<[u8; 8]>().to_vec();
        let start_time_unix_nano = nanos();
        let wire =
            Wire { name, kind, trace_id, span_id, parent_span_id, start_time_unix_nano, ..Wire::default() };
        Span { wire, tracer: self.clone() }
    }
}

pub(crate) struct Span {
    wire: Wire,
    tracer: Tracer,
}

impl Span {
    pub(crate) fn child(&self, name: impl Into<String>, kind: i32) -> Span {
        self.tracer.span(name.into(), kind, self.wire.trace_id.clone(), self.wire.span_id.clone())
    }

    pub(crate) fn trace(&self) -> String {
        hex(&self.wire.trace_id)
    }

    pub(crate) fn id(&self) -> String {
        hex(&self.wire.span_id)
    }

    pub(crate) fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace(), self.id())
    }

    pub(crate) fn text(&mut self, key: &str, value: impl Into<String>) {
        self.wire.attributes.push(attribute(key, Value::StringValue(value.into())));
    }

    pub(crate) fn int(&mut self, key: &str, value: i64) {
        self.wire.attributes.push(attribute(key, Value::IntValue(value)));
    }

    pub(crate) fn fail(&mut self, message: impl Into<String>) {
        self.wire.status = Some(Status { message: message.into(), code: 2 });
    }

    pub(crate) fn exception(&mut self, kind: &str, message: &str, stack: &str) {
        let attributes =
            [("exception.type", kind), ("exception.message", message), ("exception.stacktrace", stack)]
                .map(|(key, value)| attribute(key, Value::StringValue(value.into())));
        let time_unix_nano = nanos();
        let event = span::Event {
            name: "exception".into(),
            time_unix_nano,
            attributes: attributes.into(),
            ..Default::default()
        };
        self.wire.events.push(event);
        self.fail(message);
    }

    pub(crate) fn end(mut self) {
        self.wire.end_time_unix_nano = nanos();
        if self.tracer.queue.try_send(self.wire).is_err() {
            self.tracer.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Sends spans until the queue is closed or `stop` ends, then what is left once more.
pub(crate) async fn export(
    service: &'static str,
    endpoint: String,
    http: Http,
    tracer: Tracer,
    mut spans: mpsc::Receiver<Wire>,
    stop: tokio_util::sync::CancellationToken,
) {
    let instance = format!("{service}-{}", std::process::id());
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let resource = [
        ("service.name", service),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("host.name", host.trim()),
        ("service.instance.id", &instance),
    ]
    .map(|(key, value)| attribute(key, Value::StringValue(value.into())));
    let mut stopping = false;
    while !stopping {
        tokio::select! {
            () = tokio::time::sleep(SEND_EVERY) => {}
            () = stop.cancelled() => stopping = true,
        }
        loop {
            let mut batch = Vec::new();
            while batch.len() < BATCH_SPANS
                && let Ok(span) = spans.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                break;
            }
            let count = batch.len() as u64;
            let request = ExportTraceServiceRequest {
                resource_spans: vec![ResourceSpans {
                    resource: Some(Resource { attributes: resource.to_vec(), ..Default::default() }),
                    scope_spans: vec![ScopeSpans {
                        scope: Some(InstrumentationScope { name: "weir-demo".into(), ..Default::default() }),
                        spans: batch,
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
            };
            let body = Full::from(request.encode_to_vec());
            let request =
                http::Request::post(&endpoint).header("content-type", "application/x-protobuf").body(body);
            let Ok(request) = request else { return };
            let sent = tokio::time::timeout(SEND_TIMEOUT, http.request(request)).await;
            if !matches!(sent, Ok(Ok(response)) if response.status().is_success()) {
                tracer.dropped.fetch_add(count, Ordering::Relaxed);
                break;
            }
        }
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn nanos() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse(text: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut parts = text.split('-').skip(1);
    Some((unhex(parts.next()?, 16)?, unhex(parts.next()?, 8)?))
}

fn unhex(text: &str, bytes: usize) -> Option<Vec<u8>> {
    if text.len() != bytes * 2 || !text.is_ascii() {
        return None;
    }
    (0..bytes).map(|i| u8::from_str_radix(&text[i * 2..i * 2 + 2], 16).ok()).collect()
}
