//! Receiving: all partitions of a topic, or those that its group gives to this process, each from where its owner says.
//!
//! # Positions
//! The lower 48 bits are the message's offset, the upper 16 the *generation*: how often the topic was recreated as far as the owner met it.
//! An owner that wants to go on behind a partition's end has read another topic than this one; it is told of a gap and reads this one from its
//! beginning, at positions that are higher than all before. Were the new topic's offsets positions as they are, the owner would take them for
//! what it has already.
//!
//! What can't be seen: a topic that is recreated while nobody reads it, and has grown beyond the old position by then. What lies before is then
//! skipped. Purge a topic with `kafka-delete-records`, or stop, move the store away, and begin anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use weir_model::Signal;
use weir_model::otlp::validate;
use weir_transport::{
    Batch, Cause, Epoch, Event, Fenced, Lane, Letter, Position, ReceiveError, Receiver, SendErrorKind,
    envelope,
};

use crate::ENVELOPE;
use crate::client::{Context, Problem, RETRY, Shared, kind};
use crate::group::{self, Assignment, Member, Rebalance};
use crate::topics::{self, Topic};

/// Bits of a position that are the offset.
const OFFSET_BITS: u32 = 48;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;
/// Bytes of bodies that are taken before they are delivered, unless one message alone is larger.
const EVENT_BYTES: usize = 4 << 20;
const NANOS_PER_MILLI: u64 = 1_000_000;
/// Of partitions that are assigned outright, once.
const OUTRIGHT: Epoch = Epoch(1);

/// The message's offset of a position.
pub(crate) fn offset(position: Position) -> u64 {
    position.0 & OFFSET_MASK
}

type Watermarks = Vec<(u32, i64, i64)>;

/// A partition that the owner was told of.
struct Held {
    epoch: Epoch,
    /// `None` until the owner has said from where; then the next position to be delivered.
    next: Option<Position>,
}

/// Reads the topic of one signal.
pub struct KafkaReceiver {
    signal: Signal,
    topic: String,
    shared: Arc<Shared>,
    consumer: Arc<StreamConsumer<Context>>,
    context: Context,
    /// By partition.
    lanes: BTreeMap<u32, Held>,
    /// `None` where partitions are assigned outright.
    member: Option<Member>,
    /// How many partitions the topic had at the last look; 0 before the first.
    partitions: u32,
    events: VecDeque<Event>,
    /// How many partitions there are, whenever that is looked at.
    found: mpsc::Receiver<Result<u32, Problem>>,
    looking: JoinHandle<()>,
    /// Which offsets the brokers have, asked when one was out of range.
    checking: Option<JoinHandle<Result<Watermarks, KafkaError>>>,
}

