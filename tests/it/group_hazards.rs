//! Groups whose store is slow, fails or is another coordinator's too, and what happens between two steps of theirs. No test waits for time.

use std::fmt;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidelog::group::{GroupCoordinator, GroupError, GroupOptions, GroupState, JoinRequest, LeavingMember, MemberIdentity};
use tidelog::{
    Clock, CommittedOffset, GroupId, GroupMetadata, GroupPosition, MemoryOffsetStore, Offset, OffsetCheckpoint, OffsetMapping, OffsetSpec,
    OffsetStore, OffsetStoreError, PartitionKey, PartitionStats, Record, SubscriptionError, TimestampNs, TopicName,
};

use crate::group_support::{Groups, SESSION, answer, group, instance, request};
use crate::interleavings::Hooked;
use crate::reading_support::{Home, append_numbered, eventually, small};
use crate::subscription::from;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Which calls of a store something happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Calls {
    Commits,
    Saves,
    Loads,
}

/// A store of memory in which calls fail, or wait, as the test says.
#[derive(Default)]
struct Troubled {
    inner: MemoryOffsetStore,
    failing: Mutex<Option<Calls>>,
    stops: Mutex<Vec<Stopping>>,
}

/// Where a call that is to stop tells that it has, and hears that it may go on.
type Stopping = (Calls, Sender<()>, Receiver<()>);

/// A call that is to stop: when it has, and when it may go on. Dropped where a test fails, it lets the call fail too.
struct Stop {
    is_in: Receiver<()>,
    go_on: Sender<()>,
}

impl Stop {
    fn is_in(&self) {
        self.is_in.recv_timeout(Duration::from_secs(30)).expect("no such call");
    }

    fn go_on(&self) {
        self.go_on.send(()).unwrap();
    }
}

impl Troubled {
    fn fail(&self, calls: Calls) {
        *self.failing.lock().unwrap() = Some(calls);
    }

    fn heal(&self) {
        *self.failing.lock().unwrap() = None;
    }

    /// The next of the calls that is not stopped yet.
    fn stop(&self, calls: Calls) -> Stop {
        let ((is_in, told), (go_on, may)) = (channel(), channel());
        self.stops.lock().unwrap().push((calls, is_in, may));
        Stop { is_in: told, go_on }
    }

    fn enter(&self, calls: Calls) -> Result<(), OffsetStoreError> {
        let mut stops = self.stops.lock().unwrap();
        let stop = stops.iter().position(|(of, ..)| *of == calls).map(|index| stops.remove(index));
        drop(stops);
        if let Some((_, is_in, may)) = stop {
            is_in.send(()).unwrap();
            may.recv().unwrap();
        }
        if *self.failing.lock().unwrap() == Some(calls) { Err(OffsetStoreError::ReadOnly) } else { Ok(()) }
    }
}

/// Groups on a store that the test makes trouble in.
fn troubled(set: impl FnOnce(GroupOptions) -> GroupOptions) -> (Groups, Arc<Troubled>) {
    let store = Arc::new(Troubled::default());
    (Groups::on(|options| set(options.initial_rebalance_delay(Duration::ZERO)), |_| store.clone()), store)
}

fn is_failure<T: fmt::Debug>(outcome: &Result<T, GroupError>) -> bool {
    matches!(outcome, Err(GroupError::Store(OffsetStoreError::ReadOnly)))
}

fn again(member: &MemberIdentity, name: &str) -> JoinRequest {
    JoinRequest { member_id: Some(member.member_id.clone()), ..request(name) }
}

fn leave(groups: &Groups, member: &MemberIdentity) {
    let leaving = LeavingMember { member_id: Some(member.member_id.clone()), instance_id: None };
    groups.coordinator.leave(&group(), &[leaving]).unwrap().remove(0).unwrap();
}

/// As another coordinator does that has taken the group over.
fn overtake(store: &Troubled, generation: i32) {
    assert!(store.inner.save_group(&group(), &GroupMetadata::empty(generation, TimestampNs::new(7))).unwrap());
}

