//! Rows of many files in one order: by time, then by the name of the file, then as they stand in it. Row groups are opened when their first
//! time comes, and sorted in memory if they are not. Appends nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use crate::export::import_error::ImportError;
use crate::export::import_file::{guarded, refused};
use crate::export::target::Target;
use crate::export::timed::file::{OpenedFile, TimedFile};
use crate::export::timed::plan::{Plan, PlannedGroup, too_much};
use crate::export::timed::rows::TimedRows;
use crate::log::Record;

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowPlace {
    /// The number of its file.
    pub(super) file: usize,
    /// Its number in the file.
    pub(super) row: u64,
    pub(super) time: i64,
}

/// A merge under way.
pub(super) struct Merge<'a> {
    target: &'a dyn Target,
    files: &'a [TimedFile],
    /// Where the name of each file stands among the names.
    ranks: Vec<usize>,
    pending: VecDeque<PlannedGroup>,
    portion_bytes: u64,
    memory_bytes_max: u64,
    memory_bytes: u64,
    /// The row groups being read, found by their numbers.
    open: BTreeMap<usize, Cursor<'a>>,
    next_number: usize,
    /// The next row of each: time, rank of the file, row, and the number of the row group.
    heap: BinaryHeap<Reverse<(i64, usize, u64, usize)>>,
    /// The files that are open.
    opened: BTreeMap<usize, Arc<OpenedFile>>,
    /// How many row groups of each file are not read to their ends.
    left: Vec<usize>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(target: &'a dyn Target, files: &'a [TimedFile], plan: Plan, memory_bytes_max: u64) -> Self {
        let mut by_name: Vec<usize> = (0..files.len()).collect();
        by_name.sort_by_key(|number| &files[*number].name);
        let (mut ranks, mut left) = (vec![0; files.len()], vec![0; files.len()]);
        by_name.iter().enumerate().for_each(|(rank, number)| ranks[*number] = rank);
        plan.groups.iter().for_each(|planned| left[planned.file] += 1);
        Self {
            target,
            files,
            ranks,
            pending: plan.groups.into(),
            portion_bytes: plan.portion_bytes,
            memory_bytes_max,
            memory_bytes: 0,
            open: BTreeMap::new(),
            next_number: 0,
            heap: BinaryHeap::new(),
            opened: BTreeMap::new(),
            left,
        }
    }

    /// Hands out all rows in their order.
    pub(super) fn run(mut self, take: &mut dyn FnMut(RowPlace, &Record<'_>) -> Result<(), ImportError>) -> Result<(), ImportError> {
        loop {
            self.open_due()?;
            let Some(Reverse((time, _, row, number))) = self.heap.pop() else { return Ok(()) };
            let cursor = self.open.get_mut(&number).expect("the heap names row groups that are open");
            take(RowPlace { file: cursor.planned.file, row, time }, &cursor.record())?;
            let before = cursor.memory_bytes;
            let has_more = cursor.advance()?;
            self.memory_bytes = self.memory_bytes - before + cursor.memory_bytes;
            self.check_memory(number)?;
            if has_more { self.push(number) } else { self.close(number) }
        }
    }

    /// Opens the row groups whose first time is not behind that of the next row.
    fn open_due(&mut self) -> Result<(), ImportError> {
        while let Some(planned) = self.pending.front()
            && self.heap.peek().is_none_or(|Reverse((time, ..))| planned.group.min <= *time)
        {
            let planned = *planned;
            self.pending.pop_front();
            let file = &self.files[planned.file];
            let opened = match self.opened.get(&planned.file) {
                Some(opened) => opened.clone(),
                None => {
                    let opened = Arc::new(file.open(self.target)?);
                    self.opened.insert(planned.file, opened.clone());
                    opened
                }
            };
            let room = self.memory_bytes_max.saturating_sub(self.memory_bytes);
            let cursor = Cursor::open(self.files, opened, planned, self.portion_bytes, room)?;
            let number = self.next_number;
            self.next_number += 1;
            self.memory_bytes += cursor.memory_bytes;
            self.open.insert(number, cursor);
            self.check_memory(number)?;
            self.push(number);
        }
        Ok(())
    }

    fn push(&mut self, number: usize) {
        let cursor = &self.open[&number];
        let (time, row) = cursor.key();
        self.heap.push(Reverse((time, self.ranks[cursor.planned.file], row, number)));
    }

    fn close(&mut self, number: usize) {
        let Some(cursor) = self.open.remove(&number) else { return };
        self.memory_bytes -= cursor.memory_bytes;
        let file = cursor.planned.file;
        self.left[file] -= 1;
        if self.left[file] == 0 {
            self.opened.remove(&file);
        }
    }

    fn check_memory(&self, number: usize) -> Result<(), ImportError> {
        if self.memory_bytes <= self.memory_bytes_max {
            return Ok(());
        }
        Err(too_much(self.files, &self.open[&number].planned, self.memory_bytes, self.memory_bytes_max))
    }
}

