//! One consumer group: its state, its members, and what is due at which moment. Waits for its store alone, and reads no clock by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::group::error::GroupError;
use crate::group::instance_id::InstanceId;
use crate::group::member::Member;
use crate::group::member_id::MemberId;
use crate::group::request::{LeaveOutcome, LeavingMember, MemberIdentity};
use crate::group::state::GroupState;
use crate::group::turn::{Answer, Turn};
use crate::offset::{GroupMetadata, MemberMetadata};

/// Kafka's classic group protocol. Each request is a step, made at the [`Turn`]'s moment, behind [`tick`](Self::tick), which does what was due before.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) state: GroupState,
    pub(super) generation: i32,
    pub(super) protocol_type: String,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<MemberId>,
    pub(super) members: BTreeMap<MemberId, Member>,
    /// Ids that were given out and have not joined yet, and until when they may.
    pub(super) pending: BTreeMap<MemberId, Duration>,
    pub(super) joining: Option<Joining>,
    /// When those are given up that have joined and did not sync.
    pub(super) sync_deadline: Option<Duration>,
    /// Who made the commits that were let in and have not ended, none for no member: no rebalance is completed meanwhile, so that none of them is written behind a commit of the member
    /// that has the partition in the next generation.
    pub(super) commits: Vec<Option<MemberId>>,
    /// The last rebalance as the store has it, with the highest generation that anybody was told of.
    pub(super) stored: GroupMetadata,
}

/// How long a rebalance waits for members to join.
#[derive(Debug)]
pub(super) struct Joining {
    /// Never, once it only waits for commits to end.
    pub(super) deadline: Option<Duration>,
    /// The first rebalance of a group without members: by how much it may still be put off, and whether somebody came since it was last.
    pub(super) initial: Option<(Duration, bool)>,
}

impl Group {
    /// A group as its store has it: whoever was a member is one, as if just heard of.
    pub(super) fn restored(stored: GroupMetadata, uptime: Duration) -> Self {
        let protocol = stored.protocol.as_deref().unwrap_or_default();
        let restored = |(id, member): (&String, &MemberMetadata)| Some((id.parse().ok()?, Member::restored(member.clone(), protocol, uptime)));
        let members: BTreeMap<MemberId, _> = stored.members.iter().filter_map(restored).collect();
        Self {
            state: if members.is_empty() { GroupState::Empty } else { GroupState::Stable },
            generation: stored.generation,
            protocol_type: stored.protocol_type.clone(),
            protocol: stored.protocol.clone(),
            leader: stored.leader.as_ref().and_then(|id| id.parse().ok()),
            members,
            pending: BTreeMap::new(),
            joining: None,
            sync_deadline: None,
            commits: Vec::new(),
            stored,
        }
    }

    /// Whether the store knows all there is to it.
    pub(super) fn is_vacant(&self) -> bool {
        self.state == GroupState::Empty && self.pending.is_empty() && self.commits.is_empty() && self.stored.members.is_empty()
    }

    /// Does what was due up to now.
    pub(super) fn tick(&mut self, turn: &mut Turn<'_>) {
        let now = turn.uptime;
        self.pending.retain(|_, deadline| *deadline > now);
        let expired: Vec<_> = self.members.iter().filter(|(_, member)| member.deadline.is_some_and(|deadline| deadline <= now)).collect();
        let expired: Vec<_> = expired.into_iter().map(|(id, _)| id.clone()).collect();
        self.remove(turn, &expired);
        if self.sync_deadline.is_some_and(|deadline| deadline <= now) {
            self.sync_deadline = None;
            let late: Vec<_> = self.members.iter().filter(|(_, member)| member.owes_sync).map(|(id, _)| id.clone()).collect();
            self.remove(turn, &late);
        }
        if self.state == GroupState::Empty && !self.stored.members.is_empty() {
            self.become_empty(turn); // which could not be noted before
        }
        self.end_joining(turn);
    }