/// Who commits without a coordinator was never told that what it commits expires.
#[test]
fn positions_of_groups_that_are_not_coordinated_do_not_expire() {
    let groups = Groups::new();
    let other: GroupId = "subscribers".parse().unwrap();
    let at = |expires_at| CommittedOffset { expires_at, ..CommittedOffset::new(3, TimestampNs::new(0)) };
    groups.offsets.commit(&other, &[(groups.key(0), at(None)), (groups.key(1), at(Some(TimestampNs::new(5))))]).unwrap();
    groups.commit(None, 0, 4).unwrap();
    groups.clock.advance(400 * DAY);
    assert_eq!(groups.coordinator.expire_offsets().unwrap(), 1, "the one that said until when");
    assert_eq!(groups.offsets.fetch_all(&other).unwrap(), [(groups.key(0), at(None))]);
    assert_eq!(groups.committed(0), Some(4));
}

/// The time that a client says is not the one that positions are kept by.
#[test]
fn a_position_is_kept_from_when_it_was_committed() {
    let groups = Groups::new();
    let member = groups.stable(&["a"]).remove(0);
    leave(&groups, &member);
    groups.clock.advance(30 * DAY);
    let position = CommittedOffset::new(3, TimestampNs::new(0));
    groups.coordinator.commit(&group(), None, &[(groups.key(0), position)]).unwrap();
    assert_eq!(groups.coordinator.expire_offsets().unwrap(), 0);
    let found = groups.coordinator.fetch(&group(), &groups.key(0)).unwrap().unwrap();
    assert_eq!(found.committed_at, groups.clock.now());
    groups.clock.advance(7 * DAY);
    assert_eq!(groups.coordinator.expire_offsets().unwrap(), 1);
}

#[test]
fn a_position_does_not_expire_under_a_commit() {
    let (groups, store) = troubled(|options| options);
    let member = groups.stable(&["a"]).remove(0);
    groups.commit(&member, 0, 3).unwrap();
    leave(&groups, &member);
    groups.clock.advance(8 * DAY);
    std::thread::scope(|scope| {
        let stop = store.stop(Calls::Commits);
        let commit = scope.spawn(|| groups.commit(None, 0, 5));
        stop.is_in();
        assert_eq!(groups.coordinator.expire_offsets().unwrap(), 0);
        stop.go_on();
        commit.join().unwrap().unwrap();
    });
    assert_eq!((groups.coordinator.expire_offsets().unwrap(), groups.committed(0)), (0, Some(5)));
}

#[test]
fn a_group_that_cannot_be_read_keeps_no_other_from_expiring() {
    let (groups, store) = troubled(|options| options);
    let position = CommittedOffset { expires_at: Some(TimestampNs::new(5)), ..CommittedOffset::new(3, TimestampNs::new(0)) };
    for name in ["first", "last"] {
        store.inner.commit(&name.parse().unwrap(), &[(groups.key(0), position.clone())]).unwrap();
    }
    store.fail(Calls::Loads);
    std::thread::scope(|scope| {
        let stop = store.stop(Calls::Loads);
        let sweep = scope.spawn(|| groups.coordinator.expire_offsets());
        stop.is_in();
        let second = store.stop(Calls::Loads);
        stop.go_on();
        second.is_in();
        store.heal();
        second.go_on();
        assert!(is_failure(&sweep.join().unwrap()));
    });
    assert_eq!(store.inner.groups().unwrap(), ["first".parse().unwrap()]);
}

/// What was due before the request ended the group here: the request is one to the group that is there by then.
#[test]
fn who_asks_a_group_that_ends_is_answered() {
    let (groups, store) = troubled(|options| options);
    let ended = || {
        let member = groups.stable(&["a"]).remove(0);
        store.fail(Calls::Saves);
        leave(&groups, &member);
        store.heal();
        overtake(&store, member.generation + 7);
        member.generation + 7
    };
    let generation = ended();
    let joined = answer(&mut groups.join(&request("b"))).unwrap();
    assert_eq!((joined.generation, joined.members.len()), (generation + 1, 1));
    leave(&groups, &joined.identity());
    ended();
    assert_eq!(groups.coordinator.delete(&group()).unwrap(), 0);
}

