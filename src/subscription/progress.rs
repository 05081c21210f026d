//! Where a subscription is in its log, and how it gets on: by records, past damage, and over what was cut off or deleted. Waits for nothing.

use tidelog_format::{Offset, TimestampNs};

use crate::error::ReadError;
use crate::log::{PartitionView, Pick, Reader, RecordRef, StoredRecord};
use crate::subscription::error::SubscriptionError;
use crate::subscription::filter::Filter;
use crate::subscription::options::{OnOutOfRange, SubscriptionOptions};
use crate::subscription::page_limits::PageLimits;
use crate::subscription::resolve::{ATTEMPTS, Lost, Target};
use crate::subscription::seek_result::{Reset, SeekOutcome};

/// One subscriber's place.
#[derive(Debug)]
pub(super) struct Progress {
    reader: Reader,
    /// What was handed out, or passed by, ends here. The reader is elsewhere only after an error, or a predicate that panicked.
    position: u64,
    waits_for: Option<TimestampNs>,
    pub(super) counts: Counts,
    pub(super) last_reset: Option<Reset>,
}

/// What a subscription has done so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) delivered: u64,
    pub(super) passed_by: u64,
    pub(super) resets: u64,
}

/// What one call may still look at.
#[derive(Debug)]
pub(super) struct Budget {
    records: u32,
    bytes: u64,
}

/// What a look at the log gave.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Records that were handed out.
    pub(super) count: u32,
    pub(super) at_end: bool,
    pub(super) reset: Option<Reset>,
}

impl Budget {
    pub(super) fn of(limits: &PageLimits) -> Self {
        Self { records: limits.scanned_records, bytes: limits.scanned_bytes }
    }

    /// Takes a record's share; `false` if there is nothing left.
    fn take(&mut self, bytes: u64) -> bool {
        if self.records == 0 || self.bytes == 0 {
            return false;
        }
        self.records -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}

impl Progress {
    pub(super) fn new(view: &PartitionView, target: &Target) -> Self {
        let reader = Reader::new(view.clone(), target.result.offset.get());
        let mut progress = Self { reader, position: 0, waits_for: None, counts: Counts::default(), last_reset: None };
        progress.go_to(target);
        progress
    }

    pub(super) fn go_to(&mut self, target: &Target) {
        self.position = target.result.offset.get();
        self.waits_for = target.waits_for;
        self.reader.go_on_at(self.position, target.cuts);
        if let SeekOutcome::Reset(reset) = target.result.outcome {
            self.note(reset);
        }
    }

    /// The offset to be read next.
    pub(super) fn position(&self) -> Offset {
        Offset::new(self.position)
    }

    /// Cuts that the position has been held against.
    pub(super) fn followed(&self) -> u64 {
        self.reader.followed()
    }

    /// Reads on, and hands out to `taker`: up to `limits`, and for as long as `budget` lasts. Whatever is in the way of the first record is met; what
    /// is in the way of a later one is left for the next look.
    pub(super) fn look(
        &mut self,
        options: &SubscriptionOptions,
        limits: &PageLimits,
        budget: &mut Budget,
        mut taker: impl FnMut(StoredRecord),
    ) -> Result<Look, SubscriptionError> {
        // A predicate that panicked took along what was read for it, and of a batch that is read already the first records may be deleted.
        if self.reader.offset() != self.position || self.position() < self.reader.view().log_start_offset() {
            self.go_on_at(self.position);
        }
        let mut look = Look::default();
        let mut scan = Scan { filter: options.filter.as_ref(), budget, room: limits.bytes, waits_for: self.waits_for, passed_by: 0 };
        let mut attempts = 0;
        while look.count < limits.records {
            match scan.next(&mut self.reader, look.count == 0) {
                Next::Record(record) => {
                    taker(record);
                    look.count += 1;
                }
                Next::Enough => break,
                Next::End => match self.is_at_end() {
                    Ok(false) => {}
                    Ok(true) => {
                        look.at_end = true;
                        break;
                    }
                    Err(_) if look.count > 0 => break,
                    Err(error) => {
                        self.keep(&mut scan, &look);
                        return Err(error.into());
                    }
                },
                Next::Error(error) if look.count > 0 => {
                    let before = damage_start(&error).unwrap_or(self.reader.offset());
                    self.go_on_at(before.get());
                    break;
                }
                Next::Error(error) => {
                    attempts += 1;
                    self.keep(&mut scan, &look);
                    let reset = self.meet(error, options.on_out_of_range, attempts)?;
                    look.reset = Some(Reset { from: look.reset.map_or(reset.from, |first| first.from), ..reset });
                }
            }
        }
        self.keep(&mut scan, &look);
        Ok(look)
    }

