//! The read side of a partition, the same for the process that writes it and for one that only looks. Changes not one byte.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidelog_format::{Offset, TimestampNs};

use crate::config::{ReadIsolation, codec_name};
use crate::error::{DamagedRange, ReadError, SyncError};
use crate::io::Storage;
use crate::log::backward::{BackwardBatches, BackwardReader};
use crate::log::deep::FileNote;
use crate::log::follow::Follower;
use crate::log::log::Log;
use crate::log::lookup::{find, find_even};
use crate::log::plan::Finding;
use crate::log::reader::{Reader, find_time, locate};
use crate::log::stored::StoredRecord;
use crate::log::view::{LiveSegment, LogView, Marks, SegmentList};

/// A partition, to be read. Cheap to clone; clones share what they know.
///
/// From [`Partition::view`](crate::Partition::view) it is always up to date; from a read-only open it shows the moment of the open, or of
/// the last [`refresh`](Self::refresh) or [`Reader::wait`].
#[derive(Debug, Clone)]
pub struct PartitionView {
    shared: Arc<Shared>,
    isolation: ReadIsolation,
}

#[derive(Debug)]
struct Shared {
    topic: String,
    partition: u32,
    view: Arc<LogView>,
    feed: Feed,
}

/// Who keeps the view up to date.
#[derive(Debug)]
enum Feed {
    Writer(Arc<Log>),
    Follower(Box<Follower>),
}

/// Where to begin reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The first readable record.
    Earliest,
    /// Behind the last visible record: only what comes from now on.
    Latest,
    /// An offset, which must be in range.
    Offset(Offset),
    /// So many offsets before the end, or the first readable record.
    Last(u64),
    /// The first record, in offset order, with at least this time; the end if there is none.
    Time(TimestampNs),
}

/// A partition in numbers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PartitionInfo {
    /// The topic, `namespace/name`, without the namespace if it is the default one.
    pub topic: String,
    /// Number in the topic.
    pub partition: u32,
    /// Identity, in hexadecimal.
    pub uuid: String,
    /// First readable offset.
    pub log_start_offset: u64,
    /// First offset that committed readers may not see.
    pub high_water_mark: u64,
    /// First offset not known durable.
    pub durable_end_offset: u64,
    /// Next offset to be assigned.
    pub log_end_offset: u64,
    /// Segment files.
    pub segments: usize,
    /// Bytes of log in them.
    pub bytes: u64,
    /// Time of the first readable record.
    pub first_ts_ns: Option<i64>,
    /// Time of the last record.
    pub last_ts_ns: Option<i64>,
    /// Codec of the newest batch. Each batch has its own: those before it may have been written with other settings.
    pub compression: &'static str,
    /// What is known to be damaged.
    pub damage: Vec<DamagedRange>,
    /// Segment files that the [scrub](crate::StoreOptions::scrub) could not read in its last round, and why; whoever reads there gets the error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<FileNote>,
}

impl PartitionView {
    pub(crate) fn of_writer(topic: String, partition: u32, log: Arc<Log>) -> Self {
        let view = log.view.clone();
        Self { shared: Arc::new(Shared { topic, partition, view, feed: Feed::Writer(log) }), isolation: ReadIsolation::default() }
    }

    pub(crate) fn of_follower(topic: String, partition: u32, view: Arc<LogView>, follower: Follower) -> Self {
        Self { shared: Arc::new(Shared { topic, partition, view, feed: Feed::Follower(Box::new(follower)) }), isolation: ReadIsolation::default() }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.shared.topic
    }

    /// The number in the topic.
    pub fn index(&self) -> u32 {
        self.shared.partition
    }

    /// The partition's identity.
    pub fn uuid(&self) -> [u8; 16] {
        self.shared.view.uuid
    }

    /// The directory of its files.
    pub fn dir(&self) -> &Path {
        &self.shared.view.dir
    }

    /// The same partition, seen by readers with this isolation.
    pub fn with_isolation(&self, isolation: ReadIsolation) -> Self {
        Self { shared: self.shared.clone(), isolation }
    }

    /// First readable offset.
    pub fn log_start_offset(&self) -> Offset {
        Offset::new(self.shared.view.log_start())
    }

    /// First offset that committed readers may not see.
    pub fn high_water_mark(&self) -> Offset {
        Offset::new(self.shared.view.high_water_mark())
    }

    /// First offset not known durable.
    pub fn durable_end_offset(&self) -> Offset {
        Offset::new(self.shared.view.durable_end())
    }

    /// Next offset to be assigned.
    pub fn log_end_offset(&self) -> Offset {
        Offset::new(self.shared.view.written_end())
    }

