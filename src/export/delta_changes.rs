//! What commits change, put over the checkpoint before them: that is the next one. Holds the changes alone, however large the table is. Reads and
//! writes no file.

use std::collections::BTreeMap;

use bytes::Bytes;
use parquet::errors::ParquetError;

use crate::export::delta_action::{Action, MetaData, Protocol, Txn, decode as decode_commit};
use crate::export::delta_checkpoint::{CheckpointWriter, Depth, EncodedCheckpoint, decode};

/// The newest word on everything that some commits speak of.
#[derive(Debug, Default)]
pub(super) struct Changes {
    protocol: Option<Protocol>,
    meta_data: Option<MetaData>,
    txns: BTreeMap<String, Txn>,
    /// By path: whether the file is part of the table, or was.
    files: BTreeMap<String, Action>,
}

impl Changes {
    /// Takes over the next commit.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn apply(&mut self, commit: &[u8]) -> Result<(), String> {
        for action in decode_commit::<Action>(commit)? {
            let Action { protocol, meta_data, add, remove, txn, .. } = action;
            self.protocol = protocol.or(self.protocol.take());
            self.meta_data = meta_data.or(self.meta_data.take());
            if let Some(txn) = txn {
                self.txns.insert(txn.app_id.clone(), txn);
            }
            if let Some(add) = add {
                self.files.insert(add.path.clone(), Action { add: Some(add), ..Action::default() });
            }
            if let Some(remove) = remove {
                self.files.insert(remove.path.clone(), Action { remove: Some(remove), ..Action::default() });
            }
        }
        Ok(())
    }

    /// Begins a checkpoint of what the parts of the one before come to with these changes. Files that were removed before `kept_since_ms` are
    /// forgotten.
    ///
    /// # Errors
    /// Why it cannot be encoded.
    pub(super) fn over(self, kept_since_ms: Option<i64>) -> Result<Merge, String> {
        let writer = CheckpointWriter::new().map_err(|error| error.to_string())?;
        Ok(Merge { changes: self, kept_since_ms, writer })
    }
}

/// A checkpoint being made of the one before and what was changed since.
pub(super) struct Merge {
    changes: Changes,
    kept_since_ms: Option<i64>,
    writer: CheckpointWriter,
}

impl Merge {
    /// Takes over what a part of the checkpoint before says and nobody has changed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn part_before(&mut self, part: Bytes) -> Result<(), String> {
        let Self { changes, kept_since_ms, writer } = self;
        decode(part, Depth::Whole, |mut action: Action| {
            // One of each is the last word, and comes with the changes.
            changes.protocol = changes.protocol.take().or(action.protocol.take());
            changes.meta_data = changes.meta_data.take().or(action.meta_data.take());
            let is_old = match &action {
                Action { txn: Some(txn), .. } => changes.txns.contains_key(&txn.app_id),
                Action { add: Some(add), .. } => changes.files.contains_key(&add.path),
                Action { remove: Some(remove), .. } => changes.files.contains_key(&remove.path),
                _ => true,
            };
            if is_old || is_forgotten(&action, *kept_since_ms) { Ok(()) } else { push(writer, action) }
        })
    }

    /// The whole checkpoint.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn finish(mut self) -> Result<EncodedCheckpoint, String> {
        let Changes { protocol, meta_data, txns, files } = self.changes;
        let protocol = protocol.ok_or("no commit says what the table asks for")?;
        protocol.check()?;
        let meta_data = meta_data.ok_or("no commit says what the table is")?;
        push(&mut self.writer, Action { protocol: Some(protocol), ..Action::default() })?;
        push(&mut self.writer, Action { meta_data: Some(meta_data), ..Action::default() })?;
        for txn in txns.into_values() {
            push(&mut self.writer, Action { txn: Some(txn), ..Action::default() })?;
        }
        for action in files.into_values().filter(|action| !is_forgotten(action, self.kept_since_ms)) {
            push(&mut self.writer, action)?;
        }
        self.writer.finish().map_err(|error| error.to_string())
    }
}

/// Whether it names a file that was removed so long ago that nobody need know. Without a time it was long ago.
fn is_forgotten(action: &Action, kept_since_ms: Option<i64>) -> bool {
    let removed = action.remove.as_ref().map(|remove| remove.deletion_timestamp.unwrap_or(0));
    removed.zip(kept_since_ms).is_some_and(|(removed, since)| removed < since)
}

