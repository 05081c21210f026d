//! Files without offsets: their rows become records in the order of time, each once, wherever it is interrupted; what is not sure is refused.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::restore::{options, rows_of};
use arrow::array::{
    ArrayRef, BinaryArray, Date32Array, Float64Array, Int64Array, ListArray, RecordBatch as Rows, StringArray, StructArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel};
use parquet::data_type::{ByteArrayType, Int96, Int96Type};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use tempfile::TempDir;
use tidelog::export::{ImportError, TimeUnit, TimedColumns, TimedImport, TimedReport};
use tidelog::io::Storage;
use tidelog::io::fault::{EIO, Fault, Faulty};
use tidelog::io::sim::{NameModel, SimDisk};
use tidelog::{AckLevel, Partition, Record, StoreOptions};

type Headers = Vec<(String, Option<Vec<u8>>)>;

/// A row as the model has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    ts_ns: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Headers,
}

/// A file as the model has it, and how it is written.
#[derive(Debug, Clone)]
struct Model {
    name: String,
    rows: Vec<Row>,
    group_rows: usize,
    statistics: bool,
    kind: TimeKind,
}

#[derive(Debug, Clone, Copy)]
enum TimeKind {
    Number,
    Nanos,
    Micros,
    Utc,
}

struct Home {
    dir: TempDir,
}

impl Home {
    fn new() -> Self {
        let home = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(home.path("in")).unwrap();
        home
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

    fn import(&self, to: &Partition) -> Result<TimedReport, ImportError> {
        self.import_as(&TimedColumns::new().time("at_ns"), to)
    }

    fn import_as(&self, columns: &TimedColumns, to: &Partition) -> Result<TimedReport, ImportError> {
        TimedImport::open(self.path("in"), columns)?.append_to(to, &mut |_| {})
    }

    fn write(&self, name: &str, columns: Vec<(&str, ArrayRef)>) {
        self.write_with(name, columns, WriterProperties::default());
    }

    fn write_with(&self, name: &str, columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) {
        let path = self.path("in").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let rows = Rows::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
    }

    fn write_model(&self, model: &Model) {
        let rows = &model.rows;
        let bytes = |of: fn(&Row) -> &Option<Vec<u8>>| -> ArrayRef { Arc::new(rows.iter().map(|row| of(row).as_deref()).collect::<BinaryArray>()) };
        let statistics = if model.statistics { EnabledStatistics::Page } else { EnabledStatistics::None };
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(model.group_rows)).set_statistics_enabled(statistics).build();
        let columns = vec![
            ("value", bytes(|row| &row.value)),
            ("at_ns", times(model.kind, rows)),
            ("_key", bytes(|row| &row.key)),
            ("_headers", headers(rows)),
        ];
        self.write_with(&model.name, columns, properties);
    }
}

fn times(kind: TimeKind, rows: &[Row]) -> ArrayRef {
    let nanos = rows.iter().map(|row| row.ts_ns);
    match kind {
        TimeKind::Number => Arc::new(nanos.collect::<Int64Array>()),
        TimeKind::Nanos => Arc::new(TimestampNanosecondArray::from_iter_values(nanos)),
        TimeKind::Micros => Arc::new(TimestampMicrosecondArray::from_iter_values(nanos.map(|nanos| nanos / 1000))),
        TimeKind::Utc => Arc::new(TimestampMillisecondArray::from_iter_values(nanos.map(|nanos| nanos / 1_000_000)).with_timezone("UTC")),
    }
}

fn headers(rows: &[Row]) -> ArrayRef {
    let all: Vec<_> = rows.iter().flat_map(|row| &row.headers).collect();
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(all.iter().map(|(name, _)| name)));
    let values: ArrayRef = Arc::new(all.iter().map(|(_, value)| value.as_deref()).collect::<BinaryArray>());
    let fields = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)]);
    let pairs = StructArray::new(fields.clone(), vec![names, values], None);
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.headers.len()));
    Arc::new(ListArray::new(Arc::new(Field::new("element", DataType::Struct(fields), false)), offsets, Arc::new(pairs), None))
}

/// What the log must be: all rows, sorted by time; those of one time by the name of their file, and as they stand in it.
fn sorted(files: &[Model]) -> Vec<Row> {
    let mut files: Vec<&Model> = files.iter().collect();
    files.sort_by_key(|file| &file.name);
    let mut rows: Vec<Row> = files.iter().flat_map(|file| file.rows.clone()).collect();
    rows.sort_by_key(|row| row.ts_ns);
    rows
}

