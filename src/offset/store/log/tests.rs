//! What cannot be brought about from outside: entries that the checks before them keep away.

use super::*;
use crate::offset::CommittedOffset;
use crate::topic::{PartitionKey, RingRange, TopicName};
use tidelog_format::TimestampNs;

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
