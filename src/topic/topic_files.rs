//! What the directory of a topic holds: its catalogue, or without one what its partitions say, and which of them are there. Changes nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tidelog_format::{DecodeError, FILE_HEADER_BYTES, META_NAME, Meta, TOPIC_COPY_NAME, TOPIC_NAME, TimestampNs, TopicMeta};

use crate::error::{IoContext, IoError, OpenError, TopicError};
use crate::io::{Storage, read_file, replace_file};
use crate::log::{Absent, RING_SIZE, ring_range};
use crate::topic::catalog::{Catalog, PARTITIONS_MAX};
use crate::topic::layout::Layout;
use crate::topic::name::{TopicName, near};

/// A topic as found.
#[derive(Debug, Clone)]
pub(super) struct TopicFiles {
    pub(super) layout: Layout,
    /// The partitions that have a directory, in order.
    pub(super) there: Vec<u32>,
    /// Those that had one.
    pub(super) missing: Vec<u32>,
    /// Why the layout cannot be believed: then it only says which partitions there are to be read.
    pub(super) damage: Option<TopicError>,
    /// Why the layout is that of the catalogue's copy.
    pub(super) spoiled: Option<TopicError>,
}

impl TopicFiles {
    /// Whether a partition can be read.
    pub(super) fn check(&self, name: &TopicName, partition: u32) -> Result<(), TopicError> {
        self.layout.entry(name, partition)?;
        if self.missing.contains(&partition) { Err(self.gone(name)) } else { Ok(()) }
    }

    /// That some of them are gone.
    pub(super) fn gone(&self, name: &TopicName) -> TopicError {
        TopicError::PartitionsMissing { topic: name.to_string(), count: self.layout.count(), missing: self.missing.clone() }
    }

    /// What it is to be written by: nothing is missing, and keys go where they went before.
    pub(super) fn writable(self, name: &TopicName) -> Result<Self, TopicError> {
        match &self.damage {
            Some(damage) => Err(damage.clone()),
            None if !self.missing.is_empty() => Err(self.gone(name)),
            None => Ok(self),
        }
    }
}

/// What the file TOPIC is.
enum Found {
    Absent,
    Whole(Box<TopicMeta>),
    Damaged(DecodeError),
    /// Damaged or lost, and its copy is whole.
    Copied(Box<TopicMeta>, DecodeError),
}

