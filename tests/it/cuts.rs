//! The two cuts, prefix and suffix: at every kind of place, again and again, beside readers, and with the process dying at every call.

use std::sync::Arc;

use tidelog::io::fault::{Fault, Faulty, Op};
use tidelog::io::{Disk, Storage};
use tidelog::{AckLevel, CutError, Partition, ReadError, ReadIsolation, Record, RecordBatch, Store, StoreOptions, SyncError, SyncPolicy, Verdict};

use tidelog_format::{CHECKPOINT_NAME, Checkpoint, SegmentId};

use crate::support::{
    Durable, Lab, Oracle, TOPIC, append, append_batch, assert_same, copy_tree, names, options, partition, read_all, tempdir, value,
};

/// Three segments of single records, then batches of ten.
fn filled() -> Lab {
    Lab::closed(|partition, oracle| {
        append(partition, oracle, 150, 1000, AckLevel::Written);
        (0..5).for_each(|_| append_batch(partition, oracle, 10, 100, AckLevel::Written));
    })
}

#[test]
fn prefix_is_deleted_at_every_kind_of_place() {
    let boundary = filled().segments()[1].header.base_offset.get();
    // Inside a segment, at its end, behind it, inside a batch, at a batch, the whole log.
    for at in [1, 30, boundary - 1, boundary, boundary + 1, 155, 160, 200] {
        let mut lab = filled();
        let (store, partition) = lab.open();
        partition.delete_prefix(at).unwrap();
        lab.oracle.retain(|offset, _| *offset >= at);
        assert_prefix(&partition, &lab.oracle, at);
        partition.delete_prefix(at).unwrap();
        append(&partition, &mut lab.oracle, 2, 50, AckLevel::Durable);
        store.close().unwrap();
        for _ in 0..2 {
            let (store, partition) = lab.open();
            assert!(!partition.recovery_report().is_notable(), "{at}: {:?}", partition.recovery_report());
            assert_prefix(&partition, &lab.oracle, at);
            append(&partition, &mut lab.oracle, 1, 50, AckLevel::Durable);
            store.close().unwrap();
        }
        let below = lab.segments().iter().filter(|segment| segment.header.base_offset.get() < at).count();
        assert!(below <= 1, "whole segments below {at} are unlinked");
    }
}

fn assert_prefix(partition: &Partition, oracle: &Oracle, at: u64) {
    assert_eq!(partition.log_start_offset(), at);
    let (records, damage) = read_all(partition.view());
    assert_same(&records, oracle, "behind the deleted prefix");
    assert_eq!(damage, []);
    if at > 0 {
        let below = partition.get(at - 1);
        assert!(matches!(below, Err(ReadError::OffsetOutOfRange { earliest, .. }) if earliest == at), "{below:?}");
    }
    let backwards: Vec<u64> = partition.read_backwards(partition.log_end_offset()).unwrap().map(|record| record.unwrap().offset().get()).collect();
    assert_eq!(backwards, oracle.keys().rev().copied().collect::<Vec<_>>());
}

/// Found by fuzzing, where the sum overflowed.
#[test]
fn the_counter_of_checkpoints_goes_around() {
    let lab = filled();
    let old = lab.slots()[0].unwrap();
    let [earlier, later] = [u64::MAX - 1, u64::MAX].map(|counter| Some(Checkpoint { counter, ..old }));
    lab.write_slots(&[earlier, later]);
    for at in [30, 40, 50] {
        let (store, partition) = lab.open();
        assert!(!partition.recovery_report().is_notable(), "{at}: {:?}", partition.recovery_report());
        partition.delete_prefix(at).unwrap();
        store.close().unwrap();
    }
    let (_store, partition) = lab.open();
    assert_eq!(partition.log_start_offset(), 50);
    assert!(lab.slots().iter().flatten().all(|slot| slot.counter < 100), "it went around");
}

