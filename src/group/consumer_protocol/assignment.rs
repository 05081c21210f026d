//! What a member is assigned, as bytes (`ConsumerProtocolAssignment`). Decides nothing about it.

use std::collections::BTreeMap;

use super::error::ConsumerProtocolError;
use super::wire::{Reader, Writer};
use super::{ByTopic, LATEST_VERSION, by_topic, partitions};
use crate::error::TopicError;
use crate::group::topic_partition::TopicPartition;

/// The partitions of a member, as the assignor sends them to it. Versions 0 to 3 differ in nothing but the number.
///
/// ```
/// use tidelog::group::{ConsumerProtocolAssignment, TopicPartition};
///
/// let partitions = vec![TopicPartition::new("orders".parse()?, 0), TopicPartition::new("orders".parse()?, 2)];
/// let bytes = ConsumerProtocolAssignment::of(&partitions).encode(0)?;
/// assert_eq!(ConsumerProtocolAssignment::decode(&bytes)?.topic_partitions()?, partitions);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsumerProtocolAssignment {
    /// Numbers of partitions by topic.
    pub partitions: BTreeMap<String, Vec<u32>>,
    /// What the assignor has to say beside it.
    pub user_data: Option<Vec<u8>>,
}

impl ConsumerProtocolAssignment {
    /// The message that assigns `partitions`.
    pub fn of(partitions: &[TopicPartition]) -> Self {
        Self { partitions: by_topic(partitions), user_data: None }
    }

    /// The partitions, their topics read as `[namespace/]name`.
    ///
    /// # Errors
    /// [`TopicError::InvalidName`] if a topic is nothing that one may be called.
    pub fn topic_partitions(&self) -> Result<Vec<TopicPartition>, TopicError> {
        partitions(&self.partitions)
    }

    /// The bytes, in `version`.
    ///
    /// # Errors
    /// [`ConsumerProtocolError`] if there is no such version, or if something is larger than its field.
    pub fn encode(&self, version: i16) -> Result<Vec<u8>, ConsumerProtocolError> {
        let mut writer = Writer::version(version)?;
        writer.by_topic(PARTITIONS, &self.partitions)?;
        writer.nullable_bytes(USER_DATA, self.user_data.as_deref())?;
        Ok(writer.bytes)
    }

    /// The message, whatever version it has. Of one that is newer than 3 the fields of version 3 are read, which it begins with.
    ///
    /// # Errors
    /// [`ConsumerProtocolError`]; one of bytes that follow only up to version 3.
    pub fn decode(bytes: &[u8]) -> Result<Self, ConsumerProtocolError> {
        let mut reader = Reader::new(bytes);
        let version = reader.version()?;
        let partitions: ByTopic = reader.by_topic(PARTITIONS)?;
        let user_data = reader.nullable_bytes(USER_DATA)?;
        if version <= LATEST_VERSION {
            reader.end()?;
        }
        Ok(Self { partitions, user_data })
    }
}

const PARTITIONS: &str = "the list of assigned partitions";
const USER_DATA: &str = "the user data";
