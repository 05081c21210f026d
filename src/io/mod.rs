//! The only door to the file system: what a disk can do, and how it fails. Knows no log and no format.
//!
//! Everything above talks to a [`Storage`] and its [`File`]s. [`Disk`] is the real one; with the feature `test-util`,
//! `fault::Faulty` fails, tears or counts the calls of another, and `sim::SimDisk` can lose power. Errors are plain [`io::Error`]s: only the caller knows what they mean.

// What the rest of the crate may not name (clippy.toml) is named here.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::ffi::OsString;
use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use crate::error::{IoContext, IoError};

pub(crate) mod atomic;
mod file;
pub(crate) mod futex;
#[cfg(tidelog_loom)]
mod loom_words;
pub(crate) mod mmap;

#[cfg(feature = "test-util")]
pub mod fault;
#[cfg(feature = "test-util")]
pub mod sim;
#[cfg(feature = "object_store")]
pub(crate) mod spool;
#[cfg(feature = "parquet")]
pub(crate) mod uncached;

pub use file::Disk;
pub(crate) use file::{boot_id, maps_of_process_max};
#[cfg(tidelog_loom)]
pub use loom_words::SharedWords;
#[cfg(not(tidelog_loom))]
pub use mmap::SharedWords;
pub use mmap::{Published, SegmentMap, SegmentStore, SegmentWindow};
pub(crate) use mmap::{prefetch, segment_maps};

/// A file system, or something that behaves like one. Paths are used as given.
pub trait Storage: Send + Sync + Debug + 'static {
    /// Opens an existing regular file (a symlink, fifo, directory or device is an error of kind `InvalidInput`, and is not waited for).
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>>;
    /// Creates a regular file for reading and writing; an existing name is an error of kind `AlreadyExists`.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Gives `from` the name `to`, replacing what has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives `from` the name `to`; an existing name is an error of kind `AlreadyExists`.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes the name of a file (or symlink, fifo: whatever is not a directory).
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Makes one directory; its parent exists. An existing name is an error of kind `AlreadyExists`.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// What has a name, symlinks not followed; `None` if nothing has.
    fn kind(&self, path: &Path) -> io::Result<Option<Kind>>;
    /// Makes names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// The file system that a directory is on, to be synced as a whole. An error of kind `Unsupported` where such a sync would not tell what
    /// could not be written.
    fn file_system(&self, directory: &Path) -> io::Result<Arc<dyn FileSystem>>;
    /// Takes the exclusive lock of a directory or file itself, for as long as the value lives; `None` if another holds one.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>>;
    /// Whether somebody holds the exclusive lock of a directory or file. Takes none for longer than the probe.
    fn is_locked(&self, path: &Path) -> io::Result<bool>;
    /// A random number: salts and identities. A simulated disk draws it from its seed.
    fn random(&self) -> u64;
}

/// An open regular file. All methods take `&self`: positions are explicit.
pub trait File: Send + Sync + Debug + 'static {
    /// Size in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the size is zero.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reads into `buffer`; returns how many bytes, perhaps fewer than asked for, 0 only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes from `bytes`; returns how many, perhaps fewer than asked for.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize>;
    /// Writes from several pieces, some perhaps empty, that stand one behind the other in the file; returns how many bytes, perhaps fewer than there
    /// are, 0 only if there are none. The default is one [`write_at`](Self::write_at) of the first that is not empty: who wraps another file
    /// passes it on.
    fn write_vectored_at(&self, pieces: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let piece = pieces.iter().find(|piece| !piece.is_empty());
        piece.map_or(Ok(0), |piece| self.write_at(piece, position))
    }
    /// Reserves blocks for `position..position + len` and grows the file to hold them; what was not there reads as zeros.
    /// An error of kind `Unsupported` where the file system cannot: then write zeros.
    fn allocate(&self, position: u64, len: u64) -> io::Result<()>;
    /// Reserves blocks for the first `len` bytes without growing the file: an [`allocate`](Self::allocate) that comes to them finds them, and
    /// [`set_len`](Self::set_len), be it to the length that the file has, gives back those behind its end. After an error there may be some, too.
    /// Of kind `Unsupported` where there is no such way, and `StorageFull` where not much more than that is free. Who wraps another file passes it on.
    fn allocate_ahead(&self, len: u64) -> io::Result<()> {
        let _ = len;
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Cuts or grows the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// From here on, or no longer, writes go past the page cache: their positions, lengths and addresses are multiples of 4,096, and one that
    /// is refused all the same is an error of kind `InvalidInput`. An error of kind `Unsupported` where there is no such way.
    fn set_uncached(&self, uncached: bool) -> io::Result<()> {
        let _ = uncached;
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Makes bytes and size durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
    /// Maps the first `len` bytes for reading; they may reach past the end of the file, where nobody may look.
    /// With `store`, the second value is the one half that may store; the file must be open for writing.
    fn map(&self, len: usize, store: bool) -> io::Result<(SegmentMap, Option<SegmentStore>)>;
    /// Maps `len` bytes from `from` on, a multiple of the page size, for [`SegmentStore::set_window`]; the file must be open for writing.
    /// An error of kind `Unsupported` where there is no such way.
    fn map_window(&self, from: usize, len: usize) -> io::Result<SegmentWindow> {
        let _ = (from, len);
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Maps the first `len` bytes, which must be there, as words shared between processes.
    fn map_words(&self, len: usize, store: bool) -> io::Result<SharedWords>;
}

/// An open file system. What could not be written since it was opened, by anybody, is an error of one [`sync`](Self::sync), never of none.
pub trait FileSystem: Send + Sync + Debug + 'static {
    /// Makes everything on it durable: bytes, sizes and names, whoever wrote them. Dear, and cheaper than many syncs of files.
    fn sync(&self) -> io::Result<()>;
    /// Whether a directory is on it.
    fn holds(&self, directory: &Path) -> io::Result<bool>;
}

/// A held lock; dropped, it is free.
pub trait Lock: Send + Sync + Debug {}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading alone: not one byte can change.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// What has it.
    pub kind: Kind,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symlink, fifo, socket or device.
    Other,
}

