//! One batch frame: a 64-byte header, optional blocks, the record section, zero padding to 8. Does not look inside records.

use crate::bytes::{all_zero, get, i64_at, put, u16_at, u32_at, u64_at};
use crate::checksum::{check_incompat, mix32, place_word};
use crate::nanos::{packed_bytes, unpack_nano};
use crate::{DecodeError, EPOCH_MAX, LeaderEpoch, NanosBlock, OFFSET_MAX, Offset, Position, TimestampNs, crc32};

mod single;

pub use single::Single;

/// Size of a frame header.
pub const FRAME_HEADER_BYTES: usize = 64;
/// Frames begin at multiples of this.
pub const FRAME_ALIGN: usize = 8;
/// First four bytes of every frame, "TDLF". Never zero, so that zeros are never a frame.
pub const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"TDLF");
/// Largest `frame_len`: 1 GiB, so that sums of two positions stay below 4 GiB.
pub const FRAME_BYTES_MAX: u32 = 1 << 30;
/// Frames of at most this many bytes are under one checksum, body and all: two short ones cost twice as much.
pub const SMALL_FRAME_BYTES_MAX: u32 = 512;
/// Largest note in a NOTE block.
pub const NOTE_BYTES_MAX: usize = 1024;
/// Most bytes that the optional blocks of one frame take.
pub const BLOCKS_BYTES_MAX: usize = PRODUCER_BYTES + REPLICATION_BYTES + NanosBlock::BYTES + padded(NOTE_HEAD_BYTES + NOTE_BYTES_MAX);
/// `durable_back` of a frame that claims nothing.
pub const NO_CLAIM: u32 = u32::MAX;

/// `len` rounded up to a multiple of [`FRAME_ALIGN`].
pub const fn padded(len: usize) -> usize {
    len.next_multiple_of(FRAME_ALIGN)
}

/// How a batch's record section is compressed. Kafka's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Codec {
    /// Not at all.
    #[default]
    None = 0, // persisted: never renumber
    /// gzip; stored for a Kafka client that sent it.
    Gzip = 1,
    /// Snappy; stored for a Kafka client that sent it.
    Snappy = 2,
    /// LZ4 frame.
    Lz4 = 3,
    /// Zstandard.
    Zstd = 4,
}

/// The attribute bits of a frame. The low 16 are Kafka's and go to the wire as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Attributes(pub u32);

impl Attributes {
    const CODEC: u32 = 0b111;
    const KNOWN_INCOMPAT: u32 = 0;
    const INCOMPAT: u32 = 0xf << 28;
    /// Bit 3: the log, not the producer, set the times: `max_ts` is the time of every record.
    pub const LOG_APPEND_TIME: Self = Self(1 << 3);
    /// Bit 4: part of a transaction.
    pub const TRANSACTIONAL: Self = Self(1 << 4);
    /// Bit 5: control records, not for consumers.
    pub const CONTROL: Self = Self(1 << 5);
    /// Bit 6: `base_ts` is the delete horizon of a compacted batch.
    pub const DELETE_HORIZON: Self = Self(1 << 6);
    /// Bit 16: a PRODUCER block is there.
    pub const PRODUCER: Self = Self(1 << 16);
    /// Bit 17: a REPLICATION block is there.
    pub const REPLICATION: Self = Self(1 << 17);
    /// Bit 18: a NANOS block is there, and packed values behind the records.
    pub const NANOS: Self = Self(1 << 18);
    /// Bit 19: the header's times are milliseconds as received from Kafka, whole range.
    pub const TS_MILLIS: Self = Self(1 << 19);
    /// Bit 20: takes no offset (seal, pad, consensus blank): the next offset is `base_offset`.
    pub const NO_OFFSETS: Self = Self(1 << 20);
    /// Bit 21: the seal of a segment.
    pub const SEAL: Self = Self(1 << 21);
    /// Bit 22: filler.
    pub const PAD: Self = Self(1 << 22);
    /// Bit 23: at least one record has a null value.
    pub const HAS_TOMBSTONE: Self = Self(1 << 23);
    /// Bit 24: a NOTE block is there.
    pub const NOTE: Self = Self(1 << 24);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of bits.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// A seal or pad takes no offset and is not both; times that are whole milliseconds have no nanoseconds beside them.
    const fn contradict(self) -> bool {
        let (seal, pad) = (self.contains(Self::SEAL), self.contains(Self::PAD));
        ((seal || pad) && !self.contains(Self::NO_OFFSETS)) || (seal && pad) || self.contains(Self::TS_MILLIS.with(Self::NANOS))
    }

