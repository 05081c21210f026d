//! META: which partition a directory is. Rebuilt from segment headers when it is gone, so never the only copy of what recovery needs.

use crate::bytes::{all_zero, get, i64_at, put, u16_at, u32_at};
use crate::checksum::{CHECKSUM, check_file_header, check_incompat, finish_file_header};
use crate::{DecodeError, FILE_HEADER_BYTES, TimestampNs, is_name};

/// Longest namespace or topic name, in bytes. Kafka's limit for topics.
pub const NAME_BYTES_MAX: usize = 249;

/// The identity of a partition. SPEC.md, "META".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Features that any version may ignore.
    pub compat: u32,
    /// Features that a version must know to write.
    pub ro_compat: u32,
    /// Random identity.
    pub uuid: [u8; 16],
    /// When it was made.
    pub created: TimestampNs,
    /// Number of the partition in its topic.
    pub index: u32,
    /// Slots of the topic's key-hash ring.
    pub ring_size: u32,
    /// First slot of this partition.
    pub range_start: u32,
    /// First slot after it.
    pub range_stop: u32,
    /// Namespace of the topic.
    pub namespace: String,
    /// Name of the topic.
    pub topic: String,
}

impl Meta {
    /// The whole file: 128 bytes, then both names.
    ///
    /// # Panics
    /// If a name is not one that [`is_name`] allows.
    pub fn encode(&self) -> Vec<u8> {
        assert!(is_name(&self.namespace) && is_name(&self.topic), "names are checked when a topic is made");
        let mut header = [0; FILE_HEADER_BYTES];
        put(&mut header, COMPAT, &self.compat.to_le_bytes());
        put(&mut header, RO_COMPAT, &self.ro_compat.to_le_bytes());
        put(&mut header, UUID, &self.uuid);
        put(&mut header, CREATED, &self.created.get().to_le_bytes());
        put(&mut header, INDEX, &self.index.to_le_bytes());
        put(&mut header, RING_SIZE, &self.ring_size.to_le_bytes());
        put(&mut header, RANGE_START, &self.range_start.to_le_bytes());
        put(&mut header, RANGE_STOP, &self.range_stop.to_le_bytes());
        put(&mut header, NAMESPACE_LEN, &(self.namespace.len() as u16).to_le_bytes());
        put(&mut header, TOPIC_LEN, &(self.topic.len() as u16).to_le_bytes());
        let names = [self.namespace.as_bytes(), self.topic.as_bytes()].concat();
        finish_file_header(&mut header, MAGIC, &names);
        [&header[..], &names].concat()
    }

    /// Reads the whole file.
    ///
    /// # Errors
    /// [`DecodeError`]; [`DecodeError::is_unsupported`] says whether a newer tidelog wrote it. Whether this version may also
    /// write there is what [`check_writable`](Self::check_writable) answers.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let names = bytes.get(FILE_HEADER_BYTES..).unwrap_or_default();
        let header = check_file_header(bytes, MAGIC, names)?;
        check_incompat(u32_at(header, INCOMPAT), 0)?;
        let (namespace_len, topic_len) = (usize::from(u16_at(header, NAMESPACE_LEN)), usize::from(u16_at(header, TOPIC_LEN)));
        let (namespace, topic) = names.split_at_checked(namespace_len).ok_or(DecodeError::Truncated { needed: namespace_len, found: names.len() })?;
        if topic.len() != topic_len {
            return Err(DecodeError::Field { what: "topic length", found: topic_len as u64 });
        }
        let meta = Self {
            compat: u32_at(header, COMPAT),
            ro_compat: u32_at(header, RO_COMPAT),
            uuid: get(header, UUID),
            created: TimestampNs::new(i64_at(header, CREATED)),
            index: u32_at(header, INDEX),
            ring_size: u32_at(header, RING_SIZE),
            range_start: u32_at(header, RANGE_START),
            range_stop: u32_at(header, RANGE_STOP),
            namespace: name("namespace", namespace)?,
            topic: name("topic", topic)?,
        };
        if meta.range_start >= meta.range_stop || meta.range_stop > meta.ring_size {
            return Err(DecodeError::Field { what: "range_stop", found: meta.range_stop.into() });
        }
        if !all_zero(&header[ZEROS..CHECKSUM]) {
            return Err(DecodeError::Pad);
        }
        Ok(meta)
    }

    /// Whether this version may write to the partition; reading is always right when [`decode`](Self::decode) was.
    ///
    /// # Errors
    /// [`DecodeError::Incompatible`] with the features that it would have to know.
    pub fn check_writable(&self) -> Result<(), DecodeError> {
        check_incompat(self.ro_compat, 0)
    }
}

fn name(what: &'static str, bytes: &[u8]) -> Result<String, DecodeError> {
    match std::str::from_utf8(bytes) {
        Ok(name) if is_name(name) => Ok(name.to_owned()),
        _ => Err(DecodeError::Field { what, found: bytes.len() as u64 }),
    }
}

const MAGIC: &[u8; 8] = b"TIDEMET\n";
const INCOMPAT: usize = 12; // u32
const COMPAT: usize = INCOMPAT + size_of::<u32>(); // u32
const RO_COMPAT: usize = COMPAT + size_of::<u32>(); // u32
const UUID: usize = RO_COMPAT + size_of::<u32>(); // 16 B
const CREATED: usize = UUID + 16; // i64
const INDEX: usize = CREATED + size_of::<i64>(); // u32
const RING_SIZE: usize = INDEX + size_of::<u32>(); // u32
const RANGE_START: usize = RING_SIZE + size_of::<u32>(); // u32
const RANGE_STOP: usize = RANGE_START + size_of::<u32>(); // u32
const NAMESPACE_LEN: usize = RANGE_STOP + size_of::<u32>(); // u16
const TOPIC_LEN: usize = NAMESPACE_LEN + size_of::<u16>(); // u16
const ZEROS: usize = TOPIC_LEN + size_of::<u16>();
const _: () = assert!(ZEROS == 68); // = SPEC.md, "META"