/// A row group being read.
struct Cursor<'a> {
    file: &'a TimedFile,
    planned: PlannedGroup,
    rows: Rows,
    memory_bytes: u64,
}

enum Rows {
    /// Sorted: a portion after the other.
    Portions { opened: Arc<OpenedFile>, reader: Box<ParquetRecordBatchReader>, portion: Box<TimedRows>, first_row: u64, at: usize },
    /// Not sorted: all of them with the numbers of their first rows, and their order.
    All { portions: Vec<(u64, TimedRows)>, order: Vec<(i64, u64)>, at: usize },
}

impl<'a> Cursor<'a> {
    /// Opens a row group at its first row that is not in the partition. May take `room` bytes of memory.
    fn open(files: &'a [TimedFile], opened: Arc<OpenedFile>, planned: PlannedGroup, portion_bytes: u64, room: u64) -> Result<Self, ImportError> {
        let file = &files[planned.file];
        let from = if planned.is_sorted { planned.skipped } else { 0 };
        let portion_rows = planned.portion_rows(portion_bytes);
        let mut reader = opened.group(planned.group.index, from, portion_rows, |name| file.chosen.reads(name))?;
        let first_row = planned.group.first_row + from;
        if planned.is_sorted {
            let portion = next_portion(file, &opened, &mut reader, first_row)?.ok_or_else(|| changed(file))?;
            let memory_bytes = portion.memory_bytes();
            return Ok(Self {
                file,
                planned,
                memory_bytes,
                rows: Rows::Portions { opened, reader: Box::new(reader), portion: Box::new(portion), first_row, at: 0 },
            });
        }
        let (mut portions, mut order, mut memory_bytes, mut row) = (Vec::new(), Vec::new(), 0, first_row);
        while let Some(portion) = next_portion(file, &opened, &mut reader, row)? {
            memory_bytes += portion.memory_bytes() + portion.times().len() as u64 * size_of::<(i64, u64)>() as u64;
            if memory_bytes > room {
                return Err(too_much(files, &planned, memory_bytes, room));
            }
            order.extend(portion.times().iter().copied().zip(row..));
            portions.push((row, portion));
            row = first_row + order.len() as u64;
        }
        if order.len() as u64 != planned.group.rows {
            return Err(changed(file));
        }
        order.sort_unstable();
        let at = usize::try_from(planned.skipped).unwrap_or(usize::MAX);
        Ok(Self { file, planned, memory_bytes, rows: Rows::All { portions, order, at } })
    }

    /// Time and number of the row that it stands at.
    fn key(&self) -> (i64, u64) {
        match &self.rows {
            Rows::Portions { portion, first_row, at, .. } => (portion.times()[*at], first_row + *at as u64),
            Rows::All { order, at, .. } => order[*at],
        }
    }

    fn record(&self) -> Record<'_> {
        match &self.rows {
            Rows::Portions { portion, at, .. } => portion.record(*at),
            Rows::All { portions, order, at } => {
                let row = order[*at].1;
                let (first, portion) = &portions[portions.partition_point(|(first, _)| *first <= row) - 1];
                portion.record((row - first) as usize)
            }
        }
    }

    /// Goes to the next row; whether there is one.
    fn advance(&mut self) -> Result<bool, ImportError> {
        let (before, _) = self.key();
        match &mut self.rows {
            Rows::All { order, at, .. } => {
                *at += 1;
                return Ok(*at < order.len());
            }
            Rows::Portions { opened, reader, portion, first_row, at } => {
                *at += 1;
                if *at == portion.times().len() {
                    *first_row += *at as u64;
                    let Some(next) = next_portion(self.file, opened, reader, *first_row)? else {
                        let end = self.planned.group.first_row + self.planned.group.rows;
                        return if *first_row == end { Ok(false) } else { Err(changed(self.file)) };
                    };
                    (**portion, *at) = (next, 0);
                    self.memory_bytes = portion.memory_bytes();
                }
            }
        }
        if self.key().0 < before { Err(changed(self.file)) } else { Ok(true) }
    }
}

/// The next rows of a reader, of which the first one has the number `row`.
fn next_portion(file: &TimedFile, opened: &OpenedFile, reader: &mut ParquetRecordBatchReader, row: u64) -> Result<Option<TimedRows>, ImportError> {
    let Some(rows) = opened.next(reader)?.filter(|rows| rows.num_rows() > 0) else { return Ok(None) };
    let rows = guarded(&file.path, || {
        TimedRows::new(file, &rows).map_err(|(at, reason)| ImportError::Row { path: file.path.clone(), row: row + at as u64, reason })
    });
    rows.map(Some)
}

/// The times were looked at before the rows are read.
fn changed(file: &TimedFile) -> ImportError {
    refused(&file.path, "it has changed while it was read")
}
