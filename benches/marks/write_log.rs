//! Mark: a log that collects some KiB in memory and then writes them. What is in the buffer dies with the process.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::{store, stored_bytes};

/// A growing file and its buffer.
pub(crate) struct WriteLog {
    file: File,
    buffer: Vec<u8>,
    buffer_bytes: usize,
}

impl WriteLog {
    /// A new, empty file, written 64 KiB at a time.
    ///
    /// # Panics
    /// If it cannot be made.
    pub(crate) fn create(path: &Path) -> Self {
        Self::with_buffer(path, BUFFER_BYTES)
    }

    /// The same, written so many bytes at a time, or the record more that goes over them.
    ///
    /// # Panics
    /// If it cannot be made.
    pub(crate) fn with_buffer(path: &Path, buffer_bytes: usize) -> Self {
        Self { file: File::create_new(path).expect("a new file"), buffer: Vec::with_capacity(2 * buffer_bytes), buffer_bytes }
    }

    /// Appends a value.
    ///
    /// # Panics
    /// If the write fails.
    #[inline]
    pub(crate) fn append(&mut self, value: &[u8]) {
        let at = self.buffer.len();
        self.buffer.resize(at + stored_bytes(value.len()), 0);
        store(&mut self.buffer[at..], value);
        if self.buffer.len() >= self.buffer_bytes {
            self.flush();
        }
    }

    /// Writes what is left.
    ///
    /// # Panics
    /// If the write fails.
    pub(crate) fn flush(&mut self) {
        self.file.write_all(&self.buffer).expect("room on the disk");
        self.buffer.clear();
    }
}

const BUFFER_BYTES: usize = 64 << 10;
