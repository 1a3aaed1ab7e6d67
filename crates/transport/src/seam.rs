//! The types and traits of the seam.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use weir_model::{Incarnation, Signal};

/// What a batch covers of one source.
///
/// It says: for this signal and lane, every record of the incarnation that starts in `range` is in this batch, or was dropped with a
/// count. Whoever stored the range can therefore recognise the same records when they come again, in whatever grouping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub incarnation: Incarnation,
    /// Offsets in the source, in bytes; half open.
    pub range: Range<u64>,
    /// Every range below this offset was acknowledged to the sender: it will never be sent again.
    pub acked_below: u64,
}

/// An encoded OTLP export request with what the pipeline must know about it. Cloning is cheap: the body is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub signal: Signal,
    /// Empty for what has no offsets in a source: records that came by OTLP or Zipkin.
    pub origins: Vec<Origin>,
    /// Hash by which a transport with several lanes chooses one: of the source for logs, of the trace id for spans.
    pub route: u64,
    /// When the batch was made, in nanoseconds since the Unix epoch; absurd times are judged against its day, never against now.
    pub arrived: u64,
    /// An `Export{Logs,Trace,Metrics}ServiceRequest` that [`weir_model::otlp::validate`] accepts.
    pub body: Bytes,
}

/// One ordered part of a signal's log: a Kafka partition, or 0 for a disk log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    pub signal: Signal,
    pub partition: u32,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.signal, self.partition)
    }
}

/// Where a batch stands in its lane. Positions grow by one from batch to batch; a transport may leave holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

impl Position {
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which assignment of a lane to this process is meant; a later one fences those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// What a sender can do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendErrorKind {
    /// No room, or the peer is away: the same batch may be sent again after `after`.
    Retry { after: Duration },
    /// This batch will never be taken (too large, not decodable).
    Refused,
    /// Nothing will be taken until a person acts (not authorised, log damaged).
    Fatal,
    /// The transport is shutting down.
    Closed,
}

/// A batch that is not durable. It is handed back, so that the caller needs no copy to send it again.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    pub kind: SendErrorKind,
    /// What failed and what to do about it, for a person.
    pub message: String,
    pub batch: Box<Batch>,
}

/// Appends to the log.
///
/// # Contract
/// - `Ok` means durable: after any crash of either side the batch is delivered at least once.
/// - After `Err` the batch may or may not be in the log (a time-out does not tell): sending it again is safe, since what is stored
///   twice is recognised by its origins or identities.
/// - Calls may overlap. Batches of one caller that waits for each answer keep their order within a lane.
/// - Back-pressure is a slow answer or [`SendErrorKind::Retry`], never an unbounded queue.
/// - Dropping the future before it is done leaves it open whether the batch is sent.
#[async_trait]
pub trait Sender: Send + Sync {
    async fn send(&self, batch: Batch) -> Result<Position, SendError>;

    /// What keeps it from its peer, for a person, as far as that is known before the sends under way are answered. It may be over already: only a
    /// send that is not answered makes it worth telling.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// How many batches are worth having under way at a time, where they are small: by default enough that they do not wait for each other's disk sync.
    fn depth(&self) -> usize {
        16
    }
}

/// One sender for each signal.
#[derive(Clone)]
pub struct Senders {
    pub logs: Arc<dyn Sender>,
    pub spans: Arc<dyn Sender>,
    pub metrics: Arc<dyn Sender>,
}

impl Senders {
    pub fn of(&self, signal: Signal) -> &dyn Sender {
        match signal {
            Signal::Logs => self.logs.as_ref(),
            Signal::Spans => self.spans.as_ref(),
            Signal::Metrics => self.metrics.as_ref(),
        }
    }
}

/// Why a range of positions can't be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Damaged beyond reading.
    Corrupt,
    /// Removed by retention or a bound on bytes before it was read.
    Expired,
    /// The log was recreated and begins anew.
    Recreated,
}

/// What a receiver tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The lane is this process's from now on. It delivers nothing until [`Receiver::seek`] says from where.
    Assigned(Lane, Epoch),
    /// Batches in order of position, never empty.
    Data(Lane, Epoch, Vec<(Position, Batch)>),
    /// The lane is another's now: nothing further may be stored under this epoch.
    Revoked(Lane, Epoch),
    /// What stands at this position is no batch, now and ever: it belongs among the [dead letters](DeadLetters). Delivery goes on behind it.
    Poison(Lane, Epoch, Letter),
    /// These positions are lost; delivery goes on behind them. To be counted and shown.
    Gap(Lane, Range<Position>, Cause),
}

/// Something that can't be stored, as it came, with what a person needs to find out why and to send it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Where it stood.
    pub lane: Lane,
    pub position: Position,
    /// Why it can't be stored, for a person.
    pub cause: String,
    /// How many records it holds; 0 where it can't be read.
    pub records: u64,
    /// An OTLP request with the records that were refused, or what came in its place.
    pub body: Bytes,
    /// What [`envelope::write`](crate::envelope::write) made for it; as it came where it can't be read, and `None` where there was none.
    pub envelope: Option<Bytes>,
}

/// Keeps what can't be stored.
///
/// # Contract
/// - `Ok` means that all the letters are durable. Until then nothing behind them may be given back to the log.
/// - After `Err`, with a text for a person, the same call may be repeated: a letter may then be there twice.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    async fn put(&self, letters: &[Letter]) -> Result<(), String>;
}

/// The lane was revoked meanwhile; somebody else continues it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("lane {0} belongs to another process now")]
pub struct Fenced(pub Lane);

/// Reading failed.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Passing trouble; `next` may be called again.
    #[error("{0}")]
    Retry(String),
    /// Nothing more will come until a person acts.
    #[error("{0}")]
    Fatal(String),
    /// The transport was shut down.
    #[error("the transport is shut down")]
    Closed,
}

/// Reads the log.
///
/// # Contract
/// - `next` waits until there is something to tell; dropping its future loses nothing.
/// - After `Assigned(lane, epoch)` the owner calls `seek(lane, position)` once; then batches from `position` on come in order, each
///   position at most once per epoch. A position below the oldest kept one yields a [`Event::Gap`] first.
/// - `hold` is for an owner that can take nothing now, as when its store is away: it keeps the lanes this process's and nothing piles up. It ends
///   when a lane is taken away, of which [`Event::Revoked`] then does not tell; what is under way of it is not to be stored. Dropping its
///   future loses nothing, and the next `next` goes on delivering. A log that is one process's alone has nothing to do.
/// - `fenced(lane, epoch)` says that the owner was told by its store that the lane is another's now. A transport that knows better assigns it anew,
///   under a higher epoch; nothing of the old one comes after that.
/// - `done(lane, epoch, position)` says that everything below `position` is durable with the receiver's owner; the log may forget it.
#[async_trait]
pub trait Receiver: Send {
    async fn next(&mut self) -> Result<Event, ReceiveError>;
    async fn seek(&mut self, lane: Lane, position: Position) -> Result<(), ReceiveError>;
    async fn hold(&mut self) -> (Lane, Epoch) {
        std::future::pending().await
    }
    async fn done(&mut self, lane: Lane, epoch: Epoch, position: Position) -> Result<(), Fenced>;
    /// A log that is one process's alone has nobody to ask.
    async fn fenced(&mut self, _lane: Lane, _epoch: Epoch) {}
}
