//! A partition as members of a group name it: by its number in its topic. Knows no range of the ring.

use std::fmt;

use crate::topic::TopicName;

/// A partition of a topic by its number, as text `[namespace/]name-number`. A topic that is divided otherwise goes on counting, so that a number is
/// never another partition's.
///
/// ```
/// use tidelog::group::TopicPartition;
///
/// let partition = TopicPartition::new("shop/orders".parse()?, 3);
/// assert_eq!(partition.to_string(), "shop/orders-3");
/// # Ok::<(), tidelog::TopicError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The number of the partition in it.
    pub partition: u32,
}

impl TopicPartition {
    /// The partition with this number.
    pub fn new(topic: TopicName, partition: u32) -> Self {
        Self { topic, partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
