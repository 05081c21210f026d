//! `export`: files, the words about them, exit codes. What is in the files is the engine's test, and that of readers nobody here wrote.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

#[test]
fn each_partition_becomes_files_and_the_next_run_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.write("lines", "one\ntwo\nthree\n");
    sandbox.ok(&["import", "data", "shop/orders", "lines", "--partitions", "2"]);
    let text = sandbox.ok(&["export", "data", "shop/orders", "--to", "out"]);
    assert!(text.contains("3 rows,") && text.contains("bytes in 2 new files"), "{text}");
    let report: Value = serde_json::from_str(&sandbox.ok(&["export", "data", "shop/orders", "--to", "again", "--json"])).unwrap();
    assert_eq!((&report["rows"], report["partitions"].as_array().unwrap().len()), (&json!(3), 2));
    for partition in report["partitions"].as_array().unwrap() {
        let file = &partition["files"][0];
        let path = sandbox.path(file["path"].as_str().unwrap());
        let number = &partition["partition"];
        assert!(path.parent().unwrap().ends_with(format!("namespace=shop/topic=orders/partition={number}")), "{}", path.display());
        let bytes = fs::read(&path).unwrap();
        assert_eq!((bytes.len() as u64, &bytes[..4]), (file["bytes"].as_u64().unwrap(), &b"PAR1"[..]));
        assert_eq!((&file["first_offset"], &file["dense"], &partition["gaps"]), (&json!(0), &json!(true), &json!([])));
        assert!(text.contains(path.file_name().unwrap().to_str().unwrap()), "{text}");
    }
    let text = sandbox.ok(&["export", "data", "shop/orders", "--to", "out"]);
    assert!(text.contains("nothing new, 1 file is there already"), "{text}");
    sandbox.ok_with(&["append", "data", "shop/orders", "-p", "1"], "four\n");
    assert!(sandbox.ok(&["export", "data", "shop/orders", "--to", "out"]).contains("1 row,"));
}

#[test]
fn a_place_is_a_directory_or_a_bucket() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs"], "1\n2\n");
    let export = |to: &str| sandbox.run(&["export", "data", "logs", "--to", to]);
    export(&format!("file://{}", sandbox.path("out").display())).expect(0);
    assert_eq!(ranges(&sandbox.path("out/topic=logs/partition=0")), [(0, 1)]);
    export(&format!("file://{}", sandbox.path("data").display())).expect(2).says("is in the store");
    for to in ["gs://bucket/exports", "file://out"] {
        export(to).expect(2).says("is no place for an export: a directory, file:///DIRECTORY or s3://BUCKET/PREFIX is expected");
    }
    export("s3:///exports").expect(2).says("names no bucket");
    if !cfg!(feature = "s3") {
        export("s3://bucket/exports").expect(2).says("this build knows no s3").says("--features s3");
    }
}

#[test]
fn everything_is_exported_whether_anybody_reads_what_is_said_or_not() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs", "--partitions", "3"], "1\n2\n3\n");
    sandbox.run_unread(&["export", "data", "logs", "--to", "out"], b"").expect(0);
    for partition in 0..3 {
        assert_eq!(ranges(&sandbox.path(&format!("out/topic=logs/partition={partition}"))), [(0, 0)]);
    }
}

#[test]
fn a_range_of_one_partition_is_exported() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs"], "x\n".repeat(100));
    let text = sandbox.ok(&["export", "data", "logs", "--to", "out", "-p", "0", "--from", "10", "--until", "40", "--rows-per-file", "20"]);
    assert!(text.contains("20 rows, offsets 10..=29") && text.contains("10 rows, offsets 30..=39"), "{text}");
    assert_eq!(ranges(&sandbox.path("out/topic=logs/partition=0")), [(10, 29), (30, 39)]);
}

