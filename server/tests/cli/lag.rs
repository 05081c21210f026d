//! What `lag` says of groups whose positions lie in the store itself, or in a place of their own.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};
use tidelog::{CommittedOffset, LogOffsetStore, OffsetStore, PartitionKey, Record, Store, TimestampNs};

use crate::sandbox::Sandbox;

/// A store with ten records of second 1,000 and on in each of two partitions.
fn fill(sandbox: &Sandbox) -> (Store, LogOffsetStore, Vec<PartitionKey>) {
    let store = Store::open(sandbox.path("data")).unwrap();
    let topic = store.create_topic("shop/orders", 2).unwrap();
    for number in 0..2 {
        for second in 0..10 {
            let record = Record::new("12 apples").timestamp(TimestampNs::new((1_000 + second) * 1_000_000_000));
            topic.partition(number).unwrap().append(record).unwrap();
        }
    }
    let keys = (0..2).map(|number| topic.partition_key(number).unwrap()).collect();
    let positions = LogOffsetStore::open(&store).unwrap();
    (store, positions, keys)
}

fn commit(positions: &dyn OffsetStore, group: &str, key: &PartitionKey, offset: u64) {
    let committed = CommittedOffset::new(offset, TimestampNs::new(0));
    positions.commit(&group.parse().unwrap(), &[(key.clone(), committed)]).unwrap();
}

fn look(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    serde_json::from_str(&sandbox.ok(&[&["lag", "data", "--json"], arguments].concat())).unwrap()
}

#[test]
fn lag_of_groups_topics_and_partitions() {
    let sandbox = Sandbox::new();
    let (store, positions, keys) = fill(&sandbox);
    commit(&positions, "billing", &keys[0], 4);
    commit(&positions, "billing", &keys[1], 10);
    commit(&positions, "audit", &keys[0], 1);
    store.topic("shop/orders").unwrap().partition(0).unwrap().delete_prefix(3).unwrap();
    for beside in ["its writer", "none"] {
        if beside == "none" {
            store.clone().close().unwrap();
        }
        let before = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let mut said = look(&sandbox, &[]);
        for (row, second) in said["lag"].as_array_mut().unwrap().iter_mut().zip([1_003.0, 1_004.0, 0.0]) {
            let age = row.as_object_mut().unwrap().remove("lag_seconds").unwrap().as_f64().unwrap();
            assert!(if second == 0.0 { age == 0.0 } else { (age - (before - second)).abs() < 60.0 }, "{age}");
        }
        let row = |group: &str, partition: u32, committed: u64, lag: u64, deleted: u64| json!({"group": group, "topic": "shop/orders", "partition": partition, "committed_offset": committed, "high_water_mark": 10, "lag": lag, "deleted": deleted, "ahead": 0, "member": null});
        let rows = [row("audit", 0, 1, 7, 2), row("billing", 0, 4, 6, 0), row("billing", 1, 10, 0, 0)];
        assert_eq!(said, json!({"lag": rows, "without_partition": []}), "beside {beside}");
    }
    let table = sandbox.ok(&["lag", "data", "--group", "billing"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert_eq!(lines[1][..6], ["billing", "shop/orders", "0", "4", "10", "6"]);
    assert_eq!(lines[2], ["billing", "shop/orders", "1", "10", "10", "0", "0.000", "0", "0", "-"]);
    sandbox.run(&["lag", "data", "--group", "nobody"]).expect(1).says("group nobody has committed nothing");
    sandbox.run(&["lag", "data", "--group", ""]).expect(2);
    sandbox.run(&["lag", "nowhere"]).expect(1);
}

/// The log was cut below what a group had read: that is not caught up.
#[test]
fn a_position_past_the_end_is_ahead() {
    let sandbox = Sandbox::new();
    let (store, positions, keys) = fill(&sandbox);
    commit(&positions, "billing", &keys[0], 14);
    drop(positions);
    store.close().unwrap();
    let row = &look(&sandbox, &[])["lag"][0];
    assert_eq!((&row["lag"], &row["ahead"]), (&json!(0), &json!(4)));
    assert!(sandbox.ok(&["lag", "data"]).lines().nth(1).unwrap().ends_with(" 4  -"));
}

#[test]
fn lag_of_nobody() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "orders"], "x\n");
    let before = sandbox.snapshot("data");
    assert_eq!(sandbox.ok(&["lag", "data"]), "no group has committed anything\n");
    assert_eq!(look(&sandbox, &[]), json!({"lag": [], "without_partition": []}));
    assert!(before == sandbox.snapshot("data"), "looking changes nothing");
}

