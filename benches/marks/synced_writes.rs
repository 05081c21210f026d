//! Mark: one write, or some, and one fdatasync after the other into a preallocated file. No checksum, no thread.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::FallocateFlags;

/// A file and where the next write goes.
pub(crate) struct SyncedWrites {
    file: File,
    position: u64,
}

impl SyncedWrites {
    /// A new file with `bytes` reserved.
    ///
    /// # Panics
    /// If it cannot be made.
    pub(crate) fn create(path: &Path, bytes: u64) -> Self {
        let file = File::create_new(path).expect("a new file");
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes).expect("room on the disk");
        file.sync_all().expect("a sync of a new file");
        Self { file, position: 0 }
    }

    /// The same full of zeros: a sync has nothing to note of blocks that are used for the first time.
    ///
    /// # Panics
    /// If it cannot be made.
    pub(crate) fn filled(path: &Path, bytes: u64) -> Self {
        let log = Self::create(path, bytes);
        let zeros = vec![0; 1 << 20];
        for at in (0..bytes).step_by(zeros.len()) {
            log.file.write_all_at(&zeros[..zeros.len().min((bytes - at) as usize)], at).expect("room on the disk");
        }
        log.file.sync_all().expect("a sync of a new file");
        log
    }

    /// Writes and syncs.
    ///
    /// # Panics
    /// If either fails.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.write(bytes);
        self.sync();
    }

    /// Writes, and leaves it to a later sync.
    ///
    /// # Panics
    /// If it fails.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.file.write_all_at(bytes, self.position).expect("room on the disk");
        self.position += bytes.len() as u64;
    }

    /// Syncs what was written.
    ///
    /// # Panics
    /// If it fails.
    pub(crate) fn sync(&mut self) {
        self.file.sync_data().expect("a sync");
    }
}