    /// Bits 0-2.
    pub const fn with_codec(self, codec: Codec) -> Self {
        Self(self.0 & !Self::CODEC).with(Self(codec as u32))
    }

    /// The codec of bits 0-2.
    ///
    /// # Errors
    /// [`DecodeError::Field`] for a number that no codec has.
    pub const fn codec(self) -> Result<Codec, DecodeError> {
        Ok(match self.0 & Self::CODEC {
            0 => Codec::None,
            1 => Codec::Gzip,
            2 => Codec::Snappy,
            3 => Codec::Lz4,
            4 => Codec::Zstd,
            other => return Err(DecodeError::Field { what: "codec", found: other as u64 }),
        })
    }
}

/// The fixed part of a frame. SPEC.md, "Frame header".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Header, blocks and body, without the padding.
    pub frame_len: u32,
    /// Offset of the first record (or, with `NO_OFFSETS`, the next one).
    pub base_offset: Offset,
    /// What the records' deltas count from: the time of the first record, or with bit 6 the delete horizon. Milliseconds with
    /// `TS_MILLIS`.
    pub base_ts: TimestampNs,
    /// Highest time of a record; milliseconds with `TS_MILLIS`.
    pub max_ts: TimestampNs,
    /// Last offset minus `base_offset`.
    pub last_offset_delta: u32,
    /// Records in the body; less than the offsets span after compaction.
    pub record_count: u32,
    /// What the frame is.
    pub attributes: Attributes,
    /// Term of the writer.
    pub leader_epoch: LeaderEpoch,
    /// Checksum chain before this frame.
    pub chain: u32,
    /// Distance back to the durable position of this segment, in units of 8 bytes; [`NO_CLAIM`] for none.
    pub durable_back: u32,
    /// CRC-32 of the records as stored; 0 in a frame of at most [`SMALL_FRAME_BYTES_MAX`].
    pub body_crc: u32,
}

impl FrameHeader {
    /// The offset after this frame.
    pub fn next_offset(&self) -> Offset {
        if self.attributes.contains(Attributes::NO_OFFSETS) {
            self.base_offset
        } else {
            Offset::new(self.base_offset.get() + u64::from(self.last_offset_delta) + 1)
        }
    }

    /// `max_ts` in nanoseconds, whatever the frame holds; saturates at the ends of `i64`.
    pub fn max_timestamp(&self) -> TimestampNs {
        if self.attributes.contains(Attributes::TS_MILLIS) { TimestampNs::from_parts(self.max_ts.get(), 0) } else { self.max_ts }
    }

    /// Records for consumers, which seals, indexes and checkpoints count.
    pub const fn data_records(&self) -> u32 {
        if self.attributes.contains(Attributes::CONTROL) { 0 } else { self.record_count }
    }

    /// Bytes of the frame in the file, with padding.
    pub fn stored_bytes(&self) -> usize {
        padded(self.frame_len as usize)
    }

    /// The position in this segment up to which the writer knew everything to be durable, for a frame at `position`.
    pub fn durable_position(&self, position: Position) -> Option<Position> {
        if self.durable_back == NO_CLAIM {
            return None;
        }
        position.get().checked_sub(u64::from(self.durable_back) * FRAME_ALIGN as u64).map(Position::new)
    }

    /// Whether one checksum covers all of the frame.
    pub const fn is_small(&self) -> bool {
        self.frame_len <= SMALL_FRAME_BYTES_MAX
    }

    /// `body_crc` of a frame of `frame_len` bytes with these records.
    #[inline]
    pub fn body_crc_of(frame_len: usize, records: &[u8]) -> u32 {
        if frame_len <= SMALL_FRAME_BYTES_MAX as usize { 0 } else { crc32(records) }
    }

