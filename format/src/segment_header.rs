//! The first 128 bytes of a segment: whose it is, where it begins, what it makes dead. Never rewritten once named.

use crate::bytes::{all_zero, get, i64_at, put, u32_at, u64_at};
use crate::checksum::{CHECKSUM, check_file_header, check_incompat, finish_file_header};
use crate::{DecodeError, EPOCH_MAX, FILE_HEADER_BYTES, LeaderEpoch, OFFSET_MAX, Offset, SEQ_MAX, TimestampNs};

/// Size of a segment header; the first frame begins here.
pub const SEGMENT_HEADER_BYTES: usize = FILE_HEADER_BYTES;
/// Largest segment file: positions stay below 4 GiB.
pub const SEGMENT_BYTES_MAX: u64 = (1 << 32) - 4096;

/// A segment header. SPEC.md, "Segment header".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The partition that the segment belongs to.
    pub partition_uuid: [u8; 16],
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Frames at this offset or above in files of lower `seq` are dead. At most `base_offset`; equal to it in a rewrite.
    pub prev_end: Offset,
    /// For a rewrite: frames in `base_offset..rewrite_end` of lower `seq` are dead. `None` for a tail segment.
    pub rewrite_end: Option<Offset>,
    /// Grows by one with every segment file ever made in the partition, but for those that a repair makes in place of one: 1..=[`SEQ_MAX`].
    pub seq: u64,
    /// Random, never zero, of this file alone: part of every frame's checksum.
    pub salt: u64,
    /// When it was made.
    pub created: TimestampNs,
    /// Bytes that the file may grow to; stored rounded down to a multiple of 8.
    pub capacity: u64,
    /// The writer's term.
    pub leader_epoch: LeaderEpoch,
    /// First offset of that term.
    pub epoch_start: Offset,
    /// First readable offset when the segment was made.
    pub log_start: Offset,
    /// Chain after the last live frame before `base_offset`.
    pub chain_seed: u32,
    /// Bit 0: the chain restarted here, after a gap or a rewrite. Bit 1: recovery, or a repair, made this segment, and what it cuts off was not cut off on
    /// purpose. The others are zero, and mean nothing to this version.
    pub flags: u32,
}

impl SegmentHeader {
    /// Bit 0 of `flags`.
    pub const CHAIN_RESTARTED: u32 = 1;
    /// Bit 1 of `flags`.
    pub const BY_RECOVERY: u32 = 2;

    /// The header of a new partition's first segment.
    pub fn first(partition_uuid: [u8; 16], salt: u64, created_ts_ns: i64, capacity: u64) -> Self {
        Self {
            partition_uuid,
            base_offset: Offset::ZERO,
            prev_end: Offset::ZERO,
            rewrite_end: None,
            seq: 1,
            salt,
            created: TimestampNs::new(created_ts_ns),
            capacity,
            leader_epoch: LeaderEpoch::new(0),
            epoch_start: Offset::ZERO,
            log_start: Offset::ZERO,
            chain_seed: 0,
            flags: 0,
        }
    }

