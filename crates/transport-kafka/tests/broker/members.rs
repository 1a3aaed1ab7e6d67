//! Members of a group share the partitions.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use weir_model::Signal;
use weir_testkit::kafka::Broker;
use weir_transport::conformance::{numbered, take};
use weir_transport::{Batch, Epoch, Event, Lane, Position, ReceiveError, Receiver};
use weir_transport_kafka::{Assignment, Config, Kafka, KafkaReceiver};

use crate::{Counter, broker, config, event, send, topics};

/// A lane as all members see it: the last epoch, from where it is to be delivered, and whether somebody has it.
type Seen = BTreeMap<Lane, (Epoch, Position, bool)>;

/// Reads as an owner does that keeps positions where others of its group see them, until it is told to stop.
async fn share(
    mut receiver: KafkaReceiver,
    positions: Arc<Mutex<Seen>>,
    found: tokio::sync::mpsc::UnboundedSender<u64>,
    mut stop: tokio::sync::oneshot::Receiver<()>,
) {
    let mut mine: HashMap<Lane, Epoch> = HashMap::new();
    loop {
        let event = tokio::select! {
            biased;
            _ = &mut stop => {
                mine.keys().for_each(|lane| positions.lock().unwrap().get_mut(lane).unwrap().2 = false);
                return;
            }
            event = receiver.next() => event,
        };
        match event {
            Err(ReceiveError::Retry(_)) => {}
            Err(error) => panic!("{error}"),
            Ok(Event::Assigned(lane, epoch)) => {
                let from = {
                    let mut positions = positions.lock().unwrap();
                    let (last, from, held) = positions.entry(lane).or_default();
                    assert!(*last < epoch, "epochs of a lane grow over all members");
                    assert!(!*held, "whoever had it was told that it is taken away");
                    (*last, *held) = (epoch, true);
                    *from
                };
                assert_eq!(mine.insert(lane, epoch), None, "it was taken away before it is given again");
                receiver.seek(lane, from).await.unwrap();
            }
            Ok(Event::Revoked(lane, epoch)) => {
                assert_eq!(mine.remove(&lane), Some(epoch));
                positions.lock().unwrap().get_mut(&lane).unwrap().2 = false;
            }
            Ok(Event::Gap(..) | Event::Poison(..)) => panic!("nothing is missing"),
            Ok(Event::Data(lane, epoch, data)) => {
                assert_eq!(mine.get(&lane), Some(&epoch), "only what is assigned comes");
                for (position, batch) in data {
                    let mut positions = positions.lock().unwrap();
                    let (last, next, _) = positions.get_mut(&lane).unwrap();
                    assert_eq!(
                        (*last, *next),
                        (epoch, position),
                        "it is read by one member at a time, in order"
                    );
                    *next = position.next();
                    found.send(batch.route).unwrap();
                }
                let (_, next, _) = positions.lock().unwrap()[&lane];
                receiver.done(lane, epoch, next).await.unwrap();
            }
        }
    }
}

/// Members come and go under load: each message is read once, by whoever has its partition.
#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_group_share_the_partitions() {
    let broker = broker();
    let config = Config { partitions: 4, ..config(&broker.address(), "shared") };
    let kafka = Kafka::new(config).unwrap();
    let (epochs, positions) = (Arc::new(Counter::default()), Arc::new(Mutex::default()));
    let join = || {
        let (told, found) = tokio::sync::mpsc::unbounded_channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let receiver = kafka.receiver(Signal::Metrics, Assignment::Shared(epochs.clone()), topics()).unwrap();
        let reading = tokio::spawn(share(receiver, positions.clone(), told, stopped));
        (reading, found, stop)
    };
    let sender = kafka.sender(Signal::Metrics);
    let mut sent = 0;
    // Without origins they go by their number.
    let mut feed = async || {
        for _ in 0..8 {
            send(&sender, Batch { origins: Vec::new(), ..numbered(Signal::Metrics, sent) }).await;
            sent += 1;
        }
        sent
    };
    let mut seen = HashSet::new();
    let (first, mut by_first, stop_first) = join();
    feed().await;
    while seen.len() < 8 {
        assert!(seen.insert(by_first.recv().await.unwrap()), "none comes twice");
    }
    // A second one gets some of the partitions, and the first goes on with the others.
    let (second, mut by_second, stop_second) = join();
    let mut shares = (0, 0);
    while shares.0 == 0 || shares.1 == 0 {
        shares = (0, 0);
        let sent = feed().await;
        while seen.len() < sent as usize {
            let (n, share) = tokio::select! {
                Some(n) = by_first.recv() => (n, &mut shares.0),
                Some(n) = by_second.recv() => (n, &mut shares.1),
            };
            *share += 1;
            assert!(seen.insert(n), "none comes twice");
        }
    }
    // The first leaves, and the second gets all of them.
    stop_first.send(()).unwrap();
    first.await.unwrap();
    let sent = feed().await;
    while seen.len() < sent as usize {
        assert!(seen.insert(by_second.recv().await.unwrap()), "none comes twice");
    }
    stop_second.send(()).unwrap();
    second.await.unwrap();
}

