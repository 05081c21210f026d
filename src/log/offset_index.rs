//! The sparse index of one segment: in memory while it grows, in its file once sealed. Finds a frame to start from, never the record itself.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use tidelog_format::{
    ENTRIES_PER_BLOCK, FILE_HEADER_BYTES, IndexBlock, IndexEntry, IndexHeader, SegmentId, TimestampNs, encode_index, index_block_at, index_bytes,
};

use crate::io::{Access, File, Storage, read_exact_at, read_file, write_all_at};

/// An index that one thread appends to while others search: entries never move, and the length is published last.
#[derive(Debug)]
pub(crate) struct GrowingIndex {
    buckets: [OnceLock<Box<[Slot]>>; BUCKETS],
    len: AtomicUsize,
}

#[derive(Debug, Default)]
struct Slot {
    place: AtomicU64,
    max_ts_before: AtomicI64,
}

impl GrowingIndex {
    pub(crate) fn new(entries: &[IndexEntry]) -> Self {
        let index = Self { buckets: [const { OnceLock::new() }; BUCKETS], len: AtomicUsize::new(0) };
        entries.iter().for_each(|entry| index.push(*entry));
        index
    }

    /// Appends an entry. Only the holder of the append lock calls this.
    pub(crate) fn push(&self, entry: IndexEntry) {
        let len = self.len.load(Ordering::Relaxed);
        let (bucket, at) = place_of(len);
        let Some(bucket) = self.buckets.get(bucket) else { return }; // 2^32 entries: the index stops growing, lookups walk further
        let slot = &bucket.get_or_init(|| (0..FIRST_BUCKET << bucket_of(len)).map(|_| Slot::default()).collect())[at];
        slot.place.store(u64::from(entry.rel_offset) << 32 | u64::from(entry.position), Ordering::Relaxed);
        slot.max_ts_before.store(entry.max_ts_before.get(), Ordering::Relaxed);
        self.len.store(len + 1, Ordering::Release);
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    pub(crate) fn entry(&self, number: usize) -> Option<IndexEntry> {
        if number >= self.len() {
            return None;
        }
        let (bucket, at) = place_of(number);
        let slot = self.buckets[bucket].get()?.get(at)?;
        let place = slot.place.load(Ordering::Relaxed);
        Some(IndexEntry {
            rel_offset: (place >> 32) as u32,
            position: place as u32,
            max_ts_before: TimestampNs::new(slot.max_ts_before.load(Ordering::Relaxed)),
        })
    }

    pub(crate) fn entries(&self) -> Vec<IndexEntry> {
        (0..self.len()).map_while(|number| self.entry(number)).collect()
    }

    /// The last entry at or below `rel_offset`.
    pub(crate) fn floor(&self, rel_offset: u32) -> Option<IndexEntry> {
        self.floor_number(rel_offset).and_then(|number| self.entry(number))
    }

    /// The last entry at or below `rel_offset`, and the one behind it.
    pub(crate) fn around(&self, rel_offset: u32) -> Option<(IndexEntry, Option<IndexEntry>)> {
        let number = self.floor_number(rel_offset)?;
        Some((self.entry(number)?, self.entry(number + 1)))
    }

    fn floor_number(&self, rel_offset: u32) -> Option<usize> {
        let len = self.len();
        let last = self.entry(len.checked_sub(1)?)?;
        if last.rel_offset <= rel_offset {
            return Some(len - 1);
        }
        // Offsets grow almost evenly with position, so a guess by proportion lands close; then halve what is left.
        let (mut low, mut high) = (0, len);
        let mut guess = (u64::from(rel_offset) * len as u64 / u64::from(last.rel_offset).max(1)) as usize;
        for _ in 0..PROBES {
            guess = guess.clamp(low, high - 1);
            let entry = self.entry(guess)?;
            if entry.rel_offset <= rel_offset {
                match self.entry(guess + 1) {
                    Some(next) if next.rel_offset <= rel_offset => low = guess + 1,
                    _ => return Some(guess),
                }
                guess = low + ((u64::from(rel_offset - entry.rel_offset)) * len as u64 / u64::from(last.rel_offset).max(1)) as usize;
            } else {
                high = guess;
                if high == low {
                    return None;
                }
                guess = high.saturating_sub(1 + (u64::from(entry.rel_offset - rel_offset) * len as u64 / u64::from(last.rel_offset).max(1)) as usize);
            }
        }
        let at = partition_point(low, high, |number| self.entry(number).is_some_and(|entry| entry.rel_offset <= rel_offset));
        at.checked_sub(1)
    }

    /// The last entry before which no record has a time of at least `timestamp`.
    pub(crate) fn floor_time(&self, timestamp: TimestampNs) -> Option<IndexEntry> {
        let at = partition_point(0, self.len(), |number| self.entry(number).is_some_and(|entry| entry.max_ts_before < timestamp));
        at.checked_sub(1).and_then(|number| self.entry(number))
    }
}

/// An index file, read block by block. Any error means: use no index.
#[derive(Debug)]
pub(crate) struct StoredIndex {
    pub(crate) header: IndexHeader,
    file: std::sync::Arc<dyn File>,
}

impl StoredIndex {
    /// Opens the index of a segment; `None` if there is none, or none of this segment.
    pub(crate) fn open(storage: &dyn Storage, dir: &Path, id: SegmentId, salt: Option<u64>) -> Option<Self> {
        let file = storage.open(&dir.join(id.index_name()), Access::Read).ok()?;
        let mut bytes = [0; FILE_HEADER_BYTES];
        read_exact_at(&*file, &mut bytes, 0).ok()?;
        let header = IndexHeader::decode(&bytes).ok()?;
        let ours = header.seq == id.seq && header.base_offset == id.base() && salt.is_none_or(|salt| salt == header.salt);
        // Whoever goes on from here counts from the base offset.
        let counts = header.next_offset >= header.base_offset;
        (ours && counts && file.len().ok()? == index_bytes(header.entries as usize) as u64).then_some(Self { header, file })
    }

