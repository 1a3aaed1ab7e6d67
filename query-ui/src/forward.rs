//! Answering by asking the collector that owns the data: calls of the API are handed on to it, and its answers are passed on as they come.
//!
//! Nothing is kept: a body flows through piece by piece, compressed as the collector sent it, so that a live tail is live here too, and a slow
//! reader slows down the collector's sending. How many queries and tails run at a time is the collector's to say.

use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use weir_runtime::cause::innermost;
use weir_runtime::{Health, Metrics};

use crate::assets::only_get;
use crate::config::Config;
use crate::error::ApiError;
use crate::guard::VERSION_HEADER;

/// The collector, as health names it.
const COLLECTOR: &str = "collector";
/// Set on what is handed on, by which a circle is noticed.
const FORWARDED: HeaderName = HeaderName::from_static("weir-forwarded");
/// What of a request the collector is told.
const PASSED: [HeaderName; 3] = [header::ACCEPT, header::ACCEPT_ENCODING, header::IF_NONE_MATCH];
/// What of an answer concerns one connection only.
const OF_CONNECTION: [HeaderName; 4] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, HeaderName::from_static("keep-alive")];
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How much longer than its own limit the collector may take to say that a query took too long.
const GRACE: Duration = Duration::from_secs(5);
/// Longest silence in the middle of an answer: three times the pause after which a live tail that has nothing to say shows that it is there.
const SILENCE: Duration = Duration::from_secs(45);
/// How often the collector is looked for where nobody asks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Bytes of an answer that is read here: a refusal, or the status.
const READ_BYTES: usize = 1 << 20;
/// The call to whose answer this process adds what it knows itself.
const STATUS: &str = "/api/v1/status";
/// By which it is seen that the collector is there: it answers that there is no such call, without looking into its store.
const NOTHING: &str = "/api";

/// The collector whose data is asked for, and what this process tells of itself.
#[derive(Debug, Clone)]
pub struct Remote {
    /// What `/metrics` shows.
    pub metrics: Metrics,
    pub health: Health,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    /// `answered` or `failed`.
    outcome: &'static str,
}

/// Hands calls on.
#[derive(Debug)]
pub(crate) struct Forward {
    collector: Authority,
    client: Client<HttpConnector, Body>,
    answer_within: Duration,
    health: Health,
    counts: Family<Outcome, Counter>,
    /// Ends the live tails.
    shutdown: CancellationToken,
}

/// The host and port of an address such as `http://collector:7070`; `None` where it is none or has more.
pub(crate) fn authority(url: &str) -> Option<Authority> {
    let uri: Uri = url.parse().ok()?;
    let plain = uri.scheme() == Some(&Scheme::HTTP) && uri.path() == "/" && uri.query().is_none();
    uri.authority().filter(|authority| plain && !authority.as_str().contains('@')).cloned()
}

