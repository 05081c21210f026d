//! Where a subscription begins, how it gets on and where it may be sent: each operation, and each thing that is none, on real directories.

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use tidelog::io::fault::{Fault, Op};
use tidelog::{
    AckLevel, BatchPlace, Filter, GroupPosition, LeaderEpoch, LogOffsetStore, MemoryOffsetStore, Offset, OffsetSpec, OffsetSpecError, OffsetStore,
    OffsetType, Page, PageLimits, Partition, ReadError, Record, RecordRange, SeekOutcome, Store, Subscription, SubscriptionError,
    SubscriptionOptions,
};

use tidelog_format::CHECKPOINT_NAME;

use crate::reading_support::{Home, append_numbered, batch, faulty, numbered, small, ts};
use crate::support::copy_tree;

pub(crate) fn from(start: OffsetSpec) -> SubscriptionOptions {
    SubscriptionOptions::new().start(start)
}

pub(crate) fn offsets(page: &Page) -> Vec<u64> {
    page.records.iter().map(|record| record.offset().get()).collect()
}

/// Everything from the position to the end, each record under its own number.
pub(crate) fn drain(subscription: &Subscription) -> Vec<u64> {
    std::iter::from_fn(|| subscription.next_record().unwrap()).map(|record| record.offset().get()).collect()
}

pub(crate) fn group(partition: &Partition, name: &str, store: &Arc<impl OffsetStore + 'static>) -> GroupPosition {
    GroupPosition { group: name.parse().unwrap(), partition: partition.key().clone(), store: store.clone() }
}

/// A batch at an offset of its own: what lies between it and the end of the log has no record.
pub(crate) fn restore(partition: &Partition, base_offset: u64, values: &[&str]) {
    partition.restore(&batch(values), BatchPlace { base_offset: base_offset.into(), leader_epoch: LeaderEpoch::new(0), producer_id: None }).unwrap();
    partition.flush().unwrap();
}

fn numbered_log(count: u64) -> (Home, Store, Partition) {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    append_numbered(&partition, 0..count);
    (home, store, partition)
}

#[test]
fn the_seven_types_have_their_wire_numbers() {
    let numbers = [0, 5, 10, 15, 20, 25, 30];
    assert_eq!(OffsetType::ALL.map(OffsetType::wire), numbers);
    for (number, known) in numbers.into_iter().zip(OffsetType::ALL) {
        assert_eq!(OffsetType::try_from(number), Ok(known));
        assert_eq!(OffsetSpec::from_wire(number, 3, 4).unwrap().offset_type(), known);
    }
    for found in (-40..40).chain([i32::MIN, i32::MAX]).filter(|number| !numbers.contains(number)) {
        assert_eq!(OffsetType::try_from(found), Err(OffsetSpecError::UnknownType { found }));
        assert_eq!(OffsetSpec::from_wire(found, 0, 0), Err(OffsetSpecError::UnknownType { found }));
    }
}

#[test]
fn create_subscription_of_each_type() {
    let (_home, _store, partition) = numbered_log(10);
    let time = partition.get(4).unwrap().timestamp();
    let first_with_time = partition.view().offset_for_time(time).unwrap().unwrap().get();
    partition.delete_prefix(2).unwrap();
    let cases = [
        (OffsetSpec::ResumeOrEarliest, 2, SeekOutcome::NothingCommitted),
        (OffsetSpec::ResetToEarliest, 2, SeekOutcome::Exact),
        (OffsetSpec::ExactTimestamp(time), first_with_time.max(2), SeekOutcome::Exact),
        (OffsetSpec::ResetToLatest, 10, SeekOutcome::Exact),
        (OffsetSpec::ResumeOrLatest, 10, SeekOutcome::NothingCommitted),
        (OffsetSpec::ExactOffset(7.into()), 7, SeekOutcome::Exact),
        (OffsetSpec::ResetToOffset(8.into()), 8, SeekOutcome::Exact),
    ];
    for (spec, position, outcome) in cases {
        let subscription = partition.subscribe("s", from(spec)).unwrap();
        assert_eq!((subscription.started().offset.get(), subscription.started().outcome), (position, outcome), "{spec:?}");
        assert_eq!(drain(&subscription), (position..10).collect::<Vec<_>>(), "{spec:?}");
    }
}

