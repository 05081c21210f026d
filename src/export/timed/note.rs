//! The note that an import of files without offsets commits with each batch: which files it has begun, and the last row. Bytes to value and
//! back; opens nothing.
//!
//! Layout, little-endian: magic 8 B · settings_crc u32 · source_crc u32 · source_bytes u32 · files_crc u32 · files u64 · rows u64 · run_base u64 ·
//! import_base u64 · begun_at u64 · previous_at u64 (each u64::MAX where it is the batch's own offset, and previous_at where there is none) ·
//! batch_rows u64 · file u64 · time i64 · row u64 · before: file u64 · time i64 · row u64 · entry: rows u64 · bytes u64 · footer_crc u32 · name_crc u32 · name_bytes u32 · the last bytes of the name.

use crate::export::timed::file::TimedFile;

/// How far an import is, as of the batch that carries this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    /// CRC-32 of the columns that were asked for.
    pub(super) settings_crc: u32,
    pub(super) source: SourceId,
    /// Files that the batch and those before it have rows of: the first ones, in the order of their first times.
    pub(super) files: u64,
    /// Checksum of what those files are.
    pub(super) files_crc: u32,
    /// Rows of them that became records, up to the end of the batch.
    pub(super) rows: u64,
    /// The partition's end when the run began that wrote this.
    pub(super) run_base: u64,
    /// Offset of the first batch of the import.
    pub(super) import_base: u64,
    /// Offset of the batch that has the first row of the file begun last, and of that which has the first row of the one before.
    pub(super) begun_at: u64,
    pub(super) previous_at: u64,
    /// Rows in the batch; fewer are there if the log was cut off in the middle of it.
    pub(super) batch_rows: u64,
    /// The last row, and the last one of the batch before.
    pub(super) last: RowId,
    pub(super) before: RowId,
    /// The file begun last.
    pub(super) begun: FileEntry,
}

/// A row: its file, its time, its number in the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RowId {
    /// The number of the file in the order of their first times.
    pub(super) file: u64,
    pub(super) time: i64,
    pub(super) row: u64,
}

/// A text of any length, short enough for a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SourceId {
    pub(super) crc32: u32,
    pub(super) bytes: u32,
}

/// What a file was when it was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileEntry {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) footer_crc: u32,
    pub(super) name_crc: u32,
    pub(super) name_bytes: u32,
    /// The end of its name.
    pub(super) name_end: Vec<u8>,
}

impl SourceId {
    pub(super) fn new(source: &str) -> Self {
        Self { crc32: crc32fast::hash(source.as_bytes()), bytes: source.len() as u32 }
    }
}

impl FileEntry {
    pub(super) fn of(file: &TimedFile) -> Self {
        let name = file.name.as_bytes();
        Self {
            rows: file.rows,
            bytes: file.bytes,
            footer_crc: file.footer_crc,
            name_crc: crc32fast::hash(name),
            name_bytes: name.len() as u32,
            name_end: name[name.len().saturating_sub(NAME_END_BYTES_MAX)..].to_vec(),
        }
    }

    /// Whether it has this name, as far as that is known.
    pub(super) fn has_name_of(&self, other: &Self) -> bool {
        (self.name_crc, self.name_bytes, &self.name_end) == (other.name_crc, other.name_bytes, &other.name_end)
    }

    /// The checksum of the files up to this one; `before` is that of the files up to the one before.
    pub(super) fn chain(&self, before: u32) -> u32 {
        let mut bytes = before.to_le_bytes().to_vec();
        self.encode(&mut bytes);
        crc32fast::hash(&bytes)
    }

    /// Its name, or the end of it.
    pub(super) fn name(&self) -> String {
        let end = String::from_utf8_lossy(&self.name_end);
        if self.name_bytes as usize > self.name_end.len() { format!("...{end}") } else { end.into_owned() }
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.rows.to_le_bytes());
        bytes.extend(self.bytes.to_le_bytes());
        for number in [self.footer_crc, self.name_crc, self.name_bytes] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(&self.name_end);
    }

    fn decode(mut fields: Fields<'_>) -> Option<Self> {
        let (rows, bytes) = (fields.u64()?, fields.u64()?);
        let (footer_crc, name_crc, name_bytes) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let name_end = fields.0.to_vec();
        let is_whole = name_end.len() == NAME_END_BYTES_MAX.min(name_bytes as usize);
        is_whole.then_some(Self { rows, bytes, footer_crc, name_crc, name_bytes, name_end })
    }
}

