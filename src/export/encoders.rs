//! Threads that encode row groups, or none: then the caller's does it. Knows no file, and no order: whoever hands groups in takes them back one by
//! one.

use std::hint::black_box;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use arrow::array::RecordBatch;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, compute_leaves};
use parquet::errors::ParquetError;

use crate::export::columns::Columns;
use crate::export::gathered_rows::GatheredGroup;
use crate::export::row_group_writers::RowGroupWriters;
use crate::export::schema::times_of;

/// Rows to be encoded as the row group of a number.
struct Job {
    columns: Columns,
    writers: Arc<RowGroupWriters>,
    number: usize,
    done: SyncSender<EncodedGroup>,
}

/// A row group, and the columns that it was in, empty.
pub(super) struct EncodedGroup {
    pub(super) columns: Columns,
    pub(super) chunks: Result<Vec<ArrowColumnChunk>, ParquetError>,
}

/// The threads. Dropped, they end when they have done what they were given.
#[derive(Debug)]
pub(super) struct Encoders {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Encoders {
    /// As many threads, or as many as there are to be had. One is none: the caller has nothing else to do.
    pub(super) fn new(threads: usize) -> Self {
        keep_freed_memory();
        let (jobs, receiver) = channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        let work = |receiver: Arc<Mutex<Receiver<Job>>>| {
            move || {
                loop {
                    let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(Job { columns, writers, number, done }) = next else { return };
                    let _ = done.send(encode(columns, &writers, number)); // the file may have been given up
                }
            }
        };
        let wanted = if threads > 1 { threads } else { 0 };
        let threads: Vec<_> =
            (0..wanted).map_while(|_| Builder::new().name("tidelog-export".to_owned()).spawn(work(receiver.clone())).ok()).collect();
        Self { jobs: Some(jobs), threads }
    }

    /// How many groups can be encoded at once.
    pub(super) fn count(&self) -> usize {
        self.threads.len().max(1)
    }

    /// Begins to encode a group, which comes through what is returned.
    pub(super) fn encode(&self, columns: Columns, writers: &Arc<RowGroupWriters>, number: usize) -> Receiver<EncodedGroup> {
        let (done, group) = sync_channel(1);
        match &self.jobs {
            Some(jobs) if !self.threads.is_empty() => {
                let job = Job { columns, writers: writers.clone(), number, done };
                let _ = jobs.send(job); // if all threads panicked, the group never comes
            }
            _ => {
                let _ = done.send(encode(columns, writers, number)); // there is room for one
            }
        }
        group
    }
}

impl Drop for Encoders {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // one that panicked left a group that never came
        }
    }
}

/// Pages are made and given up without end, each on memory that the kernel would have to clear. The allocator of glibc keeps blocks of up to the
/// size of the largest that it has seen freed (mallopt(3), `M_MMAP_THRESHOLD`: at most 32 MiB); others lose a moment.
fn keep_freed_memory() {
    drop(black_box(Vec::<u8>::with_capacity(31 << 20)));
}

fn encode(mut columns: Columns, writers: &RowGroupWriters, number: usize) -> EncodedGroup {
    let chunks = encode_columns(&mut columns, writers, number);
    EncodedGroup { columns, chunks }
}

fn encode_columns(columns: &mut Columns, writers: &RowGroupWriters, number: usize) -> Result<Vec<ArrowColumnChunk>, ParquetError> {
    let mut leaf_writers = writers.for_group(number, columns.times())?;
    columns.drain(|rows, pages| write_pages(&rows, &pages, &mut leaf_writers))?;
    leaf_writers.into_iter().map(|writer| writer.close()).collect()
}

/// Encodes rows that were columns before, by the caller's thread.
pub(super) fn encode_group(group: &GatheredGroup, writers: &RowGroupWriters, number: usize) -> Result<Vec<ArrowColumnChunk>, ParquetError> {
    let mut leaf_writers = writers.for_group(number, times_of(group.ts_ns()))?;
    write_pages(&group.rows, &group.pages, &mut leaf_writers)?;
    leaf_writers.into_iter().map(|writer| writer.close()).collect()
}

fn write_pages(rows: &RecordBatch, pages: &[Range<usize>], leaf_writers: &mut [ArrowColumnWriter]) -> Result<(), ParquetError> {
    for page in pages {
        let rows = rows.slice(page.start, page.len());
        let mut leaf_writers = leaf_writers.iter_mut();
        for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
            for (leaf, writer) in compute_leaves(field, column)?.iter().zip(&mut leaf_writers) {
                writer.write(leaf)?;
            }
        }
    }
    Ok(())
}
