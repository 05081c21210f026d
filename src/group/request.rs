//! What members ask of a coordinator, and what they are answered. Carries protocols as bytes, and reads none.

use std::time::Duration;

use crate::group::error::GroupError;
use crate::group::instance_id::InstanceId;
use crate::group::member_id::MemberId;

/// Asks to become, or to stay, a member of a group: Kafka's JoinGroup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JoinRequest {
    /// The id that the member was given; none at first.
    pub member_id: Option<MemberId>,
    /// The name of a static member: one that comes back under it, within its session timeout, has the assignment that it had.
    pub instance_id: Option<InstanceId>,
    /// What the client calls itself. Members that call themselves alike are still different ones.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// How long it stays a member without a heartbeat.
    pub session_timeout: Duration,
    /// How long a rebalance waits for it. Without one, as long as its session timeout.
    pub rebalance_timeout: Duration,
    /// The kind of protocols: `consumer` for those that share partitions.
    pub protocol_type: String,
    /// The protocols that it knows, the best first: their names, and what it says to each.
    pub protocols: Vec<(String, Vec<u8>)>,
    /// Whether a new member is first given an id to join with ([`GroupError::MemberIdRequired`]), so that one which does not get its answer and tries
    /// again is not counted twice.
    pub requires_member_id: bool,
}

/// A member that has joined a generation of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedGroup {
    /// The generation.
    pub generation: i32,
    /// The kind of protocol.
    pub protocol_type: String,
    /// The protocol that the most members like best, of those that all of them know.
    pub protocol: String,
    /// The id of the member that assigns.
    pub leader: MemberId,
    /// The id of this member.
    pub member_id: MemberId,
    /// Its name, if it is a static one.
    pub instance_id: Option<InstanceId>,
    /// All members, for the leader; nobody, for others.
    pub members: Vec<JoinedMember>,
    /// Whether the leader leaves the assignment as it is: it is a static member that has come back.
    pub skip_assignment: bool,
}

/// What the leader is told of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: MemberId,
    /// Its name, if it is a static one.
    pub instance_id: Option<InstanceId>,
    /// What it says to the protocol that was chosen.
    pub subscription: Vec<u8>,
}

/// As who, and of which generation, a member makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberIdentity {
    /// The id that it joined with.
    pub member_id: MemberId,
    /// Its name, if it is a static one.
    pub instance_id: Option<InstanceId>,
    /// The generation that it joined.
    pub generation: i32,
}

impl JoinedGroup {
    /// As who the member makes its requests from now on.
    pub fn identity(&self) -> MemberIdentity {
        MemberIdentity { member_id: self.member_id.clone(), instance_id: self.instance_id.clone(), generation: self.generation }
    }
}

/// Asks for the member's assignment; the leader's brings everybody's: Kafka's SyncGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRequest {
    /// Who asks.
    pub member: MemberIdentity,
    /// The protocol that the assignment is of, if it is to be checked: its kind and its name.
    pub protocol: Option<(String, String)>,
    /// By member id. Those of others than the leader are passed over; a member without one gets an empty one.
    pub assignments: Vec<(MemberId, Vec<u8>)>,
}

/// What a member was assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncedGroup {
    /// The kind of protocol.
    pub protocol_type: String,
    /// The protocol.
    pub protocol: String,
    /// What the leader assigned to it, as bytes of the protocol.
    pub assignment: Vec<u8>,
}

/// A member that leaves, or is made to leave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeavingMember {
    /// Its id; none, if a static member is to be removed by its name.
    pub member_id: Option<MemberId>,
    /// Its name.
    pub instance_id: Option<InstanceId>,
}

/// What came of a [`LeavingMember`].
pub type LeaveOutcome = Result<(), GroupError>;
