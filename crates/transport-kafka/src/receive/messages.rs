//! Messages, and what the consumer says instead.

use bytes::Bytes;
use futures::FutureExt;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use weir_model::Signal;
use weir_model::otlp::validate;
use weir_model::wire::DecodeError;
use weir_transport::{Batch, Event, Letter, ReceiveError, SendErrorKind, envelope};

use super::{Held, KafkaReceiver};
use crate::ENVELOPE;
use crate::client::{Problem, kind};
use crate::generation::at;

/// Bytes of bodies that are taken before they are delivered, unless one message alone is larger.
const EVENT_BYTES: usize = 4 << 20;
const NANOS_PER_MILLI: u64 = 1_000_000;

impl KafkaReceiver {
    /// Takes a message, and what has come behind it already.
    pub(super) fn take(&mut self, message: BorrowedMessage<'_>) -> Result<(), ReceiveError> {
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

    pub(super) fn deliver(&mut self, message: &BorrowedMessage<'_>) {
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
    pub(super) fn failed(&mut self, error: KafkaError) -> Result<(), ReceiveError> {
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
}

/// What a message carries in the header for it.
fn sealed<'a>(message: &'a BorrowedMessage<'_>) -> Option<&'a [u8]> {
    message.headers()?.iter().find(|header| header.key == ENVELOPE)?.value
}

/// What a message holds.
fn batch(signal: Signal, message: &BorrowedMessage<'_>) -> Result<Batch, String> {
    let body = Bytes::copy_from_slice(message.payload().ok_or("not OTLP: the message is empty")?);
    let batch = match sealed(message) {
        Some(sealed) => envelope::read(signal, body, sealed)
            .map_err(|error| format!("its envelope is damaged: {error}"))?,
        None => {
            let arrived =
                message.timestamp().to_millis().map_or(0, |millis| millis.max(0) as u64 * NANOS_PER_MILLI);
            Batch { signal, origins: Vec::new(), route: 0, arrived, body }
        }
    };
    validate(signal, &batch.body).map_err(|error| not_otlp(&batch.body, error))?;
    Ok(batch)
}

/// Why a body is no request, and what to look at: of all that may stand in a topic, JSON is told apart by its beginning, where no protobuf field begins.
fn not_otlp(body: &[u8], error: DecodeError) -> String {
    match body.first() {
        Some(b'{' | b'[') => {
            "not OTLP: it looks like JSON; whoever writes to this topic has to use the encoding otlp_proto, not otlp_json".into()
        }
        _ => format!(
            "not OTLP: {error}; see whether something else writes to this topic, or with another encoding than otlp_proto"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_otlp_is_told_with_what_to_look_at() {
        for (body, start, look) in [
            (&b"not protobuf"[..], "not OTLP: field 13 has the unknown", "another encoding than otlp_proto"),
            (b"\x0a{\"", "not OTLP: the message ends inside a field", "something else writes to this topic"),
            (b"{\"resourceLogs\": []}", "not OTLP: it looks like JSON", "not otlp_json"),
            (b"[1]", "not OTLP: it looks like JSON", "otlp_proto"),
        ] {
            for signal in Signal::ALL {
                let cause = not_otlp(body, validate(signal, body).unwrap_err());
                assert!(cause.starts_with(start) && cause.contains(look), "{cause}");
            }
        }
    }
}
