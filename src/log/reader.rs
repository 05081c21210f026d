//! Reads one partition forward, batch by batch, over segments and past damage. Changes nothing.

use std::time::Duration;

use tidelog_format::{DecodeError, Offset, RecordSpan, TimestampNs};

use crate::error::ReadError;
use crate::log::cursor::{Cursor, Step};
use crate::log::partition_view::PartitionView;
use crate::log::segment::Owner;
use crate::log::stored::{RecordRef, SingleAt, StoredBatch, StoredRecord};

/// Records of one partition in offset order.
///
/// Ends with `None` at the visible end, and may be asked again once there is more: see [`wait`](Self::wait). A damaged range is one
/// [`ReadError::Corrupt`]; then reading goes on behind it. After any other error it has ended.
#[derive(Debug, Clone)]
pub struct Reader {
    view: PartitionView,
    next: u64,
    cursor: Option<Cursor>,
    /// Cuts that the cursor knows of.
    cuts: u64,
    /// Cuts that what was read so far has been held against.
    followed: u64,
    /// Read into its place: a batch is large, and dear to move.
    batch: Option<StoredBatch>,
    /// The next record in it: where it is, and which.
    record: (u32, u32),
    failed: bool,
}

/// What becomes of a record that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    /// It is handed out.
    Take,
    /// It is read past.
    Pass,
    /// It is left for the next look.
    Stop,
}

/// Where a record was found.
#[derive(Debug)]
enum Found {
    /// In the cursor's chunk, alone in its frame.
    Alone(SingleAt),
    /// In the batch that is being read.
    InBatch { at: u32, span: RecordSpan, number: u32 },
}

impl Reader {
    pub(crate) fn new(view: PartitionView, next: u64) -> Self {
        Self { followed: view.cuts(), view, next, cursor: None, cuts: 0, batch: None, record: (0, 0), failed: false }
    }

    /// The offset to be read next.
    pub fn offset(&self) -> Offset {
        Offset::new(self.next)
    }

    /// Whether all before [`offset`](Self::offset) is what it was when this reader began there, or was told of a cut: for who holds on to an end of
    /// the log while others read up to it.
    ///
    /// In the writer's process a cut is known once it is made. A read-only view learns of it when it is brought up to date: by
    /// [`refresh`](PartitionView::refresh), by [`wait`](Self::wait), or by a read that fails on what the writer changed.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] if some of it was cut off since.
    #[inline]
    pub fn check_uncut(&self) -> Result<(), ReadError> {
        if self.view.cuts() == self.followed { Ok(()) } else { self.clone().follow(self.view.cuts()) }
    }

    /// Cuts that what was read so far has been held against.
    pub(crate) fn followed(&self) -> u64 {
        self.followed
    }

    /// Whether an error ended it for good.
    #[cfg(feature = "tokio")]
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// The partition being read.
    pub fn view(&self) -> &PartitionView {
        &self.view
    }

