//! OTLP over HTTP: one POST a batch, with the codes of the OTLP specification, section "OTLP/HTTP".

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use weir_model::Signal;
use weir_model::wire::Fields;
use weir_transport::{Batch, Position, SendError, SendErrorKind, Sender, envelope};

use super::{AddressError, RETRY, TIMEOUT, away, failed};

/// Bytes of an answer that are read: a status with a message.
const ANSWER_BYTES: usize = 64 * 1024;

/// Sends one signal's batches to `POST {url}/v1/{signal}`. The peer must answer only for what is durable there.
#[derive(Debug, Clone)]
pub struct HttpSender {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
}

impl HttpSender {
    /// # Errors
    /// When the URL is not one.
    pub fn new(url: &str, signal: Signal) -> Result<Self, AddressError> {
        let path = match signal {
            Signal::Logs => "/v1/logs",
            Signal::Spans => "/v1/traces",
            Signal::Metrics => "/v1/metrics",
        };
        let error = |problem: String| AddressError { url: url.to_owned(), problem };
        let uri: Uri = format!("{}{path}", url.trim_end_matches('/'))
            .parse()
            .map_err(|problem: http::uri::InvalidUri| error(problem.to_string()))?;
        if uri.scheme_str() != Some("http") {
            return Err(error("it does not begin with http://".into()));
        }
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .build_http();
        Ok(Self { client, uri })
    }

    async fn post(&self, batch: &Batch) -> Result<(StatusCode, HeaderMap, Bytes), String> {
        let request = Request::post(&self.uri)
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(Full::new(envelope::seal(batch)))
            .expect("a checked URI");
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| chain(&error))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(|error| error.to_string())?;
            Ok((parts.status, parts.headers, body.to_bytes()))
        };
        tokio::time::timeout(TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}")))
    }
}

/// An error with what caused it: hyper's own text alone says nothing of the cause.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// The message of a `google.rpc.Status`, or the text as it is.
fn message(body: &[u8]) -> String {
    let status = Fields::new(body).map_while(Result::ok).find(|field| field.number == 2);
    String::from_utf8_lossy(status.map_or(body, |field| field.bytes())).into_owned()
}

#[async_trait]
impl Sender for HttpSender {
    async fn send(&self, batch: Batch) -> Result<Position, SendError> {
        let (status, headers, body) = match self.post(&batch).await {
            Ok(answer) => answer,
            Err(problem) => {
                return Err(away(
                    format!("the collector at {} can't be reached: {problem}", self.uri),
                    batch,
                ));
            }
        };
        let said = || format!("the collector at {} answers {status}: {}", self.uri, message(&body));
        match status.as_u16() {
            // It has no position: the peer's log gives one, and nobody on this side reads it.
            200 => Ok(Position(0)),
            429 | 502 | 503 | 504 => {
                let after = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
                let after = after.map_or(RETRY, Duration::from_secs);
                Err(failed(SendErrorKind::Retry { after }, said(), batch))
            }
            400 | 413 => Err(failed(SendErrorKind::Refused, said(), batch)),
            // Everything else says that this is no collector, or that it does not let us in.
            _ => Err(failed(SendErrorKind::Fatal, said(), batch)),
        }
    }
}
