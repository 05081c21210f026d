//! The Delta log of a topic in an export: which files are part of it, and how far each partition is. One commit makes both true at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tidelog_format::{LeaderEpoch, Offset};

use crate::clock::now;
use crate::export::delta_action::{Action, Add, Format, MetaData, Protocol, Remove, Snapshot, Txn, encode};
use crate::export::delta_config::{checkpoint_interval, has_plain_checkpoints};
use crate::export::error::ExportError;
use crate::export::footer::{Contents, Source, gaps_as_json};
use crate::export::log_files::LogFiles;
use crate::export::report::CheckpointFailure;
use crate::export::schema::delta_schema;
use crate::export::target::Target;
use crate::export::typed_column::TypedColumns;

/// The log of one table, as one of those who commit to it sees it.
#[derive(Debug)]
pub(super) struct DeltaLog {
    log_files: LogFiles,
    topic: String,
    /// Whose commits these are.
    app_id: String,
    partition: u32,
    /// Identity of the partition.
    uuid: String,
    /// The columns that the files of this partition have from now on.
    declared: TypedColumns,
    /// Whether the log's own name is known to be durable.
    is_named: bool,
    snapshot: Snapshot,
    /// Of this version or a later one there is a checkpoint.
    checkpoint_from: u64,
    /// Before this version no other is tried: one has failed.
    checkpoint_retry_from: u64,
}

/// A file to be made part of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewFile<'a> {
    /// In the partition's directory.
    pub(super) name: &'a str,
    pub(super) bytes: u64,
    pub(super) contents: &'a Contents,
}

/// A file that another is to take the place of.
#[derive(Debug, Clone)]
pub(super) struct OldFile {
    /// In the partition's directory.
    pub(super) name: String,
    pub(super) bytes: u64,
}

impl DeltaLog {
    /// The log of the table at `table`, of which nothing is known yet.
    pub(super) fn new(target: Arc<dyn Target>, table: &Path, source: &Source) -> Self {
        let log_files = LogFiles { target, path: table.join(DIRECTORY), writer: format!("partition-{}", source.partition) };
        let app_id = format!("tidelog:{}/{}", source.topic, source.partition);
        let (topic, partition, uuid) = (source.topic.clone(), source.partition, source.uuid.clone());
        let snapshot = Snapshot::new(format!("{PARTITION}={partition}/"), app_id.clone());
        Self {
            log_files,
            topic,
            app_id,
            partition,
            uuid,
            declared: TypedColumns::default(),
            is_named: false,
            snapshot,
            checkpoint_from: 0,
            checkpoint_retry_from: 0,
        }
    }

    /// The files that are part of the table at `table`, by their paths in it; `None` where there is no commit. Changes nothing.
    pub(super) fn files_of_all(target: Arc<dyn Target>, table: &Path) -> Result<Option<BTreeSet<String>>, ExportError> {
        let mut log = Self::new(target, table, &Source { topic: String::new(), partition: 0, uuid: String::new() });
        log.snapshot = Snapshot::new(String::new(), log.app_id.clone());
        log.log_files.read(&mut log.snapshot)?;
        Ok((log.snapshot.next_version > 0).then_some(log.snapshot.files))
    }

    /// Reads what is new in it, or all of it, and checks that it can be continued.
    pub(super) fn read(&mut self) -> Result<(), ExportError> {
        self.log_files.read(&mut self.snapshot)?;
        if self.snapshot.next_version == 0 {
            return Ok(());
        }
        self.declared = self.columns()?;
        self.check_uuid()?;
        if !self.snapshot.txns.contains_key(&self.app_id) && !self.snapshot.files.is_empty() {
            return Err(self.refused(format!("it names files of the partition, and does not say how far {} is", self.app_id)));
        }
        if let Some(meta_data) = &self.snapshot.meta_data
            && (meta_data.partition_columns != [PARTITION] || meta_data.schema().is_none_or(|schema| schema != delta_schema(&self.declared)))
        {
            return Err(self.refused("its columns are not those of this export".to_owned()));
        }
        // The process that made the last commits may have been killed before they were durable.
        Ok(self.log_files.target.settle(&self.log_files.path)?)
    }

    /// Refuses the exported offsets of another partition, whatever became of their files.
    fn check_uuid(&self) -> Result<(), ExportError> {
        let prefix = format!("{}{UUID}", self.app_id);
        match self.snapshot.txns.keys().filter_map(|app_id| app_id.strip_prefix(&prefix)).find(|found| *found != self.uuid) {
            Some(found) => {
                Err(ExportError::OtherPartition { path: self.log_files.path.clone(), expected: self.uuid.clone(), found: found.to_owned() })
            }
            None => Ok(()),
        }
    }

