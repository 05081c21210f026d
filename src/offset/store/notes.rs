//! Everything that a store knows, in memory, and the changes that lead from one state to the next. Keeps nothing durable.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use tidelog_format::{Offset, TimestampNs};

use crate::offset::committed_offset::CommittedOffset;
use crate::offset::error::OffsetStoreError;
use crate::offset::group_id::GroupId;
use crate::offset::group_metadata::GroupMetadata;
use crate::offset::offset_checkpoint::OffsetCheckpoint;
use crate::offset::offset_mapping::OffsetMapping;
use crate::offset::partition_stats::PartitionStats;
use crate::offset::store::limits;
use crate::topic::{PartitionKey, TopicName};

/// What a store knows. The same changes in the same order lead to the same notes, wherever they are applied.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Notes {
    /// The positions of each group that has some.
    groups: BTreeMap<GroupId, BTreeMap<PartitionKey, CommittedOffset>>,
    metadata: BTreeMap<GroupId, GroupMetadata>,
    partitions: BTreeMap<PartitionKey, PartitionNotes>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct PartitionNotes {
    checkpoint: Option<OffsetCheckpoint>,
    stats: Option<PartitionStats>,
    /// Each with the time when it was saved.
    mappings: BTreeMap<Offset, (OffsetMapping, TimestampNs)>,
}

impl PartitionNotes {
    /// The rows, together with those that were saved at the same time.
    fn mapping_changes(&self, partition: &PartitionKey, bytes_max: usize) -> impl Iterator<Item = Change> {
        let rows = self.mappings.values().copied().collect::<Vec<_>>();
        let together = rows.chunk_by(|a, b| a.1 == b.1).flat_map(|rows| rows.chunks((bytes_max / ROW_BYTES).max(1)));
        let change = |rows: &[(OffsetMapping, TimestampNs)]| Change::Mappings {
            partition: partition.clone(),
            saved_at: rows[0].1,
            rows: rows.iter().map(|(row, _)| *row).collect(),
        };
        together.map(change).collect::<Vec<_>>().into_iter()
    }

    fn is_empty(&self) -> bool {
        self.checkpoint.is_none() && self.stats.is_none() && self.mappings.is_empty()
    }
}

/// One change, done whole or not at all.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Commit { group: GroupId, positions: Vec<(PartitionKey, CommittedOffset)> },
    Delete { group: GroupId, partitions: Vec<PartitionKey> },
    DeleteGroup { group: GroupId },
    SaveGroup { group: GroupId, metadata: GroupMetadata },
    DeleteTopic { topic: TopicName },
    Checkpoint { partition: PartitionKey, checkpoint: OffsetCheckpoint },
    Mappings { partition: PartitionKey, saved_at: TimestampNs, rows: Vec<OffsetMapping> },
    Stats { partition: PartitionKey, stats: PartitionStats },
    Forget { partition: PartitionKey },
    CleanUp { now: TimestampNs },
    CleanUpMappings { saved_before: TimestampNs },
}

impl Change {
    /// Whether a store may keep what it says.
    fn check(&self) -> Result<(), OffsetStoreError> {
        match self {
            Self::Commit { positions, .. } => limits::check_positions(positions),
            Self::Delete { partitions, .. } => limits::check_partitions(partitions),
            Self::SaveGroup { metadata, .. } => limits::check_group(metadata),
            Self::DeleteTopic { topic } => Ok(topic.check()?),
            Self::Checkpoint { partition, checkpoint } => limits::check_checkpoint(partition, checkpoint),
            Self::Mappings { partition, rows, .. } => limits::check_rows(partition, rows),
            Self::Stats { partition, stats } => limits::check_stats(partition, stats),
            Self::Forget { partition } => limits::check_partition(partition),
            Self::DeleteGroup { .. } | Self::CleanUp { .. } | Self::CleanUpMappings { .. } => Ok(()),
        }
    }
}

impl Notes {
    /// Whether a change can be made of this.
    pub(super) fn check(&self, change: &Change) -> Result<(), OffsetStoreError> {
        change.check()?;
        let Change::Mappings { partition, rows, .. } = change else { return Ok(()) };
        match self.conflict(partition, rows) {
            Some((stored, given)) => Err(OffsetStoreError::MappingConflict { partition: partition.to_string(), stored, given }),
            None => Ok(()),
        }
    }

