//! Receiving: all partitions of a topic, or those that its group gives to this process, each from where its owner says.
//!
//! # Recreated topics
//! A topic that was deleted and made anew is known by its id, which is looked at before the first message is read, every `refresh`, and whenever
//! brokers answer strangely. Its messages have positions above all before ([`generation`]), so that its owner does not take them for what it has;
//! each of its lanes is told of a gap, since what was in the old topic and not read is lost; lanes that the new one has not are taken away. The
//! consumer is replaced, as librdkafka goes on at the old offset, or waits for a leader's epoch that the new topic will not have for long.
//!
//! What can't be seen: messages that are read between the recreation and the look that finds it out. They are read again.

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
use tokio::time::Instant;
use weir_model::Signal;
use weir_model::otlp::validate;
use weir_transport::{
    Batch, Cause, Epoch, Event, Fenced, Lane, Letter, Position, ReceiveError, Receiver, SendErrorKind,
    envelope,
};

use crate::ENVELOPE;
use crate::client::{Context, Problem, RETRY, Shared, kind};
use crate::generation::{Generation, Generations, after_loss, at, beginning, generation, offset};
use crate::group::{self, Assignment, Member, Rebalance};
use crate::topics::{self, Topic};

/// Bytes of bodies that are taken before they are delivered, unless one message alone is larger.
const EVENT_BYTES: usize = 4 << 20;
const NANOS_PER_MILLI: u64 = 1_000_000;
/// An owner that has taken nothing for so long, and not for more than this part of the time after which a group takes a process that does not
/// ask for dead, holds deliveries back. Not sooner: what librdkafka has fetched ahead is then fetched again.
const HOLD_AFTER: Duration = Duration::from_secs(30);
const HOLD_PART: u32 = 3;
/// Of partitions that are assigned outright, once.
const OUTRIGHT: Epoch = Epoch(1);

/// By partition: from where it was to go on when they were asked for, the first offset, and that behind the last.
type Watermarks = Vec<(u32, Position, i64, i64)>;

/// What a look at the topic found.
#[derive(Debug, Clone, Copy)]
struct Found {
    partitions: u32,
    generation: Generation,
}

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
    assignment: Assignment,
    generations: Arc<dyn Generations>,
    consumer: Arc<StreamConsumer<Context>>,
    context: Context,
    /// The consumer before it, until it is dropped.
    retired: Option<Arc<StreamConsumer<Context>>>,
    /// By partition.
    lanes: BTreeMap<u32, Held>,
    /// `None` where partitions are assigned outright.
    member: Option<Member>,
    /// How many partitions the topic had at the last look; 0 before the first.
    partitions: u32,
    /// The topic's, as of the last look.
    generation: u64,
    /// It was found out at the first look that the topic was recreated.
    begins_anew: bool,
    events: VecDeque<Event>,
    /// When messages were last asked for, by `next` or `hold`.
    asked: Instant,
    /// Deliveries are held back: all partitions are paused.
    holding: bool,
    /// What failed while they were.
    failure: Option<ReceiveError>,
    /// What the topic is like, whenever that is looked at.
    found: mpsc::Receiver<Result<Found, Problem>>,
    looking: JoinHandle<()>,
    /// What the topic is like and which offsets the brokers have, asked when something was not as expected.
    checking: Option<JoinHandle<Result<(Found, Watermarks), Problem>>>,
}

