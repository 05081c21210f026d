//! The directory of one partition in an export: its path, its lock, the files that are there. Removes leftovers, never a complete file.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidelog_format::{Offset, STORE_NAME};

use crate::error::{IoContext, IoError};
use crate::export::error::ExportError;
use crate::export::footer::{self, Source};
use crate::io::{Kind, Lock, Storage};

/// The directory, held exclusively.
#[derive(Debug)]
pub(super) struct ExportDirectory {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) path: PathBuf,
    /// Complete files of earlier runs, in offset order, not overlapping.
    pub(super) files: Vec<FileRange>,
    /// Those of them that have not a row for each of their offsets.
    pub(super) sparse: Vec<FileRange>,
    _lock: Box<dyn Lock>,
}

/// The offsets of a file, as its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileRange {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl FileRange {
    pub(super) fn name(self) -> String {
        format!("{:020}-{:020}.{EXTENSION}", self.first, self.last)
    }

    fn parse(name: &str) -> Option<Self> {
        let (first, last) = name.strip_suffix(EXTENSION)?.strip_suffix('.')?.split_once('-')?;
        let range = Self { first: first.parse().ok()?, last: last.parse().ok()? };
        (range.name() == name && range.first <= range.last).then_some(range)
    }
}

impl ExportDirectory {
    /// Whether an earlier run has made it.
    pub(super) fn exists(storage: &dyn Storage, out: &Path, source: &Source) -> Result<bool, ExportError> {
        let path = path_of(out, source);
        Ok(storage.kind(&path).at("look at", &path)?.is_some())
    }

    /// Makes it if need be, locks it, removes what a killed run left, and checks each file that is there.
    pub(super) fn open(storage: Arc<dyn Storage>, out: &Path, source: &Source) -> Result<Self, ExportError> {
        let store_file = out.join(STORE_NAME);
        if storage.kind(&store_file).at("look at", &store_file)?.is_some() {
            return Err(ExportError::IntoStore { path: out.to_owned() });
        }
        let path = path_of(out, source);
        create_all(&*storage, &path)?;
        let lock = storage.lock(&path).at("lock", &path)?.ok_or_else(|| ExportError::Locked { path: path.clone() })?;
        let (files, sparse) = existing(&*storage, &path, source)?;
        Ok(Self { storage, path, files, sparse, _lock: lock })
    }

    /// Where the next file begins, if there is one already.
    pub(super) fn end(&self) -> Option<Offset> {
        self.files.last().map(|file| Offset::new(file.last + 1))
    }
}

fn path_of(out: &Path, source: &Source) -> PathBuf {
    // Hive's own escape for what separates directories; a topic's name holds no other character that needs one.
    out.join(format!("topic={}", source.topic.replace('/', "%2F"))).join(format!("partition={}", source.partition))
}

/// Makes a directory and those above it, each durable in its parent.
fn create_all(storage: &dyn Storage, path: &Path) -> Result<(), IoError> {
    match storage.create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let Some(parent) = path.parent() else { return Err(IoError::new("create", path, error)) };
            create_all(storage, parent)?;
            storage
                .create_dir(path)
                .or_else(|error| if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
                .at("create", path)?;
        }
        other => other.at("create", path)?,
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    storage.sync_dir(parent).at("sync", parent)
}

/// The files that are there, and those of them that are not dense.
fn existing(storage: &dyn Storage, path: &Path, source: &Source) -> Result<(Vec<FileRange>, Vec<FileRange>), ExportError> {
    let (mut files, mut sparse) = (Vec::new(), Vec::new());
    for entry in storage.list(path).at("list", path)? {
        let at = path.join(&entry.name);
        // What is not Unicode is not ours.
        let Some(name) = entry.name.to_str() else { continue };
        if entry.kind == Kind::File && name.starts_with('.') && name.ends_with(PARTIAL_SUFFIX) {
            storage.unlink(&at).at("remove", &at)?;
        } else if !name.starts_with('.') && name.ends_with(EXTENSION) {
            let range = FileRange::parse(name);
            let reason = "its name is not that of two offsets";
            let range = range.ok_or_else(|| ExportError::NotOfExport { path: at.clone(), reason: reason.to_owned() })?;
            if !footer::check(storage, &at, source, range.first, range.last)? {
                sparse.push(range);
            }
            files.push(range);
        }
    }
    files.sort();
    match files.windows(2).find(|pair| pair[1].first <= pair[0].last) {
        Some(pair) => Err(ExportError::Overlap { first: path.join(pair[0].name()), second: path.join(pair[1].name()) }),
        None => Ok((files, sparse)),
    }
}

/// The end of the name of a file that is being written.
pub(super) const PARTIAL_SUFFIX: &str = ".parquet.partial";
const EXTENSION: &str = "parquet";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_two_offsets_of_20_digits() {
        let range = FileRange { first: 7, last: u64::MAX };
        assert_eq!(range.name(), "00000000000000000007-18446744073709551615.parquet");
        assert_eq!(FileRange::parse(&range.name()), Some(range));
        for name in [
            "7-18446744073709551615.parquet",
            "00000000000000000007-18446744073709551616.parquet",
            "00000000000000000007-00000000000000000006.parquet",
            "00000000000000000007-0000000000000000000.parquet",
            "+0000000000000000007-00000000000000000008.parquet",
            "00000000000000000007-00000000000000000008parquet",
            "part-0.parquet",
        ] {
            assert_eq!(FileRange::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_namespace_is_escaped_in_the_path() {
        let source = |topic: &str| Source { topic: topic.to_owned(), partition: 3, uuid: String::new() };
        assert_eq!(path_of(Path::new("out"), &source("orders")), Path::new("out/topic=orders/partition=3"));
        assert_eq!(path_of(Path::new("out"), &source("shop/orders")), Path::new("out/topic=shop%2Forders/partition=3"));
    }
}
