//! A consumer group against a model of it: random joins, syncs, leaves, expiries, commits and restarts of the coordinator on its offset store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use tidelog::group::{GroupError, GroupState, JoinRequest, JoinedGroup, LeavingMember, MemberId, MemberIdentity, PendingAnswer, SyncedGroup};
use tidelog::{MemoryOffsetStore, Store};

use crate::group_support::{Groups, SESSION, group, request};

const CLIENTS: usize = 5;
const PARTITIONS: u32 = 2;

#[derive(Debug, Clone)]
enum Step {
    Join(usize),
    Sync(usize),
    Heartbeat(usize),
    Leave(usize),
    Commit(usize, u32, u64),
    CommitAsNobody(u32, u64),
    Advance(u64),
    Restart,
}

/// One that would be a member, and what it knows.
#[derive(Default)]
struct Client {
    id: Option<MemberId>,
    joined: Option<JoinedGroup>,
    joining: Option<PendingAnswer<JoinedGroup>>,
    syncing: Option<PendingAnswer<SyncedGroup>>,
}

impl Client {
    fn waits(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }

    /// As who it makes requests: with what it was told last, whatever became of it.
    fn identity(&self) -> Option<MemberIdentity> {
        self.joined.as_ref().map(JoinedGroup::identity)
    }
}

/// What a group should be.
struct Model {
    state: GroupState,
    /// Since when nothing was heard of each member; of those that wait for an answer, nothing has to be.
    members: BTreeMap<MemberId, Option<Duration>>,
    leader: Option<MemberId>,
    /// The highest generation that anybody was told of.
    told: i32,
    /// What survives: the members of the last completed rebalance, their leader, and what each was assigned.
    stored: BTreeMap<MemberId, Vec<u8>>,
    stored_leader: Option<MemberId>,
    positions: BTreeMap<u32, u64>,
}

/// What a request comes to.
#[derive(Debug, PartialEq)]
enum Outcome {
    Done,
    Unknown,
    Illegal,
    Rebalancing,
}

impl Outcome {
    fn of(result: Result<(), GroupError>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(GroupError::UnknownMember { .. }) => Self::Unknown,
            Err(GroupError::IllegalGeneration { .. }) => Self::Illegal,
            Err(GroupError::RebalanceInProgress { .. }) => Self::Rebalancing,
            Err(other) => panic!("{other}"),
        }
    }
}

impl Model {
    fn new() -> Self {
        Self {
            state: GroupState::Empty,
            members: BTreeMap::new(),
            leader: None,
            told: 0,
            stored: BTreeMap::new(),
            stored_leader: None,
            positions: BTreeMap::new(),
        }
    }

    /// Whether a request of that identity is one of a member, and a sign of its life.
    fn admit(&mut self, identity: &MemberIdentity, now: Duration) -> Outcome {
        match self.members.get_mut(&identity.member_id) {
            None => Outcome::Unknown,
            Some(_) if identity.generation != self.told => Outcome::Illegal,
            Some(since) => {
                *since = since.map(|_| now);
                Outcome::Done
            }
        }
    }

    fn disturb(&mut self) {
        self.state = if self.members.is_empty() { GroupState::Empty } else { GroupState::PreparingRebalance };
        if self.members.is_empty() {
            (self.stored, self.stored_leader) = (BTreeMap::new(), None);
        }
    }

    fn expire(&mut self, now: Duration) {
        let before = self.members.len();
        self.members.retain(|_, since| since.is_none_or(|since| now < since + SESSION));
        if self.members.len() < before {
            self.disturb();
        }
    }
}

struct Run {
    groups: Groups,
    clients: Vec<Client>,
    model: Model,
}

impl Run {
    fn new(store: &Store) -> Self {
        let groups = Groups::of(store.clone(), Arc::new(MemoryOffsetStore::new()), |options| options.initial_rebalance_delay(Duration::ZERO));
        Self { groups, clients: (0..CLIENTS).map(|_| Client::default()).collect(), model: Model::new() }
    }

    fn now(&self) -> Duration {
        self.groups.clock.uptime()
    }