    /// Stores this header into the first 64 bytes of `frame`, whose blocks and body are there already, for `position` of the segment that
    /// `salt` belongs to. Returns the chain after it.
    ///
    /// # Panics
    /// If `frame` ends before what the checksum covers: the blocks, and the body of a frame of at most [`SMALL_FRAME_BYTES_MAX`].
    #[inline(always)]
    pub fn encode_into(&self, frame: &mut [u8], salt: u64, position: Position) -> u32 {
        let place = place_word(salt, position.get(), self.durable_back);
        let mut header = [0; FRAME_HEADER_BYTES];
        put(&mut header, MAGIC, &FRAME_MAGIC.to_le_bytes());
        put(&mut header, DURABLE_BACK, &self.durable_back.to_le_bytes());
        put(&mut header, BODY_CRC, &self.body_crc.to_le_bytes());
        put(&mut header, BASE_OFFSET, &self.base_offset.get().to_le_bytes());
        put(&mut header, BASE_TS, &self.base_ts.get().to_le_bytes());
        put(&mut header, MAX_TS, &self.max_ts.get().to_le_bytes());
        put(&mut header, LAST_OFFSET_DELTA, &self.last_offset_delta.to_le_bytes());
        put(&mut header, RECORD_COUNT, &self.record_count.to_le_bytes());
        put(&mut header, ATTRIBUTES, &self.attributes.0.to_le_bytes());
        put(&mut header, LEADER_EPOCH, &self.leader_epoch.get().to_le_bytes());
        put(&mut header, FRAME_LEN, &self.frame_len.to_le_bytes());
        put(&mut header, CHAIN, &self.chain.to_le_bytes());
        frame[..FRAME_HEADER_BYTES].copy_from_slice(&header);
        let head_end = FRAME_HEADER_BYTES + blocks_len(self.attributes, frame).expect("the blocks are there");
        let (content, bound) = if self.is_small() {
            let head_crc = crc32(&frame[BASE_OFFSET..head_end]) ^ place;
            put(frame, HEAD_CRC, &head_crc.to_le_bytes());
            (crc32(&frame[BASE_OFFSET..self.frame_len as usize]), place ^ mix32(head_crc))
        } else {
            (crc32(&frame[BODY_CRC..head_end]), place)
        };
        put(frame, CHECKSUM, &(content ^ bound).to_le_bytes());
        self.chain_after(content)
    }

    #[inline(always)]
    fn chain_after(&self, content: u32) -> u32 {
        let is_filler = self.attributes.contains(Attributes::SEAL) || self.attributes.contains(Attributes::PAD);
        if is_filler { self.chain } else { content }
    }

    /// The header and what its checksum covers.
    #[inline(always)]
    fn decode(bytes: &[u8], salt: u64, position: Position) -> Result<(Self, Covered), DecodeError> {
        let header = bytes.get(..FRAME_HEADER_BYTES).ok_or(DecodeError::Truncated { needed: FRAME_HEADER_BYTES, found: bytes.len() })?;
        let magic = u32_at(header, MAGIC);
        if magic != FRAME_MAGIC {
            return Err(DecodeError::Magic { expected: FRAME_MAGIC.into(), found: magic.into() });
        }
        let covered = Covered::of(bytes, place_word(salt, position.get(), u32_at(header, DURABLE_BACK)))?;
        let attributes = Attributes(u32_at(header, ATTRIBUTES));
        check_incompat(attributes.0 & Attributes::INCOMPAT, Attributes::KNOWN_INCOMPAT)?;
        let frame_len = u32_at(header, FRAME_LEN);
        let decoded = Self {
            frame_len,
            base_offset: Offset::new(u64_at(header, BASE_OFFSET)),
            base_ts: TimestampNs::new(i64_at(header, BASE_TS)),
            max_ts: TimestampNs::new(i64_at(header, MAX_TS)),
            last_offset_delta: u32_at(header, LAST_OFFSET_DELTA),
            record_count: u32_at(header, RECORD_COUNT),
            attributes,
            leader_epoch: LeaderEpoch::new(u32_at(header, LEADER_EPOCH)),
            chain: u32_at(header, CHAIN),
            durable_back: u32_at(header, DURABLE_BACK),
            body_crc: if frame_len <= SMALL_FRAME_BYTES_MAX { 0 } else { u32_at(header, BODY_CRC) },
        };
        decoded.check(covered.blocks_len)?;
        Ok((decoded, covered))
    }

