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
    check_text("the metadata of a position", &position.metadata)?;
    let found = position.metadata.len();
    if found > METADATA_BYTES_MAX { Err(OffsetStoreError::MetadataTooLarge { found, limit: METADATA_BYTES_MAX }) } else { Ok(()) }
}

/// Whether the metadata of a group can be kept: what its texts are, how long they are, and all of it.
pub(super) fn check_group(metadata: &GroupMetadata) -> Result<(), OffsetStoreError> {
    let within = |what, found, limit| if found > limit { Err(OffsetStoreError::GroupTooLarge { what, found, limit }) } else { Ok(()) };
    let mut all = 0;
    let mut names = |names: [Option<&String>; 4]| {
        names.into_iter().flatten().try_for_each(|name| {
            within("a name", name.len(), GROUP_NAME_BYTES_MAX)?;
            all += name.len();
            check_text("a name of a group", name)
        })
    };
    names([Some(&metadata.protocol_type), metadata.protocol.as_ref(), metadata.leader.as_ref(), None])?;
    for (id, member) in &metadata.members {
        within("the id of a member", id.len(), MEMBER_ID_BYTES_MAX)?;
        names([Some(id), member.instance_id.as_ref(), Some(&member.client_id), Some(&member.client_host)])?;
    }
    let protocol_bytes = metadata.members.values().map(|member| member.subscription.len() + member.assignment.len());
    within("the metadata", all + protocol_bytes.sum::<usize>(), GROUP_BYTES_MAX)
}

/// Databases do not keep every character.
fn check_text(what: &'static str, text: &str) -> Result<(), OffsetStoreError> {
    if text.contains('\0') { Err(OffsetStoreError::NulCharacter { what }) } else { Ok(()) }
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

/// Bytes of a member's id at most: as the coordinator gives them out, and as an index of a database takes them.
const MEMBER_ID_BYTES_MAX: usize = 1024;
