//! Assigns offsets and stores frames: everything that happens under a partition's append lock. Never syncs, never waits for a reader.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidelog_format::{
    BLOCKS_BYTES_MAX, FRAME_ALIGN, FRAME_HEADER_BYTES, FrameHeader, IndexEntry, LeaderEpoch, NO_CLAIM, OFFSET_MAX, Offset, Position, SEAL_BYTES,
    SEGMENT_BYTES_MAX, SEGMENT_HEADER_BYTES, SMALL_FRAME_BYTES_MAX, Seal, SegmentHeader, SegmentId, TimestampNs,
};

use crate::clock::{coarse_now, coarse_uptime_ns, now};
use crate::error::{IoContext, IoError};
use crate::io::{File, Published, SegmentMap, SegmentStore, Storage, allocate_or_zero, write_all_at, write_all_vectored_at, write_zeros};
use crate::log::ahead::{Ahead, PIECE_BYTES};
use crate::log::maps;
use crate::log::offset_index::GrowingIndex;
use crate::log::record_batch::{Encoded, FrameParts};
use crate::log::segment::{Segment, Sums};
use crate::log::stage::{Outcome, Run};

/// The end of the log, held by whoever appends. What each append needs stands first, in few cache lines: with many partitions they come from memory.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Appender {
    constants: SegmentConstants,
    pub(crate) position: u64,
    pub(crate) next_offset: u64,
    pub(crate) chain: u32,
    pub(crate) epoch: LeaderEpoch,
    allocated: u64,
    /// What is known of how far it is filled, as far as the window goes.
    filled: u64,
    /// Where it is time to look whether pages are to be filled ahead.
    fill_due: u64,
    index_due: u64,
    pub(crate) sums: Sums,
    store: Option<SegmentStore>,
    first_epoch: Option<LeaderEpoch>,
    pub(crate) closed: bool,
    /// Why nothing is appended any more, although the store is open.
    pub(crate) refusal: Option<Refusal>,
    pub(crate) active: Arc<Segment>,
    file: Arc<dyn File>,
    pub(crate) epoch_start: Offset,
    allocation_step: u64,
    /// Whether the file may have blocks behind what is allocated.
    has_blocks_behind: bool,
    index: Arc<GrowingIndex>,
    pub(crate) next_seq: u64,
    pub(crate) spare: Option<Spare>,
    ahead: Arc<Ahead>,
    /// Position and time when this process began to append to the active segment.
    begun: (u64, u64),
    /// How far ahead the next request to fill goes.
    fill_window: u64,
    /// Position and time of the last look that ended a step of time.
    fill_since: (u64, u64),
    zeros: ZerosAhead,
}

/// What an append needs of the active segment's header, which stands elsewhere.
#[derive(Debug, Clone, Copy)]
struct SegmentConstants {
    seq: u64,
    base_offset: u64,
    salt: u64,
    capacity: u64,
}

/// What ended appends for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The partition's range was split.
    Split,
    /// The topic was deleted.
    Deleted,
}

/// Zeros written before the frames that are synced one by one. The first sync of a block that is merely reserved makes the file system note
/// that it holds data now, which takes another write and as long as two syncs; of a block with zeros it does not.
#[derive(Debug)]
struct ZerosAhead {
    /// A frame that ends behind this makes the next step due.
    due: u64,
    /// How long it is.
    step: u64,
    /// Position and number of syncs at the last step.
    since: (u64, u64),
}

/// A segment file that has no name yet, made ahead of the roll.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) seq: u64,
    pub(crate) file: Arc<dyn File>,
    pub(crate) map: Option<SegmentMap>,
    store: Option<SegmentStore>,
    allocated: u64,
    has_blocks_behind: bool,
    filled: u64,
    capacity: u64,
}

/// What a new segment begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewSegment {
    pub(crate) base: Offset,
    pub(crate) prev_end: Offset,
    pub(crate) chain: u32,
    pub(crate) restarted: bool,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) epoch_start: Offset,
    pub(crate) log_start: Offset,
    /// Whether recovery makes it: what it cuts off is kept for people to look at.
    pub(crate) by_recovery: bool,
}

/// How an append is to be stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreHow<'log> {
    /// Whether stores into the map will do: for what is not synced at once.
    pub(crate) mapped: bool,
    pub(crate) index_interval: u32,
    /// Durable position in the active segment, if there is one.
    pub(crate) durable: Option<u64>,
    /// Syncs so far.
    pub(crate) syncs: &'log AtomicU64,
}

/// A segment that was left behind.
#[derive(Debug)]
pub(crate) struct Rolled {
    pub(crate) sealed: Arc<Segment>,
    /// Why half a seal stands behind its last frame, where it would be taken for damage.
    pub(crate) half_sealed: Option<IoError>,
}

/// What an append was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) base_offset: u64,
    pub(crate) next_offset: u64,
    pub(crate) append_ts: TimestampNs,
}

