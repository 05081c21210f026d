//! Memory that is a file: the published part of a segment as bytes, shared words as atomics. Holds every `unsafe` of the crate, opens no file.
//!
//! # Invariants
//!
//! Every `unsafe` block below names those it rests on. This file upholds:
//!
//! - **M1 alive**: the mapping is made by `memmap2`, starts at a page, covers `len` bytes (never more than `isize::MAX`) and is unmapped only
//!   when its last owner drops; every reference handed out borrows an owner. Shown by `a_record_outlives_everything`, and for words by
//!   `words_are_shared_and_can_be_for_loading_alone`.
//! - **M2 watermark**: `published.end` never decreases and is at most `len`. A slice to read lies below it, a slice to store lies at or
//!   above it, so the two never overlap. Shown by `the_watermark_parts_readers_from_the_writer` and `an_exposed_end_never_goes_back`.
//! - **M3 one storer**: a mapping that is stored to has exactly one [`SegmentStore`], which is not `Clone` and hands out one slot at a time
//!   (`&mut self`), of the mapping or of the window that it has now. While it lives nobody else moves the watermark. Shown by
//!   `the_watermark_parts_readers_from_the_writer` and, under loom, `a_store_that_is_dropped_hands_its_watermark_on`.
//! - **M4 order**: the watermark is raised by a Release store (or read-modify-write) after the bytes below it are in place, and read by an
//!   Acquire load before they are looked at. Shown by `what_is_published_was_stored_before`, under Miri and loom: `.ci/miri`, `.ci/loom`.
//! - **M5 rights**: a slot or a word to store to comes only from a mapping made with the right to write. Shown by
//!   `words_are_shared_and_can_be_for_loading_alone`.
//! - **M6 kept**: pages are released only of a shared mapping of a file, whose bytes are found again in the page cache. Shown by
//!   `released_pages_hold_what_was_stored` and `memory_alone_is_not_released`. The kernel may give up a page that it could not write back: after
//!   that the file is what its medium has, whether the page was released or reclaimed.
//!
//! What the compiler and this file cannot see, the engine owes:
//!
//! - **E1**: no byte below a published end is changed by other means: [`write_at`](super::File::write_at), another mapping of the file,
//!   another process. The engine writes to a published position only what stands there: while it opens a log, and before the first sync behind that. It
//!   holds the lock of its directory until such a sync is over. Shown by `records_that_are_held_stay_as_they_are` and `a_store_has_one_writer`.
//! - **E2**: words of a [`SharedWords`] are changed as words, never by writing to the file. Shown by `marks_of_two_states_are_never_read_together`.
//! - **E3**: a window that a store is given is of the file that it stores to. Shown by `a_window_shows_what_the_mapping_does`.
//!
//! # Not memory safety, yet the caller's duty
//!
//! Looking at, or storing to, a page that the file does not reach, or that the disk has no room for, ends the process with SIGBUS.
//! So: allocate before [`SegmentStore::set_allocated`] says so, never expose an end the file does not reach, never shrink a file below an
//! exposed end. A process that cuts our files can end us this way; it cannot make us read another's memory.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use memmap2::{Advice, MmapMut, MmapOptions, MmapRaw, UncheckedAdvice};
use parking_lot::Mutex;
use rustix::param::page_size;

use super::atomic::{AtomicBool, AtomicU64};
use super::futex::{self, Wait};

/// How far a segment may be read, in one word, so that position, offset and seal change together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Published {
    /// The position behind the last published frame: a multiple of 8.
    pub end: u32,
    /// The next offset, counted from the base offset of the segment.
    pub next: u32,
    /// Nothing more will be published here.
    pub sealed: bool,
    /// The segment no longer belongs to the log: resolve the offset again.
    pub retired: bool,
}

impl Published {
    /// Bit 0 is `sealed`, bit 1 `retired`, bits 2-30 `end / 8`, bit 31 free, bits 32-63 `next`.
    ///
    /// # Panics
    ///
    /// If `end` is not a multiple of 8.
    #[inline(always)]
    #[must_use]
    pub fn pack(self) -> u64 {
        assert!(self.end.is_multiple_of(8), "a frame ends at a multiple of 8");
        u64::from(self.next) << 32 | u64::from(self.end) >> 1 | u64::from(self.retired) << 1 | u64::from(self.sealed)
    }