    /// First offset that this view's readers may not see: the high water mark, or the log end with [`ReadIsolation::Written`].
    #[inline]
    pub fn end_offset(&self) -> Offset {
        Offset::new(self.shared.view.end(self.isolation))
    }

    /// One record.
    ///
    /// # Errors
    /// [`ReadError::OffsetOutOfRange`] if it is not there, also where compaction removed it; [`ReadError::Corrupt`] if it is damaged.
    pub fn get(&self, offset: impl Into<Offset>) -> Result<StoredRecord, ReadError> {
        let offset = offset.into();
        self.check(offset, false)?;
        // Known damage may verify by itself: the reader tells it apart.
        if !self.shared.view.is_damaged()
            && let Some(record) = find_even(&self.shared.view, offset.get())
        {
            return Ok(record);
        }
        self.get_by_index(offset)
    }

    #[inline(never)]
    fn get_by_index(&self, offset: Offset) -> Result<StoredRecord, ReadError> {
        if self.damage_at(offset.get()).is_none()
            && let Some(record) = find(&self.shared.view, offset.get())
        {
            return Ok(record);
        }
        let mut reader = Reader::new(self.clone(), offset.get());
        match reader.next() {
            Some(Ok(record)) if record.offset() == offset => Ok(record),
            Some(Err(error)) => Err(error),
            _ => Err(self.out_of_range(offset)),
        }
    }

    /// Reads from an offset on. The end itself is in range: reading from there waits for the next record.
    ///
    /// # Errors
    /// [`ReadError::OffsetOutOfRange`].
    pub fn read_from(&self, offset: impl Into<Offset>) -> Result<Reader, ReadError> {
        let offset = offset.into();
        self.check(offset, true)?;
        Ok(Reader::new(self.clone(), offset.get()))
    }

    /// Reads from a place on.
    ///
    /// # Errors
    /// [`ReadError::OffsetOutOfRange`], [`ReadError::Io`].
    pub fn read(&self, start: Start) -> Result<Reader, ReadError> {
        let (cuts, log_start, end) = self.ends_now();
        let from = match start {
            Start::Earliest => log_start,
            Start::Latest => end,
            Start::Offset(offset) => return self.read_from(offset),
            Start::Last(count) => Offset::new(end.get().saturating_sub(count)).max(log_start),
            Start::Time(timestamp) => self.offset_for_time(timestamp)?.unwrap_or(end),
        };
        let mut reader = Reader::new(self.clone(), from.get());
        reader.go_on_at(from.get(), cuts);
        Ok(reader)
    }

    /// Where the log begins and ends, and how often it was cut before: a later cut is one that a reader from there is to be told of.
    fn ends_now(&self) -> (u64, Offset, Offset) {
        loop {
            let cuts = self.cuts();
            let (log_start, end) = (self.log_start_offset(), self.end_offset());
            // A log that was cut, and has grown again, meanwhile ends where no cut took anything away.
            if cuts == self.cuts() {
                return (cuts, log_start, end);
            }
        }
    }

    /// Reads backwards: the record before `end`, the one before that, and so on.
    ///
    /// # Errors
    /// [`ReadError::OffsetOutOfRange`].
    pub fn read_backwards(&self, end: impl Into<Offset>) -> Result<BackwardReader, ReadError> {
        let end = end.into();
        self.check(end, true)?;
        Ok(BackwardReader::new(self.clone(), end.get()))
    }

    /// Reads whole batches backwards, from the one that holds the offset before `end`.
    ///
    /// # Errors
    /// [`ReadError::OffsetOutOfRange`].
    pub fn batches_backwards(&self, end: impl Into<Offset>) -> Result<BackwardBatches, ReadError> {
        let end = end.into();
        self.check(end, true)?;
        Ok(BackwardBatches::new(self.clone(), end.get()))
    }

    /// The first offset whose record has at least this time; exact, whatever order the times are in.
    ///
    /// Damaged records count as absent. Those of a batch that is late enough and that this build cannot read do not: where they stand, reading
    /// tells of them.
    ///
    /// # Errors
    /// [`ReadError::Io`].
    pub fn offset_for_time(&self, timestamp: TimestampNs) -> Result<Option<Offset>, ReadError> {
        self.look_again(|| find_time(self, timestamp, self.log_start_offset().get(), self.end_offset().get()))
    }

    /// What is known to be damaged: found by recovery, or by a read since.
    pub fn damage(&self) -> Vec<DamagedRange> {
        self.shared.view.damage()
    }