impl Spare {
    /// Makes a segment file under its temporary name, with blocks for `first_bytes`, mapped if possible.
    pub(crate) fn make(storage: &dyn Storage, dir: &Path, seq: u64, capacity: u64, first_bytes: u64) -> Result<Self, IoError> {
        let path = dir.join(SegmentId::spare_name(seq));
        let file = storage.create(&path).at("create", &path)?;
        let allocated = first_bytes.clamp((SEGMENT_HEADER_BYTES + SEAL_BYTES) as u64, capacity);
        if let Err(error) = allocate_or_zero(&*file, 0, allocated) {
            drop(file);
            let _ = storage.unlink(&path); // the open that comes next removes it
            return Err(IoError::new("allocate", &path, error));
        }
        let (map, mut store) = map_to_append(&*file, capacity);
        if let Some(store) = &mut store {
            store.set_allocated(allocated as usize);
        }
        Ok(Self { seq, file, map, store, allocated, has_blocks_behind: false, filled: SEGMENT_HEADER_BYTES as u64, capacity })
    }

    /// Reserves blocks for more than the file is long: to find them may take a disk that is busy as long as many appends.
    pub(crate) fn allocate_ahead(&mut self, bytes: u64) {
        if bytes > self.allocated {
            self.has_blocks_behind = true;
            if self.file.allocate_ahead(bytes.min(self.capacity)).is_err() {
                self.give_blocks_back(); // each step finds its own
            }
        }
    }

    pub(crate) fn give_blocks_back(&mut self) -> bool {
        give_back(&mut self.has_blocks_behind, &*self.file, self.allocated, self.capacity)
    }

    /// Makes the pages present that have blocks. Nobody stores to them yet.
    pub(crate) fn fill(&mut self) {
        let ahead = Ahead::new(self.file.clone(), self.map.clone(), 0);
        ahead.fill_to(self.allocated);
        self.filled = self.filled.max(ahead.filled());
    }

    /// Bytes it has blocks for.
    pub(crate) fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Whether it can be the next segment.
    pub(crate) fn fits(&self, capacity: u64) -> bool {
        self.capacity == capacity
    }
}

impl SegmentConstants {
    fn of(active: &Segment) -> Self {
        let SegmentHeader { salt, capacity, .. } = active.header;
        Self { seq: active.id.seq, base_offset: active.id.base_offset, salt, capacity }
    }
}

impl Appender {
    /// Goes on in a segment that recovery found to end cleanly.
    pub(crate) fn resume(segment: Segment, file: Arc<dyn File>, index: Vec<IndexEntry>, end: ResumeAt) -> Self {
        let capacity = segment.header.capacity;
        let (map, mut store) = map_to_append(&*file, capacity);
        let published = published(end.position, end.next_offset - segment.id.base_offset, false);
        if let Some(store) = &mut store {
            store.set_allocated(end.allocated as usize);
            store.publish(published);
        }
        segment.set_published(published);
        segment.set_dense(end.sums.records == end.next_offset - segment.id.base_offset);
        let index = Arc::new(GrowingIndex::new(&index));
        let active = Arc::new(segment.active(file.clone(), map, index.clone()));
        let last_indexed = index.len().checked_sub(1).and_then(|last| index.entry(last)).map_or(0, |entry| u64::from(entry.position));
        let index_due = (last_indexed + u64::from(end.index_interval)).max(end.position.min(SEGMENT_HEADER_BYTES as u64));
        let ahead = Arc::new(Ahead::new(file.clone(), active.present_map().cloned(), end.position));
        Self::with(active, file, store, ahead, end, index, index_due)
    }

    /// Begins in a new segment, named already.
    pub(crate) fn begin(segment: NamedSegment, end: ResumeAt) -> Self {
        Self::with(segment.segment, segment.file, segment.store, segment.ahead, end, segment.index, 0)
    }

    fn with(
        active: Arc<Segment>,
        file: Arc<dyn File>,
        store: Option<SegmentStore>,
        ahead: Arc<Ahead>,
        end: ResumeAt,
        index: Arc<GrowingIndex>,
        index_due: u64,
    ) -> Self {
        let constants = SegmentConstants::of(&active);
        Self {
            constants,
            active,
            file,
            store,
            position: end.position,
            next_offset: end.next_offset,
            chain: end.chain,
            epoch: end.epoch,
            epoch_start: end.epoch_start,
            allocated: end.allocated,
            allocation_step: ALLOCATION_STEP_MIN,
            has_blocks_behind: end.has_blocks_behind,
            index,
            index_due,
            sums: end.sums,
            first_epoch: None,
            next_seq: end.next_seq,
            spare: None,
            filled: ahead.filled(),
            ahead,
            fill_due: end.position + fill_step(FILL_WINDOW_MIN, constants.capacity),
            begun: (end.position, coarse_uptime_ns()),
            fill_window: FILL_WINDOW_MIN,
            fill_since: (end.position, coarse_uptime_ns()),
            zeros: ZerosAhead { due: end.position, step: ZEROS_MIN, since: (end.position, 0) },
            closed: false,
            refusal: None,
        }
    }