    /// The inverse of [`pack`](Self::pack).
    #[inline]
    #[must_use]
    pub fn unpack(word: u64) -> Self {
        Self { end: (word as u32 & 0x7fff_fffc) << 1, next: (word >> 32) as u32, sealed: word & 1 != 0, retired: word & 2 != 0 }
    }

    /// What both know: neither end nor mark goes back.
    fn joined(self, other: Self) -> Self {
        Self {
            end: self.end.max(other.end),
            next: self.next.max(other.next),
            sealed: self.sealed | other.sealed,
            retired: self.retired | other.retired,
        }
    }
}

/// The readers' half of a mapped segment: shows what is published and nothing else. A clone is the same mapping.
#[derive(Debug, Clone)]
pub struct SegmentMap(Arc<Mapping>);

impl SegmentMap {
    /// Zeroed memory that belongs to no file, for a disk that is simulated.
    ///
    /// # Errors
    ///
    /// When the kernel has no room for a mapping of `len` bytes.
    pub fn anonymous(len: usize) -> io::Result<(Self, SegmentStore)> {
        let raw = MmapRaw::from(MmapMut::map_anon(len)?);
        Ok(Self::with_store(raw, false))
    }

    /// Maps the first `len` bytes of a file for reading.
    pub(super) fn read_only(file: &File, len: usize) -> io::Result<Self> {
        let raw = MmapOptions::new().len(len).map_raw_read_only(file)?;
        Ok(Self(Arc::new(Mapping::new(raw, false, true))))
    }

    /// Maps the first `len` bytes of a file that is open for writing.
    pub(super) fn read_write(file: &File, len: usize) -> io::Result<(Self, SegmentStore)> {
        let raw = MmapOptions::new().len(len).map_raw(file)?;
        Ok(Self::with_store(raw, true))
    }

    fn with_store(raw: MmapRaw, is_file: bool) -> (Self, SegmentStore) {
        let map = Self(Arc::new(Mapping::new(raw, true, is_file)));
        (map.clone(), SegmentStore { origin: map.0.raw.as_mut_ptr(), reach: 0, allocated: 0, last: Published::default(), map, window: None })
    }

