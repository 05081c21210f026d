//! The damage campaign: logs made by random programs, each damaged in one way at a time, opened by the shipped code and judged by an oracle
//! that knows every offset and every byte.
//!
//! `TIDELOG_DAMAGE_SEEDS=N` damages N logs, `TIDELOG_DAMAGE_FROM=S` begins with seed S, `TIDELOG_DAMAGE_SHARE=K` takes every K-th case,
//! `TIDELOG_DAMAGE_CASE=C` that case alone, `TIDELOG_DAMAGE_FIGURES=FILE` adds to the figures of earlier runs: `.ci/long damage` is this,
//! optimised. `TIDELOG_DAMAGE_KEEP=DIR` keeps what failed, as it was damaged, to look at.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, which clippy.toml does not know")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "what is damaged is damaged outside of the engine")]

mod anatomy;
mod cases;
mod damage;
#[path = "../crash/figures.rs"]
mod figures;
mod image;
mod judge;
mod model;
mod oracle;
#[path = "../crash/random.rs"]
mod random;
mod specimen;
mod storage;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use damage::{Case, Damage};
use figures::{FOUND, Figures};
use image::Image;
use judge::Judged;
use specimen::Specimen;
use tempfile::TempDir;
use tidelog::Found;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn damage_costs_what_it_hit_and_no_more() {
    let (from, seeds) = (number("TIDELOG_DAMAGE_FROM", 0), number("TIDELOG_DAMAGE_SEEDS", 3));
    let run = Run { figures: Mutex::default(), seen: Mutex::default(), broken: AtomicUsize::new(0), started: Instant::now() };
    for seed in from..from + seeds {
        run.damage_log(seed);
    }
    let mut figures = run.figures.into_inner().unwrap();
    assert_eq!(run.broken.into_inner(), 0, "cases that broke a promise");
    assert!(figures.of(CASES) > 20 * seeds, "the campaign has shrunk to {} cases", figures.of(CASES));
    if let Some(path) = std::env::var_os("TIDELOG_DAMAGE_FIGURES").map(PathBuf::from) {
        figures.add(&Figures::load(&path));
        figures.keep(&path);
    }
    println!("{figures}");
    let never_found = figures.never_found(LEFT_BY_DAMAGE);
    assert!(figures.of(LOGS) < 20 || never_found.is_empty(), "never reached: {never_found:?}");
}

struct Run {
    figures: Mutex<Figures>,
    /// Fingerprints of the directories that were judged.
    seen: Mutex<HashSet<u64>>,
    broken: AtomicUsize,
    started: Instant,
}

/// What a thread is at, for whoever watches for hangs.
type Watched = Mutex<Option<(Instant, String)>>;

