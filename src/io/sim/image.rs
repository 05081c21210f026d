//! What a disk holds at one moment, as a value: to be recovered from, compared, damaged or written out. Changes no disk.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

use super::world::World;
use super::{NameModel, Shared, SimDisk};

/// Directories and the bytes of files, by path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    /// `None` for a directory. Parents come before what is in them.
    entries: BTreeMap<PathBuf, Option<Arc<[u8]>>>,
}

impl Image {
    /// A disk that holds this, all of it durable.
    ///
    /// # Panics
    ///
    /// If something is in a directory that is not there, or if the machine has no memory or descriptors for its files.
    #[must_use]
    pub fn disk(&self, seed: u64, names: NameModel) -> SimDisk {
        let mut world = World::new(seed, names);
        for (path, bytes) in &self.entries {
            let node = match bytes {
                None => world.add_directory(),
                Some(bytes) => world.add_file(bytes).unwrap_or_else(|error| panic!("no memory for {}: {error}", path.display())),
            };
            world.name_durably(path, node);
        }
        SimDisk { shared: Arc::new(Shared { living: AtomicU64::new(0), world: Mutex::new(world) }), process: 0 }
    }

    /// Paths and bytes of the files.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.entries.iter().filter_map(|(path, bytes)| Some((path.as_path(), bytes.as_deref()?)))
    }

    /// Directories, parents first.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.entries.iter().filter(|(_, bytes)| bytes.is_none()).map(|(path, _)| path.as_path())
    }

    /// Puts a file there, or other bytes into one.
    pub fn put(&mut self, path: impl Into<PathBuf>, bytes: impl Into<Arc<[u8]>>) {
        self.entries.insert(path.into(), Some(bytes.into()));
    }

    /// Puts a directory there.
    pub fn put_directory(&mut self, path: impl Into<PathBuf>) {
        self.entries.insert(path.into(), None);
    }

    /// Takes away a file, or a directory with everything in it.
    pub fn remove(&mut self, path: impl AsRef<Path>) {
        self.entries.retain(|entry, _| !entry.starts_with(path.as_ref()));
    }

    /// Equal for equal images; for different ones different, but for one pair in 2^64.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.entries.hash(&mut hasher);
        hasher.finish()
    }
}
