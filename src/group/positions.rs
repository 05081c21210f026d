//! Positions that members commit: who may, and whether they lie where every reader may be. Reads no record.

use tidelog_format::Offset;

use crate::error::TopicError;
use crate::group::coordinator::{Entry, GroupCoordinator};
use crate::group::error::GroupError;
use crate::group::request::MemberIdentity;
use crate::offset::{CommittedOffset, GroupId};
use crate::topic::PartitionKey;

impl GroupCoordinator {
    /// Commits positions of a group, all of them or none: what was committed is durable when this returns. Of a group that has members only these
    /// commit, each in the generation that it has joined; of one that has none, anybody, as no member.
    ///
    /// No lock is held while the store makes it durable: commits share syncs, in the same group as well. A rebalance waits for those under way.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`], [`GroupError::IllegalGeneration`], [`GroupError::FencedInstance`]: the member has lost its partitions.
    /// [`GroupError::RebalanceInProgress`] between two generations. [`GroupError::PastHighWaterMark`], [`GroupError::UnknownPartition`]: a position that
    /// would pass by what is appended later. [`GroupError::Store`], also if a note is longer than 4,096 bytes.
    pub fn commit(&self, group: &GroupId, member: Option<&MemberIdentity>, positions: &[(PartitionKey, CommittedOffset)]) -> Result<(), GroupError> {
        let (entry, ()) = self.with_entry(group, |group, turn| group.begin_commit(turn, member))?;
        let _under_way = Commit { coordinator: self, group, entry };
        for (partition, position) in positions {
            self.check_position(partition, position.offset)?;
        }
        Ok(self.inner.offsets.commit(group, positions)?)
    }

    /// A group's position in a partition, if it has one.
    ///
    /// # Errors
    /// [`GroupError::Store`].
    pub fn fetch(&self, group: &GroupId, partition: &PartitionKey) -> Result<Option<CommittedOffset>, GroupError> {
        Ok(self.inner.offsets.fetch(group, partition)?)
    }

    /// All positions of a group, by partition.
    ///
    /// # Errors
    /// [`GroupError::Store`].
    pub fn fetch_all(&self, group: &GroupId) -> Result<Vec<(PartitionKey, CommittedOffset)>, GroupError> {
        Ok(self.inner.offsets.fetch_all(group)?)
    }

    /// Whether everything below a position is there for good: a log that lost its end would put other records there, which the group never sees.
    fn check_position(&self, partition: &PartitionKey, found: Offset) -> Result<(), GroupError> {
        let unknown = || GroupError::UnknownPartition { partition: partition.to_string() };
        let topic = match self.inner.store.existing_topic(&partition.topic.to_string()) {
            Err(TopicError::Unknown { .. }) => return Err(unknown()),
            other => other?,
        };
        let view = topic.view(topic.partition_of_range(partition.range).ok_or_else(unknown)?)?;
        let high_water_mark = view.high_water_mark();
        if found > high_water_mark {
            return Err(GroupError::PastHighWaterMark { partition: partition.to_string(), found, high_water_mark });
        }
        Ok(view.make_durable(found)?)
    }
}

/// A commit that was let in, and by which group: there may be another of the name by now. However it ends, that one is told.
struct Commit<'a> {
    coordinator: &'a GroupCoordinator,
    group: &'a GroupId,
    entry: Entry,
}

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        // One that is dead has nobody who waits for it.
        let _ = self.coordinator.step_of(self.group, &self.entry, |group, turn| {
            group.end_commit(turn);
            Ok(())
        });
    }
}
