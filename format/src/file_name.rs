//! The names of files in a partition directory: an exact grammar. A name that does not fit is not ours and is left alone.

use std::fmt::Write as _;

use crate::{NAME_BYTES_MAX, OFFSET_MAX, Offset, SEQ_MAX};

/// Partition identity.
pub const META_NAME: &str = "META";
/// The two checkpoint slots.
pub const CHECKPOINT_NAME: &str = "CHECKPOINT";
/// Directory of bytes that were cut.
pub const QUARANTINE_NAME: &str = "quarantine";
/// The catalogue of a topic, in the topic's directory.
pub const TOPIC_NAME: &str = "TOPIC";
/// What stands in for the catalogue of a topic when that is damaged.
pub const TOPIC_COPY_NAME: &str = "TOPIC.copy";
/// Store identity.
pub const STORE_NAME: &str = "STORE";
/// Text for people about who holds the store's lock.
pub const LOCK_NAME: &str = "LOCK";
/// The page that a writer shares with readers in other processes.
pub const LIVE_NAME: &str = "LIVE";

/// What identifies a segment: base offset and sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// Offset of the first record.
    pub base_offset: u64,
    /// Sequence number, unique in the partition.
    pub seq: u64,
}

impl SegmentId {
    /// `{base:020}-{seq:010}.log`
    pub fn log_name(self) -> String {
        self.name("log")
    }

    /// `{base:020}-{seq:010}.idx`
    pub fn index_name(self) -> String {
        self.name("idx")
    }

    /// `spare-{seq:010}.tmp`
    pub fn spare_name(seq: u64) -> String {
        format!("spare-{seq:010}.tmp")
    }

    /// The base offset as the type that it is.
    pub fn base(self) -> Offset {
        Offset::new(self.base_offset)
    }

    fn name(self, extension: &str) -> String {
        let mut name = String::with_capacity(36);
        let _ = write!(name, "{:020}-{:010}.{extension}", self.base_offset, self.seq); // writing to a String cannot fail
        name
    }
}

/// What a name says about its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileName {
    /// `META`
    Meta,
    /// `CHECKPOINT`
    Checkpoint,
    /// A segment. Its base offset is at most [`OFFSET_MAX`](crate::OFFSET_MAX), its `seq` 1..=[`SEQ_MAX`].
    Log(SegmentId),
    /// The index of a segment.
    Index(SegmentId),
    /// `spare-{seq:010}.tmp`: a segment not yet named. Unlinked at the next open.
    Spare(u64),
    /// `{anything of ours}.tmp`: a file not yet named. Unlinked at the next open.
    Temporary,
    /// `recovery-{number:020}.json`
    Report(u64),
    /// `quarantine`
    Quarantine,
}

impl FileName {
    /// `recovery-{number:020}.json`
    pub fn report_name(number: u64) -> String {
        format!("recovery-{number:020}.json")
    }

    /// Reads a name; `None` if it is not one of ours, to the letter.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            META_NAME => return Some(Self::Meta),
            CHECKPOINT_NAME => return Some(Self::Checkpoint),
            QUARANTINE_NAME => return Some(Self::Quarantine),
            _ => {}
        }
        match name.strip_suffix(".tmp") {
            Some(stem) => Self::parse_temporary(stem),
            None => Self::parse_numbered(name),
        }
    }

    fn parse_temporary(stem: &str) -> Option<Self> {
        if let Some(seq) = stem.strip_prefix("spare-") {
            return Some(Self::Spare(seq_of(seq)?));
        }
        let named = matches!(stem, META_NAME | CHECKPOINT_NAME) || Self::parse_numbered(stem).is_some();
        named.then_some(Self::Temporary)
    }

    fn parse_numbered(name: &str) -> Option<Self> {
        if let Some(number) = name.strip_prefix("recovery-").and_then(|rest| rest.strip_suffix(".json")) {
            return Some(Self::Report(digits(number, 20).filter(|&number| number <= SEQ_MAX)?));
        }
        let (stem, extension) = name.split_once('.')?;
        let (base, seq) = stem.split_once('-')?;
        let id = SegmentId { base_offset: digits(base, 20).filter(|&base| base <= OFFSET_MAX)?, seq: seq_of(seq)? };
        match extension {
            "log" => Some(Self::Log(id)),
            "idx" => Some(Self::Index(id)),
            _ => None,
        }
    }
}

/// Whether a topic or a namespace may have this name, which is also the name of its directory: Kafka's rule.
///
/// ```
/// use tidelog_format::is_name;
///
/// assert!(is_name("orders.v2_eu-west"));
/// assert!(!is_name("") && !is_name("..") && !is_name("a/b") && !is_name("caf\u{e9}") && !is_name(&"x".repeat(250)));
/// ```
pub fn is_name(name: &str) -> bool {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name != "." && name != "..";
    fits && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// The first number ever given is 1.
fn seq_of(text: &str) -> Option<u64> {
    digits(text, 10).filter(|seq| (1..=SEQ_MAX).contains(seq))
}

/// A number of at least `width` digits, zero-padded to it and no further, so that each number has one name.
fn digits(text: &str, width: usize) -> Option<u64> {
    let padded = text.len() >= width && (text.len() == width || !text.starts_with('0'));
    (padded && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}
