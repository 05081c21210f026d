//! A stream of bytes with a window on what comes next, its position and a running CRC-32 of all that was consumed. Knows no records.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::InputError;

/// How the bytes of a source are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Compression {
    /// Recognized by the first bytes.
    #[default]
    Auto,
    /// As they are.
    None,
    /// gzip, one or more members.
    Gz,
    /// Zstandard, one or more frames.
    Zst,
}

/// The window: `buffer[start..end]` is read and not yet consumed, `position` is where `start` lies in the decompressed stream.
pub(crate) struct Source {
    name: String,
    reader: Box<dyn Read>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    hashed: usize,
    hasher: crc32fast::Hasher,
    position: u64,
    ended: bool,
    stored_read: Rc<Cell<u64>>,
    stored_bytes: Option<u64>,
    identity: Option<PathBuf>,
}

impl Source {
    /// Opens a file. `-` is the standard input.
    pub(crate) fn open(path: &Path, compression: Compression) -> Result<Self, InputError> {
        if path.as_os_str() == "-" {
            return Self::stdin(compression);
        }
        let name = path.display().to_string();
        let failed = |source| InputError::Read { name: name.clone(), position: 0, source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::Error::new(io::ErrorKind::IsADirectory, "a directory, where a file was expected")));
        }
        // A pipe under a name has no bytes to come back to.
        let identity = if metadata.is_file() { Some(path.canonicalize().map_err(failed)?) } else { None };
        let bytes = metadata.is_file().then_some(metadata.len());
        Self::new(name, Box::new(file), compression, identity, bytes)
    }

    /// The standard input.
    pub(crate) fn stdin(compression: Compression) -> Result<Self, InputError> {
        Self::new("standard input".to_owned(), Box::new(io::stdin()), compression, None, None)
    }

    fn new(
        name: String,
        reader: Box<dyn Read>,
        compression: Compression,
        identity: Option<PathBuf>,
        stored_bytes: Option<u64>,
    ) -> Result<Self, InputError> {
        let stored_read = Rc::new(Cell::new(0));
        let counting = Counting { reader, read: Rc::clone(&stored_read) };
        let reader = unpack(counting, compression).map_err(|source| InputError::Read { name: name.clone(), position: 0, source })?;
        let hasher = crc32fast::Hasher::new();
        Ok(Self {
            name,
            reader,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            hashed: 0,
            hasher,
            position: 0,
            ended: false,
            stored_read,
            stored_bytes,
            identity,
        })
    }

    /// What people call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The canonical path of a regular file; `None` for what cannot be read twice.
    pub(crate) fn identity(&self) -> Option<&Path> {
        self.identity.as_deref()
    }

    /// Decompressed bytes consumed.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes taken from the file as it is stored, and its size if known: for a progress bar.
    pub(crate) fn stored_progress(&self) -> (u64, Option<u64>) {
        (self.stored_read.get(), self.stored_bytes)
    }

    /// CRC-32 of all bytes consumed.
    pub(crate) fn crc32(&mut self) -> u32 {
        self.hash_consumed();
        self.hasher.clone().finalize()
    }

    /// Bytes that can be looked at without reading.
    pub(crate) fn data(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Whether there is nothing beyond [`data`](Self::data).
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Passes over `count` bytes of [`data`](Self::data).
    pub(crate) fn consume(&mut self, count: usize) {
        assert!(count <= self.end - self.start, "only what was read can be consumed");
        self.start += count;
        self.position += count as u64;
    }

    /// Reads more behind [`data`](Self::data); false at the end.
    pub(crate) fn fill(&mut self) -> Result<bool, InputError> {
        if self.ended {
            return Ok(false);
        }
        self.make_room();
        loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    let position = self.position + (self.end - self.start) as u64;
                    return Err(InputError::Read { name: self.name.clone(), position, source });
                }
            }
            return Ok(!self.ended);
        }
    }

    /// Passes over everything before `position`; false if the stream ends before it.
    pub(crate) fn skip_to(&mut self, position: u64) -> Result<bool, InputError> {
        while self.position < position {
            if self.start == self.end && !self.fill()? {
                return Ok(false);
            }
            let wanted = usize::try_from(position - self.position).unwrap_or(usize::MAX);
            self.consume(wanted.min(self.end - self.start));
        }
        Ok(true)
    }

    /// Room for a read of reasonable size behind `end`; what was consumed is hashed before it is overwritten.
    fn make_room(&mut self) {
        if self.start > 0 && (self.start == self.end || self.buffer.len() - self.end < READ_BYTES_MIN) {
            self.hash_consumed();
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            (self.start, self.hashed) = (0, 0);
        }
        if self.buffer.len() - self.end < READ_BYTES_MIN {
            let grown = (self.buffer.len() * 2).max(BUFFER_BYTES_MIN);
            self.buffer.resize(grown, 0);
        }
    }

    fn hash_consumed(&mut self) {
        self.hasher.update(&self.buffer[self.hashed..self.start]);
        self.hashed = self.start;
    }
}

