//! Where reading begins and ends: ranges, starts, isolation, cuts, and records that outlive what they were read from.

use std::time::{Duration, Instant};

use tidelog::io::fault::{Fault, Op};
use tidelog::{AckLevel, CutError, PartitionView, ReadError, ReadIsolation, Record, RecordBatch, Start, StoreOptions, SyncPolicy};

use crate::reading_support::{Home, append_numbered, batch, check_numbered, faulty, numbered, small, ts};
use crate::support::{mapped_kib, segments};

fn out_of_range<T>(result: Result<T, ReadError>, requested: u64, earliest: u64, latest: u64) {
    match result {
        Err(ReadError::OffsetOutOfRange { requested: asked, earliest: low, latest: high }) => {
            assert_eq!((asked.get(), low.get(), high.get()), (requested, earliest, latest));
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("{requested} is not out of range"),
    }
}

/// A reader that reads by calls sees a header, its blocks and its body one after the other, wherever the end of what it holds is.
#[test]
fn batches_with_notes_are_read_without_a_map() {
    for lead in (6000..7200).step_by(64) {
        let home = Home::new();
        let (faulty, options) = faulty();
        faulty.allow_mapping(false);
        let (_store, partition) = home.partition(options.sync_policy(SyncPolicy::OsOnly));
        partition.append_with(Record::new(&vec![1; lead]), AckLevel::Written).unwrap();
        let mut batch = RecordBatch::new();
        batch.push(&Record::new(&vec![2; 100_000])).unwrap();
        batch.set_note(Some(&[3; 1000])).unwrap();
        partition.append_batch(&batch, AckLevel::Written).unwrap();
        let found: Vec<_> = partition.read_from(0).unwrap().map(|record| record.map(|record| record.value().unwrap().len())).collect();
        assert!(matches!(found[..], [Ok(first), Ok(100_000)] if first == lead), "{lead}: {found:?}");
    }
}

#[test]
fn ranges_have_ends() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    out_of_range(partition.get(0), 0, 0, 0);
    assert_eq!(partition.read_from(0).unwrap().count(), 0);
    assert_eq!(partition.read_backwards(0).unwrap().count(), 0);
    assert_eq!(partition.view().offset_for_time(ts(i64::MIN)).unwrap(), None);
    append_numbered(&partition, 0..1000);
    partition.delete_prefix(300).unwrap();
    for view in [partition.view().clone(), home.read_only()] {
        out_of_range(view.get(299), 299, 300, 1000);
        out_of_range(view.get(1000), 1000, 300, 1000);
        out_of_range(view.get(u64::MAX), u64::MAX, 300, 1000);
        out_of_range(view.read_from(1001), 1001, 300, 1000);
        out_of_range(view.read_from(0), 0, 300, 1000);
        out_of_range(view.read(Start::Offset(299.into())), 299, 300, 1000);
        out_of_range(view.read_backwards(299), 299, 300, 1000);
        out_of_range(view.batches_backwards(1001), 1001, 300, 1000);
        assert_eq!(view.read_from(1000).unwrap().count(), 0);
        assert_eq!(view.read_backwards(300).unwrap().count(), 0);
        assert_eq!(check_numbered(&view, 300), 1000);
        let backwards: Vec<_> = view.read_backwards(1000).unwrap().map(|record| record.unwrap().offset().get()).collect();
        assert!(backwards.into_iter().eq((300..1000).rev()));
    }
}

#[test]
fn starts() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    for number in 0..500u64 {
        partition.append_with(Record::new(&numbered(number)).timestamp(ts(number as i64 * 10)), AckLevel::Written).unwrap();
    }
    partition.delete_prefix(100).unwrap();
    for view in [partition.view().clone(), home.read_only()] {
        let offset = |start| view.read(start).unwrap().offset().get();
        assert_eq!((offset(Start::Earliest), offset(Start::Latest), offset(Start::Offset(123.into()))), (100, 500, 123));
        assert_eq!((offset(Start::Last(0)), offset(Start::Last(7)), offset(Start::Last(400)), offset(Start::Last(u64::MAX))), (500, 493, 100, 100));
        assert_eq!((offset(Start::Time(ts(0))), offset(Start::Time(ts(2991))), offset(Start::Time(ts(4991)))), (100, 300, 500));
        assert_eq!(view.read(Start::Last(7)).unwrap().count(), 7);
    }
}

