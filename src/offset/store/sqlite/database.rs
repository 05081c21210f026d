//! A database file: how it is opened, what its failures are called, and how it is looked at without a change. Knows no table.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use crate::io::{Access, Disk, Kind, Storage, read_exact_at};
use crate::offset::error::OffsetStoreError;

/// Where a database is. SQLite opens, locks and syncs it by itself, so that its calls do not go through a [`Storage`].
#[derive(Debug, Clone)]
pub(super) struct Database {
    pub(super) path: PathBuf,
}

impl Database {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Does something with the database, whose failure is named by `action`.
    pub(super) fn run<T>(&self, action: &'static str, run: impl FnOnce() -> rusqlite::Result<T>) -> Result<T, OffsetStoreError> {
        run().map_err(|error| self.failure(action, &error))
    }

    pub(super) fn failure(&self, action: &'static str, error: &rusqlite::Error) -> OffsetStoreError {
        let code = error.sqlite_error();
        if code.is_some_and(|code| code.code == ErrorCode::NotADatabase) {
            return self.foreign("no SQLite database".to_owned());
        }
        OffsetStoreError::Database { action, path: self.path.clone(), code: code.map(|code| code.extended_code), reason: error.to_string() }
    }

    pub(super) fn foreign(&self, found: String) -> OffsetStoreError {
        OffsetStoreError::Foreign { place: self.path.display().to_string(), found }
    }

    /// A failure of a file, not of what is in it.
    pub(super) fn io(&self, action: &'static str, error: &io::Error) -> OffsetStoreError {
        OffsetStoreError::Database { action, path: self.path.clone(), code: None, reason: error.to_string() }
    }

    /// Whether there is a file with something in it.
    pub(super) fn is_there(&self) -> Result<bool, OffsetStoreError> {
        match Disk::new().kind(&self.path) {
            Ok(None) => Ok(false),
            Ok(Some(Kind::Directory)) => Err(self.foreign("a directory".to_owned())),
            Ok(Some(Kind::File)) => Ok(len(&self.path).map_err(|error| self.io("look at", &error))? > 0),
            Ok(Some(Kind::Other)) => Ok(true),
            Err(error) => Err(self.io("look at", &error)),
        }
    }

    /// To look at it without changing a byte of it, of its write-ahead log, or of the index of that. If there is a log without an index, as copies of
    /// files may be, SQLite makes one; and what a killed process left half done beside a rollback journal, it takes back.
    pub(super) fn look_at(&self) -> Result<Connection, OffsetStoreError> {
        let mut attempts = 0..LOOKS;
        loop {
            // Whoever had it open may be closing it, with which the files beside it go.
            match self.look() {
                Err(OffsetStoreError::Database { code: Some(code), .. }) if is_of_a_moment(code) && attempts.next().is_some() => {}
                other => return other,
            }
        }
    }

    fn look(&self) -> Result<Connection, OffsetStoreError> {
        let has = |suffix| len(&beside(&self.path, suffix)).is_ok_and(|len| len > 0);
        let how = match (has("-wal"), has("-shm")) {
            (true, true) => "mode=ro&readonly_shm=1",
            (true, false) => "mode=ro",
            // Half a commit may be in the file.
            (false, _) if has("-journal") => "mode=rw",
            // Whoever writes it writes into the file itself, and its locks tell when.
            (false, _) if self.keeps_rollback_journal() => "mode=ro",
            // All is in the file, and SQLite is told to make none beside it.
            (false, _) => "mode=ro&immutable=1",
        };
        let uri = format!("file:{}?{how}", escaped(&self.path));
        // The URI can only narrow them.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        self.run("open", || {
            let connection = Connection::open_with_flags(uri, flags)?;
            connection.busy_timeout(BUSY)?;
            connection.pragma_update(None, "query_only", true)?;
            // The files beside it are opened by the first who reads.
            connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |_| Ok(()))?;
            Ok(connection)
        })
    }

    /// Whether its header says so: its write version is 1. Source: SQLite's "Database File Format", 1.3.3.
    fn keeps_rollback_journal(&self) -> bool {
        let mut versions = [0; 2];
        Disk::new().open(&self.path, Access::Read).and_then(|file| read_exact_at(&*file, &mut versions, 18)).is_ok() && versions == [1; 2]
    }

    /// To change it: each commit is synced before it returns, so that what was acknowledged survives power loss. In a write-ahead log
    /// `synchronous = NORMAL` would sync at checkpoints alone; without one, FULL would not sync the name of the journal, which ends a commit.
    /// A file that has tables keeps the journal that somebody chose for it.
    pub(super) fn open(&self) -> Result<Connection, OffsetStoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        self.run("open", || {
            let connection = Connection::open_with_flags(&self.path, flags)?;
            connection.busy_timeout(BUSY)?;
            if connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))? == 0 {
                connection.pragma_update(None, "journal_mode", "WAL")?;
            }
            connection.pragma_update(None, "synchronous", "EXTRA")?;
            connection.pragma_update(None, "cache_size", 10_000)?;
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.pragma_update(None, "temp_store", "MEMORY")?;
            connection.set_prepared_statement_cache_capacity(STATEMENTS);
            // Else a cached statement over a range is planned anew at each use, since its parameters may be others.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            Ok(connection)
        })
    }

    /// To read it beside the writer.
    pub(super) fn open_reader(&self) -> Result<Connection, OffsetStoreError> {
        let connection = self.open()?;
        self.run("open", || connection.pragma_update(None, "query_only", true))?;
        Ok(connection)
    }
}

/// Whether an error is of a file beside it that came or went between the look for it and the open.
fn is_of_a_moment(code: i32) -> bool {
    [ffi::SQLITE_CANTOPEN, ffi::SQLITE_READONLY].contains(&(code & 0xff))
}

fn len(path: &Path) -> io::Result<u64> {
    Disk::new().open(path, Access::Read)?.len()
}

/// The name of a file beside another one.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A path in a URI.
fn escaped(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte);
    path.as_os_str().as_bytes().iter().map(|&byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// How long another process may hold the database.
const BUSY: Duration = Duration::from_secs(10);
const LOOKS: usize = 3;
const STATEMENTS: usize = 64;