#[test]
fn prefix_is_deleted_step_by_step_while_the_log_grows() {
    let mut lab = Lab::closed(|_, _| {});
    let (mut store, mut partition) = lab.open();
    for step in 1..40 {
        append(&partition, &mut lab.oracle, 20, 1000, AckLevel::Written);
        let at = step * 17;
        partition.delete_prefix(at).unwrap();
        lab.oracle.retain(|offset, _| *offset >= at);
        if step % 10 == 0 {
            store.close().unwrap();
            drop(partition);
            (store, partition) = lab.open();
        }
        assert_same(&read_all(partition.view()).0, &lab.oracle, "while deleting");
    }
    assert!(lab.segments().len() <= 5, "{:?}", names(&lab.dir()));
    drop((store, partition));
}

#[test]
fn cuts_out_of_range_are_refused() {
    let lab = filled();
    let (_store, partition) = lab.open();
    partition.delete_prefix(50).unwrap();
    for at in [0, 49, 201, u64::MAX] {
        assert!(matches!(partition.delete_prefix(at), Err(CutError::OutOfRange { .. })), "{at}");
        assert!(matches!(partition.truncate_suffix(at), Err(CutError::OutOfRange { .. })), "{at}");
    }
    assert_eq!((partition.log_start_offset(), partition.log_end_offset()), (50.into(), 200.into()));
}

#[test]
fn cuts_of_a_closed_store_are_refused() {
    let lab = filled();
    let (store, partition) = lab.open();
    store.close().unwrap();
    let (_other, again) = lab.open();
    assert!(matches!(partition.delete_prefix(50), Err(CutError::Sync(SyncError::Closed))));
    assert!(matches!(partition.truncate_suffix(50), Err(CutError::Sync(SyncError::Closed))));
    assert_eq!(again.log_start_offset(), 0);
}

#[test]
fn suffix_is_truncated_at_every_kind_of_place() {
    let boundary = filled().segments()[1].header.base_offset.get();
    for at in [0, 1, 30, boundary - 1, boundary, boundary + 1, 149, 150, 151, 159, 160, 199, 200] {
        let mut lab = filled();
        let (store, partition) = lab.open();
        partition.truncate_suffix(at).unwrap();
        lab.oracle.split_off(&at);
        assert_suffix(&partition, &lab.oracle, at);
        partition.truncate_suffix(at).unwrap();
        assert_suffix(&partition, &lab.oracle, at);
        store.close().unwrap();
        drop(partition);
        // Reopen before anything is appended, after one record, after many.
        for more in [0, 1, 150] {
            let (store, partition) = lab.open();
            assert!(!partition.recovery_report().is_notable(), "{at}: {:?}", partition.recovery_report());
            append(&partition, &mut lab.oracle, more, 50, AckLevel::Durable);
            assert_suffix(&partition, &lab.oracle, at + if more > 1 { more + 1 } else { more });
            store.close().unwrap();
        }
    }
}

fn assert_suffix(partition: &Partition, oracle: &Oracle, end: u64) {
    let marks = (partition.log_end_offset(), partition.high_water_mark(), partition.durable_end_offset());
    assert_eq!(marks, (end.into(), end.into(), end.into()));
    let (records, damage) = read_all(partition.view());
    assert_same(&records, oracle, "before the cut");
    assert_eq!(damage, []);
    assert!(matches!(partition.get(end), Err(ReadError::OffsetOutOfRange { .. })));
}

/// A batch that needs a segment of its own comes first after a cut, so that the cut's new segment is left behind unused.
#[test]
fn a_cut_holds_when_its_segment_is_never_used() {
    for at in [0, 30, filled().segments()[1].header.base_offset.get(), 155, 200] {
        let mut lab = filled();
        let (store, partition) = lab.open();
        partition.truncate_suffix(at).unwrap();
        lab.oracle.split_off(&at);
        append(&partition, &mut lab.oracle, 1, 100 << 10, AckLevel::Durable);
        append(&partition, &mut lab.oracle, 5, 100, AckLevel::Durable);
        store.close().unwrap();
        for _ in 0..2 {
            let (_store, partition) = lab.open();
            assert!(!partition.recovery_report().is_notable(), "{at}: {:?}", partition.recovery_report());
            assert_suffix(&partition, &lab.oracle, at + 6);
        }
    }
}