fn log(partition: &Partition) -> Vec<Row> {
    let rows = rows_of(partition).into_iter();
    rows.map(|row| Row { ts_ns: row.ts_ns, key: row.key, value: row.value, headers: row.headers }).collect()
}

fn plain(ts_ns: i64, value: &str) -> Row {
    Row { ts_ns, key: None, value: Some(value.as_bytes().to_vec()), headers: Vec::new() }
}

fn model(name: &str, times: impl IntoIterator<Item = i64>, group_rows: usize) -> Model {
    let row = |(number, time): (usize, i64)| Row { headers: vec![("n".to_owned(), None); number % 3], ..plain(time, &format!("{name} {number}")) };
    let rows = times.into_iter().enumerate().map(row).collect();
    Model { name: name.to_owned(), rows, group_rows, statistics: true, kind: TimeKind::Number }
}

fn int64(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn text(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn any_row() -> impl Strategy<Value = Row> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..30));
    let headers = proptest::collection::vec(("[a-c]{0,2}", bytes()), 0..3);
    // Many equal ones, in steps that every unit can hold.
    let time = prop_oneof![4 => (0..20i64).prop_map(|step| step * 1_000_000), 1 => (-1000..1000i64).prop_map(|step| step * 1_000_000_000_000)];
    (time, bytes(), bytes(), headers).prop_map(|(ts_ns, key, value, headers)| Row { ts_ns, key, value, headers })
}

fn any_file() -> impl Strategy<Value = Model> {
    let kind = prop_oneof![Just(TimeKind::Number), Just(TimeKind::Nanos), Just(TimeKind::Micros), Just(TimeKind::Utc)];
    let rows = proptest::collection::vec(any_row(), 0..60);
    (rows, any::<bool>(), 1..40usize, any::<bool>(), kind, "[a-c]{0,1}").prop_map(|(mut rows, is_sorted, group_rows, statistics, kind, directory)| {
        if is_sorted {
            rows.sort_by_key(|row| row.ts_ns);
        }
        let name = if directory.is_empty() { String::new() } else { format!("part={directory}/") };
        Model { name, rows, group_rows, statistics, kind }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(0x71DE), ..ProptestConfig::default() })]

    /// Any files, sorted or not, are imported as a sort of all their rows would have it; what is cut off the log comes again.
    #[test]
    fn rows_come_in_the_order_of_time(mut files in proptest::collection::vec(any_file(), 1..6), cut in 0..1000u64) {
        let home = Home::new();
        for (number, file) in files.iter_mut().enumerate() {
            // In another order than they were made.
            file.name = format!("{}f{}.parquet", file.name, (number * 7 + 3) % 10);
            home.write_model(file);
        }
        let expected = sorted(&files);
        let to = home.partition("log");
        let report = home.import(&to).unwrap();
        prop_assert_eq!((report.rows, report.kept_rows), (expected.len() as u64, 0));
        prop_assert_eq!(&log(&to), &expected);
        // A batch is cut in two: what it tells of is not all there, and what went is appended again.
        to.truncate_suffix(cut % (expected.len() as u64 + 1)).unwrap();
        let again = home.import(&to);
        prop_assert!(again.is_ok(), "{again:?}");
        prop_assert_eq!(&log(&to), &expected);
        prop_assert_eq!(home.import(&to).unwrap().rows, 0);
        drop(to);
        prop_assert_eq!(&log(&home.partition("log")), &expected);
    }
}

/// Files over each other in time, one of them not sorted, in several row groups; equal times across files.
fn odd_files() -> Vec<Model> {
    let mut files = vec![
        model("b/one.parquet", (0..12).map(|step| step * 10), 5),
        model("a/two.parquet", [50, 40, 40, 60, 55, 90, 80], 4),
        model("c.parquet", [40, 40, 95, 130, 140], 2),
    ];
    files[1].statistics = false;
    // Each begins a batch, and some of them a segment.
    let large = (0..12).map(|number| Model { rows: vec![plain(number * 11, &"x".repeat(9000))], ..model(&format!("d/{number}.parquet"), [], 1) });
    files.extend(large);
    files
}

