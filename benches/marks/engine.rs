//! The engine as the benches use it: one partition, through the public API alone.

use std::path::Path;

use tidelog::{AckLevel, Partition, Record, RecordBatch, Store, StoreOptions, SyncPolicy};

use super::values::Values;

/// Records of a batch.
pub(crate) const BATCH: usize = 100;

/// What a single append of 100 B takes in the engine's file.
pub(crate) const SINGLE_BYTES: usize = 176;

/// Appends are written back by the operating system when it likes.
pub(crate) fn options() -> StoreOptions {
    StoreOptions::new().sync_policy(SyncPolicy::OsOnly)
}

/// A partition of such a store.
pub(crate) fn open(path: &Path) -> Partition {
    partition_of(&options().open(path).unwrap())
}

/// A partition with the defaults: durable.
pub(crate) fn open_durable(path: &Path) -> Partition {
    partition_of(&Store::open(path).unwrap())
}

fn partition_of(store: &Store) -> Partition {
    store.topic("bench").unwrap().partition(0).unwrap()
}

/// Appends values one by one.
pub(crate) fn put_singles(partition: &Partition, values: &Values, records: usize) {
    for number in 0..records {
        partition.append_with(Record::new(values.get(number)), AckLevel::Written).unwrap();
    }
}

/// Appends values in batches of [`BATCH`], the last one perhaps smaller.
pub(crate) fn put_batches(partition: &Partition, values: &Values, records: usize) {
    let mut batch = RecordBatch::new();
    for first in (0..records).step_by(BATCH) {
        batch.clear();
        (first..records.min(first + BATCH)).for_each(|number| batch.push(&Record::new(values.get(number))).unwrap());
        partition.append_batch(&batch, AckLevel::Written).unwrap();
    }
}

/// Checks that everything was appended, and takes it away.
pub(crate) fn remove(partition: Partition, path: &Path, records: usize) {
    assert_eq!(partition.log_end_offset().get() as usize, records);
    drop(partition);
    std::fs::remove_dir_all(path).unwrap();
}
