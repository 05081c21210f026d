//! What a group consumer is set up with. Joins no group.

use std::sync::Arc;
use std::time::Duration;

use crate::group::assignor::{Assignor, RangeAssignor, RebalanceProtocol};
use crate::group::consumer::GroupConsumer;
use crate::group::coordinator::GroupCoordinator;
use crate::group::instance_id::InstanceId;
use crate::offset::GroupId;
use crate::subscription::SubscriptionOptions;
use crate::topic::TopicName;

/// Settings of a [`GroupConsumer`], from [`GroupCoordinator::consumer`].
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    pub(super) coordinator: GroupCoordinator,
    pub(super) group: GroupId,
    pub(super) topics: Vec<TopicName>,
    pub(super) assignors: Vec<Arc<dyn Assignor>>,
    pub(super) client_id: String,
    pub(super) instance_id: Option<InstanceId>,
    pub(super) session_timeout: Duration,
    pub(super) heartbeat_interval: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) subscription: SubscriptionOptions,
}

impl GroupCoordinator {
    /// A consumer that shares the partitions of topics with the other members of a group: see [`GroupConsumer`].
    pub fn consumer(&self, group: GroupId) -> ConsumerOptions {
        ConsumerOptions {
            coordinator: self.clone(),
            group,
            topics: Vec::new(),
            assignors: Vec::new(),
            client_id: "tidelog".to_owned(),
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            rebalance_timeout: Duration::from_secs(5 * 60),
            subscription: SubscriptionOptions::new(),
        }
    }
}

impl ConsumerOptions {
    /// The topics. One that is not there yet is taken in once it is.
    #[must_use]
    pub fn topics(mut self, topics: impl IntoIterator<Item = TopicName>) -> Self {
        self.topics.extend(topics);
        self
    }

    /// How partitions are divided; of several, the one that the most members like best and all know. Default [`RangeAssignor`].
    #[must_use]
    pub fn assignor(mut self, assignor: impl Assignor + 'static) -> Self {
        self.assignors.push(Arc::new(assignor));
        self
    }

    /// What it calls itself. Default `tidelog`.
    #[must_use]
    pub fn client_id(mut self, name: &str) -> Self {
        name.clone_into(&mut self.client_id);
        self
    }

    /// Its name across restarts: one that comes back under it within its session timeout has the partitions that it had. Nobody else may have it.
    /// Unless it leads the group, topics that were added to its list meanwhile are taken in by the next rebalance.
    #[must_use]
    pub fn instance_id(mut self, name: InstanceId) -> Self {
        self.instance_id = Some(name);
        self
    }

    /// How long it keeps its partitions without a poll. Default 45 s.
    #[must_use]
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// How often it shows that it is alive, while it polls: a third of the session timeout at most. Default 3 s.
    #[must_use]
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat_interval = interval;
        self
    }

    /// How long a rebalance waits for it to poll. Default 5 min.
    #[must_use]
    pub fn rebalance_timeout(mut self, timeout: Duration) -> Self {
        self.rebalance_timeout = timeout;
        self
    }

    /// How each partition is read: where a group without a position begins, filters, limits of a page. The group in it is passed over.
    ///
    /// A group that has a position goes on there, whatever the start says. One that begins at an end, which moves on (`ResetToLatest`,
    /// `ResumeOrLatest`, `ResetToOffset`), has its first position as soon as one of its members looks at the partition: what is appended from then on
    /// is read.
    #[must_use]
    pub fn subscription(mut self, options: SubscriptionOptions) -> Self {
        self.subscription = options;
        self
    }

    /// The consumer. It joins at its first poll.
    pub fn build(mut self) -> GroupConsumer {
        if self.assignors.is_empty() {
            self.assignors.push(Arc::new(RangeAssignor));
        }
        self.heartbeat_interval = self.heartbeat_interval.min(self.session_timeout / 3);
        GroupConsumer::new(self)
    }

    /// Whether it goes on with its partitions while the group rebalances.
    pub(super) fn is_cooperative(&self) -> bool {
        self.assignors.iter().all(|assignor| assignor.rebalance() == RebalanceProtocol::Cooperative)
    }
}
