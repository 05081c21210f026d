//! Rows out of the log: partitions one after the other, or merged by offset. What cannot be read is an error, and never a row less.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::collections::binary_heap::{BinaryHeap, PeekMut};
use std::sync::Arc;

use rusqlite::Result;
use tidelog::StoredRecord;

use crate::partition_rows::PartitionRows;
use crate::plan::{Order, Ranges};
use crate::snapshot::Snapshot;

/// The rows of one scan, from the first one on.
#[derive(Debug)]
pub(crate) struct Scan {
    snapshot: Arc<Snapshot>,
    ranges: Ranges,
    order: Order,
    /// Partitions that are not begun.
    waiting: VecDeque<u32>,
    /// The next row of each that is; the first of them is the scan's.
    heads: BinaryHeap<Head>,
}

#[derive(Debug)]
struct Head {
    /// The least comes first.
    rank: (u64, u32),
    record: StoredRecord,
    rows: PartitionRows,
}

impl Scan {
    pub(crate) fn begin(snapshot: &Arc<Snapshot>, ranges: Ranges, order: Order) -> Result<Self> {
        let has_rows = !ranges.index.is_empty() && !ranges.time.is_empty();
        let waiting = (0..snapshot.partition_count()).filter(|number| has_rows && ranges.partition.contains((*number).into())).collect();
        let mut scan = Self { snapshot: snapshot.clone(), ranges, order, waiting, heads: BinaryHeap::new() };
        scan.fill()?;
        Ok(scan)
    }

    /// The row that the scan is at, and its partition; none is the end.
    pub(crate) fn row(&self) -> Option<(u32, &StoredRecord)> {
        self.heads.peek().map(|head| (head.rank.1, &head.record))
    }

    /// Goes to the next row.
    pub(crate) fn advance(&mut self) -> Result<()> {
        if let Some(mut head) = self.heads.peek_mut() {
            match head.rows.next()? {
                Some(record) => (head.rank.0, head.record) = (rank(self.order, &record), record),
                None => drop(PeekMut::pop(head)),
            }
        }
        self.fill()
    }

    /// Begins the partitions whose rows may be next: all of them, unless they come one after the other.
    fn fill(&mut self) -> Result<()> {
        while self.order != Order::ByPartition || self.heads.is_empty() {
            let Some(partition) = self.waiting.pop_front() else { break };
            let window = self.snapshot.window(partition)?;
            let mut rows = PartitionRows::begin(&self.snapshot, window, self.ranges, self.order == Order::Descending)?;
            if let Some(record) = rows.next()? {
                self.heads.push(Head { rank: (rank(self.order, &record), partition), record, rows });
            }
        }
        Ok(())
    }
}

fn rank(order: Order, record: &StoredRecord) -> u64 {
    let offset = record.offset().get();
    if order == Order::Descending { u64::MAX - offset } else { offset }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        other.rank.cmp(&self.rank)
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Head {}