    /// What opening found: for a writer what recovery found and did, for a reader what recovery would find.
    pub fn findings(&self) -> Vec<Finding> {
        self.shared.view.findings()
    }

    /// The partition in numbers.
    ///
    /// # Errors
    /// [`ReadError`] if its first or last record cannot be read for another reason than damage.
    pub fn info(&self) -> Result<PartitionInfo, ReadError> {
        let list = self.list();
        let all = self.with_isolation(ReadIsolation::Written);
        let first = readable(all.read(Start::Earliest)?.find(|record| !is_damage(record)))?;
        let last = readable(all.read_backwards(all.end_offset())?.find(|record| !is_damage(record)))?;
        let newest = all.batches_backwards(all.end_offset())?.find_map(Result::ok);
        Ok(PartitionInfo {
            topic: self.topic().to_owned(),
            partition: self.index(),
            uuid: self.uuid().iter().map(|byte| format!("{byte:02x}")).collect(),
            log_start_offset: self.log_start_offset().get(),
            high_water_mark: self.high_water_mark().get(),
            durable_end_offset: self.durable_end_offset().get(),
            log_end_offset: self.log_end_offset().get(),
            segments: list.entries.len(),
            bytes: list.entries.iter().map(|entry| u64::from(entry.segment.published().end)).sum(),
            first_ts_ns: first.map(|record| record.timestamp().get()),
            last_ts_ns: last.map(|record| record.timestamp().get()),
            compression: codec_name(newest.map_or_else(Default::default, |batch| batch.codec())),
            damage: self.damage(),
            unreadable: self.shared.view.unreadable().into_iter().map(|(id, detail)| FileNote { file: id.log_name(), detail }).collect(),
        })
    }

    /// Brings a read-only view up to date; a writer's own view always is.
    ///
    /// # Errors
    /// [`ReadError::Busy`], [`ReadError::Open`].
    pub fn refresh(&self) -> Result<(), ReadError> {
        match &self.shared.feed {
            Feed::Writer(_) => Ok(()),
            Feed::Follower(follower) => follower.refresh(&self.shared.view).map_err(ReadError::from),
        }
    }

    /// Waits until there is something for a reader at `position` that has followed the first `cuts` cuts, or until it is `disturbed`, of which
    /// [`wake_waiting`](Self::wake_waiting) tells; whether there is.
    pub(crate) fn wait_for(&self, position: u64, cuts: u64, limit: Duration, disturbed: impl Fn() -> bool) -> Result<bool, ReadError> {
        let is_there = || self.end_offset().get() > position || self.truncated_since(cuts).is_some_and(|at| at < position) || disturbed();
        if !is_there() {
            match &self.shared.feed {
                Feed::Writer(log) => log.wait_for(is_there, self.isolation, limit),
                Feed::Follower(follower) => follower.wait(&self.shared.view, limit, is_there).map_err(ReadError::from)?,
            }
        }
        Ok(is_there())
    }

    /// Has everybody who waits look again; who waits for a writer in another process does by itself, within 100 ms.
    pub(crate) fn wake_waiting(&self) {
        self.shared.view.wake_everybody();
    }

    /// Whether nothing will ever be there that is not there now: the writer is in this process, and has closed the log or failed.
    pub(crate) fn has_ended(&self) -> bool {
        match &self.shared.feed {
            Feed::Writer(log) => log.has_ended(self.isolation),
            Feed::Follower(_) => false,
        }
    }

    /// Makes what is below `offset`, and was assigned, durable, if the writer is in this process.
    pub(crate) fn make_durable(&self, offset: Offset) -> Result<(), SyncError> {
        match &self.shared.feed {
            Feed::Writer(log) => log.wait_durable(offset.get()),
            Feed::Follower(_) => Ok(()),
        }
    }

    /// Whether an error may be due to a writer that changed the log meanwhile; then this view has been brought up to date.
    pub(crate) fn changed_under(&self, error: &ReadError) -> Result<bool, ReadError> {
        match (&self.shared.feed, error) {
            (Feed::Writer(_), ReadError::Io(io)) => Ok(io.kind() == std::io::ErrorKind::NotFound),
            (Feed::Writer(_), _) => Ok(false),
            (Feed::Follower(follower), _) => follower.refresh_if_changed(&self.shared.view, error).map_err(ReadError::from),
        }
    }

    /// The log, if its writer is in this process.
    pub(crate) fn writer(&self) -> Option<(&Arc<Log>, ReadIsolation)> {
        match &self.shared.feed {
            Feed::Writer(log) => Some((log, self.isolation)),
            Feed::Follower(_) => None,
        }
    }

