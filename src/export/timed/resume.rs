//! Where an import of files without offsets goes on: finds what a partition has of it, and proves that the files are still those. Appends
//! nothing.

use std::collections::HashMap;
use std::path::Path;

use tidelog_format::{Offset, TimestampNs};

use crate::config::ReadIsolation;
use crate::export::import_error::ImportError;
use crate::export::timed::file::TimedFile;
use crate::export::timed::note::{FileEntry, Note, OWN, RowId, SourceId};
use crate::export::timed::plan::RowKey;
use crate::log::{PartitionView, StoredBatch};
use crate::topic::Partition;

/// What is imported, as the partition remembers it.
#[derive(Debug)]
pub(super) struct Sought<'a> {
    /// The place of the files.
    pub(super) path: &'a Path,
    /// In the order of their first times.
    pub(super) files: &'a [TimedFile],
    pub(super) source: SourceId,
    pub(super) settings_crc: u32,
}

/// What a partition has of an import.
#[derive(Debug)]
pub(super) struct Resumed {
    /// The newest note, and how many rows of its batch are there.
    pub(super) note: Note,
    pub(super) batch_rows: u64,
    /// The last row that is surely there; none if that is in no batch before.
    pub(super) last: Option<RowKey>,
}

impl Resumed {
    /// Rows behind the last one that are there all the same: the log was cut off in the middle of a batch.
    pub(super) fn again(&self) -> u64 {
        if self.batch_rows < self.note.batch_rows { self.batch_rows } else { 0 }
    }

    /// Rows up to the last one.
    pub(super) fn rows(&self) -> u64 {
        self.note.rows - if self.again() > 0 { self.note.batch_rows } else { 0 }
    }
}