    fn step(&mut self, step: &Step) {
        let now = self.now();
        match step {
            Step::Join(number) if !self.clients[*number].waits() => self.join(*number),
            Step::Sync(number) if !self.clients[*number].waits() => self.sync(*number),
            Step::Heartbeat(number) if !self.clients[*number].waits() => {
                let Some(identity) = self.clients[*number].identity() else { return };
                let mut expected = self.model.admit(&identity, now);
                if expected == Outcome::Done && self.model.state == GroupState::PreparingRebalance {
                    expected = Outcome::Rebalancing;
                }
                assert_eq!(Outcome::of(self.groups.heartbeat(&identity)), expected);
            }
            Step::Commit(number, partition, offset) if !self.clients[*number].waits() => {
                let Some(identity) = self.clients[*number].identity() else { return };
                let mut expected = self.model.admit(&identity, now);
                if expected == Outcome::Done && self.model.state == GroupState::CompletingRebalance {
                    expected = Outcome::Rebalancing;
                }
                if expected == Outcome::Done {
                    self.model.positions.insert(*partition, *offset);
                }
                assert_eq!(Outcome::of(self.groups.commit(&identity, *partition, *offset)), expected);
            }
            Step::CommitAsNobody(partition, offset) => {
                let is_empty = self.model.state == GroupState::Empty;
                if is_empty {
                    self.model.positions.insert(*partition, *offset);
                }
                let expected = if is_empty { Outcome::Done } else { Outcome::Unknown };
                assert_eq!(Outcome::of(self.groups.commit(None, *partition, *offset)), expected);
            }
            Step::Leave(number) => {
                let client = std::mem::take(&mut self.clients[*number]);
                let Some(id) = client.id else { return };
                let was_member = self.model.members.remove(&id).is_some();
                if was_member {
                    self.model.disturb();
                }
                let leaving = [LeavingMember { member_id: Some(id), instance_id: None }];
                let outcome = self.groups.coordinator.leave(&group(), &leaving).unwrap().remove(0);
                assert_eq!(Outcome::of(outcome), if was_member { Outcome::Done } else { Outcome::Unknown });
            }
            Step::Advance(ms) => {
                self.groups.clock.advance(Duration::from_millis(*ms));
                self.model.expire(self.now());
            }
            Step::Restart => self.restart(),
            _ => {}
        }
    }

    fn join(&mut self, number: usize) {
        let (client, model, now) = (&mut self.clients[number], &mut self.model, self.groups.clock.uptime());
        let join = JoinRequest { member_id: client.id.clone(), rebalance_timeout: Duration::from_secs(36_000), ..request("m") };
        let mut pending = self.groups.join(&join);
        if let Some(id) = &client.id {
            let Some(since) = model.members.get_mut(id) else {
                assert_eq!(Outcome::of(pending.take().unwrap().map(drop)), Outcome::Unknown);
                *client = Client::default(); // it begins anew
                return;
            };
            let is_leader = model.leader.as_ref() == Some(id);
            if model.state == GroupState::CompletingRebalance || (model.state == GroupState::Stable && !is_leader) {
                *since = Some(now);
                let told = pending.take().expect("nothing is to be waited for").unwrap();
                assert_eq!((told.generation, Some(&told.leader), &told.member_id), (model.told, model.leader.as_ref(), id));
                client.joined = Some(told);
                return;
            }
        } else {
            let all = self.groups.coordinator.describe(&group()).unwrap().members;
            let new: Vec<_> = all.into_iter().filter(|(id, _)| !model.members.contains_key(id)).collect();
            assert_eq!(new.len(), 1);
            client.id = Some(new[0].0.clone());
        }
        model.members.insert(client.id.clone().unwrap(), None);
        model.disturb();
        client.joining = Some(pending);
    }

    fn sync(&mut self, number: usize) {
        let (client, model, now) = (&mut self.clients[number], &mut self.model, self.groups.clock.uptime());
        let Some(joined) = client.joined.clone() else { return };
        let shares: Vec<_> = (0..PARTITIONS).map(|partition| (partition as usize % joined.members.len().max(1), partition.to_string())).collect();
        let share = |index: usize| shares.iter().filter(|(of, _)| *of == index).map(|(_, partition)| partition.as_str()).collect::<String>();
        let assignments: Vec<_> = joined.members.iter().enumerate().map(|(index, member)| (member.member_id.as_str(), share(index))).collect();
        let assignments: Vec<_> = assignments.iter().map(|(id, share)| (*id, share.as_str())).collect();
        let mut pending = self.groups.sync(&joined.identity(), &assignments);
        let expected = match (model.admit(&joined.identity(), now), model.state) {
            (Outcome::Done, GroupState::PreparingRebalance) => Outcome::Rebalancing,
            (Outcome::Done, GroupState::CompletingRebalance) => {
                model.members.insert(joined.member_id.clone(), None);
                if model.leader.as_ref() == Some(&joined.member_id) {
                    let bytes = |id: &MemberId| {
                        assignments.iter().find(|(of, _)| *of == id.as_str()).map(|(_, share)| share.as_bytes().to_vec()).unwrap_or_default()
                    };
                    model.stored = model.members.keys().map(|id| (id.clone(), bytes(id))).collect();
                    model.stored_leader = model.leader.clone();
                    model.state = GroupState::Stable;
                }
                client.syncing = Some(pending);
                return;
            }
            (other, _) => other,
        };
        let answer = pending.take().expect("nothing is to be waited for");
        if expected == Outcome::Done {
            assert_eq!(Some(&answer.unwrap().assignment), model.stored.get(&joined.member_id));
        } else {
            assert_eq!(Outcome::of(answer.map(drop)), expected);
        }
    }

