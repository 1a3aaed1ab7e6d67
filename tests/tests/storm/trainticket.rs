//! Real input in a storm.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedMutRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::task::block_in_place;
use weir_tests::http::Http;
use weir_tests::letters::dlq;
use weir_tests::raw::{Line, Span};
use weir_tests::trainticket::TrainTicket;
use weir_tests::verify::{self, search};

use crate::load::{Feed, Load};
use crate::system::System;
use crate::{folder, number, seed};

/// One of so many traces is taken, and the lines of it.
const PART: u64 = 32;
/// Calls, for each kill, in which all is written. Behind them requests come again.
const CALLS: u64 = 60;
/// Calls for each of which a file is rotated once.
const ROTATE: u32 = 4;
/// Spans of a request.
const SPANS: usize = 100;

/// A file that grows.
struct Growing {
    path: PathBuf,
    content: Vec<u8>,
    written: usize,
    rotations: usize,
}

impl Growing {
    /// Takes the content of a file away, to write it again bit by bit.
    fn new(path: PathBuf) -> Self {
        let content = fs::read(&path).unwrap();
        fs::write(&path, "").unwrap();
        Self { path, content, written: 0, rotations: 0 }
    }

    /// Writes up to a byte, wherever in a line that is.
    fn write(&mut self, until: usize) {
        let mut file = OpenOptions::new().append(true).create(true).open(&self.path).unwrap();
        if let Some(part) = self.content.get(self.written..until) {
            file.write_all(part).unwrap();
            self.written = until;
        }
    }

    /// Goes on in another file, behind a line that is whole by Docker's word as well.
    fn rotate(&mut self) {
        const END: &[u8] = b"\\n\",\"stream\"";
        let rest = &self.content[self.written..];
        let mut until = self.written;
        for line in rest.split_inclusive(|byte| *byte == b'\n') {
            until += line.len();
            if line.windows(END.len()).any(|window| window == END) {
                break;
            }
        }
        self.write(until);
        self.rotations += 1;
        fs::rename(&self.path, self.path.with_extension(format!("log.{}", self.rotations))).unwrap();
        self.write(until);
    }
}

/// The data as it comes into being.
struct Replay {
    files: Vec<Growing>,
    requests: Vec<Bytes>,
    /// How many requests are ready, and of these were acknowledged.
    ready: usize,
    acknowledged: usize,
    /// In how many calls all of it comes.
    calls: u64,
}

impl Replay {
    /// What has come into being after so many calls.
    fn write(&mut self, calls: u64) {
        let part = |all: usize| (all as u64 * calls.min(self.calls) / self.calls) as usize;
        self.files.iter_mut().for_each(|file| file.write(part(file.content.len())));
        self.ready = part(self.requests.len()) + calls.saturating_sub(self.calls) as usize;
    }
}

impl Feed for Replay {
    fn call(&mut self, number: u64, chance: &mut StdRng) {
        self.write(number + 1);
        if chance.random_ratio(1, ROTATE) {
            self.files.choose_mut(chance).expect("there are some").rotate();
        }
    }

    async fn send(&mut self, http: &Http, otlp: &str) -> bool {
        while self.acknowledged < self.ready {
            // What was sent before comes again when all is written, and must be recognised.
            let request = &self.requests[self.acknowledged % self.requests.len()];
            if !http.export_spans(otlp, request).await {
                return false;
            }
            self.acknowledged += 1;
        }
        true
    }
}

/// A whole storm over a part of Train Ticket's data, with a search engine.
pub(crate) async fn storm() {
    let (seed, folder) = (seed(), folder());
    let Some(mut data) = TrainTicket::load(folder.path()) else { return };
    data.keep(|trace| trace.bytes().map(u64::from).sum::<u64>().is_multiple_of(PART));
    let (lines, spans) = (data.lines.len() as u64, data.spans.len() as u64);
    println!("{lines} lines, {spans} spans");
    let files = fs::read_dir(&data.logs_dir).unwrap().map(|entry| Growing::new(entry.unwrap().path()));
    let replay = Replay {
        files: files.collect(),
        requests: data.requests(SPANS, 3),
        ready: 0,
        acknowledged: 0,
        calls: CALLS * number("WEIR_TEST_BLOWS", 4),
    };
    let sources = format!("agent:\n  host_metrics: 0s\n  sources:\n{}", data.source());
    let mut chance = StdRng::seed_from_u64(seed);
    let mut system = block_in_place(|| System::start(folder, true, sources));
    block_in_place(|| system.start_agent());
    let load = Load::start(replay, !seed, system.otlp());
    system.rage(&mut chance, &load).await;
    let mut replay = load.stop().await;
    replay.write(replay.calls);
    assert!(replay.send(&Http::default(), &system.otlp()).await, "the agent runs");

    let client = system.client();
    client.wait_for_totals(lines, spans).await;
    verify::logs(client, &data.lines, &[search("", |_: &Line| true)]).await;
    verify::spans(client, &data.spans, &[search("", |_: &Span| true)]).await;
    verify::trees(client, &data.spans, &data.lines, 2).await;
    let ledger = client.wait("/api/v1/ledger?limit=1000", |ledger| {
        let holes = |source: &Value| source["holes"].as_array().is_some_and(Vec::is_empty);
        ledger["sources"].as_array().expect("a list").iter().all(holes)
    });
    for records in ledger.await["records"].as_array().expect("a list") {
        assert_eq!((&records["refused"], &records["lostBatches"]), (&0.into(), &0.into()), "{records}");
    }
    let said = dlq(&system.path("collector").join("collector.yaml"), &["list"]);
    assert!(said.contains("no dead letters"), "{said}");
    system.end();
}
