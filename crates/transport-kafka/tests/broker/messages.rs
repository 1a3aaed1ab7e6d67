//! What messages hold: limits, partitions, strangers, dead letters, and what was removed.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::admin::AdminOptions;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use weir_model::otlp::{BodyWriter, LogWriter, Refs, Span, SpanWriter};
use weir_model::{Incarnation, Signal, SpanId, TraceId, identity};
use weir_runtime::ByteSize;
use weir_transport::conformance::{numbered, take};
use weir_transport::{
    Batch, Cause, DeadLetters, Event, Lane, Letter, Origin, Position, SendErrorKind, Sender, envelope,
};
use weir_transport_kafka::{Config, Kafka};

use crate::{PATIENCE, admin, broker, config, event, open, send};

/// Characters that no compression makes much smaller.
fn noise() -> impl Iterator<Item = char> {
    let step = |state: &u64| {
        Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    };
    std::iter::successors(Some(1_u64), step).map(|state| char::from(b'!' + (state >> 33) as u8 % 90))
}

/// Lines of a file, each of so many bytes.
fn noisy_lines(count: u64, bytes: u64) -> Batch {
    let (mut body, mut noise) = (BodyWriter::default(), noise());
    let incarnation = Incarnation(9);
    body.resource(|attrs| attrs.str(identity::INCARNATION, &incarnation.to_string()));
    body.scope("", "");
    for n in 0..count {
        let text: String = noise.by_ref().take(bytes as usize).collect();
        body.record(|out| {
            let mut log = LogWriter::new(out);
            log.body(&text);
            log.attrs().int(identity::OFFSET, (n * bytes) as i64);
        });
    }
    let origins = vec![Origin { incarnation, range: 0..count * bytes, acked_below: 0 }];
    Batch { signal: Signal::Logs, origins, route: 1, arrived: 1, body: Bytes::from(body.finish()) }
}

