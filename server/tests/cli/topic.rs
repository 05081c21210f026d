//! `topic`: made, listed, described, split and deleted from the command line.

use serde_json::Value;
use tidelog::{CommittedOffset, LogOffsetStore, OffsetStore, PartitionKey, RingRange, TimestampNs};

use crate::sandbox::Sandbox;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn topics_are_made_listed_and_described() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.ok(&["topic", "create", "data", "orders", "--partitions", "4"]), "orders: made, with 4 partitions\n");
    let made = json(&sandbox.ok(&["topic", "create", "data", "shop/skewed", "--range", "64-4096", "--range", "0-64", "--json"]));
    assert_eq!((&made["topic"], &made["partitions"][1]["range_stop"]), (&"shop/skewed".into(), &64.into()));
    let list = sandbox.ok(&["topic", "list", "data"]);
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        (&rows[0][..3], &rows[1][..3], &rows[2][..3]),
        (&["TOPIC", "ACTIVE", "SPLIT"][..], &["orders", "4", "0"][..], &["shop/skewed", "2", "0"][..])
    );
    assert_eq!(json(&sandbox.ok(&["topic", "list", "data", "--json"]))["topics"][1], made);
    sandbox.ok_with(&["append", "data", "shop/skewed", "-p", "1"], "x\n");
    let text = sandbox.ok(&["topic", "describe", "data", "shop/skewed"]);
    assert!(text.contains("ring_size  4096") && text.contains("1          0..64     yes   active"), "{text}");
    let described = json(&sandbox.ok(&["topic", "describe", "data", "shop/skewed", "--json"]));
    assert_eq!(
        (&described["uuid"], &described["partitions"][0]["made"], &described["partitions"][1]["made"]),
        (&made["uuid"], &false.into(), &true.into())
    );
    // What nobody has used is read as empty, by every command that reads.
    assert_eq!(sandbox.ok(&["cat", "data", "orders"]), "");
    sandbox.ok(&["verify", "data"]);
    sandbox.ok(&["repair", "data"]);
    assert_eq!(json(&sandbox.ok(&["info", "data", "orders", "--json"]))["partitions"][3]["log_end_offset"], 0);
    assert!(!sandbox.path("data/topics/default/orders/0").exists());
}

#[test]
fn what_does_not_tile_the_ring_is_refused_with_a_reason() {
    let sandbox = Sandbox::new();
    sandbox.run(&["topic", "create", "data", "../x"]).expect(2).says("no topic name");
    assert!(!sandbox.path("data").exists());
    for (ranges, says) in [
        (&["--range", "0-100"][..], "from slot 100 on, found 4096"),
        (&["--range", "0-100", "--range", "99-4096"], "from slot 100 on, found 99"),
        (&["--range", "0-100", "--range", "101-4096"], "from slot 100 on, found 101"),
        (&["--range", "0-5000"], "no range of a ring of 4096"),
        (&["--range", "seven"], "START-STOP"),
        (&["--partitions", "0"], "0"),
        (&["--partitions", "2", "--range", "0-4096"], "cannot be used with"),
    ] {
        sandbox.run(&[&["topic", "create", "data", "t"], ranges].concat()).expect(2).says(says);
    }
    sandbox.ok(&["topic", "create", "data", "t"]);
    sandbox.run(&["topic", "create", "data", "t"]).expect(1).says("exists already");
    sandbox.run(&["topic", "split", "data", "t", "-p", "0", "--at", "4096"]).expect(2).says("not split at slot 4096");
    sandbox.run(&["topic", "split", "data", "t", "-p", "0", "--parts", "1"]).expect(2).says("not 1");
    sandbox.run(&["topic", "split", "data", "t", "-p", "1"]).expect(1).says("no partition 1");
    sandbox.run(&["topic", "describe", "data", "tt"]).expect(1).says("did you mean t?");
    sandbox.run(&["topic", "delete", "data", "tt"]).expect(1).says("no topic tt");
    sandbox.run(&["topic", "delete", "nowhere", "t"]).expect(1).says("no store at nowhere");
    assert!(!sandbox.path("nowhere").exists());
}

