//! The file beside a file of rejected lines that says which of them are of which source, so that a run after a crash finds its own again
//! and takes nobody else's for them. Knows no line.
//!
//! A line an entry, only ever appended: `begin|kept <at> <position> <crc32> <source>`. From byte `at` of the rejected lines on stand those of
//! `source`; those among its first `position` bytes, which have the CRC-32 `crc32`, are all there already. `begin`: what stands before `at`
//! is of other sources, or of an earlier run.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The entries, and the file, which is made with the first of them.
pub(super) struct RejectsSources {
    path: PathBuf,
    file: Option<File>,
    /// Bytes of whole entries.
    len: u64,
    entries: Vec<Entry>,
}

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) is_begin: bool,
    /// Byte of the file of rejected lines.
    pub(super) at: u64,
    /// Decompressed bytes of the source.
    pub(super) position: u64,
    /// CRC-32 of those bytes.
    pub(super) crc32: u32,
    /// Names the source and where it was imported to.
    pub(super) source: String,
}

/// Where lines of a source are, as an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) position: u64,
    pub(super) crc32: u32,
    pub(super) at: u64,
    /// Where those of another source begin.
    pub(super) until: Option<u64>,
}

impl RejectsSources {
    /// Where it is for a file of rejected lines.
    pub(super) fn path_for(rejects: &Path) -> PathBuf {
        let mut path = rejects.as_os_str().to_owned();
        path.push(".sources");
        path.into()
    }

    /// Reads what there is.
    pub(super) fn open(rejects: &Path) -> io::Result<Self> {
        let path = Self::path_for(rejects);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        // A last line without an end was torn by a kill: what it would have said was not relied on yet.
        let len = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
        let parse = |(number, line): (usize, &[u8])| {
            let wrong = || io::Error::new(ErrorKind::InvalidData, format!("line {}: expected where the lines of a source begin", number + 1));
            Entry::parse(line).ok_or_else(wrong)
        };
        let lines = bytes[..len].split_inclusive(|byte| *byte == b'\n').enumerate();
        let entries = lines.map(parse).collect::<io::Result<_>>()?;
        Ok(Self { path, file: None, len: len as u64, entries })
    }

    /// What the entries about `source` say, newest first.
    pub(super) fn shares<'a>(&'a self, source: &'a str) -> impl Iterator<Item = Share> + 'a {
        let own = self.entries.iter().enumerate().rev().filter(move |(_, entry)| entry.source == source);
        own.map(move |(index, entry)| {
            let begin = self.entries[..=index].iter().rposition(|entry| entry.is_begin && entry.source == source).unwrap_or(0);
            let others = self.entries.iter().enumerate().filter(|(_, other)| other.is_begin && other.source != source);
            // Who began at the same place later found nothing there.
            let until = others.filter(|(number, other)| other.at > entry.at || (other.at == entry.at && *number > begin)).map(|(_, other)| other.at);
            Share { position: entry.position, crc32: entry.crc32, at: entry.at, until: until.min() }
        })
    }

    /// Adds an entry; when this returns, it is durable.
    pub(super) fn add(&mut self, entry: Entry) -> io::Result<()> {
        let text = entry.text();
        let file = match &self.file {
            Some(file) => file,
            None => {
                let file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
                file.set_len(self.len)?;
                sync_parent(&self.path)?;
                self.file.insert(file)
            }
        };
        file.write_all_at(text.as_bytes(), self.len)?;
        file.sync_data()?;
        self.len += text.len() as u64;
        self.entries.push(entry);
        Ok(())
    }
}

impl Entry {
    fn text(&self) -> String {
        let Self { is_begin, at, position, crc32, source } = self;
        format!("{} {at} {position} {crc32:08x} {source}\n", if *is_begin { BEGIN } else { KEPT })
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.splitn(5, ' ');
        let is_begin = match words.next()? {
            BEGIN => true,
            KEPT => false,
            _ => return None,
        };
        let (at, position) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let crc32 = u32::from_str_radix(words.next()?, 16).ok()?;
        Some(Self { is_begin, at, position, crc32, source: words.next()?.to_owned() })
    }
}

/// Makes the name of a new file durable.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

const BEGIN: &str = "begin";
const KEPT: &str = "kept";

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(is_begin: bool, at: u64, position: u64, source: &str) -> Entry {
        Entry { is_begin, at, position, crc32: 7, source: source.to_owned() }
    }

    /// What is read back are the entries before a torn one, which the next replaces.
    #[test]
    fn entries_come_back_and_a_torn_one_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let rejects = dir.path().join("rejects");
        let entries = [entry(true, 0, 5, "to /a b"), entry(false, 10, 50, "to /a b"), entry(true, 10, 0, "to -")];
        let whole: String = entries[..2].iter().map(Entry::text).collect();
        for cut in 0..entries[2].text().len() {
            std::fs::write(RejectsSources::path_for(&rejects), format!("{whole}{}", &entries[2].text()[..cut])).unwrap();
            let mut sources = RejectsSources::open(&rejects).unwrap();
            assert_eq!(sources.entries, entries[..2]);
            sources.add(entry(true, 1, 2, "x")).unwrap();
            assert_eq!(RejectsSources::open(&rejects).unwrap().entries, [&entries[..2], &[entry(true, 1, 2, "x")]].concat());
        }
        std::fs::write(RejectsSources::path_for(&rejects), "something else\n").unwrap();
        assert!(RejectsSources::open(&rejects).is_err());
    }

    #[test]
    fn a_share_ends_where_another_source_begins() {
        let check = |entries: &[Entry], source: &str, expected: &[(u64, Option<u64>)]| {
            let sources = RejectsSources { path: PathBuf::new(), file: None, len: 0, entries: entries.to_vec() };
            assert_eq!(sources.shares(source).map(|share| (share.at, share.until)).collect::<Vec<_>>(), expected, "{source}");
        };
        // b begins behind a, which goes on in its own part, and then behind b.
        let entries = [entry(true, 0, 0, "a"), entry(true, 50, 0, "b"), entry(false, 50, 9, "a"), entry(false, 70, 9, "b"), entry(true, 80, 20, "a")];
        check(&entries, "a", &[(80, None), (50, Some(50)), (0, Some(50))]);
        check(&entries, "b", &[(70, Some(80)), (50, Some(80))]);
        check(&entries, "c", &[]);
        // a was killed before it wrote anything.
        let entries = [entry(true, 0, 0, "a"), entry(true, 0, 0, "b")];
        check(&entries, "a", &[(0, Some(0))]);
        check(&entries, "b", &[(0, None)]);
    }
}