impl Run {
    /// Every case of one log, on all processors.
    fn damage_log(&self, seed: u64) {
        let dir = workplace();
        let specimen = match specimen::make(seed, dir.path()) {
            Ok(specimen) => specimen,
            Err(text) => return self.note_broken(&format!("making a log: {text}")),
        };
        let cases = cases::of(&specimen);
        self.count_log(&specimen);
        let (share, one) =
            (number("TIDELOG_DAMAGE_SHARE", if cfg!(debug_assertions) { 25 } else { 1 }), std::env::var("TIDELOG_DAMAGE_CASE").is_ok());
        let wanted = |at: usize| if one { at as u64 == number("TIDELOG_DAMAGE_CASE", 0) } else { (at as u64 + seed).is_multiple_of(share) };
        let chosen: Vec<usize> = (0..cases.len()).filter(|at| wanted(*at)).collect();
        let (next, done) = (AtomicUsize::new(0), AtomicBool::new(false));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let watched: Vec<Watched> = (0..threads).map(|_| Mutex::new(None)).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| watch(&watched, &done));
            let workers: Vec<_> = watched.iter().map(|watched| scope.spawn(|| self.work(&specimen, &cases, (&chosen, &next), watched))).collect();
            workers.into_iter().for_each(|worker| drop(worker.join()));
            done.store(true, Ordering::Relaxed);
        });
        let cases = self.figures.lock().unwrap().of(CASES);
        println!("seed {seed}: {cases} cases, {} s", self.started.elapsed().as_secs());
    }

    fn work(&self, specimen: &Specimen, cases: &[Case], (chosen, next): (&[usize], &AtomicUsize), watched: &Watched) {
        let dir = workplace();
        while let Some(&at) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            let case = &cases[at];
            let name = format!("seed {}, case {at}: {} {:?}", specimen.seed, case.file.display(), case.damage);
            *watched.lock().unwrap() = Some((Instant::now(), name.clone()));
            let (store, outside) = case.apply(&specimen.image);
            if !self.seen.lock().unwrap().insert(store.fingerprint()) {
                continue;
            }
            let mut outcome = Err(String::new());
            let run = || {
                outcome = catch_unwind(AssertUnwindSafe(|| judge::judge(specimen, case, (&store, &outside), dir.path())))
                    .unwrap_or_else(|_| Err("a panic".to_owned()))
            };
            let allocated = allocation_counter::measure(run).bytes_max;
            match outcome {
                Ok(_) if allocated > allowed_bytes(specimen, case) => self.note_broken(&format!("{name}: {allocated} bytes were allocated")),
                Ok(judged) => self.count(case, &judged),
                Err(text) => {
                    self.note_broken(&format!("{name}: {text}"));
                    keep(&store, specimen.seed, at);
                }
            }
        }
        *watched.lock().unwrap() = None;
    }

    fn note_broken(&self, text: &str) {
        println!("{text}");
        self.broken.fetch_add(1, Ordering::Relaxed);
    }

    fn count_log(&self, specimen: &Specimen) {
        let mut figures = self.figures.lock().unwrap();
        figures.count(LOGS);
        figures.count(if specimen.is_closed { "logs that were closed" } else { "logs whose process was killed" });
        figures.count_more("segments of them", specimen.bodies.len() as u64);
        let (all, flipped) = cases::bits(specimen);
        figures.count_more(if specimen.is_tiny { "bits of the tiny logs" } else { "bits of the other logs" }, all);
        figures.count_more(
            if specimen.is_tiny { "bits of the tiny logs that a full run flips" } else { "bits of the other logs that a full run flips" },
            flipped,
        );
    }

    fn count(&self, case: &Case, judged: &Judged) {
        let mut figures = self.figures.lock().unwrap();
        figures.count(CASES);
        figures.count(&format!("cases: {}", case.kind()));
        figures.count_more("records compared", judged.records);
        figures.count_more("records told to be lost", judged.lost);
        figures.count_more("refusals that touched nothing", judged.refused.into());
        figures.count_more("stores that only readers can open", judged.for_readers_alone.into());
        figures.count_more("cases in which the process that repaired was killed", judged.killed.into());
        let exempt = [
            (judged.unwitnessed, "exempt cases: nothing vouched any more for what was lost"),
            (judged.came_back, "exempt cases: truncated records came back"),
        ];
        exempt.iter().filter(|(records, _)| *records > 0).for_each(|(_, name)| figures.count(name));
        let found: HashSet<Found> = judged.found.iter().copied().collect();
        found.iter().for_each(|found| figures.count(&format!("{FOUND}{found:?}")));
    }
}

/// In memory where there is a place for that.
fn workplace() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A hang is a failure too: says where, and ends everything.
fn watch(watched: &[Watched], done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
        for watched in watched {
            if let Some((since, name)) = &*watched.lock().unwrap()
                && since.elapsed() > HANG
            {
                println!("{name}: no end after {HANG:?}");
                std::process::abort();
            }
        }
    }
}

/// What a case may take at one moment: the files a few times over, and buffers. A length that lies would be far beyond.
fn allowed_bytes(specimen: &Specimen, case: &Case) -> u64 {
    let buffers = if matches!(case.damage, Damage::Sparse) { QUARANTINED_BYTES } else { 0 };
    BUFFERED_BYTES + buffers + 8 * specimen.image.bytes()
}

/// Writes what failed where `TIDELOG_DAMAGE_KEEP` says.
fn keep(store: &Image, seed: u64, case: usize) {
    let Ok(dir) = std::env::var("TIDELOG_DAMAGE_KEEP") else { return };
    store.put(&Path::new(&dir).join(format!("{seed}-{case}")).join("store"));
}

const LOGS: &str = "logs";
/// An identity and all salts are drawn from the seed, so that logs have none in common.
const CASES: &str = "cases judged, each a directory that differs from all others";
const HANG: Duration = Duration::from_secs(60);
const BUFFERED_BYTES: u64 = 8 << 20;
/// What recovery sets aside of a torn end, however long the file is.
const QUARANTINED_BYTES: u64 = 64 << 20;

/// The rows of the decision table that damage to a log at rest reaches.
const LEFT_BY_DAMAGE: &[Found] = &[
    Found::ZerosToEnd,
    Found::BadFrameThenNothing,
    Found::BadFrameThenValid,
    Found::NonZeroPad,
    Found::SegmentMissing,
    Found::HeadMissing,
    Found::BelowLogStart,
    Found::EndsBeforeCheckpoint,
    Found::CheckpointOld,
    Found::SlotUnreadable,
    Found::CheckpointUnreadable,
    Found::CheckpointAbsent,
    Found::CheckpointForeign,
    Found::IndexUnusable,
    Found::StrayFile,
    Found::HeaderlessTail,
    Found::HeaderOnly,
    Found::UnsealedRunsToNext,
    Found::NotRegular,
    Found::TooLong,
    Found::HeaderBadSaltKnown,
    Found::MetaUnreadable,
    Found::Overlap,
    Found::DeclaredGap,
    Found::Unfinished,
];
