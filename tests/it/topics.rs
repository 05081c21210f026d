//! Stores and topics: names, creation, partitions and keys, the lock, and directories that are something else.

use std::fs;

use tidelog::{OpenError, Record, Store, StoreOptions, TopicError, TopicName};

use crate::reading_support::{Home, Other, Random, contents, other, small, tell};

#[test]
fn names() {
    let home = Home::new();
    let store = Store::open(home.path().join("store")).unwrap();
    for (given, shown) in [("orders", "orders"), ("default/orders", "orders"), ("eu/orders", "eu/orders"), ("a.b-c_9", "a.b-c_9")] {
        let topic = store.topic(given).unwrap();
        assert_eq!(topic.name().to_string(), shown);
        assert_eq!(given.parse::<TopicName>().unwrap(), *topic.name());
    }
    let shown: Vec<_> = store.topics().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["a.b-c_9", "orders", "eu/orders"]);
    for bad in ["", "/", "a/", "/a", "a/b/c", ".", "..", "../x", "a b", "a~b", "größe", "a\0b", "a\nb", &"x".repeat(300)] {
        assert!(matches!(store.topic(bad), Err(TopicError::InvalidName { .. })), "{bad:?}");
        assert!(matches!(store.create_topic(bad, 1), Err(TopicError::InvalidName { .. })), "{bad:?}");
    }
    let around: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(around, ["store"], "nothing is made outside of the store");
}