impl KafkaReceiver {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        signal: Signal,
        topic: Topic,
        assignment: Assignment,
        generations: Arc<dyn Generations>,
    ) -> Result<Self, KafkaError> {
        let (consumer, context, member) = connect(shared, &assignment)?;
        let (tell, found) = mpsc::channel(1);
        let looking = tokio::spawn(look(shared.clone(), topic.name.clone(), generations.clone(), tell));
        Ok(Self {
            signal,
            topic: topic.name,
            shared: shared.clone(),
            assignment,
            generations,
            consumer,
            context,
            retired: None,
            lanes: BTreeMap::new(),
            member,
            partitions: 0,
            generation: 0,
            begins_anew: false,
            events: VecDeque::new(),
            asked: Instant::now(),
            holding: false,
            failure: None,
            found,
            looking,
            checking: None,
        })
    }

    fn lane(&self, partition: u32) -> Lane {
        Lane { signal: self.signal, partition }
    }

    /// Takes over what a look has found.
    fn looked(&mut self, Found { partitions, generation }: Found) -> Result<(), ReceiveError> {
        let before = std::mem::replace(&mut self.partitions, partitions);
        if generation.number > std::mem::replace(&mut self.generation, generation.number) {
            match before {
                // Each lane is told of when it is known how far it was.
                0 => self.begins_anew = generation.is_news,
                _ => self.recreated()?,
            }
        } else if partitions > before && before > 0 {
            tracing::info!(
                topic = self.topic,
                before,
                now = partitions,
                "the topic has more partitions; the new ones are read from their beginning"
            );
        }
        self.grow()
    }

    /// Begins anew with a topic that has nothing but its name in common with the one that was read.
    fn recreated(&mut self) -> Result<(), ReceiveError> {
        let (consumer, context, member) = connect(&self.shared, &self.assignment)
            .map_err(|error| ReceiveError::Fatal(format!("there is no new consumer: {error}")))?;
        self.leave();
        self.retired = Some(std::mem::replace(&mut self.consumer, consumer));
        (self.context, self.member) = (context, member);
        let kept = if self.member.is_some() { 0 } else { self.partitions };
        let mut gone = self.lanes.split_off(&kept);
        for (partition, held) in self.lanes.iter_mut().chain(&mut gone) {
            // Whoever the group gives it to is told then.
            if self.member.is_some() && *partition < self.partitions {
                continue;
            }
            if let Some(next) = held.next.filter(|next| generation(*next) < self.generation) {
                let (lane, from) =
                    (Lane { signal: self.signal, partition: *partition }, beginning(self.generation));
                self.events.push_back(Event::Gap(lane, next..from, Cause::Recreated));
                held.next = Some(from);
            }
        }
        // The group, or a topic that grows, may give them again.
        for (partition, held) in gone {
            self.events.push_back(Event::Revoked(self.lane(partition), held.epoch));
        }
        let read: Vec<_> = self.lanes.iter().filter_map(|(at, held)| Some((*at, held.next?))).collect();
        read.into_iter().try_for_each(|(partition, from)| self.assign(partition, from))
    }

    /// Partitions that are new become lanes, here or wherever the group sends them.
    fn grow(&mut self) -> Result<(), ReceiveError> {
        match &mut self.member {
            None => {
                let new = (0..self.partitions).filter(|partition| !self.lanes.contains_key(partition));
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

    /// Stops deliveries of all partitions that are read, or goes on with them.
    fn set_holding(&mut self, hold: bool) {
        let read = self.consumer.assignment();
        let done =
            read.and_then(|read| if hold { self.consumer.pause(&read) } else { self.consumer.resume(&read) });
        match done {
            Ok(()) => {
                self.holding = hold;
                tracing::debug!(topic = self.topic, hold, "deliveries are held back, or go on");
            }
            Err(error) => {
                tracing::warn!(topic = self.topic, hold, %error, "partitions can't be paused or resumed")
            }
        }
    }

    /// A lane that was taken away and of which its owner was not told yet.
    fn revoked(&mut self) -> Option<(Lane, Epoch)> {
        let at = self.events.iter().position(|event| matches!(event, Event::Revoked(..)))?;
        match self.events.remove(at) {
            Some(Event::Revoked(lane, epoch)) => Some((lane, epoch)),
            _ => None,
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

    /// Gives back to the group what it has taken away already.
    fn leave(&mut self) {
        if let Some(member) = &mut self.member {
            member.leave();
            if let Some(taken) = member.taken.take() {
                self.give_up(taken);
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
        let position = at(offset, *next);
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
            // It may be another one soon.
            Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition => {
                self.check();
                let (topic, brokers) = (&self.topic, self.shared.config.names());
                Err(ReceiveError::Retry(format!(
                    "the topic `{topic}` at {brokers} can't be read now: {code}"
                )))
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

    /// Asks what the topic is like, and which offsets there are of all lanes.
    fn check(&mut self) {
        if self.checking.is_some() {
            return;
        }
        let (shared, generations) = (self.shared.clone(), self.generations.clone());
        let (consumer, topic) = (self.consumer.clone(), self.topic.clone());
        let read = self.lanes.iter().filter_map(|(partition, held)| Some((*partition, held.next?)));
        let partitions: Vec<(u32, Position)> = read.collect();
        let timeout = self.shared.config.answer_timeout();
        self.checking = Some(tokio::spawn(async move {
            let found = look_once(&shared, &topic, generations.as_ref()).await?;
            let brokers = shared.config.names();
            let untold = |error: &dyn std::error::Error| Problem {
                kind: SendErrorKind::Retry { after: RETRY },
                message: format!("Kafka at {brokers} does not tell which offsets `{topic}` has: {error}"),
            };
            let asked = tokio::task::spawn_blocking({
                let topic = topic.clone();
                move || {
                    let there = partitions.into_iter().filter(|(partition, _)| *partition < found.partitions);
                    let ask = |(partition, next): (u32, Position)| {
                        let (low, high) = consumer.fetch_watermarks(&topic, partition as i32, timeout)?;
                        Ok((partition, next, low, high))
                    };
                    there.map(ask).collect::<Result<Watermarks, KafkaError>>()
                }
            });
            match asked.await {
                Ok(Ok(watermarks)) => Ok((found, watermarks)),
                Ok(Err(error)) => Err(untold(&error)),
                Err(error) => Err(untold(&error)),
            }
        }));
    }

    /// Goes on where there is something, and tells what is not there any more.
    fn checked(&mut self, watermarks: Watermarks) -> Result<(), ReceiveError> {
        for (partition, asked, low, high) in watermarks {
            let lane = self.lane(partition);
            let Some(Held { next: Some(next), .. }) = self.lanes.get_mut(&partition) else { continue };
            // What was read since then says that nothing is wrong, and may be more than there was.
            if *next != asked {
                continue;
            }
            let (low, high) = (low.max(0) as u64, high.max(0) as u64);
            let gap = if offset(*next) < low {
                Some((at(low, *next), Cause::Expired))
            } else if offset(*next) > high {
                // The same topic without its end, as after an unclean election; or brokers that give topics no ids.
                Some((after_loss(low, *next), Cause::Recreated))
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
        let offset = Offset::Offset(offset(from) as i64);
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

type Connected = (Arc<StreamConsumer<Context>>, Context, Option<Member>);

/// A consumer that reads nothing yet.
fn connect(shared: &Shared, assignment: &Assignment) -> Result<Connected, KafkaError> {
    let (settings, context, member) = match assignment {
        Assignment::All => (shared.config.consumer(), Context::default(), None),
        Assignment::Shared(epochs) => {
            let (member, coordinator) = Member::new(epochs.clone());
            (shared.config.member(), Context::of_group(coordinator), Some(member))
        }
    };
    let consumer = settings.create_with_context(context.clone())?;
    Ok((Arc::new(consumer), context, member))
}

/// What the topic is like, and which generation it is.
async fn look_once(
    shared: &Arc<Shared>,
    topic: &str,
    generations: &dyn Generations,
) -> Result<Found, Problem> {
    let layout = topics::look(shared, topic).await?;
    let generation = match layout.id {
        Some(id) => generations.of(topic, id).await.map_err(|error| Problem {
            kind: SendErrorKind::Retry { after: RETRY },
            message: format!("the store does not tell which topic `{topic}` was read before: {error}"),
        })?,
        None => Generation { number: 0, is_news: false },
    };
    Ok(Found { partitions: layout.partitions, generation })
}

/// Tells what the topic is like, at once and now and then.
async fn look(
    shared: Arc<Shared>,
    topic: String,
    generations: Arc<dyn Generations>,
    tell: mpsc::Sender<Result<Found, Problem>>,
) {
    loop {
        let found = look_once(&shared, &topic, generations.as_ref()).await;
        let wait = if found.is_ok() { shared.config.refresh.0 } else { RETRY.min(shared.config.refresh.0) };
        if tell.send(found).await.is_err() {
            return;
        }
        tokio::time::sleep(wait.max(Duration::from_millis(10))).await;
    }
}

/// What a problem is to whoever receives.
fn error(problem: Problem) -> ReceiveError {
    match problem.kind {
        SendErrorKind::Fatal => ReceiveError::Fatal(problem.message),
        _ => ReceiveError::Retry(problem.message),
    }
}

impl Drop for KafkaReceiver {
    fn drop(&mut self) {
        self.looking.abort();
        self.leave();
    }
}

#[async_trait]
impl Receiver for KafkaReceiver {
    async fn next(&mut self) -> Result<Event, ReceiveError> {
        loop {
            if let Some(retired) = self.retired.take() {
                // It takes leave of its group, and waits for an answer.
                tokio::task::spawn_blocking(move || drop(retired));
            }
            if self.holding {
                self.set_holding(false);
            }
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            self.asked = Instant::now();
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
                Some(found) = self.found.recv() => self.looked(found.map_err(error)?)?,
                answer = checked => {
                    self.checking = None;
                    match answer.map_err(|error| ReceiveError::Retry(error.to_string()))? {
                        // What was asked of the topic before is none of this one's.
                        Ok((found, _)) if found.generation.number > self.generation => self.looked(found)?,
                        Ok((found, watermarks)) => {
                            self.looked(found)?;
                            self.checked(watermarks)?;
                        }
                        Err(problem) => {
                            self.check();
                            return Err(error(problem));
                        }
                    }
                }
                message = consumer.recv() => match message {
                    Ok(message) => self.take(message)?,
                    Err(error) => self.failed(error)?,
                },
            }
            self.asked = Instant::now();
        }
    }

    async fn seek(&mut self, lane: Lane, position: Position) -> Result<(), ReceiveError> {
        let Some(held) = self.lanes.get_mut(&lane.partition).filter(|_| lane.signal == self.signal) else {
            return Err(ReceiveError::Fatal(format!("{lane} is no lane of the topic `{}`", self.topic)));
        };
        let first = beginning(self.generation);
        let from = position.max(first);
        held.next = Some(from);
        self.forget(lane);
        // Of a lane of which nothing was read nobody knows what was in it, nor whether that was told of before.
        if position < first && (position > Position::default() || self.begins_anew) {
            self.events.push_back(Event::Gap(lane, position..from, Cause::Recreated));
        }
        self.assign(lane.partition, from)
    }

    async fn hold(&mut self) -> (Lane, Epoch) {
        tokio::time::sleep_until(self.asked + HOLD_AFTER.min(self.shared.config.poll_interval() / HOLD_PART))
            .await;
        if !self.holding {
            self.set_holding(true);
        }
        loop {
            if let Some(revoked) = self.revoked() {
                return revoked;
            }
            if let Some(taken) = self.member.as_mut().and_then(|member| member.taken.take()) {
                self.give_up(taken);
            }
            let consumer = self.consumer.clone();
            let news = async {
                match &mut self.member {
                    Some(member) => member.news.recv().await,
                    None => std::future::pending().await,
                }
            };
            let came = tokio::select! {
                biased;
                Some(news) = news => {
                    self.rebalanced(news);
                    Ok(())
                }
                // Some that were under way when deliveries were to stop.
                message = consumer.recv() => match message {
                    Ok(message) => self.take(message),
                    Err(error) => self.failed(error),
                },
            };
            if let Err(error) = came {
                self.failure = Some(error);
            }
        }
    }

    async fn done(&mut self, lane: Lane, epoch: Epoch, position: Position) -> Result<(), Fenced> {
        if self.lanes.get(&lane.partition).is_none_or(|held| held.epoch != epoch) {
            return Err(Fenced(lane));
        }
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(offset(position) as i64);
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
