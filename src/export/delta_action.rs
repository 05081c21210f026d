//! What a Delta log says: the actions of its commits, and what they add up to. Reads and writes no file.
//!
//! The names and the meaning are those of the Delta transaction log protocol (PROTOCOL.md of delta-io/delta), reader version 1, writer
//! version 2.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of a commit; one of the fields is there. Actions that are not known change nothing that is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Action {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) commit_info: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) protocol: Option<Protocol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) meta_data: Option<MetaData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) add: Option<Add>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remove: Option<Remove>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) txn: Option<Txn>,
}

/// The same, where files are of no interest but for their paths.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BriefAction {
    protocol: Option<Protocol>,
    meta_data: Option<MetaData>,
    add: Option<NamedFile>,
    remove: Option<NamedFile>,
    txn: Option<Txn>,
}

/// A file of which nothing else matters.
#[derive(Debug, Deserialize)]
struct NamedFile {
    path: String,
}

/// What a program must know to take part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Protocol {
    pub(super) min_reader_version: u32,
    pub(super) min_writer_version: u32,
    /// Asked for by name, from reader version 3 and writer version 7 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reader_features: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) writer_features: Option<Vec<String>>,
}

/// What the table is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetaData {
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) format: Format,
    pub(super) schema_string: String,
    pub(super) partition_columns: Vec<String>,
    pub(super) configuration: BTreeMap<String, Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created_time: Option<i64>,
    /// What others have said of the table.
    #[serde(flatten)]
    pub(super) rest: BTreeMap<String, Value>,
}

/// How the files of a table are encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Format {
    pub(super) provider: String,
    #[serde(default)]
    pub(super) options: BTreeMap<String, String>,
}

/// A file is part of the table from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Add {
    /// Below the table's directory.
    pub(super) path: String,
    pub(super) partition_values: BTreeMap<String, Option<String>>,
    pub(super) size: i64,
    pub(super) modification_time: i64,
    pub(super) data_change: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stats: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<BTreeMap<String, Option<String>>>,
}

impl MetaData {
    /// The columns; the order of the keys does not matter.
    pub(super) fn schema(&self) -> Option<Value> {
        serde_json::from_str(&self.schema_string).ok()
    }
}

/// A file is no part of the table from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Remove {
    pub(super) path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deletion_timestamp: Option<i64>,
    pub(super) data_change: bool,
    /// Whether the next two are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extended_file_metadata: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) partition_values: Option<BTreeMap<String, Option<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<i64>,
}

/// How far an application is that writes to the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Txn {
    pub(super) app_id: String,
    pub(super) version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_updated: Option<i64>,
}

/// A table as its commits up to one of them make it, as far as it concerns one who writes to it: a table may have very many files.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Snapshot {
    /// What the paths of the files of interest begin with.
    directory: String,
    /// What the applications of interest begin with.
    application: String,
    /// The number of the next commit.
    pub(super) next_version: u64,
    pub(super) meta_data: Option<MetaData>,
    /// Paths of files.
    pub(super) files: BTreeSet<String>,
    /// Paths of files that were part of the table.
    pub(super) removed: BTreeSet<String>,
    /// By application.
    pub(super) txns: BTreeMap<String, i64>,
    /// The checkpoint that was read instead of the commits up to it; it does not name all files that were part of the table.
    pub(super) checkpoint: Option<u64>,
}

/// Why a checkpoint was not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// It is no checkpoint, or not all of one: another may do.
    Damaged(String),
    /// It asks for more than this program knows, and so will others.
    Refused(String),
}

impl Snapshot {
    /// A table without a commit, of which the files below `directory` and the applications that begin with `application` are of interest.
    pub(super) fn new(directory: String, application: String) -> Self {
        let (files, removed, txns) = Default::default();
        Self { directory, application, next_version: 0, meta_data: None, files, removed, txns, checkpoint: None }
    }

    /// The same, without a commit.
    pub(super) fn anew(&self) -> Self {
        Self::new(self.directory.clone(), self.application.clone())
    }

