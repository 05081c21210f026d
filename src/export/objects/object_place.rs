//! Where in an object store an export is. Makes no request.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;

use crate::export::import_error::ImportError;
use crate::export::objects::object_target::ObjectTarget;
use crate::export::parquet_export::ParquetExport;
use crate::export::parquet_import::ParquetImport;
use crate::log::PartitionView;

/// A prefix in an object store.
///
/// ```
/// use std::sync::Arc;
///
/// use object_store::memory::InMemory;
/// use tidelog::export::objects::ObjectPlace;
/// use tidelog::export::{ParquetExport, ParquetImport};
/// use tidelog::{Record, Store};
///
/// # let (data, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
/// let store = Store::open(data.path())?;
/// let orders = store.topic("orders")?.partition(0)?;
/// orders.append(Record::new("one").key("k"))?;
/// let place = ObjectPlace::new(Arc::new(InMemory::new()), "exports".into());
/// let export = ParquetExport::to_objects(orders.view(), &place);
/// let report = export.run(&mut |_| {})?;
/// assert!(report.files[0].path.starts_with("exports/topic=orders/partition=0"));
/// assert_eq!(export.watermark()?.unwrap(), 1);
///
/// let copy = Store::open(other.path())?.topic("orders")?.partition(0)?;
/// ParquetImport::open_objects(&place, "orders")?.restore(0, &copy, &mut |_| {})?;
/// assert_eq!(copy.log_end_offset(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ObjectPlace {
    pub(super) store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    /// What the paths begin with that people see.
    pub(super) name: String,
    pub(super) spool_directory: Option<PathBuf>,
    pub(super) part_bytes: usize,
}

impl ObjectPlace {
    /// The objects of `store` below `prefix`, which may be empty.
    ///
    /// The requests are made on a thread of this module, by a runtime of its own. Connections that the store's HTTP client keeps open belong to the
    /// runtime that opened them, so **the store must be for places alone**: one that the program uses on a runtime of its own as well fails or hangs
    /// when that runtime ends or stands still. Make another store with the same settings for the program.
    ///
    /// Of the store are asked puts that do not replace, and listings that show what was put before them (S3, Google's and Azure's do both). The crate's
    /// `LocalFileSystem` makes files durable only if `with_fsync(true)` is set: otherwise the watermark tells of rows that a power cut takes.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, prefix: ObjectPath) -> Self {
        Self { store, prefix, name: String::new(), spool_directory: None, part_bytes: PART_BYTES }
    }

    /// Puts the store's name before its objects in reports and errors, for instance `s3://bucket`.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Where a file is written before it is uploaded; by default the directory for temporary files of the system, which may be in memory.
    #[must_use]
    pub fn spool_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.spool_directory = Some(directory.into());
        self
    }

    /// Bytes of a part of an upload; a file that has no more is uploaded as a whole. By default 8 MiB, at least 1. S3 takes no parts below 5 MiB, and
    /// no more than 10,000 of them: of a file that would have more, the parts are larger.
    #[must_use]
    pub fn part_bytes(mut self, bytes: usize) -> Self {
        self.part_bytes = bytes.max(1);
        self
    }

    /// The prefix as a path that people see.
    fn path(&self) -> PathBuf {
        match (self.name.as_str(), self.prefix.as_ref()) {
            ("", prefix) => prefix.into(),
            (name, "") => name.into(),
            (name, prefix) => format!("{name}/{prefix}").into(),
        }
    }

    fn target(&self) -> Arc<ObjectTarget> {
        Arc::new(ObjectTarget::new(self.clone()))
    }
}

impl ParquetExport {
    /// Exports what `view` shows to objects in `place`.
    ///
    /// Do not call [`storage`](Self::storage) on what this returns: the files then go to that storage, at the paths that people see of the objects,
    /// and none to the object store.
    #[must_use]
    pub fn to_objects(view: &PartitionView, place: &ObjectPlace) -> Self {
        Self::at(view, place.path(), place.target())
    }
}

impl ParquetImport {
    /// Finds the files of `topic` in an object store, as [`open`](Self::open) does in a directory.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn open_objects(place: &ObjectPlace, topic: &str) -> Result<Self, ImportError> {
        Self::open_at(place.target(), place.path(), topic)
    }
}

const PART_BYTES: usize = 8 << 20;
