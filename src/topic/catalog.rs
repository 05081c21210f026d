//! The directories of a store: finds and makes topics and partitions. Opens no partition.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidelog_format::{
    Checkpoint, LIVE_NAME, LOCK_NAME, LeaderEpoch, META_NAME, Meta, Offset, Position, SEGMENT_HEADER_BYTES, STORE_NAME, StoreMeta, Terms, TimestampNs,
};

use crate::clock::now;
use crate::error::{IoContext, IoError, OpenError, TopicError};
use crate::io::{Kind, Storage, read_file, replace_file, settle_above};
use crate::log::{CheckpointFile, NamedSegment, NewSegment, RING_SIZE, Spare, new_uuid, ring_range};
use crate::topic::name::{TopicName, near};

/// The partitions that a topic was made with.
#[derive(Debug, Clone)]
pub(super) struct Partitions {
    pub(super) count: u32,
    /// Those that have no directory any more.
    pub(super) missing: Vec<u32>,
}

impl Partitions {
    /// Whether one of them can be opened.
    pub(super) fn check(&self, name: &TopicName, partition: u32) -> Result<(), TopicError> {
        if partition >= self.count {
            return Err(TopicError::NoPartition { topic: name.to_string(), partition, count: self.count });
        }
        if self.missing.contains(&partition) { Err(self.gone(name)) } else { Ok(()) }
    }

    /// That some of them are gone.
    pub(super) fn gone(&self, name: &TopicName) -> TopicError {
        TopicError::PartitionsMissing { topic: name.to_string(), count: self.count, missing: self.missing.clone() }
    }
}

/// The directories of one store.
#[derive(Debug, Clone)]
pub(super) struct Catalog {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) dir: PathBuf,
}

