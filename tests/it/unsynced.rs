//! What a kill left under `OsOnly`: the open waits for no sync, and whatever is done first, nothing is claimed, or acknowledged, that a power cut takes.

use std::sync::Arc;
use std::time::Duration;

use tidelog::io::sim::{NameModel, SimDisk};
use tidelog::{AckLevel, MappingMode, MemoryOffsetStore, OffsetStore, Partition, Record, Start, Store, StoreOptions, SyncPolicy, note_partition};

use crate::support::{Durable, Lab, copy_tree, options, partition, tempdir, value};

const RECORDS: u64 = 150;
/// So many are flushed before the kill, by a process that writes no checkpoint.
const FLUSHED: u64 = 130;

fn open(disk: &SimDisk) -> (Store, Partition) {
    let options = StoreOptions::new().storage(Arc::new(disk.clone())).segment_bytes(64 << 10).sync_policy(SyncPolicy::OsOnly).without_threads();
    let store = options.open("/store").unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    (store, partition)
}

fn append(partition: &Partition, records: u64, level: AckLevel) {
    for _ in 0..records {
        let offset = partition.log_end_offset().get();
        partition.append_with(Record::new(&value(offset, 1000)), level).unwrap();
    }
}

/// A log of several segments whose process was killed, with a part of it flushed, and, with `failed`, a sync that had failed and left pages clean
/// that are not on the disk.
fn killed(seed: u64, flushed: u64, failed: bool) -> SimDisk {
    let disk = SimDisk::new(seed, NameModel::Strict);
    let (_store, partition) = open(&disk);
    append(&partition, flushed, AckLevel::Written);
    partition.flush().unwrap();
    append(&partition, RECORDS - flushed, AckLevel::Written);
    if failed {
        disk.fail_sync(1);
        partition.flush().unwrap_err();
    }
    disk.kill()
}

/// The log start and the end; each record in between is the one that was appended.
fn bounds(partition: &Partition) -> (u64, u64) {
    let report = partition.recovery_report();
    assert!(report.damage.is_empty(), "a crash was taken for damage: {report:?}");
    let mut next = partition.log_start_offset().get();
    for record in partition.view().read(Start::Earliest).unwrap() {
        let record = record.unwrap();
        assert_eq!((record.offset().get(), record.value()), (next, Some(&value(next, 1000)[..])));
        next += 1;
    }
    (partition.log_start_offset().get(), next)
}

/// What was only in memory at the open may be gone before it is written again: then nothing of it is claimed, and nothing more is appended.
#[test]
fn what_has_changed_since_the_open_is_not_claimed() {
    let lab = Lab::three_segments(Durable::Before(30));
    let segments = lab.segments();
    let records = segments.iter().map(|segment| (segment, segment.frame_of(segment.header.base_offset.get().max(30) + 1).end() - 16));
    let headers = segments[1..].iter().map(|segment| (segment, 0));
    let seals = segments[..2].iter().map(|segment| (segment, segment.seal().position + 70));
    for (segment, at) in records.chain(headers).chain(seals) {
        let copy = tempdir();
        copy_tree(lab.tmp.path(), copy.path());
        let store = options().sync_policy(SyncPolicy::OsOnly).without_threads().open(copy.path()).unwrap();
        let partition = partition(&store).unwrap();
        let path = copy.path().join(segment.path.strip_prefix(lab.tmp.path()).unwrap());
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[!segment.bytes()[at as usize]], at).unwrap();
        let told = partition.flush().unwrap_err().to_string();
        assert!(told.contains("have changed since"), "{told}");
        assert_eq!(partition.durable_end_offset(), 30);
        assert!(partition.append_with(Record::new("more"), AckLevel::Written).is_err());
    }
}

/// What is done first, and what a power cut behind it must leave: from where, and at least up to where.
type First = fn(&SimDisk, &Store, &Partition) -> (u64, u64);

