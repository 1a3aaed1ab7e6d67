//! A generated fleet in a storm.

use std::collections::BTreeSet;
use std::fs;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::task::block_in_place;
use weir_tests::found;
use weir_tests::generator::{Fleet, agent_section};
use weir_tests::http::Http;
use weir_tests::letters::dlq;

use crate::letters::{self, Expected, Strays};
use crate::load::{Feed, Load};
use crate::pauses::Pauses;
use crate::system::System;
use crate::{folder, seed};

/// Calls before the agent starts.
const BEFORE: usize = 60;
/// Calls for each of which a file is rotated once.
const ROTATE: u32 = 12;
/// Calls for each of which someone puts a stray into Kafka.
const STRAY: u64 = 15;

/// A fleet, and what others put into Kafka beside it.
struct Calls {
    fleet: Fleet,
    strays: Strays,
}

impl Feed for Calls {
    fn call(&mut self, number: u64, chance: &mut StdRng) {
        self.fleet.step();
        if number.is_multiple_of(STRAY) {
            self.strays.send(self.fleet.stray());
        }
        if chance.random_ratio(1, ROTATE) {
            self.fleet.rotate();
        }
    }

    async fn send(&mut self, http: &Http, otlp: &str) -> bool {
        send(&mut self.fleet, http, otlp).await
    }
}

/// Sends what is ready. False when the agent is gone; what it did not acknowledge is sent again later.
async fn send(fleet: &mut Fleet, http: &Http, otlp: &str) -> bool {
    while let Some(request) = fleet.request() {
        if !http.export_spans(otlp, &request).await {
            fleet.again(request);
            return false;
        }
    }
    true
}

/// A whole storm over a fleet.
pub(crate) async fn storm(with_search: bool) {
    let (seed, folder) = (seed(), folder());
    let mut chance = StdRng::seed_from_u64(seed);
    let logs = folder.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let mut fleet = Fleet::new(seed, &logs);
    (0..BEFORE).for_each(|_| fleet.step());
    let gone = fleet.gone();
    let mut later = BTreeSet::from([found::key(&gone).expect("it has one")]);
    let pauses = Pauses::create(&logs);
    let sources = agent_section(&logs) + &pauses.sources();
    let mut system = block_in_place(|| System::start(folder, with_search, sources));
    system.pauses = Some(pauses);
    letters::put(system.kafka.addresses(), &gone).await;
    if let Some(search) = &system.search {
        letters::spoil(&search.server.url()).await;
        later.extend(fleet.archive(letters::archive_day()));
    }
    block_in_place(|| system.start_agent());
    let calls = Calls { fleet, strays: Strays::new(&system.brokers()) };
    let load = Load::start(calls, !seed, system.otlp());
    system.rage(&mut chance, &load).await;
    let Calls { mut fleet, strays } = load.stop().await;
    fleet.finish();
    assert!(send(&mut fleet, &Http::default(), &system.otlp()).await, "the agent runs");
    println!("{} lines, {} spans", fleet.ledger.lines.len(), fleet.ledger.spans.len());
    let expected = Expected { strays: strays.places().await, lines: later };
    let mut pauses = system.pauses.take().expect("set above");
    pauses.settle(system.client(), &mut fleet.ledger).await;
    println!("{:#?}", fleet.ledger.troubles);
    heals(system, &fleet, expected).await;
}

/// Everything heals: it is found, or among the dead letters, and the ledgers of both ends agree.
async fn heals(system: System, fleet: &Fleet, expected: Expected) {
    let (lines, spans) = (fleet.ledger.lines.len() as u64, fleet.ledger.spans.len() as u64);
    let later = expected.lines.len() as u64;
    system.client().wait_for_totals(lines - later, spans).await;
    system.mark("what can be found is found");
    let config = system.path("collector").join("collector.yaml");
    let letters = expected.wait(&config).await;
    let (strays, storable) = (letters.strays.len(), letters.storable.len());
    system.mark(&format!("{strays} letters of strays, {storable} that can be stored"));

    if let Some(search) = &system.search {
        letters::mend(&search.server.url()).await;
    }
    let before = system.counts().await;
    let said = dlq(&config, &["replay"]);
    let all = letters.strays.len() + letters.storable.len();
    assert!(said.contains(&format!("{all} dead letters were sent again")), "{said}");
    system.mark("the letters are sent again");
    found::everything(system.client(), &fleet.ledger).await;
    found::by_traces(system.client(), &fleet.ledger, 25).await;
    system.mark("everything is found");
    let back = letters::come_back(&config, &letters.strays).await;
    let refused: u64 = back.iter().map(|letter| letter.records).sum();
    system
        .client()
        .wait("/api/v1/ledger", |ledger| {
            let [logs, spans] = ["logs", "spans"].map(|signal| counts(ledger, signal));
            let [logs_before, spans_before] = ["logs", "spans"].map(|signal| counts(&before, signal));
            logs.0 == logs_before.0 + later
                && (logs.2, spans.0) == (logs_before.2, spans_before.0)
                && spans.2 == spans_before.2 + refused
        })
        .await;

    system.mark("strays have come back");

    // Twice more, by name: they are known.
    let before = counts(&system.counts().await, "logs");
    let ids = letters.storable.iter().flat_map(|letter| [letter.id.as_str(); 2]);
    dlq(&config, &["replay"].into_iter().chain(ids).collect::<Vec<_>>());
    let known = letters.storable.iter().map(|letter| 2 * letter.records).sum::<u64>();
    let ledger = system.client().wait("/api/v1/ledger?limit=1000", |ledger| {
        let holes = |source: &Value| source["holes"].as_array().is_some_and(Vec::is_empty);
        counts(ledger, "logs").1 >= before.1 + known
            && ledger["sources"].as_array().expect("a list").iter().all(holes)
    });
    for records in ledger.await["records"].as_array().expect("a list") {
        assert_eq!(records["lostBatches"], 0, "{records}");
    }
    system.client().wait_for_totals(lines, spans).await;
    assert_eq!(weir_tests::letters::letters(&config), back);

    system.end();
}

/// How many records of a signal a ledger says were stored, came again, and were refused.
fn counts(ledger: &Value, signal: &str) -> (u64, u64, u64) {
    let mut rows = ledger["records"].as_array().expect("a list").iter();
    let row = rows.find(|row| row["signal"] == signal).expect("each signal");
    let count = |name: &str| row[name].as_u64().expect("a count");
    (count("stored"), count("duplicate"), count("refused"))
}