    #[inline(always)]
    fn check(&self, blocks_len: usize) -> Result<(), DecodeError> {
        if (self.frame_len as usize) < FRAME_HEADER_BYTES + blocks_len || self.frame_len > FRAME_BYTES_MAX {
            return Err(DecodeError::Field { what: "frame_len", found: self.frame_len.into() });
        }
        let taken = if self.attributes.contains(Attributes::NO_OFFSETS) { 0 } else { self.last_offset_delta.saturating_add(1) };
        // Kafka holds the delta in an i32.
        if self.last_offset_delta > i32::MAX as u32 || (taken == 0 && self.last_offset_delta != 0) {
            return Err(DecodeError::Field { what: "last_offset_delta", found: self.last_offset_delta.into() });
        }
        if self.base_offset.get() > OFFSET_MAX - u64::from(taken) {
            return Err(DecodeError::Field { what: "base_offset", found: self.base_offset.get() });
        }
        if self.record_count > taken {
            return Err(DecodeError::Field { what: "record_count", found: self.record_count.into() });
        }
        if self.leader_epoch > EPOCH_MAX {
            return Err(DecodeError::Field { what: "leader_epoch", found: self.leader_epoch.get().into() });
        }
        if self.attributes.contradict() {
            return Err(DecodeError::Field { what: "attributes", found: self.attributes.0.into() });
        }
        Ok(())
    }
}

/// What the checksum of a frame covers. Header and blocks are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Covered {
    blocks_len: usize,
    /// Checksum of the content as it is.
    content: u32,
    /// And as it was when the frame was stored.
    stored: u32,
}

impl Covered {
    #[inline(always)]
    fn of(bytes: &[u8], place: u32) -> Result<Self, DecodeError> {
        let (frame_len, attributes, checksum) = (u32_at(bytes, FRAME_LEN), Attributes(u32_at(bytes, ATTRIBUTES)), u32_at(bytes, CHECKSUM));
        let blocks_len = blocks_len(attributes, bytes)?;
        let head_end = FRAME_HEADER_BYTES + blocks_len;
        let truncated = |end| DecodeError::Truncated { needed: padded(end), found: bytes.len() };
        if frame_len > SMALL_FRAME_BYTES_MAX {
            let content = crc32(bytes.get(BODY_CRC..head_end).ok_or(truncated(head_end))?);
            if content ^ place != checksum {
                return Err(DecodeError::Checksum { what: "frame header", expected: checksum, found: content ^ place });
            }
            return Ok(Self { blocks_len, content, stored: content });
        }
        let end = head_end.max(frame_len as usize);
        let Some(content) = bytes.get(BASE_OFFSET..end) else {
            // What is there is told apart all the same: it may be of a newer version.
            Self::check_head(bytes.get(..head_end).ok_or(truncated(head_end))?, place)?;
            check_incompat(attributes.0 & Attributes::INCOMPAT, Attributes::KNOWN_INCOMPAT)?;
            return Err(truncated(end));
        };
        let (content, stored) = (crc32(content), checksum ^ place ^ mix32(u32_at(bytes, HEAD_CRC)));
        if content != stored {
            Self::check_head(&bytes[..head_end], place)?;
        }
        Ok(Self { blocks_len, content, stored })
    }

    /// Whether header and blocks of a small frame are right by themselves.
    #[cold]
    fn check_head(head: &[u8], place: u32) -> Result<(), DecodeError> {
        let (expected, found) = (u32_at(head, HEAD_CRC), crc32(&head[BASE_OFFSET..]) ^ place);
        if expected == found { Ok(()) } else { Err(DecodeError::Checksum { what: "frame header", expected, found }) }
    }
}

