//! Repair: what is lost is declared so and nothing else changes, wherever the damage lies, and wherever the repair itself is cut.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidelog::io::fault::{EIO, Fault, Faulty};
use tidelog::io::sim::{Image, NameModel, SimDisk};
use tidelog::io::{Access, Disk, Kind, Storage};
use tidelog::{AckLevel, OnDamage, OpenError, PartitionRepair, PartitionView, RepairAction, StoreOptions, TopicError, Verdict};
use tidelog_format::{QUARANTINE_NAME, SegmentHeader, SegmentId};

use crate::support::{
    Durable, Lab, Oracle, Segment, append, append_batch, assert_same, copy_tree, fingerprint, options, partition, read_all, tempdir,
};

/// A log of 150 records of 1,000 bytes in three segments, closed.
fn closed() -> Lab {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
    assert_eq!(lab.segments().len(), 3);
    lab
}

fn plan(lab: &Lab) -> PartitionRepair {
    options().plan_repair(lab.tmp.path(), None).unwrap().partitions()[0].clone()
}

fn apply(lab: &Lab) -> Vec<PartitionRepair> {
    options().plan_repair(lab.tmp.path(), None).unwrap().apply().unwrap()
}

fn lost(repair: &PartitionRepair) -> Vec<(u64, u64)> {
    repair.lost.iter().map(|range| (range.from, range.to)).collect()
}

fn view(lab: &Lab) -> PartitionView {
    options().open_read_only(lab.tmp.path()).unwrap().topic(crate::support::TOPIC).unwrap().partition(0).unwrap()
}

/// Everything around `lost` is read, and `lost` is damage, declared or not.
fn check_view(view: &PartitionView, readable: &Oracle, lost: &[(u64, u64)], declared: bool, what: &str) {
    let (records, damage) = read_all(view);
    assert_same(&records, readable, what);
    assert_eq!(damage, lost, "{what}");
    let report = view.verify(true, &mut |_| {}).unwrap();
    assert!(report.is_sound() || !declared, "{what}: {report:?}");
    assert_eq!(report.bad_indexes, [""; 0], "{what}");
}

/// Plans, repairs, reads in every way, appends, repairs again: nothing more is found.
fn check(lab: &Lab, damage: &[(u64, u64)]) {
    let end = lab.oracle.len() as u64;
    let mut readable = lab.readable(damage, end);
    let before = fingerprint(lab.tmp.path());
    let planned = plan(lab);
    assert_eq!(lost(&planned), damage, "{planned:#?}");
    assert!(planned.left.is_empty() && !planned.steps.is_empty(), "{planned:#?}");
    assert!(before == fingerprint(lab.tmp.path()), "a plan changed something");
    let done = apply(lab);
    assert_eq!(done.len(), 1);
    assert_eq!((lost(&done[0]), &done[0].left), (damage.to_vec(), &planned.left));
    for round in 0..2 {
        check_view(&view(lab), &readable, damage, true, "read-only");
        assert!(plan(lab).is_empty(), "after the repair: {:#?}", plan(lab));
        let unchanged = fingerprint(&lab.dir());
        assert_eq!(apply(lab), []);
        assert!(unchanged == fingerprint(&lab.dir()), "a second repair changed something");
        // Declared losses are no reason to refuse.
        let store = options().on_damage(OnDamage::Refuse).open(lab.tmp.path()).unwrap();
        let partition = partition(&store).unwrap();
        assert!(!partition.recovery_report().is_notable() || !damage.is_empty(), "{:#?}", partition.recovery_report());
        check_view(partition.view(), &readable, damage, true, "as a writer reads");
        assert_eq!(partition.log_end_offset(), end + round);
        append(&partition, &mut readable, 1, 90, AckLevel::Durable);
        drop(partition);
        store.close().unwrap();
    }
}

/// Whether the bytes are in a file in quarantine, each in one piece.
fn is_kept(lab: &Lab, bytes: &[u8]) -> bool {
    let dir = lab.dir().join(QUARANTINE_NAME);
    let files = fs::read_dir(dir).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    files.into_iter().any(|file| file.windows(bytes.len()).any(|window| window == bytes))
}

fn stored(segment: &Segment, offset: u64) -> Vec<u8> {
    let frame = segment.frame_of(offset);
    segment.bytes()[frame.position as usize..frame.end() as usize - 8].to_vec()
}

#[test]
fn what_needs_no_repair_gets_none() {
    let lab = closed();
    assert!(plan(&lab).is_empty(), "{:#?}", plan(&lab));
    let before = fingerprint(&lab.dir());
    assert_eq!(apply(&lab), []);
    assert!(before == fingerprint(&lab.dir()));
}

