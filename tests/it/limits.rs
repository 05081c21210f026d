//! Limits that are promised: bytes read for a seek, sizes of records and batches, settings, descriptors.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidelog::io::fault::{EIO, ENOSPC, Fault, Faulty, Op};
use tidelog::{
    AckLevel, AppendError, ConfigError, Finding, Offset, OpenError, Partition, PartitionView, Record, RecordBatch, Start, StoreOptions, SyncPolicy,
    TimestampNs, Verdict,
};
use tidelog_format::{FileName, SegmentId};

use crate::reading_support::{Home, Random, append_numbered, batch, check_numbered, faulty, numbered, size, small, ts};
use crate::support::{copy_tree, segments};

/// What reading may cost besides what is asked for.
const SEEK_BYTES_MAX: u64 = 64 << 10;

fn time_of(random: &mut Random, number: u64) -> TimestampNs {
    let straggles = if random.below(20) == 0 { random.below(10_000_000_000) } else { random.below(2_000_000) };
    ts(1_700_000_000_000_000_000 + (number * 1_000_000) as i64 - straggles as i64)
}

/// Runs a read and returns its answer's size; fails if it took more than that and the limit.
fn check_cost(faulty: &Faulty, what: &str, read: impl FnOnce() -> u64) {
    faulty.reset_counts();
    let answer = read();
    let bytes = faulty.bytes_read();
    assert!(bytes > 0 && bytes <= answer + SEEK_BYTES_MAX, "{what}: {bytes} bytes read for an answer of {answer}");
}

fn check_seeks(faulty: &Faulty, view: &PartitionView, records: u64) {
    let value_bytes = |record: Option<Result<tidelog::StoredRecord, _>>| record.unwrap().unwrap().value().unwrap().len() as u64;
    let mut random = Random::new(1);
    check_cost(faulty, "the last 10", || {
        let last: Vec<_> = view.read(Start::Last(10)).unwrap().map(Result::unwrap).collect();
        assert_eq!((last.len(), last[9].offset().get()), (10, records - 1));
        last.iter().map(|record| record.value().unwrap().len() as u64).sum()
    });
    check_cost(faulty, "10 backwards", || {
        let mut backwards = view.read_backwards(records).unwrap();
        (0..10).map(|_| value_bytes(backwards.next())).sum()
    });
    for _ in 0..50 {
        let number = random.below(records);
        let time = ts(1_700_000_000_000_000_000 + (number * 1_000_000) as i64 - 500_000);
        check_cost(faulty, "a seek to a time", || {
            let mut reader = view.read(Start::Time(time)).unwrap();
            let record = reader.next().unwrap().unwrap();
            assert!(record.timestamp() >= time);
            record.value().unwrap().len() as u64
        });
        check_cost(faulty, "a point read", || view.get(number).unwrap().value().unwrap().len() as u64);
        check_cost(faulty, "10 from the middle backwards", || {
            let mut backwards = view.read_backwards(number.max(10)).unwrap();
            (0..10).map(|_| value_bytes(backwards.next())).sum()
        });
    }
    let (first, last) = (ts(i64::MIN), ts(i64::MAX));
    check_cost(faulty, "the earliest time", || view.offset_for_time(first).unwrap().unwrap().get() + 1);
    faulty.reset_counts();
    assert_eq!(view.offset_for_time(last).unwrap(), None);
    assert!(faulty.bytes_read() <= SEEK_BYTES_MAX, "{} bytes to find nothing", faulty.bytes_read());
}

