//! Checkpoints of an export's Delta log: when they are written and what of, what is read of ours and of others', and a log that others clean up
//! behind them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch as Rows, StructArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidelog::export::{ExportError, ExportReport, ExportSession, ParquetExport, ParquetImport};
use tidelog::io::fault::{EIO, Fault, Faulty, Op};
use tidelog::io::sim::{Image, NameModel, SimDisk};
use tidelog::io::{Disk, Storage};
use tidelog::{AckLevel, Partition, Record, RecordBatch, Store};

#[test]
fn a_checkpoint_is_written_behind_commits_whose_versions_are_multiples() {
    let fixture = Fixture::new();
    fixture.export(0, 10);
    fixture.configure(1, &[("delta.checkpointInterval", "3")]);
    for _ in 2..8 {
        fixture.export(0, 10);
    }
    fixture.export(1, 5);
    assert_eq!(fixture.checkpoints(), [3, 6]);
    let last: Value = serde_json::from_slice(&fs::read(fixture.log("_last_checkpoint")).unwrap()).unwrap();
    let bytes = fs::metadata(fixture.checkpoint(6)).unwrap().len();
    assert_eq!(last, json!({ "version": 6, "size": 11, "sizeInBytes": bytes, "numOfAddFiles": 6 }));
    let rows = rows(&fixture.checkpoint(6));
    assert_eq!((rows.num_rows(), column(&rows, "add", "path").len()), (11, 6));
    assert_eq!(column(&rows, "add", "stats")[0], r#"{"numRecords":10}"#);
    let apps = column(&rows, "txn", "appId");
    assert!(apps.contains(&"tidelog:many/0".to_owned()) && apps.contains(&"tidelog:many/0#last_leader_epoch".to_owned()), "{apps:?}");
    let versions = rows["txn"].as_struct()["version"].as_primitive::<Int64Type>();
    assert!(versions.iter().flatten().any(|version| version == 60), "the watermark");
    assert_eq!(fixture.names_without_dots(), fixture.names(), "nothing is left over");
}

#[test]
fn by_default_there_is_one_behind_a_hundred_commits() {
    let fixture = Fixture::new();
    fixture.append(0, 101);
    fixture.exporter(0).rows_per_file(1).run(&mut |_| {}).unwrap();
    assert_eq!(fixture.checkpoints(), [100]);
}

/// The commits of old are gone: each row is in the table once all the same, and the import finds what it found.
#[test]
fn a_log_that_was_cleaned_up_behind_our_checkpoint_goes_on() {
    let fixture = Fixture::new();
    fixture.export(0, 10);
    fixture.configure(1, &[("delta.checkpointInterval", "4")]);
    fixture.export(1, 7);
    fixture.export(0, 10);
    fixture.export(1, 7);
    fixture.export(0, 10);
    for version in 0..4 {
        fs::remove_file(fixture.commit(version)).unwrap();
    }
    for hint in ["", "{", r#"{"version":"4"}"#, r#"{"version":3,"size":1}"#, r#"{"version":18446744073709551615}"#, r#"{"version":4}"#] {
        fs::write(fixture.log("_last_checkpoint"), hint).unwrap();
        assert_eq!(fixture.exporter(0).watermark().unwrap().unwrap().get(), 30, "{hint}");
    }
    fs::remove_file(fixture.log("_last_checkpoint")).unwrap();
    let report = fixture.export(0, 10);
    assert_eq!((report.from.get(), report.kept_files, report.rows()), (30, 3, 10));
    assert_eq!(fixture.export(1, 7).kept_files, 2);
    fixture.check_tables(&[40, 21]);

    // The commit of the checkpoint itself is of no use to us.
    for version in 4..7 {
        fs::remove_file(fixture.commit(version)).unwrap();
    }
    let error = fixture.exporter(0).run(&mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("commit 5 is missing"), "{error}");
}

#[test]
fn damage_in_a_checkpoint_costs_nothing_while_the_commits_are_there() {
    let fixture = Fixture::new();
    fixture.export(0, 10);
    fixture.configure(1, &[("delta.checkpointInterval", "2")]);
    for _ in 2..6 {
        fixture.export(0, 10);
    }
    let whole = fs::read(fixture.checkpoint(4)).unwrap();
    let cut = [&whole[..0], &whole[..4], &whole[..whole.len() / 2], &whole[..whole.len() - 1]];
    let mut flipped = whole.clone();
    flipped[whole.len() / 3] ^= 0x55;
    for bytes in cut.into_iter().chain([b"PAR1PAR1".as_slice(), &flipped]) {
        fs::write(fixture.checkpoint(4), bytes).unwrap();
        assert_eq!(fixture.exporter(0).watermark().unwrap().unwrap().get(), 50);
        let (kept, report) = (fixture.checkpoint(2), fixture.exporter(0).run(&mut |_| {}).unwrap());
        assert_eq!((kept.exists(), report.kept_files, report.rows()), (true, 5, 0));
    }
    // Of the one before, there are all commits; then of none.
    fs::write(fixture.checkpoint(4), &whole[..99]).unwrap();
    fs::remove_file(fixture.commit(1)).unwrap();
    assert_eq!(fixture.export(0, 10).from.get(), 50);
    fs::write(fixture.checkpoint(6), "").unwrap();
    fs::write(fixture.checkpoint(2), "").unwrap();
    let error = fixture.exporter(0).run(&mut |_| {}).unwrap_err();
    assert!(error.is_refusal() && matches!(error, ExportError::Table { .. }), "{error}");
    for expected in ["commit 1 is missing", "the checkpoint of version 4 is damaged", "the checkpoint of version 2 is damaged"] {
        assert!(error.to_string().contains(expected), "expected {expected:?} in: {error}");
    }
    // A checkpoint over one that is damaged is made of what is there.
    fs::write(fixture.checkpoint(4), &whole).unwrap();
    fixture.export(0, 10);
    let report = fixture.export(0, 10);
    assert_eq!((report.checkpoint_failures.len(), fixture.checkpoints()), (0, vec![2, 4, 6, 8]));
    for version in 0..8 {
        let _ = fs::remove_file(fixture.commit(version));
    }
    fixture.check_tables(&[80]);
}

#[test]
fn a_checkpoint_in_parts_counts_when_all_are_there() {
    let fixture = Fixture::new();
    fixture.export(0, 10);
    fixture.configure(1, &[("delta.checkpointInterval", "3")]);
    fixture.export(0, 10);
    fixture.export(0, 10);
    fixture.export(0, 10);
    fixture.split(3);
    fs::remove_file(fixture.commit(0)).unwrap();
    let part = |part| fixture.part(3, part);
    fixture.check_tables(&[40]);
    let second = fs::read(part(2)).unwrap();
    fs::remove_file(part(2)).unwrap();
    let error = fixture.exporter(0).watermark().unwrap_err();
    assert!(error.to_string().contains("part 2 of 3 of the checkpoint of version 3 is missing"), "{error}");
    fs::write(part(2), second).unwrap();
    assert_eq!(fixture.export(0, 10).from.get(), 40);

    for number in 1..=3 {
        fs::remove_file(part(number)).unwrap();
    }
    fs::write(fixture.log("00000000000000000003.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.parquet"), "").unwrap();
    let error = fixture.exporter(0).watermark().unwrap_err();
    assert!(error.to_string().contains("needs reader version 3 of the protocol; this build knows 1"), "{error}");
}

/// What was listed may be gone when it is read. A checkpoint without one of its parts is none, and none is made of it.
#[test]
fn a_part_that_vanishes_before_it_is_read_is_missed() {
    let fixture = Fixture::new();
    fixture.export(0, 10);
    fixture.configure(1, &[("delta.checkpointInterval", "3")]);
    fixture.export(0, 10);
    fixture.export(0, 10);
    fixture.split(3);
    let storage = Faulty::new(Arc::new(Disk::new()));
    for part in 1..4 {
        storage.inject(Fault::at(Op::Open).on_path(&format!("{part:010}.0000000003.parquet")).from_then_on().error(ENOENT));
        let mut session = fixture.exporter(0).storage(Arc::new(storage.clone())).begin().unwrap();
        let report = session.run(&mut |_| {}).unwrap();
        assert_eq!((report.from.get(), report.kept_files), (30, 3), "without part {part}");
        storage.heal();
    }
    fixture.export(0, 10);
    fixture.export(0, 10);
    storage.inject(Fault::at(Op::Open).on_path("0000000002.0000000003.parquet").from_then_on().error(ENOENT));
    fixture.append(0, 10);
    let mut session = fixture.exporter(0).storage(Arc::new(storage.clone())).begin().unwrap();
    assert_eq!(session.run(&mut |_| {}).unwrap().checkpoint_failures, []);
    assert_eq!(column(&rows(&fixture.checkpoint(6)), "add", "path").len(), 6);

    // Without it and without what it was made of there is no checkpoint, and it is told why.
    fs::remove_file(fixture.checkpoint(6)).unwrap();
    fs::remove_file(fixture.commit(1)).unwrap();
    let reports: Vec<ExportReport> = (0..3)
        .map(|_| {
            fixture.append(0, 10);
            session.run(&mut |_| {}).unwrap()
        })
        .collect();
    let failures: Vec<String> = reports.iter().flat_map(|report| &report.checkpoint_failures).map(ToString::to_string).collect();
    assert!(failures.len() == 1 && failures[0].contains("commit 1 is missing; checkpoint of version 3: part 2 is missing"), "{failures:?}");
    drop(session);
    let error = fixture.exporter(0).storage(Arc::new(storage.clone())).watermark().unwrap_err();
    for expected in ["commit 1 is missing", "the checkpoint of version 3 is damaged: part 2 is missing"] {
        assert!(error.to_string().contains(expected), "expected {expected:?} in: {error}");
    }
}

/// Whoever asks for more than this program knows is not taken for damage.
#[test]
fn a_checkpoint_that_asks_for_more_or_says_too_little_is_refused() {
    let fixture = Fixture::new();
    fixture.export(0, 10);
    fixture.configure(1, &[("delta.checkpointInterval", "2")]);
    fixture.export(0, 10);
    let whole = rows(&fixture.checkpoint(2));
    let (fields, mut versions, nulls) = whole["protocol"].as_struct().clone().into_parts();
    versions[0] = Arc::new((0..whole.num_rows()).map(|row| versions[0].is_valid(row).then_some(3)).collect::<Int32Array>());
    let asking: ArrayRef = Arc::new(StructArray::new(fields, versions, nulls));
    let asking_more = || {
        let mut columns = whole.columns().to_vec();
        columns[whole.schema().index_of("protocol").unwrap()] = asking;
        Rows::try_new(whole.schema(), columns).unwrap()
    };
    let error = |checkpoint: &Rows| {
        write(&fixture.checkpoint(2), checkpoint, Compression::UNCOMPRESSED);
        let error = fixture.exporter(0).run(&mut |_| {}).unwrap_err();
        assert!(error.is_refusal(), "{error}");
        error.to_string()
    };
    let found = error(&asking_more());
    assert!(found.contains("reader version 3 and writer version 2") && !found.contains("damaged"), "{found}");

    // What the table is, and how far it is, must be in it. A column that is not there says nothing.
    fs::remove_file(fixture.commit(0)).unwrap();
    for (without, expected) in [
        ("protocol", "it says nothing of the protocol"),
        ("metaData", "it does not say what the table is"),
        ("txn", "it names files of the partition, and does not say how far tidelog:many/0 is"),
    ] {
        let kept: Vec<usize> = (0..whole.num_columns()).filter(|column| whole.schema().field(*column).name() != without).collect();
        let found = error(&whole.project(&kept).unwrap());
        assert!(found.contains(expected), "{found}");
    }
    write(&fixture.checkpoint(2), &whole, Compression::SNAPPY);
    fixture.check_tables(&[20]);
}

/// A flipped bit may leave a checkpoint that can be read, with a watermark below the files that it names.
#[test]
fn a_checkpoint_whose_watermark_is_below_its_files_is_damaged() {
    let fixture = Fixture::new();
    fixture.export(0, 10);
    fixture.configure(1, &[("delta.checkpointInterval", "2")]);
    fixture.export(0, 10);
    let whole = rows(&fixture.checkpoint(2));
    let (fields, mut texts, nulls) = whole["txn"].as_struct().clone().into_parts();
    texts[1] = Arc::new((0..whole.num_rows()).map(|row| texts[1].is_valid(row).then_some(16)).collect::<Int64Array>());
    let mut columns = whole.columns().to_vec();
    columns[whole.schema().index_of("txn").unwrap()] = Arc::new(StructArray::new(fields, texts, nulls));
    write(&fixture.checkpoint(2), &Rows::try_new(whole.schema(), columns).unwrap(), Compression::SNAPPY);
    fixture.check_tables(&[20]);
    fs::remove_file(fixture.commit(0)).unwrap();
    let error = fixture.exporter(0).watermark().unwrap_err();
    let expected = "the checkpoint of version 2 is damaged: it says that offset 16 is next, and names a file that ends with offset 19";
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn a_checkpoint_that_fails_is_told_of_and_tried_again() {
    let fixture = Fixture::new();
    fixture.export(0, 10);
    fixture.configure(1, &[("delta.checkpointInterval", "2")]);
    fixture.append(0, 10);
    let storage = Faulty::new(Arc::new(Disk::new()));
    storage.inject(Fault::at(Op::Rename).on_path("_delta_log").nth(1).error(EIO));
    let mut session = fixture.exporter(0).storage(Arc::new(storage.clone())).begin().unwrap();
    let report = session.run(&mut |_| {}).unwrap();
    assert_eq!((report.rows(), report.checkpoint_failures.len(), fixture.checkpoints()), (10, 1, vec![]));
    let failure = &report.checkpoint_failures[0];
    assert!(failure.version == 2 && failure.to_string().starts_with("no checkpoint of version 2 of the Delta log was written: "), "{failure}");
    fixture.append(0, 10);
    let report = session.run(&mut |_| {}).unwrap();
    assert_eq!((report.checkpoint_failures.len(), fixture.checkpoints()), (0, vec![3]));
    assert_eq!(fixture.names_without_dots(), fixture.names());

    // Another process does it, if this one is gone.
    fixture.append(0, 10);
    storage.inject(Fault::at(Op::Rename).on_path("_delta_log").nth(1).error(EIO));
    assert_eq!(session.run(&mut |_| {}).unwrap().checkpoint_failures.len(), 1);
    drop(session);
    fixture.export(1, 10);
    assert_eq!(fixture.checkpoints(), [3, 5]);
    fixture.export(0, 0);
    fixture.check_tables(&[40, 10]);
}

/// What another tool has committed is enough to go on, and too little for a checkpoint: not each commit tries again.
#[test]
fn a_checkpoint_that_keeps_failing_is_tried_from_time_to_time() {
    let fixture = Fixture::new();
    fixture.export(0, 1);
    fixture.configure(1, &[("delta.checkpointInterval", "30")]);
    fs::write(fixture.commit(2), json!({ "add": { "path": "partition=1/part-0.parquet" } }).to_string()).unwrap();
    let mut session = fixture.exporter(0).begin().unwrap();
    let mut failed = Vec::new();
    for _ in 3..70 {
        fixture.append(0, 1);
        let report = session.run(&mut |_| {}).unwrap();
        assert_eq!(report.rows(), 1);
        failed.extend(report.checkpoint_failures.into_iter().map(|failure| failure.version));
    }
    assert_eq!(failed, [30, 33, 36, 39, 42, 45, 48, 51, 54, 57, 60, 63, 66, 69]);
}

/// Of two that write checkpoints, the slower one does not send readers back to its own.
#[test]
fn what_says_where_the_last_checkpoint_is_does_not_go_back() {
    let fixture = Fixture::new();
    fixture.export(0, 1);
    fixture.configure(1, &[("delta.checkpointInterval", "2")]);
    let last = fixture.log("_last_checkpoint");
    for (there, expected) in [(r#"{"version":1,"size":1}"#, 2), (r#"{"version":5,"size":1}"#, 5), (r#"{"version":6,"size":1}"#, 6), ("{", 8)] {
        fs::write(&last, there).unwrap();
        fixture.export(0, 1);
        fixture.export(0, 1);
        assert_eq!(serde_json::from_slice::<Value>(&fs::read(&last).unwrap()).unwrap()["version"], expected);
    }
    assert_eq!(fixture.checkpoints(), [2, 4, 6, 8]);
}

/// Of two exporters that commit by turns, the one that made the commit writes the checkpoint.
#[test]
fn a_checkpoint_is_written_once() {
    let fixture = Fixture::new();
    fixture.export(0, 1);
    fixture.configure(1, &[("delta.checkpointInterval", "20")]);
    let mut sessions = [0, 1].map(|partition| fixture.exporter(partition).begin().unwrap());
    for round in 0..60 {
        let partition = if round % 3 == 0 { 0 } else { 1 };
        fixture.append(partition, 1);
        sessions[partition as usize].run(&mut |_| {}).unwrap();
    }
    assert_eq!(fixture.checkpoints(), [20, 40, 60]);
}

/// An exporter that waits for a month finds its place in the log gone. It does not take it for free.
#[test]
fn a_session_does_not_commit_where_others_have_cleaned_up() {
    let fixture = Fixture::new();
    fixture.export(0, 10);
    fixture.configure(1, &[("delta.checkpointInterval", "4")]);
    let mut waiting = fixture.exporter(1).begin().unwrap();
    fixture.append(1, 5);
    run(&mut waiting, 5);
    for _ in 3..9 {
        fixture.export(0, 10);
    }
    for version in 0..8 {
        fs::remove_file(fixture.commit(version)).unwrap();
    }
    fixture.append(1, 5);
    run(&mut waiting, 5);
    assert!(fixture.commit(9).exists() && !fixture.commit(3).exists());
    drop(waiting);
    fixture.check_tables(&[70, 10]);
}

/// It began when the table had no commit, and what is the first one now is not the first one there was.
#[test]
fn a_session_begun_before_the_first_commit_does_not_take_its_place() {
    let fixture = Fixture::new();
    let mut quiet = fixture.exporter(1).begin().unwrap();
    fixture.export(0, 10);
    fixture.configure(1, &[("delta.checkpointInterval", "4")]);
    for _ in 2..10 {
        fixture.export(0, 10);
    }
    for version in 0..4 {
        fs::remove_file(fixture.commit(version)).unwrap();
    }
    fixture.append(1, 5);
    run(&mut quiet, 5);
    assert!(fixture.commit(10).exists() && !fixture.commit(0).exists());
    drop(quiet);
    fixture.check_tables(&[90, 5]);
}

/// Other tools delete commits in any order, and all that is left of the end may be a checkpoint.
#[test]
fn a_session_goes_on_behind_all_that_has_a_name() {
    for gone in [3..4, 3..9, 4..9] {
        let fixture = Fixture::new();
        fixture.export(0, 10);
        fixture.configure(1, &[("delta.checkpointInterval", "4")]);
        let mut waiting = fixture.exporter(1).begin().unwrap();
        fixture.append(1, 5);
        run(&mut waiting, 5);
        for _ in 3..9 {
            fixture.export(0, 10);
        }
        for version in gone.clone() {
            fs::remove_file(fixture.commit(version)).unwrap();
        }
        fixture.append(1, 5);
        run(&mut waiting, 5);
        assert!(fixture.commit(9).exists() && !fixture.commit(gone.start).exists(), "{gone:?}");
        drop(waiting);
        fixture.check_tables(&[70, 10]);
    }
}

/// A name proves that the table was there at that version. Without what it names, no older table is taken for it.
#[test]
fn an_older_table_is_not_taken_for_the_newest_one() {
    let grown = || {
        let fixture = Fixture::new();
        fixture.export(0, 10);
        fixture.configure(1, &[("delta.checkpointInterval", "2")]);
        for _ in 2..5 {
            fixture.export(0, 10);
        }
        fixture
    };
    let refused = |fixture: &Fixture, expected: &[&str]| {
        let error = fixture.exporter(0).watermark().unwrap_err();
        assert!(error.is_refusal(), "{error}");
        expected.iter().for_each(|expected| assert!(error.to_string().contains(expected), "expected {expected:?} in: {error}"));
    };
    let fixture = grown();
    let whole = fs::read(fixture.checkpoint(4)).unwrap();
    fs::write(fixture.checkpoint(4), &whole[..99]).unwrap();
    for version in 3..5 {
        fs::remove_file(fixture.commit(version)).unwrap();
    }
    refused(&fixture, &["commit 3 is missing", "the checkpoint of version 4 is damaged"]);
    fs::write(fixture.checkpoint(4), whole).unwrap();
    fixture.check_tables(&[40]);

    let fixture = grown();
    fs::write(fixture.log("00000000000000000008.checkpoint.0000000001.0000000002.parquet"), "").unwrap();
    refused(&fixture, &["commit 5 is missing", "part 2 of 2 of the checkpoint of version 8 is missing"]);
    for version in [2, 4] {
        fs::remove_file(fixture.checkpoint(version)).unwrap();
    }
    refused(&fixture, &["commit 5 is missing", "part 2 of 2 of the checkpoint of version 8 is missing"]);
}

/// Others clean up between the listing and the reading: what was listed and is gone is looked for once more, and then missed.
#[test]
fn a_commit_that_vanishes_before_it_is_read_is_missed() {
    let fixture = Fixture::new();
    fixture.export(0, 10);
    fixture.configure(1, &[("delta.checkpointInterval", "2")]);
    fixture.export(0, 10);
    fixture.export(0, 10);
    let storage = Faulty::new(Arc::new(Disk::new()));
    let exporter = fixture.exporter(0).storage(Arc::new(storage.clone()));
    let gone = || Fault::at(Op::Open).on_path("00000000000000000003.json").error(ENOENT);
    storage.inject(gone().nth(1));
    assert_eq!((exporter.watermark().unwrap().unwrap().get(), storage.fired()), (30, 1));
    storage.inject(gone().from_then_on());
    let error = exporter.watermark().unwrap_err();
    assert!(error.is_refusal() && error.to_string().contains("commit 3 is missing"), "{error}");
}

/// Others clean up while a file is being written: what comes where no reader looks is taken back, and the next run commits the file.
#[test]
fn a_commit_that_comes_where_others_have_cleaned_up_is_taken_back() {
    for (began_at, gone) in [(3, 0..9), (3, 3..4), (0, 0..8)] {
        let fixture = Fixture::new();
        let mut slow = fixture.exporter(1).begin().unwrap();
        let mut kept = 0;
        if began_at > 0 {
            fixture.export(0, 10);
            fixture.configure(1, &[("delta.checkpointInterval", "4")]);
            fixture.append(1, 5);
            run(&mut slow, 5);
            kept = 5;
        }
        fixture.append(1, 5);
        let mut is_first = true;
        let error = slow
            .run(&mut |_| {
                if std::mem::replace(&mut is_first, false) {
                    if began_at == 0 {
                        fixture.export(0, 10);
                        fixture.configure(1, &[("delta.checkpointInterval", "4")]);
                        fixture.export(0, 10);
                    }
                    (3..9).for_each(|_| drop(fixture.export(0, 10)));
                    gone.clone().for_each(|version| fs::remove_file(fixture.commit(version)).unwrap());
                }
            })
            .unwrap_err();
        assert!(matches!(&error, ExportError::CleanedUp { path } if *path == fixture.commit(began_at)) && !error.is_refusal(), "{error}");
        assert!(!fixture.commit(began_at).exists());
        let report = slow.run(&mut |_| {}).unwrap();
        assert_eq!((report.from.get(), report.rows()), (kept + 5, 0), "the file is complete");
        assert!(fixture.commit(9).exists());
        drop(slow);
        fixture.check_tables(&[if began_at == 0 { 80 } else { 70 }, kept + 5]);
    }
}

/// What others removed from the table long ago is named nowhere any more. It is not ours to refuse, nor to commit again.
#[test]
fn files_that_a_checkpoint_has_forgotten_are_left_alone() {
    let fixture = Fixture::new();
    fixture.export(0, 10);
    fixture.configure(1, &[("delta.checkpointInterval", "4"), ("delta.deletedFileRetentionDuration", "interval 2 days")]);
    fixture.export(0, 10);
    let home = fixture.table().join("partition=0");
    let [one, two] = [(0, 9), (10, 19)].map(|(first, last)| format!("{first:020}-{last:020}.parquet"));
    fs::copy(home.join(&one), home.join("part-a.parquet")).unwrap();
    fs::copy(home.join(&two), home.join("part-b.parquet")).unwrap();
    let now_ms = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    let remove = |name: &str, days: u64| {
        let at = now_ms - days * 24 * 3_600_000;
        json!({ "remove": { "path": format!("partition=0/{name}"), "deletionTimestamp": at, "dataChange": false } }).to_string()
    };
    let add = |name: &str| {
        json!({ "add": { "path": format!("partition=0/{name}"), "partitionValues": { "partition": "0" }, "size": 1, "modificationTime": 1, "dataChange": false } })
            .to_string()
    };
    fs::write(fixture.commit(3), [remove(&one, 3), add("part-a.parquet"), remove(&two, 1), add("part-b.parquet")].join("\n")).unwrap();
    fixture.export(0, 10);
    let found = column(&rows(&fixture.checkpoint(4)), "remove", "path");
    assert_eq!(found, [format!("partition=0/{two}")], "tombstones of two days");
    for version in 0..4 {
        fs::remove_file(fixture.commit(version)).unwrap();
    }
    let report = fixture.export(0, 10);
    assert_eq!((report.from.get(), report.rows()), (30, 10));
    assert!(home.join(&one).exists() && home.join(&two).exists());
}

#[test]
fn statistics_in_columns_of_their_own_are_left_to_those_who_asked_for_them() {
    let fixture = Fixture::new();
    fixture.export(0, 10);
    fixture.configure(1, &[("delta.checkpointInterval", "2"), ("delta.checkpoint.writeStatsAsStruct", "true")]);
    let report = fixture.export(0, 10);
    assert_eq!((report.checkpoint_failures.len(), fixture.checkpoints().len()), (0, 0));
}

/// Whenever the process dies or the power fails, what has the name of a checkpoint is one: with it, and without the commits up to it, each row is
/// exported once.
#[test]
fn a_checkpoint_has_its_name_only_when_it_is_whole() {
    let fixture = Fixture::new();
    fixture.append(0, 60);
    for names in [NameModel::Strict, NameModel::Journal] {
        let disk = SimDisk::new(7, names);
        fixture.on(&disk, Some(10)).unwrap();
        let meta_data = configured(&bytes_of(&disk.image(), &commit_in("/out/topic=many", 0)), &[("delta.checkpointInterval", "2")]);
        put(&disk, &commit_in("/out/topic=many", 1), &meta_data);
        disk.watch(2);
        for until in [20, 30, 40, 50] {
            fixture.on(&disk, Some(until)).unwrap();
        }
        let cuts = disk.take_cuts();
        let mut checkpoints = BTreeSet::new();
        for (number, cut) in cuts.into_iter().enumerate() {
            let mut image = cut.image;
            let newest = image.files().filter_map(|(path, _)| version_of_checkpoint(path)).max();
            checkpoints.extend(newest);
            if let Some(version) = newest {
                for version in 0..=version {
                    image.remove(commit_in("/out/topic=many", version));
                }
            }
            let disk = image.disk(number as u64, names);
            let report = fixture.on(&disk, None).unwrap_or_else(|error| panic!("{names:?}, cut {number}, checkpoint {newest:?}: {error}"));
            assert_eq!(report.until.get(), 60);
            assert_eq!(offsets_in(&disk.image(), &fixture), (0..60).collect::<Vec<_>>(), "{names:?}, cut {number}, checkpoint {newest:?}");
        }
        assert!(checkpoints.len() == 2, "{checkpoints:?}");
    }
}

/// Whatever call fails, in a run that writes checkpoints and in the next one, every row is in the table once.
#[test]
fn a_run_with_checkpoints_that_fails_anywhere_is_made_good_by_the_next() {
    let mut told = 0;
    for nth in 1.. {
        let fixture = Fixture::new();
        fixture.export(0, 10);
        fixture.configure(1, &[("delta.checkpointInterval", "2")]);
        fixture.append(0, 30);
        let storage = Faulty::new(Arc::new(Disk::new()));
        storage.inject(Fault::anywhere().nth(nth).error(EIO));
        let outcome = fixture.exporter(0).rows_per_file(10).storage(Arc::new(storage.clone())).run(&mut |_| {});
        if storage.fired() == 0 {
            outcome.unwrap();
            assert!(nth > 60, "only {nth} calls");
            break;
        }
        match outcome {
            Ok(report) => told += report.checkpoint_failures.len(),
            Err(error) => assert!(matches!(error, ExportError::Io(_)), "call {nth}: {error}"),
        }
        storage.heal();
        fixture.export(0, 20);
        assert!(!fixture.checkpoints().is_empty(), "call {nth}");
        let newest = fixture.checkpoints().pop().unwrap();
        for version in 0..=newest {
            fs::remove_file(fixture.commit(version)).unwrap();
        }
        fixture.check_tables(&[60]);
        let names = fixture.names_without_dots();
        assert_eq!(names, fixture.names(), "call {nth}: nothing is left over");
    }
    assert!(told >= 8, "only {told} checkpoints failed");
}

struct Fixture {
    dir: TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("data")).unwrap();
        drop(store.create_topic("many", 2).unwrap());
        Self { dir, store }
    }

    fn partition(&self, number: u32) -> Partition {
        self.store.topic("many").unwrap().partition(number).unwrap()
    }

    fn append(&self, partition: u32, count: usize) {
        let mut batch = RecordBatch::new();
        (0..count).for_each(|number| batch.push(&Record::new(format!("value {number}").as_bytes()).key("k")).unwrap());
        if count > 0 {
            self.partition(partition).append_batch(&batch, AckLevel::Durable).unwrap();
        }
    }

    fn exporter(&self, partition: u32) -> ParquetExport {
        ParquetExport::new(self.partition(partition).view(), self.dir.path().join("out"))
    }

    /// Appends records, and exports them as a file.
    fn export(&self, partition: u32, count: usize) -> ExportReport {
        self.append(partition, count);
        self.exporter(partition).run(&mut |_| {}).unwrap()
    }

    /// Exports the first partition to a disk that is simulated.
    fn on(&self, disk: &SimDisk, until: Option<u64>) -> Result<ExportReport, ExportError> {
        let export = ParquetExport::new(self.partition(0).view(), "/out").storage(Arc::new(disk.clone())).threads(1);
        let export = if let Some(until) = until { export.until(until) } else { export };
        export.run(&mut |_| {})
    }

    fn table(&self) -> PathBuf {
        self.dir.path().join("out/topic=many")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.table().join("_delta_log").join(name)
    }

    fn commit(&self, version: u64) -> PathBuf {
        commit_in(self.table(), version)
    }

    fn checkpoint(&self, version: u64) -> PathBuf {
        self.log(&format!("{version:020}.checkpoint.parquet"))
    }

    fn part(&self, version: u64, part: usize) -> PathBuf {
        self.log(&format!("{version:020}.checkpoint.{part:010}.0000000003.parquet"))
    }

    /// Puts three parts in the place of a checkpoint.
    fn split(&self, version: u64) {
        let all = rows(&self.checkpoint(version));
        fs::remove_file(self.checkpoint(version)).unwrap();
        let each = all.num_rows().div_ceil(3);
        for number in 0..3 {
            let from = number * each;
            write(&self.part(version, number + 1), &all.slice(from, each.min(all.num_rows() - from)), Compression::SNAPPY);
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.log("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn names_without_dots(&self) -> Vec<String> {
        self.names().into_iter().filter(|name| !name.starts_with('.')).collect()
    }

    /// The versions of all checkpoints.
    fn checkpoints(&self) -> Vec<u64> {
        self.names().iter().filter_map(|name| version_of_checkpoint(Path::new(name))).collect()
    }

    /// Configures the table, as another tool would, by a commit of its own.
    fn configure(&self, version: u64, configuration: &[(&str, &str)]) {
        fs::write(self.commit(version), configured(&fs::read(self.commit(0)).unwrap(), configuration)).unwrap();
    }

    /// Checks that the table holds so many rows of each partition, each once, as the import finds them.
    fn check_tables(&self, rows: &[u64]) {
        let import = ParquetImport::open(self.dir.path().join("out"), "many").unwrap();
        assert_eq!(import.rows(), rows.iter().sum::<u64>());
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let topic = store.create_topic("many", 2).unwrap();
        for (number, rows) in rows.iter().enumerate() {
            let partition = topic.partition(number as u32).unwrap();
            assert_eq!(import.restore(number as u32, &partition, &mut |_| {}).unwrap().rows, *rows, "partition {number}");
            assert_eq!((partition.log_start_offset().get(), partition.log_end_offset().get()), (0, *rows), "partition {number}");
            assert_eq!(self.exporter(number as u32).watermark().unwrap().unwrap().get(), *rows);
        }
    }
}

/// There is no such file.
const ENOENT: i32 = 2;

fn run(session: &mut ExportSession, rows: u64) {
    assert_eq!(session.run(&mut |_| {}).unwrap().rows(), rows);
}

fn commit_in(table: impl AsRef<Path>, version: u64) -> PathBuf {
    table.as_ref().join(format!("_delta_log/{version:020}.json"))
}

fn version_of_checkpoint(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".checkpoint.parquet")?.parse().ok()
}

/// A commit that configures the table of a first commit.
fn configured(first: &[u8], configuration: &[(&str, &str)]) -> Vec<u8> {
    let lines = first.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let mut actions = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap());
    let mut action = actions.find(|action| action.get("metaData").is_some()).unwrap();
    for (key, value) in configuration {
        action["metaData"]["configuration"][key] = json!(value);
    }
    action.to_string().into_bytes()
}

/// Writes a file of a simulated disk, durably.
fn put(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    let file = disk.create(path).unwrap();
    assert_eq!(file.write_at(bytes, 0).unwrap(), bytes.len());
    file.sync().unwrap();
    disk.sync_dir(path.parent().unwrap()).unwrap();
}

fn bytes_of(image: &Image, path: &Path) -> Vec<u8> {
    image.files().find(|(found, _)| *found == path).unwrap().1.to_vec()
}

/// The offsets that the table in an image holds, by the import.
fn offsets_in(image: &Image, fixture: &Fixture) -> Vec<u64> {
    let disk: Arc<dyn Storage> = Arc::new(image.disk(1, NameModel::Strict));
    let import = ParquetImport::open_in(disk, "/out", "many").unwrap();
    let home = tempfile::tempdir_in(fixture.dir.path()).unwrap();
    let store = Store::open(home.path()).unwrap();
    let partition = store.topic("many").unwrap().partition(0).unwrap();
    import.restore(0, &partition, &mut |_| {}).unwrap();
    partition.read_from(0).unwrap().map(|record| record.unwrap().offset().get()).collect()
}

fn write(path: &Path, rows: &Rows, compression: Compression) {
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

fn rows(path: &Path) -> Rows {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(fs::read(path).unwrap())).unwrap().build().unwrap();
    let rows: Vec<Rows> = reader.map(Result::unwrap).collect();
    concat_batches(&rows[0].schema(), &rows).unwrap()
}

/// What a column of texts of an action has.
fn column(rows: &Rows, action: &str, name: &str) -> Vec<String> {
    let action = rows[action].as_struct();
    let texts = action[name].as_string::<i32>();
    (0..rows.num_rows()).filter(|row| action.is_valid(*row) && texts.is_valid(*row)).map(|row| texts.value(row).to_owned()).collect()
}
