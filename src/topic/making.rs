//! Makes the directories of topics and partitions: each whole or not at all, under a name that none can have, then renamed. Opens no partition.

use std::io;
use std::path::Path;

use tidelog_format::{Checkpoint, DecodeError, LeaderEpoch, META_NAME, Meta, Offset, Position, SEGMENT_HEADER_BYTES, Terms, TimestampNs, TopicMeta};

use crate::error::{IoContext, IoError, TopicError};
use crate::io::replace_file;
use crate::log::{CheckpointFile, NamedSegment, NewSegment, Spare};
use crate::topic::catalog::{Catalog, TOPICS};
use crate::topic::layout::Layout;
use crate::topic::name::TopicName;
use crate::topic::topic_files::write_catalog;

impl Catalog {
    /// Makes a topic: its catalogue, and no partition yet.
    pub(super) fn create_topic(&self, name: &TopicName, layout: &Layout) -> Result<(), TopicError> {
        let exists = || TopicError::Exists { name: name.to_string() };
        let target = self.topic_dir(name);
        if self.storage.kind(&target).at("look at", &target)?.is_some() {
            return Err(exists());
        }
        let namespace_dir = self.dir.join(TOPICS).join(&name.namespace);
        self.create_dirs(&namespace_dir)?;
        let temporary = self.unfinished_name(&namespace_dir);
        let made = self.fill_topic(&temporary, &layout.meta).and_then(|()| match self.storage.rename_new(&temporary, &target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists()),
            other => Ok(other.at("name", &target)?),
        });
        if made.is_err() {
            self.give_up(&temporary);
        }
        made?;
        Ok(self.storage.sync_dir(&namespace_dir).at("sync", &namespace_dir)?)
    }

    fn fill_topic(&self, dir: &Path, meta: &TopicMeta) -> Result<(), TopicError> {
        self.storage.create_dir(dir).at("create", dir)?;
        Ok(write_catalog(&*self.storage, dir, meta)?)
    }

    /// Makes the directory of a partition, unless a process that died before it could say so has made it.
    pub(super) fn make_partition(&self, name: &TopicName, layout: &Layout, number: u32, segment_bytes: u64) -> Result<(), TopicError> {
        let (topic_dir, target) = (self.topic_dir(name), self.partition_dir(name, number));
        if self.storage.kind(&target).at("look at", &target)?.is_none() {
            let temporary = self.unfinished_name(&topic_dir);
            let made = self.fill_partition(&temporary, &meta_of(name, layout, number)?, segment_bytes);
            let named = made.and_then(|()| Ok(self.storage.rename_new(&temporary, &target).at("name", &target)?));
            if named.is_err() {
                self.give_up(&temporary);
            }
            named?;
        } else if let Some(found) =
            self.identity_of(name, number).filter(|found| *found != layout.entry(name, number).map_or([0; 16], |entry| entry.uuid))
        {
            // Of another catalogue: what is in it is not what was never used.
            let (path, source) = (target.join(META_NAME), DecodeError::Field { what: "uuid", found: u64::from(found[0]) });
            return Err(TopicError::CatalogDamaged { topic: name.to_string(), path, source });
        }
        Ok(self.storage.sync_dir(&topic_dir).at("sync", &topic_dir)?)
    }

    fn fill_partition(&self, dir: &Path, meta: &Meta, segment_bytes: u64) -> Result<(), TopicError> {
        self.storage.create_dir(dir).at("create", dir)?;
        let path = dir.join(META_NAME);
        replace_file(&*self.storage, &path, &meta.encode()).at("write", &path)?;
        Ok(self.begin_log(dir, meta.uuid, segment_bytes)?)
    }

    fn begin_log(&self, dir: &Path, uuid: [u8; 16], segment_bytes: u64) -> Result<(), IoError> {
        let spare = Spare::make(&*self.storage, dir, 1, segment_bytes / 8 * 8, FIRST_SEGMENT_BYTES)?;
        let zero = Offset::ZERO;
        let new = NewSegment {
            base: zero,
            prev_end: zero,
            chain: 0,
            restarted: false,
            epoch: LeaderEpoch::new(0),
            epoch_start: zero,
            log_start: zero,
            by_recovery: false,
        };
        let segment = NamedSegment::prepare(spare, &self.storage, dir, uuid, new)?.segment;
        NamedSegment::give_name_durably(&segment, &*self.storage, dir)?;
        let first = Checkpoint {
            counter: 0,
            partition_uuid: uuid,
            log_start: zero,
            durable_next_offset: zero,
            active_seq: 1,
            active_salt: segment.header.salt,
            tail_pos: Position::new(SEGMENT_HEADER_BYTES as u64),
            tail_chain: 0,
            max_ts: TimestampNs::new(i64::MIN),
            high_water_mark: zero,
            terms: Terms::default(),
        };
        CheckpointFile::new(self.storage.clone(), dir, 0, Terms::default()).create(first)
    }
}

fn meta_of(name: &TopicName, layout: &Layout, number: u32) -> Result<Meta, TopicError> {
    let entry = layout.entry(name, number)?;
    Ok(Meta {
        compat: 0,
        ro_compat: 0,
        uuid: entry.uuid,
        created: entry.created,
        index: number,
        ring_size: layout.meta.ring_size,
        range_start: entry.range_start,
        range_stop: entry.range_stop,
        namespace: name.namespace.clone(),
        topic: name.name.clone(),
    })
}

const FIRST_SEGMENT_BYTES: u64 = 64 << 10;
