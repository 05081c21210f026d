//! What an append of one thread costs that is on the disk when it returns, waited for at once or with others outstanding, beside bare syncs.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use marks::bench_dir::BenchDir;
use marks::engine::{SINGLE_BYTES, open_durable, remove};
use marks::synced_writes::SyncedWrites;
use marks::values::Values;
use tidelog::{Partition, Record, RecordBatch};

fn durable(criterion: &mut Criterion) {
    let (dir, values) = (BenchDir::new(), Values::new(100));
    let mut group = criterion.benchmark_group("durable/100");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(2));
    group.bench_function("one by one", |bencher| {
        bencher.iter_custom(|records| engine(&dir, records, |partition, records| append(partition, &values, records)));
    });
    group.bench_function("deferred, 8 outstanding", |bencher| {
        bencher.iter_custom(|records| engine(&dir, records, |partition, records| defer(partition, &values, records)));
    });
    group.bench_function("mark: write and fdatasync", |bencher| {
        bencher.iter_custom(|records| {
            let path = dir.path("synced");
            let mut log = SyncedWrites::create(&path, records * SINGLE_BYTES as u64);
            let start = Instant::now();
            (0..records).for_each(|_| log.append(&[7; SINGLE_BYTES]));
            let took = start.elapsed();
            std::fs::remove_file(&path).unwrap();
            took
        });
    });
}

fn engine(dir: &BenchDir, records: u64, work: impl FnOnce(&Partition, usize)) -> Duration {
    let path = dir.path("engine");
    let partition = open_durable(&path);
    let start = Instant::now();
    work(&partition, records as usize);
    let took = start.elapsed();
    remove(partition, &path, records as usize);
    took
}

fn append(partition: &Partition, values: &Values, records: usize) {
    for number in 0..records {
        partition.append(Record::new(values.get(number))).unwrap();
    }
}

fn defer(partition: &Partition, values: &Values, records: usize) {
    let mut batch = RecordBatch::new();
    for first in (0..records).step_by(OUTSTANDING) {
        let pending: Vec<_> = (first..records.min(first + OUTSTANDING))
            .map(|number| {
                batch.clear();
                batch.push(&Record::new(values.get(number))).unwrap();
                partition.append_deferred(&batch).unwrap()
            })
            .collect();
        pending.into_iter().for_each(|pending| assert!(pending.wait().unwrap().durable_end.get() > 0));
    }
}

criterion_group!(benches, durable);
criterion_main!(benches);

const OUTSTANDING: usize = 8;
