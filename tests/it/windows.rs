//! Partitions that append slowly store through small windows of their files: what stands at the edges, and what is done without one.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use tidelog::io::Disk;
use tidelog::io::fault::{Call, EIO, Fault, Faulty, Op};
use tidelog::{AckLevel, Partition, Record, StoreOptions, SyncPolicy};

use crate::support::{mapped_kib, partition, partition_dir, tempdir, value};

/// As large as what is stored rather than written, and so many that a partition is slow that appends them now and then.
const RECORD_BYTES: usize = 3500;
const STEP_RECORDS: u64 = 17;
const STEP_BYTES: u64 = STEP_RECORDS * RECORD_BYTES as u64;
const WINDOW_BYTES: u64 = 1 << 20;
const WINDOW_ALIGN: u64 = 64 << 10;

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

/// What was called since this was asked.
fn calls(disk: &Faulty) -> Vec<Call> {
    let calls = disk.recorded_calls();
    disk.record_calls();
    calls
}

fn is_window(call: &Call) -> bool {
    call.op == Op::Map && call.bytes == WINDOW_BYTES
}

/// Where windows began, in the order in which they were mapped.
fn windows(calls: &[Call]) -> Vec<u64> {
    calls.iter().filter(|call| is_window(call)).map(|call| call.position).collect()
}

#[test]
fn a_slow_partition_goes_from_window_to_window() {
    let (dir, disk) = (tempdir(), Faulty::new(Arc::new(Disk::new())));
    calls(&disk);
    let store = options(&disk).open(dir.path()).unwrap();
    let log = partition(&store).unwrap();
    append(&log, 1, SLOW);
    let held = log.view().read_from(0).unwrap().next().unwrap().unwrap();
    append(&log, 59, SLOW);
    let slow = windows(&calls(&disk));
    assert!(slow.len() >= 3 && slow[0] == 0 && slow.is_sorted_by(|a, b| a < b), "{slow:?}");
    check(&log, 60);
    log.flush().unwrap(); // pages of the window are released

    append(&log, 12, Duration::ZERO);
    let mut since_busy = calls(&disk);
    append(&log, 48, SLOW); // uses up what is ready ahead
    since_busy.extend(calls(&disk));
    // Pages that are present in the map are not asked for again in a window.
    let (mut filled, mut later) = (0, 0);
    for call in &since_busy {
        if call.op == Op::Write && call.path.extension() == Some("log".as_ref()) {
            filled = filled.max(call.position + call.bytes);
        } else if is_window(call) && call.position > 72 * STEP_BYTES {
            assert!(later > 0 || call.position + WINDOW_ALIGN >= filled, "a window at {}, filled up to {filled}", call.position);
            later += 1;
        }
    }
    assert!(later > 0, "{since_busy:?}");
    check(&log, 120);
    assert_eq!(held.value().unwrap(), value_at(0));

    append(&log, 100, Duration::ZERO);
    let busy = windows(&calls(&disk));
    assert!(busy.len() <= 2, "a partition that is busy goes on through windows: {busy:?}");
    check(&log, 220);

    log.flush().unwrap();
    drop((store, log));
    let store = options(&disk).open(dir.path()).unwrap();
    check(&partition(&store).unwrap(), 220);
}

/// What is too large to be stored is written, over the end of the window, and what is stored next gets another.
#[test]
fn a_batch_is_written_over_the_end_of_a_window() {
    let (dir, disk) = (tempdir(), Faulty::new(Arc::new(Disk::new())));
    let store = options(&disk).open(dir.path()).unwrap();
    let log = partition(&store).unwrap();
    let large = 17 * STEP_RECORDS;
    let value_at = |offset: u64| value(offset, if offset == large { 60_000 } else { RECORD_BYTES });
    for offset in 0..large + 40 {
        if offset == large - 1 {
            calls(&disk);
        }
        let ack = log.append_with(Record::new(&value_at(offset)), AckLevel::Written).unwrap();
        assert_eq!(ack.base_offset.get(), offset);
        if (offset + 1) % STEP_RECORDS == 0 || offset == large {
            sleep(SLOW);
        }
    }
    let calls = calls(&disk);
    let is_over =
        |call: &Call| call.op == Op::Write && call.bytes > 60_000 && call.position < WINDOW_BYTES && call.position + call.bytes > WINDOW_BYTES;
    let written = calls.iter().position(is_over).expect("a write over the end of the first window");
    assert!(calls[written..].iter().any(is_window), "{calls:?}");
    for (record, offset) in log.view().read_from(0).unwrap().zip(0..) {
        assert_eq!(record.unwrap().value().unwrap(), value_at(offset), "{offset}");
    }
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