    /// The next batch that holds offsets at or above [`offset`](Self::offset): whole, so its first records may lie below it.
    /// The fastest way to read what was appended in batches: [`StoredBatch::records`] borrows. For single records it is [`next_ref`](Self::next_ref).
    pub fn next_batch(&mut self) -> Option<Result<StoredBatch, ReadError>> {
        match self.move_to_data() {
            Ok(()) => self.batch.take().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }

    /// As [`next_batch`](Self::next_batch), of control batches too.
    pub(crate) fn next_of_any_kind(&mut self) -> Option<Result<StoredBatch, ReadError>> {
        match self.move_on() {
            Ok(()) => self.batch.take().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }

    /// Reads the next batch that holds data into its place; none there is the end.
    fn move_to_data(&mut self) -> Result<(), ReadError> {
        loop {
            self.move_on()?;
            if self.batch.as_ref().is_none_or(StoredBatch::is_data) {
                return Ok(());
            }
        }
    }

    /// Reads the next batch into its place; none there is the end.
    fn move_on(&mut self) -> Result<(), ReadError> {
        self.batch = None;
        if self.failed {
            return Ok(());
        }
        let outcome = self.advance();
        if let Err(error) = &outcome {
            self.batch = None;
            self.failed = !error.is_damage();
        }
        outcome
    }

    fn advance(&mut self) -> Result<(), ReadError> {
        let mut attempts = 0;
        loop {
            self.view.check_there()?;
            let cuts = self.view.cuts();
            self.follow(cuts)?;
            let end = self.view.end_offset().get();
            let log_start = self.view.log_start_offset().get();
            // Behind the end there is nothing to wait for: a suffix was cut off.
            if self.next < log_start || self.next > end {
                return Err(self.out_of_range());
            }
            if self.next == end {
                return Ok(());
            }
            let next = self.next;
            match self.step(end) {
                // Cut, and given out anew, since this reader looked: who reads on is told first.
                Ok(()) if !self.view.is_as_of(cuts) => {
                    (self.batch, self.cursor) = (None, None);
                    std::thread::yield_now();
                }
                Ok(()) => {
                    if let Some(batch) = &self.batch {
                        self.next = batch.next_offset().get();
                        return Ok(());
                    }
                }
                // The writer may have dropped the file, or cut the log, since this reader looked: then look again.
                Err(error) => {
                    self.cursor = None;
                    attempts += 1;
                    let changed = self.view.changed_under(&error)? || self.view.cuts() != cuts;
                    if attempts > ATTEMPTS || !changed {
                        return Err(self.settle(error));
                    }
                    self.next = next;
                }
            }
        }
    }

    /// Passes by up to `count` records that are known to be there without a look at them, if nothing was read yet: how many.
    pub(crate) fn pass_dense(&mut self, count: u64) -> Result<u64, ReadError> {
        self.view.check_there()?;
        let cuts = self.view.cuts();
        self.follow(cuts)?;
        let end = self.view.end_offset().get();
        if self.next < self.view.log_start_offset().get() || self.next > end {
            return Err(self.out_of_range());
        }
        let to = self.view.dense_up_to(self.next, self.next.saturating_add(count).min(end));
        // Else it is read.
        let passed = if self.view.is_as_of(cuts) { to - self.next } else { 0 };
        self.next += passed;
        Ok(passed)
    }

    /// What was cut off must not have been read: what comes behind it belongs to other records.
    fn follow(&mut self, cuts: u64) -> Result<(), ReadError> {
        if cuts == self.followed {
            return Ok(());
        }
        match self.view.truncated_since(self.followed) {
            Some(at) if at < self.next => Err(ReadError::Truncated { at: Offset::new(at), next: Offset::new(self.next) }),
            _ => {
                self.followed = cuts;
                Ok(())
            }
        }
    }

    /// A range that is damaged is passed by.
    fn settle(&mut self, error: ReadError) -> ReadError {
        if self.next < self.view.log_start_offset().get() {
            return self.out_of_range();
        }
        if let ReadError::Corrupt { from, to, reason, .. } = &error {
            self.view.note_damage(*from, *to, reason);
            self.next = to.get();
        }
        error
    }

    fn out_of_range(&self) -> ReadError {
        ReadError::OffsetOutOfRange { requested: Offset::new(self.next), earliest: self.view.log_start_offset(), latest: self.view.end_offset() }
    }

    /// One batch, or none if the cursor had to move to another segment first.
    fn step(&mut self, end: u64) -> Result<(), ReadError> {
        let next = self.next;
        if let Some(known) = self.view.damage_at(next) {
            self.cursor = None;
            let to = Offset::new(known.to.min(end));
            return Err(ReadError::Corrupt { from: Offset::new(next), to, reason: known.reason, path: self.view.dir().to_owned() });
        }
        let cursor = match &mut self.cursor {
            Some(cursor) if next < cursor.entry.to && self.cuts == self.view.cuts() => cursor,
            other => {
                self.cuts = self.view.cuts();
                other.insert(locate(&self.view, next, end)?)
            }
        };
        match cursor.step(next, &mut self.batch)? {
            Step::Batch => Ok(()),
            Step::Codec { to, codec } => {
                self.next = to;
                Err(ReadError::CodecNotBuilt { from: Offset::new(next), to: Offset::new(to), codec })
            }
            Step::End => {
                // The segment was left behind: the list has a newer one for this offset, or none, and then a gap.
                let (claimed, id, path) = (cursor.claimed_end(next), cursor.segment().id, cursor.segment().path());
                self.cursor = None;
                match self.view.entry_of(next) {
                    Some(entry) if entry.segment.next_offset() > next => match claimed.filter(|_| entry.segment.id == id) {
                        Some(claimed) => {
                            let reason = format!("the frames of the segment end before offset {next}");
                            Err(ReadError::Corrupt { from: Offset::new(next), to: Offset::new(claimed.min(entry.to).min(end)), reason, path })
                        }
                        None => Ok(()),
                    },
                    _ => Err(gap(&self.view, next, end)),
                }
            }
            Step::Bad(reason) => {
                let below = cursor.entry.to.min(cursor.segment().next_offset()).min(end);
                let path = cursor.segment().path();
                let to = cursor.skip_damage(next, below)?.unwrap_or(below);
                // What was in the way takes no offset that is still to be read: the right frame stands behind it, or in another segment.
                if to <= next {
                    if below <= next {
                        self.cursor = None;
                    }
                    return Ok(());
                }
                Err(ReadError::Corrupt { from: Offset::new(next), to: Offset::new(to), reason, path })
            }
        }
    }

    /// Waits until there is something to read, or an error, at most for `limit`; whether there is. No polling in the writer's process; from another
    /// one, the writer's sync rounds wake it, and it looks every 100 ms at the latest.
    ///
    /// # Errors
    /// [`ReadError`] if a read-only view cannot be brought up to date.
    pub fn wait(&mut self, limit: Duration) -> Result<bool, ReadError> {
        self.view.wait_for(self.next, self.followed, limit, || false)
    }

    /// Goes on at another offset.
    pub fn seek(&mut self, offset: impl Into<Offset>) {
        let cuts = self.view.cuts();
        self.go_on_at(offset.into().get(), cuts);
    }

    /// Goes on at an offset that was chosen when there were `followed` cuts: one since then may have taken it away.
    pub(crate) fn go_on_at(&mut self, next: u64, followed: u64) {
        (self.next, self.cursor, self.batch, self.failed) = (next, None, None, false);
        self.followed = followed;
    }

    /// The next record that `choose` takes, behind those that it passes by. `None` at the visible end, and at a record at which it stops.
    pub(crate) fn pick(&mut self, mut choose: impl FnMut(&RecordRef<'_>) -> Pick) -> Option<Result<StoredRecord, ReadError>> {
        loop {
            let found = match self.find_next()? {
                Ok(found) => found,
                Err(error) => return Some(Err(error)),
            };
            match choose(&self.borrowed(&found)) {
                Pick::Take => return Some(Ok(self.owned(&found))),
                Pick::Pass => {}
                Pick::Stop => {
                    self.put_back(&found);
                    return None;
                }
            }
        }
    }

    /// The next record, as [`next`](Iterator::next) has it, borrowed: nothing is copied, counted or kept alive for it. The fastest way to read
    /// records that were appended one by one.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let partition = tidelog::Store::open(dir.path())?.topic("readings")?.partition(0)?;
    /// # for reading in ["20.5", "20.7"] { partition.append(tidelog::Record::new(reading))?; }
    /// let (mut reader, mut bytes) = (partition.read_from(0)?, 0);
    /// while let Some(record) = reader.next_ref() {
    ///     bytes += record?.value().map_or(0, <[u8]>::len);
    /// }
    /// assert_eq!(bytes, 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As the iterator.
    #[inline]
    pub fn next_ref(&mut self) -> Option<Result<RecordRef<'_>, ReadError>> {
        Some(self.find_next()?.map(|found| self.borrowed(&found)))
    }

    /// Where the next record stands; then it is read.
    #[inline]
    fn find_next(&mut self) -> Option<Result<Found, ReadError>> {
        loop {
            self.forget_cut_batch();
            if let Some(batch) = &self.batch {
                match batch.span_at(self.record.0) {
                    Some(Ok(span)) => {
                        let (offset, (at, number)) = (batch.offset_of(&span), self.record);
                        self.record = (span.end, number + 1);
                        if offset < self.next {
                            continue;
                        }
                        self.next = offset + 1;
                        return Some(Ok(Found::InBatch { at, span, number }));
                    }
                    Some(Err(error)) => {
                        let to = batch.next_offset();
                        return Some(Err(self.pass_broken_batch(&error, to)));
                    }
                    // Offsets at the end of a compacted batch may have no record.
                    None => (self.next, self.batch) = (self.next.max(batch.next_offset().get()), None),
                }
            }
            if let Some(single) = self.single() {
                return Some(Ok(Found::Alone(single)));
            }
            if let Err(error) = self.enter_next_batch()? {
                return Some(Err(error));
            }
        }
    }

    /// The next record, if it is alone in its frame and nothing stands in the way of reading on: all that [`advance`](Self::advance) asks, for
    /// who reads one record a frame.
    #[inline(always)]
    fn single(&mut self) -> Option<SingleAt> {
        let cuts = self.view.cuts();
        if self.failed || cuts != self.cuts || !self.view.shows(self.next) {
            return None;
        }
        let single = self.cursor.as_mut()?.single(self.next)?;
        // As there: cut, and given out anew, since this reader looked.
        if !self.view.is_as_of(cuts) {
            self.cursor = None;
            return None;
        }
        self.next += 1;
        Some(single)
    }

    /// What was just found.
    #[inline]
    fn borrowed(&self, found: &Found) -> RecordRef<'_> {
        match found {
            Found::Alone(single) => RecordRef::of_single(single, self.owner()),
            Found::InBatch { span, number, .. } => self.found_batch().record_ref_of(*span, *number),
        }
    }

    #[inline]
    fn owned(&self, found: &Found) -> StoredRecord {
        match found {
            Found::Alone(single) => StoredRecord::of_single(single, self.owner()),
            Found::InBatch { span, number, .. } => self.found_batch().record(*span, *number),
        }
    }

    /// Leaves what was just found for the next look.
    fn put_back(&mut self, found: &Found) {
        match found {
            Found::Alone(single) => {
                self.next = single.offset.get();
                self.cursor.iter_mut().for_each(|cursor| cursor.position = single.position);
            }
            Found::InBatch { at, span, number } => (self.next, self.record) = (self.found_batch().offset_of(span), (*at, *number)),
        }
    }

    #[inline]
    fn owner(&self) -> &Owner {
        self.cursor.as_ref().and_then(Cursor::owner).expect("it was found there")
    }

    #[inline]
    fn found_batch(&self) -> &StoredBatch {
        self.batch.as_ref().expect("it was found there")
    }

    #[inline]
    fn forget_cut_batch(&mut self) {
        if self.batch.is_some() && self.cuts != self.view.cuts() {
            self.batch = None; // what is left of it may be cut off
        }
    }

    /// A record of the batch is not one: the rest of it is passed by.
    #[cold]
    fn pass_broken_batch(&mut self, error: &DecodeError, to: Offset) -> ReadError {
        let from = Offset::new(self.next);
        self.next = to.get();
        self.batch = None;
        ReadError::Corrupt { from, to, reason: error.to_string(), path: self.view.dir().to_owned() }
    }

    /// Stands before the first record of the next batch of data; `None` at the visible end.
    #[inline]
    fn enter_next_batch(&mut self) -> Option<Result<(), ReadError>> {
        let from = self.next;
        if let Err(error) = self.move_to_data() {
            return Some(Err(error));
        }
        self.next = from.max(self.batch.as_ref()?.base_offset().get());
        self.record = (0, 0);
        Some(Ok(()))
    }
}

impl Iterator for Reader {
    type Item = Result<StoredRecord, ReadError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        Some(self.find_next()?.map(|found| self.owned(&found)))
    }
}

