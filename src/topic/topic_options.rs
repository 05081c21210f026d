//! How a topic is made: into how many partitions its ring is divided, and where. Makes nothing by itself.

use crate::error::TopicError;
use crate::log::{RING_SIZE, ring_range};
use crate::topic::ring_range::RingRange;

/// What a topic is made with. Default one partition, which has the whole ring.
///
/// ```
/// use tidelog::{RingRange, Store, TopicOptions};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path())?;
/// let orders = store.create_topic_with("orders", TopicOptions::new().partitions(4))?;
/// assert_eq!(orders.partition_key(3)?.range, RingRange::new(4096, 3072, 4096)?);
/// let ranges = [RingRange::new(4096, 0, 100)?, RingRange::new(4096, 100, 4096)?];
/// assert_eq!(store.create_topic_with("skewed", TopicOptions::new().ranges(ranges))?.partition_count(), 2);
/// assert!(store.create_topic_with("gap", TopicOptions::new().ranges([ranges[1]])).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicOptions {
    ranges: Ranges,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ranges {
    Even(u32),
    Given(Vec<RingRange>),
}

impl Default for TopicOptions {
    fn default() -> Self {
        Self { ranges: Ranges::Even(1) }
    }
}

impl TopicOptions {
    /// One partition.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many partitions, 1 to 4,096, with ranges as even as they come.
    pub fn partitions(self, count: u32) -> Self {
        Self { ranges: Ranges::Even(count) }
    }

    /// A partition for each range, numbered in the order given. Together they tile the ring of 4,096 slots.
    pub fn ranges(self, ranges: impl IntoIterator<Item = RingRange>) -> Self {
        Self { ranges: Ranges::Given(ranges.into_iter().collect()) }
    }

    /// The range of each partition: they tile the ring.
    pub(super) fn checked_ranges(&self) -> Result<Vec<(u32, u32)>, TopicError> {
        match &self.ranges {
            Ranges::Even(count @ 1..=RING_SIZE) => Ok((0..*count).map(|number| ring_range(number, *count)).collect()),
            Ranges::Even(found) => Err(TopicError::PartitionCount { found: *found, limit: RING_SIZE }),
            Ranges::Given(ranges) if ranges.is_empty() => Err(TopicError::PartitionCount { found: 0, limit: RING_SIZE }),
            Ranges::Given(ranges) => {
                check_tiling(ranges)?;
                Ok(ranges.iter().map(|range| (range.start(), range.stop())).collect())
            }
        }
    }
}

fn check_tiling(ranges: &[RingRange]) -> Result<(), TopicError> {
    if let Some(odd) = ranges.iter().find(|range| range.size() != RING_SIZE) {
        return Err(TopicError::RingSize { expected: RING_SIZE, found: odd.size() });
    }
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut expected = 0;
    for range in sorted {
        if range.start() != expected {
            return Err(TopicError::NotTiled { expected, found: range.start() });
        }
        expected = range.stop();
    }
    if expected == RING_SIZE { Ok(()) } else { Err(TopicError::NotTiled { expected, found: RING_SIZE }) }
}