#[test]
fn a_topic_that_is_not_there_is_an_error_that_names_like_ones() {
    let home = Home::new();
    let store = Store::open(home.path()).unwrap();
    for name in ["orders", "payments", "eu/orders"] {
        store.topic(name).unwrap();
    }
    let read_only = Store::open_read_only(home.path()).unwrap();
    for error in [store.existing_topic("order").map(drop), read_only.topic("order").map(drop)] {
        match error {
            Err(TopicError::Unknown { name, near }) => assert!(name == "order" && near.contains(&"orders".to_owned()), "{near:?}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.topics().unwrap().len(), 3);
}

/// The vectors that Kafka's clients are tested with (`UtilsTest.testMurmur2`), and one of each length of what is left over.
#[test]
fn keys_are_hashed_as_kafkas_clients_do() {
    for (key, hash) in [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
        ("", 275_646_681),
        ("string-fo-25-chars-length", 1_269_511_650),
        ("string-foo-26-chars-length", 119_165_628),
        ("string-last-27-chars-length", 1_089_971_754),
    ] {
        assert_eq!(tidelog::murmur2(key.as_bytes()).cast_signed(), hash, "{key:?}");
        assert_eq!(tidelog::key_slot(key.as_bytes()), (hash & 0xfff) as u32, "{key:?}: 4,096 is a power of two, signed or not");
    }
}

#[test]
fn partitions_and_keys() {
    let home = Home::new();
    let store = Store::open(home.path()).unwrap();
    for (name, count) in [("one", 1), ("three", 3), ("seven", 7), ("many", 100)] {
        let topic = store.create_topic(name, count).unwrap();
        assert!(matches!(store.create_topic(name, count), Err(TopicError::Exists { .. })));
        assert_eq!((topic.partition_count(), store.topic(name).unwrap().partition_count()), (count, count));
        assert!(
            matches!(topic.partition(count), Err(TopicError::NoPartition { partition, count: found, .. }) if (partition, found) == (count, count))
        );
        // Each slot of the ring belongs to the partition whose range holds it.
        let mut hits = vec![0u32; count as usize];
        for number in 0..5000u32 {
            let key = number.to_le_bytes();
            let slot = u64::from(tidelog::key_slot(&key));
            let partition = topic.partition_for_key(&key);
            let (from, to) = (u64::from(partition) * 4096 / u64::from(count), u64::from(partition + 1) * 4096 / u64::from(count));
            assert!((from..to).contains(&slot), "slot {slot} in partition {partition} of {count}");
            hits[partition as usize] += 1;
        }
        assert!(hits.iter().all(|&hits| hits > 5000 / count / 4));
    }
    for count in [0, 4097, u32::MAX] {
        assert!(matches!(store.create_topic("bad", count), Err(TopicError::PartitionCount { .. })));
    }
    // What META says of the ring is what keys are routed by.
    store.topic("seven").unwrap().partition(3).unwrap();
    let meta = fs::read(home.path().join("topics/default/seven/3/META")).unwrap();
    let meta = tidelog_format::Meta::decode(&meta).unwrap();
    assert_eq!((meta.index, meta.ring_size, meta.range_start, meta.range_stop), (3, 4096, 3 * 4096 / 7, 4 * 4096 / 7));
}

#[test]
fn partitions_are_separate_logs() {
    let home = Home::new();
    let (uuids, store) = {
        let store = small().open(home.path()).unwrap();
        let topic = store.create_topic("t", 4).unwrap();
        for number in 0..4u32 {
            let partition = topic.partition(number).unwrap();
            for _ in 0..=number {
                partition.append(Record::new(&number.to_le_bytes())).unwrap();
            }
        }
        let uuids: std::collections::HashSet<_> = (0..4).map(|number| topic.partition(number).unwrap().view().uuid()).collect();
        (uuids, store)
    };
    assert_eq!(uuids.len(), 4);
    store.close().unwrap();
    let topic = Store::open_read_only(home.path()).unwrap().topic("t").unwrap();
    for number in 0..4u32 {
        let view = topic.partition(number).unwrap();
        assert!(uuids.contains(&view.uuid()) && view.log_end_offset().get() == u64::from(number) + 1);
        assert!(view.read_from(0).unwrap().all(|record| record.unwrap().value().unwrap() == number.to_le_bytes()));
    }
}

#[test]
fn one_of_many_creators_makes_the_topic() {
    let home = Home::new();
    let store = Store::open(home.path()).unwrap();
    for round in 0..10 {
        let name = format!("race-{round}");
        let made = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=4)
                .map(|count| {
                    scope.spawn({
                        let (store, name) = (&store, &name);
                        move || store.create_topic(name, count)
                    })
                })
                .collect();
            let outcomes: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(TopicError::Exists { .. }))), "{outcomes:?}");
            outcomes.into_iter().filter_map(Result::ok).map(|topic| topic.partition_count()).collect::<Vec<_>>()
        });
        assert_eq!(made.len(), 1);
        assert_eq!(store.topic(&name).unwrap().partition_count(), made[0]);
        // All who ask for one that may be missing get the same.
        let name = format!("ask-{round}");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| store.topic(&name).unwrap().partition(0).unwrap().append(Record::new("x")).unwrap());
            }
        });
        assert_eq!(store.topic(&name).unwrap().partition(0).unwrap().log_end_offset().get(), 4);
    }
    let left: Vec<_> = contents(home.path()).into_iter().map(|(path, _)| path).filter(|path| path.to_string_lossy().contains('~')).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Holds a store until it is killed.
#[test]
fn holder() {
    let Some((dir, _)) = other() else { return };
    let store = Store::open(dir).unwrap();
    tell("open", std::process::id());
    std::thread::sleep(std::time::Duration::from_secs(60));
    drop(store);
}

#[test]
fn a_store_has_one_writer() {
    let home = Home::new();
    let store = Store::open(home.path()).unwrap();
    let own = std::process::id();
    assert!(matches!(Store::open(home.path()), Err(OpenError::Locked { pid: Some(pid), .. }) if pid == own));
    // By another name too.
    let link = home.path().with_extension("link");
    std::os::unix::fs::symlink(home.path(), &link).unwrap();
    assert!(matches!(Store::open(&link), Err(OpenError::Locked { .. })));
    fs::remove_file(link).unwrap();
    drop(store);
    let mut holder = Other::start("topics::holder", home.path(), "");
    let pid: u32 = holder.hear("open").parse().unwrap();
    match Store::open(home.path()) {
        Err(error @ OpenError::Locked { pid: Some(found), .. }) => {
            assert!(found == pid && error.is_refusal() && error.to_string().contains(&pid.to_string()))
        }
        other => panic!("{other:?}"),
    }
    Store::open_read_only(home.path()).unwrap();
    holder.kill();
    Store::open(home.path()).unwrap();
}

