//! `sql`: rows against what `cat` prints of the same records, the shell and the script, and that nothing is written.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use serde_json::{Value, json};
use tidelog::{Record, Store, TimestampNs};

use crate::sandbox::{Random, Sandbox, checked, json_lines};

/// Records with all kinds of keys, values and headers in three partitions.
fn fill(sandbox: &Sandbox) -> Store {
    let store = Store::open(sandbox.path("data")).unwrap();
    let topic = store.create_topic("shop/orders", 3).unwrap();
    let mut random = Random(7);
    for number in 0..300 {
        let bytes: Vec<u8> = (0..random.below(30)).map(|_| random.below(256) as u8).collect();
        let text = format!("{{\"number\":{number}}}\n");
        let part = |choice| match choice {
            0 => None,
            1 => Some(&b""[..]),
            2 => Some(&bytes[..]),
            _ => Some(text.as_bytes()),
        };
        let mut record = part(random.below(4)).map_or_else(Record::tombstone, Record::new);
        if let Some(key) = part(random.below(4)) {
            record = record.key(key);
        }
        for name in &["a", "b\"", "a"][..random.below(4) as usize] {
            record = record.header(name, part(random.below(4)));
        }
        let time = TimestampNs::new(1_700_000_000_000_000_000 + random.below(1_000) as i64);
        topic.partition(random.below(3) as u32).unwrap().append(record.timestamp(time)).unwrap();
    }
    store
}

#[test]
fn rows_are_the_records_that_cat_prints() {
    let sandbox = Sandbox::new();
    let store = fill(&sandbox);
    for beside in ["its writer", "none"] {
        if beside == "none" {
            store.clone().close().unwrap();
        }
        for partition in ["0", "1", "2"] {
            let sql = format!(
                "select _index as offset, _ts_ns as ts_ns, _key as key, _value as value, _headers as headers from \"shop/orders\" where _partition = {partition}"
            );
            let mut rows = json_lines(&sandbox.ok(&["sql", "data", &sql, "--output", "json"]));
            for row in &mut rows {
                row["headers"] = serde_json::from_str(row["headers"].as_str().unwrap()).unwrap();
            }
            assert_eq!(rows, sandbox.records(&["shop/orders", "-p", partition]), "beside {beside}");
            let from = sandbox.records(&["shop/orders", "-p", partition, "--from", "7", "--count", "20"]);
            let offsets: Vec<&Value> = from.iter().map(|record| &record["offset"]).collect();
            let sql = format!("select _index from \"shop/orders\" where _partition = {partition} and _index between 7 and 26");
            let rows = json_lines(&sandbox.ok(&["sql", "data", &sql, "-o", "json"]));
            assert_eq!(rows.iter().map(|row| &row["_index"]).collect::<Vec<_>>(), offsets);
        }
        let all = json_lines(&sandbox.ok(&["sql", "data", "select * from \"shop/orders\"", "-o", "json"]));
        assert_eq!(all.len(), 300);
        assert!(all.iter().all(|row| row.as_object().unwrap().keys().all(|name| !name.starts_with("_index") && !name.starts_with("_partition"))));
    }
}

#[test]
fn formats() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "t"], "one\n\ntwo, \"quoted\"\n");
    let sql = "select _index, _key, _value from t";
    assert_eq!(sandbox.ok(&["sql", "data", sql]), "_index  _key  _value\n     0  NULL  one\n     1  NULL\n     2  NULL  two, \"quoted\"\n");
    assert_eq!(sandbox.ok(&["sql", "data", sql, "-o", "csv"]), "_index,_key,_value\n0,,one\n1,,\"\"\n2,,\"two, \"\"quoted\"\"\"\n");
    let json = json_lines(&sandbox.ok(&["sql", "data", sql, "-o", "json"]));
    assert_eq!(json[1], json!({"_index": 1, "_key": null, "_value": ""}));
    assert_eq!(sandbox.ok(&["sql", "data", "select 1 as a; ; select 2 as a; -- done", "-o", "csv"]), "a\n1\na\n2\n");
    assert_eq!(sandbox.ok(&["sql", "data", "select * from t, json_each('[1,2]') limit 4", "-o", "csv"]).lines().count(), 5);
    sandbox.run_unread(&["sql", "data", "select a.* from t a, t b, t c, t d, t e, t f"], b"").expect(0);
}

#[test]
fn what_fails_says_so() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "t"], "one\n");
    sandbox.run(&["sql", "data", "select * from nobody"]).expect(1).says("tidelog: sql: no such table: nobody\n");
    sandbox.run(&["sql", "data", "selec"]).expect(1).says("syntax error");
    sandbox.run(&["sql", "data", "select ?1"]).expect(1).says("parameters");
    sandbox.run(&["sql", "nowhere", "select 1"]).expect(1);
    sandbox.write("file", "");
    sandbox.run(&["sql", "data", "select 1", "-o", "raw"]).expect(2);
    let run = sandbox.run(&["sql", "data", "select 1 as a; select x; select 2", "-o", "csv"]).expect(1).says("no such column: x");
    assert_eq!(run.text(), "a\n1\n", "what comes behind an error is not run");
}