#[test]
fn offset_zero_of_an_empty_partition_waits_for_the_first_record() {
    let (_home, _store, partition) = numbered_log(0);
    let subscription = partition.subscribe("s", from(OffsetSpec::ExactOffset(0.into()))).unwrap();
    assert!(subscription.next_record().unwrap().is_none() && subscription.is_at_end().unwrap());
    append_numbered(&partition, 0..1);
    assert_eq!(drain(&subscription), [0]);
}

/// What cannot be had leaves nothing behind, and says what can.
#[test]
fn invalid_subscription() {
    let (_home, _store, partition) = numbered_log(10);
    partition.delete_prefix(3).unwrap();
    for requested in [0, 2, 11, i64::MAX as u64] {
        let found = partition.subscribe("s", from(OffsetSpec::ExactOffset(requested.into()))).unwrap_err();
        assert!(
            matches!(found, SubscriptionError::OffsetOutOfRange { requested: r, earliest, latest } if r == requested && earliest == 3 && latest == 10),
            "{found:?}"
        );
    }
    assert!(partition.subscribe("s", from(OffsetSpec::ExactOffset(10.into()))).is_ok());
    for spec in [OffsetSpec::ExactOffset(u64::MAX.into()), OffsetSpec::ResetToOffset((1 << 63).into())] {
        let found = partition.subscribe("s", from(spec)).unwrap_err();
        assert!(matches!(found, SubscriptionError::Spec(OffsetSpecError::TooLarge { limit, .. }) if limit == i64::MAX as u64), "{found:?}");
    }
    for wire in [25, 30] {
        assert_eq!(OffsetSpec::from_wire(wire, -1, 0), Err(OffsetSpecError::Negative { found: -1 }));
        assert_eq!(OffsetSpec::from_wire(wire, i64::MIN, 0), Err(OffsetSpecError::Negative { found: i64::MIN }));
    }
    for id in [String::new(), "x".repeat(256)] {
        assert!(matches!(partition.subscribe(&id, SubscriptionOptions::new()), Err(SubscriptionError::InvalidId { .. })));
    }
    for limits in [
        PageLimits { records: 0, ..PageLimits::default() },
        PageLimits { records: 10_001, ..PageLimits::default() },
        PageLimits { bytes: 0, ..PageLimits::default() },
        PageLimits { scanned_records: 0, ..PageLimits::default() },
        PageLimits { scanned_bytes: u64::MAX, ..PageLimits::default() },
    ] {
        let found = partition.subscribe("s", SubscriptionOptions::new().limits(limits)).unwrap_err();
        assert!(matches!(found, SubscriptionError::Limit { .. }), "{found:?}");
        let subscription = partition.subscribe("s", SubscriptionOptions::new()).unwrap();
        assert!(matches!(subscription.page_within(limits), Err(SubscriptionError::Limit { .. })));
        assert_eq!(subscription.position(), 3);
    }
}

#[test]
fn reset_to_offset_clamps_and_says_so() {
    let (_home, _store, partition) = numbered_log(10);
    partition.delete_prefix(3).unwrap();
    for (requested, expected) in [(0, 3), (3, 3), (9, 9), (10, 10), (11, 10), (i64::MAX as u64, 10)] {
        let started = partition.subscribe("s", from(OffsetSpec::ResetToOffset(requested.into()))).unwrap().started();
        let outcome = if requested == expected { SeekOutcome::Exact } else { SeekOutcome::Clamped { requested: requested.into() } };
        assert_eq!((started.offset.get(), started.outcome), (expected, outcome), "{requested}");
    }
}

/// The times stand out of order: the answer is by offset order, as a search from the start would find it.
#[test]
fn exact_time_is_exact_where_times_are_out_of_order() {
    let (_home, _store, partition) = numbered_log(0);
    let times = [50, 10, 70, 20, 60, 60, 30];
    for time in times {
        partition.append_with(Record::new("v").timestamp(ts(time)), AckLevel::Written).unwrap();
    }
    let subscription = partition.subscribe("s", from(OffsetSpec::ResetToLatest)).unwrap();
    for time in 0..=70 {
        let expected = times.iter().position(|found| *found >= time).unwrap() as u64;
        assert_eq!(subscription.seek_to_time(ts(time)).unwrap().offset, expected, "{time}");
        assert_eq!(subscription.next_record().unwrap().unwrap().offset(), expected, "{time}");
    }
}