/// Readers come and go, and never keep a writer out.
#[test]
fn a_reader_does_not_hinder_a_writer() {
    let home = Home::new();
    Store::open(home.path()).unwrap().topic("t").unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let view = home.read_only();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    view.refresh().unwrap();
                }
            });
        }
        for _ in 0..20 {
            let outcome = Store::open(home.path()).map(|store| store.topic("t").unwrap().partition(0).unwrap().append(Record::new("x")).unwrap());
            if outcome.is_err() {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            outcome.unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(home.read_only().log_end_offset().get(), 20);
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let home = Home::new();
    let missing = home.path().join("missing");
    for error in [StoreOptions::new().open_existing(&missing).map(drop), Store::open_read_only(&missing).map(drop)] {
        assert!(matches!(&error, Err(OpenError::NotFound { path }) if *path == missing), "{error:?}");
    }
    assert!(!missing.exists());
    let file = home.path().join("file");
    fs::write(&file, "text").unwrap();
    for path in [file.clone(), file.join("below")] {
        for error in [Store::open(&path).map(drop), StoreOptions::new().open_existing(&path).map(drop), Store::open_read_only(&path).map(drop)] {
            assert!(matches!(error, Err(OpenError::NotADirectory { .. } | OpenError::Io(_))), "{path:?}: {error:?}");
        }
    }
    assert!(matches!(Store::open(&file), Err(OpenError::NotADirectory { .. })));
    let foreign = home.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.tex"), "text").unwrap();
    for error in [Store::open(&foreign).map(drop), Store::open_read_only(&foreign).map(drop)] {
        assert!(matches!(&error, Err(error @ OpenError::Foreign { found, .. }) if found.contains("thesis") && error.is_refusal()), "{error:?}");
    }
    assert_eq!(contents(&foreign).len(), 1);
    assert_eq!(fs::read(file).unwrap(), b"text");
    // An empty directory may become one, but there is nothing in it to read.
    let empty = home.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(matches!(Store::open_read_only(&empty), Err(OpenError::NotFound { .. })));
    Store::open(&empty).unwrap();
    Store::open_read_only(&empty).unwrap();
    // Made with all that leads to it.
    Store::open(home.path().join("a/b/c")).unwrap().topic("t").unwrap();
}

#[test]
fn stray_things_in_a_store_are_no_topics() {
    let home = Home::new();
    let store = Store::open(home.path()).unwrap();
    store.topic("t").unwrap().partition(0).unwrap().append(Record::new("x")).unwrap();
    store.close().unwrap();
    fs::write(home.path().join("topics/notes.txt"), "text").unwrap();
    fs::write(home.path().join("topics/default/README"), "text").unwrap();
    fs::create_dir(home.path().join("topics/default/not a topic")).unwrap();
    fs::create_dir(home.path().join("topics/default/half~0123")).unwrap();
    fs::write(home.path().join("topics/default/half~0123/file"), "text").unwrap();
    let names = |store: &Store| store.topics().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
    let store = Store::open(home.path()).unwrap();
    assert_eq!(names(&store), ["t"]);
    // What was not finished is gone, what is not ours is not.
    assert!(!home.path().join("topics/default/half~0123").exists() && home.path().join("topics/default/README").exists());
    assert_eq!(store.topic("t").unwrap().partition(0).unwrap().log_end_offset().get(), 1);
}

#[test]
fn a_closed_store_makes_and_opens_nothing() {
    let home = Home::new();
    let store = Store::open(home.path()).unwrap();
    let topic = store.create_topic("t", 2).unwrap();
    topic.partition(0).unwrap();
    store.clone().close().unwrap();
    assert!(matches!(store.create_topic("u", 1), Err(TopicError::Closed)));
    assert!(matches!(store.topic("u"), Err(TopicError::Closed)));
    assert!(matches!(topic.partition(1), Err(TopicError::Closed)));
    assert!(matches!(topic.partition(0), Err(TopicError::Closed)));
}

#[test]
fn a_directory_that_cannot_be_written_is_read() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let (store, partition) = home.partition(small());
    let mut random = Random::new(4);
    for _ in 0..500 {
        partition.append_with(Record::new(&random.next().to_le_bytes()), tidelog::AckLevel::Written).unwrap();
    }
    drop(partition);
    store.close().unwrap();
    let mut all = vec![home.path().to_owned()];
    let mut at = 0;
    while at < all.len() {
        if all[at].is_dir() {
            all.extend(fs::read_dir(&all[at]).unwrap().map(|entry| entry.unwrap().path()));
        }
        at += 1;
    }
    let allow = |write: u32| {
        all.iter().for_each(|path| fs::set_permissions(path, fs::Permissions::from_mode(if path.is_dir() { 0o555 } else { 0o444 } | write)).unwrap())
    };
    allow(0);
    let read = home.read_only().read_from(0).unwrap().map(Result::unwrap).count();
    allow(0o200);
    assert_eq!(read, 500);
}

