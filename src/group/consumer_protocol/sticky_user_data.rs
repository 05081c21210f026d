//! What a member tells the sticky assignor of what it had, as bytes (`StickyAssignorUserData`). Has no version in it: the length tells.

use std::collections::BTreeMap;

use super::error::ConsumerProtocolError;
use super::wire::{Reader, Writer};

/// The user data of members that use Kafka's sticky assignor: such a member gives up its partitions before it joins, and says here which they were.
///
/// ```
/// use tidelog::group::StickyUserData;
///
/// let had = StickyUserData { partitions: [("orders".to_owned(), vec![0, 2])].into(), generation: Some(7) };
/// assert_eq!(StickyUserData::decode(&had.encode()?)?, had);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StickyUserData {
    /// Numbers of partitions by topic.
    pub partitions: BTreeMap<String, Vec<u32>>,
    /// The generation in which the member got them, if it knows; version 0 has none.
    pub generation: Option<i32>,
}

impl StickyUserData {
    /// The bytes of version 1.
    ///
    /// # Errors
    /// [`ConsumerProtocolError::TooLarge`].
    pub fn encode(&self) -> Result<Vec<u8>, ConsumerProtocolError> {
        let mut writer = Writer::default();
        writer.by_topic(PARTITIONS, &self.partitions)?;
        writer.generation(self.generation);
        Ok(writer.bytes)
    }

    /// What bytes of version 0 or 1 say.
    ///
    /// # Errors
    /// [`ConsumerProtocolError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ConsumerProtocolError> {
        let mut reader = Reader::new(bytes);
        let partitions = reader.by_topic(PARTITIONS)?;
        let generation = if reader.left() > 0 { reader.generation()? } else { None };
        reader.end()?;
        Ok(Self { partitions, generation })
    }
}

const PARTITIONS: &str = "the list of partitions";
