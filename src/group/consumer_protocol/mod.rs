//! The bytes by which members and assignors of Kafka's consumer groups talk: what a member wants and has, and what it is assigned. Reads no other
//! message of Kafka's.
//!
//! Topics are names as they stand on the wire. A member that embeds the engine writes a [`TopicName`](crate::TopicName) as its text,
//! `[namespace/]name`, and reads it so: a Kafka client, whose names have no `/`, is in the namespace `default`. Whoever serves Kafka's clients from
//! another namespace maps the names.

mod assignment;
mod error;
mod sticky_user_data;
mod subscription;
mod wire;

use std::collections::BTreeMap;

pub use assignment::ConsumerProtocolAssignment;
pub use error::ConsumerProtocolError;
pub use sticky_user_data::StickyUserData;
pub use subscription::ConsumerProtocolSubscription;

use crate::error::TopicError;
use crate::group::topic_partition::TopicPartition;

/// Numbers of partitions by topic.
type ByTopic = BTreeMap<String, Vec<u32>>;

fn by_topic(partitions: &[TopicPartition]) -> ByTopic {
    let mut by_topic = ByTopic::new();
    for partition in partitions {
        by_topic.entry(partition.topic.to_string()).or_default().push(partition.partition);
    }
    by_topic
}

fn partitions(by_topic: &ByTopic) -> Result<Vec<TopicPartition>, TopicError> {
    let mut partitions = Vec::new();
    for (topic, numbers) in by_topic {
        let topic = topic.parse()?;
        partitions.extend(numbers.iter().map(|number| TopicPartition::new(Clone::clone(&topic), *number)));
    }
    Ok(partitions)
}

/// The newest version of either message, whose fields later ones begin with.
const LATEST_VERSION: i16 = 3;
