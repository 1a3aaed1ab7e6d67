//! A `weir up` in a process of its own, on ports of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context;

/// How long anything may take that must come. Generous: it is only reached when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The binary that `cargo build -p weir` made beside this test.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let binary = test.ancestors().nth(2).expect("tests stand in target/*/deps").join("weir");
    assert!(
        binary.exists(),
        "{} is not there: run `make test`, or `cargo build -p weir` first",
        binary.display()
    );
    binary
}

/// A running server. Dropping it kills it.
pub struct Server {
    child: Child,
    /// Base URL of the query API.
    pub api: String,
    /// Base URL of OTLP over HTTP.
    pub otlp: String,
}

impl Server {
    /// Starts `weir up` with a configuration (YAML, without ports) and waits until it is ready.
    ///
    /// # Errors
    /// When it ends, or does not become ready.
    pub fn start(dir: &Path, config: &str) -> anyhow::Result<Self> {
        let file = dir.join("weir.yaml");
        std::fs::write(&file, config)?;
        let mut child = Command::new(binary())
            .args(["up", "--config"])
            .arg(&file)
            .arg("--data-dir")
            .arg(dir.join("data"))
            .env("WEIR_LOG", "warn")
            .env("WEIR_AGENT__OTLP_HTTP", "127.0.0.1:0")
            .env("WEIR_AGENT__OTLP_GRPC", "127.0.0.1:0")
            .env("WEIR_QUERY__LISTEN", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .context("starting weir")?;
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (send, lines) = mpsc::channel();
        // The pipe is read to its end, so that the server never waits for a reader.
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| drop(send.send(line)))
        });
        let (mut api, mut otlp) = (None, None);
        loop {
            let line = lines.recv_timeout(PATIENCE).context("weir ended or did not become ready")?;
            let url = || {
                line.split_whitespace()
                    .find(|word| word.starts_with("http://"))
                    .map(|url| url.trim_end_matches('/').to_owned())
            };
            match line.split_whitespace().next() {
                Some("otlp") => otlp = url(),
                Some("ui") => api = url(),
                Some("ready") => break,
                _ => {}
            }
        }
        Ok(Self {
            child,
            api: api.context("no line with the UI's URL")?,
            otlp: otlp.context("no line with the OTLP URL")?,
        })
    }

    /// kill -9, as a crash.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Ctrl-C; waits for the clean end.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn stop(mut self) -> anyhow::Result<()> {
        // SAFETY: a signal to a process that we started and have not waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) };
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "weir ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended where kill or stop was called.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