    /// Whether a change would change nothing.
    pub(super) fn is_idle(&self, change: &Change) -> bool {
        match change {
            Change::Commit { positions, .. } => positions.is_empty(),
            Change::Delete { group, partitions } => partitions.iter().all(|partition| self.fetch(group, partition).is_none()),
            Change::DeleteGroup { group } => !self.groups.contains_key(group) && !self.metadata.contains_key(group),
            Change::SaveGroup { group, metadata } => self.metadata.get(group).is_some_and(|known| !metadata.goes_on_from(known)),
            Change::Checkpoint { partition, checkpoint } => self.checkpoint(partition).is_some_and(|known| known.offset >= checkpoint.offset),
            Change::Mappings { partition, rows, .. } => {
                self.partitions.get(partition).is_some_and(|notes| rows.iter().all(|row| notes.mappings.contains_key(&row.offset))) || rows.is_empty()
            }
            Change::Forget { partition } => !self.partitions.contains_key(partition),
            Change::CleanUp { now } => !self.groups.values().flat_map(BTreeMap::values).any(|position| is_expired(position, *now)),
            Change::CleanUpMappings { saved_before } => {
                !self.partitions.values().any(|notes| notes.mappings.values().any(|row| row.1 < *saved_before))
            }
            Change::DeleteTopic { .. } | Change::Stats { .. } => false,
        }
    }

    /// How many positions, rows or checkpoints a change would be about.
    pub(super) fn reach(&self, change: &Change) -> usize {
        let positions = || self.groups.values().flatten();
        match change {
            Change::Commit { positions, .. } => positions.len(),
            Change::Delete { group, partitions } => {
                self.groups.get(group).map_or(0, |positions| positions.keys().filter(|partition| partitions.contains(partition)).count())
            }
            Change::DeleteGroup { group } => self.groups.get(group).map_or(0, BTreeMap::len),
            Change::DeleteTopic { topic } => positions().filter(|(partition, _)| partition.topic == *topic).count(),
            Change::SaveGroup { .. } | Change::Checkpoint { .. } | Change::Forget { .. } => usize::from(!self.is_idle(change)),
            Change::Mappings { rows, .. } => rows.len(),
            Change::Stats { .. } => 1,
            Change::CleanUp { now } => positions().filter(|(_, position)| is_expired(position, *now)).count(),
            Change::CleanUpMappings { saved_before } => {
                self.partitions.values().flat_map(|notes| notes.mappings.values()).filter(|row| row.1 < *saved_before).count()
            }
        }
    }

    /// Makes a change; returns how many positions, rows or checkpoints it was about. Rows that are in conflict with others are none.
    pub(super) fn apply(&mut self, change: &Change) -> usize {
        match change {
            Change::Commit { group, positions } => {
                if !positions.is_empty() {
                    self.groups.entry(group.clone()).or_default().extend(positions.iter().cloned());
                }
                positions.len()
            }
            Change::Delete { group, partitions } => self.retain(|of, partition, _| of != group || !partitions.contains(partition)),
            Change::DeleteGroup { group } => {
                self.metadata.remove(group);
                self.groups.remove(group).map_or(0, |positions| positions.len())
            }
            Change::SaveGroup { group, metadata } => {
                let is_taken = !self.is_idle(change);
                if is_taken {
                    self.metadata.insert(group.clone(), metadata.clone());
                }
                usize::from(is_taken)
            }
            Change::DeleteTopic { topic } => {
                self.partitions.retain(|partition, _| partition.topic != *topic);
                self.retain(|_, partition, _| partition.topic != *topic)
            }
            Change::Checkpoint { partition, checkpoint } => {
                let kept = &mut self.partitions.entry(partition.clone()).or_default().checkpoint;
                let is_newer = kept.is_none_or(|kept| checkpoint.offset > kept.offset);
                if is_newer {
                    *kept = Some(*checkpoint);
                }
                usize::from(is_newer)
            }
            Change::Mappings { partition, saved_at, rows } => self.add_mappings(partition, *saved_at, rows),
            Change::Stats { partition, stats } => {
                self.partitions.entry(partition.clone()).or_default().stats = Some(*stats);
                1
            }
            Change::Forget { partition } => usize::from(self.partitions.remove(partition).is_some()),
            Change::CleanUp { now } => self.retain(|_, _, position| !is_expired(position, *now)),
            Change::CleanUpMappings { saved_before } => self.clean_up_mappings(*saved_before),
        }
    }

    /// Changes that lead from nothing to these notes, each of about `bytes_max` bytes at most.
    pub(super) fn changes(&self, bytes_max: usize) -> impl Iterator<Item = Change> {
        let commits = self.groups.iter().flat_map(move |(group, positions)| {
            let bytes = |(partition, position): &(PartitionKey, CommittedOffset)| key_bytes(partition) + position.metadata.len() + POSITION_BYTES;
            let positions = positions.iter().map(|(partition, position)| (partition.clone(), position.clone()));
            chunks(positions, bytes_max, bytes).into_iter().map(|positions| Change::Commit { group: group.clone(), positions })
        });
        let groups = self.metadata.iter().map(|(group, metadata)| Change::SaveGroup { group: group.clone(), metadata: metadata.clone() });
        let partitions = self.partitions.iter().flat_map(move |(partition, notes)| {
            let checkpoint = notes.checkpoint.map(|checkpoint| Change::Checkpoint { partition: partition.clone(), checkpoint });
            let stats = notes.stats.map(|stats| Change::Stats { partition: partition.clone(), stats });
            checkpoint.into_iter().chain(stats).chain(notes.mapping_changes(partition, bytes_max))
        });
        commits.chain(groups).chain(partitions)
    }