    pub(crate) fn floor(&self, rel_offset: u32) -> Option<IndexEntry> {
        let end = self.header.next_offset.get() - self.header.base_offset.get();
        self.last_where(|entry| entry.rel_offset.into(), i64::from(rel_offset) + 1, Some(0), i64::try_from(end).ok())
    }

    pub(crate) fn floor_time(&self, timestamp: TimestampNs) -> Option<IndexEntry> {
        self.last_where(|entry| entry.max_ts_before.get(), timestamp.get(), None, Some(self.header.max_ts.get()))
    }

    /// The last entry with a key below `target`; keys never fall from entry to entry. `first` and `end` are keys before and behind them all, as
    /// far as they are known. Each block that is looked at is read: the first few are chosen by proportion, so that few are needed.
    fn last_where(&self, key: impl Fn(&IndexEntry) -> i64, target: i64, first: Option<i64>, end: Option<i64>) -> Option<IndexEntry> {
        let blocks = (self.header.entries as usize).div_ceil(ENTRIES_PER_BLOCK);
        let (mut low, mut high, mut found) = (0, blocks, None);
        let (mut first, mut end, mut guesses) = (first, end, GUESSES);
        while low < high {
            let middle = match first.zip(end) {
                Some((first, end)) if guesses > 0 => proportional(low, high, first, end, target),
                _ => low + (high - low) / 2,
            };
            guesses = guesses.saturating_sub(1);
            let mut bytes = [0; (ENTRIES_PER_BLOCK + 1) * tidelog_format::INDEX_ENTRY_BYTES];
            let block = self.block(middle as u32, &mut bytes)?;
            let at = partition_point(0, block.len(), |number| block.entry(number).is_some_and(|entry| key(&entry) < target));
            match at.checked_sub(1) {
                None => (high, end) = (middle, block.entry(0).map(|entry| key(&entry))),
                Some(number) => {
                    found = block.entry(number);
                    if at < block.len() {
                        return found;
                    }
                    (low, first) = (middle + 1, found.map(|entry| key(&entry)));
                }
            }
        }
        found
    }

