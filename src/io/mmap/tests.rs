//! The mapping under a race detector: small enough for `.ci/miri`, which sees an order that this processor would never get wrong.

use std::thread;

use super::*;

/// M4: a reader that sees an end sees the bytes below it.
#[test]
fn what_is_published_was_stored_before() {
    let (map, mut store) = SegmentMap::anonymous(4096).unwrap();
    store.set_allocated(4096);
    thread::scope(|scope| {
        scope.spawn(move || {
            for step in 1..=STEPS {
                store.slot((step as usize - 1) * 8, 8).fill(step as u8);
                store.publish(Published { end: step * 8, next: step, ..Published::default() });
            }
        });
        loop {
            let published = map.published();
            let bytes = map.bytes(0, published.end as usize);
            assert!(bytes.chunks(8).zip(1..).all(|(frame, step)| frame == [step; 8]), "{bytes:?}");
            if published.next == STEPS {
                break;
            }
            thread::yield_now();
        }
    });
}

/// M6: where there is no file to find the bytes in again, they stay.
#[test]
fn memory_alone_is_not_released() {
    let (map, mut store) = SegmentMap::anonymous(8192).unwrap();
    store.set_allocated(8192);
    store.slot(0, 8192).fill(7);
    store.publish(Published { end: 8192, next: 1, ..Published::default() });
    map.release(0, 8192).unwrap();
    assert!(map.bytes(0, 8192).iter().all(|&byte| byte == 7));
}

/// M2 and M4 in a mapping that another process stores to: whoever learns of an end last takes none back.
#[test]
fn readers_that_race_expose_the_larger_end() {
    let (map, store) = SegmentMap::anonymous(4096).unwrap();
    drop(store);
    thread::scope(|scope| {
        for end in [8, 24, 16] {
            let map = &map;
            scope.spawn(move || {
                map.expose(Published { end, next: end / 8, ..Published::default() });
                assert!(map.published().end >= end);
            });
        }
    });
    assert_eq!((map.published().end, map.published().next), (24, 3));
}

const STEPS: u32 = 8;
