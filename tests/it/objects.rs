//! Exports into object stores: whatever call fails, and whoever else exports there at the same time, the files that the Delta log names hold each
//! record once.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidelog::export::objects::ObjectPlace;
use tidelog::export::{ExportError, ParquetExport, ParquetImport, TypedColumn, TypedColumns};
use tidelog::{Record, Store};

use crate::export::{Fixture, Row, read_bytes};
use crate::object_faults::{FlakyStore, When};

#[test]
fn an_export_goes_on_where_the_last_one_ended() {
    for bucket in Bucket::each() {
        let fixture = Fixture::new();
        let place = bucket.place().named("test://bucket");
        let export = ParquetExport::to_objects(fixture.partition().view(), &place).rows_per_file(10);
        assert_eq!((export.watermark().unwrap(), export.run(&mut |_| {}).unwrap().files.len()), (None, 0));
        assert_eq!(bucket.names().len(), 0);
        let mut rows = fixture.append_odd(0..25);
        let report = export.run(&mut |_| {}).unwrap();
        assert_eq!((report.rows(), report.files.len(), export.watermark().unwrap()), (25, 3, Some(25.into())));
        let name = report.files[0].path.to_str().unwrap();
        let digits = name.strip_prefix("test://bucket/some/place/topic=odd/partition=0/00000000000000000000-00000000000000000009-").unwrap();
        assert!(digits.len() == 16 + ".parquet".len() && digits.ends_with(".parquet"), "{name}");
        assert_eq!(report.files[0].bytes, bucket.get(&name["test://bucket/".len()..]).len() as u64);

        let mut session = export.begin().unwrap();
        assert_eq!((session.has_more(), session.watermark()), (false, Some(25.into())));
        rows.extend(fixture.append_odd(25..30));
        let report = session.run(&mut |_| {}).unwrap();
        assert_eq!((report.kept_files, report.rows(), session.watermark()), (3, 5, Some(30.into())));
        assert_eq!(bucket.rows(), rows);
        assert_eq!(bucket.names().len(), 4 + 4, "a commit a file");

        let other = tempfile::tempdir().unwrap();
        let copy = Store::open(other.path()).unwrap().topic("odd").unwrap().partition(0).unwrap();
        let import = ParquetImport::open_objects(&place, "odd").unwrap();
        assert_eq!((import.rows(), import.restore(0, &copy, &mut |_| {}).unwrap().rows), (30, 30));
        assert_eq!(copy.log_end_offset().get(), 30);
    }
}

/// A call fails before or after it was done: the run made it good, or the next one does.
#[test]
fn a_run_that_fails_anywhere_is_made_good_by_the_next() {
    for (store, when) in (0..2).flat_map(|store| [(store, When::Before), (store, When::After)]) {
        let (mut nth, mut resolved) = (0, 0);
        loop {
            nth += 1;
            let bucket = Bucket::each().remove(store);
            let (fixture, flaky) = (Fixture::new(), FlakyStore::new(bucket.store.clone()));
            let rows = fixture.append_odd(0..30);
            flaky.fail(nth, when, false);
            // The second file is large enough for parts.
            let export = ParquetExport::to_objects(fixture.partition().view(), &bucket.place_in(&flaky).part_bytes(1000)).rows_per_file(13);
            match export.run(&mut |_| {}) {
                Ok(_) if flaky.fired() == 0 => break,
                Ok(_) => resolved += 1,
                Err(error) => assert!(matches!(error, ExportError::Io(_)) && error.to_string().contains("odd"), "{when:?} call {nth}: {error}"),
            }
            flaky.heal();
            export.run(&mut |_| {}).unwrap_or_else(|error| panic!("{when:?} call {nth}: {error}"));
            assert_eq!(bucket.rows(), rows, "{when:?} call {nth}");
            assert_eq!(export.watermark().unwrap(), Some(30.into()));
        }
        assert!(nth > 18, "only {nth} calls");
        // The three commits, whose outcome was not known.
        assert_eq!(resolved, if when == When::After { 3 } else { 0 }, "{when:?}");
    }
}