    /// The 128 bytes.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        put(&mut bytes, UUID, &self.partition_uuid);
        put(&mut bytes, BASE_OFFSET, &self.base_offset.get().to_le_bytes());
        put(&mut bytes, PREV_END, &self.prev_end.get().to_le_bytes());
        put(&mut bytes, REWRITE_END, &self.rewrite_end.map_or(u64::MAX, Offset::get).to_le_bytes());
        put(&mut bytes, SEQ, &self.seq.to_le_bytes());
        put(&mut bytes, SALT, &self.salt.to_le_bytes());
        put(&mut bytes, CREATED, &self.created.get().to_le_bytes());
        put(&mut bytes, CAPACITY, &((self.capacity / UNIT) as u32).to_le_bytes());
        put(&mut bytes, EPOCH, &self.leader_epoch.get().to_le_bytes());
        put(&mut bytes, EPOCH_START, &self.epoch_start.get().to_le_bytes());
        put(&mut bytes, LOG_START, &self.log_start.get().to_le_bytes());
        put(&mut bytes, CHAIN_SEED, &self.chain_seed.to_le_bytes());
        put(&mut bytes, FLAGS, &self.flags.to_le_bytes());
        finish_file_header(&mut bytes, MAGIC, &[]);
        bytes
    }

    /// Reads a header from the start of `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`]; [`DecodeError::is_unsupported`] says whether a newer tidelog wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let bytes = check_file_header(bytes, MAGIC, &[])?;
        check_incompat(u32_at(bytes, INCOMPAT), 0)?;
        let rewrite_end = u64_at(bytes, REWRITE_END);
        let header = Self {
            partition_uuid: get(bytes, UUID),
            base_offset: Offset::new(u64_at(bytes, BASE_OFFSET)),
            prev_end: Offset::new(u64_at(bytes, PREV_END)),
            rewrite_end: (rewrite_end != u64::MAX).then_some(Offset::new(rewrite_end)),
            seq: u64_at(bytes, SEQ),
            salt: u64_at(bytes, SALT),
            created: TimestampNs::new(i64_at(bytes, CREATED)),
            capacity: u64::from(u32_at(bytes, CAPACITY)) * UNIT,
            leader_epoch: LeaderEpoch::new(u32_at(bytes, EPOCH)),
            epoch_start: Offset::new(u64_at(bytes, EPOCH_START)),
            log_start: Offset::new(u64_at(bytes, LOG_START)),
            chain_seed: u32_at(bytes, CHAIN_SEED),
            flags: u32_at(bytes, FLAGS),
        };
        header.check(bytes)?;
        Ok(header)
    }

    fn check(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        let wrong = |what, found| Err(DecodeError::Field { what, found });
        if self.base_offset.get() > OFFSET_MAX {
            return wrong("base_offset", self.base_offset.get());
        }
        if self.prev_end > self.base_offset {
            return wrong("prev_end", self.prev_end.get());
        }
        if let Some(end) = self.rewrite_end {
            if end <= self.base_offset || end > OFFSET_MAX {
                return wrong("rewrite_end", end.get());
            }
            if self.prev_end != self.base_offset {
                return wrong("prev_end", self.prev_end.get());
            }
        }
        if self.epoch_start > OFFSET_MAX {
            return wrong("epoch_start", self.epoch_start.get());
        }
        if self.log_start > OFFSET_MAX {
            return wrong("log_start", self.log_start.get());
        }
        if self.leader_epoch > EPOCH_MAX {
            return wrong("leader_epoch", self.leader_epoch.get().into());
        }
        if self.seq == 0 || self.seq > SEQ_MAX {
            return wrong("seq", self.seq);
        }
        if self.salt == 0 {
            return wrong("salt", 0);
        }
        if self.capacity < SEGMENT_HEADER_BYTES as u64 || self.capacity > SEGMENT_BYTES_MAX {
            return wrong("capacity", self.capacity);
        }
        if !all_zero(&bytes[ZEROS..CHECKSUM]) {
            return Err(DecodeError::Pad);
        }
        Ok(())
    }
}

const MAGIC: &[u8; 8] = b"TIDELOG\n";
const INCOMPAT: usize = 12; // u32, behind magic, version, header_len
const UUID: usize = INCOMPAT + size_of::<u32>(); // 16 B
const BASE_OFFSET: usize = UUID + 16; // u64
const PREV_END: usize = BASE_OFFSET + size_of::<u64>(); // u64
const REWRITE_END: usize = PREV_END + size_of::<u64>(); // u64
const SEQ: usize = REWRITE_END + size_of::<u64>(); // u64
const SALT: usize = SEQ + size_of::<u64>(); // u64
const CREATED: usize = SALT + size_of::<u64>(); // i64
const CAPACITY: usize = CREATED + size_of::<i64>(); // u32, units of 8 B
const EPOCH: usize = CAPACITY + size_of::<u32>(); // u32
const EPOCH_START: usize = EPOCH + size_of::<u32>(); // u64
const LOG_START: usize = EPOCH_START + size_of::<u64>(); // u64
const CHAIN_SEED: usize = LOG_START + size_of::<u64>(); // u32
const FLAGS: usize = CHAIN_SEED + size_of::<u32>(); // u32
const ZEROS: usize = FLAGS + size_of::<u32>();
const _: () = assert!(ZEROS == 112 && CHECKSUM + size_of::<u32>() == SEGMENT_HEADER_BYTES); // = SPEC.md, "Segment header"

const UNIT: u64 = 8;