impl KafkaReceiver {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        signal: Signal,
        topic: Topic,
        assignment: Assignment,
    ) -> Result<Self, KafkaError> {
        let (settings, context, member) = match assignment {
            Assignment::All => (shared.config.consumer(), Context::default(), None),
            Assignment::Shared(epochs) => {
                let (member, coordinator) = Member::new(epochs);
                (shared.config.member(), Context::of_group(coordinator), Some(member))
            }
        };
        let consumer = settings.create_with_context(context.clone())?;
        let (tell, found) = mpsc::channel(1);
        let looking = tokio::spawn(look(shared.clone(), topic.name.clone(), tell));
        Ok(Self {
            signal,
            topic: topic.name,
            shared: shared.clone(),
            consumer: Arc::new(consumer),
            context,
            lanes: BTreeMap::new(),
            member,
            partitions: 0,
            events: VecDeque::new(),
            found,
            looking,
            checking: None,
        })
    }

    fn lane(&self, partition: u32) -> Lane {
        Lane { signal: self.signal, partition }
    }

    /// Partitions that are new become lanes, here or wherever the group sends them.
    fn grow(&mut self, partitions: u32) -> Result<(), ReceiveError> {
        let before = std::mem::replace(&mut self.partitions, partitions);
        if partitions > before && before > 0 {
            tracing::info!(
                topic = self.topic,
                before,
                now = partitions,
                "the topic has more partitions; the new ones are read from their beginning"
            );
        }
        if partitions < before {
            tracing::warn!(
                topic = self.topic,
                before,
                now = partitions,
                "the topic has fewer partitions: it was recreated"
            );
        }
        match &mut self.member {
            None => {
                let new = (0..partitions).filter(|partition| !self.lanes.contains_key(partition));
                self.announce(new.collect(), OUTRIGHT);
            }
            Some(member) if !member.joined => {
                member.joined = true;
                self.consumer.subscribe(&[&self.topic]).map_err(|error| {
                    ReceiveError::Fatal(format!(
                        "can't join the group `{}`: {error}",
                        self.shared.config.group
                    ))
                })?;
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn announce(&mut self, partitions: BTreeSet<u32>, epoch: Epoch) {
        for partition in partitions {
            self.lanes.insert(partition, Held { epoch, next: None });
            self.events.push_back(Event::Assigned(self.lane(partition), epoch));
        }
    }

    /// What has come of a lane and was not taken yet is no longer the owner's.
    fn forget(&mut self, lane: Lane) {
        let is_of = |event: &Event| matches!(event, Event::Data(of, ..) | Event::Poison(of, ..) | Event::Gap(of, ..) if *of == lane);
        self.events.retain(|event| !is_of(event));
    }

    /// The group gives partitions to this process, or takes them away.
    fn rebalanced(&mut self, news: Rebalance) {
        let Some(member) = &mut self.member else { return };
        match news {
            Rebalance::Given(partitions) => member.given.extend(partitions),
            Rebalance::Taken(partitions) => {
                member.given.retain(|given| !partitions.contains(given));
                member.taken.get_or_insert_default().extend(&partitions);
                for partition in partitions {
                    if let Some(held) = self.lanes.get(&partition) {
                        let (lane, epoch) = (self.lane(partition), held.epoch);
                        self.forget(lane);
                        self.events.push_back(Event::Revoked(lane, epoch));
                    }
                }
            }
        }
    }

    /// Lets others have what was taken away; its owner knows.
    fn give_up(&mut self, partitions: BTreeSet<u32>) {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            self.lanes.remove(&partition);
            list.add_partition(&self.topic, partition as i32);
        }
        if let Err(error) = group::give_up(self.consumer.as_ref(), &list) {
            tracing::warn!(topic = self.topic, %error, "partitions can't be given up");
        }
    }

    /// Settles what the group has given or taken away. True when there was something.
    async fn settle(&mut self) -> Result<bool, ReceiveError> {
        let Some(member) = &mut self.member else { return Ok(false) };
        if let Some(taken) = member.taken.take() {
            self.give_up(taken);
            return Ok(true);
        }
        if member.given.is_empty() {
            return Ok(false);
        }
        let epoch = member.epochs.next().await.map_err(|error| {
            ReceiveError::Retry(format!("the store gives no number to an assignment: {error}"))
        })?;
        let given = std::mem::take(&mut member.given);
        tracing::info!(topic = self.topic, partitions = ?given, epoch = epoch.0, "assigned");
        self.announce(given, epoch);
        Ok(true)
    }

    /// Takes a message, and what has come behind it already.
    fn take(&mut self, message: BorrowedMessage<'_>) -> Result<(), ReceiveError> {
        self.context.all_is_well();
        let mut bytes = message.payload_len();
        self.deliver(&message);
        drop(message);
        let consumer = self.consumer.clone();
        while bytes < EVENT_BYTES {
            match consumer.recv().now_or_never() {
                Some(Ok(message)) => {
                    bytes += message.payload_len();
                    self.deliver(&message);
                }
                Some(Err(error)) => return self.failed(error),
                None => break,
            }
        }
        Ok(())
    }

    fn deliver(&mut self, message: &BorrowedMessage<'_>) {
        let (partition, offset) = (message.partition() as u32, message.offset().max(0) as u64);
        let lane = self.lane(partition);
        let Some(Held { epoch, next: Some(next) }) = self.lanes.get_mut(&partition) else { return };
        let epoch = *epoch;
        let position = Position(next.0 & !OFFSET_MASK | offset & OFFSET_MASK);
        if position < *next {
            return;
        }
        *next = position.next();
        match batch(self.signal, message) {
            Ok(batch) => match self.events.back_mut() {
                Some(Event::Data(last, _, data)) if *last == lane => data.push((position, batch)),
                _ => self.events.push_back(Event::Data(lane, epoch, vec![(position, batch)])),
            },
            Err(cause) => {
                let letter = Letter {
                    lane,
                    position,
                    cause,
                    records: 0,
                    body: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
                    envelope: sealed(message).map(Bytes::copy_from_slice),
                };
                self.events.push_back(Event::Poison(lane, epoch, letter));
            }
        }
    }

    /// What an error of the consumer means.
    fn failed(&mut self, error: KafkaError) -> Result<(), ReceiveError> {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange => {
                self.check();
                Ok(())
            }
            Code::PartitionEOF => Ok(()),
            Code::TopicAuthorizationFailed => Err(ReceiveError::Fatal(format!(
                "{} may not read the topic `{}` at {}: grant Read on it",
                self.shared.user(),
                self.topic,
                self.shared.config.names()
            ))),
            Code::GroupAuthorizationFailed => Err(ReceiveError::Fatal(format!(
                "{} may not use the group `{}` at {}: grant Read on it, or name another in `kafka.group`",
                self.shared.user(),
                self.shared.config.group,
                self.shared.config.names()
            ))),
            // Which of them, and why, is told beside it.
            Code::Authentication
            | Code::SSL
            | Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::Resolve => {
                let Problem { kind, message } = self.shared.away(&self.context, code);
                Err(match kind {
                    SendErrorKind::Fatal => ReceiveError::Fatal(message),
                    _ => ReceiveError::Retry(message),
                })
            }
            _ => {
                let (topic, brokers) = (&self.topic, self.shared.config.names());
                let message = format!("the topic `{topic}` at {brokers} can't be read: {code}");
                Err(match kind(code) {
                    SendErrorKind::Fatal => ReceiveError::Fatal(message),
                    _ => ReceiveError::Retry(message),
                })
            }
        }
    }

    /// Asks which offsets there are of all lanes.
    fn check(&mut self) {
        if self.checking.is_some() {
            return;
        }
        let (consumer, topic) = (self.consumer.clone(), self.topic.clone());
        let partitions: Vec<u32> = self
            .lanes
            .iter()
            .filter(|(_, held)| held.next.is_some())
            .map(|(partition, _)| *partition)
            .collect();
        let timeout = self.shared.config.answer_timeout();
        self.checking = Some(tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            for partition in partitions {
                let (low, high) = consumer.fetch_watermarks(&topic, partition as i32, timeout)?;
                all.push((partition, low, high));
            }
            Ok(all)
        }));
    }

    fn ask_again(&mut self, error: &dyn std::error::Error) -> ReceiveError {
        self.check();
        let (brokers, topic) = (self.shared.config.names(), &self.topic);
        ReceiveError::Retry(format!("Kafka at {brokers} does not tell which offsets `{topic}` has: {error}"))
    }

    /// Goes on where there is something, and tells what is not there any more.
    fn checked(&mut self, watermarks: Watermarks) -> Result<(), ReceiveError> {
        for (partition, low, high) in watermarks {
            let lane = self.lane(partition);
            let Some(Held { next: Some(next), .. }) = self.lanes.get_mut(&partition) else { continue };
            let (low, high) = (low.max(0) as u64, high.max(0) as u64);
            let (offset, generation) = (next.0 & OFFSET_MASK, next.0 >> OFFSET_BITS);
            let gap = if offset < low {
                Some((Position(generation << OFFSET_BITS | low), Cause::Expired))
            } else if offset > high {
                Some((Position((generation + 1) << OFFSET_BITS | low), Cause::Recreated))
            } else {
                None
            };
            if let Some((from, cause)) = gap {
                self.events.push_back(Event::Gap(lane, *next..from, cause));
                *next = from;
            }
            // Also where nothing is missing: which of them the error was about is not told.
            let from = *next;
            self.assign(partition, from)?;
        }
        Ok(())
    }

    /// Has a partition delivered from a position.
    fn assign(&self, partition: u32, from: Position) -> Result<(), ReceiveError> {
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset((from.0 & OFFSET_MASK) as i64);
        let added = list.add_partition_offset(&self.topic, partition as i32, offset);
        let mut bare = TopicPartitionList::new();
        bare.add_partition(&self.topic, partition as i32);
        let assigned = self
            .consumer
            .assignment()
            .is_ok_and(|now| now.find_partition(&self.topic, partition as i32).is_some());
        let again = if assigned { self.consumer.incremental_unassign(&bare) } else { Ok(()) };
        added.and(again).and_then(|()| self.consumer.incremental_assign(&list)).map_err(|error| {
            ReceiveError::Fatal(format!(
                "partition {partition} of `{}` can't be assigned: {error}",
                self.topic
            ))
        })
    }
}

