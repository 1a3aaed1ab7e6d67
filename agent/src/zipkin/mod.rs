//! Zipkin's JSON, version 2, over HTTP: `POST /api/v2/spans`, answered with 202 when the spans are durable.
//!
//! Source: Zipkin's OpenAPI description `zipkin2-api.yaml`. What a span becomes stands in [`convert`].

mod convert;
mod span;

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode, header};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use weir_model::Signal;
use weir_otlp::{Intake, Protocol, REQUEST_BYTES, Refusal, unpack};

/// Listens for Zipkin's spans.
pub(crate) struct ZipkinReceiver {
    listener: TcpListener,
    intake: Intake,
}

impl ZipkinReceiver {
    /// # Errors
    /// When the address can't be listened on.
    pub(crate) async fn bind(address: SocketAddr, intake: Intake) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, intake })
    }

    /// # Errors
    /// Never in practice; the system is asked for the address.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the token is cancelled, then finishes what is under way.
    ///
    /// # Errors
    /// When the listener fails.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> io::Result<()> {
        let app = app(self.intake);
        axum::serve(self.listener, app).with_graceful_shutdown(shutdown.cancelled_owned()).await
    }
}

fn app(intake: Intake) -> Router {
    Router::new()
        .route("/api/v2/spans", post(receive))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES))
        .with_state(intake)
}

async fn receive(
    State(intake): State<Intake>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match intake.take(Protocol::Zipkin, Signal::Spans, read(&headers, body)).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(refusal) => {
            let mut answer = (refusal.status(), format!("{refusal}\n")).into_response();
            if let Some(seconds) = refusal.retry_after() {
                answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            answer
        }
    }
}

/// The spans of a request as OTLP.
fn read(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
    if !kind.is_empty() && !kind.to_ascii_lowercase().starts_with("application/json") {
        return Err(Refusal::Unsupported(format!(
            "the content type `{kind}` is not taken here; send Zipkin's JSON, version 2, as application/json"
        )));
    }
    let body = unpack(headers, body)?;
    let spans: Vec<span::Span> = serde_json::from_slice(&body)
        .map_err(|error| Refusal::Malformed(format!("the body is not a list of Zipkin's spans: {error}")))?;
    Ok(convert::to_otlp(&spans).into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::Request;
    use tower::ServiceExt;
    use weir_otlp::IntakeStats;
    use weir_runtime::Metrics;
    use weir_transport::memory::MemoryLog;
    use weir_transport::{Lane, Senders};

    use super::*;

    const SPAN: &str = r#"[{"traceId":"1","id":"2"}]"#;

    #[tokio::test]
    async fn answers() {
        let log = MemoryLog::new(Lane { signal: Signal::Spans, partition: 0 });
        let sender = Arc::new(log.clone());
        let senders = Senders { logs: sender.clone(), spans: sender.clone(), metrics: sender };
        let metrics = Metrics::new();
        let app = app(Intake::plain(senders).counted(IntakeStats::register(&metrics, "agent")));
        let check = async |headers: &[(&str, &str)], body: Vec<u8>, status: u16, expect: &str| {
            let mut request = Request::post("/api/v2/spans");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answer =
                app.clone().oneshot(request.body(axum::body::Body::from(body)).unwrap()).await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{headers:?}");
            let text = axum::body::to_bytes(answer.into_body(), 1_000).await.unwrap();
            assert!(String::from_utf8_lossy(&text).starts_with(expect), "{text:?}");
        };
        let json = ("content-type", "application/json");
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(SPAN.as_bytes()).unwrap();
        check(&[json], SPAN.into(), 202, "").await;
        check(&[], SPAN.into(), 202, "").await;
        check(&[json, ("content-encoding", "gzip")], gzip.finish().unwrap(), 202, "").await;
        assert_eq!(log.batches().len(), 3);
        // Clients try whether somebody is there.
        check(&[json], b"[]".to_vec(), 202, "").await;
        check(&[json], b"[{}]".to_vec(), 400, "the body is not a list of Zipkin's spans: missing field")
            .await;
        check(&[("content-type", "application/x-thrift")], SPAN.into(), 415, "the content type").await;
        check(&[json], vec![b' '; REQUEST_BYTES + 1], 413, "the request has more than 32 MiB").await;
        assert_eq!(log.batches().len(), 3);
        let text = metrics.text();
        for line in [
            "weir_agent_received_requests_total{protocol=\"zipkin\",signal=\"spans\"} 4",
            "weir_agent_received_records_total{protocol=\"zipkin\",signal=\"spans\"} 3",
            "weir_agent_refused_requests_total{protocol=\"zipkin\",cause=\"malformed\"} 1",
            "weir_agent_refused_requests_total{protocol=\"zipkin\",cause=\"too_large\"} 1",
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
    }
}