    /// Bytes mapped; only those below the published end can be looked at.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.raw.len()
    }

    /// Whether nothing is mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How far it may be read now.
    #[inline]
    #[must_use]
    pub fn published(&self) -> Published {
        Published::unpack(self.0.published.load(Ordering::Acquire))
    }

    /// The bytes `from..to`, which will never change.
    ///
    /// # Panics
    ///
    /// If they are not all below the published end.
    #[inline]
    #[must_use]
    pub fn bytes(&self, from: usize, to: usize) -> &[u8] {
        let end = self.published().end as usize;
        if from > to || to > end {
            not_published(from, to, end);
        }
        // SAFETY: M1 (`from..to` lies in the mapping, which `self` keeps alive), M2 and M3 (below the published end, so no slot covers it),
        // M4 (the Acquire load above saw the store that published it) and E1: initialized and immutable for the life of the slice.
        unsafe { slice::from_raw_parts(self.0.raw.as_ptr().add(from), to - from) }
    }

    /// Asks for the memory of `from..to` to be brought near, so that it is under way while something else is done. Looks at nothing: any
    /// range will do.
    #[inline]
    pub fn prefetch(&self, from: usize, to: usize) {
        prefetch_at(self.0.raw.as_ptr().wrapping_add(from), to.saturating_sub(from));
    }

    /// Raises what may be read, in a segment that this mapping does not store to: a sealed one, or one that another process appends to.
    /// What is exposed already stays so, therefore readers that race with different news need no order.
    ///
    /// # Panics
    ///
    /// If the end lies behind the mapping, or while the [`SegmentStore`] of this mapping lives: it publishes then.
    pub fn expose(&self, published: Published) {
        assert!(published.end as usize <= self.len(), "end {} exposed of a mapping of {} bytes", published.end, self.len());
        self.raise(published);
    }

    /// Says that the segment no longer belongs to the log. What is published stays readable.
    ///
    /// # Panics
    ///
    /// While the [`SegmentStore`] of this mapping lives: it publishes `retired` then, or is dropped first.
    pub fn mark_retired(&self) {
        self.raise(Published { retired: true, ..Published::default() });
    }

    fn raise(&self, by: Published) {
        // The store half keeps its own copy of the watermark and would write over ours.
        assert!(!self.0.has_store.load(Ordering::Acquire), "the watermark belongs to the half that stores, as long as it lives");
        let raised = |word| Some(Published::unpack(word).joined(by).pack());
        // Cannot fail: the closure always has a value.
        let _ = self.0.published.fetch_update(Ordering::AcqRel, Ordering::Acquire, raised);
    }

    /// Makes the pages of `from..from + len` present and writable, contents unchanged, so that stores do not fault.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a range outside the mapping, `Unsupported` for a mapping without the right to store, else what the kernel says: a
    /// page that the file does not reach (EFAULT), no memory, a kernel older than 5.14 (EINVAL).
    pub fn populate(&self, from: usize, len: usize) -> io::Result<()> {
        if !self.0.writable {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "populating a mapping that is for reading alone"));
        }
        let window = self.0.window.lock().clone();
        match window.filter(|window| window.from <= from && from.saturating_add(len) <= window.range().end) {
            Some(window) => window.raw.populate(from - window.from, len),
            None => self.0.raw.populate(from, len),
        }
    }

    /// Takes the pages of `from..to`, but for a last one that is not whole, out of this process's page tables; who looks at them next finds them in the page cache again. To write
    /// back a page that can be stored to, the kernel first takes that right from it, and tells every processor, page by page.
    ///
    /// Does nothing to memory that belongs to no file: it would be lost.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a range outside the mapping, else what the kernel says; nothing depends on it.
    pub fn release(&self, from: usize, to: usize) -> io::Result<()> {
        if !self.0.is_file {
            return Ok(());
        }
        self.0.raw.release(from, to)?;
        let Some(window) = self.0.window.lock().clone() else { return Ok(()) };
        let (from, to) = (from.max(window.from), to.min(window.range().end));
        if from < to { window.raw.release(from - window.from, to - window.from) } else { Ok(()) }
    }

    /// Tells the kernel that reads jump about: no read-ahead.
    ///
    /// # Errors
    ///
    /// What the kernel says; nothing depends on it.
    pub fn advise_random(&self) -> io::Result<()> {
        self.0.raw.advise(Advice::Random)
    }

    /// Takes [`advise_random`](Self::advise_random) back.
    ///
    /// # Errors
    ///
    /// What the kernel says; nothing depends on it.
    pub fn advise_normal(&self) -> io::Result<()> {
        self.0.raw.advise(Advice::Normal)
    }

    /// Where it is mapped: a slice inside it was not copied.
    #[must_use]
    pub fn address_range(&self) -> Range<usize> {
        let start = self.0.raw.as_ptr().addr();
        start..start + self.len()
    }
}

/// The one half of a mapped segment that stores and publishes.
#[derive(Debug)]
pub struct SegmentStore {
    /// Where position 0 is mapped, or would be if the window began there.
    origin: *mut u8,
    /// Up to which position it may store now: what is allocated, as far as the window goes.
    reach: usize,
    /// A copy of what the mapping holds: readers that poll the watermark take its cache line away, and an append must not wait for it.
    last: Published,
    allocated: usize,
    map: SegmentMap,
    window: Option<SegmentWindow>,
}

/// A part of a file, mapped once more, to store through. A processor finds a page by tables, and those of a small mapping stay near where those of many
/// large ones come from memory. Shows nothing; a clone is the same mapping.
#[derive(Debug, Clone)]
pub struct SegmentWindow {
    raw: Arc<RawMap>,
    /// Position in the file of its first byte.
    from: usize,
}

impl SegmentWindow {
    /// Maps `len` bytes of a file that is open for writing, from `from` on, which is a multiple of the page size.
    pub(super) fn of_file(file: &File, from: usize, len: usize) -> io::Result<Self> {
        if !from.is_multiple_of(page_size()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("a window at {from}, pages have {} bytes", page_size())));
        }
        let raw = MmapOptions::new().offset(from as u64).len(len).map_raw(file)?;
        Ok(Self { raw: Arc::new(RawMap::new(raw)), from })
    }

    /// The positions that it covers.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.from..self.from + self.raw.len()
    }
}

