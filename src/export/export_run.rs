//! One run of an export: from the log's records to rows, files and gaps. Decides nothing about where it begins.

use tidelog_format::{DecodeError, Offset};

use crate::error::ReadError;
use crate::export::columns::{BatchPart, COUNTED_MAX, Columns};
use crate::export::encoders::Encoders;
use crate::export::error::ExportError;
use crate::export::export_directory::ExportDirectory;
use crate::export::export_file::ExportFile;
use crate::export::footer::{Contents, Extent, Source};
use crate::export::parquet_export::ParquetExport;
use crate::export::report::{ExportGap, ExportProgress, ExportReport, GapReason, Unfit};
use crate::export::schema::{DIFFERENCE_MAX, schema};
use crate::log::{RecordRef, StoredBatch};

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) export: &'a ParquetExport,
    pub(super) source: &'a Source,
    pub(super) directory: &'a mut ExportDirectory,
    pub(super) encoders: &'a Encoders,
    /// Rows that are not yet in the open file.
    pub(super) columns: &'a mut Columns,
    pub(super) open: Option<Open>,
    /// Everything below is exported, or reported as a gap.
    pub(super) next: u64,
    /// Where it ends, unless something is in the way.
    pub(super) until: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Gaps behind the last row.
    pub(super) left_out: Vec<ExportGap>,
    pub(super) report: ExportReport,
    pub(super) progress: &'a mut dyn FnMut(ExportProgress),
}

/// The file that rows go to.
pub(super) struct Open {
    file: ExportFile,
    contents: Contents,
    /// Bytes of keys, values and headers, those in the columns not counted.
    bytes: u64,
}

/// What a run has done.
pub(super) struct Done {
    pub(super) next: u64,
    pub(super) left_out: Vec<ExportGap>,
    pub(super) report: ExportReport,
}

