//! The way through a real Kafka: what each hop costs beside a named peer, and how long a line takes to be found.

mod agent;
mod latency;
mod store;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use weir_bench::report::Report;
use weir_testkit::kafka::Broker;

#[derive(Debug, Parser)]
struct Args {
    /// Megabytes of lines that agents send.
    #[arg(long, default_value_t = 300)]
    megabytes: u64,
    /// How many times each agent has its turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Thousands of spans, and megabytes of lines, that the embedded store is given.
    #[arg(long, num_args = 2, default_values_t = [500, 80])]
    embedded: Vec<u64>,
    /// The same of OpenSearch.
    #[arg(long, num_args = 2, default_values_t = [60, 20])]
    searched: Vec<u64>,
    /// Seconds of lines for each latency.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Files to Kafka.
    Agent,
    /// Kafka to the embedded store.
    Tantivy,
    /// Kafka to OpenSearch.
    Opensearch,
    /// From written to found.
    Latency,
}

impl Args {
    fn does(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut report = Report::default();
    let broker = Broker::start(&[]);
    if args.does(Part::Agent) {
        agent::measure(&mut report, &broker, args.megabytes, args.rounds).await?;
    }
    if args.does(Part::Tantivy) {
        store::tantivy(&mut report, &broker, args.embedded[0], args.embedded[1]).await?;
    }
    if args.does(Part::Opensearch) {
        store::opensearch(&mut report, &broker, args.searched[0], args.searched[1]).await?;
    }
    if args.does(Part::Latency) {
        latency::measure(&report, &broker, Duration::from_secs(args.seconds)).await?;
    }
    Ok(report.end())
}
