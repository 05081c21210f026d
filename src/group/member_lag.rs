//! How far behind the members of groups are, in the partitions that each was assigned. Commits nothing, assigns nothing, reads no clock.

use std::collections::BTreeMap;

use crate::error::TopicError;
use crate::group::consumer_protocol::ConsumerProtocolAssignment;
use crate::group::topic_partition::TopicPartition;
use crate::offset::{GroupId, Lag, LagError, LagReport, LagSubject, LagSum, OffsetStore};
use crate::topic::PartitionKey;

/// The lag of groups with who is to read what: partitions without a member and members without a partition are in it too.
///
/// ```
/// use tidelog::group::{ConsumerProtocolAssignment, MemberLagReport, TopicPartition};
/// use tidelog::{CommittedOffset, GroupId, GroupMetadata, MemberMetadata, MemoryOffsetStore, OffsetStore, PartitionOffsetRegistry, Record, Store, TimestampNs};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path())?;
/// let orders = store.topic("orders")?;
/// let (registry, positions) = (PartitionOffsetRegistry::new(store), MemoryOffsetStore::new());
/// registry.assign(&orders.partition_key(0)?, Record::new("12 apples"))?;
/// let billing: GroupId = "billing".parse()?;
/// positions.commit(&billing, &[(orders.partition_key(0)?, CommittedOffset::new(0, TimestampNs::new(0)))])?;
///
/// // As a coordinator notes it.
/// let assignment = ConsumerProtocolAssignment::of(&[TopicPartition::new("orders".parse()?, 0)]).encode(0)?;
/// let mut metadata = GroupMetadata::empty(1, TimestampNs::new(0));
/// metadata.protocol_type = "consumer".to_owned();
/// metadata.members.insert("billing-1".to_owned(), MemberMetadata { assignment, ..MemberMetadata::default() });
/// positions.save_group(&billing, &metadata)?;
///
/// let groups = positions.groups()?;
/// let report = MemberLagReport::gather(registry.lag(&positions, &groups)?, &positions, &groups, |partition| {
///     orders.partition_key(partition.partition).map(Some)
/// })?;
/// assert_eq!((report.rows[0].member.as_deref(), report.members[0].lag.records), (Some("billing-1"), 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MemberLagReport {
    /// A row for each partition that a group has a position in or a member for: by group, topic and range.
    pub rows: Vec<MemberLagRow>,
    /// All members, by group and id.
    pub members: Vec<MemberLag>,
    /// Positions in partitions that there are none of.
    pub without_partition: Vec<(GroupId, PartitionKey)>,
}

/// A partition of a group, and who is to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberLagRow {
    /// The group.
    pub group: GroupId,
    /// The partition.
    pub partition: PartitionKey,
    /// The member that it was assigned to, if there is one.
    pub member: Option<String>,
    /// How far the group is behind in it; none if it has committed nothing there.
    pub lag: Option<Lag>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberLag {
    /// The group.
    pub group: GroupId,
    /// Its id.
    pub member: String,
    /// The partitions that it was assigned and that there are.
    pub partitions: Vec<PartitionKey>,
    /// The lag in those that the group has a position in.
    pub lag: LagSum,
    /// Whether its assignment is not one of the consumer protocol, so that nobody can tell what it reads.
    pub is_unreadable: bool,
}

impl MemberLagReport {
    /// Joins the lag of `groups` with the members that `store` has of them. `find` tells which partition has a number in a topic; none where there is no
    /// such topic or partition.
    ///
    /// # Errors
    /// [`LagError::Store`], and [`LagError::Find`] with what `find` says.
    pub fn gather(
        report: LagReport,
        store: &dyn OffsetStore,
        groups: &[GroupId],
        mut find: impl FnMut(&TopicPartition) -> Result<Option<PartitionKey>, TopicError>,
    ) -> Result<Self, LagError> {
        let mut rows: BTreeMap<(GroupId, PartitionKey), (Option<String>, Option<Lag>)> =
            report.rows.into_iter().map(|row| ((row.group, row.partition), (None, Some(row.lag)))).collect();
        let mut members = Vec::new();
        for group in groups {
            let Some(metadata) = store.load_group(group)? else { continue };
            for (id, member) in metadata.members {
                let assigned = assigned(&metadata.protocol_type, &member.assignment);
                let mut of_member =
                    MemberLag { group: group.clone(), member: id, partitions: Vec::new(), lag: LagSum::default(), is_unreadable: assigned.is_none() };
                for partition in assigned.unwrap_or_default() {
                    let found = find(&partition).map_err(|source| LagError::Find { partition: partition.to_string(), source })?;
                    let Some(key) = found else { continue };
                    let row = rows.entry((group.clone(), key.clone())).or_default();
                    row.0 = Some(of_member.member.clone());
                    row.1.iter().for_each(|lag| of_member.lag.add(lag));
                    of_member.partitions.push(key);
                }
                members.push(of_member);
            }
        }
        let row = |((group, partition), (member, lag))| MemberLagRow { group, partition, member, lag };
        Ok(Self { rows: rows.into_iter().map(row).collect(), members, without_partition: report.without_partition })
    }

    /// The lag of each member, as a [`LagWatch`](crate::LagWatch) looks at it; `retain` narrows it to some, or to one. A member of which nobody can tell
    /// what it reads has none.
    ///
    /// ```
    /// use tidelog::group::MemberLagReport;
    /// use tidelog::{LagLimits, LagSubject, LagWatch, TimestampNs};
    ///
    /// let mut watch = LagWatch::new(LagLimits { records: Some(1_000), age: None }, |event| println!("{event:?}"));
    /// # let (report, now) = (MemberLagReport::default(), TimestampNs::new(0));
    /// let mut sums = report.sums();
    /// sums.retain(|subject, _| matches!(subject, LagSubject::Member(_, id) if id == "billing-1"));
    /// watch.observe(&sums, now);
    /// ```
    pub fn sums(&self) -> BTreeMap<LagSubject, LagSum> {
        let known = self.members.iter().filter(|member| !member.is_unreadable);
        known.map(|member| (LagSubject::Member(member.group.clone(), member.member.clone()), member.lag)).collect()
    }
}

/// What a member was assigned, if it can be told. Before a rebalance is complete that is nothing, in no bytes.
fn assigned(protocol_type: &str, assignment: &[u8]) -> Option<Vec<TopicPartition>> {
    if assignment.is_empty() {
        return Some(Vec::new());
    }
    let is_consumer = protocol_type == CONSUMER;
    let assignment = is_consumer.then(|| ConsumerProtocolAssignment::decode(assignment).ok()).flatten();
    assignment.and_then(|assignment| assignment.topic_partitions().ok())
}

/// The type of groups whose members share partitions.
const CONSUMER: &str = "consumer";
