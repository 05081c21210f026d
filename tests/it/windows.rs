//! Partitions that append slowly store through small windows of their files: what stands at the edges, and what is done without one.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use tidelog::io::Disk;
use tidelog::io::fault::{EIO, Fault, Faulty, Op};
use tidelog::{AckLevel, Partition, Record, StoreOptions, SyncPolicy};

use crate::support::{mapped_kib, partition, partition_dir, tempdir, value};

/// As large as what is stored rather than written, and so many that a partition is slow that appends them now and then.
const RECORD_BYTES: usize = 3500;
const STEP_RECORDS: u64 = 17;
const STEP_BYTES: u64 = STEP_RECORDS * RECORD_BYTES as u64;
const WINDOW_BYTES: u64 = 1 << 20;

fn options(disk: &Faulty) -> StoreOptions {
    StoreOptions::new().sync_policy(SyncPolicy::OsOnly).storage(Arc::new(disk.clone()))
}

/// Now and then one that is written rather than stored, perhaps over the end of the window.
fn value_at(offset: u64) -> Vec<u8> {
    value(offset, if offset % 300 == 199 { 66_000 } else { RECORD_BYTES })
}

fn append(partition: &Partition, steps: usize, pause: Duration) {
    for _ in 0..steps {
        for _ in 0..STEP_RECORDS {
            let offset = partition.log_end_offset().get();
            partition.append_with(Record::new(&value_at(offset)), AckLevel::Written).unwrap();
        }
        sleep(pause);
    }
}

fn check(partition: &Partition, steps: u64) {
    let mut next = 0;
    for record in partition.view().read_from(0).unwrap() {
        let record = record.unwrap();
        assert_eq!((record.offset().get(), record.value().unwrap()), (next, &value_at(next)[..]));
        next += 1;
    }
    assert_eq!(next, steps * STEP_RECORDS);
}

/// Where windows began since this was asked, in the order in which they were mapped.
fn windows(disk: &Faulty) -> Vec<u64> {
    let calls = disk.recorded_calls();
    disk.record_calls();
    calls.iter().filter(|call| call.op == Op::Map && call.bytes == WINDOW_BYTES).map(|call| call.position).collect()
}

#[test]
fn a_slow_partition_goes_from_window_to_window() {
    let (dir, disk) = (tempdir(), Faulty::new(Arc::new(Disk::new())));
    windows(&disk);
    let store = options(&disk).open(dir.path()).unwrap();
    let log = partition(&store).unwrap();
    append(&log, 1, SLOW);
    let held = log.view().read_from(0).unwrap().next().unwrap().unwrap();
    append(&log, 59, SLOW);
    let slow = windows(&disk);
    assert!(slow.len() >= 3 && slow[0] == 0 && slow.is_sorted_by(|a, b| a < b), "{slow:?}");
    check(&log, 60);
    log.flush().unwrap(); // pages of the window are released

    append(&log, 12, Duration::ZERO);
    let busy = windows(&disk);
    assert!(busy.len() <= 1, "a partition that is busy goes on through windows: {busy:?}");
    append(&log, 48, SLOW); // uses up what is ready ahead
    let slow = windows(&disk);
    assert!(!slow.is_empty() && slow[0] > 72 * STEP_BYTES, "{slow:?}");
    check(&log, 120);
    assert_eq!(held.value().unwrap(), value_at(0));

    log.flush().unwrap();
    drop((store, log));
    let store = options(&disk).open(dir.path()).unwrap();
    check(&partition(&store).unwrap(), 120);
}

/// Also where its pages are mapped twice.
#[test]
fn synced_pages_of_a_slow_partition_are_not_mapped() {
    let (dir, disk) = (tempdir(), Faulty::new(Arc::new(Disk::new())));
    let store = options(&disk).without_threads().open(dir.path()).unwrap();
    let log = partition(&store).unwrap();
    append(&log, 4, SLOW);
    let before = mapped_kib(&partition_dir(dir.path()));
    log.flush().unwrap();
    let after = mapped_kib(&partition_dir(dir.path()));
    assert!(before >= 4 * STEP_BYTES / 1024 && after <= 16, "{before} KiB before the sync, {after} KiB behind it");
    check(&log, 4);
}

/// As on a kernel that gives this process no more maps.
#[test]
fn a_window_that_is_not_to_be_had_is_done_without() {
    let (dir, disk) = (tempdir(), Faulty::new(Arc::new(Disk::new())));
    let store = options(&disk).open(dir.path()).unwrap();
    let log = partition(&store).unwrap();
    disk.inject(Fault::at(Op::Map).from_then_on().error(EIO));
    append(&log, 40, SLOW);
    assert!(disk.fired() > 0);
    check(&log, 40);
    disk.heal();
    append(&log, 40, SLOW);
    check(&log, 80);
}

/// Well above the time in which a busy partition appends as much.
const SLOW: Duration = Duration::from_millis(45);
