//! Questions to a running server, through its public interfaces.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use weir_model::Signal;

use crate::http::Http;
use crate::server::{PATIENCE, Server};
use crate::verify::counted;

/// Pause between two looks at a condition that is waited for: short enough not to be felt, long enough to leave the cores to the server.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A text as a part of a URL.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// A server that has a query API, and a client of it.
pub struct Client {
    http: Http,
    pub server: Server,
}

impl Client {
    pub fn new(server: Server) -> Self {
        Self { http: Http::default(), server }
    }

    pub async fn get(&self, path: &str) -> Value {
        self.http.get_json(&format!("{}{path}", self.server.api())).await.unwrap()
    }

    /// Total, and counts by a key.
    pub async fn groups(&self, signal: &str, q: &str, by: &str) -> (u64, BTreeMap<String, u64>) {
        let answer = self.get(&format!("/api/v1/{signal}/groups?q={}&by={by}&limit=1000", encode(q))).await;
        counted(&answer)
    }

    /// A page of a list, and the cursor of the next one. `path` has a query string already.
    pub async fn page(
        &self,
        path: &str,
        list: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> (Vec<Value>, Option<String>) {
        let cursor = cursor.map_or(String::new(), |cursor| format!("&cursor={}", encode(cursor)));
        let mut answer = self.get(&format!("{path}&limit={limit}{cursor}")).await;
        let Value::Array(items) = answer[list].take() else { panic!("{path} answers a list of {list}") };
        (items, answer["cursor"].as_str().map(str::to_owned))
    }

    /// A list with all of its pages.
    pub async fn list(&self, path: &str, list: &str) -> Vec<Value> {
        let (mut all, mut cursor) = self.page(path, list, 1000, None).await;
        while let Some(next) = cursor {
            let (items, after) = self.page(path, list, 1000, Some(&next)).await;
            all.extend(items);
            cursor = after;
        }
        all
    }

    pub async fn total(&self, signal: &str, q: &str) -> u64 {
        self.groups(signal, q, "service").await.0
    }

    /// Sends spans by OTLP. False when the server is gone.
    pub async fn export(&self, body: &Bytes) -> bool {
        self.http.export_spans(self.server.otlp(), body).await
    }

    /// Waits until at least so many lines are found, or no more will be.
    pub async fn wait_for_logs(&self, logs: u64) {
        let begun = Instant::now();
        loop {
            let found = self.total("logs", "").await;
            if found >= logs || begun.elapsed() >= PATIENCE {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub async fn wait_for_totals(&self, logs: u64, spans: u64) {
        let begun = Instant::now();
        loop {
            let found = (self.total("logs", "").await, self.total("spans", "").await);
            if found == (logs, spans) {
                return;
            }
            assert!(found.0 <= logs && found.1 <= spans, "more than there is: {found:?}");
            assert!(begun.elapsed() < PATIENCE, "only {found:?} of {:?}", (logs, spans));
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks until the answer is as wanted.
    ///
    /// # Panics
    /// With the last answer, when that takes too long.
    pub async fn wait(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let answer = self.get(path).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "{path} still answers {answer}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the process says that it is well, or that something is wrong with a word that is given. Returns what it says.
    pub async fn wait_for_health(&self, trouble: Option<&str>) -> Vec<String> {
        wait_for_health(&self.server, trouble).await
    }

    /// Records of a signal that have passed the collector since it was started; `None` when the server is gone. Costs the server next to
    /// nothing, whatever it holds.
    pub async fn received(&self, signal: Signal) -> Option<u64> {
        let metrics = self.http.get(&self.server.metrics()).await.ok()?;
        let metrics = std::str::from_utf8(&metrics).expect("metrics are text");
        let count = |what: &str| {
            let name = format!("weir_collector_{what}_records_total{{signal=\"{signal}\"}} ");
            let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
            line.map_or(0, |count| count.parse::<u64>().expect("a count"))
        };
        Some(["stored", "duplicate", "refused"].into_iter().map(count).sum())
    }

    /// Waits until so many records of a signal have passed the collector since it was started. False when the server is gone.
    pub async fn wait_for_received(&self, signal: Signal, records: u64) -> bool {
        let begun = Instant::now();
        loop {
            match self.received(signal).await {
                None => return false,
                Some(received) if received >= records => return true,
                Some(received) => {
                    assert!(begun.elapsed() < PATIENCE, "only {received} of {records} {signal}");
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// As [`Client::wait_for_health`], of a server that may have no query API.
pub async fn wait_for_health(server: &Server, trouble: Option<&str>) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let body = Http::default().get_json(server.health()).await.unwrap();
        let text = |reason: &Value| {
            format!("{}: {}", reason["part"].as_str().unwrap(), reason["what"].as_str().unwrap())
        };
        let said: Vec<String> = body["reasons"].as_array().unwrap().iter().map(text).collect();
        assert_eq!(body["status"] == "ok", said.is_empty(), "{body}");
        match trouble {
            None if said.is_empty() => return said,
            Some(word) if said.iter().any(|text| text.contains(word)) => return said,
            _ => {}
        }
        assert!(begun.elapsed() < PATIENCE, "health is {body}, awaited was {trouble:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
