//! The offset store in a log: snapshots and what they delete, cuts of power at any call, damage, newer versions, readers beside the writer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use tidelog::io::fault::{Fault, Faulty, Op};
use tidelog::io::sim::{NameModel, SimDisk};
use tidelog::{
    AckLevel, CommittedOffset, GroupId, GroupMetadata, LogOffsetStore, MemberMetadata, OffsetCheckpoint, OffsetMapping, OffsetStore,
    OffsetStoreError, Partition, PartitionKey, Record, RingRange, Store, StoreOptions, SyncPolicy, TimestampNs,
};

use crate::reading_support::{Other, other, tell};
use crate::support::{copy_tree, fingerprint, options, segments, tempdir};

const TOPIC: &str = "_tidelog/offsets";
const STORE: &str = "/store";

/// Everything that a model needs to know: positions by group and partition, generations by group, checkpoints by partition.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    positions: BTreeMap<(u8, u8), u64>,
    generations: BTreeMap<u8, i32>,
    checkpoints: BTreeMap<u8, u64>,
}

#[derive(Debug, Clone)]
enum Step {
    Commit { group: u8, partitions: Vec<u8>, offset: u64 },
    Delete { group: u8, partitions: Vec<u8> },
    DeleteGroup(u8),
    SaveGroup { group: u8, generation: i32 },
    DeleteTopic(u8),
    Checkpoint { partition: u8, offset: u64 },
    CleanUp(u64),
    Snapshot,
    Reopen,
    Crash(u64),
}

fn group(number: u8) -> GroupId {
    format!("group-{number}").parse().unwrap()
}

/// Partitions 0 to 3 are of one topic, 4 to 7 of another.
fn key(number: u8) -> PartitionKey {
    let topic = if number < 4 { "t" } else { "n/u" };
    let slot = u32::from(number % 4);
    PartitionKey { topic: topic.parse().unwrap(), range: RingRange::new(4096, slot * 1024, (slot + 1) * 1024).unwrap() }
}

/// A position that expires when the clean-up comes to its offset.
fn position(offset: u64) -> CommittedOffset {
    let expires_at = offset.is_multiple_of(3).then(|| TimestampNs::new(offset as i64));
    CommittedOffset { metadata: "x".repeat((offset % 50) as usize), expires_at, ..CommittedOffset::new(offset, TimestampNs::new(offset as i64)) }
}

/// All that is noted of a group follows from its generation.
fn metadata(generation: i32) -> GroupMetadata {
    let member = |number: i32| MemberMetadata { assignment: vec![7; 10 * number as usize], ..MemberMetadata::default() };
    let members = (0..generation % 4).map(|number| (format!("member-{number}"), member(number))).collect();
    GroupMetadata { members, ..GroupMetadata::empty(generation, TimestampNs::new(generation.into())) }
}

impl Step {
    /// Does it to a store, and says whether the store took it.
    fn apply(&self, store: &LogOffsetStore) -> Result<(), OffsetStoreError> {
        match self {
            Self::Commit { group: of, partitions, offset } => {
                let positions: Vec<_> = partitions.iter().map(|number| (key(*number), position(*offset))).collect();
                store.commit(&group(*of), &positions)
            }
            Self::Delete { group: of, partitions } => {
                store.delete(&group(*of), &partitions.iter().map(|number| key(*number)).collect::<Vec<_>>()).map(drop)
            }
            Self::DeleteGroup(of) => store.delete_group(&group(*of)).map(drop),
            Self::SaveGroup { group: of, generation } => store.save_group(&group(*of), &metadata(*generation)).map(drop),
            Self::DeleteTopic(of) => store.delete_topic(&key(*of).topic).map(drop),
            Self::Checkpoint { partition, offset } => {
                let checkpoint = OffsetCheckpoint { offset: (*offset).into(), saved_at: TimestampNs::new(*offset as i64) };
                store.save_checkpoint(&key(*partition), checkpoint).map(drop)
            }
            Self::CleanUp(now) => store.clean_up(TimestampNs::new(*now as i64)).map(drop),
            Self::Snapshot => store.snapshot(),
            Self::Reopen | Self::Crash(_) => Ok(()),
        }
    }