/// An owner that can take nothing for longer than its group waits keeps its lanes, and is told of those that another member is to have.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_holds_keeps_its_lanes() {
    // Shorter than brokers and clients have it.
    const INTERVAL: Duration = Duration::from_secs(3);
    let broker = Broker::start(&[("group.min.session.timeout.ms", "500")]);
    let mut config = Config { partitions: 2, ..config(&broker.address(), "held") };
    let interval = INTERVAL.as_millis();
    config.librdkafka = [
        ("session.timeout.ms", interval),
        ("heartbeat.interval.ms", 500),
        ("max.poll.interval.ms", interval),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_string()))
    .into();
    let kafka = Kafka::new(config).unwrap();
    let epochs = Arc::new(Counter::default());
    let receiver = || kafka.receiver(Signal::Logs, Assignment::Shared(epochs.clone()), topics()).unwrap();
    let sender = kafka.sender(Signal::Logs);
    let message = |number| Batch { origins: Vec::new(), ..numbered(Signal::Logs, number) };
    let mut first = receiver();
    let mut lanes = Vec::new();
    while lanes.len() < 2 {
        let Event::Assigned(lane, epoch) = event(&mut first).await else { panic!("lanes are assigned") };
        first.seek(lane, Position::default()).await.unwrap();
        lanes.push((lane, epoch));
    }

    let sending = async {
        for number in 0..8 {
            send(&sender, message(number)).await;
        }
        tokio::time::sleep(2 * INTERVAL).await;
    };
    tokio::select! {
        taken = first.hold() => panic!("no lane is taken away, not {taken:?}"),
        () = sending => {}
    }
    let mut came = Vec::new();
    while came.len() < 8 {
        let Event::Data(lane, epoch, data) = event(&mut first).await else { panic!("data comes") };
        assert!(lanes.contains(&(lane, epoch)), "under the same epoch");
        came.extend(data.into_iter().map(|(_, batch)| batch.route));
    }
    came.sort_unstable();
    assert_eq!(came, Vec::from_iter(0..8), "each once");

    let mut second = receiver();
    let mut taken = Vec::new();
    let given = tokio::select! {
        event = event(&mut second) => event,
        () = async { loop { taken.push(first.hold().await) } } => unreachable!(),
    };
    let Event::Assigned(given, epoch) = given else { panic!("the second member gets a lane") };
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].0, given);
    assert!(lanes.contains(&taken[0]) && epoch > taken[0].1);

    // It comes back, and is read again.
    drop(second);
    for number in 8..40 {
        send(&sender, message(number)).await;
    }
    loop {
        match event(&mut first).await {
            Event::Assigned(lane, _) => {
                assert_eq!(lane, given);
                first.seek(lane, Position::default()).await.unwrap();
            }
            Event::Data(lane, ..) if lane == given => break,
            Event::Data(..) => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
}

/// A store that says that a lane is another's, against the word of the group: it is assigned anew, under a higher epoch.
#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_member_gets_a_higher_epoch() {
    let broker = broker();
    let kafka = Kafka::new(config(&broker.address(), "fenced")).unwrap();
    let epochs = Arc::new(Counter::default());
    let mut receiver = kafka.receiver(Signal::Logs, Assignment::Shared(epochs), topics()).unwrap();
    send(&kafka.sender(Signal::Logs), numbered(Signal::Logs, 1)).await;
    let Event::Assigned(lane, first) = event(&mut receiver).await else { panic!("a lane is assigned") };
    receiver.fenced(lane, first).await;
    let Event::Assigned(again, second) = event(&mut receiver).await else { panic!("it is assigned again") };
    assert_eq!(again, lane);
    assert!(second > first);
    assert!(receiver.done(lane, first, Position(0)).await.is_err());
    receiver.seek(lane, Position(0)).await.unwrap();
    assert_eq!(take(&mut receiver, 1).await, [(Position(0), numbered(Signal::Logs, 1))]);
}
