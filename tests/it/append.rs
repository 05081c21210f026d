//! What is appended is what is read: keys, values, headers, times, notes, batches, rolls, codecs; before and after a reopen.

use tidelog::{AckLevel, AppendError, Codec, Header, Partition, PartitionView, Record, RecordBatch, SyncPolicy, TimestampNs};

use crate::reading_support::{Home, Random, append_numbered, batch, check_numbered, small, ts};

#[derive(Debug, Clone, PartialEq)]
struct Expected {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: Option<TimestampNs>,
}

impl Expected {
    fn record(&self) -> Record<'_> {
        let record = self.value.as_ref().map_or_else(Record::tombstone, Record::new);
        let record = self.key.iter().fold(record, |record, key| record.key(key));
        let record = self.headers.iter().fold(record, |record, (name, value)| record.header(name, value.as_deref()));
        self.timestamp.map_or(record.clone(), |timestamp| record.timestamp(timestamp))
    }

    fn random(random: &mut Random) -> Self {
        let bytes = |random: &mut Random, limit: u64| {
            let len = random.below(limit);
            (0..len).map(|_| random.next() as u8).collect::<Vec<_>>()
        };
        let maybe = |random: &mut Random, limit: u64| (random.below(4) > 0).then(|| bytes(random, limit));
        let headers =
            (0..random.below(4)).map(|number| (["", "trace", "größe"][random.below(3) as usize].repeat(number as usize), maybe(random, 20)));
        let headers = headers.collect();
        let timestamp = match random.below(5) {
            0 => None,
            1 => Some(ts(random.next() as i64)),
            2 => Some(ts(1_700_000_000_000_000_000 + random.below(5) as i64)),
            _ => Some(ts(1_700_000_000_000_000_000 + random.below(2_000_000_000) as i64)),
        };
        Self { key: maybe(random, 30), value: maybe(random, 400), headers, timestamp }
    }
}

/// Compares all that was appended, with times already settled, read forward, backward, one by one and in batches.
fn check_all(view: &PartitionView, expected: &[Expected]) {
    let seen = |key: Option<&[u8]>, value: Option<&[u8]>, headers: Vec<Header<'_>>, timestamp| Expected {
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers: headers.into_iter().map(|header| (header.name.to_owned(), header.value.map(<[u8]>::to_vec))).collect(),
        timestamp: Some(timestamp),
    };
    let stored = |record: &tidelog::StoredRecord| seen(record.key(), record.value(), record.headers().collect(), record.timestamp());
    let mut count = 0;
    for (record, expected) in view.read_from(0).unwrap().zip(expected) {
        let record = record.unwrap();
        assert_eq!((record.offset().get(), &stored(&record)), (count, expected));
        count += 1;
    }
    assert_eq!(count, expected.len() as u64);
    for record in view.read_backwards(count).unwrap() {
        let record = record.unwrap();
        count -= 1;
        assert_eq!((record.offset().get(), &stored(&record)), (count, &expected[count as usize]));
    }
    assert_eq!(count, 0);
    for (offset, expected) in expected.iter().enumerate().step_by(7) {
        assert_eq!(&stored(&view.get(offset as u64).unwrap()), expected);
    }
    let mut reader = view.read_from(0).unwrap();
    while let Some(batch) = reader.next_batch() {
        let batch = batch.unwrap();
        assert_eq!(batch.len() as u64, batch.next_offset().get() - batch.base_offset().get());
        for record in batch.records() {
            let record = record.unwrap();
            let expected = &expected[record.offset().get() as usize];
            assert_eq!(&seen(record.key(), record.value(), record.headers().collect(), record.timestamp()), expected);
            count += 1;
        }
    }
    assert_eq!(count, expected.len() as u64);
    let mut end = count;
    for batch in view.batches_backwards(count).unwrap() {
        let batch = batch.unwrap();
        assert_eq!(batch.next_offset().get(), end);
        end = batch.base_offset().get();
    }
    assert_eq!(end, 0);
}