    /// What a checkpoint of the table at `version` says, handed over row by row by `rows`; the same files and applications are of interest.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn of_checkpoint(&self, version: u64, rows: impl FnOnce(&mut dyn FnMut(BriefAction)) -> Result<(), String>) -> Result<Self, NotTaken> {
        let mut snapshot = Self { next_version: version.saturating_add(1), checkpoint: Some(version), ..self.anew() };
        let mut protocol = None;
        rows(&mut |mut action: BriefAction| {
            protocol = action.protocol.take().or(protocol.take());
            snapshot.take(action);
        })
        .map_err(NotTaken::Damaged)?;
        match protocol {
            Some(protocol) => protocol.check().map_err(NotTaken::Refused)?,
            None => return Err(NotTaken::Damaged("it says nothing of the protocol".to_owned())),
        }
        if snapshot.meta_data.is_none() {
            return Err(NotTaken::Damaged("it does not say what the table is".to_owned()));
        }
        snapshot.check_watermark().map_err(NotTaken::Damaged)?;
        Ok(snapshot)
    }

    /// Files that are named by their offsets end below the watermark: a bit that was flipped may leave a checkpoint that can be read.
    fn check_watermark(&self) -> Result<(), String> {
        let last = self.files.iter().filter_map(|path| last_offset(path.strip_prefix(&self.directory)?)).max();
        match self.txns.get(&self.application).copied().zip(last).filter(|(next, last)| next <= last) {
            Some((next, last)) => Err(format!("it says that offset {next} is next, and names a file that ends with offset {last}")),
            None => Ok(()),
        }
    }

    /// Takes over the next commit.
    ///
    /// # Errors
    /// What is wrong with it, or asks for more than this program knows. Nothing was taken over.
    pub(super) fn apply(&mut self, commit: &[u8]) -> Result<(), String> {
        let actions: Vec<BriefAction> = decode(commit)?;
        for protocol in actions.iter().filter_map(|action| action.protocol.as_ref()) {
            protocol.check()?;
        }
        for action in actions {
            self.take(action);
        }
        self.next_version += 1;
        Ok(())
    }

    fn take(&mut self, action: BriefAction) {
        if let Some(meta_data) = action.meta_data {
            self.meta_data = Some(meta_data);
        }
        if let Some(add) = action.add.filter(|add| add.path.starts_with(&self.directory)) {
            self.removed.remove(&add.path);
            self.files.insert(add.path);
        }
        if let Some(remove) = action.remove.filter(|remove| remove.path.starts_with(&self.directory)) {
            self.files.remove(&remove.path);
            self.removed.insert(remove.path);
        }
        if let Some(txn) = action.txn.filter(|txn| txn.app_id.starts_with(&self.application)) {
            self.txns.insert(txn.app_id, txn.version);
        }
    }
}

impl Protocol {
    /// What is written, and the most that is understood.
    pub(super) const OURS: Self = Self { min_reader_version: 1, min_writer_version: 2, reader_features: None, writer_features: None };

    pub(super) fn check(&self) -> Result<(), String> {
        let ours = Self::OURS;
        if self.min_reader_version <= ours.min_reader_version && self.min_writer_version <= ours.min_writer_version {
            return Ok(());
        }
        let Self { min_reader_version: reader, min_writer_version: writer, .. } = self;
        let features: BTreeSet<&str> = [&self.reader_features, &self.writer_features].into_iter().flatten().flatten().map(String::as_str).collect();
        let features = if features.is_empty() { String::new() } else { format!(" ({})", features.into_iter().collect::<Vec<_>>().join(", ")) };
        Err(format!(
            "it asks for reader version {reader} and writer version {writer} of the protocol{features}; this build knows {} and {}",
            ours.min_reader_version, ours.min_writer_version
        ))
    }
}

/// The last offset of a file that is named by its offsets.
fn last_offset(name: &str) -> Option<i64> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i64>().ok()).flatten();
    let (first, rest) = name.split_at_checked(20)?;
    let last = rest.strip_prefix('-')?.get(..20)?;
    digits(first).and(digits(last))
}

