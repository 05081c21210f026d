//! The registry of subscriptions, and the questions about offsets: ids taken once, ranges checked end by end, also where threads race.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidelog::{
    AvailableOffsets, OffsetInfo, OffsetRangeError, OffsetSeeker, OffsetSpec, OffsetSubscriber, OnOutOfRange, ReadIsolation, Record,
    SubscriberMetrics, SubscriptionError, SubscriptionOptions, SyncPolicy,
};

use crate::reading_support::{Home, append_numbered, small, ts};
use crate::subscription::{drain, from, restore};

fn ids(subscribers: &OffsetSubscriber) -> Vec<String> {
    subscribers.active().iter().map(|subscription| subscription.id().to_owned()).collect()
}

#[test]
fn create_get_list_and_close() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..10);
    let subscribers = OffsetSubscriber::new();
    for id in ["b", "a", "c"] {
        subscribers.create(id, partition.view(), from(OffsetSpec::ResetToEarliest)).unwrap();
    }
    assert_eq!(ids(&subscribers), ["a", "b", "c"]);
    // One place behind one id, whoever asks for it.
    subscribers.get("a").unwrap().next_record().unwrap().unwrap();
    assert_eq!(subscribers.get("a").unwrap().position(), 1);
    let kept = subscribers.get("b").unwrap();
    subscribers.close("b").unwrap();
    assert!(!kept.is_active());
    assert_eq!(ids(&subscribers), ["a", "c"]);
    for id in ["b", "d", ""] {
        assert!(matches!(subscribers.get(id), Err(SubscriptionError::NotFound { id: found }) if found == id));
        assert!(matches!(subscribers.close(id), Err(SubscriptionError::NotFound { .. })));
    }
    // One that was closed by itself is gone as well.
    subscribers.get("c").unwrap().close();
    assert!(subscribers.get("c").is_err() && subscribers.close("c").is_err());
    subscribers.create("c", partition.view(), SubscriptionOptions::new()).unwrap();
    assert_eq!(ids(&subscribers), ["a", "c"]);
    assert_eq!((subscribers.close_all(), ids(&subscribers).len()), (2, 0));
}

#[test]
fn duplicate_subscription() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..10);
    let subscribers = OffsetSubscriber::new();
    let first = subscribers.create("s", partition.view(), from(OffsetSpec::ExactOffset(4.into()))).unwrap();
    let found = subscribers.create("s", partition.view(), SubscriptionOptions::new()).unwrap_err();
    assert!(matches!(&found, SubscriptionError::Exists { id } if id == "s"), "{found}");
    assert_eq!((first.is_active(), first.position().get(), subscribers.get("s").unwrap().position().get()), (true, 4, 4));
    // One that failed takes no id.
    assert!(subscribers.create("t", partition.view(), from(OffsetSpec::ExactOffset(11.into()))).is_err());
    subscribers.create("t", partition.view(), from(OffsetSpec::ExactOffset(10.into()))).unwrap();
}

#[test]
fn of_many_that_want_an_id_one_gets_it() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let subscribers = OffsetSubscriber::new();
    for round in 0..50 {
        let (barrier, id) = (Barrier::new(4), format!("s{round}"));
        let made = std::thread::scope(|scope| {
            let create = || {
                barrier.wait();
                subscribers.create(&id, partition.view(), SubscriptionOptions::new()).is_ok()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(create)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|made| *made).count()
        });
        assert_eq!(made, 1);
    }
    assert_eq!(subscribers.metrics().active_subscriptions, 50);
}

fn is_told(error: &SubscriptionError) -> bool {
    matches!(error, SubscriptionError::OffsetOutOfRange { .. } | SubscriptionError::Truncated { .. })
}