/// In `TIDELOG_SEEK_RECORDS` records, seeks read an index block or two and a stretch of log: whoever reads, and whether a writer is there.
#[test]
fn a_seek_reads_little() {
    let records = size("TIDELOG_SEEK_RECORDS", 200_000);
    let home = Home::new();
    // Large enough that the last segment is far from empty.
    let segment_bytes = 4 << 20;
    let options = StoreOptions::new().sync_policy(SyncPolicy::OsOnly).segment_bytes(segment_bytes);
    let (store, partition) = home.partition(options.clone());
    let mut random = Random::new(2);
    let mut batch = RecordBatch::new();
    let mut number = 0;
    while number < records {
        if number % 5 == 0 {
            let record = Record::new(b"a value of one hundred bytes, or about that: enough for a record of a usual size in this log")
                .timestamp(time_of(&mut random, number));
            partition.append_with(record, AckLevel::Written).unwrap();
            number += 1;
            continue;
        }
        batch.clear();
        for _ in 0..(4 + random.below(20)).min(records - number) {
            let value = numbered(random.below(200));
            batch.push(&Record::new(&value).timestamp(time_of(&mut random, number))).unwrap();
            number += 1;
        }
        partition.append_batch(&batch, AckLevel::Written).unwrap();
    }
    let segments = partition.view().info().unwrap().segments as u64;
    assert!(segments > 2);
    // Beside the writer.
    let (faulty, seam) = faulty();
    faulty.allow_mapping(false);
    let open = || seam.clone().open_read_only(home.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
    check_seeks(&faulty, &open(), records);
    partition.flush().unwrap();
    drop(partition);
    store.close().unwrap();
    // Without one. The open reads headers, seals and slots, and no frames.
    faulty.reset_counts();
    let view = open();
    assert!(faulty.bytes_read() < 48 * 1024 + 2048 * segments, "{} bytes to open {segments} segments", faulty.bytes_read());
    check_seeks(&faulty, &view, records);
    // And in the process that writes, if it cannot map.
    faulty.reset_counts();
    let (_store, partition) = home.partition(options.storage(std::sync::Arc::new(faulty.clone())));
    let index_bytes = segment_bytes / 2048 * 16;
    assert!(faulty.bytes_read() < 64 * 1024 + 4096 * segments + index_bytes, "{} bytes to open for writing", faulty.bytes_read());
    check_seeks(&faulty, partition.view(), records);
}

/// Frames of a quarter of what is read at once, so that most reads end within one.
#[test]
fn a_scan_without_maps_reads_nothing_twice() {
    let home = Home::new();
    let (store, partition) = home.partition(StoreOptions::new());
    for number in 0..40 {
        partition.append(Record::new(&[number; 137_000])).unwrap();
    }
    drop(partition);
    store.close().unwrap();
    let (faulty, seam) = faulty();
    faulty.allow_mapping(false);
    let view = seam.open_read_only(home.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
    let scan = |held: usize| {
        let mut last = Vec::new();
        let mut records = 0;
        for found in view.read_from(0).unwrap() {
            // What somebody looks at still is left as it is.
            last.push(found.unwrap());
            records += 1;
            last.drain(..last.len().saturating_sub(held));
        }
        records
    };
    for held in [0, 3] {
        faulty.reset_counts();
        assert_eq!(scan(held), 40);
        let bytes = faulty.bytes_read();
        assert!((40 * 137_000..40 * 137_000 + SEEK_BYTES_MAX).contains(&bytes), "{bytes} bytes read, {held} records held");
    }
}

/// A reader without maps keeps no descriptor of the segments it has left behind.
#[test]
fn a_long_log_takes_few_descriptors() {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    append_numbered(&partition, 0..60_000);
    assert!(partition.view().info().unwrap().segments > 80);
    drop(partition);
    store.close().unwrap();
    let open_files = || open_files(home.path());
    let view = home.read_only();
    assert_eq!(check_numbered(&view, 0), 60_000);
    for offset in (0..60_000).step_by(500) {
        view.get(offset).unwrap();
    }
    assert!(open_files() <= 3, "{} descriptors", open_files());
    let (_store, partition) = home.partition(small());
    assert_eq!(check_numbered(partition.view(), 0), 60_000);
    assert!(open_files() <= 8, "{} descriptors", open_files());
}

/// The most at once counts too, not only what stays open: in a process that may hold fewer descriptors than the log has segments.
#[test]
fn a_long_log_is_opened_with_few_descriptors() {
    let same = std::env::current_exe().unwrap();
    let limited = "ulimit -n 64 && exec \"$0\" --exact limits::a_long_log_takes_few_descriptors";
    let ran = std::process::Command::new("sh").args(["-c", limited]).arg(same).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

/// Segments are filled faster than the disk takes them: the appender waits rather than hold ever more of them.
#[test]
fn a_slow_disk_takes_few_descriptors() {
    let home = Home::new();
    let (faulty, options) = faulty();
    let (_store, partition) = home.partition(options.sync_policy(SyncPolicy::OsOnly).segment_bytes(64 << 10));
    faulty.inject(Fault::at(Op::Sync).from_then_on().slow(Duration::from_millis(5)));
    for first in (0..60_000).step_by(500) {
        append_numbered(&partition, first..first + 500);
        assert!(open_files(home.path()) <= 24, "{} descriptors at {first}", open_files(home.path()));
    }
    assert!(partition.view().info().unwrap().segments > 80);
    assert_eq!(check_numbered(partition.view(), 0), 60_000);
}

fn open_files(dir: &std::path::Path) -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().filter(|fd| is_in(fd.as_ref().unwrap(), dir)).count()
}

fn is_in(fd: &std::fs::DirEntry, dir: &std::path::Path) -> bool {
    std::fs::read_link(fd.path()).is_ok_and(|target| target.starts_with(dir))
}

#[test]
fn records_and_batches_have_a_largest_size() {
    let home = Home::new();
    let limit = 4096;
    let (_store, partition) = home.partition(small().batch_bytes_max(limit));
    let fits = |len: usize| partition.append_with(Record::new(&vec![1; len]), AckLevel::Written);
    // The encoded record, not the value alone, is what is limited.
    fits(4080).unwrap();
    for len in [4096, 5000, 60_000, 5 << 20] {
        match fits(len) {
            Err(AppendError::TooLarge { bytes, limit: found }) => assert!(bytes > len as u64 && found == u64::from(limit)),
            other => panic!("{len}: {other:?}"),
        }
    }
    let many = batch(&["0123456789"; 400]);
    assert!(matches!(partition.append_batch(&many, AckLevel::Written), Err(AppendError::TooLarge { .. })));
    assert!(matches!(partition.append_deferred(&many), Err(AppendError::TooLarge { .. })));
    assert_eq!(partition.append_with(Record::new("x"), AckLevel::Written).unwrap().base_offset.get(), 1);
}

/// A batch that is full stays as it was, and can still be appended.
#[test]
fn a_batch_refuses_what_no_frame_holds() {
    let mut batch = RecordBatch::new();
    let value = vec![0; 300 << 20];
    batch.push(&Record::new(&value)).unwrap();
    batch.push(&Record::new(&value)).unwrap();
    batch.push(&Record::new(&value)).unwrap();
    let before = (batch.len(), batch.bytes());
    assert!(matches!(batch.push(&Record::new(&value)), Err(AppendError::TooLarge { .. })));
    assert_eq!((batch.len(), batch.bytes()), before);
}

#[test]
fn settings_have_limits_that_are_checked_before_anything_is_opened() {
    let home = Home::new();
    let fresh = home.path().join("fresh");
    let bad = [
        StoreOptions::new().segment_bytes((64 << 10) - 1),
        StoreOptions::new().segment_bytes(4 << 30),
        StoreOptions::new().index_interval_bytes(511),
        StoreOptions::new().index_interval_bytes((1 << 20) + 1),
        StoreOptions::new().checkpoint_budget_bytes(1000),
        StoreOptions::new().batch_bytes_max(100),
        StoreOptions::new().batch_bytes_max(u32::MAX),
        StoreOptions::new().sync_policy(SyncPolicy::Interval(std::time::Duration::ZERO)),
        StoreOptions::new().sync_policy(SyncPolicy::Interval(std::time::Duration::from_secs(3600))),
        StoreOptions::new().sync_policy(SyncPolicy::Group { max_wait: std::time::Duration::from_secs(2), max_bytes: 1 }),
    ];
    for options in bad {
        for error in [options.clone().open(&fresh).map(drop), options.clone().open_read_only(home.path()).map(drop)] {
            assert!(matches!(error, Err(OpenError::Config(ConfigError::BadValue { .. }))), "{options:?}");
        }
        assert!(!fresh.exists());
    }
}

#[test]
fn settings_by_name() {
    let good = [
        ("segment_bytes", "64KiB"),
        ("segment-bytes", "65536"),
        ("segment_bytes", "1GiB"),
        ("index_interval_bytes", "4k"),
        ("checkpoint_budget_bytes", "1MiB"),
        ("batch_bytes_max", "1024"),
        ("on_damage", "refuse"),
        ("on_damage", "isolate"),
        ("compression", "none"),
        ("sync_policy", "os"),
        ("sync_policy", "group"),
        ("sync_policy", "interval:250us"),
    ];
    for (name, value) in good {
        let set = StoreOptions::new().set(name, value);
        assert_eq!(set.is_ok(), value != "interval:250us", "{name} = {value}");
    }
    let bad = [
        ("segment_bytes", ""),
        ("segment_bytes", "-1"),
        ("segment_bytes", "64"),
        ("segment_bytes", "99999999999999999999"),
        ("segment_bytes", "18446744073709551615GiB"),
        ("segment_bytes", "1 parsec"),
        ("batch_bytes_max", "5GiB"),
        ("on_damage", "ignore"),
        ("compression", "brotli"),
        ("sync_policy", "interval:"),
        ("sync_policy", "interval:5"),
        ("sync_policy", "never"),
    ];
    for (name, value) in bad {
        match StoreOptions::new().set(name, value) {
            Err(error @ ConfigError::BadValue { .. }) => assert!(error.to_string().contains("expected"), "{error}"),
            other => panic!("{name} = {value}: {other:?}"),
        }
    }
    match StoreOptions::new().set("segment_byte", "1MiB") {
        Err(ConfigError::UnknownName { known, .. }) => assert!(known.contains(&"segment_bytes")),
        other => panic!("{other:?}"),
    }
    assert!(StoreOptions::names().iter().all(|(name, help)| !name.is_empty() && !help.is_empty()));
}

/// The seam sees no sync and no change from a reader.
#[test]
fn a_reader_makes_no_call_that_changes_anything() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..3000);
    let (faulty, seam) = faulty();
    let view = seam.open_read_only(home.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
    assert_eq!(check_numbered(&view, 0), 3000);
    view.read(Start::Latest).unwrap().wait(std::time::Duration::from_millis(150)).unwrap();
    view.verify(true, &mut |_| {}).unwrap();
    let changes = faulty.name_changes() + faulty.syncs() + faulty.dir_syncs() + faulty.bytes_written();
    assert_eq!((changes, faulty.count(Op::Write), faulty.count(Op::SetLen), faulty.count(Op::Allocate), faulty.count(Op::Lock)), (0, 0, 0, 0, 0));
}

/// Pages made present for a busy partition would, for each of thousands of slow ones, be more memory than what they append.
#[test]
fn a_slow_partition_is_filled_little_ahead() {
    let home = Home::new();
    let (faulty, options) = faulty();
    let store = options.sync_policy(SyncPolicy::OsOnly).open(home.path()).unwrap();
    let log = store.create_topic("slow", 1).unwrap().partition(0).unwrap();
    let (appended, written) = append_slowly(&log, &faulty, 8);
    assert!(written >= appended / 2, "{written} bytes made present for {appended}");
    assert!(written <= appended * 3 / 2, "{written} bytes made present for {appended}");
}

/// Nor is anything written ahead of batches that are written themselves, however often a partition is synced.
#[test]
fn nothing_is_filled_ahead_of_what_a_slow_partition_writes() {
    let home = Home::new();
    let (faulty, options) = faulty();
    let store = options.sync_policy(SyncPolicy::OsOnly).without_threads().open(home.path()).unwrap();
    let log = store.create_topic("slow", 1).unwrap().partition(0).unwrap();
    let mut appended = 0;
    faulty.reset_counts();
    for _ in 0..20 {
        log.append_with(Record::new(&[7; 11_000]), AckLevel::Written).unwrap();
        log.flush().unwrap();
        appended += 11_000;
        std::thread::sleep(Duration::from_millis(10)); // else a fast disk makes it a busy one
    }
    assert!(
        faulty.bytes_written() >= appended && faulty.bytes_written() <= appended * 3 / 2,
        "{} bytes written for {appended}",
        faulty.bytes_written()
    );
}

/// However much is written because it is large.
#[test]
fn what_is_written_makes_no_partition_busy() {
    let home = Home::new();
    let (faulty, options) = faulty();
    let store = options.sync_policy(SyncPolicy::OsOnly).open(home.path()).unwrap();
    let log = store.create_topic("large", 1).unwrap().partition(0).unwrap();
    faulty.reset_counts();
    for _ in 0..100 {
        log.append_with(Record::new(&[7; 200_000]), AckLevel::Written).unwrap();
        log.append_with(Record::new(&[7; 100]), AckLevel::Written).unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    let (written, appended) = (faulty.bytes_written(), 100 * 200_100);
    assert!(written >= appended * 9 / 10 && written <= appended * 6 / 5, "{written} bytes for {appended}");
}

/// However large it is.
#[test]
fn one_append_makes_no_partition_busy() {
    let written_for = |bytes| {
        let home = Home::new();
        let (faulty, options) = faulty();
        let store = options.sync_policy(SyncPolicy::OsOnly).open(home.path()).unwrap();
        let log = store.create_topic("once", 1).unwrap().partition(0).unwrap();
        faulty.reset_counts();
        log.append_with(Record::new(&vec![7; bytes]), AckLevel::Written).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        faulty.bytes_written()
    };
    for bytes in [70_000, 100_000, 130_000] {
        // On a machine that stood still between the open and the append it may be taken for one of many.
        let least = (0..5).map(|_| written_for(bytes)).min().unwrap();
        assert!(least >= bytes as u64 && least <= bytes as u64 * 6 / 5, "{least} bytes for {bytes}");
    }
}

/// What is larger is written from where it is, with one call.
#[test]
fn a_busy_partition_stores_what_is_smaller_than_128_kib() {
    const ROUNDS: usize = 50;
    let lens = [5_000, 65_536, 130_900, 131_072];
    let home = Home::new();
    let (faulty, options) = faulty();
    let store = options.sync_policy(SyncPolicy::OsOnly).open(home.path()).unwrap();
    let log = store.create_topic("busy", 1).unwrap().partition(0).unwrap();
    append_bytes(&log, 4 << 20);
    let begin = log.log_end_offset();
    let value_at = |number: usize| vec![number as u8; lens[number % lens.len()]];
    faulty.record_calls();
    (0..ROUNDS * lens.len()).for_each(|number| _ = log.append_with(Record::new(&value_at(number)), AckLevel::Written).unwrap());
    let calls = faulty.recorded_calls();
    let (mut reader, mut written) = (log.read_from(begin).unwrap(), [0; 4]);
    for number in 0..ROUNDS * lens.len() {
        let frame = reader.next_batch().unwrap().unwrap();
        assert!(frame.records().next().unwrap().unwrap().value().unwrap() == value_at(number), "record {number}");
        let place = (frame.position().get(), frame.stored_bytes());
        written[number % lens.len()] += usize::from(calls.iter().any(|call| call.op == Op::Write && (call.position, call.bytes) == place));
    }
    // On a machine that stands still for a while it is slow for once.
    assert!(written[3] == ROUNDS && written[..3].iter().all(|written| *written < ROUNDS / 2), "of {ROUNDS} each, {written:?} were written");
}

/// Neither in the segment that is appended to nor in the one that is made ahead of the next roll.
#[test]
fn a_partition_that_was_busy_is_slow_again() {
    let home = Home::new();
    let (faulty, options) = faulty();
    let store = options.sync_policy(SyncPolicy::OsOnly).segment_bytes(1 << 20).open(home.path()).unwrap();
    let log = store.create_topic("slow", 1).unwrap().partition(0).unwrap();
    append_bytes(&log, 4 << 20);
    append_slowly(&log, &faulty, 2);
    // What the burst asked for is still filled.
    while faulty.bytes_written() != 0 {
        faulty.reset_counts();
        std::thread::sleep(Duration::from_millis(200));
    }
    for _ in 0..30 {
        let (appended, written) = append_slowly(&log, &faulty, 1);
        assert!(written <= appended * 3, "{written} bytes made present for {appended}");
    }
}

/// Appends a little and waits, so many times. Bytes appended, and bytes written: zeros alone, as the frames are stored into the map.
fn append_slowly(log: &Partition, faulty: &Faulty, times: usize) -> (u64, u64) {
    const STEP: usize = 48 << 10; // less than what makes a partition busy, in more time
    faulty.reset_counts();
    for _ in 0..times {
        append_bytes(log, STEP);
        std::thread::sleep(Duration::from_millis(40));
    }
    ((STEP * times) as u64, faulty.bytes_written())
}

fn append_bytes(log: &Partition, bytes: usize) {
    for _ in 0..bytes / 512 {
        log.append_with(Record::new(&[7; 512]), AckLevel::Written).unwrap();
    }
}

/// Where the disk has to look for them, an append would wait for it.
#[test]
fn a_partition_that_fills_a_segment_fast_has_the_blocks_of_the_next_one() {
    for _ in 0..5 {
        let home = Home::new();
        let store = StoreOptions::new().sync_policy(SyncPolicy::OsOnly).segment_bytes(SEGMENT_BYTES).open(home.path()).unwrap();
        let log = store.create_topic("busy", 1).unwrap().partition(0).unwrap();
        append_large(&log, SEGMENT_BYTES * 3 / 4);
        // On a machine that stands still for a while it was slow, or is idle by now.
        if !spare_becomes(&log, 1, |len, blocks| len <= SEGMENT_BYTES / 4 && blocks > len + SLACK) {
            continue;
        }
        assert!(spare_becomes(&log, 20, |len, blocks| blocks <= len + SLACK), "one that is idle keeps its blocks");
        append_large(&log, SEGMENT_BYTES / 2);
        let (end, dir) = (log.log_end_offset(), log.view().dir().to_owned());
        drop((log, store));
        let sizes = fs::read_dir(dir).unwrap().map(|entry| size_of_file(&entry.unwrap()).unwrap());
        let (len, blocks) = sizes.fold((0, 0), |sum, file| (sum.0 + file.0, sum.1 + file.1));
        assert!(len >= end.get() * 1_000_000 && blocks <= len + SLACK, "{len} bytes long, {blocks} bytes of blocks behind the close");
        return;
    }
    panic!("it never had blocks of the next segment");
}

#[test]
fn a_partition_that_fills_a_segment_slowly_has_few_blocks_of_the_next_one() {
    let home = Home::new();
    let open = || StoreOptions::new().sync_policy(SyncPolicy::OsOnly).segment_bytes(SEGMENT_BYTES).open(home.path()).unwrap();
    let store = open();
    let log = store.create_topic("slow", 1).unwrap().partition(0).unwrap();
    append_large(&log, SEGMENT_BYTES / 4);
    std::thread::sleep(Duration::from_secs(2));
    append_large(&log, SEGMENT_BYTES / 2);
    check_no_blocks_ahead(&log);
    drop((log, store));
    // Nor has one that has more than half of it already, for a single record.
    let store = open();
    let log = store.topic("slow").unwrap().partition(0).unwrap();
    log.append_with(Record::new(&[7; 4000]), AckLevel::Written).unwrap();
    check_no_blocks_ahead(&log);
}

fn check_no_blocks_ahead(log: &Partition) {
    assert!(spare_becomes(log, 20, |_, _| true), "no next segment is made");
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(20));
        assert!(spare_becomes(log, 0, |len, blocks| len <= SEGMENT_BYTES / 4 && blocks <= len + SLACK), "it has blocks ahead");
    }
}

