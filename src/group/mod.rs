//! Consumer groups: who is in one, and which partitions each member reads. Reads and commits nothing itself.

mod assignor;
mod consumer_protocol;
mod instance_id;
mod member_id;
mod member_lag;
mod topic_partition;

pub use assignor::{
    Assignment, Assignor, CooperativeStickyAssignor, MemberSubscription, RangeAssignor, RebalanceProtocol, RoundRobinAssignor, StickyAssignor,
};
pub use consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolError, ConsumerProtocolSubscription, StickyUserData};
pub use instance_id::{InstanceId, InstanceIdError};
pub use member_id::{MemberId, MemberIdError};
pub use member_lag::{MemberLag, MemberLagReport, MemberLagRow};
pub use topic_partition::TopicPartition;
