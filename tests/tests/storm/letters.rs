//! What can't be stored in a storm, ever or for now: strays of producers that know little, a letter that was there before, and lines that an index
//! of the search engine does not take.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, StatusCode};
use rdkafka::ClientConfig;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
use serde_json::json;
use weir_model::{Incarnation, Signal};
use weir_tests::client::LOOK_EVERY;
use weir_tests::found;
use weir_tests::generator::Stray;
use weir_tests::http::Http;
use weir_tests::letters::{self, Listed};
use weir_tests::server::PATIENCE;
use weir_transport::{DeadLetters, Lane, Letter, Position, envelope};
use weir_transport_kafka::{Config, Kafka};

/// How many days old the lines are that the search engine refuses. No other line is of that day.
const ARCHIVE_DAYS: u64 = 10;
const DAY: u64 = 86_400_000_000_000;

/// Noon of the day whose index is spoiled, nanoseconds since the Unix epoch.
pub(crate) fn archive_day() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(Duration::ZERO, |since| since);
    (now.as_nanos() as u64 / DAY - ARCHIVE_DAYS) * DAY + DAY / 2
}

/// Someone who puts strays into Kafka.
pub(crate) struct Strays {
    producer: FutureProducer,
    sent: Vec<(Stray, DeliveryFuture)>,
}

impl Strays {
    pub(crate) fn new(brokers: &str) -> Self {
        let mut config = ClientConfig::new();
        // Each comes once, however often brokers are killed.
        config.set("bootstrap.servers", brokers).set("enable.idempotence", "true");
        Self { producer: config.create().expect("a producer"), sent: Vec::new() }
    }

    pub(crate) fn send(&mut self, stray: Stray) {
        let message = FutureRecord::<(), _>::to(topic(stray.signal)).payload(&stray.payload[..]);
        let sent = self.producer.send_result(message).map_err(|(error, _)| error).expect("there is room");
        self.sent.push((stray, sent));
    }

    /// Waits until all are in Kafka. Where each of them stands, as letters say it, and why it becomes one.
    pub(crate) async fn places(self) -> BTreeMap<String, &'static str> {
        let mut places = BTreeMap::new();
        for (stray, sent) in self.sent {
            let at = sent.await.expect("it is told").map_err(|(error, _)| error).expect("it is taken");
            places.insert(format!("{}/{}@{}", topic(stray.signal), at.partition, at.offset), stray.cause);
        }
        places
    }
}

fn topic(signal: Signal) -> &'static str {
    match signal {
        Signal::Spans => "otlp_spans",
        _ => "otlp_logs",
    }
}

/// Puts a line among the letters that can be stored, as an older collector would have that refused it.
pub(crate) async fn put(brokers: Vec<String>, body: &str) {
    let kafka = Kafka::new(Config { brokers, ..Config::default() }).expect("a client");
    let batch = letters::line(Incarnation(11), body);
    let letter = Letter {
        lane: Lane { signal: batch.signal, partition: 0 },
        position: Position(0),
        cause: "refused before the storm".into(),
        records: 1,
        envelope: Some(envelope::write(&batch).into()),
        body: batch.body,
    };
    kafka.dead_letters().put(&[letter]).await.expect("the brokers take it");
}

/// The index of the day's lines, made by hand with a mapping that takes none of them, or removed.
async fn index(url: &str, method: Method, body: String) {
    let day = jiff::Timestamp::from_nanosecond(archive_day().into()).expect("a day of this century");
    let url = format!("{url}/weir-logs-{}", day.strftime("%Y.%m.%d"));
    let answer = Http::default().request(method, &url, "application/json", Bytes::from(body)).await;
    let (status, said) = answer.expect("the engine answers");
    assert_eq!(status, StatusCode::OK, "{url}: {said:?}");
}

pub(crate) async fn spoil(url: &str) {
    let mapping = json!({ "mappings": { "properties": { "record": { "type": "long" } } } });
    index(url, Method::PUT, mapping.to_string()).await;
}

pub(crate) async fn mend(url: &str) {
    index(url, Method::DELETE, String::new()).await;
}

/// What must be among the dead letters.
#[derive(Debug)]
pub(crate) struct Expected {
    /// Where what can never be stored stood, and why.
    pub(crate) strays: BTreeMap<String, &'static str>,
    /// Keys of lines that can be stored later.
    pub(crate) lines: BTreeSet<String>,
}

/// Letters of a kind. Where a collector was killed between keeping one and committing there are two of it.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) strays: Vec<Listed>,
    pub(crate) storable: Vec<Listed>,
}

impl Expected {
    /// Waits until everything is there.
    ///
    /// # Panics
    /// When that does not come, or something else is there.
    pub(crate) async fn wait(&self, config: &Path) -> Found {
        let begun = Instant::now();
        loop {
            let (found, missing) = self.look(config);
            if missing.is_empty() {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "not among the dead letters: {missing:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What is there, and what is not yet.
    fn look(&self, config: &Path) -> (Found, Vec<String>) {
        let mut found = Found::default();
        let mut missing: BTreeSet<&String> = self.strays.keys().chain(&self.lines).collect();
        for letter in letters::letters(config) {
            if self.strays.get(&letter.from).is_some_and(|cause| letter.cause.contains(cause)) {
                missing.remove(&letter.from);
                found.strays.push(letter);
                continue;
            }
            let bodies = letters::bodies(config, &letter.id);
            let keys: Vec<String> = bodies.iter().filter_map(|body| found::key(body)).collect();
            let known = !keys.is_empty() && keys.iter().all(|key| self.lines.contains(key));
            assert!(known, "{letter:?} with {bodies:?} is no letter that was sent");
            missing.retain(|place| !keys.contains(place));
            found.storable.push(letter);
        }
        (found, missing.into_iter().cloned().collect())
    }
}

/// Waits until strays that were sent again have come back.
///
/// # Panics
/// When they do not, or anything else is there.
pub(crate) async fn come_back(config: &Path, strays: &[Listed]) -> Vec<Listed> {
    let causes = |letters: &[Listed]| {
        let mut causes: Vec<(u64, String)> =
            letters.iter().map(|letter| (letter.records, letter.cause.clone())).collect();
        causes.sort();
        causes
    };
    let begun = Instant::now();
    loop {
        let found = letters::letters(config);
        if found.len() >= strays.len() {
            assert_eq!(causes(&found), causes(strays));
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "only {found:?} have come back");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
