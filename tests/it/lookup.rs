//! Records by their offset, one by one, in logs of every shape: the short way to a record must give what the long way gives, and never
//! another one. How fast it is, the benches say.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use tidelog::{AckLevel, Partition, PartitionView, ReadError, Record, RecordBatch};
use tidelog_format::{ENTRIES_PER_BLOCK, FRAME_HEADER_BYTES, IndexBlock, IndexEntry, IndexHeader, encode_index, index_block_at};

use crate::reading_support::{Home, Random, copy, small};
use crate::support::{Lab, TOPIC, append, options, segments};

/// Records of the batch at an offset, and bytes of their values.
type Shape = Box<dyn FnMut(u64) -> (usize, usize)>;

/// Appends `records` records in batches as `shape` says, and cuts the front and the end off.
fn fill(partition: &Partition, records: u64, mut shape: impl FnMut(u64) -> (usize, usize)) {
    let mut batch = RecordBatch::new();
    while partition.log_end_offset() < records {
        let next = partition.log_end_offset().get();
        let (count, value_bytes) = shape(next);
        batch.clear();
        for number in next..next + count as u64 {
            batch.push(&Record::new(&value(number, value_bytes))).unwrap();
        }
        partition.append_batch(&batch, AckLevel::Written).unwrap();
    }
    partition.delete_prefix(records / 20).unwrap();
    partition.truncate_suffix(records - 5).unwrap();
}

fn value(number: u64, value_bytes: usize) -> Vec<u8> {
    let mut value = vec![number as u8; value_bytes];
    value[..8].copy_from_slice(&number.to_le_bytes());
    value
}

/// Each record by its offset is the one that a reader gives, and nothing is found outside.
fn check(view: &PartitionView) {
    let (start, end) = (view.log_start_offset().get(), view.end_offset().get());
    let mut next = start;
    for record in view.read_from(start).unwrap() {
        let (expected, found) = (record.unwrap(), view.get(next).unwrap());
        assert_eq!((expected.offset(), found.offset()), (next.into(), next.into()));
        assert_eq!((expected.timestamp(), expected.value()), (found.timestamp(), found.value()));
        assert_eq!(found.value().unwrap()[..8], next.to_le_bytes());
        next += 1;
    }
    assert_eq!(next, end);
    for outside in [start.wrapping_sub(1), end, end + 1000] {
        assert!(view.get(outside).is_err(), "{outside}");
    }
}

#[test]
fn every_record_is_where_it_is_looked_for() {
    let mut random = Random::new(11);
    let mut any = move |most: u64| random.below(most) as usize;
    let mut shapes: Vec<(&str, Shape)> = vec![
        ("alike", Box::new(|_| (1, 100))),
        ("alike but for one", Box::new(|number| (1, if number == 700 { 108 } else { 100 }))),
        ("two sizes in turn", Box::new(|number| (1, 100 + number as usize % 2 * 8))),
        ("batches alike", Box::new(|_| (10, 100))),
        ("singles, then batches", Box::new(|number| (if number < 1500 { 1 } else { 7 }, 64))),
        ("anything", Box::new(move |_| (1 + any(9), 8 + any(300)))),
        ("large batches alike", Box::new(|_| (500, 100))),
        ("large batches, each of its size", Box::new(|number| (100 + number as usize % 300, 64))),
    ];
    for (name, shape) in &mut shapes {
        println!("{name}");
        let home = Home::new();
        let (store, partition) = home.partition(small());
        fill(&partition, 3000, shape);
        check(partition.view());
        check(&home.read_only());
        store.close().unwrap();
        drop(partition);
        check(&home.read_only());
        check(home.partition(small()).1.view());
    }
}

/// A large batch is looked at as a whole once, and then where its records stand is known: records of every size, equal in places.
#[test]
fn records_of_large_batches_are_where_they_were_before() {
    let mut random = Random::new(5);
    let home = Home::new();
    let (_store, partition) = home.partition(small().segment_bytes(1 << 20));
    let mut values: Vec<Vec<u8>> = Vec::new();
    for count in [1, 40, 63, 64, 65, 128, 200, 1000, 2500] {
        let mut batch = RecordBatch::new();
        for _ in 0..count {
            let number = values.len() as u64;
            values.push(value(number, 100 + if (number / 50).is_multiple_of(2) { random.below(50) as usize } else { 8 }));
            batch.push(&Record::new(&values[number as usize])).unwrap();
        }
        partition.append_batch(&batch, AckLevel::Written).unwrap();
    }
    for _ in 0..4 * values.len() {
        let offset = random.below(values.len() as u64);
        let record = partition.get(offset).unwrap();
        assert_eq!((record.offset().get(), record.value()), (offset, Some(&values[offset as usize][..])));
    }
}

/// A batch of a hundred records, numbered from `first`.
fn put_hundred(partition: &Partition, first: u64) {
    let mut batch = RecordBatch::new();
    (first..first + 100).for_each(|number| batch.push(&Record::new(&value(number, 100 + number as usize % 7))).unwrap());
    partition.append_batch(&batch, AckLevel::Durable).unwrap();
}

