//! What goes wrong: typed where tables are made, and as errors of SQLite, with their codes, where they are read. Decides nothing.

use rusqlite::ffi;
use tidelog::{ReadError, TopicError};

/// Why a connection did not get its tables. What was made before the error stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The topics cannot be listed. Try again, or repair the store.
    #[error(transparent)]
    Topics(#[from] TopicError),
    /// The connection has the tables of a store already: take another connection.
    #[error("the connection has the tables of a store already")]
    Attached,
    /// A name that a topic's table would have is taken, by a table or view of yours, or by a topic whose name differs in case alone, which SQL does
    /// not tell apart. Make the table under another name, by [`LogTables::register`](crate::LogTables::register).
    #[error("a table for topic {topic}: its name is taken by {schema}.{table}")]
    Taken {
        /// The topic.
        topic: String,
        /// The schema of what has the name: `main`, `temp` or that of a database that is attached.
        schema: String,
        /// What has the name.
        table: String,
    },
    /// SQLite makes no table for a topic: names that begin with `sqlite_` are its own. Make the table under another name, by
    /// [`LogTables::register`](crate::LogTables::register).
    #[error("a table for topic {topic}: {source}")]
    Table {
        /// The topic.
        topic: String,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// SQLite fails otherwise.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// What a statement fails with: a code of SQLite, and what it tells.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    code: i32,
    message: String,
}

impl From<Failure> for rusqlite::Error {
    fn from(Failure { code, message }: Failure) -> Self {
        Self::SqliteFailure(ffi::Error::new(code), Some(message))
    }
}

/// A topic, or a partition of it, that cannot be had.
pub(crate) fn of_topic(topic: &str, partition: Option<u32>, error: &TopicError) -> Failure {
    let code = match error {
        TopicError::Open(open) => return of_read(topic, partition, &ReadError::from(open.clone())),
        TopicError::PartitionsMissing { .. } | TopicError::CatalogDamaged { .. } => ffi::SQLITE_CORRUPT_VTAB,
        TopicError::Io(_) => ffi::SQLITE_IOERR,
        _ => ffi::SQLITE_ERROR,
    };
    Failure { code, message: format!("{}: {error}", place(topic, partition)) }
}

/// A failed read.
pub(crate) fn of_read(topic: &str, partition: Option<u32>, error: &ReadError) -> Failure {
    use tidelog::OpenError;
    let code = match error {
        ReadError::Corrupt { .. } => ffi::SQLITE_CORRUPT_VTAB,
        ReadError::Open(open) if matches!(**open, OpenError::Damaged { .. } | OpenError::Misplaced { .. }) => ffi::SQLITE_CORRUPT_VTAB,
        error if error.is_busy() => ffi::SQLITE_BUSY,
        ReadError::Io(_) => ffi::SQLITE_IOERR,
        _ => ffi::SQLITE_ERROR,
    };
    Failure { code, message: format!("{}: {error}", place(topic, partition)) }
}

fn place(topic: &str, partition: Option<u32>) -> String {
    partition.map_or_else(|| format!("topic {topic}"), |partition| format!("topic {topic}, partition {partition}"))
}
