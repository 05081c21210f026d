//! The measured half: the engine through its public API. Each measurement makes a store and takes it away.

use std::hint::black_box;

use tidelog::{AckLevel, AppendError, Partition, ReadError, Record, RecordBatch, StoreOptions, SyncPolicy};

use super::{BATCH, Task, scattered, timed};
use crate::cli::store;
use crate::exit::{Exit, Failure};

pub(super) fn append_singles(task: &Task<'_>) -> Result<f64, Failure> {
    with_partition(task, SyncPolicy::OsOnly, |partition| timed(task.records, || put_singles(partition, task)).map_err(append_failure))
}

pub(super) fn append_batches(task: &Task<'_>) -> Result<f64, Failure> {
    with_partition(task, SyncPolicy::OsOnly, |partition| timed(task.records, || put_batches(partition, task)).map_err(append_failure))
}

pub(super) fn append_durable(task: &Task<'_>) -> Result<f64, Failure> {
    with_partition(task, SyncPolicy::default(), |partition| {
        let records = task.durable_records;
        let append =
            || (0..records).try_for_each(|_| partition.append(Record::new(&task.value)).map(|ack| assert!(ack.durable_end > ack.last_offset)));
        timed(records, append).map_err(append_failure)
    })
}

pub(super) fn scan(task: &Task<'_>) -> Result<f64, Failure> {
    with_partition(task, SyncPolicy::OsOnly, |partition| {
        put_batches(partition, task).map_err(append_failure)?;
        // Once before the clock runs: the mark's memory is there already too.
        read_all(partition, task)?;
        timed(task.records, || read_all(partition, task))
    })
}

fn read_all(partition: &Partition, task: &Task<'_>) -> Result<(), Failure> {
    let (mut seen, mut reader) = (0, partition.read_from(0).map_err(read_failure)?);
    while let Some(batch) = reader.next_batch() {
        for record in batch.map_err(read_failure)?.records() {
            seen += usize::from(black_box(record.is_ok_and(|record| record.value().is_some())));
        }
    }
    let records = task.records;
    if seen == records { Ok(()) } else { Err(Failure::new(Exit::Failed, format!("{seen} of {records} records came back"))) }
}

pub(super) fn point_reads(task: &Task<'_>) -> Result<f64, Failure> {
    with_partition(task, SyncPolicy::OsOnly, |partition| {
        put_singles(partition, task).map_err(append_failure)?;
        let (mut next, mut seen, mut value) = (scattered(task.records), 0, task.value.clone());
        let read = || {
            (0..task.reads).try_for_each(|_| {
                let record = partition.get(next(seen) as u64)?;
                value.copy_from_slice(record.value().unwrap_or_default());
                seen = u64::from(black_box(&value)[0]);
                Ok(())
            })
        };
        timed(task.reads, read).map_err(read_failure)
    })
}

fn put_singles(partition: &Partition, task: &Task<'_>) -> Result<(), AppendError> {
    (0..task.records).try_for_each(|_| partition.append_with(Record::new(&task.value), AckLevel::Written).map(|_| ()))
}

fn put_batches(partition: &Partition, task: &Task<'_>) -> Result<(), AppendError> {
    let mut batch = RecordBatch::new();
    for first in (0..task.records).step_by(BATCH) {
        batch.clear();
        (first..task.records.min(first + BATCH)).try_for_each(|_| batch.push(&Record::new(&task.value)))?;
        partition.append_batch(&batch, AckLevel::Written)?;
    }
    Ok(())
}

fn with_partition(task: &Task<'_>, policy: SyncPolicy, work: impl FnOnce(&Partition) -> Result<f64, Failure>) -> Result<f64, Failure> {
    let dir = task.dir.join("store");
    let store = store::open(&dir, StoreOptions::new().sync_policy(policy))?;
    let topic = store.topic(TOPIC).map_err(|error| store::topic_failure(TOPIC, error))?;
    let partition = topic.partition(0).map_err(|error| store::topic_failure(TOPIC, error))?;
    let took = work(&partition)?;
    drop((partition, topic));
    store.close().map_err(|error| store::sync_failure(TOPIC, error))?;
    std::fs::remove_dir_all(&dir).map_err(|error| Failure::because(Exit::Failed, format!("removing {}", dir.display()), error))?;
    Ok(took)
}

fn append_failure(error: AppendError) -> Failure {
    store::append_failure(TOPIC, error)
}

fn read_failure(error: ReadError) -> Failure {
    store::read_failure(TOPIC, error)
}

const TOPIC: &str = "bench";
