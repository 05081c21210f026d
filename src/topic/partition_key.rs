//! What a partition is known by wherever it is referred to from outside of its directory. Knows no directory.

use std::fmt;

use crate::topic::name::TopicName;
use crate::topic::ring_range::RingRange;

/// The identity of a partition: its topic and its share of the ring, as text `namespace/topic/ring:4096:range:0-1024`.
///
/// Never a time, and never a number that another partition could be given later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// The topic, with its namespace.
    pub topic: TopicName,
    /// Its share of the ring.
    pub range: RingRange,
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic.namespace, self.topic.name, self.range)
    }
}
