//! Makes pages present ahead of an appender, by writing zeros in pieces: a fresh page costs a store several times what it costs a
//! write of more. Never writes below what is filled, and nothing is stored above it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::io::{File, SegmentMap, write_all_at};

/// The pages of one segment file ahead of its appender.
///
/// Whoever stores a frame first raises `filled` to its end, and zeros are only written from `filled` on: both under the one lock. So a
/// filler in another thread never meets a frame.
#[derive(Debug)]
pub(crate) struct Ahead {
    file: Arc<dyn File>,
    map: Option<SegmentMap>,
    filled: AtomicU64,
    /// Whether the file belongs to nobody who appends any more.
    is_stopped: Mutex<bool>,
}

impl Ahead {
    /// Of a file that holds nothing but zeros from `filled` on.
    pub(crate) fn new(file: Arc<dyn File>, map: Option<SegmentMap>, filled: u64) -> Self {
        Self { file, map, filled: AtomicU64::new(filled), is_stopped: Mutex::new(false) }
    }

    /// Up to where frames may be stored.
    #[inline]
    pub(crate) fn filled(&self) -> u64 {
        self.filled.load(Ordering::Acquire)
    }

    /// Takes the bytes up to `end` for frames, without making them present.
    pub(crate) fn take(&self, end: u64) {
        let _writing = self.is_stopped.lock();
        self.filled.fetch_max(end, Ordering::AcqRel);
    }

    /// Takes the bytes up to `end` for frames, and makes them present, up to a multiple of `piece_bytes`, but not from `limit` on, up to which the
    /// file has blocks.
    pub(crate) fn take_present(&self, end: u64, piece_bytes: u64, limit: u64) {
        let _writing = self.is_stopped.lock();
        let to = end.next_multiple_of(piece_bytes).min(limit);
        while self.filled() < end {
            if !self.fill_piece(to) {
                self.filled.fetch_max(end, Ordering::AcqRel);
            }
        }
    }

    /// Makes the bytes up to `to` present, piece by piece, so that an appender in need never waits for more than one.
    pub(crate) fn fill_to(&self, to: u64) {
        loop {
            let is_stopped = self.is_stopped.lock();
            if *is_stopped || self.filled() >= to || !self.fill_piece(to) {
                return;
            }
        }
    }

    /// Nothing is written any more once this returns.
    pub(crate) fn stop(&self) {
        *self.is_stopped.lock() = true;
    }

    /// Whether there was something below `limit`, and it could be written. Called under the lock.
    fn fill_piece(&self, limit: u64) -> bool {
        let from = self.filled();
        let to = ((from / PIECE_BYTES + 1) * PIECE_BYTES).min(limit);
        if to <= from || write_all_at(&*self.file, &ZEROS[..(to - from) as usize], from).is_err() {
            return false; // what is wrong shows at the append itself
        }
        if let Some(map) = &self.map {
            let page = from / PAGE_BYTES * PAGE_BYTES;
            let _ = map.populate(page as usize, (to - page) as usize); // a page that is not there costs its first store a little more
        }
        self.filled.store(to, Ordering::Release);
        true
    }
}

/// Small enough to wait for: a fifth of a millisecond. Where file systems have large folios (ext4 from Linux 6.16 on, XFS), one write makes as few as fit: by 256 KiB at once
/// a page costs an eighth more to make present, and twice as much to whoever maps it for reading (measured).
pub(crate) const PIECE_BYTES: u64 = 1 << 20;
const PAGE_BYTES: u64 = 4096;
/// Never stored to, so its memory is the kernel's one page of zeros.
static ZEROS: [u8; PIECE_BYTES as usize] = [0; PIECE_BYTES as usize];