/// What a frame header says of itself, unverified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// Bytes of the frame in the file, with padding.
    pub stored_bytes: usize,
    /// Offset of the first record.
    pub base_offset: Offset,
    /// The offset after the frame.
    pub next_offset: Offset,
}

/// Looks at the header at the start of `bytes` without its checksum, to pass by a frame: whatever is at the end of such a walk must
/// [`decode`](Frame::decode). `None` for what cannot be a header.
#[inline(always)]
pub fn glance(bytes: &[u8]) -> Option<Glance> {
    let header = bytes.get(..FRAME_HEADER_BYTES)?;
    let frame_len = u32_at(header, FRAME_LEN);
    let is_frame = u32_at(header, MAGIC) == FRAME_MAGIC && (FRAME_HEADER_BYTES as u32..=FRAME_BYTES_MAX).contains(&frame_len);
    let takes_offsets = !Attributes(u32_at(header, ATTRIBUTES)).contains(Attributes::NO_OFFSETS);
    let span = if takes_offsets { u64::from(u32_at(header, LAST_OFFSET_DELTA)) + 1 } else { 0 };
    let base_offset = u64_at(header, BASE_OFFSET);
    let next_offset = Offset::new(base_offset.checked_add(span)?);
    is_frame.then_some(Glance { stored_bytes: padded(frame_len as usize), base_offset: Offset::new(base_offset), next_offset })
}

/// Who produced a batch, for idempotence. Kafka's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    /// Identity of the producer.
    pub id: i64,
    /// Its incarnation.
    pub epoch: i16,
    /// Sequence number of the first record.
    pub base_sequence: i32,
}

/// Where a batch stands in a replicated log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replication {
    /// Index of the entry.
    pub log_index: u64,
    /// Node that led when it was proposed.
    pub leader_node: u32,
    /// Kind of entry, in the consensus library's numbers.
    pub kind: u8,
}

/// The optional blocks of a frame, in stored order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Blocks<'a> {
    /// PRODUCER, 16 B.
    pub producer: Option<Producer>,
    /// REPLICATION, 16 B.
    pub replication: Option<Replication>,
    /// NANOS, 8 B.
    pub nanos: Option<NanosBlock>,
    /// NOTE: bytes of the application, committed with the batch; at most [`NOTE_BYTES_MAX`].
    pub note: Option<&'a [u8]>,
}

impl<'a> Blocks<'a> {
    /// The attribute bits that say which blocks are there.
    pub fn attributes(&self) -> Attributes {
        let bit = |there: bool, bit: Attributes| if there { bit } else { Attributes::default() };
        bit(self.producer.is_some(), Attributes::PRODUCER)
            .with(bit(self.replication.is_some(), Attributes::REPLICATION))
            .with(bit(self.nanos.is_some(), Attributes::NANOS))
            .with(bit(self.note.is_some(), Attributes::NOTE))
    }

