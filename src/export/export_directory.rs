//! The directory of one partition in an export: its path, its lock, the files that are there and which of them are part of the table. Removes
//! what was not finished, never a complete file.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidelog_format::STORE_NAME;

use crate::error::{IoContext, IoError};
use crate::export::delta_log::{DeltaLog, NewFile};
use crate::export::error::ExportError;
use crate::export::footer::{self, Contents, Source};
use crate::export::report::ExportGap;
use crate::io::{Kind, Lock, Storage};

/// The directory, held exclusively.
#[derive(Debug)]
pub(super) struct ExportDirectory {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) path: PathBuf,
    pub(super) table: DeltaLog,
    /// The files that are part of the table, in offset order, not overlapping.
    pub(super) files: Vec<FileRange>,
    /// What was left out of them.
    pub(super) gaps: Vec<ExportGap>,
    /// Complete files behind them that are no part of the table: their run was killed before it could commit them.
    pub(super) uncommitted: Vec<Uncommitted>,
    _lock: Box<dyn Lock>,
}

/// A complete file that is no part of the table yet.
#[derive(Debug)]
pub(super) struct Uncommitted {
    pub(super) range: FileRange,
    pub(super) bytes: u64,
    pub(super) contents: Contents,
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

    /// Makes it if need be, and locks it. What is in it is not known before it is [`read`](Self::read).
    pub(super) fn open(storage: Arc<dyn Storage>, out: &Path, source: &Source) -> Result<Self, ExportError> {
        let store_file = out.join(STORE_NAME);
        if storage.kind(&store_file).at("look at", &store_file)?.is_some() {
            return Err(ExportError::IntoStore { path: out.to_owned() });
        }
        let path = path_of(out, source);
        create_all(&*storage, &path)?;
        let lock = storage.lock(&path).at("lock", &path)?.ok_or_else(|| ExportError::Locked { path: path.clone() })?;
        sync_names(&*storage, &path, out)?;
        let table = DeltaLog::new(storage.clone(), &table_of(out, source), source);
        Ok(Self { storage, path, table, files: Vec::new(), gaps: Vec::new(), uncommitted: Vec::new(), _lock: lock })
    }

    /// Finds out what is there, and removes what was not finished.
    pub(super) fn read(&mut self, source: &Source) -> Result<(), ExportError> {
        self.table.read()?;
        self.storage.sync_dir(&self.path).at("sync", &self.path)?;
        (self.files, self.gaps, self.uncommitted) = Default::default();
        let (storage, mut partials) = (self.storage.clone(), Vec::new());
        let mut missing = self.table.files().map(str::to_owned).collect::<BTreeSet<_>>();
        for entry in storage.list(&self.path).at("list", &self.path)? {
            let at = self.path.join(&entry.name);
            // What is not Unicode is not ours.
            let Some(name) = entry.name.to_str() else { continue };
            if entry.kind == Kind::File && name.starts_with('.') && name.ends_with(PARTIAL_SUFFIX) {
                partials.push(at);
            } else if !name.starts_with('.') && name.ends_with(EXTENSION) && !self.table.was_removed(name) {
                self.look_at(source, name, missing.remove(name))?;
            }
        }
        if let Some(name) = missing.pop_first() {
            return Err(ExportError::MissingFile { path: self.path.join(name) });
        }
        self.table.remove_partial()?;
        partials.iter().try_for_each(|at| storage.unlink(at).at("remove", at))?;
        self.files.sort();
        self.gaps.sort_by_key(|gap| gap.from);
        self.uncommitted.sort_by_key(|file| file.range);
        let all: Vec<FileRange> = self.files.iter().copied().chain(self.uncommitted.iter().map(|file| file.range)).collect();
        match all.windows(2).find(|pair| pair[1].first <= pair[0].last) {
            Some(pair) => Err(ExportError::Overlap { first: self.path.join(pair[0].name()), second: self.path.join(pair[1].name()) }),
            None => Ok(()),
        }
    }