    /// Whether the reader, which found nothing more, is at the end of a view that is up to date.
    fn is_at_end(&self) -> Result<bool, ReadError> {
        let view = self.reader.view();
        view.refresh()?;
        Ok(view.end_offset() == self.reader.offset() && view.cuts() == self.reader.followed())
    }

    /// What was read so far is done with.
    fn keep(&mut self, scan: &mut Scan<'_>, look: &Look) {
        self.position = self.reader.offset().get();
        self.waits_for = scan.waits_for;
        self.counts.delivered += u64::from(look.count);
        self.counts.passed_by += std::mem::take(&mut scan.passed_by);
    }

    /// Meets what is in the way: a position that is lost is one that the policy chooses, and everything else is an error, behind which the reader is
    /// ready to go on, or to try again.
    fn meet(&mut self, error: ReadError, policy: OnOutOfRange, attempts: u32) -> Result<Reset, SubscriptionError> {
        let followed = self.reader.followed();
        self.go_on_at(self.position);
        if attempts > ATTEMPTS {
            return Err(error.into());
        }
        let view = self.reader.view().clone();
        // Before the look at what was lost: a cut after this is met the next time.
        let cuts = view.cuts();
        let lost = match error {
            ReadError::Truncated { .. } | ReadError::OffsetOutOfRange { .. } if self.position() < view.log_start_offset() => Lost::Deleted,
            // One that came after the error may be lower.
            ReadError::Truncated { at, .. } => Lost::CutOff(Some(view.truncated_since(followed).map_or(at, Offset::new))),
            ReadError::OffsetOutOfRange { .. } => Lost::CutOff(None),
            other => return Err(other.into()),
        };
        let reset = lost.reset(&view, self.position(), policy)?;
        self.position = reset.to.get();
        self.reader.go_on_at(self.position, cuts);
        self.note(reset);
        Ok(reset)
    }

    fn go_on_at(&mut self, position: u64) {
        let followed = self.reader.followed();
        self.reader.go_on_at(position, followed);
    }

    fn note(&mut self, reset: Reset) {
        self.counts.resets += 1;
        self.last_reset = Some(reset);
    }
}

/// What the next step came to.
enum Next {
    Record(StoredRecord),
    /// A limit was reached.
    Enough,
    End,
    Error(ReadError),
}

/// One look, as far as it has come.
struct Scan<'a> {
    filter: Option<&'a Filter>,
    budget: &'a mut Budget,
    /// Bytes that the page still has room for.
    room: u64,
    waits_for: Option<TimestampNs>,
    passed_by: u64,
}

impl Scan<'_> {
    fn next(&mut self, reader: &mut Reader, is_first: bool) -> Next {
        let mut is_enough = false;
        let item = reader.pick(|record| {
            let pick = self.judge(record, is_first);
            is_enough = pick == Pick::Stop;
            pick
        });
        match item {
            Some(Ok(record)) => Next::Record(record),
            Some(Err(error)) => Next::Error(error),
            None if is_enough => Next::Enough,
            None => Next::End,
        }
    }

    fn judge(&mut self, record: &RecordRef<'_>, is_first: bool) -> Pick {
        let bytes = record.bytes();
        if !self.budget.take(bytes) {
            return Pick::Stop;
        }
        let is_too_early = self.waits_for.is_some_and(|time| record.timestamp() < time);
        if !is_too_early {
            self.waits_for = None;
        }
        if is_too_early || self.filter.is_some_and(|filter| !filter.matches(record)) {
            self.passed_by += 1;
            return Pick::Pass;
        }
        if bytes > self.room && !is_first {
            return Pick::Stop;
        }
        self.room = self.room.saturating_sub(bytes);
        Pick::Take
    }
}

/// What is below `offset`, up to which it was read after so many cuts, was not cut off since.
pub(super) fn check_not_cut(view: &PartitionView, followed: u64, offset: Offset) -> Result<(), SubscriptionError> {
    match view.truncated_since(followed) {
        Some(at) if at < offset.get() => Err(SubscriptionError::Truncated { at: Offset::new(at), next: offset }),
        _ => Ok(()),
    }
}

/// Where damage begins, which the reader has passed by.
fn damage_start(error: &ReadError) -> Option<Offset> {
    match error {
        ReadError::Corrupt { from, .. } | ReadError::CodecNotBuilt { from, .. } => Some(*from),
        _ => None,
    }
}