/// Records that come before the one that is waited for are not it.
#[test]
fn exact_time_in_the_future_waits_for_the_first_record_with_it() {
    let (_home, _store, partition) = numbered_log(0);
    let append = |time| partition.append_with(Record::new("v").timestamp(ts(time)), AckLevel::Written).unwrap();
    append(10);
    let subscription = partition.subscribe("s", from(OffsetSpec::ExactTimestamp(ts(100)))).unwrap();
    assert_eq!((subscription.started().offset.get(), subscription.started().outcome), (1, SeekOutcome::NotYet));
    for time in [20, 99, 50] {
        append(time);
        assert!(subscription.next_record().unwrap().is_none(), "{time}");
    }
    assert_eq!(subscription.position(), 4); // looked at, and not to be looked at again
    for time in [100, 30, 200] {
        append(time);
    }
    assert_eq!(drain(&subscription), [4, 5, 6]);
    // A seek forgets what was waited for.
    subscription.seek_to_time(ts(1000)).unwrap();
    subscription.seek_to_offset(5).unwrap();
    assert_eq!(drain(&subscription), [5, 6]);
}

#[test]
fn seek_to_offset() {
    let (_home, _store, partition) = numbered_log(100);
    partition.delete_prefix(10).unwrap();
    let subscription = partition.subscribe("s", from(OffsetSpec::ExactOffset(50.into()))).unwrap();
    for offset in [99, 10, 50, 100] {
        assert_eq!(subscription.seek_to_offset(offset).unwrap().offset, offset);
        assert_eq!(subscription.next_record().unwrap().map(|record| record.offset().get()), Some(offset).filter(|offset| *offset < 100));
    }
    subscription.seek_to_offset(42).unwrap();
    for requested in [9, 101, u64::MAX] {
        assert!(subscription.seek_to_offset(requested).is_err());
        assert_eq!(subscription.position(), 42, "after {requested}");
    }
    assert_eq!(subscription.seek(OffsetSpec::ResetToOffset(0.into())).unwrap().outcome, SeekOutcome::Clamped { requested: 0.into() });
    assert_eq!(subscription.position(), 10);
}

/// By time and by offset in turn, as a consumer does that was configured by dates before it knew offsets.
#[test]
fn time_and_offset_mix() {
    let (_home, _store, partition) = numbered_log(0);
    for number in 0..100 {
        partition.append_with(Record::new("v").timestamp(ts(number * 10)), AckLevel::Written).unwrap();
    }
    let subscription = partition.subscribe("s", from(OffsetSpec::ExactTimestamp(ts(501)))).unwrap();
    assert_eq!(subscription.next_record().unwrap().unwrap().offset(), 51);
    subscription.seek_to_offset(7).unwrap();
    assert_eq!(subscription.next_record().unwrap().unwrap().timestamp(), ts(70));
    subscription.seek_to_time(ts(990)).unwrap();
    assert_eq!(drain(&subscription), [99]);
    let hour = partition.subscribe("h", from(OffsetSpec::ExactOffset(30.into())).filter(Filter::time(ts(310)..ts(350)))).unwrap();
    assert_eq!(drain(&hour), [31, 32, 33, 34]);
}

#[test]
fn advance_offset() {
    let (_home, _store, partition) = numbered_log(10);
    let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest)).unwrap();
    assert_eq!(subscription.advance(3).unwrap(), 3);
    assert_eq!(subscription.next_record().unwrap().unwrap().offset(), 3);
    assert_eq!(subscription.advance(0).unwrap(), 4);
    for count in [7, i64::MAX as u64 - 4, u64::MAX - 4, u64::MAX] {
        assert!(matches!(subscription.advance(count), Err(SubscriptionError::OffsetOutOfRange { .. } | SubscriptionError::Spec(_))), "{count}");
        assert_eq!(subscription.position(), 4);
    }
    assert_eq!(subscription.advance(6).unwrap(), 10);
    assert!(subscription.next_record().unwrap().is_none());
}

