//! Partitions dealt out in turn. Knows nothing of what members had.

use std::collections::BTreeMap;

use super::{Assignment, Assignor, MemberSubscription, RebalanceProtocol, nothing_yet, ranked};
use crate::group::topic_partition::TopicPartition;
use crate::topic::TopicName;

/// Kafka's `RoundRobinAssignor`: all partitions of all topics, in order, are dealt to the members in turn; who did not subscribe to a topic is passed
/// over. Static members are first, by instance id, and then the others by member id.
///
/// Members that want the same get the same number of partitions, give or take one. Where they do not, it may be as uneven as it gets.
///
/// ```
/// use std::collections::BTreeMap;
/// use tidelog::group::{Assignor, MemberSubscription, RoundRobinAssignor};
///
/// let orders: tidelog::TopicName = "orders".parse()?;
/// let members = ["a", "b"].map(|id| MemberSubscription::new(id.parse().unwrap(), [orders.clone()]));
/// let assignment = RoundRobinAssignor.assign(&BTreeMap::from([(orders.clone(), 3)]), &members);
/// let of_a: Vec<_> = assignment[&"a".parse()?].iter().map(ToString::to_string).collect();
/// assert_eq!(of_a, ["orders-0", "orders-2"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoundRobinAssignor;

impl Assignor for RoundRobinAssignor {
    fn name(&self) -> &str {
        "roundrobin"
    }

    fn rebalance(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    fn assign(&self, partitions: &BTreeMap<TopicName, u32>, members: &[MemberSubscription]) -> Assignment {
        let ranked = ranked(members);
        let mut assignment = nothing_yet(members);
        let mut turn = 0;
        for (topic, count, subscribers) in super::subscribers(partitions, &ranked) {
            for number in 0..count {
                // The first from `turn` on, or the first of all: members in between did not subscribe.
                let place = subscribers.partition_point(|index| *index < turn) % subscribers.len();
                let index = subscribers[place];
                turn = (index + 1) % ranked.len();
                assignment.entry(ranked[index].member.clone()).or_default().push(TopicPartition::new(topic.clone(), number));
            }
        }
        assignment
    }
}
