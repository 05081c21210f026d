//! What is noted about a partition is what its log says, however often and in whatever state it is asked; and copies between stores.

use std::sync::atomic::Ordering;

use tidelog::{
    AckLevel, CommittedOffset, GroupId, LogOffsetStore, MappingMode, MemoryOffsetStore, Offset, OffsetCheckpoint, OffsetMapping, OffsetStore,
    Partition, PartitionStats, Record, Store, SyncPolicy, TimestampNs, copy_positions, note_partition, offset_mappings,
};

use crate::offset_faults::{Faulty, When};
use crate::reading_support::Random;
use crate::support::{options, tempdir};

const ALL: std::ops::Range<Offset> = Offset::new(0)..Offset::new(1 << 40);
const MODES: [MappingMode; 3] = [MappingMode::Off, MappingMode::Sparse, MappingMode::Full];

fn open(home: &std::path::Path) -> (Store, Partition) {
    let store = options().open(home).unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    (store, partition)
}

/// Appends records with keys, values and times that say which they are, alone and in batches; returns their rows.
fn fill(partition: &Partition, random: &mut Random, count: u64) -> Vec<OffsetMapping> {
    let (mut rows, mut left) = (Vec::new(), count);
    while left > 0 {
        let size = (1 + random.below(30)).min(left);
        left -= size;
        let mut batch = tidelog::RecordBatch::new();
        let base = partition.log_end_offset().get();
        for number in 0..size {
            let (key, value) = (vec![7; random.below(20) as usize], vec![8; random.below(300) as usize]);
            let timestamp = TimestampNs::new(1_000_000 * random.below(1000) as i64);
            batch.push(&Record::new(&value).key(&key).timestamp(timestamp)).unwrap();
            rows.push(OffsetMapping { offset: (base + number).into(), timestamp, bytes: (key.len() + value.len()) as u64 });
        }
        partition.append_batch(&batch, AckLevel::Written).unwrap();
    }
    partition.flush().unwrap();
    rows
}

/// Notes must say exactly this.
fn check(notes: &dyn OffsetStore, partition: &Partition, mode: MappingMode, rows: &[OffsetMapping], what: &str) {
    let stats = notes.partition_stats(partition.key()).unwrap().unwrap();
    let (first, last) = (rows.first(), rows.last());
    let expected = PartitionStats {
        record_count: rows.len() as u64,
        total_bytes: rows.iter().map(|row| row.bytes).sum(),
        earliest: first.map(|row| row.offset),
        latest: last.map(|row| row.offset),
        first_record_at: first.map(|row| row.timestamp),
        last_record_at: last.map(|row| row.timestamp),
        counted_at: stats.counted_at,
    };
    assert_eq!(stats, expected, "{what}");
    assert_eq!(notes.load_checkpoint(partition.key()).unwrap().map(|noted| noted.offset), last.map(|row| row.offset), "{what}");
    let found = notes.mappings(partition.key(), ALL, usize::MAX).unwrap();
    match mode {
        MappingMode::Off => assert!(found.is_empty(), "{what}"),
        MappingMode::Full => assert_eq!(found, rows, "{what}"),
        MappingMode::Sparse => {
            assert!(found.iter().all(|row| rows.contains(row)), "{what}");
            let again = MemoryOffsetStore::new();
            note_partition(&again, partition.key(), partition.view(), mode).unwrap();
            assert_eq!(found, again.mappings(partition.key(), ALL, usize::MAX).unwrap(), "{what}: the same rows in many steps as in one");
        }
    }
}

#[test]
fn notes_are_what_the_log_says() {
    for mode in MODES {
        let home = tempdir();
        let (store, partition) = open(home.path());
        let logged = LogOffsetStore::open_with(&store, 10_000).unwrap();
        let memory = MemoryOffsetStore::new();
        let both: [&dyn OffsetStore; 2] = [&logged, &memory];
        let (mut random, mut rows) = (Random::new(5), Vec::new());
        for step in 0..12 {
            for notes in both {
                note_partition(notes, partition.key(), partition.view(), mode).unwrap();
                check(notes, &partition, mode, &rows, &format!("{mode:?}, step {step}"));
            }
            if step != 3 {
                rows.extend(fill(&partition, &mut random, 150));
            }
        }
        let count = memory.mappings(partition.key(), ALL, usize::MAX).unwrap().len();
        assert!(mode != MappingMode::Sparse || (20..150).contains(&count), "{count} sparse rows of {}", rows.len());
    }
}