/// In the middle, at the beginning and at the end of each segment; the last one is appended to.
#[test]
fn one_damaged_batch_anywhere_is_declared_lost() {
    let segments: Vec<u64> = closed().segments().iter().map(|segment| segment.header.base_offset.get()).collect();
    for offset in [0, 1, 30, segments[1] - 1, segments[1], segments[1] + 1, 90, segments[2] - 1, segments[2], 130, 148, 149] {
        let lab = closed();
        let segment = lab.segments().into_iter().rev().find(|segment| segment.header.base_offset.get() <= offset).unwrap();
        let place = segment.frame_of(offset);
        segment.flip(place.position + 100);
        let bytes = segment.bytes()[place.position as usize..place.end() as usize - 8].to_vec();
        check(&lab, &[(offset, offset + 1)]);
        assert!(is_kept(&lab, &bytes), "the damaged bytes of offset {offset} are gone");
    }
}

#[test]
fn several_places_in_several_segments_are_declared_lost() {
    let lab = closed();
    let damaged = [3, 4, 20, 57, 60, 100, 113, 140];
    let segments = lab.segments();
    let places: Vec<_> = damaged
        .iter()
        .map(|&offset| {
            let segment = segments.iter().rev().find(|segment| segment.header.base_offset.get() <= offset).unwrap();
            (segment, segment.frame_of(offset).position)
        })
        .collect();
    places.iter().for_each(|(segment, position)| segment.flip(position + 100));
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for offset in damaged {
        match ranges.last_mut() {
            // Neighbours in one segment are one place.
            Some(last) if last.1 == offset && segments.iter().all(|segment| segment.header.base_offset != offset) => last.1 = offset + 1,
            _ => ranges.push((offset, offset + 1)),
        }
    }
    check(&lab, &ranges);
}

/// The end of one segment and the beginning of the next, lost at once or one after the other: two segments say so, and it is one gap.
#[test]
fn gaps_that_touch_are_one() {
    for order in 0..3 {
        let lab = closed();
        let [first, second, _] = lab.segments().try_into().unwrap();
        let border = second.header.base_offset.get();
        let places = [(&first, first.frame_of(border - 1).position + 100), (&second, second.frame_of(border).position + 100)];
        match order {
            0 => places.iter().for_each(|(segment, position)| segment.flip(*position)),
            1 | 2 => {
                places[order - 1].0.flip(places[order - 1].1);
                apply(&lab);
                places[2 - order].0.flip(places[2 - order].1);
            }
            _ => unreachable!(),
        }
        let done = apply(&lab);
        assert!(done.iter().all(|partition| partition.left.is_empty()), "order {order}: {done:#?}");
        assert!(plan(&lab).is_empty(), "order {order}: {:#?}", plan(&lab));
        let (_store, partition) = lab.open();
        let report = partition.recovery_report();
        assert!(report.findings.iter().all(|finding| finding.verdict != Verdict::Damage), "order {order}: {report:#?}");
        let (records, damage) = read_all(partition.view());
        assert_same(&records, &lab.readable(&[(border - 1, border + 1)], 150), "around the gap");
        assert_eq!(joined(&damage), [(border - 1, border + 1)]);
        assert!(partition.view().verify(true, &mut |_| {}).unwrap().is_sound(), "order {order}");
    }
}

/// After damage around a range that was declared lost before: all of it is one declared range, and nothing is left.
fn check_grown(lab: &Lab, damage: (u64, u64), what: &str) {
    let done = apply(lab);
    assert!(done.len() == 1 && done[0].left.is_empty(), "{what}: {done:#?}");
    assert!(plan(lab).is_empty(), "{what}: {:#?}", plan(lab));
    let (store, partition) = lab.open();
    let report = partition.recovery_report();
    assert!(report.findings.iter().all(|finding| finding.verdict != Verdict::Damage), "{what}: {report:#?}");
    let (records, found) = read_all(partition.view());
    assert_same(&records, &lab.readable(&[damage], 150), what);
    assert_eq!(joined(&found), [damage], "{what}");
    assert!(partition.view().verify(true, &mut |_| {}).unwrap().is_sound(), "{what}");
    drop(partition);
    store.close().unwrap();
    assert!(plan(lab).is_empty(), "{what}, closed: {:#?}", plan(lab));
}

#[test]
fn damage_right_before_a_declared_range_makes_it_longer() {
    let lab = closed();
    let [first, second, _] = lab.segments().try_into().unwrap();
    let border = second.header.base_offset.get();
    for lost_from in [border - 1, border - 2, border - 5] {
        let damaged = if lost_from == border - 5 { 3 } else { 1 };
        (lost_from..lost_from + damaged).for_each(|offset| first.flip(position_of(&first, &lab.oracle[&offset])));
        check_grown(&lab, (lost_from, border), &format!("lost from {lost_from} on"));
    }
}

/// The segment that declared the range is damaged at its front, and goes.
#[test]
fn damage_right_behind_a_declared_range_makes_it_longer() {
    let lab = closed();
    for offset in 30..34 {
        let holder = lab.segments().into_iter().filter(|segment| segment.header.seq == 1).max_by_key(|segment| segment.header.base_offset).unwrap();
        holder.flip(position_of(&holder, &lab.oracle[&offset]));
        check_grown(&lab, (30, offset + 1), &format!("lost up to {offset}"));
    }
}

