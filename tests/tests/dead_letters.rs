//! What can't be stored is kept, shown, and sent again: in a real broker that carries the data, else in the data folder.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use weir_disk::RealDisk;
use weir_model::otlp::{BodyWriter, LogWriter};
use weir_model::{Incarnation, Signal};
use weir_testkit::kafka::Broker;
use weir_tests::client::Client;
use weir_tests::http::Http;
use weir_tests::letters::{Listed, dlq, letters, line, listed};
use weir_tests::server::{KillAt, Server, binary};
use weir_transport::disk_log::DiskDeadLetters;
use weir_transport::{Batch, DeadLetters, Lane, Letter, Position, SendErrorKind, Sender, envelope};
use weir_transport_kafka::{Config, Kafka};

/// How long anything may take that must come. Generous: it is only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

async fn wait_for_letters(config: &Path, count: usize) -> Vec<Listed> {
    let waiting = async {
        loop {
            let found = letters(config);
            if found.len() >= count {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the letters come")
}

async fn send(sender: &dyn Sender, mut batch: Batch) {
    while let Err(error) = sender.send(batch).await {
        assert!(matches!(error.kind, SendErrorKind::Retry { .. }), "{error}");
        batch = *error.batch;
    }
}

/// A line that can be stored.
fn once_refused() -> Batch {
    line(Incarnation(11), "once refused")
}

fn spans_without_ids() -> Batch {
    let mut body = BodyWriter::default();
    body.resource(|attrs| attrs.str("service.name", "careless"));
    body.scope("", "");
    // Only a name, field 5.
    body.record(|out| out.bytes(5, b"nobody's work"));
    Batch { signal: Signal::Spans, origins: Vec::new(), route: 0, arrived: 1, body: body.finish().into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_kept_shown_and_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(&[]);
    let text = format!("kafka: {{ brokers: [\"{}\"], partitions: 2 }}\n", broker.address());
    let file = dir.path().join("weir.yaml");
    std::fs::write(&file, &text).unwrap();
    assert!(dlq(&file, &["list"]).contains("no dead letters"));

    let collector = || Client::new(Server::role("collector", dir.path(), &text, &[]).unwrap());
    let mut client = collector();
    let kafka = Kafka::new(Config { brokers: vec![broker.address()], partitions: 2, ..Config::default() });
    let kafka = kafka.unwrap();
    send(&kafka.sender(Signal::Spans), spans_without_ids()).await;
    send(&kafka.sender(Signal::Logs), Batch { origins: Vec::new(), ..once_refused() }).await;
    let stranger: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", broker.address()).create().unwrap();
    let garbage = FutureRecord::<(), _>::to("otlp_logs").payload("not protobuf").partition(1);
    stranger.send(garbage, PATIENCE).await.unwrap();

    let found = wait_for_letters(&file, 2).await;
    let of = |part: &str| found.iter().find(|letter| letter.from.starts_with(part)).expect(part);
    let (spans, poison) = (of("otlp_spans/"), of("otlp_logs/1@0"));
    assert!(spans.cause.contains("without trace id or span id"), "{spans:?}");
    let shown = dlq(&file, &["show", &spans.id]);
    assert!(shown.contains("service \"careless\"") && shown.contains("name = nobody's work"), "{shown}");
    let shown = dlq(&file, &["show", &poison.id]);
    assert!(shown.contains("content    not protobuf"), "{shown}");
    client.wait_for_totals(1, 0).await;

    // Something that was refused, and can be stored by now.
    let batch = once_refused();
    let letter = Letter {
        lane: Lane { signal: Signal::Logs, partition: 0 },
        position: Position(77),
        cause: "for the test".into(),
        records: 1,
        envelope: Some(envelope::write(&batch).into()),
        body: batch.body,
    };
    kafka.dead_letters().put(&[letter]).await.unwrap();
    let found = wait_for_letters(&file, 3).await;
    let storable = &found.iter().find(|letter| letter.cause == "for the test").unwrap().id;
    assert!(dlq(&file, &["replay"]).contains("3 dead letters were sent again"));
    client.wait_for_totals(2, 0).await;
    // The others come back, and only they.
    let back = wait_for_letters(&file, 2).await;
    assert!(back.iter().all(|letter| letter.id != spans.id && letter.id != poison.id), "{back:?}");
    assert_eq!(dlq(&file, &["list", "--all"]).matches("(sent again)").count(), 3);

    // A second time, by name: it is known.
    assert!(dlq(&file, &["replay", storable]).contains(storable));
    client
        .wait("/api/v1/ledger", |ledger| {
            let logs = ledger["records"].as_array().into_iter().flatten().find(|row| row["signal"] == "logs");
            logs.is_some_and(|logs| logs["duplicate"] == 1)
        })
        .await;
    assert_eq!(client.total("logs", "").await, 2);

    // Positions are behind what was refused: it does not come again with a restart.
    client.server.stop().unwrap();
    client = collector();
    send(&kafka.sender(Signal::Logs), Batch { origins: Vec::new(), ..once_refused() }).await;
    client.wait_for_totals(3, 0).await;
    assert_eq!(letters(&file).len(), 2);
}

/// `weir dlq` of a data folder: whether it went well, and all that it says.
fn of_folder(data: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(binary());
    command.arg("dlq").args(arguments).arg("--data-dir").arg(data).env("WEIR_LOG", "warn");
    let output = command.output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Its letters that were not sent again.
fn in_folder(data: &Path) -> Vec<Listed> {
    let (well, list) = of_folder(data, &["list"]);
    assert!(well, "{list}");
    listed(&list)
}

/// A line that nothing tells apart from another one like it.
fn stranger() -> Letter {
    let mut body = BodyWriter::default();
    body.resource(|attrs| attrs.str("service.name", "shop"));
    body.scope("", "");
    body.record(|out| LogWriter::new(out).body("once refused"));
    Letter {
        lane: Lane { signal: Signal::Logs, partition: 0 },
        position: Position(77),
        cause: "for the test".into(),
        records: 1,
        body: body.finish().into(),
        envelope: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_they_are_in_the_data_folder() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (well, said) = of_folder(&data, &["list"]);
    assert!(!well && said.contains("--data-dir") && !data.exists(), "{said}");
    let config = "agent:\n  host_metrics: 0s\n  sources: []\ncollector:\n  commit_every: 100ms\n";
    let refused = spans_without_ids().body;

    // Killed while it keeps what was refused: that is not committed yet, and comes again.
    let at = KillAt { step: "put_letters", nth: 1 };
    let server = Server::start_to_kill(dir.path(), config, at).unwrap();
    Http::default().export_spans(server.otlp(), &refused).await;
    server.killed();
    let start = || Client::new(Server::start(dir.path(), config).unwrap());
    let mut client = start();
    let waiting = async {
        while in_folder(&data).is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the letter comes");
    let letter = in_folder(&data).remove(0);
    assert!(
        letter.from.starts_with("spans/0@") && letter.cause.contains("without trace id or span id"),
        "{letter:?}"
    );
    let id = letter.id;
    let (_, shown) = of_folder(&data, &["show", &id]);
    assert!(shown.contains("service \"careless\"") && shown.contains("name = nobody's work"), "{shown}");
    let stages = client.get("/api/v1/status").await["stages"].to_string();
    assert!(stages.contains("dead letters (weir dlq list)"), "{stages}");
    let (well, said) = of_folder(&data, &["show", "99"]);
    assert!(!well && said.contains("there is no dead letter 99"), "{said}");

    // What can't be stored still comes back, and positions are behind it: a restart brings nothing.
    let (well, said) = of_folder(&data, &["replay"]);
    assert!(well && said.contains("sent again"), "{said}");
    let before = of_folder(&data, &["list", "--all"]).1.matches("(sent again)").count();
    let waiting = async {
        while in_folder(&data).is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it comes back");
    assert!(before > 0 && in_folder(&data).iter().all(|again| again.id != id));
    client.wait("/api/v1/status", |status| status["behindMs"] == 0).await;
    client.server.stop().unwrap();
    let kept = in_folder(&data).len();

    // Something that can be stored by now; and nobody runs who could send it again.
    let letters = DiskDeadLetters::open(Arc::new(RealDisk), &data.join("dead-letters"), 1 << 28, 0).unwrap();
    letters.put(&[stranger()]).await.unwrap();
    drop(letters);
    let found = in_folder(&data);
    assert_eq!(found.len(), kept + 1);
    let stored = &found[kept].id;
    let (well, said) = of_folder(&data, &["replay"]);
    assert!(!well && said.contains("start `weir up`"), "{said}");
    client = start();
    assert_eq!(in_folder(&data).len(), kept + 1, "a restart brings nothing");
    let (well, said) = of_folder(&data, &["replay"]);
    assert!(well, "{said}");
    client.wait_for_totals(1, 0).await;
    // Twice more: it is known.
    let (well, said) = of_folder(&data, &["replay", stored, stored]);
    assert!(well && said.contains("2 dead letters were sent again"), "{said}");
    client
        .wait("/api/v1/ledger", |ledger| {
            let logs = ledger["records"].as_array().into_iter().flatten().find(|row| row["signal"] == "logs");
            logs.is_some_and(|logs| logs["duplicate"] == 2)
        })
        .await;
    assert_eq!(client.total("logs", "").await, 1);

    // Without its socket the folder is another's.
    std::fs::remove_file(data.join("control.sock")).unwrap();
    let (well, said) = of_folder(&data, &["list"]);
    assert!(!well && said.contains("control.sock") && said.contains("in use by another weir"), "{said}");
    client.server.stop().unwrap();
}