#[test]
fn get_lag_and_is_at_end() {
    let (_home, _store, partition) = numbered_log(10);
    let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest)).unwrap();
    for read in 0..10 {
        assert_eq!((subscription.lag().unwrap(), subscription.is_at_end().unwrap()), (10 - read, false));
        subscription.next_record().unwrap().unwrap();
    }
    assert_eq!((subscription.lag().unwrap(), subscription.is_at_end().unwrap()), (0, true));
    append_numbered(&partition, 10..12);
    assert_eq!((subscription.lag().unwrap(), subscription.is_at_end().unwrap()), (2, false));
    subscription.seek_to_offset(0).unwrap();
    partition.delete_prefix(5).unwrap();
    assert_eq!(subscription.lag().unwrap(), 7, "what was deleted cannot be read any more");
}

#[test]
fn get_offset_range() {
    let (_home, _store, partition) = numbered_log(10);
    let range = |start: u64, end: u64, count| RecordRange { start: start.into(), end: end.into(), count };
    let subscription = partition.subscribe("s", from(OffsetSpec::ExactOffset(3.into()))).unwrap();
    assert_eq!(subscription.offset_range(5).unwrap(), range(3, 8, 5));
    assert_eq!(subscription.offset_range(7).unwrap(), range(3, 10, 7));
    assert_eq!(subscription.offset_range(u64::MAX).unwrap(), range(3, 10, 7));
    assert_eq!(subscription.position(), 3);
}

#[test]
fn empty_range() {
    let (_home, _store, partition) = numbered_log(10);
    let subscription = partition.subscribe("s", from(OffsetSpec::ExactOffset(4.into()))).unwrap();
    let empty = |at: u64| RecordRange { start: at.into(), end: at.into(), count: 0 };
    assert_eq!(subscription.offset_range(0).unwrap(), empty(4));
    subscription.seek_to_offset(10).unwrap();
    assert_eq!(subscription.offset_range(5).unwrap(), empty(10));
}

#[test]
fn inactive_operations() {
    let (_home, _store, partition) = numbered_log(10);
    let store = Arc::new(MemoryOffsetStore::new());
    let subscription = partition.subscribe("s", from(OffsetSpec::ExactOffset(4.into())).group(group(&partition, "g", &store))).unwrap();
    subscription.close();
    subscription.close();
    fn closed<T: std::fmt::Debug>(answer: Result<T, SubscriptionError>) {
        assert!(matches!(&answer, Err(SubscriptionError::Closed { id }) if id == "s"), "{answer:?}");
    }
    closed(subscription.next_record());
    closed(subscription.page());
    closed(subscription.poll(std::time::Duration::MAX));
    closed(subscription.seek_to_offset(1));
    closed(subscription.seek_to_time(ts(0)));
    closed(subscription.seek(OffsetSpec::ResetToEarliest));
    closed(subscription.advance(1));
    closed(subscription.lag());
    closed(subscription.is_at_end());
    closed(subscription.offset_range(1));
    closed(subscription.commit());
    assert!(subscription.records().next().is_none());
    assert_eq!((subscription.is_active(), subscription.position().get()), (false, 4));
    assert!(store.groups().unwrap().is_empty());
}

/// D9: an offset without a record neither stops a subscriber nor shifts the numbers of those behind it.
#[test]
fn d9_a_gap_neither_stops_a_subscriber_nor_shifts_its_labels() {
    let (_home, _store, partition) = numbered_log(0);
    restore(&partition, 0, &["0", "1", "2"]);
    restore(&partition, 5, &["5", "6"]);
    restore(&partition, 1000, &["1000"]);
    let all: Vec<u64> = vec![0, 1, 2, 5, 6, 1000];
    for view in [partition.view().clone(), _home.read_only()] {
        for begin in 0..=1001 {
            let subscription = view.subscribe("s", from(OffsetSpec::ExactOffset(begin.into()))).unwrap();
            let expected: Vec<u64> = all.iter().copied().filter(|offset| *offset >= begin).collect();
            let range = subscription.offset_range(2).unwrap();
            assert_eq!(range.count, expected.len().min(2) as u64, "from {begin}");
            assert_eq!(range.start.get(), expected.first().copied().unwrap_or(begin), "from {begin}");
            assert_eq!(range.end.get(), expected.get(..range.count as usize).and_then(<[u64]>::last).map_or(begin, |last| last + 1), "from {begin}");
            let mut found = Vec::new();
            while let Some(record) = subscription.next_record().unwrap() {
                assert_eq!(record.value().unwrap(), record.offset().to_string().as_bytes());
                found.push(record.offset().get());
            }
            assert_eq!((found, subscription.position().get(), subscription.is_at_end().unwrap()), (expected, 1001, true), "from {begin}");
        }
    }
}