#[test]
fn a_split_topic_is_appended_to_and_read_as_before() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["topic", "create", "data", "t", "--partitions", "2"]);
    let line = |key: &str, value: &str| format!("{{\"k\":\"{key}\",\"v\":\"{value}\"}}\n");
    let import = |name: &str, value: &str| {
        let lines: String = (0..40).map(|key| line(&key.to_string(), value)).collect();
        sandbox.write(name, lines);
        sandbox.ok(&["import", "data", "t", name, "--format", "ndjson", "--key", ".k"]);
    };
    import("first", "before");
    assert_eq!(sandbox.ok(&["topic", "split", "data", "t", "--partition", "0"]), "t/0: split into 2 (0..1024), 3 (1024..2048)\n");
    let split = json(&sandbox.ok(&["topic", "split", "data", "t", "-p", "2", "--at", "100,200", "--json"]));
    assert_eq!((&split["partition"], &split["into"]), (&2.into(), &serde_json::json!([4, 5, 6])));
    import("second", "after");
    sandbox.ok_with(&["append", "data", "t"], "one\ntwo\nthree\nfour\n");
    sandbox.run_with(&["append", "data", "t", "-p", "0"], b"x\n").expect(1).says("the partition was split");
    let all = sandbox.records(&["t"]);
    let count = |text: &str| all.iter().filter(|record| record["value"].as_str().unwrap().contains(text)).count();
    assert_eq!((count("before"), count("after"), all.len()), (40, 40, 84));
    assert!(all.iter().filter(|record| record["partition"] == 0).all(|record| record["value"].as_str().unwrap().contains("before")));
    let text = sandbox.ok(&["topic", "describe", "data", "t"]);
    assert!(text.contains("split into 2, 3") && text.contains("split into 4, 5, 6"), "{text}");
}

#[test]
fn a_deleted_topic_is_gone() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "t"], "x\n");
    sandbox.ok_with(&["append", "data", "other"], "y\n");
    let store = tidelog::Store::open(sandbox.path("data")).unwrap();
    sandbox.run(&["topic", "delete", "data", "t"]).expect(3).says("locked");
    store.close().unwrap();
    assert_eq!(sandbox.ok(&["topic", "delete", "data", "t"]), "t: deleted\n");
    sandbox.run(&["cat", "data", "t"]).expect(1).says("no topic t");
    assert_eq!(sandbox.ok(&["topic", "delete", "data", "other", "--json"]), "{\"deleted\":\"other\",\"positions\":0}\n");
    assert_eq!(json(&sandbox.ok(&["topic", "list", "data", "--json"]))["topics"], serde_json::json!([]));
}

/// Commits offset 7 of partition 0 of topic t, which need not be there any more.
fn commit(sandbox: &Sandbox) {
    let store = tidelog::Store::open(sandbox.path("data")).unwrap();
    let positions = LogOffsetStore::open(&store).unwrap();
    let partition = PartitionKey { topic: "t".parse().unwrap(), range: RingRange::new(4096, 0, 4096).unwrap() };
    positions.commit(&"g".parse().unwrap(), &[(partition, CommittedOffset::new(7, TimestampNs::new(0)))]).unwrap();
    drop(positions);
    store.close().unwrap();
}

#[test]
fn positions_of_groups_go_with_a_topic_and_are_not_there_for_the_next() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "t"], "x\n");
    commit(&sandbox);
    assert_eq!(sandbox.ok(&["topic", "delete", "data", "t"]), "t: deleted, with 1 position of groups\n");
    assert_eq!(sandbox.ok(&["offsets", "data", "list"]), "no group has a position\n");
    // A group that went on committing when the topic was gone.
    for make in [&["topic", "create", "data", "t"][..], &["append", "data", "t"]] {
        commit(&sandbox);
        sandbox.ok_with(make, "");
        assert_eq!(sandbox.ok(&["offsets", "data", "list"]), "no group has a position\n", "{make:?}");
        commit(&sandbox);
        sandbox.run(&["topic", "create", "data", "t"]).expect(1).says("exists");
        sandbox.ok_with(&["append", "data", "t"], "y\n");
        assert_eq!(sandbox.ok(&["offsets", "data", "list"]).lines().count(), 1, "of the topic that is there");
        sandbox.ok(&["topic", "delete", "data", "t"]);
    }
}

