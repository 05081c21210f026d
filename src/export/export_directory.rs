//! The directory of one partition in an export: its path, its lock, the files that are there and which of them are part of the table. Removes
//! what was not finished, what was put into other files, and what it may not commit, never a file that somebody could commit.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::export::delta_log::{DeltaLog, NewFile};
use crate::export::error::ExportError;
use crate::export::footer::{self, Contents, Extent, Source};
use crate::export::report::{CheckpointFailure, ExportGap};
use crate::export::target::Target;
use crate::io::Lock;

/// The directory, held exclusively where that can be.
#[derive(Debug)]
pub(super) struct ExportDirectory {
    pub(super) target: Arc<dyn Target>,
    pub(super) path: PathBuf,
    pub(super) table: DeltaLog,
    /// What was left out of them.
    pub(super) gaps: Vec<ExportGap>,
    /// Complete files behind them that are no part of the table: their run was killed before it could commit them.
    pub(super) uncommitted: Vec<Uncommitted>,
    /// Checkpoints that are not there, of which nobody was told yet.
    pub(super) checkpoint_failures: Vec<CheckpointFailure>,
    lock: Option<Box<dyn Lock>>,
}

/// A complete file that is no part of the table yet.
#[derive(Debug)]
pub(super) struct Uncommitted {
    pub(super) name: FileName,
    pub(super) bytes: u64,
    pub(super) contents: Contents,
}

/// The name of a file: its offsets, and, where nothing is locked, which of the files with these offsets it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileName {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) number: Option<u64>,
}

/// What is found in a directory and is not to stay.
#[derive(Debug, Default)]
struct Found {
    /// Files of the table that others were put into.
    compacted: Vec<FileName>,
    /// Files that were part of the table.
    replaced: Vec<FileName>,
    /// Files that others were to be put into.
    unfinished: Vec<FileName>,
}

