//! How members come to a group, and come back to it. Completes no rebalance by itself.

use std::time::Duration;

use crate::group::error::GroupError;
use crate::group::group::{Group, fenced, refuse};
use crate::group::instance_id::InstanceId;
use crate::group::member::Member;
use crate::group::member_id::MemberId;
use crate::group::pending::JoinSlot;
use crate::group::request::{JoinRequest, JoinedGroup};
use crate::group::state::GroupState;
use crate::group::turn::{Answer, Turn};
use crate::offset::{GROUP_BYTES_MAX, GROUP_NAME_BYTES_MAX, OffsetStoreError};

impl Group {
    /// Takes a member in, or back. It is answered through the slot, when its generation begins; an error is its answer.
    pub(super) fn join(&mut self, turn: &mut Turn<'_>, mut request: JoinRequest, slot: JoinSlot) -> Result<(), GroupError> {
        check_session_timeout(turn, request.session_timeout)?;
        if request.rebalance_timeout.is_zero() {
            request.rebalance_timeout = request.session_timeout;
        }
        self.check_protocols(turn, &request)?;
        self.check_size(&request)?;
        let Some(member_id) = request.member_id.clone() else { return self.join_first(turn, request, slot) };
        // An id to join with is given to those alone that have no name.
        if request.instance_id.is_none() && self.pending.remove(&member_id).is_some() {
            self.add(turn, member_id, request, slot);
            return Ok(());
        }
        self.check_instance(turn, &member_id, request.instance_id.as_ref())?;
        if !self.members.contains_key(&member_id) {
            return Err(turn.unknown_member(member_id.as_str()));
        }
        self.join_again(turn, member_id, request, slot);
        Ok(())
    }

    fn join_first(&mut self, turn: &mut Turn<'_>, request: JoinRequest, slot: JoinSlot) -> Result<(), GroupError> {
        if let Some(instance_id) = &request.instance_id
            && let Some(old) = self.static_member(instance_id)
        {
            let old = old.clone();
            return self.replace(turn, &old, request, slot);
        }
        let limit = turn.options.group_size_max;
        if self.members.len() + self.pending.len() >= limit {
            return Err(GroupError::GroupFull { group: turn.id.clone(), limit });
        }
        let member_id = turn.member_id(request.instance_id.as_ref().map_or(&request.client_id, InstanceId::as_str));
        if request.requires_member_id && request.instance_id.is_none() {
            self.pending.insert(member_id.clone(), turn.uptime.saturating_add(request.session_timeout));
            return Err(GroupError::MemberIdRequired { member_id });
        }
        self.add(turn, member_id, request, slot);
        Ok(())
    }

    fn add(&mut self, turn: &mut Turn<'_>, member_id: MemberId, request: JoinRequest, slot: JoinSlot) {
        if self.members.is_empty() {
            self.protocol_type.clone_from(&request.protocol_type);
        }
        let mut member = Member::new(request);
        member.deadline = Some(turn.uptime.saturating_add(NEW_MEMBER_TIMEOUT.max(member.rebalance_timeout)));
        member.awaits_join = Some(slot);
        self.leader.get_or_insert_with(|| member_id.clone());
        self.members.insert(member_id, member);
        if let Some((_, is_more)) = self.joining.as_mut().and_then(|joining| joining.initial.as_mut()) {
            *is_more = true;
        }
        self.prepare_rebalance(turn);
    }

    /// A member that did not get its answer, or has something else to say, or was asked to.
    fn join_again(&mut self, turn: &mut Turn<'_>, member_id: MemberId, request: JoinRequest, slot: JoinSlot) {
        let state = self.state;
        let is_leader = self.leader.as_ref() == Some(&member_id);
        let Some(member) = self.members.get_mut(&member_id) else { return };
        let is_unchanged = member.protocols == request.protocols;
        member.update(request);
        // The leader joins again to have everything assigned anew: what it assigns may have changed.
        if is_unchanged && (state == GroupState::CompletingRebalance || (state == GroupState::Stable && !is_leader)) {
            member.touch(turn.uptime);
            turn.answers.push(Answer::Joined(slot, Ok(self.joined(&member_id))));
            return;
        }
        member.deadline = member.is_new.then_some(member.deadline).flatten();
        if let Some(earlier) = member.awaits_join.replace(slot) {
            turn.answers.push(Answer::Joined(earlier, Err(turn.rebalancing())));
        }
        self.prepare_rebalance(turn);
    }

