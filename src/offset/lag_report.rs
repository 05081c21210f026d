//! How far groups are behind in all partitions that they have a position in, and sums of that. Commits nothing, reads no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;
use tidelog_format::TimestampNs;

use crate::error::{ReadError, TopicError};
use crate::log::PartitionView;
use crate::offset::error::OffsetStoreError;
use crate::offset::group_id::GroupId;
use crate::offset::lag::{Lag, age};
use crate::offset::registry::PartitionOffsetRegistry;
use crate::offset::store::OffsetStore;
use crate::topic::{PartitionKey, TopicName};

/// The lag of groups, a row for each position that they have: by group, topic and range.
///
/// ```
/// use tidelog::{CommittedOffset, GroupId, LagReport, LagScope, MemoryOffsetStore, OffsetStore, PartitionOffsetRegistry, Record, Store, TimestampNs};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path())?;
/// let orders = store.topic("orders")?.partition_key(0)?;
/// let (registry, positions) = (PartitionOffsetRegistry::new(store), MemoryOffsetStore::new());
/// let billing: GroupId = "billing".parse()?;
/// positions.commit(&billing, &[(orders.clone(), CommittedOffset::new(0, TimestampNs::new(0)))])?;
/// registry.assign(&orders, Record::new("12 apples"))?;
/// let report = registry.lag(&positions, &positions.groups()?)?;
/// assert_eq!(report.rows[0].lag.records, 1);
/// assert_eq!(report.sums(LagScope::Group).len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LagReport {
    /// A row for each position in a partition that there is.
    pub rows: Vec<LagRow>,
    /// Positions in partitions that there are none of: their topics were deleted, or divided otherwise.
    pub without_partition: Vec<(GroupId, PartitionKey)>,
}

/// A group's lag in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LagRow {
    /// The group.
    pub group: GroupId,
    /// The partition.
    pub partition: PartitionKey,
    /// How far the group is behind.
    pub lag: Lag,
}

/// What lag is summed up over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LagScope {
    /// All partitions of a group.
    Group,
    /// The partitions of a group in one topic.
    Topic,
    /// Nothing: a partition by itself.
    Partition,
}

/// Whose lag it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LagSubject {
    /// A group's, in all its partitions.
    Group(GroupId),
    /// A group's, in a topic.
    Topic(GroupId, TopicName),
    /// A group's, in a partition.
    Partition(GroupId, PartitionKey),
    /// A group's, in the partitions that the member of this id was assigned.
    Member(GroupId, String),
}

/// The lag in several partitions together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LagSum {
    /// Partitions in it.
    pub partitions: usize,
    /// Offsets that are still to be read, in all of them.
    pub records: u64,
    /// Offsets that were deleted before they were read, in all of them.
    pub deleted: u64,
    /// Offsets that positions are [ahead](Lag::ahead) by, in all of them.
    pub ahead: u64,
    /// The earliest time of a record that is read next.
    pub next_timestamp: Option<TimestampNs>,
    /// Partitions in it of which all that is left is damaged: they have no part in the time.
    pub unreadable: usize,
}

/// Why there is no report.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum LagError {
    /// The positions could not be had.
    #[error(transparent)]
    Store(#[from] OffsetStoreError),
    /// Whether there is a partition that a member was assigned could not be found out.
    #[error("lag in {partition}: {source}")]
    Find {
        /// The topic and number.
        partition: String,
        /// Why.
        source: TopicError,
    },
    /// A partition could not be opened.
    #[error("lag in {partition}: {source}")]
    Open {
        /// The partition.
        partition: Box<PartitionKey>,
        /// Why.
        source: TopicError,
    },
    /// A record that is read next could not be read.
    #[error("lag in {partition}: {source}")]
    Read {
        /// The partition.
        partition: Box<PartitionKey>,
        /// Why.
        source: ReadError,
    },
}

impl LagReport {
    /// The lag of `groups`, with positions from `store`, in the partitions that `find` knows; none where there is no such partition. Views of
    /// another process's store are refreshed; so is not `store`.
    ///
    /// # Errors
    /// [`LagError`]: a report that leaves out what could not be read would show no lag where there is most.
    pub fn gather(
        store: &dyn OffsetStore,
        groups: &[GroupId],
        mut find: impl FnMut(&PartitionKey) -> Result<Option<PartitionView>, TopicError>,
    ) -> Result<Self, LagError> {
        let mut report = Self::default();
        for group in groups {
            for (partition, position) in store.fetch_all(group)? {
                match find(&partition) {
                    Ok(None) => report.without_partition.push((group.clone(), partition)),
                    Err(source) => return Err(LagError::Open { partition: partition.into(), source }),
                    Ok(Some(view)) => {
                        let lag = view.lag(position.offset).map_err(|source| LagError::Read { partition: partition.clone().into(), source })?;
                        report.rows.push(LagRow { group: group.clone(), partition, lag });
                    }
                }
            }
        }
        Ok(report)
    }

    /// The lag of each group, topic of a group, or partition of a group.
    pub fn sums(&self, scope: LagScope) -> BTreeMap<LagSubject, LagSum> {
        let mut sums: BTreeMap<LagSubject, LagSum> = BTreeMap::new();
        for row in &self.rows {
            sums.entry(row.subject(scope)).or_default().add(&row.lag);
        }
        sums
    }

    /// The lag of a member of a group: in those of `partitions`, which it was assigned, that the group has a position in.
    pub fn of_member<'a>(&self, group: &GroupId, partitions: impl IntoIterator<Item = &'a PartitionKey>) -> LagSum {
        let mut sum = LagSum::default();
        for partition in partitions {
            let row = self.rows.iter().find(|row| row.group == *group && row.partition == *partition);
            row.iter().for_each(|row| sum.add(&row.lag));
        }
        sum
    }
}

impl LagRow {
    fn subject(&self, scope: LagScope) -> LagSubject {
        let group = self.group.clone();
        match scope {
            LagScope::Group => LagSubject::Group(group),
            LagScope::Topic => LagSubject::Topic(group, self.partition.topic.clone()),
            LagScope::Partition => LagSubject::Partition(group, self.partition.clone()),
        }
    }
}

impl LagSum {
    /// The age of the oldest record that is read next; zero if there is none left to read, none if all that is left is damaged.
    pub fn age(&self, now: TimestampNs) -> Option<Duration> {
        age(self.unreadable > 0, self.next_timestamp, now)
    }

    pub(crate) fn add(&mut self, lag: &Lag) {
        self.partitions += 1;
        self.records = self.records.saturating_add(lag.records);
        self.deleted = self.deleted.saturating_add(lag.deleted);
        self.ahead = self.ahead.saturating_add(lag.ahead);
        self.unreadable += usize::from(lag.is_unreadable);
        self.next_timestamp = self.next_timestamp.into_iter().chain(lag.next_timestamp).min();
    }
}

impl<'a> FromIterator<&'a Lag> for LagSum {
    fn from_iter<T: IntoIterator<Item = &'a Lag>>(lags: T) -> Self {
        let mut sum = Self::default();
        lags.into_iter().for_each(|lag| sum.add(lag));
        sum
    }
}

impl PartitionOffsetRegistry {
    /// The lag of groups in the partitions of the registry's store. It makes none that was never used.
    ///
    /// # Errors
    /// [`LagError`].
    pub fn lag(&self, positions: &dyn OffsetStore, groups: &[GroupId]) -> Result<LagReport, LagError> {
        LagReport::gather(positions, groups, |partition| match self.view(partition) {
            Err(TopicError::Unknown { .. }) => Ok(None),
            other => other,
        })
    }
}
