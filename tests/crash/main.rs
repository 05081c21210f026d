//! The crash campaign: random programs on a simulated disk, cut after every call that changes something, recovered by the shipped code, cut
//! again while they recover, and judged by an oracle that knows every offset.
//!
//! `TIDELOG_CRASH_SEEDS=N` runs N programs, `TIDELOG_CRASH_FROM=S` begins with seed S, `TIDELOG_CRASH_FIGURES=FILE` adds to the figures of
//! earlier runs: `.ci/long crash` is this, optimised. `TIDELOG_CRASH_KEEP=DIR` keeps the disk that broke an invariant, as a store to look at.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, which clippy.toml does not know")]
#![allow(clippy::disallowed_methods, reason = "figures and disks that broke are kept outside of the engine")]

mod campaign;
mod figures;
mod model;
mod program;
mod random;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use campaign::{PROGRAMS, STATES};
use figures::Figures;
use tidelog::Found;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn any_cut_leaves_a_legal_log() {
    let (from, seeds) = (number("TIDELOG_CRASH_FROM", 0), number("TIDELOG_CRASH_SEEDS", 2));
    let (next, figures, broken, started) = (AtomicU64::new(from), Mutex::new(Figures::default()), AtomicU64::new(0), Instant::now());
    let run = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + seeds {
                return;
            }
            match campaign::run(seed) {
                Err(text) => {
                    println!("{text}");
                    broken.fetch_add(1, Ordering::Relaxed);
                }
                Ok(of_seed) => {
                    let mut figures = figures.lock().unwrap();
                    figures.add(&of_seed);
                    if figures.of(PROGRAMS).is_multiple_of(100) {
                        println!("{} programs, {} states, {} s", figures.of(PROGRAMS), figures.of(STATES), started.elapsed().as_secs());
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| (0..std::thread::available_parallelism().map_or(1, usize::from)).for_each(|_| drop(scope.spawn(run))));
    let mut figures = figures.into_inner().unwrap();
    assert_eq!((broken.into_inner(), figures.of(PROGRAMS)), (0, seeds), "programs that broke an invariant, and programs in all");
    assert!(figures.of(STATES) > 100 * seeds, "the campaign has shrunk to {} states", figures.of(STATES));
    if let Some(path) = std::env::var_os("TIDELOG_CRASH_FIGURES").map(PathBuf::from) {
        figures.add(&Figures::load(&path));
        figures.keep(&path);
    }
    println!("{figures}");
    let never_found = figures.never_found(LEFT_BY_CRASHES);
    assert!(figures.of(PROGRAMS) < 500 || never_found.is_empty(), "never reached: {never_found:?}");
}

/// The rows of the decision table that a crash reaches without damage. A slot of the checkpoint lies in one sector, and is never torn.
const LEFT_BY_CRASHES: &[Found] = &[
    Found::ZerosToEnd,
    Found::BadFrameThenNothing,
    Found::BadFrameThenValid,
    Found::SegmentMissing,
    Found::BelowLogStart,
    Found::CheckpointOld,
    Found::IndexUnusable,
    Found::StrayFile,
    Found::HeaderlessTail,
    Found::HeaderOnly,
    Found::UnsealedRunsToNext,
    Found::Unfinished,
    Found::Overlap,
];
