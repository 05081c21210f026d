//! Subscribers that were away while what they stood at was deleted or cut off: a typed answer, or what their policy asks for; never another
//! record under the number of one that was read, and never an empty page for an answer.

use std::sync::Arc;
use std::time::Duration;

use tidelog::{
    AckLevel, CommittedOffset, GroupPosition, MemoryOffsetStore, OffsetSpec, OffsetStore, OnOutOfRange, Partition, Record, Reset, ResetCause,
    SeekOutcome, Subscription, SubscriptionError, SubscriptionOptions, TimestampNs,
};

use crate::reading_support::{Home, append_numbered, small};
use crate::subscription::{drain, from, group, offsets};

fn at(partition: &Partition, position: u64, policy: OnOutOfRange) -> Subscription {
    partition.subscribe("s", from(OffsetSpec::ExactOffset(position.into())).on_out_of_range(policy)).unwrap()
}

fn reset(from: u64, to: u64, cause: ResetCause) -> Reset {
    Reset { from: from.into(), to: to.into(), cause }
}

/// Appends records of another life: their values tell them from the numbered ones.
fn append_others(partition: &Partition, count: u64) {
    for _ in 0..count {
        partition.append_with(Record::new("another"), AckLevel::Written).unwrap();
    }
}

/// D22: an offset that was deleted is an error at every call, not an empty page, until the subscriber seeks.
#[test]
fn d22_a_subscriber_whose_place_was_deleted_is_told_at_each_call() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..3000);
    let subscription = at(&partition, 100, OnOutOfRange::Error);
    subscription.next_record().unwrap().unwrap();
    partition.delete_prefix(2000).unwrap();
    let told = |answer: Option<SubscriptionError>| match answer {
        Some(SubscriptionError::OffsetOutOfRange { requested, earliest, latest }) => {
            assert_eq!((requested.get(), earliest.get(), latest.get()), (101, 2000, 3000));
        }
        other => panic!("{other:?}"),
    };
    for _ in 0..3 {
        told(subscription.next_record().err());
        told(subscription.page().err());
        told(subscription.poll(Duration::from_secs(60)).err());
        assert_eq!(subscription.position(), 101);
    }
    let mut records = subscription.records();
    told(records.next().and_then(Result::err));
    assert!(records.next().is_none(), "an iterator has ended");
    assert_eq!(subscription.seek_to_offset(2500).unwrap().offset, 2500);
    assert_eq!(drain(&subscription), (2500..3000).collect::<Vec<_>>());
}

/// D15: the earliest offset is the one that can be read, after a deletion and after a restart.
#[test]
fn d15_earliest_is_the_first_readable_record() {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    append_numbered(&partition, 0..3000);
    partition.delete_prefix(1234).unwrap();
    assert_eq!(partition.subscribe("s", from(OffsetSpec::ResetToEarliest)).unwrap().next_record().unwrap().unwrap().offset(), 1234);
    drop(partition);
    store.close().unwrap();
    let (_store, partition) = home.partition(small());
    for view in [partition.view().clone(), home.read_only()] {
        for spec in [OffsetSpec::ResetToEarliest, OffsetSpec::ResumeOrEarliest, OffsetSpec::ExactTimestamp(TimestampNs::new(i64::MIN))] {
            let subscription = view.subscribe("s", from(spec)).unwrap();
            assert_eq!(subscription.next_record().unwrap().unwrap().offset(), 1234, "{spec:?}");
        }
    }
}

#[test]
fn after_a_deletion_the_policy_chooses() {
    for (policy, to) in [(OnOutOfRange::Earliest, 2000), (OnOutOfRange::Latest, 3000)] {
        let home = Home::new();
        let (_store, partition) = home.partition(small());
        append_numbered(&partition, 0..3000);
        let subscription = at(&partition, 100, policy);
        assert_eq!(offsets(&subscription.page().unwrap()), (100..200).collect::<Vec<_>>());
        partition.delete_prefix(2000).unwrap();
        // A poll says so at once, also where there is nothing to hand out.
        let page = subscription.poll(Duration::from_secs(60)).unwrap();
        assert_eq!(page.reset, Some(reset(200, to, ResetCause::Deleted)), "{policy:?}");
        assert_eq!(offsets(&page), (to..3000).take(100).collect::<Vec<_>>());
        assert_eq!((subscription.last_reset(), subscription.info().resets), (page.reset, 1));
        assert_eq!(subscription.page().unwrap().reset, None);
    }
}

