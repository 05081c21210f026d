//! What an export makes of complete files that no commit names: runs were killed before they could commit them, or are about to. Writes no file.

use tidelog_format::Offset;

use crate::export::error::ExportError;
use crate::export::export_directory::{ExportDirectory, Uncommitted};
use crate::export::footer::Contents;
use crate::export::parquet_export::ParquetExport;
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
            directory.commit(file.name, file.bytes, &file.contents)?;
        }
        Ok(())
    }

    /// Commits complete files, whoever wrote them, if they go on where the table ends. Others are left: somebody may be about to commit them.
    fn adopt_what_fits(&self, directory: &mut ExportDirectory) -> Result<(), ExportError> {
        for file in std::mem::take(&mut directory.uncommitted) {
            let start = self.start(directory)?;
            if self.fits(&file, start, directory.table.declared())? {
                directory.commit(file.name, file.bytes, &file.contents)?;
            }
        }
        Ok(())
    }

    /// Whether a file is what this export would write from `start` on.
    fn fits(&self, file: &Uncommitted, start: Offset, declared: &TypedColumns) -> Result<bool, ExportError> {
        let (first, last, contents) = (Offset::new(file.name.first), Offset::new(file.name.last), &file.contents);
        let is_other = declared.refuses(&contents.columns).or_else(|| contents.columns.refuses(declared)).is_some();
        if first < start || last >= self.view.log_end_offset() || is_other {
            return Ok(false);
        }
        if self.epoch_at(last)?.is_some_and(|epoch| epoch != contents.leader_epoch) {
            return Ok(false);
        }
        let missing = self.record_between(start, first)?;
        Ok(missing.is_none_or(|missing| is_in_gap(missing, contents)))
    }
}

fn is_in_gap(offset: Offset, contents: &Contents) -> bool {
    contents.gaps.iter().any(|gap| gap.from <= offset && offset < gap.to)
}
