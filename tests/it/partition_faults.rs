//! Topics whose making, splitting or deletion fails: what was refused stays refused, and nothing is acknowledged in what may not last.

use std::sync::Arc;
use std::time::Duration;

use tidelog::io::Disk;
use tidelog::io::fault::{ENOSPC, Fault, Faulty, Op};
use tidelog::io::sim::{NameModel, SimDisk};
use tidelog::{
    AppendError, CommittedOffset, CutError, GroupId, LogOffsetStore, OffsetStore, OpenError, Record, Store, StoreOptions, TimestampNs, Topic,
    TopicError, TopicOptions,
};

use crate::reading_support::{Home, eventually, small};

fn faulty_store(home: &Home) -> (Faulty, Store) {
    let faulty = Faulty::new(Arc::new(Disk::new()));
    // Nobody comes to a topic before the test has put its fault there.
    let store = small().storage(Arc::new(faulty.clone())).background_recovery(false).open(home.path()).unwrap();
    (faulty, store)
}

#[test]
fn a_deletion_that_failed_leaves_a_split_partition_split() {
    let home = Home::new();
    let (faulty, store) = faulty_store(&home);
    let topic = store.create_topic("t", 2).unwrap();
    let (old, other) = (topic.partition(0).unwrap(), topic.partition(1).unwrap());
    old.append(Record::new("before")).unwrap();
    topic.split(0, 2).unwrap();
    faulty.inject(Fault::at(Op::RenameNew).on_path("topics/default/t"));
    assert!(matches!(store.delete_topic("t"), Err(TopicError::Io(_))));
    faulty.heal();
    assert!(matches!(old.append(Record::new("x")), Err(AppendError::PartitionSplit)));
    assert!(matches!(old.truncate_suffix(0), Err(CutError::PartitionSplit)));
    other.append(Record::new("goes on")).unwrap();
    store.delete_topic("t").unwrap();
    assert!(matches!(old.append(Record::new("x")), Err(AppendError::TopicDeleted)));
}

/// Nobody can say which of two catalogues is there: the old partition takes nothing until that is known.
#[test]
fn a_split_whose_outcome_cannot_be_read_is_in_doubt() {
    let home = Home::new();
    let (faulty, store) = faulty_store(&home);
    let topic = store.create_topic("t", 1).unwrap();
    let old = topic.partition(0).unwrap();
    faulty.inject(Fault::at(Op::Open).on_path("t/TOPIC").from_then_on());
    faulty.inject(Fault::at(Op::SyncDir).on_path("topics/default/t"));
    assert!(matches!(topic.split(0, 2), Err(TopicError::Io(_))));
    faulty.heal();
    assert!(matches!(old.append(Record::new("x")), Err(AppendError::PartitionSplit)));
    assert!(topic.partition(1).is_err(), "nothing builds on it");
}

/// A full disk changes neither file: nothing is in doubt, and the partition goes on.
#[test]
fn a_split_on_a_full_disk_ends_no_appends() {
    for file in ["TOPIC.copy.tmp", "TOPIC.tmp"] {
        let home = Home::new();
        let (faulty, store) = faulty_store(&home);
        let topic = store.create_topic("t", 1).unwrap();
        let old = topic.partition(0).unwrap();
        for error in [ENOSPC, EMFILE] {
            faulty.inject(Fault::at(Op::Create).on_path(file).error(error).from_then_on());
            assert!(matches!(topic.split(0, 2), Err(TopicError::Io(_))), "{file}");
            old.append(Record::new("goes on")).unwrap();
            faulty.heal();
        }
        assert_eq!(topic.split(0, 2).unwrap(), [1, 2]);
    }
}