/// A call fails and all that follow, as after a kill: the next run goes on, and nothing is there twice or missing.
#[test]
fn an_import_that_is_interrupted_anywhere_goes_on() {
    let home = Home::new();
    let files = odd_files();
    files.iter().for_each(|file| home.write_model(file));
    let expected = sorted(&files);
    let mut interrupted = 0;
    for nth in 1.. {
        let name = format!("log-{nth}");
        let faulty = Faulty::new(Arc::new(tidelog::io::Disk::new()));
        let to = home.partition_with(&name, options().storage(Arc::new(faulty.clone())));
        faulty.inject(Fault::anywhere().nth(nth).error(EIO).from_then_on());
        let outcome = home.import(&to);
        let fired = faulty.fired() > 0;
        assert!(outcome.is_ok() || fired, "call {nth}: {outcome:?}");
        drop(to);
        let to = home.partition(&name);
        let report = home.import(&to).unwrap_or_else(|error| panic!("call {nth}: {error}"));
        assert_eq!(report.rows + report.kept_rows, expected.len() as u64, "call {nth}");
        assert_eq!(report.other_records, 0, "call {nth}");
        interrupted += u64::from(report.kept_rows > 0 && report.rows > 0);
        assert_eq!(log(&to), expected, "call {nth}");
        if !fired {
            assert!(nth > 5 && interrupted > 0, "{nth} calls, {interrupted} times some rows were there");
            break;
        }
    }
}

/// Reading the files fails at any call: nothing of that is taken for their end.
#[test]
fn files_that_cannot_be_read_stop_the_import_and_do_not_end_it() {
    let home = Home::new();
    let files = &odd_files()[..3];
    files.iter().for_each(|file| home.write_model(file));
    let expected = sorted(files);
    let mut stopped = 0;
    for nth in (1..).step_by(5) {
        let to = home.partition(&format!("log-{nth}"));
        let faulty = Faulty::new(Arc::new(tidelog::io::Disk::new()));
        faulty.inject(Fault::anywhere().nth(nth).error(EIO).from_then_on());
        let import = TimedImport::open_in(Arc::new(faulty.clone()), home.path("in"), &TimedColumns::new().time("at_ns"));
        let outcome = import.and_then(|import| import.append_to(&to, &mut |_| {}));
        if faulty.fired() == 0 {
            assert!(nth > 40, "{nth} calls");
            assert_eq!(outcome.unwrap().rows, expected.len() as u64);
            break;
        }
        let error = outcome.unwrap_err();
        assert!(matches!(error, ImportError::Io(_) | ImportError::Table(_)) && !error.is_refusal(), "call {nth}: {error}");
        assert!(expected.starts_with(&log(&to)), "call {nth}");
        assert_eq!(to.durable_end_offset(), to.log_end_offset(), "call {nth}");
        stopped += u64::from(!log(&to).is_empty());
        home.import(&to).unwrap();
        assert_eq!(log(&to), expected, "call {nth}");
    }
    assert!(stopped > 0);
}

/// The power fails at any call: what is there then is a beginning of the rows, and the rest can follow.
#[test]
fn an_import_that_loses_power_anywhere_goes_on() {
    let home = Home::new();
    let files = odd_files();
    files.iter().for_each(|file| home.write_model(file));
    let expected = sorted(&files);
    let open = |storage: Arc<dyn Storage>| options().storage(storage).open("/log").unwrap().topic("t").unwrap().partition(0).unwrap();
    let mut torn = 0;
    for names in [NameModel::Strict, NameModel::Journal] {
        'calls: for nth in 1.. {
            for seed in 0..2 {
                let what = format!("{names:?}, call {nth}, seed {seed}");
                let mut disk = SimDisk::new(nth + 1000 * seed, names);
                for run in 0..3 {
                    let faulty = Faulty::new(Arc::new(disk.clone()));
                    let to = open(Arc::new(faulty.clone()));
                    assert!(expected.starts_with(&log(&to)), "{what}");
                    torn += u64::from(to.recovery_report().is_notable());
                    faulty.inject(Fault::anywhere().nth(nth).error(EIO).from_then_on());
                    let _ = home.import(&to);
                    if run == 0 && faulty.fired() == 0 {
                        assert!(nth > 5, "only {nth} calls");
                        break 'calls;
                    }
                    drop(to);
                    disk = disk.power_cut().disk(nth + 1000 * seed + run, names);
                }
                let to = open(Arc::new(disk));
                home.import(&to).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(log(&to), expected, "{what}");
            }
        }
    }
    assert!(torn > 0, "no end was torn");
}