/// A file without a header stands where the segment that takes over anew belongs, and an older checkpoint holds recovery from moving it.
#[test]
fn a_segment_without_a_header_is_replaced() {
    let lab = closed();
    let last = lab.segments().pop().unwrap();
    let slots = lab.slots();
    last.flip(last.frame_of(130).position + 100);
    apply(&lab);
    lab.write_slots(&slots);
    let new = lab.dir().join(SegmentId { base_offset: 131, seq: last.header.seq }.log_name());
    let mut bytes = fs::read(&new).unwrap();
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
    fs::write(&new, &bytes).unwrap();
    check_grown(&lab, (130, 131), "declared anew");
    assert!(is_kept(&lab, &bytes[..128]), "what stood there is gone");
}

/// A reader that was there before the repair reads on, also where its segment has gone to quarantine.
#[test]
fn a_reader_beside_a_repair_reads_on() {
    for offset in [0, 30, 149] {
        let lab = closed();
        let segment = lab.segments().into_iter().rev().find(|segment| segment.header.base_offset.get() <= offset).unwrap();
        segment.flip(segment.frame_of(offset).position + 100);
        let damage = [(offset, offset + 1)];
        let (before, untouched) = (view(&lab), view(&lab));
        let mut reader = before.read_from(60).unwrap();
        assert_eq!(reader.next().unwrap().unwrap().offset(), 60);
        let mut standing = before.read_from(100).unwrap();
        assert_eq!(standing.next().unwrap().unwrap().offset(), 100);
        apply(&lab);
        let rest = reader.filter(Result::is_ok).count() as u64;
        assert_eq!(rest, 150 - 61 - u64::from(offset > 60), "from 61 on, without offset {offset}");
        check_view(&before, &lab.readable(&damage, 150), &damage, false, "a view that had read");
        check_view(&untouched, &lab.readable(&damage, 150), &damage, false, "a view that had not");
        before.refresh().unwrap();
        check_view(&before, &lab.readable(&damage, 150), &damage, true, "refreshed");
        // It stands in the list of before, and what it read is still there.
        let rest: Vec<_> = standing.by_ref().take_while(|record| record.as_ref().is_ok_and(|record| record.offset() < 149)).collect();
        assert_eq!(rest.len() as u64, 149 - 100 - 1, "from 101 on: {:?}", rest.last());
    }
}

/// What was repaired may be damaged again, in any of the segments that the repair made.
#[test]
fn a_repaired_log_can_be_repaired_again() {
    let lab = closed();
    let second = lab.segments()[1].header.base_offset.get();
    let mut damage = Vec::new();
    for offset in [second + 20, second + 40, second + 5, second + 30] {
        let holder = lab.segments().into_iter().rev().find(|segment| {
            let base = segment.header.base_offset.get();
            base <= offset && segment.header.seq == 2
        });
        let holder = holder.into_iter().chain(lab.segments().into_iter().filter(|segment| segment.header.seq == 2)).max_by_key(|segment| {
            let base = segment.header.base_offset.get();
            if base <= offset { base } else { 0 }
        });
        let segment = holder.unwrap();
        let position = position_of(&segment, &lab.oracle[&offset]);
        segment.flip(position);
        damage.push((offset, offset + 1));
        damage.sort_unstable();
        let planned = plan(&lab);
        assert_eq!(lost(&planned), [(offset, offset + 1)], "{planned:#?}");
        let done = apply(&lab);
        assert!(done[0].left.is_empty(), "{done:#?}");
        check_view(&view(&lab), &lab.readable(&damage, 150), &damage, true, "repaired again");
    }
    assert!(plan(&lab).is_empty());
}

fn position_of(segment: &Segment, bytes: &[u8]) -> u64 {
    segment.bytes().windows(bytes.len()).position(|window| window == bytes).unwrap() as u64
}

#[test]
fn a_segment_that_is_gone_or_has_no_header_is_declared_lost() {
    for how in 0..3 {
        let lab = closed();
        let [first, second, third] = lab.segments().try_into().unwrap();
        let bytes = stored(&second, second.header.base_offset.get() + 3);
        match how {
            0 => fs::remove_file(&second.path).unwrap(),
            // No header, and no frame to tell it by.
            1 => second.edit(|bytes| bytes.iter_mut().for_each(|byte| *byte = !*byte)),
            _ => second.edit(|bytes| bytes.fill(0)),
        }
        fs::remove_file(second.index_path()).unwrap();
        check(&lab, &[(second.header.base_offset.get(), third.header.base_offset.get())]);
        let mut inverted = bytes;
        inverted.iter_mut().for_each(|byte| *byte = !*byte);
        assert_eq!(how == 1, lab.dir().join(QUARANTINE_NAME).exists() && is_kept(&lab, &inverted), "case {how}");
        assert_eq!(first.header.seq, 1);
    }
}

