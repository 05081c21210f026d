//! A partition in numbers, as they were when somebody counted. Counts nothing itself.

use tidelog_format::{Offset, TimestampNs};

/// What lies between two offsets of a partition, as last counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionStats {
    /// Records.
    pub record_count: u64,
    /// Bytes of their keys and values.
    pub total_bytes: u64,
    /// The first of them.
    pub earliest: Option<Offset>,
    /// The last of them.
    pub latest: Option<Offset>,
    /// Time of the first of them.
    pub first_record_at: Option<TimestampNs>,
    /// Time of the last of them.
    pub last_record_at: Option<TimestampNs>,
    /// When they were counted.
    pub counted_at: TimestampNs,
}

impl PartitionStats {
    /// Those of a partition without a record.
    pub fn empty(counted_at: TimestampNs) -> Self {
        Self { record_count: 0, total_bytes: 0, earliest: None, latest: None, first_record_at: None, last_record_at: None, counted_at }
    }

    /// The first offset that was not counted: 0 if there was no record.
    pub fn high_water_mark(&self) -> Offset {
        self.latest.map_or(Offset::ZERO, |latest| Offset::new(latest.get() + 1))
    }
}
