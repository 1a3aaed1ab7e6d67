//! The peer of a store in a search engine: the engine alone, given the same documents in the same requests by `_bulk` and nothing else.

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::ensure;
use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse;
use bytes::Bytes;
use memchr::memmem;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use weir_tests::http::Http;

/// Requests under way at a time, as the store has.
const IN_FLIGHT: usize = 4;
const LOOK: Duration = Duration::from_millis(20);
/// Longest wait until what is written is found.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of JSON.
const LINES: &str = "application/x-ndjson";

/// Stands before an engine, hands everything on, and keeps the requests that only make documents.
pub struct Recorder {
    url: String,
    kept: Arc<Mutex<Vec<Bytes>>>,
    serving: AbortHandle,
}

#[derive(Clone)]
struct Before {
    engine: String,
    http: Http,
    kept: Arc<Mutex<Vec<Bytes>>>,
}

impl Recorder {
    /// # Errors
    /// When there is no port for it.
    pub async fn start(engine: &str) -> anyhow::Result<Self> {
        let kept = Arc::<Mutex<Vec<Bytes>>>::default();
        let before = Before { engine: engine.to_owned(), http: Http::default(), kept: kept.clone() };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new()
            .fallback(hand_on)
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(before);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Ok(Self { url, kept, serving })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends it, and gives what it has kept.
    pub fn finish(self) -> Vec<Bytes> {
        self.serving.abort();
        std::mem::take(&mut *self.kept.lock().expect("no panic while locked"))
    }
}

async fn hand_on(
    State(before): State<Before>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<impl IntoResponse, (StatusCode, String)> {
    let wrong = |error: anyhow::Error| (StatusCode::BAD_GATEWAY, format!("{error:#}"));
    let body = match headers.get(CONTENT_ENCODING) {
        Some(_) => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&body[..])
                .read_to_end(&mut plain)
                .map_err(|error| wrong(error.into()))?;
            plain.into()
        }
        None => body,
    };
    if uri.path() == "/_bulk" && makes_records(&body) {
        before.kept.lock().expect("no panic while locked").push(body.clone());
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("application/json");
    let url = format!("{}{uri}", before.engine);
    let (status, answer) = before.http.request(method, &url, kind, body).await.map_err(wrong)?;
    Ok((status, [(CONTENT_TYPE, "application/json")], answer))
}

/// Whether a request only makes documents of records. Positions and ranges stand in an index of their own and replace what was there.
fn makes_records(body: &[u8]) -> bool {
    let first = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
    first.starts_with(b"{\"create\"") && memmem::find(first, b"-meta\"").is_none()
}

/// Removes the indices of a name with `*` in it.
///
/// # Errors
/// When the engine refuses.
pub async fn remove(engine: &str, indices: &str) -> anyhow::Result<()> {
    let url = format!("{engine}/{indices}");
    let (status, answer) =
        Http::default().request(Method::DELETE, &url, "application/json", Bytes::new()).await?;
    ensure!(status.is_success(), "{}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// Writes what was kept once more and waits until a count of the indices finds so many documents. Returns how long that took.
///
/// # Errors
/// When the engine refuses one of them.
pub async fn replay(
    engine: &str,
    requests: &[Bytes],
    indices: &str,
    documents: u64,
) -> anyhow::Result<Duration> {
    let (begun, http) = (Instant::now(), Http::default());
    let mut under_way: JoinSet<anyhow::Result<()>> = JoinSet::new();
    for body in requests {
        if under_way.len() == IN_FLIGHT
            && let Some(done) = under_way.join_next().await
        {
            done??;
        }
        let (http, url, body) = (http.clone(), format!("{engine}/_bulk"), body.clone());
        under_way.spawn(async move {
            let (status, answer) = http.request(Method::POST, &url, LINES, body).await?;
            let answer: serde_json::Value = serde_json::from_slice(&answer)?;
            ensure!(status == StatusCode::OK && answer["errors"] == false, "{status}: {answer}");
            Ok(())
        });
    }
    while let Some(done) = under_way.join_next().await {
        done??;
    }
    loop {
        let found = http.get_json(&format!("{engine}/{indices}/_count")).await?;
        if found["count"].as_u64() == Some(documents) {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < PATIENCE, "{documents} documents are not found: {found}");
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::makes_records;

    #[test]
    fn what_replaces_something_is_not_written_again() {
        let check = |line: &str, expect| assert_eq!(makes_records(line.as_bytes()), expect, "{line}");
        check(
            "{\"create\":{\"_index\":\"logs0-logs-2026.11.26\",\"_id\":\"a\"}}\n{\"text\":\"-meta\\\"\"}\n",
            true,
        );
        check("{\"create\":{\"_index\":\"logs0-meta\",\"_id\":\"ledger.logs.0.a\"}}\n{}\n", false);
        check("{\"index\":{\"_index\":\"logs0-meta\",\"_id\":\"a\"}}\n{}\n", false);
    }
}
