//! Waiting for the next record in the process that appends: woken, not polling.

use std::time::{Duration, Instant};

use tidelog::{AckLevel, ReadIsolation, Record, Start, StoreOptions, SyncPolicy};

use crate::reading_support::{Home, append_numbered, cpu_time, numbered, other, small, tell};

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// The time from an append to the reader that sleeps.
fn latency(options: StoreOptions, level: AckLevel, isolation: ReadIsolation) -> Duration {
    let home = Home::new();
    let (_store, partition) = home.partition(options);
    let mut times = Vec::new();
    for number in 0..40 {
        let mut reader = partition.view().with_isolation(isolation).read(Start::Latest).unwrap();
        let waiting = std::thread::spawn(move || {
            assert!(reader.wait(Duration::from_secs(10)).unwrap());
            (Instant::now(), reader.next().unwrap().unwrap())
        });
        std::thread::sleep(Duration::from_millis(10));
        let mut start = Instant::now();
        partition.append_with(Record::new(&numbered(number)), level).unwrap();
        if level == AckLevel::Durable {
            start = Instant::now(); // how long the disk took is not the question
        }
        let (woken, record) = waiting.join().unwrap();
        assert_eq!(record.value().unwrap(), numbered(number));
        times.push(woken.saturating_duration_since(start));
    }
    median(times)
}

#[test]
fn an_append_wakes_readers() {
    let group = latency(StoreOptions::new(), AckLevel::Durable, ReadIsolation::Committed);
    let written = latency(StoreOptions::new(), AckLevel::Written, ReadIsolation::Written);
    let system = latency(small(), AckLevel::Written, ReadIsolation::Committed);
    let interval = latency(StoreOptions::new().sync_policy(SyncPolicy::Interval(Duration::from_secs(60))), AckLevel::Written, ReadIsolation::Written);
    for (name, time) in [("group", group), ("written", written), ("os", system), ("interval", interval)] {
        // Whatever else could wake it comes after 100 ms.
        assert!(time < Duration::from_millis(50), "{name}: {time:?}");
    }
}

#[test]
fn a_wait_ends_in_time() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let mut reader = partition.read(Start::Latest).unwrap();
    for millis in [0, 1, 50] {
        let (limit, start) = (Duration::from_millis(millis), Instant::now());
        assert!(!reader.wait(limit).unwrap());
        assert!(start.elapsed() >= limit && start.elapsed() < limit + Duration::from_millis(200));
    }
    append_numbered(&partition, 0..1);
    assert!(reader.wait(Duration::ZERO).unwrap());
    assert!(reader.wait(Duration::MAX).unwrap());
}

/// In a process of its own, where nothing else takes time.
#[test]
fn idle_reader() {
    let Some((dir, _)) = other() else { return };
    let store = StoreOptions::new().open(dir).unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    append_numbered(&partition, 0..100);
    partition.flush().unwrap();
    std::thread::sleep(Duration::from_millis(1500)); // what there is to tidy up is done
    let waiting: Vec<_> = (0..8)
        .map(|number| {
            let isolation = [ReadIsolation::Committed, ReadIsolation::Written][number % 2];
            let mut reader = partition.view().with_isolation(isolation).read(Start::Latest).unwrap();
            std::thread::spawn(move || assert!(!reader.wait(Duration::from_secs(2)).unwrap()))
        })
        .collect();
    let (cpu, wall) = (cpu_time(), Instant::now());
    std::thread::sleep(Duration::from_millis(1800));
    tell("cost", format!("{} {}", (cpu_time() - cpu).as_micros(), wall.elapsed().as_micros()));
    waiting.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn idle_readers_and_an_idle_store_cost_nothing() {
    let home = Home::new();
    let cost = crate::reading_support::Other::start("tail::idle_reader", home.path(), "").hear("cost");
    let cost: Vec<u64> = cost.split(' ').map(|number| number.parse().unwrap()).collect();
    assert!(cost[0] * 200 < cost[1], "{} us of CPU in {} us: over 0.5 % of a core", cost[0], cost[1]);
}

/// None is lost, whoever sleeps or wakes when.
#[test]
fn every_append_reaches_every_reader() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let count = 20_000;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut reader = partition.read(Start::Earliest).unwrap();
                while reader.offset().get() < count {
                    match reader.next() {
                        Some(record) => drop(record.unwrap()),
                        // Far longer than the whole test may take: a lost wake-up shows.
                        None => assert!(reader.wait(Duration::from_secs(20)).unwrap(), "a wake-up was lost at {}", reader.offset()),
                    }
                }
            });
        }
        append_numbered(&partition, 0..count);
    });
}
