//! The offset store in SQLite: its schema, the ways between its versions, what it refuses, backups, and files as a kill leaves them.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, params};
use tidelog::{
    CommittedOffset, GroupId, OffsetCheckpoint, OffsetMapping, OffsetStore, OffsetStoreError, PartitionKey, RingRange, SqliteOffsetStore, TimestampNs,
};

use crate::offset_stores::check_filled;
use crate::support::{copy_tree, fingerprint, tempdir};

fn key(topic: &str) -> PartitionKey {
    PartitionKey { topic: topic.parse().unwrap(), range: RingRange::new(4096, 0, 1024).unwrap() }
}

fn group() -> GroupId {
    "g".parse().unwrap()
}

fn commit(store: &SqliteOffsetStore, offset: u64) {
    let position = CommittedOffset::new(offset, TimestampNs::new(1));
    store.commit(&group(), &[(key("t"), position.clone()), (key("u"), position)]).unwrap();
}

fn committed(store: &SqliteOffsetStore) -> Vec<u64> {
    store.fetch_all(&group()).unwrap().iter().map(|(_, position)| position.offset.get()).collect()
}

/// Name, type, whether it must have a value, and its number in the primary key.
type Column = (String, String, bool, i64);

fn columns(db: &Connection, table: &str) -> Vec<Column> {
    let mut statement = db.prepare("SELECT name, type, \"notnull\", pk FROM pragma_table_info(?1)").unwrap();
    statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap().map(Result::unwrap).collect()
}