/// Small files are put together before what is new is exported.
#[test]
fn small_files_are_put_together() {
    let sandbox = Sandbox::new();
    let export = ["export", "data", "logs", "--to", "out"];
    let compact = [&export[..], &["--compact"]].concat();
    for (lines, count) in [("one\ntwo\n", 2), ("three\n", 1), ("four\n", 1)] {
        sandbox.ok_with(&["append", "data", "logs"], lines);
        assert!(sandbox.ok(&export).contains(if count == 1 { "1 row," } else { "2 rows," }));
    }
    sandbox.ok_with(&["append", "data", "logs"], "five\n");
    let home = sandbox.path("out/topic=logs/partition=0");
    let text = sandbox.ok(&compact);
    assert!(text.starts_with("logs/0: put 3 files together as 1 file\nlogs/0: 4 rows, offsets 0..=3, "), "{text}");
    assert!(text.contains("logs/0: 1 row, offsets 4..=4, "), "{text}");
    assert_eq!(ranges(&home), [(0, 3), (4, 4)]);
    let report: Value = serde_json::from_str(&sandbox.ok(&[&compact[..], &["--json"]].concat())).unwrap();
    assert_eq!((&report["rows"], ranges(&home)), (&json!(0), vec![(0, 4)]));
    assert!(sandbox.ok(&compact).contains("nothing new, 1 file is there already"));
    sandbox.ok(&["import", "copy", "logs", "--from-parquet", "out"]);
    assert_eq!(sandbox.ok(&["cat", "copy", "logs"]).lines().count(), 5);
    let empty = Sandbox::new();
    empty.ok(&["append", "data", "none"]);
    empty.ok(&["export", "data", "none", "--to", "out", "--compact"]);
    assert!(!empty.path("out").exists());
}

/// Of four partitions one has a rotten file and one lost a file: the two others are done, and the last line says so.
#[test]
fn partitions_that_fail_keep_nobody_from_being_compacted() {
    for last in [&["--json"][..], &[], &["--follow"]] {
        let sandbox = Sandbox::new();
        let export = ["export", "data", "logs", "--to", "out"];
        let append = |line: &str| {
            for partition in ["0", "1", "2", "3"] {
                sandbox.ok_with(&["append", "data", "logs", "--partitions", "4", "-p", partition], line);
            }
        };
        for line in ["one\n", "two\n"] {
            append(line);
            sandbox.ok(&export);
        }
        append("three\n");
        let home = |partition: u32| sandbox.path(&format!("out/topic=logs/partition={partition}"));
        let (rotten, lost) = (home(0).join(name(1, 1)), home(2).join(name(0, 0)));
        let mut bytes = fs::read(&rotten).unwrap();
        let page = bytes.windows(3).position(|window| window == b"two").unwrap();
        bytes[page] ^= 0x10;
        fs::write(&rotten, bytes).unwrap();
        fs::remove_file(&lost).unwrap();

        let run = sandbox.run(&[&export[..], &["--compact"], last].concat()).expect(3);
        let said: Vec<&str> = run.stderr.lines().filter(|line| !line.contains(" put 2 files together as ")).collect();
        assert_eq!(said.len(), 2, "{}", run.stderr);
        for (line, (place, file)) in said.iter().zip([("logs/0", &rotten), ("logs/2", &lost)]) {
            let file = file.strip_prefix(sandbox.path("")).unwrap().display().to_string();
            assert!(line.starts_with(&format!("tidelog: compacting {place}: {file} is ")), "{line}");
        }
        let text = run.text();
        if last == ["--json"] {
            let report: Value = serde_json::from_str(&text).unwrap();
            let partitions = |field: &str| report[field].as_array().unwrap().iter().map(|one| one["partition"].clone()).collect::<Vec<_>>();
            assert_eq!(
                (&report["rows"], partitions("partitions"), partitions("failures")),
                (&json!(2), vec![json!(1), json!(3)], vec![json!(0), json!(2)])
            );
            assert_eq!(format!("tidelog: {}", report["failures"][1]["reason"].as_str().unwrap()), said[1]);
        } else {
            let line = text.lines().last().unwrap();
            assert!(
                line.starts_with("2 rows, ") && line.ends_with(" bytes in 2 new files; 4 files put together as 2 files; 2 of 4 partitions failed"),
                "{line}"
            );
        }
        assert_eq!([1, 3].map(|partition| ranges(&home(partition))), [[(0, 1), (2, 2)], [(0, 1), (2, 2)]]);
        assert_eq!([0, 2].map(|partition| ranges(&home(partition))), [vec![(0, 0), (1, 1)], vec![(1, 1)]], "nothing was done there");
    }
}

