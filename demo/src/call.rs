//! Calls from one service to another, each under a client span.
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;

use crate::spans::{CLIENT, Span};

const TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) type Http = Client<HttpConnector, Full<Bytes>>;

pub(crate) fn client() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

/// The address that a service left in the run folder.
pub(crate) fn address(run_dir: &Path, service: &str) -> anyhow::Result<String> {
    let path = run_dir.join(format!("{service}.port"));
    let port = std::fs::read_to_string(&path).with_context(|| {
        format!("{service} is not running: no {}; start the shop or give its --run-dir", path.display())
    })?;
    Ok(format!("127.0.0.1:{}", port.trim()))
}

/// Calls `service` and returns its status, or 503 where it cannot be reached.
pub(crate) async fn call(
    http: &Http,
    run_dir: &Path,
    parent: &Span,
    service: &str,
    method: Method,
    path: &str,
) -> u16 {
    let mut span = parent.child(method.as_str(), CLIENT);
    span.text("http.request.method", method.as_str());
    span.text("url.path", path);
    span.text("server.address", service);
    let sent = send(http, run_dir, service, method, path, &span.traceparent()).await;
    let status = sent.as_ref().copied().unwrap_or(503);
    if let Err(error) = sent {
        span.fail(format!("{service}: {error:#}"));
    } else {
        span.int("http.response.status_code", i64::from(status));
        if status >= 400 {
            span.fail(format!("{service} answered {status}"));
        }
    }
    span.end();
    status
}

pub(crate) async fn send(
    http: &Http,
    run_dir: &Path,
    service: &str,
    method: Method,
    path: &str,
    traceparent: &str,
) -> anyhow::Result<u16> {
    let uri = format!("http://{}{path}", address(run_dir, service)?);
    let request = Request::builder().method(method).uri(uri).header("traceparent", traceparent);
    let response = tokio::time::timeout(TIMEOUT, http.request(request.body(Full::default())?)).await??;
    Ok(response.status().as_u16())
}

pub(crate) async fn set_fault(
    http: &Http,
    run_dir: &Path,
    service: &str,
    kind: &str,
    duration: Duration,
) -> anyhow::Result<()> {
    let path = format!("/_control/fault/{kind}/{}", duration.as_millis());
    let status = send(http, run_dir, service, Method::PUT, &path, "").await?;
    anyhow::ensure!(status == 204, "{service} refused the fault with status {status}");
    Ok(())
}
