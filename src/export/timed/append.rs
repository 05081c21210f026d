//! Appends rows of files without offsets to a partition, and commits with each batch how far that is. Reads no file, decides no order.

use std::cmp::Ordering;

use tidelog_format::Offset;

use crate::config::{AckLevel, ReadIsolation};
use crate::error::AppendError;
use crate::export::import_error::ImportError;
use crate::export::import_file::refused;
use crate::export::parquet_import::{BATCH_BYTES, BATCH_RECORDS, NANOS_BYTES, RECORD_BYTES, SYNC_BYTES, bytes_of};
use crate::export::timed::file::TimedFile;
use crate::export::timed::import::{TimedProgress, TimedReport};
use crate::export::timed::merge::RowPlace;
use crate::export::timed::note::{FileEntry, Note, OWN, RowId, SourceId};
use crate::export::timed::resume::Resumed;
use crate::log::{Record, RecordBatch};
use crate::topic::Partition;

/// Rows on their way into a partition.
pub(super) struct Appending<'a> {
    to: &'a Partition,
    files: &'a [TimedFile],
    /// How far this is, the batch included; what is known of it before the first row is not.
    note: Note,
    /// The last row of the batch before.
    before: RowId,
    /// Rows that come and are there already.
    again: u64,
    batch: RecordBatch,
    batch_bytes_max: u64,
    /// The first row of the batch.
    first: Option<RowPlace>,
    unsynced_bytes: u64,
    /// Where the next batch will stand, if nobody else appends.
    end: u64,
    all_rows: u64,
    report: TimedReport,
}

impl<'a> Appending<'a> {
    /// Goes on where a partition that ended at `end` has `resumed` the import.
    pub(super) fn new(to: &'a Partition, files: &'a [TimedFile], source: SourceId, settings_crc: u32, end: Offset, resumed: Option<Resumed>) -> Self {
        let end = end.get();
        let (again, kept_rows) = resumed.as_ref().map_or((0, 0), |resumed| (resumed.again(), resumed.rows()));
        let note = match resumed {
            Some(Resumed { note, .. }) => Note { source, run_base: end, rows: kept_rows, ..note },
            None => Self::first_note(source, settings_crc, end),
        };
        Self {
            to,
            files,
            before: note.last,
            note,
            again,
            batch: RecordBatch::new(),
            batch_bytes_max: to.batch_bytes_max().min(BATCH_BYTES).saturating_sub(NOTE_BYTES),
            first: None,
            unsynced_bytes: 0,
            end,
            all_rows: files.iter().map(|file| file.rows).sum(),
            report: TimedReport { kept_rows, ..TimedReport::default() },
        }
    }

    /// What is known before the first row is.
    fn first_note(source: SourceId, settings_crc: u32, run_base: u64) -> Note {
        let begun = FileEntry { rows: 0, bytes: 0, footer_crc: 0, name_crc: 0, name_bytes: 0, name_end: Vec::new() };
        let (import_base, begun_at, previous_at) = (OWN, OWN, OWN);
        let (last, before) = Default::default();
        Note {
            settings_crc,
            source,
            files: 0,
            files_crc: 0,
            rows: 0,
            run_base,
            import_base,
            begun_at,
            previous_at,
            batch_rows: 0,
            last,
            before,
            begun,
        }
    }

    /// Takes the next row; appends the batch before it if there is no room.
    pub(super) fn take(&mut self, place: RowPlace, record: &Record<'_>, progress: &mut dyn FnMut(TimedProgress)) -> Result<(), ImportError> {
        let row = RowId { file: place.file as u64, time: place.time, row: place.row };
        let begins = row.file >= self.note.files;
        // A file's first row comes where its first time and its name say, by which files are numbered.
        let is_next = self.note.rows == 0 || self.again > 0 || self.note.last.time <= row.time;
        if !is_next || row.file > self.note.files {
            return Err(refused(&self.files[place.file].path, "it has changed while it was read"));
        }
        if self.again > 0 {
            // Its batch was cut off behind it, or behind a row that comes.
            self.again -= 1;
            (self.note.last, self.before) = (row, row);
            self.note.rows += 1;
            self.report.kept_rows += 1;
            return Ok(());
        }
        if begins || !self.has_room(record) {
            self.commit()?;
            progress(self.progress());
        }
        if begins {
            self.begin(place.file);
        }
        self.batch.push(record).map_err(|source| self.failure(place, source))?;
        self.first = self.first.or(Some(place));
        self.note.last = row;
        self.note.rows += 1;
        self.report.bytes += bytes_of(record);
        Ok(())
    }

