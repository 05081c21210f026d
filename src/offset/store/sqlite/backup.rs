//! Copies of a database that is in use, and the way back. Copies nothing that does not say of itself that it is whole.

use std::io;
use std::path::Path;

use parking_lot::Mutex;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ffi};

use crate::io::{Access, Disk, Storage};
use crate::offset::error::OffsetStoreError;
use crate::offset::store::migrations::{self, Others};
use crate::offset::store::sqlite::database::{Database, beside};
use crate::offset::store::sqlite::{SqliteOffsetStore, schema};

impl SqliteOffsetStore {
    /// Writes a copy of the store, as it is at this moment, to a file that is not there yet. Others read and commit meanwhile (in a file with a
    /// rollback journal commits wait, for 10 s at most). The file has its
    /// name once it is whole and durable; until then it is `<to>.unfinished`, or the first of `<to>.unfinished-1`, .. that is not there. One that
    /// a kill leaves may be deleted.
    ///
    /// # Errors
    /// [`OffsetStoreError::Database`], also if there is a file of the name; that is left as it is.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<(), OffsetStoreError> {
        back_up(&self.database, to.as_ref())
    }

    /// As [`backup`](Self::backup), of a file of whatever version, which it keeps: what is done before a [`migrate`](Self::migrate).
    ///
    /// # Errors
    /// As [`backup`](Self::backup); [`OffsetStoreError::NotFound`] if the file has no tables, [`OffsetStoreError::Unsupported`] and [`OffsetStoreError::Foreign`] as [`open`](Self::open).
    pub fn backup_file(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), OffsetStoreError> {
        let database = Database::at(from.as_ref());
        if schema::version(&database, &database.look_at()?, Others::Refused)? == 0 {
            return Err(OffsetStoreError::NotFound { place: database.path.display().to_string() });
        }
        back_up(&database, to.as_ref())
    }

    /// Takes everything from a backup, of this version or an older one, in the place of what is here: all of it, or nothing.
    ///
    /// # Errors
    /// As [`open`](Self::open) for the backup, which is not changed; [`OffsetStoreError::Foreign`] if there are tables here that are none of an offset
    /// store's, and not in the backup; [`OffsetStoreError::Database`] if it is damaged, cannot be brought up to date,
    /// or one of the two is in use by somebody else for longer than 10 s. Then nothing was changed here.
    pub fn restore(&self, from: impl AsRef<Path>) -> Result<(), OffsetStoreError> {
        self.take(&read_backup(from.as_ref())?)
    }

    /// As [`restore`](Self::restore), into a file that is made if there is none. It has no tables before it has all that is in the backup.
    ///
    /// # Errors
    /// As [`restore`](Self::restore) and [`open`](Self::open).
    pub fn restore_file(to: impl AsRef<Path>, from: impl AsRef<Path>) -> Result<(), OffsetStoreError> {
        let ready = read_backup(from.as_ref())?;
        let database = Database::at(to.as_ref());
        if database.is_there()? {
            schema::version(&database, &database.look_at()?, Others::Refused)?;
        }
        // Not brought up to date before: what it holds is about to go.
        let writer = database.open()?;
        Self { database, writer: Mutex::new(writer), readers: Mutex::default() }.take(&ready)
    }

    fn take(&self, (source, ready): &(Database, Connection)) -> Result<(), OffsetStoreError> {
        let mut writer = self.writer.lock();
        let kept = schema::tables(source, ready)?;
        if let Some(table) = schema::tables(&self.database, &writer)?.into_iter().find(|table| !kept.contains(table)) {
            return Err(self.database.foreign(format!("it has the table {table} as well, which the backup has not")));
        }
        self.database.run("restore", || copy_all(ready, &mut writer))?;
        self.readers.lock().clear();
        Ok(())
    }
}

/// Everything of a backup, whole and brought up to date, in a database that SQLite deletes when it is closed.
fn read_backup(from: &Path) -> Result<(Database, Connection), OffsetStoreError> {
    let source = Database::at(from);
    if !source.is_there()? {
        return Err(source.io("restore from", &io::ErrorKind::NotFound.into()));
    }
    let backup = source.look_at()?;
    if schema::version(&source, &backup, Others::Refused)? == 0 {
        return Err(source.foreign("it has no tables".to_owned()));
    }
    schema::check_integrity(&source, &backup)?;
    let mut ready = source.run("restore from", || Connection::open(""))?;
    source.run("restore from", || copy_all(&backup, &mut ready))?;
    schema::migrate(&source, &mut ready, migrations::LATEST, Others::Refused)?;
    Ok((source, ready))
}

fn back_up(database: &Database, to: &Path) -> Result<(), OffsetStoreError> {
    let (copy, disk) = (Database::at(to), Disk::new());
    let failed = |error: &io::Error| copy.io("write a backup to", error);
    let is_there = |path: &Path| disk.kind(path).map(|kind| kind.is_some()).map_err(|error| failed(&error));
    // Before the work; that nothing is written over is up to the rename.
    if is_there(&copy.path)? {
        return Err(failed(&io::ErrorKind::AlreadyExists.into()));
    }
    let mut unfinished = beside(&copy.path, ".unfinished");
    for number in 1.. {
        if !is_there(&unfinished)? {
            break;
        }
        unfinished = beside(&copy.path, &format!(".unfinished-{number}"));
    }
    let from = database.open()?;
    // As bytes: a path need not be UTF-8.
    let name = unfinished.as_os_str().as_encoded_bytes();
    let written = database.run("back up", || from.execute("VACUUM INTO CAST(?1 AS TEXT)", [name]));
    let finish = || {
        disk.open(&unfinished, Access::ReadWrite)?.sync()?;
        disk.rename_new(&unfinished, &copy.path)?;
        disk.sync_dir(copy.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    };
    written.and_then(|_| finish().map_err(|error| failed(&error))).inspect_err(|_| drop(disk.unlink(&unfinished)))
}

/// All pages in one transaction. Whoever holds one of the two is waited for as long as its connection waits, and not again.
fn copy_all(from: &Connection, to: &mut Connection) -> rusqlite::Result<()> {
    match Backup::new(from, to)?.step(-1)? {
        StepResult::Done => Ok(()),
        StepResult::Locked => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_LOCKED), None)),
        _ => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None)),
    }
}
