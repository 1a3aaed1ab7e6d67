//! How long data takes from its arrival at the first process of Weir, mostly an agent, to its commit in the store: the whole way as one figure.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use weir_model::Signal;
use weir_runtime::Metrics;
use weir_store::{Report, WriteError, Writer};
use weir_transport::{Batch, Epoch, Lane, Position};

use crate::Labels;

/// Upper bounds, seconds: from what batching and a commit take to a day's absence of a part.
const BUCKETS: [f64; 14] =
    [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0];

type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// A store's writer that counts, at each commit, how long ago its batches arrived.
pub(crate) struct LagWriter {
    store: Arc<dyn Writer>,
    seconds: Histograms,
    /// When the batches arrived that are written and not committed, by signal, nanoseconds since the Unix epoch.
    open: [Mutex<Vec<u64>>; Signal::ALL.len()],
}

impl LagWriter {
    pub(crate) fn new(store: Arc<dyn Writer>, metrics: &Metrics) -> Self {
        let seconds = metrics.register(
            "weir_collector_end_to_end_seconds",
            "Seconds from the arrival of a batch at the first process of Weir to its commit in the store",
            Histograms::new_with_constructor(|| Histogram::new(BUCKETS)),
        );
        Self { store, seconds, open: Default::default() }
    }

    /// Changes the open arrivals of a signal.
    fn with_open<R>(&self, signal: Signal, change: impl FnOnce(&mut Vec<u64>) -> R) -> R {
        change(&mut self.open[signal as usize - 1].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Writer for LagWriter {
    async fn begin(&self, lane: Lane, epoch: Epoch) -> Result<Option<Position>, WriteError> {
        self.store.begin(lane, epoch).await
    }

    async fn write(
        &self,
        lane: Lane,
        epoch: Epoch,
        batches: &[(Position, Batch)],
    ) -> Result<Report, WriteError> {
        let report = self.store.write(lane, epoch, batches).await?;
        // What comes again was counted when it came first.
        if report.stored > 0 {
            let arrivals = batches.iter().map(|(_, batch)| batch.arrived).filter(|arrived| *arrived > 0);
            self.with_open(lane.signal, |open| open.extend(arrivals));
        }
        Ok(report)
    }

    async fn sync(&self, signal: Signal) -> Result<Vec<(Lane, Position)>, WriteError> {
        // What is written while it runs may not be in it.
        let arrivals = self.with_open(signal, mem::take);
        match self.store.sync(signal).await {
            Ok(lanes) => {
                let now =
                    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
                let seconds = self.seconds.get_or_create(&Labels { signal: signal.name() });
                for arrived in arrivals {
                    // Clocks of two machines differ.
                    seconds.observe(now.saturating_sub(arrived) as f64 / 1e9);
                }
                Ok(lanes)
            }
            Err(error) => {
                self.with_open(signal, |open| open.extend(arrivals));
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use weir_store::conformance::sample;

    use super::*;

    /// Stores each batch once, and commits when it is told to.
    #[derive(Default)]
    struct Store {
        commits: AtomicBool,
        stored: AtomicBool,
    }

    #[async_trait]
    impl Writer for Store {
        async fn begin(&self, _: Lane, _: Epoch) -> Result<Option<Position>, WriteError> {
            Ok(None)
        }

        async fn write(
            &self,
            _: Lane,
            _: Epoch,
            batches: &[(Position, Batch)],
        ) -> Result<Report, WriteError> {
            let again = self.stored.swap(true, Ordering::Relaxed);
            let stored = if again { 0 } else { batches.len() as u64 };
            Ok(Report { stored, ..Report::default() })
        }

        async fn sync(&self, _: Signal) -> Result<Vec<(Lane, Position)>, WriteError> {
            match self.commits.load(Ordering::Relaxed) {
                true => Ok(Vec::new()),
                false => Err(WriteError::Retry("not now".into())),
            }
        }
    }

    #[tokio::test]
    async fn what_is_committed_is_counted_once() {
        let (store, metrics) = (Arc::new(Store::default()), Metrics::new());
        let writer = LagWriter::new(store.clone(), &metrics);
        let lane = Lane { signal: Signal::Logs, partition: 0 };
        // Of unknown arrival, and of 1970.
        let batches = [0, 1].map(|arrived| (Position(arrived), Batch { arrived, ..sample::logs(0, 1) }));
        let count = |expect: Option<&str>| {
            let text = metrics.text();
            let count = text.lines().find_map(|line| {
                line.strip_prefix("weir_collector_end_to_end_seconds_count{signal=\"logs\"} ")
            });
            assert_eq!(count, expect, "{text}");
        };
        writer.write(lane, Epoch(1), &batches).await.unwrap();
        assert!(writer.sync(Signal::Logs).await.is_err());
        count(None);
        store.commits.store(true, Ordering::Relaxed);
        writer.sync(Signal::Logs).await.unwrap();
        count(Some("1"));
        // It comes again.
        writer.write(lane, Epoch(1), &batches).await.unwrap();
        writer.sync(Signal::Logs).await.unwrap();
        count(Some("1"));
        let days = metrics
            .text()
            .contains("weir_collector_end_to_end_seconds_bucket{le=\"86400.0\",signal=\"logs\"} 0");
        assert!(days, "{}", metrics.text());
    }
}