#[test]
fn a_reader_goes_on_where_it_ended() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let mut reader = partition.read(Start::Earliest).unwrap();
    for number in 0..3000 {
        assert!(reader.next().is_none() && reader.next().is_none());
        append_numbered(&partition, number..number + 1);
        assert_eq!(reader.next().unwrap().unwrap().value().unwrap(), numbered(number));
    }
    reader.seek(10);
    assert_eq!(reader.next().unwrap().unwrap().offset().get(), 10);
    reader.seek(5000);
    out_of_range(reader.next().unwrap(), 5000, 0, 3000);
    assert!(reader.next().is_none());
}

#[test]
fn reading_from_inside_a_batch() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    partition.append_batch(&batch(&["a", "b", "c", "d"]), AckLevel::Written).unwrap();
    partition.append_batch(&batch(&["e", "f"]), AckLevel::Written).unwrap();
    partition.delete_prefix(2).unwrap();
    let values = |view: &PartitionView, from: u64| -> String {
        view.read_from(from).unwrap().map(|record| String::from_utf8(record.unwrap().value().unwrap().to_vec()).unwrap()).collect()
    };
    for view in [partition.view().clone(), home.read_only()] {
        assert_eq!((values(&view, 2).as_str(), values(&view, 3).as_str(), values(&view, 5).as_str()), ("cdef", "def", "f"));
        let backwards: Vec<_> = view.read_backwards(5).unwrap().map(|record| record.unwrap().offset().get()).collect();
        assert_eq!(backwards, [4, 3, 2]);
        // A batch is whole, and says what it holds.
        let whole = view.read_from(3).unwrap().next_batch().unwrap().unwrap();
        assert_eq!((whole.base_offset().get(), whole.next_offset().get(), whole.len()), (0, 4, 4));
    }
}

/// Records in every shape, alone in their frames and in batches, mapped and not: borrowed they are what the iterator hands out.
#[test]
fn borrowed_records_are_the_same() {
    for is_mapped in [true, false] {
        let home = Home::new();
        let (faulty, options) = faulty();
        faulty.allow_mapping(is_mapped);
        let (_store, partition) = home.partition(options.sync_policy(SyncPolicy::OsOnly).segment_bytes(64 << 10));
        let mut number = 0u8;
        for (count, noted) in [(1, false), (1, false), (3, false), (1, false), (1, true), (40, false)].into_iter().cycle().take(240) {
            let mut batch = RecordBatch::new();
            for _ in 0..count {
                number = number.wrapping_add(1);
                let (key, value) = (vec![1; usize::from(number % 50)], vec![number; usize::from(number) * 2]);
                let mut record = if number.is_multiple_of(7) { Record::tombstone() } else { Record::new(&value) };
                if number.is_multiple_of(2) {
                    record = record.key(&key);
                }
                if number.is_multiple_of(5) {
                    record = record.header("name", Some(b"value"));
                }
                if number.is_multiple_of(3) {
                    record = record.timestamp(ts(i64::from(number) * 123_457));
                }
                batch.push(&record).unwrap();
            }
            batch.set_note(noted.then_some(b"note")).unwrap();
            partition.append_batch(&batch, AckLevel::Written).unwrap();
        }
        for view in [partition.view().clone(), home.read_only()] {
            for from in [0, 1, 777, view.log_end_offset().get()] {
                let (mut borrowed, mut owned) = (view.read_from(from).unwrap(), view.read_from(from).unwrap());
                // Whole batches are read another way.
                let mut batches = view.read_from(from).unwrap();
                while let Some(batch) = batches.next_batch() {
                    for expected in batch.unwrap().records().map(Result::unwrap).filter(|record| record.offset() >= from) {
                        let record = borrowed.next_ref().unwrap().unwrap();
                        assert_eq!((record.offset(), record.timestamp()), (expected.offset(), expected.timestamp()));
                        assert_eq!((record.key(), record.value()), (expected.key(), expected.value()));
                        assert!(record.headers().eq(expected.headers()));
                        let record = owned.next().unwrap().unwrap();
                        assert_eq!((record.offset(), record.timestamp()), (expected.offset(), expected.timestamp()));
                        assert_eq!((record.key(), record.value()), (expected.key(), expected.value()));
                        assert!(record.headers().eq(expected.headers()));
                    }
                    assert_eq!((borrowed.offset(), owned.offset()), (batches.offset(), batches.offset()));
                }
                assert!(borrowed.next_ref().is_none() && owned.next().is_none() && batches.offset() == view.log_end_offset());
            }
        }
        // By turns.
        let mut reader = partition.read_from(0).unwrap();
        for offset in 0..1000 {
            let found = if offset % 3 == 0 { reader.next_ref().unwrap().unwrap().offset() } else { reader.next().unwrap().unwrap().offset() };
            assert_eq!(found.get(), offset);
        }
    }
}

