//! A member of a group that reads the partitions it is assigned. Decides no assignment but as the leader, by the group's assignor.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use tidelog_format::Offset;

use crate::group::consumer_error::ConsumerError;
use crate::group::consumer_membership::{FoundTopics, Membership};
use crate::group::consumer_options::ConsumerOptions;
use crate::group::consumer_place::is_gone;
use crate::group::error::GroupError;
use crate::group::member_id::MemberId;
use crate::group::request::{LeavingMember, MemberIdentity};
use crate::group::topic_partition::TopicPartition;
use crate::offset::CommittedOffset;
use crate::subscription::{Awaited, Page, Subscription, SubscriptionError};
use crate::topic::{PartitionKey, TopicName};

/// A consumer of a group, for those who embed the engine: joins, reads what it is assigned from where the group is, and says how far it has come.
///
/// Everything happens in [`poll`](Self::poll), by the thread that calls it: heartbeats too. A consumer that is not polled for its session timeout has
/// lost its partitions. It is at least once: what was not committed when a partition goes to another member is read again there.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tidelog::group::{ConsumerEvent, GroupCoordinator, GroupOptions, StickyAssignor};
/// use tidelog::{LogOffsetStore, Record, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path())?;
/// store.topic("orders")?.partition(0)?.append(Record::new("12 apples"))?;
/// let options = GroupOptions::new().initial_rebalance_delay(Duration::ZERO);
/// let coordinator = GroupCoordinator::new(&store, Arc::new(LogOffsetStore::open(&store)?), options);
/// let billing = coordinator.consumer("billing".parse()?).topics(["orders".parse()?]).assignor(StickyAssignor);
/// let mut consumer = billing.build();
/// # let mut seen = 0;
/// while let Some(event) = consumer.poll(Duration::from_millis(10))? {
///     match event {
///         ConsumerEvent::Records { partition, page } => {
///             for record in &page.records {
///                 println!("{partition} {} {:?}", record.offset(), record.value());
/// #               seen += 1;
///             }
///             consumer.commit()?; // the group goes on here
///         }
///         ConsumerEvent::Assigned(partitions) => println!("reads {partitions:?}"),
///         ConsumerEvent::Revoked(_) => consumer.commit()?, // the last moment: polls to come give them up
///         ConsumerEvent::Lost(_) => {}                     // somebody else has them already
///     }
/// }
/// # assert_eq!(seen, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct GroupConsumer {
    pub(super) options: ConsumerOptions,
    pub(super) membership: Membership,
    pub(super) member_id: Option<MemberId>,
    /// The generation that it has joined.
    pub(super) generation: Option<i32>,
    /// What it has, and where it is in it: known once it was first read.
    pub(super) partitions: BTreeMap<TopicPartition, Option<Subscription>>,
    /// Of these, those that it was told to give up, which it does at the next poll.
    pub(super) revoked: BTreeSet<TopicPartition>,
    pub(super) events: VecDeque<ConsumerEvent>,
    pub(super) heartbeat_at: Duration,
    /// As the leader: the topics that members want, and those of them that it assigned partitions of.
    pub(super) assigned_topics: Option<(BTreeSet<TopicName>, FoundTopics)>,
    /// What it was assigned last, and in which generation: some assignors are told.
    pub(super) had: Vec<TopicPartition>,
    pub(super) had_in: Option<i32>,
    /// Whose turn it was last.
    last: Option<TopicPartition>,
}

/// What a [`GroupConsumer`] hands out.
#[derive(Debug, Clone)]
pub enum ConsumerEvent {
    /// Records of one of its partitions.
    Records {
        /// The partition.
        partition: TopicPartition,
        /// The records, and where they end.
        page: Page,
    },
    /// It reads these partitions from now on, beside those that it has.
    Assigned(Vec<TopicPartition>),
    /// It gives these partitions up when it is polled again: until then they are its own, and their positions may be committed.
    Revoked(Vec<TopicPartition>),
    /// It has lost these partitions: it was not heard of for its session timeout, or its group went on without it. Others may read them.
    Lost(Vec<TopicPartition>),
}