/// Where the copy alone could say what the topic is, and cannot be read or believed, no guess is made.
#[test]
fn no_topic_is_guessed_while_its_copy_is_there() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let topic = store.create_topic("t", 1).unwrap();
    topic.partition(0).unwrap().append(Record::new("x")).unwrap();
    topic.split(0, 2).unwrap();
    store.close().unwrap();
    let catalog = home.path().join("topics/default/t/TOPIC");
    std::fs::remove_file(&catalog).unwrap();
    let (faulty, store) = faulty_store(&home);
    faulty.inject(Fault::at(Op::Open).on_path("TOPIC.copy").error(EMFILE).from_then_on());
    assert!(matches!(store.existing_topic("t"), Err(TopicError::Open(OpenError::Io(_)) | TopicError::Io(_))));
    faulty.heal();
    assert_eq!(store.existing_topic("t").unwrap().active_partitions(), [1, 2]);
    store.close().unwrap();
    let copy = catalog.with_extension("copy");
    let mut bytes = std::fs::read(&copy).unwrap();
    let _ = std::fs::remove_file(&catalog);
    bytes[150] ^= 1;
    std::fs::write(&copy, bytes).unwrap();
    let store = small().open(home.path()).unwrap();
    assert!(matches!(store.existing_topic("t"), Err(TopicError::CatalogDamaged { .. })));
}

/// A crash between the two leaves a copy that says more than counts: the next open takes that away.
#[test]
fn a_copy_that_is_not_the_catalogue_is_written_anew() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    store.create_topic("t", 1).unwrap().partition(0).unwrap();
    let catalog = home.path().join("topics/default/t/TOPIC");
    let before = std::fs::read(&catalog).unwrap();
    store.existing_topic("t").unwrap().split(0, 2).unwrap();
    store.close().unwrap();
    std::fs::write(&catalog, &before).unwrap();
    let store = small().open(home.path()).unwrap();
    assert_eq!(store.existing_topic("t").unwrap().active_partitions(), [0]);
    assert!(std::fs::read(catalog.with_extension("copy")).unwrap() == before);
}

/// An older catalogue that was brought back: what stands where a partition would be made is not taken for one that was never used.
#[test]
fn a_directory_of_another_catalogue_is_no_new_partition() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let topic = store.create_topic("t", 1).unwrap();
    topic.split(0, 2).unwrap();
    topic.partition(1).unwrap().append(Record::new("acknowledged")).unwrap();
    store.close().unwrap();
    let dir = home.path().join("topics/default/t");
    let kept = home.path().join("kept");
    std::fs::rename(dir.join("1"), &kept).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let store = small().open(home.path()).unwrap();
    let topic = store.create_topic("t", 2).unwrap();
    std::fs::rename(&kept, dir.join("1")).unwrap();
    assert!(matches!(topic.partition(1), Err(TopicError::CatalogDamaged { .. })));
    topic.partition(0).unwrap().append(Record::new("goes on")).unwrap();
}

/// An older catalogue that was brought back, of fewer partitions: the records of the others are not passed over in silence, and can be had.
#[test]
fn partitions_behind_an_older_catalogue_are_not_passed_over() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let topic = store.create_topic("t", 1).unwrap();
    topic.partition(0).unwrap().append(Record::new("before")).unwrap();
    let dir = home.path().join("topics/default/t");
    let older = std::fs::read(dir.join("TOPIC")).unwrap();
    topic.split(0, 2).unwrap();
    for number in [1, 2] {
        topic.partition(number).unwrap().append(Record::new("acknowledged")).unwrap();
    }
    store.close().unwrap();
    std::fs::write(dir.join("TOPIC"), &older).unwrap();
    std::fs::write(dir.join("TOPIC.copy"), &older).unwrap();
    let store = small().open(home.path()).unwrap();
    assert!(matches!(store.existing_topic("t"), Err(TopicError::CatalogDamaged { .. })));
    store.close().unwrap();
    let reader = small().open_read_only(home.path()).unwrap();
    assert_eq!(reader.topic("t").unwrap().partition(2).unwrap().end_offset(), 1);
    drop(reader);
    small().plan_repair(home.path(), None).unwrap().apply().unwrap();
    let topic = small().open(home.path()).unwrap().existing_topic("t").unwrap();
    assert_eq!(topic.active_partitions(), [1, 2]);
    assert_eq!(topic.partition(1).unwrap().append(Record::new("goes on")).unwrap().base_offset, 1);
}

