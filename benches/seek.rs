//! What it costs to find the first record from a time on, where times rise, and where they come out of order by up to a thousand records,
//! beside a binary search over an array of the same times in memory. One million records times `TIDELOG_BENCH_SCALE`.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use marks::bench_dir::{BenchDir, scaled};
use marks::engine::{BATCH, open};
use marks::values::{Rng, Values};
use tidelog::{AckLevel, Partition, Record, RecordBatch, TimestampNs};

fn seek(criterion: &mut Criterion) {
    let (dir, values, records) = (BenchDir::new(), Values::new(100), scaled(1_000_000));
    let mut group = criterion.benchmark_group("seek by time/100");
    group.sample_size(10).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(500));
    for (times, late) in [("rising", 1), ("out of order", OUT_OF_ORDER)] {
        let (mut rng, mut drawn) = (Rng(3), Vec::with_capacity(records));
        drawn.extend((0..records).map(|number| START_NS + (number - rng.below(late).min(number)) as i64 * STEP_NS));
        for (name, batch_records) in [("single appends", 1), ("batches of 100", BATCH)] {
            let partition = fill(&dir.path(&format!("{times}, {name}")), &values, &drawn, batch_records);
            let (mut rng, most) = (Rng(5), *drawn.iter().max().unwrap());
            group.bench_function(format!("{times}, {name}"), |bencher| {
                bencher.iter(|| {
                    let time = START_NS + rng.below((most - START_NS) as usize) as i64;
                    black_box(partition.view().offset_for_time(TimestampNs::new(time)).unwrap().unwrap())
                });
            });
        }
    }
    let (rising, mut rng): (Vec<i64>, _) = ((0..records as i64).map(|number| START_NS + number * STEP_NS).collect(), Rng(5));
    group.bench_function("mark: array of times", |bencher| {
        bencher.iter(|| {
            let time = START_NS + rng.below(records * STEP_NS as usize) as i64;
            black_box(rising.partition_point(|other| *other < time))
        });
    });
}

fn fill(path: &std::path::Path, values: &Values, times: &[i64], batch_records: usize) -> Partition {
    let (partition, mut batch) = (open(path), RecordBatch::new());
    for (number, time) in times.iter().enumerate() {
        batch.push(&Record::new(values.get(number)).timestamp(TimestampNs::new(*time))).unwrap();
        if batch.len() == batch_records {
            partition.append_batch(&batch, AckLevel::Written).unwrap();
            batch.clear();
        }
    }
    // The answer is the first one from the time on, whatever the order.
    let middle = times[times.len() / 2];
    let expected = times.iter().position(|time| *time >= middle).unwrap();
    assert_eq!(partition.view().offset_for_time(TimestampNs::new(middle)).unwrap().unwrap().get() as usize, expected);
    partition
}

criterion_group!(benches, seek);
criterion_main!(benches);

const START_NS: i64 = 1_700_000_000_000_000_000;
const STEP_NS: i64 = 1_000_000;
const OUT_OF_ORDER: usize = 1000;
