//! Small neighbouring files of an export put together: chooses which, writes the file that has their rows, and puts it in their place. Looks at no record.

use std::collections::BTreeSet;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

use crate::export::delta_log::{NewFile, OldFile};
use crate::export::error::ExportError;
use crate::export::export_directory::{ExportDirectory, FileName};
use crate::export::export_file::ExportFile;
use crate::export::file_rows::FileRows;
use crate::export::footer::{Contents, Source, check};
use crate::export::gathered_rows::GatheredRows;
use crate::export::pages::PageCompressor;
use crate::export::parquet_compression::ParquetCompression;
use crate::export::report::ExportedFile;
use crate::export::schema::{DIFFERENCE_MAX, OFFSET, schema};

/// How much a file may have that others are put into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// Neighbouring files that become one.
#[derive(Debug)]
pub(super) struct Compaction {
    pub(super) members: Vec<Member>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: FileName,
    pub(super) bytes: u64,
    contents: Contents,
}

impl Compaction {
    /// Which files of a directory can be put together: as many neighbours as stay within the limits, and have the same columns.
    pub(super) fn plan(directory: &ExportDirectory, source: &Source, limits: Limits) -> Result<Vec<Self>, ExportError> {
        let mut all: Vec<Self> = Vec::new();
        // Rows that others have put into files of their own may lie between two files that do not touch.
        let must_touch = directory.table.files().any(|name| FileName::parse(name).is_none());
        for name in directory.files() {
            let (contents, bytes) = check(&*directory.target, &directory.path.join(name.to_string()), source, name.first, name.last)?;
            let member = Member { name, bytes, contents };
            match all.last_mut().filter(|last| last.takes(&member, limits, must_touch)) {
                Some(last) => last.members.push(member),
                None => all.push(Self { members: vec![member] }),
            }
        }
        all.retain(|compaction| compaction.members.len() > 1);
        Ok(all)
    }

    fn takes(&self, next: &Member, limits: Limits, must_touch: bool) -> bool {
        let Some(last) = self.members.last() else { return true };
        let (rows, bytes) = self.members.iter().fold((0, 0), |(rows, bytes), member| (rows + member.contents.extent.rows, bytes + member.bytes));
        let step = next.name.first - last.name.last;
        last.contents.columns == next.contents.columns
            && rows + next.contents.extent.rows <= limits.rows
            && bytes + next.bytes <= limits.bytes
            && step < DIFFERENCE_MAX
            && !(must_touch && step > 1)
    }

    /// Writes the file and puts it in the place of the others.
    pub(super) fn run(&self, directory: &mut ExportDirectory, source: &Source, compression: ParquetCompression) -> Result<ExportedFile, ExportError> {
        let contents = self.contents();
        let name = directory.name_of(&contents.extent);
        let file = self.write(directory, name, source, &contents, compression)?;
        let old: Vec<OldFile> = self.members.iter().map(|member| OldFile { name: member.name.to_string(), bytes: member.bytes }).collect();
        match directory.table.replace(&old, NewFile { name: &name.to_string(), bytes: file.bytes, contents: &contents }) {
            Err(error @ (ExportError::Fenced { .. } | ExportError::CleanedUp { .. })) => {
                directory.discard(name)?;
                return Err(error);
            }
            other => other?,
        }
        // Who finds files by their paths reads their rows twice.
        self.members.iter().try_for_each(|member| directory.remove(member.name))?;
        directory.checkpoint_failures.extend(directory.table.write_checkpoint_if_due());
        Ok(file)
    }

