//! Members that read: who has which partition, what is told when it changes hands, and that nothing is skipped on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tidelog::group::{
    Assignor, ConsumerError, ConsumerEvent, ConsumerOptions, CooperativeStickyAssignor, GroupConsumer, GroupError, LeavingMember, RangeAssignor,
    RoundRobinAssignor, StickyAssignor, TopicPartition,
};
use tidelog::{Clock, OffsetSpec, OnOutOfRange, Record, SubscriptionOptions, delete_topic};

use crate::group_support::{Groups, SESSION, group};
use crate::subscription_wait::spawn_until_asleep;

fn options(groups: &Groups, assignor: impl Assignor + 'static) -> ConsumerOptions {
    let consumer = groups.coordinator.consumer(group()).topics(["t".parse().unwrap()]).assignor(assignor);
    consumer.session_timeout(SESSION).heartbeat_interval(Duration::ZERO)
}

fn partition(number: u32) -> TopicPartition {
    TopicPartition::new("t".parse().unwrap(), number)
}

/// A consumer, and what it was told and handed out.
struct Seen {
    consumer: GroupConsumer,
    told: Vec<String>,
    offsets: BTreeMap<u32, Vec<u64>>,
}

impl Seen {
    fn new(options: ConsumerOptions) -> Self {
        Self { consumer: options.build(), told: Vec::new(), offsets: BTreeMap::new() }
    }

    /// Polls once; whether something came of it.
    fn poll(&mut self) -> bool {
        let event = self.consumer.poll(Duration::ZERO).unwrap();
        let numbers = |partitions: &[TopicPartition]| partitions.iter().map(|partition| partition.partition).collect::<Vec<_>>();
        match &event {
            Some(ConsumerEvent::Records { partition, page }) => {
                self.offsets.entry(partition.partition).or_default().extend(page.records.iter().map(|record| record.offset().get()));
            }
            Some(ConsumerEvent::Assigned(partitions)) => self.told.push(format!("assigned {:?}", numbers(partitions))),
            Some(ConsumerEvent::Revoked(partitions)) => {
                self.told.push(format!("revoked {:?}", numbers(partitions)));
                self.consumer.commit().unwrap();
            }
            Some(ConsumerEvent::Lost(partitions)) => self.told.push(format!("lost {:?}", numbers(partitions))),
            _ => {}
        }
        event.is_some()
    }

