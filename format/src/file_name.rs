//! The names of files in a partition directory: an exact grammar. A name that does not fit is not ours and is left alone.

use std::fmt::Write as _;

use crate::Offset;

/// Partition identity.
pub const META_NAME: &str = "META";
/// The two checkpoint slots.
pub const CHECKPOINT_NAME: &str = "CHECKPOINT";
/// Directory of bytes that were cut.
pub const QUARANTINE_NAME: &str = "quarantine";
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
    /// A segment.
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
    /// Reads a name; `None` if it is not one of ours, to the letter.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            META_NAME => return Some(Self::Meta),
            CHECKPOINT_NAME => return Some(Self::Checkpoint),
            QUARANTINE_NAME => return Some(Self::Quarantine),
            _ => {}
        }
        if let Some(stem) = name.strip_suffix(".tmp") {
            return match stem.strip_prefix("spare-") {
                Some(seq) => Some(Self::Spare(digits(seq, 10)?)),
                None => {
                    Self::parse(stem).filter(|inner| !matches!(inner, Self::Temporary | Self::Spare(_) | Self::Quarantine)).map(|_| Self::Temporary)
                }
            };
        }
        if let Some(number) = name.strip_prefix("recovery-").and_then(|rest| rest.strip_suffix(".json")) {
            return Some(Self::Report(digits(number, 20)?));
        }
        let (stem, extension) = name.split_once('.')?;
        let (base, seq) = stem.split_once('-')?;
        let id = SegmentId { base_offset: digits(base, 20)?, seq: digits(seq, 10)? };
        match extension {
            "log" => Some(Self::Log(id)),
            "idx" => Some(Self::Index(id)),
            _ => None,
        }
    }
}

/// The name of a spare segment.
impl SegmentId {
    /// `spare-{seq:010}.tmp`
    pub fn spare_name(seq: u64) -> String {
        format!("spare-{seq:010}.tmp")
    }
}

/// A number of at least `width` digits, zero-padded to it and no further, so that each number has one name.
fn digits(text: &str, width: usize) -> Option<u64> {
    let padded = text.len() == width || (text.len() > width && !text.starts_with('0'));
    (padded && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}
