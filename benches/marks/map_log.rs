//! Mark: a log in one preallocated, mapped file. A copy and a checksum a record, nothing else; pages are touched for the first time.
#![allow(unsafe_code)]

use std::path::Path;

use memmap2::MmapMut;
use rustix::fs::FallocateFlags;

use super::{load, store, stored_bytes};

/// Records of one length in a mapped file.
pub(crate) struct MapLog {
    map: MmapMut,
    position: usize,
    stride: usize,
}

impl MapLog {
    /// A new file with room for `records` values of `value_bytes`.
    ///
    /// # Panics
    /// If the file cannot be made.
    pub(crate) fn create(path: &Path, records: usize, value_bytes: usize) -> Self {
        let stride = stored_bytes(value_bytes);
        let bytes = stride * records;
        let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(path).expect("a new file");
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes as u64).expect("room on the disk");
        // SAFETY: the file is new, has its full size, and belongs to this bench alone until the map is gone.
        let map = unsafe { MmapMut::map_mut(&file) }.expect("a map of a new file");
        Self { map, position: 0, stride }
    }

    /// A file that is there and full, to read.
    ///
    /// # Panics
    /// If it cannot be mapped.
    pub(crate) fn open(path: &Path, value_bytes: usize) -> Self {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).expect("a file");
        // SAFETY: the file belongs to this bench alone, and keeps its size until the map is gone.
        let map = unsafe { MmapMut::map_mut(&file) }.expect("a map of it");
        Self { position: map.len(), map, stride: stored_bytes(value_bytes) }
    }

    /// Appends a value.
    #[inline]
    pub(crate) fn append(&mut self, value: &[u8]) {
        store(&mut self.map[self.position..self.position + self.stride], value);
        self.position += self.stride;
    }

    /// Copies record `number` to `value` and checks it: its place is arithmetic.
    #[inline]
    pub(crate) fn read(&self, number: usize, value: &mut [u8]) -> u8 {
        load(&self.map[number * self.stride..][..self.stride], value)
    }
}
