//! Dead letters: a topic for what can't be stored, to look at and to send again.
//!
//! A letter is a message with what was refused as it came, and headers that say why and where it stood. Which letters were sent again is the offset of a
//! group of its own (the collector's name with [`GROUP_END`]), so that doing it twice sends nothing twice.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;
use weir_model::Signal;
use weir_transport::{DeadLetters, Letter};

use crate::ENVELOPE;
use crate::client::{Context, Shared};
use crate::producer::{Delivered, Message};
use crate::topics::Topic;

const CAUSE: &str = "weir.cause";
const TOPIC: &str = "weir.topic";
const PARTITION: &str = "weir.partition";
const OFFSET: &str = "weir.offset";
const RECORDS: &str = "weir.records";
/// When it was put here, as RFC 3339.
const TIME: &str = "weir.time";

/// What the name of the group ends with whose offset says which letters were sent again.
const GROUP_END: &str = "-dead-letters";
/// Longest text of a cause, bytes.
const CAUSE_BYTES: usize = 4096;
/// How long brokers may be silent while letters are read.
const SILENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
/// What brokers answer of a partition that has no leader yet, or another one by now.
const LEADERLESS: [Code; 2] = [Code::NotLeaderForPartition, Code::LeaderNotAvailable];

/// The topic of dead letters.
pub struct KafkaDeadLetters {
    shared: Arc<Shared>,
    topic: Topic,
}

/// Where a letter stands in its topic, as `partition@offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterId {
    pub partition: u32,
    pub offset: u64,
}

impl std::fmt::Display for LetterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

impl FromStr for LetterId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('@').and_then(|(part, at)| Some((part.parse().ok()?, at.parse().ok()?)));
        let (partition, offset) =
            parts.ok_or_else(|| format!("`{text}` is no dead letter; they are named like 0@17"))?;
        Ok(Self { partition, offset })
    }
}

/// A letter as it is found in its topic.
#[derive(Debug, Clone)]
pub struct StoredLetter {
    pub id: LetterId,
    /// When it was put there, as RFC 3339.
    pub time: String,
    pub cause: String,
    /// Where it stood before, and where it is sent to again.
    pub topic: String,
    pub partition: u32,
    pub offset: u64,
    /// Of the topic, where it is one of those of the configuration.
    pub signal: Option<Signal>,
    /// How many records it holds; 0 where it can't be read.
    pub records: u64,
    /// Whether it was sent again, or passed over by what was.
    pub sent_again: bool,
    pub body: Bytes,
    envelope: Option<Bytes>,
}