#[test]
fn a_power_cut_behind_the_first_call_takes_nothing_that_was_promised() {
    let firsts: &[(&str, First)] = &[
        ("nothing", |_, _, partition| (0, partition.durable_end_offset().get())),
        ("appends alone", |_, _, partition| {
            append(partition, 20, AckLevel::Written);
            (0, partition.durable_end_offset().get())
        }),
        ("a flush", |_, _, partition| {
            partition.flush().unwrap();
            (0, RECORDS)
        }),
        ("a durable append", |_, _, partition| {
            append(partition, 1, AckLevel::Durable);
            (0, RECORDS + 1)
        }),
        ("appends over a roll, then a flush", |_, _, partition| {
            append(partition, 80, AckLevel::Written);
            partition.flush().unwrap();
            (0, RECORDS + 80)
        }),
        ("a cut of the end", |_, _, partition| {
            partition.truncate_suffix(70).unwrap();
            (0, 70)
        }),
        ("a cut of all", |_, _, partition| {
            partition.truncate_suffix(0).unwrap();
            (0, 0)
        }),
        ("a cut of the beginning", |_, _, partition| {
            partition.delete_prefix(70).unwrap();
            (70, RECORDS)
        }),
        ("the background", |_, store, partition| {
            store.run_background();
            assert_eq!(partition.durable_end_offset(), RECORDS);
            (0, RECORDS)
        }),
        ("a close", |_, store, _| {
            store.clone().close().unwrap();
            (0, RECORDS)
        }),
        ("another kill, then a flush", |disk, _, _| {
            let (store, partition) = open(&disk.kill());
            partition.flush().unwrap();
            std::mem::forget(store); // dropped, it would be closed
            (0, RECORDS)
        }),
        ("a sync that fails, another kill, then a flush", |disk, _, partition| {
            disk.fail_sync(1);
            partition.flush().unwrap_err();
            let (store, partition) = open(&disk.kill());
            partition.flush().unwrap();
            std::mem::forget(store); // dropped, it would be closed
            (0, RECORDS)
        }),
    ];
    for (what, first) in firsts {
        for (flushed, failed) in [(0, false), (0, true), (FLUSHED, false), (FLUSHED, true)] {
            for seed in 1..=8 {
                let when = format!("{what}, after {flushed} were flushed, seed {seed}{}", if failed { ", and a sync failed" } else { "" });
                let disk = killed(seed, flushed, failed);
                let (store, partition) = open(&disk);
                assert_eq!(bounds(&partition), (0, RECORDS), "{when}: all that was written is there");
                assert!(partition.durable_end_offset().get() <= flushed, "{when}");
                let promised = first(&disk, &store, &partition);
                let promised = (promised.0, promised.1.max(if what.starts_with("a cut of") { 0 } else { flushed }));
                let (_store, partition) = open(&disk.power_cut().disk(seed, NameModel::Strict));
                let found = bounds(&partition);
                let is_more = found.0 == promised.0 && found.1 > promised.1;
                let may_be_more = ["nothing", "appends alone"].contains(what);
                assert!(found == promised || is_more && may_be_more, "{when}: {found:?} is left, promised were {promised:?}");
            }
        }
    }
}

/// The background does not wait until nobody appends.
#[test]
fn what_a_kill_left_is_synced_beside_appends() {
    let lab = Lab::ten_records(Durable::Nothing);
    let store = options().open(lab.tmp.path()).unwrap();
    let partition = partition(&store).unwrap();
    // Else a roll would have it synced.
    let mut appends = 0..300;
    while partition.durable_end_offset() < 10 {
        assert!(appends.next().is_some(), "durable up to {}", partition.durable_end_offset());
        partition.append_with(Record::new(b"more"), AckLevel::Written).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What was noted of a log was durable, and is not known to be so behind a kill: it is not thrown away.
#[test]
fn notes_of_offsets_go_on_behind_a_kill() {
    let lab = Lab::three_segments(Durable::Before(30));
    let killed = tempdir();
    copy_tree(lab.tmp.path(), killed.path());
    let notes = MemoryOffsetStore::new();
    let note = |partition: &Partition| note_partition(&notes, partition.key(), partition.view(), MappingMode::Full).unwrap();
    let noted = {
        let (_store, partition) = lab.open();
        partition.flush().unwrap();
        note(&partition)
    };
    assert_eq!(noted.record_count, 150);
    let store = options().without_threads().open(killed.path()).unwrap();
    let partition = partition(&store).unwrap();
    assert_eq!(partition.durable_end_offset(), 30);
    let again = note(&partition);
    assert_eq!((again.record_count, again.latest), (noted.record_count, noted.latest));
    assert_eq!(notes.highest_offset(partition.key()).unwrap(), noted.latest);
    partition.append_with(Record::new(b"more"), AckLevel::Durable).unwrap();
    assert_eq!(note(&partition).record_count, 151);
}
