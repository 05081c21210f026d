//! What cannot be seen from outside: that a commit is synced, and what becomes of a restore that nobody lets in.

use super::*;

/// 3 is EXTRA, in a write-ahead log as FULL: with NORMAL, a write-ahead log is synced at checkpoints alone, and power loss takes commits back.
#[test]
fn every_connection_syncs_each_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteOffsetStore::open(dir.path().join("offsets.db")).unwrap();
    for connection in [&*store.writer.lock(), &store.database.open_reader().unwrap()] {
        let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
        assert_eq!(pragma("synchronous"), 3.into());
        assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
        assert_eq!((pragma("cache_size"), pragma("foreign_keys"), pragma("temp_store")), (10_000.into(), 1.into(), 2.into()));
    }
}

/// Somebody holds the database: the restore gives up, nothing is changed, and the writer is free again.
#[test]
fn a_restore_does_not_wait_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let (file, backup) = (dir.path().join("offsets.db"), dir.path().join("backup.db"));
    let store = SqliteOffsetStore::open(&file).unwrap();
    let (group, key) =
        ("g".parse().unwrap(), PartitionKey { topic: "t".parse().unwrap(), range: crate::topic::RingRange::new(4096, 0, 1024).unwrap() });
    let commit = |offset: u64| store.commit(&group, &[(key.clone(), CommittedOffset::new(offset, TimestampNs::new(1)))]).unwrap();
    commit(1);
    store.backup(&backup).unwrap();
    commit(2);
    store.writer.lock().busy_timeout(std::time::Duration::from_millis(1)).unwrap();
    let other = Connection::open(&file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.restore(&backup).unwrap_err();
    assert!(matches!(error, OffsetStoreError::Database { code: Some(rusqlite::ffi::SQLITE_BUSY), .. }), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.fetch(&group, &key).unwrap().unwrap().offset, 2);
    commit(3);
    store.restore(&backup).unwrap();
    assert_eq!(store.fetch(&group, &key).unwrap().unwrap().offset, 1);
    let mode = store.writer.lock().pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(mode, "wal", "it is what it was");
}