/// Of three partitions the middle one is gone, or has another one's files: the others are exported, and it is once it is back.
#[test]
fn a_partition_that_cannot_be_opened_keeps_nobody_from_being_exported() {
    let gone = "topic logs had 3 partitions; gone is: 1";
    for (stand_in, why) in [(None, gone), (Some(2), "holds partition 2 of its topic, not partition 1")] {
        for last in [&["--json"][..], &[], &["--follow"]] {
            let sandbox = three_partitions();
            fs::rename(log(&sandbox, 1), sandbox.path("away")).unwrap();
            if let Some(other) = stand_in {
                copy_files(&log(&sandbox, other), &log(&sandbox, 1));
            }
            let export = ["export", "data", "logs", "--to", "out"];
            let run = sandbox.run(&[&export[..], last].concat()).expect(4).says(why);
            assert!(run.stderr.starts_with("tidelog: exporting logs/1: ") && run.stderr.lines().count() == 1, "{}", run.stderr);
            if last == ["--json"] {
                let report: Value = serde_json::from_str(&run.text()).unwrap();
                let numbers = report["partitions"].as_array().unwrap().iter().map(|partition| partition["partition"].clone());
                assert_eq!((&report["rows"], numbers.collect::<Vec<_>>()), (&json!(2), vec![json!(0), json!(2)]));
                let why = run.stderr.trim_end().strip_prefix("tidelog: ").unwrap();
                assert_eq!(report["failures"], json!([{ "partition": 1, "reason": why }]));
            } else {
                let text = run.text();
                let line = text.lines().last().unwrap();
                assert!(line.starts_with("2 rows, ") && line.ends_with(" bytes in 2 new files; 1 of 3 partitions failed"), "{line}");
            }
            let home = |partition: u32| sandbox.path(&format!("out/topic=logs/partition={partition}"));
            assert_eq!([0, 1, 2].map(|partition| ranges(&home(partition))), [vec![(0, 0)], vec![], vec![(0, 0)]]);
            sandbox.run(&[&export[..], &["-p", "1"]].concat()).expect(4).says(why);

            if stand_in.is_some() {
                fs::remove_dir_all(log(&sandbox, 1)).unwrap();
            }
            fs::rename(sandbox.path("away"), log(&sandbox, 1)).unwrap();
            for rows in ["1 row, ", "0 rows, "] {
                assert!(sandbox.ok(&export).lines().last().unwrap().starts_with(rows));
                assert_eq!([0, 1, 2].map(|partition| ranges(&home(partition))), [[(0, 0)], [(0, 0)], [(0, 0)]]);
            }
        }
    }
}

/// A partition goes away under an export that follows the log: what is new in the others is exported before it ends.
#[test]
fn a_followed_partition_that_goes_away_keeps_nobody_from_being_exported() {
    let sandbox = three_partitions();
    let home = |partition: u32| sandbox.path(&format!("out/topic=logs/partition={partition}"));
    let mut command = sandbox.command(&["export", "data", "logs", "--to", "out", "--follow", "--every", "2"]);
    let mut follow = Killed(command.spawn().unwrap());
    let began = std::time::Instant::now();
    while [0, 1, 2].map(|partition| ranges(&home(partition)).len()) != [1, 1, 1] {
        assert!(began.elapsed().as_secs() < 30, "not exported");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    sandbox.ok_with(&["append", "data", "logs", "-p", "0"], "two\n");
    fs::rename(log(&sandbox, 1), sandbox.path("away")).unwrap();
    assert_eq!(follow.0.wait().unwrap().code(), Some(4), "as where it is gone before the export begins");
    let (mut said, mut why) = (String::new(), String::new());
    follow.0.stderr.take().unwrap().read_to_string(&mut why).unwrap();
    assert_eq!(why, "tidelog: exporting logs/1: topic logs had 3 partitions; gone is: 1\n");
    follow.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.ends_with("; 1 of 3 partitions failed\n"), "{said}");
    assert_eq!(ranges(&home(0)), [(0, 0), (1, 1)]);
}

/// A record in each of three partitions.
fn three_partitions() -> Sandbox {
    let sandbox = Sandbox::new();
    for partition in ["0", "1", "2"] {
        sandbox.ok_with(&["append", "data", "logs", "--partitions", "3", "-p", partition], "one\n");
    }
    sandbox
}

