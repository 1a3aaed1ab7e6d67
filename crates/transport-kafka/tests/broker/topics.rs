//! Topics that are recreated, or grow.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use weir_model::Signal;
use weir_runtime::Period;
use weir_testkit::kafka::{Admin, Broker, Cluster};
use weir_transport::conformance::{numbered, take};
use weir_transport::{Batch, Cause, DeadLetters, Event, Lane, Letter, Position, Receiver, Sender, envelope};
use weir_transport_kafka::{Assignment, Config, Generation, Generations, Kafka, KafkaReceiver};

use crate::{Counter, PATIENCE, broker, config, event, open, send, topics};

/// Deletes a topic and sends so many batches, from number 100, to one of its name.
async fn recreate(address: &str, config: &Config, count: u64) {
    Admin::new(address).delete(&config.topics.logs).await;
    let kafka = Kafka::new(config.clone()).unwrap();
    for n in 100..100 + count {
        send(
            &kafka.sender(Signal::Logs),
            Batch { origins: Vec::new(), route: 0, ..numbered(Signal::Logs, n) },
        )
        .await;
    }
}

/// Under a reader, and while none is there, and whether the new topic has become longer than the old one was or not: it is told of, read from its
/// beginning, and positions go on growing, so that nothing new is taken for old.
#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_topic_is_read_from_its_beginning() {
    let broker = broker();
    let config = config(&broker.address(), "recreated");
    let kafka = Kafka::new(config.clone()).unwrap();
    for n in 0..10 {
        send(&kafka.sender(Signal::Logs), numbered(Signal::Logs, n)).await;
    }
    let mut receiver = open(&kafka, Signal::Logs, 1, Position(0)).await;
    take(&mut receiver, 10).await;
    let mut resume = Position(10);
    for (under_a_reader, count) in [(true, 3), (false, 2), (true, 30), (false, 60)] {
        if !under_a_reader {
            drop(receiver);
            recreate(&broker.address(), &config, count).await;
            receiver = open(&kafka, Signal::Logs, 1, resume).await;
        } else {
            recreate(&broker.address(), &config, count).await;
        }
        let mut before = resume;
        let lost = loop {
            match event(&mut receiver).await {
                // Read before it was found out; it comes again.
                Event::Data(_, _, data) if under_a_reader => before = data.last().unwrap().0.next(),
                Event::Gap(_, lost, Cause::Recreated) => break lost,
                other => panic!("a gap comes: {other:?}"),
            }
        };
        assert_eq!(lost.start, before);
        assert!(lost.end > lost.start, "positions grow, though offsets begin anew");
        let found = take(&mut receiver, count as usize).await;
        let numbers: Vec<Bytes> = found.iter().map(|(_, batch)| batch.body.clone()).collect();
        let expect: Vec<Bytes> = (100..100 + count).map(|n| numbered(Signal::Logs, n).body).collect();
        assert_eq!((found[0].0, numbers), (lost.end, expect), "{count} under a reader: {under_a_reader}");
        resume = found.last().unwrap().0.next();
    }
}

/// After a broker's bounce the leader's epoch of the old topic is above that of the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_recreated_after_a_bounce() {
    let mut broker = Broker::start(&[]);
    let config = config(&broker.address(), "late");
    let kafka = Kafka::new(config.clone()).unwrap();
    let sender = kafka.sender(Signal::Logs);
    let mut receiver = open_after(&kafka, &sender, 1).await;
    take(&mut receiver, 1).await;
    broker.kill();
    broker.resume();
    send(&sender, numbered(Signal::Logs, 1)).await;
    take(&mut receiver, 1).await;
    recreate(&broker.address(), &config, 1).await;
    // By the sender that knew the old one, too.
    send(&sender, numbered(Signal::Logs, 2)).await;
    let Event::Gap(_, lost, Cause::Recreated) = event(&mut receiver).await else { panic!("a gap comes") };
    assert_eq!(lost.start, Position(2));
    let found = take(&mut receiver, 2).await;
    assert_eq!(found[1], (lost.end.next(), numbered(Signal::Logs, 2)));
}

/// Sends a batch, which makes the topic, and reads it from its beginning.
async fn open_after(kafka: &Kafka, sender: &dyn Sender, lanes: u32) -> KafkaReceiver {
    send(sender, numbered(Signal::Logs, 0)).await;
    open(kafka, Signal::Logs, lanes, Position(0)).await
}

