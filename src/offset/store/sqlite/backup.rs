//! Copies of a database that is in use, and the way back. Copies nothing that does not say of itself that it is whole.

use std::path::Path;

use rusqlite::backup::Backup;

use crate::io::{Access, Disk, Storage};
use crate::offset::error::OffsetStoreError;
use crate::offset::store::sqlite::database::{Database, beside};
use crate::offset::store::sqlite::{SqliteOffsetStore, migrations};

impl SqliteOffsetStore {
    /// Writes a copy of the store, as it is at this moment, to a file that is not there yet. Others read and commit meanwhile. The file has its
    /// name once it is whole and durable.
    ///
    /// # Errors
    /// [`OffsetStoreError::Database`], also if there is a file of the name.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<(), OffsetStoreError> {
        let copy = Database::at(to.as_ref());
        let unfinished = beside(&copy.path, ".tmp");
        let disk = Disk::new();
        match disk.unlink(&unfinished) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(copy.io("write a backup to", &error)),
            _ => {}
        }
        let from = self.database.open()?;
        self.database.run("back up", || from.execute("VACUUM INTO ?1", [unfinished.to_string_lossy()]))?;
        let finish = || {
            disk.open(&unfinished, Access::ReadWrite)?.sync()?;
            disk.rename_new(&unfinished, &copy.path)?;
            disk.sync_dir(copy.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
        };
        finish().map_err(|error| {
            let _ = disk.unlink(&unfinished); // else the next backup does
            copy.io("write a backup to", &error)
        })
    }

    /// Takes everything from a backup, of this version or an older one, in the place of what is here: all of it, or nothing.
    ///
    /// # Errors
    /// As [`open`](Self::open) for the backup, which is not changed; [`OffsetStoreError::Database`] if it is damaged. Then nothing was changed here.
    pub fn restore(&self, from: impl AsRef<Path>) -> Result<(), OffsetStoreError> {
        let source = Database::at(from.as_ref());
        if !source.is_there()? {
            return Err(source.io("restore from", &std::io::ErrorKind::NotFound.into()));
        }
        let backup = source.look_at()?;
        if migrations::version(&source, &backup)? == 0 {
            return Err(source.foreign("it has no tables".to_owned()));
        }
        migrations::check_integrity(&source, &backup)?;
        let mut writer = self.writer.lock();
        self.database.run("restore", || {
            let mut copied = rusqlite::backup::StepResult::More;
            let copy = Backup::new(&backup, &mut writer)?;
            while copied != rusqlite::backup::StepResult::Done {
                copied = copy.step(-1)?; // all pages in one transaction
            }
            Ok(())
        })?;
        // What it was written with comes with it.
        self.database.run("restore", || writer.pragma_update(None, "journal_mode", "WAL"))?;
        self.readers.lock().clear();
        migrations::migrate(&self.database, &mut writer, migrations::LATEST)
    }
}
