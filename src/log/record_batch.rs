//! What is appended: a record, or a batch of records encoded as it will be stored. Assigns no offset.

use tidelog_format::{
    Attributes, BLOCKS_BYTES_MAX, Blocks, Codec, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameHeader, Header, NOTE_BYTES_MAX, Producer, TimestampNs,
    append_record, pack_nanos, padded,
};

use crate::config::check_codec;
use crate::error::{AppendError, ConfigError};
use crate::log::codec;

/// A record to append, borrowed.
///
/// ```
/// use tidelog::{Record, TimestampNs};
///
/// let order = Record::new("12 apples").key("customer 7").header("trace", Some(b"af31")).timestamp(TimestampNs::new(1_700_000_000_000_000_000));
/// let forget = Record::tombstone().key("customer 7");
/// assert_ne!(order, forget);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Vec<Header<'a>>,
    pub(crate) timestamp: Option<TimestampNs>,
}

impl<'a> Record<'a> {
    /// A record with a value and nothing else.
    pub fn new<V: AsRef<[u8]> + ?Sized>(value: &'a V) -> Self {
        Self { key: None, value: Some(value.as_ref()), headers: Vec::new(), timestamp: None }
    }

    /// A record with a null value, which is not an empty one.
    pub fn tombstone() -> Self {
        Self { key: None, value: None, headers: Vec::new(), timestamp: None }
    }

    /// Sets the key. Without one it is null, which is not empty.
    pub fn key<K: AsRef<[u8]> + ?Sized>(mut self, key: &'a K) -> Self {
        self.key = Some(key.as_ref());
        self
    }

    /// Adds a header. Order and duplicates are kept.
    pub fn header(mut self, name: &'a str, value: Option<&'a [u8]>) -> Self {
        self.headers.push(Header { name, value });
        self
    }

    /// Sets the time. Without one it is the time of the append.
    pub fn timestamp(mut self, timestamp: TimestampNs) -> Self {
        self.timestamp = Some(timestamp);
        self
    }
}

/// Records that are appended together: all of them, or none. Encoded once, as they will be stored; may be appended again and reused.
///
/// A record without a time takes the batch's base time: the first time given in the batch, or, if none is given, the time of the append.
///
/// ```
/// use tidelog::{AckLevel, Record, RecordBatch, Store};
///
/// # let dir = tempfile::tempdir()?;
/// # let partition = Store::open(dir.path())?.topic("readings")?.partition(0)?;
/// let mut batch = RecordBatch::new();
/// for reading in ["20.5", "20.7", "21.0"] {
///     batch.push(&Record::new(reading).key("cellar"))?;
/// }
/// let ack = partition.append_batch(&batch, AckLevel::Durable)?;
/// assert_eq!((ack.base_offset, ack.last_offset), (0.into(), 2.into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct RecordBatch {
    records: Vec<u8>,
    count: u32,
    base: Option<TimestampNs>,
    max: TimestampNs,
    /// Sub-millisecond nanoseconds of each record, once two of them differ.
    sub_millis: Vec<u32>,
    tombstone: bool,
    note: Option<Vec<u8>>,
    codec: Option<Codec>,
}

impl RecordBatch {
    /// An empty batch, compressed as the store's options say.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses the compression of this batch.
    ///
    /// # Errors
    /// [`ConfigError::CodecNotBuilt`] if this build cannot write it.
    pub fn with_codec(mut self, codec: Codec) -> Result<Self, ConfigError> {
        check_codec(codec)?;
        self.codec = Some(codec);
        Ok(self)
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`AppendError::TooLarge`] if the batch would pass what a frame can hold; it stays as it was.
    #[inline]
    pub fn push(&mut self, record: &Record<'_>) -> Result<(), AppendError> {
        let timestamp = record.timestamp.or(self.base);
        let base = self.base.or(timestamp).unwrap_or_default();
        let delta_ms = timestamp.filter(|timestamp| *timestamp != base).map_or(0, |timestamp| timestamp.millis() - base.millis());
        let (key, value, headers) = (record.key, record.value, &record.headers[..]);
        append_record(&mut self.records, RECORDS_BYTES_MAX, delta_ms, self.count, key, value, headers)
            .map_err(|bytes| AppendError::TooLarge { bytes: bytes as u64, limit: RECORDS_BYTES_MAX as u64 })?;
        self.note_time(base, timestamp);
        self.tombstone |= value.is_none();
        self.count += 1;
        Ok(())
    }

    #[inline]
    fn note_time(&mut self, base: TimestampNs, timestamp: Option<TimestampNs>) {
        let Some(timestamp) = timestamp else { return };
        self.max = if self.base.is_none() { timestamp } else { self.max.max(timestamp) };
        self.base = Some(base);
        let (uniform, sub_millis) = (base.sub_millis(), timestamp.sub_millis());
        if self.sub_millis.is_empty() && sub_millis != uniform {
            self.sub_millis.resize(self.count as usize, uniform);
        }
        if !self.sub_millis.is_empty() || sub_millis != uniform {
            self.sub_millis.push(sub_millis);
        }
    }

    /// Sets bytes of the application's own that are stored with the batch, all or nothing, and read back by
    /// [`StoredBatch::note`](crate::StoredBatch::note): for instance how far a source has been read. At most 1,024 bytes.
    ///
    /// # Errors
    /// [`AppendError::NoteTooLarge`].
    pub fn set_note(&mut self, note: Option<&[u8]>) -> Result<(), AppendError> {
        if let Some(note) = note
            && note.len() > NOTE_BYTES_MAX
        {
            return Err(AppendError::NoteTooLarge { bytes: note.len(), limit: NOTE_BYTES_MAX });
        }
        self.note = note.map(<[u8]>::to_vec);
        Ok(())
    }