/// Appends alone and in batches; a record without a time takes the batch's, or that of the append.
fn append_randomly(partition: &Partition, random: &mut Random, expected: &mut Vec<Expected>, codecs: &[Codec]) {
    let mut chunk: Vec<_> = (0..[1, 1, 3, 100][random.below(4) as usize]).map(|_| Expected::random(random)).collect();
    let ack = if chunk.len() == 1 {
        partition.append_with(chunk[0].record(), AckLevel::Written).unwrap()
    } else {
        let mut batch = RecordBatch::new().with_codec(codecs[random.below(codecs.len() as u64) as usize]).unwrap();
        chunk.iter().for_each(|expected| batch.push(&expected.record()).unwrap());
        assert_eq!(batch.len(), chunk.len());
        partition.append_batch(&batch, AckLevel::Written).unwrap()
    };
    assert_eq!(ack.base_offset.get(), expected.len() as u64);
    let base = chunk.iter().find_map(|expected| expected.timestamp).unwrap_or(ack.append_ts);
    chunk.iter_mut().for_each(|expected| expected.timestamp = expected.timestamp.or(Some(base)));
    expected.extend(chunk);
    assert_eq!(ack.last_offset.get() + 1, expected.len() as u64);
}

fn check_everything(policy: SyncPolicy, codecs: &[Codec]) {
    let home = Home::new();
    let (mut random, mut expected) = (Random::new(7), Vec::new());
    for _ in 0..3 {
        let (store, partition) = home.partition(small().sync_policy(policy));
        for _ in 0..60 {
            append_randomly(&partition, &mut random, &mut expected, codecs);
        }
        partition.flush().unwrap();
        check_all(partition.view(), &expected);
        check_all(&home.read_only(), &expected);
        assert!(partition.view().info().unwrap().segments > 2);
        drop(partition);
        store.close().unwrap();
        check_all(&home.read_only(), &expected);
    }
    let report = home.read_only().verify(true, &mut |_| {}).unwrap();
    assert_eq!((report.records, report.damage, report.bad_indexes), (expected.len() as u64, vec![], Vec::<String>::new()));
}

#[test]
fn everything_comes_back_from_stores_into_the_map() {
    check_everything(SyncPolicy::OsOnly, &[Codec::None]);
}

#[test]
fn everything_comes_back_from_writes() {
    check_everything(SyncPolicy::default(), &[Codec::None]);
}

#[cfg(all(feature = "lz4", feature = "zstd"))]
#[test]
fn everything_comes_back_compressed() {
    check_everything(SyncPolicy::OsOnly, &[Codec::None, Codec::Lz4, Codec::Zstd]);
}

#[cfg(all(feature = "lz4", feature = "zstd"))]
#[test]
fn what_does_not_shrink_is_stored_as_it_is() {
    let home = Home::new();
    let (mut random, mut noise) = (Random::new(3), Vec::new());
    noise.extend((0..5000).map(|_| random.next() as u8));
    for codec in [Codec::Lz4, Codec::Zstd] {
        let (_store, partition) = home.partition(small().compression(codec));
        let from = partition.log_end_offset();
        let repeated = batch(&["repeat "; 200]);
        partition.append_batch(&repeated, AckLevel::Written).unwrap();
        partition.append_with(Record::new(&noise), AckLevel::Written).unwrap();
        let mut reader = partition.read_from(from).unwrap();
        let (shrunk, kept) = (reader.next_batch().unwrap().unwrap(), reader.next_batch().unwrap().unwrap());
        assert_eq!((shrunk.codec(), kept.codec()), (codec, Codec::None));
        assert!(shrunk.stored_bytes() < repeated.bytes() as u64 / 2 && kept.stored_bytes() < 5200);
        assert_eq!(partition.get(shrunk.next_offset()).unwrap().value().unwrap(), noise);
        assert_eq!(partition.get(from).unwrap().value().unwrap(), b"repeat ");
    }
}