    /// How far the fields reach that each append needs.
    pub(crate) const HOT_BYTES: usize = std::mem::offset_of!(Self, active);

    /// Asks for the memory that the next frame goes to.
    #[inline(always)]
    pub(crate) fn prefetch(&self, stored: usize) {
        if let Some(store) = &self.store {
            store.prefetch(self.position as usize, stored.min(PREFETCH_BYTES));
        }
    }

    /// Number of the active segment.
    #[inline]
    pub(crate) fn seq(&self) -> u64 {
        self.constants.seq
    }

    /// Whether a batch of this size needs a new segment first.
    pub(crate) fn is_full_for(&self, stored_bytes: usize, offsets: u32) -> bool {
        let end = self.position + stored_bytes as u64 + SEAL_BYTES as u64;
        let rel_end = self.next_offset - self.constants.base_offset + u64::from(offsets);
        end > self.constants.capacity || rel_end > u64::from(u32::MAX)
    }

    /// Makes sure that blocks are there for a batch and for the seal behind it: a full disk shows here, and changes nothing that counts.
    pub(crate) fn reserve(&mut self, stored_bytes: usize) -> Result<(), IoError> {
        let end = self.position + stored_bytes as u64 + SEAL_BYTES as u64;
        if end <= self.allocated {
            return Ok(());
        }
        let reserved = self.allocate_step(end).or_else(|error| {
            // The disk may still hold this one batch, if need be without what was reserved ahead.
            self.allocate_to(end).or_else(|_| if self.give_blocks_back() { self.allocate_to(end) } else { Err(error) })
        });
        reserved.at("allocate", &self.active.path())
    }

    /// Allocates what is appended soon, to `end` at least.
    fn allocate_step(&mut self, end: u64) -> std::io::Result<()> {
        let target = end.max(self.position + self.allocation_step).next_multiple_of(4096).min(self.constants.capacity);
        self.allocate_to(target)?;
        self.allocation_step = (self.allocation_step * 2).min(ALLOCATION_STEP_MAX);
        Ok(())
    }

    fn allocate_to(&mut self, end: u64) -> std::io::Result<()> {
        let allocated = allocate_or_zero(&*self.file, self.allocated, end - self.allocated);
        allocated.inspect_err(|_| self.has_blocks_behind = true)?; // of what failed some may be there
        self.allocated = end;
        if let Some(store) = &mut self.store {
            store.set_allocated(self.allocated as usize);
        }
        Ok(())
    }

    /// Stores one batch and publishes it to readers. The caller made room and checked limits.
    ///
    /// # Errors
    /// [`StoreFailure`] if the write fails: then nothing is published, and the bytes it left are zeros again or the log must be poisoned.
    #[inline(always)]
    pub(crate) fn store(&mut self, batch: &Encoded<'_>, how: StoreHow<'_>) -> Result<Assigned, StoreFailure> {
        let stored = batch.parts.stored_bytes();
        let append_ts = coarse_now();
        let header = self.header(&batch.parts, self.end(), how.durable, append_ts);
        let (salt, position) = (self.constants.salt, Position::new(self.position));
        let mapped = self.take(stored, how.mapped);
        let chain = match &mut self.store {
            Some(store) if mapped => store_frame(store.slot(self.position as usize, stored), batch, &header, salt, position),
            _ => self.store_by_write(batch, &header, how)?,
        };
        let assigned = self.advance(&batch.parts, chain, append_ts, how.index_interval);
        self.publish(false);
        Ok(assigned)
    }

    /// Stores frames that fit into the segment with one write, and publishes them together. As [`store`](Self::store), for all of them.
    ///
    /// # Errors
    /// [`StoreFailure`]: then none is stored.
    pub(crate) fn store_run(&mut self, run: Run<'_>, how: StoreHow<'_>) -> Result<(), StoreFailure> {
        let Run { frames, bytes } = run;
        let append_ts = coarse_now();
        self.take(bytes.len(), false);
        self.zeros_before(bytes.len(), how.syncs);
        let salt = self.constants.salt;
        let (mut end, mut rest) = (self.end(), &mut *bytes);
        for frame in frames.iter() {
            let (slot, behind) = rest.split_at_mut(frame.parts.stored_bytes());
            let header = self.header(&frame.parts, end, how.durable, append_ts);
            let chain = header.encode_into(slot, salt, Position::new(end.position));
            end = FrameEnd { position: end.position + slot.len() as u64, next_offset: end.next_offset + u64::from(frame.parts.offsets), chain };
            rest = behind;
        }
        self.or_restore(write_all_at(&*self.file, bytes, self.position), bytes.len())?;
        for frame in frames {
            frame.outcome = Outcome::Assigned(self.advance(&frame.parts, end.chain, append_ts, how.index_interval));
        }
        self.publish(false);
        Ok(())
    }

