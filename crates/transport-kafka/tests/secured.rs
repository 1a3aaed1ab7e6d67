//! Kafka that asks who is there, against a real broker with TLS, SASL and rights.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use weir_model::Signal;
use weir_runtime::{Period, Secret};
use weir_testkit::secured::{PASSWORD, SecuredBroker, USER};
use weir_transport::conformance::{numbered, take};
use weir_transport::{Event, Position, ReceiveError, Receiver, SendError, SendErrorKind, Sender};
use weir_transport_kafka::{Assignment, Config, Generation, Generations, Kafka, Mechanism};

/// How long anything may take that must come. Generous: it is only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);
const LOGS: Signal = Signal::Logs;

/// The broker of all tests; it ends with the last of them.
fn broker() -> Arc<SecuredBroker> {
    static SHARED: Mutex<Weak<SecuredBroker>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let broker = Arc::new(SecuredBroker::start());
        *shared = Arc::downgrade(&broker);
        broker
    })
}

/// Topics are never recreated.
struct Unchanged;

#[async_trait]
impl Generations for Unchanged {
    async fn of(&self, _topic: &str, _id: u128) -> Result<Generation, String> {
        Ok(Generation { number: 0, is_news: false })
    }
}

/// What works, with a topic of a test's own.
fn config(broker: &SecuredBroker, topic: &str, mechanism: Mechanism) -> Config {
    let mut config = Config { brokers: vec![broker.address()], partitions: 1, ..Config::default() };
    config.topics.logs = topic.to_owned();
    config.group = format!("group-of-{topic}");
    config.send_timeout = Period::secs(2);
    config.refresh = Period::millis(200);
    config.tls.enabled = true;
    config.tls.ca_file = Some(broker.ca());
    config.sasl.mechanism = Some(mechanism);
    config.sasl.username = USER.into();
    config.sasl.password = Secret::new(PASSWORD);
    config
}

/// What a sender is told, at last where it takes a moment until a reason is known.
async fn refused(kafka: &Kafka) -> SendError {
    let sender = kafka.sender(LOGS);
    let sent = tokio::time::timeout(PATIENCE, sender.send(numbered(LOGS, 1)));
    sent.await.expect("an answer comes").expect_err("it is refused")
}

/// What a receiver is told in the end.
async fn unread(kafka: &Kafka) -> String {
    let mut receiver = kafka.receiver(LOGS, Assignment::All, Arc::new(Unchanged)).unwrap();
    loop {
        match tokio::time::timeout(PATIENCE, receiver.next()).await.expect("an answer comes") {
            Ok(Event::Assigned(lane, _)) => receiver.seek(lane, Position(0)).await.unwrap(),
            // What is told of the group may come behind it.
            Ok(_) => {}
            Err(ReceiveError::Retry(_)) => {}
            Err(error) => return error.to_string(),
        }
    }
}

fn names(message: &str, parts: &[&str]) {
    eprintln!("{message}");
    for part in parts {
        assert!(message.contains(part), "no `{part}` in `{message}`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_rights_creates_writes_and_reads() {
    let broker = broker();
    let topics = ["--topic", "by-plain", "--topic", "by-scram"];
    broker.grant(&["Create", "Describe", "DescribeConfigs", "Write", "Read"], &topics);
    broker.grant(&["Read"], &["--group", "group-of-by-plain", "--group", "group-of-by-scram"]);
    for (mechanism, topic) in [(Mechanism::Plain, "by-plain"), (Mechanism::Scram512, "by-scram")] {
        let kafka = Kafka::new(config(&broker, topic, mechanism)).unwrap();
        kafka.sender(LOGS).send(numbered(LOGS, 3)).await.unwrap();
        let mut receiver = kafka.receiver(LOGS, Assignment::All, Arc::new(Unchanged)).unwrap();
        let Ok(Event::Assigned(lane, _)) = receiver.next().await else { panic!("a lane is assigned") };
        receiver.seek(lane, Position(0)).await.unwrap();
        assert_eq!(take(&mut receiver, 1).await, [(Position(0), numbered(LOGS, 3))]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_is_told_why() {
    let broker = broker();
    let right = config(&broker, "not-let-in", Mechanism::Scram512);
    let mut password = right.clone();
    password.sasl.password = Secret::new("wrong");
    let mut plain = password.clone();
    plain.sasl.mechanism = Some(Mechanism::Plain);
    let mut mechanism = right.clone();
    mechanism.sasl.mechanism = Some(Mechanism::Scram256);
    let mut ca = right.clone();
    ca.tls.ca_file = Some(broker.other_ca());
    let mut system = right.clone();
    system.tls.ca_file = None;
    let address = broker.address();
    let cases: [(Config, &[&str]); 5] = [
        (password, &["kafka.sasl"]),
        (plain, &["kafka.sasl"]),
        (mechanism, &["kafka.sasl"]),
        (ca, &["kafka.tls.ca_file"]),
        (system, &["kafka.tls.ca_file"]),
    ];
    for (config, parts) in cases {
        let kafka = Kafka::new(config).unwrap();
        let error = refused(&kafka).await;
        assert_eq!(error.kind, SendErrorKind::Fatal, "{error}");
        assert_eq!(*error.batch, numbered(LOGS, 1), "it is handed back");
        names(&error.message, &[&[address.as_str()], parts].concat());
        names(&unread(&kafka).await, &[&[address.as_str()], parts].concat());
    }
    // To a broker that is another's, or is starting, a broken connection looks the same: it may pass.
    let mut clear = right.clone();
    clear.tls = Default::default();
    let error = refused(&Kafka::new(clear).unwrap()).await;
    assert!(matches!(error.kind, SendErrorKind::Retry { .. }), "{error}");
    names(&error.message, &[&address, "kafka.tls.enabled"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_named_and_counts_once_it_is_granted() {
    let broker = broker();
    let (address, on) = (broker.address(), ["--topic", "guarded"]);
    let kafka = Kafka::new(config(&broker, "guarded", Mechanism::Scram512)).unwrap();
    // Not even to see it.
    let error = refused(&kafka).await;
    assert_eq!(error.kind, SendErrorKind::Fatal, "{error}");
    names(&error.message, &[&address, "`guarded`", "Create"]);
    names(&unread(&kafka).await, &[&address, "`guarded`", "Create"]);
    // To make and see it.
    broker.grant(&["Create", "Describe"], &on);
    let error = refused(&kafka).await;
    assert_eq!(error.kind, SendErrorKind::Fatal, "{error}");
    names(&error.message, &[&address, "`guarded`", "Write", USER]);
    broker.grant(&["Read"], &["--group", "group-of-guarded"]);
    names(&unread(&kafka).await, &[&address, "`guarded`", "Read", USER]);
    // The same sender goes on.
    broker.grant(&["Write", "Read"], &on);
    kafka.sender(LOGS).send(numbered(LOGS, 7)).await.unwrap();
    let mut receiver = kafka.receiver(LOGS, Assignment::All, Arc::new(Unchanged)).unwrap();
    let Ok(Event::Assigned(lane, _)) = receiver.next().await else { panic!("a lane is assigned") };
    receiver.seek(lane, Position(0)).await.unwrap();
    assert_eq!(take(&mut receiver, 1).await, [(Position(0), numbered(LOGS, 7))]);
    // A group that it may not be in.
    let mut other = config(&broker, "guarded", Mechanism::Scram512);
    other.group = "theirs".into();
    names(&unread(&Kafka::new(other).unwrap()).await, &[&address, "`theirs`", "Read", USER]);
}
