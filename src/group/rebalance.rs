//! From one generation of a group to the next: who is waited for, for how long, and what is told to whom. Assigns nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::group::error::GroupError;
use crate::group::group::{Group, Joining};
use crate::group::member::Member;
use crate::group::member_id::MemberId;
use crate::group::pending::SyncSlot;
use crate::group::request::{JoinedGroup, JoinedMember, SyncRequest, SyncedGroup};
use crate::group::state::GroupState;
use crate::group::turn::{Answer, Turn};
use crate::offset::GroupMetadata;

impl Group {
    /// Asks all members to join again. Each learns of it by its next heartbeat, or by the sync that it waits for.
    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn<'_>) {
        let longest = self.longest_rebalance_timeout();
        let delay = turn.options.initial_rebalance_delay.min(longest);
        self.joining = match self.state {
            GroupState::Dead => return,
            GroupState::PreparingRebalance => self.joining.take(),
            GroupState::Empty if !delay.is_zero() => {
                Some(Joining { deadline: Some(turn.uptime.saturating_add(delay)), initial: Some((longest - delay, false)) })
            }
            _ => Some(Joining { deadline: Some(turn.uptime.saturating_add(longest)), initial: None }),
        };
        self.sync_deadline = None;
        let why = turn.rebalancing();
        for member in self.members.values_mut() {
            member.owes_sync = false;
            if let Some(slot) = member.awaits_sync.take() {
                turn.answers.push(Answer::Synced(slot, Err(why.clone())));
                member.touch(turn.uptime);
            }
        }
        self.state = GroupState::PreparingRebalance;
        self.end_joining(turn);
    }

    /// Completes the rebalance, if it is time: all members have joined, or were waited for long enough, and no commit is under way.
    pub(super) fn end_joining(&mut self, turn: &mut Turn<'_>) {
        let longest = self.longest_rebalance_timeout();
        let Some(joining) = &mut self.joining else { return };
        let now = turn.uptime;
        let is_due = joining.deadline.is_some_and(|deadline| deadline <= now);
        if let (true, Some(deadline), Some((left, true))) = (is_due, joining.deadline, joining.initial)
            && !left.is_zero()
        {
            let more = left.min(turn.options.initial_rebalance_delay);
            joining.deadline = Some(deadline.saturating_add(more));
            joining.initial = Some((left - more, false));
            return self.end_joining(turn); // that may be over, too
        }
        let have_all = joining.initial.is_none() && self.pending.is_empty() && self.members.values().all(|member| member.awaits_join.is_some());
        let waits_for_commits = joining.deadline.is_none();
        if !is_due && !have_all && !waits_for_commits {
            return;
        }
        // A static member may still come back, until its session times out.
        self.members.retain(|_, member| member.awaits_join.is_some() || member.instance_id.is_some());
        let has_joined = |member: &Member| member.awaits_join.is_some();
        if !self.members.is_empty() && !self.members.values().any(has_joined) {
            joining.deadline = Some(now.saturating_add(longest));
            return;
        }
        if !self.commits.is_empty() {
            joining.deadline = None;
            return;
        }
        self.joining = None;
        if self.members.is_empty() { self.become_empty(turn) } else { self.next_generation(turn) }
    }

    /// The last member is gone. Where that cannot be noted, it is tried again: a coordinator that knew nothing of it would have the members back.
    pub(super) fn become_empty(&mut self, turn: &mut Turn<'_>) {
        self.state = GroupState::Empty;
        (self.protocol, self.leader) = (None, None);
        let generation = self.generation.saturating_add(1);
        let protocol_type = self.protocol_type.clone();
        // Of a group that never had a generation, there is nothing to note.
        if self.generation > 0 && self.save(turn, GroupMetadata { protocol_type, ..GroupMetadata::empty(generation, turn.now) }).is_ok() {
            self.generation = generation;
        }
    }

    /// Tells everybody who has joined of the next generation, once the store knows it: with the assignments of the last one, until there are new ones.
    fn next_generation(&mut self, turn: &mut Turn<'_>) {
        let metadata = GroupMetadata { generation: self.generation.saturating_add(1), changed_at: turn.now, ..self.last_assigned() };
        let generation = metadata.generation;
        if let Err(error) = self.save(turn, metadata) {
            return self.fail_joins(turn, &error);
        }
        self.generation = generation;
        self.protocol = Some(self.most_liked_protocol());
        self.state = GroupState::CompletingRebalance;
        self.sync_deadline = Some(turn.uptime.saturating_add(self.longest_rebalance_timeout()));
        let has_joined = |member: &Member| member.awaits_join.is_some();
        if !self.leader.as_ref().and_then(|id| self.members.get(id)).is_some_and(has_joined) {
            self.leader = self.members.iter().find(|(_, member)| has_joined(member)).map(|(id, _)| id.clone());
        }
        let joined: Vec<_> = self.members.keys().map(|id| self.joined(id)).collect();
        for (member, joined) in self.members.values_mut().zip(joined) {
            let Some(slot) = member.awaits_join.take() else { continue };
            (member.is_new, member.owes_sync) = (false, true);
            member.touch(turn.uptime);
            turn.answers.push(Answer::Joined(slot, Ok(joined)));
        }
    }

    /// The last rebalance, with each static member under the id that it has by now: as that one it goes on after a restart.
    fn last_assigned(&self) -> GroupMetadata {
        let mut metadata = self.stored.clone();
        for (id, member) in &self.members {
            let Some(name) = member.instance_id.as_ref().map(ToString::to_string) else { continue };
            let known = metadata.members.iter().find(|(_, stored)| stored.instance_id.as_ref() == Some(&name));
            let Some(old) = known.map(|(old, _)| old.clone()) else { continue };
            let stored = metadata.members.remove(&old);
            metadata.members.extend(stored.map(|stored| (id.to_string(), stored)));
            if metadata.leader.as_ref() == Some(&old) {
                metadata.leader = Some(id.to_string());
            }
        }
        metadata
    }

    /// Nobody has joined: those who were members before may try again, and others are not known.
    fn fail_joins(&mut self, turn: &mut Turn<'_>, why: &GroupError) {
        for member in self.members.values_mut() {
            if let Some(slot) = member.awaits_join.take() {
                turn.answers.push(Answer::Joined(slot, Err(why.clone())));
                member.touch(turn.uptime);
            }
        }
        self.members.retain(|_, member| !member.is_new);
        if self.state == GroupState::Dead {
            return;
        }
        self.leader = self.leader.take().filter(|id| self.members.contains_key(id)).or_else(|| self.members.keys().next().cloned());
        if self.members.is_empty() {
            self.state = GroupState::Empty;
        } else {
            let deadline = turn.uptime.saturating_add(self.longest_rebalance_timeout());
            self.joining = Some(Joining { deadline: Some(deadline), initial: None });
        }
    }

    /// What a member is told of the generation that it has joined.
    pub(super) fn joined(&self, member_id: &MemberId) -> JoinedGroup {
        let (protocol, leader) = (self.protocol.clone().unwrap_or_default(), self.leader.clone().unwrap_or_else(|| member_id.clone()));
        let instance_id = self.members.get(member_id).and_then(|member| member.instance_id.clone());
        let told = |(id, member): (&MemberId, &Member)| JoinedMember {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            subscription: member.subscription(&protocol).to_vec(),
        };
        let members = if leader == *member_id { self.members.iter().map(told).collect() } else { Vec::new() };
        let (generation, protocol_type) = (self.generation, self.protocol_type.clone());
        JoinedGroup { generation, protocol_type, protocol, leader, member_id: member_id.clone(), instance_id, members, skip_assignment: false }
    }

    /// Gives a member what it was assigned, or has it wait for the leader, whose request assigns.
    pub(super) fn sync(&mut self, turn: &mut Turn<'_>, request: SyncRequest, slot: SyncSlot) -> Result<(), GroupError> {
        let (member_id, state) = (&request.member.member_id, self.state);
        self.member_of(turn, &request.member)?.touch(turn.uptime);
        let chosen = (self.protocol_type.as_str(), self.protocol.as_deref());
        if request.protocol.as_ref().is_some_and(|(kind, name)| (kind.as_str(), Some(name.as_str())) != chosen) {
            return Err(GroupError::InconsistentProtocol { group: turn.id.clone(), why: "the generation has another protocol" });
        }
        match state {
            GroupState::Stable => {
                let member = self.member_of(turn, &request.member)?;
                member.owes_sync = false;
                let assignment = member.assignment.clone();
                turn.answers.push(Answer::Synced(slot, Ok(self.synced(assignment))));
            }
            GroupState::CompletingRebalance => {
                let is_leader = self.leader.as_ref() == Some(member_id);
                let member = self.member_of(turn, &request.member)?;
                (member.owes_sync, member.deadline) = (false, None);
                if let Some(earlier) = member.awaits_sync.replace(slot) {
                    turn.answers.push(Answer::Synced(earlier, Err(turn.rebalancing())));
                }
                if is_leader {
                    self.assign(turn, request.assignments);
                }
            }
            _ => return Err(turn.rebalancing()),
        }
        Ok(())
    }

    /// The leader has assigned: everybody who waits for it is told, once the store knows it.
    fn assign(&mut self, turn: &mut Turn<'_>, assignments: Vec<(MemberId, Vec<u8>)>) {
        let mut assignments: BTreeMap<_, _> = assignments.into_iter().map(|(id, bytes)| (id.to_string(), bytes)).collect();
        let mut metadata = self.metadata();
        for (id, member) in &mut metadata.members {
            member.assignment = assignments.remove(id).unwrap_or_default();
        }
        if let Err(error) = self.save(turn, metadata) {
            for member in self.members.values_mut() {
                if let Some(slot) = member.awaits_sync.take() {
                    turn.answers.push(Answer::Synced(slot, Err(error.clone())));
                    member.touch(turn.uptime);
                }
            }
            return self.prepare_rebalance(turn);
        }
        self.state = GroupState::Stable;
        let answer = self.synced(Vec::new());
        for (id, member) in &mut self.members {
            member.assignment = self.stored.members.get(id.as_str()).map(|stored| stored.assignment.clone()).unwrap_or_default();
            if let Some(slot) = member.awaits_sync.take() {
                turn.answers.push(Answer::Synced(slot, Ok(SyncedGroup { assignment: member.assignment.clone(), ..answer.clone() })));
                member.touch(turn.uptime);
            }
        }
    }

    fn synced(&self, assignment: Vec<u8>) -> SyncedGroup {
        SyncedGroup { protocol_type: self.protocol_type.clone(), protocol: self.protocol.clone().unwrap_or_default(), assignment }
    }

    /// The protocol that the most members like best, of those that all of them know.
    pub(super) fn most_liked_protocol(&self) -> String {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let known_by_all = |name: &str| self.members.values().all(|other| other.knows(name));
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| known_by_all(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(name, _)| name.to_owned()).unwrap_or_default()
    }

    fn longest_rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }
}
