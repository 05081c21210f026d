//! An export in a file system: files get their names when they are complete and durable, and names are durable before anything is built on
//! them. Chooses no names but those of what is not finished.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidelog_format::STORE_NAME;

use crate::error::{IoContext, IoError};
use crate::export::error::ExportError;
use crate::export::target::{Draft, ReadAt, Target};
use crate::io::uncached::UncachedWriter;
use crate::io::{Access, Entry, File, Kind, Lock, Storage, read_exact_at, settle_above, write_all_at};

/// A storage as a place for exports.
#[derive(Debug)]
pub(super) struct StorageTarget {
    storage: Arc<dyn Storage>,
}

impl StorageTarget {
    pub(super) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage }
    }

    /// Makes the names of `path` and of the directories above it durable, up to that of `out`: whoever made them may have been killed before
    /// they were.
    fn sync_names(&self, path: &Path, out: &Path) -> Result<(), IoError> {
        for named in path.ancestors() {
            let parent = parent_of(named);
            match self.storage.sync_dir(parent) {
                // A place that was given to this program in a directory that was not.
                Err(error) if named == out && error.kind() == ErrorKind::PermissionDenied => {}
                other => other.at("sync", parent)?,
            }
            if named == out {
                break;
            }
        }
        Ok(())
    }

    /// Writes a file under a name with a dot; returns its path.
    fn write_partial(&self, path: &Path, bytes: &[u8], writer: &str) -> Result<PathBuf, IoError> {
        let directory = parent_of(path);
        self.remove_leftover(directory, writer)?;
        let partial = partial_of(directory, writer);
        let file = self.storage.create(&partial).at("create", &partial)?;
        write_all_at(&*file, bytes, 0).at("write", &partial)?;
        file.sync().at("sync", &partial)?;
        Ok(partial)
    }
}

impl Target for StorageTarget {
    fn kind(&self, path: &Path) -> Result<Option<Kind>, IoError> {
        self.storage.kind(path).at("look at", path)
    }

    fn list(&self, directory: &Path) -> Result<Vec<Entry>, IoError> {
        self.storage.list(directory).at("list", directory)
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, IoError> {
        let file = match self.storage.open(path, Access::Read) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.at("open", path)?,
        };
        let mut bytes = vec![0; file.len().at("look at", path)? as usize];
        read_exact_at(&*file, &mut bytes, 0).at("read", path)?;
        Ok(Some(bytes))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn ReadAt>, IoError> {
        Ok(Arc::new(StoredFile(self.storage.open(path, Access::Read).at("open", path)?)))
    }

    fn take(&self, out: &Path, path: &Path) -> Result<Option<Box<dyn Lock>>, ExportError> {
        if self.kind(&out.join(STORE_NAME))?.is_some() {
            return Err(ExportError::IntoStore { path: out.to_owned() });
        }
        self.make_directory(path)?;
        let lock = self.storage.lock(path).at("lock", path)?.ok_or_else(|| ExportError::Locked { path: path.to_owned() })?;
        self.sync_names(path, out)?;
        Ok(Some(lock))
    }

    fn make_directory(&self, path: &Path) -> Result<(), IoError> {
        match self.storage.create_dir(path) {
            Ok(()) => settle_above(&*self.storage, parent_of(path))?,
            // Another process may have made it a moment ago.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let Some(parent) = path.parent() else { return Err(IoError::new("create", path, error)) };
                self.make_directory(parent)?;
                self.storage
                    .create_dir(path)
                    .or_else(|error| if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
                    .at("create", path)?;
            }
            other => other.at("create", path)?,
        }
        self.settle(parent_of(path))
    }

    fn settle(&self, directory: &Path) -> Result<(), IoError> {
        self.storage.sync_dir(directory).at("sync", directory)
    }

    fn create(&self, path: &Path, bytes: &[u8], writer: &str) -> Result<bool, IoError> {
        let partial = self.write_partial(path, bytes, writer)?;
        match self.storage.rename_new(&partial, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            other => other.at("name", path)?,
        }
        self.settle(parent_of(path))?;
        Ok(true)
    }

    fn replace(&self, path: &Path, bytes: &[u8], writer: &str) -> Result<(), IoError> {
        let partial = self.write_partial(path, bytes, writer)?;
        self.storage.rename(&partial, path).at("name", path)?;
        self.settle(parent_of(path))
    }

    fn begin(&self, directory: &Path, first: u64) -> Result<Box<dyn Draft>, IoError> {
        let path = directory.join(format!(".{first:020}{PARTIAL_SUFFIX}"));
        let file = self.storage.create(&path).at("create", &path)?;
        Ok(Box::new(Partial { storage: self.storage.clone(), writer: UncachedWriter::new(file.clone()), file, path, is_named: false }))
    }

    fn remove(&self, path: &Path) -> Result<(), IoError> {
        self.storage.unlink(path).at("remove", path)
    }

    fn is_leftover(&self, entry: &Entry) -> bool {
        // What is not Unicode is not ours.
        let is_partial = |name: &str| name.starts_with('.') && name.ends_with(PARTIAL_SUFFIX);
        entry.kind == Kind::File && entry.name.to_str().is_some_and(is_partial)
    }

    fn remove_leftover(&self, directory: &Path, writer: &str) -> Result<(), IoError> {
        let partial = partial_of(directory, writer);
        match self.storage.unlink(&partial) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other.at("remove", &partial),
        }
    }

    fn random(&self) -> u64 {
        self.storage.random()
    }
}

/// A file of a storage.
#[derive(Debug)]
struct StoredFile(Arc<dyn File>);

impl ReadAt for StoredFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }

    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        read_exact_at(&*self.0, buffer, position)
    }
}

/// A file under its first name.
#[derive(Debug)]
struct Partial {
    storage: Arc<dyn Storage>,
    file: Arc<dyn File>,
    writer: UncachedWriter,
    path: PathBuf,
    is_named: bool,
}

impl Draft for Partial {
    fn path(&self) -> &Path {
        &self.path
    }

    fn finish(&mut self, name: &str) -> Result<u64, IoError> {
        let Self { storage, file, writer, path, .. } = self;
        let bytes = writer.finish().at("write", path)?;
        file.sync().at("sync", path)?;
        let named = path.with_file_name(name);
        storage.rename_new(path, &named).at("name", &named)?;
        let directory = parent_of(&named);
        storage.sync_dir(directory).at("sync", directory)?;
        self.is_named = true;
        Ok(bytes)
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_named {
            // If this fails, the next run removes it.
            let _ = self.storage.unlink(&self.path);
        }
    }
}

fn partial_of(directory: &Path, writer: &str) -> PathBuf {
    directory.join(format!(".{writer}.partial"))
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The end of the name of a file that is being written.
const PARTIAL_SUFFIX: &str = ".parquet.partial";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Disk;

    #[test]
    fn a_file_is_made_once_and_replaced_as_often_as_need_be() {
        let dir = tempfile::tempdir().unwrap();
        let target = StorageTarget::new(Arc::new(Disk::new()));
        let path = dir.path().join("file");
        assert_eq!(target.read(&path).unwrap(), None);
        assert!(target.create(&path, b"one", "me").unwrap());
        assert!(!target.create(&path, b"two", "me").unwrap());
        assert_eq!(target.read(&path).unwrap().unwrap(), b"one");
        for bytes in [b"three".as_slice(), b"four"] {
            target.replace(&path, bytes, "me").unwrap();
            assert_eq!(target.read(&path).unwrap().unwrap(), bytes);
        }
        assert_eq!(target.list(dir.path()).unwrap().len(), 1);
    }
}
