//! What goes in during a storm: bit by bit, from whoever has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::task::JoinHandle;
use weir_tests::client::LOOK_EVERY;
use weir_tests::http::Http;

/// Pause between two calls.
const PACE: Duration = Duration::from_millis(30);
/// Calls that are made by themselves, however long something takes to start.
const AHEAD: u64 = 40;

/// Who writes lines and sends spans.
pub(crate) trait Feed: Send + 'static {
    /// Writes what comes with a call.
    fn call(&mut self, number: u64, chance: &mut StdRng);
    /// Sends what is ready to the agent at `otlp`. False when it is gone; what it did not acknowledge is sent again later.
    fn send(&mut self, http: &Http, otlp: &str) -> impl Future<Output = bool> + Send;
}

/// A feed that goes on making calls until it is told to stop.
pub(crate) struct Load<F> {
    /// Calls so far, and how many there may be.
    calls: Arc<AtomicU64>,
    allowed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    running: JoinHandle<F>,
}

impl<F: Feed> Load<F> {
    pub(crate) fn start(mut feed: F, seed: u64, otlp: String) -> Self {
        let (calls, allowed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(AHEAD)));
        let stop = Arc::new(AtomicBool::new(false));
        let (count, most, stopped) = (calls.clone(), allowed.clone(), stop.clone());
        let running = tokio::spawn(async move {
            let (http, mut chance) = (Http::default(), StdRng::seed_from_u64(seed));
            while !stopped.load(Ordering::Relaxed) {
                let call = count.load(Ordering::Relaxed);
                if call < most.load(Ordering::Relaxed) {
                    feed.call(call, &mut chance);
                    count.fetch_add(1, Ordering::Relaxed);
                }
                feed.send(&http, &otlp).await;
                tokio::time::sleep(PACE).await;
            }
            feed
        });
        Self { calls, allowed, stop, running }
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Waits until so many more calls were made.
    pub(crate) async fn goes_on(&self, calls: u64) {
        let until = self.calls() + calls;
        self.allowed.store(until + AHEAD, Ordering::Relaxed);
        while self.calls() < until {
            assert!(!self.running.is_finished(), "the feed has failed");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub(crate) async fn stop(self) -> F {
        self.stop.store(true, Ordering::Relaxed);
        self.running.await.unwrap()
    }
}
