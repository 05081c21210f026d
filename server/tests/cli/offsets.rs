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
    sandbox.run(&["offsets", "data", "copy", "--from", "log", "--to", "file"]).expect(2).says("expected log, or sqlite:FILE or postgres:URL");
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

#[cfg(feature = "sqlite")]
#[test]
fn a_file_is_backed_up_and_restored() {
    let sandbox = Sandbox::new();
    commit(&sandbox, 1, 7);
    let to = ["offsets", "data", "copy", "--from", "log", "--to", "sqlite:offsets.db"];
    sandbox.ok(&to);
    let backup = ["offsets", "data", "backup", "--from", "sqlite:offsets.db", "--to", "offsets.backup"];
    assert_eq!(sandbox.ok(&backup), "sqlite:offsets.db: copied to offsets.backup\n");
    sandbox.run(&backup).expect(1).says("offsets.backup");
    let before = listed(&sandbox, "sqlite:offsets.db");
    commit(&sandbox, 2, 9);
    sandbox.ok(&[&to[..], &["--overwrite"]].concat());
    assert_ne!(listed(&sandbox, "sqlite:offsets.db"), before);
    let restore = ["offsets", "data", "restore", "--from", "offsets.backup", "--to", "sqlite:offsets.db"];
    assert_eq!(sandbox.ok(&restore), "sqlite:offsets.db: restored from offsets.backup\n");
    assert_eq!(listed(&sandbox, "sqlite:offsets.db"), before);
    // Nothing is made of what is no backup.
    sandbox.write("text", "no database, and longer than the header of one is. ".repeat(9));
    sandbox.run(&["offsets", "data", "restore", "--from", "text", "--to", "sqlite:new.db"]).expect(3).says("is no offset store");
    sandbox.run(&["offsets", "data", "restore", "--from", "none", "--to", "sqlite:new.db"]).expect(1).says("none");
    sandbox.write("empty", "");
    sandbox.run(&["offsets", "data", "restore", "--from", "empty", "--to", "sqlite:new.db"]).expect(1).says("restore from empty");
    let mut rotten = std::fs::read(sandbox.path("offsets.backup")).unwrap();
    let page = rotten.len() / 2 / 4096 * 4096;
    rotten[page..page + 64].fill(0xa5);
    sandbox.write("rotten", rotten);
    assert_ne!(sandbox.run(&["offsets", "data", "restore", "--from", "rotten", "--to", "sqlite:new.db"]).code, Some(0));
    sandbox.run(&["offsets", "data", "backup", "--from", "sqlite:new.db", "--to", "b"]).expect(1).says("new.db");
    assert!(!sandbox.path("new.db").exists() && !sandbox.path("b").exists());
    sandbox.run(&["offsets", "data", "backup", "--from", "log", "--to", "b"]).expect(2).says("sqlite:FILE or postgres:URL");
    for place in ["postgres://me:secret@host/db", "postgres://me:sec?ret@host/db"] {
        sandbox.run(&["offsets", "data", "backup", "--from", place, "--to", "b"]).expect(2).says("postgres:host/db and b: ");
    }
    let said = sandbox.run(&["offsets", "data", "backup", "--from", "postgres://host/db?password=sec@ret", "--to", "b"]).expect(2);
    assert!(!said.stderr.contains("ret"), "{}", said.stderr);
}