    /// Which records its readers may see.
    pub(crate) fn isolation(&self) -> ReadIsolation {
        self.isolation
    }

    /// The marks and the high water mark, in order: see [`LogView::marks_now`].
    pub(crate) fn marks_now(&self) -> (Marks, u64) {
        self.shared.view.marks_now()
    }

    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.shared.view.storage
    }

    /// Whether a writer may change the files at any moment.
    pub(crate) fn has_writer(&self) -> bool {
        match &self.shared.feed {
            Feed::Writer(_) => true,
            Feed::Follower(follower) => follower.has_writer(),
        }
    }

    /// Whether it has no files, because nothing was ever appended to it.
    pub(crate) fn is_unmade(&self) -> bool {
        matches!(&self.shared.feed, Feed::Follower(follower) if follower.is_unmade())
    }

    pub(crate) fn list(&self) -> Arc<SegmentList> {
        self.shared.view.list()
    }

    /// The segment that answers for `offset`.
    pub(crate) fn entry_of(&self, offset: u64) -> Option<LiveSegment> {
        self.shared.view.entry_of(offset)
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.shared.view.cuts()
    }

    /// See [`LogView::is_as_of`].
    #[inline]
    pub(crate) fn is_as_of(&self, cuts: u64) -> bool {
        self.shared.view.is_as_of(cuts)
    }

    /// Whether a record at `offset` may be read, and nothing is known to be wrong with it.
    #[inline]
    pub(crate) fn shows(&self, offset: u64) -> bool {
        let view = &self.shared.view;
        (view.log_start()..view.end(self.isolation)).contains(&offset) && !view.is_deleted() && view.damage_at(offset).is_none()
    }

    pub(crate) fn truncated_since(&self, cuts: u64) -> Option<u64> {
        self.shared.view.truncated_since(cuts)
    }

    pub(crate) fn note_damage(&self, from: Offset, to: Offset, reason: &str) {
        self.shared.view.note_damage(from, to, reason);
    }

    /// Where records from `from` up to `to` are known to be, without a look at them; `from` if that is not known.
    pub(crate) fn dense_up_to(&self, from: u64, to: u64) -> u64 {
        if self.shared.view.is_damaged() { from } else { self.shared.view.dense_up_to(from, to) }
    }

    #[inline]
    pub(crate) fn damage_at(&self, offset: u64) -> Option<DamagedRange> {
        self.shared.view.damage_at(offset)
    }

    pub(crate) fn reason_for(&self, from: u64) -> String {
        self.shared.view.reason_for(from)
    }

    /// Does something that looks at the segments; again, if one went away meanwhile.
    fn look_again<T>(&self, look: impl Fn() -> Result<T, ReadError>) -> Result<T, ReadError> {
        for _ in 0..ATTEMPTS {
            match look() {
                Err(ReadError::OffsetOutOfRange { .. } | ReadError::Truncated { .. }) => {}
                Err(error) if self.changed_under(&error)? => {}
                other => return other,
            }
        }
        look()
    }

    /// Nobody is shown what is left of a topic that was deleted.
    #[inline]
    pub(crate) fn check_there(&self) -> Result<(), ReadError> {
        if self.shared.view.is_deleted() { Err(ReadError::TopicDeleted { path: self.dir().to_owned() }) } else { Ok(()) }
    }

    fn check(&self, offset: Offset, end_too: bool) -> Result<(), ReadError> {
        self.check_there()?;
        let (earliest, latest) = (self.log_start_offset(), self.end_offset());
        if offset < earliest || offset > latest || (offset == latest && !end_too) { Err(self.out_of_range(offset)) } else { Ok(()) }
    }

    fn out_of_range(&self, requested: Offset) -> ReadError {
        ReadError::OffsetOutOfRange { requested, earliest: self.log_start_offset(), latest: self.end_offset() }
    }

    /// Where a record stands, for tools: segment file and position.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn locate(&self, offset: impl Into<Offset>) -> Result<(std::path::PathBuf, tidelog_format::Position), ReadError> {
        let offset = offset.into();
        let cursor = self.look_again(|| {
            self.check(offset, false)?;
            locate(self, offset.get(), self.end_offset().get())
        })?;
        Ok((cursor.segment().path(), tidelog_format::Position::new(cursor.position)))
    }
}

fn is_damage(record: &Result<StoredRecord, ReadError>) -> bool {
    record.as_ref().is_err_and(ReadError::is_damage)
}

fn readable(record: Option<Result<StoredRecord, ReadError>>) -> Result<Option<StoredRecord>, ReadError> {
    record.transpose()
}

const ATTEMPTS: u32 = 10;