#[test]
fn pages_end_by_records_by_bytes_and_at_the_end() {
    let (_home, _store, partition) = numbered_log(0);
    for number in 0..100u64 {
        partition.append_with(Record::new(&vec![number as u8; 100]), AckLevel::Written).unwrap();
    }
    let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest)).unwrap();
    let limits = |records, bytes| PageLimits { records, bytes, ..PageLimits::default() };
    let page = subscription.page_within(limits(7, 4 << 20)).unwrap();
    assert_eq!(offsets(&page), (0..7).collect::<Vec<_>>());
    assert_eq!((page.next_offset.get(), page.high_water_mark.get(), page.log_start_offset.get(), page.at_end), (7, 100, 0, false));
    let page = subscription.page_within(limits(100, 550)).unwrap();
    assert_eq!((offsets(&page), page.at_end), ((7..12).collect(), false));
    let page = subscription.page_within(limits(100, 1)).unwrap();
    assert_eq!(offsets(&page), [12], "one record is handed out whatever its size");
    subscription.seek_to_offset(95).unwrap();
    let page = subscription.page_within(limits(6, 4 << 20)).unwrap();
    assert_eq!((offsets(&page), page.at_end), ((95..100).collect(), true));
    let page = subscription.page().unwrap();
    assert_eq!((page.records.len(), page.next_offset.get(), page.at_end), (0, 100, true));
    // Pages of every size together are the log.
    for records in 1..30 {
        subscription.seek_to_offset(0).unwrap();
        let mut found = Vec::new();
        while !subscription.is_at_end().unwrap() {
            found.extend(offsets(&subscription.page_within(limits(records, 1000)).unwrap()));
        }
        assert_eq!(found, (0..100).collect::<Vec<_>>());
    }
}

#[test]
fn damage_is_told_in_its_place_and_passed_by() {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    append_numbered(&partition, 0..2000);
    let (path, position) = partition.view().locate(300).unwrap();
    drop(partition);
    store.close().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[position.get() as usize + 75] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (_store, partition) = home.partition(small());
    let store = Arc::new(MemoryOffsetStore::new());
    let options = from(OffsetSpec::ExactOffset(298.into())).group(group(&partition, "g", &store));
    let subscription = partition.subscribe("s", options).unwrap();
    let page = subscription.page().unwrap();
    assert_eq!((offsets(&page), page.next_offset.get(), page.at_end), (vec![298, 299], 300, false));
    assert_eq!(subscription.commit().unwrap(), 300, "what is damaged was not read");
    let found = subscription.page().unwrap_err();
    assert!(found.is_damage(), "{found}");
    let SubscriptionError::Read(ReadError::Corrupt { from: lost, to, .. }) = found else { panic!("{found:?}") };
    assert_eq!((lost.get(), subscription.position()), (300, to));
    assert_eq!(subscription.next_record().unwrap().unwrap().offset(), to);
    assert_eq!(subscription.commit().unwrap().get(), to.get() + 1);
    // An iterator says it once, and goes on.
    subscription.seek_to_offset(299).unwrap();
    let items: Vec<_> = subscription.records().take(3).collect();
    assert!(items[0].is_ok() && items[1].as_ref().is_err_and(SubscriptionError::is_damage) && items[2].is_ok());
}

/// Whoever opens a log knows of its gaps, in the segment that is appended to and in those before it.
#[test]
fn a_range_leaves_out_gaps_after_a_reopening() {
    for bytes in [1, 60 << 10] {
        let home = Home::new();
        let (store, partition) = home.partition(small());
        restore(&partition, 0, &["0", "1"]);
        restore(&partition, 5, &["5"]);
        partition.append(Record::new(&vec![7; bytes])).unwrap(); // the large one ends the first segment
        partition.append(Record::new(&vec![7; bytes])).unwrap();
        drop(partition);
        store.close().unwrap();
        let (_store, partition) = home.partition(small());
        let subscription = partition.subscribe("s", from(OffsetSpec::ExactOffset(0.into()))).unwrap();
        for (count, end) in [(2, 2), (3, 6), (4, 7), (5, 8)] {
            assert_eq!(subscription.offset_range(count).unwrap(), RecordRange { start: 0.into(), end: end.into(), count }, "{bytes}");
        }
    }
}