    /// When the next thing is due.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let members = self.members.values().filter_map(|member| member.deadline);
        let joining = self.joining.as_ref().and_then(|joining| joining.deadline);
        members.chain(self.pending.values().copied()).chain(joining).chain(self.sync_deadline).min()
    }

    /// The member of that identity.
    pub(super) fn member_of(&mut self, turn: &Turn<'_>, identity: &MemberIdentity) -> Result<&mut Member, GroupError> {
        let MemberIdentity { member_id, instance_id, generation } = identity;
        self.check_instance(turn, member_id, instance_id.as_ref())?;
        let current = self.generation;
        let member = self.members.get_mut(member_id).ok_or_else(|| turn.unknown_member(member_id.as_str()))?;
        if *generation != current {
            return Err(GroupError::IllegalGeneration { group: turn.id.clone(), found: *generation, current });
        }
        Ok(member)
    }

    /// Whether a static member is still the one of its name.
    pub(super) fn check_instance(&self, turn: &Turn<'_>, member_id: &MemberId, instance_id: Option<&InstanceId>) -> Result<(), GroupError> {
        let Some(instance_id) = instance_id else { return Ok(()) };
        match self.static_member(instance_id) {
            None => Err(turn.unknown_member(member_id.as_str())),
            Some(id) if id == member_id => Ok(()),
            Some(_) => Err(fenced(turn, instance_id, member_id)),
        }
    }

    pub(super) fn static_member(&self, instance_id: &InstanceId) -> Option<&MemberId> {
        let mut members = self.members.iter();
        members.find(|(_, member)| member.instance_id.as_ref() == Some(instance_id)).map(|(id, _)| id)
    }

    /// A sign of life, and what the member should do.
    pub(super) fn heartbeat(&mut self, turn: &Turn<'_>, identity: &MemberIdentity) -> Result<(), GroupError> {
        self.member_of(turn, identity)?.touch(turn.uptime);
        if self.state == GroupState::PreparingRebalance { Err(turn.rebalancing()) } else { Ok(()) }
    }

    pub(super) fn leave(&mut self, turn: &mut Turn<'_>, leaving: &LeavingMember) -> LeaveOutcome {
        let member_id = match (&leaving.member_id, &leaving.instance_id) {
            (Some(member_id), instance_id) => {
                self.check_instance(turn, member_id, instance_id.as_ref())?;
                member_id.clone()
            }
            (None, Some(instance_id)) => self.static_member(instance_id).ok_or_else(|| turn.unknown_member(instance_id.as_str()))?.clone(),
            (None, None) => return Err(turn.unknown_member("")),
        };
        if self.pending.remove(&member_id).is_some() {
            self.end_joining(turn);
            return Ok(());
        }
        if !self.members.contains_key(&member_id) {
            return Err(turn.unknown_member(member_id.as_str()));
        }
        self.remove(turn, &[member_id]);
        Ok(())
    }

    /// Lets a commit in, which has to be ended. While members are waited for, one of the generation that is being left still is.
    pub(super) fn begin_commit(&mut self, turn: &Turn<'_>, member: Option<&MemberIdentity>) -> Result<(), GroupError> {
        match member {
            Some(identity) => self.member_of(turn, identity)?.touch(turn.uptime),
            None if self.state == GroupState::Empty => {}
            None => return Err(turn.unknown_member("")),
        }
        let waits_for_commits = self.joining.as_ref().is_some_and(|joining| joining.deadline.is_none());
        if self.state == GroupState::CompletingRebalance || waits_for_commits {
            return Err(turn.rebalancing());
        }
        self.commits.push(member.map(|identity| identity.member_id.clone()));
        Ok(())
    }

    pub(super) fn end_commit(&mut self, turn: &mut Turn<'_>, member: Option<&MemberId>) {
        if let Some(at) = self.commits.iter().position(|of| of.as_ref() == member) {
            self.commits.swap_remove(at);
        }
        self.end_joining(turn);
    }

    /// Removes members, and has the others share what they had.
    fn remove(&mut self, turn: &mut Turn<'_>, ids: &[MemberId]) {
        for id in ids {
            let Some(member) = self.members.remove(id) else { continue };
            let gone = turn.unknown_member(id.as_str());
            refuse(turn, member, &gone);
            if self.leader.as_ref() == Some(id) {
                self.leader = self.members.keys().next().cloned();
            }
        }
        if !ids.is_empty() {
            self.prepare_rebalance(turn);
        }
    }

    /// What a store is to keep of it, in the generation that it has there.
    pub(super) fn metadata(&self) -> GroupMetadata {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        GroupMetadata {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.as_ref().map(ToString::to_string),
            members: self.members.iter().map(|(id, member)| (id.to_string(), member.metadata(protocol))).collect(),
            changed_at: self.stored.changed_at,
        }
    }

    /// Makes something durable, before anybody is told of it; where another coordinator was faster, this one knows nothing of the group any more.
    pub(super) fn save(&mut self, turn: &mut Turn<'_>, metadata: GroupMetadata) -> Result<(), GroupError> {
        let outcome = (turn.save)(&metadata);
        let waited = turn.look_at_clock();
        self.postpone(waited);
        match outcome {
            Ok(()) => self.stored = metadata,
            Err(error) => {
                if matches!(error, GroupError::NotCoordinator { .. }) {
                    self.die(turn, &error);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Nobody could show a sign of life while the group was locked: it is no time of theirs.
    fn postpone(&mut self, by: Duration) {
        let members = self.members.values_mut().filter_map(|member| member.deadline.as_mut());
        let joining = self.joining.iter_mut().filter_map(|joining| joining.deadline.as_mut());
        for deadline in members.chain(self.pending.values_mut()).chain(joining).chain(&mut self.sync_deadline) {
            *deadline = deadline.saturating_add(by);
        }
    }

    /// Ends it here, and tells everybody who waits.
    pub(super) fn die(&mut self, turn: &mut Turn<'_>, why: &GroupError) {
        self.state = GroupState::Dead;
        for member in std::mem::take(&mut self.members).into_values() {
            refuse(turn, member, why);
        }
        self.pending.clear();
        (self.joining, self.sync_deadline) = (None, None);
    }
}

/// Answers a member with an error, whatever it waits for.
pub(super) fn refuse(turn: &mut Turn<'_>, member: Member, why: &GroupError) {
    turn.answers.extend(member.awaits_join.map(|slot| Answer::Joined(slot, Err(why.clone()))));
    turn.answers.extend(member.awaits_sync.map(|slot| Answer::Synced(slot, Err(why.clone()))));
}

pub(super) fn fenced(turn: &Turn<'_>, instance_id: &InstanceId, member_id: &MemberId) -> GroupError {
    GroupError::FencedInstance { group: turn.id.clone(), instance_id: instance_id.clone(), member_id: member_id.clone() }
}