    /// Term of the last row that is exported.
    pub(super) fn last_epoch(&self) -> Option<LeaderEpoch> {
        let version = self.snapshot.txns.get(&format!("{}{EPOCH}", self.app_id))?;
        u32::try_from(*version).ok().map(LeaderEpoch::new)
    }

    /// The columns that the table declares beside those of every export.
    fn columns(&self) -> Result<TypedColumns, ExportError> {
        let stored = self.snapshot.meta_data.as_ref().and_then(|meta_data| meta_data.configuration.get(COLUMNS)?.as_deref());
        stored.map_or_else(|| Ok(TypedColumns::default()), |json| TypedColumns::from_json(json).map_err(|reason| self.refused(reason)))
    }

    /// Takes over what others have committed; whether the table has columns that files from now on must have too.
    pub(super) fn catch_up(&mut self) -> Result<bool, ExportError> {
        self.log_files.read(&mut self.snapshot)?;
        let there = self.columns()?;
        let has_more = there.refuses(&self.declared).is_some() && self.declared.refuses(&there).is_none();
        if has_more {
            self.declared = there;
        }
        Ok(has_more)
    }

    /// Goes on with other columns, of which the table's are a part.
    pub(super) fn declare(&mut self, columns: &TypedColumns) -> Result<(), ExportError> {
        if self.snapshot.meta_data.is_some()
            && let Some(reason) = self.columns()?.refuses(columns)
        {
            return Err(ExportError::Columns { path: self.log_files.path.clone(), reason });
        }
        self.declared = columns.clone();
        Ok(())
    }

    pub(super) fn declared(&self) -> &TypedColumns {
        &self.declared
    }

    /// The offset that this partition is exported up to.
    pub(super) fn watermark(&self) -> Result<Option<Offset>, ExportError> {
        let Some(&version) = self.snapshot.txns.get(&self.app_id) else { return Ok(None) };
        let offset = u64::try_from(version).map_err(|_| self.refused(format!("it says that offset {version} is next")))?;
        Ok(Some(Offset::new(offset)))
    }

