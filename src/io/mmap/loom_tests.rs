//! Every order in which two threads can publish, expose and look, and every value that a load can see: `.ci/loom`. Loom does not see mapped
//! bytes: words that order nothing stand for those that a watermark publishes.

use loom::sync::Arc;
use loom::sync::atomic::AtomicU32;
use loom::thread;

use super::*;

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// M4: whoever sees an end sees what was stored below it; a seal is never seen without the end that it seals.
#[test]
fn what_is_published_was_stored_before() {
    explore(|| {
        let (map, mut store) = SegmentMap::anonymous(4096).unwrap();
        store.set_allocated(4096);
        let frames = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
        let stored = frames.clone();
        let writer = thread::spawn(move || {
            for number in 0..2u32 {
                stored[number as usize].store(number + 1, Ordering::Relaxed);
                store.publish(Published { end: 8 * (number + 1), next: number + 1, sealed: number == 1, retired: false });
            }
        });
        let mut last = Published::default();
        for _ in 0..2 {
            let published = map.published();
            assert!(published.end >= last.end && published.sealed >= last.sealed);
            assert!(published.end == 8 * published.next && (published.end == 16 || !published.sealed));
            for number in 0..published.next {
                assert_eq!(frames[number as usize].load(Ordering::Relaxed), number + 1);
            }
            last = published;
        }
        writer.join().unwrap();
    });
}

/// M2: of two who race to raise a watermark, neither takes away what the other said.
#[test]
fn racing_news_of_a_segment_are_joined() {
    explore(|| {
        let (map, store) = SegmentMap::anonymous(4096).unwrap();
        drop(store);
        let other = map.clone();
        let racer = thread::spawn(move || {
            other.expose(Published { end: 16, next: 2, ..Published::default() });
            assert!(other.published().end >= 16);
        });
        map.mark_retired();
        map.expose(Published { end: 8, next: 1, ..Published::default() });
        assert!(map.published().retired);
        racer.join().unwrap();
        assert_eq!(map.published(), Published { end: 16, next: 2, sealed: false, retired: true });
    });
}

/// M3: a segment is exposed by others only after the half that stores is gone, and then nothing that it published is lost.
#[test]
fn a_store_that_is_dropped_hands_its_watermark_on() {
    explore(|| {
        let (map, mut store) = SegmentMap::anonymous(4096).unwrap();
        store.set_allocated(4096);
        let writer = thread::spawn(move || {
            store.publish(Published { end: 16, next: 2, sealed: true, retired: false });
            drop(store);
        });
        if !map.0.has_store.load(Ordering::Acquire) {
            map.mark_retired();
            assert_eq!(map.published(), Published { end: 16, next: 2, sealed: true, retired: true });
        }
        writer.join().unwrap();
    });
}
