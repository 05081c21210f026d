//! The directories of a store: finds topics, and removes what was not finished. Opens no partition.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidelog_format::{LIVE_NAME, LOCK_NAME, STORE_NAME, StoreMeta, TOPIC_COPY_NAME, TOPIC_NAME};

use crate::clock::now;
use crate::error::{IoContext, IoError, OpenError, TopicError};
use crate::io::{Kind, Storage, read_file, replace_file, settle_above};
use crate::log::{RING_SIZE, new_uuid};
use crate::topic::name::TopicName;

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

    pub(super) fn create_dirs(&self, path: &Path) -> Result<(), OpenError> {
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
                // A directory without a catalogue and without a partition is no topic.
                if let Ok(topic) = format!("{namespace}/{name}").parse()
                    && (self.has_catalog(&topic)? || !self.partition_numbers(&topic)?.is_empty())
                {
                    topics.push(topic);
                }
            }
        }
        topics.sort();
        Ok(topics)
    }

    fn has_catalog(&self, name: &TopicName) -> Result<bool, IoError> {
        for path in [TOPIC_NAME, TOPIC_COPY_NAME].map(|file| self.topic_dir(name).join(file)) {
            if self.storage.kind(&path).at("look at", &path)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn sub_directories(&self, path: &Path) -> Result<Vec<String>, IoError> {
        let entries = match self.storage.list(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.at("list", path)?,
        };
        Ok(entries.into_iter().filter(|entry| entry.kind == Kind::Directory).filter_map(|entry| entry.name.into_string().ok()).collect())
    }

    pub(super) fn topic_dir(&self, name: &TopicName) -> PathBuf {
        self.dir.join(TOPICS).join(&name.namespace).join(&name.name)
    }

    pub(super) fn partition_dir(&self, name: &TopicName, partition: u32) -> PathBuf {
        self.topic_dir(name).join(partition.to_string())
    }

    /// Makes the names of topics durable, and removes those that were not finished, or not wholly deleted, when their process ended.
    pub(super) fn settle_topics(&self) -> Result<(), IoError> {
        for namespace in self.sub_directories(&self.dir.join(TOPICS))? {
            let namespace_dir = self.dir.join(TOPICS).join(namespace);
            // First: until it is durable, a power cut may give a deleted topic its name back, and then all of it must be there.
            self.storage.sync_dir(&namespace_dir).at("sync", &namespace_dir)?;
            self.remove_unfinished(&namespace_dir)?;
        }
        Ok(())
    }

    /// Makes the name of a topic durable, and those in its directory.
    pub(super) fn sync_topic(&self, name: &TopicName) -> Result<(), TopicError> {
        let topic_dir = self.topic_dir(name);
        let dirs = [topic_dir.parent().unwrap_or(&self.dir), &topic_dir];
        Ok(dirs.into_iter().try_for_each(|dir| self.storage.sync_dir(dir).at("sync", dir))?)
    }

    /// Removes what was not finished in a directory of topics, or of partitions.
    pub(super) fn remove_unfinished(&self, dir: &Path) -> Result<(), IoError> {
        let mut names = self.sub_directories(dir)?.into_iter().filter(|name| name.contains(UNFINISHED));
        names.try_for_each(|name| self.remove_tree(&dir.join(name), DEPTH_MAX))
    }

    /// A name in `dir` that no topic and no partition can have. Without theirs in it: a file name of the longest has no room for more.
    pub(super) fn unfinished_name(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{UNFINISHED}{:016x}", self.storage.random()))
    }

    /// Removes what was not finished; where that fails, the next open does.
    pub(super) fn give_up(&self, path: &Path) {
        let _ = self.remove_tree(path, DEPTH_MAX);
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

pub(super) const TOPICS: &str = "topics";
/// No topic name holds it: a directory with it in its name was not finished, or not wholly removed.
const UNFINISHED: char = '~';
/// Of one slot each in the end, and what was split on the way there.
pub(super) const PARTITIONS_MAX: u32 = 2 * RING_SIZE - 1;
/// A topic holds partitions, a partition a quarantine.
const DEPTH_MAX: u32 = 3;