/// Killed after any call, also one that was done and not heard of, the next run commits what was complete, and each row once.
#[test]
fn a_run_that_is_killed_anywhere_is_continued() {
    for (store, when) in (0..2).flat_map(|store| [(store, When::Before), (store, When::After)]) {
        let (mut nth, mut adopted) = (0, 0);
        loop {
            nth += 1;
            let bucket = Bucket::each().remove(store);
            let (fixture, flaky) = (Fixture::new(), FlakyStore::new(bucket.store.clone()));
            let rows = fixture.append_odd(0..30);
            flaky.fail(nth, when, true);
            let partition = fixture.partition();
            let export = |place: ObjectPlace| ParquetExport::to_objects(partition.view(), &place).rows_per_file(10);
            let outcome = export(bucket.place_in(&flaky).part_bytes(1000)).run(&mut |_| {});
            if flaky.fired() == 0 {
                outcome.unwrap();
                break;
            }
            outcome.unwrap_err();
            let (committed, complete) = (bucket.table().len(), bucket.data_files());
            adopted += complete.len() - committed;
            assert_eq!(export(bucket.place()).watermark().unwrap().map_or(0, |offset| offset.get()), bucket.rows().len() as u64);
            let report = export(bucket.place()).run(&mut |_| {}).unwrap();
            assert_eq!(report.kept_files, complete.len(), "{when:?} call {nth}");
            assert_eq!(bucket.rows(), rows, "{when:?} call {nth}");
            assert_eq!(bucket.data_files().len(), 3, "{when:?} call {nth}: what was complete is used");
        }
        assert!(nth > 18 && adopted > 0, "only {nth} calls, {adopted} files were complete and not committed");
    }
}

/// A session goes on after whatever failed, and nothing is twice in the table.
#[test]
fn a_session_goes_on_after_a_run_that_failed() {
    for when in [When::Before, When::After] {
        for nth in 1.. {
            let bucket = Bucket::memory();
            let (fixture, flaky) = (Fixture::new(), FlakyStore::new(bucket.store.clone()));
            let mut rows = fixture.append_odd(0..20);
            let mut session = ParquetExport::to_objects(fixture.partition().view(), &bucket.place_in(&flaky)).rows_per_file(10).begin().unwrap();
            flaky.fail(nth, when, false);
            let outcome = session.run(&mut |_| {});
            if flaky.fired() == 0 {
                outcome.unwrap();
                assert!(nth > 4, "only {nth} calls");
                break;
            }
            flaky.heal();
            rows.extend(fixture.append_odd(20..25));
            session.run(&mut |_| {}).unwrap();
            assert_eq!(session.watermark().unwrap().get(), 25);
            assert_eq!(bucket.rows(), rows, "{when:?} call {nth}");
        }
    }
}

