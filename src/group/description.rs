//! What is told of a group to those who look after it. Changes no group.

use crate::group::group::Group;
use crate::group::member_id::MemberId;
use crate::group::state::GroupState;
use crate::offset::{GroupId, MemberMetadata};

/// A group in a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Its name.
    pub group: GroupId,
    /// What it is doing.
    pub state: GroupState,
    /// What kind of group it is; empty, if nobody was ever a member.
    pub protocol_type: String,
}

/// A group at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub group: GroupId,
    /// What it is doing.
    pub state: GroupState,
    /// Its generation: 0 before the first.
    pub generation: i32,
    /// What kind of group it is; empty, if nobody was ever a member.
    pub protocol_type: String,
    /// The protocol of the generation.
    pub protocol: Option<String>,
    /// The id of the member that assigns.
    pub leader: Option<MemberId>,
    /// Its members, each with its id.
    pub members: Vec<(MemberId, MemberMetadata)>,
}

impl Group {
    pub(super) fn listing(&self, group: &GroupId) -> GroupListing {
        GroupListing { group: group.clone(), state: self.state, protocol_type: self.protocol_type.clone() }
    }

    pub(super) fn description(&self, group: &GroupId) -> GroupDescription {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        GroupDescription {
            group: group.clone(),
            state: self.state,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: self.members.iter().map(|(id, member)| (id.clone(), member.metadata(protocol))).collect(),
        }
    }
}