impl SegmentStore {
    /// Memory to store `len` bytes at position `at`. Nobody sees them before [`publish`](Self::publish).
    ///
    /// # Panics
    ///
    /// If a byte of it is published or not allocated, or lies behind the window.
    #[inline]
    #[must_use]
    pub fn slot(&mut self, at: usize, len: usize) -> &mut [u8] {
        if at < self.last.end as usize || at > self.reach || len > self.reach - at {
            self.no_slot(at, len);
        }
        // SAFETY: M1 (`at + len <= reach`, which lies in the mapping that `origin` is of, and `self.map` or `self.window` keeps alive; a window begins at
        // or below the published end, and that at or below `at`), M5 (a store half exists, a window is mapped with the right), M2 (at or above the
        // published end, so no reader's slice covers it, in this mapping or, by E3, the other) and M3 (`&mut self`: no other slot lives, and nothing is
        // published meanwhile).
        unsafe { slice::from_raw_parts_mut(self.origin.wrapping_add(at), len) }
    }

    /// As [`SegmentMap::prefetch`], of the `len` bytes at `at`.
    #[inline(always)]
    pub fn prefetch(&self, at: usize, len: usize) {
        prefetch_at(self.origin.wrapping_add(at), len);
    }

    /// Lets readers see what lies below the new end: one Release store.
    ///
    /// # Panics
    ///
    /// If an end or a mark goes back, if the end lies behind what is allocated or is no multiple of 8, or if a sealed segment grows.
    #[inline(always)]
    pub fn publish(&mut self, published: Published) {
        let last = self.last;
        let grows = published.end >= last.end && published.next >= last.next && published.end as usize <= self.allocated;
        let marks = published.sealed >= last.sealed && published.retired >= last.retired && (!last.sealed || published.end == last.end);
        if !(grows && marks) {
            self.no_publish(published);
        }
        // Packed first: it may refuse, and then nothing has changed.
        let word = published.pack();
        // Field by field: moved as a whole right after its flags were stored, it would hold up every append.
        (self.last.end, self.last.next) = (published.end, published.next);
        (self.last.sealed, self.last.retired) = (published.sealed, published.retired);
        self.map.0.published.store(word, Ordering::Release);
    }

    /// What this half published last.
    #[inline]
    #[must_use]
    pub fn published(&self) -> Published {
        self.last
    }

    /// Says up to which position the file has blocks: the caller made sure, or a store there ends the process.
    ///
    /// # Panics
    ///
    /// If that is behind the mapping or before the published end.
    pub fn set_allocated(&mut self, allocated: usize) {
        assert!(
            allocated >= self.last.end as usize && allocated <= self.map.len(),
            "allocated {allocated} outside of {}..={}",
            self.last.end,
            self.map.len()
        );
        self.allocated = allocated;
        self.set_reach();
    }

    /// Stores through a window from here on, or through the mapping again. The caller sees to it that the window is of the same file. What is made present
    /// or released of the mapping is of the window, too, as far as it goes.
    ///
    /// # Panics
    ///
    /// If the window begins behind the published end.
    pub fn set_window(&mut self, window: Option<SegmentWindow>) {
        self.origin = match &window {
            Some(window) => {
                let end = self.last.end as usize;
                assert!(window.from <= end, "a window that begins at {}, published is up to {end}", window.from);
                window.raw.as_mut_ptr().wrapping_sub(window.from)
            }
            None => self.map.0.raw.as_mut_ptr(),
        };
        self.map.0.window.lock().clone_from(&window);
        self.window = window;
        self.set_reach();
    }

    fn set_reach(&mut self) {
        self.reach = self.window.as_ref().map_or(self.allocated, |window| self.allocated.min(window.range().end));
    }

    /// Whether it stores through a window.
    #[must_use]
    pub fn has_window(&self) -> bool {
        self.window.is_some()
    }

    /// Up to which position bytes can be stored now: what is allocated, as far as the window goes.
    #[inline]
    #[must_use]
    pub fn reach(&self) -> usize {
        self.reach
    }

    /// Up to which position the file has blocks. 0 in a new mapping.
    #[inline]
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.allocated
    }

    /// The readers' half.
    #[inline]
    #[must_use]
    pub fn map(&self) -> &SegmentMap {
        &self.map
    }

    #[cold]
    #[inline(never)]
    fn no_slot(&self, at: usize, len: usize) -> ! {
        panic!("a slot of {len} bytes at {at} is not between the published end {} and {} bytes to store to", self.last.end, self.reach)
    }

    #[cold]
    #[inline(never)]
    fn no_publish(&self, published: Published) -> ! {
        panic!("{published:?} cannot follow {:?} with {} bytes allocated", self.last, self.allocated)
    }
}