/// A store that takes longer than the session timeout: nobody could be heard meanwhile, and nobody is given up.
#[test]
fn a_slow_store_expires_nobody() {
    let (groups, store) = troubled(|options| options);
    let members = groups.stable(&["a", "b"]);
    let mut joins: Vec<_> = members
        .iter()
        .zip(["a", "b"])
        .map(|(member, name)| {
            let changed = JoinRequest { protocols: vec![("range".into(), b"u".into())], ..again(member, name) };
            groups.join(&changed)
        })
        .collect();
    let joined: Vec<_> = joins.iter_mut().map(|join| answer(join).unwrap()).collect();
    let leader = joined.iter().find(|member| !member.members.is_empty()).unwrap();
    std::thread::scope(|scope| {
        let stop = store.stop(Calls::Saves);
        let sync = scope.spawn(|| answer(&mut groups.sync(&leader.identity(), &[])).map(drop));
        stop.is_in();
        let before = groups.clock.uptime();
        let advance = scope.spawn(|| groups.clock.advance(10 * SESSION));
        eventually("time", || groups.clock.uptime() > before);
        stop.go_on();
        sync.join().unwrap().unwrap();
        advance.join().unwrap();
    });
    for member in &joined {
        groups.heartbeat(&member.identity()).unwrap();
        answer(&mut groups.sync(&member.identity(), &[])).unwrap();
    }
    groups.clock.advance(SESSION);
    assert_eq!(groups.coordinator.describe(&group()).unwrap().members.len(), 0, "time goes on as before");
}

/// It was told of a generation under its new id, which has to be known after a crash.
#[test]
fn a_static_member_that_came_back_in_a_rebalance_is_known_after_a_crash() {
    let mut groups = Groups::new();
    let old = groups.joined(&instance("i"));
    groups.synced(std::slice::from_ref(&old));
    let mut late = groups.join(&request("b"));
    let mut back = groups.join(&instance("i"));
    let (late, back) = (answer(&mut late).unwrap(), answer(&mut back).unwrap());
    assert!(back.generation == old.generation + 1 && back.member_id != old.member_id);
    groups.restart();
    let description = groups.coordinator.describe(&group()).unwrap();
    assert_eq!((description.generation, &description.leader), (back.generation, &Some(back.member_id.clone())));
    groups.heartbeat(&back.identity()).unwrap();
    assert_eq!(answer(&mut groups.sync(&back.identity(), &[])).unwrap().assignment, old.member_id.as_str().as_bytes());
    assert!(matches!(groups.heartbeat(&old.identity()), Err(GroupError::IllegalGeneration { .. } | GroupError::FencedInstance { .. })));
    assert!(matches!(groups.heartbeat(&late.identity()), Err(GroupError::UnknownMember { .. })));
}

/// A suffix is cut off between the look at it and the commit.
#[test]
fn a_position_past_the_end_is_refused_also_if_it_was_just_cut_off() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let topic = store.create_topic("t", 2).unwrap();
    (0..2).for_each(|number| append_numbered(&topic.partition(number).unwrap(), 0..100));
    drop(topic);
    store.close().unwrap();
    let disk = Hooked::new();
    let store = small().storage(disk.clone()).background_recovery(false).open(home.path()).unwrap();
    let topic = store.topic("t").unwrap();
    let (first, second) = (topic.partition(0).unwrap(), topic.partition_key(1).unwrap());
    let coordinator = GroupCoordinator::new(&store, Arc::new(MemoryOffsetStore::new()), GroupOptions::new());
    let positions = [(first.key().clone(), 100), (second, 100)].map(|(key, offset)| (key, CommittedOffset::new(offset, TimestampNs::new(0))));
    let cut = first.clone();
    // The other partition is opened when the first one was looked at.
    *disk.on_open_log.lock() = Some(Box::new(move || cut.truncate_suffix(50).unwrap()));
    let outcome = coordinator.commit(&group(), None, &positions);
    assert!(disk.on_open_log.lock().is_none(), "nothing was cut off");
    assert!(
        matches!(&outcome, Err(GroupError::PastHighWaterMark { found, high_water_mark, .. }) if *found == 100 && *high_water_mark == 50),
        "{outcome:?}"
    );
    assert!(coordinator.fetch_all(&group()).unwrap().is_empty());
}