/// Only the seal is damaged: no record is lost.
#[test]
fn a_damaged_seal_is_taken_off() {
    let lab = closed();
    let first = &lab.segments()[0];
    let seal = first.seal();
    first.flip(seal.position + 70);
    let bytes = first.bytes()[seal.position as usize..seal.position as usize + 120].to_vec();
    lab.remove_indexes();
    let planned = plan(&lab);
    assert!(planned.lost.is_empty() && planned.steps.iter().any(|step| step.action == RepairAction::Trim), "{planned:#?}");
    check(&lab, &[]);
    assert!(is_kept(&lab, &bytes));
}

/// What no writer left behind the capacity of a segment stays there.
#[test]
fn a_damaged_seal_is_taken_off_in_front_of_what_is_too_long() {
    let lab = closed();
    let first = &lab.segments()[0];
    let (seal, capacity) = (first.seal().position as usize, first.header.capacity as usize);
    first.flip(seal as u64 + 70);
    first.edit(|bytes| {
        bytes.resize(capacity, 0);
        bytes.extend([0xAB; 5000]);
    });
    let bytes = first.bytes()[seal..seal + 120].to_vec();
    lab.remove_indexes();
    let done = apply(&lab);
    assert!(done.len() == 1 && done[0].steps.iter().any(|step| step.action == RepairAction::Trim), "{done:#?}");
    assert!(is_kept(&lab, &bytes));
    assert!(first.bytes()[seal..capacity].iter().all(|&byte| byte == 0), "the seal is still there");
    assert!(first.bytes()[capacity..] == [0xAB; 5000], "{} bytes behind the capacity", first.bytes().len() - capacity);
    check_view(&view(&lab), &lab.oracle, &[], true, "repaired");
    assert!(plan(&lab).is_empty(), "{:#?}", plan(&lab));
    assert_eq!(apply(&lab), []);
}

/// A batch of many records is lost whole, with its neighbours left.
#[test]
fn a_batch_is_lost_whole() {
    let lab = Lab::closed(|partition, oracle| {
        append(partition, oracle, 5, 200, AckLevel::Durable);
        append_batch(partition, oracle, 40, 200, AckLevel::Durable);
        append(partition, oracle, 5, 200, AckLevel::Durable);
    });
    lab.segments()[0].flip_body(20);
    check(&lab, &[(5, 45)]);
}

/// Cuts in, before and behind a range that a repair declared lost: what stays of it stays declared.
#[test]
fn cuts_around_a_declared_range_keep_it_declared() {
    for at in [20, 29, 30, 31, 35, 40, 41] {
        let lab = Lab::closed(|partition, oracle| {
            append(partition, oracle, 30, 200, AckLevel::Durable);
            append_batch(partition, oracle, 10, 200, AckLevel::Durable);
            append(partition, oracle, 20, 200, AckLevel::Durable);
        });
        lab.segments()[0].flip_body(33);
        apply(&lab);
        let (store, partition) = lab.open();
        partition.truncate_suffix(at).unwrap();
        drop(partition);
        store.close().unwrap();
        let damage = if at > 30 { vec![(30, at.min(40))] } else { Vec::new() };
        check_view(&view(&lab), &lab.readable(&damage, at), &damage, true, &format!("cut at {at}"));
        let (_store, partition) = lab.open();
        assert_eq!(partition.log_end_offset(), at);
        check_view(partition.view(), &lab.readable(&damage, at), &damage, true, &format!("cut at {at}, opened"));
    }
    let lab = closed();
    lab.segments()[0].flip_body(20);
    apply(&lab);
    let (store, partition) = lab.open();
    partition.delete_prefix(60).unwrap();
    drop(partition);
    store.close().unwrap();
    let readable: Oracle = lab.oracle.clone().into_iter().filter(|(offset, _)| *offset >= 60).collect();
    check_view(&view(&lab), &readable, &[], true, "behind a deleted prefix");
}

#[test]
fn a_store_that_is_open_is_not_repaired() {
    let lab = closed();
    let (_store, _partition) = lab.open();
    let refused = options().plan_repair(lab.tmp.path(), None);
    assert!(matches!(refused, Err(TopicError::Open(OpenError::Locked { .. }))), "{refused:?}");
}

/// Damage in a rewrite, which is newer than the segments behind it: whatever declared its loss would outrank those, and lose them too.
#[test]
fn damage_that_cannot_be_declared_is_left() {
    let lab = closed();
    let [_, second, third] = lab.segments().try_into().unwrap();
    let offset = second.header.base_offset.get() + 9;
    second.flip_body(offset);
    let header = SegmentHeader { seq: 9, rewrite_end: Some(third.header.base_offset), ..second.header };
    second.edit(|bytes| bytes[..128].copy_from_slice(&header.encode()));
    lab.remove_indexes();
    fs::rename(&second.path, lab.dir().join(SegmentId { base_offset: second.id().base_offset, seq: 9 }.log_name())).unwrap();
    let damage = [(offset, offset + 1)];
    check_view(&view(&lab), &lab.readable(&damage, 150), &damage, false, "before");
    let planned = plan(&lab);
    assert_eq!((lost(&planned), planned.left.len()), (damage.to_vec(), 1), "{planned:#?}");
    assert_eq!(apply(&lab)[0].left, planned.left);
    check_view(&view(&lab), &lab.readable(&damage, 150), &damage, false, "afterwards");
    // It holds nothing else up.
    lab.segments()[0].flip_body(3);
    let damage = [(3, 4), damage[0]];
    let done = apply(&lab);
    assert_eq!((lost(&done[0]), &done[0].left), (damage.to_vec(), &planned.left), "{done:#?}");
    let planned = plan(&lab);
    assert_eq!((lost(&planned), planned.steps.len(), planned.left.len()), (damage[1..].to_vec(), 0, 1), "{planned:#?}");
    check_view(&view(&lab), &lab.readable(&damage, 150), &damage, false, "the other place is declared");
}

