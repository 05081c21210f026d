//! Which records a filter lets through, and that the others are looked at once and not again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidelog::{AckLevel, Filter, OffsetSpec, PageLimits, Partition, Record, Store};

use crate::reading_support::{Home, append_numbered, small, ts};
use crate::subscription::{drain, from, offsets};

fn check(partition: &Partition, filter: Filter, expected: &[u64]) {
    let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest).filter(filter.clone())).unwrap();
    assert_eq!(drain(&subscription), expected, "{filter:?}");
    let info = subscription.info();
    assert_eq!(info.records_delivered + info.records_passed_by, partition.log_end_offset().get(), "{filter:?}");
    assert!(info.is_at_end);
    let rest: Vec<u64> = (0..partition.log_end_offset().get()).filter(|offset| !expected.contains(offset)).collect();
    let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest).filter(!filter)).unwrap();
    assert_eq!(drain(&subscription), rest);
}

#[test]
fn each_condition() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let records = [
        Record::new("0").key("apple").timestamp(ts(100)),
        Record::new("1").key("apples").header("to", Some(b"x")).timestamp(ts(50)),
        Record::new("2").timestamp(ts(60)),
        Record::new("3").key("").header("to", None).timestamp(ts(70)),
        Record::tombstone().key("pear").header("to", Some(b"")).header("to", Some(b"x")).timestamp(ts(80)),
        Record::new("5").key("Apple").header("To", Some(b"x")).timestamp(ts(-1)),
    ];
    for record in records {
        partition.append_with(record, AckLevel::Written).unwrap();
    }
    check(&partition, Filter::key("apple"), &[0]);
    check(&partition, Filter::key(""), &[3]);
    check(&partition, Filter::key_prefix("apple"), &[0, 1]);
    check(&partition, Filter::key_prefix(""), &[0, 1, 3, 4, 5]);
    check(&partition, Filter::has_header("to"), &[1, 3, 4]);
    check(&partition, Filter::header("to", Some(b"x")), &[1, 4]);
    check(&partition, Filter::header("to", Some(b"")), &[4]);
    check(&partition, Filter::header("to", None), &[3]);
    check(&partition, Filter::header("no such", None), &[]);
    check(&partition, Filter::time(..), &[0, 1, 2, 3, 4, 5]);
    check(&partition, Filter::time(ts(60)..ts(80)), &[2, 3]);
    check(&partition, Filter::time(ts(60)..=ts(80)), &[2, 3, 4]);
    check(&partition, Filter::time(..ts(60)), &[1, 5]);
    check(&partition, Filter::predicate(|record| record.value().is_none()), &[4]);
    check(&partition, Filter::predicate(|record| record.offset().get() % 2 == 1), &[1, 3, 5]);
    check(&partition, Filter::key_prefix("apple").and(Filter::has_header("to")), &[1]);
    check(&partition, Filter::key("pear").or(Filter::time(..ts(0))), &[4, 5]);
    check(&partition, !Filter::key("pear").or(!Filter::has_header("to")), &[1, 3]);
}

fn counted(home: &Home, count: u64) -> (Store, Partition, Arc<AtomicU64>, Filter) {
    let (store, partition) = home.partition(small());
    append_numbered(&partition, 0..count);
    let looks = Arc::new(AtomicU64::new(0));
    let counter = looks.clone();
    let filter = Filter::predicate(move |record| {
        counter.fetch_add(1, Ordering::Relaxed);
        record.offset().get() % 1000 == 999
    });
    (store, partition, looks, filter)
}

/// A poll that found nothing has still got on: what it looked at is not looked at again.
#[test]
fn what_was_passed_by_is_not_looked_at_again() {
    let home = Home::new();
    let (_store, partition, looks, filter) = counted(&home, 998);
    let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest).filter(filter)).unwrap();
    for _ in 0..10 {
        let page = subscription.poll(std::time::Duration::ZERO).unwrap();
        assert_eq!((page.records.len(), page.next_offset.get(), page.at_end), (0, 998, true));
    }
    assert_eq!(looks.load(Ordering::Relaxed), 998);
    append_numbered(&partition, 998..1002);
    assert_eq!(drain(&subscription), [999]);
    assert_eq!(looks.load(Ordering::Relaxed), 1002);
}

/// One call looks at so many records, or bytes, and no more; the next one goes on there.
#[test]
fn a_call_is_bounded_in_what_it_looks_at() {
    let home = Home::new();
    let (_store, partition, looks, filter) = counted(&home, 2000);
    let limits = PageLimits { scanned_records: 300, ..PageLimits::default() };
    let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest).filter(filter.clone()).limits(limits)).unwrap();
    for calls in 1..=6 {
        let page = subscription.poll(std::time::Duration::MAX).unwrap();
        assert!(looks.load(Ordering::Relaxed) <= calls * 300);
        assert_eq!((page.next_offset.get(), page.at_end), (calls * 300, false));
        assert_eq!(offsets(&page), if calls == 4 { vec![999] } else { vec![] });
    }
    // For one record it goes on as long as it takes.
    assert_eq!(subscription.next_record().unwrap().unwrap().offset(), 1999);
    let limits = PageLimits { scanned_bytes: 1, ..PageLimits::default() };
    let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest).filter(filter).limits(limits)).unwrap();
    assert_eq!(subscription.page().unwrap().next_offset, 1);
    assert_eq!(subscription.next_record().unwrap().unwrap().offset(), 999);
}

/// A predicate that panics takes the page along, and not the records in it.
#[test]
fn a_predicate_that_panics_loses_no_record() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..100);
    let panics = Arc::new(AtomicU64::new(1));
    let left = panics.clone();
    let filter = Filter::predicate(move |record| {
        assert!(record.offset() != 50 || left.swap(0, Ordering::Relaxed) == 0, "as it was told to");
        true
    });
    let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest).filter(filter)).unwrap();
    let limits = PageLimits { records: 30, ..PageLimits::default() };
    assert_eq!(offsets(&subscription.page_within(limits).unwrap()), (0..30).collect::<Vec<_>>());
    assert!(catch_unwind(AssertUnwindSafe(|| subscription.page_within(limits))).is_err());
    assert_eq!(subscription.position(), 30);
    assert_eq!(drain(&subscription), (30..100).collect::<Vec<_>>());
}
