//! A stretch of a file in memory, moved along as it is looked at. Never holds more than what is asked for and a little ahead.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of a file, by position.
pub(super) struct Window {
    file: File,
    /// Position that the first byte of the file has: others than 0 where it is a part of another file.
    base: u64,
    /// Nothing at or behind this position is looked at.
    end: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(super) fn new(file: File, base: u64, end: u64) -> Self {
        Self { file, base, end, start: base, bytes: Vec::new() }
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Looks at nothing at or behind `end` from now on.
    pub(super) fn limit(&mut self, end: u64) {
        self.end = self.end.min(end);
        self.bytes.clear();
    }

    /// The bytes from `position` on: at least `min`, unless the end comes first.
    pub(super) fn from(&mut self, position: u64, min: usize) -> io::Result<&[u8]> {
        let left = self.end.saturating_sub(position);
        let min = left.min(min as u64) as usize;
        if self.held(position).len() < min {
            self.fill(position, left.min(min.max(WINDOW_BYTES) as u64) as usize)?;
        }
        Ok(self.held(position))
    }

    fn held(&self, position: u64) -> &[u8] {
        position.checked_sub(self.start).and_then(|at| self.bytes.get(usize::try_from(at).ok()?..)).unwrap_or_default()
    }

    fn fill(&mut self, position: u64, want: usize) -> io::Result<()> {
        self.bytes.resize(want, 0);
        let mut filled = 0;
        while filled < want {
            match self.file.read_at(&mut self.bytes[filled..], position - self.base + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.base == 0 {
            self.bytes.truncate(filled);
        } // else zeros at the end were left out when it was cut off
        self.start = position;
        Ok(())
    }

    /// The first position from `position` on that holds another byte than zero.
    pub(super) fn first_nonzero(&mut self, position: u64) -> io::Result<Option<u64>> {
        let mut at = position;
        loop {
            let bytes = self.from(at, 1)?;
            match bytes.iter().position(|&byte| byte != 0) {
                Some(found) => return Ok(Some(at + found as u64)),
                None if bytes.is_empty() => return Ok(None),
                None => at += bytes.len() as u64,
            }
        }
    }
}

const WINDOW_BYTES: usize = 1 << 20;
