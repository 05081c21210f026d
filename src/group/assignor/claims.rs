//! Who has which partition, by what members say. Believes the newest of them.

use std::collections::HashMap;

use super::MemberSubscription;
use crate::group::topic_partition::TopicPartition;

/// For each partition that is claimed, the members that claim it with the highest generation, by their places in `members`.
///
/// A claim of a lower generation is out of date: its member was left behind when the partition was given to the other. Two of the same generation are
/// a contradiction.
#[derive(Debug)]
pub(super) struct Claims<'a>(HashMap<&'a TopicPartition, Claim>);

#[derive(Debug)]
struct Claim {
    generation: Option<i32>,
    members: Vec<usize>,
    /// Those that do not know their generation: it may be the newest.
    undated: Vec<usize>,
}

impl<'a> Claims<'a> {
    pub(super) fn of(members: &[&'a MemberSubscription]) -> Self {
        let mut claims: HashMap<&TopicPartition, Claim> = HashMap::new();
        for (index, member) in members.iter().enumerate() {
            for partition in &member.owned {
                let claim = claims.entry(partition).or_insert(Claim { generation: member.generation, members: Vec::new(), undated: Vec::new() });
                if member.generation > claim.generation {
                    (claim.generation, claim.members) = (member.generation, Vec::new());
                }
                if member.generation == claim.generation && claim.members.last() != Some(&index) {
                    claim.members.push(index);
                }
                if member.generation.is_none() {
                    claim.undated.push(index);
                }
            }
        }
        Self(claims)
    }

    /// The member that has the partition, if it is known.
    pub(super) fn owner(&self, partition: &TopicPartition) -> Option<usize> {
        match self.0.get(partition)?.members[..] {
            [owner] => Some(owner),
            _ => None,
        }
    }

    /// Whether somebody else than `member` may be reading the partition still.
    pub(super) fn is_held_by_another(&self, partition: &TopicPartition, member: usize) -> bool {
        self.0.get(partition).is_some_and(|claim| claim.members.iter().chain(&claim.undated).any(|index| *index != member))
    }
}
