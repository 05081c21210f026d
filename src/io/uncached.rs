//! Writes a new file from its begin to its end past the page cache: what is large and written once drives out nothing that readers need, and is
//! not copied by the kernel. Syncs nothing.

use std::io::{self, Write};
use std::sync::Arc;

use super::{File, write_all_at};

/// A file being written. What is left of the last block is written by [`finish`](Self::finish), through the cache, and so is all of it where
/// there is no way past it.
#[derive(Debug)]
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
    use super::*;
    use crate::io::fault::{Fault, Faulty, Op};
    use crate::io::{Access, Disk, Storage, read_full_at};

    /// Writes in pieces of all sizes, and reads it back; returns the position and length of each write.
    fn check(len: usize, faulty: &Faulty) -> Vec<(u64, u64)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        faulty.record_calls();
        let mut writer = UncachedWriter::new(faulty.create(&path).unwrap());
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
        faulty.recorded_calls().iter().filter(|call| call.op == Op::Write).map(|call| (call.position, call.bytes)).collect()
    }

    #[test]
    fn all_but_the_end_is_written_in_aligned_blocks() {
        let faulty = Faulty::new(Arc::new(Disk::new()));
        for len in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 4097] {
            let writes = check(len, &faulty);
            let block = BLOCK_BYTES as u64;
            assert_eq!(writes.len(), len.div_ceil(BLOCK_BYTES), "{len}");
            assert!(writes.iter().rev().skip(1).all(|&(position, bytes)| position.is_multiple_of(block) && bytes == block), "{writes:?}");
        }
    }

    #[test]
    fn a_block_that_no_way_past_the_cache_takes_goes_through_it() {
        const EINVAL: i32 = 22;
        for number in 1..=3 {
            let faulty = Faulty::new(Arc::new(Disk::new()));
            // A second refusal would be one of the file, and not of the way.
            faulty.inject(Fault::at(Op::Write).nth(number).error(EINVAL));
            check(3 * BLOCK_BYTES + 10, &faulty);
            assert_eq!(faulty.fired(), 1);
        }
    }
}
