//! One of the two slots of CHECKPOINT: what was durable, where to go on, which offsets are deleted. Never the source of an offset.

use crate::bytes::{all_zero, get, i64_at, put, u32_at, u64_at};
use crate::checksum::{CHECKSUM, check_file_header, check_incompat, finish_file_header};
use crate::{
    DecodeError, EPOCH_MAX, FILE_HEADER_BYTES, LeaderEpoch, OFFSET_MAX, Offset, Position, SEGMENT_BYTES_MAX, SEQ_MAX, TERMS_MAX, Term, Terms,
    TimestampNs,
};

/// Size of a slot in the file; slot 0 at 0, slot 1 behind it. The first sector of 512 bytes is used.
pub const SLOT_BYTES: usize = 4096;

/// A checkpoint. SPEC.md, "Checkpoint".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Grows by one with every write, around its end too; slot `counter % 2`; the newer valid one wins ([`is_newer_than`](Self::is_newer_than)).
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
    /// The writer's term and those before it.
    pub terms: Terms,
}

impl Checkpoint {
    /// The slot.
    pub fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut slot = [0; SLOT_BYTES];
        let (current, earlier) = (self.terms.newest(), earlier(&self.terms));
        for (entry, term) in slot[FILE_HEADER_BYTES..].chunks_exact_mut(TERM_BYTES).zip(earlier) {
            put(entry, TERM_START, &term.start.get().to_le_bytes());
            put(entry, TERM_EPOCH, &term.epoch.get().to_le_bytes());
        }
        let (header, rest) = slot.split_first_chunk_mut().expect("a slot is longer than its header");
        let bytes: &mut [u8; FILE_HEADER_BYTES] = header;
        put(bytes, EARLIER, &(earlier.len() as u32).to_le_bytes());
        put(bytes, TAIL_CHAIN, &self.tail_chain.to_le_bytes());
        put(bytes, COUNTER, &self.counter.to_le_bytes());
        put(bytes, UUID, &self.partition_uuid);
        put(bytes, LOG_START, &self.log_start.get().to_le_bytes());
        put(bytes, DURABLE_NEXT, &self.durable_next_offset.get().to_le_bytes());
        put(bytes, ACTIVE_SEQ, &self.active_seq.to_le_bytes());
        put(bytes, ACTIVE_SALT, &self.active_salt.to_le_bytes());
        put(bytes, TAIL_POS, &((self.tail_pos.get() / UNIT) as u32).to_le_bytes());
        put(bytes, EPOCH, &current.epoch.get().to_le_bytes());
        put(bytes, EPOCH_START, &current.start.get().to_le_bytes());
        put(bytes, HIGH_WATER_MARK, &self.high_water_mark.get().to_le_bytes());
        put(bytes, MAX_TS, &self.max_ts.get().to_le_bytes());
        finish_file_header(bytes, MAGIC, &rest[..earlier.len() * TERM_BYTES]);
        slot
    }

    /// Reads a slot.
    ///
    /// # Errors
    /// [`DecodeError`]; a slot never written is all zero and so has a wrong magic number.
    pub fn decode(slot: &[u8]) -> Result<Self, DecodeError> {
        let rest = slot.get(FILE_HEADER_BYTES..slot.len().min(SLOT_BYTES)).unwrap_or_default();
        // The number is under the checksum with what it counts: a wrong one cannot match.
        let count = u32_at(slot, EARLIER) as usize;
        let earlier = rest.get(..count.min(TERMS_MAX - 1) * TERM_BYTES).unwrap_or(rest);
        let bytes = check_file_header(slot, MAGIC, earlier)?;
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
            terms: decode_terms(
                earlier,
                count,
                Term { epoch: LeaderEpoch::new(u32_at(bytes, EPOCH)), start: Offset::new(u64_at(bytes, EPOCH_START)) },
            )?,
        };
        checkpoint.check()?;
        if !all_zero(&bytes[ZEROS..CHECKSUM]) || !all_zero(&rest[earlier.len()..]) {
            return Err(DecodeError::Pad);
        }
        Ok(checkpoint)
    }

    fn check(&self) -> Result<(), DecodeError> {
        let wrong = |what, found| Err(DecodeError::Field { what, found });
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
        if self.active_seq > SEQ_MAX {
            return wrong("active_seq", self.active_seq);
        }
        Ok(())
    }

    /// Whether this one was written later: counters compare as serial numbers do ([RFC 1982](https://www.rfc-editor.org/rfc/rfc1982)), so that none is
    /// the last.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.counter.wrapping_sub(other.counter).cast_signed() > 0
    }

    /// The file position of the slot that this checkpoint belongs in.
    pub fn slot_position(&self) -> Position {
        Position::new(self.counter % 2 * SLOT_BYTES as u64)
    }
}

fn earlier(terms: &Terms) -> &[Term] {
    let all = terms.as_slice();
    &all[..all.len() - 1]
}

/// Each term begins above the one before it.
fn decode_terms(earlier: &[u8], count: usize, current: Term) -> Result<Terms, DecodeError> {
    if count * TERM_BYTES != earlier.len() {
        return Err(DecodeError::Field { what: "earlier_terms", found: count as u64 });
    }
    let mut decoded = earlier.chunks_exact(TERM_BYTES).map(|entry| {
        let term = Term { epoch: LeaderEpoch::new(u32_at(entry, TERM_EPOCH)), start: Offset::new(u64_at(entry, TERM_START)) };
        if all_zero(&entry[TERM_ZEROS..]) { Ok(term) } else { Err(DecodeError::Pad) }
    });
    let first = decoded.next().transpose()?;
    let mut terms = Terms::new(first.unwrap_or(current));
    for term in decoded.chain(first.map(|_| Ok(current))) {
        let (term, before) = (term?, terms.newest());
        if term.epoch <= before.epoch {
            return Err(DecodeError::Field { what: "leader_epoch", found: term.epoch.get().into() });
        }
        if term.start <= before.start {
            return Err(DecodeError::Field { what: "epoch_start", found: term.start.get() });
        }
        terms.note(term);
    }
    let newest = terms.newest();
    if newest.epoch > EPOCH_MAX {
        return Err(DecodeError::Field { what: "leader_epoch", found: newest.epoch.get().into() });
    }
    if newest.start > OFFSET_MAX {
        return Err(DecodeError::Field { what: "epoch_start", found: newest.start.get() });
    }
    Ok(terms)
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
const EARLIER: usize = EPOCH + size_of::<u32>(); // u32
const ZEROS: usize = EARLIER + size_of::<u32>();
const _: () = assert!(ZEROS == 112 && ZEROS <= CHECKSUM); // = SPEC.md, "Checkpoint"

const TERM_START: usize = 0; // u64
const TERM_EPOCH: usize = TERM_START + size_of::<u64>(); // u32
const TERM_ZEROS: usize = TERM_EPOCH + size_of::<u32>();
const TERM_BYTES: usize = 16;
const _: () = assert!(FILE_HEADER_BYTES + (TERMS_MAX - 1) * TERM_BYTES == 512); // one sector: a slot is never half written

const UNIT: u64 = 8;