/// As a writer leaves them that is killed.
#[test]
fn blocks_behind_the_end_are_given_back() {
    let killed = Killed::new();
    let store = killed.options.clone().open(killed.home.path()).unwrap();
    assert_eq!(store.topic("killed").unwrap().partition(0).unwrap().log_end_offset().get(), 1);
    drop(store);
    killed.check_no_blocks_behind();
}

/// Of a partition that can go on no more: the next open is not to come, perhaps.
#[test]
fn a_poisoned_partition_gives_blocks_back() {
    let killed = Killed::new();
    let (faulty, _) = faulty();
    let store = killed.options.clone().storage(Arc::new(faulty.clone())).without_threads().open(killed.home.path()).unwrap();
    let log = store.topic("killed").unwrap().partition(0).unwrap();
    log.append_with(Record::new(b"not durable"), AckLevel::Written).unwrap();
    faulty.inject(Fault::at(Op::Sync).on_path(".log").error(EIO));
    assert!(log.flush().is_err());
    drop((log, store));
    killed.check_no_blocks_behind();
}

/// Nor does what is left of the segment that is cut keep them.
#[test]
fn a_cut_gives_blocks_back() {
    let killed = Killed::new();
    let store = killed.options.clone().open(killed.home.path()).unwrap();
    let log = store.topic("killed").unwrap().partition(0).unwrap();
    append_large(&log, 2_000_000);
    log.truncate_suffix(Offset::new(2)).unwrap();
    let (blocks, len) = (killed.blocks(), fs::metadata(&killed.active).unwrap().len());
    assert!(blocks <= 3_000_000 + 2 * SLACK && len < 3_001_000, "{blocks} bytes of blocks for {len}");
}