/// The first record behind a cut is torn by a crash, so that recovery leaves the cut's new segment behind unused.
#[test]
fn a_cut_holds_when_a_crash_tears_the_first_record_behind_it() {
    for at in [30, 155] {
        let mut lab = filled();
        let (store, partition) = lab.open();
        partition.truncate_suffix(at).unwrap();
        lab.oracle.split_off(&at);
        store.close().unwrap();
        drop(partition);
        for _ in 0..3 {
            let (store, partition) = lab.open();
            append(&partition, &mut Oracle::new(), 1, 300, AckLevel::Written);
            let image = tempdir();
            copy_tree(lab.tmp.path(), image.path());
            drop((partition, store));
            lab.tmp = image;
            let last = lab.segments().pop().unwrap();
            last.flip(last.frame_of(at).position + 100);
            let (store, partition) = lab.open();
            assert_eq!(partition.recovery_report().damage, [], "{at}");
            assert_suffix(&partition, &lab.oracle, at);
            store.close().unwrap();
        }
    }
}

#[test]
fn suffix_is_truncated_again_and_again() {
    let mut lab = Lab::closed(|_, _| {});
    let (mut store, mut partition) = lab.open();
    for step in 0..30u64 {
        let end = partition.log_end_offset().get();
        append(&partition, &mut lab.oracle, 20 + step, 700 + step as usize, AckLevel::Written);
        append_batch(&partition, &mut lab.oracle, 8, 60, AckLevel::Written);
        let at = end + step * 7 % 23;
        partition.truncate_suffix(at).unwrap();
        lab.oracle.split_off(&at);
        if step % 3 == 0 {
            store.close().unwrap();
            drop(partition);
            (store, partition) = lab.open();
            assert!(!partition.recovery_report().is_notable(), "{:?}", partition.recovery_report());
        }
        assert_same(&read_all(partition.view()).0, &lab.oracle, "while truncating");
    }
    drop((store, partition));
}

/// What is cut off takes what was known of it along: the offsets are given out anew, to records that are well.
#[test]
fn damage_that_was_cut_off_is_forgotten() {
    let mut lab = Lab::ten_records(Durable::Everything);
    let segment = &lab.segments()[0];
    let frame = segment.frame_of(5);
    segment.flip(frame.position + 80);
    let (store, partition) = lab.open();
    assert!(matches!(partition.get(5u64), Err(ReadError::Corrupt { .. })));
    assert_eq!(partition.view().damage().len(), 1);
    partition.truncate_suffix(3).unwrap();
    lab.oracle.retain(|offset, _| *offset < 3);
    append(&partition, &mut lab.oracle, 5, 50, AckLevel::Durable);
    assert_suffix(&partition, &lab.oracle, 8);
    assert_eq!(partition.get(5u64).unwrap().value(), lab.oracle.get(&5).map(Vec::as_slice));
    assert_eq!(partition.view().damage(), []);
    store.close().unwrap();
    let (_store, partition) = lab.open();
    assert_suffix(&partition, &lab.oracle, 8);
}

/// Records lost below the cut stay lost, and stay declared: nothing that was dead comes back, nothing is reported as new.
/// The segment that cut records off is lost, after a later cut of its own: what it cut off must not come back in place of what was in it.
#[test]
fn a_lost_cut_does_not_bring_back_what_it_cut_off() {
    for cut_at_a_seal in [false, true] {
        let mut lab = Lab::closed(|_, _| {});
        let (store, log) = lab.open();
        append(&log, &mut lab.oracle, 150, 1000, AckLevel::Durable);
        let second = lab.segments()[1].header.base_offset.get();
        let (first_cut, later_cut) = (second - 20, if cut_at_a_seal { second } else { second - 10 });
        for cut in [first_cut, later_cut] {
            log.truncate_suffix(cut).unwrap();
            lab.oracle.retain(|offset, _| *offset < cut);
            append(&log, &mut lab.oracle, 30, 900, AckLevel::Durable);
        }
        drop(log);
        store.close().unwrap();
        let lost = lab.segments().into_iter().find(|segment| segment.header.base_offset == first_cut).unwrap();
        std::fs::remove_file(&lost.path).unwrap();
        let readable = lab.readable(&[(first_cut, later_cut)], later_cut + 30);
        for _ in 0..2 {
            let (store, partition) = lab.open();
            let (records, damage) = read_all(partition.view());
            assert_same(&records, &readable, "around what is lost");
            assert_eq!((damage, partition.log_end_offset().get()), (vec![(first_cut, later_cut)], later_cut + 30));
            drop(partition);
            store.close().unwrap();
        }
    }
}

