//! What cannot be seen from outside: that a commit is synced.

use super::*;

/// 2 is FULL: with NORMAL, a write-ahead log is synced at checkpoints alone, and power loss takes commits back.
#[test]
fn every_connection_syncs_each_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteOffsetStore::open(dir.path().join("offsets.db")).unwrap();
    for connection in [&*store.writer.lock(), &store.database.open_reader().unwrap()] {
        let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
        assert_eq!(pragma("synchronous"), 2.into());
        assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
        assert_eq!((pragma("cache_size"), pragma("foreign_keys"), pragma("temp_store")), (10_000.into(), 1.into(), 2.into()));
    }
}
