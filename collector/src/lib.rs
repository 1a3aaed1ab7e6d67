//! The collector: takes batches from the positioned log, lane by lane, and stores them.
//!
//! It knows transport and store by their seams only. A position is given back to the log (`done`) only after the store has made durable all
//! that came before it, so a crash at any point means that something is delivered again, and the store recognises it.

mod lag;
mod lane;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weir_model::Signal;
use weir_runtime::{Health, Metrics};
use weir_store::Writer;
use weir_transport::{DeadLetters, Receiver};

pub use lane::Policy;

/// Which signal a counter is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    signal: &'static str,
}

/// What the collector counts, each by signal.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    stored: Family<Labels, Counter>,
    duplicate: Family<Labels, Counter>,
    refused: Family<Labels, Counter>,
    dead_letters: Family<Labels, Counter>,
    dead_letter_records: Family<Labels, Counter>,
    /// Positions that the log could not deliver.
    lost: Family<Labels, Counter>,
    retries: Family<Labels, Counter>,
    /// Since when something waits that can't be searched yet, by signal, nanoseconds since the Unix epoch; 0 where nothing does.
    waiting: Arc<[AtomicU64; Signal::ALL.len()]>,
}

/// Counts of one signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub stored: u64,
    pub duplicate: u64,
    pub refused: u64,
    /// Messages among the dead letters, each of one or more refused records or of something that is no batch.
    pub dead_letters: u64,
    /// Refused records that are in these.
    pub dead_letter_records: u64,
    /// Batches that the log could not deliver.
    pub lost_batches: u64,
}

impl Stats {
    fn register(metrics: &Metrics) -> Self {
        let family = |name, help| metrics.register(name, help, Family::default());
        let waiting: Arc<[AtomicU64; Signal::ALL.len()]> = Arc::default();
        let read = waiting.clone();
        metrics.register_waits(
            "weir_collector_storing_lag_seconds",
            "How long ago the oldest batch was made that the store is being given, or a commit began that is not done; 0 where there is none",
            move || {
                Signal::ALL.map(|signal| (signal.name(), read[signal as usize - 1].load(Ordering::Relaxed)))
            },
        );
        Self {
            stored: family("weir_collector_stored_records", "Records stored"),
            duplicate: family(
                "weir_collector_duplicate_records",
                "Records that were stored before and came again",
            ),
            refused: family("weir_collector_refused_records", "Records that can't be stored"),
            dead_letters: family(
                "weir_collector_dead_letters",
                "Messages put among the dead letters: refused records, and what is no batch",
            ),
            dead_letter_records: family(
                "weir_collector_dead_letter_records",
                "Refused records that are among the dead letters",
            ),
            lost: family("weir_collector_lost_batches", "Batches that the log could not deliver"),
            retries: family("weir_collector_retries", "Writes and commits that failed and were tried again"),
            waiting,
        }
    }

    /// Since when what came of a signal waits to be searchable, in nanoseconds since the Unix epoch: the arrival of the oldest batch that is being written, or
    /// the beginning of a commit, during which nothing is. `None` while nothing waits.
    pub fn waiting_since(&self, signal: Signal) -> Option<u64> {
        let since = self.waiting[signal as usize - 1].load(Ordering::Relaxed);
        (since > 0).then_some(since)
    }

    fn waits(&self, signal: Signal, since: u64) {
        self.waiting[signal as usize - 1].store(since, Ordering::Relaxed);
    }

    pub fn counts(&self, signal: Signal) -> Counts {
        let labels = Labels { signal: signal.name() };
        Counts {
            stored: self.stored.get_or_create(&labels).get(),
            duplicate: self.duplicate.get_or_create(&labels).get(),
            refused: self.refused.get_or_create(&labels).get(),
            dead_letters: self.dead_letters.get_or_create(&labels).get(),
            dead_letter_records: self.dead_letter_records.get_or_create(&labels).get(),
            lost_batches: self.lost.get_or_create(&labels).get(),
        }
    }
}

/// A collector that is ready to run.
pub struct Collector {
    receivers: Vec<(Signal, Box<dyn Receiver>)>,
    writer: Arc<dyn Writer>,
    dead_letters: Arc<dyn DeadLetters>,
    policy: Policy,
    stats: Stats,
    health: Health,
}

/// Storing of a signal, as health names it.
pub fn storing(signal: Signal) -> &'static str {
    match signal {
        Signal::Logs => "storing of logs",
        Signal::Spans => "storing of spans",
        Signal::Metrics => "storing of metrics",
    }
}

/// Puts a collector together from one receiver a signal and a store. What can't be stored goes to the dead letters.
pub fn build(
    receivers: Vec<(Signal, Box<dyn Receiver>)>,
    writer: Arc<dyn Writer>,
    dead_letters: Arc<dyn DeadLetters>,
    policy: Policy,
    metrics: &Metrics,
    health: Health,
) -> Collector {
    let writer = Arc::new(lag::LagWriter::new(writer, metrics));
    Collector { receivers, writer, dead_letters, policy, stats: Stats::register(metrics), health }
}

impl Collector {
    /// A view of what the collector does, also after it runs.
    pub fn stats(&self) -> Stats {
        self.stats.clone()
    }

    /// Runs until the token is cancelled, then commits what was written.
    ///
    /// # Errors
    /// When a signal can't go on until a person acts. The others are stopped too.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut lanes = JoinSet::new();
        for (signal, receiver) in self.receivers {
            let lane = lane::SignalLoop::new(
                signal,
                receiver,
                self.writer.clone(),
                self.dead_letters.clone(),
                self.policy,
                self.stats.clone(),
                self.health.clone(),
            );
            lanes.spawn(lane.run(shutdown.clone()));
        }
        let mut result = Ok(());
        while let Some(ended) = lanes.join_next().await {
            let ended = ended.unwrap_or_else(|error| Err(error.into()));
            if ended.is_err() && result.is_ok() {
                shutdown.cancel();
                result = ended;
            }
        }
        result
    }
}