impl Sought<'_> {
    /// What a partition that was flushed has of this import. Files that are elsewhere now are found by what they are.
    ///
    /// # Errors
    /// [`ImportError`] if the files are not those that were imported, or others come before what was.
    pub(super) fn find(&self, to: &Partition) -> Result<Option<Resumed>, ImportError> {
        let view = to.view().with_isolation(ReadIsolation::Written);
        let checksums = checksums(self.files);
        let mut end = view.log_end_offset();
        'search: loop {
            for batch in view.batches_backwards(end)? {
                let batch = batch?;
                let base_offset = batch.base_offset().get();
                let Some(note) = batch.note().and_then(|bytes| Note::decode(bytes, base_offset)) else { continue };
                let count = usize::try_from(note.files).unwrap_or(usize::MAX);
                if checksums.get(count) == Some(&note.files_crc) {
                    self.check(&note)?;
                    return self.resumed(note, &batch, view.log_start_offset()).map(Some);
                }
                if note.source == self.source {
                    return Err(self.difference(&view, &note)?);
                }
                if note.run_base < base_offset {
                    // All of that run is about other files.
                    end = note.run_base.max(view.log_start_offset().get()).into();
                    continue 'search;
                }
            }
            return Ok(None);
        }
    }

    fn resumed(&self, note: Note, batch: &StoredBatch, log_start: Offset) -> Result<Resumed, ImportError> {
        let batch_rows = batch.len() as u64;
        if batch_rows < note.batch_rows && batch.base_offset() == log_start && log_start > 0 {
            // Which of its rows are there, nothing says.
            return Err(ImportError::CutTwice { path: self.path.to_owned(), offset: batch.base_offset() });
        }
        let last = match (batch_rows < note.batch_rows, note.rows > note.batch_rows) {
            (false, _) => Some(self.key(note.last)),
            (true, true) => Some(self.key(note.before)),
            (true, false) => None,
        };
        Ok(Resumed { note, batch_rows, last })
    }

    /// A row of files that are the first ones of these.
    fn key(&self, row: RowId) -> RowKey {
        RowKey { time: row.time, name: self.files[row.file as usize].name.clone(), row: row.row }
    }

    /// Refuses other columns, and files that are new and come before what was imported.
    fn check(&self, note: &Note) -> Result<(), ImportError> {
        if note.settings_crc != self.settings_crc {
            return Err(ImportError::OtherColumns { path: self.path.to_owned() });
        }
        let last = self.key(note.last);
        self.files.get(note.files as usize).filter(|file| comes_before(file, &last)).map_or(Ok(()), |file| Err(self.late(file, &last)))
    }

    fn late(&self, file: &TimedFile, last: &RowKey) -> ImportError {
        let time = TimestampNs::new(file.first_time().unwrap_or_default());
        let (path, until) = (file.path.clone(), TimestampNs::new(last.time));
        let last = self.files.iter().find(|file| file.name == last.name).map_or_else(|| self.path.join(&last.name), |file| file.path.clone());
        ImportError::Late { path, time, until, last }
    }

    /// What became of the files that were imported.
    fn difference(&self, view: &PartitionView, note: &Note) -> Result<ImportError, ImportError> {
        let (entries, is_whole) = entries(view, note)?;
        let now: Vec<FileEntry> = self.files.iter().map(FileEntry::of).collect();
        let by_name: HashMap<_, _> = now.iter().enumerate().map(|(at, entry)| ((entry.name_crc, entry.name_bytes), at)).collect();
        for entry in &entries {
            let found = by_name.get(&(entry.name_crc, entry.name_bytes)).filter(|at| now[**at].has_name_of(entry));
            match found {
                None => return Ok(ImportError::Vanished { path: self.path.join(entry.name()) }),
                Some(at) if now[*at] != *entry => {
                    let (path, rows, found_rows) = (self.files[*at].path.clone(), entry.rows, now[*at].rows);
                    return Ok(ImportError::Changed { path, rows, bytes: entry.bytes, found_rows, found_bytes: now[*at].bytes });
                }
                Some(_) => {}
            }
        }
        let last = is_whole.then(|| entries.iter().rev().nth(note.last.file as usize)).flatten();
        let last = last.and_then(|entry| self.files.iter().find(|file| FileEntry::of(file).has_name_of(entry)));
        if let Some(last) = last {
            let last = RowKey { time: note.last.time, name: last.name.clone(), row: note.last.row };
            let is_new = |file: &&TimedFile| !entries.iter().any(|entry| FileEntry::of(file).has_name_of(entry));
            if let Some(file) = self.files.iter().filter(is_new).find(|file| comes_before(file, &last)) {
                return Ok(self.late(file, &last));
            }
        }
        let reason = format!("the first {} files in the order of time are not those that were imported into this partition", note.files);
        Ok(ImportError::File { path: self.path.to_owned(), reason })
    }
}

fn comes_before(file: &TimedFile, last: &RowKey) -> bool {
    file.first_time().is_some_and(|time| (time, &file.name) <= (last.time, &last.name))
}

/// The checksum of the first files, for each number of them.
fn checksums(files: &[TimedFile]) -> Vec<u32> {
    let mut checksums = vec![0];
    for file in files {
        checksums.push(FileEntry::of(file).chain(checksums[checksums.len() - 1]));
    }
    checksums
}

/// The files that were begun, newest first, and whether these are all: what was deleted from the log is not known any more.
fn entries(view: &PartitionView, note: &Note) -> Result<(Vec<FileEntry>, bool), ImportError> {
    let (mut entries, mut at) = (vec![note.begun.clone()], note.previous_at);
    while at != OWN && at >= view.log_start_offset().get() && (entries.len() as u64) < note.files {
        let Some(batch) = view.batches_backwards(at + 1)?.next().transpose()? else { break };
        let Some(before) = batch.note().and_then(|bytes| Note::decode(bytes, batch.base_offset().get())) else { break };
        entries.push(before.begun);
        at = before.previous_at;
    }
    let is_whole = entries.len() as u64 == note.files;
    Ok((entries, is_whole))
}
