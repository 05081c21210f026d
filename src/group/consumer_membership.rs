//! How a consumer comes into its group, stays in it, and gets its partitions. Reads no record.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::error::TopicError;
use crate::group::assignor::{Assignor, MemberSubscription, StickyAssignor};
use crate::group::consumer::{ConsumerEvent, GroupConsumer};
use crate::group::consumer_error::ConsumerError;
use crate::group::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use crate::group::error::GroupError;
use crate::group::member_id::MemberId;
use crate::group::pending::PendingAnswer;
use crate::group::request::{JoinRequest, JoinedGroup, SyncRequest, SyncedGroup};
use crate::group::topic_partition::TopicPartition;
use crate::topic::TopicName;

/// Where a consumer is in its group.
#[derive(Debug)]
pub(super) enum Membership {
    /// It has to join, for the first time or again.
    Out,
    Joining(PendingAnswer<JoinedGroup>),
    Syncing(PendingAnswer<SyncedGroup>),
    /// It has its assignment.
    In,
    /// Another process has its name: it takes it back from nobody.
    Fenced(GroupError),
}

/// Topics that are there: which ones, and how many partitions they have.
pub(super) type FoundTopics = BTreeMap<TopicName, ([u8; 16], u32)>;

impl GroupConsumer {
    /// Gets as far as it can without waiting; `waker` is called when there is more to do.
    pub(super) fn drive(&mut self, waker: &Waker) -> Result<(), ConsumerError> {
        self.options.coordinator.tick_group(&self.options.group)?;
        loop {
            match std::mem::replace(&mut self.membership, Membership::Out) {
                Membership::Out if !self.is_ready_to_join() => return Ok(()),
                Membership::Out => self.membership = Membership::Joining(self.join()?),
                Membership::Joining(mut pending) => match poll(&mut pending, waker) {
                    Some(answer) => self.on_joined(answer)?,
                    None => {
                        self.membership = Membership::Joining(pending);
                        return Ok(());
                    }
                },
                Membership::Syncing(mut pending) => match poll(&mut pending, waker) {
                    Some(answer) => self.on_synced(answer)?,
                    None => {
                        self.membership = Membership::Syncing(pending);
                        return Ok(());
                    }
                },
                Membership::Fenced(error) => {
                    self.membership = Membership::Fenced(error.clone());
                    // What it has lost comes first.
                    return if self.events.is_empty() { Err(error.into()) } else { Ok(()) };
                }
                Membership::In => {
                    self.membership = Membership::In;
                    if !self.beat()? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Whether it waits for an answer about the next generation.
    pub(super) fn is_rejoining(&self) -> bool {
        matches!(self.membership, Membership::Joining(_) | Membership::Syncing(_))
    }

    /// How long it may sleep: until its next heartbeat, or what is due in its group.
    pub(super) fn sleep_limit(&self) -> Result<Option<Duration>, ConsumerError> {
        let coordinator = &self.options.coordinator;
        let group = coordinator.tick_group(&self.options.group)?;
        let heartbeat = matches!(self.membership, Membership::In).then(|| coordinator.clock().until(self.heartbeat_at)).flatten();
        Ok([group, heartbeat].into_iter().flatten().min())
    }

    /// It has lost everything, because of a refusal; whether it was one of this kind.
    pub(super) fn lose(&mut self, error: &GroupError) -> bool {
        match error {
            // It is still a member, and joins as the one that it is.
            GroupError::IllegalGeneration { .. } => self.membership = Membership::Out,
            GroupError::UnknownMember { .. } => (self.membership, self.member_id) = (Membership::Out, None),
            GroupError::FencedInstance { .. } => self.membership = Membership::Fenced(error.clone()),
            _ => return false,
        }
        let lost: Vec<_> = std::mem::take(&mut self.partitions).into_keys().collect();
        self.revoked.clear();
        if !lost.is_empty() {
            self.events.push_back(ConsumerEvent::Lost(lost));
        }
        (self.generation, self.had, self.had_in) = (None, Vec::new(), None);
        true
    }

    /// Without cooperation, a member gives everything up before it joins; with it, what it was told to.
    fn is_ready_to_join(&mut self) -> bool {
        if !self.options.is_cooperative() && self.revoked.len() < self.partitions.len() {
            self.revoke(self.partitions.keys().cloned().collect());
        }
        self.revoked.is_empty()
    }

    fn revoke(&mut self, partitions: BTreeSet<TopicPartition>) {
        self.events.push_back(ConsumerEvent::Revoked(partitions.iter().cloned().collect()));
        self.revoked = partitions;
    }

    fn join(&mut self) -> Result<PendingAnswer<JoinedGroup>, ConsumerError> {
        let options = &self.options;
        let protocols = options.assignors.iter().map(|assignor| {
            let name = assignor.name();
            // The id is not said, but added by the coordinator.
            let id = self.member_id.clone().map_or_else(|| "new".parse(), Ok).expect("a word is an id");
            let member = MemberSubscription::new(id, options.topics.clone());
            let has_owned = options.is_cooperative() || name == StickyAssignor.name();
            let owned = if has_owned { self.had.clone() } else { Vec::new() };
            let member = MemberSubscription { owned, generation: self.had_in, ..member };
            Ok((name.to_owned(), ConsumerProtocolSubscription::of(&member, name)?.encode(VERSION)?))
        });
        let request = JoinRequest {
            member_id: self.member_id.clone(),
            instance_id: options.instance_id.clone(),
            client_id: options.client_id.clone(),
            client_host: String::new(),
            session_timeout: options.session_timeout,
            rebalance_timeout: options.rebalance_timeout,
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: protocols.collect::<Result<_, ConsumerError>>()?,
            requires_member_id: true,
        };
        Ok(options.coordinator.join(&options.group, request))
    }

    fn on_joined(&mut self, answer: Result<JoinedGroup, GroupError>) -> Result<(), ConsumerError> {
        let joined = match answer {
            Ok(joined) => joined,
            Err(GroupError::MemberIdRequired { member_id }) => {
                self.member_id = Some(member_id);
                return Ok(());
            }
            Err(error) => return self.on_refusal(error),
        };
        (self.member_id, self.generation) = (Some(joined.member_id.clone()), Some(joined.generation));
        self.assigned_topics = None;
        let assignments = if joined.members.is_empty() { Vec::new() } else { self.assign(&joined)? };
        let request = SyncRequest { member: joined.identity(), protocol: Some((joined.protocol_type, joined.protocol)), assignments };
        self.membership = Membership::Syncing(self.options.coordinator.sync(&self.options.group, request));
        Ok(())
    }

    /// As the leader: divides the partitions of all topics that members want.
    fn assign(&mut self, joined: &JoinedGroup) -> Result<Vec<(MemberId, Vec<u8>)>, ConsumerError> {
        let protocol = joined.protocol.as_str();
        let members = joined.members.iter().map(|member| {
            let subscription = ConsumerProtocolSubscription::decode(&member.subscription)?;
            Ok(subscription.member(protocol, member.member_id.clone(), member.instance_id.clone())?)
        });
        let members = members.collect::<Result<Vec<_>, ConsumerError>>()?;
        let topics: BTreeSet<_> = members.iter().flat_map(|member| member.topics.iter().cloned()).collect();
        let found = self.find(&topics)?;
        let counts = found.iter().map(|(name, (_, count))| (name.clone(), *count)).collect();
        // A static leader that has come back leaves everything as it is; what came meanwhile, it finds at its next heartbeat.
        let assignor = self.options.assignors.iter().find(|assignor| assignor.name() == protocol).filter(|_| !joined.skip_assignment);
        let Some(assignor) = assignor else {
            self.assigned_topics = Some((topics, self.assigned_before(&found)?));
            return Ok(Vec::new());
        };
        self.assigned_topics = Some((topics, found));
        let assignment = assignor.assign(&counts, &members);
        assignment.into_iter().map(|(id, partitions)| Ok((id, ConsumerProtocolAssignment::of(&partitions).encode(VERSION)?))).collect()
    }

    fn on_synced(&mut self, answer: Result<SyncedGroup, GroupError>) -> Result<(), ConsumerError> {
        let synced = match answer {
            Ok(synced) => synced,
            Err(error) => return self.on_refusal(error),
        };
        let assigned: BTreeSet<_> = partitions(&synced.assignment)?.into_iter().collect();
        let coordinator = &self.options.coordinator;
        self.heartbeat_at = coordinator.clock().uptime().saturating_add(self.options.heartbeat_interval);
        (self.had, self.had_in) = (assigned.iter().cloned().collect(), self.generation);
        let given_up: BTreeSet<_> = self.partitions.keys().filter(|partition| !assigned.contains(partition)).cloned().collect();
        let new: Vec<_> = assigned.into_iter().filter(|partition| !self.partitions.contains_key(partition)).collect();
        // What it gives up goes to others in the next rebalance, which it asks for as soon as it has.
        self.membership = if given_up.is_empty() { Membership::In } else { Membership::Out };
        if !given_up.is_empty() {
            self.revoke(given_up);
        }
        if !new.is_empty() {
            self.partitions.extend(new.iter().map(|partition| (partition.clone(), None)));
            self.events.push_back(ConsumerEvent::Assigned(new));
        }
        Ok(())
    }

    /// Shows that it is alive, when it is time; whether there is more to do.
    fn beat(&mut self) -> Result<bool, ConsumerError> {
        let now = self.options.coordinator.clock().uptime();
        let Some(identity) = self.identity().filter(|_| now >= self.heartbeat_at) else { return Ok(false) };
        self.heartbeat_at = now.saturating_add(self.options.heartbeat_interval);
        if let Err(error) = self.options.coordinator.heartbeat(&self.options.group, &identity) {
            self.membership = Membership::Out;
            self.on_refusal(error)?;
            return Ok(true);
        }
        // Topics that have come, have gone, were made anew, or have got partitions, are the leader's to notice.
        if let Some((topics, found)) = &self.assigned_topics
            && self.find(topics)? != *found
        {
            self.membership = Membership::Out;
            return Ok(true);
        }
        Ok(false)
    }

    /// What a member does about a refusal: joins again, with what it has left. One that was fenced finds out at the next look.
    fn on_refusal(&mut self, error: GroupError) -> Result<(), ConsumerError> {
        if self.lose(&error) || matches!(error, GroupError::RebalanceInProgress { .. }) { Ok(()) } else { Err(error.into()) }
    }

    /// The topics as they were when that was assigned which members have. It does not tell whether one was made anew since: who reads it finds out.
    fn assigned_before(&self, found: &FoundTopics) -> Result<FoundTopics, ConsumerError> {
        let mut before = FoundTopics::new();
        for (_, member) in self.options.coordinator.describe(&self.options.group)?.members {
            for partition in partitions(&member.assignment)? {
                let uuid = found.get(&partition.topic).map_or([0; 16], |(uuid, _)| *uuid);
                before.entry(partition.topic).or_insert((uuid, 0)).1 += 1;
            }
        }
        Ok(before)
    }

    fn find(&self, topics: &BTreeSet<TopicName>) -> Result<FoundTopics, ConsumerError> {
        let mut found = BTreeMap::new();
        for name in topics {
            match self.options.coordinator.inner.store.existing_topic(&name.to_string()) {
                Ok(topic) => drop(found.insert(name.clone(), (topic.uuid(), topic.partition_count()))),
                Err(TopicError::Unknown { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }
}

/// What a member was assigned; nothing is no bytes.
fn partitions(assignment: &[u8]) -> Result<Vec<TopicPartition>, ConsumerError> {
    match assignment {
        [] => Ok(Vec::new()),
        bytes => Ok(ConsumerProtocolAssignment::decode(bytes)?.topic_partitions()?),
    }
}

fn poll<T>(pending: &mut PendingAnswer<T>, waker: &Waker) -> Option<Result<T, GroupError>> {
    match Pin::new(pending).poll(&mut Context::from_waker(waker)) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// What consumers call their kind of group.
const PROTOCOL_TYPE: &str = "consumer";
/// Of both messages that they exchange.
const VERSION: i16 = 3;
