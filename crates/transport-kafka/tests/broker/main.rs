//! Kafka as a transport, against a real broker: the battery, and what brokers and topics go through.

mod battery;
mod members;
mod messages;
mod outages;
mod topics;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use weir_model::Signal;
use weir_runtime::Period;
use weir_testkit::kafka::Broker;
use weir_transport::{
    Batch, Epoch, Event, Lane, Position, ReceiveError, Receiver, SendError, SendErrorKind, Sender,
};
use weir_transport_kafka::{Assignment, Config, Epochs, Generation, Generations, Kafka, KafkaReceiver};

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

/// Draws epochs in this process alone.
#[derive(Default)]
struct Counter(AtomicU64);

#[async_trait]
impl Epochs for Counter {
    async fn next(&self) -> Result<Epoch, String> {
        Ok(Epoch(self.0.fetch_add(1, Ordering::Relaxed) + 1))
    }
}