    /// Writes the file. It is complete and durable when this returns, and no part of the table yet.
    fn write(
        &self,
        directory: &ExportDirectory,
        name: FileName,
        source: &Source,
        contents: &Contents,
        compression: ParquetCompression,
    ) -> Result<ExportedFile, ExportError> {
        let schema = schema(&contents.columns);
        let mut file = ExportFile::create(directory, contents.extent.first, &schema, compression)?;
        let mut compressor =
            PageCompressor::new(compression).map_err(|error| ExportError::Encode { path: directory.path.clone(), reason: error.to_string() })?;
        let (mut gathered, mut next) = (GatheredRows::new(schema.clone()), contents.extent.first);
        for member in &self.members {
            let path = directory.path.join(member.name.to_string());
            let refused = |reason: String| ExportError::NotOfExport { path: path.clone(), reason };
            let mut rows = FileRows::open(&*directory.target, &path, &schema)?;
            let mut row_count = 0;
            while let Some(rows) = rows.next()? {
                next = behind(&rows, next, member.name.last).map_err(refused)?;
                row_count += rows.num_rows() as u64;
                for group in gathered.push(rows).map_err(|error| refused(error.to_string()))? {
                    file.write_rows(&group, &mut compressor)?;
                }
            }
            if row_count != member.contents.extent.rows {
                return Err(refused(format!("it has {row_count} rows, and its footer says {}", member.contents.extent.rows)));
            }
        }
        if let Some(rest) = gathered.rest().map_err(|error| ExportError::Encode { path: directory.path.clone(), reason: error.to_string() })? {
            file.write_rows(&rest, &mut compressor)?;
        }
        file.finish(name, source, contents)
    }

    /// What the file says of itself: what its members say, together.
    fn contents(&self) -> Contents {
        let mut all = self.members.iter().map(|member| member.contents.clone());
        let mut contents = all.next().expect("a compaction has two members at least");
        contents.is_compacted = true;
        for next in all {
            contents.extent.last = next.extent.last;
            contents.extent.rows += next.extent.rows;
            contents.extent.min_ts_ns = contents.extent.min_ts_ns.min(next.extent.min_ts_ns);
            contents.extent.max_ts_ns = contents.extent.max_ts_ns.max(next.extent.max_ts_ns);
            contents.leader_epoch = next.leader_epoch;
            contents.gaps.extend(next.gaps);
            contents.segments.extend(next.segments);
            // A segment may be the last of one file and the first of the next.
            let mut seen = BTreeSet::new();
            contents.segments.retain(|segment| seen.insert(segment.clone()));
        }
        contents
    }
}

/// The offset behind some rows, which begin at `from` or behind it, end with `last` at the most, and are in order, no two too far apart for a file.
fn behind(rows: &RecordBatch, from: u64, last: u64) -> Result<u64, String> {
    let mut next = from;
    for &offset in rows[OFFSET].as_primitive::<Int64Type>().values() {
        let last = last.min(next + DIFFERENCE_MAX - 2);
        let found = u64::try_from(offset).ok().filter(|found| (next..=last).contains(found));
        next = found.ok_or_else(|| format!("it has a row of offset {offset} where one of {next} to {last} is expected"))? + 1;
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn rows_are_in_order_and_within_a_files_reach() {
        const FAR: i64 = DIFFERENCE_MAX.cast_signed();
        let of = |offsets: &[i64]| {
            let column: ArrayRef = Arc::new(Int64Array::from(offsets.to_vec()));
            behind(&RecordBatch::try_from_iter([(OFFSET, column)]).unwrap(), 5, 1 << 40)
        };
        assert_eq!(of(&[5, 6, 9]), Ok(10));
        assert_eq!(of(&[5, 4 + FAR]), Ok(5 + DIFFERENCE_MAX));
        for (offsets, found) in
            [(&[5, 5 + FAR][..], 5 + FAR), (&[5, 1 << 39], 1 << 39), (&[6, 5], 5), (&[6, 6], 6), (&[4], 4), (&[-1], -1), (&[1 << 41], 1 << 41)]
        {
            let reason = of(offsets).unwrap_err();
            assert!(reason.starts_with(&format!("it has a row of offset {found} where one of ")), "{reason}");
        }
    }
}
