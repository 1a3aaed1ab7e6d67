//! Sending: one message for each partition that a batch has records for, and an answer when all of them are durable.

use std::sync::Arc;

use async_trait::async_trait;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::sync::{Mutex, MutexGuard, oneshot};
use weir_transport::{Batch, Position, SendError, SendErrorKind, Sender, envelope};

use crate::ENVELOPE;
use crate::client::{Problem, RETRY, Shared, kind};
use crate::partition;
use crate::producer::{Delivered, Message, Producer};
use crate::topics::Topic;

/// Batches under way at a time: small ones share requests, and the brokers may be far away.
const DEPTH: usize = 256;
/// What a message has around its payload at the most, bytes: Kafka's framing of a record and its batch, and the envelope of a batch without origins.
const FRAME_BYTES: usize = 256;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// Appends to the topic of one signal.
///
/// When one of a batch's messages fails the whole batch does, and is sent again: what was written already is recognised by its origins or
/// identities. An answer's position is that of the first message; a batch may have several.
pub struct KafkaSender {
    shared: Arc<Shared>,
    topic: Topic,
    /// Whose batch goes next, so that those that wait for room keep their order.
    turn: Mutex<()>,
}

impl KafkaSender {
    pub(crate) fn new(shared: Arc<Shared>, topic: Topic) -> Self {
        Self { shared, topic, turn: Mutex::default() }
    }

    async fn deliver(&self, batch: Batch) -> Result<Position, Problem> {
        let turn = self.turn.lock().await;
        let layout = self.topic.layout(&self.shared).await?;
        // Room for the whole batch, so that two that have half of it each never wait for each other.
        let most = (self.shared.config.queue_bytes.0 >> 10) as u32;
        let needed = ((batch.body.len() >> 10) as u32 + 1).min(most);
        let _room = self.shared.room.acquire_many(needed).await.expect("it is never closed");
        let limit = layout.message_bytes.saturating_sub(FRAME_BYTES);
        match self.put(batch.clone(), layout.partitions, limit, turn).await {
            // Only then, since nearly all of them are compressed to much less.
            Err(Problem { kind: SendErrorKind::Refused, .. })
                if let Some(pieces) = partition::cut(&batch, limit / 2) =>
            {
                let mut first = None;
                for piece in pieces {
                    let turn = self.turn.lock().await;
                    let position = self.put(piece, layout.partitions, limit, turn).await?;
                    first = first.or(Some(position));
                }
                Ok(first.unwrap_or_default())
            }
            answer => answer,
        }
    }

    /// Writes the parts of a batch, and waits until all are durable.
    async fn put(
        &self,
        batch: Batch,
        partitions: u32,
        limit: usize,
        turn: MutexGuard<'_, ()>,
    ) -> Result<Position, Problem> {
        let mut reports = Vec::new();
        for (partition, part) in partition::split(batch, partitions, limit) {
            let bytes = part.body.len();
            let (producer, sent) = self.produce(partition, part).await;
            match sent {
                Ok(report) => reports.push((bytes, producer, report)),
                Err(error) => return Err(self.failed(&producer, error, bytes, limit).await),
            }
        }
        drop(turn);
        let mut first = None;
        for (bytes, producer, report) in reports {
            match report.await.unwrap_or(Err(KafkaError::Canceled)) {
                Ok(position) => first = first.or(Some(position)),
                Err(error) => return Err(self.failed(&producer, error, bytes, limit).await),
            }
        }
        self.shared.context.all_is_well();
        Ok(first.unwrap_or_default())
    }

    /// Sends a part as soon as there is a place for it. Also returns the producer that it was sent by.
    async fn produce(
        &self,
        partition: u32,
        part: Batch,
    ) -> (Arc<Producer>, Result<oneshot::Receiver<Delivered>, KafkaError>) {
        let topic = &self.topic.name;
        let (producer, place) = loop {
            let producer = self.shared.producer();
            let place = producer.place(topic, partition, part.body.len()).await;
            // It may have been replaced while there was none.
            if Arc::ptr_eq(&producer, &self.shared.producer()) {
                break (producer, place);
            }
        };
        let envelope = envelope::write(&part);
        let message = Message {
            topic,
            partition,
            payload: part.body,
            headers: &[(ENVELOPE, &envelope)],
            time: (part.arrived / NANOS_PER_MILLI) as i64,
        };
        let sent = producer.send(message, place);
        (producer, sent)
    }

    /// Takes note of what an error says about producer and topic.
    async fn failed(
        &self,
        producer: &Arc<Producer>,
        error: KafkaError,
        bytes: usize,
        limit: usize,
    ) -> Problem {
        // A producer that can't go on says of every message only that it can't.
        let error = match self.shared.replace_dead_producer(producer) {
            Some(why) => KafkaError::MessageProduction(why),
            None => error,
        };
        // What waits for a leader in vain may wait for that of a topic that was recreated.
        let gone = [
            Code::UnknownPartition,
            Code::UnknownTopic,
            Code::UnknownTopicOrPartition,
            Code::MessageTimedOut,
        ];
        if error.rdkafka_error_code().is_some_and(|code| gone.contains(&code)) {
            self.topic.forget().await;
        }
        self.problem(error, bytes, limit)
    }

    fn problem(&self, error: KafkaError, bytes: usize, limit: usize) -> Problem {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let (topic, brokers) = (&self.topic.name, self.shared.config.names());
        match (kind(code), code) {
            // For the sake of others in the same request: alone it fits.
            (SendErrorKind::Refused, Code::MessageSizeTooLarge) if bytes < limit => Problem {
                kind: SendErrorKind::Retry { after: RETRY },
                message: format!(
                    "the topic `{topic}` at {brokers} takes {limit} bytes, less than `kafka.message_bytes`; lower that, or raise the topic's `max.message.bytes`"
                ),
            },
            (SendErrorKind::Refused, Code::MessageSizeTooLarge) => Problem {
                kind: SendErrorKind::Refused,
                message: format!(
                    "the topic `{topic}` at {brokers} does not take a batch of {bytes} bytes; raise its `max.message.bytes`"
                ),
            },
            // The latter where there is no topic at all that it may write to.
            (kind, Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
                let user = self.shared.user();
                let message =
                    format!("{user} may not write to the topic `{topic}` at {brokers}: grant Write on it");
                Problem { kind, message }
            }
            (kind @ (SendErrorKind::Refused | SendErrorKind::Fatal), _) => Problem {
                kind,
                message: format!("the topic `{topic}` at {brokers} does not take what is sent: {code}"),
            },
            (kind, Code::QueueFull) => Problem { kind, message: "the queue to the brokers is full".into() },
            // Time-outs and the like: why is told elsewhere.
            (
                SendErrorKind::Retry { .. },
                Code::MessageTimedOut | Code::AllBrokersDown | Code::BrokerTransportFailure,
            ) => self.shared.away(&self.shared.context, code),
            (kind, _) => Problem {
                kind,
                message: format!("the topic `{topic}` at {brokers} can't be written now: {code}"),
            },
        }
    }
}

#[async_trait]
impl Sender for KafkaSender {
    async fn send(&self, batch: Batch) -> Result<Position, SendError> {
        let kept = batch.clone();
        self.deliver(batch).await.map_err(|problem| SendError {
            kind: problem.kind,
            message: problem.message,
            batch: Box::new(kept),
        })
    }

    fn trouble(&self) -> Option<String> {
        self.shared.unreachable(&self.shared.context).map(|problem| problem.message)
    }

    fn depth(&self) -> usize {
        DEPTH
    }
}
