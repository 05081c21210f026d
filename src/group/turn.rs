//! One step of a group: the moment it is made at, what it may use, and the answers that it leads to. Moves no group.

use std::fmt;
use std::time::Duration;

use tidelog_format::TimestampNs;

use crate::group::error::GroupError;
use crate::group::member_id::MemberId;
use crate::group::options::GroupOptions;
use crate::group::pending::{JoinSlot, SyncSlot};
use crate::group::request::{JoinedGroup, SyncedGroup};
use crate::offset::{GroupId, GroupMetadata};

/// What a group is driven with: the same turns lead to the same answers.
pub(super) struct Turn<'a> {
    pub(super) id: &'a GroupId,
    pub(super) options: &'a GroupOptions,
    /// The moment: when the group was let hold of, and behind each wait for the store.
    pub(super) uptime: Duration,
    pub(super) now: TimestampNs,
    pub(super) random: &'a dyn Fn() -> u64,
    /// Makes the group's metadata durable.
    pub(super) save: &'a dyn Fn(&GroupMetadata) -> Result<(), GroupError>,
    /// Given once the group is let go of: whoever is woken may ask it something.
    pub(super) answers: Vec<Answer>,
}

/// An answer, and where it goes.
pub(super) enum Answer {
    Joined(JoinSlot, Result<JoinedGroup, GroupError>),
    Synced(SyncSlot, Result<SyncedGroup, GroupError>),
}

impl Answer {
    pub(super) fn give(self) {
        match self {
            Self::Joined(slot, answer) => slot.fill(answer),
            Self::Synced(slot, answer) => slot.fill(answer),
        }
    }
}

impl Turn<'_> {
    /// Looks at the clock: the step goes on at that moment. Returns how long it was since the last look.
    pub(super) fn look_at_clock(&mut self) -> Duration {
        let before = self.uptime;
        (self.uptime, self.now) = (self.options.clock.uptime(), self.options.clock.now());
        self.uptime.saturating_sub(before)
    }

    pub(super) fn unknown_member(&self, member: &str) -> GroupError {
        GroupError::UnknownMember { group: self.id.clone(), member: member.to_owned() }
    }

    pub(super) fn rebalancing(&self) -> GroupError {
        GroupError::RebalanceInProgress { group: self.id.clone() }
    }

    /// An id that no other member has: behind what it calls itself, for those who read it.
    pub(super) fn member_id(&self, name: &str) -> MemberId {
        let name: String = name.chars().filter(|letter| !letter.is_control()).take(NAME_CHARS_MAX).collect();
        let id = format!("{name}-{:016x}{:016x}", (self.random)(), (self.random)());
        id.parse().expect("so many characters, none of control, are an id")
    }
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("id", &self.id).field("uptime", &self.uptime).finish_non_exhaustive()
    }
}

/// Of what a member calls itself, in its id: with up to four bytes each, they leave room for the rest.
const NAME_CHARS_MAX: usize = 200;
