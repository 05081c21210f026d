//! kill -9 at random moments: imports give the file exactly once, and nothing acknowledged is lost, renumbered or wrong.
//! `TIDELOG_KILL_ROUNDS` sets how many, `TIDELOG_KILL_SEED` makes other moments.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;
use tidelog::Store;

use crate::sandbox::{Random, Sandbox, checked, json_lines};

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn rounds() -> u64 {
    from_environment("TIDELOG_KILL_ROUNDS", 5)
}

/// The same seed gives the same input and the same moments.
fn random(test: u64) -> Random {
    Random(from_environment("TIDELOG_KILL_SEED", 0) << 8 | test)
}

/// Imports into one topic after the other, killed at random moments, until enough runs were killed; each topic is checked when its import has ended.
pub(crate) fn import_with_kills(sandbox: &Sandbox, files: &[&str], options: &[&str], random: &mut Random, check: impl Fn(&str)) {
    let import = |topic: &str| [&["import", "data", topic], files, options].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let started = Instant::now();
    sandbox.ok(&as_strs(&import("unkilled")));
    let whole = started.elapsed();
    check("unkilled");
    let mut kills = 0;
    for number in 0.. {
        let topic = format!("killed-{number}");
        let arguments = import(&topic);
        let mut longest_us = whole.as_micros() as u64;
        // A run that ends before it is killed has imported the rest. On a machine that has become slower, runs live longer and longer.
        while kill_after(sandbox, &as_strs(&arguments), random.below(longest_us)) {
            kills += 1;
            longest_us += longest_us / 16;
        }
        check(&topic);
        assert!(sandbox.ok(&as_strs(&arguments)).contains("nothing new"));
        if kills >= rounds() {
            break;
        }
    }
    println!("{kills} kills");
    sandbox.ok(&["verify", "data"]);
}

fn as_strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// Whether the run was still there to be killed; one that was not must have succeeded.
fn kill_after(sandbox: &Sandbox, arguments: &[&str], microseconds: u64) -> bool {
    let mut child = sandbox.command(arguments).spawn().unwrap();
    std::thread::sleep(Duration::from_micros(microseconds));
    let ended = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    let run = checked(child.wait_with_output().unwrap());
    match run.code {
        None => {
            assert!(!ended);
            true
        }
        Some(_) => {
            run.expect(0);
            false
        }
    }
}

#[test]
fn kill9_import() {
    let sandbox = Sandbox::new();
    let mut random = random(1);
    let bytes = random.lines(6_000_000);
    sandbox.write("input", &bytes);
    import_with_kills(&sandbox, &["input"], &["--segment-bytes", "1MiB"], &mut random, |topic| {
        assert!(sandbox.raw(topic) == bytes, "the bytes of {topic} differ")
    });
}

/// Several partitions, each at another place when the kill comes, and lines that are kept aside meanwhile.
#[test]
fn kill9_import_partitions() {
    let sandbox = Sandbox::new();
    let mut random = random(2);
    let (mut lines, mut bad) = (String::new(), String::new());
    for i in 0..40_000 {
        match random.below(10) {
            0 => lines.push_str(&format!("{{\"n\":{i}}}\n")),
            1 => {
                lines.push_str(&format!("bad {i}\n"));
                bad.push_str(&format!("bad {i}\n"));
            }
            _ => lines.push_str(&format!("{{\"n\":{i},\"k\":\"key-{}\"}}\n", random.below(50))),
        }
    }
    let mut expected: Vec<&str> = lines.lines().filter(|line| line.starts_with('{')).collect();
    expected.sort_unstable();
    sandbox.write("input", zstd::encode_all(lines.as_bytes(), 1).unwrap());
    let options =
        ["--format", "ndjson", "--key", ".k", "--partitions", "3", "--on-error", "skip", "--rejects", "rejects", "--set", "batch_bytes_max=64KiB"];
    let topics = std::cell::Cell::new(0);
    import_with_kills(&sandbox, &["input"], &options, &mut random, |topic| {
        topics.set(topics.get() + 1);
        let raw = sandbox.raw(topic);
        let mut found: Vec<&str> = std::str::from_utf8(&raw).unwrap().lines().collect();
        found.sort_unstable();
        assert_eq!(found.len(), expected.len());
        assert!(found == expected, "the records of {topic} differ");
        let rejects = std::fs::read_to_string(sandbox.path("rejects")).unwrap();
        assert!(rejects == bad.repeat(topics.get()), "the lines kept aside differ: each topic keeps its own");
        for partition in ["0", "1", "2"] {
            let number = |record: &Value| serde_json::from_str::<Value>(record["value"].as_str().unwrap()).unwrap()["n"].as_u64().unwrap();
            let numbers: Vec<u64> = sandbox.records(&[topic, "-p", partition]).iter().map(number).collect();
            assert!(numbers.is_sorted(), "each partition is in the order of the file");
        }
    });
}

