//! Mark: a log that collects 64 KiB in memory and then writes them. What is in the buffer dies with the process.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::{store, stored_bytes};

/// A growing file and its buffer.
pub(crate) struct WriteLog {
    file: File,
    buffer: Vec<u8>,
}

impl WriteLog {
    /// A new, empty file.
    ///
    /// # Panics
    /// If it cannot be made.
    pub(crate) fn create(path: &Path) -> Self {
        Self { file: File::create_new(path).expect("a new file"), buffer: Vec::with_capacity(2 * BUFFER_BYTES) }
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
        if self.buffer.len() >= BUFFER_BYTES {
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
