//! Complete objects that no commit names: an export takes over those alone that it would write itself, and removes none that another process may be
//! about to commit.

use tidelog::export::objects::ObjectPlace;
use tidelog::export::{ExportError, GapReason, ParquetExport, ParquetImport};

use crate::export::Fixture;
use crate::object_faults::{FlakyStore, When};
use crate::objects::Bucket;

/// Whoever puts files together has uploaded the one for them, and not committed it yet.
#[test]
fn a_file_of_others_put_together_is_left_to_whoever_wrote_it() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    let rows = fixture.append_odd(0..30);
    let export = |place: &ObjectPlace| ParquetExport::to_objects(fixture.partition().view(), place);
    export(&bucket.place()).until(16).run(&mut |_| {}).unwrap();
    let elsewhere = Bucket::memory();
    export(&elsewhere.place()).from(16).until(22).run(&mut |_| {}).unwrap();
    let mut session = export(&elsewhere.place()).begin().unwrap();
    session.run(&mut |_| {}).unwrap();
    let path = session.compact().unwrap().files.remove(0).path;
    bucket.put(path.to_str().unwrap(), elsewhere.get(path.to_str().unwrap()));
    let report = export(&bucket.place()).run(&mut |_| {}).unwrap();
    assert_eq!((report.kept_files, report.rows(), bucket.data_files().len()), (1, 14, 3));
    assert_eq!(bucket.rows(), rows);
}

/// The table goes on otherwise while a file is taken over: that is no error, and the file stays, for it is another's.
#[test]
fn a_file_that_was_overtaken_while_it_was_taken_over_stays() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    let rows = fixture.append_odd(0..30);
    orphan(&fixture, &bucket, |export| export);
    let flaky = FlakyStore::new(bucket.store.clone());
    let (view, place) = (fixture.partition().view().clone(), bucket.place());
    flaky.before_commit(move || assert_eq!(ParquetExport::to_objects(&view, &place).until(22).run(&mut |_| {}).unwrap().rows(), 22));
    let report = ParquetExport::to_objects(fixture.partition().view(), &bucket.place_in(&flaky)).run(&mut |_| {}).unwrap();
    assert_eq!((report.from.get(), report.rows(), flaky.deletes(), bucket.data_files().len()), (22, 8, 0, 3));
    assert_eq!(bucket.rows(), rows);
}

/// Only a run that may leave offsets out takes over a file that does, and only one that says so.
#[test]
fn what_was_deleted_is_not_passed_over_by_taking_over_a_file() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    fixture.append_odd(0..10);
    let export = || ParquetExport::to_objects(fixture.partition().view(), &bucket.place());
    export().run(&mut |_| {}).unwrap();
    fixture.append_odd(10..30);
    // Of another place, where the export begins behind what is deleted: it tells of no gap.
    let elsewhere = Bucket::memory();
    orphan(&fixture, &elsewhere, |export| export.from(20));
    let name = elsewhere.data_files().pop_first().unwrap();
    let path = format!("some/place/topic=odd/partition=0/{name}");
    bucket.put(&path, elsewhere.get(&path));
    fixture.partition().delete_prefix(20).unwrap();
    let report = export().run(&mut |_| {}).unwrap();
    assert_eq!((report.rows(), export().watermark().unwrap()), (0, Some(10.into())));
    assert!(matches!(report.stopped_by, Some(gap) if (gap.from.get(), gap.to.get()) == (10, 20) && gap.reason == GapReason::Deleted));

    orphan(&fixture, &bucket, |export| export.allow_gaps(true));
    assert_eq!(export().run(&mut |_| {}).unwrap().kept_files, 1, "it may leave nothing out");
    let report = export().allow_gaps(true).run(&mut |_| {}).unwrap();
    assert_eq!((report.kept_files, report.gaps.len(), report.rows()), (2, 1, 0));
    assert_eq!(ParquetImport::open_objects(&bucket.place(), "odd").unwrap().rows(), 20);
}

/// Of records that the log has lost, or may lose yet, nobody can tell whether the file has the ones that come in their place.
#[test]
fn a_file_with_records_that_are_not_there_is_not_taken_over() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    fixture.append_odd(0..10);
    let export = || ParquetExport::to_objects(fixture.partition().view(), &bucket.place());
    export().run(&mut |_| {}).unwrap();
    fixture.append_odd(10..30);
    orphan(&fixture, &bucket, |export| export.until(20));
    fixture.partition().delete_prefix(25).unwrap();
    let report = export().run(&mut |_| {}).unwrap();
    assert_eq!((report.kept_files, report.stopped_by.is_some()), (1, true));
}