/// A commit as it is stored: a line an action.
pub(super) fn encode(actions: &[Action]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for action in actions {
        serde_json::to_writer(&mut bytes, action).expect("actions hold only numbers, strings, lists and maps with string keys");
        bytes.push(b'\n');
    }
    bytes
}

/// The actions of a commit.
pub(super) fn decode<A: DeserializeOwned>(commit: &[u8]) -> Result<Vec<A>, String> {
    let lines = commit.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    lines.map(|line| serde_json::from_slice(line).map_err(|error| error.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot::new("p/".to_owned(), "app".to_owned())
    }

    fn add(path: &str) -> Action {
        let add = Add {
            path: path.to_owned(),
            partition_values: BTreeMap::new(),
            size: 1,
            modification_time: 2,
            data_change: true,
            stats: None,
            tags: None,
        };
        Action { add: Some(add), ..Action::default() }
    }

    #[test]
    fn the_last_word_on_a_file_counts() {
        let mut snapshot = snapshot();
        let remove = |path: &str| {
            let (deletion_timestamp, extended_file_metadata, partition_values, size) = Default::default();
            let path = path.to_owned();
            let remove = Remove { path, deletion_timestamp, data_change: false, extended_file_metadata, partition_values, size };
            Action { remove: Some(remove), ..Action::default() }
        };
        snapshot.apply(&encode(&[add("p/one"), add("p/two"), add("q/one")])).unwrap();
        snapshot.apply(&encode(&[remove("p/one"), add("p/three"), remove("p/four"), remove("q/two")])).unwrap();
        snapshot.apply(&encode(&[add("p/four")])).unwrap();
        assert_eq!(snapshot.files.iter().collect::<Vec<_>>(), ["p/four", "p/three", "p/two"]);
        assert_eq!(snapshot.removed.iter().collect::<Vec<_>>(), ["p/one"]);
        assert_eq!(snapshot.next_version, 3);
    }

    #[test]
    fn a_commit_that_asks_for_more_changes_nothing() {
        let mut snapshot = snapshot();
        let protocol = |min_reader_version, min_writer_version| {
            let protocol = Protocol { min_reader_version, min_writer_version, ..Protocol::OURS };
            Action { protocol: Some(protocol), ..Action::default() }
        };
        snapshot.apply(&encode(&[protocol(1, 2)])).unwrap();
        let before = snapshot.clone();
        for more in [protocol(3, 2), protocol(1, 7)] {
            let error = snapshot.apply(&encode(&[add("one"), more])).unwrap_err();
            assert!(error.contains("this build knows 1 and 2"), "{error}");
        }
        assert!(snapshot.apply(b"{\"add\":7}\n").is_err());
        assert_eq!(snapshot, before);
    }

    #[test]
    fn what_others_write_is_understood() {
        let commit = br#"{"commitInfo":{"timestamp":1,"operation":"WRITE"}}
{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}
{"metaData":{"id":"x","name":null,"description":"theirs","format":{"provider":"parquet","options":{}},"schemaString":"{}","partitionColumns":[],"createdTime":5,"configuration":{}}}
{"add":{"path":"p/a%20b.parquet","partitionValues":{"partition":null},"size":7,"modificationTime":8,"dataChange":true,"stats":"{}","tags":null,"deletionVector":null}}
{"txn":{"appId":"app","version":9}}
{"txn":{"appId":"other","version":8}}

{"domainMetadata":{"domain":"d","configuration":"","removed":false}}
"#;
        let mut snapshot = snapshot();
        snapshot.apply(commit).unwrap();
        assert_eq!((snapshot.files.contains("p/a%20b.parquet"), snapshot.txns["app"], snapshot.next_version), (true, 9, 1));
        let meta_data = snapshot.meta_data.unwrap();
        assert_eq!((meta_data.created_time, &meta_data.rest["description"]), (Some(5), &Value::from("theirs")));
        let again = Action { meta_data: Some(meta_data), ..Action::default() };
        assert!(String::from_utf8(encode(&[again])).unwrap().contains(r#""description":"theirs""#), "what others said is said again");
    }
}