/// The commit notes the term of what was read, so that a cut shows also where the log has grown again.
#[test]
fn a_group_is_told_of_a_cut_below_what_it_committed() {
    let groups = Groups::new();
    groups.commit(None, 0, 90).unwrap();
    let partition = groups.store.topic("t").unwrap().partition(0).unwrap();
    partition.truncate_suffix(50).unwrap();
    for _ in 0..100 {
        partition.append(Record::new("another")).unwrap();
    }
    let position = GroupPosition { group: group(), partition: groups.key(0), store: groups.offsets.clone() };
    let outcome = partition.subscribe("s", from(OffsetSpec::ResumeOrEarliest).group(position)).map(drop);
    assert!(matches!(outcome, Err(SubscriptionError::Truncated { at, next }) if at == 50 && next == 90), "{outcome:?}");
}

/// That the last member has gone could not be kept: it is tried again, and nobody is back meanwhile.
#[test]
fn members_that_have_left_do_not_come_back() {
    let (mut groups, store) = troubled(|options| options);
    let member = groups.stable(&["a"]).remove(0);
    store.fail(Calls::Saves);
    leave(&groups, &member);
    let description = groups.coordinator.describe(&group()).unwrap();
    assert_eq!((description.state, description.members.len()), (GroupState::Empty, 0));
    store.heal();
    groups.coordinator.tick();
    groups.restart();
    let description = groups.coordinator.describe(&group()).unwrap();
    assert_eq!((description.state, description.generation, description.members.len()), (GroupState::Empty, member.generation + 1, 0));
}

/// A commit of a process that was fenced, which its store still works at, is not written behind one of the process that has its name now.
#[test]
fn a_fenced_process_does_not_move_the_position_of_the_next() {
    let (groups, store) = troubled(|options| options);
    let old = groups.joined(&instance("i"));
    groups.synced(std::slice::from_ref(&old));
    let new = std::thread::scope(|scope| {
        let stop = store.stop(Calls::Commits);
        let commit = scope.spawn(|| groups.commit(&old.identity(), 0, 5));
        stop.is_in();
        let mut new = groups.join(&instance("i"));
        assert!(new.take().is_none(), "it could commit already");
        assert!(matches!(groups.heartbeat(&old.identity()), Err(GroupError::FencedInstance { .. })));
        stop.go_on();
        commit.join().unwrap().unwrap();
        answer(&mut new).unwrap()
    });
    groups.synced(std::slice::from_ref(&new));
    groups.commit(&new.identity(), 0, 9).unwrap();
    assert_eq!(groups.committed(0), Some(9));
}

/// A static member comes back without a rebalance also where others commit all the time.
#[test]
fn a_commit_of_another_member_is_not_waited_for() {
    let (groups, store) = troubled(|options| options);
    let alone = groups.joined(&instance("i"));
    groups.synced(std::slice::from_ref(&alone));
    let mut other = groups.join(&request("b"));
    let mut one = groups.join(&JoinRequest { member_id: Some(alone.member_id), ..instance("i") });
    let members = [answer(&mut one).unwrap(), answer(&mut other).unwrap()];
    groups.synced(&members);
    std::thread::scope(|scope| {
        let stop = store.stop(Calls::Commits);
        let commit = scope.spawn(|| groups.commit(&members[1].identity(), 0, 5));
        stop.is_in();
        let back = answer(&mut groups.join(&instance("i")));
        stop.go_on();
        commit.join().unwrap().unwrap();
        assert_eq!(back.unwrap().generation, members[0].generation);
    });
}

