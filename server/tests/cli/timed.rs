//! Parquet files without offsets: one topic in the order of time, whatever kills the import; exit codes and words for what is refused.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};

use crate::kill::import_with_kills;
use crate::sandbox::{Random, Sandbox};

/// Writes rows of a time in milliseconds and a line, a row group for each slice.
fn write(path: &Path, groups: &[&[(i64, String)]]) {
    let schema = parse_message_type("message rows { required int64 at_ms; required binary line (UTF8); }").unwrap();
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), Arc::new(schema), Arc::new(WriterProperties::default())).unwrap();
    for rows in groups {
        let times: Vec<i64> = rows.iter().map(|(at, _)| *at).collect();
        let lines: Vec<ByteArray> = rows.iter().map(|(_, line)| line.as_str().into()).collect();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&times, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&lines, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

fn rows(name: &str, times: impl IntoIterator<Item = i64>) -> Vec<(i64, String)> {
    times.into_iter().enumerate().map(|(number, at)| (at, format!("{name} {number}"))).collect()
}

const COLUMNS: [&str; 4] = ["--time-column", "at_ms", "--value-column", "line"];

#[test]
fn files_without_offsets_come_in_the_order_of_time() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("lake/day=1")).unwrap();
    write(&sandbox.path("lake/day=1/b.parquet"), &[&rows("b", [30, 10]), &rows("b2", [20])]);
    write(&sandbox.path("lake/c.parquet"), &[&rows("c", [10, 25])]);
    let import = |more: &[&'static str]| [&["import", "data", "logs", "--from-parquet", "lake"], &COLUMNS[..], more].concat();
    assert_eq!(sandbox.ok(&import(&[])), "logs/0: imported 5 records in the order of time; the next offset is 5\n");
    assert_eq!(sandbox.raw("logs"), b"c 0\nb 1\nb2 0\nc 1\nb 0\n".map(|byte| byte));
    assert_eq!(sandbox.ok(&import(&[])), "logs/0: nothing new, 5 records are there already\n");
    // At the time of the last row, only a file that comes behind its file is in order.
    write(&sandbox.path("lake/d.parquet"), &[&rows("d", [30, 31])]);
    sandbox.run(&import(&[])).expect(3).says("but rows up to 1970-01-01T00:00:00.03Z of lake/day=1/b.parquet are imported");
    std::fs::rename(sandbox.path("lake/d.parquet"), sandbox.path("lake/e.parquet")).unwrap();
    let summary: Value = serde_json::from_str(&sandbox.ok(&import(&["--json"]))).unwrap();
    let expected = json!({
        "source": "lake", "topic": "logs", "partition": 0, "imported": 2, "already_imported": 5, "of_others": 0, "bytes": 6, "next_offset": 7
    });
    assert_eq!(summary, expected);
    sandbox.ok_with(&["append", "data", "logs"], "other\n");
    write(&sandbox.path("lake/f.parquet"), &[&rows("f", [50])]);
    let run = sandbox.run(&import(&[])).expect(0).says("logs/0: 1 record of others among or behind those that were imported");
    assert_eq!(run.text(), "logs/0: imported 1 record in the order of time, 7 were there already; the next offset is 9\n");
    // Rows as JSON, the directory's column for the key.
    sandbox.ok(&["import", "data", "json", "--from-parquet", "lake/day=1/..", "--time-column", "at_ms", "--key-column", "line", "--rows-as-json"]);
    let records = sandbox.records(&["json"]);
    let first = json!({"offset": 0, "ts_ns": 10_000_000, "key": "c 0", "value": "{\"at_ms\":10,\"line\":\"c 0\"}", "headers": []});
    assert_eq!(records[0], first);
    assert_eq!(records[1]["value"], "{\"at_ms\":10,\"line\":\"b 1\",\"day\":\"1\"}");
}