/// Also where the rest of the batch that it stands in was read before: what is deleted is not handed out.
#[test]
fn a_deletion_inside_of_the_batch_that_is_being_read() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    partition.append_batch(&crate::reading_support::batch(&["0", "1", "2", "3", "4", "5"]), AckLevel::Written).unwrap();
    let subscriptions = [OnOutOfRange::Error, OnOutOfRange::Earliest].map(|policy| at(&partition, 0, policy));
    subscriptions.iter().for_each(|subscription| assert_eq!(subscription.next_record().unwrap().unwrap().offset(), 0));
    partition.delete_prefix(4).unwrap();
    assert!(matches!(subscriptions[0].next_record(), Err(SubscriptionError::OffsetOutOfRange { requested, .. }) if requested == 1));
    let page = subscriptions[1].page().unwrap();
    assert_eq!((page.reset, offsets(&page)), (Some(reset(1, 4, ResetCause::Deleted)), vec![4, 5]));
}

/// A suffix that had been read in part was cut off, and its offsets are given to other records.
#[test]
fn after_a_cut_the_policy_chooses() {
    for (policy, regrown) in [(OnOutOfRange::Error, 0), (OnOutOfRange::Error, 80), (OnOutOfRange::Earliest, 80), (OnOutOfRange::Latest, 80)] {
        let home = Home::new();
        let (_store, partition) = home.partition(small());
        append_numbered(&partition, 0..100);
        let follower = home.read_only();
        let options = || from(OffsetSpec::ExactOffset(90.into())).on_out_of_range(policy);
        let subscriptions = [partition.subscribe("w", options()).unwrap(), follower.subscribe("r", options()).unwrap()];
        partition.truncate_suffix(50).unwrap();
        append_others(&partition, regrown);
        for subscription in subscriptions {
            match policy {
                OnOutOfRange::Error => {
                    for _ in 0..3 {
                        let found = subscription.page().unwrap_err();
                        assert!(matches!(found, SubscriptionError::Truncated { at, next } if at == 50 && next == 90), "{found:?}");
                    }
                    subscription.seek_to_offset(50).unwrap();
                    assert_eq!(drain(&subscription).len() as u64, regrown);
                }
                OnOutOfRange::Earliest => {
                    let page = subscription.page().unwrap();
                    assert_eq!((page.reset, offsets(&page)), (Some(reset(90, 50, ResetCause::CutOff)), (50..130).collect()));
                    assert!(page.records.iter().all(|record| record.value() == Some(b"another")));
                }
                OnOutOfRange::Latest => {
                    let page = subscription.page().unwrap();
                    assert_eq!((page.reset, page.records.len()), (Some(reset(90, 130, ResetCause::CutOff)), 0));
                }
            }
        }
    }
}

/// Away, with nothing but a committed position to come back by.
struct Away {
    home: Home,
    partition: Partition,
    positions: Arc<MemoryOffsetStore>,
    group: GroupPosition,
    _store: tidelog::Store,
}

impl Away {
    /// A group that has read and committed the first `committed` of `count` records.
    fn at(committed: u64, count: u64) -> Self {
        let home = Home::new();
        let (store, partition) = home.partition(small());
        append_numbered(&partition, 0..count);
        let positions = Arc::new(MemoryOffsetStore::new());
        let group = group(&partition, "g", &positions);
        let subscription = partition.subscribe("s", from(OffsetSpec::ExactOffset(committed.into())).group(group.clone())).unwrap();
        assert_eq!(subscription.commit().unwrap(), committed);
        Self { home, partition, positions, group, _store: store }
    }

    fn options(&self, policy: OnOutOfRange) -> SubscriptionOptions {
        from(OffsetSpec::ResumeOrLatest).group(self.group.clone()).on_out_of_range(policy)
    }

    /// What comes of it, in the writer's process and in another.
    fn check(&self, policy: OnOutOfRange, expected: (u64, SeekOutcome)) {
        for view in [self.partition.view().clone(), self.home.read_only()] {
            let started = view.subscribe("s", self.options(policy)).unwrap().started();
            assert_eq!((started.offset.get(), started.outcome), expected, "{policy:?}");
        }
    }