    /// Appends the blocks to `out`.
    ///
    /// # Panics
    /// If the note is longer than [`NOTE_BYTES_MAX`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        if let Some(producer) = self.producer {
            out.extend(producer.id.to_le_bytes());
            out.extend(producer.epoch.to_le_bytes());
            out.extend([0; 2]);
            out.extend(producer.base_sequence.to_le_bytes());
        }
        if let Some(replication) = self.replication {
            out.extend(replication.log_index.to_le_bytes());
            out.extend(replication.leader_node.to_le_bytes());
            out.extend([replication.kind, 0, 0, 0]);
        }
        if let Some(nanos) = self.nanos {
            out.extend(nanos.encode());
        }
        if let Some(note) = self.note {
            assert!(note.len() <= NOTE_BYTES_MAX, "a note has at most {NOTE_BYTES_MAX} bytes");
            out.extend((note.len() as u16).to_le_bytes());
            out.extend([0; 2]);
            out.extend(note);
            out.resize(out.len() + padded(NOTE_HEAD_BYTES + note.len()) - NOTE_HEAD_BYTES - note.len(), 0);
        }
    }

    fn decode(attributes: Attributes, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut blocks = Self::default();
        let mut at = 0;
        if attributes.contains(Attributes::PRODUCER) {
            let (id, epoch) = (i64_at(bytes, at), i16::from_le_bytes(get(bytes, at + 8)));
            zeros(bytes, at + 10, at + 12)?;
            blocks.producer = Some(Producer { id, epoch, base_sequence: i32::from_le_bytes(get(bytes, at + 12)) });
            at += PRODUCER_BYTES;
        }
        if attributes.contains(Attributes::REPLICATION) {
            let [kind] = get(bytes, at + 12);
            zeros(bytes, at + 13, at + REPLICATION_BYTES)?;
            blocks.replication = Some(Replication { log_index: u64_at(bytes, at), leader_node: u32_at(bytes, at + 8), kind });
            at += REPLICATION_BYTES;
        }
        if attributes.contains(Attributes::NANOS) {
            blocks.nanos = Some(NanosBlock::decode(bytes.get(at..).unwrap_or_default())?);
            at += NanosBlock::BYTES;
        }
        if attributes.contains(Attributes::NOTE) {
            let note_len = usize::from(u16_at(bytes, at));
            let note_end = at + NOTE_HEAD_BYTES + note_len;
            zeros(bytes, at + 2, at + NOTE_HEAD_BYTES)?;
            zeros(bytes, note_end, at + padded(NOTE_HEAD_BYTES + note_len))?;
            blocks.note = bytes.get(at + NOTE_HEAD_BYTES..note_end);
        }
        Ok(blocks)
    }
}

fn zeros(bytes: &[u8], from: usize, to: usize) -> Result<(), DecodeError> {
    if all_zero(bytes.get(from..to).unwrap_or_default()) { Ok(()) } else { Err(DecodeError::Pad) }
}

/// A frame in a slice: header and blocks verified, body not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The header, verified.
    pub header: FrameHeader,
    /// The blocks, verified.
    pub blocks: Blocks<'a>,
    /// The record section as stored, perhaps compressed.
    pub records: &'a [u8],
    /// The packed nanoseconds.
    pub packed: &'a [u8],
    covered: Covered,
    pad: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the frame at the start of `bytes`, which stands at `position` of the segment that `salt` belongs to.
    /// Verifies header and blocks; call [`verify_body`](Self::verify_body) before using what they describe.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if more bytes are needed to judge, else what is wrong.
    #[inline(always)]
    pub fn decode(bytes: &'a [u8], salt: u64, position: Position) -> Result<Self, DecodeError> {
        let (header, covered) = FrameHeader::decode(bytes, salt, position)?;
        let stored = header.stored_bytes();
        if bytes.len() < stored {
            return Err(DecodeError::Truncated { needed: stored, found: bytes.len() });
        }
        let blocks_len = covered.blocks_len;
        let block_bytes = &bytes[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + blocks_len];
        let blocks = if blocks_len == 0 { Blocks::default() } else { Blocks::decode(header.attributes, block_bytes)? };
        let packed_len = blocks.nanos.map_or(0, |nanos| packed_bytes(nanos.width, header.record_count));
        let body = &bytes[FRAME_HEADER_BYTES + blocks_len..header.frame_len as usize];
        let records_len = body.len().checked_sub(packed_len).ok_or(DecodeError::Field { what: "frame_len", found: header.frame_len.into() })?;
        let (records, packed) = body.split_at(records_len);
        Ok(Self { header, blocks, records, packed, covered, pad: &bytes[header.frame_len as usize..stored] })
    }

    /// The time of record number `index` of the body, whose stored delta is `delta_ms`; saturates at the ends of `i64`. `None` if
    /// the packed nanoseconds hold no such record. With `LOG_APPEND_TIME` it is the batch's, as Kafka's clients have it.
    #[inline]
    pub fn record_timestamp(&self, index: u32, delta_ms: i64) -> Option<TimestampNs> {
        if self.header.attributes.contains(Attributes::LOG_APPEND_TIME) {
            return Some(self.header.max_timestamp());
        }
        let base = self.header.base_ts;
        if self.header.attributes.contains(Attributes::TS_MILLIS) {
            return Some(TimestampNs::from_parts(base.get().saturating_add(delta_ms), 0));
        }
        let sub_millis = match &self.blocks.nanos {
            Some(nanos) => unpack_nano(nanos, self.packed, index)?,
            None => base.sub_millis(),
        };
        Some(TimestampNs::from_parts(base.millis().saturating_add(delta_ms), sub_millis))
    }

    /// The chain after this frame, whether or not its body is still what was stored; not if its checksum is what is damaged.
    #[inline]
    pub fn chain_after(&self) -> u32 {
        self.header.chain_after(self.covered.stored)
    }

    /// Checks everything that the frame's first checksum does not cover: records, packed nanoseconds, padding.
    ///
    /// # Errors
    /// What does not match.
    #[inline(always)]
    pub fn verify_body(&self) -> Result<(), DecodeError> {
        let (expected, found) =
            if self.header.is_small() { (self.covered.stored, self.covered.content) } else { (self.header.body_crc, crc32(self.records)) };
        if expected != found {
            return Err(DecodeError::Checksum { what: "records", expected, found });
        }
        if let Some(nanos) = self.blocks.nanos {
            let found = crc32(self.packed);
            if found != nanos.crc {
                return Err(DecodeError::Checksum { what: "nanos", expected: nanos.crc, found });
            }
        }
        if all_zero(self.pad) { Ok(()) } else { Err(DecodeError::Pad) }
    }
}

