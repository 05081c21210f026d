//! How many partitions of each kind each member gets: as even as can be, and then with the fewest changes. Names no partition.

use std::collections::VecDeque;

/// Partitions that the same members subscribed to.
#[derive(Debug)]
pub(super) struct Kind {
    /// How many there are.
    pub(super) partitions: usize,
    /// The members that subscribed to them.
    pub(super) subscribers: Vec<usize>,
    /// How many of them each of the subscribers has already.
    pub(super) owned: Vec<usize>,
}

/// The share of each subscriber in each kind.
///
/// A flow of least cost: a partition that changes hands costs one, and one that makes a member's load `n` costs as much more than any number of changes as
/// `n` is high. Partitions are added along the cheapest routes until all are placed; a route may pass partitions on from member to member. As long
/// as each is the cheapest there is, what was placed so far is the cheapest way to place that many (successive shortest paths). One search for what
/// routes cost serves as many of them as can be taken one after the other: costs only rise, so that what costs as little still is the cheapest.
pub(super) fn balance(kinds: &[Kind], member_count: usize) -> Vec<Vec<usize>> {
    let mut flow = Flow::new(kinds, member_count);
    flow.place_all();
    flow.shares
}

struct Flow<'a> {
    kinds: &'a [Kind],
    /// Partitions of each kind that are not placed.
    left: Vec<usize>,
    shares: Vec<Vec<usize>>,
    /// Partitions that each member has.
    load: Vec<usize>,
    /// The kinds that each member subscribed to, and its place among the subscribers.
    subscriptions: Vec<Vec<Link>>,
    /// Links that were looked at: how much work it was.
    looks: usize,
}

/// A member's place among the subscribers of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link {
    kind: usize,
    place: usize,
}

/// What the cheapest routes from partitions that are not placed to each kind and member cost: how many more change hands on it.
struct Costs {
    to_kind: Vec<Option<i64>>,
    to_member: Vec<Option<i64>>,
}

/// Routes that are taken one after the other, at the costs of one search. Nothing is looked at twice in vain.
struct Sweep {
    costs: Costs,
    /// Where no route begins, or the one that is being looked for leads through.
    kind_is_closed: Vec<bool>,
    member_is_closed: Vec<bool>,
    /// How many of a kind's subscribers, and of a member's subscriptions, lead nowhere.
    passed_of_kind: Vec<usize>,
    passed_of_member: Vec<usize>,
}

impl<'a> Flow<'a> {
    fn new(kinds: &'a [Kind], member_count: usize) -> Self {
        let mut subscriptions = vec![Vec::new(); member_count];
        for (kind, Kind { subscribers, .. }) in kinds.iter().enumerate() {
            for (place, member) in subscribers.iter().enumerate() {
                subscriptions[*member].push(Link { kind, place });
            }
        }
        Self {
            kinds,
            left: kinds.iter().map(|kind| kind.partitions).collect(),
            shares: kinds.iter().map(|kind| vec![0; kind.subscribers.len()]).collect(),
            load: vec![0; member_count],
            subscriptions,
            looks: 0,
        }
    }

    fn place_all(&mut self) {
        while self.left.iter().any(|left| *left > 0) {
            self.place_some();
        }
    }

    /// Places partitions along routes that are the cheapest: one at least.
    fn place_some(&mut self) {
        let costs = self.costs();
        let cost = |flow: &Self, member: usize| costs.to_member[member].map(|changes| (flow.load[member], changes));
        let cheapest = (0..self.load.len()).filter_map(|member| cost(self, member)).min();
        let cheapest = cheapest.expect("a kind of partitions has a subscriber, which can always be given one more");
        let members: Vec<usize> = (0..self.load.len()).filter(|member| cost(self, *member) == Some(cheapest)).collect();
        let mut sweep = Sweep {
            costs,
            kind_is_closed: vec![false; self.kinds.len()],
            member_is_closed: vec![false; self.load.len()],
            passed_of_kind: vec![0; self.kinds.len()],
            passed_of_member: vec![0; self.load.len()],
        };
        for member in members {
            self.place(&mut sweep, member);
        }
    }

    /// Bellman and Ford's search: costs may be negative, and no circle's sum is.
    fn costs(&mut self) -> Costs {
        let mut costs = Costs { to_kind: self.left.iter().map(|left| (*left > 0).then_some(0)).collect(), to_member: vec![None; self.load.len()] };
        let mut waiting: VecDeque<usize> = (0..self.kinds.len()).filter(|kind| self.left[*kind] > 0).collect();
        let mut is_waiting: Vec<bool> = self.left.iter().map(|left| *left > 0).collect();
        while let Some(kind) = waiting.pop_front() {
            is_waiting[kind] = false;
            let Some(changes) = costs.to_kind[kind] else { continue };
            self.looks += self.kinds[kind].subscribers.len();
            for place in 0..self.kinds[kind].subscribers.len() {
                let link = Link { kind, place };
                let member = self.member(link);
                let changes = changes + self.cost_to_add(link);
                if costs.to_member[member].is_some_and(|known| known <= changes) {
                    continue;
                }
                costs.to_member[member] = Some(changes);
                self.looks += self.subscriptions[member].len();
                for &given_up in self.subscriptions[member].iter().filter(|given_up| self.share(**given_up) > 0) {
                    let changes = changes - self.cost_of_last(given_up);
                    if costs.to_kind[given_up.kind].is_some_and(|known| known <= changes) {
                        continue;
                    }
                    costs.to_kind[given_up.kind] = Some(changes);
                    if !std::mem::replace(&mut is_waiting[given_up.kind], true) {
                        waiting.push_back(given_up.kind);
                    }
                }
            }
        }
        costs
    }