/// It stays the member that it was, for as long as if nothing had been tried.
#[test]
fn a_static_member_whose_return_cannot_be_kept_is_not_replaced() {
    let (groups, store) = troubled(|options| options);
    let old = groups.joined(&instance("i"));
    groups.synced(std::slice::from_ref(&old));
    store.fail(Calls::Saves);
    assert!(is_failure(&answer(&mut groups.join(&instance("i")))));
    store.heal();
    let description = groups.coordinator.describe(&group()).unwrap();
    assert_eq!((description.state, description.leader), (GroupState::Stable, Some(old.member_id.clone())));
    groups.heartbeat(&old.identity()).unwrap();
    assert_eq!(answer(&mut groups.sync(&old.identity(), &[])).unwrap().assignment, old.member_id.as_str().as_bytes());
    let new = groups.joined(&instance("i"));
    assert!(new.generation == old.generation && new.member_id != old.member_id);
}

/// Both know of generation 1, and neither of the other: one of them alone tells members of a generation 2.
#[test]
fn two_coordinators_do_not_tell_of_the_same_generation() {
    let mut groups = Groups::new();
    let member = groups.stable(&["a"]).remove(0);
    let other = groups.coordinator.clone();
    groups.restart();
    groups.heartbeat(&member).unwrap();
    let first = groups.joined(&again(&member, "a"));
    assert_eq!(first.generation, 2);
    groups.clock.advance(Duration::from_nanos(1));
    let outcome = answer(&mut other.join(&group(), again(&member, "a")));
    assert!(matches!(outcome, Err(GroupError::NotCoordinator { generation: 2, .. })), "{outcome:?}");
    // Asked again, it has read what is there; and what the first one goes on to say of the generation is kept.
    assert_eq!(other.describe(&group()).unwrap().generation, 2);
    groups.synced(std::slice::from_ref(&first));
}

/// Who has waited for an assignment of another coordinator's group is told, and may ask again.
#[test]
fn members_of_a_group_that_was_taken_are_told() {
    let (groups, store) = troubled(|options| options);
    let joined = groups.joined(&request("a"));
    overtake(&store, joined.generation + 1);
    let outcome = answer(&mut groups.sync(&joined.identity(), &[]));
    assert!(matches!(outcome, Err(GroupError::NotCoordinator { .. })), "{outcome:?}");
    assert!(matches!(groups.heartbeat(&joined.identity()), Err(GroupError::UnknownMember { .. })));
    assert_eq!(groups.joined(&request("a")).generation, joined.generation + 2);
}

/// A commit that a group let in, which is another coordinator's since, is not taken for the end of one that its successor has let in.
#[test]
fn a_commit_ends_in_the_group_that_let_it_in() {
    let (groups, store) = troubled(|options| options);
    let member = groups.stable(&["a"]).remove(0);
    store.fail(Calls::Saves);
    leave(&groups, &member);
    std::thread::scope(|scope| {
        let (first, second) = (store.stop(Calls::Commits), store.stop(Calls::Commits));
        let commit = scope.spawn(|| groups.commit(None, 0, 1));
        first.is_in();
        store.heal();
        overtake(&store, member.generation + 7);
        let other = scope.spawn(|| groups.commit(None, 0, 2));
        second.is_in();
        first.go_on();
        commit.join().unwrap().unwrap();
        let mut joins = groups.join(&request("b"));
        assert!(joins.take().is_none(), "a commit is under way");
        second.go_on();
        other.join().unwrap().unwrap();
        assert_eq!(answer(&mut joins).unwrap().generation, member.generation + 8);
    });
}