/// Partitions that were all cut off somewhere, imported again, killed at that, and cut off again meanwhile.
#[test]
fn kill9_import_of_what_was_cut_off() {
    let sandbox = Sandbox::new();
    let mut random = random(6);
    let lines = (0..20_000).map(|i| match random.below(10) {
        0 => format!("{{\"n\":{i}}}\n"),
        1 => format!("bad {i}\n"),
        _ => format!("{{\"n\":{i},\"k\":\"key-{}\"}}\n", random.below(50)),
    });
    sandbox.write("input", lines.collect::<String>());
    let import = ["import", "data", "events", "input", "--format", "ndjson", "--key", ".k", "--partitions", "3"];
    let import = [&import[..], &["--on-error", "skip", "--rejects", "rejects", "--set", "batch_bytes_max=64KiB"]].concat();
    let started = Instant::now();
    sandbox.ok(&import);
    let whole = started.elapsed().as_micros() as u64;
    let raw = || ["0", "1", "2"].map(|partition| sandbox.ok(&["cat", "data", "events", "-p", partition, "--output", "raw"]));
    let (expected, rejects) = (raw(), std::fs::read(sandbox.path("rejects")).unwrap());
    let mut kills = 0;
    while kills < rounds() {
        // On a machine that has become slower, runs live longer and longer.
        let mut longest_us = whole;
        loop {
            let store = Store::open(sandbox.path("data")).unwrap();
            let topic = store.topic("events").unwrap();
            for partition in (0..3).map(|number| topic.partition(number).unwrap()) {
                // Mostly a little, sometimes all of it.
                let most = if random.below(4) == 0 { u64::MAX } else { 3000 };
                let end = partition.log_end_offset().get();
                partition.truncate_suffix(end - random.below(most.min(end) + 1)).unwrap();
            }
            store.close().unwrap();
            if !kill_after(&sandbox, &import, random.below(longest_us)) {
                break;
            }
            kills += 1;
            longest_us += longest_us / 16;
            // Half of the times it goes on from where the kill left it.
            if random.below(2) == 0 {
                sandbox.ok(&import);
                break;
            }
        }
        assert!(raw() == expected, "the records differ after {kills} kills");
        assert!(std::fs::read(sandbox.path("rejects")).unwrap() == rejects, "a line is kept aside once");
        assert!(sandbox.ok(&import).contains("nothing new"));
    }
}

/// Sources that share a file for the lines kept aside, and have equal ones: killed, with another one imported before they go on, grown.
/// One holds nothing that fits, one begins with what does not.
#[test]
fn kill9_import_rejects() {
    let sandbox = Sandbox::new();
    let mut random = random(4);
    let mut sources = [Vec::new(), Vec::new(), Vec::new()];
    let mut bad = std::collections::BTreeMap::new();
    let mut kills = 0;
    for generation in 0..3 {
        for (number, source) in sources.iter_mut().enumerate() {
            for line in 0..4000 {
                let is_good = match number {
                    0 => random.below(3) > 0,
                    1 => false,
                    _ => line > 1000 && random.below(50) > 0,
                };
                // Half of the wrong lines are the same everywhere.
                let text = match (is_good, random.below(2)) {
                    (true, _) => format!("{line}\n"),
                    (false, 0) => "bad\n".to_owned(),
                    (false, _) => format!("bad {generation} {number} {line}\n"),
                };
                if !is_good {
                    *bad.entry(text.clone()).or_insert(0) += 1;
                }
                source.extend(text.bytes());
            }
            sandbox.write(&format!("source-{number}"), &source[..]);
        }
        let arguments = |source: &str| {
            let all = ["import", "data", "logs", source, "--format", "ndjson", "--on-error", "skip", "--rejects", "rejects", "--partitions", "2"];
            all.map(str::to_owned)
        };
        let mut longest_us = 20_000;
        for _ in 0..rounds() {
            let source = format!("source-{}", random.below(3));
            if kill_after(&sandbox, &as_strs(&arguments(&source)), random.below(longest_us)) {
                kills += 1;
                longest_us += longest_us / 4;
            }
        }
        for source in [2, 0, 1, 0, 1, 2] {
            sandbox.ok(&as_strs(&arguments(&format!("source-{source}"))));
        }
        let mut found = std::collections::BTreeMap::new();
        for line in std::fs::read_to_string(sandbox.path("rejects")).unwrap().split_inclusive('\n') {
            *found.entry(line.to_owned()).or_insert(0) += 1;
        }
        let differs: Vec<_> = bad.iter().filter(|(line, count)| found.get(*line) != Some(*count)).take(3).collect();
        assert!(found == bad, "generation {generation}, {kills} kills: expected {differs:?} among others");
    }
    println!("{kills} kills");
}