fn strings(db: &Connection, sql: &str) -> Vec<String> {
    db.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn column(name: &str, kind: &str, must: bool, pk: i64) -> Column {
    (name.to_owned(), kind.to_owned(), must, pk)
}

fn numbers(names: &[&str]) -> Vec<Column> {
    names.iter().map(|name| column(name, "INTEGER", true, 0)).collect()
}

const VERSIONS: [(&str, &[&str], &[&str]); 3] = [
    ("Create initial offset storage tables", &["offset_mappings", "partition_offset_checkpoints"], &[]),
    (
        "Add indexes for performance optimization",
        &["offset_mappings", "partition_offset_checkpoints"],
        &[
            "idx_offset_mappings_created_at",
            "idx_offset_mappings_partition_offset",
            "idx_offset_mappings_timestamp",
            "idx_partition_offset_checkpoints_partition",
        ],
    ),
    (
        "Add partition metadata table for enhanced tracking",
        &["offset_mappings", "partition_metadata", "partition_offset_checkpoints"],
        &[
            "idx_offset_mappings_created_at",
            "idx_offset_mappings_partition_offset",
            "idx_offset_mappings_timestamp",
            "idx_partition_metadata_activity",
            "idx_partition_offset_checkpoints_partition",
        ],
    ),
];

#[test]
fn the_first_three_versions_are_those_of_the_plan() {
    for (number, (description, tables, indexes)) in VERSIONS.into_iter().enumerate() {
        let home = tempdir();
        let file = home.path().join("offsets.db");
        SqliteOffsetStore::migrate(&file, number as u32 + 1).unwrap();
        let db = Connection::open(&file).unwrap();
        let all = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'schema_migrations' ORDER BY name";
        assert_eq!(strings(&db, all), tables);
        assert_eq!(strings(&db, "SELECT name FROM sqlite_schema WHERE type = 'index' AND name LIKE 'idx_%' ORDER BY name"), indexes);
        assert_eq!(strings(&db, "SELECT description FROM schema_migrations ORDER BY version DESC LIMIT 1"), [description]);
        assert_eq!(
            columns(&db, "schema_migrations"),
            [column("version", "INTEGER", false, 1), column("description", "TEXT", true, 0), column("applied_at", "INTEGER", true, 0)]
        );
        let place =
            || [vec![column("partition_key", "TEXT", false, 1)], numbers(&["ring_size", "range_start", "range_stop", "unix_time_ns"])].concat();
        assert_eq!(columns(&db, "partition_offset_checkpoints"), [place(), numbers(&["checkpoint_offset", "updated_at"])].concat());
        let mapping = numbers(&["kafka_offset", "smq_timestamp", "message_size", "created_at"]);
        let keys = vec![column("id", "INTEGER", false, 1), column("partition_key", "TEXT", true, 0)];
        assert_eq!(columns(&db, "offset_mappings"), [keys, mapping].concat());
        if number == 2 {
            let counts = vec![column("record_count", "INTEGER", false, 0), column("total_size", "INTEGER", false, 0)];
            assert_eq!(columns(&db, "partition_metadata"), [place(), numbers(&["created_at", "last_activity_at"]), counts].concat());
        }
        let of = |index: &str| strings(&db, &format!("SELECT name FROM pragma_index_info('{index}') ORDER BY seqno"));
        if number > 0 {
            assert_eq!(of("idx_partition_offset_checkpoints_partition"), ["partition_key"]);
            assert_eq!(of("idx_offset_mappings_partition_offset"), ["partition_key", "kafka_offset"]);
            assert_eq!(of("idx_offset_mappings_timestamp"), ["partition_key", "smq_timestamp"]);
            assert_eq!(of("idx_offset_mappings_created_at"), ["created_at"]);
        }
        let again = "INSERT INTO offset_mappings (partition_key, kafka_offset, smq_timestamp, message_size, created_at) VALUES ('k', 1, 1, 1, 1)";
        db.execute(again, []).unwrap();
        assert!(db.execute(again, []).is_err(), "an offset has one row");
    }
}

/// A store of each version, as it would be found, with a row in each of its tables, comes up to date with all that it holds, goes back, and up again.
/// What it was given by then that the older version has no place for is gone.
#[test]
fn stores_of_every_version_go_up_and_down() {
    let newest = SqliteOffsetStore::LATEST_VERSION;
    for version in 1..=newest {
        let home = tempdir();
        let file = home.path().join("offsets.db");
        SqliteOffsetStore::migrate(&file, version).unwrap();
        (1..=version).for_each(|brought| fill(&Connection::open(&file).unwrap(), brought));
        let before = dump(&file);
        check_filled(&SqliteOffsetStore::open(&file).unwrap(), &key("t"), &group(), version);
        assert_eq!(SqliteOffsetStore::version(&file).unwrap(), newest);
        SqliteOffsetStore::migrate(&file, version).unwrap();
        assert_eq!(SqliteOffsetStore::version(&file).unwrap(), version);
        assert_eq!(dump(&file), before, "version {version}: down is not what it was before up");
        check_filled(&SqliteOffsetStore::open(&file).unwrap(), &key("t"), &group(), version);
        (version + 1..=newest).for_each(|brought| fill(&Connection::open(&file).unwrap(), brought));
        check_filled(&SqliteOffsetStore::open(&file).unwrap(), &key("t"), &group(), newest);
        SqliteOffsetStore::migrate(&file, version).unwrap();
        assert_eq!(dump(&file), before, "version {version}: down is not what it was before there was more");
        check_filled(&SqliteOffsetStore::open(&file).unwrap(), &key("t"), &group(), version);
    }
}

/// A row in what a version brought, by the statements of that day.
fn fill(db: &Connection, version: u32) {
    let t = key("t").to_string();
    let row = match version {
        1 => {
            let row = "INSERT INTO offset_mappings (partition_key, kafka_offset, smq_timestamp, message_size, created_at) VALUES (?1, ?2, 3, 4, 5)";
            (0..20).for_each(|offset| assert_eq!(db.execute(row, params![t, offset]).unwrap(), 1));
            "INSERT INTO partition_offset_checkpoints VALUES (?1, 4096, 0, 1024, 7, 41, 5)"
        }
        3 => "INSERT INTO partition_metadata (partition_key, ring_size, range_start, range_stop, unix_time_ns, created_at, last_activity_at, record_count, total_size)
              VALUES (?1, 4096, 0, 1024, 7, 8, 9, 6, 7)",
        4 => "INSERT INTO consumer_group_positions VALUES ('g', ?1, 18, 2, 'noted', 19, 20)",
        5 => "UPDATE partition_metadata SET earliest_offset = 10, latest_offset = 15, first_record_at = 16, last_record_at = 17 WHERE partition_key = ?1",
        6 => {
            db.execute("INSERT INTO consumer_groups VALUES ('g', 23, 'consumer', 'range', 'm', 24)", []).unwrap();
            let row = "INSERT INTO consumer_group_members VALUES ('g', 'm', 'i', 'c', 'h', 21, 22, x'0102', x'03')";
            assert_eq!(db.execute(row, []).unwrap(), 1);
            return;
        }
        _ => return, // no place for rows
    };
    assert_eq!(db.execute(row, [&t]).unwrap(), 1);
}

/// Everything that stands in a file.
fn dump(file: &Path) -> (Vec<String>, Vec<Vec<rusqlite::types::Value>>) {
    let db = Connection::open(file).unwrap();
    let schema = strings(&db, "SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name");
    let tables = strings(&db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name");
    let rows = tables.iter().flat_map(|table| {
        let mut statement = db.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).unwrap();
        let count = statement.column_count();
        let all = statement.query_map([], |row| (0..count).map(|column| row.get(column)).collect::<Result<Vec<_>, _>>());
        all.unwrap().map(Result::unwrap).collect::<Vec<_>>()
    });
    (schema, rows.collect())
}

#[test]
fn all_the_way_down_there_is_nothing() {
    let home = tempdir();
    let file = home.path().join("offsets.db");
    commit(&SqliteOffsetStore::open(&file).unwrap(), 1);
    SqliteOffsetStore::migrate(&file, 0).unwrap();
    assert_eq!(SqliteOffsetStore::version(&file).unwrap(), 0);
    assert!(committed(&SqliteOffsetStore::open(&file).unwrap()).is_empty());
    assert!(matches!(SqliteOffsetStore::migrate(&file, 99), Err(OffsetStoreError::Unsupported { found: 99, .. })));
}

/// A migration that fails in the middle leaves the version before it, whole.
#[test]
fn a_migration_is_done_whole_or_not_at_all() {
    let home = tempdir();
    let file = home.path().join("offsets.db");
    SqliteOffsetStore::migrate(&file, 1).unwrap();
    let db = Connection::open(&file).unwrap();
    // The third of four statements of version 2 fails.
    db.execute_batch("CREATE INDEX idx_offset_mappings_timestamp ON offset_mappings (id)").unwrap();
    drop(db);
    let error = SqliteOffsetStore::open(&file).map(drop).unwrap_err();
    assert!(matches!(error, OffsetStoreError::Database { .. }), "{error}");
    assert_eq!(SqliteOffsetStore::version(&file).unwrap(), 1);
    let db = Connection::open(&file).unwrap();
    assert_eq!(strings(&db, "SELECT name FROM sqlite_schema WHERE name LIKE 'idx_%'"), ["idx_offset_mappings_timestamp"]);
    db.execute_batch("DROP INDEX idx_offset_mappings_timestamp").unwrap();
    drop(db);
    SqliteOffsetStore::open(&file).unwrap();
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_alone() {
    // With the index of the write-ahead log, as a kill leaves it, and without, as a copy may be.
    for (is_killed, has_index) in [(false, false), (true, true), (true, false)] {
        let (home, image) = (tempdir(), tempdir());
        let file = home.path().join("offsets.db");
        let store = SqliteOffsetStore::open(&file).unwrap();
        commit(&store, 7);
        let db = Connection::open(&file).unwrap();
        db.execute("INSERT INTO schema_migrations VALUES (?1, 'Add what nobody knows yet', 1)", [SqliteOffsetStore::LATEST_VERSION + 1]).unwrap();
        if is_killed {
            copy_tree(home.path(), image.path()); // with what is in the write-ahead log alone
        }
        drop((store, db));
        if !is_killed {
            copy_tree(home.path(), image.path());
        }
        let file = image.path().join("offsets.db");
        assert_eq!(image.path().join("offsets.db-wal").exists(), is_killed);
        if is_killed && !has_index {
            fs::remove_file(image.path().join("offsets.db-shm")).unwrap();
        }
        let bytes = |name: &str| fs::read(image.path().join(name)).ok();
        let watched = &["offsets.db", "offsets.db-wal", "offsets.db-shm"][..if is_killed && !has_index { 2 } else { 3 }];
        let all = || watched.iter().map(|name| bytes(name)).collect::<Vec<_>>();
        let before = all();
        let other = SqliteOffsetStore::open(image.path().join("mine.db")).unwrap();
        commit(&other, 1);
        for outcome in [
            SqliteOffsetStore::open(&file).map(drop),
            SqliteOffsetStore::version(&file).map(drop),
            SqliteOffsetStore::migrate(&file, 1),
            other.restore(&file),
        ] {
            let error = outcome.unwrap_err();
            assert!(matches!(error, OffsetStoreError::Unsupported { found: 7, supported: 6, .. }) && error.is_refusal(), "{error}");
        }
        assert!(before == all(), "a refusal changed bytes; killed: {is_killed}, index: {has_index}");
        assert_eq!(committed(&other), [1, 1]);
    }
}

#[test]
fn what_is_no_offset_store_is_refused_and_left_alone() {
    let home = tempdir();
    fs::write(home.path().join("text"), "not a database, and longer than a header of one would be".repeat(10)).unwrap();
    fs::create_dir(home.path().join("directory")).unwrap();
    for (name, sql) in [
        ("other.db", "CREATE TABLE invoices (id)"),
        ("empty.db", "CREATE TABLE invoices (id); CREATE TABLE schema_migrations (version INTEGER, description TEXT, applied_at INTEGER)"),
        ("view.db", "CREATE VIEW totals AS SELECT 1; CREATE TABLE schema_migrations (version INTEGER, description TEXT, applied_at INTEGER)"),
        ("go.db", "CREATE TABLE schema_migrations (version INTEGER, dirty INTEGER); INSERT INTO schema_migrations VALUES (1, 0)"),
        (
            "rails.db",
            "CREATE TABLE schema_migrations (version INTEGER, description TEXT, applied_at); INSERT INTO schema_migrations VALUES (1, 'Users', 1)",
        ),
    ] {
        Connection::open(home.path().join(name)).unwrap().execute_batch(sql).unwrap();
    }
    let before = fingerprint(home.path());
    for name in ["text", "directory", "other.db", "empty.db", "view.db", "go.db", "rails.db"] {
        let path = home.path().join(name);
        for outcome in [SqliteOffsetStore::open(&path).map(drop), SqliteOffsetStore::migrate(&path, 1), SqliteOffsetStore::migrate(&path, 0)] {
            let error = outcome.unwrap_err();
            assert!(matches!(error, OffsetStoreError::Foreign { .. }) && error.is_refusal(), "{name}: {error}");
        }
    }
    assert!(before == fingerprint(home.path()));
    assert!(matches!(SqliteOffsetStore::open(home.path().join("none/offsets.db")), Err(OffsetStoreError::Database { .. })));
}

#[test]
fn a_file_that_must_be_there_is_not_made_anew() {
    let home = tempdir();
    let file = home.path().join("offsets.db");
    let is_missing = || matches!(SqliteOffsetStore::open_existing(&file), Err(OffsetStoreError::NotFound { .. }));
    assert!(is_missing() && !file.exists());
    fs::write(&file, "").unwrap();
    assert!(is_missing() && fs::read(&file).unwrap().is_empty());
    commit(&SqliteOffsetStore::open(&file).unwrap(), 3);
    assert_eq!(committed(&SqliteOffsetStore::open_existing(&file).unwrap()), [3, 3]);
    SqliteOffsetStore::migrate(&file, 0).unwrap();
    assert!(is_missing());
}

#[test]
fn keys_of_other_versions_name_no_partition() {
    let home = tempdir();
    let file = home.path().join("offsets.db");
    let store = SqliteOffsetStore::open(&file).unwrap();
    let row = "INSERT INTO partition_offset_checkpoints VALUES ('ring:1024:range:0-31:time:1', 1024, 0, 31, 1, 1, 1)";
    Connection::open(&file).unwrap().execute(row, []).unwrap();
    let error = store.partitions().unwrap_err();
    assert!(matches!(&error, OffsetStoreError::Malformed { place, .. } if place.contains("ring:1024:range:0-31:time:1")), "{error}");
}

/// What a process that was killed leaves: the database and its write-ahead log, as they are.
#[test]
fn what_was_acknowledged_is_in_the_files() {
    let (home, image) = (tempdir(), tempdir());
    let store = SqliteOffsetStore::open(home.path().join("offsets.db")).unwrap();
    for offset in 1..50 {
        commit(&store, offset);
    }
    copy_tree(home.path(), image.path());
    assert_eq!(committed(&SqliteOffsetStore::open(image.path().join("offsets.db")).unwrap()), [49, 49]);
}

#[test]
fn a_backup_of_a_store_in_use_is_one_moment_of_it() {
    let home = tempdir();
    let store = SqliteOffsetStore::open(home.path().join("offsets.db")).unwrap();
    commit(&store, 1);
    let backups: Vec<_> = (0..5).map(|number| home.path().join(format!("backup-{number}.db"))).collect();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for offset in 2.. {
                if is_done.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                commit(&store, offset);
            }
        });
        let outcomes: Vec<_> = backups
            .iter()
            .map(|to| {
                let outcome = store.backup(to);
                // The next one is of a later moment.
                let before = committed(&store)[0];
                (0..10_000).take_while(|_| committed(&store)[0] == before).for_each(|_| std::thread::sleep(std::time::Duration::from_millis(1)));
                outcome
            })
            .collect();
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        outcomes.into_iter().for_each(Result::unwrap);
    });
    let mut last = 0;
    for backup in &backups {
        let found = committed(&SqliteOffsetStore::open(backup).unwrap());
        assert!(found[0] == found[1] && found[0] > last, "{found:?} behind {last}");
        last = found[0];
    }
    assert!(matches!(store.backup(&backups[0]), Err(OffsetStoreError::Database { .. })), "a file that is there is not written over");
    let left: Vec<_> = crate::support::names(home.path()).into_iter().filter(|name| name.contains(".unfinished")).collect();
    assert!(left.is_empty(), "{left:?}");
    store.restore(&backups[0]).unwrap();
    let found = committed(&store);
    assert!(found[0] < last, "{found:?}");
    commit(&store, 1_000_000);
    drop(store);
    assert_eq!(committed(&SqliteOffsetStore::open(home.path().join("offsets.db")).unwrap()), [1_000_000, 1_000_000]);
}

