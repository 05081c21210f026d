//! Plumbing of the tests of consumer groups: a coordinator whose clock the test moves, and members that ask it for things. Tests nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidelog::group::{
    GroupCoordinator, GroupError, GroupOptions, JoinRequest, JoinedGroup, MemberId, MemberIdentity, PendingAnswer, SyncRequest, SyncedGroup,
};
use tidelog::{Clock, CommittedOffset, GroupId, LogOffsetStore, OffsetStore, PartitionKey, Store, TimestampNs};

use crate::reading_support::{append_numbered, small};

pub(crate) const SESSION: Duration = Duration::from_secs(10);
pub(crate) const REBALANCE: Duration = Duration::from_secs(60);

/// A store with the topic `t` of two partitions, 100 records in each, its log of offsets, and a coordinator on both.
pub(crate) struct Groups {
    pub(crate) clock: Clock,
    pub(crate) coordinator: GroupCoordinator,
    pub(crate) offsets: Arc<dyn OffsetStore>,
    pub(crate) store: Store,
    options: GroupOptions,
    _dir: Option<TempDir>,
}

impl Groups {
    pub(crate) fn new() -> Self {
        Self::with(|options| options.initial_rebalance_delay(Duration::ZERO))
    }

    pub(crate) fn with(set: impl FnOnce(GroupOptions) -> GroupOptions) -> Self {
        Self::on(set, |offsets| offsets)
    }

    /// With something between the coordinator and its offset store.
    pub(crate) fn on(set: impl FnOnce(GroupOptions) -> GroupOptions, wrap: impl FnOnce(Arc<dyn OffsetStore>) -> Arc<dyn OffsetStore>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let groups = Self::at(dir.path(), set, wrap);
        Self { _dir: Some(dir), ..groups }
    }

    /// In a directory that is there after it.
    pub(crate) fn open(dir: &Path) -> Self {
        Self::at(dir, |options| options.initial_rebalance_delay(Duration::ZERO), |offsets| offsets)
    }

    fn at(dir: &Path, set: impl FnOnce(GroupOptions) -> GroupOptions, wrap: impl FnOnce(Arc<dyn OffsetStore>) -> Arc<dyn OffsetStore>) -> Self {
        let store = small().open(dir).unwrap();
        if store.existing_topic("t").is_err() {
            let topic = store.create_topic("t", 2).unwrap();
            (0..2).for_each(|number| append_numbered(&topic.partition(number).unwrap(), 0..100));
        }
        let offsets = wrap(Arc::new(LogOffsetStore::open(&store).unwrap()));
        Self::of(store, offsets, set)
    }

    /// With a clock and a coordinator of its own.
    pub(crate) fn of(store: Store, offsets: Arc<dyn OffsetStore>, set: impl FnOnce(GroupOptions) -> GroupOptions) -> Self {
        let clock = Clock::manual(TimestampNs::new(1_000_000_000));
        let options = set(GroupOptions::new().clock(clock.clone()));
        let coordinator = GroupCoordinator::new(&store, offsets.clone(), options.clone());
        Self { clock, coordinator, offsets, store, options, _dir: None }
    }

    /// Another coordinator goes on, as after a restart.
    pub(crate) fn restart(&mut self) {
        self.coordinator = GroupCoordinator::new(&self.store, self.offsets.clone(), self.options.clone());
    }

    pub(crate) fn key(&self, partition: u32) -> PartitionKey {
        self.store.topic("t").unwrap().partition_key(partition).unwrap()
    }

    pub(crate) fn join(&self, request: &JoinRequest) -> PendingAnswer<JoinedGroup> {
        self.coordinator.join(&group(), request.clone())
    }

    /// Of a member that is answered at once.
    pub(crate) fn joined(&self, request: &JoinRequest) -> JoinedGroup {
        answer(&mut self.join(request)).unwrap()
    }

    pub(crate) fn sync(&self, member: &MemberIdentity, assignments: &[(&str, &str)]) -> PendingAnswer<SyncedGroup> {
        let assignments = assignments.iter().map(|(id, bytes)| (id_of(id), bytes.as_bytes().to_vec())).collect();
        self.coordinator.sync(&group(), SyncRequest { member: member.clone(), protocol: None, assignments })
    }

    pub(crate) fn heartbeat(&self, member: &MemberIdentity) -> Result<(), GroupError> {
        self.coordinator.heartbeat(&group(), member)
    }

    pub(crate) fn commit<'a>(&self, member: impl Into<Option<&'a MemberIdentity>>, partition: u32, offset: u64) -> Result<(), GroupError> {
        let position = CommittedOffset::new(offset, self.clock.now());
        self.coordinator.commit(&group(), member.into(), &[(self.key(partition), position)])
    }

    pub(crate) fn committed(&self, partition: u32) -> Option<u64> {
        self.coordinator.fetch(&group(), &self.key(partition)).unwrap().map(|position| position.offset.get())
    }

    /// A stable group of members that join together; whoever is the leader assigns its id to each.
    pub(crate) fn stable(&self, names: &[&str]) -> Vec<MemberIdentity> {
        let mut waiting: Vec<_> = names.iter().map(|name| self.join(&request(name))).collect();
        let mut ids: Vec<MemberId> = self.coordinator.describe(&group()).unwrap().members.into_iter().map(|(id, _)| id).collect();
        ids.sort();
        // Those that came first are asked to join again.
        for (name, pending) in names.iter().zip(&mut waiting) {
            if pending.take().is_some() {
                let id = ids.iter().find(|id| id.as_str().starts_with(&format!("{name}-"))).unwrap();
                *pending = self.join(&JoinRequest { member_id: Some(id.clone()), ..request(name) });
            }
        }
        let joined: Vec<_> = waiting.iter_mut().map(|pending| answer(pending).unwrap()).collect();
        self.synced(&joined);
        joined.iter().map(JoinedGroup::identity).collect()
    }

    /// All sync, the leader last; each is assigned its own id.
    pub(crate) fn synced(&self, joined: &[JoinedGroup]) {
        let leader = joined.iter().find(|member| member.leader == member.member_id).unwrap();
        let assignments: Vec<_> = leader.members.iter().map(|member| (member.member_id.as_str(), member.member_id.as_str())).collect();
        let followers = joined.iter().filter(|member| member.member_id != leader.member_id);
        let mut waiting: Vec<_> = followers.map(|member| (member, self.sync(&member.identity(), &[]))).collect();
        waiting.push((leader, self.sync(&leader.identity(), &assignments)));
        for (member, pending) in &mut waiting {
            assert_eq!(answer(pending).unwrap().assignment, member.member_id.as_str().as_bytes());
        }
    }
}

pub(crate) fn group() -> GroupId {
    "g".parse().unwrap()
}

/// A consumer that calls itself so.
pub(crate) fn request(name: &str) -> JoinRequest {
    JoinRequest {
        client_id: name.to_owned(),
        client_host: "here".to_owned(),
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), b"t".to_vec())],
        ..JoinRequest::default()
    }
}

pub(crate) fn instance(name: &str) -> JoinRequest {
    JoinRequest { instance_id: Some(name.parse().unwrap()), ..request(name) }
}

/// What must have been answered by now.
pub(crate) fn answer<T>(pending: &mut PendingAnswer<T>) -> Result<T, GroupError> {
    pending.take().expect("it still waits")
}

pub(crate) fn id_of(id: &str) -> MemberId {
    id.parse().unwrap()
}
