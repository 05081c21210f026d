//! Small files of an export put together: the rows stay what they were, wherever a compaction is ended, and the export goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidelog::export::{CompactionReport, ExportError, ParquetExport, ParquetImport, TypedColumn, TypedColumns};
use tidelog::io::Storage;
use tidelog::io::fault::{EIO, Fault, Faulty};
use tidelog::io::sim::{Image, NameModel, SimDisk};
use tidelog::{AckLevel, Partition, Record, RecordBatch, Store, TimestampNs};

use crate::import::{odd_row, table};
use crate::restore::{Row, options, restore, row, rows_of};

/// Put together, the rows are encoded as if they had been exported at once.
#[test]
fn a_file_that_was_put_together_is_as_if_it_had_been_one() {
    let fixture = Fixture::new();
    fixture.append(140_000);
    let small = fixture.exporter().rows_per_file(9_999);
    small.run(&mut |_| {}).unwrap();
    let before = table(&fixture.out());
    let report = fixture.compact(&fixture.exporter());
    assert_eq!((report.files.len(), report.removed_files, report.files[0].rows), (1, 15, 140_000));
    assert_eq!(fixture.names(), [name(0, 139_999)]);
    assert!(table(&fixture.out()) == before);
    let once = fixture.dir.path().join("once");
    let whole = ParquetExport::new(fixture.partition().view(), &once).run(&mut |_| {}).unwrap();
    let (found, expected) = (metadata(&report.files[0].path), metadata(&whole.files[0].path));
    assert_eq!(found.num_row_groups(), 2);
    for (number, (found, expected)) in found.row_groups().iter().zip(expected.row_groups()).enumerate() {
        assert_eq!(found.num_rows(), expected.num_rows());
        for (found, expected) in found.columns().iter().zip(expected.columns()) {
            let of = |column: &parquet::file::metadata::ColumnChunkMetaData| {
                (column.encodings().collect::<Vec<_>>(), column.compressed_size(), column.statistics().cloned(), column.compression())
            };
            assert_eq!(of(found), of(expected), "{number}: {}", found.column_path());
        }
    }
    let pages = |metadata: &ParquetMetaData| -> Vec<i64> {
        metadata.page_index_for_row_group(0).page_locations(4).unwrap().iter().map(|page| page.first_row_index).collect()
    };
    assert_eq!(pages(&found), pages(&expected));
    assert_eq!(fixture.compact(&fixture.exporter()), CompactionReport::default(), "nothing is left to be done");
    assert_eq!(fixture.exporter().watermark().unwrap().unwrap().get(), 140_000);
}