    fn check_error(&self, is_right: impl Fn(&SubscriptionError) -> bool) {
        for view in [self.partition.view().clone(), self.home.read_only()] {
            let found = view.subscribe("s", self.options(OnOutOfRange::Error)).unwrap_err();
            assert!(is_right(&found), "{found:?}");
        }
    }
}

#[test]
fn a_group_comes_back_after_a_deletion() {
    let away = Away::at(100, 3000);
    away.partition.delete_prefix(100).unwrap();
    away.check(OnOutOfRange::Error, (100, SeekOutcome::Resumed));
    away.partition.delete_prefix(2000).unwrap();
    away.check_error(
        |found| matches!(found, SubscriptionError::OffsetOutOfRange { requested, earliest, latest } if *requested == 100 && *earliest == 2000 && *latest == 3000),
    );
    away.check(OnOutOfRange::Earliest, (2000, SeekOutcome::Reset(reset(100, 2000, ResetCause::Deleted))));
    away.check(OnOutOfRange::Latest, (3000, SeekOutcome::Reset(reset(100, 3000, ResetCause::Deleted))));
}

#[test]
fn a_group_comes_back_after_everything_was_deleted() {
    let away = Away::at(100, 3000);
    away.partition.delete_prefix(3000).unwrap();
    away.check(OnOutOfRange::Earliest, (3000, SeekOutcome::Reset(reset(100, 3000, ResetCause::Deleted))));
}

/// The log ends before the position: whatever comes at those offsets was not read.
#[test]
fn a_group_comes_back_behind_the_end_of_a_log_that_was_cut() {
    let away = Away::at(90, 100);
    away.partition.truncate_suffix(90).unwrap();
    away.check(OnOutOfRange::Error, (90, SeekOutcome::Resumed));
    away.partition.truncate_suffix(50).unwrap();
    away.check_error(|found| matches!(found, SubscriptionError::Truncated { at, next } if *at == 50 && *next == 90));
    away.check(OnOutOfRange::Earliest, (50, SeekOutcome::Reset(reset(90, 50, ResetCause::CutOff))));
    away.check(OnOutOfRange::Latest, (50, SeekOutcome::Reset(reset(90, 50, ResetCause::CutOff))));
}

/// The offset is in range again, and its records are others: the term of what the group had read gives it away, over a restart too.
#[test]
fn a_group_comes_back_to_a_log_that_was_cut_and_has_grown_again() {
    for (cut, then) in [(50, 200), (89, 1), (0, 91), (10, 1000)] {
        let away = Away::at(90, 100);
        away.partition.truncate_suffix(cut).unwrap();
        append_others(&away.partition, then);
        let end = cut + then;
        away.check_error(|found| matches!(found, SubscriptionError::Truncated { at, next } if *at == cut && *next == 90));
        away.check(OnOutOfRange::Earliest, (cut, SeekOutcome::Reset(reset(90, cut, ResetCause::CutOff))));
        away.check(OnOutOfRange::Latest, (end, SeekOutcome::Reset(reset(90, end, ResetCause::CutOff))));
        // Cut twice: all that was not read comes from the lower cut on.
        away.partition.truncate_suffix(cut + 1).unwrap();
        append_others(&away.partition, then);
        away.check(OnOutOfRange::Earliest, (cut, SeekOutcome::Reset(reset(90, cut, ResetCause::CutOff))));
        let Away { home, partition, group, _store: store, .. } = away;
        drop(partition);
        store.close().unwrap();
        let (_store, partition) = home.partition(small());
        let options = from(OffsetSpec::ResumeOrLatest).group(group).on_out_of_range(OnOutOfRange::Earliest);
        let subscription = partition.subscribe("s", options).unwrap();
        assert_eq!(subscription.started().offset, cut);
        assert!(std::iter::from_fn(|| subscription.next_record().unwrap()).all(|record| record.value() == Some(b"another")));
    }
}

/// A cut behind the position changes nothing for who had not read that far.
#[test]
fn a_cut_behind_the_position_is_none_of_its_business() {
    let away = Away::at(50, 100);
    away.partition.truncate_suffix(50).unwrap();
    append_others(&away.partition, 100);
    away.check(OnOutOfRange::Error, (50, SeekOutcome::Resumed));
    let subscription = away.partition.subscribe("s", away.options(OnOutOfRange::Error)).unwrap();
    assert_eq!(drain(&subscription), (50..150).collect::<Vec<_>>());
    assert_eq!(subscription.commit().unwrap(), 150);
    away.check(OnOutOfRange::Error, (150, SeekOutcome::Resumed));
}