/// The directory of a partition.
fn log(sandbox: &Sandbox, partition: u32) -> PathBuf {
    sandbox.path(&format!("data/topics/default/logs/{partition}"))
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// What is appended while an export follows the log is in a file a second later, whoever is killed, and once.
#[test]
fn a_followed_export_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs", "--partitions", "2", "-p", "0"], "one\ntwo\n");
    let home = |partition: u32| sandbox.path(&format!("out/topic=logs/partition={partition}"));
    let rows = |partition| if home(partition).exists() { ranges(&home(partition)) } else { Vec::new() };
    let until = |expected: [&[(u64, u64)]; 2]| {
        let began = std::time::Instant::now();
        while [rows(0), rows(1)] != expected {
            assert!(began.elapsed().as_secs() < 30, "{:?} is no {expected:?}", [rows(0), rows(1)]);
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    let follow = || {
        let mut command = sandbox.command(&["export", "data", "logs", "--to", "out", "--follow", "--every", "1"]);
        Killed(command.stdout(Stdio::piped()).spawn().unwrap())
    };
    let first = follow();
    until([&[(0, 1)], &[]]);
    sandbox.run(&["export", "data", "logs", "--to", "out"]).expect(3).says("is being exported to by another process");
    sandbox.ok_with(&["append", "data", "logs", "-p", "1"], "three\n");
    until([&[(0, 1)], &[(0, 0)]]);
    first.said();
    sandbox.ok_with(&["append", "data", "logs", "-p", "0"], "four\n");
    let second = follow();
    until([&[(0, 1), (2, 2)], &[(0, 0)]]);
    std::thread::sleep(std::time::Duration::from_millis(300)); // it has said so by then
    let said = second.said();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("logs/0: 1 row, offsets 2..=2, "), "{said}");
}

/// Killed in the middle five times; in the end every offset is in exactly one file.
#[test]
fn a_killed_export_is_continued() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs"], "some line of a log\n".repeat(60_000));
    let home = sandbox.path("out/topic=logs/partition=0");
    let arguments = ["export", "data", "logs", "--to", "out", "--rows-per-file", "2000"];
    for round in 1..=5 {
        let mut child = sandbox.command(&arguments).spawn().unwrap();
        while ranges(&home).len() < 5 * round {
            assert!(child.try_wait().unwrap().is_none(), "the export ended before it was killed");
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    sandbox.ok(&arguments);
    let expected: Vec<_> = (0..30).map(|file| (file * 2000, file * 2000 + 1999)).collect();
    assert_eq!(ranges(&home), expected);
    assert_eq!(fs::read_dir(&home).unwrap().count(), 30, "nothing is left behind");
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Killed {
    /// Kills it; what it had printed.
    fn said(mut self) -> String {
        self.0.kill().unwrap();
        let mut said = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        self.0.wait().unwrap();
    }
}

fn name(first: u64, last: u64) -> String {
    format!("{first:020}-{last:020}.parquet")
}

/// First and last offset of each file, by their names.
fn ranges(home: &Path) -> Vec<(u64, u64)> {
    let names = fs::read_dir(home).into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut ranges: Vec<_> = names
        .filter_map(|name| {
            let (first, last) = name.strip_suffix(".parquet")?.split_once('-')?;
            Some((first.parse().unwrap(), last.parse().unwrap()))
        })
        .collect();
    ranges.sort();
    ranges
}

#[test]
fn a_file_is_inspected() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs"], "x\n".repeat(100));
    sandbox.ok(&["export", "data", "logs", "--to", "out", "--rows-per-file", "60"]);
    let file = "out/topic=logs/partition=0/00000000000000000060-00000000000000000099.parquet";
    let text = sandbox.ok(&["inspect", file]);
    for expected in ["rows                        40\n", "tidelog.last_offset         99\n", "tidelog.dense               true\n"] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
    let groups = text.lines().skip_while(|line| !line.trim_start().starts_with("ROW GROUP")).skip(1).collect::<Vec<_>>();
    assert_eq!((groups.len(), groups[0].contains("  60..=99  ")), (1, true), "{text}");
    let value: Value = serde_json::from_str(&sandbox.ok(&["inspect", "--json", file])).unwrap();
    assert_eq!((&value["rows"], &value["row_groups"][0]["offsets"]), (&json!(40), &json!([60, 99])));
    assert_eq!(value["columns"][2], json!({ "name": "_ts", "type": "TIMESTAMP(MICROS, UTC)", "optional": false }));
    assert_eq!(value["row_groups"][0]["columns"][0]["codec"], json!("ZSTD"));

    sandbox.run(&["inspect", "nowhere"]).expect(1).says("opening nowhere");
    sandbox.run(&["inspect", "out"]).expect(1).says("out is a directory");
    let whole = fs::read(sandbox.path(file)).unwrap();
    for len in [0, 5, whole.len() / 2, whole.len() - 1] {
        sandbox.write("broken", &whole[..len]);
        sandbox.run(&["inspect", "broken"]).expect(1).says("broken is no Parquet file that can be read");
    }
}

#[test]
fn an_empty_partition_is_said_to_be_empty() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["append", "data", "logs"]);
    assert!(sandbox.ok(&["export", "data", "logs", "--to", "out"]).contains("logs/0: no records up to offset 0: no file"));
    assert!(!sandbox.path("out").exists());
}

