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
    /// SQLite makes no table for a topic. It may have one with a name that differs in case alone, which SQL does not tell apart: then make a table
    /// of another name, by [`LogTables::register`](crate::LogTables::register).
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

/// A topic that cannot be had, as SQLite tells it.
pub(crate) fn of_topic(topic: &str, error: &TopicError) -> rusqlite::Error {
    let code = match error {
        TopicError::Open(open) => return of_read(topic, None, &ReadError::from(open.clone())),
        TopicError::PartitionsMissing { .. } | TopicError::CatalogDamaged { .. } => ffi::SQLITE_CORRUPT_VTAB,
        TopicError::Io(_) => ffi::SQLITE_IOERR,
        _ => ffi::SQLITE_ERROR,
    };
    failure(code, format!("topic {topic}: {error}"))
}

/// A failed read, as SQLite tells it.
pub(crate) fn of_read(topic: &str, partition: Option<u32>, error: &ReadError) -> rusqlite::Error {
    use tidelog::OpenError;
    let code = match error {
        ReadError::Corrupt { .. } | ReadError::CodecNotBuilt { .. } => ffi::SQLITE_CORRUPT_VTAB,
        ReadError::Open(open) if matches!(**open, OpenError::Damaged { .. } | OpenError::Misplaced { .. }) => ffi::SQLITE_CORRUPT_VTAB,
        error if error.is_busy() => ffi::SQLITE_BUSY,
        ReadError::Io(_) => ffi::SQLITE_IOERR,
        _ => ffi::SQLITE_ERROR,
    };
    let place = partition.map_or_else(|| format!("topic {topic}"), |partition| format!("topic {topic}, partition {partition}"));
    failure(code, format!("{place}: {error}"))
}

fn failure(code: i32, message: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(message))
}
