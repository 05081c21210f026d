//! A storage that counts the calls to another one, and fails, shortens or tears those a test asks for. Keeps no bytes and simulates no disk.
//!
//! After an injected error everything else works as before: what a power cut or a failed sync does to bytes is not shown here.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::{Access, Entry, File, FileSystem, Kind, Lock, SegmentMap, SegmentStore, SegmentWindow, SharedWords, Storage, write_all_at};

/// EIO, the error of a failed device.
pub const EIO: i32 = 5;
/// ENOSPC, the error of a full disk.
pub const ENOSPC: i32 = 28;

/// Wraps a storage. A clone is a handle to the same counts and faults: a test keeps one.
///
/// ```
/// use std::sync::Arc;
/// use tidelog::io::fault::{Fault, Faulty, Op};
/// use tidelog::io::{Disk, Storage};
///
/// let faulty = Faulty::new(Arc::new(Disk::new()));
/// faulty.inject(Fault::at(Op::List).nth(2));
/// let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
/// assert!(storage.list("/".as_ref()).is_ok());
/// assert!(storage.list("/".as_ref()).is_err());
/// assert_eq!((faulty.count(Op::List), faulty.fired()), (2, 1));
/// ```
#[derive(Debug, Clone)]
pub struct Faulty {
    inner: Arc<dyn Storage>,
    shared: Arc<Shared>,
}

impl Faulty {
    /// Passes everything through and counts it.
    #[must_use]
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self { inner, shared: Arc::new(Shared { mapping: AtomicBool::new(true), ..Shared::default() }) }
    }

    /// Arms one more fault; it counts matching calls from now on.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.lock().push(Armed { fault, seen: 0 });
    }

    /// Disarms every fault.
    pub fn heal(&self) {
        self.shared.faults.lock().clear();
    }

    /// How many calls were given a fault. A loop over the n-th call ends with the first n for which this did not move.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.shared.fired.load(Ordering::SeqCst)
    }

    /// With `false`, [`File::map`] is refused as `Unsupported`, so that every byte that is read is read by a call, and counted.
    pub fn allow_mapping(&self, allowed: bool) {
        self.shared.mapping.store(allowed, Ordering::SeqCst);
    }

    /// Calls of one kind, those that failed included.
    #[must_use]
    pub fn count(&self, op: Op) -> u64 {
        self.shared.counts[op as usize].load(Ordering::SeqCst)
    }

    /// Calls of every kind.
    #[must_use]
    pub fn calls(&self) -> u64 {
        Op::ALL.iter().map(|&op| self.count(op)).sum()
    }

    /// Syncs of files.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.count(Op::Sync)
    }

    /// Syncs of directories.
    #[must_use]
    pub fn dir_syncs(&self) -> u64 {
        self.count(Op::SyncDir)
    }

    /// Calls that make, change or remove a name.
    #[must_use]
    pub fn name_changes(&self) -> u64 {
        [Op::Create, Op::Rename, Op::RenameNew, Op::Unlink, Op::CreateDir, Op::RemoveDir].iter().map(|&op| self.count(op)).sum()
    }

    /// Bytes that reads have returned. What is looked at in a mapping is not among them.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.shared.bytes_read.load(Ordering::SeqCst)
    }

    /// Bytes that writes have taken. What is stored in a mapping is not among them.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.shared.bytes_written.load(Ordering::SeqCst)
    }

    /// Sets every count to zero; armed faults stay.
    pub fn reset_counts(&self) {
        let shared = &self.shared;
        for counter in shared.counts.iter().chain([&shared.bytes_read, &shared.bytes_written, &shared.fired]) {
            counter.store(0, Ordering::SeqCst);
        }
    }

    /// Starts a fresh record of calls, to show in which order they come.
    pub fn record_calls(&self) {
        *self.shared.record.lock() = Some(Vec::new());
    }

    /// Ends the record and returns it; empty if none was started.
    #[must_use]
    pub fn recorded_calls(&self) -> Vec<Call> {
        self.shared.record.lock().take().unwrap_or_default()
    }

    fn enter(&self, op: Op, path: &Path) -> io::Result<()> {
        self.shared.plain(Call { op, path: path.to_owned(), to: None, position: 0, bytes: 0 })
    }

    fn enter_rename(&self, op: Op, from: &Path, to: &Path) -> io::Result<()> {
        self.shared.plain(Call { op, path: from.to_owned(), to: Some(to.to_owned()), position: 0, bytes: 0 })
    }

    fn wrap(&self, inner: Arc<dyn File>, path: &Path) -> Arc<dyn File> {
        Arc::new(FaultyFile { inner, shared: Arc::clone(&self.shared), path: path.to_owned() })
    }
}