#[cfg(not(feature = "lz4"))]
#[test]
fn a_codec_that_is_not_built_in_is_refused() {
    assert!(matches!(RecordBatch::new().with_codec(Codec::Lz4), Err(tidelog::ConfigError::CodecNotBuilt { codec: "lz4" })));
    let home = Home::new();
    assert!(tidelog::StoreOptions::new().compression(Codec::Lz4).open(home.path()).is_err());
}

#[test]
fn null_is_not_empty() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let records = [Record::new(""), Record::tombstone(), Record::new("").key(""), Record::tombstone().key("").header("", None).header("", Some(b""))];
    for record in &records {
        partition.append_with(record.clone(), AckLevel::Written).unwrap();
    }
    let seen: Vec<_> = partition.read_from(0).unwrap().map(Result::unwrap).collect();
    let parts: Vec<_> = seen.iter().map(|record| (record.key(), record.value())).collect();
    assert_eq!(parts, [(None, Some(&b""[..])), (None, None), (Some(&b""[..]), Some(&b""[..])), (Some(&b""[..]), None)]);
    let headers: Vec<_> = seen[3].headers().map(|header| (header.name, header.value)).collect();
    assert_eq!(headers, [("", None), ("", Some(&b""[..]))]);
}

#[test]
fn times_are_exact_to_the_nanosecond() {
    let times = [
        i64::MIN,
        i64::MIN + 1,
        i64::MAX,
        i64::MAX - 1,
        0,
        -1,
        1,
        -999_999,
        -1_000_000,
        -1_000_001,
        999_999,
        1_000_001,
        1_700_000_000_123_456_789,
        -1_700_000_000_123_456_789,
    ];
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    for time in times {
        partition.append_with(Record::new("alone").timestamp(ts(time)), AckLevel::Written).unwrap();
    }
    // Each of them as the first of a batch, to which the others are relative.
    for first in 0..times.len() {
        let mut batch = RecordBatch::new();
        times.iter().cycle().skip(first).take(times.len()).for_each(|&time| batch.push(&Record::new("x").timestamp(ts(time))).unwrap());
        partition.append_batch(&batch, AckLevel::Written).unwrap();
    }
    let seen: Vec<_> = partition.read_from(0).unwrap().map(|record| record.unwrap().timestamp().get()).collect();
    let expected: Vec<_> =
        times.into_iter().chain((0..times.len()).flat_map(|first| times.into_iter().cycle().skip(first).take(times.len()))).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_record_without_a_time_takes_that_of_the_append() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    let before = clock() - 20_000_000; // a coarse clock
    let alone = partition.append_with(Record::new("alone"), AckLevel::Written).unwrap();
    let both = partition.append_batch(&batch(&["a", "b"]), AckLevel::Written).unwrap();
    for (offset, time) in [(0, alone.append_ts), (1, both.append_ts), (2, both.append_ts)] {
        assert_eq!(partition.get(offset).unwrap().timestamp(), time);
        assert!((before..=clock()).contains(&time.get()));
    }
}

#[test]
fn a_batch_can_be_appended_again_and_reused() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let mut records = batch(&["a", "b"]);
    records.set_note(Some(b"note")).unwrap();
    for _ in 0..2 {
        partition.append_batch(&records, AckLevel::Written).unwrap();
    }
    records.clear();
    assert!(records.is_empty() && records.bytes() == 0);
    assert!(matches!(partition.append_batch(&records, AckLevel::Written), Err(AppendError::Empty)));
    records.push(&Record::new("c")).unwrap();
    partition.append_batch(&records, AckLevel::Written).unwrap();
    let mut reader = partition.read_from(0).unwrap();
    let batches: Vec<_> = std::iter::from_fn(|| reader.next_batch()).map(Result::unwrap).collect();
    let notes: Vec<_> = batches.iter().map(|batch| (batch.len(), batch.note())).collect();
    assert_eq!(notes, [(2, Some(&b"note"[..])), (2, Some(&b"note"[..])), (1, None)]);
}

