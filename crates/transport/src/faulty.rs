//! A transport that fails, for tests: seeded wrappers that refuse, answer late, lose the answer after the work was done, send twice, and give
//! a lane away and back again.
//!
//! Whoever keeps to the contracts of [`Sender`] and [`Receiver`] must come to the same end as without them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use weir_disk::Dice;

use crate::{
    Batch, Epoch, Event, Fenced, Lane, Position, ReceiveError, Receiver, SendError, SendErrorKind, Sender,
};

/// How often a late answer lets others run first, at the most.
const LATE_TURNS: u64 = 20;

/// Which faults happen how often, in thousandths of the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// The call is refused and nothing is done.
    pub refuse: u64,
    /// The call or its answer comes late.
    pub late: u64,
    /// The work is done, but the answer says that it failed.
    pub lose: u64,
    /// The work is done twice; a lane is given away and back.
    pub again: u64,
}

impl Rates {
    /// Faults after which nothing is there twice.
    pub const PASSING: Rates = Rates { refuse: 150, late: 150, lose: 0, again: 0 };
    /// All of them.
    pub const ALL: Rates = Rates { refuse: 60, late: 100, lose: 60, again: 60 };
}

/// Decides by a seed.
#[derive(Debug)]
pub struct Faults {
    rates: Rates,
    dice: Mutex<Dice>,
}

impl Faults {
    pub fn new(rates: Rates, seed: u64) -> Self {
        Self { rates, dice: Mutex::new(Dice::new(seed)) }
    }

    fn below(&self, n: u64) -> u64 {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).below(n)
    }

    fn happens(&self, rate: u64) -> bool {
        self.below(1_000) < rate
    }

    async fn wait(&self) {
        if self.happens(self.rates.late) {
            for _ in 0..=self.below(LATE_TURNS) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Before the work. `Err` when it is not to be done.
    pub async fn before(&self) -> Result<(), ()> {
        self.wait().await;
        if self.happens(self.rates.refuse) { Err(()) } else { Ok(()) }
    }

    /// After the work. `Err` when the answer is to be lost.
    pub async fn after(&self) -> Result<(), ()> {
        self.wait().await;
        if self.happens(self.rates.lose) { Err(()) } else { Ok(()) }
    }

    /// Whether the work is to be done again.
    pub fn again(&self) -> bool {
        self.happens(self.rates.again)
    }
}

/// Wraps a sender.
#[derive(Debug)]
pub struct FaultySender<S> {
    inner: S,
    faults: Faults,
}

impl<S> FaultySender<S> {
    pub fn new(inner: S, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

fn refused(batch: Batch) -> SendError {
    let kind = SendErrorKind::Retry { after: Duration::ZERO };
    SendError { kind, message: "a fault of the test".into(), batch: Box::new(batch) }
}

#[async_trait]
impl<S: Sender> Sender for FaultySender<S> {
    async fn send(&self, batch: Batch) -> Result<Position, SendError> {
        if self.faults.before().await.is_err() {
            return Err(refused(batch));
        }
        let kept = batch.clone();
        let mut position = self.inner.send(batch).await?;
        if self.faults.again() {
            position = self.inner.send(kept.clone()).await?;
        }
        match self.faults.after().await {
            Ok(()) => Ok(position),
            Err(()) => Err(refused(kept)),
        }
    }
}

/// Wraps a receiver of one lane.
#[derive(Debug)]
pub struct FaultyReceiver<R> {
    inner: R,
    faults: Faults,
    /// The current assignment, and how many there were beyond those of the inner receiver.
    assigned: Option<(Lane, Epoch)>,
    reassigned: u64,
    events: VecDeque<Event>,
    /// After an assignment nothing is delivered before the owner has said from where.
    sought: bool,
}

impl<R> FaultyReceiver<R> {
    pub fn new(inner: R, faults: Faults) -> Self {
        Self { inner, faults, assigned: None, reassigned: 0, events: VecDeque::new(), sought: false }
    }

    /// Gives the lane away and back.
    fn reassign(&mut self) {
        if let Some((lane, epoch)) = self.assigned {
            self.reassigned += 1;
            let next = Epoch(epoch.0 + 1);
            self.events.extend([Event::Revoked(lane, epoch), Event::Assigned(lane, next)]);
            self.assigned = Some((lane, next));
            self.sought = false;
        }
    }
}

#[async_trait]
impl<R: Receiver> Receiver for FaultyReceiver<R> {
    async fn next(&mut self) -> Result<Event, ReceiveError> {
        if self.faults.before().await.is_err() {
            return Err(ReceiveError::Retry("a fault of the test".into()));
        }
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        if self.assigned.is_some() && !self.sought {
            return std::future::pending().await;
        }
        let event = self.inner.next().await?;
        let later = |epoch: Epoch| Epoch(epoch.0 + self.reassigned);
        Ok(match event {
            Event::Assigned(lane, epoch) => {
                self.assigned = Some((lane, later(epoch)));
                self.sought = false;
                Event::Assigned(lane, later(epoch))
            }
            Event::Revoked(lane, epoch) => Event::Revoked(lane, later(epoch)),
            Event::Data(lane, epoch, data) => {
                let event = Event::Data(lane, later(epoch), data);
                if self.faults.again() {
                    self.reassign();
                }
                event
            }
            Event::Poison(lane, epoch, letter) => Event::Poison(lane, later(epoch), letter),
            gap @ Event::Gap(..) => gap,
        })
    }

    async fn seek(&mut self, lane: Lane, position: Position) -> Result<(), ReceiveError> {
        self.sought = true;
        self.inner.seek(lane, position).await
    }

    async fn hold(&mut self) -> (Lane, Epoch) {
        self.faults.wait().await;
        if self.sought && self.faults.again() {
            self.reassign();
            // It is told of here.
            if let Some(Event::Revoked(lane, epoch)) = self.events.pop_front() {
                return (lane, epoch);
            }
        }
        let (lane, epoch) = self.inner.hold().await;
        (lane, Epoch(epoch.0 + self.reassigned))
    }

    async fn done(&mut self, lane: Lane, epoch: Epoch, position: Position) -> Result<(), Fenced> {
        if self.assigned != Some((lane, epoch)) {
            return Err(Fenced(lane));
        }
        self.inner.done(lane, Epoch(epoch.0 - self.reassigned), position).await
    }
}
