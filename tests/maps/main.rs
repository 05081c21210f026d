//! Maps of segments are a budget of the process: what is not used gives its map back, and every record is served meanwhile. A process of its
//! own, because the budget is. `TIDELOG_MAPS_SEGMENTS=N` reads a log of so many segments under the limit that the kernel sets: `.ci/long many`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, which clippy.toml does not know")]
#![allow(clippy::disallowed_methods, reason = "what the kernel says is not read through the engine")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tidelog::{AckLevel, Partition, Record, Store, StoreOptions, SyncPolicy};

/// The budget is the process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());
const LIMIT: usize = 16;
const VALUE_BYTES: usize = 40 << 10; // one to a segment

fn limited() -> MutexGuard<'static, ()> {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    tidelog::limit_maps(LIMIT);
    alone
}

/// How many segments under `dir` this process maps.
fn mapped(dir: &Path) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.ends_with(".log") && line.contains(dir.to_str().unwrap())).count()
}

fn value(offset: u64) -> Vec<u8> {
    offset.to_le_bytes().repeat(VALUE_BYTES / 8)
}

fn append(partition: &Partition, count: u64) {
    for _ in 0..count {
        let offset = partition.log_end_offset().get();
        partition.append_with(Record::new(&value(offset)), AckLevel::Written).unwrap();
    }
}

fn store(dir: &Path, segments: u64) -> (Store, Partition) {
    let options = || StoreOptions::new().segment_bytes(64 << 10).sync_policy(SyncPolicy::OsOnly);
    let store = options().open(dir).unwrap();
    append(&store.topic("t").unwrap().partition(0).unwrap(), segments);
    store.close().unwrap();
    let store = options().open(dir).unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    thread::sleep(Duration::from_millis(200)); // after a round in which little was given back, nobody is asked for a while
    (store, partition)
}

fn check(partition: &Partition, offset: u64) {
    assert_eq!(partition.get(offset).unwrap().value().unwrap(), value(offset), "{offset}");
}

#[test]
fn maps_stay_within_the_budget_and_every_record_is_served() {
    let _alone = limited();
    let tmp = tempfile::tempdir().unwrap();
    let (_store, partition) = store(tmp.path(), 200);
    let held: Vec<_> = (0..4_u64).map(|offset| partition.get(offset).unwrap()).collect();
    let mut most = 0;
    for offset in 0..200 {
        check(&partition, offset);
        most = most.max(mapped(tmp.path()));
    }
    assert!((LIMIT / 2..=LIMIT).contains(&most), "{most} segments mapped at once");
    let scanned = partition.read_from(0).unwrap().map(|record| record.unwrap().value().unwrap().to_vec());
    assert!(scanned.eq((0..200).map(value)), "a scan");
    // Who is used again and again keeps its map, whoever comes by.
    for offset in 10..150 {
        check(&partition, 100);
        check(&partition, offset);
    }
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps.contains("00000000000000000100-"), "the segment that is used most lost its map");
    for (offset, record) in (0_u64..).zip(held) {
        assert_eq!(record.value().unwrap(), value(offset), "held all the time");
    }
    appends_cuts_and_reads_go_on_beside_it(tmp.path(), &partition);
}

struct SetOnDrop<'flag>(&'flag AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Segments lose their maps while others roll, delete and truncate.
fn appends_cuts_and_reads_go_on_beside_it(dir: &Path, partition: &Partition) {
    let (done, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for reader in 0..2 {
            let (done, reads) = (&done, &reads);
            scope.spawn(move || {
                let mut offset = reader;
                while !done.load(Ordering::Relaxed) {
                    offset = (offset * 6_364_136_223 + 1_442_695_041) % 150;
                    if let Ok(record) = partition.get(offset) {
                        assert_eq!(record.value().unwrap(), value(offset), "{offset}");
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let _ends_readers = SetOnDrop(&done); // also where something below fails
        let mut most = 0;
        for round in 0..20_u64 {
            append(partition, 5);
            partition.truncate_suffix(partition.log_end_offset().get() - 3).unwrap();
            partition.delete_prefix(round).unwrap();
            most = most.max(mapped(dir));
        }
        // Each of three threads may look at the count before another adds to it, and hold one that was given back.
        assert!(most <= LIMIT + 6, "{most} segments mapped");
    });
    assert!(reads.into_inner() > 100, "the readers read");
    for offset in partition.log_start_offset().get()..partition.log_end_offset().get() {
        check(partition, offset);
    }
}

#[test]
fn appends_alone_stay_within_the_budget_too() {
    let _alone = limited();
    let tmp = tempfile::tempdir().unwrap();
    let store = StoreOptions::new().segment_bytes(64 << 10).sync_policy(SyncPolicy::OsOnly).open(tmp.path()).unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    append(&partition, 100);
    partition.flush().unwrap();
    let most = mapped(tmp.path());
    assert!((1..=LIMIT).contains(&most), "{most} segments mapped");
    for offset in 0..100 {
        check(&partition, offset);
    }
}

#[test]
fn a_log_of_very_many_segments_takes_half_of_the_maps() {
    let Some(segments) = std::env::var("TIDELOG_MAPS_SEGMENTS").ok().map(|text| text.parse::<u64>().unwrap()) else {
        return println!("SKIPPED: TIDELOG_MAPS_SEGMENTS does not say how many segments");
    };
    let tmp = tempfile::tempdir().unwrap();
    let (_store, partition) = store(tmp.path(), segments);
    (0..segments).for_each(|offset| check(&partition, offset));
    let allowed: usize = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    let mapped = mapped(tmp.path());
    println!("{segments} segments read through: {mapped} mapped, of {allowed} maps that the kernel allows");
    assert!(mapped <= allowed / 2);
}

/// A window through which a slow partition stores is given back before another partition goes without a map.
#[test]
fn windows_make_room_for_maps() {
    let _alone = limited();
    let tmp = tempfile::tempdir().unwrap();
    let store = StoreOptions::new().sync_policy(SyncPolicy::OsOnly).open(tmp.path()).unwrap();
    let topic = store.create_topic("slow", LIMIT as u32 - 1).unwrap();
    let (mut partitions, mut most) = (Vec::new(), 0);
    for number in 0..topic.partition_count() {
        thread::sleep(Duration::from_millis(110)); // as above
        let partition = topic.partition(number).unwrap();
        // Small enough to be stored rather than written.
        partition.append_with(Record::new(&number.to_le_bytes()), AckLevel::Written).unwrap();
        partitions.push(partition);
        most = most.max(mapped(tmp.path()));
    }
    assert!(most > LIMIT / 2 && most <= LIMIT, "{most} maps at once");
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    for number in 0..topic.partition_count() {
        assert!(maps.contains(&format!("/slow/{number}/")), "partition {number} has no map");
    }
    for (number, partition) in (0_u32..).zip(&partitions) {
        append(partition, 2);
        assert_eq!(partition.get(0).unwrap().value().unwrap(), number.to_le_bytes());
        [1, 2].into_iter().for_each(|offset| check(partition, offset));
    }
    assert!(mapped(tmp.path()) <= LIMIT);
}
