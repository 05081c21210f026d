//! Mark: checksums over a mapped file, nothing else.
#![allow(unsafe_code)]

use std::path::Path;

use memmap2::Mmap;

/// A file, mapped.
pub(crate) struct MappedChecksum(Mmap);

impl MappedChecksum {
    /// Maps a file that nobody changes meanwhile.
    ///
    /// # Panics
    /// If it cannot be mapped.
    pub(crate) fn new(path: &Path) -> Self {
        let file = std::fs::File::open(path).expect("a file to check");
        // SAFETY: the file belongs to this bench alone, which does not change it any more.
        Self(unsafe { Mmap::map(&file) }.expect("a map of it"))
    }

    /// The checksum of the first `bytes` bytes.
    pub(crate) fn of(&self, bytes: usize) -> u32 {
        crc32fast::hash(&self.0[..bytes])
    }

    /// A checksum for each `piece` bytes of the first `bytes`, as a walk over frames of that size has to take them.
    pub(crate) fn of_each(&self, bytes: usize, piece: usize) -> u32 {
        self.0[..bytes].chunks(piece).fold(0, |sum, piece| sum ^ crc32fast::hash(piece))
    }
}
