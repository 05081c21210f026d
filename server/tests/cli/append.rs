//! What `append` promises: events in order, nothing acknowledged before it is true, nothing held back.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::sandbox::{Sandbox, checked, json_lines};

#[test]
fn acknowledgements_follow_the_input() {
    let sandbox = Sandbox::new();
    for ack in ["durable", "written"] {
        let lines: String = (0..5000).map(|i| format!("{ack} {i}\n")).collect();
        let events = json_lines(&sandbox.ok_with(&["append", "data", ack, "--print-acks", "--ack", ack], &lines));
        assert_eq!(events.len(), 5002);
        assert_eq!(events[0], json!({"event": "open", "log_start_offset": 0, "next_offset": 0}));
        for (i, line) in lines.lines().enumerate() {
            let crc32 = format!("{:08x}", crc32fast::hash(line.as_bytes()));
            assert_eq!(events[i + 1], json!({"event": "acked", "offset": i, "crc32": crc32}));
        }
        assert_eq!(events[5001], json!({"event": "closed", "next_offset": 5000}));
        assert_eq!(sandbox.raw(ack), lines.as_bytes());
    }
    let again = json_lines(&sandbox.ok_with(&["append", "data", "durable", "--print-acks"], ""));
    assert_eq!(again[0]["next_offset"], 5000);
    assert_eq!(again.len(), 2);
}

#[test]
fn a_record_is_acknowledged_while_the_input_stays_open() {
    let sandbox = Sandbox::new();
    let mut child = sandbox.command(&["append", "data", "chat", "--print-acks"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&events.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["event"], "open");
    for i in 0..20 {
        writeln!(stdin, "{i}").unwrap();
        assert_eq!(next()["offset"], i, "the acknowledgement comes before the next record is given");
    }
    drop(stdin);
    assert_eq!(next()["event"], "closed");
    checked(child.wait_with_output().unwrap()).expect(0);
}

#[test]
fn frames_and_ndjson_carry_their_time() {
    let sandbox = Sandbox::new();
    let frame = |ts: i64, payload: &[u8]| [&(payload.len() as u32).to_le_bytes()[..], &ts.to_le_bytes(), payload].concat();
    sandbox.ok_with(&["append", "data", "frames", "--format", "frames"], [frame(5, b"a\n\xff"), frame(-5, b"")].concat());
    let records = sandbox.records(&["frames"]);
    assert_eq!((&records[0]["ts_ns"], &records[0]["value_base64"]), (&json!(5), &json!("YQr/")));
    assert_eq!((&records[1]["ts_ns"], &records[1]["value"]), (&json!(-5), &json!("")));

    sandbox.ok_with(
        &["append", "data", "events", "--format", "ndjson", "--key", ".k", "--timestamp", ".t", "--timestamp-unit", "s"],
        "{\"k\":\"x\",\"t\":1.5}\n",
    );
    let records = sandbox.records(&["events"]);
    assert_eq!((&records[0]["key"], &records[0]["ts_ns"]), (&json!("x"), &json!(1_500_000_000)));
}

#[test]
fn several_partitions_are_named_in_every_event() {
    let sandbox = Sandbox::new();
    let events = json_lines(&sandbox.ok_with(&["append", "data", "logs", "--partitions", "3", "--print-acks"], "a\nb\nc\nd\n"));
    assert_eq!(events.iter().filter(|event| event["event"] == "open").count(), 3);
    let acked: Vec<(u64, u64)> = events
        .iter()
        .filter(|event| event["event"] == "acked")
        .map(|event| (event["partition"].as_u64().unwrap(), event["offset"].as_u64().unwrap()))
        .collect();
    assert_eq!(acked, [(0, 0), (1, 0), (2, 0), (0, 1)]);
    sandbox.ok_with(&["append", "data", "logs", "-p", "1"], "e\n");
    assert_eq!(sandbox.records(&["logs", "-p", "1"]).len(), 2);
    sandbox.run_with(&["append", "data", "logs", "-p", "3"], b"").expect(1).says("no partition 3");
}

#[test]
fn an_error_is_the_last_event() {
    let sandbox = Sandbox::new();
    let run = sandbox.run_with(&["append", "data", "events", "--format", "ndjson", "--print-acks"], b"1\n2\nnonsense\n4\n").expect(3);
    let events = json_lines(&run.text());
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["open", "acked", "acked", "error"]);
    assert!(events[3]["message"].as_str().unwrap().contains("line 3"));
    assert_eq!(sandbox.raw("events"), b"1\n2\n");
    sandbox.run_with(&["append", "data", "events", "--format", "ndjson"], b"nonsense\n").expect(1).says("standard input: line 1");
}