#[test]
fn new_files_behind_what_was_imported_are_continued() {
    let home = Home::new();
    let mut files = vec![model("day=1.parquet", 0..2500, 700), model("day=2.parquet", 2400..3000, 100)];
    files.iter().for_each(|file| home.write_model(file));
    let to = home.partition("log");
    assert_eq!(home.import(&to).unwrap().rows, 3100);
    for (name, times, rows) in [("day=3.parquet", 2999..3100, 101), ("another/day=4.parquet", 3100..3300, 200)] {
        files.push(model(name, times, 50));
        home.write_model(&files[files.len() - 1]);
        let report = home.import(&to).unwrap();
        assert_eq!((report.rows, report.kept_rows), (rows, log(&to).len() as u64 - rows));
        assert_eq!(log(&to), sorted(&files));
    }
    // The same files elsewhere are the same files.
    fs::rename(home.path("in"), home.path("moved")).unwrap();
    let moved = TimedImport::open(home.path("moved"), &TimedColumns::new().time("at_ns")).unwrap();
    assert_eq!(moved.append_to(&to, &mut |_| {}).unwrap().rows, 0);
    // Other files go behind them, and each set knows its own.
    fs::create_dir(home.path("in")).unwrap();
    let more = model("day=1.parquet", 5..20, 4);
    home.write_model(&more);
    let others = TimedImport::open(home.path("in"), &TimedColumns::new().time("at_ns")).unwrap().source("others");
    assert_eq!(others.append_to(&to, &mut |_| {}).unwrap().rows, 15);
    assert_eq!(log(&to)[3401..], sorted(&[more]));
    let report = moved.append_to(&to, &mut |_| {}).unwrap();
    assert_eq!((report.rows, report.other_records), (0, 15));
    assert_eq!(others.append_to(&to, &mut |_| {}).unwrap().rows, 0);
}

/// What the partition remembers of the files tells which of them is not what it was.
#[test]
fn files_that_are_not_what_they_were_are_refused() {
    let home = Home::new();
    let files = [model("a.parquet", 0..30, 10), model("b.parquet", 10..40, 10), model("c.parquet", 20..50, 10)];
    files.iter().for_each(|file| home.write_model(file));
    let to = home.partition("log");
    home.import(&to).unwrap();
    let refused = || {
        let error = home.import(&to).unwrap_err();
        assert!(error.is_refusal(), "{error}");
        assert_eq!(log(&to), sorted(&files), "nothing was changed");
        error
    };
    for file in &files {
        let path = home.path("in").join(&file.name);
        let kept = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let error = refused();
        assert!(matches!(&error, ImportError::Vanished { path: missing } if *missing == path), "{error}");
        home.write_model(&model(&file.name, file.rows[0].ts_ns..file.rows[0].ts_ns + 31, 10));
        let error = refused();
        assert!(matches!(&error, ImportError::Changed { path: at, rows: 30, found_rows: 31, .. } if *at == path), "{error}");
        fs::write(&path, kept).unwrap();
    }
    let late = home.path("in/0.parquet");
    for from in [-5, 5, 49] {
        home.write_model(&model("0.parquet", from..100, 10));
        let error = refused();
        assert!(matches!(&error, ImportError::Late { path, time, until, .. } if *path == late && time.get() == from && until.get() == 49), "{error}");
    }
    // At the last time, but behind the last file.
    fs::rename(&late, home.path("in/d.parquet")).unwrap();
    assert_eq!(home.import(&to).unwrap().rows, 51);
    let other = home.import_as(&TimedColumns::new().time("at_ns").value("_key"), &to).unwrap_err();
    assert!(matches!(other, ImportError::OtherColumns { .. }), "{other}");
}

/// Files that are there when the import ends early, and gone when it goes on, are missed only if rows of them were appended.
#[test]
fn files_that_were_not_begun_may_come_and_go() {
    let home = Home::new();
    let files = [model("a.parquet", 0..3000, 500), model("b.parquet", 2500..2600, 10)];
    files.iter().for_each(|file| home.write_model(file));
    let to = home.partition("log");
    home.import(&to).unwrap();
    to.truncate_suffix(2000).unwrap();
    fs::remove_file(home.path("in/b.parquet")).unwrap();
    let other = model("c.parquet", 2300..2310, 10);
    home.write_model(&other);
    assert_eq!(home.import(&to).unwrap().rows, 1010);
    assert_eq!(log(&to), sorted(&[files[0].clone(), other]));
}