/// Whatever rows a store has, a range is read from the log.
#[test]
fn ranges_are_exact_in_every_mode() {
    let home = tempdir();
    let (_store, partition) = open(home.path());
    let mut random = Random::new(7);
    let rows = fill(&partition, &mut random, 700);
    partition.delete_prefix(33).unwrap();
    for _ in 0..200 {
        let (from, to, limit) = (random.below(800), random.below(800), random.below(200) as usize);
        let expected: Vec<_> = rows.iter().filter(|row| (from.max(33)..to).contains(&row.offset.get())).take(limit).copied().collect();
        assert_eq!(offset_mappings(partition.view(), from.into()..to.into(), limit).unwrap(), expected, "{from}..{to}, {limit}");
    }
}

#[test]
fn notes_that_do_not_fit_the_log_are_made_anew() {
    type Change = fn(&Partition, &dyn OffsetStore, &mut Random, &mut Vec<OffsetMapping>);
    let changes: [(&str, Change); 7] = [
        ("a prefix is deleted", |partition, _, _, rows| {
            partition.delete_prefix(100).unwrap();
            rows.drain(..100);
        }),
        ("a suffix is cut off, and others take its offsets", |partition, _, random, rows| {
            partition.truncate_suffix(120).unwrap();
            rows.truncate(120);
            rows.extend(fill(partition, random, 200));
        }),
        ("a suffix is cut off", |partition, _, _, rows| {
            partition.truncate_suffix(120).unwrap();
            rows.truncate(120);
        }),
        ("a checkpoint of the future", |partition, notes, _, _| {
            let checkpoint = OffsetCheckpoint { offset: 1_000_000.into(), saved_at: TimestampNs::new(1) };
            notes.save_checkpoint(partition.key(), checkpoint).unwrap();
        }),
        ("a row of the future", |partition, notes, _, _| {
            let row = OffsetMapping { offset: 1_000_000.into(), timestamp: TimestampNs::new(1), bytes: 1 };
            notes.save_mappings(partition.key(), &[row], TimestampNs::new(1)).unwrap();
        }),
        ("counts of another partition", |partition, notes, _, _| {
            let stats = notes.partition_stats(partition.key()).unwrap().unwrap();
            notes.save_stats(partition.key(), PartitionStats { latest: Some(50.into()), record_count: 3, ..stats }).unwrap();
        }),
        ("everything is lost", |partition, notes, _, _| notes.forget(partition.key()).unwrap()),
    ];
    for mode in MODES {
        for (what, change) in changes {
            let home = tempdir();
            let (_store, partition) = open(home.path());
            let notes = MemoryOffsetStore::new();
            let (mut random, end) = (Random::new(9), 200);
            let mut rows = fill(&partition, &mut random, end);
            note_partition(&notes, partition.key(), partition.view(), mode).unwrap();
            change(&partition, &notes, &mut random, &mut rows);
            let next = partition.log_end_offset();
            note_partition(&notes, partition.key(), partition.view(), mode).unwrap();
            check(&notes, &partition, mode, &rows, &format!("{mode:?}: {what}"));
            assert_eq!(partition.append(Record::new("x")).unwrap().base_offset, next, "{what}");
        }
    }
}

/// Gone before or behind any of its calls, or failed in it, it goes on where it was, and notes the same as one that ran through.
#[test]
fn a_run_that_ends_early_goes_on() {
    // More than two saves of each.
    for (mode, records, calls_min) in [(MappingMode::Off, 21_000, 6), (MappingMode::Sparse, 21_000, 8), (MappingMode::Full, 3_500, 12)] {
        let home = tempdir();
        let (_store, partition) = open(home.path());
        let rows = fill(&partition, &mut Random::new(11), records);
        for (kind, when) in [When::DieBefore, When::DieBehind, When::Fail(1)].into_iter().enumerate() {
            let mut calls = 0;
            while ends_early_and_goes_on(&partition, mode, &rows, calls, when) {
                calls += 1;
            }
            assert!(calls >= calls_min, "{mode:?}, {kind}: {calls} calls");
        }
    }
}