impl KafkaDeadLetters {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let topic = Topic::new(&shared.config.topics.dead_letters);
        Self { shared, topic }
    }

    /// Hands all letters to `visit`, partition by partition in their order, until it answers false. Blocks.
    ///
    /// # Errors
    /// When the topic can't be read. A topic that does not exist has no letters.
    pub fn read(&self, mut visit: impl FnMut(StoredLetter) -> bool) -> Result<(), String> {
        let reader = self.reader()?;
        for partition in reader.partitions()? {
            let (low, high) = reader.bounds(partition)?;
            if !reader.visit(partition, low, high, &mut visit)? {
                break;
            }
        }
        Ok(())
    }

    /// One letter. Blocks.
    ///
    /// # Errors
    /// When it is not there.
    pub fn find(&self, id: LetterId) -> Result<StoredLetter, String> {
        let reader = self.reader()?;
        let mut found = None;
        let gone = || format!("there is no dead letter {id}; `weir dlq list` names those that are there");
        if !reader.partitions()?.contains(&id.partition) {
            return Err(gone());
        }
        let (low, high) = reader.bounds(id.partition)?;
        if id.offset >= low && id.offset < high {
            reader.visit(id.partition, id.offset, id.offset + 1, &mut |letter| {
                found = Some(letter);
                false
            })?;
        }
        found.filter(|letter| letter.id == id).ok_or_else(gone)
    }

    /// Sends a letter again to where it came from, as it is. Answers when it is durable there.
    ///
    /// # Errors
    /// When it can't be sent.
    pub async fn send_again(&self, letter: &StoredLetter) -> Result<(), String> {
        let failed = |error: &KafkaError| {
            let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
            format!(
                "the dead letter {} can't be sent to partition {} of `{}` again: {code}",
                letter.id, letter.partition, letter.topic
            )
        };
        let layout =
            Topic::new(&letter.topic).layout(&self.shared).await.map_err(|problem| problem.message)?;
        // A topic that was recreated may have fewer.
        let partition = letter.partition % layout.partitions;
        let headers: Vec<(&str, &[u8])> =
            letter.envelope.iter().map(|envelope| (ENVELOPE, envelope.as_ref())).collect();
        let sent = self.produce(&letter.topic, partition, &letter.body, &headers).await;
        let report = sent.map_err(|error| failed(&error))?;
        report.await.unwrap_or(Err(KafkaError::Canceled)).map(|_| ()).map_err(|error| failed(&error))
    }

    /// Notes that a letter and all before it in its partition were sent again. Blocks.
    ///
    /// # Errors
    /// When the group's offset can't be committed.
    pub fn note_sent_again(&self, id: LetterId) -> Result<(), String> {
        let reader = self.reader()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic.name, id.partition as i32, Offset::Offset(id.offset as i64 + 1))
            .and_then(|()| reader.consumer.commit(&list, CommitMode::Sync))
            .map_err(|error| {
                format!("it can't be noted that the dead letter {id} was sent again, so the next replay sends it once more: {error}")
            })
    }

    async fn produce(
        &self,
        topic: &str,
        partition: u32,
        body: &Bytes,
        headers: &[(&str, &[u8])],
    ) -> Result<oneshot::Receiver<Delivered>, KafkaError> {
        let producer = self.shared.producer();
        let place = producer.place(topic, partition, body.len()).await;
        producer.send(Message { topic, partition, payload: body.clone(), headers, time: 0 }, place)
    }

    fn reader(&self) -> Result<Reader<'_>, String> {
        let config = &self.shared.config;
        let mut client = config.consumer();
        client.set("group.id", format!("{}{GROUP_END}", config.group));
        let context = Context::default();
        let consumer = client.create_with_context(context.clone()).map_err(|error| error.to_string())?;
        Ok(Reader { of: self, consumer, context })
    }

    fn headers(&self, letter: &Letter) -> Vec<(&'static str, Bytes)> {
        let topic = self.shared.config.topics.of(letter.lane.signal);
        let mut cause = letter.cause.as_str();
        cause = &cause[..cause.floor_char_boundary(CAUSE_BYTES)];
        let (partition, offset) =
            (letter.lane.partition.to_string(), crate::generation::offset(letter.position));
        let (offset, records) = (offset.to_string(), letter.records.to_string());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let time = jiff::Timestamp::from_millisecond(now).map_or(String::new(), |time| time.to_string());
        let mut headers = vec![
            (CAUSE, Bytes::copy_from_slice(cause.as_bytes())),
            (TOPIC, Bytes::copy_from_slice(topic.as_bytes())),
            (PARTITION, partition.into()),
            (OFFSET, offset.into()),
            (RECORDS, records.into()),
            (TIME, time.into()),
        ];
        headers.extend(letter.envelope.clone().map(|envelope| (ENVELOPE, envelope)));
        headers
    }
}

#[async_trait]
impl DeadLetters for KafkaDeadLetters {
    async fn put(&self, letters: &[Letter]) -> Result<(), String> {
        let layout = self.topic.layout(&self.shared).await.map_err(|problem| problem.message)?;
        let mut reports = Vec::new();
        let failed = |error: KafkaError| {
            let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
            format!(
                "the topic of dead letters `{}` at {} does not take one: {code}",
                self.topic.name,
                self.shared.config.names()
            )
        };
        for letter in letters {
            let partition = letter.lane.partition % layout.partitions;
            let headers = self.headers(letter);
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_ref())).collect();
            let sent = self.produce(&self.topic.name, partition, &letter.body, &headers).await;
            reports.push(sent.map_err(failed)?);
        }
        for report in reports {
            report.await.unwrap_or(Err(KafkaError::Canceled)).map_err(failed)?;
        }
        Ok(())
    }
}

/// Reads the topic's partitions from end to end.
struct Reader<'a> {
    of: &'a KafkaDeadLetters,
    consumer: BaseConsumer<Context>,
    context: Context,
}

