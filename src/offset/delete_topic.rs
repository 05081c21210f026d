//! Deletes a topic, and what groups have noted of it. Decides nothing about either by itself.

use thiserror::Error;

use crate::error::TopicError;
use crate::offset::error::OffsetStoreError;
use crate::offset::store::OffsetStore;
use crate::topic::{Store, TopicName};

/// Why a topic was not deleted with its positions, or not wholly.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum DeleteTopicError {
    /// The topic was not deleted. Positions in it may be: groups begin where those without one do.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// Positions could not be deleted. Call again, also if the topic is not there any more.
    #[error("the positions of groups in the topic could not be deleted: {0}")]
    Positions(#[from] OffsetStoreError),
}

/// Deletes a topic, and every group's positions in it. Returns how many there were.
///
/// A position is of a topic's name. One that is committed once this has returned, or between its last two steps when a crash comes then, is not
/// known to be of a topic that is gone: stop the groups first, or delete the positions of the name ([`OffsetStore::delete_topic`]) before a topic
/// of the name is made anew, as the program does.
///
/// ```
/// use tidelog::{CommittedOffset, GroupId, MemoryOffsetStore, OffsetStore, Record, Store, TimestampNs, delete_topic};
///
/// # let dir = tempfile::tempdir()?;
/// let (store, positions) = (Store::open(dir.path())?, MemoryOffsetStore::new());
/// let orders = store.topic("orders")?.partition(0)?;
/// let group: GroupId = "billing".parse()?;
/// positions.commit(&group, &[(orders.key().clone(), CommittedOffset::new(7, TimestampNs::new(0)))])?;
/// assert_eq!(delete_topic(&store, &positions, "orders")?, 1);
/// assert_eq!(positions.fetch(&group, orders.key())?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`DeleteTopicError`]. If there is no such topic, positions that an interrupted deletion left are deleted all the same.
pub fn delete_topic(store: &Store, positions: &dyn OffsetStore, name: &str) -> Result<usize, DeleteTopicError> {
    let parsed: TopicName = name.parse()?;
    // A topic that is not deleted keeps its positions, as far as that is known beforehand.
    match store.check_deletable(&parsed) {
        Ok(()) | Err(TopicError::Unknown { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // Positions first. A crash behind this leaves the topic without them, and its groups begin anew, which they can: its records are there. The
    // other way round, a crash would leave positions without a topic, which the next one of the name would be read from, past its first records.
    // That is so of what is committed from here on, until the positions are deleted again.
    let before = positions.delete_topic(&parsed)?;
    store.delete_topic(name)?;
    // Again, for those that were committed meanwhile. A group that goes on committing after this is not kept from it.
    Ok(before + positions.delete_topic(&parsed)?)
}
