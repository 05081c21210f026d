//! What every offset store promises, checked of each kind: positions, checkpoints, rows, counts, and that none of it moves an offset.

use std::path::Path;

use tidelog::{
    CommittedOffset, GroupId, GroupMetadata, LogOffsetStore, MemberMetadata, MemoryOffsetStore, Offset, OffsetCheckpoint, OffsetMapping, OffsetStore,
    OffsetStoreError, PartitionKey, PartitionStats, Record, RingRange, Store, SyncPolicy, TimestampNs, TopicError, TopicName,
};

use crate::support::{options, tempdir};

/// A kind of store, and whether it outlives the process.
struct Kind {
    name: &'static str,
    open: fn(&Path) -> Opened,
    /// Takes away what is not in the directory.
    remove: fn(&Path),
    is_durable: bool,
}

/// A store, with what has to be closed for it to be opened again.
struct Opened {
    store: Box<dyn OffsetStore>,
    _home: Option<Store>,
}

impl std::ops::Deref for Opened {
    type Target = dyn OffsetStore;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

fn kinds() -> Vec<Kind> {
    #[cfg_attr(not(feature = "postgres"), expect(unused_mut, reason = "one comes with a feature"))]
    let mut kinds = vec![
        Kind { name: "memory", open: |_| Opened { store: Box::new(MemoryOffsetStore::new()), _home: None }, remove: |_| {}, is_durable: false },
        Kind { name: "log", open: |dir| log(dir, 1 << 20), remove: |_| {}, is_durable: true },
        Kind { name: "log with many snapshots", open: |dir| log(dir, 100), remove: |_| {}, is_durable: true },
        #[cfg(feature = "sqlite")]
        Kind {
            name: "sqlite",
            open: |dir| Opened { store: Box::new(tidelog::SqliteOffsetStore::open(dir.join("offsets.db")).unwrap()), _home: None },
            remove: |_| {},
            is_durable: true,
        },
    ];
    #[cfg(feature = "postgres")]
    if crate::postgres_server::address().is_some() {
        kinds.push(Kind { name: "postgres", open: postgres, remove: |dir| drop(crate::postgres_server::Schema::of(dir)), is_durable: true });
    }
    kinds
}

fn log(dir: &Path, changes_bytes_min: u64) -> Opened {
    let home = options().open(dir).unwrap();
    Opened { store: Box::new(LogOffsetStore::open_with(&home, changes_bytes_min).unwrap()), _home: Some(home) }
}

#[cfg(feature = "postgres")]
fn postgres(dir: &Path) -> Opened {
    let schema = std::mem::ManuallyDrop::new(crate::postgres_server::Schema::of(dir));
    schema.admin().batch_execute(&format!("SET client_min_messages = error; CREATE SCHEMA IF NOT EXISTS {}", schema.name)).unwrap();
    Opened { store: Box::new(tidelog::PostgresOffsetStore::connect(&schema.url).unwrap()), _home: None }
}

/// Runs `write` on an empty store of each kind, then `check` on it, and on it opened again if it is one that lasts.
fn each(write: impl Fn(&dyn OffsetStore), check: impl Fn(&dyn OffsetStore)) {
    for kind in kinds() {
        let dir = tempdir();
        let opened = (kind.open)(dir.path());
        println!("{}", kind.name);
        write(&*opened);
        check(&*opened);
        if kind.is_durable {
            drop(opened);
            println!("{}, opened again", kind.name);
            check(&*(kind.open)(dir.path()));
        }
        (kind.remove)(dir.path());
    }
}

fn partition(topic: &str, number: u32) -> PartitionKey {
    PartitionKey { topic: topic.parse().unwrap(), range: RingRange::new(4096, number * 1024, (number + 1) * 1024).unwrap() }
}

fn group(name: &str) -> GroupId {
    name.parse().unwrap()
}

fn ts(ns: i64) -> TimestampNs {
    TimestampNs::new(ns)
}

fn checkpoint(offset: u64, saved_at: i64) -> OffsetCheckpoint {
    OffsetCheckpoint { offset: offset.into(), saved_at: ts(saved_at) }
}

fn row(offset: u64) -> OffsetMapping {
    OffsetMapping { offset: offset.into(), timestamp: ts(1_000_i64.wrapping_add(offset as i64)), bytes: 10 * (offset % 1_000) }
}

fn range(from: u64, to: u64) -> std::ops::Range<Offset> {
    from.into()..to.into()
}

#[test]
fn initialize_schema() {
    each(
        |_| {},
        |store| {
            assert!(store.groups().unwrap().is_empty() && store.partitions().unwrap().is_empty());
            assert_eq!(store.fetch(&group("g"), &partition("t", 0)).unwrap(), None);
            assert_eq!(store.fetch_all(&group("g")).unwrap(), []);
        },
    );
}

#[test]
fn save_load_checkpoint() {
    let [first, second, third] = [partition("t", 0), partition("t", 1), partition("a/t", 2)];
    each(
        |store| {
            assert!(store.save_checkpoint(&first, checkpoint(100, 1)).unwrap());
            assert!(store.save_checkpoint(&first, checkpoint(200, 2)).unwrap());
            // An older one never wins, whenever it comes.
            assert!(!store.save_checkpoint(&first, checkpoint(150, 3)).unwrap());
            assert!(!store.save_checkpoint(&first, checkpoint(200, 4)).unwrap());
            assert!(store.save_checkpoint(&second, checkpoint(0, 5)).unwrap());
            // Many at once, each for itself.
            let many = [(first.clone(), checkpoint(199, 6)), (third.clone(), checkpoint(7, 6)), (third.clone(), checkpoint(9, 7))];
            assert_eq!(store.save_checkpoints(&many).unwrap(), 2);
            assert_eq!(store.save_checkpoints(&many).unwrap(), 0);
            assert_eq!(store.save_checkpoints(&[]).unwrap(), 0);
        },
        |store| {
            assert_eq!(store.load_checkpoint(&first).unwrap(), Some(checkpoint(200, 2)));
            assert_eq!(store.load_checkpoint(&second).unwrap(), Some(checkpoint(0, 5)), "offset 0 is one");
            assert_eq!(store.load_checkpoint(&third).unwrap(), Some(checkpoint(9, 7)));
        },
    );
}

#[test]
fn load_checkpoint_not_found() {
    each(
        |store| assert!(store.save_checkpoint(&partition("t", 0), checkpoint(1, 1)).unwrap()),
        |store| {
            assert_eq!(store.load_checkpoint(&partition("t", 1)).unwrap(), None);
            assert_eq!(store.load_checkpoint(&partition("u", 0)).unwrap(), None, "the same range of another topic");
            assert_eq!(store.load_checkpoint(&partition("n/t", 0)).unwrap(), None, "the same topic of another namespace");
        },
    );
}

#[test]
fn save_load_offset_mappings() {
    let (here, there) = (partition("t", 0), partition("t", 1));
    each(
        |store| {
            store.save_mappings(&here, &[row(0), row(5), row(9)], ts(1)).unwrap();
            store.save_mappings(&there, &[row(7)], ts(1)).unwrap();
            // What is there already may be said again, but not otherwise, and then none of the rows is taken.
            store.save_mappings(&here, &[row(5), row(10)], ts(2)).unwrap();
            let other = OffsetMapping { bytes: 1, ..row(9) };
            match store.save_mappings(&here, &[row(11), other], ts(3)) {
                Err(OffsetStoreError::MappingConflict { stored, given, .. }) => assert_eq!((stored, given), (row(9), other)),
                outcome => panic!("{outcome:?}"),
            }
            let twice = [row(12), OffsetMapping { bytes: 1, ..row(12) }];
            assert!(matches!(store.save_mappings(&here, &twice, ts(3)), Err(OffsetStoreError::MappingConflict { .. })));
            store.save_mappings(&here, &[], ts(3)).unwrap();
        },
        |store| {
            assert_eq!(store.mappings(&here, range(0, 100), 100).unwrap(), [row(0), row(5), row(9), row(10)]);
            assert_eq!(store.mappings(&there, range(0, 100), 100).unwrap(), [row(7)]);
        },
    );
}

#[test]
fn highest_offset() {
    each(
        |store| {
            assert_eq!(store.highest_offset(&partition("t", 0)).unwrap(), None);
            store.save_mappings(&partition("t", 0), &[row(3), row(42), row(7)], ts(1)).unwrap();
            store.save_mappings(&partition("t", 1), &[row(0)], ts(1)).unwrap();
        },
        |store| {
            assert_eq!(store.highest_offset(&partition("t", 0)).unwrap(), Some(42.into()));
            assert_eq!(store.highest_offset(&partition("t", 1)).unwrap(), Some(0.into()));
            assert_eq!(store.highest_offset(&partition("t", 2)).unwrap(), None);
        },
    );
}

#[test]
fn offset_mappings_by_range() {
    let key = partition("t", 0);
    each(
        |store| store.save_mappings(&key, &(0..50).map(|number| row(number * 2)).collect::<Vec<_>>(), ts(1)).unwrap(),
        |store| {
            let offsets =
                |from, to, limit| -> Vec<u64> { store.mappings(&key, range(from, to), limit).unwrap().iter().map(|row| row.offset.get()).collect() };
            assert_eq!(offsets(10, 16, 100), [10, 12, 14]);
            assert_eq!(offsets(9, 17, 100), [10, 12, 14, 16]);
            assert!(offsets(99, 200, 100).is_empty() && offsets(10, 10, 100).is_empty() && offsets(20, 10, 100).is_empty());
            // By pages, each from behind the last.
            let (mut all, mut next) = (Vec::new(), 0);
            loop {
                let page = offsets(next, u64::MAX >> 1, 7);
                let Some(last) = page.last() else { break };
                next = last + 1;
                all.extend(page);
            }
            assert_eq!(all, (0..50).map(|number| number * 2).collect::<Vec<_>>());
        },
    );
}

#[test]
fn partition_stats() {
    let key = partition("t", 0);
    let stats = |latest: u64| PartitionStats {
        record_count: latest - 1,
        total_bytes: 100 * latest,
        earliest: Some(2.into()),
        latest: Some(latest.into()),
        first_record_at: Some(ts(-5)),
        last_record_at: Some(ts(i64::MAX)),
        counted_at: ts(latest as i64),
    };
    each(
        |store| {
            assert_eq!(store.partition_stats(&key).unwrap(), None);
            store.save_stats(&key, stats(20)).unwrap();
            store.save_stats(&key, stats(30)).unwrap();
            store.save_stats(&partition("t", 1), PartitionStats::empty(ts(9))).unwrap();
        },
        |store| {
            assert_eq!(store.partition_stats(&key).unwrap(), Some(stats(30)));
            let empty = store.partition_stats(&partition("t", 1)).unwrap().unwrap();
            assert_eq!((empty, empty.high_water_mark()), (PartitionStats::empty(ts(9)), 0.into()));
            assert_eq!(stats(30).high_water_mark(), 31);
        },
    );
}

#[test]
fn all_partitions() {
    each(
        |store| {
            store.save_checkpoint(&partition("u", 1), checkpoint(1, 1)).unwrap();
            store.save_stats(&partition("t", 3), PartitionStats::empty(ts(1))).unwrap();
            store.save_mappings(&partition("a/t", 2), &[row(1)], ts(1)).unwrap();
            store.save_mappings(&partition("u", 1), &[row(1)], ts(1)).unwrap();
            store.commit(&group("g"), &[(partition("v", 0), CommittedOffset::new(1, ts(1)))]).unwrap();
            store.save_checkpoint(&partition("gone", 0), checkpoint(1, 1)).unwrap();
            store.save_mappings(&partition("gone", 0), &[row(1)], ts(1)).unwrap();
            store.forget(&partition("gone", 0)).unwrap();
            store.forget(&partition("never", 0)).unwrap();
        },
        |store| {
            assert_eq!(store.partitions().unwrap(), [partition("a/t", 2), partition("t", 3), partition("u", 1)]);
            assert_eq!(store.load_checkpoint(&partition("gone", 0)).unwrap(), None);
            assert_eq!(store.highest_offset(&partition("gone", 0)).unwrap(), None);
        },
    );
}

#[test]
fn clean_up_old_mappings() {
    let key = partition("t", 0);
    each(
        |store| {
            store.save_mappings(&key, &[row(1), row(2)], ts(100)).unwrap();
            store.save_mappings(&key, &[row(3)], ts(200)).unwrap();
            store.save_mappings(&partition("t", 1), &[row(1)], ts(100)).unwrap();
            assert_eq!(store.clean_up_mappings(ts(100)).unwrap(), 0);
            assert_eq!(store.clean_up_mappings(ts(150)).unwrap(), 3);
        },
        |store| {
            assert_eq!(store.mappings(&key, range(0, 10), 10).unwrap(), [row(3)]);
            assert_eq!(store.partitions().unwrap(), [partition("t", 0)]);
        },
    );
}

/// Everything that a position says comes back, and the last commit wins, also backwards.
#[test]
fn positions_of_groups() {
    let [a, b, c] = [partition("t", 0), partition("t", 1), partition("u", 0)];
    let full = CommittedOffset {
        offset: (i64::MAX as u64 - 1).into(),
        leader_epoch: Some(tidelog::LeaderEpoch::new(7)),
        metadata: "größe\n'; DROP TABLE".to_owned(),
        committed_at: ts(-3),
        expires_at: Some(ts(50)),
    };
    each(
        |store| {
            let (billing, audit) = (group("billing"), group("au'dit%_"));
            store.commit(&billing, &[(a.clone(), CommittedOffset::new(5, ts(1))), (b.clone(), full.clone())]).unwrap();
            store.commit(&billing, &[(a.clone(), CommittedOffset::new(3, ts(2)))]).unwrap();
            store.commit(&audit, &[(a.clone(), CommittedOffset::new(1, ts(1))), (c.clone(), CommittedOffset::new(9, ts(1)))]).unwrap();
            store.commit(&group("idle"), &[]).unwrap();
            let long = CommittedOffset { metadata: "x".repeat(4097), ..CommittedOffset::new(8, ts(1)) };
            let refused = store.commit(&billing, &[(c.clone(), CommittedOffset::new(8, ts(1))), (a.clone(), long)]);
            assert!(matches!(refused, Err(OffsetStoreError::MetadataTooLarge { found: 4097, limit: 4096 })), "{refused:?}");
        },
        |store| {
            assert_eq!(store.groups().unwrap(), [group("au'dit%_"), group("billing")]);
            let all = store.fetch_all(&group("billing")).unwrap();
            assert_eq!(all, [(a.clone(), CommittedOffset::new(3, ts(2))), (b.clone(), full.clone())]);
            assert_eq!(store.fetch(&group("billing"), &b).unwrap(), Some(full.clone()));
            assert_eq!(store.fetch(&group("billing"), &c).unwrap(), None);
        },
    );
}

fn metadata(generation: i32, members: &[&str]) -> GroupMetadata {
    let member = |name: &str| MemberMetadata {
        instance_id: (name != "b").then(|| format!("static {name}")),
        client_id: "größe\n'; DROP TABLE".to_owned(),
        client_host: String::new(),
        session_timeout_ms: u32::MAX,
        rebalance_timeout_ms: generation as u32,
        subscription: (0..=255).collect(),
        assignment: name.as_bytes().to_vec(),
    };
    GroupMetadata {
        protocol_type: "consumer".to_owned(),
        protocol: members.first().map(|_| "range".to_owned()),
        leader: members.first().map(|name| (*name).to_owned()),
        members: members.iter().map(|name| ((*name).to_owned(), member(name))).collect(),
        ..GroupMetadata::empty(generation, ts(i64::from(generation) - 5))
    }
}

/// What a group is made of comes back whole, and no older generation takes the place of a newer one.
#[test]
fn metadata_of_groups() {
    let [a, b, gone, late] = ["a", "b", "gone", "late"].map(group);
    each(
        |store| {
            assert_eq!(store.load_group(&a).unwrap(), None);
            assert!(store.save_group(&a, &metadata(3, &["a", "b", "c"])).unwrap());
            assert!(store.save_group(&a, &metadata(7, &["b"])).unwrap());
            for older in [6, 0, -1, i32::MIN] {
                assert!(!store.save_group(&a, &metadata(older, &["a", "c"])).unwrap());
            }
            // Another one that came to the same number is no newer one.
            let other = GroupMetadata { changed_at: ts(3), ..metadata(7, &["a"]) };
            assert!(!store.save_group(&a, &other).unwrap());
            // Within a generation, the last one counts.
            assert!(store.save_group(&a, &metadata(7, &["d", "b"])).unwrap());
            assert!(store.save_group(&b, &GroupMetadata::empty(i32::MAX, ts(i64::MIN))).unwrap());
            store.commit(&a, &[(partition("t", 0), CommittedOffset::new(1, ts(1)))]).unwrap();
            store.commit(&late, &[(partition("t", 0), CommittedOffset::new(1, ts(1)))]).unwrap();
            store.commit(&gone, &[(partition("t", 0), CommittedOffset::new(1, ts(1)))]).unwrap();
            assert!(store.save_group(&gone, &metadata(9, &["a"])).unwrap());
            assert_eq!(store.delete_group(&gone).unwrap(), 1);
            assert!(store.save_group(&gone, &metadata(2, &[])).unwrap(), "nothing is known of it any more");
            assert_eq!(store.delete_group(&gone).unwrap(), 0);
            store.delete_topic(&"t".parse().unwrap()).unwrap();
        },
        |store| {
            assert_eq!(
                store.load_group(&a).unwrap(),
                Some(metadata(7, &["b", "d"])).map(|found| GroupMetadata { leader: Some("d".to_owned()), ..found })
            );
            assert_eq!(store.load_group(&b).unwrap(), Some(GroupMetadata::empty(i32::MAX, ts(i64::MIN))));
            assert_eq!(store.load_group(&gone).unwrap(), None);
            assert_eq!(store.groups().unwrap(), [a.clone(), b.clone()], "positions or metadata make a group");
        },
    );
}

#[test]
fn metadata_that_is_too_large_is_refused() {
    let long = |bytes: usize| GroupMetadata { protocol_type: "x".repeat(bytes), ..metadata(2, &["a"]) };
    let mut heavy = metadata(3, &["a", "b"]);
    heavy.members.values_mut().for_each(|member| member.assignment = vec![7; 9 << 20]);
    each(
        |store| {
            assert!(store.save_group(&group("g"), &long(32_767)).unwrap());
            for bad in [long(32_768), heavy.clone()] {
                let outcome = store.save_group(&group("g"), &bad);
                assert!(matches!(outcome, Err(OffsetStoreError::GroupTooLarge { found, limit, .. }) if found > limit), "{outcome:?}");
            }
            assert!(store.save_group(&group("h"), &metadata(1, &[&"x".repeat(1_024)])).unwrap());
            let outcome = store.save_group(&group("h"), &metadata(2, &[&"x".repeat(1_025)]));
            assert!(matches!(outcome, Err(OffsetStoreError::GroupTooLarge { found: 1_025, limit: 1_024, .. })), "{outcome:?}");
        },
        |store| assert_eq!(store.load_group(&group("g")).unwrap(), Some(long(32_767))),
    );
}

/// Not every store could keep it: none does.
#[test]
fn text_with_a_nul_is_refused() {
    let nul = || "a\0b".to_owned();
    let of_a_group: [GroupMetadata; 3] = [
        GroupMetadata { protocol_type: nul(), ..metadata(2, &["a"]) },
        GroupMetadata { protocol: Some(nul()), ..metadata(2, &["a"]) },
        GroupMetadata { leader: Some(nul()), ..metadata(2, &["a"]) },
    ];
    type Spoil = fn(&mut MemberMetadata, String);
    let of_a_member: [(&str, Spoil); 4] = [
        ("a\0b", |_, _| {}),
        ("a", |member, nul| member.instance_id = Some(nul)),
        ("a", |member, nul| member.client_id = nul),
        ("a", |member, nul| member.client_host = nul),
    ];
    let with_member = of_a_member.map(|(id, spoil)| {
        let mut metadata = metadata(2, &[id]);
        metadata.leader = None;
        metadata.members.values_mut().for_each(|member| spoil(member, nul()));
        metadata
    });
    each(
        |store| {
            assert!(store.save_group(&group("g"), &metadata(1, &["a"])).unwrap());
            for bad in of_a_group.iter().chain(&with_member) {
                let outcome = store.save_group(&group("g"), bad);
                assert!(matches!(outcome, Err(OffsetStoreError::NulCharacter { .. })), "{outcome:?}");
            }
            let noted = CommittedOffset { metadata: nul(), ..CommittedOffset::new(1, ts(1)) };
            let outcome = store.commit(&group("g"), &[(partition("t", 0), CommittedOffset::new(1, ts(1))), (partition("t", 1), noted)]);
            assert!(matches!(outcome, Err(OffsetStoreError::NulCharacter { .. })), "{outcome:?}");
        },
        |store| {
            assert_eq!(store.load_group(&group("g")).unwrap(), Some(metadata(1, &["a"])));
            assert_eq!(store.fetch_all(&group("g")).unwrap(), []);
        },
    );
}

const OFFSET_MAX: u64 = i64::MAX as u64;

/// What a store could not give back is refused whole, by each of them the same, and whatever was there stays readable.
#[test]
fn what_cannot_be_kept_is_refused() {
    let good = partition("t", 0);
    let position = |offset: u64| CommittedOffset::new(offset, ts(1));
    let named = |namespace: &str, name: &str| PartitionKey {
        topic: TopicName { namespace: namespace.to_owned(), name: name.to_owned() },
        range: RingRange::new(4096, 0, 1024).unwrap(),
    };
    let bad_names = [named("default", "a/b"), named("", "t"), named("n", ".."), named("default", &"x".repeat(250)), named(&"x".repeat(70_000), "t")];
    each(
        |store| {
            store.commit(&group("g"), &[(good.clone(), position(5))]).unwrap();
            for offset in [u64::MAX, 1 << 63] {
                let stats = PartitionStats { latest: Some(offset.into()), ..PartitionStats::empty(ts(1)) };
                for outcome in [
                    store.commit(&group("g"), &[(good.clone(), position(6)), (partition("t", 1), position(offset))]),
                    store.save_checkpoint(&good, checkpoint(offset, 1)).map(drop),
                    store.save_mappings(&good, &[row(1), row(offset)], ts(1)),
                    store.save_stats(&good, stats),
                    store.save_stats(&good, PartitionStats { earliest: Some(offset.into()), ..PartitionStats::empty(ts(1)) }),
                ] {
                    let is_typed = matches!(outcome, Err(OffsetStoreError::OffsetTooHigh { found, limit }) if found == offset && limit == OFFSET_MAX);
                    assert!(is_typed, "{outcome:?}");
                }
            }
            for bad in &bad_names {
                for outcome in [
                    store.commit(&group("g"), &[(good.clone(), position(6)), (bad.clone(), position(1))]),
                    store.delete(&group("g"), &[good.clone(), bad.clone()]).map(drop),
                    store.delete_topic(&bad.topic).map(drop),
                    store.save_checkpoint(bad, checkpoint(1, 1)).map(drop),
                    store.save_mappings(bad, &[row(1)], ts(1)),
                    store.save_stats(bad, PartitionStats::empty(ts(1))),
                    store.forget(bad),
                ] {
                    let is_typed = matches!(&outcome, Err(OffsetStoreError::Topic(error)) if matches!(**error, TopicError::InvalidName { .. }));
                    assert!(is_typed, "{outcome:?}");
                }
                assert_eq!(store.fetch(&group("g"), bad).unwrap(), None);
            }
            store.commit(&group("h"), &[(good.clone(), position(OFFSET_MAX))]).unwrap();
        },
        |store| {
            assert_eq!(store.fetch_all(&group("g")).unwrap(), [(good.clone(), position(5))]);
            assert_eq!(store.fetch_all(&group("h")).unwrap(), [(good.clone(), position(OFFSET_MAX))], "the highest offset is one");
            assert!(store.partitions().unwrap().is_empty());
        },
    );
}

#[test]
fn positions_are_deleted_and_expire() {
    let [a, b, c] = [partition("t", 0), partition("t", 1), partition("t_", 0)];
    let at = |offset| CommittedOffset::new(offset, ts(1));
    each(
        |store| {
            for name in ["g", "h"] {
                store.commit(&group(name), &[(a.clone(), at(1)), (b.clone(), at(2)), (c.clone(), at(3))]).unwrap();
            }
            assert_eq!(store.delete(&group("g"), &[a.clone(), a.clone(), partition("u", 0)]).unwrap(), 1);
            assert_eq!(store.delete_topic(&"t_".parse().unwrap()).unwrap(), 2);
            store.save_checkpoint(&partition("x.y", 0), checkpoint(1, 1)).unwrap();
            assert_eq!(store.delete_topic(&"x.y".parse().unwrap()).unwrap(), 0);
            store.commit(&group("i"), &[(a.clone(), at(1)), (b.clone(), at(2))]).unwrap();
            assert_eq!(store.delete_group(&group("i")).unwrap(), 2);
            assert_eq!(store.delete_group(&group("i")).unwrap(), 0);
            let until = |ns| CommittedOffset { expires_at: Some(ts(ns)), ..at(4) };
            store.commit(&group("j"), &[(a.clone(), until(10)), (b.clone(), until(11))]).unwrap();
            assert_eq!(store.clean_up(ts(9)).unwrap(), 0);
            assert_eq!(store.clean_up(ts(10)).unwrap(), 1);
        },
        |store| {
            assert_eq!(store.groups().unwrap(), ["g", "h", "j"].map(group));
            let left = |name| store.fetch_all(&group(name)).unwrap().into_iter().map(|(partition, position)| (partition, position.offset.get()));
            assert!(left("g").eq([(b.clone(), 2)]));
            assert!(left("h").eq([(a.clone(), 1), (b.clone(), 2)]));
            assert!(left("j").eq([(b.clone(), 4)]));
            assert!(store.partitions().unwrap().is_empty());
        },
    );
}

#[test]
fn concurrent_access() {
    let threads = 8u32;
    each(
        |store| {
            std::thread::scope(|scope| {
                for thread in 0..threads {
                    scope.spawn(move || {
                        let own = group(&format!("group-{thread}"));
                        for round in 1..=20u64 {
                            let position = CommittedOffset::new(round, ts(round as i64));
                            let shared = partition("shared", 0);
                            store.commit(&own, &[(partition("t", thread % 4), position.clone()), (shared.clone(), position.clone())]).unwrap();
                            assert_eq!(store.fetch(&own, &shared).unwrap(), Some(position), "a thread sees what it committed");
                            store.save_checkpoint(&shared, checkpoint(round * 10 + u64::from(thread), 1)).unwrap();
                            let kept = store.load_checkpoint(&shared).unwrap().unwrap().offset.get();
                            assert!(kept >= round * 10 + u64::from(thread), "an older checkpoint won");
                            store.save_mappings(&shared, &[row(round), row(100 + u64::from(thread) * 20 + round)], ts(1)).unwrap();
                        }
                    });
                }
            });
        },
        |store| {
            assert_eq!(store.groups().unwrap().len(), threads as usize);
            assert_eq!(store.load_checkpoint(&partition("shared", 0)).unwrap().unwrap().offset, 200 + u64::from(threads) - 1);
            assert_eq!(store.mappings(&partition("shared", 0), range(0, 1000), 1000).unwrap().len(), 20 + 20 * threads as usize);
        },
    );
}

/// The log alone assigns offsets: whatever a store says, the next one is that of the log.
#[test]
fn no_store_moves_an_offset() {
    let home = tempdir();
    let store = options().open(home.path()).unwrap();
    let orders = store.topic("orders").unwrap().partition(0).unwrap();
    for offset in 0..10 {
        assert_eq!(orders.append(Record::new("x")).unwrap().base_offset, offset);
    }
    each(
        |notes| {
            let next = orders.log_end_offset();
            for (offset, said) in [1_000_000, 3, i64::MAX as u64 - 1].into_iter().enumerate() {
                notes.save_checkpoint(orders.key(), checkpoint(said, 1)).unwrap();
                notes.save_mappings(orders.key(), &[row(said)], ts(1)).unwrap();
                assert_eq!(orders.append(Record::new("x")).unwrap().base_offset, next.get() + offset as u64);
            }
            notes.forget(orders.key()).unwrap();
            assert_eq!(orders.append(Record::new("x")).unwrap().base_offset, next.get() + 3);
        },
        |notes| assert!(notes.partitions().unwrap().is_empty()),
    );
    let next = orders.log_end_offset();
    drop(orders);
    store.close().unwrap();
    let store = options().open(home.path()).unwrap();
    assert_eq!(store.topic("orders").unwrap().partition(0).unwrap().append(Record::new("x")).unwrap().base_offset, next);
}

/// One that is lost is not taken for one in which nobody has committed.
#[test]
fn what_must_be_there_is_not_made_anew() {
    let home = tempdir();
    let store = options().open(home.path()).unwrap();
    let is_missing = |outcome: Result<(), OffsetStoreError>| matches!(outcome, Err(OffsetStoreError::NotFound { .. }));
    assert!(is_missing(LogOffsetStore::open_existing(&store).map(drop)));
    assert!(store.all_topics().unwrap().is_empty(), "nothing was made");
    let position = CommittedOffset::new(5, ts(1));
    LogOffsetStore::open(&store).unwrap().commit(&group("g"), &[(partition("t", 0), position.clone())]).unwrap();
    assert_eq!(LogOffsetStore::open_existing(&store).unwrap().fetch(&group("g"), &partition("t", 0)).unwrap(), Some(position));
    store.close().unwrap();
    std::fs::remove_dir_all(home.path().join("topics/_tidelog")).unwrap();
    let store = options().open(home.path()).unwrap();
    assert!(is_missing(LogOffsetStore::open_existing(&store).map(drop)));
    assert!(store.all_topics().unwrap().is_empty());
}

/// What a change was about is told under every policy, also where nothing waits for a sync.
#[test]
fn what_came_of_a_change_is_told_without_syncs() {
    let home = tempdir();
    let store = options().sync_policy(SyncPolicy::OsOnly).open(home.path()).unwrap();
    let notes = LogOffsetStore::open(&store).unwrap();
    for offset in 1..5u64 {
        assert!(notes.save_checkpoint(&partition("t", 0), checkpoint(offset, 1)).unwrap());
        notes.commit(&group("g"), &[(partition("t", 0), CommittedOffset::new(offset, ts(1)))]).unwrap();
        assert_eq!(notes.fetch(&group("g"), &partition("t", 0)).unwrap().unwrap().offset, offset);
        assert_eq!(notes.delete_group(&group("g")).unwrap(), 1);
    }
}

/// What an SQL store holds that its own test filled as of `version`, for one partition and one group.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn check_filled(store: &dyn OffsetStore, partition: &PartitionKey, group: &GroupId, version: u32) {
    assert_eq!(store.load_checkpoint(partition).unwrap(), Some(OffsetCheckpoint { offset: 41.into(), saved_at: TimestampNs::new(5) }));
    assert_eq!(store.highest_offset(partition).unwrap(), Some(19.into()));
    let first = OffsetMapping { offset: 0.into(), timestamp: TimestampNs::new(3), bytes: 4 };
    assert_eq!(store.mappings(partition, 0.into()..100.into(), 100).unwrap()[0], first);
    let mut stats = PartitionStats { record_count: 6, total_bytes: 7, ..PartitionStats::empty(TimestampNs::new(9)) };
    if version >= 5 {
        (stats.earliest, stats.latest) = (Some(10.into()), Some(15.into()));
        (stats.first_record_at, stats.last_record_at) = (Some(TimestampNs::new(16)), Some(TimestampNs::new(17)));
    }
    assert_eq!(store.partition_stats(partition).unwrap(), (version >= 3).then_some(stats));
    let mut position = CommittedOffset { leader_epoch: Some(tidelog::LeaderEpoch::new(2)), ..CommittedOffset::new(18, TimestampNs::new(19)) };
    (position.metadata, position.expires_at) = ("noted".to_owned(), Some(TimestampNs::new(20)));
    assert_eq!(store.fetch(group, partition).unwrap(), (version >= 4).then_some(position));
    let member = MemberMetadata {
        instance_id: Some("i".to_owned()),
        client_id: "c".to_owned(),
        client_host: "h".to_owned(),
        session_timeout_ms: 21,
        rebalance_timeout_ms: 22,
        subscription: vec![1, 2],
        assignment: vec![3],
    };
    let (protocol, leader) = (Some("range".to_owned()), Some("m".to_owned()));
    let members = [("m".to_owned(), member)].into();
    let metadata =
        GroupMetadata { generation: 23, protocol_type: "consumer".to_owned(), protocol, leader, members, changed_at: TimestampNs::new(24) };
    assert_eq!(store.load_group(group).unwrap(), (version >= 6).then_some(metadata));
    assert_eq!(store.groups().unwrap(), if version >= 4 { vec![group.clone()] } else { vec![] });
}
