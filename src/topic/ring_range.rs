//! A partition's share of the ring that keys are hashed onto. Knows no directory.

use std::fmt;

use crate::error::TopicError;

/// The slots `start..stop` of a ring of `size` slots. The ranges of a topic's partitions tile the ring.
///
/// ```
/// use tidelog::RingRange;
///
/// let half = RingRange::new(4096, 0, 2048)?;
/// assert!(half.contains(2047) && !half.contains(2048));
/// assert_eq!(half.to_string(), "ring:4096:range:0-2048");
/// assert!(RingRange::new(4096, 2048, 2048).is_err());
/// # Ok::<(), tidelog::TopicError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingRange {
    size: u32,
    start: u32,
    stop: u32,
}

impl RingRange {
    /// The slots `start..stop` of a ring of `size`.
    ///
    /// # Errors
    /// [`TopicError::RingRange`] if there is no slot in it, or it reaches past the ring.
    pub fn new(size: u32, start: u32, stop: u32) -> Result<Self, TopicError> {
        if start < stop && stop <= size { Ok(Self { size, start, stop }) } else { Err(TopicError::RingRange { size, start, stop }) }
    }

    /// Slots of the whole ring.
    pub fn size(self) -> u32 {
        self.size
    }

    /// The first slot.
    pub fn start(self) -> u32 {
        self.start
    }

    /// The first slot behind it.
    pub fn stop(self) -> u32 {
        self.stop
    }

    /// Whether a slot lies in it.
    pub fn contains(self, slot: u32) -> bool {
        (self.start..self.stop).contains(&slot)
    }
}

impl fmt::Display for RingRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ring:{}:range:{}-{}", self.size, self.start, self.stop)
    }
}
