//! The partitions of a topic, and which of them a slot of the ring belongs to: a value. Reads and writes no file.

use tidelog_format::{PartitionEntry, TopicMeta};

use crate::clock::now;
use crate::error::TopicError;
use crate::io::Storage;
use crate::log::{RING_SIZE, new_uuid, ring_range};
use crate::topic::name::TopicName;
use crate::topic::ring_range::RingRange;
use crate::topic::topic_info::{TopicInfo, TopicPartition};
use crate::topic::topic_options::TopicOptions;

/// A catalogue, and what is looked up in it for every key.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) meta: TopicMeta,
    /// First slots and numbers of the active partitions, by slot.
    routes: Vec<(u32, u32)>,
}

impl Layout {
    pub(super) fn new(meta: TopicMeta) -> Self {
        let active = (0..).zip(&meta.partitions).filter(|(_, entry)| entry.is_active());
        let mut routes: Vec<(u32, u32)> = active.map(|(number, entry)| (entry.range_start, number)).collect();
        routes.sort_unstable();
        Self { meta, routes }
    }

    /// Of a topic that is to be made.
    pub(super) fn first(options: &TopicOptions, storage: &dyn Storage) -> Result<Self, TopicError> {
        let created = now();
        let entry =
            |(range_start, range_stop)| PartitionEntry { uuid: new_uuid(storage), created, range_start, range_stop, split: 0..0, made: false };
        let partitions = options.checked_ranges()?.into_iter().map(entry).collect();
        Ok(Self::new(TopicMeta { uuid: new_uuid(storage), created, ring_size: RING_SIZE, partitions }))
    }

    /// Of `count` partitions with even ranges, as topics without a catalogue have.
    pub(super) fn even(count: u32, identity: impl Fn(u32) -> ([u8; 16], tidelog_format::TimestampNs)) -> Self {
        let entry = |number| {
            let ((range_start, range_stop), (uuid, created)) = (ring_range(number, count), identity(number));
            PartitionEntry { uuid, created, range_start, range_stop, split: 0..0, made: true }
        };
        let partitions: Vec<_> = (0..count).map(entry).collect();
        let (uuid, created) = identity(0);
        Self::new(TopicMeta { uuid, created, ring_size: RING_SIZE, partitions })
    }

    /// Partitions, active and split.
    pub(super) fn count(&self) -> u32 {
        self.meta.partitions.len() as u32
    }

    /// The partitions that have directories, in order.
    pub(super) fn made(&self) -> Vec<u32> {
        (0..).zip(&self.meta.partitions).filter(|(_, entry)| entry.made).map(|(number, _)| number).collect()
    }

    pub(super) fn entry(&self, name: &TopicName, partition: u32) -> Result<&PartitionEntry, TopicError> {
        let no_partition = || TopicError::NoPartition { topic: name.to_string(), partition, count: self.count() };
        self.meta.partitions.get(partition as usize).ok_or_else(no_partition)
    }

    pub(super) fn range(&self, name: &TopicName, partition: u32) -> Result<RingRange, TopicError> {
        let entry = self.entry(name, partition)?;
        RingRange::new(self.meta.ring_size, entry.range_start, entry.range_stop)
    }

    /// The active partition whose range holds the slot.
    pub(super) fn for_slot(&self, slot: u32) -> u32 {
        let at = self.routes.partition_point(|(start, _)| *start <= slot);
        self.routes[at.saturating_sub(1)].1
    }

    /// The active partitions, by range.
    pub(super) fn active(&self) -> Vec<u32> {
        self.routes.iter().map(|(_, number)| *number).collect()
    }

    /// The partitions that hold, or held, a slot of the range: what was split before what it was split into.
    pub(super) fn in_range(&self, range: RingRange) -> Vec<u32> {
        let overlaps = |entry: &PartitionEntry| entry.range_start < range.stop() && range.start() < entry.range_stop;
        (0..).zip(&self.meta.partitions).filter(|(_, entry)| overlaps(entry)).map(|(number, _)| number).collect()
    }

