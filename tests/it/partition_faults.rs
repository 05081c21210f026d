//! Topics whose making, splitting or deletion fails: what was refused stays refused, and nothing is acknowledged in what may not last.

use std::sync::Arc;

use tidelog::io::Disk;
use tidelog::io::fault::{Fault, Faulty, Op};
use tidelog::{AppendError, CutError, Record, Store, TopicError};

use crate::reading_support::{Home, small};

fn faulty_store(home: &Home) -> (Faulty, Store) {
    let faulty = Faulty::new(Arc::new(Disk::new()));
    let store = small().storage(Arc::new(faulty.clone())).open(home.path()).unwrap();
    (faulty, store)
}

#[test]
fn a_deletion_that_failed_leaves_a_split_partition_split() {
    let home = Home::new();
    let (faulty, store) = faulty_store(&home);
    let topic = store.create_topic("t", 2).unwrap();
    let (old, other) = (topic.partition(0).unwrap(), topic.partition(1).unwrap());
    old.append(Record::new("before")).unwrap();
    topic.split(0, 2).unwrap();
    faulty.inject(Fault::at(Op::RenameNew).on_path("topics/default/t"));
    assert!(matches!(store.delete_topic("t"), Err(TopicError::Io(_))));
    faulty.heal();
    assert!(matches!(old.append(Record::new("x")), Err(AppendError::PartitionSplit)));
    assert!(matches!(old.truncate_suffix(0), Err(CutError::PartitionSplit)));
    other.append(Record::new("goes on")).unwrap();
    store.delete_topic("t").unwrap();
    assert!(matches!(old.append(Record::new("x")), Err(AppendError::TopicDeleted)));
}

/// Nobody can say which of two catalogues is there: the old partition takes nothing until that is known.
#[test]
fn a_split_whose_outcome_cannot_be_read_is_in_doubt() {
    let home = Home::new();
    let (faulty, store) = faulty_store(&home);
    let topic = store.create_topic("t", 1).unwrap();
    let old = topic.partition(0).unwrap();
    faulty.inject(Fault::at(Op::Open).on_path("t/TOPIC").from_then_on());
    faulty.inject(Fault::at(Op::SyncDir).on_path("topics/default/t"));
    assert!(matches!(topic.split(0, 2), Err(TopicError::Io(_))));
    faulty.heal();
    assert!(matches!(old.append(Record::new("x")), Err(AppendError::PartitionSplit)));
    assert!(topic.partition(1).is_err(), "nothing builds on it");
}
