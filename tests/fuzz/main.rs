//! Replays what fuzzing found: every input of `fuzz/seeds`, and the golden files, through the function that its fuzz target runs.
//! `TIDELOG_FUZZ_INPUT=FILE` runs that one instead.

#![allow(clippy::disallowed_methods, reason = "the corpus is outside of the engine")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, which clippy.toml does not know")]

#[path = "../../fuzz/targets/lib.rs"]
mod targets;

mod made;

use std::fs;
use std::path::{Path, PathBuf};

use targets::TARGETS;

fn seeds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds")
}

/// The inputs of a directory, by name.
fn inputs(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_none_or(|extension| extension != "md")).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn replay(target: &str) {
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    if let Some(path) = std::env::var_os("TIDELOG_FUZZ_INPUT") {
        return run(&fs::read(path).unwrap());
    }
    let corpus = inputs(&seeds().join(target));
    assert!(!corpus.is_empty(), "{target} has no corpus");
    for (path, bytes) in corpus.iter().chain(&inputs(&Path::new(env!("CARGO_MANIFEST_DIR")).join("format/golden"))) {
        // The input that fails is the last one named.
        println!("{}", path.display());
        run(bytes);
    }
}

macro_rules! replayed {
    ($($(#[$condition:meta])? $target:ident)*) => {
        $($(#[$condition])?
        #[test]
        fn $target() {
            replay(stringify!($target));
        })*

        #[test]
        fn every_target_is_replayed() {
            let here = [$($(#[$condition])? stringify!($target)),*];
            assert!(TARGETS.iter().map(|(name, _)| *name).eq(here));
            let mut dirs: Vec<_> = fs::read_dir(seeds()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            dirs.retain(|name| is_built(name));
            dirs.sort();
            assert_eq!(dirs, here);
            let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
            let mut names: Vec<_> = inputs(&sources).into_iter().map(|(path, _)| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
            names.retain(|name| is_built(name));
            names.sort();
            assert_eq!(names, here);
        }
    };
}

/// Whether the features of this build have the target.
fn is_built(target: &str) -> bool {
    cfg!(feature = "parquet") || target != "parquet_import"
}

replayed!(checkpoint consumer_protocol crash frame headers image index live #[cfg(feature = "parquet")] parquet_import record resolve scan);

/// It is in the repository, and everybody carries it.
#[test]
fn the_corpus_is_small() {
    let bytes: usize = TARGETS.iter().flat_map(|(name, _)| inputs(&seeds().join(name))).map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes < 336 << 10, "{bytes} bytes");
}

#[test]
#[ignore = "writes the seeds that are made by hand: run it by name after a change of the format"]
fn make_seeds() {
    for (target, name, bytes) in made::seeds() {
        fs::create_dir_all(seeds().join(target)).unwrap();
        fs::write(seeds().join(target).join(format!("made-{name}")), bytes).unwrap();
    }
}

/// What an input of the target `image` says of a directory is what is made of it again.
#[test]
fn a_directory_is_what_it_encodes_to() {
    let mut files = 0;
    for (path, bytes) in inputs(&seeds().join("image")) {
        let directory = targets::directory::Directory::decode(&bytes).unwrap_or_default();
        files += directory.files.len();
        assert_eq!(targets::directory::Directory::decode(&directory.encode()), Some(directory), "{}", path.display());
    }
    assert!(files > 50, "{files} files in all");
}
