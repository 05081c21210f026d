//! How a store answers that holds [`Notes`](super::notes::Notes): what is asked is read from them, and what is to be done is a change.

/// Implements `OffsetStore` for a type with `fn read<T>(&self, impl FnOnce(&Notes) -> T) -> Result<T, _>` and `fn change(&self, Change) -> Result<usize, _>`.
macro_rules! by_notes {
    ($store:ty) => {
        const _: () = {
            use std::ops::Range;

            use tidelog_format::{Offset, TimestampNs};

            use $crate::offset::store::notes::Change;
            use $crate::offset::{CommittedOffset, GroupId, GroupMetadata, OffsetCheckpoint, OffsetMapping, OffsetStoreError, PartitionStats};
            use $crate::topic::{PartitionKey, TopicName};

            impl $crate::offset::OffsetStore for $store {
                fn commit(&self, group: &GroupId, positions: &[(PartitionKey, CommittedOffset)]) -> Result<(), OffsetStoreError> {
                    self.change(Change::Commit { group: group.clone(), positions: positions.to_vec() }).map(drop)
                }

                fn fetch(&self, group: &GroupId, partition: &PartitionKey) -> Result<Option<CommittedOffset>, OffsetStoreError> {
                    self.read(|notes| notes.fetch(group, partition))
                }

                fn fetch_all(&self, group: &GroupId) -> Result<Vec<(PartitionKey, CommittedOffset)>, OffsetStoreError> {
                    self.read(|notes| notes.fetch_all(group))
                }

                fn groups(&self) -> Result<Vec<GroupId>, OffsetStoreError> {
                    self.read(|notes| notes.groups())
                }

                fn delete(&self, group: &GroupId, partitions: &[PartitionKey]) -> Result<usize, OffsetStoreError> {
                    self.change(Change::Delete { group: group.clone(), partitions: partitions.to_vec() })
                }

                fn delete_group(&self, group: &GroupId) -> Result<usize, OffsetStoreError> {
                    self.change(Change::DeleteGroup { group: group.clone() })
                }

                fn save_group(&self, group: &GroupId, metadata: &GroupMetadata) -> Result<bool, OffsetStoreError> {
                    Ok(self.change(Change::SaveGroup { group: group.clone(), metadata: metadata.clone() })? > 0)
                }

                fn load_group(&self, group: &GroupId) -> Result<Option<GroupMetadata>, OffsetStoreError> {
                    self.read(|notes| notes.group(group))
                }

                fn delete_topic(&self, topic: &TopicName) -> Result<usize, OffsetStoreError> {
                    self.change(Change::DeleteTopic { topic: topic.clone() })
                }

                fn save_checkpoint(&self, partition: &PartitionKey, checkpoint: OffsetCheckpoint) -> Result<bool, OffsetStoreError> {
                    Ok(self.change(Change::Checkpoint { partition: partition.clone(), checkpoint })? > 0)
                }

                fn load_checkpoint(&self, partition: &PartitionKey) -> Result<Option<OffsetCheckpoint>, OffsetStoreError> {
                    self.read(|notes| notes.checkpoint(partition))
                }

                fn save_mappings(&self, partition: &PartitionKey, rows: &[OffsetMapping], saved_at: TimestampNs) -> Result<(), OffsetStoreError> {
                    self.change(Change::Mappings { partition: partition.clone(), saved_at, rows: rows.to_vec() }).map(drop)
                }

                fn mappings(&self, partition: &PartitionKey, offsets: Range<Offset>, limit: usize) -> Result<Vec<OffsetMapping>, OffsetStoreError> {
                    self.read(|notes| notes.mappings(partition, offsets, limit))
                }

                fn highest_offset(&self, partition: &PartitionKey) -> Result<Option<Offset>, OffsetStoreError> {
                    self.read(|notes| notes.highest_offset(partition))
                }

                fn save_stats(&self, partition: &PartitionKey, stats: PartitionStats) -> Result<(), OffsetStoreError> {
                    self.change(Change::Stats { partition: partition.clone(), stats }).map(drop)
                }

                fn partition_stats(&self, partition: &PartitionKey) -> Result<Option<PartitionStats>, OffsetStoreError> {
                    self.read(|notes| notes.stats(partition))
                }

                fn partitions(&self) -> Result<Vec<PartitionKey>, OffsetStoreError> {
                    self.read(|notes| notes.partitions())
                }

                fn forget(&self, partition: &PartitionKey) -> Result<(), OffsetStoreError> {
                    self.change(Change::Forget { partition: partition.clone() }).map(drop)
                }

                fn clean_up(&self, now: TimestampNs) -> Result<usize, OffsetStoreError> {
                    self.change(Change::CleanUp { now })
                }

                fn clean_up_mappings(&self, saved_before: TimestampNs) -> Result<usize, OffsetStoreError> {
                    self.change(Change::CleanUpMappings { saved_before })
                }
            }
        };
    };
}

pub(super) use by_notes;