#[test]
fn two_exporters_that_race_export_each_record_once() {
    for bucket in Bucket::each() {
        let fixture = Fixture::new();
        let partition = fixture.partition();
        let (mut rows, mut fenced, mut done) = (Vec::new(), 0, 0);
        for round in 0..15 {
            rows.extend(fixture.append_odd(round * 100..(round + 1) * 100));
            let run = |rows_per_file| ParquetExport::to_objects(partition.view(), &bucket.place()).rows_per_file(rows_per_file).run(&mut |_| {});
            let outcomes = thread::scope(|scope| {
                let runs = [30, 45, 100].map(|rows_per_file| scope.spawn(move || run(rows_per_file)));
                runs.map(|run| run.join().unwrap())
            });
            for outcome in outcomes {
                match outcome {
                    Ok(_) => done += 1,
                    Err(ExportError::Fenced { .. }) => fenced += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            run(100).unwrap();
            assert_eq!(bucket.rows().len(), rows.len(), "round {round}");
        }
        assert!(bucket.rows() == rows);
        assert!(fenced > 0 && done > 0, "{fenced} of {} were fenced", fenced + done);
    }
}

/// Each commits to the log of the one table.
#[test]
fn partitions_of_a_topic_commit_side_by_side() {
    let bucket = Bucket::memory();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("odd", 4).unwrap();
    for (number, round) in (0..4).flat_map(|number| (0..20).map(move |round| (number, round))) {
        topic.partition(number).unwrap().append(Record::new(&format!("{number} {round}"))).unwrap();
    }
    thread::scope(|scope| {
        for number in 0..4 {
            let (topic, bucket) = (&topic, &bucket);
            scope.spawn(move || {
                let partition = topic.partition(number).unwrap();
                ParquetExport::to_objects(partition.view(), &bucket.place()).rows_per_file(4).run(&mut |_| {}).unwrap();
            });
        }
    });
    assert_eq!((bucket.table().len(), bucket.rows().len()), (20, 80));
}

/// Another process has exported what this one's view does not show yet: that is no log that was cut.
#[test]
fn a_view_that_lags_behind_the_export_catches_up() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    let mut rows = fixture.append_odd(0..10);
    let export = ParquetExport::to_objects(fixture.partition().view(), &bucket.place());
    export.run(&mut |_| {}).unwrap();
    let reader = Store::open_read_only(fixture.dir.path().join("data")).unwrap();
    let view = reader.topic("odd").unwrap().partition(0).unwrap();
    let lagging = ParquetExport::to_objects(&view, &bucket.place());
    rows.extend(fixture.append_odd(10..25));
    export.run(&mut |_| {}).unwrap();
    assert_eq!(lagging.run(&mut |_| {}).unwrap().from.get(), 25);
    fixture.partition().truncate_suffix(20).unwrap();
    view.refresh().unwrap();
    let error = lagging.run(&mut |_| {}).unwrap_err();
    assert!(matches!(error, ExportError::AheadOfLog { .. }), "{error}");
    assert_eq!(bucket.rows(), rows);
}

/// Whoever finds a complete file commits it; the process that wrote it, about to commit it too, finds it committed.
#[test]
fn a_file_that_another_process_committed_is_committed() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    let rows = fixture.append_odd(0..10);
    let flaky = FlakyStore::new(bucket.store.clone());
    let (view, place) = (fixture.partition().view().clone(), bucket.place());
    flaky.before_commit(move || assert_eq!(ParquetExport::to_objects(&view, &place).run(&mut |_| {}).unwrap().kept_files, 1));
    let report = ParquetExport::to_objects(fixture.partition().view(), &bucket.place_in(&flaky)).run(&mut |_| {}).unwrap();
    assert_eq!((report.rows(), bucket.rows(), flaky.deletes()), (10, rows, 0));
    assert_eq!((bucket.data_files().len(), bucket.names().len()), (1, 2));
}

#[test]
fn whoever_was_overtaken_is_fenced_and_removes_its_own_file_alone() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    let mut rows = fixture.append_odd(0..10);
    let flaky = FlakyStore::new(bucket.store.clone());
    let export = ParquetExport::to_objects(fixture.partition().view(), &bucket.place_in(&flaky));
    let mut session = export.begin().unwrap();
    // Of another place in the table: it exports the same offsets to a file of its own, and does not see the first.
    let (view, place) = (fixture.partition().view().clone(), bucket.place());
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let error = session
        .run(&mut |_| {
            if is_first.swap(false, std::sync::atomic::Ordering::Relaxed) {
                ParquetExport::to_objects(&view, &place).until(7).run(&mut |_| {}).unwrap();
            }
        })
        .unwrap_err();
    assert!(matches!(&error, ExportError::Fenced { watermark, .. } if watermark.get() == 7) && error.is_refusal(), "{error}");
    assert_eq!((flaky.deletes(), bucket.data_files().len(), bucket.rows().len()), (1, 1, 7));
    rows.extend(fixture.append_odd(10..20));
    let report = session.run(&mut |_| {}).unwrap();
    assert_eq!((report.from.get(), report.rows()), (7, 13));
    assert_eq!(bucket.rows(), rows);
}

