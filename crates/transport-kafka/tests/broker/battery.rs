//! The battery that all transports pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use weir_model::Signal;
use weir_transport::conformance::run;
use weir_transport_kafka::{Assignment, Compression, Config, Kafka};

use crate::{Counter, broker, config, topics};

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
