//! The real disk, with random numbers that follow from a seed: the same identities and salts in each run of it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tidelog::io::{Access, Disk, Entry, File, FileSystem, Kind, Lock, Storage};

use crate::random::Random;

#[derive(Debug)]
pub(crate) struct Seeded {
    disk: Disk,
    random: Mutex<Random>,
}

impl Seeded {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { disk: Disk::new(), random: Mutex::new(Random(seed)) })
    }
}

impl Storage for Seeded {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        self.disk.open(path, access)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.disk.create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename_new(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.disk.unlink(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(path)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        self.disk.kind(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn file_system(&self, directory: &Path) -> io::Result<Arc<dyn FileSystem>> {
        self.disk.file_system(directory)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.disk.lock(path)
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        self.disk.is_locked(path)
    }

    fn random(&self) -> u64 {
        self.random.lock().unwrap().draw()
    }
}
