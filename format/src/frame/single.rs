//! A frame of one record and nothing else, read in one go: what a log of single appends is made of.

use crate::bytes::{i64_at, u32_at, u64_at};
use crate::checksum::{crc32, mix32, place_word};
use crate::{EPOCH_MAX, LeaderEpoch, OFFSET_MAX, Offset, Position, RecordSpan, TimestampNs};

use super::{
    ATTRIBUTES, Attributes, BASE_OFFSET, BASE_TS, CHECKSUM, DURABLE_BACK, FRAME_HEADER_BYTES, FRAME_LEN, FRAME_MAGIC, HEAD_CRC, LAST_OFFSET_DELTA,
    LEADER_EPOCH, MAGIC, RECORD_COUNT, SMALL_FRAME_BYTES_MAX, padded,
};

/// One record in a small frame without blocks, codec or times of its own, verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Single<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its time.
    pub timestamp: TimestampNs,
    /// Term of the writer that appended it.
    pub leader_epoch: LeaderEpoch,
    /// The record section.
    pub records: &'a [u8],
    /// Where the parts of the record stand in it.
    pub span: RecordSpan,
    /// Bytes of the frame in the file, with padding.
    pub stored_bytes: usize,
}

impl<'a> Single<'a> {
    /// Reads the frame at the start of `bytes`, which stands at `position` of the segment that `salt` belongs to.
    ///
    /// `None` for any other frame, and for one that is not right or not whole: [`Frame::decode`](crate::Frame::decode) says which. Where there is
    /// one, that and [`verify_body`](crate::Frame::verify_body) would find the same.
    #[inline(always)]
    pub fn decode(bytes: &'a [u8], salt: u64, position: Position) -> Option<Self> {
        let header = bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
        let (frame_len, attributes) = (u32_at(header, FRAME_LEN), u32_at(header, ATTRIBUTES));
        let is_plain = attributes & !Attributes::HAS_TOMBSTONE.0 == 0 && u32_at(header, RECORD_COUNT) == 1 && u32_at(header, LAST_OFFSET_DELTA) == 0;
        let is_small = (FRAME_HEADER_BYTES as u32..=SMALL_FRAME_BYTES_MAX).contains(&frame_len);
        if !is_plain || !is_small || u32_at(header, MAGIC) != FRAME_MAGIC {
            return None;
        }
        let (frame_len, stored_bytes) = (frame_len as usize, padded(frame_len as usize));
        let stored = bytes.get(..stored_bytes)?;
        // The padding is the last of these eight bytes, if there is any.
        let is_padded = u64_at(stored, stored_bytes - 8).leading_zeros() as usize >= 8 * (stored_bytes - frame_len);
        let frame = &stored[..frame_len];
        let place = place_word(salt, position.get(), u32_at(header, DURABLE_BACK));
        let (offset, leader_epoch) = (Offset::new(u64_at(header, BASE_OFFSET)), LeaderEpoch::new(u32_at(header, LEADER_EPOCH)));
        let is_right = u32_at(header, CHECKSUM) ^ place ^ mix32(u32_at(header, HEAD_CRC)) == crc32(&frame[BASE_OFFSET..]);
        if !is_right || !is_padded || offset.get() >= OFFSET_MAX || leader_epoch > EPOCH_MAX {
            return None;
        }
        let records = &frame[FRAME_HEADER_BYTES..];
        let span = RecordSpan::decode(records, 0).ok()?;
        let is_alone = span.end as usize == records.len() && span.offset_delta == 0 && span.timestamp_delta_ms == 0;
        is_alone.then_some(Self { offset, timestamp: TimestampNs::new(i64_at(header, BASE_TS)), leader_epoch, records, span, stored_bytes })
    }
}