#[test]
fn a_locked_store_is_refused_and_says_who_holds_it() {
    let sandbox = Sandbox::new();
    let mut holder = sandbox.command(&["append", "data", "logs", "--print-acks"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let pid = holder.id().to_string();
    let before = sandbox.snapshot("data");

    sandbox.run_with(&["append", "data", "logs"], b"x\n").expect(3).says(&pid);
    let run = sandbox.run_with(&["append", "data", "logs", "--print-acks"], b"x\n").expect(3).says("locked");
    assert!(run.text().starts_with("{\"event\":\"error\",\"message\":"), "{}", run.text());
    sandbox.write("log", "x\n");
    sandbox.run(&["import", "data", "logs", "log"]).expect(3).says("locked");
    assert_eq!(sandbox.snapshot("data"), before, "a refusal changes no byte");

    assert_eq!(sandbox.raw("logs"), b"", "reading needs no lock");
    drop(holder.stdin.take());
    checked(holder.wait_with_output().unwrap()).expect(0);
}

/// A segment that was just opened has no blocks behind its end; its seal needs some.
#[test]
fn the_first_append_after_an_open_may_need_a_new_segment() {
    let sandbox = Sandbox::new();
    let line = format!("{}\n", "x".repeat(40_000));
    for _ in 0..4 {
        sandbox.ok_with(&["append", "data", "logs", "--segment-bytes", "64KiB"], &line);
    }
    assert_eq!(sandbox.raw("logs"), line.repeat(4).as_bytes());
    let info: Value = serde_json::from_str(&sandbox.ok(&["info", "data", "--json"])).unwrap();
    assert_eq!(info["partitions"][0]["segments"], 4);
}

#[test]
fn the_longest_topic_names_are_names() {
    let sandbox = Sandbox::new();
    for bytes in [238, 239, 249] {
        let name = "n".repeat(bytes);
        let topic = format!("{name}/{name}");
        sandbox.ok_with(&["append", "data", &topic], "x\n");
        assert_eq!(sandbox.raw(&topic), b"x\n");
    }
}

#[test]
fn topics_that_were_not_finished_are_removed() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs"], "x\n");
    let namespace = sandbox.path("data/topics/default");
    for name in ["~0123456789abcdef", "logs~0123456789abcdef"] {
        std::fs::create_dir_all(namespace.join(name).join("0")).unwrap();
        std::fs::write(namespace.join(name).join("0/META.tmp"), "half").unwrap();
    }
    assert!(!sandbox.ok(&["info", "data"]).contains('~'), "they are no topics");
    sandbox.ok_with(&["append", "data", "logs"], "y\n");
    let left: Vec<_> = std::fs::read_dir(&namespace).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["logs"]);
}

#[test]
fn settings_by_name() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "a", "--sync-policy", "interval:100ms", "--segment-bytes", "65536", "--set", "compression=lz4"], "x\n");
    sandbox.ok_with(&["append", "data", "a", "--sync-policy", "os", "--ack", "written"], "y\n");
    assert_eq!(sandbox.raw("a"), b"x\ny\n");
    for (arguments, text) in [
        (&["--segment-bytes", "1"][..], "segment_bytes"),
        (&["--segment-bytes", "-5"], "'-5'"),
        (&["--segment-bytes", "99999999999999999999"], "segment_bytes"),
        (&["--sync-policy", "never"], "sync_policy"),
        (&["--set", "colour=red"], "colour"),
        (&["--set", "compression"], "NAME=VALUE"),
        (&["--partitions", "0"], "partitions"),
        (&["--partitions", "-1"], "'-1'"),
        (&["-p", "4294967296"], "partition"),
    ] {
        sandbox.run_with(&[&["append", "data", "a"], arguments].concat(), b"z\n").expect(2).says(text);
    }
    assert_eq!(sandbox.raw("a"), b"x\ny\n");
}

#[test]
fn a_reader_of_acknowledgements_that_goes_away_is_no_panic() {
    let sandbox = Sandbox::new();
    let mut child = sandbox.command(&["append", "data", "logs", "--print-acks"]).stdin(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    std::thread::spawn(move || while stdin.write_all(b"line\n").is_ok() {});
    checked(child.wait_with_output().unwrap()).expect(1).says("printing acknowledgements");
}

#[test]
fn acknowledgements_that_nobody_reads_are_a_failure() {
    let sandbox = Sandbox::new();
    // Not even that recovery is done can be said: nothing is read.
    sandbox.run_unread(&["append", "data", "logs", "--print-acks"], b"1\n2\n").expect(1).says("printing acknowledgements");
    assert_eq!(sandbox.raw("logs"), b"");

    // Everything is appended and acknowledged, and the last event is not heard.
    let mut child = sandbox.command(&["append", "data", "logs", "--print-acks"]).stdin(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    stdout.read_line(&mut String::new()).unwrap();
    writeln!(stdin, "1").unwrap();
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    drop(stdin);
    checked(child.wait_with_output().unwrap()).expect(1).says("printing acknowledgements");
    assert_eq!(sandbox.raw("logs"), b"1\n");

    sandbox.run_unread(&["append", "data", "logs"], b"2\n").expect(0);
    assert_eq!(sandbox.raw("logs"), b"1\n2\n", "without events there is nothing to be heard");
}
