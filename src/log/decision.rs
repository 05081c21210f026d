//! What recovery does about each thing it may find: the decision table, as one match. Finds nothing itself.

/// What was found while opening a partition. The numbers in the docs are the rows of the table in `format/SPEC.md`, "Recovery".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Found {
    /// 1: all zero to the allocated end.
    ZerosToEnd,
    /// 2, 3: a torn or garbage frame, nothing valid behind it.
    BadFrameThenNothing,
    /// 4, 5: a bad frame with valid frames behind it.
    BadFrameThenValid,
    /// 6: a bad frame, found by a read.
    BadFrameOnRead,
    /// 7: padding that is not zero.
    NonZeroPad,
    /// 8: a frame written after other frames than those before it.
    ChainMismatch,
    /// 9, 11, 22: a segment missing, empty, without a header, or a broken link between two.
    SegmentMissing,
    /// 10: the first segment begins above the log start; before the durable point if a checkpoint says that more was there.
    HeadMissing,
    /// 10: a segment wholly below the log start.
    BelowLogStart,
    /// 12: the log ends before what the checkpoint says was durable.
    EndsBeforeCheckpoint,
    /// 13: a checkpoint older than the log.
    CheckpointOld,
    /// 14: one of two checkpoint slots is unreadable.
    SlotUnreadable,
    /// 15: both slots unreadable.
    CheckpointUnreadable,
    /// 16: no CHECKPOINT file.
    CheckpointAbsent,
    /// 17: a checkpoint of another partition.
    CheckpointForeign,
    /// 18, 19: an index bad, missing, stale or orphaned.
    IndexUnusable,
    /// 20: a file whose name and header disagree, or of another partition.
    StrayFile,
    /// 21: the newest segment has no header; before the durable point if the checkpoint names it.
    HeaderlessTail,
    /// 23: a header without frames.
    HeaderOnly,
    /// 24: a segment without a seal that is not the last.
    UnsealedRunsToNext,
    /// 25: a newer version or unknown feature under a valid checksum.
    Unsupported,
    /// 27: the file system failed.
    IoFailed,
    /// 29: another writer holds the store.
    LockHeld,
    /// 30: something else than a regular file under one of our names.
    NotRegular,
    /// 31: bytes past the capacity or past the seal.
    TooLong,
    /// 32: a segment header is bad, but a stored salt verifies the first frame.
    HeaderBadSaltKnown,
    /// 33: META unreadable or absent.
    MetaUnreadable,
    /// 34: live ranges overlap.
    Overlap,
    /// 35: a gap that a header declares.
    DeclaredGap,
    /// A file that was not named yet when the process ended.
    Unfinished,
}

impl Found {
    /// Whether a log ends here because the process or the machine did: what was not yet durable may be torn.
    pub fn is_torn_end(self) -> bool {
        use Found::*;
        matches!(self, ZerosToEnd | BadFrameThenNothing | BadFrameThenValid | NonZeroPad | ChainMismatch | SegmentMissing | HeaderlessTail)
    }

    /// Whether an open leaves it as it found it.
    pub(crate) fn stays(self) -> bool {
        matches!(self, Self::HeaderBadSaltKnown | Self::TooLong | Self::NotRegular | Self::HeadMissing)
    }

    /// What there is to say of a file of which no more is known.
    pub(crate) fn of_a_file(self) -> &'static str {
        match self {
            Self::SlotUnreadable => "one of its two slots is unreadable; the other is used",
            Self::CheckpointUnreadable => "unreadable; all segments were scanned instead",
            Self::CheckpointAbsent => "absent; all segments were scanned instead",
            Self::CheckpointForeign => "of another partition; all segments were scanned instead",
            Self::StrayFile => "of another partition or by another name; it is ignored",
            Self::NotRegular => "not a regular file",
            Self::TooLong => "longer than its capacity; the excess is ignored",
            Self::HeaderBadSaltKnown => "its header is damaged; its records are there",
            Self::MetaUnreadable => "unreadable, absent or of another partition; it is rebuilt",
            _ => "of no use",
        }
    }
}

/// What is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing to say: an ordinary crash leaves this.
    Silent,
    /// Put right, reported and counted.
    Repair,
    /// Durable data is damaged: isolated or refused, as the opener chose.
    Damage,
    /// The open is refused with a typed error.
    Refuse,
}

/// The decision table: `before_durable` says whether it was found before the durable point.
pub(crate) fn decide(found: Found, before_durable: bool) -> Verdict {
    use Found::*;
    use Verdict::*;
    match (found, before_durable) {
        (ZerosToEnd, true) => Damage,
        (ZerosToEnd, false) => Silent,
        (BadFrameThenNothing | BadFrameThenValid | NonZeroPad | ChainMismatch, true) => Damage,
        (BadFrameThenNothing | BadFrameThenValid | NonZeroPad | ChainMismatch, false) => Repair,
        (BadFrameOnRead, _) => Damage,
        (SegmentMissing, true) => Damage,
        (SegmentMissing, false) => Repair,
        (HeadMissing, true) => Damage,
        (HeadMissing, false) => Repair,
        (BelowLogStart, _) => Silent,
        (EndsBeforeCheckpoint, _) => Damage,
        (CheckpointOld, _) => Silent,
        (SlotUnreadable | CheckpointUnreadable | CheckpointAbsent | CheckpointForeign, _) => Repair,
        (IndexUnusable, _) => Silent,
        (StrayFile, _) => Repair,
        (HeaderlessTail, true) => Damage,
        (HeaderlessTail, false) => Silent,
        (HeaderOnly, _) => Silent,
        (UnsealedRunsToNext, _) => Silent,
        (Unsupported | IoFailed | LockHeld, _) => Refuse,
        (NotRegular | TooLong | HeaderBadSaltKnown | MetaUnreadable, _) => Repair,
        (Overlap | DeclaredGap | Unfinished, _) => Silent,
    }
}
