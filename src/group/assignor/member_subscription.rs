//! What a member says of itself when it joins a group. Checks nothing of it.

use std::collections::BTreeSet;

use crate::group::instance_id::InstanceId;
use crate::group::member_id::MemberId;
use crate::group::topic_partition::TopicPartition;
use crate::topic::TopicName;

/// A member of a group: what it wants to read, and what it was reading.
///
/// ```
/// use tidelog::group::{MemberSubscription, TopicPartition};
///
/// let orders: tidelog::TopicName = "orders".parse()?;
/// let mut member = MemberSubscription::new("billing-1".parse()?, [orders.clone()]);
/// (member.owned, member.generation) = (vec![TopicPartition::new(orders, 0)], Some(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSubscription {
    /// Who it is.
    pub member: MemberId,
    /// Its name across restarts, if it is a static member.
    pub instance: Option<InstanceId>,
    /// Topics it wants partitions of.
    pub topics: BTreeSet<TopicName>,
    /// Partitions that it says it has.
    pub owned: Vec<TopicPartition>,
    /// The generation of the group that it got them in, if it knows: of two members that claim a partition, the one of the higher generation has
    /// it, and neither if the generations are the same.
    pub generation: Option<i32>,
}

impl MemberSubscription {
    /// A new member, which has no partition yet.
    pub fn new(member: MemberId, topics: impl IntoIterator<Item = TopicName>) -> Self {
        Self { member, instance: None, topics: topics.into_iter().collect(), owned: Vec::new(), generation: None }
    }
}