impl GroupConsumer {
    pub(super) fn new(options: ConsumerOptions) -> Self {
        Self {
            options,
            membership: Membership::Out,
            member_id: None,
            generation: None,
            partitions: BTreeMap::new(),
            revoked: BTreeSet::new(),
            events: VecDeque::new(),
            heartbeat_at: Duration::ZERO,
            assigned_topics: None,
            had: Vec::new(),
            had_in: None,
            last: None,
        }
    }

    /// The next thing to know, waited for at most for `limit`: records, or partitions that come and go. Joins the group if it is not in it, and shows
    /// that it is alive. Returns none before `limit` is over when nothing more can come in any of its partitions: the store was closed, or takes no more
    /// after a failed sync.
    ///
    /// # Errors
    /// [`ConsumerError`]; the next poll goes on.
    pub fn poll(&mut self, limit: Duration) -> Result<Option<ConsumerEvent>, ConsumerError> {
        let deadline = Instant::now().checked_add(limit);
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        self.give_up_revoked();
        loop {
            self.drive(&waker)?;
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            // Held while it sleeps: whatever is appended meanwhile wakes it.
            let (event, awaited) = self.look(&waker)?;
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            let has_ended = !awaited.is_empty() && awaited.len() == self.partitions.len() && awaited.iter().all(|place| place.has_ended);
            if event.is_some() || left.is_zero() || has_ended {
                return Ok(event);
            }
            if let Some(limit) = self.sleep_limit()? {
                std::thread::park_timeout(limit.min(left));
            } else {
                std::thread::park_timeout(left);
            }
            drop(awaited);
        }
    }

    /// Commits how far it has come in all its partitions: everything that was handed out is done. Durable when it returns. A partition
    /// whose topic was deleted is left out.
    ///
    /// # Errors
    /// [`ConsumerError::Group`] if it has lost its place in the group, [`ConsumerError::NotJoined`] until it was told so,
    /// [`ConsumerError::Subscription`] if a position is not there any more. Nothing is committed then. Of a cooperative member, which reads on while its
    /// group rebalances, also [`GroupError::RebalanceInProgress`] between two generations: what it has read may be committed a poll later.
    pub fn commit(&mut self) -> Result<(), ConsumerError> {
        self.catch_up()?;
        let read: Vec<_> = self.partitions.iter().filter_map(|(partition, place)| Some((partition.clone(), place.clone()?))).collect();
        let mut positions = Vec::new();
        for (partition, place) in read {
            match self.position(&partition, &place, None, "") {
                Err(ConsumerError::Subscription { source, .. }) if is_gone(&source) => drop(self.partitions.insert(partition, None)),
                outcome => positions.push(outcome?),
            }
        }
        self.commit_positions(&positions)
    }

    /// Commits an offset of one partition, that is not above what was handed out, with a note of 4,096 bytes at most.
    ///
    /// # Errors
    /// As [`commit`](Self::commit), and [`ConsumerError::NotAssigned`].
    pub fn commit_offset(&mut self, partition: &TopicPartition, offset: impl Into<Offset>, metadata: &str) -> Result<(), ConsumerError> {
        self.catch_up()?;
        let place = self.subscription(partition).cloned().ok_or_else(|| ConsumerError::NotAssigned { partition: partition.clone() })?;
        let position = self.position(partition, &place, Some(offset.into()), metadata)?;
        self.commit_positions(&[position])
    }