    fn model(&self, model: &mut Model) {
        match self {
            Self::Commit { group, partitions, offset } => model.positions.extend(partitions.iter().map(|partition| ((*group, *partition), *offset))),
            Self::Delete { group, partitions } => model.positions.retain(|(of, partition), _| of != group || !partitions.contains(partition)),
            Self::DeleteGroup(group) => {
                model.positions.retain(|(of, _), _| of != group);
                model.generations.remove(group);
            }
            Self::SaveGroup { group, generation } => {
                let kept = model.generations.entry(*group).or_insert(*generation);
                *kept = (*kept).max(*generation);
            }
            Self::DeleteTopic(number) => {
                model.positions.retain(|(_, partition), _| partition / 4 != number / 4);
                model.checkpoints.retain(|partition, _| partition / 4 != number / 4);
            }
            Self::Checkpoint { partition, offset } => {
                let kept = model.checkpoints.entry(*partition).or_insert(*offset);
                *kept = (*kept).max(*offset);
            }
            Self::CleanUp(now) => model.positions.retain(|_, offset| !(offset.is_multiple_of(3) && *offset <= *now)),
            Self::Snapshot | Self::Reopen | Self::Crash(_) => {}
        }
    }
}

/// What a store says, as a model; everything that a position says is checked on the way.
fn read(store: &dyn OffsetStore) -> Model {
    let mut model = Model::default();
    for of in store.groups().unwrap() {
        let number: u8 = of.as_str().strip_prefix("group-").unwrap().parse().unwrap();
        if let Some(found) = store.load_group(&of).unwrap() {
            assert_eq!(found, metadata(found.generation));
            model.generations.insert(number, found.generation);
        }
        for (partition, found) in store.fetch_all(&of).unwrap() {
            assert_eq!(found, position(found.offset.get()));
            model.positions.insert((number, (0..8).find(|other| key(*other) == partition).unwrap()), found.offset.get());
        }
    }
    for partition in store.partitions().unwrap() {
        let number = (0..8).find(|other| key(*other) == partition).unwrap();
        model.checkpoints.insert(number, store.load_checkpoint(&partition).unwrap().unwrap().offset.get());
    }
    model
}

fn log_of(store: &Store) -> Partition {
    store.partition_of_internal(TOPIC).unwrap()
}

fn commit(store: &LogOffsetStore, of: u8, offset: u64) {
    Step::Commit { group: of, partitions: vec![0, 1, 5], offset }.apply(store).unwrap();
}

/// Where a partition of the offset log has its files.
fn dir_of(home: &Path) -> std::path::PathBuf {
    home.join("topics/_tidelog/offsets/0")
}

#[test]
fn a_snapshot_takes_the_place_of_the_changes_before_it() {
    let home = tempdir();
    let store = options().open(home.path()).unwrap();
    let offsets = LogOffsetStore::open_with(&store, 2_000).unwrap();
    let log = log_of(&store);
    let (mut model, mut starts) = (Model::default(), std::collections::BTreeSet::new());
    for number in 0..600u64 {
        let step = Step::Commit { group: (number % 5) as u8, partitions: vec![(number % 8) as u8, 3], offset: number };
        step.apply(&offsets).unwrap();
        step.model(&mut model);
        starts.insert(log.log_start_offset());
        let kept = log.log_end_offset().get() - log.log_start_offset().get();
        assert!(kept < 150, "{kept} records are kept at change {number}");
    }
    assert!(starts.len() > 5, "{starts:?}");
    assert_eq!(read(&offsets), model);
    drop((offsets, log));
    store.close().unwrap();
    let store = options().open(home.path()).unwrap();
    assert_eq!(read(&LogOffsetStore::open(&store).unwrap()), model);
}