    fn add_mappings(&mut self, partition: &PartitionKey, saved_at: TimestampNs, rows: &[OffsetMapping]) -> usize {
        if rows.is_empty() || self.conflict(partition, rows).is_some() {
            return 0;
        }
        let kept = &mut self.partitions.entry(partition.clone()).or_default().mappings;
        for row in rows {
            kept.entry(row.offset).or_insert((*row, saved_at));
        }
        rows.len()
    }

    fn clean_up_mappings(&mut self, saved_before: TimestampNs) -> usize {
        let mut deleted = 0;
        self.partitions.retain(|_, notes| {
            let before = notes.mappings.len();
            notes.mappings.retain(|_, (_, saved_at)| *saved_at >= saved_before);
            deleted += before - notes.mappings.len();
            !notes.is_empty()
        });
        deleted
    }

    /// Keeps the positions that `keep` says yes to.
    fn retain(&mut self, keep: impl Fn(&GroupId, &PartitionKey, &CommittedOffset) -> bool) -> usize {
        let mut deleted = 0;
        self.groups.retain(|group, positions| {
            let before = positions.len();
            positions.retain(|partition, position| keep(group, partition, position));
            deleted += before - positions.len();
            !positions.is_empty()
        });
        deleted
    }

    /// Two different rows of one offset: among those that are there, or among those given.
    fn conflict(&self, partition: &PartitionKey, rows: &[OffsetMapping]) -> Option<(OffsetMapping, OffsetMapping)> {
        let kept = self.partitions.get(partition).map(|notes| &notes.mappings);
        let mut given = BTreeMap::new();
        rows.iter().find_map(|row| {
            let stored = kept.and_then(|kept| kept.get(&row.offset)).map_or_else(|| *given.entry(row.offset).or_insert(*row), |(stored, _)| *stored);
            (stored != *row).then_some((stored, *row))
        })
    }

    pub(super) fn fetch(&self, group: &GroupId, partition: &PartitionKey) -> Option<CommittedOffset> {
        self.groups.get(group)?.get(partition).cloned()
    }

    pub(super) fn fetch_all(&self, group: &GroupId) -> Vec<(PartitionKey, CommittedOffset)> {
        self.groups.get(group).into_iter().flatten().map(|(partition, position)| (partition.clone(), position.clone())).collect()
    }

    pub(super) fn groups(&self) -> Vec<GroupId> {
        self.groups.keys().chain(self.metadata.keys()).collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    pub(super) fn group(&self, group: &GroupId) -> Option<GroupMetadata> {
        self.metadata.get(group).cloned()
    }

    pub(super) fn checkpoint(&self, partition: &PartitionKey) -> Option<OffsetCheckpoint> {
        self.partitions.get(partition)?.checkpoint
    }

    pub(super) fn mappings(&self, partition: &PartitionKey, offsets: Range<Offset>, limit: usize) -> Vec<OffsetMapping> {
        if offsets.start >= offsets.end {
            return Vec::new();
        }
        let rows = self.partitions.get(partition).into_iter().flat_map(|notes| notes.mappings.range(offsets.clone()));
        rows.map(|(_, (row, _))| *row).take(limit).collect()
    }

    pub(super) fn highest_offset(&self, partition: &PartitionKey) -> Option<Offset> {
        self.partitions.get(partition)?.mappings.last_key_value().map(|(offset, _)| *offset)
    }

    pub(super) fn stats(&self, partition: &PartitionKey) -> Option<PartitionStats> {
        self.partitions.get(partition)?.stats
    }

    pub(super) fn partitions(&self) -> Vec<PartitionKey> {
        self.partitions.keys().cloned().collect()
    }
}

fn is_expired(position: &CommittedOffset, now: TimestampNs) -> bool {
    position.expires_at.is_some_and(|expires_at| expires_at <= now)
}

fn key_bytes(partition: &PartitionKey) -> usize {
    partition.topic.namespace.len() + partition.topic.name.len()
}

/// Cuts a list into runs that have `bytes_max` bytes at most, or one item.
fn chunks<T>(items: impl Iterator<Item = T>, bytes_max: usize, bytes_of: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut all, mut bytes): (Vec<Vec<T>>, _) = (Vec::new(), 0);
    for item in items {
        let more = bytes_of(&item);
        match all.last_mut() {
            Some(last) if bytes + more <= bytes_max => {
                last.push(item);
                bytes += more;
            }
            _ => {
                all.push(vec![item]);
                bytes = more;
            }
        }
    }
    all
}

/// More than the fixed fields of a position take, wherever it is kept.
const POSITION_BYTES: usize = 64;
const ROW_BYTES: usize = 24;
