//! How a subscription notes its position for its group, or gives it to whoever does. Reads no further, and moves nothing.

use tidelog_format::Offset;

use crate::clock;
use crate::offset::CommittedOffset;
use crate::subscription::error::SubscriptionError;
use crate::subscription::progress::check_not_cut;
use crate::subscription::resolve::term_before;
use crate::subscription::subscription::Subscription;

impl Subscription {
    /// Commits the position: the group has read everything before it. Returns it.
    ///
    /// What is committed survives power loss. Under [`SyncPolicy::OsOnly`](crate::SyncPolicy::OsOnly), where readers are shown more than that, this
    /// syncs the log first, or, beside the writer's process, is refused.
    ///
    /// Commits of one subscription come one after the other, in the order of their calls, and a close waits for the one under way; reading goes on
    /// meanwhile. So the store must neither commit for this subscription nor close it.
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
    /// [`SubscriptionError::OffsetOutOfRange`] if the position is not there any more; [`SubscriptionError::Sync`] if the log cannot be made durable up
    /// to it, [`SubscriptionError::NotDurable`] if it is not.
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

    /// What [`commit`](Self::commit) would note: the position, with its term, durable and not cut off. For who stores it together with what was made
    /// of the records, in one transaction of a database (`SqlitePositions`).
    ///
    /// # Errors
    /// As [`commit`](Self::commit), but for those of the group and its store.
    pub fn checked_position(&self) -> Result<CommittedOffset, SubscriptionError> {
        self.checked(None)
    }

    fn commit_at(&self, requested: Option<Offset>, metadata: &str) -> Result<Offset, SubscriptionError> {
        let _committing = self.begin_commit();
        let group = self.group().ok_or_else(|| SubscriptionError::NoGroup { id: self.id().to_owned() })?;
        let committed = CommittedOffset { metadata: metadata.to_owned(), ..self.checked(requested)? };
        let offset = committed.offset;
        group.store.commit(&group.group, &[(group.partition.clone(), committed)])?;
        Ok(offset)
    }

    pub(crate) fn checked(&self, requested: Option<Offset>) -> Result<CommittedOffset, SubscriptionError> {
        // Not held while the log and the store take their time.
        let (position, followed) = {
            let progress = self.active()?;
            (progress.position(), progress.followed())
        };
        let requested = requested.unwrap_or(position);
        if requested > position {
            return Err(SubscriptionError::NotRead { requested, position });
        }
        let leader_epoch = self.check_kept(requested).and_then(|()| Ok(term_before(self.view(), requested)?));
        // After the look at the log: a cut before this would have shown another term, and one after it is found by whoever resumes.
        check_not_cut(self.view(), followed, requested)?;
        Ok(CommittedOffset { leader_epoch: leader_epoch?, ..CommittedOffset::new(requested, clock::now()) })
    }

    /// What is committed lies where every reader may see it, whatever this one sees, and is there for good.
    fn check_kept(&self, requested: Offset) -> Result<(), SubscriptionError> {
        let view = self.view();
        view.refresh()?;
        let (earliest, latest) = (view.log_start_offset(), view.high_water_mark());
        if requested < earliest || requested > latest {
            return Err(SubscriptionError::OffsetOutOfRange { requested, earliest, latest });
        }
        view.make_durable(requested)?;
        let durable_end = view.durable_end_offset();
        if requested > durable_end { Err(SubscriptionError::NotDurable { requested, durable_end }) } else { Ok(()) }
    }
}