/// A segment that another is to follow gives up what it keeps, where the disk has no room for that one else.
#[test]
fn a_roll_on_a_full_disk_takes_what_was_reserved() {
    for refused in [1, 2, 3] {
        let killed = Killed::new();
        let (faulty, _) = faulty();
        let store = killed.options.clone().storage(Arc::new(faulty.clone())).without_threads().open(killed.home.path()).unwrap();
        let log = store.topic("killed").unwrap().partition(0).unwrap();
        (1..=refused).for_each(|nth| faulty.inject(Fault::at(Op::Allocate).on_path("spare-").nth(nth).error(ENOSPC)));
        append_large(&log, SEGMENT_BYTES);
        assert_eq!((faulty.fired(), log.log_end_offset().get()), (refused, 1 + SEGMENT_BYTES / 1_000_000));
        // Not before less is asked for.
        assert_eq!(killed.blocks() < SEGMENT_BYTES - SLACK, refused >= 2);
    }
}

/// Else a full disk would be found out behind the roll, when the old segment has what was reserved and can no more be told to give it back.
#[test]
fn a_segment_is_made_with_room_for_the_batch_it_is_made_for() {
    let killed = Killed::new();
    let (faulty, _) = faulty();
    let store = killed.options.clone().storage(Arc::new(faulty.clone())).without_threads().open(killed.home.path()).unwrap();
    let log = store.topic("killed").unwrap().partition(0).unwrap();
    log.append_with(Record::new(b"with room for a seal"), AckLevel::Written).unwrap();
    faulty.reset_counts();
    log.append_with(Record::new(&vec![7; 16_000_000]), AckLevel::Written).unwrap();
    assert_eq!((faulty.count(Op::RenameNew), faulty.count(Op::Allocate)), (1, 1));
}

