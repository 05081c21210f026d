//! What `cat` prints, and that it changes nothing.

use std::io::Read;

use serde_json::json;

use crate::sandbox::{Sandbox, checked};

/// Ten records, a second apart, the fourth and fifth swapped in time.
fn ten(sandbox: &Sandbox) {
    let lines: String =
        [0, 1, 2, 4, 3, 5, 6, 7, 8, 9].iter().map(|i| format!("{{\"n\":{i},\"k\":\"key-{}\",\"t\":{}}}\n", i % 3, 1_700_000_000 + i)).collect();
    sandbox.write("ten", lines);
    sandbox.ok(&["import", "data", "ten", "ten", "--format", "ndjson", "--key", ".k", "--timestamp", ".t", "--timestamp-unit", "s"]);
}

fn offsets(sandbox: &Sandbox, arguments: &[&str]) -> Vec<u64> {
    sandbox.records(&[&["ten"], arguments].concat()).iter().map(|record| record["offset"].as_u64().unwrap()).collect()
}

#[test]
fn records_are_objects_with_all_their_parts() {
    let sandbox = Sandbox::new();
    ten(&sandbox);
    let first = sandbox.ok(&["cat", "data", "ten", "--count", "1"]);
    let expected = r#"{"offset":0,"ts_ns":1700000000000000000,"key":"key-0","value":"{\"n\":0,\"k\":\"key-0\",\"t\":1700000000}","headers":[]}"#;
    assert_eq!(first, format!("{expected}\n"));
}

#[test]
fn reading_starts_at_offsets_ends_and_times() {
    let sandbox = Sandbox::new();
    ten(&sandbox);
    assert_eq!(offsets(&sandbox, &["--from", "7"]), [7, 8, 9]);
    assert_eq!(offsets(&sandbox, &["--from", "10"]), [] as [u64; 0], "the end itself is no error");
    assert_eq!(offsets(&sandbox, &["--from", "-2"]), [8, 9]);
    assert_eq!(offsets(&sandbox, &["--from", "-100"]).len(), 10);
    assert_eq!(offsets(&sandbox, &["--from", "earliest", "-n", "3"]), [0, 1, 2]);
    assert_eq!(offsets(&sandbox, &["--from", "latest"]), [] as [u64; 0]);
    assert_eq!(offsets(&sandbox, &["--from", "2023-11-14T22:13:28Z"]), [8, 9]);
    assert_eq!(
        offsets(&sandbox, &["--from", "2023-11-14T22:13:23.5Z", "-n", "1"]),
        [3],
        "the first record that is not before, in the order of offsets"
    );
    assert_eq!(offsets(&sandbox, &["--from", "2100-01-01T00:00:00Z"]), [] as [u64; 0]);
    assert_eq!(offsets(&sandbox, &["--from", "2h"]), [] as [u64; 0]);
    assert_eq!(offsets(&sandbox, &["--from", "99999d"]).len(), 10);
    sandbox.run(&["cat", "data", "ten", "--from", "11"]).expect(1).says("offset 11 is out of range: 0..10");
}

#[test]
fn filters_and_counts_go_together() {
    let sandbox = Sandbox::new();
    ten(&sandbox);
    assert_eq!(offsets(&sandbox, &["--key", "key-1"]), [1, 3, 7]);
    assert_eq!(offsets(&sandbox, &["--key", "key-1", "-n", "2"]), [1, 3]);
    assert_eq!(offsets(&sandbox, &["--key-prefix", "key-"]).len(), 10);
    assert_eq!(offsets(&sandbox, &["--key-prefix", "yek"]), [] as [u64; 0]);
    assert_eq!(offsets(&sandbox, &["--header", "trace"]), [] as [u64; 0]);
    assert_eq!(offsets(&sandbox, &["-n", "0"]), [] as [u64; 0]);
}

#[test]
fn bytes_that_are_not_text_are_base64() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "bytes"], b"\xff\xfe\ntext\n\n");
    let records = sandbox.records(&["bytes"]);
    assert_eq!(records[0]["value_base64"], "//4=");
    assert!(records[0].get("value").is_none());
    assert_eq!(records[1]["value"], "text");
    assert_eq!(records[1]["key"], json!(null));
    assert_eq!(records[2]["value"], "");
    let raw = sandbox.run(&["cat", "data", "bytes", "--output", "raw", "--delimiter", r"\0\xff"]).expect(0);
    assert_eq!(raw.stdout, b"\xff\xfe\0\xfftext\0\xff\0\xff");
    let table = sandbox.ok(&["cat", "data", "bytes", "--output", "table"]);
    assert_eq!(table.lines().count(), 4, "{table}");
}

#[test]
fn several_partitions_are_merged_by_time() {
    let sandbox = Sandbox::new();
    let lines: String = (0..60).map(|i| format!("{{\"k\":{},\"t\":{i}}}\n", i % 7)).collect();
    sandbox.write("lines", lines);
    sandbox.ok(&[
        "import",
        "data",
        "t",
        "lines",
        "--format",
        "ndjson",
        "--key",
        ".k",
        "--timestamp",
        ".t",
        "--timestamp-unit",
        "s",
        "--partitions",
        "3",
    ]);
    let records = sandbox.records(&["t"]);
    let times: Vec<u64> = records.iter().map(|record| record["ts_ns"].as_u64().unwrap() / 1_000_000_000).collect();
    assert_eq!(times, (0..60).collect::<Vec<u64>>());
    assert!(records.iter().all(|record| record["partition"].is_u64()));
    assert!(sandbox.records(&["t", "-p", "1"]).iter().all(|record| record.get("partition").is_none()));
    sandbox.run(&["cat", "data", "t", "--from", "3"]).expect(2).says("--partition");
    assert!(sandbox.records(&["t", "--from", "-1"]).len() <= 3);
}

#[test]
fn it_changes_not_one_byte() {
    let sandbox = Sandbox::new();
    ten(&sandbox);
    let before = sandbox.snapshot("data");
    for command in
        [&["cat", "data", "ten"][..], &["cat", "data", "ten", "--from", "-3", "--isolation", "committed"], &["info", "data"], &["verify", "data"]]
    {
        sandbox.ok(command);
    }
    assert_eq!(sandbox.snapshot("data"), before);
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs", "--ack", "written"], "some line\n".repeat(100_000));
    for output in ["json", "raw", "table"] {
        let mut child = sandbox.command(&["cat", "data", "logs", "--output", output]).spawn().unwrap();
        let mut start = [0; 100];
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut start).unwrap();
        drop(stdout);
        let run = checked(child.wait_with_output().unwrap()).expect(0);
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn a_full_disk_behind_the_output_is_an_error() {
    let sandbox = Sandbox::new();
    ten(&sandbox);
    let mut command = sandbox.command(&["cat", "data", "ten"]);
    command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    crate::sandbox::run_command(command, b"").expect(1).says("writing the output");
}

#[test]
fn unknown_topics_name_their_neighbours() {
    let sandbox = Sandbox::new();
    ten(&sandbox);
    sandbox.run(&["cat", "data", "tem"]).expect(1).says("did you mean ten?");
    sandbox.run(&["cat", "data", "ten", "-p", "1"]).expect(1).says("there is no partition 1");
    sandbox.run(&["cat", "data", "../ten"]).expect(2).says("no topic name");
    assert_eq!(sandbox.records(&["default/ten"]).len(), 10);
    sandbox.run(&["cat", "data", "other/ten"]).expect(1).says("there is no topic other/ten");
}
