//! The last 128 bytes of a finished segment: a frame that sums it up, so that it opens in O(1). Takes no offset.

use crate::bytes::{all_zero, i64_at, put, u32_at, u64_at};
use crate::{Attributes, DecodeError, FRAME_HEADER_BYTES, Frame, FrameHeader, LeaderEpoch, Offset, Position, TimestampNs};

/// Size of a seal: a frame header and a 64-byte body.
pub const SEAL_BYTES: usize = FRAME_HEADER_BYTES + BODY_BYTES;

/// What a segment holds. SPEC.md, "Seal".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// The segment's salt, a second copy in case the header rots.
    pub salt: u64,
    /// The segment's base offset.
    pub base_offset: Offset,
    /// The offset after its last frame.
    pub next_offset: Offset,
    /// Records in it.
    pub records: u64,
    /// Highest time of a record; `i64::MIN` without records.
    pub max_ts: TimestampNs,
    /// First readable offset when it was sealed.
    pub log_start: Offset,
    /// Epoch of the first frame.
    pub first_epoch: LeaderEpoch,
    /// Epoch of the last frame.
    pub last_epoch: LeaderEpoch,
    /// Chain after the last frame.
    pub chain_out: u32,
}

impl Seal {
    /// The whole frame, for `position` of its segment.
    pub fn encode(&self, position: Position, durable_back: u32) -> [u8; SEAL_BYTES] {
        let body = self.body();
        let header = FrameHeader {
            frame_len: SEAL_BYTES as u32,
            base_offset: self.next_offset,
            base_ts: self.max_ts,
            max_ts: self.max_ts,
            last_offset_delta: 0,
            record_count: 0,
            attributes: Attributes::SEAL.with(Attributes::NO_OFFSETS),
            leader_epoch: self.last_epoch,
            chain: self.chain_out,
            durable_back,
            body_crc: FrameHeader::body_crc_of(SEAL_BYTES, &body),
        };
        let mut bytes = [0; SEAL_BYTES];
        put(&mut bytes, FRAME_HEADER_BYTES, &body);
        header.encode_into(&mut bytes, self.salt, position);
        bytes
    }

    /// The seal in a frame whose attributes say that it is one. Verifies the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the body does not verify, has another size, or says something else than the frame around it.
    pub fn decode(frame: &Frame<'_>) -> Result<Self, DecodeError> {
        frame.verify_body()?;
        let body = frame.records;
        if body.len() != BODY_BYTES || frame.header.frame_len as usize != SEAL_BYTES || !frame.header.attributes.contains(Attributes::SEAL) {
            return Err(DecodeError::Field { what: "seal length", found: body.len() as u64 });
        }
        if !all_zero(&body[ZEROS..]) {
            return Err(DecodeError::Pad);
        }
        let seal = Self {
            salt: u64_at(body, SALT),
            base_offset: Offset::new(u64_at(body, BASE_OFFSET)),
            next_offset: Offset::new(u64_at(body, NEXT_OFFSET)),
            records: u64_at(body, RECORDS),
            max_ts: TimestampNs::new(i64_at(body, MAX_TS)),
            log_start: Offset::new(u64_at(body, LOG_START)),
            first_epoch: LeaderEpoch::new(u32_at(body, FIRST_EPOCH)),
            last_epoch: LeaderEpoch::new(u32_at(body, LAST_EPOCH)),
            chain_out: u32_at(body, CHAIN_OUT),
        };
        if seal.next_offset != frame.header.base_offset || seal.base_offset > seal.next_offset {
            return Err(DecodeError::Field { what: "seal next_offset", found: seal.next_offset.get() });
        }
        if seal.chain_out != frame.header.chain {
            return Err(DecodeError::Field { what: "seal chain_out", found: seal.chain_out.into() });
        }
        Ok(seal)
    }

    fn body(&self) -> [u8; BODY_BYTES] {
        let mut body = [0; BODY_BYTES];
        put(&mut body, SALT, &self.salt.to_le_bytes());
        put(&mut body, BASE_OFFSET, &self.base_offset.get().to_le_bytes());
        put(&mut body, NEXT_OFFSET, &self.next_offset.get().to_le_bytes());
        put(&mut body, RECORDS, &self.records.to_le_bytes());
        put(&mut body, MAX_TS, &self.max_ts.get().to_le_bytes());
        put(&mut body, LOG_START, &self.log_start.get().to_le_bytes());
        put(&mut body, FIRST_EPOCH, &self.first_epoch.get().to_le_bytes());
        put(&mut body, LAST_EPOCH, &self.last_epoch.get().to_le_bytes());
        put(&mut body, CHAIN_OUT, &self.chain_out.to_le_bytes());
        body
    }
}

/// The seal in the last 128 bytes of a file of `file_len` bytes, if `tail` (the last bytes of the file) ends with a right one.
/// With `salt` of `None`, for a damaged segment header, the seal's own salt must verify it.
pub fn decode_seal_at_end(tail: &[u8], file_len: u64, salt: Option<u64>) -> Option<(Seal, Position)> {
    let start = tail.len().checked_sub(SEAL_BYTES)?;
    let position = Position::new(file_len.checked_sub(SEAL_BYTES as u64)?);
    let bytes = &tail[start..];
    let salt = salt.unwrap_or_else(|| u64_at(&bytes[FRAME_HEADER_BYTES..], SALT));
    let frame = Frame::decode(bytes, salt, position).ok()?;
    let seal = Seal::decode(&frame).ok()?;
    (seal.salt == salt).then_some((seal, position))
}

const SALT: usize = 0; // u64
const BASE_OFFSET: usize = SALT + size_of::<u64>(); // u64
const NEXT_OFFSET: usize = BASE_OFFSET + size_of::<u64>(); // u64
const RECORDS: usize = NEXT_OFFSET + size_of::<u64>(); // u64
const MAX_TS: usize = RECORDS + size_of::<u64>(); // i64
const LOG_START: usize = MAX_TS + size_of::<i64>(); // u64
const FIRST_EPOCH: usize = LOG_START + size_of::<u64>(); // u32
const LAST_EPOCH: usize = FIRST_EPOCH + size_of::<u32>(); // u32
const CHAIN_OUT: usize = LAST_EPOCH + size_of::<u32>(); // u32
const ZEROS: usize = CHAIN_OUT + size_of::<u32>();
const BODY_BYTES: usize = 64;
const _: () = assert!(ZEROS == 60 && SEAL_BYTES == 128); // = SPEC.md, "Seal"