/// Each call of a repair fails once. Whatever was done by then is whole, and the next repair does the rest.
#[test]
fn any_call_of_a_repair_may_fail() {
    let damaged = Lab::closed(|partition, oracle| append(partition, oracle, 70, 1000, AckLevel::Durable));
    let damage = [(0, 1), (30, 31), (69, 70)];
    let segments = damaged.segments();
    let places = [(0, 0), (0, 30), (1, 69)].map(|(number, offset): (usize, u64)| (number, segments[number].frame_of(offset).position + 100));
    places.into_iter().for_each(|(number, position)| segments[number].flip(position));
    for nth in 1.. {
        let lab = Lab { tmp: tempdir(), oracle: damaged.oracle.clone() };
        copy_tree(damaged.tmp.path(), lab.tmp.path());
        let faulty = Faulty::new(Arc::new(Disk::new()));
        let planned = options().storage(Arc::new(faulty.clone())).plan_repair(lab.tmp.path(), None).unwrap();
        faulty.inject(Fault::anywhere().nth(nth).error(EIO));
        let outcome = planned.apply();
        if faulty.fired() == 0 {
            assert!(outcome.is_ok() && nth > 100, "{nth} calls: {outcome:?}");
            return;
        }
        faulty.heal();
        // Some calls are for derived files alone: they may fail.
        let what = format!("call {nth}");
        check_view(&view(&lab), &lab.readable(&damage, 70), &damage, outcome.is_ok(), &what);
        let again = apply(&lab);
        assert!(again.iter().all(|partition| partition.left.is_empty()), "{what}: {again:#?}");
        check_view(&view(&lab), &lab.readable(&damage, 70), &damage, true, &format!("{what}, repaired"));
    }
}

/// The first segment is lost: there is nothing before it that could say so.
#[test]
fn a_lost_head_is_left_and_told() {
    let lab = closed();
    let (first, second) = (&lab.segments()[0], lab.segments()[1].header.base_offset.get());
    fs::remove_file(&first.path).unwrap();
    fs::remove_file(first.index_path()).unwrap();
    let planned = plan(&lab);
    assert_eq!((lost(&planned), planned.left.len()), (vec![(0, second)], 1), "{planned:#?}");
    let done = apply(&lab);
    assert_eq!(done[0].left.len(), 1);
    check_view(&view(&lab), &lab.readable(&[(0, second)], 150), &[(0, second)], false, "without a head");
}

/// A torn end, and an end that is lost: any open for writing settles them, and the plan says so.
#[test]
fn what_an_open_puts_right_is_told_and_done() {
    for durable in [Durable::Before(5), Durable::Everything] {
        let lab = Lab::ten_records(durable);
        let segment = &lab.segments()[0];
        let from = segment.frame_of(7).position as usize;
        segment.edit(|bytes| bytes[from..from + 80].fill(0xA5));
        segment.edit(|bytes| bytes[from + 80..].fill(0));
        let damage: &[(u64, u64)] = if matches!(durable, Durable::Everything) { &[(7, 10)] } else { &[] };
        let planned = plan(&lab);
        assert_eq!((lost(&planned), planned.left.len()), (damage.to_vec(), 0), "{planned:#?}");
        assert!(planned.steps.iter().all(|step| step.action == RepairAction::Recover) && !planned.steps.is_empty(), "{planned:#?}");
        assert_eq!(lost(&apply(&lab)[0]), damage);
        assert!(plan(&lab).is_empty(), "{:#?}", plan(&lab));
        let end = if damage.is_empty() { 7 } else { 10 };
        check_view(&view(&lab), &lab.readable(damage, end), damage, true, "afterwards");
    }
}

/// A closed log whose first segment is that of another one, as `edit` makes it.
fn of_two_histories(edit: impl FnOnce(&Segment, &mut Vec<u8>)) -> Lab {
    let lab = closed();
    // With other times, or it would be the same history.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let other = closed();
    let (ours, theirs) = (lab.segments().remove(0), other.segments().remove(0));
    let header = SegmentHeader { partition_uuid: ours.header.partition_uuid, ..theirs.header };
    let mut bytes = theirs.bytes();
    bytes[..128].copy_from_slice(&header.encode());
    edit(&theirs, &mut bytes);
    fs::write(&ours.path, bytes).unwrap();
    lab.remove_indexes();
    lab
}

