//! What `import` makes of files: every byte once, however often it is asked and whatever happened before.

use std::io::Write;

use serde_json::json;
use tidelog::{AckLevel, Record, RecordBatch, Store};

use crate::sandbox::{Random, Sandbox};

fn ndjson(count: usize, keys: usize) -> String {
    (0..count).map(|i| format!("{{\"id\":{i},\"k\":\"key-{}\",\"t\":{}}}\n", i % keys, 1_700_000_000_000u64 + (i as u64 * 7919) % 100_000)).collect()
}

#[test]
fn lines_come_back_byte_for_byte() {
    let sandbox = Sandbox::new();
    let bytes = Random(1).lines(3_000_000);
    sandbox.write("input", &bytes);
    let said = sandbox.ok(&["import", "data", "logs", "input"]);
    assert!(said.starts_with("input: imported "), "{said}");
    assert_eq!(sandbox.raw("logs"), bytes);
}

#[test]
fn the_last_line_needs_no_newline_and_empty_lines_are_records() {
    let sandbox = Sandbox::new();
    sandbox.write("input", b"a\r\n\n\nb");
    sandbox.ok(&["import", "data", "logs", "input"]);
    assert_eq!(sandbox.raw("logs"), b"a\r\n\n\nb\n");
    assert_eq!(sandbox.records(&["logs"]).len(), 4);
}

#[test]
fn packed_files_are_recognized_and_several_follow_each_other() {
    let sandbox = Sandbox::new();
    let gz = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    sandbox.write("one.gz", [gz(b"1\n"), gz(b"2\n")].concat());
    sandbox.write("two.zst", [zstd::encode_all(&b"3\n"[..], 1).unwrap(), zstd::encode_all(&b"4\n"[..], 1).unwrap()].concat());
    sandbox.write("three", b"5\n");
    sandbox.ok(&["import", "data", "logs", "one.gz", "two.zst", "three"]);
    assert_eq!(sandbox.raw("logs"), b"1\n2\n3\n4\n5\n");
    let again = sandbox.ok(&["import", "data", "logs", "one.gz", "two.zst", "three"]);
    assert_eq!(again.matches("nothing new").count(), 3, "{again}");
    assert_eq!(sandbox.raw("logs"), b"1\n2\n3\n4\n5\n");
}

#[test]
fn a_cut_packed_file_gives_what_is_whole_and_fails() {
    let sandbox = Sandbox::new();
    let bytes = Random(2).lines(2_000_000);
    let packed = zstd::encode_all(&bytes[..], 1).unwrap();
    sandbox.write("cut.zst", &packed[..packed.len() / 2]);
    sandbox.run(&["import", "data", "logs", "cut.zst"]).expect(1).says("cut.zst");
    let imported = sandbox.raw("logs");
    assert!(!imported.is_empty() && bytes.starts_with(&imported));

    sandbox.write("cut.zst", &packed);
    sandbox.ok(&["import", "data", "logs", "cut.zst"]);
    assert_eq!(sandbox.raw("logs"), bytes, "the whole file goes on behind what was there");
}

#[test]
fn ndjson_gives_key_and_time_and_keeps_the_line() {
    let sandbox = Sandbox::new();
    let lines = "{ \"u\": {\"id\": \"a\"}, \"at\": \"2023-11-14T22:13:20.000000001Z\" }\n{\"u\":{\"id\":null},\"at\":\"2023-11-14T22:13:20Z\"}\n{\"at\":\"2023-11-14T22:13:20Z\",\"u\":{\"id\":[1, 2]}}\n";
    sandbox.write("events", lines);
    sandbox.ok(&["import", "data", "events", "events", "--format", "ndjson", "--key", ".u.id", "--timestamp", ".at"]);
    let records = sandbox.records(&["events"]);
    assert_eq!(records[0]["key"], "a");
    assert_eq!(records[0]["ts_ns"], 1_700_000_000_000_000_001u64);
    assert_eq!(records[1]["key"], json!(null));
    assert_eq!(records[2]["key"], "[1,2]");
    assert_eq!(sandbox.raw("events"), lines.as_bytes());
}

#[test]
fn a_line_that_does_not_fit_stops_with_its_number_and_keeps_what_is_before() {
    let sandbox = Sandbox::new();
    sandbox.write("events", "1\n2\nnot json\n4\n");
    let arguments = ["import", "data", "events", "events", "--format", "ndjson"];
    sandbox.run(&arguments).expect(1).says("events: line 3: not JSON");
    assert_eq!(sandbox.raw("events"), b"1\n2\n");
    sandbox.write("events", "1\n2\n3\n4\n");
    let said = sandbox.ok(&arguments);
    assert!(said.contains("imported 2 records") && said.contains("2 were there already"), "{said}");
    assert_eq!(sandbox.raw("events"), b"1\n2\n3\n4\n");
}