/// Defect of earlier versions: a member that no store can keep was let in, and each generation with it failed.
#[test]
fn a_member_that_cannot_be_kept_is_not_let_in() {
    let groups = Groups::new();
    let member = groups.stable(&["a"]).remove(0);
    let heavy = |bytes: usize| vec![("range".to_owned(), vec![7; bytes])];
    let too_large = [
        JoinRequest { client_host: "h".repeat(32_768), ..request("b") },
        JoinRequest { client_id: "c".repeat(32_768), ..request("b") },
        JoinRequest { protocols: [heavy(1), vec![("p".repeat(32_768), Vec::new())]].concat(), ..request("b") },
        JoinRequest { protocols: heavy(8 << 20), ..request("b") },
        JoinRequest { protocols: heavy(8 << 20), ..again(&member, "a") },
    ];
    for request in too_large {
        let outcome = answer(&mut groups.join(&request)).map(drop);
        assert!(matches!(outcome, Err(GroupError::Store(OffsetStoreError::GroupTooLarge { .. }))), "{outcome:?}");
        groups.heartbeat(&member).unwrap();
    }
    let with_nul = || "a\0b".to_owned();
    for request in [
        JoinRequest { client_host: with_nul(), ..request("b") },
        JoinRequest { client_id: with_nul(), ..request("b") },
        JoinRequest { protocols: [heavy(1), vec![(with_nul(), Vec::new())]].concat(), ..request("b") },
    ] {
        let outcome = answer(&mut groups.join(&request)).map(drop);
        assert!(matches!(outcome, Err(GroupError::Store(OffsetStoreError::NulCharacter { .. }))), "{outcome:?}");
        groups.heartbeat(&member).unwrap();
    }
    let mut fits = groups.join(&JoinRequest { protocols: heavy(4 << 20), ..request("b") });
    let too_many = answer(&mut groups.join(&JoinRequest { protocols: heavy(4 << 20), ..request("c") })).map(drop);
    assert!(matches!(too_many, Err(GroupError::Store(OffsetStoreError::GroupTooLarge { .. }))), "{too_many:?}");
    answer(&mut groups.join(&again(&member, "a"))).unwrap();
    answer(&mut fits).unwrap();
}

/// An id to join with is for a member without a name: with the name of another, there would be two of them.
#[test]
fn an_id_to_join_with_takes_no_name() {
    let groups = Groups::new();
    let named = groups.joined(&instance("i"));
    groups.synced(std::slice::from_ref(&named));
    let without = JoinRequest { requires_member_id: true, ..request("a") };
    let Err(GroupError::MemberIdRequired { member_id }) = answer(&mut groups.join(&without)) else { panic!("no id was given") };
    let outcome = answer(&mut groups.join(&JoinRequest { member_id: Some(member_id), ..instance("i") }));
    assert!(matches!(outcome, Err(GroupError::FencedInstance { .. })), "{outcome:?}");
    groups.heartbeat(&named.identity()).unwrap();
}

/// What is due by a second advance is done by it, though the first one is still at work.
#[test]
fn advances_of_a_clock_do_not_pass_each_other_by() {
    let clock = Clock::manual(TimestampNs::new(0));
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let coordinator = |offsets: Arc<dyn OffsetStore>, delay: Duration| {
        GroupCoordinator::new(&store, offsets, GroupOptions::new().clock(clock.clone()).initial_rebalance_delay(delay))
    };
    let quick = coordinator(Arc::new(MemoryOffsetStore::new()), 2 * SESSION);
    let troubled = Arc::new(Troubled::default());
    let slow = coordinator(troubled.clone(), SESSION);
    let (mut first, mut second) = (slow.join(&group(), request("a")), quick.join(&group(), request("b")));
    std::thread::scope(|scope| {
        let stop = troubled.stop(Calls::Saves);
        scope.spawn(|| clock.advance(SESSION));
        stop.is_in();
        scope.spawn(|| clock.advance(SESSION));
        let mut joined = None;
        eventually("what is due", || {
            joined = second.take();
            joined.is_some()
        });
        assert_eq!(joined.unwrap().unwrap().generation, 1);
        assert!(first.take().is_none());
        stop.go_on();
    });
    assert_eq!(answer(&mut first).unwrap().generation, 1);
}

