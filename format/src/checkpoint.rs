//! One of the two slots of CHECKPOINT: what was durable, where to go on, which offsets are deleted. Never the source of an offset.

use crate::bytes::{all_zero, get, i64_at, put, u32_at, u64_at};
use crate::checksum::{CHECKSUM, check_file_header, check_incompat, finish_file_header};
use crate::{DecodeError, EPOCH_MAX, FILE_HEADER_BYTES, LeaderEpoch, OFFSET_MAX, Offset, Position, SEGMENT_BYTES_MAX, SEQ_MAX, TimestampNs};

/// Size of a slot in the file; slot 0 at 0, slot 1 behind it. The first 128 bytes are used.
pub const SLOT_BYTES: usize = 4096;

/// A checkpoint. SPEC.md, "Checkpoint".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Grows by one with every write; slot `counter % 2`; the highest valid one wins.
    pub counter: u64,
    /// The partition.
    pub partition_uuid: [u8; 16],
    /// First readable offset. This is the authority.
    pub log_start: Offset,
    /// Everything below was durable: a lower bound of the next offset.
    pub durable_next_offset: Offset,
    /// `seq` of the segment that `tail_pos` is in.
    pub active_seq: u64,
    /// Its salt.
    pub active_salt: u64,
    /// Durable end in that segment; a multiple of 8.
    pub tail_pos: Position,
    /// Chain there.
    pub tail_chain: u32,
    /// Highest time of a record in that segment up to there; `i64::MIN` without records.
    pub max_ts: TimestampNs,
    /// The high water mark.
    pub high_water_mark: Offset,
    /// The writer's term.
    pub leader_epoch: LeaderEpoch,
    /// First offset of that term.
    pub epoch_start: Offset,
}

impl Checkpoint {
    /// The 128 used bytes of a slot; the rest of the 4 KiB stays zero.
    pub fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        put(&mut bytes, TAIL_CHAIN, &self.tail_chain.to_le_bytes());
        put(&mut bytes, COUNTER, &self.counter.to_le_bytes());
        put(&mut bytes, UUID, &self.partition_uuid);
        put(&mut bytes, LOG_START, &self.log_start.get().to_le_bytes());
        put(&mut bytes, DURABLE_NEXT, &self.durable_next_offset.get().to_le_bytes());
        put(&mut bytes, ACTIVE_SEQ, &self.active_seq.to_le_bytes());
        put(&mut bytes, ACTIVE_SALT, &self.active_salt.to_le_bytes());
        put(&mut bytes, TAIL_POS, &((self.tail_pos.get() / UNIT) as u32).to_le_bytes());
        put(&mut bytes, EPOCH, &self.leader_epoch.get().to_le_bytes());
        put(&mut bytes, EPOCH_START, &self.epoch_start.get().to_le_bytes());
        put(&mut bytes, HIGH_WATER_MARK, &self.high_water_mark.get().to_le_bytes());
        put(&mut bytes, MAX_TS, &self.max_ts.get().to_le_bytes());
        finish_file_header(&mut bytes, MAGIC, &[]);
        bytes
    }

    /// Reads a slot.
    ///
    /// # Errors
    /// [`DecodeError`]; a slot never written is all zero and so has a wrong magic number.
    pub fn decode(slot: &[u8]) -> Result<Self, DecodeError> {
        let bytes = check_file_header(slot, MAGIC, &[])?;
        check_incompat(u32_at(bytes, INCOMPAT), 0)?;
        let checkpoint = Self {
            counter: u64_at(bytes, COUNTER),
            partition_uuid: get(bytes, UUID),
            log_start: Offset::new(u64_at(bytes, LOG_START)),
            durable_next_offset: Offset::new(u64_at(bytes, DURABLE_NEXT)),
            active_seq: u64_at(bytes, ACTIVE_SEQ),
            active_salt: u64_at(bytes, ACTIVE_SALT),
            tail_pos: Position::new(u64::from(u32_at(bytes, TAIL_POS)) * UNIT),
            tail_chain: u32_at(bytes, TAIL_CHAIN),
            max_ts: TimestampNs::new(i64_at(bytes, MAX_TS)),
            high_water_mark: Offset::new(u64_at(bytes, HIGH_WATER_MARK)),
            leader_epoch: LeaderEpoch::new(u32_at(bytes, EPOCH)),
            epoch_start: Offset::new(u64_at(bytes, EPOCH_START)),
        };
        checkpoint.check()?;
        if !all_zero(&bytes[ZEROS..CHECKSUM]) || !all_zero(&slot[FILE_HEADER_BYTES..slot.len().min(SLOT_BYTES)]) {
            return Err(DecodeError::Pad);
        }
        Ok(checkpoint)
    }

    fn check(&self) -> Result<(), DecodeError> {
        let wrong = |what, found| Err(DecodeError::Field { what, found });
        // The next counter must be a number too.
        if self.counter == u64::MAX {
            return wrong("counter", self.counter);
        }
        if self.durable_next_offset > OFFSET_MAX {
            return wrong("durable_next_offset", self.durable_next_offset.get());
        }
        if self.log_start > self.durable_next_offset {
            return wrong("log_start", self.log_start.get());
        }
        if self.high_water_mark > OFFSET_MAX {
            return wrong("high_water_mark", self.high_water_mark.get());
        }
        if self.tail_pos > SEGMENT_BYTES_MAX {
            return wrong("tail_pos", self.tail_pos.get());
        }
        if self.epoch_start > OFFSET_MAX {
            return wrong("epoch_start", self.epoch_start.get());
        }
        if self.active_seq > SEQ_MAX {
            return wrong("active_seq", self.active_seq);
        }
        if self.leader_epoch > EPOCH_MAX {
            return wrong("leader_epoch", self.leader_epoch.get().into());
        }
        Ok(())
    }

    /// The file position of the slot that this checkpoint belongs in.
    pub fn slot_position(&self) -> Position {
        Position::new(self.counter % 2 * SLOT_BYTES as u64)
    }
}

const MAGIC: &[u8; 8] = b"TIDECKP\n";
const INCOMPAT: usize = 12; // u32
const TAIL_CHAIN: usize = INCOMPAT + size_of::<u32>(); // u32
const TAIL_POS: usize = TAIL_CHAIN + size_of::<u32>(); // u32, units of 8 B
const COUNTER: usize = TAIL_POS + size_of::<u32>(); // u64
const UUID: usize = COUNTER + size_of::<u64>(); // 16 B
const LOG_START: usize = UUID + 16; // u64
const DURABLE_NEXT: usize = LOG_START + size_of::<u64>(); // u64
const ACTIVE_SEQ: usize = DURABLE_NEXT + size_of::<u64>(); // u64
const ACTIVE_SALT: usize = ACTIVE_SEQ + size_of::<u64>(); // u64
const HIGH_WATER_MARK: usize = ACTIVE_SALT + size_of::<u64>(); // u64
const MAX_TS: usize = HIGH_WATER_MARK + size_of::<u64>(); // i64
const EPOCH_START: usize = MAX_TS + size_of::<i64>(); // u64
const EPOCH: usize = EPOCH_START + size_of::<u64>(); // u32
const ZEROS: usize = EPOCH + size_of::<u32>();
const _: () = assert!(ZEROS == 108 && ZEROS <= CHECKSUM); // = SPEC.md, "Checkpoint"

const UNIT: u64 = 8;