/// It was sealed just before, and is longer than what it holds.
#[test]
fn a_sealed_segment_that_a_kill_left_long_is_cut_to_its_size() {
    let group = SyncPolicy::Group { max_wait: Duration::ZERO, max_bytes: 1 << 20 };
    for (policy, is_opened) in [(SyncPolicy::OsOnly, true), (group, true), (SyncPolicy::OsOnly, false), (group, false)] {
        let long = KilledLong::new(policy, 16 << 10);
        if !is_opened {
            long.options.clone().open(long.killed.path()).unwrap().recover_all();
        }
        let (findings, syncs) = long.reopen();
        // Such a kill leaves no more to an open than others do.
        assert!(policy != SyncPolicy::OsOnly || syncs == 0, "{syncs} syncs");
        assert!(findings.iter().all(|finding| finding.verdict == Verdict::Silent), "{findings:?}");
        for (segment, len) in segments(&long.killed.partition_dir()).iter().zip(&long.lens) {
            assert_eq!(fs::metadata(&segment.path).unwrap().len(), *len, "{policy:?}, {is_opened}: {segment:?}");
            assert!(segment.path.with_extension("idx").exists());
        }
    }
}

/// What stands there and is no zero, or is longer than a writer makes it, is evidence. It is neither cut by an open nor once it is synced.
#[test]
fn a_sealed_segment_keeps_what_no_writer_left_behind_the_seal() {
    for policy in [SyncPolicy::OsOnly, SyncPolicy::Group { max_wait: Duration::ZERO, max_bytes: 1 << 20 }] {
        for more in [[7].as_slice(), &[0; 1 << 20]] {
            let long = KilledLong::new(policy, 16 << 10);
            let sealed = || segments(&long.killed.partition_dir()).into_iter().take(long.lens.len());
            sealed().for_each(|segment| segment.edit(|bytes| bytes.extend_from_slice(more)));
            let before: Vec<_> = sealed().map(|segment| segment.bytes()).collect();
            long.reopen();
            assert!(sealed().map(|segment| segment.bytes()).eq(before), "{policy:?}, {} more", more.len());
        }
    }
}

