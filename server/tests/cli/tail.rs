//! What `tail` shows, and when.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::Value;

use crate::sandbox::{Sandbox, checked};

#[test]
fn the_last_ten_and_then_what_comes() {
    let sandbox = Sandbox::new();
    let lines: String = (0..20).map(|i| format!("{i}\n")).collect();
    sandbox.ok_with(&["append", "data", "logs"], lines);
    let mut tail = sandbox.command(&["tail", "data", "logs", "--count", "13"]).spawn().unwrap();
    let mut records = BufReader::new(tail.stdout.take().unwrap()).lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let first: Vec<Value> = records.by_ref().take(10).map(|record| record["offset"].clone()).collect();
    assert_eq!(first, (10..20).map(Value::from).collect::<Vec<_>>());

    let mut writer = sandbox.command(&["append", "data", "logs"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = writer.stdin.take().unwrap();
    for i in 20..23 {
        writeln!(stdin, "{i}").unwrap();
        assert_eq!(records.next().unwrap()["value"], i.to_string(), "seen while the writer still runs");
    }
    checked(tail.wait_with_output().unwrap()).expect(0);
    drop(stdin);
    checked(writer.wait_with_output().unwrap()).expect(0);
}

#[test]
fn several_partitions_are_followed_at_once() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs", "--partitions", "3"], "");
    let tail = sandbox.command(&["tail", "data", "logs", "--from", "earliest", "--count", "6", "--output", "raw"]).spawn().unwrap();
    sandbox.ok_with(&["append", "data", "logs"], "0\n1\n2\n3\n4\n5\n");
    let run = checked(tail.wait_with_output().unwrap()).expect(0);
    let text = run.text();
    let mut values: Vec<&str> = text.lines().collect();
    values.sort_unstable();
    assert_eq!(values, ["0", "1", "2", "3", "4", "5"]);
}

/// No record comes; and then records that are not printed.
#[test]
fn a_closed_pipe_ends_it_though_nothing_is_printed() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs"], "x\n");
    let mut tails = Vec::new();
    for filter in [&[][..], &["--key", "k"]] {
        let mut tail = sandbox.command(&[&["tail", "data", "logs"], filter].concat()).spawn().unwrap();
        let mut stdout = BufReader::new(tail.stdout.take().unwrap());
        if filter.is_empty() {
            stdout.read_line(&mut String::new()).unwrap();
        }
        drop(stdout);
        tails.push(tail);
    }
    let began = std::time::Instant::now();
    for mut tail in tails {
        while tail.try_wait().unwrap().is_none() {
            if began.elapsed() > std::time::Duration::from_secs(20) {
                tail.kill().unwrap();
                panic!("it still waits");
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        checked(tail.wait_with_output().unwrap()).expect(0);
    }
}

#[test]
fn a_closed_pipe_ends_it_when_the_next_record_comes() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs"], "x\n");
    let mut tail = sandbox.command(&["tail", "data", "logs"]).spawn().unwrap();
    let mut stdout = BufReader::new(tail.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    sandbox.ok_with(&["append", "data", "logs"], "y\n");
    checked(tail.wait_with_output().unwrap()).expect(0);
}