/// What is beside a backup is not its own, and its name may be any that the file system takes.
#[test]
fn a_backup_touches_no_other_file() {
    use std::os::unix::ffi::OsStringExt;
    let home = tempdir();
    let store = SqliteOffsetStore::open(home.path().join("offsets.db")).unwrap();
    commit(&store, 4);
    for name in ["plain.db", "it's \"odd\".db", "file:a?mode=memory", "latin-\u{e4}"]
        .map(String::from)
        .map(String::into_bytes)
        .into_iter()
        .chain([b"raw-\xe4\xff.db".to_vec()])
    {
        let to = home.path().join(std::ffi::OsString::from_vec(name));
        let others = [".tmp", ".unfinished", ".unfinished-1"].map(|suffix| {
            let mut other = to.clone().into_os_string();
            other.push(suffix);
            fs::write(&other, "mine").unwrap();
            other
        });
        store.backup(&to).unwrap();
        assert!(others.iter().all(|other| fs::read(other).is_ok_and(|bytes| bytes == b"mine")), "{to:?}");
        assert!(fs::read(&to).unwrap().starts_with(b"SQLite format 3\0"), "{to:?}");
        let before = fingerprint(home.path());
        assert!(matches!(store.backup(&to), Err(OffsetStoreError::Database { .. })), "a file that is there is not written over");
        assert!(before == fingerprint(home.path()), "{to:?}");
        store.restore(&to).unwrap();
        assert_eq!(committed(&store), [4, 4]);
    }
}