#[test]
fn lines_that_do_not_fit_can_be_kept_aside_once() {
    let sandbox = Sandbox::new();
    let mut lines = String::new();
    for i in 0..5000 {
        lines.push_str(&if i % 100 == 99 { format!("bad {i}\n") } else { format!("{i}\n") });
    }
    lines.push_str("bad at the end");
    sandbox.write("events", &lines);
    let bad: String = lines.lines().filter(|line| line.starts_with("bad")).map(|line| format!("{line}\n")).collect();
    let arguments = ["import", "data", "events", "events", "--format", "ndjson", "--on-error", "skip", "--rejects", "rejects", "--json"];
    for _ in 0..2 {
        let summary: serde_json::Value = serde_json::from_str(&sandbox.ok(&arguments)).unwrap();
        assert_eq!(summary["imported"].as_u64().unwrap() + summary["already_imported"].as_u64().unwrap(), 4950);
        assert_eq!(std::fs::read_to_string(sandbox.path("rejects")).unwrap(), bad);
    }
    assert_eq!(sandbox.records(&["events"]).len(), 4950);
    sandbox.run(&["import", "data", "events", "events", "--on-error", "skip"]).expect(2).says("--rejects");
    sandbox.run(&["import", "data", "events", "events", "--rejects", "r"]).expect(2).says("--on-error skip");
}

const SKIP: [&str; 6] = ["--format", "ndjson", "--on-error", "skip", "--rejects", "rejects"];

/// The same wrong line in several sources, in one run and in several, in sources that grow, with and without anything that fits.
#[test]
fn equal_lines_of_several_sources_are_all_kept_aside() {
    let sandbox = Sandbox::new();
    let import = |files: &[&str]| sandbox.ok(&[&["import", "data", "events"], files, &SKIP].concat());
    let kept = || std::fs::read_to_string(sandbox.path("rejects")).unwrap().lines().filter(|line| *line == "bad").count();
    sandbox.write("a", "1\nbad\n");
    sandbox.write("b", "bad\n2\n");
    sandbox.write("c", "bad\n");
    assert!(import(&["a"]).contains("1 line kept aside"));
    import(&["b", "c"]);
    assert_eq!(kept(), 3);
    import(&["a", "b", "c"]);
    assert_eq!(kept(), 3, "nothing new");
    sandbox.write("a", "1\nbad\nbad\n3\n");
    sandbox.write("c", "bad\nbad\n");
    for _ in 0..2 {
        import(&["a", "b", "c"]);
        import(&["c", "a"]);
        assert_eq!(kept(), 5, "one more of a, and of c");
    }
    // What has grown at a wrong line without an end.
    sandbox.write("d", "4\nbad");
    import(&["d"]);
    sandbox.write("d", "4\nbad\n5\nbad");
    import(&["d"]);
    assert_eq!(kept(), 7);
    assert_eq!(sandbox.raw("events"), b"1\n2\n3\n4\n5\n");
    sandbox.run_with(&[&["import", "data", "events", "-"], &SKIP[..]].concat(), b"bad\n6\n").expect(0);
    sandbox.ok(&[&["import", "data", "other", "a"], &SKIP[..]].concat());
    assert_eq!(kept(), 10, "the standard input is always new, and so is another topic");
}

#[test]
fn an_input_is_never_written_to() {
    let sandbox = Sandbox::new();
    let input = sandbox.write("events", "1\nbad\n");
    sandbox.write("other", "2\n");
    std::os::unix::fs::symlink(&input, sandbox.path("link")).unwrap();
    std::fs::hard_link(&input, sandbox.path("hard")).unwrap();
    sandbox.write("kept.sources", "not ours\n");
    for (files, rejects) in [
        (&["events"][..], "events"),
        (&["other", "events"], "./events"),
        (&["events"], "link"),
        (&["link"], "hard"),
        (&["other", "kept.sources"], "kept"),
    ] {
        let arguments = [&["import", "data", "events"], files, &["--format", "ndjson", "--on-error", "skip", "--rejects", rejects]].concat();
        sandbox.run(&arguments).expect(2).says("is the input");
    }
    let mut command =
        sandbox.command(&[&["import", "data", "events", "-", "--format", "ndjson", "--on-error", "skip", "--rejects", "link"][..]].concat());
    let output = command.stdin(std::fs::File::open(&input).unwrap()).output().unwrap();
    crate::sandbox::checked(output).expect(2).says("is the standard input");
    assert_eq!(std::fs::read(&input).unwrap(), b"1\nbad\n");
    assert!(!sandbox.path("data").exists(), "nothing is made before it is refused");

    sandbox.ok(&["append", "data", "events"]);
    let before = sandbox.snapshot("data");
    for rejects in ["data/STORE", "data/new", "data/topics/default/events/0/META"] {
        let arguments = ["import", "data", "events", "events", "--format", "ndjson", "--on-error", "skip", "--rejects", rejects];
        sandbox.run(&arguments).expect(2).says("is in the store");
    }
    assert_eq!(sandbox.snapshot("data"), before);
}

