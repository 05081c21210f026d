//! Holds the sources to what goodwill does not hold: imports point down, `unsafe` stands in one file, every file says what it is
//! for, functions fit a screen. Judges text, not types: it knows no macro expansion, and a path counts even under a false `cfg`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The engine's modules from the bottom up; those in one string may know each other. Below them all stands `tidelog_format`.
const LAYERS: [&str; 8] = ["error config clock", "io", "log", "topic store", "offset", "subscription", "group", "export"];

/// Where `unsafe` may stand: one file of the engine, and one of the tables for SQLite.
const UNSAFE_FILES: [&str; 2] = ["src/io/mmap.rs", "sql/src/vtab.rs"];

/// Lines between the braces of a function.
const BODY_LINES_MAX: usize = 70;

#[test]
fn imports_point_down() {
    let mut found = Vec::new();
    for file in sources(&["src", "format/src"]) {
        // The root re-exports from everywhere, and nothing may import through it.
        if file.name != "src/lib.rs" {
            found.extend(import_violations(&file));
        }
    }
    assert_none(&found);
}

#[test]
fn unsafe_stands_in_one_file_of_a_package() {
    let files = sources(&["src", "format/src", "server/src", "sql/src"]);
    let (allowed, others): (Vec<_>, Vec<_>) = files.iter().partition(|file| UNSAFE_FILES.contains(&file.name.as_str()));
    let seen = allowed.iter().filter(|file| !unsafe_violations(file).is_empty()).count();
    assert_eq!(seen, UNSAFE_FILES.len(), "no `unsafe` seen in one of {UNSAFE_FILES:?}: is the search blind?");
    assert_none(&others.into_iter().flat_map(unsafe_violations).collect::<Vec<_>>());
}

#[test]
fn every_file_says_what_it_is_for() {
    let files = sources(&["src", "format/src", "server", "tests", "benches", "examples", "fuzz", "sql"]);
    assert_none(&files.iter().flat_map(heading_violations).collect::<Vec<_>>());
}

#[test]
fn functions_fit_a_screen() {
    assert_none(&sources(&["src", "format/src", "server/src", "sql/src"]).iter().flat_map(length_violations).collect::<Vec<_>>());
}

fn assert_none(found: &[Violation]) {
    let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{} violations:\n{}", lines.len(), lines.join("\n"));
}

#[derive(Debug, PartialEq)]
struct Violation {
    file: String,
    line: usize,
    what: What,
}

#[derive(Debug, PartialEq)]
enum What {
    Upward { from: String, to: String },
    NoLayer { module: String },
    ThroughRoot { name: String },
    ForeignCrate { name: String },
    Unsafe,
    NoHeading,
    LongFunction { name: String, lines: usize },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        match &self.what {
            What::Upward { from, to } => write!(f, "`{from}` imports `{to}`, which lies above it"),
            What::NoLayer { module } => write!(f, "`{module}` has no layer: give it one in tests/it/layers.rs"),
            What::ThroughRoot { name } => write!(f, "`crate::{name}` hides where it comes from: name its module, or tidelog_format"),
            What::ForeignCrate { name } => write!(f, "imports `{name}`, which stands above this package"),
            What::Unsafe => write!(f, "`unsafe` outside {UNSAFE_FILES:?}"),
            What::NoHeading => write!(f, "the first line is not `//!` and what the file is for"),
            What::LongFunction { name, lines } => write!(f, "`{name}` has {lines} lines, at most {BODY_LINES_MAX} fit a screen"),
        }
    }
}

fn import_violations(file: &Source) -> Vec<Violation> {
    let tokens = tokens(&file.text);
    let module = file.module();
    let mut found = Vec::new();
    for (line, path) in paths(&module, &tokens) {
        let what = match path {
            UsedPath::Crate(name) if above(&file.name).contains(&name.as_str()) => What::ForeignCrate { name },
            UsedPath::Root(name) if file.name.starts_with("src/") => match judge(&module, name) {
                Some(what) => what,
                None => continue,
            },
            _ => continue,
        };
        found.push(Violation { file: file.name.clone(), line, what });
    }
    found
}