impl fmt::Debug for Troubled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl OffsetStore for Troubled {
    fn commit(&self, group: &GroupId, positions: &[(PartitionKey, CommittedOffset)]) -> Result<(), OffsetStoreError> {
        self.enter(Calls::Commits)?;
        self.inner.commit(group, positions)
    }
    fn fetch(&self, group: &GroupId, partition: &PartitionKey) -> Result<Option<CommittedOffset>, OffsetStoreError> {
        self.inner.fetch(group, partition)
    }
    fn fetch_all(&self, group: &GroupId) -> Result<Vec<(PartitionKey, CommittedOffset)>, OffsetStoreError> {
        self.inner.fetch_all(group)
    }
    fn groups(&self) -> Result<Vec<GroupId>, OffsetStoreError> {
        self.inner.groups()
    }
    fn delete(&self, group: &GroupId, partitions: &[PartitionKey]) -> Result<usize, OffsetStoreError> {
        self.inner.delete(group, partitions)
    }
    fn delete_group(&self, group: &GroupId) -> Result<usize, OffsetStoreError> {
        self.inner.delete_group(group)
    }
    fn save_group(&self, group: &GroupId, metadata: &GroupMetadata) -> Result<bool, OffsetStoreError> {
        self.enter(Calls::Saves)?;
        self.inner.save_group(group, metadata)
    }
    fn load_group(&self, group: &GroupId) -> Result<Option<GroupMetadata>, OffsetStoreError> {
        self.enter(Calls::Loads)?;
        self.inner.load_group(group)
    }
    fn delete_topic(&self, topic: &TopicName) -> Result<usize, OffsetStoreError> {
        self.inner.delete_topic(topic)
    }
    fn save_checkpoint(&self, partition: &PartitionKey, checkpoint: OffsetCheckpoint) -> Result<bool, OffsetStoreError> {
        self.inner.save_checkpoint(partition, checkpoint)
    }
    fn load_checkpoint(&self, partition: &PartitionKey) -> Result<Option<OffsetCheckpoint>, OffsetStoreError> {
        self.inner.load_checkpoint(partition)
    }
    fn save_mappings(&self, partition: &PartitionKey, rows: &[OffsetMapping], at: TimestampNs) -> Result<(), OffsetStoreError> {
        self.inner.save_mappings(partition, rows, at)
    }
    fn mappings(&self, partition: &PartitionKey, offsets: Range<Offset>, limit: usize) -> Result<Vec<OffsetMapping>, OffsetStoreError> {
        self.inner.mappings(partition, offsets, limit)
    }
    fn highest_offset(&self, partition: &PartitionKey) -> Result<Option<Offset>, OffsetStoreError> {
        self.inner.highest_offset(partition)
    }
    fn save_stats(&self, partition: &PartitionKey, stats: PartitionStats) -> Result<(), OffsetStoreError> {
        self.inner.save_stats(partition, stats)
    }
    fn partition_stats(&self, partition: &PartitionKey) -> Result<Option<PartitionStats>, OffsetStoreError> {
        self.inner.partition_stats(partition)
    }
    fn partitions(&self) -> Result<Vec<PartitionKey>, OffsetStoreError> {
        self.inner.partitions()
    }
    fn forget(&self, partition: &PartitionKey) -> Result<(), OffsetStoreError> {
        self.inner.forget(partition)
    }
    fn clean_up(&self, now: TimestampNs) -> Result<usize, OffsetStoreError> {
        self.inner.clean_up(now)
    }
    fn clean_up_mappings(&self, saved_before: TimestampNs) -> Result<usize, OffsetStoreError> {
        self.inner.clean_up_mappings(saved_before)
    }
}