    /// The partitions that it has.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.partitions.keys().cloned().collect()
    }

    /// Its place in a partition that it has read from: to seek, or to ask for its lag.
    pub fn subscription(&self, partition: &TopicPartition) -> Option<&Subscription> {
        self.partitions.get(partition)?.as_ref()
    }

    /// As who it is a member, if it has joined.
    pub fn identity(&self) -> Option<MemberIdentity> {
        let instance_id = self.options.instance_id.clone();
        Some(MemberIdentity { member_id: self.member_id.clone()?, instance_id, generation: self.generation? })
    }

    pub(super) fn position(
        &self,
        partition: &TopicPartition,
        place: &Subscription,
        requested: Option<Offset>,
        metadata: &str,
    ) -> Result<(PartitionKey, CommittedOffset), ConsumerError> {
        let key = place.group().map(|group| group.partition.clone());
        let key = key.ok_or_else(|| ConsumerError::NotAssigned { partition: partition.clone() })?;
        let position = place.checked(requested).map_err(|source| failed(partition, source))?;
        let (metadata, committed_at) = (metadata.to_owned(), self.options.coordinator.clock().now());
        Ok((key, CommittedOffset { metadata, committed_at, ..position }))
    }

    pub(super) fn commit_positions(&mut self, positions: &[(PartitionKey, CommittedOffset)]) -> Result<(), ConsumerError> {
        if positions.is_empty() {
            return Ok(());
        }
        let identity = self.identity().ok_or(ConsumerError::NotJoined)?;
        let group = &self.options.group;
        match self.options.coordinator.commit(group, Some(&identity), positions) {
            // It is in the next generation already: the answer that it waits for tells what it has there.
            Err(GroupError::IllegalGeneration { .. }) if self.is_rejoining() => Err(GroupError::RebalanceInProgress { group: group.clone() }.into()),
            Err(error) => {
                if !self.is_rejoining() {
                    self.lose(&error);
                }
                Err(error.into())
            }
            Ok(()) => Ok(()),
        }
    }

    /// It may be in the next generation already, without knowing. What it has lost until then is not its own to commit, even where it is a member again.
    fn catch_up(&mut self) -> Result<(), ConsumerError> {
        if self.is_rejoining() {
            self.drive(Waker::noop())?;
        }
        let has_lost = self.events.iter().any(|event| matches!(event, ConsumerEvent::Lost(_)));
        if has_lost { Err(ConsumerError::NotJoined) } else { Ok(()) }
    }

    /// Looks for records in one partition after the other, beginning behind the one that had some last. What it keeps wakes it when there are some.
    fn look(&mut self, waker: &Waker) -> Result<(Option<ConsumerEvent>, Vec<Awaited>), ConsumerError> {
        let mut turn: Vec<_> = self.partitions.keys().filter(|partition| !self.revoked.contains(partition)).cloned().collect();
        let behind = turn.iter().position(|partition| Some(partition) > self.last.as_ref()).unwrap_or_default();
        turn.rotate_left(behind);
        let mut awaited = Vec::new();
        for partition in turn {
            self.last = Some(partition.clone());
            let Some(place) = self.open(&partition)? else { continue };
            match place.page_or_wake(waker) {
                Ok(Ok(page)) => return Ok((Some(ConsumerEvent::Records { partition, page }), awaited)),
                Ok(Err(waits)) => awaited.push(waits),
                Err(error) if is_gone(&error) => {
                    self.partitions.insert(partition, None);
                    waker.wake_by_ref(); // it is opened by its name again
                }
                Err(error) => return Err(failed(&partition, error)),
            }
        }
        Ok((None, awaited))
    }

    fn give_up_revoked(&mut self) {
        for partition in std::mem::take(&mut self.revoked) {
            self.partitions.remove(&partition);
        }
    }
}

/// Leaves the group, unless it is a static member: then it may come back until its session times out.
impl Drop for GroupConsumer {
    fn drop(&mut self) {
        if let (Some(member_id), None) = (self.member_id.take(), &self.options.instance_id) {
            // Without it, its partitions are free when its session times out.
            let leaving = LeavingMember { member_id: Some(member_id), instance_id: None };
            let _ = self.options.coordinator.leave(&self.options.group, &[leaving]);
        }
    }
}

pub(super) fn failed(partition: &TopicPartition, source: SubscriptionError) -> ConsumerError {
    ConsumerError::Subscription { partition: partition.clone(), source: Box::new(source) }
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
