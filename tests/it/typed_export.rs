//! Typed columns out of JSON values: what they hold, what does not fit, and how the columns of a table may change.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidelog::export::{ExportError, ExportReport, ParquetExport, TypedColumn, TypedColumns, Unfit};
use tidelog::{AckLevel, Partition, Record, RecordBatch as Appended, Store};

#[test]
fn columns_hold_what_fits_and_nothing_is_lost() {
    let fixture = Fixture::new();
    let values = [
        r#"{"n":1,"price":"12.50","at":"2024-05-06T07:08:09.123456Z","day":"1969-12-31","tags":["a","b"],"geo":{"lat":1.5,"lon":null}}"#,
        r#"{"n":"x","price":0.125,"at":1000000,"day":null,"tags":[],"geo":{}}"#,
        "no json",
        r#"{"n":null,"price":-3,"tags":["a",1],"geo":[],"more":true}"#,
        "[1,2]",
    ];
    fixture.append(&values);
    fixture.partition().append(Record::tombstone()).unwrap();
    let columns = [
        ["n", ".n", "int64"],
        ["price", ".price", "decimal(9,2)"],
        ["at", ".at", "timestamp(us, UTC)"],
        ["day", ".day", "date"],
        ["tags", ".tags", "list<string>"],
        ["geo", ".geo", "struct<lat: float64, lon: float64>"],
        ["first_tag", ".tags[0]", "string"],
    ];
    let report = fixture.export(&columns).unwrap();
    let unfit =
        |name: &str, kind: &str, values, first: u64| Unfit { column: Some((name.to_owned(), kind.to_owned())), values, first: Some(first.into()) };
    assert_eq!(
        report.unfit,
        [
            Unfit { column: None, values: 1, first: Some(2.into()) },
            unfit("n", "int64", 1, 1),
            unfit("price", "decimal(9,2)", 1, 1),
            unfit("tags", "list<string>", 1, 3),
            unfit("geo", "struct<lat: float64, lon: float64>", 1, 3),
        ]
    );
    let rows = read(&report.files[0].path);
    let stored: Vec<Option<&[u8]>> = rows["_value"].as_binary::<i32>().iter().collect();
    assert_eq!(stored[..5], values.map(|value| Some(value.as_bytes())));
    assert_eq!(stored[5], None);
    assert_eq!(rows["n"].as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), None, None, None, None, None]);
    assert_eq!(rows["price"].data_type(), &DataType::Decimal128(9, 2));
    assert_eq!(rows["price"].as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>(), [Some(1250), None, None, Some(-300), None, None]);
    assert_eq!(rows["at"].data_type(), &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    let at = rows["at"].as_primitive::<TimestampMicrosecondType>();
    assert_eq!(at.iter().collect::<Vec<_>>(), [Some(1_714_979_289_123_456), Some(1_000_000), None, None, None, None]);
    assert_eq!(rows["day"].as_primitive::<Date32Type>().iter().collect::<Vec<_>>(), [Some(-1), None, None, None, None, None]);
    let tags = rows["tags"].as_list::<i32>();
    assert_eq!((0..6).map(|row| tags.is_valid(row).then(|| tags.value(row).len())).collect::<Vec<_>>(), [Some(2), Some(0), None, None, None, None]);
    let geo = rows["geo"].as_struct();
    assert_eq!((0..6).map(|row| geo.is_valid(row)).collect::<Vec<_>>(), [true, true, false, false, false, false]);
    assert_eq!(geo["lat"].as_primitive::<Float64Type>().iter().collect::<Vec<_>>(), [Some(1.5), None, None, None, None, None]);
    assert_eq!(geo["lon"].null_count(), 6);
    assert_eq!(rows["first_tag"].as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), None, None, Some("a"), None, None]);
}