/// The name of the namespace could not be synced: nothing is acknowledged in it, in whichever topic.
#[test]
fn nothing_is_acknowledged_in_a_namespace_whose_name_was_not_synced() {
    let home = Home::new();
    let (faulty, store) = faulty_store(&home);
    store.create_topic("default/t", 1).unwrap();
    faulty.inject(Fault::at(Op::SyncDir).on_path("topics"));
    assert!(store.topic("ns/t").is_err());
    faulty.heal();
    for name in ["ns/t", "ns/u"] {
        let again = store.topic(name).map(drop);
        assert!(again.is_err(), "{name}: {again:?}");
    }
    store.topic("default/u").unwrap();
    store.close().unwrap();
    small().open(home.path()).unwrap().topic("ns/t").unwrap();
}

/// A topic that is refused keeps the positions of its groups.
#[test]
fn a_deletion_that_is_refused_takes_no_positions() {
    let home = Home::new();
    let (faulty, store) = faulty_store(&home);
    let topic = store.create_topic("t", 1).unwrap();
    let (positions, group) = (LogOffsetStore::open(&store).unwrap(), "g".parse::<GroupId>().unwrap());
    let key = topic.partition_key(0).unwrap();
    positions.commit(&group, &[(key.clone(), CommittedOffset::new(0, TimestampNs::new(0)))]).unwrap();
    drop((positions, topic));
    store.close().unwrap();
    let _ = faulty;
    let (faulty, store) = faulty_store(&home);
    let positions = LogOffsetStore::open(&store).unwrap();
    faulty.inject(Fault::at(Op::SyncDir).on_path("topics/default").from_then_on());
    assert!(tidelog::delete_topic(&store, &positions, "t").is_err());
    assert!(positions.fetch(&group, &key).unwrap().is_some());
}

fn on(storage: impl tidelog::io::Storage + 'static) -> StoreOptions {
    StoreOptions::new().storage(Arc::new(storage)).segment_bytes(64 << 10).without_threads()
}

/// After a sync that failed, a later one that succeeds proves nothing: what has its name all the same is no topic to append to before the next open.
#[test]
fn nothing_is_acknowledged_in_a_topic_whose_name_was_not_synced() {
    let mut unsure = 0;
    for nth in 1.. {
        let disk = SimDisk::new(nth, NameModel::Strict);
        let faulty = Faulty::new(Arc::new(disk.clone()));
        let store = on(faulty.clone()).open("/store").unwrap();
        store.create_topic("before", 1).unwrap();
        let fired = faulty.fired();
        faulty.inject(Fault::at(Op::SyncDir).on_path("topics/default").nth(nth));
        let first = store.topic("t").map(drop);
        if faulty.fired() == fired {
            first.unwrap();
            break;
        }
        assert!(matches!(first, Err(TopicError::Io(_))), "{first:?}");
        faulty.heal();
        let has_name = disk.image().directories().any(|path| path.ends_with("default/t"));
        let again = store.topic("t").map(drop);
        assert_eq!(again.is_err(), has_name, "call {nth}: {again:?}");
        assert!(store.existing_topic("before").is_ok() && store.create_topic("u", 1).is_ok(), "others are not concerned");
        let disk = disk.kill();
        drop(store);
        // Whoever comes makes it durable first.
        on(disk.clone()).open("/store").unwrap().topic("t").unwrap().partition(0).unwrap().append(Record::new("acked")).unwrap();
        let left = on(disk.power_cut().disk(nth, NameModel::Strict)).open("/store").unwrap();
        assert_eq!(left.existing_topic("t").unwrap().view(0).unwrap().log_end_offset(), 1, "call {nth}");
        unsure += u32::from(has_name);
    }
    assert_eq!(unsure, 1);
}