/// Each request costs time and money: however long the log is, a session's run needs a few.
#[test]
fn a_run_with_little_to_do_asks_for_little() {
    for bucket in Bucket::each() {
        let fixture = Fixture::new();
        fixture.append_odd(0..60);
        let flaky = FlakyStore::new(bucket.store.clone());
        let export = ParquetExport::to_objects(fixture.partition().view(), &bucket.place_in(&flaky)).rows_per_file(2);
        let mut session = export.begin().unwrap();
        assert_eq!(session.run(&mut |_| {}).unwrap().files.len(), 30);
        let mut calls_of = |rows: u64| {
            flaky.fail(u64::MAX, When::Before, false);
            assert_eq!(session.run(&mut |_| {}).unwrap().rows(), rows);
            flaky.calls()
        };
        assert_eq!(calls_of(0), 2, "the names of the log, and the commit that would be next");
        fixture.append_odd(60..62);
        assert_eq!(calls_of(2), 5, "the file, its commit, and the names once more");
    }
}

/// Between its runs another process has exported: the next one begins behind that, rather than in vain.
#[test]
fn a_session_goes_on_behind_what_another_has_exported() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    let mut rows = fixture.append_odd(0..10);
    let export = ParquetExport::to_objects(fixture.partition().view(), &bucket.place());
    let mut session = export.begin().unwrap();
    session.run(&mut |_| {}).unwrap();
    rows.extend(fixture.append_odd(10..20));
    export.run(&mut |_| {}).unwrap();
    rows.extend(fixture.append_odd(20..30));
    let report = session.run(&mut |_| {}).unwrap();
    assert_eq!((report.from.get(), report.kept_files, report.rows()), (20, 2, 10));
    assert_eq!(bucket.rows(), rows);
}

/// What is complete, and neither committed nor to be: other offsets, other columns, other partitions, other tools. It is left, and does no harm.
#[test]
fn what_cannot_be_committed_is_left_and_harms_nothing() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    let rows = fixture.append_odd(0..30);
    let export = ParquetExport::to_objects(fixture.partition().view(), &bucket.place());
    let flaky = FlakyStore::new(bucket.store.clone());
    flaky.conflict(u64::MAX);
    ParquetExport::to_objects(fixture.partition().view(), &bucket.place_in(&flaky)).until(10).run(&mut |_| {}).unwrap_err();
    let first = bucket.data_files().pop_first().unwrap();
    let other = Fixture::new();
    other.append_odd(0..40);
    let elsewhere = Bucket::memory();
    let names = |range: std::ops::Range<u64>, fixture: &Fixture| {
        let place = ObjectPlace::new(elsewhere.store.clone(), format!("{}-{}", range.start, fixture.partition().view().uuid()[0]).as_str().into());
        let report = ParquetExport::to_objects(fixture.partition().view(), &place).from(range.start).until(range.end).run(&mut |_| {}).unwrap();
        let path = report.files[0].path.to_str().unwrap().to_owned();
        let name = path.rsplit_once('/').unwrap().1.to_owned();
        bucket.put(&format!("some/place/topic=odd/partition=0/{name}"), elsewhere.get(&path));
        name
    };
    let overlapping = names(5..20, &fixture);
    let behind = names(15..25, &fixture);
    let foreign = names(10..20, &other);
    for name in ["part-0.zstd.parquet", "00000000000000000010-00000000000000000019-00000000000000ff.parquet"] {
        bucket.put(&format!("some/place/topic=odd/partition=0/{name}"), Bytes::from_static(b"PAR1 but not for long"));
    }
    let before = bucket.data_files();
    assert_eq!(before.len(), 6);
    let report = export.run(&mut |_| {}).unwrap();
    assert_eq!((report.kept_files, report.rows()), (1, 20));
    assert_eq!(bucket.rows(), rows);
    assert!(before.is_subset(&bucket.data_files()), "nothing was removed");
    let table = bucket.table();
    assert!(table[0].ends_with(&first) && table.len() == 2, "{table:?}");
    assert!([overlapping, behind, foreign].iter().all(|name| !table.iter().any(|path| path.ends_with(name.as_str()))));
    assert_eq!(export.run(&mut |_| {}).unwrap().rows(), 0);
}