#[test]
fn what_others_append_is_told_and_not_counted() {
    let home = Home::new();
    let files = [model("a.parquet", 0..1500, 10_000)];
    home.write_model(&files[0]);
    let to = home.partition("log");
    to.append(Record::new("before")).unwrap();
    let import = TimedImport::open(home.path("in"), &TimedColumns::new().time("at_ns")).unwrap();
    let mut appended = 0;
    let other = to.clone();
    let report = import.append_to(&to, &mut |progress| {
        // In the middle.
        if progress.rows > 0 && appended == 0 {
            other.append_with(Record::new("other"), AckLevel::Written).unwrap();
            appended += 1;
        }
    });
    assert_eq!((report.unwrap().other_records, appended), (1, 1));
    to.append(Record::new("after")).unwrap();
    let report = import.append_to(&to, &mut |_| {}).unwrap();
    assert_eq!((report.rows, report.kept_rows, report.other_records), (0, 1500, 2));
    let all = log(&to);
    let rows: Vec<Row> = all.iter().filter(|row| row.value.as_deref().is_some_and(|value| value.starts_with(b"a.parquet"))).cloned().collect();
    assert_eq!((all.len(), rows), (1503, sorted(&files)));
    // The same import twice at once is not put up with.
    let fresh = home.partition("twice");
    let mut inner = None;
    let outer = import.append_to(&fresh, &mut |progress| {
        if progress.rows > 0 && inner.is_none() {
            inner = Some(import.append_to(&fresh, &mut |_| {}).unwrap().rows);
        }
    });
    assert!(matches!(outer, Err(ImportError::Concurrent { .. })), "{outer:?}, {inner:?}");
}

/// The other one is done while this one looks at its files.
#[test]
fn two_imports_at_once_are_not_both_done() {
    let home = Home::new();
    home.write_model(&model("a.parquet", 0..1500, 10_000));
    let to = home.partition("log");
    let faulty = Faulty::new(Arc::new(tidelog::io::Disk::new()));
    let import = TimedImport::open_in(Arc::new(faulty.clone()), home.path("in"), &TimedColumns::new().time("at_ns")).unwrap();
    faulty.inject(Fault::anywhere().slow(Duration::from_secs(2)));
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| import.append_to(&to, &mut |_| {}));
        while faulty.fired() == 0 {
            std::thread::yield_now();
        }
        let other = home.import(&to);
        let outcomes = [slow.join().unwrap(), other];
        assert!(outcomes.iter().any(|outcome| matches!(outcome, Err(ImportError::Concurrent { .. }))), "{outcomes:?}");
    });
}

#[test]
fn a_log_that_is_cut_off_meanwhile_gets_the_rows_again() {
    let home = Home::new();
    let files = [model("a.parquet", 0..3000, 1000)];
    home.write_model(&files[0]);
    let to = home.partition("log");
    let import = TimedImport::open(home.path("in"), &TimedColumns::new().time("at_ns")).unwrap();
    let mut cut = None;
    let outcome = import.append_to(&to, &mut |progress| {
        if progress.rows > 0 && cut.is_none() {
            cut = Some(to.log_end_offset().get() - 100);
            to.truncate_suffix(cut.unwrap()).unwrap();
        }
    });
    assert!(matches!(outcome, Err(ImportError::CutOff { found, .. }) if Some(found.get()) == cut), "{outcome:?}");
    import.append_to(&to, &mut |_| {}).unwrap();
    assert_eq!(log(&to), sorted(&files));
}

#[test]
fn a_log_without_its_first_rows_goes_on() {
    let home = Home::new();
    let files = [model("a.parquet", 0..5000, 1000), model("b.parquet", 100..200, 1000)];
    files.iter().for_each(|file| home.write_model(file));
    let to = home.partition("log");
    home.import(&to).unwrap();
    to.delete_prefix(4000).unwrap();
    assert_eq!(home.import(&to).unwrap().rows, 0);
    to.truncate_suffix(4600).unwrap();
    assert_eq!(home.import(&to).unwrap().rows, 500);
    // Batches are read whole.
    assert!(log(&to).ends_with(&sorted(&files)[4000..]) && to.log_end_offset() == 5100);
    // Their names are gone with them, what they were is not.
    fs::remove_file(home.path("in/b.parquet")).unwrap();
    assert!(home.import(&to).unwrap_err().is_refusal());
}

