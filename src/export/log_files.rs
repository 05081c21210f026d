//! The files of a Delta log: finds the newest checkpoint and the commits behind it, and writes checkpoints. Makes no commit, and removes nothing.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use crate::clock::now;
use crate::export::delta_action::{BriefAction, NotTaken, Snapshot};
use crate::export::delta_changes::Changes;
use crate::export::delta_checkpoint::{Depth, EncodedCheckpoint, decode};
use crate::export::delta_config::tombstone_ms;
use crate::export::delta_names::{CheckpointName, LogNames};
use crate::export::error::ExportError;
use crate::export::target::Target;

/// The directory of a log.
#[derive(Debug)]
pub(super) struct LogFiles {
    pub(super) target: Arc<dyn Target>,
    pub(super) path: PathBuf,
    /// The name of the one who writes.
    pub(super) writer: String,
}

/// The part of `_last_checkpoint` that is of use.
#[derive(Deserialize)]
struct LastCheckpoint {
    version: u64,
}

impl LogFiles {
    pub(super) fn commit_path(&self, version: u64) -> PathBuf {
        self.path.join(format!("{version:020}.json"))
    }

    /// Brings `snapshot` up to the last commit, and makes sure that it is the last: of a log that others clean up, commits go away in any order.
    pub(super) fn read(&self, snapshot: &mut Snapshot) -> Result<(), ExportError> {
        let Some(last) = snapshot.next_version.checked_sub(1) else { return self.read_anew(snapshot) };
        let names = self.names_from(last)?;
        if names.has_commit(last) && self.is_read_on(snapshot, &names)? { Ok(()) } else { self.read_anew(snapshot) }
    }

    /// Makes the commit that follows; `false` if another is there. Others may have cleaned up since the log was read: where no reader looks, it is
    /// taken back.
    ///
    /// # Errors
    /// [`ExportError::CleanedUp`] if it was taken back.
    pub(super) fn commit(&self, snapshot: &mut Snapshot, commit: &[u8]) -> Result<bool, ExportError> {
        let version = snapshot.next_version;
        let to = self.commit_path(version);
        if !self.target.create(&to, commit, &self.writer)? {
            return Ok(false);
        }
        let names = self.names_from(version.saturating_sub(1))?;
        let mut after = snapshot.clone();
        after.apply(commit).map_err(|reason| self.refused(reason))?;
        let follows = version.checked_sub(1).is_none_or(|before| names.has_commit(before));
        if !follows || names.has_checkpoint_from(version) {
            // Whoever was fast may have made that checkpoint of this commit too. What cannot be read here, others may read: then all stays.
            let mut seen = snapshot.anew();
            self.read_anew(&mut seen)?;
            if !after.files.difference(&snapshot.files).all(|path| seen.files.contains(path) || seen.removed.contains(path)) {
                self.target.remove(&to)?;
                return Err(ExportError::CleanedUp { path: to });
            }
            after = seen;
        }
        *snapshot = after;
        Ok(true)
    }

    /// Reads the commits that follow; whether the end is reached that the names prove. They were listed before: a commit that is cleaned up meanwhile
    /// is missed.
    fn is_read_on(&self, snapshot: &mut Snapshot, names: &LogNames) -> Result<bool, ExportError> {
        self.read_on(snapshot)?;
        Ok(names.newest().is_none_or(|newest| snapshot.next_version > newest))
    }

    fn read_on(&self, snapshot: &mut Snapshot) -> Result<(), ExportError> {
        loop {
            let path = self.commit_path(snapshot.next_version);
            let Some(bytes) = self.target.read(&path)? else { return Ok(()) };
            snapshot.apply(&bytes).map_err(|reason| ExportError::Table { path, reason })?;
        }
    }

    /// Reads the newest checkpoint that is whole, or none, and what is behind it.
    fn read_anew(&self, snapshot: &mut Snapshot) -> Result<(), ExportError> {
        // It only says from where on to look. If that is of no use, all names are looked at.
        if let Some(version) = self.hint()? {
            let names = self.names_from(version)?;
            if let Some(mut found) = self.checkpoint_of(&names, snapshot, &mut Vec::new())?
                && self.is_read_on(&mut found, &names)?
            {
                *snapshot = found;
                return Ok(());
            }
        }
        let (names, mut damaged) = (self.names_from(0)?, Vec::new());
        let mut found = self.checkpoint_of(&names, snapshot, &mut damaged)?.unwrap_or_else(|| snapshot.anew());
        if !self.is_read_on(&mut found, &names)? {
            return Err(self.refused(all_of(names.missing(found.next_version), damaged)));
        }
        *snapshot = found;
        Ok(())
    }

    /// The table as the newest checkpoint that can be read has it. Of others, `damaged` gets to know why not.
    fn checkpoint_of(&self, names: &LogNames, snapshot: &Snapshot, damaged: &mut Vec<String>) -> Result<Option<Snapshot>, ExportError> {
        for checkpoint in names.checkpoints() {
            let version = checkpoint.version;
            let parts = self.parts(checkpoint)?;
            let rows = |take: &mut dyn FnMut(BriefAction)| {
                parts?.into_iter().try_for_each(|part| {
                    decode(part, Depth::Brief, |action| {
                        take(action);
                        Ok(())
                    })
                })
            };
            match snapshot.of_checkpoint(version, rows) {
                Ok(found) => return Ok(Some(found)),
                Err(NotTaken::Damaged(reason)) => damaged.push(format!("the checkpoint of version {version} is damaged: {reason}")),
                Err(NotTaken::Refused(reason)) => return Err(self.refused(format!("its checkpoint of version {version}: {reason}"))),
            }
        }
        Ok(None)
    }

