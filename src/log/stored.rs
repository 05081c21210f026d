//! Records and batches as read: verified, zero-copy, and keeping what they stand in alive. Reads no file.

use std::sync::Arc;

use tidelog_format::{
    Attributes, Codec, DecodeError, Frame, FrameHeader, Header, HeaderIter, LeaderEpoch, NanosBlock, Offset, Position, Producer, RecordSpan,
    RecordView, TimestampNs, unpack_nano,
};

use crate::config::codec_name;
use crate::log::codec::decompress;
use crate::log::segment::Owner;

/// A batch as it was appended, verified. Cheap to clone; keeps its bytes alive.
#[derive(Debug, Clone)]
pub struct StoredBatch {
    header: FrameHeader,
    nanos: Option<NanosBlock>,
    producer: Option<Producer>,
    position: Position,
    frame: Owner,
    /// The uncompressed records, if they are not those of the frame.
    plain: Option<Arc<[u8]>>,
    records: (usize, usize),
    packed: (usize, usize),
    note: Option<(usize, usize)>,
}

/// Why a frame cannot be handed out.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Decode(DecodeError),
    Codec(&'static str),
    Broken(String),
}

impl StoredBatch {
    /// Verifies the frame at `at` of `owner`, whose bytes end at `end`, and unpacks it.
    #[inline]
    pub(crate) fn read(owner: &Owner, at: usize, end: usize, salt: u64, position: Position) -> Result<Self, Unreadable> {
        let bytes = owner.slice(at, end);
        let frame = Frame::decode(bytes, salt, position).map_err(Unreadable::Decode)?;
        frame.verify_body().map_err(Unreadable::Decode)?;
        let place = |part: &[u8]| {
            let from = at + (part.as_ptr().addr() - bytes.as_ptr().addr());
            (from, from + part.len())
        };
        let mut batch = Self {
            header: frame.header,
            nanos: frame.blocks.nanos,
            producer: frame.blocks.producer,
            position,
            records: place(frame.records),
            packed: place(frame.packed),
            note: frame.blocks.note.map(place),
            plain: None,
            frame: owner.clone(),
        };
        let codec = frame.header.attributes.codec().map_err(Unreadable::Decode)?;
        if codec != Codec::None {
            batch.unpack(codec, &frame)?;
        }
        Ok(batch)
    }

    #[cold]
    fn unpack(&mut self, codec: Codec, frame: &Frame<'_>) -> Result<(), Unreadable> {
        let plain = decompress(codec, frame.records).ok_or(Unreadable::Codec(codec_name(codec)))?.map_err(Unreadable::Broken)?;
        self.records = (0, plain.len());
        self.plain = Some(plain.into());
        Ok(())
    }

    /// Offset of the first record.
    pub fn base_offset(&self) -> Offset {
        self.header.base_offset
    }

    /// Offset after the last record.
    pub fn next_offset(&self) -> Offset {
        self.header.next_offset()
    }

    /// Records in the batch.
    pub fn len(&self) -> usize {
        self.header.record_count as usize
    }

    /// Whether there is none: a seal, or everything was compacted away.
    pub fn is_empty(&self) -> bool {
        self.header.record_count == 0
    }

    /// Where it stands in its segment file.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Bytes that it takes there.
    pub fn stored_bytes(&self) -> u64 {
        self.header.stored_bytes() as u64
    }

    /// How it is compressed.
    pub fn codec(&self) -> Codec {
        self.header.attributes.codec().unwrap_or_default()
    }

    /// The bytes that the application stored with the batch.
    pub fn note(&self) -> Option<&[u8]> {
        self.note.map(|(from, to)| self.frame.slice(from, to))
    }

