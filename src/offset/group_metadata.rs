//! What a consumer group is made of: its generation and its members, as a store keeps them. Decides nothing about either.

use std::collections::BTreeMap;

use tidelog_format::TimestampNs;

/// What is kept of a consumer group beside its positions, so that its coordinator goes on where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The number of the last completed rebalance. It only grows.
    pub generation: i32,
    /// What kind of group it is: `consumer` for those that share partitions. Empty before the first member has joined.
    pub protocol_type: String,
    /// The protocol that the members agreed upon: the name of an assignor.
    pub protocol: Option<String>,
    /// The id of the member that assigns.
    pub leader: Option<String>,
    /// The members, by id.
    pub members: BTreeMap<String, MemberMetadata>,
    /// When the generation began: what is saved of the same one later has the same time.
    pub changed_at: TimestampNs,
}

impl GroupMetadata {
    /// A group without members.
    pub fn empty(generation: i32, changed_at: TimestampNs) -> Self {
        Self { generation, protocol_type: String::new(), protocol: None, leader: None, members: BTreeMap::new(), changed_at }
    }

    /// Whether it may take the place of what is known: a later generation, or more about the same one, which has begun at the same time. Two
    /// coordinators that know nothing of each other may come to the same number, but then at different times.
    pub(crate) fn goes_on_from(&self, known: &Self) -> bool {
        self.generation > known.generation || (self.generation, self.changed_at) == (known.generation, known.changed_at)
    }
}

/// What is kept of a member of a consumer group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberMetadata {
    /// The name under which a static member comes back.
    pub instance_id: Option<String>,
    /// What the client calls itself.
    pub client_id: String,
    /// Where it came from.
    pub client_host: String,
    /// Milliseconds without a sign of life after which it is no member any more.
    pub session_timeout_ms: u32,
    /// Milliseconds that a rebalance waits for it.
    pub rebalance_timeout_ms: u32,
    /// What it gave the assignor: bytes of the protocol, which the store does not read.
    pub subscription: Vec<u8>,
    /// What it was assigned: bytes of the protocol, likewise.
    pub assignment: Vec<u8>,
}

/// Bytes of a name at most: those of a string in Kafka's protocol.
pub(crate) const GROUP_NAME_BYTES_MAX: usize = i16::MAX as usize;
/// Bytes of all that is kept of a group at most.
pub(crate) const GROUP_BYTES_MAX: usize = 16 << 20;
