//! What a durable append costs where each of many partitions waits for one: a thread each, or one thread that appends to all of them and then
//! waits. By syncs of each partition's files, and of the whole file system.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use marks::bench_dir::BenchDir;
use marks::values::Values;
use tidelog::{OpenError, Partition, Record, RecordBatch, StoreOptions, SyncScope};

fn durable_partitions(criterion: &mut Criterion) {
    let (dir, values) = (BenchDir::new(), Values::new(100));
    let mut group = criterion.benchmark_group("durable partitions/100");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(500));
    for (scope, name) in [(SyncScope::Partition, "their files"), (SyncScope::FileSystem, "the file system")] {
        for count in [2, 4, 8, 16, 64, 256] {
            let path = dir.path("engine");
            let store = match StoreOptions::new().sync_scope(scope).open(&path) {
                Err(OpenError::Io(error)) if error.kind() == ErrorKind::Unsupported => {
                    println!("SKIPPED: {name}: {error}");
                    continue;
                }
                other => other.unwrap(),
            };
            let topic = store.create_topic("bench", count).unwrap();
            let partitions: Vec<Partition> = (0..count).map(|number| topic.partition(number).unwrap()).collect();
            // Past the zeros that the first appends write.
            (0..8).for_each(|_| _ = side_by_side(&partitions, &values, partitions.len()));
            group.bench_function(BenchmarkId::new(format!("a thread each, {name}"), count), |bencher| {
                bencher.iter_custom(|records| side_by_side(&partitions, &values, records as usize));
            });
            group.bench_function(BenchmarkId::new(format!("one thread, {name}"), count), |bencher| {
                bencher.iter_custom(|records| deferred(&partitions, &values, records as usize));
            });
            drop((partitions, topic, store));
            std::fs::remove_dir_all(&path).unwrap();
        }
    }
}

fn side_by_side(partitions: &[Partition], values: &Values, records: usize) -> Duration {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for (thread, partition) in partitions.iter().enumerate() {
            scope.spawn(move || {
                for number in (thread..records).step_by(partitions.len()) {
                    let ack = partition.append(Record::new(values.get(number))).unwrap();
                    assert!(ack.durable_end > ack.last_offset);
                }
            });
        }
    });
    start.elapsed()
}

fn deferred(partitions: &[Partition], values: &Values, records: usize) -> Duration {
    let (start, mut batch) = (Instant::now(), RecordBatch::new());
    for first in (0..records).step_by(partitions.len()) {
        let here = partitions.iter().zip(first..records);
        let pending: Vec<_> = here
            .map(|(partition, number)| {
                batch.clear();
                batch.push(&Record::new(values.get(number))).unwrap();
                partition.append_deferred(&batch).unwrap()
            })
            .collect();
        pending.into_iter().for_each(|pending| _ = pending.wait().unwrap());
    }
    start.elapsed()
}

criterion_group!(benches, durable_partitions);
criterion_main!(benches);
