//! From the records of an offset log to the notes that they lead to: snapshots, changes, and what is missing. Writes nothing.

use tidelog_format::Offset;

use crate::config::ReadIsolation;
use crate::error::{DamagedRange, ReadError};
use crate::log::PartitionView;
use crate::offset::error::OffsetStoreError;
use crate::offset::store::log::encoding::{Entry, EntryError, VERSION};
use crate::offset::store::notes::Notes;

/// What the records so far lead to.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) notes: Notes,
    /// The next offset to be read.
    pub(super) next: u64,
    /// Where the last complete snapshot begins.
    pub(super) snapshot: Option<u64>,
    pub(super) snapshot_bytes: u64,
    /// Bytes of changes since then.
    pub(super) changes_bytes: u64,
    /// What is lost, and no snapshot makes up for.
    pub(super) damage: Vec<DamagedRange>,
    pub(super) malformed: Malformed,
    /// Whether the notes are all of what came before.
    is_whole: bool,
    /// A snapshot that has begun and not ended.
    unfinished: Option<Unfinished>,
}

/// What an entry is taken for that no version writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Malformed {
    /// An error: nothing behind it is read.
    #[default]
    IsRefused,
    /// As good as a damaged one.
    IsLost,
}

#[derive(Debug, Default)]
struct Unfinished {
    begin: u64,
    records: u32,
    bytes: u64,
    notes: Notes,
}

impl Replay {
    /// Nothing yet, of a log that begins at 0.
    pub(super) fn new() -> Self {
        Self { is_whole: true, ..Self::default() }
    }

    /// Starts where the log does; returns what each record was about, too.
    pub(super) fn of(view: &PartitionView, end: impl Fn() -> Offset, malformed: Malformed) -> Result<(Self, Vec<(u64, usize)>), OffsetStoreError> {
        // The start first: a snapshot that it is at was durable before.
        let start = view.log_start_offset().get();
        let end = end();
        let mut replay = Self { next: start, is_whole: start == 0, malformed, ..Self::default() };
        let outcomes = replay.read(view, end)?;
        // The prefix of an offset log is deleted behind a snapshot alone, which then is the first that is read.
        if start > 0 && end.get() >= start && replay.snapshot.is_none() && replay.damage.is_empty() {
            let reason = "deleted, and no snapshot stands in their place".to_owned();
            replay.damage.insert(0, DamagedRange { from: 0, to: start, reason, declared: false });
        }
        Ok((replay, outcomes))
    }

    /// Reads on to `end`; returns what each record was about, with its offset: positions, rows, checkpoints.
    pub(super) fn read(&mut self, view: &PartitionView, end: Offset) -> Result<Vec<(u64, usize)>, OffsetStoreError> {
        let mut outcomes = Vec::new();
        if self.next >= end.get() {
            return Ok(outcomes);
        }
        // Bounded by `end`, which the caller knows to be committed; under a policy that does not sync, readers see more.
        for record in view.with_isolation(ReadIsolation::Written).read_from(self.next)? {
            match record {
                Ok(record) if record.offset() >= end => break,
                Ok(record) => {
                    let offset = record.offset().get();
                    let value = record.value().unwrap_or_default();
                    match self.take(view, offset, value) {
                        Ok(outcome) => outcomes.push((offset, outcome)),
                        Err(OffsetStoreError::Malformed { what, .. }) if self.malformed == Malformed::IsLost => {
                            self.miss(DamagedRange { from: offset, to: offset + 1, reason: what.to_owned(), declared: false });
                        }
                        Err(error) => return Err(error),
                    }
                    self.next = offset + 1;
                }
                Err(ReadError::Corrupt { from, to, reason, .. }) => {
                    self.miss(DamagedRange { from: from.get(), to: to.get(), reason, declared: false });
                    self.next = to.get();
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.next = self.next.max(end.get());
        Ok(outcomes)
    }

    fn take(&mut self, view: &PartitionView, offset: u64, value: &[u8]) -> Result<usize, OffsetStoreError> {
        let place = || format!("{}/{} at offset {offset}", view.topic(), view.index());
        let entry = Entry::decode(value).map_err(|error| match error {
            EntryError::Version(found) => OffsetStoreError::Unsupported { place: place(), found: found.into(), supported: VERSION.into() },
            EntryError::Malformed(what) => OffsetStoreError::Malformed { place: place(), what },
        })?;
        let bytes = value.len() as u64;
        match entry {
            Entry::Begin => self.unfinished = Some(Unfinished { begin: offset, bytes, ..Unfinished::default() }),
            Entry::Snapshot(change) => match &mut self.unfinished {
                Some(unfinished) => {
                    unfinished.notes.apply(&change);
                    unfinished.records += 1;
                    unfinished.bytes += bytes;
                }
                // Its begin is damaged. Where nothing else is known, what is left of it is.
                None if self.snapshot.is_none() && !self.damage.is_empty() => drop(self.notes.apply(&change)),
                None => {}
            },
            Entry::End { begin, records } => {
                if let Some(done) = self.unfinished.take()
                    && (done.begin, done.records) == (begin.get(), records)
                {
                    if self.is_whole && self.damage.is_empty() && self.notes != done.notes {
                        return Err(OffsetStoreError::Malformed {
                            place: place(),
                            what: "a snapshot that is not what the changes before it lead to",
                        });
                    }
                    self.is_whole = true;
                    (self.snapshot, self.snapshot_bytes, self.changes_bytes) = (Some(done.begin), done.bytes + bytes, 0);
                    self.notes = done.notes;
                    self.damage.clear(); // whatever was lost before it
                }
            }
            Entry::Change(change) => {
                // Whoever wrote a snapshot died before its end, or it was not the only one who wrote.
                self.unfinished = None;
                self.changes_bytes += bytes;
                return Ok(self.notes.apply(&change));
            }
        }
        Ok(0)
    }

    fn miss(&mut self, range: DamagedRange) {
        if let Some(unfinished) = self.unfinished.take()
            && self.snapshot.is_none()
            && self.changes_bytes == 0
        {
            self.notes = unfinished.notes; // nothing else is known
        }
        self.damage.push(range);
    }
}