/// Reads exactly `buffer.len()` bytes, going on after short reads and interruptions. Fewer are an `UnexpectedEof`.
pub(crate) fn read_exact_at(file: &dyn File, buffer: &mut [u8], position: u64) -> io::Result<()> {
    if read_full_at(file, buffer, position)? == buffer.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Reads until `buffer` is full or the file ends, going on after short reads and interruptions; returns how many bytes.
pub(crate) fn read_full_at(file: &dyn File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes all of `bytes`, going on after short writes and interruptions.
pub(crate) fn write_all_at(file: &dyn File, bytes: &[u8], position: u64) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write_at(&bytes[written..], position + written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of several pieces one behind the other, going on after short writes and interruptions.
pub(crate) fn write_all_vectored_at(file: &dyn File, mut pieces: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
    let mut at = position;
    IoSlice::advance_slices(&mut pieces, 0); // past empty ones
    while !pieces.is_empty() {
        match file.write_vectored_at(pieces, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                at += count as u64;
                IoSlice::advance_slices(&mut pieces, count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// `allocate`, or zeros written where the file system has no such call.
pub(crate) fn allocate_or_zero(file: &dyn File, position: u64, len: u64) -> io::Result<()> {
    match file.allocate(position, len) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            // Never over bytes that are there already: they may be frames.
            write_zeros(file, position.max(file.len()?), position + len)
        }
        other => other,
    }
}

/// Writes zeros from `from` to before `to`.
pub(crate) fn write_zeros(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut at = from;
    while at < to {
        let count = (to - at).min(ZEROS.len() as u64);
        write_all_at(file, &ZEROS[..count as usize], at)?;
        at += count;
    }
    Ok(())
}

/// Writes a small file so that its name is there whole or not at all: `{path}.tmp`, sync, rename, directory sync.
pub(crate) fn replace_file(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    match storage.unlink(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = storage.create(temporary)?;
    write_all_at(&*file, bytes, 0)?;
    file.sync()?;
    storage.rename(temporary, path)?;
    path.parent().map_or(Ok(()), |parent| storage.sync_dir(parent))
}

/// Makes the names of a directory and of those above it durable: whoever made them for what is in it may have been killed before they were.
pub(crate) fn settle_above(storage: &dyn Storage, directory: &Path) -> Result<(), IoError> {
    for parent in directory.ancestors().filter_map(Path::parent) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        match storage.sync_dir(parent) {
            // Where this program may make no name, or a name cannot be made durable, it has made none.
            Err(error) if CANNOT_HOLD_NAMES.contains(&error.kind()) => break,
            other => other.at("sync", parent)?,
        }
    }
    Ok(())
}

const CANNOT_HOLD_NAMES: [io::ErrorKind; 4] =
    [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::InvalidInput, io::ErrorKind::Unsupported];

/// The whole of a file that has at most `limit` bytes; a longer one is an error of kind `InvalidData`.
pub(crate) fn read_file(storage: &dyn Storage, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = storage.open(path, Access::Read)?;
    let len = file.len()?;
    if len > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{len} bytes, at most {limit} expected")));
    }
    let mut bytes = vec![0; len as usize];
    let read = read_full_at(&*file, &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}