    /// Records in the batch.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Encoded size, uncompressed and without the frame around it.
    pub fn bytes(&self) -> usize {
        self.records.len()
    }

    /// Takes all records and the note out, and keeps the memory and the codec.
    pub fn clear(&mut self) {
        self.records.clear();
        self.sub_millis.clear();
        (self.count, self.base, self.max, self.tombstone, self.note) = (0, None, TimestampNs::default(), false, None);
    }

    /// The parts of a frame. `default` is the codec if the batch chose none.
    #[inline(always)]
    pub(crate) fn encode<'a>(&'a self, default: Codec, scratch: &'a mut Scratch) -> Result<Encoded<'a>, AppendError> {
        self.encode_of(None, default, scratch)
    }

    /// The same, of a producer.
    #[inline(always)]
    pub(crate) fn encode_of<'a>(&'a self, producer: Option<Producer>, default: Codec, scratch: &'a mut Scratch) -> Result<Encoded<'a>, AppendError> {
        if self.count == 0 {
            return Err(AppendError::Empty);
        }
        scratch.clear();
        let codec = match self.codec.unwrap_or(default) {
            Codec::None => Codec::None,
            wanted => self.compress(wanted, &mut scratch.compressed)?,
        };
        let nanos = if self.sub_millis.is_empty() { None } else { pack_nanos(&self.sub_millis, &mut scratch.packed) };
        let blocks = Blocks { producer, nanos, note: self.note.as_deref(), ..Blocks::default() };
        let mut attributes = blocks.attributes().with_codec(codec);
        if self.tombstone {
            attributes = attributes.with(Attributes::HAS_TOMBSTONE);
        }
        if producer.is_some() || nanos.is_some() || self.note.is_some() {
            blocks.encode(&mut scratch.blocks);
        }
        let records = if codec == Codec::None { &self.records[..] } else { &scratch.compressed[..] };
        let times = self.base.map(|base| (base, self.max));
        let (blocks, packed) = (&scratch.blocks[..], &scratch.packed[..]);
        let frame_len = FRAME_HEADER_BYTES + blocks.len() + records.len() + packed.len();
        let body_crc = FrameHeader::body_crc_of(frame_len, records);
        let parts = FrameParts { frame_len, body_crc, attributes, count: self.count, offsets: self.count, times };
        Ok(Encoded { parts, blocks, records, packed })
    }

    /// Compresses the records; says so only if that makes them smaller.
    #[cold]
    fn compress(&self, codec: Codec, out: &mut Vec<u8>) -> Result<Codec, AppendError> {
        codec::compress(codec, &self.records, out).map_err(|reason| AppendError::Codec { reason })?;
        Ok(if out.len() < self.records.len() { codec } else { Codec::None })
    }
}

/// Buffers that an encoding borrows, kept to be used again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    compressed: Vec<u8>,
    packed: Vec<u8>,
    blocks: Vec<u8>,
}

impl Scratch {
    fn clear(&mut self) {
        self.compressed.clear();
        self.packed.clear();
        self.blocks.clear();
    }
}

/// What a frame's header is made of, but for what the append lock decides: offset, position, chain, claim.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameParts {
    /// Header, blocks and body, without padding.
    pub(crate) frame_len: usize,
    pub(crate) body_crc: u32,
    pub(crate) attributes: Attributes,
    /// Records.
    pub(crate) count: u32,
    /// Offsets that it takes: as many, or more if some of them have no record.
    pub(crate) offsets: u32,
    /// Base time and highest time; `None` for the time of the append.
    pub(crate) times: Option<(TimestampNs, TimestampNs)>,
}

impl FrameParts {
    /// A frame without a record, which takes offsets all the same.
    pub(crate) fn of_hole(offsets: u32) -> Self {
        // No lookup by time is to find it.
        let times = Some((TimestampNs::new(i64::MIN), TimestampNs::new(i64::MIN)));
        let (frame_len, body_crc) = (FRAME_HEADER_BYTES, FrameHeader::body_crc_of(FRAME_HEADER_BYTES, &[]));
        Self { frame_len, body_crc, attributes: Attributes::default(), count: 0, offsets, times }
    }

    /// As [`FrameHeader::data_records`].
    pub(crate) fn data_records(&self) -> u32 {
        if self.attributes.contains(Attributes::CONTROL) { 0 } else { self.count }
    }

    /// Bytes in the file.
    pub(crate) fn stored_bytes(&self) -> usize {
        padded(self.frame_len)
    }
}

/// A frame without its header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoded<'a> {
    pub(crate) parts: FrameParts,
    pub(crate) blocks: &'a [u8],
    pub(crate) records: &'a [u8],
    pub(crate) packed: &'a [u8],
}

impl Encoded<'_> {
    /// Stores everything behind the header into `frame`, which is as long as the stored frame.
    #[inline]
    pub(crate) fn store(&self, frame: &mut [u8]) {
        let mut at = FRAME_HEADER_BYTES;
        for part in [self.blocks, self.records, self.packed] {
            if !part.is_empty() {
                frame[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
        }
        frame[at..].fill(0);
    }
}

const RECORDS_BYTES_MAX: usize = FRAME_BYTES_MAX as usize - FRAME_HEADER_BYTES - BLOCKS_BYTES_MAX - (8 << 20);
