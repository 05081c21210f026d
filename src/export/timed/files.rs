//! Which files a directory of Parquet files has, however deep, or that a path is one itself. Reads no file, but for a Delta log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::export::delta_log::DeltaLog;
use crate::export::export_directory::EXTENSION;
use crate::export::import_error::ImportError;
use crate::export::target::Target;
use crate::io::Kind;

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundFile {
    /// Its path below the place that was looked at.
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// The Parquet files at `path`, in the order of their names. Names that begin with `.` or `_` are passed over, as other tools do; where there
/// is a Delta log, it says which files count.
pub(super) fn find(target: &Arc<dyn Target>, path: &Path) -> Result<Vec<FoundFile>, ImportError> {
    let mut files = Vec::new();
    match target.kind(path)? {
        None => {}
        Some(Kind::File) => {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            files.push(FoundFile { name, path: path.to_owned() });
        }
        Some(Kind::Directory | Kind::Other) => find_below(target, path, "", &mut files)?,
    }
    if files.is_empty() {
        return Err(ImportError::NoFiles { path: path.to_owned() });
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

fn find_below(target: &Arc<dyn Target>, directory: &Path, prefix: &str, files: &mut Vec<FoundFile>) -> Result<(), ImportError> {
    if let Some(named) = DeltaLog::files_of_all(target.clone(), directory)? {
        for name in named {
            if name.contains('%') {
                let reason = format!("its Delta log names {name}, a name with escapes, which this version does not read");
                return Err(ImportError::File { path: directory.to_owned(), reason });
            }
            files.push(FoundFile { path: directory.join(&name), name: format!("{prefix}{name}") });
        }
        return Ok(());
    }
    for entry in target.list(directory)? {
        let path = directory.join(&entry.name);
        let refused = |reason: &str| Err(ImportError::File { path: path.clone(), reason: reason.to_owned() });
        let is_parquet = path.extension().is_some_and(|extension| extension == EXTENSION);
        let Some(name) = entry.name.to_str() else {
            if is_parquet || entry.kind == Kind::Directory {
                return refused("its name is not Unicode");
            }
            continue;
        };
        if name.starts_with(['.', '_']) {
            continue;
        }
        match entry.kind {
            Kind::Directory => find_below(target, &path, &format!("{prefix}{name}/"), files)?,
            Kind::File if is_parquet => files.push(FoundFile { name: format!("{prefix}{name}"), path }),
            Kind::File => {}
            // What is left out in silence is not imported in silence.
            Kind::Other if is_parquet => return refused("a regular file was expected, and a symlink or something else is there"),
            Kind::Other => {}
        }
        if files.len() > FILES_MAX {
            return Err(ImportError::File { path: directory.to_owned(), reason: format!("it has more than {FILES_MAX} files") });
        }
    }
    Ok(())
}

/// The columns that the directories of a file are named after, `name=value`, as Hive does. A value that is null has a name of its own.
pub(super) fn hive_columns(name: &str) -> Vec<(String, Option<String>)> {
    let mut directories: Vec<&str> = name.split('/').collect();
    directories.pop();
    let pairs = directories.into_iter().filter_map(|directory| directory.split_once('='));
    pairs.map(|(name, value)| (unescaped(name), (value != "__HIVE_DEFAULT_PARTITION__").then(|| unescaped(value)))).collect()
}

/// Bytes may be written as `%` and two hexadecimal digits.
fn unescaped(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [byte, tail @ ..] = rest {
        let escaped = tail.first_chunk::<2>().filter(|_| *byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = escaped.filter(|digits| !digits.starts_with('+')).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

const FILES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_name_columns() {
        let found = |name: &str| hive_columns(name);
        assert_eq!(found("a=b.parquet"), []);
        let pair = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        assert_eq!(found("x/date=2024-01-01/at=1%3A2%+1%2/f.parquet"), [pair("date", "2024-01-01"), pair("at", "1:2%+1%2")]);
        assert_eq!(found("k=__HIVE_DEFAULT_PARTITION__/f"), [("k".to_owned(), None)]);
        assert_eq!(found("k=%ff/f"), [pair("k", "%ff")]);
    }
}
