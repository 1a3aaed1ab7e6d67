//! Stack traces whose writer waits within them, longer or shorter than the agent waits for a record's further lines.

use std::path::{Path, PathBuf};

use super::files::LogFile;
use super::formats::clock;
use super::{BEGIN, Ledger, MS};
use crate::client::Client;
use crate::raw::Line;

/// Number of the first key of the first writer, beyond all of a fleet's, and how many numbers each has.
const FIRST_KEY: usize = 900_000;
const KEYS: usize = 1_000;
/// Lines before the first trace: the format is sure then.
const LINES: usize = 20;

/// What becomes of traces in two goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The agent is away in between: each is one record.
    Whole,
    /// The agent has sent the first half as a record: the second one is another record.
    Cut,
    /// The agent is killed while it holds the first half, or has just sent it: one or the other.
    Either,
}

/// A writer with a file of its own.
pub struct Slow {
    outcome: Outcome,
    dir: PathBuf,
    file: LogFile,
    key: usize,
    /// Bytes written.
    written: u64,
    /// The first half of the trace that is being written.
    begun: Option<String>,
    /// Both halves of all traces.
    traces: Vec<[String; 2]>,
    lines: Vec<Line>,
}

impl Slow {
    /// Makes a folder with the file of a writer, and some lines in it.
    pub fn create(logs: &Path, outcome: Outcome) -> Self {
        let dir = logs.join(format!("slow-{outcome:?}").to_lowercase());
        std::fs::create_dir(&dir).expect("a new folder");
        let mut slow = Self {
            outcome,
            file: LogFile::create(&dir, "slow", true),
            dir,
            key: FIRST_KEY + KEYS * outcome as usize,
            written: 0,
            begun: None,
            traces: Vec::new(),
            lines: Vec::new(),
        };
        for _ in 0..LINES {
            let body = slow.head("INFO", "goes on");
            slow.write(&body);
            slow.add([body]);
        }
        slow
    }

    /// Writes the first half of a trace, which ends at the end of a line.
    pub fn begin(&mut self) {
        let head = self.head("ERROR", "fails");
        let text = format!(
            "{head}\njava.lang.IllegalStateException: no stock\n\tat org.shop.Shelf.take(Shelf.java:7)\n\tat org.shop.Cart.add(Cart.java:12)"
        );
        self.write(&text);
        self.begun = Some(text);
    }

    /// Writes the second half.
    pub fn end(&mut self) {
        let first = self.begun.take().expect("a trace was begun");
        let key = self.next_key();
        let text = format!(
            "\tat org.shop.{key}.serve(Server.java:41)\nCaused by: java.io.IOException: Connection reset by peer\n\t... 12 more"
        );
        self.write(&text);
        match self.outcome {
            Outcome::Whole => self.add([format!("{first}\n{text}")]),
            Outcome::Cut => self.add([first.clone(), text.clone()]),
            Outcome::Either => {}
        }
        self.traces.push([first, text]);
    }

    /// The glob by which the agent finds the file: a source of its own, with figures of its own.
    pub fn glob(&self) -> String {
        format!("{}/*.log", self.dir.display())
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Adds what was written to what must be found. Which of two outcomes it was is asked for.
    ///
    /// # Panics
    /// When it is neither, and when the second half of a trace that was cut does not say that it is no whole record.
    pub async fn settle(&mut self, client: &Client, ledger: &mut Ledger) {
        for [first, second] in std::mem::take(&mut self.traces) {
            let key = crate::found::key(&second).expect("it has one");
            let path = format!("/api/v1/logs?q={key}&limit=10");
            let found =
                client.wait(&path, |found| !found["logs"].as_array().expect("a list").is_empty()).await;
            let body = found["logs"][0]["body"].as_str().expect("a text");
            let is_cut = body == second;
            assert!(
                is_cut || body == format!("{first}\n{second}"),
                "{:?}: torn elsewhere: {body}",
                self.outcome
            );
            if self.outcome == Outcome::Either {
                match is_cut {
                    true => self.add([first, second]),
                    false => self.add([format!("{first}\n{second}")]),
                }
            }
            let flagged = client.total("logs", &format!("{key} weir.issues = unparsed")).await;
            assert_eq!(flagged, u64::from(is_cut), "{key}");
            ledger.trouble(if is_cut {
                "a stack trace cut in a pause"
            } else {
                "a stack trace whole over a pause"
            });
        }
        ledger.lines.append(&mut self.lines);
    }

    fn next_key(&mut self) -> String {
        self.key += 1;
        format!("k{:06}", self.key)
    }

    fn head(&mut self, level: &str, what: &str) -> String {
        let key = self.next_key();
        let clock = clock(BEGIN + self.key as u64 * MS);
        format!("2026-05-01T{clock}Z {level:>5} [slow,,] 7 --- [main] o.s.Slow : {key} {what}")
    }

    fn write(&mut self, text: &str) {
        self.file.write(format!("{text}\n").as_bytes());
        self.written += text.len() as u64 + 1;
    }

    fn add(&mut self, bodies: impl IntoIterator<Item = String>) {
        let line = |body| Line { service: "slow".into(), body, ..Line::default() };
        self.lines.extend(bodies.into_iter().map(line));
    }
}
