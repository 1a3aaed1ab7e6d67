//! What the group gives to this process and takes away from it.

use std::collections::BTreeSet;

use rdkafka::TopicPartitionList;
use weir_transport::{Event, ReceiveError};

use super::KafkaReceiver;
use crate::group::{self, Rebalance};

impl KafkaReceiver {
    /// The group gives partitions to this process, or takes them away.
    pub(super) fn rebalanced(&mut self, news: Rebalance) {
        let Some(member) = &mut self.member else { return };
        match news {
            Rebalance::Given(partitions) => member.given.extend(partitions),
            Rebalance::Taken(partitions) => {
                member.given.retain(|given| !partitions.contains(given));
                member.taken.get_or_insert_default().extend(&partitions);
                for partition in partitions {
                    if let Some(held) = self.lanes.get(&partition) {
                        let (lane, epoch) = (self.lane(partition), held.epoch);
                        self.forget(lane);
                        self.events.push_back(Event::Revoked(lane, epoch));
                    }
                }
            }
        }
    }

    /// Gives back to the group what it has taken away already.
    pub(super) fn leave(&mut self) {
        if let Some(member) = &mut self.member {
            member.leave();
            if let Some(taken) = member.taken.take() {
                self.give_up(taken);
            }
        }
    }

    /// Lets others have what was taken away; its owner knows.
    pub(super) fn give_up(&mut self, partitions: BTreeSet<u32>) {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            self.lanes.remove(&partition);
            list.add_partition(&self.topic, partition as i32);
        }
        if let Err(error) = group::give_up(self.consumer.as_ref(), &list) {
            tracing::warn!(topic = self.topic, %error, "partitions can't be given up");
        }
    }

    /// Settles what the group has given or taken away. True when there was something.
    pub(super) async fn settle(&mut self) -> Result<bool, ReceiveError> {
        let Some(member) = &mut self.member else { return Ok(false) };
        if let Some(taken) = member.taken.take() {
            self.give_up(taken);
            return Ok(true);
        }
        if member.given.is_empty() {
            return Ok(false);
        }
        let epoch = member.epochs.next().await.map_err(|error| {
            ReceiveError::Retry(format!("the store gives no number to an assignment: {error}"))
        })?;
        let given = std::mem::take(&mut member.given);
        tracing::info!(topic = self.topic, partitions = ?given, epoch = epoch.0, "assigned");
        self.announce(given, epoch);
        Ok(true)
    }
}