#[test]
fn what_cannot_be_exported_has_its_exit_code() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs"], "x\n".repeat(10));
    sandbox.ok_with(&["append", "other", "logs"], "y\n");
    sandbox.write("file", "");
    sandbox.ok(&["append", "data", "many", "--partitions", "2"]);
    std::os::unix::fs::symlink("data/topics", sandbox.path("link")).unwrap();
    let before = sandbox.snapshot("data");
    for (arguments, code, says) in [
        (&["data", "logs"][..], 2, "--to"),
        (&["data", "logs", "--to", "out", "--from", "-1"], 2, "-1"),
        (&["data", "logs", "--to", "out", "--until", "9223372036854775808"], 2, "9223372036854775808"),
        (&["data", "logs", "--to", "out", "--from", "5", "--until", "4"], 2, "--from 5 lies behind --until 4"),
        (&["data", "many", "--to", "out", "--from", "0"], 2, "say which with --partition"),
        (&["data", "logs", "--to", "out", "--from", "11"], 1, "offset 11 is out of range: 0..10"),
        (&["data", "lags", "--to", "out"], 1, "did you mean logs?"),
        (&["data", "logs", "--to", "out", "-p", "1"], 1, "there is no partition 1"),
        (&["nowhere", "logs", "--to", "out"], 1, "no store at nowhere"),
        (&["data", "logs", "--to", "file"], 1, "ot a directory"),
        (&["data", "logs", "--to", "data"], 2, "data is in the store"),
        (&["data", "logs", "--to", "data/topics"], 2, "data/topics is in the store"),
        (&["data", "logs", "--to", "data/new/deep"], 2, "is in the store"),
        (&["other", "logs", "--to", "data/topics/default/logs/0"], 2, "is in the store"),
        (&["data", "logs", "--to", "link/out"], 2, "link/out is in the store"),
    ] {
        sandbox.run(&[&["export"], arguments].concat()).expect(code).says(says);
        assert!(!sandbox.path("out").exists(), "{arguments:?}");
    }
    assert_eq!(sandbox.snapshot("data"), before);
    sandbox.ok(&["export", "data", "logs", "--to", "out"]);
    sandbox.run(&["export", "other", "logs", "--to", "out"]).expect(3).says("is of another partition");
}

#[test]
fn inferred_columns_are_exported() {
    let sandbox = Sandbox::new();
    let lines = [
        r#"{"id":1,"_mag":2,"ratio":0.5,"at":"2024-05-06T07:08:09Z","day":"2024-05-06","tags":["a"],"geo":{"lat":1,"odd key":2},"x":1,"none":null,"a.b":true}"#,
        r#"{"id":2,"_mag":2.5,"ratio":null,"at":"2024-05-06T07:08:09.123456789+02:00","day":"2024-05-07","tags":[],"geo":{"lat":1.5},"x":"y","none":null}"#,
        "not json",
    ];
    sandbox.ok_with(&["append", "data", "logs"], lines.join("\n") + "\n");
    let toml = sandbox.ok(&["infer", "data", "logs"]);
    assert!(toml.starts_with("# Columns inferred from 3 values of logs, 1 of them not JSON. "), "{toml}");
    for expected in [
        "\n[[column]] # in 2\nname = \"mag\"\npath = \"._mag\"\ntype = \"float64\"\n",
        "\nname = \"at\"\npath = \".at\"\ntype = \"timestamp(ns, UTC)\" # Delta tables have no such type: in the Parquet files alone\n",
        "\nname = \"day\"\npath = \".day\"\ntype = \"date\"\n",
        "\nname = \"tags\"\npath = \".tags\"\ntype = \"list<string>\"\n",
        "\nname = \"geo\"\npath = \".geo\"\ntype = \"struct<lat: float64>\"\n",
        "\n# .x is of several types: number, string\n",
        "\n# .none is null in all of them\n",
        "\n[[column]] # in 1\nname = \"a_b\"\npath = \".\\\"a.b\\\"\"\ntype = \"bool\"\n",
    ] {
        assert!(toml.contains(expected), "{expected:?} is not in:\n{toml}");
    }
    sandbox.write("logs.toml", &toml);
    let run = sandbox.run(&["export", "data", "logs", "--to", "out", "--schema", "logs.toml"]).expect(0);
    assert_eq!(run.stderr, "tidelog: logs/0: 1 value not JSON (offset 2): no column has anything of that, _value has it\n");
    let text = sandbox.ok(&["inspect", "out/topic=logs/partition=0/00000000000000000000-00000000000000000002.parquet"]);
    let columns: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for name in ["id", "mag", "ratio", "at", "day", "tags.list.element", "geo.lat", "a_b"] {
        assert!(columns.contains(&name), "{name} is not in:\n{text}");
    }

    sandbox.ok_with(&["append", "data", "logs"], "{\"id\":\"three\",\"day\":\"soon\"}\n{\"id\":\"four\"}\n");
    let run = sandbox.run(&["export", "data", "logs", "--to", "out", "--json"]).expect(0);
    let said = run.stderr.clone();
    assert!(said.contains("logs/0: 2 values did not fit column id, int64 (first at offset 3): null there, whole in _value\n"), "{said}");
    let report: Value = serde_json::from_str(&run.text()).unwrap();
    assert_eq!(report["partitions"][0]["unfit"][0], json!({ "column": "id", "values": 2, "first_offset": 3 }));
    sandbox.write("other.toml", toml.replace("int64", "string"));
    sandbox
        .run(&["export", "data", "logs", "--to", "out", "--schema", "other.toml"])
        .expect(3)
        .says("its column id is int64 at .id and cannot become string");
}