/// Some of its segments were sealed before the last checkpoint, and some behind it; each is longer than what it holds.
struct KilledLong {
    killed: Home,
    options: StoreOptions,
    /// What the sealed ones hold.
    lens: Vec<u64>,
}

impl KilledLong {
    const RECORDS: usize = 14;

    fn new(policy: SyncPolicy, by: u64) -> Self {
        let (home, killed) = (Home::new(), Home::new());
        let options = StoreOptions::new().sync_policy(policy).segment_bytes(1 << 20).background_recovery(false);
        for records in [10, Self::RECORDS - 10] {
            let (store, log) = home.partition(options.clone().without_threads());
            (0..records).for_each(|_| _ = log.append_with(Record::new(&[7; 400_000]), AckLevel::Written).unwrap());
            if records < 10 {
                copy_tree(home.path(), killed.path());
            }
            drop((store, log));
        }
        let mut sealed = segments(&killed.partition_dir());
        sealed.pop();
        let lens: Vec<_> = sealed.iter().map(|segment| segment.seal().end()).collect();
        assert!(lens.len() == 6 && lens.iter().all(|len| *len + by < 1 << 20), "{lens:?}");
        for (number, (segment, len)) in sealed.iter().zip(&lens).enumerate() {
            fs::OpenOptions::new().write(true).open(&segment.path).unwrap().set_len(len + by).unwrap();
            // It is written behind the cut; but for what a close wrote, of what was sealed right behind the next open.
            if number != 4 {
                let _ = fs::remove_file(segment.path.with_extension("idx"));
            }
        }
        Self { killed, options, lens }
    }

