//! OTLP over HTTP: `POST /v1/logs`, `/v1/traces`, `/v1/metrics` with protobuf or JSON bodies, plain, gzip or zstd.
//!
//! Source: OpenTelemetry protocol specification 1.x, section "OTLP/HTTP". An answer is an empty `Export…ServiceResponse` or a
//! `google.rpc.Status`, in the encoding of the request.

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
use tonic::Code;
use weir_model::Signal;
use weir_model::wire::Writer;

use super::json::transcode;
use super::{Intake, Protocol, REQUEST_BYTES, Refusal, unpack};

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
        post(move |State(intake): State<Intake>, headers: HeaderMap, body: Result<Bytes, BytesRejection>| {
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

async fn receive(
    intake: Intake,
    signal: Signal,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let encoding = Encoding::of(&headers);
    let body = encoding.clone().and_then(|encoding| {
        let body = unpack(&headers, body)?;
        encoding.protobuf(signal, body)
    });
    // A client that names no encoding is most likely a person who tries it.
    let encoding = encoding.unwrap_or(Encoding::Json);
    match intake.take(Protocol::OtlpHttp, signal, body).await {
        Ok(()) => encoding.success(),
        Err(refusal) => encoding.failure(&refusal),
    }
}

/// How a request is encoded, and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let name = headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
        match name.split(';').next().unwrap_or("").trim().to_ascii_lowercase().as_str() {
            "application/x-protobuf" => Ok(Self::Protobuf),
            "application/json" => Ok(Self::Json),
            _ => Err(Refusal::Unsupported(format!(
                "the content type `{name}` is not taken here; send application/x-protobuf or application/json"
            ))),
        }
    }

    fn protobuf(self, signal: Signal, body: Bytes) -> Result<Bytes, Refusal> {
        match self {
            Self::Protobuf => Ok(body),
            Self::Json => transcode(signal, &body)
                .map(Bytes::from)
                .map_err(|error| Refusal::Malformed(format!("the body is not OTLP in JSON: {error}"))),
        }
    }

    fn content_type(self) -> [(header::HeaderName, &'static str); 1] {
        let name = match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        };
        [(header::CONTENT_TYPE, name)]
    }

    fn success(self) -> Response {
        let body = match self {
            Self::Protobuf => "",
            Self::Json => "{}",
        };
        (StatusCode::OK, self.content_type(), body).into_response()
    }

    /// A `google.rpc.Status` with a message for a person.
    fn failure(self, refusal: &Refusal) -> Response {
        let (code, message) = (code(refusal) as i32, refusal.to_string());
        let body = match self {
            Self::Protobuf => {
                let mut status = Writer::new();
                status.varint(1, code as u64);
                status.bytes(2, message.as_bytes());
                status.into_vec()
            }
            Self::Json => serde_json::json!({ "code": code, "message": message }).to_string().into_bytes(),
        };
        let mut answer = (refusal.status(), self.content_type(), body).into_response();
        if let Some(seconds) = refusal.retry_after() {
            answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        answer
    }
}

/// The refusal's `google.rpc.Code`, whose numbers are those of gRPC.
pub(super) fn code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::Malformed(_) | Refusal::Unsupported(_) => Code::InvalidArgument,
        Refusal::TooLarge => Code::OutOfRange,
        // The code that clients send again after.
        Refusal::Busy { .. } => Code::Unavailable,
        Refusal::Broken(_) => Code::Internal,
    }
}
