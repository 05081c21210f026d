//! The default store: notes in a partition of the store that they are about, so that there is nothing to install. Assigns no offset of another.

mod encoding;
mod replay;
mod snapshot;

use std::collections::HashMap;

use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use tidelog_format::Offset;

use crate::error::{AppendError, DamagedRange, ReadError, TopicError};
use crate::log::{PartitionView, Record, RecordBatch};
use crate::offset::error::OffsetStoreError;
use crate::offset::store::by_notes::by_notes;
use crate::offset::store::log::encoding::{Entry, EntryError};
use crate::offset::store::log::replay::{Malformed, Replay};
use crate::offset::store::notes::{Change, Notes};
use crate::topic::{OFFSETS_TOPIC, Partition, ReadOnlyStore, Store};

/// An [`OffsetStore`](crate::OffsetStore) in the internal topic `_tidelog/offsets` of a [`Store`]: a snapshot of everything, followed by changes.
///
/// A change is one record, durable when the call returns; those of several threads share a sync. When the changes outgrow the snapshot, a new one
/// is appended, and what is before it deleted once it is durable: a kill between any two steps costs nothing that was acknowledged. All of it is
/// held in memory too. It keeps its store open.
///
/// ```
/// use tidelog::{CommittedOffset, GroupId, LogOffsetStore, OffsetStore, Store, TimestampNs};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path())?;
/// let (orders, group) = (store.topic("orders")?.partition(0)?, "billing".parse::<GroupId>()?);
/// let positions = LogOffsetStore::open(&store)?;
/// positions.commit(&group, &[(orders.key().clone(), CommittedOffset::new(0, TimestampNs::new(0)))])?; // survives power loss
/// let elsewhere = LogOffsetStore::open_read_only(&Store::open_read_only(dir.path())?)?; // beside the writer, in another process
/// assert_eq!(elsewhere.fetch_all(&group)?, positions.fetch_all(&group)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LogOffsetStore {
    source: Source,
    /// What is durable, or, without a writer, what was there at the last refresh.
    state: RwLock<Replay>,
    /// What came of changes that their threads wait for, by offset.
    awaited: Mutex<HashMap<u64, Option<usize>>>,
    /// Held by whoever writes a snapshot.
    snapshotting: Mutex<()>,
    changes_bytes_min: u64,
}

#[derive(Debug)]
enum Source {
    Writer(Box<Partition>),
    /// Without a partition while its topic is not there.
    Reader(ReadOnlyStore, Mutex<Option<PartitionView>>),
}

impl LogOffsetStore {
    /// Opens the offset store of a store, and makes it if there is none: one that is lost looks like one that was never there. Where there must be
    /// one, [`open_existing`](Self::open_existing) is the call. Several opened from one store see each other's changes.
    ///
    /// # Errors
    /// [`OffsetStoreError::Unsupported`] if a newer version wrote it, [`OffsetStoreError::Damaged`] if changes are lost, which
    /// [`salvage`](Self::salvage) accepts; nothing is written in either case.
    pub fn open(store: &Store) -> Result<Self, OffsetStoreError> {
        Self::open_with(store, CHANGES_BYTES_MIN)
    }

    /// As [`open`](Self::open), where there must be one: what groups have committed is not taken for nothing because it is gone.
    ///
    /// # Errors
    /// [`OffsetStoreError::NotFound`] if there is none; nothing is made. Else as [`open`](Self::open).
    pub fn open_existing(store: &Store) -> Result<Self, OffsetStoreError> {
        match store.existing_topic(OFFSETS_TOPIC) {
            Err(TopicError::Unknown { .. }) => Err(OffsetStoreError::NotFound { place: format!("the topic {OFFSETS_TOPIC}") }),
            Err(error) => Err(error.into()),
            Ok(_) => Self::open(store),
        }
    }

