//! STORE: marks a directory as a store. Holds nothing that is needed to read its logs.

use crate::bytes::{all_zero, get, i64_at, put, u32_at};
use crate::checksum::{CHECKSUM, check_file_header, check_incompat, finish_file_header};
use crate::{DecodeError, FILE_HEADER_BYTES, TimestampNs};

/// The identity of a store. SPEC.md, "STORE".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreMeta {
    /// Random identity.
    pub uuid: [u8; 16],
    /// When it was made.
    pub created: TimestampNs,
}

impl StoreMeta {
    /// The whole file.
    pub fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        put(&mut bytes, UUID, &self.uuid);
        put(&mut bytes, CREATED, &self.created.get().to_le_bytes());
        finish_file_header(&mut bytes, MAGIC, &[]);
        bytes
    }

    /// Reads the whole file.
    ///
    /// # Errors
    /// [`DecodeError`]; [`DecodeError::is_unsupported`] says whether a newer tidelog wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let header = check_file_header(bytes, MAGIC, &[])?;
        check_incompat(u32_at(header, INCOMPAT), 0)?;
        if bytes.len() > FILE_HEADER_BYTES {
            return Err(DecodeError::Trailing { bytes: bytes.len() - FILE_HEADER_BYTES });
        }
        if !all_zero(&header[ZEROS..CHECKSUM]) {
            return Err(DecodeError::Pad);
        }
        Ok(Self { uuid: get(header, UUID), created: TimestampNs::new(i64_at(header, CREATED)) })
    }
}

const MAGIC: &[u8; 8] = b"TIDESTO\n";
const INCOMPAT: usize = 12; // u32
const UUID: usize = INCOMPAT + size_of::<u32>(); // 16 B
const CREATED: usize = UUID + 16; // i64
const ZEROS: usize = CREATED + size_of::<i64>();
const _: () = assert!(ZEROS == 40); // = SPEC.md, "STORE"
