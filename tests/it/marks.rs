//! The marks of a partition: what always holds between them, whatever goes on meanwhile, and what each of them says.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidelog::{AckLevel, LogEnd, LogStart, Marks, Partition, PartitionView, Record, Store, StoreOptions, SyncPolicy};

use crate::reading_support::{Home, Random, append_numbered, small};
use crate::support::tempdir;

fn group() -> StoreOptions {
    small().sync_policy(SyncPolicy::Group { max_wait: Duration::ZERO, max_bytes: 1 << 20 })
}

fn assert_ordered(marks: Marks) {
    let (log_start, high_water_mark) = (marks.log_start.offset(), marks.high_water_mark.offset());
    let (durable_end, log_end) = (marks.durable_end.offset(), marks.log_end.offset());
    assert!(log_start <= high_water_mark && high_water_mark <= log_end && durable_end <= log_end, "{marks:?}");
    assert_eq!(marks.last_stable.offset(), high_water_mark);
}

/// Offsets of a moment: log start, durable end, high water mark, log end.
fn offsets(marks: Marks) -> [u64; 4] {
    assert_ordered(marks);
    [marks.log_start.offset(), marks.durable_end.offset(), marks.high_water_mark.offset(), marks.log_end.offset()].map(Into::into)
}

#[test]
fn each_mark_says_what_it_is() {
    let home = Home { dir: tempdir() };
    let (store, partition) = home.partition(small());
    assert_eq!(offsets(partition.marks()), [0, 0, 0, 0]);
    assert_eq!((partition.marks().visible(), partition.marks().last_visible()), (0, None));
    append_numbered(&partition, 0..10);
    // Whoever syncs by the operating system's leave shows at once what is written.
    assert_eq!(offsets(partition.marks()), [0, 0, 10, 10]);
    partition.flush().unwrap();
    append_numbered(&partition, 10..13);
    assert_eq!(offsets(partition.marks()), [0, 10, 13, 13]);
    partition.delete_prefix(4).unwrap();
    assert_eq!(offsets(partition.marks()), [4, 13, 13, 13]);
    assert_eq!((partition.marks().visible(), partition.marks().last_visible()), (9, Some(12.into())));
    partition.truncate_suffix(6).unwrap();
    assert_eq!(offsets(partition.marks()), [4, 6, 6, 6]);
    store.close().unwrap();
    let (_store, partition) = home.partition(group());
    partition.append_with(Record::new("not yet durable"), AckLevel::Written).unwrap();
    let [log_start, durable_end, high_water_mark, log_end] = offsets(partition.marks());
    assert_eq!((log_start, log_end), (4, 7));
    assert_eq!(durable_end, high_water_mark, "what is not durable is not shown");
    partition.flush().unwrap();
    assert_eq!(offsets(partition.marks()), [4, 7, 7, 7]);
    assert_eq!(offsets(home.read_only().marks()), [4, 7, 7, 7]);
}

#[test]
fn marks_of_one_kind_are_ordered() {
    let home = Home { dir: tempdir() };
    let (_store, partition) = home.partition(small());
    let before: (LogStart, LogEnd) = (partition.marks().log_start, partition.marks().log_end);
    append_numbered(&partition, 0..3);
    let after = partition.marks();
    assert!(after.log_end > before.1 && after.log_start == before.0);
    assert_eq!(after.log_end.to_string(), "3");
}

/// Cuts at both ends, as fast as they go, beside appends and syncs.
fn cut(partition: &Partition, random: &mut Random) {
    let marks = partition.marks();
    let (from, to) = (marks.log_start.offset().get(), marks.log_end.offset().get());
    match random.below(8) {
        0 => partition.truncate_suffix(to - random.below(to - from + 1) / 8).map(drop),
        1..4 => partition.delete_prefix(from + random.below(to - from + 1)),
        4 => partition.delete_prefix(to),
        _ => partition.flush().map(drop).map_err(Into::into),
    }
    .unwrap();
}

/// Reads marks until it is told to stop, and once more then; how many differed from those before. Whoever changes them waits until it has begun.
fn watch(view: &PartitionView, stop: &AtomicBool, begun: &Barrier, refresh: bool) -> u64 {
    let (mut before, mut changes, mut is_last) = (view.marks(), 0, false);
    begun.wait();
    while !is_last {
        is_last = stop.load(Ordering::Acquire);
        if refresh {
            // A writer that rolls and cuts all the time may be too fast for one refresh: the marks are then those before.
            let _ = view.refresh();
        }
        let now = view.marks();
        assert_ordered(now);
        assert!(now.log_start >= before.log_start, "the log start went back: {before:?}, {now:?}");
        (before, changes) = (now, changes + u64::from(now != before));
    }
    changes
}

fn check_under_load(options: StoreOptions, rounds: u64) {
    let home = Home { dir: tempdir() };
    let (_store, partition) = home.partition(options);
    let followed = home.read_only();
    let (stop, begun, appended) = (&AtomicBool::new(false), &Barrier::new(4), &AtomicU64::new(0));
    let changes = std::thread::scope(|scope| {
        let watchers = [(partition.view(), false), (&followed, true), (&followed, false)]
            .map(|(view, refresh)| scope.spawn(move || watch(view, stop, begun, refresh)));
        begun.wait();
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    partition.append_with(Record::new(&[7; 500]), AckLevel::Written).unwrap();
                    appended.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Else a test that fails would wait for the appends for ever.
        let _stops = Stop(stop);
        let mut random = Random::new(rounds);
        for _ in 0..rounds {
            let goal = appended.load(Ordering::Relaxed) + random.below(200);
            while appended.load(Ordering::Relaxed) < goal && watchers.iter().all(|watcher| !watcher.is_finished()) {
                std::thread::yield_now();
            }
            cut(&partition, &mut random);
        }
        stop.store(true, Ordering::Release);
        watchers.map(|watcher| watcher.join().unwrap())
    });
    assert!(changes.iter().all(|&changes| changes > 10), "too little was seen to say anything: {changes:?}");
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn marks_hold_under_appends_and_cuts_written() {
    check_under_load(small(), 200);
}

#[test]
fn marks_hold_under_appends_and_cuts_durable() {
    check_under_load(group(), 50);
}

/// A restore begins an empty log elsewhere: its marks go there together.
#[test]
fn marks_hold_while_an_empty_log_begins_elsewhere() {
    let home = Home { dir: tempdir() };
    let store: Store = small().open(home.path()).unwrap();
    let topic = store.create_topic("many", 64).unwrap();
    for number in 0..64 {
        let partition = topic.partition(number).unwrap();
        let (stop, begun, view) = (&AtomicBool::new(false), &Barrier::new(2), partition.view());
        let changes = std::thread::scope(|scope| {
            let watcher = scope.spawn(move || watch(view, stop, begun, false));
            let stops = Stop(stop);
            begun.wait();
            let mut batch = tidelog::RecordBatch::new();
            batch.push(&Record::new("restored")).unwrap();
            let place = tidelog::BatchPlace { base_offset: 1_000.into(), leader_epoch: tidelog::LeaderEpoch::new(3), producer_id: None };
            partition.restore(&batch, place).unwrap();
            drop(stops);
            watcher.join().unwrap()
        });
        assert!(changes > 0, "nothing was seen of the change");
        assert_eq!(offsets(partition.marks())[0], 1_000);
    }
}