    /// Whoever waits for an answer has lost its connection, and whoever was not part of the last completed rebalance is not known any more.
    fn restart(&mut self) {
        self.groups.restart();
        let now = self.now();
        for client in &mut self.clients {
            (client.joining, client.syncing) = (None, None);
        }
        let model = &mut self.model;
        model.members = model.stored.keys().map(|id| (id.clone(), Some(now))).collect();
        model.leader.clone_from(&model.stored_leader);
        model.state = if model.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        if let Ok(found) = self.groups.coordinator.describe(&group()) {
            assert!(found.generation >= model.told, "a generation was told, and forgotten: {} after {}", found.generation, model.told);
        }
    }

    /// Hands out what was answered, which is everything that should have been; and compares.
    fn check(&mut self) {
        let now = self.now();
        let model = &mut self.model;
        let have_all = !model.members.is_empty() && model.members.values().all(Option::is_none);
        if model.state == GroupState::PreparingRebalance
            && have_all
            && self.clients.iter().all(|client| client.syncing.is_none() || client.joining.is_some())
        {
            model.state = GroupState::CompletingRebalance;
            let mut told = Vec::new();
            for client in self.clients.iter_mut().filter(|client| client.joining.is_some()) {
                let joined = client.joining.take().unwrap().take().expect("all have joined").unwrap();
                model.members.insert(joined.member_id.clone(), Some(now));
                told.push(joined.clone());
                client.joined = Some(joined);
            }
            assert_eq!(told.len(), model.members.len(), "everybody is told");
            assert!(told[0].generation > model.told, "{} is told after {}", told[0].generation, model.told);
            assert!(told.iter().all(|joined| (joined.generation, &joined.leader) == (told[0].generation, &told[0].leader)));
            (model.told, model.leader) = (told[0].generation, Some(told[0].leader.clone()));
            let leader = told.iter().find(|joined| joined.member_id == joined.leader).unwrap();
            assert!(leader.members.iter().map(|member| &member.member_id).eq(model.members.keys()));
        }
        for client in &mut self.clients {
            let Some(mut pending) = client.syncing.take() else { continue };
            let id = client.id.clone().unwrap();
            match (pending.take(), model.state) {
                (Some(answer), GroupState::Stable) => {
                    assert_eq!(Some(&answer.unwrap().assignment), model.stored.get(&id));
                    model.members.insert(id, Some(now));
                }
                (Some(answer), _) => {
                    assert_eq!(Outcome::of(answer.map(drop)), Outcome::Rebalancing, "it was waiting for the leader");
                    model.members.insert(id, Some(now));
                }
                (None, state) => {
                    assert_eq!(state, GroupState::CompletingRebalance, "it waits for nobody");
                    client.syncing = Some(pending);
                }
            }
        }
        for client in &mut self.clients {
            assert!(client.joining.as_mut().is_none_or(|pending| pending.take().is_none()), "answered before all have joined");
        }
        let found = self.groups.coordinator.describe(&group());
        let (state, members) = found.map_or((GroupState::Empty, Vec::new()), |found| (found.state, found.members));
        assert_eq!(state, model.state);
        assert!(members.iter().map(|(id, _)| id).eq(model.members.keys()));
        let positions: BTreeMap<u32, u64> = (0..PARTITIONS).filter_map(|number| Some((number, self.groups.committed(number)?))).collect();
        assert_eq!(positions, model.positions);
    }
}

fn steps() -> impl Strategy<Value = Step> {
    let client = || 0..CLIENTS;
    prop_oneof![
        8 => client().prop_map(Step::Join),
        8 => client().prop_map(Step::Sync),
        4 => client().prop_map(Step::Heartbeat),
        1 => client().prop_map(Step::Leave),
        4 => (client(), 0..PARTITIONS, 0..100u64).prop_map(|(client, partition, offset)| Step::Commit(client, partition, offset)),
        1 => (0..PARTITIONS, 0..100u64).prop_map(|(partition, offset)| Step::CommitAsNobody(partition, offset)),
        3 => (1..6_000u64).prop_map(Step::Advance),
        1 => Just(Step::Restart),
    ]
}

/// A partition has one reader in a generation, generations only grow, nobody commits who is no member, what was committed is there after a restart, and
/// everybody who should hear of a rebalance does.
#[test]
fn a_group_is_what_its_model_is() {
    let home = Groups::new();
    let config = ProptestConfig { cases: 300, failure_persistence: None, rng_seed: RngSeed::Fixed(0x6709), ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&proptest::collection::vec(steps(), 1..120), |steps| {
        let mut run = Run::new(&home.store);
        for step in &steps {
            run.step(step);
            run.check();
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