    /// Term of the writer.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.header.leader_epoch
    }

    /// The idempotent producer that it came from.
    pub fn producer_id(&self) -> Option<i64> {
        self.producer.map(|producer| producer.id)
    }

    /// Highest time of a record.
    pub fn max_timestamp(&self) -> TimestampNs {
        max_timestamp(&self.header)
    }

    pub(crate) fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// Whether readers see its records: not a seal, a pad or a control batch.
    pub(crate) fn is_data(&self) -> bool {
        !self.header.attributes.contains(Attributes::NO_OFFSETS) && !self.header.attributes.contains(Attributes::CONTROL)
    }

    fn owner(&self) -> Owner {
        self.plain.as_ref().map_or_else(|| self.frame.clone(), |plain| Owner::Heap(plain.clone()))
    }

    fn bytes(&self) -> &[u8] {
        match &self.plain {
            Some(plain) => plain,
            None => self.frame.slice(self.records.0, self.records.1),
        }
    }

    /// The records, borrowed: nothing is copied, counted or allocated.
    pub fn records(&self) -> BatchRecords<'_> {
        BatchRecords { batch: self, bytes: self.bytes(), at: 0, number: 0 }
    }

    fn timestamp(&self, delta_ms: i64, number: u32) -> TimestampNs {
        let header = &self.header;
        if header.attributes.contains(Attributes::LOG_APPEND_TIME) {
            return max_timestamp(header);
        }
        if header.attributes.contains(Attributes::TS_MILLIS) {
            return TimestampNs::from_parts(header.base_ts.get().saturating_add(delta_ms), 0);
        }
        let sub_millis = match &self.nanos {
            None => header.base_ts.sub_millis(),
            Some(nanos) => unpack_nano(nanos, self.frame.slice(self.packed.0, self.packed.1), number).unwrap_or(0),
        };
        TimestampNs::from_parts(header.base_ts.millis().saturating_add(delta_ms), sub_millis)
    }

    /// The record at `at` of the record section, and where the next one begins. `None` behind the last one.
    #[inline]
    pub(crate) fn record_at(&self, at: &mut u32, number: &mut u32) -> Option<Result<StoredRecord, DecodeError>> {
        let bytes = self.bytes();
        if *at as usize >= bytes.len() {
            return None;
        }
        let span = match RecordSpan::decode(bytes, *at as usize) {
            Ok(span) => span,
            Err(error) => return Some(Err(error)),
        };
        let timestamp = self.timestamp(span.timestamp_delta_ms, *number);
        *at = span.end;
        *number += 1;
        Some(Ok(StoredRecord {
            offset: self.offset(span.offset_delta),
            timestamp,
            leader_epoch: self.header.leader_epoch,
            producer_id: self.producer.map(|producer| producer.id),
            records: self.records,
            span,
            owner: self.owner(),
        }))
    }

    fn offset(&self, delta: u32) -> Offset {
        Offset::new(self.header.base_offset.get() + u64::from(delta))
    }
}

/// Highest time of a record in a frame, in nanoseconds whatever the header holds.
pub(crate) fn max_timestamp(header: &FrameHeader) -> TimestampNs {
    if header.attributes.contains(Attributes::TS_MILLIS) { TimestampNs::from_parts(header.max_ts.get(), 0) } else { header.max_ts }
}

/// The records of one batch, borrowed.
#[derive(Debug, Clone)]
pub struct BatchRecords<'a> {
    batch: &'a StoredBatch,
    bytes: &'a [u8],
    at: usize,
    number: u32,
}

impl<'a> Iterator for BatchRecords<'a> {
    type Item = Result<RecordRef<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let view = match RecordView::decode(self.bytes, self.at) {
            Ok(view) => view,
            Err(error) => {
                self.at = self.bytes.len();
                return Some(Err(error));
            }
        };
        self.at = view.span.end as usize;
        self.number += 1;
        let timestamp = self.batch.timestamp(view.span.timestamp_delta_ms, self.number - 1);
        Some(Ok(RecordRef { offset: self.batch.offset(view.span.offset_delta), timestamp, view }))
    }
}

/// A record, borrowed from its batch.
#[derive(Debug, Clone, Copy)]
pub struct RecordRef<'a> {
    offset: Offset,
    timestamp: TimestampNs,
    view: RecordView<'a>,
}

impl<'a> RecordRef<'a> {
    /// Its number in the partition.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Its time.
    pub fn timestamp(&self) -> TimestampNs {
        self.timestamp
    }

    /// Its key; `None` is not empty.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.view.key()
    }

    /// Its value; `None` is not empty.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.view.value()
    }

    /// Its headers, in order.
    pub fn headers(&self) -> HeaderIter<'a> {
        self.view.headers()
    }
}

/// A record. Zero-copy: it keeps the mapping (or buffer) that it stands in alive, whatever becomes of the partition.
#[derive(Debug, Clone)]
pub struct StoredRecord {
    offset: Offset,
    timestamp: TimestampNs,
    leader_epoch: LeaderEpoch,
    producer_id: Option<i64>,
    records: (usize, usize),
    span: RecordSpan,
    owner: Owner,
}

impl StoredRecord {
    /// Its number in the partition.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Its time.
    pub fn timestamp(&self) -> TimestampNs {
        self.timestamp
    }

    /// Its key; `None` is not empty.
    pub fn key(&self) -> Option<&[u8]> {
        self.span.key(self.bytes())
    }

    /// Its value; `None` is not empty.
    pub fn value(&self) -> Option<&[u8]> {
        self.span.value(self.bytes())
    }

    /// Its headers, in order.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = Header<'_>> {
        self.span.headers(self.bytes())
    }

    /// Term of the writer that appended it.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// The idempotent producer that it came from.
    pub fn producer_id(&self) -> Option<i64> {
        self.producer_id
    }

    fn bytes(&self) -> &[u8] {
        self.owner.slice(self.records.0, self.records.1)
    }
}