impl Catalog {
    /// The topic's partitions; an error that names topics like it if there is none.
    pub(super) fn topic_files(&self, name: &TopicName) -> Result<TopicFiles, TopicError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            // Before the list: a partition that it calls made is there by then.
            let found = read_catalog(&self.storage, &self.topic_dir(name))?;
            let there = self.partition_numbers(name)?;
            let damaged = |source| TopicError::CatalogDamaged { topic: name.to_string(), path: self.topic_dir(name).join(TOPIC_NAME), source };
            let beyond = self.beyond(name, &found, &there)?;
            let files = match beyond.map_or(found, Found::Damaged) {
                Found::Whole(meta) => by_catalog(*meta, there, None)?,
                Found::Copied(meta, source) => by_catalog(*meta, there, Some(damaged(source)))?,
                Found::Damaged(source) => TopicFiles { damage: Some(damaged(source)), ..self.by_directories(name, there)? },
                Found::Absent => self.by_directories(name, there)?,
            };
            // Split, deleted, or deleted and made anew, between the two looks.
            if files.missing.is_empty() && beyond.is_none() || attempts == ATTEMPTS {
                return Ok(files);
            }
        }
    }

    /// What is wrong with a catalogue of fewer partitions than there are: it is an older one, that somebody brought back.
    fn beyond(&self, name: &TopicName, found: &Found, there: &[u32]) -> Result<Option<DecodeError>, IoError> {
        let (Found::Whole(meta) | Found::Copied(meta, _)) = found else { return Ok(None) };
        let count = meta.partitions.len();
        for number in there.iter().filter(|number| **number as usize >= count) {
            // A directory without it never was a partition.
            let meta = self.partition_dir(name, *number).join(META_NAME);
            if self.storage.kind(&meta).at("look at", &meta)?.is_some() {
                return Ok(Some(DecodeError::Field { what: "partition count", found: count as u64 }));
            }
        }
        Ok(None)
    }

    /// The partitions of a topic without a catalogue: as many as the share of the ring of its last one tells.
    fn by_directories(&self, name: &TopicName, mut there: Vec<u32>) -> Result<TopicFiles, TopicError> {
        let exists = !there.is_empty() || self.storage.kind(&self.topic_dir(name)).at("look at", &self.topic_dir(name))?.is_some();
        if exists && there.is_empty() {
            there = self.partition_numbers(name)?; // made in between, with its partitions in it
        }
        let Some(&last) = there.last() else {
            if !exists {
                return Err(TopicError::Unknown { name: name.to_string(), near: near(name, &self.topics()?) });
            }
            let layout = Layout::even(1, |_| ([0; 16], TimestampNs::new(0)));
            return Ok(TopicFiles { layout, there, missing: vec![0], damage: None, spoiled: None });
        };
        let metas: BTreeMap<u32, Meta> = there.iter().filter_map(|number| Some((*number, self.meta_of(name, *number)?))).collect();
        let share = metas.get(&last).filter(|meta| meta.ring_size == RING_SIZE).map(|meta| (meta.range_start, meta.range_stop));
        let count = (last + 1..=RING_SIZE).find(|&count| Some(ring_range(last, count)) == share).unwrap_or(last + 1);
        let identity = |number| metas.get(&number).map_or(([0; 16], TimestampNs::new(0)), |meta| (meta.uuid, meta.created));
        // Without a catalogue the ranges are even. Others had one, which is lost.
        let odd = metas.iter().find(|(number, meta)| (meta.range_start, meta.range_stop) != ring_range(**number, count));
        let damage = odd.map(|(number, meta)| TopicError::CatalogDamaged {
            topic: name.to_string(),
            path: self.partition_dir(name, *number).join(META_NAME),
            source: DecodeError::Field { what: "range_start", found: meta.range_start.into() },
        });
        let missing = (0..count).filter(|number| there.binary_search(number).is_err()).collect();
        Ok(TopicFiles { layout: Layout::even(count, identity), there, missing, damage, spoiled: None })
    }

    /// The identity that META of a partition says, if it can be read.
    pub(super) fn identity_of(&self, name: &TopicName, partition: u32) -> Option<[u8; 16]> {
        self.meta_of(name, partition).map(|meta| meta.uuid)
    }

    /// What META of a partition says, if it is that of the partition.
    fn meta_of(&self, name: &TopicName, partition: u32) -> Option<Meta> {
        let bytes = read_file(&*self.storage, &self.partition_dir(name, partition).join(META_NAME), 4096).ok()?;
        Meta::decode(&bytes).ok().filter(|meta| meta.index == partition)
    }

    /// The partitions that have a directory, in order.
    pub(super) fn partition_numbers(&self, name: &TopicName) -> Result<Vec<u32>, IoError> {
        // Other numbers are no partition's: nothing is made under them.
        let number = |dir: &String| dir.parse().ok().filter(|number: &u32| *number < PARTITIONS_MAX && number.to_string() == *dir);
        let mut numbers: Vec<u32> = self.sub_directories(&self.topic_dir(name))?.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// The topic as its catalogue tells it.
fn by_catalog(meta: TopicMeta, mut there: Vec<u32>, spoiled: Option<TopicError>) -> Result<TopicFiles, TopicError> {
    if meta.ring_size != RING_SIZE {
        return Err(TopicError::RingSize { expected: RING_SIZE, found: meta.ring_size });
    }
    there.retain(|number| (*number as usize) < meta.partitions.len());
    let made = |number: &u32| meta.partitions[*number as usize].made;
    let missing = (0..meta.partitions.len() as u32).filter(made).filter(|number| there.binary_search(number).is_err()).collect();
    Ok(TopicFiles { layout: Layout::new(meta), there, missing, damage: None, spoiled })
}

/// For whoever follows the partition in `dir`: why it has no directory.
pub(super) fn why_absent(storage: &Arc<dyn Storage>, dir: &Path, uuid: [u8; 16]) -> Result<Absent, OpenError> {
    let topic_dir = dir.parent().unwrap_or(dir);
    if storage.kind(topic_dir).at("look at", topic_dir)?.is_none() {
        return Ok(Absent::Deleted);
    }
    // Without a catalogue that can be believed, a partition is its directory.
    let (Found::Whole(meta) | Found::Copied(meta, _)) = read_catalog(storage, topic_dir)? else { return Ok(Absent::Made) };
    let number: Option<usize> = dir.file_name().and_then(|name| name.to_str()?.parse().ok());
    Ok(match number.and_then(|number| meta.partitions.get(number)).filter(|entry| entry.uuid == uuid) {
        Some(entry) if entry.made => Absent::Made,
        Some(_) => Absent::Unmade,
        None => Absent::Deleted,
    })
}

/// The catalogue, or, where that is damaged or lost, its copy, which is written before it. What is wrong with that is not taken for there being none.
fn read_catalog(storage: &Arc<dyn Storage>, topic_dir: &Path) -> Result<Found, OpenError> {
    let found = read_one(storage, &topic_dir.join(TOPIC_NAME))?;
    let source = match &found {
        Found::Damaged(source) => *source,
        Found::Absent => DecodeError::Truncated { needed: FILE_HEADER_BYTES, found: 0 },
        Found::Whole(_) | Found::Copied(..) => return Ok(found),
    };
    match read_one(storage, &topic_dir.join(TOPIC_COPY_NAME))? {
        Found::Whole(meta) => Ok(Found::Copied(meta, source)),
        Found::Damaged(_) => Ok(Found::Damaged(source)),
        Found::Absent | Found::Copied(..) => Ok(found),
    }
}

impl Catalog {
    /// Writes the copy of a topic's catalogue anew where it does not say the same: a crash came between the two, or it is damaged.
    pub(super) fn renew_copy(&self, name: &TopicName) -> Result<(), IoError> {
        let dir = self.topic_dir(name);
        let (path, copy) = (dir.join(TOPIC_NAME), dir.join(TOPIC_COPY_NAME));
        let Ok(bytes) = read_file(&*self.storage, &path, CATALOG_BYTES_MAX) else { return Ok(()) };
        if TopicMeta::decode(&bytes).is_err() || read_file(&*self.storage, &copy, CATALOG_BYTES_MAX).is_ok_and(|copied| copied == bytes) {
            return Ok(());
        }
        replace_file(&*self.storage, &copy, &bytes).at("write", &copy)
    }
}

fn read_one(storage: &Arc<dyn Storage>, path: &Path) -> Result<Found, OpenError> {
    match read_file(&**storage, path, CATALOG_BYTES_MAX) {
        Ok(bytes) => match TopicMeta::decode(&bytes) {
            Ok(meta) => Ok(Found::Whole(Box::new(meta))),
            Err(source) if source.is_unsupported() => Err(OpenError::Unsupported { path: path.to_owned(), source }),
            Err(source) => Ok(Found::Damaged(source)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Absent),
        // No regular file, or one that is too long to be a catalogue.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
            Ok(Found::Damaged(DecodeError::Truncated { needed: FILE_HEADER_BYTES, found: 0 }))
        }
        Err(error) => Err(IoError::new("read", path, error).into()),
    }
}

/// Puts a catalogue, and before it its copy, in the place of those that are there.
pub(super) fn write_catalog(storage: &dyn Storage, topic_dir: &Path, meta: &TopicMeta) -> Result<(), IoError> {
    let bytes = meta.encode();
    for path in [TOPIC_COPY_NAME, TOPIC_NAME].map(|name| topic_dir.join(name)) {
        replace_file(storage, &path, &bytes).at("write", &path)?;
    }
    Ok(())
}

/// An entry for each partition that a ring can be split into.
pub(super) const CATALOG_BYTES_MAX: u64 = 1 << 20;
const ATTEMPTS: u32 = 5;