#[test]
fn odd_values_make_no_odd_columns() {
    let infer = |values: &[&str]| {
        let sandbox = Sandbox::new();
        sandbox.ok_with(&["append", "data", "logs"], values.join("\n") + "\n");
        let toml = sandbox.ok(&["infer", "data", "logs"]);
        sandbox.write("logs.toml", &toml);
        if toml.contains("[[column]]") {
            let run = sandbox.run(&["export", "data", "logs", "--to", "out", "--schema", "logs.toml"]).expect(0);
            assert!(!run.stderr.contains("did not fit"), "{}\n{toml}", run.stderr);
        }
        toml
    };
    let toml = infer(&[r#"{"":1,"a\nb":2,"a\u007fb":3,"Topic":4,"partition":5,"A":6,"a":7,"id":18446744073709551615}"#]);
    for expected in [
        "name = \"column\"\npath = \".\\\"\\\"\"\n",
        "path = \".\\\"a\\\\nb\\\"\"\n",
        "name = \"Topic_2\"\n",
        "name = \"partition_2\"\n",
        "name = \"A\"\n",
        "name = \"a_2\"\n",
        "type = \"decimal(20,0)\"",
    ] {
        assert!(toml.contains(expected), "{expected:?} is not in:\n{toml}");
    }
    assert!(infer(&["1", "2.5"]).contains("[[column]] # in 2\nname = \"value\"\npath = \".\"\ntype = \"float64\""));
    assert!(infer(&["\"ping\"", "{}"]).contains("# . is of several types: object, string"));
    let many: Vec<String> = (0..600).map(|number| format!("{{\"m{number}\":1}}")).collect();
    assert!(infer(&many.iter().map(String::as_str).collect::<Vec<_>>()).contains("more than 256 different members"));
}

#[test]
fn a_schema_that_is_wrong_says_where() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs"], "{}\n");
    let column = |name: &str, path: &str, kind: &str| format!("[[column]]\nname = {name:?}\npath = {path:?}\ntype = {kind:?}\n");
    for (schema, expected) in [
        ("[[column]]\nname = \"a\"\n".to_owned(), "missing field `path`"),
        (column("a", ".a", "int64") + "width = 3\n", "unknown field `width`"),
        ("[[column]\n".to_owned(), "line 1"),
        (column("a", "a", "int64"), "column a: path a: expected '.' or '[' at character 1"),
        (column("a", ".a", "float"), "column a: \"float\" is no type: expected bool, int32"),
        (column("_a", ".a", "int64"), "a column cannot be named \"_a\": names that begin with '_' are those of the export"),
        (column("a", ".a", "int64") + &column("A", ".b", "int64"), "there are two columns named \"A\", but for capitals"),
    ] {
        sandbox.write("schema.toml", &schema);
        sandbox.run(&["export", "data", "logs", "--to", "out", "--schema", "schema.toml"]).expect(2).says("schema.toml: ").says(expected);
    }
    sandbox.run(&["export", "data", "logs", "--to", "out", "--schema", "nowhere"]).expect(2).says("reading nowhere");
    assert!(!sandbox.path("out").exists());
}