/// The cursor of the frame that holds `offset`.
pub(crate) fn locate(view: &PartitionView, offset: u64, end: u64) -> Result<Cursor, ReadError> {
    match view.entry_of(offset) {
        Some(entry) if offset < entry.segment.next_offset() => Ok(Cursor::seek(entry, offset)?),
        _ => Err(gap(view, offset, end)),
    }
}

/// Offsets that no segment holds.
fn gap(view: &PartitionView, offset: u64, end: u64) -> ReadError {
    let to = view.list().next_from(offset).unwrap_or(end).min(end).max(offset);
    ReadError::Corrupt { from: Offset::new(offset), to: Offset::new(to), reason: view.reason_for(offset), path: view.dir().to_owned() }
}

/// The offset of the first record with a time of at least `timestamp` and an offset of at least `from`, below `end`.
pub(crate) fn find_time(view: &PartitionView, timestamp: TimestampNs, from: u64, end: u64) -> Result<Option<Offset>, ReadError> {
    let list = view.list();
    for entry in list.entries.iter().filter(|entry| entry.to > from && entry.from < end) {
        if entry.segment.sums.get().is_some_and(|sums| sums.max_ts < timestamp) {
            continue;
        }
        let mut cursor = Cursor::seek_time(entry.clone(), timestamp)?;
        if let Some(found) = find_time_in(view, &mut cursor, timestamp, from, end)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn find_time_in(view: &PartitionView, cursor: &mut Cursor, timestamp: TimestampNs, from: u64, end: u64) -> Result<Option<Offset>, ReadError> {
    let below = cursor.entry.to.min(end);
    let Some(start) = cursor.offset_here()? else { return skip_to_reader(view, cursor, timestamp, from, below) };
    let mut reader = Reader::new(view.clone(), start.max(from));
    if start >= from {
        (reader.cursor, reader.cuts) = (Some(cursor.clone()), reader.followed);
    }
    scan_for_time(&mut reader, timestamp, from, below)
}

/// Damage in the way of the seek: reads on from where the index pointed.
fn skip_to_reader(view: &PartitionView, cursor: &Cursor, timestamp: TimestampNs, from: u64, below: u64) -> Result<Option<Offset>, ReadError> {
    let place = cursor.segment().floor_time(timestamp);
    let mut reader = Reader::new(view.clone(), place.offset.max(from).max(cursor.entry.from));
    scan_for_time(&mut reader, timestamp, from, below)
}

fn scan_for_time(reader: &mut Reader, timestamp: TimestampNs, from: u64, below: u64) -> Result<Option<Offset>, ReadError> {
    while reader.next < below {
        match reader.next_batch() {
            None => break,
            Some(Ok(batch)) if batch.max_timestamp() >= timestamp => {
                let found = first_in_time(&batch, timestamp, from);
                if found.is_some_and(|found| found < below) {
                    return Ok(found);
                }
            }
            // It has a record that is late enough, which reading from there tells of.
            Some(Err(ReadError::CodecNotBuilt { from, .. }))
                if locate(&reader.view, from.get(), below)?.max_timestamp_here()?.is_some_and(|max| max >= timestamp) =>
            {
                return Ok(Some(from));
            }
            Some(Ok(_) | Err(ReadError::Corrupt { .. } | ReadError::CodecNotBuilt { .. })) => {}
            Some(Err(error)) => return Err(error),
        }
    }
    Ok(None)
}

/// The first offset from `from` on that is late enough, or whose record is not one: nothing is known of its time, and reading from there tells of it.
fn first_in_time(batch: &StoredBatch, timestamp: TimestampNs, from: u64) -> Option<Offset> {
    let mut next = batch.base_offset();
    for record in batch.records() {
        match record {
            Ok(record) if record.timestamp() >= timestamp && record.offset() >= from => return Some(record.offset()),
            Ok(record) => next = Offset::new(record.offset().get() + 1),
            Err(_) => return Some(next.max(Offset::new(from))),
        }
    }
    None
}

const ATTEMPTS: u32 = 10;