/// Whether a run ended in a call; the next one went on where it was.
fn ends_early_and_goes_on(partition: &Partition, mode: MappingMode, rows: &[OffsetMapping], call: u32, when: When) -> bool {
    let notes = Faulty::new(call, when);
    let run = || note_partition(&notes, partition.key(), partition.view(), mode);
    let is_through = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_ok_and(|outcome| outcome.is_ok());
    let noted = notes.inner.partition_stats(partition.key()).unwrap();
    let again = Faulty::on(notes.inner);
    note_partition(&again, partition.key(), partition.view(), mode).unwrap();
    let what = format!("{mode:?}, ended early in call {call} ({when:?})");
    check(&again.inner, partition, mode, rows, &what);
    assert_eq!(again.forgotten.load(Ordering::Relaxed), u32::from(noted.is_none()), "{what}: whether it began anew");
    if let (Some(noted), MappingMode::Full) = (noted, mode) {
        assert_eq!(u64::from(again.rows.load(Ordering::Relaxed)), rows.len() as u64 - noted.record_count, "{what}: rows were made twice");
    }
    !is_through
}

/// A row behind the counts that is not what the log says was not left by a run.
#[test]
fn a_row_behind_the_counts_must_be_that_of_the_log() {
    for mode in MODES {
        let home = tempdir();
        let (_store, partition) = open(home.path());
        let notes = MemoryOffsetStore::new();
        let mut random = Random::new(4);
        let mut rows = fill(&partition, &mut random, 100);
        note_partition(&notes, partition.key(), partition.view(), mode).unwrap();
        rows.extend(fill(&partition, &mut random, 100));
        let wrong = OffsetMapping { bytes: rows[150].bytes + 1, ..rows[150] };
        notes.save_mappings(partition.key(), &[wrong], TimestampNs::new(1)).unwrap();
        note_partition(&notes, partition.key(), partition.view(), mode).unwrap();
        check(&notes, &partition, mode, &rows, &format!("{mode:?}"));
    }
}

#[test]
fn a_mode_is_changed() {
    let home = tempdir();
    let (_store, partition) = open(home.path());
    let notes = MemoryOffsetStore::new();
    let rows = fill(&partition, &mut Random::new(2), 300);
    for mode in [MappingMode::Off, MappingMode::Sparse, MappingMode::Full] {
        note_partition(&notes, partition.key(), partition.view(), mode).unwrap();
        check(&notes, &partition, mode, &rows, &format!("{mode:?}"));
    }
}

/// Rows come behind the sync, never before.
#[test]
fn only_what_is_durable_is_noted() {
    let home = tempdir();
    let options = options().sync_policy(SyncPolicy::Interval(std::time::Duration::from_secs(60)));
    let store = options.open(home.path()).unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    partition.append(Record::new("durable")).unwrap();
    partition.append_with(Record::new("written"), AckLevel::Written).unwrap();
    let notes = MemoryOffsetStore::new();
    for (flush, expected) in [(false, 1), (true, 2)] {
        if flush {
            partition.flush().unwrap();
        }
        assert_eq!(note_partition(&notes, partition.key(), partition.view(), MappingMode::Full).unwrap().record_count, expected);
        assert_eq!(notes.highest_offset(partition.key()).unwrap(), Some((expected - 1).into()));
    }
}

fn position(offset: u64, committed_at: i64) -> CommittedOffset {
    CommittedOffset::new(offset, TimestampNs::new(committed_at))
}

fn group(number: u64) -> GroupId {
    format!("group-{number}").parse().unwrap()
}

fn all(store: &dyn OffsetStore) -> Vec<(GroupId, Vec<(tidelog::PartitionKey, CommittedOffset)>)> {
    store.groups().unwrap().into_iter().map(|group| (group.clone(), store.fetch_all(&group).unwrap())).collect()
}

fn source(home: &std::path::Path) -> (Store, MemoryOffsetStore, Vec<tidelog::PartitionKey>) {
    let store = options().open(home).unwrap();
    let topic = store.create_topic("wide", 250).unwrap();
    let keys: Vec<_> = (0..250).map(|number| topic.partition_key(number).unwrap()).collect();
    let from = MemoryOffsetStore::new();
    for number in 0..5 {
        let positions: Vec<_> = keys.iter().map(|key| (key.clone(), position(number * 10, 100))).collect();
        from.commit(&group(number), &positions).unwrap();
    }
    (store, from, keys)
}

