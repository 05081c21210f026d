//! `offsets`: positions listed, copied to SQLite and back; and notes about partitions made anew from the log.

use serde_json::Value;
use tidelog::{CommittedOffset, GroupId, LogOffsetStore, OffsetStore, StoreOptions, SyncPolicy, TimestampNs};

use crate::sandbox::Sandbox;

/// Positions of groups in four partitions, committed by a program of its own.
fn commit(sandbox: &Sandbox, groups: u64, offset: u64) {
    let store = StoreOptions::new().sync_policy(SyncPolicy::OsOnly).open(sandbox.path("data")).unwrap();
    let topic = store.existing_topic("events").or_else(|_| store.create_topic("events", 4)).unwrap();
    let positions = LogOffsetStore::open(&store).unwrap();
    for group in 0..groups {
        let group: GroupId = format!("group-{group:03}").parse().unwrap();
        let all = (0..4).map(|number| {
            let position =
                CommittedOffset { metadata: "note".to_owned(), ..CommittedOffset::new(offset, TimestampNs::new(1_500_000_000_000_000_000)) };
            (topic.partition_key(number).unwrap(), position)
        });
        positions.commit(&group, &all.collect::<Vec<_>>()).unwrap();
    }
    drop((positions, topic));
    store.close().unwrap();
}

fn listed(sandbox: &Sandbox, place: &str) -> Vec<Value> {
    let text = sandbox.ok(&["offsets", "data", "list", "--store", place, "--json"]);
    serde_json::from_str::<Value>(&text).unwrap()["positions"].as_array().unwrap().clone()
}

#[test]
fn positions_are_listed() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "events"], "x\n");
    assert_eq!(sandbox.ok(&["offsets", "data", "list"]), "no group has a position\n");
    // What is lost is not copied as if nobody had committed.
    sandbox.run(&["offsets", "data", "copy", "--from", "log", "--to", "sqlite:offsets.db"]).expect(1).says("there is no offset store");
    assert!(!sandbox.path("offsets.db").exists());
    let sandbox = Sandbox::new();
    commit(&sandbox, 2, 7);
    let before = sandbox.snapshot("data");
    let text = sandbox.ok(&["offsets", "data", "list", "--group", "group-001"]);
    assert_eq!(text.lines().next(), Some("group-001  default/events/ring:4096:range:0-1024  7  2017-07-14T02:40:00Z  note"));
    assert_eq!(text.lines().count(), 4);
    assert_eq!(listed(&sandbox, "log").len(), 8);
    assert_eq!(sandbox.snapshot("data"), before, "a list changes nothing");
    // Internal topics are listed nowhere else, and verified all the same.
    assert!(!sandbox.ok(&["info", "data"]).contains("_tidelog"));
    assert!(sandbox.ok(&["verify", "data"]).contains("_tidelog/offsets/0: ok, 2 records"));
}

#[cfg(feature = "sqlite")]
#[test]
fn positions_go_to_sqlite_and_back() {
    let sandbox = Sandbox::new();
    commit(&sandbox, 3, 7);
    let to = ["offsets", "data", "copy", "--from", "log", "--to", "sqlite:offsets.db"];
    assert_eq!(sandbox.ok(&to), "3 groups: 12 positions copied and verified, 0 there already\n");
    assert_eq!(sandbox.ok(&to), "3 groups: 0 positions copied and verified, 12 there already\n");
    assert_eq!(listed(&sandbox, "log"), listed(&sandbox, "sqlite:offsets.db"));
    // The store is lost; its topic is made anew, and the positions come back.
    std::fs::remove_dir_all(sandbox.path("data")).unwrap();
    sandbox.ok_with(&["append", "data", "events", "--partitions", "4"], "x\n");
    let back = ["offsets", "data", "copy", "--from", "sqlite:offsets.db", "--to", "log"];
    let report: Value = serde_json::from_str(&sandbox.ok(&[&back[..], &["--json"]].concat())).unwrap();
    assert_eq!(report, serde_json::json!({ "groups": 3, "copied": 12, "same": 0, "newer": 0 }));
    assert_eq!(listed(&sandbox, "log"), listed(&sandbox, "sqlite:offsets.db"));
    commit(&sandbox, 1, 9);
    let text = sandbox.ok(&back);
    assert_eq!(text, "3 groups: 0 positions copied and verified, 8 there already, 4 left that were committed later (--overwrite)\n");
    assert_eq!(sandbox.ok(&[&back[..], &["--overwrite"]].concat()), "3 groups: 4 positions copied and verified, 8 there already\n");
}