fn push(writer: &mut CheckpointWriter, mut action: Action) -> Result<(), String> {
    // What a table comes to is no change of it.
    if let Some(add) = &mut action.add {
        add.data_change = false;
    }
    writer.push(&action).map_err(|error: ParquetError| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn commit(actions: &[Value]) -> Vec<u8> {
        actions.iter().flat_map(|action| format!("{action}\n").into_bytes()).collect()
    }

    fn first() -> Vec<Value> {
        let meta_data = json!({ "id": "x", "description": "d", "format": { "provider": "parquet" }, "schemaString": "{}",
            "partitionColumns": ["partition"], "configuration": { "k": "v" }, "createdTime": 5 });
        vec![json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 2 } }), json!({ "metaData": meta_data })]
    }

    fn add(path: &str, rows: u64) -> Value {
        let stats = json!({ "numRecords": rows }).to_string();
        json!({ "add": { "path": path, "partitionValues": { "partition": "0" }, "size": 9, "modificationTime": 8, "dataChange": true,
            "stats": stats, "tags": { "t": "u" } } })
    }

    fn remove(path: &str, at: Option<i64>) -> Value {
        json!({ "remove": { "path": path, "deletionTimestamp": at, "dataChange": false } })
    }

    fn checkpoint(commits: &[Vec<u8>], before: &[Bytes], kept_since_ms: Option<i64>) -> Result<EncodedCheckpoint, String> {
        let mut changes = Changes::default();
        commits.iter().try_for_each(|commit| changes.apply(commit))?;
        let mut merge = changes.over(kept_since_ms)?;
        before.iter().try_for_each(|part| merge.part_before(part.clone()))?;
        merge.finish()
    }

    fn rows(bytes: &Bytes) -> Vec<Value> {
        let mut rows = Vec::new();
        decode(bytes.clone(), Depth::Whole, |row: Value| {
            rows.push(row);
            Ok(())
        })
        .unwrap();
        rows.sort_by_key(Value::to_string);
        rows
    }

    #[test]
    fn a_checkpoint_over_another_is_that_of_all_commits() {
        let commits = [
            commit(&[first(), vec![add("a", 1), add("b", 2), remove("gone", Some(50)), json!({ "txn": { "appId": "x", "version": 1 } })]].concat()),
            commit(&[remove("a", Some(200)), add("c", 3), json!({ "txn": { "appId": "y", "version": 7, "lastUpdated": 3 } })]),
            commit(&[
                add("b", 4),
                add("a", 5),
                remove("c", Some(300)),
                json!({ "txn": { "appId": "x", "version": 2 } }),
                json!({ "commitInfo": {} }),
            ]),
        ];
        let all = checkpoint(&commits, &[], Some(100)).unwrap();
        for split in 1..3 {
            let before: Bytes = checkpoint(&commits[..split], &[], None).unwrap().bytes.into();
            let over = checkpoint(&commits[split..], &[before], Some(100)).unwrap();
            assert_eq!((over.action_count, over.add_count), (7, 2), "split at {split}");
            assert_eq!(rows(&over.bytes.into()), rows(&all.bytes.clone().into()), "split at {split}");
        }
        let found = rows(&all.bytes.into());
        let still = |mut add: Value| {
            add["add"]["dataChange"] = json!(false);
            add
        };
        for expected in [still(add("a", 5)), still(add("b", 4)), remove("c", Some(300)), json!({ "txn": { "appId": "x", "version": 2 } })] {
            assert!(found.contains(&expected), "{expected} is not in {found:?}");
        }
        assert!(found.iter().any(|row| row["metaData"]["description"] == "d" && row["metaData"]["configuration"] == json!({ "k": "v" })));
    }

    #[test]
    fn tombstones_are_kept_for_as_long_as_the_table_says() {
        let commits = [commit(&[first(), vec![remove("old", Some(99)), remove("new", Some(100)), remove("of no time", None)]].concat())];
        let kept = |since| rows(&checkpoint(&commits, &[], since).unwrap().bytes.into()).iter().filter(|row| row.get("remove").is_some()).count();
        assert_eq!((kept(Some(100)), kept(Some(0)), kept(None)), (1, 3, 3));
    }

    #[test]
    fn what_is_no_whole_table_has_no_checkpoint() {
        let error = checkpoint(&[commit(&[add("a", 1)])], &[], None).unwrap_err();
        assert!(error.contains("no commit says what the table asks for"), "{error}");
        let more = json!({ "protocol": { "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["v2Checkpoint"], "writerFeatures": ["v2Checkpoint"] } });
        let error = checkpoint(&[commit(&[first(), vec![more]].concat())], &[], None).unwrap_err();
        assert!(error.contains("reader version 3 and writer version 7 of the protocol (v2Checkpoint)"), "{error}");
    }

    #[test]
    fn what_is_cut_short_or_flipped_is_no_checkpoint_or_another_one() {
        let whole = checkpoint(&[commit(&[first(), vec![add("a", 1)]].concat())], &[], None).unwrap().bytes;
        for end in (0..whole.len()).step_by(13) {
            decode(Bytes::copy_from_slice(&whole[..end]), Depth::Whole, |_: Value| Ok(())).unwrap_err();
        }
        for at in (0..whole.len()).step_by(13) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            let _ = decode(flipped.into(), Depth::Whole, |_: Action| Ok(())); // it must end, and not by a panic
        }
    }
}
