//! The directory of one partition in an export: its path, its lock, the files that are there and which of them are part of the table. Removes
//! what was not finished, never a complete file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::export::delta_log::{DeltaLog, NewFile};
use crate::export::error::ExportError;
use crate::export::footer::{self, Contents, Source};
use crate::export::report::ExportGap;
use crate::export::target::Target;
use crate::io::Lock;

/// The directory, held exclusively.
#[derive(Debug)]
pub(super) struct ExportDirectory {
    pub(super) target: Arc<dyn Target>,
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
    pub(super) fn exists(target: &dyn Target, out: &Path, source: &Source) -> Result<bool, ExportError> {
        Ok(target.kind(&path_of(out, source))?.is_some())
    }

    /// Makes it if need be, and locks it. What is in it is not known before it is [`read`](Self::read).
    pub(super) fn open(target: Arc<dyn Target>, out: &Path, source: &Source) -> Result<Self, ExportError> {
        let path = path_of(out, source);
        let lock = target.take(out, &path)?;
        let table = DeltaLog::new(target.clone(), &table_of(out, source), source);
        Ok(Self { target, path, table, files: Vec::new(), gaps: Vec::new(), uncommitted: Vec::new(), _lock: lock })
    }

    /// Finds out what is there, and removes what was not finished.
    pub(super) fn read(&mut self, source: &Source) -> Result<(), ExportError> {
        self.table.read()?;
        self.target.settle(&self.path)?;
        (self.files, self.gaps, self.uncommitted) = Default::default();
        let (target, mut leftovers) = (self.target.clone(), Vec::new());
        let mut missing = self.table.files().map(str::to_owned).collect::<BTreeSet<_>>();
        for entry in target.list(&self.path)? {
            // What is not Unicode is not ours.
            let Some(name) = entry.name.to_str() else { continue };
            if target.is_leftover(&entry) {
                leftovers.push(self.path.join(name));
            } else if !name.starts_with('.') && name.ends_with(EXTENSION) && !self.table.was_removed(name) {
                self.look_at(source, name, missing.remove(name))?;
            }
        }
        if let Some(name) = missing.pop_first() {
            return Err(ExportError::MissingFile { path: self.path.join(name) });
        }
        self.table.remove_leftover()?;
        leftovers.iter().try_for_each(|path| target.remove(path))?;
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
        let (contents, bytes) = footer::check(&*self.target, &at, source, range.first, range.last)?;
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
        Ok(self.target.remove(&self.path.join(range.name()))?)
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
