//! What the bytes of a tidelog partition mean: layouts, codecs and the scanner. Never opens a file, never reads a clock.
//!
//! The law is [`SPEC.md`](https://docs.rs/crate/tidelog-format/latest/source/SPEC.md); this crate follows it. Every decoder
//! takes a byte slice, checks the checksum before it believes a length, allocates nothing and never panics.
//!
//! ```
//! use tidelog_format::{SegmentHeader, SegmentId};
//!
//! let header = SegmentHeader::first([7; 16], 0x5eed, 1_700_000_000_000_000_000, 64 << 20);
//! let bytes = header.encode();
//! assert_eq!(SegmentHeader::decode(&bytes)?, header);
//! assert_eq!(SegmentId { base_offset: 0, seq: 1 }.log_name(), "00000000000000000000-0000000001.log");
//! # Ok::<(), tidelog_format::DecodeError>(())
//! ```
#![forbid(unsafe_code)]

mod bytes;
mod checkpoint;
mod checksum;
mod error;
mod file_name;
mod frame;
mod live;
mod meta;
mod nanos;
mod offset;
mod offset_index;
mod record;
mod resolve;
mod scan;
mod seal;
mod segment_header;
mod store_meta;
mod terms;
mod topic_meta;
mod varint;

pub use bytes::all_zero;
pub use checkpoint::{Checkpoint, SLOT_BYTES};
pub use checksum::crc32;
pub use error::DecodeError;
pub use file_name::{
    CHECKPOINT_NAME, FileName, LIVE_NAME, LOCK_NAME, META_NAME, QUARANTINE_NAME, STORE_NAME, SegmentId, TOPIC_COPY_NAME, TOPIC_NAME, is_name,
};
pub use frame::{
    Attributes, BLOCKS_BYTES_MAX, Blocks, Codec, FRAME_ALIGN, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FRAME_MAGIC, Frame, FrameHeader, Glance, NO_CLAIM,
    NOTE_BYTES_MAX, Producer, Replication, SMALL_FRAME_BYTES_MAX, Single, glance, padded,
};
pub use live::{LIVE_HEADER_BYTES, LIVE_SLOT_BYTES, LiveField, LiveHeader, WAKE_POSITION};
pub use meta::{Meta, NAME_BYTES_MAX};
pub use nanos::{NanosBlock, pack_nanos, packed_bytes, unpack_nano};
pub use offset::{EPOCH_MAX, LeaderEpoch, OFFSET_MAX, Offset, Position, SEQ_MAX, TimestampNs};
pub use offset_index::{
    ENTRIES_PER_BLOCK, INDEX_BLOCK_BYTES, INDEX_ENTRY_BYTES, IndexBlock, IndexEntry, IndexHeader, encode_index, index_block_at, index_bytes,
};
pub use record::{Header, HeaderIter, RecordSpan, RecordView, append_record, count_records, encode_record, record_len};
pub use resolve::{LiveRange, Resolution, Span, resolve};
pub use scan::{Fault, FrameAt, ScanEnd, Scanner, next_frame, resync};
pub use seal::{SEAL_BYTES, Seal, decode_seal_at_end};
pub use segment_header::{SEGMENT_BYTES_MAX, SEGMENT_HEADER_BYTES, SegmentHeader};
pub use store_meta::StoreMeta;
pub use terms::{TERMS_MAX, Term, Terms};
pub use topic_meta::{PartitionEntry, TopicMeta};
pub use varint::{get_varint, put_varint, varint_len};

// A segment of up to 4 GiB is one slice.
const _: () = assert!(usize::BITS >= 64);

/// The version of the on-disk format that this crate writes, and the newest that it reads.
pub const FORMAT_VERSION: u16 = 1;
/// Size of the fixed part of every file header; magic at 0, version at 8 and checksum at 124 stay there in all versions.
pub const FILE_HEADER_BYTES: usize = 128;