/// A power cut may still bring the old one back: nothing is acknowledged in another one in its place.
#[test]
fn no_topic_is_made_in_place_of_one_whose_deletion_was_not_synced() {
    let home = Home::new();
    let (faulty, store) = faulty_store(&home);
    store.create_topic("t", 1).unwrap();
    faulty.inject(Fault::at(Op::SyncDir).on_path("topics/default"));
    assert!(matches!(store.delete_topic("t"), Err(TopicError::Io(_))));
    faulty.heal();
    assert!(matches!(store.existing_topic("t"), Err(TopicError::Unknown { .. })));
    assert!(matches!(store.topic("t"), Err(TopicError::Io(_))));
    store.create_topic("u", 1).unwrap();
    store.close().unwrap();
    small().open(home.path()).unwrap().topic("t").unwrap().partition(0).unwrap().append(Record::new("x")).unwrap();
}

#[test]
fn a_topic_is_found_once_its_name_is_durable() {
    for seed in 0..8 {
        let disk = SimDisk::new(seed, NameModel::Strict);
        let faulty = Faulty::new(Arc::new(disk.clone()));
        let store = on(faulty.clone()).open("/store").unwrap();
        store.create_topic("before", 1).unwrap();
        std::thread::scope(|scope| {
            // The sync of its own directory, its name, and then, slowly, the sync of that.
            faulty.inject(Fault::at(Op::SyncDir).on_path("topics/default").nth(2).slow(Duration::from_millis(300)));
            let named = disk.clone();
            scope.spawn(|| store.create_topic("t", 1).unwrap());
            eventually("it has its name", || named.image().directories().any(|path| path.ends_with("default/t")));
            store.existing_topic("t").unwrap().partition(0).unwrap().append(Record::new("acked")).unwrap();
            let left = on(disk.power_cut().disk(seed, NameModel::Strict)).open("/store").unwrap();
            let topic = left.existing_topic("t").unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_eq!(topic.view(0).unwrap().log_end_offset(), 1);
        });
    }
}

/// A process dies between the note that a partition is made and the sync of it: the next one makes it durable before it builds on it.
#[test]
fn a_partition_with_records_is_noted_as_made_after_any_crash() {
    let mut failed = 0;
    for (seed, nth) in (0..8).flat_map(|seed| (1..).map(move |nth| (seed, nth)).take(8)) {
        let disk = SimDisk::new(seed, NameModel::Strict);
        let faulty = Faulty::new(Arc::new(disk.clone()));
        let store = on(faulty.clone()).open("/store").unwrap();
        let topic = store.create_topic("t", 2).unwrap();
        faulty.inject(Fault::at(Op::SyncDir).on_path("topics/default/t").nth(nth));
        failed += u32::from(topic.partition(1).is_err());
        let disk = disk.kill();
        drop((topic, store));
        let topic = on(disk.clone()).open("/store").unwrap().existing_topic("t").unwrap();
        topic.partition(1).unwrap().append(Record::new("acked")).unwrap();
        let left = on(disk.power_cut().disk(seed, NameModel::Strict)).open_read_only("/store").unwrap().topic("t").unwrap();
        assert!(left.describe().unwrap().partitions[1].made, "seed {seed}, call {nth}");
        assert_eq!(left.partition(1).unwrap().log_end_offset(), 1);
    }
    assert!(failed >= 8 * 3, "{failed}");
}