/// The index of a log that grows counts the records of what it covers, and none that come while it is on its way.
#[test]
fn a_range_leaves_out_gaps_after_a_kill_beside_a_checkpoint() {
    let (home, copy) = (Home::new(), Home::new());
    let (faulty, options) = faulty();
    let (store, partition) = home.partition(options.without_threads());
    restore(&partition, 0, &["0", "1"]);
    restore(&partition, 5, &["5"]);
    append_batches(&partition, 5 << 20); // an index comes every 4 MiB
    faulty.inject(Fault::at(Op::Write).on_path(CHECKPOINT_NAME).slow(Duration::from_millis(500)));
    std::thread::scope(|scope| {
        scope.spawn(|| store.run_background());
        while faulty.fired() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        (0..20).for_each(|_| _ = partition.append_with(Record::new("late"), AckLevel::Written).unwrap());
    });
    copy_tree(home.path(), copy.path());
    let (_store, partition) = copy.partition(small().segment_bytes(64 << 20).background_recovery(false));
    let subscription = partition.subscribe("s", from(OffsetSpec::ExactOffset(0.into()))).unwrap();
    assert_eq!(subscription.offset_range(3).unwrap(), RecordRange { start: 0.into(), end: 6.into(), count: 3 });
}

fn append_batches(partition: &Partition, bytes: usize) {
    for _ in 0..bytes / (64 << 10) {
        partition.append_with(Record::new(&[7; 64 << 10]), AckLevel::Written).unwrap();
    }
}

/// Also where it is known of each record without a look.
#[test]
fn a_range_leaves_out_what_is_known_to_be_damaged() {
    let (_home, _store, partition) = numbered_log(20);
    let subscription = partition.subscribe("s", from(OffsetSpec::ExactOffset(0.into()))).unwrap();
    let range = |end: u64, count| RecordRange { start: 0.into(), end: end.into(), count };
    assert_eq!(subscription.offset_range(10).unwrap(), range(10, 10));
    let (path, position) = partition.view().locate(5).unwrap();
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let (mut byte, at) = ([0], position.get() + 75);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    assert_eq!(subscription.records().take(20).filter(Result::is_err).count(), 1);
    subscription.seek_to_offset(0).unwrap();
    assert_eq!(subscription.offset_range(10).unwrap(), range(11, 10));
}

/// D12: what a group commits is the offset to be read next, and nothing else stands for it.
#[test]
fn d12_a_group_resumes_at_the_offset_that_it_committed() {
    let (home, store, partition) = numbered_log(10);
    let positions = Arc::new(LogOffsetStore::open(&store).unwrap());
    let options = |spec| from(spec).group(group(&partition, "g", &positions));
    let first = partition.subscribe("1", options(OffsetSpec::ResumeOrEarliest)).unwrap();
    assert_eq!(first.started().outcome, SeekOutcome::NothingCommitted);
    (0..4).for_each(|_| drop(first.next_record().unwrap().unwrap()));
    // What was handed out and is still worked on is not committed.
    assert_eq!(first.commit_offset(3, "three are done").unwrap(), 3);
    let committed = positions.fetch(&"g".parse().unwrap(), partition.key()).unwrap().unwrap();
    assert_eq!((committed.offset.get(), committed.metadata.as_str()), (3, "three are done"));
    assert_eq!(committed.leader_epoch, Some(partition.get(2).unwrap().leader_epoch()));
    for spec in [OffsetSpec::ResumeOrEarliest, OffsetSpec::ResumeOrLatest] {
        let second = partition.subscribe("2", options(spec)).unwrap();
        assert_eq!((second.started().offset.get(), second.started().outcome), (3, SeekOutcome::Resumed));
    }
    let late = partition.subscribe("3", options(OffsetSpec::ResetToLatest)).unwrap();
    assert_eq!(late.seek(OffsetSpec::ResumeOrLatest).unwrap().offset, 3);
    // Not read, not there, no group.
    assert!(matches!(first.commit_offset(5, ""), Err(SubscriptionError::NotRead { requested, position }) if requested == 5 && position == 4));
    assert!(matches!(first.commit_offset(4, &"x".repeat(5000)), Err(SubscriptionError::Store(_))));
    let loner = partition.subscribe("4", from(OffsetSpec::ResetToLatest)).unwrap();
    assert!(matches!(loner.commit(), Err(SubscriptionError::NoGroup { .. })));
    partition.delete_prefix(2).unwrap();
    assert!(matches!(first.commit_offset(1, ""), Err(SubscriptionError::OffsetOutOfRange { .. })));
    assert_eq!(positions.fetch(&"g".parse().unwrap(), partition.key()).unwrap().unwrap(), committed, "nothing of it was done");
    // Over a restart too, of both.
    let key = partition.key().clone();
    drop((first, late, loner, partition, positions));
    store.close().unwrap();
    let (store, reopened) = home.partition(small());
    assert_eq!(reopened.key(), &key);
    let positions = Arc::new(LogOffsetStore::open_existing(&store).unwrap());
    let options = from(OffsetSpec::ResumeOrLatest).group(group(&reopened, "g", &positions));
    let resumed = reopened.subscribe("5", options).unwrap();
    assert_eq!(resumed.next_record().unwrap().unwrap().value().unwrap(), numbered(3));
}

