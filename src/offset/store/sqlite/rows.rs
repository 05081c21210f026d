//! Rows and what they stand for. Changes none.

use rusqlite::{Connection, OptionalExtension, Row, params};
use tidelog_format::{LeaderEpoch, Offset, TimestampNs};

use crate::offset::committed_offset::CommittedOffset;
use crate::offset::group_id::GroupId;
use crate::offset::offset_mapping::OffsetMapping;
use crate::offset::partition_stats::PartitionStats;
use crate::offset::store::keys::key_of;
use crate::offset::store::statements;
use crate::topic::PartitionKey;

/// A group's position in a partition.
pub(super) fn fetch(connection: &Connection, group: &GroupId, partition: &PartitionKey) -> rusqlite::Result<Option<CommittedOffset>> {
    let mut statement = connection.prepare_cached(statements::FETCH)?;
    statement.query_row(params![group.as_str(), key_of(partition)], |row| position(row, 0)).optional()
}

/// `committed_offset, leader_epoch, metadata, committed_at, expires_at`, from column `first` on.
pub(super) fn position(row: &Row<'_>, first: usize) -> rusqlite::Result<CommittedOffset> {
    Ok(CommittedOffset {
        offset: offset(row.get(first)?),
        leader_epoch: row.get::<_, Option<u32>>(first + 1)?.map(LeaderEpoch::new),
        metadata: row.get(first + 2)?,
        committed_at: TimestampNs::new(row.get(first + 3)?),
        expires_at: row.get::<_, Option<i64>>(first + 4)?.map(TimestampNs::new),
    })
}

/// `kafka_offset, smq_timestamp, message_size`.
pub(super) fn mapping(row: &Row<'_>) -> rusqlite::Result<OffsetMapping> {
    Ok(OffsetMapping { offset: offset(row.get(0)?), timestamp: TimestampNs::new(row.get(1)?), bytes: row.get::<_, i64>(2)? as u64 })
}

/// `record_count, total_size, earliest_offset, latest_offset, first_record_at, last_record_at, last_activity_at`.
pub(super) fn stats(row: &Row<'_>) -> rusqlite::Result<PartitionStats> {
    Ok(PartitionStats {
        record_count: row.get::<_, i64>(0)? as u64,
        total_bytes: row.get::<_, i64>(1)? as u64,
        earliest: row.get::<_, Option<i64>>(2)?.map(offset),
        latest: row.get::<_, Option<i64>>(3)?.map(offset),
        first_record_at: row.get::<_, Option<i64>>(4)?.map(TimestampNs::new),
        last_record_at: row.get::<_, Option<i64>>(5)?.map(TimestampNs::new),
        counted_at: TimestampNs::new(row.get(6)?),
    })
}

fn offset(value: i64) -> Offset {
    Offset::new(value as u64)
}
