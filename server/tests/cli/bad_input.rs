//! Everything that can be given wrongly: a clear error, the right exit code, nothing lost, no panic.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Stdio};

use crate::sandbox::{PROGRAM, Run, Sandbox, run_command};

#[test]
fn unknown_commands_and_flags() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["frobnicate"][..],
        &["cat"],
        &["cat", "data"],
        &["cat", "data", "logs", "--nope"],
        &["cat", "data", "logs", "extra"],
        &["cat", "data", "logs", "--output", "xml"],
        &["cat", "data", "logs", "--count", "-1"],
        &["cat", "data", "logs", "--count", "18446744073709551616"],
        &["cat", "data", "logs", "--from", "yesterday"],
        &["cat", "data", "logs", "--from", "9223372036854775808"],
        &["cat", "data", "logs", "--from", "-9223372036854775808"],
        &["cat", "data", "logs", "--from", "99999999999d"],
        &["cat", "data", "logs", "--from", "-2h"],
        &["cat", "data", "logs", "-p", "-1"],
        &["cat", "data", "logs", "--delimiter", "\\q"],
        &["append", "data", "logs", "--format", "csv"],
        &["append", "data", "logs", "--ack", "maybe"],
        &["append", "data", "logs", "--key", ".k"],
        &["import", "data", "logs", "--format", "ndjson", "--key", "k"],
        &["import", "data", "logs", "--format", "ndjson", "--timestamp-unit", "ms"],
        &["import", "data", "logs", "--format", "csv", "--separator", "ab"],
        &["tail", "data", "logs", "--from", ""],
        &["info", "data", "-p", "0"],
    ] {
        let run = sandbox.run(arguments).expect(2);
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{arguments:?}");
        assert!(!sandbox.path("data").exists(), "{arguments:?} made a store");
    }
}

#[test]
fn missing_directories_and_files() {
    let sandbox = Sandbox::new();
    for command in [&["cat", "data", "logs"][..], &["tail", "data", "logs"], &["info", "data"], &["verify", "data"]] {
        sandbox.run(command).expect(1).says("no store at data");
    }
    sandbox.run(&["import", "data", "logs", "missing"]).expect(1).says("missing");
    sandbox.run(&["import", "data", "logs", "."]).expect(1).says("a directory");
    assert!(!sandbox.path("data").exists(), "nothing was made for what was not there");
}

#[test]
fn a_file_where_a_directory_is_expected() {
    let sandbox = Sandbox::new();
    sandbox.write("data", "precious");
    for command in [&["cat", "data", "logs"][..], &["append", "data", "logs"], &["info", "data"], &["verify", "data"]] {
        let run = sandbox.run(command).says("not a directory");
        assert!(matches!(run.code, Some(1 | 3)), "{run:?}");
    }
    assert_eq!(std::fs::read(sandbox.path("data")).unwrap(), b"precious");
}

#[test]
fn a_directory_that_is_no_store_is_refused_untouched() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("data")).unwrap();
    sandbox.write("data/photo.jpg", "precious");
    let before = sandbox.snapshot("data");
    for command in [&["append", "data", "logs"][..], &["import", "data", "logs", "-"], &["cat", "data", "logs"]] {
        sandbox.run(command).expect(3).says("not a tidelog store");
    }
    assert_eq!(sandbox.snapshot("data"), before);
}

#[test]
fn a_directory_of_topics_is_no_store_by_that_alone() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("data/topics")).unwrap();
    sandbox.write("data/notes.txt", "precious");
    let before = sandbox.snapshot("data");
    for command in [&["append", "data", "logs"][..], &["import", "data", "logs", "-"], &["cat", "data", "logs"], &["info", "data"]] {
        sandbox.run(command).expect(3).says("not a tidelog store");
    }
    assert_eq!(sandbox.snapshot("data"), before);
}

#[test]
fn a_store_that_was_being_made_when_its_maker_was_killed_is_made() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "made", "logs"], "x\n");
    let meta = std::fs::read(sandbox.path("made/STORE")).unwrap();
    let states: [&[(&str, &[u8])]; 5] = [
        &[],
        &[("STORE.tmp", &meta[..7])],
        &[("STORE", &meta)],
        &[("STORE", &meta), ("topics/", b"")],
        &[("STORE", &meta), ("LOCK.tmp", b"1"), ("LIVE.tmp", b""), ("topics/", b"")],
    ];
    for (number, state) in states.iter().enumerate() {
        let dir = format!("data-{number}");
        std::fs::create_dir(sandbox.path(&dir)).unwrap();
        for (name, bytes) in *state {
            let path = sandbox.path(&dir).join(name);
            if name.ends_with('/') { std::fs::create_dir(path).unwrap() } else { std::fs::write(path, bytes).unwrap() }
        }
        sandbox.ok_with(&["append", &dir, "logs"], "x\n");
        assert_eq!(sandbox.ok(&["cat", &dir, "logs", "--output", "raw"]), "x\n");
    }
}

