//! The groups of an offset store: each behind its own lock, driven by requests and by the clock. Assigns no partition, and reads no protocol.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::clock::Clock;
use crate::group::description::{GroupDescription, GroupListing};
use crate::group::error::GroupError;
use crate::group::group::Group;
use crate::group::options::GroupOptions;
use crate::group::pending::{PendingAnswer, Slot};
use crate::group::request::{JoinRequest, JoinedGroup, LeaveOutcome, LeavingMember, MemberIdentity, SyncRequest, SyncedGroup};
use crate::group::state::GroupState;
use crate::group::turn::{Answer, Turn};
use crate::offset::{GroupId, GroupMetadata, OffsetStore};
use crate::topic::Store;

/// Coordinates consumer groups: who their members are, in which generation, and how far they have come. Clones are one coordinator.
///
/// It speaks Kafka's classic group protocol: what members say to each other is bytes to it. Members, generations and positions are in an
/// [`OffsetStore`]: the next coordinator on it goes on with them. One coordinator at a time may be on a store: a second one is not kept
/// out, though no generation is begun by both.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tidelog::group::{GroupCoordinator, GroupOptions, JoinRequest, SyncRequest};
/// use tidelog::{MemoryOffsetStore, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path())?;
/// let options = GroupOptions::new().initial_rebalance_delay(Duration::ZERO);
/// let coordinator = GroupCoordinator::new(&store, Arc::new(MemoryOffsetStore::new()), options);
/// let group = "billing".parse()?;
/// let joined = coordinator
///     .join(&group, JoinRequest {
///         client_id: "billing-1".to_owned(),
///         session_timeout: Duration::from_secs(45),
///         rebalance_timeout: Duration::from_secs(300),
///         protocol_type: "consumer".to_owned(),
///         protocols: vec![("range".to_owned(), b"what it subscribes to".to_vec())],
///         ..JoinRequest::default()
///     })
///     .wait()?;
/// assert_eq!((joined.generation, &joined.leader), (1, &joined.member_id)); // it is the only one, and assigns
/// let assignments = vec![(joined.member_id.clone(), b"what it reads".to_vec())];
/// let synced = coordinator.sync(&group, SyncRequest { member: joined.identity(), protocol: None, assignments }).wait()?;
/// assert_eq!(synced.assignment, b"what it reads");
/// coordinator.heartbeat(&group, &joined.identity())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct GroupCoordinator {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) offsets: Arc<dyn OffsetStore>,
    pub(super) options: GroupOptions,
    /// Groups that have members, or that somebody is just asking for: of all others, the offset store knows everything.
    groups: Mutex<HashMap<GroupId, Entry>>,
    pub(super) timers: Timers,
}

/// A group, once it is read from the store. Whoever finds a dead one looks for it again.
pub(super) type Entry = Arc<Mutex<Option<Group>>>;

/// For those who run timers: when the next one is due, as far as they know, and whether it is over.
#[derive(Default)]
pub(super) struct Timers {
    pub(super) state: Mutex<TimersState>,
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub(super) struct TimersState {
    pub(super) next: Option<Duration>,
    pub(super) is_closed: bool,
}

impl GroupCoordinator {
    /// A coordinator of the groups of an offset store. Positions are of partitions of `store`.
    pub fn new(store: &Store, offsets: Arc<dyn OffsetStore>, options: GroupOptions) -> Self {
        let inner = Inner { store: store.clone(), offsets, options, groups: Mutex::default(), timers: Timers::default() };
        let coordinator = Self { inner: Arc::new(inner) };
        let weak = Arc::downgrade(&coordinator.inner);
        coordinator.clock().on_advance(move || match weak.upgrade() {
            Some(inner) => {
                inner.timers.changed.notify_all();
                Self { inner }.tick();
                true
            }
            None => false,
        });
        coordinator
    }

    /// The clock that it goes by.
    pub fn clock(&self) -> &Clock {
        &self.inner.options.clock
    }

