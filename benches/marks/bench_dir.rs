//! A directory on the disk that the build is on, removed when dropped. Never under /tmp, which may be memory.

use std::path::{Path, PathBuf};

/// The directory of one bench program.
pub(crate) struct BenchDir(tempfile::TempDir);

impl BenchDir {
    /// A fresh one.
    ///
    /// # Panics
    /// If the disk gives none.
    pub(crate) fn new() -> Self {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        std::fs::create_dir_all(parent).expect("the build's directory takes a directory");
        Self(tempfile::Builder::new().prefix("tidelog-bench-").tempdir_in(parent).expect("the build's directory takes a directory"))
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// `TIDELOG_BENCH_SCALE`: how many times the usual size; 1 if not set.
///
/// # Panics
/// If it is not a positive number.
pub(crate) fn scale() -> f64 {
    let Ok(text) = std::env::var("TIDELOG_BENCH_SCALE") else { return 1.0 };
    let scale: f64 = text.parse().expect("TIDELOG_BENCH_SCALE is a number");
    assert!(scale > 0.0, "TIDELOG_BENCH_SCALE is positive");
    scale
}

/// `usual` times the scale, a multiple of 1,000 and at least that.
pub(crate) fn scaled(usual: usize) -> usize {
    ((usual as f64 * scale()) as usize / 1000).max(1) * 1000
}

/// `TIDELOG_BENCH_PARTITIONS`: the most partitions; 100 if not set.
///
/// # Panics
/// If it is not a positive number.
pub(crate) fn partitions_max() -> usize {
    let Ok(text) = std::env::var("TIDELOG_BENCH_PARTITIONS") else { return 100 };
    let partitions = text.parse().expect("TIDELOG_BENCH_PARTITIONS is a number");
    assert!(partitions > 0, "TIDELOG_BENCH_PARTITIONS is positive");
    partitions
}

/// `TIDELOG_BENCH_STRICT=1`: a missed aim fails the program.
pub(crate) fn is_strict() -> bool {
    std::env::var("TIDELOG_BENCH_STRICT").is_ok_and(|value| value == "1")
}
