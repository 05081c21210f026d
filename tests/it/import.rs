//! The way back: what was exported is restored record for record, wherever it is interrupted; what is not of an export is refused.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::restore::{Row, options, restore, row, rows_of};
use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch as Rows, StringArray};
use arrow::compute::concat_batches;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use tempfile::TempDir;
use tidelog::export::{ImportError, ImportReport, ParquetExport, ParquetImport};
use tidelog::io::Storage;
use tidelog::io::fault::{EIO, Fault, Faulty};
use tidelog::io::sim::{NameModel, SimDisk};
use tidelog::{AckLevel, Partition, Record, StoreOptions};

struct Home {
    dir: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn partition(&self, name: &str) -> Partition {
        self.partition_with(name, options())
    }

    fn partition_with(&self, name: &str, options: StoreOptions) -> Partition {
        options.open(self.path(name)).unwrap().topic("t").unwrap().partition(0).unwrap()
    }

    /// Exports to `out`, in files of at most `rows` rows.
    fn export(&self, partition: &Partition, out: &str, rows: u64) {
        let export = ParquetExport::new(partition.view(), self.path(out)).rows_per_file(rows).allow_gaps(true);
        export.run(&mut |_| {}).unwrap();
    }

    fn import(&self, out: &str, to: &Partition) -> Result<ImportReport, ImportError> {
        ParquetImport::open(self.path(out), "t")?.restore(0, to, &mut |_| {})
    }
}

/// From offset 1,000 on, with holes of one offset and of many, in four terms.
fn odd_rows() -> Vec<Row> {
    let offsets = (1000..2000).chain(2001..2500).chain(900_000..900_700).chain(5_000_000_000..5_000_000_300);
    offsets.map(|offset| row(offset, if offset < 1500 { 2 } else { 3 + (offset / 900_000).min(2) as u32 })).collect()
}

#[test]
fn what_was_exported_is_restored_record_for_record() {
    let home = Home::new();
    let original = home.partition("original");
    let rows = odd_rows();
    restore(&original, &rows, 64).unwrap();
    assert!(rows_of(&original) == rows);
    assert_eq!((original.log_start_offset().get(), original.log_end_offset().get()), (1000, 5_000_000_300));
    home.export(&original, "out", 700);
    let copy = home.partition("copy");
    let report = home.import("out", &copy).unwrap();
    assert_eq!((report.rows, report.kept_rows), (rows.len() as u64, 0));
    assert!(rows_of(&copy) == rows);
    assert_eq!((copy.log_start_offset(), copy.log_end_offset()), (original.log_start_offset(), original.log_end_offset()));
    assert_eq!(copy.durable_end_offset(), copy.log_end_offset());
    // Exported again, the tables are equal.
    home.export(&copy, "again", 700);
    assert_eq!(table(&home.path("out")), table(&home.path("again")));
    // Nothing is found that should not be there, and offsets and terms go on where they ended.
    drop(copy);
    let copy = home.partition("copy");
    assert!(!copy.recovery_report().is_notable(), "{:?}", copy.recovery_report());
    assert!(rows_of(&copy) == rows);
    let ack = copy.append_with(Record::new("new"), AckLevel::Durable).unwrap();
    assert_eq!((ack.base_offset.get(), rows_of(&copy).last().unwrap().term), (5_000_000_300, 5));
    assert!(copy.get(2000).is_err(), "a hole");
    assert_eq!(copy.read_from(2000).unwrap().next().unwrap().unwrap().offset().get(), 2001);
}