/// An export that follows a log under load, killed again and again: in the end the files that the Delta log names are all that there are, and
/// hold each record once.
#[test]
fn kill9_export() {
    let sandbox = Sandbox::new();
    let mut random = random(5);
    let mut load = Load::start(&sandbox, &["append", "data", "logs", "--partitions", "2", "--ack", "written", "--segment-bytes", "256KiB"]);
    let began = Instant::now();
    while !sandbox.run(&["info", "data"]).text().contains("partition              1") {
        assert!(began.elapsed() < Duration::from_secs(30), "nothing is appended");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut killed = [0; 3];
    for _ in 0..rounds() {
        let mut child =
            sandbox.command(&["export", "data", "logs", "--to", "out", "--follow", "--every", "1", "--rows-per-file", "50"]).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.below(250_000)));
        child.kill().unwrap();
        let run = checked(child.wait_with_output().unwrap());
        assert_eq!(run.code, None, "it goes on until it is killed: {run:?}");
        let left = ["0", "1"].map(|partition| left_by_a_kill(&sandbox.path("out/topic=logs"), partition));
        killed[0] += usize::from(left.iter().any(|left| left.is_partial));
        killed[1] += usize::from(left.iter().any(|left| left.is_uncommitted));
        killed[2] = left.iter().map(|left| left.files).sum();
    }
    let appended = load.stop();
    sandbox.ok(&["export", "data", "logs", "--to", "out", "--rows-per-file", "50"]);
    let mut rows = 0;
    for partition in ["0", "1"] {
        let expected: Vec<(i64, String)> = sandbox.records(&["logs", "-p", partition]).iter().map(row_of).collect();
        let found = exported(&sandbox.path("out/topic=logs"), partition);
        assert!(found == expected, "partition {partition}: {} rows of {} records", found.len(), expected.len());
        rows += found.len();
    }
    let [partial, uncommitted, before] = killed;
    println!("{rows} rows once each; of {} kills {partial} left a file half, {uncommitted} one that was not committed", rounds());
    assert_eq!(rows, appended);
    assert!(before > 0, "all was done by the last run, which was not killed: the test shows nothing");
}

/// What stands in the directory of a partition.
#[derive(Default)]
struct Left {
    files: usize,
    is_partial: bool,
    is_uncommitted: bool,
}

fn left_by_a_kill(table: &Path, partition: &str) -> Left {
    let Ok(entries) = std::fs::read_dir(table.join(format!("partition={partition}"))) else { return Left::default() };
    let names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let partials = names.iter().filter(|name| name.starts_with('.')).count();
    let committed = named_by_the_log(table, partition).len();
    Left { files: committed, is_partial: partials > 0, is_uncommitted: names.len() - partials > committed }
}

fn row_of(record: &Value) -> (i64, String) {
    (record["offset"].as_i64().unwrap(), record["value"].as_str().unwrap().to_owned())
}