/// The answer at an offset is the same however often it is asked for, beside appends too.
#[test]
fn repeated_reads_at_same_offset() {
    let (_home, _store, partition) = numbered_log(50);
    let subscription = partition.subscribe("s", from(OffsetSpec::ExactOffset(20.into()))).unwrap();
    for round in 0..20 {
        subscription.seek_to_offset(20).unwrap();
        let page = subscription.page_within(PageLimits { records: 10, ..PageLimits::default() }).unwrap();
        assert_eq!(offsets(&page), (20..30).collect::<Vec<_>>());
        assert!(page.records.iter().all(|record| record.value().unwrap() == numbered(record.offset().get())));
        append_numbered(&partition, 50 + round..51 + round);
    }
    assert_eq!((subscription.position().get(), drain(&subscription)), (30, (30..70).collect()));
}

/// Several threads at one subscription: each record goes to one of them, and none is lost.
#[test]
fn clones_share_a_place() {
    let (_home, _store, partition) = numbered_log(5000);
    let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest)).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let subscription = subscription.clone();
            std::thread::spawn(move || if number % 2 == 0 { drain(&subscription) } else { pages(&subscription) })
        })
        .collect();
    let mut found: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, (0..5000).collect::<Vec<_>>());
    assert_eq!(subscription.info().records_delivered, 5000);
}

fn pages(subscription: &Subscription) -> Vec<u64> {
    let limits = PageLimits { records: 17, ..PageLimits::default() };
    std::iter::from_fn(|| Some(subscription.page_within(limits).unwrap()).filter(|page| !page.records.is_empty()))
        .flat_map(|page| offsets(&page))
        .collect()
}

/// A view of another process: the same answers, and it looks again before it says that an offset is not there.
#[test]
fn a_read_only_view_is_brought_up_to_date_before_it_is_judged_by() {
    let (home, _store, partition) = numbered_log(10);
    let view = home.read_only();
    append_numbered(&partition, 10..20);
    let subscription = view.subscribe("s", from(OffsetSpec::ExactOffset(15.into()))).unwrap();
    assert_eq!(drain(&subscription), (15..20).collect::<Vec<_>>());
    append_numbered(&partition, 20..30);
    assert_eq!(subscription.lag().unwrap(), 10);
    append_numbered(&partition, 30..40);
    assert_eq!(offsets(&subscription.page().unwrap()), (20..40).collect::<Vec<_>>());
    append_numbered(&partition, 40..50);
    assert_eq!(subscription.seek_to_offset(45).unwrap().offset, Offset::new(45));
    assert_eq!(drain(&subscription), (45..50).collect::<Vec<_>>());
}

/// Headers take room in a page, and are looked at, as keys and values are.
#[test]
fn headers_count_as_bytes() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    for _ in 0..10 {
        partition.append_with(Record::new("v").header("name", Some(&[7; 1000])), AckLevel::Written).unwrap();
    }
    let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest)).unwrap();
    let page = |limits| offsets(&subscription.page_within(limits).unwrap());
    assert_eq!(page(PageLimits { bytes: 2 * 1005, ..PageLimits::default() }), [0, 1]);
    assert_eq!(page(PageLimits { bytes: 2 * 1005 - 1, ..PageLimits::default() }), [2]);
    assert_eq!(page(PageLimits { scanned_bytes: 1006, ..PageLimits::default() }), [3, 4]);
}
