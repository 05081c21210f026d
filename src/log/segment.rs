//! One segment file: how to get at its bytes, by map or by read. Never decides what is live, never appends.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, RwLock};
use tidelog_format::{FRAME_ALIGN, IndexEntry, Offset, SEAL_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentId, TimestampNs};

use crate::error::{IoContext, IoError};
use crate::io::mmap::Published;
use crate::io::{Access, File, SegmentMap, Storage, read_full_at};
use crate::log::maps;
use crate::log::offset_index::{GrowingIndex, StoredIndex};

/// A segment file of one partition.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) header: SegmentHeader,
    /// Highest time of a record and number of records, once it is known that nothing is added.
    pub(crate) sums: OnceLock<Sums>,
    /// Chain after the last frame, once it was sealed in this process.
    pub(crate) chain_out: OnceLock<u32>,
    dir: PathBuf,
    storage: Arc<dyn Storage>,
    /// For writers: kept from creation to last sync, because a failed write-back is reported once per open file.
    writable: Mutex<Option<Arc<dyn File>>>,
    map: OnceLock<Option<SegmentMap>>,
    /// The descriptor of those who read now without a map.
    readable: Mutex<Option<Weak<dyn File>>>,
    /// What is published, as long as there is no map.
    known: AtomicU64,
    /// In memory; `None`: in its file, if there is one.
    index: RwLock<Option<Arc<GrowingIndex>>>,
    lookups: AtomicU32,
    /// Whether frames were found to differ in size: see [`even_guess`](Self::even_guess).
    uneven: AtomicBool,
    mapped: bool,
    /// Whether the map was used since [`is_idle`](Self::is_idle) asked.
    used: AtomicBool,
    /// Up to where [`release_pages`](Self::release_pages) has been.
    released: AtomicU32,
    /// Whether each offset in it is known to have a record.
    is_dense: AtomicBool,
}

/// What a segment adds up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) records: u64,
    pub(crate) max_ts: TimestampNs,
}

/// Bytes of a segment that stay as they are for as long as somebody holds them.
#[derive(Clone)]
pub(crate) enum Owner {
    Map(SegmentMap),
    /// May be longer than what was read into it.
    Heap(Arc<[u8]>),
}

/// A stretch of a segment file in memory.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) owner: Owner,
    /// Keeps the descriptor open for whoever reads on: a segment itself keeps none, or a long log would take them all.
    _file: Option<Arc<dyn File>>,
    /// Position of the first byte in the file.
    pub(crate) start: u64,
    /// Position after the last byte.
    pub(crate) end: u64,
}

impl Chunk {
    /// The bytes from `position` on, empty outside the chunk.
    #[inline]
    pub(crate) fn from(&self, position: u64) -> &[u8] {
        if position < self.start || position >= self.end {
            return &[];
        }
        self.owner.slice((position - self.start) as usize, (self.end - self.start) as usize)
    }

    /// A buffer for `want` bytes from `position` on, and how many of them it begins with, which stood here: the one that the chunk stands in, if that
    /// is large enough and nobody else looks at it.
    fn into_buffer(mut self, position: u64, want: usize) -> (Arc<[u8]>, usize) {
        let held = self.from(position).len().min(want);
        let from = position.wrapping_sub(self.start) as usize; // of no meaning where nothing is held
        if let Owner::Heap(bytes) = &mut self.owner
            && let Some(buffer) = Arc::get_mut(bytes)
            && buffer.len() >= want
        {
            if held > 0 {
                buffer.copy_within(from..from + held, 0);
            }
            return (bytes.clone(), held);
        }
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, want).collect();
        Arc::get_mut(&mut bytes).expect("nobody else has it")[..held].copy_from_slice(&self.from(position)[..held]);
        (bytes, held)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(_) => f.write_str("Map"),
            Self::Heap(bytes) => write!(f, "Heap({} bytes)", bytes.len()),
        }
    }
}

impl Owner {
    #[inline]
    pub(crate) fn slice(&self, from: usize, to: usize) -> &[u8] {
        match self {
            Self::Map(map) => map.bytes(from, to),
            Self::Heap(bytes) => &bytes[from..to],
        }
    }
}

