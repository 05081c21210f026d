//! How late a follower that sleeps sees an append, from before the append to after the read, beside a bare hand-over by mutex and condvar
//! between the same two threads' likes in the same run. Ends with the medians of both.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use marks::bench_dir::BenchDir;
use marks::engine::{open, remove};
use tidelog::{AckLevel, Partition, Record};

fn follow(criterion: &mut Criterion) {
    let (dir, mut late, mut mark_late) = (BenchDir::new(), Vec::new(), Vec::new());
    let mut group = criterion.benchmark_group("follow");
    group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    group.bench_function("tail of a partition", |bencher| {
        bencher.iter_custom(|records| {
            let path = dir.path("engine");
            let partition = open(&path);
            let delays = by_partition(&partition, records);
            remove(partition, &path, records as usize);
            sum(&mut late, delays)
        });
    });
    group.bench_function("mark: condvar", |bencher| bencher.iter_custom(|records| sum(&mut mark_late, by_condvar(records))));
    if let (Some(late), Some(mark)) = (median_us(late), median_us(mark_late)) {
        println!("median: {late:.1} us, by condvar {mark:.1} us: {:.2}x as late", late / mark);
    }
}

/// Of these delays, which are kept with the others.
fn sum(all: &mut Vec<u64>, delays: Vec<u64>) -> Duration {
    let sum = delays.iter().sum();
    all.extend(delays);
    Duration::from_nanos(sum)
}

fn median_us(mut delays: Vec<u64>) -> Option<f64> {
    delays.sort_unstable();
    delays.get(delays.len() / 2).map(|ns| *ns as f64 / 1e3)
}

/// How much was seen, and how late each.
#[derive(Default)]
struct Seen {
    count: AtomicU64,
    late_ns: Mutex<Vec<u64>>,
}

impl Seen {
    fn see(&self, sent: Instant) {
        let late = sent.elapsed();
        self.late_ns.lock().unwrap().push(late.as_nanos() as u64);
        self.count.fetch_add(1, Ordering::Release);
    }

    /// Until `count` were seen, and the follower has had the time to go back to sleep.
    fn wait_for(&self, count: u64) {
        while self.count.load(Ordering::Acquire) < count {
            std::thread::yield_now();
        }
        std::thread::sleep(GOES_TO_SLEEP);
    }

    fn into_late(self) -> Vec<u64> {
        self.late_ns.into_inner().unwrap()
    }
}

fn by_partition(partition: &Partition, records: u64) -> Vec<u64> {
    let (seen, epoch) = (Seen::default(), Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut reader = partition.read_from(0).unwrap();
            let mut count = 0;
            while count < records {
                for record in reader.by_ref() {
                    let sent = u64::from_le_bytes(record.unwrap().value().unwrap().try_into().unwrap());
                    seen.see(epoch + Duration::from_nanos(sent));
                    count += 1;
                }
                if count < records {
                    reader.wait(Duration::from_secs(60)).unwrap();
                }
            }
        });
        std::thread::sleep(GOES_TO_SLEEP);
        for number in 1..=records {
            let sent = (epoch.elapsed().as_nanos() as u64).to_le_bytes();
            partition.append_with(Record::new(&sent), AckLevel::Written).unwrap();
            seen.wait_for(number);
        }
    });
    seen.into_late()
}

fn by_condvar(records: u64) -> Vec<u64> {
    let (seen, slot, filled) = (Seen::default(), Mutex::new(None), Condvar::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..records {
                let mut slot = filled.wait_while(slot.lock().unwrap(), |slot: &mut Option<Instant>| slot.is_none()).unwrap();
                let sent = slot.take().unwrap();
                drop(slot);
                seen.see(sent);
            }
        });
        std::thread::sleep(GOES_TO_SLEEP);
        for number in 1..=records {
            *slot.lock().unwrap() = Some(Instant::now());
            filled.notify_one();
            seen.wait_for(number);
        }
    });
    seen.into_late()
}

const GOES_TO_SLEEP: Duration = Duration::from_micros(200);

criterion_group!(benches, follow);
criterion_main!(benches);