impl FileName {
    fn holds(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(EXTENSION)?.strip_suffix('.')?.split('-');
        let (first, last) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let number = parts.next().map(|digits| u64::from_str_radix(digits, 16)).transpose().ok()?;
        let parsed = Self { first, last, number };
        (parsed.to_string() == name && first <= last).then_some(parsed)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, number } = self;
        write!(f, "{first:020}-{last:020}")?;
        number.map_or(Ok(()), |number| write!(f, "-{number:016x}"))?;
        write!(f, ".{EXTENSION}")
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
        Ok(Self { target, path, table, gaps: Vec::new(), uncommitted: Vec::new(), checkpoint_failures: Vec::new(), lock })
    }

    /// Finds out what is there, and removes what was not finished.
    pub(super) fn read(&mut self, source: &Source) -> Result<(), ExportError> {
        self.table.read()?;
        self.target.settle(&self.path)?;
        (self.gaps, self.uncommitted) = Default::default();
        let (target, mut leftovers, mut found) = (self.target.clone(), Vec::new(), Found::default());
        let mut missing = self.table.files().map(str::to_owned).collect::<BTreeSet<_>>();
        for entry in target.list(&self.path)? {
            // What is not Unicode is not ours.
            let Some(name) = entry.name.to_str() else { continue };
            if target.is_leftover(&entry) {
                leftovers.push(self.path.join(name));
            } else if !name.starts_with('.') && name.ends_with(EXTENSION) {
                let is_committed = missing.remove(name);
                match self.look_at(source, name, is_committed, &mut found) {
                    Err(ExportError::Io(error)) if self.is_shared() && is_committed && error.kind() == ErrorKind::NotFound => {
                        missing.insert(name.to_owned());
                    }
                    Err(error) if self.is_shared() && !is_committed && is_of_others(&error) => {}
                    other => other?,
                }
            }
        }
        if let Some(name) = missing.pop_first() {
            // Where others are at work, it may have been put into another file since the log was read.
            if self.is_shared() {
                self.table.read()?;
                if !self.table.has(&name) {
                    return self.read(source);
                }
            }
            return Err(ExportError::MissingFile { path: self.path.join(name) });
        }
        self.table.remove_leftover()?;
        leftovers.iter().try_for_each(|path| target.remove(path))?;
        found.replaced.retain(|range| found.compacted.iter().any(|compacted| compacted.holds(*range)));
        found.replaced.iter().chain(&found.unfinished).try_for_each(|range| self.discard(*range))?;
        self.gaps.sort_by_key(|gap| gap.from);
        self.uncommitted.sort_by_key(|file| file.name);
        // Where others are at work, some of what is not committed never will be.
        let to_come = self.uncommitted.iter().map(|file| file.name).filter(|_| !self.is_shared());
        let all: Vec<FileName> = self.files().into_iter().chain(to_come).collect();
        match all.windows(2).find(|pair| pair[1].first <= pair[0].last) {
            Some(pair) => Err(ExportError::Overlap { first: self.path.join(pair[0].to_string()), second: self.path.join(pair[1].to_string()) }),
            None => Ok(()),
        }
    }

    /// Checks a file, and whether it is part of the table or not yet.
    fn look_at(&mut self, source: &Source, name: &str, is_committed: bool, found: &mut Found) -> Result<(), ExportError> {
        let (at, was_removed) = (self.path.join(name), self.table.was_removed(name));
        let Some(parsed) = FileName::parse(name) else {
            // Others may have put files together, and committed that.
            let reason = "its name is not that of two offsets".to_owned();
            let is_theirs = is_committed || was_removed || self.table.may_have_removed(0);
            return if is_theirs { Ok(()) } else { Err(ExportError::NotOfExport { path: at, reason }) };
        };
        if was_removed {
            found.replaced.push(parsed);
            return Ok(());
        }
        // What begins before the watermark can be committed no more, unless to take the place of others, and there may be much of it.
        if self.is_shared() && !is_committed && self.table.watermark()?.is_some_and(|watermark| parsed.first < watermark.get()) {
            return Ok(());
        }
        let checked = footer::check(&*self.target, &at, source, parsed.first, parsed.last);
        let is_exported = !is_committed && self.table.is_exported(parsed.last);
        match checked {
            Ok((contents, _)) if is_committed => {
                found.compacted.extend(contents.is_compacted.then_some(parsed));
                self.gaps.extend(contents.gaps);
            }
            // Its rows are in other files: it was not finished by a commit.
            Ok((contents, _)) if is_exported && contents.is_compacted => found.unfinished.push(parsed),
            Ok(_) if self.table.may_have_removed(parsed.last) => found.replaced.push(parsed),
            Ok((contents, bytes)) => self.uncommitted.push(Uncommitted { name: parsed, bytes, contents }),
            Err(error) if error.is_refusal() && !is_committed && self.table.may_have_removed(parsed.last) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether others may be at work in it: it has no lock.
    pub(super) fn is_shared(&self) -> bool {
        self.lock.is_none()
    }

    /// The name of a file to come.
    pub(super) fn name_of(&self, extent: &Extent) -> FileName {
        let number = self.is_shared().then(|| self.target.random());
        FileName { first: extent.first, last: extent.last, number }
    }

    /// Makes a complete file part of the table.
    ///
    /// # Errors
    /// [`ExportError::Fenced`] if another process was first: the file stays as it is.
    pub(super) fn commit(&mut self, name: FileName, bytes: u64, contents: &Contents) -> Result<(), ExportError> {
        let committed = self.table.commit(NewFile { name: &name.to_string(), bytes, contents });
        match committed {
            // Whoever was first has found this very file and committed it, or it was this process, and its file system did not say so.
            Err(ExportError::Fenced { .. }) if self.table.had(&name.to_string()) => {}
            other => other?,
        }
        self.gaps.extend(contents.gaps.iter().cloned());
        self.checkpoint_failures.extend(self.table.write_checkpoint_if_due());
        Ok(())
    }

    /// Makes a file that this process alone knows part of the table; removes it if another process was first, and nobody can commit it any more.
    pub(super) fn commit_or_discard(&mut self, name: FileName, bytes: u64, contents: &Contents) -> Result<(), ExportError> {
        let error = match self.commit(name, bytes, contents) {
            Err(error @ (ExportError::Fenced { .. } | ExportError::Columns { .. })) => error,
            other => return other,
        };
        if !self.is_shared() || self.table.watermark()?.is_some_and(|watermark| watermark.get() > name.first) {
            self.discard(name)?;
        }
        Err(error)
    }

    /// Removes a file that did not become part of the table, or is no more. Where nothing is locked, one that stays does no harm, and who may put
    /// objects need not be allowed to delete them.
    pub(super) fn discard(&self, name: FileName) -> Result<(), ExportError> {
        let removed = self.remove(name);
        if self.is_shared() { Ok(()) } else { removed }
    }

    /// Removes a file that is no part of the table.
    pub(super) fn remove(&self, name: FileName) -> Result<(), ExportError> {
        Ok(self.target.remove(&self.path.join(name.to_string()))?)
    }

    /// What it means that a file of the table is not there: where nothing is locked, another process may have put it into another one since the log
    /// was read. Any other error stays what it is.
    pub(super) fn or_fenced(&mut self, error: ExportError) -> ExportError {
        let name = match &error {
            ExportError::Io(error) if self.is_shared() && error.kind() == ErrorKind::NotFound => error.path.file_name().and_then(OsStr::to_str),
            _ => None,
        };
        let Some(name) = name.filter(|name| self.table.has(name)).map(str::to_owned) else { return error };
        match self.table.read() {
            Ok(()) if !self.table.has(&name) => self.table.fenced().unwrap_or(error),
            _ => error,
        }
    }

    /// The files that are part of the table, in offset order, as far as their names say offsets: others may have put files together.
    pub(super) fn files(&self) -> Vec<FileName> {
        let mut files: Vec<FileName> = self.table.files().filter_map(FileName::parse).collect();
        files.sort();
        files
    }
}

/// Whether a file is none that could be committed, or is not there any more.
fn is_of_others(error: &ExportError) -> bool {
    match error {
        ExportError::NotOfExport { .. } | ExportError::OtherPartition { .. } => true,
        ExportError::Io(error) => error.kind() == ErrorKind::NotFound,
        _ => false,
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
    fn names_are_two_offsets_of_20_digits_and_where_it_must_be_a_number() {
        for (number, text) in [
            (None, "00000000000000000007-18446744073709551615.parquet"),
            (Some(0xbeef), "00000000000000000007-18446744073709551615-000000000000beef.parquet"),
        ] {
            let name = FileName { first: 7, last: u64::MAX, number };
            assert_eq!(name.to_string(), text);
            assert_eq!(FileName::parse(text), Some(name));
        }
        for name in [
            "7-18446744073709551615.parquet",
            "00000000000000000007-18446744073709551616.parquet",
            "00000000000000000007-00000000000000000006.parquet",
            "00000000000000000007-0000000000000000000.parquet",
            "+0000000000000000007-00000000000000000008.parquet",
            "00000000000000000007-00000000000000000008parquet",
            "00000000000000000007-00000000000000000008-.parquet",
            "00000000000000000007-00000000000000000008-beef.parquet",
            "00000000000000000007-00000000000000000008-000000000000BEEF.parquet",
            "00000000000000000007-00000000000000000008-000000000000beef-0.parquet",
            "part-0.parquet",
        ] {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_namespace_is_a_directory_of_its_own() {
        let source = |topic: &str| Source { topic: topic.to_owned(), partition: 3, uuid: String::new() };
        assert_eq!(path_of(Path::new("out"), &source("orders")), Path::new("out/topic=orders/partition=3"));
        assert_eq!(path_of(Path::new("out"), &source("shop/orders")), Path::new("out/namespace=shop/topic=orders/partition=3"));
    }
}