    fn has(&self) -> Vec<u32> {
        self.consumer.assignment().iter().map(|partition| partition.partition).collect()
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

/// Polls all in turn until nothing comes of it any more, and no partition ever had two readers.
fn settle(members: &mut [&mut Seen]) {
    let mut quiet = 0;
    for _ in 0..1000 {
        let mut has_moved = false;
        for member in &mut *members {
            has_moved |= member.poll();
        }
        let all: Vec<_> = members.iter().flat_map(|member| member.consumer.assignment()).collect();
        assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "a partition has two readers");
        quiet = if has_moved { 0 } else { quiet + 1 };
        if quiet == 4 {
            return;
        }
    }
    panic!("it does not come to rest");
}

#[test]
fn a_member_alone_reads_everything() {
    let groups = Groups::new();
    let mut only = Seen::new(options(&groups, RangeAssignor));
    settle(&mut [&mut only]);
    assert_eq!(only.told(), ["assigned [0, 1]"]);
    assert!((0..2).all(|number| only.offsets[&number] == (0..100).collect::<Vec<_>>()));
    assert_eq!(groups.committed(0), None, "nothing is committed by itself");
    only.consumer.commit().unwrap();
    assert_eq!((groups.committed(0), groups.committed(1)), (Some(100), Some(100)));
    only.consumer.commit_offset(&partition(1), 40, "a note").unwrap();
    let position = groups.coordinator.fetch(&group(), &groups.key(1)).unwrap().unwrap();
    assert_eq!((position.offset.get(), position.metadata.as_str(), position.committed_at), (40, "a note", groups.clock.now()));
    assert!(matches!(only.consumer.commit_offset(&partition(7), 1, ""), Err(ConsumerError::NotAssigned { .. })));
    assert!(matches!(only.consumer.commit_offset(&partition(0), 101, ""), Err(ConsumerError::Subscription { .. })), "it was not read");
    drop(only);
    // Whoever comes next goes on there.
    let mut next = Seen::new(options(&groups, RangeAssignor));
    settle(&mut [&mut next]);
    assert_eq!(next.offsets, BTreeMap::from([(1, (40..100).collect())]));
}

#[test]
fn eager_members_give_everything_up_first() {
    for assignor in [&RangeAssignor as &dyn Assignor, &RoundRobinAssignor, &StickyAssignor].map(Assignor::name) {
        let groups = Groups::new();
        let member = || match assignor {
            "range" => options(&groups, RangeAssignor),
            "roundrobin" => options(&groups, RoundRobinAssignor),
            _ => options(&groups, StickyAssignor),
        };
        let (mut first, mut second) = (Seen::new(member()), Seen::new(member()));
        settle(&mut [&mut first]);
        settle(&mut [&mut first, &mut second]);
        let told = first.told();
        assert_eq!(told[..2], ["assigned [0, 1]", "revoked [0, 1]"], "{assignor}");
        assert_eq!((told.len(), first.has().len(), second.has().len()), (3, 1, 1), "{assignor}");
        assert!(second.offsets.is_empty(), "{assignor}: what the first one has read is committed");
        if assignor == "sticky" {
            let kept = first.has();
            let mut third = Seen::new(member());
            settle(&mut [&mut first, &mut second, &mut third]);
            assert_eq!((first.has(), third.has()), (kept, vec![]), "nothing moves that need not");
        }
    }
}

/// A member goes on with what stays its own, and gives up the rest once.
#[test]
fn cooperative_members_give_up_what_others_get() {
    let groups = Groups::new();
    let (mut first, mut second) = (Seen::new(options(&groups, CooperativeStickyAssignor)), Seen::new(options(&groups, CooperativeStickyAssignor)));
    settle(&mut [&mut first]);
    // The second one has joined, and the first one not again: it reads on.
    assert!(!second.poll());
    let log = groups.store.topic("t").unwrap();
    (0..2).for_each(|number| assert_eq!(log.partition(number).unwrap().append(Record::new("y")).unwrap().base_offset, 100));
    settle(&mut [&mut first, &mut second]);
    let told = first.told();
    assert_eq!((told.len(), told[0].as_str()), (2, "assigned [0, 1]"));
    let (kept, given) = (first.has()[0], second.has()[0]);
    assert_eq!(told[1], format!("revoked [{given}]"));
    assert_eq!(second.told(), [format!("assigned [{given}]")]);
    assert_eq!(first.offsets[&kept], (0..101).collect::<Vec<_>>());
    let handed_over: Vec<_> = first.offsets[&given].iter().chain(second.offsets.get(&given).into_iter().flatten()).copied().collect();
    assert_eq!(handed_over, (0..101).collect::<Vec<_>>(), "each record once: it was committed when it was given up");
    // One that leaves is replaced without anybody giving anything up.
    drop(second);
    settle(&mut [&mut first]);
    assert_eq!(first.told(), [format!("assigned [{given}]")]);
}

/// Whoever has joined the next generation, and was not told yet, has lost nothing.
#[test]
fn a_commit_between_two_generations_may_be_made_again() {
    let groups = Groups::new();
    let member = || Seen::new(options(&groups, CooperativeStickyAssignor));
    let (mut first, mut second, mut third) = (member(), member(), member());
    settle(&mut [&mut first, &mut second]);
    let leader = groups.coordinator.describe(&group()).unwrap().leader.unwrap();
    let is_first = first.consumer.identity().unwrap().member_id == leader;
    let (leads, follows) = if is_first { (&mut first, &mut second) } else { (&mut second, &mut first) };
    third.poll();
    leads.poll();
    follows.poll(); // the last one to join: it waits for what the leader assigns, which does not know yet
    assert_eq!(groups.coordinator.describe(&group()).unwrap().state, tidelog::group::GroupState::CompletingRebalance);
    let outcome = follows.consumer.commit();
    assert!(matches!(outcome, Err(ConsumerError::Group(GroupError::RebalanceInProgress { .. }))), "{outcome:?}");
    leads.consumer.commit().unwrap();
    follows.consumer.commit().unwrap();
    settle(&mut [leads, follows, &mut third]);
    let told = [leads.told(), follows.told()].concat();
    assert!(told.iter().all(|told| !told.starts_with("lost")), "{told:?}");
    assert!(third.offsets.is_empty());
}

/// It dies without a word: the other one has its partitions when its session times out, and goes on where it had committed.
#[test]
fn partitions_of_a_member_that_died_go_to_the_others() {
    let groups = Groups::new();
    let few = SubscriptionOptions::new().limits(tidelog::PageLimits { records: 10, ..tidelog::PageLimits::default() });
    let member = || Seen::new(options(&groups, RangeAssignor).subscription(few.clone()));
    let (mut first, mut second) = (member(), member());
    for _ in 0..1000 {
        first.poll();
        second.poll();
        if (first.has().len(), second.has().len()) == (1, 1) {
            break;
        }
    }
    first.offsets.clear();
    second.offsets.clear();
    while second.offsets.is_empty() {
        second.poll();
    }
    second.consumer.commit().unwrap();
    let (theirs, committed) = (second.has()[0], groups.committed(second.has()[0]).unwrap());
    while second.offsets[&theirs].last().is_some_and(|last| *last < committed + 5) {
        second.poll(); // and is not committed
    }
    std::mem::forget(second.consumer);
    settle(&mut [&mut first]);
    assert_eq!(first.has().len(), 1);
    for _ in 0..4 {
        groups.clock.advance(SESSION / 4);
        settle(&mut [&mut first]);
    }
    assert_eq!(first.has(), [0, 1]);
    assert_eq!(first.offsets[&theirs], (committed..100).collect::<Vec<_>>());
}

#[test]
fn a_member_that_was_away_for_too_long_is_told() {
    let groups = Groups::new();
    let mut away = Seen::new(options(&groups, CooperativeStickyAssignor));
    settle(&mut [&mut away]);
    groups.clock.advance(SESSION);
    assert!(matches!(away.consumer.commit(), Err(ConsumerError::Group(GroupError::UnknownMember { .. }))));
    settle(&mut [&mut away]);
    assert_eq!(away.told(), ["assigned [0, 1]", "lost [0, 1]", "assigned [0, 1]"]);
    assert_eq!(away.offsets[&0].len(), 200, "nothing was committed: it begins anew");
    groups.clock.advance(SESSION);
    settle(&mut [&mut away]);
    assert_eq!(away.told(), ["lost [0, 1]", "assigned [0, 1]"], "a heartbeat tells it as well");
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    let groups = Groups::new();
    let named = |name: &str| options(&groups, RangeAssignor).instance_id(name.parse().unwrap());
    let (mut first, mut second) = (Seen::new(named("first")), Seen::new(named("second")));
    settle(&mut [&mut first, &mut second]);
    let (before, generation) = (second.has(), groups.coordinator.describe(&group()).unwrap().generation);
    first.told();
    second.consumer.commit().unwrap();
    drop(second);
    let mut again = Seen::new(named("second"));
    settle(&mut [&mut first, &mut again]);
    assert_eq!((again.has(), first.told(), again.offsets.len()), (before, vec![], 0));
    assert_eq!(groups.coordinator.describe(&group()).unwrap().generation, generation);
    // Two of one name: the later one has it.
    let mut other = Seen::new(named("second"));
    settle(&mut [&mut other]);
    assert!(again.poll(), "what it has lost");
    for _ in 0..3 {
        let error = again.consumer.poll(Duration::ZERO).unwrap_err();
        assert!(matches!(error, ConsumerError::Group(GroupError::FencedInstance { .. })), "{error}");
    }
    settle(&mut [&mut first, &mut other]);
    assert_eq!(other.told().len(), 1, "it is not taken back");
}

#[test]
fn topics_that_appear_are_taken_in() {
    let groups = Groups::new();
    let late: tidelog::TopicName = "late".parse().unwrap();
    let mut member = Seen::new(
        options(&groups, RangeAssignor).topics([late.clone()]).subscription(SubscriptionOptions::new().start(OffsetSpec::ResumeOrEarliest)),
    );
    settle(&mut [&mut member]);
    assert_eq!(member.told(), ["assigned [0, 1]"]);
    groups.store.create_topic("late", 3).unwrap();
    settle(&mut [&mut member]);
    assert_eq!(member.told().last().unwrap(), "assigned [0, 1, 2, 0, 1]");
    assert_eq!(member.consumer.assignment().len(), 5);
}

/// The start is for a group without a position: a rebalance throws one that has come further neither back nor forward.
#[test]
fn a_start_counts_for_nothing_where_the_group_has_a_position() {
    for start in [OffsetSpec::ResetToEarliest, OffsetSpec::ResetToLatest, OffsetSpec::ResumeOrLatest, OffsetSpec::ExactOffset(20.into())] {
        let groups = Groups::new();
        groups.commit(None, 0, 40).unwrap();
        groups.commit(None, 1, 40).unwrap();
        let mut member = Seen::new(options(&groups, RangeAssignor).subscription(SubscriptionOptions::new().start(start)));
        settle(&mut [&mut member]);
        assert_eq!(member.offsets, BTreeMap::from([(0, (40..100).collect()), (1, (40..100).collect())]), "{start:?}");
    }
}

/// The end moves on: what was handed out and not committed would else be passed by.
#[test]
fn the_end_that_a_group_begins_at_is_its_position() {
    for start in [OffsetSpec::ResetToLatest, OffsetSpec::ResumeOrLatest, OffsetSpec::ResetToOffset(1000.into())] {
        let groups = Groups::new();
        let log = groups.store.topic("t").unwrap().partition(0).unwrap();
        let member = || Seen::new(options(&groups, RangeAssignor).subscription(SubscriptionOptions::new().start(start)));
        let (mut first, mut second) = (member(), member());
        settle(&mut [&mut first]);
        log.append(Record::new("handed out, and not done")).unwrap();
        settle(&mut [&mut first]);
        assert_eq!(first.offsets, BTreeMap::from([(0, vec![100])]), "{start:?}");
        drop(first);
        log.append(Record::new("while nobody reads")).unwrap();
        settle(&mut [&mut second]);
        assert_eq!(second.offsets, BTreeMap::from([(0, vec![100, 101])]), "{start:?}");
    }
}

/// So is the end that a group goes on at whose position was deleted.
#[test]
fn the_end_that_a_policy_chose_is_the_position() {
    let groups = Groups::new();
    let log = groups.store.topic("t").unwrap().partition(0).unwrap();
    groups.commit(None, 0, 10).unwrap();
    log.delete_prefix(50).unwrap();
    let policy = SubscriptionOptions::new().on_out_of_range(OnOutOfRange::Latest);
    let member = || Seen::new(options(&groups, RangeAssignor).subscription(policy.clone()));
    let (mut first, mut second) = (member(), member());
    settle(&mut [&mut first]);
    log.append(Record::new("handed out, and not done")).unwrap();
    settle(&mut [&mut first]);
    drop(first);
    log.append(Record::new("while nobody reads")).unwrap();
    settle(&mut [&mut second]);
    assert_eq!(second.offsets[&0], [100, 101]);
}

/// Whoever was removed while it waited for the next generation, and is in a later one by now, commits nothing of what it had before.
#[test]
fn positions_that_were_lost_on_the_way_are_not_committed() {
    let groups = Groups::new();
    let member = || Seen::new(options(&groups, CooperativeStickyAssignor));
    let (mut first, mut second, mut third) = (member(), member(), member());
    settle(&mut [&mut first, &mut second]);
    third.poll();
    first.poll(); // it joins again, and waits for the second one
    let had = first.has()[0];
    let members = groups.coordinator.describe(&group()).unwrap().members;
    let leaving: Vec<_> = members.into_iter().map(|(id, _)| LeavingMember { member_id: Some(id), instance_id: None }).collect();
    assert!(groups.coordinator.leave(&group(), &leaving).unwrap().iter().all(Result::is_ok));
    groups.commit(None, had, 60).unwrap(); // somebody else came and went
    assert!(matches!(first.consumer.commit(), Err(ConsumerError::NotJoined)));
    assert_eq!(groups.committed(had), Some(60));
    first.offsets.clear();
    settle(&mut [&mut first]);
    assert!(first.told().contains(&format!("lost [{had}]")));
    assert_eq!(first.offsets[&had], (60..100).collect::<Vec<_>>());
    first.consumer.commit().unwrap();
    assert_eq!(groups.committed(had), Some(100));
}

/// What came while the static leader was away is found by the leader that has come back, whose group goes on without a rebalance.
#[test]
fn a_static_leader_that_comes_back_takes_in_what_came_meanwhile() {
    let groups = Groups::new();
    let named = || Seen::new(options(&groups, RangeAssignor).topics(["late".parse().unwrap()]).instance_id("only".parse().unwrap()));
    let mut before = named();
    settle(&mut [&mut before]);
    drop(before);
    groups.store.create_topic("late", 3).unwrap();
    let mut after = named();
    settle(&mut [&mut after]);
    assert_eq!(after.told(), ["assigned [0, 1]", "revoked [0, 1]", "assigned [0, 1, 2, 0, 1]"]);
    // And where nothing came, nothing happens.
    let generation = groups.coordinator.describe(&group()).unwrap().generation;
    drop(after);
    let mut again = named();
    settle(&mut [&mut again]);
    assert_eq!(again.told(), ["assigned [0, 1, 2, 0, 1]"]);
    assert_eq!(groups.coordinator.describe(&group()).unwrap().generation, generation);
}

/// Made anew with as many partitions, between two heartbeats: whoever reads it finds out.
#[test]
fn a_topic_that_is_made_anew_is_read_anew() {
    let groups = Groups::new();
    let mut member = Seen::new(options(&groups, RangeAssignor).heartbeat_interval(SESSION));
    settle(&mut [&mut member]);
    delete_topic(&groups.store, &*groups.offsets, "t").unwrap();
    let topic = groups.store.create_topic("t", 2).unwrap();
    topic.partition(1).unwrap().append(Record::new("of another topic")).unwrap();
    member.offsets.clear();
    settle(&mut [&mut member]);
    assert_eq!(member.offsets, BTreeMap::from([(1, vec![0])]));
    member.consumer.commit().unwrap();
    assert_eq!((groups.committed(0), groups.committed(1)), (Some(0), Some(1)));
    // The leader takes it for another topic, too.
    groups.clock.advance(SESSION / 3);
    settle(&mut [&mut member]);
    assert_eq!(member.told(), ["assigned [0, 1]", "revoked [0, 1]", "assigned [0, 1]"]);
}

#[test]
fn a_topic_that_is_deleted_is_left_out() {
    let groups = Groups::new();
    groups.store.create_topic("other", 1).unwrap().partition(0).unwrap().append(Record::new("x")).unwrap();
    let mut member = Seen::new(options(&groups, RangeAssignor).topics(["other".parse().unwrap()]).heartbeat_interval(SESSION));
    settle(&mut [&mut member]);
    let other = groups.store.topic("other").unwrap();
    delete_topic(&groups.store, &*groups.offsets, "t").unwrap();
    member.consumer.commit().unwrap();
    assert_eq!(groups.coordinator.fetch_all(&group()).unwrap().len(), 1, "of the one that is there");
    other.partition(0).unwrap().append(Record::new("y")).unwrap();
    member.offsets.clear();
    settle(&mut [&mut member]);
    assert_eq!(member.offsets, BTreeMap::from([(0, vec![1])]));
    groups.clock.advance(SESSION / 3);
    settle(&mut [&mut member]);
    assert_eq!(member.consumer.assignment(), [TopicPartition::new("other".parse().unwrap(), 0)]);
}

/// An append wakes a consumer that waits, in whichever of its partitions it is: else this would take days, till its next heartbeat.
#[test]
fn appends_wake_whoever_polls() {
    let long = Duration::from_secs(30 * 24 * 60 * 60);
    let groups = Groups::with(|options| options.initial_rebalance_delay(Duration::ZERO).session_timeout(long, long).clock(Clock::system()));
    let topic = groups.store.topic("t").unwrap();
    let mut consumer = options(&groups, RangeAssignor).heartbeat_interval(long).session_timeout(long).build();
    while consumer.poll(Duration::ZERO).unwrap().is_some() {}
    for number in [1, 0, 1] {
        let waits = spawn_until_asleep(move || (consumer.poll(Duration::MAX).unwrap(), consumer));
        assert!(!waits.is_finished());
        topic.partition(number).unwrap().append(Record::new("y")).unwrap();
        let event;
        (event, consumer) = waits.join().unwrap();
        assert!(
            matches!(&event, Some(ConsumerEvent::Records { partition, page }) if partition.partition == number && page.records.len() == 1),
            "{event:?}"
        );
    }
    // And so does the end of the store: nothing more can come.
    let waits = spawn_until_asleep(move || (consumer.poll(Duration::MAX).unwrap(), consumer));
    groups.store.clone().close().unwrap();
    let (event, mut consumer) = waits.join().unwrap();
    assert!(event.is_none());
    assert!(consumer.poll(Duration::MAX).unwrap().is_none());
}

/// Two threads share a topic that is appended to, and one of them dies with records that it did not commit: every record is read, those by the other
/// one, and none by a member that was told that it has lost the partition.
#[test]
fn a_thread_that_dies_is_replaced_by_the_other() {
    let limits = |options: tidelog::group::GroupOptions| options.session_timeout(Duration::from_millis(100), Duration::from_secs(60));
    let groups = Groups::with(|options| limits(options).initial_rebalance_delay(Duration::ZERO).clock(Clock::system()));
    let member = || {
        options(&groups, CooperativeStickyAssignor).session_timeout(Duration::from_millis(1500)).heartbeat_interval(Duration::from_millis(50)).build()
    };
    let seen = Mutex::new(BTreeSet::new());
    let (total, is_dead) = (AtomicUsize::new(usize::MAX), AtomicBool::new(false));
    let run = |mut consumer: GroupConsumer, dies_at: usize| {
        let (mut has, mut revoked, mut read) = (BTreeSet::new(), Vec::new(), 0);
        while seen.lock().unwrap().len() < total.load(Ordering::SeqCst) {
            let event = consumer.poll(Duration::from_millis(100));
            has.retain(|partition| !revoked.contains(partition));
            revoked.clear();
            match event {
                Ok(Some(ConsumerEvent::Records { partition, page })) => {
                    assert!(has.contains(&partition), "{partition} is not its own");
                    read += page.records.len();
                    if read >= dies_at {
                        is_dead.store(true, Ordering::SeqCst);
                        return std::mem::forget(consumer); // neither seen nor committed
                    }
                    seen.lock().unwrap().extend(page.records.iter().map(|record| (partition.partition, record.offset().get())));
                    let _ = consumer.commit();
                }
                Ok(Some(ConsumerEvent::Assigned(partitions))) => has.extend(partitions),
                Ok(Some(ConsumerEvent::Revoked(partitions))) => revoked = partitions,
                Ok(Some(ConsumerEvent::Lost(partitions))) => has.retain(|partition| !partitions.contains(partition)),
                Ok(_) | Err(ConsumerError::Group(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
    };
    let (run, is_dead, total) = (&run, &is_dead, &total);
    std::thread::scope(|scope| {
        scope.spawn(move || run(member(), usize::MAX));
        scope.spawn(move || run(member(), 50));
        let mut appended = 0;
        while appended < 300 || (appended < 50_000 && !is_dead.load(Ordering::SeqCst)) {
            for number in 0..2 {
                groups.store.topic("t").unwrap().partition(number).unwrap().append(Record::new("y")).unwrap();
            }
            appended += 1;
        }
        total.store(2 * (100 + appended), Ordering::SeqCst);
    });
    assert!(is_dead.load(Ordering::SeqCst), "nobody has died");
    assert_eq!(seen.lock().unwrap().len(), total.load(Ordering::SeqCst));
}
