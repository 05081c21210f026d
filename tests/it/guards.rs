//! The guards of `.ci/guards.d` against the source, the tests and `docs/guards.md`: what no longer fits is found here, before `.ci/guards`
//! takes the time to build. Takes no guard away itself.

use std::fs;
use std::path::{Path, PathBuf};

/// A guard as its file has it.
struct Guard {
    name: String,
    removed: String,
    killed_by: String,
    features: Vec<String>,
    change: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn guards() -> Vec<Guard> {
    let mut guards: Vec<Guard> = fs::read_dir(root().join(".ci/guards.d")).unwrap().map(|entry| guard(&entry.unwrap().path())).collect();
    guards.sort_by(|a, b| a.name.cmp(&b.name));
    guards
}

fn guard(path: &Path) -> Guard {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let text = fs::read_to_string(path).unwrap();
    let (removed, rest) = text.split_once('\n').unwrap();
    let (killed_by, change) = rest.split_once('\n').unwrap();
    let field = |line: &str, field: &str| line.strip_prefix(field).unwrap_or_else(|| panic!("{name}: {line:?} is no {field}")).to_owned();
    let features = change.lines().next().and_then(|line| line.strip_prefix("Features: "));
    let features = features.map_or_else(Vec::new, |features| features.split(',').map(str::to_owned).collect());
    Guard { removed: field(removed, "Removed: "), killed_by: field(killed_by, "Killed by: "), features, change: change.to_owned(), name }
}

#[test]
fn every_guard_applies_to_the_source() {
    let guards = guards();
    assert!(guards.len() >= GUARDS_MIN, "{} guards", guards.len());
    for guard in guards {
        let mut hunks = 0;
        for file in guard.change.split("--- a/").skip(1) {
            let (path, change) = file.split_once('\n').unwrap();
            let source = fs::read_to_string(root().join(path)).unwrap();
            for hunk in change.split("\n@@").skip(1) {
                let lines = hunk.lines().skip(1);
                let before: String =
                    lines.filter(|line| !line.starts_with('+')).map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect();
                assert_eq!(source.matches(&before).count(), 1, "{}: a hunk of {path} is not there once:\n{before}", guard.name);
                hunks += 1;
            }
        }
        assert!(hunks > 0, "{} changes nothing", guard.name);
    }
}

#[test]
fn every_killer_is_a_test() {
    let modules = fs::read_to_string(root().join("tests/it/main.rs")).unwrap();
    for Guard { name, killed_by, features, .. } in guards() {
        let (kind, which) = killed_by.split_once(' ').unwrap();
        let (module, test) = which.rsplit_once("::").unwrap_or(("", which));
        let module = module.replace("::tests", "").replace("::", "/");
        let path = match kind {
            "crash" => {
                let _seed: u64 = which.parse().unwrap_or_else(|_| panic!("{name}: {which} is no seed"));
                continue;
            }
            "it" => format!("tests/it/{module}.rs"),
            "format" => format!("format/tests/it/{module}.rs"),
            // Tests in a file of their own stand beside the module.
            "unit" if root().join(format!("src/{module}/tests.rs")).exists() => format!("src/{module}/tests.rs"),
            "unit" => format!("src/{module}.rs"),
            other => panic!("{name}: no kind of test is named {other}"),
        };
        let source = fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{name}: {path}: {error}"));
        let is_test = |indent: &str| source.contains(&format!("#[test]\n{indent}fn {test}("));
        assert!(is_test("") || is_test("    "), "{name}: {path} has no {test}");
        // Left out of the build, it could not go red.
        let declared = modules.split_once(&format!("\nmod {module};")).filter(|_| kind == "it");
        let needed = declared.and_then(|(before, _)| before.lines().last()?.strip_prefix("#[cfg(feature = \"")?.strip_suffix("\")]"));
        assert!(needed.is_none_or(|needed| features.iter().any(|feature| feature == needed)), "{name}: {path} needs the feature {needed:?}");
    }
}

#[test]
fn the_table_is_that_of_the_guards() {
    let docs = fs::read_to_string(root().join("docs/guards.md")).unwrap();
    let found: Vec<&str> = docs.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = guards().iter().map(|guard| format!("| `{}` | {} | `{}` |", guard.name, guard.removed, guard.killed_by)).collect();
    assert_eq!(found, expected);
}

const GUARDS_MIN: usize = 25;
