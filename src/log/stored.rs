//! Records and batches as read: verified, zero-copy, and keeping what they stand in alive. Reads no file.

use std::sync::Arc;

use tidelog_format::{
    Attributes, Codec, DecodeError, Frame, FrameHeader, Header, HeaderIter, LeaderEpoch, NanosBlock, Offset, Position, Producer, RecordSpan,
    RecordView, TimestampNs,
};

use crate::config::codec_name;
use crate::io::SegmentMap;
use crate::log::codec::decompress;
use crate::log::record_times::RecordTimes;
use crate::log::seen;
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

/// A record that is alone in its frame, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SingleAt {
    pub(crate) offset: Offset,
    pub(crate) timestamp: TimestampNs,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) span: RecordSpan,
    /// Of its frame in the segment.
    pub(crate) position: u64,
    /// Its record section in the owner that it was found in.
    pub(crate) records: (usize, usize),
}

/// Why a batch cannot be handed out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// It does not verify.
    #[error(transparent)]
    Decode(DecodeError),
    /// It is compressed with a codec that this program was built without.
    #[error("compressed with {codec}, which this build cannot read")]
    Codec {
        /// The codec, and the feature.
        codec: &'static str,
    },
    /// It verifies, and is not what its codec makes.
    #[error("cannot be unpacked: {reason}")]
    Broken {
        /// What the codec says.
        reason: String,
    },
}

#[cold]
fn unpack(codec: Codec, frame: &Frame<'_>) -> Result<Arc<[u8]>, Unreadable> {
    let plain = decompress(codec, frame.records).ok_or(Unreadable::Codec { codec: codec_name(codec) })?;
    plain.map(Into::into).map_err(|reason| Unreadable::Broken { reason })
}

