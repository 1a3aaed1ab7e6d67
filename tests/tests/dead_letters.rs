//! What can't be stored comes from a real broker, is kept there, shown, and sent again.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use weir_model::otlp::{BodyWriter, LogWriter};
use weir_model::{Incarnation, Signal, identity};
use weir_testkit::kafka::Broker;
use weir_tests::client::Client;
use weir_tests::server::{Server, binary};
use weir_transport::{Batch, DeadLetters, Lane, Letter, Origin, Position, SendErrorKind, Sender, envelope};
use weir_transport_kafka::{Config, Kafka};

/// How long anything may take that must come. Generous: it is only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// `weir dlq` with arguments: what it prints.
fn dlq(config: &Path, arguments: &[&str]) -> String {
    let output = Command::new(binary())
        .arg("dlq")
        .args(arguments)
        .arg("--config")
        .arg(config)
        .env("WEIR_LOG", "warn")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "dlq {arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

/// The letters that were not sent again: their names and the rest of their line.
fn letters(config: &Path) -> Vec<(String, String)> {
    let list = dlq(config, &["list"]);
    let lines = list.lines().filter(|line| line.contains('@') && !line.starts_with("LETTER"));
    lines
        .map(|line| {
            let (id, rest) = line.split_once(' ').expect("columns");
            (id.to_owned(), rest.to_owned())
        })
        .collect()
}

async fn wait_for_letters(config: &Path, count: usize) -> Vec<(String, String)> {
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

fn line() -> Batch {
    let source = Incarnation(11);
    let mut body = BodyWriter::default();
    body.resource(|attrs| {
        attrs.str("service.name", "shop");
        attrs.str(identity::INCARNATION, &source.to_string());
    });
    body.scope("", "");
    body.record(|out| {
        let mut log = LogWriter::new(out);
        log.body("once refused");
        log.attrs().int(identity::OFFSET, 40);
    });
    let origins = vec![Origin { incarnation: source, range: 40..41, acked_below: 0 }];
    Batch { signal: Signal::Logs, origins, route: 0, arrived: 1, body: body.finish().into() }
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
    send(&kafka.sender(Signal::Logs), Batch { origins: Vec::new(), ..line() }).await;
    let stranger: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", broker.address()).create().unwrap();
    let garbage = FutureRecord::<(), _>::to("otlp_logs").payload("not protobuf").partition(1);
    stranger.send(garbage, PATIENCE).await.unwrap();

    let found = wait_for_letters(&file, 2).await;
    let of = |part: &str| found.iter().find(|(_, rest)| rest.contains(part)).expect(part);
    let (spans, poison) = (of("otlp_spans/"), of("otlp_logs/1@0"));
    assert!(spans.1.contains("without trace id or span id"), "{}", spans.1);
    let shown = dlq(&file, &["show", &spans.0]);
    assert!(shown.contains("service \"careless\"") && shown.contains("name = nobody's work"), "{shown}");
    let shown = dlq(&file, &["show", &poison.0]);
    assert!(shown.contains("content    not protobuf"), "{shown}");
    client.wait_for_totals(1, 0).await;

    // Something that was refused, and can be stored by now.
    let batch = line();
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
    let storable = &found.iter().find(|(_, rest)| rest.contains("for the test")).unwrap().0;
    assert!(dlq(&file, &["replay"]).contains("3 dead letters were sent again"));
    client.wait_for_totals(2, 0).await;
    // The others come back, and only they.
    let back = wait_for_letters(&file, 2).await;
    assert!(back.iter().all(|(id, _)| id != &spans.0 && id != &poison.0), "{back:?}");
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
    send(&kafka.sender(Signal::Logs), Batch { origins: Vec::new(), ..line() }).await;
    client.wait_for_totals(3, 0).await;
    assert_eq!(letters(&file).len(), 2);
}