/// A segment was written behind other records than those before it now: every batch is right, and no segment can say better.
#[test]
fn a_segment_of_another_history_is_left() {
    let lab = of_two_histories(|_, _| {});
    let planned = plan(&lab);
    assert_eq!((planned.lost.len(), planned.left.len()), (0, 1), "{planned:#?}");
    let done = apply(&lab);
    assert_eq!(done[0].left, planned.left);
    let (records, damage) = read_all(&view(&lab));
    assert_same(&records, &lab.oracle, "all of it is read");
    assert!(damage.is_empty() && !view(&lab).verify(true, &mut |_| {}).unwrap().is_sound());
    assert_eq!(plan(&lab).left, planned.left);
}

/// Nor is there a bad seal where there is none, though that segment is longer than a writer makes it.
#[test]
fn a_segment_of_another_history_without_a_seal_is_left() {
    for excess in [0, 100] {
        let lab = of_two_histories(|segment, bytes| {
            bytes[segment.seal().position as usize..].fill(0);
            bytes.resize(segment.header.capacity as usize, 0);
            bytes.extend(vec![1; excess]);
        });
        let planned = plan(&lab);
        assert!(planned.steps.iter().all(|step| step.action != RepairAction::Trim) && planned.left.len() == 1, "{planned:#?}");
        assert_eq!(apply(&lab)[0].left, planned.left);
        assert_eq!(plan(&lab).left, planned.left);
        assert_same(&read_all(&view(&lab)).0, &lab.oracle, "all of it is read");
    }
}

/// Random logs with random damage: what could be read before is read after, what could not is known to be lost, and the log lives on.
#[test]
fn whatever_is_damaged_is_declared() {
    let mut repaired = 0;
    for seed in seeds() {
        let mut random = Random(seed);
        let mut lab = random_log(&mut random);
        let segments = lab.segments();
        for _ in 0..=random.below(6) {
            let number = random.below(segments.len() as u64) as usize;
            damage_somewhere(&mut random, &segments[number]);
        }
        // An open settles what it can: what it serves is what there is.
        let (store, partition) = lab.open();
        let (readable, damage) = read_all(partition.view());
        let end = partition.log_end_offset();
        drop(partition);
        store.close().unwrap();
        assert!(readable.iter().all(|(offset, value)| lab.oracle.get(offset) == Some(value)), "seed {seed}");
        let needed = !plan(&lab).is_empty();
        let done = apply(&lab);
        let left: Vec<_> = done.iter().flat_map(|partition| &partition.left).collect();
        let what = format!("seed {seed}, {damage:?}, left {left:?}");
        let joined = joined(&damage);
        let after = read_all(&view(&lab));
        assert_same(&after.0, &readable, &what);
        assert_eq!((self::joined(&after.1), view(&lab).log_end_offset()), (joined.clone(), end), "{what}");
        assert_eq!(view(&lab).verify(true, &mut |_| {}).unwrap().is_sound(), left.is_empty(), "{what}");
        assert!(!left.is_empty() || plan(&lab).is_empty(), "{what}: {:#?}", plan(&lab));
        repaired += u64::from(needed && left.is_empty());
        lives_on(&mut random, &mut lab, readable, &joined, left.is_empty(), &what);
    }
    assert!(repaired * 2 > seeds().count() as u64, "{repaired} of {} were repaired", seeds().count());
}