impl StoredBatch {
    /// Verifies and unpacks a batch that a tool read by itself: the frame at the start of `bytes`, which stands at `position` of the segment
    /// with `salt`.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn from_bytes(bytes: &[u8], salt: u64, position: Position) -> Result<Self, Unreadable> {
        let mut batch = None;
        Self::read_into(&mut batch, &Owner::Heap(bytes.into()), 0, bytes.len(), salt, position)?;
        Ok(batch.expect("it was read"))
    }

    /// Verifies the frame at `at` of `owner`, whose bytes end at `end`, and unpacks it into `batch`.
    #[inline]
    pub(crate) fn read_into<'batch>(
        batch: &'batch mut Option<Self>,
        owner: &Owner,
        at: usize,
        end: usize,
        salt: u64,
        position: Position,
    ) -> Result<&'batch FrameHeader, Unreadable> {
        let bytes = owner.slice(at, end);
        let frame = Frame::decode(bytes, salt, position).map_err(Unreadable::Decode)?;
        frame.verify_body().map_err(Unreadable::Decode)?;
        let place = |part: &[u8]| {
            let from = at + (part.as_ptr().addr() - bytes.as_ptr().addr());
            (from, from + part.len())
        };
        let codec = frame.header.attributes.codec().map_err(Unreadable::Decode)?;
        let plain = if codec == Codec::None { None } else { Some(unpack(codec, &frame)?) };
        let batch = batch.insert(Self {
            header: frame.header,
            nanos: frame.blocks.nanos,
            producer: frame.blocks.producer,
            position,
            records: plain.as_ref().map_or_else(|| place(frame.records), |plain| (0, plain.len())),
            packed: place(frame.packed),
            note: frame.blocks.note.map(place),
            plain,
            frame: owner.clone(),
        });
        Ok(&batch.header)
    }

    /// Offset of the first record.
    #[inline]
    pub fn base_offset(&self) -> Offset {
        self.header.base_offset
    }

    /// Offset after the last record.
    #[inline]
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
        self.header.max_timestamp()
    }

    /// Whether readers see its records: not a seal, a pad or a control batch.
    pub(crate) fn is_data(&self) -> bool {
        !self.header.attributes.contains(Attributes::NO_OFFSETS) && !self.header.attributes.contains(Attributes::CONTROL)
    }

    #[inline]
    fn owner(&self) -> Owner {
        self.plain.as_ref().map_or_else(|| self.frame.clone(), |plain| Owner::Heap(plain.clone()))
    }

    /// Bytes that its records take, not compressed.
    #[cfg(feature = "parquet")]
    pub(crate) fn record_bytes(&self) -> usize {
        self.bytes().len()
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match &self.plain {
            Some(plain) => plain,
            None => self.frame.slice(self.records.0, self.records.1),
        }
    }

    /// The records, borrowed: nothing is copied, counted or allocated.
    #[inline]
    pub fn records(&self) -> BatchRecords<'_> {
        BatchRecords { batch: self, bytes: self.bytes(), times: RecordTimes::new(&self.header, self.packed()), at: 0, number: 0, next_delta: 0 }
    }

    /// The packed nanoseconds, if the batch has them.
    #[inline]
    fn packed(&self) -> Option<(&NanosBlock, &[u8])> {
        self.nanos.as_ref().map(|nanos| (nanos, self.frame.slice(self.packed.0, self.packed.1)))
    }

    #[inline]
    fn timestamp(&self, delta_ms: i64, number: u32) -> TimestampNs {
        RecordTimes::new(&self.header, self.packed()).at(delta_ms, number)
    }

    /// The record at `at` of the record section, and where the next one begins. `None` behind the last one.
    #[inline]
    pub(crate) fn record_at(&self, at: &mut u32, number: &mut u32) -> Option<Result<StoredRecord, DecodeError>> {
        let span = match self.span_at(*at)? {
            Ok(span) => span,
            Err(error) => return Some(Err(error)),
        };
        *at = span.end;
        *number += 1;
        Some(Ok(self.record(span, *number - 1)))
    }

    /// The layout of the record at `at` of the record section; `None` behind the last one.
    #[inline(always)]
    pub(crate) fn span_at(&self, at: u32) -> Option<Result<RecordSpan, DecodeError>> {
        let bytes = self.bytes();
        ((at as usize) < bytes.len()).then(|| RecordSpan::decode(bytes, at as usize).and_then(|span| self.within(span)))
    }

    #[inline]
    fn record_ref<'a>(&'a self, view: RecordView<'a>, number: u32) -> RecordRef<'a> {
        RecordRef { offset: self.offset(view.span.offset_delta), timestamp: self.timestamp(view.span.timestamp_delta_ms, number), view }
    }

    /// A record that lies behind the offsets of its batch would be read under an offset of another.
    #[inline(always)]
    fn within(&self, span: RecordSpan) -> Result<RecordSpan, DecodeError> {
        if span.offset_delta > self.header.last_offset_delta {
            return Err(DecodeError::Field { what: "offset delta", found: span.offset_delta.into() });
        }
        Ok(span)
    }

    /// Record `number` of the batch, with this layout, borrowed.
    #[inline]
    pub(crate) fn record_ref_of(&self, span: RecordSpan, number: u32) -> RecordRef<'_> {
        self.record_ref(span.view(self.bytes()), number)
    }

    /// Record `number` of the batch, with this layout.
    #[inline(always)]
    pub(crate) fn record(&self, span: RecordSpan, number: u32) -> StoredRecord {
        StoredRecord {
            offset: self.offset(span.offset_delta),
            timestamp: self.timestamp(span.timestamp_delta_ms, number),
            leader_epoch: self.header.leader_epoch,
            producer_id: self.producer.map(|producer| producer.id),
            records: self.records,
            span,
            owner: self.owner(),
        }
    }

    #[inline]
    pub(crate) fn offset_of(&self, span: &RecordSpan) -> u64 {
        self.offset(span.offset_delta).get()
    }

    #[inline]
    fn offset(&self, delta: u32) -> Offset {
        Offset::new(self.header.base_offset.get() + u64::from(delta))
    }
}

/// The records of one batch, borrowed.
#[derive(Debug, Clone)]
pub struct BatchRecords<'a> {
    batch: &'a StoredBatch,
    bytes: &'a [u8],
    times: RecordTimes<'a>,
    at: usize,
    number: u32,
    /// Offsets only ever grow: a record with a lower one is passed by.
    next_delta: u32,
}

