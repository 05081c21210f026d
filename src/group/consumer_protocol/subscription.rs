//! What a member wants and has, as bytes (`ConsumerProtocolSubscription`). Decides nothing about it.

use std::collections::BTreeMap;

use super::error::ConsumerProtocolError;
use super::sticky_user_data::StickyUserData;
use super::wire::{Reader, Writer};
use super::{LATEST_VERSION, by_topic, partitions};
use crate::error::TopicError;
use crate::group::assignor::{Assignor, CooperativeStickyAssignor, MemberSubscription, StickyAssignor};
use crate::group::instance_id::InstanceId;
use crate::group::member_id::MemberId;

/// What a member sends when it joins. Version 1 has the partitions that it owns, 2 its generation, 3 its rack.
///
/// ```
/// use tidelog::group::{ConsumerProtocolSubscription, MemberSubscription};
///
/// let member = MemberSubscription::new("billing-1".parse()?, ["orders".parse()?]);
/// let bytes = ConsumerProtocolSubscription::of(&member, "range")?.encode(3)?;
/// assert_eq!(ConsumerProtocolSubscription::decode(&bytes)?.member("range", member.member.clone(), None)?, member);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsumerProtocolSubscription {
    /// Topics that the member wants.
    pub topics: Vec<String>,
    /// What it has to say to the assignor beside it.
    pub user_data: Option<Vec<u8>>,
    /// Numbers of the partitions that it has, by topic.
    pub owned_partitions: BTreeMap<String, Vec<u32>>,
    /// The generation in which it got them, if it knows.
    pub generation: Option<i32>,
    /// The rack it is in.
    pub rack: Option<String>,
}

impl ConsumerProtocolSubscription {
    /// What `member` sends to the assignor called `protocol`. As in Kafka, user data tell the sticky one what the member had, and the cooperative one in
    /// which generation it got that, for versions that have no field for it.
    ///
    /// # Errors
    /// [`ConsumerProtocolError::TooLarge`].
    pub fn of(member: &MemberSubscription, protocol: &str) -> Result<Self, ConsumerProtocolError> {
        let mut subscription =
            Self { topics: member.topics.iter().map(ToString::to_string).collect(), generation: member.generation, ..Self::default() };
        let owned = by_topic(&member.owned);
        if protocol == StickyAssignor.name() {
            subscription.user_data = Some(StickyUserData { partitions: owned, generation: member.generation }.encode()?);
            return Ok(subscription);
        }
        subscription.owned_partitions = owned;
        if protocol == CooperativeStickyAssignor.name() {
            let mut writer = Writer::default();
            writer.generation(member.generation);
            subscription.user_data = Some(writer.bytes);
        }
        Ok(subscription)
    }

    /// The member for the assignor called `protocol`, topics read as `[namespace/]name`. User data that the sticky assignor cannot read says, as in
    /// Kafka, that the member had nothing.
    ///
    /// # Errors
    /// [`TopicError::InvalidName`] if a topic is nothing that one may be called.
    pub fn member(&self, protocol: &str, member: MemberId, instance: Option<InstanceId>) -> Result<MemberSubscription, TopicError> {
        let (owned, generation) = if protocol == StickyAssignor.name() {
            let had = self.user_data.as_deref().and_then(|bytes| StickyUserData::decode(bytes).ok()).unwrap_or_default();
            (partitions(&had.partitions)?, had.generation)
        } else if protocol == CooperativeStickyAssignor.name() {
            (partitions(&self.owned_partitions)?, self.generation.or_else(|| self.generation_of_user_data()))
        } else {
            (partitions(&self.owned_partitions)?, self.generation)
        };
        let topics = self.topics.iter().map(|topic| topic.parse()).collect::<Result<_, _>>()?;
        Ok(MemberSubscription { member, instance, topics, owned, generation })
    }

    /// What user data for the cooperative assignor say: Kafka's own clients write the generation alone, and librdkafka what it writes for the sticky one.
    fn generation_of_user_data(&self) -> Option<i32> {
        let bytes = self.user_data.as_deref()?;
        let read =
            if bytes.len() == size_of::<i32>() { Reader::new(bytes).generation() } else { StickyUserData::decode(bytes).map(|had| had.generation) };
        read.ok().flatten()
    }

    /// The bytes, in `version`. Fields that it does not have are left out.
    ///
    /// # Errors
    /// [`ConsumerProtocolError`] if there is no such version, or if something is larger than its field.
    pub fn encode(&self, version: i16) -> Result<Vec<u8>, ConsumerProtocolError> {
        let mut writer = Writer::version(version)?;
        writer.len(TOPICS, self.topics.len())?;
        self.topics.iter().try_for_each(|topic| writer.text(TOPIC, topic))?;
        writer.nullable_bytes(USER_DATA, self.user_data.as_deref())?;
        if version >= WITH_OWNED {
            writer.by_topic(OWNED, &self.owned_partitions)?;
        }
        if version >= WITH_GENERATION {
            writer.generation(self.generation);
        }
        if version >= WITH_RACK {
            writer.nullable_text(RACK, self.rack.as_deref())?;
        }
        Ok(writer.bytes)
    }

    /// The message, whatever version it has. Of one that is newer than 3 the fields of version 3 are read, which it begins with.
    ///
    /// # Errors
    /// [`ConsumerProtocolError`]; one of bytes that follow only up to version 3.
    pub fn decode(bytes: &[u8]) -> Result<Self, ConsumerProtocolError> {
        let mut reader = Reader::new(bytes);
        let version = reader.version()?;
        let mut subscription =
            Self { topics: reader.list(TOPICS, |reader| reader.text(TOPIC))?, user_data: reader.nullable_bytes(USER_DATA)?, ..Self::default() };
        if version >= WITH_OWNED {
            subscription.owned_partitions = reader.by_topic(OWNED)?;
        }
        if version >= WITH_GENERATION {
            subscription.generation = reader.generation()?;
        }
        if version >= WITH_RACK {
            subscription.rack = reader.nullable_text(RACK)?;
        }
        if version <= LATEST_VERSION {
            reader.end()?;
        }
        Ok(subscription)
    }
}

const WITH_OWNED: i16 = 1;
const WITH_GENERATION: i16 = 2;
const WITH_RACK: i16 = 3;

const TOPICS: &str = "the list of topics";
const TOPIC: &str = "the name of a topic";
const USER_DATA: &str = "the user data";
const OWNED: &str = "the list of owned partitions";
const RACK: &str = "the rack";
