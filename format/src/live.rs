//! LIVE: where a writer tells readers in other processes how far they may read. Never synced, never evidence in recovery.

use crate::bytes::{all_zero, get, put, u32_at};
use crate::checksum::{CHECKSUM, check_file_header, check_incompat, finish_file_header};
use crate::{DecodeError, FILE_HEADER_BYTES};

/// Size of the file header; slot 0 begins here.
pub const LIVE_HEADER_BYTES: usize = FILE_HEADER_BYTES;
/// Size of a partition's slot: one cache line of [`LiveField`]s.
pub const LIVE_SLOT_BYTES: usize = 64;
/// Position of the `wake` word in the header: an aligned atomic u32, outside the checksum.
pub const WAKE_POSITION: usize = LIVE_HEADER_BYTES - 8 - size_of::<u32>();

/// The fixed part of LIVE. SPEC.md, "LIVE".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveHeader {
    /// Boot of the machine that the writer runs in.
    pub boot_id: [u8; 16],
    /// Random, one for each time that a writer opens the store.
    pub writer_nonce: u64,
    /// Process id of the writer.
    pub writer_pid: u32,
}

/// The aligned little-endian u64s of a slot, read and stored atomically.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum LiveField {
    /// First eight bytes of the partition's uuid; zero: slot not in use.
    PartitionId = 0, // persisted: never renumber
    /// Odd while segments or log start change; even and unequal: they did.
    Change = 1,
    /// First readable offset.
    LogStart = 2,
    /// `seq` of the segment that is appended to.
    ActiveSeq = 3,
    /// First offset not yet appended.
    WrittenEnd = 4,
    /// First offset not yet known durable.
    DurableEnd = 5,
    /// First offset that committed readers may not see.
    HighWaterMark = 6,
}

impl LiveField {
    /// Byte position of the field of slot `slot`.
    pub const fn position(self, slot: usize) -> usize {
        LIVE_HEADER_BYTES + slot * LIVE_SLOT_BYTES + self as usize * size_of::<u64>()
    }
}

impl LiveHeader {
    /// The header, with a wake word of zero.
    pub fn encode(&self) -> [u8; LIVE_HEADER_BYTES] {
        let mut bytes = [0; LIVE_HEADER_BYTES];
        put(&mut bytes, BOOT_ID, &self.boot_id);
        put(&mut bytes, WRITER_NONCE, &self.writer_nonce.to_le_bytes());
        put(&mut bytes, WRITER_PID, &self.writer_pid.to_le_bytes());
        finish_file_header(&mut bytes, MAGIC, &[]);
        bytes
    }

    /// Reads the header; the wake word may hold anything.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() < LIVE_HEADER_BYTES {
            return Err(DecodeError::Truncated { needed: LIVE_HEADER_BYTES, found: bytes.len() });
        }
        let mut header: [u8; LIVE_HEADER_BYTES] = get(bytes, 0);
        put(&mut header, WAKE_POSITION, &[0; 4]);
        let header = check_file_header(&header, MAGIC, &[])?;
        check_incompat(u32_at(header, INCOMPAT), 0)?;
        if !all_zero(&header[ZEROS..CHECKSUM]) {
            return Err(DecodeError::Pad);
        }
        Ok(Self {
            boot_id: get(header, BOOT_ID),
            writer_nonce: u64::from_le_bytes(get(header, WRITER_NONCE)),
            writer_pid: u32_at(header, WRITER_PID),
        })
    }
}

const MAGIC: &[u8; 8] = b"TIDELIV\n";
const INCOMPAT: usize = 12; // u32
const BOOT_ID: usize = INCOMPAT + size_of::<u32>(); // 16 B
const WRITER_NONCE: usize = BOOT_ID + 16; // u64
const WRITER_PID: usize = WRITER_NONCE + size_of::<u64>(); // u32
const ZEROS: usize = WRITER_PID + size_of::<u32>();
const _: () = assert!(ZEROS == 44 && WAKE_POSITION == 116 && WAKE_POSITION.is_multiple_of(4)); // = SPEC.md, "LIVE"
