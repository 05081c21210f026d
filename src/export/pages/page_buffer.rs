//! The bytes of a page, with room in front for what is known only when it is complete. Knows no encoding.

/// A page that grows at its end, and, once, at its front.
#[derive(Debug)]
pub(in crate::export) struct PageBuffer {
    bytes: Vec<u8>,
    /// Where it begins.
    start: usize,
}

impl PageBuffer {
    /// An empty page in a vector that is used again.
    pub(in crate::export) fn reusing(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        bytes.resize(ROOM_BYTES, 0);
        Self { bytes, start: ROOM_BYTES }
    }

    pub(in crate::export) fn new() -> Self {
        Self::reusing(Vec::new())
    }

    /// Its end.
    #[inline]
    pub(in crate::export) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Puts bytes before all others. Where there is no room left, the others move.
    pub(super) fn prepend(&mut self, bytes: &[u8]) {
        if let Some(start) = self.start.checked_sub(bytes.len()) {
            self.bytes[start..self.start].copy_from_slice(bytes);
            self.start = start;
        } else {
            self.bytes.splice(..self.start, bytes.iter().copied());
            self.start = 0;
        }
    }

    pub(in crate::export) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(in crate::export) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// The vector, to be used again.
    pub(in crate::export) fn into_vec(self) -> Vec<u8> {
        self.bytes
    }
}

/// A header, and the levels of 4,096 rows of which every second one is null.
const ROOM_BYTES: usize = 1024;