/// What the files of other writers look like, each type of time and value among them.
#[test]
fn types_of_times_and_values_are_taken_as_they_are() {
    let at = |columns: TimedColumns, time: (&str, ArrayRef), value: (&str, ArrayRef)| {
        let home = Home::new();
        home.write("f.parquet", vec![time, value]);
        let to = home.partition("log");
        home.import_as(&columns, &to).map(|_| log(&to).into_iter().map(|row| (row.ts_ns, row.value)).collect::<Vec<_>>())
    };
    let usual = || ("value", text(&["a"]));
    let one = |ts_ns: i64| vec![(ts_ns, Some(b"a".to_vec()))];
    let named = |name: &str| TimedColumns::new().time(name);
    let day: ArrayRef = Arc::new(Date32Array::from(vec![-1]));
    assert_eq!(at(named("day"), ("day", day), usual()).unwrap(), one(-86_400_000_000_000));
    let millis: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1500]));
    assert_eq!(at(TimedColumns::new(), ("_ts", millis), usual()).unwrap(), one(1_500_000_000));
    assert_eq!(at(TimedColumns::new(), ("_ts_ns", int64(&[7])), usual()).unwrap(), one(7));
    assert_eq!(at(named("at").unit(TimeUnit::Seconds), ("at", int64(&[7])), usual()).unwrap(), one(7_000_000_000));
    let fixed: ArrayRef = Arc::new(arrow::array::FixedSizeBinaryArray::try_from_iter([[1u8, 2]].into_iter()).unwrap());
    assert_eq!(at(named("at_us").value("id"), ("at_us", int64(&[7])), ("id", fixed)).unwrap(), [(7000, Some(vec![1, 2]))]);
    let large: ArrayRef = Arc::new(arrow::array::LargeStringArray::from(vec!["a"]));
    assert_eq!(at(named("at_us"), ("at_us", int64(&[7])), ("_value", large)).unwrap(), one(7000));
    let view: ArrayRef = Arc::new(arrow::array::StringViewArray::from(vec!["a"]));
    assert_eq!(at(named("at_us"), ("at_us", int64(&[7])), ("_value", view)).unwrap(), one(7000));
    let dictionary: ArrayRef = Arc::new(["a"].into_iter().collect::<arrow::array::DictionaryArray<arrow::datatypes::Int32Type>>());
    assert_eq!(at(named("at_us"), ("at_us", int64(&[7])), ("_value", dictionary)).unwrap(), one(7000));
}

#[test]
fn rows_become_json_with_the_columns_of_their_directories() {
    let home = Home::new();
    let reading: ArrayRef = Arc::new(Float64Array::from(vec![Some(20.5), None, Some(f64::NAN)]));
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![2_000_000, 1_000_000, 3_000_000]).with_timezone("UTC"));
    home.write("site=a%20b/x.parquet", vec![("at", times), ("reading", reading), ("note", text(&["line\nfeed", "\"x\"", ""]))]);
    let to = home.partition("log");
    home.import_as(&TimedColumns::new().time("at").key("site").rows_as_json(), &to).unwrap();
    let found: Vec<_> = log(&to).into_iter().map(|row| (row.key.unwrap(), String::from_utf8(row.value.unwrap()).unwrap())).collect();
    let json = [
        r#"{"at":"1970-01-01T00:00:01Z","reading":null,"note":"\"x\"","site":"a b"}"#,
        r#"{"at":"1970-01-01T00:00:02Z","reading":20.5,"note":"line\nfeed","site":"a b"}"#,
        r#"{"at":"1970-01-01T00:00:03Z","reading":null,"note":"","site":"a b"}"#,
    ];
    assert_eq!(found, json.map(|json| (b"a b".to_vec(), json.to_owned())));
}

#[test]
fn what_cannot_be_imported_is_refused_and_says_why() {
    type Columns<'a> = Vec<(&'a str, ArrayRef)>;
    let refused_as = |columns: TimedColumns, files: &[(&str, Columns<'_>)]| {
        let home = Home::new();
        files.iter().for_each(|(name, columns)| home.write(name, columns.clone()));
        let to = home.partition("log");
        let error = home.import_as(&columns, &to).unwrap_err();
        assert!(error.is_refusal() && log(&to).is_empty(), "{error}");
        error.to_string().replace(&format!("{}/", home.path("in").display()), "").replace(&home.path("in").display().to_string(), "in")
    };
    let refused = |files: &[(&str, Columns<'_>)]| refused_as(TimedColumns::new(), files);
    let at = || ("_ts_ns", int64(&[1, 2]));
    let value = || ("value", text(&["1", "2"]));
    assert_eq!(refused(&[]), "in has no Parquet files");
    assert_eq!(
        refused(&[("a.parquet", vec![at(), value(), ("_offset", int64(&[1, 2]))])]),
        "the files in in have a column _offset: they are restored, not put into the order of time"
    );
    let mixed = refused(&[("a.parquet", vec![at()]), ("p=1/b.parquet", vec![at(), value(), ("_offset", int64(&[1, 2]))])]);
    assert_eq!(mixed, "p=1/b.parquet has a column _offset, and a.parquet has none: they cannot be imported together");
    assert_eq!(refused(&[("a.parquet", vec![value()])]), "a.parquet: it has no column _ts_ns or _ts: name the one that holds the times, of value");
    let hive = refused_as(TimedColumns::new().time("day"), &[("day=2024-01-01/a.parquet", vec![at(), value()])]);
    assert_eq!(hive, "day=2024-01-01/a.parquet: its column day is Utf8, not TIMESTAMP, DATE or INT64");
    let nulls: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    assert_eq!(refused(&[("a.parquet", vec![at(), value()]), ("b.parquet", vec![("_ts_ns", nulls), value()])]), "b.parquet: row 1: it has no time");
    let far: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![0, i64::MAX / 1000 + 1]));
    let far = refused(&[("b.parquet", vec![("_ts", far), value()])]);
    let years = "is not in the years 1677 to 2262, which nanoseconds can hold";
    assert_eq!(far, format!("b.parquet: row 1: its time, {}, {years}", i64::MAX / 1000 + 1));
    let seconds =
        refused_as(TimedColumns::new().unit(TimeUnit::Seconds), &[("a.parquet", vec![("_ts_ns", int64(&[i64::MAX])), ("value", text(&["1"]))])]);
    assert_eq!(seconds, format!("a.parquet: row 0: its time, {}, {years}", i64::MAX));
}

