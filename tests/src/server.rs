//! Weir in processes of its own, on ports of its own.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::client::LOOK_EVERY;

/// How long anything may take that must come. Generous: it is only reached when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How long a process may take to end after Ctrl-C, whatever it is doing: a promise to its users.
pub const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// Every listener on a free port.
const PORTS: [(&str, &str); 7] = [
    ("WEIR_AGENT__OTLP_HTTP", "127.0.0.1:0"),
    ("WEIR_AGENT__OTLP_GRPC", "127.0.0.1:0"),
    ("WEIR_AGENT__ZIPKIN", "127.0.0.1:0"),
    ("WEIR_AGENT__ADMIN", "127.0.0.1:0"),
    ("WEIR_COLLECTOR__INTAKE_HTTP", "127.0.0.1:0"),
    ("WEIR_COLLECTOR__INTAKE_GRPC", "127.0.0.1:0"),
    ("WEIR_QUERY__LISTEN", "127.0.0.1:0"),
];

/// The binary that `cargo build -p weir` made beside this test or bench.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let found = test.ancestors().skip(1).take(2).map(|dir| dir.join("weir")).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("there is no weir beside {}: run `make test`, or `cargo build -p weir` first", test.display())
    })
}

/// How a role is started in a folder: its configuration (YAML, without ports; the defaults where `None`), environment variables that override
/// [free ports](PORTS), and words before the program that change how it is run.
///
/// # Errors
/// When the configuration can't be written.
pub fn command(
    wrapper: &[&str],
    role: &str,
    dir: &Path,
    config: Option<&str>,
    env: &[(&str, &str)],
) -> anyhow::Result<Command> {
    let binary = binary();
    let words: Vec<&OsStr> = wrapper.iter().map(OsStr::new).chain([binary.as_os_str()]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(role);
    // The one that keeps nothing.
    if role != "query" {
        command.arg("--data-dir").arg(dir.join("data"));
    }
    if let Some(config) = config {
        let file = dir.join(format!("{role}.yaml"));
        std::fs::write(&file, config)?;
        command.arg("--config").arg(file);
    }
    command.env("WEIR_LOG", "warn").envs(PORTS).envs(env.iter().copied());
    Ok(command)
}

/// What a process said that did not start.
pub struct Refused {
    pub code: Option<i32>,
    /// All that it wrote to standard error.
    pub said: String,
}

/// Runs a command that is to end by itself.
///
/// # Errors
/// When it does not.
pub fn refused(mut command: Command) -> anyhow::Result<Refused> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let begun = Instant::now();
    while child.try_wait()?.is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            anyhow::bail!("{command:?} was to be refused and runs");
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let output = child.wait_with_output()?;
    Ok(Refused { code: output.status.code(), said: String::from_utf8_lossy(&output.stderr).into_owned() })
}

/// A step of making something durable during which a server is to be killed, as it tells of it in its log at `debug`.
#[derive(Debug, Clone)]
pub struct KillAt {
    pub step: &'static str,
    /// The how many-th such step after the server is ready, from 1.
    pub nth: usize,
}

/// A running role, or all of them. Dropping it kills it.
pub struct Server {
    child: Child,
    /// Ends with the process: whether it was killed in the step that it should be killed in, before the step's end.
    watch: Option<JoinHandle<bool>>,
    /// What was announced, by its stage, such as `ui` and `otlp`.
    said: HashMap<String, String>,
}

impl Server {
    /// Starts `weir up` with a configuration (YAML, without ports) and waits until it is ready.
    ///
    /// # Errors
    /// When it ends, or does not become ready.
    pub fn start(dir: &Path, config: &str) -> anyhow::Result<Self> {
        Self::role("up", dir, config, &[])
    }

    /// Starts a role with environment variables that override [free ports](PORTS).
    ///
    /// # Errors
    /// When it ends, or does not become ready.
    pub fn role(role: &str, dir: &Path, config: &str, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::spawn(command(&[], role, dir, Some(config), env)?)
    }

    /// Starts `weir up` and kills it when it begins a step.
    ///
    /// # Errors
    /// When it ends, or does not become ready.
    pub fn start_to_kill(dir: &Path, config: &str, at: KillAt) -> anyhow::Result<Self> {
        Self::launch(command(&[], "up", dir, Some(config), &[("WEIR_LOG", "warn,weir=debug")])?, Some(at))
    }

    /// Starts what [`command`] made.
    ///
    /// # Errors
    /// When it ends, or does not become ready.
    pub fn spawn(command: Command) -> anyhow::Result<Self> {
        Self::launch(command, None)
    }

