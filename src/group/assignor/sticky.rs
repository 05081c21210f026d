//! Partitions divided evenly, with the fewest changes of owner. Looks at what members had, and at no topic's records.

use std::collections::{BTreeMap, VecDeque};

use super::balance::{Kind, balance};
use super::claims::Claims;
use super::{Assignment, Assignor, MemberSubscription, RebalanceProtocol, subscribers};
use crate::group::topic_partition::TopicPartition;
use crate::topic::TopicName;

/// Kafka's `StickyAssignor` (KIP-54; claims by generation are KIP-341's): as even as the subscriptions allow, and of all such assignments one that
/// leaves as many partitions as possible where they are.
///
/// *Even* means that the squares of the numbers of partitions add up to the least that there is. So members with the same subscription differ by
/// one at most, and nobody has a partition that somebody with two fewer could have, be it directly or by passing others on; Kafka's own looks for
/// the direct ones. *Fewest changes* is exact: it is the least-cost flow from partitions to members.
/// Of two members that claim a partition the one of the higher generation has it, and neither has it if the generations are the same.
///
/// ```
/// use std::collections::BTreeMap;
/// use tidelog::group::{Assignor, MemberSubscription, StickyAssignor};
///
/// let orders: tidelog::TopicName = "orders".parse()?;
/// let partitions = BTreeMap::from([(orders.clone(), 4)]);
/// let mut members = vec![MemberSubscription::new("a".parse()?, [orders.clone()])];
/// members[0].owned = StickyAssignor.assign(&partitions, &members).remove(&members[0].member).unwrap();
/// members.push(MemberSubscription::new("b".parse()?, [orders]));
/// let assignment = StickyAssignor.assign(&partitions, &members);
/// assert_eq!(assignment[&members[0].member], members[0].owned[..2]); // two stay, and two move
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StickyAssignor;

impl Assignor for StickyAssignor {
    fn name(&self) -> &str {
        "sticky"
    }

    fn rebalance(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    fn assign(&self, partitions: &BTreeMap<TopicName, u32>, members: &[MemberSubscription]) -> Assignment {
        let members = by_id(members);
        divide(partitions, &members, &Claims::of(&members))
    }
}

pub(super) fn by_id(members: &[MemberSubscription]) -> Vec<&MemberSubscription> {
    let mut members: Vec<&MemberSubscription> = members.iter().collect();
    members.sort_by_key(|member| &member.member);
    members
}

/// Divides all partitions, whoever may be reading them still.
pub(super) fn divide(partitions: &BTreeMap<TopicName, u32>, members: &[&MemberSubscription], claims: &Claims<'_>) -> Assignment {
    // Topics with the same subscribers are all the same for the balance.
    let mut alike: BTreeMap<Vec<usize>, Vec<TopicPartition>> = BTreeMap::new();
    for (topic, count, subscribers) in subscribers(partitions, members) {
        alike.entry(subscribers).or_default().extend((0..count).map(|number| TopicPartition::new(topic.clone(), number)));
    }
    let piles: Vec<Pile> = alike.into_iter().map(|(subscribers, partitions)| Pile::new(subscribers, partitions, claims)).collect();
    let kinds: Vec<Kind> = piles.iter().map(Pile::kind).collect();
    let shares = balance(&kinds, members.len());
    let mut assignment: Assignment = members.iter().map(|member| (member.member.clone(), Vec::new())).collect();
    for (pile, shares) in piles.into_iter().zip(shares) {
        for (index, partitions) in pile.deal(&shares) {
            assignment.entry(members[index].member.clone()).or_default().extend(partitions);
        }
    }
    assignment.values_mut().for_each(|partitions| partitions.sort());
    assignment
}

/// Partitions that the same members subscribed to.
#[derive(Debug)]
struct Pile {
    subscribers: Vec<usize>,
    /// What each of the subscribers has.
    owned: Vec<Vec<TopicPartition>>,
    /// What none of them has.
    free: Vec<TopicPartition>,
}

impl Pile {
    fn new(subscribers: Vec<usize>, partitions: Vec<TopicPartition>, claims: &Claims<'_>) -> Self {
        let (mut owned, mut free) = (vec![Vec::new(); subscribers.len()], Vec::new());
        for partition in partitions {
            match claims.owner(&partition).and_then(|owner| subscribers.binary_search(&owner).ok()) {
                Some(place) => owned[place].push(partition),
                None => free.push(partition),
            }
        }
        Self { subscribers, owned, free }
    }

    fn kind(&self) -> Kind {
        let owned: Vec<usize> = self.owned.iter().map(Vec::len).collect();
        Kind { partitions: owned.iter().sum::<usize>() + self.free.len(), subscribers: self.subscribers.clone(), owned }
    }

    /// Gives each subscriber its share: what it has, and the rest in turn. As Kafka does it, everybody has the smallest share before anybody gets more.
    fn deal(mut self, shares: &[usize]) -> impl Iterator<Item = (usize, Vec<TopicPartition>)> {
        for (owned, share) in self.owned.iter_mut().zip(shares) {
            self.free.extend(owned.split_off(owned.len().min(*share)));
        }
        self.free.sort();
        let mut free = self.free.into_iter();
        let smallest = shares.iter().copied().min().unwrap_or(0);
        for limit in [smallest, usize::MAX] {
            let wants = |owned: &[Vec<TopicPartition>], place: usize| owned[place].len() < shares[place].min(limit);
            let mut turns: VecDeque<usize> = (0..shares.len()).filter(|place| wants(&self.owned, *place)).collect();
            while let Some(place) = turns.pop_front()
                && let Some(partition) = free.next()
            {
                self.owned[place].push(partition);
                if wants(&self.owned, place) {
                    turns.push_back(place);
                }
            }
        }
        self.subscribers.into_iter().zip(self.owned)
    }
}