#[test]
fn a_snapshot_of_many_batches_is_as_good_as_the_changes() {
    let home = tempdir();
    let options = || options().batch_bytes_max(4096);
    let store = options().open(home.path()).unwrap();
    let offsets = LogOffsetStore::open(&store).unwrap();
    let mut model = Model::default();
    for group in 0..200 {
        let step = Step::Commit { group, partitions: (0..8).collect(), offset: u64::from(group) };
        step.apply(&offsets).unwrap();
        step.model(&mut model);
    }
    let rows: Vec<OffsetMapping> =
        (0..500u64).map(|number| OffsetMapping { offset: number.into(), timestamp: TimestampNs::new(1), bytes: number }).collect();
    rows.chunks(50).for_each(|rows| offsets.save_mappings(&key(0), rows, TimestampNs::new(7)).unwrap());
    let end = log_of(&store).log_end_offset();
    offsets.snapshot().unwrap();
    let log = log_of(&store);
    assert_eq!(log.log_start_offset(), end, "the snapshot is all that is left");
    assert!(log.view().batches_backwards(log.log_end_offset()).unwrap().count() > 10);
    drop((offsets, log));
    store.close().unwrap();
    let store = options().open(home.path()).unwrap();
    let offsets = LogOffsetStore::open(&store).unwrap();
    for group in 0..200 {
        assert_eq!(offsets.fetch_all(&self::group(group)).unwrap().len(), 8);
    }
    assert_eq!(offsets.mappings(&key(0), 0.into()..1000.into(), 1000).unwrap(), rows);
}

#[test]
fn its_topic_is_there_for_those_who_ask() {
    let home = tempdir();
    let store = options().open(home.path()).unwrap();
    store.topic("t").unwrap();
    LogOffsetStore::open(&store).unwrap();
    let read_only = options().open_read_only(home.path()).unwrap();
    for (listed, all) in [(store.topics().unwrap(), store.all_topics().unwrap()), (read_only.topics().unwrap(), read_only.all_topics().unwrap())] {
        assert_eq!(listed.iter().map(ToString::to_string).collect::<Vec<_>>(), ["t"]);
        assert_eq!(all.iter().map(ToString::to_string).collect::<Vec<_>>(), [TOPIC, "t"]);
        assert!(all[0].is_internal() && !all[1].is_internal());
    }
}

#[test]
fn a_reader_follows_beside_the_writer() {
    let home = tempdir();
    let store = options().open(home.path()).unwrap();
    let reader = LogOffsetStore::open_read_only(&options().open_read_only(home.path()).unwrap()).unwrap();
    assert!(reader.groups().unwrap().is_empty(), "there is no offset store yet");
    let writer = LogOffsetStore::open_with(&store, 1_000).unwrap();
    for round in 0..60u64 {
        (0..5).for_each(|number| commit(&writer, (round % 7) as u8, round * 5 + number));
        reader.refresh().unwrap();
        assert_eq!(read(&reader), read(&writer), "round {round}");
    }
    assert!(log_of(&store).log_start_offset() > 100, "snapshots passed it by");
    assert!(matches!(Step::DeleteGroup(1).apply(&reader), Err(OffsetStoreError::ReadOnly)));
    assert!(matches!(reader.snapshot(), Err(OffsetStoreError::ReadOnly)));
}

/// What was cut off the end of the log is not shown any longer.
#[test]
fn a_log_that_was_cut_is_read_anew() {
    let home = tempdir();
    let store = options().open(home.path()).unwrap();
    let writer = LogOffsetStore::open(&store).unwrap();
    (0..5).for_each(|of| commit(&writer, of, 1));
    let before = read(&writer);
    (5..9).for_each(|of| commit(&writer, of, 1));
    let reader = LogOffsetStore::open_read_only(&options().open_read_only(home.path()).unwrap()).unwrap();
    assert_eq!(read(&reader), read(&writer));
    log_of(&store).truncate_suffix(5).unwrap();
    reader.refresh().unwrap();
    assert_eq!(read(&reader), before);
    assert_eq!(read(&writer), before);
    commit(&writer, 7, 2);
    reader.refresh().unwrap();
    assert!(read(&reader) == read(&writer) && read(&writer).positions.len() == 18);
}

