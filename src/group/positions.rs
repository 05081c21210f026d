//! Positions that members commit: who may, and whether they lie where every reader may be. Reads one record at most for each.

use tidelog_format::{LeaderEpoch, Offset};

use crate::error::{ReadError, TopicError};
use crate::group::coordinator::{Entry, GroupCoordinator};
use crate::group::error::GroupError;
use crate::group::member_id::MemberId;
use crate::group::request::MemberIdentity;
use crate::log::PartitionView;
use crate::offset::{CommittedOffset, GroupId};
use crate::subscription::term_before;
use crate::topic::PartitionKey;

impl GroupCoordinator {
    /// Commits positions of a group, all of them or none: what was committed is durable when this returns. Of a group that has members only these
    /// commit, each in the generation that it has joined; of one that has none, anybody, as no member. Each is noted with the time of the commit, and
    /// with the term of the last record before it, unless it says one.
    ///
    /// Kafka's protocol answers for each partition: whoever speaks it, and is to keep the good positions of a request that has a bad one, commits one
    /// at a time.
    ///
    /// No lock is held while the store makes it durable: commits share syncs, in the same group as well. A rebalance waits for those under way.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`], [`GroupError::IllegalGeneration`], [`GroupError::FencedInstance`]: the member has lost its partitions.
    /// [`GroupError::RebalanceInProgress`] between two generations. [`GroupError::PastHighWaterMark`], [`GroupError::UnknownPartition`]: a position that
    /// would pass by what is appended later. [`GroupError::Store`], also if a note is longer than 4,096 bytes.
    pub fn commit(&self, group: &GroupId, member: Option<&MemberIdentity>, positions: &[(PartitionKey, CommittedOffset)]) -> Result<(), GroupError> {
        let (entry, ()) = self.with_entry(group, |group, turn| group.begin_commit(turn, member))?;
        let _under_way = Commit { coordinator: self, group, entry, member: member.map(|member| &member.member_id) };
        let mut looks = Vec::new();
        let mut stamped = Vec::new();
        for (partition, position) in positions {
            let view = self.view_of(partition)?;
            let cuts = view.cuts();
            // A log that lost its end would put other records below the position, which the group never sees.
            check_end(partition, position.offset, view.high_water_mark())?;
            view.make_durable(position.offset)?;
            let leader_epoch = position.leader_epoch.map_or_else(|| term_of(&view, position.offset), |epoch| Ok(Some(epoch)))?;
            stamped.push((partition.clone(), CommittedOffset { leader_epoch, committed_at: self.clock().now(), ..position.clone() }));
            looks.push((view, cuts));
        }
        // Behind all that takes time: a suffix that was cut off meanwhile took with it what was made durable. What is cut off from now on, the term tells.
        for ((view, cuts), (partition, position)) in looks.iter().zip(&stamped) {
            let end = view.truncated_since(*cuts).map_or(view.durable_end_offset(), Offset::new);
            check_end(partition, position.offset, end.min(view.high_water_mark()))?;
        }
        Ok(self.inner.offsets.commit(group, &stamped)?)
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

    fn view_of(&self, partition: &PartitionKey) -> Result<PartitionView, GroupError> {
        let unknown = || GroupError::UnknownPartition { partition: partition.to_string() };
        let topic = match self.inner.store.existing_topic(&partition.topic.to_string()) {
            Err(TopicError::Unknown { .. }) => return Err(unknown()),
            other => other?,
        };
        Ok(topic.view(topic.partition_of_range(partition.range).ok_or_else(unknown)?)?)
    }
}

/// The term of the last record before a position, by which whoever resumes there is told of a cut.
fn term_of(view: &PartitionView, found: Offset) -> Result<Option<LeaderEpoch>, GroupError> {
    match term_before(view, found) {
        // Deleted, or cut off, which is found out next.
        Err(ReadError::OffsetOutOfRange { .. } | ReadError::Truncated { .. }) => Ok(None),
        other => Ok(other?),
    }
}

fn check_end(partition: &PartitionKey, found: Offset, high_water_mark: Offset) -> Result<(), GroupError> {
    let past = || GroupError::PastHighWaterMark { partition: partition.to_string(), found, high_water_mark };
    if found > high_water_mark { Err(past()) } else { Ok(()) }
}

/// A commit that was let in, and by which group: there may be another of the name by now. However it ends, that one is told.
struct Commit<'a> {
    coordinator: &'a GroupCoordinator,
    group: &'a GroupId,
    entry: Entry,
    member: Option<&'a MemberId>,
}

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        // One that is dead has nobody who waits for it.
        let _ = self.coordinator.step_of(self.group, &self.entry, |group, turn| {
            group.end_commit(turn, self.member);
            Ok(())
        });
    }
}