/// A single that is damaged is told and passed by.
#[test]
fn borrowed_records_are_verified() {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    append_numbered(&partition, 0..100);
    drop(partition);
    store.close().unwrap();
    let segment = segments(&home.partition_dir()).remove(0).path;
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(numbered(40).len()).position(|window| window == numbered(40)).unwrap();
    bytes[at] ^= 4;
    std::fs::write(&segment, bytes).unwrap();
    let (_store, partition) = home.partition(small());
    let mut reader = partition.read_from(30).unwrap();
    for offset in 30..100 {
        match (offset, reader.next_ref().unwrap()) {
            (40, Err(ReadError::Corrupt { from, to, .. })) => assert_eq!((from.get(), to.get()), (40, 41)),
            (_, Ok(record)) => assert_eq!((record.offset().get(), record.value()), (offset, Some(&numbered(offset)[..]))),
            (offset, other) => panic!("{offset}: {other:?}"),
        }
    }
    assert!(reader.next_ref().is_none());
}

/// What was stored into a map and synced is mapped no more, until somebody reads it: the next write-back need not take it from the process.
#[test]
fn synced_pages_are_not_mapped() {
    let home = Home::new();
    let (_store, partition) = home.partition(StoreOptions::new().sync_policy(SyncPolicy::OsOnly).without_threads());
    (0..1000).for_each(|_| _ = partition.append_with(Record::new(&[7; 1000]), AckLevel::Written).unwrap());
    let before = mapped_kib(&home.partition_dir());
    partition.flush().unwrap();
    let after = mapped_kib(&home.partition_dir());
    // Nor what was made present ahead.
    assert!(before >= 800 && after <= 16, "{before} KiB before the sync, {after} KiB behind it");
    assert!(partition.read_from(0).unwrap().all(|record| record.unwrap().value().unwrap() == [7; 1000]));
}

/// Nor what was stored while an older segment was synced.
#[test]
fn pages_that_were_stored_during_a_sync_are_not_mapped_in_the_next() {
    for _ in 0..5 {
        let home = Home::new();
        let (faulty, options) = faulty();
        let (_store, partition) = home.partition(options.sync_policy(SyncPolicy::OsOnly).segment_bytes(1 << 20).without_threads());
        let append = |records| (0..records).for_each(|_| _ = partition.append_with(Record::new(&[7; 1000]), AckLevel::Written).unwrap());
        append(1000);
        let first = segments(&home.partition_dir()).remove(0).path;
        append(100); // rolls
        faulty.inject(Fault::at(Op::Sync).on_path(first.file_name().unwrap().to_str().unwrap()).slow(Duration::from_secs(2)));
        let stored = std::thread::scope(|scope| {
            let started = Instant::now(); // no sync ends before two seconds behind this
            let flush = scope.spawn(|| partition.flush());
            while faulty.fired() == 0 && !flush.is_finished() {
                std::thread::sleep(Duration::from_millis(1));
            }
            append(700);
            let stored = mapped_kib(&home.partition_dir());
            let is_in_time = started.elapsed() < Duration::from_millis(1900);
            flush.join().unwrap().unwrap();
            is_in_time.then_some(stored)
        });
        let after = mapped_kib(&home.partition_dir());
        // Else the machine stood still.
        if let Some(stored) = stored {
            assert!(stored >= 600 && after <= 16, "{stored} KiB before the sync, {after} KiB behind it");
            return;
        }
    }
    panic!("nothing was stored during a sync");
}

#[test]
fn borrowed_records_are_not_read_on_behind_a_cut() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..100);
    let mut cut = partition.read_from(60).unwrap();
    // The second one is read on from the first.
    assert_eq!([60, 61].map(|_| cut.next_ref().unwrap().unwrap().offset().get()), [60, 61]);
    partition.truncate_suffix(50).unwrap();
    append_numbered(&partition, 50..100);
    assert!(matches!(cut.next_ref(), Some(Err(ReadError::Truncated { at, next })) if (at.get(), next.get()) == (50, 62)));
    assert!(cut.next_ref().is_none());
}

