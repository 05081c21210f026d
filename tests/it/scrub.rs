//! The scrub: finds damage that nobody reads, never faster than it may, and touches no segment that is appended to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidelog::io::Disk;
use tidelog::io::fault::{EIO, Fault, Faulty, Op};
use tidelog::{AckLevel, Partition, Store};

use crate::support::{Lab, append, assert_same, options, partition, read_all};

const RATE: u64 = 64 << 10;

fn closed() -> Lab {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 300, 1000, AckLevel::Durable));
    assert!(lab.segments().len() >= 5);
    lab
}

/// A store whose scrub has a clock of its own: no thread reads beside it.
fn scrubbed(lab: &Lab, rate: u64) -> (Faulty, Store, Partition) {
    let faulty = Faulty::new(Arc::new(Disk::new()));
    let store = options().storage(Arc::new(faulty.clone())).scrub(rate).without_threads().open(lab.tmp.path()).unwrap();
    let partition = partition(&store).unwrap();
    faulty.reset_counts();
    (faulty, store, partition)
}

fn known(partition: &Partition) -> Vec<(u64, u64)> {
    partition.view().damage().iter().map(|range| (range.from, range.to)).collect()
}

#[test]
fn no_more_is_read_than_the_rate_allows() {
    let lab = closed();
    let (faulty, store, partition) = scrubbed(&lab, RATE);
    let mut elapsed = Duration::ZERO;
    for step in [1, 10, 100, 100, 7, 300, 1000, 50].repeat(20) {
        elapsed += Duration::from_millis(step);
        store.scrub_for(Duration::from_millis(step));
        let allowed = u128::from(RATE) * elapsed.as_millis() / 1000;
        assert!(u128::from(faulty.bytes_read()) <= allowed, "{} bytes in {elapsed:?}, allowed are {allowed}", faulty.bytes_read());
    }
    // And it does read: most of what it may, round after round over some 240 KiB.
    let allowed = (u128::from(RATE) * elapsed.as_millis() / 1000) as u64;
    assert!(faulty.bytes_read() > allowed / 2 && faulty.bytes_read() > 3 * 240 * 1024, "{} of {allowed}", faulty.bytes_read());
    assert_eq!((faulty.bytes_written(), faulty.syncs(), faulty.count(Op::Rename)), (0, 0, 0), "a scrub changes nothing");
    assert_eq!(known(&partition), []);
}

#[test]
fn nothing_is_read_unless_asked_for_or_where_nothing_is_closed() {
    let lab = closed();
    let (faulty, store, _partition) = scrubbed(&lab, 0);
    store.scrub_for(Duration::from_secs(3600));
    assert_eq!(faulty.bytes_read(), 0);
    let small = Lab::closed(|partition, oracle| append(partition, oracle, 10, 1000, AckLevel::Durable));
    let (faulty, store, _partition) = scrubbed(&small, RATE);
    store.scrub_for(Duration::from_secs(3600));
    assert_eq!(faulty.bytes_read(), 0, "its one segment is appended to");
}

/// Damage in sealed segments, which no open looks into: after a round it is known without a read, and reads are answered as ever.
#[test]
fn a_round_finds_all_damage() {
    let lab = closed();
    let segments = lab.segments();
    let damaged = [0, 1, 40, segments[1].header.base_offset.get(), 99, segments[3].header.base_offset.get() - 1, 200];
    for offset in damaged {
        let segment = segments.iter().rev().find(|segment| segment.header.base_offset.get() <= offset).unwrap();
        let value = &lab.oracle[&offset];
        let at = segment.bytes().windows(value.len()).position(|window| window == value).unwrap();
        segment.flip(at as u64 + 9);
    }
    let (_faulty, store, log) = scrubbed(&lab, RATE);
    assert_eq!(known(&log), [], "the open took the seals at their word");
    store.scrub_for(Duration::from_secs(60));
    let expected = vec![(0, 2), (40, 41), (damaged[3], damaged[3] + 1), (99, 100), (damaged[5], damaged[5] + 1), (200, 201)];
    assert_eq!(known(&log), expected);
    assert_eq!(log.view().info().unwrap().damage.len(), expected.len());
    let (records, damage) = read_all(log.view());
    assert_same(&records, &lab.readable(&expected, 300), "around the damage");
    assert_eq!(damage, expected);
}

/// It is told until it can be read again, and keeps nothing else from being read.
#[test]
fn a_segment_that_cannot_be_read_is_named() {
    let lab = closed();
    let second = lab.segments()[1].id().log_name();
    let (faulty, store, log) = scrubbed(&lab, RATE);
    let unreadable = || log.view().info().unwrap().unreadable;
    faulty.inject(Fault::at(Op::Read).on_path(&second).error(EIO));
    while faulty.fired() == 0 {
        store.scrub_for(Duration::from_millis(100));
    }
    let named = unreadable();
    assert!(named.len() == 1 && named[0].file == second && named[0].detail.contains("os error 5"), "{named:?}");
    assert_eq!(known(&log), [], "what cannot be read now is not lost");
    store.scrub_for(Duration::from_secs(60));
    assert_eq!((faulty.fired(), unreadable()), (1, vec![]), "it was read since");
    assert_eq!(log.read_from(0).unwrap().map(Result::unwrap).count(), 300);
}

/// What is cut off or deleted between two steps is no damage, and appends and rolls go on meanwhile.
#[test]
fn cuts_and_appends_between_steps_are_no_damage() {
    let mut lab = closed();
    let (_faulty, store, log) = scrubbed(&lab, RATE);
    for step in 0..40u64 {
        store.scrub_for(Duration::from_millis(700));
        match step % 4 {
            0 => log.delete_prefix(step * 4).unwrap(),
            1 => {
                let at = log.log_end_offset().get() - 3;
                log.truncate_suffix(at).unwrap();
                lab.oracle.split_off(&at);
            }
            _ => append(&log, &mut lab.oracle, 20, 1000, AckLevel::Written),
        }
    }
    assert_eq!(known(&log), []);
    assert!(log.view().verify(true, &mut |_| {}).unwrap().damage.is_empty());
}

/// As a thread of the store: it finds the damage by itself, and a close does not wait for it.
#[test]
fn a_thread_scrubs_until_the_store_is_closed() {
    let lab = closed();
    let value = &lab.oracle[&100];
    let segment = lab.segments().into_iter().rev().find(|segment| segment.header.base_offset.get() <= 100).unwrap();
    let at = segment.bytes().windows(value.len()).position(|window| window == value).unwrap();
    segment.flip(at as u64 + 9);
    let store = options().scrub(64 << 20).open(lab.tmp.path()).unwrap();
    let log = partition(&store).unwrap();
    let began = Instant::now();
    while known(&log).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing was found");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(known(&log), [(100, 101)]);
    store.close().unwrap();
    // A rate that makes a piece wait for hours.
    let store = options().scrub(1).open(lab.tmp.path()).unwrap();
    let _log = partition(&store).unwrap();
    store.close().unwrap();
}