#[test]
fn a_copy_is_everything_and_may_be_run_again() {
    let home = tempdir();
    let (store, from, keys) = source(home.path());
    let to = LogOffsetStore::open(&store).unwrap();
    // What a killed copy left, what the target has more of, and what it knows better.
    to.commit(&group(1), &[(keys[0].clone(), position(10, 100)), (keys[1].clone(), position(3, 99)), (keys[2].clone(), position(77, 101))]).unwrap();
    to.commit(&group(9), &[(keys[0].clone(), position(1, 1))]).unwrap();
    let report = copy_positions(&from, &to, false).unwrap();
    assert_eq!((report.groups, report.copied, report.same, report.newer), (5, 1248, 1, 1));
    let again = copy_positions(&from, &to, false).unwrap();
    assert_eq!((again.copied, again.same, again.newer), (0, 1249, 1));
    assert_eq!(to.fetch(&group(1), &keys[2]).unwrap(), Some(position(77, 101)));
    assert_eq!(copy_positions(&from, &to, true).unwrap().copied, 1);
    assert_eq!(to.delete_group(&group(9)).unwrap(), 1);
    assert_eq!(all(&to), all(&from));
}

/// A copy that is gone in the middle of any commit, before it or behind it, is run again, and the target has everything.
/// A coordinator on the copy goes on with the next generation, and never with one that was given out before.
#[test]
fn generations_go_along_with_a_copy() {
    let (from, to) = (MemoryOffsetStore::new(), MemoryOffsetStore::new());
    let metadata = |generation: i32| tidelog::GroupMetadata::empty(generation, TimestampNs::new(1));
    for (number, generation) in [(1, 5), (2, 5)] {
        from.save_group(&group(number), &metadata(generation)).unwrap();
    }
    to.save_group(&group(2), &metadata(9)).unwrap();
    assert_eq!(copy_positions(&from, &to, false).unwrap().groups, 2);
    assert_eq!([1, 2].map(|number| to.load_group(&group(number)).unwrap().unwrap().generation), [5, 9]);
}

#[test]
fn a_copy_that_is_killed_is_run_again() {
    let home = tempdir();
    let (_store, from, _) = source(home.path());
    let (mut calls, mut partly) = (0, 0);
    loop {
        let to = Faulty::new(calls / 2, if calls % 2 == 0 { When::DieBefore } else { When::DieBehind });
        // The process is gone in that call: nothing of the copy runs any more.
        let is_killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| copy_positions(&from, &to, false))).is_err();
        let found: usize = all(&to.inner).iter().map(|(_, positions)| positions.len()).sum();
        partly += u32::from(is_killed && (1..1250).contains(&found));
        let report = copy_positions(&from, &to.inner, false).unwrap();
        assert_eq!((report.copied, report.same), (1250 - found, found));
        assert_eq!(all(&to.inner), all(&from));
        if !is_killed {
            break;
        }
        calls += 1;
    }
    assert!(calls >= 10 && partly >= 8, "{partly} of {calls} were killed with some of it written");
}

/// Each position is taken back by itself: as long as it is what was written, and though others cannot be.
#[test]
fn what_is_taken_back_is_what_was_written() {
    let home = tempdir();
    let (_store, from, keys) = source(home.path());
    let rewound = position(1, 99);
    // The copy fails in its third commit; then the first three calls that take back fail too.
    let to = Faulty::new(2, When::Fail(4));
    to.inner.commit(&group(0), &[(keys[5].clone(), position(2, 50))]).unwrap();
    // A group goes back to an older offset, with an older time, while it is copied.
    *to.meanwhile.lock().unwrap() = Some((group(0), keys[7].clone(), rewound.clone()));
    match copy_positions(&from, &to, false).unwrap_err() {
        tidelog::OffsetStoreError::NotTakenBack { positions: 3, source, .. } => {
            assert!(matches!(*source, tidelog::OffsetStoreError::ReadOnly), "{source}");
        }
        other => panic!("{other}"),
    }
    let left: Vec<_> =
        all(&to.inner).into_iter().flat_map(|(group, positions)| positions.into_iter().map(move |(key, at)| (group.clone(), key, at))).collect();
    assert!(left.contains(&(group(0), keys[7].clone(), rewound)), "a group lost its commit");
    assert!(left.contains(&(group(0), keys[5].clone(), position(2, 50))), "what was there is there again");
    assert_eq!(left.len(), 5, "and three that could not be taken back: {left:?}");
    assert_eq!(copy_positions(&from, &to.inner, true).map(|report| report.same).unwrap(), 3);
}

