//! Subscribers on a disk that fails: the error is told, nothing moves, and the next call tries again. A store of positions that fails commits nothing.

use std::ops::Range;
use std::sync::Arc;

use tidelog::io::fault::{Fault, Faulty, Op};
use tidelog::{
    CommittedOffset, GroupId, GroupMetadata, Offset, OffsetCheckpoint, OffsetMapping, OffsetSpec, OffsetStore, OffsetStoreError, Partition,
    PartitionKey, PartitionStats, PartitionView, ReadError, Store, SubscriptionError, TimestampNs, TopicName,
};

use crate::reading_support::{Home, append_numbered, faulty, numbered};
use crate::subscription::{from, group, offsets};

/// 2,000 records in many segments, closed and opened again, read by calls that are counted and can fail.
fn read_by_calls(home: &Home) -> (Faulty, Store, Partition) {
    let (storage, options) = faulty();
    let options = options.segment_bytes(64 << 10).background_recovery(false);
    let (store, partition) = home.partition(options.clone());
    append_numbered(&partition, 0..2000);
    drop(partition);
    store.close().unwrap();
    storage.allow_mapping(false);
    let (store, partition) = home.partition(options);
    (storage, store, partition)
}

/// Reads all of it, with the n-th read failing: whatever call that is, the error comes in the place of records, and they come after it.
#[test]
fn a_read_that_fails_is_told_and_tried_again() {
    let home = Home::new();
    let (storage, _store, partition) = read_by_calls(&home);
    let mut failures = 0;
    for nth in 1..200 {
        let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest)).unwrap();
        let before = storage.fired();
        storage.inject(Fault::at(Op::Read).nth(nth));
        let mut next = 0;
        while next < 2000 {
            // What fails behind the first records of a page ends that page: single records show each failure.
            let records = if next < 1000 { subscription.next_record().map(Vec::from_iter) } else { subscription.page().map(|page| page.records) };
            match records {
                Ok(records) => {
                    assert!(!records.is_empty());
                    for record in records {
                        assert_eq!((record.offset().get(), record.value().unwrap()), (next, numbered(next).as_slice()));
                        next += 1;
                    }
                }
                Err(SubscriptionError::Read(ReadError::Io(_))) => {
                    failures += 1;
                    assert_eq!(subscription.position(), next, "nothing moves");
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(subscription.is_at_end().unwrap());
        if storage.fired() == before {
            assert!(failures > 3, "{failures} of {} reads that failed were told", nth - 1);
            return;
        }
        storage.heal();
    }
    panic!("it does not end");
}

/// A seek looks before it moves, and a subscription that cannot look is not made.
#[test]
fn a_seek_that_cannot_look_moves_nothing() {
    let home = Home::new();
    let (storage, _store, partition) = read_by_calls(&home);
    let subscription = partition.subscribe("s", from(OffsetSpec::ExactOffset(7.into()))).unwrap();
    let time = partition.get(1500).unwrap().timestamp();
    storage.inject(Fault::at(Op::Read).from_then_on());
    assert!(matches!(subscription.seek_to_time(time), Err(SubscriptionError::Read(ReadError::Io(_)))));
    assert_eq!(subscription.position(), 7);
    assert!(partition.subscribe("t", from(OffsetSpec::ExactTimestamp(time))).is_err());
    assert_eq!(subscription.seek_to_offset(1000).unwrap().offset, 1000, "no look at records is needed for an offset");
    storage.heal();
    let found = subscription.seek_to_time(time).unwrap().offset;
    assert_eq!(Some(found), partition.view().offset_for_time(time).unwrap());
}

/// The position is there to be committed again when the store works again.
#[derive(Debug)]
struct Broken;

impl Broken {
    fn fail<T>() -> Result<T, OffsetStoreError> {
        Err(OffsetStoreError::MetadataTooLarge { found: 1, limit: 0 })
    }
}

impl OffsetStore for Broken {
    fn commit(&self, _: &GroupId, _: &[(PartitionKey, CommittedOffset)]) -> Result<(), OffsetStoreError> {
        Self::fail()
    }
    fn fetch(&self, _: &GroupId, _: &PartitionKey) -> Result<Option<CommittedOffset>, OffsetStoreError> {
        Self::fail()
    }
    fn fetch_all(&self, _: &GroupId) -> Result<Vec<(PartitionKey, CommittedOffset)>, OffsetStoreError> {
        Self::fail()
    }
    fn groups(&self) -> Result<Vec<GroupId>, OffsetStoreError> {
        Self::fail()
    }
    fn delete(&self, _: &GroupId, _: &[PartitionKey]) -> Result<usize, OffsetStoreError> {
        Self::fail()
    }
    fn delete_group(&self, _: &GroupId) -> Result<usize, OffsetStoreError> {
        Self::fail()
    }
    fn save_group(&self, _: &GroupId, _: &GroupMetadata) -> Result<bool, OffsetStoreError> {
        Self::fail()
    }
    fn load_group(&self, _: &GroupId) -> Result<Option<GroupMetadata>, OffsetStoreError> {
        Self::fail()
    }
    fn delete_topic(&self, _: &TopicName) -> Result<usize, OffsetStoreError> {
        Self::fail()
    }
    fn save_checkpoint(&self, _: &PartitionKey, _: OffsetCheckpoint) -> Result<bool, OffsetStoreError> {
        Self::fail()
    }
    fn load_checkpoint(&self, _: &PartitionKey) -> Result<Option<OffsetCheckpoint>, OffsetStoreError> {
        Self::fail()
    }
    fn save_mappings(&self, _: &PartitionKey, _: &[OffsetMapping], _: TimestampNs) -> Result<(), OffsetStoreError> {
        Self::fail()
    }
    fn mappings(&self, _: &PartitionKey, _: Range<Offset>, _: usize) -> Result<Vec<OffsetMapping>, OffsetStoreError> {
        Self::fail()
    }
    fn highest_offset(&self, _: &PartitionKey) -> Result<Option<Offset>, OffsetStoreError> {
        Self::fail()
    }
    fn save_stats(&self, _: &PartitionKey, _: PartitionStats) -> Result<(), OffsetStoreError> {
        Self::fail()
    }
    fn partition_stats(&self, _: &PartitionKey) -> Result<Option<PartitionStats>, OffsetStoreError> {
        Self::fail()
    }
    fn partitions(&self) -> Result<Vec<PartitionKey>, OffsetStoreError> {
        Self::fail()
    }
    fn forget(&self, _: &PartitionKey) -> Result<(), OffsetStoreError> {
        Self::fail()
    }
    fn clean_up(&self, _: TimestampNs) -> Result<usize, OffsetStoreError> {
        Self::fail()
    }
    fn clean_up_mappings(&self, _: TimestampNs) -> Result<usize, OffsetStoreError> {
        Self::fail()
    }
}

/// Where positions cannot be had, a group does not begin anywhere, least of all at the start.
#[test]
fn a_group_whose_store_fails_does_not_begin_elsewhere() {
    let home = Home::new();
    let (_store, partition) = home.partition(crate::reading_support::small());
    append_numbered(&partition, 0..10);
    let group = group(&partition, "g", &Arc::new(Broken));
    for spec in [OffsetSpec::ResumeOrEarliest, OffsetSpec::ResumeOrLatest] {
        assert!(matches!(partition.subscribe("s", from(spec).group(group.clone())), Err(SubscriptionError::Store(_))));
    }
    let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest).group(group)).unwrap();
    assert_eq!(offsets(&subscription.page().unwrap()).len(), 10);
    assert!(matches!(subscription.commit(), Err(SubscriptionError::Store(_))));
    assert!(matches!(subscription.seek(OffsetSpec::ResumeOrEarliest), Err(SubscriptionError::Store(_))));
    assert_eq!(subscription.position(), 10);
}

/// A view of another process that cannot be brought up to date says so, instead of answering by what it last knew.
#[test]
fn a_view_that_cannot_be_brought_up_to_date_says_so() {
    let home = Home::new();
    let (_store, partition) = home.partition(crate::reading_support::small());
    append_numbered(&partition, 0..10);
    let (storage, options) = faulty();
    let view: PartitionView = options.open_read_only(home.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
    let subscription = view.subscribe("s", from(OffsetSpec::ExactOffset(4.into()))).unwrap();
    // A cut makes it look at the files again.
    partition.truncate_suffix(8).unwrap();
    storage.inject(Fault::at(Op::List).from_then_on());
    for _ in 0..2 {
        assert!(matches!(subscription.page(), Err(SubscriptionError::Read(_))));
        assert!(subscription.lag().is_err() && subscription.seek_to_offset(9).is_err());
        assert_eq!(subscription.position(), 4);
    }
    storage.heal();
    assert_eq!(offsets(&subscription.page().unwrap()), [4, 5, 6, 7]);
}