#[test]
fn a_partition_that_gets_no_record_gets_no_directory() {
    let sandbox = Sandbox::new();
    let made = || {
        let info = json(&sandbox.ok(&["topic", "describe", "data", "t", "--json"]));
        let partitions = info["partitions"].as_array().unwrap();
        partitions.iter().filter(|partition| partition["made"] == true).map(|partition| partition["partition"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    sandbox.ok(&["topic", "create", "data", "t", "--partitions", "8"]);
    let acks = sandbox.ok_with(&["append", "data", "t", "--print-acks"], "x\ny\n");
    assert_eq!(acks.matches("\"next_offset\":0").count(), 8 + 6, "open and closed: {acks}");
    assert_eq!(made(), [0, 1]);
    sandbox.ok(&["offsets", "data", "rebuild"]);
    assert_eq!(made(), [0, 1]);
    std::fs::write(sandbox.path("one.txt"), "z\n").unwrap();
    sandbox.ok(&["import", "data", "t", "one.txt", "--format", "lines"]);
    sandbox.ok(&["import", "data", "t", "one.txt", "--format", "lines"]);
    assert_eq!(made(), [0, 1]);
    sandbox.ok_with(&["append", "data", "t", "-p", "5"], "x\n");
    assert_eq!(made(), [0, 1, 5]);
    assert_eq!(sandbox.raw("t").len(), 8);
}

#[test]
fn the_engines_own_topics_are_read_alone() {
    let sandbox = Sandbox::new();
    sandbox.run_with(&["append", "data", "_tidelog/offsets"], b"x\n").expect(2).says("engine's own");
    assert!(!sandbox.path("data").exists());
    sandbox.ok_with(&["append", "data", "t"], "x\n");
    commit(&sandbox);
    let before = sandbox.snapshot("data/topics");
    for command in [
        &["append", "data", "_tidelog/offsets"][..],
        &["import", "data", "_tidelog/offsets", "-"],
        &["topic", "create", "data", "_tidelog/x"],
        &["topic", "split", "data", "_tidelog/offsets", "-p", "0"],
        &["topic", "delete", "data", "_tidelog/offsets"],
    ] {
        sandbox.run_with(command, b"x\n").expect(2).says("engine's own");
    }
    assert_eq!(sandbox.snapshot("data/topics"), before);
    sandbox.ok(&["cat", "data", "_tidelog/offsets"]);
}

#[test]
fn a_damaged_catalogue_is_told_and_its_records_are_read() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "t"], "x\n");
    sandbox.ok_with(&["append", "data", "u"], "y\n");
    let path = sandbox.path("data/topics/default/t/TOPIC");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[130] ^= 1;
    std::fs::write(path.with_extension("copy"), &bytes).unwrap();
    std::fs::write(path, bytes).unwrap();
    sandbox.run(&["topic", "describe", "data", "t"]).expect(4).says("catalogue of topic t is damaged");
    let list = sandbox.run(&["topic", "list", "data"]).expect(4).says("catalogue of topic t is damaged");
    assert!(list.text().contains("\nu "), "the others are listed");
    sandbox.run_with(&["append", "data", "t"], b"x\n").expect(4).says("catalogue of topic t is damaged");
    for command in ["verify", "info"] {
        sandbox.run(&[command, "data", "t"]).expect(4).says("catalogue of topic t is damaged");
    }
    assert_eq!(sandbox.raw("t"), b"x\n");
    sandbox.run(&["repair", "data"]).expect(4);
    let repaired = sandbox.ok(&["repair", "data", "--apply"]);
    assert!(repaired.contains("t/0: catalog TOPIC: the catalogue is written anew"), "{repaired}");
    sandbox.ok_with(&["append", "data", "t"], "z\n");
    assert_eq!(sandbox.raw("t"), b"x\nz\n");
}

#[test]
fn a_damaged_catalogue_whose_copy_is_whole_costs_nothing_and_is_told() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "t"], "x\n");
    let path = sandbox.path("data/topics/default/t/TOPIC");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[130] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    sandbox.ok_with(&["append", "data", "t"], "y\n");
    assert_eq!(sandbox.raw("t"), b"x\ny\n");
    for command in ["verify", "info"] {
        sandbox.run(&[command, "data", "t"]).expect(4).says("catalogue of topic t is damaged");
    }
    let repaired = sandbox.ok(&["repair", "data", "--apply"]);
    assert!(repaired.contains("t/0: catalog TOPIC: the catalogue is written anew, from TOPIC.copy"), "{repaired}");
    sandbox.ok(&["verify", "data", "t"]);
}
