//! Notes that are gone with the process: for tests, and for what can be read again from the start.

use parking_lot::RwLock;

use crate::offset::error::OffsetStoreError;
use crate::offset::store::by_notes::by_notes;
use crate::offset::store::notes::{Change, Notes};

/// An [`OffsetStore`](crate::OffsetStore) of memory alone.
///
/// ```
/// use tidelog::{CommittedOffset, GroupId, MemoryOffsetStore, OffsetStore, Store, TimestampNs};
///
/// # let dir = tempfile::tempdir()?;
/// let orders = Store::open(dir.path())?.topic("orders")?.partition(0)?;
/// let (positions, group) = (MemoryOffsetStore::new(), "billing".parse::<GroupId>()?);
/// positions.commit(&group, &[(orders.key().clone(), CommittedOffset::new(0, TimestampNs::new(0)))])?;
/// assert_eq!(positions.fetch(&group, orders.key())?.map(|committed| committed.offset), Some(0.into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct MemoryOffsetStore {
    notes: RwLock<Notes>,
}

impl MemoryOffsetStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    #[allow(clippy::unnecessary_wraps, reason = "other stores have to read first")]
    fn read<T>(&self, read: impl FnOnce(&Notes) -> T) -> Result<T, OffsetStoreError> {
        Ok(read(&self.notes.read()))
    }

    #[allow(clippy::needless_pass_by_value, reason = "other stores keep it")]
    fn change(&self, change: Change) -> Result<usize, OffsetStoreError> {
        let mut notes = self.notes.write();
        notes.check(&change)?;
        Ok(notes.apply(&change))
    }
}

by_notes!(MemoryOffsetStore);
