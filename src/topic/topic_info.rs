//! What a catalogue says of a topic, for people and programs. Knows no directory.

/// A topic and its partitions, as [`Topic::describe`](crate::Topic::describe) tells them.
///
/// ```
/// use tidelog::Store;
///
/// # let dir = tempfile::tempdir()?;
/// let orders = Store::open(dir.path())?.create_topic("orders", 2)?;
/// let info = orders.describe();
/// assert_eq!((info.topic.as_str(), info.ring_size, info.partitions.len()), ("orders", 4096, 2));
/// assert!(info.partitions[1].is_active() && !info.partitions[1].made);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TopicInfo {
    /// The topic, `namespace/name`, without the namespace if it is the default one.
    pub topic: String,
    /// Identity, in hexadecimal: a topic that is made anew under the name has another one.
    pub uuid: String,
    /// When it was made, in nanoseconds since 1970.
    pub created_ts_ns: i64,
    /// Slots of its ring.
    pub ring_size: u32,
    /// Its partitions, each at its number: active ones, and those that were split.
    pub partitions: Vec<TopicPartition>,
}

/// A partition as its topic knows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TopicPartition {
    /// Number in the topic.
    pub partition: u32,
    /// Identity, in hexadecimal.
    pub uuid: String,
    /// When it became a partition of the topic, in nanoseconds since 1970.
    pub created_ts_ns: i64,
    /// First slot of its range.
    pub range_start: u32,
    /// First slot behind it.
    pub range_stop: u32,
    /// The partitions that its range was split into; none while it is active.
    pub split_into: Vec<u32>,
    /// Whether it has a directory: it is made at the first use for writing.
    pub made: bool,
}

impl TopicPartition {
    /// Whether keys of its range go to it.
    pub fn is_active(&self) -> bool {
        self.split_into.is_empty()
    }
}
