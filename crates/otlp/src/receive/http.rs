//! OTLP over HTTP: `POST /v1/logs`, `/v1/traces`, `/v1/metrics` with protobuf bodies, plain, gzip or zstd.
//!
//! Source: OpenTelemetry protocol specification 1.x, section "OTLP/HTTP". An answer is an empty `Export…ServiceResponse` (which encodes to no
//! bytes) or a `google.rpc.Status`.

use std::io::{self, Read};
use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode, header};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use weir_model::Signal;
use weir_model::wire::Writer;

use super::{Intake, REQUEST_BYTES, Refusal};

const PROTOBUF: &str = "application/x-protobuf";

/// Listens for OTLP over HTTP.
pub struct HttpReceiver {
    listener: TcpListener,
    intake: Intake,
}

impl HttpReceiver {
    /// # Errors
    /// When the address can't be listened on.
    pub async fn bind(address: SocketAddr, intake: Intake) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, intake })
    }

    /// # Errors
    /// Never in practice; the system is asked for the address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the token is cancelled, then finishes what is under way.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(self, shutdown: CancellationToken) -> io::Result<()> {
        let app = app(self.intake);
        axum::serve(self.listener, app).with_graceful_shutdown(shutdown.cancelled_owned()).await
    }
}

fn app(intake: Intake) -> Router {
    let route = |signal| {
        post(move |State(intake): State<Intake>, headers: HeaderMap, body: Bytes| {
            receive(intake, signal, headers, body)
        })
    };
    Router::new()
        .route("/v1/logs", route(Signal::Logs))
        .route("/v1/traces", route(Signal::Spans))
        .route("/v1/metrics", route(Signal::Metrics))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES))
        .with_state(intake)
}

async fn receive(intake: Intake, signal: Signal, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").trim().to_ascii_lowercase()
    };
    let content_type = text(header::CONTENT_TYPE);
    if content_type.split(';').next() != Some(PROTOBUF) {
        let message = format!("the content type `{content_type}` is not taken here; send {PROTOBUF}");
        return status(StatusCode::UNSUPPORTED_MEDIA_TYPE, &message);
    }
    let body = match text(header::CONTENT_ENCODING).as_str() {
        "" | "identity" => body,
        encoding => match decompress(encoding, body) {
            Ok(body) => body,
            Err((code, message)) => return status(code, &message),
        },
    };
    match intake.take(signal, body).await {
        Ok(()) => (StatusCode::OK, [(header::CONTENT_TYPE, PROTOBUF)]).into_response(),
        Err(Refusal::Bad(message)) => status(StatusCode::BAD_REQUEST, &message),
        Err(Refusal::Broken(message)) => status(StatusCode::INTERNAL_SERVER_ERROR, &message),
        Err(Refusal::Busy { after }) => {
            let mut answer =
                status(StatusCode::SERVICE_UNAVAILABLE, "what was sent can't be stored now; send it again");
            answer.headers_mut().insert(header::RETRY_AFTER, after.as_secs().max(1).into());
            answer
        }
    }
}

fn decompress(encoding: &str, body: Bytes) -> Result<Bytes, (StatusCode, String)> {
    let mut reader: Box<dyn Read> = match encoding {
        "gzip" => Box::new(flate2::read::MultiGzDecoder::new(body.as_ref())),
        "zstd" => {
            Box::new(zstd::Decoder::new(body.as_ref()).map_err(|e| (StatusCode::BAD_REQUEST, e.to_string()))?)
        }
        other => {
            return Err((
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("the content encoding `{other}` is not taken; use gzip or zstd"),
            ));
        }
    };
    let mut plain = Vec::new();
    let bad = |error: io::Error| (StatusCode::BAD_REQUEST, format!("the body is not {encoding}: {error}"));
    reader.by_ref().take(REQUEST_BYTES as u64 + 1).read_to_end(&mut plain).map_err(bad)?;
    if plain.len() > REQUEST_BYTES {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {REQUEST_BYTES} bytes")));
    }
    Ok(plain.into())
}

/// A `google.rpc.Status` with a message for a person.
fn status(code: StatusCode, message: &str) -> Response {
    let mut body = Writer::new();
    body.bytes(2, message.as_bytes());
    (code, [(header::CONTENT_TYPE, PROTOBUF)], body.into_vec()).into_response()
}