/// What is kept of a batch that is cut in two is stored anew, and of the new term: to a group, and to another process, the cut is one at the batch's
/// begin. Records are handed out again, and none is left out.
#[test]
fn a_cut_inside_of_a_batch_is_told_as_one_at_its_begin() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    for _ in 0..3 {
        partition.append_batch(&crate::reading_support::batch(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]), AckLevel::Written).unwrap();
    }
    let positions = Arc::new(MemoryOffsetStore::new());
    let options = |name: &str, position: u64| {
        let options = from(OffsetSpec::ExactOffset(position.into())).on_out_of_range(OnOutOfRange::Earliest);
        options.group(group(&partition, name, &positions))
    };
    let follower = home.read_only();
    let places = [(10u64, "before"), (13, "in what is kept"), (17, "in what is cut off")];
    let subscriptions = places.map(|(at, name)| [&follower, partition.view()].map(|view| view.subscribe(name, options(name, at)).unwrap()));
    for [_, of_writer] in &subscriptions {
        of_writer.commit().unwrap();
    }
    partition.truncate_suffix(15).unwrap();
    append_others(&partition, 10);
    for ((at, name), [of_follower, of_writer]) in places.into_iter().zip(subscriptions) {
        let resumed = follower.subscribe("again", options(name, at).start(OffsetSpec::ResumeOrLatest)).unwrap();
        assert_eq!(of_writer.page().unwrap().records[0].offset(), at.min(15), "{name}");
        for subscription in [of_follower, resumed] {
            assert_eq!(drain(&subscription), (10..25).collect::<Vec<_>>(), "{name}");
        }
    }
}

/// Committed by somebody who did not know the term: behind the end it is still told, and reading begins where nothing can be missed.
#[test]
fn a_position_without_a_term_behind_the_end() {
    let away = Away::at(90, 100);
    let bare = CommittedOffset::new(90, TimestampNs::new(0));
    away.positions.commit(&away.group.group, &[(away.group.partition.clone(), bare)]).unwrap();
    away.partition.truncate_suffix(50).unwrap();
    away.partition.delete_prefix(7).unwrap();
    away.check_error(|found| matches!(found, SubscriptionError::OffsetOutOfRange { requested, .. } if *requested == 90));
    away.check(OnOutOfRange::Earliest, (7, SeekOutcome::Reset(reset(90, 7, ResetCause::CutOff))));
    away.check(OnOutOfRange::Latest, (50, SeekOutcome::Reset(reset(90, 50, ResetCause::CutOff))));
}

/// The deletion ends at the position itself: what was read is gone either way, and what comes next does not go on from it.
#[test]
fn a_cut_whose_place_was_deleted_since_is_told() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..10);
    for view in [partition.view().clone(), home.read_only()] {
        let subscription = view.subscribe("s", from(OffsetSpec::ResetToLatest)).unwrap();
        let end = partition.log_end_offset().get();
        subscription.seek_to_offset(end - 2).unwrap();
        assert_eq!(subscription.next_record().unwrap().unwrap().offset(), end - 2);
        partition.truncate_suffix(end - 5).unwrap();
        append_others(&partition, 10);
        partition.delete_prefix(end - 1).unwrap();
        let told = subscription.page();
        assert!(matches!(told, Err(SubscriptionError::Truncated { at, next }) if (at.get(), next.get()) == (end - 5, end - 1)), "{told:?}");
    }
}

/// What was cut off since it was read is not committed as read.
#[test]
fn a_position_that_was_cut_off_is_not_committed() {
    let away = Away::at(40, 100);
    let subscription = away.partition.subscribe("s", away.options(OnOutOfRange::Error)).unwrap();
    assert_eq!(drain(&subscription).len(), 60);
    away.partition.truncate_suffix(60).unwrap();
    for _ in 0..2 {
        assert!(matches!(subscription.commit(), Err(SubscriptionError::Truncated { at, next }) if at == 60 && next == 100));
        append_others(&away.partition, 100);
    }
    assert_eq!(subscription.commit_offset(60, "").unwrap(), 60);
    away.check(OnOutOfRange::Error, (60, SeekOutcome::Resumed));
}