    fn end(&self) -> FrameEnd {
        FrameEnd { position: self.position, next_offset: self.next_offset, chain: self.chain }
    }

    /// The header of a frame that begins where another, or the segment's header, ends.
    #[inline(always)]
    fn header(&self, parts: &FrameParts, at: FrameEnd, durable: Option<u64>, append_ts: TimestampNs) -> FrameHeader {
        let (base_ts, max_ts) = parts.times.unwrap_or((append_ts, append_ts));
        FrameHeader {
            frame_len: parts.frame_len as u32,
            base_offset: Offset::new(at.next_offset),
            base_ts,
            max_ts,
            last_offset_delta: parts.offsets - 1,
            record_count: parts.count,
            attributes: parts.attributes,
            leader_epoch: self.epoch,
            chain: at.chain,
            durable_back: claim(at.position, durable),
            body_crc: parts.body_crc,
        }
    }

    /// Goes on behind a frame that is stored, and not yet published.
    #[inline(always)]
    fn advance(&mut self, parts: &FrameParts, chain: u32, append_ts: TimestampNs, index_interval: u32) -> Assigned {
        let max_ts = parts.times.map_or(append_ts, |(_, max_ts)| max_ts);
        if self.position >= self.index_due {
            self.push_index(index_interval);
        }
        let records = parts.data_records();
        if records != parts.offsets {
            self.active.set_dense(false);
        }
        let base_offset = self.next_offset;
        self.next_offset += u64::from(parts.offsets);
        self.position += parts.stored_bytes() as u64;
        self.chain = chain;
        self.sums.records += u64::from(records);
        self.sums.max_ts = self.sums.max_ts.max(max_ts);
        self.first_epoch.get_or_insert(self.epoch);
        Assigned { base_offset, next_offset: self.next_offset, append_ts }
    }

    #[inline(never)]
    fn store_by_write(&mut self, batch: &Encoded<'_>, header: &FrameHeader, how: StoreHow<'_>) -> Result<u32, StoreFailure> {
        let stored = batch.parts.stored_bytes();
        if !how.mapped {
            self.zeros_before(stored, how.syncs);
        }
        let (salt, position) = (self.constants.salt, Position::new(self.position));
        let (chain, written) = if header.is_small() {
            let mut frame = [0; SMALL_FRAME_BYTES_MAX as usize];
            let frame = &mut frame[..stored];
            batch.store(frame);
            (header.encode_into(frame, salt, position), write_all_at(&*self.file, frame, self.position))
        } else {
            // The records are written from where they are.
            let mut head = [0; FRAME_HEADER_BYTES + BLOCKS_BYTES_MAX];
            let head = &mut head[..FRAME_HEADER_BYTES + batch.blocks.len()];
            head[FRAME_HEADER_BYTES..].copy_from_slice(batch.blocks);
            let chain = header.encode_into(head, salt, position);
            let padding = &[0; FRAME_ALIGN][..stored - batch.parts.frame_len];
            let mut pieces = [&*head, batch.records, batch.packed, padding].map(IoSlice::new);
            (chain, write_all_vectored_at(&*self.file, &mut pieces, self.position))
        };
        self.or_restore(written, stored)?;
        Ok(chain)
    }

    /// If the `stored` bytes behind the end could not be written, puts zeros in their place.
    fn or_restore(&self, written: io::Result<()>, stored: usize) -> Result<(), StoreFailure> {
        let Err(source) = written else { return Ok(()) };
        let error = IoError::new("write", &self.active.path(), source);
        let restored = write_zeros(&*self.file, self.position, self.position + stored as u64).is_ok();
        Err(StoreFailure { error, restored })
    }

    /// Zeros ahead of what is about to be written, when they are due.
    fn zeros_before(&mut self, stored: usize, syncs: &AtomicU64) {
        if self.position + stored as u64 > self.zeros.due {
            self.write_zeros_ahead(stored, syncs);
        }
    }

    /// A step of zeros behind the block that the end is in, unless what is synced at once is so large that writing it twice costs more.
    #[cold]
    fn write_zeros_ahead(&mut self, stored: usize, syncs: &AtomicU64) {
        let syncs = syncs.load(Ordering::Relaxed);
        let (bytes, rounds) = (self.position - self.zeros.since.0, syncs - self.zeros.since.1);
        let is_large = stored as u64 >= SYNCED_AT_ONCE_MAX || bytes > rounds.saturating_mul(SYNCED_AT_ONCE_MAX);
        let from = self.position.next_multiple_of(BLOCK_BYTES);
        let to = (from + self.zeros.step).min(self.allocated);
        if !is_large && write_zeros(&*self.file, from, to).is_ok() {
            self.zeros.step = (self.zeros.step * 2).min(ZEROS_MAX);
        }
        self.zeros.due = to.max(from);
        self.zeros.since = (self.position, syncs);
    }