/// Changes a byte of the first record of the batch that begins at `offset`, in the file below the map.
fn rot(store: &Path, offset: u64) {
    let segment = &segments(&store.join("topics/default/t/0"))[0];
    let at = segment.frame_of(offset).position + FRAME_HEADER_BYTES as u64 + 20;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&segment.path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// What was right a moment ago is taken to be right, but not for long: the disk may rot under a page that memory dropped.
#[test]
fn a_large_batch_is_looked_at_again() {
    let home = Home::new();
    let (_store, partition) = home.partition(options());
    [0, 100, 200].into_iter().for_each(|first| put_hundred(&partition, first));
    assert_eq!(partition.get(170).unwrap().value().unwrap()[..8], 170u64.to_le_bytes());
    rot(home.path(), 100);
    std::thread::sleep(Duration::from_millis(1100));
    let found = partition.get(170).map(|record| record.offset());
    assert!(matches!(found, Err(ReadError::Corrupt { from, to, .. }) if (from, to) == (170.into(), 200.into())), "{found:?}");
}

/// A log that lost its end goes on in the same segment, at the same position, with a batch of the same shape: that the one before was right says
/// nothing of it.
#[test]
fn a_batch_in_the_place_of_another_is_another() {
    let home = Home::new();
    let (store, partition) = home.partition(options());
    put_hundred(&partition, 0);
    let before = copy(home.path());
    put_hundred(&partition, 1050);
    assert_eq!(partition.get(170).unwrap().value().unwrap()[..8], 1120u64.to_le_bytes());
    drop((store, partition));
    let store = options().open(before.path()).unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    put_hundred(&partition, 2100);
    rot(before.path(), 100);
    let found = partition.get(170).map(|record| record.offset());
    assert!(matches!(found, Err(ReadError::Corrupt { from, to, .. }) if (from, to) == (170.into(), 200.into())), "{found:?}");
}

/// A copy of a store has all alike, but for what has rotted in it.
#[test]
fn a_batch_that_was_right_in_one_file_is_not_taken_to_be_right_in_its_copy() {
    let home = Home::new();
    let (_store, partition) = home.partition(options());
    [0, 100, 200].into_iter().for_each(|first| put_hundred(&partition, first));
    let backup = copy(home.path());
    rot(backup.path(), 100);
    let store = options().open(backup.path()).unwrap();
    let rotten = store.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(partition.get(170).unwrap().offset(), 170);
    let found = rotten.get(170).map(|record| record.offset());
    assert!(matches!(found, Err(ReadError::Corrupt { .. } | ReadError::OffsetOutOfRange { .. })), "{found:?}");
}

/// A walk over headers believes them: one that lies must not lead to a wrong record, nor hide those behind it for good.
#[test]
fn a_header_that_lies_leads_to_no_wrong_record() {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    // Sizes in turn, so that no guess hits and headers are walked over.
    fill(&partition, 200, |number| (1, 100 + number as usize % 3 * 8));
    let hit = 60;
    let (path, position) = partition.view().locate(hit).unwrap();
    let end = partition.log_end_offset().get();
    store.close().unwrap();
    drop(partition);
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut header = [0; FRAME_HEADER_BYTES];
    file.read_exact_at(&mut header, position.get()).unwrap();
    for bit in 0..FRAME_HEADER_BYTES * 8 {
        let mut bad = header;
        bad[bit / 8] ^= 1 << (bit % 8);
        file.write_all_at(&bad, position.get()).unwrap();
        let view = home.read_only();
        for offset in view.log_start_offset().get()..end {
            match view.get(offset) {
                Ok(record) => assert_eq!(record.value().unwrap()[..8], offset.to_le_bytes(), "bit {bit}"),
                Err(error) => assert_eq!(offset, hit, "bit {bit}: {error}"),
            }
        }
        assert!(view.get(hit).is_err(), "bit {bit}");
    }
}

/// An index under right checksums that speaks of other frames than there are: found by fuzzing, where it hid the records that it did not
/// lead to.
#[test]
fn an_index_that_lies_costs_no_record() {
    let lies: [fn(&mut IndexEntry); 4] = [
        |entry| entry.position += 8,
        |entry| entry.position = u32::MAX - 7,
        |entry| entry.rel_offset = entry.rel_offset.saturating_sub(1),
        |entry| entry.rel_offset /= 2,
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
        let path = lab.segments()[0].index_path();
        let bytes = std::fs::read(&path).unwrap();
        let header = IndexHeader::decode(&bytes).unwrap();
        assert!((10..ENTRIES_PER_BLOCK as u32).contains(&header.entries), "one block");
        let (at, len) = index_block_at(header.entries, 0).unwrap();
        let mut entries: Vec<_> = IndexBlock::decode(&bytes[at.get() as usize..][..len], header.salt, 0).unwrap().entries().collect();
        entries.iter_mut().skip(1).for_each(lie);
        std::fs::write(&path, encode_index(header, &entries)).unwrap();
        for offset in 0..150 {
            // Each time anew: one lookup in a file, before it is worth its memory.
            let view = options().open_read_only(lab.tmp.path()).unwrap().topic(TOPIC).unwrap().partition(0).unwrap();
            let found = view.get(offset).unwrap_or_else(|error| panic!("lie {number}: {error}"));
            assert_eq!(found.value().unwrap(), lab.oracle[&offset], "lie {number}, offset {offset}");
            let read = view.read_from(offset).unwrap().next().unwrap().unwrap();
            assert_eq!(read.offset(), offset, "lie {number}");
        }
        let (_store, partition) = lab.open();
        (0..150).rev().for_each(|offset| assert_eq!(partition.get(offset).unwrap().value().unwrap(), lab.oracle[&offset], "lie {number}"));
    }
}