/// All rows of an export, in the order of its files.
pub(crate) fn table(out: &Path) -> Rows {
    let directory = out.join("topic=t/partition=0");
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    paths.sort();
    let read = |path: &PathBuf| ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap().map(Result::unwrap);
    let batches: Vec<Rows> = paths.iter().flat_map(read).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

pub(crate) fn odd_row() -> impl Strategy<Value = Row> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
    let headers = proptest::collection::vec(("[a-c]{0,2}", bytes()), 0..4);
    let step = prop_oneof![6 => Just(1u64), 2 => 2u64..50, 1 => Just(3_000_000_000)];
    let time = prop_oneof![3 => 1_700_000_000_000_000_000..1_700_000_010_000_000_000i64, 1 => any::<i64>()];
    let producer = prop_oneof![4 => Just(None), 1 => (0..3i64).prop_map(Some)];
    (step, time, bytes(), bytes(), headers, prop_oneof![9 => Just(0u32), 1 => 1..3u32], producer)
        .prop_map(|(offset, ts_ns, key, value, headers, term, producer)| Row { offset, ts_ns, key, value, headers, term, producer })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(0x71DE), ..ProptestConfig::default() })]

    /// Every odd shape of a record, at offsets and in terms with steps of any size.
    #[test]
    fn any_rows_make_the_round_trip(steps in proptest::collection::vec(odd_row(), 1..120), first in 0..2_000u64, cut in 1..40usize, file in 1..50u64) {
        let mut rows = steps;
        let (mut offset, mut term) = (first, 0);
        for row in &mut rows {
            (offset, term) = (offset + row.offset, term + row.term);
            (row.offset, row.term) = (offset, term);
        }
        let home = Home::new();
        let original = home.partition("original");
        restore(&original, &rows, cut).unwrap();
        prop_assert_eq!(&rows_of(&original), &rows);
        home.export(&original, "out", file);
        let copy = home.partition("copy");
        prop_assert_eq!(home.import("out", &copy).unwrap().rows, rows.len() as u64);
        prop_assert_eq!(&rows_of(&copy), &rows);
        drop(copy);
        let copy = home.partition("copy");
        prop_assert!(!copy.recovery_report().is_notable());
        prop_assert_eq!(&rows_of(&copy), &rows);
    }
}

/// A call fails and all that follow, as after a kill: the next run goes on, and nothing is there twice or missing.
#[test]
fn an_import_that_is_interrupted_anywhere_goes_on() {
    let home = Home::new();
    let original = home.partition("original");
    let rows: Vec<Row> = (70..90).map(|offset| row(offset, 1)).chain((95..110).map(|offset| row(offset, 4))).collect();
    restore(&original, &rows, 7).unwrap();
    home.export(&original, "out", 12);
    let mut interrupted = 0;
    for nth in 1.. {
        let name = format!("copy-{nth}");
        let faulty = Faulty::new(Arc::new(tidelog::io::Disk::new()));
        let copy = home.partition_with(&name, options().storage(Arc::new(faulty.clone())));
        faulty.inject(Fault::anywhere().nth(nth).error(EIO).from_then_on());
        let outcome = home.import("out", &copy);
        let fired = faulty.fired() > 0;
        assert!(outcome.is_ok() || fired, "call {nth}: {outcome:?}");
        drop(copy);
        let copy = home.partition(&name);
        assert!(copy.recovery_report().damage.is_empty(), "call {nth}: {:?}", copy.recovery_report());
        let report = home.import("out", &copy).unwrap_or_else(|error| panic!("call {nth}: {error}"));
        assert_eq!(report.rows + report.kept_rows, rows.len() as u64, "call {nth}");
        interrupted += u64::from(report.kept_rows > 0 && report.rows > 0);
        assert!(rows_of(&copy) == rows, "call {nth}");
        assert_eq!(copy.log_start_offset().get(), 70, "call {nth}");
        if !fired {
            assert!(nth > 20 && interrupted > 0, "{nth} calls, {interrupted} times some rows were there");
            break;
        }
    }
}

/// The power fails at any call: what is there then is a beginning of the rows, and the rest can follow.
#[test]
fn an_import_that_loses_power_anywhere_goes_on() {
    let home = Home::new();
    let original = home.partition("original");
    let rows: Vec<Row> = (70..80).map(|offset| row(offset, 1)).chain((85..95).map(|offset| row(offset, 4))).collect();
    restore(&original, &rows, 7).unwrap();
    home.export(&original, "out", 12);
    let open = |storage: Arc<dyn Storage>| options().storage(storage).open("/copy").unwrap().topic("t").unwrap().partition(0).unwrap();
    let mut torn = 0;
    for names in [NameModel::Strict, NameModel::Journal] {
        'calls: for nth in 1.. {
            // Which of the pages that are not durable the power takes is drawn anew each time.
            for seed in 0..8 {
                let what = format!("{names:?}, call {nth}, seed {seed}");
                let mut disk = SimDisk::new(nth + 1000 * seed, names);
                // Three runs in a row are interrupted, then one is not.
                for run in 0..3 {
                    let faulty = Faulty::new(Arc::new(disk.clone()));
                    let copy = open(Arc::new(faulty.clone()));
                    assert!(copy.recovery_report().damage.is_empty(), "{what}: {:?}", copy.recovery_report());
                    assert!(rows.starts_with(&rows_of(&copy)), "{what}");
                    torn += u64::from(copy.recovery_report().is_notable());
                    faulty.inject(Fault::anywhere().nth(nth).error(EIO).from_then_on());
                    let _ = home.import("out", &copy);
                    if run == 0 && faulty.fired() == 0 {
                        assert!(nth > 20, "only {nth} calls");
                        break 'calls;
                    }
                    drop(copy);
                    disk = disk.power_cut().disk(nth + 1000 * seed + run, names);
                }
                let copy = open(Arc::new(disk));
                home.import("out", &copy).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(rows_of(&copy) == rows, "{what}");
                let (start, end) = (copy.log_start_offset(), copy.log_end_offset());
                assert_eq!((start.get(), end.get()), (70, 95), "{what}");
            }
        }
    }
    assert!(torn > 10, "only {torn} ends were torn");
}