impl Run<'_> {
    /// Exports up to where the report says.
    pub(super) fn finish(mut self) -> Result<Done, ExportError> {
        self.read()?;
        self.close_file()?;
        Ok(Done { next: self.next, left_out: self.left_out, report: self.report })
    }

    fn read(&mut self) -> Result<(), ExportError> {
        // Files may reach behind what this view shows, if they were exported with another isolation.
        if self.next >= self.until {
            return Ok(());
        }
        let view = self.export.view.clone();
        let log_start = view.log_start_offset();
        if self.next < log_start.get() && !self.gap(self.next, log_start, GapReason::Deleted) {
            return Ok(());
        }
        let mut reader = view.read_from(Offset::new(self.next))?;
        while self.next < self.until {
            match reader.next_batch() {
                None => break,
                Some(Ok(batch)) if self.batch(&batch)? => {}
                Some(Ok(_)) => break,
                Some(Err(ReadError::Corrupt { from, to, reason, path })) => {
                    let reason = GapReason::Damaged(reason);
                    if to == from && self.report.gaps.iter().any(|gap| (gap.from, gap.to, &gap.reason) == (from, to, &reason)) {
                        // A reader that does not get past it would be asked for ever.
                        return Err(ReadError::Corrupt { from, to, reason: reason.to_string(), path }.into());
                    }
                    if !self.gap(from.get(), to, reason) {
                        break;
                    }
                }
                // Retention was faster.
                Some(Err(ReadError::OffsetOutOfRange { requested, earliest, .. })) if requested < earliest => {
                    if !self.gap(self.next, earliest, GapReason::Deleted) {
                        break;
                    }
                    reader = view.read_from(earliest)?;
                }
                Some(Err(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether the run may go on.
    fn batch(&mut self, batch: &StoredBatch) -> Result<bool, ExportError> {
        let part = BatchPart { leader_epoch: batch.leader_epoch(), producer_id: batch.producer_id() };
        let is_within = self.next <= batch.base_offset().get() && batch.next_offset() <= self.until;
        let mut records = batch.records();
        loop {
            let room = if is_within { self.room_for(batch) } else { 0 };
            let done = if room > 0 { self.plain_rows(records.by_ref().take(room), part) } else { Ok(()) };
            let next = done.map_or_else(|error| Some(Err(error)), |()| records.next());
            let Some(record) = next else { break };
            match record {
                Ok(record) if record.offset() < self.next => {}
                Ok(record) if record.offset() >= self.until => break,
                Ok(record) => self.row(&record, part)?,
                Err(error) => {
                    if !self.gap(self.next, batch.next_offset(), GapReason::Damaged(error.to_string())) {
                        return Ok(false);
                    }
                }
            }
        }
        // Offsets of a compacted batch may have no record. What lies behind the end is for the next run.
        self.next = self.next.max(batch.next_offset().get().min(self.until));
        Ok(true)
    }

    /// How many of the records of a batch, or of those that are left of it, are sure to become rows of the open file, and to end nothing.
    fn room_for(&self, batch: &StoredBatch) -> usize {
        let Some(open) = self.open.as_ref().filter(|_| self.left_out.is_empty()) else { return 0 };
        let bytes = batch.record_bytes();
        let in_file = open.bytes + self.columns.bytes().saturating_add(bytes.saturating_mul(COUNTED_MAX)) as u64;
        if in_file >= self.export.bytes_per_file || batch.next_offset().get() - open.contents.extent.last >= DIFFERENCE_MAX {
            return 0;
        }
        let rows = self.export.rows_per_file.saturating_sub(open.contents.extent.rows);
        self.columns.room_for(bytes).min(usize::try_from(rows).unwrap_or(usize::MAX))
    }

    /// Makes rows of records for which there is room. What [`row`](Self::row) looks at for each, is looked at once.
    fn plain_rows<'a>(&mut self, records: impl Iterator<Item = Result<RecordRef<'a>, DecodeError>>, part: BatchPart) -> Result<(), DecodeError> {
        let before = self.columns.len();
        let done = self.columns.push_plain(records, part);
        let (offsets, ts_ns) = (&self.columns.offsets[before..], &self.columns.ts_ns[before..]);
        if let (Some(open), Some(last)) = (&mut self.open, offsets.last()) {
            open.contents.extent.add_rows(offsets, ts_ns);
            open.contents.leader_epoch = part.leader_epoch;
            self.next = last.cast_unsigned() + 1;
        }
        done
    }

    #[inline]
    fn row(&mut self, record: &RecordRef<'_>, part: BatchPart) -> Result<(), ExportError> {
        let (offset, ts_ns) = (record.offset().get(), record.timestamp().get());
        if self.open.as_ref().is_some_and(|open| self.is_full(open, offset)) {
            self.close_file()?;
        }
        match &mut self.open {
            Some(open) => {
                open.contents.extent.add_row(offset, ts_ns);
                open.contents.leader_epoch = part.leader_epoch;
                if !self.left_out.is_empty() {
                    open.contents.gaps.append(&mut self.left_out);
                }
            }
            None => {
                let file = ExportFile::create(self.directory, offset, &schema(self.columns.declared()), self.export.compression)?;
                let contents = Contents {
                    extent: Extent::of_row(offset, ts_ns),
                    leader_epoch: part.leader_epoch,
                    gaps: std::mem::take(&mut self.left_out),
                    columns: self.directory.table.declared().clone(),
                    segments: Vec::new(),
                    is_compacted: false,
                };
                self.open = Some(Open { file, contents, bytes: 0 });
            }
        }
        self.columns.push(record, part);
        self.next = offset + 1;
        if self.columns.is_page() {
            self.columns.end_page();
            self.tell();
        }
        if self.columns.is_group() {
            self.hand_on()?;
        }
        Ok(())
    }

    fn is_full(&self, open: &Open, offset: u64) -> bool {
        open.contents.extent.rows >= self.export.rows_per_file
            || open.bytes + self.columns.bytes() as u64 >= self.export.bytes_per_file
            || offset - open.contents.extent.last >= DIFFERENCE_MAX
    }

    /// Gives the file the rows gathered as a row group.
    fn hand_on(&mut self) -> Result<(), ExportError> {
        let Some(open) = self.open.as_mut().filter(|_| self.columns.len() > 0) else { return Ok(()) };
        let (rows, bytes) = (self.columns.len() as u64, self.columns.bytes() as u64);
        open.bytes += bytes;
        self.rows += rows;
        self.bytes += bytes;
        Unfit::add(&mut self.report.unfit, self.columns.take_unfit());
        open.file.write_group(self.columns, self.encoders)
    }

    /// Says how far this is.
    fn tell(&mut self) {
        (self.progress)(ExportProgress {
            from: self.report.from,
            offset: Offset::new(self.next),
            until: self.report.until,
            rows: self.rows + self.columns.len() as u64,
            bytes: self.bytes + self.columns.bytes() as u64,
        });
    }

    fn close_file(&mut self) -> Result<(), ExportError> {
        self.hand_on()?;
        let Some(mut open) = self.open.take() else { return Ok(()) };
        self.tell();
        open.contents.segments = self.segments(&open.contents.extent);
        let name = self.directory.name_of(&open.contents.extent);
        let file = open.file.finish(name, self.source, &open.contents)?;
        self.directory.commit_or_discard(name, file.bytes, &open.contents)?;
        self.report.files.push(file);
        Ok(())
    }

    /// The segment files that the offsets of a file stand in now.
    fn segments(&self, extent: &Extent) -> Vec<String> {
        let list = self.export.view.list();
        let holds = list.entries.iter().filter(|entry| entry.from <= extent.last && entry.to.min(entry.segment.next_offset()) > extent.first);
        holds.map(|entry| entry.segment.id.log_name()).collect()
    }

    /// Leaves offsets out, if that is allowed; whether the run may go on.
    fn gap(&mut self, from: u64, to: Offset, reason: GapReason) -> bool {
        let from = Offset::new(from);
        let gap = ExportGap { from, to: to.min(Offset::new(self.until)).max(from), reason };
        // Damage that held no record leaves nothing out.
        if !self.export.allows_gaps && gap.from < gap.to {
            self.report.until = gap.from;
            self.report.stopped_by = Some(gap);
            return false;
        }
        self.next = self.next.max(gap.to.get());
        self.left_out.push(gap.clone());
        self.report.gaps.push(gap);
        true
    }
}