#[test]
fn a_file_with_other_columns_or_of_a_log_that_was_cut_is_not_committed() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    fixture.append_odd(0..20);
    let partition = fixture.partition();
    let flaky = FlakyStore::new(bucket.store.clone());
    let place = bucket.place_in(&flaky);
    let killed_at_commit = |export: ParquetExport| {
        let mut session = export.begin().unwrap();
        flaky.conflict(u64::MAX);
        session.run(&mut |_| {}).unwrap_err();
        flaky.conflict(0);
    };
    let columns = TypedColumns::new([TypedColumn::new("n", ".n".parse().unwrap(), "int64".parse().unwrap())]).unwrap();
    killed_at_commit(ParquetExport::to_objects(partition.view(), &place).columns(columns).until(5));
    assert_eq!(bucket.data_files().len(), 1);
    killed_at_commit(ParquetExport::to_objects(partition.view(), &place));
    assert_eq!(bucket.data_files().len(), 2);
    partition.truncate_suffix(15).unwrap();
    fixture.append_odd(15..25);
    let report = ParquetExport::to_objects(partition.view(), &bucket.place()).run(&mut |_| {}).unwrap();
    assert_eq!((report.kept_files, report.rows(), bucket.data_files().len(), flaky.deletes()), (0, 25, 3, 0));
    assert_eq!(bucket.rows().iter().map(|row| row.offset).collect::<Vec<_>>(), (0..25).collect::<Vec<_>>());
}

/// A store that says that somebody is in the way, and nobody is, is asked again a few times and no more.
#[test]
fn a_conflict_with_nobody_ends() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    let rows = fixture.append_odd(0..10);
    let flaky = FlakyStore::new(bucket.store.clone());
    let export = ParquetExport::to_objects(fixture.partition().view(), &bucket.place_in(&flaky));
    flaky.conflict(u64::MAX);
    let error = export.run(&mut |_| {}).unwrap_err();
    let said = [error.to_string(), std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default()].join(" ");
    assert!(said.contains("00000000000000000000.json") && said.contains("ConditionalRequestConflict"), "{said}");
    flaky.conflict(2);
    export.run(&mut |_| {}).unwrap();
    assert_eq!(bucket.rows(), rows);
}

#[test]
fn a_large_file_is_uploaded_in_parts_and_aborted_when_one_fails() {
    for bucket in Bucket::each() {
        let fixture = Fixture::new();
        let rows = fixture.append_odd(0..3000);
        let flaky = FlakyStore::new(bucket.store.clone());
        let export = ParquetExport::to_objects(fixture.partition().view(), &bucket.place_in(&flaky).part_bytes(1000));
        flaky.fail(11, When::Before, false);
        let error = export.run(&mut |_| {}).unwrap_err();
        assert!(matches!(&error, ExportError::Io(error) if error.action == "upload"), "{error}");
        assert_eq!((flaky.aborts(), bucket.names().len()), (1, 0), "an upload that was aborted leaves nothing");
        flaky.heal();
        let before = flaky.parts();
        let report = export.run(&mut |_| {}).unwrap();
        assert_eq!(flaky.parts() - before, report.bytes().div_ceil(1000));
        assert_eq!(bucket.rows(), rows);
    }
}

#[test]
fn a_place_for_the_file_that_is_not_there_is_an_error() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    fixture.append_odd(0..10);
    let nowhere = fixture.dir.path().join("nowhere");
    let error = ParquetExport::to_objects(fixture.partition().view(), &bucket.place().spool_directory(&nowhere)).run(&mut |_| {}).unwrap_err();
    let ExportError::Io(error) = error else { panic!("{error}") };
    assert!(error.source.to_string().contains(nowhere.to_str().unwrap()), "{error}");
}