impl Storage for Faulty {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        self.enter(Op::Open, path)?;
        Ok(self.wrap(self.inner.open(path, access)?, path))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.enter(Op::Create, path)?;
        Ok(self.wrap(self.inner.create(path)?, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.enter_rename(Op::Rename, from, to)?;
        self.inner.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.enter_rename(Op::RenameNew, from, to)?;
        self.inner.rename_new(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.enter(Op::Unlink, path)?;
        self.inner.unlink(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.enter(Op::CreateDir, path)?;
        self.inner.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.enter(Op::RemoveDir, path)?;
        self.inner.remove_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.enter(Op::List, path)?;
        self.inner.list(path)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        self.enter(Op::Kind, path)?;
        self.inner.kind(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.enter(Op::SyncDir, path)?;
        self.inner.sync_dir(path)
    }

    fn file_system(&self, directory: &Path) -> io::Result<Arc<dyn FileSystem>> {
        self.enter(Op::FileSystem, directory)?;
        let inner = self.inner.file_system(directory)?;
        Ok(Arc::new(FaultyFileSystem { inner, faulty: self.clone(), path: directory.to_owned() }))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.enter(Op::Lock, path)?;
        self.inner.lock(path)
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        self.enter(Op::IsLocked, path)?;
        self.inner.is_locked(path)
    }

    fn random(&self) -> u64 {
        self.inner.random()
    }
}

#[derive(Debug)]
struct FaultyFileSystem {
    inner: Arc<dyn FileSystem>,
    faulty: Faulty,
    path: PathBuf,
}

impl FileSystem for FaultyFileSystem {
    fn sync(&self) -> io::Result<()> {
        self.faulty.enter(Op::SyncAll, &self.path)?;
        self.inner.sync()
    }

    fn holds(&self, directory: &Path) -> io::Result<bool> {
        self.inner.holds(directory)
    }
}

/// What to do to which call. Without more said: the first call from now on fails once, with [`EIO`].
#[derive(Debug, Clone)]
pub struct Fault {
    op: Option<Op>,
    path_part: Option<String>,
    nth: u64,
    from_then_on: bool,
    effect: Effect,
}

impl Fault {
    /// For calls of one kind.
    #[must_use]
    pub fn at(op: Op) -> Self {
        Self { op: Some(op), ..Self::anywhere() }
    }

    /// For calls of every kind.
    #[must_use]
    pub fn anywhere() -> Self {
        Self { op: None, path_part: None, nth: 1, from_then_on: false, effect: Effect::Error(EIO) }
    }

    /// For the n-th matching call, counted from 1.
    ///
    /// # Panics
    ///
    /// If `nth` is 0.
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        assert!(nth > 0, "calls are counted from 1");
        Self { nth, ..self }
    }

    /// For the n-th matching call and all that follow.
    #[must_use]
    pub fn from_then_on(self) -> Self {
        Self { from_then_on: true, ..self }
    }

    /// Only for paths (as they were given to the storage) that contain `part`.
    #[must_use]
    pub fn on_path(self, part: &str) -> Self {
        Self { path_part: Some(part.to_owned()), ..self }
    }

    /// The call does nothing and fails with this number of the operating system.
    #[must_use]
    pub fn error(self, errno: i32) -> Self {
        Self { effect: Effect::Error(errno), ..self }
    }

    /// A read or write does at most so many bytes, at least one, and says so. Other calls do not match.
    #[must_use]
    pub fn short(self, bytes: usize) -> Self {
        Self { effect: Effect::Short(bytes.max(1)), ..self }
    }

    /// The first `bytes` of a write go through, then it fails with this number of the operating system. Other calls do not match.
    #[must_use]
    pub fn torn(self, bytes: usize, errno: i32) -> Self {
        Self { effect: Effect::Torn(bytes, errno), ..self }
    }

    /// The call takes this much longer, and succeeds.
    #[must_use]
    pub fn slow(self, by: Duration) -> Self {
        Self { effect: Effect::Slow(by), ..self }
    }

    fn matches(&self, call: &Call) -> bool {
        let possible = match self.effect {
            Effect::Error(_) | Effect::Slow(_) => true,
            Effect::Short(_) => matches!(call.op, Op::Read | Op::Write),
            Effect::Torn(..) => call.op == Op::Write,
        };
        let named = |part: &String| [Some(&call.path), call.to.as_ref()].into_iter().flatten().any(|path| path.to_string_lossy().contains(part));
        possible && self.op.is_none_or(|op| op == call.op) && self.path_part.as_ref().is_none_or(named)
    }
}

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the method of its name; `SyncAll` the sync of a file system")]
pub enum Op {
    Open,
    Create,
    Rename,
    RenameNew,
    Unlink,
    CreateDir,
    RemoveDir,
    List,
    Kind,
    SyncDir,
    FileSystem,
    SyncAll,
    Lock,
    IsLocked,
    Len,
    Read,
    Write,
    Allocate,
    SetLen,
    Sync,
    Map,
    MapWords,
}

impl Op {
    /// Every kind.
    pub const ALL: [Self; 22] = [
        Self::Open,
        Self::Create,
        Self::Rename,
        Self::RenameNew,
        Self::Unlink,
        Self::CreateDir,
        Self::RemoveDir,
        Self::List,
        Self::Kind,
        Self::SyncDir,
        Self::FileSystem,
        Self::SyncAll,
        Self::Lock,
        Self::IsLocked,
        Self::Len,
        Self::Read,
        Self::Write,
        Self::Allocate,
        Self::SetLen,
        Self::Sync,
        Self::Map,
        Self::MapWords,
    ];
}

/// A call as it was made, whether it succeeded or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its kind.
    pub op: Op,
    /// Its path; for a file, the one it was opened or created under.
    pub path: PathBuf,
    /// The new name of a rename.
    pub to: Option<PathBuf>,
    /// The position of a read, write or allocation; the size a file is set to.
    pub position: u64,
    /// The bytes asked for by a read, write, allocation or mapping.
    pub bytes: u64,
}

#[derive(Debug)]
struct FaultyFile {
    inner: Arc<dyn File>,
    shared: Arc<Shared>,
    path: PathBuf,
}

impl FaultyFile {
    fn call(&self, op: Op, position: u64, bytes: u64) -> Call {
        Call { op, path: self.path.clone(), to: None, position, bytes }
    }

    /// What `write` is to write, unless a fault lets through less.
    fn write_pieces(&self, pieces: &[IoSlice<'_>], write: impl FnOnce() -> io::Result<usize>, position: u64) -> io::Result<usize> {
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        let first = |limit| pieces.iter().flat_map(|piece| piece.iter().copied()).take(limit).collect::<Vec<u8>>();
        let written = match self.shared.enter(self.call(Op::Write, position, len as u64)) {
            Some(Effect::Short(limit)) => self.inner.write_at(&first(limit), position)?,
            Some(Effect::Torn(limit, errno)) => {
                let through = first(limit);
                write_all_at(&*self.inner, &through, position)?;
                self.shared.bytes_written.fetch_add(through.len() as u64, Ordering::SeqCst);
                return Err(io::Error::from_raw_os_error(errno));
            }
            effect => failed(effect).and_then(|()| write())?,
        };
        self.shared.bytes_written.fetch_add(written as u64, Ordering::SeqCst);
        Ok(written)
    }
}

impl File for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.shared.plain(self.call(Op::Len, 0, 0))?;
        self.inner.len()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let limit = match self.shared.enter(self.call(Op::Read, position, buffer.len() as u64)) {
            Some(Effect::Short(limit)) => limit.min(buffer.len()),
            effect => failed(effect).map(|()| buffer.len())?,
        };
        let read = self.inner.read_at(&mut buffer[..limit], position)?;
        self.shared.bytes_read.fetch_add(read as u64, Ordering::SeqCst);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.write_pieces(&[IoSlice::new(bytes)], || self.inner.write_at(bytes, position), position)
    }

    fn write_vectored_at(&self, pieces: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.write_pieces(pieces, || self.inner.write_vectored_at(pieces, position), position)
    }

    fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        self.shared.plain(self.call(Op::Allocate, position, len))?;
        self.inner.allocate(position, len)
    }

