//! What every transport must do: one battery that each engine's tests run.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use weir_model::otlp::{BodyWriter, LogWriter, MetricWriter, PointValue, SpanWriter};
use weir_model::{Incarnation, Signal, SpanId, TraceId, identity};

use crate::{
    Batch, DeadLetters, Event, Lane, Letter, Origin, Position, ReceiveError, Receiver, SendErrorKind, Sender,
};

/// How long a test waits for what must come. Generous: it is only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// A batch that is told apart by its number: one record, of up to 300 bytes, at offset `n * 10` of its source.
pub fn numbered(signal: Signal, n: u64) -> Batch {
    let incarnation = Incarnation(7);
    let text = "x".repeat((n as usize * 37) % 200);
    let mut body = BodyWriter::default();
    body.resource(|attrs| attrs.str(identity::INCARNATION, &incarnation.to_string()));
    body.scope("", "");
    body.record(|out| match signal {
        Signal::Logs => {
            let mut log = LogWriter::new(out);
            log.body(&text);
            log.attrs().int(identity::OFFSET, n as i64 * 10);
        }
        Signal::Spans => {
            let trace = TraceId::from_low(n + 1).expect("not zero");
            let mut span = SpanWriter::new(out, trace, SpanId::new((n + 1).to_be_bytes()).expect("not zero"));
            span.name(&text);
            span.attrs().int(identity::OFFSET, n as i64 * 10);
        }
        Signal::Metrics => {
            let point = |points: &mut weir_model::otlp::PointsWriter<'_>| {
                points.point(0, n, PointValue::Int(n as i64), |_| ());
            };
            MetricWriter::new(out, &text, "1").gauge(point);
        }
    });
    let origin = Origin { incarnation, range: n * 10..n * 10 + 10, acked_below: n * 10 };
    Batch { signal, origins: vec![origin], route: n, arrived: 1_000 + n, body: Bytes::from(body.finish()) }
}

/// The next event, as an owner reads it: what fails for passing reasons is tried again.
async fn event(receiver: &mut dyn Receiver) -> Event {
    loop {
        match tokio::time::timeout(PATIENCE, receiver.next()).await.expect("an event comes") {
            Err(ReceiveError::Retry(_)) => {}
            other => return other.expect("no error that stays"),
        }
    }
}

/// Sends as a caller does: what is refused for passing reasons is sent again.
async fn send(sender: &dyn Sender, mut batch: Batch) -> Position {
    loop {
        match tokio::time::timeout(PATIENCE, sender.send(batch)).await.expect("an answer comes") {
            Ok(position) => return position,
            Err(error) => {
                assert!(matches!(error.kind, SendErrorKind::Retry { .. }), "{error}");
                batch = *error.batch;
            }
        }
    }
}

async fn assigned(receiver: &mut dyn Receiver) -> Lane {
    match event(receiver).await {
        Event::Assigned(lane, _) => lane,
        other => panic!("expected an assignment, got {other:?}"),
    }
}

/// Reads `count` batches and checks that their positions grow by one.
pub async fn take(receiver: &mut dyn Receiver, count: usize) -> Vec<(Position, Batch)> {
    let mut all: Vec<(Position, Batch)> = Vec::new();
    while all.len() < count {
        match event(receiver).await {
            Event::Data(_, _, data) => {
                assert!(!data.is_empty(), "an event carries data");
                all.extend(data);
            }
            other => panic!("expected data, got {other:?}"),
        }
    }
    assert!(all.windows(2).all(|w| w[0].0 < w[1].0), "positions grow");
    all
}

/// Takes no letters: for who expects that nothing is refused.
#[derive(Debug, Clone, Copy)]
pub struct NoLetters;

#[async_trait]
impl DeadLetters for NoLetters {
    async fn put(&self, letters: &[Letter]) -> Result<(), String> {
        panic!("refused: {letters:?}");
    }
}

/// Runs the battery on a fresh, empty log, which may be behind a fault decorator of [`Rates::PASSING`](crate::faulty::Rates::PASSING). `receiver` opens a new receiver of the same log each time.
pub async fn run<R: Receiver>(signal: Signal, sender: &dyn Sender, receiver: impl Fn() -> R) {
    what_was_sent_comes_in_order(signal, sender, &receiver).await;
    any_position_can_be_read_again(signal, &receiver).await;
    a_waiting_reader_is_woken(signal, sender, &receiver).await;
    what_comes_while_held_comes_after_it(signal, sender, &receiver).await;
}

/// Leaves ten batches behind, numbered from 0.
async fn what_was_sent_comes_in_order<R: Receiver>(
    signal: Signal,
    sender: &dyn Sender,
    receiver: &impl Fn() -> R,
) {
    let mut last = None;
    for n in 0..10 {
        let position = send(sender, numbered(signal, n)).await;
        assert!(last < Some(position), "positions grow");
        last = Some(position);
    }
    let mut receiver = receiver();
    let lane = assigned(&mut receiver).await;
    assert_eq!(lane.signal, signal);
    receiver.seek(lane, Position(0)).await.expect("seek");
    for (n, (_, batch)) in take(&mut receiver, 10).await.into_iter().enumerate() {
        assert_eq!(batch, numbered(signal, n as u64), "what comes is what was sent");
    }
}

async fn any_position_can_be_read_again<R: Receiver>(signal: Signal, receiver: &impl Fn() -> R) {
    let mut first = receiver();
    let lane = assigned(&mut first).await;
    first.seek(lane, Position(0)).await.expect("seek");
    let all = take(&mut first, 10).await;
    for (n, (position, _)) in all.iter().enumerate() {
        let mut again = receiver();
        let lane = assigned(&mut again).await;
        again.seek(lane, *position).await.expect("seek");
        let part = take(&mut again, 10 - n).await;
        assert_eq!(part, all[n..], "reading {signal} again from {position} gives the same");
    }
}

async fn a_waiting_reader_is_woken<R: Receiver>(
    signal: Signal,
    sender: &dyn Sender,
    receiver: &impl Fn() -> R,
) {
    let mut receiver = receiver();
    let lane = assigned(&mut receiver).await;
    receiver.seek(lane, Position(0)).await.expect("seek");
    take(&mut receiver, 10).await;
    let (sent, got) = tokio::join!(send(sender, numbered(signal, 10)), take(&mut receiver, 1));
    assert_eq!(got, [(sent, numbered(signal, 10))]);
}

async fn what_comes_while_held_comes_after_it<R: Receiver>(
    signal: Signal,
    sender: &dyn Sender,
    receiver: &impl Fn() -> R,
) {
    let mut receiver = receiver();
    let lane = assigned(&mut receiver).await;
    receiver.seek(lane, Position(0)).await.expect("seek");
    take(&mut receiver, 11).await;
    tokio::select! {
        biased;
        taken = receiver.hold() => panic!("no lane is taken away, not {taken:?}"),
        _ = send(sender, numbered(signal, 11)) => {}
    }
    assert_eq!(take(&mut receiver, 1).await[0].1, numbered(signal, 11), "and goes on where it stood");
}
