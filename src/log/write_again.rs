//! Writes again what a sync that failed before this process may have left clean in memory, and not on disk. Syncs nothing.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tidelog_format::{SEGMENT_HEADER_BYTES, SegmentHeader};

use crate::error::{IoContext, IoError};
use crate::io::{File, read_full_at, write_all_at};
use crate::log::segment::Segment;
use crate::log::walk::are_whole;

/// A part of a segment that an open verified and left to be written again.
#[derive(Debug, Clone)]
pub(crate) struct WriteAgain {
    pub(crate) segment: Arc<Segment>,
    /// 0, or where a frame begins.
    pub(crate) from: u64,
    /// Where the last frame or the seal ends.
    pub(crate) end: u64,
}

impl WriteAgain {
    /// Its bytes.
    pub(crate) fn len(&self) -> u64 {
        self.end.saturating_sub(self.from)
    }

    /// Writes it again with its own bytes, so that the next sync meets it, and verifies it once more: pages that were clean meanwhile the kernel
    /// may have let go, and read anew from a disk that never got them.
    ///
    /// # Errors
    /// [`IoError`], also if it is not what the open verified.
    pub(crate) fn run(&self) -> Result<(), IoError> {
        let (file, path, header) = (self.segment.writable()?, self.segment.path(), self.segment.header);
        write_again(&*file, &path, self.from, self.end)?;
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let is_named = self.from > 0 || {
            read_full_at(&*file, &mut bytes, 0).at("read", &path)?;
            SegmentHeader::decode(&bytes).is_ok_and(|found| found == header)
        };
        if is_named && are_whole(&*file, &path, header.salt, self.from.max(SEGMENT_HEADER_BYTES as u64), self.end)? {
            return Ok(());
        }
        Err(IoError::new("sync", &path, io::Error::new(io::ErrorKind::InvalidData, "records that were there at the open have changed since")))
    }
}

/// Writes a part of a file again with its own bytes.
pub(crate) fn write_again(file: &dyn File, path: &Path, from: u64, end: u64) -> Result<(), IoError> {
    let mut bytes = vec![0; PIECE_BYTES.min(end.saturating_sub(from) as usize)];
    let mut at = from;
    while at < end {
        let want = (end - at).min(bytes.len() as u64) as usize;
        let read = read_full_at(file, &mut bytes[..want], at).at("read", path)?;
        if read == 0 {
            break;
        }
        write_all_at(file, &bytes[..read], at).at("write", path)?;
        at += read as u64;
    }
    Ok(())
}

const PIECE_BYTES: usize = 1 << 20;
