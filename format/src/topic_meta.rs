//! TOPIC: the catalogue of a topic, which says what partitions it has and which share of the ring each has. Holds no record and no offset.

use std::ops::Range;

use crate::bytes::{all_zero, get, i64_at, put, u16_at, u32_at};
use crate::checksum::{CHECKSUM, check_file_header, check_incompat, finish_file_header};
use crate::{DecodeError, FILE_HEADER_BYTES, TimestampNs};

/// The catalogue of a topic. SPEC.md, "TOPIC".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMeta {
    /// Random identity.
    pub uuid: [u8; 16],
    /// When it was made.
    pub created: TimestampNs,
    /// Slots of its key-hash ring.
    pub ring_size: u32,
    /// Its partitions, each at its number.
    pub partitions: Vec<PartitionEntry>,
}

/// A partition as the catalogue of its topic knows it. SPEC.md, "Partition entry".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionEntry {
    /// Identity: that of its META once it has a directory.
    pub uuid: [u8; 16],
    /// When it became a partition of the topic.
    pub created: TimestampNs,
    /// First slot of its range.
    pub range_start: u32,
    /// First slot behind it.
    pub range_stop: u32,
    /// The numbers of the partitions that its range was split into; none while it is active.
    pub split: Range<u32>,
    /// Whether its directory was made: then it must be there.
    pub made: bool,
}

impl PartitionEntry {
    /// Whether keys of its range go to it.
    pub fn is_active(&self) -> bool {
        self.split.is_empty()
    }
}

impl TopicMeta {
    /// The whole file: 128 bytes, then an entry for each partition.
    ///
    /// # Panics
    /// If [`check`](Self::check) does not hold: a catalogue is checked when it is made or changed.
    pub fn encode(&self) -> Vec<u8> {
        assert_eq!(self.check(), Ok(()), "a catalogue is checked when it is made or changed");
        let mut header = [0; FILE_HEADER_BYTES];
        put(&mut header, UUID, &self.uuid);
        put(&mut header, CREATED, &self.created.get().to_le_bytes());
        put(&mut header, RING_SIZE, &self.ring_size.to_le_bytes());
        put(&mut header, PARTITION_COUNT, &(self.partitions.len() as u32).to_le_bytes());
        let mut entries = vec![0; self.partitions.len() * ENTRY_BYTES];
        for (partition, entry) in self.partitions.iter().zip(entries.chunks_exact_mut(ENTRY_BYTES)) {
            put(entry, ENTRY_UUID, &partition.uuid);
            put(entry, ENTRY_CREATED, &partition.created.get().to_le_bytes());
            put(entry, RANGE_START, &partition.range_start.to_le_bytes());
            put(entry, RANGE_STOP, &partition.range_stop.to_le_bytes());
            put(entry, SPLIT_FIRST, &(if partition.is_active() { 0 } else { partition.split.start }).to_le_bytes());
            put(entry, SPLIT_COUNT, &(partition.split.len() as u16).to_le_bytes());
            put(entry, FLAGS, &(if partition.made { MADE } else { 0 }).to_le_bytes());
        }
        finish_file_header(&mut header, MAGIC, &entries);
        [&header[..], &entries].concat()
    }

