//! How a subscription notes its position for its group. Reads no further, and moves nothing.

use tidelog_format::Offset;

use crate::clock;
use crate::offset::CommittedOffset;
use crate::subscription::error::SubscriptionError;
use crate::subscription::resolve::term_before;
use crate::subscription::subscription::Subscription;

impl Subscription {
    /// Commits the position: the group has read everything before it. Returns it.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tidelog::{GroupPosition, MemoryOffsetStore, Record, SeekOutcome, Store, SubscriptionOptions};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let orders = Store::open(dir.path())?.topic("orders")?.partition(0)?;
    /// orders.append(Record::new("12 apples"))?;
    /// orders.append(Record::new("7 pears"))?;
    /// let group = GroupPosition { group: "billing".parse()?, partition: orders.key().clone(), store: Arc::new(MemoryOffsetStore::new()) };
    /// let options = SubscriptionOptions::new().group(group);
    /// let first = orders.subscribe("billing-1", options.clone())?;
    /// first.next_record()?;
    /// first.commit()?;
    /// let second = orders.subscribe("billing-2", options)?;
    /// assert_eq!((second.position(), second.started().outcome), (1.into(), SeekOutcome::Resumed));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`SubscriptionError::NoGroup`], [`SubscriptionError::Store`]; [`SubscriptionError::Truncated`] or
    /// [`SubscriptionError::OffsetOutOfRange`] if the position is not there any more.
    pub fn commit(&self) -> Result<Offset, SubscriptionError> {
        self.commit_at(None, "")
    }

    /// As [`commit`](Self::commit), of an offset before the position: everything below it is done, what is above may still be worked on.
    /// With a note of 4,096 bytes at most.
    ///
    /// # Errors
    /// As [`commit`](Self::commit), and [`SubscriptionError::NotRead`].
    pub fn commit_offset(&self, offset: impl Into<Offset>, metadata: &str) -> Result<Offset, SubscriptionError> {
        self.commit_at(Some(offset.into()), metadata)
    }

    fn commit_at(&self, requested: Option<Offset>, metadata: &str) -> Result<Offset, SubscriptionError> {
        let progress = self.active()?;
        let group = self.group().ok_or_else(|| SubscriptionError::NoGroup { id: self.id().to_owned() })?;
        let position = progress.position();
        let requested = requested.unwrap_or(position);
        if requested > position {
            return Err(SubscriptionError::NotRead { requested, position });
        }
        let leader_epoch = self.check_visible(requested).and_then(|()| Ok(term_before(self.view(), requested)?));
        // After the look at the log: a cut before this would have shown another term, and one after it is found by whoever resumes.
        progress.check_not_cut(requested)?;
        let committed =
            CommittedOffset { leader_epoch: leader_epoch?, metadata: metadata.to_owned(), ..CommittedOffset::new(requested, clock::now()) };
        group.store.commit(&group.group, &[(group.partition.clone(), committed)])?;
        Ok(requested)
    }

    /// What is committed lies where every reader may see it, whatever this one sees.
    fn check_visible(&self, requested: Offset) -> Result<(), SubscriptionError> {
        let (earliest, latest) = (self.view().log_start_offset(), self.view().high_water_mark());
        let is_there = earliest <= requested && requested <= latest;
        if is_there { Ok(()) } else { Err(SubscriptionError::OffsetOutOfRange { requested, earliest, latest }) }
    }
}
