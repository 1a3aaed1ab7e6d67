//! Sharing the partitions of a topic with other collectors: what the group's coordinator gives and takes away.
//!
//! Partitions change hands cooperatively: those that stay where they are go on being read. One that is taken away is given up only when its
//! owner, told of it, asks for the next event, and so has made durable what it wants to. Whoever gets it next does so under a higher
//! epoch, by which the store fences those before it: a process that has not noticed yet can't move the position.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::mpsc;
use weir_transport::Epoch;

use crate::client::Context;

/// Who reads which partitions.
#[derive(Clone)]
pub enum Assignment {
    /// This process all of them: the store is its alone.
    All,
    /// Each process of the group some of them, each time under an epoch that is drawn.
    Shared(Arc<dyn Epochs>),
}

/// Numbers assignments across all processes of a deployment.
#[async_trait]
pub trait Epochs: Send + Sync {
    /// An epoch that is higher than all that were drawn before, by whomever.
    ///
    /// # Errors
    /// With a passing reason.
    async fn next(&self) -> Result<Epoch, String>;
}

/// Partitions that were given or taken away.
#[derive(Debug)]
pub(crate) enum Rebalance {
    Given(Vec<u32>),
    Taken(Vec<u32>),
}

/// The side of it that librdkafka calls, whenever the consumer is polled.
#[derive(Debug, Clone)]
pub(crate) struct Coordinator {
    tell: mpsc::UnboundedSender<Rebalance>,
    /// Nobody listens any more.
    leaving: Arc<AtomicBool>,
}

impl Coordinator {
    pub(crate) fn rebalance(
        &self,
        consumer: &BaseConsumer<Context>,
        what: RDKafkaRespErr,
        partitions: &TopicPartitionList,
    ) {
        let numbers = partitions.elements().iter().map(|found| found.partition() as u32).collect();
        let given = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let done = match (given, self.leaving.load(Ordering::Relaxed)) {
            (true, leaving) => {
                if !leaving {
                    // Only a receiver that was dropped does not take it.
                    let _ = self.tell.send(Rebalance::Given(numbers));
                }
                // Each is read from where its owner says, and not before.
                consumer.incremental_assign(&TopicPartitionList::new())
            }
            (false, true) => give_up(consumer, partitions),
            (false, false) => {
                let _ = self.tell.send(Rebalance::Taken(numbers));
                Ok(())
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, "partitions can't be taken over or given up");
        }
    }
}

/// Stops reading partitions, those of them that are read, and lets others have them.
pub(crate) fn give_up<C: Consumer<Context>>(
    consumer: &C,
    partitions: &TopicPartitionList,
) -> KafkaResult<()> {
    let read = consumer.assignment()?;
    let mut list = TopicPartitionList::new();
    for found in partitions.elements() {
        if read.find_partition(found.topic(), found.partition()).is_some() {
            list.add_partition(found.topic(), found.partition());
        }
    }
    consumer.incremental_unassign(&list)
}

/// The receiver's side of it.
pub(crate) struct Member {
    pub(crate) epochs: Arc<dyn Epochs>,
    pub(crate) news: mpsc::UnboundedReceiver<Rebalance>,
    /// Partitions of which the owner was not told yet.
    pub(crate) given: BTreeSet<u32>,
    /// Partitions that the owner gives up when it asks for the next event. Some where the coordinator waits for that, if only for none.
    pub(crate) taken: Option<BTreeSet<u32>>,
    /// Whether it has joined the group.
    pub(crate) joined: bool,
    leaving: Arc<AtomicBool>,
}

impl Member {
    pub(crate) fn new(epochs: Arc<dyn Epochs>) -> (Self, Coordinator) {
        let (tell, news) = mpsc::unbounded_channel();
        let leaving = Arc::new(AtomicBool::new(false));
        let coordinator = Coordinator { tell, leaving: leaving.clone() };
        let member = Self { epochs, news, given: BTreeSet::new(), taken: None, joined: false, leaving };
        (member, coordinator)
    }

    /// From now on whatever is taken away is given up at once.
    pub(crate) fn leave(&mut self) {
        self.leaving.store(true, Ordering::Relaxed);
        while let Ok(news) = self.news.try_recv() {
            if let Rebalance::Taken(partitions) = news {
                self.taken.get_or_insert_default().extend(partitions);
            }
        }
    }
}
