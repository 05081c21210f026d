//! The crash campaign: random programs on a simulated disk, cut after every call that changes something, recovered by the shipped code, cut
//! again while they recover, and judged by an oracle that knows every offset.
//!
//! `TIDELOG_CRASH_SEEDS=N` runs N programs, `TIDELOG_CRASH_FROM=S` begins with seed S: `.ci/long crash` is this, in a release build.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]

mod campaign;
mod model;
mod program;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use campaign::Figures;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn any_cut_leaves_a_legal_log() {
    let (from, seeds) = (number("TIDELOG_CRASH_FROM", 0), number("TIDELOG_CRASH_SEEDS", 12));
    let (next, total, started) = (AtomicU64::new(from), Mutex::new(Figures::default()), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let outcome = campaign::run(seed);
                    let mut total = total.lock().unwrap();
                    match outcome {
                        Ok(figures) => total.add(figures),
                        Err(broken) => {
                            println!("{broken}");
                            total.broken += 1;
                            total.programs += 1;
                        }
                    }
                    if total.programs % 100 == 0 {
                        println!("{} programs, {} states, {} s", total.programs, total.states, started.elapsed().as_secs());
                    }
                }
            });
        }
    });
    let total = total.into_inner().unwrap();
    println!("{total}");
    assert_eq!((total.programs, total.broken), (seeds, 0), "programs, and those that broke an invariant");
    assert!(total.states > 100 * seeds, "the campaign has shrunk to {} states", total.states);
    let missing: BTreeMap<_, _> = total.reached().filter(|(_, count)| *count == 0).collect();
    assert!(seeds < 500 || missing.is_empty(), "never reached: {missing:?}");
}