/// What is wrong when a file of `module` names `crate::to`.
fn judge(module: &[String], to: String) -> Option<What> {
    let from = module.first()?;
    match (layer(from), layer(&to)) {
        (None, _) => Some(What::NoLayer { module: from.clone() }),
        (_, None) if to.starts_with(|c: char| c.is_uppercase() || c == '*') => Some(What::ThroughRoot { name: to }),
        (_, None) => Some(What::NoLayer { module: to }),
        (Some(mine), Some(theirs)) => (theirs > mine).then(|| What::Upward { from: from.clone(), to }),
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.split(' ').any(|name| name == module))
}

/// The packages that a file's own package may not know.
fn above(file: &str) -> &'static [&'static str] {
    if file.starts_with("format/") { &["tidelog", "tidelog_server", "tidelog_sql"] } else { &["tidelog_server", "tidelog_sql"] }
}

fn unsafe_violations(file: &Source) -> Vec<Violation> {
    let tokens = tokens(&file.text);
    let hits = tokens.iter().filter(|token| token.text == "unsafe");
    hits.map(|token| Violation { file: file.name.clone(), line: token.line, what: What::Unsafe }).collect()
}

fn heading_violations(file: &Source) -> Option<Violation> {
    let says = file.text.lines().next().and_then(|line| line.strip_prefix("//! ")).is_some_and(|said| !said.trim().is_empty());
    (!says).then(|| Violation { file: file.name.clone(), line: 1, what: What::NoHeading })
}

fn length_violations(file: &Source) -> Vec<Violation> {
    let tokens = tokens(&file.text);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.text == "fn") {
        let Some(name) = tokens.get(at + 1).filter(|next| next.is_word()) else { continue };
        let Some(open) = (at..tokens.len()).find(|&i| matches!(tokens[i].text, "{" | ";")).filter(|&i| tokens[i].text == "{") else { continue };
        let Some(close) = matching_brace(&tokens, open) else { continue };
        let lines = (tokens[close].line - tokens[open].line).saturating_sub(1);
        if lines > BODY_LINES_MAX {
            let what = What::LongFunction { name: name.text.to_owned(), lines };
            found.push(Violation { file: file.name.clone(), line: token.line, what });
        }
    }
    found
}

fn matching_brace(tokens: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "{" => depth += 1,
            "}" if depth == 1 => return Some(at),
            "}" => depth -= 1,
            _ => {}
        }
    }
    None
}

/// A file under one of the searched directories, named by its path from the repository's root.
struct Source {
    name: String,
    text: String,
}

impl Source {
    /// The module that the file is: `src/log/segment.rs` is `[log, segment]`, `src/log/mod.rs` is `[log]`, the root is empty.
    fn module(&self) -> Vec<String> {
        let inside = self.name.split_once("src/").map_or(self.name.as_str(), |(_, inside)| inside);
        let path = inside.trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').filter(|name| !matches!(*name, "lib" | "main")).map(str::to_owned).collect()
    }
}