#[test]
fn help_that_cannot_be_printed_is_a_failure() {
    let sandbox = Sandbox::new();
    for arguments in [&["--help"][..], &["--version"], &["import", "--help"], &["man"], &["completions", "bash"]] {
        let mut command = sandbox.command(arguments);
        command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        run_command(command, b"").expect(1).says("No space left on device");
        sandbox.run_unread(arguments, b"").expect(0);
    }
}

#[test]
fn arguments_that_are_not_utf_8() {
    let sandbox = Sandbox::new();
    let odd = OsString::from_vec(b"odd-\xff".to_vec());
    let mut command = sandbox.command(&["append", "data"]);
    command.arg(&odd);
    run_command(command, b"x\n").expect(2);

    let mut command = sandbox.command(&["append"]);
    command.arg(&odd).arg("logs");
    run_command(command, b"x\n").expect(0);
    let mut command = sandbox.command(&["cat"]);
    command.arg(&odd).args(["logs", "--output", "raw", "--key"]).arg(&odd);
    assert!(run_command(command, b"").expect(0).stdout.is_empty());

    let file = sandbox.path("").join(OsString::from_vec(b"file-\xff".to_vec()));
    std::fs::write(&file, "y\n").unwrap();
    for _ in 0..2 {
        let mut command = sandbox.command(&["import", "data", "logs"]);
        command.arg(&file);
        run_command(command, b"").expect(0);
    }
    assert_eq!(sandbox.raw("logs"), b"y\n");
}

#[test]
fn data_that_is_not_utf_8_is_kept_by_lines_and_named_by_ndjson() {
    let sandbox = Sandbox::new();
    sandbox.write("log", b"\xff\xfe\n\xc3\n");
    sandbox.ok(&["import", "data", "logs", "log"]);
    assert_eq!(sandbox.raw("logs"), b"\xff\xfe\n\xc3\n");
    sandbox.run(&["import", "data", "json", "log", "--format", "ndjson"]).expect(1).says("log: line 1: not UTF-8");
}

#[test]
fn oversized_records() {
    let sandbox = Sandbox::new();
    let long = [&b"first\n"[..], &vec![b'x'; 5000], b"\nlast\n"].concat();
    let run =
        sandbox.run_with(&["append", "data", "logs", "--set", "batch_bytes_max=4KiB", "--print-acks"], &long).expect(3).says("line 2: longer than");
    assert_eq!(run.text().lines().count(), 3);
    assert_eq!(sandbox.raw("logs"), b"first\n");
    let frame = [&u32::MAX.to_le_bytes()[..], &[0; 8], b"short"].concat();
    sandbox.run_with(&["append", "data", "logs", "--format", "frames"], &frame).expect(1).says("frame 1 at byte 0: longer than");
    sandbox.run_with(&["append", "data", "logs", "--format", "frames"], &[9, 0, 0, 0, 1]).expect(1).says("ends after 5 of 12 bytes");
}

#[test]
fn topic_names_that_are_none() {
    let sandbox = Sandbox::new();
    for name in ["", ".", "..", "a/b/c", "/a", "a/", "a b", "a\nb", "..\\x", &"x".repeat(300)] {
        let run = sandbox.run_with(&["append", "data", name], b"x\n").expect(2);
        assert_eq!(run.stderr.lines().count(), 1, "{name:?}: {}", run.stderr);
        let run = sandbox.run_with(&["append", "data", name, "--print-acks"], b"x\n").expect(2);
        assert!(run.stdout.is_empty(), "{name:?}: {run:?}");
        sandbox.run_with(&["import", "data", name, "-"], b"x\n").expect(2);
        assert!(!sandbox.path("data").exists(), "{name:?} made a store");
    }
    sandbox.run_with(&["append", "data", "logs", "--partitions", "4097", "--print-acks"], b"x\n").expect(2).says("4096");
    assert!(!sandbox.path("data").exists());
}

#[test]
fn a_partition_that_does_not_exist_is_an_error_whatever_its_number() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs", "--partitions", "2"], "x\n");
    sandbox.write("file", "y\n");
    for number in ["2", "4294967295"] {
        for command in [
            &["import", "data", "logs", "file"][..],
            &["append", "data", "logs"],
            &["cat", "data", "logs"],
            &["tail", "data", "logs"],
            &["info", "data", "logs"],
            &["verify", "data", "logs"],
            &["export", "data", "logs", "--to", "out"],
        ] {
            let run = sandbox.run_with(&[command, &["-p", number]].concat(), b"z\n").expect(1).says(&format!("there is no partition {number}"));
            assert!(run.stdout.is_empty(), "{command:?}: {run:?}");
        }
    }
    assert_eq!(sandbox.raw("logs"), b"x\n");
}

