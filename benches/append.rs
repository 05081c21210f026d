//! What an append costs that is written and not synced, alone and in batches, beside a preallocated map and a buffered `write`.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use marks::bench_dir::BenchDir;
use marks::engine::{open, put_batches, put_singles, remove};
use marks::map_log::MapLog;
use marks::values::Values;
use marks::write_log::WriteLog;
use tidelog::Partition;

fn append(criterion: &mut Criterion) {
    for value_bytes in [100, 1024, 16 << 10] {
        let (dir, values) = (BenchDir::new(), Values::new(value_bytes));
        let mut group = criterion.benchmark_group(format!("append/{value_bytes}"));
        group.throughput(Throughput::Bytes(value_bytes as u64)).sample_size(10).measurement_time(Duration::from_secs(2));
        engine(&mut group, "single", &dir, &values, put_singles);
        engine(&mut group, "batches of 100", &dir, &values, put_batches);
        group.bench_function("mark: map", |bencher| {
            bencher.iter_custom(|records| {
                let path = dir.path("map");
                let mut log = MapLog::create(&path, records as usize, value_bytes);
                let took = timed(|| (0..records as usize).for_each(|number| log.append(values.get(number))));
                std::fs::remove_file(&path).unwrap();
                took
            });
        });
        group.bench_function("mark: write", |bencher| {
            bencher.iter_custom(|records| {
                let path = dir.path("write");
                let mut log = WriteLog::create(&path);
                let took = timed(|| {
                    (0..records as usize).for_each(|number| log.append(values.get(number)));
                    log.flush();
                });
                std::fs::remove_file(&path).unwrap();
                took
            });
        });
    }
}

fn engine(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, dir: &BenchDir, values: &Values, put: fn(&Partition, &Values, usize)) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|records| {
            let path = dir.path("engine");
            let partition = open(&path);
            let took = timed(|| put(&partition, values, records as usize));
            remove(partition, &path, records as usize);
            took
        });
    });
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

criterion_group!(benches, append);
criterion_main!(benches);
