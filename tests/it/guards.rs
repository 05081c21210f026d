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
        let attributes = lines_before(&source, |line| line.trim_start().starts_with(&format!("fn {test}(")));
        let conditions = [conditions_of(&path), cfgs(&attributes.unwrap())].concat();
        check_built(&name, &path, &conditions, &features);
    }
}

/// A change of what is left out of the build changes nothing.
#[test]
fn every_changed_file_is_built() {
    for Guard { name, features, change, .. } in guards() {
        for path in change.lines().filter_map(|line| line.strip_prefix("--- a/")) {
            check_built(&name, path, &conditions_of(path), &features);
        }
    }
}

fn check_built(name: &str, path: &str, conditions: &[String], features: &[String]) {
    let features = with_implied(features);
    for condition in conditions {
        let holds = holds(condition, &features).unwrap_or_else(|| panic!("{name}: {path}: cfg({condition}) is not understood"));
        assert!(holds, "{name}: {path} needs cfg({condition}), and has the features {features:?}");
    }
}

/// What the modules down to a file are built on.
fn conditions_of(path: &str) -> Vec<String> {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (root, modules) = ROOTS.iter().find_map(|root| Some((*root, path.strip_prefix(root)?.strip_suffix(".rs")?))).unwrap();
    let mut dir = self::root().join(root);
    let mut file = ["lib.rs", "main.rs"].map(|file| dir.join(file)).into_iter().find(|file| file.exists()).unwrap();
    let mut conditions = Vec::new();
    for module in modules.split('/').filter(|module| !["lib", "main", "mod"].contains(module)) {
        let is_declared = |line: &str| line.trim_start_matches("pub(crate) ").trim_start_matches("pub ") == format!("mod {module};");
        let attributes = lines_before(&read(&file), is_declared).unwrap_or_else(|| panic!("{} declares no {module}", file.display()));
        conditions.extend(cfgs(&attributes));
        dir.push(module);
        file = [dir.with_extension("rs"), dir.join("mod.rs")].into_iter().find(|file| file.exists()).unwrap();
    }
    conditions.extend(read(&file).lines().filter(|line| line.starts_with("#![cfg(")).map(|line| condition(line, "#![cfg(")));
    conditions
}

/// The attributes and comments before a line.
fn lines_before(text: &str, is_it: impl Fn(&str) -> bool) -> Option<Vec<String>> {
    let lines: Vec<&str> = text.lines().collect();
    let before = lines[..lines.iter().position(|line| is_it(line))?].iter().rev();
    Some(before.map(|line| line.trim_start().to_owned()).take_while(|line| line.starts_with('#') || line.starts_with("//")).collect())
}

fn cfgs(attributes: &[String]) -> Vec<String> {
    attributes.iter().filter(|line| line.starts_with("#[cfg(")).map(|line| condition(line, "#[cfg(")).collect()
}

/// What stands in an attribute; all of the line, which nobody understands, if that is not the whole of it.
fn condition(line: &str, before: &str) -> String {
    line.strip_prefix(before).and_then(|line| line.strip_suffix(")]")).unwrap_or(line).to_owned()
}

/// Whether a condition holds in a test with these features; `None` if it is not understood.
fn holds(condition: &str, features: &[String]) -> Option<bool> {
    let (call, rest) = condition.split_once('(').unwrap_or((condition, ""));
    let all_hold = || arguments(rest.strip_suffix(')')?).iter().map(|argument| holds(argument, features)).collect::<Option<Vec<bool>>>();
    match call {
        "test" => Some(true),
        "doctest" | "tidelog_loom" => Some(false),
        "not" => match all_hold()?[..] {
            [holds] => Some(!holds),
            _ => None,
        },
        "all" => Some(all_hold()?.iter().all(|holds| *holds)),
        "any" => Some(all_hold()?.iter().any(|holds| *holds)),
        _ => {
            let feature = condition.strip_prefix("feature = \"")?.strip_suffix('"')?;
            (!feature.contains('"')).then(|| features.iter().any(|known| known == feature))
        }
    }
}

/// Splits at the commas that are in no parentheses.
fn arguments(list: &str) -> Vec<&str> {
    let mut depth = 0;
    let is_end = |character: char| {
        depth += i32::from(character == '(') - i32::from(character == ')');
        character == ',' && depth == 0
    };
    list.split(is_end).map(str::trim).collect()
}

/// Features, with those that they bring along, and the one that all tests have.
fn with_implied(features: &[String]) -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut all = [features, &["test-util".to_owned()]].concat();
    let mut next = 0;
    while let Some(feature) = all.get(next) {
        let (_, brought) = manifest.split_once(&format!("\n{feature} = [")).unwrap_or_else(|| panic!("no feature is named {feature}"));
        let (brought, _) = brought.split_once(']').unwrap();
        all.extend(brought.split(", ").map(|name| name.trim_matches('"').to_owned()).filter(|name| !name.is_empty() && !name.contains(':')));
        next += 1;
    }
    all
}

#[test]
fn conditions_are_understood_or_refused() {
    let features = with_implied(&["object_store".to_owned()]);
    for (line, expected) in [
        ("#[cfg(test)]", Some(true)),
        ("#[cfg(feature = \"parquet\")]", Some(true)),
        ("#[cfg(feature = \"sqlite\")]", Some(false)),
        ("#[cfg(any(feature = \"sqlite\", feature = \"parquet\"))]", Some(true)),
        ("#[cfg(all(feature = \"sqlite\", feature = \"parquet\"))]", Some(false)),
        ("#[cfg(all(test, not(any(tidelog_loom, feature = \"sqlite\"))))]", Some(true)),
        ("#[cfg(target_arch = \"x86_64\")]", None),
        ("#[cfg(not(test, test))]", None),
        ("#[cfg(any(feature = \"sqlite\", unheard_of))]", None),
        ("#[cfg(feature = \"parquet\")] // why", None),
        ("#[cfg(any(", None),
    ] {
        assert_eq!(holds(&cfgs(&[line.to_owned()])[0], &features), expected, "{line}");
    }
    assert_eq!(conditions_of("src/offset/store/sqlite/tests.rs"), ["feature = \"sqlite\"", "test"]);
}

#[test]
fn the_table_is_that_of_the_guards() {
    let docs = fs::read_to_string(root().join("docs/guards.md")).unwrap();
    let found: Vec<&str> = docs.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = guards().iter().map(|guard| format!("| `{}` | {} | `{}` |", guard.name, guard.removed, guard.killed_by)).collect();
    assert_eq!(found, expected);
}

const GUARDS_MIN: usize = 25;
/// Where the modules of a crate or a test begin.
const ROOTS: [&str; 4] = ["src/", "format/src/", "tests/it/", "format/tests/it/"];