fn sources(directories: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut waiting: Vec<PathBuf> = directories.iter().map(|name| root.join(name)).filter(|path| path.is_dir()).collect();
    let mut files = Vec::new();
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                if entry.file_name() != "target" {
                    waiting.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.push(Source { name, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    assert!(files.iter().any(|file| file.name.ends_with("lib.rs") || file.name.ends_with("main.rs")), "no sources under {directories:?}");
    files
}

/// A path that leaves its module: its first name at the crate's root, or the other crate that it starts with.
#[derive(Debug, PartialEq)]
enum UsedPath {
    Root(String),
    Crate(String),
}

/// Every path in `tokens` that starts at the root, at another package of the workspace or at `super`, with its line.
fn paths(module: &[String], tokens: &[Token<'_>]) -> Vec<(usize, UsedPath)> {
    let mut found = Vec::new();
    let mut here = module.to_vec();
    let mut inline = Vec::new();
    let mut depth = 0;
    for at in 0..tokens.len() {
        let follows = |text: &str| tokens.get(at + 1).is_some_and(|next| next.text == text);
        let continues = at > 0 && tokens[at - 1].text == "::";
        match tokens[at].text {
            "{" => {
                depth += 1;
                if at >= 2 && tokens[at - 2].text == "mod" {
                    here.push(tokens[at - 1].text.to_owned());
                    inline.push(depth);
                }
            }
            "}" => {
                if inline.last() == Some(&depth) {
                    inline.pop();
                    here.pop();
                }
                depth -= 1;
            }
            "crate" if follows("::") => found.extend(roots(tokens, at + 2)),
            "super" if follows("::") && !continues => {
                let ups = (0..).take_while(|step| tokens.get(at + 2 * step).is_some_and(|token| token.text == "super")).count();
                if ups >= here.len() {
                    found.extend(roots(tokens, at + 2 * ups));
                }
            }
            name @ ("tidelog" | "tidelog_server" | "tidelog_sql") if follows("::") && !continues => {
                found.push((tokens[at].line, UsedPath::Crate(name.to_owned())));
            }
            _ => {}
        }
    }
    found
}

/// The names that stand first in what follows `crate::`: one, or one for each branch of a group.
fn roots(tokens: &[Token<'_>], at: usize) -> Vec<(usize, UsedPath)> {
    let name = |token: &Token<'_>| (token.line, UsedPath::Root(token.text.to_owned()));
    match tokens.get(at) {
        Some(first) if first.text == "{" => {
            let end = matching_brace(tokens, at).unwrap_or(tokens.len());
            let mut depth = 0;
            let mut found = Vec::new();
            for i in at..end {
                match tokens[i].text {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    _ => {}
                }
                let starts = matches!(tokens[i].text, "{" | ",") && depth == 1;
                found.extend(tokens.get(i + 1).filter(|next| starts && (next.is_word() || next.text == "*")).map(name));
            }
            found
        }
        Some(first) => vec![name(first)],
        None => Vec::new(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

impl Token<'_> {
    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Words, `::` and single marks; comments, strings, characters, lifetimes and blanks are left out.
fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (len, keep) = match skipped(rest) {
            Some(len) => (len, false),
            None if first.is_alphanumeric() || first == '_' => (word_len(rest), true),
            None if rest.starts_with("::") => (2, true),
            None => (first.len_utf8(), !first.is_whitespace()),
        };
        let (text, after) = rest.split_at(len);
        if keep {
            tokens.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    tokens
}

fn word_len(rest: &str) -> usize {
    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
}

/// The length of the comment, string, character or lifetime that `rest` starts with.
fn skipped(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment_len(rest));
    }
    if let Some(quoted) = rest.strip_prefix('\'') {
        return Some(1 + character_len(quoted));
    }
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix).unwrap_or("#x");
        after.starts_with('"') || prefix.ends_with('r') && after.trim_start_matches('#').starts_with('"')
    });
    if let Some(prefix) = prefix {
        return Some(string_len(rest, prefix));
    }
    rest.strip_prefix("b'").map(|quoted| 2 + character_len(quoted))
}

fn block_comment_len(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

/// What follows an opening `'`: a character up to its closing mark, or a lifetime's name.
fn character_len(quoted: &str) -> usize {
    let mut chars = quoted.char_indices();
    match chars.next() {
        Some((_, '\\')) => 2 + quoted.get(2..).and_then(|after| after.find('\'')).map_or(0, |at| at + 1),
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => word_len(quoted),
        },
        None => 0,
    }
}

fn string_len(rest: &str, prefix: &str) -> usize {
    let opened = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = opened.len() - opened.trim_start_matches('#').len();
        let close = format!("\"{}", "#".repeat(hashes));
        let body = prefix.len() + hashes + 1;
        return rest[body..].find(&close).map_or(rest.len(), |at| body + at + close.len());
    }
    let mut escaped = false;
    let end = opened.bytes().enumerate().skip(1).find(|&(_, byte)| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    end.map_or(rest.len(), |(at, _)| prefix.len() + at + 1)
}

fn check(name: &str, text: &str, violations: fn(&Source) -> Vec<Violation>, expected: &[(usize, What)]) {
    let found = violations(&Source { name: name.to_owned(), text: text.to_owned() });
    let found: Vec<_> = found.into_iter().map(|violation| (violation.line, violation.what)).collect();
    assert_eq!(found, expected, "in {name}:\n{text}");
}

fn upward(from: &str, to: &str) -> What {
    What::Upward { from: from.to_owned(), to: to.to_owned() }
}

#[test]
fn an_upward_import_is_found_however_it_is_written() {
    let export = || upward("log", "export");
    check("src/log/mod.rs", "//! x\nuse crate::export::Writer;", import_violations, &[(2, export())]);
    check("src/log/segment.rs", "fn f() { crate::export::write() }", import_violations, &[(1, export())]);
    check("src/log/segment.rs", "pub(crate) use super::super::export;", import_violations, &[(1, export())]);
    check("src/log/mod.rs", "use super::export::{Writer, Reader};", import_violations, &[(1, export())]);
    let group = "use crate::{\n io::File,\n export::{a, b},\n topic,\n};";
    check("src/log/mod.rs", group, import_violations, &[(3, export()), (4, upward("log", "topic"))]);
    check("src/log/a.rs", "mod tests {\n use super::super::super::export; }", import_violations, &[(2, export())]);
    check("src/io/mod.rs", "macro_rules! m { () => { $crate::log::f() } }", import_violations, &[(1, upward("io", "log"))]);
    check("src/clock.rs", "use crate::io;", import_violations, &[(1, upward("clock", "io"))]);
    check("src/log/mod.rs", "use tidelog_server::cli;", import_violations, &[(1, What::ForeignCrate { name: "tidelog_server".into() })]);
    check("format/src/scan.rs", "use tidelog::Store;", import_violations, &[(1, What::ForeignCrate { name: "tidelog".into() })]);
}

#[test]
fn a_hidden_or_unplaced_import_is_found() {
    let root = |name: &str| What::ThroughRoot { name: name.to_owned() };
    check("src/log/mod.rs", "use crate::Store;", import_violations, &[(1, root("Store"))]);
    check("src/log/mod.rs", "use crate::*;", import_violations, &[(1, root("*"))]);
    check("src/log/mod.rs", "use crate::attic::x;", import_violations, &[(1, What::NoLayer { module: "attic".into() })]);
    check("src/attic.rs", "use crate::io::x;", import_violations, &[(1, What::NoLayer { module: "attic".into() })]);
}

#[test]
fn what_points_down_or_stays_inside_is_let_through() {
    let allowed = "
        // use crate::export::Writer;
        /* use crate::export; /* nested */ use crate::topic; */
        use crate::error::OpenError;
        use crate::{clock, io::{File, Storage}};
        use super::segment::Segment;
        use tidelog_format::Offset;
        pub(crate) const TEXT: &str = \"use crate::export::x \\\" crate::topic\";
        const RAW: &[u8] = br#\"\" crate::export::x \"#;
        fn quote<'a>(c: &'a char) -> bool { *c == '\"' || *c == '\\'' || *c == b'\"' as char }
        mod inner { use super::File; fn f() { super::super::segment::g() } }
    ";
    check("src/log/reader.rs", allowed, import_violations, &[]);
    check("src/topic/store.rs", "use crate::store::Store; use crate::log::Log;", import_violations, &[]);
    check("format/src/scan.rs", "use crate::frame::Frame; use tidelog_format::x;", import_violations, &[]);
}

#[test]
fn unsafe_is_found_in_code_and_nowhere_else() {
    check("src/log/mod.rs", "fn f() {\n unsafe { g() } }", unsafe_violations, &[(2, What::Unsafe)]);
    check("src/log/mod.rs", "#![deny(unsafe_code)] // unsafe\nconst S: &str = \"unsafe\";", unsafe_violations, &[]);
}

#[test]
fn a_file_without_a_heading_is_found() {
    let heading = |file: &Source| heading_violations(file).into_iter().collect();
    check("src/x.rs", "//! Reads. Never writes.\nuse std::io;", heading, &[]);
    for text in ["use std::io;", "//!", "//! \n", "", "\n//! Late.", "// Plain."] {
        check("src/x.rs", text, heading, &[(1, What::NoHeading)]);
    }
}

#[test]
fn a_long_function_is_found() {
    let body = |lines: usize| format!("trait T {{ fn declared(&self); }}\nfn long() -> fn(u8) {{\n{}}}", "{ }\n".repeat(lines));
    check("src/x.rs", &body(BODY_LINES_MAX), length_violations, &[]);
    let what = What::LongFunction { name: "long".into(), lines: BODY_LINES_MAX + 1 };
    check("src/x.rs", &body(BODY_LINES_MAX + 1), length_violations, &[(2, what)]);
}
