//! A repair of a store: planned without a change, then applied under the store's lock. Decides nothing about a partition itself.

use std::path::{Path, PathBuf};

use tidelog_format::{TOPIC_COPY_NAME, TOPIC_NAME, TopicMeta};

use crate::error::{IoContext, OpenError, TopicError};
use crate::io::read_file;
use crate::log::{FileNote, PartitionRepair, RepairAction, RepairStep, plan_repair};
use crate::topic::catalog::Catalog;
use crate::topic::name::TopicName;
use crate::topic::options::StoreOptions;
use crate::topic::store::Store;
use crate::topic::topic_files::write_catalog;

/// What would be done about the damage in a store: see [`StoreOptions::plan_repair`].
///
/// Damaged offsets stay what they are: reads of them go on answering [`ReadError::Corrupt`](crate::ReadError::Corrupt), and no other
/// offset changes. A repair makes the loss a declared one, known without a search, and takes the damaged files out of the log's way; nothing
/// of them is deleted: it is in `quarantine/`.
///
/// ```
/// use tidelog::{Record, Store, StoreOptions};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path())?;
/// store.topic("orders")?.partition(0)?.append(Record::new("12 apples"))?;
/// store.close()?;
/// let repair = StoreOptions::new().plan_repair(dir.path(), None)?;
/// assert!(repair.partitions().iter().all(|partition| partition.is_empty()), "nothing is damaged");
/// repair.apply()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Repair {
    options: StoreOptions,
    dir: PathBuf,
    partitions: Vec<PartitionRepair>,
    /// Catalogues to be written anew.
    catalogs: Vec<TopicName>,
}

impl Repair {
    pub(super) fn plan(dir: &Path, options: StoreOptions, topic: Option<&str>) -> Result<Self, TopicError> {
        let catalog = Catalog { storage: options.storage.clone(), dir: dir.to_owned() };
        catalog.check()?;
        if catalog.storage.is_locked(dir).at("look at", dir)? {
            let text = read_file(&*catalog.storage, &dir.join(tidelog_format::LOCK_NAME), 64).ok();
            let pid = text.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok());
            return Err(OpenError::Locked { path: dir.to_owned(), pid }.into());
        }
        let topics = match topic {
            Some(name) => vec![name.parse()?],
            None => catalog.topics()?,
        };
        let (mut partitions, mut catalogs) = (Vec::new(), Vec::new());
        for name in &topics {
            let found = catalog.topic_files(name)?;
            let first = partitions.len();
            for number in 0..found.layout.count() {
                let dir = catalog.partition_dir(name, number);
                let planned = if found.there.binary_search(&number).is_ok() {
                    plan_repair(&catalog.storage, &dir, options.config.index_interval_bytes)?
                } else if found.missing.contains(&number) {
                    gone()
                } else {
                    PartitionRepair::default() // never used
                };
                partitions.push(PartitionRepair { topic: name.to_string(), partition: number, ..planned });
            }
            if let (Some(_), Some(told)) = (&found.spoiled, partitions.get_mut(first)) {
                let detail = format!("the catalogue is written anew, from {TOPIC_COPY_NAME}");
                told.steps.insert(0, RepairStep { action: RepairAction::Catalog, file: TOPIC_NAME.to_owned(), detail });
                catalogs.push(name.clone());
            }
            if let (Some(damage), Some(told)) = (&found.damage, partitions.get_mut(first)) {
                match catalog.rebuilt(name, &found) {
                    Some(meta) => {
                        told.steps.insert(0, anew(&meta));
                        catalogs.push(name.clone());
                    }
                    None => told.left.push(FileNote { file: TOPIC_NAME.to_owned(), detail: damage.to_string() }),
                }
            }
        }
        Ok(Self { options, dir: dir.to_owned(), partitions, catalogs })
    }

    /// What is planned for each partition, also for those that need nothing.
    pub fn partitions(&self) -> &[PartitionRepair] {
        &self.partitions
    }

    /// Does what is planned, under the store's lock, for each partition that needs something; returns what was done. It may be killed at any
    /// moment: the log is whole at every step, and the next repair goes on from there.
    ///
    /// # Errors
    /// [`TopicError`]. Partitions before the one that failed are repaired.
    pub fn apply(self) -> Result<Vec<PartitionRepair>, TopicError> {
        let options = StoreOptions { threads: false, ..self.options };
        let store = Store::open_with(&self.dir, options, false)?;
        let catalog = &store.inner.shared.catalog;
        for name in &self.catalogs {
            // Again, now that nobody else changes it: it may have been repaired, or brought back and changed, since the plan was made.
            let found = catalog.topic_files(name)?;
            let meta = match (&found.damage, &found.spoiled) {
                (Some(_), _) => catalog.rebuilt(name, &found),
                (None, Some(_)) => Some(found.layout.meta.clone()),
                (None, None) => None,
            };
            if let Some(meta) = meta {
                write_catalog(&*catalog.storage, &catalog.topic_dir(name), &meta)?;
            }
        }
        let mut done = Vec::new();
        for planned in self.partitions.into_iter().filter(|planned| !planned.is_empty()) {
            if gone().left.iter().any(|note| planned.left.contains(note)) {
                done.push(planned);
                continue;
            }
            let name: TopicName = planned.topic.parse()?;
            let mut repaired = store.inner.repair(&name, planned.partition)?;
            let of_topic = planned.steps.into_iter().filter(|step| step.action == RepairAction::Catalog);
            repaired.steps.splice(0..0, of_topic);
            repaired.left.extend(planned.left.into_iter().filter(|note| note.file == TOPIC_NAME));
            done.push(PartitionRepair { topic: planned.topic, partition: planned.partition, ..repaired });
        }
        // No partition is open: there is nothing to be made durable.
        drop(store);
        Ok(done)
    }
}

fn anew(meta: &TopicMeta) -> RepairStep {
    let detail = format!("the catalogue is written anew, from what META of each of its partitions says: there are {}", meta.partitions.len());
    RepairStep { action: RepairAction::Catalog, file: TOPIC_NAME.to_owned(), detail }
}

/// A partition without a directory: there is nothing left to repair.
fn gone() -> PartitionRepair {
    PartitionRepair {
        left: vec![FileNote { file: ".".to_owned(), detail: "the directory of the partition is gone".to_owned() }],
        ..PartitionRepair::default()
    }
}
