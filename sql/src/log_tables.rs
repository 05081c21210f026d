//! What a program takes: a store, to be given to connections as tables. Holds no connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tidelog::{ReadIsolation, ReadOnlyStore, Store};

use crate::error::AttachError;
use crate::source::Source;
use crate::vtab;

/// The topics of a store, for connections of SQLite. Cheap to clone; clones share partitions that are open.
///
/// ```
/// # use tidelog::{Record, Store};
/// # use tidelog_sql::{LogTables, rusqlite::Connection};
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path())?;
/// store.topic("orders")?.partition(0)?.append(Record::new("12 apples").key("kim"))?;
/// let connection = Connection::open_in_memory()?;
/// LogTables::of_writer(store).attach(&connection)?;
/// let buyers: i64 = connection.query_row("select count(distinct _key) from orders", [], |row| row.get(0))?;
/// assert_eq!(buyers, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct LogTables {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) source: Source,
    pub(crate) isolation: ReadIsolation,
    pub(crate) records_read: AtomicU64,
}

impl LogTables {
    /// The topics of a store that is only looked at, beside its writer or without one: each statement sees what is there when it begins.
    pub fn new(store: ReadOnlyStore) -> Self {
        Self::of(Source::reader(store), ReadIsolation::default())
    }

    /// The topics of a store that this process writes. A statement appends nothing; as any first use of a partition in its writer's process, it
    /// recovers one that was not used yet.
    pub fn of_writer(store: Store) -> Self {
        Self::of(Source::Writer(store), ReadIsolation::default())
    }

    /// Which records are rows: those below the high water mark, unless told otherwise. For connections that are attached from now on.
    #[must_use]
    pub fn isolation(self, isolation: ReadIsolation) -> Self {
        let source = self.shared.source.clone();
        Self::of(source, isolation)
    }

    fn of(source: Source, isolation: ReadIsolation) -> Self {
        Self { shared: Arc::new(Shared { source, isolation, records_read: AtomicU64::new(0) }) }
    }

    /// Gives a connection a table, in the schema `temp`, for each topic that is there now, but the engine's own. One store a connection. A table of
    /// yours with a topic's name would not be seen any more: that is refused.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn attach(&self, connection: &Connection) -> Result<(), AttachError> {
        let topics = self.shared.source.topics()?;
        self.register(connection)?;
        topics.iter().try_for_each(|topic| attach_topic(connection, topic.to_string()))
    }

    /// Gives a connection the module `tidelog` alone. Each table is made by hand, also for a topic that comes later, and under any name:
    /// `create virtual table temp.o using tidelog('shop/orders')`.
    ///
    /// # Errors
    /// [`AttachError::Attached`], [`AttachError::Sqlite`].
    pub fn register(&self, connection: &Connection) -> Result<(), AttachError> {
        let is_there: bool = connection.query_row("select exists(select 1 from pragma_module_list where name = ?1)", [MODULE], |row| row.get(0))?;
        if is_there {
            return Err(AttachError::Attached);
        }
        Ok(vtab::register(connection, MODULE, self.shared.clone())?)
    }

    /// How many records were read for rows, by all statements so far: what a condition that is looked up leaves out was not.
    pub fn records_read(&self) -> u64 {
        self.shared.records_read.load(Ordering::Relaxed)
    }
}

fn attach_topic(connection: &Connection, topic: String) -> Result<(), AttachError> {
    let mut taken = None;
    connection.pragma(None, "table_list", &topic, |row| {
        taken = Some((row.get("schema")?, row.get("name")?));
        Ok(())
    })?;
    if let Some((schema, table)) = taken {
        return Err(AttachError::Taken { topic, schema, table });
    }
    // A topic's name has no quotes.
    let sql = format!("create virtual table temp.\"{topic}\" using {MODULE}('{topic}')");
    connection.execute_batch(&sql).map_err(|source| AttachError::Table { topic, source })
}

const MODULE: &str = "tidelog";