#[test]
fn two_of_one_store_see_each_other_and_lose_nothing() {
    let home = tempdir();
    // Snapshots of many batches, so that others come in between.
    let store = narrow().open(home.path()).unwrap();
    let both = [LogOffsetStore::open_with(&store, 500).unwrap(), LogOffsetStore::open_with(&store, 700).unwrap()];
    (10..60).for_each(|of| commit(&both[0], of, 149));
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4u8)
            .map(|thread| {
                let both = &both;
                scope.spawn(move || {
                    for number in 0..150u64 {
                        commit(&both[usize::from(thread % 2)], thread, number);
                        let seen = both[usize::from(thread / 2)].fetch(&group(thread), &key(5)).unwrap().unwrap();
                        assert_eq!(seen.offset, number);
                    }
                })
            })
            .collect();
        // Snapshots with changes of the other in between are worthless, and must not delete what is before them.
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                both.iter().for_each(|store| store.snapshot().unwrap());
            }
        });
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                let found = read(&LogOffsetStore::open(&store).unwrap());
                assert!((10..60).all(|of| found.positions.get(&(of, 5)) == Some(&149)));
            }
        });
        let outcomes: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        is_done.store(true, Ordering::Relaxed);
        outcomes.into_iter().for_each(Result::unwrap);
    });
    let expected: BTreeMap<(u8, u8), u64> = (0..4).chain(10..60).flat_map(|of| [0, 1, 5].map(|partition| ((of, partition), 149))).collect();
    assert!(both.iter().all(|store| read(store).positions == expected));
    drop(both);
    store.close().unwrap();
    let store = options().open(home.path()).unwrap();
    assert_eq!(read(&LogOffsetStore::open(&store).unwrap()).positions, expected);
}

/// Nothing is written where a newer version, or somebody else, has been.
#[test]
fn what_is_not_known_is_refused_and_left_alone() {
    for (record, is_newer) in [(&[2u8, 1, 0][..], true), (&[1, 0x3f], false), (b"", false), (&[1, 0x40, 0], false)] {
        let home = tempdir();
        let store = options().open(home.path()).unwrap();
        commit(&LogOffsetStore::open(&store).unwrap(), 1, 1);
        log_of(&store).append(Record::new(record)).unwrap();
        let before = fingerprint(&dir_of(home.path()));
        let error = LogOffsetStore::open(&store).map(drop).unwrap_err();
        match &error {
            OffsetStoreError::Unsupported { found: 2, supported: 1, place } => assert!(is_newer && place.contains("offset 1"), "{place}"),
            OffsetStoreError::Malformed { place, .. } => assert!(!is_newer && place.contains("offset 1"), "{place}"),
            other => panic!("{record:?}: {other}"),
        }
        assert!(error.is_refusal());
        let read_only = options().open_read_only(home.path()).unwrap();
        assert!(LogOffsetStore::open_read_only(&read_only).is_err_and(|error| error.is_refusal()));
        assert!(!is_newer || LogOffsetStore::salvage(&store).is_err());
        assert!(before == fingerprint(&dir_of(home.path())), "{record:?}: a refusal changed the log");
    }
}