#[test]
fn a_cut_at_the_end_of_a_gap_keeps_the_gap_declared() {
    let lab = Lab::ten_records(Durable::Everything);
    let segment = &lab.segments()[0];
    let (from, rest) = (segment.frame_of(5).position as usize, segment.frame_of(7).position as usize);
    segment.edit(|bytes| {
        bytes[from..rest].fill(0xA5);
        bytes[rest..].fill(0);
    });
    let (store, first) = lab.open();
    let mut readable = lab.readable(&[(5, 10)], 10);
    append(&first, &mut readable, 4, 50, AckLevel::Durable);
    first.truncate_suffix(10).unwrap();
    readable.retain(|offset, _| *offset < 10);
    append(&first, &mut readable, 2, 60, AckLevel::Durable);
    drop(first);
    store.close().unwrap();
    for _ in 0..2 {
        let (store, partition) = lab.open();
        let report = partition.recovery_report();
        assert!(!report.findings.iter().any(|finding| finding.verdict == Verdict::Damage), "{report:?}");
        let (records, damage) = read_all(partition.view());
        assert_same(&records, &readable, "around the gap");
        assert_eq!((damage, partition.log_end_offset().get()), (vec![(5, 10)], 12));
        drop(partition);
        store.close().unwrap();
    }
}

/// The segment that declares the gap begins behind the cut, and goes with it: but what it says of the offsets before the cut must stay.
#[test]
fn a_cut_inside_a_gap_keeps_the_rest_of_it_declared() {
    let lab = Lab::ten_records(Durable::Everything);
    let segment = &lab.segments()[0];
    let from = segment.frame_of(5).position as usize;
    segment.edit(|bytes| bytes[from..].fill(0));
    let (store, first) = lab.open();
    let mut readable = lab.readable(&[(5, 10)], 10);
    append(&first, &mut readable, 4, 50, AckLevel::Durable);
    first.truncate_suffix(8).unwrap();
    readable.retain(|offset, _| *offset < 8);
    drop(first);
    store.close().unwrap();
    for open in 0..2 {
        let (store, partition) = lab.open();
        let report = partition.recovery_report();
        assert!(!report.findings.iter().any(|finding| finding.verdict == Verdict::Damage), "{report:?}");
        append(&partition, &mut readable, 1, 60, AckLevel::Durable);
        let (records, damage) = read_all(partition.view());
        assert_same(&records, &readable, "around the gap");
        assert_eq!((damage, partition.log_end_offset().get()), (vec![(5, 8)], 9 + open));
        drop(partition);
        store.close().unwrap();
    }
}

#[test]
fn records_of_a_cut_batch_keep_all_that_they_had() {
    let lab = Lab::closed(|_, _| {});
    let (store, partition) = lab.open();
    let mut batch = tidelog::RecordBatch::new();
    let stamp = |number: i64| tidelog::TimestampNs::new(1_700_000_000_123_456_789 + number * 1_000_003);
    for number in 0..6 {
        let value = value(number, 40);
        let record = Record::new(&value).key("k").header("a", Some(b"1")).header("b", None).timestamp(stamp(5 - number as i64));
        batch.push(&record).unwrap();
    }
    batch.push(&Record::tombstone().timestamp(stamp(9))).unwrap();
    batch.set_note(Some(b"note")).unwrap();
    partition.append_batch(&batch, AckLevel::Durable).unwrap();
    partition.truncate_suffix(4).unwrap();
    store.close().unwrap();
    let (_store, partition) = lab.open();
    let first = partition.read_from(0).unwrap().next_batch().unwrap().unwrap();
    assert_eq!((first.len(), first.note()), (4, Some(&b"note"[..])));
    for (number, record) in partition.read_from(0).unwrap().enumerate() {
        let record = record.unwrap();
        assert_eq!(record.value(), Some(&value(number as u64, 40)[..]));
        assert_eq!((record.key(), record.timestamp()), (Some(&b"k"[..]), stamp(5 - number as i64)));
        let headers: Vec<_> = record.headers().map(|header| (header.name.to_owned(), header.value.map(<[u8]>::to_vec))).collect();
        assert_eq!(headers, [("a".to_owned(), Some(b"1".to_vec())), ("b".to_owned(), None)]);
    }
}

