//! A catalogue that is damaged or lost, put together again from what the partitions of its topic say. Guesses nothing, and writes no file.

use tidelog_format::{META_NAME, Meta, PartitionEntry, TopicMeta};

use crate::io::read_file;
use crate::log::{RING_SIZE, new_uuid};
use crate::topic::catalog::Catalog;
use crate::topic::name::TopicName;
use crate::topic::topic_files::TopicFiles;

impl Catalog {
    /// The catalogue as META of the partitions tells it, if their ranges fit together with none missing. What a partition was split into is lost if
    /// none of that was ever used: then it is not split any more.
    pub(super) fn rebuilt(&self, name: &TopicName, files: &TopicFiles) -> Option<TopicMeta> {
        let metas: Vec<Meta> = (0..).zip(&files.there).map_while(|(expected, number)| self.meta_at(name, expected, *number)).collect();
        if metas.len() != files.there.len() {
            return None;
        }
        let mut partitions: Vec<PartitionEntry> = metas
            .iter()
            .map(|meta| PartitionEntry {
                uuid: meta.uuid,
                created: meta.created,
                range_start: meta.range_start,
                range_stop: meta.range_stop,
                split: 0..0,
                made: true,
            })
            .collect();
        note_splits(&mut partitions);
        let created = metas.iter().map(|meta| meta.created).min()?;
        let meta = TopicMeta { uuid: new_uuid(&*self.storage), created, ring_size: RING_SIZE, partitions };
        meta.check().is_ok().then_some(meta)
    }

    fn meta_at(&self, name: &TopicName, expected: u32, number: u32) -> Option<Meta> {
        let bytes = read_file(&*self.storage, &self.partition_dir(name, number).join(META_NAME), 4096).ok()?;
        Meta::decode(&bytes).ok().filter(|meta| number == expected && meta.index == number && meta.ring_size == RING_SIZE)
    }
}

/// A range was split into those behind it that tile it.
fn note_splits(partitions: &mut [PartitionEntry]) {
    let mut has_parent = vec![false; partitions.len()];
    for number in 0..partitions.len() {
        let (start, stop) = (partitions[number].range_start, partitions[number].range_stop);
        let first =
            (number + 1..partitions.len()).find(|&at| !has_parent[at] && partitions[at].range_start == start && partitions[at].range_stop < stop);
        let Some(first) = first else { continue };
        let (mut next, mut behind) = (start, first);
        while let Some(part) = partitions.get(behind).filter(|part| part.range_start == next && part.range_stop <= stop) {
            next = part.range_stop;
            behind += 1;
            if next == stop {
                break;
            }
        }
        if next == stop {
            has_parent[first..behind].fill(true);
            partitions[number].split = first as u32..behind as u32;
        }
    }
}
