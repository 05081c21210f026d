//! The sparse index of one segment: offset to position, with the highest time before it. Derived; a wrong one costs time, never a record.

use crate::bytes::{all_zero, get, i64_at, put, u32_at, u64_at};
use crate::checksum::{CHECKSUM, check_file_header, check_incompat, finish_file_header};
use crate::{DecodeError, FILE_HEADER_BYTES, Offset, Position, TimestampNs, crc32};

/// Size of an entry.
pub const INDEX_ENTRY_BYTES: usize = 16;
/// Size of a full block: [`ENTRIES_PER_BLOCK`] entries and a trailer, read and verified alone.
pub const INDEX_BLOCK_BYTES: usize = (ENTRIES_PER_BLOCK + 1) * INDEX_ENTRY_BYTES;
/// Entries in a full block.
pub const ENTRIES_PER_BLOCK: usize = 255;

/// Where a frame stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    /// Base offset of the frame, after the segment's.
    pub rel_offset: u32,
    /// First byte of the frame; a multiple of 8. Bits 0-2 are zero in this version.
    pub position: u32,
    /// Highest time of a record in this segment before the frame; `i64::MIN` for none.
    pub max_ts_before: TimestampNs,
}

impl IndexEntry {
    fn encode(&self) -> [u8; INDEX_ENTRY_BYTES] {
        let mut bytes = [0; INDEX_ENTRY_BYTES];
        put(&mut bytes, 0, &self.rel_offset.to_le_bytes());
        put(&mut bytes, 4, &self.position.to_le_bytes());
        put(&mut bytes, 8, &self.max_ts_before.get().to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Self {
        Self { rel_offset: u32_at(bytes, 0), position: u32_at(bytes, 4), max_ts_before: TimestampNs::new(i64_at(bytes, 8)) }
    }
}

/// The first 128 bytes of an index file. SPEC.md, "Offset index".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexHeader {
    /// Salt of the segment: an index of another file is never used.
    pub salt: u64,
    /// The segment's base offset.
    pub base_offset: Offset,
    /// The segment's `seq`.
    pub seq: u64,
    /// Entries in the file.
    pub entries: u32,
    /// The index speaks of the frames before this position.
    pub covered: Position,
    /// Offset after the last frame covered.
    pub next_offset: Offset,
    /// Records covered.
    pub records: u64,
    /// Highest time of a record covered; `i64::MIN` for none.
    pub max_ts: TimestampNs,
    /// Chain after the last frame covered.
    pub chain: u32,
    /// Whether the segment was sealed when this was written.
    pub sealed: bool,
}

impl IndexHeader {
    /// Reads the header.
    ///
    /// # Errors
    /// [`DecodeError`]; then the index is rebuilt from its segment.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let header = check_file_header(bytes, MAGIC, &[])?;
        check_incompat(u32_at(header, INCOMPAT), 0)?;
        let flags = u32_at(header, FLAGS);
        if flags & !SEALED != 0 {
            return Err(DecodeError::Field { what: "index flags", found: flags.into() });
        }
        if !all_zero(&header[ZEROS..CHECKSUM]) {
            return Err(DecodeError::Pad);
        }
        Ok(Self {
            salt: u64_at(header, SALT),
            base_offset: Offset::new(u64_at(header, BASE_OFFSET)),
            seq: u64_at(header, SEQ),
            entries: u32_at(header, ENTRIES),
            covered: Position::new(u64_at(header, COVERED)),
            next_offset: Offset::new(u64_at(header, NEXT_OFFSET)),
            records: u64_at(header, RECORDS),
            max_ts: TimestampNs::new(i64_at(header, MAX_TS)),
            chain: u32_at(header, CHAIN),
            sealed: flags & SEALED != 0,
        })
    }

    fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        put(&mut bytes, ENTRIES, &self.entries.to_le_bytes());
        put(&mut bytes, CHAIN, &self.chain.to_le_bytes());
        put(&mut bytes, FLAGS, &if self.sealed { SEALED } else { 0 }.to_le_bytes());
        put(&mut bytes, SALT, &self.salt.to_le_bytes());
        put(&mut bytes, BASE_OFFSET, &self.base_offset.get().to_le_bytes());
        put(&mut bytes, SEQ, &self.seq.to_le_bytes());
        put(&mut bytes, COVERED, &self.covered.get().to_le_bytes());
        put(&mut bytes, NEXT_OFFSET, &self.next_offset.get().to_le_bytes());
        put(&mut bytes, RECORDS, &self.records.to_le_bytes());
        put(&mut bytes, MAX_TS, &self.max_ts.get().to_le_bytes());
        finish_file_header(&mut bytes, MAGIC, &[]);
        bytes
    }
}

/// Bytes of a file with `entries` entries.
pub const fn index_bytes(entries: usize) -> usize {
    FILE_HEADER_BYTES + (entries + entries.div_ceil(ENTRIES_PER_BLOCK)) * INDEX_ENTRY_BYTES
}

