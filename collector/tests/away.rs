//! A store that can't take what a lane has: the log is asked to hold meanwhile, and a lane that is taken away then is let go.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weir_collector::{Policy, build};
use weir_model::Signal;
use weir_runtime::{Health, Metrics};
use weir_store::conformance::sample;
use weir_store::memory::MemoryStore;
use weir_store::{Report, WriteError, Writer};
use weir_transport::conformance::NoLetters;
use weir_transport::{Batch, Epoch, Event, Fenced, Lane, Position, ReceiveError, Receiver};

/// How long a test waits for what must come. Generous: it is only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);
const EPOCH: Epoch = Epoch(1);
/// What it has is not taken.
const STUCK: Lane = Lane { signal: Signal::Logs, partition: 0 };
const WELL: Lane = Lane { signal: Signal::Logs, partition: 1 };

/// A store that is away for one lane, and says how often it was asked for it and what it has committed.
struct Store {
    inner: MemoryStore,
    asked: watch::Sender<u64>,
    committed: watch::Sender<Vec<(Lane, Position)>>,
}

#[async_trait]
impl Writer for Store {
    async fn begin(&self, lane: Lane, epoch: Epoch) -> Result<Option<Position>, WriteError> {
        self.inner.begin(lane, epoch).await
    }

    async fn write(
        &self,
        lane: Lane,
        epoch: Epoch,
        batches: &[(Position, Batch)],
    ) -> Result<Report, WriteError> {
        if lane == STUCK {
            self.asked.send_modify(|asked| *asked += 1);
            return Err(WriteError::Retry("a fault of the test".into()));
        }
        self.inner.write(lane, epoch, batches).await
    }

    async fn sync(&self, signal: Signal) -> Result<Vec<(Lane, Position)>, WriteError> {
        let lanes = self.inner.sync(signal).await?;
        self.committed.send_replace(lanes.clone());
        Ok(lanes)
    }
}

/// A log of two lanes; one of them is taken away when its owner holds and has tried to store what it has.
struct Log {
    events: VecDeque<Event>,
    asked: watch::Receiver<u64>,
    taken: bool,
}

#[async_trait]
impl Receiver for Log {
    async fn next(&mut self) -> Result<Event, ReceiveError> {
        match self.events.pop_front() {
            Some(event) => Ok(event),
            None => std::future::pending().await,
        }
    }

    async fn seek(&mut self, _lane: Lane, _position: Position) -> Result<(), ReceiveError> {
        Ok(())
    }

    async fn done(&mut self, lane: Lane, _epoch: Epoch, _position: Position) -> Result<(), Fenced> {
        assert_ne!(lane, STUCK, "nothing of it was stored");
        Ok(())
    }

    async fn hold(&mut self) -> (Lane, Epoch) {
        if self.taken || self.asked.wait_for(|asked| *asked > 0).await.is_err() {
            return std::future::pending().await;
        }
        self.taken = true;
        (STUCK, EPOCH)
    }
}

#[tokio::test]
async fn a_lane_is_let_go_while_its_store_is_away() {
    let (asked, committed) = (watch::Sender::new(0), watch::Sender::new(Vec::new()));
    let mut done = committed.subscribe();
    let data = |lane| Event::Data(lane, EPOCH, vec![(Position(0), sample::logs(0, 5))]);
    let events = [Event::Assigned(STUCK, EPOCH), Event::Assigned(WELL, EPOCH), data(STUCK), data(WELL)];
    let log = Log { events: events.into(), asked: asked.subscribe(), taken: false };
    let store = Arc::new(Store { inner: MemoryStore::new(), asked, committed });
    let policy = Policy { commit_every: Duration::from_millis(20), commit_bytes: 1 << 20 };
    let receivers: Vec<(Signal, Box<dyn Receiver>)> = vec![(Signal::Logs, Box::new(log))];
    let collector =
        build(receivers, store, Arc::new(NoLetters), policy, &Metrics::default(), Health::default());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(collector.run(shutdown.clone()));
    let stored = done.wait_for(|lanes| lanes.contains(&(WELL, Position(1))));
    tokio::time::timeout(PATIENCE, stored).await.expect("it is stored").expect("the collector runs");
    shutdown.cancel();
    running.await.expect("no panic").expect("no error");
}