#[test]
fn a_file_that_is_cut_short_is_refused() {
    let home = Home::new();
    home.write_model(&model("a.parquet", 0..100, 30));
    let path = home.path("in/a.parquet");
    let bytes = fs::read(&path).unwrap();
    let to = home.partition("log");
    for len in (0..bytes.len()).step_by(41) {
        fs::write(&path, &bytes[..len]).unwrap();
        let error = home.import(&to).unwrap_err();
        assert!(error.is_refusal() && error.to_string().contains("a.parquet"), "{len} bytes: {error}");
    }
    assert!(log(&to).is_empty());
}

/// Row groups over each other in time, not sorted: what they take is known before the first record is appended.
#[test]
fn memory_has_a_limit() {
    let home = Home::new();
    let backwards = |name: &str| {
        let rows = (0..2000i64).rev().map(|time| plain(time, &"x".repeat(1000))).collect();
        Model { name: name.to_owned(), rows, group_rows: 10_000, statistics: true, kind: TimeKind::Number }
    };
    let files: Vec<Model> = (0..4).map(|number| backwards(&format!("{number}.parquet"))).collect();
    // Without a dictionary: of values that are all the same, it is small.
    for file in &files {
        let value: ArrayRef = Arc::new(file.rows.iter().map(|row| row.value.as_deref()).collect::<BinaryArray>());
        let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
        home.write_with(&file.name, vec![("at_ns", times(file.kind, &file.rows)), ("value", value)], properties);
    }
    let to = home.partition("log");
    let import = |limit| {
        let import = TimedImport::open(home.path("in"), &TimedColumns::new().time("at_ns")).unwrap();
        import.memory_bytes_max(limit).append_to(&to, &mut |_| {})
    };
    let error = import(4 << 20).unwrap_err();
    assert!(matches!(&error, ImportError::Memory { bytes, limit, .. } if *bytes > *limit) && error.is_refusal(), "{error}");
    assert!(log(&to).is_empty(), "nothing was appended");
    import(64 << 20).unwrap();
    assert_eq!(log(&to), sorted(&files));
    // Sorted, they are read in portions.
    let home = Home::new();
    let files: Vec<Model> = (0..4).map(|number| model(&format!("{number}.parquet"), 0..20_000, 100_000)).collect();
    files.iter().for_each(|file| home.write_model(file));
    let import = TimedImport::open(home.path("in"), &TimedColumns::new().time("at_ns")).unwrap();
    let to = home.partition("log");
    import.memory_bytes_max(12 << 20).append_to(&to, &mut |_| {}).unwrap();
    assert!(log(&to) == sorted(&files));
}

/// A dictionary hides how large its values are: the limit holds all the same, and what was appended stays and is continued.
#[test]
fn memory_has_a_limit_where_files_say_less_than_there_is() {
    let home = Home::new();
    let rows = (0..20_000i64).rev().map(|time| plain(time, &"x".repeat(2000))).collect();
    let files =
        [model("a.parquet", -5..0, 100), Model { name: "b.parquet".to_owned(), rows, group_rows: 100_000, statistics: true, kind: TimeKind::Nanos }];
    files.iter().for_each(|file| home.write_model(file));
    let to = home.partition("log");
    let import = || TimedImport::open(home.path("in"), &TimedColumns::new().time("at_ns")).unwrap();
    let error = import().memory_bytes_max(16 << 20).append_to(&to, &mut |_| {}).unwrap_err();
    assert!(matches!(&error, ImportError::Memory { path, .. } if path.ends_with("b.parquet")), "{error}");
    import().append_to(&to, &mut |_| {}).unwrap();
    assert!(log(&to) == sorted(&files));
}