/// From a place that is not there any more nothing is passed by: what was lost is told first.
#[test]
fn a_lost_place_does_not_advance() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..100);
    let start = |position: u64| SubscriptionOptions::new().start(OffsetSpec::ExactOffset(position.into())).on_out_of_range(OnOutOfRange::Error);
    let views = [partition.view().clone(), home.read_only()];
    let places = views.map(|view| [90, 10].map(|position| view.subscribe("s", start(position)).unwrap()));
    partition.truncate_suffix(50).unwrap();
    append_others(&partition, 100);
    partition.flush().unwrap();
    partition.delete_prefix(20).unwrap();
    for [cut, deleted] in places {
        let advanced = cut.advance(5);
        assert!(matches!(advanced, Err(SubscriptionError::Truncated { at, next }) if at == 50 && next == 90), "{advanced:?}");
        let advanced = deleted.advance(20);
        let is_told = matches!(advanced, Err(SubscriptionError::OffsetOutOfRange { requested, earliest, .. }) if requested == 10 && earliest == 20);
        assert!(is_told, "{advanced:?}");
        assert_eq!((cut.position().get(), deleted.position().get()), (90, 10));
    }
}

/// A value that tells in which round it was given to its offset.
fn salted(round: u64, offset: u64) -> Vec<u8> {
    [round.to_le_bytes().as_slice(), &crate::reading_support::numbered(offset)].concat()
}

fn append_salted(partition: &Partition, round: u64, count: u64) {
    let end = partition.log_end_offset().get();
    for offset in end..end + count {
        partition.append_with(Record::new(&salted(round, offset)), AckLevel::Written).unwrap();
    }
}

/// Somebody deletes and cuts while subscribers of both processes read: whatever they are handed is what stands under its number.
#[test]
fn readers_beside_deletions_and_cuts() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_salted(&partition, 0, 2000);
    // The first round of records behind each cut, and where it was.
    let cuts: Arc<std::sync::Mutex<Vec<(u64, u64)>>> = Arc::default();
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = [OnOutOfRange::Earliest, OnOutOfRange::Latest]
        .into_iter()
        .flat_map(|policy| [("writer", partition.view().clone()), ("reader", home.read_only())].map(|(name, view)| (policy, name, view)))
        .map(|(policy, name, view)| {
            let subscription = view.subscribe("s", SubscriptionOptions::new().on_out_of_range(policy)).unwrap();
            let (is_over, cuts) = (is_over.clone(), cuts.clone());
            std::thread::spawn(move || {
                let (mut count, mut next, mut last_round) = (0u64, 0, None);
                loop {
                    let done = is_over.load(std::sync::atomic::Ordering::SeqCst);
                    let page = subscription.poll(Duration::from_millis(5)).unwrap();
                    if let Some(reset) = page.reset {
                        (next, last_round) = (reset.to.get(), None);
                    }
                    for record in &page.records {
                        let (offset, value) = (record.offset().get(), record.value().unwrap());
                        let round = u64::from_le_bytes(value[..8].try_into().unwrap());
                        assert_eq!((offset, value), (next, salted(round, offset).as_slice()));
                        // Untold, nothing that was read is cut off between two records.
                        let is_untold = |&(cut, at): &(u64, u64)| last_round.is_some_and(|last| last < cut) && cut <= round && at < next;
                        assert!(
                            !cuts.lock().unwrap().iter().any(is_untold),
                            "offset {offset} of round {round}, behind {last_round:?}, {policy:?} {name} next {next} cuts {:?}",
                            cuts.lock().unwrap()
                        );
                        assert!(last_round.is_none_or(|last| last <= round));
                        last_round = Some(round);
                        (count, next) = (count + 1, next + 1);
                    }
                    if done && page.records.is_empty() && page.at_end {
                        return (count, next);
                    }
                }
            })
        })
        .collect();
    for round in 0..30u64 {
        let end = partition.log_end_offset().get();
        match round % 3 {
            0 => partition.delete_prefix(end - 700).unwrap(),
            1 => {
                cuts.lock().unwrap().push((round + 1, end - 400));
                partition.truncate_suffix(end - 400).unwrap();
            }
            _ => {}
        }
        append_salted(&partition, round + 1, 500);
    }
    is_over.store(true, std::sync::atomic::Ordering::SeqCst);
    for reader in readers {
        let (count, next) = reader.join().unwrap();
        assert!(count > 0 && next == partition.log_end_offset().get());
    }
}
