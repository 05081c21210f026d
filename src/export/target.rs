//! What an export asks of the place that it goes to. Knows neither the place nor what is exported.

use std::fmt::Debug;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::error::IoError;
use crate::export::error::ExportError;
use crate::io::{Entry, Kind, Lock};

/// A place for exports. Paths are used as given.
///
/// A name that a call has made is durable when the call returns. A `writer` is a name for whoever writes, which nobody else who lives uses in
/// that directory.
pub(super) trait Target: Send + Sync + Debug + 'static {
    /// What has a name; `None` if nothing has.
    fn kind(&self, path: &Path) -> Result<Option<Kind>, IoError>;
    /// What is in a directory, in no order.
    fn list(&self, directory: &Path) -> Result<Vec<Entry>, IoError>;
    /// The same, but names that do not sort behind `first`, and directories, may be left out.
    fn list_from(&self, directory: &Path, first: &str) -> Result<Vec<Entry>, IoError> {
        let mut entries = self.list(directory)?;
        entries.retain(|entry| *entry.name >= *first);
        Ok(entries)
    }
    /// The whole of a file; `None` if it is not there.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, IoError>;
    /// Opens a file to read parts of it.
    fn open(&self, path: &Path) -> Result<Arc<dyn ReadAt>, IoError>;

    /// Makes the directory `path` below `out`, and takes it for as long as the lock lives. `None` where nothing can be locked: others may be at
    /// work in it, and are told apart by whose commit is first.
    fn take(&self, out: &Path, path: &Path) -> Result<Option<Box<dyn Lock>>, ExportError>;
    /// Makes a directory, and those above it.
    fn make_directory(&self, path: &Path) -> Result<(), IoError>;
    /// Makes durable what others, who may have been killed since, have named in a directory.
    fn settle(&self, directory: &Path) -> Result<(), IoError>;
    /// Makes a file, whole or not at all. `false` if the name is taken: of all who try at once, one makes it.
    fn create(&self, path: &Path, bytes: &[u8], writer: &str) -> Result<bool, IoError>;
    /// Makes a file or puts it in the place of the one that is there: whoever reads it finds the one or the other whole.
    fn replace(&self, path: &Path, bytes: &[u8], writer: &str) -> Result<(), IoError>;
    /// Begins a large file in a directory, of which nothing but the first offset is known.
    fn begin(&self, directory: &Path, first: u64) -> Result<Box<dyn Draft>, IoError>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<(), IoError>;
    /// Whether an entry of a directory that is taken is of a file that a process has begun and not finished.
    fn is_leftover(&self, entry: &Entry) -> bool;
    /// Removes what `writer` left in a directory when it was killed while it made a small file.
    fn remove_leftover(&self, directory: &Path, writer: &str) -> Result<(), IoError>;
    /// A random number, for identities.
    fn random(&self) -> u64;
}

/// A file of which parts are read.
pub(super) trait ReadAt: Send + Sync + Debug {
    /// Size in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Reads into `buffer`; returns how many bytes, perhaps fewer than asked for, 0 only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Fills `buffer`; an error of kind `UnexpectedEof` if the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()>;
}

/// A large file that is being written from its beginning on. Dropped before it is finished, it never was.
pub(super) trait Draft: Write + Send + Debug {
    /// What errors name.
    fn path(&self) -> &Path;
    /// Gives the file its name in the directory, which nothing has, once it is complete and durable. Returns its size in bytes.
    fn finish(&mut self, name: &str) -> Result<u64, IoError>;
}