#[cfg(feature = "sqlite")]
#[test]
fn what_cannot_be_copied_is_left_alone() {
    let sandbox = Sandbox::new();
    commit(&sandbox, 1, 7);
    sandbox.write("text", "no database, and longer than the header of one is. ".repeat(9));
    let (before, text) = (sandbox.snapshot("data"), std::fs::read(sandbox.path("text")).unwrap());
    sandbox.run(&["offsets", "data", "copy", "--from", "log", "--to", "sqlite:text"]).expect(3).says("is no offset store");
    sandbox.run(&["offsets", "data", "copy", "--from", "sqlite:none.db", "--to", "log"]).expect(1).says("none.db");
    sandbox.run(&["offsets", "data", "copy", "--from", "log", "--to", "log"]).expect(2).says("cannot be copied to itself");
    sandbox.run(&["offsets", "data", "copy", "--from", "log", "--to", "file"]).expect(2).says("expected log or sqlite:FILE");
    sandbox.run(&["offsets", "none", "list"]).expect(1).says("there is no store");
    assert!(!sandbox.path("none.db").exists());
    assert_eq!((sandbox.snapshot("data"), std::fs::read(sandbox.path("text")).unwrap()), (before, text));
    // Beside a writer, the log is read and not written.
    sandbox.ok(&["offsets", "data", "copy", "--from", "log", "--to", "sqlite:offsets.db"]);
    let writer = StoreOptions::new().open(sandbox.path("data")).unwrap();
    assert_eq!(listed(&sandbox, "log").len(), 4);
    sandbox.run(&["offsets", "data", "copy", "--from", "sqlite:offsets.db", "--to", "log"]).expect(3).says("is locked by another writer");
    drop(writer);
}

#[test]
fn notes_are_rebuilt_from_the_log() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "events", "--partitions", "4", "--partition", "1"], "one\ntwo\nthree\n");
    commit(&sandbox, 1, 2);
    let text = sandbox.ok(&["offsets", "data", "rebuild", "--mappings", "full"]);
    let expected = "events/0: 0 records, 0 bytes, noted up to 0\n\
                    events/1: 3 records, 11 bytes, noted up to 3\n\
                    events/2: 0 records, 0 bytes, noted up to 0\n\
                    events/3: 0 records, 0 bytes, noted up to 0\n\
                    default/events/ring:4096:range:0-1024: group group-000 is at 2, behind the end 0\n\
                    default/events/ring:4096:range:2048-3072: group group-000 is at 2, behind the end 0\n\
                    default/events/ring:4096:range:3072-4096: group group-000 is at 2, behind the end 0\n";
    assert_eq!(text, expected);
    assert_eq!(sandbox.ok(&["offsets", "data", "rebuild", "--mappings", "full"]), expected);
    assert_eq!(listed(&sandbox, "log").len(), 4, "positions stay");
    let store = StoreOptions::new().open(sandbox.path("data")).unwrap();
    let notes = LogOffsetStore::open(&store).unwrap();
    let key = store.existing_topic("events").unwrap().partition_key(1).unwrap();
    assert_eq!(notes.mappings(&key, 0.into()..9.into(), 9).unwrap().len(), 3);
    sandbox.run(&["offsets", "data", "rebuild"]).expect(3);
}