#[test]
fn committed_readers_see_what_is_durable() {
    let home = Home::new();
    let (_store, partition) = home.partition(StoreOptions::new().sync_policy(SyncPolicy::Interval(Duration::from_secs(60))));
    append_numbered(&partition, 0..10);
    let written = partition.view().with_isolation(ReadIsolation::Written);
    assert_eq!((partition.view().end_offset().get(), written.end_offset().get()), (0, 10));
    assert!(matches!(partition.get(3), Err(ReadError::OffsetOutOfRange { .. })));
    assert_eq!(written.get(3).unwrap().value().unwrap(), numbered(3));
    partition.wait_durable(10).unwrap();
    assert_eq!(check_numbered(partition.view(), 0), 10);
    // The system decides when to sync: readers need not wait for it.
    let (_store, partition) = {
        drop((_store, partition, written));
        home.partition(small())
    };
    append_numbered(&partition, 10..20);
    assert_eq!((partition.high_water_mark().get(), partition.durable_end_offset().get()), (20, 10));
    assert_eq!(check_numbered(partition.view(), 0), 20);
}

#[test]
fn cuts_meanwhile_are_typed_answers() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..3000);
    let (mut behind, mut ahead) = (partition.read_from(0).unwrap(), partition.read_from(2500).unwrap());
    let mut backwards = partition.read_backwards(3000).unwrap();
    assert!(behind.next().unwrap().is_ok() && ahead.next().unwrap().is_ok() && backwards.next().unwrap().is_ok());
    partition.delete_prefix(1000).unwrap();
    partition.truncate_suffix(2000).unwrap();
    let error = behind.find_map(Result::err);
    assert!(matches!(error, Some(ReadError::OffsetOutOfRange { .. })), "{error:?}");
    let mut rest = ahead.by_ref().skip_while(Result::is_ok);
    assert!(matches!(rest.next(), Some(Err(ReadError::Truncated { at, .. })) if at == 2000));
    partition.append_with(Record::new("new"), AckLevel::Written).unwrap();
    assert_eq!(partition.get(2000).unwrap().value().unwrap(), b"new");
    assert_eq!(partition.view().damage(), vec![]);
    for offset in [999, 2002] {
        assert!(matches!(partition.delete_prefix(offset), Err(CutError::OutOfRange { .. })));
        assert!(matches!(partition.truncate_suffix(offset), Err(CutError::OutOfRange { .. })));
    }
    // Down to nothing, and on from there.
    partition.delete_prefix(2001).unwrap();
    assert_eq!((partition.log_start_offset().get(), partition.read_from(2001).unwrap().count()), (2001, 0));
    assert_eq!(partition.append_with(Record::new("next"), AckLevel::Written).unwrap().base_offset.get(), 2001);
    partition.truncate_suffix(2001).unwrap();
    assert_eq!(partition.append_with(Record::new("again"), AckLevel::Written).unwrap().base_offset.get(), 2001);
}

/// Offsets that were cut off are given out anew: no reader goes from an old record to one behind it that never followed it.
#[test]
fn a_reader_is_told_of_a_cut_though_the_log_has_grown_past_it() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..100);
    let other = home.read_only().with_isolation(ReadIsolation::Written);
    let readers = |at: u64| {
        [partition.view(), &other].map(|view| {
            let mut reader = view.read_from(0).unwrap();
            assert!(reader.by_ref().take(at as usize).all(|record| record.is_ok()));
            reader
        })
    };
    let (mut before, mut at, mut past) = (readers(49), readers(50), readers(51));
    let mut backwards = [partition.view(), &other].map(|view| view.read_backwards(60).unwrap());
    let mut below = partition.read_backwards(50).unwrap();
    assert!(backwards.iter_mut().all(|reader| reader.next().unwrap().unwrap().offset() == 59));
    let waits = std::thread::spawn({
        let mut reader = partition.read_from(100).unwrap();
        move || (reader.wait(Duration::from_secs(60)).unwrap(), reader.next())
    });
    std::thread::sleep(Duration::from_millis(50));
    partition.truncate_suffix(50).unwrap();
    let (is_there, told) = waits.join().unwrap();
    assert!(is_there && matches!(told, Some(Err(ReadError::Truncated { .. }))), "{told:?}");
    append_numbered(&partition, 50..200);
    other.refresh().unwrap();
    for reader in &mut past {
        let told = reader.next();
        assert!(matches!(told, Some(Err(ReadError::Truncated { at, next })) if at == 50 && next == 51), "{told:?}");
        assert!(reader.next().is_none());
        reader.seek(50);
        assert_eq!(reader.filter(|record| record.is_ok()).count(), 150);
    }
    for (reader, rest) in before.iter_mut().zip([151; 2]).chain(at.iter_mut().zip([150; 2])) {
        assert_eq!(reader.map(Result::unwrap).count(), rest);
    }
    for reader in &mut backwards {
        let told = reader.next();
        assert!(matches!(told, Some(Err(ReadError::Truncated { at, next })) if at == 50 && next == 59), "{told:?}");
        assert!(reader.next().is_none());
    }
    assert_eq!(below.by_ref().map(Result::unwrap).count(), 50);
}

