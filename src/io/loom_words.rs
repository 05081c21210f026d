//! [`SharedWords`](super::SharedWords) in loom's own memory, for `--cfg tidelog_loom` alone: loom has no atomics in mapped memory.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::futex::Wait;

/// As the mapped ones.
#[derive(Debug, Clone)]
pub struct SharedWords {
    words: Arc<Vec<AtomicU64>>,
    halves: Arc<Vec<AtomicU32>>,
    writable: bool,
}

#[allow(missing_docs, reason = "as the mapped ones")]
impl SharedWords {
    pub fn anonymous(len: usize) -> io::Result<Self> {
        let words = (0..len / size_of::<u64>()).map(|_| AtomicU64::new(0)).collect();
        let halves = (0..len / size_of::<u32>()).map(|_| AtomicU32::new(0)).collect();
        Ok(Self { words: Arc::new(words), halves: Arc::new(halves), writable: true })
    }

    pub(super) fn of_file(_file: &File, _len: usize, _writable: bool) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[must_use]
    pub fn read_only(&self) -> Self {
        Self { writable: false, ..self.clone() }
    }

    pub fn load_u64(&self, position: usize) -> u64 {
        self.words[position / size_of::<u64>()].load(Ordering::Acquire)
    }

    pub fn load_u32(&self, position: usize) -> u32 {
        self.halves[position / size_of::<u32>()].load(Ordering::Acquire)
    }

    pub fn store_u64(&self, position: usize, value: u64) {
        assert!(self.writable);
        self.words[position / size_of::<u64>()].store(value, Ordering::Release);
    }

    pub fn u32_at(&self, position: usize) -> &AtomicU32 {
        assert!(self.writable);
        &self.halves[position / size_of::<u32>()]
    }

    pub(crate) fn wait_u32(&self, _position: usize, _expected: u32, _timeout: Option<Duration>) -> Wait {
        Wait::Woken
    }

    pub(crate) fn wake_u32(&self, _position: usize) {}
}