    /// The batch that comes has the first row of a file.
    fn begin(&mut self, file: usize) {
        let begun = FileEntry::of(&self.files[file]);
        self.note.files_crc = begun.chain(self.note.files_crc);
        self.note.files += 1;
        (self.note.previous_at, self.note.begun_at) = (self.note.begun_at, OWN);
        self.note.begun = begun;
    }

    /// Whether the batch may grow by a record.
    fn has_room(&self, record: &Record<'_>) -> bool {
        let bytes =
            (self.batch.bytes() + self.batch.len() * NANOS_BYTES) as u64 + bytes_of(record) + RECORD_BYTES * (1 + record.headers.len() as u64);
        self.batch.len() < BATCH_RECORDS && bytes <= self.batch_bytes_max
    }

    /// Appends the batch, if there is one, with how far this is.
    fn commit(&mut self) -> Result<(), ImportError> {
        let Some(first) = self.first.take() else { return Ok(()) };
        // Before anything says of rows that they are there.
        self.check_end(self.to.log_end_offset())?;
        (self.note.before, self.note.batch_rows) = (self.before, self.batch.len() as u64);
        let appended = self.batch.set_note(Some(&self.note.encode())).and_then(|()| self.to.append_batch(&self.batch, AckLevel::Written));
        let ack = appended.map_err(|source| self.failure(first, source))?;
        self.check_end(ack.base_offset)?;
        let base_offset = ack.base_offset.get();
        self.end = ack.last_offset.get() + 1;
        self.before = self.note.last;
        for offset in [&mut self.note.import_base, &mut self.note.begun_at] {
            if *offset == OWN {
                *offset = base_offset;
            }
        }
        self.report.rows += self.batch.len() as u64;
        self.unsynced_bytes += self.batch.bytes() as u64;
        self.batch.clear();
        if self.unsynced_bytes >= SYNC_BYTES { self.flush() } else { Ok(()) }
    }

    /// Others may append meanwhile; what they append is not counted. But two imports at once would bring rows twice.
    fn check_end(&self, end: Offset) -> Result<(), ImportError> {
        match end.get().cmp(&self.end) {
            Ordering::Less => return Err(ImportError::CutOff { expected: Offset::new(self.end), found: end }),
            Ordering::Equal => return Ok(()),
            Ordering::Greater => {}
        }
        let view = self.to.view().with_isolation(ReadIsolation::Written);
        for batch in view.batches_backwards(end)? {
            let batch = batch?;
            if batch.base_offset().get() < self.end {
                break;
            }
            if batch.note().is_some_and(|note| Note::decode(note, batch.base_offset().get()).is_some()) {
                return Err(ImportError::Concurrent { offset: batch.base_offset() });
            }
        }
        Ok(())
    }

    /// Appends what is left, and makes all of it durable.
    pub(super) fn finish(mut self, progress: &mut dyn FnMut(TimedProgress)) -> Result<TimedReport, ImportError> {
        if let Err(error) = self.commit() {
            self.stop(progress);
            return Err(error);
        }
        self.flush()?;
        progress(self.progress());
        if self.note.import_base != OWN {
            self.report.other_records = (self.to.log_end_offset().get() - self.note.import_base).saturating_sub(self.note.rows);
        }
        Ok(self.report)
    }

    /// Appends what comes before an error, and makes it durable. That it cannot be is no news: the error is told.
    pub(super) fn stop(mut self, progress: &mut dyn FnMut(TimedProgress)) {
        if self.commit().and_then(|()| self.flush()).is_ok() {
            progress(self.progress());
        }
    }

    fn flush(&mut self) -> Result<(), ImportError> {
        self.to.flush()?;
        self.unsynced_bytes = 0;
        Ok(())
    }

    fn progress(&self) -> TimedProgress {
        let TimedReport { rows, kept_rows, bytes, .. } = self.report;
        TimedProgress { rows: rows + kept_rows, all_rows: self.all_rows, bytes }
    }

    fn failure(&self, place: RowPlace, source: AppendError) -> ImportError {
        ImportError::Append { path: self.files[place.file].path.clone(), row: place.row, source }
    }
}

/// A note at most.
const NOTE_BYTES: u64 = 1024;