/// Whether an address lies in a mapping of a segment file.
fn is_mapped(address: *const u8) -> bool {
    let address = address.addr();
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().any(|line| {
        let (range, path) = (line.split(' ').next().unwrap(), line.split(' ').next_back().unwrap_or_default());
        let (from, to) = range.split_once('-').unwrap();
        let parse = |text| usize::from_str_radix(text, 16).unwrap();
        // A file that was unlinked is shown with a mark behind its name.
        (line.contains(".log") || line.contains(".tmp")) && !path.is_empty() && (parse(from)..parse(to)).contains(&address)
    })
}

/// Nothing is copied on the way from the page cache: the value lies where the file is mapped.
#[test]
fn values_lie_in_the_mapping() {
    let home = Home::new();
    for round in 0..2 {
        let (_store, partition) = home.partition(small());
        if round == 0 {
            append_numbered(&partition, 0..3000);
        }
        for record in partition.read_from(0).unwrap().step_by(97) {
            let record = record.unwrap();
            let value = record.value().unwrap();
            assert!(is_mapped(value.as_ptr()), "record {}", record.offset());
        }
        let mut reader = partition.read_from(0).unwrap();
        let batch = reader.next_batch().unwrap().unwrap();
        assert!(is_mapped(batch.records().next().unwrap().unwrap().value().unwrap().as_ptr()));
        assert!(!is_mapped(numbered(5).as_ptr()));
    }
}

#[test]
fn a_record_outlives_everything() {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    append_numbered(&partition, 0..3000);
    let records: Vec<_> = (0..3000).step_by(31).map(|offset| partition.get(offset as u64).unwrap()).collect();
    let batch = partition.read_from(0).unwrap().next_batch().unwrap().unwrap();
    partition.delete_prefix(2000).unwrap();
    partition.truncate_suffix(2500).unwrap();
    drop(partition);
    store.close().unwrap();
    std::fs::remove_dir_all(home.path().join("topics")).unwrap();
    for record in records {
        assert!(is_mapped(record.value().unwrap().as_ptr()));
        assert_eq!(record.value().unwrap(), numbered(record.offset().get()));
    }
    assert_eq!(batch.records().next().unwrap().unwrap().value().unwrap(), numbered(0));
}

#[test]
fn info_counts() {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    let empty = partition.view().info().unwrap();
    assert_eq!((empty.first_ts_ns, empty.last_ts_ns, empty.segments, empty.log_end_offset), (None, None, 1, 0));
    for number in 0..2000 {
        partition.append_with(Record::new(&numbered(number)).timestamp(ts(number as i64 - 5)), AckLevel::Written).unwrap();
    }
    partition.delete_prefix(7).unwrap();
    let live = partition.view().info().unwrap();
    assert_eq!((live.log_start_offset, live.log_end_offset, live.first_ts_ns, live.last_ts_ns), (7, 2000, Some(2), Some(1994)));
    drop(partition);
    store.close().unwrap();
    let closed = home.read_only().info().unwrap();
    assert_eq!((closed.uuid, closed.segments, closed.bytes, closed.first_ts_ns), (live.uuid, live.segments, live.bytes, live.first_ts_ns));
    assert_eq!((closed.durable_end_offset, closed.high_water_mark, closed.damage, closed.compression), (2000, 2000, vec![], "none"));
}