    /// As [`open`](Self::open), with a snapshot when there are more than `changes_bytes_min` bytes of changes, and more than of the last snapshot.
    /// [`open`](Self::open) takes 1 MiB.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(store: &Store, changes_bytes_min: u64) -> Result<Self, OffsetStoreError> {
        let opened = Self::replay(store, changes_bytes_min, Malformed::IsRefused)?;
        let state = opened.state.read();
        if !state.damage.is_empty() {
            return Err(OffsetStoreError::Damaged { damage: state.damage.clone() });
        }
        let snapshot = state.snapshot;
        drop(state);
        opened.delete_before(snapshot)?; // whoever wrote it may have died before
        Ok(opened)
    }

    /// Opens an offset store of which changes are lost, or [no changes](OffsetStoreError::Malformed), with what is left: positions may be older than
    /// what was committed, or gone, and nothing is invented. A snapshot of them takes the place of what is damaged. Returns what was lost.
    ///
    /// # Errors
    /// [`OffsetStoreError`]; damage is none, and entries that no version writes are damage. Those of a newer version are refused.
    pub fn salvage(store: &Store) -> Result<(Self, Vec<DamagedRange>), OffsetStoreError> {
        let opened = Self::replay(store, CHANGES_BYTES_MIN, Malformed::IsLost)?;
        let (damage, snapshot) = {
            let mut state = opened.state.write();
            state.malformed = Malformed::IsRefused;
            (std::mem::take(&mut state.damage), state.snapshot)
        };
        // A snapshot may have made up for what is before it.
        opened.delete_before(snapshot)?;
        if !damage.is_empty() {
            opened.snapshot()?;
        }
        Ok((opened, damage))
    }

    /// Opens the offset store of a store that is only looked at: it shows the moment of the open, or of the last [`refresh`](Self::refresh), and
    /// takes no changes. Empty if there is none.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_read_only(store: &ReadOnlyStore) -> Result<Self, OffsetStoreError> {
        let opened = Self::new(Source::Reader(store.clone(), Mutex::new(None)), CHANGES_BYTES_MIN);
        opened.refresh()?;
        Ok(opened)
    }

    /// Brings a store that is only looked at up to date; one that is written to always is.
    ///
    /// # Errors
    /// As [`open`](Self::open). What it shows is then that of the last refresh.
    pub fn refresh(&self) -> Result<(), OffsetStoreError> {
        let Source::Reader(store, known) = &self.source else { return Ok(()) };
        let mut known = known.lock();
        if known.is_none() {
            *known = match store.topic(OFFSETS_TOPIC).and_then(|topic| topic.partition(0)) {
                Err(TopicError::Unknown { .. }) => return Ok(()),
                other => Some(other?),
            };
        }
        let Some(view) = &*known else { return Ok(()) };
        view.refresh()?;
        let mut state = self.state.write();
        let outcome = read_on(&mut state, view, || view.end_offset());
        match outcome {
            Ok(_) if !state.damage.is_empty() => Err(OffsetStoreError::Damaged { damage: state.damage.clone() }),
            other => other.map(drop),
        }
    }

    /// Appends a snapshot and deletes what is before it. Done by itself when the changes outgrow the last one.
    ///
    /// # Errors
    /// [`OffsetStoreError`]. The store goes on with what it had.
    pub fn snapshot(&self) -> Result<(), OffsetStoreError> {
        let _one_at_a_time = self.snapshotting.lock();
        self.replace_prefix()
    }

    fn new(source: Source, changes_bytes_min: u64) -> Self {
        let (state, (awaited, snapshotting)) = (RwLock::new(Replay::new()), Default::default());
        Self { source, state, awaited, snapshotting, changes_bytes_min }
    }

    fn replay(store: &Store, changes_bytes_min: u64, malformed: Malformed) -> Result<Self, OffsetStoreError> {
        let partition = store.internal_partition(OFFSETS_TOPIC)?;
        // A recovery may have found what is not durable yet.
        partition.flush()?;
        let opened = Self::new(Source::Writer(Box::new(partition)), changes_bytes_min);
        opened.state.write().malformed = malformed;
        let partition = opened.writer()?;
        read_on(&mut opened.state.write(), partition.view(), || partition.durable_end_offset())?;
        Ok(opened)
    }

    fn writer(&self) -> Result<&Partition, OffsetStoreError> {
        match &self.source {
            Source::Writer(partition) => Ok(partition),
            Source::Reader(..) => Err(OffsetStoreError::ReadOnly),
        }
    }

    /// Reads from the notes, all that is durable among them.
    fn read<T>(&self, read: impl FnOnce(&Notes) -> T) -> Result<T, OffsetStoreError> {
        if let Source::Writer(partition) = &self.source {
            let state = self.state.read();
            // Behind the lock: what has been read is not above it, unless it was cut off.
            let end = partition.durable_end_offset();
            if state.next == end.get() {
                return Ok(read(&state.notes));
            }
            drop(state);
            return Ok(read(&self.catch_up(partition)?.notes));
        }
        Ok(read(&self.state.read().notes))
    }

    /// Applies what the log says up to its durable end, whoever appended it.
    fn catch_up(&self, partition: &Partition) -> Result<RwLockWriteGuard<'_, Replay>, OffsetStoreError> {
        let mut state = self.state.write();
        let outcomes = read_on(&mut state, partition.view(), || partition.durable_end_offset())?;
        let mut awaited = self.awaited.lock();
        for (offset, outcome) in outcomes {
            awaited.entry(offset).and_modify(|waiting| *waiting = Some(outcome));
        }
        if state.damage.is_empty() {
            drop(awaited)
        } else {
            return Err(OffsetStoreError::Damaged { damage: state.damage.clone() });
        }
        Ok(state)
    }

    /// Makes a change durable, and then known; returns how many positions, rows or checkpoints it was about.
    fn change(&self, change: Change) -> Result<usize, OffsetStoreError> {
        let partition = self.writer()?;
        let reach = self.read(|notes| notes.check(&change).map(|()| (!notes.is_idle(&change)).then(|| notes.reach(&change))))??;
        let Some(reach) = reach else { return Ok(0) };
        let entry = Entry::Change(change);
        let mut batch = RecordBatch::new();
        batch.push(&Record::new(&value_of(&entry)?))?;
        let pending = {
            // Held until it is noted that this is waited for: it cannot be read before it is durable, which is later.
            let mut awaited = self.awaited.lock();
            let pending = partition.append_deferred(&batch)?;
            awaited.insert(pending.base_offset().get(), None);
            pending
        };
        let base_offset = pending.base_offset();
        let waited = pending.wait();
        let (outcome, wants_snapshot) = self.outcome_of(partition, base_offset);
        waited.map_err(|source| AppendError::NotDurable { base_offset, source })?;
        let outcome = outcome?;
        if wants_snapshot {
            self.snapshot_if_grown();
        }
        // Another thread may have taken one of the offsets for another row meanwhile.
        if let (None | Some(0), Entry::Change(change)) = (outcome, &entry) {
            self.read(|notes| notes.check(change))??;
        }
        // Another may have deleted it behind a snapshot before this could read it: then it was about what it was about before.
        Ok(outcome.unwrap_or(reach))
    }

    /// What came of the change at an offset, if it is known to be durable, and whether it is time for a snapshot.
    fn outcome_of(&self, partition: &Partition, offset: Offset) -> (Result<Option<usize>, OffsetStoreError>, bool) {
        let caught_up = self.catch_up(partition).map(|state| state.changes_bytes > self.limit(&state));
        let outcome = self.awaited.lock().remove(&offset.get()).flatten();
        match caught_up {
            Ok(wants_snapshot) => (Ok(outcome), wants_snapshot),
            Err(error) => (Err(error), false),
        }
    }

    /// Bytes of changes that are not too many.
    fn limit(&self, state: &Replay) -> u64 {
        state.snapshot_bytes.max(self.changes_bytes_min)
    }
}

