//! What a consumer group is doing. Moves no group from one state to the next.

use std::fmt;

/// The state of a consumer group, by Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupState {
    /// It has no members. Its positions are there, until they expire.
    Empty,
    /// Its members are asked to join again.
    PreparingRebalance,
    /// All have joined, and wait for what the leader assigns.
    CompletingRebalance,
    /// Each member has its assignment.
    Stable,
    /// It was deleted, or belongs to another coordinator.
    Dead,
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        })
    }
}