#[test]
fn readers_from_before_a_cut_never_return_what_was_cut_off() {
    let mut lab = filled();
    let (_store, partition) = lab.open();
    // One inside a batch, one at the start of it, one in an older segment, one that has read nothing yet.
    let mut inside = partition.read_from(170).unwrap();
    (170..175).for_each(|offset| assert_eq!(inside.next().unwrap().unwrap().offset(), offset));
    let (at_batch, older, fresh) = (partition.read_from(180).unwrap(), partition.read_from(60).unwrap(), partition.read_from(176).unwrap());
    // Two that hold on to a place, and never read.
    let (held, untouched) = (partition.read_from(200).unwrap(), partition.read_from(173).unwrap());
    held.check_uncut().unwrap();
    let mut backward = partition.read_backwards(200).unwrap();
    assert_eq!(backward.next().unwrap().unwrap().offset(), 199);
    let kept = partition.get(199).unwrap();
    let old_value = kept.value().unwrap().to_vec();
    partition.truncate_suffix(173).unwrap();
    lab.oracle.split_off(&173);
    append(&partition, &mut lab.oracle, 20, 50, AckLevel::Written);
    untouched.check_uncut().unwrap();
    for _ in 0..2 {
        let told = held.check_uncut();
        assert!(matches!(told, Err(ReadError::Truncated { at, next }) if at == 173 && next == 200), "{told:?}");
    }
    for (name, mut reader, from) in [("inside", inside, 175), ("at a batch", at_batch, 180), ("older", older, 60), ("fresh", fresh, 176)] {
        if from > 173 {
            let told = reader.next();
            assert!(matches!(told, Some(Err(ReadError::Truncated { at, next })) if at == 173 && next == from), "{name}: {told:?}");
            reader.seek(from);
        }
        let found: Oracle = reader.map(|record| record.unwrap()).map(|record| (record.offset().get(), record.value().unwrap().to_vec())).collect();
        let expected: Oracle = lab.oracle.range(from..).map(|(offset, value)| (*offset, value.clone())).collect();
        assert_same(&found, &expected, name);
    }
    let told = backward.next();
    assert!(matches!(told, Some(Err(ReadError::Truncated { at, next })) if at == 173 && next == 199), "{told:?}");
    assert!(backward.next().is_none());
    assert_eq!(kept.value().unwrap(), old_value, "a record that is held stays as it was");
}

#[test]
fn waiting_for_what_was_cut_off_ends() {
    let lab = filled();
    let (_store, partition) = lab.open();
    let mut batch = tidelog::RecordBatch::new();
    batch.push(&Record::new("pending")).unwrap();
    let pending = partition.append_deferred(&batch).unwrap();
    partition.truncate_suffix(100).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(pending.wait()));
    // It was durable before it was cut off.
    let outcome = receiver.recv_timeout(std::time::Duration::from_secs(5)).expect("the wait must end");
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn a_read_only_reader_beside_cuts_sees_the_log_before_or_after() {
    let mut lab = filled();
    let (_store, partition) = lab.open();
    let view = Store::open_read_only(lab.tmp.path()).unwrap().topic(TOPIC).unwrap().partition(0).unwrap().with_isolation(ReadIsolation::Written);
    let mut reader = view.read_from(100).unwrap();
    (100..165).for_each(|offset| assert_eq!(reader.next().unwrap().unwrap().offset(), offset));
    for (at, more) in [(163, 40), (140, 60), (20, 160)] {
        partition.truncate_suffix(at).unwrap();
        lab.oracle.split_off(&at);
        append(&partition, &mut lab.oracle, more, 50 + at as usize, AckLevel::Durable);
        view.refresh().unwrap();
        assert_same(&read_all(&view).0, &lab.oracle, "read-only, after a cut");
        assert_eq!(view.log_end_offset(), partition.log_end_offset());
        let (next, told) = (reader.offset(), reader.next());
        assert!(matches!(told, Some(Err(ReadError::Truncated { at: told, .. })) if told <= at && next > at), "{told:?}");
        reader.seek(at);
        let record = reader.next().unwrap().unwrap();
        assert_eq!((record.offset().get(), record.value().unwrap()), (at, &lab.oracle[&at][..]), "what stands at the cut now");
        assert_eq!(reader.by_ref().take(10).map(Result::unwrap).count(), 10);
    }
    partition.delete_prefix(100).unwrap();
    lab.oracle.retain(|offset, _| *offset >= 100);
    let mut old = view.read_from(30).unwrap();
    view.refresh().unwrap();
    assert!(matches!(old.next(), Some(Err(ReadError::OffsetOutOfRange { earliest, .. })) if earliest == 100));
    assert_same(&read_all(&view).0, &lab.oracle, "read-only, after a prefix was deleted");
}