impl Catalog {
    /// Whether the directory is a store, checked without changing anything.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        match self.storage.kind(&self.dir).at("look at", &self.dir)? {
            None => return Err(OpenError::NotFound { path: self.dir.clone() }),
            // A symlink is followed by whoever opens what is in it.
            Some(Kind::Directory | Kind::Other) => {}
            Some(Kind::File) => return Err(OpenError::NotADirectory { path: self.dir.clone() }),
        }
        let path = self.dir.join(STORE_NAME);
        match read_file(&*self.storage, &path, 4096) {
            Ok(bytes) => match StoreMeta::decode(&bytes) {
                Ok(_) => Ok(()),
                Err(source) if source.is_unsupported() => Err(OpenError::Unsupported { path, source }),
                Err(_) => self.check_foreign(),
            },
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                self.check_foreign()
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(OpenError::NotADirectory { path: self.dir.clone() }),
            Err(error) => Err(IoError::new("read", &path, error).into()),
        }
    }

    /// Without STORE, only what holds nothing that a store has not is one; anything else is somebody's.
    fn check_foreign(&self) -> Result<(), OpenError> {
        let names = match self.storage.list(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(OpenError::NotADirectory { path: self.dir.clone() }),
            other => other.at("list", &self.dir)?,
        };
        let is_ours = |name: &str, kind| match name {
            TOPICS => kind == Kind::Directory,
            name => [STORE_NAME, LOCK_NAME, LIVE_NAME].contains(&name.strip_suffix(".tmp").unwrap_or(name)),
        };
        match names.iter().find(|entry| !entry.name.to_str().is_some_and(|name| is_ours(name, entry.kind))) {
            None if names.is_empty() => Err(OpenError::NotFound { path: self.dir.clone() }),
            None => Ok(()),
            Some(odd) => Err(OpenError::Foreign { path: self.dir.clone(), found: format!("{:?}", odd.name) }),
        }
    }

    /// Makes the directory a store, if it is not one yet; each directory made is durable in its parent.
    pub(super) fn create(&self) -> Result<(), OpenError> {
        let path = self.dir.join(STORE_NAME);
        let valid = read_file(&*self.storage, &path, 4096).is_ok_and(|bytes| StoreMeta::decode(&bytes).is_ok());
        if !valid {
            self.create_dirs(&self.dir)?;
            let meta = StoreMeta { uuid: new_uuid(&*self.storage), created: now() };
            replace_file(&*self.storage, &path, &meta.encode()).at("write", &path)?;
        }
        self.create_dirs(&self.dir.join(TOPICS))
    }

    fn create_dirs(&self, path: &Path) -> Result<(), OpenError> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut is_new = true;
        match self.storage.create_dir(path) {
            Ok(()) => {}
            // Whoever made it may have been killed before its name was durable.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => is_new = false,
            Err(error) if error.kind() == io::ErrorKind::NotFound && parent.is_some() => {
                self.create_dirs(parent.unwrap_or(path))?;
                self.storage.create_dir(path).at("create", path)?;
            }
            Err(error) => return Err(IoError::new("create", path, error).into()),
        }
        let parent = parent.unwrap_or(Path::new("."));
        match self.storage.sync_dir(parent) {
            // Somebody else's, then, who gave us a directory in it.
            Err(error) if !is_new && error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            other => other.at("sync", parent)?,
        }
        if is_new { Ok(settle_above(&*self.storage, parent)?) } else { Ok(()) }
    }

    /// All topics, by name.
    pub(super) fn topics(&self) -> Result<Vec<TopicName>, IoError> {
        let mut topics = Vec::new();
        for namespace in self.sub_directories(&self.dir.join(TOPICS))? {
            for name in self.sub_directories(&self.dir.join(TOPICS).join(&namespace))? {
                // A directory without a partition is no topic.
                if let Ok(topic) = format!("{namespace}/{name}").parse()
                    && !self.partition_numbers(&topic)?.is_empty()
                {
                    topics.push(topic);
                }
            }
        }
        topics.sort();
        Ok(topics)
    }

    fn sub_directories(&self, path: &Path) -> Result<Vec<String>, IoError> {
        let entries = match self.storage.list(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.at("list", path)?,
        };
        Ok(entries.into_iter().filter(|entry| entry.kind == Kind::Directory).filter_map(|entry| entry.name.into_string().ok()).collect())
    }

    /// The partitions of a topic; an error that names topics like it if there is none.
    pub(super) fn partitions(&self, name: &TopicName) -> Result<Partitions, TopicError> {
        let mut there = self.partition_numbers(name)?;
        let exists = !there.is_empty() || self.storage.kind(&self.topic_dir(name)).at("look at", &self.topic_dir(name))?.is_some();
        if exists && there.is_empty() {
            there = self.partition_numbers(name)?; // made in between, with its partitions in it
        }
        match there.last() {
            Some(&last) => {
                let count = self.count_by(name, last);
                Ok(Partitions { count, missing: (0..count).filter(|number| there.binary_search(number).is_err()).collect() })
            }
            None if exists => Ok(Partitions { count: 1, missing: vec![0] }),
            None => Err(TopicError::Unknown { name: name.to_string(), near: near(name, &self.topics()?) }),
        }
    }

    /// The partitions that have a directory, in order.
    fn partition_numbers(&self, name: &TopicName) -> Result<Vec<u32>, IoError> {
        // Other numbers are no partition's: nothing is made under them.
        let number = |dir: &String| dir.parse().ok().filter(|number: &u32| *number < PARTITIONS_MAX && number.to_string() == *dir);
        let mut numbers: Vec<u32> = self.sub_directories(&self.topic_dir(name))?.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// How many partitions the topic had, as the share of the ring of its last one tells.
    fn count_by(&self, name: &TopicName, last: u32) -> u32 {
        let meta = read_file(&*self.storage, &self.partition_dir(name, last).join(META_NAME), 4096).ok().and_then(|bytes| Meta::decode(&bytes).ok());
        let share = meta.filter(|meta| meta.index == last && meta.ring_size == RING_SIZE).map(|meta| (meta.range_start, meta.range_stop));
        (last + 1..=PARTITIONS_MAX).find(|&count| Some(ring_range(last, count)) == share).unwrap_or(last + 1)
    }

    pub(super) fn topic_dir(&self, name: &TopicName) -> PathBuf {
        self.dir.join(TOPICS).join(&name.namespace).join(&name.name)
    }

    pub(super) fn partition_dir(&self, name: &TopicName, partition: u32) -> PathBuf {
        self.topic_dir(name).join(partition.to_string())
    }

    /// Makes a topic, whole or not at all: under a name that no topic can have, then renamed.
    pub(super) fn create_topic(&self, name: &TopicName, partitions: u32, segment_bytes: u64) -> Result<(), TopicError> {
        if partitions == 0 || partitions > PARTITIONS_MAX {
            return Err(TopicError::PartitionCount { found: partitions, limit: PARTITIONS_MAX });
        }
        let exists = || TopicError::Exists { name: name.to_string() };
        let target = self.topic_dir(name);
        if self.storage.kind(&target).at("look at", &target)?.is_some() {
            return Err(exists());
        }
        let namespace_dir = self.dir.join(TOPICS).join(&name.namespace);
        self.create_dirs(&namespace_dir)?;
        // Without the name itself: a file name of the longest has no room for more.
        let temporary = namespace_dir.join(format!("{UNFINISHED}{:016x}", self.storage.random()));
        let made = self.fill_topic(&temporary, name, partitions, segment_bytes).and_then(|()| match self.storage.rename_new(&temporary, &target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists()),
            other => Ok(other.at("name", &target)?),
        });
        if made.is_err() {
            let _ = self.remove_tree(&temporary, DEPTH_MAX); // else the next open removes it
        }
        made?;
        Ok(self.storage.sync_dir(&namespace_dir).at("sync", &namespace_dir)?)
    }

    fn fill_topic(&self, dir: &Path, name: &TopicName, partitions: u32, segment_bytes: u64) -> Result<(), TopicError> {
        self.storage.create_dir(dir).at("create", dir)?;
        for index in 0..partitions {
            self.create_partition(&dir.join(index.to_string()), name, index, partitions, segment_bytes)?;
        }
        Ok(self.storage.sync_dir(dir).at("sync", dir)?)
    }

    fn create_partition(&self, dir: &Path, name: &TopicName, index: u32, count: u32, segment_bytes: u64) -> Result<(), TopicError> {
        self.storage.create_dir(dir).at("create", dir)?;
        let (uuid, created) = (new_uuid(&*self.storage), now());
        let (range_start, range_stop) = ring_range(index, count);
        let (namespace, topic) = (name.namespace.clone(), name.name.clone());
        let meta = Meta { compat: 0, ro_compat: 0, uuid, created, index, ring_size: RING_SIZE, range_start, range_stop, namespace, topic };
        let path = dir.join(META_NAME);
        replace_file(&*self.storage, &path, &meta.encode()).at("write", &path)?;
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
        Ok(CheckpointFile::new(self.storage.clone(), dir, 0, Terms::default()).create(first)?)
    }

    /// Removes topics that were not finished when their process ended, and makes the names of the others durable.
    pub(super) fn settle_topics(&self) -> Result<(), IoError> {
        for namespace in self.sub_directories(&self.dir.join(TOPICS))? {
            let namespace_dir = self.dir.join(TOPICS).join(namespace);
            for name in self.sub_directories(&namespace_dir)? {
                if name.contains(UNFINISHED) {
                    self.remove_tree(&namespace_dir.join(name), DEPTH_MAX)?;
                }
            }
            self.storage.sync_dir(&namespace_dir).at("sync", &namespace_dir)?;
        }
        Ok(())
    }

    fn remove_tree(&self, path: &Path, depth: u32) -> Result<(), IoError> {
        for entry in self.storage.list(path).at("list", path)? {
            let inner = path.join(&entry.name);
            if entry.kind == Kind::Directory && depth > 0 {
                self.remove_tree(&inner, depth - 1)?;
            } else {
                self.storage.unlink(&inner).at("remove", &inner)?;
            }
        }
        self.storage.remove_dir(path).at("remove", path)
    }
}

const TOPICS: &str = "topics";
/// No topic name holds it: a directory with it in its name is a topic that was not finished.
const UNFINISHED: char = '~';
const PARTITIONS_MAX: u32 = RING_SIZE;
const FIRST_SEGMENT_BYTES: u64 = 64 << 10;
/// A topic holds partitions, a partition a quarantine.
const DEPTH_MAX: u32 = 3;