#[test]
fn a_stray_directory_is_no_partition() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs"], "x\n");
    for stray in ["logs/4294967295", "logs/4096", "logs/007", "logs/+7", "logs/notes", "empty", "empty/4294967295"] {
        std::fs::create_dir(sandbox.path("data/topics/default").join(stray)).unwrap();
        assert_eq!(sandbox.raw("logs"), b"x\n", "{stray}");
        let info: serde_json::Value = serde_json::from_str(&sandbox.ok(&["info", "data", "--json"])).unwrap();
        assert_eq!(info["partitions"].as_array().unwrap().len(), 1, "{stray}: {info}");
    }
    sandbox.ok_with(&["append", "data", "logs"], "y\n");
    assert_eq!(sandbox.raw("logs"), b"x\ny\n");
}

/// Runs the program below a limit on the size of its files: what a full disk does, without being root.
fn below_a_file_limit(sandbox: &Sandbox, arguments: &str, input: &[u8]) -> Run {
    let script = format!("trap '' XFSZ; ulimit -f 256; exec '{PROGRAM}' {arguments}");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(sandbox.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
    run_command(command, input)
}

#[test]
fn a_file_that_cannot_grow_is_an_error_and_nothing_acknowledged_is_lost() {
    let sandbox = Sandbox::new();
    let lines = "a line of some length, to fill the segment\n".repeat(20_000);
    let run = below_a_file_limit(&sandbox, "append data logs --print-acks", lines.as_bytes());
    assert!(matches!(run.code, Some(1 | 3)), "{run:?}");
    let acked = run.text().lines().filter(|line| line.contains("acked")).count();
    let kept = sandbox.raw("logs").len() / "a line of some length, to fill the segment\n".len();
    assert!(kept >= acked, "{kept} of {acked}");

    sandbox.write("log", &lines);
    let run = below_a_file_limit(&sandbox, "import data imported log", b"");
    assert!(matches!(run.code, Some(1 | 3)), "{run:?}");
    sandbox.ok(&["import", "data", "imported", "log"]);
    assert_eq!(sandbox.raw("imported"), lines.as_bytes(), "with room, it goes on");
}

/// Runs a script as root of its own namespaces, where it may mount; `None` where the system does not allow that.
fn with_mounts(sandbox: &Sandbox, script: &str) -> Option<Run> {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).current_dir(sandbox.path(""));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let allowed = unshare("mkdir -p mnt && mount -t tmpfs tmpfs mnt").output().is_ok_and(|output| output.status.success());
    if !allowed {
        eprintln!("skipped: this system lets nobody mount in a namespace");
        return None;
    }
    Some(run_command(unshare(script), b""))
}

#[test]
fn a_full_disk_is_an_error_and_what_is_there_stays() {
    let sandbox = Sandbox::new();
    let lines = "a line of some length, to fill the disk\n".repeat(200_000);
    sandbox.write("log", &lines);
    let script = format!(
        "mount -t tmpfs -o size=4m tmpfs mnt || exit 99
         '{PROGRAM}' append mnt/data logs --print-acks < log > acks; code=$?
         '{PROGRAM}' cat mnt/data logs --output raw > kept || exit 98
         '{PROGRAM}' verify mnt/data >&2 || exit 97
         exit $code"
    );
    let Some(run) = with_mounts(&sandbox, &script) else { return };
    assert!(matches!(run.code, Some(1 | 3)), "{run:?}");
    let acked = std::fs::read_to_string(sandbox.path("acks")).unwrap().lines().filter(|line| line.contains("acked")).count();
    let kept = std::fs::read(sandbox.path("kept")).unwrap();
    assert!(acked > 1000 && kept.len() >= acked * 40 && lines.as_bytes().starts_with(&kept), "{acked} acked, {} bytes kept", kept.len());
}

#[test]
fn a_read_only_disk_can_be_read() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs"], "x\n");
    let script = format!(
        "mount --bind data mnt && mount -o remount,ro,bind mnt || exit 99
         echo y | '{PROGRAM}' append mnt logs && exit 98
         '{PROGRAM}' cat mnt logs --output raw && '{PROGRAM}' verify mnt >&2"
    );
    let Some(run) = with_mounts(&sandbox, &script) else { return };
    let run = run.expect(0).says("Read-only file system");
    assert_eq!(run.stdout, b"x\n");
}
