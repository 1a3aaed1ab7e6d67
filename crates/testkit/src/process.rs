//! A process that ends with the test, and ports that nobody has.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Below those that Linux gives to clients (32768 and up), so that a server finds its port free again after it was away.
const PORTS: Range<u32> = 20_000..32_000;
/// Lines of what a process says that are kept for the message about its failure.
const KEPT: usize = 40;

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a command and waits until a line of what it prints to standard output contains `ready`.
    ///
    /// # Errors
    /// With its last lines, where it ends before, or has not said so within `patience`.
    pub fn start(mut command: Command, ready: &str, patience: Duration) -> Result<Self, String> {
        let begun = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        let mut child = child.map_err(|error| format!("can't start {command:?}: {error}"))?;
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (send, lines) = mpsc::channel();
        // The pipe is read to its end, so that the process never waits for a reader.
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| drop(send.send(line)))
        });
        let process = Self { child };
        let mut said = VecDeque::new();
        loop {
            match lines.recv_timeout(patience.saturating_sub(begun.elapsed())) {
                Ok(line) if line.contains(ready) => return Ok(process),
                Ok(line) => {
                    said.push_back(line);
                    if said.len() > KEPT {
                        said.pop_front();
                    }
                }
                Err(problem) => {
                    let said = Vec::from(said).join("\n");
                    return Err(format!("{command:?} did not become ready ({problem}); it said:\n{said}"));
                }
            }
        }
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9, as a crash.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended where it was killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of loopback that nobody listens on. Each call of a process gives another.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.len() as u32;
    // Processes that test at the same time begin at different ones.
    let first = std::process::id().wrapping_mul(101);
    for _ in 0..count {
        let at = first.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % count;
        let port = (PORTS.start + at) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port of {PORTS:?} is free")
}
