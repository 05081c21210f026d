//! Consecutive partitions for each member, topic by topic. Knows nothing of what members had.

use std::collections::BTreeMap;

use super::{Assignment, Assignor, MemberSubscription, RebalanceProtocol, nothing_yet, ranked, subscribers};
use crate::group::topic_partition::TopicPartition;
use crate::topic::TopicName;

/// Kafka's `RangeAssignor`: each topic by itself is cut into consecutive ranges, one for each member that subscribed to it, the first members getting
/// one partition more where they do not come out even.
///
/// Static members are first, by instance id, and then the others by member id. So members with the same subscription get the same numbers of all
/// topics that have as many partitions: records of one key, which have the same number in topics that are divided alike, meet in one member.
/// The price is that the first members get the odd partition of every topic.
///
/// ```
/// use std::collections::BTreeMap;
/// use tidelog::group::{Assignor, MemberSubscription, RangeAssignor};
///
/// let (orders, payments): (tidelog::TopicName, tidelog::TopicName) = ("orders".parse()?, "payments".parse()?);
/// let members = ["a", "b"].map(|id| MemberSubscription::new(id.parse().unwrap(), [orders.clone(), payments.clone()]));
/// let assignment = RangeAssignor.assign(&BTreeMap::from([(orders.clone(), 3), (payments.clone(), 3)]), &members);
/// let of_b: Vec<_> = assignment[&"b".parse()?].iter().map(ToString::to_string).collect();
/// assert_eq!(of_b, ["orders-2", "payments-2"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RangeAssignor;

impl Assignor for RangeAssignor {
    fn name(&self) -> &str {
        "range"
    }

    fn rebalance(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    fn assign(&self, partitions: &BTreeMap<TopicName, u32>, members: &[MemberSubscription]) -> Assignment {
        let ranked = ranked(members);
        let mut assignment = nothing_yet(members);
        for (topic, count, subscribers) in subscribers(partitions, &ranked) {
            let (each, odd) = (count as usize / subscribers.len(), count as usize % subscribers.len());
            let mut numbers = 0..count;
            for (place, index) in subscribers.into_iter().enumerate() {
                let range = numbers.by_ref().take(each + usize::from(place < odd));
                let range = range.map(|number| TopicPartition::new(topic.clone(), number));
                assignment.entry(ranked[index].member.clone()).or_default().extend(range);
            }
        }
        assignment
    }
}
