//! Long polls and iterators that wait: woken by the append, a seek or a close, and by nothing else. A lost wake-up shows as a test that hangs for
//! as long as it was told to wait at most, which is far longer than it may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tidelog::{
    AckLevel, Filter, LogOffsetStore, OffsetSpec, PageLimits, Partition, Record, SeekOutcome, Store, Subscription, SubscriptionError,
    SubscriptionOptions, SyncPolicy,
};

use crate::reading_support::{Home, append_numbered, eventually, numbered, small};
use crate::subscription::{drain, from, offsets};

const LONG: Duration = Duration::from_secs(60);

fn latest(partition: &Partition) -> Subscription {
    partition.subscribe("s", from(OffsetSpec::ResetToLatest)).unwrap()
}

/// Runs something that waits, and returns once the kernel has its thread asleep.
pub(crate) fn spawn_until_asleep<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let (tell, hear) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        tell.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
        work()
    });
    let stat = std::path::Path::new("/proc").join(hear.recv().unwrap()).join("stat");
    let state = || std::fs::read_to_string(&stat).ok().and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('S')));
    eventually("it falls asleep", || state() == Some(true));
    thread
}

/// D14: a long poll waits for a record and is woken by its append.
#[test]
fn d14_a_long_poll_is_woken_by_the_append() {
    for options in [small(), small().sync_policy(SyncPolicy::default())] {
        let home = Home::new();
        let (_store, partition) = home.partition(options);
        let subscription = latest(&partition);
        for number in 0..20 {
            let polling = {
                let subscription = subscription.clone();
                std::thread::spawn(move || subscription.poll(LONG).unwrap())
            };
            partition.append_with(Record::new(&numbered(number)), AckLevel::Durable).unwrap();
            let page = polling.join().unwrap();
            assert_eq!((offsets(&page), page.next_offset.get(), page.at_end), (vec![number], number + 1, true));
        }
    }
}

#[test]
fn a_poll_ends_in_time_and_moves_nothing() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let subscription = latest(&partition);
    for millis in [0, 1, 30] {
        let (limit, began) = (Duration::from_millis(millis), Instant::now());
        let page = subscription.poll(limit).unwrap();
        // Late by what a busy machine takes, not by what some other wait does.
        assert!((limit..limit + LONG / 6).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert_eq!((page.records.len(), page.at_end, subscription.position().get()), (0, true, 0));
    }
    append_numbered(&partition, 0..1);
    assert_eq!(offsets(&subscription.poll(Duration::MAX).unwrap()), [0]);
}

/// Records that the filter does not let through wake nobody up but the poll itself, which goes on waiting.
#[test]
fn a_poll_waits_for_a_record_that_passes() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let options = from(OffsetSpec::ResetToLatest).filter(Filter::key("yes"));
    let subscription = partition.subscribe("s", options).unwrap();
    let polling = {
        let subscription = subscription.clone();
        std::thread::spawn(move || subscription.poll(LONG).unwrap())
    };
    for number in 0..50u64 {
        partition.append_with(Record::new("v").key("no"), AckLevel::Written).unwrap();
        eventually("what does not pass is passed by", || subscription.position() == number + 1);
        assert!(!polling.is_finished());
    }
    partition.append_with(Record::new("v").key("yes"), AckLevel::Written).unwrap();
    assert_eq!(offsets(&polling.join().unwrap()), [50]);
    assert_eq!(subscription.info().records_passed_by, 50);
}

#[test]
fn a_poll_looks_at_so_many_records_in_all() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let limits = PageLimits { scanned_records: 10, ..PageLimits::default() };
    let options = from(OffsetSpec::ResetToLatest).filter(Filter::key("yes")).limits(limits);
    let subscription = partition.subscribe("s", options).unwrap();
    let polling = std::thread::spawn(move || subscription.poll(LONG).unwrap());
    let mut appended = 0;
    while !polling.is_finished() {
        partition.append_with(Record::new("v").key("no"), AckLevel::Written).unwrap();
        appended += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    let page = polling.join().unwrap();
    assert_eq!((page.records.len(), page.next_offset.get(), page.at_end), (0, 10, false));
    assert!(appended > 10);
}