/// Five subscribers, each with threads that read, seek, look and close, beside a writer that also cuts: each record is what stands under its number.
#[test]
fn concurrent_offset_operations() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..10);
    let subscribers = OffsetSubscriber::new();
    let options = from(OffsetSpec::ResetToEarliest).on_out_of_range(OnOutOfRange::Earliest);
    std::thread::scope(|scope| {
        for number in 0..5 {
            let subscription = subscribers.create(&format!("s{number}"), partition.view(), options.clone()).unwrap();
            let other = subscription.clone();
            scope.spawn(move || {
                for _ in 0..300 {
                    if let Some(record) = subscription.next_record().unwrap() {
                        assert_eq!(record.value().unwrap(), crate::reading_support::numbered(record.offset().get()));
                    }
                }
            });
            scope.spawn(move || {
                for step in 0..100u64 {
                    other.seek_to_offset(step % 10).unwrap();
                    assert!(other.lag().unwrap() <= other.view().end_offset().get());
                    other.advance(1).map_or_else(|error| assert!(is_told(&error), "{error}"), |_| ());
                }
            });
        }
        scope.spawn(|| (0..100).for_each(|_| drop((subscribers.metrics(), subscribers.active()))));
        append_numbered(&partition, 10..500);
        for round in 0..50 {
            partition.truncate_suffix(10 + round).unwrap();
            append_numbered(&partition, 10 + round..200);
        }
    });
    assert_eq!(subscribers.close_all(), 5);
}

#[test]
fn metrics_count_what_was_done() {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    append_numbered(&partition, 0..10);
    let other = store.topic("u").unwrap().partition(0).unwrap();
    let subscribers = OffsetSubscriber::new();
    assert_eq!(subscribers.metrics(), SubscriberMetrics::default());
    let all = subscribers.create("all", partition.view(), from(OffsetSpec::ResetToEarliest)).unwrap();
    let even = tidelog::Filter::predicate(|record| record.offset().get() % 2 == 0);
    let half = subscribers.create("half", partition.view(), from(OffsetSpec::ResetToEarliest).filter(even)).unwrap();
    subscribers.create("idle", other.view(), SubscriptionOptions::new()).unwrap();
    (0..3).for_each(|_| drop(all.next_record().unwrap()));
    assert_eq!(drain(&half), [0, 2, 4, 6, 8]);
    let expected = SubscriberMetrics {
        active_subscriptions: 3,
        partitions: 2,
        records_delivered: 8,
        records_passed_by: 5,
        lag: 7,
        ..SubscriberMetrics::default()
    };
    assert_eq!(subscribers.metrics(), expected);
    assert_eq!((subscribers.active_at(partition.view()).len(), subscribers.active_at(other.view()).len()), (2, 1));
}

#[test]
fn validate_offset_range() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..10);
    partition.delete_prefix(3).unwrap();
    let seeker = OffsetSeeker::new(partition.view().clone());
    for (start, end) in [(3, 3), (3, 9), (9, 9), (5, 7)] {
        assert_eq!(seeker.validate_offset_range(start, end).unwrap(), (start as u64).into()..=(end as u64).into());
    }
    let hwm = 10.into();
    let cases = [
        (-1, 5, OffsetRangeError::NegativeStart { start: -1 }),
        (i64::MIN, i64::MIN, OffsetRangeError::NegativeStart { start: i64::MIN }),
        (5, 4, OffsetRangeError::Reversed { start: 5, end: 4 }),
        (5, -4, OffsetRangeError::Reversed { start: 5, end: -4 }),
        (2, 5, OffsetRangeError::StartDeleted { start: 2.into(), log_start: 3.into() }),
        (10, 10, OffsetRangeError::StartBeyondEnd { start: 10.into(), visible_end: hwm }),
        (i64::MAX, i64::MAX, OffsetRangeError::StartBeyondEnd { start: (i64::MAX as u64).into(), visible_end: hwm }),
        (5, 10, OffsetRangeError::EndBeyondEnd { end: 10.into(), visible_end: hwm }),
    ];
    for (start, end, expected) in cases {
        assert_eq!(format!("{:?}", seeker.validate_offset_range(start, end).unwrap_err()), format!("{expected:?}"));
    }
}

