//! The sticky assignment, less what has to be given up first. Waits for nobody: it is asked again when it was.

use std::collections::BTreeMap;

use super::claims::Claims;
use super::sticky::{by_id, divide};
use super::{Assignment, Assignor, MemberSubscription, RebalanceProtocol};
use crate::topic::TopicName;

/// Kafka's `CooperativeStickyAssignor` (KIP-429): what [`StickyAssignor`](super::StickyAssignor) decides, without the partitions that somebody else
/// than their new owner may be reading still.
///
/// Those are nobody's for one round. Their old owners see that they are not theirs any more, give them up and join again, no longer claiming them;
/// the next round hands them out. So no partition is ever read by two, and members go on reading what stays with them. A partition that two
/// members claim in the same generation is withheld from both.
///
/// ```
/// use std::collections::BTreeMap;
/// use tidelog::group::{Assignor, CooperativeStickyAssignor, MemberSubscription, TopicPartition};
///
/// let orders: tidelog::TopicName = "orders".parse()?;
/// let partitions = BTreeMap::from([(orders.clone(), 2)]);
/// let mut members = ["a", "b"].map(|id| MemberSubscription::new(id.parse().unwrap(), [orders.clone()]));
/// members[0].owned = vec![TopicPartition::new(orders.clone(), 0), TopicPartition::new(orders.clone(), 1)];
/// let first = CooperativeStickyAssignor.assign(&partitions, &members);
/// assert_eq!((first[&members[0].member].len(), first[&members[1].member].len()), (1, 0)); // a gives one up, and b waits for it
/// members[0].owned.pop();
/// let second = CooperativeStickyAssignor.assign(&partitions, &members);
/// assert_eq!((second[&members[0].member].len(), second[&members[1].member].len()), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CooperativeStickyAssignor;

impl Assignor for CooperativeStickyAssignor {
    fn name(&self) -> &str {
        "cooperative-sticky"
    }

    fn rebalance(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn assign(&self, partitions: &BTreeMap<TopicName, u32>, members: &[MemberSubscription]) -> Assignment {
        let members = by_id(members);
        let claims = Claims::of(&members);
        let mut assignment = divide(partitions, &members, &claims);
        for (index, member) in members.iter().enumerate() {
            let given = assignment.entry(member.member.clone()).or_default();
            given.retain(|partition| !claims.is_held_by_another(partition, index));
        }
        assignment
    }
}
