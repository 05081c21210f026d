//! Positions of groups from one store to another: what is there already is left, and a copy that fails takes back what it wrote and is still there.

use crate::offset::committed_offset::CommittedOffset;
use crate::offset::error::OffsetStoreError;
use crate::offset::group_id::GroupId;
use crate::offset::store::OffsetStore;
use crate::topic::PartitionKey;

/// What a copy did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct CopyReport {
    /// Groups that have a position, or metadata, in the source.
    pub groups: usize,
    /// Positions that were written.
    pub copied: usize,
    /// Positions that were there already.
    pub same: usize,
    /// Positions of the target that were left, because they were committed at the same time or later.
    pub newer: usize,
}

/// Copies the positions of all groups, reads them back and compares. A position of the target gives way only to one that was committed later, or
/// to any with `overwrite`; what the source does not have is left. Notes about partitions are not copied: they are made from the log
/// ([`note_partition`](crate::note_partition)). Generation and members of a group go along, unless the target has a higher generation.
///
/// Killed in the middle, it is run again: what it wrote is there already. When it fails, what it wrote is taken back; a position that is no
/// longer what it wrote is somebody else's by then, and left.
///
/// The groups must not commit to the target meanwhile: what a group commits between the moment a position is looked at and the moment it is
/// written, or taken back, is overwritten.
///
/// ```
/// use tidelog::{CommittedOffset, GroupId, LogOffsetStore, MemoryOffsetStore, OffsetStore, Store, TimestampNs, copy_positions};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path())?;
/// let (orders, group) = (store.topic("orders")?.partition(0)?, "billing".parse::<GroupId>()?);
/// let (old, new) = (MemoryOffsetStore::new(), LogOffsetStore::open(&store)?);
/// old.commit(&group, &[(orders.key().clone(), CommittedOffset::new(0, TimestampNs::new(0)))])?;
/// assert_eq!(copy_positions(&old, &new, false)?.copied, 1);
/// assert_eq!(copy_positions(&old, &new, false)?.same, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`OffsetStoreError`] of either store; [`OffsetStoreError::NotVerified`]; [`OffsetStoreError::NotTakenBack`] if some of what was written is left,
/// or may come yet.
pub fn copy_positions(from: &dyn OffsetStore, to: &dyn OffsetStore, overwrite: bool) -> Result<CopyReport, OffsetStoreError> {
    let mut undo = Vec::new();
    copy(from, to, overwrite, &mut undo).map_err(|source| {
        // One that fails keeps none of the others from being taken back.
        let mut failures = undo.into_iter().rev().filter_map(|written| take_back(to, written, &source).err());
        match failures.next() {
            None => source,
            Some(reason) => {
                let positions = 1 + failures.count();
                OffsetStoreError::NotTakenBack { source: Box::new(source), positions, reason: Box::new(reason) }
            }
        }
    })
}

/// A position that was written, and what was there before.
#[derive(Debug)]
struct Written {
    group: GroupId,
    partition: PartitionKey,
    position: CommittedOffset,
    before: Option<CommittedOffset>,
    is_acknowledged: bool,
}

fn copy(from: &dyn OffsetStore, to: &dyn OffsetStore, overwrite: bool, undo: &mut Vec<Written>) -> Result<CopyReport, OffsetStoreError> {
    let mut report = CopyReport::default();
    for group in from.groups()? {
        report.groups += 1;
        let mut wanted = Vec::new();
        for (partition, position) in from.fetch_all(&group)? {
            match to.fetch(&group, &partition)? {
                Some(kept) if kept == position => report.same += 1,
                Some(kept) if !overwrite && kept.committed_at >= position.committed_at => report.newer += 1,
                kept => wanted.push((partition, position, kept)),
            }
        }
        for some in wanted.chunks(POSITIONS_AT_ONCE) {
            let positions: Vec<_> = some.iter().map(|(partition, position, _)| (partition.clone(), position.clone())).collect();
            // Before the commit: one that fails may have been done.
            let first = undo.len();
            undo.extend(some.iter().map(|(partition, position, kept)| Written {
                group: group.clone(),
                partition: partition.clone(),
                position: position.clone(),
                before: kept.clone(),
                is_acknowledged: false,
            }));
            to.commit(&group, &positions)?;
            undo[first..].iter_mut().for_each(|written| written.is_acknowledged = true);
            report.copied += positions.len();
            positions.iter().try_for_each(|(partition, position)| verify(to, &group, partition, position))?;
        }
    }
    // Last, as nothing of it is taken back: a generation that is higher than it has to be costs nothing, and a lower one is not taken.
    for group in from.groups()? {
        if let Some(metadata) = from.load_group(&group)? {
            to.save_group(&group, &metadata)?;
        }
    }
    Ok(report)
}

fn verify(to: &dyn OffsetStore, group: &GroupId, partition: &PartitionKey, written: &CommittedOffset) -> Result<(), OffsetStoreError> {
    let read = to.fetch(group, partition)?;
    if read.as_ref() == Some(written) || is_later(read.as_ref(), written) {
        return Ok(());
    }
    let key = format!("{group} in {partition}");
    Err(OffsetStoreError::NotVerified { what: "the position", key, written: format!("{written:?}"), read: format!("{read:?}") })
}

/// Puts back what was there, if what was written is still there. What is not there, of a commit in doubt, may come yet.
fn take_back(to: &dyn OffsetStore, written: Written, source: &OffsetStoreError) -> Result<(), OffsetStoreError> {
    let Written { group, partition, position, before, is_acknowledged } = written;
    if to.fetch(&group, &partition)? != Some(position) {
        let is_in_doubt = !is_acknowledged && matches!(source, OffsetStoreError::OutcomeUnknown { .. });
        return if is_in_doubt { Err(source.clone()) } else { Ok(()) };
    }
    match before {
        Some(before) => to.commit(&group, &[(partition, before)]),
        None => to.delete(&group, &[partition]).map(drop),
    }
}

/// Whether a group that is at work has committed behind the copy.
fn is_later(read: Option<&CommittedOffset>, written: &CommittedOffset) -> bool {
    read.is_some_and(|read| read.committed_at > written.committed_at)
}

const POSITIONS_AT_ONCE: usize = 100;
