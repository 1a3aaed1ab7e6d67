//! Kafka as a transport, against a real broker: the battery, and what brokers and topics go through.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::JoinSet;
use weir_model::otlp::{BodyWriter, Refs, Span, SpanWriter};
use weir_model::{Signal, SpanId, TraceId};
use weir_runtime::{ByteSize, Period};
use weir_testkit::free_port;
use weir_testkit::kafka::{Admin, Broker, Cluster};
use weir_transport::conformance::{numbered, run, take};
use weir_transport::{
    Batch, Cause, DeadLetters, Epoch, Event, Lane, Letter, Position, ReceiveError, Receiver, SendError,
    SendErrorKind, Sender, envelope,
};
use weir_transport_kafka::{
    Assignment, Compression, Config, Epochs, Generation, Generations, Kafka, KafkaReceiver,
};

/// How long anything may take that must come. Generous: it is only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// The broker of all tests that leave it alone; it ends with the last of them.
fn broker() -> Arc<Broker> {
    static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let broker = Arc::new(Broker::start(&[]));
        *shared = Arc::downgrade(&broker);
        broker
    })
}

/// Topics of one test's own.
fn config(address: &str, test: &str) -> Config {
    let mut config = Config { brokers: vec![address.to_owned()], partitions: 1, ..Config::default() };
    config.topics.logs = format!("{test}_logs");
    config.topics.spans = format!("{test}_spans");
    config.topics.metrics = format!("{test}_metrics");
    config.topics.dead_letters = format!("{test}_dead_letters");
    config.refresh = Period::millis(200);
    config
}

fn admin(address: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", address).create().unwrap()
}

/// Remembers topics as a store does, by their names, which are each test's own.
#[derive(Default)]
struct Topics(Mutex<HashMap<String, (u128, u64)>>);

#[async_trait]
impl Generations for Topics {
    async fn of(&self, topic: &str, id: u128) -> Result<Generation, String> {
        let mut known = self.0.lock().unwrap();
        let (last, number) = known.entry(topic.to_owned()).or_insert((id, 0));
        let is_news = *last != id;
        if is_news {
            (*last, *number) = (id, *number + 1);
        }
        Ok(Generation { number: *number, is_news })
    }
}

fn topics() -> Arc<dyn Generations> {
    static ALL: LazyLock<Arc<Topics>> = LazyLock::new(Arc::default);
    ALL.clone()
}

async fn event(receiver: &mut KafkaReceiver) -> Event {
    loop {
        match tokio::time::timeout(PATIENCE, receiver.next()).await.expect("an event comes") {
            Err(ReceiveError::Retry(_)) => {}
            other => return other.expect("no error that stays"),
        }
    }
}

/// Takes the lanes that are assigned, and reads each from `position`.
async fn open(kafka: &Kafka, signal: Signal, lanes: u32, position: Position) -> KafkaReceiver {
    let mut receiver = kafka.receiver(signal, Assignment::All, topics()).unwrap();
    for partition in 0..lanes {
        let Event::Assigned(lane, _) = event(&mut receiver).await else { panic!("a lane is assigned first") };
        assert_eq!(lane, Lane { signal, partition });
    }
    for partition in 0..lanes {
        receiver.seek(Lane { signal, partition }, position).await.unwrap();
    }
    receiver
}

async fn send(sender: &dyn Sender, mut batch: Batch) -> Position {
    loop {
        match tokio::time::timeout(PATIENCE, sender.send(batch)).await.expect("an answer comes") {
            Ok(position) => return position,
            Err(SendError { kind: SendErrorKind::Retry { .. }, batch: back, .. }) => batch = *back,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn the_battery_of(signal: Signal, compression: Compression) {
    let broker = broker();
    let config = Config { compression, ..config(&broker.address(), "battery") };
    let kafka = Kafka::new(config).unwrap();
    run(signal, &kafka.sender(signal), || kafka.receiver(signal, Assignment::All, topics()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_pass_the_battery() {
    the_battery_of(Signal::Logs, Compression::Lz4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_pass_the_battery() {
    the_battery_of(Signal::Spans, Compression::Zstd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_pass_the_battery() {
    the_battery_of(Signal::Metrics, Compression::Lz4).await;
}

/// Draws epochs in this process alone.
#[derive(Default)]
struct Counter(AtomicU64);

#[async_trait]
impl Epochs for Counter {
    async fn next(&self) -> Result<Epoch, String> {
        Ok(Epoch(self.0.fetch_add(1, Ordering::Relaxed) + 1))
    }
}

/// Each reader is the only member of a group of its own: the battery has several of them at a time read everything.
#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_group_pass_the_battery() {
    let broker = broker();
    let config = config(&broker.address(), "member_battery");
    let kafka = Kafka::new(config.clone()).unwrap();
    let (groups, epochs) = (AtomicU64::new(0), Arc::new(Counter::default()));
    let receiver = || {
        let group = format!("battery-{}", groups.fetch_add(1, Ordering::Relaxed));
        let kafka = Kafka::new(Config { group, ..config.clone() }).unwrap();
        kafka.receiver(Signal::Logs, Assignment::Shared(epochs.clone()), topics()).unwrap()
    };
    run(Signal::Logs, &kafka.sender(Signal::Logs), receiver).await;
}

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

/// Bytes that no compression makes smaller, as the names of spans.
fn noisy_spans(count: u64) -> Bytes {
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + (state >> 33) as u8 % 90)
    };
    let mut body = BodyWriter::default();
    body.resource(|_| ());
    body.scope("", "");
    for n in 1..=count {
        let name: String = (0..100).map(|_| noise()).collect();
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
    // Parts of a range can't be told apart, so it goes as it is.
    let error = kafka
        .sender(Signal::Logs)
        .send(Batch { body: body.clone(), ..numbered(Signal::Logs, 1) })
        .await
        .unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Refused);
    assert!(error.message.contains("max.message.bytes"), "{error}");
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
        let Event::Assigned(lane, epoch) = event(&mut receiver).await else { panic!("a lane is assigned") };
        epochs.push(epoch);
        receiver.seek(lane, resume).await.unwrap();
        if round > 0 {
            let Event::Gap(_, lost, Cause::Recreated) = event(&mut receiver).await else { panic!("a gap") };
            assert_eq!(lost.start, resume);
        }
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
