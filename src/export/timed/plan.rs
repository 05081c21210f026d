//! What is left to import of files without offsets: which row groups, whether each is sorted, and how much memory their order in time takes.
//! Refuses what does not fit before a record is appended; appends none.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::export::import_error::ImportError;
use crate::export::import_file::refused;
use crate::export::target::Target;
use crate::export::timed::file::{OpenedFile, TimedFile, TimedGroup};

/// A row of a file, by which rows are ordered: time, then the file by its name, then the number of the row in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowKey {
    pub(super) time: i64,
    /// The name of its file.
    pub(super) name: String,
    pub(super) row: u64,
}

/// The row groups to read, in the order of their first times.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) groups: Vec<PlannedGroup>,
    /// Rows that are in the partition already.
    pub(super) kept_rows: u64,
    /// Bytes of a sorted row group that are in memory at once.
    pub(super) portion_bytes: u64,
}

/// A row group to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlannedGroup {
    /// The number of its file.
    pub(super) file: usize,
    pub(super) group: TimedGroup,
    pub(super) is_sorted: bool,
    /// Rows, the first ones in their order, that are in the partition already.
    pub(super) skipped: u64,
}

impl Plan {
    /// Finds what is left of `files` behind the row `last`. Reads the times of each row group that is left.
    pub(super) fn new(target: &dyn Target, files: &[TimedFile], last: Option<&RowKey>, memory_bytes_max: u64) -> Result<Self, ImportError> {
        let mut plan = Self { groups: Vec::new(), kept_rows: 0, portion_bytes: PORTION_BYTES_MAX };
        for (number, file) in files.iter().enumerate() {
            plan.add(target, number, file, last)?;
        }
        plan.groups.sort_by(|one, other| {
            let key = |planned: &PlannedGroup| (planned.group.min, &files[planned.file].name, planned.group.first_row);
            key(one).cmp(&key(other))
        });
        check_open_files(files, &plan.groups)?;
        plan.check_memory(files, memory_bytes_max)?;
        Ok(plan)
    }

    fn add(&mut self, target: &dyn Target, number: usize, file: &TimedFile, last: Option<&RowKey>) -> Result<(), ImportError> {
        let mut opened = None;
        for group in &file.groups {
            if last.is_some_and(|last| group.max < last.time) {
                self.kept_rows += group.rows;
                continue;
            }
            let opened = match &mut opened {
                Some(opened) => opened,
                none => none.insert(OpenedFile::open(target, &file.path)?),
            };
            let mut is_there =
                |time: i64, row: u64| last.is_some_and(|last| (time, file.name.as_str(), row) <= (last.time, last.name.as_str(), last.row));
            let times = file.times(opened, group, &mut is_there)?;
            // Files are put in order by their first times.
            if times.min != group.min {
                let reason = format!("row group {} begins at {} ns, and its statistics say {}: they are wrong", group.index, times.min, group.min);
                return Err(refused(&file.path, reason));
            }
            self.kept_rows += times.counted;
            if times.counted < group.rows {
                let group = TimedGroup { max: times.max, ..*group };
                self.groups.push(PlannedGroup { file: number, group, is_sorted: times.is_sorted, skipped: times.counted });
            }
        }
        Ok(())
    }

    /// Chooses the size of portions so that the row groups that are read at once fit into memory, and refuses those that do not.
    fn check_memory(&mut self, files: &[TimedFile], memory_bytes_max: u64) -> Result<(), ImportError> {
        let intervals = || self.groups.iter().map(|planned| (planned.group.min, planned.group.max));
        let at_once = peak(intervals().map(|interval| (interval, 1))).map_or(1, |peak| peak.cost);
        let portion_bytes = (memory_bytes_max / 2 / at_once.max(1)).clamp(PORTION_BYTES_MIN, PORTION_BYTES_MAX);
        let cost = |planned: &PlannedGroup| planned.memory_bytes(portion_bytes);
        let Some(peak) = peak(intervals().zip(self.groups.iter().map(cost))) else { return Ok(()) };
        if peak.cost > memory_bytes_max {
            return Err(too_much(files, &self.groups[peak.number], peak.cost, memory_bytes_max));
        }
        self.portion_bytes = portion_bytes;
        Ok(())
    }
}

