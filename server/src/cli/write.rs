//! What the commands that write share: an item of the input as a record, its size, the partition it goes to. Appends nothing.

use tidelog::{Record, Topic};

use crate::input::Item;

/// The record that an item becomes.
pub(crate) fn record_of<'a>(item: &Item<'a>) -> Record<'a> {
    let mut record = Record::new(item.value);
    if let Some(key) = item.key {
        record = record.key(key);
    }
    match item.timestamp {
        Some(timestamp) => record.timestamp(timestamp),
        None => record,
    }
}

/// More than the item takes in a batch.
pub(crate) fn item_bytes(item: &Item<'_>) -> usize {
    item.value.len() + item.key.map_or(0, <[u8]>::len) + RECORD_OVERHEAD_BYTES
}

/// Which of some partitions, by place, a record goes to: to the only one, or, if those are all of the topic's, by its key. Records without one
/// take turns by their number in the input, so that the same input is always routed alike. `active` are those that take turns.
pub(crate) fn route(topic: &Topic, count: usize, active: &[u32], key: Option<&[u8]>, number: u64) -> usize {
    match (count, key) {
        (1, _) => 0,
        (_, Some(key)) => topic.partition_for_key(key) as usize,
        (_, None) => active[(number % active.len() as u64) as usize] as usize,
    }
}

/// More than a record takes beside its key and value: lengths, deltas, its part of the batch's nanoseconds.
pub(crate) const RECORD_OVERHEAD_BYTES: usize = 64;