impl Forward {
    pub(crate) fn new(config: &Config, remote: Remote, shutdown: CancellationToken) -> Arc<Self> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        let counts = remote.metrics.register(
            "weir_query_forwarded_requests",
            "Calls handed on to the collector, by whether it answered",
            Family::default(),
        );
        Arc::new(Self {
            collector: authority(&config.collector).expect("the configuration was checked"),
            client,
            answer_within: config.query_timeout.0 + GRACE,
            health: remote.health,
            counts,
            shutdown,
        })
    }

    /// Looks for the collector again and again, so that health is true also while nobody asks.
    pub(crate) async fn watch(&self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let looking = async {
            loop {
                looks.tick().await;
                // What it fails with is noted for health.
                let _ = self.call(&Method::GET, &PathAndQuery::from_static(NOTHING), HeaderMap::new()).await;
            }
        };
        self.shutdown.run_until_cancelled(looking).await;
    }

    /// Asks the collector, and sees to it that it is one.
    async fn call(
        &self,
        method: &Method,
        path: &PathAndQuery,
        headers: HeaderMap,
    ) -> Result<Response, ApiError> {
        let collector = &self.collector;
        let failed = |error: ApiError| {
            if self.health.trouble(COLLECTOR).is_none() {
                tracing::warn!(error = error.message(), "the collector can't be asked");
            }
            self.health.bad(COLLECTOR, error.message());
            error
        };
        let answer = match tokio::time::timeout(self.answer_within, self.send(method, path, headers)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                return Err(failed(ApiError::away(format!(
                    "the collector at http://{collector} does not answer: {}",
                    innermost(&error)
                ))));
            }
            Err(_) => {
                return Err(failed(ApiError::away(format!(
                    "the collector at http://{collector} has not answered for {:?}",
                    self.answer_within
                ))));
            }
        };
        if !answer.headers().contains_key(VERSION_HEADER) {
            return Err(failed(ApiError::foreign(format!(
                "what answers at http://{collector}, with {}, is no collector of Weir; `query.collector` must name where its web app is, \
                 as http://collector:7070",
                answer.status()
            ))));
        }
        // It does not know the name that it is called by, or has no data itself.
        if matches!(answer.status(), StatusCode::FORBIDDEN | StatusCode::BAD_GATEWAY) {
            let why = refusal(answer).await;
            return Err(failed(ApiError::foreign(format!(
                "the collector at http://{collector} refuses: {why}"
            ))));
        }
        if self.health.trouble(COLLECTOR).is_some() {
            tracing::info!("the collector can be asked again");
        }
        self.health.good(COLLECTOR);
        Ok(answer)
    }

    async fn send(
        &self,
        method: &Method,
        path: &PathAndQuery,
        headers: HeaderMap,
    ) -> Result<Response, hyper_util::client::legacy::Error> {
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(self.collector.clone());
        let uri = uri.path_and_query(path.clone()).build().expect("parts of addresses");
        let request = || {
            let mut request = http::Request::new(Body::empty());
            *request.method_mut() = method.clone();
            *request.uri_mut() = uri.clone();
            request.headers_mut().clone_from(&headers);
            request.headers_mut().insert(FORWARDED, header::HeaderValue::from_static("1"));
            request
        };
        let answer = match self.client.request(request()).await {
            // A connection that was kept may end with the collector that it led to; questions may be asked twice.
            Err(error) if !error.is_connect() => self.client.request(request()).await?,
            other => other?,
        };
        Ok(answer.map(Body::new))
    }

    async fn answer(&self, request: Request) -> Result<Response, ApiError> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return Err(only_get().await);
        }
        if request.headers().contains_key(FORWARDED) {
            return Err(ApiError::foreign(
                "this is a `weir query`, which has no data of its own; `query.collector` must name the collector",
            ));
        }
        let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let status = path.path() == STATUS && request.method() == Method::GET;
        let mut headers = HeaderMap::new();
        for name in PASSED {
            // What is read here must be plain.
            if let Some(value) = request.headers().get(&name)
                && !(status && name == header::ACCEPT_ENCODING)
            {
                headers.insert(name, value.clone());
            }
        }
        let answer = self.call(request.method(), &path, headers).await?;
        match status && answer.status() == StatusCode::OK {
            true => self.with_stage(answer).await,
            false => Ok(self.passed_on(answer)),
        }
    }

    fn passed_on(&self, answer: Response) -> Response {
        let (mut parts, body) = answer.into_parts();
        OF_CONNECTION.iter().for_each(|name| drop(parts.headers.remove(name)));
        let body = flowing(body);
        let lasts = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        let body = match lasts {
            true => Body::from_stream(body.take_until(self.shutdown.clone().cancelled_owned())),
            false => Body::from_stream(body),
        };
        Response::from_parts(parts, body)
    }

    /// The collector's status with this process as one more stage.
    async fn with_stage(&self, answer: Response) -> Result<Response, ApiError> {
        let unreadable = |error: &dyn std::fmt::Display| {
            ApiError::away(format!(
                "the status of the collector at http://{} can't be read: {error}",
                self.collector
            ))
        };
        let (mut parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, READ_BYTES).await.map_err(|error| unreadable(&error))?;
        let mut status: Value = serde_json::from_slice(&body).map_err(|error| unreadable(&error))?;
        let (theirs, ours) = (status["version"].as_str().unwrap_or_default(), env!("CARGO_PKG_VERSION"));
        let versions = match theirs == ours {
            true => String::new(),
            false => format!(", which is of version {theirs}, and this of {ours}"),
        };
        let detail = format!("asks the collector at http://{}{versions}", self.collector);
        if let Some(stages) = status["stages"].as_array_mut() {
            stages.push(json!({
                "name": "query", "state": "ok", "records": 0, "bytes": 0, "lost": 0, "detail": detail
            }));
        }
        parts.headers.remove(header::CONTENT_LENGTH);
        OF_CONNECTION.iter().for_each(|name| drop(parts.headers.remove(name)));
        Ok(Response::from_parts(parts, status.to_string().into()))
    }
}

/// A call of the API.
pub(crate) async fn forward(State(to): State<Arc<Forward>>, request: Request) -> Response {
    let answer = to.answer(request).await;
    let outcome = if answer.is_ok() { "answered" } else { "failed" };
    to.counts.get_or_create(&Outcome { outcome }).inc();
    answer.unwrap_or_else(IntoResponse::into_response)
}

/// A body as it comes, which ends with an error when nothing comes for long.
fn flowing(body: Body) -> impl Stream<Item = Result<Bytes, BoxError>> {
    stream::unfold(Some(body.into_data_stream()), |body| async {
        let mut body = body?;
        match tokio::time::timeout(SILENCE, body.next()).await {
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(body))),
            Ok(Some(Err(error))) => Some((Err(error.into()), None)),
            Ok(None) => None,
            Err(_) => Some((Err(format!("the collector has said nothing for {SILENCE:?}").into()), None)),
        }
    })
}

/// Why the collector refuses, in its words.
async fn refusal(answer: Response) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let body = axum::body::to_bytes(answer.into_body(), READ_BYTES).await.unwrap_or_default();
    serde_json::from_slice(&body)
        .map_or_else(|_| String::from_utf8_lossy(&body).into_owned(), |Refusal { error }| error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_collectors() {
        let check = |url: &str, expect: Option<&str>| {
            assert_eq!(authority(url).as_ref().map(Authority::as_str), expect, "{url}");
        };
        check("http://collector:7070", Some("collector:7070"));
        check("http://collector:7070/", Some("collector:7070"));
        check("http://[::1]:7070", Some("[::1]:7070"));
        check("http://collector", Some("collector"));
        for wrong in [
            "",
            "collector:7070",
            "https://collector:7070",
            "http://collector/weir",
            "http://a@b",
            "http://b/?c",
        ] {
            check(wrong, None);
        }
    }
}