#[test]
fn damage_ends_a_statement() {
    let sandbox = Sandbox::new();
    (0..3).for_each(|_| drop(sandbox.ok_with(&["append", "data", "t"], "x\n".repeat(100))));
    let file = sandbox.path("data/topics/default/t/0/00000000000000000000-0000000001.log");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let run = sandbox.run(&["sql", "data", "select _index from t", "-o", "csv"]).expect(4).says("topic t, partition 0: offsets ");
    let (_, behind) = run.stderr.split_once("offsets ").unwrap();
    let to = behind.split_once(" are damaged").unwrap().0.split_once("..").unwrap().1;
    let rows = sandbox.ok(&["sql", "data", &format!("select count(*) from t where _index >= {to}"), "-o", "csv"]);
    assert_eq!(rows, format!("count(*)\n{}\n", 300 - to.parse::<u32>().unwrap()));
}

#[test]
fn nothing_is_written() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "t"], "one\n");
    let before = sandbox.snapshot("data");
    for sql in [
        "insert into t (_value) values ('x')",
        "delete from t",
        "drop table t",
        "create table x (a)",
        "create temp table x (a)",
        "create virtual table temp.x using tidelog('t')",
        "attach 'made.db' as made",
        "vacuum into 'made.db'",
        "pragma journal_mode = wal",
        "pragma temp_store_directory = '.'",
        "select load_extension('x')",
        "begin",
    ] {
        let run = sandbox.run(&["sql", "data", sql]).expect(1);
        assert!(["not authorized", "may not be modified", "prohibited"].iter().any(|text| run.stderr.contains(text)), "{sql}: {}", run.stderr);
    }
    sandbox.ok(&["sql", "data", "select * from t order by _value; select name from pragma_table_list; pragma table_xinfo(t)"]);
    sandbox.ok(&["sql", "data", "with recursive n(i) as (select 1 union all select i + 1 from n where i < 9) select sum(i) from n"]);
    assert!(before == sandbox.snapshot("data"), "asking changes nothing");
    let files: Vec<_> = std::fs::read_dir(sandbox.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["data"]);
}

#[test]
fn a_script_is_read_from_the_standard_input() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "ns/t"], "one\ntwo\n");
    let script = ".tables\n.schema ns/t\nselect count(*) as n\nfrom \"ns/t\"\n; select ';' as a; -- no;\n.quit\nselect nothing;\n";
    let schema = "create table \"ns/t\" (_ts_ns INTEGER, _key BLOB, _value BLOB, _headers TEXT, _index INTEGER HIDDEN, _partition INTEGER HIDDEN);";
    assert_eq!(sandbox.ok_with(&["sql", "data", "-o", "csv"], script), format!("ns/t\n{schema}\nn\n2\na\n;\n"));
    assert_eq!(sandbox.ok_with(&["sql", "data", "-o", "csv"], "select 1 as a;\nselect 2 as a"), "a\n1\na\n2\n", "the last one needs no semicolon");
    assert!(sandbox.ok_with(&["sql", "data"], ".help\n").contains(".tables"));
    assert_eq!(sandbox.ok_with(&["sql", "data"], ".schema"), format!("{schema}\n"));
    for (script, says) in [(".what\nselect 1;", "unknown command .what"), ("select x;\nselect 1;", "no such column"), (".schema no", "no table no")] {
        let run = sandbox.run_with(&["sql", "data"], script.as_bytes()).expect(1).says(says);
        assert_eq!(run.text(), "", "{script}");
    }
    sandbox.run_with(&["sql", "data"], b"select '\xff';").expect(1).says("no text");
    sandbox.run_with(&["sql", "data"], &vec![b'x'; (1 << 20) + 1]).expect(1).says("a statement of more than");
    sandbox.run_with(&["sql", "data"], "é".repeat(1 << 20).as_bytes()).expect(1).says("a statement of more than");
    let script = "select /*\n.quit\n*/ 1 as a; /*\n.quit\n*/ .tables\nselect 2 as a;\n";
    let run = sandbox.run_with(&["sql", "data", "-o", "csv"], script.as_bytes()).expect(1).says("near \".\"");
    assert_eq!(run.text(), "a\n1\n", "a line in a comment is no command, nor is one that begins in one");
    assert_eq!(sandbox.ok_with(&["sql", "data", "-o", "csv"], "/*\n.quit\n*/\nselect 1 as a;\n"), "a\n1\n");
}