#[test]
fn lag_of_a_topic_that_is_gone() {
    let sandbox = Sandbox::new();
    let (_store, positions, keys) = fill(&sandbox);
    let gone = PartitionKey { topic: "shop/gone".parse().unwrap(), ..keys[0].clone() };
    commit(&positions, "billing", &gone, 4);
    let named = json!([{"group": "billing", "topic": "shop/gone", "range": gone.range.to_string()}]);
    assert_eq!(look(&sandbox, &[]), json!({"lag": [], "without_partition": named}));
    assert!(sandbox.ok(&["lag", "data"]).contains("billing: there is no partition shop/gone/ring:4096:range:0-2048 any more"));
}

#[test]
fn lag_is_watched() {
    let sandbox = Sandbox::new();
    let (store, positions, keys) = fill(&sandbox);
    watch(&sandbox, &store, &positions, &keys, "log");
}

/// Seen by whoever looks again, wherever positions are kept.
#[cfg(feature = "sqlite")]
#[test]
fn lag_is_watched_in_sqlite() {
    let sandbox = Sandbox::new();
    let (store, _log, keys) = fill(&sandbox);
    let positions = tidelog::SqliteOffsetStore::open(sandbox.path("offsets.db")).unwrap();
    watch(&sandbox, &store, &positions, &keys, "sqlite:offsets.db");
}

fn watch(sandbox: &Sandbox, store: &Store, positions: &dyn OffsetStore, keys: &[PartitionKey], place: &str) {
    commit(positions, "billing", &keys[0], 4);
    let mut watch = sandbox.command(&["lag", "data", "--watch", "--json", "--store", place]).spawn().unwrap();
    let mut looks = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut until = |wanted: &[u64]| {
        let lags = |line: String| {
            let look: Value = serde_json::from_str(&line).unwrap();
            look["lag"].as_array().unwrap().iter().map(|row| row["lag"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        assert!(looks.by_ref().take(30).any(|line| lags(line.unwrap()) == wanted), "{wanted:?} was not seen in 30 looks");
    };
    until(&[6]);
    store.topic("shop/orders").unwrap().partition(0).unwrap().append(Record::new("3 pears")).unwrap();
    until(&[7]);
    commit(positions, "billing", &keys[1], 8);
    until(&[7, 2]);
    commit(positions, "billing", &keys[0], 11);
    until(&[0, 2]);
    drop(looks);
    // Nobody reads any more: it ends by itself.
    assert!(watch.wait().unwrap().code().is_some());
}

/// What is told of positions in a file is what is told of the same ones in the log, and neither is taken for the other.
#[cfg(feature = "sqlite")]
#[test]
fn lag_of_groups_in_sqlite() {
    let (sandbox, place) = (Sandbox::new(), ["--store", "sqlite:offsets.db"]);
    let (_store, log, keys) = fill(&sandbox);
    sandbox.run(&[&["lag", "data"][..], &place].concat()).expect(1).says("there is no offset store in sqlite:offsets.db");
    assert!(!sandbox.path("offsets.db").exists());
    let kept = tidelog::SqliteOffsetStore::open(sandbox.path("offsets.db")).unwrap();
    assert_eq!(sandbox.ok(&[&["lag", "data"][..], &place].concat()), "no group has committed anything in sqlite:offsets.db\n");
    let gone = PartitionKey { topic: "shop/gone".parse().unwrap(), ..keys[0].clone() };
    for positions in [&log as &dyn OffsetStore, &kept] {
        commit(positions, "billing", &keys[0], 4);
        commit(positions, "billing", &keys[1], 10);
        commit(positions, "audit", &gone, 1);
    }
    let said = |arguments: &[&str]| {
        let mut said = look(&sandbox, arguments);
        said["lag"].as_array_mut().unwrap().iter_mut().for_each(|row| drop(row.as_object_mut().unwrap().remove("lag_seconds")));
        said
    };
    let told = said(&place);
    assert_eq!((&told["lag"][0]["lag"], &told["without_partition"][0]["group"]), (&json!(6), &json!("audit")));
    assert_eq!(told, said(&[]));
    commit(&kept, "billing", &keys[0], 9);
    commit(&log, "audit", &keys[0], 2);
    assert_eq!(said(&[&place[..], &["--group", "billing"]].concat())["lag"][0]["lag"], json!(1));
    assert_eq!(said(&["--group", "billing"])["lag"][0]["lag"], json!(6));
    let nobody = [&["lag", "data", "--group", "nobody"][..], &place].concat();
    sandbox.run(&nobody).expect(1).says("group nobody has committed nothing in sqlite:offsets.db");

    sandbox.ok(&["offsets", "data", "migrate", "--store", "sqlite:offsets.db", "--to", "4"]);
    sandbox.run(&[&["lag", "data"][..], &place].concat()).expect(3).says("has version 4 of the schema");
}