    /// Joins a group, for the first time or again. The answer is there when all members have joined, or were waited for long enough.
    ///
    /// # Errors
    /// Of the answer: [`GroupError`], also [`GroupError::MemberIdRequired`], which asks to join again.
    pub fn join(&self, group: &GroupId, request: JoinRequest) -> PendingAnswer<JoinedGroup> {
        let slot = Slot::new();
        // A member with an id is one of a group that is there.
        let outcome = self.with(group, |group, turn| group.join(turn, request, slot.clone()));
        self.pending(group, slot, outcome)
    }

    /// Hands in what the leader assigns, and asks for what was assigned to the member. The answer is there when the leader has assigned.
    ///
    /// # Errors
    /// Of the answer: [`GroupError`].
    pub fn sync(&self, group: &GroupId, request: SyncRequest) -> PendingAnswer<SyncedGroup> {
        let slot = Slot::new();
        let outcome = self.with(group, |group, turn| group.sync(turn, request, slot.clone()));
        self.pending(group, slot, outcome)
    }

    /// Shows that a member is alive.
    ///
    /// # Errors
    /// [`GroupError::RebalanceInProgress`] asks it to join again, with its id; after [`GroupError::UnknownMember`] and
    /// [`GroupError::IllegalGeneration`] it has lost its partitions already.
    pub fn heartbeat(&self, group: &GroupId, member: &MemberIdentity) -> Result<(), GroupError> {
        self.with(group, |group, turn| group.heartbeat(turn, member))
    }

    /// Removes members; the others share what they had. Each has its own outcome.
    ///
    /// # Errors
    /// [`GroupError::Store`] if the group cannot be read.
    pub fn leave(&self, group: &GroupId, leaving: &[LeavingMember]) -> Result<Vec<LeaveOutcome>, GroupError> {
        self.with(group, |group, turn| Ok(leaving.iter().map(|member| group.leave(turn, member)).collect()))
    }

    /// A group, and what its members are doing.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`], [`GroupError::Store`].
    pub fn describe(&self, group: &GroupId) -> Result<GroupDescription, GroupError> {
        let description = self.with(group, |found, _| Ok(found.description(group)))?;
        self.check_known(group, &description)?;
        Ok(description)
    }

    /// All groups, by name: those with members, and those of which there is something in the offset store.
    ///
    /// # Errors
    /// [`GroupError::Store`].
    pub fn list(&self) -> Result<Vec<GroupListing>, GroupError> {
        let mut names = self.inner.offsets.groups()?;
        names.extend(self.inner.groups.lock().keys().cloned());
        names.sort();
        names.dedup();
        names.iter().map(|name| self.with(name, |group, _| Ok(group.listing(name)))).collect()
    }

    /// Deletes a group that has no members, with its positions; returns how many there were.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`], [`GroupError::NotEmpty`], [`GroupError::Store`].
    pub fn delete(&self, group: &GroupId) -> Result<usize, GroupError> {
        self.with(group, |found, _| {
            self.check_known(group, &found.description(group))?;
            if found.state != GroupState::Empty || !found.commits.is_empty() {
                return Err(GroupError::NotEmpty { group: group.clone() });
            }
            let deleted = self.inner.offsets.delete_group(group)?;
            found.state = GroupState::Dead;
            Ok(deleted)
        })
    }

    fn check_known(&self, group: &GroupId, found: &GroupDescription) -> Result<(), GroupError> {
        let is_known = found.generation > 0 || found.state != GroupState::Empty || !self.inner.offsets.fetch_all(group)?.is_empty();
        if is_known { Ok(()) } else { Err(GroupError::UnknownGroup { group: group.clone() }) }
    }

    fn pending<T>(&self, group: &GroupId, slot: Arc<Slot<T>>, outcome: Result<(), GroupError>) -> PendingAnswer<T> {
        if let Err(error) = outcome {
            slot.fill(Err(error));
        }
        PendingAnswer::new(self.clone(), group.clone(), slot)
    }

    /// Does what is due in a group; returns how long its next waiter may sleep: for ever, where somebody will tell it.
    pub(super) fn tick_group(&self, group: &GroupId) -> Result<Option<Duration>, GroupError> {
        let next = self.with(group, |group, _| Ok(group.next_deadline()))?;
        Ok(next.and_then(|next| self.clock().until(next)))
    }

    /// The groups in memory.
    pub(super) fn known_groups(&self) -> Vec<GroupId> {
        self.inner.groups.lock().keys().cloned().collect()
    }