    /// What is part of the table of this partition, by name in its directory.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        let prefix = self.path_in_table("");
        self.snapshot.files.iter().filter_map(move |path| path.strip_prefix(&prefix))
    }

    /// Whether a file is part of the table.
    pub(super) fn has(&self, name: &str) -> bool {
        self.snapshot.files.contains(&self.path_in_table(name))
    }

    /// Whether a file is part of the table, or was.
    pub(super) fn had(&self, name: &str) -> bool {
        self.has(name) || self.was_removed(name)
    }

    /// Whether the partition is exported up to `last` and with it.
    pub(super) fn is_exported(&self, last: u64) -> bool {
        let watermark = self.snapshot.txns.get(&self.app_id).and_then(|version| u64::try_from(*version).ok());
        watermark.is_some_and(|watermark| last < watermark)
    }

    /// Whether a file that ends with `last` may have been part of the table, though nothing says so any more: its rows are in others.
    pub(super) fn may_have_removed(&self, last: u64) -> bool {
        self.snapshot.checkpoint.is_some() && self.is_exported(last)
    }

    /// Whether a file was part of the table and is no more.
    pub(super) fn was_removed(&self, name: &str) -> bool {
        self.snapshot.removed.contains(&self.path_in_table(name))
    }

    /// Makes a file part of the table, and its end the watermark.
    ///
    /// # Errors
    /// [`ExportError::Fenced`] if another process moved the watermark meanwhile, or some of the file is exported already;
    /// [`ExportError::CleanedUp`] if the commit came where no reader looks.
    pub(super) fn commit(&mut self, file: NewFile<'_>) -> Result<(), ExportError> {
        let before = self.watermark()?;
        if before.is_some_and(|watermark| watermark.get() > file.contents.extent.first) {
            return Err(self.fenced()?);
        }
        if !self.is_named {
            self.log_files.target.make_directory(&self.log_files.path)?;
            self.is_named = true;
        }
        loop {
            let commit = encode(&self.actions(file)?);
            if self.log_files.commit(&mut self.snapshot, &commit)? {
                return Ok(());
            }
            // Somebody else's commit; it need not be about this partition.
            self.log_files.read(&mut self.snapshot)?;
            if self.watermark()? != before {
                return Err(self.fenced()?);
            }
        }
    }

    /// Makes a file part of the table in the place of others, which have the same rows. The watermark stays where it is.
    ///
    /// # Errors
    /// [`ExportError::Fenced`] if another process has taken one of the others out of the table meanwhile; [`ExportError::CleanedUp`] if the commit
    /// came where no reader looks.
    pub(super) fn replace(&mut self, old: &[OldFile], file: NewFile<'_>) -> Result<(), ExportError> {
        loop {
            if old.iter().any(|old| !self.has(&old.name)) {
                return Err(self.fenced()?);
            }
            let commit = encode(&self.replacing_actions(old, file));
            if self.log_files.commit(&mut self.snapshot, &commit)? {
                return Ok(());
            }
            self.log_files.read(&mut self.snapshot)?;
        }
    }

    /// That another process was first.
    pub(super) fn fenced(&self) -> Result<ExportError, ExportError> {
        Ok(ExportError::Fenced { path: self.log_files.path.clone(), watermark: self.watermark()?.unwrap_or(Offset::ZERO) })
    }

    fn replacing_actions(&self, old: &[OldFile], file: NewFile<'_>) -> Vec<Action> {
        let now = now().get() / 1_000_000;
        let removed_bytes: u64 = old.iter().map(|old| old.bytes).sum();
        let info = json!({
            "timestamp": now,
            "operation": "OPTIMIZE",
            "operationParameters": { "predicate": format!("[\"{PARTITION} = {}\"]", self.partition) },
            "operationMetrics": {
                "numAddedFiles": "1", "numAddedBytes": file.bytes.to_string(),
                "numRemovedFiles": old.len().to_string(), "numRemovedBytes": removed_bytes.to_string(),
            },
            "isBlindAppend": false,
            "engineInfo": concat!("tidelog/", env!("CARGO_PKG_VERSION")),
        });
        let remove = |old: &OldFile| {
            let remove = Remove {
                path: self.path_in_table(&old.name),
                deletion_timestamp: Some(now),
                data_change: false,
                extended_file_metadata: Some(true),
                partition_values: Some(self.partition_values()),
                size: Some(old.bytes.cast_signed()),
            };
            Action { remove: Some(remove), ..Action::default() }
        };
        let add = Add { data_change: false, ..self.add(file, now) };
        let info = Action { commit_info: Some(info), ..Action::default() };
        [info].into_iter().chain(old.iter().map(remove)).chain([Action { add: Some(add), ..Action::default() }]).collect()
    }

    fn partition_values(&self) -> BTreeMap<String, Option<String>> {
        BTreeMap::from([(PARTITION.to_owned(), Some(self.partition.to_string()))])
    }

    fn add(&self, file: NewFile<'_>, now: i64) -> Add {
        // No least and largest values: deltalake 1.6 leaves out all files in which some column has none of its own, whatever is looked for. What a
        // range does not need, readers leave out by the statistics in the files.
        let stats = json!({ "numRecords": file.contents.extent.rows });
        let gaps = &file.contents.gaps;
        let tags = (!gaps.is_empty()).then(|| BTreeMap::from([(GAPS_TAG.to_owned(), Some(gaps_as_json(gaps)))]));
        Add {
            path: self.path_in_table(file.name),
            partition_values: self.partition_values(),
            size: file.bytes.cast_signed(),
            modification_time: now,
            data_change: true,
            stats: Some(stats.to_string()),
            tags,
        }
    }

    /// Writes a checkpoint, if the last commit is one behind which there is to be one, or if there is none behind the last such commit. A failure
    /// leaves the commit as it is, and the next attempt to one a tenth of the interval later: each reads all since the checkpoint before.
    pub(super) fn write_checkpoint_if_due(&mut self) -> Option<CheckpointFailure> {
        let (meta_data, version) = (self.snapshot.meta_data.as_ref()?, self.snapshot.next_version.checked_sub(1)?);
        let interval = checkpoint_interval(meta_data);
        let due = version - version % interval;
        // Others who commit at the same time leave it to whoever made the commit that it is for, and look later whether it is there.
        let pause = interval.div_ceil(10);
        let is_later = version > due && version - due >= pause;
        if due == 0
            || version < self.checkpoint_retry_from
            || self.checkpoint_from >= due
            || !has_plain_checkpoints(meta_data)
            || !(version == due || is_later)
        {
            return None;
        }
        let is_there = if version == due { Ok(false) } else { self.log_files.has_checkpoint_from(due) };
        let written = is_there.and_then(|is_there| if is_there { Ok(()) } else { self.log_files.write_checkpoint(&self.snapshot) });
        match written {
            Ok(()) => self.checkpoint_from = due,
            Err(error) => {
                self.checkpoint_retry_from = version.saturating_add(pause);
                return Some(CheckpointFailure { version, reason: error.to_string() });
            }
        }
        None
    }

    fn actions(&self, file: NewFile<'_>) -> Result<Vec<Action>, ExportError> {
        let now = now().get() / 1_000_000;
        let extent = &file.contents.extent;
        let next_offset = extent.last + 1;
        let info = json!({
            "timestamp": now,
            "operation": "STREAMING UPDATE",
            "operationParameters": { "outputMode": "Append", "queryId": self.app_id, "epochId": next_offset.to_string() },
            "operationMetrics": { "numAddedFiles": "1", "numOutputRows": extent.rows.to_string(), "numOutputBytes": file.bytes.to_string() },
            "isBlindAppend": true,
            "engineInfo": concat!("tidelog/", env!("CARGO_PKG_VERSION")),
        });
        let add = self.add(file, now);
        let txn = |suffix: String, version| {
            let txn = Txn { app_id: format!("{}{suffix}", self.app_id), version, last_updated: Some(now) };
            Action { txn: Some(txn), ..Action::default() }
        };
        let mut actions = vec![Action { commit_info: Some(info), ..Action::default() }];
        if self.snapshot.meta_data.is_none() {
            actions.push(Action { protocol: Some(Protocol::OURS), ..Action::default() });
        }
        if let Some(meta_data) = self.new_meta_data(now)? {
            actions.push(Action { meta_data: Some(meta_data), ..Action::default() });
        }
        actions.push(Action { add: Some(add), ..Action::default() });
        // Whoever puts files together keeps nothing that is said of them.
        actions.push(txn(String::new(), next_offset.cast_signed()));
        actions.push(txn(format!("{UUID}{}", self.uuid), next_offset.cast_signed()));
        actions.push(txn(EPOCH.to_owned(), file.contents.leader_epoch.get().into()));
        Ok(actions)
    }

    /// What the table is from now on, if it is not that already. Others may have declared columns since this log was opened.
    fn new_meta_data(&self, now: i64) -> Result<Option<MetaData>, ExportError> {
        let Some(meta_data) = &self.snapshot.meta_data else { return Ok(Some(self.first_meta_data(now))) };
        let there = self.columns()?;
        let reason = match (self.declared.refuses(&there), there.refuses(&self.declared)) {
            (None, None) => return Ok(None),
            (Some(_), None) => None,
            // The file would be without theirs for good.
            (None, Some(_)) => Some("another process has declared more of them meanwhile; declare those too, or none".to_owned()),
            (Some(_), refused) => refused,
        };
        if let Some(reason) = reason {
            return Err(ExportError::Columns { path: self.log_files.path.clone(), reason });
        }
        let mut meta_data = meta_data.clone();
        meta_data.schema_string = delta_schema(&self.declared).to_string();
        meta_data.configuration.insert(COLUMNS.to_owned(), Some(self.declared.to_json()));
        Ok(Some(meta_data))
    }

    fn first_meta_data(&self, created_time: i64) -> MetaData {
        let (high, low) = (self.log_files.target.random(), self.log_files.target.random());
        // A random UUID of RFC 9562: version 4, variant 10.
        let (version, variant) = (0x4000 | high & 0xfff, 0x8000 | low >> 48 & 0x3fff);
        let id = format!("{:08x}-{:04x}-{version:04x}-{variant:04x}-{:012x}", high >> 32, high >> 16 & 0xffff, low & 0xffff_ffff_ffff);
        let declared = (!self.declared.is_empty()).then(|| (COLUMNS.to_owned(), Some(self.declared.to_json())));
        MetaData {
            id,
            name: Some(self.topic.clone()),
            format: Format { provider: "parquet".to_owned(), options: BTreeMap::new() },
            schema_string: delta_schema(&self.declared).to_string(),
            partition_columns: vec![PARTITION.to_owned()],
            configuration: declared.into_iter().collect(),
            created_time: Some(created_time),
            rest: BTreeMap::new(),
        }
    }

    /// Removes what a process that was killed has left. The partition's directory is locked.
    pub(super) fn remove_leftover(&self) -> Result<(), ExportError> {
        Ok(self.log_files.target.remove_leftover(&self.log_files.path, &self.log_files.writer)?)
    }

    fn path_in_table(&self, name: &str) -> String {
        format!("{PARTITION}={}/{name}", self.partition)
    }

    fn refused(&self, reason: String) -> ExportError {
        self.log_files.refused(reason)
    }
}

/// What is in no file though it lies between the last row of the file before and the last row of this one; in the file's metadata as well.
const GAPS_TAG: &str = "tidelog.gaps";
/// The declared columns: names, paths and types.
const COLUMNS: &str = "tidelog.columns";
const DIRECTORY: &str = "_delta_log";
/// Behind the partition's application: its identity, and the term of its last row.
const UUID: &str = "#uuid=";
const EPOCH: &str = "#last_leader_epoch";
const PARTITION: &str = "partition";