    /// A static member has come back, under a new id: whoever had the name before is refused from now on. It has the assignment of the name, without
    /// a rebalance, as long as the protocol stays the same and the one before does not commit: that must not move its successor's position back.
    fn replace(&mut self, turn: &mut Turn<'_>, old: &MemberId, request: JoinRequest, slot: JoinSlot) -> Result<(), GroupError> {
        let Some(mut replaced) = self.members.remove(old) else { return Err(turn.unknown_member(old.as_str())) };
        let name = request.instance_id.as_ref().map_or("", InstanceId::as_str);
        let member_id = turn.member_id(name);
        let mut member = Member::new(request);
        (member.assignment, member.is_new) = (replaced.assignment.clone(), replaced.is_new);
        member.touch(turn.uptime);
        self.members.insert(member_id.clone(), member);
        let is_leader = self.leader.as_ref() == Some(old);
        if is_leader {
            self.leader = Some(member_id.clone());
        }
        let commits = self.commits.iter().any(|of| of.as_ref() == Some(old));
        let goes_on = self.state == GroupState::Stable && !commits && self.protocol.as_deref() == Some(self.most_liked_protocol().as_str());
        if goes_on {
            let metadata = self.metadata();
            if let Err(error) = self.save(turn, metadata) {
                if self.members.remove(&member_id).is_some() {
                    replaced.touch(turn.uptime);
                    self.members.insert(old.clone(), replaced);
                    self.leader = self.leader.take().map(|leader| if is_leader { old.clone() } else { leader });
                }
                return Err(error);
            }
        }
        if let Some(why) = replaced.instance_id.clone().map(|instance_id| fenced(turn, &instance_id, old)) {
            refuse(turn, replaced, &why);
        }
        if goes_on {
            turn.answers.push(Answer::Joined(slot, Ok(JoinedGroup { skip_assignment: is_leader, ..self.joined(&member_id) })));
            return Ok(());
        }
        if let Some(member) = self.members.get_mut(&member_id) {
            (member.awaits_join, member.deadline) = (Some(slot), None);
        }
        self.prepare_rebalance(turn);
        Ok(())
    }

    /// Whether a member and all others know a protocol.
    fn check_protocols(&self, turn: &Turn<'_>, request: &JoinRequest) -> Result<(), GroupError> {
        let others: Vec<_> = self.others(request).collect();
        let why = if request.protocol_type.is_empty() || request.protocols.is_empty() {
            "it has none"
        } else if !self.members.is_empty() && request.protocol_type != self.protocol_type {
            "the group is of another kind"
        } else if !request.protocols.iter().any(|(name, _)| others.iter().all(|other| other.knows(name))) {
            "none of them is known to all members"
        } else {
            return Ok(());
        };
        Err(GroupError::InconsistentProtocol { group: turn.id.clone(), why })
    }

    /// Whether a store can keep the group with a member in it: else none of its generations would ever be complete.
    fn check_size(&self, request: &JoinRequest) -> Result<(), GroupError> {
        let within = |what, found, limit| if found > limit { Err(OffsetStoreError::GroupTooLarge { what, found, limit }) } else { Ok(()) };
        let names = request.protocols.iter().map(|(name, _)| name).chain([&request.protocol_type, &request.client_id, &request.client_host]);
        for name in names {
            within("a name", name.len(), GROUP_NAME_BYTES_MAX)?;
            if name.contains('\0') {
                return Err(OffsetStoreError::NulCharacter { what: "a name of a group" }.into());
            }
        }
        let others: usize = self.others(request).map(Member::bytes).sum();
        let all = others + Member::new(request.clone()).bytes() + 3 * GROUP_NAME_BYTES_MAX;
        Ok(within("the metadata", all, MEMBERS_BYTES_MAX)?)
    }

    /// All members but the one that makes a request.
    fn others<'a>(&'a self, request: &'a JoinRequest) -> impl Iterator<Item = &'a Member> {
        let is_self = |id: &MemberId, other: &Member| {
            Some(id) == request.member_id.as_ref() || (other.instance_id.is_some() && other.instance_id == request.instance_id)
        };
        self.members.iter().filter(move |(id, other)| !is_self(id, other)).map(|(_, other)| other)
    }
}

fn check_session_timeout(turn: &Turn<'_>, found: Duration) -> Result<(), GroupError> {
    let (min, max) = (turn.options.session_timeout_min, turn.options.session_timeout_max);
    if (min..=max).contains(&found) { Ok(()) } else { Err(GroupError::InvalidSessionTimeout { found, min, max }) }
}

/// Of what a store keeps of a group at most, half is left for what the leader assigns.
const MEMBERS_BYTES_MAX: usize = GROUP_BYTES_MAX / 2;
/// How long a new member is kept that waits for its first generation: it has no other sign of life to show, and may be gone.
const NEW_MEMBER_TIMEOUT: Duration = Duration::from_secs(5 * 60);
