//! Brokers that are killed or missing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use weir_model::Signal;
use weir_runtime::Period;
use weir_testkit::free_port;
use weir_testkit::kafka::Broker;
use weir_transport::conformance::numbered;
use weir_transport::{Event, Position, ReceiveError, Receiver, SendErrorKind, Sender};
use weir_transport_kafka::{Assignment, Config, Kafka};

use crate::{PATIENCE, broker, config, event, open, send, topics};

/// How often is looked for what a test waits for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// kill -9 of the broker while batches are under way: what was acknowledged comes, in order, and reading goes on across it.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_loses_nothing() {
    let mut broker = Broker::start(&[]);
    let mut config = config(&broker.address(), "bounce");
    config.send_timeout = Period::secs(2);
    let kafka = Kafka::new(config).unwrap();
    let mut receiver = open(&kafka, Signal::Logs, 1, Position(0)).await;
    const COUNT: u64 = 400;
    let (told, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    let sending = {
        let sender = Arc::new(kafka.sender(Signal::Logs));
        tokio::spawn(async move {
            let mut under_way = JoinSet::new();
            for n in 0..COUNT {
                let (sender, told) = (sender.clone(), told.clone());
                under_way.spawn(async move {
                    let position = send(sender.as_ref(), numbered(Signal::Logs, n)).await;
                    told.send((n, position)).unwrap();
                });
                while under_way.len() >= 8 {
                    under_way.join_next().await.unwrap().unwrap();
                }
            }
            while let Some(ended) = under_way.join_next().await {
                ended.unwrap();
            }
        })
    };
    let mut kept: HashMap<u64, Position> = HashMap::new();
    for bounces in 1..=2 {
        while kept.len() < 100 * bounces {
            let (n, position) = acknowledged.recv().await.unwrap();
            kept.insert(n, position);
        }
        broker.kill();
        broker.resume();
    }
    sending.await.unwrap();
    while let Ok((n, position)) = acknowledged.try_recv() {
        kept.insert(n, position);
    }
    assert_eq!(kept.len() as u64, COUNT);
    let mut found: BTreeMap<Position, u64> = BTreeMap::new();
    let mut numbers = HashSet::new();
    while (numbers.len() as u64) < COUNT {
        let Event::Data(_, _, data) = event(&mut receiver).await else { panic!("data comes, and no gap") };
        for (position, batch) in data {
            assert!(found.last_key_value().is_none_or(|(last, _)| *last < position), "positions grow");
            assert_eq!(batch, numbered(Signal::Logs, batch.route));
            found.insert(position, batch.route);
            numbers.insert(batch.route);
        }
    }
    for (n, position) in kept {
        assert_eq!(found.get(&position), Some(&n), "it stands where its sender was told");
    }
}

/// What is sent meanwhile is under way for as long as the sender tries by itself.
#[tokio::test(flavor = "multi_thread")]
async fn why_a_broker_is_away_is_told_while_a_send_is_under_way() {
    let mut broker = Broker::start(&[]);
    let kafka = Kafka::new(config(&broker.address(), "away")).unwrap();
    let sender = kafka.sender(Signal::Logs);
    send(&sender, numbered(Signal::Logs, 0)).await;
    assert_eq!(sender.trouble(), None);
    broker.kill();
    let mut sent = sender.send(numbered(Signal::Logs, 1));
    let told = async {
        loop {
            let told = sender.trouble().unwrap_or_default();
            assert!(!told.contains("kafka.tls"), "it was let in before: {told}");
            if told.contains("refused") {
                break told;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let told = tokio::select! {
        answer = &mut sent => panic!("it is answered first: {answer:?}"),
        told = tokio::time::timeout(PATIENCE, told) => told.expect("it is told"),
    };
    assert!(told.contains(&broker.address()) && told.contains("can't be reached"), "{told}");
    broker.resume();
    sent.await.unwrap();
    assert_eq!(sender.trouble(), None);
}

/// Also where nothing is sent, and topics are looked at only now and then.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_tells_of_brokers_that_are_away_and_back() {
    let mut broker = Broker::start(&[]);
    let kafka = Kafka::new(config(&broker.address(), "looked")).unwrap();
    send(&kafka.sender(Signal::Logs), numbered(Signal::Logs, 0)).await;
    let until = async |away: bool| {
        let begun = Instant::now();
        while kafka.trouble().is_some() != away {
            assert!(begun.elapsed() < PATIENCE, "away: {away}, told: {:?}", kafka.trouble());
            kafka.look().await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    until(false).await;
    broker.kill();
    until(true).await;
    let told = kafka.trouble().unwrap();
    assert!(told.contains(&broker.address()) && told.contains("can't be reached"), "{told}");
    kafka.look().await;
    assert!(kafka.trouble().is_some(), "nobody answers");
    broker.resume();
    until(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_broker_is_named() {
    let address = format!("127.0.0.1:{}", free_port());
    let mut config = config(&address, "missing");
    config.send_timeout = Period::secs(1);
    let kafka = Kafka::new(config).unwrap();
    let error = kafka.sender(Signal::Logs).send(numbered(Signal::Logs, 3)).await.unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::Retry { .. }), "{error}");
    assert!(error.message.contains(&address) && error.message.contains("refused"), "{error}");
    assert_eq!(*error.batch, numbered(Signal::Logs, 3), "it is handed back");
    let mut receiver = kafka.receiver(Signal::Logs, Assignment::All, topics()).unwrap();
    match tokio::time::timeout(PATIENCE, receiver.next()).await.expect("it says so") {
        Err(ReceiveError::Retry(message)) => assert!(message.contains(&address), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_named_where_none_may_be_created() {
    let broker = broker();
    let config = Config { create_topics: false, ..config(&broker.address(), "none") };
    let kafka = Kafka::new(config).unwrap();
    let error = kafka.sender(Signal::Spans).send(numbered(Signal::Spans, 1)).await.unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Fatal);
    assert!(error.message.contains("none_spans") && error.message.contains("create_topics"), "{error}");
    let mut receiver = kafka.receiver(Signal::Spans, Assignment::All, topics()).unwrap();
    assert!(
        matches!(receiver.next().await, Err(ReceiveError::Fatal(message)) if message.contains("none_spans"))
    );
}