/// A compaction puts together what is in the table then, whoever put it there.
#[test]
fn a_compaction_sees_what_others_exported_and_put_together() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    let export = ParquetExport::to_objects(fixture.partition().view(), &bucket.place());
    let mut rows = fixture.append_odd(0..10);
    let mut session = export.begin().unwrap();
    session.run(&mut |_| {}).unwrap();
    let mut other = export.begin().unwrap();
    for round in 1..4 {
        rows.extend(fixture.append_odd(round * 10..round * 10 + 10));
        other.run(&mut |_| {}).unwrap();
        if round == 2 {
            assert_eq!(other.compact().unwrap().removed_files, 3);
        }
    }
    assert_eq!(session.compact().unwrap().removed_files, 2);
    assert_eq!(bucket.data_files().len(), 1);
    assert_eq!(ParquetImport::open_objects(&bucket.place(), "odd").unwrap().rows(), 40);
    rows.extend(fixture.append_odd(40..50));
    assert_eq!(session.run(&mut |_| {}).unwrap().rows(), 10);
    assert_eq!(ParquetImport::open_objects(&bucket.place(), "odd").unwrap().rows(), rows.len() as u64);
}

/// Of two compactions of the same files, the one whose commit is first is done.
#[test]
fn a_compaction_that_was_overtaken_is_fenced() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    fixture.append_odd(0..30);
    let flaky = FlakyStore::new(bucket.store.clone());
    ParquetExport::to_objects(fixture.partition().view(), &bucket.place()).rows_per_file(10).run(&mut |_| {}).unwrap();
    let mut session = ParquetExport::to_objects(fixture.partition().view(), &bucket.place_in(&flaky)).begin().unwrap();
    let other = ParquetExport::to_objects(fixture.partition().view(), &bucket.place());
    flaky.before_commit(move || assert_eq!(other.begin().unwrap().compact().unwrap().removed_files, 3));
    let error = session.compact().unwrap_err();
    assert!(matches!(error, ExportError::Fenced { .. }), "{error}");
    assert_eq!((bucket.data_files().len(), flaky.deletes()), (1, 1), "what it wrote is gone");
    assert_eq!(session.compact().unwrap().removed_files, 0);
}

/// Who may put objects need not be allowed to delete them: that the run was fenced is what is told.
#[test]
fn whoever_was_overtaken_is_told_so_even_if_its_file_cannot_be_removed() {
    let (fixture, bucket) = (Fixture::new(), Bucket::memory());
    let rows = fixture.append_odd(0..10);
    let flaky = FlakyStore::new(bucket.store.clone());
    flaky.deny_deletes();
    let (view, place) = (fixture.partition().view().clone(), bucket.place());
    let mut others = Some(move || drop(ParquetExport::to_objects(&view, &place).until(7).run(&mut |_| {}).unwrap()));
    let mut session = ParquetExport::to_objects(fixture.partition().view(), &bucket.place_in(&flaky)).begin().unwrap();
    let error = session.run(&mut |_| others.take().into_iter().for_each(|others| others())).unwrap_err();
    assert!(matches!(error, ExportError::Fenced { .. }), "{error}");
    assert_eq!((flaky.deletes(), bucket.data_files().len()), (1, 2));
    session.run(&mut |_| {}).unwrap();
    assert_eq!(bucket.rows(), rows);
}

/// What comes of cleaning up, or of looking whether it was done all the same, hides nothing.
#[test]
fn an_error_tells_of_the_call_that_failed_first() {
    let (mut uploads, mut puts) = (0, 0);
    for nth in 1.. {
        let (fixture, bucket) = (Fixture::new(), Bucket::memory());
        fixture.append_odd(0..200);
        let flaky = FlakyStore::new(bucket.store.clone());
        flaky.fail(nth, When::Before, true);
        let outcome = ParquetExport::to_objects(fixture.partition().view(), &bucket.place_in(&flaky).part_bytes(2000)).run(&mut |_| {});
        if flaky.fired() == 0 {
            break;
        }
        let ExportError::Io(error) = outcome.unwrap_err() else { panic!("call {nth}") };
        let said = error.source.to_string();
        assert!(said.contains(&format!("call {nth} ")), "call {nth}: {said}");
        uploads += u64::from(error.action == "upload");
        if error.action == "put" {
            puts += 1;
            assert!(said.contains(&format!("call {} ", nth + 1)), "call {nth}: {said}");
        }
    }
    assert!(uploads > 3 && puts == 1, "{uploads} uploads, {puts} puts");
}

/// Writes a file, and is killed before the commit.
fn orphan(fixture: &Fixture, bucket: &Bucket, how: impl Fn(ParquetExport) -> ParquetExport) {
    let flaky = FlakyStore::new(bucket.store.clone());
    let export = how(ParquetExport::to_objects(fixture.partition().view(), &bucket.place_in(&flaky)));
    let before = bucket.data_files().len();
    flaky.conflict(u64::MAX);
    let error = export.run(&mut |_| {}).unwrap_err();
    assert!(matches!(error, ExportError::Io(_)), "{error}");
    assert_eq!(bucket.data_files().len(), before + 1);
}
