//! The whole system in a storm: files that are rotated all the while are followed by an agent, carried by a real Kafka and stored by a collector, in
//! tantivy or in a real OpenSearch. Under load, at moments that a seed draws, each of them is killed, while proxies in front of the servers harm
//! what passes. In the end everything heals: what went in is found again, exactly, and both ends' ledgers say so.
//!
//! What goes in is of a generated fleet, or Train Ticket's. Among the fleet's is what can't be stored, ever or for now: it is among the dead letters,
//! and nothing else is. Sent again twice, what can be stored by then is there once. And stack traces are written in two goes with a kill of the
//! agent in between: each is whole, or cut there.
//!
//! The seed is printed; `WEIR_TEST_SEED` takes it again. It decides what is made and what happens, while the machine decides how far each part has
//! come by then. `WEIR_TEST_BLOWS` is how often something is killed, `WEIR_TEST_BROKERS` how many brokers there are.

mod fleet;
mod letters;
mod load;
mod pauses;
mod system;
mod trainticket;

/// The storm where none is asked for.
const SEED: u64 = 12;

fn number(variable: &str, default: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(default, |given| given.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

fn seed() -> u64 {
    let seed = number("WEIR_TEST_SEED", SEED);
    println!("WEIR_TEST_SEED={seed}");
    seed
}

/// A folder that is kept where a test fails.
fn folder() -> tempfile::TempDir {
    let mut folder = tempfile::tempdir().unwrap();
    folder.disable_cleanup(true);
    println!("in {}", folder.path().display());
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_in_the_embedded_store() {
    fleet::storm(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_in_a_search_engine() {
    fleet::storm(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn train_ticket_is_found_again() {
    trainticket::storm().await;
}