/// Offsets and values of a partition in the files that the Delta log names, which must be all of those that are there.
fn exported(table: &Path, partition: &str) -> Vec<(i64, String)> {
    let (directory, named) = (format!("partition={partition}"), named_by_the_log(table, partition));
    let mut there: Vec<String> =
        std::fs::read_dir(table.join(&directory)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    assert!(there == named, "there are {} files, the Delta log names {}", there.len(), named.len());
    let mut rows = Vec::new();
    for name in named {
        let file = std::fs::File::open(table.join(&directory).join(name)).unwrap();
        for row in SerializedFileReader::new(file).unwrap().get_row_iter(None).unwrap() {
            let columns: Vec<_> = row.unwrap().into_columns();
            let (Field::Long(offset), Field::Bytes(value)) = (&columns[0].1, &columns[4].1) else { panic!("{columns:?}") };
            rows.push((*offset, String::from_utf8(value.data().to_vec()).unwrap()));
        }
    }
    rows
}

/// The files that the Delta log names, in the order of their commits.
fn named_by_the_log(table: &Path, partition: &str) -> Vec<String> {
    let mut named = Vec::new();
    for version in 0.. {
        let Ok(commit) = std::fs::read_to_string(table.join(format!("_delta_log/{version:020}.json"))) else { break };
        let actions = json_lines(&commit);
        let path = |action: &Value| action["add"]["path"].as_str()?.strip_prefix(&format!("partition={partition}/")).map(str::to_owned);
        named.extend(actions.iter().filter_map(path));
    }
    named
}

/// A program that is fed lines, a few thousand a second, until it is stopped.
struct Load {
    program: Child,
    feeder: Option<JoinHandle<usize>>,
    is_stopped: Arc<AtomicBool>,
}

impl Load {
    fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let mut program = sandbox.command(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let (mut stdin, is_stopped) = (program.stdin.take().unwrap(), Arc::new(AtomicBool::new(false)));
        let stop = is_stopped.clone();
        let feeder = std::thread::spawn(move || {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..20 {
                    writeln!(stdin, "record {number}").unwrap();
                    number += 1;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            number
        });
        Self { program, feeder: Some(feeder), is_stopped }
    }

    /// Waits until it has taken everything; how many lines it was fed.
    fn stop(&mut self) -> usize {
        self.is_stopped.store(true, Ordering::Relaxed);
        let lines = self.feeder.take().unwrap().join().unwrap();
        assert!(self.program.wait().unwrap().success());
        lines
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        let _ = self.program.kill(); // it has ended, if nothing failed
        let _ = self.program.wait();
    }
}

#[test]
fn kill9_append() {
    let sandbox = Sandbox::new();
    let mut random = random(3);
    let (mut topic, mut acked, mut total) = ("logs-0".to_owned(), Vec::new(), 0);
    for round in 0..rounds() {
        if acked.len() > TOPIC_RECORDS_MAX {
            topic = format!("logs-{round}");
            acked.clear();
        }
        let ack = if random.below(2) == 0 { "durable" } else { "written" };
        let events = append_and_kill(&sandbox, &topic, ack, round, &mut random);
        total += remember(&mut acked, &events);
        compare(&sandbox, &topic, &mut acked);
    }
    println!("{total} acknowledged records in {} rounds", rounds());
    assert!(total > 200 * rounds(), "only {total} records were acknowledged: the test shows nothing");
    let run = sandbox.run_with(&["append", "data", &topic, "--print-acks"], b"").expect(0);
    assert!(run.text().contains(&format!("\"next_offset\":{}", acked.len())), "{}", run.text());
    sandbox.ok(&["verify", "data"]);
}

/// One run that is fed until it is killed; returns what it printed, without a line that the kill tore.
fn append_and_kill(sandbox: &Sandbox, topic: &str, ack: &str, round: u64, random: &mut Random) -> Vec<Value> {
    let arguments = ["append", "data", topic, "--print-acks", "--ack", ack, "--segment-bytes", "256KiB"];
    let mut child = sandbox.command(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut padding = Random(random.below(u64::MAX));
    let feeder = std::thread::spawn(move || {
        let mut number = 0;
        while writeln!(stdin, "round {round} record {number} {}", "x".repeat(padding.below(300) as usize)).is_ok() {
            number += 1;
        }
    });
    let stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let lines = BufReader::new(stdout).split(b'\n').map_while(Result::ok);
        lines.filter_map(|line| serde_json::from_slice::<Value>(&line).ok()).collect::<Vec<_>>()
    });
    std::thread::sleep(Duration::from_millis(20 + random.below(200)));
    child.kill().unwrap();
    let run = checked(child.wait_with_output().unwrap());
    assert_eq!(run.code, None, "{run:?}");
    feeder.join().unwrap();
    reader.join().unwrap()
}

/// Adds this round's acknowledgements, whose offsets must go on where the log ended; returns how many.
fn remember(acked: &mut Vec<String>, events: &[Value]) -> u64 {
    let before = acked.len();
    for event in events {
        match event["event"].as_str().unwrap() {
            "open" => assert_eq!(event["next_offset"], acked.len(), "recovery keeps exactly what readers saw after the kill"),
            "acked" => {
                assert_eq!(event["offset"], acked.len());
                acked.push(event["crc32"].as_str().unwrap().to_owned());
            }
            other => panic!("{other}: {event}"),
        }
    }
    (acked.len() - before) as u64
}

/// Every acknowledged record is there with its offset and its bytes; what was written and not acknowledged counts from now on.
fn compare(sandbox: &Sandbox, topic: &str, acked: &mut Vec<String>) {
    // A kill before the topic was made leaves none, and nothing was acknowledged.
    let run = sandbox.run(&["cat", "data", topic]);
    if run.code == Some(1) && acked.is_empty() {
        return;
    }
    let records = json_lines(&run.expect(0).text());
    let crc32 = |(index, record): (usize, &Value)| {
        assert_eq!(record["offset"], index);
        format!("{:08x}", crc32fast::hash(record["value"].as_str().unwrap().as_bytes()))
    };
    let found: Vec<String> = records.iter().enumerate().map(crc32).collect();
    assert!(found.len() >= acked.len(), "{} acknowledged, {} there", acked.len(), found.len());
    assert!(found[..acked.len()] == acked[..], "an acknowledged record differs");
    *acked = found;
}

/// A topic that has more is left, so that many rounds do not read the same records again and again.
const TOPIC_RECORDS_MAX: usize = 50_000;