/// An entry that no version writes costs what it said, and nothing around it, wherever snapshots stand.
#[test]
fn salvage_steps_over_what_is_no_entry() {
    // A commit of an offset above the highest, with the name of a topic that is none, and one that ends early.
    for record in [&b"\x01\x02\x01\0g\x01\0\0\0\x01\0n\x03\0a/b\0\x10\0\0\0\0\0\0\0\x04\0\0"[..], &[1, 0x3f], b""] {
        for has_snapshot in [false, true] {
            let home = tempdir();
            let store = options().open(home.path()).unwrap();
            let offsets = LogOffsetStore::open(&store).unwrap();
            commit(&offsets, 1, 1);
            log_of(&store).append(Record::new(record)).unwrap();
            assert!(matches!(offsets.groups(), Err(OffsetStoreError::Malformed { .. })));
            drop(offsets);
            // What was written behind it by a process that had not read it, in a store of its own here: at offset 1 a commit, and then a snapshot.
            let elsewhere = tempdir();
            let other = options().open(elsewhere.path()).unwrap();
            let written = LogOffsetStore::open(&other).unwrap();
            commit(&written, 1, 1);
            commit(&written, 2, 9);
            let model = read(&written);
            let value = log_of(&other).get(1).unwrap().value().unwrap().to_vec();
            let mut values = vec![value];
            if has_snapshot {
                written.snapshot().unwrap();
                let records = log_of(&other).view().read_from(2).unwrap().map(Result::unwrap);
                values = records
                    .take_while(|record| record.offset() < log_of(&other).log_end_offset())
                    .map(|record| record.value().unwrap().to_vec())
                    .collect();
            }
            for value in &values {
                log_of(&store).append(Record::new(value)).unwrap();
            }
            assert!(matches!(LogOffsetStore::open(&store), Err(OffsetStoreError::Malformed { .. })));
            let (salvaged, lost) = LogOffsetStore::salvage(&store).unwrap();
            let lost: Vec<_> = lost.iter().map(|range| (range.from, range.to)).collect();
            assert_eq!(lost, if has_snapshot { vec![] } else { vec![(1u64, 2u64)] }, "a snapshot makes up for it");
            assert_eq!(read(&salvaged), model);
            commit(&salvaged, 3, 3);
            let all = read(&salvaged);
            drop(salvaged);
            store.close().unwrap();
            let store = options().open(home.path()).unwrap();
            assert_eq!(read(&LogOffsetStore::open(&store).unwrap()), all, "it opens as any other");
            assert!(LogOffsetStore::salvage(&store).unwrap().1.is_empty());
        }
    }
}

/// Flips a bit of the record at `offset`.
fn damage(home: &Path, offset: u64) {
    let segments = segments(&dir_of(home));
    let segment = segments.iter().rev().find(|segment| segment.header.base_offset.get() <= offset).unwrap();
    segment.flip_body(offset);
}

#[test]
fn damage_is_told_and_what_is_left_can_be_had() {
    let home = tempdir();
    let store = options().open(home.path()).unwrap();
    let offsets = LogOffsetStore::open(&store).unwrap();
    (0..10).for_each(|number| commit(&offsets, number, u64::from(number)));
    drop(offsets);
    store.close().unwrap();
    damage(home.path(), 4);
    let store = options().open(home.path()).unwrap();
    let before = fingerprint(&dir_of(home.path()));
    for error in [
        LogOffsetStore::open(&store).map(drop).unwrap_err(),
        LogOffsetStore::open_read_only(&options().open_read_only(home.path()).unwrap()).map(drop).unwrap_err(),
    ] {
        assert!(error.is_refusal());
        assert!(matches!(&error, OffsetStoreError::Damaged { damage } if (damage[0].from, damage[0].to) == (4, 5)), "{error}");
    }
    assert!(before == fingerprint(&dir_of(home.path())));
    let (offsets, lost) = LogOffsetStore::salvage(&store).unwrap();
    assert_eq!(lost.iter().map(|range| (range.from, range.to)).collect::<Vec<_>>(), [(4, 5)]);
    let left: Vec<u8> = (0..10).filter(|number| *number != 4).collect();
    let groups = |store: &dyn OffsetStore| read(store).positions.keys().map(|(of, _)| *of).collect::<std::collections::BTreeSet<_>>();
    assert!(groups(&offsets).into_iter().eq(left.iter().copied()));
    commit(&offsets, 4, 4);
    drop(offsets);
    // What was damaged is behind a snapshot now.
    assert_eq!(groups(&LogOffsetStore::open(&store).unwrap()).len(), 10);
}

