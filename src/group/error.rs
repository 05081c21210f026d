//! What a group coordinator can answer instead.

use std::time::Duration;

use thiserror::Error;
use tidelog_format::Offset;

use crate::error::{ReadError, SyncError, TopicError};
use crate::group::instance_id::InstanceId;
use crate::group::member_id::MemberId;
use crate::offset::{GroupId, OffsetStoreError};

/// Why a coordinator did not do what a member, or somebody else, asked of a group. Nothing of it was done, but for a change that the store may have
/// kept although it failed ([`OffsetStoreError::Append`]).
///
/// Most have the name of an error of Kafka's protocol; what a member does about them is what Kafka's clients do.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum GroupError {
    /// There is no such group.
    #[error("there is no group {group}")]
    UnknownGroup {
        /// The group asked for.
        group: GroupId,
    },
    /// The group has no such member, or not any more. Join without an id.
    #[error("group {group} has no member {member:?}")]
    UnknownMember {
        /// The group.
        group: GroupId,
        /// The id given, or the name; empty, if nobody was named.
        member: String,
    },
    /// The member speaks of another generation than that of the group. Join again.
    #[error("group {group} is at generation {current}, and the request is of {found}")]
    IllegalGeneration {
        /// The group.
        group: GroupId,
        /// The generation given.
        found: i32,
        /// That of the group.
        current: i32,
    },
    /// The group is rebalancing. Join again, with the same id.
    #[error("group {group} is rebalancing")]
    RebalanceInProgress {
        /// The group.
        group: GroupId,
    },
    /// The member was given an id. Join again, with it.
    #[error("join again as {member_id}")]
    MemberIdRequired {
        /// The id to join with.
        member_id: MemberId,
    },
    /// Another member has come under the same instance id. Stop: two processes have the same one.
    #[error("instance {instance_id} of group {group} is another member than {member_id}")]
    FencedInstance {
        /// The group.
        group: GroupId,
        /// The instance id.
        instance_id: InstanceId,
        /// The id of the member that is not it any more.
        member_id: MemberId,
    },
    /// The member has no protocol that all others have too, or another kind of protocol, or none.
    #[error("the protocols of the member do not go with group {group}: {why}")]
    InconsistentProtocol {
        /// The group.
        group: GroupId,
        /// What is wrong with them.
        why: &'static str,
    },
    /// The session timeout is outside of the coordinator's limits.
    #[error("a session timeout of {found:?} is not within {min:?} and {max:?}")]
    InvalidSessionTimeout {
        /// The timeout given.
        found: Duration,
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// The group has as many members as a group may have.
    #[error("group {group} has {limit} members, and takes no more")]
    GroupFull {
        /// The group.
        group: GroupId,
        /// Members at most.
        limit: usize,
    },
    /// A group that has members, or whose positions are just being committed, is not deleted.
    #[error("group {group} is not empty")]
    NotEmpty {
        /// The group.
        group: GroupId,
    },
    /// A position is of no partition that the store has: whoever made the topic anew would begin there.
    #[error("there is no partition {partition} to commit a position of")]
    UnknownPartition {
        /// The partition's key.
        partition: String,
    },
    /// A position lies above the high water mark: the group would pass by records that are not there yet.
    #[error("position {found} in {partition} is above the high water mark, {high_water_mark}")]
    PastHighWaterMark {
        /// The partition's key.
        partition: String,
        /// The position given.
        found: Offset,
        /// First offset that readers may not see.
        high_water_mark: Offset,
    },
    /// Another coordinator has taken the group to a newer generation in the same offset store. Ask again: it is read anew.
    #[error("group {group} was taken beyond generation {generation} by another coordinator")]
    NotCoordinator {
        /// The group.
        group: GroupId,
        /// The generation that this one came to.
        generation: i32,
    },
    /// The offset store failed.
    #[error(transparent)]
    Store(#[from] OffsetStoreError),
    /// What a position lies behind could not be made durable.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The partition of a position could not be looked at.
    #[error(transparent)]
    Topic(Box<TopicError>),
    /// The record before a position could not be read.
    #[error(transparent)]
    Read(Box<ReadError>),
}

impl From<TopicError> for GroupError {
    fn from(error: TopicError) -> Self {
        Self::Topic(Box::new(error))
    }
}

impl From<ReadError> for GroupError {
    fn from(error: ReadError) -> Self {
        Self::Read(Box::new(error))
    }
}