#[test]
fn a_close_ends_every_wait() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..3);
    for view in [partition.view().clone(), home.read_only()] {
        let subscription = view.subscribe("s", from(OffsetSpec::ResetToEarliest)).unwrap();
        assert_eq!(drain(&subscription), [0, 1, 2]);
        let (poller, iterator) = (subscription.clone(), subscription.clone());
        let polling = spawn_until_asleep(move || poller.poll(Duration::MAX));
        let iterating = spawn_until_asleep(move || iterator.records().count());
        assert!(!polling.is_finished() && !iterating.is_finished());
        subscription.close();
        assert!(matches!(polling.join().unwrap(), Err(SubscriptionError::Closed { .. })));
        assert_eq!(iterating.join().unwrap(), 0);
    }
}

/// The same where no writer is there, and none comes; and one that comes and goes is noticed.
#[test]
fn who_waits_without_a_writer_is_reached() {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    append_numbered(&partition, 0..10);
    drop(partition);
    store.close().unwrap();
    let view = home.read_only();
    let subscription = view.subscribe("s", from(OffsetSpec::ResetToLatest)).unwrap();
    let poller = subscription.clone();
    let polling = spawn_until_asleep(move || poller.poll(LONG).unwrap());
    subscription.seek_to_offset(8).unwrap();
    assert_eq!(offsets(&polling.join().unwrap()), [8, 9]);
    let poller = subscription.clone();
    let polling = spawn_until_asleep(move || poller.poll(LONG).unwrap());
    let (store, partition) = home.partition(small());
    append_numbered(&partition, 10..11);
    drop(partition);
    store.close().unwrap();
    assert_eq!(offsets(&polling.join().unwrap()), [10]);
    let poller = subscription.clone();
    let polling = spawn_until_asleep(move || poller.poll(Duration::MAX));
    subscription.close();
    assert!(matches!(polling.join().unwrap(), Err(SubscriptionError::Closed { .. })));
}

/// Who waits at the end is told when somebody seeks back.
#[test]
fn a_seek_reaches_who_waits() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..10);
    for view in [partition.view().clone(), home.read_only()] {
        let subscription = view.subscribe("s", from(OffsetSpec::ResetToLatest)).unwrap();
        let poller = subscription.clone();
        let polling = spawn_until_asleep(move || poller.poll(LONG).unwrap());
        subscription.seek_to_offset(8).unwrap();
        assert_eq!(offsets(&polling.join().unwrap()), [8, 9]);
    }
}

/// Again and again, so that seeks meet the poll at every step of falling asleep.
#[test]
fn no_seek_is_slept_through() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..1);
    let subscription = latest(&partition);
    let (tell, hear) = std::sync::mpsc::channel();
    let poller = subscription.clone();
    let polling = std::thread::spawn(move || {
        while let Ok(page) = poller.poll(Duration::MAX) {
            tell.send(offsets(&page)).unwrap();
        }
    });
    for _ in 0..3000 {
        subscription.seek_to_offset(0).unwrap();
        assert_eq!(hear.recv_timeout(Duration::from_secs(20)).expect("a seek was slept through"), [0]);
    }
    subscription.close();
    polling.join().unwrap();
}

/// Once the store is closed nothing can come, and everything that came is still handed out.
#[test]
fn a_closed_store_ends_iterators_after_their_last_record() {
    for options in [small(), small().sync_policy(SyncPolicy::Interval(LONG))] {
        let home = Home::new();
        let (store, partition) = home.partition(options);
        append_numbered(&partition, 0..100);
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest)).unwrap();
                std::thread::spawn(move || {
                    (subscription.records().map(Result::unwrap).count(), subscription.poll(Duration::MAX).unwrap().records.len())
                })
            })
            .collect();
        append_numbered(&partition, 100..200);
        drop(partition);
        store.close().unwrap();
        for reader in readers {
            assert_eq!(reader.join().unwrap(), (200, 0));
        }
    }
}

