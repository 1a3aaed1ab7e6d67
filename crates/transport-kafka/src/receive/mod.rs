//! Receiving: all partitions of a topic, or those that its group gives to this process, each from where its owner says.

mod look;
mod members;
mod messages;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use weir_model::Signal;
use weir_transport::{Cause, Epoch, Event, Fenced, Lane, Position, ReceiveError, Receiver};

use self::look::{Found, Watermarks, error, look};
use crate::client::{Context, Problem, Shared};
use crate::generation::{Generations, beginning, offset};
use crate::group::{Assignment, Member};
use crate::topics::Topic;

/// An owner that has taken nothing for so long, and not for more than this part of the time after which a group takes a process that does not
/// ask for dead, holds deliveries back. Not sooner: what librdkafka has fetched ahead is then fetched again.
const HOLD_AFTER: Duration = Duration::from_secs(30);
const HOLD_PART: u32 = 3;
/// Of partitions that are assigned outright, once.
const OUTRIGHT: Epoch = Epoch(1);

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
        // One that was taken away while deliveries were held back is paused still: librdkafka remembers that.
        let assigned = added.and(again).and_then(|()| self.consumer.incremental_assign(&list));
        assigned.and_then(|()| self.consumer.resume(&bare)).map_err(|error| {
            ReceiveError::Fatal(format!(
                "partition {partition} of `{}` can't be assigned: {error}",
                self.topic
            ))
        })
    }
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