#[test]
fn only_a_whole_backup_is_restored() {
    let home = tempdir();
    let store = SqliteOffsetStore::open(home.path().join("offsets.db")).unwrap();
    for number in 0..200u64 {
        let rows: Vec<_> =
            (0..20).map(|row| OffsetMapping { offset: (number * 20 + row).into(), timestamp: TimestampNs::new(1), bytes: 1 }).collect();
        store.save_mappings(&key("t"), &rows, TimestampNs::new(1)).unwrap();
    }
    commit(&store, 5);
    let (good, bad, old, stuck) = (home.path().join("good.db"), home.path().join("bad.db"), home.path().join("old.db"), home.path().join("stuck.db"));
    store.backup(&good).unwrap();
    let mut bytes = fs::read(&good).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xA5);
    fs::write(&bad, bytes).unwrap();
    commit(&store, 6);
    for from in [bad, home.path().join("none.db")] {
        let error = store.restore(&from).unwrap_err();
        assert!(matches!(error, OffsetStoreError::Database { .. }), "{error}");
        assert_eq!((committed(&store), store.highest_offset(&key("t")).unwrap()), (vec![6, 6], Some(3999.into())));
    }
    // Of an older version, with something in it that keeps it from being brought up to date: still nothing is changed here.
    SqliteOffsetStore::migrate(&stuck, 1).unwrap();
    Connection::open(&stuck).unwrap().execute_batch("CREATE INDEX idx_offset_mappings_timestamp ON offset_mappings (id)").unwrap();
    assert!(matches!(store.restore(&stuck), Err(OffsetStoreError::Database { .. })));
    assert_eq!((committed(&store), store.highest_offset(&key("t")).unwrap()), (vec![6, 6], Some(3999.into())));
    // Of an older version: brought up to date on the way.
    SqliteOffsetStore::migrate(&old, 2).unwrap();
    store.restore(&old).unwrap();
    assert_eq!((committed(&store), store.highest_offset(&key("t")).unwrap()), (vec![], None));
    commit(&store, 7);
    store.restore(&good).unwrap();
    assert_eq!((committed(&store), store.highest_offset(&key("t")).unwrap()), (vec![5, 5], Some(3999.into())));
}

