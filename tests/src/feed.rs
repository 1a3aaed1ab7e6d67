//! Numbered lines in files and numbered spans, fed to an agent and counted where a collector answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::client::{Client, LOOK_EVERY};
use crate::http::Http;
use crate::input::{append_lines, spans};
use crate::server::Server;

/// Lines for each file, and spans, at a time, where feeding goes on by itself.
const FEW: u64 = 5;

/// What was written and sent so far.
pub struct Feed {
    logs: PathBuf,
    names: &'static [&'static str],
    /// In each file.
    pub lines: u64,
    pub spans: u64,
}

impl Feed {
    /// Lines go to files of these names in a folder.
    pub fn new(logs: PathBuf, names: &'static [&'static str]) -> Self {
        Self { logs, names, lines: 0, spans: 0 }
    }

    /// Lines in all files together.
    pub fn total(&self) -> u64 {
        self.lines * self.names.len() as u64
    }

    /// Writes lines into each file.
    pub fn write(&mut self, count: u64) {
        for name in self.names {
            append_lines(&self.logs.join(name), self.lines..self.lines + count);
        }
        self.lines += count;
    }

    /// Sends spans to the agent, which acknowledges them.
    pub async fn export(&mut self, agent: &Server, count: u64) {
        let body = spans(self.spans..self.spans + count);
        assert!(Http::default().export_spans(agent.otlp(), &body).await, "the agent takes them at any time");
        self.spans += count;
    }

    /// Writes lines and sends spans a few at a time until it is told to stop.
    pub async fn keep_feeding(mut self, otlp: String, stop: Arc<AtomicBool>) -> Self {
        let http = Http::default();
        while !stop.load(Ordering::Relaxed) {
            self.write(FEW);
            let body = spans(self.spans..self.spans + FEW);
            assert!(http.export_spans(&otlp, &body).await, "the agent takes them at any time");
            self.spans += FEW;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self
    }

    /// Waits until everything is found, each line and span once.
    pub async fn all_is_found(&self, client: &Client) {
        client.wait_for_totals(self.total(), self.spans).await;
        let (_, files) = client.groups("logs", "", "resource.log.file.path").await;
        assert_eq!(files.len(), self.names.len());
        assert!(files.values().all(|count| *count == self.lines), "{files:?}");
    }
}