/// A partition that is gone, or in the place of another, is noticed: its keys must not go elsewhere in silence.
#[test]
fn partitions_that_are_gone_or_change_places_are_noticed() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    for partitions in [1, 3, 7, 100] {
        let topic = store.create_topic(&format!("t{partitions}"), partitions).unwrap();
        for number in 0..partitions {
            topic.partition(number).unwrap().append_with(Record::new("x"), tidelog::AckLevel::Written).unwrap();
        }
    }
    store.close().unwrap();
    let topics = home.path().join("topics/default");
    for (partitions, gone) in [(1, vec![0]), (3, vec![2]), (7, vec![0, 6]), (100, vec![98, 99])] {
        let name = format!("t{partitions}");
        for number in &gone {
            fs::remove_dir_all(topics.join(&name).join(number.to_string())).unwrap();
        }
        let is_told = |error: TopicError| match error {
            TopicError::PartitionsMissing { topic, count, missing } => assert_eq!((topic, count, &missing), (name.clone(), partitions, &gone)),
            other => panic!("{name}: {other}"),
        };
        let store = small().open(home.path()).unwrap();
        is_told(store.existing_topic(&name).map(drop).unwrap_err());
        is_told(store.topic(&name).map(drop).unwrap_err());
        let topic = Store::open_read_only(home.path()).unwrap().topic(&name).unwrap();
        assert_eq!((topic.partition_count(), topic.missing_partitions()), (partitions, &gone[..]));
        for number in 0..partitions {
            match topic.partition(number) {
                Ok(view) => assert!(!gone.contains(&number) && view.get(0).is_ok()),
                Err(error) => is_told(error),
            }
        }
    }
    let (a, b) = (topics.join("t7/2"), topics.join("t7/3"));
    fs::rename(&a, topics.join("aside")).unwrap();
    fs::rename(&b, &a).unwrap();
    fs::rename(topics.join("aside"), &b).unwrap();
    let topic = Store::open_read_only(home.path()).unwrap().topic("t7").unwrap();
    for (number, other) in [(2, 3), (3, 2)] {
        let error = topic.partition(number).map(drop).unwrap_err();
        let misplaced = matches!(error, TopicError::Open(OpenError::Misplaced { found, expected, .. }) if found == other && expected == number);
        assert!(misplaced, "{error}");
    }
    // By another name it is the same topic, whole.
    fs::rename(&a, topics.join("aside")).unwrap();
    fs::rename(&b, &a).unwrap();
    fs::rename(topics.join("aside"), &b).unwrap();
    fs::rename(topics.join("t7"), topics.join("moved")).unwrap();
    assert!(Store::open_read_only(home.path()).unwrap().topic("moved").unwrap().partition(2).unwrap().get(0).is_ok());
}
