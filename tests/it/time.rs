//! Seeking to a time is exact, whatever order the times are in: checked against a list that is searched from its start.

use tidelog::{AckLevel, PartitionView, ReadIsolation, Record, RecordBatch, Start};

use crate::reading_support::{Home, Random, append_numbered, small, ts};

/// First offset at or behind `from` with at least this time.
fn model(times: &[i64], from: usize, time: i64) -> Option<u64> {
    times.iter().skip(from).position(|&found| found >= time).map(|at| (at + from) as u64)
}

fn check(view: &PartitionView, times: &[i64], from: usize, random: &mut Random) {
    let probes = (0..300).map(|_| times[random.below(times.len() as u64) as usize]);
    for probe in probes.chain([i64::MIN, i64::MAX, 0]) {
        for time in [probe.saturating_sub(1), probe, probe.saturating_add(1)] {
            let expected = model(times, from, time);
            assert_eq!(view.offset_for_time(ts(time)).unwrap().map(|offset| offset.get()), expected, "time {time}");
            assert_eq!(view.read(Start::Time(ts(time))).unwrap().offset().get(), expected.unwrap_or(times.len() as u64));
        }
    }
}

/// Times as sources have them: in order but for stragglers, with repeats and jumps; now and then one far in the past or the future.
fn next_time(random: &mut Random, clock: &mut i64) -> i64 {
    *clock += random.below(3_000_000) as i64;
    match random.below(40) {
        0 => *clock - random.below(500_000_000) as i64,
        1 => *clock + random.below(2_000_000) as i64,
        2 => -(random.below(1_000_000_000) as i64),
        _ => *clock,
    }
}

fn check_seeks(batch_len: usize, spike_at: Option<usize>) {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    let (mut random, mut clock, mut times) = (Random::new(batch_len as u64), 1_700_000_000_000_000_000, Vec::new());
    let mut batch = RecordBatch::new();
    while times.len() < 4000 {
        batch.clear();
        for _ in 0..batch_len {
            let time = if spike_at == Some(times.len()) { clock + 5_000_000_000 } else { next_time(&mut random, &mut clock) };
            batch.push(&Record::new("some value of forty bytes, more or less").timestamp(ts(time))).unwrap();
            times.push(time);
        }
        partition.append_batch(&batch, AckLevel::Written).unwrap();
    }
    check(partition.view(), &times, 0, &mut random);
    let follower = home.read_only();
    check(&follower, &times, 0, &mut random);
    partition.delete_prefix(1234).unwrap();
    check(partition.view(), &times, 1234, &mut random);
    follower.refresh().unwrap();
    check(&follower, &times, 1234, &mut random);
    drop(partition);
    store.close().unwrap();
    check(&home.read_only(), &times, 1234, &mut random);
    let (_store, reopened) = home.partition(small());
    check(reopened.view(), &times, 1234, &mut random);
}

#[test]
fn seeks_among_single_records() {
    check_seeks(1, None);
}

#[test]
fn seeks_among_batches() {
    check_seeks(37, None);
}

/// One record from the future in each of several places: every segment that holds it must be looked at, and no more be believed of it.
#[test]
fn seeks_past_a_spike() {
    check_seeks(1, Some(1));
    check_seeks(5, Some(2000));
}

/// The segment that grows under a reader in another process has no final highest time yet.
#[test]
fn a_follower_finds_times_that_came_after_it_looked() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..3);
    let follower = home.read_only().with_isolation(ReadIsolation::Written);
    let mut reader = follower.read(Start::Latest).unwrap();
    let year_3000 = 32_503_680_000_000_000_000i128.min(i64::MAX.into()) as i64;
    for number in 0..3000i64 {
        let time = year_3000 - 10_000 + number;
        partition.append_with(Record::new("later, and a bit longer than the others").timestamp(ts(time)), AckLevel::Written).unwrap();
        if number % 100 == 0 {
            follower.refresh().unwrap();
            assert_eq!(follower.offset_for_time(ts(time)).unwrap().unwrap().get(), number as u64 + 3);
            assert_eq!(follower.offset_for_time(ts(time + 1)).unwrap(), None);
            assert_eq!(reader.by_ref().map(Result::unwrap).count(), if number == 0 { 1 } else { 100 });
        }
    }
}

/// Readers that may not see the record with the time are not told of it.
#[test]
fn a_committed_seek_ends_at_the_high_water_mark() {
    let home = Home::new();
    let policy = tidelog::SyncPolicy::Interval(std::time::Duration::from_secs(60));
    let (_store, partition) = home.partition(tidelog::StoreOptions::new().sync_policy(policy));
    partition.append(Record::new("a").timestamp(ts(10))).unwrap();
    partition.append_with(Record::new("b").timestamp(ts(20)), AckLevel::Written).unwrap();
    assert_eq!(partition.view().offset_for_time(ts(15)).unwrap(), None);
    assert_eq!(partition.view().with_isolation(ReadIsolation::Written).offset_for_time(ts(15)).unwrap().map(|offset| offset.get()), Some(1));
}