#[inline(always)]
fn blocks_len(attributes: Attributes, bytes: &[u8]) -> Result<usize, DecodeError> {
    let any = Attributes::PRODUCER.with(Attributes::REPLICATION).with(Attributes::NANOS).with(Attributes::NOTE);
    let mut len = 0;
    if attributes.0 & any.0 == 0 {
        return Ok(0);
    }
    if attributes.contains(Attributes::PRODUCER) {
        len += PRODUCER_BYTES;
    }
    if attributes.contains(Attributes::REPLICATION) {
        len += REPLICATION_BYTES;
    }
    if attributes.contains(Attributes::NANOS) {
        len += NanosBlock::BYTES;
    }
    if attributes.contains(Attributes::NOTE) {
        let at = FRAME_HEADER_BYTES + len;
        if bytes.len() < at + NOTE_HEAD_BYTES {
            return Err(DecodeError::Truncated { needed: at + NOTE_HEAD_BYTES, found: bytes.len() });
        }
        let note_len = usize::from(u16_at(bytes, at));
        if note_len > NOTE_BYTES_MAX {
            return Err(DecodeError::Field { what: "note length", found: note_len as u64 });
        }
        len += padded(NOTE_HEAD_BYTES + note_len);
    }
    Ok(len)
}

const MAGIC: usize = 0; // u32
const CHECKSUM: usize = MAGIC + size_of::<u32>(); // u32
const DURABLE_BACK: usize = CHECKSUM + size_of::<u32>(); // u32
const BODY_CRC: usize = DURABLE_BACK + size_of::<u32>(); // u32
const HEAD_CRC: usize = BODY_CRC; // u32
const BASE_OFFSET: usize = BODY_CRC + size_of::<u32>(); // u64
const BASE_TS: usize = BASE_OFFSET + size_of::<u64>(); // i64
const MAX_TS: usize = BASE_TS + size_of::<i64>(); // i64
const LAST_OFFSET_DELTA: usize = MAX_TS + size_of::<i64>(); // u32
const RECORD_COUNT: usize = LAST_OFFSET_DELTA + size_of::<u32>(); // u32
const ATTRIBUTES: usize = RECORD_COUNT + size_of::<u32>(); // u32
const LEADER_EPOCH: usize = ATTRIBUTES + size_of::<u32>(); // u32
const FRAME_LEN: usize = LEADER_EPOCH + size_of::<u32>(); // u32
const CHAIN: usize = FRAME_LEN + size_of::<u32>(); // u32
const _: () = assert!(CHAIN + size_of::<u32>() == FRAME_HEADER_BYTES && BASE_OFFSET == 16); // = SPEC.md, "Frame header"

const PRODUCER_BYTES: usize = 16;
const REPLICATION_BYTES: usize = 16;
const NOTE_HEAD_BYTES: usize = 4; // length u16, zero u16
