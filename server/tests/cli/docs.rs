//! The transcripts of the documentation, run: each command behind a `$`, and what it prints; and statements of SQL that stand
//! by themselves. Numbers that no run has in common are passed over, and so is a block below a comment that begins with `not run`, and says why.

use std::path::Path;
use std::process::Command;

use crate::sandbox::{PROGRAM, Sandbox};

#[test]
#[cfg(feature = "sqlite")]
fn readme() {
    check("README.md");
}

#[test]
#[cfg(feature = "sqlite")]
fn groups() {
    check("docs/groups.md");
}

#[test]
fn offsets() {
    check("docs/offsets.md");
}

#[test]
#[cfg(feature = "sqlite")]
fn offset_stores() {
    check("docs/offset-stores.md");
}

#[test]
#[cfg(feature = "sqlite")]
fn sql() {
    check("docs/sql.md");
}

/// The statements that stand by themselves, each on a record that it finds.
#[test]
#[cfg(feature = "sqlite")]
fn sql_statements() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sql.md")).unwrap();
    let sandbox = Sandbox::new();
    let store = tidelog::Store::open(sandbox.path("data")).unwrap();
    let record = tidelog::Record::new("12 apples").header("trace-id", Some(b"7c"));
    store.topic("orders").unwrap().partition(0).unwrap().append(record).unwrap();
    store.close().unwrap();
    let statements: Vec<_> = page.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!statements.is_empty());
    for statement in statements {
        let rows: Vec<_> =
            sandbox.ok(&["sql", "data", statement]).lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(rows, ["0 7c"], "{statement}");
    }
}

/// The blocks of a page, one after the other, in a directory with the program and the sample data.
fn check(page: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join(page)).unwrap();
    let sandbox = Sandbox::new();
    // An import keeps the path of its source: a log has as many bytes as were printed where paths are as long as there.
    let home = sandbox.path("").canonicalize().unwrap();
    let home = home.join("x".repeat(HOME_CHARS.checked_sub(home.as_os_str().len() + 1).expect("a directory for temporary files has a shorter path")));
    let data = home.join("server/data");
    std::fs::create_dir_all(&data).unwrap();
    for file in std::fs::read_dir(root.join("server/data")).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), data.join(file.file_name())).unwrap();
    }
    let search = std::env::join_paths([Path::new(PROGRAM).parent().unwrap(), "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
    let mut commands = 0;
    for (before, rest) in text.split("```console\n").zip(text.split("```console\n").skip(1)) {
        if before.lines().last().is_some_and(|line| line.starts_with("<!-- not run")) {
            continue;
        }
        let block = rest.split("```").next().unwrap();
        for transcript in format!("\n{block}").split("\n$ ").skip(1) {
            let (command, printed) = transcript.split_once('\n').unwrap_or((transcript, ""));
            // As a terminal shows it.
            let shell = Command::new("sh").args(["-c", &format!("exec 2>&1\n{command}")]).current_dir(&home).env("PATH", &search).output();
            let found = String::from_utf8(shell.unwrap().stdout).unwrap();
            assert_eq!(comparable(&found), comparable(printed), "{page}: $ {command}\nprinted:\n{found}");
            commands += 1;
        }
    }
    assert!(commands > 0, "{page}: no transcript found");
}

/// Without times, ages and identities, and how far apart columns are because of them.
fn comparable(text: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().map(comparable_word).collect::<Vec<_>>().join(" ");
    text.lines().map(words).filter(|line| !line.is_empty()).collect()
}

/// Fractions, and what has as many digits as only identities have, are taken for each other.
fn comparable_word(word: &str) -> String {
    let is_of_number = |c: char| c.is_ascii_digit() || "-:TZ".contains(c);
    let mut kept = String::new();
    let mut rest = word;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(at);
        let end = number.find(|c: char| !is_of_number(c) && c != '.').unwrap_or(number.len());
        let is_fraction = number[..end].split_once('.').is_some_and(|(_, fraction)| fraction.len() >= FRACTION_DIGITS_MIN);
        kept.push_str(before);
        kept.push_str(if is_fraction || is_time(&number[..end]) { "#" } else { &number[..end] });
        rest = &number[end..];
    }
    kept.push_str(rest);
    let (name, value) = word.rsplit_once('=').map_or(("", word), |(name, value)| (name, value));
    let is_identity = IDENTITY_DIGITS.contains(&value.len()) && value.chars().all(|c| c.is_ascii_hexdigit());
    if is_identity { format!("{name}#") } else { kept }
}

fn is_time(number: &str) -> bool {
    number.contains('T') && number.ends_with('Z')
}

/// Of the path of the directory that transcripts are run in.
const HOME_CHARS: usize = 80;
/// Of ages in seconds.
const FRACTION_DIGITS_MIN: usize = 3;
/// Of a salt, and of a uuid.
const IDENTITY_DIGITS: [usize; 2] = [16, 32];
