//! Threads that encode row groups, or none: then the caller's does it. Knows no file, and no order: whoever hands groups in takes them back one by
//! one.

use std::hint::black_box;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use parquet::errors::ParquetError;

use crate::export::columns::Columns;
use crate::export::pages::PageCompressor;
use crate::export::row_group_writers::{RowGroup, RowGroupWriters};

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
    pub(super) group: Result<RowGroup, ParquetError>,
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
                let mut compressor = None;
                loop {
                    let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(Job { columns, writers, number, done }) = next else { return };
                    let _ = done.send(encode(columns, &writers, number, &mut compressor)); // the file may have been given up
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
                let _ = done.send(encode(columns, writers, number, &mut None)); // there is room for one
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

fn encode(mut columns: Columns, writers: &RowGroupWriters, number: usize, compressor: &mut Option<PageCompressor>) -> EncodedGroup {
    let group = encode_columns(&mut columns, writers, number, compressor);
    EncodedGroup { columns, group }
}

fn encode_columns(
    columns: &mut Columns,
    writers: &RowGroupWriters,
    number: usize,
    compressor: &mut Option<PageCompressor>,
) -> Result<RowGroup, ParquetError> {
    let declared = columns.take_typed()?;
    // A thread compresses for one export.
    let compressor = match compressor {
        Some(compressor) => compressor,
        None => compressor.insert(PageCompressor::new(writers.compression)?),
    };
    writers.encode(number, columns, &declared, compressor)
}