    fn block<'a>(&self, number: u32, bytes: &'a mut [u8]) -> Option<IndexBlock<'a>> {
        let (position, len) = index_block_at(self.header.entries, number)?;
        let bytes = &mut bytes[..len];
        read_exact_at(&*self.file, bytes, position.get()).ok()?;
        IndexBlock::decode(bytes, self.header.salt, number).ok()
    }

    /// All entries; `None` if any block is not right.
    pub(crate) fn load(&self) -> Option<Vec<IndexEntry>> {
        let mut entries = Vec::with_capacity(self.header.entries as usize);
        for number in 0..self.header.entries.div_ceil(ENTRIES_PER_BLOCK as u32) {
            let mut bytes = [0; (ENTRIES_PER_BLOCK + 1) * tidelog_format::INDEX_ENTRY_BYTES];
            entries.extend(self.block(number, &mut bytes)?.entries());
        }
        Some(entries)
    }
}

/// Writes the index of a segment. It is derived, so it is renamed into place without a sync: a torn one has a wrong checksum.
pub(crate) fn write_index(storage: &dyn Storage, dir: &Path, id: SegmentId, header: IndexHeader, entries: &[IndexEntry]) -> std::io::Result<()> {
    let (path, temporary) = (dir.join(id.index_name()), dir.join(format!("{}.tmp", id.index_name())));
    let bytes = encode_index(header, entries);
    if let Err(error) = storage.unlink(&temporary)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let file = storage.create(&temporary)?;
    write_all_at(&*file, &bytes, 0)?;
    storage.rename(&temporary, &path)
}

/// Whether the index file of a segment is whole: for verify.
pub(crate) fn check_index(storage: &dyn Storage, dir: &Path, id: SegmentId, salt: u64) -> Result<(), String> {
    let path = dir.join(id.index_name());
    match storage.kind(&path) {
        Ok(None) => return Ok(()),
        Ok(Some(_)) => {}
        Err(error) => return Err(error.to_string()),
    }
    let bytes = read_file(storage, &path, u32::MAX.into()).map_err(|error| error.to_string())?;
    let header = IndexHeader::decode(&bytes).map_err(|error| error.to_string())?;
    let index = StoredIndex::open(storage, dir, id, Some(salt)).ok_or("belongs to another segment or has another size")?;
    debug_assert_eq!(index.header, header);
    index.load().map(drop).ok_or_else(|| "a block does not verify".to_owned())
}

/// Which of the blocks `low..high`, with keys from `first` to `end`, probably holds the last key below `target`.
fn proportional(low: usize, high: usize, first: i64, end: i64, target: i64) -> usize {
    let (span, way) = (i128::from(end) - i128::from(first), i128::from(target) - 1 - i128::from(first));
    if span <= 0 || way <= 0 {
        return low;
    }
    low + ((high - low) as i128 * way / span).min((high - low - 1) as i128) as usize
}

fn partition_point(mut low: usize, mut high: usize, is_before: impl Fn(usize) -> bool) -> usize {
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// Bucket k holds `FIRST_BUCKET << k` entries.
fn place_of(number: usize) -> (usize, usize) {
    let bucket = bucket_of(number);
    (bucket, number - (FIRST_BUCKET * ((1 << bucket) - 1)))
}

fn bucket_of(number: usize) -> usize {
    (number / FIRST_BUCKET + 1).ilog2() as usize
}

const FIRST_BUCKET: usize = 64;
const BUCKETS: usize = 26;
const PROBES: usize = 3;
/// Blocks of an index file that are chosen by proportion before the rest is halved.
const GUESSES: usize = 3;