#[test]
fn vacuum() {
    let home = tempdir();
    let file = home.path().join("offsets.db");
    let store = SqliteOffsetStore::open(&file).unwrap();
    let rows: Vec<_> = (0..20_000u64).map(|row| OffsetMapping { offset: row.into(), timestamp: TimestampNs::new(1), bytes: 1 }).collect();
    store.save_mappings(&key("t"), &rows, TimestampNs::new(1)).unwrap();
    assert_eq!(store.clean_up_mappings(TimestampNs::new(2)).unwrap(), 20_000);
    commit(&store, 3);
    let pages =
        || strings(&Connection::open(&file).unwrap(), "SELECT CAST(page_count AS TEXT) FROM pragma_page_count").concat().parse::<u64>().unwrap();
    let before = pages();
    store.vacuum().unwrap();
    assert!(pages() < before / 5, "{} of {before} pages", pages());
    assert_eq!(committed(&store), [3, 3]);
}

/// Another process may hold the database for a while: nothing is lost, and an older checkpoint does not win there either.
#[test]
fn two_stores_of_one_file_share_it() {
    let home = tempdir();
    let file = home.path().join("offsets.db");
    let both = [SqliteOffsetStore::open(&file).unwrap(), SqliteOffsetStore::open(&file).unwrap()];
    std::thread::scope(|scope| {
        for (number, store) in both.iter().enumerate() {
            scope.spawn(move || {
                for round in 0..50u64 {
                    let checkpoint = OffsetCheckpoint { offset: (round * 2 + number as u64).into(), saved_at: TimestampNs::new(1) };
                    store.save_checkpoint(&key("t"), checkpoint).unwrap();
                    assert!(store.load_checkpoint(&key("t")).unwrap().unwrap().offset >= checkpoint.offset);
                }
            });
        }
    });
    assert_eq!(both[0].load_checkpoint(&key("t")).unwrap().unwrap().offset, 99);
}