/// One way for a cut to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dies {
    /// Every call from the n-th on fails, and the store is dropped: the process was killed there.
    FromThenOn,
    /// One call fails; the process goes on.
    Once,
}

/// Runs `cut` on copies of `before` with the n-th call failing, for every n. Afterwards the log must be as before the cut or as after it.
fn crash_at_every_call(before: &Lab, dies: Dies, cut: impl Fn(&Partition) -> Result<(), CutError>, after: &Oracle, log_start: u64) {
    let mut completed = false;
    for nth in 1..400 {
        let copy = tempdir();
        copy_tree(before.tmp.path(), copy.path());
        let mut lab = Lab { tmp: copy, oracle: Oracle::new() };
        let faulty = Faulty::new(Arc::new(Disk::new()));
        let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
        let store = options().storage(storage).open(lab.tmp.path()).unwrap();
        let open = partition(&store).unwrap();
        faulty.reset_counts();
        let fault = Fault::anywhere().nth(nth).error(if nth % 2 == 0 { 5 } else { 28 });
        faulty.inject(if dies == Dies::FromThenOn { fault.from_then_on() } else { fault });
        let outcome = cut(&open);
        let fired = faulty.fired() > 0;
        assert!(outcome.is_ok() || fired, "call {nth}: {outcome:?} without a fault");
        let mut acked = Oracle::new();
        if dies == Dies::Once {
            faulty.heal();
            // What is acknowledged after a cut that failed must be there, whatever became of the cut.
            append_if_open(&open, &mut acked);
        }
        drop((open, store));
        let mut whole = after.clone();
        whole.extend(acked.clone());
        let mut untouched = before.oracle.clone();
        untouched.extend(acked.clone());
        for open in 0..3 {
            let (store, partition) = lab.open();
            let report = partition.recovery_report();
            assert!(report.findings.iter().all(|finding| finding.verdict != Verdict::Damage), "call {nth}, open {open}: {report:#?}");
            let (records, damage) = read_all(partition.view());
            assert_eq!(damage, [], "call {nth}, open {open}");
            if open == 0 {
                let as_after = outcome.is_ok() || records == whole && partition.log_start_offset() == log_start;
                assert_same(&records, if as_after { &whole } else { &untouched }, &format!("{dies:?} at call {nth}, cut gave {outcome:?}"));
                assert_eq!(partition.log_start_offset(), if as_after { log_start } else { 0 }, "call {nth}");
                lab.oracle = records;
            } else {
                assert_same(&records, &lab.oracle, &format!("{dies:?} at call {nth}, open {open}"));
            }
            append(&partition, &mut lab.oracle, 5, 33, AckLevel::Durable);
            store.close().unwrap();
        }
        if !fired {
            completed = true;
            break;
        }
    }
    assert!(completed, "a cut takes fewer calls");
}

fn append_if_open(partition: &Partition, acked: &mut Oracle) {
    for _ in 0..5 {
        let offset = partition.log_end_offset().get();
        let value = value(offset, 44);
        if let Ok(ack) = partition.append(Record::new(&value)) {
            acked.insert(ack.base_offset.get(), value);
        }
    }
}

