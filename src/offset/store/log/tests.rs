//! What cannot be brought about from outside: entries that the checks before them keep away, and who reads what at which moment.

use tidelog_format::TimestampNs;

use super::*;
use crate::offset::{CommittedOffset, OffsetCheckpoint, OffsetStore};
use crate::topic::{PartitionKey, RingRange, TopicName};

#[test]
fn what_cannot_be_read_back_has_no_value() {
    let key = |name: &str| PartitionKey {
        topic: TopicName { namespace: "n".to_owned(), name: name.to_owned() },
        range: RingRange::new(4096, 0, 1024).unwrap(),
    };
    let commit = |name: &str, offset: u64, bytes: usize| {
        let position = CommittedOffset { metadata: "x".repeat(bytes), ..CommittedOffset::new(offset, TimestampNs::new(1)) };
        Entry::Change(Change::Commit { group: "g".parse().unwrap(), positions: vec![(key(name), position)] })
    };
    assert!(value_of(&commit("t", 1, 1)).is_ok());
    for bad in [commit("a/b", 1, 1), commit("t", u64::MAX, 1), commit("t", 1, 65_536), commit("t", 1, 65_540)] {
        assert!(matches!(value_of(&bad), Err(OffsetStoreError::Malformed { .. })), "{bad:?}");
    }
}

/// Another has appended a snapshot and deleted what was to be read next: what came of the changes behind it is known all the same.
#[test]
fn outcomes_are_known_of_a_log_that_is_read_anew() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let [late, other] = [(); 2].map(|()| LogOffsetStore::open(&store).unwrap());
    let key = PartitionKey { topic: "t".parse().unwrap(), range: RingRange::new(4096, 0, 1024).unwrap() };
    let checkpoint = |offset: u64| OffsetCheckpoint { offset: offset.into(), saved_at: TimestampNs::new(1) };
    (1..4).for_each(|offset| assert!(other.save_checkpoint(&key, checkpoint(offset)).unwrap()));
    other.snapshot().unwrap();
    let at = other.writer().unwrap().log_end_offset().get();
    assert!(other.save_checkpoint(&key, checkpoint(9)).unwrap());
    late.awaited.lock().insert(at, None);
    let (outcome, _) = late.outcome_of(late.writer().unwrap(), Offset::new(at));
    assert_eq!(outcome.unwrap(), Some(1));
    // And of one that is deleted itself, what it was about is what was known before.
    let state = late.state.read();
    let change = Change::Checkpoint { partition: key.clone(), checkpoint: checkpoint(10) };
    assert_eq!(state.notes.reach(&change), 1);
    assert_eq!(state.notes.reach(&Change::Checkpoint { partition: key, checkpoint: checkpoint(9) }), 0);
}
