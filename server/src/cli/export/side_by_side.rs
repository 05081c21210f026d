//! Exports partitions side by side, one a processor. Says nothing but how far they are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, available_parallelism, scope};

use tidelog::PartitionView;
use tidelog::export::{ExportError, ExportReport, ExportSession, ParquetExport};

use crate::cli::progress::Progress;

/// One partition to be exported.
pub(super) enum Job {
    /// Once.
    Once(PartitionView, Box<ParquetExport>),
    /// What is new, again and again.
    Session(Box<ExportSession>),
}

pub(super) type Outcome = Result<ExportReport, ExportError>;

impl Job {
    pub(super) fn view(&self) -> &PartitionView {
        match self {
            Self::Once(view, _) => view,
            Self::Session(session) => session.view(),
        }
    }

    /// Whether there is something that is not exported.
    pub(super) fn has_more(&self) -> bool {
        match self {
            Self::Once(..) => true,
            Self::Session(session) => session.has_more(),
        }
    }

    fn run(&mut self, bar: &SharedBar<'_>) -> Outcome {
        let mut told = None;
        let mut tell = |progress: tidelog::export::ExportProgress| {
            let (from, offset, until) = (progress.from.get(), progress.offset.get(), progress.until.get());
            let before = told.replace(offset - from).unwrap_or_else(|| {
                bar.all.fetch_add(until - from, Ordering::Relaxed);
                0
            });
            bar.add(offset - from - before);
        };
        match self {
            Self::Once(_, export) => export.run(&mut tell),
            Self::Session(session) => session.run(&mut tell),
        }
    }
}

/// Offsets of all partitions together.
struct SharedBar<'a> {
    bar: &'a Progress,
    done: AtomicU64,
    all: AtomicU64,
}

impl SharedBar<'_> {
    fn add(&self, offsets: u64) {
        let done = self.done.fetch_add(offsets, Ordering::Relaxed) + offsets;
        self.bar.set_of(done, self.all.load(Ordering::Relaxed));
    }
}

/// Does all jobs. The outcomes are in the order of the jobs.
pub(super) fn run_all(jobs: &mut [&mut Job], bar: &Progress) -> Vec<Outcome> {
    let threads = available_parallelism().map_or(1, usize::from).min(jobs.len());
    let mut outcomes: Vec<Option<Outcome>> = jobs.iter().map(|_| None).collect();
    let left = Mutex::new(jobs.iter_mut().zip(&mut outcomes));
    let bar = SharedBar { bar, done: AtomicU64::new(0), all: AtomicU64::new(0) };
    let work = || {
        loop {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((job, outcome)) = next else { return };
            *outcome = Some(job.run(&bar));
        }
    };
    scope(|scope| {
        for _ in 1..threads {
            // A system that has no thread to give takes longer.
            let _ = Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    outcomes.into_iter().flatten().collect()
}