    /// Opens it, and goes on to a clean close. What was found, and how many syncs the open took.
    fn reopen(&self) -> (Vec<Finding>, u64) {
        let (faulty, _) = faulty();
        let (store, log) = self.killed.partition(self.options.clone().storage(Arc::new(faulty.clone())).without_threads());
        let syncs = faulty.syncs();
        assert_eq!(log.read_from(0).unwrap().map(Result::unwrap).count(), Self::RECORDS);
        let findings = log.recovery_report().findings.clone();
        store.close().unwrap();
        (findings, syncs)
    }
}

/// A segment with a record of 1 MB, and blocks for as much as it may hold.
struct Killed {
    home: Home,
    options: StoreOptions,
    active: PathBuf,
    len: u64,
}

impl Killed {
    fn new() -> Self {
        let home = Home::new();
        let options = StoreOptions::new().sync_policy(SyncPolicy::OsOnly).segment_bytes(SEGMENT_BYTES);
        let store = options.clone().open(home.path()).unwrap();
        let log = store.create_topic("killed", 1).unwrap().partition(0).unwrap();
        append_large(&log, 1_000_000);
        let active = log.view().dir().join(SegmentId { base_offset: 0, seq: 1 }.log_name());
        drop((log, store));
        let file = fs::OpenOptions::new().write(true).open(&active).unwrap();
        let len = file.metadata().unwrap().len();
        let allocate = || rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, SEGMENT_BYTES).unwrap();
        allocate();
        file.set_len(len + 4096).unwrap();
        allocate();
        let killed = Self { home, options, active, len };
        assert!(killed.blocks() >= SEGMENT_BYTES);
        killed
    }

    fn blocks(&self) -> u64 {
        BLOCK_BYTES * fs::metadata(&self.active).unwrap().blocks()
    }

    fn check_no_blocks_behind(&self) {
        assert!(self.blocks() <= self.len + 4 * SLACK, "{} bytes of blocks for {}", self.blocks(), self.len);
    }
}

/// Blocks that were reserved ahead are the last that a full disk is asked for, and an append is refused only behind that.
#[test]
fn a_full_disk_is_asked_for_less_before_blocks_are_given_back() {
    use Op::{Allocate, SetLen};
    for (refused, calls) in [(0, vec![Allocate]), (1, vec![Allocate; 2]), (2, vec![Allocate, Allocate, SetLen, Allocate])] {
        let home = Home::new();
        let (faulty, options) = faulty();
        let store = options.sync_policy(SyncPolicy::OsOnly).without_threads().open(home.path()).unwrap();
        let log = store.create_topic("full", 1).unwrap().partition(0).unwrap();
        (1..=refused).for_each(|nth| faulty.inject(Fault::at(Allocate).nth(nth).error(ENOSPC)));
        faulty.record_calls();
        append_large(&log, 1_000_000);
        let ops: Vec<Op> = faulty.recorded_calls().iter().map(|call| call.op).filter(|op| [Allocate, SetLen].contains(op)).collect();
        assert_eq!(ops, calls, "{refused} refused");
    }
}

/// One that goes on no more by the time its next segment is there gives that, or its blocks, back.
#[test]
fn a_segment_that_comes_late_keeps_no_blocks() {
    let open = |late| {
        let home = Home::new();
        let (faulty, options) = faulty();
        let store = options.sync_policy(SyncPolicy::OsOnly).segment_bytes(SEGMENT_BYTES).open(home.path()).unwrap();
        let log = store.create_topic("late", 1).unwrap().partition(0).unwrap();
        faulty.inject(Fault::at(Op::Allocate).on_path("spare-").slow(Duration::from_secs(late)));
        append_large(&log, SEGMENT_BYTES * 3 / 4);
        assert!(spare_becomes(&log, 20, |_, _| true), "no next segment is made");
        (home, store, faulty, log)
    };
    let (_home, _store, _, log) = open(2);
    std::thread::sleep(Duration::from_secs(4));
    assert!(spare_becomes(&log, 20, |len, blocks| len <= SEGMENT_BYTES / 4 && blocks <= len + SLACK), "one that is idle has blocks ahead");
    let (_home, _store, faulty, log) = open(8);
    faulty.inject(Fault::at(Op::Sync).on_path(".log").error(EIO));
    // The keeper may have synced what was there, and be the first to fail.
    assert!(log.append_with(Record::new(b"another"), AckLevel::Written).is_err() || log.flush().is_err());
    assert!(
        (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            !spare_becomes(&log, 0, |_, _| true)
        }),
        "one that is poisoned has a next segment"
    );
}

