//! What the tests share: a store in a directory of its own, connections with its tables, and rows as SQLite gives them.

use rusqlite::types::Value;
use tempfile::TempDir;
use tidelog::{Partition, Record, RecordBatch, Store, StoreOptions, SyncPolicy, TimestampNs};
use tidelog_sql::LogTables;
use tidelog_sql::rusqlite::{self, Connection};

pub(crate) struct Home {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
}

pub(crate) type Rows = Vec<Vec<Value>>;

impl Home {
    /// A store with small segments.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = StoreOptions::new().segment_bytes(64 << 10).sync_policy(SyncPolicy::OsOnly).open(dir.path()).unwrap();
        Self { dir, store }
    }

    pub(crate) fn topic(&self, name: &str, partitions: u32) -> Vec<Partition> {
        let topic = self.store.create_topic(name, partitions).unwrap();
        (0..partitions).map(|number| topic.partition(number).unwrap()).collect()
    }

    /// The tables as another process sees them, and a connection that has them.
    pub(crate) fn reader(&self) -> (LogTables, Connection) {
        attached(LogTables::new(Store::open_read_only(self.dir.path()).unwrap()))
    }

    /// The tables as the writer has them.
    pub(crate) fn writer(&self) -> (LogTables, Connection) {
        attached(LogTables::of_writer(self.store.clone()))
    }
}

pub(crate) fn attached(tables: LogTables) -> (LogTables, Connection) {
    let connection = Connection::open_in_memory().unwrap();
    tables.attach(&connection).unwrap();
    (tables, connection)
}

/// Appends records whose value is their number and whose time is 1,000 times that, in batches of ten.
pub(crate) fn append_numbered(partition: &Partition, numbers: std::ops::Range<i64>) {
    let numbers: Vec<i64> = numbers.collect();
    for tens in numbers.chunks(10) {
        let mut batch = RecordBatch::new();
        for number in tens {
            batch.push(&Record::new(&number.to_string()).timestamp(TimestampNs::new(number * 1000))).unwrap();
        }
        partition.append_batch(&batch, tidelog::AckLevel::Written).unwrap();
    }
}

pub(crate) fn rows(connection: &Connection, sql: &str) -> Result<Rows, rusqlite::Error> {
    rows_with(connection, sql, &[])
}

pub(crate) fn rows_with(connection: &Connection, sql: &str, values: &[Value]) -> Result<Rows, rusqlite::Error> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| (0..columns).map(|at| row.get(at)).collect())?;
    rows.collect()
}

/// The integers of a statement with one column.
pub(crate) fn numbers(connection: &Connection, sql: &str) -> Vec<i64> {
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// How SQLite goes about a statement.
pub(crate) fn query_plan(connection: &Connection, sql: &str) -> String {
    let mut statement = connection.prepare(&format!("explain query plan {sql}")).unwrap();
    let lines: Vec<String> = statement.query_map([], |row| row.get("detail")).unwrap().map(Result::unwrap).collect();
    lines.join("\n")
}