#[test]
fn a_table_keeps_its_columns_and_takes_others() {
    let fixture = Fixture::new();
    let columns = |file: &ExportReport| -> Vec<String> {
        read(&file.files[0].path).schema().fields().iter().skip(8).map(|field| field.name().clone()).collect()
    };
    fixture.append(&[r#"{"a":1,"b":"x"}"#]);
    assert_eq!(columns(&fixture.export(&[["a", ".a", "int64"]]).unwrap()), ["a"]);
    fixture.append(&[r#"{"a":2,"b":"y"}"#]);
    assert_eq!(columns(&fixture.exporter().run(&mut |_| {}).unwrap()), ["a"], "also if none are declared");
    fixture.append(&[r#"{"a":3,"b":"z"}"#]);
    assert_eq!(columns(&fixture.export(&[["b", ".b", "string"], ["a", ".a", "int64"]]).unwrap()), ["b", "a"]);
    fixture.append(&[r#"{"a":4,"b":"!"}"#]);
    for (declared, reason) in [
        (&[["a", ".a", "int64"]][..], "it has a column b, string at .b, which must stay"),
        (&[["a", ".a", "float64"], ["b", ".b", "string"]], "its column a is int64 at .a and cannot become float64 at .a"),
        (&[["a", ".a", "int64"], ["b", ".c", "string"]], "its column b is string at .b and cannot become string at .c"),
    ] {
        let error = fixture.export(declared).unwrap_err();
        assert!(matches!(error, ExportError::Columns { .. }) && error.is_refusal(), "{error}");
        assert!(error.to_string().contains(reason), "expected {reason:?} in: {error}");
    }
    assert_eq!(columns(&fixture.export(&[["a", ".a", "int64"], ["b", ".b", "string"]]).unwrap()), ["a", "b"]);

    let schemas: Vec<Vec<String>> = (0..4).filter_map(|version| fixture.meta_data(version)).map(|meta| delta_columns(&meta)).collect();
    assert_eq!(schemas, [vec!["a".to_owned()], vec!["b".to_owned(), "a".to_owned()]], "the Delta schema changes when the columns do");
}

/// Of files that were not committed, none is taken over behind one that is written again.
#[test]
fn files_behind_one_with_other_columns_are_written_again() {
    let fixture = Fixture::new();
    fixture.append(&[r#"{"a":1}"#]);
    fixture.export(&[["a", ".a", "int64"]]).unwrap();
    fixture.append(&[r#"{"a":2}"#]);
    fixture.export(&[["a", ".a", "int64"], ["b", ".b", "string"]]).unwrap();
    fs::remove_dir_all(fixture.commit(0).parent().unwrap()).unwrap();
    let report = fixture.export(&[["a", ".a", "int64"], ["b", ".b", "string"]]).unwrap();
    assert_eq!((report.from.get(), report.rows(), report.kept_files), (0, 2, 0));
}

#[test]
fn what_delta_has_no_type_for_is_in_the_files_alone() {
    let fixture = Fixture::new();
    fixture.append(&[r#"{"t":"12:00:00","l":"2024-01-01T00:00:00","n":"2024-01-01T00:00:00.000000001Z"}"#]);
    let columns = [
        ["t", ".t", "time"],
        ["l", ".l", "timestamp(us)"],
        ["n", ".n", "timestamp(ns, UTC)"],
        ["nested", ".s", "struct<t: list<time>>"],
        ["d", ".d", "date"],
    ];
    let report = fixture.export(&columns).unwrap();
    assert_eq!(delta_columns(&fixture.meta_data(0).unwrap()), ["d"]);
    let rows = read(&report.files[0].path);
    assert!(["t", "l", "n"].iter().all(|name| rows[name].null_count() == 0) && rows["nested"].null_count() == 1);
}

/// Of two exporters that declare columns at the same time, both have theirs if they can.
#[test]
fn columns_that_another_process_declared_meanwhile_stay() {
    let fixture = Fixture::new();
    fixture.append(&[r#"{"a":1}"#]);
    fixture.export(&[["a", ".a", "int64"]]).unwrap();
    let first = fs::read_to_string(fixture.commit(0)).unwrap();
    let with_columns = |columns: Value| {
        let line = first.lines().find(|line| line.starts_with("{\"metaData\"")).unwrap();
        let mut action: Value = serde_json::from_str(line).unwrap();
        action["metaData"]["configuration"]["tidelog.columns"] = json!(columns.to_string());
        action.to_string()
    };
    let (a, b) = (json!({ "name": "a", "path": ".a", "type": "int64" }), json!({ "name": "b", "path": ".b", "type": "string" }));
    for (theirs, reason) in
        [(json!([a, b]), "another process has declared more of them"), (json!([b]), "it has a column b, string at .b, which must stay")]
    {
        let fixture = Fixture::new();
        fixture.append(&[r#"{"a":1,"b":"x"}"#]);
        let mut session = fixture.exporter().columns(declared(&[["a", ".a", "int64"]])).begin().unwrap();
        let mut is_first = true;
        let error = session
            .run(&mut |_| {
                if std::mem::take(&mut is_first) {
                    fs::create_dir_all(fixture.commit(0).parent().unwrap()).unwrap();
                    fs::write(fixture.commit(0), with_columns(theirs.clone())).unwrap();
                }
            })
            .unwrap_err();
        assert!(matches!(error, ExportError::Columns { .. }) && error.to_string().contains(reason), "{error}");
        let home = fixture.dir.path().join("out/topic=typed/partition=0");
        assert_eq!(fs::read_dir(home).unwrap().count(), 0, "the file that is without theirs is gone");
    }
}

/// A session learns of columns that others have declared since.
#[test]
fn a_session_takes_over_the_columns_of_the_table() {
    let fixture = Fixture::new();
    fixture.append(&[r#"{"a":1,"b":"x"}"#]);
    let mut session = fixture.exporter().columns(declared(&[["a", ".a", "int64"]])).begin().unwrap();
    session.run(&mut |_| {}).unwrap();
    let meta_data = fixture.meta_data(0).unwrap();
    let more = declared(&[["a", ".a", "int64"], ["b", ".b", "string"]]);
    let mut changed = json!({ "metaData": meta_data });
    let elsewhere = fixture.dir.path().join("elsewhere");
    ParquetExport::new(fixture.partition().view(), &elsewhere).columns(more).run(&mut |_| {}).unwrap();
    let other: Value = fs::read_to_string(elsewhere.join("topic=typed/_delta_log/00000000000000000000.json"))
        .unwrap()
        .lines()
        .find_map(|line| serde_json::from_str::<Value>(line).unwrap().get("metaData").cloned())
        .unwrap();
    changed["metaData"]["configuration"] = other["configuration"].clone();
    changed["metaData"]["schemaString"] = other["schemaString"].clone();
    fs::write(fixture.commit(1), changed.to_string()).unwrap();
    fixture.append(&[r#"{"a":2,"b":"y"}"#]);
    let report = session.run(&mut |_| {}).unwrap();
    assert_eq!(read(&report.files[0].path)["b"].as_string::<i32>().value(0), "y");
}

/// A file that a killed run left with other columns than the table is to have is written again.
#[test]
fn a_file_with_other_columns_is_not_committed() {
    for (now, expected) in [(&[["a", ".a", "string"]][..], DataType::Utf8), (&[["a", ".a", "int64"]], DataType::Int64)] {
        let fixture = Fixture::new();
        fixture.append(&[r#"{"a":1}"#]);
        fixture.export(&[["a", ".a", "int64"]]).unwrap();
        fs::remove_file(fixture.commit(0)).unwrap();
        let report = fixture.export(now).unwrap();
        assert_eq!((report.rows(), report.kept_files), if expected == DataType::Utf8 { (1, 0) } else { (0, 1) });
        let home = fixture.dir.path().join("out/topic=typed/partition=0");
        let files: Vec<PathBuf> = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!((files.len(), read(&files[0])["a"].data_type()), (1, &expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(0x71DE), ..ProptestConfig::default() })]

    /// A typed column has what another JSON parser finds there, or null; `_value` has all.
    #[test]
    fn typed_columns_are_what_a_json_parser_finds(values in prop::collection::vec(json_text(), 1..40)) {
        let fixture = Fixture::new();
        fixture.append(&values);
        let report = fixture.export(&[["i", ".v", "int64"], ["s", ".v", "string"], ["b", ".v", "bool"], ["l", ".v", "list<int64>"], ["f", ".v.f", "float64"]]).unwrap();
        let rows = read(&report.files[0].path);
        let (i, s, b) = (rows["i"].as_primitive::<Int64Type>(), rows["s"].as_string::<i32>(), rows["b"].as_boolean());
        let (l, f) = (rows["l"].as_list::<i32>(), rows["f"].as_primitive::<Float64Type>());
        for (row, text) in values.iter().enumerate() {
            prop_assert_eq!(rows["_value"].as_binary::<i32>().value(row), text.as_bytes());
            let found = serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
            let value = found.get("v").unwrap_or(&Value::Null);
            // A whole number may be written as a float.
            let whole = value.as_i64().or_else(|| value.as_f64().filter(|value| value.fract() == 0.0 && value.abs() < 1e15).map(|value| value as i64));
            prop_assert_eq!(i.is_valid(row).then(|| i.value(row)), whole, "{}", text);
            prop_assert_eq!(s.is_valid(row).then(|| s.value(row)), value.as_str(), "{}", text);
            prop_assert_eq!(b.is_valid(row).then(|| b.value(row)), value.as_bool(), "{}", text);
            // serde_json's floats may be the neighbours of the nearest.
            let (float, near) = (f.is_valid(row).then(|| f.value(row)), value.get("f").and_then(Value::as_f64));
            prop_assert!(float == near || float.zip(near).is_some_and(|(one, two)| (one - two).abs() <= two.abs() * 1e-15), "{}", text);
            let items = value.as_array().and_then(|items| {
                let fits = |item: &Value| (item.is_null() || item.as_i64().is_some()).then(|| item.as_i64());
                items.iter().map(fits).collect::<Option<Vec<_>>>()
            });
            let found = l.is_valid(row).then(|| l.value(row).as_primitive::<Int64Type>().iter().collect::<Vec<_>>());
            prop_assert_eq!(found, items, "{}", text);
        }
    }
}

fn json_text() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        (-1_000_000_i32..1_000_000).prop_map(|value| format!("{value}.0")),
        (-1e9_f64..1e9).prop_map(|value| format!("{value}e-3")),
        "\\PC{0,12}".prop_map(|text| Value::from(text).to_string()),
    ];
    let array =
        prop::collection::vec(prop_oneof![any::<i64>().prop_map(|value| value.to_string()), Just("null".to_owned()), Just("\"x\"".to_owned())], 0..4)
            .prop_map(|items| format!("[{}]", items.join(",")));
    let object = scalar.clone().prop_map(|value| format!("{{\"f\":{value}}}"));
    let value = prop_oneof![4 => scalar, 1 => array, 1 => object];
    prop_oneof![8 => value.prop_map(|value| format!("{{\"v\":{value}}}")), 1 => "\\PC{0,20}"]
}

struct Fixture {
    dir: TempDir,
    partition: Partition,
    _store: Store,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("data")).unwrap();
        let partition = store.topic("typed").unwrap().partition(0).unwrap();
        Self { dir, partition, _store: store }
    }

    fn partition(&self) -> &Partition {
        &self.partition
    }

    fn append(&self, values: &[impl AsRef<str>]) {
        let mut batch = Appended::new();
        for value in values {
            batch.push(&Record::new(value.as_ref())).unwrap();
        }
        self.partition.append_batch(&batch, AckLevel::Durable).unwrap();
    }

    fn exporter(&self) -> ParquetExport {
        ParquetExport::new(self.partition.view(), self.dir.path().join("out"))
    }

    fn export(&self, columns: &[[&str; 3]]) -> Result<ExportReport, ExportError> {
        self.exporter().columns(declared(columns)).run(&mut |_| {})
    }

    fn commit(&self, version: u64) -> PathBuf {
        self.dir.path().join(format!("out/topic=typed/_delta_log/{version:020}.json"))
    }

    fn meta_data(&self, version: u64) -> Option<Value> {
        let commit = fs::read_to_string(self.commit(version)).unwrap();
        commit.lines().find_map(|line| serde_json::from_str::<Value>(line).unwrap().get("metaData").cloned())
    }
}

fn declared(columns: &[[&str; 3]]) -> TypedColumns {
    TypedColumns::new(columns.iter().map(|[name, path, kind]| TypedColumn::new(*name, path.parse().unwrap(), kind.parse().unwrap()))).unwrap()
}

/// The names of the declared columns in a Delta schema.
fn delta_columns(meta_data: &Value) -> Vec<String> {
    let schema: Value = serde_json::from_str(meta_data["schemaString"].as_str().unwrap()).unwrap();
    let names = schema["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap().to_owned());
    names.filter(|name| !name.starts_with('_') && name != "partition").collect()
}

/// All rows of a file.
fn read(path: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(fs::read(path).unwrap())).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}