/// Calls block, on a thread of an async runtime too, and do nothing worse.
#[tokio::test]
async fn a_thread_of_an_async_runtime_may_export() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    fixture.append_odd(0..10);
    let export = ParquetExport::to_objects(fixture.partition().view(), &bucket.place());
    assert_eq!(export.run(&mut |_| {}).unwrap().rows(), 10);
}

/// A store's code that exports, on the one thread that makes the requests, is told so: it would wait for itself.
#[test]
fn a_store_that_exports_is_told_that_it_may_not() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    let rows = fixture.append_odd(0..10);
    let flaky = FlakyStore::new(bucket.store.clone());
    let inner = ParquetExport::to_objects(fixture.partition().view(), &bucket.place());
    flaky.inline_before_commit(move || {
        let ExportError::Io(error) = inner.run(&mut |_| {}).unwrap_err() else { panic!("another error") };
        assert!(error.source.to_string().contains("would wait for itself"), "{error}");
    });
    ParquetExport::to_objects(fixture.partition().view(), &bucket.place_in(&flaky)).run(&mut |_| {}).unwrap();
    assert_eq!(bucket.rows(), rows);
}

/// A commit of another partition may be in the way any number of times.
#[test]
fn a_race_for_a_commit_is_tried_again() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    let mut rows = fixture.append_odd(0..10);
    let flaky = FlakyStore::new(bucket.store.clone());
    let export = ParquetExport::to_objects(fixture.partition().view(), &bucket.place_in(&flaky));
    export.run(&mut |_| {}).unwrap();
    rows.extend(fixture.append_odd(10..20));
    let store = bucket.store.clone();
    flaky.before_commit(move || {
        let other = json!({ "txn": { "appId": "tidelog:odd/1", "version": 7 } }).to_string();
        block_on(async { store.put(&commit(1), other.into()).await.unwrap() });
    });
    export.run(&mut |_| {}).unwrap();
    assert_eq!((bucket.rows(), bucket.names().len()), (rows, 2 + 3));
}

/// Files are put together and a checkpoint is written, whatever call fails, before it was done or after.
#[test]
fn a_compaction_that_fails_anywhere_is_made_good() {
    for when in [When::Before, When::After] {
        for nth in 1.. {
            let bucket = Bucket::memory();
            let (fixture, flaky) = (Fixture::new(), FlakyStore::new(bucket.store.clone()));
            fixture.append_odd(0..30);
            let partition = fixture.partition();
            let export = |place: ObjectPlace| ParquetExport::to_objects(partition.view(), &place);
            export(bucket.place()).rows_per_file(10).run(&mut |_| {}).unwrap();
            let first = bucket.get(commit(0).as_ref());
            let meta_data = first.split(|&byte| byte == b'\n').find(|line| line.starts_with(b"{\"metaData\"")).unwrap();
            let mut meta_data: Value = serde_json::from_slice(meta_data).unwrap();
            meta_data["metaData"]["configuration"]["delta.checkpointInterval"] = json!("4");
            bucket.put(commit(3).as_ref(), meta_data.to_string().into());
            let mut session = export(bucket.place_in(&flaky)).begin().unwrap();
            flaky.fail(nth, when, false);
            let outcome = session.compact();
            let is_last = flaky.fired() == 0;
            flaky.heal();
            match outcome {
                Ok(report) => assert!(report.removed_files == 3 && (!is_last || report.checkpoint_failures.is_empty()), "{when:?} call {nth}"),
                Err(error) => assert!(matches!(error, ExportError::Io(_)), "{when:?} call {nth}: {error}"),
            }
            fixture.append_odd(30..40);
            let mut session = export(bucket.place()).begin().unwrap();
            session.run(&mut |_| {}).unwrap();
            session.compact().unwrap();
            // Without the commits up to the checkpoint, if there is one.
            let checkpoint =
                bucket.names().iter().filter_map(|name| name.strip_suffix(".checkpoint.parquet")?.rsplit('/').next()?.parse::<u64>().ok()).max();
            assert!(checkpoint.is_some(), "{when:?} call {nth}");
            (0..=checkpoint.unwrap()).for_each(|version| bucket.delete(commit(version).as_ref()));
            let copy = tempfile::tempdir().unwrap();
            let copy = Store::open(copy.path()).unwrap().topic("odd").unwrap().partition(0).unwrap();
            let import = ParquetImport::open_objects(&bucket.place(), "odd").unwrap();
            assert_eq!((import.restore(0, &copy, &mut |_| {}).unwrap().rows, copy.log_end_offset().get()), (40, 40), "{when:?} call {nth}");
            assert_eq!(export(bucket.place()).watermark().unwrap(), Some(40.into()));
            if is_last {
                assert!(nth > 10, "only {nth} calls");
                break;
            }
        }
    }
}