    /// Places a partition with `member`, if there is a route at the costs of the search still. Looks for it from its end, in depth.
    fn place(&mut self, sweep: &mut Sweep, member: usize) {
        let (mut added, mut given_up): (Vec<Link>, Vec<Link>) = (Vec::new(), Vec::new());
        if std::mem::replace(&mut sweep.member_is_closed[member], true) {
            return;
        }
        let mut at = member;
        loop {
            match self.next_to_add(sweep, at) {
                Some(link) => {
                    sweep.kind_is_closed[link.kind] = true;
                    added.push(link);
                }
                None if given_up.pop().is_none() => return,
                None => {}
            }
            let Some(Link { kind, .. }) = added.last().copied() else { return };
            if self.left[kind] > 0 && sweep.costs.to_kind[kind] == Some(0) {
                self.left[kind] -= 1;
                break;
            }
            match self.next_to_give_up(sweep, kind) {
                Some(link) => {
                    sweep.member_is_closed[self.member(link)] = true;
                    given_up.push(link);
                }
                None => drop(added.pop()),
            }
            at = given_up.last().map_or(member, |link| self.member(*link));
        }
        self.load[member] += 1;
        sweep.member_is_closed[member] = false;
        for link in added {
            self.shares[link.kind][link.place] += 1;
            sweep.kind_is_closed[link.kind] = false;
        }
        for link in given_up {
            self.shares[link.kind][link.place] -= 1;
            sweep.member_is_closed[self.member(link)] = false;
        }
    }

    /// A kind that a cheapest route to the member leads through.
    fn next_to_add(&mut self, sweep: &mut Sweep, member: usize) -> Option<Link> {
        let Sweep { costs, kind_is_closed, passed_of_member, .. } = sweep;
        loop {
            let link = *self.subscriptions[member].get(passed_of_member[member])?;
            let cost = costs.to_kind[link.kind].map(|changes| changes + self.cost_to_add(link));
            if !kind_is_closed[link.kind] && cost.is_some() && cost == costs.to_member[member] {
                return Some(link);
            }
            passed_of_member[member] += 1;
            self.looks += 1;
        }
    }

    /// A member that a cheapest route to the kind leads through: it gives up one of it.
    fn next_to_give_up(&mut self, sweep: &mut Sweep, kind: usize) -> Option<Link> {
        let Sweep { costs, member_is_closed, passed_of_kind, .. } = sweep;
        loop {
            let place = passed_of_kind[kind];
            let member = *self.kinds[kind].subscribers.get(place)?;
            let link = Link { kind, place };
            let cost = costs.to_member[member].map(|changes| changes - self.cost_of_last(link));
            if self.share(link) > 0 && !member_is_closed[member] && cost.is_some() && cost == costs.to_kind[kind] {
                return Some(link);
            }
            passed_of_kind[kind] += 1;
            self.looks += 1;
        }
    }

    fn member(&self, link: Link) -> usize {
        self.kinds[link.kind].subscribers[link.place]
    }

    fn share(&self, link: Link) -> usize {
        self.shares[link.kind][link.place]
    }

    /// What one more costs: nothing as long as it is one that the member has already.
    fn cost_to_add(&self, link: Link) -> i64 {
        i64::from(self.share(link) >= self.kinds[link.kind].owned[link.place])
    }

    /// What the last one cost.
    fn cost_of_last(&self, link: Link) -> i64 {
        i64::from(self.share(link) > self.kinds[link.kind].owned[link.place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where each topic has other subscribers, the work is as much as there are subscriptions, and not some power of it.
    #[test]
    fn work_grows_with_the_subscriptions() {
        for members in [50, 100, 200] {
            let everybody_but = |left_out: usize| (0..members).filter(|member| *member != left_out % members).collect::<Vec<_>>();
            let kind = |topic: usize| Kind { partitions: 1 + topic % 7, subscribers: everybody_but(topic), owned: vec![0; members - 1] };
            let kinds: Vec<Kind> = (0..2 * members).map(kind).collect();
            let mut flow = Flow::new(&kinds, members);
            flow.place_all();
            let subscriptions = 2 * members * (members - 1);
            assert!(flow.looks < 40 * subscriptions, "{} looks for {subscriptions} subscriptions", flow.looks);
        }
    }
}
