//! How SQL stores write offsets and the keys of partitions into their columns. Reads and writes none.

use std::fmt::Write;

use tidelog_format::Offset;

use crate::offset::error::OffsetStoreError;
use crate::topic::{PartitionKey, RingRange, TopicName};

/// How an offset stands in a row. Those that are saved are checked before; as an end of a range, one above is as good as the highest.
pub(super) fn integer(offset: Offset) -> i64 {
    i64::try_from(offset.get()).unwrap_or(i64::MAX)
}

/// The partition that a key names. Keys without a topic are those of the first three versions: there it was not part of them.
pub(super) fn partition_of(key: &str, place: &str) -> Result<PartitionKey, OffsetStoreError> {
    let parsed = || {
        let mut parts = key.splitn(3, '/');
        let topic = format!("{}/{}", parts.next()?, parts.next()?).parse().ok()?;
        let mut numbers = parts.next()?.strip_prefix("ring:")?.split(":range:");
        let size = numbers.next()?.parse().ok()?;
        let (start, stop) = numbers.next()?.split_once('-')?;
        Some(PartitionKey { topic, range: RingRange::new(size, start.parse().ok()?, stop.parse().ok()?).ok()? })
    };
    parsed().ok_or_else(|| OffsetStoreError::Malformed { place: format!("{place}: key {key:?}"), what: "no partition" })
}

/// The key of a partition, with room for it: grown piece by piece, it takes a tenth of a read.
pub(super) fn key_of(partition: &PartitionKey) -> String {
    let mut key = String::with_capacity(partition.topic.namespace.len() + partition.topic.name.len() + RING_BYTES);
    // A string takes all that it is told.
    let _ = write!(key, "{partition}");
    key
}

/// All keys between these two are of the topic: ';' comes right behind ':'.
pub(super) fn keys_of(topic: &TopicName) -> [String; 2] {
    ["ring:", "ring;"].map(|end| format!("{}/{}/{end}", topic.namespace, topic.name))
}

/// Bytes of a share of the ring, and of what is between the parts, at most.
const RING_BYTES: usize = 48;
