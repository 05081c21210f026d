//! Help, versions, completions, manual pages, `info` and `verify`.

use serde_json::Value;

use crate::sandbox::Sandbox;

#[test]
fn info_has_the_facts_of_each_partition() {
    let sandbox = Sandbox::new();
    sandbox.write("lines", "{\"t\":5}\n{\"t\":3}\n");
    sandbox.ok(&["import", "data", "shop/orders", "lines", "--format", "ndjson", "--timestamp", ".t", "--timestamp-unit", "ns", "--partitions", "2"]);
    sandbox.ok_with(&["append", "data", "logs"], "x\n");
    let all: Value = serde_json::from_str(&sandbox.ok(&["info", "data", "--json"])).unwrap();
    assert_eq!(all["partitions"].as_array().unwrap().len(), 3);
    let one: Value = serde_json::from_str(&sandbox.ok(&["info", "data", "shop/orders", "-p", "0", "--json"])).unwrap();
    let partition = &one["partitions"][0];
    assert_eq!(one["partitions"].as_array().unwrap().len(), 1);
    for (name, expected) in [
        ("topic", Value::from("shop/orders")),
        ("partition", 0.into()),
        ("log_start_offset", 0.into()),
        ("high_water_mark", 1.into()),
        ("durable_end_offset", 1.into()),
        ("log_end_offset", 1.into()),
        ("segments", 1.into()),
        ("first_ts_ns", 5.into()),
        ("last_ts_ns", 5.into()),
        ("damage", Value::Array(vec![])),
    ] {
        assert_eq!(partition[name], expected, "{name} in {partition}");
    }
    assert!(partition["uuid"].is_string() && partition["bytes"].as_u64().unwrap() > 0 && !partition["compression"].is_null());
    let text = sandbox.ok(&["info", "data", "logs"]);
    assert!(text.contains("log_end_offset") && text.contains("damage"), "{text}");
    sandbox.run(&["info", "data", "lugs"]).expect(1).says("did you mean logs?");
    sandbox.run(&["info", "nowhere"]).expect(1).says("no store at nowhere");
    assert!(!sandbox.path("nowhere").exists(), "looking makes nothing");
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let sandbox = Sandbox::new();
    let help = sandbox.ok(&["--help"]);
    for word in ["import", "append", "cat", "tail", "info", "verify", "export", "completions", "man", "Exit codes", "refused", "damage", "Examples"] {
        assert!(help.contains(word), "{word} in {help}");
    }
    assert!(sandbox.ok(&["--version"]).starts_with("tidelog "));
    sandbox.run(&[]).expect(2).says("Usage");
    for command in ["import", "append", "cat", "tail", "info", "verify", "export"] {
        assert!(sandbox.ok(&[command, "--help"]).contains(&format!("tidelog {command} ")));
    }
}

#[test]
fn completions_and_manual_pages_are_printed() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(sandbox.ok(&["completions", shell]).contains("tidelog"), "{shell}");
    }
    assert!(sandbox.ok(&["man"]).contains(".TH tidelog 1"));
    assert!(sandbox.ok(&["man", "import"]).contains(".TH tidelog-import 1"));
    sandbox.run(&["man", "nothing"]).expect(2).says("no such command");
    sandbox.run(&["completions", "tcsh"]).expect(2);
}

#[test]
fn verify_counts_what_the_log_holds_when_it_begins_inside_a_batch() {
    let sandbox = Sandbox::new();
    let store = tidelog::Store::open(sandbox.path("data")).unwrap();
    let logs = store.topic("logs").unwrap().partition(0).unwrap();
    let mut batch = tidelog::RecordBatch::new();
    for number in 0..12 {
        batch.push(&tidelog::Record::new(&format!("{number}"))).unwrap();
    }
    logs.append_batch(&batch, tidelog::AckLevel::Durable).unwrap();
    logs.delete_prefix(7).unwrap();
    drop(logs);
    store.close().unwrap();
    for arguments in [&["verify", "data", "--json"][..], &["verify", "data", "--json", "--quick"]] {
        let report: Value = serde_json::from_str(&sandbox.ok(arguments)).unwrap();
        assert_eq!(report["partitions"][0]["records"], 5, "{report}");
    }
}

#[test]
fn verify_reads_everything() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs", "--segment-bytes", "64KiB"], "some line of a log\n".repeat(20_000));
    let text = sandbox.ok(&["verify", "data"]);
    assert!(text.contains("20000") || text.contains("20,000"), "{text}");
    sandbox.ok(&["verify", "data", "--json"]);
}