/// A store that was left between a snapshot and the deletion of what is before it, in batches of 1,024 bytes at most; and what it should say.
fn with_a_snapshot() -> (tempfile::TempDir, Model) {
    let (home, image) = (tempdir(), tempdir());
    let store = narrow().open(home.path()).unwrap();
    let offsets = LogOffsetStore::open(&store).unwrap();
    (0..40).for_each(|number| commit(&offsets, number, 1));
    let all = read(&offsets);
    drop(offsets);
    store.close().unwrap();
    let faulty = Faulty::new(Arc::new(tidelog::io::Disk::new()));
    let store = narrow().storage(Arc::new(faulty.clone())).open(home.path()).unwrap();
    let offsets = LogOffsetStore::open(&store).unwrap();
    faulty.inject(Fault::at(Op::Write).on_path("CHECKPOINT").from_then_on());
    let _ = offsets.snapshot();
    copy_tree(home.path(), image.path());
    let store = narrow().open(image.path()).unwrap();
    assert_eq!(log_of(&store).log_start_offset(), 0);
    store.close().unwrap();
    (image, all)
}

fn narrow() -> StoreOptions {
    options().batch_bytes_max(1024)
}

#[test]
fn a_snapshot_makes_up_for_damage_before_it() {
    let (home, all) = with_a_snapshot();
    damage(home.path(), 20);
    let store = narrow().open(home.path()).unwrap();
    assert_eq!(read(&LogOffsetStore::open(&store).unwrap()), all);
    assert_eq!(log_of(&store).log_start_offset(), 40, "the prefix is deleted now");
    assert_eq!(read(&LogOffsetStore::open(&store).unwrap()), all);
}

/// In the only snapshot, damage costs what it hit.
#[test]
fn a_damaged_snapshot_costs_what_is_damaged() {
    for at in [0, 3, 20] {
        let (home, all) = with_a_snapshot();
        let store = narrow().open(home.path()).unwrap();
        drop(LogOffsetStore::open(&store).unwrap());
        store.close().unwrap();
        let end = log_end(home.path());
        assert!(end > 70, "{end}");
        damage(home.path(), 40 + at);
        let store = narrow().open(home.path()).unwrap();
        assert!(matches!(LogOffsetStore::open(&store), Err(OffsetStoreError::Damaged { .. })));
        let left = read(&LogOffsetStore::salvage(&store).unwrap().0);
        assert!(left.positions.len() > 80 && left.positions.len() < all.positions.len(), "{} of {}", left.positions.len(), all.positions.len());
        assert!(left.positions.iter().all(|(place, offset)| all.positions.get(place) == Some(offset)), "nothing is invented");
        assert_eq!(read(&LogOffsetStore::open(&store).unwrap()), left);
    }
}

/// Whatever becomes of the offset log, the offsets of others are those of their logs.
#[test]
fn a_damaged_or_lost_offset_log_moves_no_offset() {
    for is_lost in [false, true] {
        let home = tempdir();
        let store = options().open(home.path()).unwrap();
        let orders = store.topic("orders").unwrap().partition(0).unwrap();
        (0..7).for_each(|offset| assert_eq!(orders.append(Record::new("x")).unwrap().base_offset, offset));
        let offsets = LogOffsetStore::open(&store).unwrap();
        (0..10).for_each(|number| commit(&offsets, number, 1_000));
        offsets.save_checkpoint(orders.key(), OffsetCheckpoint { offset: 900.into(), saved_at: TimestampNs::new(1) }).unwrap();
        drop((offsets, orders));
        store.close().unwrap();
        if is_lost {
            std::fs::remove_dir_all(home.path().join("topics/_tidelog")).unwrap();
        } else {
            damage(home.path(), 4);
        }
        let store = options().open(home.path()).unwrap();
        assert_eq!(LogOffsetStore::open(&store).is_ok_and(|offsets| offsets.groups().unwrap().is_empty()), is_lost);
        let orders = store.existing_topic("orders").unwrap().partition(0).unwrap();
        assert_eq!(orders.append(Record::new("x")).unwrap().base_offset, 7);
    }
}

fn log_end(home: &Path) -> u64 {
    options().open_read_only(home).unwrap().topic(TOPIC).unwrap().partition(0).unwrap().log_end_offset().get()
}