    /// Writes a checkpoint of what the table is at `snapshot`, and says where it is. What is before `snapshot` is read anew, down to the checkpoint
    /// before: nobody keeps all files of a table in memory.
    ///
    /// # Errors
    /// Why there is none. What was there before is as it was.
    pub(super) fn write_checkpoint(&self, snapshot: &Snapshot) -> Result<(), ExportError> {
        let Some(version) = snapshot.next_version.checked_sub(1) else { return Ok(()) };
        let kept_since_ms = snapshot.meta_data.as_ref().and_then(tombstone_ms).map(|kept| (now().get() / 1_000_000).saturating_sub(kept));
        let EncodedCheckpoint { bytes, action_count, add_count } = self.encoded(version, kept_since_ms)?;
        let path = CheckpointName::new(version).files().map(|name| self.path.join(name)).next().unwrap_or_default();
        self.target.replace(&path, &bytes, &self.writer)?;
        // Whoever was slower sends no reader back.
        if self.hint()?.is_some_and(|newer| newer > version) {
            return Ok(());
        }
        // Only once it is durable may anything say that it is there.
        let last = json!({ "version": version, "size": action_count, "sizeInBytes": bytes.len(), "numOfAddFiles": add_count });
        Ok(self.target.replace(&self.path.join(LAST_CHECKPOINT), last.to_string().as_bytes(), &self.writer)?)
    }

    /// Whether there is a checkpoint of `version` or a later one.
    pub(super) fn has_checkpoint_from(&self, version: u64) -> Result<bool, ExportError> {
        Ok(self.names_from(version)?.checkpoints().next().is_some())
    }

    /// The checkpoint of a version, from the newest one before it that can be read.
    fn encoded(&self, version: u64, kept_since_ms: Option<i64>) -> Result<EncodedCheckpoint, ExportError> {
        let names = self.names_from(0)?;
        let mut reasons = Vec::new();
        for before in names.checkpoints().filter(|checkpoint| checkpoint.version < version).map(Some).chain([None]) {
            let (from, parts) = match before {
                Some(before) => (before.version + 1, self.parts(before)?),
                None => (0, Ok(Vec::new())),
            };
            let changes = match self.changes(from, version) {
                // Behind the checkpoints before it, it is missed too.
                Err(ExportError::Table { path, reason }) => return Err(ExportError::Table { path, reason: all_of(reason, reasons) }),
                other => other?,
            };
            let encoded = parts.and_then(|parts| {
                let mut merge = changes.over(kept_since_ms)?;
                parts.into_iter().try_for_each(|part| merge.part_before(part))?;
                merge.finish()
            });
            match encoded {
                Ok(encoded) => return Ok(encoded),
                Err(reason) => reasons.push(before.map_or(reason.clone(), |before| format!("checkpoint of version {}: {reason}", before.version))),
            }
        }
        Err(self.refused(reasons.join("; ")))
    }

    /// What the commits `from..=to` change.
    fn changes(&self, from: u64, to: u64) -> Result<Changes, ExportError> {
        let mut changes = Changes::default();
        for version in from..=to {
            let path = self.commit_path(version);
            let bytes = self.target.read(&path)?.ok_or_else(|| self.refused(format!("commit {version} is missing")))?;
            changes.apply(&bytes).map_err(|reason| ExportError::Table { path, reason })?;
        }
        Ok(changes)
    }

    /// The parts of a checkpoint, or which of them has gone since it was listed.
    fn parts(&self, checkpoint: CheckpointName) -> Result<Result<Vec<Bytes>, String>, ExportError> {
        let read = (1..).zip(checkpoint.files()).map(|(number, name)| {
            let bytes = self.target.read(&self.path.join(name))?;
            Ok(bytes.map(Bytes::from).ok_or_else(|| format!("part {number} is missing")))
        });
        read.collect()
    }

    /// The version of a checkpoint, if something says so that can be read.
    fn hint(&self) -> Result<Option<u64>, ExportError> {
        let bytes = self.target.read(&self.path.join(LAST_CHECKPOINT))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice::<LastCheckpoint>(&bytes).ok()).map(|last| last.version))
    }

    /// The names from a version on; none where there is no log.
    fn names_from(&self, version: u64) -> Result<LogNames, ExportError> {
        let mut names = LogNames::default();
        let entries = match self.target.list_from(&self.path, &format!("{version:020}")) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(names),
            other => other?,
        };
        for entry in entries {
            entry.name.to_str().into_iter().for_each(|name| names.take(name));
        }
        Ok(names)
    }

    pub(super) fn refused(&self, reason: String) -> ExportError {
        ExportError::Table { path: self.path.clone(), reason }
    }
}

/// A reason and those that led to it.
fn all_of(reason: String, others: Vec<String>) -> String {
    [reason].into_iter().chain(others).collect::<Vec<_>>().join("; ")
}

/// Says which checkpoint was written last, or which was a while ago.
const LAST_CHECKPOINT: &str = "_last_checkpoint";