impl Segment {
    pub(crate) fn new(storage: Arc<dyn Storage>, dir: &Path, header: SegmentHeader, published: Published, mapped: bool) -> Self {
        let id = SegmentId { base_offset: header.base_offset.get(), seq: header.seq };
        Self {
            id,
            header,
            sums: OnceLock::new(),
            chain_out: OnceLock::new(),
            dir: dir.to_owned(),
            storage,
            writable: Mutex::new(None),
            map: OnceLock::new(),
            readable: Mutex::new(None),
            known: AtomicU64::new(published.pack()),
            index: RwLock::new(None),
            lookups: AtomicU32::new(0),
            uneven: AtomicBool::new(false),
            mapped,
            used: AtomicBool::new(false),
            released: AtomicU32::new(0),
            is_dense: AtomicBool::new(false),
        }
    }

    /// Whether each offset that was published before this was asked is known to have a record, without looking.
    #[inline]
    pub(crate) fn is_dense(&self) -> bool {
        self.is_dense.load(Ordering::Relaxed)
    }

    /// Said where it is opened or made, and where an offset is about to be published without a record.
    pub(crate) fn set_dense(&self, is_dense: bool) {
        self.is_dense.store(is_dense, Ordering::Relaxed); // published with what it is said of
    }

    /// The same segment as it was opened, if nothing is appended to it any more: without a map, and without an index in memory.
    pub(crate) fn unmapped(&self) -> Self {
        let mut fresh = Self::new(self.storage.clone(), &self.dir, self.header, self.published(), self.mapped);
        (fresh.sums, fresh.chain_out, fresh.is_dense) = (self.sums.clone(), self.chain_out.clone(), self.is_dense().into());
        fresh
    }

    /// Whether it has a map that nobody has used since this was asked, and nothing left to write.
    pub(crate) fn is_idle(&self) -> bool {
        self.map.get().is_some_and(Option::is_some) && self.writable.lock().is_none() && !self.used.swap(false, Ordering::Relaxed)
    }

    /// The segment that is appended to: its file, its map if there is one, its index.
    pub(crate) fn active(self, file: Arc<dyn File>, map: Option<SegmentMap>, index: Arc<GrowingIndex>) -> Self {
        *self.writable.lock() = Some(file);
        *self.index.write() = Some(index);
        // New, so it is empty. Without a map there is none for readers either: the one that a reader makes covers what is published and no more.
        let _ = self.map.set(map);
        self
    }

    /// The map, if it is there already.
    #[inline]
    pub(crate) fn present_map(&self) -> Option<&SegmentMap> {
        let map = self.map.get()?.as_ref()?;
        self.note_use();
        Some(map)
    }

    /// Looked at before it is stored to: readers share the line.
    #[inline]
    fn note_use(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join(self.id.log_name())
    }

    pub(crate) fn base(&self) -> Offset {
        self.header.base_offset
    }

    #[inline]
    pub(crate) fn published(&self) -> Published {
        match self.map.get() {
            Some(Some(map)) => map.published(),
            _ => Published::unpack(self.known.load(Ordering::Acquire)),
        }
    }

    /// The offset after the last one published.
    #[inline]
    pub(crate) fn next_offset(&self) -> u64 {
        self.id.base_offset + u64::from(self.published().next)
    }

    /// Publishes an end without a map to hold it.
    pub(crate) fn set_published(&self, published: Published) {
        match self.map.get() {
            Some(Some(map)) => map.expose(published),
            _ => self.known.store(published.pack(), Ordering::Release),
        }
    }

    /// The descriptor to write and sync with; opened if the segment was there before this process.
    pub(crate) fn writable(&self) -> Result<Arc<dyn File>, IoError> {
        let mut writable = self.writable.lock();
        if let Some(file) = &*writable {
            return Ok(file.clone());
        }
        let file = self.storage.open(&self.path(), Access::ReadWrite).at("open", &self.path())?;
        *writable = Some(file.clone());
        Ok(file)
    }

    /// Takes pages that were stored to, and are about to be synced, out of the page tables, unless they are few; with them those that were made
    /// present ahead, which the sync writes as well.
    pub(crate) fn release_pages(&self) {
        let Some(Some(map)) = self.map.get() else { return };
        let (from, to) = (self.released.load(Ordering::Relaxed), map.published().end);
        // What fails here costs the sync time.
        if to.saturating_sub(from) >= RELEASE_FROM_BYTES && map.release(from as usize, map.len()).is_ok() {
            self.released.store(to, Ordering::Relaxed);
        }
    }