impl Reader<'_> {
    fn failed(&self, error: &KafkaError) -> String {
        let names = self.of.shared.config.names();
        match self.context.trouble() {
            Some((_, reason)) => format!("Kafka at {names} can't be reached: {reason}"),
            None => format!(
                "the topic of dead letters `{}` at {names} can't be read: {error}",
                self.of.topic.name
            ),
        }
    }

    fn timeout(&self) -> Duration {
        self.of.shared.config.answer_timeout()
    }

    fn partitions(&self) -> Result<Vec<u32>, String> {
        // All topics are asked for: to name one that is missing would let brokers create it as they like.
        let metadata =
            self.consumer.fetch_metadata(None, self.timeout()).map_err(|error| self.failed(&error))?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.of.topic.name);
        let partitions = topic.into_iter().flat_map(|topic| topic.partitions());
        Ok(partitions.map(|partition| partition.id() as u32).collect())
    }

    fn bounds(&self, partition: u32) -> Result<(u64, u64), String> {
        let begun = Instant::now();
        loop {
            let topic = &self.of.topic.name;
            match self.consumer.fetch_watermarks(topic, partition as i32, self.timeout()) {
                Ok((low, high)) => return Ok((low.max(0) as u64, high.max(0) as u64)),
                // A partition has none for a moment when its topic was just made, or its leader is gone.
                Err(error)
                    if error.rdkafka_error_code().is_some_and(|code| LEADERLESS.contains(&code))
                        && begun.elapsed() < self.timeout() =>
                {
                    std::thread::sleep(POLL);
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    /// Up to where letters of a partition were sent again.
    fn sent_again(&self, partition: u32) -> Result<u64, String> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.of.topic.name, partition as i32);
        let found =
            self.consumer.committed_offsets(list, self.timeout()).map_err(|error| self.failed(&error))?;
        Ok(match found.elements().first().map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => offset.max(0) as u64,
            _ => 0,
        })
    }

    /// False when the visitor has seen enough.
    fn visit(
        &self,
        partition: u32,
        from: u64,
        to: u64,
        visit: &mut impl FnMut(StoredLetter) -> bool,
    ) -> Result<bool, String> {
        if from >= to {
            return Ok(true);
        }
        let sent_again = self.sent_again(partition)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.of.topic.name, partition as i32, Offset::Offset(from as i64))
            .and_then(|()| self.consumer.assign(&list))
            .map_err(|error| self.failed(&error))?;
        let mut heard = Instant::now();
        loop {
            let message = match self.consumer.poll(POLL) {
                Some(Ok(message)) => message,
                Some(Err(error)) if heard.elapsed() > SILENCE => return Err(self.failed(&error)),
                None if heard.elapsed() > SILENCE => return Err(self.failed(&KafkaError::Canceled)),
                _ => continue,
            };
            heard = Instant::now();
            let offset = message.offset().max(0) as u64;
            if offset < to && !visit(self.letter(&message, sent_again)) {
                return Ok(false);
            }
            if offset + 1 >= to {
                return Ok(true);
            }
        }
    }

    fn letter(&self, message: &BorrowedMessage<'_>, sent_again: u64) -> StoredLetter {
        let header = |key: &str| {
            let headers = message.headers()?;
            headers.iter().find(|header| header.key == key)?.value
        };
        let text = |key: &str| {
            header(key).map_or(String::new(), |value| String::from_utf8_lossy(value).into_owned())
        };
        let number = |key: &str| text(key).parse().unwrap_or(0);
        let id = LetterId { partition: message.partition() as u32, offset: message.offset().max(0) as u64 };
        let (topic, topics) = (text(TOPIC), &self.of.shared.config.topics);
        StoredLetter {
            id,
            time: text(TIME),
            cause: text(CAUSE),
            signal: Signal::ALL.into_iter().find(|signal| topics.of(*signal) == topic),
            topic,
            partition: number(PARTITION) as u32,
            offset: number(OFFSET),
            records: number(RECORDS),
            sent_again: id.offset < sent_again,
            body: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
            envelope: header(ENVELOPE).map(Bytes::copy_from_slice),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::{Config, Kafka};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_partition_without_a_leader_is_waited_for() {
        let cluster = MockCluster::new(1).unwrap();
        let config = Config { brokers: vec![cluster.bootstrap_servers()], ..Config::default() };
        cluster.create_topic(&config.topics.dead_letters, 1, 1).unwrap();
        let letters = Kafka::new(config).unwrap().dead_letters();
        let none = || tokio::task::block_in_place(|| letters.read(|letter| panic!("{letter:?}")));
        none().unwrap();
        let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
        cluster.request_errors(RDKafkaApiKey::ListOffsets, &[refused; 8]);
        none().unwrap();
    }

    #[test]
    fn letters_have_names() {
        let id = LetterId { partition: 3, offset: 17 };
        assert_eq!("3@17".parse(), Ok(id));
        assert_eq!(id.to_string(), "3@17");
        for text in ["", "3", "3@", "@17", "3@-1", "a@b"] {
            assert!(text.parse::<LetterId>().unwrap_err().contains("like 0@17"), "{text}");
        }
    }
}
