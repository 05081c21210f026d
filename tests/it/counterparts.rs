//! `docs/seaweedmq.md` against the tests: what it names is a test that is there, and each row says which, or why there is none. Runs none of them.

use std::fs;
use std::path::PathBuf;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("docs/seaweedmq.md")).unwrap()
}

/// Of each row of the tables: its first cell, and its last one.
fn rows(page: &str) -> Vec<(&str, &str)> {
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| # |") && !line.starts_with("| name |");
    let ends = |line| str::strip_prefix(line, "| ").and_then(|line| line.strip_suffix(" |")).unwrap_or_else(|| panic!("no row: {line}"));
    page.lines().filter(is_row).map(ends).map(|row| (row.split(" | ").next().unwrap(), row.split(" | ").last().unwrap())).collect()
}

/// What stands in backticks and is a path.
fn tests_named(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|code| code.contains("::"))
}

/// Where a test stands: `module::name` is of the engine, and `crate::module::name` of one beside it.
fn place(test: &str) -> (String, &str) {
    match test.split("::").collect::<Vec<_>>()[..] {
        [module, name] => (format!("tests/it/{module}.rs"), name),
        ["cli", module, name] => (format!("server/tests/cli/{module}.rs"), name),
        [of @ ("format" | "sql"), module, name] => (format!("{of}/tests/it/{module}.rs"), name),
        _ => panic!("{test} names no test"),
    }
}

fn is_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let Some(at) = lines.iter().position(|line| line.trim_start_matches("async ").starts_with(&format!("fn {name}("))) else { return false };
    lines[..at].iter().rev().take_while(|line| line.starts_with('#') || line.starts_with("//")).any(|line| *line == "#[test]")
}

#[test]
fn every_counterpart_is_a_test() {
    let page = page();
    assert!(tests_named(&page).count() >= NAMED_MIN, "{} tests are named", tests_named(&page).count());
    for test in tests_named(&page) {
        let (path, name) = place(test);
        let source = fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{test}: {path}: {error}"));
        assert!(is_test(&source, name), "{path} has no test {name}");
    }
}

#[test]
fn every_defect_has_one_row() {
    let page = page();
    let defects: Vec<&str> = rows(&page).into_iter().map(|(first, _)| first).filter(|first| first.starts_with('D') && !first.contains('`')).collect();
    assert_eq!(defects, (1..=25).map(|number| format!("D{number}")).collect::<Vec<_>>());
}

#[test]
fn every_row_has_a_test_or_says_why_not() {
    let page = page();
    let mut seen = std::collections::HashSet::new();
    for (first, last) in rows(&page) {
        assert!(seen.insert(first), "{first} is there twice");
        let is_reason = ["not here: ", "not tested: "].iter().any(|reason| last.starts_with(reason) && last.len() > reason.len());
        assert!(is_reason || tests_named(last).next().is_some(), "{first}: {last:?} is neither a test nor a reason");
    }
}

#[test]
fn what_is_no_test_is_found() {
    let source = "#[test]\n/// Why.\nfn one() {}\n\nfn two() {}\n    #[test]\n    fn three(x in 0..1) {}\n#[test]\n#[cfg(unix)]\nfn four() {}\n";
    let is_one = |name| is_test(source, name);
    assert_eq!(["one", "two", "three", "four", "fou", "five"].map(is_one), [true, false, true, true, false, false]);
}

const NAMED_MIN: usize = 150;
