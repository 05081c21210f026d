//! Rows and what they stand for. Runs no statement.

use postgres::{Error, Row};
use tidelog_format::{LeaderEpoch, Offset, TimestampNs};

use crate::offset::committed_offset::CommittedOffset;
use crate::offset::offset_checkpoint::OffsetCheckpoint;
use crate::offset::offset_mapping::OffsetMapping;
use crate::offset::partition_stats::PartitionStats;

/// `committed_offset, leader_epoch, metadata, committed_at, expires_at`, from column `first` on.
pub(super) fn position(row: &Row, first: usize) -> Result<CommittedOffset, Error> {
    Ok(CommittedOffset {
        offset: offset(row.try_get(first)?),
        leader_epoch: row.try_get::<_, Option<i64>>(first + 1)?.map(|epoch| LeaderEpoch::new(epoch as u32)),
        metadata: row.try_get(first + 2)?,
        committed_at: TimestampNs::new(row.try_get(first + 3)?),
        expires_at: row.try_get::<_, Option<i64>>(first + 4)?.map(TimestampNs::new),
    })
}

/// `checkpoint_offset, updated_at`.
pub(super) fn checkpoint(row: &Row) -> Result<OffsetCheckpoint, Error> {
    Ok(OffsetCheckpoint { offset: offset(row.try_get(0)?), saved_at: TimestampNs::new(row.try_get(1)?) })
}

/// `kafka_offset, smq_timestamp, message_size`.
pub(super) fn mapping(row: &Row) -> Result<OffsetMapping, Error> {
    Ok(OffsetMapping { offset: offset(row.try_get(0)?), timestamp: TimestampNs::new(row.try_get(1)?), bytes: row.try_get::<_, i64>(2)? as u64 })
}

/// `record_count, total_size, earliest_offset, latest_offset, first_record_at, last_record_at, last_activity_at`.
pub(super) fn stats(row: &Row) -> Result<PartitionStats, Error> {
    Ok(PartitionStats {
        record_count: row.try_get::<_, i64>(0)? as u64,
        total_bytes: row.try_get::<_, i64>(1)? as u64,
        earliest: row.try_get::<_, Option<i64>>(2)?.map(offset),
        latest: row.try_get::<_, Option<i64>>(3)?.map(offset),
        first_record_at: row.try_get::<_, Option<i64>>(4)?.map(TimestampNs::new),
        last_record_at: row.try_get::<_, Option<i64>>(5)?.map(TimestampNs::new),
        counted_at: TimestampNs::new(row.try_get(6)?),
    })
}

pub(super) fn offset(value: i64) -> Offset {
    Offset::new(value as u64)
}