fn small() -> Lab {
    Lab::closed(|partition, oracle| {
        append(partition, oracle, 100, 1500, AckLevel::Written);
        append_batch(partition, oracle, 10, 100, AckLevel::Written);
    })
}

#[test]
fn a_truncation_that_dies_at_any_call_is_done_or_not() {
    let lab = small();
    for at in [0, 20, 104, 109] {
        let mut after = lab.oracle.clone();
        after.split_off(&at);
        crash_at_every_call(&lab, Dies::FromThenOn, |partition| partition.truncate_suffix(at), &after, 0);
    }
}

#[test]
fn a_truncation_that_fails_at_any_call_loses_nothing_acknowledged_later() {
    let lab = small();
    for at in [20, 104] {
        let mut after = lab.oracle.clone();
        after.split_off(&at);
        crash_at_every_call(&lab, Dies::Once, |partition| partition.truncate_suffix(at), &after, 0);
    }
}

#[test]
fn a_deletion_that_dies_at_any_call_is_done_or_not() {
    let lab = small();
    for at in [20, 90, 110] {
        let after: Oracle = lab.oracle.range(at..).map(|(offset, value)| (*offset, value.clone())).collect();
        crash_at_every_call(&lab, Dies::FromThenOn, |partition| partition.delete_prefix(at), &after, at);
        crash_at_every_call(&lab, Dies::Once, |partition| partition.delete_prefix(at), &after, at);
    }
}

#[test]
fn both_slots_know_of_a_deletion_before_anything_is_unlinked() {
    let lab = small();
    let faulty = Faulty::new(Arc::new(Disk::new()));
    let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
    let store = options().storage(storage).open(lab.tmp.path()).unwrap();
    let partition = partition(&store).unwrap();
    faulty.record_calls();
    partition.delete_prefix(90).unwrap();
    let calls: Vec<Op> = faulty.recorded_calls().iter().map(|call| call.op).filter(|op| matches!(op, Op::Write | Op::Sync | Op::Unlink)).collect();
    let first_unlink = calls.iter().position(|op| *op == Op::Unlink).unwrap();
    assert_eq!(calls[..first_unlink], [Op::Write, Op::Sync, Op::Write, Op::Sync]);
}

/// Found by fuzzing: the cut was done, and then failed at the directory that it tried to remove.
#[test]
fn a_directory_that_is_named_like_a_segment_stays_out_of_a_cut() {
    let lab = small();
    let strange =
        [SegmentId { base_offset: 100, seq: 77 }.log_name(), SegmentId { base_offset: 110, seq: 78 }.index_name()].map(|name| lab.dir().join(name));
    let (store, partition) = lab.open();
    strange.iter().for_each(|path| std::fs::create_dir(path).unwrap());
    partition.truncate_suffix(30).unwrap();
    assert_eq!(partition.append(Record::new("anew")).unwrap().base_offset, 30);
    store.close().unwrap();
    assert!(strange.iter().all(|path| path.is_dir()), "strange files stay as they are");
}

/// A batch that holds fewer records than offsets, as compaction leaves it: found by fuzzing, where a cut inside it numbered its records anew.
#[test]
fn a_batch_with_holes_is_not_cut_in_two() {
    let lab = Lab::closed(|partition, oracle| append_batch(partition, oracle, 3, 100, AckLevel::Durable));
    lab.remove_indexes();
    let segment = &lab.segments()[0];
    segment.rewrite_header(segment.frame_of(0), |header| header.last_offset_delta = 9);
    let (store, partition) = lab.open();
    assert_eq!(partition.log_end_offset(), 10);
    for at in [4, 9] {
        let refused = partition.truncate_suffix(at).unwrap_err();
        assert!(matches!(refused, CutError::NotKept { .. }), "{refused}");
        assert_eq!((read_all(partition.view()).0, partition.log_end_offset().get()), (lab.oracle.clone(), 10), "as it was");
    }
    partition.truncate_suffix(2).unwrap();
    assert_eq!(partition.append(Record::new("anew")).unwrap().base_offset, 2, "records without a hole before them stay");
    store.close().unwrap();
}