    fn push_index(&mut self, interval: u32) {
        let rel_offset = (self.next_offset - self.constants.base_offset) as u32; // is_full_for keeps it in range
        self.index.push(IndexEntry { rel_offset, position: self.position as u32, max_ts_before: self.sums.max_ts });
        self.index_due = self.position + u64::from(interval);
    }

    /// Takes the next `stored` bytes for a frame; whether to store it into the map, if that is wanted.
    #[inline]
    fn take(&mut self, stored: usize, mapped: bool) -> bool {
        let is_small = stored < SLOW_WRITE_FROM_BYTES || stored < WRITE_FROM_BYTES && self.is_busy();
        let (end, mapped) = (self.position + stored as u64, mapped && is_small && self.store.is_some());
        if end > self.filled {
            self.take_unfilled(end, mapped);
        }
        mapped
    }

    /// The filler is behind, or was not asked, or the window ends.
    #[cold]
    fn take_unfilled(&mut self, end: u64, mapped: bool) {
        if !mapped {
            self.ahead.take(end);
        } else if end > self.ready() {
            self.aim(end);
            let piece_bytes = if self.is_busy() { FILL_WINDOW_MIN } else { SLOW_PIECE_BYTES };
            self.ahead.take_present(end, piece_bytes, self.reach());
        }
        self.filled = self.ready();
    }

    /// Up to where pages are present, as far as it can store.
    fn ready(&self) -> u64 {
        self.ahead.filled().min(self.reach())
    }

    /// Up to where it can store now.
    fn reach(&self) -> u64 {
        self.store.as_ref().map_or(self.allocated, |store| store.reach() as u64)
    }

    /// Sees to it that what is stored up to `end` has a window, if that pays: of partitions that are busy there are few, and a window would not last.
    fn aim(&mut self, end: u64) {
        let wants_window = !self.is_busy() && self.constants.capacity > WINDOW_ABOVE_BYTES;
        let Some(store) = &mut self.store else { return };
        if store.has_window() {
            if wants_window && end <= store.reach() as u64 {
                return;
            }
            store.set_window(None);
        }
        // What a busy time filled behind the window needs no other.
        if wants_window && end > self.ahead.filled() && maps::has_plenty() {
            let from = self.position / WINDOW_ALIGN * WINDOW_ALIGN;
            let len = WINDOW_BYTES.min(self.constants.capacity - from);
            store.set_window(self.file.map_window(from as usize, len as usize).ok());
        }
    }

    /// Does without a window, if it has one; whether it had.
    pub(crate) fn give_window_back(&mut self) -> bool {
        let Some(store) = self.store.as_mut().filter(|store| store.has_window()) else { return false };
        store.set_window(None);
        true
    }

    #[inline(always)]
    fn publish(&mut self, sealed: bool) {
        let published = published(self.position, self.next_offset - self.constants.base_offset, sealed);
        match &mut self.store {
            Some(store) => store.publish(published),
            None => self.active.set_published(published),
        }
    }

    /// How far to fill ahead, when it is time to: the hot path pays one comparison for it.
    #[inline]
    pub(crate) fn fill_request(&mut self, stored: usize) -> Option<(Arc<Ahead>, u64)> {
        if stored >= WRITE_FROM_BYTES {
            // Written, and no reason to make pages ready.
            self.fill_since.0 += stored as u64;
            self.fill_due += stored as u64;
        }
        if self.position < self.fill_due {
            return None;
        }
        self.next_window()
    }

    #[cold]
    fn next_window(&mut self) -> Option<(Arc<Ahead>, u64)> {
        let ((position, time), now) = (self.fill_since, coarse_uptime_ns());
        let took = now.saturating_sub(time);
        // What it appends in a step of time: as much is to be ahead. Until one is over, what it has appended already.
        let bytes = (u128::from(self.position - position) * u128::from(BUSY_STEP_NS) / u128::from(took.max(BUSY_STEP_NS))) as u64;
        // Of less time, one large append is not many.
        let least = if took >= BUSY_STEP_NS { BUSY_STEP_BYTES } else { FILL_WINDOW_MIN };
        let is_slow = bytes < least && (took >= BUSY_STEP_NS || self.fill_window == FILL_WINDOW_MIN);
        let window = if is_slow { FILL_WINDOW_MIN } else { bytes.clamp(2 * FILL_WINDOW_MIN, FILL_WINDOW_MAX) };
        if took >= BUSY_STEP_NS {
            (self.fill_since, self.fill_window) = ((self.position, now), window);
        } else {
            self.fill_window = self.fill_window.max(window.min(2 * self.fill_window));
        }
        self.fill_due = self.position + fill_step(self.fill_window, self.constants.capacity);
        if is_slow || self.store.is_none() {
            return None;
        }
        let end = self.position + self.fill_window;
        // In whole pieces, where there are some.
        let end = if self.fill_window < 2 * PIECE_BYTES { end } else { end / PIECE_BYTES * PIECE_BYTES }.min(self.constants.capacity);
        if end > self.allocated {
            self.allocate_step(end).ok()?; // a full disk shows at the append that needs the blocks
        }
        Some((self.ahead.clone(), end.min(self.allocated)))
    }

