//! Which member of a group reads which partition. Decides from what members say of themselves, and remembers nothing.

mod balance;
mod claims;
mod cooperative_sticky;
mod member_subscription;
mod range;
mod round_robin;
mod sticky;

use std::collections::BTreeMap;
use std::fmt;

pub use cooperative_sticky::CooperativeStickyAssignor;
pub use member_subscription::MemberSubscription;
pub use range::RangeAssignor;
pub use round_robin::RoundRobinAssignor;
pub use sticky::StickyAssignor;

use crate::group::member_id::MemberId;
use crate::group::topic_partition::TopicPartition;
use crate::topic::TopicName;

/// What each member reads: an entry for every member, also for those that got nothing.
pub type Assignment = BTreeMap<MemberId, Vec<TopicPartition>>;

/// Divides the partitions of topics among the members that subscribed to them.
///
/// ```
/// use std::collections::BTreeMap;
/// use tidelog::group::{Assignor, MemberSubscription, RangeAssignor};
///
/// let partitions = BTreeMap::from([("orders".parse()?, 3)]);
/// let members = ["billing-1", "billing-2"].map(|id| MemberSubscription::new(id.parse().unwrap(), ["orders".parse().unwrap()]));
/// let assignment = RangeAssignor.assign(&partitions, &members);
/// assert_eq!(assignment.values().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
/// # Ok::<(), tidelog::TopicError>(())
/// ```
pub trait Assignor: fmt::Debug + Send + Sync {
    /// What members and coordinators call it on the wire.
    fn name(&self) -> &str;

    /// What members do with the partitions they have when the group rebalances.
    fn rebalance(&self) -> RebalanceProtocol;

    /// Divides `partitions`, the number of partitions of each topic, among `members`, whose ids are distinct. The answer depends on nothing else, and
    /// not on the order of the members. Topics that are not in `partitions` are passed by, as are partitions that nobody subscribed to.
    fn assign(&self, partitions: &BTreeMap<TopicName, u32>, members: &[MemberSubscription]) -> Assignment;
}

/// What members do with the partitions they have when the group rebalances (KIP-429).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RebalanceProtocol {
    /// They give up all of them before they join.
    Eager,
    /// They go on with them, give up those that the assignment leaves out, and join again when they have.
    Cooperative,
}

/// The members in the order in which Kafka's assignors go through them: static ones first, by their instance ids, then the others by theirs. A static
/// member keeps its place through a restart, which gives it another id.
fn ranked(members: &[MemberSubscription]) -> Vec<&MemberSubscription> {
    let mut ranked: Vec<&MemberSubscription> = members.iter().collect();
    ranked.sort_by_key(|member| (member.instance.is_none(), &member.instance, &member.member));
    ranked
}

/// Members that subscribed to each topic that has partitions, in the order of `members`.
fn subscribers<'a>(
    partitions: &'a BTreeMap<TopicName, u32>,
    members: &[&MemberSubscription],
) -> impl Iterator<Item = (&'a TopicName, u32, Vec<usize>)> {
    let mut subscribers: BTreeMap<&TopicName, (u32, Vec<usize>)> =
        partitions.iter().filter(|(_, count)| **count > 0).map(|(topic, count)| (topic, (*count, Vec::new()))).collect();
    for (index, member) in members.iter().enumerate() {
        for topic in &member.topics {
            if let Some((_, indexes)) = subscribers.get_mut(topic) {
                indexes.push(index);
            }
        }
    }
    subscribers.into_iter().map(|(topic, (count, indexes))| (topic, count, indexes)).filter(|(.., indexes)| !indexes.is_empty())
}

fn nothing_yet(members: &[MemberSubscription]) -> Assignment {
    members.iter().map(|member| (member.member.clone(), Vec::new())).collect()
}