#[test]
fn get_available_offset_range() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let view = home.read_only();
    let range = |earliest: u64, latest: Option<u64>, end: u64| AvailableOffsets {
        earliest: earliest.into(),
        latest: latest.map(Into::into),
        high_water_mark: end.into(),
        end: end.into(),
    };
    let check = |expected| {
        for view in [partition.view(), &view] {
            assert_eq!(OffsetSeeker::new(view.clone()).available_offset_range().unwrap(), expected);
        }
    };
    check(range(0, None, 0));
    append_numbered(&partition, 0..10);
    check(range(0, Some(9), 10));
    partition.delete_prefix(4).unwrap();
    check(range(4, Some(9), 10));
    restore(&partition, 20, &["20"]);
    check(range(4, Some(20), 21));
    partition.truncate_suffix(20).unwrap();
    check(range(4, Some(9), 20));
    partition.delete_prefix(20).unwrap();
    check(range(20, None, 20));
}

/// A view that shows what is written has an end of its own, and calls no other mark the high water mark; one of another process looks first.
#[test]
fn a_seeker_tells_the_marks_by_their_names() {
    let home = Home::new();
    let (_store, partition) = home.partition(small().sync_policy(SyncPolicy::Interval(Duration::from_secs(60))));
    let early = OffsetSeeker::new(home.read_only());
    append_numbered(&partition, 0..10);
    partition.flush().unwrap();
    assert_eq!(early.validate_offset_range(0, 9).unwrap(), 0.into()..=9.into());
    append_numbered(&partition, 10..15);
    let written = OffsetSeeker::new(partition.view().with_isolation(ReadIsolation::Written));
    let found = written.available_offset_range().unwrap();
    assert_eq!((found.latest, found.high_water_mark.get(), found.end.get()), (Some(14.into()), 10, 15));
    assert!(matches!(written.validate_offset_range(3, 15), Err(OffsetRangeError::EndBeyondEnd { visible_end, .. }) if visible_end == 15));
    let found = OffsetSeeker::new(partition.view().clone()).available_offset_range().unwrap();
    assert_eq!((found.latest, found.high_water_mark.get(), found.end.get()), (Some(9.into()), 10, 10));
}

/// A cut between the look at the end and the one at the record before it is no answer.
#[test]
fn available_offsets_beside_cuts() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..10);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let seeker = OffsetSeeker::new(partition.view().clone());
            while !is_over.load(Ordering::SeqCst) {
                match seeker.available_offset_range() {
                    Ok(found) => assert_eq!(found.latest.map(|last| last.get() + 1), Some(found.end.get()), "{found:?}"),
                    Err(error) => assert!(error.is_busy(), "{error}"),
                }
            }
        });
        for _ in 0..300 {
            partition.truncate_suffix(5).unwrap();
            append_numbered(&partition, 5..10);
        }
        is_over.store(true, Ordering::SeqCst);
    });
}

#[test]
fn get_offset_info() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    partition.append(Record::new("v").timestamp(ts(7))).unwrap();
    restore(&partition, 3, &["3"]);
    let seeker = OffsetSeeker::new(partition.view().clone());
    assert_eq!(seeker.offset_info(0).unwrap(), OffsetInfo { offset: 0.into(), timestamp: Some(ts(7)) });
    assert!(seeker.offset_info(3).unwrap().exists());
    for absent in [1, 2, 4, u64::MAX] {
        assert_eq!(seeker.offset_info(absent).unwrap(), OffsetInfo { offset: absent.into(), timestamp: None });
    }
    partition.delete_prefix(1).unwrap();
    assert!(!seeker.offset_info(0).unwrap().exists());
    assert_eq!(seeker.seek_to_timestamp(ts(7)).unwrap().map(|offset| offset.get()), Some(3), "what was deleted has no time any more");
    assert_eq!(seeker.seek_to_timestamp(ts(i64::MAX)).unwrap(), None);
}