/// Looks at the first bytes and puts the fitting decoder in front.
fn unpack(mut reader: Counting, compression: Compression) -> io::Result<Box<dyn Read>> {
    let mut head = Vec::new();
    let compression = if compression == Compression::Auto {
        (&mut reader).take(MAGIC_BYTES).read_to_end(&mut head)?;
        recognize(&head)
    } else {
        compression
    };
    let whole = Cursor::new(head).chain(reader);
    Ok(match compression {
        Compression::Gz => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES_MIN, whole))),
        Compression::Zst => Box::new(zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(BUFFER_BYTES_MIN, whole))?),
        Compression::Auto | Compression::None => Box::new(whole),
    })
}

fn recognize(head: &[u8]) -> Compression {
    match *head {
        [0x1f, 0x8b, 8, ..] => Compression::Gz,
        // A zstd frame, or a skippable frame before it.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Compression::Zst,
        _ => Compression::None,
    }
}

struct Counting {
    reader: Box<dyn Read>,
    read: Rc<Cell<u64>>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.read.set(self.read.get() + count as u64);
        Ok(count)
    }
}

const MAGIC_BYTES: u64 = 4;
const READ_BYTES_MIN: usize = 64 << 10;
const BUFFER_BYTES_MIN: usize = 256 << 10;

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use super::*;

    /// Gives one byte a read: every boundary is met.
    struct Trickle(Cursor<Vec<u8>>);

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(1);
            self.0.read(&mut buffer[..count])
        }
    }

    pub(crate) fn source_of(bytes: &[u8]) -> Source {
        Source::new("test".to_owned(), Box::new(Cursor::new(bytes.to_vec())), Compression::Auto, None, None).unwrap()
    }

    pub(crate) fn trickle_of(bytes: &[u8]) -> Source {
        let reader = Trickle(Cursor::new(bytes.to_vec()));
        Source::new("test".to_owned(), Box::new(reader), Compression::Auto, None, None).unwrap()
    }

    fn drain(source: &mut Source) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            all.extend_from_slice(source.data());
            source.consume(source.data().len());
            if !source.fill().unwrap() {
                return all;
            }
        }
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn position_and_crc_follow_what_is_consumed_and_not_what_is_read() {
        let bytes: Vec<u8> = (0..2_000_000u32).map(|i| (i % 251) as u8).collect();
        let mut source = source_of(&bytes);
        for step in [1usize, 7, 60_000, 300_001, 900_000] {
            let target = source.position() + step as u64;
            assert!(source.skip_to(target).unwrap());
            assert_eq!(source.position(), target);
            assert_eq!(source.crc32(), crc32fast::hash(&bytes[..target as usize]));
        }
        assert!(!source.skip_to(2_000_001).unwrap());
        assert_eq!(source.position(), 2_000_000);
        assert_eq!(source.crc32(), crc32fast::hash(&bytes));
    }

    #[test]
    fn several_gz_members_and_zst_frames_are_one_stream() {
        let mut packed = gz(b"first\n");
        packed.extend(gz(b"second\n"));
        assert_eq!(drain(&mut source_of(&packed)), b"first\nsecond\n");
        assert_eq!(drain(&mut trickle_of(&packed)), b"first\nsecond\n");

        let mut packed = zstd::encode_all(&b"first\n"[..], 1).unwrap();
        packed.extend(zstd::encode_all(&b"second\n"[..], 1).unwrap());
        assert_eq!(drain(&mut source_of(&packed)), b"first\nsecond\n");
        assert_eq!(drain(&mut trickle_of(&packed)), b"first\nsecond\n");
    }

    #[test]
    fn a_cut_stream_is_an_error_and_not_an_end() {
        let packed = gz(&vec![b'x'; 100_000]);
        let mut source = source_of(&packed[..packed.len() - 9]);
        let error = loop {
            source.consume(source.data().len());
            match source.fill() {
                Ok(true) => {}
                Ok(false) => panic!("a cut stream ended as if it were whole"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, InputError::Read { .. }), "{error}");

        let packed = zstd::encode_all(&vec![b'x'; 100_000][..], 1).unwrap();
        let mut source = source_of(&packed[..packed.len() - 3]);
        assert!(source.skip_to(1_000_000).is_err());
    }

    #[test]
    fn plain_bytes_shorter_than_a_magic_are_plain() {
        for bytes in [&b""[..], b"a", b"\x1f\x8b", b"\x28\xb5\x2f"] {
            assert_eq!(drain(&mut source_of(bytes)), bytes);
        }
    }

    #[test]
    fn what_only_looks_packed_can_be_taken_as_it_is() {
        let bytes = [0x1f, 0x8b, 8, 0, 1, 2, 3];
        let mut source = Source::new("test".to_owned(), Box::new(Cursor::new(bytes)), Compression::None, None, None).unwrap();
        assert_eq!(drain(&mut source), bytes);
    }
}