#[test]
fn the_footer_and_the_commit_say_what_became_of_the_files() {
    let fixture = Fixture::new();
    fixture.append(10);
    fixture.exporter().run(&mut |_| {}).unwrap();
    fixture.append(30);
    fixture.partition().delete_prefix(20).unwrap();
    fixture.exporter().allow_gaps(true).run(&mut |_| {}).unwrap();
    fixture.append(5);
    fixture.exporter().run(&mut |_| {}).unwrap();
    let old: Vec<(String, u64)> =
        fixture.names().into_iter().map(|name| (name.clone(), fs::metadata(fixture.home().join(name)).unwrap().len())).collect();
    let footers: Vec<BTreeMap<String, String>> = old.iter().map(|(name, _)| key_values(&fixture.home().join(name))).collect();
    let report = fixture.compact(&fixture.exporter());
    assert_eq!(fixture.names(), [name(0, 44)]);
    let found = key_values(&report.files[0].path);
    for (key, expected) in [
        ("compacted", "true"),
        ("first_offset", "0"),
        ("last_offset", "44"),
        ("next_offset", "45"),
        ("dense", "false"),
        ("gaps", r#"[{"from":10,"to":20}]"#),
        ("topic", "t"),
    ] {
        assert_eq!(found[&format!("tidelog.{key}")], expected, "{key}");
    }
    let united = |key: &str| footers.iter().flat_map(|footer| footer[key].split(',').map(str::to_owned)).collect::<BTreeSet<_>>();
    assert_eq!(found["tidelog.source_segments"].split(',').map(str::to_owned).collect::<BTreeSet<_>>(), united("tidelog.source_segments"));
    assert_eq!(Some(&found["tidelog.min_ts_ns"]), footers.iter().map(|footer| &footer["tidelog.min_ts_ns"]).min());
    assert_eq!(Some(&found["tidelog.max_ts_ns"]), footers.iter().map(|footer| &footer["tidelog.max_ts_ns"]).max());
    assert!(footers.iter().all(|footer| !footer.contains_key("tidelog.compacted")));

    let commit = fs::read_to_string(fixture.commit(3)).unwrap();
    let actions: Vec<Value> = commit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(actions[0]["commitInfo"]["operation"], "OPTIMIZE");
    for ((name, bytes), action) in old.iter().zip(&actions[1..]) {
        let remove = &action["remove"];
        assert_eq!((&remove["path"], &remove["size"], &remove["dataChange"]), (&json!(format!("partition=0/{name}")), &json!(bytes), &json!(false)));
        assert!(remove["deletionTimestamp"].is_u64() && remove["partitionValues"] == json!({ "partition": "0" }));
    }
    let add = &actions[4]["add"];
    assert_eq!((&add["path"], &add["dataChange"]), (&json!(format!("partition=0/{}", name(0, 44))), &json!(false)));
    assert_eq!((&add["stats"], actions.len()), (&json!(r#"{"numRecords":35}"#), 5), "and no word on the watermark");
    // It goes on, and what was left out is told of as before.
    fixture.append(5);
    let next = fixture.exporter().run(&mut |_| {}).unwrap();
    assert_eq!((next.from.get(), next.kept_files, next.rows(), next.gaps.len()), (45, 1, 5, 1));
    fixture.partition().truncate_suffix(40).unwrap();
    fixture.append(20);
    let error = fixture.exporter().run(&mut |_| {}).unwrap_err();
    assert!(matches!(error, ExportError::Diverged { .. }), "{error}");
}

#[test]
fn only_neighbours_that_fit_are_put_together() {
    let fixture = Fixture::new();
    fixture.append(100);
    fixture.exporter().rows_per_file(10).run(&mut |_| {}).unwrap();
    let report = fixture.compact(&fixture.exporter().rows_per_file(35));
    assert_eq!((report.files.len(), report.removed_files), (3, 9));
    assert_eq!(fixture.names(), [name(0, 29), name(30, 59), name(60, 89), name(90, 99)]);
    let bytes = fs::metadata(fixture.home().join(name(0, 29))).unwrap().len();
    assert_eq!(fixture.compact(&fixture.exporter().bytes_per_file(bytes)).files.len(), 0);
    let report = fixture.compact(&fixture.exporter().rows_per_file(60));
    assert_eq!((report.files.len(), report.removed_files, fixture.names()), (2, 4, vec![name(0, 59), name(60, 99)]));
    fixture.check(100);

    // Columns that a table got later part its files. Those that were declared are taken as they are: no value is read again.
    let columns = |names: &[&str]| {
        TypedColumns::new(names.iter().map(|name| TypedColumn::new(*name, format!(".{name}").parse().unwrap(), "int64".parse().unwrap()))).unwrap()
    };
    let fixture = Fixture::new();
    for (count, names) in [(10, &["n"][..]), (10, &["n"]), (10, &["n", "m"]), (10, &["n", "m"])] {
        fixture.append(count);
        fixture.exporter().columns(columns(names)).run(&mut |_| {}).unwrap();
    }
    let before = typed(&fixture);
    assert_eq!(fixture.compact(&fixture.exporter()).removed_files, 4);
    assert_eq!(fixture.names(), [name(0, 19), name(20, 39)]);
    assert_eq!(typed(&fixture), before);
    fixture.check(40);
}

/// Values of the typed columns, row by row.
fn typed(fixture: &Fixture) -> Vec<String> {
    use parquet::record::RowAccessor;
    let mut rows = Vec::new();
    for name in fixture.names() {
        let file = parquet::file::reader::SerializedFileReader::new(File::open(fixture.home().join(name)).unwrap()).unwrap();
        for row in file {
            let row = row.unwrap();
            let columns: Vec<String> = row.get_column_iter().skip(8).map(|(name, value)| format!("{name}={value}")).collect();
            rows.push(format!("{} {}", row.get_long(0).unwrap(), columns.join(" ")));
        }
    }
    rows
}

#[test]
fn files_of_others_keep_their_place() {
    let fixture = Fixture::new();
    fixture.append(40);
    fixture.exporter().rows_per_file(10).run(&mut |_| {}).unwrap();
    let home = fixture.home();
    fs::rename(home.join(name(10, 19)), home.join("part-0.parquet")).unwrap();
    let add = json!({ "add": { "path": "partition=0/part-0.parquet", "partitionValues": { "partition": "0" }, "size": 1, "modificationTime": 1, "dataChange": false } });
    let remove = json!({ "remove": { "path": format!("partition=0/{}", name(10, 19)), "dataChange": false } });
    fs::write(fixture.commit(4), format!("{add}\n{remove}\n")).unwrap();
    assert_eq!(fixture.compact(&fixture.exporter()).removed_files, 2);
    assert_eq!(fixture.names(), [name(0, 9), name(20, 39), "part-0.parquet".to_owned()]);
    fixture.check(40);
}

/// Of files that another process has taken out of the table since the session began, none is put into another.
#[test]
fn files_that_others_took_out_are_not_put_together() {
    let fixture = Fixture::new();
    fixture.append(30);
    let mut session = fixture.exporter().rows_per_file(10).begin().unwrap();
    session.run(&mut |_| {}).unwrap();
    let (from, to) = (fixture.home().join(name(10, 19)), fixture.home().join("part-0.parquet"));
    fs::copy(from, to).unwrap();
    let add = json!({ "add": { "path": "partition=0/part-0.parquet", "partitionValues": { "partition": "0" }, "size": 1, "modificationTime": 1, "dataChange": false } });
    let remove = json!({ "remove": { "path": format!("partition=0/{}", name(10, 19)), "dataChange": false } });
    fs::write(fixture.commit(3), format!("{add}\n{remove}\n")).unwrap();
    drop(session);
    let mut session = fixture.exporter().begin().unwrap();
    // It was there when the session began.
    fs::write(fixture.commit(4), json!({ "remove": { "path": format!("partition=0/{}", name(0, 9)), "dataChange": false } }).to_string()).unwrap();
    fs::write(fixture.commit(5), json!({ "remove": { "path": format!("partition=0/{}", name(20, 29)), "dataChange": false } }).to_string()).unwrap();
    fixture.append(10);
    assert_eq!(session.run(&mut |_| {}).unwrap().rows(), 10);
    assert_eq!(session.compact().unwrap().removed_files, 0);
}

#[test]
fn a_file_that_is_not_what_its_footer_says_is_refused() {
    let fixture = Fixture::new();
    fixture.append(30);
    fixture.exporter().rows_per_file(10).run(&mut |_| {}).unwrap();
    let path = fixture.home().join(name(10, 19));
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[4..200].fill(0x7f);
    fs::write(&path, &damaged).unwrap();
    let mut session = fixture.exporter().begin().unwrap();
    let error = session.compact().unwrap_err();
    assert!(matches!(&error, ExportError::NotOfExport { path: found, .. } if *found == path), "{error}");
    assert_eq!(fixture.names(), [name(0, 9), name(10, 19), name(20, 29)], "nothing is removed, and nothing left");
    fs::write(&path, &whole).unwrap();
    assert_eq!(session.compact().unwrap().removed_files, 3);
    fixture.check(30);
}

/// Whenever the process dies or the power fails, the table has each row once, and so have the files, once the next run began.
#[test]
fn a_compaction_that_is_ended_anywhere_is_made_good() {
    let fixture = Fixture::new();
    fixture.append(60);
    let on = |disk: &SimDisk| ParquetExport::new(fixture.partition().view(), "/out").storage(Arc::new(disk.clone())).threads(1);
    for (names, is_known) in [(NameModel::Strict, true), (NameModel::Journal, true), (NameModel::Journal, false)] {
        let disk = SimDisk::new(11, names);
        on(&disk).rows_per_file(10).until(50).run(&mut |_| {}).unwrap();
        let mut session = on(&disk).rows_per_file(25).begin().unwrap();
        disk.watch(1);
        assert_eq!(session.compact().unwrap().removed_files, 4);
        drop(session);
        let mut states = BTreeSet::new();
        for (number, cut) in disk.take_cuts().into_iter().enumerate() {
            let image = cut.image;
            states.insert(parquet_files(&image).len());
            assert_eq!(offsets_in(&image, &fixture), (0..50).collect::<Vec<_>>(), "{names:?}, cut {number}");
            let disk = image.disk(number as u64, names);
            if is_known {
                assert_eq!(on(&disk).run(&mut |_| {}).unwrap().from.get(), 50, "{names:?}, cut {number}");
            } else {
                on(&disk).begin().unwrap().compact().unwrap();
                on(&disk).run(&mut |_| {}).unwrap();
            }
            let image = disk.power_cut();
            assert_eq!(offsets_in(&image, &fixture), (0..60).collect::<Vec<_>>(), "{names:?}, cut {number}");
            let (files, rows) = (parquet_files(&disk.image()), if is_known { 3..=6 } else { 2..=2 });
            assert!(rows.contains(&files.len()), "{names:?}, cut {number}: {files:?}");
            assert!(files.windows(2).all(|pair| pair[0].1 < pair[1].0), "{names:?}, cut {number}: {files:?} overlap");
        }
        assert!(states.len() > 2 && states.last() > Some(&5), "{states:?}");
    }
}

/// Whatever call fails, the next compaction and the next run make it good.
#[test]
fn a_compaction_that_fails_anywhere_is_made_good() {
    let fixture = Fixture::new();
    fixture.append(50);
    for nth in 1.. {
        let disk = SimDisk::new(nth, NameModel::Journal);
        let on = |storage: Arc<dyn Storage>| ParquetExport::new(fixture.partition().view(), "/out").storage(storage).threads(1);
        on(Arc::new(disk.clone())).rows_per_file(10).until(40).run(&mut |_| {}).unwrap();
        let storage = Faulty::new(Arc::new(disk.clone()));
        let mut session = on(Arc::new(storage.clone())).begin().unwrap();
        storage.inject(Fault::anywhere().nth(nth).error(EIO));
        let outcome = session.compact();
        if storage.fired() == 0 {
            outcome.unwrap();
            assert!(nth > 40, "only {nth} calls");
            break;
        }
        if let Err(error) = outcome {
            assert!(matches!(error, ExportError::Io(_)), "call {nth}: {error}");
        }
        storage.heal();
        if nth % 2 == 0 {
            session.compact().unwrap();
        }
        drop(session);
        let mut session = on(Arc::new(disk.clone())).begin().unwrap();
        assert_eq!(session.run(&mut |_| {}).unwrap().rows(), 10, "call {nth}");
        session.compact().unwrap();
        assert_eq!(parquet_files(&disk.image()), [(0, 49)], "call {nth}");
        assert_eq!(offsets_in(&disk.image(), &fixture), (0..50).collect::<Vec<_>>(), "call {nth}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(0x71DE), ..ProptestConfig::default() })]

    /// Whatever the rows are, and however they are cut into files, they are the same afterwards, and the import makes the same log of them.
    #[test]
    fn rows_stay_what_they_were(steps in proptest::collection::vec(odd_row(), 1..120), rows_per_file in 1u64..40, limit in 1u64..200) {
        let fixture = Fixture::empty();
        let (mut offset, mut term) = (0, 0);
        let rows: Vec<Row> = steps.into_iter().map(|row| {
            (offset, term) = (offset + row.offset, term + row.term);
            Row { offset, term, ..row }
        }).collect();
        restore(&fixture.partition(), &rows, 7).unwrap();
        fixture.exporter().rows_per_file(rows_per_file).run(&mut |_| {}).unwrap();
        let (before, files) = (table(&fixture.out()), fixture.names().len());
        let report = fixture.compact(&fixture.exporter().rows_per_file(limit));
        prop_assert!(table(&fixture.out()) == before);
        prop_assert_eq!(fixture.names().len(), files + report.files.len() - report.removed_files);
        let home = tempfile::tempdir().unwrap();
        let copy = options().open(home.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
        ParquetImport::open(fixture.out(), "t").unwrap().restore(0, &copy, &mut |_| {}).unwrap();
        prop_assert!(rows_of(&copy) == rows);
    }
}

struct Fixture {
    dir: TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("data")).unwrap();
        Self { dir, store }
    }

    /// For records that are brought back to offsets and terms of their own.
    fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = options().open(dir.path().join("data")).unwrap();
        Self { dir, store }
    }

    fn partition(&self) -> Partition {
        self.store.topic("t").unwrap().partition(0).unwrap()
    }

    /// Appends records that have keys, headers and nulls by turns, and values that are JSON.
    fn append(&self, count: u64) {
        let partition = self.partition();
        let next = partition.log_end_offset().get();
        for chunk in (next..next + count).collect::<Vec<_>>().chunks(1000) {
            let mut batch = RecordBatch::new();
            for &number in chunk {
                let odd = row(number, 0);
                let value = format!(r#"{{"n":{number},"m":{}}}"#, number % 3);
                let mut record = if number % 11 == 5 { Record::tombstone() } else { Record::new(&value) }.timestamp(TimestampNs::new(odd.ts_ns));
                if let Some(key) = &odd.key {
                    record = record.key(key);
                }
                let record = odd.headers.iter().fold(record, |record, (name, value)| record.header(name, value.as_deref()));
                batch.push(&record).unwrap();
            }
            partition.append_batch(&batch, AckLevel::Written).unwrap();
        }
        partition.flush().unwrap();
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn home(&self) -> PathBuf {
        self.out().join("topic=t/partition=0")
    }

    fn commit(&self, version: u64) -> PathBuf {
        self.out().join(format!("topic=t/_delta_log/{version:020}.json"))
    }

    fn exporter(&self) -> ParquetExport {
        ParquetExport::new(self.partition().view(), self.out())
    }

    fn compact(&self, export: &ParquetExport) -> CompactionReport {
        export.begin().unwrap().compact().unwrap()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.home()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Checks that the import makes the log again that was exported.
    fn check(&self, rows: u64) {
        let home = tempfile::tempdir().unwrap();
        let copy = options().open(home.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
        let report = ParquetImport::open(self.out(), "t").unwrap().restore(0, &copy, &mut |_| {}).unwrap();
        assert_eq!(report.rows, rows);
        assert!(rows_of(&copy) == rows_of(&self.partition()));
    }
}

/// First and last offset of the files that have names of two, in order.
fn parquet_files(image: &Image) -> Vec<(u64, u64)> {
    let range = |path: &Path| {
        let (first, last) = path.file_name()?.to_str()?.strip_suffix(".parquet")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    let mut files: Vec<_> = image.files().filter_map(|(path, _)| range(path)).collect();
    files.sort_unstable();
    files
}

/// The offsets that the table in an image holds, by the import.
fn offsets_in(image: &Image, fixture: &Fixture) -> Vec<u64> {
    let disk: Arc<dyn Storage> = Arc::new(image.disk(1, NameModel::Strict));
    let home = tempfile::tempdir_in(fixture.dir.path()).unwrap();
    let copy = options().open(home.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
    ParquetImport::open_in(disk, "/out", "t").unwrap().restore(0, &copy, &mut |_| {}).unwrap();
    rows_of(&copy).into_iter().map(|row| row.offset).collect()
}

fn metadata(path: &Path) -> ParquetMetaData {
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    reader.parse_and_finish(&File::open(path).unwrap()).unwrap()
}

fn key_values(path: &Path) -> BTreeMap<String, String> {
    let metadata = metadata(path);
    let pairs = metadata.file_metadata().key_value_metadata().unwrap();
    pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone().unwrap())).collect()
}

fn name(first: u64, last: u64) -> String {
    format!("{first:020}-{last:020}.parquet")
}