/// A log whose first segment is lost, opened and written to a few times, each time in the place where it ended.
fn without_a_head() -> Lab {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
    let first = lab.segments().remove(0);
    std::fs::remove_file(&first.path).unwrap();
    let _ = std::fs::remove_file(first.index_path()); // it may not have been written
    for _ in 0..4 {
        let (store, partition) = lab.open();
        append(&partition, &mut Oracle::new(), 1, 300, AckLevel::Durable);
        drop(partition);
        store.close().unwrap();
    }
    lab
}

#[test]
fn an_old_checkpoint_that_comes_back_cuts_nothing_off() {
    let mut lab = without_a_head();
    let path = lab.dir().join(CHECKPOINT_NAME);
    let old = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    lab.oracle.clear();
    let (store, partition) = lab.open();
    append(&partition, &mut lab.oracle, 10, 300, AckLevel::Durable);
    drop(partition);
    store.close().unwrap();
    std::fs::write(&path, old).unwrap();
    let (_store, partition) = lab.open();
    let (records, _) = read_all(partition.view());
    assert!(lab.oracle.iter().all(|(offset, value)| records.get(offset) == Some(value)), "acknowledged, and gone");
}

#[test]
fn a_cut_is_of_a_higher_term_than_what_it_cuts_off_though_the_checkpoint_was_lost() {
    let lab = without_a_head();
    std::fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    let (store, partition) = lab.open();
    let cut = partition.log_end_offset().get() - 2;
    partition.truncate_suffix(cut).unwrap();
    append(&partition, &mut Oracle::new(), 5, 50, AckLevel::Durable);
    drop(partition);
    store.close().unwrap();
    std::fs::remove_file(&lab.segments().pop().unwrap().path).unwrap();
    let (_store, partition) = lab.open();
    let (records, _) = read_all(partition.view());
    assert_eq!(records.keys().filter(|offset| **offset >= cut).count(), 0, "what was cut off is back");
}

#[test]
fn damage_that_is_found_again_and_again_makes_no_cut_forgotten() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
    let (store, partition) = lab.open();
    partition.truncate_suffix(140).unwrap();
    append(&partition, &mut Oracle::new(), 20, 50, AckLevel::Durable);
    drop(partition);
    store.close().unwrap();
    let (first, tail) = (lab.segments().remove(0), lab.segments().pop().unwrap());
    std::fs::remove_file(&first.path).unwrap();
    for _ in 0..30 {
        let (store, partition) = lab.open();
        append(&partition, &mut Oracle::new(), 1, 50, AckLevel::Durable);
        drop(partition);
        store.close().unwrap();
    }
    std::fs::remove_file(&tail.path).unwrap();
    let (_store, partition) = lab.open();
    let (records, _) = read_all(partition.view());
    assert_eq!(records.iter().filter(|(offset, value)| **offset >= 140 && value.len() == 1000).count(), 0, "what was cut off is back");
}

/// A large frame is written, a small one stored into the map, and the tail that a cut makes was written: both count the same syncs.
#[test]
fn large_batches_follow_a_cut_inside_a_batch() {
    let dir = tempdir();
    let store = StoreOptions::new().sync_policy(SyncPolicy::OsOnly).open(dir.path()).unwrap();
    let log = store.create_topic(TOPIC, 1).unwrap().partition(0).unwrap();
    let append = |value: &[u8], records| {
        let mut batch = RecordBatch::new();
        (0..records).for_each(|_| batch.push(&Record::new(value)).unwrap());
        log.append_batch(&batch, AckLevel::Written).unwrap();
    };
    append(b"small", 10);
    log.flush().unwrap();
    log.truncate_suffix(5).unwrap();
    (0..8).for_each(|_| append(&[7; 100 << 10], 1));
    let sizes: Vec<_> = log.view().read_from(0u64).unwrap().map(|record| record.unwrap().value().map_or(0, <[u8]>::len)).collect();
    assert_eq!(sizes, [vec![5; 5], vec![100 << 10; 8]].concat());
}