    /// Lets the descriptor go: everything is synced.
    pub(crate) fn close_writable(&self) {
        *self.writable.lock() = None;
    }

    /// Where the published frames end, but for the seal: one that reaches over it is none that a writer stored.
    #[inline]
    pub(crate) fn frames_end(&self) -> u64 {
        frames_end(self.published()).into()
    }

    /// Bytes from `position` on: all frames that are published where the segment is mapped, else about `want` of them, fewer at the end. They are
    /// read into what a chunk that is spent was read into, unless that is looked at still; what it holds of them is not read again.
    pub(crate) fn chunk(&self, position: u64, want: usize, spent: Option<Chunk>) -> Result<Chunk, IoError> {
        let end = self.frames_end();
        if let Some(map) = self.map()? {
            return Ok(Chunk { owner: Owner::Map(map.clone()), _file: None, start: 0, end });
        }
        let file = self.readable()?;
        let want = (end.saturating_sub(position)).min(want as u64) as usize;
        let (mut bytes, held) = spent.map_or_else(|| (std::iter::repeat_n(0, want).collect(), 0), |spent| spent.into_buffer(position, want));
        let buffer = Arc::get_mut(&mut bytes).expect("nobody else has it");
        let behind = position + held as u64;
        let read = read_full_at(&*file, &mut buffer[held..want], behind).at("read", &self.path())?;
        Ok(Chunk { end: behind + read as u64, owner: Owner::Heap(bytes), _file: Some(file), start: position })
    }

    /// The map, made at the first read; `None` where none is wanted or to be had.
    fn map(&self) -> Result<Option<&SegmentMap>, IoError> {
        if self.map.get().is_none() {
            if self.mapped && !maps::has_room() {
                return Ok(None); // for now
            }
            let map = if self.mapped { self.map_published(&self.readable()?) } else { None };
            let _ = self.map.set(map); // or another's
        }
        Ok(self.present_map())
    }

    fn readable(&self) -> Result<Arc<dyn File>, IoError> {
        let mut readable = self.readable.lock();
        if let Some(file) = readable.as_ref().and_then(Weak::upgrade) {
            return Ok(file);
        }
        let file = self.storage.open(&self.path(), Access::Read).at("open", &self.path())?;
        *readable = Some(Arc::downgrade(&file));
        Ok(file)
    }

    /// A map of what is published and will not grow; `None` where it cannot be had: then reads go through the descriptor.
    fn map_published(&self, file: &Arc<dyn File>) -> Option<SegmentMap> {
        let published = Published::unpack(self.known.load(Ordering::Acquire));
        let end = u64::from(published.end);
        // A file shorter than what is published would fault on access: let the reads report it.
        if file.len().ok()? < end {
            return None;
        }
        let (map, _) = file.map(end as usize, false).ok()?;
        map.expose(published);
        Some(map)
    }

    /// Where to start walking for a record at `offset`: never behind it.
    pub(crate) fn floor(&self, offset: Offset) -> Place {
        let rel = u32::try_from(offset.get().saturating_sub(self.id.base_offset)).unwrap_or(u32::MAX);
        if rel == 0 {
            return self.first_place(); // who reads on from the segment before needs no index
        }
        self.look_up(|index| index.floor(rel), |index| index.floor(rel))
    }

    /// Where to look for the frame of `offset`, which lies below `end`: somewhere not behind it, and where it stands if the frames from there
    /// to the next place that is known are alike. `None` without an index in memory.
    #[inline]
    pub(crate) fn guess(&self, offset: u64, end: Published) -> Option<(usize, usize)> {
        let rel = u32::try_from(offset - self.id.base_offset).ok()?;
        let (from, to) = self.index_in_memory()?.around(rel)?;
        let to = to.filter(|to| to.position < end.end).map_or(last_place(end), |to| (to.rel_offset, to.position));
        Some((from.position as usize, between((from.rel_offset, from.position), to, rel)?))
    }