impl PlannedGroup {
    /// What it takes in memory while it is read: a portion if it is sorted, or all of it.
    fn memory_bytes(&self, portion_bytes: u64) -> u64 {
        let TimedGroup { bytes, decoder_bytes, rows, .. } = self.group;
        let rows_bytes = if self.is_sorted { bytes.min(portion_bytes) } else { bytes.saturating_add(rows.saturating_mul(ORDER_BYTES)) };
        rows_bytes.saturating_add(decoder_bytes)
    }

    /// How many rows a portion has.
    pub(super) fn portion_rows(&self, portion_bytes: u64) -> usize {
        let bytes_a_row = (self.group.bytes / self.group.rows.max(1)).max(1);
        (portion_bytes / bytes_a_row).clamp(1, ROWS_MAX) as usize
    }
}

/// What is refused where row groups do not fit into memory.
pub(super) fn too_much(files: &[TimedFile], planned: &PlannedGroup, bytes: u64, limit: u64) -> ImportError {
    ImportError::Memory { path: files[planned.file].path.clone(), row_group: planned.group.index, bytes, limit }
}

fn check_open_files(files: &[TimedFile], groups: &[PlannedGroup]) -> Result<(), ImportError> {
    let mut spans = BTreeMap::<usize, (i64, i64)>::new();
    for PlannedGroup { file, group, .. } in groups {
        let span = spans.entry(*file).or_insert((group.min, group.max));
        *span = (span.0.min(group.min), span.1.max(group.max));
    }
    let mut spans: Vec<(usize, (i64, i64))> = spans.into_iter().collect();
    spans.sort_by_key(|(_, span)| *span);
    match peak(spans.iter().map(|(_, span)| (*span, 1))) {
        Some(peak) if peak.cost > OPEN_FILES_MAX => {
            Err(ImportError::Files { path: files[spans[peak.number].0].path.clone(), files: peak.cost, limit: OPEN_FILES_MAX })
        }
        _ => Ok(()),
    }
}

/// Where intervals, sorted by their starts, cost most together: how much, and the number of the interval that begins there.
struct Peak {
    cost: u64,
    number: usize,
}

fn peak(intervals: impl Iterator<Item = ((i64, i64), u64)>) -> Option<Peak> {
    let mut open = BinaryHeap::new();
    let (mut cost, mut peak) = (0u64, None::<Peak>);
    for (number, ((min, max), more)) in intervals.enumerate() {
        while let Some(&Reverse((end, less))) = open.peek()
            && end < min
        {
            open.pop();
            cost -= less;
        }
        // No more than what can be told apart from too much.
        let more = more.min(u64::MAX / 2 - cost.min(u64::MAX / 2));
        cost += more;
        open.push(Reverse((max, more)));
        if peak.as_ref().is_none_or(|peak| cost > peak.cost) {
            peak = Some(Peak { cost, number });
        }
    }
    peak
}

const PORTION_BYTES_MIN: u64 = 64 << 10;
const PORTION_BYTES_MAX: u64 = 8 << 20;
const ROWS_MAX: u64 = 4096;
/// The place of a row in the order of a row group that is not sorted, and its time.
const ORDER_BYTES: u64 = 24;
/// Files open at once: half of what a process may have by default.
const OPEN_FILES_MAX: u64 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_where_most_lie_over_each_other() {
        let of = |intervals: &[(i64, i64, u64)]| {
            let peak = peak(intervals.iter().map(|&(min, max, cost)| ((min, max), cost))).unwrap();
            (peak.cost, peak.number)
        };
        assert_eq!(of(&[(0, 9, 3), (10, 19, 4), (20, 29, 1)]), (4, 1));
        assert_eq!(of(&[(0, 10, 3), (10, 19, 4), (20, 29, 1)]), (7, 1), "equal times are read at once");
        assert_eq!(of(&[(0, 100, 1), (1, 2, 1), (3, 4, 1), (4, 5, 1), (6, 7, 1)]), (3, 3));
        assert_eq!(of(&[(0, 1, u64::MAX), (0, 1, u64::MAX)]), (u64::MAX / 2, 0));
    }
}