    /// Whether it stores so much into the map that pages are filled ahead.
    pub(crate) fn is_busy(&self) -> bool {
        self.fill_window > FILL_WINDOW_MIN && self.store.is_some()
    }

    /// Goes on in a new segment that has its name: seals the old one, as far as the disk lets it.
    pub(crate) fn roll(&mut self, next: NamedSegment, durable: Option<u64>) -> Rolled {
        let seal = Seal {
            salt: self.constants.salt,
            base_offset: self.active.header.base_offset,
            next_offset: Offset::new(self.next_offset),
            records: self.sums.records,
            max_ts: self.sums.max_ts,
            log_start: next.segment.header.log_start,
            first_epoch: self.first_epoch.unwrap_or(self.epoch),
            last_epoch: self.epoch,
            chain_out: self.chain,
        };
        let bytes = seal.encode(Position::new(self.position), claim(self.position, durable));
        self.ahead.stop();
        // A segment that recovery has just opened counts none of the blocks behind its end. Without the seal it is whole all the same: it runs to where
        // the next one begins.
        let mut half_sealed = None;
        if self.reserve(0).is_ok() {
            match write_all_at(&*self.file, &bytes, self.position) {
                Ok(()) => {
                    self.position += SEAL_BYTES as u64;
                    self.publish(true);
                }
                Err(source) => {
                    let restored = write_all_at(&*self.file, &[0; SEAL_BYTES], self.position);
                    half_sealed = restored.is_err().then(|| IoError::new("seal", &self.active.path(), source));
                }
            }
        }
        // Each is set once, because a segment is rolled once.
        let _ = self.active.sums.set(self.sums);
        let _ = self.active.chain_out.set(self.chain);
        let sealed = std::mem::replace(&mut self.active, next.segment);
        self.constants = SegmentConstants::of(&self.active);
        (self.epoch, self.epoch_start) = (self.active.header.leader_epoch, self.active.header.epoch_start);
        (self.ahead, self.filled) = (next.ahead.clone(), next.ahead.filled());
        self.file = next.file;
        self.store = next.store;
        self.index = next.index;
        (self.allocated, self.has_blocks_behind) = (next.allocated, next.has_blocks_behind);
        self.position = SEGMENT_HEADER_BYTES as u64;
        self.index_due = 0;
        self.sums = Sums { records: 0, max_ts: TimestampNs::new(i64::MIN) };
        self.first_epoch = None;
        self.allocation_step = ALLOCATION_STEP_MAX;
        self.begun = (self.position, coarse_uptime_ns());
        self.fill_since = self.begun;
        self.fill_due = self.position + fill_step(self.fill_window, self.constants.capacity);
        self.zeros.due = self.position;
        self.zeros.since.0 = self.position;
        Rolled { sealed, half_sealed }
    }

    /// Size of the next segment: the usual one, or as much as a larger batch needs.
    pub(crate) fn capacity_for(segment_bytes: u64, stored_bytes: usize) -> u64 {
        (segment_bytes.max(Self::bytes_for(stored_bytes)).next_multiple_of(FRAME_ALIGN as u64)).min(SEGMENT_BYTES_MAX)
    }

    /// Bytes of a segment that holds just this.
    pub(crate) fn bytes_for(stored_bytes: usize) -> u64 {
        (SEGMENT_HEADER_BYTES + stored_bytes + SEAL_BYTES) as u64
    }

    /// Whether another batch can have offsets.
    pub(crate) fn has_offsets(&self, offsets: u32) -> bool {
        self.next_offset.saturating_add(offsets.into()) <= OFFSET_MAX
    }

    /// Bytes to allocate for a new segment at once: a partition that appends a lot does not ask again and again.
    pub(crate) fn first_bytes(&self) -> u64 {
        self.allocation_step
    }

    /// Bytes for which blocks are to be reserved ahead: what is appended soon, if it goes on as it did in the active segment.
    pub(crate) fn bytes_soon(&self) -> u64 {
        let (position, time) = self.begun;
        let took = coarse_uptime_ns().saturating_sub(time).max(BUSY_STEP_NS);
        (u128::from(self.position - position) * u128::from(SOON_NS) / u128::from(took)).min(SOON_BYTES_MAX.into()) as u64
    }

    /// Gives back blocks that were reserved ahead, of the active segment and of the next; whether there were some.
    pub(crate) fn give_blocks_back(&mut self) -> bool {
        let of_spare = self.spare.as_mut().is_some_and(Spare::give_blocks_back);
        give_back(&mut self.has_blocks_behind, &*self.file, self.allocated, self.constants.capacity) || of_spare
    }

    /// Gives back the blocks behind the end, for good: nothing is appended after this.
    pub(crate) fn trim(&mut self) {
        if (self.allocated > self.position || self.has_blocks_behind) && shrink(&*self.file, self.position, self.constants.capacity) {
            (self.allocated, self.has_blocks_behind) = (self.position, false); // else zeros stand there until the next open, which reads past them
        }
    }

