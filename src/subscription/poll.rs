//! How a subscription hands out records: one, a page, or what is waited for. Moves it by what was handed out or passed by, and nowhere else.

use std::time::{Duration, Instant};

use crate::log::StoredRecord;
use crate::subscription::error::SubscriptionError;
use crate::subscription::page::Page;
use crate::subscription::page_limits::PageLimits;
use crate::subscription::progress::{Budget, Progress};
use crate::subscription::subscription::Subscription;
use crate::subscription::subscription_records::SubscriptionRecords;

/// Where somebody waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub(super) position: u64,
    pub(super) followed: u64,
    pub(super) moves: u64,
}

/// What a look for one record gave.
pub(super) struct LookForOne {
    pub(super) record: Option<StoredRecord>,
    /// Whether everything visible was read.
    pub(super) at_end: bool,
    pub(super) waiting: Waiting,
}

impl Subscription {
    /// The next record that is visible now, if there is one.
    ///
    /// # Errors
    /// [`SubscriptionError`]. Damage is passed by: see [`SubscriptionError::is_damage`].
    pub fn next_record(&self) -> Result<Option<StoredRecord>, SubscriptionError> {
        loop {
            let look = self.look_for_one()?;
            if look.record.is_some() || look.at_end {
                return Ok(look.record);
            }
        }
    }

    /// The next record, which is waited for; none once nothing more can come.
    pub(super) fn next_to_come(&self) -> Result<Option<StoredRecord>, SubscriptionError> {
        let mut has_ended = false;
        loop {
            let look = match self.look_for_one() {
                // Whoever waits has the time to look again.
                Err(error) if error.is_busy() => continue,
                look => look?,
            };
            if look.record.is_some() || (look.at_end && has_ended) {
                return Ok(look.record);
            }
            has_ended = look.at_end && self.view().has_ended();
            if look.at_end && !has_ended {
                match self.wait(look.waiting, Duration::MAX) {
                    Err(error) if error.is_busy() => {}
                    outcome => drop(outcome?),
                }
            }
        }
    }

    pub(super) fn look_for_one(&self) -> Result<LookForOne, SubscriptionError> {
        let limits = PageLimits { records: 1, ..self.options().limits };
        let mut record = None;
        let mut progress = self.active()?;
        let look = progress.look(self.options(), &limits, &mut Budget::of(&limits), |found| record = Some(found))?;
        Ok(LookForOne { record, at_end: look.at_end, waiting: self.waiting(&progress) })
    }

    /// What is visible now, within the limits that it was opened with. Waits for nothing.
    ///
    /// # Errors
    /// As [`next_record`](Self::next_record).
    pub fn page(&self) -> Result<Page, SubscriptionError> {
        self.page_within(self.options().limits)
    }

    /// As [`page`](Self::page), within other limits.
    ///
    /// # Errors
    /// As [`next_record`](Self::next_record), and [`SubscriptionError::Limit`].
    pub fn page_within(&self, limits: PageLimits) -> Result<Page, SubscriptionError> {
        limits.check()?;
        Ok(self.look(&limits, &mut Budget::of(&limits))?.0)
    }

    /// As [`page`](Self::page); if nothing is there, waits for a record that passes the filter, at most for `limit`. Returns before that, without
    /// records, once it has looked at as many records as it may, or when nothing more can come because the store was closed.
    ///
    /// In the writer's process the append, or the sync, that makes a record visible wakes it; another process is told by the writer's
    /// sync rounds, and looks every 100 ms at the latest.
    ///
    /// # Errors
    /// As [`next_record`](Self::next_record), and [`SubscriptionError::Closed`] as soon as it is closed.
    pub fn poll(&self, limit: Duration) -> Result<Page, SubscriptionError> {
        let deadline = Instant::now().checked_add(limit);
        let limits = self.options().limits;
        let (mut budget, mut has_ended) = (Budget::of(&limits), false);
        loop {
            let (page, waiting) = self.look(&limits, &mut budget)?;
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            if !page.records.is_empty() || !page.at_end || page.reset.is_some() || left.is_zero() || has_ended {
                return Ok(page);
            }
            // What came last may have come since the look.
            has_ended = self.view().has_ended();
            if !has_ended {
                self.wait(waiting, left)?;
            }
        }
    }

    /// The records from here on, and those to come: waits for each. Ends when the subscription or, in the writer's process, the store is closed.
    ///
    /// ```
    /// use tidelog::{Record, Store, SubscriptionOptions};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::open(dir.path())?;
    /// let orders = store.topic("orders")?.partition(0)?;
    /// let subscription = orders.subscribe("audit", SubscriptionOptions::new())?;
    /// let reader = subscription.clone();
    /// let thread = std::thread::spawn(move || reader.records().map(|record| record.map(|record| record.offset().get())).collect::<Result<Vec<_>, _>>());
    /// orders.append(Record::new("12 apples"))?;
    /// orders.append(Record::new("7 pears"))?;
    /// # while subscription.position() < 2 { std::thread::yield_now(); }
    /// subscription.close();
    /// assert_eq!(thread.join().unwrap()?, [0, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn records(&self) -> SubscriptionRecords {
        SubscriptionRecords::new(self.clone())
    }

    pub(super) fn look(&self, limits: &PageLimits, budget: &mut Budget) -> Result<(Page, Waiting), SubscriptionError> {
        // A page reads on from what is there now; single records are read on for as long as there are any. Its marks are those after it was read.
        self.view().refresh()?;
        let mut progress = self.active()?;
        let mut records = Vec::new();
        let look = progress.look(self.options(), limits, budget, |record| records.push(record))?;
        let view = self.view();
        let page = Page {
            records,
            next_offset: progress.position(),
            log_start_offset: view.log_start_offset(),
            high_water_mark: view.high_water_mark(),
            at_end: look.at_end,
            reset: look.reset,
        };
        Ok((page, self.waiting(&progress)))
    }

    fn waiting(&self, progress: &Progress) -> Waiting {
        Waiting { position: progress.position().get(), followed: progress.followed(), moves: self.moves() }
    }

    /// Waits until there is something to look at again, at most for `limit`.
    pub(super) fn wait(&self, waiting: Waiting, limit: Duration) -> Result<bool, SubscriptionError> {
        self.begin_waiting();
        let outcome = self.view().wait_for(waiting.position, waiting.followed, limit, || self.has_moved(waiting));
        self.end_waiting();
        Ok(outcome?)
    }

    /// Whether it was sought or closed since.
    pub(super) fn has_moved(&self, waiting: Waiting) -> bool {
        self.moves() != waiting.moves
    }
}