/// Of two that put the same files together, one does.
#[test]
fn files_are_put_together_once() {
    let (bucket, fixture) = (Bucket::memory(), Fixture::new());
    fixture.append_odd(0..30);
    let export = ParquetExport::to_objects(fixture.partition().view(), &bucket.place());
    export.clone().rows_per_file(10).run(&mut |_| {}).unwrap();
    let (mut one, mut two) = (export.begin().unwrap(), export.begin().unwrap());
    assert_eq!((one.compact().unwrap().removed_files, two.compact().unwrap().removed_files), (3, 0));
    fixture.append_odd(30..40);
    assert_eq!((two.run(&mut |_| {}).unwrap().rows(), bucket.data_files().len()), (10, 2));
}

/// Before whatever call another process puts the same files together: it was first, and that is what is said, or it finds nothing left to be done.
#[test]
fn whoever_is_overtaken_while_it_puts_files_together_is_fenced() {
    for store in 0..2 {
        let mut fenced = 0;
        for nth in 1.. {
            let bucket = Bucket::each().remove(store);
            let (fixture, flaky) = (Fixture::new(), FlakyStore::new(bucket.store.clone()));
            fixture.append_odd(0..30);
            let partition = fixture.partition();
            ParquetExport::to_objects(partition.view(), &bucket.place()).rows_per_file(10).run(&mut |_| {}).unwrap();
            let mut session = ParquetExport::to_objects(partition.view(), &bucket.place_in(&flaky)).begin().unwrap();
            let other = ParquetExport::to_objects(partition.view(), &bucket.place());
            flaky.before_call(nth, move || drop(other.begin().unwrap().compact().unwrap()));
            let outcome = session.compact();
            let is_last = flaky.waits();
            match outcome {
                Ok(report) => assert!([0, 3].contains(&report.removed_files), "call {nth}: {report:?}"),
                Err(ExportError::Fenced { watermark, .. }) if watermark.get() == 30 => fenced += 1,
                Err(error) => panic!("call {nth}: {error}"),
            }
            fixture.append_odd(30..40);
            assert_eq!(session.run(&mut |_| {}).unwrap().rows(), 10, "call {nth}");
            let copy = tempfile::tempdir().unwrap();
            let copy = Store::open(copy.path()).unwrap().topic("odd").unwrap().partition(0).unwrap();
            let import = ParquetImport::open_objects(&bucket.place(), "odd").unwrap();
            assert_eq!((import.rows(), import.restore(0, &copy, &mut |_| {}).unwrap().rows), (40, 40), "call {nth}");
            if is_last {
                assert!(nth > 10 && fenced > 5, "{fenced} of {nth} calls");
                break;
            }
        }
    }
}

