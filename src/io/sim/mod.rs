//! A disk in memory that can lose power: what is surely on the medium is kept apart from what is only in the cache. Knows no log, no format.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::file::DiskFile;
use super::{Access, Entry, File, FileSystem, Kind, Lock, SegmentMap, SegmentStore, SegmentWindow, SharedWords, Storage};

mod image;
mod medium;
mod world;

pub use image::Image;
use world::{NameChange, World};

/// A disk in memory. A clone is the same disk.
///
/// Everything is drawn from one seed: what the cache writes back by itself, and what a power cut keeps. Of what was not synced it keeps any
/// subset: of 512-byte sectors or of 4 KiB pages, of names ([`NameModel`]), of sizes. A sync that fails leaves its pages clean, some of them
/// unwritten.
///
/// ```
/// use tidelog::io::Storage;
/// use tidelog::io::sim::{NameModel, SimDisk};
///
/// let disk = SimDisk::new(1, NameModel::Strict);
/// disk.create("/f".as_ref())?.write_at(b"never synced", 0)?;
/// let survives = |_| disk.power_cut().files().any(|(path, _)| path == "/f");
/// assert!((0..50).any(survives) && !(0..50).all(survives));
/// disk.sync_dir("/".as_ref())?;
/// assert!((0..50).all(survives));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
    /// Of which process this is the handle.
    process: u64,
}

#[derive(Debug)]
struct Shared {
    /// The process that lives.
    living: AtomicU64,
    world: Mutex<World>,
}

impl Shared {
    fn check(&self, process: u64) -> io::Result<()> {
        if process == self.living.load(Ordering::SeqCst) { Ok(()) } else { Err(io::Error::other("this process was killed")) }
    }
}

/// When a name that was made, given or taken away is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameModel {
    /// When its directory was synced; before, each on its own.
    Strict,
    /// When anything was synced since: a journal commits in order.
    Journal,
}

/// What was left after a cut: see [`SimDisk::watch`].
#[derive(Debug, Clone)]
pub struct Cut {
    /// What [`SimDisk::set_mark`] said last.
    pub mark: u64,
    /// Changing calls so far.
    pub call: u64,
    /// Whether power failed; else the process alone died, and everything written is there.
    pub is_power: bool,
    /// What is left.
    pub image: Image,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64, names: NameModel) -> Self {
        Image::default().disk(seed, names)
    }

    /// What the medium may hold if power failed now: another draw at each call.
    #[must_use]
    pub fn power_cut(&self) -> Image {
        self.shared.world.lock().power_cut()
    }

    /// The process dies: its handles fail from now on, its locks are free, and what it wrote stays in the cache. Returns the handle of the
    /// next process.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut world = self.shared.world.lock();
        world.locked.clear();
        Self { shared: self.shared.clone(), process: self.shared.living.fetch_add(1, Ordering::SeqCst) + 1 }
    }

    /// What is there if the process alone died now.
    #[must_use]
    pub fn image(&self) -> Image {
        self.shared.world.lock().image()
    }

    /// From now on, after each call that changes something, `draws` power cuts and the death of the process are kept for
    /// [`take_cuts`](Self::take_cuts). 0 ends it.
    pub fn watch(&self, draws: usize) {
        self.shared.world.lock().draws = draws;
    }

    /// What the cuts from now on are marked with.
    pub fn set_mark(&self, mark: u64) {
        self.shared.world.lock().mark = mark;
    }

    /// Keeps cuts of this moment, as after a call.
    pub fn cut_here(&self) {
        self.shared.world.lock().keep_cuts();
    }

    /// The cuts since the last time this was asked.
    #[must_use]
    pub fn take_cuts(&self) -> Vec<Cut> {
        std::mem::take(&mut self.shared.world.lock().cuts)
    }

    /// The n-th sync of a file from now on, counted from 1, fails: some pages are not written, and none is dirty any more. 0 for none.
    pub fn fail_sync(&self, nth: u64) {
        self.shared.world.lock().failing_sync = nth;
    }

    /// Syncs that failed so far.
    #[must_use]
    pub fn failed_syncs(&self) -> u64 {
        self.shared.world.lock().failed_syncs
    }

    /// After a changing call, the cache writes some pages back by itself: once in `odds` calls, 0 for never. 8 in a new disk.
    pub fn write_back(&self, odds: u64) {
        self.shared.world.lock().write_back_odds = odds;
    }

    /// Calls so far that changed something.
    #[must_use]
    pub fn changing_calls(&self) -> u64 {
        self.shared.world.lock().calls
    }

    fn handle(&self, node: usize, bytes: &Arc<DiskFile>, access: Access) -> Arc<dyn File> {
        Arc::new(SimFile { shared: self.shared.clone(), process: self.process, node, bytes: bytes.clone(), access })
    }

    fn world(&self) -> io::Result<MutexGuard<'_, World>> {
        self.shared.check(self.process)?;
        Ok(self.shared.world.lock())
    }
}