    /// The partition of exactly this range. Parts are smaller than what was split: there is one at most.
    pub(super) fn of_range(&self, range: RingRange) -> Option<u32> {
        let is_it = |entry: &PartitionEntry| (entry.range_start, entry.range_stop) == (range.start(), range.stop());
        let at = self.meta.partitions.iter().position(is_it).filter(|_| range.size() == self.meta.ring_size)?;
        Some(at as u32)
    }

    /// The catalogue after a partition was split at some slots, and the numbers of the new ones.
    pub(super) fn split(&self, name: &TopicName, partition: u32, at: &[u32], storage: &dyn Storage) -> Result<(TopicMeta, Vec<u32>), TopicError> {
        let entry = self.entry(name, partition)?;
        if !entry.is_active() {
            return Err(TopicError::AlreadySplit { topic: name.to_string(), partition, into: entry.split.clone().collect() });
        }
        let (start, stop) = (entry.range_start, entry.range_stop);
        if at.is_empty() {
            return Err(TopicError::SplitParts { start, stop, found: 1 });
        }
        let starts: Vec<u32> = [&[start], at].concat();
        let stops: Vec<u32> = [at, &[stop]].concat();
        if let Some((found, _)) = stops.iter().zip(&starts).find(|(stop, start)| stop <= start) {
            // Of a last part that has no slot, it is where it begins that is wrong.
            let found = if found == &stop { at[at.len() - 1] } else { *found };
            return Err(TopicError::SplitAt { start, stop, found });
        }
        let (mut meta, created, first) = (self.meta.clone(), now(), self.count());
        if meta.uuid == [0; 16] {
            meta.uuid = new_uuid(storage); // without a catalogue until now, and without a META to be known by
        }
        meta.partitions[partition as usize].split = first..first + starts.len() as u32;
        meta.partitions.extend(starts.into_iter().zip(stops).map(|(range_start, range_stop)| PartitionEntry {
            uuid: new_uuid(storage),
            created,
            range_start,
            range_stop,
            split: 0..0,
            made: false,
        }));
        let into = (first..meta.partitions.len() as u32).collect();
        Ok((meta, into))
    }

    /// Where a partition is split into even parts.
    pub(super) fn even_parts(&self, name: &TopicName, partition: u32, parts: u32) -> Result<Vec<u32>, TopicError> {
        let entry = self.entry(name, partition)?;
        let (start, stop) = (entry.range_start, entry.range_stop);
        let slots = stop - start;
        if parts < 2 || parts > slots {
            // What was split before is no range to be split any more, whatever the number.
            let into: Vec<u32> = entry.split.clone().collect();
            return Err(match into.is_empty() {
                true => TopicError::SplitParts { start, stop, found: parts },
                false => TopicError::AlreadySplit { topic: name.to_string(), partition, into },
            });
        }
        Ok((1..parts).map(|part| start + (u64::from(slots) * u64::from(part) / u64::from(parts)) as u32).collect())
    }

    pub(super) fn info(&self, name: &TopicName) -> TopicInfo {
        let partition = |(number, entry): (u32, &PartitionEntry)| TopicPartition {
            partition: number,
            uuid: hex(entry.uuid),
            created_ts_ns: entry.created.get(),
            range_start: entry.range_start,
            range_stop: entry.range_stop,
            split_into: entry.split.clone().collect(),
            made: entry.made,
        };
        TopicInfo {
            topic: name.to_string(),
            uuid: hex(self.meta.uuid),
            created_ts_ns: self.meta.created.get(),
            ring_size: self.meta.ring_size,
            partitions: (0..).zip(&self.meta.partitions).map(partition).collect(),
        }
    }
}

fn hex(uuid: [u8; 16]) -> String {
    uuid.iter().map(|byte| format!("{byte:02x}")).collect()
}