/// What the import has not restored is not said to be there.
#[test]
fn a_partition_that_was_emptied_is_not_taken_for_restored() {
    let home = Home::new();
    let original = home.partition("original");
    let rows: Vec<Row> = (0..40).map(|offset| row(offset, 0)).collect();
    restore(&original, &rows, 10).unwrap();
    home.export(&original, "out", 15);
    for emptied_at in [20, 40, 100] {
        let copy = home.partition(&format!("copy-{emptied_at}"));
        restore(&copy, &(0..emptied_at).map(|offset| row(offset, 0)).collect::<Vec<_>>(), 10).unwrap();
        copy.delete_prefix(emptied_at).unwrap();
        let error = home.import("out", &copy).unwrap_err();
        assert!(matches!(&error, ImportError::Diverged { offset, .. } if offset.get() == 0), "{emptied_at}: {error}");
    }
    // Cut to nothing, it is as good as new, whatever its term is by now.
    let copy = home.partition("copy");
    restore(&copy, &rows, 10).unwrap();
    copy.truncate_suffix(0).unwrap();
    assert_eq!(home.import("out", &copy).unwrap().rows, 40);
    drop(copy);
    assert!(rows_of(&home.partition("copy")) == rows);
}

#[test]
fn what_is_there_already_is_compared() {
    let home = Home::new();
    let original = home.partition("original");
    restore(&original, &odd_rows(), 64).unwrap();
    home.export(&original, "out", 700);
    let copy = home.partition("copy");
    restore(&copy, &odd_rows()[..1400], 100).unwrap();
    let report = home.import("out", &copy).unwrap();
    assert_eq!((report.kept_rows, report.rows), (1400, odd_rows().len() as u64 - 1400));
    assert_eq!(home.import("out", &copy).unwrap().rows, 0, "all is there");
    assert!(rows_of(&copy) == odd_rows());
    // Another record at the end, or more of them.
    let other = home.partition("other");
    let mut rows = odd_rows()[..1400].to_vec();
    rows[1399].value = Some(b"another".to_vec());
    restore(&other, &rows, 100).unwrap();
    let error = home.import("out", &other).unwrap_err();
    assert!(matches!(&error, ImportError::Diverged { offset, .. } if offset.get() == rows[1399].offset) && error.is_refusal(), "{error}");
    assert!(rows_of(&other) == rows, "nothing was changed");
    copy.append(Record::new("more")).unwrap();
    let error = home.import("out", &copy).unwrap_err();
    assert!(matches!(&error, ImportError::Ahead { log_end, files_end, .. } if log_end.get() == files_end.get() + 1), "{error}");
}

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let rows = Rows::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
}

fn int64(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// Files of other writers: fewer columns, text for bytes, names of their own.
#[test]
fn files_of_others_are_imported() {
    let home = Home::new();
    let out = home.path("out");
    fs::create_dir(&out).unwrap();
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("one"), None, Some("")]));
    write(&out.join("z.parquet"), vec![("_offset", int64(&[3, 4, 9])), ("_ts_ns", int64(&[30, 40, 90])), ("_value", text.clone()), ("more", text)]);
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![Some(&b"b"[..])]));
    write(&out.join("a.parquet"), vec![("_key", bytes), ("_ts_ns", int64(&[100])), ("_offset", int64(&[10]))]);
    write(&out.join("empty.parquet"), vec![("_offset", int64(&[])), ("_ts_ns", int64(&[]))]);
    fs::write(out.join(".b.parquet"), "being written").unwrap();
    let copy = home.partition("copy");
    assert_eq!(home.import("out", &copy).unwrap().rows, 4);
    let plain = |offset: u64, ts_ns: i64, key: Option<&str>, value: Option<&str>| Row {
        key: key.map(|key| key.as_bytes().to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
        headers: Vec::new(),
        producer: None,
        ts_ns,
        offset,
        term: 0,
    };
    let expected = [plain(3, 30, None, Some("one")), plain(4, 40, None, None), plain(9, 90, None, Some("")), plain(10, 100, Some("b"), None)];
    assert_eq!(rows_of(&copy), expected);
}