/// A file that nobody has put anywhere is lost, and nobody was first.
#[test]
fn a_file_that_is_lost_while_it_is_put_into_another_is_no_fence() {
    let (mut lost, mut done) = (0, 0);
    while done == 0 {
        let (bucket, fixture) = (Bucket::memory(), Fixture::new());
        let flaky = FlakyStore::new(bucket.store.clone());
        fixture.append_odd(0..30);
        ParquetExport::to_objects(fixture.partition().view(), &bucket.place()).rows_per_file(10).run(&mut |_| {}).unwrap();
        let mut session = ParquetExport::to_objects(fixture.partition().view(), &bucket.place_in(&flaky)).begin().unwrap();
        let (store, name) = (bucket.store.clone(), bucket.data_files().pop_last().unwrap());
        let path = ObjectPath::from(format!("some/place/topic=odd/partition=0/{name}"));
        flaky.before_call(lost + 1, move || block_on(async { store.delete(&path).await.unwrap() }));
        match session.compact() {
            Ok(_) => done += 1,
            Err(ExportError::MissingFile { path }) if path.ends_with(&name) => lost += 1,
            Err(ExportError::Io(error)) if error.path.ends_with(&name) && error.kind() == std::io::ErrorKind::NotFound => lost += 1,
            Err(error) => panic!("call {}: {error}", lost + 1),
        }
    }
    assert!(lost > 5, "only {lost} calls");
}

/// A store with nothing in it.
pub(crate) struct Bucket {
    pub(crate) store: Arc<dyn ObjectStore>,
    _dir: Option<TempDir>,
}

impl Bucket {
    pub(crate) fn memory() -> Self {
        Self { store: Arc::new(InMemory::new()), _dir: None }
    }

    fn each() -> Vec<Self> {
        let dir = tempfile::tempdir().unwrap();
        let local = Self { store: Arc::new(LocalFileSystem::new_with_prefix(dir.path()).unwrap()), _dir: Some(dir) };
        vec![Self::memory(), local]
    }

    pub(crate) fn place(&self) -> ObjectPlace {
        ObjectPlace::new(self.store.clone(), "some/place".into())
    }

    pub(crate) fn place_in(&self, flaky: &FlakyStore) -> ObjectPlace {
        ObjectPlace::new(Arc::new(flaky.clone()), "some/place".into())
    }

    pub(crate) fn get(&self, path: &str) -> Bytes {
        block_on(async { self.store.get(&path.into()).await.unwrap().bytes().await.unwrap() })
    }

    pub(crate) fn put(&self, path: &str, bytes: Bytes) {
        block_on(async { self.store.put(&path.into(), bytes.into()).await.unwrap() });
    }

    fn delete(&self, path: &str) {
        block_on(async { self.store.delete(&path.into()).await.unwrap() });
    }

    /// Every object.
    fn names(&self) -> Vec<String> {
        use futures_util::TryStreamExt;
        let mut names: Vec<String> =
            block_on(async { self.store.list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap() });
        names.sort();
        names
    }

    /// The names of the Parquet files of the partition.
    pub(crate) fn data_files(&self) -> BTreeSet<String> {
        let names = self.names().into_iter().filter_map(|name| Some(name.strip_prefix("some/place/topic=odd/partition=0/")?.to_owned()));
        names.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "parquet")).collect()
    }

    /// The files that the Delta log names.
    pub(crate) fn table(&self) -> Vec<String> {
        let mut files = Vec::new();
        let names: BTreeSet<String> = self.names().into_iter().collect();
        for version in (0..).map(commit).take_while(|path| names.contains(path.as_ref())) {
            for line in self.get(version.as_ref()).split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"{\"add\"")) {
                let action: Value = serde_json::from_slice(line).unwrap();
                files.push(action["add"]["path"].as_str().unwrap().to_owned());
            }
        }
        files
    }

    /// What is in them.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.table().iter().flat_map(|path| read_bytes(self.get(&format!("some/place/topic=odd/{path}")))).collect()
    }
}

fn commit(version: u64) -> ObjectPath {
    format!("some/place/topic=odd/_delta_log/{version:020}.json").into()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