    /// Reads the whole file.
    ///
    /// # Errors
    /// [`DecodeError`], also where the ranges do not tile the ring; [`DecodeError::is_unsupported`] says whether a newer tidelog wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let entries = bytes.get(FILE_HEADER_BYTES..).unwrap_or_default();
        let header = check_file_header(bytes, MAGIC, entries)?;
        check_incompat(u32_at(header, INCOMPAT), 0)?;
        if !all_zero(&header[ZEROS..CHECKSUM]) {
            return Err(DecodeError::Pad);
        }
        let needed = u32_at(header, PARTITION_COUNT) as usize * ENTRY_BYTES;
        if entries.len() < needed {
            return Err(DecodeError::Truncated { needed: FILE_HEADER_BYTES + needed, found: bytes.len() });
        }
        if entries.len() > needed {
            return Err(DecodeError::Trailing { bytes: entries.len() - needed });
        }
        let topic = Self {
            uuid: get(header, UUID),
            created: TimestampNs::new(i64_at(header, CREATED)),
            ring_size: u32_at(header, RING_SIZE),
            partitions: entries.chunks_exact(ENTRY_BYTES).map(decode_entry).collect::<Result<_, _>>()?,
        };
        topic.check()?;
        Ok(topic)
    }

    /// Whether the ranges tile the ring: those that the topic was made with the whole of it, and those that a range was split into that range.
    /// Then those of the active partitions do as well.
    ///
    /// # Errors
    /// [`DecodeError::Field`] with what does not fit.
    pub fn check(&self) -> Result<(), DecodeError> {
        let count = self.partitions.len() as u32;
        if self.ring_size == 0 || self.ring_size > RING_SIZE_MAX {
            return Err(field("ring_size", self.ring_size));
        }
        let mut has_parent = vec![false; self.partitions.len()];
        for (number, partition) in (0..).zip(&self.partitions) {
            let (range, split) = (partition.range_start..partition.range_stop, &partition.split);
            if range.is_empty() || range.end > self.ring_size {
                return Err(field("range_stop", range.end));
            }
            if split.is_empty() {
                continue;
            }
            // Behind its parent, so that none descends from itself.
            if split.start <= number || split.end > count {
                return Err(field("split_first", split.start));
            }
            if split.len() < 2 {
                return Err(field("split_count", split.len() as u32));
            }
            let numbers = split.start as usize..split.end as usize;
            if has_parent[numbers.clone()].contains(&true) {
                return Err(field("split_first", split.start));
            }
            has_parent[numbers.clone()].fill(true);
            check_tiling(range, self.partitions[numbers].iter())?;
        }
        let mut first: Vec<&PartitionEntry> = self.partitions.iter().zip(has_parent).filter(|(_, has)| !has).map(|(entry, _)| entry).collect();
        first.sort_unstable_by_key(|entry| entry.range_start);
        check_tiling(0..self.ring_size, first.into_iter())
    }
}

/// Whether the ranges of `parts`, one after the other, are all of `whole`.
fn check_tiling<'a>(whole: Range<u32>, parts: impl Iterator<Item = &'a PartitionEntry>) -> Result<(), DecodeError> {
    let mut next = whole.start;
    for part in parts {
        if part.range_start != next {
            return Err(field("range_start", part.range_start));
        }
        next = part.range_stop;
    }
    if next == whole.end { Ok(()) } else { Err(field("range_stop", next)) }
}

fn decode_entry(entry: &[u8]) -> Result<PartitionEntry, DecodeError> {
    let (first, count, flags) = (u32_at(entry, SPLIT_FIRST), u16_at(entry, SPLIT_COUNT), u16_at(entry, FLAGS));
    if count == 0 && first != 0 {
        return Err(field("split_first", first));
    }
    if flags & !MADE != 0 {
        return Err(field("flags", flags.into()));
    }
    Ok(PartitionEntry {
        uuid: get(entry, ENTRY_UUID),
        created: TimestampNs::new(i64_at(entry, ENTRY_CREATED)),
        range_start: u32_at(entry, RANGE_START),
        range_stop: u32_at(entry, RANGE_STOP),
        split: first..first.checked_add(count.into()).ok_or(field("split_first", first))?,
        made: flags & MADE != 0,
    })
}

fn field(what: &'static str, found: u32) -> DecodeError {
    DecodeError::Field { what, found: found.into() }
}

const MAGIC: &[u8; 8] = b"TIDETOP\n";
const INCOMPAT: usize = 12; // u32
const UUID: usize = INCOMPAT + size_of::<u32>(); // 16 B
const CREATED: usize = UUID + 16; // i64
const RING_SIZE: usize = CREATED + size_of::<i64>(); // u32
const PARTITION_COUNT: usize = RING_SIZE + size_of::<u32>(); // u32
const ZEROS: usize = PARTITION_COUNT + size_of::<u32>();
const _: () = assert!(ZEROS == 48); // = SPEC.md, "TOPIC"

const ENTRY_UUID: usize = 0; // 16 B
const ENTRY_CREATED: usize = ENTRY_UUID + 16; // i64
const RANGE_START: usize = ENTRY_CREATED + size_of::<i64>(); // u32
const RANGE_STOP: usize = RANGE_START + size_of::<u32>(); // u32
const SPLIT_FIRST: usize = RANGE_STOP + size_of::<u32>(); // u32
const SPLIT_COUNT: usize = SPLIT_FIRST + size_of::<u32>(); // u16
const FLAGS: usize = SPLIT_COUNT + size_of::<u16>(); // u16
const ENTRY_BYTES: usize = FLAGS + size_of::<u16>();
const _: () = assert!(ENTRY_BYTES == 40); // = SPEC.md, "Partition entry"

const MADE: u16 = 1; // persisted: never renumber

/// So that the number of parts of a range fits its field.
const RING_SIZE_MAX: u32 = 1 << 15;