#[test]
fn notes_of_every_allowed_size_come_back() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let mut records = batch(&["x"]);
    let notes: Vec<Vec<u8>> = [0, 1, 7, 8, 1023, 1024].map(|len| (0..len).map(|byte| byte as u8).collect()).into();
    for note in &notes {
        records.set_note(Some(note)).unwrap();
        partition.append_batch(&records, AckLevel::Written).unwrap();
    }
    assert!(matches!(records.set_note(Some(&[0; 1025])), Err(AppendError::NoteTooLarge { bytes: 1025, limit: 1024 })));
    let end = partition.log_end_offset();
    let seen: Vec<_> = partition.view().batches_backwards(end).unwrap().map(|batch| batch.unwrap().note().map(<[u8]>::to_vec)).collect();
    assert!(seen.into_iter().rev().eq(notes.into_iter().map(Some)));
}

/// A record larger than a segment gets a segment of its own size; those around it stay where they belong.
#[test]
fn huge_records_get_segments_of_their_own() {
    for policy in [SyncPolicy::OsOnly, SyncPolicy::default()] {
        let home = Home::new();
        let (store, partition) = home.partition(small().sync_policy(policy));
        let sizes = [10, 200_000, 10, 10, 5 << 20, 65_000, 300_000, 300_000, 10];
        let value = |number: usize, len: usize| -> Vec<u8> { (0..len).map(|at| (at * 31 + number) as u8).collect() };
        for (number, &len) in sizes.iter().enumerate() {
            partition.append_with(Record::new(&value(number, len)), AckLevel::Written).unwrap();
        }
        let check = |view: &PartitionView| {
            for (number, &len) in sizes.iter().enumerate() {
                assert!(view.get(number as u64).unwrap().value().unwrap() == value(number, len), "record {number}");
            }
            assert_eq!(
                view.read_backwards(9).unwrap().map(|record| record.unwrap().value().unwrap().len()).sum::<usize>(),
                sizes.iter().sum::<usize>()
            );
        };
        partition.flush().unwrap();
        check(partition.view());
        check(&home.read_only());
        drop(partition);
        store.close().unwrap();
        check(&home.read_only());
    }
}

/// Sizes around the end of a segment: whatever fits is stored there, and the seal behind it.
#[test]
fn segments_fill_to_the_last_frame() {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    let mut random = Random::new(5);
    let mut sizes = Vec::new();
    for _ in 0..400 {
        let len = if random.below(3) == 0 { random.below(64 << 10) } else { random.below(2000) } as usize;
        partition.append_with(Record::new(&vec![len as u8; len]), AckLevel::Written).unwrap();
        sizes.push(len);
    }
    drop(partition);
    store.close().unwrap();
    let seen: Vec<_> = home.read_only().read_from(0).unwrap().map(|record| record.unwrap().value().unwrap().len()).collect();
    assert_eq!(seen, sizes);
    assert!(home.read_only().damage().is_empty());
}

/// Rolls and reopens at any point: dense offsets, every record.
#[test]
fn many_short_lives() {
    let home = Home::new();
    let mut random = Random::new(11);
    let mut end = 0;
    for round in 0..25 {
        let (store, partition) = home.partition(small());
        assert_eq!(partition.log_end_offset().get(), end);
        assert!(!partition.recovery_report().is_notable(), "{:?}", partition.recovery_report());
        let more = random.below(900);
        append_numbered(&partition, end..end + more);
        end += more;
        if round % 5 == 0 {
            assert_eq!(check_numbered(partition.view(), 0), end);
        }
        drop((store, partition));
    }
    assert_eq!(check_numbered(&home.read_only(), 0), end);
}