    /// Goes on in another tail; what was current, and its one right to store, end here. Returns the segment that was made ahead: its number
    /// may be lower than that of the tail.
    pub(crate) fn replace(&mut self, fresh: Self) -> Option<Spare> {
        self.ahead.stop();
        self.trim();
        std::mem::replace(self, fresh).spare
    }

    /// Nothing is written to the active segment any more but by the holder of the append lock.
    pub(crate) fn stop_filling(&self) {
        self.ahead.stop();
    }

    /// Whether it is time to make the next segment ahead.
    pub(crate) fn wants_spare(&self) -> bool {
        self.position > self.constants.capacity / 2 && self.constants.capacity >= SPARE_FROM_BYTES && self.spare.is_none()
    }
}

/// A new segment, empty, that is about to get its name.
#[derive(Debug)]
pub(crate) struct NamedSegment {
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Arc<dyn File>,
    pub(crate) store: Option<SegmentStore>,
    pub(crate) ahead: Arc<Ahead>,
    pub(crate) index: Arc<GrowingIndex>,
    pub(crate) allocated: u64,
    pub(crate) has_blocks_behind: bool,
}

impl NamedSegment {
    /// Finishes the header of a spare. The file still has its temporary name: see [`give_name`](Self::give_name).
    ///
    /// # Errors
    /// [`IoError`].
    pub(crate) fn prepare(spare: Spare, storage: &Arc<dyn Storage>, dir: &Path, uuid: [u8; 16], new: NewSegment) -> Result<Self, IoError> {
        let header = SegmentHeader {
            partition_uuid: uuid,
            base_offset: new.base,
            prev_end: new.prev_end,
            rewrite_end: None,
            seq: spare.seq,
            salt: storage.random(),
            created: now(),
            capacity: spare.capacity,
            leader_epoch: new.epoch,
            epoch_start: new.epoch_start,
            log_start: new.log_start,
            chain_seed: new.chain,
            flags: if new.restarted { SegmentHeader::CHAIN_RESTARTED } else { 0 } | if new.by_recovery { SegmentHeader::BY_RECOVERY } else { 0 },
        };
        let temporary = dir.join(SegmentId::spare_name(spare.seq));
        write_all_at(&*spare.file, &header.encode(), 0).at("write", &temporary)?;
        let published = published(SEGMENT_HEADER_BYTES as u64, 0, false);
        let index = Arc::new(GrowingIndex::new(&[]));
        let segment = Segment::new(storage.clone(), dir, header, published, true);
        let mut store = spare.store;
        if let Some(store) = &mut store {
            store.publish(published);
        }
        let ahead = Arc::new(Ahead::new(spare.file.clone(), spare.map.clone(), spare.filled));
        segment.set_dense(true);
        let segment = Arc::new(segment.active(spare.file.clone(), spare.map, index.clone()));
        let Spare { file, allocated, has_blocks_behind, .. } = spare;
        Ok(Self { segment, file, store, ahead, index, allocated, has_blocks_behind })
    }

    /// Gives the segment its name.
    ///
    /// # Errors
    /// [`IoError`]: then it has none.
    pub(crate) fn give_name(segment: &Segment, storage: &dyn Storage, dir: &Path) -> Result<(), IoError> {
        let path = segment.path();
        storage.rename_new(&dir.join(SegmentId::spare_name(segment.id.seq)), &path).at("name", &path)
    }

    /// Syncs the segment, gives it its name and makes that durable: a commit point.
    ///
    /// # Errors
    /// [`IoError`]: then the name was not given, or not durably so.
    pub(crate) fn give_name_durably(segment: &Segment, storage: &dyn Storage, dir: &Path) -> Result<(), IoError> {
        segment.writable()?.sync().at("sync", &dir.join(SegmentId::spare_name(segment.id.seq)))?;
        Self::give_name(segment, storage, dir)?;
        storage.sync_dir(dir).at("sync", dir)
    }
}

/// Where appending goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResumeAt {
    pub(crate) position: u64,
    pub(crate) next_offset: u64,
    pub(crate) chain: u32,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) epoch_start: Offset,
    pub(crate) allocated: u64,
    /// Whether the file is longer than that, or may have blocks behind its end.
    pub(crate) has_blocks_behind: bool,
    pub(crate) sums: Sums,
    pub(crate) next_seq: u64,
    pub(crate) index_interval: u32,
}

/// Gives blocks behind `len` back, if there may be some; whether that went well.
fn give_back(has_blocks_behind: &mut bool, file: &dyn File, len: u64, capacity: u64) -> bool {
    let given = *has_blocks_behind && shrink(file, len, capacity);
    *has_blocks_behind &= !given;
    given
}

/// Cuts a segment to `len`, unless it is longer than a writer makes it: then there is something that no writer left. Whether it was cut.
pub(crate) fn shrink(file: &dyn File, len: u64, capacity: u64) -> bool {
    file.len().is_ok_and(|found| found <= capacity) && file.set_len(len).is_ok()
}