    /// Checks a file, and whether it is part of the table or not yet.
    fn look_at(&mut self, source: &Source, name: &str, is_committed: bool) -> Result<(), ExportError> {
        let at = self.path.join(name);
        let Some(range) = FileRange::parse(name) else {
            // Others may have put files together, and committed that.
            let reason = "its name is not that of two offsets".to_owned();
            return if is_committed { Ok(()) } else { Err(ExportError::NotOfExport { path: at, reason }) };
        };
        let (contents, bytes) = footer::check(&*self.storage, &at, source, range.first, range.last)?;
        if is_committed {
            self.take(range, &contents);
        } else {
            self.uncommitted.push(Uncommitted { range, bytes, contents });
        }
        Ok(())
    }

    /// Makes a complete file part of the table; removes it if another process was first.
    pub(super) fn commit(&mut self, range: FileRange, bytes: u64, contents: &Contents) -> Result<(), ExportError> {
        let name = range.name();
        let committed = self.table.commit(NewFile { name: &name, bytes, contents });
        match committed {
            // Whoever was first has found this very file and committed it, or it was this process, and its file system did not say so.
            Err(ExportError::Fenced { .. }) if self.table.has(&name) => {}
            Err(error @ (ExportError::Fenced { .. } | ExportError::Columns { .. })) => {
                self.remove(range)?;
                return Err(error);
            }
            other => other?,
        }
        self.take(range, contents);
        Ok(())
    }

    /// Removes a file that is no part of the table.
    pub(super) fn remove(&self, range: FileRange) -> Result<(), ExportError> {
        let path = self.path.join(range.name());
        Ok(self.storage.unlink(&path).at("remove", &path)?)
    }

    fn take(&mut self, range: FileRange, contents: &Contents) {
        self.files.push(range);
        self.gaps.extend(contents.gaps.iter().cloned());
    }
}

fn path_of(out: &Path, source: &Source) -> PathBuf {
    table_of(out, source).join(format!("partition={}", source.partition))
}

/// The directory of the topic, which is a table. Readers of Delta tables undo escapes in its path, so there are none.
pub(super) fn table_of(out: &Path, source: &Source) -> PathBuf {
    match source.topic.split_once('/') {
        Some((namespace, topic)) => out.join(format!("namespace={namespace}")).join(format!("topic={topic}")),
        None => out.join(format!("topic={}", source.topic)),
    }
}

/// Makes the names of `path` and of the directories above it durable, up to that of `out`: whoever made them may have been killed before they were.
fn sync_names(storage: &dyn Storage, path: &Path, out: &Path) -> Result<(), IoError> {
    for named in path.ancestors() {
        let parent = parent_of(named);
        match storage.sync_dir(parent) {
            // A place that was given to this program in a directory that was not.
            Err(error) if named == out && error.kind() == ErrorKind::PermissionDenied => {}
            other => other.at("sync", parent)?,
        }
        if named == out {
            break;
        }
    }
    Ok(())
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a directory and those above it, each durable in its parent.
pub(super) fn create_all(storage: &dyn Storage, path: &Path) -> Result<(), IoError> {
    match storage.create_dir(path) {
        // Another process may have made it a moment ago.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
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
    storage.sync_dir(parent_of(path)).at("sync", parent_of(path))
}

/// The end of the name of a file that is being written.
pub(super) const PARTIAL_SUFFIX: &str = ".parquet.partial";
pub(super) const EXTENSION: &str = "parquet";

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
    fn a_namespace_is_a_directory_of_its_own() {
        let source = |topic: &str| Source { topic: topic.to_owned(), partition: 3, uuid: String::new() };
        assert_eq!(path_of(Path::new("out"), &source("orders")), Path::new("out/topic=orders/partition=3"));
        assert_eq!(path_of(Path::new("out"), &source("shop/orders")), Path::new("out/namespace=shop/topic=orders/partition=3"));
    }
}