by_notes!(LogOffsetStore);

/// The value of an entry's record. What cannot be read back would take everything else with it, and is not appended.
fn value_of(entry: &Entry) -> Result<Vec<u8>, OffsetStoreError> {
    let value = entry.encode();
    match Entry::decode(&value) {
        Ok(read) if read == *entry => Ok(value),
        Err(EntryError::Malformed(what)) => Err(OffsetStoreError::Malformed { place: NOT_APPENDED.to_owned(), what }),
        _ => Err(OffsetStoreError::Malformed { place: NOT_APPENDED.to_owned(), what: "it does not read as what it is" }),
    }
}

/// Reads on to `end`; from the start, if what was to be read next is deleted behind a newer snapshot, or was cut off. Returns what each record was
/// about that was read, with its offset.
fn read_on(state: &mut Replay, view: &PartitionView, end: impl Fn() -> Offset) -> Result<Vec<(u64, usize)>, OffsetStoreError> {
    let to = end();
    let mut outcome = if to.get() < state.next { from_start(state, view, &end) } else { state.read(view, to) };
    for _ in 0..ATTEMPTS {
        match outcome {
            Err(OffsetStoreError::Read(error)) if is_gone(&error) => {}
            other => return other,
        }
        outcome = from_start(state, view, &end);
    }
    outcome
}

fn from_start(state: &mut Replay, view: &PartitionView, end: impl Fn() -> Offset) -> Result<Vec<(u64, usize)>, OffsetStoreError> {
    let (replay, outcomes) = Replay::of(view, end, state.malformed)?;
    *state = replay;
    Ok(outcomes)
}

fn is_gone(error: &ReadError) -> bool {
    matches!(error, ReadError::OffsetOutOfRange { .. } | ReadError::Truncated { .. })
}

const CHANGES_BYTES_MIN: u64 = 1 << 20;
const ATTEMPTS: usize = 10;
const NOT_APPENDED: &str = "a change, which was not appended";

#[cfg(test)]
mod tests;
