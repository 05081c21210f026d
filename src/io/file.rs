//! The disk of the operating system. Retries what a signal interrupted and nothing else; follows no symlink to a file, waits for no fifo.

use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FallocateFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use rustix::rand::GetRandomFlags;

use super::{Access, Entry, File, FileSystem, Kind, Lock, SegmentMap, SegmentStore, SegmentWindow, SharedWords, Storage};

/// The real file system.
///
/// ```
/// use tidelog::io::{Disk, Kind, Storage};
///
/// let disk = Disk::new();
/// assert_eq!(disk.kind(std::path::Path::new("/"))?, Some(Kind::Directory));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Disk {
    /// There is one.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Storage for Disk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let mode = match access {
            Access::Read => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        };
        let opened = uninterrupted(|| rustix::fs::open(path, mode | OPEN_FLAGS, Mode::empty()));
        let file = match opened {
            // A symlink, a directory opened for writing, a socket.
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Err(not_regular()),
            other => other?,
        };
        if kind_of(FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode)) != Kind::File {
            return Err(not_regular());
        }
        Ok(Arc::new(DiskFile { file: fs::File::from(file) }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OPEN_FLAGS;
        let file = uninterrupted(|| rustix::fs::open(path, flags, Mode::from_raw_mode(0o666)))?;
        Ok(Arc::new(DiskFile { file: fs::File::from(file) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => rename_by_link(from, to),
            other => Ok(other?),
        }
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().create(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            match entry.file_type() {
                Ok(found) => entries.push(Entry { name: entry.file_name(), kind: kind_of_std(found) }),
                // Removed while we listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        match fs::symlink_metadata(path) {
            Ok(found) => Ok(Some(kind_of_std(found.file_type()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::from(open_directory(path)?).sync_all()
    }

    fn file_system(&self, directory: &Path) -> io::Result<Arc<dyn FileSystem>> {
        let unsupported = |reason: String| Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        if !tells_failed_syncs(&release) {
            return unsupported(format!("Linux 5.17 or newer expected, which tells what could not be synced, found {release}"));
        }
        let directory = open_directory(directory)?;
        let found = rustix::fs::fstatfs(&directory)?.f_type;
        if !WHOLE_SYNC_TYPES.contains(&found) {
            return unsupported(format!("ext4 expected, found a file system of type {found:#x}"));
        }
        let device = rustix::fs::fstat(&directory)?.st_dev;
        Ok(Arc::new(DiskFileSystem { directory, device }))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let file = open_lockable(path)?;
        // A reader's probe holds the lock for an instant: what is held longer belongs to a writer.
        for _ in 0..LOCK_TRIES {
            if try_flock(&file, FlockOperation::NonBlockingLockExclusive)? {
                return Ok(Some(Box::new(DiskLock { _file: file })));
            }
            thread::sleep(LOCK_PAUSE);
        }
        Ok(None)
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        // Closing the descriptor gives the lock back.
        Ok(!try_flock(&open_lockable(path)?, FlockOperation::NonBlockingLockShared)?)
    }

    fn random(&self) -> u64 {
        loop {
            let mut bytes = [0; 8];
            let number = match rustix::rand::getrandom(&mut bytes, GetRandomFlags::empty()) {
                Ok(8) => u64::from_le_bytes(bytes),
                // A sandbox without the call: the standard library finds its own source.
                _ => RandomState::new().hash_one(bytes),
            };
            if number != 0 {
                return number;
            }
        }
    }
}

/// Which start of the machine this is; `None` where the kernel does not say.
pub(crate) fn boot_id() -> Option<[u8; 16]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.trim().split('-').collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    (digits.len() == 32).then(|| number.to_be_bytes())
}

/// Maps that a process may have: what the kernel says, or its default.
pub(crate) fn maps_of_process_max() -> usize {
    fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(65_530)
}

/// A file of the operating system.
#[derive(Debug)]
pub(super) struct DiskFile {
    pub(super) file: fs::File,
}

/// Blocks are reserved ahead while so many times as much is free: somebody else may be about to need it.
const FREE_TIMES: u64 = 16;

impl DiskFile {
    fn fallocate(&self, flags: FallocateFlags, position: u64, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        match uninterrupted(|| rustix::fs::fallocate(&self.file, flags, position, len)) {
            Err(error @ (Errno::OPNOTSUPP | Errno::NOSYS)) => Err(io::Error::new(io::ErrorKind::Unsupported, error)),
            other => Ok(other?),
        }
    }
}

#[cfg(feature = "test-util")]
impl DiskFile {
    /// A file without a name, in memory alone.
    pub(super) fn in_memory() -> io::Result<Self> {
        let file = rustix::fs::memfd_create("tidelog-sim", rustix::fs::MemfdFlags::CLOEXEC)?;
        Ok(Self { file: fs::File::from(file) })
    }
}

impl File for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        FileExt::read_at(&self.file, buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        FileExt::write_at(&self.file, bytes, position)
    }

    fn write_vectored_at(&self, pieces: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(&self.file, pieces, position)?)
    }

    fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        self.fallocate(FallocateFlags::empty(), position, len)
    }

    fn allocate_ahead(&self, len: u64) -> io::Result<()> {
        let system = rustix::fs::fstatvfs(&self.file)?;
        if system.f_bavail.saturating_mul(system.f_frsize) / FREE_TIMES < len {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.fallocate(FallocateFlags::KEEP_SIZE, 0, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn set_uncached(&self, uncached: bool) -> io::Result<()> {
        let mut flags = rustix::fs::fcntl_getfl(&self.file)?;
        flags.set(OFlags::DIRECT, uncached);
        match rustix::fs::fcntl_setfl(&self.file, flags) {
            Err(error @ (Errno::INVAL | Errno::OPNOTSUPP)) => Err(io::Error::new(io::ErrorKind::Unsupported, error)),
            other => Ok(other?),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn map(&self, len: usize, store: bool) -> io::Result<(SegmentMap, Option<SegmentStore>)> {
        if store {
            let (map, store) = SegmentMap::read_write(&self.file, len)?;
            Ok((map, Some(store)))
        } else {
            Ok((SegmentMap::read_only(&self.file, len)?, None))
        }
    }

    fn map_window(&self, from: usize, len: usize) -> io::Result<SegmentWindow> {
        SegmentWindow::of_file(&self.file, from, len)
    }

    fn map_words(&self, len: usize, store: bool) -> io::Result<SharedWords> {
        let found = self.len()?;
        if found < len as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{found} bytes, {len} to map")));
        }
        SharedWords::of_file(&self.file, len, store)
    }
}

/// By a directory on it, opened once: each descriptor is told of a failed write by itself.
#[derive(Debug)]
struct DiskFileSystem {
    directory: OwnedFd,
    device: u64,
}

impl FileSystem for DiskFileSystem {
    fn sync(&self) -> io::Result<()> {
        rustix::fs::syncfs(&self.directory)?;
        // That does nothing, and succeeds, where an error has shut the file system down, or made it read-only. ext4 tells of both here, ext2 not of
        // the second.
        rustix::fs::fsync(&self.directory)?;
        let is_read_only = rustix::fs::fstatvfs(&self.directory)?.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY);
        if is_read_only { Err(Errno::ROFS.into()) } else { Ok(()) }
    }

    fn holds(&self, directory: &Path) -> io::Result<bool> {
        Ok(rustix::fs::stat(directory)?.st_dev == self.device)
    }
}

/// Those of ext2 to ext4, and of tmpfs, where a loss of power takes everything. XFS sends the device no flush while nothing is in its journal, an
/// overlay does not tell of pages that were not written, and FUSE of nothing (the sources of Linux).
const WHOLE_SYNC_TYPES: [rustix::fs::FsWord; 2] = [0xef53, 0x0102_1994];

/// Whether syncfs tells of every error on a kernel of this release: of bytes since 5.8, says syncfs(2), of names and sizes since 5.17.
fn tells_failed_syncs(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(17))
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(uninterrupted(|| rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()))?)
}

/// Keeps the descriptor that holds the lock.
#[derive(Debug)]
struct DiskLock {
    _file: OwnedFd,
}

impl Lock for DiskLock {}

/// Symlinks are followed: two paths to one directory are one lock.
fn open_lockable(path: &Path) -> io::Result<OwnedFd> {
    let file = uninterrupted(|| rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()))?;
    match kind_of(FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode)) {
        Kind::File | Kind::Directory => Ok(file),
        Kind::Other => Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a regular file nor a directory")),
    }
}

fn try_flock(file: &OwnedFd, operation: FlockOperation) -> io::Result<bool> {
    match uninterrupted(|| rustix::fs::flock(file, operation)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// For file systems that cannot refuse to replace. A link is as strict; where there are no links either, or for a directory, a look must do.
fn rename_by_link(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty()) {
        Ok(()) => fs::remove_file(from),
        Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP | Errno::MLINK) => match fs::symlink_metadata(to) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
            Err(error) => Err(error),
        },
        Err(error) => Err(error.into()),
    }
}

fn uninterrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

fn kind_of(found: FileType) -> Kind {
    match found {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        _ => Kind::Other,
    }
}

fn kind_of_std(found: fs::FileType) -> Kind {
    if found.is_file() {
        Kind::File
    } else if found.is_dir() {
        Kind::Directory
    } else {
        Kind::Other
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

const OPEN_FLAGS: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