/// A topic whose name is no table's, or is that of another for SQL, costs none of the others.
#[test]
fn names_that_sql_does_not_tell_apart() {
    let sandbox = Sandbox::new();
    for (topic, lines) in [("sqlite_x", "one\n"), ("Orders", "one\n"), ("orders", "one\ntwo\n"), ("t", "one\ntwo\nthree\n")] {
        sandbox.ok_with(&["append", "data", topic], lines);
    }
    sandbox.ok(&["topic", "create", "data", "sqlite_/t"]);
    let run = sandbox.run_with(&["sql", "data", "-o", "csv"], b".tables\nselect count(*) from t; select _value from \"default/sqlite_x\";").expect(0);
    assert_eq!(run.text(), "default/sqlite_x\nt\ncount(*)\n3\n_value\none\n");
    for topic in ["Orders", "orders", "sqlite_/t"] {
        assert!(run.stderr.contains(&format!("tidelog: sql: no table for topic {topic}: ")), "{}", run.stderr);
    }
    assert_eq!(run.stderr.lines().count(), 3, "{}", run.stderr);
    sandbox.run(&["sql", "data", "select * from orders"]).expect(1).says("no such table: orders");
}

/// A shell that stays open sees what is appended, and topics that are made, without being told.
#[test]
fn a_shell_sees_what_comes() {
    let sandbox = Sandbox::new();
    let store = Store::open(sandbox.path("data")).unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    let mut shell = sandbox.command(&["sql", "data", "-o", "csv"]).stdin(Stdio::piped()).spawn().unwrap();
    let (mut input, mut lines) = (shell.stdin.take().unwrap(), BufReader::new(shell.stdout.take().unwrap()).lines());
    // The last of so many lines.
    let mut ask_for = |count: usize, text: &str| {
        writeln!(input, "{text}").unwrap();
        (0..count).map(|_| lines.next().unwrap().unwrap()).last().unwrap()
    };
    for count in 0..3 {
        assert_eq!(ask_for(2, "select count(*) from t;"), count.to_string());
        partition.append(Record::new("x")).unwrap();
    }
    store.topic("later").unwrap().partition(0).unwrap().append(Record::new("x")).unwrap();
    assert_eq!(ask_for(2, "select count(*) from later;"), "1");
    store.topic("latest").unwrap();
    assert!(ask_for(1, ".schema latest").starts_with("create table \"latest\" ("));
    store.delete_topic("t").unwrap();
    assert_eq!(ask_for(2, "select count(*) from pragma_table_list where type = 'virtual' and schema = 'temp';"), "2");
    drop(input);
    checked(shell.wait_with_output().unwrap()).expect(0);
}

/// On a terminal there are prompts, an error ends nothing, and Ctrl-C ends the statement that runs, or else the shell.
#[test]
fn a_terminal_is_asked_and_interrupted() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "t"], "x\n".repeat(1000));
    let (mut terminal, other_end) = terminal();
    let mut shell = sandbox.command(&["sql", "data", "-o", "csv"]).stdin(other_end).spawn().unwrap();
    let mut out = shell.stdout.take().unwrap();
    let mut until = |wanted: &str| {
        let mut text = String::new();
        while !text.ends_with(wanted) {
            let mut byte = [0];
            out.read_exact(&mut byte).unwrap();
            text.push(byte[0] as char);
        }
        text
    };
    let interrupt = |id: u32| assert!(std::process::Command::new("kill").args(["-INT", &id.to_string()]).status().unwrap().success());
    until("\ntidelog> ");
    terminal.write_all(b"select x;\n").unwrap();
    until("tidelog> ");
    terminal.write_all(b"select 41 +\n").unwrap();
    until("    ...> ");
    terminal.write_all(b"1 as a;\n").unwrap();
    assert_eq!(until("tidelog> "), "a\n42\ntidelog> ");
    // Rows come for as long as it runs: it is under way when the first of them is there.
    terminal.write_all(b"select '' as a from t a, t b, t c where a._index + b._index + c._index >= 0;\n").unwrap();
    until("a\n\"\"\n");
    interrupt(shell.id());
    until("tidelog> ");
    terminal.write_all(b"select 7 as a;\n").unwrap();
    assert_eq!(until("tidelog> "), "a\n7\ntidelog> ");
    interrupt(shell.id());
    let run = checked(shell.wait_with_output().unwrap()).expect(130);
    assert!(run.stderr.contains("no such column: x") && run.stderr.contains("interrupted"), "{}", run.stderr);
}

/// A terminal, and what a program sees of it.
fn terminal() -> (std::fs::File, std::fs::File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, vec![]).unwrap();
    let other_end = std::fs::OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (terminal.into(), other_end)
}
