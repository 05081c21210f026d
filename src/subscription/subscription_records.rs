//! The records of a subscription as an iterator that waits for the next one. Reads as [`Subscription::poll`] does.

use crate::log::StoredRecord;
use crate::subscription::error::SubscriptionError;
use crate::subscription::subscription::Subscription;

/// Records in offset order, the future ones included. From [`Subscription::records`].
///
/// Damage is one error, and then reading goes on behind it; after any other error, and when the subscription or the store is closed, it has ended.
#[derive(Debug)]
#[must_use = "an iterator does nothing unless it is asked"]
pub struct SubscriptionRecords {
    subscription: Subscription,
    has_ended: bool,
}

impl SubscriptionRecords {
    pub(super) fn new(subscription: Subscription) -> Self {
        Self { subscription, has_ended: false }
    }

    /// The subscription.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }
}

impl Iterator for SubscriptionRecords {
    type Item = Result<StoredRecord, SubscriptionError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let item = match self.subscription.next_to_come() {
            Err(SubscriptionError::Closed { .. }) => None,
            item => item.transpose(),
        };
        self.has_ended = item.as_ref().is_none_or(|item| item.as_ref().is_err_and(|error| !error.is_damage()));
        item
    }
}
