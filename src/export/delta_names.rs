//! What the names in a `_delta_log` say: which commits are there, and which checkpoints with all of their parts. Opens no file.

use std::collections::{BTreeMap, BTreeSet};

/// The names of a log.
#[derive(Debug, Default)]
pub(super) struct LogNames {
    commits: BTreeSet<u64>,
    /// The parts that are there, by version and how many there should be; of a checkpoint in one file, part 1 of 1.
    checkpoints: BTreeMap<(u64, u32), BTreeSet<u32>>,
    /// The last name of a checkpoint of a kind that this program does not read.
    other: Option<String>,
    newest: Option<u64>,
}

/// A checkpoint, by its version and how many parts it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CheckpointName {
    pub(super) version: u64,
    parts: u32,
}

impl CheckpointName {
    /// The checkpoint of a version in one file, which is what is written.
    pub(super) fn new(version: u64) -> Self {
        Self { version, parts: 1 }
    }

    /// The names of its files.
    pub(super) fn files(self) -> impl Iterator<Item = String> {
        let Self { version, parts } = self;
        (1..=parts).map(move |part| match parts {
            1 => format!("{version:020}{CHECKPOINT}.parquet"),
            _ => format!("{version:020}{CHECKPOINT}.{part:010}.{parts:010}.parquet"),
        })
    }
}

impl LogNames {
    /// Takes a name into account.
    pub(super) fn take(&mut self, name: &str) {
        let Some((version, rest)) = name.split_at_checked(20).and_then(|(digits, rest)| Some((number::<u64>(digits)?, rest))) else { return };
        if rest == ".json" {
            self.commits.insert(version);
            self.newest = self.newest.max(Some(version));
            return;
        }
        let Some(rest) = rest.strip_prefix(CHECKPOINT) else { return };
        self.newest = self.newest.max(Some(version));
        let parts = match rest.strip_suffix(".parquet") {
            Some("") => Some((1, 1)),
            Some(numbers) => numbers.strip_prefix('.').and_then(|numbers| numbers.split_once('.')).and_then(|(part, parts)| {
                let is_padded = part.len() == 10 && parts.len() == 10;
                Some((number::<u32>(part)?, number::<u32>(parts)?)).filter(|(part, parts)| is_padded && (1..=*parts).contains(part) && *parts > 1)
            }),
            None => None,
        };
        match parts {
            Some((part, parts)) => {
                self.checkpoints.entry((version, parts)).or_default().insert(part);
            }
            None => self.other = Some(name.to_owned()),
        }
    }

    /// The checkpoints of which all parts are there, the newest first.
    pub(super) fn checkpoints(&self) -> impl Iterator<Item = CheckpointName> {
        let complete = self.checkpoints.iter().rev().filter(|((_, parts), there)| there.len() as u64 == u64::from(*parts));
        complete.map(|(&(version, parts), _)| CheckpointName { version, parts })
    }

    pub(super) fn has_commit(&self, version: u64) -> bool {
        self.commits.contains(&version)
    }

    /// Whether there is a checkpoint of `version` or a later one, of whatever kind.
    pub(super) fn has_checkpoint_from(&self, version: u64) -> bool {
        self.other.is_some() || self.checkpoints().any(|checkpoint| checkpoint.version >= version)
    }

    /// The last version that the table has had: that of a commit, or of a checkpoint, complete or not.
    pub(super) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// Why a log whose names these are cannot be read from `version` on, although a later one has a name.
    pub(super) fn missing(&self, version: u64) -> String {
        let part = self.checkpoints.range((version, 0)..).rev().find_map(|((version, parts), there)| {
            let part = (1..=*parts).find(|part| !there.contains(part))?;
            Some(format!("part {part} of {parts} of the checkpoint of version {version} is missing"))
        });
        let other = self
            .other
            .as_ref()
            .map(|name| format!("{name} is of the table feature v2Checkpoint, which needs reader version 3 of the protocol; this build knows 1"));
        let why: String = part.into_iter().chain(other).map(|why| format!("; {why}")).collect();
        format!("commit {version} is missing, and no complete checkpoint is behind it{why}")
    }
}

fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

const CHECKPOINT: &str = ".checkpoint";

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> LogNames {
        let mut log = LogNames::default();
        names.iter().for_each(|name| log.take(name));
        log
    }

    #[test]
    fn a_checkpoint_counts_when_all_of_its_parts_are_there() {
        let log = names(&[
            "00000000000000000010.checkpoint.parquet",
            "00000000000000000020.checkpoint.0000000001.0000000002.parquet",
            "00000000000000000020.checkpoint.0000000002.0000000003.parquet",
            "00000000000000000015.checkpoint.0000000002.0000000002.parquet",
            "00000000000000000015.checkpoint.0000000001.0000000002.parquet",
            "00000000000000000030.checkpoint.0000000004.0000000003.parquet",
            "00000000000000000030.checkpoint.1.2.parquet",
            "00000000000000000030.checkpoint.parquet.tmp",
            "0000000000000000030.checkpoint.parquet",
            "+0000000000000000030.checkpoint.parquet",
            "_last_checkpoint",
        ]);
        let found: Vec<CheckpointName> = log.checkpoints().collect();
        assert_eq!(found, [CheckpointName { version: 15, parts: 2 }, CheckpointName { version: 10, parts: 1 }]);
        assert_eq!(found[1].files().collect::<Vec<_>>(), ["00000000000000000010.checkpoint.parquet"]);
        assert_eq!((log.has_checkpoint_from(10), names(&["00000000000000000010.checkpoint.parquet"]).has_checkpoint_from(11)), (true, false));
        assert_eq!(found[0].files().nth(1).unwrap(), "00000000000000000015.checkpoint.0000000002.0000000002.parquet");
    }

    #[test]
    fn what_is_missing_is_named() {
        let log = names(&["00000000000000000000.json", "00000000000000000002.json", "00000000000000000003.crc", "_last_checkpoint"]);
        assert_eq!((log.newest(), log.has_commit(0), log.has_commit(1)), (Some(2), true, false));
        assert_eq!(log.missing(1), "commit 1 is missing, and no complete checkpoint is behind it");
        assert_eq!(names(&[]).newest(), None);
        let half = names(&["00000000000000000005.json", "00000000000000000006.checkpoint.0000000001.0000000002.parquet"]);
        assert_eq!(half.newest(), Some(6));
        let reason = half.missing(0);
        assert!(reason.contains("commit 0 is missing") && reason.contains("part 2 of 2 of the checkpoint of version 6 is missing"), "{reason}");
        assert!(!half.missing(7).contains("part"), "what is before it is no reason");
        let other = names(&["00000000000000000006.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json"]);
        assert_eq!(other.newest(), Some(6));
        let reason = other.missing(0);
        assert!(reason.contains("commit 0 is missing") && reason.contains("needs reader version 3"), "{reason}");
    }
}