#[test]
fn files_that_all_lie_over_each_other_have_a_limit() {
    let home = Home::new();
    for number in 0..501 {
        home.write(&format!("{number}.parquet"), vec![("at_ns", int64(&[0, 10])), ("value", text(&["a", "b"]))]);
    }
    let to = home.partition("log");
    let error = home.import(&to).unwrap_err();
    assert!(matches!(error, ImportError::Files { files: 501, limit: 500, .. }), "{error}");
    fs::remove_file(home.path("in/7.parquet")).unwrap();
    assert_eq!(home.import(&to).unwrap().rows, 1000);
}

/// What tools leave beside their files is passed over; a Delta log says which files count.
#[test]
fn files_are_found_as_tools_leave_them() {
    let home = Home::new();
    let files = [model("x.parquet", 0..10, 5), model("date=1/hour=2/y.parquet", 3..9, 5)];
    files.iter().for_each(|file| home.write_model(file));
    home.write_model(&model("_temporary/z.parquet", 0..10, 5));
    home.write_model(&model(".hidden.parquet", 0..10, 5));
    fs::write(home.path("in/_SUCCESS"), "").unwrap();
    fs::write(home.path("in/.x.parquet.crc"), "crc").unwrap();
    let to = home.partition("log");
    home.import(&to).unwrap();
    assert_eq!(log(&to), sorted(&files));
    let one = TimedImport::open(home.path("in/x.parquet"), &TimedColumns::new().time("at_ns")).unwrap();
    assert_eq!(one.rows(), 10);
    // A table of which only one file is left.
    fs::create_dir(home.path("in/_delta_log")).unwrap();
    let add = r#"{"add":{"path":"x.parquet","partitionValues":{},"size":1,"modificationTime":1,"dataChange":true}}"#;
    fs::write(home.path("in/_delta_log/00000000000000000000.json"), add).unwrap();
    assert_eq!(TimedImport::open(home.path("in"), &TimedColumns::new().time("at_ns")).unwrap().rows(), 10);
    std::os::unix::fs::symlink(home.path("in/x.parquet"), home.path("in/date=1/s.parquet")).unwrap();
    let error = TimedImport::open(home.path("in/date=1"), &TimedColumns::new().time("at_ns")).unwrap_err();
    assert!(error.is_refusal() && error.to_string().contains("s.parquet"), "{error}");
}

/// Times as Spark and Impala store them, days and nanoseconds of a day: in nanoseconds since 1970 the far ones would wrap around unseen.
#[test]
fn int96_times_are_taken_or_refused() {
    let import = |days: &[u32]| {
        let home = Home::new();
        let schema = parse_message_type("message rows { required int96 at; required binary value; }").unwrap();
        let file = File::create(home.path("in/a.parquet")).unwrap();
        let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let times: Vec<Int96> = days.iter().map(|days| Int96::from(vec![7, 0, *days])).collect();
        column.typed::<Int96Type>().write_batch(&times, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&vec!["x".into(); days.len()], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        let to = home.partition("log");
        home.import_as(&TimedColumns::new().time("at"), &to).map(|_| log(&to).iter().map(|row| row.ts_ns).collect::<Vec<_>>())
    };
    // The day of 1970-01-01, the one after, and one in the year 9999.
    assert_eq!(import(&[2_440_589, 2_440_588]).unwrap(), [7, 86_400_000_000_007]);
    let error = import(&[2_440_588, 5_373_484]).unwrap_err();
    assert!(matches!(&error, ImportError::Row { row: 1, .. }) && error.is_refusal(), "{error}");
}

#[test]
fn codecs_that_other_tools_use_are_read() {
    for codec in [Compression::SNAPPY, Compression::GZIP(GzipLevel::default()), Compression::LZ4_RAW, Compression::LZ4, Compression::UNCOMPRESSED] {
        let home = Home::new();
        let properties = WriterProperties::builder().set_compression(codec).build();
        home.write_with("a.parquet", vec![("at_ns", int64(&[2, 1])), ("value", text(&["b", "a"]))], properties);
        let to = home.partition("log");
        home.import(&to).unwrap();
        assert_eq!(log(&to), [plain(1, "a"), plain(2, "b")], "{codec}");
    }
}