/// A commit in doubt may be done behind the look at it: only what is seen is told as taken back.
#[test]
fn what_is_in_doubt_is_not_told_as_taken_back() {
    for is_done in [false, true] {
        let home = tempdir();
        let (_store, from, _keys) = source(home.path());
        let to = Faulty::new(2, When::LoseAnswer { is_done });
        let error = copy_positions(&from, &to, false).unwrap_err();
        assert!(all(&to.inner).iter().all(|(_, positions)| positions.is_empty()), "{error}");
        match (is_done, error) {
            (true, tidelog::OffsetStoreError::OutcomeUnknown { .. }) => {}
            (false, tidelog::OffsetStoreError::NotTakenBack { positions, source, reason }) => {
                assert!(positions > 0 && positions <= 100, "the commit in doubt, and no others: {positions}");
                let are_doubts = [source, reason].iter().all(|error| matches!(**error, tidelog::OffsetStoreError::OutcomeUnknown { .. }));
                assert!(are_doubts);
            }
            (_, error) => panic!("{error}"),
        }
    }
}

/// A target that takes no more in the middle, and one that keeps something else, are as they were.
#[cfg(feature = "sqlite")]
#[test]
fn a_copy_that_fails_takes_back_what_it_wrote() {
    let fails = "CREATE TRIGGER fails BEFORE INSERT ON consumer_group_positions WHEN NEW.group_id = 'group-3' AND NEW.partition_key LIKE '%:range:3276-%' \
                 BEGIN SELECT RAISE(ABORT, 'no more'); END";
    let lies = "CREATE TRIGGER lies AFTER INSERT ON consumer_group_positions WHEN NEW.group_id = 'group-3' AND NEW.partition_key LIKE '%:range:3276-%' \
                BEGIN UPDATE consumer_group_positions SET committed_offset = 1 WHERE group_id = NEW.group_id AND partition_key = NEW.partition_key; END";
    for (trigger, is_lie) in [(fails, false), (lies, true)] {
        let home = tempdir();
        let (_store, from, keys) = source(home.path());
        let file = home.path().join("offsets.db");
        let to = tidelog::SqliteOffsetStore::open(&file).unwrap();
        to.commit(&group(1), &[(keys[1].clone(), position(3, 99))]).unwrap();
        let before = all(&to);
        let db = rusqlite::Connection::open(&file).unwrap();
        db.execute_batch(trigger).unwrap();
        let error = copy_positions(&from, &to, false).unwrap_err();
        assert_eq!(matches!(error, tidelog::OffsetStoreError::NotVerified { .. }), is_lie, "{error}");
        // What was read back as something else may be what its group has committed: it is left.
        assert_eq!(to.delete_group(&group(3)).unwrap(), usize::from(is_lie));
        assert_eq!(all(&to), before, "{error}");
        // A group that commits behind the copy keeps what it committed, though the copy takes back the rest.
        let live = "CREATE TRIGGER live AFTER INSERT ON consumer_group_positions WHEN NEW.group_id = 'group-2' AND NEW.committed_at = 100 \
                    BEGIN UPDATE consumer_group_positions SET committed_offset = 55, committed_at = 101 \
                    WHERE group_id = NEW.group_id AND partition_key = NEW.partition_key; END";
        db.execute_batch(live).unwrap();
        copy_positions(&from, &to, false).unwrap_err();
        let kept = to.fetch_all(&group(2)).unwrap();
        assert!(kept.len() == 250 && kept.iter().all(|(_, kept)| *kept == position(55, 101)), "{error}");
        db.execute_batch("DROP TRIGGER live").unwrap();
        assert_eq!(to.delete_group(&group(2)).unwrap(), 250);
        assert_eq!(to.delete_group(&group(3)).unwrap(), usize::from(is_lie));
        assert_eq!(all(&to), before, "{error}");
        db.execute_batch(if is_lie { "DROP TRIGGER lies" } else { "DROP TRIGGER fails" }).unwrap();
        copy_positions(&from, &to, false).unwrap();
        assert_eq!(all(&to), all(&from));
    }
}
