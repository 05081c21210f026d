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
/// as each is the cheapest there is, what was placed so far is the cheapest way to place that many (successive shortest paths).
pub(super) fn balance(kinds: &[Kind], member_count: usize) -> Vec<Vec<usize>> {
    let mut flow = Flow::new(kinds, member_count);
    while flow.left.iter().any(|left| *left > 0) {
        flow.place_some();
    }
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
}

/// A member's place among the subscribers of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link {
    kind: usize,
    place: usize,
}

/// The cheapest routes from partitions that are not placed to each kind and member: how many more change hands on it, and its last step.
struct Routes {
    to_kind: Vec<Option<i64>>,
    to_member: Vec<Option<i64>>,
    /// The member that gives up a partition of the kind for it; none where a route begins.
    into_kind: Vec<Option<Link>>,
    into_member: Vec<Option<Link>>,
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
        }
    }

    /// Places a partition along each of the routes that are cheapest and do not get in each other's way: one at least.
    fn place_some(&mut self) {
        let routes = self.routes();
        let cost = |flow: &Self, member: usize| routes.to_member[member].map(|changes| (flow.load[member], changes));
        let cheapest = (0..self.load.len()).filter_map(|member| cost(self, member)).min();
        let cheapest = cheapest.expect("a kind of partitions has a subscriber, which can always be given one more");
        for member in 0..self.load.len() {
            if cost(self, member) == Some(cheapest) {
                self.place(&routes, member);
            }
        }
    }

    /// Bellman and Ford's search: costs may be negative, and no circle's sum is.
    fn routes(&self) -> Routes {
        let mut routes = Routes {
            to_kind: self.left.iter().map(|left| (*left > 0).then_some(0)).collect(),
            to_member: vec![None; self.load.len()],
            into_kind: vec![None; self.kinds.len()],
            into_member: vec![None; self.load.len()],
        };
        let mut waiting: VecDeque<usize> = (0..self.kinds.len()).filter(|kind| self.left[*kind] > 0).collect();
        let mut is_waiting: Vec<bool> = self.left.iter().map(|left| *left > 0).collect();
        while let Some(kind) = waiting.pop_front() {
            is_waiting[kind] = false;
            let Some(changes) = routes.to_kind[kind] else { continue };
            for place in 0..self.kinds[kind].subscribers.len() {
                let link = Link { kind, place };
                let member = self.member(link);
                let changes = changes + self.cost_to_add(link);
                if routes.to_member[member].is_some_and(|known| known <= changes) {
                    continue;
                }
                (routes.to_member[member], routes.into_member[member]) = (Some(changes), Some(link));
                for &given_up in self.subscriptions[member].iter().filter(|given_up| self.share(**given_up) > 0) {
                    let changes = changes - self.cost_of_last(given_up);
                    if routes.to_kind[given_up.kind].is_some_and(|known| known <= changes) {
                        continue;
                    }
                    (routes.to_kind[given_up.kind], routes.into_kind[given_up.kind]) = (Some(changes), Some(given_up));
                    if !std::mem::replace(&mut is_waiting[given_up.kind], true) {
                        waiting.push_back(given_up.kind);
                    }
                }
            }
        }
        routes
    }

    /// Places a partition along the route to `member`, unless another took a part of it.
    fn place(&mut self, routes: &Routes, member: usize) {
        let (mut added, mut given_up) = (Vec::new(), Vec::new());
        let mut at = member;
        let first = loop {
            let Some(link) = routes.into_member[at] else { return };
            added.push(link);
            match routes.into_kind[link.kind] {
                None => break link.kind,
                Some(link) => {
                    given_up.push(link);
                    at = self.member(link);
                }
            }
        };
        let length: i64 =
            added.iter().map(|link| self.cost_to_add(*link)).sum::<i64>() - given_up.iter().map(|link| self.cost_of_last(*link)).sum::<i64>();
        let is_free = self.left[first] > 0 && given_up.iter().all(|link| self.share(*link) > 0);
        if !is_free || routes.to_member[member] != Some(length) {
            return;
        }
        self.left[first] -= 1;
        self.load[member] += 1;
        added.iter().for_each(|link| self.shares[link.kind][link.place] += 1);
        given_up.iter().for_each(|link| self.shares[link.kind][link.place] -= 1);
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