/// The whole file. `header.entries` is set to the number of `entries`.
pub fn encode_index(mut header: IndexHeader, entries: &[IndexEntry]) -> Vec<u8> {
    header.entries = entries.len() as u32;
    let mut bytes = Vec::with_capacity(index_bytes(entries.len()));
    bytes.extend(header.encode());
    for (number, block) in entries.chunks(ENTRIES_PER_BLOCK).enumerate() {
        let start = bytes.len();
        block.iter().for_each(|entry| bytes.extend(entry.encode()));
        bytes.extend((number as u32).to_le_bytes());
        bytes.extend((header.salt as u32).to_le_bytes());
        bytes.extend((block.len() as u32).to_le_bytes());
        let crc = crc32(&bytes[start..]);
        bytes.extend(crc.to_le_bytes());
    }
    bytes
}

/// File position and size of block `number` of an index with `entries` entries; `None` past the last one.
pub fn index_block_at(entries: u32, number: u32) -> Option<(Position, usize)> {
    let first = number as usize * ENTRIES_PER_BLOCK;
    let held = (entries as usize).checked_sub(first).filter(|&held| held > 0)?.min(ENTRIES_PER_BLOCK);
    Some((Position::new((FILE_HEADER_BYTES + number as usize * INDEX_BLOCK_BYTES) as u64), (held + 1) * INDEX_ENTRY_BYTES))
}

/// One verified block.
#[derive(Debug, Clone, Copy)]
pub struct IndexBlock<'a> {
    entries: &'a [u8],
}

impl<'a> IndexBlock<'a> {
    /// Reads block `number` of the index of the segment with `salt`.
    ///
    /// # Errors
    /// [`DecodeError`]; then the index is rebuilt from its segment.
    pub fn decode(bytes: &'a [u8], salt: u64, number: u32) -> Result<Self, DecodeError> {
        let trailer = bytes.len().checked_sub(INDEX_ENTRY_BYTES).ok_or(DecodeError::Truncated { needed: INDEX_ENTRY_BYTES, found: bytes.len() })?;
        let (expected, found) = (u32_at(bytes, trailer + 12), crc32(&bytes[..trailer + 12]));
        if expected != found {
            return Err(DecodeError::Checksum { what: "index block", expected, found });
        }
        if u32_at(bytes, trailer) != number {
            return Err(DecodeError::Field { what: "index block number", found: u32_at(bytes, trailer).into() });
        }
        if u32_at(bytes, trailer + 4) != salt as u32 {
            return Err(DecodeError::Field { what: "index block salt", found: u32_at(bytes, trailer + 4).into() });
        }
        let held = u32_at(bytes, trailer + 8) as usize;
        if !(1..=ENTRIES_PER_BLOCK).contains(&held) || held * INDEX_ENTRY_BYTES != trailer {
            return Err(DecodeError::Field { what: "index block entries", found: held as u64 });
        }
        Ok(Self { entries: &bytes[..trailer] })
    }

    /// Entries in the block: 1..=[`ENTRIES_PER_BLOCK`].
    pub fn len(&self) -> usize {
        self.entries.len() / INDEX_ENTRY_BYTES
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entry `index` of the block.
    pub fn entry(&self, index: usize) -> Option<IndexEntry> {
        (index < self.len()).then(|| IndexEntry::decode(&get::<INDEX_ENTRY_BYTES>(self.entries, index * INDEX_ENTRY_BYTES)))
    }

    /// All entries.
    pub fn entries(self) -> impl Iterator<Item = IndexEntry> + 'a {
        self.entries.chunks_exact(INDEX_ENTRY_BYTES).map(IndexEntry::decode)
    }
}

const MAGIC: &[u8; 8] = b"TIDEIDX\n";
const INCOMPAT: usize = 12; // u32
const ENTRIES: usize = INCOMPAT + size_of::<u32>(); // u32
const CHAIN: usize = ENTRIES + size_of::<u32>(); // u32
const SALT: usize = CHAIN + size_of::<u32>(); // u64
const BASE_OFFSET: usize = SALT + size_of::<u64>(); // u64
const SEQ: usize = BASE_OFFSET + size_of::<u64>(); // u64
const COVERED: usize = SEQ + size_of::<u64>(); // u64
const NEXT_OFFSET: usize = COVERED + size_of::<u64>(); // u64
const RECORDS: usize = NEXT_OFFSET + size_of::<u64>(); // u64
const MAX_TS: usize = RECORDS + size_of::<u64>(); // i64
const FLAGS: usize = MAX_TS + size_of::<i64>(); // u32
const ZEROS: usize = FLAGS + size_of::<u32>();
const _: () = assert!(ZEROS == 84 && INDEX_BLOCK_BYTES == 4096); // = SPEC.md, "Offset index"

const SEALED: u32 = 1;