/// A sender that knows a later leader of the old topic finds that of the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_finds_the_leader_of_a_recreated_topic() {
    let mut cluster = Cluster::start();
    let addresses = cluster.addresses();
    let admin = Admin::new(&addresses.join(","));
    let mut config = config("", "moved");
    config.brokers = addresses.clone();
    config.send_timeout = Period::secs(2);
    // Brokers learn of it one after the other.
    let leader = async |other_than: Option<usize>| {
        loop {
            let now = admin.partitions("moved_logs").first().and_then(|partition| partition.leader);
            if let Some(now) = now.filter(|now| Some(*now) != other_than) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let sender = Kafka::new(config.clone()).unwrap().sender(Signal::Logs);
    send(&sender, numbered(Signal::Logs, 1)).await;
    let first = leader(None).await;
    cluster.kill(first);
    send(&sender, numbered(Signal::Logs, 2)).await;
    let known = leader(Some(first)).await;
    cluster.resume(first);
    // Whoever leads is drawn.
    loop {
        recreate(&addresses[0], &config, 1).await;
        if leader(None).await != known {
            break;
        }
    }
    let sent = tokio::time::timeout(PATIENCE, send(&sender, numbered(Signal::Logs, 3)));
    assert_eq!(sent.await.expect("it is taken"), Position(1));
}

/// Members of a group give back what they had of the old topic, and get the new one's partitions under a higher epoch.
#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_topic_is_shared_anew() {
    let broker = broker();
    let config = config(&broker.address(), "reshared");
    let kafka = Kafka::new(config.clone()).unwrap();
    let sender = kafka.sender(Signal::Logs);
    send(&sender, numbered(Signal::Logs, 1)).await;
    let mut receiver =
        kafka.receiver(Signal::Logs, Assignment::Shared(Arc::new(Counter::default())), topics()).unwrap();
    let mut epochs = Vec::new();
    let mut resume = Position(0);
    for round in 0..3 {
        let (lane, epoch) = loop {
            let Event::Assigned(lane, epoch) = event(&mut receiver).await else {
                panic!("a lane is assigned")
            };
            epochs.push(epoch);
            receiver.seek(lane, resume).await.unwrap();
            if round == 0 {
                break (lane, epoch);
            }
            match event(&mut receiver).await {
                Event::Gap(_, lost, Cause::Recreated) => {
                    assert_eq!(lost.start, resume);
                    break (lane, epoch);
                }
                // On a slow machine the group may think better of it at once.
                Event::Revoked(revoked, of) => assert_eq!((revoked, of), (lane, epoch)),
                other => panic!("a gap is told of first, not {other:?}"),
            }
        };
        resume = take(&mut receiver, 1).await[0].0.next();
        receiver.done(lane, epoch, resume).await.unwrap();
        recreate(&broker.address(), &config, 1).await;
        match event(&mut receiver).await {
            Event::Revoked(revoked, of) => assert_eq!((revoked, of), (lane, epoch)),
            other => panic!("it is taken away: {other:?}"),
        }
    }
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
}