/// Spans with long names.
fn noisy_spans(count: u64) -> Bytes {
    let mut noise = noise();
    let mut body = BodyWriter::default();
    body.resource(|_| ());
    body.scope("", "");
    for n in 1..=count {
        let name: String = noise.by_ref().take(100).collect();
        let (trace, span) = (TraceId::from_low(n).unwrap(), SpanId::new(n.to_be_bytes()).unwrap());
        body.record(|out| SpanWriter::new(out, trace, span).name(&name));
    }
    Bytes::from(body.finish())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_above_the_topics_limit_is_cut_or_refused() {
    let broker = broker();
    let mut config = config(&broker.address(), "large");
    config.message_bytes = ByteSize(10_000);
    let kafka = Kafka::new(config).unwrap();
    let body = noisy_spans(1_000);
    assert!(body.len() > 100_000);
    // A single line that is too large can't be cut.
    let error = kafka.sender(Signal::Logs).send(noisy_lines(1, 20_000)).await.unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Refused);
    assert!(error.message.contains("max.message.bytes"), "{error}");
    let lines = noisy_lines(100, 1_000);
    send(&kafka.sender(Signal::Logs), lines.clone()).await;
    let mut receiver = open(&kafka, Signal::Logs, 1, Position(0)).await;
    let (mut next, end) = (lines.origins[0].range.start, lines.origins[0].range.end);
    while next < end {
        for (_, batch) in take(&mut receiver, 1).await {
            let [origin] = &batch.origins[..] else { panic!("one file's range") };
            assert_eq!(origin.range.start, next, "each range once, in order");
            assert_eq!(Refs::new(&batch.body).count() as u64 * 1_000, origin.range.end - next, "whole");
            next = origin.range.end;
        }
    }
    let batch = Batch { origins: Vec::new(), body, ..numbered(Signal::Spans, 1) };
    send(&kafka.sender(Signal::Spans), batch).await;
    let mut receiver = open(&kafka, Signal::Spans, 1, Position(0)).await;
    let mut traces = HashSet::new();
    while traces.len() < 1_000 {
        for (_, batch) in take(&mut receiver, 1).await {
            traces.extend(Refs::new(&batch.body).map(|(_, record)| Span::decode(record).trace_id.unwrap()));
        }
    }
    let after = send(&kafka.sender(Signal::Spans), numbered(Signal::Spans, 2)).await;
    assert!(after.0 > 10, "they were cut: {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_in_one_partition() {
    let broker = broker();
    let config = Config { partitions: 3, ..config(&broker.address(), "traces") };
    let kafka = Kafka::new(config).unwrap();
    for _ in 0..2 {
        let batch = Batch { origins: Vec::new(), body: noisy_spans(100), ..numbered(Signal::Spans, 1) };
        send(&kafka.sender(Signal::Spans), batch).await;
    }
    let mut receiver = open(&kafka, Signal::Spans, 3, Position(0)).await;
    let mut at: HashMap<TraceId, (Lane, u64)> = HashMap::new();
    while at.values().map(|(_, count)| count).sum::<u64>() < 200 {
        let Event::Data(lane, _, data) = event(&mut receiver).await else { panic!("data comes") };
        for (_, batch) in &data {
            for (_, record) in Refs::new(&batch.body) {
                let (known, count) = at.entry(Span::decode(record).trace_id.unwrap()).or_insert((lane, 0));
                assert_eq!(*known, lane);
                *count += 1;
            }
        }
    }
    assert!(at.values().all(|(_, count)| *count == 2));
    assert_eq!(at.values().map(|(lane, _)| lane.partition).collect::<HashSet<_>>().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_strangers() {
    let broker = broker();
    let kafka = Kafka::new(config(&broker.address(), "strangers")).unwrap();
    // Makes the topic.
    send(&kafka.sender(Signal::Logs), numbered(Signal::Logs, 0)).await;
    let stranger: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", broker.address()).create().unwrap();
    let body = numbered(Signal::Logs, 5).body;
    let garbage: &[u8] = b"not protobuf";
    for payload in [&body[..], garbage, &body[..]] {
        let record =
            FutureRecord::<(), _>::to("strangers_logs").payload(payload).timestamp(1_700_000_000_123);
        stranger.send(record, PATIENCE).await.unwrap();
    }
    let mut receiver = open(&kafka, Signal::Logs, 1, Position(0)).await;
    let lane = Lane { signal: Signal::Logs, partition: 0 };
    let plain = Batch {
        signal: Signal::Logs,
        origins: Vec::new(),
        route: 0,
        arrived: 1_700_000_000_123_000_000,
        body: body.clone(),
    };
    let found = take(&mut receiver, 2).await;
    assert_eq!(found, [(Position(0), numbered(Signal::Logs, 0)), (Position(1), plain.clone())]);
    let Event::Poison(_, _, letter) = event(&mut receiver).await else { panic!("it is no batch") };
    assert_eq!((letter.lane, letter.position, letter.records), (lane, Position(2), 0));
    assert_eq!((&letter.body[..], &letter.envelope), (garbage, &None));
    assert!(letter.cause.starts_with("not OTLP: "), "{}", letter.cause);
    assert_eq!(take(&mut receiver, 1).await, [(Position(3), plain)]);
}

/// Letters are kept with what is known of them, found again, and sent again as they were.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters() {
    let broker = broker();
    let kafka = Kafka::new(config(&broker.address(), "letters")).unwrap();
    let letters = kafka.dead_letters();
    let list = || {
        let mut found = Vec::new();
        let read = letters.read(|letter| {
            found.push(letter);
            true
        });
        tokio::task::block_in_place(|| read).unwrap();
        found
    };
    assert!(list().is_empty(), "a topic that is not there has none");
    let batch = numbered(Signal::Logs, 7);
    send(&kafka.sender(Signal::Logs), batch.clone()).await;
    let lane = Lane { signal: Signal::Logs, partition: 0 };
    let letter = |n: u64, cause: &str| Letter {
        lane,
        position: Position(n),
        cause: cause.into(),
        records: n,
        body: batch.body.clone(),
        envelope: Some(envelope::write(&batch).into()),
    };
    let poison = Letter { body: Bytes::from_static(b"not protobuf"), envelope: None, ..letter(0, "odd") };
    let recreated = 3 << 48 | 5;
    letters.put(&[letter(1, "for the test"), poison.clone()]).await.unwrap();
    letters
        .put(&[Letter { position: Position(recreated), ..letter(2, &"long ".repeat(5_000)) }])
        .await
        .unwrap();
    let found = list();
    assert_eq!(found.len(), 3);
    let ids: Vec<String> = found.iter().map(|letter| letter.id.to_string()).collect();
    assert_eq!(ids, ["0@0", "0@1", "0@2"]);
    assert_eq!((found[0].cause.as_str(), found[0].signal), ("for the test", Some(Signal::Logs)));
    assert_eq!((found[0].topic.as_str(), found[0].partition, found[0].offset), ("letters_logs", 0, 1));
    assert_eq!((found[0].records, &found[0].body), (1, &batch.body));
    assert_eq!((found[1].records, &found[1].body), (0, &poison.body));
    assert_eq!(found[2].offset, 5, "the offset that people see in the topic");
    assert!(found[2].cause.len() < 5_000);
    assert!(found.iter().all(|letter| letter.time.starts_with("20") && !letter.sent_again));

    for letter in &found[..2] {
        letters.send_again(letter).await.unwrap();
    }
    tokio::task::block_in_place(|| letters.note_sent_again(found[1].id)).unwrap();
    assert_eq!(list().iter().map(|letter| letter.sent_again).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(tokio::task::block_in_place(|| letters.find(found[2].id)).unwrap().cause, found[2].cause);
    let missing = tokio::task::block_in_place(|| letters.find("7@0".parse().unwrap())).unwrap_err();
    assert!(missing.contains("7@0"), "{missing}");

    let mut receiver = open(&kafka, Signal::Logs, 1, Position(0)).await;
    assert_eq!(take(&mut receiver, 2).await, [(Position(0), batch.clone()), (Position(1), batch)]);
    let Event::Poison(_, _, again) = event(&mut receiver).await else { panic!("it is no batch still") };
    assert_eq!(again.body, poison.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_is_a_gap() {
    let broker = broker();
    let kafka = Kafka::new(config(&broker.address(), "expired")).unwrap();
    let sender = kafka.sender(Signal::Logs);
    for n in 0..10 {
        send(&sender, numbered(Signal::Logs, n)).await;
    }
    let mut before = TopicPartitionList::new();
    before.add_partition_offset("expired_logs", 0, Offset::Offset(6)).unwrap();
    admin(&broker.address()).delete_records(&before, &AdminOptions::new()).await.unwrap();
    let mut receiver = open(&kafka, Signal::Logs, 1, Position(2)).await;
    let lane = Lane { signal: Signal::Logs, partition: 0 };
    assert_eq!(event(&mut receiver).await, Event::Gap(lane, Position(2)..Position(6), Cause::Expired));
    let found = take(&mut receiver, 4).await;
    assert_eq!(found[0], (Position(6), numbered(Signal::Logs, 6)));
}
