//! Writes a new file from its begin to its end past the page cache: what is large and written once takes no room there, and is not copied by the
//! kernel. Syncs nothing.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use super::{File, write_all_at};

/// A file being written. What is left of the last block is written by [`finish`](Self::finish), through the cache, and so is all of it where
/// there is no way past it.
pub(crate) struct UncachedWriter {
    file: Arc<dyn File>,
    /// Room for a block wherever an aligned address may be.
    buffer: Vec<u8>,
    block_start: usize,
    filled: usize,
    /// Bytes of the file that are written.
    written: u64,
    is_uncached: bool,
}

impl fmt::Debug for UncachedWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UncachedWriter").field("filled", &self.filled).field("written", &self.written).finish_non_exhaustive()
    }
}

impl UncachedWriter {
    pub(crate) fn new(file: Arc<dyn File>) -> Self {
        let buffer = vec![0; BLOCK_BYTES + ALIGNMENT];
        let block_start = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { file, buffer, block_start, filled: 0, written: 0, is_uncached: false }
    }

    /// Writes what is left; returns the size of the file in bytes.
    pub(crate) fn finish(&mut self) -> io::Result<u64> {
        self.go_through_cache()?;
        self.write_block()?;
        Ok(self.written)
    }

    fn write_block(&mut self) -> io::Result<()> {
        let write = |writer: &Self| write_all_at(&*writer.file, &writer.buffer[writer.block_start..][..writer.filled], writer.written);
        match write(self) {
            // A file system that takes the flag and no such write, or a device of larger sectors.
            Err(error) if self.is_uncached && error.kind() == io::ErrorKind::InvalidInput => {
                self.go_through_cache()?;
                write(self)?;
            }
            other => other?,
        }
        self.written += self.filled as u64;
        self.filled = 0;
        Ok(())
    }

    fn go_through_cache(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_uncached) { self.file.set_uncached(false) } else { Ok(()) }
    }
}

impl Write for UncachedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Full, and not written yet: or it was, and failed.
        if self.filled == BLOCK_BYTES {
            if self.written == 0 {
                self.is_uncached = self.file.set_uncached(true).is_ok();
            }
            self.write_block()?;
        }
        let taken = bytes.len().min(BLOCK_BYTES - self.filled);
        self.buffer[self.block_start + self.filled..][..taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Large enough that a device is not waited for often.
const BLOCK_BYTES: usize = 1 << 20;
/// Of positions, lengths and addresses: no less than the sectors of nearly all devices.
const ALIGNMENT: usize = 4096;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use parking_lot::Mutex;

    use super::*;
    use crate::io::{Access, Disk, SegmentMap, SegmentStore, SharedWords, Storage, read_full_at};

    /// A file as the kernel has it past its cache, whatever file system the test is on.
    #[derive(Debug)]
    struct Strict {
        file: Arc<dyn File>,
        has_way: bool,
        /// The write past the cache that is refused, counted from 0.
        refused: Option<usize>,
        is_uncached: AtomicBool,
        /// Whether each write went past the cache, and its length.
        writes: Mutex<Vec<(bool, usize)>>,
    }

    impl File for Strict {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
            self.file.read_at(buffer, position)
        }

        fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
            let is_uncached = self.is_uncached.load(Ordering::SeqCst);
            let mut writes = self.writes.lock();
            writes.push((is_uncached, bytes.len()));
            let is_refused = self.refused.is_some_and(|refused| refused + 1 == writes.len());
            let is_aligned = [bytes.as_ptr().addr(), bytes.len(), position as usize].iter().all(|number| number.is_multiple_of(ALIGNMENT));
            if is_uncached && (is_refused || !is_aligned) { Err(io::ErrorKind::InvalidInput.into()) } else { self.file.write_at(bytes, position) }
        }

        fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
            self.file.allocate(position, len)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.file.set_len(len)
        }

        fn set_uncached(&self, uncached: bool) -> io::Result<()> {
            if !self.has_way {
                return Err(io::ErrorKind::Unsupported.into());
            }
            self.is_uncached.store(uncached, Ordering::SeqCst);
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            self.file.sync()
        }

        fn map(&self, len: usize, store: bool) -> io::Result<(SegmentMap, Option<SegmentStore>)> {
            self.file.map(len, store)
        }

        fn map_words(&self, len: usize, store: bool) -> io::Result<SharedWords> {
            self.file.map_words(len, store)
        }
    }

    /// Writes in pieces of all sizes, and reads it back; returns whether each write went past the cache, and its length.
    fn check(len: usize, has_way: bool, refused: Option<usize>) -> Vec<(bool, usize)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let file = Disk::new().create(&path).unwrap();
        let strict = Arc::new(Strict { file, has_way, refused, is_uncached: AtomicBool::new(false), writes: Mutex::default() });
        let mut writer = UncachedWriter::new(strict.clone());
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((rest.len() % 300_000 + 1).min(rest.len()));
            writer.write_all(piece).unwrap();
            rest = behind;
        }
        assert_eq!(writer.finish().unwrap(), len as u64);
        let mut found = vec![0; len + 1];
        assert_eq!(read_full_at(&*Disk::new().open(&path, Access::Read).unwrap(), &mut found, 0).unwrap(), len);
        assert!(found[..len] == bytes);
        strict.writes.lock().clone()
    }

    #[test]
    fn all_but_the_end_goes_past_the_cache() {
        for (len, blocks, end) in [(0, 0, None), (1, 0, Some(1)), (BLOCK_BYTES, 0, Some(BLOCK_BYTES)), (3 * BLOCK_BYTES + 4097, 3, Some(4097))] {
            let expected: Vec<_> = std::iter::repeat_n((true, BLOCK_BYTES), blocks).chain(end.map(|end| (false, end))).collect();
            assert_eq!(check(len, true, None), expected, "{len}");
        }
    }

    #[test]
    fn what_cannot_go_past_the_cache_goes_through_it() {
        let (past, through, end) = ((true, BLOCK_BYTES), (false, BLOCK_BYTES), (false, 10));
        let len = 3 * BLOCK_BYTES + 10;
        assert_eq!(check(len, true, Some(0)), [past, through, through, through, end]);
        assert_eq!(check(len, true, Some(2)), [past, past, past, through, end]);
        assert_eq!(check(len, false, None), [through, through, through, end]);
    }
}
