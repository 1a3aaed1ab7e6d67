//! The project's own data, generated from a seed, under everything that a fleet does to an agent: what went in is found again, exactly, or stands
//! in the ledger with a cause.
//!
//! The seed is printed; `WEIR_TEST_SEED` takes it again.

use std::collections::BTreeMap;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weir_tests::client::Client;
use weir_tests::found;
use weir_tests::generator::{Fleet, agent_section};
use weir_tests::server::{KillAt, Server};

/// How often the server is started and, mostly, killed.
const ROUNDS: usize = 14;
/// Calls before the first start: files that are larger than one read.
const BEFORE: usize = 500;
const STEPS: [&str; 7] = ["close", "append", "commit", "merge", "seal", "roll", "checkpoint"];

fn config(logs: &Path) -> String {
    format!(
        r#"{}collector:
  commit_every: 200ms
  commit_bytes: 128KiB
  log_segment_bytes: 512KiB
store:
  shard_records: 4000
"#,
        agent_section(logs)
    )
}

/// The fleet that is made where none is asked for.
const SEED: u64 = 12;

fn seed() -> u64 {
    let given = std::env::var("WEIR_TEST_SEED").ok();
    given.map_or(SEED, |seed| seed.parse().expect("WEIR_TEST_SEED is a number"))
}

/// Sends what is ready. False when the server is gone; what it did not acknowledge is sent again later.
async fn send(fleet: &mut Fleet, client: &Client) -> bool {
    while let Some(request) = fleet.request() {
        if !client.export(&request).await {
            fleet.again(request);
            return false;
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_generated_is_found_again() {
    let seed = seed();
    println!("WEIR_TEST_SEED={seed}");
    // What it fails on is kept.
    let mut folder = tempfile::tempdir().unwrap();
    folder.disable_cleanup(true);
    println!("in {}", folder.path().display());
    let logs = folder.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let config = config(&logs);
    let mut chance = StdRng::seed_from_u64(!seed);
    let mut fleet = Fleet::new(seed, &logs);
    (0..BEFORE).for_each(|_| fleet.step());
    for round in 0..ROUNDS {
        let step = STEPS[chance.random_range(0..STEPS.len())];
        let client = match round % 3 {
            0 => Client::new(Server::start(folder.path(), &config).unwrap()),
            _ => {
                let at = KillAt { step, nth: chance.random_range(1..4) };
                Client::new(Server::start_to_kill(folder.path(), &config, at).unwrap())
            }
        };
        for _ in 0..chance.random_range(20..60) {
            fleet.step();
            if chance.random_ratio(1, 6) {
                fleet.rotate();
            }
            if !send(&mut fleet, &client).await {
                break;
            }
        }
        match round % 6 {
            0 => client.server.stop().unwrap(),
            _ => client.server.kill(),
        }
        // It goes on while nobody looks.
        for _ in 0..chance.random_range(0..20) {
            fleet.step();
            if chance.random_ratio(1, 6) {
                fleet.rotate();
            }
        }
    }
    let client = Client::new(Server::start(folder.path(), &config).unwrap());
    fleet.finish_lines();
    assert!(send(&mut fleet, &client).await);
    client.wait_for_logs(fleet.ledger.lines.len() as u64).await;
    found::account(&client, &fleet.ledger).await;
    fleet.recreate();
    (0..50).for_each(|_| fleet.step());
    fleet.finish();
    assert!(send(&mut fleet, &client).await);
    let ledger = &fleet.ledger;
    println!("{} lines and {} spans, with {:#?}", ledger.lines.len(), ledger.spans.len(), ledger.troubles);
    found::everything(&client, ledger).await;
    found::by_searches(&client, ledger).await;
    found::by_traces(&client, ledger, 3).await;
    client.server.stop().unwrap();
    folder.disable_cleanup(false);
}

#[test]
fn one_seed_gives_one_fleet() {
    let made = |seed| {
        let folder = tempfile::tempdir().unwrap();
        let mut fleet = Fleet::new(seed, folder.path());
        (0..50).for_each(|_| fleet.step());
        fleet.rotate();
        fleet.finish();
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            files.insert(path.file_name().unwrap().to_owned(), std::fs::read(&path).unwrap());
        }
        (files, format!("{:?} {:?}", fleet.ledger.lines, fleet.ledger.spans))
    };
    assert!(made(7) == made(7));
    assert!(made(7) != made(8));
}