#[test]
fn what_cannot_be_put_in_order_has_its_exit_code() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("lake")).unwrap();
    write(&sandbox.path("lake/a.parquet"), &[&rows("a", [10, 20, 30])]);
    let from = |topic: &'static str, more: &[&'static str]| [&["import", "data", topic, "--from-parquet", "lake"], more].concat();
    for (arguments, code, says) in [
        (from("logs", &[]), 3, "it has no column _ts_ns or _ts: name the one that holds the times, of at_ms, line; see --time-column"),
        (from("logs", &["--time-column", "at_ms"]), 3, "it has no column _value or value: name the one that holds the values, of at_ms, line"),
        (from("logs", &["--time-column", "line"]), 3, "its column line is Utf8, not TIMESTAMP, DATE or INT64"),
        (from("logs", &["--rows-as-json", "--value-column", "line"]), 2, "cannot be used with"),
        (vec!["import", "data", "logs", "--time-column", "at_ms"], 2, "--from-parquet"),
    ] {
        sandbox.run(&arguments).expect(code).says(says);
        assert!(!sandbox.path("data").exists(), "{arguments:?}");
    }
    sandbox.ok_with(&["append", "data", "two", "--partitions", "2"], "1\n");
    let two = |more: &[&'static str]| [from("two", &COLUMNS), more.to_vec()].concat();
    sandbox
        .run(&two(&[]))
        .expect(2)
        .says("topic two has 2 partitions, and rows without offsets go into one, in the order of time: name it with -p N");
    sandbox.run(&two(&["-p", "2"])).expect(2).says("topic two has 2 partitions: there is no partition 2");
    sandbox.ok(&two(&["-p", "1"]));
    assert_eq!(sandbox.ok(&["cat", "data", "two", "-p", "1", "--output", "raw"]), "a 0\na 1\na 2\n");
    sandbox.ok(&from("logs", &COLUMNS));
    write(&sandbox.path("lake/b.parquet"), &[&rows("b", [25])]);
    let late = "lake/b.parquet is new and begins at 1970-01-01T00:00:00.025Z, but rows up to 1970-01-01T00:00:00.03Z of lake/a.parquet are imported";
    sandbox.run(&from("logs", &COLUMNS)).expect(3).says(late).says("; import it into another topic");
    std::fs::remove_file(sandbox.path("lake/b.parquet")).unwrap();
    write(&sandbox.path("lake/a.parquet"), &[&rows("a", [10, 20, 30, 40])]);
    sandbox.run(&from("logs", &COLUMNS)).expect(3).says("lake/a.parquet has changed: it had 3 rows");
    // What comes before a row that does not fit is there, and the next run goes on with it.
    std::fs::create_dir(sandbox.path("large")).unwrap();
    write(&sandbox.path("large/a.parquet"), &[&[(1, "one".to_owned()), (2, "two".to_owned()), (3, "x".repeat(70_000))]]);
    let large = [&["import", "data", "large", "--from-parquet", "large"], &COLUMNS[..]].concat();
    let limited = [&large[..], &["--set", "batch_bytes_max=64KiB"]].concat();
    let run = sandbox.run(&limited).expect(1).says("imported before the error: 2 records\n");
    run.says("large/a.parquet: row 2: ");
    sandbox.run(&limited).expect(1).says("large/a.parquet: row 2: ");
    assert_eq!(sandbox.ok(&large), "large/0: imported 1 record in the order of time, 2 were there already; the next offset is 3\n");
    // Those with offsets are restored, and not put together with others.
    sandbox.ok(&["export", "data", "two", "--to", "out"]);
    let named = ["import", "data", "new", "--from-parquet", "out", "--time-column", "_ts"];
    sandbox.run(&named).expect(3).says("the files in out have a column _offset: they are restored");
    write(&sandbox.path("out/topic=two/partition=1/x.parquet"), &[&rows("x", [1])]);
    std::fs::remove_dir_all(sandbox.path("out/topic=two/_delta_log")).unwrap();
    sandbox.run(&["import", "data", "new", "--from-parquet", "out/topic=two"]).expect(3).says("x.parquet has none: they cannot be imported together");
}

/// The files are in the topic once, in the order of time, whenever the import is killed.
#[test]
fn kill9_import_in_the_order_of_time() {
    let sandbox = Sandbox::new();
    let mut random = Random(5);
    std::fs::create_dir_all(sandbox.path("lake/day=1")).unwrap();
    let mut all = Vec::new();
    for (number, name) in ["b", "day=1/a", "day=1/c"].into_iter().enumerate() {
        let mut file = rows(name, (0..20_000).map(|step| step * 3 + random.below(40) as i64));
        file.iter_mut().for_each(|(_, line)| line.push_str(&"x".repeat(random.below(100) as usize)));
        if number == 1 {
            file.sort_by_key(|(at, _)| *at);
        }
        write(&sandbox.path(&format!("lake/{name}.parquet")), &file.chunks(3000).collect::<Vec<_>>());
        all.extend(file);
    }
    all.sort_by_key(|(at, _)| *at);
    let expected: String = all.into_iter().map(|(_, line)| line + "\n").collect();
    let options = [&["--from-parquet", "lake", "--segment-bytes", "1MiB"], &COLUMNS[..]].concat();
    import_with_kills(&sandbox, &[], &options, &mut random, |topic| {
        assert!(sandbox.raw(topic) == expected.as_bytes(), "the lines of {topic} differ")
    });
}