/// None is lost, whoever sleeps or wakes when: many subscribers, one writer, each record to each of them.
#[test]
fn every_append_reaches_every_subscriber() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let count = 5000;
    std::thread::scope(|scope| {
        for number in 0..6 {
            let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest)).unwrap();
            scope.spawn(move || {
                let mut next = 0;
                while next < count {
                    let records = match number % 2 {
                        0 => subscription.records().take(1).map(Result::unwrap).collect(),
                        _ => subscription.poll(LONG).unwrap().records,
                    };
                    assert!(!records.is_empty(), "a wake-up was lost at {next}");
                    for record in records {
                        assert_eq!((record.offset().get(), record.value().unwrap()), (next, numbered(next).as_slice()));
                        next += 1;
                    }
                }
            });
        }
        append_numbered(&partition, 0..count);
    });
}

/// A hundred sleep at once, and one append wakes them all.
#[test]
fn one_append_wakes_a_hundred_subscribers() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let woken = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..100)
        .map(|_| {
            let (subscription, woken) = (latest(&partition), woken.clone());
            std::thread::spawn(move || {
                woken.fetch_add(subscription.poll(LONG).unwrap().records.len() as u64, Ordering::SeqCst);
            })
        })
        .collect();
    append_numbered(&partition, 0..1);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(woken.load(Ordering::SeqCst), 100);
}

/// From another process, or as here from a store that was opened read-only, it is the writer's page that wakes.
#[test]
fn a_read_only_subscriber_follows_the_writer() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let subscription = home.read_only().subscribe("s", from(OffsetSpec::ResetToEarliest)).unwrap();
    let reading = std::thread::spawn(move || subscription.records().take(500).map(|record| record.unwrap().offset().get()).collect::<Vec<_>>());
    append_numbered(&partition, 0..500);
    assert_eq!(reading.join().unwrap(), (0..500).collect::<Vec<_>>());
}

/// The counterpart of the integration tests by that name: append, subscribe, seek, commit, close and start again, in one go.
#[test]
fn end_to_end_offset_flow() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    // Publish, and see offsets assigned.
    let acks: Vec<_> = (0..5u64).map(|number| partition.append(Record::new(&numbered(number)).key("k")).unwrap().base_offset.get()).collect();
    assert_eq!(acks, [0, 1, 2, 3, 4]);
    // Create and use a subscription.
    let options = |store: &Store, partition: &Partition| {
        let positions = Arc::new(LogOffsetStore::open(store).unwrap());
        SubscriptionOptions::new().group(crate::subscription::group(partition, "g", &positions))
    };
    let subscription = partition.subscribe("s", options(&store, &partition)).unwrap();
    let page = subscription.page_within(PageLimits { records: 3, ..PageLimits::default() }).unwrap();
    assert_eq!((offsets(&page), subscription.lag().unwrap()), (vec![0, 1, 2], 2));
    // Seek, and look at ranges.
    subscription.seek_to_offset(1).unwrap();
    assert_eq!(subscription.offset_range(10).unwrap().count, 4);
    subscription.next_record().unwrap().unwrap();
    assert_eq!(subscription.commit().unwrap(), 2);
    // Numbers.
    let info = subscription.info();
    assert_eq!((info.position.get(), info.lag, info.is_at_end, info.records_delivered, info.is_active), (2, 3, false, 4, true));
    // Over a restart, of the positions as well.
    drop((partition, subscription));
    store.close().unwrap();
    let store = Store::open(home.path()).unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    let subscription = partition.subscribe("s", options(&store, &partition)).unwrap();
    assert_eq!(subscription.started().outcome, SeekOutcome::Resumed);
    partition.append(Record::new(&numbered(5))).unwrap();
    assert_eq!(drain(&subscription), [2, 3, 4, 5]);
}