    fn launch(mut command: Command, kill: Option<KillAt>) -> anyhow::Result<Self> {
        if kill.is_some() {
            command.stderr(Stdio::piped());
        }
        let mut child = command.stdout(Stdio::piped()).spawn().context("starting weir")?;
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (send, lines) = mpsc::channel();
        // The pipe is read to its end, so that the server never waits for a reader.
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| drop(send.send(line)))
        });
        let ready = Arc::new(AtomicBool::new(false));
        let watch = kill.map(|at| {
            let (pid, log) = (child.id(), BufReader::new(child.stderr.take().expect("piped")));
            let ready = ready.clone();
            std::thread::spawn(move || watch(log, &at, pid, &ready))
        });
        let mut server = Self { child, watch, said: HashMap::new() };
        loop {
            let line = lines.recv_timeout(PATIENCE).context("weir ended or did not become ready")?;
            let (stage, what) = line.trim_start().split_once(' ').unwrap_or_default();
            server.said.insert(stage.to_owned(), what.trim_start().to_owned());
            if stage == "ready" {
                ready.store(true, Ordering::Relaxed);
                return Ok(server);
            }
        }
    }

    /// What a stage announced at the start.
    ///
    /// # Panics
    /// When it announced nothing.
    pub fn said(&self, stage: &str) -> &str {
        self.said.get(stage).unwrap_or_else(|| panic!("`{stage}` announced nothing: {:?}", self.said))
    }

    fn url(&self, stage: &str, at: usize) -> &str {
        let said = self.said(stage);
        let url = said.split_whitespace().filter(|word| word.contains("://")).nth(at);
        url.unwrap_or_else(|| panic!("`{stage}` announced no address {at}: {said}"))
    }

    /// Base URL of the query API.
    pub fn api(&self) -> &str {
        self.url("ui", 0)
    }

    /// Base URL of OTLP over HTTP.
    pub fn otlp(&self) -> &str {
        self.url("otlp", 0)
    }

    /// URL of OTLP over gRPC, as SDKs want it.
    pub fn otlp_grpc(&self) -> String {
        self.url("otlp", 1).replace("grpc://", "http://")
    }

    /// Where spans of Zipkin's clients go.
    pub fn zipkin(&self) -> &str {
        self.url("zipkin", 0)
    }

    /// URL of the metrics: the agent's own, or beside the query API.
    pub fn metrics(&self) -> String {
        match self.said.contains_key("admin") {
            true => self.url("admin", 0).to_owned(),
            false => format!("{}/metrics", self.api()),
        }
    }

    /// URL of the agent's health.
    pub fn health(&self) -> &str {
        self.url("admin", 1)
    }

    /// Where a collector takes what agents send, over HTTP.
    pub fn intake_http(&self) -> &str {
        self.url("intake", 0)
    }

    /// Where a collector takes what agents send, over gRPC, as an `http://` URL.
    pub fn intake_grpc(&self) -> String {
        self.url("intake", 1).replace("grpc://", "http://")
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory that it has, in bytes.
    ///
    /// # Panics
    /// When it does not run.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("a running process has memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// kill -9, as a crash.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Waits for the end of a server that kills itself at a step. Whether it was killed before the step ended.
    ///
    /// # Panics
    /// When it was not to be killed.
    pub fn killed(mut self) -> bool {
        let within = self.watch.take().expect("it is to be killed").join().expect("the log is read");
        self.child.wait().expect("it ends");
        within
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ctrl-C; waits for the clean end.
    ///
    /// # Errors
    /// When it does not end well, or not within [`STOPS_WITHIN`].
    pub fn stop(mut self) -> anyhow::Result<()> {
        // SAFETY: a signal to a process that we started and have not waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) };
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None => {
                    anyhow::ensure!(begun.elapsed() < STOPS_WITHIN, "weir still runs after {STOPS_WITHIN:?}")
                }
            }
            std::thread::sleep(LOOK_EVERY);
        };
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

/// Reads a server's log and kills it when a step begins. Whether the step had not ended by then. Other lines go where the test's go.
fn watch(log: impl BufRead, at: &KillAt, pid: u32, ready: &AtomicBool) -> bool {
    let mut count = 0;
    let mut within = false;
    for line in log.lines().map_while(Result::ok) {
        match step(&line) {
            Some((name, "new")) if name == at.step && ready.load(Ordering::Relaxed) => {
                count += 1;
                if count == at.nth {
                    // SAFETY: a signal to a process that we started and have not waited for.
                    unsafe { libc::kill(pid as i32, libc::SIGKILL) };
                    within = true;
                }
            }
            // What it still wrote before the signal came.
            Some((name, "close")) if name == at.step && count >= at.nth => within = false,
            None if line.contains(" WARN ") || line.contains(" ERROR ") => eprintln!("{line}"),
            _ => {}
        }
    }
    within
}

/// The innermost step that a line of a server's log tells of, and whether it is `new` or comes to its `close`.
fn step(line: &str) -> Option<(&str, &str)> {
    let (steps, what) = line.rsplit_once("}: ")?;
    let what = what.split_whitespace().next().filter(|what| matches!(*what, "new" | "close"))?;
    let name = steps[..steps.rfind('{')?].rsplit([':', ' ']).next()?;
    Some((name, what))
}

#[cfg(test)]
mod tests {
    use super::step;

    #[test]
    fn steps_are_read_off_the_log() {
        let check = |line: &str, expect| assert_eq!(step(line), expect, "{line}");
        check("2026-01-02T03:04:05.6Z DEBUG commit{signal=logs batches=3}: new", Some(("commit", "new")));
        check(
            "2026-01-02T03:04:05.6Z DEBUG seal{signal=logs rows=3}:merge{signal=logs segments=2}: close time.busy=1ms time.idle=2us",
            Some(("merge", "close")),
        );
        check("2026-01-02T03:04:05.6Z  WARN logs are not taken error=full: new disk", None);
    }
}
