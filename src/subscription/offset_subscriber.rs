//! The subscriptions of a process, by id. Reads no record: each subscription does that by itself.

use std::collections::BTreeMap;

use parking_lot::RwLock;

use crate::log::PartitionView;
use crate::subscription::error::SubscriptionError;
use crate::subscription::options::SubscriptionOptions;
use crate::subscription::subscription::Subscription;

/// Keeps subscriptions by their ids, of which each is taken once. May be shared between threads.
///
/// ```
/// use tidelog::{OffsetSubscriber, Record, Store, SubscriptionError, SubscriptionOptions};
///
/// # let dir = tempfile::tempdir()?;
/// let orders = Store::open(dir.path())?.topic("orders")?.partition(0)?;
/// let subscribers = OffsetSubscriber::new();
/// let audit = subscribers.create("audit", orders.view(), SubscriptionOptions::new())?;
/// assert!(matches!(subscribers.create("audit", orders.view(), SubscriptionOptions::new()), Err(SubscriptionError::Exists { .. })));
/// assert_eq!(subscribers.get("audit")?.position(), audit.position());
/// subscribers.close("audit")?;
/// assert!(!audit.is_active() && subscribers.metrics().active_subscriptions == 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct OffsetSubscriber {
    /// Those that were closed by themselves stay until somebody looks.
    subscriptions: RwLock<BTreeMap<String, Subscription>>,
}

/// Active subscriptions in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscriberMetrics {
    /// How many there are.
    pub active_subscriptions: usize,
    /// Partitions that they read.
    pub partitions: usize,
    /// Records that they were handed.
    pub records_delivered: u64,
    /// Records that their filters did not let through.
    pub records_passed_by: u64,
    /// Positions that were lost, and chosen anew by their policies.
    pub resets: u64,
    /// The sum of their lags.
    pub lag: u64,
}

impl OffsetSubscriber {
    /// Without a subscription.
    pub fn new() -> Self {
        Self::default()
    }

    /// Subscribes to a partition under an id that no active subscription has.
    ///
    /// # Errors
    /// [`SubscriptionError::Exists`]; as [`PartitionView::subscribe`]. Nothing is left behind.
    pub fn create(&self, id: &str, view: &PartitionView, options: SubscriptionOptions) -> Result<Subscription, SubscriptionError> {
        let exists = || SubscriptionError::Exists { id: id.to_owned() };
        if self.find(id).is_some() {
            return Err(exists());
        }
        // Looks for the place to begin, which may take a while: not under the lock.
        let subscription = view.subscribe(id, options)?;
        let mut subscriptions = self.subscriptions.write();
        if subscriptions.get(id).is_some_and(Subscription::is_active) {
            return Err(exists());
        }
        subscriptions.insert(id.to_owned(), subscription.clone());
        Ok(subscription)
    }

    /// An active subscription.
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`].
    pub fn get(&self, id: &str) -> Result<Subscription, SubscriptionError> {
        self.find(id).ok_or_else(|| not_found(id))
    }

    /// The active subscriptions, by id.
    pub fn active(&self) -> Vec<Subscription> {
        let mut subscriptions = self.subscriptions.write();
        subscriptions.retain(|_, subscription| subscription.is_active());
        subscriptions.values().cloned().collect()
    }

    /// The active subscriptions of one partition, by id.
    pub fn active_at(&self, view: &PartitionView) -> Vec<Subscription> {
        let mut subscriptions = self.active();
        subscriptions.retain(|subscription| subscription.view().uuid() == view.uuid());
        subscriptions
    }

    /// Closes a subscription: its id is free again.
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`].
    pub fn close(&self, id: &str) -> Result<(), SubscriptionError> {
        let subscription = self.subscriptions.write().remove(id).filter(Subscription::is_active);
        subscription.map(|subscription| subscription.close()).ok_or_else(|| not_found(id))
    }

    /// Closes all of them; returns how many there were.
    pub fn close_all(&self) -> usize {
        let subscriptions = std::mem::take(&mut *self.subscriptions.write());
        let active: Vec<_> = subscriptions.into_values().filter(Subscription::is_active).collect();
        active.iter().for_each(Subscription::close);
        active.len()
    }

    /// The active subscriptions in numbers.
    pub fn metrics(&self) -> SubscriberMetrics {
        let active = self.active();
        let mut partitions: Vec<_> = active.iter().map(|subscription| subscription.view().uuid()).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let none = SubscriberMetrics { active_subscriptions: active.len(), partitions: partitions.len(), ..SubscriberMetrics::default() };
        active.iter().map(Subscription::info).fold(none, |sum, info| SubscriberMetrics {
            records_delivered: sum.records_delivered + info.records_delivered,
            records_passed_by: sum.records_passed_by + info.records_passed_by,
            resets: sum.resets + info.resets,
            lag: sum.lag + info.lag,
            ..sum
        })
    }

    fn find(&self, id: &str) -> Option<Subscription> {
        self.subscriptions.read().get(id).filter(|subscription| subscription.is_active()).cloned()
    }
}

fn not_found(id: &str) -> SubscriptionError {
    SubscriptionError::NotFound { id: id.to_owned() }
}