/// A prefix that somebody else deleted is missed: positions were in it.
#[test]
fn a_log_without_its_beginning_is_damaged() {
    for at in [3, 5] {
        let home = tempdir();
        let store = options().open(home.path()).unwrap();
        let offsets = LogOffsetStore::open(&store).unwrap();
        (0..5).for_each(|number| commit(&offsets, number, 1));
        drop(offsets);
        log_of(&store).delete_prefix(at).unwrap();
        let error = LogOffsetStore::open(&store).map(drop).unwrap_err();
        assert!(matches!(&error, OffsetStoreError::Damaged { damage } if (damage[0].from, damage[0].to) == (0, at)), "{error}");
        let (offsets, _) = LogOffsetStore::salvage(&store).unwrap();
        assert_eq!(read(&offsets).positions.len() as u64, 3 * (5 - at));
    }
}

#[test]
fn a_failed_sync_acknowledges_nothing() {
    let disk = SimDisk::new(3, NameModel::Strict);
    let store = on(&disk).open(STORE).unwrap();
    let offsets = LogOffsetStore::open(&store).unwrap();
    commit(&offsets, 1, 1);
    let before = read(&offsets);
    disk.fail_sync(1);
    let step = Step::Commit { group: 1, partitions: vec![0], offset: 2 };
    assert!(matches!(step.apply(&offsets), Err(OffsetStoreError::Append(_))));
    assert_eq!(read(&offsets), before, "what is not durable is not shown");
    assert!(step.apply(&offsets).is_err(), "until it is opened again");
}

fn on(disk: &SimDisk) -> StoreOptions {
    narrow().sync_policy(SyncPolicy::default()).storage(Arc::new(disk.clone())).without_threads()
}

fn open_on(disk: &SimDisk, what: &str) -> (Store, LogOffsetStore) {
    let store = on(disk).open(STORE).unwrap_or_else(|error| panic!("{what}: {error}"));
    let offsets = LogOffsetStore::open_with(&store, CHANGES).unwrap_or_else(|error| panic!("{what}: {error}"));
    (store, offsets)
}

/// Small enough that snapshots come every few changes.
const CHANGES: u64 = 300;

/// Whatever call the power fails after: everything acknowledged is there, and of what was going on all or nothing.
#[test]
fn power_may_fail_after_any_call() {
    let (mut cuts, mut snapshots) = (0, 0);
    for (seed, names) in [(1, NameModel::Strict), (2, NameModel::Journal), (3, NameModel::Strict)] {
        let disk = SimDisk::new(seed, names);
        let (store, offsets) = open_on(&disk, "first");
        let mut model = Model::default();
        for number in 0..24u64 {
            let step = match number % 6 {
                4 => Step::Delete { group: (number % 3) as u8, partitions: vec![1] },
                5 => Step::Checkpoint { partition: 2, offset: number },
                3 => Step::SaveGroup { group: (number % 3) as u8, generation: number as i32 },
                _ => Step::Commit { group: (number % 3) as u8, partitions: vec![0, 1, 5, 6], offset: number },
            };
            let before = model.clone();
            step.model(&mut model);
            let start = log_of(&store).log_start_offset();
            disk.watch(2);
            step.apply(&offsets).unwrap();
            disk.watch(0);
            snapshots += u64::from(log_of(&store).log_start_offset() > start);
            disk.watch(1);
            disk.cut_here();
            disk.watch(0);
            let all = disk.take_cuts();
            let last = all.len();
            for (place, cut) in all.into_iter().enumerate() {
                let what = format!("seed {seed}, step {number}, cut {place} of {last} after call {}, power {}", cut.call, cut.is_power);
                let left = cut.image.disk(cut.call, names);
                let (store, offsets) = open_on(&left, &what);
                let mut found = read(&offsets);
                let is_acknowledged = place + 2 >= last;
                assert!(found == model || (!is_acknowledged && found == before), "{what}: {found:?}\nexpected {model:?}\nor {before:?}");
                // What goes on behind a snapshot without an end is no part of it.
                let more = Step::Commit { group: 9, partitions: vec![7], offset: 1 };
                more.apply(&offsets).unwrap();
                more.model(&mut found);
                drop(offsets);
                store.close().unwrap();
                assert_eq!(read(&open_on(&left, &what).1), found, "{what}, and then a change");
                cuts += 1;
            }
        }
    }
    assert!(cuts > 500 && snapshots >= 9, "{cuts} cuts, {snapshots} snapshots");
}