impl Note {
    /// The bytes to store.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for number in [self.settings_crc, self.source.crc32, self.source.bytes, self.files_crc] {
            bytes.extend(number.to_le_bytes());
        }
        let Self { files, rows, run_base, import_base, begun_at, previous_at, batch_rows, last, before, .. } = *self;
        for number in [files, rows, run_base, import_base, begun_at, previous_at, batch_rows] {
            bytes.extend(number.to_le_bytes());
        }
        for RowId { file, time, row } in [last, before] {
            [file, time.cast_unsigned(), row].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        }
        self.begun.encode(&mut bytes);
        bytes
    }

    /// The value of stored bytes, of a batch at `base_offset`; `None` if they are another application's, or of a version that this one does not
    /// know.
    pub(super) fn decode(bytes: &[u8], base_offset: u64) -> Option<Self> {
        let mut fields = Fields(bytes.strip_prefix(&MAGIC)?);
        let (settings_crc, crc32, source_bytes, files_crc) = (fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?);
        let (files, rows, run_base) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let mut own = || fields.u64().map(|offset| if offset == OWN { base_offset } else { offset });
        let (import_base, begun_at) = (own()?, own()?);
        let (previous_at, batch_rows) = (fields.u64()?, fields.u64()?);
        let (last, before) = (fields.row()?, fields.row()?);
        let begun = FileEntry::decode(fields)?;
        let source = SourceId { crc32, bytes: source_bytes };
        let is_begun = last.file < files && before.file < files && import_base <= base_offset && begun_at <= base_offset;
        let is_sound = is_begun && run_base <= base_offset && (1..=rows).contains(&batch_rows);
        let note =
            Self { settings_crc, source, files, files_crc, rows, run_base, import_base, begun_at, previous_at, batch_rows, last, before, begun };
        is_sound.then_some(note)
    }
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

    fn row(&mut self) -> Option<RowId> {
        Some(RowId { file: self.u64()?, time: self.u64()?.cast_signed(), row: self.u64()? })
    }
}

/// In the place of an offset: that of the batch itself, which is not known before it is appended; or none.
pub(super) const OWN: u64 = u64::MAX;
/// The last byte is the version: persisted, never reused.
const MAGIC: [u8; 8] = *b"TIMED\0\0\x01";
const NAME_END_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name: &str) -> Note {
        let name_end = name.as_bytes()[name.len().saturating_sub(NAME_END_BYTES_MAX)..].to_vec();
        let name_bytes = name.len() as u32;
        Note {
            settings_crc: 1,
            source: SourceId::new("/data"),
            files: 3,
            files_crc: 4,
            rows: 5,
            run_base: 6,
            import_base: 7,
            begun_at: 8,
            previous_at: OWN,
            batch_rows: 5,
            last: RowId { file: 2, time: -9, row: 10 },
            before: RowId { file: 1, time: -10, row: 3 },
            begun: FileEntry { rows: 11, bytes: 12, footer_crc: 13, name_crc: 14, name_bytes, name_end },
        }
    }

    #[test]
    fn a_note_comes_back_and_fits() {
        for name in ["", "date=2024-01-01/a.parquet", &"/long".repeat(800)] {
            let bytes = note(name).encode();
            assert!(bytes.len() <= 1024, "{} bytes", bytes.len());
            assert_eq!(Note::decode(&bytes, 100), Some(note(name)));
        }
        let own = Note { begun_at: OWN, import_base: OWN, ..note("a") };
        let found = Note::decode(&own.encode(), 100).unwrap();
        assert_eq!((found.begun_at, found.import_base, found.previous_at), (100, 100, OWN));
    }

    #[test]
    fn other_bytes_are_no_note() {
        let bytes = note("a.parquet").encode();
        for cut in 0..bytes.len() {
            assert_eq!(Note::decode(&bytes[..cut], 100), None);
        }
        assert_eq!(Note::decode(&[bytes.clone(), vec![0]].concat(), 100), None);
        assert_eq!(Note::decode(&bytes, 7), None, "it begins behind its batch");
        let mut newer = bytes;
        newer[7] = 2;
        assert_eq!(Note::decode(&newer, 100), None);
    }
}