#[test]
fn what_cannot_be_imported_is_refused_and_says_why() {
    let refused = |files: &[(&str, Vec<(&str, ArrayRef)>)]| {
        let home = Home::new();
        let out = home.path("out");
        fs::create_dir(&out).unwrap();
        files.iter().for_each(|(name, columns)| write(&out.join(name), columns.clone()));
        let copy = home.partition("copy");
        let error = home.import("out", &copy).unwrap_err();
        assert!(error.is_refusal(), "{error}");
        error.to_string().replace(&format!("{}/", out.display()), "").replace(&home.dir.path().display().to_string(), "")
    };
    let ts = || ("_ts_ns", int64(&[1, 2]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["1", "2"]));
    let nulls: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    assert_eq!(refused(&[]), "/out has no Parquet files of topic t: neither topic=t, nor partition=<N>, nor files are there");
    assert_eq!(refused(&[("a.parquet", vec![ts()])]), "a.parquet: it has no column _offset");
    let no_values = "a.parquet: its column _offset has no least and largest value, or is not INT64";
    assert_eq!(refused(&[("a.parquet", vec![("_offset", text.clone()), ts()])]), no_values);
    assert_eq!(refused(&[("a.parquet", vec![("_offset", int64(&[1, 2]))])]), "a.parquet: it has neither a column _ts_ns nor _ts");
    assert_eq!(refused(&[("a.parquet", vec![("_offset", nulls), ts()])]), "a.parquet: a row has no offset, or no time");
    let below = "a.parquet: its column _offset has offsets below 0, or no least and largest value";
    assert_eq!(refused(&[("a.parquet", vec![("_offset", int64(&[-1, 2])), ts()])]), below);
    let key = refused(&[("a.parquet", vec![("_offset", int64(&[1, 2])), ts(), ("_key", int64(&[1, 2]))])]);
    assert_eq!(key, "a.parquet: its column _key is Int64, not BINARY or STRING");
    let headers = refused(&[("a.parquet", vec![("_offset", int64(&[1, 2])), ts(), ("_headers", text)])]);
    assert_eq!(headers, "a.parquet: its column _headers is Utf8, not LIST of STRUCT of key STRING and value BINARY");
    let twice = refused(&[("a.parquet", vec![("_offset", int64(&[1, 2])), ts()]), ("b.parquet", vec![("_offset", int64(&[2, 3])), ts()])]);
    assert_eq!(twice, "b.parquet: offset 2 does not come behind offset 2");
    let reordered = refused(&[("a.parquet", vec![("_offset", int64(&[2, 1])), ts()])]);
    assert_eq!(reordered, "a.parquet: offset 1 does not come behind offset 2");
}

#[test]
fn a_file_that_is_cut_short_or_missing_is_refused() {
    let home = Home::new();
    let original = home.partition("original");
    let rows: Vec<Row> = (0..40).map(|offset| row(offset, 0)).collect();
    restore(&original, &rows, 10).unwrap();
    home.export(&original, "out", 100);
    let path = home.path("out/topic=t/partition=0/00000000000000000000-00000000000000000039.parquet");
    let bytes = fs::read(&path).unwrap();
    for len in (0..bytes.len()).step_by(97) {
        fs::write(&path, &bytes[..len]).unwrap();
        let error = ParquetImport::open(home.path("out"), "t").unwrap_err();
        assert!(error.is_refusal() && error.to_string().contains(".parquet"), "{len} bytes: {error}");
    }
    fs::remove_file(&path).unwrap();
    let error = ParquetImport::open(home.path("out"), "t").unwrap_err();
    assert!(matches!(error, ImportError::Io(_)) && error.to_string().contains("0039.parquet"), "{error}");
}