/// What a message carries in the header for it.
fn sealed<'a>(message: &'a BorrowedMessage<'_>) -> Option<&'a [u8]> {
    message.headers()?.iter().find(|header| header.key == ENVELOPE)?.value
}

/// What a message holds.
fn batch(signal: Signal, message: &BorrowedMessage<'_>) -> Result<Batch, String> {
    let body = Bytes::copy_from_slice(message.payload().ok_or("it is empty")?);
    let batch = match sealed(message) {
        Some(sealed) => envelope::read(signal, body, sealed)
            .map_err(|error| format!("its envelope is damaged: {error}"))?,
        None => {
            let arrived =
                message.timestamp().to_millis().map_or(0, |millis| millis.max(0) as u64 * NANOS_PER_MILLI);
            Batch { signal, origins: Vec::new(), route: 0, arrived, body }
        }
    };
    validate(signal, &batch.body).map_err(|error| error.to_string())?;
    Ok(batch)
}

/// Tells how many partitions a topic has, at once and now and then.
async fn look(shared: Arc<Shared>, topic: String, tell: mpsc::Sender<Result<u32, Problem>>) {
    loop {
        let found = topics::look(&shared, &topic).await;
        let wait = if found.is_ok() { shared.config.refresh.0 } else { RETRY.min(shared.config.refresh.0) };
        if tell.send(found.map(|layout| layout.partitions)).await.is_err() {
            return;
        }
        tokio::time::sleep(wait.max(Duration::from_millis(10))).await;
    }
}

