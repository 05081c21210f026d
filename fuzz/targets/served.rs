//! Everything that a view of a log serves, read in every way there is. Compares nothing with what it should be.

use std::path::Path;
use std::sync::Arc;
use tidelog::io::sim::{Image, SimDisk};
use tidelog::{
    OnDamage, Partition, PartitionView, ReadError, ReadIsolation, Start, Store, StoreOptions, StoredRecord, SyncPolicy, TimestampNs, TopicError,
};

pub const STORE: &str = "/store";
pub const TOPIC: &str = "t";
pub const DIR: &str = "/store/topics/default/t/0";

pub fn options(disk: &SimDisk) -> StoreOptions {
    StoreOptions::new().storage(Arc::new(disk.clone())).sync_policy(SyncPolicy::OsOnly).segment_bytes(64 << 10).without_threads()
}

/// Opens the partition for writing.
pub fn open(disk: &SimDisk, on_damage: OnDamage) -> Result<(Store, Partition), TopicError> {
    let store = options(disk).on_damage(on_damage).open(STORE)?;
    let partition = store.existing_topic(TOPIC)?.partition(0)?;
    Ok((store, partition))
}

/// Opens the partition for reading alone.
pub fn look(disk: &SimDisk) -> Result<PartitionView, TopicError> {
    options(disk).open_read_only(STORE)?.topic(TOPIC)?.partition(0)
}

/// What stands in the partition's directory.
pub fn files(image: &Image) -> Vec<(&Path, &[u8])> {
    image.files().filter(|(path, _)| path.starts_with(DIR)).collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    pub log_start: u64,
    pub end: u64,
    pub rows: Vec<Row>,
    /// Ranges that cannot be read: sorted, apart from each other.
    pub lost: Vec<(u64, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub offset: u64,
    pub timestamp: TimestampNs,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

impl Row {
    pub fn of(record: &StoredRecord) -> Self {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        Self { offset: record.offset().get(), timestamp: record.timestamp(), key: owned(record.key()), value: owned(record.value()) }
    }
}

impl Served {
    /// Reads from the log start to the end.
    pub fn of(view: &PartitionView) -> Self {
        let view = view.with_isolation(ReadIsolation::Written);
        let (log_start, end) = (view.log_start_offset().get(), view.log_end_offset().get());
        assert!(
            log_start <= view.high_water_mark().get() && view.high_water_mark() <= view.log_end_offset(),
            "{log_start}, {}, {end}",
            view.high_water_mark()
        );
        assert!(view.durable_end_offset() <= view.log_end_offset());
        let (mut served, mut next) = (Self { log_start, end, rows: Vec::new(), lost: Vec::new() }, log_start);
        let mut empty = 0;
        let mut reader = view.read(Start::Earliest).expect("the log start is in range");
        for record in reader.by_ref() {
            let from = next;
            match record {
                Ok(record) => {
                    next = record.offset().get() + 1;
                    served.rows.push(Row::of(&record));
                    assert!(record.offset() >= from && next <= end, "offset {} where {from} follows, of {end}", record.offset());
                }
                Err(ReadError::Corrupt { from: lost, to, reason, .. }) => {
                    assert!(lost >= from && to >= lost && to <= end, "{lost}..{to} is lost where {from} follows, of {end}: {reason}");
                    next = to.get();
                    // No offset is lost where bytes that do not decode stand behind the last record of a batch.
                    empty += u64::from(to == lost);
                    assert!(empty <= 10_000, "reading goes round in circles at {to}");
                    if to > lost {
                        served.lose(lost.get(), next);
                    }
                }
                // Whole, but of a codec that this build does not know: passed by.
                Err(ReadError::CodecNotBuilt { to, .. }) => {
                    assert!(to > from && to <= end, "{from}..{to} of {end}");
                    next = to.get();
                    served.lose(from, next);
                }
                Err(error) => panic!("reading at {from} of {end}: {error}"),
            }
        }
        assert_eq!(reader.offset(), end, "the end is reached");
        served
    }

    fn lose(&mut self, from: u64, to: u64) {
        match self.lost.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => self.lost.push((from, to)),
        }
    }

    /// Each record by its offset, and all of them backwards: the same records.
    pub fn check_other_ways(&self, view: &PartitionView) {
        let view = view.with_isolation(ReadIsolation::Written);
        for row in &self.rows {
            let found = view.get(row.offset).unwrap_or_else(|error| panic!("offset {} was read, by itself it is: {error}", row.offset));
            assert_eq!(&Row::of(&found), row);
        }
        let mut backwards: Vec<Row> = Vec::new();
        let mut failures = 0;
        for record in view.read_backwards(view.end_offset()).expect("the end is in range") {
            match record {
                Ok(record) => backwards.push(Row::of(&record)),
                Err(ReadError::Corrupt { .. } | ReadError::CodecNotBuilt { .. }) => failures += 1,
                Err(error) => panic!("reading backwards: {error}"),
            }
            assert!(failures + backwards.len() <= 10_000, "reading backwards goes round in circles");
        }
        backwards.reverse();
        assert!(backwards == self.rows, "backwards {backwards:?}, forwards {:?}", self.rows);
    }

    /// The first record of at least each time is the one that all records tell.
    pub fn check_times(&self, view: &PartitionView) {
        let view = view.with_isolation(ReadIsolation::Written);
        let times = self.rows.iter().flat_map(|row| [row.timestamp.get(), row.timestamp.get().saturating_add(1)]);
        for timestamp in times.chain([i64::MIN, i64::MAX]).map(TimestampNs::new) {
            let expected = self.rows.iter().find(|row| row.timestamp >= timestamp).map(|row| row.offset);
            let found = view.offset_for_time(timestamp).expect("nothing fails").map(tidelog::Offset::get);
            assert_eq!(found, expected, "the first record of at least {}", timestamp.get());
        }
    }
}