impl Drop for SegmentStore {
    fn drop(&mut self) {
        *self.map.0.window.lock() = None;
        // After the last slot: from here on `expose` may raise the watermark.
        self.map.0.has_store.store(false, Ordering::Release);
    }
}

// SAFETY: `origin` is of a mapping that `map` or `window` owns (M1), which no thread is tied to; the only access through it needs `&mut self` (M3).
unsafe impl Send for SegmentStore {}
// SAFETY: `&SegmentStore` gives no access to the memory behind `origin`.
unsafe impl Sync for SegmentStore {}

/// Shared words in a mapped file, or in memory alone. A clone is the same mapping.
#[derive(Debug, Clone)]
pub struct SharedWords {
    raw: Arc<MmapRaw>,
    writable: bool,
}

impl SharedWords {
    /// Zeroed words that belong to no file, for a disk that is simulated.
    ///
    /// # Errors
    ///
    /// When the kernel has no room for a mapping of `len` bytes.
    pub fn anonymous(len: usize) -> io::Result<Self> {
        Ok(Self { raw: Arc::new(MmapRaw::from(MmapMut::map_anon(len)?)), writable: true })
    }

    /// Maps the first `len` bytes of a file, which must have been opened for writing if `writable`.
    pub(super) fn of_file(file: &File, len: usize, writable: bool) -> io::Result<Self> {
        let mut options = MmapOptions::new();
        let raw = if writable { options.len(len).map_raw(file)? } else { options.len(len).map_raw_read_only(file)? };
        Ok(Self { raw: Arc::new(raw), writable })
    }

    /// The same words, for loading alone.
    #[must_use]
    pub fn read_only(&self) -> Self {
        Self { raw: Arc::clone(&self.raw), writable: false }
    }

    /// Bytes mapped.
    #[must_use]
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether nothing is mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether words can be stored.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// The word at a byte position.
    ///
    /// # Panics
    ///
    /// If it is misaligned or out of bounds, or if the words are for loading alone.
    #[inline]
    #[must_use]
    pub fn u64_at(&self, position: usize) -> &std::sync::atomic::AtomicU64 {
        assert!(self.writable, "a word to store to, in a mapping that is for loading alone");
        self.word_u64(position)
    }

    /// The half word at a byte position.
    ///
    /// # Panics
    ///
    /// If it is misaligned or out of bounds, or if the words are for loading alone.
    #[inline]
    #[must_use]
    pub fn u32_at(&self, position: usize) -> &AtomicU32 {
        assert!(self.writable, "a word to store to, in a mapping that is for loading alone");
        self.word_u32(position)
    }

    /// Loads a word (Acquire).
    ///
    /// # Panics
    ///
    /// If it is misaligned or out of bounds.
    #[inline]
    #[must_use]
    pub fn load_u64(&self, position: usize) -> u64 {
        self.word_u64(position).load(Ordering::Acquire)
    }

    /// Loads a half word (Acquire).
    ///
    /// # Panics
    ///
    /// If it is misaligned or out of bounds.
    #[inline]
    #[must_use]
    pub fn load_u32(&self, position: usize) -> u32 {
        self.word_u32(position).load(Ordering::Acquire)
    }

    /// Stores a word (Release).
    ///
    /// # Panics
    ///
    /// As [`u64_at`](Self::u64_at).
    #[inline]
    pub fn store_u64(&self, position: usize, value: u64) {
        self.u64_at(position).store(value, Ordering::Release);
    }

    /// Stores a half word (Release).
    ///
    /// # Panics
    ///
    /// As [`u32_at`](Self::u32_at).
    #[inline]
    pub fn store_u32(&self, position: usize, value: u32) {
        self.u32_at(position).store(value, Ordering::Release);
    }

    /// Sleeps while the half word at `position` holds `expected`, at most for `timeout`. Works on words that are for loading alone, which
    /// is why no reference to the word is handed out for it.
    ///
    /// # Panics
    ///
    /// If it is misaligned or out of bounds.
    pub(crate) fn wait_u32(&self, position: usize, expected: u32, timeout: Option<Duration>) -> Wait {
        futex::wait(self.word_u32(position), expected, timeout, true)
    }

    /// Wakes every sleeper of the half word at `position`, in every process.
    ///
    /// # Panics
    ///
    /// If it is misaligned or out of bounds.
    pub(crate) fn wake_u32(&self, position: usize) {
        futex::wake_all(self.word_u32(position), true);
    }

