//! What an append costs when it goes round robin over many partitions of one store, as a curve over their number, single and in batches of 100;
//! the first of the curve, one partition, is the mark. Up to 100 partitions, as each is made with syncs, or `TIDELOG_BENCH_PARTITIONS`: 10,000 is
//! the whole curve. `TIDELOG_BENCH_CHECKPOINT_BUDGET` sets how much may wait for checkpoints, which cost most where it is used up. Ends with a
//! drawing of the curve, in Mermaid, of the medians.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use marks::bench_dir::{BenchDir, partitions_max};
use marks::engine::{BATCH, options};
use marks::values::Values;
use tidelog::{AckLevel, Partition, Record, RecordBatch, Store};

fn partitions(criterion: &mut Criterion) {
    let (dir, values) = (BenchDir::new(), Values::new(100));
    let mut group = criterion.benchmark_group("partitions/100");
    group.sample_size(SAMPLES).warm_up_time(Duration::from_millis(300));
    let mut curves = [Vec::new(), Vec::new()];
    for count in [1, 10, 100, 1000, 10_000].into_iter().filter(|count| *count <= partitions_max()) {
        let path = dir.path("engine");
        let (store, partitions) = open(&path, count);
        for ((name, batch_records), curve) in MODES.into_iter().zip(&mut curves) {
            let mut rates = Vec::new();
            // Each partition gets some pages full, and all together less than the disk is behind with.
            group.measurement_time(Duration::from_secs(if count >= 1000 && batch_records == 1 { 5 } else { 1 }));
            group.throughput(Throughput::Elements(batch_records as u64));
            let before = records_of(&partitions);
            // On over all rounds, as the first append to a page costs more than the next ones.
            let mut next = 0;
            group.bench_with_input(BenchmarkId::new(name, count), &count, |bencher, _| {
                bencher.iter_custom(|appends| {
                    let (mut batch, start) = (RecordBatch::new(), Instant::now());
                    for _ in 0..appends {
                        append(&partitions[next % count], &values, &mut batch, batch_records, next);
                        next += 1;
                    }
                    let elapsed = start.elapsed();
                    rates.push(appends as f64 * batch_records as f64 / elapsed.as_secs_f64() / 1e6);
                    elapsed
                });
            });
            // Without those of the warm-up.
            rates.drain(..rates.len().saturating_sub(SAMPLES));
            rates.sort_by(f64::total_cmp);
            // None if it was not asked for.
            curve.extend(rates.get(rates.len() / 2).map(|rate| (count, *rate)));
            assert_eq!(records_of(&partitions) - before, next * batch_records);
        }
        drop((partitions, store));
        std::fs::remove_dir_all(&path).unwrap();
    }
    draw(&curves);
}

/// The curves as a Mermaid chart.
fn draw(curves: &[Vec<(usize, f64)>; 2]) {
    let list = |figures: Vec<String>| figures.join(", ");
    println!("xychart-beta\n    title \"Round robin over partitions: {} (below), {} (above)\"", MODES[0].0, MODES[1].0);
    println!("    x-axis \"partitions\" [{}]", list(curves[0].iter().map(|(count, _)| count.to_string()).collect()));
    println!("    y-axis \"million records of 100 B a second\"");
    for curve in curves {
        println!("    line [{}]", list(curve.iter().map(|(_, rate)| format!("{rate:.2}")).collect()));
    }
}

fn records_of(partitions: &[Partition]) -> usize {
    partitions.iter().map(|partition| partition.log_end_offset().get() as usize).sum()
}

fn append(partition: &Partition, values: &Values, batch: &mut RecordBatch, batch_records: usize, number: usize) {
    if batch_records == 1 {
        partition.append_with(Record::new(values.get(number)), AckLevel::Written).unwrap();
        return;
    }
    batch.clear();
    (0..batch_records).for_each(|more| batch.push(&Record::new(values.get(number + more))).unwrap());
    partition.append_batch(batch, AckLevel::Written).unwrap();
}

/// As many as a topic takes in each.
fn open(path: &Path, count: usize) -> (Store, Vec<Partition>) {
    let options = match std::env::var("TIDELOG_BENCH_CHECKPOINT_BUDGET") {
        Ok(budget) => options().set("checkpoint_budget_bytes", &budget).unwrap(),
        Err(_) => options(),
    };
    let store = options.open(path).unwrap();
    let mut partitions = Vec::with_capacity(count);
    while partitions.len() < count {
        let in_topic = (count - partitions.len()).min(TOPIC_PARTITIONS_MAX) as u32;
        let topic = store.create_topic(&format!("bench{}", partitions.len()), in_topic).unwrap();
        partitions.extend((0..in_topic).map(|number| topic.partition(number).unwrap()));
    }
    (store, partitions)
}

criterion_group!(benches, partitions);
criterion_main!(benches);

/// Of a figure.
const SAMPLES: usize = 10;
const TOPIC_PARTITIONS_MAX: usize = 4096;
/// Records an append.
const MODES: [(&str, usize); 2] = [("single", 1), ("batches of 100", BATCH)];
