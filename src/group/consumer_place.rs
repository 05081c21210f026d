//! A consumer's place in a partition: where it begins, and that it ends with its topic. Reads no record.

use crate::error::{ReadError, SyncError, TopicError};
use crate::group::consumer::{GroupConsumer, failed};
use crate::group::consumer_error::ConsumerError;
use crate::group::consumer_options::ConsumerOptions;
use crate::group::error::GroupError;
use crate::group::member_id::MemberId;
use crate::group::topic_partition::TopicPartition;
use crate::subscription::{GroupPosition, OffsetSpec, SeekOutcome, Subscription, SubscriptionError};

impl GroupConsumer {
    /// Its place in a partition, at first where the group is; where the options say, if the group is nowhere. None for now, if the topic is gone, or
    /// if the group is between two generations and cannot note where it begins.
    pub(super) fn open(&mut self, partition: &TopicPartition) -> Result<Option<Subscription>, ConsumerError> {
        if let Some(place) = self.subscription(partition) {
            return Ok(Some(place.clone()));
        }
        let ConsumerOptions { coordinator, group, subscription, client_id, .. } = &self.options;
        let topic = coordinator.inner.store.existing_topic(&partition.topic.to_string());
        let log = match topic.and_then(|topic| topic.partition(partition.partition)) {
            // The leader will leave it out, unless the topic is made anew until then.
            Err(TopicError::Unknown { .. } | TopicError::Deleted { .. } | TopicError::NoPartition { .. }) => return Ok(None),
            outcome => outcome?,
        };
        let position = GroupPosition { group: group.clone(), partition: log.key().clone(), store: coordinator.inner.offsets.clone() };
        let start = match coordinator.fetch(group, log.key())? {
            Some(_) => OffsetSpec::ResumeOrEarliest,
            None => subscription.start,
        };
        let id = self.member_id.as_ref().map_or(client_id.as_str(), MemberId::as_str);
        let id: String = id.chars().take(ID_CHARS_MAX).collect();
        let place = match log.subscribe(&id, subscription.clone().start(start).group(position)) {
            Err(error) if is_gone(&error) => return Ok(None),
            outcome => outcome.map_err(|source| failed(partition, source))?,
        };
        let was_reset = matches!(place.started().outcome, SeekOutcome::Reset(_));
        if (moves_on(start) || was_reset) && !self.note_start(partition, &place)? {
            return Ok(None);
        }
        self.partitions.insert(partition.clone(), Some(place.clone()));
        Ok(Some(place))
    }

    /// Commits where a group begins that had no position, or lost it, unless it is between two generations.
    fn note_start(&mut self, partition: &TopicPartition, place: &Subscription) -> Result<bool, ConsumerError> {
        let position = self.position(partition, place, None, "")?;
        match self.commit_positions(&[position]) {
            Err(ConsumerError::Group(GroupError::RebalanceInProgress { .. })) => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }
}

/// Whether a start is another one later: whoever came next would pass by what was handed out and not committed.
fn moves_on(start: OffsetSpec) -> bool {
    matches!(start, OffsetSpec::ResetToLatest | OffsetSpec::ResumeOrLatest | OffsetSpec::ResetToOffset(_))
}

/// Whether a place ended because its topic was deleted; there may be one of the name again.
pub(super) fn is_gone(error: &SubscriptionError) -> bool {
    matches!(error, SubscriptionError::Read(ReadError::TopicDeleted { .. }) | SubscriptionError::Sync(SyncError::TopicDeleted))
}

/// Of a member's id, in the id of its subscriptions: 255 bytes at most.
const ID_CHARS_MAX: usize = 60;