impl Storage for SimDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let world = self.world()?;
        let node = world.find(path)?;
        match world.medium(node) {
            Some(medium) => Ok(self.handle(node, medium.bytes(), access)),
            None => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut world = self.world()?;
        let (directory, name) = world.free_name(path)?;
        let node = world.add_file(&[])?;
        world.change_name(NameChange::Add { directory, name, node });
        let bytes = world.medium(node).expect("a file was added").bytes();
        Ok(self.handle(node, bytes, Access::ReadWrite))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world()?;
        let change = world.renaming(from, to)?;
        world.change_name(change);
        Ok(())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world()?;
        let change = world.renaming(from, to)?;
        world.free_name(to)?;
        world.change_name(change);
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world()?;
        let node = world.find(path)?;
        if world.medium(node).is_none() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let (directory, name) = world.parent(path)?;
        world.change_name(NameChange::Remove { directory, name, node });
        Ok(())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world()?;
        let (directory, name) = world.free_name(path)?;
        let node = world.add_directory();
        world.change_name(NameChange::Add { directory, name, node });
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world()?;
        let node = world.find(path)?;
        if !world.names_in(node)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (directory, name) = world.parent(path)?;
        world.change_name(NameChange::Remove { directory, name, node });
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let world = self.world()?;
        let names = world.names_in(world.find(path)?)?;
        Ok(names.iter().map(|(name, &node)| Entry { name: name.clone(), kind: world.kind(node) }).collect())
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        let world = self.world()?;
        match world.find(path) {
            Ok(node) => Ok(Some(world.kind(node))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world()?;
        let node = world.find(path)?;
        world.names_in(node)?;
        world.sync_names(node);
        Ok(())
    }

    fn file_system(&self, directory: &Path) -> io::Result<Arc<dyn FileSystem>> {
        let world = self.world()?;
        world.names_in(world.find(directory)?)?;
        Ok(Arc::new(self.clone()))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let mut world = self.world()?;
        let node = world.find(path)?;
        let is_free = world.locked.insert(node);
        Ok(is_free.then(|| Box::new(SimLock { shared: self.shared.clone(), process: self.process, node }) as Box<dyn Lock>))
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        let world = self.world()?;
        Ok(world.locked.contains(&world.find(path)?))
    }

    fn random(&self) -> u64 {
        self.shared.world.lock().random.draw() | 1
    }
}

/// There is one on the disk.
impl FileSystem for SimDisk {
    fn sync(&self) -> io::Result<()> {
        self.world()?.sync_all()
    }

    fn holds(&self, directory: &Path) -> io::Result<bool> {
        let world = self.world()?;
        world.find(directory).map(|_| true)
    }
}

/// The cached bytes are a real file without a name, so that maps of it are as coherent as those of any other.
#[derive(Debug)]
struct SimFile {
    shared: Arc<Shared>,
    process: u64,
    node: usize,
    bytes: Arc<DiskFile>,
    access: Access,
}

impl SimFile {
    fn for_writing(&self) -> io::Result<MutexGuard<'_, World>> {
        match self.access {
            Access::Read => Err(io::Error::new(io::ErrorKind::PermissionDenied, "opened for reading")),
            Access::ReadWrite => self.world(),
        }
    }

    fn world(&self) -> io::Result<MutexGuard<'_, World>> {
        self.shared.check(self.process)?;
        Ok(self.shared.world.lock())
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.shared.check(self.process)?;
        self.bytes.len()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.shared.check(self.process)?;
        self.bytes.read_at(buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let mut world = self.for_writing()?;
        let written = self.bytes.write_at(bytes, position)?;
        world.wrote(self.node, position, written);
        Ok(written)
    }

    fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        let mut world = self.for_writing()?;
        self.bytes.allocate(position, len)?;
        world.called();
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut world = self.for_writing()?;
        self.bytes.set_len(len)?;
        world.called();
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.world()?.sync(self.node)
    }

    fn map(&self, len: usize, store: bool) -> io::Result<(SegmentMap, Option<SegmentStore>)> {
        if store {
            drop(self.for_writing()?);
        }
        self.bytes.map(len, store)
    }

    fn map_window(&self, from: usize, len: usize) -> io::Result<SegmentWindow> {
        drop(self.for_writing()?);
        self.bytes.map_window(from, len)
    }

    fn map_words(&self, len: usize, store: bool) -> io::Result<SharedWords> {
        if store {
            drop(self.for_writing()?);
        }
        self.bytes.map_words(len, store)
    }
}

#[derive(Debug)]
struct SimLock {
    shared: Arc<Shared>,
    process: u64,
    node: usize,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        if self.shared.check(self.process).is_ok() {
            self.shared.world.lock().locked.remove(&self.node);
        }
    }
}
