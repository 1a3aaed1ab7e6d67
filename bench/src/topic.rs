//! A topic as its reader sees it: how many messages it has, what is in them, and what they take on the broker's disk.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use weir_testkit::kafka::{Admin, Broker};

/// Longest wait for an answer or a message of a broker that has them.
const ANSWER: Duration = Duration::from_secs(30);
/// Partitions of a topic, and the largest message that it takes: as Weir makes its topics.
pub const PARTITIONS: i32 = 4;
const MESSAGE_BYTES: &str = "8388608";

/// A topic.
pub struct Topic<'a> {
    name: String,
    broker: &'a Broker,
    consumer: BaseConsumer,
}

impl<'a> Topic<'a> {
    /// Makes one.
    ///
    /// # Errors
    /// When there is no client.
    pub async fn create(broker: &'a Broker, name: &str) -> anyhow::Result<Self> {
        let settings = [("max.message.bytes", MESSAGE_BYTES)];
        Admin::new(&broker.address()).create(name, PARTITIONS, &settings).await;
        Self::open(broker, name)
    }

    /// One that is there.
    ///
    /// # Errors
    /// When there is no client.
    pub fn open(broker: &'a Broker, name: &str) -> anyhow::Result<Self> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", broker.address()).set("group.id", "bench");
        Ok(Self { name: name.into(), broker, consumer: client.create()? })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Messages that the broker has acknowledged or is about to: the sum of the partitions' ends.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn messages(&self) -> anyhow::Result<u64> {
        let ends = (0..PARTITIONS).map(|partition| {
            let (low, high) = self.consumer.fetch_watermarks(&self.name, partition, ANSWER)?;
            Ok((high - low) as u64)
        });
        ends.sum()
    }

    /// Gives every message's payload to the reader.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn read(&self, mut each: impl FnMut(&[u8])) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(&self.name, partition, Offset::Beginning)?;
        }
        self.consumer.assign(&list)?;
        let (mut left, mut last) = (self.messages()?, Instant::now());
        while left > 0 {
            // It also returns when it was told of something else.
            let Some(message) = self.consumer.poll(ANSWER) else {
                ensure!(last.elapsed() < ANSWER, "{left} messages of {} do not come", self.name);
                continue;
            };
            each(message?.payload().unwrap_or_default());
            (left, last) = (left - 1, Instant::now());
        }
        self.consumer.unassign()?;
        Ok(())
    }

    /// Bytes of the messages on the broker's disk.
    ///
    /// # Errors
    /// When its folder can't be read.
    pub fn disk_bytes(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for partition in 0..PARTITIONS {
            for entry in fs::read_dir(self.broker.data().join(format!("{}-{partition}", self.name)))? {
                let entry = entry?;
                if entry.path().extension().is_some_and(|extension| extension == "log") {
                    sum += entry.metadata()?.len();
                }
            }
        }
        ensure!(sum > 0, "{} holds nothing", self.name);
        Ok(sum)
    }

    /// Removes it with all that it holds.
    pub async fn remove(self) {
        Admin::new(&self.broker.address()).delete(&self.name).await;
    }
}