#[test]
fn lines_are_kept_aside_in_a_regular_file_of_one_import_at_a_time() {
    let sandbox = Sandbox::new();
    sandbox.write("events", "1\nbad\n");
    for rejects in ["/dev/null", "."] {
        let arguments = ["import", "data", "events", "events", "--format", "ndjson", "--on-error", "skip", "--rejects", rejects];
        sandbox.run(&arguments).expect(2).says("not a regular file");
    }
    assert!(!sandbox.path("data").exists());

    let mut holder = sandbox.command(&[&["import", "held", "events", "-"], &SKIP[..]].concat());
    let mut holder = holder.stdin(std::process::Stdio::piped()).spawn().unwrap();
    while !sandbox.path("held/topics/default/events").exists() {
        assert!(holder.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    sandbox.run(&[&["import", "data", "events", "events"], &SKIP[..]].concat()).expect(3).says("another import keeps lines aside in it");
    drop(holder.stdin.take());
    crate::sandbox::checked(holder.wait_with_output().unwrap()).expect(0);
}

/// As the system sees it: the lines kept aside are synced before each batch behind them, and the names of their files once.
#[test]
fn lines_kept_aside_are_durable_before_the_records_behind_them() {
    let sandbox = Sandbox::new();
    sandbox.write("events", (0..5000).map(|i| if i % 100 == 50 { format!("bad {i}\n") } else { format!("{i}\n") }).collect::<String>());
    let mut command = std::process::Command::new("strace");
    command.args(["-f", "-y", "-e", "trace=fsync,fdatasync", "-o", "trace", crate::sandbox::PROGRAM, "import", "data", "events", "events"]);
    command.args(SKIP).current_dir(sandbox.path("")).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    if !std::process::Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no strace");
        return;
    }
    crate::sandbox::run_command(command, b"").expect(0);
    let trace = std::fs::read_to_string(sandbox.path("trace")).unwrap();
    let home = sandbox.path("").canonicalize().unwrap();
    let synced = |call: &str, name: &str| {
        let file = home.join(name);
        let file = file.to_str().unwrap().trim_end_matches('/');
        trace.lines().filter(|line| line.contains(&format!("{call}(")) && line.contains(&format!("<{file}>"))).count()
    };
    let batches: serde_json::Value = serde_json::from_str(&sandbox.ok(&["verify", "data", "--json"])).unwrap();
    let batches = batches["partitions"][0]["batches"].as_u64().unwrap() as usize;
    assert!(batches > 3, "{batches} batches");
    assert!(synced("fdatasync", "rejects") >= batches, "{batches} batches: {trace}");
    assert!(synced("fdatasync", "rejects.sources") >= batches, "{batches} batches: {trace}");
    assert!(synced("fsync", "") >= 2, "{trace}");
}

#[test]
fn csv_rows_become_objects() {
    let sandbox = Sandbox::new();
    sandbox.write("quakes.csv", "time,place,mag\r\n2023-11-14T22:13:20Z,\"Here, there\",4.5\r\n2023-11-14T22:13:21Z,,\n");
    let arguments = ["import", "data", "quakes", "quakes.csv", "--format", "csv", "--key", ".place", "--timestamp", ".time"];
    sandbox.ok(&arguments);
    let records = sandbox.records(&["quakes"]);
    assert_eq!(records[0]["value"], r#"{"time":"2023-11-14T22:13:20Z","place":"Here, there","mag":"4.5"}"#);
    assert_eq!((&records[0]["key"], &records[0]["ts_ns"]), (&json!("Here, there"), &json!(1_700_000_000_000_000_000u64)));
    assert_eq!(records[1]["key"], "");
    sandbox.ok(&arguments);
    assert_eq!(sandbox.records(&["quakes"]).len(), 2);

    sandbox.write("grown", "a\n1\n");
    sandbox.ok(&["import", "data", "grown", "grown", "--format", "csv"]);
    sandbox.write("grown", "a\n1\n2\n");
    sandbox.ok(&["import", "data", "grown", "grown", "--format", "csv"]);
    assert_eq!(sandbox.raw("grown"), b"{\"a\":\"1\"}\n{\"a\":\"2\"}\n");

    // Quotes are text inside a field that does not begin with one, whether a newline follows or not.
    for (name, row, value) in [("inch", "1,5\"", r#"{"a":"1","b":"5\""}"#), ("both", "\"1\"\"\",5\"6\"", r#"{"a":"1\"","b":"5\"6\""}"#)] {
        for end in ["", "\n"] {
            let (file, topic) = (format!("{name}{}", end.len()), format!("{name}-{}", end.len()));
            sandbox.write(&file, format!("a,b\n{row}{end}"));
            sandbox.ok(&["import", "data", &topic, &file, "--format", "csv"]);
            assert_eq!(sandbox.raw(&topic), format!("{value}\n").as_bytes(), "{row:?} {end:?}");
        }
    }
    for open in ["a,b\n1,\"5", "a,b\n1,\"5\n", "a,b\n1,\"5\"\"", "a,b\n1,5\"\n\"2", "\u{feff}\"a"] {
        sandbox.write("open", open);
        sandbox.run(&["import", "data", "open", "open", "--format", "csv"]).expect(1).says("ends inside a quoted field");
    }
    sandbox.write("ragged", "a,b\n1,2\n3\n");
    sandbox.run(&["import", "data", "ragged", "ragged", "--format", "csv"]).expect(1).says("ragged: line 3: 1 field,");
    sandbox.write("twice", "a,a\n");
    sandbox.run(&["import", "data", "twice", "twice", "--format", "csv"]).expect(1).says("twice");
}

#[test]
fn a_file_that_has_grown_is_continued_and_a_changed_one_is_refused() {
    let sandbox = Sandbox::new();
    let arguments = ["import", "data", "logs", "log"];
    sandbox.write("log", "one\ntwo\n");
    sandbox.ok(&arguments);
    sandbox.write("log", "one\ntwo\nthree\n");
    assert!(sandbox.ok(&arguments).contains("imported 1 record into"));
    for changed in ["One\ntwo\nthree\n", "one\ntwo\nthre", "one\ntwo\nthreE\nfour\n", ""] {
        sandbox.write("log", changed);
        sandbox.run(&arguments).expect(3).says("log was changed");
    }
    assert_eq!(sandbox.raw("logs"), b"one\ntwo\nthree\n");
    sandbox.write("log", "one\ntwo\nthree\nfour");
    sandbox.ok(&arguments);
    sandbox.write("log", "one\ntwo\nthree\nfour and more\n");
    sandbox.run(&arguments).expect(3).says("line 4 was imported without an end");
    sandbox.write("log", "one\ntwo\nthree\nfour\nfive\n");
    sandbox.ok(&arguments);
    assert_eq!(sandbox.raw("logs"), b"one\ntwo\nthree\nfour\nfive\n");
}

#[test]
fn other_appends_and_other_imports_in_between_do_not_confuse_it() {
    let sandbox = Sandbox::new();
    sandbox.write("a", "a1\n");
    sandbox.write("b", "b1\n");
    for file in ["a", "b"] {
        sandbox.ok(&["import", "data", "logs", file]);
        sandbox.ok_with(&["append", "data", "logs"], "x\n");
    }
    sandbox.write("a", "a1\na2\n");
    for file in ["a", "b", "a"] {
        sandbox.ok(&["import", "data", "logs", file]);
    }
    assert_eq!(sandbox.raw("logs"), b"a1\nx\nb1\nx\na2\n");
}

/// A log is cut off anywhere, between batches of 1,000 records or in the middle of one: what went is imported again, and nothing else.
#[test]
fn what_was_cut_off_is_imported_again() {
    for (cut, deleted) in [(0, 0), (1, 0), (999, 0), (1000, 0), (1001, 0), (2499, 0), (2500, 0), (1700, 300), (1700, 1200)] {
        check_cut("1", 2500, cut, deleted);
    }
    for (cut, deleted) in [(0, 0), (1, 0), (700, 0), (1000, 0), (1200, 1100)] {
        check_cut("2", 2500, cut, deleted);
    }
    check_cut("3", 60, 7, 5);
}

/// Imports lines into each partition, of which some do not fit; the last partition loses its beginning, and its end.
fn check_cut(partitions: &str, lines: u64, cut: u64, deleted: u64) {
    let sandbox = Sandbox::new();
    let count: u64 = partitions.parse().unwrap();
    let mut input: String = (0..lines * count).map(|i| if i % 500 == 3 { format!("bad\n{i}\n") } else { format!("{i}\n") }).collect();
    sandbox.write("events", &input);
    let import = [&["import", "data", "events", "events", "--partitions", partitions], &SKIP[..]].concat();
    sandbox.ok(&import);
    let store = Store::open(sandbox.path("data")).unwrap();
    let last = store.topic("events").unwrap().partition(count as u32 - 1).unwrap();
    last.delete_prefix(deleted).unwrap();
    last.truncate_suffix(cut).unwrap();
    drop(last);
    store.close().unwrap();
    let rejects = std::fs::read(sandbox.path("rejects")).unwrap();

    let (went, all) = (lines - cut, lines * count);
    let said = sandbox.ok(&import);
    let expected = if went > 0 { format!("imported {went} record") } else { "nothing new, ".to_owned() };
    assert!(said.contains(&expected) && (all == went || said.contains(&format!(" {} ", all - went))), "{partitions} {cut} {deleted}: {said}");
    assert!(sandbox.ok(&import).contains("nothing new, "), "{partitions} {cut} {deleted}");
    input += "{}\n";
    sandbox.write("events", &input);
    assert!(sandbox.ok(&import).contains("imported 1 record "), "{partitions} {cut} {deleted}");
    for partition in 0..count {
        let from = if partition == count - 1 { deleted } else { 0 };
        let mut expected: String = (from..lines).map(|line| format!("{}\n", line * count + partition)).collect();
        if partition == 0 {
            expected += "{}\n";
        }
        let found = sandbox.ok(&["cat", "data", "events", "-p", &partition.to_string(), "--output", "raw"]);
        assert!(found == expected, "{partitions} {cut} {deleted}: partition {partition} has {} lines: {found}", found.lines().count());
    }
    assert!(rejects == std::fs::read(sandbox.path("rejects")).unwrap(), "a line is kept aside once");
}

/// Cut, imported again and cut through that: at each time a batch holds a part of what it held, and several say so.
#[test]
fn what_was_cut_off_twice_is_imported_again() {
    for (first, second) in [(1500, 1700), (1500, 1500), (1500, 1200), (1500, 300), (400, 1399), (1, 2), (1, 1), (1001, 2400)] {
        let sandbox = Sandbox::new();
        let input: String = (0..2500).map(|line| format!("{line}\n")).collect();
        sandbox.write("log", &input);
        let import = ["import", "data", "logs", "log"];
        sandbox.ok(&import);
        for cut in [first, second] {
            cut_to(&sandbox, "logs", 0, cut);
            let said = sandbox.ok(&import);
            assert!(said.contains(&format!("imported {} records into logs; {cut} ", 2500 - cut)), "{first} {second}: {said}");
            assert!(sandbox.raw("logs") == input.as_bytes(), "{first} {second}");
        }
        assert!(sandbox.ok(&import).contains("nothing new"));
    }
}

/// Keys choose the partition, and records without one take turns: each partition gets back what it lost, in the order of the file.
#[test]
fn keyed_records_that_were_cut_off_are_imported_again() {
    let sandbox = Sandbox::new();
    let line = |i: usize| if i.is_multiple_of(3) { format!("{{\"id\":{i}}}\n") } else { format!("{{\"id\":{i},\"k\":\"key-{}\"}}\n", i % 20) };
    let mut input: String = (0..9000).map(line).collect();
    sandbox.write("events", &input);
    let import = ["import", "data", "events", "events", "--format", "ndjson", "--key", ".k", "--partitions", "3"];
    sandbox.ok(&import);
    let records = |partition: u32| sandbox.records(&["events", "-p", &partition.to_string()]);
    let all = [0, 1, 2].map(records);
    let counts = all.each_ref().map(|records| records.len() as u64);
    assert!(counts.iter().all(|count| *count > 1500), "{counts:?}");
    for kept in [[1300, counts[1], 0], [counts[0] - 1, 1, 1000], [counts[0], counts[1], 1234], [1, 2, 3]] {
        (0..3).for_each(|partition| cut_to(&sandbox, "events", partition, kept[partition as usize]));
        let went = 9000 - kept.iter().sum::<u64>();
        let said = sandbox.ok(&import);
        assert!(said.contains(&format!("imported {went} records into events; {} ", 9000 - went)), "{kept:?}: {said}");
        for (partition, all) in (0..3).zip(&all) {
            let same = |a: &serde_json::Value, b: &serde_json::Value| ["offset", "key", "value"].iter().all(|field| a[field] == b[field]);
            let found = records(partition);
            assert!(found.len() == all.len() && found.iter().zip(all).all(|(a, b)| same(a, b)), "{kept:?}: partition {partition} differs");
        }
    }
    input += "{\"id\":9000}\n";
    sandbox.write("events", &input);
    assert!(sandbox.ok(&import).contains("imported 1 record into events; 9000 "));
}

/// Bytes that were imported and cut off have changed since: what is left of them is not continued with others.
#[test]
fn a_file_that_was_changed_where_it_was_cut_off_is_refused() {
    let sandbox = Sandbox::new();
    let input: String = (0..1000).map(|line| format!("{line}\n")).collect();
    sandbox.write("log", &input);
    let import = ["import", "data", "logs", "log"];
    sandbox.ok(&import);
    cut_to(&sandbox, "logs", 0, 500);
    let cut = sandbox.raw("logs");
    for changed in [input.replace("\n700\n", "\n7x0\n"), input.replace("\n300\n", "\n3x0\n"), input.replace("\n999\n", "\n"), String::new()] {
        sandbox.write("log", &changed);
        sandbox.run(&import).expect(3).says("log was changed");
        assert!(sandbox.raw("logs") == cut);
    }
    sandbox.write("log", &input);
    assert!(sandbox.ok(&import).contains("imported 500 records into logs; 500 "));
    assert!(sandbox.raw("logs") == input.as_bytes());
}

/// A line that was a record is none with a smaller limit, and the other way round: what is left of the others cannot be told by their number.
#[test]
fn what_was_cut_off_is_refused_where_the_rest_is_read_as_other_records() {
    // A half of a batch, all of one, or more; where a partition ends with a batch, the other one is ahead of it.
    for (partitions, lines, large, kept) in
        [("1", 1000, 10, 500), ("1", 1000, 10, 5), ("2", 1000, 10, 200), ("2", 1000, 10, 0), ("2", 5000, 2500, 1000)]
    {
        let input: String = (0..lines).map(|line| if line == large { "x".repeat(100_000) + "\n" } else { format!("{line}\n") }).collect();
        check_other_records(partitions, &input, lines, kept, &[], &["--set", "batch_bytes_max=64KiB"]);
        check_other_records(partitions, &input, lines - 1, kept, &["--set", "batch_bytes_max=64KiB"], &[]);
    }
}

/// Imports so many records, cuts partition 0, and tries to import what went with other settings.
fn check_other_records(partitions: &str, input: &str, records: usize, kept: u64, before: &[&str], after: &[&str]) {
    let sandbox = Sandbox::new();
    sandbox.write("log", input);
    let import = ["import", "data", "logs", "log", "--partitions", partitions, "--on-error", "skip", "--rejects", "rejects"];
    sandbox.ok(&[&import[..], before].concat());
    assert_eq!(sandbox.records(&["logs"]).len(), records);
    cut_to(&sandbox, "logs", 0, kept);
    let (log, rejects) = (sandbox.raw("logs"), std::fs::read(sandbox.path("rejects")).unwrap());
    let run = sandbox.run(&[&import[..], after].concat()).expect(3).says("log was imported as other records, with another batch_bytes_max");
    assert!(run.stderr.contains(&format!(" where {records} and ")), "{}", run.stderr);
    assert!(sandbox.raw("logs") == log && std::fs::read(sandbox.path("rejects")).unwrap() == rejects, "nothing is appended or kept aside");
    sandbox.ok(&[&import[..], before].concat());
    assert_eq!(sandbox.records(&["logs"]).len(), records);
}

/// The end of a partition goes.
fn cut_to(sandbox: &Sandbox, topic: &str, partition: u32, end: u64) {
    let store = Store::open(sandbox.path("data")).unwrap();
    store.topic(topic).unwrap().partition(partition).unwrap().truncate_suffix(end).unwrap();
    store.close().unwrap();
}

/// What the program noted before a note said where its batch ends: of a file of two lines in one partition, `/a`.
const VERSION_2: &[u8] = b"IMPORT\0\x02\
    \x63\x0b\x2f\x5e\x61\x78\xe1\x69\x04\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\
    \x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x5c\x7b\x70\x69\x02\0\0\0/a";

/// A note that is not understood may be about this very file: it is not imported a second time.
#[test]
fn a_note_that_is_not_understood_is_refused() {
    let newer = [b"IMPORT\0\x04".as_slice(), &VERSION_2[8..]].concat();
    let malformed = [b"IMPORT\0\x03".as_slice(), &VERSION_2[8..]].concat();
    for (note, why) in [
        (VERSION_2, "the batch at offset 0 has: a note of version 2, where version 3 was expected"),
        (&newer, "a note of version 4, where version 3 was expected"),
        (&malformed, "a note of version 3 and 70 bytes, which its fields do not fit"),
    ] {
        let sandbox = Sandbox::new();
        append_noted(&sandbox, note, "1\n2\n");
        sandbox.ok_with(&["append", "data", "logs"], "3\n");
        sandbox.write("a", "1\n2\n");
        sandbox.run(&["import", "data", "logs", "a"]).expect(3).says("logs/0: it cannot be told what was imported").says(why);
        assert_eq!(sandbox.raw("logs"), b"1\n2\n3\n");
    }
    let sandbox = Sandbox::new();
    append_noted(&sandbox, b"of another application", "1\n");
    sandbox.write("a", "2\n");
    sandbox.ok(&["import", "data", "logs", "a"]);
    assert_eq!(sandbox.raw("logs"), b"1\n2\n");
}

/// A note that says less, or more, than its batch can hold says nothing.
#[test]
fn an_impossible_note_is_refused() {
    for (end, partition_records) in [(0u64, 3u64), (5, 3), (20, 3), (u64::MAX, u64::MAX - 7)] {
        let sandbox = Sandbox::new();
        sandbox.write("a", "1\n2\n3\n");
        sandbox.ok(&["import", "data", "logs", "a"]);
        let store = Store::open(sandbox.path("data")).unwrap();
        let partition = store.topic("logs").unwrap().partition(0).unwrap();
        let view = partition.view();
        let batch = view.batches_backwards(view.log_end_offset()).unwrap().next().unwrap().unwrap();
        let mut note = batch.note().unwrap().to_vec();
        drop((partition, store));
        note[40..48].copy_from_slice(&partition_records.to_le_bytes());
        note[56..64].copy_from_slice(&end.to_le_bytes());
        append_noted(&sandbox, &note, "4\n5\n6\n");
        let run = sandbox.run(&["import", "data", "logs", "a"]).expect(3).says("the batch at offset 3 has: a note of a batch up to offset");
        assert!(run.stderr.contains("on a batch that ends before offset 6"), "{}", run.stderr);
        assert_eq!(sandbox.raw("logs"), b"1\n2\n3\n4\n5\n6\n");
    }
}

/// Appends lines as one batch, with a note.
fn append_noted(sandbox: &Sandbox, note: &[u8], lines: &str) {
    let store = Store::open(sandbox.path("data")).unwrap();
    let partition = store.topic("logs").unwrap().partition(0).unwrap();
    let mut batch = RecordBatch::new();
    lines.lines().for_each(|line| batch.push(&Record::new(line)).unwrap());
    batch.set_note(Some(note)).unwrap();
    partition.append_batch(&batch, AckLevel::Durable).unwrap();
    drop(partition);
    store.close().unwrap();
}

#[test]
fn the_same_file_under_another_path_is_the_same_source_if_it_is_a_link() {
    let sandbox = Sandbox::new();
    sandbox.write("log", "one\n");
    std::os::unix::fs::symlink(sandbox.path("log"), sandbox.path("link")).unwrap();
    sandbox.ok(&["import", "data", "logs", "log"]);
    sandbox.ok(&["import", "data", "logs", "link"]);
    sandbox.ok(&["import", "data", "logs", "./log"]);
    assert_eq!(sandbox.raw("logs"), b"one\n");
}

/// The notes of an import keep the path of the source, and none of the store.
#[test]
fn a_store_that_was_moved_after_an_import_opens_and_the_import_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.write("log", "one\ntwo\n");
    sandbox.ok(&["import", "data", "logs", "log"]);
    std::fs::create_dir(sandbox.path("elsewhere")).unwrap();
    std::fs::rename(sandbox.path("data"), sandbox.path("elsewhere/moved")).unwrap();
    let import = ["import", "elsewhere/moved", "logs", "log"];
    let values = || sandbox.run(&["cat", "elsewhere/moved", "logs", "--output", "raw"]).expect(0).text();
    let said = sandbox.ok(&import);
    assert!(said.contains("nothing new"), "{said}");
    assert_eq!(values(), "one\ntwo\n");
    sandbox.write("log", "one\ntwo\nthree\n");
    sandbox.ok(&import);
    assert_eq!(values(), "one\ntwo\nthree\n");
    sandbox.ok(&["verify", "elsewhere/moved"]);
    assert!(!sandbox.path("data").exists());
}

#[test]
fn other_settings_for_the_same_source_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("events", ndjson(10, 3));
    sandbox.ok(&["import", "data", "events", "events", "--format", "ndjson", "--partitions", "3", "--key", ".k"]);
    sandbox.run(&["import", "data", "events", "events", "--format", "ndjson"]).expect(3).says("another format, key");
    sandbox.run(&["import", "data", "events", "events"]).expect(3);
    assert_eq!(sandbox.records(&["events"]).len(), 10);
}

#[test]
fn keys_choose_the_partition_and_the_rest_take_turns() {
    let sandbox = Sandbox::new();
    sandbox.write("keyed", ndjson(3000, 20));
    sandbox.ok(&[
        "import",
        "data",
        "keyed",
        "keyed",
        "--format",
        "ndjson",
        "--partitions",
        "4",
        "--key",
        ".k",
        "--timestamp",
        ".t",
        "--timestamp-unit",
        "ms",
    ]);
    let records = sandbox.records(&["keyed"]);
    assert_eq!(records.len(), 3000);
    let mut homes = std::collections::HashMap::new();
    for record in &records {
        let home = homes.entry(record["key"].to_string()).or_insert_with(|| record["partition"].clone());
        assert_eq!(*home, record["partition"], "a key has one partition");
    }
    let used: std::collections::HashSet<String> = homes.values().map(ToString::to_string).collect();
    assert!(used.len() > 1, "20 keys are not all in one of 4 partitions");

    sandbox.write("plain", "0\n1\n2\n3\n4\n5\n6\n");
    sandbox.ok(&["import", "data", "plain", "plain", "--partitions", "3"]);
    let count = |partition: &str| sandbox.records(&["plain", "-p", partition]).len();
    assert_eq!([count("0"), count("1"), count("2")], [3, 2, 2]);
    sandbox.ok(&["import", "data", "plain", "plain"]);
    assert_eq!(sandbox.records(&["plain"]).len(), 7);
    sandbox.run(&["import", "data", "plain", "plain", "--partitions", "4"]).expect(2).says("3 partitions already");
    sandbox.write("one", "x\n");
    sandbox.ok(&["import", "data", "plain", "one", "-p", "2"]);
    assert_eq!(count("2"), 3);
}

#[test]
fn the_standard_input_says_that_it_cannot_be_resumed() {
    let sandbox = Sandbox::new();
    let run = sandbox.run_with(&["import", "data", "logs"], b"a\nb").expect(0).says("standard input cannot be resumed");
    assert!(run.text().contains("imported 2 records"));
    sandbox.run_with(&["import", "data", "logs", "-"], b"a\nb").expect(0);
    assert_eq!(sandbox.raw("logs"), b"a\nb\na\nb\n", "each run of it is new");
    let packed = zstd::encode_all(&b"c\n"[..], 1).unwrap();
    sandbox.run_with(&["import", "data", "logs", "-"], &packed).expect(0);
    assert!(sandbox.raw("logs").ends_with(b"b\nc\n"));
}

#[test]
fn everything_is_imported_whether_anybody_reads_what_is_said_or_not() {
    let sandbox = Sandbox::new();
    for file in ["1", "2", "3"] {
        sandbox.write(file, format!("{file}\n"));
    }
    sandbox.run_unread(&["import", "data", "logs", "1", "2", "3"], b"").expect(0);
    assert_eq!(sandbox.raw("logs"), b"1\n2\n3\n");
    sandbox.run_unread(&["import", "data", "logs", "1", "missing", "--json"], b"").expect(1).says("missing");
}

#[test]
fn progress_is_for_terminals() {
    let sandbox = Sandbox::new();
    sandbox.write("log", Random(3).lines(2_000_000));
    let run = sandbox.run(&["import", "data", "logs", "log"]).expect(0);
    assert_eq!(run.stderr, "");
}

#[test]
fn large_records_and_settings() {
    let sandbox = Sandbox::new();
    let large = vec![b'x'; 3_000_000];
    sandbox.write("log", [&b"small\n"[..], &large, b"\nsmall\n"].concat());
    sandbox.ok(&["import", "data", "logs", "log", "--segment-bytes", "64KiB", "--set", "compression=zstd"]);
    assert_eq!(sandbox.raw("logs").len(), large.len() + 13);
    sandbox.run(&["import", "data", "other", "log", "--set", "batch_bytes_max=1MiB"]).expect(1).says("log: line 2: longer than");
    assert_eq!(sandbox.raw("other"), b"small\n");
    sandbox.ok(&["import", "data", "third", "log", "--set", "batch_bytes_max=1MiB", "--on-error", "skip", "--rejects", "long"]);
    assert_eq!(sandbox.raw("third"), b"small\nsmall\n");
    assert_eq!(std::fs::read(sandbox.path("long")).unwrap().len(), large.len() + 1);
}

#[test]
fn many_small_records_pass_a_small_batch_limit() {
    let sandbox = Sandbox::new();
    sandbox.write("events", ndjson(2000, 5));
    sandbox.ok(&[
        "import",
        "data",
        "events",
        "events",
        "--format",
        "ndjson",
        "--timestamp",
        ".t",
        "--timestamp-unit",
        "ms",
        "--set",
        "batch_bytes_max=1KiB",
    ]);
    assert_eq!(sandbox.raw("events"), ndjson(2000, 5).as_bytes());
}

/// Out to Parquet and back: the same records at the same offsets, once, however often it is asked.
#[test]
fn what_was_exported_is_restored() {
    let sandbox = Sandbox::new();
    sandbox.write("input", ndjson(1000, 50));
    sandbox.ok(&[
        "import",
        "data",
        "shop/events",
        "input",
        "--format",
        "ndjson",
        "--key",
        ".k",
        "--timestamp",
        ".t",
        "--timestamp-unit",
        "ms",
        "--partitions",
        "3",
    ]);
    sandbox.ok(&["export", "data", "shop/events", "--to", "out", "--rows-per-file", "100"]);
    let said = sandbox.ok(&["import", "copy", "shop/events", "--from-parquet", "out"]);
    assert!(said.lines().count() == 3 && said.lines().all(|line| line.contains(": restored ") && line.contains("; the next offset is ")), "{said}");
    let records = |dir: &str| sandbox.ok(&["cat", dir, "shop/events", "--output", "json"]);
    assert_eq!(records("copy"), records("data"));
    let said = sandbox.ok(&["import", "copy", "shop/events", "--from-parquet", "out/namespace=shop/topic=events"]);
    assert!(said.lines().all(|line| line.contains(": nothing new, ")), "{said}");
    // One partition, what is new in it, as JSON.
    sandbox.ok_with(&["append", "data", "shop/events", "-p", "1"], "more\n");
    sandbox.ok(&["export", "data", "shop/events", "--to", "out"]);
    let summary: serde_json::Value =
        serde_json::from_str(&sandbox.ok(&["import", "copy", "shop/events", "--from-parquet", "out", "-p", "1", "--json"])).unwrap();
    assert_eq!((&summary["imported"], &summary["partition"], &summary["topic"]), (&json!(1), &json!(1), &json!("shop/events")));
    assert_eq!(summary["next_offset"], json!(summary["already_imported"].as_u64().unwrap() + 1));
    assert_eq!(records("copy"), records("data"));
}

#[test]
fn what_cannot_be_restored_has_its_exit_code() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs", "--partitions", "2"], "1\n2\n");
    sandbox.ok(&["export", "data", "logs", "--to", "out"]);
    sandbox.ok_with(&["append", "other", "logs"], "3\n");
    sandbox.ok_with(&["append", "third", "logs", "--partitions", "2"], "3\n4\n");
    sandbox.write("file", "x\n");
    for (arguments, code, says) in [
        (&["new", "logs", "file", "--from-parquet", "out"][..], 2, "cannot be used with"),
        (&["new", "logs", "--from-parquet", "out", "--format", "ndjson"], 2, "cannot be used with"),
        (&["new", "logs", "--from-parquet", "nowhere"], 3, "nowhere has no Parquet files of topic logs: neither nowhere/topic=logs"),
        (&["new", "lags", "--from-parquet", "out"], 3, "out has no Parquet files of topic lags"),
        (&["new", "logs", "--from-parquet", "out", "-p", "2"], 3, "out has no partition 2"),
        (&["third", "logs", "--from-parquet", "out"], 3, "the partition has another record at offset 0"),
    ] {
        sandbox.run(&[&["import"], arguments].concat()).expect(code).says(says);
        assert!(!sandbox.path("new").exists(), "{arguments:?}");
    }
    sandbox
        .run(&["import", "other", "logs", "--from-parquet", "out", "-p", "1"])
        .expect(2)
        .says("topic logs has 1 partition: there is no partition 1");
    sandbox.write("out/topic=logs/partition=0/00000000000000000000-00000000000000000000.parquet", "PAR1");
    sandbox.run(&["import", "new", "logs", "--from-parquet", "out"]).expect(3).says("00000000000000000000-00000000000000000000.parquet");
}