/// What is in the engine's own topics is read by everybody, and written by the engine alone.
#[test]
fn the_engines_own_topics_are_not_written_to() {
    const OFFSETS: &str = "_tidelog/offsets";
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let is_refused = || {
        let made = [store.topic(OFFSETS), store.create_topic(OFFSETS, 1), store.create_topic_with("_tidelog/x", TopicOptions::new())];
        assert!(made.into_iter().all(|made| matches!(made, Err(TopicError::Internal { .. }))));
        assert!(matches!(store.delete_topic(OFFSETS), Err(TopicError::Internal { name }) if name == OFFSETS));
    };
    is_refused();
    let group: GroupId = "g".parse().unwrap();
    let orders = store.topic("orders").unwrap().partition_key(0).unwrap();
    let positions = LogOffsetStore::open(&store).unwrap();
    positions.commit(&group, &[(orders.clone(), CommittedOffset::new(7, TimestampNs::new(0)))]).unwrap();
    is_refused();
    assert!(tidelog::delete_topic(&store, &positions, OFFSETS).is_err());
    let topic = store.existing_topic(OFFSETS).unwrap();
    assert!(matches!(topic.partition(0), Err(TopicError::Internal { .. })));
    assert!(matches!(topic.split(0, 2), Err(TopicError::Internal { .. })));
    assert!(matches!(topic.split_at(0, &[7]), Err(TopicError::Internal { .. })));
    assert!(topic.view(0).unwrap().get(0).is_ok());
    assert!(Store::open_read_only(home.path()).unwrap().topic(OFFSETS).unwrap().partition(0).unwrap().log_end_offset() > 0);
    assert_eq!(LogOffsetStore::open(&store).unwrap().fetch(&group, &orders).unwrap().unwrap().offset, 7);
}

/// A plan is of the moment at which it was made: what was put right since then stays.
#[test]
fn a_repair_leaves_a_catalogue_alone_that_is_whole_by_now() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let topic = store.create_topic("t", 1).unwrap();
    topic.partition(0).unwrap().append(Record::new("x")).unwrap();
    store.close().unwrap();
    let path = home.path().join("topics/default/t/TOPIC");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let repair = small().plan_repair(home.path(), None).unwrap();
    std::fs::write(&path, whole).unwrap();
    let store = small().open(home.path()).unwrap();
    let topic = store.existing_topic("t").unwrap();
    topic.split(0, 2).unwrap();
    let described = topic.describe();
    store.close().unwrap();
    repair.apply().unwrap();
    assert_eq!(small().open(home.path()).unwrap().existing_topic("t").unwrap().describe(), described);
}

/// A segment that is made ahead is no file of another partition, which has the directory by then.
#[test]
fn nothing_of_a_deleted_topic_is_made_or_removed_in_the_next() {
    let home = Home::new();
    let faulty = Faulty::new(Arc::new(Disk::new()));
    let store = small().segment_bytes(1 << 20).storage(Arc::new(faulty.clone())).open(home.path()).unwrap();
    let topic = store.create_topic("t", 1).unwrap();
    let partition = topic.partition(0).unwrap();
    faulty.inject(Fault::at(Op::Create).on_path("spare-").slow(Duration::from_millis(700)));
    for _ in 0..600 {
        partition.append(Record::new(&[7; 1000])).unwrap();
    }
    eventually("a segment is made ahead", || faulty.fired() > 0);
    store.delete_topic("t").unwrap();
    store.create_topic("t", 1).unwrap().partition(0).unwrap();
    let changes = faulty.name_changes();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(faulty.name_changes(), changes);
}

/// What was asked for is the topic of then, not the one that has its name now.
#[test]
fn a_topic_that_was_made_anew_is_not_handed_out_for_the_old_one() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let append = |topic: &Topic, value: &str| topic.partition(0).unwrap().append(Record::new(value)).unwrap();
    append(&store.create_topic("t", 2).unwrap(), "old");
    let old = Store::open_read_only(home.path()).unwrap().topic("t").unwrap();
    let is_deleted = |number| matches!(old.partition(number), Err(TopicError::Open(OpenError::TopicDeleted { .. })));
    store.delete_topic("t").unwrap();
    assert!(is_deleted(0) && is_deleted(1));
    let new = store.create_topic("t", 2).unwrap();
    assert!(is_deleted(0) && is_deleted(1));
    append(&new, "new");
    assert!(is_deleted(0) && is_deleted(1));
    assert!(Store::open_read_only(home.path()).unwrap().topic("t").unwrap().partition(0).is_ok());
    store.close().unwrap();
    assert!(is_deleted(0) && is_deleted(1));
}

/// The error of too many open files.
const EMFILE: i32 = 24;
