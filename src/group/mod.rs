//! Consumer groups: who is in one, which partitions each member reads, and how far they have come. Stores nothing by itself.

mod assignor;
mod consumer;
mod consumer_error;
mod consumer_membership;
mod consumer_options;
mod consumer_place;
mod consumer_protocol;
mod coordinator;
mod description;
mod error;
#[expect(clippy::module_inception, reason = "the file is named after the type that it holds")]
mod group;
mod instance_id;
mod join;
mod member;
mod member_id;
mod member_lag;
mod options;
mod pending;
mod positions;
mod rebalance;
mod request;
mod state;
mod timers;
mod topic_partition;
mod turn;

pub use assignor::{
    Assignment, Assignor, CooperativeStickyAssignor, MemberSubscription, RangeAssignor, RebalanceProtocol, RoundRobinAssignor, StickyAssignor,
};
pub use consumer::{ConsumerEvent, GroupConsumer};
pub use consumer_error::ConsumerError;
pub use consumer_options::ConsumerOptions;
pub use consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolError, ConsumerProtocolSubscription, StickyUserData};
pub use coordinator::GroupCoordinator;
pub use description::{GroupDescription, GroupListing};
pub use error::GroupError;
pub use instance_id::{InstanceId, InstanceIdError};
pub use member_id::{MemberId, MemberIdError};
pub use member_lag::{MemberLag, MemberLagReport, MemberLagRow};
pub use options::GroupOptions;
pub use pending::PendingAnswer;
pub use request::{JoinRequest, JoinedGroup, JoinedMember, LeaveOutcome, LeavingMember, MemberIdentity, SyncRequest, SyncedGroup};
pub use state::GroupState;
pub use topic_partition::TopicPartition;
