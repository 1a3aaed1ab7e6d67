//! Looking at a topic: how many partitions it has, whether it is the one that was read, and which offsets there are.
//!
//! A topic that was deleted and made anew is known by its id, which is looked at before the first message is read, every `refresh`, and whenever
//! brokers answer strangely. Its messages have positions above all before ([`generation`]), so that its owner does not take them for what it has;
//! each of its lanes is told of a gap, since what was in the old topic and not read is lost; lanes that the new one has not are taken away. The
//! consumer is replaced, as librdkafka goes on at the old offset, or waits for a leader's epoch that the new topic will not have for long.
//!
//! What can't be seen: messages that are read between the recreation and the look that finds it out. They are read again.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use tokio::sync::mpsc;
use weir_runtime::Trouble;
use weir_transport::{Cause, Event, Lane, Position, ReceiveError, SendErrorKind};

use super::{Held, KafkaReceiver, OUTRIGHT, connect};
use crate::client::{Problem, RETRY, Shared};
use crate::generation::{Generation, Generations, after_loss, at, beginning, generation, offset};
use crate::topics;

/// By partition: from where it was to go on when they were asked for, the first offset, and that behind the last.
pub(super) type Watermarks = Vec<(u32, Position, i64, i64)>;

/// What a look at the topic found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) partitions: u32,
    pub(super) generation: Generation,
}

impl KafkaReceiver {
    /// Takes over what a look has found.
    pub(super) fn looked(&mut self, Found { partitions, generation }: Found) -> Result<(), ReceiveError> {
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
    pub(super) fn recreated(&mut self) -> Result<(), ReceiveError> {
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
    pub(super) fn grow(&mut self) -> Result<(), ReceiveError> {
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

    /// Asks what the topic is like, and which offsets there are of all lanes.
    pub(super) fn check(&mut self) {
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
    pub(super) fn checked(&mut self, watermarks: Watermarks) -> Result<(), ReceiveError> {
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

/// Tells what the topic is like, at once and now and then. What was found is read on where a later look fails, unless a person must act, so the log alone
/// is told of that: who receives may be busy, and would hear of it when it is long over.
pub(super) async fn look(
    shared: Arc<Shared>,
    topic: String,
    generations: Arc<dyn Generations>,
    tell: mpsc::Sender<Result<Found, Problem>>,
) {
    let (mut is_known, looking) = (false, Trouble::default());
    loop {
        let found = look_once(&shared, &topic, generations.as_ref()).await;
        let wait = if found.is_ok() { shared.config.refresh.0 } else { RETRY.min(shared.config.refresh.0) };
        match &found {
            Err(problem) if is_known && !matches!(problem.kind, SendErrorKind::Fatal) => {
                if let Some(lasted) = looking.bad() {
                    let (error, seconds) = (&problem.message, lasted.as_secs());
                    tracing::warn!(
                        topic,
                        seconds,
                        error,
                        "what the topic is like can't be told; it is read on as it was"
                    );
                }
            }
            told => {
                is_known |= told.is_ok();
                if tell.send(found).await.is_err() {
                    return;
                }
                if let Some(lasted) = looking.good() {
                    tracing::info!(
                        topic,
                        seconds = lasted.as_secs(),
                        "what the topic is like can be told again"
                    );
                }
            }
        }
        tokio::time::sleep(wait.max(Duration::from_millis(10))).await;
    }
}

/// What a problem is to whoever receives.
pub(super) fn error(problem: Problem) -> ReceiveError {
    match problem.kind {
        SendErrorKind::Fatal => ReceiveError::Fatal(problem.message),
        _ => ReceiveError::Retry(problem.message),
    }
}