fn steps() -> impl Strategy<Value = Step> {
    let partitions = || proptest::collection::vec(0..8u8, 1..6);
    prop_oneof![
        8 => (0..4u8, partitions(), 0..1000u64).prop_map(|(group, partitions, offset)| Step::Commit { group, partitions, offset }),
        2 => (0..4u8, partitions()).prop_map(|(group, partitions)| Step::Delete { group, partitions }),
        1 => (0..4u8).prop_map(Step::DeleteGroup),
        3 => (0..4u8, 0..100).prop_map(|(group, generation)| Step::SaveGroup { group, generation }),
        1 => (0..8u8).prop_map(Step::DeleteTopic),
        3 => (0..8u8, 0..1000u64).prop_map(|(partition, offset)| Step::Checkpoint { partition, offset }),
        1 => (0..1000u64).prop_map(Step::CleanUp),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Reopen),
        2 => any::<u64>().prop_map(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(0x71DE), ..ProptestConfig::default() })]

    /// A store is what its model is, after any steps, opens and cuts of power.
    #[test]
    fn it_is_what_its_model_is(steps in proptest::collection::vec(steps(), 1..60), seed in any::<u64>()) {
        let names = if seed % 2 == 0 { NameModel::Strict } else { NameModel::Journal };
        let mut disk = SimDisk::new(seed, names);
        let (mut store, mut offsets) = open_on(&disk, "first");
        let mut model = Model::default();
        for (number, step) in steps.iter().enumerate() {
            step.apply(&offsets).unwrap();
            step.model(&mut model);
            match step {
                Step::Reopen => {
                    drop(offsets);
                    store.close().unwrap();
                    (store, offsets) = open_on(&disk, "again");
                }
                Step::Crash(seed) => {
                    let image = if seed % 3 == 0 { disk.image() } else { disk.power_cut() };
                    disk = image.disk(*seed, names);
                    (store, offsets) = open_on(&disk, "after a crash");
                }
                _ => {}
            }
            prop_assert_eq!(&read(&offsets), &model, "after step {} {:?}", number, step);
        }
    }
}

/// Commits until it is killed, and tells each that was acknowledged.
#[test]
fn committer() {
    let Some((dir, _)) = other() else { return };
    let store = Store::open(dir).unwrap();
    let offsets = LogOffsetStore::open_with(&store, 4_000).unwrap();
    let first = offsets.fetch(&group(1), &key(0)).unwrap().map_or(0, |position| position.offset.get());
    for number in first + 1.. {
        commit(&offsets, 1, number);
        tell("done", number);
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let home = tempdir();
    let mut last = 0;
    for round in 1..=8u64 {
        let mut committer = Other::start("offset_log::committer", home.path(), "");
        for _ in 0..round * 70 {
            last = committer.hear("done").parse().unwrap();
        }
        committer.kill();
        let store = Store::open(home.path()).unwrap();
        let offsets = LogOffsetStore::open(&store).unwrap();
        let found: Vec<u64> = [0, 1, 5].map(|number| offsets.fetch(&group(1), &key(number)).unwrap().unwrap().offset.get()).into();
        assert!(found[0] >= last && found.iter().all(|offset| *offset == found[0]), "{last} was acknowledged, {found:?} is there");
    }
    let store = Store::open(home.path()).unwrap();
    assert!(log_of(&store).log_start_offset() > 0, "there were snapshots");
    assert!(log_of(&store).append_with(Record::new("x"), AckLevel::Written).is_ok());
}
