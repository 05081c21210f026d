//! What a store may be given to keep: the same for all of them, so that each can be copied to each. Keeps nothing.

use tidelog_format::{OFFSET_MAX, Offset};

use crate::offset::committed_offset::{CommittedOffset, METADATA_BYTES_MAX};
use crate::offset::error::OffsetStoreError;
use crate::offset::group_metadata::{GROUP_BYTES_MAX, GROUP_NAME_BYTES_MAX, GroupMetadata};
use crate::offset::offset_checkpoint::OffsetCheckpoint;
use crate::offset::offset_mapping::OffsetMapping;
use crate::offset::partition_stats::PartitionStats;
use crate::topic::PartitionKey;

/// Whether positions can be kept: what they are of, how far they are, and how long the notes to them are.
pub(super) fn check_positions(positions: &[(PartitionKey, CommittedOffset)]) -> Result<(), OffsetStoreError> {
    positions.iter().try_for_each(|(partition, position)| check_position(partition, position))
}

pub(super) fn check_position(partition: &PartitionKey, position: &CommittedOffset) -> Result<(), OffsetStoreError> {
    check_partition(partition)?;
    check_offset(position.offset)?;
    let found = position.metadata.len();
    if found > METADATA_BYTES_MAX { Err(OffsetStoreError::MetadataTooLarge { found, limit: METADATA_BYTES_MAX }) } else { Ok(()) }
}

/// Whether the metadata of a group can be kept: how long its texts are, and all of it.
pub(super) fn check_group(metadata: &GroupMetadata) -> Result<(), OffsetStoreError> {
    let within = |what, found, limit| if found > limit { Err(OffsetStoreError::GroupTooLarge { what, found, limit }) } else { Ok(()) };
    let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let mut all = 0;
    for bytes in [metadata.protocol_type.len(), len(&metadata.protocol), len(&metadata.leader)] {
        within("a name", bytes, GROUP_NAME_BYTES_MAX)?;
        all += bytes;
    }
    for (id, member) in &metadata.members {
        for bytes in [id.len(), len(&member.instance_id), member.client_id.len(), member.client_host.len()] {
            within("a name", bytes, GROUP_NAME_BYTES_MAX)?;
            all += bytes;
        }
        all += member.subscription.len() + member.assignment.len();
    }
    within("the metadata", all, GROUP_BYTES_MAX)
}

pub(super) fn check_partitions(partitions: &[PartitionKey]) -> Result<(), OffsetStoreError> {
    partitions.iter().try_for_each(check_partition)
}

pub(super) fn check_partition(partition: &PartitionKey) -> Result<(), OffsetStoreError> {
    Ok(partition.topic.check()?)
}

pub(super) fn check_checkpoint(partition: &PartitionKey, checkpoint: &OffsetCheckpoint) -> Result<(), OffsetStoreError> {
    check_partition(partition)?;
    check_offset(checkpoint.offset)
}

pub(super) fn check_rows(partition: &PartitionKey, rows: &[OffsetMapping]) -> Result<(), OffsetStoreError> {
    check_partition(partition)?;
    rows.iter().try_for_each(|row| check_offset(row.offset))
}

pub(super) fn check_stats(partition: &PartitionKey, stats: &PartitionStats) -> Result<(), OffsetStoreError> {
    check_partition(partition)?;
    stats.earliest.into_iter().chain(stats.latest).try_for_each(check_offset)
}

pub(super) fn check_offset(offset: Offset) -> Result<(), OffsetStoreError> {
    if offset.get() <= OFFSET_MAX { Ok(()) } else { Err(OffsetStoreError::OffsetTooHigh { found: offset, limit: Offset::new(OFFSET_MAX) }) }
}