    /// Takes a step of a group, behind what was due before it. Only this group waits for it, also where it makes the group's metadata durable.
    pub(super) fn with<T>(&self, id: &GroupId, step: impl FnOnce(&mut Group, &mut Turn<'_>) -> Result<T, GroupError>) -> Result<T, GroupError> {
        self.with_entry(id, step).map(|(_, value)| value)
    }

    /// As [`with`](Self::with), and the entry of the group whose step it was.
    pub(super) fn with_entry<T>(
        &self,
        id: &GroupId,
        mut step: impl FnOnce(&mut Group, &mut Turn<'_>) -> Result<T, GroupError>,
    ) -> Result<(Entry, T), GroupError> {
        loop {
            let entry = self.inner.groups.lock().entry(id.clone()).or_default().clone();
            match self.step_of(id, &entry, step) {
                Ok(outcome) => return outcome.map(|value| (entry, value)),
                Err(left) => step = left,
            }
        }
    }

    /// Takes a step of the group in an entry; gives it back, if the group is dead by then.
    pub(super) fn step_of<T, F>(&self, id: &GroupId, entry: &Entry, step: F) -> Result<Result<T, GroupError>, F>
    where
        F: FnOnce(&mut Group, &mut Turn<'_>) -> Result<T, GroupError>,
    {
        let inner = &*self.inner;
        let save = |metadata: &GroupMetadata| match inner.offsets.save_group(id, metadata)? {
            true => Ok(()),
            false => Err(GroupError::NotCoordinator { group: id.clone(), generation: metadata.generation }),
        };
        let mut place = entry.lock();
        // Behind the lock: however long it was waited for, whoever waits behind this was not heard meanwhile.
        let mut turn = Turn {
            id,
            options: &inner.options,
            uptime: inner.options.clock.uptime(),
            now: inner.options.clock.now(),
            random: &|| inner.store.random(),
            save: &save,
            answers: Vec::new(),
        };
        let outcome = match self.alive(&mut place, &mut turn) {
            Ok(Some(group)) => Ok(step(group, &mut turn)),
            Ok(None) => Err(step),
            Err(error) => Ok(Err(error)),
        };
        let next = place.as_ref().and_then(Group::next_deadline);
        if place.as_ref().is_none_or(|group| group.is_vacant() || group.state == GroupState::Dead) {
            // Whoever waits for this lock finds a dead group, and looks for the one that is there by then.
            place.get_or_insert_with(|| Group::restored(GroupMetadata::empty(0, turn.now), turn.uptime)).state = GroupState::Dead;
            forget(&mut inner.groups.lock(), id, entry);
        }
        drop(place);
        turn.answers.into_iter().for_each(Answer::give);
        inner.timers.note(next);
        outcome
    }

    /// The group, read from the store by the first who asks for it, once what was due is done; unless it is dead by then.
    fn alive<'a>(&self, place: &'a mut Option<Group>, turn: &mut Turn<'_>) -> Result<Option<&'a mut Group>, GroupError> {
        let group = match place {
            Some(group) => group,
            None => {
                let stored = self.inner.offsets.load_group(turn.id)?;
                turn.look_at_clock();
                place.insert(Group::restored(stored.unwrap_or_else(|| GroupMetadata::empty(0, turn.now)), turn.uptime))
            }
        };
        if group.state != GroupState::Dead {
            group.tick(turn);
        }
        Ok(Some(group).filter(|group| group.state != GroupState::Dead))
    }
}

/// Unless another is in its place by now.
fn forget(groups: &mut HashMap<GroupId, Entry>, id: &GroupId, entry: &Entry) {
    if groups.get(id).is_some_and(|known| Arc::ptr_eq(known, entry)) {
        groups.remove(id);
    }
}

impl Timers {
    /// Somebody has to be at work by then.
    fn note(&self, next: Option<Duration>) {
        let mut state = self.state.lock();
        if next.is_some_and(|next| state.next.is_none_or(|known| next < known)) {
            state.next = next;
            self.changed.notify_all();
        }
    }
}

impl fmt::Debug for GroupCoordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCoordinator").field("offsets", &self.inner.offsets).field("options", &self.inner.options).finish_non_exhaustive()
    }
}
