//! What a record costs in the log, padding and all.

use crate::support::{Place, Rec, encode_frame};

const VALUE: [u8; 100] = [b'v'; 100];
const NOW: i64 = 1_700_000_000_123_456_789;
const MILLI: i64 = 1_000_000;

/// Bytes of log for records of 100 bytes at these times, in one frame.
fn stored(times: impl Iterator<Item = i64>) -> usize {
    let records: Vec<_> = times.map(|ts| Rec::plain(ts, &VALUE)).collect();
    encode_frame(Place::at(1, 128, 1 << 40, 0), &records).0.len()
}

#[test]
fn a_record_alone() {
    assert!(stored([NOW].into_iter()) <= 176);
}

#[test]
fn batches_of_one_time_or_whole_milliseconds() {
    assert!(stored((0..100).map(|_| NOW)) <= 11_050);
    assert!(stored((0..100).map(|i| NOW + i * MILLI)) <= 11_050);
    assert!(stored((0..100).map(|i| NOW - i * MILLI)) <= 11_050);
}

#[test]
fn batches_of_100_different_nanoseconds() {
    // As dense as they come, spread over the whole millisecond, and across its end.
    let start_of_milli = NOW / MILLI * MILLI;
    for step in [1, 100, 9_999] {
        assert!(stored((0..100).map(|i| start_of_milli + i * step)) <= 11_280, "{step} ns apart");
        assert!(stored((0..100).map(|i| NOW + i * step)) <= 11_280, "{step} ns apart, from the middle");
    }
}