/// `TIDELOG_REPAIR_SEEDS` is how many.
fn seeds() -> std::ops::Range<u64> {
    0..std::env::var("TIDELOG_REPAIR_SEEDS").map_or(24, |count| count.parse().unwrap())
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A closed log of some segments, with batches, cuts and reopens in its past.
fn random_log(random: &mut Random) -> Lab {
    let mut lab = Lab::closed(|partition, oracle| append(partition, oracle, 1, 100, AckLevel::Durable));
    for _ in 0..=random.below(3) {
        let (store, partition) = lab.open();
        for _ in 0..=random.below(12) {
            let (count, len) = (1 + random.below(30), [20, 500, 2000, 5000][random.below(4) as usize]);
            let level = if random.below(2) == 0 { AckLevel::Durable } else { AckLevel::Written };
            match random.below(10) {
                0 => {
                    let at = partition.log_start_offset().get() + random.below(8);
                    let at = at.min(partition.log_end_offset().get());
                    partition.delete_prefix(at).unwrap();
                    lab.oracle.retain(|offset, _| *offset >= at);
                }
                1 => {
                    let at = partition.log_end_offset().get().saturating_sub(random.below(8)).max(partition.log_start_offset().get());
                    partition.truncate_suffix(at).unwrap();
                    lab.oracle.split_off(&at);
                }
                2..=5 => append_batch(&partition, &mut lab.oracle, count, len, level),
                _ => append(&partition, &mut lab.oracle, count.min(12), len, level),
            }
        }
        drop(partition);
        store.close().unwrap();
    }
    lab
}

fn damage_somewhere(random: &mut Random, segment: &Segment) {
    segment.edit(|bytes| {
        let len = bytes.len() as u64;
        let from = if random.below(4) == 0 { random.below(len) } else { random.below(len.saturating_sub(128).max(1)) + 128.min(len - 1) } as usize;
        let from = from.min(bytes.len() - 1);
        let to = (from + [1, 1, 60, 4000][random.below(4) as usize]).min(bytes.len());
        match random.below(3) {
            0 => bytes[from] ^= 1 << random.below(8),
            1 => bytes[from..to].fill(0),
            _ => bytes[from..to].iter_mut().for_each(|byte| *byte = random.below(256) as u8),
        }
    });
}

/// Ranges that touch are one.
fn joined(ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for &(from, to) in ranges {
        match joined.last_mut() {
            Some(last) if last.1 >= from => last.1 = to,
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// Appends, a cut at a random place, and opens: what was lost stays lost and known, and nothing comes back.
fn lives_on(random: &mut Random, lab: &mut Lab, mut readable: Oracle, damage: &[(u64, u64)], is_sound: bool, what: &str) {
    let (store, partition) = lab.open();
    append(&partition, &mut readable, 5, 700, AckLevel::Durable);
    let (start, end) = (partition.log_start_offset().get(), partition.log_end_offset().get());
    let cut = start + random.below(end - start + 1);
    let (from, to) = match random.below(3) {
        0 => {
            partition.delete_prefix(cut).unwrap();
            (cut, end)
        }
        1 => match partition.truncate_suffix(cut) {
            Ok(()) => (start, cut),
            Err(error) => panic!("{what}: {error}"),
        },
        _ => (start, end),
    };
    drop(partition);
    store.close().unwrap();
    readable.retain(|offset, _| from <= *offset && *offset < to);
    let damage: Vec<(u64, u64)> = damage.iter().map(|range| (range.0.max(from), range.1.min(to))).filter(|(from, to)| from < to).collect();
    for open in 0..2 {
        let (store, partition) = lab.open();
        let (records, found) = read_all(partition.view());
        let what = format!("{what}, then {from}..{to}, open {open}");
        assert_same(&records, &readable, &what);
        assert_eq!((joined(&found), partition.log_end_offset().get()), (damage.clone(), to + open), "{what}");
        assert!(!is_sound || partition.view().verify(true, &mut |_| {}).unwrap().is_sound(), "{what}");
        append(&partition, &mut readable, 1, 90, AckLevel::Durable);
        drop(partition);
        store.close().unwrap();
    }
}

// Cut after every call.

const STORE: &str = "/store";

fn on(disk: &SimDisk) -> StoreOptions {
    options().storage(Arc::new(disk.clone())).without_threads()
}

fn edit(disk: &SimDisk, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let file = disk.open(path, Access::ReadWrite).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    edit(&mut bytes);
    assert_eq!(file.write_at(&bytes, 0).unwrap(), bytes.len());
    file.sync().unwrap();
}

fn segment_paths(disk: &SimDisk) -> Vec<PathBuf> {
    let dir = Path::new(STORE).join("topics/default/t/0");
    let entries = disk.list(&dir).unwrap().into_iter().filter(|entry| entry.kind == Kind::File).map(|entry| dir.join(entry.name));
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    paths.sort();
    paths
}

/// Where each record of 700 bytes stands in its segment file: they are told by their text.
fn damage_at(disk: &SimDisk, oracle: &Oracle, offsets: &[u64]) -> Vec<Vec<u8>> {
    let mut damaged = Vec::new();
    for path in segment_paths(disk) {
        edit(disk, &path, |bytes| {
            for offset in offsets {
                let value = &oracle[offset];
                if let Some(at) = bytes.windows(value.len()).position(|window| window == value) {
                    bytes[at + 40] ^= 1;
                    damaged.push(bytes[at..at + value.len()].to_vec());
                }
            }
        });
    }
    damaged
}

fn holds(image: &Image, bytes: &[u8]) -> bool {
    image.files().any(|(_, file)| file.windows(bytes.len()).any(|window| window == bytes))
}

#[test]
fn a_repair_may_be_cut_after_any_call() {
    let mut cuts_seen = 0;
    for (seed, offsets) in [(1, vec![5, 6, 30]), (2, vec![0, 62, 69]), (3, vec![0, 40, 65])] {
        let names = if seed % 2 == 0 { NameModel::Strict } else { NameModel::Journal };
        let (disk, mut oracle) = (SimDisk::new(seed, names), Oracle::new());
        let store = on(&disk).open(STORE).unwrap();
        append(&partition(&store).unwrap(), &mut oracle, 70, 1000, AckLevel::Durable);
        store.run_background();
        store.close().unwrap();
        let damaged = damage_at(&disk, &oracle, &offsets);
        assert_eq!(damaged.len(), offsets.len());
        let readable: Oracle = oracle.clone().into_iter().filter(|(offset, _)| !offsets.contains(offset)).collect();
        let check_disk = |disk: &SimDisk, declared: bool, what: &str| {
            let view = on(disk).open_read_only(STORE).unwrap().topic(crate::support::TOPIC).unwrap().partition(0).unwrap();
            let (records, damage) = read_all(&view);
            assert_same(&records, &readable, what);
            let lost: Vec<u64> = damage.iter().flat_map(|&(from, to)| from..to).collect();
            assert_eq!(lost, offsets, "{what}");
            assert!(!declared || view.verify(true, &mut |_| {}).unwrap().is_sound(), "{what}");
        };
        disk.watch(1);
        let done = on(&disk).plan_repair(STORE, None).unwrap().apply().unwrap();
        disk.watch(0);
        assert!(done[0].left.is_empty(), "{done:#?}");
        check_disk(&disk, true, "repaired");
        for cut in disk.take_cuts() {
            let what = format!("seed {seed}, cut after call {}, power {}", cut.call, cut.is_power);
            let is_looked_through = cut.call % 4 == 0; // it takes long
            assert!(!is_looked_through || damaged.iter().all(|bytes| holds(&cut.image, bytes)), "{what}: damaged bytes are gone");
            let left = cut.image.disk(cut.call, names);
            check_disk(&left, false, &format!("{what}, read-only"));
            // An ordinary open, then the repair again; or the repair at once.
            if cut.call % 2 == 0 {
                let store = on(&left).open(STORE).unwrap();
                let log = partition(&store).unwrap();
                assert_eq!(log.log_end_offset(), 70, "{what}");
                drop(log);
                store.close().unwrap();
                check_disk(&left, false, &format!("{what}, opened"));
            }
            let again = on(&left).plan_repair(STORE, None).unwrap().apply().unwrap();
            assert!(again.iter().all(|partition| partition.left.is_empty()), "{what}: {again:#?}");
            check_disk(&left, true, &format!("{what}, repaired again"));
            let is_kept = !is_looked_through || damaged.iter().all(|bytes| holds(&left.image(), bytes));
            assert!(is_kept, "{what}: damaged bytes are gone in the end");
            assert!(on(&left).plan_repair(STORE, None).unwrap().partitions()[0].is_empty(), "{what}");
            cuts_seen += 1;
        }
    }
    assert!(cuts_seen > 150, "{cuts_seen} cuts");
}

/// What was declared lost stays so, and nothing else is lost, wherever the log is cut that lives on behind a repair.
#[test]
fn a_repaired_log_may_be_cut_after_any_call() {
    let (mut cuts_seen, lost) = (0, [0, 5, 6, 62, 69]);
    for (seed, names) in [(1, NameModel::Strict), (2, NameModel::Journal)] {
        let (disk, mut old) = (SimDisk::new(seed, names), Oracle::new());
        let store = on(&disk).open(STORE).unwrap();
        append(&partition(&store).unwrap(), &mut old, 70, 1000, AckLevel::Durable);
        store.run_background();
        store.close().unwrap();
        damage_at(&disk, &old, &lost);
        on(&disk).plan_repair(STORE, None).unwrap().apply().unwrap();
        disk.watch(1);
        let store = on(&disk).open(STORE).unwrap();
        let log = partition(&store).unwrap();
        // Of other lengths: each generation of an offset is told apart.
        append(&log, &mut old, 20, 900, AckLevel::Durable);
        log.delete_prefix(6).unwrap();
        log.truncate_suffix(63).unwrap();
        let mut new: Oracle = old.clone().into_iter().filter(|(offset, _)| *offset < 63).collect();
        append(&log, &mut new, 30, 1100, AckLevel::Durable);
        store.run_background();
        store.close().unwrap();
        disk.watch(0);
        disk.cut_here();
        for cut in disk.take_cuts() {
            let what = format!("seed {seed}, cut after call {}, power {}", cut.call, cut.is_power);
            let left = cut.image.disk(cut.call, names);
            let store = on(&left).open(STORE).unwrap();
            let log = partition(&store).unwrap();
            let report = log.recovery_report();
            assert!(report.findings.iter().all(|finding| finding.verdict != Verdict::Damage), "{what}: {report:#?}");
            let (records, damage) = read_all(log.view());
            for (offset, value) in &records {
                assert!(old.get(offset) == Some(value) || new.get(offset) == Some(value), "{what}: offset {offset} holds something else");
            }
            let (start, end) = (log.log_start_offset().get(), log.log_end_offset().get());
            assert!((start == 0 || start == 6) && end >= 63, "{what}: {start}..{end}");
            let missing: Vec<u64> = (start..end).filter(|offset| !records.contains_key(offset)).collect();
            let expected: Vec<u64> = lost.into_iter().filter(|offset| start <= *offset && *offset < end && !records.contains_key(offset)).collect();
            assert_eq!(missing, expected, "{what}");
            assert_eq!(damage.iter().flat_map(|&(from, to)| from..to).collect::<Vec<_>>(), expected, "{what}");
            assert!(log.view().verify(true, &mut |_| {}).unwrap().is_sound(), "{what}");
            cuts_seen += 1;
        }
    }
    assert!(cuts_seen > 100, "{cuts_seen} cuts");
}