    fn allocate_ahead(&self, len: u64) -> io::Result<()> {
        self.shared.plain(self.call(Op::Allocate, 0, len))?;
        self.inner.allocate_ahead(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.shared.plain(self.call(Op::SetLen, len, 0))?;
        self.inner.set_len(len)
    }

    // Not counted: it moves no byte.
    fn set_uncached(&self, uncached: bool) -> io::Result<()> {
        self.inner.set_uncached(uncached)
    }

    fn sync(&self) -> io::Result<()> {
        self.shared.plain(self.call(Op::Sync, 0, 0))?;
        self.inner.sync()
    }

    fn map(&self, len: usize, store: bool) -> io::Result<(SegmentMap, Option<SegmentStore>)> {
        self.shared.plain(self.call(Op::Map, 0, len as u64))?;
        if !self.shared.mapping.load(Ordering::SeqCst) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "mapping is switched off"));
        }
        self.inner.map(len, store)
    }

    fn map_window(&self, from: usize, len: usize) -> io::Result<SegmentWindow> {
        self.shared.plain(self.call(Op::Map, from as u64, len as u64))?;
        if !self.shared.mapping.load(Ordering::SeqCst) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "mapping is switched off"));
        }
        self.inner.map_window(from, len)
    }

    fn map_words(&self, len: usize, store: bool) -> io::Result<SharedWords> {
        self.shared.plain(self.call(Op::MapWords, 0, len as u64))?;
        self.inner.map_words(len, store)
    }
}