/// Somebody's file with a rollback journal, whose process was killed in the middle of a commit: half of that is in the file.
#[test]
fn half_a_commit_is_taken_back_before_anybody_looks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("offsets.db");
    drop(SqliteOffsetStore::open(&path).unwrap());
    let file = Connection::open(&path).unwrap();
    file.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 10").unwrap();
    file.execute_batch(
        "WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < 4999)
         INSERT INTO consumer_group_positions
         SELECT 'g' || n, 'default/t/ring:4096:range:0-4096', 7, NULL, '', 0, NULL FROM number;
         BEGIN IMMEDIATE; UPDATE consumer_group_positions SET committed_offset = 9",
    )
    .unwrap();
    let (left, journal) = (dir.path().join("left.db"), dir.path().join("left.db-journal"));
    fs::copy(&path, &left).unwrap();
    fs::copy(dir.path().join("offsets.db-journal"), &journal).unwrap();
    assert!(fs::metadata(&journal).unwrap().len() > 0);
    let restored = dir.path().join("restored.db");
    SqliteOffsetStore::restore_file(&restored, &left).unwrap();
    for store in [SqliteOffsetStore::open_existing(&left).unwrap(), SqliteOffsetStore::open_existing(&restored).unwrap()] {
        let groups = store.groups().unwrap();
        let positions = groups.iter().map(|group| store.fetch_all(group).unwrap()[0].1.offset.get());
        assert_eq!(positions.collect::<Vec<_>>(), vec![7; 5000]);
    }
}