impl Drop for KafkaReceiver {
    fn drop(&mut self) {
        self.looking.abort();
        if let Some(member) = &mut self.member {
            member.leave();
            if let Some(taken) = member.taken.take() {
                self.give_up(taken);
            }
        }
    }
}

#[async_trait]
impl Receiver for KafkaReceiver {
    async fn next(&mut self) -> Result<Event, ReceiveError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            if self.settle().await? {
                continue;
            }
            let consumer = self.consumer.clone();
            let checked = async {
                match &mut self.checking {
                    Some(checking) => checking.await,
                    None => std::future::pending().await,
                }
            };
            let news = async {
                match &mut self.member {
                    Some(member) => member.news.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(news) = news => self.rebalanced(news),
                Some(found) = self.found.recv() => match found {
                    Ok(partitions) => self.grow(partitions)?,
                    Err(Problem { kind: SendErrorKind::Fatal, message }) => return Err(ReceiveError::Fatal(message)),
                    Err(problem) => return Err(ReceiveError::Retry(problem.message)),
                },
                answer = checked => {
                    self.checking = None;
                    match answer {
                        Ok(Ok(watermarks)) => self.checked(watermarks)?,
                        Ok(Err(error)) => return Err(self.ask_again(&error)),
                        Err(error) => return Err(self.ask_again(&error)),
                    }
                }
                message = consumer.recv() => match message {
                    Ok(message) => self.take(message)?,
                    Err(error) => self.failed(error)?,
                },
            }
        }
    }

    async fn seek(&mut self, lane: Lane, position: Position) -> Result<(), ReceiveError> {
        let Some(held) = self.lanes.get_mut(&lane.partition).filter(|_| lane.signal == self.signal) else {
            return Err(ReceiveError::Fatal(format!("{lane} is no lane of the topic `{}`", self.topic)));
        };
        held.next = Some(position);
        self.forget(lane);
        self.assign(lane.partition, position)
    }

    async fn pause(&mut self, lane: Lane, paused: bool) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, lane.partition as i32);
        let done = if paused { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        if let Err(error) = done {
            tracing::warn!(%lane, paused, %error, "a partition can't be paused or resumed");
        }
    }

    async fn done(&mut self, lane: Lane, epoch: Epoch, position: Position) -> Result<(), Fenced> {
        if self.lanes.get(&lane.partition).is_none_or(|held| held.epoch != epoch) {
            return Err(Fenced(lane));
        }
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset((position.0 & OFFSET_MASK) as i64);
        let committed = list
            .add_partition_offset(&self.topic, lane.partition as i32, offset)
            .and_then(|()| self.consumer.commit(&list, CommitMode::Async));
        if let Err(error) = committed {
            tracing::debug!(%lane, %error, "the group's offset can't be committed; the store has its own");
        }
        Ok(())
    }

    async fn fenced(&mut self, lane: Lane, epoch: Epoch) {
        // The group's word counts: where the lane is another's, it is about to be taken away.
        let Some(member) = &mut self.member else { return };
        if self.lanes.get(&lane.partition).is_none_or(|held| held.epoch != epoch) {
            return;
        }
        if member.taken.as_ref().is_none_or(|taken| !taken.contains(&lane.partition)) {
            member.given.insert(lane.partition);
        }
        self.lanes.remove(&lane.partition);
        self.forget(lane);
    }
}