    /// Where the frame of `offset` stands if all frames of the segment are alike; asked without the index, as long as the answers are good.
    #[inline]
    pub(crate) fn even_guess(&self, offset: u64, end: Published) -> Option<usize> {
        if self.uneven.load(Ordering::Relaxed) {
            return None;
        }
        let rel = u32::try_from(offset - self.id.base_offset).ok().filter(|&rel| rel < end.next)?;
        between((0, SEGMENT_HEADER_BYTES as u32), last_place(end), rel)
    }

    /// Remembers that [`even_guess`](Self::even_guess) was wrong.
    #[cold]
    pub(crate) fn set_uneven(&self) {
        self.uneven.store(true, Ordering::Relaxed);
    }

    /// Where to start walking for the first record with a time of at least `timestamp`: never behind it.
    pub(crate) fn floor_time(&self, timestamp: TimestampNs) -> Place {
        self.look_up(|index| index.floor_time(timestamp), |index| index.floor_time(timestamp))
    }

    fn look_up(&self, growing: impl FnOnce(&GrowingIndex) -> Option<IndexEntry>, stored: impl FnOnce(&StoredIndex) -> Option<IndexEntry>) -> Place {
        let entry = match self.index_in_memory() {
            Some(index) => growing(&index),
            // Opened for this lookup alone: a long log would take all descriptors, and the writer may put a newer one in its place.
            None => self.stored_index().and_then(|index| stored(&index)),
        };
        let end = self.published().end;
        entry
            .filter(|entry| entry.position < end)
            .map_or(self.first_place(), |entry| Place { position: entry.position.into(), offset: self.id.base_offset + u64::from(entry.rel_offset) })
    }

    pub(crate) fn first_place(&self) -> Place {
        Place { position: SEGMENT_HEADER_BYTES as u64, offset: self.id.base_offset }
    }

    fn stored_index(&self) -> Option<StoredIndex> {
        StoredIndex::open(&*self.storage, &self.dir, self.id, Some(self.header.salt))
    }

    /// The index in memory: loaded once it is used often enough to pay for the memory.
    fn index_in_memory(&self) -> Option<Arc<GrowingIndex>> {
        if let Some(index) = self.growing_index() {
            return Some(index);
        }
        if self.lookups.fetch_add(1, Ordering::Relaxed) < LOAD_AFTER_LOOKUPS {
            return None;
        }
        // Without a file there is none to wait for: what is looked up is walked to.
        let entries = self.stored_index().and_then(|index| index.load()).unwrap_or_default();
        let mut index = self.index.write();
        if index.is_none() {
            *index = Some(Arc::new(GrowingIndex::new(&entries)));
        }
        index.clone()
    }

    pub(crate) fn set_index(&self, new: Arc<GrowingIndex>) {
        *self.index.write() = Some(new);
    }

    /// Forgets the index in memory: its file holds all of it. Who looks up often enough loads it again.
    pub(crate) fn leave_index_to_file(&self) {
        *self.index.write() = None;
    }

    /// The index in memory, if it is there.
    pub(crate) fn growing_index(&self) -> Option<Arc<GrowingIndex>> {
        self.index.read().clone()
    }

    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Relative offset and position behind the last frame but the seal.
#[inline]
fn last_place(end: Published) -> (u32, u32) {
    (end.next, frames_end(end))
}

/// The position behind the last frame but the seal.
#[inline]
pub(crate) fn frames_end(end: Published) -> u32 {
    end.end.saturating_sub(if end.sealed { SEAL_BYTES as u32 } else { 0 })
}

/// The position of the frame at `rel`, if all frames between two places are alike.
#[inline]
fn between(from: (u32, u32), to: (u32, u32), rel: u32) -> Option<usize> {
    let records = to.0.checked_sub(from.0).filter(|&records| records > 0)?;
    let ahead = u64::from(to.1.checked_sub(from.1)?) * u64::from(rel.checked_sub(from.0)?) / u64::from(records);
    Some((u64::from(from.1) + ahead).next_multiple_of(FRAME_ALIGN as u64) as usize)
}

/// A frame to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: u64,
    pub(crate) offset: u64,
}

const LOAD_AFTER_LOOKUPS: u32 = 16;
/// A call for fewer pages costs more than it saves.
const RELEASE_FROM_BYTES: u32 = 128 << 10;