#[derive(Debug, Default)]
struct Shared {
    counts: [AtomicU64; Op::ALL.len()],
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    fired: AtomicU64,
    mapping: AtomicBool,
    faults: Mutex<Vec<Armed>>,
    record: Mutex<Option<Vec<Call>>>,
}

impl Shared {
    fn plain(&self, call: Call) -> io::Result<()> {
        failed(self.enter(call))
    }

    /// Counts a call and says what is to be done to it. Every fault counts it, the first that is due is given.
    fn enter(&self, call: Call) -> Option<Effect> {
        self.counts[call.op as usize].fetch_add(1, Ordering::SeqCst);
        let mut given = None;
        for armed in self.faults.lock().iter_mut().filter(|armed| armed.fault.matches(&call)) {
            armed.seen += 1;
            let due = armed.seen == armed.fault.nth || (armed.fault.from_then_on && armed.seen > armed.fault.nth);
            given = given.or(due.then_some(armed.fault.effect));
        }
        if given.is_some() {
            self.fired.fetch_add(1, Ordering::SeqCst);
        }
        if let Some(record) = &mut *self.record.lock() {
            record.push(call);
        }
        given
    }
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    seen: u64,
}

#[derive(Debug, Clone, Copy)]
enum Effect {
    Error(i32),
    Short(usize),
    Torn(usize, i32),
    Slow(Duration),
}

/// What is left of an effect for a call that cannot be done in part.
fn failed(effect: Option<Effect>) -> io::Result<()> {
    match effect {
        Some(Effect::Error(errno) | Effect::Torn(_, errno)) => Err(io::Error::from_raw_os_error(errno)),
        Some(Effect::Slow(by)) => {
            std::thread::sleep(by);
            Ok(())
        }
        Some(Effect::Short(_)) | None => Ok(()),
    }
}