/// From one look whether to fill ahead to the next.
fn fill_step(window: u64, capacity: u64) -> u64 {
    window.min(capacity) / 4
}

/// The map of a segment that is appended to, and the right to store to it; without, reads and writes go through the descriptor.
fn map_to_append(file: &dyn File, capacity: u64) -> (Option<SegmentMap>, Option<SegmentStore>) {
    let mapped = if maps::has_room() { file.map(capacity as usize, true).ok() } else { None };
    mapped.map_or((None, None), |(map, store)| (Some(map), store))
}

/// Where a frame ends, and the next begins.
#[derive(Debug, Clone, Copy)]
struct FrameEnd {
    position: u64,
    next_offset: u64,
    chain: u32,
}

/// A write that failed, and whether zeros stand again where it wrote.
#[derive(Debug)]
pub(crate) struct StoreFailure {
    pub(crate) error: IoError,
    pub(crate) restored: bool,
}

/// Stores a frame into its slot. A small one is put together before: its checksum is taken of what is at hand, and does not wait for the page.
#[inline(always)]
fn store_frame(slot: &mut [u8], batch: &Encoded<'_>, header: &FrameHeader, salt: u64, position: Position) -> u32 {
    if slot.len() > COMPOSED_BYTES_MAX {
        batch.store(slot);
        return header.encode_into(slot, salt, position);
    }
    let mut frame = [0; COMPOSED_BYTES_MAX];
    let frame = &mut frame[..slot.len()];
    batch.store(frame);
    let chain = header.encode_into(frame, salt, position);
    slot.copy_from_slice(frame);
    chain
}

#[inline]
fn claim(position: u64, durable: Option<u64>) -> u32 {
    durable.map_or(NO_CLAIM, |durable| ((position - durable) / FRAME_ALIGN as u64) as u32)
}

/// The published word of a segment.
#[inline]
pub(crate) fn published(position: u64, rel_next: u64, sealed: bool) -> Published {
    Published { end: position as u32, next: rel_next as u32, sealed, retired: false }
}

const ALLOCATION_STEP_MIN: u64 = 64 << 10;
const ALLOCATION_STEP_MAX: u64 = 4 << 20;
/// A partition is taken for busy, and its pages are filled ahead, while it appends 64 KiB in 20 ms: what many slow ones together have filled and
/// not used would be more memory than what they used.
const BUSY_STEP_BYTES: u64 = 64 << 10;
const BUSY_STEP_NS: u64 = 20_000_000;
/// What a slow partition makes present at once: pages one by one cost more each.
const SLOW_PIECE_BYTES: u64 = 16 << 10;
/// Of a partition that is not busy; a busy one has twice as much at least.
const FILL_WINDOW_MIN: u64 = 256 << 10;
/// Above 4 MiB nothing is gained (measured).
const FILL_WINDOW_MAX: u64 = 4 << 20;
/// Partitions that are not busy are many, and each page of each is looked up anew: where maps, or windows, have up to 8 MiB, that takes a third to half of what
/// it takes from 9 MiB on (measured, 10,000 partitions).
const WINDOW_ABOVE_BYTES: u64 = 8 << 20;
const WINDOW_BYTES: u64 = 1 << 20;
/// A page, whatever its size.
const WINDOW_ALIGN: u64 = 64 << 10;
/// A busy partition stores what is smaller. One write takes less processor time than making pages present, most of which is the filler's, and storing to
/// them, and more of the appender's own: in records of 100 B at 110 KB 0.83 and 1.33 times as much, at 220 KB 0.80 and 1.19; in larger ones at 103 KB 0.91
/// and 1.15, at 250 KB 0.72 and 0.99 (measured).
const WRITE_FROM_BYTES: usize = 128 << 10;
/// The same of a slow partition, whose pages are made present few at a time.
const SLOW_WRITE_FROM_BYTES: usize = 4 << 10;
/// Zeros ahead of frames: the first step, the longest, and how many bytes a sync may cover for them to pay.
const ZEROS_MIN: u64 = 16 << 10;
const ZEROS_MAX: u64 = 256 << 10;
const SYNCED_AT_ONCE_MAX: u64 = 64 << 10;
/// What file systems note of their files is by blocks, mostly of this size.
const BLOCK_BYTES: u64 = 4096;
/// Blocks are reserved ahead for what is appended in this time, up to a limit: the partition may stop.
const SOON_NS: u64 = 500_000_000;
const SOON_BYTES_MAX: u64 = 64 << 20;
/// Making a small segment in line costs less than the thread that would make it ahead.
const SPARE_FROM_BYTES: u64 = 1 << 20;
/// Of a frame, the rest of which the processor fetches by itself.
const PREFETCH_BYTES: usize = 256;
/// Up to here a frame is put together before it is stored.
const COMPOSED_BYTES_MAX: usize = 256;
