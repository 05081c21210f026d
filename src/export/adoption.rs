//! What an export makes of complete files that no commit names: runs were killed before they could commit them, or are about to. Writes no file.

use tidelog_format::Offset;

use crate::config::ReadIsolation;
use crate::error::ReadError;
use crate::export::error::ExportError;
use crate::export::export_directory::{ExportDirectory, Uncommitted};
use crate::export::footer::Contents;
use crate::export::parquet_export::ParquetExport;
use crate::export::report::ExportGap;
use crate::export::typed_column::TypedColumns;

impl ParquetExport {
    /// Commits the files that a killed run completed, up to the first with other columns than those to come: from there on all is written again.
    pub(super) fn adopt(&self, directory: &mut ExportDirectory) -> Result<(), ExportError> {
        if directory.is_shared() {
            return self.adopt_what_fits(directory);
        }
        let mut is_other = false;
        for file in std::mem::take(&mut directory.uncommitted) {
            let (first, end) = (Offset::new(file.name.first), Offset::new(file.name.last + 1));
            self.check_end(directory, end)?;
            let before = directory.table.watermark()?;
            if let Some(watermark) = before.filter(|watermark| *watermark > first) {
                let reason = format!("what it holds is exported already, up to offset {watermark}");
                return Err(ExportError::NotOfExport { path: directory.path.join(file.name.to_string()), reason });
            }
            let declared = directory.table.declared();
            is_other |= declared.refuses(&file.contents.columns).or_else(|| file.contents.columns.refuses(declared)).is_some();
            if is_other {
                if first < self.view.log_start_offset() {
                    let reason = format!("{} was completed with others, and the log does not have its records any more", file.name);
                    return Err(ExportError::Columns { path: directory.path.clone(), reason });
                }
                directory.remove(file.name)?;
                continue;
            }
            if let Some(before) = before
                && let Some(missing) = self.record_between(before, first)?
                && !is_in_gap(missing, &file.contents)
            {
                return Err(ExportError::Missing { path: directory.path.clone(), missing });
            }
            directory.commit_or_discard(file.name, file.bytes, &file.contents)?;
        }
        Ok(())
    }

    /// Commits complete files, whoever wrote them, if they go on where the table ends. Others are left, and so are those that another process was
    /// faster to go on behind: somebody may be about to commit them, or to put them in the place of others.
    fn adopt_what_fits(&self, directory: &mut ExportDirectory) -> Result<(), ExportError> {
        for file in std::mem::take(&mut directory.uncommitted) {
            let start = self.start(directory)?;
            if self.fits(&file, start, directory.table.declared())? {
                match directory.commit(file.name, file.bytes, &file.contents) {
                    // The next is looked at from where the table ends now.
                    Err(ExportError::Fenced { .. }) => {}
                    other => other?,
                }
            }
        }
        Ok(())
    }

    /// Whether a file is what this export would write from `start` on. What cannot be told for sure does not fit: it is written again.
    fn fits(&self, file: &Uncommitted, start: Offset, declared: &TypedColumns) -> Result<bool, ExportError> {
        let (first, last, contents) = (Offset::new(file.name.first), Offset::new(file.name.last), &file.contents);
        let is_other = declared.refuses(&contents.columns).or_else(|| contents.columns.refuses(declared)).is_some();
        // A file of others put together is for whoever wrote it: its rows are in the table already.
        if first < start || is_other || contents.is_compacted || !contents.gaps.is_empty() && !self.allows_gaps {
            return Ok(false);
        }
        // What is above the high water mark may be lost, and its offsets assigned again.
        if last >= self.view.high_water_mark() || self.until.is_some_and(|until| last >= until) {
            return Ok(false);
        }
        Ok(self.epoch_at(last)? == Some(contents.leader_epoch) && self.is_accounted_for(start, first, &contents.gaps)?)
    }

    /// Whether `gaps` tell of all of `from..to` that the log has lost, and it holds no record there.
    fn is_accounted_for(&self, from: Offset, to: Offset, gaps: &[ExportGap]) -> Result<bool, ExportError> {
        let log_start = self.view.log_start_offset();
        if !is_covered(from, to.min(log_start), gaps) {
            return Ok(false);
        }
        let from = from.max(log_start);
        if from >= to {
            return Ok(true);
        }
        for record in self.view.with_isolation(ReadIsolation::Written).read_from(from)? {
            match record {
                Ok(record) => return Ok(record.offset() >= to),
                // Behind damage of no length no reader gets.
                Err(ReadError::Corrupt { from: damaged, to: end, .. }) => {
                    if end <= damaged || !is_covered(damaged.max(from), end.min(to), gaps) {
                        return Ok(false);
                    }
                    if end >= to {
                        break;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

/// Whether gaps, which are in order, tell of every offset of `from..to`.
fn is_covered(from: Offset, to: Offset, gaps: &[ExportGap]) -> bool {
    let covered = gaps.iter().fold(from, |covered, gap| if gap.from <= covered { covered.max(gap.to) } else { covered });
    covered >= to
}

fn is_in_gap(offset: Offset, contents: &Contents) -> bool {
    contents.gaps.iter().any(|gap| gap.from <= offset && offset < gap.to)
}