/// Positions may lie in a file that is somebody's own.
#[cfg(feature = "sqlite")]
#[test]
fn looking_leaves_the_journal_of_a_file_as_it_is() {
    let sandbox = Sandbox::new();
    commit(&sandbox, 1, 7);
    sandbox.ok(&["offsets", "data", "copy", "--from", "log", "--to", "sqlite:offsets.db"]);
    let journal = |statement: &str| {
        let file = rusqlite::Connection::open(sandbox.path("offsets.db")).unwrap();
        file.query_row(statement, [], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!(journal("PRAGMA journal_mode"), "wal");
    assert_eq!(journal("PRAGMA journal_mode = DELETE"), "delete");
    assert_eq!(listed(&sandbox, "sqlite:offsets.db").len(), 4);
    sandbox.ok(&["offsets", "data", "backup", "--from", "sqlite:offsets.db", "--to", "offsets.backup"]);
    assert_eq!(journal("PRAGMA journal_mode"), "delete");
}

#[cfg(feature = "sqlite")]
#[test]
fn tables_are_migrated_down_and_up() {
    let sandbox = Sandbox::new();
    commit(&sandbox, 1, 7);
    sandbox.ok(&["offsets", "data", "copy", "--from", "log", "--to", "sqlite:offsets.db"]);
    let schema = || -> Value { serde_json::from_str(&sandbox.ok(&["offsets", "data", "schema", "--store", "sqlite:offsets.db", "--json"])).unwrap() };
    let latest = schema()["latest"].as_u64().unwrap();
    assert_eq!(schema()["version"], latest);
    let text = sandbox.ok(&["offsets", "data", "schema", "--store", "sqlite:offsets.db"]);
    assert!(
        text.starts_with(&format!("sqlite:offsets.db: version {latest} of {latest}\n1  Create initial offset storage tables  applied 2")),
        "{text}"
    );
    let migrate = |to: &str, dry: &[&str]| sandbox.ok(&[&["offsets", "data", "migrate", "--store", "sqlite:offsets.db", "--to", to], dry].concat());
    let bytes = || std::fs::read(sandbox.path("offsets.db")).unwrap();
    let before = bytes();
    let text = migrate("3", &["--dry-run"]);
    let down: Vec<_> = text.lines().collect();
    assert_eq!(down.len() as u64, latest - 3 + 1);
    assert_eq!(down[down.len() - 2], "down  4  Add positions of consumer groups");
    let lossy = "what the older version has no place for is deleted; nothing was changed";
    assert_eq!(*down.last().unwrap(), format!("sqlite:offsets.db: version {latest}, would be 3; {lossy}"));
    assert_eq!(schema()["version"].as_u64(), Some(latest));
    assert!(bytes() == before, "a dry run changed bytes");

    assert!(migrate("3", &[]).ends_with(&format!("sqlite:offsets.db: version {latest}, now 3\n")));
    assert_eq!((schema()["version"].as_u64(), schema()["migrations"][3]["applied_at_ns"].clone()), (Some(3), Value::Null));
    let refused = format!("has version 3 of the schema, and {latest} is read: `migrate --to {latest}` brings it up");
    sandbox.run(&["offsets", "data", "list", "--store", "sqlite:offsets.db"]).expect(3).says(&refused);
    // A backup is of the version that is there.
    sandbox.ok(&["offsets", "data", "backup", "--from", "sqlite:offsets.db", "--to", "offsets.backup"]);
    assert!(sandbox.ok(&["offsets", "data", "schema", "--store", "sqlite:offsets.backup"]).starts_with("sqlite:offsets.backup: version 3 of"));
    let text = migrate(&latest.to_string(), &[]);
    assert!(text.starts_with("up    4  Add positions of consumer groups\n"), "{text}");
    assert_eq!(migrate(&latest.to_string(), &[]), format!("sqlite:offsets.db: version {latest}, now {latest}\n"));
    assert!(listed(&sandbox, "sqlite:offsets.db").is_empty(), "they went with their table");
    sandbox.run(&["offsets", "data", "migrate", "--store", "sqlite:offsets.db", "--to", "99"]).expect(2).says("there is no version 99");
    sandbox.run(&["offsets", "data", "migrate", "--store", "sqlite:none.db", "--to", "1"]).expect(1).says("none.db");
    assert!(!sandbox.path("none.db").exists());
}

#[cfg(not(feature = "postgres"))]
#[test]
fn what_is_not_built_in_is_said() {
    let sandbox = Sandbox::new();
    commit(&sandbox, 1, 7);
    let place = "postgres://me:secret@host/db";
    let said = sandbox.run(&["offsets", "data", "copy", "--from", "log", "--to", place]).expect(2);
    assert!(!said.stderr.contains("secret"), "{}", said.stderr);
    said.says("postgres:host/db needs the feature postgres");
    sandbox.run(&["lag", "data", "--store", place]).expect(2).says("postgres:host/db needs the feature postgres");
}

#[cfg(feature = "postgres")]
#[test]
fn positions_go_to_postgres_and_back() {
    use std::io::Write;
    let Ok(server) = std::env::var("TIDELOG_POSTGRES") else {
        let said = b"\n!!!! SKIPPED: the program with PostgreSQL, since TIDELOG_POSTGRES names no server (.ci/postgres starts one)\n\n";
        return std::io::stderr().write_all(said).unwrap();
    };
    let sandbox = Sandbox::new();
    commit(&sandbox, 3, 7);
    let place = server.as_str();
    sandbox.run(&["offsets", "data", "migrate", "--store", place, "--to", "0"]).expect(0); // whatever a run before has left
    sandbox.run(&["offsets", "data", "copy", "--from", place, "--to", "log"]).expect(1).says("there is no offset store");
    assert_eq!(
        sandbox.ok(&["offsets", "data", "copy", "--from", "log", "--to", place]),
        "3 groups: 12 positions copied and verified, 0 there already\n"
    );
    assert_eq!(listed(&sandbox, "log"), listed(&sandbox, place));
    std::fs::remove_dir_all(sandbox.path("data")).unwrap();
    sandbox.ok_with(&["append", "data", "events", "--partitions", "4"], "x\n");
    assert_eq!(
        sandbox.ok(&["offsets", "data", "copy", "--from", place, "--to", "log"]),
        "3 groups: 12 positions copied and verified, 0 there already\n"
    );
    assert_eq!(listed(&sandbox, "log"), listed(&sandbox, place));
    let groups = |arguments: &[&str]| sandbox.ok(&[&["groups", "data"], arguments, &["--store", place]].concat());
    assert_eq!(groups(&["list"]).lines().count(), 1 + 3);
    assert_eq!(groups(&["reset", "group-001", "--topic", "events", "-p", "1", "--to-earliest"]), "events/1: 7 -> 0\n");
    assert!(groups(&["describe", "group-001", "--json"]).contains("\"committed_offset\":0,"));
    assert!(sandbox.ok(&["lag", "data", "--group", "group-001", "--json", "--store", place]).contains("\"partition\":1,\"committed_offset\":0,"));
    assert_eq!(groups(&["delete", "group-002"]), "group-002: deleted, with 4 positions and 0 members\n");
    assert_eq!((listed(&sandbox, "log").len(), listed(&sandbox, place).len()), (12, 8));
    let text = sandbox.ok(&["offsets", "data", "rebuild", "--store", place, "--mappings", "full"]);
    assert!(text.starts_with("events/0: "), "{text}");
    sandbox.run(&["offsets", "data", "migrate", "--store", place, "--to", "3"]).expect(0);
    sandbox.run(&["offsets", "data", "list", "--store", place]).expect(3).says("has version 3 of the schema");
    sandbox.run(&["offsets", "data", "migrate", "--store", place, "--to", "0"]).expect(0);
    sandbox.run(&["offsets", "data", "list", "--store", "postgres:host=127.0.0.1 port=1 user=me password=secret"]).expect(1);
}
