//! The note that an import commits with each batch: which source, how far, and how it was read. Bytes to value and back; opens nothing.
//!
//! Layout, little-endian: magic 7 B · version u8 · settings_crc u32 · prefix_crc u32 · position u64 · lines u64 · records u64 · partition_records u64 ·
//! run_base u64 · end u64 · flags u32 (1: ends in the middle of a line) · source_crc u32 · source_bytes u32 · the last bytes of the
//! source's path.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::input::Mark;

/// How far a source was imported into one partition, as of the batch that carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// Where the source stood.
    pub(crate) mark: Mark,
    /// CRC-32 of the settings that decide what becomes a record and where it goes.
    pub(crate) settings_crc: u32,
    /// Records of the source before the mark, in all partitions.
    pub(crate) records: u64,
    /// Of those, the ones in this partition.
    pub(crate) partition_records: u64,
    /// This partition's end when the run began that wrote this: nothing else was appended between.
    pub(crate) run_base: u64,
    /// The offset behind the batch. A batch that ends before it was cut off in the middle (`truncate_suffix`), and still says all of this.
    pub(crate) end: u64,
    /// The source.
    pub(crate) source: SourceId,
}

/// The canonical path of a source, short enough for a note: its CRC-32, its length and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceId {
    crc32: u32,
    path_bytes: u32,
    path_end: Vec<u8>,
}

impl SourceId {
    pub(crate) fn new(path: &Path) -> Self {
        let bytes = path.as_os_str().as_bytes();
        let path_end = bytes[bytes.len().saturating_sub(PATH_END_BYTES_MAX)..].to_vec();
        Self { crc32: crc32fast::hash(bytes), path_bytes: bytes.len() as u32, path_end }
    }
}

impl Note {
    /// The bytes to store.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        bytes.extend(self.settings_crc.to_le_bytes());
        bytes.extend(self.mark.crc32.to_le_bytes());
        for number in [self.mark.position, self.mark.lines, self.records, self.partition_records, self.run_base, self.end] {
            bytes.extend(number.to_le_bytes());
        }
        for number in [u32::from(self.mark.is_mid_line), self.source.crc32, self.source.path_bytes] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(&self.source.path_end);
        bytes
    }

    /// The value of stored bytes; `None` if they are another application's.
    ///
    /// # Errors
    /// [`NoteError::Version`], [`NoteError::Malformed`]: something was imported, and it is not known what.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<Self>, NoteError> {
        let Some((&found, fields)) = bytes.strip_prefix(&MAGIC).and_then(<[u8]>::split_first) else { return Ok(None) };
        if found != VERSION {
            return Err(NoteError::Version { found });
        }
        Self::of_fields(Fields(fields)).map(Some).ok_or(NoteError::Malformed { bytes: bytes.len() })
    }

    /// How many records were cut off the batch that carries this and now ends before `next_offset`.
    ///
    /// # Errors
    /// [`NoteError::Impossible`].
    pub(crate) fn cut_off(&self, next_offset: u64) -> Result<u64, NoteError> {
        let Self { end, partition_records, .. } = *self;
        let cut_off = end.checked_sub(next_offset).filter(|cut_off| *cut_off <= partition_records);
        cut_off.ok_or(NoteError::Impossible { end, next_offset, partition_records })
    }

    fn of_fields(mut fields: Fields<'_>) -> Option<Self> {
        let (settings_crc, crc32) = (fields.u32()?, fields.u32()?);
        let (position, lines, records) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let (partition_records, run_base, end) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let (flags, source_crc, path_bytes) = (fields.u32()?, fields.u32()?, fields.u32()?);
        if flags > 1 || fields.0.len() != PATH_END_BYTES_MAX.min(path_bytes as usize) {
            return None;
        }
        let mark = Mark { position, crc32, lines, is_mid_line: flags == 1 };
        let source = SourceId { crc32: source_crc, path_bytes, path_end: fields.0.to_vec() };
        Some(Self { mark, settings_crc, records, partition_records, run_base, end, source })
    }
}

/// Why it cannot be told what a note says was imported. Import into another topic, or with the program that wrote the note.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoteError {
    /// Another version of this program wrote it.
    #[error("a note of version {found}, where version {VERSION} was expected")]
    Version {
        /// The version that it says.
        found: u8,
    },
    /// It says that it is of this version, and is not laid out so.
    #[error("a note of version {VERSION} and {bytes} bytes, which its fields do not fit")]
    Malformed {
        /// Its size.
        bytes: usize,
    },
    /// What it says of its batch cannot have been.
    #[error(
        "a note of a batch up to offset {end} and of {partition_records} records of the source, on a batch that ends before offset {next_offset}"
    )]
    Impossible {
        /// The offset behind the batch, as the note says.
        end: u64,
        /// The offset behind the batch as it is.
        next_offset: u64,
        /// Records of the source in the partition, as the note says.
        partition_records: u64,
    },
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*field))
    }

    fn u64(&mut self) -> Option<u64> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*field))
    }
}

const MAGIC: [u8; 7] = *b"IMPORT\0";
/// Persisted, never reused. Versions 1 and 2 did not say where their batch ends.
const VERSION: u8 = 3;
const PATH_END_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn note(path: &str) -> Note {
        Note {
            mark: Mark { position: 1 << 40, crc32: 2, lines: 3, is_mid_line: true },
            settings_crc: 4,
            records: 5,
            partition_records: 6,
            run_base: 8,
            end: 14,
            source: SourceId::new(Path::new(path)),
        }
    }

    #[test]
    fn a_note_comes_back_and_fits() {
        for path in ["", "/a", &"/long".repeat(800)] {
            let bytes = note(path).encode();
            assert!(bytes.len() <= 1024, "{} bytes", bytes.len());
            assert_eq!(Note::decode(&bytes), Ok(Some(note(path))));
        }
    }

    #[test]
    fn paths_that_end_alike_are_told_apart() {
        let end = "/x".repeat(400);
        assert_ne!(SourceId::new(Path::new(&format!("/a{end}"))), SourceId::new(Path::new(&format!("/b{end}"))));
    }

    #[test]
    fn other_bytes_are_no_note() {
        for bytes in [&b""[..], b"something else", b"IMPORT\0", b"IMPORT \x03", b"TIMED\0\0\x01"] {
            assert_eq!(Note::decode(bytes), Ok(None));
        }
    }

    #[test]
    fn a_note_that_cannot_be_read_is_not_taken_for_none() {
        let bytes = note("/a").encode();
        for cut in MAGIC.len() + 1..bytes.len() {
            assert_eq!(Note::decode(&bytes[..cut]), Err(NoteError::Malformed { bytes: cut }));
        }
        assert_eq!(Note::decode(&[bytes.clone(), vec![0]].concat()), Err(NoteError::Malformed { bytes: bytes.len() + 1 }));
        for found in [0, 1, 2, 4, 255] {
            let mut other = bytes.clone();
            other[7] = found;
            assert_eq!(Note::decode(&other), Err(NoteError::Version { found }));
        }
    }

    #[test]
    fn no_more_was_cut_off_than_was_there() {
        let note = note("/a");
        assert_eq!([14, 13, 8].map(|next_offset| note.cut_off(next_offset)), [Ok(0), Ok(1), Ok(6)]);
        for next_offset in [0, 7, 15, u64::MAX] {
            assert_eq!(note.cut_off(next_offset), Err(NoteError::Impossible { end: 14, next_offset, partition_records: 6 }));
        }
    }
}