fn append_large(log: &Partition, bytes: u64) {
    (0..bytes / 1_000_000).for_each(|_| _ = log.append_with(Record::new(&[7; 1_000_000]), AckLevel::Written).unwrap());
}

/// Whether length and blocks of the segment that is made ahead of the next roll become what they should be within so many seconds.
fn spare_becomes(log: &Partition, seconds: u32, is_right: impl Fn(u64, u64) -> bool) -> bool {
    (0..=100 * seconds).any(|look| {
        std::thread::sleep(Duration::from_millis(if look == 0 { 0 } else { 10 }));
        let spare = fs::read_dir(log.view().dir()).unwrap().map(Result::unwrap).find(|entry| {
            let name = entry.file_name();
            matches!(FileName::parse(name.to_str().unwrap()), Some(FileName::Spare(_)))
        });
        // It may be gone by now.
        spare.and_then(|entry| size_of_file(&entry)).is_some_and(|(len, blocks)| is_right(len, blocks))
    })
}

/// Its length, and the bytes of its blocks; `None` if it is no more.
fn size_of_file(entry: &fs::DirEntry) -> Option<(u64, u64)> {
    let metadata = entry.metadata().ok()?;
    Some((metadata.len(), BLOCK_BYTES * metadata.blocks()))
}

const SEGMENT_BYTES: u64 = 16 << 20;
/// What file systems take besides.
const SLACK: u64 = 64 << 10;
/// What `blocks` counts in.
const BLOCK_BYTES: u64 = 512;

/// One that never stops has a checkpoint behind what is synced of it, long before the budget is used up or a segment ends.
#[test]
fn a_busy_partition_is_checkpointed_as_it_is_synced() {
    const SYNCED: usize = 64 << 20;
    let home = Home::new();
    let store = StoreOptions::new().sync_policy(SyncPolicy::OsOnly).segment_bytes(1 << 30).open(home.path()).unwrap();
    let log = store.create_topic("busy", 1).unwrap().partition(0).unwrap();
    append_bytes(&log, SYNCED + (1 << 20));
    for _ in 0..120 {
        if store.uncheckpointed_bytes() < SYNCED as u64 / 2 {
            return;
        }
        // A sync may have come just before it was as much: on to the next, within the budget.
        append_bytes(&log, 1 << 20);
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{} bytes are left", store.uncheckpointed_bytes());
}

/// Many partitions, each with little, none of them ever idle.
#[test]
fn what_recovery_would_scan_is_bounded_over_all_partitions() {
    const BUDGET: u64 = 1 << 20;
    let home = Home::new();
    let store = small().sync_policy(SyncPolicy::OsOnly).checkpoint_budget_bytes(BUDGET).open(home.path()).unwrap();
    let topic = store.create_topic("many", 100).unwrap();
    let logs: Vec<_> = (0..100).map(|number| topic.partition(number).unwrap()).collect();
    let append = |value: &[u8]| {
        for log in &logs {
            log.append_with(Record::new(value), AckLevel::Written).unwrap();
        }
    };
    append(&[7; 30 << 10]);
    for _ in 0..190 {
        if store.uncheckpointed_bytes() <= BUDGET {
            return;
        }
        append(b"on");
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("{} bytes are left", store.uncheckpointed_bytes());
}

/// What is told is what is read, but for what is allocated ahead of the end.
#[test]
fn what_recovery_would_scan_is_told() {
    let (home, copy) = (Home::new(), Home::new());
    let store = small().without_threads().open(home.path()).unwrap();
    let log = store.create_topic("one", 1).unwrap().partition(0).unwrap();
    let append = || log.append_with(Record::new(&[7; 10 << 10]), AckLevel::Written).unwrap();
    append();
    log.flush().unwrap();
    store.run_background();
    assert_eq!(store.uncheckpointed_bytes(), 0);
    (0..3).for_each(|_| _ = append());
    let told = store.uncheckpointed_bytes();
    assert!((30 << 10..31 << 10).contains(&told), "{told}");
    copy_tree(home.path(), copy.path());
    let recovered = small().background_recovery(false).open(copy.path()).unwrap();
    let scanned = recovered.topic("one").unwrap().partition(0).unwrap().recovery_report().scanned_bytes;
    assert!((told..told + (1 << 20)).contains(&scanned), "{scanned} bytes scanned, {told} told");
}