impl<'a> Iterator for BatchRecords<'a> {
    type Item = Result<RecordRef<'a>, DecodeError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let view = loop {
            if self.at >= self.bytes.len() {
                return None;
            }
            let view = RecordView::decode(self.bytes, self.at).and_then(|view| self.batch.within(view.span).map(|_| view));
            let view = match view {
                Ok(view) => view,
                Err(error) => {
                    self.at = self.bytes.len();
                    return Some(Err(error));
                }
            };
            self.at = view.span.end as usize;
            self.number += 1;
            if view.span.offset_delta >= self.next_delta {
                break view;
            }
        };
        self.next_delta = view.span.offset_delta + 1;
        let timestamp = self.times.at(view.span.timestamp_delta_ms, self.number - 1);
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
    /// A record that is alone in its frame, in the owner that it was found in.
    #[inline]
    pub(crate) fn of_single(single: &SingleAt, owner: &'a Owner) -> Self {
        let records = owner.slice(single.records.0, single.records.1);
        Self { offset: single.offset, timestamp: single.timestamp, view: single.span.view(records) }
    }

    /// Its number in the partition.
    #[inline]
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Its time.
    #[inline]
    pub fn timestamp(&self) -> TimestampNs {
        self.timestamp
    }

    /// Its key; `None` is not empty.
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.view.key()
    }

    /// Its value; `None` is not empty.
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.view.value()
    }

    /// Its headers, in order.
    #[inline]
    pub fn headers(&self) -> HeaderIter<'a> {
        self.view.headers()
    }

    /// Bytes of its key, its value, and the names and values of its headers.
    pub(crate) fn bytes(&self) -> u64 {
        let parts: usize = [self.key(), self.value()].into_iter().flatten().map(<[u8]>::len).sum();
        let headers: usize = self.headers().map(|header| header.name.len() + header.value.map_or(0, <[u8]>::len)).sum();
        (parts + headers) as u64
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
    /// The record at `offset` of the frame at `at`, if the frame verifies, is plain and dense, and holds it.
    #[inline(always)]
    pub(crate) fn find(map: SegmentMap, at: usize, end: usize, salt: u64, offset: Offset) -> Option<Self> {
        let bytes = map.bytes(at, end);
        let frame = Frame::decode(bytes, salt, Position::new(at as u64)).ok()?;
        let (header, attributes) = (&frame.header, frame.header.attributes);
        let delta = u32::try_from(offset.get().checked_sub(header.base_offset.get())?).ok()?;
        let is_dense = delta < header.record_count && u64::from(header.record_count) == u64::from(header.last_offset_delta) + 1;
        let is_data = !attributes.contains(Attributes::NO_OFFSETS) && !attributes.contains(Attributes::CONTROL);
        if !is_dense || !is_data || attributes.codec() != Ok(Codec::None) {
            return None;
        }
        let from = at + (frame.records.as_ptr().addr() - bytes.as_ptr().addr());
        let record = seen::record_at(&frame, salt, Position::new(at as u64), delta)?;
        let span = RecordSpan::decode(frame.records, record).ok()?;
        let packed = frame.blocks.nanos.as_ref().map(|nanos| (nanos, frame.packed));
        if span.offset_delta != delta {
            return None;
        }
        Some(Self {
            offset,
            timestamp: RecordTimes::new(header, packed).at(span.timestamp_delta_ms, delta),
            leader_epoch: header.leader_epoch,
            producer_id: frame.blocks.producer.map(|producer| producer.id),
            records: (from, from + frame.records.len()),
            span,
            owner: Owner::Map(map),
        })
    }

    /// A record that is alone in its frame, in the owner that it was found in.
    #[inline]
    pub(crate) fn of_single(single: &SingleAt, owner: &Owner) -> Self {
        let SingleAt { offset, timestamp, leader_epoch, span, records, .. } = *single;
        Self { offset, timestamp, leader_epoch, producer_id: None, records, span, owner: owner.clone() }
    }

    /// Its number in the partition.
    #[inline]
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Its time.
    #[inline]
    pub fn timestamp(&self) -> TimestampNs {
        self.timestamp
    }

    /// Its key; `None` is not empty.
    #[inline]
    pub fn key(&self) -> Option<&[u8]> {
        self.span.key(self.bytes())
    }

    /// Its value; `None` is not empty.
    #[inline]
    pub fn value(&self) -> Option<&[u8]> {
        self.span.value(self.bytes())
    }

    /// Its headers, in order.
    #[inline]
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

    #[inline]
    fn bytes(&self) -> &[u8] {
        self.owner.slice(self.records.0, self.records.1)
    }
}