    #[inline]
    fn word_u64(&self, position: usize) -> &std::sync::atomic::AtomicU64 {
        self.check(position, size_of::<u64>());
        // SAFETY: M1 (eight bytes in the mapping that `self` keeps alive, aligned because it starts at a page) and E2 (every access to them is
        // atomic). It leaves this file only if the mapping is writable (M5); else it is loaded, with orders and sizes that take no write.
        unsafe { std::sync::atomic::AtomicU64::from_ptr(self.raw.as_mut_ptr().add(position).cast()) }
    }

    #[inline]
    fn word_u32(&self, position: usize) -> &AtomicU32 {
        self.check(position, size_of::<u32>());
        // SAFETY: as in `word_u64`, with four bytes.
        unsafe { AtomicU32::from_ptr(self.raw.as_mut_ptr().add(position).cast()) }
    }

    #[inline]
    fn check(&self, position: usize, size: usize) {
        let len = self.raw.len();
        assert!(position.is_multiple_of(size) && position < len && len - position >= size, "no word of {size} bytes at {position} of {len}");
    }
}

#[derive(Debug)]
struct Mapping {
    raw: RawMap,
    published: AtomicU64,
    writable: bool,
    /// Else it is memory alone.
    is_file: bool,
    has_store: AtomicBool,
    /// What its store goes through, if that is not this mapping.
    window: Mutex<Option<SegmentWindow>>,
}

/// Maps of segments in this process, and windows.
static SEGMENT_MAPS: AtomicUsize = AtomicUsize::new(0);

/// How many maps of segments this process has, windows and those that a record which is held keeps mapped among them.
pub(crate) fn segment_maps() -> usize {
    SEGMENT_MAPS.load(Ordering::Relaxed)
}

/// A mapping of the kernel's, counted.
#[derive(Debug)]
struct RawMap(MmapRaw);

impl RawMap {
    fn new(raw: MmapRaw) -> Self {
        SEGMENT_MAPS.fetch_add(1, Ordering::Relaxed);
        Self(raw)
    }

    fn populate(&self, from: usize, len: usize) -> io::Result<()> {
        if from.checked_add(len).is_none_or(|to| to > self.len()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("populating {len} bytes at {from} of {}", self.len())));
        }
        loop {
            match self.advise_range(Advice::PopulateWrite, from, len) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Of a file.
    fn release(&self, from: usize, to: usize) -> io::Result<()> {
        if from > to || to > self.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("bytes {from}..{to} released of {}", self.len())));
        }
        let (from, to) = (from / page_size() * page_size(), to / page_size() * page_size());
        if from >= to {
            return Ok(());
        }
        // SAFETY: M1 (the range lies in the mapping) and M6: whoever holds a slice or a slot of it finds the same bytes there.
        unsafe { self.unchecked_advise_range(UncheckedAdvice::DontNeed, from, to - from) }
    }
}

impl Deref for RawMap {
    type Target = MmapRaw;

    fn deref(&self) -> &MmapRaw {
        &self.0
    }
}

impl Mapping {
    fn new(raw: MmapRaw, is_stored_to: bool, is_file: bool) -> Self {
        Self {
            raw: RawMap::new(raw),
            published: AtomicU64::new(0),
            writable: is_stored_to,
            is_file,
            has_store: AtomicBool::new(is_stored_to),
            window: Mutex::new(None),
        }
    }
}

impl Drop for RawMap {
    fn drop(&mut self) {
        SEGMENT_MAPS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cold]
#[inline(never)]
fn not_published(from: usize, to: usize, end: usize) -> ! {
    panic!("bytes {from}..{to} asked for, published up to {end}")
}

/// Asks for the first `bytes` of a value to be brought near, so that they are under way while something else is done.
#[inline(always)]
pub(crate) fn prefetch<T>(value: &T, bytes: usize) {
    prefetch_at(std::ptr::from_ref(value).cast(), bytes);
}

#[inline(always)]
fn prefetch_at(start: *const u8, bytes: usize) {
    for at in (0..bytes).step_by(CACHE_LINE_BYTES) {
        let near = start.wrapping_add(at);
        // SAFETY: rests on none of the invariants: a hint, which reads nothing that the program sees and never faults, whatever the address.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(near.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = near; // the hint has no stable name there
    }
}

const CACHE_LINE_BYTES: usize = 64;

#[cfg(all(test, not(tidelog_loom)))]
mod tests;

#[cfg(all(test, tidelog_loom))]
mod loom_tests;