/// A topic comes back with fewer partitions: the others are told of and taken away, and nothing complains of them any more. It grows, and they
/// are there again.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_recreated_with_fewer_partitions() {
    let broker = broker();
    let three = Config { partitions: 3, ..config(&broker.address(), "fewer") };
    let one = Config { partitions: 1, ..three.clone() };
    let kafka = Kafka::new(three).unwrap();
    let (sender, letters) = (kafka.sender(Signal::Logs), kafka.dead_letters());
    // Of no file, they go by their route.
    let routed = |route: u64| Batch { origins: Vec::new(), route, ..numbered(Signal::Logs, route) };
    for route in 0..3 {
        send(&sender, routed(route)).await;
    }
    // Whoever finds the topic missing makes it.
    let mut receiver = open(&Kafka::new(one.clone()).unwrap(), Signal::Logs, 3, Position(0)).await;
    let mut read = 0;
    while read < 3 {
        let Event::Data(_, _, data) = event(&mut receiver).await else { panic!("data comes") };
        read += data.len();
    }
    recreate(&broker.address(), &one, 1).await;
    let (mut gaps, mut revoked, mut data) = (Vec::new(), Vec::new(), Vec::new());
    while data.len() < 2 {
        match event(&mut receiver).await {
            Event::Gap(lane, range, Cause::Recreated) => {
                assert_eq!(range.start, Position(1));
                gaps.push(lane.partition);
            }
            Event::Revoked(lane, _) => revoked.push(lane.partition),
            Event::Data(lane, _, found) => {
                if data.is_empty() {
                    // The sender that knew three partitions learns of it.
                    send(&sender, routed(2)).await;
                }
                assert_eq!(lane.partition, 0);
                data.extend(found);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((gaps, revoked), (vec![0, 1, 2], vec![1, 2]));
    assert_eq!(data[1].1, routed(2));
    Admin::new(&broker.address()).grow("fewer_logs", 2).await;
    // No error comes in between.
    let next = tokio::time::timeout(PATIENCE, receiver.next()).await.expect("an event comes");
    let Ok(Event::Assigned(lane, _)) = next else { panic!("the lane is there again: {next:?}") };
    receiver.seek(lane, Position(1)).await.unwrap();
    let Event::Gap(_, lost, Cause::Recreated) = event(&mut receiver).await else { panic!("a gap comes") };
    assert_eq!(lost.start, Position(1));

    // What was refused of a partition that is gone goes to another.
    let letter = Letter {
        lane: Lane { signal: Signal::Logs, partition: 2 },
        position: Position(0),
        cause: "for the test".into(),
        records: 1,
        envelope: Some(envelope::write(&routed(7)).into()),
        body: routed(7).body,
    };
    letters.put(&[letter]).await.unwrap();
    let mut found = Vec::new();
    let read = letters.read(|letter| {
        found.push(letter);
        true
    });
    tokio::task::block_in_place(|| read).unwrap();
    letters.send_again(&found[0]).await.unwrap();
    assert_eq!(take(&mut receiver, 1).await[0].1, routed(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_partitions_become_lanes() {
    let broker = broker();
    let config = config(&broker.address(), "grown");
    let kafka = Kafka::new(config.clone()).unwrap();
    send(&kafka.sender(Signal::Logs), numbered(Signal::Logs, 1)).await;
    let mut receiver = open(&kafka, Signal::Logs, 1, Position(0)).await;
    take(&mut receiver, 1).await;
    Admin::new(&broker.address()).grow("grown_logs", 2).await;
    let lane = Lane { signal: Signal::Logs, partition: 1 };
    assert!(matches!(event(&mut receiver).await, Event::Assigned(new, _) if new == lane));
    receiver.seek(lane, Position(0)).await.unwrap();
    // A sender that begins now knows of both.
    let batch = Batch { origins: Vec::new(), ..numbered(Signal::Logs, 3) };
    send(&Kafka::new(config).unwrap().sender(Signal::Logs), batch).await;
    assert!(matches!(event(&mut receiver).await, Event::Data(at, ..) if at == lane));
}

/// A store that tells once which topic it is, and is away from then on. Says how often it was asked.
struct Away(watch::Sender<u64>);

#[async_trait]
impl Generations for Away {
    async fn of(&self, _topic: &str, _id: u128) -> Result<Generation, String> {
        self.0.send_modify(|asked| *asked += 1);
        match *self.0.borrow() {
            1 => Ok(Generation { number: 0, is_news: false }),
            _ => Err("a fault of the test".into()),
        }
    }
}

/// It is read on, and who was busy meanwhile does not hear of it when it is over.
#[tokio::test(flavor = "multi_thread")]
async fn later_looks_may_fail() {
    let broker = broker();
    let kafka = Kafka::new(config(&broker.address(), "unlooked")).unwrap();
    let (asked, mut looks) = watch::channel(0);
    let mut receiver = kafka.receiver(Signal::Logs, Assignment::All, Arc::new(Away(asked))).unwrap();
    let Event::Assigned(lane, _) = event(&mut receiver).await else { panic!("a lane is assigned first") };
    receiver.seek(lane, Position(0)).await.unwrap();
    let failed = tokio::time::timeout(PATIENCE, looks.wait_for(|looks| *looks > 2));
    failed.await.expect("it looks again").expect("the receiver is there");
    send(&kafka.sender(Signal::Logs), numbered(Signal::Logs, 1)).await;
    let next = tokio::time::timeout(PATIENCE, receiver.next()).await.expect("something comes");
    assert!(matches!(next, Ok(Event::Data(..))), "{next:?}");
}
